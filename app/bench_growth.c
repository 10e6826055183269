/* vlm bench growth: how cost grows with images and text, beside what vlm plan --time says of it. At most 12 points, each under a minute. */
#include "bench.h"
#include "infer/cost.h"
#include "infer/new.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER = 16, YARDSTICK = 256 << 20 };           /* tokens of an answer that are timed; bytes that --time reads, too */
static const struct point { int64_t images, side, text; bool answer; } points[] = {
    { 1, 256, 0, false }, { 1, 512, 0, false }, { 1, 1024, 0, false }, { 1, 2048, 0, false }, { 8, 512, 0, false }, { 32, 256, 0, false },
    { 0, 0, 128, false }, { 0, 0, 1024, false }, { 0, 0, 8000, false }, { 4, 512, 512, false }, { 0, 0, 128, true }, { 0, 0, 8000, true } };
enum { POINTS = sizeof points / sizeof *points };
_Static_assert(POINTS <= 12, "a table that one reads");

typedef struct growth {
    vlm_bench *b;
    size_t before_bytes;               /* that the process held before the model was opened */
    vlm_model *m;
    vlm_session *s;
    vlm_image *image;
    const struct point *at;
    int64_t tokens, *ids;              /* of the prompt, images in front */
    int64_t from;                      /* where the answer begins */
} growth;

static void name_of(const struct point *p, char out[96]) {
    char images[48] = "", text[32] = "";
    if (p->images) snprintf(images, sizeof images, " %lld of %lldx%lld", (long long)p->images, (long long)p->side, (long long)p->side);
    if (p->text) snprintf(text, sizeof text, "%s text %lld", p->images ? " and" : "", (long long)p->text);
    const char *what = p->answer ? "answer behind" : p->images && p->text ? "ask" : p->images ? "encode" : "prompt";
    snprintf(out, 96, "growth %s%s%s", what, images, text);
}
static vlm_status once(void *arg) {
    growth *g = arg;
    const vlm_image *images[32];
    vlm_features *f = NULL;
    if (g->at->answer) {
        g->s->kv.len = g->from;        /* positions behind are written again */
        for (int i = 0; i < ANSWER; i++) TRY(vlm_prefill(g->s, g->ids, 1, NULL));
        return VLM_OK;
    }
    for (int64_t i = 0; i < g->at->images; i++) images[i] = g->image;
    if (g->at->images) TRY(vlm_encode(g->s, images, g->at->images, &f));
    vlm_status status = VLM_OK;
    if (g->at->text) {
        vlm_session_reset(g->s);
        status = vlm_prefill(g->s, g->ids, (size_t)g->tokens, f);
    }
    vlm_features_free(f);
    return status;
}

/* What the plan says: seconds, bytes, and why it is not more of the same. */
static vlm_status foresee(const growth *g, const vlm_seen *seen, vlm_row *r) {
    const struct point *p = g->at;
    const vlm_net *net = g->m->net;
    vlm_limits now;
    vlm_seconds s = { 0 };
    size_t images = 0;
    TRY(vlm_limits_measure(g->b->ctx, g->b->cpu, g->b->quick ? 1 << 22 : YARDSTICK, &now));  /* for neighbours come and go */
    for (int64_t i = 0; i < p->images; i++) vlm_seconds_add(&s, vlm_cost_encode(net, &now, &seen->plan.patches, 1), 1);
    if (p->answer) vlm_seconds_add(&s, vlm_cost_token(net, &now, g->from, VLM_F32), ANSWER);
    else if (p->text) vlm_seconds_add(&s, vlm_cost_prefill(net, &now, g->tokens, 0), 1);
    vlm_seen *all = calloc((size_t)p->images + 1, sizeof *all);
    if (!all) return vlm_fail_memory(r->name, sizeof *all);
    for (int64_t i = 0; i < p->images; i++) all[i] = *seen;
    vlm_status status = p->images ? vlm_encode_bytes(g->m, all, p->images, VLM_KEEP_PATCHES, &images) : VLM_OK;
    free(all);
    TRY(status);
    r->planned_bytes = vlm_net_bytes(g->m->net) + images + (size_t)g->b->threads * VLM_SCRATCH_BYTES +
                       (p->text ? vlm_session_bytes(g->m, g->tokens + (p->answer ? ANSWER : 0), VLM_F32) : 0);
    r->before_bytes = g->before_bytes;
    r->planned_seconds = vlm_seconds_sum(s);
    double share = r->planned_seconds > 0 ? 100 * s.attention / r->planned_seconds : 0;
    if (p->answer) snprintf(r->why, sizeof r->why, "keys and values %.0f %%, the rest is weights, the same for each token", share);
    else if (share >= 10)
        snprintf(r->why, sizeof r->why, "attention %.0f %%, which grows with the square of %s", share,
                 p->images ? "an image's area" : "the text");
    else snprintf(r->why, sizeof r->why, "attention %.0f %%: linear", share);
    return VLM_OK;
}
static vlm_status point(growth *g, vlm_row *r) {
    const struct point *p = g->at;
    const vlm_net *net = g->m->net;
    vlm_bitmap picture = { 0 };
    vlm_seen seen = { 0 };
    int64_t of_image = 0, room = g->m->context;
    vlm_status status = VLM_OK;
    if (p->images) {
        TRY(vlm_image_plan_make(&g->m->rule, p->side, p->side, r->name, &seen.plan));
        of_image = seen.plan.image_tokens;
        picture = (vlm_bitmap){ .w = p->side, .h = p->side, .rgb = malloc((size_t)(p->side * p->side * 3)) };
        if (!picture.rgb) return vlm_fail_memory(r->name, (size_t)(p->side * p->side * 3));
        for (int64_t k = 0; k < p->side * p->side * 3; k++) picture.rgb[k] = (uint8_t)(k * 2654435761u >> 13);
        TRY(vlm_image_wrap(picture, "noise", &g->image));
    }
    g->tokens = p->images * of_image + p->text;
    if (p->text && g->tokens + ANSWER > room) {
        status = vlm_bench_skip(g->b, r, "takes %lld positions, and the context has %lld", (long long)(g->tokens + ANSWER),
                                (long long)room);
        goto done;
    }
    if (!(g->ids = calloc((size_t)g->tokens + 1, sizeof *g->ids))) { status = vlm_fail_memory(r->name, (size_t)g->tokens * 8); goto done; }
    for (int64_t i = 0; i < g->tokens; i++)
        g->ids[i] = i < p->images * of_image ? g->m->image_token : i % (g->m->image_token > 0 ? g->m->image_token : net->lm.cfg.V);
    TRY_DONE(vlm_session_open(g->m, &(vlm_session_options){ .threads = g->b->threads }, &g->s));
    if (p->text) TRY_DONE(vlm_session_reserve(g->s, g->tokens + (p->answer ? ANSWER : 0)));
    if (p->answer) TRY_DONE(vlm_prefill(g->s, g->ids, (size_t)g->tokens, NULL));
    g->from = g->tokens;
    TRY_DONE(foresee(g, &seen, r));
    r->bound = p->answer ? VLM_BOUND_READ : VLM_BOUND_FMA;
    r->flop = (double)p->images * vlm_vit_flop(&net->vit.cfg, seen.plan.patches);
    if (p->text && !p->answer) r->flop += vlm_lm_flop(&net->lm.cfg, g->tokens, 0);
    if (p->answer) r->bytes = ANSWER * (double)vlm_net_bytes(g->m->net), r->amount = ANSWER, r->unit = "tokens";
    TRY_DONE(vlm_bench_time(g->b, r, once, g));
    status = vlm_bench_row(g->b, r);
done:
    vlm_session_close(g->s);
    vlm_image_free(g->image);
    free(g->ids);
    g->s = NULL, g->image = NULL, g->ids = NULL;
    return status;
}
vlm_status vlm_bench_growth(vlm_bench *b) {
    growth g = { .b = b };
    char *model = NULL;
    vlm_row row[POINTS] = { 0 };
    bool want[POINTS], any = false;
    int n = b->quick ? 1 : POINTS;
    vlm_status status = VLM_OK;
    for (int i = 0; i < n; i++) {
        name_of(&points[i], row[i].name);
        any = (want[i] = vlm_bench_wants(b, row[i].name)) || any;
    }
    if (!any) return VLM_OK;
    vlm_model_options o = vlm_options_of(b->a);
    if (b->a->args > 1) model = strdup(b->a->arg[1]);
    else {
        TRY(vlm_bench_path(b, "growth", &model));
        vlm_new_options n = { .preset = b->quick ? "tiny" : "dinov3s-smollm2-135m", .out = model, .dtype = "f32", .seed = 1 };
        TRY_DONE(vlm_new(&n));
    }
    if (!model) return vlm_fail_memory("bench growth", 64);
    if (!o.max_size_px) o.max_size_px = 2048;
    o.threads = b->threads;
    g.before_bytes = vlm_bench_forget_peak();
    TRY_DONE(vlm_model_open(model, &o, &g.m));
    if (!g.m->net->vision || !g.m->net->language) {
        status = vlm_fail(VLM_EARG, model, "is no whole VLM; name one, or none");
        goto done;
    }
    for (int i = 0; i < n; i++) {
        g.at = &points[i];
        if (want[i]) TRY_DONE(point(&g, &row[i]));
    }
done:
    vlm_model_close(g.m);
    free(model);
    return status;
}

/* Every stage of every case in tests/golden/cases against the golden arrays, under every instruction set of this machine; and besides, on
   the same models: an image's features are the same bits alone and in company, a prompt gives the same bits in any pieces, and neither
   depends on the number of threads. Ends with "N passed, N failed, N skipped"; a case that compared nothing has failed. */
#include "cases.h"
#include "infer/session.h"
#include "base/file.h"
#include "io/npy.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *root;
static int passed, failed, skipped;

/* ---- One case ---- */

typedef struct golden {
    const char *name, *isa;
    json_t *j;
    double tolerance, worst;           /* worst: largest error as a share of what is allowed */
    char worst_stage[64];
    int compared, bad;
    json_t *seen;                      /* golden stages that were compared */
    vlm_model *m;
    vlm_session *s;
} golden;

static void complain(golden *g, const char *stage, const char *fmt, double a, double b) {
    if (g->bad++ < 5) { printf("    %s %s %s: ", g->isa, g->name, stage); printf(fmt, a, b); printf("\n"); }
}
static bool ok(golden *g, const char *what, vlm_status s) {
    if (s) { printf("    %s %s %s: %s: %s\n", g->isa, g->name, what, vlm_error_where(), vlm_error_message()); g->bad++; }
    return !s;
}
/* Stages that a case does not list are none of its kind; one that it lists must be there. */
static bool array(golden *g, const char *stage, vlm_npy *out) {
    char path[1024];
    if (!json_object_get(json_object_get(g->j, "stages"), stage)) return false;
    snprintf(path, sizeof path, "%s/cases/%s/%s.npy", root, g->name, stage);
    if (!ok(g, stage, vlm_npy_open(path, out))) return false;
    json_object_set_new(g->seen, stage, json_true());
    return true;
}
static void done_stage(golden *g, const char *stage, double error, double allowed) {
    g->compared++;
    if (!(error <= allowed)) complain(g, stage, "error %.3g, allowed %.3g", error, allowed);
    if (error / allowed > g->worst) g->worst = error / allowed, snprintf(g->worst_stage, sizeof g->worst_stage, "%s", stage);
}
/* Rows [at, at + n) of a stage's values. bf16 weights: twice the error that PyTorch makes in bf16. */
static double error_of(golden *g, const char *stage, const vlm_npy *want, int64_t at, const float *got, int64_t n) {
    double worst = 0;
    if (at + n > vlm_tensor_len(&want->t)) {
        complain(g, stage, "has %g values, expected %g", (double)(at + n), (double)vlm_tensor_len(&want->t));
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        double e = fabs(vlm_npy_at(want, at + i) - got[i]);
        if (!(e <= worst)) worst = e;
    }
    return worst;
}
static double allowed_of(const golden *g, const char *stage, const vlm_npy *want) {
    const json_t *bf16 = json_object_get(json_object_get(g->j, "bf16"), stage);
    double q = 0, n = (double)vlm_tensor_len(&want->t);
    if (bf16) return 2 * json_number_value(bf16);
    for (int64_t i = 0; i < vlm_tensor_len(&want->t); i++) q += vlm_npy_at(want, i) * vlm_npy_at(want, i);
    q = sqrt(q / n);
    return g->tolerance * (q > 1 ? q : 1);
}
static void compare(golden *g, const char *stage, const float *got, int64_t n) {
    vlm_npy want;
    if (!got || !array(g, stage, &want)) return;
    if (vlm_tensor_len(&want.t) != n) complain(g, stage, "has %g values, expected %g", (double)n, (double)vlm_tensor_len(&want.t));
    else done_stage(g, stage, error_of(g, stage, &want, 0, got, n), allowed_of(g, stage, &want));
    vlm_npy_close(&want);
}
static void compare_exact(golden *g, const char *stage, const void *got, size_t bytes) {
    vlm_npy want;
    if (!array(g, stage, &want)) return;
    g->compared++;
    if (want.t.bytes != bytes || memcmp(want.t.data, got, bytes))
        complain(g, stage, "differs (%g bytes, expected %g)", (double)bytes, (double)want.t.bytes);
    vlm_npy_close(&want);
}

/* Stages that come in pieces. */
typedef struct pieces { golden *g; const char *stage; vlm_npy want; bool has; int64_t width, rows; double error; } pieces;
typedef struct text_stages { pieces embed, hidden, logits; } text_stages;
static void piece(pieces *p, int64_t row, int64_t rows, const float *x) {
    if (!p->has) return;
    double e = error_of(p->g, p->stage, &p->want, row * p->width, x, rows * p->width);
    if (!(e <= p->error)) p->error = e;
    p->rows += rows;
}
static vlm_status on_embed(void *u, int64_t row, int64_t rows, const float *x) {
    piece(&((text_stages *)u)->embed, row, rows, x);
    return VLM_OK;
}
static vlm_status on_hidden(void *u, int64_t row, int64_t rows, const float *x) {
    piece(&((text_stages *)u)->hidden, row, rows, x);
    return VLM_OK;
}
static vlm_status on_logits(void *u, int64_t row, int64_t rows, const float *x) {
    piece(&((text_stages *)u)->logits, row, rows, x);
    return VLM_OK;
}
static pieces begin(golden *g, const char *stage, int64_t width) {
    pieces p = { .g = g, .stage = stage, .width = width };
    p.has = array(g, stage, &p.want);
    return p;
}
static void end(pieces *p) {
    if (!p->has) return;
    int64_t have = p->rows * p->width, want = vlm_tensor_len(&p->want.t);
    if (have != want) complain(p->g, p->stage, "has %g values, expected %g", (double)have, (double)want);
    else done_stage(p->g, p->stage, p->error, allowed_of(p->g, p->stage, &p->want));
    vlm_npy_close(&p->want);
}

/* ---- Images ---- */

static bool same_bits(const float *a, const float *b, int64_t n) { return !memcmp(a, b, (size_t)n * sizeof *a); }
static void same_alone(golden *g, const vlm_image *const *images, const vlm_features *all, vlm_session *s, const char *what) {
    for (int64_t i = 0; i < all->n; i++) {
        vlm_features *one = NULL;
        const vlm_seen *a = &all->image[i], *b;
        if (!ok(g, what, vlm_encode(s, images + i, 1, &one))) return;
        b = &one->image[0];
        g->compared++;
        if (!same_bits(a->patches, b->patches, a->plan.n * a->patch_len) || !same_bits(a->prefix, b->prefix, a->plan.n * a->prefix_len) ||
            (a->tokens && !same_bits(a->tokens, b->tokens, a->plan.image_tokens * g->m->net->lm.cfg.D)))
            complain(g, what, "image %.0f has other bits", (double)i, 0);
        vlm_features_free(one);
    }
}
static vlm_features *run_images(golden *g) {
    const json_t *names = json_object_get(g->j, "images");
    int64_t n = (int64_t)json_array_size(names);
    vlm_features *f = NULL;
    vlm_image **images = calloc((size_t)n + 1, sizeof *images);
    char path[1024], stage[64];
    vlm_session_options three = { .threads = 3 };
    vlm_session *other = NULL;
    bool fine = images != NULL;
    for (int64_t i = 0; fine && i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", root, json_string_value(json_array_get(names, (size_t)i)));
        fine = ok(g, path, vlm_image_load(g->m, path, &images[i]));
    }
    const vlm_image *const *all = (const vlm_image *const *)images;
    if (fine && n && ok(g, "encode", vlm_encode_keeping(g->s, all, n, VLM_KEEP_PIXELS | VLM_KEEP_PATCHES, &f))) {
        for (int64_t i = 0; i < n; i++) {
            const vlm_seen *s = &f->image[i];
            const vlm_image_plan *p = &s->plan;
            snprintf(stage, sizeof stage, "image.%d.u8", (int)i);
            compare_exact(g, stage, s->u8, (size_t)(p->H * p->W * 3));
            snprintf(stage, sizeof stage, "image.%d.pixels", (int)i);
            compare(g, stage, s->pixels, p->n * 3 * p->tile_h * p->tile_w);
            snprintf(stage, sizeof stage, "image.%d.prefix", (int)i);
            compare(g, stage, s->prefix, p->n * s->prefix_len);
            snprintf(stage, sizeof stage, "image.%d.patches", (int)i);
            compare(g, stage, s->patches, p->n * s->patch_len);
            snprintf(stage, sizeof stage, "image.%d.tokens", (int)i);
            compare(g, stage, s->tokens, p->image_tokens * g->m->net->lm.cfg.D);
        }
        same_alone(g, (const vlm_image *const *)images, f, g->s, "alone");
        if (ok(g, "three threads", vlm_session_open(g->m, &three, &other))) {
            other->ctx->eager = true;
            same_alone(g, (const vlm_image *const *)images, f, other, "three threads");
        }
    }
    vlm_session_close(other);
    for (int64_t i = 0; images && i < n; i++) vlm_image_free(images[i]);
    free(images);
    return f;
}

/* ---- Text ---- */

static bool prompt_ids(golden *g, const char *prompt, const vlm_features *f, vlm_ids *ids) {
    vlm_npy n;
    if (!prompt) {
        if (!array(g, "ids", &n)) return false;
        bool fine = true;
        for (int64_t i = 0; i < vlm_tensor_len(&n.t); i++) fine = fine && !vlm_ids_push(ids, vlm_npy_int(&n, i));
        vlm_npy_close(&n);
        return fine;
    }
    if (g->m->net->vision) return ok(g, "prompt", vlm_turn_ids(g->m, NULL, f, prompt, ids));
    return ok(g, "prompt", vlm_tokenizer_encode(g->m->tok, prompt, strlen(prompt), VLM_ENCODE_ADD, ids));
}
static void run_text(golden *g, const vlm_features *f) {
    const vlm_lm_config *c = &g->m->net->lm.cfg;
    const char *prompt = json_string_value(json_object_get(g->j, "prompt"));
    vlm_ids ids = { 0 };
    vlm_session *other = NULL;
    if (!prompt_ids(g, prompt, f, &ids)) { vlm_ids_free(&ids); return; }
    compare_exact(g, "ids", ids.id, ids.n * sizeof *ids.id);
    text_stages t = { begin(g, "embed", c->D), begin(g, "hidden", c->D), begin(g, "logits", c->V) };
    vlm_observer o = { on_embed, on_hidden, on_logits, &t };
    bool fine = ok(g, "prefill", vlm_prefill_observed(g->s, ids.id, ids.n, f, &o));
    end(&t.embed);
    end(&t.hidden);
    end(&t.logits);
    /* token by token after a first piece that holds the images, three threads: the same bits */
    size_t first = ids.n;
    while (first > 1 && ids.id[first - 1] != g->m->image_token) first--;
    if (fine && ok(g, "three threads", vlm_session_open(g->m, &(vlm_session_options){ .threads = 3 }, &other)) && first <= ids.n) {
        other->ctx->eager = true;
        fine = ok(g, "pieces", vlm_prefill(other, ids.id, first, f));
        for (size_t i = first; fine && i < ids.n; i++) fine = ok(g, "pieces", vlm_prefill(other, ids.id + i, 1, NULL));
        g->compared++;
        if (fine && !same_bits(vlm_logits(other), vlm_logits(g->s), c->V))
            complain(g, "pieces", "the prompt in pieces has other bits", 0, 0);
    }
    vlm_session_close(other);
    vlm_ids_free(&ids);
}

/* A greedy answer: ids, why it ended. */
static void run_generate(golden *g) {
    char path[1024];
    json_t *j = NULL;
    snprintf(path, sizeof path, "%s/cases/%s/generate.json", root, g->name);
    if (!vlm_exists(path) || !ok(g, path, vlm_json_read(path, &j))) return;      /* not every case has an answer */
    const json_t *want = json_object_get(j, "ids"), *prompt = json_object_get(j, "prompt_ids"), *names = json_object_get(j, "images");
    vlm_ids ids = { 0 };
    vlm_features *f = NULL;
    vlm_image *image = NULL;
    vlm_answer_options o = { .max_tokens = json_integer_value(json_object_get(j, "max_tokens")) };
    vlm_answer_result r = { 0 };
    for (size_t i = 0; i < json_array_size(prompt); i++) vlm_ids_push(&ids, json_integer_value(json_array_get(prompt, i)));
    vlm_session_reset(g->s);
    if (json_array_size(names)) {
        snprintf(path, sizeof path, "%s/%s", root, json_string_value(json_array_get(names, 0)));
        if (!ok(g, path, vlm_image_load(g->m, path, &image))) goto done;
        if (!ok(g, "encode", vlm_encode(g->s, (const vlm_image *const *)&image, 1, &f))) goto done;
    }
    if (ok(g, "generate", vlm_prefill(g->s, ids.id, ids.n, f)) && ok(g, "generate", vlm_answer(g->s, &o, &r))) {
        bool same = r.n == (int64_t)json_array_size(want);
        for (int64_t i = 0; same && i < r.n; i++) same = r.ids[i] == json_integer_value(json_array_get(want, (size_t)i));
        g->compared++;
        if (!same) complain(g, "generate", "other ids (%g, expected %g)", (double)r.n, (double)json_array_size(want));
        if (strcmp(r.finish_reason, json_string_value(json_object_get(j, "finish_reason"))))
            complain(g, "generate", "other finish_reason", 0, 0);
    }
done:
    vlm_free(r.text);
    vlm_free(r.ids);
    vlm_features_free(f);
    vlm_image_free(image);
    vlm_ids_free(&ids);
    json_decref(j);
}

/* ---- All ---- */

static vlm_model_options options_of(const json_t *list, const char *isa) {
    vlm_model_options o = { .isa = isa, .threads = 2 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *k = json_string_value(json_array_get(list, i)), *v = json_string_value(json_array_get(list, i + 1));
        if (!strcmp(k, "--no-upscale")) o.no_upscale = 1;
        else if (!strcmp(k, "--fork-maths")) o.fork_maths = 1;
        else if (!strcmp(k, "--compat-resize")) o.compat_resize = 1;
        else if (!strcmp(k, "--max-size")) o.max_size_px = atoll(v), i++;
        else if (!strcmp(k, "--max-image-tokens")) o.max_image_tokens = atoll(v), i++;
        else if (!strcmp(k, "--template")) o.chat_template = v, i++;
        else { printf("golden: unknown option %s\n", k); exit(2); }
    }
    return o;
}
static void run_case(const char *name, const char *isa) {
    char path[1024];
    golden g = { .name = name, .isa = isa };
    snprintf(path, sizeof path, "%s/cases/%s/case.json", root, name);
    if (!vlm_exists(path)) return;             /* another test's: decode, resize, tokenizer */
    if (!ok(&g, path, vlm_json_read(path, &g.j))) { failed++; return; }
    g.tolerance = json_number_value(json_object_get(g.j, "tolerance"));
    vlm_model_options o = options_of(json_object_get(g.j, "options"), isa);
    snprintf(path, sizeof path, "%s/%s", root, json_string_value(json_object_get(g.j, "model")));
    g.seen = json_object();
    if (ok(&g, path, vlm_model_open(path, &o, &g.m)) && ok(&g, path, vlm_session_open(g.m, &(vlm_session_options){ .threads = 2 }, &g.s))) {
        vlm_features *f = run_images(&g);
        if (g.m->net->language) run_text(&g, f);
        vlm_features_free(f);
        run_generate(&g);
    }
    const char *stage;
    json_t *v;
    json_object_foreach(json_object_get(g.j, "stages"), stage, v)
        if (!json_object_get(g.seen, stage)) complain(&g, stage, "is golden, but was not compared", 0, 0);
    if (!json_object_size(g.seen)) complain(&g, "stages", "no golden stage was compared", 0, 0);
    json_decref(g.seen);
    vlm_session_close(g.s);
    vlm_model_close(g.m);
    json_decref(g.j);
    if (!g.compared && !g.bad) printf("    %s %s: compared nothing\n", isa, name), g.bad++;
    printf("%-7s %-24s %3d compared, worst %.3f of what is allowed (%s)%s\n",
           isa, name, g.compared, g.worst, g.worst_stage, g.bad ? "  FAIL" : "");
    if (g.bad) failed++; else passed++;
}

int main(int argc, char **argv) {
    char *names[CASES];
    if (argc < 2) { fprintf(stderr, "usage: golden FOLDER [CASE]\n"); return 2; }
    root = argv[1];
    int n = list_cases(root, "cases", argc < 3 ? NULL : argv[2], names);
    for (int i = 0; i < 3; i++) {
        unsigned cpu;
        if (vlm_isa_flags(isas[i], &cpu)) { printf("%s NOT RUN: this CPU lacks it\n", isas[i]); skipped++; continue; }
        for (int k = 0; k < n; k++) run_case(names[k], isas[i]);
    }
    for (int k = 0; k < n; k++) free(names[k]);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || !passed;
}

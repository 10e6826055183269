/* vlm bench encode, prefill, decode, load: whole models, MODEL or such as are drawn in sizes that people use. */
#include "bench.h"
#include "bench_draw.h"
#include <stdlib.h>
#include <string.h>

/* Backbones alone, each drawn out of a preset (bench_draw.h). */
static const vlm_backbone encoders[] = {
    { "dinov3-s", "dinov3s-smollm2-135m", VLM_VISION }, { "dinov3-splus", "dinov3splus-smollm2-135m", VLM_VISION },
    { "dinov3-b", "dinov3b-smollm2-360m", VLM_VISION }, { "dinov3-l", "dinov3l-smollm2-360m", VLM_VISION } };
static const vlm_backbone decoders[] = {
    { "smollm2-135m", "dinov3s-smollm2-135m", VLM_LANGUAGE }, { "gemma3-270m", "dinov3splus-gemma3-270m", VLM_LANGUAGE } };
enum { ENCODERS = sizeof encoders / sizeof *encoders, DECODERS = sizeof decoders / sizeof *decoders };

/* ---- An open model ---------------------------------------------------------------------------------------------------- */
typedef struct subject {
    vlm_bench *b;
    char name[64], type[16];           /* words of its rows */
    char *dir;
    bool drawn;
    size_t before_bytes;               /* that the process held before the model was opened */
    vlm_model *m;
    vlm_session *s;
    vlm_image *image;
} subject;
static void close_subject(subject *x) {
    vlm_image_free(x->image);
    vlm_session_close(x->s);
    vlm_model_close(x->m);
    free(x->dir);
    *x = (subject){ 0 };
}
static vlm_status open_model(const subject *x, vlm_model **out) {
    vlm_model_options o = vlm_options_of(x->b->a);
    if (!o.threads) o.threads = x->b->threads;
    if (x->drawn && !o.max_size_px) o.max_size_px = 2048;
    return vlm_model_open(x->dir, &o, out);
}
/* MODEL, or a backbone of that type. `vision`: which part of a whole model is meant. */
static vlm_status open_subject(vlm_bench *b, const vlm_backbone *x, const char *type, bool vision, subject *out) {
    subject s = { .b = b };
    vlm_status status = VLM_OK;
    if (x) {
        char folder[96];
        snprintf(s.name, sizeof s.name, "%s", x->name);
        snprintf(folder, sizeof folder, "%s-%s", x->name, type);
        TRY(vlm_bench_path(b, folder, &s.dir));
        s.drawn = x->group == VLM_VISION;
        TRY_DONE(vlm_backbone_draw(x, type, s.dir));
    } else {
        const char *arg = b->a->arg[1], *end = arg + strlen(arg), *base;
        while (end > arg + 1 && end[-1] == '/') end--;
        for (base = end; base > arg && base[-1] != '/'; base--) {}
        snprintf(s.name, sizeof s.name, "%.*s", (int)(end - base), base);
        for (char *c = s.name; *c; c++) if (*c == ' ') *c = '_';       /* one word of a row's name */
        if (!(s.dir = strdup(arg))) return vlm_fail_memory(arg, 64);
    }
    s.before_bytes = vlm_bench_forget_peak();
    TRY_DONE(open_model(&s, &s.m));
    const vlm_net *net = s.m->net;
    if (vision ? !net->vision : !net->language) {
        status = vlm_fail(VLM_EARG, s.dir, "has no %s; name a folder that has one", vision ? "vision encoder" : "language model");
        goto done;
    }
    snprintf(s.type, sizeof s.type, "%s", vlm_dtype_name(vision ? net->vit.block[0].qkv.dtype : net->lm.block[0].qkv.dtype));
    TRY_DONE(vlm_session_open(s.m, &(vlm_session_options){ .threads = b->threads }, &s.s));
    *out = s;
    return VLM_OK;
done:
    close_subject(&s);
    return status;
}
/* Every subject of `n` backbones in these types, or MODEL alone: `rows` says of each what it is asked for. wants: is any of them wanted? */
typedef struct part {
    const vlm_backbone *x;
    int n;
    const char *types[6];              /* that are drawn where --dtype says nothing; NULL ends them */
    bool vision;
    int (*names)(int i, const char *name, const char *type, bool quick, char out[96]);      /* of row i; 0: there is no such row */
    vlm_status (*row)(subject *x, int i, vlm_row *r);
} part;
static vlm_status rows_of(vlm_bench *b, const part *p, const vlm_backbone *x, const char *type) {
    subject s = { 0 };
    bool want[16] = { 0 }, any = false;
    int n = 0;
    vlm_status status = VLM_OK;
    if (!x) TRY(open_subject(b, NULL, NULL, p->vision, &s));
    const char *name = x ? x->name : s.name;
    if (!x) type = s.type;
    for (vlm_row r; n < 16 && p->names(n, name, type, b->quick, r.name); n++) any = (want[n] = vlm_bench_wants(b, r.name)) || any;
    if (any && x) TRY(open_subject(b, x, type, p->vision, &s));
    for (int i = 0; i < n; i++) {
        vlm_row r = { 0 };
        if (!want[i]) continue;
        p->names(i, name, type, b->quick, r.name);
        TRY_DONE(p->row(&s, i, &r));
    }
done:
    close_subject(&s);
    return status;
}
static vlm_status all_of(vlm_bench *b, const part *p) {
    const char *const one[] = { b->a->dtype, NULL }, *const *types = b->a->dtype ? one : p->types;
    if (b->a->args > 1) return rows_of(b, p, NULL, NULL);
    for (int i = 0; i < p->n; i++)
        for (int t = 0; types[t]; t++) TRY(rows_of(b, p, &p->x[i], types[t]));
    return VLM_OK;
}
static vlm_bound bound_of(const vlm_bench *b, const vlm_mat *m) {
    return vlm_dtype_quantized(m->dtype) && b->limits.dot > 0 ? VLM_BOUND_DOT : VLM_BOUND_FMA;
}

/* ---- Encode: from RGB bytes to features -------------------------------------------------------------------------------- */
static const int64_t sizes[][2] = { { 224, 224 }, { 512, 512 }, { 768, 1024 }, { 1024, 1024 }, { 2048, 2048 } };
static int encode_name(int i, const char *name, const char *type, bool quick, char out[96]) {
    if (i >= (quick ? 1 : (int)(sizeof sizes / sizeof *sizes))) return 0;
    return snprintf(out, 96, "encode %s %s %lldx%lld", name, type, (long long)sizes[i][0], (long long)sizes[i][1]);
}
static vlm_status encode_once(void *arg) {
    subject *x = arg;
    vlm_features *f;
    TRY(vlm_encode(x->s, (const vlm_image *const *)&x->image, 1, &f));
    vlm_features_free(f);
    return VLM_OK;
}
static vlm_status encode_row(subject *x, int i, vlm_row *r) {
    int64_t h = sizes[i][0], w = sizes[i][1];
    const vlm_net *net = x->m->net;
    vlm_seen seen = { 0 };
    size_t need, bytes = (size_t)(h * w * 3), have = vlm_bench_free_bytes();
    TRY(vlm_image_plan_make(&x->m->rule, w, h, r->name, &seen.plan));
    TRY(vlm_encode_bytes(x->m, &seen, 1, VLM_KEEP_PATCHES, &need));
    if (need > have / 4 * 3)
        return vlm_bench_skip(x->b, r, "takes %.1f GB, more than three quarters of the %.1f GB that are free", (double)need / 1e9,
                              (double)have / 1e9);
    vlm_bitmap picture = { .w = w, .h = h, .rgb = malloc(bytes) };
    if (!picture.rgb) return vlm_fail_memory(r->name, bytes);
    for (size_t k = 0; k < bytes; k++) picture.rgb[k] = (uint8_t)(k * 2654435761u >> 13);
    TRY(vlm_image_wrap(picture, "noise", &x->image));
    r->flop = (double)seen.plan.n * vlm_vit_flop(&net->vit.cfg, seen.plan.patches);
    for (int k = 0; k < net->params.n; k++) {
        const vlm_param *p = &net->params.p[k];
        if (p->group == VLM_VISION && !p->row && !p->tied) r->bytes += (double)vlm_params_operand_bytes(&net->params, k);
    }
    r->bytes += (double)bytes + 4.0 * (double)(seen.plan.n * seen.plan.patches.h * seen.plan.patches.w * net->vit.cfg.D);
    r->bound = bound_of(x->b, &net->vit.block[0].qkv);
    r->planned_bytes = vlm_net_bytes(x->m->net) + need + (size_t)x->b->threads * VLM_SCRATCH_BYTES, r->before_bytes = x->before_bytes;
    vlm_status status = vlm_bench_time(x->b, r, encode_once, x);
    vlm_image_free(x->image);
    x->image = NULL;
    return status ? status : vlm_bench_row(x->b, r);
}
vlm_status vlm_bench_encode(vlm_bench *b) {
    int first = b->rows;
    TRY(all_of(b, &(part){ encoders, b->quick ? 1 : ENCODERS, { "f32" }, true, encode_name, encode_row }));
    for (int i = 1; i < 5; i++) {
        char words[64];
        snprintf(words, sizeof words, "encode %lldx%lld", (long long)sizes[i][0], (long long)sizes[i][1]);
        TRY(vlm_bench_summary(b, first, words));
    }
    return VLM_OK;
}

/* ---- Text -------------------------------------------------------------------------------------------------------------- */
enum { PREFILL = 512, PROMPT = 64, ANSWER = 48 };
static int64_t context_of(const subject *x, int64_t most) { return x->m->context < most ? x->m->context : most; }
static int64_t id_at(const subject *x, int64_t i) { return i % (x->m->image_token > 0 ? x->m->image_token : x->m->net->lm.cfg.V); }
static double language_bytes(const vlm_model *m) {     /* that each token reads: every matrix once, a tied one too */
    double n = 0;
    for (int i = 0; i < m->net->params.n; i++) {
        const vlm_param *p = &m->net->params.p[i];
        if (p->group == VLM_LANGUAGE && p->mat && !p->tied && !p->row &&
            (p->mat != &m->net->lm.embed || m->net->lm.cfg.tied))
            n += (double)vlm_mat_bytes(p->mat);
    }
    return n;
}

static int prefill_name(int i, const char *name, const char *type, bool quick, char out[96]) {
    (void)quick;
    return i ? 0 : snprintf(out, 96, "prefill %s %s %d", name, type, PREFILL);
}
static vlm_status prefill_once(void *arg) {
    subject *x = arg;
    int64_t ids[PREFILL], n = context_of(x, PREFILL);
    for (int64_t i = 0; i < n; i++) ids[i] = id_at(x, i);
    vlm_session_reset(x->s);
    return vlm_prefill(x->s, ids, (size_t)n, NULL);
}
static vlm_status prefill_row(subject *x, int i, vlm_row *r) {
    const vlm_lm_config *c = &x->m->net->lm.cfg;
    (void)i;
    r->amount = (double)context_of(x, PREFILL), r->unit = "tokens";
    r->flop = vlm_lm_flop(c, (int64_t)r->amount, 0);
    r->bytes = language_bytes(x->m) + 4 * r->amount * (double)c->D;
    r->bound = bound_of(x->b, &x->m->net->lm.block[0].qkv);
    TRY(vlm_bench_time(x->b, r, prefill_once, x));
    return vlm_bench_row(x->b, r);
}
vlm_status vlm_bench_prefill(vlm_bench *b) {
    return all_of(b, &(part){ decoders, b->quick ? 1 : DECODERS, { "f32", "bf16" }, false, prefill_name, prefill_row });
}

static int decode_name(int i, const char *name, const char *type, bool quick, char out[96]) {
    (void)quick;
    return i ? 0 : snprintf(out, 96, "decode %s %s", name, type);
}
/* Goes back to the prompt's end each time: positions behind it are written again. */
static vlm_status decode_once(void *arg) {
    subject *x = arg;
    int64_t id = id_at(x, 1), from = context_of(x, PROMPT + ANSWER) - ANSWER;
    x->s->kv.len = from;
    for (int k = 0; k < ANSWER; k++) {
        TRY(vlm_prefill(x->s, &id, 1, NULL));
        TRY(vlm_sample(x->s, NULL, &id));
    }
    return VLM_OK;
}
static vlm_status decode_row(subject *x, int i, vlm_row *r) {
    int64_t ids[PROMPT], n = context_of(x, PROMPT + ANSWER) - ANSWER;
    double seconds;
    (void)i;
    if (n < 1) return vlm_bench_skip(x->b, r, "the context has %lld positions, and %d are drawn", (long long)x->m->context, ANSWER);
    TRY(vlm_session_reserve(x->s, n + ANSWER));
    vlm_session_reset(x->s);
    for (int64_t k = 0; k < n; k++) ids[k] = id_at(x, k);
    TRY(vlm_prefill(x->s, ids, (size_t)n, NULL));
    r->amount = ANSWER, r->unit = "tokens";
    r->flop = ANSWER * vlm_lm_flop(&x->m->net->lm.cfg, 1, n);
    r->bytes = ANSWER * language_bytes(x->m);
    r->bound = VLM_BOUND_READ;
    TRY(vlm_bench_time(x->b, r, decode_once, x));
    TRY(vlm_limits_read(x->b->ctx, x->b->cpu, (size_t)(r->bytes / ANSWER), 7, &seconds));     /* of a buffer of the model's size */
    if (seconds > 0) r->limit = r->bytes / ANSWER / seconds;
    return vlm_bench_row(x->b, r);
}
vlm_status vlm_bench_decode(vlm_bench *b) {
    return all_of(b, &(part){ decoders, b->quick ? 1 : DECODERS, { "f32", "bf16" }, false, decode_name, decode_row });
}

/* ---- Opening a folder whose files lie in the page cache ------------------------------------------------------------------ */
static int load_name(int i, const char *name, const char *type, bool quick, char out[96]) {
    (void)quick;
    return i ? 0 : snprintf(out, 96, "load %s %s", name, type);
}
static vlm_status load_once(void *arg) {
    vlm_model *m;
    TRY(open_model(arg, &m));
    vlm_model_close(m);
    return VLM_OK;
}
static vlm_status load_row(subject *x, int i, vlm_row *r) {
    (void)i;
    r->amount = (double)vlm_net_bytes(x->m->net) / 1e6, r->unit = "MB";
    TRY(vlm_bench_time(x->b, r, load_once, x));
    return vlm_bench_row(x->b, r);
}
vlm_status vlm_bench_load(vlm_bench *b) {
    part p = { decoders, 1, { "f32", "bf16" }, false, load_name, load_row };
    if (b->a->args > 1) {              /* whatever it holds */
        subject s;
        if (!open_subject(b, NULL, NULL, true, &s)) p.vision = true, close_subject(&s);
        return rows_of(b, &p, NULL, NULL);
    }
    TRY(all_of(b, &p));
    if (b->quick) return VLM_OK;
    return all_of(b, &(part){ encoders + 2, 1, { "f32", "bf16" }, true, load_name, load_row });
}

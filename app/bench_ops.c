/* vlm bench gemm, attention: single ops, at the shapes of the models that people run. */
#include "bench.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE = 1 << 20, PAST_L2 = 24 << 20, PAST_L3 = 256 << 20 };     /* values drawn once; bytes that operands rotate through */

/* Values in [-1, 1) for everything here: no denormals, nothing that a multiplication finds easier than another. */
static const float *table(void) {
    static float *v;
    if (!v && (v = malloc(TABLE * sizeof *v)))
        for (uint32_t i = 0, x = 88172645u; i < TABLE; i++) {
            x ^= x << 13, x ^= x >> 17, x ^= x << 5;
            v[i] = (float)((double)x / 2147483648.0 - 1);
        }
    return v;
}
static void fill(float *to, int64_t n, const float *from) {
    for (int64_t i = 0; i < n; i += TABLE) memcpy(to + i, from, (size_t)(n - i < TABLE ? n - i : TABLE) * sizeof *to);
}
/* A packed matrix of any type: whole numbers with scales of about 1/1000, as ops.h lays them out. */
static void fill_mat(const vlm_mat *m, const float *from) {
    int64_t bytes = vlm_mat_bytes(m), panel = vlm_panel_bytes(m->dtype, m->cols);
    if (m->dtype == VLM_F32) { fill(m->data, bytes / 4, from); return; }
    if (!vlm_dtype_quantized(m->dtype)) {
        for (int64_t i = 0; i < bytes / 2; i++) {
            float f = from[i % TABLE];
            ((uint16_t *)m->data)[i] = m->dtype == VLM_BF16 ? vlm_float_bf16(f) : vlm_float_f16(f);
        }
        return;
    }
    unsigned char *p = m->data;
    uint16_t half = vlm_float_f16(1e-3f);
    float scale = 1e-3f;
    for (int64_t i = 0; i < bytes; i++) p[i] = (unsigned char)(1 + (int)((from[i % TABLE] + 1) * 127));
    int64_t group = panel / ((m->cols + VLM_QGROUP - 1) / VLM_QGROUP), q = group - VLM_PANEL * 2;
    for (int64_t at = 0; at < bytes; at += m->dtype == VLM_I8 ? panel : group)
        for (int j = 0; j < VLM_PANEL; j++)
            if (m->dtype == VLM_I8) memcpy(p + at + panel - VLM_PANEL * 4 + 4 * j, &scale, 4);
            else memcpy(p + at + q + 2 * j, &half, 2);
}

/* ---- Linear layers ----------------------------------------------------------------------------------------------------- */
typedef enum pass { FORWARD, TO_INPUT, TO_WEIGHT } pass;
typedef struct product {               /* `copies` sets of operands, which the calls take in turn */
    vlm_bench *b;
    pass pass;
    int64_t R, copies, at;
    size_t x_len, out_len;
    float *x, *out;
    vlm_mat w;
} product;
static vlm_status multiply(void *arg) {
    product *p = arg;
    const vlm_ops *o = &p->b->ops;
    vlm_mat w = p->w;
    float *x = p->x + (size_t)p->at * p->x_len, *out = p->out + (size_t)p->at * p->out_len;
    w.data = (char *)w.data + (size_t)p->at * (size_t)vlm_mat_bytes(&w);
    if (p->pass == FORWARD) o->linear_forward(p->b->ctx, out, x, &w, NULL, p->R);
    else if (p->pass == TO_INPUT) o->linear_backward_input(p->b->ctx, x, out, &w, NULL, p->R);
    else o->linear_backward_weight(p->b->ctx, &w, NULL, out, x, p->R);
    p->at = (p->at + 1) % p->copies;
    return VLM_OK;
}
static const char *const passes[] = { "forward", "to-input", "to-weight" };

/* Rows that stream the weights are bound by memory, more rows by arithmetic. */
static vlm_status one_product(vlm_bench *b, pass pass, vlm_dtype t, const char *layer, int64_t R, int64_t K, int64_t C) {
    product p = { .b = b, .pass = pass, .R = R, .x_len = (size_t)(R * K), .out_len = (size_t)(R * C), .w = { t, VLM_PANELS, C, K, NULL } };
    vlm_row r = { .flop = 2.0 * (double)R * (double)K * (double)C };
    size_t w_bytes = (size_t)vlm_mat_bytes(&p.w), set = w_bytes + (p.x_len + p.out_len) * sizeof(float), past = R > 8 ? PAST_L2 : PAST_L3;
    vlm_status status = VLM_OK;
    snprintf(r.name, sizeof r.name, "gemm %s %s %lldx%lldx%lld %s rows%s%s", vlm_dtype_name(t), passes[pass], (long long)R, (long long)K,
             (long long)C, layer, R >= 256 ? ">=256" : "=", R >= 256 ? "" : R == 1 ? "1" : "8");
    if (!vlm_bench_wants(b, r.name)) return VLM_OK;
    r.bytes = (double)(set + (pass == TO_WEIGHT ? w_bytes : 0));       /* gradients of weights are read and written */
    r.bound = R <= 8 ? VLM_BOUND_READ : vlm_dtype_quantized(t) && b->limits.dot > 0 ? VLM_BOUND_DOT : VLM_BOUND_FMA;
    p.copies = b->quick ? 2 : (int64_t)(past / set) + 2;
    size_t n = (size_t)p.copies, bytes[3] = { w_bytes * n, p.x_len * sizeof(float) * n, p.out_len * sizeof(float) * n };
    if (bytes[0] + bytes[1] + bytes[2] > vlm_bench_free_bytes() / 4 * 3)
        return vlm_bench_skip(b, &r, "takes %.1f GB, more than three quarters of what is free",
                              (double)(bytes[0] + bytes[1] + bytes[2]) / 1e9);
    void *mem[3] = { 0 };
    for (int i = 0; i < 3; i++)
        if (!(mem[i] = b->ops.alloc(bytes[i]))) { status = vlm_fail_memory(r.name, bytes[i]); goto done; }
    if (!table()) { status = vlm_fail_memory(r.name, TABLE * sizeof(float)); goto done; }
    p.w.data = mem[0], p.x = mem[1], p.out = mem[2];
    fill(p.x, (int64_t)(p.x_len * (size_t)p.copies), table());
    fill(p.out, (int64_t)(p.out_len * (size_t)p.copies), table());
    fill_mat(&p.w, table());
    for (int64_t i = 1; i < p.copies; i++) memcpy((char *)p.w.data + (size_t)i * w_bytes, p.w.data, w_bytes);
    TRY_DONE(vlm_bench_time(b, &r, multiply, &p));
    status = vlm_bench_row(b, &r);
done:
    for (int i = 0; i < 3; i++) if (mem[i]) b->ops.free(mem[i], bytes[i]);
    return status;
}

/* Layers as (inputs, outputs): ViT-S, B and L at the 1029 rows of 512 x 512, S+'s gated one, SmolLM2-135M and Gemma 3 270M at a chunk of a
   prompt, and both one token and eight at a time. */
static const struct { const char *layer; int64_t R, K, C; } shapes[] = {
    { "ViT-S-qkv", 1029, 384, 1152 }, { "ViT-S-out", 1029, 384, 384 }, { "ViT-S-up", 1029, 384, 1536 }, { "ViT-S-down", 1029, 1536, 384 },
    { "ViT-S+-up", 1029, 384, 3072 }, { "ViT-B-qkv", 1029, 768, 2304 }, { "ViT-B-out", 1029, 768, 768 }, { "ViT-B-up", 1029, 768, 3072 },
    { "ViT-B-down", 1029, 3072, 768 }, { "ViT-L-qkv", 1029, 1024, 3072 }, { "ViT-L-out", 1029, 1024, 1024 },
    { "ViT-L-up", 1029, 1024, 4096 }, { "ViT-L-down", 1029, 4096, 1024 }, { "SmolLM2-qkv", 512, 576, 960 },
    { "SmolLM2-out", 512, 576, 576 }, { "SmolLM2-up", 512, 576, 3072 }, { "SmolLM2-down", 512, 1536, 576 },
    { "Gemma-qkv", 512, 640, 1536 }, { "Gemma-out", 512, 1024, 640 },
    { "Gemma-up", 512, 640, 4096 }, { "Gemma-down", 512, 2048, 640 } };
static const struct { const char *layer; int64_t K, C; } streams[] = {
    { "SmolLM2-qkv", 576, 960 }, { "SmolLM2-out", 576, 576 }, { "SmolLM2-up", 576, 3072 }, { "SmolLM2-down", 1536, 576 },
    { "SmolLM2-head", 576, 49152 }, { "Gemma-qkv", 640, 1536 }, { "Gemma-up", 640, 4096 }, { "Gemma-down", 2048, 640 },
    { "Gemma-head", 640, 262144 } };

vlm_status vlm_bench_gemm(vlm_bench *b) {
    static const vlm_dtype order[] = { VLM_F32, VLM_BF16, VLM_F16, VLM_I8, VLM_G8, VLM_G4 };
    int wide = b->quick ? 1 : (int)(sizeof shapes / sizeof *shapes), thin = b->quick ? 1 : (int)(sizeof streams / sizeof *streams);
    int first = b->rows;
    char words[64];
    for (int i = 0; i < 6; i++) {
        vlm_dtype t = order[i];
        bool whole = vlm_dtype_quantized(t);
        for (pass p = FORWARD; p <= TO_WEIGHT; p++) {
            if ((whole && p != FORWARD) || (t != VLM_F32 && p == TO_WEIGHT)) continue;        /* gradients of weights are f32 */
            for (int s = 0; s < wide; s++) TRY(one_product(b, p, t, shapes[s].layer, shapes[s].R, shapes[s].K, shapes[s].C));
            snprintf(words, sizeof words, "gemm %s %s rows>=256", vlm_dtype_name(t), passes[p]);
            TRY(vlm_bench_summary(b, first, words));
        }
        for (int64_t R = 1; R <= 8; R += 7) {
            for (int s = 0; s < thin; s++) TRY(one_product(b, FORWARD, t, streams[s].layer, R, streams[s].K, streams[s].C));
            snprintf(words, sizeof words, "gemm %s forward rows=%lld", vlm_dtype_name(t), (long long)R);
            TRY(vlm_bench_summary(b, first, words));
        }
    }
    return VLM_OK;
}

/* ---- Attention --------------------------------------------------------------------------------------------------------- */
typedef struct heads {
    vlm_bench *b;
    bool back;
    int64_t N, H, G, D, window, S;
    int causal;
    vlm_span span;
    float *qkv, *out, *lse, *dqkv, *dout;
} heads;
static vlm_status attend(void *arg) {
    heads *h = arg;
    const vlm_ops *o = &h->b->ops;
    int64_t kv = h->H * h->D, v = kv + h->G * h->D;
    float scale = 1 / sqrtf((float)h->D);
    if (!h->back)
        o->attention_forward(h->b->ctx, h->out, h->lse, h->qkv, &h->span, 1, h->H, h->G, h->D, h->S, h->S, h->causal, h->window, scale);
    else
        o->attention_backward(h->b->ctx, h->dqkv, h->dqkv + kv, h->dqkv + v, h->dout, h->out, h->lse, h->qkv, h->qkv + kv, h->qkv + v,
                              &h->span, 1, h->H, h->G, h->D, h->S, h->causal, h->window, scale);
    return VLM_OK;
}
static vlm_status one_attention(vlm_bench *b, bool back, const char *like, int64_t N, int64_t H, int64_t G, int64_t D, int causal,
                                int64_t window) {
    heads h = { .b = b, .N = N, .H = H, .G = G, .D = D, .S = (H + 2 * G) * D, .causal = causal, .window = window };
    size_t all = (size_t)(N * h.S), one = (size_t)(N * H * D), len[5] = { all, one, (size_t)(N * H), back ? all : 1, back ? one : 1 };
    float *mem[5] = { 0 };
    double pairs = 0;
    vlm_row r = { .bound = VLM_BOUND_FMA };
    vlm_status status = VLM_OK;
    for (int64_t t = 1; t <= N; t++) pairs += (double)(!causal ? N : window && window < t ? window : t);
    snprintf(r.name, sizeof r.name, "attention %s %s tokens=%lld heads=%lld/%lld width=%lld%s%s", back ? "backward" : "forward", like,
             (long long)N, (long long)H, (long long)G, (long long)D, causal ? " causal" : "", window ? " window" : "");
    if (!vlm_bench_wants(b, r.name)) return VLM_OK;
    r.flop = (back ? 10 : 4) * pairs * (double)(H * D);        /* backward: q k' once more, dp, dv, dq, dk */
    r.bytes = 4.0 * (double)(len[0] + len[1] + (back ? len[3] + len[4] : 0));
    for (int i = 0; i < 5; i++)
        if (!(mem[i] = b->ops.alloc(len[i] * sizeof(float)))) { status = vlm_fail_memory(r.name, len[i] * sizeof(float)); goto done; }
    if (!table()) { status = vlm_fail_memory(r.name, TABLE * sizeof(float)); goto done; }
    h.qkv = mem[0], h.out = mem[1], h.lse = mem[2], h.dqkv = mem[3], h.dout = mem[4];
    fill(h.qkv, (int64_t)len[0], table());
    fill(h.dout, (int64_t)len[4], table());
    h.span = (vlm_span){ .rows = N, .keys = N, .k = h.qkv + H * D, .v = h.qkv + (H + G) * D };
    if (back) TRY_DONE(attend(&h));
    h.back = back;
    TRY_DONE(vlm_bench_time(b, &r, attend, &h));
    status = vlm_bench_row(b, &r);
done:
    for (int i = 0; i < 5; i++) if (mem[i]) b->ops.free(mem[i], len[i] * sizeof(float));
    return status;
}
vlm_status vlm_bench_attention(vlm_bench *b) {
    static const struct { const char *like; int64_t N, H, G, D; int causal; int64_t window; } s[] = {
        { "ViT-S", 1029, 6, 6, 64, 0, 0 }, { "ViT-S", 3077, 6, 6, 64, 0, 0 }, { "ViT-B", 4101, 12, 12, 64, 0, 0 },
        { "SigLIP-so400m", 1024, 16, 16, 72, 0, 0 }, { "SigLIP-so400m", 2048, 16, 16, 72, 0, 0 }, { "SmolLM2", 1024, 9, 3, 64, 1, 0 },
        { "SmolLM2", 2048, 9, 3, 64, 1, 0 }, { "wide", 2048, 8, 2, 128, 1, 0 }, { "wide", 2048, 8, 8, 128, 0, 0 },
        { "Gemma", 1024, 4, 1, 256, 1, 0 }, { "Gemma", 2048, 4, 1, 256, 1, 0 }, { "Gemma", 2048, 4, 1, 256, 1, 512 } };
    int n = b->quick ? 1 : (int)(sizeof s / sizeof *s), first = b->rows;
    for (int back = 0; back < 2; back++) {
        for (int i = 0; i < n; i++)
            TRY(one_attention(b, back, s[i].like, b->quick ? 70 : s[i].N, s[i].H, s[i].G, s[i].D, s[i].causal, s[i].window));
        TRY(vlm_bench_summary(b, first, back ? "attention backward" : "attention forward"));
    }
    return VLM_OK;
}

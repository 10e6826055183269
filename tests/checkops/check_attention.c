#include "checkops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct shape { int64_t H, G, D; int causal; int64_t window; float scale; } shape;
typedef struct qkv { int64_t N, S, Skv; buf q, k, v; } qkv;            /* rows that lie S, Skv apart */

static qkv make(check *k, const shape *s, int64_t N, int64_t keys) {
    qkv x = { .N = N, .S = s->H * s->D + 3, .Skv = s->G * s->D + 5 };
    x.q = check_in(k, N * x.S), x.k = check_in(k, keys * x.Skv), x.v = check_in(k, keys * x.Skv);
    return x;
}
#define CALL(op, ctx, out, lse, q, spans, n, s, x) \
    op->attention_forward(ctx, out, lse, q, spans, n, (s)->H, (s)->G, (s)->D, (x)->S, (x)->Skv, (s)->causal, (s)->window, (s)->scale)

/* Several spans in one call against the oracle. Rows of K and V that no query may see hold NaN. */
static void check_spans(check *k, const shape *s, const int64_t (*rows)[2], int n) {       /* rows[i]: queries, positions before them */
    int64_t N = 0, keys = 0;
    vlm_span f[8], d[8];
    for (int i = 0; i < n; i++) N += rows[i][0], keys += rows[i][0] + rows[i][1] + 2;
    qkv x = make(k, s, N, keys);
    buf nk = check_out(k, keys * x.Skv), nv = check_out(k, keys * x.Skv);
    N = keys = 0;
    for (int i = 0; i < n; i++) {
        int64_t all = rows[i][0] + rows[i][1], at = keys * x.Skv;
        int64_t first = s->window && s->causal && rows[i][1] + 1 > s->window ? rows[i][1] + 1 - s->window : 0;
        memcpy(nk.f + at + first * x.Skv, x.k.f + at + first * x.Skv, (size_t)((all - first) * x.Skv) * sizeof(float));
        memcpy(nv.f + at + first * x.Skv, x.v.f + at + first * x.Skv, (size_t)((all - first) * x.Skv) * sizeof(float));
        f[i] = d[i] = (vlm_span){ .row = N, .rows = rows[i][0], .pos = rows[i][1], .keys = all, .k = nk.f + at, .v = nv.f + at };
        d[i].k = (const float *)(const void *)(x.k.d + at), d[i].v = (const float *)(const void *)(x.v.d + at);
        N += rows[i][0], keys += all + 2;
    }
    buf out = check_out(k, N * s->H * s->D), lse = check_out(k, N * s->H), again = check_out(k, N * s->H * s->D);
    CALL(k->op, k->ctx, out.f, lse.f, x.q.f, f, n, s, &x);
    CALL(k->want, k->ctx, out.d, lse.d, x.q.d, d, n, s, &x);
    double tol = 2e-6 + 3e-7 * s->scale;               /* a dot is off by 1e-7 or so before it is scaled */
    check_same(k, "out", out, tol);
    check_same(k, "lse", lse, tol);
    CALL(k->op, k->ctx, again.f, NULL, x.q.f, f, n, s, &x);
    check_bits(k, "lse not asked for", out.f, again.f, out.n);
    for (int i = 0; i < n; i++) CALL(k->op, k->ctx, again.f, NULL, x.q.f, f + i, 1, s, &x);
    check_bits(k, "spans one by one", out.f, again.f, out.n);
    check_free(k);
}

/* The rows of one span cut into calls of `step`: keys in a cache that grows, or in a ring, both full of NaN at first. The same bits.
   far: a value of a key that only later rows see is infinite. */
static void check_cuts(check *k, const shape *s, int64_t N, int64_t pos, int64_t step, bool far) {
    int64_t all = pos + N, W = s->window ? s->window + step : all, ring = (W + VLM_KEY_BLOCK - 1) / VLM_KEY_BLOCK * VLM_KEY_BLOCK;
    qkv x = make(k, s, N, all);
    buf v = check_out(k, all * x.Skv), rk = check_out(k, ring * x.Skv), rv = check_out(k, ring * x.Skv);
    buf ck = check_out(k, all * x.Skv), cv = check_out(k, all * x.Skv);
    buf out = check_out(k, N * s->H * s->D), grow = check_out(k, out.n), round = check_out(k, out.n);
    size_t row = (size_t)x.Skv * sizeof(float);
    memcpy(v.f, x.v.f, (size_t)all * row);
    if (far) v.f[(all - 2) * x.Skv] = INFINITY, v.f[(pos + N / 2) * x.Skv + s->D - 1] = NAN;
    vlm_span one = { 0, N, pos, all, x.k.f, v.f, 0 };
    CALL(k->op, k->ctx, out.f, NULL, x.q.f, &one, 1, s, &x);
    for (int64_t i = 0, at = 0, n; i < N; i += n) {
        n = N - i < step ? N - i : step;
        for (; at < pos + i + n; at++) {
            memcpy(ck.f + at * x.Skv, x.k.f + at * x.Skv, row), memcpy(cv.f + at * x.Skv, v.f + at * x.Skv, row);
            memcpy(rk.f + at % ring * x.Skv, x.k.f + at * x.Skv, row), memcpy(rv.f + at % ring * x.Skv, v.f + at * x.Skv, row);
        }
        vlm_span a = { i, n, pos + i, at, ck.f, cv.f, 0 }, b = { i, n, pos + i, at, rk.f, rv.f, ring };
        CALL(k->op, k->ctx, grow.f, NULL, x.q.f, &a, 1, s, &x);
        CALL(k->op, k->ctx, round.f, NULL, x.q.f, &b, 1, s, &x);
    }
    for (int64_t i = 0; i < out.n; i++)                /* NaN has no bits to compare */
        if (isnan(out.f[i]) && isnan(grow.f[i]) && isnan(round.f[i])) out.f[i] = grow.f[i] = round.f[i] = 0;
    check_bits(k, "cut into calls", out.f, grow.f, out.n);
    check_bits(k, "cut into calls, with a ring", out.f, round.f, out.n);
    if (far) {                                         /* rows before the bad keys have not seen them */
        bool clean = true;
        for (int64_t i = 0; i < N / 2 * s->H * s->D; i++) clean = clean && isfinite(out.f[i]);
        check_true(k, "later keys do not leak", clean);
    }
    check_free(k);
}

static void check_edges(check *k) {
    /* Logits of ±1e4 and more: one key takes all. No key at all: zeros. */
    shape s = { 2, 1, 4, 0, 0, 1e4f };
    check_spans(k, &s, (const int64_t[][2]){ {3, 0}, {70, 0}, {1, 129} }, 3);
    s.causal = 1;
    check_spans(k, &s, (const int64_t[][2]){ {3, 0}, {70, 3}, {1, 129} }, 3);
    s.scale = 0;
    check_spans(k, &s, (const int64_t[][2]){ {3, 0}, {70, 3} }, 2);
    qkv x = make(k, &s, 2, 2);
    buf out = check_out(k, 16), lse = check_out(k, 4);
    vlm_span none = { 0, 2, 0, 0, x.k.f, x.v.f, 0 };
    s.causal = 0;
    CALL(k->op, k->ctx, out.f, lse.f, x.q.f, &none, 1, &s, &x);
    for (int i = 0; i < 16; i++) check_true(k, "no keys", out.f[i] == 0 && lse.f[i / 4] == -INFINITY);
    CALL(k->op, k->ctx, out.f, lse.f, x.q.f, &none, 0, &s, &x);
    check_free(k);
    x = make(k, &s, 1, 3), out = check_out(k, 8);      /* NaN that is seen shows */
    buf v = check_out(k, 3 * x.Skv);
    vlm_span seen = { 0, 1, 0, 3, x.k.f, v.f, 0 };
    CALL(k->op, k->ctx, out.f, NULL, x.q.f, &seen, 1, &s, &x);
    for (int i = 0; i < 8; i++) check_true(k, "NaN stays", isnan(out.f[i]));
    check_free(k);
}

static void bench(check *k, const char *name, const shape *s, int64_t N, int64_t pos) {
    vlm_span one = { 0, N, pos, pos + N, NULL, NULL, 0 };
    qkv x = make(k, s, N, pos + N);
    buf out = check_out(k, N * s->H * s->D);
    char what[64];
    double ns, pairs = s->causal ? (double)N * (double)pos + 0.5 * (double)N * (double)(N + 1) : (double)N * (double)N;
    one.k = x.k.f, one.v = x.v.f;
    snprintf(what, sizeof what, "%s N%lld H%lld D%lld", name, (long long)(N + pos), (long long)s->H, (long long)s->D);
    CHECK_TIME(ns, CALL(k->op, k->ctx, out.f, NULL, x.q.f, &one, 1, s, &x));
    if (N == 1) check_stream(k, what, ns, 8.0 * (double)((pos + 1) * s->G * s->D));
    else check_rate(k, what, ns, 4.0 * pairs * (double)(s->H * s->D));
    check_free(k);
}

void check_attention_forward(check *k) {
    static const int64_t DIM[] = { 2, 8, 34, 64, 72, 128, 256 };
    static const int64_t A[][2] = { {1, 0}, {7, 0}, {0, 0}, {63, 0}, {130, 0} },
                         B[][2] = { {1, 0}, {1, 64}, {5, 61}, {64, 0}, {37, 100}, {1, 200} };
    for (int i = 0; i < 7; i++) {
        int64_t D = DIM[i];
        float scale = 1 / sqrtf((float)D);
        check_spans(k, &(shape){ 2, 2, D, 0, 0, scale }, A, 5);
        check_spans(k, &(shape){ 3, 1, D, 1, 0, scale }, B, 6);
        check_spans(k, &(shape){ 4, 2, D, 1, 50, scale * 8 }, B, 6);
    }
    check_spans(k, &(shape){ 1, 1, 64, 0, 0, 0.125f }, (const int64_t[][2]){ {450, 0}, {0, 0} }, 2);
    check_spans(k, &(shape){ 9, 3, 64, 1, 1, 0.125f }, B, 6);
    static const int64_t STEP[] = { 1, 7, 64, 100 };
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 8; j++) {
            shape s = { 3, j & 1 ? 3 : 1, j == 7 ? 72 : 16, 1, j & 2 ? 40 : 0, j & 4 ? 30 : 0.25f };
            check_cuts(k, &s, 150, j & 4 ? 70 : 0, STEP[i], i % 2 == 0 && j != 7);
        }
    check_edges(k);
    if (k->bench && k->fast) {
        bench(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 3077, 0);
        bench(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 201, 0);
        bench(k, "SO400M", &(shape){ 16, 16, 72, 0, 0, 0.125f }, 1024, 0);
        bench(k, "7B", &(shape){ 8, 8, 128, 0, 0, 0.125f }, 1029, 0);
        bench(k, "SmolLM prefill", &(shape){ 9, 3, 64, 1, 0, 0.125f }, 1024, 0);
        bench(k, "Gemma prefill", &(shape){ 4, 1, 256, 1, 512, 0.0625f }, 512, 0);
        bench(k, "SmolLM token", &(shape){ 9, 3, 64, 1, 0, 0.125f }, 1, 1023);
        bench(k, "Gemma token", &(shape){ 4, 1, 256, 1, 0, 0.0625f }, 1, 1023);
        bench(k, "Llama token", &(shape){ 32, 32, 64, 1, 0, 0.125f }, 1, 2047);
    }
}

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
    double tol = 2e-6 + 1e-6 * s->scale;               /* scale log2 e is rounded, and so is each dot: by 1e-7 or so before scaling */
    check_same(k, "out", out, tol);
    check_same(k, "lse", lse, tol);
    CALL(k->op, k->ctx, again.f, NULL, x.q.f, f, n, s, &x);
    check_bits(k, "lse not asked for", out.f, again.f, out.n);
    for (int i = 0; i < n; i++) CALL(k->op, k->ctx, again.f, NULL, x.q.f, f + i, 1, s, &x);
    check_bits(k, "spans one by one", out.f, again.f, out.n);
    check_free(k);
}

/* A cache of keys and values, all bits of NaN at first, its ring 0 or not. */
typedef struct cache { vlm_dtype t; int64_t G, D, S, ring; void *k, *v; } cache;
static cache make_cache(check *k, vlm_dtype t, const shape *s, const qkv *x, int64_t positions, int64_t ring) {
    size_t bytes = (size_t)vlm_kv_bytes(t, ring ? ring : positions, s->G, s->D);
    return (cache){ t, s->G, s->D, x->Skv, ring, check_raw(k, bytes), check_raw(k, bytes) };
}
static void put(const check *k, const cache *c, const float *keys, const float *values, int64_t at, int64_t n) {
    k->op->kv_store(k->ctx, c->k, c->t, 0, keys + at * c->S, at, c->ring, n, c->G, c->D, c->S);
    k->op->kv_store(k->ctx, c->v, c->t, 1, values + at * c->S, at, c->ring, n, c->G, c->D, c->S);
}
static vlm_span of_cache(const cache *c, int64_t row, int64_t rows, int64_t pos, int64_t keys) {
    return (vlm_span){ .row = row, .rows = rows, .pos = pos, .keys = keys, .k = c->k, .v = c->v, .ring = c->ring, .layout = VLM_PANELS,
                       .dtype = c->t };
}

/* The rows of one span cut into calls of `step`: keys in a cache that grows, or in a ring, both full of NaN at first. The same bits as in
   one call; of F32 the same as without a cache.   far: a value of a key that only later rows see is infinite. */
static void check_cuts(check *k, const shape *s, vlm_dtype t, int64_t N, int64_t pos, int64_t step, bool far) {
    int64_t all = pos + N, W = s->window ? s->window + step : all, ring = (W + VLM_KEY_BLOCK - 1) / VLM_KEY_BLOCK * VLM_KEY_BLOCK;
    qkv x = make(k, s, N, all);
    buf v = check_out(k, all * x.Skv);
    buf out = check_out(k, N * s->H * s->D), grow = check_out(k, out.n), round = check_out(k, out.n), rows = check_out(k, out.n);
    cache whole = make_cache(k, t, s, &x, all, 0), c = make_cache(k, t, s, &x, all, 0), r = make_cache(k, t, s, &x, all, ring);
    memcpy(v.f, x.v.f, (size_t)(all * x.Skv) * sizeof(float));
    if (far) v.f[(all - 2) * x.Skv] = INFINITY, v.f[(pos + N / 2) * x.Skv + s->D - 1] = NAN;
    put(k, &whole, x.k.f, v.f, 0, all);
    vlm_span one = of_cache(&whole, 0, N, pos, all);
    CALL(k->op, k->ctx, out.f, NULL, x.q.f, &one, 1, s, &x);
    CALL(k->want, k->ctx, out.d, NULL, x.q.d, &one, 1, s, &x);
    if (!far) check_same(k, "from a cache", out, 2e-6 + 1e-6 * s->scale);
    one = (vlm_span){ .rows = N, .pos = pos, .keys = all, .k = x.k.f, .v = v.f };
    CALL(k->op, k->ctx, rows.f, NULL, x.q.f, &one, 1, s, &x);
    for (int64_t i = 0, at = 0, n; i < N; i += n) {
        n = N - i < step ? N - i : step;
        put(k, &c, x.k.f, v.f, at, pos + i + n - at);
        for (int64_t m; at < pos + i + n; at += m) {           /* what is behind the window may be more than the ring holds */
            m = pos + i + n - at < step ? pos + i + n - at : step;
            put(k, &r, x.k.f, v.f, at, m);
        }
        vlm_span a = of_cache(&c, i, n, pos + i, at), b = of_cache(&r, i, n, pos + i, at);
        CALL(k->op, k->ctx, grow.f, NULL, x.q.f, &a, 1, s, &x);
        CALL(k->op, k->ctx, round.f, NULL, x.q.f, &b, 1, s, &x);
    }
    for (int64_t i = 0; i < out.n; i++)                /* NaN has no bits to compare */
        if (isnan(out.f[i]) && isnan(grow.f[i]) && isnan(round.f[i]) && (t != VLM_F32 || isnan(rows.f[i])))
            out.f[i] = grow.f[i] = round.f[i] = rows.f[i] = 0;
    check_bits(k, "cut into calls", out.f, grow.f, out.n);
    check_bits(k, "cut into calls, with a ring", out.f, round.f, out.n);
    if (t == VLM_F32) check_bits(k, "without a cache", out.f, rows.f, out.n);
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
    vlm_span none = { .rows = 2, .k = x.k.f, .v = x.v.f };
    s.causal = 0;
    CALL(k->op, k->ctx, out.f, lse.f, x.q.f, &none, 1, &s, &x);
    for (int i = 0; i < 16; i++) check_true(k, "no keys", out.f[i] == 0 && lse.f[i / 4] == -INFINITY);
    CALL(k->op, k->ctx, out.f, lse.f, x.q.f, &none, 0, &s, &x);
    check_free(k);
    x = make(k, &s, 1, 3), out = check_out(k, 8);      /* NaN that is seen shows */
    buf v = check_out(k, 3 * x.Skv);
    vlm_span seen = { .rows = 1, .keys = 3, .k = x.k.f, .v = v.f };
    CALL(k->op, k->ctx, out.f, NULL, x.q.f, &seen, 1, &s, &x);
    for (int i = 0; i < 8; i++) check_true(k, "NaN stays", isnan(out.f[i]));
    check_free(k);
}

static void bench(check *k, const char *name, const shape *s, int64_t N, int64_t pos) {
    vlm_span one = { .rows = N, .pos = pos, .keys = pos + N };
    qkv x = make(k, s, N, pos + N);
    buf out = check_out(k, N * s->H * s->D);
    char what[64];
    double ns, pairs = s->causal ? (double)N * (double)pos + 0.5 * (double)N * (double)(N + 1) : (double)N * (double)N;
    one.k = x.k.f, one.v = x.v.f;
    snprintf(what, sizeof what, "%s N%lld H%lld D%lld", name, (long long)(N + pos), (long long)s->H, (long long)s->D);
    CHECK_TIME(ns, CALL(k->op, k->ctx, out.f, NULL, x.q.f, &one, 1, s, &x));
    check_rate(k, what, ns, 4.0 * pairs * (double)(s->H * s->D));
    check_free(k);
}
/* A token that sees so many positions of a cache. Layer after layer, more than any CPU keeps. */
static void bench_token(check *k, const char *name, const shape *s, vlm_dtype t, int64_t keys) {
    enum { MOST = 96 };
    cache layer[MOST];
    qkv x = { .N = 1, .S = s->H * s->D, .Skv = s->G * s->D };
    x.q = check_in(k, x.S), x.k = check_in(k, keys * x.Skv);
    buf out = check_out(k, s->H * s->D);
    double bytes = 2.0 * (double)vlm_kv_bytes(t, keys, s->G, s->D), ns;
    int n = (int)(4e8 / bytes) + 1, l = 0;
    if (n > MOST) n = MOST;
    for (int i = 0; i < n; i++) layer[i] = make_cache(k, t, s, &x, keys, 0), put(k, &layer[i], x.k.f, x.k.f, 0, keys);
    char what[64];
    snprintf(what, sizeof what, "%s %s N%lld H%lld D%lld", name, t == VLM_F32 ? "f32" : t == VLM_F16 ? "f16" : "i8", (long long)keys,
             (long long)s->H, (long long)s->D);
    CHECK_TIME(ns, for (l = 0; l < n; l++) {
        vlm_span one = of_cache(&layer[l], 0, 1, keys - 1, keys);
        CALL(k->op, k->ctx, out.f, NULL, x.q.f, &one, 1, s, &x);
    });
    check_stream(k, what, ns / n, bytes);
    check_free(k);
}

/* A cache's elements as numbers. */
static void read_cache(const void *at, vlm_dtype t, int values, int64_t positions, int64_t G, int64_t D, float *f, double *d) {
    for (int64_t i = 0; i < positions * G * D; i++) {
        int64_t p = i / (G * D), g = i / D % G, e = values ? vlm_kv_value_at(p, i % D) : vlm_kv_key_at(p, i % D, D);
        const char *chunk = (const char *)at + vlm_kv_chunk_at(t, p, 0, G, g, D);
        float scale = 1, x;
        if (t == VLM_I8) memcpy(&scale, chunk + vlm_kv_scale_at(p, D), 4);
        if (t == VLM_F32)      memcpy(&x, chunk + e * 4, 4);
        else if (t == VLM_F16) x = vlm_f16_float(*(const uint16_t *)(const void *)(chunk + e * 2));
        else                   x = (float)*(const int8_t *)(chunk + e);
        if (f) f[i] = x * scale;
        else   d[i] = (double)x * scale;
    }
}
static void real_of(const check *k, void *to, vlm_dtype t, int values, const float *x, float *read) {
    k->op->kv_store(k->ctx, to, t, values, x, 0, 0, 1, 1, 4, 4);
    read_cache(to, t, values, 1, 1, 4, read, NULL);
}
void check_kv_store(check *k) {
    static const vlm_dtype TYPE[] = { VLM_F32, VLM_F16, VLM_I8 };
    static const int64_t DIM[] = { 1, 7, 16, 64, 72, 256 }, CUT[] = { 600, 1, 33, 100 };
    enum { R = 600, G = 3 };
    for (int i = 0; i < 3 * 2 * 6; i++) {
        vlm_dtype t = TYPE[i % 3];
        int values = i / 3 % 2;
        int64_t D = DIM[i / 6], S = G * D + 3, bytes = vlm_kv_bytes(t, R, G, D), n = bytes / 4;
        buf x = check_in(k, R * S), all = check_out(k, R * G * D), first = check_out(k, n);
        k->want->kv_store(k->ctx, first.d, t, values, x.d, 0, 0, R, G, D, S);
        read_cache(first.d, t, values, R, G, D, NULL, all.d);
        for (int c = 0; c < 4; c++) {
            buf cut = check_out(k, n), round = check_out(k, n);
            memset(cut.f, 0, (size_t)bytes), memset(round.f, 0, (size_t)bytes), memset(first.f, 0, (size_t)bytes);
            k->op->kv_store(k->ctx, first.f, t, values, x.f, 0, 0, R, G, D, S);
            for (int64_t r = 0, m; r < R; r += m) {
                m = R - r < CUT[c] ? R - r : CUT[c];
                k->op->kv_store(k->ctx, cut.f, t, values, x.f + r * S, r, 0, m, G, D, S);
                /* in a ring the last position that fits is what stays: 600 lies where 88 was */
                for (int64_t j = r; j < r + m; j++)
                    k->op->kv_store(k->ctx, round.f, t, values, x.f + j * S, j, 2 * VLM_KEY_BLOCK, 1, G, D, S);
            }
            check_bits(k, "cut into calls", first.f, cut.f, n);
            read_cache(first.f, t, values, R, G, D, all.f, NULL);
            if (!c) check_same(k, "store", all, t == VLM_I8 ? 1e-7 : 0x1p-60);
            buf late = check_copy(k, first);
            k->op->kv_store(k->ctx, late.f, t, values, x.f + 512 * S, 0, 0, R - 512, G, D, S);
            check_bits(k, "in a ring", late.f, round.f, 2 * G * vlm_kv_chunk_bytes(t, D) / 4);
        }
        check_free(k);
    }
    static const float BYTES[4] = { -2, 1, 0.5f, 0 }, HALFS[4] = { 1.00048828125f, 1.00146484375f, 65519, 65520 };
    for (int values = 0; values < 2; values++) {       /* by hand: ties to even, the largest */
        float read[4], *to = check_raw(k, (size_t)vlm_kv_bytes(VLM_F32, 1, 1, 4));
        float one[4] = { BYTES[0], BYTES[1], BYTES[2], BYTES[3] }, bad[4] = { 1, NAN, INFINITY, 0 };
        real_of(k, to, VLM_I8, values, one, read);
        for (int d = 0; d < 4; d++) check_true(k, "bytes", read[d] == (float[]){ -127, 64, 32, 0 }[d] * (2 / 127.0f));
        real_of(k, to, VLM_F16, values, HALFS, read);
        for (int d = 0; d < 4; d++) check_true(k, "halfs", read[d] == (float[]){ 1, 1.001953125f, 65504, INFINITY }[d]);
        real_of(k, to, VLM_I8, values, bad, read);
        for (int d = 0; d < 4; d++) check_true(k, "NaN shows", isnan(read[d]));
        one[0] = one[1] = one[2] = 0;
        real_of(k, to, VLM_I8, values, one, read);
        for (int d = 0; d < 4; d++) check_true(k, "zeros", read[d] == 0);
        check_free(k);
    }
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
            check_cuts(k, &s, VLM_F32, 150, j & 4 ? 70 : 0, STEP[i], i % 2 == 0 && j != 7);
            if (j & 1) check_cuts(k, &s, j & 2 ? VLM_I8 : VLM_F16, 150, j & 4 ? 270 : 0, STEP[i], false);
        }
    for (int j = 0; j < 3; j++) {                      /* more than one block; many query heads; a window over a border */
        vlm_dtype t = (vlm_dtype[]){ VLM_F32, VLM_F16, VLM_I8 }[j];
        check_cuts(k, &(shape){ 9, 3, 64, 1, 0, 0.125f }, t, 60, 500, 13, false);
        check_cuts(k, &(shape){ 4, 1, 40, 1, 300, 1 }, t, 40, 700, 1, false);
        check_cuts(k, &(shape){ 16, 1, 16, 1, 0, 1 }, t, 9, 1100, 2, false);
    }
    check_edges(k);
    if (k->bench && k->fast) {
        bench(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 3077, 0);
        bench(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 201, 0);
        bench(k, "SO400M", &(shape){ 16, 16, 72, 0, 0, 0.125f }, 1024, 0);
        bench(k, "7B", &(shape){ 8, 8, 128, 0, 0, 0.125f }, 1029, 0);
        bench(k, "SmolLM prefill", &(shape){ 9, 3, 64, 1, 0, 0.125f }, 1024, 0);
        bench(k, "Gemma prefill", &(shape){ 4, 1, 256, 1, 512, 0.0625f }, 512, 0);
        bench(k, "ViT-B", &(shape){ 12, 12, 64, 0, 0, 0.125f }, 4101, 0);
        bench(k, "SmolLM prefill", &(shape){ 9, 3, 64, 1, 0, 0.125f }, 4096, 0);
        bench(k, "Gemma prefill", &(shape){ 4, 1, 256, 1, 512, 0.0625f }, 2048, 0);
        for (int j = 0; j < 3; j++) {
            vlm_dtype t = (vlm_dtype[]){ VLM_F32, VLM_F16, VLM_I8 }[j];
            bench_token(k, "SmolLM token", &(shape){ 9, 3, 64, 1, 0, 0.125f }, t, 1024);
            bench_token(k, "SmolLM token", &(shape){ 9, 3, 64, 1, 0, 0.125f }, t, 4096);
            bench_token(k, "SmolLM token", &(shape){ 9, 3, 64, 1, 0, 0.125f }, t, 8192);
            bench_token(k, "Gemma token", &(shape){ 4, 1, 256, 1, 0, 0.0625f }, t, 8192);
            bench_token(k, "Llama token", &(shape){ 32, 32, 64, 1, 0, 0.125f }, t, 2048);
        }
    }
}

/* Backward: q, k and v of a row are neighbours, so are dq, dk and dv; spans, with a row between them. */
typedef struct back { shape s; int64_t N, S; buf qkv, dqkv, dout, out, lse; int n; vlm_span d[8], f[8]; } back;
static int64_t k_of(const back *b) { return b->s.H * b->s.D; }
static int64_t v_of(const back *b) { return (b->s.H + b->s.G) * b->s.D; }
#define BACK(op, ctx, t, spans, n, b) op->attention_backward(ctx, (b)->dqkv.t, (b)->dqkv.t + k_of(b), (b)->dqkv.t + v_of(b), (b)->dout.t, \
    (b)->out.t, (b)->lse.t, (b)->qkv.t, (b)->qkv.t + k_of(b), (b)->qkv.t + v_of(b), spans, n, (b)->s.H, (b)->s.G, (b)->s.D, (b)->S, \
    (b)->s.causal, (b)->s.window, (b)->s.scale)
static void forward(const check *k, const void *arg) {
    const back *b = arg;
    k->want->attention_forward(k->ctx, b->out.d, b->lse.d, b->qkv.d, b->d, b->n, b->s.H, b->s.G, b->s.D, b->S, b->S, b->s.causal,
                               b->s.window, b->s.scale);
}
/* Rows of n: random, or rounded from x; NaN where no span is, for only the spans are read. */
static buf rows_of(check *k, const back *b, int64_t n, const double *x) {
    buf r = check_out(k, b->N * n);
    memset(r.d, 0, (size_t)r.n * sizeof *r.d);
    for (const vlm_span *s = b->f; s < b->f + b->n; s++)
        for (int64_t j = s->row * n; j < (s->row + s->rows) * n; j++) r.d[j] = r.f[j] = x ? (float)x[j] : check_random();
    check_keep(k, r.f, (size_t)r.n * sizeof *r.f);
    return r;
}
static buf sevens(check *k, int64_t n) {
    buf b = check_out(k, n);
    for (int64_t i = 0; i < n; i++) b.d[i] = b.f[i] = 7;
    return b;
}
static back make_back(check *k, const shape *s, const int64_t *rows, int n) {
    back b = { .s = *s, .N = 1, .S = (s->H + 2 * s->G) * s->D + 3, .n = n };
    for (int i = 0; i < n; b.N += rows[i++] + 1) b.f[i] = (vlm_span){ .row = b.N, .rows = rows[i], .pos = 5, .keys = -1 };
    b.qkv = rows_of(k, &b, b.S, NULL), b.dout = rows_of(k, &b, s->H * s->D, NULL), b.dqkv = sevens(k, b.N * b.S);
    b.out = check_out(k, b.N * s->H * s->D), b.lse = check_out(k, b.N * s->H);
    memset(b.out.d, 0, (size_t)b.out.n * sizeof(double));
    for (int i = 0; i < n; i++) {
        const double *first = b.qkv.d + b.f[i].row * b.S;
        b.d[i] = (vlm_span){ .row = b.f[i].row, .rows = rows[i], .keys = rows[i], .k = (const float *)(const void *)(first + k_of(&b)),
                             .v = (const float *)(const void *)(first + v_of(&b)) };
    }
    forward(k, &b);
    return b;
}
static void check_back(check *k, const shape *s, const int64_t *rows, int n) {
    back b = make_back(k, s, rows, n), exact = b, one;
    b.out = rows_of(k, &b, s->H * s->D, exact.out.d), b.lse = rows_of(k, &b, s->H, exact.lse.d);
    BACK(k->op, k->ctx, f, b.f, n, &b);
    BACK(k->want, k->ctx, d, b.f, n, &b);
    double tol = 1e-6 + 1e-6 * s->scale * sqrt((double)s->D);  /* p is off by as much as its score */
    check_same(k, "dq, dk, dv", b.dqkv, tol);          /* and the rows between are left */
    one = b, one.dqkv = sevens(k, b.dqkv.n);
    for (int i = n - 1; i >= 0; i--) BACK(k->op, k->ctx, f, b.f + i, 1, &one);
    check_bits(k, "spans one by one", b.dqkv.f, one.dqkv.f, b.dqkv.n);
    if (b.N <= 80) {                                   /* against differences, from what forward answers before it is rounded */
        buf sum = exact.out, left = sevens(k, b.dqkv.n);
        exact.out = check_copy(k, sum), exact.lse = check_copy(k, exact.lse), exact.dqkv = sevens(k, b.dqkv.n);
        BACK(k->want, k->ctx, d, b.f, n, &exact);
        for (int64_t i = 0; i < left.n; i++) if (exact.dqkv.d[i] != 7) left.d[i] = 0;
        exact.out = sum;
        check_slope(k, "dq, dk, dv", &(slope){ forward, &exact, sum, b.dout }, b.qkv, exact.dqkv, left.d, 1e-6);
    }
    check_free(k);
}

/* One head of one dimension, two rows that see each other. */
static void check_back_by_hand(check *k) {
    shape s = { 1, 1, 1, 0, 0, 1 };
    for (int t = 0; t < 3; t++) {
        /* k = 0: p = 1/2, out = 3, ds of row 0 = (1/2)(2 - 3), (1/2)(4 - 3), of row 1 = 0;  q = 0: as that;  no key at all: nothing */
        static const float Q[3][2] = { {1, 5}, {0, 0}, {1, 5} }, K[3][2] = { {0, 0}, {1, -1}, {2, 3} };
        static const float DQ[3][2] = { {0, 0}, {-1, 0}, {0, 0} }, DK[3][2] = { {-0.5f, 0.5f}, {0, 0}, {0, 0} };
        float qkv[6] = { Q[t][0], K[t][0], 2, Q[t][1], K[t][1], 4 }, dqkv[6], out[2] = { 3, 3 }, dout[2] = { 1, 0 };
        float p = t == 2 ? 0 : 0.5f, ln = t == 2 ? -INFINITY : 0.693147181f, lse[2] = { ln, ln };
        vlm_span one = { .rows = 2 };
        k->op->attention_backward(k->ctx, dqkv, dqkv + 1, dqkv + 2, dout, out, lse, qkv, qkv + 1, qkv + 2, &one, 1, 1, 1, 1, 3, s.causal,
                                  s.window, s.scale);
        for (int r = 0; r < 2; r++) {
            check_true(k, "dq by hand", fabsf(dqkv[3 * r] - DQ[t][r]) < 3e-7f);
            check_true(k, "dk by hand", fabsf(dqkv[3 * r + 1] - DK[t][r]) < 3e-7f);
            check_true(k, "dv by hand", fabsf(dqkv[3 * r + 2] - p) < 3e-7f);
        }
    }
}
static void bench_back(check *k, const char *name, const shape *s, int64_t N, int n) {
    back b = { .s = *s, .N = n * N, .S = (s->H + 2 * s->G) * s->D, .n = n };
    b.qkv = check_in(k, b.N * b.S), b.dout = check_in(k, b.N * s->H * s->D), b.dqkv = check_out(k, b.N * b.S);
    b.out = check_out(k, b.N * s->H * s->D), b.lse = check_out(k, b.N * s->H);
    for (int i = 0; i < n; i++)
        b.f[i] = (vlm_span){ .row = i * N, .rows = N, .keys = N, .k = b.qkv.f + i * N * b.S + k_of(&b),
                             .v = b.qkv.f + i * N * b.S + v_of(&b) };
    char what[64];
    double ns, pairs = 0;
    for (int64_t t = 1; t <= N; t++) pairs += (double)(!s->causal ? N : s->window && s->window < t ? s->window : t);
    snprintf(what, sizeof what, "%s %dxN%lld H%lld D%lld", name, n, (long long)N, (long long)s->H, (long long)s->D);
    k->op->attention_forward(k->ctx, b.out.f, b.lse.f, b.qkv.f, b.f, n, s->H, s->G, s->D, b.S, b.S, s->causal, s->window, s->scale);
    CHECK_TIME(ns, BACK(k->op, k->ctx, f, b.f, n, &b));
    check_rate(k, what, ns, 10.0 * n * pairs * (double)(s->H * s->D));
    check_free(k);
}

void check_attention_backward(check *k) {
    static const int64_t DIM[] = { 1, 8, 34, 64, 72, 128, 256 };
    for (int i = 0; i < 7; i++) {
        int64_t D = DIM[i];
        float scale = 1 / sqrtf((float)D);
        check_back(k, &(shape){ 2, 2, D, 0, 0, scale }, (const int64_t[]){ 1, 7, 0, 63, 33, 1 }, 6);
        check_back(k, &(shape){ 3, 1, D, 1, 0, scale }, (const int64_t[]){ 13, 65, 5 }, 3);
        check_back(k, &(shape){ 4, 2, D, 1, 20, scale * 8 }, (const int64_t[]){ 1, 66 }, 2);
    }
    check_back(k, &(shape){ 2, 1, 64, 0, 0, 0.125f }, (const int64_t[]){ 301, 129 }, 2);
    check_back(k, &(shape){ 3, 1, 20, 1, 0, 0.25f }, (const int64_t[]){ 128, 270 }, 2);
    check_back(k, &(shape){ 2, 1, 16, 1, 100, 1 }, (const int64_t[]){ 331, 64 }, 2);
    check_back(k, &(shape){ 9, 3, 16, 1, 1, 1 }, (const int64_t[]){ 12, 30 }, 2);
    check_back(k, &(shape){ 3, 1, 136, 1, 70, 0.1f }, (const int64_t[]){ 150 }, 1);
    check_back_by_hand(k);
    if (k->bench && k->fast) {
        bench_back(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 1029, 1);
        bench_back(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 3077, 1);
        bench_back(k, "ViT-S", &(shape){ 6, 6, 64, 0, 0, 0.125f }, 201, 4);
        bench_back(k, "SmolLM", &(shape){ 9, 3, 64, 1, 0, 0.125f }, 1024, 2);
        bench_back(k, "Gemma", &(shape){ 4, 1, 256, 1, 512, 0.0625f }, 1024, 2);
    }
}

#include "checkops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct shape { int64_t H, D; float scale; } shape;
#define CALL(op, ctx, out, x, spans, n) \
    op->attention_int8_forward(ctx, out, room, x, (x) + s->H * s->D, (x) + 2 * s->H * s->D, spans, n, s->H, s->D, S, s->scale)

static void *room_of(check *k, const shape *s, int64_t N, int64_t n) {
    return check_raw(k, (size_t)(s->H * (N / VLM_INT8_KEYS + n) * vlm_attention_int8_block(s->D)));
}

/* Several spans in one call, with rows between them that hold NaN and belong to none, against the oracle. A p8 that is rounded to its other
   neighbour moves a sum by 1/255 of a value. */
static void check_spans(check *k, const shape *s, const int64_t *rows, int n) {
    int64_t N = 0, S = 3 * s->H * s->D + 3, HD = s->H * s->D;
    vlm_span f[8];
    for (int i = 0; i < n; i++) f[i] = (vlm_span){ .row = N, .rows = rows[i] }, N += rows[i] + 1;
    buf x = check_in(k, N * S), out = check_out(k, N * HD), again = check_out(k, N * HD);
    float *gaps = check_raw(k, (size_t)(N * S) * sizeof *gaps);
    void *room = room_of(k, s, N, n);
    memcpy(gaps, x.f, (size_t)(N * S) * sizeof *gaps);
    for (int i = 0; i < n; i++) {
        int64_t gap = f[i].row + f[i].rows;
        for (int64_t c = 0; c < S; c++) gaps[gap * S + c] = NAN;
        for (int64_t c = 0; c < HD; c++) out.f[gap * HD + c] = 1, out.d[gap * HD + c] = 1;
    }
    check_keep(k, gaps, (size_t)(N * S) * sizeof *gaps);
    CALL(k->op, k->ctx, out.f, gaps, f, n);
    CALL(k->want, k->ctx, out.d, x.d, f, n);
    check_same(k, "out", out, 2e-3);
    memcpy(again.f, out.f, (size_t)out.n * sizeof *out.f);
    for (int i = n - 1; i >= 0; i--) CALL(k->op, k->ctx, again.f, gaps, f + i, 1);
    check_bits(k, "spans one by one", out.f, again.f, out.n);
    check_free(k);
}

/* What whole numbers cost: the root of the mean square of the difference from attention_forward, over that of its output about its own
   mean. What makes it hard: keys or values with a channel that stands out; rows that stand out; rows that take most of every softmax. */
typedef enum hard { NOTHING, KEY_CHANNEL, VALUE_CHANNEL, VALUE_ROWS, QUERY_ROWS, SINKS, SINKS_SMALL, SINKS_LARGE, HARDS } hard;
static void check_cost(check *k, hard what, double most) {
    const shape *s = &(shape){ 2, 64, 0.125f };
    int64_t N = 300, D = s->D, HD = s->H * D, S = 3 * HD;
    float *v = check_raw(k, (size_t)(N * S) * sizeof *v);
    for (int64_t r = 0; r < N; r++)
        for (int64_t c = 0; c < S; c++) {
            float *x = v + r * S + c, sign = c % 2 ? 1.0f : -1.0f;
            *x = (check_random() + check_random() + check_random()) * (c < 2 * HD ? 1.5f : 1);     /* near normal, deviation 1 */
            bool row = r < 5, key = c >= HD && c < 2 * HD, value = c >= 2 * HD;
            if (what == KEY_CHANNEL && key && c % 64 == 7) *x = *x / 10 + 40;
            if (what == VALUE_CHANNEL && value && c % 64 == 7) *x *= 300;
            if (what == VALUE_ROWS && row && value && c % 16 == 7) *x = 300 * sign;
            if (what == QUERY_ROWS && row && c % 16 == 7) *x *= 30;
            if (what >= SINKS && !value && c % 64 < 16) *x = key ? row ? 2.6f * sign : *x : *x / 8 + 2.6f * sign;  /* 5 keys all ask for */
            if (what == SINKS_SMALL && row && value) *x *= 0.01f;
            if (what == SINKS_LARGE && row && value) *x *= 30;
        }
    buf x = check_like(k, v, N * S), out = check_out(k, N * HD), want = check_out(k, N * HD);
    void *room = room_of(k, s, N, 1);
    vlm_span one = { .row = 0, .rows = N, .keys = N, .k = x.f + HD, .v = x.f + 2 * HD };
    CALL(k->op, k->ctx, out.f, x.f, &one, 1);
    k->op->attention_forward(k->ctx, want.f, NULL, x.f, &one, 1, s->H, s->H, D, S, S, 0, 0, s->scale);
    double error = 0, size = 0;
    for (int64_t c = 0; c < HD; c++) {
        double mean = 0;
        if (what == VALUE_CHANNEL && c % 64 == 7) continue;    /* how the others fare */
        for (int64_t r = 0; r < N; r++) mean += want.f[r * HD + c] / (double)N;
        for (int64_t r = 0; r < N; r++) {
            double e = out.f[r * HD + c] - (double)want.f[r * HD + c], w = want.f[r * HD + c] - mean;
            error += e * e, size += w * w;
        }
    }
    char text[40];
    snprintf(text, sizeof text, "cost of case %d: %.4f", (int)what, sqrt(error / size));
    check_true(k, text, sqrt(error / size) <= most);
    check_free(k);
}

static void check_edges(check *k) {
    const shape *s = &(shape){ 1, 16, 0 };             /* every key weighs the same */
    int64_t N = 200, S = 48;
    float *v = check_raw(k, (size_t)(N * S) * sizeof *v);
    for (int64_t i = 0; i < N * S; i++) v[i] = i % S < 32 ? check_random() : (float)(i / S < 100 ? 127 : -1) * (float)(i % 16);
    buf x = check_like(k, v, N * S), out = check_out(k, N * 16);
    void *room = room_of(k, s, N, 1);
    vlm_span one = { .row = 0, .rows = N }, none = { 0 };
    CALL(k->op, k->ctx, out.f, x.f, &one, 1);
    for (int64_t i = 0; i < N * 16; i++)
        check_true(k, "the mean, by hand", fabsf(out.f[i] - 63 * (float)(i % 16)) <= 1e-3f * (float)(i % 16));
    CALL(k->op, k->ctx, out.f, x.f, &none, 1);
    CALL(k->op, k->ctx, out.f, x.f, &one, 0);
    for (int64_t at = 0; at < 48; at += 16) {          /* NaN and infinities show: a query's in its row, others in all */
        float *bad = check_raw(k, (size_t)(N * S) * sizeof *bad);
        memcpy(bad, v, (size_t)(N * S) * sizeof *bad);
        bad[150 * S + at + 3] = at ? NAN : INFINITY;
        CALL(k->op, k->ctx, out.f, bad, &one, 1);
        for (int64_t r = 0; r < N; r++)
            for (int64_t d = 0; d < 16; d++)
                if (at == 0) check_true(k, "a bad query shows, alone", isfinite(out.f[r * 16 + d]) == (r != 150));
                else if (at == 16 || d == 3) check_true(k, "bad keys and values show", !isfinite(out.f[r * 16 + d]));
    }
    check_free(k);
}

static void bench(check *k, const char *name, const shape *s, int64_t N, int n) {
    vlm_span f[4];
    int64_t S = 3 * s->H * s->D;
    buf x = check_in(k, n * N * S), out = check_out(k, n * N * s->H * s->D);
    void *room = room_of(k, s, n * N, n);
    char what[64];
    double ns, f32;
    for (int i = 0; i < n; i++)
        f[i] = (vlm_span){ .row = N * i, .rows = N, .keys = N, .k = x.f + s->H * s->D + N * i * S, .v = x.f + 2 * s->H * s->D + N * i * S };
    CHECK_TIME(f32, k->op->attention_forward(k->ctx, out.f, NULL, x.f, f, n, s->H, s->H, s->D, S, S, 0, 0, s->scale));
    CHECK_TIME(ns, CALL(k->op, k->ctx, out.f, x.f, f, n));
    snprintf(what, sizeof what, "%s %dxN%lld H%lld D%lld", name, n, (long long)N, (long long)s->H, (long long)s->D);
    check_rate(k, what, ns, 4.0 * n * (double)(N * N * s->H * s->D));
    printf("    %-24s %9.1f us in f32, %.2f times as long\n", "", f32 / 1e3, f32 / ns);
    check_free(k);
}

void check_attention_int8_forward(check *k) {
    static const int64_t DIM[] = { 1, 2, 8, 34, 64, 72, 128, 256 };
    static const double COST[HARDS] = { 0.02, 0.02, 0.02, 0.02, 0.06, 0.02, 0.02, 0.02 };
    for (int i = 0; i < 8; i++) {
        shape s = { 2, DIM[i], 1 / sqrtf((float)DIM[i]) };
        check_spans(k, &s, (const int64_t[]){ 1, VLM_INT8_ROWS, 0, VLM_INT8_ROWS - 1, 130, 65 }, 6);
        check_spans(k, &s, (const int64_t[]){ VLM_INT8_KEYS - 1, VLM_INT8_KEYS + 1 }, 2);
    }
    check_spans(k, &(shape){ 3, 64, 0.5f }, (const int64_t[]){ 300, 97 }, 2);
    for (int i = 0; i < HARDS; i++) check_cost(k, (hard)i, COST[i]);
    check_edges(k);
    if (k->bench && k->fast) {
        bench(k, "ViT-S", &(shape){ 6, 64, 0.125f }, 201, 1);
        bench(k, "ViT-S", &(shape){ 6, 64, 0.125f }, 1029, 1);
        bench(k, "ViT-S", &(shape){ 6, 64, 0.125f }, 4101, 1);
        bench(k, "SO400M", &(shape){ 16, 72, 0.125f }, 1024, 1);
    }
}

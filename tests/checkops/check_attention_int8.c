#include "checkops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct shape { int64_t H, D; float scale; } shape;
#define CALL(op, ctx, f, spans, n) \
    op->attention_int8_forward(ctx, out.f, room, x.f, at_k(x.f), at_v(x.f), spans, n, s->H, s->D, S, s->scale)
#define at_k(p) ((p) + s->H * s->D)
#define at_v(p) ((p) + 2 * s->H * s->D)

static size_t room_of(const shape *s, int64_t N, int64_t n) { return (size_t)(s->H * (N / VLM_INT8_KEYS + n) * vlm_attention_int8_block(s->D)); }

static void check_spans(check *k, const shape *s, const int64_t *rows, int n) {
    int64_t N = 0, S = 3 * s->H * s->D + 3;
    vlm_span f[8];
    for (int i = 0; i < n; i++) f[i] = (vlm_span){ .row = N, .rows = rows[i] }, N += rows[i] + 1;
    buf x = check_in(k, N * S), out = check_out(k, N * s->H * s->D);
    void *room = check_raw(k, room_of(s, N, n));
    for (int i = 0; i < n; i++)
        for (int64_t c = 0; c < s->H * s->D; c++) out.f[(f[i].row + rows[i]) * s->H * s->D + c] = 0, out.d[(f[i].row + rows[i]) * s->H * s->D + c] = 0;
    CALL(k->op, k->ctx, f, f, n);
    CALL(k->want, k->ctx, d, f, n);
    check_same(k, "out", out, 2e-3);
    double worst = 0, sum = 0;
    for (int64_t i = 0; i < out.n; i++) { double e = fabs(out.d[i] - out.f[i]); sum += e * e; if (e > worst) worst = e; }
    printf("H%lld D%lld n%d worst %g rms %g\n", (long long)s->H, (long long)s->D, n, worst, sqrt(sum / (double)out.n));
    check_free(k);
}
static void bench(check *k, const char *name, const shape *s, int64_t N, int n) {
    vlm_span one[4];
    int64_t S = 3 * s->H * s->D;
    for (int i = 0; i < n; i++) one[i] = (vlm_span){ .row = N * i, .rows = N, .keys = N };
    buf x = check_in(k, n * N * S), out = check_out(k, n * N * s->H * s->D);
    void *room = check_raw(k, room_of(s, n * N, n));
    for (int i = 0; i < n; i++) one[i].k = at_k(x.f) + N * i * S, one[i].v = at_v(x.f) + N * i * S;
    char what[64];
    double ns, f32;
    CHECK_TIME(f32, k->op->attention_forward(k->ctx, out.f, NULL, x.f, one, n, s->H, s->H, s->D, S, S, 0, 0, s->scale));
    CHECK_TIME(ns, CALL(k->op, k->ctx, f, one, n));
    snprintf(what, sizeof what, "%s %dxN%lld H%lld D%lld", name, n, (long long)N, (long long)s->H, (long long)s->D);
    check_rate(k, what, ns, 4.0 * n * (double)(N * N * s->H * s->D));
    printf("    %-24s f32 %9.1f us, %.2f times as long\n", "", f32 / 1e3, f32 / ns);
    check_free(k);
}

void check_attention_int8_forward(check *k) {
    static const int64_t DIM[] = { 2, 8, 34, 64, 72, 128, 256 };
    for (int i = 0; i < 7; i++)
        check_spans(k, &(shape){ 2, DIM[i], 1 / sqrtf((float)DIM[i]) }, (const int64_t[]){ 1, 64, 0, 63, 130, 65 }, 6);
    if (k->bench && k->fast) {
        bench(k, "ViT-S", &(shape){ 6, 64, 0.125f }, 201, 1);
        bench(k, "ViT-S", &(shape){ 6, 64, 0.125f }, 1029, 1);
        bench(k, "ViT-S", &(shape){ 6, 64, 0.125f }, 4101, 1);
        bench(k, "SO400M", &(shape){ 16, 72, 0.125f }, 1024, 1);
    }
}

#include "checkops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int64_t S[][2] = { {1, 1}, {2, 7}, {3, 16}, {2, 17}, {5, 33}, {4, 129}, {2, 4096}, {0, 3} };
enum { CASES = sizeof S / sizeof *S };
static const float EDGES[] = { 0, -0.0f, 1e4f, -1e4f, 88, -88, 89, -89, 104, -104, 1e-4f, -1e-4f, 1e-30f, -1e-41f, 3.9f, -3.9f,
                               4, -4, 5.9f, -5.9f, 0.9375f, -0.9375f, 1.3258f, 12, -12, 3e38f, -3e38f, INFINITY };

/* The whole curve: every value from -12 to 12 in small steps, in units of the last place of the result (absolute near 0: f32 sums). */
void check_activation_forward(check *k) {
    for (int f = VLM_IDENTITY; f <= VLM_SILU; f++) {
        for (int i = 0; i < CASES; i++) {
            int64_t R = S[i][0], C = S[i][1], gap = i % 3 * 4;
            buf x = check_in(k, R * (C + gap)), up = check_in(k, R * (C + gap)), out = check_out(k, R * C), in = check_out(k, R * C);
            for (int u = 0; u < 2; u++) {
                k->op->activation_forward(k->ctx, out.f, x.f, u ? up.f : NULL, f, R, C, C + gap);
                k->want->activation_forward(k->ctx, out.d, x.d, u ? up.d : NULL, f, R, C, C + gap);
                check_same(k, "out", out, 2e-7);
            }
            if (!gap) {
                memcpy(in.f, x.f, (size_t)(R * C) * sizeof(float));
                k->op->activation_forward(k->ctx, in.f, in.f, up.f, f, R, C, C);
                check_bits(k, "in place", out.f, in.f, R * C);
            }
            check_free(k);
        }
        enum { STEPS = 24001 };
        static float line[STEPS];
        for (int i = 0; i < STEPS; i++) line[i] = (float)(i - STEPS / 2) * 0.001f;
        buf x = check_like(k, line, STEPS), out = check_out(k, STEPS);
        k->op->activation_forward(k->ctx, out.f, x.f, NULL, f, 1, STEPS, STEPS);
        k->want->activation_forward(k->ctx, out.d, x.d, NULL, f, 1, STEPS, STEPS);
        check_same(k, "curve", out, 2e-7);
        check_free(k);
        int64_t n = sizeof EDGES / sizeof *EDGES;
        x = check_like(k, EDGES, n), out = check_out(k, n);
        k->op->activation_forward(k->ctx, out.f, x.f, NULL, f, 1, n, n);
        k->want->activation_forward(k->ctx, out.d, x.d, NULL, f, 1, n, n);
        check_same(k, "edges", out, 2e-7);
        float nan[] = { NAN, -INFINITY };              /* -inf times 0 is NaN by every formula */
        check_free(k);
        x = check_like(k, nan, 2), out = check_out(k, 2);
        k->op->activation_forward(k->ctx, out.f, x.f, NULL, f, 1, 2, 2);
        check_true(k, "NaN stays", isnan(out.f[0]) && (f == VLM_IDENTITY || isnan(out.f[1])));
        check_free(k);
    }
    if (k->bench) {
        buf x = check_in(k, 1029 * 1536), out = check_out(k, 1029 * 1536);
        for (int f = VLM_GELU_ERF; f <= VLM_SILU; f++) {
            double ns;
            CHECK_TIME(ns, k->op->activation_forward(k->ctx, out.f, x.f, NULL, f, 1029, 1536, 1536));
            const char *name = f == VLM_GELU_ERF ? "1029x1536 gelu erf" : f == VLM_SILU ? "1029x1536 silu" : "1029x1536 gelu tanh";
            check_stream(k, name, ns, 8.0 * 1029 * 1536);
        }
    }
}

typedef struct elementwise { int64_t R, C, S; vlm_activation f; buf out, x, y, res; } elementwise;
static void activation(const check *k, const void *arg) {
    const elementwise *e = arg;
    k->want->activation_forward(k->ctx, e->out.d, e->x.d, e->y.d, e->f, e->R, e->C, e->S);
}
static void layerscale(const check *k, const void *arg) {
    const elementwise *e = arg;
    k->want->layerscale_forward(k->ctx, e->out.d, e->res.d, e->x.d, e->y.d, e->R, e->C);
}

static void activation_line(check *k, const char *what, const float *line, int64_t n, vlm_activation f) {
    buf x = check_like(k, line, n), dx = check_out(k, n), d = check_out(k, n), none = check_out(k, n);
    for (int64_t i = 0; i < n; i++) d.d[i] = d.f[i] = 1, none.d[i] = none.f[i] = 1;
    buf dup = check_out(k, n);
    k->op->activation_backward(k->ctx, dx.f, dup.f, d.f, x.f, none.f, f, 1, n, n);
    k->want->activation_backward(k->ctx, dx.d, dup.d, d.d, x.d, none.d, f, 1, n, n);
    check_same(k, what, dx, 3e-7);
    check_same(k, what, dup, 3e-7);
    check_free(k);
}
void check_activation_backward(check *k) {
    for (int f = VLM_IDENTITY; f <= VLM_SILU; f++) {
        for (int i = 0; i < CASES; i++)
            for (int u = 0; u < 2; u++) {
                int64_t R = S[i][0], C = S[i][1], row = C + i % 3 * 4, all = R * row;
                elementwise e = { .R = R, .C = C, .S = row, .f = f, .out = check_out(k, R * C), .x = check_in(k, all) };
                if (u) e.y = check_in(k, all);
                buf dout = check_in(k, R * C), dx = check_out(k, all), dup = check_out(k, all), left = check_out(k, all);
                for (int64_t j = 0; j < all; j++)      /* the rest of a row is left */
                    dx.d[j] = dx.f[j] = dup.d[j] = dup.f[j] = 7, left.d[j] = j % row < C ? 0 : 7;
                k->op->activation_backward(k->ctx, dx.f, u ? dup.f : NULL, dout.f, e.x.f, e.y.f, f, R, C, row);
                k->want->activation_backward(k->ctx, dx.d, u ? dup.d : NULL, dout.d, e.x.d, e.y.d, f, R, C, row);
                check_same(k, "dx", dx, 3e-7);
                check_same(k, "dup", dup, 3e-7);
                slope s = { activation, &e, e.out, dout };
                check_slope(k, "dx", &s, e.x, dx, left.d, 1e-7);
                if (u) check_slope(k, "dup", &s, e.y, dup, left.d, 1e-7);
                buf x = check_copy(k, e.x), y = u ? check_copy(k, e.y) : e.y;
                k->op->activation_backward(k->ctx, x.f, y.f, dout.f, x.f, y.f, f, R, C, row);
                for (int64_t r = 0; r < R; r++) {
                    check_bits(k, "dx is x", dx.f + r * row, x.f + r * row, C);
                    check_bits(k, "dx is x, the rest", e.x.f + r * row + C, x.f + r * row + C, row - C);
                    if (u) check_bits(k, "dup is up", dup.f + r * row, y.f + r * row, C);
                }
                check_free(k);
            }
        enum { STEPS = 24001 };
        static float line[STEPS];
        for (int i = 0; i < STEPS; i++) line[i] = (float)(i - STEPS / 2) * 0.001f;
        activation_line(k, "curve", line, STEPS, f);
        activation_line(k, "edges", EDGES, sizeof EDGES / sizeof *EDGES - 1, f);       /* but infinity */
        float x[] = { NAN, 0, 1 }, d[] = { 1, 1, NAN }, up[] = { 1, 3, 1 }, dx[3], dup[3];
        k->op->activation_backward(k->ctx, dx, dup, d, x, up, f, 1, 3, 3);
        check_true(k, "NaN stays", (f == VLM_IDENTITY || isnan(dx[0])) && isnan(dup[0]) && isnan(dx[2]) && isnan(dup[2]));
        check_true(k, "f'(0) is 1/2", dx[1] == (f == VLM_IDENTITY ? 3 : 1.5f) && dup[1] == 0);
    }
    /* Φ(1) + φ(1) = 0.841344746 + 0.241970725;  σ(1)(1 + 1 - σ(1)), σ(1) = 0.731058579 */
    float one[] = { 1 }, dx[1];
    k->op->activation_backward(k->ctx, dx, NULL, one, one, NULL, VLM_GELU_ERF, 1, 1, 1);
    check_true(k, "by hand, gelu", fabsf(dx[0] - 1.08331547f) < 3e-7f);
    k->op->activation_backward(k->ctx, dx, NULL, one, one, NULL, VLM_SILU, 1, 1, 1);
    check_true(k, "by hand, silu", fabsf(dx[0] - 0.92767051f) < 3e-7f);
    if (k->bench) {
        int64_t n = 1029 * 1536;
        buf x = check_in(k, n), up = check_in(k, n), d = check_in(k, n), a = check_out(k, n), b = check_out(k, n);
        for (int f = VLM_GELU_ERF; f <= VLM_SILU; f++) {
            double ns;
            CHECK_TIME(ns, k->op->activation_backward(k->ctx, a.f, b.f, d.f, x.f, up.f, f, 1029, 1536, 1536));
            check_stream(k, f == VLM_GELU_ERF ? "1029x1536 erf, up" : f == VLM_SILU ? "1029x1536 silu, up" : "1029x1536 tanh, up",
                         ns, 20.0 * (double)n);
        }
    }
}

void check_layerscale_forward(check *k) {
    for (int i = 0; i < CASES; i++) {
        int64_t R = S[i][0], C = S[i][1], n = R * C;
        buf x = check_in(k, n), res = check_in(k, n), s = check_in(k, C), out = check_out(k, n), in = check_out(k, n);
        k->op->layerscale_forward(k->ctx, out.f, res.f, x.f, s.f, R, C);
        k->want->layerscale_forward(k->ctx, out.d, res.d, x.d, s.d, R, C);
        check_same(k, "out", out, 2e-7);
        memcpy(in.f, res.f, (size_t)n * sizeof(float));
        k->op->layerscale_forward(k->ctx, in.f, in.f, x.f, s.f, R, C);
        check_bits(k, "out is res", out.f, in.f, n);
        memcpy(in.f, x.f, (size_t)n * sizeof(float));
        k->op->layerscale_forward(k->ctx, in.f, res.f, in.f, s.f, R, C);
        check_bits(k, "out is x", out.f, in.f, n);
        check_free(k);
    }
}

void check_layerscale_backward(check *k) {
    for (int i = 0; i < CASES; i++) {
        int64_t R = S[i][0], C = S[i][1], n = R * C;
        elementwise e = { .R = R, .C = C, .out = check_out(k, n), .x = check_in(k, n), .y = check_in(k, C),
                          .res = check_in(k, n) };
        buf dout = check_in(k, n), dx = check_out(k, n), s0 = check_in(k, C), ds = check_copy(k, s0);
        k->op->layerscale_backward(k->ctx, dx.f, ds.f, dout.f, e.x.f, e.y.f, R, C);
        k->want->layerscale_backward(k->ctx, dx.d, ds.d, dout.d, e.x.d, e.y.d, R, C);
        check_same(k, "dx", dx, 2e-7);
        check_same(k, "ds", ds, 1e-6);
        slope s = { layerscale, &e, e.out, dout };
        check_slope(k, "dx", &s, e.x, dx, NULL, 1e-7);
        check_slope(k, "ds", &s, e.y, ds, s0.d, 1e-7);
        buf in = check_copy(k, e.x), s1 = check_copy(k, s0);
        k->op->layerscale_backward(k->ctx, in.f, s1.f, dout.f, in.f, e.y.f, R, C);
        check_bits(k, "dx is x", dx.f, in.f, n);
        check_bits(k, "dx is x: ds", ds.f, s1.f, C);
        k->op->layerscale_backward(k->ctx, in.f, NULL, dout.f, e.x.f, e.y.f, R, C);
        check_bits(k, "no ds", dx.f, in.f, n);
        if (k->fast && R > 1) {
            s1 = check_copy(k, s0);
            k->op->layerscale_backward(k->ctx, in.f, s1.f, dout.f, e.x.f, e.y.f, R / 2, C);
            k->op->layerscale_backward(k->ctx, in.f, s1.f, dout.f + R / 2 * C, e.x.f + R / 2 * C, e.y.f, R - R / 2, C);
            check_bits(k, "ds in two calls", ds.f, s1.f, C);
        }
        check_free(k);
    }
    float x[] = { 1, 2, 3, NAN }, d[] = { 1, 1, 2, 1 }, s[] = { 5, 6 }, ds[] = { 1, 1 }, dx[4];
    k->op->layerscale_backward(k->ctx, dx, ds, d, x, s, 2, 2);
    check_true(k, "by hand; NaN stays in its column", ds[0] == 8 && isnan(ds[1]) && dx[0] == 5 && dx[1] == 6 && dx[2] == 10 && dx[3] == 6);
}

void check_add_forward(check *k) {
    static const int64_t N[] = { 1, 7, 16, 33, 1024, 1025, 5000, 0 };
    for (int i = 0; i < 8; i++) {
        int64_t n = N[i];
        buf a = check_in(k, n), b = check_in(k, n), out = check_out(k, n), in = check_out(k, n);
        k->op->add_forward(k->ctx, out.f, a.f, b.f, n);
        k->want->add_forward(k->ctx, out.d, a.d, b.d, n);
        check_same(k, "out", out, 1e-7);
        memcpy(in.f, a.f, (size_t)n * sizeof(float));
        k->op->add_forward(k->ctx, in.f, in.f, b.f, n);
        check_bits(k, "out is a", out.f, in.f, n);
        memcpy(in.f, b.f, (size_t)n * sizeof(float));
        k->op->add_forward(k->ctx, in.f, a.f, in.f, n);
        check_bits(k, "out is b", out.f, in.f, n);
        check_free(k);
    }
}

void check_copy_forward(check *k) {
    for (int i = 0; i < CASES; i++)
        for (int64_t S1 = 0; S1 < 3; S1++) {           /* one row repeated, dense, with gaps */
            int64_t R = S[i][0], C = S[i][1], from = S1 ? C + (S1 - 1) * 3 : 0, to = C + i % 2 * 5;
            buf x = check_in(k, R * (C + 6)), out = check_out(k, R * to);
            for (int64_t j = 0; j < out.n; j++) out.d[j] = out.f[j] = 7;
            k->op->copy_forward(k->ctx, out.f, to, x.f, from, R, C);
            k->want->copy_forward(k->ctx, out.d, to, x.d, from, R, C);
            check_same(k, "out", out, 1e-30);
            check_free(k);
        }
}

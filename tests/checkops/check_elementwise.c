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
    for (int f = VLM_GELU_ERF; f <= VLM_SILU; f++) {
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
        check_true(k, "NaN stays", isnan(out.f[0]) && isnan(out.f[1]));
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

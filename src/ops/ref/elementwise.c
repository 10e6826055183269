#include "ops/ops.h"
#include <math.h>

static double activation(vlm_activation f, double x) {
    switch (f) {
        case VLM_GELU_ERF:  return x / 2 * (1 + erf(x * 0.70710678118654752440));
        case VLM_GELU_TANH: return x / 2 * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
        case VLM_SILU:      return x / (1 + exp(-x));
    }
    return 0;
}
void REF(activation_forward)(vlm_ctx *ctx, act *out, const act *x, const act *up, vlm_activation f, int64_t R, int64_t C, int64_t S) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++)
            out[r * C + c] = (act)(activation(f, x[r * S + c]) * (up ? up[r * S + c] : 1));
}

void REF(layerscale_forward)(vlm_ctx *ctx, act *out, const act *res, const act *x, const real *s, int64_t R, int64_t C) {
    (void)ctx;
    for (int64_t i = 0; i < R * C; i++) out[i] = (act)(res[i] + (double)s[i % C] * x[i]);
}

void REF(add_forward)(vlm_ctx *ctx, act *out, const act *a, const act *b, int64_t n) {
    (void)ctx;
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

void REF(copy_forward)(vlm_ctx *ctx, act *out, int64_t So, const act *x, int64_t S, int64_t R, int64_t C) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++) out[r * So + c] = x[r * S + c];
}

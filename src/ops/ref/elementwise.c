#include "ops/ref/ref.h"
#include <math.h>

void REF(activation_forward)(vlm_ctx *ctx, act *out, const act *x, const act *up, vlm_activation f, int64_t R, int64_t C, int64_t S) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++)
            out[r * C + c] = (act)(activation_of(f, x[r * S + c]) * (up ? up[r * S + c] : 1));
}
/* f'(x) of x/2 (1 + erf(x/sqrt 2)), the normal distribution and its density; of x/2 (1 + tanh u); of x σ, σ = 1/(1 + e^-x). */
static double activation_slope(vlm_activation f, double x) {
    double t, s;
    switch (f) {
        case VLM_IDENTITY: return 1;
        case VLM_GELU_ERF:
            return (1 + erf(x * 0.70710678118654752440)) / 2 + x * 0.39894228040143267794 * exp(-x * x / 2);
        case VLM_GELU_TANH:
            t = tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x));
            return (1 + t) / 2 + x / 2 * (1 - t * t) * 0.79788456080286535588 * (1 + 3 * 0.044715 * x * x);
        case VLM_SILU:
            s = 1 / (1 + exp(-x));
            return s * (1 + x * (1 - s));
    }
    return 0;
}
/* out = f(x) up, each element by its own x and up; both are read before either gradient is written, for those may lie there. */
void REF(activation_backward)(vlm_ctx *ctx, act *dx, act *dup, const act *dout, const act *x, const act *up, vlm_activation f,
                              int64_t R, int64_t C, int64_t S) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++) {
            double d = dout[r * C + c], v = x[r * S + c], u = up ? up[r * S + c] : 1;
            dx[r * S + c] = (act)(d * u * activation_slope(f, v));
            if (up) dup[r * S + c] = (act)(d * activation_of(f, v));
        }
}

void REF(layerscale_forward)(vlm_ctx *ctx, act *out, const act *res, const act *x, const real *s, int64_t R, int64_t C) {
    (void)ctx;
    for (int64_t i = 0; i < R * C; i++) out[i] = (act)(res[i] + (double)s[i % C] * x[i]);
}
/* out = res + s x; the residual's gradient is dout as it is. Columns first: dx may lie where x did. */
void REF(layerscale_backward)(vlm_ctx *ctx, act *dx, real *ds, const act *dout, const act *x, const real *s, int64_t R, int64_t C) {
    (void)ctx;
    for (int64_t c = 0; ds && c < C; c++) {
        double sum = ds[c];
        for (int64_t r = 0; r < R; r++) sum += (double)dout[r * C + c] * x[r * C + c];
        ds[c] = (real)sum;
    }
    for (int64_t i = 0; i < R * C; i++) dx[i] = (act)((double)s[i % C] * dout[i]);
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

#include "ops/ops.h"
#include <math.h>

void REF(layernorm_forward)(vlm_ctx *ctx, act *out, real *mean, real *rstd, const act *x, const real *w, const real *b,
                            int64_t R, int64_t C, float eps) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++) {
        const act *xr = x + r * C;
        double m = 0, v = 0;
        for (int64_t c = 0; c < C; c++) m += xr[c];
        m /= (double)C;
        for (int64_t c = 0; c < C; c++) v += (xr[c] - m) * (xr[c] - m);
        double s = 1.0 / sqrt(v / (double)C + eps);
        for (int64_t c = 0; c < C; c++) out[r * C + c] = (act)((xr[c] - m) * s * w[c] + b[c]);
        if (mean) mean[r] = (real)m;
        if (rstd) rstd[r] = (real)s;
    }
}

void REF(rmsnorm_forward)(vlm_ctx *ctx, act *out, real *rstd, const act *x, const real *w, float offset,
                          int64_t R, int64_t N, int64_t C, int64_t S, float eps) {
    (void)ctx;
    for (int64_t i = 0; i < R * N; i++) {
        int64_t at = i / N * S + i % N * C;
        double v = 0;
        for (int64_t c = 0; c < C; c++) v += (double)x[at + c] * x[at + c];
        double s = 1.0 / sqrt(v / (double)C + eps);
        for (int64_t c = 0; c < C; c++) out[at + c] = (act)(x[at + c] * s * ((double)w[c] + offset));
        if (rstd) rstd[i] = (real)s;
    }
}

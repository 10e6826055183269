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
/* out = x̂ w + b, x̂ = (x - mean) rstd. With g = dout w: x̂ depends on x itself, on the mean (it takes g's mean away) and on
   rstd (it takes what of g points along x̂ away). Columns first: dx may lie where dout did. */
void REF(layernorm_backward)(vlm_ctx *ctx, act *dx, real *dw, real *db, const act *dout, const act *x, const real *w, const real *mean,
                             const real *rstd, const act *res, int64_t R, int64_t C) {
    (void)ctx;
    for (int64_t c = 0; c < C; c++) {
        double sw = dw ? dw[c] : 0, sb = db ? db[c] : 0;
        for (int64_t r = 0; r < R; r++) {
            sw += dout[r * C + c] * (((double)x[r * C + c] - mean[r]) * rstd[r]);
            sb += dout[r * C + c];
        }
        if (dw) dw[c] = (real)sw;
        if (db) db[c] = (real)sb;
    }
    for (int64_t r = 0; r < R; r++) {
        double mg = 0, mx = 0, s = rstd[r];
        for (int64_t c = 0; c < C; c++) {
            double g = (double)dout[r * C + c] * w[c];
            mg += g;
            mx += g * (x[r * C + c] - (double)mean[r]) * s;
        }
        mg /= (double)C, mx /= (double)C;
        for (int64_t c = 0; c < C; c++) {
            int64_t i = r * C + c;
            double g = (double)dout[i] * w[c], n = (x[i] - (double)mean[r]) * s;
            dx[i] = (act)((res ? res[i] : 0) + s * (g - mg - n * mx));
        }
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
/* out = x̂ (w + offset), x̂ = x rstd: as above without the mean. */
void REF(rmsnorm_backward)(vlm_ctx *ctx, act *dx, real *dw, const act *dout, const act *x, const real *w, const real *rstd, const act *res,
                           float offset, int64_t R, int64_t N, int64_t C, int64_t S) {
    (void)ctx;
    for (int64_t c = 0; dw && c < C; c++) {
        double sw = dw[c];
        for (int64_t i = 0; i < R * N; i++) {
            int64_t at = i / N * S + i % N * C + c;
            sw += dout[at] * ((double)x[at] * rstd[i]);
        }
        dw[c] = (real)sw;
    }
    for (int64_t i = 0; i < R * N; i++) {
        int64_t at = i / N * S + i % N * C;
        double mx = 0, s = rstd[i];
        for (int64_t c = 0; c < C; c++) mx += dout[at + c] * ((double)w[c] + offset) * x[at + c] * s;
        mx /= (double)C;
        for (int64_t c = 0; c < C; c++) {
            double g = dout[at + c] * ((double)w[c] + offset);
            dx[at + c] = (act)((res ? res[at + c] : 0) + s * (g - x[at + c] * s * mx));
        }
    }
}

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
        mean[r] = (real)m;
        rstd[r] = (real)s;
    }
}

/* of out = n * w + b, n = (x - mean) * rstd:   with g = dout * w,  dx = (g - avg(g) - n * avg(g n)) * rstd */
void REF(layernorm_backward)(vlm_ctx *ctx, act *dx, real *dw, real *db, const act *dres, const act *dout, const act *x,
                             const real *w, const real *mean, const real *rstd, int64_t R, int64_t C) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++) {
        const act *xr = x + r * C, *gr = dout + r * C;
        double a = 0, q = 0, m = mean[r], s = rstd[r];
        for (int64_t c = 0; c < C; c++) {
            double g = (double)gr[c] * w[c], n = (xr[c] - m) * s;
            a += g;
            q += g * n;
        }
        a /= (double)C;
        q /= (double)C;
        for (int64_t c = 0; c < C; c++) {
            double g = (double)gr[c] * w[c], n = (xr[c] - m) * s;
            dw[c] += (real)(gr[c] * n);
            db[c] += gr[c];
            dx[r * C + c] = (act)((g - a - n * q) * s + (dres ? dres[r * C + c] : 0));
        }
    }
}

#include "ops/ops.h"
#include <math.h>

void REF(adamw_update)(vlm_ctx *ctx, real *p, real *m, real *v, const real *g, int64_t n, float scale, float lr, float decay, float beta1,
                       float beta2, float eps, float c1, float c2) {
    (void)ctx;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)scale * g[i], q = p[i] - (double)lr * decay * p[i];
        double a = m[i] + (1.0 - beta1) * (d - m[i]), b = (double)beta2 * v[i] + (1.0 - beta2) * d * d;
        p[i] = (real)(q - (double)lr / c1 * a / (sqrt(b / c2) + eps));
        m[i] = (real)a;
        v[i] = (real)b;
    }
}

void REF(square_sums)(vlm_ctx *ctx, real *out, const real *x, int64_t n) {
    (void)ctx;
    for (int64_t lo = 0; lo < n; lo += VLM_SUM_BLOCK) {
        double s = 0;
        for (int64_t i = lo; i < n && i < lo + VLM_SUM_BLOCK; i++) s += (double)x[i] * x[i];
        out[lo / VLM_SUM_BLOCK] = (real)s;
    }
}

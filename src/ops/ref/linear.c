#include "ops/ops.h"

void REF(linear_pack)(vlm_ctx *ctx, const vlm_mat *out, const vlm_mat *w) {
    (void)ctx;
    real *o = out->data;
    const real *v = w->data;
    for (int64_t i = 0; i < vlm_mat_len(out); i++) o[i] = 0;
    for (int64_t c = 0; c < w->rows; c++)
        for (int64_t k = 0; k < w->cols; k++) o[vlm_mat_at(out, c, k)] = v[vlm_mat_at(w, c, k)];
}

void REF(linear_forward)(vlm_ctx *ctx, act *out, const act *x, const vlm_mat *w, const real *b, const act *res, int64_t R) {
    (void)ctx;
    const real *v = w->data;
    int64_t C = w->rows, K = w->cols;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++) {
            double s = b ? b[c] : 0;
            for (int64_t k = 0; k < K; k++) s += (double)x[r * K + k] * v[vlm_mat_at(w, c, k)];
            out[r * C + c] = (act)(s + (res ? res[r * C + c] : 0));
        }
}

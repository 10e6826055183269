#include "ops/ref/ref.h"
#include "ops/quant.h"
#include <math.h>

void REF(linear_pack)(vlm_ctx *ctx, const vlm_mat *out, int64_t row0, const vlm_mat *w, int64_t *nonfinite) {
    (void)ctx;
    size_t bytes = vlm_dtype_bytes(w->dtype);
    char *o = out->data;
    const char *v = w->data;
    if (vlm_dtype_quantized(out->dtype)) {
        for (int64_t r = 0; r < w->rows; r++) *nonfinite += quant_pack_row(out, row0 + r, w, r);
        for (int64_t r = out->rows; row0 + w->rows == out->rows && r % VLM_PANEL; r++) quant_pack_nothing(out, r);
        return;
    }
    for (int64_t r = 0; r < w->rows; r++)
        for (int64_t k = 0; k < w->cols; k++) {
            memcpy(o + (size_t)vlm_mat_at(out, row0 + r, k) * bytes, v + (size_t)vlm_mat_at(w, r, k) * bytes, bytes);
            *nonfinite += !isfinite(weight_at(w, r, k));
        }
    if (row0 + w->rows == out->rows)
        for (int64_t r = out->rows; r % VLM_PANEL; r++)
            for (int64_t k = 0; k < out->cols; k++) memset(o + (size_t)vlm_mat_at(out, r, k) * bytes, 0, bytes);
}

void REF(linear_forward)(vlm_ctx *ctx, act *out, const act *x, const vlm_mat *w, const vlm_epilogue *e, int64_t R) {
    (void)ctx;
    int64_t C = w->rows, K = w->cols;
    vlm_epilogue none = { 0 };
    if (!e) e = &none;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < C; c++) {
            double s = e->b ? e->b[c] : 0;
            if (vlm_dtype_quantized(w->dtype)) s += REF(quant_product)(x + r * K, w, c);
            else for (int64_t k = 0; k < K; k++) s += (double)x[r * K + k] * weight_at(w, c, k);
            s = (act)activation_of(e->f, (act)s);      /* rounded where the ops one by one would */
            if (e->scale) s = e->scale[c] * s;
            out[r * C + c] = (act)(e->res ? e->res[r * C + c] + s : s);
        }
}

void REF(linear_backward_input)(vlm_ctx *ctx, act *dx, const act *dout, const vlm_mat *w, const act *res, int64_t R) {
    (void)ctx;
    int64_t C = w->rows, K = w->cols;
    for (int64_t r = 0; r < R; r++)
        for (int64_t k = 0; k < K; k++) {
            double s = 0;
            for (int64_t c = 0; c < C; c++) s += (double)dout[r * C + c] * weight_at(w, c, k);
            dx[r * K + k] = (act)(s + (res ? res[r * K + k] : 0));
        }
}

void REF(linear_backward_weight)(vlm_ctx *ctx, const vlm_mat *dw, real *db, const act *dout, const act *x, int64_t R) {
    (void)ctx;
    int64_t C = dw->rows, K = dw->cols;
    real *g = dw->data;
    for (int64_t c = 0; c < C; c++) {
        for (int64_t k = 0; g && k < K; k++) {
            double s = g[vlm_mat_at(dw, c, k)];
            for (int64_t r = 0; r < R; r++) s += (double)x[r * K + k] * dout[r * C + c];
            g[vlm_mat_at(dw, c, k)] = (real)s;
        }
        double s = db ? db[c] : 0;
        for (int64_t r = 0; db && r < R; r++) s += dout[r * C + c];
        if (db) db[c] = (real)s;
    }
}

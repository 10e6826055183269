#include "ops/ref/ref.h"

void REF(patches_forward)(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t P) {
    (void)ctx;
    for (int64_t t = 0; t < Hp * Wp; t++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t ky = 0; ky < P; ky++)
                for (int64_t kx = 0; kx < P; kx++)
                    out[((t * 3 + c) * P + ky) * P + kx] = x[(c * Hp * P + t / Wp * P + ky) * Wp * P + t % Wp * P + kx];
}

static uint8_t resampled(const vlm_resample *p, int64_t i, const uint8_t *x, int64_t step) {
    int64_t sum = 1 << (VLM_RESAMPLE_BITS - 1);
    for (int64_t j = 0; j < p->count[i]; j++)
        sum += ((int64_t)p->high[i * p->taps + j] * (1 << VLM_RESAMPLE_LOW) + p->low[i * p->taps + j]) * x[(p->first[i] + j) * step];
    sum >>= VLM_RESAMPLE_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}
void REF(resample_rows)(vlm_ctx *ctx, uint8_t *out, const uint8_t *x, const vlm_resample *p, int64_t R, int64_t W) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t i = 0; i < p->n; i++)
            for (int64_t c = 0; c < 3; c++) out[(r * p->n + i) * 3 + c] = resampled(p, i, x + r * W * 3 + c, 3);
}
void REF(resample_columns)(vlm_ctx *ctx, uint8_t *out, const uint8_t *x, const vlm_resample *p, int64_t C) {
    (void)ctx;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t c = 0; c < C; c++) out[i * C + c] = resampled(p, i, x + c, C);
}

void REF(shuffle_forward)(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t s, int64_t C) {
    (void)ctx;
    for (int64_t gy = 0; gy < Hp / s; gy++)
        for (int64_t gx = 0; gx < Wp / s; gx++)
            for (int64_t dy = 0; dy < s; dy++)
                for (int64_t dx = 0; dx < s; dx++)
                    for (int64_t c = 0; c < C; c++)
                        out[((gy * (Wp / s) + gx) * s * s + dy * s + dx) * C + c] = x[((gy * s + dy) * Wp + gx * s + dx) * C + c];
}
/* out is x in another order: back to where each element came from. */
void REF(shuffle_backward)(vlm_ctx *ctx, act *dx, const act *dout, int64_t Hp, int64_t Wp, int64_t s, int64_t C) {
    (void)ctx;
    for (int64_t y = 0; y < Hp; y++)
        for (int64_t x = 0; x < Wp; x++)
            for (int64_t c = 0; c < C; c++)
                dx[(y * Wp + x) * C + c] = dout[((y / s * (Wp / s) + x / s) * s * s + y % s * s + x % s) * C + c];
}

void REF(embed_forward)(vlm_ctx *ctx, act *out, const int64_t *ids, const vlm_mat *table, float scale, int64_t R) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < table->cols; c++) out[r * table->cols + c] = (act)(weight_at(table, ids[r], c) * scale);
}
/* out[r] = scale table[ids[r]]: a row of the table gets back from every r that took it. */
void REF(embed_backward)(vlm_ctx *ctx, const vlm_mat *dtable, const int64_t *ids, const act *dout, float scale, int64_t R) {
    (void)ctx;
    real *d = dtable->data;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; ids[r] >= 0 && c < dtable->cols; c++) {
            int64_t at = vlm_mat_at(dtable, ids[r], c);
            d[at] = (real)(d[at] + (double)scale * dout[r * dtable->cols + c]);
        }
}

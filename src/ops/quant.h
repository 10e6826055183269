/* How numbers become whole numbers, for ref/ and fast/ (ops.def has the rules). All is done in float and in a fixed order: the same bits
   everywhere. */
#ifndef VLM_QUANT_H
#define VLM_QUANT_H
#include "ops/ops.h"
#include <math.h>                      /* INFINITY, NAN */

#define QUANT_UNIT (1 / 127.0f)
static inline float quant_abs(float x) { return x < 0 ? -x : x; }
static inline float quant_round(float x) { return x + 12582912.0f - 12582912.0f; }      /* |x| < 2^22: nearest integer, ties to even */
static inline int quant_whole(float x, int lo, int hi) {       /* the same, held in lo..hi; NaN is lo */
    return (int)quant_round(!(x > (float)lo) ? (float)lo : x < (float)hi ? x : (float)hi);
}

/* ---- Activations ---- */

/* What the largest of some magnitudes makes of them: q = round(x inverse), x = scale q. Below 2^-100 all are 0; a NaN or an infinity
   among them, which the largest as an integer shows, makes scale NaN. */
typedef struct quant_step { float scale, inverse; } quant_step;
static inline quant_step quant_step_of(float top) {
    if (!(top < INFINITY)) return (quant_step){ NAN, 0 };
    return top < 0x1p-100f ? (quant_step){ 0, 0 } : (quant_step){ top * QUANT_UNIT, 127 / top };
}
/* Of a row of I8: above this magnitude x[k] is taken out. Fewer than K/16 are, or the mean would be larger (Markov). */
static inline float quant_limit(float top, float sum, int64_t K) {
    float t = sum * 16 / (float)K;
    return t < top ? t : top;
}

/* ---- Weights ---- */

static inline void quant_put(const vlm_mat *m, int64_t r, int64_t k, int q) {
    unsigned char *p = (unsigned char *)m->data + r / VLM_PANEL * vlm_panel_bytes(m->dtype, m->cols);
    int64_t j = r % VLM_PANEL, in = k % VLM_QGROUP;
    if (m->dtype == VLM_I8) { p[(k / 4 * VLM_PANEL + j) * 4 + k % 4] = (unsigned char)(q + 128); return; }
    if (m->dtype == VLM_G8) {
        p[k / VLM_QGROUP * (VLM_QGROUP + 2) * VLM_PANEL + (in / 4 * VLM_PANEL + j) * 4 + in % 4] = (unsigned char)(q + 128);
        return;
    }
    p += k / VLM_QGROUP * (VLM_QGROUP / 2 + 2) * VLM_PANEL + (in / 4 % 4 * VLM_PANEL + j) * 4 + in % 4;
    *p = (unsigned char)(in < 16 ? (*p & 0xF0) | (q + 8) : (*p & 0x0F) | (q + 8) << 4);
}
static inline void quant_put_scale(const vlm_mat *m, int64_t r, int64_t group, float scale) {
    unsigned char *p = (unsigned char *)m->data + r / VLM_PANEL * vlm_panel_bytes(m->dtype, m->cols);
    int64_t j = r % VLM_PANEL, q_bytes = m->dtype == VLM_G8 ? VLM_QGROUP * VLM_PANEL : VLM_QGROUP / 2 * VLM_PANEL;
    uint16_t h = vlm_float_f16(scale);
    if (m->dtype == VLM_I8) memcpy(p + (m->cols + 3) / 4 * 4 * VLM_PANEL + j * 4, &scale, 4);
    else                    memcpy(p + group * (q_bytes + VLM_PANEL * 2) + q_bytes + j * 2, &h, 2);
}
static inline float quant_half(float scale) {                  /* as stored: nearest f16, at most the largest one */
    return quant_abs(scale) < 65504 ? vlm_f16_float(vlm_float_f16(scale)) : scale < 0 ? -65504.0f : 65504.0f;
}
/* w[0..32) = weights of row r from k on, 0 behind the end; NaN and infinities are 0 and counted. Weights may lie at any address. */
static inline int64_t quant_load(const vlm_mat *m, int64_t r, int64_t k, float w[VLM_QGROUP]) {
    const char *p = (const char *)m->data + (size_t)(r * m->cols + k) * vlm_dtype_bytes(m->dtype);
    int64_t n = m->cols - k, bad = 0;
    for (int64_t i = 0; i < VLM_QGROUP; i++) {
        uint16_t h;
        double d;
        w[i] = 0;
        if (i >= n) continue;
        if (m->dtype == VLM_F32)      memcpy(&w[i], p + i * 4, 4);
        else if (m->dtype == VLM_F64) memcpy(&d, p + i * 8, 8), w[i] = (float)d;
        else                          memcpy(&h, p + i * 2, 2), w[i] = m->dtype == VLM_BF16 ? vlm_bf16_float(h) : vlm_f16_float(h);
        if (!(w[i] * 0 == 0)) w[i] = 0, bad++;
    }
    return bad;
}
/* The scale of G4 for 32 weights, and the q: of the candidates m/-9, m/-8.75 .. m/-6, where m is the first weight of the largest magnitude,
   the first that has the least Σ (w - scale q)². */
static inline float quant_four(const float w[VLM_QGROUP], int q[VLM_QGROUP]) {
    float m = 0, best = INFINITY, scale = 0;
    for (int i = 0; i < VLM_QGROUP; i++) if (quant_abs(w[i]) > quant_abs(m)) m = w[i];
    for (int c = 0; c < 13; c++) {
        float s = quant_half(m / (-9 + 0.25f * (float)c)), inverse = s ? 1 / s : 0, error = 0;
        if (!(inverse * 0 == 0)) inverse = 0;
        for (int i = 0; i < VLM_QGROUP; i++) {
            float e = w[i] - s * (float)quant_whole(w[i] * inverse, -8, 7);
            error += e * e;
        }
        if (error < best) best = error, scale = s;
    }
    float inverse = scale ? 1 / scale : 0;
    if (!(inverse * 0 == 0)) inverse = 0;
    for (int i = 0; i < VLM_QGROUP; i++) q[i] = quant_whole(w[i] * inverse, -8, 7);
    return scale;
}
/* Row `row` of out = row r of w, and q = 0 behind the last input. Returns how many weights are NaN or infinite. */
static inline int64_t quant_pack_row(const vlm_mat *out, int64_t row, const vlm_mat *w, int64_t r) {
    int64_t K = out->cols, end = out->dtype == VLM_I8 ? (K + 3) / 4 * 4 : (K + VLM_QGROUP - 1) / VLM_QGROUP * VLM_QGROUP, bad = 0;
    float v[VLM_QGROUP], top = 0, scale = 0;
    int q[VLM_QGROUP];
    for (int64_t k = 0; out->dtype == VLM_I8 && k < K; k += VLM_QGROUP) {
        quant_load(w, r, k, v);
        for (int i = 0; i < VLM_QGROUP; i++) if (quant_abs(v[i]) > top) top = quant_abs(v[i]);
    }
    if (out->dtype == VLM_I8) quant_put_scale(out, row, 0, scale = top * QUANT_UNIT);
    for (int64_t k = 0; k < K; k += VLM_QGROUP) {
        bad += quant_load(w, r, k, v);
        if (out->dtype == VLM_G4) scale = quant_four(v, q);
        else {
            if (out->dtype == VLM_G8) {
                top = 0;
                for (int i = 0; i < VLM_QGROUP; i++) if (quant_abs(v[i]) > top) top = quant_abs(v[i]);
                scale = quant_half(top * QUANT_UNIT);
            }
            for (int i = 0; i < VLM_QGROUP; i++) q[i] = scale > 0 ? quant_whole(v[i] / scale, -127, 127) : 0;
        }
        if (out->dtype != VLM_I8) quant_put_scale(out, row, k / VLM_QGROUP, scale);
        for (int64_t i = 0; i < VLM_QGROUP && k + i < end; i++) quant_put(out, row, k + i, q[i]);
    }
    return bad;
}
/* A row behind the last one: q = 0, scale 0. */
static inline void quant_pack_nothing(const vlm_mat *out, int64_t row) {
    int64_t K = out->cols, end = out->dtype == VLM_I8 ? (K + 3) / 4 * 4 : (K + VLM_QGROUP - 1) / VLM_QGROUP * VLM_QGROUP;
    for (int64_t k = 0; k < end; k++) quant_put(out, row, k, 0);
    for (int64_t k = 0; k < K; k += VLM_QGROUP) quant_put_scale(out, row, k / VLM_QGROUP, 0);
}
#endif

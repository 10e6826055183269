#include "ops/ops.h"
#include <math.h>

enum { MOST = 256, BLOCK = VLM_INT8_KEYS };

/* x8 of D floats. Returns top. What is no number shows in mean and size. */
static float quantize(signed char *x8, const float *x, int64_t D, float least) {
    float top = least;
    for (int64_t d = 0; d < D; d++) top = fmaxf(top, fabsf(x[d]));
    if (top == 0) top = 1;
    for (int64_t d = 0; d < D; d++) x8[d] = (signed char)nearbyintf(fmaxf(-127, fminf(127, x[d] * (127 / top))));
    return top;
}

typedef struct head { float mean[MOST], size[MOST]; } head;            /* of a span */

static head measure(const act *k, const act *v, int64_t rows, int64_t D, int64_t S) {
    head h;
    float bad = 0;
    for (int64_t d = 0; d < D; d++) {
        h.mean[d] = h.size[d] = 0;
        for (int64_t j = 0; j < rows; j++) h.mean[d] += (float)k[j * S + d], h.size[d] += fabsf((float)v[j * S + d]);
        h.mean[d] /= (float)rows, h.size[d] /= (float)rows;
        if (h.size[d] == 0) h.size[d] = 1;
        bad += h.mean[d] * 0;
    }
    for (int64_t d = 0; d < D; d++) h.size[d] += bad;
    return h;
}

/* One query and head. */
static void attend(act *out, const act *q, const act *k, const act *v, const head *h, int64_t rows, int64_t D, int64_t S, float scale) {
    signed char q8[MOST], x8[MOST], v8[BLOCK][MOST];
    float x[MOST], bad = 0;
    double o[MOST] = { 0 }, l = 0, m = -INFINITY, u[BLOCK], w[BLOCK];
    for (int64_t d = 0; d < D; d++) x[d] = (float)q[d], bad += x[d] * 0;
    double a = quantize(q8, x, D, 0) / 127.0 * scale * 1.4426950408889634;
    for (int64_t b = 0; b < rows; b += BLOCK) {
        int64_t n = rows - b < BLOCK ? rows - b : BLOCK;
        double top = -INFINITY, sum[MOST] = { 0 }, denominator = 0;
        for (int64_t j = 0; j < n; j++) {
            int dot = 0;
            for (int64_t d = 0; d < D; d++) x[d] = (float)k[(b + j) * S + d] - h->mean[d];
            double factor = quantize(x8, x, D, 0) / 127.0;
            for (int64_t d = 0; d < D; d++) dot += q8[d] * x8[d];
            for (int64_t d = 0; d < D; d++) x[d] = (float)v[(b + j) * S + d] * (1 / h->size[d]);
            w[j] = quantize(v8[j], x, D, 0x1p-10f);
            u[j] = dot * factor * a + log2(w[j]);
            top = fmax(top, u[j]);
        }
        for (int64_t j = 0; j < n; j++) {
            double p = 255 * exp2(u[j] - top), p8 = nearbyint(p);
            for (int64_t d = 0; d < D; d++) sum[d] += p8 * v8[j][d];
            denominator += p / w[j];
        }
        double up = fmax(m, top), was = exp2(m - up), is = exp2(top - up);
        for (int64_t d = 0; d < D; d++) o[d] = o[d] * was + sum[d] * is;
        l = l * was + denominator * is;
        m = up;
    }
    for (int64_t d = 0; d < D; d++) out[d] = (act)(o[d] / l * (h->size[d] / 127) + bad);
}

void REF(attention_int8_forward)(vlm_ctx *ctx, act *out, void *room, const act *q, const act *k, const act *v, const vlm_span *spans,
                                 int64_t nspans, int64_t H, int64_t D, int64_t S, float scale) {
    (void)room;
    for (const vlm_span *s = spans; s < spans + nspans; s++) {
        if (s->rows < VLM_INT8_ROWS) {
            vlm_span own = { .row = s->row, .rows = s->rows, .keys = s->rows, .k = k + s->row * S, .v = v + s->row * S };
            REF(attention_forward)(ctx, out, NULL, q, &own, 1, H, H, D, S, S, 0, 0, scale);
            continue;
        }
        for (int64_t h = 0; h < H; h++) {
            int64_t at = s->row * S + h * D;
            head of = measure(k + at, v + at, s->rows, D, S);
            for (int64_t i = 0; i < s->rows; i++)
                attend(out + ((s->row + i) * H + h) * D, q + at + i * S, k + at, v + at, &of, s->rows, D, S, scale);
        }
    }
}

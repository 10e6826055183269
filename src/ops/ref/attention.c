#include "ops/ops.h"
#include <math.h>

enum { PART = 64 };

typedef struct keys { const vlm_span *s; const act *q; int64_t lo, hi, Skv, G, g, D; double scale; } keys;

/* Dimension d of the key, or value, at position p. */
static double element(const keys *a, const void *base, int values, int64_t p, int64_t d) {
    const vlm_span *s = a->s;
    if (s->layout == VLM_ROWS) return ((const act *)base)[p * a->Skv + a->g * a->D + d];
    const char *chunk = (const char *)base + vlm_kv_chunk_at(s->dtype, p, s->ring, a->G, a->g, a->D);
    int64_t at = values ? vlm_kv_value_at(p, d) : vlm_kv_key_at(p, d, a->D);
    float scale;
    if (s->dtype == VLM_F32) return ((const float *)(const void *)chunk)[at];
    if (s->dtype == VLM_F16) return vlm_f16_float(((const uint16_t *)(const void *)chunk)[at]);
    memcpy(&scale, chunk + vlm_kv_scale_at(p, a->D), 4);
    return ((const int8_t *)chunk)[at] * (double)scale;
}
static double score(const keys *a, int64_t p) {
    double dot = 0;
    for (int64_t d = 0; d < a->D; d++) dot += (double)a->q[d] * element(a, a->s->k, 0, p, d);
    return dot * a->scale;
}

void REF(kv_store)(vlm_ctx *ctx, void *to, vlm_dtype t, int values, const act *x, int64_t at, int64_t ring, int64_t R, int64_t G, int64_t D,
                   int64_t S) {
    (void)ctx;
    for (int64_t i = 0; i < R * G; i++) {
        int64_t p = at + i / G, g = i % G;
        const act *row = x + i / G * S + g * D;
        char *chunk = (char *)to + vlm_kv_chunk_at(t, p, ring, G, g, D);
        float most = 0, times = 1;
        bool finite = true;
        for (int64_t d = 0; d < D; d++) finite = finite && isfinite(row[d]), most = fmaxf(most, fabsf((float)row[d]));
        if (t == VLM_I8) {
            float scale = finite ? most / 127.0f : NAN;
            memcpy(chunk + vlm_kv_scale_at(p, D), &scale, 4);
            times = finite && most > 0 ? 127.0f / most : 0;
            if (!(times < INFINITY)) times = 0;        /* numbers below 2^-121: as 0 */
        }
        for (int64_t d = 0; d < D; d++) {
            int64_t e = values ? vlm_kv_value_at(p, d) : vlm_kv_key_at(p, d, D);
            float f = (float)row[d];
            if (t == VLM_F32)      ((float *)(void *)chunk)[e] = f;
            else if (t == VLM_F16) ((uint16_t *)(void *)chunk)[e] = vlm_float_f16(f);
            else                   ((int8_t *)chunk)[e] = times > 0 ? (int8_t)rintf(f * times) : 0;
        }
    }
}

/* A query that sees no key (there are none) gets zeros, and lse -inf. */
void REF(attention_forward)(vlm_ctx *ctx, act *out, real *lse, const act *q, const vlm_span *spans, int64_t nspans, int64_t H, int64_t G,
                            int64_t D, int64_t S, int64_t Skv, int causal, int64_t window, float scale) {
    (void)ctx;
    for (const vlm_span *s = spans; s < spans + nspans; s++)
        for (int64_t i = 0; i < s->rows * H; i++) {
            int64_t r = s->row + i / H, h = i % H, t = s->pos + i / H;
            keys a = { s, q + r * S + h * D, 0, s->keys, Skv, G, h / (H / G), D, scale };
            if (causal && t + 1 < a.hi) a.hi = t + 1;
            if (causal && window > 0 && t - window + 1 > 0) a.lo = t - window + 1;
            double m = -INFINITY, sum = 0;
            for (int64_t p = a.lo; p < a.hi; p++) m = fmax(m, score(&a, p));
            for (int64_t d0 = 0; d0 < D; d0 += PART) {         /* some of the dimensions at a time: no memory of D needed */
                int64_t n = D - d0 < PART ? D - d0 : PART;
                double o[PART] = { 0 };
                sum = 0;
                for (int64_t p = a.lo; p < a.hi; p++) {
                    double e = exp(score(&a, p) - m);
                    sum += e;
                    for (int64_t d = 0; d < n; d++) o[d] += e * element(&a, s->v, 1, p, d0 + d);
                }
                for (int64_t d = 0; d < n; d++) out[(r * H + h) * D + d0 + d] = (act)(a.lo < a.hi ? o[d] / sum : 0);
            }
            if (lse) lse[r * H + h] = (real)(a.lo < a.hi ? m + log(sum) : -INFINITY);
        }
}

/* One pair of a query and a key that it sees: a head's vectors, and what the pair contributes. */
typedef struct pair { double p, ds; } pair;
static pair pair_of(const act *q, const act *k, const act *v, const act *dout, const act *out, double lse, int64_t D, double scale) {
    double dot = 0, dp = 0, delta = 0;
    for (int64_t d = 0; d < D; d++) dot += (double)q[d] * k[d], dp += (double)dout[d] * v[d], delta += (double)dout[d] * out[d];
    double p = lse > -INFINITY ? exp(dot * scale - lse) : 0;
    return (pair){ p, scale * p * (dp - delta) };
}

void REF(attention_backward)(vlm_ctx *ctx, act *dq, act *dk, act *dv, const act *dout, const act *out, const real *lse,
                             const act *q, const act *k, const act *v, const vlm_span *spans, int64_t nspans,
                             int64_t H, int64_t G, int64_t D, int64_t S, int causal, int64_t window, float scale) {
    (void)ctx;
    int64_t group = H / G;
    for (const vlm_span *s = spans; s < spans + nspans; s++)
        for (int64_t i = 0; i < s->rows * (H + G); i++) {      /* a query head's dq, or a key head's dk and dv, of one row */
            int64_t t = i / (H + G), h = i % (H + G), g = h < H ? h / group : h - H;
            for (int64_t d0 = 0; d0 < D; d0 += PART) {         /* as above */
                int64_t n = D - d0 < PART ? D - d0 : PART;
                double a[PART] = { 0 }, b[PART] = { 0 };
                int64_t h0 = h < H ? h : g * group, h1 = h < H ? h + 1 : h0 + group;
                for (int64_t j = h0; j < h1; j++)
                    for (int64_t o = 0; o < s->rows; o++) {
                        int64_t query = h < H ? t : o, key = h < H ? o : t, r = s->row + query, c = s->row + key, at = (r * H + j) * D;
                        if (causal && (key > query || (window > 0 && key <= query - window))) continue;
                        pair x = pair_of(q + r * S + j * D, k + c * S + g * D, v + c * S + g * D, dout + at, out + at, lse[r * H + j],
                                         D, scale);
                        for (int64_t d = 0; d < n; d++)
                            if (h < H) a[d] += x.ds * k[c * S + g * D + d0 + d];
                            else a[d] += x.ds * q[r * S + j * D + d0 + d], b[d] += x.p * dout[at + d0 + d];
                    }
                act *to = (h < H ? dq + h * D : dk + g * D) + (s->row + t) * S + d0;
                for (int64_t d = 0; d < n; d++) to[d] = (act)a[d];
                if (h >= H) for (int64_t d = 0; d < n; d++) dv[(s->row + t) * S + g * D + d0 + d] = (act)b[d];
            }
        }
}

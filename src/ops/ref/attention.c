#include "ops/ops.h"
#include <math.h>

enum { PART = 64 };

typedef struct keys { const vlm_span *s; const act *q; int64_t lo, hi, Skv, g, D; double scale; } keys;

static int64_t row_of(const vlm_span *s, int64_t p) { return s->ring ? p % s->ring : p; }
static double score(const keys *a, int64_t p) {
    const act *k = a->s->k + row_of(a->s, p) * a->Skv + a->g * a->D;
    double dot = 0;
    for (int64_t d = 0; d < a->D; d++) dot += (double)a->q[d] * k[d];
    return dot * a->scale;
}

/* A query that sees no key (there are none) gets zeros, and lse -inf. */
void REF(attention_forward)(vlm_ctx *ctx, act *out, real *lse, const act *q, const vlm_span *spans, int64_t nspans, int64_t H, int64_t G,
                            int64_t D, int64_t S, int64_t Skv, int causal, int64_t window, float scale) {
    (void)ctx;
    for (const vlm_span *s = spans; s < spans + nspans; s++)
        for (int64_t i = 0; i < s->rows * H; i++) {
            int64_t r = s->row + i / H, h = i % H, t = s->pos + i / H;
            keys a = { s, q + r * S + h * D, 0, s->keys, Skv, h / (H / G), D, scale };
            if (causal && t + 1 < a.hi) a.hi = t + 1;
            if (causal && window > 0 && t - window + 1 > 0) a.lo = t - window + 1;
            double m = -INFINITY, sum = 0;
            for (int64_t p = a.lo; p < a.hi; p++) m = fmax(m, score(&a, p));
            for (int64_t d0 = 0; d0 < D; d0 += PART) {         /* some of the dimensions at a time: no memory of D needed */
                int64_t n = D - d0 < PART ? D - d0 : PART;
                double o[PART] = { 0 };
                sum = 0;
                for (int64_t p = a.lo; p < a.hi; p++) {
                    const act *v = s->v + row_of(s, p) * Skv + a.g * D + d0;
                    double e = exp(score(&a, p) - m);
                    sum += e;
                    for (int64_t d = 0; d < n; d++) o[d] += e * v[d];
                }
                for (int64_t d = 0; d < n; d++) out[(r * H + h) * D + d0 + d] = (act)(a.lo < a.hi ? o[d] / sum : 0);
            }
            if (lse) lse[r * H + h] = (real)(a.lo < a.hi ? m + log(sum) : -INFINITY);
        }
}

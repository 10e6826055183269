#include "ops/ops.h"
#include <math.h>

void REF(rope_forward)(vlm_ctx *ctx, act *out, const act *x, const real *cos, const real *sin, int64_t R, int64_t N, int64_t D, int64_t S) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t h = 0; h < N; h++)
            for (int64_t i = 0; i < D / 2; i++) {
                int64_t at = r * S + h * D + i;
                double a = x[at], b = x[at + D / 2], c = cos[r * (D / 2) + i], s = sin[r * (D / 2) + i];
                out[at] = (act)(a * c - b * s);
                out[at + D / 2] = (act)(b * c + a * s);
            }
}

/* Keys' cubic at distance t; a = -0.75 or -0.5. */
static double cubic(double t, double a) {
    t = fabs(t);
    return t < 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}
/* Weight of source cell j for the centre c, and the cells lo..hi-1 that have one. Past the edge: j is clamped, or left out. */
typedef struct taps { double c, step, a; int64_t lo, hi; } taps;

static taps taps_of(int64_t i, int64_t n, int64_t g, int antialias) {
    double scale = (double)g / (double)n, c = ((double)i + 0.5) * scale;
    if (!antialias) {
        int64_t first = (int64_t)floor(c - 0.5) - 1;
        return (taps){ c, 1, -0.75, first, first + 4 };
    }
    taps t = { c, scale > 1 ? 1 / scale : 1, -0.5, 0, g };
    double support = 2 / t.step;
    if (c - support + 0.5 > 0) t.lo = (int64_t)(c - support + 0.5);
    if (c + support + 0.5 < (double)g) t.hi = (int64_t)(c + support + 0.5);
    return t;
}
static double tap(const taps *t, int64_t j) { return cubic(((double)j + 0.5 - t->c) * t->step, t->a); }
static double tap_sum(const taps *t) {
    double s = 0;
    for (int64_t j = t->lo; j < t->hi; j++) s += tap(t, j);
    return s;
}
static int64_t clamp(int64_t j, int64_t g) { return j < 0 ? 0 : j >= g ? g - 1 : j; }

void REF(posresize_forward)(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t gh, int64_t gw, int64_t C, int antialias) {
    (void)ctx;
    for (int64_t y = 0; y < Hp; y++)
        for (int64_t z = 0; z < Wp; z++) {
            taps ty = taps_of(y, Hp, gh, antialias), tx = taps_of(z, Wp, gw, antialias);
            double norm = tap_sum(&ty) * tap_sum(&tx);
            for (int64_t c = 0; c < C; c++) {
                double s = 0;
                for (int64_t j = ty.lo; j < ty.hi; j++)
                    for (int64_t i = tx.lo; i < tx.hi; i++)
                        s += tap(&ty, j) * tap(&tx, i) * x[(clamp(j, gh) * gw + clamp(i, gw)) * C + c];
                out[(y * Wp + z) * C + c] = Hp == gh && Wp == gw ? x[(y * Wp + z) * C + c] : (act)(s / norm);
            }
        }
}

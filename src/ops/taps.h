/* The weights of posresize along one axis, for ref/ and fast/ (ops.def has the formula). */
#ifndef VLM_TAPS_H
#define VLM_TAPS_H
#include <stdint.h>

/* Source cells lo..hi-1 have a weight in an output cell; norm: the sum of their weights. */
typedef struct taps { double centre, step, a, norm; int64_t lo, hi; } taps;

static inline double taps_weight(const taps *t, int64_t j) {   /* Keys' cubic at the distance of cell j */
    double d = ((double)j + 0.5 - t->centre) * t->step, a = t->a;
    d = d < 0 ? -d : d;
    return d < 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}
/* Of output cell i of n, from g cells. */
static inline taps taps_of(int64_t i, int64_t n, int64_t g, int antialias) {
    double scale = (double)g / (double)n;
    taps t = { .centre = ((double)i + 0.5) * scale, .step = 1, .a = -0.75, .hi = g };
    if (antialias) {
        t.step = scale > 1 ? 1 / scale : 1, t.a = -0.5;
        double support = 2 / t.step;
        if (t.centre - support + 0.5 > 0) t.lo = (int64_t)(t.centre - support + 0.5);
        if (t.centre + support + 0.5 < (double)g) t.hi = (int64_t)(t.centre + support + 0.5);
    } else {
        t.lo = ((2 * i + 1) * g + n) / (2 * n) - 2;            /* floor(centre - 0.5) - 1 */
        t.hi = t.lo + 4;
    }
    for (int64_t j = t.lo; j < t.hi; j++) t.norm += taps_weight(&t, j);
    return t;
}
static inline int64_t taps_cell(int64_t j, int64_t g) { return j < 0 ? 0 : j >= g ? g - 1 : j; }      /* edges are repeated */
#endif

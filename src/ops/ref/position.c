#include "ops/ops.h"
#include "ops/taps.h"

enum { PART = 64 };

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
/* out_i = x_i c - x_j s,  out_j = x_j c + x_i s: the rotation back. */
void REF(rope_backward)(vlm_ctx *ctx, act *dx, const act *dout, const real *cos, const real *sin, int64_t R, int64_t N, int64_t D,
                        int64_t S) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t h = 0; h < N; h++)
            for (int64_t i = 0; i < D / 2; i++) {
                int64_t at = r * S + h * D + i;
                double a = dout[at], b = dout[at + D / 2], c = cos[r * (D / 2) + i], s = sin[r * (D / 2) + i];
                dx[at] = (act)(a * c + b * s);
                dx[at + D / 2] = (act)(b * c - a * s);
            }
}

void REF(posresize_forward)(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t gh, int64_t gw, int64_t C,
                            int antialias) {
    (void)ctx;
    for (int64_t r = 0; r < Hp * Wp; r++) {
        taps ty = taps_of(r / Wp, Hp, gh, antialias), tx = taps_of(r % Wp, Wp, gw, antialias);
        for (int64_t c0 = 0; c0 < C; c0 += PART) {             /* some channels at a time: no memory of C needed */
            int64_t n = C - c0 < PART ? C - c0 : PART;
            double s[PART] = { 0 };
            for (int64_t j = ty.lo; j < ty.hi; j++)
                for (int64_t i = tx.lo; i < tx.hi; i++) {
                    const act *v = x + (taps_cell(j, gh) * gw + taps_cell(i, gw)) * C + c0;
                    double w = taps_weight(&ty, j) * taps_weight(&tx, i) / (ty.norm * tx.norm);
                    for (int64_t c = 0; c < n; c++) s[c] += w * v[c];
                }
            for (int64_t c = 0; c < n; c++) out[r * C + c0 + c] = Hp == gh && Wp == gw ? x[r * C + c0 + c] : (act)s[c];
        }
    }
}
/* out[r] = Σ w x[cell]: cell gets back from every out cell it went into, with the same weight. */
void REF(posresize_backward)(vlm_ctx *ctx, real *dx, const act *dout, int64_t Hp, int64_t Wp, int64_t gh, int64_t gw, int64_t C,
                             int antialias) {
    (void)ctx;
    int same = Hp == gh && Wp == gw;
    for (int64_t i = 0; same && i < Hp * Wp * C; i++) dx[i] += dout[i];
    for (int64_t r = 0; !same && r < Hp * Wp; r++) {
        taps ty = taps_of(r / Wp, Hp, gh, antialias), tx = taps_of(r % Wp, Wp, gw, antialias);
        for (int64_t j = ty.lo; j < ty.hi; j++)
            for (int64_t i = tx.lo; i < tx.hi; i++) {
                real *d = dx + (taps_cell(j, gh) * gw + taps_cell(i, gw)) * C;
                double w = taps_weight(&ty, j) * taps_weight(&tx, i) / (ty.norm * tx.norm);
                for (int64_t c = 0; c < C; c++) d[c] = (real)(d[c] + w * dout[r * C + c]);
            }
    }
}

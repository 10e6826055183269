#include "checkops.h"
#include <math.h>
#include <string.h>

/* R N D */
static const int64_t ROPE[][3] = { {1, 1, 2}, {3, 2, 8}, {2, 3, 64}, {5, 1, 72}, {4, 2, 34}, {7, 4, 128}, {2, 1, 256}, {0, 1, 4} };
enum { ROPES = sizeof ROPE / sizeof *ROPE };

void check_rope_forward(check *k) {
    for (int i = 0; i < ROPES; i++) {
        int64_t R = ROPE[i][0], N = ROPE[i][1], D = ROPE[i][2], row = N * D + i % 3 * 7;
        buf x = check_in(k, R * row), c = check_in(k, R * D / 2), s = check_in(k, R * D / 2);
        buf out = check_out(k, R * row), in = check_out(k, R * row);
        for (int64_t j = 0; j < out.n; j++) out.d[j] = out.f[j] = 7;           /* the rest of a row is left */
        k->op->rope_forward(k->ctx, out.f, x.f, c.f, s.f, R, N, D, row);
        k->want->rope_forward(k->ctx, out.d, x.d, c.d, s.d, R, N, D, row);
        check_same(k, "out", out, 3e-7);
        memcpy(in.f, x.f, (size_t)(R * row) * sizeof(float));
        k->op->rope_forward(k->ctx, in.f, in.f, c.f, s.f, R, N, D, row);
        for (int64_t r = 0; r < R; r++) {
            check_bits(k, "in place", out.f + r * row, in.f + r * row, N * D);
            check_bits(k, "in place, the rest", x.f + r * row + N * D, in.f + r * row + N * D, row - N * D);
        }
        check_free(k);
    }
}

typedef struct rope { int64_t R, N, D, S; buf out, x, c, s; } rope;
static void rotated(const check *k, const void *arg) {
    const rope *p = arg;
    k->want->rope_forward(k->ctx, p->out.d, p->x.d, p->c.d, p->s.d, p->R, p->N, p->D, p->S);
}
void check_rope_backward(check *k) {
    for (int i = 0; i < ROPES; i++) {
        int64_t R = ROPE[i][0], N = ROPE[i][1], D = ROPE[i][2], row = N * D + i % 3 * 7, all = R * row;
        rope p = { R, N, D, row, check_out(k, all), check_in(k, all), check_in(k, R * D / 2), check_in(k, R * D / 2) };
        buf dout = check_in(k, all), dx = check_out(k, all), left = check_out(k, all), in = check_copy(k, dout);
        for (int64_t j = 0; j < all; j++) dx.d[j] = dx.f[j] = 7, p.out.d[j] = 0, left.d[j] = j % row < N * D ? 0 : 7;
        k->op->rope_backward(k->ctx, dx.f, dout.f, p.c.f, p.s.f, R, N, D, row);
        k->want->rope_backward(k->ctx, dx.d, dout.d, p.c.d, p.s.d, R, N, D, row);
        check_same(k, "dx", dx, 3e-7);
        slope s = { rotated, &p, p.out, dout };
        check_slope(k, "dx", &s, p.x, dx, left.d, 1e-7);
        k->op->rope_backward(k->ctx, in.f, in.f, p.c.f, p.s.f, R, N, D, row);
        for (int64_t r = 0; r < R; r++) {
            check_bits(k, "in place", dx.f + r * row, in.f + r * row, N * D);
            check_bits(k, "in place, the rest", dout.f + r * row + N * D, in.f + r * row + N * D, row - N * D);
        }
        check_free(k);
    }
    float d[] = { 3, 5 }, c[] = { 0 }, s[] = { 1 }, dx[2];     /* a quarter turn back */
    k->op->rope_backward(k->ctx, dx, d, c, s, 1, 1, 2, 2);
    check_true(k, "by hand", dx[0] == 5 && dx[1] == -3);
}

/* Hp Wp gh gw C */
static const int64_t S[][5] = { {1,1,1,1,1}, {2,3,2,3,4}, {5,7,4,4,3}, {3,2,7,6,5}, {1,9,4,3,17}, {14,11,8,8,33}, {4,16,16,5,16},
                                {2,2,1,1,70} };
enum { CASES = sizeof S / sizeof *S };

/* The oracle is the same formula, so two facts that need none: a constant stays, and so does the grid itself;
   and two values worked out by hand. */
void check_posresize_forward(check *k) {
    for (int i = 0; i < CASES; i++)
        for (int anti = 0; anti < 2; anti++) {
            int64_t Hp = S[i][0], Wp = S[i][1], gh = S[i][2], gw = S[i][3], C = S[i][4];
            buf x = check_in(k, gh * gw * C), out = check_out(k, Hp * Wp * C);
            k->op->posresize_forward(k->ctx, out.f, x.f, Hp, Wp, gh, gw, C, anti);
            k->want->posresize_forward(k->ctx, out.d, x.d, Hp, Wp, gh, gw, C, anti);
            check_same(k, "out", out, 1e-6);
            if (Hp == gh && Wp == gw) check_bits(k, "same grid", x.f, out.f, x.n);
            buf one = check_out(k, gh * gw * C);
            for (int64_t j = 0; j < one.n; j++) one.f[j] = 3;
            k->op->posresize_forward(k->ctx, out.f, one.f, Hp, Wp, gh, gw, C, anti);
            for (int64_t j = 0; j < out.n; j++) check_true(k, "a constant stays", fabsf(out.f[j] - 3) < 1e-5f);
            check_free(k);
        }
    /* 2 -> 4 cells in a row, a = -0.75, (0, 1): out 0 is at -0.25: taps at -2..1 clamped; only the last, at distance 1.25, is 1:
       w = a (t³ - 5t² + 8t - 4) = -0.10546875.  Shrinking 4 -> 2 with a = -0.5: support 4, out 0 at centre 1. */
    float two[] = { 0, 1 }, four[] = { 1, 0, 0, 0 };
    buf x = check_like(k, two, 2), y = check_like(k, four, 4), out = check_out(k, 4), small = check_out(k, 2);
    k->op->posresize_forward(k->ctx, out.f, x.f, 1, 4, 1, 2, 1, 0);
    check_true(k, "by hand, growing", fabsf(out.f[0] - -0.10546875f) < 1e-6f);
    k->op->posresize_forward(k->ctx, small.f, y.f, 1, 2, 1, 4, 1, 1);
    /* distances of cells 0..3 from centre 1 in halves: .25 .25 .75 1.25: weights 0.8671875 0.8671875 0.2265625 -0.0703125 */
    check_true(k, "by hand, shrinking", fabsf(small.f[0] - 0.8671875f / 1.890625f) < 1e-6f);
    check_free(k);
    if (k->bench) {
        double ns;
        x = check_in(k, 37 * 37 * 768), out = check_out(k, 50 * 66 * 768);
        CHECK_TIME(ns, k->op->posresize_forward(k->ctx, out.f, x.f, 50, 66, 37, 37, 768, 0));
        check_rate(k, "37x37 to 50x66, 768", ns, 32.0 * 50 * 66 * 768);
    }
}

typedef struct posresize { int64_t Hp, Wp, gh, gw, C; int anti; buf out, x; } posresize;
static void resized(const check *k, const void *arg) {
    const posresize *p = arg;
    k->want->posresize_forward(k->ctx, p->out.d, p->x.d, p->Hp, p->Wp, p->gh, p->gw, p->C, p->anti);
}
/* Besides: weights of an output cell add up to 1, so no gradient is lost; and the values that forward worked out by hand. */
void check_posresize_backward(check *k) {
    for (int i = 0; i < CASES; i++)
        for (int anti = 0; anti < 2; anti++) {
            int64_t Hp = S[i][0], Wp = S[i][1], gh = S[i][2], gw = S[i][3], C = S[i][4];
            posresize p = { Hp, Wp, gh, gw, C, anti, check_out(k, Hp * Wp * C), check_in(k, gh * gw * C) };
            buf dout = check_in(k, Hp * Wp * C), x0 = check_in(k, gh * gw * C), dx = check_copy(k, x0), zero = check_copy(k, x0);
            k->op->posresize_backward(k->ctx, dx.f, dout.f, Hp, Wp, gh, gw, C, anti);
            k->want->posresize_backward(k->ctx, dx.d, dout.d, Hp, Wp, gh, gw, C, anti);
            check_same(k, "dx", dx, 2e-6);
            slope s = { resized, &p, p.out, dout };
            check_slope(k, "dx", &s, p.x, dx, x0.d, 1e-7);
            for (int64_t j = 0; j < zero.n; j++) zero.f[j] = 0;
            k->op->posresize_backward(k->ctx, zero.f, dout.f, Hp, Wp, gh, gw, C, anti);
            double in = 0, out = 0;
            for (int64_t j = 0; j < zero.n; j++) in += zero.f[j];
            for (int64_t j = 0; j < dout.n; j++) out += dout.f[j];
            check_true(k, "nothing is lost", fabs(in - out) < 1e-4);
            check_free(k);
        }
    float one[] = { 1, 0, 0, 0 }, dx[4] = { 2, 2 }, small[4] = { 0 };
    k->op->posresize_backward(k->ctx, dx, one, 1, 4, 1, 2, 1, 0);
    check_true(k, "by hand, growing", fabsf(dx[0] - (2 + 1.10546875f)) < 1e-6f && fabsf(dx[1] - (2 - 0.10546875f)) < 1e-6f);
    k->op->posresize_backward(k->ctx, small, one, 1, 2, 1, 4, 1, 1);
    check_true(k, "by hand, shrinking", fabsf(small[0] - 0.8671875f / 1.890625f) < 1e-6f);
    check_true(k, "by hand, its far end", fabsf(small[3] + 0.0703125f / 1.890625f) < 1e-6f);
    if (k->bench) {
        double ns;
        buf d = check_in(k, 50 * 66 * 768), x = check_copy(k, check_in(k, 37 * 37 * 768));
        CHECK_TIME(ns, k->op->posresize_backward(k->ctx, x.f, d.f, 50, 66, 37, 37, 768, 0));
        check_rate(k, "50x66 to 37x37, 768", ns, 32.0 * 50 * 66 * 768);
    }
}

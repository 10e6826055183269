#include "checkops.h"
#include <math.h>
#include <string.h>

static const int64_t S[][2] = { {1, 1}, {3, 7}, {2, 15}, {4, 16}, {5, 17}, {2, 33}, {3, 1000}, {2, 1025}, {2, 49152}, {1, 262144}, {0, 5} };
enum { CASES = sizeof S / sizeof *S, LABELS = 8 };

static void some_labels(int64_t *labels, int64_t R, int64_t V) {       /* the first and the last among them */
    for (int64_t r = 0; r < R; r++) labels[r] = r ? r * 7919 % V : V - 1;
}
static void rounded(buf b) { for (int64_t i = 0; i < b.n; i++) b.f[i] = (float)b.d[i]; }

void check_crossentropy_forward(check *k) {
    for (int i = 0; i < CASES; i++)
        for (int t = 0; t < 3; t++) {                  /* flat, peaked, far from zero */
            int64_t R = S[i][0], V = S[i][1], labels[LABELS];
            buf x = check_copy(k, check_in(k, R * V)), nll = check_out(k, R), lse = check_out(k, R);
            for (int64_t j = 0; j < x.n; j++) x.d[j] = x.f[j] *= t == 1 ? 30 : 1, x.d[j] = x.f[j] += t == 2 ? 1000 : 0;
            some_labels(labels, R, V);
            k->op->crossentropy_forward(k->ctx, nll.f, lse.f, x.f, labels, R, V);
            k->want->crossentropy_forward(k->ctx, nll.d, lse.d, x.d, labels, R, V);
            check_same(k, "nll", nll, 3e-7);
            check_same(k, "lse", lse, 3e-7);
            check_free(k);
        }
    /* ln V where all are alike, though adding up 0.3 so often loses digits; ln 4/3; labels behind the mask; no overflow. */
    enum { MANY = 262144 };
    int64_t last[] = { MANY - 1 }, one[] = { 1 };
    buf x = check_out(k, MANY);
    float nll[4], lse[4];
    for (int64_t j = 0; j < MANY; j++) x.f[j] = j ? logf(0.3f) : 0;
    k->op->crossentropy_forward(k->ctx, nll, lse, x.f, last, 1, MANY);
    double much = log(1 + 0.3 * (MANY - 1));
    check_true(k, "one and many of 0.3", fabs(lse[0] - much) < 2e-6 && fabs(nll[0] - (much - log(0.3))) < 2e-6);
    float two[] = { 0, 1.09861229f };
    k->op->crossentropy_forward(k->ctx, nll, lse, two, one, 1, 2);
    check_true(k, "by hand", fabsf(nll[0] - 0.28768207f) < 1e-7f && fabsf(lse[0] - 1.38629436f) < 2e-7f);
    float big[] = { 3e38f, -3e38f, 1e4f,   -1e30f, -1e30f, -1e30f,   -INFINITY, 2, 2,   1, NAN, 1 };
    k->op->crossentropy_forward(k->ctx, nll, lse, big, (int64_t[]){ 0, 1, 2, 0 }, 4, 3);
    check_true(k, "large logits", nll[0] == 0 && lse[0] == 3e38f && fabsf(nll[1] - 1.09861229f) < 3e-7f && lse[1] == -1e30f);
    check_true(k, "an impossible one", fabsf(nll[2] - 0.69314718f) < 2e-7f);
    check_true(k, "NaN stays, in its row", isnan(nll[3]) && isnan(lse[3]));
    k->op->crossentropy_forward(k->ctx, nll, lse, big, (int64_t[]){ 1 }, 1, 3);
    check_true(k, "a loss past all numbers", nll[0] == INFINITY);
    check_free(k);
    if (k->bench) {
        static int64_t labels[512];
        double ns;
        x = check_in(k, 512 * 49152);
        buf a = check_out(k, 512), b = check_out(k, 512);
        CHECK_TIME(ns, k->op->crossentropy_forward(k->ctx, a.f, b.f, x.f, labels, 512, 49152));
        check_stream(k, "512x49152", ns, 4.0 * 512 * 49152);
    }
}

typedef struct loss { int64_t R, V; const int64_t *labels; buf nll, lse, x; } loss;
static void losses(const check *k, const void *arg) {
    const loss *l = arg;
    k->want->crossentropy_forward(k->ctx, l->nll.d, l->lse.d, l->x.d, l->labels, l->R, l->V);
}
void check_crossentropy_backward(check *k) {
    for (int i = 0; i < CASES; i++) {
        int64_t R = S[i][0], V = S[i][1], labels[LABELS];
        float scale = i % 2 ? 0.37f : 1;
        loss l = { R, V, labels, check_out(k, R), check_out(k, R), check_copy(k, check_in(k, R * V)) };
        for (int64_t j = 0; j < R * V; j++) l.x.d[j] = l.x.f[j] *= 5;
        buf lse = check_out(k, R), dout = check_out(k, R), dx = check_out(k, R * V), in = check_copy(k, l.x);
        some_labels(labels, R, V);
        k->want->crossentropy_forward(k->ctx, l.nll.d, lse.d, l.x.d, labels, R, V);
        rounded(lse);
        check_keep(k, l.x.f, (size_t)(R * V) * sizeof(float));
        k->op->crossentropy_backward(k->ctx, dx.f, l.x.f, lse.f, labels, scale, R, V);
        k->want->crossentropy_backward(k->ctx, dx.d, l.x.d, lse.d, labels, scale, R, V);
        check_same(k, "dlogits", dx, 1e-6);
        for (int64_t r = 0; r < R; r++) {
            double sum = 0;
            for (int64_t v = 0; v < V; v++) sum += dx.f[r * V + v];
            check_true(k, "a row adds up to nothing", fabs(sum) < 2e-6);
            dout.d[r] = scale;
        }
        slope s = { losses, &l, l.nll, dout };
        check_slope(k, "dlogits", &s, l.x, dx, NULL, 1e-6);
        k->op->crossentropy_backward(k->ctx, in.f, in.f, lse.f, labels, scale, R, V);
        check_bits(k, "in place", dx.f, in.f, R * V);
        check_free(k);
    }
    float x[] = { 0, 1.09861229f, 1e4f, -1e4f, NAN, 0 }, lse[] = { 1.38629436f, 1e4f, NAN }, dx[6];
    k->op->crossentropy_backward(k->ctx, dx, x, lse, (int64_t[]){ 1, 1, 0 }, 2, 3, 2);
    check_true(k, "by hand", fabsf(dx[0] - 0.5f) < 3e-7f && fabsf(dx[1] + 0.5f) < 3e-7f);
    check_true(k, "large logits", dx[2] == 2 && dx[3] == -2);
    check_true(k, "NaN stays", isnan(dx[4]) && isnan(dx[5]));
    if (k->bench) {
        static int64_t labels[512];
        double ns;
        buf logits = check_in(k, 512 * 49152), z = check_in(k, 512), out = check_out(k, 512 * 49152);
        CHECK_TIME(ns, k->op->crossentropy_backward(k->ctx, out.f, logits.f, z.f, labels, 1, 512, 49152));
        check_stream(k, "512x49152", ns, 8.0 * 512 * 49152);
        CHECK_TIME(ns, k->op->crossentropy_backward(k->ctx, out.f, out.f, z.f, labels, 1, 512, 49152));
        check_stream(k, "512x49152 in place", ns, 8.0 * 512 * 49152);
    }
}

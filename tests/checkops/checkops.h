/* The harness. An op's check makes buffers, calls k->op (the table under test) and k->want (the oracle: ref/ in double)
   on the same numbers, and compares. The rest is unasked: see README.md. */
#ifndef CHECKOPS_H
#define CHECKOPS_H
#include "ops/ops.h"

#define act double
#define real double
#define OP(name, ...) void vlm_ref64_##name(vlm_ctx *ctx, __VA_ARGS__);
#include "ops/ops.def"
#undef OP
typedef struct oracle {
#define OP(name, ...) void (*name)(vlm_ctx *ctx, __VA_ARGS__);
#include "ops/ops.def"
#undef OP
} oracle;
#undef act
#undef real

typedef struct check {
    const vlm_ops *op;
    const oracle *want;
    vlm_ctx *ctx;
    bool fast;                 /* op is not the reference: the canonical bits are due */
    bool bench;
    double peak;               /* GFLOP/s of this ISA on all threads, when bench */
    int64_t compared, grads, bad;
    double worst;              /* largest error seen, in units of the allowed error */
    uint64_t bits;             /* hash of all compared outputs */
} check;
typedef struct buf { float *f; double *d, *d0; int64_t n; } buf;       /* the same buffer for op, for want; d0: its first value */

buf  check_in(check *k, int64_t n);    /* random in [-1, 1); must come back unchanged */
buf  check_out(check *k, int64_t n);   /* NaN: to be overwritten */
buf  check_acc(check *k, int64_t n);   /* random: to be added to */
void check_same(check *k, const char *what, buf b, double tol);        /* |f - d| <= tol (1 + |d|), NaN fails */
void check_bits(check *k, const char *what, const float *want, const float *got, int64_t n);
/* d loss / d in by central differences of want against grad.d - grad.d0, then grad.f against grad.d. */
void check_grad(check *k, const char *what, buf in, buf grad, double (*loss)(void *), void *arg, double tol);
void check_free(check *k);             /* ends a case: guard bands, inputs unchanged */
void check_rate(check *k, const char *what, double ns, double flop);
double check_now(void);                /* ns */

#define OP(name, ...) void check_##name(check *k);
#include "ops/ops.def"
#undef OP
/* Best of many runs, 0.3 s. */
#define CHECK_TIME(ns, call) do { double best_ = 1e18, end_ = check_now() + 3e8; \
    do { double t_ = check_now(); call; t_ = check_now() - t_; if (t_ < best_) best_ = t_; } while (check_now() < end_); \
    (ns) = best_; } while (0)
#endif

/* The harness. An op's check makes buffers, calls k->op (the table under test) and k->want (the oracle: ref/ in double)
   on the same numbers, and compares. A backward op's check also holds the oracle against differences of the forward (check_slope);
   the harness fails it otherwise. Unasked, the harness tests the reference itself, then each instruction set of this machine;
   fills outputs and scratch with NaN; puts guard bands round every buffer; demands that inputs come back unchanged and that the
   bits are the same with 1 and 3 threads and under every fast ISA; fails a check that compared nothing. */
#ifndef CHECKOPS_H
#define CHECKOPS_H
#include "ops/ops.h"

typedef struct epilogue { const double *b; vlm_activation f; const double *scale, *res; } epilogue;    /* the oracle's vlm_epilogue */
#define act double
#define real double
#define vlm_epilogue epilogue
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
#undef vlm_epilogue

typedef struct check {
    const vlm_ops *op;
    const oracle *want;
    vlm_ctx *ctx;
    bool fast;                 /* op is not the reference: the canonical bits are due */
    bool bench;
    double peak, read, dot;    /* GFLOP/s, GB/s and, with VNNI, GOP/s of bytes, of this ISA on all threads, when bench */
    int64_t compared, bad;
    double worst;              /* largest error seen, in units of the allowed error */
    int64_t sloped;            /* elements compared with differences; their largest error, likewise */
    double slope;
    uint64_t bits;             /* hash of all compared outputs */
} check;
typedef struct buf { float *f; double *d; int64_t n; } buf;            /* the same buffer for op, for want */
/* A weight of a dtype: rows as they come and panels as packed for op, the same numbers for want. */
typedef struct mat { vlm_mat rows, panels, want; } mat;

float check_random(void);              /* in [-1, 1) */
buf   check_in(check *k, int64_t n);   /* random in [-1, 1); must come back unchanged */
buf   check_like(check *k, const float *f, int64_t n);                 /* the same, with these values */
buf   check_out(check *k, int64_t n);  /* NaN: to be overwritten */
buf   check_copy(check *k, buf b);     /* the same values, which may change: what an op adds to, or works in place on */
void *check_raw(check *k, size_t bytes);                               /* guarded bytes */
void  check_keep(check *k, const void *p, size_t bytes);               /* must stay as they are now */
mat   check_mat(check *k, vlm_dtype t, int64_t rows, int64_t cols);    /* random, rounded to t */
uint16_t check_bf16(float f);          /* nearest, ties to even; finite, |f| < 65504 for f16 */
uint16_t check_f16(float f);
void  check_same(check *k, const char *what, buf b, double tol);       /* |f - d| <= tol (1 + |d|), NaN fails; inf equals itself */
void  check_bits(check *k, const char *what, const void *want, const void *got, int64_t floats);
/* An oracle's gradient against central differences. loss = Σ dout out; forward makes out.d anew from the buffers that arg names, of
   which check_slope moves one element at a time and puts it back; statistics it saves go elsewhere than where backward read them.
   x: what was differentiated by, dx: what backward answered, from: what was in dx before, where it adds (NULL: 0). Only .d of any buffer
   is used. Allowed: tol (|d| + the largest |d| looked at), and rounding. Up to 64 elements of x, its first and last among them.
   Done once, with the reference on one thread: the oracle is the same for all. */
typedef struct slope { void (*forward)(const check *k, const void *arg); const void *arg; buf out, dout; } slope;
void  check_slope(check *k, const char *what, const slope *s, buf x, buf dx, const double *from, double tol);
void  check_true(check *k, const char *what, bool yes);
void  check_free(check *k);            /* ends a case: guard bands, inputs unchanged */
void  check_rate(check *k, const char *what, double ns, double flop);
void  check_stream(check *k, const char *what, double ns, double bytes);
double check_now(void);                /* ns */
/* Parts of check_linear_pack, check_linear_forward and check_embed_forward: weights of whole numbers. */
void  check_quant_pack(check *k);
void  check_quant_forward(check *k);
void  check_quant_embed(check *k);

#define OP(name, ...) void check_##name(check *k);
#include "ops/ops.def"
#undef OP
/* Best of many runs, 0.3 s. */
#define CHECK_TIME(ns, call) do { double best_ = 1e18, end_ = check_now() + 3e8; \
    do { double t_ = check_now(); call; t_ = check_now() - t_; if (t_ < best_) best_ = t_; } while (check_now() < end_); \
    (ns) = best_; } while (0)
#endif

/* The tile: m rows by n strips of sums in registers, continued by kc inputs. What linear and attention are made of.

   Every output is one chain of fused multiply-adds over k (ops.def). Lanes lie over outputs and blocks of K continue
   the chain where the last one left it, so tiles, blocks, parts and ISA change who computes a value, never its bits.
   A strip is the two vectors that a tile is wide: a panel under AVX-512, half of one under AVX2. With few rows the tile
   keeps several strips of what it is given, for there are FMAs to be in flight. */
enum {
    STRIP = 2 * VF_N,
    SPLIT = VLM_PANEL / STRIP,         /* strips in a panel */
    MR    = VF_N == 16 ? 12 : 6,       /* rows in a tile: 24 (12) sums + 2 weights + 1 x of 32 (16) registers */
    KC    = 256,                       /* inputs in a block: its strip of w stays in L1 */
    LD    = KC + 16                    /* row of packed x; the 16 spreads rows over cache sets */
};
/* Strips in flight for m rows. */
#define NS(m) (VF_N == 16 ? (m) <= 3 ? 4 : (m) <= 6 ? 2 : 1 : (m) == 1 ? 4 : (m) <= 3 ? 2 : 1)

/* Sums lie in strips, sum_strip apart, of rows, sum_step apart; they start from `from`: strips from_strip, rows from_step apart (0: a
   bias).   next: for each two inputs the two cache lines there are asked for, a step further each time: what a later tile reads or this
   one writes; 0: nothing. It may run past its array, so it is no pointer.
   x: rows LD apart. w: for each strip its first row; rows are those of a panel. */
typedef struct sums { float *sum; int64_t sum_strip, sum_step; const float *from; int64_t from_strip, from_step; } sums;
typedef struct ahead { uintptr_t at; int64_t step; } ahead;            /* an address, bytes */

INLINE void tile(vlm_dtype t, int m, int n, const sums *z, ahead next, const float *x, const void *const *w, int64_t kc) {
    vf a[4][12][2];
    const float *from = z->from;
    float *sum = z->sum;
#define LOAD(s, i) if (s < n && i < m) { \
        a[s][i][0] = vf_load(from + s * z->from_strip + i * z->from_step); \
        a[s][i][1] = vf_load(from + s * z->from_strip + i * z->from_step + VF_N); }
#define FMA(s, i) if (i < m) { \
        vf v = vf_set(x[i * LD + k]); \
        a[s][i][0] = vf_fma(v, w0, a[s][i][0]); \
        a[s][i][1] = vf_fma(v, w1, a[s][i][1]); }
#define INPUT(s) if (s < n) { \
        vf w0 = vf_weight(t, w[s], k * VLM_PANEL), w1 = vf_weight(t, w[s], k * VLM_PANEL + VF_N); \
        EACH12(FMA, s) }
#define STORE(s, i) if (s < n && i < m) { \
        vf_store(sum + s * z->sum_strip + i * z->sum_step, a[s][i][0]); \
        vf_store(sum + s * z->sum_strip + i * z->sum_step + VF_N, a[s][i][1]); }
    EACH12(LOAD, 0) EACH12(LOAD, 1) EACH12(LOAD, 2) EACH12(LOAD, 3)
    int64_t k = 0;
    if (!next.at) next.at = (uintptr_t)x;
    for (; k < kc - 1; k++, next.at += (uintptr_t)next.step) {
        vf_prefetch((const float *)next.at), vf_prefetch((const float *)(next.at + 64));
        EACH4(INPUT) k++; EACH4(INPUT)
    }  /* two at a time: the loop's own adds want the FMA ports */
    if (k < kc) { EACH4(INPUT) }
    EACH12(STORE, 0) EACH12(STORE, 1) EACH12(STORE, 2) EACH12(STORE, 3)
#undef LOAD
#undef FMA
#undef INPUT
#undef STORE
}
#define CASE(T, M) \
    case M: \
        if (NS(M) > 2 && n > 2)      { tile(T, M, NS(M), z, next, x, w, kc); } \
        else if (NS(M) > 1 && n > 1) { tile(T, M, 2, z, next, x, w, kc); } \
        else                         { tile(T, M, 1, z, next, x, w, kc); } \
        break;
#if VF_N == 16
#define CASES(T) CASE(T, 1) CASE(T, 2) CASE(T, 3) CASE(T, 4) CASE(T, 5) CASE(T, 6) \
                 CASE(T, 7) CASE(T, 8) CASE(T, 9) CASE(T, 10) CASE(T, 11) CASE(T, 12)
#else
#define CASES(T) CASE(T, 1) CASE(T, 2) CASE(T, 3) CASE(T, 4) CASE(T, 5) CASE(T, 6)
#endif
/* How many of `left` strips go together: NS(m), else 2, else 1. */
static int64_t strips_for(int64_t m, int64_t left) { return left >= NS(m) ? NS(m) : left >= 2 && NS(m) > 2 ? 2 : 1; }
#define TILE(name, T) static void name(int m, int n, const sums *z, ahead next, const float *x, const void *const *w, int64_t kc) { \
    switch (m) { CASES(T) } }
TILE(tile_f32, VLM_F32) TILE(tile_bf16, VLM_BF16) TILE(tile_f16, VLM_F16)
static void tile_ahead(vlm_dtype t, int m, int n, const sums *z, ahead next, const float *x, const void *const *w, int64_t kc) {
    (t == VLM_F32 ? tile_f32 : t == VLM_BF16 ? tile_bf16 : tile_f16)(m, n, z, next, x, w, kc);
}
static void tile_any(vlm_dtype t, int m, int n, const sums *z, const float *x, const void *const *w, int64_t kc) {
    tile_ahead(t, m, n, z, (ahead){ 0, 0 }, x, w, kc);
}
#undef TILE
#undef CASE
#undef CASES

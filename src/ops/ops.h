/* The ops: maths on flat rows, in one table of function pointers. ops.def is the page of formulas; ref/ is the oracle,
   fast/ what runs. Ops allocate nothing and cannot fail: callers have checked shapes. */
#ifndef VLM_OPS_H
#define VLM_OPS_H
#include "base/ctx.h"
#include <string.h>

/* act: activations. real: parameters, their gradients, saved statistics, tables. ref/ is compiled a second time with
   both double (-DVLM_REF64): the oracle of checkops.
   Outside ops nobody reads through either pointer or adds to it, because on a device it is no address of ours:
   an offset of n elements is act_at(x, n); values move through upload and download. */
#ifdef VLM_REF64
typedef double act, real;
#define REF(name) vlm_ref64_##name
#else
typedef float act, real;
#define REF(name) vlm_ref_##name
#endif
#define act_at(x, n) ((x) + (n))

/* A weight operand (rows outputs, cols inputs). Whole numbers are there in panels only:
   I8: [K/4][32 outputs][4 inputs] bytes q + 128, then 32 f32 scales: w = scale (of the output) q, |q| <= 127;
   G8: for each group of 32 inputs [8][32][4] bytes q + 128, then 32 f16 scales: w = scale (of the output and group) q;
   G4: for each group 16·32 bytes, then 32 f16 scales: q in -8..7, q + 8 in 4 bits: byte i of [4][32][4] holds input quads 0..3 in its
   low, and quads 4..7 in its high bits.
   K is rounded up to 4, or to groups; what is behind it has q = 0. Everything begins on a cache line. */
typedef enum vlm_dtype { VLM_F32, VLM_F16, VLM_BF16, VLM_F64, VLM_I8, VLM_G8, VLM_G4 } vlm_dtype;     /* F64: the oracle only */
typedef enum vlm_layout { VLM_ROWS, VLM_PANELS } vlm_layout;
enum { VLM_PANEL = 32, VLM_QGROUP = 32 };              /* outputs in a panel, inputs under one scale of G8 and G4 */
enum { VLM_QUANT_COLS = 1 << 17 };     /* most cols of I8, G8 and G4, whose sums are to fit 32 bits */
typedef struct vlm_mat { vlm_dtype dtype; vlm_layout layout; int64_t rows, cols; void *data; } vlm_mat;

static inline bool vlm_dtype_quantized(vlm_dtype t) { return t >= VLM_I8; }
static inline size_t vlm_dtype_bytes(vlm_dtype t) { return t == VLM_F32 ? 4 : t == VLM_F64 ? 8 : 2; }      /* of an element; not of I8.. */
static inline int64_t vlm_panel_bytes(vlm_dtype t, int64_t cols) {     /* of one panel */
    int64_t groups = (cols + VLM_QGROUP - 1) / VLM_QGROUP;
    return t == VLM_I8 ? (cols + 3) / 4 * 4 * VLM_PANEL + VLM_PANEL * 4
         : t == VLM_G8 ? groups * (VLM_QGROUP * VLM_PANEL + VLM_PANEL * 2)
         : t == VLM_G4 ? groups * (VLM_QGROUP * VLM_PANEL / 2 + VLM_PANEL * 2) : cols * VLM_PANEL * (int64_t)vlm_dtype_bytes(t);
}
static inline int64_t vlm_mat_bytes(const vlm_mat *m) {        /* padding included */
    return m->layout == VLM_ROWS ? m->rows * m->cols * (int64_t)vlm_dtype_bytes(m->dtype)
                                 : (m->rows + VLM_PANEL - 1) / VLM_PANEL * vlm_panel_bytes(m->dtype, m->cols);
}
static inline int64_t vlm_mat_len(const vlm_mat *m) {          /* elements, padding included; no whole numbers */
    return (m->layout == VLM_ROWS ? m->rows : (m->rows + VLM_PANEL - 1) / VLM_PANEL * VLM_PANEL) * m->cols;
}
static inline int64_t vlm_mat_at(const vlm_mat *m, int64_t r, int64_t c) {     /* where element (r, c) lies; no whole numbers */
    return m->layout == VLM_ROWS ? r * m->cols + c : (r / VLM_PANEL * m->cols + c) * VLM_PANEL + r % VLM_PANEL;
}
static inline float vlm_bf16_float(uint16_t h) { union { uint32_t u; float f; } b = { (uint32_t)h << 16 }; return b.f; }
static inline float vlm_f16_float(uint16_t h) {                /* exact; subnormals by a multiplication */
    union { uint32_t u; float f; } b = { (uint32_t)(h & 0x7FFF) << 13 };
    b.f = (h & 0x7C00) == 0x7C00 ? (b.u += 0x70000000u, b.f) : b.f * 0x1p112f;
    b.u |= (uint32_t)(h & 0x8000) << 16;
    return b.f;
}

/* Element (r, c) of a quantized matrix: q, and its scale. Exact: q times scale is the weight. */
static inline int vlm_quant_at(const vlm_mat *m, int64_t r, int64_t c, float *scale) {
    const unsigned char *p = (const unsigned char *)m->data + r / VLM_PANEL * vlm_panel_bytes(m->dtype, m->cols);
    int64_t j = r % VLM_PANEL, in = c % VLM_QGROUP, q_bytes = VLM_QGROUP * VLM_PANEL;
    uint16_t h;
    if (m->dtype == VLM_I8) {
        memcpy(scale, p + (m->cols + 3) / 4 * 4 * VLM_PANEL + j * 4, 4);
        return p[(c / 4 * VLM_PANEL + j) * 4 + c % 4] - 128;
    }
    if (m->dtype == VLM_G4) q_bytes /= 2;
    p += c / VLM_QGROUP * (q_bytes + VLM_PANEL * 2);
    memcpy(&h, p + q_bytes + j * 2, 2);
    *scale = vlm_f16_float(h);
    if (m->dtype == VLM_G8) return p[(in / 4 * VLM_PANEL + j) * 4 + in % 4] - 128;
    return (p[(in / 4 % 4 * VLM_PANEL + j) * 4 + in % 4] >> (in / 16 * 4) & 15) - 8;
}

/* The nearest, ties to even. Infinite where x is not finite or rounds past the largest value. */
static inline uint16_t vlm_float_bf16(float x) {
    union { float f; uint32_t u; } b = { x };
    if ((b.u & 0x7F800000u) == 0x7F800000u) return (uint16_t)(b.u >> 16 & 0xFF80);
    return (uint16_t)((b.u + 0x7FFF + (b.u >> 16 & 1)) >> 16);
}
static inline uint16_t vlm_float_f16(float x) {
    union { float f; uint32_t u; } b = { x };
    uint16_t sign = (uint16_t)(b.u >> 16 & 0x8000);
    b.u &= 0x7FFFFFFFu;
    if (b.u >= 0x477FF000u) return sign | 0x7C00;              /* 65520, half-way to 65536, and all above */
    if (b.u >= 0x38800000u) return sign | (uint16_t)((b.u - 0x38000000u + 0xFFF + (b.u >> 13 & 1)) >> 13);
    b.f += 0.5f;                                               /* subnormal: this addition rounds to its unit, 2^-24 */
    return sign | (uint16_t)(b.u - 0x3F000000u);
}

typedef enum vlm_activation { VLM_IDENTITY, VLM_GELU_ERF, VLM_GELU_TANH, VLM_SILU } vlm_activation;

/* What becomes of the product of a linear layer before it is stored: out = res + scale f(b + x w'). What is 0 is left out. */
typedef struct vlm_epilogue {
    const real *b;             /* (C) */
    vlm_activation f;
    const real *scale;         /* (C): LayerScale */
    const act *res;            /* (R,C), may be out itself */
} vlm_epilogue;

/* One sample, or one image, in attention: its query rows, and where its keys and values lie. */
typedef struct vlm_span {
    int64_t row, rows;         /* of q and out */
    int64_t pos;               /* position of the first query; row r of the span has position pos + r */
    int64_t keys;              /* keys exist at positions 0 .. keys-1; causal: keys >= pos + rows */
    const void *k, *v;         /* VLM_ROWS: rows of act, one a position; VLM_PANELS: what kv_store wrote */
    int64_t ring;              /* panels: 0, or a multiple of VLM_KEY_BLOCK that holds every key the queries may see: position p lies
                                  where p % ring would */
    vlm_layout layout;
    vlm_dtype dtype;           /* of panels: F32, F16 or I8 */
} vlm_span;
enum { VLM_KEY_BLOCK = 256 };          /* keys are taken in blocks that begin at multiples of this position; fast/ counts on 256 */

/* A cache's keys, or its values. Positions go in blocks of VLM_KEY_BLOCK; of a block each key head has a chunk of its own, one behind
   the other. Elements of a chunk, of which some are never used:  keys [KEY_BLOCK/32][D][32 positions],  values [⌈D/32⌉][KEY_BLOCK][32].
   F32, F16, or I8: signed bytes, |q| <= 127, and behind them a f32 scale for each position: x = scale (of the position and head) q. */
static inline int64_t vlm_kv_chunk_bytes(vlm_dtype t, int64_t D) {
    int64_t n = (D + VLM_PANEL - 1) / VLM_PANEL * VLM_PANEL * VLM_KEY_BLOCK;
    return t == VLM_I8 ? n + 4 * VLM_KEY_BLOCK : n * (int64_t)vlm_dtype_bytes(t);
}
static inline int64_t vlm_kv_bytes(vlm_dtype t, int64_t positions, int64_t G, int64_t D) {
    return (positions + VLM_KEY_BLOCK - 1) / VLM_KEY_BLOCK * G * vlm_kv_chunk_bytes(t, D);
}
/* Of the chunk of key head g that position p lies in. */
static inline int64_t vlm_kv_chunk_at(vlm_dtype t, int64_t p, int64_t ring, int64_t G, int64_t g, int64_t D) {
    return ((ring ? p % ring : p) / VLM_KEY_BLOCK * G + g) * vlm_kv_chunk_bytes(t, D);
}
/* Of dimension d of position p in its chunk, in elements. */
static inline int64_t vlm_kv_key_at(int64_t p, int64_t d, int64_t D) {
    return (p % VLM_KEY_BLOCK / VLM_PANEL * D + d) * VLM_PANEL + p % VLM_PANEL;
}
static inline int64_t vlm_kv_value_at(int64_t p, int64_t d) {
    return (d / VLM_PANEL * VLM_KEY_BLOCK + p % VLM_KEY_BLOCK) * VLM_PANEL + d % VLM_PANEL;
}
static inline int64_t vlm_kv_scale_at(int64_t p, int64_t D) {          /* in bytes */
    return vlm_kv_chunk_bytes(VLM_I8, D) + (p % VLM_KEY_BLOCK - VLM_KEY_BLOCK) * 4;
}

/* attention_int8_forward: keys in a block; spans of fewer rows are not worth whole numbers. */
enum { VLM_INT8_KEYS = 128, VLM_INT8_ROWS = 64 };
/* Room for attention_int8_forward: so many bytes for each head of each block, and at most R / VLM_INT8_KEYS + n blocks in n spans of R rows
   together. k8 + 128 [D/4][keys][4], v8 [keys/4][D][4 keys]; of each key the factor of k8, log2 w, 1/w; in a head's first block its mean,
   size, 1/size. D is rounded up to 16. */
static inline int64_t vlm_attention_int8_block(int64_t D) { D = (D + 15) / 16 * 16; return VLM_INT8_KEYS * (2 * D + 12) + 12 * D; }

/* A pass of resampling bytes along one axis: output i of n is made of count[i] cells from first[i] on, with whole weights
   w = 2^VLM_RESAMPLE_LOW high + low, 0 <= low < 2^VLM_RESAMPLE_LOW, of VLM_RESAMPLE_BITS fraction bits. low, high (n,taps): taps is a
   multiple of VLM_RESAMPLE_TAPS, weights behind count are 0. Sums of |w| below 2^23, so that a sum is an int32. */
typedef struct vlm_resample { int64_t n, taps; int32_t *first, *count; int16_t *low, *high; } vlm_resample;
enum { VLM_RESAMPLE_BITS = 22, VLM_RESAMPLE_LOW = 11, VLM_RESAMPLE_TAPS = 8 };

enum { VLM_SUM_BLOCK = 4096 };          /* elements that square_sums adds up together */

enum { VLM_SCRATCH_BYTES = 7 << 18 };  /* scratch of a thread that suffices for every op */

#define OP(name, ...) void REF(name)(vlm_ctx *ctx, __VA_ARGS__);
#include "ops/ops.def"
#undef OP

#ifndef VLM_REF64
typedef struct vlm_ops {
    /* Memory where the ops run. alloc: 64-byte aligned, NULL if there is none; upload and download move bytes from and to the host;
       after sync everything asked for before has happened. */
    void *(*alloc)(size_t bytes);
    void (*free)(void *p, size_t bytes);
    void (*upload)(vlm_ctx *ctx, void *to, const void *from, size_t bytes);
    void (*download)(vlm_ctx *ctx, void *to, const void *from, size_t bytes);
    void (*zero)(vlm_ctx *ctx, void *p, size_t bytes);
    void (*sync)(vlm_ctx *ctx);
#define OP(name, ...) void (*name)(vlm_ctx *ctx, __VA_ARGS__);
#include "ops/ops.def"
#undef OP
    bool fast_bytes;                   /* attention_int8_forward is faster than attention_forward: there are instructions for it */
} vlm_ops;

enum { VLM_CPU_AVX2 = 1, VLM_CPU_AVX512 = 2, VLM_CPU_NEON = 4, VLM_CPU_AVXVNNI = 8, VLM_CPU_AVX512VNNI = 16 };
unsigned vlm_cpu_flags(void);                  /* what this machine has */
void  vlm_ops_init(vlm_ops *o, unsigned cpu);  /* reference first, then overwritten by the best that cpu allows */
enum { VLM_ARITHMETIC = 2 };   /* one more with each change of the bits that ops give: part of the names of kept results */
const char *vlm_ops_kind(const vlm_ops *o);    /* "ref" or "fast": two kinds of bits; every instruction set of fast/ gives the same */
void  vlm_ops_init_avx2(vlm_ops *o);
void  vlm_ops_init_avx512(vlm_ops *o);
void  vlm_ops_init_avxvnni(vlm_ops *o);        /* these two: only ops that multiply whole numbers, over the one or the other above */
void  vlm_ops_init_avx512vnni(vlm_ops *o);
void  vlm_ops_init_neon(vlm_ops *o);
float vlm_peak_avx2(int64_t n);                /* n rounds of independent FMAs: the yardstick of benchmarks */
float vlm_peak_avx512(int64_t n);
float vlm_peak_neon(int64_t n);
float vlm_peak_avxvnni(int64_t n);             /* the same of dot products of bytes */
float vlm_peak_avx512vnni(int64_t n);
float vlm_read_avx2(const float *p, int64_t n);        /* reads n floats, a multiple of 128: the other one */
float vlm_read_avx512(const float *p, int64_t n);
float vlm_read_neon(const float *p, int64_t n);
enum { VLM_PEAK_FLOP_AVX2 = 2 * 8 * 24, VLM_PEAK_FLOP_AVX512 = 2 * 16 * 24, VLM_PEAK_FLOP_NEON = 2 * 8 * 24,
       VLM_PEAK_OP_AVXVNNI = 2 * 32 * 24, VLM_PEAK_OP_AVX512VNNI = 2 * 64 * 24 };  /* of one round */
#endif
#endif

/* simd.h for NEON (AArch64): a vf is two registers of 4 floats, so that everything that is shaped for 8 lanes fits unchanged: a tile of
   6 x 16 takes 24 registers for its sums, 4 for the weights and 1 for x, of 32. */
#include <arm_neon.h>
#define VF_N 8
typedef struct vf { float32x4_t a, b; } vf;
#define VF1(f, x)       ((vf){ f((x).a), f((x).b) })
#define VF2(f, x, y)    ((vf){ f((x).a, (y).a), f((x).b, (y).b) })
INLINE vf vf_load(const float *p) { return (vf){ vld1q_f32(p), vld1q_f32(p + 4) }; }
INLINE void vf_store(float *p, vf a) { vst1q_f32(p, a.a); vst1q_f32(p + 4, a.b); }
INLINE vf vf_set(float a) { return (vf){ vdupq_n_f32(a), vdupq_n_f32(a) }; }
INLINE vf vf_add(vf a, vf b) { return VF2(vaddq_f32, a, b); }
INLINE vf vf_sub(vf a, vf b) { return VF2(vsubq_f32, a, b); }
INLINE vf vf_mul(vf a, vf b) { return VF2(vmulq_f32, a, b); }
INLINE vf vf_div(vf a, vf b) { return VF2(vdivq_f32, a, b); }
INLINE vf vf_sqrt(vf a) { return VF1(vsqrtq_f32, a); }
INLINE vf vf_fma(vf a, vf b, vf c) { return (vf){ vfmaq_f32(c.a, a.a, b.a), vfmaq_f32(c.b, a.b, b.b) }; }
INLINE vf vf_fnma(vf a, vf b, vf c) { return (vf){ vfmsq_f32(c.a, a.a, b.a), vfmsq_f32(c.b, a.b, b.b) }; }     /* c - a b */
INLINE vf vf_less(vf a, vf b, vf yes, vf no) {
    return (vf){ vbslq_f32(vcltq_f32(a.a, b.a), yes.a, no.a), vbslq_f32(vcltq_f32(a.b, b.b), yes.b, no.b) };
}
INLINE vf vf_min(vf a, vf b) { return vf_less(a, b, a, b); }                   /* b where either is NaN; so does max */
INLINE vf vf_max(vf a, vf b) { return vf_less(b, a, a, b); }
INLINE vf vf_round(vf a) { return VF1(vrndnq_f32, a); }                        /* to the nearest integer, ties to even */
INLINE float32x4_t neon_ldexp(float32x4_t a, float32x4_t n) {
    int32x4_t i = vcvtnq_s32_f32(n), h = vshrq_n_s32(i, 1), one = vdupq_n_s32(127);
    int32x4_t p = vshlq_n_s32(vaddq_s32(h, one), 23), q = vshlq_n_s32(vaddq_s32(vsubq_s32(i, h), one), 23);
    return vmulq_f32(vmulq_f32(a, vreinterpretq_f32_s32(p)), vreinterpretq_f32_s32(q));
}
INLINE vf vf_ldexp(vf a, vf n) { return VF2(neon_ldexp, a, n); }               /* a 2^n in two steps, of which the first is exact */
INLINE float32x4_t neon_ldexp_normal(float32x4_t a, float32x4_t n) {
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32(vcvtnq_s32_f32(n), 23)));
}
INLINE vf vf_ldexp_normal(vf a, vf n) { return VF2(neon_ldexp_normal, a, n); } /* the same where a and a 2^n are normal, or NaN */
INLINE vf vf_abs(vf a) { return VF1(vabsq_f32, a); }
INLINE float32x4_t neon_sign(float32x4_t a, float32x4_t s) {
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vandq_u32(vreinterpretq_u32_f32(s), vdupq_n_u32(0x80000000u))));
}
INLINE vf vf_sign(vf a, vf s) { return VF2(neon_sign, a, s); }                 /* a >= 0 with the sign of s */
INLINE vf vf_bf16(const uint16_t *p) {
    uint16x8_t h = vld1q_u16(p);
    return (vf){ vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)) };
}
INLINE vf vf_f16(const uint16_t *p) {
    float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(p));
    return (vf){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}
INLINE void vf_store_f16(uint16_t *p, vf a) { vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a.a), a.b))); }
INLINE vf vf_i8(const int8_t *p) {
    int16x8_t h = vmovl_s8(vld1_s8(p));
    return (vf){ vcvtq_f32_s32(vmovl_s16(vget_low_s16(h))), vcvtq_f32_s32(vmovl_high_s16(h)) };
}
INLINE vf vf_within(vf a, int64_t lo, int64_t hi, vf b) {                      /* lanes lo..hi-1 of a, the others from b */
    static const uint32_t lane[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    int32x4_t l = vdupq_n_s32((int)lo), h = vdupq_n_s32((int)hi), i = vreinterpretq_s32_u32(vld1q_u32(lane));
    int32x4_t j = vreinterpretq_s32_u32(vld1q_u32(lane + 4));
    return (vf){ vbslq_f32(vandq_u32(vcgeq_s32(i, l), vcltq_s32(i, h)), a.a, b.a),
                 vbslq_f32(vandq_u32(vcgeq_s32(j, l), vcltq_s32(j, h)), a.b, b.b) };
}
INLINE vf vf_first_(vf a, int64_t n) { return vf_within(a, 0, n, vf_set(0)); }
INLINE vf vf_load_(const float *p, int64_t n) {        /* n < 8, n < 0 is none */
    float a[8] = { 0 };
    for (int64_t i = 0; i < n; i++) a[i] = p[i];
    return vf_load(a);
}
INLINE void vf_store_(float *p, vf v, int64_t n) {
    float a[8];
    vf_store(a, v);
    for (int64_t i = 0; i < n; i++) p[i] = a[i];
}
INLINE float vf_lane0(vf a) { return vgetq_lane_f32(a.a, 0); }
INLINE float f1_sqrt(float a) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(a)), 0); }
INLINE void vf_pause(void) { __asm__ volatile("yield"); }
INLINE void vf_prefetch(const float *p) { __builtin_prefetch(p, 0, 2); }

/* vi and dot products of bytes, as in simd.h without VNNI: 16 bits wide, inputs 0 and 2 apart from 1 and 3. */
typedef struct vi { int32x4_t a, b; } vi;
INLINE vi vi_set(int32_t a) { return (vi){ vdupq_n_s32(a), vdupq_n_s32(a) }; }
INLINE vi vi_add(vi a, vi b) { return (vi){ vaddq_s32(a.a, b.a), vaddq_s32(a.b, b.b) }; }
INLINE vi vi_and(vi a, vi b) { return (vi){ vandq_s32(a.a, b.a), vandq_s32(a.b, b.b) }; }
INLINE int32x4_t neon_shift(int32x4_t a, int n) { return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-n))); }
INLINE vi vi_shift(vi a, int n) { return (vi){ neon_shift(a.a, n), neon_shift(a.b, n) }; }     /* to the right, 0 follows */
INLINE vi vi_load(const void *p) {
    const uint8_t *c = p;
    return (vi){ vreinterpretq_s32_u8(vld1q_u8(c)), vreinterpretq_s32_u8(vld1q_u8(c + 16)) };
}
INLINE void vi_store(void *p, vi a) {
    uint8_t *c = p;
    vst1q_u8(c, vreinterpretq_u8_s32(a.a)), vst1q_u8(c + 16, vreinterpretq_u8_s32(a.b));
}
INLINE vi vf_bits(vf a) { return (vi){ vreinterpretq_s32_f32(a.a), vreinterpretq_s32_f32(a.b) }; }
INLINE int32_t vi_sum(vi a) { return vaddvq_s32(vaddq_s32(a.a, a.b)); }
INLINE int32_t vi_top(vi a) { return vmaxvq_s32(vmaxq_s32(a.a, a.b)); }
INLINE vi vi_max(vi a, vi b) { return (vi){ vmaxq_s32(a.a, b.a), vmaxq_s32(a.b, b.b) }; }
INLINE vf vi_float(vi a) { return (vf){ vcvtq_f32_s32(a.a), vcvtq_f32_s32(a.b) }; }            /* nearest, ties to even; so does vf_int */
INLINE vi vf_int(vf a) { return (vi){ vcvtnq_s32_f32(a.a), vcvtnq_s32_f32(a.b) }; }
enum { VSB_BYTES = 8 };
typedef struct vub { vi even, odd; } vub;
typedef vub vsb;
INLINE vi neon_odd(vi a) {             /* of each 16 bits the high eight */
    return (vi){ vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(a.a), 8)),
                 vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(a.b), 8)) };
}
INLINE vub vub_set(vi a) { return (vub){ vi_and(a, vi_set(0x00FF00FF)), neon_odd(a) }; }
INLINE vub vub_low(vi a) { return vub_set(vi_and(a, vi_set(0x0F0F0F0F))); }
INLINE vub vub_high(vi a) { return vub_set(vi_and(vi_shift(a, 4), vi_set(0x0F0F0F0F))); }
INLINE vsb vsb_load(const void *p) {
    int32_t x[2];
    memcpy(x, p, 8);
    return (vsb){ vi_set(x[0]), vi_set(x[1]) };
}
INLINE vub vub_each(const void *p) { int32_t x; memcpy(&x, p, 4); return vub_set(vi_set(x)); }
INLINE int32x4_t neon_sign_odd(int32x4_t a) { return vreinterpretq_s32_s16(vshrq_n_s16(vreinterpretq_s16_s32(a), 8)); }
INLINE int32x4_t neon_sign_even(int32x4_t a) { return neon_sign_odd(vreinterpretq_s32_s16(vshlq_n_s16(vreinterpretq_s16_s32(a), 8))); }
INLINE vsb vsb_set(vi a) { return (vsb){ { neon_sign_even(a.a), neon_sign_even(a.b) }, { neon_sign_odd(a.a), neon_sign_odd(a.b) } }; }
INLINE int32x4_t neon_pairs(int32x4_t a, int32x4_t b) {
    int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}
INLINE vi vi_dot(vi sum, vub a, vsb b) {
    return (vi){ vaddq_s32(vaddq_s32(sum.a, neon_pairs(a.even.a, b.even.a)), neon_pairs(a.odd.a, b.odd.a)),
                 vaddq_s32(vaddq_s32(sum.b, neon_pairs(a.even.b, b.even.b)), neon_pairs(a.odd.b, b.odd.b)) };
}
INLINE int16x4_t neon_quad(int32x4_t a) {              /* inputs 0 2 1 3 */
    return vmovn_s32(vcombine_s32(vget_low_s32(vtrn1q_s32(a, vextq_s32(a, a, 2))), vget_low_s32(vtrn2q_s32(a, vextq_s32(a, a, 2)))));
}
INLINE void vsb_store(void *p, vi a) {
    int16_t q[8];
    vst1_s16(q, neon_quad(a.a)), vst1_s16(q + 4, neon_quad(a.b));
    memcpy(p, q, sizeof q);
}
/* The low bytes of VF_N integers; of four times as many, a's first byte, b's, c's, d's, a's second .. */
INLINE void vi_store_bytes(void *p, vi a) {
    vst1_u8(p, vreinterpret_u8_s8(vmovn_s16(vcombine_s16(vmovn_s32(a.a), vmovn_s32(a.b)))));
}
INLINE int32x4_t neon_mix(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
    return vreinterpretq_s32_u32(vsliq_n_u32(vsliq_n_u32(vsliq_n_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b), 8),
                                                         vreinterpretq_u32_s32(c), 16), vreinterpretq_u32_s32(d), 24));
}
INLINE vi vi_mix(vi a, vi b, vi c, vi d) { return (vi){ neon_mix(a.a, b.a, c.a, d.a), neon_mix(a.b, b.b, c.b, d.b) }; }
#undef VF1
#undef VF2

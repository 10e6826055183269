/* Compiled once per instruction set (-DISA=avx2 -DISA_avx2=1, ...). Everything is static but the table filler and the yardsticks.
   What has VNNI too fills ops that multiply whole numbers only, over the table of the same set without. */
#include "ops/ops.h"
#include "ops/taps.h"
#include <assert.h>
#include <math.h>                      /* INFINITY */
#include <stdatomic.h>
#include <string.h>
#include <threads.h>                   /* thrd_yield */
#include "simd.h"
static int64_t cdiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
#include "func.h"
#include "tile.h"
#include "norm.c"
#include "elementwise.c"
#include "linear.c"
#include "quant.c"
#include "position.c"
#include "image.c"
#include "attention.c"
#include "attention_int8.c"
#include "loss.c"
#include "optimizer.c"
#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)

void CAT(vlm_ops_init_, ISA)(vlm_ops *o) {
    o->linear_forward         = linear_forward;
    o->attention_int8_forward = attention_int8_forward;
    o->fast_bytes             = VNNI;
#if !VNNI
    o->layernorm_forward      = layernorm_forward;
    o->layernorm_backward     = layernorm_backward;
    o->rmsnorm_forward        = rmsnorm_forward;
    o->rmsnorm_backward       = rmsnorm_backward;
    o->linear_pack            = linear_pack;
    o->linear_backward_input  = linear_backward_input;
    o->linear_backward_weight = linear_backward_weight;
    o->activation_forward     = activation_forward;
    o->activation_backward    = activation_backward;
    o->layerscale_forward     = layerscale_forward;
    o->layerscale_backward    = layerscale_backward;
    o->add_forward            = add_forward;
    o->copy_forward           = copy_forward;
    o->rope_forward           = rope_forward;
    o->rope_backward          = rope_backward;
    o->posresize_forward      = posresize_forward;
    o->posresize_backward     = posresize_backward;
    o->patches_forward        = patches_forward;
#ifdef VB_LANES
    o->resample_rows          = resample_rows;
    o->resample_columns       = resample_columns;
#endif
    o->shuffle_forward        = shuffle_forward;
    o->shuffle_backward       = shuffle_backward;
    o->embed_forward          = embed_forward;
    o->embed_backward         = embed_backward;
    o->kv_store               = kv_store;
    o->attention_forward      = attention_forward;
    o->attention_backward     = attention_backward;
    o->crossentropy_forward   = crossentropy_forward;
    o->crossentropy_backward  = crossentropy_backward;
    o->adamw_update           = adamw_update;
    o->square_sums            = square_sums;
#endif
}

#if VNNI
float CAT(vlm_peak_, ISA)(int64_t n) {
    vi a[2][12], c = vi_set(0);
    vub x = vub_set(vi_set(0x01020304));
    vsb y = vsb_load(&(int32_t){ 0x04030201 });
#define START(s, i) a[s][i] = vi_set(s * 12 + i);
#define STEP(s, i)  a[s][i] = vi_dot(a[s][i], x, y);
#define ADD(s, i)   c = vi_add(c, a[s][i]);
    EACH12(START, 0) EACH12(START, 1)
    while (n-- > 0) {
        EACH12(STEP, 0) EACH12(STEP, VF_N == 16)
    }
    EACH12(ADD, 0) EACH12(ADD, 1)
    return (float)vi_sum(c);
}
#else

float CAT(vlm_peak_, ISA)(int64_t n) {
    vf a[2][12], m = vf_set(0.999f), c = vf_set(0.001f);
#define START(s, i) a[s][i] = vf_set(s * 12 + i);
#define STEP(s, i)  a[s][i] = vf_fma(a[s][i], m, c);
#define ADD(s, i)   c = vf_add(c, a[s][i]);
    EACH12(START, 0) EACH12(START, 1)
    while (n-- > 0) {
        EACH12(STEP, 0) EACH12(STEP, VF_N == 16)       /* AVX2 has registers for 12 chains only: the same again */
    }
    EACH12(ADD, 0) EACH12(ADD, 1)
    return vf_lane0(c);
}

float CAT(vlm_read_, ISA)(const float *p, int64_t n) {
    vf a = vf_set(0), b = a, c = a, d = a;
    for (int64_t i = 0; i < n; i += 4 * VF_N) {
        a = vf_add(a, vf_load(p + i));
        b = vf_add(b, vf_load(p + i + VF_N));
        c = vf_add(c, vf_load(p + i + 2 * VF_N));
        d = vf_add(d, vf_load(p + i + 3 * VF_N));
    }
    return vf_lane0(vf_add(vf_add(a, b), vf_add(c, d)));
}
#endif

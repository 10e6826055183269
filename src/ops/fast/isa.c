/* Compiled once per instruction set (-DISA=avx2 -DISA_avx2=1, ...). Everything is static but the table filler and the yardstick. */
#include "ops/ops.h"
#include <assert.h>
#include <string.h>
#include "simd.h"
#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)

void CAT(vlm_ops_init_, ISA)(vlm_ops *o) {
    (void)o;
}

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
    return vf_sum(c);
}

/* What several files of the reference need: element (r, c) of a weight as a number, and the activations.
   Weights may lie anywhere, so they are read by memcpy. */
#ifndef VLM_REF_H
#define VLM_REF_H
#include "ops/ops.h"
#include <math.h>
#include <string.h>

static inline double weight_at(const vlm_mat *m, int64_t r, int64_t c) {
    float scale;
    if (vlm_dtype_quantized(m->dtype)) { int q = vlm_quant_at(m, r, c, &scale); return q * (double)scale; }
    const char *p = (const char *)m->data + (size_t)vlm_mat_at(m, r, c) * vlm_dtype_bytes(m->dtype);
    union { uint16_t h; float f; double d; } u;
    memcpy(&u, p, vlm_dtype_bytes(m->dtype));
    switch (m->dtype) {
        case VLM_F32:  return u.f;
        case VLM_F16:  return vlm_f16_float(u.h);
        case VLM_BF16: return vlm_bf16_float(u.h);
        default:       return u.d;
    }
}
static inline double activation_of(vlm_activation f, double x) {
    switch (f) {
        case VLM_IDENTITY:  return x;
        case VLM_GELU_ERF:  return x / 2 * (1 + erf(x * 0.70710678118654752440));
        case VLM_GELU_TANH: return x / 2 * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
        case VLM_SILU:      return x / (1 + exp(-x));
    }
    return 0;
}
/* Row x times row c of w, which is of whole numbers: ref/quant.c. */
double REF(quant_product)(const act *x, const vlm_mat *w, int64_t c);
#endif

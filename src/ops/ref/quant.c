/* Linear layers whose weights are whole numbers: activations are rounded in float as fast/ does it, products added up in double. */
#include "ops/ref/ref.h"
#include "ops/quant.h"

static float magnitude(act x) { return quant_abs((float)x); }
static float top_of(const act *x, int64_t n) {                 /* the largest magnitude; infinity or NaN where one is there */
    float top = 0;
    for (int64_t k = 0; k < n; k++) {
        if (!(magnitude(x[k]) < INFINITY)) return INFINITY;
        if (magnitude(x[k]) > top) top = magnitude(x[k]);
    }
    return top;
}
static float sum_of(const act *x, int64_t n) {                 /* of magnitudes, in 16 lanes */
    float lane[16] = { 0 };
    for (int64_t k = 0; k < n; k++) lane[k % 16] += magnitude(x[k]);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

double REF(quant_product)(const act *x, const vlm_mat *w, int64_t c) {
    int64_t K = w->cols, most = w->dtype == VLM_I8 ? K : VLM_QGROUP;
    double s = 0;
    for (int64_t k = 0; k < K; k += most, x += most) {
        int64_t n = K - k < most ? K - k : most;
        float top = top_of(x, n), limit = w->dtype == VLM_I8 ? quant_limit(top, sum_of(x, n), K) : top, scale;
        quant_step step = quant_step_of(top < INFINITY ? limit : top);
        double far = 0, near = 0;
        for (int64_t i = 0; i < n; i++) {
            int q = vlm_quant_at(w, c, k + i, &scale);
            if (magnitude(x[i]) > limit) far += (double)x[i] * q;
            else near += (double)quant_round((float)x[i] * step.inverse) * q;
        }
        s += (near * step.scale + far) * scale;
    }
    return s;
}

#include "ops/ops.h"
#include <math.h>

/* The largest logit is taken out of the sum, which then lies in [1, V], and out of nll, where it would cost digits. */
void REF(crossentropy_forward)(vlm_ctx *ctx, real *nll, real *lse, const act *logits, const int64_t *labels, int64_t R, int64_t V) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++) {
        const act *x = logits + r * V;
        double top = x[0], sum = 0;
        for (int64_t v = 1; v < V; v++) top = x[v] > top ? x[v] : top;
        for (int64_t v = 0; v < V; v++) sum += exp(x[v] - top);
        nll[r] = (real)(log(sum) - (x[labels[r]] - top));
        lse[r] = (real)(top + log(sum));
    }
}

/* nll = log Σ e^x - x[label]: by each x its share of the sum, less one for the label. */
void REF(crossentropy_backward)(vlm_ctx *ctx, act *dlogits, const act *logits, const real *lse, const int64_t *labels, float scale,
                                int64_t R, int64_t V) {
    (void)ctx;
    for (int64_t r = 0; r < R; r++)
        for (int64_t v = 0; v < V; v++)
            dlogits[r * V + v] = (act)(scale * (exp((double)logits[r * V + v] - lse[r]) - (v == labels[r])));
}

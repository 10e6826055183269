typedef struct loss { float *nll, *lse, *d; const float *x, *from; const int64_t *labels; int64_t V; float scale; } loss;

enum { SUM_PART = 512 };               /* logits added up in float before they go to a double: one sum of 262144 would lose digits */
static void crossentropy_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const loss *l = arg;
    int64_t V = l->V;
    for (int64_t r = lo; r < hi; r++) {
        const float *x = l->x + r * V;
        vw m = vw_set(-INFINITY);
        int64_t v = 0;
        for (; v + 16 <= V; v += 16) m = VW2(vf_max, m, vw_load(x + v));
        if (v < V) m = VW2(vf_max, m, vw_within(vw_load_n(x + v, V - v), 0, V - v, m));
        float top = vw_top(m);
        double sum = 0;
        m = vw_set(top);
        for (int64_t from = 0; from < V; from += SUM_PART) {
            int64_t end = least(from + SUM_PART, V);
            vw s = vw_set(0);
            for (v = from; v < end; v += 16) {
                vw e = VW2(vf_sub, vw_load_n(x + v, end - v), m);
                s = VW2(vf_add, s, vw_first(VW1(vf_exp, e), end - v));
            }
            sum += vw_sum(s);
        }
        float log = f1_log((float)sum);
        l->nll[r] = log - (x[l->labels[r]] - top);
        l->lse[r] = top + log;
    }
}
static void crossentropy_forward(vlm_ctx *ctx, real *nll, real *lse, const act *logits, const int64_t *labels, int64_t R, int64_t V) {
    loss l = { .nll = nll, .lse = lse, .x = logits, .labels = labels, .V = V };
    vlm_parallel(ctx, R, 1 + 8192 / V, crossentropy_rows, &l);
}

static void crossentropy_back_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const loss *l = arg;
    int64_t V = l->V;
    vf scale = vf_set(l->scale);
    for (int64_t r = lo; r < hi; r++) {
        const float *x = l->x + r * V;
        vf lse = vf_set(l->from[r]), label = vf_set(x[l->labels[r]]);          /* read before it is overwritten */
        for (int64_t v = 0; v < V; v += VF_N)
            vf_store_n(l->d + r * V + v, vf_mul(scale, vf_exp(vf_sub(vf_load_n(x + v, V - v), lse))), V - v);
        l->d[r * V + l->labels[r]] = vf_lane0(vf_mul(scale, vf_sub(vf_exp(vf_sub(label, lse)), vf_set(1.0f))));
    }
}
static void crossentropy_backward(vlm_ctx *ctx, act *dlogits, const act *logits, const real *lse, const int64_t *labels, float scale,
                                  int64_t R, int64_t V) {
    loss l = { .d = dlogits, .x = logits, .from = lse, .labels = labels, .V = V, .scale = scale };
    vlm_parallel(ctx, R, 1 + 8192 / V, crossentropy_back_rows, &l);
}

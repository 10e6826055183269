typedef struct adamw { float *p, *m, *v; const float *g; int64_t n; float scale, decay, beta2, rest1, rest2, eps, step, inv2; } adamw;

/* A moment without gradients fades until it is subnormal, stays there, and makes every later step several times slower: it ends at 0. */
enum { UPDATE_PART = 1024 };           /* parameters that go to a thread together */
static void adamw_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const adamw *a = arg;
    int64_t n = least(hi * UPDATE_PART, a->n);
    vf scale = vf_set(a->scale), decay = vf_set(a->decay), beta2 = vf_set(a->beta2), rest1 = vf_set(a->rest1), rest2 = vf_set(a->rest2);
    vf eps = vf_set(a->eps), step = vf_set(a->step), inv2 = vf_set(a->inv2), zero = vf_set(0), tiny = vf_set(0x1p-126f);
    for (int64_t i = lo * UPDATE_PART; i < n; i += VF_N) {
        vf g = vf_mul(scale, vf_load_n(a->g + i, n - i)), p = vf_load_n(a->p + i, n - i);
        vf m = vf_load_n(a->m + i, n - i), v = vf_load_n(a->v + i, n - i);
        m = vf_fma(rest1, vf_sub(g, m), m);
        v = vf_fma(beta2, v, vf_mul(rest2, vf_mul(g, g)));
        m = vf_less(vf_abs(m), tiny, zero, m), v = vf_less(v, tiny, zero, v);
        p = vf_fnma(decay, p, p);
        p = vf_sub(p, vf_div(vf_mul(step, m), vf_add(vf_sqrt(vf_mul(v, inv2)), eps)));
        vf_store_n(a->p + i, p, n - i);
        vf_store_n(a->m + i, m, n - i);
        vf_store_n(a->v + i, v, n - i);
    }
}
static void adamw_update(vlm_ctx *ctx, real *p, real *m, real *v, const real *g, int64_t n, float scale, float lr, float decay, float beta1,
                         float beta2, float eps, float c1, float c2) {
    adamw a = { p, m, v, g, n, scale, lr * decay, beta2, 1 - beta1, 1 - beta2, eps, lr / c1, 1 / c2 };
    vlm_parallel(ctx, cdiv(n, UPDATE_PART), 16, adamw_part, &a);
}

typedef struct squares { float *out; const float *x; int64_t n; } squares;
static void square_blocks(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const squares *q = arg;
    for (int64_t b = lo; b < hi; b++) {
        int64_t end = least((b + 1) * VLM_SUM_BLOCK, q->n);
        vw s = vw_set(0);
        for (int64_t i = b * VLM_SUM_BLOCK; i < end; i += 16) {
            vw x = vw_load_n(q->x + i, end - i);
            s = VW3(vf_fma, x, x, s);
        }
        q->out[b] = vw_sum(s);
    }
}
static void square_sums(vlm_ctx *ctx, real *out, const real *x, int64_t n) {
    squares q = { out, x, n };
    vlm_parallel(ctx, cdiv(n, VLM_SUM_BLOCK), 16, square_blocks, &q);
}

typedef struct elementwise {
    float *out;
    const float *x, *y, *s;
    int64_t C, S, So;
    vlm_activation f;
} elementwise;

/* x / (1 + e^-2u) is x/2 (1 + tanh u), without the loss near u = -inf. */
INLINE vf activation(vlm_activation f, vf x) {
    vf one = vf_set(1.0f);
    if (f == VLM_GELU_ERF) return vf_mul(vf_mul(x, vf_set(0.5f)), vf_add(one, vf_erf(vf_mul(x, vf_set(0.70710678f)))));
    if (f == VLM_SILU)     return vf_div(x, vf_add(one, vf_exp(vf_sub(vf_set(0.0f), x))));
    vf t = vf_mul(x, vf_fma(vf_mul(x, x), vf_set(-0.071354816f), vf_set(-1.59576912f)));       /* -2 sqrt(2/pi) (x + 0.044715 x³) */
    return vf_div(x, vf_add(one, vf_exp(t)));
}
INLINE void activation_rows(const elementwise *e, vlm_activation f, int64_t lo, int64_t hi) {
    int64_t C = e->C;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t c = 0; c < C; c += VF_N) {
            vf v = activation(f, vf_load_n(e->x + r * e->S + c, C - c));
            if (e->y) v = vf_mul(v, vf_load_n(e->y + r * e->S + c, C - c));
            vf_store_n(e->out + r * C + c, v, C - c);
        }
}
static void activation_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const elementwise *e = arg;
    switch (e->f) {
        case VLM_GELU_ERF:  activation_rows(e, VLM_GELU_ERF, lo, hi); break;
        case VLM_GELU_TANH: activation_rows(e, VLM_GELU_TANH, lo, hi); break;
        case VLM_SILU:      activation_rows(e, VLM_SILU, lo, hi); break;
    }
}
static void activation_forward(vlm_ctx *ctx, act *out, const act *x, const act *up, vlm_activation f, int64_t R, int64_t C, int64_t S) {
    elementwise e = { .out = out, .x = x, .y = up, .f = f, .C = C, .S = S };
    vlm_parallel(ctx, R, 1 + 16384 / C, activation_part, &e);
}

static void layerscale_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const elementwise *e = arg;
    int64_t C = e->C;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t c = 0; c < C; c += VF_N) {
            vf v = vf_fma(vf_load_n(e->s + c, C - c), vf_load_n(e->x + r * C + c, C - c), vf_load_n(e->y + r * C + c, C - c));
            vf_store_n(e->out + r * C + c, v, C - c);
        }
}
static void layerscale_forward(vlm_ctx *ctx, act *out, const act *res, const act *x, const real *s, int64_t R, int64_t C) {
    elementwise e = { .out = out, .x = x, .y = res, .s = s, .C = C };
    vlm_parallel(ctx, R, 1 + 65536 / C, layerscale_rows, &e);
}

enum { ADD_PART = 1024 };              /* elements that go to a thread together */
static void add_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const elementwise *e = arg;
    int64_t n = least(hi * ADD_PART, e->C);
    for (int64_t i = lo * ADD_PART; i < n; i += VF_N)
        vf_store_n(e->out + i, vf_add(vf_load_n(e->x + i, n - i), vf_load_n(e->y + i, n - i)), n - i);
}
static void add_forward(vlm_ctx *ctx, act *out, const act *a, const act *b, int64_t n) {
    elementwise e = { .out = out, .x = a, .y = b, .C = n };
    vlm_parallel(ctx, cdiv(n, ADD_PART), 64, add_part, &e);
}

static void copy_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const elementwise *e = arg;
    for (int64_t r = lo; r < hi; r++) memcpy(e->out + r * e->So, e->x + r * e->S, (size_t)e->C * sizeof(float));
}
static void copy_forward(vlm_ctx *ctx, act *out, int64_t So, const act *x, int64_t S, int64_t R, int64_t C) {
    elementwise e = { .out = out, .x = x, .So = So, .S = S, .C = C };
    if (C > 0) vlm_parallel(ctx, R, 1 + 65536 / C, copy_rows, &e);
}

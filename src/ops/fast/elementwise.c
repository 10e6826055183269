typedef struct elementwise {
    float *out;
    const float *x, *y, *s;
    int64_t C, S, So;
    vlm_activation f;
} elementwise;

/* x / (1 + e^-2u) is x/2 (1 + tanh u), without the loss near u = -inf. */
INLINE vf activation(vlm_activation f, vf x) {
    vf one = vf_set(1.0f);
    if (f == VLM_IDENTITY) return x;
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
        case VLM_IDENTITY:  activation_rows(e, VLM_IDENTITY, lo, hi); break;
        case VLM_GELU_ERF:  activation_rows(e, VLM_GELU_ERF, lo, hi); break;
        case VLM_GELU_TANH: activation_rows(e, VLM_GELU_TANH, lo, hi); break;
        case VLM_SILU:      activation_rows(e, VLM_SILU, lo, hi); break;
    }
}
static void activation_forward(vlm_ctx *ctx, act *out, const act *x, const act *up, vlm_activation f, int64_t R, int64_t C, int64_t S) {
    elementwise e = { .out = out, .x = x, .y = up, .f = f, .C = C, .S = S };
    vlm_parallel(ctx, R, 1 + 16384 / C, activation_part, &e);
}

typedef struct activation_back { float *dx, *dup; const float *dout, *x, *up; int64_t C, S; vlm_activation f; } activation_back;

/* f(x) and f'(x). With e = e^-2u and σ = 1/(1 + e), 1 - σ is e σ: no digit is lost to a difference. */
INLINE vf activation_slope(vlm_activation f, vf x, vf *value) {
    vf one = vf_set(1.0f);
    if (f == VLM_IDENTITY) { *value = x; return one; }
    if (f == VLM_GELU_ERF) {                           /* Φ + x φ, the normal distribution and its density */
        vf p = vf_mul(vf_set(0.5f), vf_add(one, vf_erf(vf_mul(x, vf_set(0.70710678f)))));
        *value = vf_mul(x, p);
        return vf_fma(vf_mul(x, vf_set(0.39894228f)), vf_exp(vf_mul(vf_mul(x, x), vf_set(-0.5f))), p);
    }
    vf a = x, t = vf_sub(vf_set(0.0f), x), u = one;    /* t = -2u, u' its slope by -x; a: x, as far as it matters */
    if (f == VLM_GELU_TANH) {
        a = vf_max(vf_set(-16.0f), vf_min(vf_set(16.0f), x));
        vf z = vf_mul(a, a);
        t = vf_mul(a, vf_fma(z, vf_set(-0.071354816f), vf_set(-1.59576912f)));
        u = vf_fma(z, vf_set(0.21406445f), vf_set(1.59576912f));
    }
    vf e = vf_exp(t), s = vf_div(one, vf_add(one, e));
    vf rest = vf_mul(vf_min(vf_set(1e38f), e), s);     /* where e is inf, s is 0 */
    *value = vf_mul(x, s);
    return vf_fma(vf_mul(vf_mul(a, u), rest), s, s);
}
INLINE void activation_back_rows(const activation_back *e, vlm_activation f, int64_t lo, int64_t hi) {
    int64_t C = e->C;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t c = 0; c < C; c += VF_N) {
            int64_t at = r * e->S + c;
            vf value, d = vf_load_n(e->dout + r * C + c, C - c), slope = activation_slope(f, vf_load_n(e->x + at, C - c), &value);
            vf du = e->up ? vf_mul(d, vf_load_n(e->up + at, C - c)) : d;
            vf_store_n(e->dx + at, vf_mul(du, slope), C - c);
            if (e->up) vf_store_n(e->dup + at, vf_mul(d, value), C - c);
        }
}
static void activation_back_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const activation_back *e = arg;
    switch (e->f) {
        case VLM_IDENTITY:  activation_back_rows(e, VLM_IDENTITY, lo, hi); break;
        case VLM_GELU_ERF:  activation_back_rows(e, VLM_GELU_ERF, lo, hi); break;
        case VLM_GELU_TANH: activation_back_rows(e, VLM_GELU_TANH, lo, hi); break;
        case VLM_SILU:      activation_back_rows(e, VLM_SILU, lo, hi); break;
    }
}
static void activation_backward(vlm_ctx *ctx, act *dx, act *dup, const act *dout, const act *x, const act *up, vlm_activation f,
                                int64_t R, int64_t C, int64_t S) {
    activation_back e = { dx, dup, dout, x, up, C, S, f };
    vlm_parallel(ctx, R, 1 + 8192 / C, activation_back_part, &e);
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

typedef struct layerscale_back { float *dx, *ds; const float *dout, *x, *s; int64_t R, C; } layerscale_back;

static void layerscale_back_columns(void *arg, int64_t lo, int64_t hi, void *scratch) {        /* 16 columns a unit */
    (void)scratch;
    const layerscale_back *e = arg;
    int64_t C = e->C, end = least(hi * 16, C);
    for (int64_t r = 0; r < e->R; r++)
        for (int64_t c = lo * 16; c < end; c += VF_N) {
            vf d = vf_load_n(e->dout + r * C + c, end - c), x = vf_load_n(e->x + r * C + c, end - c);
            vf_store_n(e->ds + c, vf_fma(d, x, vf_load_n(e->ds + c, end - c)), end - c);
        }
}
static void layerscale_back_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const layerscale_back *e = arg;
    int64_t C = e->C;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t c = 0; c < C; c += VF_N)
            vf_store_n(e->dx + r * C + c, vf_mul(vf_load_n(e->s + c, C - c), vf_load_n(e->dout + r * C + c, C - c)), C - c);
}
/* Columns first: dx may lie where x does. */
static void layerscale_backward(vlm_ctx *ctx, act *dx, real *ds, const act *dout, const act *x, const real *s, int64_t R, int64_t C) {
    layerscale_back e = { dx, ds, dout, x, s, R, C };
    if (ds) vlm_parallel(ctx, cdiv(C, 16), 1 + 4096 / (R + 1), layerscale_back_columns, &e);
    vlm_parallel(ctx, R, 1 + 65536 / C, layerscale_back_rows, &e);
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

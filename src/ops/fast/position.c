typedef struct rope { float *out; const float *x, *cos, *sin; int64_t N, D, S; } rope;

static void rope_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const rope *p = arg;
    int64_t h = p->D / 2;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t n = 0; n < p->N; n++)
            for (int64_t i = 0; i < h; i += VF_N) {
                int64_t at = r * p->S + n * p->D + i;
                vf a = vf_load_n(p->x + at, h - i), b = vf_load_n(p->x + at + h, h - i);
                vf c = vf_load_n(p->cos + r * h + i, h - i), s = vf_load_n(p->sin + r * h + i, h - i);
                vf_store_n(p->out + at, vf_fnma(b, s, vf_mul(a, c)), h - i);
                vf_store_n(p->out + at + h, vf_fma(a, s, vf_mul(b, c)), h - i);
            }
}
static void rope_forward(vlm_ctx *ctx, act *out, const act *x, const real *cos, const real *sin, int64_t R, int64_t N, int64_t D, int64_t S) {
    rope p = { .out = out, .x = x, .cos = cos, .sin = sin, .N = N, .D = D, .S = S };
    vlm_parallel(ctx, R, 1 + 16384 / (N * D + 1), rope_rows, &p);
}

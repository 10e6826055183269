/* turn: 1, or -1 the other way. */
typedef struct rope { float *out; const float *x, *cos, *sin; int64_t N, D, S; float turn; } rope;

static void rope_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const rope *p = arg;
    int64_t h = p->D / 2;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t n = 0; n < p->N; n++)
            for (int64_t i = 0; i < h; i += VF_N) {
                int64_t at = r * p->S + n * p->D + i;
                vf a = vf_load_n(p->x + at, h - i), b = vf_load_n(p->x + at + h, h - i);
                vf c = vf_load_n(p->cos + r * h + i, h - i), s = vf_mul(vf_load_n(p->sin + r * h + i, h - i), vf_set(p->turn));
                vf_store_n(p->out + at, vf_fnma(b, s, vf_mul(a, c)), h - i);
                vf_store_n(p->out + at + h, vf_fma(a, s, vf_mul(b, c)), h - i);
            }
}
static void rope_forward(vlm_ctx *ctx, act *out, const act *x, const real *cos, const real *sin, int64_t R, int64_t N, int64_t D,
                         int64_t S) {
    rope p = { .out = out, .x = x, .cos = cos, .sin = sin, .N = N, .D = D, .S = S, .turn = 1 };
    vlm_parallel(ctx, R, 1 + 16384 / (N * D + 1), rope_rows, &p);
}
static void rope_backward(vlm_ctx *ctx, act *dx, const act *dout, const real *cos, const real *sin, int64_t R, int64_t N, int64_t D,
                          int64_t S) {
    rope p = { .out = dx, .x = dout, .cos = cos, .sin = sin, .N = N, .D = D, .S = S, .turn = -1 };
    vlm_parallel(ctx, R, 1 + 16384 / (N * D + 1), rope_rows, &p);
}

typedef struct posresize { float *out; const float *x; int64_t Hp, Wp, gh, gw, C; int antialias; } posresize;

static void posresize_cells(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const posresize *p = arg;
    int64_t C = p->C;
    for (int64_t r = lo; r < hi; r++) {
        taps ty = taps_of(r / p->Wp, p->Hp, p->gh, p->antialias), tx = taps_of(r % p->Wp, p->Wp, p->gw, p->antialias);
        float *out = p->out + r * C;
        memset(out, 0, (size_t)C * sizeof(float));
        for (int64_t j = ty.lo; j < ty.hi; j++)
            for (int64_t i = tx.lo; i < tx.hi; i++) {
                const float *x = p->x + (taps_cell(j, p->gh) * p->gw + taps_cell(i, p->gw)) * C;
                vf w = vf_set((float)(taps_weight(&ty, j) * taps_weight(&tx, i) / (ty.norm * tx.norm)));
                for (int64_t c = 0; c < C; c += VF_N)
                    vf_store_n(out + c, vf_fma(w, vf_load_n(x + c, C - c), vf_load_n(out + c, C - c)), C - c);
            }
    }
}
static void posresize_forward(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t gh, int64_t gw, int64_t C,
                              int antialias) {
    posresize p = { out, x, Hp, Wp, gh, gw, C, antialias };
    if (Hp == gh && Wp == gw) copy_forward(ctx, out, C, x, C, Hp * Wp, C);
    else                      vlm_parallel(ctx, Hp * Wp, 1 + 4096 / C, posresize_cells, &p);
}

/* Every part goes through all cells, with 16 channels a unit for its own: cells add to each other's neighbours. out: dx, x: dout */
static void posresize_back_channels(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const posresize *p = arg;
    int64_t C = p->C, end = least(hi * 16, C);
    for (int64_t r = 0; r < p->Hp * p->Wp; r++) {
        taps ty = taps_of(r / p->Wp, p->Hp, p->gh, p->antialias), tx = taps_of(r % p->Wp, p->Wp, p->gw, p->antialias);
        for (int64_t j = ty.lo; j < ty.hi; j++)
            for (int64_t i = tx.lo; i < tx.hi; i++) {
                float *dx = p->out + (taps_cell(j, p->gh) * p->gw + taps_cell(i, p->gw)) * C;
                vf w = vf_set((float)(taps_weight(&ty, j) * taps_weight(&tx, i) / (ty.norm * tx.norm)));
                for (int64_t c = lo * 16; c < end; c += VF_N)
                    vf_store_n(dx + c, vf_fma(w, vf_load_n(p->x + r * C + c, end - c), vf_load_n(dx + c, end - c)), end - c);
            }
    }
}
static void posresize_backward(vlm_ctx *ctx, real *dx, const act *dout, int64_t Hp, int64_t Wp, int64_t gh, int64_t gw, int64_t C,
                               int antialias) {
    posresize p = { dx, dout, Hp, Wp, gh, gw, C, antialias };
    if (Hp == gh && Wp == gw) add_forward(ctx, dx, dx, dout, Hp * Wp * C);
    else                      vlm_parallel(ctx, cdiv(C, 16), 1 + 256 / (Hp * Wp + 1), posresize_back_channels, &p);
}

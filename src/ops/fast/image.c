typedef struct image { float *out; const float *x; int64_t Hp, Wp, P, C; } image;

static void patches_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const image *m = arg;
    int64_t P = m->P, W = m->Wp * P;
    for (int64_t gy = lo; gy < hi; gy++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t ky = 0; ky < P; ky++) {
                const float *x = m->x + (c * m->Hp * P + gy * P + ky) * W;
                for (int64_t gx = 0; gx < m->Wp; gx++) {
                    float *o = m->out + (((gy * m->Wp + gx) * 3 + c) * P + ky) * P;
                    for (int64_t k = 0; k < P; k += VF_N) vf_store_n(o + k, vf_load_n(x + gx * P + k, P - k), P - k);
                }
            }
}
static void patches_forward(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t P) {
    image m = { .out = out, .x = x, .Hp = Hp, .Wp = Wp, .P = P };
    vlm_parallel(ctx, Hp, 1 + 16384 / (Wp * P * P + 1), patches_rows, &m);
}

/* s cells of a row of x, next to each other, stay so in out. P: s */
static void shuffle_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const image *m = arg;
    int64_t run = m->P * m->C;
    for (int64_t gy = lo; gy < hi; gy++)
        for (int64_t dy = 0; dy < m->P; dy++)
            for (int64_t gx = 0; gx < m->Wp / m->P; gx++)
                memcpy(m->out + ((gy * (m->Wp / m->P) + gx) * m->P + dy) * run, m->x + (gy * m->P + dy) * m->Wp * m->C + gx * run,
                       (size_t)run * sizeof(float));
}
static void shuffle_forward(vlm_ctx *ctx, act *out, const act *x, int64_t Hp, int64_t Wp, int64_t s, int64_t C) {
    image m = { .out = out, .x = x, .Hp = Hp, .Wp = Wp, .P = s, .C = C };
    vlm_parallel(ctx, Hp / s, 1 + 65536 / (Wp * s * C + 1), shuffle_rows, &m);
}

static void unshuffle_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {          /* out: dx, x: dout */
    (void)scratch;
    const image *m = arg;
    int64_t run = m->P * m->C;
    for (int64_t gy = lo; gy < hi; gy++)
        for (int64_t dy = 0; dy < m->P; dy++)
            for (int64_t gx = 0; gx < m->Wp / m->P; gx++)
                memcpy(m->out + (gy * m->P + dy) * m->Wp * m->C + gx * run, m->x + ((gy * (m->Wp / m->P) + gx) * m->P + dy) * run,
                       (size_t)run * sizeof(float));
}
static void shuffle_backward(vlm_ctx *ctx, act *dx, const act *dout, int64_t Hp, int64_t Wp, int64_t s, int64_t C) {
    image m = { .out = dx, .x = dout, .Hp = Hp, .Wp = Wp, .P = s, .C = C };
    vlm_parallel(ctx, Hp / s, 1 + 65536 / (Wp * s * C + 1), unshuffle_rows, &m);
}

typedef struct embed { float *out; const int64_t *ids; const vlm_mat *table; float scale; } embed;

static void embed_rows(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const embed *e = arg;
    const vlm_mat *t = e->table;
    int64_t C = t->cols;
    for (int64_t r = lo; r < hi; r++) {
        float *out = e->out + r * C;
        if (vlm_dtype_quantized(t->dtype)) {
            for (int64_t c = 0; c < C; c++) {
                float scale;
                int q = vlm_quant_at(t, e->ids[r], c, &scale);
                out[c] = (float)q * scale * e->scale;
            }
            continue;
        }
        int64_t at = vlm_mat_at(t, e->ids[r], 0);
        if (t->layout == VLM_PANELS)
            for (int64_t c = 0; c < C; c++) {
                const char *p = (const char *)t->data + (size_t)(at + c * VLM_PANEL) * vlm_dtype_bytes(t->dtype);
                float v;
                uint16_t h;
                if (t->dtype == VLM_F32) memcpy(&v, p, 4);
                else memcpy(&h, p, 2), v = t->dtype == VLM_BF16 ? vlm_bf16_float(h) : vlm_f16_float(h);
                out[c] = v * e->scale;
            }
        else
            for (int64_t c = 0; c < C; c += VF_N)
                vf_store_n(out + c, vf_mul(vf_weight_n(t->dtype, t->data, at + c, C - c), vf_set(e->scale)), C - c);
    }
}
static void embed_forward(vlm_ctx *ctx, act *out, const int64_t *ids, const vlm_mat *table, float scale, int64_t R) {
    embed e = { .out = out, .ids = ids, .table = table, .scale = scale };
    vlm_parallel(ctx, R, 1 + 8192 / table->cols, embed_rows, &e);
}

/* Parts own columns: two rows may have the same id. */
typedef struct embed_back { float *d; const int64_t *ids; const float *dout; int64_t R, C; float scale; } embed_back;

static void embed_back_columns(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const embed_back *e = arg;
    for (int64_t r = 0; r < e->R; r++) {
        if (e->ids[r] < 0) continue;
        float *d = e->d + e->ids[r] / VLM_PANEL * e->C * VLM_PANEL + e->ids[r] % VLM_PANEL;
        const float *dout = e->dout + r * e->C;
        for (int64_t c = lo; c < hi; c++) d[c * VLM_PANEL] = __builtin_fmaf(e->scale, dout[c], d[c * VLM_PANEL]);
    }
}
static void embed_backward(vlm_ctx *ctx, const vlm_mat *dtable, const int64_t *ids, const act *dout, float scale, int64_t R) {
    embed_back e = { dtable->data, ids, dout, R, dtable->cols, scale };
    vlm_parallel(ctx, dtable->cols, 1 + 8192 / (R + 1), embed_back_columns, &e);
}

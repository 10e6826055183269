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

#ifdef VB_LANES
/* Weights of 22 bits do not fit the products of int16, so each sum is two: of the weights' low and high bits. Whole numbers: what wraps
   on the way comes back. */
typedef struct resample { uint8_t *out; const uint8_t *x; const vlm_resample *p; int64_t R, W; } resample;
enum { RESAMPLE_HALF = 1 << (VLM_RESAMPLE_BITS - 1), PIXELS = 2 * VB_LANES };  /* PIXELS: taken at once */

INLINE vb pixels_before(const uint8_t *s, const uint8_t *end) {        /* what lies behind the row has no weight, and may not be read */
    uint8_t some[VB_READ] = { 0 };
    if (s + VB_READ <= end) return vb_pixels(s);
    if (s < end) memcpy(some, s, (size_t)(end - s));
    return vb_pixels(some);
}
/* One pixel of four rows: they share the weights. edge: reads may reach over the rows' ends. */
INLINE void resample_pixel(const vlm_resample *p, int64_t i, const uint8_t *const *row, uint8_t *const *out, int64_t W, bool edge) {
    const int16_t *low = p->low + i * p->taps, *high = p->high + i * p->taps;
    int64_t at = 3 * (int64_t)p->first[i];
#define CLEAR(r) vb lo##r = vb_set32(0), hi##r = lo##r; const uint8_t *s##r = row[r] + at;
#define TAKE(r)  { vb v = edge ? pixels_before(s##r + 3 * j, row[r] + 3 * W) : vb_pixels(s##r + 3 * j); \
        lo##r = vb_add32(lo##r, vb_products(v, wl)); hi##r = vb_add32(hi##r, vb_products(v, wh)); }
#define PUT(r)   { uint32_t b = vb_bytes(vb_add32(lo##r, vb_left32(hi##r, VLM_RESAMPLE_LOW)), RESAMPLE_HALF, VLM_RESAMPLE_BITS); \
        memcpy(out[r] + 3 * i, &b, 3); }
    EACH4(CLEAR)
    for (int64_t j = 0; j < p->count[i]; j += PIXELS) {
        vb wl = vb_spread(low + j), wh = vb_spread(high + j);
        EACH4(TAKE)
    }
    EACH4(PUT)
#undef CLEAR
#undef TAKE
#undef PUT
}
static void resample_rows_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const resample *m = arg;
    const vlm_resample *p = m->p;
    for (int64_t y = lo; y < hi; y += 4) {
        const uint8_t *row[4];
        uint8_t *out[4];
        for (int64_t r = 0; r < 4; r++) {              /* fewer are left: the last one again */
            int64_t at = least(y + r, hi - 1);
            row[r] = m->x + at * m->W * 3, out[r] = m->out + at * p->n * 3;
        }
        for (int64_t i = 0; i < p->n; i++) {
            int64_t last = p->first[i] + cdiv(p->count[i], PIXELS) * PIXELS - PIXELS;  /* the last read begins here */
            if (3 * last + VB_READ <= 3 * m->W) resample_pixel(p, i, row, out, m->W, false);
            else resample_pixel(p, i, row, out, m->W, true);
        }
    }
}
static void resample_rows(vlm_ctx *ctx, uint8_t *out, const uint8_t *x, const vlm_resample *p, int64_t R, int64_t W) {
    resample m = { .out = out, .x = x, .p = p, .R = R, .W = W };
    vlm_parallel(ctx, R, 16, resample_rows_part, &m);
}

/* VB_BYTES neighbours of output row i; two rows of x at a time. */
INLINE void resample_block(const vlm_resample *p, int64_t i, uint8_t *out, const uint8_t *x, int64_t C, int64_t n) {
    const int16_t *low = p->low + i * p->taps, *high = p->high + i * p->taps;
    const uint8_t *s = x + p->first[i] * C;
    const vb zero = vb_set32(0);
#define CLEAR(q) vb lo##q = zero, hi##q = zero;
#define TAKE(q, half, ab) { vb v = half(ab, zero); \
        lo##q = vb_add32(lo##q, vb_products(v, wl)); hi##q = vb_add32(hi##q, vb_products(v, wh)); }
#define SHIFT(q) { vb sum = vb_add32(lo##q, vb_left32(hi##q, VLM_RESAMPLE_LOW)); \
        lo##q = vb_right32(vb_add32(sum, vb_set32(RESAMPLE_HALF)), VLM_RESAMPLE_BITS); }
    EACH4(CLEAR)
    for (int32_t j = 0; j < p->count[i]; j += 2, s += 2 * C) {
        int32_t l, h;
        const uint8_t *next = j + 1 < p->count[i] ? s + C : s;         /* the weight behind the last one is 0 */
        memcpy(&l, low + j, sizeof l);
        memcpy(&h, high + j, sizeof h);
        vb wl = vb_set32(l), wh = vb_set32(h), a, b;
        if (n < VB_BYTES) {
            uint8_t some[2][VB_BYTES] = { { 0 } };
            memcpy(some[0], s, (size_t)n);
            memcpy(some[1], next, (size_t)n);
            a = vb_load(some[0]), b = vb_load(some[1]);
        } else a = vb_load(s), b = vb_load(next);
        vb ab = vb_low8(a, b), cd = vb_high8(a, b);
        TAKE(0, vb_low8, ab) TAKE(1, vb_high8, ab) TAKE(2, vb_low8, cd) TAKE(3, vb_high8, cd)
    }
    EACH4(SHIFT)
    vb v = vb_pack16(vb_pack32(lo0, lo1), vb_pack32(lo2, lo3));
    if (n < VB_BYTES) {
        uint8_t some[VB_BYTES];
        vb_store(some, v);
        memcpy(out, some, (size_t)n);
    } else vb_store(out, v);
#undef CLEAR
#undef TAKE
#undef SHIFT
}
static void resample_columns_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const resample *m = arg;
    int64_t C = m->W;
    for (int64_t i = lo; i < hi; i++) {
        if (C < VB_BYTES) { resample_block(m->p, i, m->out + i * C, m->x, C, C); continue; }
        for (int64_t c = 0; c < C; c += VB_BYTES) {    /* the last block may begin in the one before, and makes the same bytes again */
            int64_t at = least(c, C - VB_BYTES);
            resample_block(m->p, i, m->out + i * C + at, m->x + at, C, VB_BYTES);
        }
    }
}
static void resample_columns(vlm_ctx *ctx, uint8_t *out, const uint8_t *x, const vlm_resample *p, int64_t C) {
    resample m = { .out = out, .x = x, .p = p, .W = C };
    vlm_parallel(ctx, p->n, 16, resample_columns_part, &m);
}
#endif

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

/* Three passes: mean and size of a span's head; its keys and values in whole numbers, block by block, into room; then the queries, a task
   being a block of rows of a head, flash style. A tile is IM rows by the keys of a block, or by some of D. */
enum {
    IK = VLM_INT8_KEYS,
    IM = 6,                            /* rows in a tile: with IV vectors 24 (12) sums of 32 (16) registers */
    IV = VF_N == 16 ? 4 : 2,
    IQ = 96,                           /* rows in a task; whole tiles */
    IASK = 16,                         /* rows that are asked for ahead */
    OD = 64,                           /* of D that lie together in o */
    ILD = DMAX / 4 * VSB_BYTES + 64,   /* bytes of a row of q8 */
    IPAD = DMAX                        /* D, rounded up to 16: a row of o */
};
typedef struct int8_scratch {
    signed char q[IQ * ILD];
    float o[IQ * IPAD];                /* sums so far, in units of 2^m: [D / OD][row][OD] */
    float l[IQ * 16], m[IQ];           /* the denominator in 16 lanes; running maximum */
    float a[IQ], bad[IQ];              /* factor of a row's products; NaN where the row is not finite */
    int32_t start[IQ];                 /* -128 Σ q8: what u8 keys have too much */
    float u[IM * IK], top[IM * IK / IV];       /* of a tile: u (ops.def), its largest in lanes for each IV vectors */
    int32_t t[IM * OD];                /* products of p8 with values */
    unsigned char p[IM * IK];          /* p8; factors of old and new sums */
    float was[VF_N], is[VF_N];
    float x[IPAD];                     /* a row on its way to 8 bits */
} int8_scratch;
_Static_assert(sizeof(int8_scratch) <= VLM_SCRATCH_BYTES && IQ % IM == 0 && (int)IM <= VF_N && (int)IPAD >= (int)DMAX && (int)IK == 128,
               "scratch of attention_int8, softmax8");

typedef struct attention8 {
    float *out;
    char *room;
    const float *q, *k, *v;
    const vlm_span *spans;
    int64_t nspans, H, D, S, pad;      /* pad: D rounded up to 16 */
    float scale;
} attention8;
typedef struct head8 { const vlm_span *s; int64_t h; float *mean, *size, *inverse; char *blocks; } head8;      /* a span's, in room */
typedef struct block8 { unsigned char *k; signed char *v; float *factor, *log, *inverse; } block8;

static bool whole(const vlm_span *s) { return s->rows >= VLM_INT8_ROWS; }
/* before: blocks of a head in the spans before. */
static head8 head_at(const attention8 *a, int64_t i, int64_t before, int64_t h) {
    const vlm_span *s = a->spans + i;
    char *blocks = a->room + (before * a->H + cdiv(s->rows, IK) * h) * vlm_attention_int8_block(a->D);
    float *f = (float *)(void *)(blocks + IK * (2 * a->pad + 12));
    return (head8){ s, h, f, f + a->pad, f + 2 * a->pad, blocks };
}
static block8 block_at(const attention8 *a, const head8 *t, int64_t b) {
    char *p = t->blocks + b * vlm_attention_int8_block(a->D);
    float *f = (float *)(void *)(p + 2 * IK * a->pad);
    return (block8){ (unsigned char *)p, (signed char *)p + IK * a->pad, f, f + IK, f + 2 * IK };
}

/* ---- mean and size ---- */
/* Asks for D columns of row j, at most the last: too far from the row before for the CPU to see it coming. */
static void ask(const float *x, int64_t j, int64_t last, int64_t S, int64_t D) {
    x += least(j, last) * S;
    for (int64_t d = 0; d < D; d += 16) vf_prefetch(x + d);
}
static void measure(const attention8 *a, const head8 *t) {
    int64_t R = t->s->rows, D = a->D, at = t->s->row * a->S + t->h * D;
    vw rows = vw_set((float)R), bad = vw_set(0);
    for (int64_t d = 0; d < a->pad; d += 16) vw_store(t->mean + d, bad), vw_store(t->size + d, bad);
    for (int64_t j = 0; j < R; j++) {
        const float *k = a->k + at + j * a->S, *v = a->v + at + j * a->S;
        ask(a->k + at, j + IASK, R - 1, a->S, D), ask(a->v + at, j + IASK, R - 1, a->S, D);
        for (int64_t d = 0; d < D; d += 16) {
            vw_store(t->mean + d, VW2(vf_add, vw_load(t->mean + d), vw_load_n(k + d, D - d)));
            vw_store(t->size + d, VW2(vf_add, vw_load(t->size + d), VW1(vf_abs, vw_load_n(v + d, D - d))));
        }
    }
    for (int64_t d = 0; d < D; d += 16) {
        vw mean = VW2(vf_div, vw_load(t->mean + d), rows);
        bad = VW3(vf_fma, mean, vw_set(0), bad);
        vw_store(t->mean + d, mean);
        vw_store(t->size + d, VW2(vf_div, vw_load(t->size + d), rows));
    }
    float none = vw_sum(bad);                                  /* 0, or NaN */
    for (int64_t d = 0; d < a->pad; d++) {
        t->size[d] = (t->size[d] == 0 ? 1 : t->size[d]) + none;
        t->inverse[d] = 1 / t->size[d];
    }
}

/* ---- keys and values in whole numbers ---- */
/* The factor that makes x (pad) 8 bits. *top: the largest |x|, at least `least`, 1 where 0. */
static float factor8(const float *x, int64_t pad, float least, float *top) {
    vw t = vw_set(least);
    for (int64_t d = 0; d < pad; d += 16) t = VW2(vf_max, t, VW1(vf_abs, vw_load(x + d)));
    *top = vw_top(t);
    if (*top == 0) *top = 1;
    return 127 / *top;
}
static void take_keys(const attention8 *a, const head8 *t, int64_t b, const block8 *to, float *x) {
    int64_t row = t->s->row + b * IK, n = least(IK, t->s->rows - b * IK), D = a->D, pad = a->pad;
    unsigned char k8[IPAD];
    for (int64_t j = 0; j < IK; j++) {
        float top = 0;
        ask(a->k + row * a->S + t->h * D, j + IASK, n - 1, a->S, D);
        memset(k8, 128, sizeof k8);
        if (j < n) {
            for (int64_t d = 0; d < pad; d += 16)
                vw_store(x + d, VW2(vf_sub, vw_load_n(a->k + (row + j) * a->S + t->h * D + d, D - d), vw_load(t->mean + d)));
            vw f = vw_set(factor8(x, pad, 0, &top));
            for (int64_t d = 0; d < pad; d += 16)
                vw_store_bytes(k8 + d, VW2(vf_add, VW1(vf_round, VW2(vf_mul, vw_load(x + d), f)), vw_set(128)));
        }
        for (int64_t d = 0; d < pad; d += 4) memcpy(to->k + (d / 4 * IK + j) * 4, k8 + d, 4);
        to->factor[j] = top / 127;
    }
}
static void take_values(const attention8 *a, const head8 *t, int64_t b, const block8 *to, float *x) {
    int64_t row = t->s->row + b * IK, n = least(IK, t->s->rows - b * IK), D = a->D, pad = a->pad;
    for (int64_t j = 0; j < IK; j += 4) {
        vf f[4];
        for (int64_t i = 0; i < 4; i++) {                      /* rows behind the last are 0, and weigh nothing */
            float w, *r = x + i * pad;
            const float *v = a->v + (row + least(j + i, n - 1)) * a->S + t->h * D;
            ask(a->v + row * a->S + t->h * D, j + i + IASK, n - 1, a->S, D);
            for (int64_t d = 0; d < pad; d += VF_N)
                vf_store(r + d, j + i < n ? vf_mul(vf_load_n(v + d, D - d), vf_load(t->inverse + d)) : vf_set(0));
            f[i] = vf_set(factor8(r, pad, 0x1p-10f, &w));
            to->log[j + i] = j + i < n ? f1_log(w) * 1.44269504f : -1e30f;
            to->inverse[j + i] = j + i < n ? 1 / w : 0;
        }
#define V(i) vf_int(vf_mul(vf_load(x + i * pad + d), f[i]))
        for (int64_t d = 0; d < pad; d += VF_N) vi_store(to->v + (j / 4 * pad + d) * 4, vi_mix(V(0), V(1), V(2), V(3)));
#undef V
    }
}

/* ---- queries ---- */
#define EACH8(DO)      EACH4(DO) DO(4) DO(5) DO(6) DO(7)
#define EACH6(DO, v)   DO(v, 0) DO(v, 1) DO(v, 2) DO(v, 3) DO(v, 4) DO(v, 5)
/* A tile's sums of `steps` times four products, n vectors of them: of queries with keys (u8, w), from `start`, which become u and its
   largest; or of p8 (u8, x) with values, which go to t. Rows of x and steps of w are ldx and ldw bytes apart. */
typedef struct key_block { const int32_t *start; const float *a, *factor, *log; float *u, *top; } key_block;
INLINE void tile8(bool keys, int n, const key_block *b, int32_t *t, const void *x, int64_t ldx, const void *w, int64_t ldw, int64_t steps) {
    const char *xs = x, *ws = w;
#define START(v, i) vi a##v##i = vi_set(keys && n > v ? b->start[i] : 0);
#define W(v)        vi w##v = n > v ? vi_load(ws + v * VF_N * 4) : vi_set(0);
#define K(v, i)     if (n > v) a##v##i = vi_dot(a##v##i, vub_set(w##v), q);
#define V(v, i)     if (n > v) a##v##i = vi_dot(a##v##i, p, vsb_set(w##v));
#define ROW(v, i)   if (keys) { vsb q = vsb_load(xs + i * ldx); K(0, i) K(1, i) K(2, i) K(3, i) } \
                    else      { vub p = vub_each(xs + i * ldx); V(0, i) V(1, i) V(2, i) V(3, i) }
#define U(v, i)     vf_fma(vf_mul(vi_float(a##v##i), vf_load(b->factor + v * VF_N)), a, vf_load(b->log + v * VF_N))
#define UROW(v, i)  { \
        vf a = vf_set(b->a[i]), u0 = U(0, i), u1 = U(1, i), u2 = n > 2 ? U(2, i) : u0, u3 = n > 2 ? U(3, i) : u1; \
        float *u = b->u + i * IK; \
        vf_store(u, u0), vf_store(u + VF_N, u1); \
        if (n > 2) vf_store(u + 2 * VF_N, u2), vf_store(u + 3 * VF_N, u3); \
        vf_store(b->top + i * (IK / IV), vf_max(vf_max(u0, u1), vf_max(u2, u3))); }
#define PUT(v, i)   if (n > v) vi_store(t + i * OD + v * VF_N, a##v##i);
    EACH6(START, 0) EACH6(START, 1) EACH6(START, 2) EACH6(START, 3)
    for (; steps > 0; steps--, xs += keys ? VSB_BYTES : 4, ws += ldw) { EACH4(W) EACH6(ROW, 0) }
    if (keys) { EACH6(UROW, 0) } else { EACH6(PUT, 0) EACH6(PUT, 1) EACH6(PUT, 2) EACH6(PUT, 3) }
#undef START
#undef W
#undef K
#undef V
#undef ROW
#undef U
#undef UROW
#undef PUT
}
APART void key_tile(const key_block *b, const signed char *x, const unsigned char *w, int64_t steps) {
    tile8(true, IV, b, NULL, x, ILD, w, IK * 4, steps);
}
APART void value_tile(int n, int32_t *t, const unsigned char *x, const signed char *w, int64_t ldw, int64_t steps) {
    if (n == 4)      { tile8(false, 4, NULL, t, x, IK, w, ldw, steps); }
    else if (n == 2) { tile8(false, 2, NULL, t, x, IK, w, ldw, steps); }
    else             { tile8(false, 1, NULL, t, x, IK, w, ldw, steps); }
}

/* u of a tile, rows j.. of the task, becomes p8; the denominators go on, and what the sums of values are to be multiplied by is put down:
   of what is there, `was`, of what the block adds, `is`. One of them is 1. No branches: the CPU would guess them wrong. */
APART void softmax8(int8_scratch *z, const float *inverse, int64_t j) {
    float top[IM];
    for (int64_t i = 0; i < IM; i++) {
        const float *t = z->top + i * (IK / IV);
        vw most = vw_load(t);
        for (int64_t g = 16; g < IK / IV; g += 16) most = VW2(vf_max, most, vw_load(t + g));
        top[i] = vw_top(most);
    }
    vf m = vf_load_n(z->m + j, IM), t = vf_load_n(top, IM), most = vf_max(t, m);
    vf_store(z->was, vf_pow2(vf_sub(m, most))), vf_store(z->is, vf_pow2(vf_sub(t, most)));
    vf_store_n(z->m + j, most, IM);
    for (int64_t i = 0; i < IM; i++) {
        const float *u = z->u + i * IK;
        unsigned char *p8 = z->p + i * IK;
        float *l = z->l + (j + i) * 16;
        vw most = vw_set(top[i] - 7.99435344f), sum = vw_set(0);       /* log2 255 */
#define P(g) \
        vw p##g = VW1(vf_pow2, VW2(vf_sub, vw_load(u + g * 16), most)); \
        vw_store_bytes(p8 + g * 16, p##g); \
        sum = VW3(vf_fma, p##g, vw_load(inverse + g * 16), sum);
        EACH8(P)
#undef P
        vw_store(l, VW3(vf_fma, sum, vw_set(z->is[i]), VW2(vf_mul, vw_load(l), vw_set(z->was[i]))));
    }
}

typedef struct task8 { head8 t; int64_t i, rows; } task8;              /* rows i.. of the span */

static void take_queries8(const attention8 *a, const task8 *t, int8_scratch *z) {
    for (int64_t j = 0; j < cdiv(t->rows, IM) * IM; j++) {
        signed char *q = z->q + j * ILD;
        float top;
        ask(a->q + (t->t.s->row + t->i) * a->S + t->t.h * a->D, j + IASK, t->rows - 1, a->S, a->D);
        for (int64_t d = 0; d < a->pad; d += 16)
            vw_store(z->x + d, j < t->rows ? vw_load_n(a->q + (t->t.s->row + t->i + j) * a->S + t->t.h * a->D + d, a->D - d) : vw_set(0));
        vf f = vf_set(factor8(z->x, a->pad, 0, &top));
        vw none = vw_set(0);
        vi sum = vi_set(0);
        for (int64_t d = 0; d < a->pad; d += 16) none = VW3(vf_fma, vw_load(z->x + d), vw_set(0), none);
        for (int64_t d = 0; d < a->pad; d += VF_N) {
            vi x = vf_int(vf_mul(vf_load(z->x + d), f));
            sum = vi_add(sum, x);
            vsb_store(q + d / 4 * VSB_BYTES, x);
        }
        z->start[j] = (int32_t)(0u - 128u * (uint32_t)vi_sum(sum));            /* after a NaN it may wrap */
        z->a[j] = top / 127 * (a->scale * 1.44269504f);
        z->bad[j] = vw_sum(none);
        z->m[j] = -1e30f;
        vw_store(z->l + j * 16, vw_set(0));
    }
    memset(z->o, 0, (size_t)(cdiv(a->pad, OD) * IQ * OD) * sizeof(float));
}
static float *o_at(int8_scratch *z, int64_t j, int64_t d) { return z->o + (d / OD * IQ + j) * OD + d % OD; }
/* o of rows j.. of the task, n vectors at d. */
static void add_values8(int8_scratch *z, int64_t j, int64_t d, int64_t n) {
    float *o = o_at(z, j, d);
    for (int64_t i = 0; i < IM; i++, o += OD) {
        vf was = vf_set(z->was[i]), is = vf_set(z->is[i]);
        for (int64_t c = 0; c < n * VF_N; c += VF_N)
            vf_store(o + c, vf_fma(vi_float(vi_load(z->t + i * OD + c)), is, vf_mul(vf_load(o + c), was)));
    }
}
/* o of rows j.. of the task: what block n adds. */
static void take_values8(const attention8 *a, const task8 *t, int64_t n, int64_t j, int8_scratch *z) {
    block8 b = block_at(a, &t->t, n);
    for (int64_t d = 0, m; d < a->pad; d += m * VF_N) {
        m = (a->pad - d) / VF_N, m = m >= IV ? IV : m >= 2 ? 2 : 1;
        value_tile((int)m, z->t, z->p, b.v + d * 4, a->pad * 4, cdiv(least(IK, t->t.s->rows - n * IK), 4));
        add_values8(z, j, d, m);
    }
}
static void run_task8(const attention8 *a, const task8 *t, int8_scratch *z) {
    int64_t blocks = cdiv(t->t.s->rows, IK), last = -1;
    take_queries8(a, t, z);
    for (int64_t n = 0; n < blocks; n++) {
        block8 b = block_at(a, &t->t, n);
        for (int64_t j = 0; j < t->rows; last = j, j += IM) {
            for (int64_t c = 0; c < IK; c += IV * VF_N) {
                key_block to = { z->start + j, z->a + j, b.factor + c, b.log + c, z->u + c, z->top + c / IV };
                key_tile(&to, z->q + j * ILD, b.k + c * 4, cdiv(a->D, 4));
            }
            /* one tile later: what waits for the exponentials would wait longer than the CPU looks ahead */
            if (last >= 0) take_values8(a, t, j ? n : n - 1, last, z);
            softmax8(z, b.inverse, j);
        }
    }
    take_values8(a, t, blocks - 1, last, z);
    for (int64_t j = 0; j < t->rows; j++) {
        float *out = a->out + ((t->t.s->row + t->i + j) * a->H + t->t.h) * a->D, sum = 1 / (127 * vw_sum(vw_load(z->l + j * 16)));
        for (int64_t d = 0; d < a->D; d += VF_N) {
            vf o = vf_mul(vf_load(o_at(z, j, d)), vf_set(sum));
            vf_store_n(out + d, vf_fma(o, vf_load(t->t.size + d), vf_set(z->bad[j])), a->D - d);
        }
    }
}

/* The parts of each pass: heads; blocks; rows of tasks times blocks. Runs what begins in [lo, hi); returns all of it. */
enum { MEASURE, TAKE, ATTEND };
static int64_t walk8(const attention8 *a, int pass, int64_t lo, int64_t hi, int8_scratch *z) {
    int64_t at = 0, before = 0;
    for (int64_t i = 0; i < a->nspans; i++) {
        int64_t rows = a->spans[i].rows, blocks = cdiv(rows, IK);
        if (!whole(a->spans + i)) continue;
        for (int64_t h = 0; h < a->H; h++) {
            head8 t = head_at(a, i, before, h);
            if (pass == MEASURE) { if (at >= lo && at < hi) measure(a, &t); at++; }
            for (int64_t b = 0; b < blocks && pass == TAKE; b++, at++) {
                block8 to = block_at(a, &t, b);
                if (at >= lo && at < hi) take_keys(a, &t, b, &to, z->o), take_values(a, &t, b, &to, z->o);
            }
            for (int64_t r = 0, n; r < rows && pass == ATTEND; r += n) {
                n = least(IQ, rows - r);
                if (at >= lo && at < hi) run_task8(a, &(task8){ t, r, n }, z);
                at += n * blocks;
            }
        }
        before += blocks;
    }
    return at;
}
static void measure_part(void *arg, int64_t lo, int64_t hi, void *scratch) { walk8(arg, MEASURE, lo, hi, scratch); }
static void take_part(void *arg, int64_t lo, int64_t hi, void *scratch) { walk8(arg, TAKE, lo, hi, scratch); }
static void attend_part(void *arg, int64_t lo, int64_t hi, void *scratch) { walk8(arg, ATTEND, lo, hi, scratch); }

static void attention_int8_forward(vlm_ctx *ctx, act *out, void *room, const act *q, const act *k, const act *v, const vlm_span *spans,
                                   int64_t nspans, int64_t H, int64_t D, int64_t S, float scale) {
    assert(D >= 1 && D <= DMAX && ctx->scratch_bytes >= sizeof(int8_scratch));
    attention8 a = { out, room, q, k, v, spans, nspans, H, D, S, cdiv(D, 16) * 16, scale };
    vlm_parallel(ctx, walk8(&a, MEASURE, 0, 0, NULL), 1, measure_part, &a);
    vlm_parallel(ctx, walk8(&a, TAKE, 0, 0, NULL), 1, take_part, &a);
    vlm_parallel(ctx, walk8(&a, ATTEND, 0, 0, NULL), 1 + 65536 / (IK * D), attend_part, &a);
    for (const vlm_span *s = spans; s < spans + nspans; s++) {
        vlm_span own = { .row = s->row, .rows = s->rows, .keys = s->rows, .k = k + s->row * S, .v = v + s->row * S };
        if (!whole(s)) attention_forward(ctx, out, NULL, q, &own, 1, H, H, D, S, S, 0, 0, scale);
    }
}

/* Linear layers whose weights are whole numbers (ops.def has the formulas). A block of rows of x is rounded into scratch, QK inputs after
   QK, and goes through the panels tile by tile. Sums of whole numbers are exact, so only what is done in float has an order: the
   scales, group after group in I8's case once, and a row's outliers, input after input. */
#include "ops/quant.h"
enum {
    QK = 1024,                         /* inputs in a block: the panel's stay in L1 */
    QG = QK / VLM_QGROUP,
    QM = 288,                          /* most rows in a block */
    QMR = VF_N == 16 ? 12 : VNNI ? 6 : 4,      /* rows in a tile: without VNNI a weight takes two registers */
    QAHEAD = 6144,                     /* bytes of weights that few rows ask for early: what memory sends by itself comes too late */
    QFAR = 9216,                       /* outliers in a block of rows: more than K/16 */
    QFEW = 8 * QK                      /* a tile of rows of so many inputs is one block */
};
typedef struct qrow {                  /* a row's share of a block, an odd number of cache lines */
    unsigned char q[QK / 4 * VSB_BYTES];
    float scale[QG];                   /* I8: the first one, of the whole row */
    int32_t start[QG];                 /* - offset of the weights times Σ q, where the sum begins; I8: the first one, of the block */
    char apart[64];
} qrow;
typedef struct outlier { int32_t k; float x; } outlier;
typedef struct quant_scratch {
    qrow x[(640 << 10) / sizeof(qrow)];        /* [block][rows of the block of rows] */
    outlier far[QFAR];
    int32_t far_end[QM];               /* of each row, behind its last outlier */
    union { float f[QM * VLM_PANEL]; int32_t i[QM * VLM_PANEL]; } sum;         /* [strip][row][STRIP] */
    float out[QMR * STRIP], far_sum[QMR * STRIP];
    unsigned char w[QK * VLM_PANEL + QG * VLM_PANEL * 2];      /* a block of a panel of G4, widened to G8 */
} quant_scratch;
_Static_assert(sizeof(quant_scratch) <= VLM_SCRATCH_BYTES && sizeof(qrow) % 128 == 64 && QK % VLM_QGROUP == 0, "scratch of quant");
_Static_assert(QMR * (QFEW / 16 + QFEW / 256) < QFAR && QMR * 8 * sizeof(qrow) <= (640 << 10), "a tile of QFEW fits");
_Static_assert(VLM_QUANT_COLS / QK * sizeof(qrow) <= (640 << 10) && VLM_QUANT_COLS / 16 + VLM_QUANT_COLS / 256 < QFAR, "one row fits");

/* ---- Activations ---- */

/* Inputs [k, k + n) of a row rounded; those above limit become 0. Returns Σ q. */
static int32_t quant_inputs(const float *x, int64_t n, float inverse, float limit, unsigned char *q) {
    vi sum = vi_set(0);
    for (int64_t k = 0; k < n; k += VF_N) {
        vf v = vf_load_n(x + k, n - k);
        vi a = vf_int(vf_mul(vf_less(vf_set(limit), vf_abs(v), vf_set(0), v), vf_set(inverse)));
        sum = vi_add(sum, a);
        vsb_store(q + k / 4 * VSB_BYTES, a);
    }
    return vi_sum(sum);
}
static int32_t quant_start(int offset, int32_t sum) {          /* it may wrap, after a NaN */
    return (int32_t)(0u - (uint32_t)offset * (uint32_t)sum);
}
static float quant_top(vi bits) { int32_t top = vi_top(bits); float f; memcpy(&f, &top, 4); return f; }
static vi quant_bits(const float *x, int64_t n) { return vf_bits(vf_abs(vf_load_n(x, n))); }

static int32_t quant_row(const float *x, int64_t K, qrow *to, int64_t rows, outlier *far, int32_t nfar) {
    vi top = vi_set(0);
    vw sum = vw_set(0);
    for (int64_t k = 0; k < K; k += 16) {
        vw a = VW1(vf_abs, vw_load_n(x + k, K - k));
        sum = VW2(vf_add, sum, a), top = vw_top_bits(top, a);
    }
    float most = quant_top(top), limit = quant_limit(most, vw_sum(sum), K);
    quant_step step = quant_step_of(most < INFINITY ? limit : most);
    for (int64_t k = 0; k < K; k += QK, to += rows) {
        to->scale[0] = step.scale;
        to->start[0] = quant_start(128, quant_inputs(x + k, least(QK, K - k), step.inverse, limit, to->q));
    }
    for (int64_t k = 0; k < K && most > limit && most < INFINITY; k += 16) {
        if (!vw_any_above(VW1(vf_abs, vw_load_n(x + k, K - k)), vw_set(limit))) continue;
        for (int64_t i = k; i < k + 16 && i < K; i++) if (quant_abs(x[i]) > limit) far[nfar++] = (outlier){ (int32_t)i, x[i] };
    }
    return nfar;
}
static void quant_row_groups(const float *x, int64_t K, qrow *to, int64_t rows, int offset) {
    for (int64_t k = 0; k < K; k += VLM_QGROUP) {
        int64_t n = least(VLM_QGROUP, K - k), g = k % QK / VLM_QGROUP;
        qrow *at = to + k / QK * rows;
        vi top = vi_set(0);
        for (int64_t i = 0; i < n; i += VF_N) top = vi_max(top, quant_bits(x + k + i, n - i));
        quant_step step = quant_step_of(quant_top(top));
        unsigned char *q = at->q + g * (VLM_QGROUP / 4 * VSB_BYTES);
        if (n < VLM_QGROUP) memset(q, 0, VLM_QGROUP / 4 * VSB_BYTES);
        at->scale[g] = step.scale;
        at->start[g] = quant_start(offset, quant_inputs(x + k, n, step.inverse, INFINITY, q));
    }
}

/* ---- Tiles ---- */

/* m rows by one strip, whose place in a quad (I8) or group is where w and scales point: n quads or groups. G8, G4: out is where sums in
   float go on. I8: sum is where those of whole numbers do; they begin when `first`, and when `last` they become numbers, in out. */
typedef struct quant_work {
    const qrow *x;
    const unsigned char *w, *scales;
    int64_t n;
    float *out;
    bool first, last;
    int32_t *sum;
    const float *far, *bias;           /* far: Σ x[k] q of outliers, [row][STRIP]; NULL: there are none */
} quant_work;

INLINE void quant_tile(vlm_dtype t, int m, const quant_work *z) {
    enum { QUAD = VLM_PANEL * 4, HALF = VF_N * 4, GROUP8 = VLM_QGROUP * VLM_PANEL + VLM_PANEL * 2,
           GROUP4 = GROUP8 - VLM_QGROUP / 2 * VLM_PANEL };
    vi a[1][12][2];
    const qrow *x = z->x;
    const unsigned char *xq = x->q, *w = z->w;
    int64_t n = z->n;
    float *out = z->out;
#define DOT(s, i) if (i < m) { \
        vsb v = vsb_load(xq + i * sizeof(qrow)); \
        a[s][i][0] = vi_dot(a[s][i][0], w0, v); \
        a[s][i][1] = vi_dot(a[s][i][1], w1, v); }
#define AHEAD(q) if (m < 12) { vf_prefetch((const float *)((uintptr_t)w + q * QUAD + QAHEAD)); \
        if (VF_N == 16) vf_prefetch((const float *)((uintptr_t)w + q * QUAD + QAHEAD + 64)); }
#define BYTES(q) { AHEAD(q) \
        vub w0 = vub_set(vi_load(w + q * QUAD)), w1 = vub_set(vi_load(w + q * QUAD + HALF)); \
        EACH12(DOT, 0) xq += VSB_BYTES; }
#define PUT(i, u, v) vf_store(out + i * STRIP, u), vf_store(out + i * STRIP + VF_N, v)
    if (t == VLM_I8) {
        int32_t *sum = z->sum;
#define START(s, i) if (i < m) a[s][i][0] = a[s][i][1] = vi_set(x[i].start[0]);
#define LOAD(s, i) if (i < m) { \
        a[s][i][0] = vi_add(a[s][i][0], vi_load(sum + i * STRIP)); \
        a[s][i][1] = vi_add(a[s][i][1], vi_load(sum + i * STRIP + VF_N)); }
#define STORE(s, i) if (i < m) { \
        vi_store(sum + i * STRIP, a[s][i][0]); \
        vi_store(sum + i * STRIP + VF_N, a[s][i][1]); }
#define NEAR(s, i) if (i < m) { \
        vf v = vf_set(x[i].scale[0]); \
        PUT(i, vf_fma(vf_mul(vi_float(a[s][i][0]), v), s0, b0), vf_fma(vf_mul(vi_float(a[s][i][1]), v), s1, b1)); }
#define BOTH(s, i) if (i < m) { \
        vf v = vf_set(x[i].scale[0]); \
        PUT(i, vf_fma(vf_fma(vi_float(a[s][i][0]), v, vf_load(far + i * STRIP)), s0, b0), \
               vf_fma(vf_fma(vi_float(a[s][i][1]), v, vf_load(far + i * STRIP + VF_N)), s1, b1)); }
        EACH12(START, 0)
        if (!z->first) { EACH12(LOAD, 0) }
        for (; n >= 2; n -= 2, w += 2 * QUAD) { BYTES(0) BYTES(1) }
        if (n) BYTES(0)
        if (!z->last) { EACH12(STORE, 0) return; }
        const float *scales = (const float *)(const void *)z->scales, *far = z->far;
        vf s0 = vf_load(scales), s1 = vf_load(scales + VF_N), b0 = vf_load(z->bias), b1 = vf_load(z->bias + VF_N);
        if (far) { EACH12(BOTH, 0) } else { EACH12(NEAR, 0) }   /* a sum of 0 times 0 has no sign to lose: the same as fma onto 0 */
        return;
    }
#undef START
#define START(s, i) if (i < m) a[s][i][0] = a[s][i][1] = vi_set(x[i].start[g]);
#define ADD(s, i) if (i < m) { \
        vf v = vf_set(x[i].scale[g]); \
        PUT(i, vf_fma(vi_float(a[s][i][0]), vf_mul(v, s0), vf_load(out + i * STRIP)), \
               vf_fma(vi_float(a[s][i][1]), vf_mul(v, s1), vf_load(out + i * STRIP + VF_N))); }
    const uint16_t *scales = (const uint16_t *)(const void *)z->scales;
    for (int64_t g = 0; g < n; g++, scales += (t == VLM_G8 ? GROUP8 : GROUP4) / 2) {
        EACH12(START, 0)
        if (t == VLM_G8) {
            for (int q = 0; q < 8; q += 4, w += 4 * QUAD) { BYTES(0) BYTES(1) BYTES(2) BYTES(3) }
            w += GROUP8 - 8 * QUAD;
        } else {
            for (int q = 0; q < 4; q++, w += QUAD) {
                AHEAD(0)
                vi b0 = vi_load(w), b1 = vi_load(w + HALF);
                { vub w0 = vub_low(b0), w1 = vub_low(b1); EACH12(DOT, 0) }
                xq += 4 * VSB_BYTES;
                { vub w0 = vub_high(b0), w1 = vub_high(b1); EACH12(DOT, 0) }
                xq -= 3 * VSB_BYTES;
            }
            xq += 4 * VSB_BYTES, w += GROUP4 - 4 * QUAD;
        }
        vf s0 = vf_f16(scales), s1 = vf_f16(scales + VF_N);
        EACH12(ADD, 0)
        stay_in_memory();              /* gcc would carry sums over in registers that it does not have */
    }
#undef DOT
#undef BYTES
#undef PUT
#undef START
#undef LOAD
#undef STORE
#undef NEAR
#undef BOTH
#undef ADD
}
#define CASE(T, M) case M: quant_tile(T, M, z); break;
#if VF_N == 16
#define CASES(T) CASE(T, 1) CASE(T, 2) CASE(T, 3) CASE(T, 4) CASE(T, 5) CASE(T, 6) \
                 CASE(T, 7) CASE(T, 8) CASE(T, 9) CASE(T, 10) CASE(T, 11) CASE(T, 12)
#elif VNNI
#define CASES(T) CASE(T, 1) CASE(T, 2) CASE(T, 3) CASE(T, 4) CASE(T, 5) CASE(T, 6)
#else
#define CASES(T) CASE(T, 1) CASE(T, 2) CASE(T, 3) CASE(T, 4)
#endif
static void quant_tile_i8(int m, const quant_work *z) { switch (m) { CASES(VLM_I8) } }
static void quant_tile_g8(int m, const quant_work *z) { switch (m) { CASES(VLM_G8) } }
static void quant_tile_g4(int m, const quant_work *z) { switch (m) { CASES(VLM_G4) } }
#undef CASE
#undef CASES

/* n groups of G4 as G8, whose q + 128 is q + 8 here. */
static void quant_widen(const unsigned char *w, int64_t n, unsigned char *to) {
    enum { BYTES = VLM_QGROUP * VLM_PANEL / 2, STEP = VF_N * 4 };
    for (; n > 0; n--, w += VLM_PANEL * 2, to += BYTES + VLM_PANEL * 2) {
        for (int i = 0; i < BYTES / STEP; i++, w += STEP, to += STEP) {
            vi b = vi_load(w), low = vi_set(0x0F0F0F0F);
            vi_store(to, vi_and(b, low));
            vi_store(to + BYTES, vi_and(vi_shift(b, 4), low));
        }
        memcpy(to + BYTES, w, VLM_PANEL * 2);
    }
}

/* ---- Blocks ---- */

/* The outliers of rows [i, i + m) times strip c of a panel: z->far_sum. False: there are none. */
static bool quant_far(quant_scratch *z, int64_t i, int64_t m, const unsigned char *panel, int64_t c) {
    int32_t o = i ? z->far_end[i - 1] : 0;
    if (o == z->far_end[i + m - 1]) return false;
    for (int64_t r = 0; r < m; r++) {
        vf v0 = vf_set(0), v1 = v0;
        for (; o < z->far_end[i + r]; o++) {
            int64_t k = z->far[o].k;
            const unsigned char *w = panel + k / 4 * 4 * VLM_PANEL + c * 4;
            vi q0 = vi_shift(vi_load(w), (int)(k % 4) * 8), q1 = vi_shift(vi_load(w + VF_N * 4), (int)(k % 4) * 8);
            vf x = vf_set(z->far[o].x);
            v0 = vf_fma(x, vi_float(vi_add(vi_and(q0, vi_set(255)), vi_set(-128))), v0);
            v1 = vf_fma(x, vi_float(vi_add(vi_and(q1, vi_set(255)), vi_set(-128))), v1);
        }
        vf_store(z->far_sum + r * STRIP, v0), vf_store(z->far_sum + r * STRIP + VF_N, v1);
    }
    return true;
}

/* Rows [r, r + rows), which z holds rounded, x panel p. `room`: rows of a block of z->x. */
static void quant_panel(const linear *l, int64_t r, int64_t rows, int64_t room, int64_t p, quant_scratch *z) {
    const unsigned char *panel = (const unsigned char *)l->w + p * vlm_panel_bytes(l->t, l->K);
    bool i8 = l->t == VLM_I8;
    int64_t all = cdiv(l->K, i8 ? 4 : VLM_QGROUP), per = i8 ? QK / 4 : QG;             /* quads, or groups */
    int64_t bytes = i8 ? 4 * VLM_PANEL : vlm_panel_bytes(l->t, VLM_QGROUP);            /* of one */
    float bias[VLM_PANEL];
    for (int64_t c = 0; c < VLM_PANEL; c++) bias[c] = l->e.b && p * VLM_PANEL + c < l->C ? l->e.b[p * VLM_PANEL + c] : 0;
    for (int64_t b = 0; b * per < all; b++) {
        const unsigned char *w = panel + b * per * bytes;
        int64_t n = least(per, all - b * per);
        bool last = b * per + n == all;
        vlm_dtype t = l->t;
        if (t == VLM_G4 && rows > QMR) quant_widen(w, n, z->w), w = z->w, t = VLM_G8;
        for (int64_t s = 0; s < SPLIT; s++)
            for (int64_t i = 0; i < rows; i += QMR) {
                int64_t m = least(QMR, rows - i), at = (s * QM + i) * STRIP, c = s * STRIP;
                quant_work work = { .x = z->x + b * room + i, .w = w + c * 4, .n = n, .out = z->sum.f + at };
                if (i8) {
                    work.scales = panel + all * bytes + c * 4, work.sum = z->sum.i + at, work.bias = bias + c, work.out = z->out;
                    work.first = b == 0, work.last = last, work.far = last && quant_far(z, i, m, panel, c) ? z->far_sum : NULL;
                    quant_tile_i8((int)m, &work);
                } else {
                    for (int64_t j = 0; b == 0 && j < m * STRIP; j += VF_N) vf_store(work.out + j, vf_load(bias + c + j % STRIP));
                    work.scales = w + (t == VLM_G8 ? VLM_QGROUP : VLM_QGROUP / 2) * VLM_PANEL + c * 2;
                    (t == VLM_G8 ? quant_tile_g8 : quant_tile_g4)((int)m, &work);
                }
                if (last) finish(l, work.out, r + i, m, p * VLM_PANEL + c);
            }
    }
}
/* Rounds rows [r, r1), as many as z has room for, and says how many. */
static int64_t quant_rows(const linear *l, int64_t r, int64_t r1, int64_t room, quant_scratch *z) {
    int32_t nfar = 0;
    int64_t rows = 0;
    for (; rows < room && r + rows < r1 && nfar + l->K / 16 + l->K / 256 < QFAR; rows++) {
        const float *x = l->x + (r + rows) * l->K;
        if (l->t == VLM_I8) nfar = quant_row(x, l->K, z->x + rows, room, z->far, nfar);
        else                quant_row_groups(x, l->K, z->x + rows, room, l->t == VLM_G8 ? 128 : 8);
        z->far_end[rows] = nfar;
    }
    return rows;
}
static void quant_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const linear *l = arg;
    quant_scratch *z = scratch;
    int64_t r0 = 0, r1 = l->R, p0 = 0, p1 = cdiv(l->C, VLM_PANEL), blocks = cdiv(l->K, QK);
    if (l->by_rows) r0 = lo, r1 = hi;
    else            p0 = lo, p1 = hi;
    int64_t room = least(QM, (int64_t)(sizeof z->x / sizeof *z->x) / blocks);
    room = least(room, cdiv(cdiv(r1 - r0, cdiv(r1 - r0, room)), QMR) * QMR);   /* equal blocks, whole tiles */
    for (int64_t r = r0, rows; r < r1; r += rows) {
        rows = quant_rows(l, r, r1, room, z);
        for (int64_t p = p0; p < p1; p++) quant_panel(l, r, rows, room, p, z);
    }
}
static void quant_few(void *arg, vlm_member *me, void *scratch) {
    const linear *l = arg;
    quant_rows(l, 0, l->R, l->R, scratch);
    for (int64_t p, end; vlm_next(me, &p, &end);)
        for (; p < end; p++) quant_panel(l, 0, l->R, l->R, p, scratch);
}
static void quant_product(vlm_ctx *ctx, linear *l) {
    assert(l->K <= VLM_QUANT_COLS && ctx->scratch_bytes >= sizeof(quant_scratch));
    int64_t tiles = cdiv(l->R, QMR), panels = cdiv(l->C, VLM_PANEL);
    l->by_rows = tiles > panels || tiles >= 4 * ctx->threads;  /* rounding a row costs something: rather once than in each thread */
    int64_t work = l->K * (l->by_rows ? l->C : VLM_PANEL * l->R);      /* of one row or panel */
    if (tiles == 1 && l->K <= QFEW) vlm_parallel_units(ctx, panels, 1 + 131072 / work, quant_few, l);
    else vlm_parallel(ctx, l->by_rows ? l->R : panels, 1 + 131072 / work, quant_part, l);
}

/* ---- Packing ---- */

static void quant_pack_panels(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const pack *p = arg;
    int64_t bad = 0, first = p->row0 / VLM_PANEL, end = p->row0 + p->w->rows;
    for (int64_t r = (first + lo) * VLM_PANEL; r < (first + hi) * VLM_PANEL; r++) {
        if (r >= p->row0 && r < end) bad += quant_pack_row(p->out, r, p->w, r - p->row0);
        else if (r >= p->out->rows)  quant_pack_nothing(p->out, r);
    }
    if (bad) __atomic_fetch_add(p->nonfinite, bad, __ATOMIC_RELAXED);
}

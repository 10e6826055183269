/* Flash style: a task is a block of query rows of one or more heads that share their key head; it takes the keys block by block, and a
   block's part of the answer is finished before it joins the rest. With few queries a task is one block of keys instead, and the parts
   join afterwards: the same sums, made by others.
   Of a block only keys that some row of a tile sees are read; to a row that does not see them they weigh 0, and 0 times a finite v
   changes no sum but the sign of a zero, which the last line mends. A row that met a v that is not finite is done again, over its own
   keys. */
enum {
    KB = VLM_KEY_BLOCK,
    DMAX = 256,
    MQ = 640,                          /* rows (of all heads) in a task, at most: to take a block costs as much as some 12 rows */
    MD = 384 * DMAX,                   /* floats of answers, or of parts */
    TILES = 2, RT = TILES * MR,        /* rows that go through a block together: what lies in L1 serves them all */
    DIRECT = 4,                        /* so few rows read a cache as it lies; for more, what is not f32 is widened first */
    AHEAD = 4096,                      /* bytes; they then read it from one end to the other, this far ahead of need */
    SOON = 16                          /* rows of q: that far ahead of need */
};
typedef struct attention_scratch {
    float q[MQ * LD];                  /* times scale and log2 e */
    float o[MD];                       /* answer so far, (row, Dp); or parts, one after another: m (rows), l (rows), o (rows, Dp) */
    float k[KB * DMAX];                /* [KB / 32][D][32] */
    float v[KB * DMAX];                /* [D / 32][KB][32], zero-padded */
    float p[RT * LD], part[RT * LD];   /* scores of the block, then their powers; sums of the block (row, d) */
    float m[MQ], l[MQ], pm[RT], pl[RT];                /* largest score and sum of powers, so far and of the block */
} attention_scratch;
_Static_assert(sizeof(attention_scratch) <= VLM_SCRATCH_BYTES && (int)KB <= (int)KC && (int)DMAX <= (int)KC && KB % 64 == 0, "attention");

typedef struct attention {
    float *out, *lse;
    const float *q;
    const vlm_span *spans;
    int64_t nspans, H, G, D, S, Skv, window, heads;    /* window: 0 unless causal; heads in a task */
    bool causal;
    float scale;
    int64_t M, tasks;                  /* most rows (of all heads) in a task; how many there are */
    _Atomic int64_t next;              /* the task that nobody has taken yet */
    _Atomic int parts;                 /* threads that hold parts: from which task on, and where */
    int64_t from[VLM_MAX_THREADS];
    attention_scratch *held[VLM_MAX_THREADS];
} attention;
typedef struct task { const vlm_span *s; int64_t i, rows, h, heads; } task;    /* rows i.. of the span, heads h.. */

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
/* Positions [lo, hi) that rows i..j of a span see. */
static int64_t sees_from(const attention *a, const vlm_span *s, int64_t i) { return a->window ? most(0, s->pos + i - a->window + 1) : 0; }
static int64_t sees_to(const attention *a, const vlm_span *s, int64_t j) { return a->causal ? least(s->keys, s->pos + j + 1) : s->keys; }

/* ---- Products of a tile of rows, from 0 ---- */

enum { PV = VLM_PANEL / VF_N };        /* vectors in a panel */
/* Vectors in flight for m rows. */
#define WIDTH(m) (VF_N == 16 ? (m) <= 3 ? 8 : (m) <= 6 ? 4 : 2 : (m) == 1 ? 8 : (m) <= 3 ? 4 : 2)

INLINE int64_t kv_bytes(vlm_dtype t) { return t == VLM_I8 ? 1 : (int64_t)vlm_dtype_bytes(t); }
INLINE vf kv_vector(vlm_dtype t, const void *p, int64_t at) {
    return t == VLM_I8 ? vf_i8((const int8_t *)p + at) : vf_weight(t, p, at);
}
/* sum[row][vector] = Σ_k x[row][k] w[k][vector]: rows LD apart, vectors in panels that are `stride` elements apart. direct: w comes from
   memory, and what lies AHEAD of it is wanted soon; otherwise next is, as in tile.h. */
INLINE void dots(vlm_dtype t, bool direct, int m, int n, float *sum, ahead next, const float *x, const void *w, int64_t stride,
                 int64_t kc) {
    vf a[4][12][2];                                    /* pairs of vectors */
#define ZERO(s, i) if (2 * s < n && i < m) a[s][i][0] = a[s][i][1] = vf_set(0);
#define FMA(s, i) if (i < m) { \
        vf v = vf_set(x[i * LD + k]); \
        a[s][i][0] = vf_fma(v, w0, a[s][i][0]); \
        if (2 * s + 1 < n) a[s][i][1] = vf_fma(v, w1, a[s][i][1]); }
#define AT(v) ((v) / PV * stride + (v) % PV * VF_N + k * VLM_PANEL)
#define INPUT(s) if (2 * s < n) { \
        if (direct) vf_prefetch((const float *)((uintptr_t)w + (uintptr_t)(AT(2 * s) * kv_bytes(t) + AHEAD))); \
        vf w0 = kv_vector(t, w, AT(2 * s)), w1 = 2 * s + 1 < n ? kv_vector(t, w, AT(2 * s + 1)) : w0; \
        EACH12(FMA, s) }
#define STORE(s, i) if (2 * s < n && i < m) { \
        vf_store(sum + i * LD + 2 * s * VF_N, a[s][i][0]); \
        if (2 * s + 1 < n) vf_store(sum + i * LD + (2 * s + 1) * VF_N, a[s][i][1]); }
    EACH12(ZERO, 0) EACH12(ZERO, 1) EACH12(ZERO, 2) EACH12(ZERO, 3)
    int64_t k = 0;
    if (!next.at) next.at = (uintptr_t)x;
    for (; k < kc - 1; k++, next.at += (uintptr_t)next.step) {         /* two at a time, as in tile.h */
        if (!direct) vf_prefetch((const float *)next.at), vf_prefetch((const float *)(next.at + 64));
        EACH4(INPUT) k++; EACH4(INPUT)
    }
    if (k < kc) { EACH4(INPUT) }
    EACH12(STORE, 0) EACH12(STORE, 1) EACH12(STORE, 2) EACH12(STORE, 3)
#undef ZERO
#undef FMA
#undef AT
#undef INPUT
#undef STORE
}
#define CASE(M) \
    case M: \
        if (WIDTH(M) >= 8 && n == 8)      { dots(VLM_F32, false, M, WIDTH(M) >= 8 ? 8 : 1, sum, next, x, w, stride, kc); } \
        else if (WIDTH(M) >= 4 && n == 4) { dots(VLM_F32, false, M, WIDTH(M) >= 4 ? 4 : 1, sum, next, x, w, stride, kc); } \
        else if (n == 2)                  { dots(VLM_F32, false, M, 2, sum, next, x, w, stride, kc); } \
        else                              { dots(VLM_F32, false, M, 1, sum, next, x, w, stride, kc); } \
        break;
static void dots_any(int m, int64_t n, float *sum, ahead next, const float *x, const void *w, int64_t stride, int64_t kc) {
    switch (m) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if VF_N == 16
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
}
#undef CASE
/* Few rows, keys and values as they lie in a cache: two vectors at a time, so that memory is read from one end to the other. */
#define CASE(T, M) \
    case M: \
        if (n == 2) { dots(T, true, M, 2, sum, (ahead){ 0, 0 }, x, w, stride, kc); } \
        else        { dots(T, true, M, 1, sum, (ahead){ 0, 0 }, x, w, stride, kc); } \
        break;
#define CASES(T) CASE(T, 1) CASE(T, 2) CASE(T, 3) CASE(T, 4)
static void dots_direct(vlm_dtype t, int m, int64_t n, float *sum, const float *x, const void *w, int64_t stride, int64_t kc) {
    if (t == VLM_F32)      switch (m) { CASES(VLM_F32) }
    else if (t == VLM_F16) switch (m) { CASES(VLM_F16) }
    else                   switch (m) { CASES(VLM_I8) }
}
#undef CASE
#undef CASES
/* Keys and values of a block, in panels; scales of I8, else NULL; direct: in a cache. What comes behind them, Skv apart. */
typedef struct kv { const void *k, *v; const float *ks, *vs; vlm_dtype t; bool direct; coming keys, values; int64_t Skv; } kv;
/* Vectors [c, end) of m rows; w is where vector 0 begins. */
static void all_dots(kv *b, int64_t m, int64_t c, int64_t end, float *sum, const float *x, const void *w, int64_t stride, int64_t kc) {
    for (int64_t n; c < end; c += n) {
        n = b->direct ? 2 : WIDTH(m);
        while (n > end - c || c % least(n, PV)) n /= 2;
        const void *y = (const char *)w + (c / PV * stride + c % PV * VF_N) * kv_bytes(b->t);
        if (b->direct) { dots_direct(b->t, (int)m, n, sum + c * VF_N, x, y, stride, kc); continue; }
        coming *next = b->keys.column < b->keys.columns ? &b->keys : &b->values;
        dots_any((int)m, n, sum + c * VF_N, ask_rows(next, b->Skv, kc / 2), x, y, stride, kc);
    }
}

/* ---- A block of keys ---- */

/* to: [key / 32][D][32], of rows [lo, hi) of k, S apart; what shares a vector with them is 0. */
static void turn_keys(float *to, const float *k, int64_t S, int64_t lo, int64_t hi, int64_t D) {
    for (int64_t j = lo / VF_N * VF_N; j < hi; j += VF_N)
        for (int64_t d = 0; d < D; d += VF_N)
            vf_transpose(to + (j / VLM_PANEL * D + d) * VLM_PANEL + j % VLM_PANEL, VLM_PANEL, k + j * S + d, S, lo - j, hi - j, D - d);
}
static void widen(vlm_dtype t, float *to, const void *from, int64_t at, int64_t n) {           /* n: whole panel rows */
    for (int64_t i = at; i < at + n; i += VF_N) vf_store(to + i, kv_vector(t, from, i));
}
/* Keys and values of the block at kb, for a task of M rows that sees positions [lo, end). */
static kv take_block(const attention *a, const task *t, int64_t kb, int64_t lo, int64_t end, int64_t M, attention_scratch *z) {
    int64_t D = a->D, g = t->h / (a->H / a->G), hi = least(end, kb + KB);
    lo = most(lo, kb);
    lo -= kb, hi -= kb;
    if (t->s->layout == VLM_PANELS) {
        vlm_dtype type = t->s->dtype;
        int64_t at = vlm_kv_chunk_at(type, kb, t->s->ring, a->G, g, D), scales = vlm_kv_scale_at(0, D);
        const char *k = (const char *)t->s->k + at, *v = (const char *)t->s->v + at;
        kv b = { .k = k, .v = v, .t = type, .direct = M <= DIRECT };
        if (type == VLM_I8) b.ks = (const float *)(const void *)(k + scales), b.vs = (const float *)(const void *)(v + scales);
        if (type == VLM_F32 || b.direct) return b;
        int64_t first = lo / VLM_PANEL * VLM_PANEL, end = cdiv(hi, VLM_PANEL) * VLM_PANEL;
        widen(type, z->k, k, first * D, (end - first) * D);
        for (int64_t d = 0; d < D; d += VLM_PANEL) widen(type, z->v, v, d * KB + lo * VLM_PANEL, (hi - lo) * VLM_PANEL);
        return (kv){ .k = z->k, .v = z->v, .ks = b.ks, .vs = b.vs, .t = VLM_F32 };
    }
    const float *k = (const float *)t->s->k + kb * a->Skv + g * D, *v = (const float *)t->s->v + kb * a->Skv + g * D;
    turn_keys(z->k, k, a->Skv, lo, hi, D);
    for (int64_t j = lo; j < hi; j++)
        for (int64_t d = 0; d < D; d += VF_N)
            vf_store(z->v + (d / VLM_PANEL * KB + j) * VLM_PANEL + d % VLM_PANEL, vf_load_n(v + j * a->Skv + d, D - d));
    int64_t behind = least(end - kb - KB, KB), ask = D <= 128 && behind > 0 ? D : 0;   /* wider ones would push the task's own out of L2 */
    uintptr_t next = (uintptr_t)(KB * a->Skv) * 4;             /* bytes */
    return (kv){ .k = z->k, .v = z->v, .t = VLM_F32, .keys = { (uintptr_t)k + next, ask, behind, 0, 0 },
                 .values = { (uintptr_t)v + next, ask, behind, 0, 0 }, .Skv = a->Skv };
}

/* The largest score of a row that sees columns [lo, hi) of the block. */
static float top_of(float *p, const float *ks, int64_t lo, int64_t hi) {
    vw none = vw_set(-INFINITY), t0 = none, t1 = none, t2 = none, t3 = none;
    for (int64_t c = lo / 64 * 64; c < hi; c += 64) {
        if (ks) for (int64_t e = c; e < c + 64; e += 16) vw_store(p + e, VW2(vf_mul, vw_load(p + e), vw_load(ks + e)));
#define TOP(g)  t##g = VW2(vf_max, t##g, vw_load(p + c + g * 16));
#define SOME(g) if (c + g * 16 < hi) t##g = VW2(vf_max, t##g, vw_within(vw_load(p + c + g * 16), lo - c - g * 16, hi - c - g * 16, none));
        if (lo <= c && c + 64 <= hi) { EACH4(TOP) } else { EACH4(SOME) }
#undef TOP
#undef SOME
    }
    return vw_top(VW2(vf_max, VW2(vf_max, t0, t1), VW2(vf_max, t2, t3)));
}
/* Its scores become p = 2^(score - m), 0 where it does not see; returns their sum. Then p times the values' scales. [from, to): columns
   that a row of the tile sees. */
static float powers_of(float *p, const float *vs, float m, int64_t lo, int64_t hi, int64_t from, int64_t to) {
    vw top = vw_set(m), zero = vw_set(0), s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    for (int64_t c = from / 64 * 64; c < to; c += 64) {
#define POWER(g) vw e##g = VW1(vf_exp2, VW2(vf_sub, vw_load(p + c + g * 16), top));
#define ADD(g)   s##g = VW2(vf_add, s##g, e##g);
#define TIMES(g) e##g = VW2(vf_mul, e##g, vw_load(vs + c + g * 16));
#define PUT(g)   vw_store(p + c + g * 16, e##g);
#define SEEN(x)  vw_within(x, at, end, zero)
#define SOME(g)  if (c + g * 16 < to) { \
        int64_t at = lo - c - g * 16, end = hi - c - g * 16; \
        POWER(g) e##g = SEEN(e##g); ADD(g) if (vs) e##g = VW2(vf_mul, e##g, SEEN(vw_load(vs + c + g * 16))); PUT(g) }
        if (lo <= c && c + 64 <= hi) {
            EACH4(POWER) EACH4(ADD)
            if (vs) { EACH4(TIMES) }
            EACH4(PUT)
        } else { EACH4(SOME) }
#undef SEEN
#undef POWER
#undef SOME
#undef ADD
#undef TIMES
#undef PUT
    }
    return vw_sum(VW2(vf_add, VW2(vf_add, s0, s1), VW2(vf_add, s2, s3)));
}
static bool finite_row(const float *o, int64_t n) {
    vf bad = vf_set(0);
    float each[VF_N];
    for (int64_t d = 0; d < n; d += VF_N) bad = vf_fma(vf_load(o + d), vf_set(0), bad);
    vf_store(each, bad);
    for (int i = 0; i < VF_N; i++) if (each[i] != 0) return false;
    return true;
}

/* Rows of the task that see a key of the block at kb: [*from, *to), heads of a row being neighbours. */
static void rows_that_see(const attention *a, const task *t, int64_t kb, int64_t *from, int64_t *to) {
    int64_t end = t->i + t->rows, i0 = a->causal ? most(t->i, kb - t->s->pos) : t->i;
    int64_t i1 = a->window ? least(end, kb + KB + a->window - 1 - t->s->pos) : end;
    *from = (i0 - t->i) * t->heads, *to = most(i0, i1) * t->heads - t->i * t->heads;
}
/* Rows [j, j + rows) of a task, at most RT, which all see a key of the block: pm, pl and part. */
static void block_rows(const attention *a, const task *t, int64_t kb, kv *b, int64_t j, int64_t rows, attention_scratch *z) {
    int64_t D = a->D, vectors = cdiv(D, VF_N), first[RT], last[RT], from[TILES], to[TILES], c0 = KB, c1 = 0, n = cdiv(rows, MR);
    for (int64_t i = 0, row = t->i + j / t->heads, h = j % t->heads; i < rows; i++) {
        if (h++ == t->heads) row++, h = 1;
        first[i] = most(sees_from(a, t->s, row) - kb, 0), last[i] = least(sees_to(a, t->s, row) - kb, KB);
    }
    for (int64_t u = 0; u < n; u++) {                  /* later rows see later keys */
        from[u] = first[u * MR], to[u] = last[least(rows, (u + 1) * MR) - 1];
        c0 = least(c0, from[u] / VF_N), c1 = most(c1, cdiv(to[u], VF_N));
    }
    for (int64_t c = c0, step; c < c1; c += step) {
        step = n > 1 ? 2 - c % 2 : c1 - c;
        for (int64_t u = 0; u < n; u++)
            all_dots(b, least(MR, rows - u * MR), most(c, from[u] / VF_N), least(c + step, cdiv(to[u], VF_N)),
                     z->p + u * MR * LD, z->q + (j + u * MR) * LD, b->k, D * VLM_PANEL, D);
    }
    for (int64_t i = 0; i < rows; i++) z->pm[i] = top_of(z->p + i * LD, b->ks, first[i], last[i]);
    for (int64_t i = 0; i < rows; i++)
        z->pl[i] = powers_of(z->p + i * LD, b->vs, z->pm[i], first[i], last[i], from[i / MR], to[i / MR]);
    int64_t bytes = kv_bytes(b->t);
    for (int64_t c = 0, step; c < vectors; c += step) {
        step = n > 1 ? 2 : vectors;
        for (int64_t u = 0; u < n; u++)
            all_dots(b, least(MR, rows - u * MR), c, least(c + step, vectors), z->part + u * MR * LD,
                     z->p + u * MR * LD + from[u], (const char *)b->v + from[u] * VLM_PANEL * bytes, KB * VLM_PANEL, to[u] - from[u]);
    }
    for (int64_t i = 0; i < rows; i++) {
        if ((first[i] > from[i / MR] || last[i] < to[i / MR]) && !finite_row(z->part + i * LD, vectors * VF_N))
            all_dots(b, 1, 0, vectors, z->part + i * LD, z->p + i * LD + first[i],
                     (const char *)b->v + first[i] * VLM_PANEL * bytes, KB * VLM_PANEL, last[i] - first[i]);
    }
}
/* Joins the block's part (pm, pl, part) of some rows to what they have (m, l, o). */
static void join(float *m, float *l, float *o, int64_t Dp, const float *pm, const float *pl, const float *part, int64_t part_step,
                 int64_t rows, int64_t D) {
    for (int64_t r = 0; r < rows; r += 16) {
        int64_t n = least(16, rows - r);
        float f[16], g[16];
        vw was = vw_load_n(m + r, n), is = vw_load_n(pm + r, n), top = VW2(vf_max, was, is);
        vw x = VW1(vf_exp2, VW2(vf_sub, was, top)), y = VW1(vf_exp2, VW2(vf_sub, is, top));
        vw_store(f, x);
        vw_store(g, y);
        vw_store_n(m + r, top, n);
        vw_store_n(l + r, VW3(vf_fma, vw_load_n(pl + r, n), y, VW2(vf_mul, vw_load_n(l + r, n), x)), n);
        for (int64_t i = 0; i < n; i++)
            for (int64_t d = 0; d < D; d += VF_N) {
                float *to = o + (r + i) * Dp + d;
                vf_store(to, vf_fma(vf_load(part + (r + i) * part_step + d), vf_set(g[i]), vf_mul(vf_load(to), vf_set(f[i]))));
            }
    }
}

/* ---- Tasks ---- */

static void take_queries(const attention *a, const task *t, attention_scratch *z) {
    vf scale = vf_set(a->scale * 1.44269504f);
    const float *first = a->q + (t->s->row + t->i) * a->S + t->h * a->D;
    float *to = z->q;
    for (int64_t i = 0; i < t->rows; i++) {                    /* heads of a row are neighbours */
        const float *q = first + i * a->S, *next = q + least(SOON, t->rows - 1 - i) * a->S;
        for (int64_t d = 0; d < t->heads * a->D; d += 16) vf_prefetch(next + d);
        for (int64_t h = 0; h < t->heads; h++, to += LD)
            for (int64_t d = 0; d < a->D; d += VF_N) vf_store(to + d, vf_mul(vf_load_n(q + h * a->D + d, a->D - d), scale));
    }
}
/* Rows from j on that one of the joined (m, l, o) has: the answer. */
static void put_row(const attention *a, const task *t, int64_t j, float m, float l, const float *o, bool sees) {
    int64_t row = t->s->row + t->i + j / t->heads, h = t->h + j % t->heads;
    float *out = a->out + (row * a->H + h) * a->D;
    for (int64_t d = 0; d < a->D; d += VF_N)                   /* 0 of a query that sees no key; -0 becomes 0 */
        vf_store_n(out + d, sees ? vf_add(vf_div(vf_load(o + d), vf_set(l)), vf_set(0)) : vf_set(0), a->D - d);
    if (a->lse) a->lse[row * a->H + h] = sees ? __builtin_fmaf(m, 0.693147181f, f1_log(l)) : -INFINITY;
}
static void run_task(const attention *a, const task *t, attention_scratch *z) {
    int64_t D = a->D, Dp = cdiv(D, VLM_PANEL) * VLM_PANEL, M = t->rows * t->heads;
    int64_t lo = sees_from(a, t->s, t->i), hi = sees_to(a, t->s, t->i + t->rows - 1);
    take_queries(a, t, z);
    for (int64_t j = 0; j < M; j++) z->m[j] = -INFINITY, z->l[j] = 0;
    memset(z->o, 0, (size_t)(M * Dp) * sizeof(float));
    for (int64_t kb = lo / KB * KB, j, end; kb < hi; kb += KB) {
        kv b = take_block(a, t, kb, lo, hi, M, z);
        for (rows_that_see(a, t, kb, &j, &end); j < end; j += RT) {
            int64_t rows = least(RT, end - j);
            block_rows(a, t, kb, &b, j, rows, z);
            join(z->m + j, z->l + j, z->o + j * Dp, Dp, z->pm, z->pl, z->part, LD, rows, D);
        }
    }
    for (int64_t j = 0; j < M; j++) put_row(a, t, j, z->m[j], z->l[j], z->o + j * Dp, lo < hi);
}

/* Rows of a span in a task: equal blocks, whole tiles. */
static int64_t task_rows(const attention *a, const vlm_span *s) {
    int64_t most_rows = most(1, a->M / a->heads), rows = cdiv(s->rows, cdiv(s->rows, most_rows)), whole = MR;
    for (int64_t h = a->heads; h > 1; h--) if (a->heads % h == 0 && whole % h == 0) { whole /= h; break; }
    return least(most_rows, cdiv(rows, whole) * whole);
}
/* Task number n, or how many there are. Of a span the last rows, which see most, come first; the heads are innermost. */
static int64_t find(const attention *a, int64_t n, task *t) {
    int64_t at = 0, group = a->H / a->G, groups = cdiv(group, a->heads) * a->G;
    for (const vlm_span *s = a->spans; s < a->spans + a->nspans; s++) {
        if (s->rows <= 0) continue;
        int64_t step = task_rows(a, s), blocks = cdiv(s->rows, step);
        if (t && n < at + blocks * groups) {
            int64_t i = (blocks - 1 - (n - at) / groups) * step, h = (n - at) % groups, each = cdiv(group, a->heads);
            int64_t from = h % each * a->heads;
            *t = (task){ s, i, least(step, s->rows - i), h / each * group + from, least(a->heads, group - from) };
            return n;
        }
        at += blocks * groups;
    }
    return at;
}
static void rows_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    attention *a = arg;
    task t;
    (void)lo, (void)hi;                                        /* costs differ and threads are disturbed: who is free takes the next */
    for (int64_t n; (n = atomic_fetch_add(&a->next, 1)) < a->tasks; run_task(a, &t, scratch)) find(a, n, &t);
}

/* ---- Few queries: a task is one block of keys for the rows of a span and a group of heads ---- */

/* Task number n and its block, or how many there are: as a cache lies in memory. */
static int64_t find_block(const attention *a, int64_t n, task *t, int64_t *kb) {
    int64_t at = 0, group = a->H / a->G;
    for (const vlm_span *s = a->spans; s < a->spans + a->nspans; s++) {
        int64_t first = sees_from(a, s, 0) / KB, blocks = s->rows > 0 ? most(0, cdiv(sees_to(a, s, s->rows - 1), KB) - first) : 0;
        if (t && n < at + blocks * a->G) {
            *t = (task){ s, 0, s->rows, (n - at) % a->G * group, group };
            *kb = (first + (n - at) / a->G) * KB;
            return n;
        }
        at += blocks * a->G;
    }
    return at;
}
static int64_t part_floats(const attention *a) { return a->M * (cdiv(a->D, VLM_PANEL) * VLM_PANEL + 2); }
static void blocks_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    attention *a = arg;
    attention_scratch *z = scratch;
    int64_t Dp = cdiv(a->D, VLM_PANEL) * VLM_PANEL, kb, j, end, i = atomic_fetch_add(&a->parts, 1);
    task t, last = { 0 };
    a->from[i] = lo, a->held[i] = z;
    for (int64_t n = lo; n < hi; n++, last = t) {
        find_block(a, n, &t, &kb);
        if (n == lo || t.s != last.s || t.h != last.h) take_queries(a, &t, z);
        kv b = take_block(a, &t, kb, sees_from(a, t.s, 0), sees_to(a, t.s, t.rows - 1), t.rows * t.heads, z);
        rows_that_see(a, &t, kb, &j, &end);
        block_rows(a, &t, kb, &b, j, end - j, z);
        float *to = z->o + (n - lo) * part_floats(a);
        memcpy(to + j, z->pm, (size_t)(end - j) * sizeof(float));
        memcpy(to + a->M + j, z->pl, (size_t)(end - j) * sizeof(float));
        for (int64_t r = j; r < end; r++) memcpy(to + 2 * a->M + r * Dp, z->part + (r - j) * LD, (size_t)Dp * sizeof(float));
    }
}
static const float *part_of(const attention *a, int64_t n) {
    int who = 0;
    for (int i = 1; i < a->parts; i++) if (a->from[i] <= n && (a->from[who] > n || a->from[i] > a->from[who])) who = i;
    return a->held[who]->o + (n - a->from[who]) * part_floats(a);
}
/* The rows of spans and key heads [lo, hi). */
static void join_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const attention *a = arg;
    attention_scratch *z = scratch;
    int64_t Dp = cdiv(a->D, VLM_PANEL) * VLM_PANEL, group = a->H / a->G, unit = 0, j, end;
    float *o = z->q;                                           /* o holds parts */
    for (int64_t n = 0; n < hi; n++) {                         /* unit: the first task of the span */
        const vlm_span *s = a->spans + n / a->G;
        task t = { s, 0, s->rows, n % a->G * group, group };
        int64_t from = s->rows > 0 ? sees_from(a, s, 0) : 0, to = s->rows > 0 ? sees_to(a, s, s->rows - 1) : 0, M = s->rows * group;
        int64_t blocks = most(0, cdiv(to, KB) - from / KB);
        for (int64_t r = 0; r < M && n >= lo; r++) z->m[r] = -INFINITY, z->l[r] = 0;
        if (n >= lo) memset(o, 0, (size_t)(M * Dp) * sizeof(float));
        for (int64_t i = 0; i < blocks && n >= lo; i++) {
            const float *part = part_of(a, unit + i * a->G + n % a->G);
            rows_that_see(a, &t, (from / KB + i) * KB, &j, &end);
            join(z->m + j, z->l + j, o + j * Dp, Dp, part + j, part + a->M + j, part + 2 * a->M + j * Dp, Dp, end - j, a->D);
        }
        for (int64_t r = 0; r < M && n >= lo; r++) put_row(a, &t, r, z->m[r], z->l[r], o + r * Dp, from < to);
        if (n % a->G == a->G - 1) unit += blocks * a->G;
    }
}

static void attention_forward(vlm_ctx *ctx, act *out, real *lse, const act *q, const vlm_span *spans, int64_t nspans, int64_t H, int64_t G,
                              int64_t D, int64_t S, int64_t Skv, int causal, int64_t window, float scale) {
    assert(D >= 1 && D <= DMAX && H % G == 0 && ctx->scratch_bytes >= sizeof(attention_scratch));
    attention a;
    a.out = out, a.lse = lse, a.q = q, a.spans = spans, a.nspans = nspans, a.H = H, a.G = G, a.D = D, a.S = S, a.Skv = Skv;
    a.window = causal && window > 0 ? window : 0, a.causal = causal, a.scale = scale;
    atomic_init(&a.next, 0);
    atomic_init(&a.parts, 0);
    double work = 0;
    int64_t rows = 0, group = H / G;
    for (const vlm_span *s = spans; s < spans + nspans; s++) {
        if (s->rows <= 0) continue;
        rows = most(rows, s->rows);
        work += (double)(s->rows * H * D) * (double)(sees_to(&a, s, s->rows - 1) - sees_from(&a, s, 0));
    }
    a.M = rows * group;
    int64_t threads = ctx->threads, units = rows > 0 && a.M <= RT ? find_block(&a, 0, NULL, NULL) : 0;
    bool idle = threads > 1 && nspans * G < 4 * threads && units > nspans * G;
    int64_t grain = ctx->eager ? 1 : 1 + (int64_t)(8192 * (double)units / (work + 1)), parts = most(1, least(threads, units / grain));
    if (units > 0 && (idle || a.M <= DIRECT) && cdiv(units, parts) * part_floats(&a) <= MD) {
        vlm_parallel(ctx, units, grain, blocks_part, &a);
        vlm_parallel(ctx, nspans * G, 1 + 65536 * G / (1 + units * a.M * D), join_part, &a);
        return;
    }
    a.M = least(MQ, MD / 2 / (cdiv(D, VLM_PANEL) * VLM_PANEL));        /* queries, answers and a block stay in L2 */
    a.heads = least(group, 4 * MR);
    for (;; a.M /= 2) {                                        /* rather take keys twice than leave threads idle */
        a.tasks = find(&a, 0, NULL);
        if (a.M <= 4 * MR || 10 * a.tasks >= 9 * threads * cdiv(a.tasks, threads)) break;
    }
    vlm_parallel(ctx, a.tasks, 1 + (int64_t)(65536 * (double)a.tasks / (work + 1)), rows_part, &a);
}

/* ---- A cache ---- */

typedef struct store { char *to; const float *x; int64_t at, ring, R, G, D, S; vlm_dtype t; bool values; } store;
enum { TURN = VF_N * VF_N };
/* n vectors of x become elements of the type, at e. */
INLINE void put_vector(vlm_dtype t, void *to, int64_t e, vf x) {
    if (t == VLM_F32)      vf_store((float *)to + e, x);
    else if (t == VLM_F16) vf_store_f16((uint16_t *)to + e, x);
    else                   vi_store_bytes((int8_t *)to + e, vf_int(x));
}
/* 127 / max |x| of a row, or 0; *scale: max |x| / 127, or NaN. */
static float byte_scale(const float *x, int64_t D, float *scale) {
    vw top = vw_set(0), bad = top;
    for (int64_t d = 0; d < D; d += 16) {
        vw v = vw_load_n(x + d, D - d);
        top = VW2(vf_max, top, VW1(vf_abs, v));
        bad = VW3(vf_fma, v, vw_set(0), bad);
    }
    float m = vw_top(top), times = 127.0f / m;
    bool finite = vw_sum(bad) == 0;
    *scale = finite ? m / 127.0f : NAN;
    return finite && m > 0 && times < INFINITY ? times : 0;
}
/* One row, element by element: they are far apart. */
INLINE void put_key_as(vlm_dtype t, char *chunk, int64_t p, const float *x, int64_t D) {
    char row[DMAX * sizeof(float)];
    int64_t bytes = kv_bytes(t);
    for (int64_t d = 0; d < D; d += VF_N) put_vector(t, row, d, vf_load_n(x + d, D - d));
    for (int64_t d = 0; d < D; d++) memcpy(chunk + vlm_kv_key_at(p, d, D) * bytes, row + d * bytes, (size_t)bytes);
}
static void put_key(vlm_dtype t, char *chunk, int64_t p, const float *x, int64_t D) {
    if (t == VLM_F32)      put_key_as(VLM_F32, chunk, p, x, D);
    else if (t == VLM_F16) put_key_as(VLM_F16, chunk, p, x, D);
    else                   put_key_as(VLM_I8, chunk, p, x, D);
}
/* Rows [r, r + n) of x for key head g: positions of one panel. */
static void store_panel(const store *s, int64_t r, int64_t n, int64_t g) {
    int64_t p = s->at + r, D = s->D, bytes = kv_bytes(s->t);
    char *chunk = s->to + vlm_kv_chunk_at(s->t, p, s->ring, s->G, g, D);
    float rows[VLM_PANEL * DMAX], turned[TURN], times[VLM_PANEL];      /* of I8: x times `times` */
    const float *x = s->x + r * s->S + g * D;
    int64_t S = s->S;
    if (s->t == VLM_I8) {
        for (int64_t i = 0; i < n; i++) {
            float scale;
            times[i] = byte_scale(x + i * S, D, &scale);
            memcpy(chunk + vlm_kv_scale_at(p + i, D), &scale, sizeof scale);
            for (int64_t d = 0; d < D; d += VF_N) {
                vf v = times[i] > 0 ? vf_mul(vf_load_n(x + i * S + d, D - d), vf_set(times[i])) : vf_set(0);
                vf_store_n(rows + i * DMAX + d, v, D - d);
            }
        }
        x = rows, S = DMAX;
    }
    if (s->values) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t d = 0; d < D; d += VF_N) put_vector(s->t, chunk, vlm_kv_value_at(p + i, d), vf_load_n(x + i * S + d, D - d));
        return;
    }
    if (n == 1) { put_key(s->t, chunk, p, x, D); return; }
    int64_t p0 = p % VLM_PANEL;                                /* vectors of positions begin at multiples of VF_N */
    for (int64_t c = p0 / VF_N * VF_N; c < p0 + n; c += VF_N)
        for (int64_t d = 0; d < D; d += VF_N) {
            int64_t lo = most(p0, c) - c, hi = least(p0 + n, c + VF_N) - c, left = least(VF_N, D - d);
            vf_transpose(turned, VF_N, x + (c + lo - p0) * S + d, S, 0, hi - lo, D - d);
            for (int64_t i = 0; i < left; i++) {
                int64_t e = vlm_kv_key_at(p - p0 + c, d + i, D);
                char part[VF_N * sizeof(float)];
                if (hi - lo == VF_N) { put_vector(s->t, chunk, e, vf_load(turned + i * VF_N)); continue; }
                put_vector(s->t, part, 0, vf_load(turned + i * VF_N));
                memcpy(chunk + (e + lo) * bytes, part, (size_t)((hi - lo) * bytes));
            }
        }
}
static void store_part(void *arg, int64_t lo, int64_t hi, void *scratch) {     /* panels of positions */
    const store *s = arg;
    (void)scratch;
    for (int64_t i = lo; i < hi; i++) {
        int64_t first = s->at / VLM_PANEL * VLM_PANEL + i * VLM_PANEL, r = most(first - s->at, 0);
        for (int64_t g = 0; g < s->G; g++) store_panel(s, r, least(s->R, first + VLM_PANEL - s->at) - r, g);
    }
}
static void kv_store(vlm_ctx *ctx, void *to, vlm_dtype t, int values, const act *x, int64_t at, int64_t ring, int64_t R, int64_t G,
                     int64_t D, int64_t S) {
    assert(D >= 1 && D <= DMAX && (t == VLM_F32 || t == VLM_F16 || t == VLM_I8));
    store s = { to, x, at, ring, R, G, D, S, t, values != 0 };
    if (R > 0) vlm_parallel(ctx, (at + R - 1) / VLM_PANEL - at / VLM_PANEL + 1, 1 + 1024 / (G * D), store_part, &s);
}

/* Backward. A task is a block of keys of one key head of a span: no other adds to its dk and dv. With it go the query heads, and the rows
   of a head that see the block, in blocks, always in this order; dq of a block of rows waits for the block of keys before (`done`), so
   that it too is added up in order. A thread takes a key head of a span and goes through its tasks, for rows and dq then stay near; when
   there is no other it helps with the tasks of one that is under way, a block of rows behind. Whoever is waited for has begun.
   Rows that share a tile (GROUP) share the keys that any of them sees; to a row that does not see one, p and ds are 0, and 0 times a finite
   number changes no sum. */
enum {
    GROUP = 12,                        /* rows, whatever MR is: the same products under every ISA */
    BQ = 96,                           /* query rows in a block */
    BK = 128,                          /* keys in a block */
    HALF = 128,                        /* where dout' lies beside q' */
    PENDING = 2048                     /* tasks that are under way at once */
};
typedef struct grad_scratch {
    float q[BQ * LD], dout[BQ * LD], ds[BQ * LD];      /* by rows: scale log2 e q, scale dout, over d; ds, over keys */
    float turned[DMAX * LD];           /* by d: q' over rows, and from HALF on dout' */
    float kt[BK * DMAX], vt[BK * DMAX];                /* [key / 32][D][32] */
    float k[BK * DMAX];                /* [d / 32][BK][32] */
    float dk[BK * DMAX], dv[BK * DMAX];                /* sums so far: [key / 32][D][32] */
    float p[BK * BQ], dp[BK * BQ];     /* scores, then p; dp, then ds: [key / 32][row][32] */
    float edge[MR * STRIP];            /* of dq, where a strip goes beyond D */
    float lse[BQ], delta[BQ], zero[STRIP];             /* log2 e lse, scale δ */
} grad_scratch;
_Static_assert(sizeof(grad_scratch) <= VLM_SCRATCH_BYTES && HALF >= BQ && HALF + BQ <= LD && (int)BQ % GROUP == 0 && GROUP % MR == 0 &&
               (int)BK <= (int)KC, "scratch of attention_backward");

typedef struct grad {
    attention a;                       /* what it sees */
    float *dq, *dk, *dv;
    const float *dout, *out, *k, *v, *lse;
    int64_t blocks;                    /* in a task */
    const vlm_span *spans, *end;       /* those whose tasks are under way */
    int64_t heads, tasks;              /* of them all */
    _Atomic int64_t next, taken[PENDING];              /* the key head that nobody has taken yet; of each, the task */
    _Atomic int64_t done[PENDING];     /* of each task: heads · rows + rows of the next head */
} grad;

/* Rows [i, i + m) of query head h, and δ = Σ dout out. */
static void take_rows(const grad *l, const vlm_span *s, int64_t h, int64_t i, int64_t m, grad_scratch *z) {
    const attention *a = &l->a;
    for (int64_t r = 0; r < m; r++) {
        int64_t row = s->row + i + r, at = (row * a->H + h) * a->D;
        vw sum = vw_set(0), scale = vw_set(a->scale), scale2 = vw_set(a->scale * 1.44269504f);
        for (int64_t d = 0; d < a->D; d += 16) {
            vw x = vw_load_n(l->dout + at + d, a->D - d);
            vw_store(z->dout + r * LD + d, VW2(vf_mul, x, scale));
            vw_store(z->q + r * LD + d, VW2(vf_mul, vw_load_n(a->q + row * a->S + h * a->D + d, a->D - d), scale2));
            sum = VW3(vf_fma, x, vw_load_n(l->out + at + d, a->D - d), sum);
        }
        z->delta[r] = a->scale * vw_sum(sum);
        z->lse[r] = 1.44269504f * l->lse[row * a->H + h];
    }
    const float *q = a->q + (s->row + i) * a->S + h * a->D, *dout = l->dout + ((s->row + i) * a->H + h) * a->D;
    for (int64_t r = 0; r < m; r += VF_N)
        for (int64_t d = 0; d < a->D; d += VF_N) {
            vf_transpose(z->turned + d * LD + r, LD, q + r * a->S + d, a->S, 0, m - r, a->D - d);
            vf_transpose(z->turned + d * LD + r + HALF, LD, dout + r * a->H * a->D + d, a->H * a->D, 0, m - r, a->D - d);
        }
}
/* Row j of the block sees columns [first, last): its scores become p, dp becomes ds, over the panels that [from, to) touches. */
INLINE void row_grad(grad_scratch *z, int64_t j, bool whole, int64_t first, int64_t last, int64_t from, int64_t to) {
    vw lse = vw_set(z->lse[j]), delta = vw_set(z->delta[j]), zero = vw_set(0);
    bool none = z->lse[j] == -INFINITY;                        /* no key: every p is 0 */
    for (int64_t c = from / VLM_PANEL * VLM_PANEL; c < cdiv(to, VLM_PANEL) * VLM_PANEL; c += 16) {
        int64_t at = (c / VLM_PANEL * BQ + j) * VLM_PANEL + c % VLM_PANEL;
        vw p = none ? zero : VW1(vf_exp2, VW2(vf_sub, vw_load(z->p + at), lse));
        vw ds = VW2(vf_mul, p, VW2(vf_sub, vw_load(z->dp + at), delta));
        if (!whole) p = vw_within(p, first - c, last - c, zero), ds = vw_within(ds, first - c, last - c, zero);
        vw_store(z->p + at, p);
        vw_store(z->dp + at, ds);
        vw_store(z->ds + j * LD + c, ds);
    }
}
/* Rows [j, j + m) of the block, which are i.. of the span, and keys [from, to) of the block at kb. */
static void tile_grad(const grad *l, const vlm_span *s, int64_t h, int64_t i, int64_t j, int64_t m, int64_t kb, int64_t from, int64_t to,
                      grad_scratch *z) {
    const attention *a = &l->a;
    int64_t D = a->D;
    for (int64_t c = from / STRIP * STRIP; c < to; c += STRIP) {
        int64_t at = (c / VLM_PANEL * BQ + j) * VLM_PANEL + c % VLM_PANEL, w = c / VLM_PANEL * D * VLM_PANEL + c % VLM_PANEL;
        float *p = z->p + at, *dp = z->dp + at;
        tile_any(VLM_F32, (int)m, 1, &(sums){ p, 0, VLM_PANEL, z->zero, 0, 0 }, z->q + j * LD, (const void *[]){ z->kt + w }, D);
        tile_any(VLM_F32, (int)m, 1, &(sums){ dp, 0, VLM_PANEL, z->zero, 0, 0 }, z->dout + j * LD, (const void *[]){ z->vt + w }, D);
    }
    for (int64_t r = 0; r < m; r++) {
        int64_t first = most(sees_from(a, s, i + j + r) - kb, 0), last = sees_to(a, s, i + j + r) - kb;
        bool whole = first <= from / VLM_PANEL * VLM_PANEL && last >= cdiv(to, VLM_PANEL) * VLM_PANEL;
        if (whole) row_grad(z, j + r, true, 0, 0, from, to);
        else       row_grad(z, j + r, false, first, last, from, to);
    }
    for (int64_t d = 0; d < D; d += STRIP) {
        float *dq = l->dq + (s->row + i + j) * a->S + h * D + d;
        sums sum = { dq, 0, a->S, dq, 0, a->S };
        int64_t n = D - d;
        if (n < STRIP) {
            for (int64_t r = 0; r < m; r++) {
                vf_store(z->edge + r * STRIP, vf_load_n(dq + r * a->S, n));
                if (n > VF_N) vf_store(z->edge + r * STRIP + VF_N, vf_load_n(dq + r * a->S + VF_N, n - VF_N));
            }
            sum = (sums){ z->edge, 0, STRIP, z->edge, 0, STRIP };
        }
        tile_any(VLM_F32, (int)m, 1, &sum, z->ds + j * LD + from,
                 (const void *[]){ z->k + (d / VLM_PANEL * BK + from) * VLM_PANEL + d % VLM_PANEL }, to - from);
        for (int64_t r = 0; r < m && n < STRIP; r++) {
            vf_store_n(dq + r * a->S, vf_load(z->edge + r * STRIP), n);
            if (n > VF_N) vf_store_n(dq + r * a->S + VF_N, vf_load(z->edge + r * STRIP + VF_N), n - VF_N);
        }
    }
}
/* Rows [i, i + m) of query head h with keys [kb, kb + n). */
static void block_grad(const grad *l, const vlm_span *s, int64_t h, int64_t i, int64_t m, int64_t kb, int64_t n, grad_scratch *z) {
    const attention *a = &l->a;
    take_rows(l, s, h, i, m, z);
    for (int64_t j = 0; j < m; j += GROUP) {
        int64_t end = least(j + GROUP, m);
        int64_t from = most(sees_from(a, s, i + j) - kb, 0), to = least(sees_to(a, s, i + end - 1) - kb, n);
        for (int64_t t = j; t < end; t += MR) tile_grad(l, s, h, i, t, least(MR, end - t), kb, from, to, z);
    }
    for (int64_t c = 0; c < n; c += STRIP) {
        int64_t panel = c / VLM_PANEL, at = panel * VLM_PANEL, r0 = 0, r1 = m;         /* rows that see a key of the panel */
        if (a->causal) r0 = most(kb + at - i, 0);
        if (a->window) r1 = least(kb + least(at + VLM_PANEL, n) - 1 + a->window - i, m);
        for (int64_t d = 0; d < a->D && r0 < r1; d += MR) {
            int64_t w = (panel * BQ + r0) * VLM_PANEL + c % VLM_PANEL, to = (panel * a->D + d) * VLM_PANEL + c % VLM_PANEL, N = r1 - r0;
            const float *x = z->turned + d * LD + r0;
            float *dk = z->dk + to, *dv = z->dv + to;
            int rows = (int)least(MR, a->D - d);
            tile_any(VLM_F32, rows, 1, &(sums){ dk, 0, VLM_PANEL, dk, 0, VLM_PANEL }, x, (const void *[]){ z->dp + w }, N);
            tile_any(VLM_F32, rows, 1, &(sums){ dv, 0, VLM_PANEL, dv, 0, VLM_PANEL }, x + HALF, (const void *[]){ z->p + w }, N);
        }
    }
}
/* out: rows of n keys, from [key / 32][D][32]. */
static void put_keys(float *out, int64_t S, const float *in, int64_t n, int64_t D) {
    float t[VF_N * VF_N];
    for (int64_t j = 0; j < n; j += VF_N)
        for (int64_t d = 0; d < D; d += VF_N) {
            vf_transpose(t, VF_N, in + (j / VLM_PANEL * D + d) * VLM_PANEL + j % VLM_PANEL, VLM_PANEL, 0, D - d, VF_N);
            for (int64_t c = 0; c < VF_N && j + c < n; c++) vf_store_n(out + (j + c) * S + d, vf_load(t + c * VF_N), D - d);
        }
}
/* Waits until a task before has got so far. */
static void wait_for(const _Atomic int64_t *done, int64_t far) {
    for (int i = 0; atomic_load_explicit(done, memory_order_acquire) < far; i++) if (i < 1000) vf_pause(); else thrd_yield();
}
/* Keys [kb, kb + n) of key head g with all their rows. before, own: how far the task before has got (NULL: there is none), and this one
   (NULL: it has more blocks to come). */
static void keys_grad(grad *l, const vlm_span *s, int64_t g, int64_t kb, int64_t n, const _Atomic int64_t *before, _Atomic int64_t *own,
                      grad_scratch *z) {
    const attention *a = &l->a;
    int64_t D = a->D, group = a->H / a->G, at = (s->row + kb) * a->S + g * D;
    turn_keys(z->kt, l->k + at, a->S, 0, n, D);
    turn_keys(z->vt, l->v + at, a->S, 0, n, D);
    for (int64_t j = 0; j < n; j++)
        for (int64_t d = 0; d < D; d += VF_N)
            vf_store(z->k + (d / VLM_PANEL * BK + j) * VLM_PANEL + d % VLM_PANEL, vf_load_n(l->k + at + j * a->S + d, D - d));
    memset(z->dk, 0, (size_t)(cdiv(n, VLM_PANEL) * VLM_PANEL * D) * sizeof(float));
    memset(z->dv, 0, (size_t)(cdiv(n, VLM_PANEL) * VLM_PANEL * D) * sizeof(float));
    int64_t i0 = a->causal ? kb : 0, i1 = a->window ? least(s->rows, kb + n - 1 + a->window) : s->rows;
    int64_t step = cdiv(cdiv(i1 - i0, cdiv(i1 - i0, BQ)), GROUP) * GROUP;              /* equal blocks, whole groups */
    for (int64_t h = 0; h < group; h++) {
        for (int64_t i = i0, m; i < i1; i += m) {
            m = least(step, i1 - i);
            if (before) wait_for(before, h * s->rows + i + m);
            block_grad(l, s, g * group + h, i, m, kb, n, z);
            if (own) atomic_store_explicit(own, h * s->rows + i + m, memory_order_release);
        }
        if (own) atomic_store_explicit(own, (h + 1) * s->rows, memory_order_release);  /* rows behind the window: none of its business */
    }
    put_keys(l->dk + at, a->S, z->dk, n, D);
    put_keys(l->dv + at, a->S, z->dv, n, D);
}
/* Tasks of a span for each key head. */
static int64_t chunks(const grad *l, const vlm_span *s) { return cdiv(most(s->rows, 0), BK * l->blocks); }
/* The span and key head that come x-th, and the number of their first task. */
static const vlm_span *find_head(const grad *l, int64_t x, int64_t *g, int64_t *first) {
    const vlm_span *s = l->spans + x / l->a.G;
    int64_t n = 0;
    for (const vlm_span *o = l->spans; o < s; o++) n += chunks(l, o) * l->a.G;
    *g = x % l->a.G, *first = n + *g * chunks(l, s);
    return s;
}
/* The key head with most tasks that nobody has taken, or -1. */
static int64_t head_to_help(const grad *l) {
    int64_t best = -1, left = 0;
    for (int64_t x = 0; x < l->heads; x++) {
        int64_t n = chunks(l, l->spans + x / l->a.G) - atomic_load(&l->taken[x]);
        if (n > left) best = x, left = n;
    }
    return best;
}
static void backward_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    grad *l = arg;
    const attention *a = &l->a;
    grad_scratch *z = scratch;
    int64_t g, first, c, group = a->H / a->G;
    (void)lo, (void)hi;
    memset(z->zero, 0, sizeof z->zero);
    for (int64_t x; (x = atomic_fetch_add(&l->next, 1)) < l->heads || (x = head_to_help(l)) >= 0;) {
        const vlm_span *s = find_head(l, x, &g, &first);
        vlm_span own = { .row = s->row, .rows = s->rows, .keys = s->rows };
        while ((c = atomic_fetch_add(&l->taken[x], 1)) < chunks(l, s)) {
            for (int64_t i = 0; i < s->rows && c == 0; i++)
                memset(l->dq + (s->row + i) * a->S + g * group * a->D, 0, (size_t)(group * a->D) * sizeof(float));
            int64_t end = least(s->rows, (c + 1) * BK * l->blocks);
            for (int64_t kb = c * BK * l->blocks; kb < end; kb += BK)
                keys_grad(l, &own, g, kb, least(BK, end - kb), c ? &l->done[first + c - 1] : NULL,
                          kb + BK < end ? NULL : &l->done[first + c], z);
        }
    }
}
static void attention_backward(vlm_ctx *ctx, act *dq, act *dk, act *dv, const act *dout, const act *out, const real *lse,
                               const act *q, const act *k, const act *v, const vlm_span *spans, int64_t nspans,
                               int64_t H, int64_t G, int64_t D, int64_t S, int causal, int64_t window, float scale) {
    assert(D >= 1 && D <= DMAX && H % G == 0 && G <= PENDING && ctx->scratch_bytes >= sizeof(grad_scratch));
    grad l;
    l.a = (attention){ .q = q, .H = H, .G = G, .D = D, .S = S, .causal = causal,
                         .window = causal && window > 0 ? window : 0, .scale = scale };
    l.dq = dq, l.dk = dk, l.dv = dv, l.dout = dout, l.out = out, l.k = k, l.v = v, l.lse = lse;
    for (l.spans = spans; l.spans < spans + nspans; l.spans = l.end) {         /* as many spans at once as there are places for tasks */
        double work = 0;
        l.blocks = 1, l.heads = l.tasks = 0;
        while (chunks(&l, l.spans) * G > PENDING) l.blocks *= 2;
        for (l.end = l.spans; l.end < spans + nspans && most(1, chunks(&l, l.end)) * G + l.tasks <= PENDING; l.end++) {
            l.heads += G;
            l.tasks += most(1, chunks(&l, l.end)) * G;
            work += (double)(l.end->rows * H * D) * (double)(l.a.window ? least(l.a.window, l.end->rows) : l.end->rows);
        }
        atomic_init(&l.next, 0);
        for (int64_t i = 0; i < l.tasks; i++) atomic_init(&l.done[i], 0), atomic_init(&l.taken[i], 0);
        vlm_parallel(ctx, l.tasks, 1 + (int64_t)(65536 * (double)l.tasks / (work + 1)), backward_part, &l);
    }
}

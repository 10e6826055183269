/* Flash style: a task is a block of query rows of one or more heads that share their key head; it takes the keys block by block.
   A row is worked on only in blocks of which it sees a key, so what a row goes through does not depend on its neighbours.
   Of a block only keys that some row of the task sees are read; to a row that does not see them they weigh 0, and 0 times a
   finite v changes no sum but the sign of a zero, which the last line mends. If v is not finite, rows go one by one, each over
   its own keys. */
enum {
    MQ = 192,                          /* rows (of all heads) in a task */
    KB = VLM_KEY_BLOCK,
    DMAX = 256
};
typedef struct attention_scratch {
    float q[MQ * LD];
    float o[MQ * DMAX];                /* sums so far: [strip of D][row][STRIP] */
    float k[KB * DMAX];                /* [KB / 32][D][32] */
    float v[KB * DMAX];                /* [D / 32][KB][32], zero-padded */
    float s[MR * KB];                  /* scores of a tile: [strip of keys][row][STRIP] */
    float p[MR * LD];
    float m[MQ], l[MQ * 16];           /* running maximum; running sum, in 16 lanes */
    float zero[STRIP];
} attention_scratch;
_Static_assert(sizeof(attention_scratch) <= VLM_SCRATCH_BYTES && (int)KB <= (int)KC && (int)DMAX <= (int)KC && (int)KB == 64,
               "scratch of attention, softmax_whole");

typedef struct attention {
    float *out, *lse;
    const float *q;
    const vlm_span *spans;
    int64_t nspans, H, G, D, S, Skv, window, heads;    /* window: 0 unless causal; heads in a task */
    bool causal;
    float scale;
} attention;
typedef struct task { const vlm_span *s; int64_t i, rows, h, heads; } task;    /* rows i.. of the span, heads h.. */

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
/* Positions [lo, hi) that rows i..j of a span see. */
static int64_t sees_from(const attention *a, const vlm_span *s, int64_t i) { return a->window ? most(0, s->pos + i - a->window + 1) : 0; }
static int64_t sees_to(const attention *a, const vlm_span *s, int64_t j) { return a->causal ? least(s->keys, s->pos + j + 1) : s->keys; }

/* to: [key / 32][D][32], of rows [lo, hi) of k, S apart; what shares a vector with them is 0. */
static void turn_keys(float *to, const float *k, int64_t S, int64_t lo, int64_t hi, int64_t D) {
    for (int64_t j = lo / VF_N * VF_N; j < hi; j += VF_N)
        for (int64_t d = 0; d < D; d += VF_N)
            vf_transpose(to + (j / VLM_PANEL * D + d) * VLM_PANEL + j % VLM_PANEL, VLM_PANEL, k + j * S + d, S, lo - j, hi - j, D - d);
}
/* Keys and values of positions [lo, hi) of the block at kb; end: of all that the task sees. True: the values are finite. */
static bool take_block(const attention *a, const task *t, int64_t kb, int64_t lo, int64_t hi, int64_t end, attention_scratch *z) {
    int64_t D = a->D, row = t->s->ring ? kb % t->s->ring : kb, at = t->h / (a->H / a->G) * D;
    const float *k = t->s->k + row * a->Skv + at, *v = t->s->v + row * a->Skv + at;
    if (hi == kb + KB && hi < end) {                           /* rows are far apart: nothing else would fetch the next block in time */
        int64_t next = (t->s->ring ? hi % t->s->ring : hi) - row;
        for (int64_t j = next; j < next + least(KB, end - hi); j++)
            for (int64_t d = 0; d < D; d += 16) vf_prefetch(k + j * a->Skv + d), vf_prefetch(v + j * a->Skv + d);
    }
    lo -= kb, hi -= kb;
    turn_keys(z->k, k, a->Skv, lo, hi, D);
    vf bad = vf_set(0);
    for (int64_t j = lo; j < hi; j++)
        for (int64_t d = 0; d < D; d += STRIP) {
            float *to = z->v + (d / VLM_PANEL * KB + j) * VLM_PANEL + d % VLM_PANEL;
            vf x = vf_load_n(v + j * a->Skv + d, D - d), y = vf_set(0);
            if (D - d > VF_N) y = vf_load_n(v + j * a->Skv + d + VF_N, D - d - VF_N);
            vf_store(to, x);
            vf_store(to + VF_N, y);
            bad = vf_fma(vf_add(x, y), vf_set(0), bad);                        /* a sum that overflows only takes the slow way */
        }
    float each[VF_N];
    vf_store(each, bad);
    for (int i = 0; i < VF_N; i++) if (each[i] != 0) return false;
    return true;
}

/* If a score of `top` is above those of row j so far, brings l and o, which are in units of e^m, to the new m. Returns m. */
INLINE vw raise_top(const attention *a, attention_scratch *z, int64_t j, vw top) {
    if (vw_any_above(top, vw_set(z->m[j]))) {                  /* otherwise the factor is 1 */
        float m = vw_top(top), f = vf_lane0(vf_exp(vf_set(z->m[j] - m)));
        z->m[j] = m;
        vw_store(z->l + j * 16, VW2(vf_mul, vw_load(z->l + j * 16), vw_set(f)));
        for (int64_t s = 0; s * STRIP < a->D; s++) {
            float *o = z->o + (s * MQ + j) * STRIP;
            vf_store(o, vf_mul(vf_load(o), vf_set(f)));
            vf_store(o + VF_N, vf_mul(vf_load(o + VF_N), vf_set(f)));
        }
    }
    return vw_set(z->m[j]);
}
INLINE vw scores(const attention_scratch *z, int64_t i, int64_t c, vw scale) {
    return VW2(vf_mul, vw_load(z->s + (c / STRIP * MR + i) * STRIP + c % STRIP), scale);
}
/* Scores of row i of a tile, which is row j of the task, become p = e^(s - m). The row sees columns [lo, hi) of the block;
   [from, to) are those of the tile, and where the row does not see them p = 0. */
static void softmax_part(const attention *a, attention_scratch *z, int64_t i, int64_t j, int64_t lo, int64_t hi, int64_t from, int64_t to) {
    vw scale = vw_set(a->scale), none = vw_set(-INFINITY), top = none, sum = vw_set(0);
    float *p = z->p + i * LD;
    for (int64_t c = from / 16 * 16; c < to; c += 16) {
        vw s = vw_within(scores(z, i, c, scale), lo - c, hi - c, none);
        top = VW2(vf_max, top, s);
        vw_store(p + c, s);
    }
    top = raise_top(a, z, j, top);
    for (int64_t c = from / 16 * 16; c < to; c += 16) {
        vw e = VW1(vf_exp, VW2(vf_sub, vw_load(p + c), top));
        sum = VW2(vf_add, sum, e);
        vw_store(p + c, e);
    }
    vw_store(z->l + j * 16, VW2(vf_add, vw_load(z->l + j * 16), sum));
}
/* The same where it sees the whole block. */
static void softmax_whole(const attention *a, attention_scratch *z, int64_t i, int64_t j) {
    vw scale = vw_set(a->scale);
    float *p = z->p + i * LD;
#define SCORES(g) vw s##g = scores(z, i, g * 16, scale);
#define EXP(g)    vw e##g = VW1(vf_exp, VW2(vf_sub, s##g, top)); vw_store(p + g * 16, e##g);
    EACH4(SCORES)
    vw top = raise_top(a, z, j, VW2(vf_max, VW2(vf_max, s0, s1), VW2(vf_max, s2, s3)));
    EACH4(EXP)
    vw_store(z->l + j * 16, VW2(vf_add, vw_load(z->l + j * 16), VW2(vf_add, VW2(vf_add, VW2(vf_add, e0, e1), e2), e3)));
#undef SCORES
#undef EXP
}

/* o of rows j.. of a task += p v over columns [from, to); p lies at row i of the tile. */
static void add_values(const attention *a, attention_scratch *z, int64_t i, int64_t j, int64_t m, int64_t from, int64_t to) {
    for (int64_t s = 0, n, strips = cdiv(a->D, STRIP); s < strips; s += n) {
        n = strips_for(m, strips - s);
        float *o = z->o + (s * MQ + j) * STRIP;
        const void *w[4];
        for (int64_t c = 0; c < n; c++) w[c] = z->v + ((s + c) / SPLIT * KB + from) * VLM_PANEL + (s + c) % SPLIT * STRIP;
        tile_any(VLM_F32, (int)m, (int)n, &(sums){ o, MQ * STRIP, STRIP, o, MQ * STRIP, STRIP }, z->p + i * LD + from, w, to - from);
    }
}

static void run_task(const attention *a, const task *t, attention_scratch *z) {
    const vlm_span *sp = t->s;
    int64_t D = a->D, heads = t->heads, M = t->rows * heads, end = t->i + t->rows;
    int64_t lo = sees_from(a, sp, t->i), hi = sees_to(a, sp, end - 1);
    for (int64_t j = 0; j < M; j++) {                          /* heads of a row are neighbours */
        memcpy(z->q + j * LD, a->q + (sp->row + t->i + j / heads) * a->S + (t->h + j % heads) * D, (size_t)D * sizeof(float));
        z->m[j] = -INFINITY;
        vw_store(z->l + j * 16, vw_set(0));
    }
    for (int64_t s = 0; s * STRIP < D; s++) memset(z->o + s * MQ * STRIP, 0, (size_t)(M * STRIP) * sizeof(float));
    memset(z->zero, 0, sizeof z->zero);
    for (int64_t kb = lo / KB * KB; kb < hi; kb += KB) {
        bool finite = take_block(a, t, kb, most(lo, kb), least(hi, kb + KB), hi, z);
        int64_t i0 = a->causal ? most(t->i, kb - sp->pos) : t->i, i1 = a->window ? least(end, kb + KB + a->window - 1 - sp->pos) : end;
        for (int64_t j = (i0 - t->i) * heads, m; j < (i1 - t->i) * heads; j += m) {
            m = least(MR, (i1 - t->i) * heads - j);
            int64_t from = most(sees_from(a, sp, t->i + j / heads) - kb, 0);
            int64_t to = least(sees_to(a, sp, t->i + (j + m - 1) / heads) - kb, KB);
            for (int64_t s = from / STRIP, n, strips = cdiv(to, STRIP); s < strips; s += n) {
                n = strips_for(m, strips - s);
                const void *w[4];
                for (int64_t c = 0; c < n; c++) w[c] = z->k + (s + c) / SPLIT * D * VLM_PANEL + (s + c) % SPLIT * STRIP;
                tile_any(VLM_F32, (int)m, (int)n, &(sums){ z->s + s * MR * STRIP, MR * STRIP, STRIP, z->zero, 0, 0 }, z->q + j * LD, w, D);
            }
            for (int64_t i = 0; i < m; i++) {
                int64_t row = t->i + (j + i) / heads;
                int64_t first = most(sees_from(a, sp, row) - kb, 0), last = least(sees_to(a, sp, row) - kb, KB);
                if (first == 0 && last == KB) softmax_whole(a, z, i, j + i);
                else                          softmax_part(a, z, i, j + i, first, last, from, to);
                if (!finite) add_values(a, z, i, j + i, 1, first, last);
            }
            if (finite) add_values(a, z, 0, j, m, from, to);
        }
    }
    for (int64_t j = 0; j < M; j++) {
        int64_t row = sp->row + t->i + j / heads, h = t->h + j % heads;
        float *out = a->out + (row * a->H + h) * D, sum = vw_sum(vw_load(z->l + j * 16));
        for (int64_t d = 0; d < D; d += VF_N) {
            vf o = vf_set(0);                                  /* of a query that sees no key */
            const float *from = z->o + (d / STRIP * MQ + j) * STRIP + d % STRIP;
            if (lo < hi) o = vf_add(vf_div(vf_load(from), vf_set(sum)), vf_set(0));      /* -0 becomes 0 */
            vf_store_n(out + d, o, D - d);
        }
        if (a->lse) a->lse[row * a->H + h] = lo < hi ? z->m[j] + f1_log(sum) : -INFINITY;
    }
}

/* Runs the tasks that begin in [lo, hi) of the work, measured in rows times key blocks; returns all of it. */
static int64_t walk(const attention *a, int64_t lo, int64_t hi, attention_scratch *z) {
    int64_t at = 0, group = a->H / a->G, step = most(1, MQ / a->heads);
    for (const vlm_span *s = a->spans; s < a->spans + a->nspans; s++)
        for (int64_t h = 0, n; h < a->H; h += n) {
            n = least(a->heads, group - h % group);
            for (int64_t i = 0; i < s->rows; i += step) {
                task t = { s, i, least(step, s->rows - i), h, n };
                if (at >= lo && at < hi) run_task(a, &t, z);
                int64_t keys = sees_to(a, s, i + t.rows - 1) - sees_from(a, s, i);
                at += (t.rows * n + 8) * (1 + most(keys, 0) / KB);             /* 8: to take a block costs as much as some rows */
            }
        }
    return at;
}
static void attention_part(void *arg, int64_t lo, int64_t hi, void *scratch) { walk(arg, lo, hi, scratch); }
static void attention_forward(vlm_ctx *ctx, act *out, real *lse, const act *q, const vlm_span *spans, int64_t nspans, int64_t H, int64_t G,
                              int64_t D, int64_t S, int64_t Skv, int causal, int64_t window, float scale) {
    assert(D >= 1 && D <= DMAX && H % G == 0 && ctx->scratch_bytes >= sizeof(attention_scratch));
    attention a = { .out = out, .lse = lse, .q = q, .spans = spans, .nspans = nspans, .H = H, .G = G, .D = D, .S = S, .Skv = Skv,
                    .window = causal && window > 0 ? window : 0, .causal = causal, .scale = scale, .heads = least(H / G, MQ) };
    /* few queries: rather take keys twice than leave threads idle */
    for (int64_t rows = 0, i = 0; i < nspans && a.heads > 1; i++) {
        rows += cdiv(spans[i].rows * a.heads, MQ);
        if (i == nspans - 1) while (a.heads > 1 && rows * G * cdiv(H / G, a.heads) < ctx->threads) a.heads = (a.heads + 1) / 2;
    }
    vlm_parallel(ctx, walk(&a, 0, 0, NULL), 1 + 65536 / (KB * D), attention_part, &a);
}

/* Backward. A task is a key head of a span: no other adds to its dk and dv, nor to dq of its query heads. Keys go block by block, and
   with each the query heads, and the rows of a head that see the block, in blocks. Rows that share a tile (GROUP) share the keys that
   any of them sees; to a row that does not see one, p and ds are 0, and 0 times a finite number changes no sum. */
enum {
    GROUP = 12,                        /* rows, whatever MR is: the same products under every ISA */
    BQ = 96,                           /* query rows in a block */
    BK = 128,                          /* keys in a block, if D allows */
    HALF = 128                         /* where dout' lies beside q' */
};
typedef struct grad_scratch {
    float q[BQ * LD], dout[BQ * LD], ds[BQ * LD];      /* by rows: over d, over d, over the keys of the block */
    float turned[DMAX * LD];           /* by d: q' over rows, and from HALF on dout' */
    float kt[KB * DMAX], vt[KB * DMAX];                /* [key / 32][D][32] */
    float k[KB * DMAX];                /* [d / 32][BK][32] */
    float dk[KB * DMAX], dv[KB * DMAX];                /* sums so far: [key / 32][D][32] */
    float p[BK * BQ], dp[BK * BQ];     /* scores, then p; dp, then ds: [key / 32][row][32] */
    float edge[MR * STRIP];            /* of dq, where a strip goes beyond D */
    float lse[BQ], delta[BQ], zero[STRIP];
} grad_scratch;
_Static_assert(sizeof(grad_scratch) <= VLM_SCRATCH_BYTES && HALF >= BQ && HALF + BQ <= LD && (int)BQ % GROUP == 0 && GROUP % MR == 0 &&
               BK * 128 <= KB * DMAX && (int)BK <= (int)KC, "scratch of attention_backward");

typedef struct grad {
    attention a;                       /* what it sees */
    float *dq, *dk, *dv;
    const float *dout, *out, *k, *v, *lse;
    int64_t BK;                        /* keys in a block */
} grad;

/* Rows [i, i + m) of query head h, and δ = Σ dout out. */
static void take_rows(const grad *l, const vlm_span *s, int64_t h, int64_t i, int64_t m, grad_scratch *z) {
    const attention *a = &l->a;
    for (int64_t r = 0; r < m; r++) {
        int64_t row = s->row + i + r, at = (row * a->H + h) * a->D;
        vw sum = vw_set(0);
        memcpy(z->q + r * LD, a->q + row * a->S + h * a->D, (size_t)a->D * sizeof(float));
        for (int64_t d = 0; d < a->D; d += 16) {
            vw x = vw_load_n(l->dout + at + d, a->D - d);
            vw_store(z->dout + r * LD + d, x);
            sum = VW3(vf_fma, x, vw_load_n(l->out + at + d, a->D - d), sum);
        }
        z->delta[r] = vw_sum(sum);
        z->lse[r] = l->lse[row * a->H + h];
        if (z->lse[r] == -INFINITY) z->lse[r] = INFINITY;      /* no key: every p is 0 */
    }
    for (int64_t r = 0; r < m; r += VF_N)
        for (int64_t d = 0; d < a->D; d += VF_N) {
            vf_transpose(z->turned + d * LD + r, LD, z->q + r * LD + d, LD, 0, m - r, a->D - d);
            vf_transpose(z->turned + d * LD + r + HALF, LD, z->dout + r * LD + d, LD, 0, m - r, a->D - d);
        }
}
/* Row j of the block sees columns [first, last): its scores become p, dp becomes ds, over the panels that [from, to) touches. */
INLINE void row_grad(const grad *l, grad_scratch *z, int64_t j, bool whole, int64_t first, int64_t last, int64_t from, int64_t to) {
    vw scale = vw_set(l->a.scale), lse = vw_set(-z->lse[j]), delta = vw_set(z->delta[j]), zero = vw_set(0);
    for (int64_t c = from / VLM_PANEL * VLM_PANEL; c < cdiv(to, VLM_PANEL) * VLM_PANEL; c += 16) {
        int64_t at = (c / VLM_PANEL * BQ + j) * VLM_PANEL + c % VLM_PANEL;
        vw p = VW1(vf_exp, VW3(vf_fma, vw_load(z->p + at), scale, lse));
        vw ds = VW2(vf_mul, VW2(vf_mul, p, scale), VW2(vf_sub, vw_load(z->dp + at), delta));
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
        if (whole) row_grad(l, z, j + r, true, 0, 0, from, to);
        else       row_grad(l, z, j + r, false, first, last, from, to);
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
                 (const void *[]){ z->k + (d / VLM_PANEL * l->BK + from) * VLM_PANEL + d % VLM_PANEL }, to - from);
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
static void head_grad(const grad *l, const vlm_span *s, int64_t g, grad_scratch *z) {
    const attention *a = &l->a;
    int64_t D = a->D, group = a->H / a->G;
    for (int64_t i = 0; i < s->rows; i++)
        memset(l->dq + (s->row + i) * a->S + g * group * D, 0, (size_t)(group * D) * sizeof(float));
    memset(z->zero, 0, sizeof z->zero);
    for (int64_t kb = 0; kb < s->rows; kb += l->BK) {
        int64_t n = least(l->BK, s->rows - kb), at = (s->row + kb) * a->S + g * D;
        turn_keys(z->kt, l->k + at, a->S, 0, n, D);
        turn_keys(z->vt, l->v + at, a->S, 0, n, D);
        for (int64_t j = 0; j < n; j++)
            for (int64_t d = 0; d < D; d += VF_N)
                vf_store(z->k + (d / VLM_PANEL * l->BK + j) * VLM_PANEL + d % VLM_PANEL, vf_load_n(l->k + at + j * a->S + d, D - d));
        memset(z->dk, 0, (size_t)(cdiv(n, VLM_PANEL) * VLM_PANEL * D) * sizeof(float));
        memset(z->dv, 0, (size_t)(cdiv(n, VLM_PANEL) * VLM_PANEL * D) * sizeof(float));
        int64_t i0 = a->causal ? kb : 0, i1 = a->window ? least(s->rows, kb + n - 1 + a->window) : s->rows;
        int64_t step = cdiv(cdiv(i1 - i0, cdiv(i1 - i0, BQ)), GROUP) * GROUP;          /* equal blocks, whole groups */
        for (int64_t h = g * group; h < (g + 1) * group; h++)
            for (int64_t i = i0; i < i1; i += step) block_grad(l, s, h, i, least(step, i1 - i), kb, n, z);
        put_keys(l->dk + at, a->S, z->dk, n, D);
        put_keys(l->dv + at, a->S, z->dv, n, D);
    }
}

/* As walk: the tasks that begin in [lo, hi) of the work, measured in pairs of a row and a key. */
static int64_t walk_back(const grad *l, int64_t lo, int64_t hi, grad_scratch *z) {
    const attention *a = &l->a;
    int64_t at = 0;
    for (const vlm_span *s = a->spans; s < a->spans + a->nspans; s++) {
        vlm_span own = { .row = s->row, .rows = s->rows, .keys = s->rows };
        for (int64_t g = 0; g < a->G && s->rows > 0; g++) {
            if (at >= lo && at < hi) head_grad(l, &own, g, z);
            at += s->rows * (KB + (a->window ? least(a->window, s->rows) : s->rows));
        }
    }
    return at;
}
static void backward_part(void *arg, int64_t lo, int64_t hi, void *scratch) { walk_back(arg, lo, hi, scratch); }
static void attention_backward(vlm_ctx *ctx, act *dq, act *dk, act *dv, const act *dout, const act *out, const real *lse,
                               const act *q, const act *k, const act *v, const vlm_span *spans, int64_t nspans,
                               int64_t H, int64_t G, int64_t D, int64_t S, int causal, int64_t window, float scale) {
    assert(D >= 1 && D <= DMAX && H % G == 0 && ctx->scratch_bytes >= sizeof(grad_scratch));
    grad l = { .a = { .q = q, .spans = spans, .nspans = nspans, .H = H, .G = G, .D = D, .S = S, .causal = causal,
                      .window = causal && window > 0 ? window : 0, .scale = scale },
               .dq = dq, .dk = dk, .dv = dv, .dout = dout, .out = out, .k = k, .v = v, .lse = lse, .BK = D <= 128 ? BK : KB };
    vlm_parallel(ctx, walk_back(&l, 0, 0, NULL), 1 + 65536 / (H / G * D), backward_part, &l);
}

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
    for (int64_t j = lo / VF_N * VF_N; j < hi; j += VF_N)
        for (int64_t d = 0; d < D; d += VF_N)
            vf_transpose(z->k + (j / VLM_PANEL * D + d) * VLM_PANEL + j % VLM_PANEL, VLM_PANEL,
                         k + j * a->Skv + d, a->Skv, lo - j, hi - j, D - d);
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

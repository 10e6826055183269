#include "checkops.h"
#include <math.h>
#include <string.h>

void check_patches_forward(check *k) {
    static const int64_t S[][3] = { {1, 1, 1}, {2, 3, 4}, {1, 5, 14}, {3, 1, 16}, {2, 2, 17}, {7, 4, 2} };     /* Hp Wp P */
    for (int i = 0; i < 6; i++) {
        int64_t Hp = S[i][0], Wp = S[i][1], P = S[i][2], n = 3 * Hp * P * Wp * P;
        buf x = check_in(k, n), out = check_out(k, n);
        k->op->patches_forward(k->ctx, out.f, x.f, Hp, Wp, P);
        k->want->patches_forward(k->ctx, out.d, x.d, Hp, Wp, P);
        check_same(k, "out", out, 1e-30);
        int64_t t = Hp * Wp - 1, at = ((t * 3 + 2) * P + P - 1) * P;           /* last patch, blue, last row, first column */
        check_bits(k, "order (c, ky, kx)", x.f + (2 * Hp * P + Hp * P - 1) * Wp * P + (Wp - 1) * P, out.f + at, 1);
        check_free(k);
    }
}

/* A pass from `in` cells to n: windows and weights at random, or with all that an int32 sum can bear in one corner. */
static vlm_resample resample_pass(check *k, int64_t in, int64_t n, int64_t most) {
    if (most > in) most = in;
    vlm_resample p = { .n = n, .taps = (most + VLM_RESAMPLE_TAPS - 1) / VLM_RESAMPLE_TAPS * VLM_RESAMPLE_TAPS };
    size_t ints = (size_t)n * sizeof(int32_t), weights = (size_t)(n * p.taps) * sizeof(int16_t);
    p.first = check_raw(k, ints), p.count = check_raw(k, ints), p.low = check_raw(k, weights), p.high = check_raw(k, weights);
    memset(p.low, 0, weights);
    memset(p.high, 0, weights);
    for (int64_t i = 0; i < n; i++) {
        p.count[i] = (int32_t)(most - (i % 3 ? (int64_t)((check_random() + 1) / 2 * (float)most) : 0));
        p.first[i] = (int32_t)(i == n - 1 ? in - p.count[i] : (int64_t)((check_random() + 1) / 2 * (float)(in - p.count[i] + 1)));
        for (int64_t j = 0; j < p.count[i]; j++) {
            int32_t w = (int32_t)(check_random() * (float)((1 << 23) / p.count[i] - 1));
            if (i == 0) w = j ? 0 : 0x7FFFFF;          /* 255 times that and a half more: the last int32 */
            if (i == 1) w = j ? 0 : 1 << VLM_RESAMPLE_BITS;
            p.low[i * p.taps + j] = (int16_t)(w & ((1 << VLM_RESAMPLE_LOW) - 1));
            p.high[i * p.taps + j] = (int16_t)(w >> VLM_RESAMPLE_LOW);
        }
    }
    check_keep(k, p.first, ints), check_keep(k, p.count, ints), check_keep(k, p.low, weights), check_keep(k, p.high, weights);
    return p;
}
static uint8_t *random_bytes(check *k, int64_t n) {
    uint8_t *x = check_raw(k, (size_t)n);
    for (int64_t i = 0; i < n; i++) x[i] = (uint8_t)((check_random() + 1) * 128);
    x[0] = 255;
    check_keep(k, x, (size_t)n);
    return x;
}
static void same_bytes(check *k, const uint8_t *want, const uint8_t *got, int64_t n) {
    buf b = check_out(k, n);
    for (int64_t i = 0; i < n; i++) b.d[i] = want[i], b.f[i] = got[i];
    check_same(k, "out", b, 1e-30);
}
void check_resample_rows(check *k) {
    /* R W n taps */
    static const int64_t S[][4] = { {1, 1, 1, 1}, {3, 2, 5, 2}, {5, 9, 4, 9}, {4, 40, 17, 5}, {9, 33, 70, 4}, {2, 300, 3, 290},
                                    {6, 64, 31, 24} };
    for (int i = 0; i < 7; i++) {
        int64_t R = S[i][0], W = S[i][1], n = S[i][2];
        vlm_resample p = resample_pass(k, W, n, S[i][3]);
        uint8_t *x = random_bytes(k, R * W * 3), *out = check_raw(k, (size_t)(R * n * 3)), *want = check_raw(k, (size_t)(R * n * 3));
        k->op->resample_rows(k->ctx, out, x, &p, R, W);
        k->want->resample_rows(k->ctx, want, x, &p, R, W);
        same_bytes(k, want, out, R * n * 3);
        if (n > 1) check_true(k, "weight 1: the pixel itself", !memcmp(out + 3, x + 3 * p.first[1], 3));
        if (k->fast) {
            k->op->resample_rows(NULL, out, x, &p, R, W);
            check_true(k, "without a team", !memcmp(out, want, (size_t)(R * n * 3)));
        }
        check_free(k);
    }
    if (!k->bench) return;
    enum { R = 3000, W = 4000, N = 1024 };
    double ns;
    vlm_resample p = resample_pass(k, W, N, 17);
    uint8_t *x = random_bytes(k, R * W * 3), *out = check_raw(k, R * N * 3);
    CHECK_TIME(ns, k->op->resample_rows(k->ctx, out, x, &p, R, W));
    check_stream(k, "4000x3000 to 1024x3000", ns, (W + N) * 3.0 * R);
}
void check_resample_columns(check *k) {
    /* H n C taps */
    static const int64_t S[][4] = { {1, 1, 1, 1}, {2, 5, 3, 2}, {9, 4, 31, 9}, {40, 17, 64, 5}, {33, 70, 65, 4}, {300, 3, 130, 290},
                                    {64, 31, 96, 24} };
    for (int i = 0; i < 7; i++) {
        int64_t H = S[i][0], n = S[i][1], C = S[i][2];
        vlm_resample p = resample_pass(k, H, n, S[i][3]);
        uint8_t *x = random_bytes(k, H * C), *out = check_raw(k, (size_t)(n * C)), *want = check_raw(k, (size_t)(n * C));
        k->op->resample_columns(k->ctx, out, x, &p, C);
        k->want->resample_columns(k->ctx, want, x, &p, C);
        same_bytes(k, want, out, n * C);
        if (n > 1) check_true(k, "weight 1: the row itself", !memcmp(out + C, x + C * p.first[1], (size_t)C));
        check_free(k);
    }
    if (!k->bench) return;
    enum { H = 3000, N = 768, C = 3072 };
    double ns;
    vlm_resample p = resample_pass(k, H, N, 17);
    uint8_t *x = random_bytes(k, H * C), *out = check_raw(k, N * C);
    CHECK_TIME(ns, k->op->resample_columns(k->ctx, out, x, &p, C));
    check_stream(k, "1024x3000 to 1024x768", ns, (double)(H + N) * C);
}

/* Hp Wp s C */
static const int64_t SHUFFLE[][4] = { {1, 1, 1, 1}, {2, 2, 2, 3}, {4, 6, 2, 5}, {4, 8, 4, 7}, {3, 6, 3, 16}, {8, 4, 4, 33}, {0, 4, 2, 3} };
enum { SHUFFLES = sizeof SHUFFLE / sizeof *SHUFFLE };

void check_shuffle_forward(check *k) {
    for (int i = 0; i < SHUFFLES; i++) {
        int64_t Hp = SHUFFLE[i][0], Wp = SHUFFLE[i][1], s = SHUFFLE[i][2], C = SHUFFLE[i][3], n = Hp * Wp * C;
        buf x = check_in(k, n), out = check_out(k, n);
        k->op->shuffle_forward(k->ctx, out.f, x.f, Hp, Wp, s, C);
        k->want->shuffle_forward(k->ctx, out.d, x.d, Hp, Wp, s, C);
        check_same(k, "out", out, 1e-30);
        if (n) check_bits(k, "token 0 has (s-1, 0) at channel (s-1) s C", x.f + (s - 1) * Wp * C, out.f + (s - 1) * s * C, C);
        check_free(k);
    }
}

typedef struct shuffle { int64_t Hp, Wp, s, C; buf out, x; } shuffle;
static void shuffled(const check *k, const void *arg) {
    const shuffle *s = arg;
    k->want->shuffle_forward(k->ctx, s->out.d, s->x.d, s->Hp, s->Wp, s->s, s->C);
}
void check_shuffle_backward(check *k) {
    for (int i = 0; i < SHUFFLES; i++) {
        int64_t Hp = SHUFFLE[i][0], Wp = SHUFFLE[i][1], s = SHUFFLE[i][2], C = SHUFFLE[i][3], n = Hp * Wp * C;
        shuffle p = { Hp, Wp, s, C, check_out(k, n), check_in(k, n) };
        buf dout = check_in(k, n), dx = check_out(k, n), out = check_out(k, n);
        k->op->shuffle_backward(k->ctx, dx.f, dout.f, Hp, Wp, s, C);
        k->want->shuffle_backward(k->ctx, dx.d, dout.d, Hp, Wp, s, C);
        check_same(k, "dx", dx, 1e-30);
        slope d = { shuffled, &p, p.out, dout };
        check_slope(k, "dx", &d, p.x, dx, NULL, 1e-7);
        k->op->shuffle_forward(k->ctx, out.f, dx.f, Hp, Wp, s, C);
        check_bits(k, "there and back", dout.f, out.f, n);
        check_free(k);
    }
}

void check_embed_forward(check *k) {
    check_quant_embed(k);
    static const int64_t S[][3] = { {1, 1, 1}, {3, 40, 7}, {5, 33, 17}, {9, 100, 64}, {2, 5, 33} };            /* R V C */
    for (int i = 0; i < 5; i++)
        for (int t = VLM_F32; t <= VLM_BF16; t++) {
            int64_t R = S[i][0], V = S[i][1], C = S[i][2], ids[16];
            mat m = check_mat(k, t, V, C);
            for (int64_t r = 0; r < R; r++) ids[r] = r ? (r * 7919) % V : V - 1;
            for (int layout = 0; layout < 2; layout++) {
                buf out = check_out(k, R * C);
                k->op->embed_forward(k->ctx, out.f, ids, layout ? &m.panels : &m.rows, 25.25f, R);
                k->want->embed_forward(k->ctx, out.d, ids, &m.want, 25.25f, R);
                check_same(k, layout ? "from panels" : "from rows", out, 1e-7);
            }
            check_free(k);
        }
    /* Every number of the two-byte types, against their definition. */
    enum { ALL = 1 << 16 };
    uint16_t *every = check_raw(k, ALL * 2);
    buf out = check_out(k, ALL);
    for (int i = 0; i < ALL; i++) every[i] = (uint16_t)i;
    vlm_mat m = { VLM_F16, VLM_ROWS, 1, ALL, every };
    for (int t = 0; t < 2; t++) {
        m.dtype = t ? VLM_BF16 : VLM_F16;
        int bits = t ? 7 : 10, bias = t ? 127 : 15, top = t ? 255 : 31;        /* of the mantissa; of the exponent; its largest */
        k->op->embed_forward(k->ctx, out.f, &(int64_t){ 0 }, &m, 1, 1);
        for (int i = 0; i < ALL; i++) {
            int e = (i & 0x7FFF) >> bits, f = i & ((1 << bits) - 1);
            double v = e == top ? (f ? NAN : INFINITY) : ldexp(e ? f + (1 << bits) : f, (e ? e : 1) - bias - bits);
            if (i >> 15) v = -v;
            check_true(k, "every value of a type", isnan(v) ? isnan(out.f[i]) : (double)out.f[i] == v && !signbit(v) == !signbit(out.f[i]));
        }
    }
}

typedef struct embed { int64_t R, C; const int64_t *ids; const vlm_mat *table; float scale; buf out; } embed;
static void embedded(const check *k, const void *arg) {                /* row by row: none for a negative id */
    const embed *e = arg;
    for (int64_t r = 0; r < e->R; r++)
        if (e->ids[r] >= 0) k->want->embed_forward(k->ctx, e->out.d + r * e->C, e->ids + r, e->table, e->scale, 1);
}
/* A table of gradients that holds random numbers: panels for op, their padding zero, and rows for want. */
static mat gradients(check *k, int64_t V, int64_t C, const buf start) {
    mat m = { .panels = { VLM_F32, VLM_PANELS, V, C, NULL }, .want = { VLM_F64, VLM_ROWS, V, C, check_copy(k, start).d } };
    int64_t n = vlm_mat_len(&m.panels);
    m.panels.data = memset(check_raw(k, (size_t)n * sizeof(float)), 0, (size_t)n * sizeof(float));
    for (int64_t i = 0; i < V * C; i++) ((float *)m.panels.data)[vlm_mat_at(&m.panels, i / C, i % C)] = start.f[i];
    return m;
}
void check_embed_backward(check *k) {
    /* R V C */
    static const int64_t S[][3] = { {1, 1, 1}, {3, 40, 7}, {5, 33, 17}, {9, 100, 64}, {60, 5, 33}, {200, 70, 16}, {0, 5, 3} };
    for (int i = 0; i < 7; i++) {
        int64_t R = S[i][0], V = S[i][1], C = S[i][2], ids[200];
        for (int64_t r = 0; r < R; r++) ids[r] = r % 5 == 3 ? -1 - r : r ? r * 7919 % V : V - 1;
        mat table = check_mat(k, VLM_F32, V, C);
        buf g0 = check_in(k, V * C), g = check_out(k, V * C), dout = check_in(k, R * C), out = check_out(k, R * C);
        mat d = gradients(k, V, C, g0);
        for (int64_t j = 0; j < out.n; j++) out.d[j] = 0;
        k->op->embed_backward(k->ctx, &d.panels, ids, dout.f, 25.25f, R);
        k->want->embed_backward(k->ctx, &d.want, ids, dout.d, 25.25f, R);
        for (int64_t j = 0; j < V * C; j++) g.f[j] = ((float *)d.panels.data)[vlm_mat_at(&d.panels, j / C, j % C)];
        memcpy(g.d, d.want.data, (size_t)(V * C) * sizeof(double));
        check_same(k, "dtable", g, 2e-6);
        embed e = { R, C, ids, &table.want, 25.25f, out };
        slope s = { embedded, &e, out, dout };
        check_slope(k, "dtable", &s, (buf){ .d = table.want.data, .n = V * C }, g, g0.d, 1e-7);
        for (int64_t j = 0; j < vlm_mat_len(&d.panels); j++) {
            int64_t row = j / VLM_PANEL / C * VLM_PANEL + j % VLM_PANEL;
            if (row >= V) check_true(k, "padding stays zero", ((float *)d.panels.data)[j] == 0);
        }
        if (k->fast && R > 1) {
            mat two = gradients(k, V, C, g0);
            k->op->embed_backward(k->ctx, &two.panels, ids, dout.f, 25.25f, R / 2);
            k->op->embed_backward(k->ctx, &two.panels, ids + R / 2, dout.f + R / 2 * C, 25.25f, R - R / 2);
            check_bits(k, "in two calls", d.panels.data, two.panels.data, vlm_mat_len(&d.panels));
        }
        check_free(k);
    }
    float panel[VLM_PANEL] = { 1, 1, 1 }, d[] = { 1, 2, 4, NAN };
    vlm_mat t = { VLM_F32, VLM_PANELS, 3, 1, panel };
    k->op->embed_backward(k->ctx, &t, (int64_t[]){ 2, 0, 2, 1 }, d, 0.5f, 4);
    check_true(k, "by hand; NaN stays in its row", panel[0] == 2 && isnan(panel[1]) && panel[2] == 3.5f && panel[3] == 0);
    if (k->bench) {
        enum { R = 2048, V = 49152, C = 576 };
        static int64_t ids[R];
        double ns;
        vlm_mat big = { VLM_F32, VLM_PANELS, V, C, k->op->alloc((size_t)V * C * 4) };
        if (!big.data) return;
        memset(big.data, 0, (size_t)V * C * 4);
        buf dout = check_in(k, R * C);
        for (int64_t r = 0; r < R; r++) ids[r] = r * 7919 % V;
        CHECK_TIME(ns, k->op->embed_backward(k->ctx, &big, ids, dout.f, 1, R));
        check_stream(k, "2048 of 49152x576", ns, 12.0 * R * C);
        k->op->free(big.data, (size_t)V * C * 4);
    }
}

/* Linear layers whose weights are whole numbers: what linear_pack, linear_forward and embed_forward do of I8, G8 and G4. */
#include "checkops.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const TYPE[] = { [VLM_I8] = "i8", [VLM_G8] = "g8", [VLM_G4] = "g4" };

/* A matrix of random weights, its rows of unlike size, packed; the same bytes serve op and want, for whole numbers are exact. */
static vlm_mat quantized(check *k, vlm_dtype t, int64_t C, int64_t K, float **rows) {
    vlm_mat from = { VLM_F32, VLM_ROWS, C, K, *rows = check_raw(k, (size_t)(C * K) * sizeof(float)) }, m = { t, VLM_PANELS, C, K, NULL };
    int64_t bad = 0;
    for (int64_t i = 0; i < C * K; i++) (*rows)[i] = check_random() * (float)(1 + i / K % 7) * 0.1f;
    check_keep(k, *rows, (size_t)(C * K) * sizeof(float));
    m.data = check_raw(k, (size_t)vlm_mat_bytes(&m));
    k->op->linear_pack(k->ctx, &m, 0, &from, &bad);
    check_true(k, "all finite", bad == 0);
    check_keep(k, m.data, (size_t)vlm_mat_bytes(&m));
    return m;
}

/* Bytes are those of the oracle, which gets rows in double and all at once; each is the nearest that its scale allows. */
static void pack_rows(check *k, vlm_dtype t, int64_t K, int64_t C, int64_t cut, float size) {
    vlm_mat a = { VLM_F32, VLM_ROWS, cut, K, NULL }, b = { VLM_F32, VLM_ROWS, C - cut, K, NULL }, out = { t, VLM_PANELS, C, K, NULL };
    buf w = check_out(k, C * K);
    vlm_mat all = { VLM_F64, VLM_ROWS, C, K, w.d }, want = out;
    size_t bytes = (size_t)vlm_mat_bytes(&out);
    int64_t bad = 0, group = t == VLM_I8 ? K : VLM_QGROUP;
    float *rows = w.f;
    for (int64_t i = 0; i < C * K; i++)                /* with rows of zeros */
        w.d[i] = w.f[i] = i / K % 5 == 4 ? 0 : check_random() * size * (i % 11 == 3 ? 9 : 1);
    check_keep(k, w.f, (size_t)(C * K) * sizeof(float)), check_keep(k, w.d, (size_t)(C * K) * sizeof(double));
    a.data = rows, b.data = rows + cut * K;
    out.data = check_raw(k, bytes), want.data = check_raw(k, bytes);
    k->op->linear_pack(k->ctx, &out, 0, &a, &bad);
    k->op->linear_pack(k->ctx, &out, cut, &b, &bad);
    k->want->linear_pack(k->ctx, &want, 0, &all, &bad);
    check_true(k, "all finite", bad == 0);
    check_true(k, "the bytes of the oracle", !memcmp(out.data, want.data, bytes));
    for (int64_t r = 0; r < (C + VLM_PANEL - 1) / VLM_PANEL * VLM_PANEL; r++)
        for (int64_t g = 0; g < K; g += group) {
            float scale, top = 0;
            double error = 0, plain = 0;
            for (int64_t c = g; c < g + group && c < K && r < C; c++) if (fabsf(rows[r * K + c]) > fabsf(top)) top = rows[r * K + c];
            for (int64_t c = g; c < g + group && c < K; c++) {
                int q = vlm_quant_at(&out, r, c, &scale);
                if (r >= C) { check_true(k, "rows behind the last are zero", q == 0 && scale == 0); continue; }
                double v = rows[r * K + c], e = fabs(v - (double)q * scale), s = fabs((double)top) / 127, least = s * 1e-3 + 3e-8;
                double s4 = vlm_f16_float(vlm_float_f16(top / -8)), q4 = s4 == 0 ? 0 : rint(v / s4);
                if (q4 < -8) q4 = -8;
                if (q4 > 7) q4 = 7;
                if (t != VLM_G4) check_true(k, "nearest", e <= s / 2 + least * 128 && abs(q) <= 127);
                error += e * e, plain += (v - s4 * q4) * (v - s4 * q4);
            }
            if (t == VLM_G4) check_true(k, "no worse than the largest at -8", error <= plain * 1.0001);
        }
    k->bits ^= *(const uint64_t *)out.data;
    check_free(k);
}
void check_quant_pack(check *k) {
    static const int64_t S[][2] = { {1, 1}, {7, 31}, {16, 32}, {5, 33}, {130, 96}, {64, 65}, {63, 200} };      /* K C */
    for (int i = 0; i < 7; i++)
        for (vlm_dtype t = VLM_I8; t <= VLM_G4; t++)
            for (int64_t cut = 0; cut < S[i][1]; cut += 1 + S[i][1] / 3) pack_rows(k, t, S[i][0], S[i][1], cut, i % 3 == 2 ? 1e-4f : 3);
    /* By hand. 127: I8 and G8 have a scale of 1; G4: m = 8, and 8 / -8 fits 8 -4 3 0 best of all. */
    float row[] = { 127, -127, 63.5f, 2.5f, -0.5f, 1.49f }, four[] = { 8, -4, 3, 0 }, scale, bad_row[] = { NAN, 4, INFINITY, -INFINITY };
    static const int Q[] = { 127, -127, 64, 2, 0, 1 }, Q4[] = { -8, 4, -3, 0 };
    unsigned char bytes[2048];
    int64_t bad = 7;
    for (vlm_dtype t = VLM_I8; t <= VLM_G4; t++) {
        vlm_mat m = { t, VLM_PANELS, 1, t == VLM_G4 ? 4 : 6, bytes }, w = { VLM_F32, VLM_ROWS, 1, m.cols, t == VLM_G4 ? four : row };
        k->op->linear_pack(k->ctx, &m, 0, &w, &bad);
        for (int64_t c = 0; c < m.cols; c++) {
            int q = vlm_quant_at(&m, 0, c, &scale);
            check_true(k, "by hand", q == (t == VLM_G4 ? Q4 : Q)[c] && scale == (t == VLM_G4 ? -1 : 1));
        }
        m.cols = w.cols = 4, w.data = bad_row;
        k->op->linear_pack(k->ctx, &m, 0, &w, &bad);
        check_true(k, "NaN and infinities are counted", bad == 7 + 3 * (1 + t - VLM_I8));
        check_true(k, "and count as 0", vlm_quant_at(&m, 0, 1, &scale) * scale > 3.9f && !vlm_quant_at(&m, 0, 0, &scale) &&
                                        !vlm_quant_at(&m, 0, 2, &scale));
    }
    if (k->bench)
        for (vlm_dtype t = VLM_I8; t <= VLM_G4; t++) {
            float *rows;
            double ns;
            vlm_mat m = quantized(k, t, 1024, 1024, &rows);
            check_free(k);
            buf w = check_in(k, 1024 * 1024);
            m.data = check_raw(k, (size_t)vlm_mat_bytes(&m));
            CHECK_TIME(ns, k->op->linear_pack(k->ctx, &m, 0, &(vlm_mat){ VLM_F32, VLM_ROWS, 1024, 1024, w.f }, &bad));
            check_stream(k, TYPE[t], ns, 4.0 * 1024 * 1024);
            check_free(k);
        }
}

/* ops.def once more, for one output: x and w (or the panels) in float and in order. */
static float chain(const vlm_mat *w, int64_t c, const float *x, float b) {
    int64_t K = w->cols, group = w->dtype == VLM_I8 ? K : VLM_QGROUP;
    float s = b, scale = 0;
    for (int64_t g = 0; g < K; g += group) {
        int64_t end = g + group < K ? g + group : K;
        float top = 0, lane[16] = { 0 }, far = 0;
        int64_t sum = 0;
        for (int64_t k = g; k < end; k++) {
            if (fabsf(x[k]) > top) top = fabsf(x[k]);
            lane[k % 16] += fabsf(x[k]);
        }
        for (int n = 8; n; n /= 2) for (int i = 0; i < n; i++) lane[i] += lane[i + n];
        if (w->dtype == VLM_I8 && lane[0] * 16 / (float)K < top) top = lane[0] * 16 / (float)K;
        bool tiny = top < 0x1p-100f;
        for (int64_t k = g; k < end; k++) {
            int q = vlm_quant_at(w, c, k, &scale);
            if (fabsf(x[k]) > top) far = fmaf(x[k], (float)q, far);
            else sum += (int64_t)q * (int64_t)rintf(tiny ? 0 : x[k] * (127 / top));
        }
        float step = tiny ? 0 : top * (1 / 127.0f);
        if (w->dtype == VLM_I8) s = fmaf(fmaf((float)sum, step, far), scale, s);
        else s = fmaf((float)sum, step * scale, s);
    }
    return s;
}

typedef struct shape { int64_t R, K, C; } shape;
static void forward(check *k, vlm_dtype t, shape z, int kind) {
    int64_t R = z.R, K = z.K, C = z.C;
    float *rows, *v;
    vlm_mat w = quantized(k, t, C, K, &rows);
    buf x = check_out(k, R * K), b = check_in(k, C), res = check_in(k, R * C), out = check_out(k, R * C), part = check_out(k, R * C);
    for (int64_t i = 0; i < R * K; i++) {
        x.f[i] = check_random();
        if (i / K % 3 == 1 && i % 37 == 5) x.f[i] *= 300;              /* some rows with outliers, some without, one of zeros */
        if (i / K % 7 == 5) x.f[i] *= i / K % 2 ? 0 : 1e-33f;
        x.d[i] = x.f[i];
    }
    check_keep(k, x.f, (size_t)(R * K) * sizeof(float));
    float *bf = kind & 1 ? b.f : NULL;
    vlm_activation f = (kind >> 1) % 4;
    buf s = kind & 4 ? b : (buf){ 0 }, r = kind & 8 ? res : (buf){ 0 };
    k->op->linear_forward(k->ctx, out.f, x.f, &w, &(vlm_epilogue){ bf, f, s.f, r.f }, R);
    k->want->linear_forward(k->ctx, out.d, x.d, &w, &(epilogue){ bf ? b.d : NULL, f, s.d, r.d }, R);
    check_same(k, "out", out, 5e-6 * sqrt((double)K) + 2e-6);     /* outliers are large; the bits are checked below */
    for (int64_t n = 1; n <= 14 && n <= R; n++) {
        for (int64_t i = 0; i < R; i += n)
            k->op->linear_forward(k->ctx, part.f + i * C, x.f + i * K, &w, &(vlm_epilogue){ bf, f, s.f, r.f ? r.f + i * C : NULL },
                                  R - i < n ? R - i : n);
        check_bits(k, "split calls", out.f, part.f, R * C);
    }
    if (r.f) {
        memcpy(part.f, r.f, (size_t)(R * C) * sizeof(float));
        k->op->linear_forward(k->ctx, part.f, x.f, &w, &(vlm_epilogue){ bf, f, s.f, part.f }, R);
        check_bits(k, "out is res", out.f, part.f, R * C);
    }
    k->op->linear_forward(k->ctx, part.f, x.f, &w, bf ? &(vlm_epilogue){ .b = bf } : NULL, R);
    double dot = 0, xx = 0, yy = 0;
    for (int64_t i = 0; i < R * C; i++) {
        float sum = chain(&w, i % C, x.f + i / C * K, bf ? b.f[i % C] : 0);
        if (k->fast) check_bits(k, "canonical chain", &sum, &part.f[i], 1);
        double y = bf ? b.f[i % C] : 0;
        v = x.f + i / C * K;
        for (int64_t j = 0; j < K; j++) y += (double)v[j] * rows[i % C * K + j];
        dot += y * part.f[i], xx += y * y, yy += (double)part.f[i] * part.f[i];
    }
    if (R * C * K >= 4096) check_true(k, "near the product of what was rounded", dot > (t == VLM_G4 ? 0.98 : 0.9995) * sqrt(xx * yy));
    check_free(k);
}

/* weights of whole numbers; decode from panels that lie in memory, `several` of them in turn */
static void bench(check *k, vlm_dtype t, int64_t R, int64_t K, int64_t C, int several) {
    vlm_mat w = { t, VLM_PANELS, C, K, NULL };
    size_t bytes = (size_t)vlm_mat_bytes(&w);
    char *all = k->op->alloc(bytes * (size_t)several), what[64];
    buf x = check_in(k, R * K), b = check_in(k, C), out = check_out(k, R * C);
    double ns, flop = 2.0 * (double)R * (double)K * (double)C * several;
    if (!all) { check_true(k, "memory", false); return; }
    memset(all, 1, bytes * (size_t)several);
    snprintf(what, sizeof what, "%s %lldx%lldx%lld%s", TYPE[t], (long long)R, (long long)K, (long long)C, several > 1 ? " in turn" : "");
    CHECK_TIME(ns, for (int i = 0; i < several; i++) {
        w.data = all + bytes * (size_t)i;
        k->op->linear_forward(k->ctx, out.f, x.f, &w, &(vlm_epilogue){ .b = b.f }, R);
    });
    if (R <= 8) check_stream(k, what, ns, (double)bytes * several);
    else        check_rate(k, what, ns, flop);
    if (R > 8 && k->dot > 0) printf("    %-24s %.0f %% of the peak of dot products\n", "", 100 * flop / ns / k->dot);
    k->op->free(all, bytes * (size_t)several);
    check_free(k);
}

void check_quant_forward(check *k) {
    static const shape S[] = { {1,1,1}, {1,7,5}, {3,16,9}, {5,33,17}, {6,31,64}, {12,32,97}, {13,257,33}, {37,300,40}, {400,530,33},
                               {14,64,300}, {2,1030,70}, {0,3,3}, {150,17,65}, {9,2080,33}, {1,1024,32}, {25,1056,31} };
    for (int i = 0; i < 16; i++)
        for (vlm_dtype t = VLM_I8; t <= VLM_G4; t++) forward(k, t, S[i], 5 * i + 3 * (int)t);
    forward(k, VLM_I8, (shape){ 2, VLM_QUANT_COLS, 1 }, 3);    /* the longest row, and one with as many outliers as there can be */
    /* by hand: row (1, 2, 127) has a scale of 1; weights (127, 0, 1) too; b = 0.5 */
    float x[] = { 1, 2, 127 }, rows[] = { 127, 0, 1 }, b = 0.5f, out, bad[] = { 1, NAN, 2, 3, 4, INFINITY }, three[3];
    unsigned char bytes[2048];
    int64_t none = 0;
    for (vlm_dtype t = VLM_I8; t <= VLM_G8; t++) {
        vlm_mat m = { t, VLM_PANELS, 1, 3, bytes };
        k->op->linear_pack(k->ctx, &m, 0, &(vlm_mat){ VLM_F32, VLM_ROWS, 1, 3, rows }, &none);
        k->op->linear_forward(k->ctx, &out, x, &m, &(vlm_epilogue){ .b = &b }, 1);
        check_true(k, "by hand", fabsf(out - 254.5f) < 1e-4f);
        m.cols = 2;
        k->op->linear_pack(k->ctx, &m, 0, &(vlm_mat){ VLM_F32, VLM_ROWS, 1, 2, rows }, &none);
        k->op->linear_forward(k->ctx, three, bad, &m, NULL, 3);
        check_true(k, "a NaN or an infinity spoils its row only", isnan(three[0]) && isfinite(three[1]) && isnan(three[2]));
    }
    if (k->bench && k->fast) {
        for (vlm_dtype t = VLM_I8; t <= VLM_G4; t++) {
            static const int64_t K[] = { 384, 384, 384, 1536, 768, 3072, 576, 1536 }, C[] = { 1152, 384, 1536, 384, 3072, 768, 1536, 576 };
            for (int i = 0; i < 8; i++)
                for (int64_t R = i < 4 ? 201 : 512; R < 1030; R += i < 4 ? 828 : 600) bench(k, t, R, K[i], C[i], 1);
            bench(k, t, 1, 640, 262144, 1);
            bench(k, t, 8, 640, 262144, 1);
            bench(k, t, 1, 576, 1536, 300);
            bench(k, t, 1, 1536, 576, 300);
            bench(k, t, 1, 576, 960, 400);
            bench(k, t, 1, 576, 576, 800);
            bench(k, t, 8, 576, 1536, 300);
        }
    }
}

void check_quant_embed(check *k) {
    for (vlm_dtype t = VLM_I8; t <= VLM_G4; t++)
        for (int64_t V = 7, C = 5; V < 100; V += 30, C += 41) {
            float *rows;
            vlm_mat m = quantized(k, t, V, C, &rows);
            int64_t ids[] = { V - 1, 0, V / 2, 3 };
            buf out = check_out(k, 4 * C);
            k->op->embed_forward(k->ctx, out.f, ids, &m, 25.25f, 4);
            k->want->embed_forward(k->ctx, out.d, ids, &m, 25.25f, 4);
            check_same(k, "of whole numbers", out, 1e-6);
            check_free(k);
        }
}

#include "checkops.h"
#include <math.h>
#include <string.h>

static const int64_t N[] = { 1, 7, 15, 16, 17, 33, 4095, 4096, 4097, 20000, 0 };
enum { SIZES = sizeof N / sizeof *N };

void check_adamw_update(check *k) {
    for (int i = 0; i < SIZES; i++) {
        int64_t n = N[i];
        float scale = i % 2 ? 0.25f : 1, decay = i % 3 ? 0.1f : 0, c1 = 1, c2 = 1;
        buf p = check_copy(k, check_in(k, n)), m = check_out(k, n), v = check_out(k, n);
        for (int64_t j = 0; j < n; j++) m.d[j] = m.f[j] = v.d[j] = v.f[j] = 0;
        for (int t = 1; t <= 5; t++) {                 /* a run of steps, gradients large and small */
            buf g = check_copy(k, check_in(k, n));
            for (int64_t j = 0; j < n; j++) g.d[j] = g.f[j] *= powf(10, (float)(j % 7 - 6));
            check_keep(k, g.f, (size_t)n * sizeof(float));
            c1 = 1 - powf(0.9f, (float)t), c2 = 1 - powf(0.999f, (float)t);
            k->op->adamw_update(k->ctx, p.f, m.f, v.f, g.f, n, scale, 1e-3f, decay, 0.9f, 0.999f, 1e-8f, c1, c2);
            k->want->adamw_update(k->ctx, p.d, m.d, v.d, g.d, n, scale, 1e-3f, decay, 0.9f, 0.999f, 1e-8f, c1, c2);
            check_same(k, "p", p, 5e-7);
            check_same(k, "m", m, 5e-7);
            check_same(k, "v", v, 5e-7);
        }
        check_free(k);
    }
    /* Two steps by hand, as torch.optim.AdamW takes them: lr 0.1, decay 0.01, gradients 0.5 and -0.25 (given twice as large, scale 1/2).
       p = 0.999 - 0.1 · 0.5/0.5;  m = 0.05 + 0.1 (-0.25 - 0.05), v = 0.999 · 0.00025 + 0.001 · 0.0625, c = 0.19, 0.001999. */
    float p[] = { 1 }, m[] = { 0 }, v[] = { 0 }, g[] = { 1 };
    k->op->adamw_update(k->ctx, p, m, v, g, 1, 0.5f, 0.1f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.001f);
    check_true(k, "by hand, step 1", fabsf(p[0] - 0.899f) < 2e-6f && fabsf(m[0] - 0.05f) < 2e-8f && fabsf(v[0] - 0.00025f) < 5e-9f);
    g[0] = -0.5f;
    k->op->adamw_update(k->ctx, p, m, v, g, 1, 0.5f, 0.1f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.19f, 0.001999f);
    check_true(k, "by hand, step 2", fabsf(p[0] - 0.87146730f) < 2e-6f && fabsf(m[0] - 0.02f) < 2e-8f && fabsf(v[0] - 0.00031225f) < 5e-9f);
    p[0] = 1, m[0] = v[0] = 0, g[0] = 1;
    k->op->adamw_update(k->ctx, p, m, v, g, 1, 0.5f, 0.1f, 0.01f, 0.9f, 0.999f, 0.5f, 0.1f, 0.001f);
    check_true(k, "by hand, a large eps stands beside the root", fabsf(p[0] - 0.949f) < 2e-6f);
    float zp[20] = { 0 }, zm[20] = { 0 }, zv[20] = { 0 }, zg[20] = { 0 }, zero[20] = { 0 };
    k->op->adamw_update(k->ctx, zp, zm, zv, zg, 20, 0.5f, 0.1f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.001f);
    check_bits(k, "zero stays zero: p", zero, zp, 20);
    check_bits(k, "zero stays zero: m", zero, zm, 20);
    check_bits(k, "zero stays zero: v", zero, zv, 20);
    zm[0] = 1e-39f, zv[0] = 1e-39f;
    k->op->adamw_update(k->ctx, zp, zm, zv, zg, 20, 0.5f, 0.1f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.001f);
    check_true(k, "a moment that faded away is 0", !k->fast || (zm[0] == 0 && zv[0] == 0));
    zg[3] = NAN, zp[3] = 1;
    k->op->adamw_update(k->ctx, zp, zm, zv, zg, 20, 1, 0.1f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.001f);
    for (int i = 0; i < 20; i++)
        check_true(k, "NaN stays, in its place", !isnan(zp[i]) == (i != 3) && !isnan(zm[i]) == (i != 3) && !isnan(zv[i]) == (i != 3));
    if (k->bench) {
        enum { LONG = 16 << 20 };
        double ns;
        buf a = check_copy(k, check_in(k, LONG)), b = check_copy(k, a), c = check_copy(k, a), d = check_in(k, LONG);
        for (int64_t i = 0; i < LONG; i++) c.f[i] = fabsf(c.f[i]);
        CHECK_TIME(ns, k->op->adamw_update(k->ctx, a.f, b.f, c.f, d.f, LONG, 1, 1e-4f, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.001f));
        check_stream(k, "16 M parameters", ns, 28.0 * LONG);
    }
}

void check_square_sums(check *k) {
    for (int i = 0; i < SIZES; i++) {
        int64_t n = N[i];
        buf x = check_in(k, n), out = check_out(k, (n + VLM_SUM_BLOCK - 1) / VLM_SUM_BLOCK);
        k->op->square_sums(k->ctx, out.f, x.f, n);
        k->want->square_sums(k->ctx, out.d, x.d, n);
        check_same(k, "out", out, 2e-6);
        check_free(k);
    }
    float x[VLM_SUM_BLOCK + 2] = { 3, 4 }, out[2];
    x[VLM_SUM_BLOCK] = 5, x[VLM_SUM_BLOCK + 1] = NAN;
    k->op->square_sums(k->ctx, out, x, VLM_SUM_BLOCK + 1);
    check_true(k, "by hand", out[0] == 25 && out[1] == 25);
    k->op->square_sums(k->ctx, out, x, VLM_SUM_BLOCK + 2);
    check_true(k, "NaN stays, in its block", out[0] == 25 && isnan(out[1]));
    if (k->bench) {
        enum { LONG = 64 << 20 };
        double ns;
        buf y = check_in(k, LONG), sums = check_out(k, LONG / VLM_SUM_BLOCK);
        CHECK_TIME(ns, k->op->square_sums(k->ctx, sums.f, y.f, LONG));
        check_stream(k, "64 M", ns, 4.0 * LONG);
    }
}

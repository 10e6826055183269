/* Principal components: known axes come back, by both ways (covariance and Gram matrix), with any number of threads. */
#include "../../app/pca.c"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* n points whose scores on three orthogonal axes of R^D are what `score` says; the rest of the space holds little noise. */
static double score(int64_t i, int64_t n, int k) {
    double t = ((double)i + 0.5) / (double)n;
    return (k == 0 ? 9 : k == 1 ? 4 : 2) * cos((k + 1) * 3.14159265358979323846 * t);  /* orthogonal, mean 0 */
}
static void expect_components(int64_t n, int64_t D, int threads) {
    float *x = calloc((size_t)(n * D), sizeof *x);
    uint8_t *rgb = malloc((size_t)(n * 3));
    double *s = malloc((size_t)n * sizeof *s);
    vlm_ctx *ctx = vlm_ctx_open(threads, 1 << 16);
    assert_true(x && rgb && s && ctx);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < D; j++)        /* rows of a Hadamard-like basis: axis k alternates every 2^k columns */
            for (int k = 0; k < 3; k++) x[i * D + j] += (float)(score(i, n, k) * ((j >> k & 1) ? -1 : 1)) + 5;
    assert_int_equal(vlm_pca_rgb(ctx, x, n, D, rgb), VLM_OK);
    for (int k = 0; k < 3; k++) {              /* the middle one of the scores' colours tells order and scale; the sign may be either */
        double lo = 1e9, hi = -1e9, most = 0;
        for (int64_t i = 0; i < n; i++) {
            s[i] = score(i, n, k);
            if (s[i] < lo) lo = s[i];
            if (s[i] > hi) hi = s[i];
        }
        double up = 0, down = 0;
        for (int64_t i = 0; i < n; i++) {
            double want = (s[i] - lo) / (hi - lo) * 255;
            up += fabs(want - rgb[3 * i + k]);
            down += fabs(255 - want - rgb[3 * i + k]);
            if (rgb[3 * i + k] > most) most = rgb[3 * i + k];
        }
        assert_true((up < down ? up : down) / (double)n < 2);          /* 2 % at both ends are cut */
        assert_true(most == 255);
    }
    vlm_ctx_close(ctx);
    free(x);
    free(rgb);
    free(s);
}
static void test_axes(void **state) {
    (void)state;
    expect_components(200, 16, 1);             /* covariance */
    expect_components(60, 128, 3);             /* Gram matrix */
}
static void test_threads_do_not_matter(void **state) {
    (void)state;
    enum { N = 77, D = 40, BOTH = 40 };
    static float x[N * D];
    uint8_t a[N * 3], b[N * 3], c[BOTH * 3], d[BOTH * 3];
    uint32_t seed = 1;
    for (int i = 0; i < N * D; i++) x[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 1e6f;
    for (int threads = 1; threads < 6; threads++) {
        vlm_ctx *ctx = vlm_ctx_open(threads, 1 << 16);
        assert_non_null(ctx);
        assert_int_equal(vlm_pca_rgb(ctx, x, N, D, threads == 1 ? a : b), VLM_OK);
        if (threads > 1) assert_memory_equal(a, b, sizeof a);
        assert_int_equal(vlm_pca_rgb(ctx, x, BOTH - 1, N, threads == 1 ? c : d), VLM_OK);      /* the Gram matrix; sides are no panels */
        if (threads > 1) assert_memory_equal(c, d, (BOTH - 1) * 3);
        vlm_ctx_close(ctx);
    }
}
/* A spectrum that falls slowly, as untrained weights have: the vectors after a hundred steps are as good as the colours want. */
static void test_slow_spectrum(void **state) {
    (void)state;
    enum { D = 97 };
    double *a = malloc(D * D * sizeof *a), *v = malloc(2 * K * D * sizeof *v), value[K];
    vlm_ctx *ctx = vlm_ctx_open(2, 1 << 16);
    assert_true(a && v && ctx);
    memset(a, 0, D * D * sizeof *a);
    for (int i = 0; i < D; i++) a[i * D + i] = pow(0.9, i);
    eigen(ctx, a, D, v, v + K * D, value);
    for (int k = 0; k < WANT; k++) {
        assert_true(fabs(value[k] - pow(0.9, k)) < 1e-6);
        assert_true(fabs(v[k * D + k]) > 1 - 1e-5);
    }
    vlm_ctx_close(ctx);
    free(a);
    free(v);
}
static void test_without_variance(void **state) {
    (void)state;
    float x[5 * 4];
    uint8_t rgb[15];
    vlm_ctx *ctx = vlm_ctx_open(1, 1 << 16);
    assert_non_null(ctx);
    for (int i = 0; i < 20; i++) x[i] = 3;
    assert_int_equal(vlm_pca_rgb(ctx, x, 5, 4, rgb), VLM_OK);
    for (int i = 0; i < 15; i++) assert_int_equal(rgb[i], 128);
    assert_int_equal(vlm_pca_rgb(ctx, x, 1, 4, rgb), VLM_OK);
    x[0] = 4;                                  /* one direction alone: the others stay grey */
    assert_int_equal(vlm_pca_rgb(ctx, x, 5, 4, rgb), VLM_OK);
    assert_int_equal(rgb[0], 255);
    assert_int_equal(rgb[1], 128);
    assert_int_equal(rgb[5], 128);
    vlm_ctx_close(ctx);
}
static void test_similar(void **state) {
    (void)state;
    const float x[4 * 2] = { 1, 0, 2, 0, 0, 1, -1, 0 };
    uint8_t rgb[12];
    double lo;
    vlm_similar_rgb(x, 4, 2, 0, rgb, &lo);
    assert_true(lo == -1);
    assert_memory_equal(rgb, rgb + 3, 3);      /* length does not matter */
    assert_true(rgb[1] > rgb[7] && rgb[7] > rgb[10]);                  /* green falls from bright to dark */
    assert_true(rgb[0] > 200 && rgb[1] > 200 && rgb[2] < 150 && rgb[9] < 50 && rgb[11] > 50);
}
int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_axes), cmocka_unit_test(test_threads_do_not_matter),
                                        cmocka_unit_test(test_slow_spectrum),
                                        cmocka_unit_test(test_without_variance), cmocka_unit_test(test_similar) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

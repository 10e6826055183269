/* Resampling against Pillow (goldens, and hashes of larger pictures) and against a double reference for the float one. */
#include "temp.h"
#include "data/resize.h"
#include "io/npy.h"
#include <math.h>

static uint8_t *noise(int64_t n, uint32_t seed) {
    uint8_t *p = malloc((size_t)n);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++) p[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    return p;
}
static uint64_t hash(const uint8_t *p, int64_t n) {            /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325;
    for (int64_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3;
    return h;
}
/* Output and workspace of exactly the stated sizes: the sanitizers see a step beyond. */
static uint8_t *resized_by(unsigned cpu, vlm_ctx *ctx, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter f) {
    vlm_ops ops;
    vlm_ops_init(&ops, cpu);
    size_t bytes = vlm_resize_bytes(sh, sw, dh, dw, f);
    uint8_t *out = malloc((size_t)(dh * dw * 3));
    void *work = aligned_alloc(64, bytes);
    assert_non_null(out);
    assert_non_null(work);
    memset(work, 0xA5, bytes);
    vlm_resize(ctx, &ops, out, src, sh, sw, dh, dw, f, work);
    free(work);
    return out;
}
/* With what this machine has, and as the reference does it: the same bytes. */
static uint8_t *resized(vlm_ctx *ctx, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter f) {
    uint8_t *out = resized_by(vlm_cpu_flags(), ctx, src, sh, sw, dh, dw, f), *ref = resized_by(0, ctx, src, sh, sw, dh, dw, f);
    assert_memory_equal(out, ref, (size_t)(dh * dw * 3));
    free(ref);
    return out;
}

static void goldens(void **state) {
    (void)state;
    json_t *pairs;
    size_t i, compared = 0;
    assert_ok(vlm_json_read("tests/golden/cases/resize/pairs.json", &pairs));
    const json_t *pair;
    json_array_foreach(pairs, i, pair) {
        static const char *const filters[] = { "bicubic", "bilinear" };
        for (int f = 0; f < 2; f++) {
            char path[128];
            const char *id = json_string_value(json_object_get(pair, "id"));
            vlm_npy in, want;
            snprintf(path, sizeof path, "tests/golden/cases/resize/%s.in.npy", id);
            assert_ok(vlm_npy_open(path, &in));
            snprintf(path, sizeof path, "tests/golden/cases/resize/%s.%s.npy", id, filters[f]);
            assert_ok(vlm_npy_open(path, &want));
            uint8_t *got = resized(NULL, in.t.data, in.t.shape[0], in.t.shape[1], want.t.shape[0], want.t.shape[1], (vlm_filter)f);
            if (memcmp(got, want.t.data, want.t.bytes)) fail_msg("%s", path);
            compared++;
            free(got);
            vlm_npy_close(&in);
            vlm_npy_close(&want);
        }
    }
    assert_true(compared >= 20);
    json_decref(pairs);
}

/* Hashes of Pillow 12.1.1's results; the pictures are noise(sh·sw·3, 1000·sh + sw). */
static void hashes(void **state) {
    (void)state;
    static const struct { int64_t sh, sw, dh, dw; uint64_t want[2]; } cases[] = {
        { 1, 1, 1, 3, { 0x1db7be90985712c8, 0x1db7be90985712c8 } },
        { 1, 1, 64, 32, { 0x037b0a88cb5feb25, 0x037b0a88cb5feb25 } },
        { 1, 90, 16, 64, { 0x362a82cdd6a100e5, 0xfa8d97debd08f305 } },
        { 90, 1, 64, 16, { 0xe3bc0cd6c7a0e905, 0x8047a1e35f289d15 } },
        { 200, 300, 77, 102, { 0x00b66910f29fcad2, 0xe7db85829152f50a } },
        { 300, 200, 160, 96, { 0x4d6e74d9d80eea21, 0xf050c5e4fe30a4cf } },
        { 33, 31, 64, 64, { 0xcb8b50de1ede1d9b, 0x92e52668a7247ad1 } },
        { 17, 250, 250, 17, { 0x0f0f29d8517ce1b6, 0xf5970dc401063b71 } },
        { 400, 30, 20, 64, { 0xf13c9522efd35edf, 0x77e19b732033c926 } },
        { 640, 5, 32, 32, { 0x2a841806f34b2c23, 0x5fdd1ff978892525 } },
        { 120, 160, 120, 64, { 0x79cdc7f1d609cf5a, 0x8d6ff36fcfd4c777 } },
        { 120, 160, 60, 160, { 0x95362bedf8c0ad24, 0x741389c2ac5f8d73 } },
        { 7, 9, 300, 400, { 0xfb3d5f45d87253a6, 0x53389cc0acd5449c } },
        { 500, 333, 64, 43, { 0x4bf58a4076cf4ce6, 0xd75040c8a53cbf66 } },
    };
    vlm_ctx *ctx = vlm_ctx_open(3, 0);
    assert_non_null(ctx);
    ctx->eager = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int f = 0; f < 2; f++)
            for (int team = 0; team < 2; team++) {
                int64_t sh = cases[i].sh, sw = cases[i].sw, dh = cases[i].dh, dw = cases[i].dw;
                uint8_t *src = noise(sh * sw * 3, (uint32_t)(sh * 1000 + sw));
                uint8_t *got = resized(team ? ctx : NULL, src, sh, sw, dh, dw, (vlm_filter)f);
                if (hash(got, dh * dw * 3) != cases[i].want[f])
                    fail_msg("%lldx%lld to %lldx%lld, filter %d, %d threads", (long long)sh, (long long)sw, (long long)dh, (long long)dw,
                             f, team ? 3 : 1);
                free(got);
                free(src);
            }
    vlm_ctx_close(ctx);
}

static void same_size(void **state) {
    (void)state;
    uint8_t *src = noise(30 * 20 * 3, 7), *got = resized(NULL, src, 30, 20, 30, 20, VLM_BICUBIC);
    assert_memory_equal(src, got, 30 * 20 * 3);
    free(got);
    free(src);
}

/* The definition, in double: triangle stretched by the shrink factor, weights normalised, both sides at once. */
static double weight(int64_t i, int64_t x, int64_t in, int64_t out) {
    double scale = (double)in / (double)out, fs = scale < 1 ? 1 : scale, t = fabs(((double)x + 0.5 - ((double)i + 0.5) * scale) / fs);
    return t < 1 ? 1 - t : 0;
}
static double definition(const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, int c, int64_t y, int64_t x) {
    double sum = 0, all = 0;
    for (int64_t j = 0; j < sh; j++) {
        double v = weight(y, j, sh, dh);
        for (int64_t i = 0; v > 0 && i < sw; i++) {
            double w = v * weight(x, i, sw, dw);
            sum += w * src[(j * sw + i) * 3 + c] / 255;
            all += w;
        }
    }
    return sum / all;
}
static void floats(void **state) {
    (void)state;
    static const int64_t S[][4] = { {1,1,1,1}, {1,1,8,8}, {64,128,32,32}, {96,32,32,32}, {50,70,16,16}, {9,7,32,32}, {32,32,32,32},
                                    {128,32,32,32} };
    vlm_ctx *ctx = vlm_ctx_open(2, 0);
    assert_non_null(ctx);
    ctx->eager = true;
    for (size_t k = 0; k < sizeof S / sizeof *S; k++) {
        int64_t sh = S[k][0], sw = S[k][1], dh = S[k][2], dw = S[k][3], n = dh * dw;
        size_t bytes = vlm_resize_float_bytes(sh, sw, dh, dw);
        uint8_t *src = noise(sh * sw * 3, 99);
        float *a = malloc((size_t)n * 3 * sizeof *a), *b = malloc((size_t)n * 3 * sizeof *b);
        void *work = aligned_alloc(64, bytes);
        assert_true(a && b && work);
        vlm_resize_float(NULL, a, src, sh, sw, dh, dw, work);
        memset(work, 0xA5, bytes);
        vlm_resize_float(ctx, b, src, sh, sw, dh, dw, work);
        assert_memory_equal(a, b, (size_t)n * 3 * sizeof *a);
        for (int c = 0; c < 3; c++)
            for (int64_t y = 0; y < dh; y++)
                for (int64_t x = 0; x < dw; x++) {
                    double want = definition(src, sh, sw, dh, dw, c, y, x), got = (double)a[c * n + y * dw + x];
                    if (!(fabs(want - got) <= 2e-6))
                        fail_msg("case %zu, channel %d, %lld,%lld: want %.9g, got %.9g", k, c, (long long)y, (long long)x, want, got);
                }
        free(work);
        free(b);
        free(a);
        free(src);
    }
    vlm_ctx_close(ctx);
}

static void sizes(void **state) {
    (void)state;
    assert_true(vlm_resize_bytes(0, 1, 1, 1, VLM_BICUBIC) == SIZE_MAX);
    assert_true(vlm_resize_bytes(1, 1, 1, -1, VLM_BICUBIC) == SIZE_MAX);
    assert_true(vlm_resize_bytes(INT64_MAX, 1, 1, 1, VLM_BICUBIC) == SIZE_MAX);
    assert_true(vlm_resize_bytes(3000, 4000, 768, 1024, VLM_BICUBIC) < 10 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens), cmocka_unit_test(hashes), cmocka_unit_test(same_size), cmocka_unit_test(floats), cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

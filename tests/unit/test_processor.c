/* The size rule against known vectors and the goldens, its limits, and the pixels that come of a plan. */
#include "temp.h"
#include "data/picture.h"
#include "data/processor.h"
#include "io/json.h"
#include <math.h>

static vlm_image_rule rule_of(vlm_size_rule kind, int64_t patch, int64_t shuffle, int64_t block, int64_t max_size) {
    vlm_image_rule r = { .kind = kind, .patch = patch, .shuffle = shuffle, .block = block, .max_size = max_size };
    assert_ok(vlm_image_normalise("imagenet", &r));
    return r;
}
static vlm_image_plan plan_of(const vlm_image_rule *r, int64_t h, int64_t w) {
    vlm_image_plan p;
    assert_ok(vlm_image_plan_make(r, w, h, "it", &p));
    assert_int_equal(p.image_tokens, p.n * p.tokens.h * p.tokens.w);
    assert_int_equal(p.tile_h * p.rows, p.H);
    assert_int_equal(p.tile_w * p.cols, p.W);
    return p;
}

static void vectors(void **state) {
    (void)state;
    static const int64_t V[][5] = {            /* h, w, H, W, tokens: p = 32, m = 1024, s = 2 */
        { 480, 640, 480, 640, 300 }, { 1080, 1920, 576, 1024, 576 }, { 1000, 1000, 1024, 1024, 1024 }, { 500, 333, 512, 352, 176 },
        { 224, 224, 224, 224, 49 }, { 50, 2000, 32, 1024, 32 }, { 33, 31, 64, 64, 4 }, { 768, 1024, 768, 1024, 768 }, { 1, 1, 32, 32, 1 },
        { 4000, 3000, 1024, 768, 768 }, { 200, 200, 224, 224, 49 }, { 147, 147, 160, 160, 25 }, { 65500, 65500, 1024, 1024, 1024 },
        { 1, 65500, 32, 1024, 32 }, { 65500, 1, 1024, 32, 32 },
    };
    vlm_image_rule r = rule_of(VLM_RULE_DYNAMIC, 16, 2, 32, 1024);
    for (size_t i = 0; i < sizeof V / sizeof *V; i++) {
        vlm_image_plan p = plan_of(&r, V[i][0], V[i][1]);
        assert_int_equal(p.H, V[i][2]);
        assert_int_equal(p.W, V[i][3]);
        assert_int_equal(p.image_tokens, V[i][4]);
        assert_int_equal(p.patches.h, p.H / 16);
        assert_int_equal(p.patches.w, p.W / 16);
    }
    r.max_size = 1050;                         /* no multiple of 32: 1024 */
    assert_int_equal(plan_of(&r, 3000, 2000).H, 1024);
    r.block = 512, r.max_size = 2048;          /* where floating point gave 4 rows of tiles */
    assert_int_equal(plan_of(&r, 728, 546).W, 1024);
}

static void no_upscale_never_grows(void **state) {
    (void)state;
    vlm_image_rule r = rule_of(VLM_RULE_DYNAMIC, 16, 2, 32, 1024);
    r.no_upscale = true;
    for (int64_t h = 1; h < 1300; h += 7)
        for (int64_t w = 1; w < 1300; w += 11) {
            vlm_image_plan p = plan_of(&r, h, w);
            assert_true((p.H <= h || p.H == 32) && (p.W <= w || p.W == 32));
            assert_true(p.H <= 1024 && p.W <= 1024 && p.H % 32 == 0 && p.W % 32 == 0);
        }
}

static int64_t at(const json_t *row, size_t i) { return json_integer_value(json_array_get(row, i)); }
static void goldens(void **state) {
    (void)state;
    json_t *all;
    const json_t *row;
    size_t i, compared = 0, budgets = 0;
    assert_ok(vlm_json_read("tests/golden/cases/resize/rule.json", &all));
    json_array_foreach(json_object_get(all, "rows"), i, row) {
        const char *mode = json_string_value(json_array_get(row, 0));
        int64_t p = at(row, 1), m = at(row, 2), h = at(row, 3), w = at(row, 4);
        vlm_image_rule r = rule_of(VLM_RULE_TILES, p, 1, p, m);
        vlm_image_plan plan;
        r.no_upscale = !strcmp(mode, "no_upscale");
        r.fill_max = !strcmp(mode, "max_side");
        plan = plan_of(&r, h, w);
        if (plan.H != at(row, 5) || plan.W != at(row, 6))
            fail_msg("%s, p %lld, m %lld, %lldx%lld: %lldx%lld", mode, (long long)p, (long long)m, (long long)h, (long long)w,
                     (long long)plan.H, (long long)plan.W);
        r.compat = true;
        if (at(row, 7) % p || at(row, 8) % p)
            assert_failure(vlm_image_plan_make(&r, w, h, "it", &plan), VLM_EUNSUPPORTED, "it", "leave out --compat-resize");
        else {
            plan = plan_of(&r, h, w);
            assert_int_equal(plan.H, at(row, 7));
            assert_int_equal(plan.W, at(row, 8));
        }
        compared++;
    }
    json_array_foreach(json_object_get(all, "budget"), i, row) {
        int64_t q = at(row, 1), n = at(row, 2), h = at(row, 3), w = at(row, 4), H = at(row, 5), W = at(row, 6);
        vlm_image_rule r = rule_of(VLM_RULE_DYNAMIC, q, 1, q, 65536);
        if (plan_of(&r, h, w).image_tokens <= n) continue;     /* the budget is not asked */
        r.max_tokens = n;
        vlm_image_plan p = plan_of(&r, h, w);
        assert_true(p.image_tokens <= n);
        if (H / q * (W / q) > n) continue;     /* too thin for the formula: cut to n blocks in a row */
        assert_int_equal(p.H, H);
        assert_int_equal(p.W, W);
        budgets++;
    }
    assert_true(compared >= 100 && budgets >= 50);
    json_decref(all);
}

static void budget_holds(void **state) {
    (void)state;
    vlm_image_rule r = rule_of(VLM_RULE_DYNAMIC, 16, 2, 32, 1024), t = rule_of(VLM_RULE_TILES, 16, 4, 512, 2048);
    t.global_tile = true;
    for (int64_t h = 1; h < 70000; h = h * 3 + 1)
        for (int64_t w = 1; w < 70000; w = w * 2 + 1)
            for (int64_t n = 1; n <= 4096; n *= 3) {
                vlm_image_plan free_size = plan_of(&r, h, w), p;
                vlm_image_rule b = r;
                b.max_tokens = n;
                p = plan_of(&b, h, w);
                assert_true(p.image_tokens <= n && p.H <= free_size.H && p.W <= free_size.W);
                b = t;
                b.max_tokens = n * 64;         /* a tile is 8 × 8 tokens */
                assert_true(plan_of(&b, h, w).image_tokens <= n * 64);
            }
}

static void tiles_and_fixed(void **state) {
    (void)state;
    vlm_image_rule r = rule_of(VLM_RULE_TILES, 16, 4, 512, 2048);
    r.fill_max = r.global_tile = true;
    vlm_image_plan p = plan_of(&r, 480, 640);
    assert_true(p.H == 1536 && p.W == 2048 && p.rows == 3 && p.cols == 4 && p.n == 13 && p.image_tokens == 13 * 64);
    r.fill_max = false;
    p = plan_of(&r, 300, 500);                 /* one tile: no global one */
    assert_true(p.n == 1 && p.rows == 1 && p.cols == 1 && p.image_tokens == 64);
    r.max_tokens = 63;
    assert_failure(vlm_image_plan_make(&r, 500, 300, "it", &p), VLM_ELIMIT, "it", "raise --max-image-tokens");
    r = rule_of(VLM_RULE_FIXED, 14, 1, 384, 0);
    p = plan_of(&r, 10, 1000);
    assert_true(p.H == 384 && p.W == 384 && p.patches.h == 27 && p.image_tokens == 729);       /* the last 6 pixels are in no patch */
    assert_true(fabs(p.stretch - 0.01) < 1e-9);
}

static void impossible(void **state) {
    (void)state;
    vlm_image_plan p;
    vlm_image_rule r = rule_of(VLM_RULE_DYNAMIC, 16, 2, 48, 1024);
    assert_failure(vlm_image_plan_make(&r, 9, 9, "it", &p), VLM_EFORMAT, "", "block 48 is no multiple of patch 16 times shuffle 2");
    r = rule_of(VLM_RULE_TILES, 16, 3, 512, 1024);
    assert_failure(vlm_image_rule_check(&r, "where"), VLM_EFORMAT, "where", "32 patches a side cannot be shuffled by 3");
    r = rule_of(VLM_RULE_DYNAMIC, 0, 1, 16, 1024);
    assert_failure(vlm_image_rule_check(&r, "where"), VLM_EFORMAT, "where", "cannot go together");
    r = rule_of(VLM_RULE_DYNAMIC, 16, 2, 32, 0);
    assert_failure(vlm_image_rule_check(&r, "where"), VLM_EARG, "--max-size", "not between 1 and");
    r = rule_of(VLM_RULE_DYNAMIC, 16, 2, 32, 1024);
    r.max_tokens = -1;
    assert_failure(vlm_image_rule_check(&r, "where"), VLM_EARG, "--max-image-tokens", "-1");
    r.max_tokens = 0, r.std[1] = 0;
    assert_failure(vlm_image_rule_check(&r, "where"), VLM_EFORMAT, "where", "normalises nothing");
    r.std[1] = 1;
    assert_failure(vlm_image_plan_make(&r, 0, 9, "it", &p), VLM_EARG, "it", "no size of an image");
    assert_failure(vlm_image_plan_make(&r, 9, INT64_MAX, "it", &p), VLM_EARG, "it", "no size of an image");
    assert_failure(vlm_image_normalise("foo", &r), VLM_EARG, "foo", "none, imagenet, siglip, sat");
}

static void *bytes_of(size_t n) {
    void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);
    assert_non_null(p);
    memset(p, 0xA5, n);
    return p;
}
static void pixels(void **state) {
    (void)state;
    vlm_image_rule rules[] = { rule_of(VLM_RULE_DYNAMIC, 16, 2, 32, 128), rule_of(VLM_RULE_TILES, 16, 2, 32, 96),
                               rule_of(VLM_RULE_FIXED, 8, 1, 40, 0) };
    vlm_ctx *ctx = vlm_ctx_open(3, 0);
    vlm_ops ops;
    vlm_ops_init(&ops, vlm_cpu_flags());
    assert_non_null(ctx);
    ctx->eager = true;
    rules[1].global_tile = true;
    rules[2].filter = VLM_BILINEAR;
    uint8_t *rgb = bytes_of(90 * 70 * 3);
    for (int i = 0; i < 90 * 70 * 3; i++) rgb[i] = (uint8_t)((i * 37 + i / 70 * 11) % 256);
    for (int k = 0; k < 3; k++) {
        const vlm_image_rule *r = &rules[k];
        vlm_image_plan p = plan_of(r, 70, 90);
        size_t n = (size_t)(p.n * 3 * p.tile_h * p.tile_w) * sizeof(float), u8n = (size_t)(p.H * p.W * 3);
        uint8_t *u8 = malloc(u8n), *plain = malloc(u8n);
        float *a = malloc(n), *b = malloc(n), *global = malloc(n);
        void *work = bytes_of(vlm_process_bytes(r, &p)), *rework = bytes_of(vlm_resize_bytes(70, 90, p.H, p.W, r->filter)),
             *whole = bytes_of(vlm_resize_float_bytes(p.H, p.W, p.tile_h, p.tile_w));
        assert_true(u8 && plain && a && b && global);
        const vlm_bitmap picture = { .w = 90, .h = 70, .rgb = rgb };
        vlm_process(NULL, &ops, r, &p, &picture, u8, a, work);
        vlm_process(ctx, &ops, r, &p, &picture, NULL, b, work);
        assert_memory_equal(a, b, n);
        vlm_resize(NULL, &ops, plain, rgb, 70, 90, p.H, p.W, r->filter, rework);
        assert_memory_equal(u8, plain, u8n);
        vlm_resize_float(NULL, global, u8, p.H, p.W, p.tile_h, p.tile_w, whole);
        int64_t first = p.n - p.rows * p.cols, size = p.tile_h * p.tile_w;
        assert_int_equal(first, k == 1);
        for (int64_t t = 0; t < p.n; t++)
            for (int c = 0; c < 3; c++)
                for (int64_t y = 0; y < p.tile_h; y++)
                    for (int64_t x = 0; x < p.tile_w; x++) {
                        int64_t row = (t - first) / p.cols * p.tile_h + y, col = (t - first) % p.cols * p.tile_w + x;
                        float v = t < first ? global[c * size + y * p.tile_w + x] : (float)u8[(row * p.W + col) * 3 + c] / 255.0f;
                        float want = (v - r->mean[c]) / r->std[c], got = a[(t * 3 + c) * size + y * p.tile_w + x];
                        if (want != got) fail_msg("rule %d, tile %lld, %d,%lld,%lld", k, (long long)t, c, (long long)y, (long long)x);
                    }
        free(whole), free(rework), free(work), free(global), free(b), free(a), free(plain), free(u8);
    }
    free(rgb);
    vlm_ctx_close(ctx);
}

/* Half, a quarter, an eighth: only of a JPEG, and never below what it is resized to; close to what all pixels give. */
static void fast_decoding(void **state) {
    (void)state;
    static const struct { int64_t size, reduce; } cases[] = { { 452, 1 }, { 228, 1 }, { 226, 2 }, { 112, 4 }, { 56, 8 }, { 8, 8 } };
    vlm_image_info cat;                        /* 451 x 300 */
    unsigned char *data;
    size_t bytes;
    vlm_ops ops;
    vlm_ops_init(&ops, vlm_cpu_flags());
    assert_ok(vlm_image_read("examples/cat.jpg", NULL, &data, &bytes));
    assert_ok(vlm_image_probe(data, bytes, "cat", NULL, &cat));
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        vlm_image_rule r = rule_of(VLM_RULE_DYNAMIC, 2, 1, 2, cases[k].size);
        assert_int_equal(vlm_image_reduction(&r, &cat), 1);
        r.fast_decode = true;
        r.no_upscale = true;
        assert_int_equal(vlm_image_reduction(&r, &cat), cases[k].reduce);
        vlm_image_info png = cat;
        png.format = "PNG";
        assert_int_equal(vlm_image_reduction(&r, &png), 1);
        vlm_image_limits limits = VLM_IMAGE_LIMITS;
        limits.fit = &r;
        vlm_bitmap whole, fast;
        assert_ok(vlm_image_decode(data, bytes, "cat", NULL, &whole));
        assert_ok(vlm_image_decode(data, bytes, "cat", &limits, &fast));
        assert_true(fast.w == 451 && fast.h == 300 && fast.reduce == cases[k].reduce);
        vlm_image_plan p = plan_of(&r, 300, 451);
        int64_t n = p.H * p.W * 3, sum = 0, most = 0;
        uint8_t *a = malloc((size_t)n), *b = malloc((size_t)n);
        void *work = bytes_of(vlm_process_bytes(&r, &p));
        assert_true(a && b);
        vlm_process(NULL, &ops, &r, &p, &whole, a, NULL, work);
        vlm_process(NULL, &ops, &r, &p, &fast, b, NULL, work);
        for (int64_t i = 0; i < n; i++) {
            int64_t d = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
            sum += d;
            if (most < d) most = d;
        }
        print_message("cat.jpg at %lldx%lld, decoded at 1/%lld: mean absolute difference %.2f, largest %lld of 255\n", (long long)p.W,
                      (long long)p.H, (long long)fast.reduce, (double)sum / (double)n, (long long)most);
        assert_true(cases[k].reduce == 1 ? !sum : (double)sum / (double)n < 8);
        free(work), free(b), free(a);
        vlm_bitmap_close(&fast);
        vlm_bitmap_close(&whole);
    }
    free(data);
}

static void pictures(void **state) {
    (void)state;
    uint8_t map[2 * 3 * 3] = { 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 0, 0, 0, 255, 255, 255 };
    vlm_bitmap b;
    assert_ok(vlm_picture_write(temp("a.png"), map, 2, 3, 2, 3));
    assert_ok(vlm_bitmap_open(temp("a.png"), NULL, &b));
    assert_true(b.w == 3 && b.h == 2);
    assert_memory_equal(b.rgb, map, sizeof map);
    vlm_bitmap_close(&b);
    assert_ok(vlm_picture_write(temp("b.png"), map, 2, 3, 40, 60));
    assert_ok(vlm_bitmap_open(temp("b.png"), NULL, &b));
    assert_true(b.w == 60 && b.h == 40 && b.rgb[0] == 255 && b.rgb[1] == 0 && b.rgb[40 * 60 * 3 - 1] == 255);
    vlm_bitmap_close(&b);
    assert_failure(vlm_picture_write(temp("no/c.png"), map, 2, 3, 2, 3), VLM_EIO, "c.png", "cannot");
    assert_failure(vlm_picture_write(temp("c.png"), map, 2, 3, 0, 3), VLM_EARG, "c.png", "no size");
    if (vlm_picture_write("/dev/full/c.png", map, 2, 3, 2, 3) == VLM_OK) fail_msg("wrote into a device");
    assert_int_equal(temp_count(), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors), cmocka_unit_test(no_upscale_never_grows), cmocka_unit_test(goldens), cmocka_unit_test(budget_holds),
        cmocka_unit_test(tiles_and_fixed), cmocka_unit_test(impossible), cmocka_unit_test(pixels), cmocka_unit_test(fast_decoding),
        cmocka_unit_test(pictures),
    };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

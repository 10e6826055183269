/* Which image rule a folder follows: a bare encoder's, nanoVLM's of either tree, vlm.json's; options; what does not go together. */
#include "folder.h"
#include "data/rule.h"

static vlm_status rule_with(const char *dir, const vlm_rule_options *o, vlm_image_rule *r) {
    vlm_net *net = NULL;
    vlm_status s = vlm_net_open(dir, &(vlm_net_options){ .threads = 1, .structure_only = true }, &net);
    if (!s) s = vlm_image_rule_of(net, o, r);
    vlm_net_close(net);
    return s;
}
static vlm_status rule_of(const char *dir, vlm_image_rule *r) { return rule_with(dir, &(vlm_rule_options){ 0 }, r); }
static bool stats(const vlm_image_rule *r, float mean, float std) { return fabsf(r->mean[0] - mean) < 1e-6f &&
    fabsf(r->std[0] - std) < 1e-6f; }

static void encoders(void **state) {
    (void)state;
    vlm_image_rule r;
    assert_ok(rule_of("tests/golden/models/dinov3_splus", &r));
    assert_true(r.kind == VLM_RULE_DYNAMIC && r.patch == 8 && r.block == 8 && r.shuffle == 1 && r.max_size == 1024 &&
        r.filter == VLM_BICUBIC && stats(&r, 0.485f, 0.229f));
    assert_ok(rule_of("tests/golden/models/dinov2_reg", &r));
    assert_true(r.kind == VLM_RULE_DYNAMIC && r.block == 7 && stats(&r, 0.485f, 0.229f));
    assert_ok(rule_of("tests/golden/models/siglip", &r));
    assert_true(r.kind == VLM_RULE_FIXED && r.block == 32 && r.filter == VLM_BILINEAR && stats(&r, 0.5f, 0.5f));
    const char *d = folder("siglip");
    set_key("preprocessor_config.json", "resample", "3");
    set_key("preprocessor_config.json", "image_mean", "[0.1, 0.2, 0.3]");
    assert_ok(rule_of(d, &r));
    assert_true(r.filter == VLM_BICUBIC && stats(&r, 0.1f, 0.5f) && r.mean[2] == 0.3f);
    set_key("preprocessor_config.json", "resample", "0");
    assert_failure(rule_of(d, &r), VLM_EUNSUPPORTED, "preprocessor_config.json", "resample is 0");
    set_key("preprocessor_config.json", "resample", "2");
    set_key("preprocessor_config.json", "image_std", "[1, 0, 1]");
    assert_true(rule_of(d, &r) == VLM_EFORMAT);
    set_key("preprocessor_config.json", "image_std", "[1, 1]");
    assert_failure(rule_of(d, &r), VLM_EFORMAT, "preprocessor_config.json", "image_std");
    set_key("preprocessor_config.json", "image_std", "[1, 1, null]");
    assert_failure(rule_of(d, &r), VLM_EFORMAT, "preprocessor_config.json", "image_std");
    temp_write("model/preprocessor_config.json", "[]", 2);
    assert_failure(rule_of(d, &r), VLM_EFORMAT, "preprocessor_config.json", "");
    d = folder("dinov3_splus");                /* satellite's statistics */
    set_key("preprocessor_config.json", "image_mean", "[0.430, 0.411, 0.296]");
    set_key("preprocessor_config.json", "image_std", "[0.213, 0.156, 0.143]");
    assert_ok(rule_of(d, &r));
    assert_true(stats(&r, 0.430f, 0.213f));
}

static void nanovlm(void **state) {
    (void)state;
    vlm_image_rule r;
    assert_ok(rule_of("tests/golden/models/vlm_dino", &r));
    assert_true(r.kind == VLM_RULE_DYNAMIC && r.block == 16 && r.shuffle == 2 && r.max_size == 64 && stats(&r, 0.485f, 0.229f));
    assert_ok(rule_of("tests/golden/models/vlm_siglip_fork", &r));     /* the fork fed SigLIP ImageNet's statistics */
    assert_true(r.kind == VLM_RULE_TILES && r.block == 16 && !r.global_tile && !r.fill_max && r.max_size == 32 && stats(&r, 0.485f,
        0.229f));
    assert_ok(rule_of("tests/golden/models/vlm_siglip_up", &r));       /* upstream raw [0,1] */
    assert_true(r.kind == VLM_RULE_TILES && r.global_tile && r.fill_max && stats(&r, 0, 1));
    const char *d = folder("vlm_siglip_up");
    set_key("config.json", "resize_to_max_side_len", "false");
    assert_ok(rule_of(d, &r));
    assert_true(!r.fill_max && r.global_tile && stats(&r, 0, 1));
    set_key("config.json", "resize_to_max_side_len", NULL);            /* the default changed when the global tile came */
    assert_ok(rule_of(d, &r));
    assert_true(r.fill_max);
    set_key("config.json", "vlm_extra_tokens", "{\"image_token\":\"<|image|>\"}");
    assert_ok(rule_of(d, &r));
    assert_true(!r.fill_max && !r.global_tile && stats(&r, 0, 1));
    set_key("config.json", "max_img_size", "0");
    assert_failure(rule_of(d, &r), VLM_EFORMAT, "config.json", "max_img_size");
    set_key("config.json", "max_img_size", "\"1024\"");
    assert_failure(rule_of(d, &r), VLM_EFORMAT, "config.json", "max_img_size");
}

static void options(void **state) {
    (void)state;
    vlm_image_rule r = { .patch = -7 };
    const char *dino = "tests/golden/models/vlm_dino", *siglip = "tests/golden/models/siglip";
    assert_failure(rule_with(siglip, &(vlm_rule_options){ .max_size = 64 }, &r), VLM_EARG, "--max-size", "32 x 32");
    assert_failure(rule_with(siglip, &(vlm_rule_options){ .no_upscale = true }, &r), VLM_EARG, "--no-upscale", "");
    assert_failure(rule_with(siglip, &(vlm_rule_options){ .max_tokens = 5 }, &r), VLM_EARG, "--max-image-tokens", "");
    assert_failure(rule_with(dino, &(vlm_rule_options){ .max_size = -1 }, &r), VLM_EARG, "--max-size", "");
    assert_failure(rule_with(dino, &(vlm_rule_options){ .max_size = INT64_MAX }, &r), VLM_EARG, "--max-size", "");
    assert_failure(rule_with(dino, &(vlm_rule_options){ .max_tokens = -1 }, &r), VLM_EARG, "--max-image-tokens", "");
    assert_int_equal(r.patch, -7);
    assert_ok(rule_with(dino, &(vlm_rule_options){ .max_size = 512, .max_tokens = 9, .no_upscale = true, .compat = true }, &r));
    assert_true(r.max_size == 512 && r.max_tokens == 9 && r.no_upscale && r.compat);
}

/* vlm.json's "image": what vlm_image_rule_json writes is read back; what is odd in it is refused by its key. */
static void own(void **state) {
    (void)state;
    vlm_image_rule r, back;
    const char *d;
    static const struct { const char *key, *value; vlm_status want; const char *words; } wrong[] = {
        { "rule", "\"spiral\"", VLM_EUNSUPPORTED, "spiral" }, { "rule", "null", VLM_EFORMAT, "rule" },
        { "rule", "1", VLM_EFORMAT, "rule" }, { "filter", "\"lanczos\"", VLM_EUNSUPPORTED, "lanczos" },
        { "block", "0", VLM_EFORMAT, "block" }, { "block", "65537", VLM_EFORMAT, "block" }, { "block", "24", VLM_EFORMAT, "block" },
        { "block", "null", VLM_EFORMAT, "block" },
        { "max_size", "-1", VLM_EFORMAT, "max_size" }, { "max_size", "0", VLM_EFORMAT, "max_size is 0" },
        { "max_tokens", "1e30", VLM_EFORMAT, "max_tokens" },
        { "no_upscale", "1", VLM_EFORMAT, "no_upscale" }, { "fill_max", "\"\"", VLM_EFORMAT, "fill_max" },
        { "global_tile", "[]", VLM_EFORMAT, "global_tile" },
        { "mean", "[1, 2]", VLM_EFORMAT, "mean" }, { "mean", "[1e300, 0, 0]", VLM_EFORMAT, "mean" },
        { "mean", "\"imagenet\"", VLM_EFORMAT, "mean" },
        { "std", "[1, 1, \"1\"]", VLM_EFORMAT, "std" }, { "std", "[0, 1, 1]", VLM_EFORMAT, "deviation" },
        { "std", "null", VLM_EFORMAT, "no list std" }, { "mean", "null", VLM_EFORMAT, "no list mean" } };
    json_t *v = NULL, *l = NULL, *image;
    assert_ok(vlm_json_read("tests/golden/models/dinov3_splus/config.json", &v));
    assert_ok(vlm_json_read("tests/golden/models/llama/config.json", &l));
    json_object_set_new(v, "intermediate_size", json_integer(64));     /* vlm_dino's sizes */
    json_object_set_new(l, "hidden_size", json_integer(24));
    json_object_set_new(l, "intermediate_size", json_integer(48));
    json_object_set_new(l, "head_dim", json_integer(8));
    assert_ok(rule_of("tests/golden/models/vlm_dino", &r));
    r.no_upscale = true, r.max_tokens = 77, r.mean[1] = 0.1f, r.std[2] = 3;
    for (size_t i = 0; i <= sizeof wrong / sizeof *wrong; i++) {
        char *text;
        bool good = i == sizeof wrong / sizeof *wrong;
        d = folder("vlm_dino");
        image = vlm_image_rule_json(&r);
        if (!good) json_object_set_new(image, wrong[i].key, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        text = json_dumps(image, JSON_REAL_PRECISION(17)), set_key("vlm.json", "image", text), free(text);
        set_key("vlm.json", "format_version", "1");
        text = json_dumps(v, 0), set_key("vlm.json", "vision_config", text), free(text);
        text = json_dumps(l, 0), set_key("vlm.json", "language_config", text), free(text);
        json_decref(image);
        if (good) {
            assert_ok(rule_of(d, &back));
            assert_true(back.kind == r.kind && back.block == r.block && back.max_size == r.max_size && back.max_tokens == 77 &&
                back.no_upscale && back.filter == r.filter);
            assert_memory_equal(back.mean, r.mean, sizeof r.mean);
            assert_memory_equal(back.std, r.std, sizeof r.std);
            continue;
        }
        vlm_status s = rule_of(d, &back);
        if (s != wrong[i].want) print_error("%s %s\n", wrong[i].key, wrong[i].value);
        assert_failure(s, wrong[i].want, "", wrong[i].words);
    }
    json_decref(v);
    json_decref(l);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(encoders), cmocka_unit_test(nanovlm), cmocka_unit_test(options),
        cmocka_unit_test(own) };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

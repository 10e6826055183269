/* vlm_quantize: every matrix is what linear_pack makes of the source's, everything else is as it was; the report counts what it measured;
   a folder appears with its report or not at all. */
#include "folder.h"
#include "infer/convert.h"
#include "infer/quantize.h"
#include "infer/session.h"
#include "model/packed.h"

#define MODELS "tests/golden/models/"
static vlm_model *opened(const char *dir) {
    vlm_model *m = NULL;
    assert_ok(vlm_model_open(dir, &(vlm_model_options){ .threads = 2 }, &m));
    return m;
}
static vlm_status quantize(vlm_model *m, vlm_quantize_options o, json_t **report) {
    o.threads = 2;
    return vlm_quantize(m, &(vlm_model_options){ .threads = 2 }, &o, report);
}
static double figure(const json_t *j, const char *part, const char *key) {
    const json_t *v = json_object_get(json_object_get(j, part), key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static vlm_dtype expected(const vlm_param *p, const char *vision, const char *language) {
    bool block = strstr(p->name, ".blocks.") != NULL;
    if (p->group == VLM_VISION && block && !strcmp(vision, "int8")) return VLM_I8;
    if (p->group == VLM_LANGUAGE && strcmp(language, "none")) return block && !strcmp(language, "int4") ? VLM_G4 : VLM_G8;
    return p->mat->dtype;
}
/* The operand that begins with params row i of the loaded model, packed by hand in one piece. */
static void check_operand(vlm_ctx *ctx, const vlm_net *a, const vlm_net *b, int i, vlm_dtype t) {
    const vlm_param *p = &a->params.p[i];
    vlm_mat m = *p->mat, from = { .dtype = VLM_F32, .layout = VLM_ROWS, .rows = m.rows, .cols = m.cols };
    vlm_param all = { .ndim = 2, .shape = { m.rows, m.cols }, .mat = p->mat };
    int64_t bad = 0;
    assert_int_equal(b->params.p[i].mat->dtype, t);
    if (t == p->mat->dtype) {
        assert_memory_equal(p->mat->data, b->params.p[i].mat->data, (size_t)vlm_mat_bytes(p->mat));
        return;
    }
    m.dtype = t;
    from.data = malloc((size_t)(m.rows * m.cols) * sizeof(float));
    m.data = aligned_alloc(64, (size_t)vlm_mat_bytes(&m) + 64 - (size_t)vlm_mat_bytes(&m) % 64);
    assert_true(from.data && m.data);
    assert_ok(vlm_params_values(&all, ctx, &a->ops, 0, m.rows, from.data));
    a->ops.linear_pack(ctx, &m, 0, &from, &bad);
    assert_int_equal(bad, 0);
    assert_memory_equal(m.data, b->params.p[i].mat->data, (size_t)vlm_mat_bytes(&m));
    /* and read back: within half a step of what it was */
    float *back = malloc((size_t)(m.rows * m.cols) * sizeof(float)), scale;
    assert_non_null(back);
    all.mat = b->params.p[i].mat;
    assert_ok(vlm_params_values(&all, ctx, &a->ops, 0, m.rows, back));
    for (int64_t r = 0; r < m.rows; r++)
        for (int64_t c = 0; c < m.cols; c++) {
            int q = vlm_quant_at(&m, r, c, &scale);
            float was = ((float *)from.data)[r * m.cols + c], is = back[r * m.cols + c], steps = t == VLM_G4 ? 2.01f : 0.51f;
            assert_true(is == scale * (float)q);
            assert_true(fabsf(is - was) <= steps * fabsf(scale) + 0.003f * fabsf(was));        /* f16 scales; G4 may cut the ends */
        }
    free(back);
    free(from.data);
    free(m.data);
}
static void operands(void **state) {
    (void)state;
    static const struct { const char *model, *vision, *language; } cases[] = {
        { "vlm_dino", NULL, NULL }, { "vlm_dino", "none", "int4" }, { "vlm_dino_bf16", "int8", "none" }, { "vlm_gemma", "int8", "int4" },
        { "vlm_siglip_up", "int8", "int8" }, { "vlm_dinov2_giant", "int8", "int4" }, { "dinov3_splus", NULL, NULL },
        { "dinov2_reg", "int8", NULL }, { "siglip_bf16", NULL, NULL }, { "llama_untied", NULL, "int4" }, { "gemma3_bf16", NULL, "int4" },
        { "llama_f16", NULL, "int8" } };
    vlm_ctx *ctx = vlm_ctx_open(2, VLM_SCRATCH_BYTES);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char dir[256];
        const char *out = temp_fresh("out"), *v = cases[c].vision ? cases[c].vision : "int8";
        const char *l = cases[c].language ? cases[c].language : "int8";
        json_t *report = NULL, *stored = NULL;
        int changed = 0;
        snprintf(dir, sizeof dir, MODELS "%s", cases[c].model);
        vlm_model *a = opened(dir);
        assert_ok(quantize(a, (vlm_quantize_options){ .out = out, .vision = cases[c].vision, .language = cases[c].language }, &report));
        vlm_model *b = opened(out);
        assert_true(b->net->packed && a->net->params.n == b->net->params.n);
        for (int i = 0; i < a->net->params.n; i++) {
            const vlm_param *p = &a->net->params.p[i], *q = &b->net->params.p[i];
            if (p->tied) continue;
            if (!p->mat) {
                for (int64_t k = 0; k < vlm_param_len(p); k++) assert_true((*p->vec)[p->row + k] == (*q->vec)[q->row + k]);
                continue;
            }
            if (p->row) continue;
            changed += expected(p, v, l) != p->mat->dtype;
            check_operand(ctx, a->net, b->net, i, expected(p, v, l));
        }
        if (a->net->language) assert_true(a->net->lm.cfg.embed_scale == b->net->lm.cfg.embed_scale);
        assert_int_equal(json_array_size(json_object_get(report, "layers")), changed);
        json_t *j;
        size_t n;
        json_array_foreach(json_object_get(report, "layers"), n, j) {
            double cosine = json_number_value(json_object_get(j, "cosine")), worst = json_number_value(json_object_get(j, "worst_cosine"));
            double error = json_number_value(json_object_get(j, "max_error"));
            bool four = !strcmp(json_string_value(json_object_get(j, "type")), "g4");
            if (!(cosine > (four ? 0.98 : 0.999) && cosine < 1 && worst <= cosine + 1e-9 && error > 0))
                fail_msg("%s: %s: cosine %g, worst %g", cases[c].model, json_string_value(json_object_get(j, "name")), cosine, worst);
        }
        assert_true((a->net->vision != NULL) == (json_object_get(report, "features") != NULL));
        assert_true((a->net->language != NULL) == (json_object_get(report, "logits") != NULL));
        if (a->net->vision) assert_true(figure(report, "features", "cosine") > 0.995 && figure(report, "features", "patches") > 10);
        if (a->net->vision && !strcmp(v, "none")) assert_true(figure(report, "features", "worst_cosine") > 1 - 1e-9);
        if (a->net->language && !strcmp(l, "none")) assert_true(figure(report, "logits", "worst_kl") < 1e-9);
        if (a->net->language) assert_true(figure(report, "logits", "kl") < 0.5 && figure(report, "logits", "positions") > 32);
        assert_true(figure(report, "size", "after_bytes") < figure(report, "size", "before_bytes"));
        assert_int_equal((int64_t)figure(report, "size", "after_bytes"), vlm_net_bytes(b->net));
        char path[600];
        snprintf(path, sizeof path, "%s/quantization.json", out);
        assert_ok(vlm_json_read(path, &stored));
        assert_int_equal(json_array_size(json_object_get(stored, "layers")), changed);
        snprintf(path, sizeof path, "%s/quantization.md", out);
        assert_true(access(path, F_OK) == 0);
        json_decref(stored);
        json_decref(report);
        vlm_model_close(a);
        vlm_model_close(b);
    }
    vlm_ctx_close(ctx);
}

/* One picture's features through a quantized folder do not depend on threads or company, as through any. */
static void same_bits(void **state) {
    (void)state;
    const char *out = temp_fresh("out");
    vlm_model *a = opened(MODELS "dinov3_s");
    assert_ok(quantize(a, (vlm_quantize_options){ .out = out }, NULL));
    vlm_model_close(a);
    vlm_model *b = opened(out);
    vlm_image *image[2];
    assert_ok(vlm_image_load(b, "tests/golden/images/rgb_64x48.png", &image[0]));
    assert_ok(vlm_image_load(b, "tests/golden/images/rgb_33x31.png", &image[1]));
    vlm_features *f[2];
    for (int i = 0; i < 2; i++) {
        vlm_session *s;
        assert_ok(vlm_session_open(b, &(vlm_session_options){ .threads = 1 + i }, &s));
        const vlm_image *two[] = { image[1], image[0] };
        assert_ok(i ? vlm_encode(s, two, 2, &f[i]) : vlm_encode(s, &two[1], 1, &f[i]));
        vlm_session_close(s);
    }
    assert_memory_equal(f[0]->image[0].patches, f[1]->image[1].patches, (size_t)f[0]->image[0].patch_len * sizeof(float));
    for (int i = 0; i < 2; i++) {
        vlm_features_free(f[i]);
        vlm_image_free(image[i]);
    }
    vlm_model_close(b);
}

static int scored;
static vlm_status score(void *user, const vlm_model *m, json_t **out) {
    scored++;
    if (m->net->packed && user) return vlm_fail(VLM_EIO, "data", "went away; bring it back");
    *out = json_pack("{s:i,s:{s:{s:f,s:f,s:f}}}", "samples", 3, "metrics", "exact", "mean", m->net->packed ? 0.5 : 0.75, "low", 0.1, "high",
                     0.9);
    return VLM_OK;
}
static int stop_at(void *user, const char *what, int64_t done, int64_t total) {
    (void)done;
    (void)total;
    return !strcmp(what, user);
}
static void whole_or_not(void **state) {
    (void)state;
    char out[512], path[600];
    vlm_model *a = opened(MODELS "vlm_dino");
    json_t *report = NULL;
    snprintf(out, sizeof out, "%s", temp_fresh("out"));
    int before = temp_count();
    assert_failure(quantize(a, (vlm_quantize_options){ .out = out, .score = score, .user = "" }, &report), VLM_EIO, "data", "went away");
    assert_true(scored == 2 && !report);
    static const char *const steps[] = { "tensors", "measurements" };
    for (size_t i = 0; i < 2; i++) {
        vlm_log_set(NULL, stop_at, (void *)(uintptr_t)steps[i]);
        assert_int_equal(quantize(a, (vlm_quantize_options){ .out = out }, &report), VLM_ESTOPPED);
        vlm_log_set(NULL, NULL, NULL);
    }
    assert_int_equal(temp_count(), before);
    assert_ok(quantize(a, (vlm_quantize_options){ .out = out, .score = score }, &report));
    const json_t *after = json_object_get(json_object_get(report, "score"), "after");
    assert_true(figure(json_object_get(after, "metrics"), "exact", "mean") == 0.5);
    json_decref(report);
    assert_failure(quantize(a, (vlm_quantize_options){ .out = out }, NULL), VLM_EIO, "out", "--force");
    assert_ok(quantize(a, (vlm_quantize_options){ .out = out, .force = true, .language = "int4" }, NULL));
    snprintf(path, sizeof path, "grep -q 'language int4' %s/quantization.md", out);
    assert_int_equal(system(path), 0);
    /* the model's ops are its own again */
    vlm_ops own;
    vlm_ops_init(&own, vlm_cpu_flags());
    assert_true(a->net->ops.linear_forward == own.linear_forward && a->net->ops.embed_forward == own.embed_forward);
    vlm_model_close(a);
}
static void refusals(void **state) {
    (void)state;
    char out[512];
    snprintf(out, sizeof out, "%s", temp_fresh("out"));
    vlm_model *whole = opened(MODELS "vlm_dino"), *encoder = opened(MODELS "dinov3_s"), *language = opened(MODELS "llama");
    assert_failure(quantize(whole, (vlm_quantize_options){ 0 }, NULL), VLM_EARG, "-o", "missing");
    assert_failure(quantize(whole, (vlm_quantize_options){ .out = out, .vision = "int4" }, NULL),
                   VLM_EARG, "--vision", "int8 and none are");
    assert_failure(quantize(whole, (vlm_quantize_options){ .out = out, .language = "int2" }, NULL),
                   VLM_EARG, "--language", "int4, int8 and none");
    assert_failure(quantize(whole, (vlm_quantize_options){ .out = out, .vision = "none", .language = "none" }, NULL), VLM_EARG, "vlm_dino",
                   "would stay as it is");
    assert_failure(quantize(whole, (vlm_quantize_options){ .out = MODELS "vlm_dino", .force = true }, NULL),
                   VLM_EARG, "vlm_dino", "name another");
    assert_failure(quantize(encoder, (vlm_quantize_options){ .out = out, .language = "int8" }, NULL), VLM_EARG, "--language", "has none");
    assert_failure(quantize(language, (vlm_quantize_options){ .out = out, .vision = "none" }, NULL), VLM_EARG, "--vision", "has none");
    assert_ok(quantize(language, (vlm_quantize_options){ .out = out }, NULL));
    vlm_model *packed = opened(out), *m = NULL;
    assert_failure(quantize(packed, (vlm_quantize_options){ .out = temp("again") }, NULL), VLM_EUNSUPPORTED, "out", "quantizing");
    assert_failure(vlm_model_open_as(out, NULL, VLM_OPEN_F32, &m), VLM_EUNSUPPORTED, "out", "training");
    vlm_model_close(whole);
    vlm_model_close(encoder);
    vlm_model_close(language);
    vlm_model_close(packed);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(operands), cmocka_unit_test(same_bits), cmocka_unit_test(whole_or_not),
                                        cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

/* vlm_new: a VLM made of two backbones sees with the bits of the one and speaks with the bits of the other; its files are what the Python
   expects; the same seed gives the same bytes; a failure leaves nothing behind. */
#include "folder.h"
#include "infer/new.h"
#include "infer/session.h"

static const char *golden(const char *name) {
    static char buf[4][256];
    static int k;
    snprintf(buf[k = (k + 1) % 4], sizeof *buf, "tests/golden/models/%s", name);
    return buf[k];
}
static char out[512];
static vlm_new_options options(const char *vision, const char *language) {
    char cmd[600];
    snprintf(out, sizeof out, "%s", temp("out"));
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", out);
    assert_int_equal(system(cmd), 0);
    return (vlm_new_options){ .vision = golden(vision), .language = golden(language), .out = out, .chat_template = strncmp(language,
        "gemma", 5) ? NULL : "gemma" };
}
static unsigned char *bytes_of(const char *path, size_t *n) {
    unsigned char *p;
    assert_ok(vlm_read(path, 1 << 28, &p, n));
    return p;
}
static const char *in_out(const char *name) {
    static char buf[600];
    snprintf(buf, sizeof buf, "%s/%s", out, name);
    return buf;
}

static void same_sight(const vlm_model *whole, const char *vision) {
    vlm_model *bare;
    vlm_session *a, *b;
    vlm_image *image;
    vlm_features *f, *g;
    static uint8_t rgb[128 * 256 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 31 + i / 7);
    assert_ok(vlm_model_open(vision, NULL, &bare));
    assert_ok(vlm_session_open(bare, NULL, &a));
    assert_ok(vlm_session_open(whole, NULL, &b));
    /* the same pixels: a size that both rules leave alone */
    int64_t h = whole->rule.kind == VLM_RULE_TILES ? whole->rule.block : 2 * whole->rule.block,
        w = whole->rule.kind == VLM_RULE_TILES ? whole->rule.block : 4 * whole->rule.block;
    assert_true(h <= 128 && w <= 256);
    vlm_seen *x, *y;
    assert_ok(vlm_image_from_rgb(NULL, rgb, w, h, &image));
    assert_ok(vlm_encode(a, (const vlm_image *const *)&image, 1, &f));
    assert_ok(vlm_encode(b, (const vlm_image *const *)&image, 1, &g));
    x = &f->image[0], y = &g->image[0];
    if (whole->rule.kind == VLM_RULE_TILES && whole->rule.fill_max) assert_int_equal(y->plan.n, 17);
    else {
        assert_int_equal(x->patch_len, y->patch_len);
        assert_memory_equal(x->patches, y->patches, (size_t)x->patch_len * sizeof(float));
        assert_memory_equal(x->prefix, y->prefix, (size_t)x->prefix_len * sizeof(float));
    }
    vlm_features_free(f);
    vlm_features_free(g);
    vlm_image_free(image);
    vlm_session_close(a);
    vlm_session_close(b);
    vlm_model_close(bare);
}
static void same_speech(const vlm_model *whole, const char *language) {
    vlm_model *bare;
    vlm_session *a, *b;
    int64_t ids[60];
    assert_ok(vlm_model_open(language, &(vlm_model_options){ .chat_template = "none" }, &bare));
    int64_t V = bare->net->lm.cfg.V, D = bare->net->lm.cfg.D;
    for (int i = 0; i < 60; i++) ids[i] = (i * 37 + 5) % V;
    assert_ok(vlm_session_open(bare, NULL, &a));
    assert_ok(vlm_session_open(whole, NULL, &b));
    assert_ok(vlm_prefill(a, ids, 60, NULL));
    assert_ok(vlm_prefill(b, ids, 60, NULL));
    assert_true(whole->net->lm.cfg.V >= V && whole->net->lm.cfg.D == D);
    assert_memory_equal(vlm_logits(a), vlm_logits(b), (size_t)V * sizeof(float));
    vlm_session_close(a);
    vlm_session_close(b);
    vlm_model_close(bare);
}
/* Rows of the old table unchanged, new ones their mean. */
static void grown(const char *language, const char *theirs, const char *ours, float tolerance) {
    vlm_weights *old, *new;
    assert_ok(vlm_weights_open(language, &old));
    assert_ok(vlm_weights_open(out, &new));
    const vlm_tensor *a = vlm_weights_find(old, theirs), *b = vlm_weights_find(new, ours);
    assert_true(a && b && b->shape[0] > a->shape[0] && a->shape[1] == b->shape[1]);
    int64_t V = a->shape[0], D = a->shape[1];
    float *x = malloc((size_t)(V * D) * sizeof *x), *y = malloc((size_t)vlm_tensor_len(b) * sizeof *y);
    assert_ok(vlm_tensor_to_float(a, 0, V * D, x));
    assert_ok(vlm_tensor_to_float(b, 0, vlm_tensor_len(b), y));
    assert_memory_equal(x, y, (size_t)(V * D) * sizeof *x);
    for (int64_t c = 0; c < D; c++) {
        double sum = 0;
        for (int64_t r = 0; r < V; r++) sum += x[r * D + c];
        for (int64_t r = V; r < b->shape[0]; r++) assert_true(fabs(y[r * D + c] - sum / (double)V) <= tolerance);
    }
    free(x);
    free(y);
    vlm_weights_close(old);
    vlm_weights_close(new);
}

static void pairs(void **state) {
    (void)state;
    static const struct { const char *vision, *language; bool bf16; } pair[] = {
        { "dinov3_splus", "llama", false }, { "siglip", "llama_untied", false }, { "dinov2_reg", "gemma3", false },
        { "dinov2_giant", "llama", false },
        { "dinov3_7b", "gemma3", false }, { "dinov3_sharded", "llama_sharded", false }, { "dinov3_bf16", "llama_bf16", true },
        { "siglip_bf16", "gemma3_bf16", true } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        vlm_new_options o = options(pair[i].vision, pair[i].language);
        vlm_model *m;
        o.dtype = pair[i].bf16 ? "bf16" : NULL;
        if (!strncmp(pair[i].vision, "siglip", 6)) o.no_upscale = true;        /* so that one tile stays one */
        if (vlm_new(&o)) fail_msg("%s + %s: %s: %s", pair[i].vision, pair[i].language, vlm_error_where(), vlm_error_message());
        listen();
        assert_ok(vlm_model_open(out, NULL, &m));
        assert_string_equal(warned, "");
        vlm_log_set(NULL, NULL, NULL);
        same_sight(m, golden(pair[i].vision));
        same_speech(m, golden(pair[i].language));
        assert_true(m->image_token >= 0 && vlm_tokenizer_size(m->tok) <= m->net->lm.cfg.V);
        grown(golden(pair[i].language), "model.embed_tokens.weight", "decoder.token_embedding.weight", pair[i].bf16 ? 0.01f : 1e-6f);
        if (!strcmp(pair[i].language, "llama_untied")) grown(golden(pair[i].language), "lm_head.weight", "decoder.head.weight", 1e-6f);
        vlm_model_close(m);
    }
}

/* Upstream's fields (docs/formats.md): these keys and no others, or the Python refuses the folder. */
static const char *const upstream[] = {
    "vit_model_type", "vit_hidden_dim", "vit_inter_dim", "vit_patch_size", "vit_img_size", "vit_n_heads", "vit_n_blocks", "vit_dropout",
        "vit_ln_eps", "vit_cls_flag",
    "lm_model_type", "lm_tokenizer", "lm_hidden_dim", "lm_inter_dim", "lm_rms_eps", "lm_re_base", "lm_max_position_embeddings",
        "lm_base_vocab_size", "extra_token_amount",
    "lm_vocab_size", "lm_n_heads", "lm_n_kv_heads", "lm_n_blocks", "lm_chat_template", "lm_dropout", "lm_attn_scaling", "lm_use_tokens",
        "lm_tie_weights", "lm_max_length",
    "mp_pixel_shuffle_factor", "mp_image_token_length", "max_img_size", "resize_to_max_side_len", "vlm_extra_tokens",
        "vlm_load_backbone_weights", "vlm_checkpoint_path",
    "hf_repo_name", NULL };
static void files(void **state) {
    (void)state;
    static const char *const vision[] = { "dinov3_splus", "siglip" };
    for (int i = 0; i < 2; i++) {
        vlm_new_options o = options(vision[i], "llama");
        json_t *j = NULL;
        vlm_safetensors st;
        size_t n = 0;
        o.context = 100;
        assert_ok(vlm_new(&o));
        assert_ok(vlm_json_read(in_out("config.json"), &j));
        for (; upstream[n]; n++) if (!json_object_get(j, upstream[n])) fail_msg("no key %s", upstream[n]);
        assert_int_equal(json_object_size(j), n);
        assert_int_equal(json_integer_value(json_object_get(j, "extra_token_amount")), i ? 66 : 1);
        assert_int_equal(json_object_size(json_object_get(j, "vlm_extra_tokens")), i ? 66 : 1);
        assert_int_equal(json_integer_value(json_object_get(j, "lm_vocab_size")), i ? 386 : 321);
        assert_int_equal(json_integer_value(json_object_get(j, "lm_base_vocab_size")), 320);
        double eps = json_real_value(json_object_get(j, "lm_rms_eps"));
        assert_true(eps == 1e-5 || eps == 1e-4 || eps == 1e-6);            /* the decimal that was meant, not its float */
        json_decref(j);
        assert_ok(vlm_safetensors_open(in_out("model.safetensors"), &st));     /* a tied pair: once, under the name that sorts first */
        assert_non_null(vlm_safetensors_find(&st, "decoder.head.weight"));
        assert_null(vlm_safetensors_find(&st, "decoder.token_embedding.weight"));
        assert_string_equal(json_string_value(json_object_get(st.metadata, "decoder.token_embedding.weight")), "decoder.head.weight");
        assert_string_equal(json_string_value(json_object_get(st.metadata, "format")), "pt");
        const vlm_tensor *t = vlm_safetensors_find(&st, "decoder.rotary_embd.inv_freq");
        float f[6];
        assert_ok(vlm_tensor_to_float(t, 0, 6, f));
        for (int k = 0; k < 6; k++) assert_true(fabs(f[k] - pow(25000, -2.0 * k / 12)) < 1e-6);
        vlm_safetensors_close(&st);
        assert_int_equal(access(in_out("vlm.json"), F_OK) | access(in_out("generation_config.json"), F_OK), 0);
        vlm_model *m;
        assert_ok(vlm_model_open(out, NULL, &m));
        assert_int_equal(vlm_model_describe(m).context, 100);
        vlm_model_close(m);
    }
}

/* The two files of sizes may not contradict each other. */
static void contradictions(void **state) {
    (void)state;
    static const struct { const char *file, *key, *value, *words; } wrong[] = {
        { "config.json", "vit_n_heads", "4", "vit_n_heads" }, { "config.json", "lm_n_kv_heads", "3", "lm_n_kv_heads" },
        { "config.json", "lm_hidden_dim", "48", "lm_hidden_dim" },
        { "config.json", "vit_hidden_dim", "\"x\"", "vit_hidden_dim" },
        { "config.json", "mp_pixel_shuffle_factor", "null", "mp_pixel_shuffle_factor" },
        { "vlm.json", "vision_config", "{\"model_type\":\"llama\"}", "llama" }, { "vlm.json", "language_config", "null", "model_type" },
        { "vlm.json", "vision_config", "[]", "model_type" },
        { "vlm.json", "image", "null", "image" }, { "vlm.json", "context", "1000000", "context" },
        { "vlm.json", "template", "\"odd\"", "odd" }, { "vlm.json", "fork_maths", "1", "fork_maths" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vlm_new_options o = options("dinov3_splus", "llama");
        o.out = temp("model");
        o.force = true;
        assert_ok(vlm_new(&o));
        set_key(wrong[i].file, wrong[i].key, wrong[i].value);
        vlm_status s = opens(temp("model"));
        if (s != VLM_EFORMAT && s != VLM_EARG) print_error("%s %s\n", wrong[i].key, wrong[i].value);
        assert_true(s == VLM_EFORMAT || s == VLM_EARG);
        if (!strstr(vlm_error_message(), wrong[i].words)) fail_msg("%s: %s", vlm_error_where(), vlm_error_message());
    }
}

static void seeds(void **state) {
    (void)state;
    unsigned char *a, *b, *c;
    size_t n, k, l;
    vlm_new_options o = options("dinov3_s", "llama");
    o.seed = 7;
    assert_ok(vlm_new(&o));
    a = bytes_of(in_out("model.safetensors"), &n);
    o.force = true;
    assert_ok(vlm_new(&o));
    b = bytes_of(in_out("model.safetensors"), &k);
    o.seed = 8;
    assert_ok(vlm_new(&o));
    c = bytes_of(in_out("model.safetensors"), &l);
    assert_true(n == k && n == l);
    assert_memory_equal(a, b, n);
    vlm_safetensors x, y;
    assert_ok(vlm_safetensors_parse(a, n, "a", &x));
    assert_ok(vlm_safetensors_parse(c, l, "c", &y));
    for (int64_t i = 0; i < x.count; i++) {                                    /* the seed is the projector's alone */
        bool same = !memcmp(x.tensors[i].data, y.tensors[i].data, x.tensors[i].bytes);
        assert_int_equal(same, strcmp(x.tensors[i].name, "MP.proj.weight") != 0);
    }
    const vlm_tensor *t = vlm_safetensors_find(&x, "MP.proj.weight");
    double sum = 0, square = 0, count = (double)vlm_tensor_len(t);
    for (int64_t i = 0; i < vlm_tensor_len(t); i++) {
        float f;
        assert_ok(vlm_tensor_to_float(t, i, 1, &f));
        sum += f;
        square += (double)f * f;
    }
    assert_true(fabs(sum / count) < 5 * 0.02 / sqrt(count) && fabs(sqrt(square / count) / 0.02 - 1) < 5 / sqrt(2 * count));
    vlm_safetensors_close(&x);
    vlm_safetensors_close(&y);
    free(a);
    free(b);
    free(c);
}

/* bf16: each value the nearest, ties to even; worked out from the f32 file. */
static void bf16(void **state) {
    (void)state;
    vlm_weights *f, *h;
    vlm_new_options o = options("siglip", "llama");
    char first[512];
    snprintf(first, sizeof first, "%s", temp("first"));
    o.out = first;
    assert_ok(vlm_new(&o));
    o.out = out;
    o.dtype = "bf16";
    assert_ok(vlm_new(&o));
    assert_ok(vlm_weights_open(first, &f));
    assert_ok(vlm_weights_open(out, &h));
    for (int64_t i = 0; i < vlm_weights_count(f); i++) {
        const vlm_tensor *a = vlm_weights_at(f, i), *b = vlm_weights_find(h, a->name);
        assert_non_null(b);
        if (!strcmp(a->name, "decoder.rotary_embd.inv_freq")) continue;
        assert_int_equal(b->dtype, VLM_T_BF16);
        for (int64_t k = 0; k < vlm_tensor_len(a); k++) {
            float x, y;
            assert_ok(vlm_tensor_to_float(a, k, 1, &x));
            assert_ok(vlm_tensor_to_float(b, k, 1, &y));
            if (x == 0) { assert_true(y == 0); continue; }
            int e;
            double m = frexp(x, &e), want = ldexp(nearbyint(ldexp(m, 8)), e - 8);      /* 8 significant bits, nearbyint: ties to even */
            assert_true((double)y == want);
        }
    }
    vlm_weights_close(f);
    vlm_weights_close(h);
}

static void failures(void **state) {
    (void)state;
    vlm_new_options o = options("dinov3_s", "llama");
    int before = temp_count();
    assert_failure(vlm_new(&(vlm_new_options){ .out = out }), VLM_EARG, "--vision", "");
    assert_failure(vlm_new(&(vlm_new_options){ .preset = "huge", .out = out }), VLM_EARG, "--preset", "huge");
    assert_failure(vlm_new(&(vlm_new_options){ .preset = "tiny" }), VLM_EARG, "-o", "");
    o.vision = golden("llama");
    assert_failure(vlm_new(&o), VLM_EARG, "llama", "no vision encoder");
    o = options("dinov3_s", "dinov3_s");
    assert_failure(vlm_new(&o), VLM_EARG, "dinov3_s", "no language model");
    o = options("vlm_dino", "llama");
    assert_failure(vlm_new(&o), VLM_EARG, "vlm_dino", "no vision encoder");
    static const int64_t shuffles[] = { -1, 65, INT64_MAX, INT64_MIN };
    for (int i = 0; i < 4; i++) {
        o = options("dinov3_s", "llama");
        o.shuffle = shuffles[i];
        assert_failure(vlm_new(&o), VLM_EARG, "--shuffle", "");
    }
    o = options("siglip", "llama");
    o.shuffle = 3;                                                             /* of 4 x 4 patches */
    assert_true(vlm_new(&o) != VLM_OK);
    o = options("siglip", "llama");
    o.max_size_px = 32 * 9;
    assert_failure(vlm_new(&o), VLM_EARG, "--max-size", "8 x 8");
    o = options("dinov3_s", "llama");
    o.max_size_px = -5;
    assert_true(vlm_new(&o) != VLM_OK);
    o = options("dinov3_s", "llama");
    o.context = 257;
    assert_failure(vlm_new(&o), VLM_EARG, "--context", "256");
    o = options("dinov3_s", "llama");
    o.chat_template = "odd";
    assert_true(vlm_new(&o) != VLM_OK);
    assert_int_equal(temp_count(), before);
    /* half-way: a NaN among the last of the weights */
    folder("llama");
    spoil_tensor(POISON, "model.norm.weight", NULL, 3, NAN);
    before = temp_count();
    o = options("dinov3_s", "llama");
    o.language = temp("model");
    assert_failure(vlm_new(&o), VLM_EFORMAT, "model.safetensors", "model.norm.weight");
    assert_int_equal(temp_count(), before);
    folder("llama");
    char cmd[700];
    snprintf(cmd, sizeof cmd, "rm '%s/tokenizer.json'", temp("model"));
    assert_int_equal(system(cmd), 0);
    assert_true(vlm_new(&o) != VLM_OK);
    assert_int_equal(access(out, F_OK), -1);
}

static void force(void **state) {
    (void)state;
    vlm_new_options o = options("dinov3_s", "llama");
    assert_ok(vlm_new(&o));
    size_t n, k;
    unsigned char *a = bytes_of(in_out("model.safetensors"), &n), *b;
    o.seed = 3;
    assert_failure(vlm_new(&o), VLM_EIO, "out", "--force");
    b = bytes_of(in_out("model.safetensors"), &k);
    assert_true(n == k && !memcmp(a, b, n));
    free(b);
    o.force = true;
    o.language = "/nowhere";                                                   /* a failure with --force: the old folder is whole */
    assert_true(vlm_new(&o) != VLM_OK);
    b = bytes_of(in_out("model.safetensors"), &k);
    assert_true(n == k && !memcmp(a, b, n));
    free(b);
    o.language = golden("llama");
    assert_ok(vlm_new(&o));
    b = bytes_of(in_out("model.safetensors"), &k);
    assert_true(n == k && memcmp(a, b, n));
    free(b);
    free(a);
    FILE *f = fopen(in_out("thesis.tex"), "w");                               /* somebody's work: not even --force */
    assert_non_null(f);
    fclose(f);
    assert_true(vlm_new(&o) != VLM_OK);
    assert_int_equal(access(in_out("thesis.tex"), F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs), cmocka_unit_test(files), cmocka_unit_test(contradictions), cmocka_unit_test(seeds),
            cmocka_unit_test(bf16), cmocka_unit_test(failures),
        cmocka_unit_test(force),
    };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

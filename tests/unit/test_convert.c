/* vlm_convert: there and back the bits are the same; Hugging Face's folders hold what the backbones held; types are rounded as said; what a
   target cannot say is refused or warned of by name; a failure leaves nothing behind. */
#include "folder.h"
#include "infer/convert.h"
#include "infer/new.h"
#include "infer/session.h"
#include "model/save.h"
#include <sys/stat.h>

static const char *golden(const char *name) {
    static char buf[4][256];
    static int k;
    snprintf(buf[k = (k + 1) % 4], sizeof *buf, "tests/golden/models/%s", name);
    return buf[k];
}
/* temp_dir/name, removed. Each call has its own memory. */
static const char *in(const char *dir, const char *name) {
    static char buf[4][1024];
    static int k;
    snprintf(buf[k = (k + 1) % 4], sizeof *buf, "%s/%s", dir, name);
    return buf[k];
}
static vlm_status convert_as(const char *dir, const char *out, const char *to, const char *dtype, const vlm_model_options *mo) {
    vlm_model *m;
    assert_ok(vlm_model_open_as(dir, mo, VLM_OPEN_STRUCTURE, &m));
    vlm_status s = vlm_convert(m, &(vlm_convert_options){ .out = out, .to = to, .dtype = dtype });
    vlm_model_close(m);
    return s;
}
static vlm_status convert(const char *dir, const char *out, const char *to, const char *dtype) {
    return convert_as(dir, out, to, dtype, NULL);
}
static vlm_net *opened(const char *dir, bool fork) {
    vlm_net *net = NULL;
    assert_ok(vlm_net_open(dir, &(vlm_net_options){ .cpu = vlm_cpu_flags(), .structure_only = true, .fork_maths = fork }, &net));
    return net;
}
static float *all_of(const vlm_net *net, const vlm_param *p) {
    float *x = malloc((size_t)vlm_param_len(p) * sizeof *x);
    assert_ok(vlm_params_source(p, net->weights, 0, p->shape[0], x));
    return x;
}
/* Every parameter of b has the values of its namesake in a; a's table may be longer. Returns how many. */
static int same_values(const char *a_dir, const char *b_dir, bool fork) {
    vlm_net *a = opened(a_dir, fork), *b = opened(b_dir, fork);
    for (int i = 0; i < b->params.n; i++) {
        const vlm_param *q = &b->params.p[i], *p = vlm_params_find(&a->params, q->name);
        if (!p) fail_msg("%s has no %s", a_dir, q->name);
        float *x = all_of(a, p), *y = all_of(b, q);
        assert_true(vlm_param_len(p) >= vlm_param_len(q));
        if (memcmp(x, y, (size_t)vlm_param_len(q) * sizeof *x)) fail_msg("%s differs between %s and %s", q->name, a_dir, b_dir);
        free(x);
        free(y);
    }
    int n = b->params.n;
    vlm_net_close(a);
    vlm_net_close(b);
    return n;
}
static json_t *json_of(const char *path) {
    json_t *j = NULL;
    assert_ok(vlm_json_read(path, &j));
    return j;
}

/* nanoVLM → ours → nanoVLM: the same tensors under the same names, bit for bit, and a config with the same values. */
static void there_and_back(void **state) {
    (void)state;
    static const char *const models[] = { "vlm_dino", "vlm_dino_bf16", "vlm_dino_plain", "vlm_fork_maths", "vlm_siglip_fork",
                                          "vlm_siglip_up" };
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        const char *src = golden(models[m]), *ours = temp_fresh("ours"), *back = temp_fresh("back"), *key;
        bool fork = !strcmp(models[m], "vlm_fork_maths"), up = !strcmp(models[m], "vlm_siglip_up");
        vlm_model_options mo = { .fork_maths = fork };
        vlm_safetensors a, b;
        json_t *x, *y, *v;
        assert_ok(convert_as(src, ours, "ours", NULL, &mo));
        assert_true(same_values(src, ours, fork) > 10);
        x = json_of(in(ours, "vlm.json"));
        assert_int_equal(json_is_true(json_object_get(x, "fork_maths")), fork);
        json_decref(x);
        assert_ok(convert(ours, back, "nanovlm", NULL));       /* fork maths stand in vlm.json */
        assert_true(access(in(back, "vlm.json"), F_OK) != 0);
        x = json_of(in(src, "config.json"));
        y = json_of(in(back, "config.json"));
        json_object_foreach(x, key, v) {
            json_t *w = json_object_get(y, key);
            if (json_is_number(v) && json_is_number(w) && json_number_value(v) == json_number_value(w)) continue;
            if (!strcmp(key, "lm_head_dim") && json_is_null(v)) continue;      /* the fork crashes on null */
            if (strncmp(key, "vit_rope_", 9) && strcmp(key, "mp_handle_special_tokens") && !json_equal(v, w))
                fail_msg("%s: %s is %s, was %s", models[m], key, json_dumps(w, JSON_ENCODE_ANY), json_dumps(v, JSON_ENCODE_ANY));
        }
        assert_int_equal(json_object_size(y), json_object_size(x) + !up);      /* vlm_max_image_tokens, where the fork's dataclass has it */
        json_decref(x);
        json_decref(y);
        assert_ok(vlm_safetensors_open(in(src, "model.safetensors"), &a));
        assert_ok(vlm_safetensors_open(in(back, "model.safetensors"), &b));
        assert_int_equal(a.count, b.count);
        for (int64_t i = 0; i < a.count; i++) {
            const vlm_tensor *t = &a.tensors[i], *u;
            bool embed = !strcmp(t->name, "decoder.token_embedding.weight");
            assert_non_null(u = vlm_safetensors_find(&b, embed ? "decoder.head.weight" : t->name));
            if (!strcmp(t->name, "decoder.rotary_embd.inv_freq")) { assert_int_equal(u->dtype, VLM_T_F32); continue; }
            assert_true(t->dtype == u->dtype && t->bytes == u->bytes && t->ndim == u->ndim);
            assert_memory_equal(t->shape, u->shape, sizeof t->shape);
            assert_memory_equal(t->data, u->data, t->bytes);
        }
        assert_string_equal(json_string_value(json_object_get(b.metadata, "decoder.token_embedding.weight")), "decoder.head.weight");
        vlm_safetensors_close(&a);
        vlm_safetensors_close(&b);
    }
}

/* A VLM of two backbones, taken apart again: each holds what it held, its config reads the same, the projector is the whole's. */
static void taken_apart(void **state) {
    (void)state;
    static const struct { const char *vision, *language; } pair[] = {
        { "dinov3_splus", "llama" }, { "dinov3_7b", "gemma3" }, { "dinov3_p8", "llama_untied" }, { "dinov2_giant", "llama_f16" },
        { "dinov2_reg", "gemma3_bf16" }, { "dinov2", "llama" }, { "siglip", "llama_untied" }, { "siglip_nested", "llama" },
        { "siglip_prefix", "gemma3" } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        const char *whole = temp_fresh("whole"), *hf = temp_fresh("hf"), *vision = in(hf, "vision"), *language = in(hf, "language");
        vlm_new_options o = { .vision = golden(pair[i].vision), .language = golden(pair[i].language), .out = whole,
                              .chat_template = strncmp(pair[i].language, "gemma", 5) ? NULL : "gemma" };
        assert_ok(vlm_new(&o));
        assert_ok(convert(whole, hf, "hf", NULL));
        listen();
        assert_true(same_values(vision, golden(pair[i].vision), false) > 10);
        assert_true(same_values(language, golden(pair[i].language), false) > 10);
        vlm_net *a = opened(vision, false), *b = opened(golden(pair[i].vision), false), *c = opened(language, false),
                *d = opened(golden(pair[i].language), false), *w = opened(whole, false);
        assert_string_equal(warned, "");
        vlm_log_set(NULL, NULL, NULL);
        vlm_vit_config *v = &a->vit.cfg, *u = &b->vit.cfg;
        assert_true(v->act == u->act && v->eps == u->eps && v->rope_theta == u->rope_theta && v->R == u->R && v->gated == u->gated &&
                    v->q_bias == u->q_bias && v->k_bias == u->k_bias && v->pos_h == u->pos_h && v->pos_antialias == u->pos_antialias);
        vlm_lm_config *l = &c->lm.cfg, *k = &d->lm.cfg;
        assert_true(l->rope_theta == k->rope_theta && l->rope_local == k->rope_local && l->window == k->window && l->eps == k->eps &&
                    l->attn_scale == k->attn_scale && l->act == k->act && l->tied == k->tied && l->Dh == k->Dh && l->G == k->G);
        assert_memory_equal(l->sliding, k->sliding, sizeof l->sliding);
        assert_int_equal(l->V, w->lm.cfg.V);
        vlm_safetensors p;
        assert_ok(vlm_safetensors_open(in(hf, "projector.safetensors"), &p));
        const vlm_tensor *t = vlm_safetensors_find(&p, "MP.proj.weight"), *s = vlm_weights_find(w->weights, "MP.proj.weight");
        assert_true(t && s && t->bytes == s->bytes && p.count == 1);
        assert_memory_equal(t->data, s->data, t->bytes);
        assert_int_equal(atoi(json_string_value(json_object_get(p.metadata, "mp_pixel_shuffle_factor"))), w->shuffle);
        vlm_safetensors_close(&p);
        vlm_net_close(a), vlm_net_close(b), vlm_net_close(c), vlm_net_close(d), vlm_net_close(w);
        vlm_model *m;
        assert_ok(vlm_model_open_as(language, &(vlm_model_options){ .chat_template = "none" }, VLM_OPEN_STRUCTURE, &m));
        assert_true(vlm_token_id(m->tok, "<|image|>") >= 0);
        vlm_model_close(m);
    }
}
/* A nanoVLM folder has no Hugging Face configs: they are made, and drive the same engines. */
static void made_configs(void **state) {
    (void)state;
    static const char *const models[] = { "vlm_dino", "vlm_dino_plain", "vlm_fork_maths", "vlm_gemma", "vlm_siglip_up" };
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        bool fork = !strcmp(models[m], "vlm_fork_maths");
        const char *hf = temp_fresh("hf"), *ours = temp_fresh("ours");
        vlm_model_options mo = { .fork_maths = fork };
        assert_ok(convert_as(golden(models[m]), hf, "hf", NULL, &mo));
        assert_ok(convert_as(golden(models[m]), ours, NULL, NULL, &mo));
        vlm_net *w = opened(golden(models[m]), fork), *o = opened(ours, false), *v = opened(in(hf, "vision"), false),
                *l = opened(in(hf, "language"), false);
        for (int i = 0; i < 2; i++) {
            vlm_vit_config *a = i ? &o->vit.cfg : &v->vit.cfg, *b = &w->vit.cfg;
            assert_true(a->act == b->act && a->eps == b->eps && a->rope_theta == b->rope_theta && a->R == b->R && a->D == b->D &&
                        a->k_bias == b->k_bias && a->pos_h == b->pos_h && a->layerscale == b->layerscale && a->F == b->F);
            vlm_lm_config *c = i ? &o->lm.cfg : &l->lm.cfg, *d = &w->lm.cfg;
            assert_true(c->act == d->act && c->eps == d->eps && c->rope_theta == d->rope_theta && c->V == d->V && c->window == d->window &&
                        c->attn_scale == d->attn_scale && c->embed_scale == d->embed_scale && c->context == d->context &&
                        c->tied == d->tied);
            assert_memory_equal(c->sliding, d->sliding, sizeof c->sliding);
        }
        vlm_net_close(w), vlm_net_close(o), vlm_net_close(v), vlm_net_close(l);
        same_values(golden(models[m]), in(hf, "vision"), fork);
        same_values(golden(models[m]), in(hf, "language"), fork);
    }
}

/* Taken apart and put together: the same model again, its image rule and template too. */
static void put_together(void **state) {
    (void)state;
    static const char *const models[] = { "vlm_dino", "vlm_dino_bf16", "vlm_gemma", "vlm_siglip_up" };
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        const char *hf = temp_fresh("hf"), *whole = temp_fresh("whole");
        char vision[800], language[800], projector[800];
        snprintf(vision, sizeof vision, "%s", in(hf, "vision"));
        snprintf(language, sizeof language, "%s", in(hf, "language"));
        snprintf(projector, sizeof projector, "%s", in(hf, "projector.safetensors"));
        assert_ok(convert(golden(models[m]), hf, "hf", NULL));
        vlm_new_options o = { .vision = vision, .language = language, .projector = projector, .out = whole,
                              .dtype = strstr(models[m], "bf16") ? "bf16" : "f32" };
        listen();
        assert_ok(vlm_new(&o));
        assert_string_equal(warned, "");
        vlm_log_set(NULL, NULL, NULL);
        assert_true(same_values(golden(models[m]), whole, false) > 10);
        vlm_model *a, *b;
        assert_ok(vlm_model_open_as(golden(models[m]), NULL, VLM_OPEN_STRUCTURE, &a));
        assert_ok(vlm_model_open_as(whole, NULL, VLM_OPEN_STRUCTURE, &b));
        const vlm_image_rule *r = &a->rule, *s = &b->rule;
        assert_true(r->kind == s->kind && r->patch == s->patch && r->shuffle == s->shuffle && r->block == s->block &&
                    r->max_size == s->max_size && r->fill_max == s->fill_max && r->global_tile == s->global_tile && r->filter == s->filter);
        assert_memory_equal(r->mean, s->mean, sizeof r->mean);
        assert_memory_equal(r->std, s->std, sizeof r->std);
        assert_true(a->chat == b->chat && a->image_token == b->image_token && a->net->lm.cfg.V == b->net->lm.cfg.V);
        vlm_model_close(a);
        vlm_model_close(b);
        o.out = temp_fresh("out");
        o.shuffle = 3;
        assert_failure(vlm_new(&o), VLM_EARG, "--shuffle", "the projector's shape says 2");
        o.shuffle = 2;
        o.max_size_px = 32;
        assert_ok(vlm_new(&o));
        o.out = temp_fresh("out");
        o.vision = golden("dinov2_giant");
        assert_failure(vlm_new(&o), VLM_EFORMAT, "projector.safetensors", "other backbones");
        o.projector = in(vision, "model.safetensors");
        assert_failure(vlm_new(&o), VLM_EFORMAT, "model.safetensors", "no MP.proj.weight");
    }
}

/* The types: each value the nearest; as in the source where none is chosen; one that does not fit is refused. */
static void types(void **state) {
    (void)state;
    static const char *const names[] = { "f32", "bf16", "f16" };
    static const char *const torch[] = { "float32", "bfloat16", "float16" };
    static const vlm_tensor_dtype dtype[] = { VLM_T_F32, VLM_T_BF16, VLM_T_F16 };
    static const char *const models[] = { "vlm_dino", "vlm_dino_bf16", "dinov3_sharded", "llama_f16" };
    for (size_t m = 0; m < 4; m++)
        for (int d = 0; d < 3; d++) {
            const char *out = temp_fresh("out");
            assert_ok(convert(golden(models[m]), out, NULL, names[d]));
            vlm_net *a = opened(golden(models[m]), false), *b = opened(out, false);
            for (int i = 0; i < a->params.n; i++) {
                const vlm_param *p = &a->params.p[i], *q = &b->params.p[i];
                float *x = all_of(a, p), *y = all_of(b, q);
                assert_int_equal(q->part[0]->dtype, dtype[d]);
                for (int64_t k = 0; k < vlm_param_len(p); k++) {
                    float want = d == 0 ? x[k] : d == 1 ? vlm_bf16_float(vlm_float_bf16(x[k])) : vlm_f16_float(vlm_float_f16(x[k]));
                    assert_true(y[k] == want);
                }
                free(x);
                free(y);
            }
            json_t *j = m < 2 ? json_incref(json_object_get(b->ours, "language_config")) : json_incref(b->config);
            assert_string_equal(json_string_value(json_object_get(j, "dtype")), torch[d]);
            json_decref(j);
            vlm_net_close(a);
            vlm_net_close(b);
        }
    const char *out = temp_fresh("out"), *dir = folder("vlm_dino");
    spoil_tensor(POISON, "decoder.blocks.1.mlp.up_proj.weight", NULL, 7, 7e4f);
    int before = temp_count();
    assert_failure(convert(dir, out, "hf", "f16"), VLM_EFORMAT, "out/language", "model.layers.1.mlp.up_proj.weight has the value 70000");
    assert_failure(convert(dir, out, "ours", "f16"), VLM_EFORMAT, "out/model.safetensors", "decoder.blocks.1.mlp.up_proj.weight has");
    assert_ok(convert(dir, out, "ours", "bf16"));
    temp_fresh("out");
    spoil_tensor(POISON, "MP.proj.weight", NULL, 5, NAN);
    static const char *const to[] = { "ours", "nanovlm", "hf" };
    for (int i = 0; i < 3; i++)
        assert_failure(convert(dir, out, to[i], NULL), VLM_EFORMAT, "model.safetensors", "MP.proj.weight holds 1 NaN");
    assert_int_equal(temp_count(), before);                                    /* nothing is left behind */
}

/* Rows of zeros: the largest difference of the features of one picture, its tokens. */
static void tokens_of(const char *dir, float **out, int64_t *n) {
    vlm_model *m;
    vlm_session *s;
    vlm_image *image;
    vlm_features *f;
    static uint8_t rgb[48 * 80 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 31 + i / 7);
    assert_ok(vlm_model_open(dir, NULL, &m));
    assert_ok(vlm_session_open(m, NULL, &s));
    assert_ok(vlm_image_from_rgb(NULL, rgb, 80, 48, &image));
    assert_ok(vlm_encode(s, (const vlm_image *const *)&image, 1, &f));
    const float *x = vlm_features_tokens(f, 0, n);
    *n *= m->net->lm.cfg.D;
    assert_non_null(*out = malloc((size_t)*n * sizeof **out));
    memcpy(*out, x, (size_t)*n * sizeof **out);
    vlm_features_free(f);
    vlm_image_free(image);
    vlm_session_close(s);
    vlm_model_close(m);
}
/* nanoVLM has other statistics than the encoder: they go into the convolution, and its Python sees what the model saw. */
static void normalisation(void **state) {
    (void)state;
    const char *whole = temp_fresh("whole"), *out = temp_fresh("out");
    float *x, *y, worst = 0, most = 0;
    int64_t n, k;
    vlm_new_options o = { .vision = golden("siglip"), .language = golden("llama"), .out = whole };
    assert_ok(vlm_new(&o));
    listen();
    assert_ok(convert(whole, out, "nanovlm", NULL));
    assert_non_null(strstr(warned, "patch_embedding.conv"));
    assert_int_equal(warnings, 1);
    vlm_log_set(NULL, NULL, NULL);
    tokens_of(whole, &x, &n);
    tokens_of(out, &y, &k);
    assert_true(n == k && n > 0);
    for (int64_t i = 0; i < n; i++) {
        worst = fmaxf(worst, fabsf(x[i] - y[i]));
        most = fmaxf(most, fabsf(x[i]));
    }
    assert_true(worst < 1e-5f * fmaxf(1, most));
    free(x);
    free(y);
    vlm_net *net = opened(out, false);
    assert_null(json_object_get(net->config, "vit_architecture"));
    assert_int_equal(json_object_size(net->config), 37);
    vlm_net_close(net);
}
/* The fork's Python computes the table's rows: they are filled up to 128, and the answer's numbers stay. */
static void rows(void **state) {
    (void)state;
    const char *whole = temp_fresh("whole"), *out = temp_fresh("out");
    vlm_new_options o = { .vision = golden("dinov3_splus"), .language = golden("llama_untied"), .out = whole };
    assert_ok(vlm_new(&o));
    json_t *j = json_of(in(whole, "vlm.json"));
    json_object_set_new(json_object_get(j, "vision_config"), "rope_parameters", json_null());
    json_object_set_new(json_object_get(j, "vision_config"), "rope_theta", json_real(100));
    assert_ok(vlm_json_write(in(whole, "vlm.json"), j));
    json_decref(j);
    listen();
    assert_ok(convert(whole, out, "nanovlm", NULL));
    assert_non_null(strstr(warned, "384 rows for 321"));
    vlm_log_set(NULL, NULL, NULL);
    assert_true(same_values(out, whole, false) > 10);
    j = json_of(in(out, "config.json"));
    int64_t base = json_integer_value(json_object_get(j, "lm_base_vocab_size")), extra = json_integer_value(json_object_get(j,
        "extra_token_amount"));
    assert_true((base + extra + 127) / 128 * 128 == 384 && json_integer_value(json_object_get(j, "lm_vocab_size")) == 384);
    assert_string_equal(json_string_value(json_object_get(j, "vit_architecture")), "dinov3");
    json_decref(j);
    vlm_net *net = opened(out, false);
    for (int k = 0; k < 2; k++) {
        const vlm_param *p = vlm_params_find(&net->params, k ? "decoder.head.weight" : "decoder.token_embedding.weight");
        float *x = all_of(net, p);
        for (int64_t c = 0; c < p->shape[1]; c++) {
            double sum = 0;
            for (int64_t r = 0; r < 321; r++) sum += x[r * p->shape[1] + c];
            for (int64_t r = 321; r < 384; r++) assert_true(fabs(x[r * p->shape[1] + c] - sum / 321) < 1e-6);
        }
        free(x);
    }
    vlm_net_close(net);
}

/* What is written down: the choices of this call, and keys of vlm.json that are somebody else's. */
static void choices(void **state) {
    (void)state;
    const char *dir = folder("vlm_dino"), *out = temp_fresh("out"), *again = temp_fresh("again");
    assert_ok(convert_as(dir, out, "ours", NULL, &(vlm_model_options){ .context = 77 }));
    json_t *j = json_of(in(out, "vlm.json"));
    assert_int_equal(json_integer_value(json_object_get(j, "context")), 77);
    assert_string_equal(json_string_value(json_object_get(j, "template")), "chatml");
    assert_string_equal(json_string_value(json_object_get(json_object_get(j, "image"), "rule")), "dynamic");
    json_object_set_new(j, "owner", json_string("me"));
    json_object_set_new(json_object_get(j, "image"), "no_upscale", json_true());
    json_object_set_new(json_object_get(j, "image"), "max_tokens", json_integer(9));
    assert_ok(vlm_json_write(in(out, "vlm.json"), j));
    json_decref(j);
    assert_ok(convert(out, again, "ours", "bf16"));
    j = json_of(in(again, "vlm.json"));
    assert_string_equal(json_string_value(json_object_get(j, "owner")), "me");
    assert_int_equal(json_integer_value(json_object_get(j, "context")), 77);
    assert_true(json_is_true(json_object_get(json_object_get(j, "image"), "no_upscale")));
    json_decref(j);
    listen();
    assert_ok(convert(out, temp_fresh("again"), "nanovlm", NULL));
    assert_non_null(strstr(warned, "image.max_tokens, image.no_upscale, context"));
    assert_int_equal(warnings, 1);
    vlm_log_set(NULL, NULL, NULL);
}

/* A model in memory, written without its source's weights: as a trainer does. */
static void checkpoint(void **state) {
    (void)state;
    static const char *const models[] = { "vlm_fork_maths", "vlm_gemma", "vlm_siglip_up" };
    vlm_ctx *ctx = vlm_ctx_open(2, VLM_SCRATCH_BYTES);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        bool fork = m == 0;
        const char *out = temp_fresh("step"), *ours = temp_fresh("ours");
        char cmd[1200];
        vlm_model *a;
        assert_int_equal(mkdir(out, 0777), 0);
        assert_ok(vlm_model_open_as(golden(models[m]), &(vlm_model_options){ .fork_maths = fork }, VLM_OPEN_F32, &a));
        assert_ok(vlm_write_ours(a, VLM_T_F32, out));
        assert_ok(vlm_net_save(in(out, "model.safetensors"), a->net, ctx, VLM_T_F32));
        vlm_model_close(a);
        assert_ok(convert_as(golden(models[m]), ours, "ours", "f32", &(vlm_model_options){ .fork_maths = fork }));
        snprintf(cmd, sizeof cmd, "diff -r '%s' '%s'", out, ours);
        assert_int_equal(system(cmd), 0);                                      /* the same folder, to the byte */
    }
    vlm_ctx_close(ctx);
}

static void refusals(void **state) {
    (void)state;
    const char *out = temp_fresh("out"), *whole = temp_fresh("whole");
    assert_failure(convert(golden("vlm_gemma"), out, "nanovlm", NULL), VLM_EUNSUPPORTED, "vlm_gemma", "gemma3");
    assert_failure(convert(golden("dinov3_s"), out, "ours", NULL), VLM_EARG, "dinov3_s", "vlm new");
    assert_failure(convert(golden("llama"), out, "nanovlm", NULL), VLM_EARG, "llama", "--to hf");
    assert_failure(convert(golden("llama"), out, "theirs", NULL), VLM_EARG, "--to", "theirs");
    assert_failure(convert(golden("llama"), out, "hf", "f8"), VLM_EARG, "--dtype", "f8");
    assert_failure(convert(golden("llama"), NULL, NULL, NULL), VLM_EARG, "-o", "");
    const char *dir = folder("vlm_dino");
    assert_failure(convert(dir, dir, "ours", NULL), VLM_EARG, "model", "name another");
    assert_failure(convert(golden("llama"), dir, "hf", NULL), VLM_EIO, "model", "--force");
    set_key("config.json", "lm_attn_scaling", "2");
    assert_failure(convert(dir, out, "ours", NULL), VLM_EUNSUPPORTED, "model", "lm_attn_scaling");
    assert_failure(convert(dir, out, "hf", NULL), VLM_EUNSUPPORTED, "model", "lm_attn_scaling");
    assert_ok(convert(dir, out, "nanovlm", NULL));
    dir = folder("vlm_dino");
    set_key("config.json", "vit_rope_theta", "50");
    assert_failure(convert(dir, temp_fresh("out"), "nanovlm", NULL), VLM_EUNSUPPORTED, "model", "rope_theta");
    vlm_new_options o = { .vision = golden("dinov2"), .language = golden("llama"), .out = whole };
    assert_ok(vlm_new(&o));
    assert_failure(convert(whole, out, "nanovlm", NULL), VLM_EUNSUPPORTED, "whole", "DINOv2");
    o.vision = golden("siglip");
    o.out = whole = temp_fresh("whole");
    assert_ok(vlm_new(&o));
    json_t *j = json_of(in(whole, "vlm.json"));
    json_object_set_new(json_object_get(j, "vision_config"), "hidden_act", json_string("gelu"));
    assert_ok(vlm_json_write(in(whole, "vlm.json"), j));
    assert_failure(convert(whole, out, "nanovlm", NULL), VLM_EUNSUPPORTED, "whole", "hidden_act");
    json_object_set_new(json_object_get(j, "vision_config"), "hidden_act", json_string("gelu_pytorch_tanh"));
    json_object_set_new(json_object_get(j, "language_config"), "hidden_act", json_string("gelu"));
    assert_ok(vlm_json_write(in(whole, "vlm.json"), j));
    assert_failure(convert(whole, out, "nanovlm", NULL), VLM_EUNSUPPORTED, "whole", "hidden_act");
    json_decref(j);
    assert_true(access(out, F_OK) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(taken_apart), cmocka_unit_test(made_configs), cmocka_unit_test(put_together),
        cmocka_unit_test(types), cmocka_unit_test(normalisation), cmocka_unit_test(rows), cmocka_unit_test(choices),
        cmocka_unit_test(checkpoint), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

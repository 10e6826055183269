/* Model folders: every spelling of a config, what contradicts itself, tensors that are missing or wrong; each is refused in one line that
   names the file and the key or tensor, and nothing large is allocated on a file's word. */
#include "folder.h"
#include <sys/resource.h>

/* ---- Configs alone ---- */

static const vlm_family *family_of(const char *name) { return vlm_family_by_name(name); }
static vlm_status parse(const char *family, const char *text, vlm_vit_config *v, vlm_lm_config *l) {
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    const vlm_family *f = family_of(family);
    vlm_status s = f->vit ? f->vit(j, "config.json", v) : f->lm(j, "config.json", l);
    json_decref(j);
    return s;
}

static void defaults(void **state) {
    (void)state;
    vlm_vit_config v;
    vlm_lm_config l;
    assert_ok(parse("dinov3", "{}", &v, NULL));
    assert_true(v.D == 384 && v.L == 12 && v.H == 6 && v.F == 1536 && v.P == 16 && v.R == 0 && v.cls && v.layerscale && !v.gated);
    assert_true(v.q_bias && !v.k_bias && v.v_bias && v.out_bias && v.mlp_bias && v.act == VLM_GELU_ERF && v.rope_theta == 100 &&
        v.eps == 1e-5f && !v.pos_h);
    assert_ok(parse("siglip", "{}", &v, NULL));
    assert_true(v.D == 768 && v.L == 12 && v.H == 12 && v.F == 3072 && v.P == 16 && !v.cls && !v.R && v.k_bias && v.act == VLM_GELU_TANH);
    assert_true(v.eps == 1e-6f && v.pos_h == 14 && v.pos_w == 14 && v.rope_theta == 0 && !v.pos_resize);
    assert_ok(parse("dinov2", "{\"model_type\":\"dinov2\"}", &v, NULL));
    assert_true(v.P == 14 && v.F == 4 * 768 && v.R == 0 && !v.pos_antialias && v.pos_resize && v.pos_cls && v.pos_h == 16 && v.k_bias);
    assert_ok(parse("dinov2", "{\"model_type\":\"dinov2_with_registers\"}", &v, NULL));
    assert_true(v.P == 16 && v.R == 4 && v.pos_antialias);
    assert_ok(parse("llama", "{}", NULL, &l));
    assert_true(l.D == 4096 && l.G == 32 && l.Dh == 128 && !l.tied && l.eps == 1e-6f && l.rope_theta == 10000 && l.norm_offset == 0);
    assert_ok(parse("gemma3", "{\"hidden_size\":640,\"num_attention_heads\":4,\"num_key_value_heads\":1}", NULL, &l));
    assert_true(l.Dh == 256 && l.tied && l.norm_offset == 1 && l.qk_norm && l.sandwich && l.rope_theta == 1e6 && l.rope_local == 1e4 &&
        l.act == VLM_GELU_TANH);
    assert_true(l.sliding[0] && l.sliding[4] && !l.sliding[5] && l.sliding[6] && l.attn_scale == 1.0f / 16);
    assert_true(fabsf(l.embed_scale - 25.298221f) < 1e-5f);
}

static void spellings(void **state) {
    (void)state;
    vlm_vit_config v;
    vlm_lm_config l;
    assert_ok(parse("dinov3", "{\"rope_parameters\":{\"rope_theta\":50,\"rope_type\":\"default\"}}", &v, NULL));
    assert_true(v.rope_theta == 50);
    assert_ok(parse("dinov3", "{\"rope_theta\":30.0}", &v, NULL));
    assert_true(v.rope_theta == 30);
    assert_ok(parse("dinov3",
        "{\"use_gated_mlp\":true,\"hidden_act\":\"silu\",\"query_bias\":false,\"value_bias\":false,\"key_bias\":true,\"proj_bias\":false"
        ",\"mlp_bias\":false}", &v, NULL));
    assert_true(v.gated && v.act == VLM_SILU && !v.q_bias && !v.v_bias && v.k_bias && !v.out_bias && !v.mlp_bias);
    assert_ok(parse("siglip",
        "{\"model_type\":\"siglip\",\"vision_config\":{\"hidden_size\":1152,\"num_attention_heads\":16,\"image_size\":512},\"text_config"
        "\":{}}", &v, NULL));
    assert_true(v.D == 1152 && v.pos_h == 32);
    assert_ok(parse("dinov2",
        "{\"model_type\":\"dinov2\",\"hidden_size\":1536,\"num_attention_heads\":24,\"use_swiglu_ffn\":true,\"image_size\":518}", &v,
        NULL));
    assert_true(v.gated && v.F == 4096 && v.act == VLM_SILU && v.pos_h == 37);
    assert_ok(parse("llama", "{\"rope_parameters\":{\"rope_theta\":5}}", NULL, &l));
    assert_true(l.rope_theta == 5);
    assert_ok(parse("llama",
        "{\"rope_theta\":7,\"rope_scaling\":null,\"hidden_size\":96,\"num_attention_heads\":3,\"num_key_value_heads\":1,"
        "\"head_dim\":null}", NULL, &l));
    assert_true(l.rope_theta == 7 && l.Dh == 32 && l.G == 1);
    assert_ok(parse("llama", "{\"rope_scaling\":{\"rope_type\":\"default\"}}", NULL, &l));
    assert_ok(parse("gemma3",
        "{\"rope_theta\":9,\"rope_local_base_freq\":8,\"sliding_window_pattern\":2,\"num_hidden_layers\":4,\"hidden_act\":\"gelu\"}", NULL,
        &l));
    assert_true(l.rope_theta == 9 && l.rope_local == 8 && l.sliding[0] && !l.sliding[1] && l.act == VLM_GELU_ERF);
    assert_ok(parse("gemma3",
        "{\"num_hidden_layers\":2,\"layer_types\":[\"full_attention\",\"sliding_attention\"],\"rope_parameters\":{\"full_attention\":{\""
        "rope_theta\":3},"
                              "\"sliding_attention\":{\"rope_theta\":4,\"rope_type\":\"default\"}}}", NULL, &l));
    assert_true(l.rope_theta == 3 && l.rope_local == 4 && !l.sliding[0] && l.sliding[1]);
}

/* Wrong values: the message names the key; sizes that nothing could hold are refused here, before memory is thought of. */
static void wrong_values(void **state) {
    (void)state;
    static const struct { const char *family, *text; vlm_status want; const char *words; } cases[] = {
        { "dinov3", "{\"hidden_size\":\"384\"}", VLM_EFORMAT, "hidden_size" },
        { "dinov3", "{\"hidden_size\":0}", VLM_EFORMAT, "hidden_size" },
        { "dinov3", "{\"hidden_size\":-1}", VLM_EFORMAT, "hidden_size" },
        { "dinov3", "{\"hidden_size\":384.5}", VLM_EFORMAT, "hidden_size" },
        { "dinov3", "{\"hidden_size\":9223372036854775807}", VLM_EFORMAT, "hidden_size" },
        { "dinov3", "{\"hidden_size\":1e300}", VLM_EFORMAT, "hidden_size" },
        { "dinov3", "{\"num_hidden_layers\":513}", VLM_EFORMAT, "num_hidden_layers" },
        { "dinov3", "{\"num_attention_heads\":7}", VLM_EFORMAT, "heads" },
        { "dinov3", "{\"num_attention_heads\":384}", VLM_EUNSUPPORTED, "heads of 1" },
        { "dinov3", "{\"num_attention_heads\":1}", VLM_EUNSUPPORTED, "heads of 384" },
        { "dinov3", "{\"hidden_size\":36,\"num_attention_heads\":6}", VLM_EFORMAT, "multiple of 4" },
        { "dinov3", "{\"patch_size\":257}", VLM_EFORMAT, "patch_size" },
        { "dinov3", "{\"num_channels\":1}", VLM_EFORMAT, "num_channels" },
        { "dinov3", "{\"num_register_tokens\":-4}", VLM_EFORMAT, "num_register_tokens" },
        { "dinov3", "{\"rope_theta\":0}", VLM_EFORMAT, "rope_theta" }, { "dinov3", "{\"rope_theta\":\"100\"}", VLM_EFORMAT, "rope_theta" },
        { "dinov3", "{\"rope_parameters\":{\"rope_type\":\"yarn\"}}", VLM_EUNSUPPORTED, "rope_type" },
        { "dinov3", "{\"rope_parameters\":3}", VLM_EFORMAT, "rope_theta" },
        { "dinov3", "{\"hidden_act\":\"relu\"}", VLM_EUNSUPPORTED, "relu" }, { "dinov3", "{\"hidden_act\":4}", VLM_EFORMAT, "hidden_act" },
        { "dinov3", "{\"key_bias\":\"no\"}", VLM_EFORMAT, "key_bias" },
        { "dinov3", "{\"layer_norm_eps\":-1}", VLM_EFORMAT, "layer_norm_eps" },
        { "siglip", "{\"vision_config\":[1]}", VLM_EFORMAT, "patch_size" }, { "siglip", "{\"image_size\":8}", VLM_EFORMAT, "image_size" },
        { "siglip", "{\"image_size\":1000000000}", VLM_EFORMAT, "image_size" },
        { "siglip", "{\"num_attention_heads\":5}", VLM_EFORMAT, "heads" },
        { "dinov2", "{\"mlp_ratio\":2.5}", VLM_EFORMAT, "mlp_ratio" }, { "dinov2", "{\"qkv_bias\":1}", VLM_EFORMAT, "qkv_bias" },
        { "dinov2", "{\"image_size\":13}", VLM_EFORMAT, "image_size" },
        { "dinov2", "{\"image_size\":[518,518]}", VLM_EFORMAT, "image_size" },
        { "llama", "{\"hidden_size\":8,\"num_attention_heads\":16}", VLM_EFORMAT, "too small" },
        { "llama", "{\"head_dim\":0}", VLM_EFORMAT, "head_dim" },
        { "llama", "{\"head_dim\":65}", VLM_EUNSUPPORTED, "heads of 65" },
        { "llama", "{\"head_dim\":512}", VLM_EUNSUPPORTED, "heads of 512" },
        { "llama", "{\"num_key_value_heads\":5}", VLM_EFORMAT, "key heads" },
        { "llama", "{\"num_key_value_heads\":64}", VLM_EFORMAT, "key heads" },
        { "llama", "{\"attention_bias\":true}", VLM_EUNSUPPORTED, "attention_bias" },
        { "llama", "{\"mlp_bias\":true}", VLM_EUNSUPPORTED, "mlp_bias" },
        { "llama", "{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}", VLM_EUNSUPPORTED, "type" },
        { "llama", "{\"rope_scaling\":{\"rope_type\":\"llama3\"}}", VLM_EUNSUPPORTED, "rope_type" },
        { "llama", "{\"rope_scaling\":2}", VLM_EFORMAT, "rope_theta" },
        { "llama", "{\"rope_parameters\":{\"rope_type\":\"dynamic\",\"rope_theta\":1e4}}", VLM_EUNSUPPORTED, "rope_type" },
        { "llama", "{\"vocab_size\":4000000000}", VLM_EFORMAT, "vocab_size" },
        { "llama", "{\"max_position_embeddings\":0}", VLM_EFORMAT, "max_position_embeddings" },
        { "llama", "{\"tie_word_embeddings\":\"true\"}", VLM_EFORMAT, "tie_word_embeddings" },
        { "llama", "{\"rms_norm_eps\":null,\"hidden_act\":\"tanh\"}", VLM_EUNSUPPORTED, "tanh" },
        { "gemma3", "{\"attn_logit_softcapping\":50.0}", VLM_EUNSUPPORTED, "attn_logit_softcapping" },
        { "gemma3", "{\"final_logit_softcapping\":30.0}", VLM_EUNSUPPORTED, "final_logit" },
        { "gemma3", "{\"use_bidirectional_attention\":true}", VLM_EUNSUPPORTED, "use_bidirectional_attention" },
        { "gemma3", "{\"attention_bias\":true}", VLM_EUNSUPPORTED, "attention_bias" },
        { "gemma3", "{\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0}}", VLM_EUNSUPPORTED, "rope_type" },
        { "gemma3", "{\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\"}}}", VLM_EUNSUPPORTED, "rope_type" },
        { "gemma3", "{\"layer_types\":[\"full_attention\"]}", VLM_EFORMAT, "layer_types" },
        { "gemma3", "{\"num_hidden_layers\":1,\"layer_types\":[\"chunked_attention\"]}", VLM_EUNSUPPORTED, "chunked_attention" },
        { "gemma3", "{\"num_hidden_layers\":1,\"layer_types\":[3]}", VLM_EUNSUPPORTED, "layer_types[0]" },
        { "gemma3", "{\"sliding_window\":0}", VLM_EFORMAT, "sliding_window" },
        { "gemma3", "{\"query_pre_attn_scalar\":0}", VLM_EFORMAT, "query_pre_attn_scalar" },
        { "gemma3", "{\"sliding_window_pattern\":0}", VLM_EFORMAT, "sliding_window_pattern" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_vit_config v = { .D = -7 };
        vlm_lm_config l = { .D = -7 };
        vlm_status s = parse(cases[i].family, cases[i].text, &v, &l);
        if (s != cases[i].want) print_error("%s %s\n", cases[i].family, cases[i].text);
        assert_failure(s, cases[i].want, "config.json", cases[i].words);
        assert_true(v.D == -7 && l.D == -7);
    }
}

static void unknown_keys_are_warned_of(void **state) {
    (void)state;
    vlm_vit_config v;
    vlm_lm_config l;
    listen();
    assert_ok(parse("dinov3", "{\"new_maths\":1,\"architectures\":[\"X\"],\"torch_dtype\":\"float32\"}", &v, NULL));
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warned, "new_maths"));
    assert_ok(parse("llama",
        "{\"partial_rotary_factor\":1.0,\"rope_parameters\":{\"rope_theta\":1,\"rope_type\":\"default\",\"mscale\":2}}", NULL, &l));
    assert_int_equal(warnings, 2);
    assert_non_null(strstr(warned, "mscale"));
    assert_ok(parse("gemma3", "{\"rope_parameters\":{\"rope_theta\":1}}", NULL, &l));
    assert_int_equal(warnings, 3);
    /* keys that are known to change the maths are no matter for a warning */
    assert_failure(parse("llama", "{\"partial_rotary_factor\":0.5}", NULL, &l), VLM_EUNSUPPORTED, "config.json", "partial_rotary_factor");
    assert_failure(parse("llama", "{\"clip_qkv\":8}", NULL, &l), VLM_EUNSUPPORTED, "config.json", "clip_qkv");
    assert_failure(parse("dinov2", "{\"patch_size\":256}", &v, NULL), VLM_EFORMAT, "config.json", "image_size");
    vlm_log_set(NULL, NULL, NULL);
}

/* ---- Folders ---- */

static void what_is_no_model(void **state) {
    (void)state;
    assert_failure(opens(temp("none")), VLM_EIO, "none", "folder");
    assert_failure(opens("tests/golden/models/llama/config.json"), VLM_EIO, "config.json", "folder");
    const char *d = folder("llama");
    assert_failure(vlm_model_open(NULL, NULL, NULL), VLM_EARG, "vlm_model_open", "NULL");
    set_key("config.json", "model_type", "\"mamba\"");
    assert_failure(opens(d), VLM_EUNSUPPORTED, "config.json",
        "dinov3_vit, dinov2, dinov2_with_registers, siglip, siglip_vision_model, llama and gemma3_text");
    set_key("config.json", "model_type", NULL);
    assert_failure(opens(d), VLM_EFORMAT, "config.json", "model_type");
    set_key("config.json", "model_type", "7");
    assert_failure(opens(d), VLM_EFORMAT, "config.json", "model_type");
    temp_write("model/config.json", "[1]", 3);
    assert_failure(opens(d), VLM_EFORMAT, "config.json", "object");
    temp_write("model/config.json", "{\"a\":", 5);
    assert_failure(opens(d), VLM_EFORMAT, "config.json", "");
    assert_int_equal(unlink(temp("model/config.json")), 0);
    assert_failure(opens(d), VLM_EIO, "model", "holds no config.json");
}

static void tensors(void **state) {
    (void)state;
    const char *w = "model.layers.1.mlp.down_proj.weight", *d = folder("llama");
    assert_ok(opens(d));
    spoil_tensor(DROP, w, NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", w);
    folder("llama"), spoil_tensor(TURN, w, NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "has shape [64,36], expected [36,64]");
    folder("llama"), spoil_tensor(RETYPE, w, NULL, 0, 0);
    assert_failure(opens(d), VLM_EUNSUPPORTED, "model.safetensors", "is I32");
    folder("llama"), spoil_tensor(POISON, w, NULL, 17, NAN);
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "model.layers.1.mlp.down_proj.weight holds 1 NaN");
    folder("llama"), spoil_tensor(POISON, "model.norm.weight", NULL, 35, -INFINITY);
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "model.norm.weight holds 1 NaN or infinite");
    folder("llama"), spoil_tensor(POISON, "model.embed_tokens.weight", NULL, 320 * 36 - 1, INFINITY);
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "model.embed_tokens.weight");
    folder("llama"), set_key("config.json", "vocab_size", "321");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "model.embed_tokens.weight has shape [320,36]");
    folder("llama"), set_key("config.json", "num_hidden_layers", "3");
    assert_failure(opens(d), VLM_EFORMAT, "model", "model.layers.2.");
    /* tensors that config.json has no place for: not a matter of a warning */
    folder("llama"), set_key("config.json", "num_hidden_layers", "1");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "model.layers.1.");
    folder("dinov3_s"), set_key("config.json", "proj_bias", "false");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "o_proj.bias is there");
    folder("vlm_dino"), set_key("config.json", "vit_num_registers", "0");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "register_tokens is there");
    listen();
    folder("llama"), spoil_tensor(ADD, NULL, "model.extra", 0, 0);
    assert_ok(opens(d));
    assert_non_null(strstr(warned, "1 tensor is not used, the first is model.extra"));
    listen();
    assert_ok(opens("tests/golden/models/siglip_nested"));                 /* the text tower is known and not needed */
    assert_ok(opens("tests/golden/models/vlm_dino"));
    assert_string_equal(warned, "");
    vlm_log_set(NULL, NULL, NULL);
}

static void tied_heads(void **state) {
    (void)state;
    const char *d = folder("llama"), *e = "model.embed_tokens.weight", *h = "lm_head.weight";
    spoil_tensor(RENAME, e, h, 0, 0);
    assert_ok(opens(d));
    folder("llama"), spoil_tensor(DOUBLE, e, h, -1, 0);
    assert_ok(opens(d));
    folder("llama"), spoil_tensor(DOUBLE, e, h, 5, 0.75f);
    assert_failure(opens(d), VLM_EFORMAT, "model", "tie_word_embeddings");
    set_key("config.json", "tie_word_embeddings", "false");
    assert_ok(opens(d));
    folder("llama"), spoil_tensor(DROP, e, NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", e);
    folder("llama"), set_key("config.json", "tie_word_embeddings", "false");
    assert_failure(opens(d), VLM_EFORMAT, "model", h);
    folder("llama_untied"), spoil_tensor(POISON, h, NULL, 0, NAN);
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", h);
    /* nanoVLM: the golden file stores the head only */
    folder("vlm_dino"), spoil_tensor(RENAME, "decoder.head.weight", "decoder.token_embedding.weight", 0, 0);
    assert_ok(opens(d));
    folder("vlm_dino"), spoil_tensor(DOUBLE, "decoder.head.weight", "decoder.token_embedding.weight", 3, 9);
    assert_failure(opens(d), VLM_EFORMAT, "model", "lm_tie_weights");
    folder("vlm_dino"), spoil_tensor(DROP, "decoder.head.weight", NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", "decoder.token_embedding.weight");
}

static void biases(void **state) {
    (void)state;
    const char *d = folder("dinov3_splus");
    set_key("config.json", "key_bias", "true");
    assert_failure(opens(d), VLM_EFORMAT, "model", "layer.0.attention.k_proj.bias is missing");
    spoil_tensor(DOUBLE, "layer.0.attention.q_proj.bias", "layer.0.attention.k_proj.bias", -1, 0);
    spoil_tensor(DOUBLE, "layer.1.attention.q_proj.bias", "layer.1.attention.k_proj.bias", -1, 0);
    assert_ok(opens(d));
    set_key("config.json", "key_bias", "false");
    assert_failure(opens(d), VLM_EFORMAT, "model", "layer.0.attention.k_proj.bias is there");
    folder("dinov3_splus"), set_key("config.json", "query_bias", "false");
    assert_failure(opens(d), VLM_EFORMAT, "model", "layer.0.attention.q_proj.bias is there");
    spoil_tensor(DROP, "layer.0.attention.q_proj.bias", NULL, 0, 0);
    spoil_tensor(DROP, "layer.1.attention.q_proj.bias", NULL, 0, 0);
    assert_ok(opens(d));
    folder("dinov3_splus"), spoil_tensor(DROP, "layer.1.attention.v_proj.bias", NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", "layer.1.attention.v_proj.bias is missing");
    folder("dinov3_splus"), spoil_tensor(DROP, "layer.1.mlp.gate_proj.bias", NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", "layer.1.mlp.gate_proj.bias");
    folder("dinov3_splus"), spoil_tensor(DROP, "embeddings.cls_token", NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", "embeddings.cls_token");
    folder("dinov3_splus"), spoil_tensor(DROP, "embeddings.mask_token", NULL, 0, 0);
    assert_ok(opens(d));
    folder("dinov3_splus"), spoil_tensor(RENAME, "embeddings.patch_embeddings.weight", "embeddings.patch_embeddings.projection.weight", 0,
        0);
    assert_ok(opens(d));
    folder("dinov3_splus"), set_key("config.json", "num_register_tokens", "3");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "embeddings.register_tokens has shape [1,4,32], expected [1,3,32]");
    folder("siglip"), set_key("config.json", "image_size", "64");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "embeddings.position_embedding.weight has shape [16,32]");
}

/* A trained K bias of the fork: refused, unless it is asked for. */
static void fork_key_bias(void **state) {
    (void)state;
    const char *d = folder("vlm_dino"), *b = "vision_encoder.blocks.1.attn.qkv_proj.bias";
    spoil_tensor(POISON, b, NULL, 32 + 31, 0.25f);
    spoil_tensor(RENAME, "decoder.head.weight", "decoder.token_embedding.weight", 0, 0);
    assert_failure(opens(d), VLM_EUNSUPPORTED, "model.safetensors", "--fork-maths");
    assert_non_null(strstr(vlm_error_message(), b));
    assert_ok(opens_as(d, &(vlm_model_options){ .fork_maths = 1 }));
    folder("vlm_dino"), spoil_tensor(POISON, b, NULL, 32 + 31, -0.0f);
    assert_ok(opens(d));
    folder("vlm_dino"), spoil_tensor(POISON, b, NULL, 31, 0.25f);          /* Q's last */
    assert_ok(opens(d));
    folder("vlm_dino"), spoil_tensor(POISON, b, NULL, 64, 0.25f);          /* V's first */
    assert_ok(opens(d));
    folder("vlm_dino"), spoil_tensor(POISON, b, NULL, 40, NAN);
    assert_true(opens(d) != VLM_OK);
}

static void nanovlm(void **state) {
    (void)state;
    const char *d = folder("vlm_dino");
    static const char *const needed[] = { "vit_hidden_dim", "vit_inter_dim", "vit_patch_size", "vit_n_heads", "vit_n_blocks",
        "lm_hidden_dim", "lm_inter_dim", "lm_n_heads",
                                          "lm_n_kv_heads", "lm_n_blocks", "mp_pixel_shuffle_factor" };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        folder("vlm_dino"), set_key("config.json", needed[i], NULL);
        assert_failure(opens(d), VLM_EFORMAT, "config.json", needed[i]);
        set_key("config.json", needed[i], "100000000000");
        assert_failure(opens(d), VLM_EFORMAT, "config.json", needed[i]);
    }
    vlm_model *m;
    folder("vlm_dino"), set_key("config.json", "lm_vocab_size", "49280");         /* the tensor's rows count */
    set_key("config.json", "no_such_key", "1");
    assert_ok(vlm_model_open(d, NULL, &m));
    assert_int_equal(vlm_model_describe(m).vocabulary, 384);
    assert_int_equal(vlm_model_describe(m).vision_prefix, 5);
    assert_string_equal(vlm_model_describe(m).vision, "dinov3");
    for (int64_t i = 0; i < 384; i++) if (i == m->image_token || i >= vlm_tokenizer_size(m->tok)) assert_false(m->known[i]);
    vlm_model_close(m);
    set_key("config.json", "lm_head_dim", "null");
    assert_ok(opens(d));
    set_key("config.json", "lm_hidden_dim", "2");                          /* heads of 0 */
    assert_failure(opens(d), VLM_EFORMAT, "config.json", "");
    set_key("config.json", "vit_architecture", "\"dinov2\"");
    assert_failure(opens(d), VLM_EUNSUPPORTED, "config.json", "dinov2");
    folder("vlm_dino"), set_key("config.json", "vit_use_rope", "false");
    assert_failure(opens(d), VLM_EUNSUPPORTED, "config.json", "vit_use_rope");
    folder("vlm_dino"), set_key("config.json", "lm_architecture", "\"mamba\"");
    assert_failure(opens(d), VLM_EUNSUPPORTED, "config.json", "mamba");
    set_key("config.json", "lm_architecture", "\"gemma\"");                /* the fork's Gemma, run as a Llama */
    assert_failure(opens(d), VLM_EUNSUPPORTED, "config.json", "Gemma as a Llama");
    folder("vlm_siglip_fork"), set_key("config.json", "vit_cls_flag", "true");
    assert_failure(opens(d), VLM_EUNSUPPORTED, "config.json", "CLS");
    folder("vlm_dino"), set_key("config.json", "mp_pixel_shuffle_factor", "4");
    assert_failure(opens(d), VLM_EFORMAT, "model.safetensors", "MP.proj.weight has shape [24,128], expected [24,512]");
    folder("vlm_siglip_up"), spoil_tensor(DROP, "MP.proj.weight", NULL, 0, 0);
    assert_failure(opens(d), VLM_EFORMAT, "model", "MP.proj.weight");
    listen();
    assert_ok(opens("tests/golden/models/vlm_dino_plain"));
    assert_non_null(strstr(warned, "--fork-maths"));
    vlm_log_set(NULL, NULL, NULL);
}

static void stop_ids(void **state) {
    (void)state;
    vlm_model *m;
    const char *d = folder("llama");
    set_key("config.json", "eos_token_id", "[7, 8]");
    set_key("generation_config.json", "eos_token_id", "[9, 10]");
    assert_ok(vlm_model_open(d, NULL, &m));
    for (int64_t id = 7; id <= 10; id++) assert_true(vlm_is_stop(m, id));
    assert_false(vlm_is_stop(m, 6) || vlm_is_stop(m, -1));
    vlm_model_close(m);
    set_key("generation_config.json", "eos_token_id", "11");
    set_key("config.json", "eos_token_id", "null");
    assert_ok(vlm_model_open(d, NULL, &m));
    assert_true(vlm_is_stop(m, 11) && !vlm_is_stop(m, 9));
    vlm_model_close(m);
    set_key("generation_config.json", "eos_token_id", "\"</s>\"");
    assert_failure(opens(d), VLM_EFORMAT, "generation_config.json", "eos_token_id");
    set_key("generation_config.json", "eos_token_id", "[1, 2.5]");
    assert_failure(opens(d), VLM_EFORMAT, "generation_config.json", "eos_token_id");
    temp_write("model/generation_config.json", "{", 1);
    assert_failure(opens(d), VLM_EFORMAT, "generation_config.json", "");
}

/* The tokenizer of another model: the image token lies behind the table. */
static void tokenizer_that_does_not_fit(void **state) {
    (void)state;
    const char *d = folder("vlm_dino");
    char cmd[1200];
    snprintf(cmd, sizeof cmd, "cp -r tests/golden/models/gemma3/tokenizer*.json '%s/tokenizer/'", d);
    assert_int_equal(system(cmd), 0);
    assert_failure(opens(d), VLM_EFORMAT, "token", "");
    folder("vlm_dino");
    snprintf(cmd, sizeof cmd, "rm -r '%s/tokenizer'", d);
    assert_int_equal(system(cmd), 0);
    assert_failure(opens(d), VLM_EIO, "", "tokenizer.json");
    d = folder("llama");
    snprintf(cmd, sizeof cmd, "rm '%s/tokenizer.json'", d);
    assert_int_equal(system(cmd), 0);
    assert_ok(opens(d));                                                   /* a bare language model may have none */
}

static void shards(void **state) {
    (void)state;
    char cmd[1200];
    const char *d = folder("llama_sharded");
    assert_ok(opens(d));
    snprintf(cmd, sizeof cmd, "rm '%s/model-00002-of-00004.safetensors'", d);
    assert_int_equal(system(cmd), 0);
    assert_failure(opens(d), VLM_EIO, "model-00002-of-00004.safetensors", "");
    d = folder("llama_sharded");
    set_key("model.safetensors.index.json", "weight_map", "{\"model.norm.weight\":\"../model.safetensors\"}");
    assert_true(opens(d) != VLM_OK);
    d = folder("llama_sharded");
    snprintf(cmd, sizeof cmd, "truncate -s -4 '%s/model-00003-of-00004.safetensors'", d);
    assert_int_equal(system(cmd), 0);
    assert_failure(opens(d), VLM_EFORMAT, "model-00003-of-00004.safetensors", "");
}

/* A config that promises a model of terabytes over a file of kilobytes: one error, and no memory taken for it. */
static void lying_sizes(void **state) {
    (void)state;
    static const char *const big[][3] = {
        { "llama", "num_hidden_layers", "512" }, { "llama", "hidden_size", "65536" }, { "llama", "intermediate_size", "1048576" },
        { "llama", "vocab_size", "16777216" },
        { "dinov3_splus", "hidden_size", "65536" }, { "dinov3_splus", "num_register_tokens", "1024" }, { "siglip", "image_size", "16384" },
        { "dinov2", "image_size", "65536" },
        { "vlm_dino", "lm_hidden_dim", "65536" }, { "vlm_dino", "mp_pixel_shuffle_factor", "64" },
        { "gemma3", "num_attention_heads", "1024" } };
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        const char *d = folder(big[i][0]);
        set_key("config.json", big[i][1], big[i][2]);
        if (!strcmp(big[i][1], "hidden_size")) set_key("config.json", "num_attention_heads", "512"), set_key("config.json",
            "num_key_value_heads", "512");
        if (!strcmp(big[i][1], "hidden_size")) set_key("config.json", "head_dim", NULL);
        vlm_status s = opens(d);
        if (s == VLM_OK || s == VLM_ENOMEM) print_error("%s %s\n", big[i][0], big[i][1]);
        assert_true(s == VLM_EFORMAT || s == VLM_EUNSUPPORTED);
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10);            /* KiB */
    /* the context is only a number until it is used */
    folder("llama"), set_key("config.json", "max_position_embeddings", "16777216");
    assert_ok(opens(temp("model")));
}

/* Finite weights whose products are not: said at the image, not written as features. */
static void overflow(void **state) {
    (void)state;
    static const uint8_t rgb[16 * 16 * 3] = { 200, 7, 90 };
    vlm_model *m;
    vlm_session *s;
    vlm_image *image;
    vlm_features *f = NULL;
    folder("dinov3_s"), spoil_tensor(POISON, "norm.weight", NULL, 3, 3.4e38f), spoil_tensor(POISON, "norm.bias", NULL, 3, 3.4e38f);
    assert_ok(vlm_model_open(temp("model"), NULL, &m));
    assert_ok(vlm_session_open(m, NULL, &s));
    assert_ok(vlm_image_from_rgb(m, rgb, 16, 16, &image));
    assert_failure(vlm_encode(s, (const vlm_image *const *)&image, 1, &f), VLM_EFORMAT, "image", "NaN or infinite features");
    assert_null(f);
    vlm_image_free(image);
    vlm_session_close(s);
    vlm_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overflow), cmocka_unit_test(defaults), cmocka_unit_test(spellings), cmocka_unit_test(wrong_values),
            cmocka_unit_test(unknown_keys_are_warned_of),
        cmocka_unit_test(what_is_no_model), cmocka_unit_test(tensors), cmocka_unit_test(tied_heads), cmocka_unit_test(biases),
            cmocka_unit_test(fork_key_bias),
        cmocka_unit_test(nanovlm), cmocka_unit_test(stop_ids), cmocka_unit_test(tokenizer_that_does_not_fit), cmocka_unit_test(shards),
        cmocka_unit_test(lying_sizes),
    };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

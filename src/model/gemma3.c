/* Gemma 3, text (Gemma Team 2025; transformers gemma3_text): scaled embeddings, (1+w) RMSNorm, four norms a block, norms on the heads
   of q and k, tanh-GELU gate, sliding layers with their own RoPE base. */
#include "model/family.h"
#include <math.h>
#include <string.h>

/* Which layers slide: layer_types, or every layer but each pattern-th. */
static vlm_status layer_types(const json_t *j, const char *where, vlm_lm_config *c) {
    const json_t *types = json_object_get(j, "layer_types");
    int64_t pattern = 6;
    TRY(vlm_json_int(j, where, "_sliding_window_pattern", 1, 1 << 16, &pattern));
    TRY(vlm_json_int(j, where, "sliding_window_pattern", 1, 1 << 16, &pattern));
    for (int64_t i = 0; i < c->L; i++) c->sliding[i] = (i + 1) % pattern != 0;
    if (!types || json_is_null(types)) return VLM_OK;
    if (!json_is_array(types)) return vlm_fail(VLM_EFORMAT, where, "layer_types is no list; mend the file");
    if ((int64_t)json_array_size(types) != c->L)
        return vlm_fail(VLM_EFORMAT, where, "layer_types has %zu entries, expected one for each of %lld layers; mend the file",
                        json_array_size(types), (long long)c->L);
    for (int64_t i = 0; i < c->L; i++) {
        const char *t = json_string_value(json_array_get(types, (size_t)i));
        c->sliding[i] = t && !strcmp(t, "sliding_attention");
        if (!t || (!c->sliding[i] && strcmp(t, "full_attention")))
            return vlm_fail(VLM_EUNSUPPORTED, where, "layer_types[%lld] is %s; sliding_attention and full_attention are supported",
                            (long long)i, t ? t : "no string");
    }
    return VLM_OK;
}
static vlm_status rope(const json_t *j, const char *where, vlm_lm_config *c) {
    static const char *const known[] = { "full_attention", "sliding_attention", NULL };
    const json_t *both = json_object_get(j, "rope_parameters");
    TRY(vlm_json_real(j, where, "rope_theta", 1e-3, 1e12, &c->rope_theta));
    TRY(vlm_json_real(j, where, "rope_local_base_freq", 1e-3, 1e12, &c->rope_local));
    if (both && !json_is_null(both) && !json_is_object(both))
        return vlm_fail(VLM_EFORMAT, where, "rope_parameters is no object; mend the file");
    TRY(vlm_config_known(both, where, known));
    TRY(vlm_config_rope(json_object_get(both, known[0]), where, &c->rope_theta));
    TRY(vlm_config_rope(json_object_get(both, known[1]), where, &c->rope_local));
    return vlm_config_rope(json_object_get(j, "rope_scaling"), where, &c->rope_theta);
}

static vlm_status config(const json_t *j, const char *where, vlm_lm_config *out) {
    static const char *const known[] = {
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps",
        "rope_theta", "rope_parameters", "rope_local_base_freq", "rope_scaling", "max_position_embeddings", "vocab_size",
        "tie_word_embeddings", "hidden_activation", "hidden_act", "attention_bias", "query_pre_attn_scalar", "sliding_window",
        "layer_types", "sliding_window_pattern", "_sliding_window_pattern", "attn_logit_softcapping", "final_logit_softcapping",
        "use_bidirectional_attention", NULL };
    vlm_lm_config c = { .eps = 1e-6f, .rope_mul = 1, .norm_offset = 1, .qk_norm = true, .sandwich = true, .tied = true,
                        .act = VLM_GELU_TANH };
    double scalar = 256;
    c.D = 2304, c.F = 9216, c.L = 26, c.H = 8, c.G = 4, c.Dh = 256, c.V = 262208;
    c.context = 131072, c.rope_theta = 1e6, c.rope_local = 1e4, c.window = 4096;
    TRY(vlm_config_known(j, where, known));
    TRY(vlm_lm_config_sizes(j, where, &c));
    TRY(vlm_json_int(j, where, "sliding_window", 1, 1 << 24, &c.window));
    TRY(vlm_json_real(j, where, "query_pre_attn_scalar", 1e-6, 1e9, &scalar));
    TRY(vlm_config_activation(j, where, "hidden_activation", &c.act));
    TRY(vlm_config_neutral(j, where, "attention_bias", NULL));
    TRY(vlm_config_neutral(j, where, "attn_logit_softcapping", NULL));
    TRY(vlm_config_neutral(j, where, "final_logit_softcapping", NULL));
    TRY(vlm_config_neutral(j, where, "use_bidirectional_attention", NULL));
    TRY(layer_types(j, where, &c));
    TRY(rope(j, where, &c));
    c.attn_scale = (float)(1 / sqrt(scalar));
    c.embed_scale = (float)sqrt((double)c.D);          /* rounded to the weights' type when that is known */
    TRY(vlm_lm_config_check(&c, where));
    *out = c;
    return VLM_OK;
}

static json_t *back(const vlm_lm_config *c) {
    double square = 1 / ((double)c->attn_scale * c->attn_scale), whole = rint(square);
    bool exact = (float)(1 / sqrt(whole)) == c->attn_scale;            /* transformers wants a whole number */
    json_t *types = json_array();
    for (int64_t i = 0; types && i < c->L; i++)
        if (json_array_append_new(types, json_string(c->sliding[i] ? "sliding_attention" : "full_attention"))) {
            json_decref(types);
            return NULL;
        }
    return vlm_lm_config_json(c, "gemma3_text", "Gemma3ForCausalLM",
                              json_pack("{s:s, s:f, s:o, s:I, s:o}", "hidden_activation", vlm_config_activation_name(c->act),
                                        "rope_local_base_freq", c->rope_local, "query_pre_attn_scalar",
                                        exact ? json_integer((json_int_t)whole) : json_real(square), "sliding_window",
                                        (json_int_t)c->window, "layer_types", types));
}

static const char *const types[] = { "gemma3_text", NULL }, *const prefixes[] = { "", NULL }, *const spare[] = { NULL };
static const vlm_rule rules[] = {
    { "token_embedding.weight", { "model.embed_tokens.weight" } },
    { "blocks.#.norm1.weight", { "model.layers.#.input_layernorm.weight" } },
    { "blocks.#.post_attn_norm.weight", { "model.layers.#.post_attention_layernorm.weight" } },
    { "blocks.#.norm2.weight", { "model.layers.#.pre_feedforward_layernorm.weight" } },
    { "blocks.#.post_ffn_norm.weight", { "model.layers.#.post_feedforward_layernorm.weight" } },
    { "blocks.#.attn.q_norm.weight", { "model.layers.#.self_attn.q_norm.weight" } },
    { "blocks.#.attn.k_norm.weight", { "model.layers.#.self_attn.k_norm.weight" } },
    { "blocks.#.attn.q_proj.weight", { "model.layers.#.self_attn.q_proj.weight" } },
    { "blocks.#.attn.k_proj.weight", { "model.layers.#.self_attn.k_proj.weight" } },
    { "blocks.#.attn.v_proj.weight", { "model.layers.#.self_attn.v_proj.weight" } },
    { "blocks.#.attn.out_proj.weight", { "model.layers.#.self_attn.o_proj.weight" } },
    { "blocks.#.mlp.gate_proj.weight", { "model.layers.#.mlp.gate_proj.weight" } },
    { "blocks.#.mlp.up_proj.weight", { "model.layers.#.mlp.up_proj.weight" } },
    { "blocks.#.mlp.down_proj.weight", { "model.layers.#.mlp.down_proj.weight" } },
    { "norm.weight", { "model.norm.weight" } },
    { "head.weight", { "lm_head.weight" } },
    { 0 },
};
const vlm_family vlm_gemma3 = {
    .name = "gemma3", .model_types = types, .lm = config, .lm_json = back, .rules = rules, .prefixes = prefixes, .spare = spare };

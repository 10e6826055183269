/* Llama (Touvron et al. 2023; transformers llama), which SmolLM2 is: RMSNorm, RoPE, grouped heads, SiLU gate, no biases. */
#include "model/family.h"
#include <math.h>

static vlm_status config(const json_t *j, const char *where, vlm_lm_config *out) {
    static const char *const known[] = {
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps",
        "rope_theta", "rope_parameters", "rope_scaling", "max_position_embeddings", "vocab_size", "tie_word_embeddings", "hidden_act",
        "attention_bias", "mlp_bias", NULL };
    vlm_lm_config c = { .eps = 1e-6f, .embed_scale = 1, .rope_mul = 1, .act = VLM_SILU };
    c.D = 4096, c.F = 11008, c.L = 32, c.H = 32, c.V = 32000, c.context = 2048, c.rope_theta = 10000;
    TRY(vlm_config_known(j, where, known));
    TRY(vlm_lm_config_sizes(j, where, &c));
    TRY(vlm_json_real(j, where, "rope_theta", 1e-3, 1e12, &c.rope_theta));
    TRY(vlm_config_rope(json_object_get(j, "rope_parameters"), where, &c.rope_theta));
    TRY(vlm_config_rope(json_object_get(j, "rope_scaling"), where, &c.rope_theta));
    TRY(vlm_config_neutral(j, where, "attention_bias", NULL));
    TRY(vlm_config_neutral(j, where, "mlp_bias", NULL));
    c.attn_scale = (float)(1 / sqrt((double)c.Dh));
    TRY(vlm_lm_config_check(&c, where));
    *out = c;
    return VLM_OK;
}

static json_t *back(const vlm_lm_config *c) {
    return vlm_lm_config_json(c, "llama", "LlamaForCausalLM", json_pack("{s:s}", "hidden_act", vlm_config_activation_name(c->act)));
}

static const char *const types[] = { "llama", NULL }, *const prefixes[] = { "", NULL };
static const char *const spare[] = { "model.layers.#.self_attn.rotary_emb.inv_freq", NULL };
static const vlm_rule rules[] = {
    { "token_embedding.weight", { "model.embed_tokens.weight" } },
    { "blocks.#.norm1.weight", { "model.layers.#.input_layernorm.weight" } },
    { "blocks.#.norm2.weight", { "model.layers.#.post_attention_layernorm.weight" } },
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
const vlm_family vlm_llama = {
    .name = "llama", .model_types = types, .lm = config, .lm_json = back, .rules = rules, .prefixes = prefixes, .spare = spare };

/* Llama (Touvron et al. 2023; transformers llama), which SmolLM2 is: RMSNorm, RoPE, grouped heads, SiLU gate, no biases. */
#include "model/family.h"
#include <math.h>

static vlm_status config(const json_t *j, const char *where, vlm_lm_config *out) {
    static const char *const known[] = {
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "rope_parameters",
        "rope_scaling", "max_position_embeddings", "vocab_size", "tie_word_embeddings", "hidden_act", "attention_bias", "mlp_bias", NULL };
    vlm_lm_config c = { .embed_scale = 1, .rope_mul = 1, .act = VLM_SILU };
    double eps = 1e-6;
    c.D = 4096, c.F = 11008, c.L = 32, c.H = 32, c.V = 32000, c.context = 2048, c.rope_theta = 10000;
    TRY(vlm_config_known(j, where, known));
    TRY(vlm_json_int(j, where, "hidden_size", 1, VLM_MAX_WIDTH, &c.D));
    TRY(vlm_json_int(j, where, "intermediate_size", 1, VLM_MAX_FFN, &c.F));
    TRY(vlm_json_int(j, where, "num_hidden_layers", 1, VLM_MAX_LAYERS, &c.L));
    TRY(vlm_json_int(j, where, "num_attention_heads", 1, 1024, &c.H));
    c.G = c.H;
    TRY(vlm_json_int(j, where, "num_key_value_heads", 1, 1024, &c.G));
    c.Dh = c.D / c.H;
    TRY(vlm_json_int(j, where, "head_dim", 2, VLM_MAX_WIDTH, &c.Dh));
    TRY(vlm_json_int(j, where, "vocab_size", 1, VLM_MAX_VOCAB, &c.V));
    TRY(vlm_json_int(j, where, "max_position_embeddings", 1, 1 << 24, &c.context));
    TRY(vlm_json_real(j, where, "rms_norm_eps", 0, 1, &eps));
    TRY(vlm_json_real(j, where, "rope_theta", 1e-3, 1e12, &c.rope_theta));
    TRY(vlm_config_rope(json_object_get(j, "rope_parameters"), where, &c.rope_theta));
    TRY(vlm_config_rope(json_object_get(j, "rope_scaling"), where, &c.rope_theta));
    TRY(vlm_config_neutral(j, where, "attention_bias", NULL));
    TRY(vlm_config_neutral(j, where, "mlp_bias", NULL));
    TRY(vlm_config_activation(j, where, "hidden_act", &c.act));
    TRY(vlm_json_bool(j, where, "tie_word_embeddings", &c.tied));
    c.eps = (float)eps;
    c.attn_scale = (float)(1 / sqrt((double)c.Dh));
    TRY(vlm_lm_config_check(&c, where));
    *out = c;
    return VLM_OK;
}

static const char *const types[] = { "llama", NULL }, *const prefixes[] = { "", NULL }, *const spare[] = { NULL };
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
const vlm_family vlm_llama = { .name = "llama", .model_types = types, .lm = config, .rules = rules, .prefixes = prefixes, .spare = spare };

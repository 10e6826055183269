/* SigLIP and SigLIP 2, fixed size (Zhai et al. 2023; transformers siglip): learned positions, tanh-GELU, no CLS. The text tower,
   the pooling head and the two logit scalars of a whole SigLIP are not needed. */
#include "model/family.h"

static vlm_status config(const json_t *whole, const char *where, vlm_vit_config *out) {
    static const char *const known[] = {
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels", "image_size", "patch_size",
        "hidden_act", "layer_norm_eps", "vision_use_head", NULL };
    const json_t *j = json_object_get(whole, "vision_config");
    vlm_vit_config c = { .eps = 1e-6f, .q_bias = true, .k_bias = true, .v_bias = true, .out_bias = true, .mlp_bias = true,
                         .act = VLM_GELU_TANH };
    int64_t image = 224;
    c.P = 16, c.D = 768, c.F = 3072, c.L = 12, c.H = 12;
    if (!j) j = whole;
    TRY(vlm_config_known(j, where, known));
    TRY(vlm_vit_config_sizes(j, where, &c));
    TRY(vlm_json_int(j, where, "image_size", c.P, 1 << 14, &image));
    c.pos_h = c.pos_w = image / c.P;
    TRY(vlm_vit_config_check(&c, where));
    *out = c;
    return VLM_OK;
}

static json_t *back(const vlm_vit_config *c) {     /* without the pooling head, which an encoder of ours does not have */
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:s, s:f, s:b}",
                     "model_type", "siglip_vision_model", "architectures", "SiglipVisionModel", "patch_size", (json_int_t)c->P,
                     "hidden_size", (json_int_t)c->D, "intermediate_size", (json_int_t)c->F, "num_hidden_layers", (json_int_t)c->L,
                     "num_attention_heads", (json_int_t)c->H, "num_channels", 3, "image_size", (json_int_t)(c->pos_h * c->P),
                     "hidden_act", vlm_config_activation_name(c->act), "layer_norm_eps", vlm_json_decimal(c->eps), "vision_use_head", 0);
}

static const char *const types[] = { "siglip", "siglip_vision_model", NULL }, *const prefixes[] = { "vision_model.", "", NULL },
                  *const spare[] = { "text_model.", "logit_scale", "logit_bias", "vision_model.head.", "head.",
                                     "vision_model.embeddings.position_ids", NULL };
static const vlm_rule rules[] = {
    { "patch_embedding.position_embedding", { "embeddings.position_embedding.weight" } },
    { "patch_embedding.conv.weight", { "embeddings.patch_embedding.weight" } },
    { "patch_embedding.conv.bias", { "embeddings.patch_embedding.bias" } },
    { "blocks.#.ln1.weight", { "encoder.layers.#.layer_norm1.weight" } },
    { "blocks.#.ln1.bias", { "encoder.layers.#.layer_norm1.bias" } },
    { "blocks.#.ln2.weight", { "encoder.layers.#.layer_norm2.weight" } },
    { "blocks.#.ln2.bias", { "encoder.layers.#.layer_norm2.bias" } },
    { "blocks.#.attn.qkv_proj.weight", { "encoder.layers.#.self_attn.q_proj.weight", "encoder.layers.#.self_attn.k_proj.weight",
                                         "encoder.layers.#.self_attn.v_proj.weight" } },
    { "blocks.#.attn.qkv_proj.bias", { "encoder.layers.#.self_attn.q_proj.bias", "encoder.layers.#.self_attn.k_proj.bias",
                                       "encoder.layers.#.self_attn.v_proj.bias" } },
    { "blocks.#.attn.out_proj.weight", { "encoder.layers.#.self_attn.out_proj.weight" } },
    { "blocks.#.attn.out_proj.bias", { "encoder.layers.#.self_attn.out_proj.bias" } },
    { "blocks.#.mlp.fc1.weight", { "encoder.layers.#.mlp.fc1.weight" } },
    { "blocks.#.mlp.fc1.bias", { "encoder.layers.#.mlp.fc1.bias" } },
    { "blocks.#.mlp.fc2.weight", { "encoder.layers.#.mlp.fc2.weight" } },
    { "blocks.#.mlp.fc2.bias", { "encoder.layers.#.mlp.fc2.bias" } },
    { "layer_norm.weight", { "post_layernorm.weight" } },
    { "layer_norm.bias", { "post_layernorm.bias" } },
    { 0 },
};
const vlm_family vlm_siglip = {
    .name = "siglip", .model_types = types, .vit = config, .vit_json = back, .rules = rules, .prefixes = prefixes, .spare = spare };

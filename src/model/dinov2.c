/* DINOv2 (Oquab et al. 2023) without and with registers (Darcet et al. 2023; transformers dinov2, dinov2_with_registers): CLS, learned
   positions resized to the image's grid, LayerScale, K bias. The two differ in how positions are resized. */
#include "model/family.h"
#include <string.h>

static vlm_status config(const json_t *j, const char *where, vlm_vit_config *out) {
    static const char *const known[] = {
        "patch_size", "hidden_size", "mlp_ratio", "num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps", "image_size",
        "num_channels", "qkv_bias", "layerscale_value", "use_swiglu_ffn", "num_register_tokens", "use_mask_token", "apply_layernorm",
        "reshape_hidden_states", "interpolate_antialias", "interpolate_offset", NULL };
    vlm_vit_config c = { .eps = 1e-6f, .cls = true, .layerscale = true, .q_bias = true, .k_bias = true, .v_bias = true, .out_bias = true,
                         .mlp_bias = true, .act = VLM_GELU_ERF, .pos_cls = true, .pos_resize = true };
    int64_t image = 224, ratio = 4;
    bool qkv = true;
    const char *type = "";
    c.P = 14, c.D = 768, c.L = 12, c.H = 12;
    TRY(vlm_config_known(j, where, known));
    TRY(vlm_json_string(j, where, "model_type", &type));
    c.pos_antialias = !strcmp(type, "dinov2_with_registers");
    if (c.pos_antialias) c.P = 16, c.R = 4;            /* that class's own defaults */
    TRY(vlm_vit_config_sizes(j, where, &c));
    TRY(vlm_json_int(j, where, "mlp_ratio", 1, 64, &ratio));
    TRY(vlm_json_int(j, where, "image_size", c.P, 1 << 16, &image));
    TRY(vlm_json_bool(j, where, "qkv_bias", &qkv));
    TRY(vlm_json_bool(j, where, "use_swiglu_ffn", &c.gated));
    c.q_bias = c.k_bias = c.v_bias = qkv;
    c.F = c.D * ratio;
    if (c.gated) c.F = (c.F * 2 / 3 + 7) / 8 * 8, c.act = VLM_SILU;
    c.pos_h = c.pos_w = image / c.P;
    TRY(vlm_vit_config_check(&c, where));
    *out = c;
    return VLM_OK;
}

static const char *const types[] = { "dinov2", "dinov2_with_registers", NULL },
                  *const prefixes[] = { "", "dinov2.", "dinov2_with_registers.", NULL },
                  *const spare[] = { "embeddings.mask_token", NULL };
static const vlm_rule rules[] = {
    { "patch_embedding.cls_token", { "embeddings.cls_token" } },
    { "patch_embedding.register_tokens", { "embeddings.register_tokens" } },
    { "patch_embedding.position_embedding", { "embeddings.position_embeddings" } },
    { "patch_embedding.conv.weight", { "embeddings.patch_embeddings.projection.weight" } },
    { "patch_embedding.conv.bias", { "embeddings.patch_embeddings.projection.bias" } },
    { "blocks.#.ln1.weight", { "encoder.layer.#.norm1.weight" } },
    { "blocks.#.ln1.bias", { "encoder.layer.#.norm1.bias" } },
    { "blocks.#.ln2.weight", { "encoder.layer.#.norm2.weight" } },
    { "blocks.#.ln2.bias", { "encoder.layer.#.norm2.bias" } },
    { "blocks.#.attn.qkv_proj.weight", { "encoder.layer.#.attention.attention.query.weight",
                                         "encoder.layer.#.attention.attention.key.weight",
                                         "encoder.layer.#.attention.attention.value.weight" } },
    { "blocks.#.attn.qkv_proj.bias", { "encoder.layer.#.attention.attention.query.bias", "encoder.layer.#.attention.attention.key.bias",
                                       "encoder.layer.#.attention.attention.value.bias" } },
    { "blocks.#.attn.out_proj.weight", { "encoder.layer.#.attention.output.dense.weight" } },
    { "blocks.#.attn.out_proj.bias", { "encoder.layer.#.attention.output.dense.bias" } },
    { "blocks.#.layer_scale1.lambda_param", { "encoder.layer.#.layer_scale1.lambda1" } },
    { "blocks.#.layer_scale2.lambda_param", { "encoder.layer.#.layer_scale2.lambda1" } },
    { "blocks.#.mlp.fc1.weight", { "encoder.layer.#.mlp.fc1.weight" } },
    { "blocks.#.mlp.fc1.bias", { "encoder.layer.#.mlp.fc1.bias" } },
    { "blocks.#.mlp.fc2.weight", { "encoder.layer.#.mlp.fc2.weight" } },
    { "blocks.#.mlp.fc2.bias", { "encoder.layer.#.mlp.fc2.bias" } },
    { "blocks.#.mlp.gate_proj.weight", { "encoder.layer.#.mlp.weights_in.weight[0/2]" } },
    { "blocks.#.mlp.gate_proj.bias", { "encoder.layer.#.mlp.weights_in.bias[0/2]" } },
    { "blocks.#.mlp.up_proj.weight", { "encoder.layer.#.mlp.weights_in.weight[1/2]" } },
    { "blocks.#.mlp.up_proj.bias", { "encoder.layer.#.mlp.weights_in.bias[1/2]" } },
    { "blocks.#.mlp.down_proj.weight", { "encoder.layer.#.mlp.weights_out.weight" } },
    { "blocks.#.mlp.down_proj.bias", { "encoder.layer.#.mlp.weights_out.bias" } },
    { "layer_norm.weight", { "layernorm.weight" } },
    { "layer_norm.bias", { "layernorm.bias" } },
    { 0 },
};
const vlm_family vlm_dinov2 = {
    .name = "dinov2", .model_types = types, .vit = config, .rules = rules, .prefixes = prefixes, .spare = spare };

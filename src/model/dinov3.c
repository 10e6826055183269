/* DINOv3 (Siméoni et al. 2025; transformers dinov3_vit): CLS, registers, LayerScale, 2-D RoPE on patches, no learned positions. */
#include "model/family.h"

static vlm_status config(const json_t *j, const char *where, vlm_vit_config *out) {
    static const char *const known[] = {
        "patch_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps",
        "rope_theta", "rope_parameters", "image_size", "num_channels", "query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias",
        "layerscale_value", "use_gated_mlp", "num_register_tokens", "apply_layernorm", "reshape_hidden_states",
        "pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale", NULL };      /* pos_embed_*: training only */
    vlm_vit_config c = { .eps = 1e-5f, .cls = true, .layerscale = true, .q_bias = true, .v_bias = true, .out_bias = true,
                         .mlp_bias = true, .act = VLM_GELU_ERF };
    c.P = 16, c.D = 384, c.F = 1536, c.L = 12, c.H = 6, c.rope_theta = 100;
    TRY(vlm_config_known(j, where, known));
    TRY(vlm_vit_config_sizes(j, where, &c));
    TRY(vlm_json_real(j, where, "rope_theta", 1e-3, 1e12, &c.rope_theta));
    TRY(vlm_config_rope(json_object_get(j, "rope_parameters"), where, &c.rope_theta));
    TRY(vlm_json_bool(j, where, "use_gated_mlp", &c.gated));
    TRY(vlm_json_bool(j, where, "query_bias", &c.q_bias));
    TRY(vlm_json_bool(j, where, "key_bias", &c.k_bias));
    TRY(vlm_json_bool(j, where, "value_bias", &c.v_bias));
    TRY(vlm_json_bool(j, where, "proj_bias", &c.out_bias));
    TRY(vlm_json_bool(j, where, "mlp_bias", &c.mlp_bias));
    TRY(vlm_vit_config_check(&c, where));
    *out = c;
    return VLM_OK;
}

static json_t *back(const vlm_vit_config *c) {
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:s, s:f, s:f, s:b, s:b, s:b, s:b, s:b, s:b}",
                     "model_type", "dinov3_vit", "architectures", "DINOv3ViTModel", "patch_size", (json_int_t)c->P,
                     "hidden_size", (json_int_t)c->D, "intermediate_size", (json_int_t)c->F, "num_hidden_layers", (json_int_t)c->L,
                     "num_attention_heads", (json_int_t)c->H, "num_register_tokens", (json_int_t)c->R, "num_channels", 3,
                     "hidden_act", vlm_config_activation_name(c->act), "layer_norm_eps", vlm_json_decimal(c->eps),
                     "rope_theta", c->rope_theta, "use_gated_mlp", c->gated, "query_bias", c->q_bias, "key_bias", c->k_bias,
                     "value_bias", c->v_bias, "proj_bias", c->out_bias, "mlp_bias", c->mlp_bias);
}

static const char *const types[] = { "dinov3_vit", NULL }, *const prefixes[] = { "", "model.", NULL },
                  *const spare[] = { "embeddings.mask_token", NULL };
static const vlm_rule rules[] = {
    { "patch_embedding.cls_token", { "embeddings.cls_token" } },
    { "patch_embedding.register_tokens", { "embeddings.register_tokens" } },
    { "patch_embedding.conv.weight", { "embeddings.patch_embeddings.weight" } },
    { "patch_embedding.conv.bias", { "embeddings.patch_embeddings.bias" } },
    { "patch_embedding.conv.weight", { "embeddings.patch_embeddings.projection.weight" } },
    { "patch_embedding.conv.bias", { "embeddings.patch_embeddings.projection.bias" } },
    { "blocks.#.ln1.weight", { "layer.#.norm1.weight" } },
    { "blocks.#.ln1.bias", { "layer.#.norm1.bias" } },
    { "blocks.#.ln2.weight", { "layer.#.norm2.weight" } },
    { "blocks.#.ln2.bias", { "layer.#.norm2.bias" } },
    { "blocks.#.attn.qkv_proj.weight", { "layer.#.attention.q_proj.weight", "layer.#.attention.k_proj.weight",
                                         "layer.#.attention.v_proj.weight" } },
    { "blocks.#.attn.qkv_proj.bias", { "layer.#.attention.q_proj.bias", "layer.#.attention.k_proj.bias",
                                       "layer.#.attention.v_proj.bias" } },
    { "blocks.#.attn.out_proj.weight", { "layer.#.attention.o_proj.weight" } },
    { "blocks.#.attn.out_proj.bias", { "layer.#.attention.o_proj.bias" } },
    { "blocks.#.layer_scale1.lambda_param", { "layer.#.layer_scale1.lambda1" } },
    { "blocks.#.layer_scale2.lambda_param", { "layer.#.layer_scale2.lambda1" } },
    { "blocks.#.mlp.fc1.weight", { "layer.#.mlp.up_proj.weight" } },
    { "blocks.#.mlp.fc1.bias", { "layer.#.mlp.up_proj.bias" } },
    { "blocks.#.mlp.fc2.weight", { "layer.#.mlp.down_proj.weight" } },
    { "blocks.#.mlp.fc2.bias", { "layer.#.mlp.down_proj.bias" } },
    { "blocks.#.mlp.gate_proj.weight", { "layer.#.mlp.gate_proj.weight" } },
    { "blocks.#.mlp.gate_proj.bias", { "layer.#.mlp.gate_proj.bias" } },
    { "blocks.#.mlp.up_proj.weight", { "layer.#.mlp.up_proj.weight" } },
    { "blocks.#.mlp.up_proj.bias", { "layer.#.mlp.up_proj.bias" } },
    { "blocks.#.mlp.down_proj.weight", { "layer.#.mlp.down_proj.weight" } },
    { "blocks.#.mlp.down_proj.bias", { "layer.#.mlp.down_proj.bias" } },
    { "layer_norm.weight", { "norm.weight" } },
    { "layer_norm.bias", { "norm.bias" } },
    { 0 },
};
const vlm_family vlm_dinov3 = {
    .name = "dinov3", .model_types = types, .vit = config, .vit_json = back, .rules = rules, .prefixes = prefixes, .spare = spare };

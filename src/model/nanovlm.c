/* nanoVLM's flat config.json: the fork's (vit_architecture, lm_architecture) and upstream's. */
#include "model/models.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

static vlm_status vision(const json_t *j, const char *where, vlm_net *net) {
    vlm_vit_config c = { .q_bias = true, .k_bias = true, .v_bias = true, .out_bias = true, .mlp_bias = true, .act = VLM_GELU_TANH };
    const char *arch = "siglip";
    bool rope = false;
    int64_t image = 512;
    double eps = 1e-6, theta = 100;
    c.D = 768, c.F = 3072, c.P = 16, c.H = 12, c.L = 12;
    TRY(vlm_json_string(j, where, "vit_architecture", &arch));
    TRY(vlm_json_need_int(j, where, "vit_hidden_dim", 1, VLM_MAX_WIDTH, &c.D));
    TRY(vlm_json_need_int(j, where, "vit_inter_dim", 1, VLM_MAX_FFN, &c.F));
    TRY(vlm_json_need_int(j, where, "vit_patch_size", 1, VLM_MAX_PATCH, &c.P));
    TRY(vlm_json_need_int(j, where, "vit_n_heads", 1, 1024, &c.H));
    TRY(vlm_json_need_int(j, where, "vit_n_blocks", 1, VLM_MAX_LAYERS, &c.L));
    TRY(vlm_json_int(j, where, "vit_img_size", c.P, 1 << 14, &image));
    TRY(vlm_json_int(j, where, "vit_num_registers", 0, VLM_MAX_REGISTERS, &c.R));
    TRY(vlm_json_real(j, where, "vit_ln_eps", 0, 1, &eps));
    TRY(vlm_json_real(j, where, "vit_rope_theta", 1e-3, 1e12, &theta));       /* vit_rope_base was never used: the fork ran on 100 */
    TRY(vlm_json_bool(j, where, "vit_cls_flag", &c.cls));
    TRY(vlm_json_bool(j, where, "vit_use_swiglu", &c.gated));
    TRY(vlm_json_bool(j, where, "vit_layer_scale", &c.layerscale));
    TRY(vlm_json_bool(j, where, "vit_use_rope", &rope));
    c.eps = (float)eps;
    if (!strcmp(arch, "dinov3")) {
        net->vision = &vlm_dinov3;
        c.rope_theta = rope ? theta : 0;
        c.act = c.gated ? VLM_SILU : VLM_GELU_ERF;
        c.k_bias = net->fork_maths;
        if (!rope)
            return vlm_fail(VLM_EUNSUPPORTED, where,
                            "a DINOv3 encoder with vit_use_rope false is not supported; the official one has RoPE");
        if (net->fork_maths && !c.gated) c.act = VLM_GELU_TANH;
        else if (!c.gated)
            vlm_warn(where, "the fork trained plain DINOv3 encoders with tanh-GELU; "
                     "this run uses the official erf-GELU, --fork-maths the fork's");
    } else if (!strcmp(arch, "siglip")) {
        net->vision = &vlm_siglip;
        if (c.cls || c.R || rope || c.gated || c.layerscale)
            return vlm_fail(VLM_EUNSUPPORTED, where, "a SigLIP encoder with CLS, registers, RoPE, SwiGLU or LayerScale is not supported; "
                            "nanoVLM cannot use one either");
        c.pos_h = c.pos_w = image / c.P;
    } else return vlm_fail(VLM_EUNSUPPORTED, where, "vit_architecture is \"%s\"; siglip and dinov3 are supported", arch);
    TRY(vlm_vit_config_check(&c, where));
    return vlm_vit_init(&net->vit, &c);
}

int64_t vlm_nanovlm_vocabulary(const vlm_weights *w) {
    const vlm_tensor *t = vlm_weights_find(w, "decoder.token_embedding.weight");
    if (!t) t = vlm_weights_find(w, "decoder.head.weight");
    return t && t->ndim == 2 && t->shape[0] >= 1 && t->shape[0] <= VLM_MAX_VOCAB ? t->shape[0] : 0;
}

static vlm_status language(const json_t *j, const char *where, const vlm_weights *w, vlm_net *net) {
    vlm_lm_config c = { .embed_scale = 1, .rope_mul = 1, .act = VLM_SILU, .tied = true };
    const char *arch = "llama";
    double eps = 1e-5, mul = 1;
    c.rope_theta = 100000, c.context = 8192;
    TRY(vlm_json_string(j, where, "lm_architecture", &arch));
    TRY(vlm_json_need_int(j, where, "lm_hidden_dim", 1, VLM_MAX_WIDTH, &c.D));
    TRY(vlm_json_need_int(j, where, "lm_inter_dim", 1, VLM_MAX_FFN, &c.F));
    TRY(vlm_json_need_int(j, where, "lm_n_heads", 1, 1024, &c.H));
    TRY(vlm_json_need_int(j, where, "lm_n_kv_heads", 1, 1024, &c.G));
    TRY(vlm_json_need_int(j, where, "lm_n_blocks", 1, VLM_MAX_LAYERS, &c.L));
    c.Dh = c.D / c.H;
    TRY(vlm_json_int(j, where, "lm_head_dim", 2, VLM_MAX_WIDTH, &c.Dh));
    TRY(vlm_json_int(j, where, "lm_max_position_embeddings", 1, 1 << 24, &c.context));
    TRY(vlm_json_real(j, where, "lm_rms_eps", 0, 1, &eps));
    TRY(vlm_json_real(j, where, "lm_re_base", 1e-3, 1e12, &c.rope_theta));
    TRY(vlm_json_real(j, where, "lm_attn_scaling", 1e-6, 1e6, &mul));
    TRY(vlm_json_bool(j, where, "lm_tie_weights", &c.tied));
    c.eps = (float)eps;
    c.rope_mul = (float)mul;
    c.attn_scale = (float)(1 / sqrt((double)c.Dh));
    net->language = &vlm_llama;
    if (!strcmp(arch, "gemma")) {      /* flat configs have no keys for the rest: it is Gemma 3's own */
        if (!vlm_weights_find(w, "decoder.blocks.0.attn.q_norm.weight"))
            return vlm_fail(VLM_EUNSUPPORTED, where,
                            "this folder was made by running Gemma as a Llama: its norms are gone and it cannot answer; "
                            "make it anew with vlm new");
        net->language = &vlm_gemma3;
        c.norm_offset = 1, c.qk_norm = c.sandwich = true, c.act = VLM_GELU_TANH, c.embed_scale = (float)sqrt((double)c.D);
        c.rope_local = 1e4, c.window = 512;
        for (int64_t i = 0; i < c.L; i++) c.sliding[i] = (i + 1) % 6 != 0;
    } else if (strcmp(arch, "llama"))
        return vlm_fail(VLM_EUNSUPPORTED, where, "lm_architecture is \"%s\"; llama and gemma are supported", arch);
    /* Stored rows, not lm_vocab_size: the fork recomputes that key and rounds it. */
    if (!(c.V = vlm_nanovlm_vocabulary(w)))
        return vlm_fail(VLM_EFORMAT, vlm_weights_dir(w),
                        "has no decoder.token_embedding.weight and no decoder.head.weight of two dimensions; get the weights again");
    TRY(vlm_lm_config_check(&c, where));
    return vlm_lm_init(&net->lm, &c);
}

vlm_status vlm_nanovlm_config(const json_t *j, const char *where, const vlm_weights *w, vlm_net *net) {
    TRY(vision(j, where, net));
    TRY(language(j, where, w, net));
    return vlm_json_need_int(j, where, "mp_pixel_shuffle_factor", 1, 64, &net->shuffle);
}

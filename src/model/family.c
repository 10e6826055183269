#include "model/family.h"
#include "base/log.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool vlm_rule_matches(const char *rule, const char *name, char layer[16]) {
    size_t n = 0;
    for (; *rule; rule++) {
        if (*rule != '#') { if (*name++ != *rule) return false; continue; }
        while (isdigit((unsigned char)*name) && n < 15) layer[n++] = *name++;
        layer[n] = 0;
        if (!n) return false;
    }
    return !*name;
}
void vlm_rule_name(char out[256], const char *prefix, const char *rule, const char *layer) {
    const char *hash = strchr(rule, '#');
    if (hash) snprintf(out, 256, "%s%.*s%s%s", prefix, (int)(hash - rule), rule, layer, hash + 1);
    else snprintf(out, 256, "%s%s", prefix, rule);
}
bool vlm_third_expected(const vlm_vit_config *c, const vlm_param *p, int part) {
    if (p->group != VLM_VISION || !strstr(p->name, "qkv_proj.bias")) return true;
    return part == 0 ? c->q_bias : part == 1 ? c->k_bias : c->v_bias;
}

/* Keys that every Hugging Face config may carry and that say nothing about the maths of a forward pass. */
static const char *const harmless[] = {
    "_name_or_path", "architectures", "attention_dropout", "attn_implementation", "_attn_implementation", "bos_token_id",
    "chunk_size_feed_forward", "dtype", "drop_path_rate", "eos_token_id", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "id2label", "initializer_factor", "initializer_range", "is_decoder",
    "label2id", "model_type", "out_features", "out_indices", "output_attentions", "output_hidden_states", "pad_token_id", "problem_type",
    "projection_dim", "return_dict", "stage_names", "torch_dtype", "transformers_version", "use_cache", "cache_implementation",
    "_out_features", "_out_indices", "transformers.js_config", "is_llama_config", "pretraining_tp", "task_specific_params", NULL };
/* Keys of relatives that do change it: fine only where they ask for nothing (null, false, a factor of 1, no window). */
static const struct { const char *key; double neutral; } maths[] = {
    { "partial_rotary_factor", 1 }, { "rotary_pct", 1 }, { "logit_scale", 1 }, { "logits_scaling", 1 }, { "embedding_multiplier", 1 },
    { "residual_multiplier", 1 }, { "attention_multiplier", 1 }, { "rope_interleaved", 0 }, { "attn_temperature_tuning", 0 },
    { "clip_qkv", 0 }, { "use_qk_norm", 0 }, { "qk_norm", 0 }, { "alibi", 0 },
    { "attn_logit_softcapping", 0 }, { "final_logit_softcapping", 0 },
    { "rope_scaling", 0 }, { "attention_bias", 0 }, { "mlp_bias", 0 }, { "num_experts", 0 }, { "num_local_experts", 0 },
    { "factor", 1 }, { "attention_factor", 1 }, { "use_bidirectional_attention", 0 } };

static bool listed(const char *key, const char *const *list) {
    for (; *list; list++) if (!strcmp(key, *list)) return true;
    return false;
}
vlm_status vlm_config_known(const json_t *config, const char *where, const char *const *known) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)config, key, v) {
        size_t i = 0, n = sizeof maths / sizeof *maths;
        if (json_is_null(v) || listed(key, known) || listed(key, harmless)) continue;
        while (i < n && strcmp(maths[i].key, key)) i++;
        if (i == n)
            vlm_warn(where, "key %s is not known and not used; if it changes the maths, results will differ from the original's", key);
        else if (maths[i].neutral == 0) TRY(vlm_config_neutral(config, where, key, NULL));
        else if (!json_is_number(v) || json_number_value(v) != maths[i].neutral)
            return vlm_fail(VLM_EUNSUPPORTED, where, "key %s asks for maths that is not supported; use a model without it", key);
    }
    return VLM_OK;
}
vlm_status vlm_config_neutral(const json_t *config, const char *where, const char *key, const char *only) {
    const json_t *v = json_object_get(config, key);
    if (!v || json_is_null(v) || json_is_false(v) || (json_is_number(v) && json_number_value(v) == 0)) return VLM_OK;
    if (only && json_is_string(v) && !strcmp(json_string_value(v), only)) return VLM_OK;
    return vlm_fail(VLM_EUNSUPPORTED, where, "key %s asks for maths that is not supported; use a model without it", key);
}
vlm_status vlm_config_rope(const json_t *rope, const char *where, double *theta) {
    static const char *const known[] = { "rope_theta", "rope_type", "type", NULL };
    TRY(vlm_json_real(rope, where, "rope_theta", 1e-3, 1e12, theta));
    TRY(vlm_config_neutral(rope, where, "rope_type", "default"));
    TRY(vlm_config_neutral(rope, where, "type", "default"));   /* as older files spell it */
    return vlm_config_known(rope, where, known);
}
vlm_status vlm_config_activation(const json_t *config, const char *where, const char *key, vlm_activation *io) {
    const char *s = NULL;
    TRY(vlm_json_string(config, where, key, &s));
    if (!s) return VLM_OK;
    if (!strcmp(s, "gelu")) *io = VLM_GELU_ERF;
    else if (!strcmp(s, "gelu_pytorch_tanh") || !strcmp(s, "gelu_new")) *io = VLM_GELU_TANH;
    else if (!strcmp(s, "silu") || !strcmp(s, "swish")) *io = VLM_SILU;
    else return vlm_fail(VLM_EUNSUPPORTED, where, "key %s is \"%s\"; supported are gelu, gelu_pytorch_tanh and silu", key, s);
    return VLM_OK;
}
json_t *vlm_lm_config_json(const vlm_lm_config *c, const char *type, const char *architecture, json_t *more) {
    json_t *j = json_pack("{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b}", "model_type", type, "architectures",
                          architecture, "hidden_size", (json_int_t)c->D, "intermediate_size", (json_int_t)c->F, "num_hidden_layers",
                          (json_int_t)c->L, "num_attention_heads", (json_int_t)c->H, "num_key_value_heads", (json_int_t)c->G, "head_dim",
                          (json_int_t)c->Dh, "vocab_size", (json_int_t)c->V, "max_position_embeddings", (json_int_t)c->context,
                          "rms_norm_eps", vlm_json_decimal(c->eps), "rope_theta", c->rope_theta, "tie_word_embeddings", c->tied);
    if (!j || !more || json_object_update(j, more)) {
        json_decref(j);
        j = NULL;
    }
    json_decref(more);
    return j;
}
const char *vlm_config_activation_name(vlm_activation a) {
    return a == VLM_GELU_ERF ? "gelu" : a == VLM_GELU_TANH ? "gelu_pytorch_tanh" : "silu";
}

vlm_status vlm_vit_config_sizes(const json_t *j, const char *where, vlm_vit_config *io) {
    int64_t channels = 3;
    double eps = io->eps;
    TRY(vlm_json_int(j, where, "patch_size", 1, VLM_MAX_PATCH, &io->P));
    TRY(vlm_json_int(j, where, "hidden_size", 1, VLM_MAX_WIDTH, &io->D));
    TRY(vlm_json_int(j, where, "intermediate_size", 1, VLM_MAX_FFN, &io->F));
    TRY(vlm_json_int(j, where, "num_hidden_layers", 1, VLM_MAX_LAYERS, &io->L));
    TRY(vlm_json_int(j, where, "num_attention_heads", 1, 1024, &io->H));
    TRY(vlm_json_int(j, where, "num_register_tokens", 0, VLM_MAX_REGISTERS, &io->R));
    TRY(vlm_json_int(j, where, "num_channels", 3, 3, &channels));
    TRY(vlm_json_real(j, where, "layer_norm_eps", 0, 1, &eps));
    io->eps = (float)eps;
    return vlm_config_activation(j, where, "hidden_act", &io->act);
}
vlm_status vlm_lm_config_sizes(const json_t *j, const char *where, vlm_lm_config *io) {
    double eps = io->eps;
    TRY(vlm_json_int(j, where, "hidden_size", 1, VLM_MAX_WIDTH, &io->D));
    TRY(vlm_json_int(j, where, "intermediate_size", 1, VLM_MAX_FFN, &io->F));
    TRY(vlm_json_int(j, where, "num_hidden_layers", 1, VLM_MAX_LAYERS, &io->L));
    TRY(vlm_json_int(j, where, "num_attention_heads", 1, 1024, &io->H));
    if (!io->G) io->G = io->H;
    if (!io->Dh) io->Dh = io->D / io->H;
    TRY(vlm_json_int(j, where, "num_key_value_heads", 1, 1024, &io->G));
    TRY(vlm_json_int(j, where, "head_dim", 2, VLM_MAX_WIDTH, &io->Dh));
    TRY(vlm_json_int(j, where, "vocab_size", 1, VLM_MAX_VOCAB, &io->V));
    TRY(vlm_json_int(j, where, "max_position_embeddings", 1, 1 << 24, &io->context));
    TRY(vlm_json_real(j, where, "rms_norm_eps", 0, 1, &eps));
    TRY(vlm_json_bool(j, where, "tie_word_embeddings", &io->tied));
    io->eps = (float)eps;
    return vlm_config_activation(j, where, "hidden_act", &io->act);
}

vlm_status vlm_vit_config_check(const vlm_vit_config *c, const char *where) {
    if ((c->pos_cls || !c->pos_resize) && c->rope_theta == 0 && !c->pos_h)
        return vlm_fail(VLM_EFORMAT, where, "image_size is smaller than a patch of %lld; mend the file", (long long)c->P);
    if (c->D % c->H)
        return vlm_fail(VLM_EFORMAT, where, "width %lld is no multiple of the %lld heads; mend the file", (long long)c->D, (long long)c->H);
    int64_t Dh = c->D / c->H;
    if (Dh > VLM_MAX_HEAD || Dh % 2)
        return vlm_fail(VLM_EUNSUPPORTED, where, "heads of %lld are not supported; even numbers up to %d are", (long long)Dh, VLM_MAX_HEAD);
    if (c->rope_theta > 0 && Dh % 4)
        return vlm_fail(VLM_EFORMAT, where, "2-D RoPE needs heads of a multiple of 4, not %lld; mend the file", (long long)Dh);
    return VLM_OK;
}
vlm_status vlm_lm_config_check(const vlm_lm_config *c, const char *where) {
    long long D = c->D, H = c->H, G = c->G, Dh = c->Dh;
    if (H % G) return vlm_fail(VLM_EFORMAT, where, "%lld heads are no multiple of %lld key heads; mend the file", H, G);
    if (Dh < 2) return vlm_fail(VLM_EFORMAT, where, "width %lld is too small for %lld heads; mend the file", D, H);
    if (Dh > VLM_MAX_HEAD || Dh % 2)
        return vlm_fail(VLM_EUNSUPPORTED, where, "heads of %lld are not supported; even numbers up to %d are", Dh, VLM_MAX_HEAD);
    return VLM_OK;
}

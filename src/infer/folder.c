#include "infer/folder.h"
#include "base/file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *vlm_extra_tokens(bool tiles) {
    json_t *o = json_pack("{s:s}", "image_token", "<|image|>");
    char key[32], value[32];
    if (tiles) json_object_set_new(o, "global_image_token", json_string("<|global_image|>"));
    for (int r = 1; tiles && r <= 8; r++)
        for (int c = 1; c <= 8; c++) {
            snprintf(key, sizeof key, "r%dc%d", r, c);
            snprintf(value, sizeof value, "<row_%d_col_%d>", r, c);
            json_object_set_new(o, key, json_string(value));
        }
    return o;
}

static const char chatml[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* Python's annotations say int where a base of 100000 usually stands. */
static json_t *number(double x) { return x == floor(x) && fabs(x) < 1e15 ? json_integer((json_int_t)x) : json_real(x); }

/* The old values of what is no matter of ours: names of models, settings of training. Null is Python's None, but for a name. */
static json_t *keep(json_t *o, const vlm_folder *f) {
    static const char *const keys[] = {
        "vit_model_type", "vit_img_size", "vit_dropout", "vit_use_sincos_pos", "vit_rope_base", "vit_layer_scale_init",
        "vit_drop_path_rate", "vit_rope_augment", "lm_model_type", "lm_tokenizer", "lm_chat_template", "lm_dropout", "lm_use_tokens",
        "lm_max_length", "mp_image_token_length", "vlm_max_image_tokens", "vlm_load_backbone_weights", "vlm_checkpoint_path",
        "hf_repo_name" };
    for (size_t i = 0; o && i < sizeof keys / sizeof *keys; i++) {
        json_t *v = json_object_get(f->flat, keys[i]);
        if (v && !json_is_null(v) && json_object_get(o, keys[i]) && json_object_set(o, keys[i], v)) {
            json_decref(o);
            return NULL;
        }
    }
    return o;
}

static json_t *flat(const vlm_folder *f) {
    const vlm_vit_config *v = &f->net->vit.cfg;
    const vlm_lm_config *l = &f->net->lm.cfg;
    bool siglip = f->net->vision == &vlm_siglip;
    int64_t side = f->rule->kind == VLM_RULE_TILES ? f->rule->block / f->rule->patch / f->net->shuffle : 1;
    return json_pack(
        "{s:I s:I s:I s:I s:I s:f s:I s:f s:b s:s  s:I s:I s:f s:o s:I s:I s:I s:I s:I s:I s:f s:I s:f s:I s:b s:b s:s s:s s:s  "
        "s:I s:I s:I s:b s:O s:b s:s s:n}",
        "vit_hidden_dim", (json_int_t)v->D, "vit_inter_dim", (json_int_t)v->F, "vit_patch_size", (json_int_t)v->P,
        "vit_img_size", (json_int_t)(siglip ? f->rule->block : f->rule->max_size), "vit_n_heads", (json_int_t)v->H, "vit_dropout", 0.0,
        "vit_n_blocks", (json_int_t)v->L, "vit_ln_eps", vlm_json_decimal(v->eps), "vit_cls_flag", v->cls,
        "vit_model_type", f->net->vision->name, "lm_hidden_dim", (json_int_t)l->D, "lm_inter_dim", (json_int_t)l->F,
        "lm_rms_eps", vlm_json_decimal(l->eps), "lm_re_base", number(l->rope_theta), "lm_max_position_embeddings", (json_int_t)l->context,
        "lm_base_vocab_size", (json_int_t)f->base_vocab, "extra_token_amount", (json_int_t)f->extra, "lm_vocab_size", (json_int_t)l->V,
        "lm_n_heads", (json_int_t)l->H, "lm_n_kv_heads", (json_int_t)l->G, "lm_dropout", 0.0, "lm_n_blocks", (json_int_t)l->L,
        "lm_attn_scaling", vlm_json_decimal(l->rope_mul), "lm_max_length", (json_int_t)(f->context ? f->context : l->context),
        "lm_use_tokens", 0, "lm_tie_weights", l->tied, "lm_model_type", f->net->language->name, "lm_tokenizer", ".",
        "lm_chat_template", chatml, "mp_pixel_shuffle_factor", (json_int_t)f->net->shuffle,
        "mp_image_token_length", (json_int_t)(side * side), "max_img_size", (json_int_t)f->rule->max_size,
        "resize_to_max_side_len", f->rule->fill_max, "vlm_extra_tokens", f->extra_tokens,
        "vlm_load_backbone_weights", 0, "vlm_checkpoint_path", "checkpoints", "hf_repo_name");
}
json_t *vlm_folder_flat(const vlm_folder *f) { return keep(flat(f), f); }

int64_t vlm_fork_rows(int64_t base_vocab, int64_t extra) { return (base_vocab + extra + 127) / 128 * 128; }
json_t *vlm_folder_fork(const vlm_folder *f) {
    const vlm_vit_config *v = &f->net->vit.cfg;
    bool dino = f->net->vision == &vlm_dinov3;
    json_t *o = flat(f);
    json_t *more = json_pack("{s:s s:i s:I s:b s:b s:b s:f s:b s:f s:f s:b  s:s s:I  s:b s:I}", "vit_architecture", f->net->vision->name,
                             "vit_channels", 3, "vit_num_registers", (json_int_t)v->R, "vit_use_swiglu", v->gated, "vit_use_rope", dino,
                             "vit_use_sincos_pos", 0, "vit_rope_base", 10000.0, "vit_layer_scale", v->layerscale,
                             "vit_layer_scale_init", 1.0, "vit_drop_path_rate", 0.0, "vit_rope_augment", 0,
                             "lm_architecture", "llama", "lm_head_dim", (json_int_t)f->net->lm.cfg.Dh,
                             "mp_handle_special_tokens", dino, "vlm_max_image_tokens", (json_int_t)1024);
    if (!o || !more || json_object_update(o, more)) {
        json_decref(o);
        o = NULL;
    }
    json_decref(more);
    json_object_del(o, "resize_to_max_side_len");
    return keep(o, f);
}

json_t *vlm_folder_own(const vlm_folder *f) {
    json_t *o = f->own ? json_deep_copy(f->own) : json_object();
    json_t *j = json_pack("{s:i s:s s:O s:O s:o s:s}", "format_version", 1, "vlm_version", VLM_VERSION, "vision_config", f->vision_config,
                          "language_config", f->language_config, "image", vlm_image_rule_json(f->rule), "template", f->chat);
    bool failed = !o || !j;
    if (j && f->context) failed |= json_object_set_new(j, "context", json_integer(f->context)) != 0;
    if (j && f->fork_maths) failed |= json_object_set_new(j, "fork_maths", json_true()) != 0;
    if (failed || json_object_update(o, j)) {
        json_decref(o);
        o = NULL;
    }
    json_decref(j);
    return o;
}

vlm_status vlm_folder_write(const char *dir, const char *name, json_t *j) {
    char *path = vlm_join(dir, name);
    vlm_status status = !path || !j ? vlm_fail_memory(name, 1 << 16) : vlm_json_write(path, j);
    free(path);
    json_decref(j);
    return status;
}

vlm_status vlm_folder_is_model(const char *dir) {
    static const char *const names[] = { "config.json", "vision/config.json", "language/config.json" };
    bool yes = false;
    for (int i = 0; i < 3 && !yes; i++) {
        json_t *j = NULL;
        char *path = vlm_join(dir, names[i]);
        vlm_status status = path ? vlm_json_read(path, &j) : vlm_fail_memory(dir, 64);
        const char *type = json_string_value(json_object_get(j, "model_type"));
        yes = json_object_get(j, "vit_hidden_dim") || (type && vlm_family_by_type(type));
        json_decref(j);
        free(path);
        if (status == VLM_ENOMEM) return status;
    }
    return yes ? VLM_OK : vlm_fail(VLM_EIO, dir, "holds no model's config.json, and no other folder is replaced here: move it away");
}

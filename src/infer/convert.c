#include "infer/convert.h"
#include "base/file.h"
#include "base/log.h"
#include "infer/folder.h"
#include "model/packed.h"
#include "model/save.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct job {
    const vlm_model *m;
    const vlm_convert_options *o;
    const vlm_net *net;                /* m's */
    vlm_net *grown;                    /* the same with a longer vocabulary, or NULL */
    vlm_tensor_dtype dtype;            /* VLM_T_COUNT: as in the source */
    json_t *vision, *language;         /* the backbones' own configs */
    bool fold;                         /* the target feeds other pixels: see fold_values */
    float scale[3], shift[3];
} job;

/* ---- Where values come from ---- */

static const vlm_param *origin(const job *k, const vlm_param *p) { return k->grown ? vlm_params_find(&k->net->params, p->name) : p; }

/* The target's pixels are (x·scale + shift) of those the model saw, channel by channel: so the convolution over patches, which has no
   padding, becomes W·scale and b + Σ W·shift, and sees the same. */
static vlm_status fold_values(const job *k, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    bool bias = strstr(p->name, ".bias") != NULL;
    const vlm_param *w = bias ? vlm_params_find(&k->net->params, "vision_encoder.patch_embedding.conv.weight") : p;
    int64_t each = w->shape[2] * w->shape[3];
    if (!bias) {
        for (int64_t i = 0; i < rows * 3 * each; i++) out[i] *= k->scale[i / each % 3];
        return VLM_OK;
    }
    float *one = malloc((size_t)(3 * each) * sizeof *one);
    vlm_status status = one ? VLM_OK : vlm_fail_memory(p->name, (size_t)(3 * each) * sizeof *one);
    for (int64_t r = 0; r < rows && !status; r++) {
        double sum = out[r];
        status = vlm_params_source(w, k->net->weights, row + r, 1, one);
        for (int64_t i = 0; i < 3 * each && !status; i++) sum += (double)one[i] * k->shift[i / each];
        out[r] = (float)sum;
    }
    free(one);
    return status;
}
/* What has been read leaves our memory while the tensor goes on. A parameter of one part; its rows, not those that it lacks. */
static void forget(const vlm_param *p, int64_t row, int64_t rows) {
    size_t each = p->part[0]->bytes / (size_t)p->shape[0];
    if (rows > p->shape[0] - row) rows = p->shape[0] - row;
    if (rows > 0) vlm_map_forget(p->part[0]->data + (size_t)row * each, (size_t)rows * each);
}
static vlm_status values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    const job *k = user;
    const vlm_param *src = origin(k, p);
    TRY(vlm_params_grown(src, k->net->weights, row, rows, out));
    if (k->fold && strstr(p->name, "patch_embedding.conv.")) TRY(fold_values(k, p, row, rows, out));
    forget(src, row, rows);
    return VLM_OK;
}
static vlm_tensor_dtype as_source(vlm_tensor_dtype t) { return t == VLM_T_BF16 || t == VLM_T_F16 ? t : VLM_T_F32; }
static vlm_tensor_dtype dtype(void *user, const vlm_param *p) {
    const job *k = user;
    return k->dtype != VLM_T_COUNT ? k->dtype : as_source(origin(k, p)->part[0]->dtype);
}

/* ---- What a target can say ---- */

/* The first thing in which two engines differ, by its name in configs; NULL: none. Biases of q, k and v may be zeros instead of absent. */
static const char *vit_differs(const vlm_vit_config *a, const vlm_vit_config *b) {
#define SAME(field, name) if (a->field != b->field) return name
    SAME(D, "hidden_size"); SAME(L, "num_hidden_layers"); SAME(H, "num_attention_heads"); SAME(F, "intermediate_size");
    SAME(P, "patch_size"); SAME(R, "num_register_tokens"); SAME(cls, "class token"); SAME(layerscale, "LayerScale");
    SAME(gated, "use_gated_mlp"); SAME(out_bias, "proj_bias"); SAME(mlp_bias, "mlp_bias"); SAME(act, "hidden_act");
    SAME(eps, "layer_norm_eps"); SAME(rope_theta, "rope_theta"); SAME(pos_h, "image_size"); SAME(pos_w, "image_size");
    SAME(pos_cls, "position of the class token"); SAME(pos_resize, "resized positions"); SAME(pos_antialias, "resized positions");
    return NULL;
}
static const char *lm_differs(const vlm_lm_config *a, const vlm_lm_config *b) {
    SAME(D, "hidden_size"); SAME(L, "num_hidden_layers"); SAME(H, "num_attention_heads"); SAME(G, "num_key_value_heads");
    SAME(Dh, "head_dim"); SAME(F, "intermediate_size"); SAME(context, "max_position_embeddings"); SAME(eps, "rms_norm_eps");
    SAME(norm_offset, "norm offset"); SAME(qk_norm, "q_norm and k_norm"); SAME(sandwich, "post norms"); SAME(tied, "tie_word_embeddings");
    SAME(act, "hidden_act"); SAME(attn_scale, "query_pre_attn_scalar"); SAME(rope_theta, "rope_theta"); SAME(rope_mul, "lm_attn_scaling");
    if (!a->window && !b->window) return NULL;
    SAME(window, "sliding_window"); SAME(rope_local, "rope_local_base_freq");
    for (int64_t i = 0; i < a->L; i++) SAME(sliding[i], "layer_types");
    return NULL;
#undef SAME
}
static vlm_status cannot_say(const job *k, const char *what, const char *target, const char *instead) {
    return vlm_fail(VLM_EUNSUPPORTED, k->net->dir, "its %s cannot be said in %s; %s", what, target, instead);
}

/* The backbones' own configs: those that the folder has, or made of the engines and read again to see that nothing is missing.
   `hf`: they stand alone, so fork maths is in them; else it is a key of vlm.json. */
static vlm_status backbone_configs(job *k, bool hf) {
    const vlm_net *net = k->net;
    vlm_vit_config v = net->vit.cfg, v2;
    vlm_lm_config l2;
    const char *what = NULL, *type = json_string_value(json_object_get(json_object_get(net->ours, "vision_config"), "model_type"));
    bool fork = net->fork_maths && net->vision == &vlm_dinov3;
    if (fork && !hf) {
        v.k_bias = false;
        if (!v.gated) v.act = VLM_GELU_ERF;
    }
    if (net->ours && !(hf && (fork || !strcmp(type, "siglip")))) k->vision = json_deep_copy(json_object_get(net->ours, "vision_config"));
    else k->vision = net->vision->vit_json(&v);
    if (net->ours) k->language = json_deep_copy(json_object_get(net->ours, "language_config"));
    else k->language = net->language->lm_json(&net->lm.cfg);
    if (!k->vision || !k->language) return vlm_fail_memory(net->dir, 1 << 16);
    if (!net->ours) {
        TRY(net->vision->vit(k->vision, net->dir, &v2));
        TRY(net->language->lm(k->language, net->dir, &l2));
        if (!(what = vit_differs(&v, &v2))) what = lm_differs(&net->lm.cfg, &l2);
        if (what) return cannot_say(k, what, "Hugging Face's config", "no other folder than nanoVLM's holds such a model");
        if (json_object_set_new(k->language, "bos_token_id", json_null()) || json_object_set_new(k->language, "eos_token_id", json_null()))
            return vlm_fail_memory(net->dir, 1 << 10);
        int64_t bos = vlm_tokenizer_bos(k->m->tok), eos = vlm_tokenizer_eos(k->m->tok);
        if (bos >= 0) json_object_set_new(k->language, "bos_token_id", json_integer(bos));
        if (eos >= 0) json_object_set_new(k->language, "eos_token_id", json_integer(eos));
    }
    if (hf && (json_object_set_new(k->language, "vocab_size", json_integer(net->lm.cfg.V)) ||      /* SigLIP's pooling head is not here */
               (net->vision == &vlm_siglip && json_object_set_new(k->vision, "vision_use_head", json_false()))))
        return vlm_fail_memory(net->dir, 1 << 10);
    return VLM_OK;
}
/* "dtype", and "torch_dtype" where an older file has it: what the tensor `name` is stored in. */
static vlm_status set_dtype(job *k, json_t *config, const char *name) {
    const char *torch = vlm_torch_dtype(dtype(k, vlm_params_find(&k->net->params, name)));
    if (json_object_set_new(config, "dtype", json_string(torch)) ||
        (json_object_get(config, "torch_dtype") && json_object_set_new(config, "torch_dtype", json_string(torch))))
        return vlm_fail_memory(k->net->dir, 64);
    return VLM_OK;
}
static vlm_status set_dtypes(job *k) {
    TRY(set_dtype(k, k->vision, "vision_encoder.blocks.0.attn.qkv_proj.weight"));
    return set_dtype(k, k->language, "decoder.token_embedding.weight");
}

/* ---- Ours, and nanoVLM's ---- */

static vlm_status write_weights(job *k, const char *dir, const vlm_net *net, int group) {
    char *path = vlm_join(dir, "model.safetensors");
    vlm_source from = { values, dtype, k };
    vlm_status status = !path ? vlm_fail_memory(dir, strlen(dir)) : group < 0 ? vlm_net_store(path, net, &from)
                                                                  : vlm_family_store(path, net, (vlm_group)group, &from);
    free(path);
    return status;
}

/* Packed: values as they are, whatever holds them. */
static vlm_status packed_values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    const job *k = user;
    TRY(vlm_params_source(p, k->net->weights, row, rows, out));
    for (int j = 0; row + rows == p->shape[0] && j < p->parts; j++)
        if (p->part[j]) vlm_weights_forget(k->net->weights, p->part[j]);
    return VLM_OK;
}
static vlm_dtype packed_dtype(void *user, const vlm_param *p) {
    const job *k = user;
    return k->dtype == VLM_T_COUNT ? p->mat->dtype : k->dtype == VLM_T_BF16 ? VLM_BF16 : k->dtype == VLM_T_F16 ? VLM_F16 : VLM_F32;
}
static vlm_status write_packed(job *k, const char *dir) {
    const vlm_param *embed = vlm_params_find(&k->net->params, "decoder.token_embedding.weight");
    vlm_packing from = { packed_values, packed_dtype, embed ? packed_dtype(k, embed) : VLM_F32, k };
    vlm_ctx *ctx = vlm_ctx_open(k->o->threads ? k->o->threads : vlm_cores(), VLM_SCRATCH_BYTES);
    char *path = vlm_join(dir, "model.safetensors");
    vlm_status status = !ctx || !path ? vlm_fail_memory(dir, VLM_SCRATCH_BYTES) : vlm_packed_store(path, k->net, ctx, &from, NULL);
    if (!status) status = vlm_tokenizer_tables_write(dir);
    free(path);
    vlm_ctx_close(ctx);
    return status;
}

/* extra: "vlm_extra_tokens", the caller's. */
static vlm_status describe(const job *k, vlm_folder *f, json_t **extra) {
    const json_t *was = k->net->config;
    json_t *tokens = json_object_get(was, "vlm_extra_tokens");
    *extra = json_is_object(tokens) ? json_incref(tokens) : vlm_extra_tokens(false);
    if (!*extra) return vlm_fail_memory(k->net->dir, 1 << 12);
    *f = (vlm_folder){ .net = k->net, .rule = &k->m->rule, .vision_config = k->vision, .language_config = k->language,
                       .extra_tokens = *extra, .chat = vlm_chat_kind_name(k->m->chat), .fork_maths = k->net->fork_maths,
                       .flat = was, .own = k->net->ours };
    f->fork_maths = f->fork_maths && k->net->vision == &vlm_dinov3;
    if (k->m->context < k->net->lm.cfg.context) f->context = k->m->context;
    f->extra = (int64_t)json_object_size(*extra);
    TRY(vlm_json_int(was, k->net->dir, "extra_token_amount", 0, VLM_MAX_VOCAB, &f->extra));
    f->base_vocab = k->net->lm.cfg.V - f->extra;
    return vlm_json_int(was, k->net->dir, "lm_base_vocab_size", 0, VLM_MAX_VOCAB, &f->base_vocab);
}

static vlm_status ours_beside(job *k, const char *dir) {
    vlm_folder f;
    json_t *extra = NULL;
    vlm_status status = VLM_OK;
    TRY_DONE(backbone_configs(k, false));
    TRY_DONE(set_dtypes(k));
    TRY_DONE(describe(k, &f, &extra));
    TRY_DONE(vlm_folder_write(dir, "config.json", vlm_folder_flat(&f)));
    TRY_DONE(vlm_folder_write(dir, "vlm.json", vlm_folder_own(&f)));
    TRY_DONE(vlm_copy_tokenizer(k->net->dir, dir, false));
    status = vlm_copy_file(k->net->dir, dir, "generation_config.json");
done:
    json_decref(extra);
    return status;
}
static vlm_status to_ours(job *k, const char *dir) {
    TRY(ours_beside(k, dir));
    return k->o->packed ? write_packed(k, dir) : write_weights(k, dir, k->net, -1);
}
vlm_status vlm_write_ours(const vlm_model *m, vlm_tensor_dtype dtype, const char *dir) {
    job k = { .m = m, .net = m->net, .dtype = dtype };
    if (!m->net->vision || !m->net->language) return vlm_fail(VLM_EARG, m->net->dir, "is no whole model; make one with vlm new");
    vlm_status status = ours_beside(&k, dir);
    json_decref(k.vision);
    json_decref(k.language);
    return status;
}

/* How nanoVLM would see images, against how this model does: other statistics are folded into the weights, the rest is told. */
static vlm_status check_rule(job *k, json_t *flat) {
    const vlm_image_rule *a = &k->m->rule;
    vlm_image_rule b;
    vlm_net read = { .dir = k->net->dir, .config = flat, .nanovlm = true, .vision = k->net->vision, .vit = k->net->vit,
                     .shuffle = k->net->shuffle };
    char lost[160] = "";
    TRY(vlm_image_rule_of(&read, &(vlm_rule_options){ 0 }, &b));
    if (a->kind != b.kind || a->block != b.block)
        return cannot_say(k, "image rule", "nanoVLM's config.json", "use --to ours");
    const struct { bool differs; const char *key; } rest[] = {
        { a->max_tokens != b.max_tokens, "image.max_tokens" }, { a->no_upscale != b.no_upscale, "image.no_upscale" },
        { a->filter != b.filter, "image.filter" }, { a->fill_max != b.fill_max, "image.fill_max" },
        { a->global_tile != b.global_tile, "image.global_tile" }, { k->m->chat != VLM_CHAT_CHATML, "template" },
        { k->m->context < k->net->lm.cfg.context, "context" } };
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        if (rest[i].differs) snprintf(lost + strlen(lost), sizeof lost - strlen(lost), "%s%s", *lost ? ", " : "", rest[i].key);
    if (*lost)
        vlm_warn(k->o->out, "nanoVLM's config.json has no key for what vlm.json calls %s: its Python does without; "
                 "--to ours keeps it", lost);
    for (int c = 0; c < 3; c++) {
        k->scale[c] = (float)((double)b.std[c] / a->std[c]);
        k->shift[c] = (float)(((double)b.mean[c] - a->mean[c]) / a->std[c]);
        k->fold = k->fold || a->std[c] != b.std[c] || a->mean[c] != b.mean[c];
    }
    if (k->fold)
        vlm_warn(k->o->out, "nanoVLM normalises pixels in its own way: patch_embedding.conv is changed so that the encoder sees what "
                 "it saw; --to ours keeps it as it is");
    return VLM_OK;
}

static vlm_status grow(job *k, int64_t rows) {
    vlm_lm_config l = k->net->lm.cfg;
    if (!(k->grown = calloc(1, sizeof *k->grown))) return vlm_fail_memory(k->net->dir, sizeof *k->grown);
    vlm_warn(k->o->out, "the fork rounds the vocabulary: the table gets %lld rows for %lld, the new ones the mean of the others",
             (long long)rows, (long long)l.V);
    l.V = rows;
    k->grown->vision = k->net->vision;
    k->grown->language = k->net->language;
    k->grown->shuffle = k->net->shuffle;
    TRY(vlm_vit_init(&k->grown->vit, &k->net->vit.cfg));
    TRY(vlm_lm_init(&k->grown->lm, &l));
    return vlm_net_params(k->grown);
}

static vlm_status to_nanovlm(job *k, const char *dir) {
    static const char target[] = "nanoVLM's config.json", instead[] = "use --to ours or --to hf";
    const vlm_net *net = k->net;
    const vlm_image_rule *r = &k->m->rule;
    vlm_image_rule imagenet;
    vlm_folder f;
    json_t *extra = NULL, *flat = NULL;
    vlm_net read = { .shuffle = 1, .fork_maths = true };       /* its Python: tanh-GELU and a K bias */
    vlm_vit_config v = net->vit.cfg;
    vlm_status status = VLM_OK;
    const char *what;
    if (net->vision == &vlm_dinov2)
        return vlm_fail(VLM_EUNSUPPORTED, net->dir, "its encoder is DINOv2, which nanoVLM has not; %s", instead);
    if (net->language != &vlm_llama)
        return vlm_fail(VLM_EUNSUPPORTED, net->dir, "its language model is %s, which nanoVLM would run as a Llama, into nonsense; %s",
                        net->language->name, instead);
    TRY(vlm_image_normalise("imagenet", &imagenet));
    bool fork = net->vision == &vlm_dinov3 || (!r->fill_max && !r->global_tile && !memcmp(r->mean, imagenet.mean, sizeof r->mean) &&
                                               !memcmp(r->std, imagenet.std, sizeof r->std));
    TRY_DONE(describe(k, &f, &extra));
    if (fork) {
        int64_t rows = vlm_fork_rows(net->lm.cfg.V, 0);
        if (vlm_fork_rows(f.base_vocab, f.extra) != rows) {
            f.extra = (int64_t)json_object_size(extra);
            f.base_vocab = net->lm.cfg.V - f.extra;
        }
        if (rows != net->lm.cfg.V) TRY_DONE(grow(k, rows));
    }
    if (k->grown) f.net = k->grown;
    flat = fork ? vlm_folder_fork(&f) : vlm_folder_flat(&f);
    if (!flat) { status = vlm_fail_memory(dir, 1 << 16); goto done; }
    TRY_DONE(vlm_nanovlm_config(flat, net->dir, net->weights, &read));
    if (fork && net->vision == &vlm_dinov3 && !v.gated && v.act == VLM_GELU_ERF) {
        vlm_warn(k->o->out, "the fork's Python computes tanh-GELU where this encoder has erf-GELU: its answers differ a little; "
                 "vlm reads the folder rightly");
        v.act = VLM_GELU_TANH;
    }
    if ((what = vit_differs(&v, &read.vit.cfg)) || (what = lm_differs(&net->lm.cfg, &read.lm.cfg))) {
        status = cannot_say(k, what, target, instead);
        goto done;
    }
    TRY_DONE(check_rule(k, flat));
    if (f.fork_maths)
        vlm_warn(k->o->out, "nanoVLM's config.json does not say that the fork trained the encoder; give --fork-maths when vlm reads it");
    TRY_DONE(vlm_folder_write(dir, "config.json", json_incref(flat)));
    TRY_DONE(vlm_copy_tokenizer(net->dir, dir, false));
    TRY_DONE(vlm_copy_file(net->dir, dir, "generation_config.json"));
    status = write_weights(k, dir, f.net, -1);
done:
    vlm_vit_free(&read.vit);
    vlm_lm_free(&read.lm);
    json_decref(flat);
    json_decref(extra);
    return status;
}

/* ---- Hugging Face's ---- */

static vlm_status write_projector(job *k, const char *dir) {
    char *path = vlm_join(dir, "projector.safetensors"), shuffle[32], *image = NULL;
    const vlm_param *p = vlm_params_find(&k->net->params, "MP.proj.weight");
    json_t *rule = vlm_image_rule_json(&k->m->rule), *metadata = NULL;
    vlm_stored t = { .name = "MP.proj.weight", .dtype = dtype(k, p), .ndim = 2, .shape = { p->shape[0], p->shape[1] }, .parts = 1,
                     .part = { { p, 0, p->shape[0] } } };
    vlm_status status = VLM_OK;
    snprintf(shuffle, sizeof shuffle, "%lld", (long long)k->net->shuffle);
    if (rule) image = json_dumps(rule, JSON_COMPACT);
    if (image) metadata = json_pack("{s:s, s:s, s:s, s:s}", "format", "pt", "mp_pixel_shuffle_factor", shuffle, "image", image, "template",
                                    vlm_chat_kind_name(k->m->chat));
    if (!path || !metadata) status = vlm_fail_memory(dir, 1 << 12);
    else status = vlm_store(path, &t, 1, metadata, &(vlm_source){ values, dtype, k });
    json_decref(metadata);
    json_decref(rule);
    free(image);
    free(path);
    return status;
}
/* What transformers' image processors read; a folder of an encoder alone is seen by it, too (docs/formats.md). */
static json_t *preprocessor(const vlm_image_rule *r) {
    return json_pack("{s:b, s:i, s:b, s:f, s:b, s:[f,f,f], s:[f,f,f]}", "do_resize", 1, "resample", r->filter == VLM_BICUBIC ? 3 : 2,
                     "do_rescale", 1, "rescale_factor", 1 / 255.0, "do_normalize", 1,
                     "image_mean", vlm_json_decimal(r->mean[0]), vlm_json_decimal(r->mean[1]), vlm_json_decimal(r->mean[2]),
                     "image_std", vlm_json_decimal(r->std[0]), vlm_json_decimal(r->std[1]), vlm_json_decimal(r->std[2]));
}
static vlm_status to_hf(job *k, const char *dir) {
    char *vision = vlm_join(dir, "vision"), *language = vlm_join(dir, "language");
    vlm_status status = VLM_OK;
    if (!vision || !language) { status = vlm_fail_memory(dir, strlen(dir)); goto done; }
    TRY_DONE(backbone_configs(k, true));
    TRY_DONE(set_dtypes(k));
    if (mkdir(vision, 0777) || mkdir(language, 0777)) { status = vlm_fail_errno(dir, "make the folders in"); goto done; }
    TRY_DONE(vlm_folder_write(vision, "config.json", json_incref(k->vision)));
    TRY_DONE(vlm_folder_write(vision, "preprocessor_config.json", preprocessor(&k->m->rule)));
    TRY_DONE(vlm_folder_write(language, "config.json", json_incref(k->language)));
    TRY_DONE(vlm_copy_tokenizer(k->net->dir, language, true));
    TRY_DONE(vlm_copy_file(k->net->dir, language, "generation_config.json"));
    TRY_DONE(write_weights(k, vision, k->net, VLM_VISION));
    TRY_DONE(write_weights(k, language, k->net, VLM_LANGUAGE));
    status = write_projector(k, dir);
done:
    free(vision);
    free(language);
    return status;
}

/* A backbone: every tensor under its own name, those that nobody needs too. */
static vlm_status bare_values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    const job *k = user;
    TRY(vlm_params_source(p, k->net->weights, row, rows, out));
    forget(p, row, rows);
    return VLM_OK;
}
static vlm_status bare_beside(job *k, const char *dir) {
    json_t *config = json_deep_copy(k->net->config);
    vlm_status status = config ? VLM_OK : vlm_fail_memory(dir, 1 << 12);
    if (!status && k->dtype != VLM_T_COUNT) status = set_dtype(k, config, k->net->params.p[0].name);
    if (!status) status = vlm_folder_write(dir, "config.json", json_incref(config));
    json_decref(config);
    if (status) return status;
    TRY(vlm_copy_tokenizer(k->net->dir, dir, false));
    TRY(vlm_copy_file(k->net->dir, dir, "generation_config.json"));
    return vlm_copy_file(k->net->dir, dir, "preprocessor_config.json");
}
vlm_status vlm_write_beside(const vlm_model *m, vlm_tensor_dtype dtype, const char *dir) {
    if (m->net->vision && m->net->language) return vlm_write_ours(m, dtype, dir);
    return bare_beside(&(job){ .m = m, .net = m->net, .dtype = VLM_T_COUNT }, dir);
}
static vlm_status bare(job *k, const char *dir) {
    TRY(bare_beside(k, dir));
    if (k->o->packed) return write_packed(k, dir);
    const vlm_weights *w = k->net->weights;
    int64_t count = vlm_weights_count(w), n = 0;
    vlm_stored *t = calloc((size_t)count + 1, sizeof *t);
    vlm_param *p = calloc((size_t)count + 1, sizeof *p);
    char *path = vlm_join(dir, "model.safetensors");
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    vlm_status status = VLM_OK;
    if (!t || !p || !path || !metadata) { status = vlm_fail_memory(dir, (size_t)count * (sizeof *t + sizeof *p)); goto done; }
    for (int64_t i = 0; i < count; i++) {
        const vlm_tensor *s = vlm_weights_at(w, i);
        int64_t len = vlm_tensor_len(s);
        if (s->dtype != VLM_T_F32 && s->dtype != VLM_T_BF16 && s->dtype != VLM_T_F16 && s->dtype != VLM_T_F64) {
            vlm_warn(vlm_weights_file(w, s), "tensor %s is %s and no weight; it is left out", s->name, vlm_tensor_dtype_name(s->dtype));
            continue;
        }
        if (strlen(s->name) >= sizeof t->name) {
            status = vlm_fail(VLM_ELIMIT, vlm_weights_file(w, s), "a tensor's name has more than 255 bytes; rename it");
            goto done;
        }
        t[n] = (vlm_stored){ .dtype = k->dtype != VLM_T_COUNT ? k->dtype : as_source(s->dtype), .ndim = s->ndim };
        strcpy(t[n].name, s->name);
        memcpy(t[n].shape, s->shape, sizeof s->shape);
        p[n] = (vlm_param){ .ndim = 1, .shape = { len }, .parts = 1, .part = { s } };
        if (len) t[n].parts = 1, t[n].part[0].p = &p[n], t[n].part[0].rows = len;
        n++;
    }
    status = vlm_store(path, t, n, metadata, &(vlm_source){ bare_values, NULL, k });
done:
    json_decref(metadata);
    free(path);
    free(t);
    free(p);
    return status;
}

vlm_status vlm_convert(const vlm_model *m, const vlm_convert_options *o) {
    static const struct { const char *name; vlm_status (*write)(job *, const char *); } targets[] = {
        { "ours", to_ours }, { "nanovlm", to_nanovlm }, { "hf", to_hf } };
    job k = { .m = m, .o = o, .net = m->net, .dtype = VLM_T_COUNT };
    const vlm_net *net = m->net;
    bool whole = net->vision && net->language;
    const char *to = o->to ? o->to : whole ? "ours" : "hf";
    vlm_dir_writer out = { 0 };
    vlm_status status = VLM_OK;
    int i = 0;
    if (!o->out) return vlm_fail(VLM_EARG, "-o", "is missing; name the folder to write");
    while (i < 3 && strcmp(targets[i].name, to)) i++;
    if (i == 3) return vlm_fail(VLM_EARG, "--to", "\"%s\" is not known; ours, nanovlm and hf are", to);
    if (o->dtype) TRY(vlm_store_dtype(o->dtype, &k.dtype));
    if (!whole && i < 2)
        return vlm_fail(VLM_EARG, net->dir, "is a %s alone, and --to %s is for whole models; make one with vlm new, or change the "
                        "dtype only with --to hf", net->vision ? "vision encoder" : "language model", to);
    if (o->packed && whole && i)
        return vlm_fail(VLM_EARG, "--packed", "is for this program's own folders, and --to %s for others; leave one of them out", to);
    TRY(vlm_packed_refuse(net, "converting"));
    if (vlm_is_inside(net->dir, o->out)) return vlm_fail(VLM_EARG, o->out, "holds what is to be converted; name another folder");
    if (net->language == &vlm_gemma3 && o->dtype) {
        const vlm_param *p = vlm_params_find(&net->params, "decoder.token_embedding.weight");
        if (as_source(p->part[0]->dtype) != k.dtype)
            vlm_warn(o->out, "Gemma's embeddings are scaled by a factor that is rounded to their dtype: answers change a little with it");
    }
    TRY(vlm_dir_writer_open(o->out, o->force, vlm_folder_is_model, &out));
    TRY_DONE((whole ? targets[i].write : bare)(&k, out.temp));
    status = vlm_dir_writer_commit(&out);
done:
    vlm_dir_writer_cancel(&out);
    vlm_net_close(k.grown);
    json_decref(k.vision);
    json_decref(k.language);
    return status;
}

#include "infer/new.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/rule.h"
#include "infer/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMOLLM2_135M \
    "{\"model_type\":\"llama\",\"hidden_size\":576,\"intermediate_size\":1536,\"num_hidden_layers\":30,\"num_attention_heads\":9," \
    "\"num_key_value_heads\":3,\"rms_norm_eps\":1e-5,\"rope_theta\":100000,\"max_position_embeddings\":8192,\"vocab_size\":49152," \
    "\"tie_word_embeddings\":true}"
#define DINOV3(D, L, H, F, GATED) \
    "{\"model_type\":\"dinov3_vit\",\"hidden_size\":" #D ",\"num_hidden_layers\":" #L ",\"num_attention_heads\":" #H \
    ",\"intermediate_size\":" #F ",\"num_register_tokens\":4,\"hidden_act\":" GATED "}"
#define PLAIN "\"gelu\",\"use_gated_mlp\":false"
#define GATED "\"silu\",\"use_gated_mlp\":true"
static const vlm_preset presets[] = {
    { "tiny", "DINOv3-like encoder of 2.8 M and a Llama of 1.6 M parameters: seconds to make and to run", DINOV3(192, 6, 3, 768, PLAIN),
      "{\"model_type\":\"llama\",\"hidden_size\":192,\"intermediate_size\":512,\"num_hidden_layers\":4,\"num_attention_heads\":3,"
      "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-5,\"rope_theta\":10000,\"max_position_embeddings\":4096,\"vocab_size\":259,"
      "\"tie_word_embeddings\":true}" },
    { "dinov3s-smollm2-135m", "DINOv3-S and SmolLM2-135M", DINOV3(384, 12, 6, 1536, PLAIN), SMOLLM2_135M },
    { "dinov3splus-smollm2-135m", "DINOv3-S+ and SmolLM2-135M", DINOV3(384, 12, 6, 1536, GATED), SMOLLM2_135M },
    { "dinov3b-smollm2-360m", "DINOv3-B and SmolLM2-360M", DINOV3(768, 12, 12, 3072, PLAIN),
      "{\"model_type\":\"llama\",\"hidden_size\":960,\"intermediate_size\":2560,\"num_hidden_layers\":32,\"num_attention_heads\":15,"
      "\"num_key_value_heads\":5,\"rms_norm_eps\":1e-5,\"rope_theta\":100000,\"max_position_embeddings\":8192,\"vocab_size\":49152,"
      "\"tie_word_embeddings\":true}" },
    { "dinov3splus-gemma3-270m", "DINOv3-S+ and Gemma 3 270M", DINOV3(384, 12, 6, 1536, GATED),
      "{\"model_type\":\"gemma3_text\",\"hidden_size\":640,\"intermediate_size\":2048,\"num_hidden_layers\":18,\"num_attention_heads\":4,"
      "\"num_key_value_heads\":1,\"head_dim\":256,\"max_position_embeddings\":32768,\"vocab_size\":262144,\"sliding_window\":512,"
      "\"query_pre_attn_scalar\":256}" },
    { "siglip-smollm2-135m", "SigLIP-B/16-224 and SmolLM2-135M, the sizes of nanoVLM-222M",
      "{\"model_type\":\"siglip_vision_model\",\"image_size\":224}", SMOLLM2_135M },
};
const vlm_preset *vlm_presets(int *n) {
    *n = sizeof presets / sizeof *presets;
    return presets;
}

/* ---- Where values come from: a backbone's tensors, or a random stream of the parameter's own ---- */

typedef struct maker {
    const vlm_new_options *o;
    vlm_net *vision, *language;        /* structure only; the same net twice for a preset */
    vlm_net *net;                      /* what is being made */
    json_t *vision_config, *language_config;
    vlm_image_rule rule;
    int64_t base_vocab, extra;         /* rows before and after */
    const char *chat;
    bool preset;
} maker;

static void seed_for(vlm_rng *r, uint64_t seed, const char *name) {    /* by the name: the order of parameters does not matter */
    vlm_rng_seed(r, seed ^ vlm_hash(VLM_HASH, name, strlen(name)));
}
static bool ends(const char *s, const char *tail) { size_t n = strlen(s), m = strlen(tail); return n >= m && !strcmp(s + n - m, tail); }

/* nanoVLM's initialisation: weights N(0, 0.02), biases 0, norms neutral, CLS and registers 0, positions U(0,1), LayerScale 1. */
static void draw(const maker *k, const vlm_param *p, float *out, int64_t n) {
    vlm_rng r;
    seed_for(&r, k->o->seed, p->name);
    bool norm = strstr(p->name, "norm") || strstr(p->name, ".ln"), lm_norm = norm && p->group == VLM_LANGUAGE;
    for (int64_t i = 0; i < n; i++) {
        if (ends(p->name, ".bias") || strstr(p->name, "cls_token") || strstr(p->name, "register_tokens")) out[i] = 0;
        else if (lm_norm) out[i] = 1 - k->net->lm.cfg.norm_offset;
        else if (norm || strstr(p->name, "lambda_param")) out[i] = 1;
        else if (strstr(p->name, "position_embedding")) out[i] = (float)vlm_rng_uniform(&r);
        else out[i] = (float)(0.02 * vlm_rng_normal(&r));
    }
}

/* All of p as floats. */
static vlm_status values(const maker *k, const vlm_param *p, float *out) {
    const vlm_net *from = p->group == VLM_VISION ? k->vision : k->language;
    int64_t n = vlm_param_len(p), at = 0, rows = 0;
    if (k->preset || p->group == VLM_PROJECTOR) { draw(k, p, out, n); return VLM_OK; }
    const vlm_param *src = vlm_params_find(&from->params, p->name);
    for (int j = 0; j < src->parts; j++) {
        int64_t len = vlm_param_len(src) / src->parts;
        if (src->part[j]) {
            TRY(vlm_tensor_to_float(src->part[j], src->first * len / (src->shape[0] / src->parts), len, out + at));
            for (int64_t i = 0; i < len; i++)
                if (!isfinite(out[at + i]))
                    return vlm_fail(VLM_EFORMAT, vlm_weights_file(from->weights, src->part[j]),
                                    "tensor %s holds NaN or infinite values; get the weights again", src->part[j]->name);
            vlm_weights_forget(from->weights, src->part[j]);
        } else memset(out + at, 0, (size_t)len * sizeof *out);
        at += len;
    }
    for (int64_t c = 0, C = p->shape[p->ndim - 1]; at < n && c < C; c++) {      /* new rows: the mean of the old ones */
        double sum = 0;
        rows = at / C;
        for (int64_t r = 0; r < rows; r++) sum += out[r * C + c];
        for (int64_t r = rows; r < p->shape[0]; r++) out[r * C + c] = (float)(sum / (double)rows);
    }
    return VLM_OK;
}
static void to_bf16(const float *x, int64_t n, uint16_t *out) {        /* nearest, ties to even; values are finite */
    for (int64_t i = 0; i < n; i++) {
        union { float f; uint32_t u; } b = { x[i] };
        out[i] = (uint16_t)((b.u + 0x7FFF + (b.u >> 16 & 1)) >> 16);
    }
}

static vlm_status write_weights(const maker *k, const char *path) {
    const vlm_params *ps = &k->net->params;
    const vlm_lm_config *c = &k->net->lm.cfg;
    vlm_safetensors_writer *w = NULL;
    float *f = NULL;
    uint16_t *h = NULL;
    int64_t most = 0, half = c->Dh / 2;
    vlm_status status = VLM_OK;
    vlm_tensor_dtype dtype = k->o->bf16 ? VLM_T_BF16 : VLM_T_F32;
    for (int i = 0; i < ps->n; i++) if (most < vlm_param_len(&ps->p[i])) most = vlm_param_len(&ps->p[i]);
    f = malloc((size_t)most * sizeof *f);
    h = malloc((size_t)most * sizeof *h);
    if (!f || !h) { status = vlm_fail_memory(path, (size_t)most * (sizeof *f + sizeof *h)); goto done; }
    TRY_DONE(vlm_safetensors_writer_open(path, &w));
    TRY_DONE(vlm_safetensors_writer_metadata(w, "format", "pt"));
    /* as safetensors' save_model: of a tied pair the name that sorts first is stored, the metadata tells of the other */
    if (c->tied) TRY_DONE(vlm_safetensors_writer_metadata(w, "decoder.token_embedding.weight", "decoder.head.weight"));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < ps->n; i++) {
            const vlm_param *p = &ps->p[i];
            const char *name = c->tied && !strcmp(p->name, "decoder.token_embedding.weight") ? "decoder.head.weight" : p->name;
            int64_t n = vlm_param_len(p);
            if (p->tied) continue;
            if (!pass) { TRY_DONE(vlm_safetensors_writer_declare(w, name, dtype, p->ndim, p->shape)); continue; }
            TRY_DONE(values(k, p, f));
            if (k->o->bf16) to_bf16(f, n, h);
            TRY_DONE(vlm_safetensors_writer_put(w, name, k->o->bf16 ? (void *)h : f, (size_t)n * vlm_tensor_dtype_bytes(dtype)));
            TRY_DONE(vlm_progress("tensors", i + 1, ps->n));
        }
        /* a buffer that Python wants */
        if (!pass) TRY_DONE(vlm_safetensors_writer_declare(w, "decoder.rotary_embd.inv_freq", VLM_T_F32, 1, &half));
    }
    for (int64_t i = 0; i < half; i++) f[i] = (float)pow(c->rope_theta, -2.0 * (double)i / (double)c->Dh);
    TRY_DONE(vlm_safetensors_writer_put(w, "decoder.rotary_embd.inv_freq", f, (size_t)half * sizeof *f));
    status = vlm_safetensors_writer_commit(w);
    w = NULL;
done:
    vlm_safetensors_writer_cancel(w);
    free(f);
    free(h);
    return status;
}

/* ---- The two configs ---- */

/* The shortest decimal that is this float: 1e-5 stays 1e-5, not 9.9999997e-6. */
static double decimal(float f) {
    char text[32];
    double d = f;
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        d = strtod(text, NULL);
        if ((float)d == f) break;
    }
    return d;
}

static json_t *extra_tokens(bool siglip) {
    json_t *o = json_pack("{s:s}", "image_token", "<|image|>");
    char key[32], value[32];
    if (siglip) json_object_set_new(o, "global_image_token", json_string("<|global_image|>"));
    for (int r = 1; siglip && r <= 8; r++)
        for (int c = 1; c <= 8; c++) {
            snprintf(key, sizeof key, "r%dc%d", r, c);
            snprintf(value, sizeof value, "<row_%d_col_%d>", r, c);
            json_object_set_new(o, key, json_string(value));
        }
    return o;
}

/* Upstream's keys and no others: its Python refuses a config with more. */
static json_t *flat_config(const maker *k) {
    const vlm_vit_config *v = &k->net->vit.cfg;
    const vlm_lm_config *l = &k->net->lm.cfg;
    bool siglip = k->net->vision == &vlm_siglip;
    json_t *extra = extra_tokens(siglip);
    int64_t side = k->rule.kind == VLM_RULE_TILES ? k->rule.block / k->rule.patch / k->net->shuffle : 1;
    static const char chatml[] =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    return json_pack(
        "{s:I s:I s:I s:I s:I s:f s:I s:f s:b s:s  s:I s:I s:f s:f s:I s:I s:I s:I s:I s:I s:f s:I s:f s:I s:b s:b s:s s:s s:s  "
        "s:I s:I s:I s:b s:o s:b s:s s:n}",
        "vit_hidden_dim", (json_int_t)v->D, "vit_inter_dim", (json_int_t)v->F, "vit_patch_size", (json_int_t)v->P,
        "vit_img_size", (json_int_t)(siglip ? k->rule.block : k->rule.max_size), "vit_n_heads", (json_int_t)v->H, "vit_dropout", 0.0,
        "vit_n_blocks", (json_int_t)v->L, "vit_ln_eps", decimal(v->eps), "vit_cls_flag", v->cls, "vit_model_type", k->net->vision->name,
        "lm_hidden_dim", (json_int_t)l->D, "lm_inter_dim", (json_int_t)l->F, "lm_rms_eps", decimal(l->eps), "lm_re_base", l->rope_theta,
        "lm_max_position_embeddings", (json_int_t)l->context, "lm_base_vocab_size", (json_int_t)k->base_vocab,
        "extra_token_amount", (json_int_t)k->extra, "lm_vocab_size", (json_int_t)l->V, "lm_n_heads", (json_int_t)l->H,
        "lm_n_kv_heads", (json_int_t)l->G, "lm_dropout", 0.0, "lm_n_blocks", (json_int_t)l->L, "lm_attn_scaling", 1.0,
        "lm_max_length", (json_int_t)(k->o->context ? k->o->context : l->context), "lm_use_tokens", 0, "lm_tie_weights", l->tied,
        "lm_model_type", k->net->language->name, "lm_tokenizer", ".", "lm_chat_template", chatml,
        "mp_pixel_shuffle_factor", (json_int_t)k->net->shuffle, "mp_image_token_length", (json_int_t)(side * side),
        "max_img_size", (json_int_t)k->rule.max_size, "resize_to_max_side_len", k->rule.fill_max, "vlm_extra_tokens", extra,
        "vlm_load_backbone_weights", 0, "vlm_checkpoint_path", "checkpoints", "hf_repo_name");
}
static json_t *own_config(const maker *k) {
    json_t *j = json_pack("{s:i s:s s:O s:O s:o s:s}", "format_version", 1, "vlm_version", VLM_VERSION, "vision_config", k->vision_config,
                          "language_config", k->language_config, "image", vlm_image_rule_json(&k->rule), "template", k->chat);
    if (j && k->o->context) json_object_set_new(j, "context", json_integer(k->o->context));
    return j;
}
static vlm_status write_json(const char *dir, const char *name, json_t *j) {
    char *path = vlm_join(dir, name);
    vlm_status status = !path || !j ? vlm_fail_memory(name, 1 << 16) : vlm_json_write(path, j);
    free(path);
    json_decref(j);
    return status;
}

/* The language model's list of ids that end an answer goes along. */
static vlm_status copy_generation_config(const maker *k, const char *dir) {
    char *from = k->preset ? NULL : vlm_join(k->o->language, "generation_config.json");
    json_t *j = NULL;
    vlm_status status = VLM_OK;
    if (from && vlm_exists(from) && !(status = vlm_json_read(from, &j))) status = write_json(dir, "generation_config.json", j);
    free(from);
    return status;
}

/* ---- The making ---- */

static vlm_status open_sources(maker *k) {
    const vlm_new_options *o = k->o;
    vlm_net_options structure = { .structure_only = true };
    if (k->preset) {
        const vlm_preset *p = NULL;
        for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) if (!strcmp(presets[i].name, o->preset)) p = &presets[i];
        if (!p) return vlm_fail(VLM_EARG, "--preset", "\"%s\" is not known; --preset help lists them", o->preset);
        TRY(vlm_json_parse(p->vision, strlen(p->vision), p->name, &k->vision_config));
        return vlm_json_parse(p->language, strlen(p->language), p->name, &k->language_config);
    }
    if (!o->vision || !o->language)
        return vlm_fail(VLM_EARG, !o->vision ? "--vision" : "--language", "is missing; name both backbones' folders, or a --preset");
    TRY(vlm_net_open(o->vision, &structure, &k->vision));
    TRY(vlm_net_open(o->language, &structure, &k->language));
    if (!k->vision->vision || k->vision->language)
        return vlm_fail(VLM_EARG, o->vision, "is no vision encoder; name a DINOv3, DINOv2 or SigLIP folder with --vision");
    if (!k->language->language || k->language->vision)
        return vlm_fail(VLM_EARG, o->language, "is no language model; name a Llama or Gemma 3 folder with --language");
    k->vision_config = json_incref(k->vision->config);
    k->language_config = json_incref(k->language->config);
    return VLM_OK;
}

static vlm_status image_rule(maker *k) {
    const vlm_new_options *o = k->o;
    vlm_image_rule *r = &k->rule;
    const vlm_vit_config *v = &k->net->vit.cfg;
    bool siglip = k->net->vision == &vlm_siglip;
    *r = (vlm_image_rule){ .patch = v->P, .filter = VLM_BICUBIC, .max_tokens = o->max_image_tokens, .no_upscale = o->no_upscale };
    if (o->shuffle < 0 || o->shuffle > 64) return vlm_fail(VLM_EARG, "--shuffle", "is %lld; choose 1 to 64", (long long)o->shuffle);
    k->net->shuffle = o->shuffle;
    if (!o->shuffle) k->net->shuffle = siglip && v->pos_h % 4 == 0 && v->pos_h >= 32 ? 4 : 2;
    r->shuffle = k->net->shuffle;
    TRY(vlm_image_normalise(siglip ? "siglip" : "imagenet", r));
    if (siglip) {                      /* upstream's tiles, with the global one */
        r->kind = VLM_RULE_TILES;
        r->block = v->pos_h * v->P;
        r->max_size = o->max_size_px ? o->max_size_px : 4 * r->block;
        r->fill_max = !o->no_upscale;
        r->global_tile = true;
        if (r->max_size / r->block > 8)
            return vlm_fail(VLM_EARG, "--max-size", "gives more than 8 x 8 tiles of %lld, for which there are no tokens; choose up to %lld",
                            (long long)r->block, (long long)(8 * r->block));
    } else {
        r->kind = VLM_RULE_DYNAMIC;
        r->block = r->patch * r->shuffle;
        r->max_size = o->max_size_px ? o->max_size_px : 1024;
    }
    if (!k->preset && k->vision->vision) {     /* the encoder's own statistics, where it says */
        vlm_image_rule bare;
        TRY(vlm_image_rule_of(k->vision, &(vlm_rule_options){ 0 }, &bare));
        memcpy(r->mean, bare.mean, sizeof r->mean);
        memcpy(r->std, bare.std, sizeof r->std);
    }
    return vlm_image_rule_check(r, k->preset ? k->o->preset : k->o->vision);
}

static vlm_status make_tokenizer(maker *k, const char *dir) {
    json_t *names = extra_tokens(k->net->vision == &vlm_siglip), *v;
    const char *tokens[80], *key;
    int n = 0;
    vlm_tokenizer *t = NULL;
    vlm_chat_kind kind, own;
    vlm_ids stop = { 0 };
    vlm_status status = VLM_OK;
    json_object_foreach(names, key, v) tokens[n++] = json_string_value(v);
    if (k->preset) {
        TRY_DONE(vlm_tokenizer_bytes(dir));
        TRY_DONE(vlm_tokenizer_extend(dir, dir, tokens, n, -1));
    } else TRY_DONE(vlm_tokenizer_extend(k->o->language, dir, tokens, n, -1));
    TRY_DONE(vlm_tokenizer_open(dir, &t));
    k->base_vocab = k->net->lm.cfg.V;
    if (vlm_tokenizer_size(t) > k->net->lm.cfg.V) k->net->lm.cfg.V = vlm_tokenizer_size(t);
    k->extra = k->net->lm.cfg.V - k->base_vocab;
    k->chat = k->o->chat_template;
    if (!k->chat) k->chat = vlm_token_id(t, "<start_of_turn>") >= 0 && k->net->language == &vlm_gemma3 ? "gemma" : "chatml";
    if (!strcmp(k->chat, "chatml") && (vlm_token_id(t, "<|im_start|>") < 0 || vlm_token_id(t, "<|im_end|>") < 0)) {
        status = vlm_fail(VLM_EUNSUPPORTED, k->o->language ? k->o->language : "preset",
                          "its tokenizer has no <|im_start|> and <|im_end|>, which ChatML needs; "
                          "use an instruct model, or --template gemma");
        goto done;
    }
    TRY_DONE(vlm_chat_kind_of(t, k->chat, NULL, &kind));
    TRY_DONE(vlm_chat_stop_ids(t, kind, &stop));               /* has it the tokens that its template needs? */
    TRY_DONE(vlm_chat_kind_of(t, NULL, NULL, &own));
    if (!k->o->chat_template && own != VLM_CHAT_UNKNOWN && own != kind)
        vlm_warn(k->o->out, "its chat template is %s, as nanoVLM's; the language model's own is %s, which --template %s keeps", k->chat,
                 vlm_chat_kind_name(own), vlm_chat_kind_name(own));
done:
    vlm_ids_free(&stop);
    vlm_tokenizer_close(t);
    json_decref(names);
    return status;
}

static vlm_status make(maker *k) {
    vlm_dir_writer out = { 0 };
    vlm_vit_config v;
    vlm_lm_config l;
    char *weights = NULL;
    vlm_status status = VLM_OK;
    if (!k->o->out) return vlm_fail(VLM_EARG, "-o", "is missing; name the folder to write");
    TRY(open_sources(k));
    if (!k->preset && (vlm_same_file(k->o->out, k->o->vision) || vlm_same_file(k->o->out, k->o->language)))
        return vlm_fail(VLM_EARG, k->o->out, "is one of the folders that the model is made of; name another");
    const char *type = json_string_value(json_object_get(k->vision_config, "model_type"));
    k->net->vision = vlm_family_by_type(type ? type : "");
    type = json_string_value(json_object_get(k->language_config, "model_type"));
    k->net->language = vlm_family_by_type(type ? type : "");
    TRY(k->net->vision->vit(k->vision_config, k->preset ? k->o->preset : k->o->vision, &v));
    TRY(k->net->language->lm(k->language_config, k->preset ? k->o->preset : k->o->language, &l));
    if (k->language) l.V = k->language->lm.cfg.V;
    if (k->o->context > l.context)
        return vlm_fail(VLM_EARG, "--context", "is %lld, but the language model knows %lld positions; choose at most that",
                        (long long)k->o->context, (long long)l.context);
    TRY(vlm_vit_init(&k->net->vit, &v));
    TRY(vlm_lm_init(&k->net->lm, &l));
    TRY(image_rule(k));
    TRY(vlm_dir_writer_open(k->o->out, k->o->force, &out));
    TRY_DONE(make_tokenizer(k, out.temp));
    TRY_DONE(vlm_net_params(k->net));
    TRY_DONE(write_json(out.temp, "config.json", flat_config(k)));
    TRY_DONE(write_json(out.temp, "vlm.json", own_config(k)));
    TRY_DONE(copy_generation_config(k, out.temp));
    if (!(weights = vlm_join(out.temp, "model.safetensors"))) { status = vlm_fail_memory(k->o->out, 256); goto done; }
    TRY_DONE(write_weights(k, weights));
    status = vlm_dir_writer_commit(&out);
done:
    vlm_dir_writer_cancel(&out);
    free(weights);
    return status;
}

vlm_status vlm_new(const vlm_new_options *o) {
    maker k = { .o = o, .preset = o->preset != NULL, .net = calloc(1, sizeof(vlm_net)) };
    if (!k.net) return vlm_fail_memory("the model", sizeof(vlm_net));
    vlm_status status = make(&k);
    vlm_net_close(k.vision);
    vlm_net_close(k.language);
    vlm_net_close(k.net);
    json_decref(k.vision_config);
    json_decref(k.language_config);
    return status;
}

#include "infer/new.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"
#include "infer/folder.h"
#include "infer/model.h"
#include "model/packed.h"
#include "model/save.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMOLLM2_135M \
    "{\"model_type\":\"llama\",\"hidden_size\":576,\"intermediate_size\":1536,\"num_hidden_layers\":30,\"num_attention_heads\":9," \
    "\"num_key_value_heads\":3,\"rms_norm_eps\":1e-5,\"rope_theta\":100000,\"max_position_embeddings\":8192,\"vocab_size\":49152," \
    "\"tie_word_embeddings\":true}"
#define SMOLLM2_360M \
    "{\"model_type\":\"llama\",\"hidden_size\":960,\"intermediate_size\":2560,\"num_hidden_layers\":32,\"num_attention_heads\":15," \
    "\"num_key_value_heads\":5,\"rms_norm_eps\":1e-5,\"rope_theta\":100000,\"max_position_embeddings\":8192,\"vocab_size\":49152," \
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
      "\"tie_word_embeddings\":true}", 0, false },
    { "digits", "what `make demo` trains from scratch on handwritten digits: an encoder of 0.2 M and a Llama of 0.7 M parameters",
      "{\"model_type\":\"dinov3_vit\",\"patch_size\":8,\"hidden_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":3,"
      "\"intermediate_size\":384,\"num_register_tokens\":4,\"hidden_act\":\"gelu\",\"use_gated_mlp\":false}",
      "{\"model_type\":\"llama\",\"hidden_size\":128,\"intermediate_size\":384,\"num_hidden_layers\":3,\"num_attention_heads\":4,"
      "\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,\"rope_theta\":10000,\"max_position_embeddings\":1024,\"vocab_size\":259,"
      "\"tie_word_embeddings\":true}", 2, true },
    { "dinov3s-smollm2-135m", "DINOv3-S and SmolLM2-135M", DINOV3(384, 12, 6, 1536, PLAIN), SMOLLM2_135M, 0, false },
    { "dinov3splus-smollm2-135m", "DINOv3-S+ and SmolLM2-135M", DINOV3(384, 12, 6, 1536, GATED), SMOLLM2_135M, 0, false },
    { "dinov3b-smollm2-360m", "DINOv3-B and SmolLM2-360M", DINOV3(768, 12, 12, 3072, PLAIN), SMOLLM2_360M, 0, false },
    { "dinov3l-smollm2-360m", "DINOv3-L and SmolLM2-360M", DINOV3(1024, 24, 16, 4096, PLAIN), SMOLLM2_360M, 0, false },
    { "dinov3splus-gemma3-270m", "DINOv3-S+ and Gemma 3 270M", DINOV3(384, 12, 6, 1536, GATED),
      "{\"model_type\":\"gemma3_text\",\"hidden_size\":640,\"intermediate_size\":2048,\"num_hidden_layers\":18,\"num_attention_heads\":4,"
      "\"num_key_value_heads\":1,\"head_dim\":256,\"max_position_embeddings\":32768,\"vocab_size\":262144,\"sliding_window\":512,"
      "\"query_pre_attn_scalar\":256}", 0, false },
    { "siglip-smollm2-135m", "SigLIP-B/16-224 and SmolLM2-135M, the sizes of nanoVLM-222M",
      "{\"model_type\":\"siglip_vision_model\",\"image_size\":224}", SMOLLM2_135M, 0, false },
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
    const vlm_preset *preset;          /* NULL: of two folders */
    vlm_tensor_dtype dtype;
    vlm_safetensors projector;         /* zeroed: it is drawn */
    vlm_rng rng;                       /* of the parameter that is being drawn */
} maker;

static void seed_for(vlm_rng *r, uint64_t seed, const char *name) {    /* by the name: the order of parameters does not matter */
    vlm_rng_seed(r, seed ^ vlm_hash(VLM_HASH, name, strlen(name)));
}
static bool ends(const char *s, const char *tail) { size_t n = strlen(s), m = strlen(tail); return n >= m && !strcmp(s + n - m, tail); }

/* The deviation of a matrix's values. nanoVLM draws all of them N(0, 0.02), which is for widths of some hundreds and long training. Scaled:
   1/√(inputs), so that a narrow model passes its signal on from the first step; what adds to the residual stream by 1/√(2 L) less. */
static double deviation(const maker *k, const vlm_param *p) {
    if (!k->preset || !k->preset->scaled) return 0.02;
    if (strstr(p->name, "token_embedding")) return 0.05;
    double inputs = (double)(vlm_param_len(p) / p->shape[0]);
    double layers = (double)(p->group == VLM_VISION ? k->net->vit.cfg.L : k->net->lm.cfg.L);
    bool adds = ends(p->name, "out_proj.weight") || ends(p->name, "fc2.weight") || ends(p->name, "down_proj.weight");
    return 1 / sqrt(inputs * (adds ? 2 * layers : 1));
}
/* Weights as `deviation` says, biases 0, norms neutral, CLS and registers 0, positions U(0,1), LayerScale 1. */
static void draw(maker *k, const vlm_param *p, int64_t row, int64_t n, float *out) {
    if (!row) seed_for(&k->rng, k->o->seed, p->name);          /* rows are asked for in order */
    bool norm = strstr(p->name, "norm") || strstr(p->name, ".ln"), lm_norm = norm && p->group == VLM_LANGUAGE;
    double spread = deviation(k, p);
    for (int64_t i = 0; i < n; i++) {
        if (ends(p->name, ".bias") || strstr(p->name, "cls_token") || strstr(p->name, "register_tokens")) out[i] = 0;
        else if (lm_norm) out[i] = 1 - k->net->lm.cfg.norm_offset;
        else if (norm || strstr(p->name, "lambda_param")) out[i] = 1;
        else if (strstr(p->name, "position_embedding")) out[i] = (float)vlm_rng_uniform(&k->rng);
        else out[i] = (float)(spread * vlm_rng_normal(&k->rng));
    }
}

static vlm_status values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    maker *k = user;
    const vlm_net *from = p->group == VLM_VISION ? k->vision : k->language;
    if (p->group == VLM_PROJECTOR && k->projector.tensors)
        return vlm_tensor_to_float(vlm_safetensors_find(&k->projector, p->name), row * p->shape[1], rows * p->shape[1], out);
    if (k->preset || p->group == VLM_PROJECTOR) {
        draw(k, p, row, rows * (vlm_param_len(p) / p->shape[0]), out);
        return VLM_OK;
    }
    const vlm_param *src = vlm_params_find(&from->params, p->name);
    TRY(vlm_params_grown(src, from->weights, row, rows, out));
    for (int j = 0; row + rows == p->shape[0] && j < src->parts; j++)
        if (src->part[j]) vlm_weights_forget(from->weights, src->part[j]);
    return VLM_OK;
}
static vlm_tensor_dtype dtype(void *user, const vlm_param *p) {
    (void)p;
    return ((const maker *)user)->dtype;
}

static vlm_status write_configs(const maker *k, const char *dir) {
    json_t *extra = vlm_extra_tokens(k->net->vision == &vlm_siglip);
    vlm_folder f = { .net = k->net, .rule = &k->rule, .vision_config = k->vision_config, .language_config = k->language_config,
                     .extra_tokens = extra, .base_vocab = k->base_vocab, .extra = k->extra, .chat = k->chat, .context = k->o->context };
    vlm_status status = vlm_folder_write(dir, "config.json", vlm_folder_flat(&f));
    if (!status) status = vlm_folder_write(dir, "vlm.json", vlm_folder_own(&f));
    json_decref(extra);
    return status;
}

/* The language model's list of ids that end an answer goes along. */
static vlm_status copy_generation_config(const maker *k, const char *dir) {
    char *from = k->preset ? NULL : vlm_join(k->o->language, "generation_config.json");
    json_t *j = NULL;
    vlm_status status = VLM_OK;
    if (from && vlm_exists(from) && !(status = vlm_json_read(from, &j))) status = vlm_folder_write(dir, "generation_config.json", j);
    free(from);
    return status;
}

/* ---- The making ---- */

static vlm_status open_sources(maker *k) {
    const vlm_new_options *o = k->o;
    vlm_net_options structure = { .structure_only = true };
    if (k->preset) {
        const vlm_preset *p = k->preset;
        TRY(vlm_json_parse(p->vision, strlen(p->vision), p->name, &k->vision_config));
        return vlm_json_parse(p->language, strlen(p->language), p->name, &k->language_config);
    }
    if (!o->vision || !o->language)
        return vlm_fail(VLM_EARG, !o->vision ? "--vision" : "--language", "is missing; name both backbones' folders, or a --preset");
    TRY(vlm_net_open(o->vision, &structure, &k->vision));
    TRY(vlm_net_open(o->language, &structure, &k->language));
    TRY(vlm_packed_refuse(k->vision, "making models"));
    TRY(vlm_packed_refuse(k->language, "making models"));
    if (!k->vision->vision || k->vision->language)
        return vlm_fail(VLM_EARG, o->vision, "is no vision encoder; name a DINOv3, DINOv2 or SigLIP folder with --vision");
    if (!k->language->language || k->language->vision)
        return vlm_fail(VLM_EARG, o->language, "is no language model; name a Llama or Gemma 3 folder with --language");
    k->vision_config = json_incref(k->vision->config);
    k->language_config = json_incref(k->language->config);
    return VLM_OK;
}

/* A projector that is there: s follows from its shape; what was said with it about images and template stays, where nothing else is
   asked for. */
static vlm_status open_projector(maker *k) {
    const char *path = k->o->projector, *image, *chat;
    const vlm_vit_config *v = &k->net->vit.cfg;
    int64_t s = 1, D = k->net->lm.cfg.D;
    vlm_net read = { .dir = (char *)(uintptr_t)path, .vision = k->net->vision, .vit = k->net->vit };
    json_t *rule = NULL;
    TRY(vlm_safetensors_open(path, &k->projector));
    const vlm_tensor *t = vlm_safetensors_find(&k->projector, "MP.proj.weight");
    if (!t) return vlm_fail(VLM_EFORMAT, path, "holds no MP.proj.weight; name the projector.safetensors that vlm convert --to hf wrote");
    while (t->ndim == 2 && s < 64 && s * s * v->D < t->shape[1]) s++;
    if (t->ndim != 2 || t->shape[0] != D || s * s * v->D != t->shape[1])
        return vlm_fail(VLM_EFORMAT, path, "MP.proj.weight fits other backbones: for these it would be [%lld,%lld·s²]; name those that "
                        "it was made for", (long long)D, (long long)v->D);
    if (k->o->shuffle && k->o->shuffle != s)
        return vlm_fail(VLM_EARG, "--shuffle", "is %lld, but the projector's shape says %lld; leave it out",
                        (long long)k->o->shuffle, (long long)s);
    k->net->shuffle = s;
    if ((chat = json_string_value(json_object_get(k->projector.metadata, "template"))) && !k->chat) k->chat = chat;
    if (!(image = json_string_value(json_object_get(k->projector.metadata, "image")))) return VLM_OK;
    TRY(vlm_json_parse(image, strlen(image), path, &rule));
    read.shuffle = s;
    read.ours = json_pack("{s:o}", "image", rule);
    vlm_rule_options how = { .max_size = k->o->max_size_px, .max_tokens = k->o->max_image_tokens, .no_upscale = k->o->no_upscale };
    vlm_status status = read.ours ? vlm_image_rule_of(&read, &how, &k->rule) : vlm_fail_memory(path, 64);
    json_decref(read.ours);
    return status;
}

static vlm_status image_rule(maker *k) {
    const vlm_new_options *o = k->o;
    vlm_image_rule *r = &k->rule;
    const vlm_vit_config *v = &k->net->vit.cfg;
    bool siglip = k->net->vision == &vlm_siglip;
    if (o->projector) TRY(open_projector(k));
    if (r->block) return VLM_OK;
    *r = (vlm_image_rule){ .patch = v->P, .filter = VLM_BICUBIC, .max_tokens = o->max_image_tokens, .no_upscale = o->no_upscale };
    if (o->shuffle < 0 || o->shuffle > 64) return vlm_fail(VLM_EARG, "--shuffle", "is %lld; choose 1 to 64", (long long)o->shuffle);
    if (k->preset) k->net->shuffle = k->preset->shuffle;
    if (o->shuffle) k->net->shuffle = o->shuffle;
    if (!k->net->shuffle) k->net->shuffle = siglip && v->pos_h % 4 == 0 && v->pos_h >= 32 ? 4 : 2;
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
    json_t *names = vlm_extra_tokens(k->net->vision == &vlm_siglip), *v;
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
    if (!k->o->chat_template && !k->o->projector && own != VLM_CHAT_UNKNOWN && own != kind)
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
    TRY(vlm_store_dtype(k->o->dtype ? k->o->dtype : "f32", &k->dtype));
    k->chat = k->o->chat_template;
    TRY(open_sources(k));
    const char *from[] = { k->o->vision, k->o->language, k->o->projector };
    for (int i = 0; i < 3; i++)
        if (vlm_is_inside(from[i], k->o->out)) return vlm_fail(VLM_EARG, k->o->out, "holds what the model is made of; name another folder");
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
    TRY(vlm_dir_writer_open(k->o->out, k->o->force, vlm_folder_is_model, &out));
    TRY_DONE(make_tokenizer(k, out.temp));
    TRY_DONE(vlm_net_params(k->net));
    TRY_DONE(write_configs(k, out.temp));
    TRY_DONE(copy_generation_config(k, out.temp));
    if (!(weights = vlm_join(out.temp, "model.safetensors"))) { status = vlm_fail_memory(k->o->out, 256); goto done; }
    TRY_DONE(vlm_net_store(weights, k->net, &(vlm_source){ values, dtype, k }));
    status = vlm_dir_writer_commit(&out);
done:
    vlm_dir_writer_cancel(&out);
    free(weights);
    return status;
}

vlm_status vlm_new(const vlm_new_options *o) {
    maker k = { .o = o };
    for (size_t i = 0; o->preset && i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].name, o->preset)) k.preset = &presets[i];
    if (o->preset && !k.preset) return vlm_fail(VLM_EARG, "--preset", "\"%s\" is not known; --preset help lists them", o->preset);
    k.net = calloc(1, sizeof(vlm_net));
    if (!k.net) return vlm_fail_memory("the model", sizeof(vlm_net));
    vlm_status status = make(&k);
    vlm_net_close(k.vision);
    vlm_net_close(k.language);
    vlm_net_close(k.net);
    vlm_safetensors_close(&k.projector);
    json_decref(k.vision_config);
    json_decref(k.language_config);
    return status;
}

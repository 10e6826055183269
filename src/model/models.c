#include "model/packed.h"
#include "base/file.h"
#include "base/log.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const vlm_family *const families[] = { &vlm_dinov3, &vlm_dinov2, &vlm_siglip, &vlm_llama, &vlm_gemma3 };
enum { FAMILIES = sizeof families / sizeof *families };

const vlm_family *vlm_family_by_type(const char *model_type) {
    for (int i = 0; i < FAMILIES; i++)
        for (const char *const *t = families[i]->model_types; *t; t++)
            if (!strcmp(*t, model_type)) return families[i];
    return NULL;
}
const vlm_family *vlm_family_by_name(const char *name) {
    for (int i = 0; i < FAMILIES; i++)
        if (!strcmp(families[i]->name, name)) return families[i];
    return NULL;
}

/* ---- Names: ours → the source's ---- */

/* One part: "name" or "name[i/n]", which sets *first for rows of p. NULL: not there. `full` is the name for messages. */
static const vlm_tensor *find_part(const vlm_weights *w, const vlm_param *p, const char *prefix, const char *rule, const char *layer,
                                   int64_t *first, int64_t *slices, char full[256]) {
    int i = 0, n = 1;
    vlm_rule_name(full, prefix, rule, layer);
    char *bracket = strchr(full, '[');
    if (bracket && sscanf(bracket, "[%d/%d]", &i, &n) == 2) *bracket = 0;
    *first = i * p->shape[0];
    *slices = n;
    return vlm_weights_find(w, full);
}

static vlm_status check_shape(const vlm_weights *w, const vlm_param *p, const vlm_tensor *t, int64_t parts, int64_t slices) {
    int64_t want[4] = { 0 };
    for (int i = 0; i < p->ndim; i++) want[i] = p->shape[i];
    want[0] = want[0] / parts * slices;
    /* leading ones come and go: cls_token [1,1,D], position_embedding [1,N,D] for SigLIP's [N,D] */
    int a = 0, b = 0;
    while (a < p->ndim - 1 && want[a] == 1) a++;
    while (b < t->ndim - 1 && t->shape[b] == 1) b++;
    bool same = p->ndim - a == t->ndim - b;
    for (int i = 0; same && a + i < p->ndim; i++) same = want[a + i] == t->shape[b + i];
    char x[VLM_SHAPE_CHARS], y[VLM_SHAPE_CHARS];
    if (!same)
        return vlm_fail(VLM_EFORMAT, vlm_weights_file(w, t),
                        "tensor %s has shape %s, expected %s from config.json; one of the two files is another model's",
                        t->name, vlm_shape_string(t->ndim, t->shape, x), vlm_shape_string(p->ndim, want, y));
    if (t->dtype != VLM_T_F32 && t->dtype != VLM_T_F16 && t->dtype != VLM_T_BF16)
        return vlm_fail(VLM_EUNSUPPORTED, vlm_weights_file(w, t), "tensor %s is %s; F32, F16 and BF16 are supported",
                        t->name, vlm_tensor_dtype_name(t->dtype));
    return VLM_OK;
}
static vlm_status missing(const vlm_weights *w, const char *name) {
    return vlm_fail(VLM_EFORMAT, vlm_weights_dir(w),
                    "tensor %s is missing; get the weights again, or config.json is another model's", name);
}

/* Sources in the family's own layout. A name may have several rules: the first whose tensor is there. */
static vlm_status bind_family(vlm_net *net, const vlm_family *f, vlm_param *p) {
    const char *suffix = strchr(p->name, '.') + 1;             /* without "vision_encoder." or "decoder." */
    const vlm_weights *w = net->weights;
    char layer[16] = "", full[256], first_name[256] = "";
    for (const char *const *prefix = f->prefixes; *prefix; prefix++)
        for (const vlm_rule *r = f->rules; r->ours; r++) {
            if (!vlm_rule_matches(r->ours, suffix, layer)) continue;
            int parts = 1, found = 0;
            int64_t slices = 1;
            while (parts < 3 && r->theirs[parts]) parts++;
            for (int i = 0; i < parts; i++) {
                p->part[i] = find_part(w, p, *prefix, r->theirs[i], layer, &p->first, &slices, full);
                found += p->part[i] != NULL;
            }
            if (!*first_name) snprintf(first_name, sizeof first_name, "%s", full);
            int expected = 0;
            for (int i = 0; i < parts; i++) expected += vlm_third_expected(&net->vit.cfg, p, i);
            if (!found && (expected || prefix[1])) continue;
            p->parts = parts;
            for (int i = 0; i < parts; i++) {
                find_part(w, p, *prefix, r->theirs[i], layer, &p->first, &slices, full);
                if (vlm_third_expected(&net->vit.cfg, p, i) && !p->part[i]) return missing(w, full);
                if (!vlm_third_expected(&net->vit.cfg, p, i) && p->part[i])
                    return vlm_fail(VLM_EFORMAT, vlm_weights_dir(w),
                                    "tensor %s is there, but config.json says that the model has no such bias; "
                                    "one of the two is wrong", full);
                if (p->part[i]) TRY(check_shape(w, p, p->part[i], parts, slices));
            }
            return VLM_OK;
        }
    return missing(w, *first_name ? first_name : p->name);
}

/* A K bias that the model does not have is stored as zeros. */
static vlm_status check_key_bias(const vlm_net *net, const vlm_param *p) {
    if (!strstr(p->name, "qkv_proj.bias") || net->vit.cfg.k_bias) return VLM_OK;
    int64_t D = net->vit.cfg.D;
    for (int64_t i = 0; i < D; i++) {
        float b = 0;
        TRY(vlm_tensor_to_float(p->part[0], D + i, 1, &b));
        if (b != 0)
            return vlm_fail(VLM_EUNSUPPORTED, vlm_weights_file(net->weights, p->part[0]),
                            "tensor %s has a key bias, which DINOv3 does not; "
                            "it was trained by the fork: --fork-maths runs it as it was trained", p->name);
    }
    return VLM_OK;
}

/* Sources under our own names. */
static vlm_status bind_own(vlm_net *net, vlm_param *p) {
    const vlm_weights *w = net->weights;
    p->parts = 1;
    p->part[0] = vlm_weights_find(w, p->name);
    if (!p->part[0]) return missing(w, p->name);
    TRY(check_shape(w, p, p->part[0], 1, 1));
    return check_key_bias(net, p);
}

/* A tied pair may be stored under either name, or under both if they are equal. */
static vlm_status bind_tied(vlm_net *net, vlm_param *embed, vlm_param *head) {
    char name[2][256] = { "decoder.token_embedding.weight", "decoder.head.weight" };
    if (!net->nanovlm) {
        strcpy(name[0], "model.embed_tokens.weight");
        strcpy(name[1], "lm_head.weight");
    }
    const vlm_tensor *a = vlm_weights_find(net->weights, name[0]), *b = vlm_weights_find(net->weights, name[1]);
    if (!a && !b) return missing(net->weights, name[0]);
    embed->parts = head->parts = 1;
    embed->part[0] = a ? a : b;
    head->part[0] = b ? b : a;
    TRY(check_shape(net->weights, embed, embed->part[0], 1, 1));
    TRY(check_shape(net->weights, head, head->part[0], 1, 1));
    if (a && b && a->data != b->data && (a->dtype != b->dtype || memcmp(a->data, b->data, a->bytes)))
        return vlm_fail(VLM_EFORMAT, vlm_weights_dir(net->weights),
                        "%s and %s differ, but config.json says that they are tied; set %s to false if they are not",
                        name[0], name[1], net->nanovlm ? "lm_tie_weights" : "tie_word_embeddings");
    return VLM_OK;
}

static bool is_spare(const vlm_net *net, const vlm_tensor *t) {
    char layer[16], rule[256];
    const vlm_family *f[] = { net->vision, net->language };
    if (!t->bytes) return true;        /* register_tokens [1,0,D] */
    if (net->nanovlm) return !strcmp(t->name, "decoder.rotary_embd.inv_freq");
    for (int i = 0; i < 2; i++)
        for (const char *const *prefix = f[i] ? f[i]->prefixes : NULL; prefix && *prefix; prefix++)
            for (const char *const *s = f[i]->spare; *s; s++) {
                snprintf(rule, sizeof rule, "%s%s", *prefix, *s);
                if (strchr(rule, '#') ? vlm_rule_matches(rule, t->name, layer) : !strncmp(t->name, rule, strlen(rule))) return true;
            }
    return false;
}
/* A tensor of a kind that the model has a place for, although config.json leaves no room for this one. */
static bool has_a_name(const vlm_net *net, const vlm_tensor *t) {
    const vlm_family *f[] = { net->vision, net->language };
    char layer[16], rule[256];
    if (net->nanovlm) return !strncmp(t->name, "vision_encoder.", 15) || !strncmp(t->name, "decoder.", 8);
    for (int i = 0; i < 2; i++)
        for (const char *const *prefix = f[i] ? f[i]->prefixes : NULL; prefix && *prefix; prefix++)
            for (const vlm_rule *r = f[i]->rules; r->ours; r++)
                for (int k = 0; k < 3 && r->theirs[k]; k++) {
                    snprintf(rule, sizeof rule, "%s%s", *prefix, r->theirs[k]);
                    rule[strcspn(rule, "[")] = 0;
                    if (vlm_rule_matches(rule, t->name, layer)) return true;
                }
    return false;
}
static vlm_status check_unused(const vlm_net *net) {
    int64_t n = 0;
    const char *name = NULL;
    for (int64_t i = 0; i < vlm_weights_count(net->weights); i++) {
        const vlm_tensor *t = vlm_weights_at(net->weights, i);
        bool used = is_spare(net, t);
        for (int j = 0; !used && j < net->params.n; j++)
            for (int k = 0; k < net->params.p[j].parts; k++) used = used || net->params.p[j].part[k] == t;
        if (used) continue;
        if (has_a_name(net, t))
            return vlm_fail(VLM_EFORMAT, vlm_weights_file(net->weights, t),
                            "tensor %s is there, but config.json says that the model has none such; "
                            "one of the two files is another model's", t->name);
        if (!n++) name = t->name;
    }
    if (n) vlm_warn(net->dir, "%" PRId64 " tensor%s not used, the first is %s; "
                    "if the model needs them, results will differ from the original's", n, n == 1 ? " is" : "s are", name);
    return VLM_OK;
}

static vlm_dtype mat_dtype(const vlm_tensor *t) { return t->dtype == VLM_T_BF16 ? VLM_BF16 : t->dtype == VLM_T_F16 ? VLM_F16 : VLM_F32; }
/* A fused operand has one type: that of its parts, or f32 if they differ or if all is to be f32. */
static void set_dtypes(vlm_params *ps, bool f32) {
    for (int i = 0; i < ps->n; i++) {
        vlm_param *p = &ps->p[i];
        if (!p->mat || p->tied) continue;
        for (int j = 0; j < p->parts; j++) {
            vlm_dtype d = f32 ? VLM_F32 : mat_dtype(p->part[j]);
            if (p->row == 0 && j == 0) p->mat->dtype = d;
            else if (p->mat->dtype != d) p->mat->dtype = VLM_F32;
        }
    }
}

/* The embedding's factor is rounded to the weights' type, as the original does (Gemma: 25.25 for sqrt 640 in bf16). */
static float round_to(vlm_dtype t, float f) {
    union { float f; uint32_t u; } b = { f };
    int drop = t == VLM_BF16 ? 16 : t == VLM_F16 ? 13 : 0;     /* f16's range is no concern for a square root of a width */
    if (drop) b.u = (b.u + (1u << (drop - 1)) - 1 + (b.u >> drop & 1)) >> drop << drop;
    return b.f;
}

/* ---- Opening ---- */

vlm_status vlm_net_params(vlm_net *net) {
    vlm_params *ps = &net->params;
    if (net->vision) vlm_vit_params(&net->vit, ps);
    if (net->vision && net->language) {
        int64_t width = net->vit.cfg.D * net->shuffle * net->shuffle;
        vlm_params_mat(ps, VLM_PROJECTOR, &net->projector, 0, VLM_DIMS(net->lm.cfg.D, width), "MP.proj.weight");
    }
    if (net->language) vlm_lm_params(&net->lm, ps);
    return vlm_params_check(ps);
}

static vlm_status read_json(const char *dir, const char *name, bool needed, json_t **out) {
    char *path = vlm_join(dir, name);
    if (!path) return vlm_fail_memory(dir, strlen(dir));
    vlm_status status = VLM_OK;
    if (needed || vlm_exists(path)) status = vlm_json_read(path, out);
    if (!status && *out && !json_is_object(*out)) status = vlm_fail(VLM_EFORMAT, path, "is not a JSON object; get the file again");
    free(path);
    return status;
}

static vlm_status open_vision(const json_t *j, const char *where, vlm_net *net) {
    vlm_vit_config c;
    TRY(net->vision->vit(j, where, &c));
    return vlm_vit_init(&net->vit, &c);
}
static vlm_status open_language(const json_t *j, const char *where, vlm_net *net) {
    vlm_lm_config c;
    TRY(net->language->lm(j, where, &c));
    return vlm_lm_init(&net->lm, &c);
}

/* Sizes stand in both files: Python reads the flat ones, we the backbones' own. */
static vlm_status same_sizes(const vlm_net *net, const char *where) {
    const vlm_vit_config *v = &net->vit.cfg;
    const vlm_lm_config *l = &net->lm.cfg;
    const struct { const char *key; int64_t own; } sizes[] = {
        { "vit_hidden_dim", v->D }, { "vit_inter_dim", v->F }, { "vit_patch_size", v->P },
        { "vit_n_heads", v->H }, { "vit_n_blocks", v->L },
        { "lm_hidden_dim", l->D }, { "lm_inter_dim", l->F }, { "lm_n_heads", l->H }, { "lm_n_kv_heads", l->G }, { "lm_n_blocks", l->L } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t flat = sizes[i].own;
        TRY(vlm_json_int(net->config, where, sizes[i].key, 0, VLM_MAX_FFN * 4, &flat));
        if (flat != sizes[i].own)
            return vlm_fail(VLM_EFORMAT, where, "key %s is %lld, but vlm.json says %lld; one of the two files is another model's",
                            sizes[i].key, (long long)flat, (long long)sizes[i].own);
    }
    return VLM_OK;
}

/* What a folder of ours says beyond the flat config: the backbones' own configs. The vocabulary may have grown. */
static vlm_status open_ours(vlm_net *net, const char *where, const char *flat) {
    const json_t *v = json_object_get(net->ours, "vision_config"), *l = json_object_get(net->ours, "language_config");
    const char *type = "";
    const vlm_family *f[2];
    int64_t version = 0;
    for (int i = 0; i < 2; i++) {
        TRY(vlm_json_need_string(i ? l : v, where, "model_type", &type));
        if (!(f[i] = vlm_family_by_type(type)) || (i ? !f[i]->lm : !f[i]->vit))
            return vlm_fail(VLM_EFORMAT, where, "%s has model_type \"%s\", which is none; get the file again",
                            i ? "language_config" : "vision_config", type);
    }
    net->vision = f[0];
    net->language = f[1];
    TRY(vlm_json_need_int(net->ours, where, "format_version", 1, INT64_MAX, &version));
    if (version > 1)
        return vlm_fail(VLM_EUNSUPPORTED, where, "has format_version %" PRId64 ", this program knows 1; use a newer vlm", version);
    TRY(vlm_json_need_int(net->config, flat, "mp_pixel_shuffle_factor", 1, 64, &net->shuffle));
    TRY(open_vision(v, where, net));
    TRY(open_language(l, where, net));
    TRY(same_sizes(net, flat));
    if (net->fork_maths && net->vision == &vlm_dinov3) {
        net->vit.cfg.k_bias = true;
        if (!net->vit.cfg.gated) net->vit.cfg.act = VLM_GELU_TANH;
    }
    if (net->packed) return vlm_json_need_int(net->config, flat, "lm_vocab_size", 1, VLM_MAX_VOCAB, &net->lm.cfg.V);
    int64_t rows = vlm_nanovlm_vocabulary(net->weights);
    if (rows) net->lm.cfg.V = rows;    /* where there is none, its tensor will be missed by name */
    return VLM_OK;
}

static vlm_status open_configs(vlm_net *net) {
    const char *type = NULL;
    char *where = vlm_join(net->dir, "config.json"), *own = vlm_join(net->dir, "vlm.json");
    vlm_status status = VLM_OK;
    if (!where || !own) { status = vlm_fail_memory(net->dir, strlen(net->dir)); goto done; }
    net->nanovlm = json_object_get(net->config, "vit_hidden_dim") || json_object_get(net->config, "lm_hidden_dim");
    if (net->ours) {
        if (!net->nanovlm) {
            status = vlm_fail(VLM_EFORMAT, where, "has no vit_hidden_dim, although vlm.json lies beside it; get the folder again");
            goto done;
        }
        bool trained_so = false;
        TRY_DONE(vlm_json_bool(net->ours, own, "fork_maths", &trained_so));
        net->fork_maths = net->fork_maths || trained_so;
        status = open_ours(net, own, where);
    } else if (net->nanovlm && net->packed) {
        status = vlm_fail(VLM_EFORMAT, own, "is missing beside packed weights; make the folder again");
    } else if (net->nanovlm) {
        status = vlm_nanovlm_config(net->config, where, net->weights, net);
    } else {
        TRY_DONE(vlm_json_need_string(net->config, where, "model_type", &type));
        const vlm_family *f = vlm_family_by_type(type);
        if (!f)
            status = vlm_fail(VLM_EUNSUPPORTED, where, "model_type \"%s\" is not supported; dinov3_vit, dinov2, dinov2_with_registers, "
                              "siglip, siglip_vision_model, llama and gemma3_text are", type);
        else if (f->vit) { net->vision = f; status = open_vision(net->config, where, net); }
        else { net->language = f; status = open_language(net->config, where, net); }
    }
done:
    free(where);
    free(own);
    return status;
}

static vlm_status bind(vlm_net *net, bool f32) {
    vlm_dtype embedding = VLM_F32;
    if (net->packed) {
        TRY(vlm_packed_bind(net, &embedding));
        if (net->language) net->lm.cfg.embed_scale = round_to(embedding, net->lm.cfg.embed_scale);
        for (int i = 0; i < net->params.n; i++)
            if (net->params.p[i].parts) TRY(check_key_bias(net, &net->params.p[i]));
        return VLM_OK;
    }
    for (int i = 0; i < net->params.n; i++) {
        vlm_param *p = &net->params.p[i];
        bool embed = !strcmp(p->name, "decoder.token_embedding.weight");
        if (p->tied || (embed && net->lm.cfg.tied)) {
            if (embed) TRY(bind_tied(net, p, vlm_params_find(&net->params, "decoder.head.weight")));
        } else if (net->nanovlm) TRY(bind_own(net, p));
        else TRY(bind_family(net, p->group == VLM_VISION ? net->vision : net->language, p));
    }
    set_dtypes(&net->params, f32);
    if (net->language) net->lm.cfg.embed_scale = round_to(net->lm.embed.dtype, net->lm.cfg.embed_scale);
    return check_unused(net);
}

static void measure(vlm_net *net) {
    vlm_arena a = { 0 };
    vlm_params_place(&net->params, &a, VLM_ALL_GROUPS);
    net->bytes = a.overflow ? SIZE_MAX : a.peak;
}
static vlm_status load(vlm_net *net, int threads) {
    if (net->bytes == SIZE_MAX || !(net->memory = net->ops.alloc(net->bytes + 1))) return vlm_fail_memory(net->dir, net->bytes);
    vlm_params_place(&net->params, &(vlm_arena){ .base = net->memory, .size = net->bytes }, VLM_ALL_GROUPS);
    vlm_ctx *ctx = vlm_ctx_open(threads, VLM_SCRATCH_BYTES);
    if (!ctx) return vlm_fail_memory("the threads", VLM_SCRATCH_BYTES);
    vlm_status status = vlm_params_load(&net->params, ctx, &net->ops, net->weights);
    vlm_ctx_close(ctx);
    return status;
}

vlm_status vlm_net_open(const char *dir, const vlm_net_options *options, vlm_net **out) {
    vlm_status status = VLM_OK;
    char *config = vlm_join(dir, "config.json");
    if (!config) return vlm_fail_memory(dir, strlen(dir));
    bool model = vlm_exists(config);
    free(config);
    if (!model) return vlm_weights_refuse(dir);
    vlm_net *net = calloc(1, sizeof *net);
    if (!net || !(net->dir = strdup(dir))) { free(net); return vlm_fail_memory(dir, sizeof *net); }
    net->shuffle = 1;
    net->fork_maths = options->fork_maths;
    vlm_ops_init(&net->ops, options->cpu);
    TRY_DONE(read_json(dir, "config.json", true, &net->config));
    TRY_DONE(read_json(dir, "vlm.json", false, &net->ours));
    TRY_DONE(vlm_weights_open(dir, &net->weights));
    TRY_DONE(vlm_packed_is(net->weights, &net->packed));
    if (options->f32) TRY_DONE(vlm_packed_refuse(net, "training"));
    TRY_DONE(open_configs(net));
    TRY_DONE(vlm_net_params(net));
    TRY_DONE(bind(net, options->f32));
    for (int64_t l = 0; net->vision && l < net->vit.cfg.L; l++)
        net->vit.cfg.int8 = net->vit.cfg.int8 || net->vit.block[l].qkv.dtype == VLM_I8;
    measure(net);
    if (!options->structure_only) {
        TRY_DONE(load(net, options->threads));
        if (!net->packed) vlm_weights_close(net->weights), net->weights = NULL;
    }
    *out = net;
    return VLM_OK;
done:
    vlm_net_close(net);
    return status;
}
size_t vlm_net_bytes(const vlm_net *net) {
    size_t mapped = 0;
    for (int i = 0; i < net->params.n; i++) if (net->params.p[i].panels) mapped += net->params.p[i].panels->bytes;
    return net->bytes == SIZE_MAX ? SIZE_MAX : net->bytes + mapped;
}
vlm_status vlm_net_zeros(const vlm_net *net, unsigned groups, vlm_net **out) {
    vlm_status status = VLM_OK;
    vlm_arena a = { 0 };
    vlm_net *z = calloc(1, sizeof *z);
    if (!z) return vlm_fail_memory(net->dir, sizeof *z);
    z->vision = net->vision, z->language = net->language, z->shuffle = net->shuffle, z->ops = net->ops;
    if (z->vision) TRY_DONE(vlm_vit_init(&z->vit, &net->vit.cfg));
    if (z->language) TRY_DONE(vlm_lm_init(&z->lm, &net->lm.cfg));
    TRY_DONE(vlm_net_params(z));
    vlm_params_place(&z->params, &a, groups);
    z->bytes = a.peak;
    if (a.overflow || !(z->memory = z->ops.alloc(a.peak + 1))) { status = vlm_fail_memory(net->dir, a.peak); goto done; }
    a = (vlm_arena){ .base = z->memory, .size = a.peak };
    vlm_params_place(&z->params, &a, groups);
    z->ops.zero(NULL, z->memory, z->bytes);
    *out = z;
    return VLM_OK;
done:
    vlm_net_close(z);
    return status;
}
void vlm_net_close(vlm_net *net) {
    if (!net) return;
    if (net->memory) net->ops.free(net->memory, net->bytes);
    vlm_weights_close(net->weights);
    vlm_params_free(&net->params);
    vlm_vit_free(&net->vit);
    vlm_lm_free(&net->lm);
    json_decref(net->config);
    json_decref(net->ours);
    free(net->dir);
    free(net);
}

void vlm_project(vlm_ctx *ctx, const vlm_net *net, act *out, const act *x, act *tmp, vlm_grid g) {
    net->ops.shuffle_forward(ctx, tmp, x, g.h, g.w, net->shuffle, net->vit.cfg.D);
    net->ops.linear_forward(ctx, out, tmp, &net->projector, NULL, vlm_tokens_of(g, net->shuffle));
}

#include "infer/model.h"
#include "base/file.h"
#include "data/rule.h"
#include "infer/reuse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Instruction sets ---- */

/* avx2 is that and no more; avx512 comes with VNNI where the machine has it. Both give the same bits, but for vlm_net_int8_attention. */
static const struct { const char *name; unsigned flags, more; } isas[] = {
    { "ref", 0, 0 }, { "avx2", VLM_CPU_AVX2, 0 }, { "avx512", VLM_CPU_AVX2 | VLM_CPU_AVX512, VLM_CPU_AVXVNNI | VLM_CPU_AVX512VNNI },
    { "neon", VLM_CPU_NEON, 0 } };

vlm_status vlm_isa_flags(const char *isa, unsigned *cpu) {
    unsigned have = vlm_cpu_flags();
    if (!isa) { *cpu = have; return VLM_OK; }
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (strcmp(isas[i].name, isa)) continue;
        if (isas[i].flags & ~have)
            return vlm_fail(VLM_EARG, "--isa", "%s is not on this machine, whose best is %s; leave it out", isa, vlm_isa_name(have));
        *cpu = isas[i].flags | (isas[i].more & have);
        return VLM_OK;
    }
    return vlm_fail(VLM_EARG, "--isa", "\"%s\" is not known; ref, avx2, avx512 and neon are", isa);
}
const char *vlm_isa_name(unsigned cpu) {
    const char *name = isas[0].name;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) if (!(isas[i].flags & ~cpu)) name = isas[i].name;
    return name;
}

/* ---- Stop ids ---- */

/* eos_token_id: a number or a list. */
static vlm_status add_stops_of(vlm_model *m, const json_t *j, const char *where) {
    const json_t *eos = json_object_get(j, "eos_token_id");
    size_t n = json_is_array(eos) ? json_array_size(eos) : 1;
    if (!eos || json_is_null(eos)) return VLM_OK;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id)) return vlm_fail(VLM_EFORMAT, where, "eos_token_id is no number or list of numbers; mend the file");
        if (json_integer_value(id) == -1) continue;            /* "none", as some files write it */
        if (json_integer_value(id) < 0 || json_integer_value(id) >= m->net->lm.cfg.V)
            return vlm_fail(VLM_EFORMAT, where, "eos_token_id holds %lld, but the model knows 0 to %lld; mend the file",
                            (long long)json_integer_value(id), (long long)m->net->lm.cfg.V - 1);
        TRY(vlm_ids_add(&m->stop, json_integer_value(id)));
    }
    return VLM_OK;
}
static vlm_status read_stops(vlm_model *m) {
    char *path = vlm_join(m->net->dir, "generation_config.json");
    char *own = vlm_join(m->net->dir, m->net->nanovlm ? "vlm.json" : "config.json");
    json_t *j = NULL;
    vlm_status status = VLM_OK;
    if (!path || !own) { status = vlm_fail_memory(m->net->dir, 64); goto done; }
    if (vlm_exists(path)) {
        TRY_DONE(vlm_json_read(path, &j));
        if (!json_is_object(j)) { status = vlm_fail(VLM_EFORMAT, path, "is not a JSON object; get the file again"); goto done; }
        TRY_DONE(add_stops_of(m, j, path));
    }
    TRY_DONE(add_stops_of(m, m->net->nanovlm ? json_object_get(m->net->ours, "language_config") : m->net->config, own));
    if (m->tok) status = vlm_ids_add(&m->stop, vlm_tokenizer_eos(m->tok));
done:
    json_decref(j);
    free(path);
    free(own);
    return status;
}

/* ---- Tokens that stand for images ---- */

/* What config.json calls a token, if it does. */
static vlm_status extra_token(const vlm_net *net, const char *key, const char **name) {
    char *where = vlm_join(net->dir, "config.json");
    if (!where) return vlm_fail_memory(net->dir, strlen(net->dir) + 32);
    vlm_status status = vlm_json_string(json_object_get(net->config, "vlm_extra_tokens"), where, key, name);
    free(where);
    return status;
}
static vlm_status image_tokens(vlm_model *m) {
    const char *name = "<|image|>";
    char text[64];
    TRY(extra_token(m->net, "image_token", &name));
    m->image_token = vlm_token_id(m->tok, name);
    if (m->image_token < 0)
        return vlm_fail(VLM_EFORMAT, vlm_tokenizer_where(m->tok), "has no token %s, which stands for images; it is another model's", name);
    if (m->image_token >= m->net->lm.cfg.V)
        return vlm_fail(VLM_EFORMAT, vlm_tokenizer_where(m->tok),
                        "%s has id %lld, but the embedding has %lld rows; one of the two is another model's",
                        name, (long long)m->image_token, (long long)m->net->lm.cfg.V);
    name = "<|global_image|>";
    TRY(extra_token(m->net, "global_image_token", &name));
    m->global_token = vlm_token_id(m->tok, name);
    if (m->rule.kind != VLM_RULE_TILES) return VLM_OK;
    if (m->rule.global_tile && m->global_token < 0)
        return vlm_fail(VLM_EFORMAT, vlm_tokenizer_where(m->tok), "has no token %s; it is another model's", name);
    for (int64_t n = 1; n <= 64; n++) {        /* the largest square of tiles that has names */
        snprintf(text, sizeof text, "<row_%d_col_%d>", (int)n, (int)n);
        if (vlm_token_id(m->tok, text) < 0) break;
        m->tile_rows = m->tile_cols = n;
    }
    if (!m->tile_rows)
        return vlm_fail(VLM_EFORMAT, vlm_tokenizer_where(m->tok),
                        "has no token <row_1_col_1>, which tiled images need; it is another model's");
    m->tile_token = malloc((size_t)(m->tile_rows * m->tile_cols) * sizeof *m->tile_token);
    if (!m->tile_token) return vlm_fail_memory(m->net->dir, 4096);
    for (int64_t r = 0; r < m->tile_rows; r++)
        for (int64_t c = 0; c < m->tile_cols; c++) {
            snprintf(text, sizeof text, "<row_%d_col_%d>", (int)r + 1, (int)c + 1);
            if ((m->tile_token[r * m->tile_cols + c] = vlm_token_id(m->tok, text)) < 0)
                return vlm_fail(VLM_EFORMAT, vlm_tokenizer_where(m->tok),
                                "has no token %s although it has others of its kind; get the file again", text);
        }
    return VLM_OK;
}

/* What no user's text may become. Turn tokens, bos and eos the tokenizer knows itself. */
static void control_ids(vlm_model *m) {
    for (size_t i = 0; i < m->stop.n; i++) vlm_tokenizer_control(m->tok, m->stop.id[i]);
    vlm_tokenizer_control(m->tok, m->image_token);
    vlm_tokenizer_control(m->tok, m->global_token);
    for (int64_t i = 0; i < m->tile_rows * m->tile_cols; i++) vlm_tokenizer_control(m->tok, m->tile_token[i]);
}
/* Ids that may be drawn: those the tokenizer knows. */
static vlm_status known_ids(vlm_model *m) {
    int64_t V = m->net->lm.cfg.V;
    if (!(m->known = calloc((size_t)V, 1))) return vlm_fail_memory(m->net->dir, (size_t)V);
    for (int64_t i = 0; i < V; i++) m->known[i] = !m->tok || vlm_token_known(m->tok, i);
    if (m->image_token >= 0) m->known[m->image_token] = 0;     /* a place for a row of features, which no answer brings */
    return VLM_OK;
}

static vlm_status has_tokenizer(const char *dir, bool *has) {
    /* tokenizer.model: vlm_tokenizer_open refuses it by name */
    static const char *const names[] = { "tokenizer.json", "tokenizer/tokenizer.json", "tokenizer.model" };
    *has = false;
    for (int i = 0; i < 3; i++) {
        char *path = vlm_join(dir, names[i]);
        if (!path) return vlm_fail_memory(dir, strlen(dir) + 32);
        *has = *has || vlm_exists(path);
        free(path);
    }
    return VLM_OK;
}

static vlm_status read_own(const vlm_net *net, int64_t most, int64_t *context, const char **chat) {
    char *where = vlm_join(net->dir, "vlm.json");
    if (!where) return vlm_fail_memory(net->dir, strlen(net->dir) + 32);
    vlm_status status = vlm_json_int(net->ours, where, "context", 1, most, context);
    if (!status) status = vlm_json_string(net->ours, where, "template", chat);
    free(where);
    return status;
}
static vlm_status open_language(vlm_model *m, const vlm_model_options *o) {
    const vlm_lm_config *c = &m->net->lm.cfg;
    int64_t own = c->context;
    const char *own_template = NULL;
    if (m->net->ours) TRY(read_own(m->net, c->context, &own, &own_template));
    if (o->context > own)
        return vlm_fail(VLM_EARG, "--context", "is %lld, but the model knows %lld positions; choose at most that",
                        (long long)o->context, (long long)own);
    m->context = o->context ? o->context : own;
    bool has = false;
    TRY(has_tokenizer(m->net->dir, &has));
    if (m->net->nanovlm || has) TRY(vlm_tokenizer_open(m->net->dir, &m->tok));
    TRY(read_stops(m));
    if (m->tok) {
        TRY(vlm_chat_kind_of(m->tok, o->chat_template ? o->chat_template : own_template,
                             m->net->nanovlm ? vlm_chat_default(m->net->language->name) : NULL, &m->chat));
        if (m->chat != VLM_CHAT_UNKNOWN) TRY(vlm_chat_stop_ids(m->tok, m->chat, &m->stop));
    }
    if (m->net->vision) TRY(image_tokens(m));
    if (m->tok) control_ids(m);
    return known_ids(m);
}

vlm_status vlm_model_open_as(const char *dir, const vlm_model_options *options, int how, vlm_model **out) {
    static const vlm_model_options none;
    const vlm_model_options *o = options ? options : &none;
    if (!dir || !out) return vlm_fail(VLM_EARG, "vlm_model_open", "dir or out is NULL; give both");
    if (o->threads < 0 || o->threads > VLM_MAX_THREADS || o->max_size_px < 0 || o->max_image_tokens < 0 || o->context < 0 ||
        o->cache_bytes < 0 || o->max_pixels < 0 || o->max_side_px < 0 || o->max_file_bytes < 0)
        return vlm_fail(VLM_EARG, "vlm_model_open", "an option is negative or out of range; 0 means the default");
    vlm_net_options n = { .threads = o->threads > 0 ? o->threads : vlm_cores(), .fork_maths = o->fork_maths,
                          .f32 = how & VLM_OPEN_F32, .structure_only = how & VLM_OPEN_STRUCTURE };
    TRY(vlm_isa_flags(o->isa, &n.cpu));
    vlm_model *m = calloc(1, sizeof *m);
    if (!m) return vlm_fail_memory(dir, sizeof *m);
    vlm_status status = VLM_OK;
    m->image_token = m->global_token = -1;
    m->limits = VLM_IMAGE_LIMITS;
    if (o->max_pixels > 0) m->limits.max_pixels = o->max_pixels;
    if (o->max_side_px > 0) m->limits.max_side_px = o->max_side_px;
    if (o->max_file_bytes > 0) m->limits.max_bytes = o->max_file_bytes;
    TRY_DONE(vlm_net_open(dir, &n, &m->net));
    if (m->net->vision) {
        vlm_rule_options r = { .max_size = o->max_size_px, .max_tokens = o->max_image_tokens, .no_upscale = o->no_upscale,
                               .compat = o->compat_resize, .fast_decode = o->fast_decode };
        TRY_DONE(vlm_image_rule_of(m->net, &r, &m->rule));
        m->limits.fit = &m->rule;
    }
    if (m->net->language) TRY_DONE(open_language(m, o));
    if (o->cache_dir) {
        size_t limit = o->cache_bytes > 0 ? (size_t)o->cache_bytes : (size_t)2 << 30;
        TRY_DONE(vlm_reuse_open(o->cache_dir, limit, m, how, n.threads, &m->reuse));
    }
    *out = m;
    return VLM_OK;
done:
    vlm_model_close(m);
    return status;
}
vlm_status vlm_model_open(const char *dir, const vlm_model_options *options, vlm_model **out) {
    return vlm_model_open_as(dir, options, 0, out);
}

void vlm_model_close(vlm_model *m) {
    if (!m) return;
    vlm_reuse_close(m->reuse);
    vlm_net_close(m->net);
    vlm_tokenizer_close(m->tok);
    vlm_ids_free(&m->stop);
    free(m->known);
    free(m->tile_token);
    free(m);
}

vlm_model_info vlm_model_describe(const vlm_model *m) {
    const vlm_net *n = m->net;
    return (vlm_model_info){
        .vision = n->vision ? n->vision->name : NULL, .language = n->language ? n->language->name : NULL,
        .vision_width = n->vit.cfg.D, .vision_prefix = vlm_vit_prefix(&n->vit.cfg), .patch_px = n->vit.cfg.P,
        .language_width = n->lm.cfg.D, .vocabulary = n->lm.cfg.V, .context = m->context, .shuffle = n->shuffle,
        .image_token = m->image_token, .weight_bytes = (int64_t)vlm_net_bytes(m->net) };
}
int vlm_is_stop(const vlm_model *m, int64_t id) {
    for (size_t i = 0; i < m->stop.n; i++) if (m->stop.id[i] == id) return 1;
    return 0;
}

/* ---- Text ---- */

static vlm_status need_tokenizer(const vlm_model *m) {
    return m->tok ? VLM_OK : vlm_fail(VLM_EARG, m->net->dir, "has no tokenizer.json; it takes no text");
}
vlm_status vlm_tokenize(const vlm_model *m, const char *text, size_t bytes, int flags, int64_t **ids, size_t *n) {
    if (!m || (!text && bytes) || !ids || !n) return vlm_fail(VLM_EARG, "vlm_tokenize", "an argument is NULL; give all");
    TRY(need_tokenizer(m));
    vlm_ids v = { 0 };
    int how = (flags & VLM_TEXT_SPECIALS ? 0 : VLM_ENCODE_LITERAL) | (flags & VLM_TEXT_BOS ? VLM_ENCODE_ADD : 0);
    vlm_status status = vlm_tokenizer_encode(m->tok, text, bytes, how, &v);
    if (status) { vlm_ids_free(&v); return status; }
    if (!v.id && !(v.id = malloc(sizeof *v.id))) return vlm_fail_memory("ids", sizeof *v.id);
    *ids = v.id;
    *n = v.n;
    return VLM_OK;
}
vlm_status vlm_detokenize(const vlm_model *m, const int64_t *ids, size_t n, int skip_special, char **text) {
    if (!m || (!ids && n) || !text) return vlm_fail(VLM_EARG, "vlm_detokenize", "an argument is NULL; give all");
    TRY(need_tokenizer(m));
    return vlm_tokenizer_decode(m->tok, ids, n, skip_special, text, NULL);
}
void vlm_free(void *p) { free(p); }

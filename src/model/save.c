#include "model/save.h"
#include "base/log.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 1 << 20 };              /* values on their way at a time, unless one row has more */

static const struct { const char *name, *torch; vlm_tensor_dtype dtype; } dtypes[] = {
    { "f32", "float32", VLM_T_F32 }, { "bf16", "bfloat16", VLM_T_BF16 }, { "f16", "float16", VLM_T_F16 } };
enum { DTYPES = sizeof dtypes / sizeof *dtypes };
vlm_status vlm_store_dtype(const char *name, vlm_tensor_dtype *out) {
    for (int i = 0; i < DTYPES; i++)
        if (!strcmp(dtypes[i].name, name)) { *out = dtypes[i].dtype; return VLM_OK; }
    return vlm_fail(VLM_EARG, "--dtype", "\"%s\" is not known; f32, bf16 and f16 are", name);
}
const char *vlm_torch_dtype(vlm_tensor_dtype t) {
    int i = 0;
    while (i < DTYPES - 1 && dtypes[i].dtype != t) i++;
    return dtypes[i].torch;
}

/* ---- Tensors ---- */

static int64_t row_len(const vlm_param *p) { return vlm_param_len(p) / p->shape[0]; }
static int64_t chunk_rows(const vlm_param *p, int64_t rows) {
    int64_t most = CHUNK / row_len(p);
    return most < 1 ? 1 : most < rows ? most : rows;
}

static vlm_status put(vlm_safetensors_writer *w, const vlm_stored *t, const vlm_source *from, float *f) {
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++) n *= t->shape[i];
    if (!t->parts) return vlm_safetensors_writer_put_float(w, t->name, t->own, n);
    for (int j = 0; j < t->parts; j++) {
        const vlm_param *p = t->part[j].p;
        int64_t end = t->part[j].row + t->part[j].rows, rows;
        for (int64_t r = t->part[j].row; r < end; r += rows) {
            rows = chunk_rows(p, end - r);
            TRY(from->values(from->user, p, r, rows, f));
            TRY(vlm_safetensors_writer_put_float(w, t->name, f, rows * row_len(p)));
        }
    }
    return VLM_OK;
}

vlm_status vlm_store(const char *path, const vlm_stored *t, int64_t n, const json_t *metadata, const vlm_source *from) {
    vlm_safetensors_writer *w = NULL;
    vlm_status status = VLM_OK;
    int64_t most = 1;
    const char *key;
    json_t *v;
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < t[i].parts; j++) {
            int64_t len = chunk_rows(t[i].part[j].p, t[i].part[j].rows) * row_len(t[i].part[j].p);
            if (most < len) most = len;
        }
    float *f = malloc((size_t)most * sizeof *f);
    if (!f) return vlm_fail_memory(path, (size_t)most * sizeof *f);
    TRY_DONE(vlm_safetensors_writer_open(path, &w));
    json_object_foreach((json_t *)(uintptr_t)metadata, key, v) TRY_DONE(vlm_safetensors_writer_metadata(w, key, json_string_value(v)));
    for (int64_t i = 0; i < n; i++) TRY_DONE(vlm_safetensors_writer_declare(w, t[i].name, t[i].dtype, t[i].ndim, t[i].shape));
    for (int64_t i = 0; i < n; i++) {
        TRY_DONE(put(w, &t[i], from, f));
        TRY_DONE(vlm_progress("tensors", i + 1, n));
    }
    status = vlm_safetensors_writer_commit(w);
    w = NULL;
done:
    vlm_safetensors_writer_cancel(w);
    free(f);
    return status;
}

/* As safetensors' save_model: of a tied pair the name that sorts first is stored, the metadata tells of the other. */
const char *vlm_stored_name(const vlm_net *net, const vlm_param *p) {
    bool pair = net->language && net->lm.cfg.tied && !strcmp(p->name, "decoder.token_embedding.weight");
    return pair ? "decoder.head.weight" : p->name;
}
vlm_status vlm_net_store(const char *path, const vlm_net *net, const vlm_source *from) {
    const vlm_params *ps = &net->params;
    const vlm_lm_config *c = &net->lm.cfg;
    int64_t n = 0, half = net->language ? c->Dh / 2 : 0;
    vlm_status status = VLM_OK;
    vlm_stored *t = calloc((size_t)ps->n + 1, sizeof *t);
    float *freq = malloc((size_t)half * sizeof *freq + 1);
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (!t || !freq || !metadata) { status = vlm_fail_memory(path, (size_t)ps->n * sizeof *t); goto done; }
    for (int i = 0; i < ps->n; i++) {
        const vlm_param *p = &ps->p[i];
        if (p->tied) continue;
        t[n] = (vlm_stored){ .dtype = from->dtype(from->user, p), .ndim = p->ndim, .parts = 1, .part = { { p, 0, p->shape[0] } } };
        strcpy(t[n].name, vlm_stored_name(net, p));
        memcpy(t[n].shape, p->shape, sizeof p->shape);
        if (strcmp(t[n].name, p->name) && json_object_set_new(metadata, p->name, json_string(t[n].name))) {
            status = vlm_fail_memory(path, 1000);
            goto done;
        }
        n++;
    }
    if (half) {                        /* a buffer that Python wants */
        for (int64_t i = 0; i < half; i++) freq[i] = (float)pow(c->rope_theta, -2.0 * (double)i / (double)c->Dh);
        t[n++] = (vlm_stored){ .name = "decoder.rotary_embd.inv_freq", .dtype = VLM_T_F32, .ndim = 1, .shape = { half }, .own = freq };
    }
    status = vlm_store(path, t, n, metadata, from);
done:
    json_decref(metadata);
    free(freq);
    free(t);
    return status;
}

typedef struct memory { const vlm_net *net; vlm_ctx *ctx; vlm_tensor_dtype dtype; } memory;
static vlm_status memory_values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    const memory *m = user;
    return vlm_params_values(p, m->ctx, &m->net->ops, row, rows, out);
}
static vlm_tensor_dtype memory_dtype(void *user, const vlm_param *p) {
    (void)p;
    return ((const memory *)user)->dtype;
}
vlm_status vlm_net_save(const char *path, const vlm_net *net, vlm_ctx *ctx, vlm_tensor_dtype dtype) {
    memory m = { net, ctx, dtype };
    return vlm_net_store(path, net, &(vlm_source){ memory_values, memory_dtype, &m });
}

/* ---- Hugging Face's names ---- */

/* Absent parts of a fused bias have to be zero. */
static vlm_status check_zero(const char *path, const vlm_param *p, int64_t row, int64_t rows, const vlm_source *from) {
    float *f = malloc((size_t)rows * sizeof *f + 1);
    if (!f) return vlm_fail_memory(p->name, (size_t)rows * sizeof *f);
    vlm_status status = from->values(from->user, p, row, rows, f);
    for (int64_t i = 0; !status && i < rows; i++)
        if (f[i] != 0)
            status = vlm_fail(VLM_EFORMAT, path, "tensor %s has values where the model's config says that it has no bias; "
                              "one of the two is wrong", p->name);
    free(f);
    return status;
}

/* Appends what p is called there: parts of it, or of a tensor that another parameter has begun ("name[1/2]"). */
static vlm_status store_param(const char *path, const vlm_net *net, const vlm_family *f, const vlm_param *p, const vlm_source *from,
                              vlm_stored *t, int64_t *n) {
    const vlm_rule *r = f->rules;
    char layer[16] = "", name[256];
    while (r->ours && !vlm_rule_matches(r->ours, strchr(p->name, '.') + 1, layer)) r++;
    if (!r->ours) return vlm_fail(VLM_EUNSUPPORTED, path, "%s has no place for tensor %s; choose another --to", f->name, p->name);
    int parts = 1;
    while (parts < 3 && r->theirs[parts]) parts++;
    int64_t rows = p->shape[0] / parts;
    for (int j = 0; j < parts; j++) {
        vlm_rule_name(name, f->prefixes[0], r->theirs[j], layer);
        char *slice = strchr(name, '[');
        if (slice) *slice = 0;
        if (!vlm_third_expected(&net->vit.cfg, p, j)) { TRY(check_zero(path, p, j * rows, rows, from)); continue; }
        vlm_stored *s = &t[*n];
        if (slice && *n && !strcmp(t[*n - 1].name, name)) s--;         /* parts of one tensor stand one after another in the list */
        else {
            *s = (vlm_stored){ .dtype = from->dtype(from->user, p), .ndim = p->ndim };
            memcpy(s->name, name, sizeof name);
            memcpy(s->shape, p->shape, sizeof p->shape);
            s->shape[0] = 0;
            ++*n;
        }
        s->part[s->parts].p = p;
        s->part[s->parts].row = j * rows;
        s->part[s->parts++].rows = rows;
        s->shape[0] += rows;
    }
    vlm_stored *s = &t[*n - 1];
    if (s->ndim == 3 && s->shape[0] == 1 && strstr(p->name, ".position_embedding") && strstr(s->name, ".weight")) {
        s->ndim = 2;                   /* [1,N,D] is an embedding's weight there, [N,D] */
        s->shape[0] = s->shape[1], s->shape[1] = s->shape[2];
    }
    return VLM_OK;
}

vlm_status vlm_family_store(const char *path, const vlm_net *net, vlm_group group, const vlm_source *from) {
    const vlm_family *f = group == VLM_VISION ? net->vision : net->language;
    const vlm_params *ps = &net->params;
    int64_t n = 0, D = net->vit.cfg.D;
    vlm_status status = VLM_OK;
    vlm_stored *t = calloc(3 * (size_t)ps->n + 2, sizeof *t);
    float *zero = calloc((size_t)D + 1, sizeof *zero);
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (!t || !zero || !metadata) { status = vlm_fail_memory(path, 3 * (size_t)ps->n * sizeof *t); goto done; }
    for (int i = 0; i < ps->n; i++)
        if (ps->p[i].group == group && !ps->p[i].tied) TRY_DONE(store_param(path, net, f, &ps->p[i], from, t, &n));
    if (f == &vlm_dinov3 || f == &vlm_dinov2) {
        bool three = f == &vlm_dinov3;
        t[n] = (vlm_stored){ .name = "embeddings.mask_token", .dtype = t[0].dtype, .ndim = three ? 3 : 2, .shape = { 1, three ? 1 : D, D },
                             .own = zero };
        n++;
        if (three && !net->vit.cfg.R)
            t[n++] = (vlm_stored){ .name = "embeddings.register_tokens", .dtype = t[0].dtype, .ndim = 3, .shape = { 1, 0, D } };
    }
    status = vlm_store(path, t, n, metadata, from);
done:
    json_decref(metadata);
    free(zero);
    free(t);
    return status;
}

/* ---- The other files ---- */

vlm_status vlm_copy_file(const char *from, const char *to, const char *name) {
    char *a = vlm_join(from, name), *b = vlm_join(to, name);
    vlm_map map = { 0 };
    vlm_status status = VLM_OK;
    if (!a || !b) { status = vlm_fail_memory(from, strlen(from)); goto done; }
    if (!vlm_exists(a)) goto done;
    TRY_DONE(vlm_map_open(a, VLM_JSON_LIMIT, &map));
    status = vlm_write(b, map.data, map.size);
done:
    vlm_map_close(&map);
    free(a);
    free(b);
    return status;
}
vlm_status vlm_copy_tokenizer(const char *from, const char *to, bool flat) {
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                         "vocab.json", "merges.txt", "chat_template.jinja" };
    char *a = vlm_join(from, "tokenizer"), *b = vlm_join(to, "tokenizer"), *own = vlm_join(from, names[0]);
    vlm_status status = VLM_OK;
    if (!a || !b || !own) { status = vlm_fail_memory(from, strlen(from)); goto done; }
    if (vlm_is_dir(a) && !(flat && vlm_exists(own))) {
        if (!flat && mkdir(b, 0777) && errno != EEXIST) { status = vlm_fail_errno(b, "make the folder"); goto done; }
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) TRY_DONE(vlm_copy_file(a, flat ? to : b, names[i]));
    }
    for (size_t i = 0; (!flat || vlm_exists(own)) && i < sizeof names / sizeof *names; i++) TRY_DONE(vlm_copy_file(from, to, names[i]));
done:
    free(a);
    free(b);
    free(own);
    return status;
}

#include "model/save.h"
#include "base/log.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 1 << 20 };              /* values on their way at a time, unless one row has more */

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

vlm_status vlm_net_store(const char *path, const vlm_net *net, const vlm_source *from) {
    const vlm_params *ps = &net->params;
    const vlm_lm_config *c = &net->lm.cfg;
    int64_t n = 0, half = net->language ? c->Dh / 2 : 0;
    bool tied = net->language && c->tied;
    vlm_status status = VLM_OK;
    vlm_stored *t = calloc((size_t)ps->n + 1, sizeof *t);
    float *freq = malloc((size_t)half * sizeof *freq + 1);
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (!t || !freq || !metadata) { status = vlm_fail_memory(path, (size_t)ps->n * sizeof *t); goto done; }
    for (int i = 0; i < ps->n; i++) {
        const vlm_param *p = &ps->p[i];
        if (p->tied) continue;
        t[n] = (vlm_stored){ .dtype = from->dtype(from->user, p), .ndim = p->ndim, .parts = 1, .part = { { p, 0, p->shape[0] } } };
        memcpy(t[n].name, p->name, sizeof p->name);
        memcpy(t[n].shape, p->shape, sizeof p->shape);
        if (tied && !strcmp(p->name, "decoder.token_embedding.weight")) {
            /* as safetensors' save_model: of a tied pair the name that sorts first is stored, the metadata tells of the other */
            strcpy(t[n].name, "decoder.head.weight");
            if (json_object_set_new(metadata, p->name, json_string(t[n].name))) { status = vlm_fail_memory(path, 1000); goto done; }
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

/* ---- The other files ---- */

static vlm_status copy(const char *from, const char *to, const char *name) {
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
vlm_status vlm_copy_beside(const char *from, const char *to, const char *skip) {
    static const char *const files[] = { "config.json", "vlm.json", "generation_config.json", "preprocessor_config.json" };
    static const char *const text[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                       "vocab.json",
                                        "merges.txt", "chat_template.jinja" };
    char *a = vlm_join(from, "tokenizer"), *b = vlm_join(to, "tokenizer");
    vlm_status status = VLM_OK;
    if (!a || !b) { status = vlm_fail_memory(from, strlen(from)); goto done; }
    if (vlm_is_dir(a)) {
        if (mkdir(b, 0777) && errno != EEXIST) { status = vlm_fail_errno(b, "make the folder"); goto done; }
        for (size_t i = 0; i < sizeof text / sizeof *text; i++) TRY_DONE(copy(a, b, text[i]));
    }
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) TRY_DONE(copy(from, to, text[i]));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!skip || strcmp(skip, files[i])) TRY_DONE(copy(from, to, files[i]));
done:
    free(a);
    free(b);
    return status;
}

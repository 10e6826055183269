/* A tokenizer's tables as they lie in memory, beside its tokenizer.json: tokenizer.safetensors (docs/formats.md). To parse 33 MB of JSON
   into them takes longer than all else that a packed model needs to open. What is read here is believed only as far as it cannot do harm:
   sizes, indices, UTF-8 and the hash tables' gaps are checked; that it says what tokenizer.json says, a hash of that and of itself. */
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "io/tokenizer_impl.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Goes up with the tables' layout and with the hash functions of vlm_vocab, vlm_u64map and of bytes. */
#define VERSION "2"
enum { PAIR_KEY, ID_KEY, PAIR, ID, SLOT, TOKEN, MERGED, TEXT, REST, ARRAYS, RUN = 1024 };
static const struct { const char *name; vlm_tensor_dtype dtype; int64_t columns; } arrays[ARRAYS] = {
    { "pair.key", VLM_T_U64, 0 }, { "id.key", VLM_T_U64, 0 }, { "pair.value", VLM_T_U32, 0 }, { "id.value", VLM_T_U32, 0 },
    { "slot", VLM_T_U32, 0 }, { "token", VLM_T_U32, 3 }, { "merged", VLM_T_I32, 0 }, { "text", VLM_T_U8, 0 }, { "rest", VLM_T_U8, 0 } };
_Static_assert(sizeof(vlm_token) == 12, "three numbers of 32 bits, none between them");

static void hash_text(char out[64], uint64_t h, size_t n) { snprintf(out, 64, VERSION " %zu %016" PRIx64, n, h); }

/* ---- Writing ---- */

static vlm_status write_tables(const char *path, const char *where, const unsigned char *json, size_t n) {
    vlm_tokenizer t = { .where = (char *)(uintptr_t)where };
    vlm_buf rest = { 0 };
    json_t *root = NULL;
    const char *vocab = NULL, *merges = NULL;
    size_t vocab_n = 0, merges_n = 0;
    vlm_safetensors_writer *w = NULL;
    char text[64];
    vlm_status status;
    TRY_DONE(vlm_model_cut((const char *)json, n, &rest, &vocab, &vocab_n, &merges, &merges_n));
    TRY_DONE(vlm_json_parse(rest.s, rest.n, where, &root));
    TRY_DONE(vlm_model_read(&t, json_object_get(root, "model"), vocab, vocab_n, merges, merges_n));
    const vlm_vocab *v = &t.vocab;
    const vlm_bpe *b = &t.bpe;
    const void *data[ARRAYS] = { b->pair.key, v->id.key, b->pair.value, v->id.value, v->slot, v->token, b->merged, v->text.s, rest.s };
    const size_t count[ARRAYS] = { b->pair.cap, v->id.cap, b->pair.cap, v->id.cap, v->slots, v->n, b->n, v->text.n, rest.n };
    uint64_t h = VLM_HASH;
    TRY_DONE(vlm_safetensors_writer_open(path, &w));
    for (int i = 0; i < ARRAYS; i++) {
        const int64_t shape[] = { (int64_t)count[i], arrays[i].columns };
        size_t bytes = count[i] * vlm_tensor_dtype_bytes(arrays[i].dtype) * (arrays[i].columns ? (size_t)arrays[i].columns : 1);
        if (bytes) h = vlm_hash_wide(vlm_hash_int(h, (int64_t)bytes), data[i], bytes);
        TRY_DONE(vlm_safetensors_writer_declare(w, arrays[i].name, arrays[i].dtype, arrays[i].columns ? 2 : 1, shape));
    }
    hash_text(text, vlm_hash_wide(VLM_HASH, json, n), n);
    TRY_DONE(vlm_safetensors_writer_metadata(w, "vlm.tokenizer", text));
    hash_text(text, h, ARRAYS);
    TRY_DONE(vlm_safetensors_writer_metadata(w, "vlm.tables", text));
    for (int i = 0; i < ARRAYS; i++) {
        size_t bytes = count[i] * vlm_tensor_dtype_bytes(arrays[i].dtype) * (arrays[i].columns ? (size_t)arrays[i].columns : 1);
        if (bytes) TRY_DONE(vlm_safetensors_writer_put(w, arrays[i].name, data[i], bytes));
    }
    status = vlm_safetensors_writer_commit(w);
    w = NULL;
done:
    vlm_safetensors_writer_cancel(w);
    vlm_vocab_free(&t.vocab);
    vlm_u64map_free(&t.bpe.pair);
    free(t.bpe.merged);
    free(rest.s);
    json_decref(root);
    return status;
}
vlm_status vlm_tokenizer_tables_write(const char *dir) {
    static const char *const from[] = { "tokenizer.json", "tokenizer/tokenizer.json" },
                      *const to[] = { "tokenizer.safetensors", "tokenizer/tokenizer.safetensors" };
    vlm_status status = VLM_OK;
    for (int i = 0; i < 2 && !status; i++) {
        char *path = vlm_join(dir, from[i]), *tables = vlm_join(dir, to[i]);
        vlm_map map = { 0 };
        if (!path || !tables) status = vlm_fail_memory(dir, 256);
        else if (vlm_exists(path) && !(status = vlm_map_open(path, VLM_JSON_LIMIT, &map)))
            status = write_tables(tables, path, map.data, map.size);
        vlm_map_close(&map);
        free(path);
        free(tables);
    }
    return status;
}

/* ---- Reading ---- */

/* A table of `slots` in which a search ends, also when it has grown: at most half is full, as it is written, and a gap is never far.
   One slot has no half. Empty: 0 in `word`, of so many bytes. */
static bool gaps(const void *table, size_t slots, size_t word, size_t *used) {
    size_t run = 0, longest = 0;
    *used = 0;
    if (slots & (slots - 1) || slots == 1) return false;
    for (size_t i = 0; i < slots; i++) {
        bool full = word == 8 ? ((const uint64_t *)table)[i] != 0 : ((const uint32_t *)table)[i] != 0;
        run = full ? run + 1 : 0;
        *used += full;
        if (longest < run) longest = run;
    }
    return *used <= slots / 2 && longest <= RUN;
}
static bool below(const uint32_t *v, size_t n, size_t limit) {
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) most = v[i] > most ? v[i] : most;
    return !n || most < limit;
}
/* Values count only where there is a key: elsewhere anything may lie. */
static bool values_below(const uint64_t *key, const uint32_t *v, size_t n, size_t limit) {
    bool ok = true;
    for (size_t i = 0; i < n; i++) ok &= !key[i] || v[i] < limit;
    return ok;
}
static bool sound(const vlm_tensor *const a[ARRAYS], size_t n[ARRAYS], size_t used[3]) {
    const vlm_token *token = (const vlm_token *)(const void *)a[TOKEN]->data;
    const int32_t *merged = (const int32_t *)(const void *)a[MERGED]->data;
    const char *text = (const char *)a[TEXT]->data;
    size_t bad;
    for (int i = 0; i < ARRAYS; i++) {
        if (a[i]->dtype != arrays[i].dtype || a[i]->ndim != (arrays[i].columns ? 2 : 1)) return false;
        if (arrays[i].columns && a[i]->shape[1] != arrays[i].columns) return false;
        if ((uintptr_t)a[i]->data % vlm_tensor_dtype_bytes(a[i]->dtype)) return false;
        n[i] = (size_t)a[i]->shape[0];
    }
    if (n[PAIR] != n[PAIR_KEY] || n[ID] != n[ID_KEY] || n[TEXT] > UINT32_MAX || n[TOKEN] > VLM_TOKEN_LIMIT) return false;
    if (!gaps(a[PAIR_KEY]->data, n[PAIR], 8, &used[0]) || !gaps(a[ID_KEY]->data, n[ID], 8, &used[1]) ||
        !gaps(a[SLOT]->data, n[SLOT], 4, &used[2])) return false;
    const void *pair = a[PAIR]->data, *pair_key = a[PAIR_KEY]->data, *id = a[ID]->data, *id_key = a[ID_KEY]->data, *slot = a[SLOT]->data;
    if (!values_below(pair_key, pair, n[PAIR], n[MERGED]) || !values_below(id_key, id, n[ID], n[TOKEN]) ||
        !below(slot, n[SLOT], n[TOKEN] + 1)) return false;
    for (size_t i = 0; i < n[MERGED]; i++) if (merged[i] < 0 || merged[i] >= VLM_TOKEN_LIMIT) return false;
    if (vlm_utf8_valid(text, n[TEXT], &bad) != n[TEXT]) return false;
    const vlm_u64map ids = { (uint64_t *)(uintptr_t)a[ID_KEY]->data, (uint32_t *)(uintptr_t)a[ID]->data, n[ID], used[1] };
    for (size_t i = 0; i < n[TOKEN]; i++) {            /* from a character's begin to a NUL: valid, as the whole text is */
        const vlm_token *t = &token[i];
        if (t->id < 0 || t->id >= VLM_TOKEN_LIMIT || t->at >= n[TEXT] || t->n >= n[TEXT] - t->at || text[t->at + t->n]) return false;
        if (((unsigned char)text[t->at] & 0xC0) == 0x80) return false;
        uint32_t at;                                   /* who finds a token by its string will ask for it by its id */
        if (!vlm_u64map_get(&ids, (uint64_t)t->id, &at) || at != i) return false;
    }
    return true;
}
static bool says(const vlm_safetensors *st, const char *key, uint64_t h, size_t n) {
    char want[64];
    const char *is = json_string_value(json_object_get(st->metadata, key));
    hash_text(want, h, n);
    return is && !strcmp(is, want);
}
static void *copy(const vlm_tensor *t) {
    void *p = malloc(t->bytes + 1);
    if (p) memcpy(p, t->data, t->bytes);
    return p;
}
/* The vocabulary, which will grow by the added tokens, is copied; pairs and merges stay where they lie. */
static vlm_status take(vlm_tokenizer *t, const vlm_tensor *const a[ARRAYS], const size_t n[ARRAYS], const size_t used[3], vlm_buf *rest) {
    vlm_vocab *v = &t->vocab;
    v->text = (vlm_buf){ copy(a[TEXT]), n[TEXT], n[TEXT] };
    v->token = copy(a[TOKEN]), v->n = v->cap = n[TOKEN];
    v->slot = copy(a[SLOT]), v->slots = n[SLOT];
    v->id = (vlm_u64map){ copy(a[ID_KEY]), copy(a[ID]), n[ID], used[1] };
    if (!v->text.s || !v->token || !v->slot || !v->id.key || !v->id.value)
        return vlm_fail_memory(t->where, a[TEXT]->bytes + a[TOKEN]->bytes);
    for (size_t i = 0; i < v->n; i++) if (v->size <= v->token[i].id) v->size = v->token[i].id + 1;
    t->bpe.pair = (vlm_u64map){ (uint64_t *)(uintptr_t)a[PAIR_KEY]->data, (uint32_t *)(uintptr_t)a[PAIR]->data, n[PAIR], used[0] };
    t->bpe.merged = (int32_t *)(uintptr_t)a[MERGED]->data;
    t->bpe.n = n[MERGED];
    return vlm_buf_add(rest, a[REST]->data, n[REST]);
}
vlm_status vlm_tables_read(vlm_tokenizer *t, const char *path, const void *json, size_t bytes, vlm_buf *rest, bool *ready) {
    const vlm_tensor *a[ARRAYS];
    size_t n[ARRAYS], used[3];
    uint64_t h = VLM_HASH;
    bool good = true;
    vlm_status status = VLM_OK;
    *ready = false;
    if (!vlm_exists(path)) return VLM_OK;
    if (vlm_safetensors_open(path, &t->tables)) good = false;
    for (int i = 0; i < ARRAYS && good; i++) {
        a[i] = vlm_safetensors_find(&t->tables, arrays[i].name);
        good = a[i] != NULL;
        if (good && a[i]->bytes) h = vlm_hash_wide(vlm_hash_int(h, (int64_t)a[i]->bytes), a[i]->data, a[i]->bytes);
    }
    good = good && says(&t->tables, "vlm.tables", h, ARRAYS) &&
           says(&t->tables, "vlm.tokenizer", vlm_hash_wide(VLM_HASH, json, bytes), bytes);
    if (good && sound(a, n, used)) {
        status = take(t, a, n, used, rest);
        *ready = true;
        return status;
    }
    vlm_safetensors_close(&t->tables);
    t->tables = (vlm_safetensors){ 0 };
    vlm_warn(path, "is not what this version makes of %s, which is read instead; convert or quantize the model again, or remove the file",
             t->where);
    return VLM_OK;
}

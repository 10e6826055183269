#include "infer/reuse.h"
#include "base/log.h"
#include "infer/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { HEAD = 64, PART = 4 << 20, FRESH_S = 2 };
struct vlm_reuse {
    const vlm_model *m;
    vlm_store *store;
    unsigned char model[VLM_STORE_KEY];
};

/* ---- The model: its files ----
   Gigabytes are not read at each start. What a file's bytes are is an entry, too, named by device, inode, size and times: who changes a
   file changes its ctime, which no program can set. A file that changed a moment ago might do so again within one tick of that clock; it
   is read until it is older. */

typedef struct parts { const vlm_map *map; unsigned char (*sum)[VLM_STORE_KEY]; } parts;
static void sum_parts(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const parts *p = arg;
    (void)scratch;
    for (int64_t i = lo; i < hi; i++) {
        size_t at = (size_t)i * PART, n = p->map->size - at < PART ? p->map->size - at : PART;
        vlm_digest d;
        vlm_digest_begin(&d, VLM_STORE_KEY);
        vlm_digest_add(&d, p->map->data + at, n);
        vlm_digest_end(&d, p->sum[i]);
        vlm_map_forget(p->map->data + at, n);
    }
}
/* Digest of the digests of its parts. */
static vlm_status read_file(vlm_ctx *ctx, const char *path, unsigned char *out) {
    vlm_map map;
    vlm_digest d;
    TRY(vlm_map_open(path, 0, &map));
    int64_t n = (int64_t)((map.size + PART - 1) / PART);
    parts p = { &map, malloc((size_t)n * sizeof *p.sum) };
    if (p.sum) {
        vlm_parallel(ctx, n, 1, sum_parts, &p);
        vlm_digest_begin(&d, VLM_STORE_KEY);
        vlm_digest_add(&d, p.sum, (size_t)n * sizeof *p.sum);
        vlm_digest_end(&d, out);
    }
    vlm_map_close(&map);
    if (!p.sum) return vlm_fail_memory(path, (size_t)n * sizeof *p.sum);
    free(p.sum);
    return VLM_OK;
}
static void keep_small(vlm_store *s, const unsigned char *key, const void *data, size_t n, bool again) {
    vlm_entry e = { 0 };
    vlm_status status;
    TRY_DONE(vlm_store_begin(s, key, n, again, &e));
    if (!e.w.f) return;
    TRY_DONE(vlm_entry_add(&e, data, n));
    status = vlm_store_end(s, &e);
done:
    if (status) {
        vlm_entry_cancel(&e);
        vlm_store_give_up(s);
    }
}
static vlm_status file_digest(vlm_store *store, vlm_ctx *ctx, const char *path, unsigned char *out) {
    struct stat st, after;
    unsigned char key[VLM_STORE_KEY];
    vlm_map map;
    bool damaged;
    vlm_digest d;
    if (stat(path, &st)) return vlm_fail_errno(path, "read");
    const int64_t ints[] = { (int64_t)st.st_dev, (int64_t)st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                             st.st_ctim.tv_sec, st.st_ctim.tv_nsec };
    vlm_digest_begin(&d, VLM_STORE_KEY);
    vlm_digest_add_text(&d, "file");
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) vlm_digest_add_int(&d, ints[i]);
    vlm_digest_end(&d, key);
    TRY(vlm_store_get(store, key, &map, &damaged));
    if (map.data && map.size != VLM_STORE_KEY + VLM_STORE_SUM) {
        vlm_store_refuse(store, key, &map);
        damaged = true;
    }
    if (map.data) {
        memcpy(out, map.data, VLM_STORE_KEY);
        vlm_map_close(&map);
        return VLM_OK;
    }
    TRY(read_file(ctx, path, out));
    if (stat(path, &after)) return vlm_fail_errno(path, "read");
    if (after.st_ctim.tv_sec != st.st_ctim.tv_sec || after.st_ctim.tv_nsec != st.st_ctim.tv_nsec || after.st_ino != st.st_ino)
        return vlm_fail(VLM_EIO, path, "changed while it was read; try again when it is finished");
    if (time(NULL) - st.st_ctim.tv_sec >= FRESH_S) keep_small(store, key, out, VLM_STORE_KEY, damaged);
    return VLM_OK;
}
/* Of all files that weights and settings may stand in, whether this model reads them or not. */
static vlm_status add_files(vlm_store *store, vlm_ctx *ctx, const char *dir, vlm_digest *d) {
    static const char *const endings[] = { ".safetensors", ".json", NULL };
    char **name;
    size_t n;
    vlm_status status = VLM_OK;
    TRY(vlm_dir_names(dir, endings, &name, &n));
    for (size_t i = 0; !status && i < n; i++) {
        unsigned char sum[VLM_STORE_KEY];
        char *path = vlm_join(dir, name[i]);
        if (!path) status = vlm_fail_memory(dir, 256);
        else if (!(status = file_digest(store, ctx, path, sum))) {
            vlm_digest_add_text(d, name[i]);
            vlm_digest_add(d, sum, sizeof sum);
        }
        free(path);
    }
    vlm_names_free(name, n);
    return status;
}
static vlm_status model_key(vlm_reuse *r, int how, int threads) {
    const vlm_net *net = r->m->net;
    vlm_ctx *ctx = vlm_ctx_open(threads, 0);
    vlm_digest d;
    if (!ctx) return vlm_fail_memory("the threads", 0);
    vlm_digest_begin(&d, VLM_STORE_KEY);
    vlm_digest_add_text(&d, "model of " VLM_VERSION);
    vlm_digest_add_int(&d, VLM_ARITHMETIC);
    vlm_digest_add_text(&d, vlm_ops_kind(&net->ops));
    vlm_digest_add_int(&d, vlm_net_int8_attention(net));
    vlm_digest_add_int(&d, net->fork_maths);
    vlm_digest_add_int(&d, how & VLM_OPEN_F32);
    vlm_status status = add_files(r->store, ctx, net->dir, &d);
    vlm_digest_end(&d, r->model);
    vlm_ctx_close(ctx);
    return status;
}

vlm_status vlm_reuse_open(const char *dir, size_t limit_bytes, const vlm_model *m, int how, int threads, vlm_reuse **out) {
    vlm_reuse *r = calloc(1, sizeof *r);
    vlm_status status = VLM_OK;
    if (!r) return vlm_fail_memory(dir, sizeof *r);
    r->m = m;
    TRY_DONE(vlm_dir_make(dir));
    TRY_DONE(vlm_store_open(dir, limit_bytes, "keeps nothing more, the work goes on without", &r->store));
    TRY_DONE(model_key(r, how, threads));
    *out = r;
    return VLM_OK;
done:
    vlm_reuse_close(r);
    return status;
}
void vlm_reuse_close(vlm_reuse *r) {
    if (!r) return;
    vlm_store_close(r->store);
    free(r);
}

/* Every entry begins so. The name has said it all: this is against what is no entry of this kind. */
static void head_of(char head[HEAD], const char *magic, const unsigned char *key) {
    memset(head, 0, HEAD);
    memcpy(head, magic, strlen(magic));
    memcpy(head + 16, key, VLM_STORE_KEY);
}
/* Body of the entry, `bytes` of it; NULL: none. */
static const unsigned char *find(vlm_reuse *r, const char *magic, const unsigned char *key, size_t bytes, vlm_map *map, bool *damaged) {
    char head[HEAD];
    head_of(head, magic, key);
    if (vlm_store_get(r->store, key, map, damaged) || !map->data) return NULL;
    if (map->size == HEAD + bytes + VLM_STORE_SUM && !memcmp(map->data, head, HEAD)) return map->data + HEAD;
    vlm_store_refuse(r->store, key, map);
    *damaged = true;
    return NULL;
}

/* ---- Images ---- */

void vlm_reuse_file(const void *data, size_t bytes, unsigned char *file) {
    vlm_digest d;
    vlm_digest_begin(&d, VLM_STORE_KEY);
    vlm_digest_add(&d, data, bytes);
    vlm_digest_end(&d, file);
}
static void image_key(const vlm_reuse *r, const unsigned char *file, const vlm_image_plan *p, int keep, unsigned char *out) {
    const vlm_image_rule *u = &r->m->rule;
    const int64_t ints[] = { p->w, p->h, p->H, p->W, p->rows, p->cols, p->n, p->tile_h, p->tile_w, u->patch, u->shuffle, u->filter,
                             u->fast_decode, keep & VLM_KEEP_PATCHES };
    vlm_digest d;
    vlm_digest_begin(&d, VLM_STORE_KEY);
    vlm_digest_add_text(&d, "image");
    vlm_digest_add(&d, r->model, sizeof r->model);
    vlm_digest_add(&d, file, VLM_STORE_KEY);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) vlm_digest_add_int(&d, ints[i]);
    vlm_digest_add(&d, u->mean, sizeof u->mean);
    vlm_digest_add(&d, u->std, sizeof u->std);
    vlm_digest_end(&d, out);
}
bool vlm_reuse_has_image(const vlm_reuse *r, const unsigned char *file, const vlm_image_plan *plan) {
    static const int keeps[] = { 0, VLM_KEEP_PATCHES };
    unsigned char key[VLM_STORE_KEY];
    bool there = false;
    for (int i = 0; i < 2 && !there; i++) {
        image_key(r, file, plan, keeps[i], key);
        there = vlm_store_has(r->store, key);
    }
    return there;
}
/* The arrays of an image: prefix, patches, tokens; those that are not kept have no bytes. */
typedef struct arrays { float *at[3]; size_t bytes[3], all; } arrays;
static arrays arrays_of(const vlm_reuse *r, const vlm_seen *s) {
    int64_t n = s->plan.n;
    arrays a = { .at = { s->prefix, s->patches, s->tokens } };
    if (s->prefix) a.bytes[0] = (size_t)(n * s->prefix_len) * sizeof(float);
    if (s->patches) a.bytes[1] = (size_t)(n * s->patch_len) * sizeof(float);
    if (s->tokens) a.bytes[2] = (size_t)(s->plan.image_tokens * r->m->net->lm.cfg.D) * sizeof(float);
    a.all = a.bytes[0] + a.bytes[1] + a.bytes[2];
    return a;
}
static const char image_magic[] = "vlmseen1", block_magic[] = "vlmkeys1";
bool vlm_reuse_get_image(vlm_reuse *r, const unsigned char *file, int keep, vlm_seen *seen) {
    unsigned char key[VLM_STORE_KEY];
    arrays a = arrays_of(r, seen);
    vlm_map map = { 0 };
    bool damaged;
    image_key(r, file, &seen->plan, keep, key);
    const unsigned char *from = find(r, image_magic, key, a.all, &map, &damaged);
    if (!from) return false;
    for (int i = 0; i < 3; i++) {
        if (a.bytes[i]) memcpy(a.at[i], from, a.bytes[i]);
        from += a.bytes[i];
    }
    vlm_map_close(&map);
    return true;
}
void vlm_reuse_put_image(vlm_reuse *r, const unsigned char *file, int keep, const vlm_seen *seen) {
    unsigned char key[VLM_STORE_KEY];
    char head[HEAD];
    arrays a = arrays_of(r, seen);
    vlm_entry e = { 0 };
    vlm_status status;
    image_key(r, file, &seen->plan, keep, key);
    head_of(head, image_magic, key);
    TRY_DONE(vlm_store_begin(r->store, key, HEAD + a.all, true, &e));          /* what is there was no good */
    if (!e.w.f) return;
    TRY_DONE(vlm_entry_add(&e, head, HEAD));
    for (int i = 0; i < 3; i++) if (a.bytes[i]) TRY_DONE(vlm_entry_add(&e, a.at[i], a.bytes[i]));
    status = vlm_store_end(r->store, &e);
done:
    if (status) {
        vlm_entry_cancel(&e);
        vlm_store_give_up(r->store);
    }
}

/* ---- Prompts ---- */

void vlm_chain_begin(vlm_chain *c, const unsigned char *key) {
    *c = (vlm_chain){ 0 };
    if (key) memcpy(c->key, key, sizeof c->key);
}
bool vlm_chain_add(const vlm_session *s, vlm_chain *c, int64_t id, const float *row) {
    if (!c->rows) {
        vlm_digest_begin(&c->open, VLM_STORE_KEY);
        vlm_digest_add_text(&c->open, "keys and values");
        vlm_digest_add(&c->open, s->m->reuse->model, sizeof s->m->reuse->model);
        vlm_digest_add_int(&c->open, s->kv_type);
        vlm_digest_add(&c->open, c->key, sizeof c->key);
    }
    vlm_digest_add_int(&c->open, id);
    vlm_digest_add_int(&c->open, row != NULL);
    if (row) vlm_digest_add(&c->open, row, (size_t)s->m->net->lm.cfg.D * sizeof *row);
    if (++c->rows < VLM_REUSE_ROWS) return false;
    vlm_digest_end(&c->open, c->key);
    c->rows = 0;
    return true;
}
bool vlm_reuse_has_block(const vlm_reuse *r, const unsigned char *key) { return vlm_store_has(r->store, key); }

/* The places in the session's cache where 64 positions from `first` on lie: of each layer keys, then values; of each head its part, and
   behind it the scales, if there are some. The same order makes an entry. */
_Static_assert(VLM_KEY_BLOCK % VLM_REUSE_ROWS == 0 && VLM_REUSE_ROWS % VLM_PANEL == 0, "our blocks are whole panels of one of the cache's");
typedef vlm_status place_fn(void *user, unsigned char *at, size_t bytes);
static vlm_status each_place(const vlm_session *s, int64_t first, place_fn *fn, void *user) {
    const vlm_lm_config *c = &s->m->net->lm.cfg;
    vlm_dtype t = s->kv_type;
    int64_t D = c->Dh, each = t == VLM_I8 ? 1 : (int64_t)vlm_dtype_bytes(t);
    for (int64_t l = 0; l < c->L; l++)
        for (int v = 0; v < 2; v++)
            for (int64_t g = 0; g < c->G; g++) {
                const vlm_kv *kv = &s->kv.layer[l];
                unsigned char *chunk = (v ? kv->v : kv->k) + vlm_kv_chunk_at(t, first, kv->ring, c->G, g, D);
                if (!v) TRY(fn(user, chunk + vlm_kv_key_at(first, 0, D) * each, (size_t)(VLM_REUSE_ROWS * D * each)));
                for (int64_t d = 0; v && d < D; d += VLM_PANEL)
                    TRY(fn(user, chunk + vlm_kv_value_at(first, d) * each, (size_t)(VLM_REUSE_ROWS * VLM_PANEL * each)));
                if (t == VLM_I8) TRY(fn(user, chunk + vlm_kv_scale_at(first, D), VLM_REUSE_ROWS * sizeof(float)));
            }
    return VLM_OK;
}
static vlm_status count_place(void *user, unsigned char *at, size_t bytes) {
    (void)at;
    *(size_t *)user += bytes;
    return VLM_OK;
}
typedef struct mover { vlm_session *s; const unsigned char *from; vlm_entry *entry; void *buffer; } mover;
static vlm_status fill_place(void *user, unsigned char *at, size_t bytes) {
    mover *m = user;
    m->s->m->net->ops.upload(m->s->ctx, at, m->from, bytes);
    m->from += bytes;
    return VLM_OK;
}
static vlm_status keep_place(void *user, unsigned char *at, size_t bytes) {
    mover *m = user;
    m->s->m->net->ops.download(m->s->ctx, m->buffer, at, bytes);
    m->s->m->net->ops.sync(m->s->ctx);
    return vlm_entry_add(m->entry, m->buffer, bytes);
}

typedef struct blocks {
    vlm_reuse *r;
    const unsigned char (*key)[VLM_STORE_KEY], **body;
    vlm_map *map;
    size_t bytes;
} blocks;
static void find_blocks(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const blocks *b = arg;
    bool damaged;
    (void)scratch;
    for (int64_t i = lo; i < hi; i++) b->body[i] = find(b->r, block_magic, b->key[i], b->bytes, &b->map[i], &damaged);
}
int64_t vlm_reuse_get_blocks(vlm_session *s, const unsigned char (*key)[VLM_STORE_KEY], int64_t n, int64_t first) {
    int64_t good = 0;
    blocks b = { s->m->reuse, key, calloc((size_t)n, sizeof *b.body), calloc((size_t)n, sizeof *b.map), 0 };
    each_place(s, first, count_place, &b.bytes);
    if (b.body && b.map) vlm_parallel(s->ctx, n, 1, find_blocks, &b);          /* the digests are most of the work */
    while (b.body && b.map && good < n && b.body[good]) good++;
    for (int64_t i = 0; i < good; i++)                 /* in order: in a ring later ones take the places of earlier ones */
        each_place(s, first + i * VLM_REUSE_ROWS, fill_place, &(mover){ .s = s, .from = b.body[i] });
    s->m->net->ops.sync(s->ctx);
    for (int64_t i = 0; b.body && b.map && i < n; i++) vlm_map_close(&b.map[i]);
    free(b.body);
    free(b.map);
    return good;
}
void vlm_reuse_put_block(vlm_session *s, const unsigned char *key, int64_t first) {
    const vlm_lm_config *c = &s->m->net->lm.cfg;
    vlm_store *store = s->m->reuse->store;
    size_t all = 0, most = (size_t)(VLM_REUSE_ROWS * (c->Dh > VLM_PANEL ? c->Dh : VLM_PANEL)) * sizeof(float);
    char head[HEAD];
    vlm_entry e = { 0 };
    mover m = { .s = s, .entry = &e };
    vlm_status status;
    for (int64_t l = 0; l < c->L; l++)                 /* written over already: not with the chunks there are */
        if (s->kv.layer[l].ring && first < s->kv.len - s->kv.layer[l].ring) return;
    each_place(s, first, count_place, &all);
    head_of(head, block_magic, key);
    TRY_DONE(vlm_store_begin(store, key, HEAD + all, true, &e));
    if (!e.w.f) return;
    if (!(m.buffer = malloc(most))) { status = vlm_fail_memory("the cache", most); goto done; }
    TRY_DONE(vlm_entry_add(&e, head, HEAD));
    TRY_DONE(each_place(s, first, keep_place, &m));
    status = vlm_store_end(store, &e);
done:
    free(m.buffer);
    if (status) {
        vlm_entry_cancel(&e);
        vlm_store_give_up(store);
    }
}

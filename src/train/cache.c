#include "train/cache.h"
#include "base/digest.h"
#include "base/lock.h"
#include "base/log.h"
#include "data/rule.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* An entry: 128 bytes that follow from what is asked for, the features, a digest of both. */
enum { HEAD = 128, TAIL = 16 };
typedef struct head {
    char magic[8];
    uint32_t dtype, zero;              /* 0: f32, 1: bf16 */
    int64_t tiles, h, w, D;
    unsigned char encoder[VLM_CACHE_KEY], image[VLM_CACHE_KEY];
    unsigned char rest[HEAD - 80];
} head;
_Static_assert(sizeof(head) == HEAD, "an entry's head has no holes");

struct vlm_cache {
    const vlm_model *m;
    bool bf16;
    char *dir;                         /* of this encoder */
    unsigned char encoder[VLM_CACHE_KEY];
    vlm_lock lock;
    atomic_flag warned;                /* of a damaged entry */
    bool off;                          /* nothing more is kept */
    /* the entry that is being written */
    vlm_writer w;
    const vlm_cached *image;
    int64_t tile, tiles, count;        /* the next one, of so many; values of a tile */
    vlm_digest sum;
    float *buffer;
    size_t room;
};

void vlm_cached_free(vlm_cached *c) {
    vlm_map_close(&c->map);
    free(c->own);
    *c = (vlm_cached){ 0 };
}

/* ---- What features depend on ---- */

static void add_text(vlm_digest *d, const char *s) {
    vlm_digest_add_int(d, (int64_t)strlen(s));
    vlm_digest_add(d, s, strlen(s));
}
/* All but the picture itself and its size. */
static void encoder_key(const vlm_model *m, bool bf16, unsigned char *out) {
    const vlm_net *net = m->net;
    const vlm_vit_config *c = &net->vit.cfg;
    const vlm_image_rule *r = &m->rule;
    vlm_digest d;
    vlm_digest_begin(&d, VLM_CACHE_KEY);
    add_text(&d, "features of " VLM_VERSION);
    add_text(&d, vlm_ops_kind(&net->ops));
    const int64_t ints[] = { bf16, net->fork_maths, c->D, c->L, c->H, c->F, c->P, c->R, c->cls, c->layerscale, c->gated, c->q_bias,
                             c->k_bias, c->v_bias, c->out_bias, c->mlp_bias, c->act, c->pos_h, c->pos_w, c->pos_cls, c->pos_resize,
                             c->pos_antialias, r->patch, r->filter };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) vlm_digest_add_int(&d, ints[i]);
    vlm_digest_add(&d, &c->eps, sizeof c->eps);
    vlm_digest_add(&d, &c->rope_theta, sizeof c->rope_theta);
    vlm_digest_add(&d, r->mean, sizeof r->mean);
    vlm_digest_add(&d, r->std, sizeof r->std);
    for (int i = 0; i < net->params.n; i++) {
        void *data;
        int64_t n;
        const vlm_param *p = &net->params.p[i];
        if (p->group != VLM_VISION || !vlm_params_operand(&net->params, i, &data, &n)) continue;
        add_text(&d, p->name);
        vlm_digest_add_int(&d, n);
        vlm_digest_add(&d, data, (size_t)vlm_params_operand_bytes(&net->params, i));
    }
    vlm_digest_end(&d, out);
}
static void image_key(const void *file, size_t bytes, const vlm_image_plan *p, unsigned char *out) {
    const int64_t ints[] = { p->H, p->W, p->rows, p->cols, p->n, p->tile_h, p->tile_w, (int64_t)bytes };
    vlm_digest d;
    vlm_digest_begin(&d, VLM_CACHE_KEY);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) vlm_digest_add_int(&d, ints[i]);
    vlm_digest_add(&d, file, bytes);
    vlm_digest_end(&d, out);
}
static head head_of(const vlm_cache *c, const unsigned char *image, const vlm_image_plan *p) {
    head h = { .magic = "vlmfeat1", .dtype = c->bf16, .tiles = p->n, .h = p->patches.h, .w = p->patches.w, .D = c->m->net->vit.cfg.D };
    memcpy(h.encoder, c->encoder, sizeof h.encoder);
    memcpy(h.image, image, sizeof h.image);
    return h;
}
size_t vlm_cache_bytes(const vlm_cache *c, int64_t patches) {
    return (size_t)(patches * c->m->net->vit.cfg.D) * (c->bf16 ? sizeof(uint16_t) : sizeof(float));
}

/* ---- The folder ---- */

/* DIR/encoder/ab/cdef...: 256 folders, so that none gets too large. */
enum { NAME = 2 * VLM_CACHE_KEY + 3 };
static char *entry_path(const vlm_cache *c, const unsigned char *image, bool folder) {
    char hex[2 * VLM_CACHE_KEY + 1], name[NAME];
    vlm_digest_hex(image, VLM_CACHE_KEY, hex);
    snprintf(name, sizeof name, folder ? "%.2s" : "%.2s/%s", hex, hex + 2);
    return vlm_join(c->dir, name);
}
/* A failure ends the keeping, and says so once. */
static void give_up(vlm_cache *c) {
    if (!c->off) vlm_warn(c->dir, "keeps no more features, training goes on without: %s", vlm_error_message());
    c->off = true;
    vlm_writer_cancel(&c->w);
    c->image = NULL;
}
/* For people: whose features these are. */
static vlm_status write_about(const vlm_cache *c) {
    const vlm_net *net = c->m->net;
    char *path = vlm_join(c->dir, "about.json");
    vlm_status status = VLM_OK;
    json_t *j = NULL, *rule = NULL;
    if (!path) return vlm_fail_memory(c->dir, 64);
    if (vlm_exists(path)) goto done;
    rule = vlm_image_rule_json(&c->m->rule);
    j = json_pack("{s:s,s:s,s:s,s:s,s:I,s:b,s:O,s:O,s:O}", "version", VLM_VERSION, "dtype", c->bf16 ? "bf16" : "f32", "ops",
                  vlm_ops_kind(&net->ops), "vision", net->vision->name, "width", (json_int_t)net->vit.cfg.D, "fork_maths", net->fork_maths,
                  "filter", json_object_get(rule, "filter"), "mean", json_object_get(rule, "mean"), "std", json_object_get(rule, "std"));
    if (j) json_object_set_new(j, "model", json_string(net->dir));     /* absent where it is no UTF-8 */
    status = j ? vlm_json_write(path, j) : vlm_fail_memory(path, 1024);
done:
    json_decref(rule);
    json_decref(j);
    free(path);
    return status;
}
static vlm_status sweep(const vlm_cache *c) {
    for (int i = -1; i < 256; i++) {
        char name[3] = "";
        if (i >= 0) snprintf(name, sizeof name, "%02x", (unsigned)i);
        char *path = vlm_join(c->dir, name);
        vlm_status status = !path ? vlm_fail_memory(c->dir, 64) : vlm_is_dir(path) ? vlm_sweep(path, NULL) : VLM_OK;
        free(path);
        TRY(status);
    }
    return VLM_OK;
}
static vlm_status prepare(vlm_cache *c) {
    char *lock = vlm_join(c->dir, "lock");
    bool alone = false;
    vlm_status status = VLM_OK;
    if (!lock) return vlm_fail_memory(c->dir, 64);
    TRY_DONE(vlm_dir_make(c->dir));
    TRY_DONE(vlm_lock_join(lock, &alone, &c->lock));
    if (alone) TRY_DONE(sweep(c));
    status = write_about(c);
done:
    if (c->lock.path) vlm_lock_share(&c->lock);
    free(lock);
    return status;
}
vlm_status vlm_cache_open(const char *dir, const vlm_model *m, bool bf16, vlm_cache **out) {
    char hex[2 * VLM_CACHE_KEY + 1];
    vlm_cache *c = calloc(1, sizeof *c);
    vlm_status status = VLM_OK;
    if (!c) return vlm_fail_memory("the cache", sizeof *c);
    c->m = m;
    c->bf16 = bf16;
    atomic_flag_clear(&c->warned);
    encoder_key(m, bf16, c->encoder);
    vlm_digest_hex(c->encoder, VLM_CACHE_KEY, hex);
    TRY_DONE(vlm_dir_make(dir));
    if (!(c->dir = vlm_join(dir, hex))) { status = vlm_fail_memory(dir, 64); goto done; }
    if (prepare(c)) give_up(c);        /* a full or read-only disk may still have entries */
    *out = c;
    c = NULL;
done:
    vlm_cache_close(c);
    return status;
}
void vlm_cache_close(vlm_cache *c) {
    if (!c) return;
    vlm_writer_cancel(&c->w);
    vlm_lock_close(&c->lock);
    free(c->buffer);
    free(c->dir);
    free(c);
}
size_t vlm_cache_room(const vlm_cache *c) {
    struct statvfs v;
    if (statvfs(c->dir, &v)) return SIZE_MAX;
    return v.f_bavail > SIZE_MAX / v.f_frsize ? SIZE_MAX : (size_t)v.f_bavail * v.f_frsize;
}

/* ---- Reading ---- */

static bool whole(const vlm_cache *c, const vlm_map *map, const unsigned char *image, const vlm_image_plan *p) {
    head want = head_of(c, image, p);
    unsigned char sum[TAIL];
    vlm_digest d;
    size_t size = HEAD + vlm_cache_bytes(c, p->n * p->patches.h * p->patches.w) + TAIL;
    if (map->size != size || memcmp(map->data, &want, HEAD)) return false;
    vlm_digest_begin(&d, TAIL);
    vlm_digest_add(&d, map->data, size - TAIL);
    vlm_digest_end(&d, sum);
    return !memcmp(map->data + size - TAIL, sum, TAIL);
}
vlm_status vlm_cache_get(vlm_cache *c, const void *file, size_t bytes, const vlm_image_plan *plan, vlm_cached *out) {
    int64_t n = plan->n * plan->patches.h * plan->patches.w * c->m->net->vit.cfg.D;
    vlm_cached r = { 0 };
    image_key(file, bytes, plan, r.key);
    char *path = entry_path(c, r.key, false);
    if (!path) return vlm_fail_memory(c->dir, NAME);
    bool there = vlm_exists(path);             /* asked first: it may come to be at any moment */
    if (there && !vlm_map_open(path, 0, &r.map) && whole(c, &r.map, r.key, plan))
        r.features = (const float *)(const void *)(r.map.data + HEAD);
    else {
        r.damaged = there;
        vlm_map_close(&r.map);
        if (there && !atomic_flag_test_and_set(&c->warned))
            vlm_warn(path, "is damaged; its features are computed again, and those of further ones without a word");
    }
    free(path);
    if (r.features && c->bf16) {
        const uint16_t *half = (const uint16_t *)(const void *)(r.map.data + HEAD);
        if (!(r.own = malloc((size_t)n * sizeof *r.own))) {
            vlm_cached_free(&r);
            return vlm_fail_memory(c->dir, (size_t)n * sizeof *r.own);
        }
        for (int64_t i = 0; i < n; i++) r.own[i] = vlm_bf16_float(half[i]);
        r.features = r.own;
        vlm_map_close(&r.map);
    }
    *out = r;
    return VLM_OK;
}

/* ---- Writing ---- */

static vlm_status add(vlm_cache *c, const void *data, size_t n) {
    vlm_digest_add(&c->sum, data, n);
    return fwrite(data, 1, n, c->w.f) == n ? VLM_OK : vlm_fail_errno(c->w.path, "write");
}
/* VLM_OK without c->image: it is there by now. */
static vlm_status begin(vlm_cache *c, const vlm_cached *image, const vlm_image_plan *p) {
    char *path = entry_path(c, image->key, false), *folder = entry_path(c, image->key, true);
    head h = head_of(c, image->key, p);
    vlm_status status = VLM_OK;
    if (!path || !folder) { status = vlm_fail_memory(c->dir, NAME); goto done; }
    if (!image->damaged && vlm_exists(path)) goto done;
    c->count = p->patches.h * p->patches.w * c->m->net->vit.cfg.D;
    size_t bytes = (size_t)c->count * sizeof *c->buffer;
    if (c->room < bytes) {
        float *q = realloc(c->buffer, bytes);
        if (!q) { status = vlm_fail_memory("the cache", bytes); goto done; }
        c->buffer = q;
        c->room = bytes;
    }
    if (!vlm_is_dir(folder) && mkdir(folder, 0777) && errno != EEXIST) { status = vlm_fail_errno(folder, "make the folder"); goto done; }
    TRY_DONE(vlm_writer_open(path, &c->w));
    vlm_digest_begin(&c->sum, TAIL);
    TRY_DONE(add(c, &h, HEAD));
    c->image = image;
    c->tile = 0;
    c->tiles = p->n;
done:
    free(path);
    free(folder);
    return status;
}
float *vlm_cache_want(vlm_cache *c, const vlm_cached *image, const vlm_image_plan *plan, int64_t tile) {
    if (!tile && c->image) vlm_writer_cancel(&c->w), c->image = NULL;         /* the last one was never finished */
    if (!tile && !c->off && begin(c, image, plan)) give_up(c);
    return c->image == image && c->tile == tile ? c->buffer : NULL;
}
void vlm_cache_put(vlm_cache *c) {
    unsigned char sum[TAIL];
    vlm_status status;
    for (int64_t i = 0; c->bf16 && i < c->count; i++) {        /* in place: a half never overtakes the float that it is of */
        uint16_t half = vlm_float_bf16(c->buffer[i]);
        memcpy((char *)c->buffer + i * (int64_t)sizeof half, &half, sizeof half);
    }
    TRY_DONE(add(c, c->buffer, (size_t)c->count * (c->bf16 ? sizeof(uint16_t) : sizeof(float))));
    if (++c->tile < c->tiles) return;
    vlm_digest_end(&c->sum, sum);
    c->image = NULL;
    if (fwrite(sum, 1, TAIL, c->w.f) != TAIL) { status = vlm_fail_errno(c->w.path, "write"); goto done; }
    status = vlm_writer_place(&c->w);
done:
    if (status) give_up(c);
}

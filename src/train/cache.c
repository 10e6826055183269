#include "train/cache.h"
#include "base/store.h"
#include "data/rule.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* An entry: 128 bytes that follow from what is asked for, the features, a digest of both. */
enum { HEAD = 128 };
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
    unsigned char encoder[VLM_CACHE_KEY];
    vlm_store *store;                  /* of this encoder */
    /* the entry that is being written */
    vlm_entry entry;
    const vlm_cached *image;
    int64_t tile, tiles, count;        /* the next one, of so many; values of a tile */
    float *buffer;
    size_t room;
};

void vlm_cached_free(vlm_cached *c) {
    vlm_map_close(&c->map);
    free(c->own);
    *c = (vlm_cached){ 0 };
}

/* ---- What features depend on ---- */

/* All but the picture itself and its size. */
static void encoder_key(const vlm_model *m, bool bf16, unsigned char *out) {
    const vlm_net *net = m->net;
    const vlm_vit_config *c = &net->vit.cfg;
    const vlm_image_rule *r = &m->rule;
    vlm_digest d;
    vlm_digest_begin(&d, VLM_CACHE_KEY);
    vlm_digest_add_text(&d, "features of " VLM_VERSION);
    vlm_digest_add_int(&d, VLM_ARITHMETIC);
    vlm_digest_add_text(&d, vlm_ops_kind(&net->ops));
    const int64_t ints[] = { bf16, net->fork_maths, c->D, c->L, c->H, c->F, c->P, c->R, c->cls, c->layerscale, c->gated, c->q_bias,
                             c->k_bias, c->v_bias, c->out_bias, c->mlp_bias, c->act, c->pos_h, c->pos_w, c->pos_cls, c->pos_resize,
                             c->pos_antialias, r->patch, r->filter };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) vlm_digest_add_int(&d, ints[i]);
    if (r->fast_decode) vlm_digest_add_text(&d, "fast decode");
    vlm_digest_add(&d, &c->eps, sizeof c->eps);
    vlm_digest_add(&d, &c->rope_theta, sizeof c->rope_theta);
    vlm_digest_add(&d, r->mean, sizeof r->mean);
    vlm_digest_add(&d, r->std, sizeof r->std);
    for (int i = 0; i < net->params.n; i++) {
        void *data;
        int64_t n;
        const vlm_param *p = &net->params.p[i];
        if (p->group != VLM_VISION || !vlm_params_operand(&net->params, i, &data, &n)) continue;
        vlm_digest_add_text(&d, p->name);
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

/* A failure ends the keeping, and says so once. */
static void give_up(vlm_cache *c) {
    vlm_store_give_up(c->store);
    vlm_entry_cancel(&c->entry);
    c->image = NULL;
}
/* For people: whose features these are. */
static vlm_status write_about(const vlm_cache *c) {
    const vlm_net *net = c->m->net;
    char *path = vlm_join(vlm_store_dir(c->store), "about.json");
    vlm_status status = VLM_OK;
    json_t *j = NULL, *rule = NULL;
    if (!path) return vlm_fail_memory(vlm_store_dir(c->store), 64);
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
vlm_status vlm_cache_open(const char *dir, const vlm_model *m, bool bf16, vlm_cache **out) {
    char hex[2 * VLM_CACHE_KEY + 1];
    vlm_cache *c = calloc(1, sizeof *c);
    vlm_status status = VLM_OK;
    if (!c) return vlm_fail_memory("the cache", sizeof *c);
    char *path = NULL;
    c->m = m;
    c->bf16 = bf16;
    encoder_key(m, bf16, c->encoder);
    vlm_digest_hex(c->encoder, VLM_CACHE_KEY, hex);
    TRY_DONE(vlm_dir_make(dir));
    if (!(path = vlm_join(dir, hex))) { status = vlm_fail_memory(dir, 64); goto done; }
    TRY_DONE(vlm_store_open(path, 0, "keeps no more features, training goes on without", &c->store));
    if (vlm_is_dir(path) && write_about(c)) give_up(c);
    *out = c;
    c = NULL;
done:
    vlm_cache_close(c);
    free(path);
    return status;
}
void vlm_cache_close(vlm_cache *c) {
    if (!c) return;
    vlm_entry_cancel(&c->entry);
    vlm_store_close(c->store);
    free(c->buffer);
    free(c);
}
size_t vlm_cache_room(const vlm_cache *c) {
    struct statvfs v;
    if (statvfs(vlm_store_dir(c->store), &v)) return SIZE_MAX;
    return v.f_bavail > SIZE_MAX / v.f_frsize ? SIZE_MAX : (size_t)v.f_bavail * v.f_frsize;
}

/* ---- Reading ---- */

vlm_status vlm_cache_get(vlm_cache *c, const void *file, size_t bytes, const vlm_image_plan *plan, vlm_cached *out) {
    int64_t n = plan->n * plan->patches.h * plan->patches.w * c->m->net->vit.cfg.D;
    vlm_cached r = { 0 };
    image_key(file, bytes, plan, r.key);
    head want = head_of(c, r.key, plan);
    size_t size = HEAD + vlm_cache_bytes(c, plan->n * plan->patches.h * plan->patches.w) + VLM_STORE_SUM;
    TRY(vlm_store_get(c->store, r.key, &r.map, &r.damaged));
    if (r.map.data && (r.map.size != size || memcmp(r.map.data, &want, HEAD))) {
        vlm_store_refuse(c->store, r.key, &r.map);
        r.damaged = true;
    }
    if (r.map.data) r.features = (const float *)(const void *)(r.map.data + HEAD);
    if (r.features && c->bf16) {
        const uint16_t *half = (const uint16_t *)(const void *)(r.map.data + HEAD);
        if (!(r.own = malloc((size_t)n * sizeof *r.own))) {
            vlm_cached_free(&r);
            return vlm_fail_memory(vlm_store_dir(c->store), (size_t)n * sizeof *r.own);
        }
        for (int64_t i = 0; i < n; i++) r.own[i] = vlm_bf16_float(half[i]);
        r.features = r.own;
        vlm_map_close(&r.map);
    }
    *out = r;
    return VLM_OK;
}

/* ---- Writing ---- */

/* VLM_OK without c->image: it is there by now. */
static vlm_status begin(vlm_cache *c, const vlm_cached *image, const vlm_image_plan *p) {
    head h = head_of(c, image->key, p);
    c->count = p->patches.h * p->patches.w * c->m->net->vit.cfg.D;
    size_t bytes = (size_t)c->count * sizeof *c->buffer, all = HEAD + vlm_cache_bytes(c, p->n * p->patches.h * p->patches.w);
    if (c->room < bytes) {
        float *q = realloc(c->buffer, bytes);
        if (!q) return vlm_fail_memory("the cache", bytes);
        c->buffer = q;
        c->room = bytes;
    }
    TRY(vlm_store_begin(c->store, image->key, all, image->damaged, &c->entry));
    if (!c->entry.w.f) return VLM_OK;
    TRY(vlm_entry_add(&c->entry, &h, HEAD));
    c->image = image;
    c->tile = 0;
    c->tiles = p->n;
    return VLM_OK;
}
float *vlm_cache_want(vlm_cache *c, const vlm_cached *image, const vlm_image_plan *plan, int64_t tile) {
    if (!tile && c->image) vlm_entry_cancel(&c->entry), c->image = NULL;      /* the last one was never finished */
    if (!tile && begin(c, image, plan)) give_up(c);
    return c->image == image && c->tile == tile ? c->buffer : NULL;
}
void vlm_cache_put(vlm_cache *c) {
    vlm_status status;
    for (int64_t i = 0; c->bf16 && i < c->count; i++) {        /* in place: a half never overtakes the float that it is of */
        uint16_t half = vlm_float_bf16(c->buffer[i]);
        memcpy((char *)c->buffer + i * (int64_t)sizeof half, &half, sizeof half);
    }
    TRY_DONE(vlm_entry_add(&c->entry, c->buffer, (size_t)c->count * (c->bf16 ? sizeof(uint16_t) : sizeof(float))));
    if (++c->tile < c->tiles) return;
    c->image = NULL;
    status = vlm_store_end(c->store, &c->entry);
done:
    if (status) give_up(c);
}

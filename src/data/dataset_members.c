/* Members of an archive and files of a folder become samples: sorted by key, told apart by ending. */
#include "data/dataset_impl.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

vlm_status vlm_dataset_room(const char *where, void *array, size_t *room, size_t n, size_t size) {
    void **p = array;
    if (n <= *room) return VLM_OK;
    size_t want = *room < 64 ? 64 : *room + *room / 2;
    if (want < n) want = n;                            /* the callers' limits keep want·size far below SIZE_MAX */
    void *q = realloc(*p, want * size);
    if (!q) return vlm_fail_memory(where, want * size);
    *p = q;
    *room = want;
    return VLM_OK;
}

vlm_member_kind vlm_member_kind_of(const char *name) {
    /* kinds of pictures that are not read are pictures all the same: each is refused by name, none is passed over */
    static const char *const images[] = { "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2" };
    const char *dot = strrchr(name, '.');
    if (!dot) return VLM_MEMBER_OTHER;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        if (!strcasecmp(dot + 1, images[i])) return VLM_MEMBER_IMAGE;
    return !strcasecmp(dot + 1, "json") ? VLM_MEMBER_JSON : !strcasecmp(dot + 1, "txt") ? VLM_MEMBER_TEXT : VLM_MEMBER_OTHER;
}

vlm_status vlm_members_add(vlm_dataset *d, const char *name, size_t key, vlm_member m) {
    enum { NAME_LIMIT = 4096 };
    size_t n = strlen(name) + 1;
    if (n > NAME_LIMIT) return vlm_fail(VLM_ELIMIT, d->path, "holds a name of %zu bytes, over the limit of %d; pack it under a shorter one",
                                        n - 1, NAME_LIMIT - 1);
    if (m.kind == VLM_MEMBER_OTHER) {
        if (!d->others++) snprintf(d->other, sizeof d->other, "%s", name);
        return VLM_OK;
    }
    if (d->members >= VLM_DATASET_SAMPLES)
        return vlm_fail(VLM_ELIMIT, d->path, "holds more than %d files of samples; split it", VLM_DATASET_SAMPLES);
    TRY(vlm_dataset_room(d->path, &d->member, &d->member_room, (size_t)d->members + 1, sizeof *d->member));
    TRY(vlm_dataset_room(d->path, &d->names, &d->names_room, d->names_bytes + n, 1));
    memcpy(d->names + d->names_bytes, name, n);
    m.name.at = d->names_bytes;
    m.key = (uint16_t)key;
    d->names_bytes += n;
    d->member[d->members++] = m;
    return VLM_OK;
}

static int order(int64_t a, int64_t b) { return (a > b) - (a < b); }
static int by_key(const vlm_member *a, const vlm_member *b) {
    if (a->shard != b->shard) return order(a->shard, b->shard);
    int c = memcmp(a->name.s, b->name.s, a->key < b->key ? a->key : b->key);
    return c ? c : order(a->key, b->key);
}
static int by_name(const void *x, const void *y) {
    const vlm_member *a = x, *b = y;
    int c = by_key(a, b);
    return c ? c : (c = strcmp(a->name.s, b->name.s)) ? c : order(a->at, b->at);
}
static int by_place(const void *x, const void *y) {
    const vlm_member *a = x, *b = y;
    int c = by_key(a, b);
    return c ? c : order(a->at, b->at);
}
static int by_group(const void *x, const void *y) {
    const vlm_group *a = x, *b = y;
    return a->shard != b->shard ? order(a->shard, b->shard) : order(a->at, b->at);
}
vlm_status vlm_members_group(vlm_dataset *d) {
    vlm_member *m = d->member;
    if (!d->members) return VLM_OK;
    for (int64_t i = 0; i < d->members; i++) m[i].name.s = d->names + m[i].name.at;        /* the names stay where they are now */
    qsort(m, (size_t)d->members, sizeof *m, by_name);
    for (int64_t i = 1; i < d->members; i++)
        if (!by_key(&m[i - 1], &m[i]) && !strcmp(m[i - 1].name.s, m[i].name.s)) m[i - 1].twice = m[i].twice = true;
    if (!d->folder || d->shards) qsort(m, (size_t)d->members, sizeof *m, by_place);
    int64_t n = 1;
    for (int64_t i = 1; i < d->members; i++) n += by_key(&m[i - 1], &m[i]) != 0;
    if (!(d->group = malloc((size_t)n * sizeof *d->group))) return vlm_fail_memory(d->path, (size_t)n * sizeof *d->group);
    for (int64_t i = 0; i < d->members; i++) {
        if (!i || by_key(&m[i - 1], &m[i])) d->group[d->groups++] = (vlm_group){ .first = i, .at = m[i].at, .shard = m[i].shard };
        d->group[d->groups - 1].n++;
    }
    if (!d->folder || d->shards) qsort(d->group, (size_t)n, sizeof *d->group, by_group);   /* a folder's stay sorted by name */
    return VLM_OK;
}

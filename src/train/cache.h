/* Patch features of a frozen vision encoder, kept on disk: one file an image, written once, mapped when read (docs/formats.md). An entry is
   found by what its features depend on: the encoder (weights, config, the ops' kind, version, image rule: the cache's folder), the image
   file's bytes and the size it is resized to (the entry's name). What is damaged is as if it were not there. */
#ifndef VLM_CACHE_H
#define VLM_CACHE_H
#include "infer/model.h"
#include "base/file.h"

enum { VLM_CACHE_KEY = 16 };
typedef struct vlm_cache vlm_cache;
typedef struct vlm_cached {            /* an image of an example */
    unsigned char key[VLM_CACHE_KEY];  /* digest of its file's bytes */
    const float *features;             /* (tiles, Hp·Wp, D); NULL: not in the cache */
    bool damaged;                      /* there is an entry, to be replaced */
    vlm_map map;                       /* features lie here, */
    float *own;                        /* or, widened, here */
} vlm_cached;
void vlm_cached_free(vlm_cached *c);   /* zeroed is fine */

/* dir is made if it is not there; m outlives the cache, and its encoder's weights do not change. bf16: features are rounded, which halves
   them. Several caches, of one program or of several, may use one folder at once. VLM_EIO: dir cannot be made. A folder that cannot be
   written to is only read, with a warning. */
vlm_status vlm_cache_open(const char *dir, const vlm_model *m, bool bf16, vlm_cache **out);
void       vlm_cache_close(vlm_cache *c);              /* NULL is fine */
/* Bytes of an entry's features; of the disk that are free (SIZE_MAX: unknown). */
size_t     vlm_cache_bytes(const vlm_cache *c, int64_t patches);
size_t     vlm_cache_room(const vlm_cache *c);

/* Any thread. out->key; and features, if there are some. Of a damaged entry it warns, once. VLM_ENOMEM. */
vlm_status vlm_cache_get(vlm_cache *c, const void *file, size_t bytes, const vlm_image_plan *plan, vlm_cached *out);
/* Keeping the features of an image that has none, tile by tile, all of them in order; one thread at a time. want: where the next ones go,
   (Hp·Wp, D); NULL: nobody wants them (they are there by now, or the disk is full). put: they are there. The first failure is warned of
   and ends the keeping, not the program. */
float     *vlm_cache_want(vlm_cache *c, const vlm_cached *image, const vlm_image_plan *plan, int64_t tile);
void       vlm_cache_put(vlm_cache *c);
#endif

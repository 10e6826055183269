/* A sample as a model learns it: the images' plans and pixels, the conversation's ids, and which of them are learnt. */
#ifndef VLM_EXAMPLE_H
#define VLM_EXAMPLE_H
#include "data/dataset.h"
#include "infer/session.h"
#include "train/cache.h"

typedef struct vlm_example_rule {
    const vlm_model *m;
    int64_t max_tokens, max_patches;   /* of a sample: the context and a batch's caps; 0: no cap */
    const char *tokens_flag;           /* what to raise for more tokens: "--batch-tokens", NULL: the context is full */
    bool shrink;                       /* images of a sample that is too long get fewer tokens, instead of a refusal */
    int64_t max_images;
    vlm_cache *cache;                  /* where features of images may lie; NULL: nowhere */
} vlm_example_rule;

typedef struct vlm_example {
    int64_t images;
    vlm_seen *image;                   /* plan; pixels (tiles, 3, Hp·P, Wp·P), NULL where nobody asked or the cache has features */
    vlm_cached *cached;                /* (images), where pixels were asked for and there is a cache; else NULL */
    vlm_ids ids;
    unsigned char *learnt;             /* (ids.n): this id is a label, predicted by the position before it */
    int64_t labels;                    /* how many */
    int64_t units, patches;            /* encoder images (tiles are), their patches */
    size_t bytes;                      /* of pixels, and of features that are not mapped */
} vlm_example;
/* Multiplications and additions of linear layers and attention in a forward pass; the decoder's head on labelled rows only. */
typedef struct vlm_flop { double vision, projector, blocks, head; } vlm_flop;
/* What a sample is in a batch, for planning: of one made without pixels. */
typedef struct vlm_extent {
    int64_t tokens, labels, images, units, patches, rows, most, image_tokens;  /* most: patches of its largest encoder image */
    int64_t pixel_bytes, work_bytes;   /* of its pixels; of the pictures that they are made from, while that lasts */
    vlm_flop flop;
} vlm_extent;
void vlm_extent_add(vlm_extent *sum, const vlm_extent *x);     /* work_bytes and most: the larger */

/* ids: turn by turn as vlm_say and vlm_answer put them; learnt: every id of an assistant's turn behind its header, the end of the turn and
   the line's end after it too. pixels: reads the images, and decodes those whose features are
   not in the cache; without, their headers are read. No threads of its own. A bad sample fails with
   *why; VLM_BAD_NONE: the machine's fault. */
vlm_status vlm_example_make(const vlm_example_rule *r, const struct vlm_sample *s, bool pixels, vlm_example *out, vlm_bad *why);
void       vlm_example_free(vlm_example *e);           /* zeroed is fine */
vlm_extent vlm_example_extent(const vlm_model *m, const vlm_example *e);
#endif

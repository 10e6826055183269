/* From a picture to what the encoder sees: the size rule, its plan for one picture (all counts, before any pixel is touched), and the
   pixels themselves. Sizes are pixels, (height, width). */
#ifndef VLM_PROCESSOR_H
#define VLM_PROCESSOR_H
#include "data/image.h"
#include "data/resize.h"
#include "model/config.h"

typedef enum vlm_size_rule {
    VLM_RULE_DYNAMIC,          /* the picture's own rectangle, both sides multiples of block */
    VLM_RULE_FIXED,            /* block × block */
    VLM_RULE_TILES             /* as DYNAMIC, then cut into tiles of block × block: one encoder image each */
} vlm_size_rule;

typedef struct vlm_image_rule {
    vlm_size_rule kind;
    int64_t patch, shuffle;    /* P; s ≥ 1: a token is s × s patches */
    int64_t block;             /* DYNAMIC: P·s; FIXED: S; TILES: the tile's side */
    int64_t max_size;          /* long side at most; below block it counts as one block. Not FIXED */
    int64_t max_tokens;        /* image tokens of a picture at most; 0: no limit */
    bool no_upscale;           /* neither side grows, except to one block */
    bool fill_max;             /* TILES: the long side always becomes max_size (resize_to_max_side_len) */
    bool global_tile;          /* TILES: first the whole picture as one more tile, unless there is only one */
    bool fast_decode;          /* vlm_image_reduction may be above 1 */
    bool compat;               /* sizes by the Python float rule, with its faults; fails where they are no multiples of block */
    vlm_filter filter;
    float mean[3], std[3];     /* (x/255 - mean) / std */
} vlm_image_rule;

/* "none", "imagenet", "siglip", "sat" (docs/models.md): fills mean and std. VLM_EARG for another name. */
vlm_status vlm_image_normalise(const char *name, vlm_image_rule *rule);
/* Is the rule possible at all: patch divides block, shuffle the grid, sizes in range? plan and process take checked rules. */
vlm_status vlm_image_rule_check(const vlm_image_rule *rule, const char *where);

typedef struct vlm_image_plan {
    int64_t w, h;              /* of the picture, upright */
    int64_t H, W;              /* resized; H·W·3 bytes are the `u8` of preprocess and trace */
    int64_t rows, cols, n;     /* grid of tiles (1 × 1 if there are none); encoder images, the global one included */
    int64_t tile_h, tile_w;    /* pixels of an encoder image: `pixels` is (n,3,tile_h,tile_w) */
    vlm_grid patches, tokens;  /* of an encoder image: Hp × Wp and Gh × Gw */
    int64_t image_tokens;      /* n·Gh·Gw */
    double stretch;            /* (W/H) / (w/h): how much wider things look than they are */
} vlm_image_plan;

/* Exact integers (docs/models.md). w, h up to 2^24 pixels. More tokens than max_tokens: both sides become
   ⌊√(max_tokens·q²/(w·h))·side⌋ in multiples of q, at least q, and neither larger than the rule gave; a picture so thin that this is
   still too much has its long side cut. */
vlm_status vlm_image_plan_make(const vlm_image_rule *rule, int64_t w, int64_t h, const char *where, vlm_image_plan *out);

/* How much smaller a JPEG may come out of its decoder: 8, 4 or 2, the most that leaves both sides at least as long as what they are resized
   to; else 1, and of other formats, and unless the rule decodes fast. A transform of fewer coefficients instead of pixels that the resize
   averages: other bits, close ones (tests/unit/test_processor.c prints how close). */
int64_t vlm_image_reduction(const vlm_image_rule *rule, const vlm_image_info *info);

/* Bytes of workspace for vlm_process; SIZE_MAX if they overflow. */
size_t vlm_process_bytes(const vlm_image_rule *rule, const vlm_image_plan *plan);
/* u8: (H,W,3) out, NULL if not wanted. pixels: (n,3,tile_h,tile_w) out, NULL if not wanted: global tile first, then tiles row by row.
   picture: the plan's. work: 64-byte aligned. ctx as in resize.h. Allocates nothing, cannot fail. */
void vlm_process(vlm_ctx *ctx, const vlm_ops *ops, const vlm_image_rule *rule, const vlm_image_plan *plan,
                 const vlm_bitmap *picture, uint8_t *u8, float *pixels, void *work);
/* Where a tile's side is no multiple of the patch P, the encoder's convolution leaves the rest out: to (n, 3, Hp·P, Wp·P) = from without
   it. to may be from. */
void vlm_process_crop(const vlm_image_plan *plan, int64_t P, const float *from, float *to);
#endif

/* Pictures from outside: JPEG, PNG and WebP bytes to upright RGB. Formats are told by their first bytes, never by a name.
   The pixels are those of Pillow's ImageOps.exif_transpose(im).convert("RGB"): alpha dropped, not composited; grey repeated; CMYK as Pillow
   computes it. One exception: 16-bit grey is its high byte. What is damaged or cut short is refused, nothing is filled in. */
#ifndef VLM_IMAGE_H
#define VLM_IMAGE_H
#include "base/status.h"
#include <stdbool.h>

/* w, h: of the picture, upright. rgb (h,w,3); or, with reduce 2, 4 or 8, the picture that much smaller, sides rounded up. 0 is 1. */
typedef struct vlm_bitmap { int64_t w, h; uint8_t *rgb; int64_t reduce; } vlm_bitmap;

/* The first three are checked before pixels are decoded; the errors name the flags --max-pixels, --max-side, --max-bytes. */
typedef struct vlm_image_limits {
    int64_t max_pixels, max_side_px, max_bytes;
    const struct vlm_image_rule *fit;  /* what pixels are for: its vlm_image_reduction says how many a JPEG may spare; NULL: none */
} vlm_image_limits;
#define VLM_IMAGE_LIMITS ((vlm_image_limits){ 128000000, 65500, 256000000, NULL })     /* what NULL means below */

typedef struct vlm_image_info {        /* from the header alone */
    const char *format, *colour;       /* "JPEG", "PNG", "WebP"; "grey", "RGB", "CMYK", "palette", "RGBA", ...; static */
    int64_t stored_w, stored_h;        /* pixels, as they lie in the file */
    int64_t w, h;                      /* upright */
    int orientation;                   /* EXIF, 1..8; 1 where there is none or the block is broken */
} vlm_image_info;

/* `where` names the bytes in messages. Any thread. Bytes beyond the limit fail with VLM_ELIMIT, formats we do not read with
   VLM_EUNSUPPORTED by name, damaged ones with VLM_EFORMAT. The other limits are not looked at: vlm_image_check does that. */
vlm_status vlm_image_probe(const void *data, size_t bytes, const char *where, const vlm_image_limits *limits, vlm_image_info *out);
/* not "-": it cannot be read twice */
vlm_status vlm_image_probe_file(const char *path, const vlm_image_limits *limits, vlm_image_info *out);
vlm_status vlm_image_check(const vlm_image_info *info, const char *where, const vlm_image_limits *limits);

/* Memory: 3 bytes a pixel, twice that while it is turned upright; a progressive JPEG 6 more. Any thread. *out is the caller's. */
vlm_status vlm_image_decode(const void *data, size_t bytes, const char *where, const vlm_image_limits *limits, vlm_bitmap *out);
/* The file's bytes, under the limit; the caller frees. "-": standard input. */
vlm_status vlm_image_read(const char *path, const vlm_image_limits *limits, unsigned char **out, size_t *bytes);
vlm_status vlm_bitmap_open(const char *path, const vlm_image_limits *limits, vlm_bitmap *out);       /* "-": standard input */
void       vlm_bitmap_close(vlm_bitmap *b);                                                          /* zeroed is fine */
#endif

/* What image.c asks of each format. Private to src/data. */
#ifndef VLM_CODEC_H
#define VLM_CODEC_H
#include "data/image.h"

/* probe fills format, colour, stored_w, stored_h and orientation. decode writes
   (stored_h, stored_w, 3); its info is probe's, with sides that `reduce` (JPEG: 1, 2, 4, 8; others: 1) has divided, rounded up. */
vlm_status vlm_jpeg_probe(const uint8_t *data, size_t n, const char *where, vlm_image_info *out);
vlm_status vlm_jpeg_decode(const uint8_t *data, size_t n, const char *where, const vlm_image_info *info, int64_t reduce,
                           uint8_t *rgb);
vlm_status vlm_png_probe(const uint8_t *data, size_t n, const char *where, vlm_image_info *out);
vlm_status vlm_png_decode(const uint8_t *data, size_t n, const char *where, const vlm_image_info *info, int64_t reduce,
                           uint8_t *rgb);
vlm_status vlm_webp_probe(const uint8_t *data, size_t n, const char *where, vlm_image_info *out);
vlm_status vlm_webp_decode(const uint8_t *data, size_t n, const char *where, const vlm_image_info *info, int64_t reduce,
                           uint8_t *rgb);

/* Orientation 1..8 of an EXIF block (a TIFF, with or without "Exif\0\0" before it), or else of an XMP packet; either may be NULL.
   As in Pillow: a block that is no TIFF, or whose tag is nonsense, means 1; the first entry of the first directory that has the tag counts;
   the directory ends at an entry that lies outside; XMP is asked where EXIF has no such tag. */
int vlm_exif_orientation(const uint8_t *exif, size_t exif_n, const uint8_t *xmp, size_t xmp_n);
#endif

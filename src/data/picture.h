/* Pictures for people: principal components and similarities as PNG. */
#ifndef VLM_PICTURE_H
#define VLM_PICTURE_H
#include "base/status.h"

/* Writes rgb (h,w,3) scaled to (H,W) (bilinear; as it is if the sizes are the same) as PNG; the file appears whole or not at all
   (unsynced: it can be drawn again).
   Any thread. */
vlm_status vlm_picture_write(const char *path, const uint8_t *rgb, int64_t h, int64_t w, int64_t H, int64_t W);
#endif

/* Resampling. For bytes: Pillow's Image.resize of RGB, to the bit. For floats: torch's antialiased bilinear interpolation. */
#ifndef VLM_RESIZE_H
#define VLM_RESIZE_H
#include "base/status.h"
#include "ops/ops.h"

typedef enum vlm_filter { VLM_BICUBIC, VLM_BILINEAR } vlm_filter;      /* Keys' cubic with a = -0.5; the triangle */

/* Bytes of workspace for a call with these sizes (pixels); SIZE_MAX if a side is below 1 or the sum overflows. */
size_t vlm_resize_bytes(int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter filter);
size_t vlm_resize_float_bytes(int64_t sh, int64_t sw, int64_t dh, int64_t dw);

/* src (sh,sw,3) to dst (dh,dw,3), both RGB bytes, not overlapping; work: vlm_resize_bytes(), 64-byte aligned, contents undefined.
   For each output: the filter stretched by max(1, shrink factor), its weights normalised in double and rounded to 22 bits; first along
   rows, to bytes again, then along columns; a side that keeps its length is not filtered (Pillow, src/libImaging/Resample.c).
   Pillow before 12.2 always did so. Since then it takes columns first for some tall images: 12.2 where sh > 100 sw, 13.0 where
   sh - dh > 2 (sw - dw); there single pixels differ. We keep the order that models were trained with.
   ctx: the team that shares the rows, or NULL. Same bits for any number of threads and any ops. Cannot fail. */
void vlm_resize(vlm_ctx *ctx, const vlm_ops *ops, uint8_t *dst, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw,
                vlm_filter filter, void *work);

/* src (sh,sw,3) bytes, read as x/255, to dst (3,dh,dw) floats in [0,1] up to rounding: what torchvision's tensor resize (bilinear,
   antialias) makes of ToTensor's output, up to 1e-6. Workspace, threads and bits as above. */
void vlm_resize_float(vlm_ctx *ctx, float *dst, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, void *work);
#endif

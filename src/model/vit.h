/* The vision engine: any mix of image sizes in one call, rows one after another, nothing padded. */
#ifndef VLM_VIT_H
#define VLM_VIT_H
#include "model/param.h"

typedef struct vlm_vit_block {
    real *ln1_w, *ln1_b, *ln2_w, *ln2_b, *ls1, *ls2;   /* (D) */
    real *qkv_b, *out_b, *up_b, *down_b;               /* (3D) (D) (F, gated: gate then up 2F) (D); NULL where the model has none */
    vlm_mat qkv, out, up, down;                        /* (3D,D) (D,D) (F or 2F,D) (D,F) */
} vlm_vit_block;
typedef struct vlm_vit {
    vlm_vit_config cfg;
    vlm_mat patch;                                     /* (D, 3·P·P) */
    real *patch_b, *cls, *registers, *pos, *norm_w, *norm_b;   /* (D) (D) (R,D) (pos_cls + pos_h·pos_w, D) (D) (D) */
    vlm_vit_block *block;                              /* L */
} vlm_vit;

/* Buffers of one forward of images with these grids. rows(i) = prefix + h·w, one image after another. */
typedef struct vlm_vit_acts {
    int64_t n, rows;
    act *x;                            /* (rows, D): after the forward, the final norm's output */
    act *pixels, *patches, *pos;       /* of the largest image; they share bytes with what follows */
    act *h, *qkv, *y, *up, *gate;
    real *cos, *sin;                   /* (rows, D/H/2) */
    real *host_cos, *host_sin;
    vlm_span *spans;                   /* n, in host memory */
} vlm_vit_acts;

vlm_status vlm_vit_init(vlm_vit *v, const vlm_vit_config *cfg);        /* blocks; free with vlm_vit_free */
void vlm_vit_free(vlm_vit *v);
void vlm_vit_params(vlm_vit *v, vlm_params *ps);
/* The walk: `dev` where the ops run, `host` for what the CPU fills. */
void vlm_vit_take(vlm_arena *dev, vlm_arena *host, const vlm_vit_config *c, const vlm_grid *grid, int64_t n, vlm_vit_acts *a);
/* pixels[i]: host float (3, h·P, w·P), normalised. Afterwards image i's rows start at vlm_vit_row(c, grid, i) of a->x.
   Fails only if the program stops it (base/log.h). */
vlm_status vlm_vit_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_grid *grid, const float *const *pixels,
                           vlm_vit_acts *a);
int64_t vlm_vit_row(const vlm_vit_config *c, const vlm_grid *grid, int64_t i);
/* Multiplications and additions of linear layers and attention for an image. */
double vlm_vit_flop(const vlm_vit_config *c, vlm_grid g);
#endif

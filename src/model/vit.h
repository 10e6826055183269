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

/* A block's buffers. Without a backward one set serves all blocks: in and mid are the stream itself, the others share bytes. */
typedef struct vlm_vit_layer {
    act *in, *mid;                                     /* (rows,D): the stream before the block, between its branches */
    act *qkv, *att;                                    /* (rows,3D) after RoPE, (rows,D). Where only the stream is kept blocks share all
                                                          but in, and every other one has an att and lse of its own */
    act *y1, *y2;                                      /* (rows,D): what LayerScale multiplies; NULL without a backward */
    act *up;                                           /* (rows, F or 2F): before the activation. Unless all is kept it and y2 hold
                                                          some of them at a time (vlm_part_rows) */
    real *mean1, *rstd1, *mean2, *rstd2, *lse;         /* (rows), lse (rows,H); NULL without a backward */
} vlm_vit_layer;

/* Buffers of one forward of images with these grids. rows(i) = prefix + h·w, one image after another. */
typedef struct vlm_vit_acts {
    int64_t n, rows;
    vlm_save save;
    size_t kept;                       /* a mark of dev: what lies before is read again by the backward. What lies behind is free from when
                                          the caller has read x until he puts the gradient there */
    act *x;                            /* (rows, D): after the forward, the final norm's output; then the caller puts the gradient by it */
    act *last;                         /* (rows, D): the stream behind the last block */
    act *pixels, *patches, *pos;       /* of the largest image; they share bytes with what follows */
    act *h, *f;                        /* (rows,D) a norm's output, (some rows,F) the hidden layer */
    act *datt, *dqkv, *dy, *df;        /* backward */
    unsigned char *room;               /* of attention in whole numbers, without a backward; else NULL */
    real *mean, *rstd;                 /* of the final norm; backward */
    real *cos, *sin;                   /* (rows, D/H/2) */
    real *host_cos, *host_sin;
    vlm_span *spans;                   /* n, in host memory */
    vlm_vit_layer *layer;              /* in host memory: L with a backward, else 1 */
} vlm_vit_acts;

vlm_status vlm_vit_init(vlm_vit *v, const vlm_vit_config *cfg);        /* blocks; free with vlm_vit_free */
void vlm_vit_free(vlm_vit *v);
void vlm_vit_params(vlm_vit *v, vlm_params *ps);
/* The walk: `dev` where the ops run, `host` for what the CPU fills. */
void vlm_vit_take(vlm_arena *dev, vlm_arena *host, const vlm_vit_config *c, const vlm_grid *grid, int64_t n, vlm_save save,
                  vlm_vit_acts *a);
/* The same for at most so many rows in at most n images, the largest of `most` patches: the caps of a batch. */
void vlm_vit_take_rows(vlm_arena *dev, vlm_arena *host, const vlm_vit_config *c, int64_t rows, int64_t n, int64_t most, vlm_save save,
                       vlm_vit_acts *a);
/* pixels[i]: host float (3, h·P, w·P), normalised. Afterwards image i's rows start at vlm_vit_row(c, grid, i) of a->x.
   n images; their rows and number fit what was taken. Fails only if the program stops it (base/log.h). */
vlm_status vlm_vit_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_grid *grid, int64_t n, const float *const *pixels,
                           vlm_vit_acts *a);
/* a->x: the gradient by the forward's output, overwritten. Adds the gradients of all parameters to those in g: a vlm_vit of the same
   config whose parameters are gradients. grid, n and pixels are the forward's. */
void vlm_vit_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_vit *g, const vlm_grid *grid, int64_t n,
                      const float *const *pixels, vlm_vit_acts *a);
int64_t vlm_vit_row(const vlm_vit_config *c, const vlm_grid *grid, int64_t i);
/* Multiplications and additions of linear layers and attention for an image. */
double vlm_vit_flop(const vlm_vit_config *c, vlm_grid g);
#endif

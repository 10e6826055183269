/* The language engine: rows of embeddings in, rows of hidden state out; with a cache of keys and values, or over whole sequences. */
#ifndef VLM_DECODER_H
#define VLM_DECODER_H
#include "model/param.h"

typedef struct vlm_lm_block {
    real *norm1, *norm2, *post_attn, *post_ffn;        /* (D); post_*: sandwich only */
    real *q_norm, *k_norm;                             /* (Dh), qk_norm only */
    vlm_mat qkv, out, up, down;                        /* ((H+2G)·Dh,D) (D,H·Dh) (2F,D: gate then up) (D,F) */
} vlm_lm_block;
typedef struct vlm_lm {
    vlm_lm_config cfg;
    vlm_mat embed, head;                               /* (V,D); tied: head is embed */
    real *norm;
    vlm_lm_block *block;
} vlm_lm;

/* Keys (after norm and RoPE) and values of one sequence, as kv_store writes them: a full layer holds `room` positions, a sliding one a
   ring. */
typedef struct vlm_kv { unsigned char *k, *v; int64_t rows, ring; } vlm_kv;     /* rows: positions it has room for */
typedef struct vlm_kvcache {
    vlm_dtype type;                    /* VLM_F32, VLM_F16 or VLM_I8 */
    int64_t room, chunk, len;          /* positions it can hold, most rows of one forward, positions it holds */
    vlm_kv *layer;
} vlm_kvcache;

/* A block's buffers. Without a backward one set serves all blocks: in and mid are the stream itself, the others share bytes. */
typedef struct vlm_lm_layer {
    act *in, *mid;                                     /* (T,D): the stream before the block, between its branches */
    act *raw, *qkv;                                    /* (T,(H+2G)·Dh): the product, where v stays; q and k after their norms and RoPE.
                                                          One buffer where q and k have no norms or nothing is kept */
    act *att;                                          /* (T,H·Dh) */
    act *y1, *y2;                                      /* (T,D): what the sandwich norms read */
    act *up;                                           /* (T,2F): before the activation. Unless all is kept it and y2 hold some of
                                                          them at a time (vlm_part_rows) */
    real *rstd1, *rstd2, *rstd_q, *rstd_k, *rstd_y1, *rstd_y2, *lse;   /* (T), q (T,H), k (T,G), lse (T,H); NULL without a backward */
} vlm_lm_layer;

/* Buffers of one forward of at most T rows. */
typedef struct vlm_lm_acts {
    int64_t T;
    vlm_save save;
    size_t kept;                       /* a mark of dev: what lies behind is free from when the caller has read h until he puts the gradient
                                          there, and once he has read that */
    act *x;                            /* (T,D): the caller puts embeddings here; without a backward the residual stream afterwards */
    act *h;                            /* (T,D): after the forward, the final norm's output; then the caller puts the gradient by it here */
    act *last;                         /* (T,D): the stream behind the last block */
    act *t, *f, *norm;                 /* (T,D) a norm's output; some rows: (,F) the hidden layer, (,D) a sandwich norm's output */
    act *datt, *dqkv, *dy, *df;        /* backward */
    real *rstd;                        /* of the final norm; backward */
    real *cos[2], *sin[2], *host_cos, *host_sin;       /* (T,Dh/2): full layers, sliding layers */
    int64_t *ids;                      /* (T) where the ops run */
    vlm_span *spans;
    vlm_lm_layer *layer;               /* in host memory: L with a backward, else 1 */
} vlm_lm_acts;

/* A sample in a forward without cache: rows [row, row + rows), positions from 0. */
typedef struct vlm_segment { int64_t row, rows; } vlm_segment;

vlm_status vlm_lm_init(vlm_lm *m, const vlm_lm_config *cfg);
void vlm_lm_free(vlm_lm *m);
void vlm_lm_params(vlm_lm *m, vlm_params *ps);
/* At most T rows in at most so many segments. */
void vlm_lm_take(vlm_arena *dev, vlm_arena *host, const vlm_lm_config *c, int64_t T, int64_t segments, vlm_save save, vlm_lm_acts *a);
void vlm_kvcache_take(vlm_arena *dev, vlm_arena *host, const vlm_lm_config *c, vlm_dtype type, int64_t room, int64_t chunk,
                      vlm_kvcache *kv);

/* a->x[row..] = embedding of ids (host), times embed_scale. */
void vlm_lm_embed(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const int64_t *ids, int64_t T, vlm_lm_acts *a);
/* T rows of a->x that continue kv: positions kv->len .. ; kv->len grows by T. T <= a->T, T <= kv->chunk, kv->len + T <= kv->room. */
void vlm_lm_extend(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t T, vlm_kvcache *kv, vlm_lm_acts *a);
/* Whole samples, one after another in a->x. The same bits as vlm_lm_extend gives each. */
void vlm_lm_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const vlm_segment *segs, int64_t n, vlm_lm_acts *a);
/* a->h: the gradient by the forward's output, becomes the gradient by the embeddings. Adds the gradients of all
   parameters but embedding and head to those in g: a vlm_lm of the same config whose parameters are gradients; NULL: the decoder is
   frozen and only passes gradients on. segs are the forward's. */
void vlm_lm_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const vlm_lm *g, const vlm_segment *segs, int64_t n,
                     vlm_lm_acts *a);
/* logits (rows,V) = head of rows of hidden states. */
void vlm_lm_logits(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, act *logits, const act *h, int64_t rows);
double vlm_lm_flop(const vlm_lm_config *c, int64_t tokens, int64_t past);
#endif

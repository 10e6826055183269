/* What an engine is driven by: the two configurations, whatever file they come from. docs/models.md holds the maths. */
#ifndef VLM_CONFIG_H
#define VLM_CONFIG_H
#include "ops/ops.h"

enum { VLM_MAX_LAYERS = 512, VLM_MAX_HEAD = 256 };

/* Branches run on some rows at a time, at most so many: an MLP's hidden layer stays near the cores. In equal parts: a few rows left over
   would read all weights for little work. */
enum { VLM_PART_ROWS = 1024 };
static inline int64_t vlm_part_rows(int64_t rows, int64_t most) {
    int64_t parts = (rows + most - 1) / most;
    return parts ? (rows + parts - 1) / parts : 0;
}

/* A vision transformer: patches → pre-norm blocks → final LayerNorm. Sequence of an image: CLS (if any), R registers, Hp·Wp patches. */
typedef struct vlm_vit_config {
    int64_t D, L, H, F, P;             /* width, layers, heads (D/H each), ffn, patch side */
    int64_t R;                         /* registers */
    bool cls, layerscale, gated;       /* gated: down(f(gate x) * up x) */
    bool q_bias, k_bias, v_bias, out_bias, mlp_bias;       /* a third of qkv's bias that is absent is stored as zeros and stays zero */
    vlm_activation act;
    float eps;
    double rope_theta;                 /* 2-D RoPE on patches (docs/models.md); 0: none */
    int64_t pos_h, pos_w;              /* grid of the learned positions; 0: none */
    bool pos_cls;                      /* one more position, for CLS, comes first */
    bool int8;                         /* matrices of blocks are VLM_I8: attention, where vlm_ops.fast_bytes, is in whole numbers too */
    bool pos_resize, pos_antialias;    /* other grids are resized to; otherwise only pos_h x pos_w is possible */
} vlm_vit_config;

/* A decoder: tokens → pre-norm blocks of causal attention and gated MLP → final RMSNorm → head. No biases. */
typedef struct vlm_lm_config {
    int64_t D, L, H, G, Dh, F, V;      /* width, layers, query heads, key heads, head dimension, ffn, rows of the embedding */
    int64_t context;                   /* positions the model knows */
    float eps, norm_offset;            /* RMSNorm: x̂ (w + norm_offset) */
    bool qk_norm, sandwich;            /* RMSNorm on each head of q and k; norms behind attention and MLP too */
    bool tied;                         /* head = embedding */
    vlm_activation act;
    float embed_scale, attn_scale;
    double rope_theta, rope_local;     /* base on full layers, on sliding layers */
    float rope_mul;                    /* times cos and sin (nanoVLM's lm_attn_scaling) */
    int64_t window;                    /* sliding layers see positions t-window+1..t */
    unsigned char sliding[VLM_MAX_LAYERS];
} vlm_lm_config;

/* What is kept of a forward: nothing (inference); all that the backward reads; or the stream between blocks only, from which the backward
   makes the rest once more (recompute: a quarter more work, a fraction of the memory, the same bits). */
typedef enum vlm_save { VLM_SAVE_NOTHING, VLM_SAVE_ALL, VLM_SAVE_STREAM } vlm_save;

/* Patch grid of an image. Everything about its size in tokens follows from it. */
typedef struct vlm_grid { int64_t h, w; } vlm_grid;

static inline int64_t vlm_vit_prefix(const vlm_vit_config *c) { return c->cls + c->R; }
#endif

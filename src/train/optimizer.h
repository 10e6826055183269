/* AdamW over a model's trained parameters: rates by group, decay by kind, the global norm. */
#ifndef VLM_OPTIMIZER_H
#define VLM_OPTIMIZER_H
#include "model/models.h"

/* The rate of update `it` (0 the first) of `steps`, as a share of the peak: a linear warm-up over `warm` updates ((it + 1)/warm), then half
   a cosine down to a tenth; constant: 1 after the warm-up. (nanoVLM's get_lr) warm: a share of the steps if below 1, else updates. If
   that is less than one update, the first share is one over it, above 1, as there; 0: no warm-up. */
double vlm_schedule(int64_t it, int64_t steps, double warm, bool constant);

/* The moments of a net's trained groups, and its gradients: three nets of one shape. */
typedef struct vlm_optimizer {
    const vlm_net *net;
    vlm_net *grads, *m, *v;
    unsigned trained;
    bool decay_all;
    real *sums;                        /* of squares, where the ops run */
    float *host_sums;
    int64_t blocks;
} vlm_optimizer;
size_t     vlm_optimizer_bytes(const vlm_net *net, unsigned trained);
/* net outlives it. VLM_ENOMEM. */
vlm_status vlm_optimizer_open(const vlm_net *net, unsigned trained, bool decay_all, vlm_optimizer *out);
void       vlm_optimizer_close(vlm_optimizer *o);      /* zeroed is fine */
void       vlm_optimizer_zero(vlm_optimizer *o, vlm_ctx *ctx);         /* the gradients */
/* L2 norm of all gradients as they stand; NaN or infinity shows in it. Blocks of VLM_SUM_BLOCK, added up in order. */
double     vlm_optimizer_norm(vlm_optimizer *o, vlm_ctx *ctx);
/* One update of these groups (bits) with the gradients times scale; t: updates made before, of each group. beta 0.9, 0.999, eps 1e-8. decay
   goes to matrices but the embedding; with decay_all to everything. */
void       vlm_optimizer_step(vlm_optimizer *o, vlm_ctx *ctx, unsigned groups, const int64_t t[VLM_GROUPS], float scale,
                              const double lr[VLM_GROUPS], double decay);
#endif

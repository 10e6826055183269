/* How long work will take on this machine: a model's arithmetic and bytes, over what the machine was just seen to do, times the share of it
   that each kind of work reaches (one table, in cost.c). Nothing is run. Within a quarter of what is measured (vlm bench growth). */
#ifndef VLM_COST_H
#define VLM_COST_H
#include "model/models.h"
#include "ops/limits.h"

/* Linear layers grow with rows, attention with rows times the keys that they see, the rest with rows. */
typedef struct vlm_seconds { double linear, attention, rest; } vlm_seconds;
static inline double vlm_seconds_sum(vlm_seconds s) { return s.linear + s.attention + s.rest; }
void vlm_seconds_add(vlm_seconds *sum, vlm_seconds s, double times);

/* A forward of the encoder's rows, whose attention takes so many multiplications and additions, and their projection where there is one; of the
   decoder's blocks; of its head. m: measured, all > 0 but dot. Weights need types and sizes only (structure_only). */
vlm_seconds vlm_cost_vision(const vlm_net *net, const vlm_limits *m, double rows, double attention_flop);
vlm_seconds vlm_cost_projector(const vlm_net *net, const vlm_limits *m, double tokens);
vlm_seconds vlm_cost_blocks(const vlm_net *net, const vlm_limits *m, double rows, double attention_flop);
vlm_seconds vlm_cost_head(const vlm_net *net, const vlm_limits *m, double rows);
/* Of linear layers alone: what is left of vlm_vit_flop and vlm_lm_flop is attention, of the latter also one row of the head. */
double vlm_vision_linear_flop(const vlm_vit_config *c, double rows, double patches);
double vlm_blocks_linear_flop(const vlm_lm_config *c, double rows);

/* n images from normalised pixels to tokens. Nothing without an encoder. */
vlm_seconds vlm_cost_encode(const vlm_net *net, const vlm_limits *m, const vlm_grid *grid, int64_t n);
/* A prompt of so many tokens behind `past`, in chunks, and the logits of its last; and one token behind `past`. Nothing without a decoder. */
vlm_seconds vlm_cost_prefill(const vlm_net *net, const vlm_limits *m, int64_t tokens, int64_t past);
vlm_seconds vlm_cost_token(const vlm_net *net, const vlm_limits *m, int64_t past, vlm_dtype kv_type);

/* A backward costs so many times its forward: of linear layers, attention and the rest. weights: gradients of the part's own parameters too. */
vlm_seconds vlm_cost_backward(vlm_seconds forward, bool weights);
/* An optimiser's update of so many parameters: gradients set to zero, their norm, weights and moments. */
double vlm_cost_optimizer(const vlm_limits *m, double parameters);
#endif

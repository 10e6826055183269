/* From logits to one id. */
#ifndef VLM_SAMPLER_H
#define VLM_SAMPLER_H
#include "base/rng.h"
#include "base/status.h"
#include <stdbool.h>

/* Room for a draw: V entries, allocated once. */
typedef struct vlm_candidate { double p; float logit; int32_t id; } vlm_candidate;
typedef struct vlm_sampler { int64_t V; vlm_candidate *c; unsigned char *known, *seen; } vlm_sampler;
/* known: V flags, ids that the tokenizer knows (others are never drawn); copied. */
vlm_status vlm_sampler_init(vlm_sampler *s, int64_t V, const unsigned char *known);
void       vlm_sampler_free(vlm_sampler *s);                   /* zeroed is fine */

/* VLM_EARG for settings out of range, named by their option. */
vlm_status vlm_sampling_check(const vlm_sampling *o);
/* In nanoVLM's order: repetition penalty over history, top-k (ties kept), top-p and min-p on the softmax before the temperature, then
   a draw from softmax(logits / temperature). Temperature 0: the largest logit, the lowest id among equals. Allocates nothing.
   Fails (VLM_EFORMAT) if the logits hold NaN. */
vlm_status vlm_sampler_draw(vlm_sampler *s, const vlm_sampling *o, const float *logits, const int64_t *history, int64_t n,
                            vlm_rng *rng, int64_t *id);
#endif

/* Models for vlm bench: a backbone alone, as Hugging Face stores it, with random weights in no time. */
#ifndef VLM_BENCH_DRAW_H
#define VLM_BENCH_DRAW_H
#include "model/param.h"

typedef struct vlm_backbone {
    const char *name, *preset;         /* what rows call it; whose part it is (infer/new.h) */
    vlm_group group;                   /* VLM_VISION or VLM_LANGUAGE */
} vlm_backbone;
/* Writes its config.json and model.safetensors to the folder `dir`, if that is not there yet. type: "f32", "bf16", "f16". The same bytes each
   time. VLM_EARG, VLM_EIO, VLM_ENOMEM. */
vlm_status vlm_backbone_draw(const vlm_backbone *x, const char *type, const char *dir);
#endif

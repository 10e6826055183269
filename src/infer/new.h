/* Making a whole VLM: of two backbone folders, or drawn from a seed. Writes our folder: nanoVLM's files plus vlm.json (docs/formats.md). */
#ifndef VLM_NEW_H
#define VLM_NEW_H
#include "base/status.h"
#include <stdbool.h>

typedef struct vlm_new_options {
    const char *vision, *language;     /* folders; or NULL and a preset */
    const char *preset;
    const char *projector;             /* a file that has MP.proj.weight, as convert writes it; NULL: drawn */
    const char *out;
    bool force;                        /* replace out */
    uint64_t seed;                     /* of the projector, of everything in a preset */
    int64_t shuffle;                   /* 0: the projector's, else 2 for DINO, the largest of 4 and 2 that fits for SigLIP */
    int64_t max_size_px, max_image_tokens, context;    /* 0: defaults */
    bool no_upscale;
    const char *dtype;                 /* of the weights: "f32", "bf16", "f16"; NULL: f32 */
    const char *chat_template;         /* "chatml", "gemma"; NULL: as projector says, else "gemma" for a Gemma with its turn tokens, else
                                          "chatml", as nanoVLM */
} vlm_new_options;
/* VLM_EARG, VLM_EIO, VLM_EFORMAT, VLM_EUNSUPPORTED, VLM_ENOMEM; out appears whole or not at all. */
vlm_status vlm_new(const vlm_new_options *o);

typedef struct vlm_preset {
    const char *name, *about, *vision, *language;      /* the last two: Hugging Face configs */
    int64_t shuffle;                                   /* 0: vlm_new_options says what */
    bool scaled;                                       /* weights by the width of what they read, instead of nanoVLM's 0.02 */
} vlm_preset;
const vlm_preset *vlm_presets(int *n);
#endif

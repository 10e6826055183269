/* The same weights as another folder: ours, nanoVLM's (the fork's flavour for DINOv3 and for what the fork trained, upstream's otherwise),
   or Hugging Face's two backbones and the projector. docs/formats.md says what each holds and what it cannot say. */
#ifndef VLM_CONVERT_H
#define VLM_CONVERT_H
#include "infer/model.h"

typedef struct vlm_convert_options {
    const char *out;
    bool force;                        /* replace out */
    const char *to;                    /* "ours", "nanovlm", "hf" (of a backbone: the same folder); NULL: ours, of a backbone hf */
    const char *dtype;                 /* "f32", "bf16", "f16"; NULL: each tensor as it is */
    bool packed;                       /* matrices in panels, as they are used (model/packed.h): with ours, or of a backbone */
    int threads;                       /* for packing; 0: the cores this process may use */
} vlm_convert_options;
/* m: opened with VLM_OPEN_STRUCTURE; its template, context and maths are what is written down where the target can say them. One tensor
   is on its way at a time. Warns of what is lost. VLM_EARG; VLM_EUNSUPPORTED names what the target cannot say; VLM_EFORMAT a tensor with
   NaN or with values too large for f16; VLM_EIO, VLM_ENOMEM. out appears whole or not at all. */
vlm_status vlm_convert(const vlm_model *m, const vlm_convert_options *o);

/* What our folder of a whole model holds besides weights (config.json, vlm.json with this model's choices, the tokenizer,
   generation_config.json) into `dir`, which exists; for weights that are all of one type: what a checkpoint needs beside vlm_net_save.
   m opened in any way. */
vlm_status vlm_write_ours(const vlm_model *m, vlm_tensor_dtype dtype, const char *dir);
/* The same of any model, whatever its weights: of an encoder or a language model alone what its own folder has. */
vlm_status vlm_write_beside(const vlm_model *m, vlm_tensor_dtype dtype, const char *dir);
#endif

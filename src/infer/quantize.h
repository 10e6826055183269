/* A model's matrices as whole numbers: a packed folder (model/packed.h), which serves whoever does not need the weights themselves, with
   a report of what that costs and gains. docs/quantization.md says which matrix becomes what, and why. */
#ifndef VLM_QUANTIZE_H
#define VLM_QUANTIZE_H
#include "infer/model.h"

typedef struct vlm_quantize_options {
    const char *out;
    bool force;                        /* replace out */
    const char *vision;                /* "int8", "none"; NULL: int8 */
    const char *language;              /* "int4", "int8", "none"; NULL: int8 */
    const vlm_image *const *image;     /* pictures to measure on; none: some are made up */
    int64_t images;
    int threads;                       /* 0: the cores this process may use */
    /* Asked of the model before and after, into the report's "score"; *out becomes the report's. NULL: none. */
    vlm_status (*score)(void *user, const vlm_model *m, json_t **out);
    void *user;
} vlm_quantize_options;
/* m: open with all its weights, and used by nobody else meanwhile; `open`: its options, with which the new folder is opened, too. out gets
   quantization.json and quantization.md and appears whole, with them, or not at all. *report (NULL is fine), the caller's, is what
   quantization.json holds: {"model","vlm_version","vision","language","images","made_up", what vlm_compare says, "score": {"before",
   "after"}}. VLM_EARG: nothing would change, or an option names a part that the model lacks; VLM_EUNSUPPORTED: m is packed; VLM_EFORMAT:
   NaN or infinity, in weights or in what comes out; VLM_EIO, VLM_ENOMEM, VLM_ESTOPPED. */
vlm_status vlm_quantize(vlm_model *m, const vlm_model_options *open, const vlm_quantize_options *o, json_t **report);
#endif

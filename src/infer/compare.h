/* How far a model is from another one of the same engines, whose weights are other types: matrix by matrix on the inputs that it gets in
   real work, in features, in what the language model expects next, in size and speed. */
#ifndef VLM_COMPARE_H
#define VLM_COMPARE_H
#include "infer/model.h"

typedef struct vlm_compare_options {
    const vlm_image *const *image;     /* pictures to look at; none: some are made up */
    int64_t images;
    int threads;                       /* 0: the cores this process may use */
} vlm_compare_options;
/* *out, the caller's:
     "layers"   [{"name","type","rows","cols","cosine","worst_cosine","max_error","rms"}], each matrix of b whose type is another than a's,
                in the model's order: its products with the same rows against a's; cosine of all and of the worst row; rms of a's
     "features" {"images","patches","cosine","worst_cosine","prefix_cosine"}: of patches after the final norm; with an encoder
     "logits"   {"positions","kl","worst_kl","same_choice"}: Kullback-Leibler divergence (nats) of b's next token from a's and
                how often both find the same one likeliest, on the same features; with a language model
     "size"     {"before_bytes","after_bytes"} of the weights in memory
     "speed"    {"threads","encode_px":[W,H],"encode_ms":{"before","after"},"decode_tokens","decode_tok_per_s":{"before","after"}}, medians,
                one after the other in turn
   Parts that the model lacks are absent. a is used by nobody else meanwhile: its ops are watched. VLM_ENOMEM, VLM_ESTOPPED, VLM_EFORMAT:
   one of them gives NaN. */
vlm_status vlm_compare(vlm_model *a, const vlm_model *b, const vlm_compare_options *o, json_t **out);
#endif

/* Packed weights: a model.safetensors whose matrices lie in panels as they are used (src/ops/ops.h), so that to map it is to load it.
   docs/formats.md has the format. Such a file is used as it is: nothing else can be made of it. */
#ifndef VLM_PACKED_H
#define VLM_PACKED_H
#include "model/models.h"

/* Where values come from, and what becomes of them. */
typedef struct vlm_packing {
    /* Rows [row, row + rows) of p (of its shape[0]) as floats; called for all rows of each parameter, in order. */
    vlm_status (*values)(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out);
    vlm_dtype (*dtype)(void *user, const vlm_param *p);        /* of the operand whose first parameter is p */
    vlm_dtype embedding;               /* the type that the embedding was trained in: its factor is rounded to it (VLM_F32: to none) */
    void *user;
} vlm_packing;
/* Writes net's parameters (their list; values come from `from`) to the file `path`, some megabytes at a time. Values are rounded to the
   nearest, ties to even; whole numbers as linear_pack makes them. *bytes (NULL is fine): of the tensors. VLM_EFORMAT names a parameter
   with NaN or infinity, or with a value too large for F16; VLM_EIO, VLM_ENOMEM, VLM_ESTOPPED. The file appears whole or not at all. */
vlm_status vlm_packed_store(const char *path, const vlm_net *net, vlm_ctx *ctx, const vlm_packing *from, int64_t *bytes);

/* Are these weights packed? VLM_EFORMAT, VLM_EUNSUPPORTED: yes, in a version that this program does not know. */
vlm_status vlm_packed_is(const vlm_weights *w, bool *packed);
/* Binds net's parameters to its weights, which are packed: matrices get type and data, which stay in the mapping (its pages are not
   looked at), vectors their part. Sizes, types and places of all tensors are checked against the config; VLM_EFORMAT names the tensor.
   *embedding: as it was written. */
vlm_status vlm_packed_bind(vlm_net *net, vlm_dtype *embedding);
/* Fails if the net is packed: what else is asked for needs `what` of the weights ("training", ...). */
vlm_status vlm_packed_refuse(const vlm_net *net, const char *what);
#endif

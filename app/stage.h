/* Stages of a trace: arrays written as .npy while they are made, with their statistics; and the comparison of two traces. */
#ifndef VLM_STAGE_H
#define VLM_STAGE_H
#include "io/npy.h"
#include "term.h"

typedef struct vlm_stage {
    vlm_npy_writer file;
    char name[64];
    int ndim;
    int64_t shape[VLM_TENSOR_DIMS];
    vlm_tensor_dtype dtype;            /* F32, U8 or I64 */
    double min, max, sum, squares;
    int64_t n;
} vlm_stage;
/* dir/name.npy; append in pieces; close writes its row into stages: {"name","shape","min","max","mean","rms"}. */
vlm_status vlm_stage_open(const char *dir, const char *name, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, vlm_stage *out);
vlm_status vlm_stage_append(vlm_stage *s, const void *data, int64_t n);
vlm_status vlm_stage_close(vlm_stage *s, json_t *stages);
void       vlm_stage_cancel(vlm_stage *s);     /* zeroed is fine */
vlm_status vlm_stage_write(const char *dir, const char *name, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, const void *data,
                           json_t *stages);

/* Every .npy in `want` with the one of the same name in `have`: float stages within tolerance·max(1, rms of the wanted stage), others
   exactly. Prints a row each (JSON: one object). Fails if a stage is missing, has another shape, is over the tolerance, or if there was
   nothing to compare. */
vlm_status vlm_stages_compare(const char *have, const char *want, double tolerance, vlm_args *a);
#endif

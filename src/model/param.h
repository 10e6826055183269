/* A model's parameters as one list: stored name, shape, group, and where the values go. The engines' walks fill the list
   (vlm_vit_params, vlm_lm_params; vlm_net_params adds the projector); memory, loading, inspection and saving all read it.
   Names are those of nanoVLM's model.safetensors; families translate them for Hugging Face's files. */
#ifndef VLM_PARAM_H
#define VLM_PARAM_H
#include "base/arena.h"
#include "base/status.h"
#include "io/weights.h"
#include "model/config.h"

typedef enum vlm_group { VLM_VISION, VLM_PROJECTOR, VLM_LANGUAGE, VLM_GROUPS } vlm_group;
const char *vlm_group_name(vlm_group g);               /* "vision", "projector", "language" */

const char *vlm_dtype_name(vlm_dtype t);               /* "f32", "f16", "bf16", "f64", "i8", "g8", "g4" */

/* A stored tensor. A matrix is rows [row, row + shape[0]) of *mat (fused operands hold several);
   a vector is elements [row, ...) of *vec. */
typedef struct vlm_param {
    char name[96];
    vlm_group group;
    int ndim;
    int64_t shape[4];                  /* as stored; a matrix has shape[0] rows, the rest are its columns */
    vlm_mat *mat;
    real **vec;
    int64_t row;
    bool tied;                         /* a second name of another row's values: nothing is stored for it */
    int parts;                         /* source tensors, one after another along the rows; NULL: zeros (vectors only) */
    const vlm_tensor *part[3];
    const vlm_tensor *panels;          /* packed (model/packed.h), at an operand's first parameter: all of it in the file; no parts */
    int64_t first;                     /* a single part may be a slice: it begins at this row of the tensor */
} vlm_param;

typedef struct vlm_params {
    vlm_param *p;
    int n, room;
    bool failed;                       /* no memory: said by vlm_params_check */
} vlm_params;

/* For the walks. fmt makes the name; dims end with 0. */
void vlm_params_mat(vlm_params *ps, vlm_group g, vlm_mat *mat, int64_t row, const int64_t *dims, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void vlm_params_vec(vlm_params *ps, vlm_group g, real **vec, int64_t row, const int64_t *dims, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
#define VLM_DIMS(...) (const int64_t[]){ __VA_ARGS__, 0 }
vlm_status vlm_params_check(const vlm_params *ps);     /* memory ran out while it was filled? */
void vlm_params_free(vlm_params *ps);
int64_t vlm_param_len(const vlm_param *p);             /* elements */
vlm_param *vlm_params_find(const vlm_params *ps, const char *name);

/* Gives every matrix and vector of these groups (bits 1 << vlm_group) its place in the arena (base/arena.h: measured first, then placed),
   the others none (NULL); dtypes of the matrices are set already. What is packed lies in its file. */
enum { VLM_ALL_GROUPS = (1 << VLM_GROUPS) - 1 };
void vlm_params_place(vlm_params *ps, vlm_arena *a, unsigned groups);
/* Where the values of params row i lie and how many there are, padding and what is fused to it included; false if another row stands for
   them. Lists of one shape agree on the rows. */
bool vlm_params_operand(const vlm_params *ps, int i, void **data, int64_t *n);
int64_t vlm_params_operand_bytes(const vlm_params *ps, int i);         /* of such a row's values in memory, for matrices of any dtype */
/* Fills them from their parts: matrices are packed in panels, vectors become float. NaN, infinity or a wrong shape is an error that
   names the tensor; pages of the source are let go as they are done with. */
vlm_status vlm_params_load(vlm_params *ps, vlm_ctx *ctx, const vlm_ops *ops, const vlm_weights *w);
/* Rows [row, row + rows) (of shape[0]) of one parameter as floats, from its parts in the files: what loading would give it. The same
   failures; memory for nothing but out. A parameter with parts. */
vlm_status vlm_params_source(const vlm_param *p, const vlm_weights *w, int64_t row, int64_t rows, float *out);
/* The same of a table that has grown: rows that p has not are the mean of those it has. */
vlm_status vlm_params_grown(const vlm_param *p, const vlm_weights *w, int64_t row, int64_t rows, float *out);
/* The same of its current values in memory, whatever they have become: the inverse of vlm_params_load. A parameter that
   has been placed; a tied one gives what it shares. Reads only. */
vlm_status vlm_params_values(const vlm_param *p, vlm_ctx *ctx, const vlm_ops *ops, int64_t row, int64_t rows, float *out);
#endif

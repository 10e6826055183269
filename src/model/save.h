/* Saving: the weights of a net, in memory or on their way from other files, written as one model.safetensors with nanoVLM's names; and
   files of a MODEL folder, copied. Memory stays at some megabytes whatever the model's size. */
#ifndef VLM_SAVE_H
#define VLM_SAVE_H
#include "model/models.h"

/* Where values come from. Rows [row, row + rows) of p (of its shape[0]) as floats; called for all rows of each parameter, in order. */
typedef struct vlm_source {
    vlm_status (*values)(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out);
    vlm_tensor_dtype (*dtype)(void *user, const vlm_param *p);         /* F32, BF16 or F16: the type p is stored in */
    void *user;
} vlm_source;

/* "f32", "bf16", "f16": the types that weights are written in. VLM_EARG for another name. */
vlm_status vlm_store_dtype(const char *name, vlm_tensor_dtype *out);
const char *vlm_torch_dtype(vlm_tensor_dtype t);       /* "float32", ...: as Hugging Face's configs name these three */

/* A tensor of a file to be written: rows of one parameter, or of several, one after another; or none, and n values of its own. */
typedef struct vlm_stored {
    char name[256];
    vlm_tensor_dtype dtype;
    int ndim;
    int64_t shape[VLM_TENSOR_DIMS];
    int parts;
    struct { const vlm_param *p; int64_t row, rows; } part[2];
    const float *own;
} vlm_stored;
/* Writes them to the file `path` in this order; metadata: an object of strings, or NULL. Values are rounded to the nearest, ties to even.
   VLM_EFORMAT names a tensor with NaN or infinity, or with a value too large for F16; VLM_EIO, VLM_ENOMEM, VLM_ESTOPPED. The file appears
   whole or not at all. */
vlm_status vlm_store(const char *path, const vlm_stored *t, int64_t n, const json_t *metadata, const vlm_source *from);

/* A whole model's file as nanoVLM's Python writes it: every parameter once, of a tied pair decoder.head.weight with the other name in the
   metadata, decoder.rotary_embd.inv_freq. A net of one backbone only: the same, what it has. */
vlm_status vlm_net_store(const char *path, const vlm_net *net, const vlm_source *from);
const char *vlm_stored_name(const vlm_net *net, const vlm_param *p);   /* p's there */
/* The same of the values in memory (vlm_params_values), all of them in one type. Reads the net only. */
vlm_status vlm_net_save(const char *path, const vlm_net *net, vlm_ctx *ctx, vlm_tensor_dtype dtype);

/* One backbone's file under the names that its family has at Hugging Face (the first of each rule, behind the first prefix): fused
   biases without the parts that the model lacks (VLM_EFORMAT if those are not zero), a tied head left out, a mask token of zeros where the
   family has one. `group`: VLM_VISION or VLM_LANGUAGE, which the net has. */
vlm_status vlm_family_store(const char *path, const vlm_net *net, vlm_group group, const vlm_source *from);

/* Copies the tokenizer's files, byte for byte, from the folder and its tokenizer/ to the folder `to`, which exists; flat: those of
   tokenizer/ too come into `to` itself, where `from` has no other. VLM_EIO names the file. */
vlm_status vlm_copy_tokenizer(const char *from, const char *to, bool flat);
vlm_status vlm_copy_file(const char *from, const char *to, const char *name);  /* from/name to to/name, if it is there; up to 128 MiB */
#endif

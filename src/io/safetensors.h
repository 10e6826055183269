/* safetensors (https://github.com/huggingface/safetensors, "Format"): u64 little-endian length of the header, the header
   {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}, raw little-endian data.
   The reader holds a file to every promise of the format: header of at most 100 MB that begins with {, no key twice, names without NUL,
   dtype × shape = bytes, tensors that neither overlap nor leave holes, and that end where the file ends. */
#ifndef VLM_SAFETENSORS_H
#define VLM_SAFETENSORS_H
#include "base/file.h"
#include "io/json.h"

/* F4 and F6 of the format fill no whole bytes: they are refused by name. */
typedef enum vlm_tensor_dtype {
    VLM_T_F64, VLM_T_F32, VLM_T_F16, VLM_T_BF16, VLM_T_I64, VLM_T_I32, VLM_T_I16, VLM_T_I8, VLM_T_U64, VLM_T_U32, VLM_T_U16, VLM_T_U8,
    VLM_T_BOOL, VLM_T_F8_E4M3, VLM_T_F8_E5M2, VLM_T_F8_E8M0, VLM_T_F8_E4M3FNUZ, VLM_T_F8_E5M2FNUZ, VLM_T_C64, VLM_T_COUNT
} vlm_tensor_dtype;
const char *vlm_tensor_dtype_name(vlm_tensor_dtype t);         /* as in the header: "F32" */
/* VLM_EFORMAT: "tensor NAME ...; " and what to do. */
vlm_status vlm_tensor_wrong(const char *where, const char *name, const char *todo, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
size_t      vlm_tensor_dtype_bytes(vlm_tensor_dtype t);        /* of one element */

/* An array that lies in a file, row-major. It lives as long as what it was found in. */
enum { VLM_TENSOR_DIMS = 8 };
typedef struct vlm_tensor {
    const char *name;
    vlm_tensor_dtype dtype;
    int ndim;                  /* 0: one element */
    int64_t shape[VLM_TENSOR_DIMS];
    const unsigned char *data; /* may be unaligned; not NULL even if bytes is 0 */
    size_t bytes;
    int file;                  /* which shard (io/weights.h), else 0 */
} vlm_tensor;
int64_t vlm_tensor_len(const vlm_tensor *t);                   /* elements */
/* Elements [first, first + n) of an F32, F16, BF16 or F64 tensor as floats (F64 rounded: above FLT_MAX it is infinite).
   VLM_EUNSUPPORTED for another dtype, VLM_EARG for a range outside the tensor; both name the tensor. Any thread. */
vlm_status vlm_tensor_to_float(const vlm_tensor *t, int64_t first, int64_t n, float *out);
/* "[2,3]", "[]" for none; longer than the buffer: cut. Returns buf. */
enum { VLM_SHAPE_CHARS = 192 };                                /* room for any shape of 8 */
const char *vlm_shape_string(int ndim, const int64_t *shape, char buf[VLM_SHAPE_CHARS]);

/* A file's tensors in the order of their data. Immutable: any number of threads. */
typedef struct vlm_safetensors {
    vlm_tensor *tensors;
    int64_t count;
    const json_t *metadata;    /* "__metadata__": an object of strings, or NULL */
    json_t *header;            /* private from here: owns the names */
    const vlm_tensor **by_name;
    vlm_map map;
} vlm_safetensors;
/* Maps the file and reads its header only. VLM_EFORMAT, VLM_ELIMIT, VLM_EUNSUPPORTED (dtype), VLM_EIO; messages name file and tensor. */
vlm_status vlm_safetensors_open(const char *path, vlm_safetensors *out);
/* The same for bytes that the caller keeps; `where` stands in messages. */
vlm_status vlm_safetensors_parse(const unsigned char *data, size_t size, const char *where, vlm_safetensors *out);
void       vlm_safetensors_close(vlm_safetensors *st);         /* zeroed is fine */
const vlm_tensor *vlm_safetensors_find(const vlm_safetensors *st, const char *name);   /* NULL: not there */

/* Writes a file: open, declare every tensor, put their data in the declared order, commit. The target changes only at commit
   (base/file.h). The header is padded with spaces so that the data begins at a multiple of 64: what is mapped begins on a cache line.
   declare and metadata before the first put; put takes a tensor in one piece or in many and must name the tensor that is due
   (empty ones are skipped unasked). Misuse is VLM_EARG, nothing else happens. One of commit and cancel ends it; both free it.
   commit fails if data is missing. One thread. */
typedef struct vlm_safetensors_writer vlm_safetensors_writer;
vlm_status vlm_safetensors_writer_open(const char *path, vlm_safetensors_writer **out);
vlm_status vlm_safetensors_writer_metadata(vlm_safetensors_writer *w, const char *key, const char *value);
vlm_status vlm_safetensors_writer_declare(vlm_safetensors_writer *w, const char *name, vlm_tensor_dtype dtype,
                                          int ndim, const int64_t *shape);
vlm_status vlm_safetensors_writer_put(vlm_safetensors_writer *w, const char *name, const void *data, size_t bytes);
/* n more elements of an F32, BF16 or F16 tensor, given as floats: the nearest, ties to even. VLM_EFORMAT names a tensor with NaN, with
   infinity, or with a value that is larger than its dtype can hold. */
vlm_status vlm_safetensors_writer_put_float(vlm_safetensors_writer *w, const char *name, const float *x, int64_t n);
vlm_status vlm_safetensors_writer_commit(vlm_safetensors_writer *w);
void       vlm_safetensors_writer_cancel(vlm_safetensors_writer *w);   /* NULL is fine */
#endif

/* .npy, NumPy's array file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): magic, version, a Python dict
   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, data. Little-endian and C order only. */
#ifndef VLM_NPY_H
#define VLM_NPY_H
#include "io/safetensors.h"

/* Reads version 1.0 and 2.0 with f2, f4, f8, i4, i8, u1: everything else is refused by name. t.name is the path ("where"),
   copied; the file ends exactly where the data ends. Immutable: any number of threads. */
typedef struct vlm_npy { vlm_tensor t; vlm_map map; char *name; } vlm_npy;
vlm_status vlm_npy_open(const char *path, vlm_npy *out);
vlm_status vlm_npy_parse(const unsigned char *data, size_t size, const char *where, vlm_npy *out);     /* the caller keeps the bytes */
void       vlm_npy_close(vlm_npy *npy);                /* zeroed is fine */
double     vlm_npy_at(const vlm_npy *npy, int64_t i);  /* element i as a double: exact but for i8 beyond 2^53 */
int64_t    vlm_npy_int(const vlm_npy *npy, int64_t i); /* element i of an i8, i4 or u1 array; 0 for floats */

/* Version 1.0, data at a multiple of 64 bytes, F32, F64, F16, I64, I32 or U8. The target changes only at commit (base/file.h). */
vlm_status vlm_npy_write(const char *path, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, const void *data);
/* The same in pieces. One of commit and cancel ends it; commit fails if bytes are missing, append if there are too many. One thread. */
typedef struct vlm_npy_writer { vlm_writer file; size_t left; } vlm_npy_writer;
vlm_status vlm_npy_writer_open(const char *path, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, vlm_npy_writer *out);
vlm_status vlm_npy_writer_append(vlm_npy_writer *w, const void *data, size_t bytes);
vlm_status vlm_npy_writer_commit(vlm_npy_writer *w);
void       vlm_npy_writer_cancel(vlm_npy_writer *w);   /* zeroed is fine */
#endif

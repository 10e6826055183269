#include "io/safetensors.h"
#include "ops/ops.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "files are little-endian and mapped as they are: this machine cannot use them"
#endif

enum { HEADER_LIMIT = 100000000 };     /* of the format */

/* ---- Tensors -------------------------------------------------------------------------------------------------- */
static const struct { const char *name; size_t bytes; } dtypes[VLM_T_COUNT] = {
    [VLM_T_F64] = { "F64", 8 }, [VLM_T_F32] = { "F32", 4 }, [VLM_T_F16] = { "F16", 2 }, [VLM_T_BF16] = { "BF16", 2 },
    [VLM_T_I64] = { "I64", 8 }, [VLM_T_I32] = { "I32", 4 }, [VLM_T_I16] = { "I16", 2 }, [VLM_T_I8] = { "I8", 1 },
    [VLM_T_U64] = { "U64", 8 }, [VLM_T_U32] = { "U32", 4 }, [VLM_T_U16] = { "U16", 2 }, [VLM_T_U8] = { "U8", 1 },
    [VLM_T_BOOL] = { "BOOL", 1 }, [VLM_T_C64] = { "C64", 8 },
    [VLM_T_F8_E4M3] = { "F8_E4M3", 1 }, [VLM_T_F8_E5M2] = { "F8_E5M2", 1 }, [VLM_T_F8_E8M0] = { "F8_E8M0", 1 },
    [VLM_T_F8_E4M3FNUZ] = { "F8_E4M3FNUZ", 1 }, [VLM_T_F8_E5M2FNUZ] = { "F8_E5M2FNUZ", 1 },
};
const char *vlm_tensor_dtype_name(vlm_tensor_dtype t) { return dtypes[t].name; }
size_t vlm_tensor_dtype_bytes(vlm_tensor_dtype t) { return dtypes[t].bytes; }

int64_t vlm_tensor_len(const vlm_tensor *t) { return (int64_t)(t->bytes / dtypes[t->dtype].bytes); }

vlm_status vlm_tensor_to_float(const vlm_tensor *t, int64_t first, int64_t n, float *out) {
    int64_t len = vlm_tensor_len(t);
    if (first < 0 || n < 0 || first > len || n > len - first)
        return vlm_fail(VLM_EARG, t->name, "%" PRId64 " elements from %" PRId64 " on asked for, the tensor has %" PRId64, n, first, len);
    const unsigned char *p = t->data + (size_t)first * dtypes[t->dtype].bytes;
    uint16_t h;
    double d;
    switch (t->dtype) {
    case VLM_T_F32:
        if (n) memcpy(out, p, (size_t)n * sizeof *out);
        return VLM_OK;
    case VLM_T_BF16:
        for (int64_t i = 0; i < n; i++) { memcpy(&h, p + 2 * i, 2); out[i] = vlm_bf16_float(h); }
        return VLM_OK;
    case VLM_T_F16:
        for (int64_t i = 0; i < n; i++) { memcpy(&h, p + 2 * i, 2); out[i] = vlm_f16_float(h); }
        return VLM_OK;
    case VLM_T_F64:
        for (int64_t i = 0; i < n; i++) { memcpy(&d, p + 8 * i, 8); out[i] = (float)d; }
        return VLM_OK;
    default:
        return vlm_fail(VLM_EUNSUPPORTED, t->name, "has dtype %s, weights may be F32, F16, BF16 or F64; convert it", dtypes[t->dtype].name);
    }
}

const char *vlm_shape_string(int ndim, const int64_t *shape, char buf[VLM_SHAPE_CHARS]) {
    int n = snprintf(buf, VLM_SHAPE_CHARS, "[");
    for (int i = 0; i < ndim && n < VLM_SHAPE_CHARS - 1; i++)
        n += snprintf(buf + n, (size_t)(VLM_SHAPE_CHARS - n), i ? ",%" PRId64 : "%" PRId64, shape[i]);
    if (n < VLM_SHAPE_CHARS - 1) snprintf(buf + n, (size_t)(VLM_SHAPE_CHARS - n), "]");
    return buf;
}

/* bytes of a shape; false: over INT64_MAX */
static bool shape_bytes(vlm_tensor_dtype dtype, int ndim, const int64_t *shape, size_t *out) {
    int64_t n = (int64_t)dtypes[dtype].bytes;
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(n, shape[i], &n)) return false;
    *out = (size_t)n;
    return true;
}

/* ---- Reading -------------------------------------------------------------------------------------------------- */
vlm_status vlm_tensor_wrong(const char *where, const char *name, const char *todo, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return vlm_fail(VLM_EFORMAT, where, "tensor %s %s; %s", name, text, todo);
}
#define BAD(where, name, ...) vlm_tensor_wrong(where, name, "get the file again", __VA_ARGS__)

/* One entry of the header by itself; check_cover compares it with the others. data, size: all data of the file. */
static vlm_status read_entry(const char *where, const char *name, const json_t *v, const unsigned char *data, size_t size, vlm_tensor *t) {
    json_t *dtype = json_object_get(v, "dtype"), *shape = json_object_get(v, "shape");
    json_t *range = json_object_get(v, "data_offsets"), *jb = json_array_get(range, 0), *je = json_array_get(range, 1);
    char buf[VLM_SHAPE_CHARS];
    size_t bytes;
    if (!json_is_string(dtype)) return BAD(where, name, "has no dtype");
    if (!json_is_array(shape)) return BAD(where, name, "has no shape");
    if (!json_is_array(range) || json_array_size(range) != 2) return BAD(where, name, "has no data_offsets [begin, end]");
    if (json_object_size(v) != 3) return BAD(where, name, "has other keys than dtype, shape and data_offsets");
    *t = (vlm_tensor){ .name = name };
    while (t->dtype < VLM_T_COUNT && strcmp(json_string_value(dtype), dtypes[t->dtype].name)) t->dtype++;
    if (t->dtype == VLM_T_COUNT)
        return vlm_fail(VLM_EUNSUPPORTED, where, "tensor %s has dtype %s, which this version does not read; convert it to F32, F16 or BF16",
                        name, json_string_value(dtype));
    if (json_array_size(shape) > VLM_TENSOR_DIMS)
        return vlm_fail(VLM_ELIMIT, where, "tensor %s has %zu dimensions, at most %d are read; reshape it",
                        name, json_array_size(shape), VLM_TENSOR_DIMS);
    for (t->ndim = 0; t->ndim < (int)json_array_size(shape); t->ndim++) {
        const json_t *d = json_array_get(shape, (size_t)t->ndim);
        if (!json_is_integer(d) || json_integer_value(d) < 0) return BAD(where, name, "has a dimension that is not a whole number >= 0");
        t->shape[t->ndim] = json_integer_value(d);
    }
    vlm_shape_string(t->ndim, t->shape, buf);
    if (!shape_bytes(t->dtype, t->ndim, t->shape, &bytes)) return BAD(where, name, "has shape %s, more than can be counted", buf);
    if (!json_is_integer(jb) || !json_is_integer(je) || json_integer_value(jb) < 0 || json_integer_value(je) < json_integer_value(jb))
        return BAD(where, name, "has data_offsets that are not [begin, end] with 0 <= begin <= end");
    uint64_t begin = (uint64_t)json_integer_value(jb), end = (uint64_t)json_integer_value(je);
    if (end > size)
        return BAD(where, name, "ends at byte %" PRIu64 " of the data, but the file holds %zu: it is cut short", end, size);
    if (end - begin != bytes)
        return BAD(where, name, "of shape %s and dtype %s takes %zu bytes, its data_offsets [%" PRIu64 ",%" PRIu64 "] give %" PRIu64,
                   buf, dtypes[t->dtype].name, bytes, begin, end, end - begin);
    t->data = data + begin;
    t->bytes = bytes;
    return VLM_OK;
}

static int by_data(const void *a, const void *b) {
    const vlm_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}
static int by_name(const void *a, const void *b) {
    return strcmp((*(const vlm_tensor *const *)a)->name, (*(const vlm_tensor *const *)b)->name);
}

/* Sorted by data: each begins where the one before ends, the last ends with the file. */
static vlm_status check_cover(const char *where, const vlm_tensor *t, int64_t n, const unsigned char *data, size_t size) {
    const unsigned char *end = data;
    for (int64_t i = 0; i < n; end = t[i].data + t[i].bytes, i++)
        if (t[i].data != end)
            return BAD(where, t[i].name, "begins at byte %zu of the data, expected %zu: it %s %s", (size_t)(t[i].data - data),
                       (size_t)(end - data), t[i].data < end ? "overlaps" : "leaves a hole after", i ? t[i - 1].name : "the header");
    if ((size_t)(end - data) != size)
        return vlm_fail(VLM_EFORMAT, where, "holds %zu bytes of data, its tensors (the last is %s) end at %zu; get the file again",
                        size, n ? t[n - 1].name : "none", (size_t)(end - data));
    return VLM_OK;
}

static vlm_status read_metadata(const char *where, json_t *o) {
    const char *key;
    json_t *v;
    if (!json_is_object(o)) return vlm_fail(VLM_EFORMAT, where, "__metadata__ is not an object; get the file again");
    json_object_foreach(o, key, v)
        if (!json_is_string(v)) return vlm_fail(VLM_EFORMAT, where, "__metadata__ key %s is not a string; get the file again", key);
    return VLM_OK;
}

vlm_status vlm_safetensors_parse(const unsigned char *data, size_t size, const char *where, vlm_safetensors *out) {
    static const char lfs[] = "version https://git-lfs";
    vlm_safetensors st = { 0 };
    vlm_status status = VLM_OK;
    uint64_t n;
    if (size >= sizeof lfs - 1 && !memcmp(data, lfs, sizeof lfs - 1))
        return vlm_fail(VLM_EFORMAT, where, "is a Git LFS pointer, not the weights; run git lfs pull in its folder");
    if (size < 8) return vlm_fail(VLM_EFORMAT, where, "has %zu bytes, a safetensors file has at least 8; get the file again", size);
    memcpy(&n, data, 8);
    if (n > HEADER_LIMIT)
        return vlm_fail(VLM_EFORMAT, where, "claims a header of %" PRIu64 " bytes, the format allows %d; get the file again",
                        n, HEADER_LIMIT);
    if (n > size - 8)
        return vlm_fail(VLM_EFORMAT, where, "claims a header of %" PRIu64 " bytes, only %zu follow: it is cut short; get the file again",
                        n, size - 8);
    if (n == 0 || data[8] != '{')
        return vlm_fail(VLM_EFORMAT, where, "has a header that does not begin with {; get the file again");
    if ((status = vlm_json_parse(data + 8, (size_t)n, where, &st.header)))
        return vlm_fail(status, where, "header %s", vlm_error_message());

    const unsigned char *base = data + 8 + n;
    size_t total = size - 8 - (size_t)n, entries = json_object_size(st.header);
    const char *name;
    json_t *v;
    st.tensors = malloc((entries + 1) * sizeof *st.tensors);
    st.by_name = malloc((entries + 1) * sizeof *st.by_name);
    if (!st.tensors || !st.by_name) { status = vlm_fail_memory(where, entries * sizeof *st.tensors); goto done; }
    json_object_foreach(st.header, name, v) {
        if (strcmp(name, "__metadata__")) TRY_DONE(read_entry(where, name, v, base, total, &st.tensors[st.count++]));
        else {
            TRY_DONE(read_metadata(where, v));
            st.metadata = v;
        }
    }
    qsort(st.tensors, (size_t)st.count, sizeof *st.tensors, by_data);
    TRY_DONE(check_cover(where, st.tensors, st.count, base, total));
    for (int64_t i = 0; i < st.count; i++) st.by_name[i] = &st.tensors[i];
    qsort(st.by_name, (size_t)st.count, sizeof *st.by_name, by_name);
    *out = st;
done:
    if (status) vlm_safetensors_close(&st);
    return status;
}
vlm_status vlm_safetensors_open(const char *path, vlm_safetensors *out) {
    vlm_map map;
    TRY(vlm_map_open(path, 0, &map));
    vlm_safetensors st;
    vlm_status status = vlm_safetensors_parse(map.data, map.size, path, &st);
    if (status) { vlm_map_close(&map); return status; }
    st.map = map;
    *out = st;
    return VLM_OK;
}
void vlm_safetensors_close(vlm_safetensors *st) {
    json_decref(st->header);
    free(st->tensors);
    free(st->by_name);
    vlm_map_close(&st->map);
    *st = (vlm_safetensors){ 0 };
}
const vlm_tensor *vlm_safetensors_find(const vlm_safetensors *st, const char *name) {
    vlm_tensor key = { .name = name }, *k = &key;
    const vlm_tensor **found = st->count ? bsearch(&k, st->by_name, (size_t)st->count, sizeof *st->by_name, by_name) : NULL;
    return found ? *found : NULL;
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */
struct vlm_safetensors_writer {
    vlm_writer file;
    json_t *metadata, *tensors;        /* tensors: the header's entries in declared order */
    size_t end;                        /* of the data declared so far */
    void *next;                        /* jansson's iterator: the tensor that is due */
    size_t done;                       /* bytes of it that are written */
    bool begun;                        /* the header is out */
};

vlm_status vlm_safetensors_writer_open(const char *path, vlm_safetensors_writer **out) {
    vlm_safetensors_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->metadata = json_object()) || !(w->tensors = json_object())) {
        vlm_safetensors_writer_cancel(w);
        return vlm_fail_memory(path, sizeof *w);
    }
    vlm_status status = vlm_writer_open(path, &w->file);
    if (status) vlm_safetensors_writer_cancel(w);
    else *out = w;
    return status;
}
void vlm_safetensors_writer_cancel(vlm_safetensors_writer *w) {
    if (!w) return;
    vlm_writer_cancel(&w->file);
    json_decref(w->metadata);
    json_decref(w->tensors);
    free(w);
}

static vlm_status misuse(const vlm_safetensors_writer *w, const char *name, const char *what) {
    return vlm_fail(VLM_EARG, w->file.path, "tensor %s: %s", name, what);
}
vlm_status vlm_safetensors_writer_metadata(vlm_safetensors_writer *w, const char *key, const char *value) {
    if (w->begun) return vlm_fail(VLM_EARG, w->file.path, "metadata %s after the first data", key);
    if (json_object_set_new(w->metadata, key, json_string(value)))
        return vlm_fail(VLM_EARG, w->file.path, "metadata %s is not UTF-8", key);
    return VLM_OK;
}
vlm_status vlm_safetensors_writer_declare(vlm_safetensors_writer *w, const char *name, vlm_tensor_dtype dtype,
                                          int ndim, const int64_t *shape) {
    size_t bytes, end;
    if (w->begun) return misuse(w, name, "declared after the first data");
    if ((unsigned)dtype >= VLM_T_COUNT || ndim < 0 || ndim > VLM_TENSOR_DIMS)
        return misuse(w, name, "dtype or number of dimensions is out of range");
    if (!strcmp(name, "__metadata__") || json_object_get(w->tensors, name)) return misuse(w, name, "name is declared already or reserved");
    if (!shape_bytes(dtype, ndim, shape, &bytes) || __builtin_add_overflow(w->end, bytes, &end) || end > INT64_MAX)
        return misuse(w, name, "shape is negative or too large");
    json_t *dims = json_array();
    for (int i = 0; i < ndim; i++) json_array_append_new(dims, json_integer(shape[i]));
    json_t *v = json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtypes[dtype].name, "shape", dims,
                          "data_offsets", (json_int_t)w->end, (json_int_t)end);
    if (!v) return vlm_fail_memory(w->file.path, 1000);
    if (json_object_set_new(w->tensors, name, v)) return misuse(w, name, "name is not UTF-8");
    w->end = end;
    return VLM_OK;
}

/* Bytes of the tensor that is due. */
static size_t due(const vlm_safetensors_writer *w) {
    const json_t *range = json_object_get(json_object_iter_value(w->next), "data_offsets");
    return (size_t)(json_integer_value(json_array_get(range, 1)) - json_integer_value(json_array_get(range, 0)));
}
static void skip_complete(vlm_safetensors_writer *w) {
    while (w->next && w->done == due(w)) {
        w->next = json_object_iter_next(w->tensors, w->next);
        w->done = 0;
    }
}
static vlm_status begin(vlm_safetensors_writer *w) {
    vlm_status status = VLM_OK;
    json_t *header = json_object();
    char *text = NULL;
    if (!header || (json_object_size(w->metadata) && json_object_set(header, "__metadata__", w->metadata)) ||
        json_object_update(header, w->tensors) || !(text = json_dumps(header, JSON_COMPACT))) status = vlm_fail_memory(w->file.path, 1000);
    else {
        uint64_t n = strlen(text), padded = ((8 + n + 63) & ~(uint64_t)63) - 8;
        if (padded > HEADER_LIMIT)
            status = vlm_fail(VLM_ELIMIT, w->file.path, "needs a header of %" PRIu64 " bytes, the format allows %d", padded, HEADER_LIMIT);
        else if (fwrite(&padded, 8, 1, w->file.f) != 1 || fwrite(text, n, 1, w->file.f) != 1 ||
                 fprintf(w->file.f, "%*s", (int)(padded - n), "") < 0) status = vlm_fail_errno(w->file.path, "write");
    }
    free(text);
    json_decref(header);
    if (status) return status;
    w->begun = true;
    w->next = json_object_iter(w->tensors);
    skip_complete(w);
    return VLM_OK;
}
vlm_status vlm_safetensors_writer_put(vlm_safetensors_writer *w, const char *name, const void *data, size_t bytes) {
    if (!w->begun) TRY(begin(w));
    if (!bytes) return VLM_OK;
    const char *want = w->next ? json_object_iter_key(w->next) : NULL;
    if (!want || strcmp(want, name))
        return vlm_fail(VLM_EARG, w->file.path, "data of tensor %s, expected %s", name, want ? want : "no more");
    if (bytes > due(w) - w->done) return misuse(w, name, "more data than its shape takes");
    if (fwrite(data, 1, bytes, w->file.f) != bytes) return vlm_fail_errno(w->file.path, "write");
    w->done += bytes;
    skip_complete(w);
    return VLM_OK;
}
vlm_status vlm_safetensors_writer_put_float(vlm_safetensors_writer *w, const char *name, const float *x, int64_t n) {
    enum { CHUNK = 4096 };
    uint16_t half[CHUNK];
    const char *dtype = json_string_value(json_object_get(json_object_get(w->tensors, name), "dtype"));
    bool bf16 = dtype && !strcmp(dtype, "BF16"), f16 = dtype && !strcmp(dtype, "F16");
    if (!bf16 && !f16 && (!dtype || strcmp(dtype, "F32"))) return misuse(w, name, "floats for a tensor that is not F32, BF16 or F16");
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK, bad = m;
        for (int64_t k = 0; k < m; k++) {
            if (bf16 || f16) half[k] = bf16 ? vlm_float_bf16(x[i + k]) : vlm_float_f16(x[i + k]);
            float y = bf16 ? vlm_bf16_float(half[k]) : f16 ? vlm_f16_float(half[k]) : x[i + k];
            if (bad == m && !(y - y == 0)) bad = k;
        }
        if (bad < m && x[i + bad] - x[i + bad] == 0)
            return vlm_fail(VLM_EFORMAT, w->file.path, "tensor %s has the value %g, more than %s can hold; choose bf16 or f32",
                            name, (double)x[i + bad], dtype);
        if (bad < m) return vlm_fail(VLM_EFORMAT, w->file.path, "tensor %s has NaN or infinite values; they are not written", name);
        TRY(vlm_safetensors_writer_put(w, name, bf16 || f16 ? (const void *)half : x + i, (size_t)m * (bf16 || f16 ? 2 : 4)));
    }
    return VLM_OK;
}
vlm_status vlm_safetensors_writer_commit(vlm_safetensors_writer *w) {
    vlm_status status = w->begun ? VLM_OK : begin(w);
    if (!status && w->next)
        status = vlm_fail(VLM_EARG, w->file.path, "tensor %s has %zu of %zu bytes", json_object_iter_key(w->next), w->done, due(w));
    if (!status) status = vlm_writer_commit(&w->file);
    vlm_safetensors_writer_cancel(w);
    return status;
}

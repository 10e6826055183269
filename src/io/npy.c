#include "io/npy.h"
#include "ops/ops.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 1 << 16 };
static const struct { const char *descr; vlm_tensor_dtype dtype; } descrs[] = {
    { "<f4", VLM_T_F32 }, { "<f8", VLM_T_F64 }, { "<f2", VLM_T_F16 }, { "<i8", VLM_T_I64 }, { "<i4", VLM_T_I32 }, { "|u1", VLM_T_U8 },
};
enum { DESCRS = sizeof descrs / sizeof *descrs };

/* ---- Reading: the dict, exactly as NumPy and its imitators write it; no Python beyond that ---------------------------- */
typedef struct cursor { const char *p, *end; } cursor;

static void blanks(cursor *c) { while (c->p < c->end && *c->p == ' ') c->p++; }
static bool eat(cursor *c, const char *word) {
    size_t n = strlen(word);
    blanks(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n)) return false;
    c->p += n;
    return true;
}
/* 'text' or "text" without escapes, cut to the buffer's size (nothing we know is that long). */
static bool eat_string(cursor *c, char *buf, size_t size) {
    blanks(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"')) return false;
    const char quote = *c->p++, *from = c->p;
    while (c->p < c->end && *c->p != quote && *c->p != '\\' && *c->p >= ' ') c->p++;
    if (c->p == c->end || *c->p != quote) return false;
    snprintf(buf, size, "%.*s", (int)(c->p++ - from), from);
    return true;
}
static bool eat_size(cursor *c, int64_t *out) {
    int64_t n = 0;
    blanks(c);
    const char *from = c->p;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c->p - '0', &n)) return false;
    *out = n;
    return c->p > from;
}

static vlm_status bad(const char *where, const char *what) {
    return vlm_fail(VLM_EFORMAT, where, "%s; write it again with numpy.save", what);
}
static vlm_status read_descr(const char *where, cursor *c, vlm_tensor *t) {
    char descr[32];
    if (!eat_string(c, descr, sizeof descr))
        return vlm_fail(VLM_EUNSUPPORTED, where, "its descr is no plain type (structured array?); save one plain array");
    for (int i = 0; i < DESCRS; i++)
        if (!strcmp(descr, descrs[i].descr) || (descrs[i].dtype == VLM_T_U8 && !strcmp(descr, "<u1"))) {
            t->dtype = descrs[i].dtype;
            return VLM_OK;
        }
    if (descr[0] == '>') return vlm_fail(VLM_EUNSUPPORTED, where, "has dtype %s, big-endian; save it little-endian", descr);
    return vlm_fail(VLM_EUNSUPPORTED, where, "has dtype %s, read are <f4 <f8 <f2 <i8 <i4 |u1; convert it with astype", descr);
}
static vlm_status read_shape(const char *where, cursor *c, vlm_tensor *t) {
    bool comma = true;
    if (!eat(c, "(")) return bad(where, "its shape is no tuple");
    while (!eat(c, ")")) {
        if (t->ndim == VLM_TENSOR_DIMS) return vlm_fail(VLM_ELIMIT, where, "has more than %d dimensions; reshape it", VLM_TENSOR_DIMS);
        if (!comma || !eat_size(c, &t->shape[t->ndim])) return bad(where, "its shape is no tuple of sizes");
        t->ndim++;
        comma = eat(c, ",");
    }
    return t->ndim == 1 && !comma ? bad(where, "its shape is no tuple") : VLM_OK;      /* (3) is a number */
}
static vlm_status read_dict(const char *where, cursor c, vlm_tensor *t) {
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    unsigned seen = 0;
    bool comma = true;
    if (!eat(&c, "{")) return bad(where, "its header is no dict");
    while (!eat(&c, "}")) {
        char key[32];
        int k = 0;
        if (!comma || !eat_string(&c, key, sizeof key) || !eat(&c, ":"))
            return bad(where, "its header is no dict of descr, fortran_order and shape");
        while (k < 3 && strcmp(key, keys[k])) k++;
        if (k == 3 || seen >> k & 1)
            return vlm_fail(VLM_EFORMAT, where, "its header has the %s key %s; write it again with numpy.save",
                            k == 3 ? "unknown" : "repeated", key);
        seen |= 1u << k;
        if (k == 0) TRY(read_descr(where, &c, t));
        else if (k == 2) TRY(read_shape(where, &c, t));
        else if (eat(&c, "True")) return vlm_fail(VLM_EUNSUPPORTED, where, "is in Fortran order; save numpy.ascontiguousarray of it");
        else if (!eat(&c, "False")) return bad(where, "its fortran_order is neither True nor False");
        comma = eat(&c, ",");
    }
    if (seen != 7) return bad(where, "its header lacks one of descr, fortran_order and shape");
    blanks(&c);
    if (c.p < c.end && *c.p == '\n') c.p++;
    return c.p == c.end ? VLM_OK : bad(where, "its header goes on after the dict");
}

vlm_status vlm_npy_parse(const unsigned char *data, size_t size, const char *where, vlm_npy *out) {
    vlm_tensor t = { .ndim = 0 };
    char shape[VLM_SHAPE_CHARS];
    if (size < 10 || memcmp(data, "\x93NUMPY", 6)) return bad(where, "is not an .npy file");
    if ((data[6] != 1 && data[6] != 2) || data[7])
        return vlm_fail(VLM_EUNSUPPORTED, where, "is .npy version %d.%d, read are 1.0 and 2.0; write it again with numpy.save",
                        data[6], data[7]);
    size_t start = data[6] == 1 ? 10 : 12, n = 0;
    if (size < start) return bad(where, "is cut short in its header");
    for (size_t i = start; i-- > 8;) n = n << 8 | data[i];
    if (n > HEADER_LIMIT)
        return vlm_fail(VLM_ELIMIT, where, "has a header of %zu bytes, over the limit of %d; get the file again", n, HEADER_LIMIT);
    if (n > size - start) return bad(where, "is cut short in its header");
    TRY(read_dict(where, (cursor){ (const char *)data + start, (const char *)data + start + n }, &t));

    int64_t bytes = (int64_t)vlm_tensor_dtype_bytes(t.dtype);
    for (int i = 0; i < t.ndim; i++)
        if (__builtin_mul_overflow(bytes, t.shape[i], &bytes)) bytes = -1, i = t.ndim;
    vlm_shape_string(t.ndim, t.shape, shape);
    if (bytes < 0 || (uint64_t)bytes != size - start - n)
        return vlm_fail(VLM_EFORMAT, where, "of shape %s and dtype %s takes %s%" PRId64 " bytes of data, it holds %zu; get the file again",
                        shape, vlm_tensor_dtype_name(t.dtype), bytes < 0 ? "over " : "", bytes < 0 ? INT64_MAX : bytes, size - start - n);
    t.data = data + start + n;
    t.bytes = (size_t)bytes;
    char *name = strdup(where);
    if (!name) return vlm_fail_memory(where, strlen(where));
    t.name = name;
    *out = (vlm_npy){ .t = t, .name = name };
    return VLM_OK;
}
vlm_status vlm_npy_open(const char *path, vlm_npy *out) {
    vlm_map map;
    vlm_npy npy;
    TRY(vlm_map_open(path, 0, &map));
    vlm_status status = vlm_npy_parse(map.data, map.size, path, &npy);
    if (status) { vlm_map_close(&map); return status; }
    npy.map = map;
    *out = npy;
    return VLM_OK;
}
void vlm_npy_close(vlm_npy *npy) {
    vlm_map_close(&npy->map);
    free(npy->name);
    *npy = (vlm_npy){ 0 };
}

int64_t vlm_npy_int(const vlm_npy *npy, int64_t i) {
    int64_t n;
    int32_t h;
    switch (npy->t.dtype) {
    case VLM_T_I64: memcpy(&n, npy->t.data + 8 * i, 8); return n;
    case VLM_T_I32: memcpy(&h, npy->t.data + 4 * i, 4); return h;
    case VLM_T_U8:  return npy->t.data[i];
    default:        return 0;
    }
}
double vlm_npy_at(const vlm_npy *npy, int64_t i) {
    float f;
    double d;
    uint16_t h;
    switch (npy->t.dtype) {
    case VLM_T_F32: memcpy(&f, npy->t.data + 4 * i, 4); return f;
    case VLM_T_F64: memcpy(&d, npy->t.data + 8 * i, 8); return d;
    case VLM_T_F16: memcpy(&h, npy->t.data + 2 * i, 2); return vlm_f16_float(h);
    default:        return (double)vlm_npy_int(npy, i);
    }
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */
vlm_status vlm_npy_writer_open(const char *path, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, vlm_npy_writer *out) {
    char head[512] = "\x93NUMPY\x01";
    int k = 0, n = 10;
    while (k < DESCRS && descrs[k].dtype != dtype) k++;
    if (k == DESCRS || ndim < 0 || ndim > VLM_TENSOR_DIMS)
        return vlm_fail(VLM_EARG, path, "no .npy of this dtype or number of dimensions");
    int64_t bytes = (int64_t)vlm_tensor_dtype_bytes(dtype);
    n += snprintf(head + n, sizeof head - (size_t)n, "{'descr': '%s', 'fortran_order': False, 'shape': (", descrs[k].descr);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0 || __builtin_mul_overflow(bytes, shape[i], &bytes))
            return vlm_fail(VLM_EARG, path, "shape is negative or too large");
        n += snprintf(head + n, sizeof head - (size_t)n, "%s%" PRId64 "%s", i ? " " : "", shape[i], i + 1 < ndim || ndim == 1 ? "," : "");
    }
    n += snprintf(head + n, sizeof head - (size_t)n, "), }");
    while ((n + 1) % 64) head[n++] = ' ';
    head[n++] = '\n';
    head[8] = (char)((n - 10) & 255);
    head[9] = (char)((n - 10) >> 8);
    vlm_npy_writer w = { .left = (size_t)bytes };
    TRY(vlm_writer_open(path, &w.file));
    if (fwrite(head, 1, (size_t)n, w.file.f) != (size_t)n) {
        vlm_status status = vlm_fail_errno(path, "write");
        vlm_writer_cancel(&w.file);
        return status;
    }
    *out = w;
    return VLM_OK;
}
vlm_status vlm_npy_writer_append(vlm_npy_writer *w, const void *data, size_t bytes) {
    if (bytes > w->left) return vlm_fail(VLM_EARG, w->file.path, "%zu bytes more than the shape takes", bytes - w->left);
    if (bytes && fwrite(data, 1, bytes, w->file.f) != bytes) return vlm_fail_errno(w->file.path, "write");
    w->left -= bytes;
    return VLM_OK;
}
vlm_status vlm_npy_writer_commit(vlm_npy_writer *w) {
    if (!w->left) return vlm_writer_commit(&w->file);
    vlm_status status = vlm_fail(VLM_EARG, w->file.path, "%zu bytes fewer than the shape takes", w->left);
    vlm_npy_writer_cancel(w);
    return status;
}
void vlm_npy_writer_cancel(vlm_npy_writer *w) { vlm_writer_cancel(&w->file); }
vlm_status vlm_npy_write(const char *path, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, const void *data) {
    vlm_npy_writer w;
    TRY(vlm_npy_writer_open(path, dtype, ndim, shape, &w));
    vlm_status status = vlm_npy_writer_append(&w, data, w.left);
    if (!status) return vlm_npy_writer_commit(&w);
    vlm_npy_writer_cancel(&w);
    return status;
}

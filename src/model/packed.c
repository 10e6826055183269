#include "model/packed.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20 };              /* values on their way at a time, unless one panel has more */
static const char version[] = "1", key_version[] = "vlm_packed", key_embedding[] = "embedding";

/* "NAME.panels.TYPE" */
static void panels_name(char out[256], const vlm_param *p, vlm_dtype t) { snprintf(out, 256, "%s.panels.%s", p->name, vlm_dtype_name(t)); }
static bool begins_operand(const vlm_param *p) { return p->mat && !p->row && !p->tied; }
static bool is_vector(const vlm_param *p) { return p->vec && !p->tied; }
static bool too_wide(const vlm_mat *m) { return vlm_dtype_quantized(m->dtype) && m->cols > VLM_QUANT_COLS; }
static void panels_shape(const vlm_mat *m, int64_t shape[2]) {
    shape[0] = (m->rows + VLM_PANEL - 1) / VLM_PANEL;
    shape[1] = vlm_panel_bytes(m->dtype, m->cols);
}
static const char *rows_cols(const vlm_mat *m, char buf[VLM_SHAPE_CHARS]) {
    return vlm_shape_string(2, (int64_t[]){ m->rows, m->cols }, buf);
}

/* ---- Writing ---- */

typedef struct packer {
    const vlm_net *net;
    const vlm_packing *from;
    vlm_ctx *ctx;
    vlm_safetensors_writer *w;
    float *f;                          /* rows of an operand, or of a vector */
    uint16_t *half;                    /* the same in 16 bits */
    unsigned char *panels;
    int64_t bytes;                     /* of all tensors */
} packer;

/* Rows of an operand that go together: whole panels. */
static int64_t chunk_rows(int64_t rows, int64_t cols) {
    int64_t n = CHUNK / cols / VLM_PANEL * VLM_PANEL, all = (rows + VLM_PANEL - 1) / VLM_PANEL * VLM_PANEL;
    return n < VLM_PANEL ? VLM_PANEL : n < all ? n : all;
}
/* Rows [row, row + rows) of the operand whose first parameter is ps->p[i]. */
static vlm_status operand_values(const packer *k, int i, int64_t row, int64_t rows) {
    const vlm_params *ps = &k->net->params;
    const vlm_mat *m = ps->p[i].mat;
    for (; i < ps->n && ps->p[i].mat == m && !ps->p[i].tied; i++) {
        const vlm_param *p = &ps->p[i];
        int64_t lo = row > p->row ? row : p->row, hi = row + rows < p->row + p->shape[0] ? row + rows : p->row + p->shape[0];
        if (lo < hi) TRY(k->from->values(k->from->user, p, lo - p->row, hi - lo, k->f + (lo - row) * m->cols));
    }
    return VLM_OK;
}
/* The nearest of 16 bits. */
static vlm_status to_half(const packer *k, const vlm_param *p, vlm_dtype t, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        k->half[i] = t == VLM_BF16 ? vlm_float_bf16(k->f[i]) : vlm_float_f16(k->f[i]);
        float back = t == VLM_BF16 ? vlm_bf16_float(k->half[i]) : vlm_f16_float(k->half[i]);
        if (back - back != 0 && k->f[i] - k->f[i] == 0)
            return vlm_fail(VLM_EFORMAT, p->name, "has the value %g, more than %s can hold; choose bf16 or f32", (double)k->f[i],
                            vlm_dtype_name(t));
    }
    return VLM_OK;
}
static vlm_status put_operand(packer *k, int i) {
    const vlm_param *p = &k->net->params.p[i];
    vlm_mat all = *p->mat;
    char name[256];
    all.dtype = k->from->dtype(k->from->user, p);
    panels_name(name, p, all.dtype);
    for (int64_t r = 0, n, step = chunk_rows(all.rows, all.cols); r < all.rows; r += step) {
        bool half = all.dtype == VLM_BF16 || all.dtype == VLM_F16;
        int64_t bad = 0;
        n = all.rows - r < step ? all.rows - r : step;
        vlm_mat from = { .dtype = half ? all.dtype : VLM_F32, .layout = VLM_ROWS, .rows = n, .cols = all.cols,
                         .data = half ? (void *)k->half : k->f };
        vlm_mat to = { .dtype = all.dtype, .layout = VLM_PANELS, .rows = n, .cols = all.cols, .data = k->panels };
        TRY(operand_values(k, i, r, n));
        if (half) TRY(to_half(k, p, all.dtype, n * all.cols));
        k->net->ops.linear_pack(k->ctx, &to, 0, &from, &bad);
        if (bad) return vlm_fail(VLM_EFORMAT, p->name, "has %" PRId64 " NaN or infinite values; they are not written", bad);
        TRY(vlm_safetensors_writer_put(k->w, name, k->panels, (size_t)vlm_mat_bytes(&to)));
    }
    return VLM_OK;
}
static vlm_status put_vector(packer *k, const vlm_param *p) {
    int64_t cols = vlm_param_len(p) / p->shape[0], step = chunk_rows(p->shape[0], cols);
    for (int64_t r = 0, n; r < p->shape[0]; r += n) {
        n = p->shape[0] - r < step ? p->shape[0] - r : step;
        TRY(k->from->values(k->from->user, p, r, n, k->f));
        TRY(vlm_safetensors_writer_put_float(k->w, p->name, k->f, n * cols));
    }
    return VLM_OK;
}
/* Every tensor's name, and how much of it there is at a time. */
static vlm_status declare(packer *k, int64_t *values, int64_t *panel_bytes) {
    const vlm_params *ps = &k->net->params;
    int64_t shape[2], n;
    char name[256], size[VLM_SHAPE_CHARS];
    *values = *panel_bytes = 1;
    for (int i = 0; i < ps->n; i++) {
        if (!begins_operand(&ps->p[i])) continue;
        vlm_mat m = *ps->p[i].mat;
        m.dtype = k->from->dtype(k->from->user, &ps->p[i]);
        if (too_wide(&m))
            return vlm_fail(VLM_EUNSUPPORTED, ps->p[i].name, "has %" PRId64 " inputs, whole numbers allow %d; leave this part as it is",
                            m.cols, VLM_QUANT_COLS);
        panels_name(name, &ps->p[i], m.dtype);
        panels_shape(&m, shape);
        k->bytes += vlm_mat_bytes(&m);
        TRY(vlm_safetensors_writer_metadata(k->w, name, rows_cols(&m, size)));
        TRY(vlm_safetensors_writer_declare(k->w, name, VLM_T_U8, 2, shape));
        m.rows = chunk_rows(m.rows, m.cols);
        if ((n = m.rows * m.cols) > *values) *values = n;
        if ((n = vlm_mat_bytes(&m)) > *panel_bytes) *panel_bytes = n;
    }
    for (int i = 0; i < ps->n; i++) {
        const vlm_param *p = &ps->p[i];
        if (!is_vector(p)) continue;
        TRY(vlm_safetensors_writer_declare(k->w, p->name, VLM_T_F32, p->ndim, p->shape));
        n = vlm_param_len(p);
        k->bytes += n * (int64_t)sizeof(float);
        n = n / p->shape[0] * chunk_rows(p->shape[0], n / p->shape[0]);
        if (n > *values) *values = n;
    }
    return VLM_OK;
}

vlm_status vlm_packed_store(const char *path, const vlm_net *net, vlm_ctx *ctx, const vlm_packing *from, int64_t *bytes) {
    const vlm_params *ps = &net->params;
    packer k = { .net = net, .from = from, .ctx = ctx };
    int64_t values, panel_bytes;
    vlm_status status = VLM_OK;
    TRY_DONE(vlm_safetensors_writer_open(path, &k.w));
    TRY_DONE(vlm_safetensors_writer_metadata(k.w, "format", "vlm"));
    TRY_DONE(vlm_safetensors_writer_metadata(k.w, key_version, version));
    TRY_DONE(vlm_safetensors_writer_metadata(k.w, key_embedding, vlm_dtype_name(from->embedding)));
    TRY_DONE(declare(&k, &values, &panel_bytes));
    k.f = malloc((size_t)values * sizeof *k.f);
    k.half = malloc((size_t)values * sizeof *k.half);
    k.panels = aligned_alloc(64, ((size_t)panel_bytes + 63) & ~(size_t)63);
    if (!k.f || !k.half || !k.panels) { status = vlm_fail_memory(path, (size_t)values * 6 + (size_t)panel_bytes); goto done; }
    for (int pass = 0, n = 0; pass < 2; pass++)        /* operands first: each fills whole cache lines, so the next one begins on one */
        for (int i = 0; i < ps->n; i++) {
            if (pass ? !is_vector(&ps->p[i]) : !begins_operand(&ps->p[i])) continue;
            TRY_DONE(pass ? put_vector(&k, &ps->p[i]) : put_operand(&k, i));
            TRY_DONE(vlm_progress("tensors", ++n, ps->n));
        }
    status = vlm_safetensors_writer_commit(k.w);
    k.w = NULL;
    if (!status && bytes) *bytes = k.bytes;
done:
    vlm_safetensors_writer_cancel(k.w);
    free(k.f);
    free(k.half);
    free(k.panels);
    return status;
}

/* ---- Reading ---- */

vlm_status vlm_packed_is(const vlm_weights *w, bool *packed) {
    const char *v = vlm_weights_metadata(w, key_version), *where = vlm_weights_dir(w);
    *packed = v != NULL;
    if (!v || !strcmp(v, version)) return VLM_OK;
    if (*v >= '1' && *v <= '9' && strspn(v, "0123456789") == strlen(v))
        return vlm_fail(VLM_EUNSUPPORTED, where, "holds packed weights of version %s, this program knows %s; use a newer vlm, or make "
                        "the folder again", v, version);
    return vlm_fail(VLM_EFORMAT, where, "holds packed weights whose version \"%s\" is no number; make the folder again", v);
}
vlm_status vlm_packed_refuse(const vlm_net *net, const char *what) {
    if (!net->packed) return VLM_OK;
    return vlm_fail(VLM_EUNSUPPORTED, net->dir, "holds packed weights, which are used as they are and do not serve for %s; "
                    "name the folder that it was made from", what);
}

#define WRONG(t, ...) vlm_tensor_wrong(vlm_weights_file(net->weights, t), (t)->name, "make the folder again", __VA_ARGS__)
static vlm_status missing(const vlm_net *net, const char *name) {
    return vlm_fail(VLM_EFORMAT, net->dir, "tensor %s is missing; make the folder again, or config.json is another model's", name);
}
static vlm_status bind_operand(vlm_net *net, vlm_param *p) {
    vlm_mat *m = p->mat;
    const vlm_tensor *t = NULL;
    char name[256], x[VLM_SHAPE_CHARS], y[VLM_SHAPE_CHARS];
    int64_t shape[2];
    for (m->dtype = VLM_F32; m->dtype <= VLM_G4; m->dtype++) {
        panels_name(name, p, m->dtype);
        if (m->dtype != VLM_F64 && (t = vlm_weights_find(net->weights, name))) break;
    }
    if (!t) {
        snprintf(name, sizeof name, "%s.panels", p->name);
        return missing(net, name);
    }
    if (too_wide(m)) return WRONG(t, "is of whole numbers with %" PRId64 " inputs, %d are allowed", m->cols, VLM_QUANT_COLS);
    panels_shape(m, shape);
    const char *stored = vlm_weights_metadata(net->weights, name);
    rows_cols(m, x);
    if (!stored || strcmp(stored, x))
        return WRONG(t, "holds the panels of a %s matrix, expected %s from config.json", stored ? stored : "nameless", x);
    if (t->dtype != VLM_T_U8) return WRONG(t, "is %s, panels are U8", vlm_tensor_dtype_name(t->dtype));
    if (t->ndim != 2 || t->shape[0] != shape[0] || t->shape[1] != shape[1] || t->bytes != (size_t)vlm_mat_bytes(m))
        return WRONG(t, "has shape %s, expected %s", vlm_shape_string(t->ndim, t->shape, x), vlm_shape_string(2, shape, y));
    if ((uintptr_t)t->data % 64) return WRONG(t, "does not begin on a multiple of 64 bytes");
    p->panels = t;
    return VLM_OK;
}
static vlm_status bind_vector(vlm_net *net, vlm_param *p) {
    const vlm_tensor *t = vlm_weights_find(net->weights, p->name);
    char x[VLM_SHAPE_CHARS], y[VLM_SHAPE_CHARS];
    if (!t) return missing(net, p->name);
    bool same = t->ndim == p->ndim;
    for (int i = 0; same && i < p->ndim; i++) same = t->shape[i] == p->shape[i];
    if (!same)
        return WRONG(t, "has shape %s, expected %s from config.json", vlm_shape_string(t->ndim, t->shape, x),
                     vlm_shape_string(p->ndim, p->shape, y));
    if (t->dtype != VLM_T_F32) return WRONG(t, "is %s, vectors are F32", vlm_tensor_dtype_name(t->dtype));
    p->parts = 1;
    p->part[0] = t;
    return VLM_OK;
}
vlm_status vlm_packed_bind(vlm_net *net, vlm_dtype *embedding) {
    vlm_params *ps = &net->params;
    const char *e = vlm_weights_metadata(net->weights, key_embedding);
    vlm_dtype type = VLM_F32;
    while (type <= VLM_BF16 && (!e || strcmp(e, vlm_dtype_name(type)))) type++;
    if (type > VLM_BF16)
        return vlm_fail(VLM_EFORMAT, net->dir, "packed weights say \"%s\" of the embedding's type, f32, f16 or bf16 are known; "
                        "make the folder again", e ? e : "nothing");
    for (int i = 0; i < ps->n; i++) {
        if (begins_operand(&ps->p[i])) TRY(bind_operand(net, &ps->p[i]));
        else if (is_vector(&ps->p[i])) TRY(bind_vector(net, &ps->p[i]));
    }
    for (int64_t i = 0; i < vlm_weights_count(net->weights); i++) {
        const vlm_tensor *t = vlm_weights_at(net->weights, i);
        bool used = false;
        for (int j = 0; j < ps->n && !used; j++) used = ps->p[j].panels == t || (ps->p[j].parts && ps->p[j].part[0] == t);
        if (!used) return WRONG(t, "is there, but config.json says that the model has none such");
    }
    *embedding = type;
    return VLM_OK;
}

#include "model/param.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vlm_group_name(vlm_group g) {
    static const char *const names[VLM_GROUPS] = { "vision", "projector", "language" };
    return names[g];
}

const char *vlm_dtype_name(vlm_dtype t) {
    static const char *const names[] = { "f32", "f16", "bf16", "f64", "i8", "g8", "g4" };
    return names[t];
}

static vlm_param *add(vlm_params *ps, vlm_group g, int64_t row, const int64_t *dims, const char *fmt, va_list args) {
    static _Thread_local vlm_param none;       /* when memory is out: written to, never read */
    if (ps->n == ps->room) {
        int room = ps->room ? ps->room * 2 : 256;
        vlm_param *p = realloc(ps->p, (size_t)room * sizeof *p);
        if (!p) { ps->failed = true; return &none; }
        ps->p = p;
        ps->room = room;
    }
    vlm_param *p = &ps->p[ps->n++];
    *p = (vlm_param){ .group = g, .row = row };
    for (; dims[p->ndim]; p->ndim++) p->shape[p->ndim] = dims[p->ndim];
    vsnprintf(p->name, sizeof p->name, fmt, args);
    return p;
}
void vlm_params_mat(vlm_params *ps, vlm_group g, vlm_mat *mat, int64_t row, const int64_t *dims, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vlm_param *p = add(ps, g, row, dims, fmt, args);
    va_end(args);
    p->mat = mat;
    if (row == 0) *mat = (vlm_mat){ .layout = VLM_PANELS };
    if (mat->rows < row + dims[0]) mat->rows = row + dims[0];
    mat->cols = vlm_param_len(p) / dims[0];
}
void vlm_params_vec(vlm_params *ps, vlm_group g, real **vec, int64_t row, const int64_t *dims, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vlm_param *p = add(ps, g, row, dims, fmt, args);
    va_end(args);
    p->vec = vec;
}
vlm_status vlm_params_check(const vlm_params *ps) {
    return ps->failed ? vlm_fail_memory("the list of parameters", (size_t)ps->room * 2 * sizeof *ps->p) : VLM_OK;
}
void vlm_params_free(vlm_params *ps) {
    free(ps->p);
    *ps = (vlm_params){ 0 };
}
int64_t vlm_param_len(const vlm_param *p) {
    int64_t n = 1;
    for (int i = 0; i < p->ndim; i++) n *= p->shape[i];
    return n;
}
vlm_param *vlm_params_find(const vlm_params *ps, const char *name) {
    for (int i = 0; i < ps->n; i++)
        if (!strcmp(ps->p[i].name, name)) return &ps->p[i];
    return NULL;
}

/* A fused operand's parameters stand one after another in the list: its first one stands for all. */
static int64_t operand_len(const vlm_params *ps, int i) {
    const vlm_param *p = &ps->p[i];
    int64_t n = vlm_param_len(p);
    if (p->mat) return vlm_mat_len(p->mat);
    for (int j = i + 1; j < ps->n && ps->p[j].vec == p->vec; j++) n += vlm_param_len(&ps->p[j]);
    return n;
}
int64_t vlm_params_operand_bytes(const vlm_params *ps, int i) {
    return ps->p[i].mat ? vlm_mat_bytes(ps->p[i].mat) : operand_len(ps, i) * (int64_t)sizeof(real);
}
void vlm_params_place(vlm_params *ps, vlm_arena *a, unsigned groups) {
    for (int i = 0; i < ps->n; i++) {
        vlm_param *p = &ps->p[i];
        void *data = NULL;
        if (p->row || p->tied) continue;
        if (p->panels) data = (void *)(uintptr_t)p->panels->data;      /* read only, as all weights are */
        else if (groups & 1u << p->group)
            data = vlm_arena_take(a, 1, (const int64_t[]){ vlm_params_operand_bytes(ps, i) }, 1);
        if (p->mat) p->mat->data = data;
        else *p->vec = data;
    }
}
bool vlm_params_operand(const vlm_params *ps, int i, void **data, int64_t *n) {
    const vlm_param *p = &ps->p[i];
    if (p->row || p->tied) return false;
    *data = p->mat ? p->mat->data : *p->vec;
    *n = operand_len(ps, i);
    return true;
}

/* ---- Loading ---- */

static vlm_status wrong_values(const vlm_weights *w, const vlm_tensor *t, int64_t n) {
    return vlm_fail(VLM_EFORMAT, vlm_weights_file(w, t), "tensor %s holds %" PRId64 " NaN or infinite value%s; "
                    "get the weights again or save them from a sound run", t->name, n, n == 1 ? "" : "s");
}
/* n values of the tensor as float, in memory of ours: the caller frees. */
static vlm_status to_float(const vlm_weights *w, const vlm_tensor *t, int64_t first, int64_t n, float **out) {
    float *f = malloc((size_t)n * sizeof *f + 1);
    if (!f) return vlm_fail_memory(t->name, (size_t)n * sizeof *f);
    vlm_status status = vlm_tensor_to_float(t, first, n, f);
    int64_t bad = 0;
    for (int64_t i = 0; !status && i < n; i++) bad += !(f[i] - f[i] == 0);
    if (!status && bad) status = wrong_values(w, t, bad);
    if (status) { free(f); return status; }
    *out = f;
    return VLM_OK;
}
static bool is_dtype(const vlm_tensor *t, vlm_dtype d) {
    return (t->dtype == VLM_T_F32 && d == VLM_F32) || (t->dtype == VLM_T_BF16 && d == VLM_BF16) || (t->dtype == VLM_T_F16 && d == VLM_F16);
}

static vlm_status load_mat(vlm_param *p, int64_t row, int64_t rows, const vlm_tensor *t, vlm_ctx *ctx, const vlm_ops *ops,
                           const vlm_weights *w) {
    int64_t bad = 0;
    float *f = NULL;
    vlm_mat from = { .dtype = p->mat->dtype, .layout = VLM_ROWS, .rows = rows, .cols = p->mat->cols, .data = NULL };
    from.data = (void *)(uintptr_t)(t->data + (size_t)(p->first * from.cols) * vlm_tensor_dtype_bytes(t->dtype));
    if (!is_dtype(t, p->mat->dtype)) {         /* operands of mixed types became f32 */
        TRY(to_float(w, t, p->first * from.cols, rows * from.cols, &f));
        from.dtype = VLM_F32;
        from.data = f;
    }
    ops->linear_pack(ctx, p->mat, row, &from, &bad);
    free(f);
    vlm_weights_forget(w, t);
    return bad ? wrong_values(w, t, bad) : VLM_OK;
}
static vlm_status load_vec(vlm_param *p, int64_t row, int64_t n, const vlm_tensor *t, vlm_ctx *ctx, const vlm_ops *ops,
                           const vlm_weights *w) {
    float *f;
    TRY(to_float(w, t, p->first, n, &f));
    ops->upload(ctx, act_at(*p->vec, row), f, (size_t)n * sizeof *f);
    ops->sync(ctx);
    free(f);
    return VLM_OK;
}

vlm_status vlm_params_load(vlm_params *ps, vlm_ctx *ctx, const vlm_ops *ops, const vlm_weights *w) {
    for (int i = 0; i < ps->n; i++) {
        vlm_param *p = &ps->p[i];
        if (p->tied || !p->parts) continue;    /* without parts: packed */
        int64_t rows = p->shape[0] / p->parts, n = vlm_param_len(p) / p->parts;
        for (int j = 0; j < p->parts; j++) {
            const vlm_tensor *t = p->part[j];
            if (!t) ops->zero(ctx, act_at(*p->vec, p->row + j * n), (size_t)n * sizeof(real));      /* only vectors may be absent */
            else if (p->mat) TRY(load_mat(p, p->row + j * rows, rows, t, ctx, ops, w));
            else TRY(load_vec(p, p->row + j * n, n, t, ctx, ops, w));
        }
        TRY(vlm_progress("tensors", i + 1, ps->n));
    }
    return VLM_OK;
}

/* ---- Out again ---- */

vlm_status vlm_params_source(const vlm_param *p, const vlm_weights *w, int64_t row, int64_t rows, float *out) {
    int64_t each = p->shape[0] / p->parts, cols = vlm_param_len(p) / p->shape[0];
    for (int j = 0; j < p->parts; j++) {
        int64_t from = row > j * each ? row : j * each, to = row + rows < (j + 1) * each ? row + rows : (j + 1) * each;
        if (from >= to) continue;
        float *o = out + (from - row) * cols;
        int64_t n = (to - from) * cols, bad = 0;
        if (!p->part[j]) { memset(o, 0, (size_t)n * sizeof *o); continue; }
        TRY(vlm_tensor_to_float(p->part[j], (p->first + from - j * each) * cols, n, o));
        for (int64_t i = 0; i < n; i++) bad += !(o[i] - o[i] == 0);
        if (bad) return wrong_values(w, p->part[j], bad);
    }
    return VLM_OK;
}

vlm_status vlm_params_grown(const vlm_param *p, const vlm_weights *w, int64_t row, int64_t rows, float *out) {
    int64_t old = p->shape[0], C = vlm_param_len(p) / old, had = row + rows < old ? rows : row < old ? old - row : 0;
    if (had) TRY(vlm_params_source(p, w, row, had, out));
    if (had == rows) return VLM_OK;
    double *sum = calloc((size_t)C, sizeof *sum);
    float *one = malloc((size_t)C * sizeof *one);
    vlm_status status = sum && one ? VLM_OK : vlm_fail_memory(p->name, (size_t)C * (sizeof *sum + sizeof *one));
    for (int64_t r = 0; !status && r < old; r++) {
        status = vlm_params_source(p, w, r, 1, one);
        for (int64_t c = 0; !status && c < C; c++) sum[c] += one[c];
    }
    for (int64_t i = had * C; !status && i < rows * C; i++) out[i] = (float)(sum[i % C] / (double)old);
    free(sum);
    free(one);
    return status;
}

static float element(const vlm_mat *m, int64_t r, int64_t c) {
    if (vlm_dtype_quantized(m->dtype)) {
        float scale;
        int q = vlm_quant_at(m, r, c, &scale);
        return scale * (float)q;
    }
    int64_t i = vlm_mat_at(m, r, c);
    return m->dtype == VLM_F32 ? ((const float *)m->data)[i] : m->dtype == VLM_BF16 ? vlm_bf16_float(((const uint16_t *)m->data)[i])
                                                                                    : vlm_f16_float(((const uint16_t *)m->data)[i]);
}
vlm_status vlm_params_values(const vlm_param *p, vlm_ctx *ctx, const vlm_ops *ops, int64_t row, int64_t rows, float *out) {
    if (!p->mat) {
        int64_t cols = vlm_param_len(p) / p->shape[0];
        ops->download(ctx, out, act_at(*p->vec, p->row + row * cols), (size_t)(rows * cols) * sizeof *out);
        ops->sync(ctx);
        return VLM_OK;
    }
    const vlm_mat *m = p->mat;
    int64_t K = m->cols, first = p->row + row, end = first + rows;
    size_t bytes = (size_t)vlm_panel_bytes(m->dtype, K);
    void *panel = malloc(bytes + 1);
    if (!panel) return vlm_fail_memory(p->name, bytes);
    vlm_mat one = { .dtype = m->dtype, .layout = VLM_PANELS, .rows = VLM_PANEL, .cols = K, .data = panel };
    for (int64_t i = first / VLM_PANEL; i * VLM_PANEL < end; i++) {
        ops->download(ctx, panel, (const char *)m->data + (size_t)i * bytes, bytes);
        ops->sync(ctx);
        int64_t from = i * VLM_PANEL > first ? i * VLM_PANEL : first, to = (i + 1) * VLM_PANEL < end ? (i + 1) * VLM_PANEL : end;
        for (int64_t r = from; r < to; r++)
            for (int64_t k = 0; k < K; k++) out[(r - first) * K + k] = element(&one, r % VLM_PANEL, k);
    }
    free(panel);
    return VLM_OK;
}

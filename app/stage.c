#include "stage.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *stage_path(const char *dir, const char *name) {
    char file[96];
    snprintf(file, sizeof file, "%s.npy", name);
    return vlm_join(dir, file);
}
vlm_status vlm_stage_open(const char *dir, const char *name, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, vlm_stage *out) {
    vlm_stage s = { .dtype = dtype, .ndim = ndim, .min = INFINITY, .max = -INFINITY };
    char *path = stage_path(dir, name);
    if (!path) return vlm_fail_memory(name, strlen(dir));
    snprintf(s.name, sizeof s.name, "%s", name);
    memcpy(s.shape, shape, (size_t)ndim * sizeof *shape);
    vlm_status status = vlm_npy_writer_open(path, dtype, ndim, shape, &s.file);
    free(path);
    if (!status) *out = s;
    return status;
}
vlm_status vlm_stage_append(vlm_stage *s, const void *data, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double v = s->dtype == VLM_T_U8    ? ((const uint8_t *)data)[i]
                   : s->dtype == VLM_T_I64 ? (double)((const int64_t *)data)[i]
                                           : (double)((const float *)data)[i];
        if (!(v >= s->min)) s->min = v;        /* a NaN stays */
        if (!(v <= s->max)) s->max = v;
        s->sum += v;
        s->squares += v * v;
    }
    s->n += n;
    return vlm_npy_writer_append(&s->file, data, (size_t)n * vlm_tensor_dtype_bytes(s->dtype));
}
vlm_status vlm_stage_close(vlm_stage *s, json_t *stages) {
    double n = s->n ? (double)s->n : 1;
    vlm_status status = vlm_npy_writer_commit(&s->file);
    if (!s->n) s->min = s->max = 0;
    json_t *j = json_pack("{s:s,s:o,s:f,s:f,s:f,s:f}", "name", s->name, "shape", vlm_json_ints(s->shape, (size_t)s->ndim), "min", s->min,
                          "max", s->max, "mean", s->sum / n, "rms", sqrt(s->squares / n));
    if (!status && !j) status = vlm_fail(VLM_EFORMAT, s->name, "holds NaN or infinity; look at the weights with vlm inspect --tensors");
    if (j) json_array_append_new(stages, j);
    return status;
}
void vlm_stage_cancel(vlm_stage *s) { vlm_npy_writer_cancel(&s->file); }
vlm_status vlm_stage_write(const char *dir, const char *name, vlm_tensor_dtype dtype, int ndim, const int64_t *shape, const void *data,
                           json_t *stages) {
    vlm_stage s;
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    TRY(vlm_stage_open(dir, name, dtype, ndim, shape, &s));
    vlm_status status = vlm_stage_append(&s, data, n);
    if (status) { vlm_stage_cancel(&s); return status; }
    return vlm_stage_close(&s, stages);
}

/* ---- comparison --------------------------------------------------------------------------------------------------------- */
static int rank(const char *name) {            /* images first, in the order of the pass */
    static const char *const parts[] = { ".u8", ".pixels", ".prefix", ".patches", ".tokens" }, *const rest[] = { "ids", "embed", "hidden",
                                                                                                                 "logits" };
    size_t n = strcspn(name, "0123456789");
    int r = 900;
    if (!strncmp(name, "image.", 6)) {
        r = atoi(name + n) % 100 * 8;
        for (int i = 0; i < 5; i++) if (strstr(name, parts[i])) r += i;
    }
    for (int i = 0; i < 4; i++) if (!strncmp(name, rest[i], strlen(rest[i]))) r = 800 + i;
    return r;
}
static int by_rank(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    return rank(x) != rank(y) ? rank(x) - rank(y) : strcmp(x, y);
}
/* The names of dir's arrays. */
static vlm_status list(const char *dir, char ***out, int *count) {
    DIR *d = opendir(dir);
    struct dirent *e;
    char **names = NULL;
    int n = 0;
    if (!d) return vlm_fail_errno(dir, "open");
    while ((e = readdir(d))) {
        const char *dot = strrchr(e->d_name, '.');
        char **more;
        if (!dot || strcmp(dot, ".npy") || !(more = realloc(names, (size_t)(n + 1) * sizeof *names))) continue;
        names = more;
        if ((names[n] = strndup(e->d_name, (size_t)(dot - e->d_name)))) n++;
    }
    closedir(d);
    if (n) qsort(names, (size_t)n, sizeof *names, by_rank);
    *out = names;
    *count = n;
    return VLM_OK;
}

typedef struct result { double error, rms; bool same_shape, ok; char shape[2][VLM_SHAPE_CHARS]; } result;
static bool is_float(vlm_tensor_dtype t) { return t == VLM_T_F32 || t == VLM_T_F16 || t == VLM_T_F64; }
static void compare(const vlm_npy *h, const vlm_npy *w, double tolerance, result *r) {
    int64_t n = vlm_tensor_len(&w->t);
    double squares = 0;
    vlm_shape_string(h->t.ndim, h->t.shape, r->shape[0]);
    vlm_shape_string(w->t.ndim, w->t.shape, r->shape[1]);
    r->same_shape = h->t.ndim == w->t.ndim && !memcmp(h->t.shape, w->t.shape, (size_t)w->t.ndim * sizeof *w->t.shape) &&
                    is_float(h->t.dtype) == is_float(w->t.dtype);
    if (!r->same_shape) return;
    for (int64_t i = 0; i < n; i++) {
        double x = vlm_npy_at(h, i), y = vlm_npy_at(w, i), d = fabs(x - y);
        if (!is_float(w->t.dtype)) d = vlm_npy_int(h, i) != vlm_npy_int(w, i) && d == 0 ? 1 : d;
        squares += y * y;
        if (!(d <= r->error)) r->error = isnan(d) ? INFINITY : d;      /* NaN is never within */
    }
    r->rms = n ? sqrt(squares / (double)n) : 0;
    r->ok = is_float(w->t.dtype) ? r->error <= tolerance * (r->rms > 1 ? r->rms : 1) : r->error == 0;
}

vlm_status vlm_stages_compare(const char *have, const char *want, double tolerance, vlm_args *a) {
    char **names = NULL;
    int n = 0, compared = 0, bad = 0;
    vlm_table t = { 0 };
    json_t *rows = json_array();
    vlm_status status = VLM_OK;
    TRY(list(want, &names, &n));
    vlm_table_row(&t, "stage\t>shape\t>max error\t>rms\t>error/tolerance\t");
    for (int i = 0; i < n && !status; i++) {
        char *hp = stage_path(have, names[i]), *wp = stage_path(want, names[i]);
        vlm_npy h = { 0 }, w = { 0 };
        result r = { 0 };
        json_t *j = json_pack("{s:o}", "name", vlm_json_text(names[i]));
        if (!hp || !wp || !j) status = vlm_fail_memory(names[i], strlen(want));
        else if (!(status = vlm_npy_open(wp, &w))) {
            bool there = vlm_exists(hp);
            if (there) status = vlm_npy_open(hp, &h);
            if (there && !status) compare(&h, &w, tolerance, &r);
            double part = r.error / (tolerance * (r.rms > 1 ? r.rms : 1));
            if (!there) vlm_table_row(&t, "%s\t-\t-\t-\t-\tMISSING", names[i]);
            else if (!r.same_shape) vlm_table_row(&t, "%s\t%s\t-\t-\t-\tSHAPE %s", names[i], r.shape[0], r.shape[1]);
            else
                vlm_table_row(&t, "%s\t%s\t%.3g\t%.3g\t%.3g\t%s", names[i], r.shape[0], r.error, r.rms,
                              is_float(w.t.dtype) ? part : r.error, r.ok ? "ok" : "OVER");
            json_object_set_new(j, "status", json_string(!there ? "missing" : !r.same_shape ? "shape" : r.ok ? "ok" : "over"));
            if (there && r.same_shape) {
                json_object_set_new(j, "shape", vlm_json_ints(w.t.shape, (size_t)w.t.ndim));
                json_object_set_new(j, "max_error", isfinite(r.error) ? json_real(r.error) : json_null());
                json_object_set_new(j, "rms", isfinite(r.rms) ? json_real(r.rms) : json_null());
                json_object_set_new(j, "ratio", is_float(w.t.dtype) && isfinite(part) ? json_real(part) : json_null());
            }
            compared += there && r.same_shape;
            bad += !r.ok;
        }
        json_array_append_new(rows, j);
        vlm_npy_close(&h);
        vlm_npy_close(&w);
        free(hp);
        free(wp);
    }
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
    if (!status && a->json) {
        status = vlm_json_out(json_pack("{s:O,s:i,s:i,s:f,s:b}", "stages", rows, "compared", compared, "failed", bad, "tolerance",
                                        tolerance, "equal", compared && !bad));
        a->reported = true;
    } else if (!status && n) vlm_table_print(&t, stdout);
    vlm_table_free(&t);
    json_decref(rows);
    if (status) return status;
    if (!compared && !bad) return vlm_fail(VLM_EFORMAT, want, "holds no stage to compare; name a folder that vlm trace wrote");
    if (bad) return vlm_fail(VLM_EFORMAT, want, "%d of %d stages differ; see the rows, or raise --tolerance", bad, n);
    return VLM_OK;
}

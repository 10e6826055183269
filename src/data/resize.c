#include "data/resize.h"
#include "base/arena.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* A pass over floats: output i is Σ w[i·taps + j] · source[first[i] + j], j < count[i]. Of bytes: vlm_resample. */
typedef struct pass { int64_t n, taps; int32_t *first, *count; float *w; } pass;

static double reach(int64_t in, int64_t out, double support) {
    double scale = (double)in / (double)out;
    return support * (scale < 1 ? 1 : scale);
}
static int64_t taps_of(int64_t in, int64_t out, double support) { return (int64_t)ceil(reach(in, out, support)) * 2 + 1; }
static vlm_resample bytes_take(vlm_arena *a, int64_t in, int64_t out, double support) {
    enum { STEP = VLM_RESAMPLE_TAPS };
    vlm_resample p = { .n = out, .taps = (taps_of(in, out, support) + STEP - 1) / STEP * STEP };
    VLM_TAKE(a, p.first, out);
    VLM_TAKE(a, p.count, out);
    VLM_TAKE(a, p.low, out, p.taps);
    VLM_TAKE(a, p.high, out, p.taps);
    return p;
}
static pass floats_take(vlm_arena *a, int64_t in, int64_t out) {
    pass p = { .n = out, .taps = taps_of(in, out, 1) };
    VLM_TAKE(a, p.first, out);
    VLM_TAKE(a, p.count, out);
    VLM_TAKE(a, p.w, out, p.taps);
    return p;
}

static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}
static double triangle(double x) { x = fabs(x); return x < 1 ? 1 - x : 0; }

/* The order of the operations is Pillow's: the bits depend on it. Weights are computed twice rather than kept as doubles. */
static void fill_bytes(const vlm_resample *p, int64_t in, vlm_filter filter) {
    double (*kernel)(double) = filter == VLM_BICUBIC ? cubic : triangle;
    double scale = (double)in / (double)p->n, support = reach(in, p->n, filter == VLM_BICUBIC ? 2 : 1);
    double inverse = 1.0 / (scale < 1 ? 1 : scale);
    for (int64_t i = 0; i < p->n; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0, lo = centre - support + 0.5, hi = centre + support + 0.5;
        int64_t first = lo < 0 ? 0 : (int64_t)lo, end = hi > (double)in ? in : (int64_t)hi;
        int16_t *low = p->low + i * p->taps, *high = p->high + i * p->taps;
        for (int64_t x = first; x < end; x++) sum += kernel(((double)x - centre + 0.5) * inverse);
        for (int64_t j = 0; j < p->taps; j++) {
            double v = j < end - first ? kernel(((double)(first + j) - centre + 0.5) * inverse) : 0;
            if (sum != 0) v /= sum;
            int32_t w = (int32_t)(v * (1 << VLM_RESAMPLE_BITS) + (v < 0 ? -0.5 : 0.5));
            low[j] = (int16_t)(w & ((1 << VLM_RESAMPLE_LOW) - 1));
            high[j] = (int16_t)(w >> VLM_RESAMPLE_LOW);
        }
        p->first[i] = (int32_t)first;
        p->count[i] = (int32_t)(end - first);
    }
}
static void fill_floats(const pass *p, int64_t in) {           /* torch: weights in float, centre and window in double of floats */
    float scale = (float)in / (float)p->n, support = scale >= 1 ? scale : 1, inverse = scale >= 1 ? 1 / scale : 1;
    for (int64_t i = 0; i < p->n; i++) {
        float centre = (float)((double)scale * ((double)i + 0.5)), sum = 0;
        double lo = (double)(centre - support) + 0.5, hi = (double)(centre + support) + 0.5;
        int64_t first = lo < 0 ? 0 : (int64_t)lo, end = hi > (double)in ? in : (int64_t)hi;
        if (end - first > p->taps) end = first + p->taps;
        float *w = p->w + i * p->taps;
        for (int64_t x = first; x < end; x++) sum += w[x - first] = (float)triangle(((double)((float)x - centre) + 0.5) * (double)inverse);
        for (int64_t x = first; x < end && sum != 0; x++) w[x - first] /= sum;
        p->first[i] = (int32_t)first;
        p->count[i] = (int32_t)(end - first);
    }
}

/* What a call needs of its workspace: the two passes, and what lies between them. */
typedef struct bytes_job { vlm_resample rows, columns; uint8_t *mid; } bytes_job;          /* mid (sh,dw,3) */
typedef struct job {
    pass rows, columns;        /* rows: along a row, sw to dw; columns: sh to dh */
    const uint8_t *src;
    float *mid, *dst;          /* (3,sh,dw) and (3,dh,dw) */
    int64_t sh, sw, dh, dw;
} job;

static bool possible(vlm_arena *a, int64_t sh, int64_t sw, int64_t dh, int64_t dw) {
    if (sh < 1 || sw < 1 || dh < 1 || dw < 1 || sh > INT32_MAX || sw > INT32_MAX || dh > INT32_MAX || dw > INT32_MAX) a->overflow = true;
    return !a->overflow;
}
static void bytes_job_take(vlm_arena *a, bytes_job *k, int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter filter) {
    double support = filter == VLM_BICUBIC ? 2 : 1;
    if (!possible(a, sh, sw, dh, dw)) return;
    k->rows = bytes_take(a, sw, dw, support);
    k->columns = bytes_take(a, sh, dh, support);
    VLM_TAKE(a, k->mid, sh, dw, 3);
}
static void job_take(vlm_arena *a, job *k) {
    if (!possible(a, k->sh, k->sw, k->dh, k->dw)) return;
    k->rows = floats_take(a, k->sw, k->dw);
    k->columns = floats_take(a, k->sh, k->dh);
    VLM_TAKE(a, k->mid, k->sh, k->dw, 3);
}

size_t vlm_resize_bytes(int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter filter) {
    vlm_arena a = { 0 };
    bytes_job k;
    bytes_job_take(&a, &k, sh, sw, dh, dw, filter);
    return a.overflow ? SIZE_MAX : a.peak;
}
void vlm_resize(vlm_ctx *ctx, const vlm_ops *ops, uint8_t *dst, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw,
                vlm_filter filter, void *work) {
    vlm_arena a = { .base = work, .size = SIZE_MAX };
    bytes_job k = { 0 };
    bytes_job_take(&a, &k, sh, sw, dh, dw, filter);
    assert(!a.overflow);
    if (sh == dh && sw == dw) { memcpy(dst, src, (size_t)(sh * sw * 3)); return; }
    uint8_t *mid = sh == dh ? dst : k.mid;             /* the one pass writes the result, or reads the source */
    if (sw != dw) {
        fill_bytes(&k.rows, sw, filter);
        ops->resample_rows(ctx, mid, src, &k.rows, sh, sw);
    }
    if (sh != dh) {
        fill_bytes(&k.columns, sh, filter);
        ops->resample_columns(ctx, dst, sw == dw ? src : mid, &k.columns, dw * 3);
    }
}

static void float_rows_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *k = arg;
    const pass *p = &k->rows;
    (void)scratch;
    for (int64_t y = lo; y < hi; y++)
        for (int c = 0; c < 3; c++) {
            const uint8_t *row = k->src + y * k->sw * 3 + c;
            float *out = k->mid + (c * k->sh + y) * k->dw;
            for (int64_t i = 0; i < p->n; i++) {
                const uint8_t *s = row + 3 * (int64_t)p->first[i];
                const float *w = p->w + i * p->taps;
                float sum = 0;
                for (int32_t j = 0; j < p->count[i]; j++, s += 3) sum += (float)*s / 255.0f * w[j];
                out[i] = sum;
            }
        }
}
static void float_columns_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *k = arg;
    const pass *p = &k->columns;
    (void)scratch;
    for (int c = 0; c < 3; c++)
        for (int64_t y = lo; y < hi; y++) {
            const float *s = k->mid + (c * k->sh + p->first[y]) * k->dw, *w = p->w + y * p->taps;
            float *out = k->dst + (c * k->dh + y) * k->dw;
            for (int64_t x = 0; x < k->dw; x++) out[x] = 0;
            for (int32_t j = 0; j < p->count[y]; j++, s += k->dw)
                for (int64_t x = 0; x < k->dw; x++) out[x] += s[x] * w[j];
        }
}
size_t vlm_resize_float_bytes(int64_t sh, int64_t sw, int64_t dh, int64_t dw) {
    vlm_arena a = { 0 };
    job_take(&a, &(job){ .sh = sh, .sw = sw, .dh = dh, .dw = dw });
    return a.overflow ? SIZE_MAX : a.peak;
}
/* A side that keeps its length gets weights 1 on itself (and 0 beside): the same floats as not filtering it. */
void vlm_resize_float(vlm_ctx *ctx, float *dst, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, void *work) {
    vlm_arena a = { .base = work, .size = SIZE_MAX };
    job k = { .src = src, .dst = dst, .sh = sh, .sw = sw, .dh = dh, .dw = dw };
    job_take(&a, &k);
    assert(!a.overflow);
    fill_floats(&k.rows, sw);
    fill_floats(&k.columns, sh);
    vlm_parallel(ctx, sh, 16, float_rows_part, &k);
    vlm_parallel(ctx, dh, 16, float_columns_part, &k);
}

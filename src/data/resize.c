#include "data/resize.h"
#include "base/arena.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { BITS = 22, HALF = 1 << (BITS - 1), CHUNK = 96 };        /* fraction bits of a weight; samples summed side by side in a column pass */

/* Output i of a pass is Σ w[i·taps + j] · source[first[i] + j], j < count[i]. */
typedef struct pass { int64_t n, taps; int32_t *first, *count; union { int32_t *i; float *f; } w; } pass;

static double reach(int64_t in, int64_t out, double support) {
    double scale = (double)in / (double)out;
    return support * (scale < 1 ? 1 : scale);
}
static pass pass_take(vlm_arena *a, int64_t in, int64_t out, double support) {
    pass p = { .n = out, .taps = (int64_t)ceil(reach(in, out, support)) * 2 + 1 };
    VLM_TAKE(a, p.first, out);
    VLM_TAKE(a, p.count, out);
    VLM_TAKE(a, p.w.i, out, p.taps);
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
static void fill_bytes(const pass *p, int64_t in, vlm_filter filter) {
    double (*kernel)(double) = filter == VLM_BICUBIC ? cubic : triangle;
    double scale = (double)in / (double)p->n, support = reach(in, p->n, filter == VLM_BICUBIC ? 2 : 1);
    double inverse = 1.0 / (scale < 1 ? 1 : scale);
    for (int64_t i = 0; i < p->n; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0, lo = centre - support + 0.5, hi = centre + support + 0.5;
        int64_t first = lo < 0 ? 0 : (int64_t)lo, end = hi > (double)in ? in : (int64_t)hi;
        int32_t *w = p->w.i + i * p->taps;
        for (int64_t x = first; x < end; x++) sum += kernel(((double)x - centre + 0.5) * inverse);
        for (int64_t x = first; x < end; x++) {
            double v = kernel(((double)x - centre + 0.5) * inverse);
            if (sum != 0) v /= sum;
            *w++ = (int32_t)(v * (1 << BITS) + (v < 0 ? -0.5 : 0.5));
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
        float *w = p->w.f + i * p->taps;
        for (int64_t x = first; x < end; x++) sum += w[x - first] = (float)triangle(((double)((float)x - centre) + 0.5) * (double)inverse);
        for (int64_t x = first; x < end && sum != 0; x++) w[x - first] /= sum;
        p->first[i] = (int32_t)first;
        p->count[i] = (int32_t)(end - first);
    }
}

static uint8_t byte_of(int32_t sum) {
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

typedef struct job {
    pass rows, columns;        /* rows: along a row, sw to dw; columns: sh to dh */
    const uint8_t *src; uint8_t *mid, *dst;
    float *fmid, *fdst;        /* (3,sh,dw) and (3,dh,dw) */
    int64_t sh, sw, dh, dw;
} job;

static void rows_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *k = arg;
    const pass *p = &k->rows;
    (void)scratch;
    for (int64_t y = lo; y < hi; y++) {
        const uint8_t *row = k->src + y * k->sw * 3;
        uint8_t *out = k->mid + y * k->dw * 3;
        for (int64_t i = 0; i < p->n; i++, out += 3) {
            const uint8_t *s = row + 3 * (int64_t)p->first[i];
            const int32_t *w = p->w.i + i * p->taps;
            int32_t r = HALF, g = HALF, b = HALF;
            for (int32_t j = 0; j < p->count[i]; j++, s += 3) r += s[0] * w[j], g += s[1] * w[j], b += s[2] * w[j];
            out[0] = byte_of(r), out[1] = byte_of(g), out[2] = byte_of(b);
        }
    }
}
static void columns_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *k = arg;
    const pass *p = &k->columns;
    int64_t width = k->dw * 3;
    (void)scratch;
    for (int64_t y = lo; y < hi; y++) {
        const int32_t *w = p->w.i + y * p->taps;
        for (int64_t x = 0; x < width; x += CHUNK) {
            int32_t acc[CHUNK];
            int64_t n = width - x < CHUNK ? width - x : CHUNK;
            const uint8_t *s = k->mid + p->first[y] * width + x;
            for (int i = 0; i < CHUNK; i++) acc[i] = HALF;
            for (int32_t j = 0; j < p->count[y]; j++, s += width) {
                if (n == CHUNK) for (int i = 0; i < CHUNK; i++) acc[i] += s[i] * w[j];
                else for (int64_t i = 0; i < n; i++) acc[i] += s[i] * w[j];
            }
            for (int64_t i = 0; i < n; i++) k->dst[y * width + x + i] = byte_of(acc[i]);
        }
    }
}

static void job_take(vlm_arena *a, job *k, double support, size_t elem) {
    if (k->sh < 1 || k->sw < 1 || k->dh < 1 || k->dw < 1 ||
        k->sh > INT32_MAX || k->sw > INT32_MAX || k->dh > INT32_MAX || k->dw > INT32_MAX) {
        a->overflow = true;
        return;
    }
    k->rows = pass_take(a, k->sw, k->dw, support);
    k->columns = pass_take(a, k->sh, k->dh, support);
    void *mid = vlm_arena_take(a, elem, (const int64_t[]){ k->sh, k->dw, 3 }, 3);
    k->mid = mid, k->fmid = mid;
}
static size_t job_bytes(job *k, double support, size_t elem) {
    vlm_arena a = { 0 };
    job_take(&a, k, support, elem);
    return a.overflow ? SIZE_MAX : a.peak;
}
static void job_place(job *k, double support, size_t elem, void *work) {
    vlm_arena a = { .base = work, .size = SIZE_MAX };
    job_take(&a, k, support, elem);
    assert(!a.overflow);
}
static void share(vlm_ctx *ctx, int64_t n, vlm_part *fn, job *k) {
    if (ctx) vlm_parallel(ctx, n, 16, fn, k);
    else fn(k, 0, n, NULL);
}

size_t vlm_resize_bytes(int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter filter) {
    return job_bytes(&(job){ .sh = sh, .sw = sw, .dh = dh, .dw = dw }, filter == VLM_BICUBIC ? 2 : 1, 1);
}
void vlm_resize(vlm_ctx *ctx, uint8_t *dst, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, vlm_filter filter,
                void *work) {
    job k = { .src = src, .dst = dst, .sh = sh, .sw = sw, .dh = dh, .dw = dw };
    job_place(&k, filter == VLM_BICUBIC ? 2 : 1, 1, work);
    if (sh == dh && sw == dw) { memcpy(dst, src, (size_t)(sh * sw * 3)); return; }
    if (sh == dh) k.mid = dst;                         /* the one pass writes the result, or reads the source */
    if (sw == dw) k.mid = (uint8_t *)(uintptr_t)src;
    if (sw != dw) {
        fill_bytes(&k.rows, sw, filter);
        share(ctx, sh, rows_part, &k);
    }
    if (sh != dh) {
        fill_bytes(&k.columns, sh, filter);
        share(ctx, dh, columns_part, &k);
    }
}

static void float_rows_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *k = arg;
    const pass *p = &k->rows;
    (void)scratch;
    for (int64_t y = lo; y < hi; y++)
        for (int c = 0; c < 3; c++) {
            const uint8_t *row = k->src + y * k->sw * 3 + c;
            float *out = k->fmid + (c * k->sh + y) * k->dw;
            for (int64_t i = 0; i < p->n; i++) {
                const uint8_t *s = row + 3 * (int64_t)p->first[i];
                const float *w = p->w.f + i * p->taps;
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
            const float *s = k->fmid + (c * k->sh + p->first[y]) * k->dw, *w = p->w.f + y * p->taps;
            float *out = k->fdst + (c * k->dh + y) * k->dw;
            for (int64_t x = 0; x < k->dw; x++) out[x] = 0;
            for (int32_t j = 0; j < p->count[y]; j++, s += k->dw)
                for (int64_t x = 0; x < k->dw; x++) out[x] += s[x] * w[j];
        }
}
size_t vlm_resize_float_bytes(int64_t sh, int64_t sw, int64_t dh, int64_t dw) {
    return job_bytes(&(job){ .sh = sh, .sw = sw, .dh = dh, .dw = dw }, 1, sizeof(float));
}
/* A side that keeps its length gets weights 1 on itself (and 0 beside): the same floats as not filtering it. */
void vlm_resize_float(vlm_ctx *ctx, float *dst, const uint8_t *src, int64_t sh, int64_t sw, int64_t dh, int64_t dw, void *work) {
    job k = { .src = src, .fdst = dst, .sh = sh, .sw = sw, .dh = dh, .dw = dw };
    job_place(&k, 1, sizeof(float), work);
    fill_floats(&k.rows, sw);
    fill_floats(&k.columns, sh);
    share(ctx, sh, float_rows_part, &k);
    share(ctx, dh, float_columns_part, &k);
}

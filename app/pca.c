#include "pca.h"
#include "base/log.h"
#include "base/sort.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { K = 8, WANT = 3, MOST = 100 };          /* vectors of the subspace, those used, iterations: far more than 8-bit colours show */
static const double NEAR = 1e-4;               /* |A u - value u| to value, at which a vector is good enough for them */

/* ---- A = Zᵀ Z, where Z (L,m) are the centred rows or, if these are fewer than their columns, their transpose -------------------- */
enum { W = 4 };                                /* columns of a panel: z is (panels,L,W), so that a tile of A reads two streams */
typedef struct gram { const double *z; double *a; int64_t L, m, first, panels; } gram;
static void tile(const double *p, const double *q, int64_t L, double s[W][W]) {
    memset(s, 0, W * sizeof *s);
    for (int64_t l = 0; l < L; l++, p += W, q += W)
        for (int i = 0; i < W; i++) for (int j = 0; j < W; j++) s[i][j] += p[i] * q[j];
}
static void gram_row(const gram *g, int64_t p) {
    double s[W][W];
    for (int64_t q = p; q < g->panels; q++) {
        tile(g->z + p * g->L * W, g->z + q * g->L * W, g->L, s);
        for (int64_t i = p * W; i < (p + 1) * W && i < g->m; i++)
            for (int64_t j = q * W; j < (q + 1) * W && j < g->m; j++) g->a[i * g->m + j] = g->a[j * g->m + i] = s[i - p * W][j - q * W];
    }
}
static void gram_part(void *arg, int64_t lo, int64_t hi, void *scratch) {      /* a long row of the triangle with a short one */
    const gram *g = arg;
    (void)scratch;
    for (int64_t p = g->first + lo; p < g->first + hi; p++) {
        gram_row(g, p);
        if (g->panels - 1 - p != p) gram_row(g, g->panels - 1 - p);
    }
}
static vlm_status gram_matrix(vlm_ctx *ctx, const double *z, int64_t L, int64_t m, double *a) {
    enum { STEP = 16 };
    int64_t panels = (m + W - 1) / W, rows = (panels + 1) / 2;
    for (int64_t p = 0; p < rows; p += STEP) {
        TRY(vlm_progress("principal components", p, rows));
        vlm_parallel(ctx, rows - p < STEP ? rows - p : STEP, 1, gram_part, &(gram){ z, a, L, m, p, panels });
    }
    return vlm_progress("principal components", rows, rows);
}

/* ---- its eigenvectors -------------------------------------------------------------------------------------------------------- */
typedef struct product { const double *a, *v; double *out; int64_t m; } product;       /* out (K,m) = v (K,m) A */
static void product_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const product *p = arg;
    (void)scratch;
    for (int64_t i = lo; i < hi; i++) {
        const double *row = p->a + i * p->m;
        for (int k = 0; k < K; k++) {
            double s[4] = { 0 };
            const double *v = p->v + k * p->m;
            for (int64_t j = 0; j < p->m; j++) s[j & 3] += row[j] * v[j];
            p->out[k * p->m + i] = s[0] + s[1] + s[2] + s[3];
        }
    }
}
static double dot(const double *a, const double *b, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}
/* Gram-Schmidt, twice; a vector that vanishes becomes zero. */
static void orthonormalise(double *v, int64_t m) {
    for (int k = 0; k < K; k++) {
        double *p = v + k * m, before = sqrt(dot(p, p, m));
        for (int twice = 0; twice < 2; twice++)
            for (int j = 0; j < k; j++) {
                double d = dot(p, v + j * m, m);
                for (int64_t i = 0; i < m; i++) p[i] -= d * v[j * m + i];
            }
        double norm = sqrt(dot(p, p, m));
        bool none = !(norm > before * 1e-13);
        for (int64_t i = 0; i < m; i++) p[i] = none ? 0 : p[i] / norm;
    }
}
/* Eigenvectors of symmetric b (K,K) by cyclic Jacobi: columns of r, eigenvalues left on b's diagonal. */
static void jacobi(double b[K][K], double r[K][K]) {
    for (int i = 0; i < K; i++) for (int j = 0; j < K; j++) r[i][j] = i == j;
    for (int sweep = 0; sweep < 60; sweep++)
        for (int p = 0; p < K; p++)
            for (int q = p + 1; q < K; q++) {
                if (fabs(b[p][q]) <= 1e-300) continue;
                double theta = (b[q][q] - b[p][p]) / (2 * b[p][q]), t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int i = 0; i < K; i++) { double x = b[i][p], y = b[i][q]; b[i][p] = c * x - s * y; b[i][q] = s * x + c * y; }
                for (int i = 0; i < K; i++) { double x = b[p][i], y = b[q][i]; b[p][i] = c * x - s * y; b[q][i] = s * x + c * y; }
                for (int i = 0; i < K; i++) { double x = r[i][p], y = r[i][q]; r[i][p] = c * x - s * y; r[i][q] = s * x + c * y; }
            }
}
/* The K largest eigenpairs of A, largest first: v (K,m), value[K]; w is room for another (K,m). */
static void eigen(vlm_ctx *ctx, const double *a, int64_t m, double *v, double *w, double value[K]) {
    uint64_t seed = 88172645463325252u;
    for (int64_t i = 0; i < K * m; i++) {      /* any start that is not orthogonal to the answer */
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        v[i] = (double)(seed >> 11) * 0x1p-53 - 0.5;
    }
    orthonormalise(v, m);
    for (int k = 0; k < K; k++) value[k] = 0;
    for (int step = 0; step < MOST; step++) {
        double b[K][K], r[K][K];
        bool good = true;
        int order[K];
        vlm_parallel(ctx, m, 64, product_part, &(product){ a, v, w, m });
        for (int i = 0; i < K; i++) for (int j = 0; j < K; j++) b[i][j] = dot(v + i * m, w + j * m, m);
        for (int i = 0; i < K; i++) for (int j = 0; j < i; j++) b[i][j] = b[j][i] = (b[i][j] + b[j][i]) / 2;
        jacobi(b, r);
        for (int i = 0; i < K; i++) {          /* insertion sort, descending */
            int j = i;
            for (; j > 0 && b[order[j - 1]][order[j - 1]] < b[i][i]; j--) order[j] = order[j - 1];
            order[j] = i;
        }
        for (int k = 0; k < K; k++) {          /* v = A (the Ritz vectors), which are r's columns in the old v */
            double *to = v + k * m;
            memset(to, 0, (size_t)m * sizeof *to);
            for (int j = 0; j < K; j++) for (int64_t i = 0; i < m; i++) to[i] += r[j][order[k]] * w[j * m + i];
            double now = b[order[k]][order[k]];
            if (k < WANT)                      /* by what A has turned u into; a value that is nothing has no direction */
                good &= dot(to, to, m) - now * now <= NEAR * NEAR * now * now || now <= 1e-12 * b[order[0]][order[0]];
            value[k] = now;
        }
        orthonormalise(v, m);
        if (good || !(value[0] > 0)) break;
    }
}

/* ---- colours -------------------------------------------------------------------------------------------------------------- */
static uint8_t level(double v) { return (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : v * 255 + 0.5); }

vlm_status vlm_pca_rgb(vlm_ctx *ctx, const float *x, int64_t n, int64_t D, uint8_t *rgb) {
    int64_t m = n < D ? n : D, L = n < D ? D : n, wide = (m + W - 1) / W * W;
    size_t bytes = (size_t)(L * wide + m * m + 2 * K * m + 2 * n + D) * sizeof(double);
    double *room = calloc(1, bytes), value[K];
    if (!room) return vlm_fail_memory("principal components", bytes);
    double *z = room, *a = z + L * wide, *v = a + m * m, *w = v + K * m, *score = w + K * m, *sorted = score + n, *mean = sorted + n;
    vlm_status status = VLM_OK;
    for (int64_t i = 0; i < n; i++) for (int64_t j = 0; j < D; j++) mean[j] += (double)x[i * D + j];
    for (int64_t j = 0; j < D; j++) mean[j] /= (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < D; j++) {
            int64_t l = m == n ? j : i, c = m == n ? i : j;
            z[(c / W * L + l) * W + c % W] = (double)x[i * D + j] - mean[j];
        }
    TRY_DONE(gram_matrix(ctx, z, L, m, a));
    eigen(ctx, a, m, v, w, value);
    for (int k = 0; k < WANT; k++) {
        bool flat = k >= m || !(value[k] > 1e-12 * value[0]) || !(value[0] > 0);
        double most = 0;
        for (int64_t i = 0; i < n && !flat; i++) {
            score[i] = 0;
            if (m == n) score[i] = v[k * m + i] * sqrt(value[k]);
            else for (int64_t j = 0; j < D; j++) score[i] += ((double)x[i * D + j] - mean[j]) * v[k * m + j];
            if (fabs(score[i]) > fabs(most) * (1 + 1e-9)) most = score[i];
        }
        for (int64_t i = 0; i < n && !flat; i++) sorted[i] = score[i] = most < 0 ? -score[i] : score[i];
        if (!flat) vlm_sort(sorted, n);
        double lo = flat ? 0 : vlm_quantile(sorted, n, 0.02), hi = flat ? 0 : vlm_quantile(sorted, n, 0.98);
        for (int64_t i = 0; i < n; i++) rgb[3 * i + k] = hi > lo ? level((score[i] - lo) / (hi - lo)) : 128;
    }
done:
    free(room);
    return status;
}

static double gamma_of(double v) { return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055; }
/* From dark blue over green to bright yellow, even steps of lightness: a path through Oklab (Ottosson 2020). */
static void colour(double t, uint8_t out[3]) {
    double L = 0.22 + 0.72 * t, chroma = 0.10 + 0.06 * t, hue = (285 - 175 * t) * 3.14159265358979323846 / 180, A = chroma * cos(hue),
           B = chroma * sin(hue);
    double l = L + 0.3963377774 * A + 0.2158037573 * B, m = L - 0.1055613458 * A - 0.0638541728 * B,
           s = L - 0.0894841775 * A - 1.2914855480 * B;
    l = l * l * l, m = m * m * m, s = s * s * s;
    out[0] = level(gamma_of(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s));
    out[1] = level(gamma_of(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s));
    out[2] = level(gamma_of(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s));
}
static double cosine(const float *x, int64_t D, int64_t i, int64_t at) {
    double xy = 0, xx = 0, yy = 0;
    for (int64_t c = 0; c < D; c++) {
        double a = (double)x[i * D + c], b = (double)x[at * D + c];
        xy += a * b, xx += a * a, yy += b * b;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}
void vlm_similar_rgb(const float *x, int64_t n, int64_t D, int64_t at, uint8_t *rgb, double *lo) {
    double least = 1;
    for (int64_t i = 0; i < n; i++) { double v = cosine(x, D, i, at); if (v < least) least = v; }
    for (int64_t i = 0; i < n; i++) colour(least < 1 ? (cosine(x, D, i, at) - least) / (1 - least) : 1, rgb + 3 * i);
    *lo = least;
}

/* Pictures of features: principal components as colours, similarity to one patch. Plain doubles on the CPU. */
#ifndef VLM_PCA_H
#define VLM_PCA_H
#include "base/ctx.h"
#include "base/status.h"

/* rgb (n,3): the first three principal components of x (n,D), each scaled so that its 2nd and 98th percentile become 0 and 255; a component
   without variance is 128. The sign of each is such that its largest score (by size, the first among equals) is positive.
   Eigenvectors of the covariance (or of the Gram matrix, if n < D) by subspace iteration, as exact as 8 bits show. Same bits for any number
   of threads. Reports progress; VLM_ENOMEM, VLM_ESTOPPED. */
vlm_status vlm_pca_rgb(vlm_ctx *ctx, const float *x, int64_t n, int64_t D, uint8_t *rgb);

/* rgb (n,3): cosine of each row with row `at`, from *lo (the smallest, an out-parameter) dark blue to 1 bright yellow. */
void vlm_similar_rgb(const float *x, int64_t n, int64_t D, int64_t at, uint8_t *rgb, double *lo);
#endif

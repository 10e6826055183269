/* Numbers in order. */
#ifndef VLM_SORT_H
#define VLM_SORT_H
#include <stdint.h>

void vlm_sort(double *x, int64_t n);                   /* ascending; none is NaN */
/* Of n >= 1 that are sorted: below it lies the share q (0 to 1) of them; between two of them, what lies between. */
double vlm_quantile(const double *sorted, int64_t n, double q);
#endif

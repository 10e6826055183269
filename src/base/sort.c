#include "base/sort.h"
#include <stdlib.h>

static int ascending(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
void vlm_sort(double *x, int64_t n) { qsort(x, (size_t)n, sizeof *x, ascending); }
double vlm_quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* What this machine can do at most, measured in the run whose figures are set beside it. */
#ifndef VLM_LIMITS_H
#define VLM_LIMITS_H
#include "base/ctx.h"
#include "base/status.h"

/* A second, on all threads of a ctx together; 0 where the instruction set has no yardstick (ref). */
typedef struct vlm_limits {
    double fma;                /* floating-point operations: independent FMAs in registers, best of 10 */
    double dot;                /* multiplications and additions of bytes, likewise; 0: the CPU has no instruction for it */
    double read;               /* bytes from memory: a buffer larger than the caches, median of 5 */
} vlm_limits;

double vlm_limits_fma(vlm_ctx *ctx, unsigned cpu);     /* that limit alone, in some milliseconds */
/* cpu: VLM_CPU_* of the instruction set that is to be judged. Takes under a second, and for that time `bytes` of memory, which should be
   several times the last cache. VLM_ENOMEM. Not from inside a part of ctx. */
vlm_status vlm_limits_measure(vlm_ctx *ctx, unsigned cpu, size_t bytes, vlm_limits *out);
/* Seconds that reading so many bytes of memory once takes: the median of `rounds`, at most 16. 0 as above. VLM_ENOMEM. */
vlm_status vlm_limits_read(vlm_ctx *ctx, unsigned cpu, size_t bytes, int rounds, double *seconds);
#endif

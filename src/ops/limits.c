#include "ops/limits.h"
#include "base/clock.h"
#include "ops/ops.h"
#include <stdlib.h>

enum { BLOCK = 4096 };                 /* floats that a thread reads at a stretch */

static float (*fma_of(unsigned cpu, double *flop))(int64_t) {
#if defined(__x86_64__)
    *flop = cpu & VLM_CPU_AVX512 ? VLM_PEAK_FLOP_AVX512 : VLM_PEAK_FLOP_AVX2;
    return cpu & VLM_CPU_AVX512 ? vlm_peak_avx512 : cpu & VLM_CPU_AVX2 ? vlm_peak_avx2 : NULL;
#else
    (void)cpu, *flop = 0;
    return NULL;
#endif
}
static float (*read_of(unsigned cpu))(const float *, int64_t) {
#if defined(__x86_64__)
    return cpu & VLM_CPU_AVX512 ? vlm_read_avx512 : cpu & VLM_CPU_AVX2 ? vlm_read_avx2 : NULL;
#else
    (void)cpu;
    return NULL;
#endif
}

typedef struct work { const float *p; float (*read)(const float *, int64_t); float (*spin)(int64_t); } work;
static void spin_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const work *w = arg;
    *(float *)scratch = w->spin((hi - lo) * 1000);     /* kept, so that it is computed */
}
static void read_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const work *w = arg;
    *(float *)scratch = w->read(w->p + lo * BLOCK, (hi - lo) * BLOCK);
}
/* Rounds a second, best of 10; a try takes some milliseconds on any machine. */
static double spin(vlm_ctx *ctx, float (*fn)(int64_t)) {
    enum { THOUSANDS = 400 };
    double best = 0;
    work w = { .spin = fn };
    for (int i = 0; fn && i < 10; i++) {
        double t = vlm_now_ms();
        vlm_parallel(ctx, (int64_t)THOUSANDS * ctx->threads, 1, spin_part, &w);
        double rate = THOUSANDS * 1e3 * ctx->threads / ((vlm_now_ms() - t) / 1e3);
        if (rate > best) best = rate;
    }
    return best;
}

static int ascending(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
vlm_status vlm_limits_read(vlm_ctx *ctx, unsigned cpu, size_t bytes, int rounds, double *seconds) {
    vlm_ops ops;
    double t[16];
    work w = { .read = read_of(cpu) };
    int64_t blocks = (int64_t)(bytes / (BLOCK * sizeof(float))) + 1;
    size_t room = (size_t)blocks * BLOCK * sizeof(float);
    *seconds = 0;
    if (!w.read) return VLM_OK;
    vlm_ops_init(&ops, cpu);
    float *p = ops.alloc(room);
    if (!p) return vlm_fail_memory("the yardstick of reading", room);
    memset(p, 1, room);
    if (rounds > 16) rounds = 16;
    for (int i = 0; i < rounds; i++) {
        w.p = p;
        t[i] = vlm_now_ms();
        vlm_parallel(ctx, blocks, 1, read_part, &w);
        t[i] = (vlm_now_ms() - t[i]) / 1e3;
    }
    ops.free(p, room);
    qsort(t, (size_t)rounds, sizeof *t, ascending);
    *seconds = t[rounds / 2] * ((double)bytes / (double)room);
    return VLM_OK;
}
double vlm_limits_fma(vlm_ctx *ctx, unsigned cpu) {
    double flop;
    float (*fma)(int64_t) = fma_of(cpu, &flop);
    return spin(ctx, fma) * flop;
}
vlm_status vlm_limits_measure(vlm_ctx *ctx, unsigned cpu, size_t bytes, vlm_limits *out) {
    double seconds;
    TRY(vlm_limits_read(ctx, cpu, bytes, 5, &seconds));
    *out = (vlm_limits){ .fma = vlm_limits_fma(ctx, cpu), .read = seconds > 0 ? (double)bytes / seconds : 0 };
    return VLM_OK;
}

#include "ops/limits.h"
#include "base/clock.h"
#include "base/sort.h"
#include "ops/ops.h"

enum { BLOCK = 4096 };                 /* floats that a thread reads at a stretch */

/* The best that `cpu` has of each: rounds of operations, reading. NULL: none. */
typedef struct yardsticks { float (*fma)(int64_t), (*dot)(int64_t), (*read)(const float *, int64_t); double flop, op; } yardsticks;
static yardsticks yardsticks_of(unsigned cpu) {
    yardsticks y = { 0 };
#if defined(__x86_64__)
    if (cpu & VLM_CPU_AVX2) y.fma = vlm_peak_avx2, y.read = vlm_read_avx2, y.flop = VLM_PEAK_FLOP_AVX2;
    if (cpu & VLM_CPU_AVX512) y.fma = vlm_peak_avx512, y.read = vlm_read_avx512, y.flop = VLM_PEAK_FLOP_AVX512;
    if (cpu & VLM_CPU_AVXVNNI) y.dot = vlm_peak_avxvnni, y.op = VLM_PEAK_OP_AVXVNNI;
    if (cpu & VLM_CPU_AVX512VNNI) y.dot = vlm_peak_avx512vnni, y.op = VLM_PEAK_OP_AVX512VNNI;
#elif defined(__aarch64__)
    if (cpu & VLM_CPU_NEON) y.fma = vlm_peak_neon, y.read = vlm_read_neon, y.flop = VLM_PEAK_FLOP_NEON;
#else
    (void)cpu;
#endif
    return y;
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

vlm_status vlm_limits_read(vlm_ctx *ctx, unsigned cpu, size_t bytes, int rounds, double *seconds) {
    vlm_ops ops;
    double t[16];
    work w = { .read = yardsticks_of(cpu).read };
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
    vlm_sort(t, rounds);
    *seconds = t[rounds / 2] * ((double)bytes / (double)room);
    return VLM_OK;
}
double vlm_limits_fma(vlm_ctx *ctx, unsigned cpu) {
    yardsticks y = yardsticks_of(cpu);
    return spin(ctx, y.fma) * y.flop;
}
vlm_status vlm_limits_measure(vlm_ctx *ctx, unsigned cpu, size_t bytes, vlm_limits *out) {
    yardsticks y = yardsticks_of(cpu);
    double seconds;
    TRY(vlm_limits_read(ctx, cpu, bytes, 5, &seconds));
    *out = (vlm_limits){ .fma = spin(ctx, y.fma) * y.flop, .dot = spin(ctx, y.dot) * y.op,
                         .read = seconds > 0 ? (double)bytes / seconds : 0 };
    return VLM_OK;
}

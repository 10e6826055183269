#include "ops/ops.h"
#include "base/memory.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdlib.h>
#include <string.h>

unsigned vlm_cpu_flags(void) {
    unsigned f = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) f |= VLM_CPU_AVX2;        /* F16C came before AVX2 */
    if (f && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) f |= VLM_CPU_AVX512;
    unsigned a, b, c = 0, d;
    if (f & VLM_CPU_AVX2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1) f |= VLM_CPU_AVXVNNI;
    if (f & VLM_CPU_AVX512 && __builtin_cpu_supports("avx512vnni")) f |= VLM_CPU_AVX512VNNI;
#elif defined(__aarch64__)
    f |= VLM_CPU_NEON;                 /* every AArch64 has it */
#endif
    return f;
}

static void cpu_free(void *p, size_t bytes) { (void)bytes; free(p); }
/* Logits of a large vocabulary lie where the threads that made them left them. */
enum { COPY_PART = 1 << 16 };
typedef struct copy { unsigned char *to; const unsigned char *from; size_t bytes; } copy;
static void copy_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const copy *c = arg;
    size_t from = (size_t)lo * COPY_PART, end = (size_t)hi * COPY_PART;
    memcpy(c->to + from, c->from + from, (end < c->bytes ? end : c->bytes) - from);
}
static void cpu_copy(vlm_ctx *ctx, void *to, const void *from, size_t bytes) {
    vlm_parallel(ctx, (int64_t)((bytes + COPY_PART - 1) / COPY_PART), 1, copy_part, &(copy){ to, from, bytes });
}
/* A model's gradients are set to zero once an update: all threads share that. */
enum { ZERO_PART = 1 << 20 };
typedef struct zero { unsigned char *p; size_t bytes; } zero;
static void zero_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)scratch;
    const zero *z = arg;
    size_t from = (size_t)lo * ZERO_PART, end = (size_t)hi * ZERO_PART;
    memset(z->p + from, 0, (end < z->bytes ? end : z->bytes) - from);
}
static void cpu_zero(vlm_ctx *ctx, void *p, size_t bytes) {
    if (!bytes) return;
    if (ctx) vlm_parallel(ctx, (int64_t)((bytes + ZERO_PART - 1) / ZERO_PART), 4, zero_part, &(zero){ p, bytes });
    else     memset(p, 0, bytes);
}
static void cpu_sync(vlm_ctx *ctx) { (void)ctx; }

void vlm_ops_init(vlm_ops *o, unsigned cpu) {
    *o = (vlm_ops){ .alloc = vlm_alloc, .free = cpu_free, .upload = cpu_copy, .download = cpu_copy, .zero = cpu_zero, .sync = cpu_sync,
#define OP(name, ...) .name = vlm_ref_##name,
#include "ops/ops.def"
#undef OP
    };
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & VLM_CPU_AVX2)       vlm_ops_init_avx2(o);
    if (cpu & VLM_CPU_AVXVNNI)    vlm_ops_init_avxvnni(o);
    if (cpu & VLM_CPU_AVX512)     vlm_ops_init_avx512(o);
    if (cpu & VLM_CPU_AVX512VNNI) vlm_ops_init_avx512vnni(o);
#elif defined(__aarch64__)
    if (cpu & VLM_CPU_NEON)       vlm_ops_init_neon(o);
#endif
}
const char *vlm_ops_kind(const vlm_ops *o) { return o->linear_forward == vlm_ref_linear_forward ? "ref" : "fast"; }

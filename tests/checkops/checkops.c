#include "checkops.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifdef ASAN
#include <sanitizer/asan_interface.h>  /* then a band may not even be read */
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { GUARD = 256, LIVE = 256 };      /* bytes in a band; buffers in a case */
static struct { unsigned char *p; size_t bytes; } live[2 * LIVE];
static buf inputs[LIVE];
static int nlive, ninputs;
static uint64_t rng;

static void poison(void *p, size_t bytes) {            /* quiet NaNs, as float and as double */
    for (size_t i = 0; i < bytes / 4; i++) memcpy((char *)p + 4 * i, &(uint32_t){ 0x7FFDA5A5 }, 4);
}
static float uniform(void) { rng ^= rng << 13; rng ^= rng >> 7; rng ^= rng << 17; return (float)((double)(rng >> 40) / 8388608.0 - 1.0); }

static void *guarded(size_t bytes) {
    unsigned char *p = aligned_alloc(64, (bytes + 2 * GUARD + 63) & ~(size_t)63);
    if (!p || nlive == 2 * LIVE) { fprintf(stderr, "checkops: out of memory, or more than %d buffers in a case\n", LIVE); exit(2); }
    poison(p, bytes + 2 * GUARD);
    ASAN_POISON_MEMORY_REGION(p, GUARD);
    ASAN_POISON_MEMORY_REGION(p + GUARD + bytes, GUARD);
    live[nlive].p = p, live[nlive++].bytes = bytes;
    return p + GUARD;
}
buf check_out(check *k, int64_t n) {
    (void)k;
    return (buf){ .f = guarded((size_t)n * sizeof(float)), .d = guarded((size_t)n * sizeof(double)), .n = n };
}
static buf filled(check *k, int64_t n) {
    buf b = check_out(k, n);
    for (int64_t i = 0; i < n; i++) b.d[i] = b.f[i] = uniform();
    return b;
}
buf check_in(check *k, int64_t n) { return inputs[ninputs++] = filled(k, n); }
buf check_acc(check *k, int64_t n) {
    buf b = filled(k, n);
    b.d0 = guarded((size_t)n * sizeof(double));
    memcpy(b.d0, b.d, (size_t)n * sizeof(double));
    return b;
}

static void wrong(check *k, const char *what, int64_t i, double want, double got) {
    if (!k->bad++) printf("    %s[%lld]: want %.9g, got %.9g\n", what, (long long)i, want, got);
}
static void compare(check *k, const char *what, int64_t i, double want, double got, double tol) {
    double e = fabs(want - got) / (tol * (1 + fabs(want)));
    if (!(e <= 1)) wrong(k, what, i, want, got);               /* NaN is not <= 1 */
    if (!(e <= k->worst)) k->worst = e;
    k->compared++;
}
void check_same(check *k, const char *what, buf b, double tol) {
    for (int64_t i = 0; i < b.n; i++) {
        uint32_t u;
        memcpy(&u, &b.f[i], 4);
        k->bits = (k->bits ^ u) * 0x100000001B3u;
        compare(k, what, i, b.d[i], b.f[i], tol);
    }
}
void check_bits(check *k, const char *what, const float *want, const float *got, int64_t n) {
    for (int64_t i = 0; i < n; i++, k->compared++)
        if (memcmp(want + i, got + i, sizeof *want)) wrong(k, what, i, want[i], got[i]);
}
void check_grad(check *k, const char *what, buf in, buf grad, double (*loss)(void *), void *arg, double tol) {
    const double h = 1e-5;
    for (int64_t i = 0; i < in.n; i++) {
        double x = in.d[i];
        in.d[i] = x + h;
        double up = loss(arg);
        in.d[i] = x - h;
        double down = loss(arg);
        in.d[i] = x;
        compare(k, what, i, (up - down) / (2 * h), grad.d[i] - (grad.d0 ? grad.d0[i] : 0), 1e-7);
        k->grads++;
    }
    check_same(k, what, grad, tol);
}
void check_free(check *k) {
    for (int j = 0; j < ninputs; j++)
        for (int64_t i = 0; i < inputs[j].n; i++)
            if (!(inputs[j].d[i] == (double)inputs[j].f[i])) wrong(k, "an input was changed: ", i, inputs[j].d[i], inputs[j].f[i]);
    for (int i = 0; i < nlive; i++) {
        unsigned char *p = live[i].p, want[GUARD];
        poison(want, GUARD);
        ASAN_UNPOISON_MEMORY_REGION(p, live[i].bytes + 2 * GUARD);
        if (memcmp(p, want, GUARD) || memcmp(p + GUARD + live[i].bytes, want, GUARD)) wrong(k, "wrote out of bounds: buffer", i, 0, 0);
        free(p);
    }
    nlive = ninputs = 0;
}
double check_now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec * 1e9 + (double)t.tv_nsec; }
void check_rate(check *k, const char *what, double ns, double flop) {
    printf("    %-16s %9.1f us %7.1f GFLOP/s", what, ns / 1e3, flop / ns);
    if (k->peak > 0) printf("  %.0f %% of peak", 100 * flop / ns / k->peak);
    printf("\n");
}

static const struct { const char *name; void (*run)(check *); size_t field; } ops[] = {
#define OP(name, ...) { #name, check_##name, offsetof(vlm_ops, name) },
#include "ops/ops.def"
#undef OP
};
static const oracle want = {
#define OP(name, ...) .name = vlm_ref64_##name,
#include "ops/ops.def"
#undef OP
};
static const struct { const char *name; unsigned flag; float (*peak)(int64_t); double flop; } isas[] = {
    { "ref", 0, NULL, 0 },
    { "avx2", VLM_CPU_AVX2, vlm_peak_avx2, VLM_PEAK_FLOP_AVX2 },
    { "avx512", VLM_CPU_AVX512, vlm_peak_avx512, VLM_PEAK_FLOP_AVX512 },
};
enum { OPS = sizeof ops / sizeof *ops, ISAS = sizeof isas / sizeof *isas };

static void peak_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    *(float *)scratch = (*(float (*const *)(int64_t))arg)((hi - lo) * 1000);
}
static double peak_of(int isa, vlm_ctx *ctx) {
    double ns;
    float (*fn)(int64_t) = isas[isa].peak;
    CHECK_TIME(ns, vlm_parallel(ctx, 1000LL * ctx->threads, 1, peak_part, &fn));
    return 1e6 * ctx->threads * isas[isa].flop / ns;
}

static void poison_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)lo, (void)hi;
    poison(scratch, *(const size_t *)arg);
}
/* One op of one table with one thread, with three, and with --bench as many as there are cores. */
static bool passes(int isa, int op, const vlm_ops *now, const vlm_ops *ref, vlm_ctx *const ctx[3], double peak) {
    const char *name = ops[op].name, *tail = strrchr(name, '_'), *why = NULL;
    check k = { 0 };
    uint64_t bits = 0;
    for (int t = 0; t < 3 && ctx[t] && !why; t++) {
        k = (check){ .op = now, .want = &want, .ctx = ctx[t], .bench = t == 2, .peak = peak,
                     .fast = memcmp((const char *)now + ops[op].field, (const char *)ref + ops[op].field, sizeof(void (*)(void))) };
        vlm_parallel(ctx[t], ctx[t]->threads, 1, poison_part, &ctx[t]->scratch_bytes);
        rng = 88172645463325252u;
        ops[op].run(&k);
        check_free(&k);
        if (k.bad) why = "wrong values";
        else if (!k.compared) why = "compared nothing";
        else if (tail && !strcmp(tail, "_backward") && !k.grads) why = "no gradient was checked";
        else if (t && k.bits != bits) why = "bits depend on the number of threads";
        bits = k.bits;
    }
    printf("%-7s %-20s %-4s %lld compared, worst %.2f of tolerance", isas[isa].name, name, why ? "FAIL" : "ok", (long long)k.compared, k.worst);
    if (why) printf(": %s, %d thread%s", why, k.ctx->threads, k.ctx->threads > 1 ? "s" : "");
    printf("\n");
    return !why;
}

int main(int argc, char **argv) {
    bool bench = false;
    unsigned cpu = vlm_cpu_flags();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) bench = true;
        else if (!strcmp(argv[i], "--ref")) cpu = 0;                           /* as on a machine without */
        else if (!strcmp(argv[i], "--avx2")) cpu &= VLM_CPU_AVX2;
        else { fprintf(stderr, "usage: checkops [--bench] [--ref | --avx2]\n"); return 2; }
    }
    vlm_ctx *ctx[3] = { vlm_ctx_open(1, VLM_SCRATCH_BYTES), vlm_ctx_open(3, VLM_SCRATCH_BYTES),
                        bench ? vlm_ctx_open((int)sysconf(_SC_NPROCESSORS_ONLN), VLM_SCRATCH_BYTES) : NULL };
    if (!ctx[0] || !ctx[1] || (bench && !ctx[2])) { fprintf(stderr, "checkops: no threads\n"); return 2; }
    ctx[1]->eager = true;
    int passed = 0, failed = 0, skipped = 0;
    vlm_ops ref, prev, now;
    vlm_ops_init(&ref, 0);
    prev = ref;
    for (int i = 0; i < ISAS; i++) {
        if (isas[i].flag & ~cpu) {
            printf("%-7s NOT RUN: this CPU lacks it\n", isas[i].name);
            skipped += OPS;
            continue;
        }
        vlm_ops_init(&now, isas[i].flag ? isas[i].flag | (isas[i].flag - 1) : 0);
        double peak = bench && isas[i].peak ? peak_of(i, ctx[2]) : 0;
        if (peak > 0) printf("%-7s peak of FMA: %.1f GFLOP/s on %d threads\n", isas[i].name, peak, ctx[2]->threads);
        for (int j = 0; j < OPS; j++) {
            if (isas[i].flag && !memcmp((char *)&now + ops[j].field, (char *)&prev + ops[j].field, sizeof(void (*)(void))))
                continue;                              /* no implementation of its own: tested above */
            if (passes(i, j, &now, &ref, ctx, peak)) passed++; else failed++;
        }
        prev = now;
    }
    for (int i = 0; i < 3; i++) vlm_ctx_close(ctx[i]);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}

#include "checkops.h"
#include "ops/limits.h"
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
static struct { const void *p; size_t bytes; uint64_t sum; } kept[2 * LIVE];
static int nlive, nkept;
static uint64_t rng;

static void poison(void *p, size_t bytes) {            /* quiet NaNs, as float, double, bf16 and f16 */
    for (size_t i = 0; i < bytes; i++) ((unsigned char *)p)[i] = i % 2 ? 0x7F : 0xFD;
}
static uint64_t hash(uint64_t h, const void *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001B3u;
    return h;
}
float check_random(void) { rng ^= rng << 13; rng ^= rng >> 7; rng ^= rng << 17; return (float)((double)(rng >> 40) / 8388608.0 - 1.0); }

void *check_raw(check *k, size_t bytes) {
    (void)k;
    unsigned char *p = aligned_alloc(64, (bytes + 2 * GUARD + 63) & ~(size_t)63);
    if (!p || nlive == 2 * LIVE) { fprintf(stderr, "checkops: out of memory, or more than %d buffers in a case\n", LIVE); exit(2); }
    poison(p, bytes + 2 * GUARD);
    ASAN_POISON_MEMORY_REGION(p, GUARD);
    ASAN_POISON_MEMORY_REGION(p + GUARD + bytes, GUARD);
    live[nlive].p = p, live[nlive++].bytes = bytes;
    return p + GUARD;
}
void check_keep(check *k, const void *p, size_t bytes) {
    (void)k;
    if (nkept == 2 * LIVE) { fprintf(stderr, "checkops: more than %d buffers in a case\n", LIVE); exit(2); }
    kept[nkept].p = p, kept[nkept].bytes = bytes, kept[nkept++].sum = hash(0, p, bytes);
}
buf check_out(check *k, int64_t n) {
    return (buf){ .f = check_raw(k, (size_t)n * sizeof(float)), .d = check_raw(k, (size_t)n * sizeof(double)), .n = n };
}
buf check_like(check *k, const float *f, int64_t n) {
    buf b = check_out(k, n);
    for (int64_t i = 0; i < n; i++) b.d[i] = b.f[i] = f ? f[i] : check_random();
    check_keep(k, b.f, (size_t)n * sizeof *b.f);
    check_keep(k, b.d, (size_t)n * sizeof *b.d);
    return b;
}
buf check_in(check *k, int64_t n) { return check_like(k, NULL, n); }
buf check_copy(check *k, buf b) {
    buf c = check_out(k, b.n);
    memcpy(c.f, b.f, (size_t)b.n * sizeof *b.f);
    memcpy(c.d, b.d, (size_t)b.n * sizeof *b.d);
    return c;
}

uint16_t check_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
uint16_t check_f16(float f) {
    uint32_t u, sign;
    memcpy(&u, &f, 4);
    sign = u >> 16 & 0x8000, u &= 0x7FFFFFFF;
    if (u < 0x38800000) return (uint16_t)(sign | (uint32_t)rint(fabs((double)f) * 0x1p24));    /* below 2^-14: subnormal */
    return (uint16_t)(sign | (u - 0x38000000 + 0xFFF + (u >> 13 & 1)) >> 13);
}
mat check_mat(check *k, vlm_dtype t, int64_t rows, int64_t cols) {
    mat m = { .rows = { t, VLM_ROWS, rows, cols, check_raw(k, (size_t)(rows * cols) * vlm_dtype_bytes(t)) },
              .panels = { t, VLM_PANELS, rows, cols, NULL },
              .want = { VLM_F64, VLM_ROWS, rows, cols, check_raw(k, (size_t)(rows * cols) * sizeof(double)) } };
    for (int64_t i = 0; i < rows * cols; i++) {
        float f = check_random();
        uint16_t h = t == VLM_BF16 ? check_bf16(f) : check_f16(f);
        if (t == VLM_F32) ((float *)m.rows.data)[i] = f;
        else ((uint16_t *)m.rows.data)[i] = h, f = t == VLM_BF16 ? vlm_bf16_float(h) : vlm_f16_float(h);
        ((double *)m.want.data)[i] = f;
    }
    check_keep(k, m.rows.data, (size_t)(rows * cols) * vlm_dtype_bytes(t));
    m.panels.data = check_raw(k, (size_t)vlm_mat_len(&m.panels) * vlm_dtype_bytes(t));
    int64_t bad = 0;
    k->op->linear_pack(k->ctx, &m.panels, 0, &m.rows, &bad);
    check_keep(k, m.panels.data, (size_t)vlm_mat_len(&m.panels) * vlm_dtype_bytes(t));
    check_true(k, "no weight is NaN", bad == 0);
    return m;
}

static void wrong(check *k, const char *what, int64_t i, double want, double got) {
    if (!k->bad++) printf("    %s[%lld]: want %.9g, got %.9g\n", what, (long long)i, want, got);
}
void check_same(check *k, const char *what, buf b, double tol) {
    k->bits = hash(k->bits, b.f, (size_t)b.n * sizeof *b.f);
    for (int64_t i = 0; i < b.n; i++, k->compared++) {
        double e = b.d[i] == (double)b.f[i] ? 0 : fabs(b.d[i] - b.f[i]) / (tol * (1 + fabs(b.d[i])));
        if (!(e <= 1)) wrong(k, what, i, b.d[i], b.f[i]);      /* NaN is not <= 1 */
        if (!(e <= k->worst)) k->worst = e;
    }
}
void check_bits(check *k, const char *what, const void *want, const void *got, int64_t n) {
    const float *w = want, *g = got;
    for (int64_t i = 0; i < n; i++, k->compared++)
        if (memcmp(w + i, g + i, sizeof *w)) wrong(k, what, i, w[i], g[i]);
}

/* Of loss as a sum in out's order; size: the sum of its terms' magnitudes. */
static double loss_of(const check *k, const slope *s, double *size) {
    long double sum = 0;
    s->forward(k, s->arg);
    *size = 0;
    for (int64_t i = 0; i < s->out.n; i++) sum += (long double)s->dout.d[i] * s->out.d[i], *size += fabs(s->dout.d[i] * s->out.d[i]);
    return (double)sum;
}
void check_slope(check *k, const char *what, const slope *s, buf x, buf dx, const double *from, double tol) {
    enum { MOST = 64 };
    int64_t n = x.n < MOST ? x.n : MOST, at[MOST];
    double top = 0, h = 1e-5;
    if (k->fast || k->ctx->threads > 1) return;
    for (int64_t j = 0; j < n; j++) {
        int64_t part = x.n / n * j;                    /* one of each part, not always at the same place in it */
        at[j] = j == n - 1 ? x.n - 1 : j ? part + j * 7919 % (x.n / n) : 0;
        double d = dx.d[at[j]] - (from ? from[at[j]] : 0);
        if (!(fabs(d) <= top)) top = fabs(d);
    }
    for (int64_t j = 0; j < n; j++, k->compared++, k->sloped++) {
        double *v = x.d + at[j], was = *v, up = was + h, down = was - h, d = dx.d[at[j]] - (from ? from[at[j]] : 0), size, size2;
        *v = up;
        double loss = loss_of(k, s, &size);
        *v = down;
        double slope = (loss - loss_of(k, s, &size2)) / (up - down);
        *v = was;
        double e = slope == d ? 0 : fabs(slope - d) / (tol * (fabs(d) + top) + 1e-15 * (size + size2) / h);
        if (!(e <= 1)) wrong(k, what, at[j], slope, d);
        if (!(e <= k->slope)) k->slope = e;
    }
}
void check_true(check *k, const char *what, bool yes) { k->compared++; if (!yes) wrong(k, what, 0, 1, 0); }
void check_free(check *k) {
    for (int i = 0; i < nkept; i++)
        if (hash(0, kept[i].p, kept[i].bytes) != kept[i].sum) wrong(k, "an input was changed: ", i, 0, 0);
    for (int i = 0; i < nlive; i++) {
        unsigned char *p = live[i].p, want[GUARD];
        ASAN_UNPOISON_MEMORY_REGION(p, live[i].bytes + 2 * GUARD);
        poison(want, GUARD);
        for (size_t j = 0; j < GUARD; j++)
            if (p[j] != want[j] || p[GUARD + live[i].bytes + j] != want[(live[i].bytes + j) % 2]) {
                wrong(k, "wrote out of bounds: buffer", i, 0, 0);
                break;
            }
        free(p);
    }
    nlive = nkept = 0;
}
double check_now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec * 1e9 + (double)t.tv_nsec; }
void check_rate(check *k, const char *what, double ns, double flop) {
    printf("    %-24s %9.1f us %7.1f GFLOP/s", what, ns / 1e3, flop / ns);
    if (k->peak > 0) printf("  %.0f %% of peak", 100 * flop / ns / k->peak);
    printf("\n");
}
void check_stream(check *k, const char *what, double ns, double bytes) {
    printf("    %-24s %9.1f us %7.1f GB/s", what, ns / 1e3, bytes / ns);
    if (k->read > 0) printf("       %.0f %% of reading", 100 * bytes / ns / k->read);
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
/* Each set is tested with what it needs and nothing more. */
static const struct { const char *name; unsigned cpu; } isas[] = {
    { "ref", 0 },
#if defined(__x86_64__)
    { "avx2", VLM_CPU_AVX2 }, { "avxvnni", VLM_CPU_AVX2 | VLM_CPU_AVXVNNI }, { "avx512", VLM_CPU_AVX2 | VLM_CPU_AVX512 },
    { "avx512vnni", VLM_CPU_AVX2 | VLM_CPU_AVX512 | VLM_CPU_AVX512VNNI },
#elif defined(__aarch64__)
    { "neon", VLM_CPU_NEON },
#endif
};
enum { OPS = sizeof ops / sizeof *ops, ISAS = sizeof isas / sizeof *isas };

static void poison_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)lo, (void)hi;
    poison(scratch, *(const size_t *)arg);
}
/* One op of one table with one thread, with three, and with --bench as many as there are cores. bits: of the ISA before, or 0. */
static bool passes(check k, int isa, int op, const vlm_ops *ref, vlm_ctx *const ctx[3], uint64_t *bits) {
    const char *why = NULL;
    for (int t = 0; t < 3 && ctx[t] && !why; t++) {
        k.fast = memcmp((const char *)k.op + ops[op].field, (const char *)ref + ops[op].field, sizeof(void (*)(void)));
        k.ctx = ctx[t], k.bench = t == 2, k.compared = k.sloped = 0, k.bits = 0;
        vlm_parallel(ctx[t], ctx[t]->threads, 1, poison_part, &ctx[t]->scratch_bytes);
        rng = 88172645463325252u;
        ops[op].run(&k);
        check_free(&k);
        if (k.bad) why = "wrong values";
        else if (!k.compared) why = "compared nothing";
        else if (!t && !k.fast && strstr(ops[op].name, "_backward") && !k.sloped) why = "no gradient compared with differences";
        else if (t && k.bits != *bits) why = "bits depend on the number of threads";
        else if (k.fast && *bits && k.bits != *bits) why = "bits depend on the instruction set";
        *bits = k.bits;
    }
    printf("%-10s %-22s %-4s %lld compared, worst %.2f of tolerance",
           isas[isa].name, ops[op].name, why ? "FAIL" : "ok", (long long)k.compared, k.worst);
    if (!k.fast && k.slope > 0) printf(", of differences %.2f", k.slope);
    if (k.fast && k.bits) printf(", bits %016llx", (unsigned long long)k.bits);
    if (why) printf(": %s, %d thread%s", why, k.ctx->threads, k.ctx->threads > 1 ? "s" : "");
    printf("\n");
    return !why;
}

int main(int argc, char **argv) {
    bool bench = false;
    const char *only = "", *isa = NULL;
    unsigned cpu = vlm_cpu_flags();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) bench = true;
        else if (!strcmp(argv[i], "--ref")) cpu = 0;                           /* as on a machine without */
        else if (!strcmp(argv[i], "--avx2")) cpu &= VLM_CPU_AVX2;
        else if (!strcmp(argv[i], "--isa") && i + 1 < argc) isa = argv[++i];   /* this one alone */
        else if (argv[i][0] != '-') only = argv[i];
        else { fprintf(stderr, "usage: checkops [--bench] [--ref | --avx2 | --isa NAME] [PART-OF-AN-OP'S-NAME]\n"); return 2; }
    }
    vlm_ctx *ctx[3] = { vlm_ctx_open(1, VLM_SCRATCH_BYTES), vlm_ctx_open(3, VLM_SCRATCH_BYTES),
                        bench ? vlm_ctx_open((int)sysconf(_SC_NPROCESSORS_ONLN), VLM_SCRATCH_BYTES) : NULL };
    if (!ctx[0] || !ctx[1] || (bench && !ctx[2])) { fprintf(stderr, "checkops: no threads\n"); return 2; }
    ctx[1]->eager = true;
    int passed = 0, failed = 0, skipped = 0;
    uint64_t bits[OPS] = { 0 };
    vlm_ops ref, prev, now;
    vlm_ops_init(&ref, 0);
    prev = ref;
    for (int i = 0; i < (int)ISAS; i++) {
        if (isa && strcmp(isas[i].name, isa)) continue;
        if (isas[i].cpu & ~cpu) {
            printf("%-10s NOT RUN: this CPU lacks it\n", isas[i].name);
            skipped += OPS;
            continue;
        }
        vlm_ops_init(&now, isas[i].cpu);
        vlm_limits limits = { 0 };
        if (bench && vlm_limits_measure(ctx[2], isas[i].cpu, (size_t)1 << 29, &limits)) {
            fprintf(stderr, "checkops: no memory\n");
            return 2;
        }
        check k = { .op = &now, .want = &want, .peak = limits.fma / 1e9, .dot = limits.dot / 1e9, .read = limits.read / 1e9 };
        if (k.peak > 0)
            printf("%-10s peak of FMA %.1f GFLOP/s, of reading %.1f GB/s on %d threads\n", isas[i].name, k.peak, k.read, ctx[2]->threads);
        if (k.dot > 0) printf("%-10s peak of dot products of bytes %.1f GOP/s\n", isas[i].name, k.dot);
        for (int j = 0; j < (int)OPS; j++) {
            if (!strstr(ops[j].name, only)) continue;
            if (isas[i].cpu && !memcmp((char *)&now + ops[j].field, (char *)&prev + ops[j].field, sizeof(void (*)(void))))
                continue;                              /* no implementation of its own: tested above */
            if (i <= 1) bits[j] = 0;                   /* the reference adds up in another order */
            if (passes(k, i, j, &ref, ctx, &bits[j])) passed++; else failed++;
        }
        prev = now;
    }
    for (int i = 0; i < 3; i++) vlm_ctx_close(ctx[i]);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}

/* vlm bench: what a row is, how it is timed, and how all are printed. */
#define _XOPEN_SOURCE 700              /* nftw */
#include "bench.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sort.h"
#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { REPEAT = 7, MOST = 100, LONG_MS = 20000 };      /* repetitions, without and with --repeat; a row ends behind LONG_MS */
static const double SAMPLE_MS = 5;     /* a sample is no shorter: the clock and a wake-up of threads must not count */

static const struct { const char *name; vlm_status (*run)(vlm_bench *b); } kinds[] = {
    { "gemm", vlm_bench_gemm }, { "attention", vlm_bench_attention }, { "encode", vlm_bench_encode }, { "prefill", vlm_bench_prefill },
    { "decode", vlm_bench_decode }, { "train", vlm_bench_train }, { "image", vlm_bench_image }, { "load", vlm_bench_load },
    { "growth", vlm_bench_growth } };
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- Which rows ---------------------------------------------------------------------------------------------------- */
/* Are all words of `words` words of `name`? */
static bool has_words(const char *name, const char *words) {
    while (*(words += strspn(words, " "))) {
        size_t n = strcspn(words, " ");
        const char *at = name;
        while (*at && (strcspn(at, " ") != n || strncmp(at, words, n))) {
            at += strcspn(at, " ");
            at += strspn(at, " ");
        }
        if (!*at) return false;
        words += n;
    }
    return true;
}
bool vlm_bench_wants(vlm_bench *b, const char *name) {
    bool yes = !b->a->only.n;
    for (int i = 0; i < b->a->only.n; i++) yes = yes || has_words(name, b->a->only.v[i]);
    if (!yes) return false;
    b->seen++;
    if (b->counting) return false;
    if (b->a->list && b->a->json) json_array_append_new(b->names, vlm_json_text(name));
    else if (b->a->list) puts(name);
    return !b->a->list;
}

/* ---- Memory ---------------------------------------------------------------------------------------------------------- */
size_t vlm_bench_free_bytes(void) {
    size_t kb = SIZE_MAX / 1024;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f)) if (sscanf(line, "MemAvailable: %zu kB", &kb) == 1) break;
    if (f) fclose(f);
    return kb * 1024;
}
size_t vlm_bench_forget_peak(void) {
#ifdef __GLIBC__
    malloc_trim(0);                    /* what earlier rows have freed is not this one's */
#endif
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) fputs("5", f);
    if (f) fclose(f);
    return vlm_bench_peak();
}
size_t vlm_bench_peak(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (size_t)u.ru_maxrss * 1024;
}
vlm_status vlm_bench_path(vlm_bench *b, const char *name, char **out) {
    if (!b->folder) {
        const char *where = getenv("TMPDIR");
        if (!where || !*where) where = "/tmp";
        char *folder = vlm_join(where, "vlm-bench-XXXXXX");
        if (!folder) return vlm_fail_memory(where, strlen(where));
        if (!mkdtemp(folder)) { vlm_fail_errno(folder, "make a temporary folder"); free(folder); return VLM_EIO; }
        b->folder = folder;
    }
    return (*out = vlm_join(b->folder, name)) ? VLM_OK : vlm_fail_memory(b->folder, 64);
}

/* ---- One row --------------------------------------------------------------------------------------------------------- */
void vlm_bench_five(double *t, int n, double five[5]) {
    vlm_sort(t, n);
    for (int i = 0; i < 5; i++) five[i] = vlm_quantile(t, n, i / 4.0);
}
vlm_status vlm_bench_time(vlm_bench *b, vlm_row *r, vlm_status (*once)(void *arg), void *arg) {
    double t[MOST], begin = vlm_now_ms(), first, ms;
    int n = 0, calls;
    vlm_bench_forget_peak();
    TRY(once(arg));
    first = vlm_now_ms() - begin;
    calls = b->quick || first >= SAMPLE_MS ? 1 : (int)ceil(SAMPLE_MS / fmax(first, 1e-3));
    if (first > LONG_MS) t[n++] = first / 1e3;                 /* then it has to count */
    for (begin = vlm_now_ms(); n < b->repeat && (!n || vlm_now_ms() - begin + first < LONG_MS); n++) {
        ms = vlm_now_ms();
        for (int i = 0; i < calls; i++) TRY(once(arg));
        t[n] = (vlm_now_ms() - ms) / 1e3 / calls;
        TRY(vlm_progress("repetitions", n + 1, b->repeat));
    }
    vlm_bench_five(t, n, r->seconds);
    r->repetitions = n;
    r->peak_bytes = vlm_bench_peak();
    return VLM_OK;
}
static vlm_status keep(vlm_bench *b, const vlm_row *r) {
    vlm_row *row = realloc(b->row, (size_t)(b->rows + 1) * sizeof *row);
    if (!row) return vlm_fail_memory("the rows", (size_t)(b->rows + 1) * sizeof *row);
    b->row = row;
    row[b->rows++] = *r;
    return VLM_OK;
}
static const char *const bounds[] = { "", "FMA", "int8", "read" };

static void head(void) {
    printf("%-62s %11s  %-21s %18s  %12s %9s %4s\n", "work", "median", "least - largest", "rate", "share of", "memory", "reps");
}
vlm_status vlm_bench_row(vlm_bench *b, vlm_row *r) {
    const double general[] = { 0, b->limits.fma, b->limits.dot, b->limits.read };
    char rate[40] = "", share[24] = "", peak[32], median[32], spread[48];
    double t = r->seconds[2], limit = r->limit > 0 ? r->limit : general[r->bound];
    r->limit = limit;
    if (limit > 0) r->share = (r->bound == VLM_BOUND_READ ? r->bytes : r->flop) / t / limit;
    TRY(keep(b, r));
    if (b->a->json) return VLM_OK;
    if (b->rows == 1) head();
    if (r->amount > 0) snprintf(rate, sizeof rate, "%.1f %s/s", r->amount / t, r->unit);
    else if (r->bound == VLM_BOUND_READ) snprintf(rate, sizeof rate, "%.1f GB/s", r->bytes / t / 1e9);
    else if (r->flop > 0) snprintf(rate, sizeof rate, "%.1f %s/s", r->flop / t / 1e9, r->bound == VLM_BOUND_DOT ? "GOP" : "GFLOP");
    if (r->share > 0) snprintf(share, sizeof share, "%.0f %% %s", 100 * r->share, bounds[r->bound]);
    double by = t < 1e-3 ? 1e6 : t < 10 ? 1e3 : 1;
    snprintf(median, sizeof median, "%.*f %s", by == 1 ? 2 : 1, t * by, by == 1e6 ? "us" : by == 1e3 ? "ms" : "s");
    snprintf(spread, sizeof spread, "%.*f - %.*f", by == 1 ? 2 : 1, r->seconds[0] * by, by == 1 ? 2 : 1, r->seconds[4] * by);
    printf("%-62s %11s  %-21s %18s  %12s %9s %4d\n", r->name, median, spread, rate, share, vlm_bytes_text((double)r->peak_bytes, peak),
           r->repetitions);
    if (r->planned_bytes) {
        double took = (double)(r->peak_bytes - r->before_bytes), slack = fmax(0.05 * (double)r->planned_bytes, 16e6);
        printf("%-62s %s taken, planned %s: %s (5 %% or 16 MB)\n", "", vlm_bytes_text(took, peak),
               vlm_bytes_text((double)r->planned_bytes, median), took - (double)r->planned_bytes <= slack ? "within" : "OVER");
    }
    if (r->planned_seconds > 0)
        printf("%-62s planned %.*f %s, %+.0f %%: %s (25 %%)%s%s\n", "", by == 1 ? 2 : 1, r->planned_seconds * by,
               by == 1e6 ? "us" : by == 1e3 ? "ms" : "s", 100 * (t / r->planned_seconds - 1),
               fabs(t / r->planned_seconds - 1) <= 0.25 ? "within" : "OUTSIDE", *r->why ? "; " : "", r->why);
    fflush(stdout);
    return VLM_OK;
}
vlm_status vlm_bench_skip(vlm_bench *b, vlm_row *r, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->skipped, sizeof r->skipped, fmt, args);
    va_end(args);
    TRY(keep(b, r));
    if (b->a->json) return VLM_OK;
    if (b->rows == 1) head();
    printf("%-62s skipped: %s\n", r->name, r->skipped);
    return VLM_OK;
}
vlm_status vlm_bench_summary(vlm_bench *b, int first, const char *words) {
    double *share = malloc((size_t)(b->rows + 1) * sizeof *share), five[5];
    int n = 0;
    if (!share) return vlm_fail_memory("the summary", (size_t)b->rows * sizeof *share);
    for (int i = first; i < b->rows; i++) if (b->row[i].share > 0 && has_words(b->row[i].name, words)) share[n++] = b->row[i].share;
    if (n > 1) {
        vlm_bench_five(share, n, five);
        json_array_append_new(b->summary, json_pack("{s:s,s:i,s:f,s:f}", "rows", words, "n", n, "median_share", five[2],
                                                    "least_share", five[0]));
        if (!b->a->json) printf("%-62s %d rows: median %.0f %%, least %.0f %%\n", words, n, 100 * five[2], 100 * five[0]);
    }
    free(share);
    return VLM_OK;
}

/* ---- The machine ----------------------------------------------------------------------------------------------------- */
static void cpu_name(char *out, size_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown CPU");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !value) continue;
        vlm_copy_line(line, sizeof line, value + 1 + strspn(value + 1, " "));
        line[strcspn(line, "\n")] = 0;
        for (size_t n = strlen(line); n && (line[n - 1] == '?' || line[n - 1] == ' '); n--) line[n - 1] = 0;   /* the line's end */
        snprintf(out, size, "%s", line);
        break;
    }
    if (f) fclose(f);
}
static vlm_status open_threads(vlm_bench *b) {
    TRY(vlm_isa_flags(b->a->isa, &b->cpu));
    vlm_ops_init(&b->ops, b->cpu);
    b->threads = b->a->threads ? (int)b->a->threads : vlm_cores();
    b->ctx = vlm_ctx_open(b->threads, VLM_SCRATCH_BYTES);
    return b->ctx ? VLM_OK : vlm_fail_memory("the threads", (size_t)b->threads * VLM_SCRATCH_BYTES);
}
static vlm_status measure_machine(vlm_bench *b, char *machine, size_t size) {
    char cpu[200], dot[40] = "";
    TRY(vlm_limits_measure(b->ctx, b->cpu, (size_t)1 << (b->quick ? 24 : 29), &b->limits));
    cpu_name(cpu, sizeof cpu);
    if (b->limits.dot > 0) snprintf(dot, sizeof dot, "int8 %.0f GOP/s, ", b->limits.dot / 1e9);
    snprintf(machine, size, "%s, %d thread%s, %s", cpu, b->threads, b->threads == 1 ? "" : "s", vlm_isa_name(b->cpu));
    if (!b->a->json && b->limits.fma > 0)
        printf("%s: FMA %.0f GFLOP/s, %sreading %.1f GB/s\n\n", machine, b->limits.fma / 1e9, dot, b->limits.read / 1e9);
    else if (!b->a->json) printf("%s: no yardstick for these instructions\n\n", machine);
    return VLM_OK;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------ */
static json_t *positive(double v) { return v > 0 ? json_real(v) : json_null(); }
static json_t *row_json(const vlm_row *r) {
    static const char *const names[] = { "min_ms", "q1_ms", "median_ms", "q3_ms", "max_ms" };
    json_t *j = json_pack("{s:s}", "name", r->name);
    if (*r->skipped) { json_object_set_new(j, "skipped", json_string(r->skipped)); return j; }
    for (int i = 0; i < 5; i++) json_object_set_new(j, names[i], json_real(r->seconds[i] * 1e3));
    json_t *rest = json_pack("{s:i,s:o,s:o,s:o,s:s?,s:s?,s:o,s:o,s:I}", "repetitions", r->repetitions, "gflop", positive(r->flop / 1e9),
                             "megabytes", positive(r->bytes / 1e6), "rate", positive(r->amount / r->seconds[2]),
                             "unit", r->amount > 0 ? r->unit : NULL, "bound", r->bound ? bounds[r->bound] : NULL,
                             "limit", positive(r->limit / 1e9), "share", positive(r->share), "peak_bytes", (json_int_t)r->peak_bytes);
    json_object_update(j, rest);
    json_decref(rest);
    if (r->planned_bytes) {
        json_object_set_new(j, "planned_bytes", json_integer((json_int_t)r->planned_bytes));
        json_object_set_new(j, "taken_bytes", json_integer((json_int_t)(r->peak_bytes - r->before_bytes)));
    }
    if (r->planned_seconds > 0) json_object_set_new(j, "planned_ms", json_real(r->planned_seconds * 1e3));
    if (*r->why) json_object_set_new(j, "why", json_string(r->why));
    return j;
}
static vlm_status report(const vlm_bench *b, const char *machine) {
    json_t *rows = json_array();
    for (int i = 0; i < b->rows; i++) json_array_append_new(rows, row_json(&b->row[i]));
    return vlm_json_out(json_pack("{s:o,s:i,s:s,s:{s:o,s:o,s:o},s:o,s:O}", "machine", vlm_json_text(machine), "threads", b->threads,
                                  "isa", vlm_isa_name(b->cpu), "limits", "fma_gflops", positive(b->limits.fma / 1e9),
                                  "int8_gops", positive(b->limits.dot / 1e9), "read_gbps", positive(b->limits.read / 1e9),
                                  "rows", rows, "summary", b->summary));
}

/* ---- The command ----------------------------------------------------------------------------------------------------- */
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}
static vlm_status run_kinds(vlm_bench *b) {
    bool all = !strcmp(b->a->arg[0], "all");
    for (int i = 0; i < KINDS; i++) if (all || !strcmp(kinds[i].name, b->a->arg[0])) TRY(kinds[i].run(b));
    if (!b->seen) return vlm_usage("--only", "\"%s\" fits no row; `vlm bench %s --list` prints them", b->a->only.v[0], b->a->arg[0]);
    return VLM_OK;
}
static vlm_status run(vlm_bench *b) {
    const char *what = b->a->arg[0];
    bool all = !strcmp(what, "all"), known = all;
    for (int i = 0; i < KINDS; i++) known = known || !strcmp(kinds[i].name, what);
    if (!known)
        return vlm_usage(what, "is nothing to measure; choose gemm, attention, encode, prefill, decode, train, image, load, growth or all");
    if (b->a->args > 1 && (all || !strcmp(what, "gemm") || !strcmp(what, "attention")))
        return vlm_usage(b->a->arg[1], "is not needed by bench %s; leave it out", what);
    if (b->a->svg) TRY(vlm_check_ending("--svg", b->a->svg, ".svg"));
    if (b->a->svg) TRY(vlm_check_output(b->a, b->a->svg));
    char machine[260] = "";
    TRY(open_threads(b));
    if (b->a->only.n && !b->a->list) { /* before the machine is measured: is there such a row? */
        b->counting = true;
        TRY(run_kinds(b));
        b->counting = false, b->seen = 0;
    }
    if (!b->a->list) TRY(measure_machine(b, machine, sizeof machine));
    TRY(run_kinds(b));
    if (b->a->svg && !b->a->list) TRY(vlm_roofline_draw(b, machine, b->a->svg));
    if (!b->a->json) return VLM_OK;
    return b->a->list ? vlm_json_out(json_pack("{s:O}", "names", b->names)) : report(b, machine);
}
vlm_status vlm_cmd_bench(vlm_args *a) {
    vlm_bench b = { .a = a, .quick = a->quick, .repeat = a->repeat ? (int)a->repeat : a->quick ? 2 : REPEAT, .summary = json_array(),
                    .names = json_array() };
    if (!b.summary || !b.names) {
        json_decref(b.summary);
        json_decref(b.names);
        return vlm_fail_memory("bench", 64);
    }
    vlm_term_only("repetitions");
    vlm_hold();                        /* the folder must not stay behind */
    vlm_status status = run(&b), stopped = vlm_release();
    if (b.folder && nftw(b.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS))
        vlm_tell("vlm: %s: cannot be removed; remove it", b.folder);
    vlm_ctx_close(b.ctx);
    json_decref(b.summary);
    json_decref(b.names);
    free(b.folder);
    free(b.row);
    return status ? status : stopped;
}

/* The figures that bench/README.md promises, each beside the machine's own limit measured in the same run. Models are drawn from a
   seed into the folder given; nothing is downloaded. Usage: bench FOLDER [--threads N] [--quick] */
#include "base/file.h"
#include "data/picture.h"
#include "infer/new.h"
#include "infer/session.h"
#include "train/trainer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int threads, rounds = 7;
static const char *folder;
static unsigned cpu;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }
static void die(const char *what) { fprintf(stderr, "bench: %s: %s: %s\n", what, vlm_error_where(), vlm_error_message()); exit(1); }
static int by_value(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
static double median(double *t, int n) { qsort(t, (size_t)n, sizeof *t, by_value); return t[n / 2]; }

/* ---- The machine's limits ---- */

typedef struct job { const float *p; int64_t rounds; } job;
static void fma_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *j = arg;
    for (int64_t i = lo; i < hi; i++) *(float *)scratch = cpu & VLM_CPU_AVX512 ? vlm_peak_avx512(j->rounds) : vlm_peak_avx2(j->rounds);
}
static void read_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const job *j = arg;
    const float *p = j->p + lo * 4096;
    *(float *)scratch = cpu & VLM_CPU_AVX512 ? vlm_read_avx512(p, (hi - lo) * 4096) : vlm_read_avx2(p, (hi - lo) * 4096);
}
static double peak_flops(vlm_ctx *ctx) {       /* best of 10 */
    double best = 0, flop = (cpu & VLM_CPU_AVX512 ? VLM_PEAK_FLOP_AVX512 : VLM_PEAK_FLOP_AVX2) * 4e5 * threads;
    for (int i = 0; i < 10; i++) {
        double t = now();
        vlm_parallel(ctx, threads, 1, fma_part, &(job){ NULL, 400000 });
        t = flop / (now() - t);
        if (t > best) best = t;
    }
    return best;
}
/* Seconds to read so many bytes from memory: the median, as the work beside it. */
static double read_seconds(vlm_ctx *ctx, size_t bytes) {
    vlm_ops ops;
    double t[16];
    vlm_ops_init(&ops, cpu);
    int64_t blocks = (int64_t)(bytes / 16384);
    float *p = ops.alloc(bytes);
    if (!p) { fprintf(stderr, "bench: no memory\n"); exit(1); }
    memset(p, 1, bytes);
    for (int i = 0; i < rounds; i++) {
        t[i] = now();
        vlm_parallel(ctx, blocks, 1, read_part, &(job){ p, 0 });
        t[i] = now() - t[i];
    }
    ops.free(p, bytes);
    return median(t, rounds);
}

/* ---- What the library does ---- */

static char *preset(const char *name, bool bf16) {
    char dir[64];
    snprintf(dir, sizeof dir, "%s-%s", name, bf16 ? "bf16" : "f32");
    char *path = vlm_join(folder, dir);
    vlm_new_options o = { .preset = name, .out = path, .dtype = bf16 ? "bf16" : "f32", .seed = 1 };
    if (path && !vlm_exists(path) && vlm_new(&o)) die("new");
    return path;
}
static vlm_model *open_model(const char *dir, double *seconds) {
    vlm_model *m;
    double t = now();
    if (vlm_model_open(dir, &(vlm_model_options){ .threads = threads }, &m)) die("open");
    *seconds = now() - t;
    return m;
}
static void encode(vlm_session *s, const char *name, int64_t h, int64_t w, double peak) {
    uint8_t *rgb = malloc((size_t)(h * w * 3));
    vlm_image *image;
    vlm_features *f;
    double t[16];
    for (int64_t i = 0; rgb && i < h * w * 3; i++) rgb[i] = (uint8_t)(i * 2654435761u >> 13);
    if (!rgb || vlm_image_from_rgb(s->m, rgb, w, h, &image)) die("image");
    for (int i = 0; i < rounds; i++) {
        t[i] = now();
        if (vlm_encode(s, (const vlm_image *const *)&image, 1, &f)) die("encode");
        t[i] = now() - t[i];
        if (i + 1 < rounds) vlm_features_free(f);
    }
    double best = t[0], flop = vlm_vit_flop(&s->m->net->vit.cfg, f->image[0].plan.patches);
    for (int i = 1; i < rounds; i++) if (t[i] < best) best = t[i];
    double mid = median(t, rounds);
    printf("encode %-26s %4ldx%-4ld  %8.1f ms (best %.1f)   %6.1f GFLOP/s, %3.0f %% of the FMA peak\n",
           name, (long)h, (long)w, mid * 1e3, best * 1e3, flop / mid / 1e9, 100 * flop / mid / peak);
    vlm_features_free(f);
    vlm_image_free(image);
    free(rgb);
}
static size_t language_bytes(const vlm_model *m) {
    size_t n = 0;
    for (int i = 0; i < m->net->params.n; i++) {
        const vlm_param *p = &m->net->params.p[i];
        if (p->group == VLM_LANGUAGE && p->mat && !p->tied && !p->row) n += (size_t)vlm_mat_bytes(p->mat);
    }
    return n;
}
static void decode(vlm_session *s, const char *name) {
    enum { N = 48 };
    int64_t ids[64] = { 0 };
    double t[16];
    for (int i = 0; i < 64; i++) ids[i] = i;
    for (int i = 0; i < rounds; i++) {
        vlm_session_reset(s);
        if (vlm_prefill(s, ids, 64, NULL)) die("prefill");
        t[i] = now();
        for (int64_t k = 0, id = 1; k < N; k++) if (vlm_prefill(s, &id, 1, NULL) || vlm_sample(s, NULL, &id)) die("decode");
        t[i] = (now() - t[i]) / N;
    }
    size_t bytes = language_bytes(s->m);
    double mid = median(t, rounds), bound = read_seconds(s->ctx, bytes);
    printf("decode %-36s  %8.1f tok/s   bound %.1f tok/s (reading %.0f MB), %3.0f %%\n",
           name, 1 / mid, 1 / bound, (double)bytes / 1e6, 100 * bound / mid);
}
static void prefill(vlm_session *s, const char *name) {
    enum { N = 512 };
    int64_t ids[N];
    double t[16];
    for (int i = 0; i < N; i++) ids[i] = i % 256;
    for (int i = 0; i < rounds; i++) {
        vlm_session_reset(s);
        t[i] = now();
        if (vlm_prefill(s, ids, N, NULL)) die("prefill");
        t[i] = now() - t[i];
    }
    printf("prefill %-35s  %8.1f tok/s   (512 tokens)\n", name, N / median(t, rounds));
}

/* ---- Memory: a run of its own against what plan counts ---- */

static double resident_mb(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}
/* In a process of its own: work does it and returns the bytes that are planned for it; what was there before does not count. */
static void in_child(const char *label, double (*work)(const void *), const void *arg) {
    int fd[2];
    double got[2] = { 0, 0 };
    fflush(stdout);
    if (pipe(fd)) return;
    pid_t child = fork();
    if (!child) {
        double before = resident_mb(), planned = work(arg), both[2] = { resident_mb() - before, planned / 1048576.0 };
        if (write(fd[1], both, sizeof both) != sizeof both) _exit(1);
        _exit(0);
    }
    close(fd[1]);
    bool ok = read(fd[0], got, sizeof got) == sizeof got;
    close(fd[0]);
    waitpid(child, NULL, 0);
    if (!ok) { fprintf(stderr, "bench: the memory run failed\n"); return; }
    double slack = got[1] * 0.05 > 16 ? got[1] * 0.05 : 16;
    printf("memory %-36s  %8.1f MB peak    planned %.1f MB, %s (5 %% or 16 MB)\n", label, got[0], got[1],
           got[0] - got[1] <= slack ? "within" : "OVER");
}
typedef struct memory_run { const char *dir; int64_t h, w; bool recompute; unsigned frozen; } memory_run;
static double answer_once(const void *arg) {
    enum { PROMPT = 64, ANSWER = 192 };
    const memory_run *r = arg;
    int64_t ids[PROMPT], id = 1;
    double seconds;
    vlm_model *m = open_model(r->dir, &seconds);
    vlm_session *s = NULL;
    vlm_image *image = NULL;
    vlm_features *f;
    uint8_t *rgb = calloc((size_t)(r->h * r->w), 3);
    vlm_session_options o = { .threads = threads };
    if (!rgb || vlm_session_open(m, &o, &s) || vlm_image_from_rgb(m, rgb, r->w, r->h, &image)) die("memory");
    free(rgb);
    if (vlm_encode(s, (const vlm_image *const *)&image, 1, &f)) die("memory");
    for (int k = 0; k < PROMPT; k++) ids[k] = k;
    if (vlm_prefill(s, ids, PROMPT, NULL)) die("memory");
    for (int k = 0; k < ANSWER; k++) if (vlm_prefill(s, &id, 1, NULL)) die("memory");
    size_t enc, ses = vlm_session_bytes(m, PROMPT + ANSWER, VLM_F32);
    if (vlm_encode_bytes(m, f->image, 1, VLM_KEEP_PATCHES, &enc)) die("memory");
    return (double)m->net->bytes + (double)(enc > ses ? enc : ses) + (double)threads * VLM_SCRATCH_BYTES;
}
static double planned;                 /* by training itself, before it starts */
static void on_start(void *user, const vlm_train_start *s) {
    (void)user;
    planned = (double)s->weights_bytes + (double)s->optimizer_bytes + (double)s->activation_bytes + (double)s->loader_bytes;
}
static void remove_run(const char *run) {
    char command[1100];
    snprintf(command, sizeof command, "rm -rf '%s'", run);
    if (system(command)) die("memory");
}
/* One update of four pictures of that size, and its checkpoint. */
static double train_once(const void *arg) {
    const memory_run *r = arg;
    char *data = vlm_join(folder, "four.jsonl"), *picture = vlm_join(folder, "four.png"), *run = vlm_join(folder, "run");
    const char *datas[] = { data };
    vlm_train_options o = vlm_train_defaults();
    uint8_t rgb[16 * 16 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 2654435761u >> 13);
    FILE *f = data && picture && run ? fopen(data, "w") : NULL;
    for (int i = 0; f && i < 4; i++)
        fputs("{\"images\":[\"four.png\"],\"texts\":[{\"user\":\"What is it?\",\"assistant\":\"Noise.\"}]}\n", f);
    if (!f || fclose(f) || vlm_picture_write(picture, rgb, 16, 16, r->h, r->w)) die("memory");
    remove_run(run);
    o.model = r->dir, o.run = run, o.data = datas, o.datas = 1, o.threads = threads, o.steps = 1, o.batch_samples = 4;
    o.recompute = r->recompute, o.frozen = r->frozen;
    if (vlm_train(&o, &(vlm_train_hooks){ .start = on_start })) die("memory");
    remove_run(run);
    unlink(data), unlink(picture);
    free(data), free(picture), free(run);
    return planned;
}

int main(int argc, char **argv) {
    if (argc < 2) { fprintf(stderr, "usage: bench FOLDER [--threads N] [--quick]\n"); return 2; }
    folder = argv[1];
    threads = vlm_cores();
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--threads") && i + 1 < argc) threads = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--quick")) rounds = 3;
        else { fprintf(stderr, "usage: bench FOLDER [--threads N] [--quick]\n"); return 2; }
    }
    cpu = vlm_cpu_flags();
    if (!(cpu & VLM_CPU_AVX2)) { printf("SKIPPED: the yardsticks need AVX2\n"); return 0; }
    vlm_ctx *ctx = vlm_ctx_open(threads, VLM_SCRATCH_BYTES);
    if (!ctx) { fprintf(stderr, "bench: no threads\n"); return 1; }
    double peak = peak_flops(ctx), seconds;
    printf("%s, %d threads: FMA peak %.1f GFLOP/s, reading %.1f GB/s\n",
           vlm_isa_name(cpu), threads, peak / 1e9, 0.5 / read_seconds(ctx, 500000000));
    vlm_ctx_close(ctx);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        char *dir = preset("dinov3s-smollm2-135m", bf16);
        const char *name = bf16 ? "DINOv3-S, SmolLM2-135M bf16" : "DINOv3-S, SmolLM2-135M f32";
        in_child(bf16 ? "768x1024 bf16" : "768x1024 f32", answer_once, &(memory_run){ dir, 768, 1024, false, 0 });
        vlm_model *m = open_model(dir, &seconds);      /* the page cache is warm now */
        vlm_model_close(m);
        m = open_model(dir, &seconds);
        printf("load   %-36s  %8.3f s      %.0f MB\n", name, seconds, (double)m->net->bytes / 1e6);
        vlm_session *s;
        if (vlm_session_open(m, &(vlm_session_options){ .threads = threads }, &s)) die("session");
        encode(s, name, 512, 512, peak);
        encode(s, name, 768, 1024, peak);
        decode(s, name);
        prefill(s, name);
        vlm_session_close(s);
        vlm_model_close(m);
        if (!bf16) {
            in_child("train 4 512x512", train_once, &(memory_run){ dir, 512, 512, false, 0 });
            in_child("train 4 512x512 recompute", train_once, &(memory_run){ dir, 512, 512, true, 0 });
            in_child("train 4 512x512 vision frozen", train_once, &(memory_run){ dir, 512, 512, false, 1u << VLM_VISION });
        }
        free(dir);
    }
    return 0;
}

/* vlm bench train: updates of a whole model on two batches, with and without --recompute, each in a process of its own. */
#include "bench.h"
#include "base/file.h"
#include "data/picture.h"
#include "infer/new.h"
#include "train/forecast.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAMPLES = 4, STEPS = 24 };      /* pictures of a batch; updates at most */
typedef struct batch { const char *name; int64_t side[SAMPLES][2]; } batch;
static const batch batches[] = {       /* bench/peers/train.py has the same */
    { "equal", { { 512, 512 }, { 512, 512 }, { 512, 512 }, { 512, 512 } } },
    { "mixed", { { 320, 1024 }, { 1024, 320 }, { 512, 512 }, { 768, 768 } } } };

/* What comes back from the process that trained. */
typedef struct result {
    bool done;
    int n;
    double seconds[STEPS], flop;
    size_t peak_bytes, planned_bytes, before_bytes;    /* before: what this process had already */
    char where[200], message[400];
} result;
typedef struct run { vlm_train_options o; int fd; result r; } run;

static void send(run *k) {
    const char *from = (const char *)&k->r;
    for (size_t at = 0; at < sizeof k->r;) {
        ssize_t n = write(k->fd, from + at, sizeof k->r - at);
        if (n < 1) _exit(1);
        at += (size_t)n;
    }
    _exit(0);
}
static void on_start(void *user, const vlm_train_start *s) {
    ((run *)user)->r.planned_bytes = s->weights_bytes + s->optimizer_bytes + s->activation_bytes + s->loader_bytes;
}
/* The first update does not count; behind the last one nothing is saved. */
static void on_update(void *user, const vlm_update *u) {
    run *k = user;
    if (u->step > 1) k->r.seconds[k->r.n++] = u->ms / 1e3;
    k->r.flop = u->flop;
    if (u->step < u->steps) return;
    k->r.done = true;
    k->r.peak_bytes = vlm_bench_peak();
    send(k);
}
static vlm_status write_data(const batch *x, bool quick, const char *folder, char **out) {
    char name[64], line[300];
    vlm_status status = VLM_OK;
    snprintf(name, sizeof name, "%s.jsonl", x->name);
    char *path = vlm_join(folder, name), *text = calloc(SAMPLES, sizeof line);
    uint8_t *rgb = NULL;
    if (!path || !text) { status = vlm_fail_memory(folder, sizeof line); goto done; }
    for (int i = 0; i < SAMPLES; i++) {
        int64_t h = x->side[i][0] / (quick ? 16 : 1), w = x->side[i][1] / (quick ? 16 : 1);
        snprintf(name, sizeof name, "%s-%d.png", x->name, i);
        char *picture = vlm_join(folder, name);
        rgb = malloc((size_t)(h * w * 3));
        if (!picture || !rgb) status = vlm_fail_memory(folder, (size_t)(h * w * 3));
        for (int64_t k = 0; !status && k < h * w * 3; k++) rgb[k] = (uint8_t)(((uint64_t)k + (uint64_t)i) * 2654435761u >> 13);
        if (!status) status = vlm_picture_write(picture, rgb, h, w, h, w);
        free(picture);
        free(rgb);
        if (status) goto done;
        snprintf(line, sizeof line, "{\"images\":[\"%s\"],"
                 "\"texts\":[{\"user\":\"What is it?\",\"assistant\":\"abcdefghij klmnop qrs tuv.\"}]}\n", name);
        strcat(text, line);
    }
    status = vlm_write(path, text, strlen(text));
done:
    free(text);
    if (status) free(path);
    else *out = path;
    return status;
}
/* Seconds of an update, as vlm plan --data --time says. */
static vlm_status foresee(vlm_bench *b, const vlm_train_options *options, double *seconds, char why[96]) {
    vlm_train_options o = *options;
    vlm_model *m = NULL;
    vlm_run_data d = { 0 };
    vlm_plan p;
    vlm_limits now;
    vlm_status status = VLM_OK;
    *seconds = 0;
    TRY(vlm_limits_measure(b->ctx, b->cpu, (size_t)1 << (b->quick ? 22 : 28), &now));
    if (!(now.fma > 0 && now.read > 0)) return VLM_OK;
    TRY(vlm_train_check(&o));
    TRY(vlm_model_open_as(o.model, &o.open, VLM_OPEN_STRUCTURE | VLM_OPEN_F32, &m));
    TRY_DONE(vlm_train_check_model(&o, m));
    TRY_DONE(vlm_run_data_open(&d, &o, m));
    TRY_DONE(vlm_run_data_scan(&d, &o, b->threads, false, NULL, NULL));
    TRY_DONE(vlm_plan_make(&o, m, &d, b->threads, &p));
    vlm_forecast f = vlm_forecast_make(&p, &o, m, &now);
    *seconds = f.update;
    snprintf(why, 96, "attention %.0f %%, optimiser %.0f %%", 100 * f.batch.attention / f.update, 100 * f.optimizer / f.update);
done:
    vlm_run_data_close(&d);
    vlm_model_close(m);
    return status;
}
static vlm_train_options options_of(const vlm_bench *b, const char *model, const char *const *data, const char *folder, bool recompute,
                                    int steps) {
    vlm_train_options o = vlm_train_defaults();
    o.model = model, o.run = folder, o.data = data, o.datas = 1, o.threads = b->threads, o.open.isa = b->a->isa;
    o.batch_samples = SAMPLES, o.steps = (steps < STEPS ? steps : STEPS) + 1, o.recompute = recompute, o.no_shuffle = true;
    o.save_every = o.eval_every = 0;
    return o;
}
/* Trains in a child: its peak is this run's alone, and it ends without a checkpoint. */
static vlm_status train(vlm_bench *b, const char *model, const char *data, const char *folder, bool recompute, result *out) {
    int fd[2], steps = b->a->repeat ? (int)b->a->repeat : b->quick ? 1 : 3;
    const char *datas[] = { data };
    fflush(NULL);
    if (pipe(fd)) return vlm_fail_errno("bench", "make a pipe for");
    pid_t child = fork();
    if (child < 0) { close(fd[0]), close(fd[1]); return vlm_fail_errno("bench", "start a process for"); }
    if (!child) {
        run k = { .o = options_of(b, model, datas, folder, recompute, steps), .fd = fd[1] };
        k.r.before_bytes = vlm_bench_forget_peak();
        vlm_train(&k.o, &(vlm_train_hooks){ .user = &k, .start = on_start, .update = on_update });
        snprintf(k.r.where, sizeof k.r.where, "%s", vlm_error_where());
        snprintf(k.r.message, sizeof k.r.message, "%s", vlm_error_message());
        send(&k);
    }
    close(fd[1]);
    size_t at = 0;
    for (ssize_t n; at < sizeof *out && (n = read(fd[0], (char *)out + at, sizeof *out - at)) > 0;) at += (size_t)n;
    close(fd[0]);
    waitpid(child, NULL, 0);
    if (at < sizeof *out) return vlm_fail(VLM_EIO, "bench train", "the process that trained ended early; is there memory for it?");
    return out->done ? VLM_OK : vlm_fail(VLM_EIO, out->where, "%s", out->message);
}
vlm_status vlm_bench_train(vlm_bench *b) {
    const char *label = b->quick ? "tiny" : "dinov3-splus+smollm2-135m";
    bool want[2][2], any = false;
    char *model = NULL, *folder = NULL, *data = NULL;
    vlm_status status = VLM_OK;
    vlm_row rows[2][2] = { 0 };
    for (int i = 0; i < 2; i++)
        for (int re = 0; re < 2; re++) {
            snprintf(rows[i][re].name, sizeof rows[i][re].name, "train %s f32 %s%s", b->a->args > 1 ? "MODEL" : label, batches[i].name,
                     re ? " recompute" : "");
            want[i][re] = vlm_bench_wants(b, rows[i][re].name);
            any = any || want[i][re];
        }
    if (!any) return VLM_OK;
    TRY(vlm_bench_path(b, "data", &folder));
    TRY_DONE(vlm_dir_make(folder));
    if (b->a->args > 1) model = strdup(b->a->arg[1]);
    else TRY_DONE(vlm_bench_path(b, "whole", &model));
    if (!model) { status = vlm_fail_memory("bench train", 64); goto done; }
    vlm_new_options n = { .preset = b->quick ? "tiny" : "dinov3splus-smollm2-135m", .out = model, .dtype = "f32", .seed = 1 };
    if (b->a->args < 2) TRY_DONE(vlm_new(&n));
    for (int i = 0; i < 2; i++) {
        TRY_DONE(write_data(&batches[i], b->quick, folder, &data));
        for (int re = 0; re < 2; re++) {
            vlm_row *r = &rows[i][re];
            result got = { 0 };
            char name[40];
            if (!want[i][re]) continue;
            snprintf(name, sizeof name, "run-%s-%d", batches[i].name, re);
            char *to = vlm_join(folder, name);
            if (!to) { status = vlm_fail_memory(folder, 64); goto done; }
            vlm_train_options o = options_of(b, model, (const char *const *)&data, to, re, 1);
            status = foresee(b, &o, &r->planned_seconds, r->why);
            if (!status) status = train(b, model, data, to, re, &got);
            free(to);
            if (status) goto done;
            r->repetitions = got.n;
            vlm_bench_five(got.seconds, got.n, r->seconds);
            r->flop = got.flop;        /* useful work: what recompute does twice counts once */
            r->bound = VLM_BOUND_FMA;
            r->peak_bytes = got.peak_bytes, r->planned_bytes = got.planned_bytes, r->before_bytes = got.before_bytes;
            TRY_DONE(vlm_bench_row(b, r));
        }
        free(data);
        data = NULL;
    }
done:
    free(data);
    free(folder);
    free(model);
    return status;
}

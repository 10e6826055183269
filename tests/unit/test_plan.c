/* What is planned is what happens: batches, updates and sums of a run, and its memory against the peak that the system has seen. */
#include "temp.h"
#include "base/log.h"
#include "data/picture.h"
#include "infer/new.h"
#include "train/forecast.h"
#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char *const mixed[] = { "tests/golden/images/mixed.jsonl", "tests/golden/images/mixed.jsonl@0.4" };
static const char *run_dir(void) {
    char cmd[600];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", temp("run"));
    assert_int_equal(system(cmd), 0);
    return temp("run");
}
/* The plan of a run, as `vlm plan --data` makes it: the model as structure only. */
static void plan(vlm_train_options *o, vlm_plan *out) {
    vlm_model *m;
    vlm_run_data d = { 0 };
    assert_ok(vlm_train_check(o));
    assert_ok(vlm_model_open_as(o->model, &o->open, VLM_OPEN_STRUCTURE | VLM_OPEN_F32, &m));
    assert_ok(vlm_train_check_model(o, m));
    assert_ok(vlm_run_data_open(&d, o, m));
    assert_ok(vlm_run_data_scan(&d, o, o->threads, false, NULL, NULL));
    assert_ok(vlm_plan_make(o, m, &d, o->threads, out));
    vlm_forecast f = vlm_forecast_make(out, o, m, &(vlm_limits){ .fma = 1e11, .read = 1e10 });
    assert_true((f.update > 0) == (out->batches > 0) && f.epoch >= f.update && f.optimizer > 0);
    assert_true(fabs(f.run - f.update * (double)out->steps) <= 1e-9 * f.run);
    vlm_run_data_close(&d);
    vlm_run_data_close(&d);
    vlm_model_close(m);
}

/* ---- Batches and updates ---- */

typedef struct seen {
    vlm_train_start start;
    int64_t updates, most_tokens, most_labels, first;          /* first: updates of the first epoch */
    int64_t samples, tokens, labels, images, patches;          /* of the first epoch */
    double flop;
} seen;
static void on_start(void *user, const vlm_train_start *s) { ((seen *)user)->start = *s; }
static void on_update(void *user, const vlm_update *u) {
    seen *s = user;
    s->updates++;
    if (s->most_tokens < u->tokens) s->most_tokens = u->tokens;
    if (s->most_labels < u->labels) s->most_labels = u->labels;
    if (u->epoch) return;
    s->first++;
    s->samples += u->samples, s->tokens += u->tokens, s->labels += u->labels, s->images += u->images, s->patches += u->patches;
    s->flop += u->flop;
}
static vlm_train_options small(void) {
    vlm_train_options o = vlm_train_defaults();
    o.model = "tests/golden/models/vlm_dino", o.data = mixed, o.datas = 1, o.threads = 2;
    o.lr[0] = o.lr[1] = o.lr[2] = 1e-6;
    return o;
}
static void same(vlm_train_options o) {
    seen s = { 0 };
    vlm_plan p;
    plan(&o, &p);
    assert_ok(vlm_plan_check(&p, &o));
    o.run = run_dir();
    assert_ok(vlm_train(&o, &(vlm_train_hooks){ .user = &s, .start = on_start, .update = on_update }));
    assert_int_equal(s.updates, p.steps);
    assert_int_equal(s.start.steps, p.steps);
    assert_true(s.start.samples == p.good && s.start.parameters == p.parameters && s.start.trained == p.trained);
    assert_true(s.start.weights_bytes == p.weights_bytes && s.start.optimizer_bytes == p.optimizer_bytes);
    assert_true(s.start.activation_bytes == p.activation_bytes && s.start.loader_bytes == p.loader_bytes);
    if (s.first < p.updates) return;                           /* it was over before the first epoch was */
    assert_int_equal(s.first, p.updates);
    assert_true(s.samples == p.samples && s.tokens == p.epoch.tokens && s.labels == p.epoch.labels);
    assert_true(s.images == p.epoch.images && s.patches == p.epoch.patches);
    double recompute = o.recompute ? p.epoch.flop.blocks + (o.frozen & 1u << VLM_VISION ? 0 : p.epoch.flop.vision) : 0;
    assert_true(fabs(s.flop + recompute - 1e9 * p.gflop) <= 1e-9 * s.flop);
    if (o.accumulate > 1) return;
    assert_int_equal(p.batches, p.updates);
    assert_true(s.most_tokens <= p.pass.caps.tokens && s.most_labels <= p.pass.caps.labels);
    if (!o.vals && !o.steps && o.epochs == floor(o.epochs))    /* else epochs are looked at of which a part is run */
        assert_true(s.most_tokens == p.pass.caps.tokens && s.most_labels == p.pass.caps.labels);
    if (p.steps == p.updates) assert_int_equal(s.most_tokens, p.largest.tokens);
}
static void batches(void **state) {
    (void)state;
    vlm_train_options o = small();
    same(o);
    o.batch_tokens = 112, same(o);
    o.epochs = 2.4, o.recompute = true, same(o);
    o.no_shuffle = true, o.batch_samples = 2, same(o);
    o = small(), o.batch_patches = 60, o.accumulate = 2, o.epochs = 3, same(o);
    o.frozen = 1u << VLM_VISION, o.recompute = true, same(o);
    o = small(), o.datas = 2, o.seed = 7, o.batch_samples = 3, o.epochs = 2, same(o);
    o.val = mixed, o.vals = 1, same(o);
    o = small(), o.val_fraction = 0.3, o.batch_tokens = 150, o.steps = 5, same(o);
    o = small(), o.steps = 2, o.batch_samples = 1, same(o);
    o.lr[VLM_VISION] = o.lr[VLM_LANGUAGE] = 0, o.epochs = 1, o.steps = 0, same(o);
}
/* A validation batch may be the largest there is. */
static void validation(void **state) {
    (void)state;
    vlm_train_options o = small();
    vlm_plan p;
    const char *line = "{\"texts\":[{\"user\":\"a\",\"assistant\":\"b\"}]}\n";
    temp_write("one.jsonl", line, strlen(line));
    const char *one = temp("one.jsonl");
    o.data = &one, o.val = mixed, o.vals = 1;
    plan(&o, &p);
    assert_true(p.good == 1 && p.largest_samples == 1 && p.pass.caps.samples == 8 && p.pass.caps.labels == 128);
    same(o);
}

/* ---- Memory ---- */

static double resident_mb(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
/* In a process of its own: what it had before does not count. */
static void check_memory(vlm_train_options o, const char *what) {
    int fd[2];
    double grown = -1;
    vlm_plan p;
    plan(&o, &p);
    o.run = run_dir();
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    if (!child) {
        double before = resident_mb();
        vlm_status status = vlm_train(&o, NULL);
        grown = status ? -1 : resident_mb() - before;
        if (status) print_error("%s: %s\n", vlm_error_where(), vlm_error_message());
        _exit(write(fd[1], &grown, sizeof grown) != sizeof grown);
    }
    close(fd[1]);
    assert_int_equal(read(fd[0], &grown, sizeof grown), sizeof grown);
    close(fd[0]);
    waitpid(child, NULL, 0);
    double planned = (double)p.total_bytes / 1048576, slack = planned * 0.05 > 16 ? planned * 0.05 : 16;
    print_message("  %-28s %6.1f MiB peak, %6.1f MiB planned\n", what, grown, planned);
    if (grown < 0 || fabs(grown - planned) > slack) fail_msg("%s: %.1f MiB, planned %.1f MiB", what, grown, planned);
}
/* Pictures of some size, so that pixels and activations weigh more than the slack. */
static void memory(void **state) {
    (void)state;
#ifdef SANITIZED
    skip();                                                    /* its own memory is in the peak */
#endif
    static uint8_t rgb[48 * 64 * 3];
    static const int sizes[3][2] = { { 480, 640 }, { 640, 480 }, { 256, 1024 } };
    char model[512], data[512], text[8192] = "";
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.png", i);
        assert_ok(vlm_picture_write(temp(name), rgb, 48, 64, sizes[i][0], sizes[i][1]));
    }
    for (int i = 0; i < 18; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "{\"images\":[\"%d.png\"],\"texts\":[{\"user\":\"What is picture %d?\","
                 "\"assistant\":\"Noise, and not much of it.\"}]}\n", i % 3, i);
    temp_write("data.jsonl", text, strlen(text));
    snprintf(model, sizeof model, "%s", temp("tiny"));
    snprintf(data, sizeof data, "%s", temp("data.jsonl"));
    assert_ok(vlm_new(&(vlm_new_options){ .preset = "tiny", .out = model, .seed = 1 }));
    const char *datas[] = { data };
    vlm_train_options o = vlm_train_defaults();
    o.model = model, o.data = datas, o.datas = 1, o.threads = 2, o.batch_samples = 3, o.steps = 2;
    check_memory(o, "all");
    o.recompute = true, check_memory(o, "recompute");
    o.frozen = 1u << VLM_VISION, check_memory(o, "frozen vision, recompute");
    o.recompute = false, check_memory(o, "frozen vision");
    o.val = datas, o.vals = 1, o.frozen |= 1u << VLM_LANGUAGE, check_memory(o, "projector, with validation");
}

/* ---- Refusals ---- */

static void refusals(void **state) {
    (void)state;
    seen s = { 0 };
    vlm_plan p;
    vlm_train_options o = small();
    plan(&o, &p);
    o.memory_bytes = p.total_bytes;
    plan(&o, &p);
    assert_int_equal(p.available_bytes, p.total_bytes);
    assert_ok(vlm_plan_check(&p, &o));
    o.memory_bytes--;
    plan(&o, &p);
    assert_failure(vlm_plan_check(&p, &o), VLM_ELIMIT, "training", "lower --batch-tokens 4096, give --recompute, --freeze parts or raise");
    o.run = run_dir();
    assert_failure(vlm_train(&o, &(vlm_train_hooks){ .user = &s, .start = on_start, .update = on_update }), VLM_ELIMIT, "training",
                   "lower --batch-tokens 4096");
    assert_true(!s.updates && !s.start.steps);                 /* before anything has begun */
    o.recompute = true, o.batch_tokens = 0, o.batch_samples = 1;
    plan(&o, &p);
    assert_ok(vlm_plan_check(&p, &o));                         /* what it says helps */
    o.memory_bytes = p.weights_bytes + p.optimizer_bytes + 1;
    plan(&o, &p);
    assert_failure(vlm_plan_check(&p, &o), VLM_ELIMIT, "training", "lower --batch-samples 1, --freeze parts or raise");
    o.memory_bytes--;
    o.memory_bytes--;
    plan(&o, &p);
    assert_failure(vlm_plan_check(&p, &o), VLM_ELIMIT, "training", "weights and optimiser alone take");
    temp_write("none.jsonl", "{}\n", 3);
    const char *none = temp("none.jsonl");
    o = small(), o.data = &none;
    plan(&o, &p);
    assert_failure(vlm_plan_check(&p, &o), VLM_EFORMAT, "none.jsonl", "no sample that can be trained on");
    o = small(), o.frozen = VLM_ALL_GROUPS;
    vlm_model *m;
    assert_ok(vlm_model_open_as(o.model, &o.open, VLM_OPEN_STRUCTURE, &m));
    assert_failure(vlm_train_check_model(&o, m), VLM_EARG, "--freeze", "leaves nothing to train");
    vlm_model_close(m);
    o = small(), o.epochs = 0;
    assert_failure(vlm_train_check(&o), VLM_EARG, "--epochs", "is 0; give more than 0");
    o = small(), o.val_fraction = 1;
    assert_failure(vlm_train_check(&o), VLM_EARG, "--val-fraction", "give a share below 1");
    o = small(), o.lr[VLM_PROJECTOR] = NAN;
    assert_failure(vlm_train_check(&o), VLM_EARG, "--lr-projector", "give 0 to 1000000");
    o = small(), o.accumulate = 0;
    assert_failure(vlm_train_check(&o), VLM_EARG, "vlm_train", "a number is negative");
    o = small(), o.datas = 0;
    assert_failure(vlm_train_check(&o), VLM_EARG, "vlm_train", "needs a model and data");
}
static int stop(void *user, const char *what, int64_t done, int64_t total) {
    (void)user, (void)done, (void)total;
    return !strcmp(what, "epochs");
}
static void stopping(void **state) {
    (void)state;
    vlm_train_options o = small();
    vlm_model *m;
    vlm_run_data d = { 0 };
    vlm_plan p;
    assert_ok(vlm_train_check(&o));
    assert_ok(vlm_model_open_as(o.model, &o.open, VLM_OPEN_STRUCTURE | VLM_OPEN_F32, &m));
    assert_ok(vlm_run_data_open(&d, &o, m));
    assert_ok(vlm_run_data_scan(&d, &o, 1, true, NULL, NULL));
    vlm_log_set(NULL, stop, NULL);
    assert_failure(vlm_plan_make(&o, m, &d, 1, &p), VLM_ESTOPPED, "", "");
    vlm_log_set(NULL, NULL, NULL);
    vlm_run_data_close(&d);
    vlm_model_close(m);
}

/* ---- FLOP ---- */

static void flop(void **state) {
    (void)state;
    const vlm_flop f = { 1000, 100, 10, 1 };
    const struct { unsigned trained; bool recompute; double want; } t[] = {
        { VLM_ALL_GROUPS, false, 3333 }, { VLM_ALL_GROUPS, true, 4343 }, { 0, false, 1111 }, { 0, true, 1111 },
        { 1u << VLM_PROJECTOR, false, 1222 }, { 1u << VLM_PROJECTOR, true, 1232 }, { 1u << VLM_VISION, false, 3222 },
        { 1u << VLM_LANGUAGE, false, 1133 }, { 1u << VLM_LANGUAGE | 1u << VLM_PROJECTOR, true, 1243 } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) assert_true(vlm_pass_flop(&f, t[i].trained, t[i].recompute) == t[i].want);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(flop), cmocka_unit_test(batches), cmocka_unit_test(validation),
                                        cmocka_unit_test(memory), cmocka_unit_test(refusals), cmocka_unit_test(stopping) };
    return cmocka_run_group_tests_name("plan", tests, temp_open, temp_close);
}

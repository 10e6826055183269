/* Whole runs of vlm_train in the temporary folder: options to begin with, hooks that count and stop, and what a run wrote. */
#ifndef RUN_H
#define RUN_H
#include "temp.h"
#include "base/file.h"
#include "io/json.h"
#include "train/trainer.h"
#include <math.h>

#define MODEL "tests/golden/models/vlm_dino"
#define MIXED "tests/golden/images/mixed.jsonl"

/* temp_dir/name, for as long as the test runs. */
static const char *keep(const char *name) {
    static char all[64][300];
    static int n;
    char *s = all[n++ % 64];
    snprintf(s, 300, "%s/%s", temp_dir, name);
    return s;
}
/* Six updates of three samples at a time, no validation, a checkpoint at the end. */
__attribute__((unused)) static vlm_train_options options(const char *run) {
    static const char *const data[] = { MIXED };
    vlm_train_options o = vlm_train_defaults();
    o.model = MODEL, o.run = keep(run), o.data = data, o.datas = 1;
    o.threads = 1, o.steps = 6, o.batch_samples = 3, o.seed = 4;
    o.eval_every = o.save_every = 0;
    o.lr[VLM_PROJECTOR] = 1e-3, o.lr[VLM_VISION] = 1e-4, o.lr[VLM_LANGUAGE] = 3e-4;
    return o;
}

typedef struct watch {
    int64_t stop_at;                   /* stops behind this update; 0: never */
    int64_t updates, skipped, validations, saved, quarantined, starts;
    vlm_update last;
    vlm_train_start start;
    double val_loss;
    int64_t val_labels;
    char why[1200];
} watch;
static void on_start(void *user, const vlm_train_start *s) { watch *w = user; w->starts++; w->start = *s; }
static void on_update(void *user, const vlm_update *u) {
    watch *w = user;
    w->updates++;
    w->skipped += u->skipped;
    w->last = *u;
    assert_true(u->skipped == (u->why != NULL));
    if (u->why) snprintf(w->why, sizeof w->why, "%s", u->why);
    w->last.why = NULL;
}
static void on_validation(void *user, int64_t step, double loss, int64_t labels, bool best) {
    watch *w = user;
    (void)step, (void)best;
    w->validations++;
    w->val_loss = loss, w->val_labels = labels;
}
static void on_quarantine(void *user, const char *file, const char *row, const char *code, const char *reason) {
    watch *w = user;
    assert_true(*file && *row && *code && *reason);
    w->quarantined++;
}
static void on_saved(void *user, const char *path) { (void)path; ((watch *)user)->saved++; }
static int on_stop(void *user) { watch *w = user; return w->stop_at && w->last.step >= w->stop_at; }
__attribute__((unused)) static vlm_status train(const vlm_train_options *o, watch *w) {
    int64_t stop_at = w->stop_at;
    *w = (watch){ .stop_at = stop_at };
    return vlm_train(o, &(vlm_train_hooks){ .user = w, .start = on_start, .update = on_update, .validation = on_validation,
                                            .quarantine = on_quarantine, .saved = on_saved, .stop = on_stop });
}

/* A JSON Lines file of RUN as an array; the caller's. */
__attribute__((unused)) static json_t *rows(const char *run, const char *file) {
    char path[600], line[8192];
    json_t *all = json_array();
    snprintf(path, sizeof path, "%s/%s", run, file);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        json_error_t e;
        json_t *j = json_loads(line, 0, &e);
        if (!j || !strchr(line, '\n')) fail_msg("%s: %s", path, line);
        json_array_append_new(all, j);
    }
    fclose(f);
    return all;
}
__attribute__((unused)) static int64_t integer(const json_t *row, const char *key) {
    const json_t *v = json_object_get(row, key);
    if (!json_is_integer(v)) fail_msg("%s is no integer", key);
    return json_integer_value(v);
}
__attribute__((unused)) static bool exists(const char *run, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", run, name);
    return vlm_exists(path);
}
__attribute__((unused)) static void assert_same_files(const char *a, const char *b, const char *file) {
    char pa[700], pb[700];
    snprintf(pa, sizeof pa, "%s/%s", a, file);
    snprintf(pb, sizeof pb, "%s/%s", b, file);
    unsigned char *x, *y;
    size_t n, m;
    assert_ok(vlm_read(pa, 1 << 30, &x, &n));
    assert_ok(vlm_read(pb, 1 << 30, &y, &m));
    if (n != m || memcmp(x, y, n)) fail_msg("%s and %s differ", pa, pb);
    free(x);
    free(y);
}
/* Weights, moments and state behind `step`, and all rows but their times. */
__attribute__((unused)) static void assert_same_runs(const char *a, const char *b, int64_t step) {
    static const char *const files[] = { "model.safetensors", "train_state.safetensors", "config.json", "vlm.json",
                                         "tokenizer/tokenizer.json" };
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "step_%d/%s", (int)step, files[i]);
        assert_same_files(a, b, name);
    }
    json_t *x = rows(a, "metrics.jsonl"), *y = rows(b, "metrics.jsonl");
    assert_true(json_array_size(x) == json_array_size(y) && json_array_size(x) > 0);
    for (size_t i = 0; i < json_array_size(x); i++) {
        json_object_del(json_array_get(x, i), "ms");
        json_object_del(json_array_get(y, i), "ms");
    }
    if (!json_equal(x, y)) fail_msg("%s and %s have other metrics", a, b);
    json_decref(x);
    json_decref(y);
    assert_same_files(a, b, "quarantine.jsonl");
}
/* A data set in the temporary folder: lines, where ' stands for ". */
__attribute__((unused)) static const char *write_data(const char *name, const char *lines) {
    char *s = strdup(lines);
    assert_non_null(s);
    for (char *p = s; *p; p++) if (*p == '\'') *p = '"';
    temp_write(name, s, strlen(s));
    free(s);
    return keep(name);
}
#endif

/* Memory, by wrapping the allocator (-Wl,--wrap): nothing is allocated per token once a session is set up; and when the n-th allocation of
   a whole run fails, for every n, the answer is VLM_ENOMEM, nothing leaks (ASan build) and nothing crashes; a data set's sample is not
   blamed for it. Calls of this library's own code are counted, of all threads; in an update of training, those of the trainer's thread. */
#include "vlm.h"
#include "base/file.h"
#include "data/dataset.h"
#include "infer/convert.h"
#include "infer/quantize.h"
#include "infer/session.h"
#include "train/evaluate.h"
#include "train/trainer.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls;              /* so far */
static atomic_long fail_at = -1;       /* the one that fails */
static _Thread_local long own;         /* of this thread */
static int fails(void) { own++; return ++calls == fail_at; }
static void count_from(long failing) {  /* 0 again; -1: none fails */
    calls = 0;
    fail_at = failing;
}
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t a, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t a, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { return fails() ? NULL : __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t a, size_t n) { return fails() ? NULL : __real_aligned_alloc(a, n); }
char *__wrap_strdup(const char *s) { return fails() ? NULL : __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n) { return fails() ? NULL : __real_strndup(s, n); }

static int passed, failed;
static void check(int ok, const char *what, const char *model, long n) {
    if (ok) { passed++; return; }
    failed++;
    printf("FAIL %s: %s, %ld (%s: %s)\n", model, what, n, vlm_error_where(), vlm_error_message());
}

static int wrong_states;               /* a session was not where vlm.h says after a failure */
static void expect(int ok, const char *what) {
    if (!ok && wrong_states++ < 5) printf("    allocation %ld: %s (%s: %s)\n", fail_at, what, vlm_error_where(), vlm_error_message());
}

/* A second turn. One that failed was never said, and can be said again; after half an answer only a reset helps. */
static vlm_status second_turn(vlm_session *s, const vlm_answer_options *o) {
    int64_t before = vlm_session_position(s);
    vlm_status st = vlm_say(s, NULL, NULL, "And that?"), answered = VLM_OK;
    long failing = fail_at;
    if (st) {
        expect(vlm_session_position(s) == before, "a failed turn took positions");
        fail_at = -1;
        expect(!vlm_say(s, NULL, NULL, "And that?"), "a failed turn cannot be said again");
        expect(!vlm_answer(s, o, NULL), "nor answered");
    } else answered = vlm_answer(s, o, NULL);
    if (answered) {
        fail_at = -1;
        vlm_session_reset(s);
        expect(!vlm_say(s, NULL, NULL, "x") && !vlm_answer(s, o, NULL), "a reset does not help");
    }
    fail_at = failing;
    return st ? st : answered;
}

/* Everything once: open, look, say, answer, and once more. */
static vlm_status run(const char *dir) {
    static const uint8_t rgb[24 * 40 * 3];
    vlm_model_options mo = { .threads = 1 };
    vlm_session_options so = { .threads = 1 };
    vlm_answer_options ao = { .max_tokens = 3 };
    vlm_answer_result r = { 0 };
    vlm_model *m = NULL;
    vlm_session *s = NULL;
    vlm_image *image = NULL;
    vlm_features *f = NULL;
    vlm_status st = vlm_model_open(dir, &mo, &m);
    vlm_model_info info = { 0 };
    if (!st) info = vlm_model_describe(m);
    if (!st) st = vlm_session_open(m, &so, &s);
    if (!st && info.vision) st = vlm_image_from_rgb(m, rgb, 40, 24, &image);
    if (!st && info.vision) st = vlm_encode(s, (const vlm_image *const *)&image, 1, &f);
    if (!st && info.language) st = vlm_say(s, NULL, f, "What is it?");
    if (!st && info.language) st = vlm_answer(s, &ao, &r);
    if (!st && info.language) st = second_turn(s, &ao);
    vlm_free(r.text);
    vlm_free(r.ids);
    vlm_features_free(f);
    vlm_image_free(image);
    vlm_session_close(s);
    vlm_model_close(m);
    return st;
}

/* A sample asked and measured; model and sample are there already. */
static vlm_model *asked;
static struct vlm_sample question;
static vlm_status evaluation(const char *dir) {
    vlm_evaluate_options o = { .measures = (1 << VLM_MEASURES) - 1, .max_tokens = 3, .threads = 1 };
    vlm_evaluator *e = NULL;
    vlm_evaluated v = { 0 };
    vlm_bad why = VLM_BAD_NONE;
    vlm_interval mean;
    (void)dir;
    vlm_status st = vlm_evaluator_open(asked, &o, &e);
    if (!st) st = vlm_evaluate(e, &question, &v, &why);
    if (why) expect(0, "a sample is blamed for memory");
    if (!st) st = vlm_bootstrap(v.sum, NULL, VLM_MEASURES, 0, &mean);
    vlm_evaluated_free(&v);
    vlm_evaluator_close(e);
    return st;
}
/* Of more than `most` allocations some, evenly. */
static void every_allocation_fails_once(const char *dir, vlm_status (*run)(const char *), long most) {
    count_from(-1);
    vlm_status st = run(dir);
    long total = calls, wrong = 0;
    check(st == VLM_OK, "does not run", dir, st);
    long step = total > most ? total / most : 1;
    for (long n = 1; n <= total; n += step) {
        count_from(n);
        st = run(dir);
        /* libraries may go on without what they wanted; then the run is whole */
        if (st != VLM_ENOMEM && st != VLM_OK && wrong++ < 5)
            printf("    allocation %ld: %s: %s: %s\n", n, vlm_status_name(st), vlm_error_where(), vlm_error_message());
    }
    fail_at = -1;
    check(!wrong, "failed allocations with another status", dir, wrong);
    check(!wrong_states, "failures that left a session in a wrong state", dir, wrong_states);
    wrong_states = 0;
    printf("%s: %s of %ld allocations failed once\n", dir, step > 1 ? "some" : "each", total);
}

/* ---- What is kept, packed and quantized ---- */

static char place[32], picture[1100];  /* a folder in memory, if there is one: nobody waits for a disk */
static const char *in_place(const char *name, long k) {
    static char path[64];
    snprintf(path, sizeof path, "%s/%s%ld", place, name, k);
    return path;
}
/* Two pictures and a long question with an empty cache, then with what is in it: the same answer. */
static int64_t first_ids[3];
static vlm_status cached(const char *dir) {
    static const char text[] = "a long question, a long question, a long question, a long question, a long question, a long question, ";
    vlm_status st = VLM_OK;
    for (int round = 0; !st && round < 2; round++) {
        vlm_model *m = NULL;
        vlm_session *s = NULL;
        vlm_image *image[2] = { NULL, NULL };
        vlm_features *f = NULL;
        vlm_answer_result r = { 0 };
        st = vlm_model_open(dir, &(vlm_model_options){ .threads = 1, .cache_dir = in_place("cache", fail_at) }, &m);
        if (!st) st = vlm_session_open(m, &(vlm_session_options){ .threads = 1 }, &s);
        for (int i = 0; !st && i < 2; i++) st = vlm_image_load(m, picture, &image[i]);
        if (!st) st = vlm_encode(s, (const vlm_image *const *)image, 2, &f);
        if (!st) st = vlm_say(s, NULL, f, text);
        if (!st) st = vlm_answer(s, &(vlm_answer_options){ .max_tokens = 3 }, &r);
        if (!st && fail_at < 0 && !round) memcpy(first_ids, r.ids, (size_t)r.n * sizeof *r.ids);
        if (!st && fail_at < 0)
            check(round ? s->reused_images == 2 && s->reused_positions >= 64 : s->reused_images == 1, "reused", dir, round);
        if (!st) expect(!memcmp(first_ids, r.ids, (size_t)r.n * sizeof *r.ids), "another answer");
        vlm_free(r.text);
        vlm_free(r.ids);
        vlm_features_free(f);
        vlm_image_free(image[0]);
        vlm_image_free(image[1]);
        vlm_session_close(s);
        vlm_model_close(m);
    }
    return st;
}
static vlm_model *whole;               /* what was there is there, whole, if another folder did not take its place */
static vlm_status quantized(const char *dir) {
    static const vlm_model_options open = { .threads = 1 };
    json_t *report = NULL;
    const char *out = in_place("q", 0);
    (void)dir;
    vlm_quantize_options o = { .out = out, .force = true, .language = "int4", .threads = 1 };
    vlm_status st = vlm_quantize(whole, &open, &o, &report);
    expect(vlm_is_dir(out), "a folder is gone");
    json_decref(report);
    return st;
}
static vlm_status packed(const char *dir) {
    const char *out = in_place("p", 0);
    (void)dir;
    vlm_status st = vlm_convert(whole, &(vlm_convert_options){ .out = out, .force = true, .packed = true, .threads = 1 });
    expect(vlm_is_dir(out), "a folder is gone");
    return st;
}
static void kept_and_packed(const char *dir, const char *images) {
    char q[64], cmd[128];
    strcpy(place, "/dev/shm/vlm-faults-XXXXXX");
    if (!mkdtemp(place) && !mkdtemp(strcpy(place, "/tmp/vlm-faults-XXXXXX"))) { check(0, "no folder", place, 0); return; }
    snprintf(picture, sizeof picture, "%s/rgb_64x48.png", images);
    every_allocation_fails_once(dir, cached, 3000);
    if (vlm_model_open(dir, NULL, &whole)) check(0, "does not open", dir, 0);
    else every_allocation_fails_once(dir, quantized, 250);
    vlm_model_close(whole);
    whole = NULL;
    if (vlm_model_open_as(dir, NULL, VLM_OPEN_STRUCTURE, &whole)) check(0, "does not open", dir, 0);
    else every_allocation_fails_once(dir, packed, 1000);
    vlm_model_close(whole);
    snprintf(q, sizeof q, "%s", in_place("q", 0));
    every_allocation_fails_once(q, run, 3000);
    snprintf(cmd, sizeof cmd, "cd %s && ! find . -name '*tmp-*' | grep . && rm -rf %s", place, place);
    check(!system(cmd), "something half written is left", place, 0);
}

static void evaluations(const char *dir, const char *images) {
    static const char line[] =
        "{\"images\": [\"rgb_1x1.png\"], \"texts\": [{\"user\": \"Which?\", \"assistant\": \"a cat\"}, "
        "{\"user\": \"And now?\", \"assistant\": \"two\"}], \"answers\": [\"2\", \"the Two\"], \"choices\": [\"one\", \"two\"]}";
    vlm_sample_source from = { .file = "line", .row = "1", .where = "line:1", .root = images, .max_images = 1 };
    json_t *j = NULL;
    fail_at = -1;
    if (vlm_model_open(dir, NULL, &asked) || vlm_sample_json(line, sizeof line - 1, "line:1", &j, NULL) ||
        vlm_sample_read(j, &from, &question, NULL)) check(0, "does not open", dir, 0);
    else every_allocation_fails_once(dir, evaluation, 3000);
    json_decref(j);
    vlm_sample_free(&question);
    vlm_model_close(asked);
    asked = NULL;
}

static void none_per_token(const char *dir) {
    vlm_model *m = NULL;
    vlm_session *s = NULL;
    int64_t ids[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, id;
    vlm_sampling sampling = { .temperature = 0.7, .top_k = 20, .top_p = 0.9 };
    if (vlm_model_open(dir, NULL, &m) || vlm_session_open(m, &(vlm_session_options){ .threads = 2 }, &s) ||
        vlm_prefill(s, ids, 8, NULL)) check(0, "does not open", dir, 0);
    else {
        long before = calls;
        for (int i = 0; i < 100; i++) if (vlm_sample(s, &sampling, &id) || vlm_prefill(s, &id, 1, NULL)) break;
        check(vlm_session_position(s) == 108, "tokens", dir, (long)vlm_session_position(s));
        check(calls == before, "allocations in 100 tokens", dir, calls - before);
    }
    vlm_session_close(s);
    vlm_model_close(m);
}

/* A data set of each kind, all samples and their pictures. */
static vlm_status read_all(const char *path, int64_t *blamed) {
    vlm_dataset *d = NULL;
    uint64_t h;
    vlm_status st = vlm_dataset_open(path, NULL, &d);
    for (int64_t i = 0; !st && i < vlm_dataset_count(d); i++) {
        struct vlm_sample s;
        vlm_bitmap b = { 0 };
        vlm_bad why;
        st = vlm_dataset_read(d, i, &s, &why);
        *blamed += st && why;
        if (st) break;
        if (s.images) {
            st = vlm_sample_image_load(&s, 0, NULL, &b, &why);
            *blamed += st && why;
        }
        vlm_bitmap_close(&b);
        vlm_sample_free(&s);
    }
    if (!st) st = vlm_dataset_hash(d, &h);
    vlm_dataset_close(d);
    return st;
}
static void data_sets(const char *golden) {
    static const char *const names[] = { "d.jsonl", "f", "d.tar", "." };
    char dir[] = "/tmp/vlm-faults-XXXXXX", cmd[2048], path[64];
    if (!mkdtemp(dir)) { check(0, "no folder", dir, 0); return; }
    snprintf(cmd, sizeof cmd, "mkdir %s/f && cp %s/images/exif6.jpg %s/f/a.jpg && cp %s/f/a.jpg %s/f/b.jpg && echo cat > %s/f/a.txt && "
             "echo '{\"id\":1,\"texts\":[{\"user\":\"q\"}],\"answers\":[\"a\"]}' > %s/f/b.json && tar cf %s/d.tar -C %s/f . && "
             "echo '{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"f/a.jpg\"},"
             "{\"type\":\"text\",\"text\":\"q\"}]}]}' > %s/d.jsonl", dir, golden, dir, dir, dir, dir, dir, dir, dir, dir);
    check(!system(cmd), "no data", dir, 0);
    for (int k = 0; k < 4; k++) {
        int64_t blamed = 0;
        long total, wrong = 0;
        if (k == 3) snprintf(cmd, sizeof cmd, "rm -r %s/f %s/d.jsonl", dir, dir), check(!system(cmd), "no shards", dir, 0);
        snprintf(path, sizeof path, "%s/%s", dir, names[k]);
        count_from(-1);
        vlm_status st = read_all(path, &blamed);
        check(!st, "does not read", names[k], st);
        total = calls;
        for (fail_at = 1; fail_at <= total; fail_at++) {
            calls = 0;
            st = read_all(path, &blamed);
            if (st != VLM_ENOMEM && st && wrong++ < 5)
                printf("    allocation %ld: %s: %s: %s\n", fail_at, vlm_status_name(st), vlm_error_where(), vlm_error_message());
        }
        fail_at = -1;
        check(!wrong, "failed allocations with another status", names[k], wrong);
        check(!blamed, "samples blamed for it", names[k], (long)blamed);
        printf("%s: each of %ld allocations failed once\n", names[k], total);
    }
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    check(!system(cmd), "not cleaned", dir, 0);
}

/* ---- Training: from one row of metrics to the next, and the whole of a run ---- */

static long updates, before, taken;    /* own calls at the end of the update before; in updates */
static int64_t epoch;
static void on_update(void *user, const vlm_update *u) {
    (void)user;
    if (updates++ && u->epoch == epoch) taken += own - before; /* an epoch's turn makes its order */
    epoch = u->epoch;
    before = own;
}
static vlm_status train(const char *golden, const char *dir, const char *times, vlm_train_options *o) {
    char model[1024], data[1024], run[64], cmd[128];
    const char *const list[] = { data };
    snprintf(model, sizeof model, "%s/models/vlm_dino", golden);
    snprintf(data, sizeof data, "%s/images/mixed.jsonl%s", golden, times);
    snprintf(run, sizeof run, "%s/run", dir);
    o->model = model, o->run = run, o->data = list, o->datas = 1;
    vlm_status st = vlm_train(o, &(vlm_train_hooks){ .update = on_update });
    long failing = fail_at;
    unsigned char *bad = NULL;
    size_t n = 0;
    fail_at = -1;
    snprintf(cmd, sizeof cmd, "%s/quarantine.jsonl", run);
    if (vlm_exists(cmd) && !vlm_read(cmd, 1 << 20, &bad, &n)) expect(!n, "a sample is blamed for memory");
    free(bad);
    snprintf(cmd, sizeof cmd, "rm -rf %s", run);
    check(!system(cmd), "not cleaned", run, 0);
    fail_at = failing;
    return st;
}
static void runs(const char *golden) {
    char dir[] = "/tmp/vlm-faults-XXXXXX";
    vlm_train_options o = vlm_train_defaults();
    if (!mkdtemp(dir)) { check(0, "no folder", dir, 0); return; }
    o.threads = 2, o.batch_samples = 3, o.accumulate = 2, o.steps = 30, o.eval_every = o.save_every = 0;
    vlm_status st = train(golden, dir, "@10", &o);     /* 14 updates an epoch, in another order each */
    check(!st && updates == 30, "does not train", "vlm_dino", st);
    check(!taken, "allocations in updates after the first", "vlm_dino", taken);
    o.threads = 1, o.steps = 2, o.val_fraction = 0.2;
    calls = 0;
    check(!train(golden, dir, "", &o), "does not train", "vlm_dino", 0);
    long total = calls, wrong = 0, step = total / 120 + 1, done = 0;
    for (long n = 1; n <= total; n += step, done++) {
        count_from(n);
        st = train(golden, dir, "", &o);
        if (st != VLM_ENOMEM && st != VLM_OK && wrong++ < 5)
            printf("    allocation %ld: %s: %s: %s\n", n, vlm_status_name(st), vlm_error_where(), vlm_error_message());
    }
    fail_at = -1;
    check(!wrong, "failed allocations with another status", "training", wrong);
    check(!wrong_states, "samples that are blamed for them", "training", wrong_states);
    wrong_states = 0;
    printf("training: %ld of %ld allocations failed once\n", done, total);
    check(!rmdir(dir), "not cleaned", dir, 0);
}

int main(int argc, char **argv) {
    static const char *const models[] = { "dinov3_splus", "siglip", "dinov2_reg", "llama", "gemma3", "vlm_dino", "vlm_siglip_up",
                                          "vlm_gemma" };
    char dir[1024], images[1024];
    if (argc < 2) { fprintf(stderr, "usage: faults tests/golden\n"); return 2; }
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        snprintf(dir, sizeof dir, "%s/models/%s", argv[1], models[i]);
        every_allocation_fails_once(dir, run, 3000);  /* a tokenizer makes many alike */
        if (strstr(dir, "llama") || strstr(dir, "gemma") || strstr(dir, "vlm_")) none_per_token(dir);
    }
    data_sets(argv[1]);
    snprintf(dir, sizeof dir, "%s/models/vlm_dino", argv[1]);
    snprintf(images, sizeof images, "%s/images", argv[1]);
    evaluations(dir, images);
    kept_and_packed(dir, images);
    runs(argv[1]);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed || !passed;
}

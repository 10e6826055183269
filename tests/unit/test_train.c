/* Runs: what they write, that stopping and going on changes no bit, what a resumed run refuses, which checkpoints stay. */
#include "run.h"
#include "base/log.h"
#include <dirent.h>
#include <sys/stat.h>

/* ---- What a run writes -------------------------------------------------------------------------------------------- */

static void metrics(void **state) {
    (void)state;
    static const char *const keys[] = { "step", "loss", "grad_norm", "lr", "samples", "tokens", "labels", "images", "patches", "ms",
                                        "skipped" };
    vlm_train_options o = options("metrics");
    watch w = { 0 };
    o.no_shuffle = true, o.steps = 7, o.eval_every = 3, o.frozen = 1u << VLM_VISION;
    static const char *const val[] = { MIXED };
    o.val = val, o.vals = 1;
    assert_ok(train(&o, &w));
    assert_true(w.updates == 7 && w.starts == 1 && w.validations == 3 && w.saved >= 1 && !w.quarantined);
    assert_true(w.start.samples == 8 && w.start.held_out == 8 && w.start.steps == 7 && !w.start.from_step);
    assert_true(w.start.trained < w.start.parameters && w.start.optimizer_bytes > 0 && w.start.activation_bytes > 0);
    json_t *all = rows(o.run, "metrics.jsonl"), *row, *quarantine = rows(o.run, "quarantine.jsonl");
    static const int labels[3] = { 61, 44, 23 };
    size_t i;
    int64_t step = 0;
    int updates = 0, validations = 0;
    json_array_foreach(all, i, row) {
        if (json_object_get(row, "val_loss")) {
            assert_true(json_object_size(row) == 3 && integer(row, "val_labels") == 128 && integer(row, "step") == step);
            assert_true(step == 3 || step == 6 || step == 7);
            validations++;
            continue;
        }
        assert_true(integer(row, "step") == ++step && json_object_size(row) == sizeof keys / sizeof *keys);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) if (!json_object_get(row, keys[k])) fail_msg("no %s", keys[k]);
        const json_t *lr = json_object_get(row, "lr");
        assert_true(json_object_size(lr) == 2 && !json_object_get(lr, "vision"));      /* frozen ones are absent */
        assert_true(json_is_false(json_object_get(row, "skipped")) && json_number_value(json_object_get(row, "ms")) > 0);
        assert_true(integer(row, "samples") == (step % 3 ? 3 : 2));            /* no batch spans two epochs */
        assert_true(integer(row, "labels") == labels[(step - 1) % 3]);
        updates++;
    }
    assert_true(updates == 7 && validations == 3 && !json_array_size(quarantine));
    json_decref(all);
    json_decref(quarantine);

    /* nine significant digits, as the hook's numbers say */
    char want[64], line[4096], last[4096] = "", path[600];
    snprintf(path, sizeof path, "%s/metrics.jsonl", o.run);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) if (strstr(line, "\"loss\"")) strcpy(last, line);
    fclose(f);
    snprintf(want, sizeof want, "{\"step\":7,\"loss\":%.9g,\"grad_norm\":%.9g,", w.last.loss, w.last.grad_norm);
    if (strncmp(last, want, strlen(want))) fail_msg("%s\nexpected %s", last, want);

    json_t *j = NULL;
    snprintf(path, sizeof path, "%s/run.json", o.run);
    assert_ok(vlm_json_read(path, &j));
    assert_true(json_is_object(json_object_get(j, "settings")) && json_array_size(json_object_get(j, "starts")) == 1);
    assert_true(integer(j, "total_steps") == 7);
    json_decref(j);
}

/* Validation does not depend on how it is packed, and repeats itself to the bit. The rate is too small to move a weight. */
static void validation(void **state) {
    (void)state;
    static const char *const val[] = { MIXED };
    static const struct { int64_t samples, tokens, patches; int threads; } packed[] = {
        { 1, 0, 0, 1 }, { 8, 0, 0, 3 }, { 3, 0, 0, 2 }, { 0, 200, 0, 1 }, { 0, 0, 200, 1 }, { 0, 0, 0, 1 } };
    double loss = 0;
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        char name[16];
        snprintf(name, sizeof name, "val%d", (int)i);
        vlm_train_options o = options(name);
        watch w = { 0 };
        o.val = val, o.vals = 1, o.steps = 1, o.threads = packed[i].threads;
        o.batch_samples = packed[i].samples, o.batch_tokens = packed[i].tokens, o.batch_patches = packed[i].patches;
        for (int g = 0; g < VLM_GROUPS; g++) o.lr[g] = 1e-30;
        assert_ok(train(&o, &w));
        assert_true(w.validations == 1 && w.val_labels == 128 && isfinite(w.val_loss));
        if (!i) loss = w.val_loss;
        if (w.val_loss != loss) fail_msg("packing %d: %.17g, unpacked %.17g", (int)i, w.val_loss, loss);
    }
    assert_true(fabs(loss / 6.756485609215297 - 1) < 1e-6);            /* the golden model's */
}

/* ---- Stopping and going on ------------------------------------------------------------------------------------------ */

/* Two batches an update, four updates in three epochs' time, a sample that waits for the next batch, validation, the best: stopped behind
   each update in turn, and then behind every one, the run ends with the same bytes. */
static void resuming(void **state) {
    (void)state;
    static const char *const data[] = { MIXED "@1.5" };
    vlm_train_options o = options("whole");
    watch w = { 0 };
    o.data = data, o.batch_samples = 0, o.batch_tokens = 200, o.accumulate = 2, o.steps = 9, o.val_fraction = 0.25, o.eval_every = 2;
    o.epochs = 1, o.keep = 0;
    assert_ok(train(&o, &w));
    assert_true(w.updates == 9 && w.last.epoch >= 2);
    const char *whole = o.run;
    for (int k = 1; k <= 8; k++) {
        char name[16];
        snprintf(name, sizeof name, "cut%d", k);
        vlm_train_options c = o;
        c.run = keep(name);
        w.stop_at = k;
        assert_failure(train(&c, &w), VLM_ESTOPPED, c.run, "stopped; go on with --resume auto");
        assert_true(w.updates == k && w.last.step == k);
        w.stop_at = 0;
        c.resume = "auto", c.threads = 1 + k % 3, c.recompute = k & 1;
        assert_ok(train(&c, &w));
        assert_true(w.updates == 9 - k && w.start.from_step == k);
        assert_same_runs(whole, c.run, 9);
    }
    vlm_train_options c = o;                   /* one update a start; also where there is nothing yet to go on from */
    c.run = keep("steps"), c.resume = "auto";
    for (int k = 1; k <= 9; k++) {
        w.stop_at = k;
        vlm_status status = train(&c, &w);
        assert_true(w.updates == 1 && (k < 9 ? status == VLM_ESTOPPED : !status));
    }
    assert_same_runs(whole, c.run, 9);
    w.stop_at = 0;
    assert_ok(train(&c, &w));                  /* all is done: nothing happens */
    assert_true(!w.updates);
    assert_same_runs(whole, c.run, 9);
    json_t *j = NULL;
    char path[600];
    snprintf(path, sizeof path, "%s/run.json", c.run);
    assert_ok(vlm_json_read(path, &j));
    assert_true(json_array_size(json_object_get(j, "starts")) == 10);
    json_decref(j);
    snprintf(path, sizeof path, "%s/step_4", c.run);           /* from an earlier one: what came after is done again */
    c.resume = path;
    assert_ok(train(&c, &w));
    assert_true(w.updates == 5 && w.start.from_step == 4);
    assert_same_runs(whole, c.run, 9);
    /* a damaged checkpoint is passed over */
    snprintf(path, sizeof path, "%s/step_9/train_state.safetensors", c.run);
    assert_int_equal(truncate(path, 100), 0);
    c.resume = "auto";
    assert_ok(train(&c, &w));
    assert_true(w.start.from_step == 8 && w.updates == 1);
    assert_same_runs(whole, c.run, 9);
}
/* Epochs: an update never spans two, part of one is so many updates, and the run's length is kept in the checkpoint. */
static void epochs(void **state) {
    (void)state;
    static const struct { double epochs; int updates; } t[] = { { 1, 3 }, { 2, 6 }, { 0.5, 2 }, { 1.34, 5 }, { 0.01, 1 } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char name[16];
        snprintf(name, sizeof name, "epoch%d", (int)i);
        vlm_train_options o = options(name);
        watch w = { 0 };
        o.steps = 0, o.epochs = t[i].epochs;
        assert_ok(train(&o, &w));
        if (w.updates != t[i].updates) fail_msg("%g epochs: %d updates", t[i].epochs, (int)w.updates);
        assert_true(w.start.steps == t[i].updates && w.last.steps == t[i].updates);
    }
}

/* ---- What a resumed run refuses ------------------------------------------------------------------------------------- */

static const char *const other[] = { MIXED "@0.5", MIXED };
#define CHANGE(name, key, what) static void change_##name(vlm_train_options *o) { what; }
#define CHANGES \
    C(model, "model", o->model = "tests/golden/models/vlm_dino_bf16") C(weight, "data", o->data = other) \
    C(val, "val", o->val = other + 1; o->vals = 1) C(val_fraction, "val-fraction", o->val_fraction = 0.2) \
    C(seed, "seed", o->seed = 5) C(shuffle, "shuffle", o->no_shuffle = true) C(steps, "steps", o->steps = 5) \
    C(epochs, "steps", o->steps = 0; o->epochs = 3) C(tokens, "batch-tokens", o->batch_tokens = 300) \
    C(patches, "batch-patches", o->batch_patches = 300) C(samples, "batch-samples", o->batch_samples = 2) \
    C(accumulate, "accumulate", o->accumulate = 2) C(mean, "mean-per-microbatch", o->mean_per_microbatch = true) \
    C(lr, "lr", o->lr[VLM_PROJECTOR] = 2e-3) C(schedule, "schedule", o->constant = true) C(warmup, "warmup", o->warmup = 0.5) \
    C(decay, "weight-decay", o->weight_decay = 0.02) C(decay_all, "decay-all", o->decay_all = true) \
    C(clip, "max-grad-norm", o->max_grad_norm = 2) C(skip, "skip-above", o->skip_above = 1e6) \
    C(shrink, "shrink-images", o->shrink_images = true) C(size, "image", o->open.max_size_px = 32) \
    C(image_tokens, "image", o->open.max_image_tokens = 4) C(upscale, "image", o->open.no_upscale = 1) \
    C(compat, "compat-resize", o->open.compat_resize = 1) C(context, "context", o->open.context = 200) \
    C(chat, "template", o->open.chat_template = "smollm2") C(ratings, "ratings", o->dataset.rating_min[2] = 3) \
    C(fast, "fast-decode", o->open.fast_decode = 1) C(images, "limits", o->dataset.max_images = 9) \
    C(pixels, "limits", o->open.max_pixels = 1000000)
#define C CHANGE
CHANGES
#undef C
static void settings(void **state) {
    (void)state;
    static const struct { const char *key; void (*change)(vlm_train_options *); } all[] = {
#define C(name, key, what) { key, change_##name },
        CHANGES
#undef C
    };
    vlm_train_options o = options("changed");
    watch w = { .stop_at = 2 };
    assert_failure(train(&o, &w), VLM_ESTOPPED, "", "");
    w.stop_at = 0;
    o.resume = "auto";
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char words[64];
        vlm_train_options c = o;
        all[i].change(&c);
        snprintf(words, sizeof words, "was made with %s ", all[i].key);
        assert_failure(train(&c, &w), VLM_EARG, "changed/step_2", words);
        assert_non_null(strstr(vlm_error_message(), "give what it had, or --allow-change to go on differently"));
        assert_true(!w.updates);
    }
    vlm_train_options c = o;                   /* parts that are frozen have no rate: the change is named by the rates or the parts */
    c.frozen = 1u << VLM_VISION;
    assert_failure(train(&c, &w), VLM_EARG, "changed/step_2", "was made with ");
    c = o;
    c.threads = 3, c.recompute = true, c.keep = 1, c.save_every = 3, c.strict = true;  /* none of these changes a result */
    assert_ok(train(&c, &w));
    assert_true(w.updates == 4);
    if (vlm_cpu_flags() & VLM_CPU_AVX2) {
        c.open.isa = "ref";
        assert_failure(train(&c, &w), VLM_EARG, "changed/step_6", "was made with isa \"fast\", this command has \"ref\"");
    }
    c = o;                                     /* the wish is the user's */
    c.lr[VLM_PROJECTOR] = 1e-2, c.steps = 8, c.allow_change = true;
    assert_ok(train(&c, &w));
    assert_true(w.updates == 2 && w.last.step == 8 && w.last.steps == 8);
    c.allow_change = false;
    assert_ok(train(&c, &w));                  /* and from then on the run's */
    assert_failure(train(&o, &w), VLM_EARG, "changed/step_8", "was made with steps 8, this command has 6");
    /* data that has changed meanwhile */
    const char *data[] = { write_data("grows.jsonl", "{'texts': [{'user': 'a', 'assistant': 'b'}]}\n") };
    c = options("grown");
    c.data = data, c.steps = 2;
    w.stop_at = 1;
    assert_failure(train(&c, &w), VLM_ESTOPPED, "", "");
    write_data("grows.jsonl", "{'texts': [{'user': 'a', 'assistant': 'c'}]}\n");
    c.resume = "auto";
    assert_failure(train(&c, &w), VLM_EARG, "grown/step_1", "was made with data ");
}

/* ---- The folder ------------------------------------------------------------------------------------------------------ */

static vlm_status inner;
static char inner_where[600], inner_message[600];
static void train_again(void *user, const vlm_update *u) {
    vlm_train_options o = *(const vlm_train_options *)user;
    if (u->step != 1) return;
    o.resume = "auto";
    inner = vlm_train(&o, NULL);
    snprintf(inner_where, sizeof inner_where, "%s", vlm_error_where());
    snprintf(inner_message, sizeof inner_message, "%s", vlm_error_message());
}
static void folders(void **state) {
    (void)state;
    vlm_train_options o = options("used");
    watch w = { 0 };
    assert_ok(train(&o, &w));
    assert_failure(train(&o, &w), VLM_EIO, "/used", "is not empty (it holds ");
    assert_non_null(strstr(vlm_error_message(), "give --resume auto to go on with that run, or name another folder"));
    assert_true(exists(o.run, "step_6"));
    o = options("deep/er/run");                /* made, with all that leads to it */
    assert_ok(train(&o, &w));
    temp_write("file", "x", 1);
    o = options("file");
    assert_failure(train(&o, &w), VLM_EIO, "/file", "");
    assert_file("file", "x");
    mkdir(temp("thesis"), 0777);
    temp_write("thesis/thesis.tex", "x", 1);
    o = options("thesis");
    assert_failure(train(&o, &w), VLM_EIO, "/thesis", "is not empty (it holds thesis.tex)");
    o = options("two");                        /* one owner */
    assert_ok(vlm_train(&o, &(vlm_train_hooks){ .user = &o, .update = train_again }));
    assert_true(inner == VLM_EIO && strstr(inner_where, "/two/lock") && strstr(inner_message, "is in use by process"));
    assert_true(exists(o.run, "step_6"));
    o = options("resume_what");
    o.resume = keep("used/step_77");
    assert_failure(train(&o, &w), VLM_EIO, "step_77", "");
    o.resume = MODEL;
    assert_failure(train(&o, &w), VLM_EIO, "models/vlm_dino", "");
}
static int count_steps(const char *run) {
    DIR *d = opendir(run);
    struct dirent *e;
    int n = 0;
    assert_non_null(d);
    while ((e = readdir(d))) n += !strncmp(e->d_name, "step_", 5);
    closedir(d);
    return n;
}
static void assert_latest(const char *run, const char *want) {
    char to[64], path[600];
    snprintf(path, sizeof path, "%s/latest", run);
    ssize_t n = readlink(path, to, sizeof to - 1);
    assert_true(n > 0);
    to[n] = 0;
    assert_string_equal(to, want);
}
static void checkpoints(void **state) {
    (void)state;
    static const struct { int64_t keep; int left; } t[] = { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 0, 7 } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char name[16];
        snprintf(name, sizeof name, "keep%d", (int)t[i].keep);
        vlm_train_options o = options(name);
        watch w = { 0 };
        o.steps = 7, o.save_every = 1, o.keep = t[i].keep;
        assert_ok(train(&o, &w));
        assert_true(w.saved == 7 && count_steps(o.run) == t[i].left && exists(o.run, "step_7"));
        assert_latest(o.run, "step_7");
    }
    /* the best stays: what is learnt makes these answers less and less likely */
    const char *val[] = { write_data("val.jsonl", "{'texts': [{'user': '?', 'assistant': '~~~~ ^^^^ |||| ####'}]}\n") };
    vlm_train_options o = options("best");
    watch w = { 0 };
    o.val = val, o.vals = 1, o.steps = 12, o.save_every = 1, o.eval_every = 1, o.keep = 2, o.constant = true, o.max_grad_norm = 0;
    o.lr[VLM_LANGUAGE] = o.lr[VLM_VISION] = o.lr[VLM_PROJECTOR] = 0.1;
    assert_ok(train(&o, &w));
    json_t *all = rows(o.run, "metrics.jsonl"), *row;
    size_t i;
    double best = INFINITY;
    int64_t step = 0;
    char name[32];
    json_array_foreach(all, i, row) {
        const json_t *v = json_object_get(row, "val_loss");
        if (v && json_number_value(v) < best) best = json_number_value(v), step = integer(row, "step");
    }
    json_decref(all);
    assert_true(step > 0 && w.validations == 12);
    snprintf(name, sizeof name, "step_%d", (int)step);
    assert_true(exists(o.run, name) && count_steps(o.run) == (step < 11 ? 3 : 2));
    assert_true(step < 11);                    /* else this test shows nothing */
    assert_latest(o.run, "step_12");
    vlm_model *m = NULL;                       /* a checkpoint is a MODEL folder */
    char path[600];
    snprintf(path, sizeof path, "%s/latest", o.run);
    assert_ok(vlm_model_open(path, NULL, &m));
    vlm_model_close(m);
    o.keep = 0;                                /* without a checkpoint every so often: at the end, and where it was the best */
    o.run = keep("best_only"), o.save_every = 0;
    assert_ok(train(&o, &w));
    assert_true(exists(o.run, name) && exists(o.run, "step_12") && w.saved <= 12);
}

/* ---- Updates that are skipped ---------------------------------------------------------------------------------------- */

static void skipping(void **state) {
    (void)state;
    vlm_train_options o = options("skip"), plain = options("plain");
    watch w = { 0 };
    o.skip_above = 1e-9, o.steps = plain.steps = 3, o.no_shuffle = true;
    assert_ok(train(&o, &w));                  /* outliers may come as often as they like */
    assert_true(w.updates == 3 && w.skipped == 3);
    assert_non_null(strstr(w.why, "is above --skip-above; samples tests/golden/images/mixed.jsonl:7, tests/golden/images/mixed.jsonl:8"));
    for (int g = 0; g < VLM_GROUPS; g++) plain.lr[g] = 1e-30;
    assert_ok(train(&plain, &w));
    assert_same_files(o.run, plain.run, "step_3/model.safetensors");   /* no weight has moved */
    json_t *all = rows(o.run, "metrics.jsonl"), *row;
    size_t i;
    json_array_foreach(all, i, row) {
        assert_true(json_is_true(json_object_get(row, "skipped")) && json_number_value(json_object_get(row, "grad_norm")) > 1e-9);
        assert_true(json_number_value(json_object_get(row, "loss")) > 1);
    }
    json_decref(all);
    o = options("sometimes");                  /* only the longest: the others go on as if it had not been */
    o.no_shuffle = true, o.batch_samples = 1, o.steps = 8, o.lr[VLM_PROJECTOR] = o.lr[VLM_VISION] = o.lr[VLM_LANGUAGE] = 1e-30;
    assert_ok(train(&o, &w));
    double most = 0, second = 0;
    all = rows(o.run, "metrics.jsonl");
    json_array_foreach(all, i, row) {
        double x = json_number_value(json_object_get(row, "grad_norm"));
        if (x > most) second = most, most = x;
        else if (x > second) second = x;
    }
    json_decref(all);
    o.skip_above = (most + second) / 2;
    o.run = keep("sometimes2");
    assert_ok(train(&o, &w));
    assert_true(w.updates == 8 && w.skipped == 1);
}
static char warned[4096];
static void on_warning(void *user, const char *where, const char *message) {
    (void)user, (void)where;
    snprintf(warned, sizeof warned, "%s", message);
}
/* Rates that make numbers overflow: the third loss in a row that is none ends the run; what was saved before stays as it was. */
static void diverging(void **state) {
    (void)state;
    vlm_train_options o = options("diverges"), good = options("good");
    watch w = { .stop_at = 3 };
    o.save_every = 1, o.keep = 1, o.steps = 40, o.no_shuffle = true, o.constant = true, o.warmup = 0, o.max_grad_norm = 0;
    good = o, good.run = keep("good");
    assert_failure(train(&o, &w), VLM_ESTOPPED, "", "");
    assert_failure(train(&good, &w), VLM_ESTOPPED, "", "");
    w.stop_at = 0;
    o.resume = "auto", o.allow_change = true;
    for (int g = 0; g < VLM_GROUPS; g++) o.lr[g] = 9e5;
    vlm_log_set(on_warning, NULL, NULL);
    vlm_status status = train(&o, &w);
    vlm_log_set(NULL, NULL, NULL);
    assert_failure(status, VLM_EFORMAT, "/diverges", "3 updates in a row were not finite, the last at step 7; lower the rates");
    assert_true(w.updates == 4 && w.skipped == 3 && w.saved == 1);     /* one update that ruins the weights, and is saved; then no more */
    assert_true(strstr(warned, "is skipped: ") && strstr(warned, "; samples " MIXED ":"));
    json_t *all = rows(o.run, "metrics.jsonl"), *last = json_array_get(all, json_array_size(all) - 1);
    assert_true(json_is_true(json_object_get(last, "skipped")) && integer(last, "step") == 7);
    assert_true(json_is_null(json_object_get(last, "loss")) || json_is_null(json_object_get(last, "grad_norm")));
    json_decref(all);
    assert_same_files(o.run, good.run, "step_3/model.safetensors");
    assert_same_files(o.run, good.run, "step_3/train_state.safetensors");
    assert_true(exists(o.run, "step_2"));      /* which a resume keeps, too, until an update has shown that step_3 is sound */
    char path[600];
    snprintf(path, sizeof path, "%s/step_3", o.run);
    o.resume = path, o.lr[VLM_VISION] = 1e-4, o.lr[VLM_PROJECTOR] = 1e-3, o.lr[VLM_LANGUAGE] = 3e-4, o.steps = 6;
    assert_ok(train(&o, &w));                  /* and the run can go on from there */
    assert_true(w.start.from_step == 3 && w.updates == 3 && !w.skipped && count_steps(o.run) == 1);
}

/* ---- Refusals -------------------------------------------------------------------------------------------------------- */

static void refusals(void **state) {
    (void)state;
    watch w = { 0 };
    vlm_train_options o = options("refused"), c;
    static const char *const text[] = { "tests/golden/images/mixed.jsonl" };
    c = o, c.frozen = VLM_ALL_GROUPS;
    assert_failure(train(&c, &w), VLM_EARG, "--freeze", "leaves nothing to train");
    c = o, c.lr[0] = c.lr[1] = c.lr[2] = 0;
    assert_failure(train(&c, &w), VLM_EARG, "--lr", "is 0 for every part");
    c = o, c.lr[VLM_LANGUAGE] = -1;
    assert_failure(train(&c, &w), VLM_EARG, "--lr-language", "is -1; give 0 to 1000000");
    c = o, c.lr[VLM_VISION] = NAN;
    assert_failure(train(&c, &w), VLM_EARG, "--lr-vision", "is nan; give 0 to 1000000");
    c = o, c.lr[VLM_VISION] = 1e30;
    assert_failure(train(&c, &w), VLM_EARG, "--lr-vision", "is 1e+30; give 0 to 1000000");
    c = o, c.warmup = NAN;
    assert_failure(train(&c, &w), VLM_EARG, "--warmup", "is nan; give 0 or more");
    c = o, c.max_grad_norm = -1;
    assert_failure(train(&c, &w), VLM_EARG, "--max-grad-norm", "is -1; give 0 or more");
    c = o, c.steps = 0, c.epochs = 0;
    assert_failure(train(&c, &w), VLM_EARG, "--epochs", "give more than 0");
    c = o, c.val_fraction = 1;
    assert_failure(train(&c, &w), VLM_EARG, "--val-fraction", "give a share below 1");
    c = o, c.datas = 0;
    assert_failure(train(&c, &w), VLM_EARG, "vlm_train", "needs a model and data");
    c = o, c.model = "tests/golden/models/llama";
    assert_failure(train(&c, &w), VLM_EARG, "models/llama", "is no whole VLM; make one of two backbones with vlm new");
    c = o, c.model = "tests/golden/models/dinov3_splus";
    assert_failure(train(&c, &w), VLM_EARG, "models/dinov3_splus", "is no whole VLM");
    c = o, c.memory_bytes = 1000000;
    assert_failure(train(&c, &w), VLM_ELIMIT, "training", "1.0 MB are there; lower --batch-samples 3, give --recompute");
    c = o, c.data = text, c.run = "/proc/nowhere/run";
    assert_failure(train(&c, &w), VLM_EIO, "/proc/nowhere", "");
    assert_true(!w.starts && !exists(o.run, "step_6"));
    const char *none[] = { write_data("none.jsonl", "{'images': ['no.png'], 'texts': [{'user': 'a', 'assistant': 'b'}]}\n") };
    c = options("nothing"), c.data = none;
    assert_failure(train(&c, &w), VLM_EFORMAT, "none.jsonl", "holds no sample that can be trained on");
    c = options("unjudged"), c.val = none, c.vals = 1;         /* who asks for validation gets it or a refusal */
    assert_failure(train(&c, &w), VLM_EFORMAT, "none.jsonl", "leaves validation without a sample: all are quarantined");
    assert_true(!w.updates);
}

/* ---- Freezing -------------------------------------------------------------------------------------------------------- */

static vlm_group group_of(const char *name) {
    return !strncmp(name, "vision_encoder.", 15) ? VLM_VISION : !strncmp(name, "MP.", 3) ? VLM_PROJECTOR : VLM_LANGUAGE;
}
/* Every combination: what is frozen keeps its bits, what is not learns, a rate of 0 freezes as well. */
static void freezing(void **state) {
    (void)state;
    for (unsigned frozen = 0; frozen < VLM_ALL_GROUPS; frozen++) {
        char name[16], path[600];
        vlm_safetensors before, after, moments;
        int moved[VLM_GROUPS] = { 0 }, stayed[VLM_GROUPS] = { 0 }, of[VLM_GROUPS] = { 0 };
        snprintf(name, sizeof name, "freeze%u", frozen);
        vlm_train_options o = options(name);
        watch w = { 0 };
        o.frozen = frozen, o.steps = 2;
        assert_ok(train(&o, &w));
        for (int g = 0; g < VLM_GROUPS; g++) assert_true((w.last.lr[g] == -1) == (frozen >> g & 1));
        snprintf(path, sizeof path, "%s/step_2/model.safetensors", o.run);
        assert_ok(vlm_safetensors_open(MODEL "/model.safetensors", &before));
        assert_ok(vlm_safetensors_open(path, &after));
        snprintf(path, sizeof path, "%s/step_2/train_state.safetensors", o.run);
        assert_ok(vlm_safetensors_open(path, &moments));
        for (int64_t i = 0; i < before.count; i++) {
            const vlm_tensor *a = &before.tensors[i], *b = vlm_safetensors_find(&after, a->name);
            if (strstr(a->name, "rotary_embd")) continue;
            assert_true(b && a->bytes == b->bytes && a->dtype == VLM_T_F32 && b->dtype == VLM_T_F32);
            if (memcmp(a->data, b->data, a->bytes)) moved[group_of(a->name)]++;
            else stayed[group_of(a->name)]++;
        }
        for (int64_t i = 0; i < moments.count; i++) of[group_of(moments.tensors[i].name + 2)]++;
        for (int g = 0; g < VLM_GROUPS; g++) {
            bool fixed = frozen >> g & 1;
            assert_true(fixed ? !moved[g] && stayed[g] && !of[g] : moved[g] && !stayed[g] && of[g] == 2 * moved[g]);
        }
        vlm_safetensors_close(&before);
        vlm_safetensors_close(&after);
        vlm_safetensors_close(&moments);
        vlm_train_options zero = o;            /* the same with rates of 0 */
        snprintf(name, sizeof name, "zero%u", frozen);
        zero.run = keep(name), zero.frozen = 0;
        for (int g = 0; g < VLM_GROUPS; g++) if (frozen >> g & 1) zero.lr[g] = 0;
        if (!frozen) continue;
        assert_ok(train(&zero, &w));
        assert_same_files(o.run, zero.run, "step_2/model.safetensors");
    }
}

/* ---- Samples without a label: the parsers let none through, so they are made here ------------------------------------ */

static int unlearn;                    /* lines of mixed.jsonl (bits) whose labels are taken away */
vlm_status __real_vlm_example_make(const vlm_example_rule *r, const struct vlm_sample *s, bool pixels, vlm_example *out, vlm_bad *why);
vlm_status __wrap_vlm_example_make(const vlm_example_rule *r, const struct vlm_sample *s, bool pixels, vlm_example *out, vlm_bad *why);
vlm_status __wrap_vlm_example_make(const vlm_example_rule *r, const struct vlm_sample *s, bool pixels, vlm_example *out, vlm_bad *why) {
    vlm_status status = __real_vlm_example_make(r, s, pixels, out, why);
    if (!status && unlearn >> atoi(s->row) & 1) {
        memset(out->learnt, 0, out->ids.n);
        out->labels = 0;
    }
    return status;
}
static void no_labels(void **state) {
    (void)state;
    vlm_train_options o = options("unlabelled");
    watch w = { 0 };
    o.no_shuffle = true, o.batch_samples = 1, o.steps = 16;
    unlearn = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8;               /* three in a row: that is no divergence */
    vlm_log_set(on_warning, NULL, NULL);
    vlm_status status = train(&o, &w);
    vlm_log_set(NULL, NULL, NULL);
    unlearn = 0;
    assert_ok(status);
    assert_true(w.updates == 16 && w.skipped == 8 && strstr(w.why, "no label; samples " MIXED ":8"));
    assert_non_null(strstr(warned, "update 16 is skipped: no label; samples " MIXED ":8"));
    json_t *all = rows(o.run, "metrics.jsonl"), *row;
    size_t i;
    json_array_foreach(all, i, row) {
        bool none = i % 8 == 1 || i % 8 == 2 || i % 8 == 3 || i % 8 == 7;
        assert_true(json_is_true(json_object_get(row, "skipped")) == none && (integer(row, "labels") == 0) == none);
        assert_true(json_is_number(json_object_get(row, "loss")) && json_is_number(json_object_get(row, "grad_norm")));
        assert_true((json_number_value(json_object_get(row, "grad_norm")) == 0) == none);
    }
    json_decref(all);
    /* one batch of several without a label: the others count as if it were not there */
    vlm_train_options some = options("some");
    some.no_shuffle = true, some.batch_samples = 1, some.accumulate = 4, some.steps = 1, some.val_fraction = 0;
    unlearn = 1 << 2;
    status = train(&some, &w);
    unlearn = 0;
    assert_ok(status);
    assert_true(w.updates == 1 && !w.skipped && w.last.samples == 4 && w.last.labels == 12 + 22 + 21 && isfinite(w.last.loss));
    assert_true(fabs(w.last.loss / ((80.81496984575735 + 149.3988055803416 + 138.48728434125985) / 55) - 1) < 1e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics), cmocka_unit_test(validation), cmocka_unit_test(resuming), cmocka_unit_test(epochs),
        cmocka_unit_test(settings), cmocka_unit_test(folders), cmocka_unit_test(checkpoints), cmocka_unit_test(skipping),
        cmocka_unit_test(diverging), cmocka_unit_test(refusals), cmocka_unit_test(freezing), cmocka_unit_test(no_labels),
    };
    return cmocka_run_group_tests_name("train", tests, temp_open, temp_close);
}

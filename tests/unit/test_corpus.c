/* In which order a run takes its samples, how many of which data set, which it holds out, and that threads change nothing of it. */
#include "temp.h"
#include "train/loader.h"
#define VLM_LOADER_BYTES 400000        /* so that a few small images fill it */
#include "train/loader.c"              /* the loader itself, to see how far ahead it is */

#define IMAGES "tests/golden/images"

/* ---- Data sets --------------------------------------------------------------------------------------------------- */

/* temp_dir/NAME: n samples, the i-th without an image, or with the image of names[i % names] where there are names. */
static void make_set(const char *name, int n, const char *const *names, int images) {
    FILE *f = fopen(temp(name), "wb");
    assert_non_null(f);
    for (int i = 0; i < n; i++) {
        fprintf(f, "{\"images\": [");
        if (images) fprintf(f, "\"%s\"", names[i % images]);
        fprintf(f, "], \"texts\": [{\"user\": \"Number %d?\", \"assistant\": \"It is %d.\"}]}\n", i, i * i);
    }
    assert_int_equal(fclose(f), 0);
}
static const char *images_in = IMAGES;
static void open_corpus(vlm_corpus *c, const char *const *specs, int n, uint64_t seed, bool shuffle) {
    const char *paths[4];
    char full[4][600];
    for (int i = 0; i < n; i++) snprintf(full[i], sizeof full[i], "%s/%s", temp_dir, specs[i]), paths[i] = full[i];
    vlm_dataset_options o = VLM_DATASET_OPTIONS;
    o.data_root = images_in, o.need_assistant = true;
    assert_ok(vlm_corpus_open(paths, n, &o, seed, shuffle, c));
}
static vlm_picks order_of(const vlm_corpus *c, int64_t epoch) {
    vlm_picks p = { 0 };
    assert_ok(vlm_corpus_order(c, epoch, &p));
    return p;
}
static bool same(const vlm_picks *a, const vlm_picks *b) {
    if (a->n != b->n) return false;
    for (int64_t i = 0; i < a->n; i++) if (a->pick[i].set != b->pick[i].set || a->pick[i].sample != b->pick[i].sample) return false;
    return true;
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static void order(void **state) {
    (void)state;
    static const char *const specs[] = { "a.jsonl", "b.jsonl" };
    vlm_corpus c, d;
    make_set("a.jsonl", 30, NULL, 0);
    make_set("b.jsonl", 12, NULL, 0);
    open_corpus(&c, specs, 2, 7, true);
    open_corpus(&d, specs, 2, 7, true);
    for (int64_t e = 0; e < 4; e++) {          /* the same from the same seed, whatever was asked before */
        vlm_picks a = order_of(&c, e), b = order_of(&d, 3 - e), again = order_of(&d, e);
        int seen[2][30] = { { 0 } }, in_place = 0;
        assert_true(a.n == 42 && same(&a, &again) && !same(&a, &b));
        for (int64_t i = 0; i < a.n; i++) seen[a.pick[i].set][a.pick[i].sample]++, in_place += a.pick[i].sample == i;
        for (int i = 0; i < 42; i++) assert_int_equal(i < 30 ? seen[0][i] : seen[1][i - 30], 1);
        assert_true(in_place < 12);
        free(a.pick), free(b.pick), free(again.pick);
    }
    vlm_corpus_close(&d);
    open_corpus(&d, specs, 2, 8, true);
    vlm_picks a = order_of(&c, 0), b = order_of(&d, 0);
    assert_false(same(&a, &b));
    free(a.pick), free(b.pick);
    vlm_corpus_close(&d);
    open_corpus(&d, specs, 2, 7, false);       /* no shuffle: the files' order, every time */
    for (int64_t e = 0; e < 2; e++) {
        b = order_of(&d, e);
        assert_true(b.n == 42);
        for (int i = 0; i < 42; i++) assert_true(b.pick[i].set == (i >= 30) && b.pick[i].sample == (i < 30 ? i : i - 30));
        free(b.pick);
    }
    vlm_corpus_close(&c);
    vlm_corpus_close(&d);
}
/* Where a sample lands is chance: over many seeds every sample is everywhere about as often. */
static void fair(void **state) {
    (void)state;
    static const char *const specs[] = { "f.jsonl" };
    enum { N = 6, SEEDS = 1200 };
    int at[N][N] = { { 0 } };
    make_set("f.jsonl", N, NULL, 0);
    vlm_corpus c;
    open_corpus(&c, specs, 1, 0, true);
    for (int s = 0; s < SEEDS; s++) {
        c.seed = (uint64_t)s;
        vlm_picks p = order_of(&c, s % 3);
        for (int i = 0; i < N; i++) at[i][p.pick[i].sample]++;
        free(p.pick);
    }
    double chi = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            double d = at[i][k] - (double)SEEDS / N;
            chi += d * d / ((double)SEEDS / N);
        }
    assert_true(chi > 5 && chi < 60);          /* 25 degrees of freedom: mean 25, deviation 7 */
    vlm_corpus_close(&c);
}
/* An epoch takes weight × count of a set, to the sample in the long run, and no sample twice before all were taken. */
static void weights(void **state) {
    (void)state;
    static const struct { const char *spec; int n; double w; } sets[] = {
        { "w10.jsonl@0.3", 10, 0.3 }, { "w10.jsonl", 10, 1 }, { "w10.jsonl@2.5", 10, 2.5 }, { "w7.jsonl@0.3", 7, 0.3 },
        { "w7.jsonl@1", 7, 1 }, { "w7.jsonl@2.5", 7, 2.5 }, { "w7.jsonl@0.01", 7, 0.01 }, { "w100.jsonl@0.29", 100, 0.29 },
        { "w100.jsonl@1.1", 100, 1.1 } };
    make_set("w10.jsonl", 10, NULL, 0);
    make_set("w7.jsonl", 7, NULL, 0);
    make_set("w100.jsonl", 100, NULL, 0);
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
        for (int shuffle = 0; shuffle < 2; shuffle++) {
            vlm_corpus c;
            int taken[100] = { 0 };
            int64_t all = 0, per_mille = (int64_t)(sets[k].w * 1000 + 0.5);
            open_corpus(&c, &sets[k].spec, 1, 3, shuffle);
            assert_true(c.set[0].weight == sets[k].w);
            for (int64_t e = 0; e < 200; e++) {
                vlm_picks p = order_of(&c, e);
                int least = 1000, most = 0;
                for (int64_t i = 0; i < p.n; i++) taken[p.pick[i].sample]++;
                all += p.n;
                if (all != per_mille * sets[k].n * (e + 1) / 1000)
                    fail_msg("%s: %d samples in %d epochs", sets[k].spec, (int)all, (int)e + 1);
                for (int i = 0; i < sets[k].n; i++) {
                    if (least > taken[i]) least = taken[i];
                    if (most < taken[i]) most = taken[i];
                }
                assert_true(most - least <= 1);
                free(p.pick);
            }
            vlm_corpus_close(&c);
        }
    static const char *const three[] = { "w10.jsonl@0.3", "w7.jsonl", "w100.jsonl@2.5" };      /* mixed: the same counts */
    vlm_corpus c;
    int64_t n[3] = { 0 }, run = 0, longest = 0;
    open_corpus(&c, three, 3, 3, true);
    vlm_picks p = order_of(&c, 0);
    for (int64_t i = 0; i < p.n; i++) {
        n[p.pick[i].set]++;
        run = i && p.pick[i].set == p.pick[i - 1].set ? run + 1 : 1;
        if (longest < run) longest = run;
    }
    assert_true(n[0] == 3 && n[1] == 7 && n[2] == 250 && longest < 250);
    free(p.pick);
    vlm_corpus_close(&c);
}
static void specs(void **state) {
    (void)state;
    static const struct { const char *spec, *words; } bad[] = {
        { "s.jsonl@0", "\"0\" is no weight" }, { "s.jsonl@-1", "\"-1\" is no weight" }, { "s.jsonl@x", "\"x\" is no weight" },
        { "s.jsonl@", "\"\" is no weight" }, { "s.jsonl@nan", "\"nan\" is no weight" }, { "s.jsonl@inf", "\"inf\" is no weight" },
        { "s.jsonl@2e6", "at most 1000000" }, { "s.jsonl@1x", "write PATH@0.5" } };
    vlm_dataset_options o = VLM_DATASET_OPTIONS;
    vlm_corpus c = { 0 };
    make_set("s.jsonl", 2, NULL, 0);
    make_set("me@home", 3, NULL, 0);
    make_set("many.jsonl", 270, NULL, 0);
    const char *too_many = temp("many.jsonl@1e6");
    assert_failure(vlm_corpus_open(&too_many, 1, &o, 0, true, &c), VLM_ELIMIT, "--data", "an epoch would take 2.7e+08 samples of it");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *spec = temp(bad[i].spec);
        assert_failure(vlm_corpus_open(&spec, 1, &o, 0, true, &c), VLM_EARG, "--data", bad[i].words);
        assert_null(c.set);
    }
    const char *home[2] = { temp("me@home"), temp("me@home@0.5") };
    assert_ok(vlm_corpus_open(home, 2, &o, 0, true, &c));
    assert_true(c.sets == 2 && c.set[0].weight == 1 && c.set[1].weight == 0.5 && c.set[0].count == 3 && c.set[1].count == 3);
    vlm_corpus_close(&c);
    const char *none = temp("nothing.jsonl@0.5");
    assert_failure(vlm_corpus_open(&none, 1, &o, 0, true, &c), VLM_EIO, "nothing.jsonl", "No such file");
}

/* ---- Held-out samples -------------------------------------------------------------------------------------------- */

static void holding_out(void **state) {
    (void)state;
    static const char *const specs[] = { "h100.jsonl@2", "h9.jsonl" }, *const more[] = { "h100.jsonl@2", "h9.jsonl", "h1.jsonl" };
    vlm_corpus c, d;
    int same_samples = 0;
    make_set("h100.jsonl", 100, NULL, 0);
    make_set("h9.jsonl", 9, NULL, 0);
    make_set("h1.jsonl", 1, NULL, 0);
    open_corpus(&c, specs, 2, 5, true);
    assert_ok(vlm_corpus_hold_out(&c, 0.07));
    assert_true(vlm_corpus_count(&c, VLM_SPLIT_HELD_OUT) == 7 + 1 && vlm_corpus_count(&c, VLM_SPLIT_TRAIN) == 109 - 8);
    vlm_picks held = { 0 };
    assert_ok(vlm_corpus_all(&c, VLM_SPLIT_HELD_OUT, &held));
    assert_true(held.n == 8);
    for (int64_t i = 1; i < held.n; i++)
        assert_true(held.pick[i].set > held.pick[i - 1].set || held.pick[i].sample > held.pick[i - 1].sample);
    for (int64_t e = 0; e < 3; e++) {          /* never trained on */
        vlm_picks p = order_of(&c, e);
        assert_true(p.n == 2 * 93 + 8);
        for (int64_t i = 0; i < p.n; i++)
            for (int64_t k = 0; k < held.n; k++)
                assert_false(p.pick[i].set == held.pick[k].set && p.pick[i].sample == held.pick[k].sample);
        free(p.pick);
    }
    open_corpus(&d, specs, 2, 5, true);        /* the same ones every time; others with another seed */
    assert_ok(vlm_corpus_hold_out(&d, 0.07));
    for (int i = 0; i < 2; i++) assert_memory_equal(c.set[i].role, d.set[i].role, (size_t)c.set[i].count);
    vlm_corpus_close(&d);
    open_corpus(&d, specs, 2, 6, true);
    assert_ok(vlm_corpus_hold_out(&d, 0.07));
    for (int i = 0; i < 100; i++) same_samples += c.set[0].role[i] && d.set[0].role[i];
    assert_true(same_samples < 5);
    vlm_corpus_close(&d);
    open_corpus(&d, specs, 2, 5, false);       /* without shuffle the last ones */
    assert_ok(vlm_corpus_hold_out(&d, 0.07));
    for (int i = 0; i < 100; i++) assert_int_equal(d.set[0].role[i], i < 93 ? VLM_SPLIT_TRAIN : VLM_SPLIT_HELD_OUT);
    assert_failure(vlm_corpus_hold_out(&d, 0.999), VLM_EARG, "--val-fraction", "leaves no sample of the 100 in");
    vlm_corpus_close(&d);
    open_corpus(&d, more, 3, 5, true);
    assert_failure(vlm_corpus_hold_out(&d, 0.07), VLM_EARG, "--val-fraction", "leaves no sample of the 1 in");
    vlm_corpus_close(&d);
    static const char *const twice[] = { "h9.jsonl", "h100.jsonl", "h100.jsonl@0.5" };
    open_corpus(&d, twice, 3, 5, true);        /* data that is named twice holds out the same samples twice */
    assert_ok(vlm_corpus_hold_out(&d, 0.07));
    assert_memory_equal(d.set[1].role, d.set[2].role, 100);
    vlm_corpus_close(&d);
    free(held.pick);
    vlm_corpus_close(&c);
}

/* ---- The loader -------------------------------------------------------------------------------------------------- */

static const char *const pictures[] = { "rgb_53x37.png", "rgb_96x32.png", "exif6.jpg", "nowhere.png", "rgb_150x9.png", "rgb_1x1.png",
                                        "rgb_40x40.png" };
static void open_model(vlm_model **m) {
    assert_ok(vlm_model_open_as("tests/golden/models/vlm_dino", &(vlm_model_options){ .threads = 1 }, VLM_OPEN_STRUCTURE, m));
}
typedef struct taken { vlm_pick pick; int bad; uint64_t hash; } taken;
static taken take(vlm_loader *l, const vlm_model *m) {
    vlm_loaded got;
    assert_ok(vlm_loader_next(l, &got));
    taken t = { got.pick, (int)got.why, 0xCBF29CE484222325u };
    assert_true((got.status != VLM_OK) == (got.why != VLM_BAD_NONE));
    assert_true((got.message != NULL) == (got.status != VLM_OK));
    for (size_t i = 0; i < got.example.ids.n; i++) t.hash = (t.hash ^ (uint64_t)got.example.ids.id[i]) * 0x100000001B3u;
    for (int64_t i = 0; i < got.example.images; i++) {
        const vlm_image_plan *p = &got.example.image[i].plan;
        int64_t P = m->rule.patch, n = p->n * 3 * p->patches.h * P * p->patches.w * P;
        assert_true((size_t)n * sizeof(float) == got.example.bytes);
        for (int64_t k = 0; k < n; k++) {
            uint32_t bits;
            memcpy(&bits, &got.example.image[i].pixels[k], 4);
            t.hash = (t.hash ^ bits) * 0x100000001B3u;
        }
    }
    vlm_loaded_free(&got);
    return t;
}
/* How far ahead it is, once its threads have no more to do. */
static void settled(vlm_loader *l, int64_t *ahead, size_t *bytes) {
    for (int quiet = 0; quiet < 20;) {
        usleep(1000);
        pthread_mutex_lock(&l->lock);
        quiet = l->busy || may_begin(l) ? 0 : quiet + 1;
        *ahead = l->made - l->taken;
        *bytes = l->bytes;
        pthread_mutex_unlock(&l->lock);
    }
}
static void loading(void **state) {
    (void)state;
    static const char *const specs[] = { "l.jsonl" };
    enum { N = 60 };
    taken want[N];
    vlm_corpus c;
    vlm_model *m;
    vlm_loader *l;
    make_set("l.jsonl", N, pictures, sizeof pictures / sizeof *pictures);
    open_corpus(&c, specs, 1, 9, true);
    open_model(&m);
    vlm_example_rule rule = { .m = m, .max_tokens = m->context, .max_images = 8 };
    vlm_picks p = order_of(&c, 0);
    for (int threads = 1; threads <= 8; threads += 7) {
        assert_ok(vlm_loader_open(&c, &rule, threads, true, &l));
        for (int round = 0; round < 3; round++) {
            int64_t from = round == 1 ? 17 : 0, n = round == 2 ? 5 : N;        /* of the third, most is dropped */
            vlm_loader_start(l, p.pick, N, from);
            for (int64_t i = from; i < n; i++) {
                taken got = take(l, m);
                assert_true(got.pick.sample == p.pick[i].sample && got.pick.set == 0);
                assert_int_equal(got.bad, got.pick.sample % 7 == 3 ? VLM_BAD_MISSING_IMAGE : VLM_BAD_NONE);    /* bad ones in place */
                if (threads == 1 && !round) want[i] = got;
                assert_true(got.hash == want[i].hash);
            }
        }
        vlm_loaded none = { 0 };
        for (int i = 5; i < N; i++) take(l, m);
        assert_failure(vlm_loader_next(l, &none), VLM_EARG, "the loader", "has no sample left");
        vlm_loader_start(l, p.pick, N, N);
        assert_failure(vlm_loader_next(l, &none), VLM_EARG, "the loader", "has no sample left");
        vlm_loader_start(l, p.pick, N, 0);
        vlm_loader_close(l);                   /* in the middle */
    }
    vlm_loader_close(NULL);
    free(p.pick);
    vlm_model_close(m);
    vlm_corpus_close(&c);
}
static void bounds(void **state) {
    (void)state;
    static const char *const texts[] = { "t.jsonl" }, *const images[] = { "i.jsonl" };
    vlm_corpus c;
    vlm_model *m;
    vlm_loader *l;
    int64_t ahead;
    size_t bytes, one;
    open_model(&m);
    vlm_example_rule rule = { .m = m, .max_tokens = m->context, .max_images = 8 };
    make_set("t.jsonl", 700, NULL, 0);         /* texts: so many samples */
    open_corpus(&c, texts, 1, 9, false);
    vlm_picks p = order_of(&c, 0);
    assert_ok(vlm_loader_open(&c, &rule, 3, true, &l));
    vlm_loader_start(l, p.pick, p.n, 0);
    settled(l, &ahead, &bytes);
    assert_true(ahead == VLM_LOADER_SAMPLES && !bytes);
    for (int i = 0; i < 10; i++) take(l, m);
    settled(l, &ahead, &bytes);
    assert_true(ahead == VLM_LOADER_SAMPLES && l->made == 10 + VLM_LOADER_SAMPLES);
    vlm_loader_close(l);
    free(p.pick);
    vlm_corpus_close(&c);

    make_set("i.jsonl", 300, pictures, 1);     /* images: so many bytes of pixels, one sample of each thread over it */
    open_corpus(&c, images, 1, 9, false);
    p = order_of(&c, 0);
    assert_ok(vlm_loader_open(&c, &rule, 2, true, &l));
    vlm_loader_start(l, p.pick, p.n, 0);
    settled(l, &ahead, &bytes);
    one = bytes / (size_t)ahead;
    assert_true(ahead > 2 && ahead < VLM_LOADER_SAMPLES && bytes >= VLM_LOADER_BYTES && bytes < VLM_LOADER_BYTES + 2 * one);
    take(l, m);
    settled(l, &ahead, &bytes);
    assert_true(bytes >= VLM_LOADER_BYTES && bytes < VLM_LOADER_BYTES + 2 * one);
    for (int i = 1; i < 300; i++) take(l, m);
    settled(l, &ahead, &bytes);
    assert_true(!ahead && !bytes);
    vlm_loader_close(l);
    free(p.pick);
    vlm_corpus_close(&c);
    vlm_model_close(m);
}

/* ---- The scan ---------------------------------------------------------------------------------------------------- */

typedef struct heard { int n, stop_at; int64_t sample[64]; vlm_bad why[64]; } heard;
static vlm_status on_bad(void *user, const vlm_corpus *c, vlm_pick pick, vlm_bad why, const char *message) {
    heard *h = user;
    assert_true(h->n < 64 && strchr(message, ';') && c->set[pick.set].role[pick.sample] == VLM_SPLIT_BAD);
    h->sample[h->n] = pick.sample, h->why[h->n] = why;
    return ++h->n == h->stop_at ? vlm_fail(VLM_ESTOPPED, "test", "enough") : VLM_OK;
}
static void scanning(void **state) {
    (void)state;
    static const char *const specs[] = { "scan.jsonl" };
    vlm_corpus c;
    vlm_model *m;
    char cmd[2000];
    snprintf(cmd, sizeof cmd, "cp " IMAGES "/*.png " IMAGES "/*.jpg %s && chmod u+w %s/* && cp " IMAGES "/rgb_40x40.png %s/cut.png && "
             "chmod u+w %s/cut.png && truncate -s 900 %s/cut.png", temp_dir, temp_dir, temp_dir, temp_dir, temp_dir);
    assert_int_equal(system(cmd), 0);
    make_set("scan.jsonl", 40, pictures, sizeof pictures / sizeof *pictures);
    FILE *f = fopen(temp("scan.jsonl"), "ab");
    fprintf(f, "{\"images\": [\"cut.png\"], \"texts\": [{\"user\": \"a\", \"assistant\": \"b\"}]}\nnot JSON\n");
    fclose(f);
    open_model(&m);
    vlm_example_rule rule = { .m = m, .max_tokens = m->context, .max_images = 8 };
    images_in = temp_dir;
    for (int decode = 0; decode < 2; decode++)         /* a header may be sound and what follows not */
        for (int threads = 1; threads <= 4; threads += 3) {
            heard h = { .stop_at = -1 };
            open_corpus(&c, specs, 1, 9, true);
            assert_ok(vlm_corpus_scan(&c, &rule, threads, decode, on_bad, &h));
            assert_int_equal(h.n, 6 + decode + 1);
            for (int i = 0; i < 6; i++) assert_true(h.sample[i] == 7 * i + 3 && h.why[i] == VLM_BAD_MISSING_IMAGE);
            assert_true(!decode || (h.sample[6] == 40 && h.why[6] == VLM_BAD_CORRUPT_IMAGE));
            assert_true(h.sample[6 + decode] == 41 && h.why[6 + decode] == VLM_BAD_JSON);
            assert_true(vlm_corpus_count(&c, VLM_SPLIT_BAD) == h.n && vlm_corpus_count(&c, VLM_SPLIT_TRAIN) == 42 - h.n);
            for (int64_t i = 0; i < 40; i++) {
                const vlm_extent *x = &c.set[0].extent[i];
                if (c.set[0].role[i] == VLM_SPLIT_BAD) { assert_true(!x->tokens); continue; }
                assert_true(x->images == 1 && x->labels > 3 && x->labels < x->tokens && x->image_tokens > 0 && x->patches > 0);
                assert_true(x->rows == x->patches + x->units * vlm_vit_prefix(&m->net->vit.cfg) && x->most <= x->patches);
            }
            vlm_picks p = order_of(&c, 0);             /* the order leaves them out, the others stay where they were */
            assert_true(p.n == 42 - h.n);
            free(p.pick);
            vlm_corpus_close(&c);
        }
    heard h = { .stop_at = 2 };
    open_corpus(&c, specs, 1, 9, true);
    assert_failure(vlm_corpus_scan(&c, &rule, 2, false, on_bad, &h), VLM_ESTOPPED, "test", "enough");
    assert_int_equal(h.n, 2);
    images_in = IMAGES;
    vlm_corpus_close(&c);
    vlm_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order), cmocka_unit_test(fair), cmocka_unit_test(weights), cmocka_unit_test(specs), cmocka_unit_test(holding_out),
        cmocka_unit_test(loading), cmocka_unit_test(bounds), cmocka_unit_test(scanning),
    };
    return cmocka_run_group_tests_name("corpus", tests, temp_open, temp_close);
}

/* From logits to an id: the order of the steps on vectors worked out by hand, ties, penalties, limits; seeds; how often what is drawn. */
#include "temp.h"
#include "infer/sampler.h"
#include <math.h>

enum { V = 8 };
static vlm_sampler s;
static vlm_rng rng;
static int open_sampler(void **state) {
    (void)state;
    unsigned char known[V] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    vlm_rng_seed(&rng, 1);
    return vlm_sampler_init(&s, V, known);
}
static int close_sampler(void **state) { (void)state; vlm_sampler_free(&s); return 0; }

/* Which of the V ids come out of 4000 draws, as bits. */
static unsigned reached(const vlm_sampling *o, const float *logits, const int64_t *history, int64_t n) {
    unsigned bits = 0;
    for (int i = 0; i < 4000; i++) {
        int64_t id = -1;
        assert_ok(vlm_sampler_draw(&s, o, logits, history, n, &rng, &id));
        assert_in_range(id, 0, V - 1);
        bits |= 1u << id;
    }
    return bits;
}
static int64_t draw(const vlm_sampling *o, const float *logits, const int64_t *history, int64_t n) {
    int64_t id = -1;
    assert_ok(vlm_sampler_draw(&s, o, logits, history, n, &rng, &id));
    return id;
}
static const float probs[V] = { -2.3025851f, -1.6094379f, -1.2039728f, -0.9162907f, -60, -60, -60, -60 };      /* ln 0.1 0.2 0.3 0.4 0 … */

static void greedy(void **state) {
    (void)state;
    vlm_sampling o = { .top_k = 3, .top_p = 0.1 };
    assert_int_equal(draw(&o, probs, NULL, 0), 3);
    assert_int_equal(draw(&o, (float[V]){ 1, 5, 5, 5, 0, 5, 1, 1 }, NULL, 0), 1);          /* equals: the lowest id */
    assert_int_equal(draw(&o, (float[V]){ -1e30f, -3e38f, -2, -1e30f, -9, -2, -9, -9 }, NULL, 0), 2);
    assert_int_equal(draw(&o, (float[V]){ -INFINITY, -INFINITY, 0, 1, -INFINITY, 0, 0, INFINITY }, NULL, 0), 7);
    o.temperature = 1e-300;                                                                /* towards 0: the same */
    for (int i = 0; i < 100; i++) assert_int_equal(draw(&o, probs, NULL, 0), 3);
    o = (vlm_sampling){ .temperature = 0.001 };
    for (int i = 0; i < 100; i++) assert_int_equal(draw(&o, probs, NULL, 0), 3);
    o = (vlm_sampling){ .temperature = 1 };
    assert_int_equal(draw(&o, (float[V]){ 0, 0, 0, 0, INFINITY, 0, 0, 0 }, NULL, 0), 4);
}

/* Blocks of logits that are no better are passed over: what such a block hides. */
static void greedy_of_many(void **state) {
    (void)state;
    enum { N = 200 };
    vlm_sampling o = { 0 };
    vlm_sampler many = { 0 };
    unsigned char known[N];
    float x[N];
    int64_t id;
    memset(known, 1, sizeof known);
    memset(known, 0, 70);
    assert_ok(vlm_sampler_init(&many, N, known));
    for (int i = 0; i < N; i++) x[i] = -INFINITY;
    assert_ok(vlm_sampler_draw(&many, &o, x, NULL, 0, &rng, &id));
    assert_int_equal(id, 70);                          /* the first that is known */
    for (int i = 0; i < N; i++) x[i] = (float)(i % 50);
    x[3] = x[65] = 1000;                               /* unknown ones */
    assert_ok(vlm_sampler_draw(&many, &o, x, NULL, 0, &rng, &id));
    assert_int_equal(id, 99);                          /* of equals, also of other blocks, the lowest */
    x[150] = 49.5f, x[195] = 60;
    assert_ok(vlm_sampler_draw(&many, &o, x, NULL, 0, &rng, &id));
    assert_int_equal(id, 195);                         /* in the last block, which is not whole */
    for (int at = 0; at < N; at += 13) {               /* known or not */
        float was = x[at];
        x[at] = NAN;
        assert_int_equal(vlm_sampler_draw(&many, &o, x, NULL, 0, &rng, &id), VLM_EFORMAT);
        x[at] = was;
    }
    vlm_sampler_free(&many);
}

static void top_k(void **state) {
    (void)state;
    vlm_sampling o = { .temperature = 3, .top_k = 2 };
    assert_int_equal(reached(&o, (float[V]){ 1, 2, 3, 4, 5, 6, 7, 8 }, NULL, 0), 0xC0);
    assert_int_equal(reached(&o, (float[V]){ 2, 5, 1, 5, 6, 5, 0, 0 }, NULL, 0), 0x3A);    /* what equals the second stays: 1 3 4 5 */
    o.top_k = 1;
    assert_int_equal(reached(&o, (float[V]){ 7, 7, 0, 0, 0, 0, 0, 7 }, NULL, 0), 0x83);
    o.top_k = V;
    assert_int_equal(reached(&o, (float[V]){ 0 }, NULL, 0), 0xFF);
    o.top_k = 1000000;
    assert_int_equal(reached(&o, (float[V]){ 0 }, NULL, 0), 0xFF);
}

/* Sorted 0.4 0.3 0.2 0.1: sums 0.4 0.7 0.9 1. The token that crosses goes too; the first never does. */
static void top_p(void **state) {
    (void)state;
    vlm_sampling o = { .temperature = 1, .top_p = 0.75 };
    assert_int_equal(reached(&o, probs, NULL, 0), 0xC);
    o.top_p = 0.5;
    assert_int_equal(reached(&o, probs, NULL, 0), 0x8);
    o.top_p = 0.01;
    assert_int_equal(reached(&o, probs, NULL, 0), 0x8);
    o.top_p = 0.95;
    assert_int_equal(reached(&o, probs, NULL, 0), 0xE);
    o.top_p = 1;
    assert_int_equal(reached(&o, probs, NULL, 0), 0xF);
    /* before the temperature: a hot one does not widen what is kept, a cold one does not narrow it */
    o = (vlm_sampling){ .temperature = 100, .top_p = 0.75 };
    assert_int_equal(reached(&o, probs, NULL, 0), 0xC);
    /* of what top-k left: 4/7 3/7 */
    o = (vlm_sampling){ .temperature = 1, .top_k = 2, .top_p = 0.6 };
    assert_int_equal(reached(&o, probs, NULL, 0), 0x8);
    o.top_k = 3;                                                                            /* 4/9, 7/9 */
    o.top_p = 0.8;
    assert_int_equal(reached(&o, probs, NULL, 0), 0xC);
}
static void min_p(void **state) {
    (void)state;
    vlm_sampling o = { .temperature = 1, .min_p = 0.6 };                                    /* of the largest: 0.24 */
    assert_int_equal(reached(&o, probs, NULL, 0), 0xC);
    o.min_p = 0.4;
    assert_int_equal(reached(&o, probs, NULL, 0), 0xE);
    o.min_p = 1;
    assert_int_equal(reached(&o, probs, NULL, 0), 0x8);
    o = (vlm_sampling){ .temperature = 50, .min_p = 0.6 };
    assert_int_equal(reached(&o, probs, NULL, 0), 0xC);
}

/* Positive logits are divided, negative ones multiplied; each id once however often it came. */
static void repetition(void **state) {
    (void)state;
    int64_t history[] = { 2, 2, 2, 5 };
    vlm_sampling o = { .repetition_penalty = 2 };
    assert_int_equal(draw(&o, (float[V]){ 0, 3, 5, 2, 0, 0, 0, 0 }, history, 4), 1);       /* 5/2 < 3; thrice would be the same */
    assert_int_equal(draw(&o, (float[V]){ 0, 1.2f, 5, 2.4f, 0, 0, 0, 0 }, history, 4), 2); /* 2.5 > 2.4: only once */
    assert_int_equal(draw(&o, (float[V]){ -9, -3, -2, -9, -9, -9, -9, -9 }, history, 4), 1);   /* -4 < -3 */
    assert_int_equal(draw(&o, (float[V]){ 0, 3, 5, 2, 0, 0, 0, 0 }, history, 0), 2);       /* nothing stays marked */
    o.repetition_penalty = 0.5;
    assert_int_equal(draw(&o, (float[V]){ 0, 3, 2, 2, 0, 0, 0, 0 }, history, 4), 2);
    o.repetition_penalty = 1;
    assert_int_equal(draw(&o, (float[V]){ 0, 3, 5, 2, 0, 0, 0, 0 }, history, 4), 2);
    o = (vlm_sampling){ .temperature = 1, .top_k = 1, .repetition_penalty = 2 };           /* before top-k */
    assert_int_equal(reached(&o, (float[V]){ 0, 3, 5, 2, 0, 0, 0, 0 }, history, 4), 0x2);
}

static void unknown_ids(void **state) {
    (void)state;
    unsigned char known[V] = { 0, 1, 0, 1, 0, 0, 1, 0 }, none[V] = { 0 };
    vlm_sampler k = { 0 };
    int64_t id = -7;
    assert_ok(vlm_sampler_init(&k, V, known));
    known[0] = 1;                                                                           /* copied */
    vlm_sampling o = { .temperature = 10 };
    for (int i = 0; i < 2000; i++) {
        assert_ok(vlm_sampler_draw(&k, &o, (float[V]){ 99, 1, 99, 2, 99, 99, 0, 99 }, NULL, 0, &rng, &id));
        assert_true(id == 1 || id == 3 || id == 6);
    }
    o.temperature = 0;
    assert_ok(vlm_sampler_draw(&k, &o, (float[V]){ 99, 1, 99, 2, 99, 99, 0, 99 }, NULL, 0, &rng, &id));
    assert_int_equal(id, 3);
    vlm_sampler_free(&k);
    assert_ok(vlm_sampler_init(&k, V, none));
    assert_failure(vlm_sampler_draw(&k, &o, probs, NULL, 0, &rng, &id), VLM_EFORMAT, "tokenizer", "knows no id");
    vlm_sampler_free(&k);
}

static void nan_logits(void **state) {
    (void)state;
    int64_t id = -7, history[] = { 2 };
    vlm_sampling o = { .repetition_penalty = 2 };
    assert_failure(vlm_sampler_draw(&s, &o, (float[V]){ 0, 0, 5, 0, 0, 0, 0, NAN }, history, 1, &rng, &id), VLM_EFORMAT, "logits", "NaN");
    assert_int_equal(id, -7);
    assert_int_equal(draw(&o, (float[V]){ 0, 3, 5, 2, 0, 0, 0, 0 }, NULL, 0), 2);          /* the failure left no mark on 2 */
}

static void settings(void **state) {
    (void)state;
    static const struct { vlm_sampling o; const char *where; } bad[] = {
        { { .temperature = -1 }, "--temperature" }, { { .temperature = NAN }, "--temperature" }, { { .temperature = INFINITY },
            "--temperature" }, { { .top_k = -1 }, "--top-k" },
        { { .top_p = 1.01 }, "--top-p" }, { { .top_p = -0.1 }, "--top-p" }, { { .top_p = NAN }, "--top-p" }, { { .min_p = 2 }, "--min-p" },
        { { .repetition_penalty = -2 }, "--repetition-penalty" }, { { .repetition_penalty = NAN }, "--repetition-penalty" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_failure(vlm_sampling_check(&bad[i].o), VLM_EARG, bad[i].where, "");
    assert_ok(vlm_sampling_check(&(vlm_sampling){ 0 }));
    assert_ok(vlm_sampling_check(&(vlm_sampling){ 0.5, 50, 0.9, 0.05, 1.1 }));
}

static void seeds(void **state) {
    (void)state;
    vlm_sampling o = { .temperature = 1 };
    int64_t a[64], b[64], c[64];
    vlm_rng r;
    for (int k = 0; k < 3; k++) {
        int64_t *to = k == 0 ? a : k == 1 ? b : c;
        vlm_rng_seed(&r, k == 2 ? 43 : 42);
        for (int i = 0; i < 64; i++) assert_ok(vlm_sampler_draw(&s, &o, probs, NULL, 0, &r, &to[i]));
    }
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
}

/* χ² against softmax(logits / T) on what is kept: three degrees of freedom, 99.9 % lies below 16.27. */
static void check_frequencies(const vlm_sampling *o, const float *logits, const double *expected) {
    enum { N = 100000 };
    double n[V] = { 0 }, chi = 0;
    vlm_rng r;
    vlm_rng_seed(&r, 7);
    for (int i = 0; i < N; i++) {
        int64_t id;
        assert_ok(vlm_sampler_draw(&s, o, logits, NULL, 0, &r, &id));
        n[id]++;
    }
    for (int i = 0; i < V; i++) {
        if (expected[i] == 0) { assert_true(n[i] == 0); continue; }
        chi += (n[i] - N * expected[i]) * (n[i] - N * expected[i]) / (N * expected[i]);
    }
    assert_true(chi < 16.27);
}
static void frequencies(void **state) {
    (void)state;
    check_frequencies(&(vlm_sampling){ .temperature = 1 }, probs, (double[V]){ 0.1, 0.2, 0.3, 0.4 });
    check_frequencies(&(vlm_sampling){ .temperature = 0.5 }, probs, (double[V]){ 1 / 30., 4 / 30., 9 / 30., 16 / 30. });      /* squared */
    check_frequencies(&(vlm_sampling){ .temperature = 1, .top_p = 0.95 }, probs, (double[V]){ 0, 2 / 9., 3 / 9., 4 / 9. });
    check_frequencies(&(vlm_sampling){ .temperature = 0.5, .top_k = 2 }, probs, (double[V]){ 0, 0, 9 / 25., 16 / 25. });
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy), cmocka_unit_test(greedy_of_many), cmocka_unit_test(top_k), cmocka_unit_test(top_p),
        cmocka_unit_test(min_p), cmocka_unit_test(repetition), cmocka_unit_test(unknown_ids),
        cmocka_unit_test(nan_logits), cmocka_unit_test(settings), cmocka_unit_test(seeds), cmocka_unit_test(frequencies),
    };
    return cmocka_run_group_tests(tests, open_sampler, close_sampler);
}

/* What is kept for later calls: the same bits wherever a prompt's beginning comes from, in rings as in full layers, whatever happened to
   the files; entries go when the folder is full, the least recently used first. */
#include "tiny.h"
#include "infer/reuse.h"
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <sys/stat.h>

enum { LONG = 1500 };
static int64_t ids[LONG];
static void some_ids(const vlm_model *m) {
    uint32_t x = 7;
    for (int i = 0; i < LONG; i++) do ids[i] = (x = x * 1664525u + 1013904223u, (int64_t)(x >> 8)) % m->net->lm.cfg.V;
        while (ids[i] == m->image_token);
}
static const char *kv;                 /* type of the sessions' caches */
static vlm_session *session_of(const vlm_model *m, int threads) {
    vlm_session *s = NULL;
    assert_ok(vlm_session_open(m, &(vlm_session_options){ .threads = threads, .kv = kv }, &s));
    s->ctx->eager = true;
    return s;
}
static vlm_model *cached(const char *dir, const char *cache, int64_t bytes) {
    vlm_model *m = NULL;
    assert_ok(vlm_model_open(dir, &(vlm_model_options){ .cache_dir = cache, .cache_bytes = bytes }, &m));
    return m;
}
/* The prompt in pieces, which end where `cut` says; then its logits are those of a session without a cache, which has it at once. */
static int64_t check(const vlm_model *m, const vlm_model *plain, int threads, const int *cut, int n, int64_t chain_after) {
    vlm_session *s = session_of(m, threads), *w = session_of(plain, 1);
    size_t bytes = (size_t)m->net->lm.cfg.V * sizeof(float);
    int at = 0, end = cut[n - 1];
    assert_ok(vlm_session_reserve(s, LONG + 100));
    assert_ok(vlm_session_reserve(w, LONG + 100));
    for (int i = 0; i < n; at = cut[i++]) {
        double p[70];
        assert_ok(vlm_prefill(s, ids + at, (size_t)(cut[i] - at), NULL));
        if (chain_after && !m->net->lm.cfg.window) assert_ok(vlm_continuation(s, ids, 70, p));         /* leaves no trace in the chain */
    }
    assert_ok(vlm_prefill(w, ids, (size_t)end, NULL));
    assert_memory_equal(vlm_logits(s), vlm_logits(w), bytes);
    for (int i = 0; i < 3; i++) {              /* and it goes on as that does */
        assert_ok(vlm_prefill(s, ids + i, 1, NULL));
        assert_ok(vlm_prefill(w, ids + i, 1, NULL));
        assert_memory_equal(vlm_logits(s), vlm_logits(w), bytes);
    }
    int64_t reused = s->reused_positions;
    assert_int_equal(vlm_session_position(s), end + 3);
    vlm_session_close(s);
    vlm_session_close(w);
    return reused;
}
/* How many entries; *one: which of them. */
static int found(const char *cache, char one[512], int which) {
    glob_t g = { 0 };
    char pattern[64];
    snprintf(pattern, sizeof pattern, "%s/[0-9a-f][0-9a-f]/*", cache);
    int n = glob(temp(pattern), 0, NULL, &g) ? 0 : (int)g.gl_pathc;
    if (which < n) snprintf(one, 512, "%s", g.gl_pathv[which]);
    globfree(&g);
    return n;
}
static void prompts(void **state) {
    (void)state;
    char dir[512], cache[512], path[512];
    for (int k = 0; k < 2; k++) {
        vlm_model *plain, *m;
        if (k) {
            folder("gemma3");
            set_key("config.json", "max_position_embeddings", "4096");         /* window 12: rings of 576 rows */
        }
        snprintf(dir, sizeof dir, "%s", temp(k ? "model" : "tiny"));
        snprintf(cache, sizeof cache, "%s", temp(k ? "c1" : "c0"));
        assert_ok(vlm_model_open(dir, NULL, &plain));
        m = cached(dir, cache, 0);
        some_ids(m);
        int n = found(k ? "c1" : "c0", path, 0);
        assert_int_equal(check(m, plain, 2, (int[]){ 1300 }, 1, 0), 0);
        assert_int_equal(found(k ? "c1" : "c0", path, 0) - n, 1300 / 64);
        assert_int_equal(check(m, plain, 1, (int[]){ 1300 }, 1, 0), 1280);
        assert_int_equal(check(m, plain, 3, (int[]){ LONG }, 1, 1), 1280);     /* a longer one */
        assert_int_equal(check(m, plain, 2, (int[]){ LONG }, 1, 0), 1472);
        assert_int_equal(check(m, plain, 2, (int[]){ 1344 }, 1, 0), 1280);     /* the last position is always computed */
        assert_int_equal(check(m, plain, 2, (int[]){ 1345 }, 1, 0), 1344);
        assert_int_equal(check(m, plain, 2, (int[]){ 63 }, 1, 0), 0);
        assert_int_equal(check(m, plain, 2, (int[]){ 100, 101, 170, 900, 1200 }, 5, 1), 64 + (128 - 101) + (896 - 170) + (1152 - 900));
        for (int i = 0; i < 60; i++) ids[700 + i] = 3;                         /* the same up to there */
        assert_int_equal(check(m, plain, 2, (int[]){ LONG }, 1, 0), 640);
        /* one block is damaged: up to it; then it is sound again */
        int count = found(k ? "c1" : "c0", path, 0);
        for (int i = 0; i < count; i++) {
            found(k ? "c1" : "c0", path, i);
            int fd = open(path, O_RDWR);
            struct stat st;
            assert_true(fd >= 0 && !fstat(fd, &st));
            if (i % 3 == 0 && st.st_size > 400) assert_int_equal(pwrite(fd, "damage", 6, st.st_size / 2), 6);
            if (i % 3 == 1 && st.st_size > 400) assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
            close(fd);
        }
        assert_true(check(m, plain, 2, (int[]){ LONG }, 1, 0) < 1472);
        assert_int_equal(check(m, plain, 2, (int[]){ LONG }, 1, 0), 1472);
        for (int t = 0; t < 2; t++) {          /* another type: another name */
            kv = t ? "int8" : "f16";
            assert_int_equal(check(m, plain, 2, (int[]){ 700 }, 1, 0), 0);
            assert_int_equal(check(m, plain, 1, (int[]){ 700 }, 1, 0), 640);
        }
        kv = NULL;
        vlm_model_close(m);
        m = cached(dir, cache, 0);
        assert_int_equal(check(m, plain, 2, (int[]){ LONG }, 1, 0), 1472);
        vlm_model_close(m);
        vlm_model_close(plain);
    }
}

static int groups;                     /* of images, but the last */
static int count_groups(void *user, const char *what, int64_t done, int64_t total) {
    (void)user, (void)done, (void)total;
    groups += !strcmp(what, "images");
    return 0;
}
/* Pictures: of a damaged file nothing is kept; the rows of one picture are not those of another. Those that are not there are encoded
   together. */
static void pictures(void **state) {
    (void)state;
    char dir[512], cache[512];
    snprintf(dir, sizeof dir, "%s", temp("tiny"));
    snprintf(cache, sizeof cache, "%s", temp("c2"));
    static const char *const names[] = { "rgb_64x48.png", "j420.jpg", "lossy.webp", "rgb_64x48.png" };
    vlm_features *want = NULL, *f = NULL;
    for (int round = 0; round < 3; round++) {
        vlm_model *m = round ? cached(dir, cache, 0) : tiny;
        vlm_session *s = session_of(m, 2);
        vlm_image *image[4];
        for (int i = 0; i < 4; i++) {
            char path[128];
            snprintf(path, sizeof path, "tests/golden/images/%s", names[i]);
            assert_ok(vlm_image_load(m, path, &image[i]));
            assert_int_equal(image[i]->b.rgb != NULL, round < 2);
        }
        vlm_image *bad = NULL;
        assert_failure(vlm_image_load_bytes(m, "\xFF\xD8\xFF no", 6, &bad), VLM_EFORMAT, "image", "");
        groups = 0;
        vlm_log_set(NULL, count_groups, NULL);
        assert_ok(vlm_encode(s, (const vlm_image *const *)image, 4, round ? &f : &want));
        vlm_log_set(NULL, NULL, NULL);
        assert_int_equal(groups, 0);
        assert_int_equal(s->reused_images, round < 1 ? 0 : round < 2 ? 1 : 4);         /* the last is the first again */
        for (int i = 0; i < 4; i++) {
            vlm_image_free(image[i]);
            if (!round) continue;
            const vlm_seen *a = &want->image[i], *b = &f->image[i];
            assert_memory_equal(a->patches, b->patches, (size_t)(a->plan.n * a->patch_len) * sizeof(float));
            assert_memory_equal(a->prefix, b->prefix, (size_t)(a->plan.n * a->prefix_len) * sizeof(float));
            assert_memory_equal(a->tokens, b->tokens, (size_t)(a->plan.image_tokens * m->net->lm.cfg.D) * sizeof(float));
        }
        if (round) {
            vlm_features_free(f);
            vlm_session_close(s);
            vlm_model_close(m);
        } else vlm_session_close(s);
    }
    vlm_features_free(want);
}

/* Several at once, one of whom is always behind. */
static vlm_model *shared;
static void *asks(void *arg) {
    vlm_session *s = NULL;
    float *out = malloc((size_t)shared->net->lm.cfg.V * sizeof *out);
    (void)arg;
    if (vlm_session_open(shared, &(vlm_session_options){ .threads = 2 }, &s)) return NULL;
    for (int i = 0; i < 3; i++) {
        vlm_session_reset(s);
        if (vlm_prefill(s, ids, 900, NULL)) return NULL;
    }
    memcpy(out, vlm_logits(s), (size_t)shared->net->lm.cfg.V * sizeof *out);
    vlm_session_close(s);
    return out;
}
static void side_by_side(void **state) {
    (void)state;
    char dir[512], cache[512];
    pthread_t t[4];
    snprintf(dir, sizeof dir, "%s", temp("tiny"));
    snprintf(cache, sizeof cache, "%s", temp("c3"));
    vlm_session *w = session_of(tiny, 1);
    some_ids(tiny);
    assert_ok(vlm_prefill(w, ids, 900, NULL));
    shared = cached(dir, cache, 200000);       /* and no room for all */
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, asks, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *out;
        assert_int_equal(pthread_join(t[i], &out), 0);
        assert_non_null(out);
        assert_memory_equal(out, vlm_logits(w), (size_t)tiny->net->lm.cfg.V * sizeof(float));
        free(out);
    }
    vlm_session_close(w);
    vlm_model_close(shared);
}

/* ---- The folder ---- */

static void put(vlm_store *s, int k, size_t n) {
    unsigned char key[VLM_STORE_KEY] = { (unsigned char)k, 7 }, data[4096];
    vlm_entry e;
    memset(data, k, sizeof data);
    assert_ok(vlm_store_begin(s, key, n, false, &e));
    if (!e.w.f) return;
    assert_ok(vlm_entry_add(&e, data, n));
    assert_ok(vlm_store_end(s, &e));
}
static bool there(vlm_store *s, int k) {
    unsigned char key[VLM_STORE_KEY] = { (unsigned char)k, 7 };
    vlm_map m;
    bool damaged;
    assert_ok(vlm_store_get(s, key, &m, &damaged));
    assert_false(damaged);
    bool yes = m.data && m.data[0] == k;
    vlm_map_close(&m);
    usleep(12000);                             /* times of files go by ticks */
    return yes;
}
static void limits(void **state) {
    (void)state;
    vlm_store *s;
    assert_ok(vlm_store_open(temp("store"), 5000, "keeps nothing more", &s));
    for (int k = 1; k <= 4; k++) put(s, k, 1000), usleep(12000);
    assert_true(there(s, 1) && there(s, 3));   /* used: 2 and 4 are older now */
    put(s, 5, 1000);
    assert_true(there(s, 1) && !there(s, 2) && there(s, 3) && there(s, 5));
    put(s, 6, 4096);                           /* most of the folder */
    assert_true(there(s, 6) && !there(s, 1) && !there(s, 3));
    vlm_store_close(s);
    assert_ok(vlm_store_open(temp("store"), 4000, "keeps nothing more", &s));
    put(s, 7, 4000);                           /* more than all of it: nothing happens */
    assert_true(!there(s, 7) && there(s, 6));
    put(s, 8, 100);                            /* the limit of this opening holds */
    assert_true(there(s, 8) && !there(s, 6));
    vlm_store_close(s);
}
/* A file that has just been written might change once more within the tick: what it holds is not taken for granted yet. */
static void fresh_files(void **state) {
    (void)state;
    char one[512];
    folder("llama");
    char dir[512], cache[512];
    snprintf(dir, sizeof dir, "%s", temp("model"));
    snprintf(cache, sizeof cache, "%s", temp("c4"));
    vlm_model_close(cached(dir, cache, 0));
    assert_int_equal(found("c4", one, 0), 0);
    sleep(3);
    vlm_model_close(cached(dir, cache, 0));
    assert_true(found("c4", one, 0) >= 3);
    vlm_model *m;
    assert_failure(vlm_model_open(dir, &(vlm_model_options){ .cache_dir = cache, .cache_bytes = -1 }, &m), VLM_EARG, "vlm_model_open", "");
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(prompts), cmocka_unit_test(pictures), cmocka_unit_test(side_by_side),
                                        cmocka_unit_test(limits), cmocka_unit_test(fresh_files) };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

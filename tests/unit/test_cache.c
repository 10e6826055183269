/* Features from the disk are as good as the encoder's: to the bit, whatever has happened to the files; and where they are not, nobody
   notices but the clock. */
#include "folder.h"
#include "train/cache.h"
#include "train/trainer.h"
#include <glob.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MODELS "tests/golden/models/"
static vlm_model *dino, *siglip;       /* one image a picture; tiles */

static int open_all(void **state) {
    if (temp_open(state)) return -1;
    if (vlm_model_open_as(MODELS "vlm_dino", NULL, VLM_OPEN_F32, &dino) ||
        vlm_model_open_as(MODELS "vlm_siglip_up", NULL, VLM_OPEN_F32, &siglip)) {
        print_error("%s: %s\n", vlm_error_where(), vlm_error_message());
        return -1;
    }
    return 0;
}
static int close_all(void **state) {
    vlm_model_close(dino);
    vlm_model_close(siglip);
    return temp_close(state);
}
static void clear(const char *name) {
    char cmd[600];
    snprintf(cmd, sizeof cmd, "chmod -R u+w '%s' 2>/dev/null; rm -rf '%s'", temp(name), temp(name));
    assert_int_equal(system(cmd), 0);
}
/* Files in temp_dir that fit the pattern; *one (NULL is fine): the last. */
static int found(const char *pattern, char one[512]) {
    glob_t g = { 0 };
    int n = glob(temp(pattern), 0, NULL, &g) ? 0 : (int)g.gl_pathc;
    if (n && one) snprintf(one, 512, "%s", g.gl_pathv[n - 1]);
    globfree(&g);
    return n;
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

static vlm_cache *open_cache(const vlm_model *m, bool bf16) {
    vlm_cache *c = NULL;
    assert_ok(vlm_cache_open(temp("cache"), m, bf16, &c));
    return c;
}
static vlm_image_plan plan_of(const vlm_model *m, int64_t w, int64_t h) {
    vlm_image_plan p;
    assert_ok(vlm_image_plan_make(&m->rule, w, h, "test", &p));
    return p;
}
static float value(int file, int64_t i) { return (float)((i * 37 + file * 11) % 1009) / 1009 - 0.4f; }
static int64_t values(const vlm_model *m, const vlm_image_plan *p) { return p->n * p->patches.h * p->patches.w * m->net->vit.cfg.D; }
/* The "file" of a picture is its number. */
static void get(vlm_cache *c, int file, const vlm_image_plan *p, vlm_cached *out) {
    assert_ok(vlm_cache_get(c, &file, sizeof file, p, out));
}
static int store(vlm_cache *c, const vlm_model *m, int file, const vlm_image_plan *p) {        /* how many tiles were wanted */
    vlm_cached image;
    int wanted = 0;
    int64_t n = values(m, p) / p->n;
    get(c, file, p, &image);
    for (int64_t t = 0; t < p->n; t++) {
        float *to = vlm_cache_want(c, &image, p, t);
        if (!to) continue;
        for (int64_t i = 0; i < n; i++) to[i] = value(file, t * n + i);
        vlm_cache_put(c);
        wanted++;
    }
    vlm_cached_free(&image);
    return wanted;
}
static bool right(const vlm_model *m, const float *features, int file, const vlm_image_plan *p, bool bf16) {
    for (int64_t i = 0; i < values(m, p); i++) {
        float want = value(file, i);
        if (features[i] != (bf16 ? vlm_bf16_float(vlm_float_bf16(want)) : want)) return false;
        if (fabsf(features[i] - want) > fabsf(want) * 0x1p-8f) return false;
    }
    return true;
}
/* 1: there and right; 0: not there; -1: there is something, which is damaged. Anything else fails. */
static int look(vlm_cache *c, const vlm_model *m, int file, const vlm_image_plan *p, bool bf16) {
    vlm_cached image;
    get(c, file, p, &image);
    int is = image.features ? 1 : image.damaged ? -1 : 0;
    if (image.features) assert_true(!image.damaged && right(m, image.features, file, p, bf16));
    vlm_cached_free(&image);
    return is;
}

static void entries(void **state) {
    (void)state;
    const vlm_model *models[] = { dino, siglip };
    for (int k = 0; k < 4; k++) {
        const vlm_model *m = models[k / 2];
        bool bf16 = k & 1;
        vlm_image_plan p = plan_of(m, 64, 48), other = plan_of(m, 150, 20);
        clear("cache");
        listen();
        vlm_cache *c = open_cache(m, bf16), *d;
        assert_true(m == dino ? p.n == 1 : p.n > 1);
        assert_int_equal(look(c, m, 1, &p, bf16), 0);
        assert_int_equal(store(c, m, 1, &p), p.n);
        assert_int_equal(look(c, m, 1, &p, bf16), 1);
        assert_int_equal(store(c, m, 1, &p), 0);               /* there by now */
        assert_int_equal(look(c, m, 2, &p, bf16), 0);          /* another picture; another size of this one */
        assert_int_equal(look(c, m, 1, &other, bf16), 0);
        assert_int_equal(store(c, m, 1, &other), other.n);
        assert_int_equal(look(c, m, 1, &other, bf16), 1);
        assert_int_equal(look(c, m, 1, &p, bf16), 1);
        d = open_cache(m, !bf16);                              /* the other kind is another folder */
        assert_int_equal(look(d, m, 1, &p, !bf16), 0);
        vlm_cache_close(d);
        vlm_cache_close(c);
        c = open_cache(m, bf16);
        assert_int_equal(look(c, m, 1, &p, bf16), 1);
        assert_true(vlm_cache_bytes(c, 10) == (size_t)(10 * m->net->vit.cfg.D * (bf16 ? 2 : 4)));
        assert_true(vlm_cache_room(c) > 0);
        vlm_cache_close(c);
        assert_int_equal(warnings, 0);
    }
    vlm_cache_close(NULL);
}
/* Half an image: the others' tiles are not its own, and nothing stays. */
static void unfinished(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(siglip, 64, 48);
    vlm_cached a, b;
    clear("cache");
    vlm_cache *c = open_cache(siglip, false);
    get(c, 1, &p, &a);
    get(c, 2, &p, &b);
    assert_null(vlm_cache_want(c, &a, &p, 1));                 /* not from the middle */
    assert_non_null(vlm_cache_want(c, &a, &p, 0));
    vlm_cache_put(c);
    assert_null(vlm_cache_want(c, &a, &p, 2));
    assert_null(vlm_cache_want(c, &b, &p, 1));
    assert_int_equal(store(c, siglip, 2, &p), p.n);
    assert_null(vlm_cache_want(c, &a, &p, 1));
    assert_int_equal(look(c, siglip, 1, &p, false), 0);
    assert_int_equal(look(c, siglip, 2, &p, false), 1);
    assert_non_null(vlm_cache_want(c, &a, &p, 0));
    vlm_cache_close(c);
    assert_int_equal(found("cache/*/*/*", NULL), 1);
    vlm_cached_free(&a);
    vlm_cached_free(&b);
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

static void damage(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(dino, 16, 16);
    static unsigned char good[1 << 16], bad[1 << 16];
    char path[512];
    clear("cache");
    listen();
    vlm_cache *c = open_cache(dino, false);
    store(c, dino, 1, &p);
    assert_int_equal(found("cache/*/*/*", path), 1);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(good, 1, sizeof good, f);
    fclose(f);
    assert_true(n == 128 + (size_t)values(dino, &p) * 4 + 16 && n < 2048);
    for (size_t i = 0; i < 2 * n + 1; i++) {                   /* every byte changed; cut at every length, and one too long */
        size_t size = i < n ? n : i - n + (i == 2 * n);
        memcpy(bad, good, n);
        bad[n] = 0;
        if (i < n) bad[i] ^= (unsigned char)(1 << i % 8);
        assert_int_equal(unlink(path), 0);                     /* not the file that may be mapped */
        temp_write(path + strlen(temp_dir) + 1, bad, size);
        assert_int_equal(look(c, dino, 1, &p, false), -1);
        if (i % 97 && i < 2 * n - 3) continue;
        assert_int_equal(store(c, dino, 1, &p), 1);            /* replaced */
        assert_int_equal(look(c, dino, 1, &p, false), 1);
    }
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warned, "is damaged and made again"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);                    /* what nobody would think of */
    assert_int_equal(look(c, dino, 1, &p, false), -1);
    assert_int_equal(store(c, dino, 1, &p), 0);
    assert_int_equal(warnings, 2);
    assert_non_null(strstr(warned, "keeps no more features, training goes on without: "));
    vlm_cache_close(c);
    char about[600];
    assert_int_equal(found("cache/*/about.json", about), 1);
    json_t *j = NULL;
    assert_ok(vlm_json_read(about, &j));
    assert_string_equal(json_string_value(json_object_get(j, "dtype")), "f32");
    assert_string_equal(json_string_value(json_object_get(j, "vision")), "dinov3");
    json_decref(j);
}
/* Another encoder, another rule: none of it is taken, not even by a file that was moved. */
static void stale(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(dino, 64, 48);
    vlm_model m = *dino;
    vlm_cache *c, *d;
    char first[512], second[512], cmd[1200];
    clear("cache");
    c = open_cache(dino, false);
    store(c, dino, 1, &p);
    assert_int_equal(found("cache/*/*/*", first), 1);
    m.rule.mean[1] += 0.001f;
    d = open_cache(&m, false);
    assert_int_equal(look(d, &m, 1, &p, false), 0);
    vlm_cache_close(d);
    m = *dino;
    m.rule.filter = m.rule.filter == VLM_BICUBIC ? VLM_BILINEAR : VLM_BICUBIC;
    d = open_cache(&m, false);
    assert_int_equal(look(d, &m, 1, &p, false), 0);
    vlm_cache_close(d);
    m = *dino;
    for (int i = 0; i < 2; i++) {                              /* a weight of the last block; the eps of the norms; back again */
        vlm_net net = *dino->net;
        real *w = net.vit.norm_w, before = *w;
        m.net = &net;
        if (i) net.vit.cfg.eps *= 2;
        else *w = nextafterf(*w, 2);
        d = open_cache(&m, false);
        assert_int_equal(look(d, &m, 1, &p, false), 0);
        store(d, &m, 1, &p);
        vlm_cache_close(d);
        *w = before;
    }
    assert_int_equal(found("cache/*/*/*", second), 3);
    if (!strcmp(first, second)) { glob_t g = { 0 }; glob(temp("cache/*/*/*"), 0, NULL, &g); strcpy(second, g.gl_pathv[0]); globfree(&g); }
    snprintf(cmd, sizeof cmd, "cp '%s' '%s'", second, first);
    assert_int_equal(system(cmd), 0);
    listen();
    assert_int_equal(look(c, dino, 1, &p, false), -1);
    assert_int_equal(warnings, 1);
    real *language = dino->net->lm.norm;                     /* other parts of the model may change: it is the same encoder */
    *language += 1;
    d = open_cache(dino, false);
    assert_int_equal(store(d, dino, 1, &p), 1);
    *language -= 1;
    assert_int_equal(look(c, dino, 1, &p, false), 1);
    vlm_cache_close(d);
    vlm_cache_close(c);
    /* the reference ops give other bits, so they have a folder of their own */
    vlm_model *ref = NULL;
    assert_ok(vlm_model_open_as(MODELS "vlm_dino", &(vlm_model_options){ .isa = "ref" }, VLM_OPEN_F32, &ref));
    d = open_cache(ref, false);
    assert_int_equal(look(d, ref, 1, &p, false), vlm_cpu_flags() ? 0 : 1);
    vlm_cache_close(d);
    vlm_model_close(ref);
}

/* ---- Others ------------------------------------------------------------------------------------------------------ */

enum { ENTRIES = 150 };
static pid_t writer(const vlm_image_plan *p, int rounds) {     /* a program of its own, which stores them all */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child) return child;
    vlm_cache *c = NULL;
    if (vlm_cache_open(temp("cache"), dino, false, &c)) _exit(1);
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < ENTRIES; i++) {
            vlm_cached image;
            if (vlm_cache_get(c, &i, sizeof i, p, &image)) _exit(2);
            image.damaged = true;              /* so that it is written in any case */
            float *to = vlm_cache_want(c, &image, p, 0);
            for (int64_t k = 0; to && k < values(dino, p); k++) to[k] = value(i, k);
            if (to) vlm_cache_put(c);
            vlm_cached_free(&image);
            if (!to) _exit(3);
        }
    vlm_cache_close(c);
    _exit(0);
}
static void two_writers(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(dino, 64, 64);
    pid_t child[2];
    int code, running = 2, seen = 0;
    clear("cache");
    listen();
    vlm_cache *c = open_cache(dino, false);
    for (int i = 0; i < 2; i++) child[i] = writer(&p, 3);
    while (running) {                          /* whoever looks meanwhile sees nothing or all of it */
        for (int i = 0; i < ENTRIES; i++) {
            int is = look(c, dino, i, &p, false);
            assert_true(is >= 0);
            seen += is;
        }
        for (int i = 0; i < 2; i++)
            if (child[i] && waitpid(child[i], &code, WNOHANG) == child[i]) {
                assert_int_equal(code, 0);
                child[i] = 0;
                running--;
            }
    }
    assert_true(seen > 0);
    for (int i = 0; i < ENTRIES; i++) assert_int_equal(look(c, dino, i, &p, false), 1);
    assert_int_equal(warnings, 0);
    assert_int_equal(found("cache/*/*/*", NULL), ENTRIES);
    vlm_cache_close(c);
}
static void killed(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(dino, 64, 64);
    int left = 0;
    clear("cache");
    listen();
    for (int round = 0; round < 15 || (left < 3 && round < 500); round++) {    /* some of them have to die while they write */
        int code;
        pid_t child = writer(&p, 1000000);
        for (int i = 0; i < 5000 && !found("cache/*/*/*", NULL); i++) usleep(1000);
        usleep((useconds_t)(round * 1300 % 17000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_true(WIFSIGNALED(code));
        left += found("cache/*/*/*.tmp-*", NULL);
        vlm_cache *c = open_cache(dino, false), *d = open_cache(dino, false);
        assert_int_equal(found("cache/*/*/*.tmp-*", NULL), 0); /* the first one sweeps */
        for (int i = 0; i < ENTRIES; i++) assert_true(look(c, dino, i, &p, false) >= 0);
        vlm_cache_close(c);
        vlm_cache_close(d);
    }
    assert_true(left >= 3);
    assert_int_equal(warnings, 0);
    assert_true(found("cache/*/*/*", NULL) > 0);
}
/* Nobody sweeps what another one is writing. */
static void sweeping(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(siglip, 64, 48);
    vlm_cached image;
    clear("cache");
    vlm_cache *c = open_cache(siglip, false), *d;
    get(c, 1, &p, &image);
    for (int64_t t = 0; t < p.n; t++) {
        float *to = vlm_cache_want(c, &image, &p, t);
        assert_non_null(to);
        for (int64_t i = 0, n = values(siglip, &p) / p.n; i < n; i++) to[i] = value(1, t * n + i);
        d = open_cache(siglip, false);
        assert_int_equal(found("cache/*/*/*.tmp-*", NULL), 1);
        vlm_cache_close(d);
        vlm_cache_put(c);
    }
    vlm_cached_free(&image);
    assert_int_equal(look(c, siglip, 1, &p, false), 1);
    vlm_cache_close(c);
}
static void full_disk(void **state) {
    (void)state;
    vlm_image_plan p = plan_of(dino, 64, 64);
    struct rlimit was, small = { 0 };
    clear("cache");
    listen();
    vlm_cache *c = open_cache(dino, false);
    store(c, dino, 1, &p);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){ 600, was.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    store(c, dino, 2, &p);
    store(c, dino, 3, &p);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warned, "keeps no more features, training goes on without: cannot write: File too large"));
    assert_int_equal(store(c, dino, 4, &p), 0);                /* it stays so */
    assert_int_equal(look(c, dino, 1, &p, false), 1);
    assert_int_equal(look(c, dino, 2, &p, false), 0);
    assert_int_equal(found("cache/*/*/*", NULL), 1);
    vlm_cache_close(c);
    /* a folder where a file stands; one that cannot be written to is still read */
    vlm_cache *d = NULL;
    temp_write("plain", "x", 1);
    assert_failure(vlm_cache_open(temp("plain"), dino, false, &d), VLM_EIO, "/plain", "is no folder");
    assert_failure(vlm_cache_open(temp("plain/cache"), dino, false, &d), VLM_EIO, "/plain", "");
    assert_null(d);
    if (!geteuid()) return;                                    /* root writes everywhere */
    char cmd[600];
    snprintf(cmd, sizeof cmd, "chmod -R a-w '%s'", temp("cache"));
    assert_int_equal(system(cmd), 0);
    listen();
    c = open_cache(dino, false);
    assert_int_equal(look(c, dino, 1, &p, false), 1);
    assert_int_equal(store(c, dino, 4, &p), 0);
    assert_int_equal(warnings, 1);
    vlm_cache_close(c);
}

/* ---- Training ---------------------------------------------------------------------------------------------------- */

static int64_t images, cached;         /* of the last run */
static int shown;
static void on_update(void *user, const vlm_update *u) { (void)user; images += u->images, cached += u->cached; }
static void on_show(void *user, const char *where, const char *question, const char *reference, const char *answer) {
    (void)user;
    assert_non_null(strstr(where, "val.jsonl:"));
    assert_string_equal(question, shown % 2 ? "Which two?" : "What?");
    assert_string_equal(reference, shown % 2 ? "Red, then blue." : "One.");
    assert_non_null(answer);
    shown++;
}
static void data(void) {
    static const char train[] =
        "{\"images\":[\"rgb_64x48.png\"],\"texts\":[{\"user\":\"What?\",\"assistant\":\"One.\"}]}\n"
        "{\"images\":[\"rgb_150x9.png\",\"exif6.jpg\"],\"texts\":[{\"user\":\"Which two?\",\"assistant\":\"Red, then blue.\"}]}\n"
        "{\"images\":[\"rgb_64x48.png\"],\"texts\":[{\"user\":\"And now?\",\"assistant\":\"Still the same.\"}]}\n"
        "{\"texts\":[{\"user\":\"No picture?\",\"assistant\":\"None.\"}]}\n"
        "{\"images\":[\"cut.jpg\"],\"texts\":[{\"user\":\"Whole?\",\"assistant\":\"No.\"}]}\n"
        "{\"images\":[\"lossy.webp\"],\"texts\":[{\"user\":\"What?\",\"assistant\":\"A third.\"}]}\n"
        "{\"images\":[\"j420.jpg\",\"cut.jpg\"],\"texts\":[{\"user\":\"Both?\",\"assistant\":\"One.\"}]}\n";
    char cmd[2000];
    snprintf(cmd, sizeof cmd, "cd tests/golden/images && cp rgb_64x48.png rgb_150x9.png exif6.jpg lossy.webp j420.jpg '%s' && "
             "head -c 1900 j444.jpg >'%s'", temp_dir, temp("cut.jpg"));
    assert_int_equal(system(cmd), 0);
    temp_write("train.jsonl", train, sizeof train - 1);
    temp_write("val.jsonl", train, (size_t)(strstr(strstr(train, "\n") + 1, "\n") + 1 - train));
}
typedef struct job { const char *model, *cache; bool bf16; int threads; int64_t show, steps; const char *resume; } job;
#define JOB(...) ((job){ JOB_MEMBERS(__VA_ARGS__, ) })
#define JOB_MEMBERS(m, c, b, t, ...) .model = m, .cache = c, .bf16 = b, .threads = t, __VA_ARGS__
static vlm_status train(const char *run, job j) {
    char model[256], out[512], cache[512], train[512], val[512];
    const char *t = train, *v = val;
    vlm_train_options o = vlm_train_defaults();
    snprintf(model, sizeof model, MODELS "%s", j.model);
    snprintf(out, sizeof out, "%s", temp(run));
    snprintf(cache, sizeof cache, "%s", temp(j.cache ? j.cache : ""));
    snprintf(train, sizeof train, "%s", temp("train.jsonl"));
    snprintf(val, sizeof val, "%s", temp("val.jsonl"));
    o.model = model, o.run = out, o.data = &t, o.datas = 1, o.val = &v, o.vals = 1;
    o.threads = j.threads, o.seed = 3, o.steps = j.steps ? j.steps : 7, o.batch_samples = 2, o.frozen = 1u << VLM_VISION;
    o.eval_every = 3, o.save_every = 4, o.keep = 0, o.show = j.show;
    o.cache_features = j.cache ? cache : NULL, o.cache_bf16 = j.bf16, o.resume = j.resume;
    images = cached = shown = 0;
    return vlm_train(&o, &(vlm_train_hooks){ .update = on_update, .show = on_show });
}
static bool files_same(const char *a, const char *b) {
    char cmd[1200];
    snprintf(cmd, sizeof cmd, "cmp -s '%s' '%s'", a, b);
    return !system(cmd);
}
/* Losses and all else but the time, what is quarantined, and the weights and moments at the end. */
static void assert_same_run(const char *a, const char *b) {
    char cmd[3000];
    snprintf(cmd, sizeof cmd, "A='%s' B='%s'; for r in \"$A\" \"$B\"; do sed 's/\"ms\":[^,]*,//' $r/metrics.jsonl >$r/bare; done; "
             "for f in bare quarantine.jsonl step_7/model.safetensors step_7/train_state.safetensors; do cmp $A/$f $B/$f || exit 1; done; "
             "[ $(wc -l <$A/bare) = 10 ] && [ $(grep -c corrupt_image $A/quarantine.jsonl) = 2 ] && [ $(wc -l <$A/quarantine.jsonl) = 2 ]",
             temp(a), temp(b));
    if (system(cmd)) fail_msg("%s and %s differ", a, b);
}
static double first_loss(const char *run) {
    char name[64], line[512];
    snprintf(name, sizeof name, "%s/metrics.jsonl", run);
    FILE *f = fopen(temp(name), "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_non_null(strstr(line, "\"loss\":"));
    return atof(strstr(line, "\"loss\":") + 7);
}
static void training(void **state) {
    (void)state;
    static const char *const models[] = { "vlm_dino", "vlm_siglip_up" };
    static const char *const runs[] = { "plain", "cold", "warm", "warm3", "hurt" };
    data();
    for (int k = 0; k < 2; k++) {
        char one[512];
        for (int i = 0; i < 5; i++) clear(runs[i]);
        clear("cache");
        assert_ok(train("plain", JOB(models[k], NULL, false, 2, .show = 2)));
        assert_true(images > 7);
        assert_int_equal(cached, 0);
        assert_int_equal(shown, 6);                            /* after 3, 6 and 7 updates */
        assert_ok(train("cold", JOB(models[k], "cache", false, 1)));
        assert_same_run("plain", "cold");
        assert_int_equal(found("cache/*/*/*", one), 4);        /* of five pictures; one of them is in a bad sample only */
        assert_ok(train("warm", JOB(models[k], "cache", false, 1)));
        assert_same_run("plain", "warm");
        assert_int_equal(cached, images);
        assert_ok(train("warm3", JOB(models[k], "cache", false, 3, .show = 2)));
        assert_same_run("plain", "warm3");
        assert_int_equal(cached, images);
        assert_int_equal(truncate(one, 500), 0);
        listen();
        assert_ok(train("hurt", JOB(models[k], "cache", false, 2)));
        assert_same_run("plain", "hurt");
        assert_true(cached < images);
        assert_int_equal(warnings, 1);
        assert_int_equal(found("cache/*/*/*", NULL), 4);
    }
}
/* Rounded features are the same whether they come from the disk or not, and near the others. */
static void rounded(void **state) {
    (void)state;
    static const char *const runs[] = { "plain", "cold", "warm", "full" };
    char encoder[512], cmd[700];
    data();
    for (int i = 0; i < 4; i++) clear(runs[i]);
    clear("cache");
    assert_ok(train("plain", JOB("vlm_dino", NULL, false, 2)));
    assert_ok(train("cold", JOB("vlm_dino", "cache", true, 2)));
    assert_ok(train("warm", JOB("vlm_dino", "cache", true, 1)));
    assert_int_equal(cached, images);
    assert_same_run("cold", "warm");
    assert_false(files_same(temp("plain/step_7/model.safetensors"), temp("cold/step_7/model.safetensors")));
    double a = first_loss("plain"), b = first_loss("cold");
    assert_true(a != b && fabs(a - b) < 1e-4 * a);
    assert_int_equal(found("cache/*", encoder), 1);            /* nothing can be kept: files stand where folders would */
    snprintf(cmd, sizeof cmd, "cd '%s' && rm -rf ?? && for i in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do "
             "for k in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do : >$i$k; done; done", encoder);
    assert_int_equal(system(cmd), 0);
    listen();
    assert_ok(train("full", JOB("vlm_dino", "cache", true, 2)));
    assert_int_equal(cached, 0);
    assert_int_equal(warnings, 1);
    assert_same_run("cold", "full");
    /* what a run may go on with */
    clear("plain"), clear("cold");
    assert_ok(train("plain", JOB("vlm_dino", "cache2", false, 2)));
    assert_ok(train("plain", JOB("vlm_dino", NULL, false, 2, .resume = "auto")));
    assert_failure(train("plain", JOB("vlm_dino", "cache2", true, 2, .resume = "auto")), VLM_EARG, "step_7",
                   "was made with cache-dtype \"f32\", this command has \"bf16\"");
}
static void refusals(void **state) {
    (void)state;
    char run[512], cache[512], file[512];
    const char *set = file;
    data();
    snprintf(file, sizeof file, "%s", temp("train.jsonl"));
    clear("run");
    snprintf(run, sizeof run, "%s", temp("run"));
    snprintf(cache, sizeof cache, "%s", temp("none"));
    vlm_train_options o = vlm_train_defaults();
    o.model = MODELS "vlm_dino", o.run = run, o.data = &set, o.datas = 1, o.cache_features = cache;
    assert_failure(vlm_train(&o, NULL), VLM_EARG, "--cache-features", "vision is trained; add --freeze vision");
    assert_int_not_equal(access(cache, F_OK), 0);
    clear("run");
    o.frozen = 1u << VLM_VISION;
    o.cache_features = set;
    assert_failure(vlm_train(&o, NULL), VLM_EIO, "train.jsonl", "is no folder");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries), cmocka_unit_test(unfinished), cmocka_unit_test(damage), cmocka_unit_test(stale),
        cmocka_unit_test(two_writers), cmocka_unit_test(killed), cmocka_unit_test(sweeping), cmocka_unit_test(full_disk),
        cmocka_unit_test(training), cmocka_unit_test(rounded), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("cache", tests, open_all, close_all);
}

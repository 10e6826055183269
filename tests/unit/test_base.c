/* The ground floor: messages, the arena's two walks, the thread team, random numbers, files. */
#include "temp.h"
#include "base/arena.h"
#include "base/ctx.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* ---- status, log ---------------------------------------------------------------------------------------------- */
static void *fail_elsewhere(void *arg) {
    vlm_fail(VLM_EIO, "other thread", "%s", (const char *)arg);
    return NULL;
}
static void messages(void **state) {
    (void)state;
    char big[5000];
    pthread_t thread;
    assert_int_equal(vlm_fail(VLM_EFORMAT, "a\nb\x1b[31m", "tensor %s\t%d; get it again", "x\x7f", 3), VLM_EFORMAT);
    assert_string_equal(vlm_error_where(), "a?b?[31m");        /* one line, nothing a terminal obeys */
    assert_string_equal(vlm_error_message(), "tensor x??3; get it again");
    assert_int_equal(vlm_fail(VLM_EIO, vlm_error_where(), "again: %s", vlm_error_message()), VLM_EIO);
    assert_string_equal(vlm_error_where(), "a?b?[31m");
    assert_string_equal(vlm_error_message(), "again: tensor x??3; get it again");
    vlm_fail(VLM_EIO, NULL, "ok \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 bad \xff\xc3 \xc2\x9b \xed\xa0\x80 \xc0\xaf \xf5");
    assert_string_equal(vlm_error_where(), "");
    assert_string_equal(vlm_error_message(), "ok \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 bad ?? ?? ??? ?? ?");
    for (int shift = 0; shift < 2; shift++) {                  /* cut between characters, wherever they begin */
        memset(big, 'x', sizeof big);
        for (size_t i = (size_t)shift; i + 2 < sizeof big; i += 2) memcpy(big + i, "\xc3\xa4", 2);
        big[sizeof big - 1] = 0;
        vlm_fail(VLM_EIO, big, "%s", big);
        size_t w = strlen(vlm_error_where()), m = strlen(vlm_error_message());
        assert_true(w >= 1022 - 1 && w < 1024 && m >= 2046 - 1 && m < 2048);
        assert_true((unsigned char)vlm_error_where()[w - 1] == 0xA4);
        assert_true((unsigned char)vlm_error_message()[m - 1] == 0xA4 || vlm_error_message()[m - 1] == '?');
    }
    vlm_fail(VLM_EIO, "mine", "mine");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, "theirs"), 0);
    pthread_join(thread, NULL);
    assert_string_equal(vlm_error_where(), "mine");            /* a thread sees its own failures only */
    vlm_fail_memory("buffer", 5000000);
    assert_non_null(strstr(vlm_error_message(), "5.0 MB"));
    errno = ENOSPC;
    assert_int_equal(vlm_fail_errno("f", "write"), VLM_EIO);
    assert_string_equal(vlm_error_message(), "cannot write: No space left on device; free some disk space");
    for (int s = 0; s <= VLM_ESTOPPED; s++) assert_string_not_equal(vlm_status_name((vlm_status)s), "unknown");
    assert_string_equal(vlm_status_name((vlm_status)99), "unknown");
}
static char logged[256];
static void on_log(void *user, const char *where, const char *message) {
    snprintf(logged, sizeof logged, "%s|%s|%s", (char *)user, where, message);
}
static int on_progress(void *user, const char *what, int64_t done, int64_t total) {
    snprintf(logged, sizeof logged, "%s|%s|%d/%d", (char *)user, what, (int)done, (int)total);
    return done == total;
}
static void logging(void **state) {
    (void)state;
    vlm_warn("w", "unheard");                                  /* nobody listens: silence */
    assert_int_equal(vlm_progress("p", 1, 2), VLM_OK);
    vlm_log_set(on_log, on_progress, "u");
    vlm_warn("w", "%d things", 3);
    assert_string_equal(logged, "u|w|3 things");
    assert_int_equal(vlm_progress("rows", 1, 2), VLM_OK);
    assert_string_equal(logged, "u|rows|1/2");
    assert_int_equal(vlm_progress("rows", 2, 2), VLM_ESTOPPED);        /* the program says stop */
    vlm_log_set(NULL, NULL, NULL);
}

/* ---- arena ---------------------------------------------------------------------------------------------------- */
typedef struct buffers { float *a; double *b; char *tmp1, *none; int16_t *tmp2; } buffers;
static void walk(vlm_arena *a, buffers *x) {
    VLM_TAKE(a, x->a, 3, 5);
    size_t mark = vlm_arena_mark(a);
    VLM_TAKE(a, x->tmp1, 1000);
    vlm_arena_rewind(a, mark);
    VLM_TAKE(a, x->tmp2, 100);                                 /* where tmp1 was */
    VLM_TAKE(a, x->none, 7, 0);
    VLM_TAKE(a, x->b, 1);
}
static void arena_walks(void **state) {
    (void)state;
    vlm_arena m = { 0 };
    buffers x;
    walk(&m, &x);
    assert_null(x.a);
    assert_int_equal(m.peak, 64 + 1024);                       /* 60 -> 64, 1000 -> 1024 */
    assert_int_equal(m.used, 64 + 256 + 64);
    vlm_arena p = { .base = aligned_alloc(64, m.peak), .size = m.peak };
    assert_non_null(p.base);
    walk(&p, &x);
    assert_false(p.overflow);
    assert_int_equal(p.peak, m.peak);
    assert_int_equal(p.used, m.used);
    assert_ptr_equal(x.a, p.base);
    assert_ptr_equal(x.tmp1, p.base + 64);
    assert_ptr_equal(x.tmp2, x.tmp1);
    assert_true((uintptr_t)x.b % 64 == 0);
    memset(p.base, 1, m.peak);
    p = (vlm_arena){ .base = p.base, .size = m.peak - 64 };    /* one line too short */
    walk(&p, &x);
    assert_true(p.overflow);
    assert_null(x.tmp1);
    free(p.base);
}
static void arena_overflow(void **state) {
    (void)state;
    char *c;
    double *d;
    vlm_arena a = { 0 };
    VLM_TAKE(&a, c, -1);
    assert_true(a.overflow && a.used == 0);
    VLM_TAKE(&a, c, 64);
    assert_true(a.overflow);                                   /* it stays */
    a = (vlm_arena){ 0 };
    VLM_TAKE(&a, d, INT64_MAX);
    assert_true(a.overflow);
    a = (vlm_arena){ 0 };
    VLM_TAKE(&a, d, (int64_t)1 << 32, (int64_t)1 << 32);
    assert_true(a.overflow);
    a = (vlm_arena){ 0 };
    VLM_TAKE(&a, c, INT64_MAX);
    assert_false(a.overflow);
    VLM_TAKE(&a, c, INT64_MAX);                                /* the sum is what overflows */
    assert_true(a.overflow);
    unsigned char room[128];
    a = (vlm_arena){ .base = room, .size = 100 };
    VLM_TAKE(&a, c, 64);
    assert_ptr_equal(c, room);
    VLM_TAKE(&a, c, 30);                                       /* 94 bytes, 128 rounded: over 100 */
    assert_true(a.overflow && !c);
}

/* ---- thread team ---------------------------------------------------------------------------------------------- */
typedef struct job { unsigned char *seen; atomic_int parts; atomic_llong smallest; size_t scratch_bytes; bool bad_scratch; } job;
static void count(void *arg, int64_t lo, int64_t hi, void *scratch) {
    job *j = arg;
    for (int64_t i = lo; i < hi; i++) j->seen[i]++;            /* a race here is an index given twice: seen by the sanitizer, too */
    atomic_fetch_add(&j->parts, 1);
    for (long long old = atomic_load(&j->smallest); hi - lo < old && !atomic_compare_exchange_weak(&j->smallest, &old, hi - lo); ) {}
    if (j->scratch_bytes) {
        memset(scratch, (int)lo, j->scratch_bytes);
        if ((uintptr_t)scratch % 64) j->bad_scratch = true;
        for (size_t i = 0; i < j->scratch_bytes; i++)
            if (((unsigned char *)scratch)[i] != (unsigned char)lo) j->bad_scratch = true;     /* someone else wrote here */
    }
}
static void once_each(vlm_ctx *ctx, int64_t n, int64_t grain) {
    job j = { .seen = calloc((size_t)n + 1, 1), .scratch_bytes = ctx->scratch_bytes };
    assert_non_null(j.seen);
    atomic_store(&j.smallest, INT64_MAX);
    vlm_parallel(ctx, n, grain, count, &j);
    for (int64_t i = 0; i < n; i++)
        if (j.seen[i] != 1)
            fail_msg("n %d grain %d threads %d: index %d seen %d times", (int)n, (int)grain, ctx->threads, (int)i, j.seen[i]);
    int parts = atomic_load(&j.parts);
    assert_int_equal(j.seen[n], 0);
    assert_true(n == 0 ? parts == 0 : parts >= 1 && parts <= ctx->threads);
    if (parts > 1 && !ctx->eager) assert_true(atomic_load(&j.smallest) >= grain);
    if (parts) assert_true(atomic_load(&j.smallest) >= 1);     /* no empty part */
    if (ctx->eager) assert_int_equal(parts, n < ctx->threads ? n : ctx->threads);
    assert_false(j.bad_scratch);
    free(j.seen);
}
/* Who begins with unit `slow` sleeps on it: others do what is left of his. */
typedef struct units { unsigned char *seen; int64_t slow; bool empty; } units;
static void count_units(void *arg, vlm_member *me, void *scratch) {
    units *u = arg;
    (void)scratch;
    for (int64_t lo, hi; vlm_next(me, &lo, &hi);) {
        if (lo >= hi) u->empty = true;
        if (lo == u->slow) usleep(300);
        for (int64_t i = lo; i < hi; i++) u->seen[i]++;
    }
}
static void units_once_each(vlm_ctx *ctx, int64_t n, int64_t grain, int64_t slow) {
    units u = { calloc((size_t)n + 1, 1), slow, false };
    assert_non_null(u.seen);
    vlm_parallel_units(ctx, n, grain, count_units, &u);
    assert_false(u.empty);
    for (int64_t i = 0; i <= n; i++) assert_int_equal(u.seen[i], i < n);
    free(u.seen);
}
static void team(void **state) {
    (void)state;
    static const int64_t grains[] = { 0, 1, 3, 64, 1000 };
    for (int threads = -1; threads <= 9; threads += threads < 4 ? 1 : 5) {
        vlm_ctx *ctx = vlm_ctx_open(threads, threads % 2 ? 100 : 0);
        assert_non_null(ctx);
        assert_int_equal(ctx->threads, threads < 1 ? 1 : threads);
        assert_int_equal(ctx->scratch_bytes % 64, 0);
        for (int eager = 0; eager < 2; eager++)
            for (int64_t n = 0; n < 25; n++)
                for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                    ctx->eager = eager;
                    once_each(ctx, n, grains[g]);
                    units_once_each(ctx, n, grains[g], -1);
                }
        ctx->eager = false;
        once_each(ctx, 10007, 64);
        for (int slow = 0; slow < 3; slow++) units_once_each(ctx, 1000, 1, slow * 250);
        vlm_parallel(ctx, -5, 1, count, NULL);                 /* nothing to do */
        vlm_ctx_close(ctx);
    }
    vlm_ctx_close(NULL);
    for (int i = 0; i < 100; i++) vlm_ctx_close(vlm_ctx_open(3, 64));      /* closed before the threads are awake */
}
/* Many short jobs in a row: members sleep, spin and wake in every order. */
static void stress(vlm_ctx *ctx, int rounds, unsigned seed) {
    vlm_rng r;
    vlm_rng_seed(&r, seed);
    for (int i = 0; i < rounds; i++) {
        once_each(ctx, (int64_t)(vlm_rng_next(&r) % 40), 1);
        units_once_each(ctx, (int64_t)(vlm_rng_next(&r) % 40), 1, -1);
        if (i % 500 == 0) usleep(300);                         /* long enough that they go to sleep */
    }
}
static void team_stress(void **state) {
    (void)state;
    vlm_ctx *ctx = vlm_ctx_open(4, 64);
    assert_non_null(ctx);
    ctx->eager = true;
    stress(ctx, 5000, 1);
    vlm_ctx_close(ctx);
}
/* Two teams in two threads are busy at the same moment: each waits, inside its job, for the other one to be inside. */
static atomic_int inside;
static void meet(void *arg, int64_t lo, int64_t hi, void *scratch) {
    (void)hi, (void)scratch;
    if (lo) return;
    atomic_fetch_add(&inside, 1);
    for (int i = 0; i < 10000 && atomic_load(&inside) < 2; i++) usleep(1000);
    *(bool *)arg = atomic_load(&inside) == 2;
}
static void *one_team(void *arg) {
    vlm_ctx *ctx = vlm_ctx_open(2, 64);
    if (!ctx) return NULL;
    ctx->eager = true;
    vlm_parallel(ctx, 2, 1, meet, arg);
    stress(ctx, 2000, 2);
    vlm_ctx_close(ctx);
    return NULL;
}
static void two_teams(void **state) {
    (void)state;
    bool met[2] = { false, false };
    pthread_t t[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&t[i], NULL, one_team, &met[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    assert_true(met[0] && met[1]);
}

/* ---- random numbers ------------------------------------------------------------------------------------------- */
static void random_numbers(void **state) {
    (void)state;
    /* the generator's own sequence from the state 1 2 3 4, and splitmix64's from 0 (published test vectors) */
    static const uint64_t want[] = { 11520, 0, 1509978240, 1215971899390074240u, 1216172134540287360u, 607988272756665600u };
    static const uint64_t split[] = { 0xE220A8397B1DCDAFu, 0x6E789E6AA1B965F4u, 0x06C45D188009454Fu, 0xF88BB8A8724C81ECu };
    enum { N = 200000 };
    vlm_rng r = { { 1, 2, 3, 4 } }, copy;
    double sum = 0, square = 0, fourth = 0, mean = 0;
    for (int i = 0; i < 6; i++) assert_true(vlm_rng_next(&r) == want[i]);
    vlm_rng_seed(&r, 0);
    assert_memory_equal(r.s, split, sizeof split);
    for (int i = 0; i < N; i++) {
        double u = vlm_rng_uniform(&r);
        assert_true(u >= 0 && u < 1);
        mean += u / N;
    }
    assert_true(fabs(mean - 0.5) < 4 * 0.2887 / sqrt(N));
    copy = r;
    for (int i = 0; i < N; i++) {
        double x = vlm_rng_normal(&r);
        assert_true(x == vlm_rng_normal(&copy));               /* the state is all there is */
        sum += x / N;
        square += x * x / N;
        fourth += x * x * x * x / N;
    }
    assert_true(fabs(sum) < 4 / sqrt(N) && fabs(square - 1) < 4 * sqrt(2. / N) && fabs(fourth - 3) < 4 * sqrt(96. / N));
}

/* ---- files ---------------------------------------------------------------------------------------------------- */
static void mapping(void **state) {
    (void)state;
    vlm_map m = { (const unsigned char *)temp_dir, 7 };
    assert_failure(vlm_map_open(temp("none"), 0, &m), VLM_EIO, "/none", "No such file or directory; check the path");
    assert_failure(vlm_map_open(temp_dir, 0, &m), VLM_EIO, temp_dir, "is not a regular file");
    assert_int_equal(mkfifo(temp("fifo"), 0600), 0);
    assert_failure(vlm_map_open(temp("fifo"), 0, &m), VLM_EIO, "/fifo", "is not a regular file");      /* and does not hang */
    assert_failure(vlm_map_open("/dev/zero", 0, &m), VLM_EIO, "/dev/zero", "is not a regular file");
    temp_write("f", "", 0);
    assert_failure(vlm_map_open(temp("f"), 0, &m), VLM_EFORMAT, "/f", "is empty");
    temp_write("f", "abcd", 4);
    assert_failure(vlm_map_open(temp("f"), 3, &m), VLM_ELIMIT, "/f", "has 4 bytes, over the limit of 3");
    assert_true(m.size == 7);
    assert_ok(vlm_map_open(temp("f"), 4, &m));
    assert_true(m.size == 4 && !memcmp(m.data, "abcd", 4));
    vlm_map_forget(m.data, 4);                                 /* no whole page: nothing happens */
    vlm_map_close(&m);
    vlm_map_close(&m);
}
static void reading(void **state) {
    (void)state;
    unsigned char *p = NULL;
    size_t n = 7;
    assert_failure(vlm_read(temp("none"), 10, &p, &n), VLM_EIO, "/none", "cannot open");
    assert_failure(vlm_read(temp_dir, 10, &p, &n), VLM_EIO, temp_dir, "is not a regular file");
    assert_int_equal(mkfifo(temp("fifo2"), 0600), 0);
    assert_failure(vlm_read(temp("fifo2"), 10, &p, &n), VLM_EIO, "/fifo2", "is not a regular file");   /* and does not hang */
    temp_write("f", "abcd", 4);
    assert_failure(vlm_read(temp("f"), 3, &p, &n), VLM_ELIMIT, "/f", "more than 3 bytes");
    assert_failure(vlm_read("/dev/zero", 100000, &p, &n), VLM_EIO, "/dev/zero", "is not a regular file");
    assert_true(!p && n == 7);
    static const size_t limits[] = { 4, 5, 1000000, SIZE_MAX };
    for (int i = 0; i < 4; i++) {
        assert_ok(vlm_read(temp("f"), limits[i], &p, &n));
        assert_true(n == 4 && !memcmp(p, "abcd", 5));          /* the NUL behind it included */
        free(p);
    }
    int old = dup(0), fd = open("/dev/zero", O_RDONLY);
    dup2(fd, 0);
    close(fd);
    n = 7;
    p = NULL;
    assert_failure(vlm_read("-", 100000, &p, &n), VLM_ELIMIT, "standard input", "more than 100000 bytes");     /* without an end */
    assert_true(!p && n == 7);
    fd = open("/dev/null", O_RDONLY);
    dup2(fd, 0);
    close(fd);
    assert_ok(vlm_read("-", 0, &p, &n));
    assert_true(n == 0 && *p == 0);
    free(p);
    fd = open(temp("f"), O_RDONLY);
    dup2(fd, 0);
    assert_ok(vlm_read("-", 10, &p, &n));
    assert_true(n == 4);
    free(p);
    assert_failure(vlm_read("-", 10, &p, &n) ? VLM_OK : vlm_fail(VLM_EIO, "-", "read twice: %d", (int)n), VLM_EIO, "-", "read twice: 0");
    free(p);
    dup2(old, 0);
    close(old);
    close(fd);
}
static void writing(void **state) {
    (void)state;
    vlm_writer w = { 0 };
    struct stat st;
    temp_write("w", "old", 3);
    int before = temp_count();
    assert_ok(vlm_writer_open(temp("w"), &w));
    fputs("new", w.f);
    fflush(w.f);
    assert_file("w", "old");                                   /* until commit */
    vlm_writer_cancel(&w);
    vlm_writer_cancel(&w);
    assert_file("w", "old");
    mode_t mask = umask(027);
    assert_ok(vlm_write(temp("w"), "new", 3));
    umask(mask);
    assert_file("w", "new");
    assert_int_equal(stat(temp("w"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);                 /* as any program's file */
    assert_ok(vlm_write(temp("w"), NULL, 0));
    assert_file("w", "");
    assert_int_equal(temp_count(), before);
    assert_failure(vlm_write(temp("none/w"), "x", 1), VLM_EIO, "none/w", "cannot write: No such file or directory; check the path");
    assert_failure(vlm_write("/proc/vlm-test", "x", 1), VLM_EIO, "/proc/vlm-test", "cannot write");
    assert_int_equal(mkdir(temp("dir"), 0777), 0);
    assert_failure(vlm_write(temp("dir"), "x", 1), VLM_EIO, "/dir", "no regular file");
    assert_true(vlm_is_dir(temp("dir")));
    assert_int_equal(temp_count(), before + 1);                /* the failed ones left nothing */
}
/* The disk fills up: in the last flush, long before it, or only for a while. The writer's descriptor becomes /dev/full. */
static void disk_full(void **state) {
    (void)state;
    static const size_t sizes[] = { 3, 1 << 20, 1 << 20 };
    char *data = calloc(1, 1 << 20);
    assert_non_null(data);
    temp_write("full", "old", 3);
    int before = temp_count();
    for (int i = 0; i < 3; i++) {
        vlm_writer w;
        assert_ok(vlm_writer_open(temp("full"), &w));
        int real = dup(fileno(w.f)), fd = open("/dev/full", O_WRONLY);
        if (fd < 0) { vlm_writer_cancel(&w); free(data); close(real); skip(); }
        dup2(fd, fileno(w.f));
        close(fd);
        fwrite(data, 1, sizes[i], w.f);
        if (i == 2) dup2(real, fileno(w.f));                   /* there is room again: what was lost stays lost */
        close(real);
        const char *words = i ? "cannot write: " : "cannot write: No space left on device; free some disk space";
        assert_failure(vlm_writer_commit(&w), VLM_EIO, "/full", words);
        assert_null(strstr(vlm_error_message(), "Success"));
        assert_file("full", "old");
    }
    assert_int_equal(temp_count(), before);
    free(data);
}
static vlm_status is_ours(const char *path) { return vlm_dir_holds(path, "trace.json"); }
static void folders(void **state) {
    (void)state;
    vlm_dir_writer w = { 0 };
    char *p;
    assert_ok(vlm_dir_writer_open(temp("out//"), false, NULL, &w));
    assert_ok(vlm_write(p = vlm_join(w.temp, "config.json"), "1", 1));
    free(p);
    assert_false(vlm_exists(temp("out")));                     /* until commit */
    assert_ok(vlm_dir_writer_commit(&w));
    assert_file("out/config.json", "1");
    int before = temp_count();
    assert_failure(vlm_dir_writer_open(temp("out"), false, NULL, &w), VLM_EIO, "/out",
                   "exists already; name another folder or give --force");
    assert_failure(vlm_dir_writer_open(temp("no/out"), false, NULL, &w), VLM_EIO, "no/out", "cannot make the folder");
    assert_ok(vlm_dir_writer_open(temp("out"), true, NULL, &w));
    assert_ok(vlm_write(p = vlm_join(w.temp, "half.json"), "2", 1));
    free(p);
    vlm_fail(VLM_EIO, p = vlm_join(w.temp, "half.json"), "is what went wrong");
    free(p);
    vlm_dir_writer_cancel(&w);
    assert_failure(VLM_EIO, VLM_EIO, "/out/half.json", "is what went wrong");  /* by the name that the user gave */
    assert_null(strstr(vlm_error_where(), ".tmp-"));
    vlm_fail(VLM_EIO, "elsewhere", "x");
    vlm_dir_writer_cancel(&w);
    assert_string_equal(vlm_error_where(), "elsewhere");
    assert_int_equal(temp_count(), before);
    assert_file("out/config.json", "1");

    assert_int_equal(mkdir(temp("out/tokenizer"), 0777), 0);
    temp_write("out/tokenizer/tokenizer.json", "{}", 2);
    assert_ok(vlm_dir_writer_open(temp("out"), true, NULL, &w));     /* --force over a folder of ours: all of the old is gone */
    assert_ok(vlm_write(p = vlm_join(w.temp, "model.safetensors"), "3", 1));
    free(p);
    assert_ok(vlm_dir_writer_commit(&w));
    assert_file("out/model.safetensors", "3");
    assert_false(vlm_exists(temp("out/config.json")));
    assert_false(vlm_exists(temp("out/tokenizer")));
    assert_int_equal(temp_count(), before);

    static const char *const precious[] = { "out/thesis.tex", "out/noext", "out/tokenizer/thesis.tex" };
    assert_int_equal(mkdir(temp("out/tokenizer"), 0777), 0);
    for (int i = 0; i < 3; i++) {                              /* --force spares what we would not have written */
        temp_write(precious[i], "life's work", 11);
        assert_failure(vlm_dir_writer_open(temp("out"), true, NULL, &w), VLM_EIO, "/out",
                       "which this program does not write; no folder with");
        assert_file(precious[i], "life's work");
        unlink(temp(precious[i]));
    }
    assert_int_equal(mkdir(temp("out/sub.json"), 0777), 0);    /* a folder, whatever it is called */
    assert_failure(vlm_dir_writer_open(temp("out"), true, NULL, &w), VLM_EIO, "/out", "holds sub.json");
    temp_write("plain", "x", 1);
    assert_failure(vlm_dir_writer_open(temp("plain"), true, NULL, &w), VLM_EIO, "/plain", "is no folder");
    assert_file("plain", "x");

    assert_int_equal(mkdir(temp("notes"), 0777), 0);           /* nor what is of another kind */
    assert_ok(vlm_dir_writer_open(temp("notes"), true, is_ours, &w));
    temp_write("notes/a.txt", "x", 1);                         /* someone's, by now */
    assert_failure(vlm_dir_writer_commit(&w), VLM_EIO, "/notes", "holds no trace.json, and no other folder is replaced here");
    assert_failure(vlm_dir_writer_open(temp("notes"), true, is_ours, &w), VLM_EIO, "/notes", "holds no trace.json");
    assert_file("notes/a.txt", "x");
    temp_write("notes/trace.json", "{}", 2);
    assert_ok(vlm_dir_writer_open(temp("notes"), true, is_ours, &w));
    assert_ok(vlm_dir_writer_commit(&w));
    assert_false(vlm_exists(temp("notes/a.txt")));

    assert_ok(vlm_dir_writer_open(temp("race"), false, NULL, &w));   /* someone else makes it meanwhile */
    assert_int_equal(mkdir(temp("race"), 0777), 0);
    temp_write("race/theirs", "x", 1);
    assert_failure(vlm_dir_writer_commit(&w), VLM_EIO, "/race", "it exists now");
    assert_file("race/theirs", "x");
    static const char *const endings[] = { ".jsonl", ".txt", NULL };
    static const char *const files[] = { "notes/b.txt", "notes/B.txt", "notes/a.jsonl", "notes/a.json", "notes/.txt", "notes/txt" };
    for (int i = 0; i < 6; i++) temp_write(files[i], "", 0);
    char **names;
    size_t n;
    assert_ok(vlm_dir_names(temp("notes"), endings, &names, &n));
    assert_int_equal(n, 3);
    for (int i = 0; i < 3; i++) assert_string_equal(names[i], ((const char *[]){ "B.txt", "a.jsonl", "b.txt" })[i]);
    vlm_names_free(names, n);
    assert_failure(vlm_dir_names(temp("nowhere"), endings, &names, &n), VLM_EIO, "nowhere", "cannot open");
    p = vlm_join("a//", "b");
    assert_string_equal(p, "a/b");
    free(p);
    p = vlm_join("/", "b");
    assert_string_equal(p, "//b");
    free(p);
}

/* RFC 7693's example; the others are what Python's hashlib.blake2b says. */
static void digests(void **state) {
    (void)state;
    static const struct { size_t n, size; const char *hex; } cases[] = {
        { 0, 16, "cae66941d9efbd404e4d88758ea67670" },
        { 1, 16, "7025e075d5e2f6cde3cc051a31f07660" },
        { 127, 32, "4ff62e7c4c43fe101a078479c48836be4907d9d498dcc577ca89d694b2c11f9b" },
        { 128, 16, "06e5bcee475a6bf6d9b8a07c6f4ae80a" },
        { 129, 16, "2ec7e7bf8a8265ffd68aadd70ecd2b7e" },
        { 256, 32, "3d0cb2693dfbac42af5a6cc960953fea8714aa39c4bcd054ef61d6b5e98ade4a" },
        { 257, 16, "85ffa7164e9200d4dddc7b7947e06eac" },
        { 1000, 16, "b5dd3e85ff93149ae3688ac5d41f0886" },
    };
    static unsigned char data[1000];
    unsigned char out[64];
    char hex[129];
    vlm_digest d;
    vlm_digest_begin(&d, 64);
    vlm_digest_add(&d, "abc", 3);
    vlm_digest_end(&d, out);
    vlm_digest_hex(out, 64, hex);
    assert_string_equal(hex, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                             "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 256);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (size_t step = 1; step < 600; step += 1 + step / 3) {      /* in pieces of any size */
            vlm_digest_begin(&d, cases[k].size);
            for (size_t at = 0; at < cases[k].n; at += step) vlm_digest_add(&d, data + at, cases[k].n - at < step ? cases[k].n - at : step);
            vlm_digest_end(&d, out);
            vlm_digest_hex(out, cases[k].size, hex);
            assert_string_equal(hex, cases[k].hex);
        }
    vlm_digest_begin(&d, 16);
    vlm_digest_add_int(&d, -2);
    vlm_digest_end(&d, out);
    vlm_digest_hex(out, 16, hex);
    assert_string_equal(hex, "7db6dcb9142f03dd91487a305f5e8af8");
}
/* Put in its place without syncing; folders on the way to it. */
static void placing(void **state) {
    (void)state;
    vlm_writer w;
    assert_ok(vlm_dir_make(temp("way/to//it/")));
    assert_ok(vlm_dir_make(temp("way/to/it")));
    assert_ok(vlm_writer_open(temp("way/to/it/file"), &w));
    fputs("text", w.f);
    assert_int_not_equal(access(temp("way/to/it/file"), F_OK), 0);
    assert_ok(vlm_writer_place(&w));
    assert_file("way/to/it/file", "text");
    assert_failure(vlm_dir_make(temp("way/to/it/file")), VLM_EIO, "/file", "is no folder");
    assert_failure(vlm_dir_make(temp("way/to/it/file/on")), VLM_EIO, "/file", "");
    assert_failure(vlm_dir_make(""), VLM_EIO, "", "");
    assert_ok(vlm_writer_open(temp("late"), &w));
    assert_int_equal(mkdir(temp("late"), 0777), 0);
    assert_failure(vlm_writer_place(&w), VLM_EIO, "/late", "cannot write");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages), cmocka_unit_test(logging), cmocka_unit_test(arena_walks), cmocka_unit_test(arena_overflow),
        cmocka_unit_test(team), cmocka_unit_test(team_stress), cmocka_unit_test(two_teams), cmocka_unit_test(random_numbers),
        cmocka_unit_test(mapping), cmocka_unit_test(reading), cmocka_unit_test(writing), cmocka_unit_test(disk_full),
        cmocka_unit_test(folders), cmocka_unit_test(digests), cmocka_unit_test(placing),
    };
    return cmocka_run_group_tests_name("base", tests, temp_open, temp_close);
}

/* What a folder needs that a program works in for days: one owner, nothing half, nothing left over. */
#include "temp.h"
#include "base/file.h"
#include "base/lines.h"
#include "base/lock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char warned[512];
static void on_warning(void *user, const char *where, const char *message) {
    (void)user;
    snprintf(warned, sizeof warned, "%s: %s", where, message);
}
static void assert_warned(const char *words) {
    if (words ? !strstr(warned, words) : *warned) fail_msg("warned '%s', expected '%s'", warned, words ? words : "");
    *warned = 0;
}

/* ---- lock -------------------------------------------------------------------------------------------------------- */
static void lock(void **state) {
    (void)state;
    vlm_lock a = { 0 }, b = { 0 };
    char words[64];
    assert_ok(vlm_lock_open(temp("lock"), &a));
    snprintf(words, sizeof words, "is in use by process %ld; wait for that or stop it", (long)getpid());
    assert_failure(vlm_lock_open(temp("lock"), &b), VLM_EIO, "/lock", words);
    assert_null(b.path);
    vlm_lock_close(&a);
    vlm_lock_close(&a);
    assert_ok(vlm_lock_open(temp("lock"), &a));
    unlink(temp("lock"));                                      /* removed by hand: the next owner has a lock of its own, */
    assert_ok(vlm_lock_open(temp("lock"), &b));
    vlm_lock_close(&a);                                        /* which does not go with the first */
    assert_failure(vlm_lock_open(temp("lock"), &a), VLM_EIO, "/lock", "is in use");
    vlm_lock_close(&b);
    temp_write("lock", "not a number, and longer than one", 33);
    int fd = open(temp("lock"), O_RDWR);
    assert_ok(vlm_lock_open(temp("lock"), &a));
    snprintf(words, sizeof words, "%ld\n", (long)getpid());
    assert_file("lock", words);
    vlm_lock_close(&a);
    close(fd);
    assert_failure(vlm_lock_open(temp("none/lock"), &a), VLM_EIO, "none/lock", "cannot lock: No such file or directory; check the path");
    assert_failure(vlm_lock_open(temp_dir, &a), VLM_EIO, temp_dir, "cannot lock");
    assert_int_equal(mkfifo(temp("fifo"), 0600), 0);
    assert_failure(vlm_lock_open(temp("fifo"), &a), VLM_EIO, "/fifo", "is no regular file");
}
/* Several owners: the first knows that it is alone, the others wait until it lets them in. */
static void lock_shared(void **state) {
    (void)state;
    vlm_lock a = { 0 }, b = { 0 }, c = { 0 };
    bool alone = false;
    assert_ok(vlm_lock_join(temp("many"), &alone, &a));
    assert_true(alone);
    assert_failure(vlm_lock_join(temp("many"), &alone, &b), VLM_EIO, "/many", "is in use");
    assert_null(b.path);
    vlm_lock_share(&a);
    assert_ok(vlm_lock_join(temp("many"), &alone, &b));
    assert_false(alone);
    vlm_lock_share(&b);
    assert_failure(vlm_lock_open(temp("many"), &c), VLM_EIO, "/many", "is in use");
    vlm_lock_close(&a);
    assert_ok(vlm_lock_join(temp("many"), &alone, &a));
    assert_false(alone);
    vlm_lock_close(&b);
    vlm_lock_close(&a);
    assert_ok(vlm_lock_join(temp("many"), &alone, &a));
    assert_true(alone);
    vlm_lock_close(&a);
    assert_ok(vlm_lock_open(temp("many"), &c));
    vlm_lock_close(&c);
}
/* The owner is another process and dies without a word. */
static void lock_of_the_dead(void **state) {
    (void)state;
    vlm_lock l = { 0 };
    int ready[2], got;
    char byte, words[64];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        byte = vlm_lock_open(temp("shared"), &l) ? 'n' : 'y';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    got = (int)read(ready[0], &byte, 1);
    vlm_status status = vlm_lock_open(temp("shared"), &l);
    snprintf(words, sizeof words, "is in use by process %ld", (long)child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    assert_true(got == 1 && byte == 'y');
    assert_failure(status, VLM_EIO, "/shared", words);
    assert_ok(vlm_lock_open(temp("shared"), &l));
    vlm_lock_close(&l);
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */
static void make(const char *dir, const char *name, const char *text) {
    char path[300];
    mkdir(temp(dir), 0777);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    temp_write(path, text, strlen(text));
}
static void removing(void **state) {
    (void)state;
    int before = temp_count();
    make("gone", "config.json", "{}");
    make("gone", "model.safetensors.tmp-aB3dE6", "half");
    mkdir(temp("gone/tokenizer"), 0777);
    temp_write("gone/tokenizer/tokenizer.json", "{}", 2);
    assert_ok(vlm_dir_remove(temp("gone//")));
    assert_int_equal(temp_count(), before);
    assert_failure(vlm_dir_remove(temp("gone")), VLM_EIO, "/gone", "cannot remove: No such file or directory");
    make("mine", "config.json", "{}");
    make("mine", "thesis.tex", "life's work");
    assert_failure(vlm_dir_remove(temp("mine")), VLM_EIO, "/mine",
                   "holds thesis.tex, which this program does not write; such a folder stays");
    assert_file("mine/thesis.tex", "life's work");
    assert_file("mine/config.json", "{}");
    assert_int_equal(symlink("mine", temp("link")), 0);
    assert_failure(vlm_dir_remove(temp("link")), VLM_EIO, "/link", "is no folder");
    assert_failure(vlm_dir_remove(temp("mine/config.json")), VLM_EIO, "config.json", "is no folder");
    assert_int_equal(temp_count(), before + 4);
}
static void sweeping(void **state) {
    (void)state;
    int n = -1;
    make("run", "metrics.jsonl", "kept");
    make("run", "metrics.jsonl.tmp-a1B2c3", "gone");
    make("run", "near.tmp-a1B2c", "kept");
    make("run", "near.tmp-a1B2c3d", "kept");
    make("run", "near.tmp-a1B2c.", "kept");
    make("run", ".tmp-a1B2c3", "kept");                        /* nobody's temporary name */
    make("run/step_1", "config.json", "kept");
    make("run/step_2.tmp-XyZ012", "config.json", "gone");
    make("run/step_2.tmp-XyZ012", "model.safetensors.tmp-000000", "gone");
    make("run/mine.tmp-QQQQQQ", "thesis.tex", "kept");
    assert_int_equal(symlink("step_1", temp("run/latest.tmp-abcdef")), 0);
    int before = temp_count();
    vlm_log_set(on_warning, NULL, NULL);
    assert_ok(vlm_sweep(temp("run"), NULL, &n));
    assert_warned("mine.tmp-QQQQQQ: holds thesis.tex, which this program does not write; it is left where it is");
    assert_int_equal(n, 3);
    assert_int_equal(temp_count(), before - 5);
    assert_file("run/mine.tmp-QQQQQQ/thesis.tex", "kept");
    assert_file("run/step_1/config.json", "kept");
    assert_ok(vlm_sweep(temp("run"), NULL, NULL));
    assert_int_equal(temp_count(), before - 5);
    vlm_log_set(NULL, NULL, NULL);
    assert_warned("thesis.tex");
    assert_failure(vlm_sweep(temp("nowhere"), NULL, &n), VLM_EIO, "/nowhere", "cannot open");
    assert_int_equal(n, 3);
}
static void links(void **state) {
    (void)state;
    char to[64];
    make("links", "file", "x");
    int before = temp_count();
    for (int i = 0; i < 50; i++) {                             /* from nothing, then over the last one */
        char target[32];
        snprintf(target, sizeof target, "step_%d", i);
        assert_ok(vlm_link_switch(temp("links/latest"), target));
        ssize_t n = readlink(temp("links/latest"), to, sizeof to - 1);
        assert_true(n > 0);
        to[n] = 0;
        assert_string_equal(to, target);
    }
    assert_int_equal(temp_count(), before + 1);
    assert_failure(vlm_link_switch(temp("links/file"), "x"), VLM_EIO, "links/file", "exists and is no link");
    assert_failure(vlm_link_switch(temp("links"), "x"), VLM_EIO, "/links", "exists and is no link");
    assert_failure(vlm_link_switch(temp("no/latest"), "x"), VLM_EIO, "no/latest", "cannot make the link: No such file or directory");
    assert_failure(vlm_link_switch(temp("links/empty"), ""), VLM_EIO, "links/empty", "cannot make the link");
    assert_file("links/file", "x");
    assert_int_equal(temp_count(), before + 1);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */
static bool below(void *user, int64_t i, const char *line, size_t n) {
    assert_true(n == strcspn(line, "\n"));
    assert_true(i >= 0);
    return (n ? strtol(line, NULL, 10) : 0) < *(long *)user;
}
static bool first_two(void *user, int64_t i, const char *line, size_t n) {
    (void)user, (void)line, (void)n;
    return i < 2;
}
static void lines(void **state) {
    (void)state;
    vlm_lines l = { 0 };
    char *big = malloc(100001);
    struct stat st;
    assert_non_null(big);
    vlm_log_set(on_warning, NULL, NULL);
    assert_ok(vlm_lines_open(temp("l"), &l));
    assert_ok(vlm_lines_add(&l, "1", 1));
    assert_ok(vlm_lines_add(&l, "", 0));
    assert_file("l", "1\n\n");                                 /* at once */
    assert_failure(vlm_lines_add(&l, "2\n3", 3), VLM_EARG, "/l", "holds a line end");
    assert_ok(vlm_lines_sync(&l));
    vlm_lines_close(&l);
    vlm_lines_close(&l);
    assert_ok(vlm_lines_open(temp("l"), &l));
    assert_true(l.size == 3);
    memset(big, 'x', 100001);
    for (int i = -1; i < 2; i++) assert_ok(vlm_lines_add(&l, big, (size_t)(4096 + i)));
    assert_ok(vlm_lines_add(&l, big, 100001));
    assert_int_equal(stat(temp("l"), &st), 0);
    assert_true(st.st_size == l.size && l.size == 3 + 3 * 4097 + 100002);
    vlm_lines_close(&l);
    assert_warned(NULL);

    static const struct { const char *before, *after; } cut[] = {      /* what a kill inside a line leaves */
        { "1\n2\nhal", "1\n2\n" }, { "hal", "" }, { "\nhal", "\n" }, { "1\n", "1\n" }, { "", "" },
    };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        temp_write("l", cut[i].before, strlen(cut[i].before));
        assert_ok(vlm_lines_open(temp("l"), &l));
        assert_file("l", cut[i].after);
        assert_true(l.size == (int64_t)strlen(cut[i].after));
        assert_warned(strcmp(cut[i].before, cut[i].after) ? "/l: its last line had no end" : NULL);
        assert_ok(vlm_lines_add(&l, "z", 1));
        vlm_lines_close(&l);
    }
    assert_file("l", "z\n");
    temp_write("l", "a\n", 2);
    FILE *f = fopen(temp("l"), "ab");
    fwrite(big, 1, 100001, f);                                 /* and a long one */
    fclose(f);
    assert_ok(vlm_lines_open(temp("l"), &l));
    assert_file("l", "a\n");
    vlm_lines_close(&l);
    vlm_log_set(NULL, NULL, NULL);
    free(big);

    assert_failure(vlm_lines_open(temp("none/l"), &l), VLM_EIO, "none/l", "cannot open: No such file or directory; check the path");
    assert_failure(vlm_lines_open(temp_dir, &l), VLM_EIO, temp_dir, "cannot open: Is a directory");
    mkfifo(temp("fifo3"), 0600);
    assert_failure(vlm_lines_open(temp("fifo3"), &l), VLM_EIO, "/fifo3", "is not a regular file");     /* and does not hang */
    assert_null(l.path);
}
/* The file system says no in the middle of a line: the file ends with the line before it, and grows again when there is room. */
static void lines_on_a_full_disk(void **state) {
    (void)state;
    vlm_lines l = { 0 };
    assert_ok(vlm_lines_open(temp("full"), &l));
    assert_ok(vlm_lines_add(&l, "first", 5));
    fflush(NULL);
    pid_t child = fork();                                      /* a limit on the size of files is a disk of 10 bytes */
    assert_true(child >= 0);
    if (!child) {
        vlm_status status;
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 10, 10 })) _exit(77);
        status = vlm_lines_add(&l, "second", 6);
        if (status != VLM_EIO || !strstr(vlm_error_message(), "cannot write: File too large; check the file and its disk")) _exit(1);
        _exit(vlm_lines_add(&l, "3rd", 3) ? 2 : 0);
    }
    int code = 0;
    waitpid(child, &code, 0);
    vlm_lines_close(&l);
    if (WIFEXITED(code) && WEXITSTATUS(code) == 77) skip();
    assert_int_equal(code, 0);
    assert_file("full", "first\n3rd\n");
}
static void cutting(void **state) {
    (void)state;
    static const struct { const char *before; long below; const char *after; int kept, cut; } t[] = {
        { "1\n2\n3\n", 3, "1\n2\n", 2, 1 },      { "1\n2\n3\n", 9, "1\n2\n3\n", 3, 0 }, { "1\n2\n3\n", 1, "", 0, 3 },
        { "1\n5\n2\n", 3, "1\n", 1, 2 },         /* what stays is what was there first */
        { "1\n2", 9, "1\n", 1, 1 },              { "1", 9, "", 0, 1 },                  { "", 9, "", 0, 0 },
        { "\n\n1\n", 1, "\n\n", 2, 1 },
    };
    int64_t kept = -1, cut = -1;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        long limit = t[i].below;
        temp_write("c", t[i].before, strlen(t[i].before));
        assert_ok(vlm_lines_cut(temp("c"), below, &limit, &kept, &cut));
        assert_file("c", t[i].after);
        assert_true(kept == t[i].kept && cut == t[i].cut);
    }
    temp_write("c", "a\nb\nc\n", 6);
    assert_ok(vlm_lines_cut(temp("c"), first_two, NULL, NULL, NULL));
    assert_file("c", "a\nb\n");
    assert_ok(vlm_lines_cut(temp("absent"), first_two, NULL, &kept, &cut));
    assert_true(kept == 0 && cut == 0 && !vlm_exists(temp("absent")));
    kept = 7;
    assert_failure(vlm_lines_cut(temp_dir, first_two, NULL, &kept, &cut), VLM_EIO, temp_dir, "cannot open: Is a directory");
    assert_true(kept == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock), cmocka_unit_test(lock_shared), cmocka_unit_test(lock_of_the_dead), cmocka_unit_test(removing),
        cmocka_unit_test(sweeping),
        cmocka_unit_test(links), cmocka_unit_test(lines), cmocka_unit_test(lines_on_a_full_disk), cmocka_unit_test(cutting),
    };
    return cmocka_run_group_tests_name("rundir", tests, temp_open, temp_close);
}

/* What unit tests of files share: a temporary folder, whole files in one call, errors checked by code, place and words. */
#ifndef TEMP_H
#define TEMP_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "vlm.h"

static char temp_dir[] = "/tmp/vlm-test-XXXXXX";

/* temp_dir/name; good until four more calls. */
__attribute__((unused)) static const char *temp(const char *name) {
    static char buf[4][512];
    static int k;
    k = (k + 1) % 4;
    snprintf(buf[k], sizeof buf[k], "%s/%s", temp_dir, name);
    return buf[k];
}
/* The same of what is not there, or no longer; good until eight more calls. */
__attribute__((unused)) static const char *temp_fresh(const char *name) {
    static char buf[8][512];
    static int k;
    char cmd[600];
    snprintf(buf[k = (k + 1) % 8], sizeof *buf, "%s", temp(name));
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", buf[k]);
    assert_int_equal(system(cmd), 0);
    return buf[k];
}
__attribute__((unused)) static int temp_open(void **state) {
    (void)state;
    strcpy(temp_dir + strlen(temp_dir) - 6, "XXXXXX");
    return mkdtemp(temp_dir) ? 0 : -1;
}
__attribute__((unused)) static int temp_close(void **state) {
    char cmd[64];
    (void)state;
    snprintf(cmd, sizeof cmd, "rm -rf %s", temp_dir);
    return system(cmd);
}
__attribute__((unused)) static void temp_write(const char *name, const void *data, size_t n) {
    FILE *f = fopen(temp(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}
/* The whole of a file of at most 4095 bytes. */
__attribute__((unused)) static void assert_file(const char *name, const char *want) {
    char got[4096];
    FILE *f = fopen(temp(name), "rb");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = 0;
    fclose(f);
    assert_string_equal(got, want);
}
/* Files in temp_dir, for "nothing is left behind". */
__attribute__((unused)) static int temp_count(void) {
    char cmd[96];
    int n = -1;
    snprintf(cmd, sizeof cmd, "find %s -mindepth 1 | wc -l", temp_dir);
    FILE *p = popen(cmd, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    return n;
}

static inline void check_failure(vlm_status got, vlm_status want, const char *where, const char *words, const char *file, int line) {
    if (got == want && strstr(vlm_error_where(), where) && strstr(vlm_error_message(), words)) return;
    print_error("got %s: '%s': '%s'\nexpected %s: '%s': '%s'\n", vlm_status_name(got), got ? vlm_error_where() : "",
                got ? vlm_error_message() : "", vlm_status_name(want), where, words);
    _fail(file, line);
}
/* The call fails with this code; the place contains `where`, the message `words`. */
#define assert_failure(call, want, where, words) check_failure(call, want, where, words, __FILE__, __LINE__)
#define assert_ok(call) do { if ((call) != VLM_OK) fail_msg("%s: %s", vlm_error_where(), vlm_error_message()); } while (0)
#endif

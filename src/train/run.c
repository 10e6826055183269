#include "base/file.h"
#include "base/log.h"
#include "train/train_impl.h"
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utf8proc.h>

/* A start that came to no update leaves a folder that counts as empty. */
static bool leftover(const char *path, const char *name) {
    char *file;
    struct stat st;
    if (!strcmp(name, "lock") || !strcmp(name, "quarantine.jsonl") || !strcmp(name, "run.json")) return true;
    if (strcmp(name, "metrics.jsonl") || !(file = vlm_join(path, name))) return false;
    bool none = !lstat(file, &st) && S_ISREG(st.st_mode) && !st.st_size;
    free(file);
    return none;
}
/* What a new run may use: nothing, or leftovers; what --resume may: a run, too. A folder of something else stays as it is. */
static vlm_status check_folder(const char *path, bool resume) {
    DIR *d = opendir(path);
    struct dirent *e;
    char other[256] = "";
    bool run = false;
    if (!d) return vlm_fail_errno(path, "read");
    while ((e = readdir(d))) {
        const char *name = e->d_name;
        run = run || !strcmp(name, "run.json") || !strcmp(name, "metrics.jsonl") || !strncmp(name, "step_", 5);
        if (!*other && strcmp(name, ".") && strcmp(name, "..") && !leftover(path, name)) snprintf(other, sizeof other, "%s", name);
    }
    closedir(d);
    if (!*other || (resume && run)) return VLM_OK;
    if (run)
        return vlm_fail(VLM_EIO, path, "is not empty (it holds %s); give --resume auto to go on with that run, or name another folder",
                        other);
    return vlm_fail(VLM_EIO, path, "is not empty (it holds %s) and is no run; name another folder", other);
}

vlm_status vlm_run_open(const char *path, bool resume, vlm_run_dir *out) {
    vlm_run_dir r = { .path = strdup(path), .bad = json_object(), .metrics.fd = -1, .quarantine.fd = -1 };
    char *lock = vlm_join(path, "lock");
    vlm_status status = VLM_OK;
    if (!r.path || !r.bad || !lock) { status = vlm_fail_memory(path, strlen(path)); goto done; }
    TRY_DONE(vlm_dir_make(path));
    TRY_DONE(check_folder(path, true));        /* first: no lock into a folder of something else */
    TRY_DONE(vlm_lock_open(lock, &r.lock));
    TRY_DONE(check_folder(path, resume));
    TRY_DONE(vlm_sweep(path, NULL, NULL));
    *out = r;
    r = (vlm_run_dir){ .metrics.fd = -1, .quarantine.fd = -1 };
done:
    free(lock);
    vlm_run_close(&r);
    return status;
}
void vlm_run_close(vlm_run_dir *r) {
    if (r->metrics.path) vlm_lines_close(&r->metrics);
    if (r->quarantine.path) vlm_lines_close(&r->quarantine);
    if (r->lock.path) vlm_lock_close(&r->lock);
    json_decref(r->bad);
    free(r->path);
    *r = (vlm_run_dir){ 0 };
}

/* ---- Logs ---- */

/* Rows up to a step stay. One among them that cannot be read, or has a step behind it, must not take those behind it with it. */
typedef struct rows { int64_t step, last, updates, beyond, bad; } rows;     /* last step seen; lines: first beyond step, bad; 0: none */
static bool look(void *user, int64_t i, const char *line, size_t n) {
    rows *r = user;
    json_error_t e;
    json_t *j = json_loadb(line, n, 0, &e), *step = json_object_get(j, "step");
    if (json_is_integer(step)) {
        if (!r->bad && json_integer_value(step) <= r->step && r->last > r->step) r->bad = r->beyond;
        if (r->last <= r->step && json_integer_value(step) > r->step) r->beyond = i + 1;
        if (r->last < json_integer_value(step)) r->last = json_integer_value(step);
        r->updates += json_object_get(j, "loss") && json_integer_value(step) <= r->step;
    } else if (!r->bad && r->last <= r->step) r->bad = i + 1;
    json_decref(j);
    return true;
}
static bool up_to(void *user, int64_t i, const char *line, size_t n) {
    (void)line, (void)n;
    const rows *r = user;
    return !r->beyond || i + 1 < r->beyond;
}
static vlm_status cut(const char *path, int64_t step, int64_t *updates) {
    rows r = { .step = step, .last = -1 };
    TRY(vlm_lines_cut(path, look, &r, NULL, NULL));
    if (updates) *updates = r.updates;
    char where[1100];
    snprintf(where, sizeof where, "%.1000s:%lld", path, (long long)r.bad);
    if (r.bad)
        return vlm_fail(VLM_EFORMAT, where, "is %s; mend that line or move the file away, and go on",
                        r.bad == r.beyond ? "of a later step than a row behind it" : "no row of a run");
    return vlm_lines_cut(path, up_to, &r, NULL, NULL);
}
/* Of a row as it is written, so that a name that is not UTF-8 is known again. */
static bool key_of(char *key, size_t room, const json_t *j) {
    const char *file = json_string_value(json_object_get(j, "file")), *row = json_string_value(json_object_get(j, "row"));
    if (file && row) snprintf(key, room, "%s\n%s", file, row);
    return file && row;
}
typedef struct known { json_t *bad; int64_t n; } known;
static bool remember(void *user, int64_t i, const char *line, size_t n) {
    (void)i;
    known *k = user;
    char key[2 * VLM_ROW_BYTES];
    json_error_t e;
    json_t *j = json_loadb(line, n, 0, &e);
    if (key_of(key, sizeof key, j)) {
        json_object_set_new(k->bad, key, json_true());
        k->n++;
    }
    json_decref(j);
    return true;
}
vlm_status vlm_run_logs(vlm_run_dir *r, int64_t step) {
    char *metrics = vlm_join(r->path, "metrics.jsonl"), *quarantine = vlm_join(r->path, "quarantine.jsonl");
    known k = { r->bad, 0 };
    int64_t updates = 0;
    vlm_status status = VLM_OK;
    if (!metrics || !quarantine) { status = vlm_fail_memory(r->path, 64); goto done; }
    TRY_DONE(cut(metrics, step, &updates));
    if (step > 0 && updates != step)
        vlm_warn(metrics, "has rows of %lld of the %lld updates so far; a plot of it will not show the rest", (long long)updates,
                 (long long)step);
    TRY_DONE(cut(quarantine, step, NULL));
    TRY_DONE(vlm_lines_cut(quarantine, remember, &k, NULL, NULL));
    r->quarantined = k.n;
    TRY_DONE(vlm_lines_open(metrics, &r->metrics));
    TRY_DONE(vlm_lines_open(quarantine, &r->quarantine));
done:
    free(metrics);
    free(quarantine);
    return status;
}
static vlm_status add(vlm_lines *l, json_t *j) {
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(j);
    if (!text) return vlm_fail_memory(l->path, 256);
    vlm_status status = vlm_lines_add(l, text, strlen(text));
    free(text);
    return status;
}
static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
/* A row of an update is put together by hand: it takes no memory, as nothing in an update does. */
typedef struct row { char text[8192]; size_t n; } row;
__attribute__((format(printf, 2, 3))) static void put(row *r, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(r->text + r->n, sizeof r->text - r->n, fmt, args);
    va_end(args);
    r->n += n < 0 ? 0 : (size_t)n < sizeof r->text - r->n ? (size_t)n : sizeof r->text - 1 - r->n;
}
static void put_real(row *r, const char *key, double x) {
    size_t at = r->n;
    if (!isfinite(x)) { put(r, "%snull", key); return; }
    put(r, "%s%.9g", key, x);
    char *comma = memchr(r->text + at + strlen(key), ',', r->n - at - strlen(key));
    if (comma) *comma = '.';           /* the program's locale */
}
static void put_text(row *r, const char *s) {
    put(r, "\"");
    for (utf8proc_ssize_t k; *s; s += k) {
        utf8proc_int32_t c;
        k = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
        if (k < 1) put(r, "?"), k = 1;                 /* names of files may be anything; JSON takes UTF-8 */
        else if (c < 0x20) put(r, "\\u%04x", (unsigned)c);
        else put(r, "%s%.*s", c == '"' || c == '\\' ? "\\" : "", (int)k, s);
    }
    put(r, "\"");
}
vlm_status vlm_run_metrics(vlm_run_dir *run, const vlm_update *u) {
    row r = { .n = 0 };
    const char *comma = "";
    put(&r, "{\"step\":%" PRId64, u->step);
    put_real(&r, ",\"loss\":", u->loss);
    put_real(&r, ",\"grad_norm\":", u->grad_norm);
    put(&r, ",\"lr\":{");
    for (int g = 0; g < VLM_GROUPS; g++) {
        char key[24];
        if (u->lr[g] < 0) continue;
        snprintf(key, sizeof key, "%s\"%s\":", comma, vlm_group_name(g));
        put_real(&r, key, u->lr[g]);
        comma = ",";
    }
    put(&r, "},\"samples\":%" PRId64 ",\"tokens\":%" PRId64 ",\"labels\":%" PRId64 ",\"images\":%" PRId64 ",\"patches\":%" PRId64,
        u->samples, u->tokens, u->labels, u->images, u->patches);
    put_real(&r, ",\"ms\":", round(u->ms * 1e3) / 1e3);
    put(&r, ",\"skipped\":%s", u->skipped ? "true" : "false");
    if (u->why) put(&r, ",\"why\":"), put_text(&r, u->why);
    put(&r, "}");
    return vlm_lines_add(&run->metrics, r.text, r.n);
}
vlm_status vlm_run_validation(vlm_run_dir *r, int64_t step, double loss, int64_t labels) {
    return add(&r->metrics, json_pack("{s:I,s:o,s:I}", "step", (json_int_t)step, "val_loss", number(loss), "val_labels",
                                      (json_int_t)labels));
}
/* Names of files may be anything; JSON takes UTF-8. */
static json_t *text(const char *s) {
    json_t *j = json_string(s);
    if (j) return j;
    char *clean = strdup(s);
    for (char *p = clean; p && *p; p++) if ((unsigned char)*p >= 0x80) *p = '?';
    j = clean ? json_string(clean) : NULL;
    free(clean);
    return j;
}
vlm_status vlm_run_quarantine(vlm_run_dir *r, int64_t step, const char *file, const char *row, const char *code, const char *reason,
                              bool *fresh) {
    char key[2 * VLM_ROW_BYTES];
    json_t *j = json_pack("{s:o,s:o,s:s,s:o,s:I}", "file", text(file), "row", text(row), "code", code, "reason", text(reason), "step",
                          (json_int_t)step);
    if (!j || !key_of(key, sizeof key, j)) { json_decref(j); return vlm_fail_memory(r->quarantine.path, sizeof key); }
    *fresh = !json_object_get(r->bad, key);
    if (!*fresh) { json_decref(j); return VLM_OK; }
    if (json_object_set_new(r->bad, key, json_true())) { json_decref(j); return vlm_fail_memory(r->quarantine.path, sizeof key); }
    r->quarantined++;
    return add(&r->quarantine, j);
}

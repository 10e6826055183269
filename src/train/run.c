#include "base/file.h"
#include "train/train_impl.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vlm_status check_empty(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e;
    vlm_status status = VLM_OK;
    if (!d) return vlm_fail_errno(path, "read");
    while (!status && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "lock"))
            status = vlm_fail(VLM_EIO, path, "is not empty (it holds %s); give --resume auto to go on with that run, or name another "
                              "folder", e->d_name);
    closedir(d);
    return status;
}

vlm_status vlm_run_open(const char *path, bool resume, vlm_run_dir *out) {
    vlm_run_dir r = { .path = strdup(path), .bad = json_object(), .metrics.fd = -1, .quarantine.fd = -1 };
    char *lock = vlm_join(path, "lock");
    vlm_status status = VLM_OK;
    if (!r.path || !r.bad || !lock) { status = vlm_fail_memory(path, strlen(path)); goto done; }
    TRY_DONE(vlm_dir_make(path));
    TRY_DONE(vlm_lock_open(lock, &r.lock));
    if (!resume) TRY_DONE(check_empty(path));
    TRY_DONE(vlm_sweep(path, NULL));
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

static bool up_to(void *user, int64_t i, const char *line, size_t n) {
    (void)i;
    json_error_t e;
    json_t *j = json_loadb(line, n, 0, &e);
    bool stays = j && json_integer_value(json_object_get(j, "step")) <= *(const int64_t *)user;
    json_decref(j);
    return stays;
}
static void key_of(char *key, size_t room, const char *file, const char *row) { snprintf(key, room, "%s\n%s", file, row); }
typedef struct known { json_t *bad; int64_t n; } known;
static bool remember(void *user, int64_t i, const char *line, size_t n) {
    (void)i;
    known *k = user;
    char key[2 * VLM_ROW_BYTES];
    json_error_t e;
    json_t *j = json_loadb(line, n, 0, &e);
    const char *file = json_string_value(json_object_get(j, "file")), *row = json_string_value(json_object_get(j, "row"));
    if (file && row) {
        key_of(key, sizeof key, file, row);
        json_object_set_new(k->bad, key, json_true());
        k->n++;
    }
    json_decref(j);
    return true;
}
vlm_status vlm_run_logs(vlm_run_dir *r, int64_t step) {
    char *metrics = vlm_join(r->path, "metrics.jsonl"), *quarantine = vlm_join(r->path, "quarantine.jsonl");
    known k = { r->bad, 0 };
    vlm_status status = VLM_OK;
    if (!metrics || !quarantine) { status = vlm_fail_memory(r->path, 64); goto done; }
    TRY_DONE(vlm_lines_cut(metrics, up_to, &step, NULL, NULL));
    TRY_DONE(vlm_lines_cut(quarantine, up_to, &step, NULL, NULL));
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
vlm_status vlm_run_metrics(vlm_run_dir *r, const vlm_update *u) {
    static const char *const names[VLM_GROUPS] = { "vision", "projector", "language" };
    json_t *lr = json_object();
    for (int g = 0; g < VLM_GROUPS; g++) if (u->lr[g] >= 0) json_object_set_new(lr, names[g], json_real(u->lr[g]));
    json_t *j = json_pack("{s:I,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:b}", "step", (json_int_t)u->step, "loss", number(u->loss),
                          "grad_norm", number(u->grad_norm), "lr", lr, "samples", (json_int_t)u->samples, "tokens",
                          (json_int_t)u->tokens, "labels", (json_int_t)u->labels, "images", (json_int_t)u->images, "patches",
                          (json_int_t)u->patches, "ms", number(round(u->ms * 1e3) / 1e3), "skipped", u->skipped);
    if (j && u->why) json_object_set_new(j, "why", json_string(u->why));
    return add(&r->metrics, j);
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
    key_of(key, sizeof key, file, row);
    *fresh = !json_object_get(r->bad, key);
    if (!*fresh) return VLM_OK;
    json_object_set_new_nocheck(r->bad, key, json_true());
    r->quarantined++;
    return add(&r->quarantine, json_pack("{s:o,s:o,s:s,s:o,s:I}", "file", text(file), "row", text(row), "code", code, "reason",
                                         text(reason), "step", (json_int_t)step));
}

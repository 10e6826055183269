#include "runlog.h"
#include "base/file.h"
#include "io/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vlm_lr_names[VLM_LRS] = { "vision", "language", "projector" };

enum { FILE_LIMIT = 1 << 30 };

static vlm_status grow(void **rows, int64_t n, size_t bytes, const char *where) {
    if (n & (n - 1)) return VLM_OK;            /* room doubles at 1, 2, 4, 8, ... rows */
    void *p = realloc(*rows, (size_t)(n ? 2 * n : 1) * bytes);
    if (!p) return vlm_fail_memory(where, (size_t)(n ? 2 * n : 1) * bytes);
    *rows = p;
    return VLM_OK;
}
static vlm_status add_update(vlm_runlog *r, const vlm_logged_update *u, const char *where) {
    while (r->updates && r->update[r->updates - 1].step >= u->step) { r->updates--; r->again++; }
    TRY(grow((void **)&r->update, r->updates, sizeof *u, where));
    r->update[r->updates++] = *u;
    return VLM_OK;
}
static vlm_status add_validation(vlm_runlog *r, const vlm_logged_validation *v, const char *where) {
    while (r->validations && r->validation[r->validations - 1].step >= v->step) { r->validations--; r->again++; }
    TRY(grow((void **)&r->validation, r->validations, sizeof *v, where));
    r->validation[r->validations++] = *v;
    return VLM_OK;
}

/* The line with null for NaN, Infinity and -Infinity outside strings; NULL: it has none of them, or there is no memory. To be freed. */
static char *null_words(const char *s, size_t n, size_t *size) {
    static const char *const words[] = { "NaN", "-Infinity", "Infinity" };
    char *out = malloc(n / 3 * 4 + 4);
    bool any = false, text = false;
    size_t to = 0;
    for (size_t i = 0; out && i < n;) {
        size_t k = 0;
        for (int w = 0; w < 3 && !text && !k; w++)
            if (n - i >= strlen(words[w]) && !memcmp(s + i, words[w], strlen(words[w]))) k = strlen(words[w]);
        if (k) {
            memcpy(out + to, "null", 4);
            to += 4;
            i += k;
            any = true;
            continue;
        }
        if (s[i] == '"') text = !text;
        if (text && s[i] == '\\' && i + 1 < n) out[to++] = s[i++];
        out[to++] = s[i++];
    }
    if (!any) { free(out); return NULL; }
    *size = to;
    return out;
}
static vlm_status parse(const char *s, size_t n, const char *where, json_t **out) {
    vlm_status status = vlm_json_parse(s, n, where, out);
    char *mended = status == VLM_EFORMAT ? null_words(s, n, &n) : NULL;
    if (mended) status = vlm_json_parse(mended, n, where, out);
    free(mended);
    return status == VLM_EFORMAT ? vlm_fail(status, where, "is not valid JSON; get the file again, or mend or remove the line") : status;
}
static vlm_status number(const json_t *row, const char *where, const char *key, double *out) {
    *out = NAN;
    return vlm_json_real(row, where, key, -HUGE_VAL, HUGE_VAL, out);
}
static vlm_status row(vlm_runlog *r, const json_t *o, const char *where) {
    vlm_logged_update u = { .speed = NAN };
    vlm_logged_validation v;
    double tokens, ms;
    int64_t step;
    bool skipped = false;
    TRY(vlm_json_need_int(o, where, "step", 0, (int64_t)1 << 53, &step));
    u.step = v.step = (double)step;
    if (json_object_get(o, "val_loss")) {
        TRY(number(o, where, "val_loss", &v.loss));
        TRY(add_validation(r, &v, where));
        if (!json_object_get(o, "loss")) return VLM_OK;
    }
    if (!json_object_get(o, "loss")) return vlm_fail(VLM_EFORMAT, where, "has neither loss nor val_loss; get the file again or mend it");
    TRY(number(o, where, "loss", &u.loss));
    TRY(number(o, where, "grad_norm", &u.grad_norm));
    TRY(number(o, where, "tokens", &tokens));
    TRY(number(o, where, "ms", &ms));
    TRY(vlm_json_bool(o, where, "skipped", &skipped));
    u.skipped = skipped;
    if (ms > 0) u.speed = tokens / ms * 1e3;
    for (int g = 0; g < VLM_LRS; g++) TRY(number(json_object_get(o, "lr"), where, vlm_lr_names[g], &u.lr[g]));
    return add_update(r, &u, where);
}
static vlm_status rows(vlm_runlog *r, const char *text, size_t size) {
    char *where = malloc(strlen(r->path) + 40);
    vlm_status status = VLM_OK;
    if (!where) return vlm_fail_memory(r->path, 1024);
    for (size_t at = 0, line = 1; !status && at < size; line++) {
        const char *s = text + at, *end = memchr(s, '\n', size - at);
        size_t n = end ? (size_t)(end - s) : size - at, blank = strspn(s, " \t\r");
        json_t *o = NULL;
        at += n + 1;
        if (blank >= n) continue;
        sprintf(where, "%s: line %zu", r->path, line);
        status = parse(s, n, where, &o);
        if (status == VLM_EFORMAT && !end) { r->torn = true; status = VLM_OK; }
        else if (!status) status = row(r, o, where);
        json_decref(o);
    }
    free(where);
    for (int64_t i = 0; i < r->updates; i++) r->skipped += r->update[i].skipped > 0;
    return status;
}

vlm_status vlm_runlog_read(const char *run, vlm_runlog *out) {
    vlm_runlog r = { .path = vlm_join(run, "metrics.jsonl") };
    unsigned char *text = NULL;
    size_t size;
    vlm_status status;
    if (!r.path) return vlm_fail_memory(run, strlen(run));
    if (!vlm_is_dir(run))
        status = vlm_exists(run) ? vlm_fail(VLM_EIO, run, "is no folder; name the folder of a run, which vlm train -o made")
                                 : vlm_fail(VLM_EIO, run, "does not exist; name the folder of a run, which vlm train -o made");
    else if (!vlm_exists(r.path))
        status = vlm_fail(VLM_EIO, run, "is no run: it holds no metrics.jsonl; name a folder that vlm train -o made");
    else status = vlm_read(r.path, FILE_LIMIT, &text, &size);
    if (!status) status = rows(&r, (const char *)text, size);
    free(text);
    if (status) vlm_runlog_free(&r);
    else *out = r;
    return status;
}
void vlm_runlog_free(vlm_runlog *r) {
    free(r->path);
    free(r->update);
    free(r->validation);
    *r = (vlm_runlog){ 0 };
}

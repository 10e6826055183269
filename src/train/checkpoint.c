#include "base/file.h"
#include "base/log.h"
#include "infer/convert.h"
#include "model/save.h"
#include "train/train_impl.h"
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- State as JSON, in the metadata of the moments' file ---- */

static json_t *state_json(const vlm_trainer *t) {
    const vlm_progress_state *a = &t->at;
    json_t *best = isfinite(a->best) ? json_pack("{s:f,s:I}", "val_loss", a->best, "step", (json_int_t)a->best_step) : json_null();
    /* the shuffle is a function of seed, epoch and index: they are its whole state, and that of every random number of a run */
    return json_pack("{s:i,s:I,s:[I,I,I],s:I,s:I,s:I,s:I,s:I,s:o,s:O}", "format_version", 1, "step", (json_int_t)a->step, "updates",
                     (json_int_t)a->updates[0], (json_int_t)a->updates[1], (json_int_t)a->updates[2], "seed", (json_int_t)t->o->seed,
                     "epoch", (json_int_t)a->epoch, "index", (json_int_t)(a->index - t->has_pending),
                     "steps", (json_int_t)a->steps, "in_a_row", (json_int_t)a->in_a_row, "best", best, "settings", t->settings);
}
static vlm_status read_state(const json_t *j, const char *where, vlm_progress_state *out) {
    vlm_progress_state a = { .best = INFINITY };
    int64_t version = 0;
    const json_t *best = json_object_get(j, "best");
    TRY(vlm_json_need_int(j, where, "format_version", 1, 1, &version));
    TRY(vlm_json_need_int(j, where, "step", 0, INT64_MAX, &a.step));
    for (int g = 0; g < VLM_GROUPS; g++) {
        const json_t *made = json_array_get(json_object_get(j, "updates"), (size_t)g);
        if (!json_is_integer(made) || (a.updates[g] = json_integer_value(made)) < 0 || a.updates[g] > a.step)
            return vlm_fail(VLM_EFORMAT, where, "holds no number of updates for each part; take another checkpoint");
    }
    TRY(vlm_json_need_int(j, where, "epoch", 0, INT64_MAX, &a.epoch));
    TRY(vlm_json_need_int(j, where, "index", 0, INT64_MAX, &a.index));
    TRY(vlm_json_need_int(j, where, "steps", 1, INT64_MAX, &a.steps));
    TRY(vlm_json_need_int(j, where, "in_a_row", 0, INT64_MAX, &a.in_a_row));
    if (json_is_object(best)) {
        TRY(vlm_json_real(best, where, "val_loss", -HUGE_VAL, HUGE_VAL, &a.best));
        TRY(vlm_json_need_int(best, where, "step", 0, INT64_MAX, &a.best_step));
    }
    *out = a;
    return VLM_OK;
}

/* ---- Writing ---- */

static vlm_status moment_values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    const vlm_trainer *t = user;
    return vlm_params_values(p, t->ctx, &t->m->net->ops, row, rows, out);
}
static vlm_tensor_dtype f32(void *user, const vlm_param *p) { (void)user; (void)p; return VLM_T_F32; }
/* Names "m.PARAM", "v.PARAM", of every trained parameter. */
static vlm_status list_moments(const vlm_trainer *t, vlm_stored **out, int64_t *n) {
    const vlm_net *nets[2] = { t->opt.m, t->opt.v };
    vlm_stored *s = calloc((size_t)(2 * t->opt.m->params.n) + 1, sizeof *s);
    if (!s) return vlm_fail_memory(VLM_STATE_FILE, (size_t)t->opt.m->params.n * sizeof *s);
    *n = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < nets[k]->params.n; i++) {
            const vlm_param *p = &nets[k]->params.p[i];
            if (p->tied || !(t->trained & 1u << p->group)) continue;
            vlm_stored *to = &s[(*n)++];
            snprintf(to->name, sizeof to->name, "%c.%s", k ? 'v' : 'm', p->name);
            to->dtype = VLM_T_F32;
            to->ndim = p->ndim;
            memcpy(to->shape, p->shape, sizeof to->shape);
            to->parts = 1;
            to->part[0].p = p;
            to->part[0].rows = p->shape[0];
        }
    *out = s;
    return VLM_OK;
}
static vlm_status write_moments(vlm_trainer *t, const char *path) {
    vlm_source from = { moment_values, f32, t };
    vlm_stored *s = NULL;
    int64_t n = 0;
    json_t *state = state_json(t), *metadata = NULL;
    char *text = state ? json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    vlm_status status = VLM_OK;
    if (text) metadata = json_pack("{s:s}", "vlm.train_state", text);
    if (!metadata) status = vlm_fail_memory(path, 4096);
    if (!status) status = list_moments(t, &s, &n);
    if (!status) status = vlm_store(path, s, n, metadata, &from);
    free(s);
    free(text);
    json_decref(state);
    json_decref(metadata);
    return status;
}

/* What lies on the disk is what lies in memory. */
static vlm_status read_back(const vlm_trainer *t, const char *path, const vlm_params *ps, const char *prefix) {
    vlm_safetensors st;
    vlm_status status = VLM_OK;
    char name[160];
    enum { ROWS = 1 << 18 };
    TRY(vlm_safetensors_open(path, &st));
    float *want = NULL, *got = NULL;
    for (int i = 0; i < ps->n; i++) {
        const vlm_param *p = &ps->p[i];
        if (p->tied || (*prefix && !(t->trained & 1u << p->group))) continue;
        snprintf(name, sizeof name, "%s%s", prefix, *prefix ? p->name : vlm_stored_name(t->m->net, p));
        const vlm_tensor *on_disk = vlm_safetensors_find(&st, name);
        int64_t len = vlm_param_len(p), row = len / p->shape[0], step = ROWS / row < 1 ? 1 : ROWS / row;
        if (!on_disk || vlm_tensor_len(on_disk) != len) {
            status = vlm_fail(VLM_EIO, path, "lacks tensor %s after writing; check the disk", name);
            goto done;
        }
        for (int64_t r = 0; r < p->shape[0]; r += step) {
            int64_t n = p->shape[0] - r < step ? p->shape[0] - r : step;
            free(want);
            free(got);
            want = malloc((size_t)(n * row) * sizeof *want), got = malloc((size_t)(n * row) * sizeof *got);
            if (!want || !got) { status = vlm_fail_memory(path, (size_t)(n * row) * 8); goto done; }
            TRY_DONE(vlm_params_values(p, t->ctx, &t->m->net->ops, r, n, want));
            TRY_DONE(vlm_tensor_to_float(on_disk, r * row, n * row, got));
            if (memcmp(want, got, (size_t)(n * row) * sizeof *want)) {
                status = vlm_fail(VLM_EIO, path, "tensor %s reads back with other bytes; check the disk", name);
                goto done;
            }
            size_t each = on_disk->bytes / (size_t)len;        /* else the file would count as memory of ours: */
            vlm_map_forget(on_disk->data + (size_t)(r * row) * each, (size_t)(n * row) * each);
        }
    }
done:
    free(want);
    free(got);
    vlm_safetensors_close(&st);
    return status;
}

static vlm_status step_path(const char *run, int64_t step, char **out) {
    char name[40];
    snprintf(name, sizeof name, "step_%" PRId64, step);
    *out = vlm_join(run, name);
    return *out ? VLM_OK : vlm_fail_memory(run, 64);
}
static int64_t step_of(const char *name) {             /* -1: no checkpoint's name */
    char *end;
    if (strncmp(name, "step_", 5) || !isdigit((unsigned char)name[5])) return -1;
    long long n = strtoll(name + 5, &end, 10);
    return *end ? -1 : n;
}
static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}
/* Steps of the checkpoints in RUN, ascending; the caller frees. */
static vlm_status list(const char *run, int64_t **out, int64_t *n) {
    DIR *d = opendir(run);
    struct dirent *e;
    int64_t *v = NULL, count = 0;
    if (!d) return vlm_fail_errno(run, "read");
    while ((e = readdir(d))) {
        int64_t step = step_of(e->d_name), *p;
        if (step < 0) continue;
        if (!(p = realloc(v, (size_t)(count + 1) * sizeof *v))) { free(v); closedir(d); return vlm_fail_memory(run, 64); }
        v = p;
        v[count++] = step;
    }
    closedir(d);
    if (count) qsort(v, (size_t)count, sizeof *v, by_number);
    *out = v;
    *n = count;
    return VLM_OK;
}
/* Checkpoints that are neither among the last `keep` (0: all) up to `step` nor the best go; `newer`: those behind it, too. */
static vlm_status prune(const vlm_trainer *t, int64_t step, int64_t keep, bool newer) {
    int64_t *v = NULL, n = 0;
    TRY(list(t->run.path, &v, &n));
    vlm_status status = VLM_OK;
    int64_t own = 0;
    while (own < n && v[own] < step) own++;
    for (int64_t i = 0; i < n && !status; i++) {
        char *path = NULL;
        bool recent = i <= own && (!keep || i > own - keep), best = isfinite(t->at.best) && v[i] == t->at.best_step;
        if (recent || (best && i <= own) || (i > own && !newer)) continue;
        if (!(status = step_path(t->run.path, v[i], &path))) status = vlm_dir_remove(path);
        free(path);
    }
    free(v);
    return status;
}

vlm_status vlm_checkpoint_prune(const vlm_trainer *t, int64_t step) { return prune(t, step, t->o->keep, true); }

/* The tokenizer's files come from the folder that the model was opened from, which may be gone meanwhile. */
static vlm_status check_tokenizer(const vlm_trainer *t, const char *dir) {
    char *own = vlm_join(dir, "tokenizer.json"), *below = vlm_join(dir, "tokenizer/tokenizer.json");
    bool none = own && below && !vlm_exists(own) && !vlm_exists(below);
    vlm_status status = own && below ? VLM_OK : vlm_fail_memory(dir, 64);
    free(own);
    free(below);
    return none ? vlm_fail(VLM_EIO, t->m->net->dir, "has lost its tokenizer.json since training began; put it back") : status;
}
vlm_status vlm_checkpoint_save(vlm_trainer *t) {
    vlm_dir_writer w = { 0 };
    char *path = NULL, *weights = NULL, *state = NULL, *latest = vlm_join(t->run.path, "latest");
    vlm_status status = VLM_OK;
    if (!latest) return vlm_fail_memory(t->run.path, 64);
    TRY_DONE(vlm_lines_sync(&t->run.metrics));
    TRY_DONE(vlm_lines_sync(&t->run.quarantine));
    TRY_DONE(step_path(t->run.path, t->at.step, &path));
    TRY_DONE(vlm_dir_writer_open(path, true, NULL, &w));           /* an old one is of a run that went on elsewhere, or damaged */
    weights = vlm_join(w.temp, "model.safetensors");
    state = vlm_join(w.temp, VLM_STATE_FILE);
    if (!weights || !state) { status = vlm_fail_memory(path, 64); goto done; }
    TRY_DONE(vlm_write_ours(t->m, VLM_T_F32, w.temp));
    TRY_DONE(check_tokenizer(t, w.temp));
    TRY_DONE(vlm_net_save(weights, t->m->net, t->ctx, VLM_T_F32));
    TRY_DONE(write_moments(t, state));
    TRY_DONE(read_back(t, weights, &t->m->net->params, ""));
    TRY_DONE(read_back(t, state, &t->opt.m->params, "m."));
    TRY_DONE(read_back(t, state, &t->opt.v->params, "v."));
    TRY_DONE(vlm_checksums_write(w.temp));
    TRY_DONE(vlm_dir_writer_commit(&w));
    TRY_DONE(vlm_link_switch(latest, strrchr(path, '/') + 1));
    free(t->m->net->dir);              /* the folder it was opened from may go, as old checkpoints do: this one has the same files */
    t->m->net->dir = path;
    path = NULL;
    if (t->hooks.saved) t->hooks.saved(t->hooks.user, t->m->net->dir);
done:
    vlm_dir_writer_cancel(&w);
    free(path);
    free(weights);
    free(state);
    free(latest);
    return status;
}
vlm_status vlm_checkpoint_settle(const vlm_trainer *t, const char *path) {
    char *latest = vlm_join(t->run.path, "latest");
    if (!latest) return vlm_fail_memory(path, 64);
    vlm_status status = vlm_same_file(latest, path) ? VLM_OK : vlm_link_switch(latest, strrchr(path, '/') + 1);
    free(latest);
    bool spare = t->o->keep && t->at.step < t->at.steps;
    return status ? status : prune(t, t->at.step, t->o->keep + spare, false);
}

/* ---- Reading ---- */

static vlm_status open_state(const char *path, vlm_safetensors *st, json_t **state, char **file) {
    vlm_status status = VLM_OK;
    *file = vlm_join(path, VLM_STATE_FILE);
    if (!*file) return vlm_fail_memory(path, 64);
    TRY(vlm_safetensors_open(*file, st));
    const char *text = json_string_value(json_object_get(st->metadata, "vlm.train_state"));
    if (!text) status = vlm_fail(VLM_EFORMAT, *file, "holds no state of a run; resume from a folder that vlm train wrote");
    else status = vlm_json_parse(text, strlen(text), *file, state);
    if (!status && !json_is_object(*state)) status = vlm_fail(VLM_EFORMAT, *file, "holds no state of a run; take another checkpoint");
    if (status) vlm_safetensors_close(st);
    return status;
}
vlm_status vlm_checkpoint_read(const char *path, vlm_progress_state *at, json_t **settings) {
    vlm_safetensors st = { 0 };
    json_t *state = NULL;
    char *file = NULL;
    vlm_status status = open_state(path, &st, &state, &file);
    if (!status) status = read_state(state, file, at);
    if (!status) *settings = json_incref(json_object_get(state, "settings"));
    vlm_safetensors_close(&st);
    json_decref(state);
    free(file);
    return status;
}
/* Can a run go on from it? */
static vlm_status check_whole(const char *path) {
    vlm_progress_state at;
    json_t *settings = NULL;
    vlm_weights *w = NULL;
    vlm_status status = vlm_checkpoint_read(path, &at, &settings);
    if (!status) status = vlm_checksums_check(path);
    if (!status) status = vlm_weights_open(path, &w);
    vlm_weights_close(w);
    json_decref(settings);
    return status;
}
static vlm_status newest(const char *run, char **out) {
    int64_t *v = NULL, n = 0, all;
    char why[640] = "";                /* of the newest */
    vlm_status status = VLM_OK;
    TRY(list(run, &v, &n));
    all = n;
    while (n-- > 0 && !*out && !status) {
        char *path = NULL;
        if ((status = step_path(run, v[n], &path))) break;
        vlm_status whole = check_whole(path);
        if (whole == VLM_ENOMEM) status = whole;       /* that is not its fault */
        else if (whole) {
            vlm_warn(path, "is passed over: %s: %s", vlm_error_where(), vlm_error_message());
            if (n + 1 == all) snprintf(why, sizeof why, "%.200s: %.400s", vlm_error_where(), vlm_error_message());
        } else { *out = path; path = NULL; }
        free(path);
    }
    free(v);
    if (!status && all && !*out)
        status = vlm_fail(VLM_EFORMAT, run, "holds no whole checkpoint, only broken ones; bring a copy back, or begin anew in another "
                          "folder (%s)", why);
    return status;
}
vlm_status vlm_checkpoint_find(const vlm_train_options *o, char **out) {
    *out = NULL;
    if (!o->resume) return VLM_OK;
    if (!strcmp(o->resume, "auto")) return newest(o->run, out);
    int64_t *v = NULL, n = 0;
    char *folder = vlm_join(o->resume, "..");
    vlm_status status = folder ? list(o->run, &v, &n) : vlm_fail_memory(o->resume, 64);
    if (!status && !vlm_is_dir(o->resume))
        status = vlm_fail(VLM_EIO, o->resume, "is no folder; name a checkpoint, RUN/step_N, or give --resume auto");
    else if (!status && n && !vlm_same_file(folder, o->run))           /* saving would take those away */
        status = vlm_fail(VLM_EARG, o->resume, "is no checkpoint of %s, which has its own; give --resume auto to go on with those, or "
                          "name another folder", o->run);
    if (!status) status = check_whole(o->resume);
    if (!status && !(*out = strdup(o->resume))) status = vlm_fail_memory(o->resume, 64);
    free(folder);
    free(v);
    return status;
}

static vlm_status load_moment(const vlm_trainer *t, const vlm_safetensors *st, const char *file, const vlm_param *p, char kind) {
    const vlm_ops *ops = &t->m->net->ops;
    char name[160], have[VLM_SHAPE_CHARS];
    snprintf(name, sizeof name, "%c.%s", kind, p->name);
    const vlm_tensor *x = vlm_safetensors_find(st, name);
    int64_t n = vlm_param_len(p), bad = 0;
    if (!x && t->o->allow_change) {
        if (kind == 'm') vlm_warn(file, "has no moments of %s, which was frozen; they start from zero", p->name);
        return VLM_OK;
    }
    if (!x) return vlm_fail(VLM_EFORMAT, file, "has no tensor %s; it is another run's", name);
    if (x->dtype != VLM_T_F32 || x->ndim != p->ndim || memcmp(x->shape, p->shape, (size_t)p->ndim * sizeof *p->shape))
        return vlm_fail(VLM_EFORMAT, file, "tensor %s is %s %s; it is another run's", name, vlm_tensor_dtype_name(x->dtype),
                        vlm_shape_string(x->ndim, x->shape, have));
    if (p->mat) {
        vlm_mat rows = { .dtype = VLM_F32, .layout = VLM_ROWS, .rows = p->shape[0], .cols = p->mat->cols,
                         .data = (void *)(uintptr_t)x->data };
        ops->linear_pack(t->ctx, p->mat, p->row, &rows, &bad);
    } else {
        const float *v = (const float *)(const void *)x->data;
        for (int64_t i = 0; i < n; i++) bad += !isfinite(v[i]);
        ops->upload(t->ctx, act_at(*p->vec, p->row), x->data, (size_t)n * sizeof(float));
    }
    ops->sync(t->ctx);
    return bad ? vlm_fail(VLM_EFORMAT, file, "tensor %s holds NaN or infinite values; take another checkpoint", name) : VLM_OK;
}
vlm_status vlm_checkpoint_moments(vlm_trainer *t, const char *path) {
    vlm_safetensors st = { 0 };
    json_t *state = NULL;
    char *file = NULL;
    vlm_status status = open_state(path, &st, &state, &file);
    for (int k = 0; !status && k < 2; k++) {
        const vlm_net *net = k ? t->opt.v : t->opt.m;
        for (int i = 0; !status && i < net->params.n; i++) {
            const vlm_param *p = &net->params.p[i];
            if (!p->tied && t->trained & 1u << p->group) status = load_moment(t, &st, file, p, k ? 'v' : 'm');
        }
    }
    vlm_safetensors_close(&st);
    json_decref(state);
    free(file);
    return status;
}

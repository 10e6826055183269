/* eval: asks a model what a data set asks, and says how right it was. Answers go to -o as they come, one line each, and a run that was
   interrupted goes on behind them. */
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/dataset.h"
#include "io/json.h"
#include "open.h"
#include "tally.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_TOKENS = 64 };

typedef struct run {
    const vlm_args *a;
    vlm_model *m;
    vlm_dataset *d;
    vlm_evaluator *e;
    vlm_tally t;
    FILE *answers;
    char print[24];                    /* what the answers are of: model, data, options */
    int64_t n, resumed, few, unmatched;        /* few: references that keep vqa below 1 */
} run;

/* ---- What the answers are of ---- */

static vlm_status hash_file(const char *dir, const char *name, uint64_t *h) {
    char *path = vlm_join(dir, name);
    if (!path) return vlm_fail_memory(dir, strlen(name));
    *h = vlm_hash(*h, name, strlen(name));
    vlm_status status = vlm_hash_file(path, h);
    free(path);
    return status;
}
/* The files that make a folder answer as it does. */
static vlm_status hash_folder(const char *dir, uint64_t *h) {
    static const char *const endings[] = { ".json", ".jinja", ".safetensors", NULL };
    char **name;
    size_t n;
    vlm_status status = VLM_OK;
    TRY(vlm_dir_names(dir, endings, &name, &n));
    for (size_t i = 0; !status && i < n; i++) status = hash_file(dir, name[i], h);
    vlm_names_free(name, n);
    return status;
}
static vlm_status hash_model(const char *dir, uint64_t *h) {
    char *below = vlm_join(dir, "tokenizer");
    vlm_status status = below ? hash_folder(dir, h) : vlm_fail_memory(dir, 16);
    if (!status && vlm_is_dir(below)) status = hash_folder(below, h);
    free(below);
    return status;
}
/* Everything that an answer depends on. */
static vlm_status fingerprint(run *r) {
    const vlm_args *a = r->a;
    uint64_t h = VLM_HASH, data;
    const char *text[] = { a->system, a->template_, vlm_ops_kind(&r->m->net->ops), a->kv };
    const int64_t number[] = { r->t.measures, a->from[O_max_tokens] ? a->max_tokens : ANSWER_TOKENS, a->max_size, a->no_upscale,
                               a->max_image_tokens, a->context, a->compat_resize, a->fast_decode, a->fork_maths,
                               vlm_net_int8_attention(r->m->net) };
    TRY(hash_model(a->arg[0], &h));
    TRY(vlm_dataset_hash(r->d, &data));
    h = vlm_hash_int(h, (int64_t)data);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        size_t n = text[i] ? strlen(text[i]) : 0;
        h = vlm_hash(vlm_hash_int(h, text[i] ? (int64_t)n : -1), text[i], n);
    }
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) h = vlm_hash_int(h, number[i]);
    snprintf(r->print, sizeof r->print, "%016llx", (unsigned long long)h);
    return VLM_OK;
}

/* ---- The file of answers ---- */

/* Sums and counts that a line of it holds. */
static vlm_status read_scores(const json_t *j, const char *where, unsigned measures, double *sum, double *count) {
    const json_t *scores = json_object_get(j, "score"), *of = json_object_get(j, "digits");
    for (int m = 0; m < VLM_MEASURES; m++) {
        const json_t *v = json_object_get(scores, vlm_measure_name((vlm_measure)m));
        sum[m] = count[m] = 0;
        if (!(measures >> m & 1) || !v) continue;
        const json_t *right = m == VLM_LOSS ? json_object_get(j, "nll") : m == VLM_DIGITS ? json_array_get(of, 0) : v;
        sum[m] = json_is_number(right) ? json_number_value(right) : -1;
        count[m] = m == VLM_LOSS ? json_number_value(json_object_get(j, "labels"))
                   : m == VLM_DIGITS ? json_number_value(json_array_get(of, 1)) : 1;
        if (!(count[m] > 0) || !(sum[m] >= 0)) return vlm_fail(VLM_EFORMAT, where, "has no score of %s; give --force to begin again",
                                                               vlm_measure_name((vlm_measure)m));
    }
    return VLM_OK;
}
static vlm_status read_answer(run *r, const char *line, size_t size, const char *where) {
    double sum[VLM_MEASURES], count[VLM_MEASURES];
    json_t *j = NULL;
    const char *print = NULL;
    int64_t sample = 0;
    vlm_status status;
    TRY_DONE(vlm_sample_json(line, size, where, &j, NULL));
    TRY_DONE(vlm_json_need_string(j, where, "run", &print));
    TRY_DONE(vlm_json_need_int(j, where, "sample", 1, vlm_dataset_count(r->d), &sample));
    if (strcmp(print, r->print)) {
        status = vlm_fail(VLM_EFORMAT, where, "was answered by another model, of other data or with other options; name another file with "
                          "-o, or give --force to begin again");
        goto done;
    }
    if (sample <= r->n && r->t.row[sample - 1].there) {
        status = vlm_fail(VLM_EFORMAT, where, "answers sample %lld a second time; give --force to begin again", (long long)sample);
        goto done;
    }
    TRY_DONE(read_scores(j, where, r->t.measures, sum, count));
    if (sample > r->n) goto done;              /* beyond --limit */
    r->resumed++;
    status = vlm_tally_add(&r->t, sample - 1, sum, count, json_object_get(j, "id"));
done:
    json_decref(j);
    return status;
}
/* All whole lines; a last one that was cut short goes. */
static vlm_status read_answers(run *r, int fd, const char *path) {
    struct stat st;
    vlm_map map = { 0 };
    vlm_status status = VLM_OK;
    size_t at = 0;
    if (fstat(fd, &st)) return vlm_fail_errno(path, "read");
    if (!st.st_size) return VLM_OK;
    TRY(vlm_map_open(path, 0, &map));
    for (int64_t number = 1; !status && at < map.size; number++) {
        const unsigned char *line = map.data + at, *end = memchr(line, '\n', map.size - at);
        char where[1100];
        if (!end) break;
        snprintf(where, sizeof where, "%s:%lld", path, (long long)number);
        status = read_answer(r, (const char *)line, (size_t)(end - line), where);
        at += (size_t)(end - line) + 1;
    }
    vlm_map_close(&map);
    if (!status && ftruncate(fd, (off_t)at)) status = vlm_fail_errno(path, "write");
    return status;
}
static vlm_status open_answers(run *r) {
    const vlm_args *a = r->a;
    const char *path = a->output;
    struct stat st;
    if (!a->resume_answers) TRY(vlm_check_output(a, path));
    TRY(fingerprint(r));
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0) return vlm_fail_errno(path, "write");
    vlm_status status = VLM_OK;
    if (fstat(fd, &st)) status = vlm_fail_errno(path, "write");
    else if (!S_ISREG(st.st_mode)) status = vlm_fail(VLM_EIO, path, "is no regular file; name a file");
    else if (flock(fd, LOCK_EX | LOCK_NB))
        status = vlm_fail(VLM_EIO, path, "is being written by another program; wait for it or name another file");
    else if (a->resume_answers) status = read_answers(r, fd, path);
    else if (ftruncate(fd, 0)) status = vlm_fail_errno(path, "write");
    if (!status && !(r->answers = fdopen(fd, "ab"))) status = vlm_fail_errno(path, "write");
    if (status) close(fd);
    return status;
}
static json_t *texts(const char *const *v, int64_t n) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(list, vlm_json_text(v[i]));
    return list;
}
static json_t *answer_json(const run *r, int64_t i, const struct vlm_sample *s, const vlm_evaluated *v) {
    const double *sum = v->sum, *count = v->count;
    json_t *paths = json_array(), *grids = json_array(), *score = json_object();
    for (int64_t k = 0; k < s->images; k++) {
        json_t *plan = vlm_plan_json(r->m, &v->plan[k]);
        json_array_append_new(paths, vlm_json_text(s->image[k].path));
        json_array_append(grids, json_object_get(plan, "grid"));
        json_decref(plan);
    }
    for (int m = 0; m < VLM_MEASURES; m++)
        if (count[m] > 0) json_object_set_new(score, vlm_measure_name((vlm_measure)m), json_real(sum[m] / count[m]));
    json_t *j = json_pack("{s:I,s:s,s:o,s:o,s:o,s:o,s:o}", "sample", (json_int_t)i + 1, "run", r->print, "row", vlm_json_text(s->row),
                          "image", paths, "grid", grids, "question", vlm_json_text(s->turn[s->turns - 1].user), "reference",
                          texts(v->reference, v->references));
    if (!j) { json_decref(score); return NULL; }
    if (s->id) json_object_set(j, "id", s->id);
    if (v->answer) json_object_set_new(j, "answer", vlm_json_bytes(v->answer, v->answer_bytes));
    if (v->answer) json_object_set_new(j, "finish_reason", json_string(v->finish_reason));
    json_object_set_new(j, "prompt_tokens", json_integer(v->prompt_tokens));
    if (count[VLM_LOSS] > 0) json_object_set_new(j, "nll", json_real(sum[VLM_LOSS]));
    if (count[VLM_LOSS] > 0) json_object_set_new(j, "labels", json_integer((json_int_t)count[VLM_LOSS]));
    if (count[VLM_DIGITS] > 0)
        json_object_set_new(j, "digits", json_pack("[I,I]", (json_int_t)sum[VLM_DIGITS], (json_int_t)count[VLM_DIGITS]));
    json_object_set_new(j, "score", score);
    return j;
}
/* The whole line reaches the system, or the run ends: what was answered outlives this process. */
static vlm_status write_answer(run *r, int64_t i, const struct vlm_sample *s, const vlm_evaluated *v) {
    json_t *j = answer_json(r, i, s, v);
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    vlm_status status = VLM_OK;
    errno = 0;
    if (!text) status = vlm_fail_memory("the answer", 0);
    else if (fputs(text, r->answers) == EOF || fputc('\n', r->answers) == EOF || fflush(r->answers))
        status = vlm_fail_errno(r->a->output, "write");
    free(text);
    json_decref(j);
    return status;
}

/* ---- The run ---- */

static vlm_status note_bad(run *r, int64_t i, vlm_bad why) {
    const char *file;
    char row[VLM_ROW_BYTES];
    vlm_dataset_name(r->d, i, &file, row);
    if (json_array_append_new(r->t.bad, json_pack("{s:o,s:o,s:s,s:o}", "file", vlm_json_text(file), "row", vlm_json_text(row), "code",
                                                  vlm_bad_name(why), "reason", vlm_json_text(vlm_error_message()))))
        return vlm_fail_memory("the results", 0);
    vlm_warn(vlm_error_where(), "%s: %s", vlm_bad_name(why), vlm_error_message());
    return VLM_OK;
}
static vlm_status one_sample(run *r, int64_t i) {
    struct vlm_sample s = { 0 };
    vlm_evaluated v = { 0 };
    vlm_bad why = VLM_BAD_NONE;
    vlm_status status = vlm_dataset_read(r->d, i, &s, &why);
    if (!status) status = vlm_evaluate(r->e, &s, &v, &why);
    if (status) status = why != VLM_BAD_NONE ? note_bad(r, i, why) : status;
    else {
        int64_t people = v.references - (s.answers && s.turn[s.turns - 1].assistant);
        r->few += v.count[VLM_VQA] > 0 && (people == 2 || people == 3);
        r->unmatched += v.no_right_choice;
        if (r->answers) status = write_answer(r, i, &s, &v);
        if (!status) status = vlm_tally_add(&r->t, i, v.sum, v.count, s.id);
    }
    vlm_evaluated_free(&v);
    vlm_sample_free(&s);
    return status;
}
static int on_text(void *user, const char *text, size_t bytes) {
    (void)user;
    (void)text;
    (void)bytes;
    return vlm_stopped();
}
static vlm_status all_samples(run *r) {
    int64_t i = 0;
    vlm_status status = VLM_OK;
    vlm_hold();
    vlm_term_only("samples");          /* an image's or a prompt's own progress would hide it */
    for (; !status && i < r->n; i++) {
        if (!r->t.row[i].there) status = one_sample(r, i);
        if (!status) status = vlm_progress("samples", i + 1, r->n);
    }
    if (r->answers && !status && fsync(fileno(r->answers)) && errno != EINVAL) status = vlm_fail_errno(r->a->output, "write");
    vlm_status released = vlm_release();
    if (!status) status = released;
    if (status == VLM_ESTOPPED)
        vlm_tell("vlm: stopped at sample %lld of %lld%s", (long long)i, (long long)r->n,
                 r->answers ? "; --resume goes on" : "; with -o, --resume could go on");
    return status;
}

static vlm_status report(run *r) {
    const vlm_args *a = r->a;
    json_t *result = NULL;
    size_t bad = json_array_size(r->t.bad);
    if ((int64_t)bad == r->n)
        return vlm_fail(VLM_EFORMAT, a->arg[1], "has no good sample among %lld; each is warned of with its reason", (long long)r->n);
    if (r->few)
        vlm_note("vlm: vqa: samples with 2 or 3 references: %lld; there the right answer scores 1/3 or 2/3, it is made for 10",
                 (long long)r->few);
    if (r->unmatched)
        vlm_note("vlm: choice: samples whose right answer is none of their choices: %lld; they are left out of it",
                 (long long)r->unmatched);
    TRY(vlm_tally_json(&r->t, &result));
    if (a->json) return vlm_json_out(result);
    vlm_tally_print(result, a->arg[1], stdout);
    json_decref(result);
    return VLM_OK;
}

vlm_status vlm_cmd_eval(vlm_args *a) {
    run r = { .a = a };
    unsigned measures = VLM_TALLY_MEASURES, named = 0;
    vlm_status status;
    if (a->metrics) { TRY(vlm_tally_measures(a->metrics, &measures)); named = measures; }
    if (a->resume_answers && !a->output) return vlm_usage("--resume", "goes on behind the answers of a file; name it with -o");
    if (a->resume_answers && a->force) return vlm_usage("--resume", "keeps what --force would replace; give one of them");
    if (a->output && !a->resume_answers) TRY(vlm_check_output(a, a->output));
    TRY_DONE(vlm_open_model(a, &r.m));
    TRY_DONE(vlm_need_language(a, r.m));
    vlm_dataset_options o = VLM_DATASET_OPTIONS;
    o.data_root = a->data_root;
    o.max_images = a->max_images;
    TRY_DONE(vlm_dataset_open(a->arg[1], &o, &r.d));
    r.n = vlm_dataset_count(r.d);
    if (a->limit && a->limit < r.n) r.n = a->limit;
    TRY_DONE(vlm_tally_open(r.n, measures, named, (uint64_t)a->seed, &r.t));
    TRY_DONE(vlm_evaluator_open(r.m, &(vlm_evaluate_options){ .measures = measures, .system = a->system, .threads = (int)a->threads,
                                .max_tokens = a->from[O_max_tokens] ? a->max_tokens : ANSWER_TOKENS, .kv = a->kv,
                                .on_text = on_text }, &r.e));
    if (a->output) TRY_DONE(open_answers(&r));
    if (r.resumed) vlm_note("vlm: %s: samples that have their answers: %lld", a->output, (long long)r.resumed);
    TRY_DONE(all_samples(&r));
    status = report(&r);
done:
    if (r.answers && fclose(r.answers) && !status) status = vlm_fail_errno(a->output, "write");
    vlm_evaluator_close(r.e);
    vlm_tally_free(&r.t);
    vlm_dataset_close(r.d);
    vlm_model_close(r.m);
    return status;
}

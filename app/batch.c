/* ask --batch: one data-format sample a line, one JSON object a line in answer. A line that cannot be answered gives {"line", "error"}. */
#include "answer.h"
#include "io/json.h"
#include "talk.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The next line, without its end; *line is NULL at the end of the file. */
static vlm_status next_line(FILE *f, const char *where, char **line, size_t *size) {
    size_t n = 0, room = 0;
    char *data = NULL;
    for (;;) {
        if (n + 1 >= room) {
            size_t more = room ? room * 2 : 4096;
            char *p = n > VLM_LINE_LIMIT ? NULL : realloc(data, more);
            if (!p) {
                free(data);
                return n <= VLM_LINE_LIMIT ? vlm_fail_memory(where, more)
                     : vlm_fail(VLM_ELIMIT, where, "has a line of more than %d bytes; is it JSON Lines?", VLM_LINE_LIMIT);
            }
            data = p;
            room = more;
        }
        int c = getc(f);
        if (c == EOF && ferror(f)) { free(data); return vlm_fail_errno(where, "read"); }
        if (c == EOF && !n) { free(data); data = NULL; break; }
        if (c == EOF || c == '\n') break;
        data[n++] = (char)c;
    }
    if (data) data[n] = 0;
    *line = data;
    *size = n;
    return VLM_OK;
}

/* *id: the sample's own name, to be freed; NULL if it has none, or none could be read. */
static vlm_status answer_line(const vlm_args *a, const vlm_model *m, vlm_session *s, const char *line, size_t size, const char *where,
                              int64_t number, json_t **id) {
    json_t *j = NULL;
    vlm_talk talk = { 0 };
    vlm_question q = { 0 };
    double t0 = vlm_now_ms();
    bool loaded = false;
    vlm_status status;
    vlm_session_reset(s);
    TRY_DONE(vlm_sample_json(line, size, where, &j, NULL));
    *id = json_incref(json_object_get(j, "id"));
    TRY_DONE(vlm_talk_read(j, a, where, &talk));
    TRY_DONE(vlm_talk_load(&talk, a, m));
    q.preprocess_ms = vlm_now_ms() - t0;
    loaded = true;
    const char *system = talk.s.system ? talk.s.system : a->system;
    double t1 = vlm_now_ms(), context_ms, encode_ms;
    TRY_DONE(vlm_talk_context(&talk, s, system, &encode_ms));
    context_ms = vlm_now_ms() - t1;
    int64_t last = talk.s.turns - 1;
    q.system = last ? NULL : system;
    q.text = talk.s.turn[last].user;
    q.pictures = &talk.pictures[last];
    TRY_DONE(vlm_answer_question(a, s, &q, false, NULL));
    q.encode_ms += encode_ms;          /* earlier turns and their images */
    q.prefill_ms += context_ms - encode_ms;
    json_t *out = vlm_question_json(m, &q);
    if (out) json_object_set_new(out, "line", json_integer(number));
    if (out && *id) json_object_set(out, "id", *id);
    if (out && last) {                 /* the images of all turns, in order */
        json_t *all = json_array();
        for (int64_t i = 0; i <= last; i++) {
            json_t *some = vlm_pictures_json(m, &talk.pictures[i]);
            json_array_extend(all, some);
            json_decref(some);
        }
        json_object_set_new(out, "images", all);
    }
    status = vlm_json_out(out);
done:
    /* what does not fit is this line, not the model's folder */
    if (status && loaded && (!strcmp(vlm_error_where(), m->net->dir) || !strcmp(vlm_error_where(), "text")))
        vlm_fail(status, where, "%s", vlm_error_message());
    vlm_question_free(&q);
    vlm_talk_free(&talk);
    json_decref(j);
    return status;
}

vlm_status vlm_ask_batch(vlm_args *a) {
    bool in = !strcmp(a->batch, "-");
    const char *name = in ? "standard input" : a->batch;
    FILE *f = in ? stdin : fopen(a->batch, "rb");
    vlm_model *m = NULL;
    vlm_session *s = NULL;
    int64_t number = 0, asked = 0, failed = 0;
    vlm_status status;
    if (!f) return vlm_fail_errno(name, "open");
    TRY_DONE(vlm_open_model(a, &m));
    TRY_DONE(vlm_need_language(a, m));
    TRY_DONE(vlm_open_session(a, m, &s));
    for (;;) {
        char *line, where[1100];
        size_t size;
        TRY_DONE(next_line(f, name, &line, &size));
        if (!line) break;
        snprintf(where, sizeof where, "%s:%lld", name, (long long)++number);
        if (!vlm_line_blank(line, size)) {
            asked++;
            json_t *id = NULL, *error;
            status = answer_line(a, m, s, line, size, where, number, &id);
            if (status && status != VLM_ESTOPPED) {
                failed++;
                error = json_pack("{s:I,s:o}", "line", (json_int_t)number, "error", vlm_error_json(status));
                if (error && id) json_object_set(error, "id", id);
                status = vlm_json_out(error);
            }
            json_decref(id);
            if (!status) status = vlm_flush();
        }
        free(line);
        if (status) goto done;
    }
    if (failed) {
        status = vlm_fail(VLM_EFORMAT, name, "%lld of %lld lines could not be answered; see the error objects", (long long)failed,
                          (long long)asked);
        a->reported = true;
    }
done:
    if (!in) fclose(f);
    vlm_session_close(s);
    vlm_model_close(m);
    return status;
}

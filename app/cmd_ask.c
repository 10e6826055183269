/* vlm ask: one answer, or with --batch one a line. */
#include "answer.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

static vlm_status single(vlm_args *a) {
    vlm_model *m = NULL;
    vlm_session *s = NULL;
    vlm_pictures p = { 0 };
    vlm_question q = { .system = a->system, .text = a->arg[1] };
    unsigned char *in = NULL;
    size_t size = 0;
    vlm_status status;
    double t0 = vlm_now_ms();
    if (!strcmp(q.text, "-")) {
        TRY(vlm_read("-", 16 << 20, &in, &size));
        size_t bad = vlm_utf8_length((char *)in, size);
        if (bad < size || strlen((char *)in) != size) {
            free(in);
            if (bad < size) return vlm_fail(VLM_EFORMAT, "standard input", "byte %zu is not UTF-8; convert the text", bad);
            return vlm_fail(VLM_EFORMAT, "standard input", "holds a NUL; give text");
        }
        q.text = (char *)in;
    }
    TRY_DONE(vlm_open_model(a, &m));
    TRY_DONE(vlm_need_language(a, m));
    TRY_DONE(vlm_open_session(a, m, &s));
    q.load_ms = vlm_now_ms() - t0;
    for (int i = 0; i < a->image.n; i++) TRY_DONE(vlm_pictures_add(&p, m, a->image.v[i], a->max_images));
    q.preprocess_ms = vlm_now_ms() - t0 - q.load_ms;
    q.pictures = &p;
    TRY_DONE(vlm_answer_question(a, s, &q, !a->json, NULL));
    if (a->json) status = vlm_json_out(vlm_question_json(m, &q));
    else vlm_question_timings(m, &q);
done:
    vlm_question_free(&q);
    vlm_pictures_free(&p);
    vlm_session_close(s);
    vlm_model_close(m);
    free(in);
    return status;
}

vlm_status vlm_cmd_ask(vlm_args *a) {
    TRY(vlm_check_stdin(a));
    if (a->batch && (a->args > 1 || a->image.n)) return vlm_usage("--batch", "brings its own prompts and images; leave PROMPT and -i out");
    if (a->batch) return vlm_ask_batch(a);
    if (a->from[O_data_root] == VLM_LINE) return vlm_usage("--data-root", "is for --batch's images; leave it out");
    if (a->args < 2) return vlm_usage("ask", "PROMPT is missing; usage: vlm ask MODEL [-i IMAGE] PROMPT");
    return single(a);
}

#include "answer.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

/* A model may say anything, and a terminal obeys it. */
static void print_safely(const char *text, size_t bytes) {
    char c[8];
    for (size_t i = 0; i < bytes; fputs(c, stdout)) i += vlm_safe_char(text + i, bytes - i, c);
}
typedef struct stream { bool print, terminal; char last; } stream;
static int on_text(void *user, const char *text, size_t bytes) {
    stream *s = user;
    if (bytes && s->print) {
        if (s->terminal) print_safely(text, bytes);
        else fwrite(text, 1, bytes, stdout);
        s->last = text[bytes - 1];
        if (fflush(stdout)) return 1;          /* nobody reads: vlm_flush will say it */
    }
    return vlm_stopped();
}

vlm_status vlm_answer_question(const vlm_args *a, vlm_session *s, vlm_question *q, bool print, bool *stopped) {
    stream to = { .print = print, .terminal = print && isatty(STDOUT_FILENO) };
    vlm_answer_options o = {
        .max_tokens = a->max_tokens, .stop = a->stop.v, .stops = a->stop.n, .on_text = on_text, .user = &to,
        .sampling = { a->temperature, a->top_k, a->top_p, a->min_p, a->repetition_penalty } };
    vlm_features *f = NULL;
    vlm_status status = VLM_OK;
    double t0 = vlm_now_ms(), t1, t2;
    vlm_hold();
    if (q->pictures && q->pictures->n) TRY_DONE(vlm_encode_keeping(s, (const vlm_image *const *)q->pictures->image, q->pictures->n, 0, &f));
    t1 = vlm_now_ms();
    TRY_DONE(vlm_say(s, q->system, f, q->text));
    t2 = vlm_now_ms();
    status = vlm_answer(s, &o, &q->answer);
    if (print && to.last && to.last != '\n') putchar('\n');
    if (!status && print) status = vlm_flush();
    q->reused_images = s->reused_images;
    q->reused_positions = s->reused_positions;
    q->encode_ms = t1 - t0;
    q->prefill_ms = t2 - t1;
    q->decode_ms = vlm_now_ms() - t2;
done:
    vlm_features_free(f);
    bool ended = vlm_stopped();
    vlm_status released = vlm_release();
    if (stopped) *stopped = ended;
    else if (!status) status = released;
    return status;
}
static double short_of(double v) { return round(v * 1e3) / 1e3; }      /* three decimals are more than a clock knows */
static double rate(const vlm_question *q) { return q->decode_ms > 0 ? (double)q->answer.n / q->decode_ms * 1e3 : 0; }
json_t *vlm_question_json(const vlm_model *m, const vlm_question *q) {
    static const vlm_pictures none;
    const vlm_answer_result *r = &q->answer;
    json_t *j = json_pack("{s:o,s:o,s:s,s:I,s:I,s:o,s:{s:f,s:f,s:f,s:f,s:f,s:f}}", "text", vlm_json_bytes(r->text, r->text_bytes), "ids",
                     vlm_json_ints(r->ids, (size_t)r->n), "finish_reason", r->finish_reason, "prompt_tokens", (json_int_t)r->prompt_tokens,
                     "completion_tokens", (json_int_t)r->n, "images", vlm_pictures_json(m, q->pictures ? q->pictures : &none), "timings",
                     "load_ms", short_of(q->load_ms), "preprocess_ms", short_of(q->preprocess_ms), "encode_ms", short_of(q->encode_ms),
                     "prefill_ms", short_of(q->prefill_ms), "decode_ms", short_of(q->decode_ms), "decode_tok_per_s", short_of(rate(q)));
    if (j && m->reuse)
        json_object_set_new(j, "cache", json_pack("{s:I,s:I}", "images", (json_int_t)q->reused_images, "positions",
                                                  (json_int_t)q->reused_positions));
    return j;
}
void vlm_question_timings(const vlm_model *m, const vlm_question *q) {
    const vlm_answer_result *r = &q->answer;
    char reused[120] = "";
    if (m->reuse)
        snprintf(reused, sizeof reused, "; from the cache: %lld images, %lld positions", (long long)q->reused_images,
                 (long long)q->reused_positions);
    vlm_note("vlm: %lld prompt tokens, %lld answered (%s); load %.0f ms, images %.0f ms, encode %.0f ms, prompt %.0f ms, "
             "answer %.0f ms (%.1f tokens/s)%s", (long long)r->prompt_tokens, (long long)r->n, r->finish_reason, q->load_ms,
             q->preprocess_ms, q->encode_ms, q->prefill_ms, q->decode_ms, rate(q), reused);
}
void vlm_question_free(vlm_question *q) {
    vlm_free(q->answer.text);
    vlm_free(q->answer.ids);
    q->answer = (vlm_answer_result){ 0 };
}

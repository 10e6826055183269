/* A question and its answer: what ask, its --batch and chat share. */
#ifndef VLM_ANSWER_H
#define VLM_ANSWER_H
#include "open.h"

typedef struct vlm_question {
    const char *system, *text;
    vlm_pictures *pictures;
    vlm_answer_result answer;          /* of vlm_answer_question */
    int64_t reused_images, reused_positions;           /* from the cache, since the session's last reset */
    double load_ms, preprocess_ms, encode_ms, prefill_ms, decode_ms;
} vlm_question;

/* One turn in the session: encodes the pictures, says the text, answers. `stream`: onto standard output, as it comes, and a newline.
   Ctrl-C ends it: VLM_ESTOPPED unless `stopped` is there to be told. */
vlm_status vlm_answer_question(const vlm_args *a, vlm_session *s, vlm_question *q, bool stream, bool *stopped);
json_t    *vlm_question_json(const vlm_model *m, const vlm_question *q);
void       vlm_question_timings(const vlm_model *m, const vlm_question *q);        /* one line on standard error */
void       vlm_question_free(vlm_question *q);

vlm_status vlm_ask_batch(vlm_args *a);         /* batch.c */
#endif

/* A model asked the questions of a data set: the last user turn of a sample with the earlier turns as its context, answered greedily and
   compared with what the sample says, and how likely the model finds the sample's own answer. */
#ifndef VLM_EVALUATE_H
#define VLM_EVALUATE_H
#include "data/sample.h"
#include "infer/session.h"
#include "train/metrics.h"

/* What can be measured of an answer; its name in vlm_measure_name. */
typedef enum vlm_measure {
    VLM_EXACT, VLM_ANLS, VLM_RELAXED, VLM_VQA, VLM_DIGITS,     /* metrics.h; references are the sample's own answer and its `answers` */
    VLM_CHOICE,                /* the answer names the right choice (vlm_choice_named) */
    VLM_CHOICE_LIKELIHOOD,     /* the right choice is the likeliest answer (vlm_choice_likeliest) */
    VLM_LOSS,                  /* -Σ ln p over the labelled tokens of the sample's own answer / their number */
    VLM_MEASURES
} vlm_measure;
const char *vlm_measure_name(vlm_measure m);   /* "exact", "anls", "relaxed", "vqa", "digits", "choice", "choice_likelihood", "loss" */

typedef struct vlm_evaluate_options {
    unsigned measures;                 /* bits 1 << vlm_measure */
    int64_t max_tokens;                /* of an answer; 0: 64 */
    const char *system;                /* of samples that have none of their own; NULL: none */
    int threads;                       /* 0: the cores this process may use */
    const char *kv;                    /* as in vlm_session_options */
    vlm_text_fn *on_text;              /* sees answers as they come; non-zero stops (VLM_ESTOPPED). NULL: none */
    void *user;
} vlm_evaluate_options;

typedef struct vlm_evaluated {         /* one sample */
    char *answer;                      /* NUL-terminated, may hold NULs; NULL: no measure needed one */
    size_t answer_bytes;
    const char *finish_reason;         /* "stop", "length" (max_tokens, or the context's end); NULL without an answer */
    int64_t prompt_tokens;             /* positions before the answer, image rows included */
    const char **reference;            /* the sample's strings: its own answer if it has one, then its `answers` */
    int64_t references;
    double sum[VLM_MEASURES], count[VLM_MEASURES];     /* a measure is sum / count; count 0: it was not asked for, or does not apply */
    bool no_right_choice;              /* there are choices, but no reference names one of them: choice measures do not apply */
    vlm_image_plan *plan;              /* of the sample's images, in order */
} vlm_evaluated;
void vlm_evaluated_free(vlm_evaluated *e);     /* zeroed is fine */

/* Holds a session and the features of the last sample's images, which the next sample may look at again. One thread at a time. */
typedef struct vlm_evaluator vlm_evaluator;
/* VLM_EARG: the folder has no language model or no tokenizer. m and the strings of the options must outlive it. */
vlm_status vlm_evaluator_open(const vlm_model *m, const vlm_evaluate_options *options, vlm_evaluator **out);
void       vlm_evaluator_close(vlm_evaluator *e);      /* NULL is fine */
/* The same for a sample whatever was asked before. *out is the caller's; the sample must outlive it. On failure *why (may be NULL) says
   that the sample is to blame (its message stands at the sample's `where`), or with VLM_BAD_NONE that no other sample will do better:
   stopped, no memory, the wrong model. VLM_BAD_NO_ASSISTANT: there is neither an answer nor `answers` to compare with. VLM_BAD_TOO_LONG:
   the context does not hold the prompt, or the sample's answer where likelihoods are asked for. Measures of choices apply to samples
   with choices. */
vlm_status vlm_evaluate(vlm_evaluator *e, const struct vlm_sample *s, vlm_evaluated *out, vlm_bad *why);
#endif

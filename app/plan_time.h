/* vlm plan --time: what the machine does at this moment, and how long that makes what is planned. */
#ifndef VLM_PLAN_TIME_H
#define VLM_PLAN_TIME_H
#include "open.h"
#include "infer/cost.h"

/* Measures, on as many threads as the command has, for a few tenths of a second. VLM_EUNSUPPORTED: the instruction set has no yardstick. */
vlm_status  vlm_plan_limits(const vlm_args *a, vlm_limits *m);
json_t     *vlm_limits_json(const vlm_limits *m, const vlm_args *a);
void        vlm_limits_print(const vlm_limits *m, const vlm_args *a);
const char *vlm_duration(double seconds, char out[32]);

/* Encoding, the prompt, a token of the answer: no time where the model has no such part. */
typedef struct vlm_stage {
    const char *name, *key, *why;      /* for people, in JSON, why attention makes it more than linear */
    double amount;                     /* images, tokens */
    vlm_seconds s;
} vlm_stage;
enum { VLM_STAGES = 3 };
/* `images` pictures that make so many tokens; encode: what they cost. */
void    vlm_stages(const vlm_args *a, const vlm_model *m, int64_t images, int64_t tokens, vlm_seconds encode, vlm_dtype kv_type, const vlm_limits *limits,
                   vlm_stage out[VLM_STAGES]);
json_t *vlm_stages_json(const vlm_args *a, const vlm_limits *limits, const vlm_stage *s);
void    vlm_stages_print(const vlm_args *a, const vlm_limits *limits, const vlm_stage *s);
#endif

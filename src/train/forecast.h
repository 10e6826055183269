/* How long a run will take: the plan's batches, at the prices of infer/cost.h. Without reading pictures (the loader does that ahead, on
   threads that compute at the same time), validation, checkpoints. */
#ifndef VLM_FORECAST_H
#define VLM_FORECAST_H
#include "infer/cost.h"
#include "train/plan.h"

typedef struct vlm_forecast {
    vlm_seconds batch;                 /* forward and back of a mean batch of the first epoch */
    double optimizer;                  /* of an update */
    double largest;                    /* an update whose batches are all as large as the largest */
    double update, epoch, run;         /* a mean update, the first epoch, all updates */
} vlm_forecast;
/* Of a plan that has batches (zeros otherwise). m: measured on as many threads as will train. */
vlm_forecast vlm_forecast_make(const vlm_plan *p, const vlm_train_options *o, const vlm_model *model, const vlm_limits *m);
#endif

/* What a training run has written down so far: RUN/metrics.jsonl as rows of numbers. */
#ifndef VLM_RUNLOG_H
#define VLM_RUNLOG_H
#include "base/status.h"
#include <stdbool.h>

enum { VLM_LR_VISION, VLM_LR_LANGUAGE, VLM_LR_PROJECTOR, VLM_LRS };
extern const char *const vlm_lr_names[VLM_LRS];
/* One update. NaN: the row has no such number, or null, or one that is not finite. A row's fields are doubles only, so that a column
   is a pointer and a stride. */
typedef struct vlm_logged_update {
    double step, loss, grad_norm, lr[VLM_LRS];
    double speed;              /* text and image tokens a second */
    double skipped;            /* 1: the update was not made */
} vlm_logged_update;
typedef struct vlm_logged_validation { double step, loss; } vlm_logged_validation;

/* Steps rise in both lists: of a step that was done again, after a resume, the last row counts. */
typedef struct vlm_runlog {
    char *path;                /* of metrics.jsonl */
    vlm_logged_update *update;
    vlm_logged_validation *validation;
    int64_t updates, validations, skipped;
    int64_t again;             /* rows that later ones have replaced */
    bool torn;                 /* the last line is not whole yet: the run is being written, or was killed. Left out */
} vlm_runlog;

/* VLM_EIO if `run` is no folder with a metrics.jsonl, VLM_EFORMAT with the line's number if a row is none, VLM_ELIMIT above 1 GiB. The
   words NaN and Infinity, which are no JSON but which Python writes, are read as null. Unknown keys are left alone. */
vlm_status vlm_runlog_read(const char *run, vlm_runlog *out);
void       vlm_runlog_free(vlm_runlog *r);             /* zeroed is fine */
#endif

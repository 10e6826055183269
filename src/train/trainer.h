/* Training: from a MODEL folder and data to RUN/step_N, a MODEL folder again. What a run computes depends on the model, the data, the seed
   and the options below alone: not on threads, on how far ahead the loader is, on recompute, or on how often it was stopped and resumed. */
#ifndef VLM_TRAINER_H
#define VLM_TRAINER_H
#include "train/corpus.h"

typedef struct vlm_train_options {     /* vlm_train_defaults fills it */
    const char *model, *run;           /* folders */
    const char *const *data, *const *val;      /* PATH or PATH@WEIGHT; held-out data, no weights */
    int datas, vals;
    double val_fraction;               /* 0: none; of the training data, where there is no val */
    vlm_dataset_options dataset;
    vlm_model_options open;            /* image rule, limits, context, template */
    int threads;
    uint64_t seed;
    int64_t steps;                     /* updates; 0: as many as `epochs` has */
    double epochs;
    int64_t batch_tokens, batch_patches, batch_samples;        /* 0: no such cap; all 0: VLM_BATCH_TOKENS */
    int64_t accumulate;                /* batches of an update */
    bool mean_per_microbatch;          /* each batch's mean counts alike, as in the Python; else each label does */
    double lr[VLM_GROUPS];             /* peak rates */
    bool constant;                     /* no cosine after the warm-up */
    double warmup;                     /* below 1 a share of the steps, else steps */
    double weight_decay, max_grad_norm, skip_above;    /* max_grad_norm 0: no clipping; skip_above 0: only what is not finite is skipped */
    bool decay_all;                    /* vectors and embeddings too */
    unsigned frozen;                   /* groups, 1 << vlm_group */
    bool recompute, no_shuffle, shrink_images, strict;
    int64_t eval_every, show, save_every, keep;        /* updates, answers, updates, checkpoints besides the best; 0: none, never, all */
    const char *resume;                /* "auto", a checkpoint folder, NULL: RUN must be new or empty */
    bool allow_change;
    const char *cache_features;        /* folder of a frozen encoder's features (cache.h); NULL: none */
    bool cache_bf16;                   /* rounded: half the disk, other bits */
    size_t memory_bytes;               /* that a run may take; 0: what this machine has */
    const char *dump_grads;            /* folder: gradients of the first update, then the end */
    const char *command;               /* the command line, for run.json; may be NULL */
} vlm_train_options;
enum { VLM_BATCH_TOKENS = 4096 };
vlm_train_options vlm_train_defaults(void);            /* of spec: rates 5.12e-3 for the projector, 5e-5 for the others, ... */

typedef struct vlm_update {            /* a row of metrics.jsonl */
    int64_t step, steps, epoch;
    double loss, grad_norm, lr[VLM_GROUPS];            /* lr of frozen groups: -1 */
    int64_t samples, tokens, labels, images, patches, cached;  /* cached: images whose features were there */
    double ms, wait_ms, flop, peak;    /* waited for data; of the update (vlm_pass_flop); of the machine a second, 0: unknown */
    bool skipped;
    const char *why;                   /* skipped: what was wrong, and the samples */
    int64_t quarantined;               /* so far */
} vlm_update;
typedef struct vlm_train_start {       /* before the first update */
    int64_t samples, held_out, quarantined, steps, from_step, parameters, trained;
    size_t weights_bytes, optimizer_bytes, activation_bytes, loader_bytes, available_bytes;    /* what `plan` says */
    size_t cache_bytes, cache_room;    /* with cache_features: of all images' features at most; free on that disk (SIZE_MAX: unknown) */
} vlm_train_start;

/* What the program is told; any may be NULL. Called from vlm_train's thread. */
typedef struct vlm_train_hooks {
    void *user;
    void (*start)(void *user, const vlm_train_start *s);
    void (*update)(void *user, const vlm_update *u);
    void (*validation)(void *user, int64_t step, double loss, int64_t labels, bool best);
    /* of a held-out sample's last turn; UTF-8, control characters and all */
    void (*show)(void *user, const char *where, const char *question, const char *reference, const char *answer);
    void (*quarantine)(void *user, const char *file, const char *row, const char *code, const char *reason);
    void (*saved)(void *user, const char *path);
    int (*stop)(void *user);           /* asked between updates: non-zero finishes, saves and ends with VLM_ESTOPPED */
} vlm_train_hooks;
/* VLM_EARG names the option; VLM_EIO, VLM_EFORMAT, VLM_ELIMIT (memory that is planned), VLM_ENOMEM; VLM_ESTOPPED: hooks.stop asked and a
   checkpoint has been written, or a progress function did (base/log.h) and RUN is as the last checkpoint left it. */
vlm_status vlm_train(const vlm_train_options *o, const vlm_train_hooks *hooks);
#endif

/* What the trainer's files share. Private to src/train. */
#ifndef VLM_TRAIN_IMPL_H
#define VLM_TRAIN_IMPL_H
#include "base/lines.h"
#include "base/lock.h"
#include "train/loader.h"
#include "train/optimizer.h"
#include "train/pass.h"
#include "train/trainer.h"

/* ---- The folder of a run (run.c) ---- */
typedef struct vlm_run_dir {
    char *path;
    vlm_lock lock;
    vlm_lines metrics, quarantine;
    json_t *bad;                       /* object: "file\nrow" of each sample that is in quarantine.jsonl */
    int64_t quarantined;
} vlm_run_dir;
/* Makes RUN, takes its lock, removes what a killed run left half-written. VLM_EIO: in use, or not empty and resume is not asked for. */
vlm_status vlm_run_open(const char *path, bool resume, vlm_run_dir *out);
/* Rows of updates after `step` go, here and in quarantine.jsonl; then both files are open. */
vlm_status vlm_run_logs(vlm_run_dir *r, int64_t step);
void       vlm_run_close(vlm_run_dir *r);              /* zeroed is fine */
vlm_status vlm_run_metrics(vlm_run_dir *r, const vlm_update *u);
vlm_status vlm_run_validation(vlm_run_dir *r, int64_t step, double loss, int64_t labels);
/* *fresh: it was not there yet. */
vlm_status vlm_run_quarantine(vlm_run_dir *r, int64_t step, const char *file, const char *row, const char *code, const char *reason,
                              bool *fresh);

/* ---- State ---- */
typedef struct vlm_progress_state {    /* what a checkpoint holds besides weights and moments */
    int64_t step;                      /* rows of metrics */
    int64_t updates[VLM_GROUPS];       /* of them those that changed this group's weights (AdamW's t) */
    int64_t epoch, index;              /* the next sample: an epoch's pick */
    int64_t steps;                     /* of the whole run */
    int64_t in_a_row;                  /* updates that were not finite, just before */
    double best;                       /* lowest validation loss, INFINITY: none yet */
    int64_t best_step;
} vlm_progress_state;

typedef struct vlm_trainer {
    const vlm_train_options *o;
    vlm_train_hooks hooks;
    vlm_run_dir run;
    vlm_model *m;
    vlm_ctx *ctx;
    unsigned trained;
    vlm_optimizer opt;
    vlm_pass *pass;
    vlm_pass_options pass_options;
    vlm_corpus corpus, held_out;       /* held_out: of --val; without it the corpus' own held-out samples */
    vlm_example_rule rule;
    vlm_cache *cache;                  /* of features; NULL: none */
    const vlm_corpus *vals_of;         /* whose samples val_picks are */
    vlm_loader *loader, *val_loader;
    vlm_picks order, val_picks;        /* of this epoch; of validation */
    bool started;                      /* the loader runs on `order` */
    vlm_batch batch;
    vlm_loaded pending;                /* the sample that the last batch had no room for */
    bool has_pending;
    vlm_loaded *held;                  /* the batch's examples: their pixels */
    int64_t nheld, held_room;
    json_t *settings;                  /* what the results depend on: compared on resume */
    vlm_progress_state at;
    double peak;                       /* FLOP a second of this machine; 0: unknown */
    char why[1024];                    /* an update was skipped */
} vlm_trainer;

/* Losses, and with train gradients, of one update's batches (trainer.c); *any: there was a batch. Which samples they were goes to seen. */
vlm_status vlm_trainer_gradients(vlm_trainer *t, vlm_update *u, vlm_picks *seen, bool *any);
/* hooks.show for the first o->show held-out samples, with the weights as they are (show.c). A failure is warned of: it ends no run. */
void       vlm_trainer_show(vlm_trainer *t);
/* The gradients of the next update, divided by its labels, before clipping: DIR/NAME.npy for each tensor of a checkpoint (dump.c). */
vlm_status vlm_dump_grads(vlm_trainer *t);

/* ---- Checkpoints (checkpoint.c) ---- */
/* RUN/step_N: a MODEL folder and train_state.safetensors, written beside, synced, read back, renamed; then `latest` points to it and old
   ones go, but for the best. */
vlm_status vlm_checkpoint_save(vlm_trainer *t);
/* *path: the newest whole checkpoint in RUN, to be freed; NULL: none. */
vlm_status vlm_checkpoint_newest(const char *run, char **path);
/* State, without weights: *settings is the caller's. VLM_EFORMAT names the file. */
vlm_status vlm_checkpoint_read(const char *path, vlm_progress_state *at, json_t **settings);
/* The moments into t->opt. The weights are opened as any MODEL folder is. */
vlm_status vlm_checkpoint_moments(vlm_trainer *t, const char *path);
#endif

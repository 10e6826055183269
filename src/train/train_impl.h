/* What the trainer's files share. Private to src/train. */
#ifndef VLM_TRAIN_IMPL_H
#define VLM_TRAIN_IMPL_H
#include "base/lines.h"
#include "base/lock.h"
#include "train/loader.h"
#include "train/optimizer.h"
#include "train/pass.h"
#include "train/plan.h"

/* ---- The folder of a run (run.c) ---- */
typedef struct vlm_run_dir {
    char *path;
    vlm_lock lock;
    vlm_lines metrics, quarantine;
    json_t *bad;                       /* object: "file\nrow" of each sample that is in quarantine.jsonl */
    int64_t quarantined;
} vlm_run_dir;
/* Makes RUN, takes its lock, removes what a killed run left half-written. VLM_EIO: in use, or not empty (but
   for what a start that came to no update leaves) and resume is not asked for. */
vlm_status vlm_run_open(const char *path, bool resume, vlm_run_dir *out);
/* Rows of updates after `step` go, here and in quarantine.jsonl (-1: all); then both files are open. VLM_EFORMAT: of those that are to stay
   one cannot be read, and would go with all that follow. */
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
    vlm_run_data data;
    vlm_cache *cache;                  /* of features; NULL: none */
    vlm_loader *loader, *val_loader;
    vlm_picks order;                   /* of this epoch */
    bool started;                      /* the loader runs on `order` */
    vlm_batch batch;
    vlm_loaded pending;                /* the sample that the last batch had no room for */
    bool has_pending;
    vlm_loaded *held;                  /* the batch's examples: their pixels */
    int64_t nheld, held_room;
    vlm_picks seen;                    /* samples of the update */
    int64_t seen_room;
    json_t *settings;                  /* what the results depend on: compared on resume */
    vlm_progress_state at;
    double peak;                       /* FLOP a second of this machine; 0: unknown */
    char why[1024];                    /* an update was skipped */
} vlm_trainer;

/* Losses and gradients of one update's batches (trainer.c); *any: there was a batch. Which samples they were goes to t->seen. */
vlm_status vlm_trainer_gradients(vlm_trainer *t, vlm_update *u, bool *any);
/* hooks.show for the first o->show held-out samples, with the weights as they are (show.c). A failure is warned of: it ends no run. */
void       vlm_trainer_show(vlm_trainer *t);
/* The gradients of the next update, divided by its labels, before clipping: DIR/NAME.npy for each tensor of a checkpoint (dump.c). */
vlm_status vlm_dump_grads(vlm_trainer *t);

/* ---- Checkpoints (checkpoint.c) ---- */
/* RUN/step_N: a MODEL folder, train_state.safetensors and checksums.json, written beside, synced, read back, renamed; then `latest` points
   to it. */
vlm_status vlm_checkpoint_save(vlm_trainer *t);
/* Checkpoints go but for the last o->keep up to `step` and the best. Called once an update from there on has shown that it is sound: until
   then the one before stays, too. */
vlm_status vlm_checkpoint_prune(const vlm_trainer *t, int64_t step);
/* The checkpoint to go on from, to be freed. o->resume a path: that one; VLM_EARG if RUN has checkpoints and it is not among them. "auto":
   the newest whole one in RUN, with a warning for each that is passed over; NULL if there is none at all, VLM_EFORMAT if none is whole. */
vlm_status vlm_checkpoint_find(const vlm_train_options *o, char **path);
/* Brings to its end what a kill left half-done behind the rename of `path`, whose state t->at is: `latest` points to it, old ones are
   gone; where updates are left one more than o->keep stays, for `path` may be what ruined a run. Newer ones, which are broken, stay until
   a checkpoint has been saved. */
vlm_status vlm_checkpoint_settle(const vlm_trainer *t, const char *path);
/* State, without weights: *settings is the caller's. VLM_EFORMAT names the file. */
vlm_status vlm_checkpoint_read(const char *path, vlm_progress_state *at, json_t **settings);
/* The moments into t->opt. With --allow-change a tensor that has none starts from zero, with a warning. The weights are opened as any MODEL
   folder is. */
vlm_status vlm_checkpoint_moments(vlm_trainer *t, const char *path);

#define VLM_STATE_FILE "train_state.safetensors"       /* of a checkpoint: moments, and progress as metadata */
/* DIR/checksums.json: a hash of every file in DIR and in its folders, as they can be read now (checksum.c). */
vlm_status vlm_checksums_write(const char *dir);
/* All files that it names, weights and state among them, are there and hold these bytes; VLM_EFORMAT or VLM_EIO names the first that does
   not. Others are not looked at. */
vlm_status vlm_checksums_check(const char *dir);
#endif

/* What a run will do and take, found before its first update: its data, its largest batch, its memory. Training itself refuses to start
   what does not fit; `vlm plan --data` says it beforehand, from the same figures. */
#ifndef VLM_PLAN_H
#define VLM_PLAN_H
#include "train/pass.h"
#include "train/trainer.h"

/* VLM_EARG names the option; `run` is not looked at. Where no cap is given, batch_tokens becomes VLM_BATCH_TOKENS. Before all below. */
vlm_status vlm_train_check(vlm_train_options *o);
/* Groups (1 << vlm_group) that learn: neither frozen nor with a rate of 0. */
unsigned   vlm_train_groups(const vlm_train_options *o);
/* Can this model be trained so? VLM_EARG says what is missing. */
vlm_status vlm_train_check_model(const vlm_train_options *o, const vlm_model *m);

/* ---- The data of a run ---- */
typedef struct vlm_run_data {
    vlm_corpus corpus, held_out;       /* held_out: of --val; without it the corpus' own held-out samples */
    vlm_example_rule rule;
    const vlm_corpus *vals_of;         /* whose samples val_picks are */
    vlm_picks val_picks;               /* of validation */
} vlm_run_data;
/* Opens the data sets and holds out; no sample is read. Options and model outlive it, *d must not be moved. */
vlm_status vlm_run_data_open(vlm_run_data *d, const vlm_train_options *o, const vlm_model *m);
/* vlm_corpus_scan of all of it; then val_picks. */
vlm_status vlm_run_data_scan(vlm_run_data *d, const vlm_train_options *o, int threads, bool decode, vlm_bad_fn *bad, void *user);
void       vlm_run_data_close(vlm_run_data *d);        /* zeroed is fine */

/* ---- Batches: whole samples until the next would break a cap ---- */
typedef struct vlm_load { int64_t samples, tokens, patches; } vlm_load;        /* of a batch so far */
/* Would x more break a cap? An empty batch takes whatever the scan has let through. */
bool vlm_batch_full(const vlm_train_options *o, vlm_load b, const vlm_extent *x);
/* Raises each cap to what this batch holds. */
void vlm_caps_raise(vlm_caps *c, const vlm_extent *batch, int64_t samples);

/* ---- The plan ---- */
enum { VLM_EPOCHS_LOOKED_AT = 32 };    /* with --steps; with --epochs all are */
typedef struct vlm_plan {
    vlm_pass_options pass;             /* caps: the largest batch of the run and of validation, in each measure */
    int64_t steps;                     /* updates of the whole run; 0: there would be none */
    int64_t good;                      /* samples that can be trained on */
    int64_t samples, batches, updates; /* of the first epoch */
    vlm_extent epoch, largest;         /* its sum; the batch with the most tokens */
    int64_t largest_samples;
    double gflop;                      /* of the first epoch, backward and recompute included */
    int64_t parameters, trained;       /* elements */
    size_t weights_bytes, optimizer_bytes;             /* optimiser: gradients and both moments */
    size_t activation_bytes;           /* the pass for these caps, and the threads' scratch */
    size_t loader_bytes;               /* pixels ahead and in the batch, pictures that are being decoded, what is known of each sample */
    size_t total_bytes, available_bytes;               /* SIZE_MAX: more than can be counted. Not counted: the program itself, libraries,
                                                          a checkpoint on its way (megabytes), and the session that answers for o->show,
                                                          which a validation opens and closes: vlm_session_bytes for the prompt and 64
                                                          tokens, vlm_encode_bytes for its images */
} vlm_plan;
/* Goes through the scanned data as training will. Fails for want of memory or if progress is stopped; the rest vlm_plan_check says. */
vlm_status vlm_plan_make(const vlm_train_options *o, const vlm_model *m, const vlm_run_data *d, int threads, vlm_plan *out);
/* Why training would be refused: no sample is left (VLM_EFORMAT), not one update (VLM_EARG), no memory (VLM_ELIMIT). */
vlm_status vlm_plan_check(const vlm_plan *p, const vlm_train_options *o);
#endif

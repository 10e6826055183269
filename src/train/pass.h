/* One batch through the whole model and back: encoder → shuffle → projector → into the text → decoder → loss on labelled rows, and the
   gradients of whatever is not frozen. Flat rows and offsets throughout: nothing is padded, no sample sees another.

       vlm_pass_open (measured for the caps) → vlm_batch_add … → vlm_pass_forward → vlm_pass_backward → vlm_batch_reset */
#ifndef VLM_PASS_H
#define VLM_PASS_H
#include "train/example.h"

/* ---- A batch: whole samples, one after another ---- */
typedef struct vlm_origin { const vlm_seen *image; const vlm_cached *cached; int64_t tile; } vlm_origin;      /* cached NULL: no cache */
typedef struct vlm_run { int64_t row, from, rows; } vlm_run;           /* rows of one array that are those from `from` on of another */
typedef struct vlm_batch {
    int64_t units, samples, T, labels, images, patches, image_tokens, rows, most, runs;
    int64_t cached;                    /* images that come as features */
    vlm_grid *grid;                    /* (units) */
    const float **pixels;              /* (units) the examples': they must live as long as the batch */
    const float **features;            /* (units) patch features from a cache, (h·w, D); NULL: the encoder makes them. The examples', too */
    vlm_origin *origin;                /* (units) which tile of which image of the examples */
    vlm_segment *segment;              /* (samples) rows of T */
    int64_t *ids;                      /* (T) */
    vlm_run *run;                      /* (runs) rows of T that take rows of the projected tokens */
    int64_t *label_row, *label;        /* (labels) ascending rows of T, and the id that each predicts */
    int64_t *label_end;                /* (samples) labels of samples 0..i: where sample i's end */
    vlm_flop flop;                     /* of a forward; what comes as features costs nothing */
    int64_t room[5];                   /* of units, samples, T, runs, labels */
} vlm_batch;
/* The most that a batch holds. */
typedef struct vlm_caps { int64_t units, rows, most, tokens, image_tokens, samples, labels; } vlm_caps;
vlm_status vlm_batch_reserve(vlm_batch *b, const vlm_caps *most);  /* memory for so much at once; VLM_ENOMEM */
vlm_status vlm_batch_add(vlm_batch *b, const vlm_model *m, const vlm_example *e);      /* VLM_ENOMEM: the batch is as before */
void       vlm_batch_reset(vlm_batch *b);              /* empty; keeps its memory */
void       vlm_batch_free(vlm_batch *b);               /* zeroed is fine */

/* ---- The pass ---- */
typedef struct vlm_pass_options {
    vlm_caps caps;
    unsigned trained;                  /* groups that are (1 << vlm_group); 0: losses only */
    bool recompute;
    bool features;                     /* images may come as features: the encoder, which is frozen, is left out where they do */
    bool bf16;                         /* with features: those that the encoder makes are rounded, as a cache would */
} vlm_pass_options;
typedef struct vlm_pass vlm_pass;
/* Bytes that a pass takes, of device and host memory; SIZE_MAX if they overflow. */
size_t     vlm_pass_bytes(const vlm_net *net, const vlm_pass_options *o);
/* grads: a vlm_net_zeros of the trained groups, NULL if there are none; it, net and ctx outlive the pass. VLM_ENOMEM; VLM_EARG: features
   with trained vision. */
vlm_status vlm_pass_open(const vlm_net *net, const vlm_net *grads, vlm_ctx *ctx, const vlm_pass_options *o, vlm_pass **out);
void       vlm_pass_close(vlm_pass *p);                /* NULL is fine */

/* Loss of each label: nll[i], i < b->labels, valid until the next call. The batch is within the caps (VLM_ELIMIT otherwise).
   train: the gradients by the hidden states are made in the same breath, times `scale`; the head's are added to the gradients. */
vlm_status vlm_pass_forward(vlm_pass *p, const vlm_batch *b, bool train, float scale, const float **nll);
/* Adds the gradients of Σ nll · scale. After vlm_pass_forward with train. */
void       vlm_pass_backward(vlm_pass *p, const vlm_batch *b);
/* Gradient by the embeddings (T, D) after vlm_pass_backward, where the ops run; for tests. Only where vision is not trained: the encoder's
   backward takes this memory. */
const act *vlm_pass_embedding_gradient(const vlm_pass *p);
/* Patch features that the encoder made in the last forward: unit i's (h·w, D) to out, host memory. Of a pass that was opened with
   `features`. */
void       vlm_pass_features(vlm_pass *p, const vlm_batch *b, int64_t unit, float *out);
/* Of a pass forward and back with these options: as many forwards as a part needs; none back where nothing comes back. Without recompute,
   it is what the batch's work is worth, whatever is done twice; with it, one forward more is counted, of which blocks leave some out. */
double     vlm_pass_flop(const vlm_flop *forward, unsigned trained, bool recompute);
#endif

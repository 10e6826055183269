/* The data of a run: one data set or several mixed by weight, what each sample takes, which are held out, and in which order an epoch goes
   through them. The order depends on the seed and the files alone. */
#ifndef VLM_CORPUS_H
#define VLM_CORPUS_H
#include "train/example.h"

typedef enum vlm_split { VLM_SPLIT_TRAIN, VLM_SPLIT_HELD_OUT, VLM_SPLIT_BAD } vlm_split;
typedef struct vlm_shape { int64_t h, w, tokens, n; } vlm_shape;       /* n images of this grid: of tokens, or of tiles */
typedef struct vlm_corpus_set {
    vlm_dataset *data;
    double weight;                     /* an epoch takes weight × count samples of it */
    int64_t count;
    vlm_extent *extent;                /* (count), after the scan */
    unsigned char *role;               /* (count) vlm_split */
    vlm_shape *shape;                  /* (shapes), after the scan: of all images of good samples, by h and w */
    int64_t shapes;
} vlm_corpus_set;
typedef struct vlm_corpus { vlm_corpus_set *set; int sets; uint64_t seed; bool shuffle; } vlm_corpus;
typedef struct vlm_pick { int set; int64_t sample; } vlm_pick;
typedef struct vlm_picks { vlm_pick *pick; int64_t n; } vlm_picks;    /* the caller frees pick */

/* specs: PATH or PATH@WEIGHT, WEIGHT above 0 (a path that exists is a path, whatever is in its name). Opens all. */
vlm_status vlm_corpus_open(const char *const *specs, int n, const vlm_dataset_options *o, uint64_t seed, bool shuffle, vlm_corpus *out);
void       vlm_corpus_close(vlm_corpus *c);            /* zeroed is fine */
int64_t    vlm_corpus_count(const vlm_corpus *c, vlm_split role);
/* Holds out this share of each set's samples, at least one: by the seed, or the last ones without shuffle. VLM_EARG: nothing is left. */
vlm_status vlm_corpus_hold_out(vlm_corpus *c, double share);

/* A sample that cannot be taken; message: "what; what to do". Returns non-VLM_OK to end the scan. */
typedef vlm_status vlm_bad_fn(void *user, const vlm_corpus *c, vlm_pick pick, vlm_bad why, const char *message);
/* Reads every sample, plans its images from their headers (decode: decodes them) and makes its ids; fills extents, marks bad ones and tells
   of each, in order. threads of its own. */
vlm_status vlm_corpus_scan(vlm_corpus *c, const vlm_example_rule *rule, int threads, bool decode, vlm_bad_fn *bad, void *user);

/* The samples of an epoch in their order, bad and held-out ones left out. Weights: epoch e takes the ⌊w·n·(e+1)⌋ - ⌊w·n·e⌋ next ones of
   an endless row of permutations of the set. */
vlm_status vlm_corpus_order(const vlm_corpus *c, int64_t epoch, vlm_picks *out);
/* All held-out samples (or, of a corpus for validation, all good ones) in the files' order. */
vlm_status vlm_corpus_all(const vlm_corpus *c, vlm_split role, vlm_picks *out);
#endif

/* A data set on disk: JSON Lines, a .tar in WebDataset layout, a folder of images with texts of the same name, or a folder of such .tars
   (docs/formats.md). Opening makes an index and parses no sample; samples are then read in any order. */
#ifndef VLM_DATASET_H
#define VLM_DATASET_H
#include "data/sample.h"

typedef struct vlm_dataset_options {
    const char *data_root;             /* folder of the images that JSON Lines name; NULL: that of the file */
    int64_t max_images;                /* of a sample */
    int64_t rating_min[4];             /* relevance, image correspondence, visual dependency, formatting (FineVision) */
    bool need_assistant;               /* for training: a sample without an answer is VLM_BAD_NO_ASSISTANT, for asking it is not */
} vlm_dataset_options;
#define VLM_DATASET_OPTIONS ((vlm_dataset_options){ .max_images = 8, .rating_min = { 1, 1, 1, 1 } })   /* what NULL means below */

enum { VLM_DATASET_SAMPLES = 1 << 26 };        /* and members, at most */

typedef struct vlm_dataset vlm_dataset;        /* immutable once open: any number of threads may read */
/* Fails if there is no sample at all (what was looked for is named), if the file is of another kind (what to do is said), or if a tar is
   damaged or cut short (where is said). Members and files that belong to no sample are warned of, with their number. Memory: 16 bytes a
   line; 64 and the name a member, at most. */
vlm_status  vlm_dataset_open(const char *path, const vlm_dataset_options *options, vlm_dataset **out);
void        vlm_dataset_close(vlm_dataset *d);         /* after its samples; NULL is fine */
int64_t     vlm_dataset_count(const vlm_dataset *d);   /* at least 1 */
const char *vlm_dataset_path(const vlm_dataset *d);    /* as given */
/* Sample i's place without reading it: *file is the data set's path, row has room for VLM_ROW_BYTES. */
void        vlm_dataset_name(const vlm_dataset *d, int64_t i, const char **file, char *row);

/* Sample i in 0 .. count - 1: lines in the file's order; members by the first of each key; files by name. A bad sample fails with *why
   (may be NULL) and its message at file:row; the others stand. *out is the caller's: vlm_sample_free, before the data set is closed. */
vlm_status  vlm_dataset_read(const vlm_dataset *d, int64_t i, struct vlm_sample *out, vlm_bad *why);

/* Tells one content from another: the text of every sample, names and sizes of its images, in order; neither times nor where it lies. Reads
   all texts and asks for each file's size (some 100,000 samples a second). Fails only as VLM_BAD_NONE does, or if progress is stopped. */
vlm_status  vlm_dataset_hash(const vlm_dataset *d, uint64_t *out);
#endif

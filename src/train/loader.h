/* Samples made ready on threads of their own: read, decoded, resized, tokenised, some way ahead of who takes them. They come in the order
   that was asked for, whatever the threads do; how far ahead is bounded in samples and in bytes. */
#ifndef VLM_LOADER_H
#define VLM_LOADER_H
#include "train/corpus.h"

typedef struct vlm_loaded {
    vlm_pick pick;
    vlm_example example;
    vlm_status status;                 /* VLM_OK; else why and message: the sample is bad */
    vlm_bad why;
    char *where, *message;             /* "what; what to do" */
} vlm_loaded;
void vlm_loaded_free(vlm_loaded *l);                   /* zeroed is fine */

enum { VLM_LOADER_SAMPLES = 256, VLM_LOADER_BYTES = 256 << 20 };       /* ahead, at most: samples; pixels (one sample may have more) */

typedef struct vlm_loader vlm_loader;
/* corpus and rule outlive it. pixels: decode; else headers only. VLM_ENOMEM. */
vlm_status vlm_loader_open(const vlm_corpus *corpus, const vlm_example_rule *rule, int threads, bool pixels, vlm_loader **out);
void       vlm_loader_close(vlm_loader *l);            /* NULL is fine */
/* From pick `from` of n on; picks live until the next start or close. What was ahead of an earlier start is dropped. */
void       vlm_loader_start(vlm_loader *l, const vlm_pick *picks, int64_t n, int64_t from);
/* The next one, waiting for it; *out is the caller's. VLM_EARG: there is none left. Fails too where the machine, not a sample, is at
   fault. */
vlm_status vlm_loader_next(vlm_loader *l, vlm_loaded *out);
#endif

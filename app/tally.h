/* What an evaluation comes to: scores of samples, their means with intervals, for all samples and for the groups that their ids name. */
#ifndef VLM_TALLY_H
#define VLM_TALLY_H
#include "term.h"
#include "train/evaluate.h"

typedef struct vlm_tally_row {
    bool there;
    char *group;                       /* the id up to its last '/', NULL: none */
    double sum[VLM_MEASURES], count[VLM_MEASURES];
} vlm_tally_row;
typedef struct vlm_tally {
    unsigned measures, named;          /* asked for; of them by name: shown even where they apply to no sample */
    uint64_t seed;                     /* of the intervals */
    vlm_tally_row *row;                /* (n), in the data's order: it decides the intervals */
    int64_t n;
    json_t *bad;                       /* [{"file","row","code","reason"}] */
} vlm_tally;

/* --metrics: "exact,loss" as bits; choice is both ways of choosing. A usage error names the nearest, or all. */
vlm_status vlm_tally_measures(const char *text, unsigned *out);
enum { VLM_TALLY_MEASURES = ((1 << VLM_MEASURES) - 1) & ~(1 << VLM_DIGITS) };  /* without --metrics */

vlm_status vlm_tally_open(int64_t n, unsigned measures, unsigned named, uint64_t seed, vlm_tally *out);
void       vlm_tally_free(vlm_tally *t);       /* zeroed is fine */
/* Sample i's scores. id "read/6/123": group "read/6"; no string or no '/': none. */
vlm_status vlm_tally_add(vlm_tally *t, int64_t i, const double *sum, const double *count, const json_t *id);
/* {"samples","loss","perplexity","metrics":{name:{"mean","low","high","samples"}},"groups":{..},"bad":[..]}; the caller's. Groups are
   the beginnings of ids that a '/' follows: "read" and "read/6". More than VLM_TALLY_GROUPS of them are left out, with a note. */
enum { VLM_TALLY_GROUPS = 256 };
vlm_status vlm_tally_json(const vlm_tally *t, json_t **out);
void       vlm_tally_print(const json_t *result, const char *data, FILE *f);   /* vlm_tally_json's, as tables */
#endif

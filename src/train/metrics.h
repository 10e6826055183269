/* How right an answer is: scores in [0,1] of texts against references, and how sure a mean of them is. Pure functions on UTF-8 strings (a
   byte that is not UTF-8 counts as one character of its own); docs/evaluation.md says where each definition comes from.

   Plain form of a text: Unicode lower case, outer white space gone, inner runs of white space one space. */
#ifndef VLM_METRICS_H
#define VLM_METRICS_H
#include "base/status.h"

enum { VLM_ANLS_LIMIT = 1 << 15 };     /* characters of a text that anls compares: the work grows with their product */

/* Scores `answer` (bytes long; may hold NULs) against n >= 1 references; the best reference counts, but for vqa. *score is what is right of
   *count: 1 of one answer, but for digits. Any thread; VLM_ENOMEM, VLM_ELIMIT (anls); n < 1: VLM_EARG. */
typedef vlm_status vlm_metric_fn(const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score, double *count);

/* 1 if the plain forms are equal, else 0. */
vlm_metric_fn vlm_metric_exact;
/* Average normalised Levenshtein similarity (Biten et al. 2019, ST-VQA; DocVQA): NL = edit distance of the plain forms over the characters
   of the longer text as it was given; s = 1 - NL, and 0 where s < 0.5 (the threshold as the challenges' own script has it: 0.5 is kept). */
vlm_metric_fn vlm_metric_anls;
/* Relaxed accuracy (Methani et al. 2020; Masry et al. 2022, ChartQA): both are numbers and the reference is not 0: 1 if they differ by at
   most 5 % of the reference; else as exact. A number: sign, digits with an optional point, optional exponent; "12%" is 0.12. */
vlm_metric_fn vlm_metric_relaxed;
/* VQA accuracy (Antol et al. 2015, Goyal et al. 2017): the mean over references of min(1, others that say the same / 3). Before they are
   compared answer and references go through vlm_vqa_normalise, unless all references are spelled alike (so the official script).
   The official data has ten references; with a single one, where leaving it out leaves none, it is 1 if the two are equal normalised. */
vlm_metric_fn vlm_metric_vqa;
/* Characters of the plain reference that the plain answer has at the same position, of all of them (*count, at least 1; an empty reference
   is one character, right if the answer is empty). What the answer has beyond the reference is not counted: exact is for that. */
vlm_metric_fn vlm_metric_digits;

/* The official preparation for vqa: lower case; periods go, unless a digit follows; articles go; number words none, zero to ten become
   digits; contractions without their apostrophe get it; other punctuation, but for apostrophe and colon, becomes a space, or goes where the
   text has it beside a space or has a comma between digits. *out is the caller's (free). */
vlm_status vlm_vqa_normalise(const char *text, size_t bytes, char **out);

/* Which of n choices (the first 26 have letters) a text names, -1: none. In this order: it is a choice's text (plain forms, one period
   behind it allowed); it begins with a letter: "B", "b)", "(B)", "B.", "B:", or the letter, a space and that choice's text; either after
   its last "answer is" or "answer:". Nothing is guessed. */
vlm_status vlm_choice_named(const char *text, size_t bytes, const char *const *choice, int64_t n, int64_t *index);
/* Multiple choice by likelihood: the choice that as an answer has the highest mean log-likelihood a labelled token, which is the lowest
   loss; the first of equals. nll[i] over labels[i] >= 1 tokens. */
int64_t    vlm_choice_likeliest(const double *nll, const int64_t *labels, int64_t n);

/* sum / count of n items' sums, and the 95 % interval: percentiles 2.5 and 97.5 (linear between neighbours) over VLM_RESAMPLES bootstrap
   samples of the items (Efron & Tibshirani 1993, 13.3), drawn from the seed: same items in the same order, same interval. A resample in
   which nothing counts is drawn again. count NULL: 1 each. VLM_EARG: n < 1, or counts that are negative or sum to 0. */
enum { VLM_RESAMPLES = 2000 };
typedef struct vlm_interval { double mean, low, high; } vlm_interval;
vlm_status vlm_bootstrap(const double *sum, const double *count, int64_t n, uint64_t seed, vlm_interval *out);
#endif

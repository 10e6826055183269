/* vlm bench: speed beside the machine's own limits. A row is one piece of work, repeated. The kinds of rows are in bench_*.c. */
#ifndef VLM_BENCH_H
#define VLM_BENCH_H
#include "open.h"
#include "ops/limits.h"

typedef enum vlm_bound { VLM_BOUND_NONE, VLM_BOUND_FMA, VLM_BOUND_DOT, VLM_BOUND_READ } vlm_bound;

/* Filled by who measures: */
typedef struct vlm_row {
    char name[96];                     /* words; the first is the kind: "encode dinov3-s f32 512x512" */
    double flop;                       /* operations of one repetition, 0: not counted */
    double bytes;                      /* that it must move at least: weights, inputs and outputs once each; 0: not counted */
    double amount;                     /* of `unit`s: what a rate counts, 0: none */
    const char *unit;                  /* "tokens", "Mpixel"; static */
    vlm_bound bound;                   /* which limit its share is of */
    double limit;                      /* that limit, where it is not the machine's general one (a read of so many bytes); 0: it is */
    /* by vlm_bench_time and vlm_bench_row: */
    double seconds[5];                 /* least, first quartile, median, third quartile, largest */
    int repetitions;
    double share;                      /* 0: no limit is known */
    size_t peak_bytes;                 /* resident at most while it ran; of the process so far where the system cannot forget that */
    size_t planned_bytes, before_bytes;        /* what it was expected to take; what the process held before. planned 0: nobody said */
    double planned_seconds;            /* 0: nobody said */
    char why[96];                      /* why the plan says so; "": no words */
    char skipped[200];                 /* why it was not measured; "" */
} vlm_row;

typedef struct vlm_bench {
    const vlm_args *a;
    unsigned cpu;
    int threads;
    int repeat;                        /* repetitions of a row; fewer where it is long */
    bool quick;                        /* the smallest case of each kind: does it run? */
    vlm_ctx *ctx;
    vlm_ops ops;
    vlm_limits limits;
    vlm_row *row;
    int rows;
    int seen;                          /* rows that there are, measured or not */
    bool counting;                     /* they are only counted */
    char *folder;                      /* for models and data that are drawn: made when it is asked for, removed at the end */
    json_t *summary;                   /* [{...}] of several rows together */
    json_t *names;                     /* with --list and --json: the rows' names */
} vlm_bench;

/* Is the row wanted (--only: all its words are words of the name)? Counts it; with --list prints it and says no. */
bool vlm_bench_wants(vlm_bench *b, const char *name);
/* Repeats `once`: a first time that does not count, then as often as --repeat says, but not over some seconds; short work several times for
   each sample. Fills the row. Fails as `once` does. */
vlm_status vlm_bench_time(vlm_bench *b, vlm_row *r, vlm_status (*once)(void *arg), void *arg);
/* The row is done: share, a line of the table. Keeps a copy. */
vlm_status vlm_bench_row(vlm_bench *b, vlm_row *r);
/* The row cannot be measured: that is said in its place. */
vlm_status vlm_bench_skip(vlm_bench *b, vlm_row *r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Median and least share of the rows from `first` on whose names have all these words; several words parted by blanks. */
vlm_status vlm_bench_summary(vlm_bench *b, int first, const char *words);
/* The five numbers of n samples, which are sorted. */
void vlm_bench_five(double *t, int n, double five[5]);
/* DIR/name in the temporary folder, which is made; the caller frees. */
vlm_status vlm_bench_path(vlm_bench *b, const char *name, char **out);
size_t vlm_bench_free_bytes(void);     /* memory that is free or can be freed; SIZE_MAX: unknown */
size_t vlm_bench_forget_peak(void);    /* from now on peak counts anew, where the system can; returns what is held */
size_t vlm_bench_peak(void);

/* The parts: all rows of their kinds. */
vlm_status vlm_bench_gemm(vlm_bench *b);
vlm_status vlm_bench_attention(vlm_bench *b);
vlm_status vlm_bench_encode(vlm_bench *b);
vlm_status vlm_bench_prefill(vlm_bench *b);
vlm_status vlm_bench_decode(vlm_bench *b);
vlm_status vlm_bench_load(vlm_bench *b);
vlm_status vlm_bench_train(vlm_bench *b);
vlm_status vlm_bench_image(vlm_bench *b);
vlm_status vlm_bench_growth(vlm_bench *b);

/* The rows that have operations and bytes, as points under the machine's roofs: an SVG at path. */
vlm_status vlm_roofline_draw(const vlm_bench *b, const char *machine, const char *path);
#endif

/* vlm plan --data: what training on data sets will take and do, and which samples it would quarantine. */
#include "plan_time.h"
#include "base/ctx.h"
#include "train/forecast.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BAR = 48, BAD_SHOWN = 20, BINS = 96 };

typedef long long ll;
static const char *plural(int64_t n) { return n == 1 ? "" : "s"; }

/* ---- Samples that would be quarantined ---- */

static vlm_status on_bad(void *user, const vlm_corpus *c, vlm_pick pick, vlm_bad why, const char *message) {
    char row[VLM_ROW_BYTES];
    const char *file;
    vlm_dataset_name(c->set[pick.set].data, pick.sample, &file, row);
    json_t *j = json_pack("{s:o,s:o,s:s,s:o}", "file", vlm_json_text(file), "row", vlm_json_text(row), "code", vlm_bad_name(why), "reason",
                          vlm_json_text(message));
    return j && !json_array_append_new(user, j) ? VLM_OK : vlm_fail_memory("the plan", 64);
}
static const char *text(const json_t *j, const char *key) { return json_string_value(json_object_get(j, key)); }
static void print_bad(const json_t *bad, bool all) {
    vlm_table t = { 0 };
    size_t k, shown = 0, n = json_array_size(bad);
    json_t *j;
    if (!n) return;
    vlm_table_row(&t, "bad sample\tcode\treason");
    json_array_foreach(bad, k, j) {
        if (!all && k == BAD_SHOWN) break;
        vlm_table_row(&t, "%s:%s\t%s\t%s", text(j, "file"), text(j, "row"), text(j, "code"), text(j, "reason"));
        shown++;
    }
    putchar('\n');
    vlm_table_print(&t, stdout);
    if (shown < n) printf("and %zu more; --verbose lists them all\n", n - shown);
}

/* ---- One data set ---- */

typedef struct set_sum { int64_t count[VLM_SPLIT_BAD + 1], largest; vlm_extent sum; } set_sum;
static set_sum sum_of(const vlm_corpus_set *s) {
    set_sum out = { .largest = -1 };
    for (int64_t i = 0; i < s->count; i++) {
        out.count[s->role[i]]++;
        if (s->role[i] == VLM_SPLIT_BAD) continue;
        vlm_extent_add(&out.sum, &s->extent[i]);
        if (out.largest < 0 || s->extent[i].tokens > s->extent[out.largest].tokens) out.largest = i;
    }
    return out;
}
static void row_of(const vlm_corpus_set *s, int64_t i, char row[VLM_ROW_BYTES]) {
    const char *file;
    vlm_dataset_name(s->data, i, &file, row);
}
static json_t *extent_json(const vlm_extent *x) {
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "images", (json_int_t)x->images, "tokens", (json_int_t)x->tokens, "text_tokens",
                     (json_int_t)(x->tokens - x->image_tokens), "image_tokens", (json_int_t)x->image_tokens, "labels",
                     (json_int_t)x->labels, "patches", (json_int_t)x->patches);
}
static json_t *sets_json(const vlm_corpus *c) {
    json_t *list = json_array();
    for (int i = 0; i < c->sets; i++) {
        const vlm_corpus_set *s = &c->set[i];
        set_sum of = sum_of(s);
        char row[VLM_ROW_BYTES];
        json_t *j = json_pack("{s:o,s:f,s:I,s:I,s:I}", "path", vlm_json_text(vlm_dataset_path(s->data)), "weight", s->weight, "samples",
                              (json_int_t)of.count[VLM_SPLIT_TRAIN], "held_out", (json_int_t)of.count[VLM_SPLIT_HELD_OUT], "quarantined",
                              (json_int_t)of.count[VLM_SPLIT_BAD]), *rest = extent_json(&of.sum);
        json_object_update(j, rest);
        json_decref(rest);
        if (of.largest >= 0) {
            row_of(s, of.largest, row);
            json_object_set_new(rest = extent_json(&s->extent[of.largest]), "row", vlm_json_text(row));
            json_object_set_new(j, "largest", rest);
        }
        json_array_append_new(list, j);
    }
    return list;
}
static void set_rows(vlm_table *t, const vlm_corpus *c, bool val) {
    for (int i = 0; i < c->sets; i++) {
        const vlm_corpus_set *s = &c->set[i];
        set_sum of = sum_of(s);
        char row[VLM_ROW_BYTES] = "", weight[32], most[VLM_ROW_BYTES + 64] = "none";
        snprintf(weight, sizeof weight, "%g", s->weight);
        if (of.largest >= 0) {
            row_of(s, of.largest, row);
            snprintf(most, sizeof most, "%lld tokens: %s", (ll)s->extent[of.largest].tokens, row);
        }
        vlm_table_row(t, "%s\t%s\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\t%s", vlm_dataset_path(s->data), val ? "val" : weight,
                      (ll)of.count[VLM_SPLIT_TRAIN], (ll)of.count[VLM_SPLIT_HELD_OUT], (ll)of.count[VLM_SPLIT_BAD], (ll)of.sum.images,
                      (ll)(of.sum.tokens - of.sum.image_tokens), (ll)of.sum.image_tokens, (ll)of.sum.labels, most);
    }
}

/* ---- Histograms: bins of half an octave, and of shapes ---- */

typedef struct histogram { int64_t n[BINS], all; } histogram;
/* The first number of bin b: 0 1 2 3 4 6 8 12 16 24 ... */
static int64_t bin_from(int b) { return b < 2 ? b : b % 2 ? 3LL << (b - 3) / 2 : 1LL << b / 2; }
static int bin_of(int64_t v) {
    int b = 0;
    while (b + 1 < BINS && bin_from(b + 1) <= v) b++;
    return b;
}
static void count(histogram *h, int bin, int64_t n) { h->n[bin] += n, h->all += n; }

static const struct { double below; const char *name; } shapes[] = {   /* width : height */
    { 1 / 4., "under 1:4" }, { 1 / 2., "1:4 to 1:2" }, { 3 / 4., "1:2 to 3:4" }, { 4 / 3., "3:4 to 4:3" }, { 2, "4:3 to 2:1" },
    { 4, "2:1 to 4:1" }, { INFINITY, "4:1 and over" } };
enum { SHAPES = sizeof shapes / sizeof *shapes };
static int shape_of(const vlm_shape *s) {
    int b = 0;
    while (b + 1 < SHAPES && (double)s->w / (double)s->h >= shapes[b].below) b++;
    return b;
}

typedef struct histograms { histogram tokens, image, shape; } histograms;
static histograms histograms_of(const vlm_corpus *const *c, int n) {
    histograms h = { 0 };
    for (int k = 0; k < n; k++)
        for (int i = 0; i < c[k]->sets; i++) {
            const vlm_corpus_set *s = &c[k]->set[i];
            for (int64_t j = 0; j < s->count; j++)
                if (s->role[j] != VLM_SPLIT_BAD) count(&h.tokens, bin_of(s->extent[j].tokens), 1);
            for (int64_t j = 0; j < s->shapes; j++) {
                count(&h.image, bin_of(s->shape[j].tokens), s->shape[j].n);
                count(&h.shape, shape_of(&s->shape[j]), s->shape[j].n);
            }
        }
    return h;
}
static void bin_name(int b, char out[64]) {
    int64_t from = bin_from(b), to = bin_from(b + 1) - 1;
    if (to > from) snprintf(out, 64, "%lld to %lld", (ll)from, (ll)to);
    else snprintf(out, 64, "%lld", (ll)from);
}
/* From the first bin that has something to the last. */
static void print_histogram(const histogram *h, const char *head, const char *unit, bool ratio) {
    vlm_table t = { 0 };
    int lo = 0, hi = BINS - 1;
    int64_t most = 1;
    if (!h->all) return;
    while (!h->n[lo]) lo++;
    while (!h->n[hi]) hi--;
    for (int b = lo; b <= hi; b++) if (most < h->n[b]) most = h->n[b];
    vlm_table_row(&t, "%s%s\t>%s\t>share", ratio ? "" : ">", head, unit);
    for (int b = lo; b <= hi; b++) {
        char name[64], bar[BAR + 1];
        int cells = (int)((double)h->n[b] / (double)most * BAR + 0.5);
        if (h->n[b] && !cells) cells = 1;
        memset(bar, '#', (size_t)cells);
        bar[cells] = 0;
        bin_name(b, name);
        vlm_table_row(&t, "%s\t%lld\t%.1f %%%s%s", ratio ? shapes[b].name : name, (ll)h->n[b],
                      100 * (double)h->n[b] / (double)h->all, cells ? "\t" : "", bar);
    }
    putchar('\n');
    vlm_table_print(&t, stdout);
}
static json_t *histogram_json(const histogram *h) {
    json_t *list = json_array();
    for (int b = 0; b < BINS - 1; b++)
        if (h->n[b])
            json_array_append_new(list, json_pack("{s:I,s:I,s:I}", "from", (json_int_t)bin_from(b), "to", (json_int_t)(bin_from(b + 1) - 1),
                                                  "count", (json_int_t)h->n[b]));
    return list;
}
/* All grids of all sets, together. */
static json_t *grids_json(const vlm_corpus *const *c, int n) {
    json_t *known = json_object(), *list = json_array();
    for (int k = 0; k < n; k++)
        for (int i = 0; i < c[k]->sets; i++)
            for (int64_t j = 0; j < c[k]->set[i].shapes; j++) {
                const vlm_shape *s = &c[k]->set[i].shape[j];
                char key[64];
                snprintf(key, sizeof key, "%lldx%lld", (ll)s->h, (ll)s->w);
                json_t *g = json_object_get(known, key);
                if (!g) {
                    g = json_pack("{s:[I,I],s:I,s:I}", "grid", (json_int_t)s->h, (json_int_t)s->w, "tokens", (json_int_t)s->tokens,
                                  "images", (json_int_t)0);
                    json_object_set_new(known, key, g);
                    json_array_append(list, g);
                }
                json_object_set_new(g, "images", json_integer(json_integer_value(json_object_get(g, "images")) + s->n));
            }
    json_decref(known);
    return list;
}

/* ---- The whole ---- */

static json_int_t bytes(size_t n) { return n > INT64_MAX ? INT64_MAX : (json_int_t)n; }        /* SIZE_MAX: too many to count */

static json_t *plan_json(const vlm_train_options *o, const vlm_model *m, const vlm_run_data *d, const vlm_plan *p, json_t *bad,
                         json_t *time) {
    const vlm_corpus *const both[] = { &d->corpus, &d->held_out };
    histograms h = histograms_of(both, 2);
    json_t *largest = extent_json(&p->largest), *epoch = extent_json(&p->epoch), *broken = json_array();
    json_object_set_new(largest, "samples", json_integer(p->largest_samples));
    json_object_set_new(largest, "rows", json_integer(p->largest.rows));
    json_object_update_new(epoch, json_pack("{s:I,s:I,s:I,s:f}", "samples", (json_int_t)p->samples, "batches", (json_int_t)p->batches,
                                            "updates", (json_int_t)p->updates, "gflop", p->gflop));
    if (!p->good) json_array_append_new(broken, json_string("samples"));
    else if (!p->steps) json_array_append_new(broken, json_string("updates"));
    if (p->total_bytes > p->available_bytes) json_array_append_new(broken, json_string("memory"));
    json_t *j = json_pack("{s:o,s:o,s:{s:o,s:o,s:o},s:o,s:I,s:o,s:o,s:I,s:{s:I,s:I}}", "data", sets_json(&d->corpus), "val",
                          sets_json(&d->held_out), "histogram", "sample_tokens", histogram_json(&h.tokens), "image_tokens",
                          histogram_json(&h.image), "grids", grids_json(both, 2), "quarantined", json_incref(bad), "held_out",
                          (json_int_t)d->val_picks.n, "epoch", epoch, "largest_batch", largest, "updates", (json_int_t)p->steps,
                          "parameters", "all", (json_int_t)p->parameters, "trained", (json_int_t)p->trained);
    json_object_set_new(j, "caps", json_pack("{s:I,s:I,s:I}", "batch_tokens", (json_int_t)o->batch_tokens, "batch_patches",
                                             (json_int_t)o->batch_patches, "batch_samples", (json_int_t)o->batch_samples));
    json_object_set_new(j, "memory", json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "weights_bytes", bytes(p->weights_bytes), "optimizer_bytes",
                                               bytes(p->optimizer_bytes), "activation_bytes", bytes(p->activation_bytes), "loader_bytes",
                                               bytes(p->loader_bytes), "total_bytes", bytes(p->total_bytes), "available_bytes",
                                               bytes(p->available_bytes)));
    json_object_set_new(j, "context", json_integer(m->context));
    if (m->rule.fast_decode) json_object_set_new(j, "fast_decode", json_true());
    json_object_set_new(j, "broken_limits", broken);
    if (time) json_object_set_new(j, "time", time);
    return j;
}

/* ---- Time ---- */

static json_t *time_json(const vlm_args *a, const vlm_limits *m, const vlm_forecast *f) {
    json_t *j = vlm_limits_json(m, a);
    json_object_set_new(j, "batch", vlm_seconds_json(f->batch));
    json_object_update_new(j, json_pack("{s:f,s:f,s:f,s:f,s:f}", "optimizer_ms", f->optimizer * 1e3, "update_ms", f->update * 1e3,
                                        "largest_update_ms", f->largest * 1e3, "epoch_ms", f->epoch * 1e3, "run_ms", f->run * 1e3));
    return j;
}
static void print_time(const vlm_args *a, const vlm_limits *m, const vlm_forecast *f, const vlm_train_options *o) {
    char update[32], optimizer[32], largest[32], epoch[32], run[32];
    double all = vlm_seconds_sum(f->batch);
    if (!(all > 0)) return;
    vlm_limits_print(m, a);
    printf("time     %s an update (optimiser %s, attention %.0f %% of the rest: it grows with the square of images and texts%s), ",
           vlm_duration(f->update, update), vlm_duration(f->optimizer, optimizer), 100 * f->batch.attention / all,
           o->recompute ? "; blocks run again" : "");
    printf("%s the largest\n", vlm_duration(f->largest, largest));
    printf("         %s an epoch, %s in all; pictures that are slower to read than to learn, validation and checkpoints not counted\n",
           vlm_duration(f->epoch, epoch), vlm_duration(f->run, run));
}

/* ---- The whole, printed ---- */

static void add_cap(char caps[160], int64_t n, const char *unit) {
    if (n) snprintf(caps + strlen(caps), 160 - strlen(caps), "%s%lld %s", *caps ? ", " : "at most ", (ll)n, unit);
}
static void print_plan(const vlm_train_options *o, const vlm_model *m, const vlm_run_data *d, const vlm_plan *p) {
    const vlm_corpus *const both[] = { &d->corpus, &d->held_out };
    histograms h = histograms_of(both, 2);
    char caps[160] = "", w[32], opt[32], act[32], load[32], all[32], have[32];
    vlm_table t = { 0 };
    const vlm_extent *e = &p->epoch, *b = &p->largest;
    int64_t most = 0;
    vlm_table_row(&t, "data\t>weight\t>samples\t>held out\t>bad\t>images\t>text tokens\t>image tokens\t>labels\tlargest sample");
    set_rows(&t, &d->corpus, false);
    set_rows(&t, &d->held_out, true);
    vlm_table_print(&t, stdout);
    print_histogram(&h.tokens, "tokens a sample", "samples", false);
    print_histogram(&h.image, "tokens an image", "images", false);
    print_histogram(&h.shape, "width:height", "images", true);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < both[k]->sets; i++)
            for (int64_t j = 0; j < both[k]->set[i].count; j++)
                if (most < both[k]->set[i].extent[j].tokens) most = both[k]->set[i].extent[j].tokens;
    add_cap(caps, o->batch_tokens, "tokens"), add_cap(caps, o->batch_patches, "patches"), add_cap(caps, o->batch_samples, "samples");
    printf("\nepoch    %lld sample%s, %lld text + %lld image tokens, %lld labels, %lld image%s, %lld patches, %.4g GFLOP\n",
           (ll)p->samples, plural(p->samples), (ll)(e->tokens - e->image_tokens), (ll)e->image_tokens, (ll)e->labels, (ll)e->images,
           plural(e->images), (ll)e->patches, p->gflop);
    printf("batches  %lld of %s; the largest: %lld sample%s, %lld tokens, %lld labels, %lld patches\n", (ll)p->batches, caps,
           (ll)p->largest_samples, plural(p->largest_samples), (ll)b->tokens, (ll)b->labels, (ll)b->patches);
    printf("updates  %lld an epoch, %lld in all\n", (ll)p->updates, (ll)p->steps);
    printf("context  %lld of %lld positions in the largest sample\n", (ll)most, (ll)m->context);
    if (m->rule.fast_decode)
        printf("images   JPEGs that shrink to half or less are decoded at a lower resolution: other bits (--fast-decode)\n");
    printf("model    %.4g M parameters, %.4g M trained%s\n", (double)p->parameters / 1e6, (double)p->trained / 1e6,
           o->recompute ? ", recompute" : "");
    printf("memory   %s weights + %s gradients and moments + %s activations + %s data = %s of %s\n",
           vlm_bytes_text((double)p->weights_bytes, w), vlm_bytes_text((double)p->optimizer_bytes, opt),
           vlm_bytes_text((double)p->activation_bytes, act), vlm_bytes_text((double)p->loader_bytes, load),
           vlm_bytes_text((double)p->total_bytes, all), vlm_bytes_text((double)p->available_bytes, have));
}

vlm_status vlm_plan_data(vlm_args *a) {
    vlm_train_options o;
    vlm_model *m = NULL;
    vlm_run_data d = { 0 };
    vlm_plan p;
    vlm_limits limits = { 0 };
    vlm_forecast f = { 0 };
    json_t *bad = json_array();
    vlm_status status;
    int threads = a->threads > 0 ? (int)a->threads : vlm_cores();
    TRY_DONE(vlm_train_options_of(a, &o));
    TRY_DONE(vlm_train_check(&o));
    TRY_DONE(vlm_model_open_as(o.model, &o.open, VLM_OPEN_STRUCTURE | VLM_OPEN_F32, &m));
    TRY_DONE(vlm_train_check_model(&o, m));
    TRY_DONE(vlm_run_data_open(&d, &o, m));
    TRY_DONE(vlm_run_data_scan(&d, &o, threads, a->decode_images, on_bad, bad));
    TRY_DONE(vlm_plan_make(&o, m, &d, threads, &p));
    if (a->time) {
        TRY_DONE(vlm_plan_limits(a, &limits));
        f = vlm_forecast_make(&p, &o, m, &limits);
    }
    if (a->json) TRY_DONE(vlm_json_out(plan_json(&o, m, &d, &p, bad, a->time ? time_json(a, &limits, &f) : NULL)));
    else {
        print_plan(&o, m, &d, &p);
        if (a->time) print_time(a, &limits, &f, &o);
        print_bad(bad, a->verbose);
    }
    a->reported = true;
    size_t n = json_array_size(bad);
    if (n)
        vlm_note("vlm: %zu sample%s would be quarantined%s", n, plural((int64_t)n),
                 a->decode_images ? "" : "; --decode looks into the images too");
    status = vlm_plan_check(&p, &o);
done:
    json_decref(bad);
    vlm_run_data_close(&d);
    vlm_model_close(m);
    return status;
}

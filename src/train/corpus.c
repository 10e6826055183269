#include "train/corpus.h"
#include "base/file.h"
#include "base/log.h"
#include "train/loader.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_SAMPLES = 1 << 28 };      /* of a set: an order of 4 GB */

/* ---- Opening ---- */

static vlm_status split(const char *spec, char **path, double *weight) {
    const char *at = strrchr(spec, '@');
    char *end;
    *weight = 1;
    if (at && !vlm_exists(spec)) {
        *weight = strtod(at + 1, &end);
        if (end == at + 1 || *end || !isfinite(*weight) || *weight <= 0 || *weight > 1e6)
            return vlm_fail(VLM_EARG, "--data", "%s: \"%s\" is no weight; write PATH@0.5, above 0 and at most 1000000", spec, at + 1);
    }
    *path = at && !vlm_exists(spec) ? strndup(spec, (size_t)(at - spec)) : strdup(spec);
    return *path ? VLM_OK : vlm_fail_memory(spec, strlen(spec));
}
vlm_status vlm_corpus_open(const char *const *specs, int n, const vlm_dataset_options *o, uint64_t seed, bool shuffle, vlm_corpus *out) {
    vlm_corpus c = { .seed = seed, .shuffle = shuffle };
    vlm_status status = VLM_OK;
    char *path = NULL;
    if (!(c.set = calloc((size_t)n + 1, sizeof *c.set))) return vlm_fail_memory("the data", (size_t)n * sizeof *c.set);
    for (int i = 0; i < n; i++) {
        vlm_corpus_set *s = &c.set[c.sets];
        TRY_DONE(split(specs[i], &path, &s->weight));
        TRY_DONE(vlm_dataset_open(path, o, &s->data));
        c.sets++;
        free(path);
        path = NULL;
        s->count = vlm_dataset_count(s->data);
        if (s->weight * (double)s->count > EPOCH_SAMPLES) {
            status = vlm_fail(VLM_ELIMIT, "--data", "%s: an epoch would take %.3g samples of it, over the limit of %d; lower its weight",
                              specs[i], s->weight * (double)s->count, EPOCH_SAMPLES);
            goto done;
        }
        s->extent = calloc((size_t)s->count, sizeof *s->extent);
        s->role = calloc((size_t)s->count, 1);
        if (!s->extent || !s->role) { status = vlm_fail_memory(specs[i], (size_t)s->count * sizeof *s->extent); goto done; }
    }
    *out = c;
done:
    free(path);
    if (status) vlm_corpus_close(&c);
    return status;
}
void vlm_corpus_close(vlm_corpus *c) {
    for (int i = 0; i < c->sets; i++) {
        vlm_dataset_close(c->set[i].data);
        free(c->set[i].extent);
        free(c->set[i].role);
        free(c->set[i].shape);
    }
    free(c->set);
    *c = (vlm_corpus){ 0 };
}
int64_t vlm_corpus_count(const vlm_corpus *c, vlm_split role) {
    int64_t n = 0;
    for (int i = 0; i < c->sets; i++)
        for (int64_t k = 0; k < c->set[i].count; k++) n += c->set[i].role[k] == role;
    return n;
}

/* ---- Order ---- */

/* Streams of random numbers that have nothing to do with each other. */
enum { STREAM_SAMPLES = 1, STREAM_EPOCH, STREAM_HELD_OUT };
static void seed_for(vlm_rng *r, const vlm_corpus *c, int stream, int set, int64_t turn) {
    vlm_rng_seed(r, c->seed);
    uint64_t a = vlm_rng_next(r);
    vlm_rng_seed(r, a ^ ((uint64_t)stream << 56) ^ ((uint64_t)set << 40) ^ (uint64_t)turn);
}
static uint64_t below(vlm_rng *r, uint64_t n) {        /* without the bias of a remainder */
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    while ((x = vlm_rng_next(r)) >= limit) {}
    return x % n;
}
/* Permutation number `turn` of a set's samples. */
static void permute(const vlm_corpus *c, int stream, int set, int64_t turn, int64_t *out) {
    int64_t n = c->set[set].count;
    vlm_rng r;
    for (int64_t i = 0; i < n; i++) out[i] = i;
    if (!c->shuffle) return;
    seed_for(&r, c, stream, set, turn);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)below(&r, (uint64_t)i + 1), t = out[i];
        out[i] = out[j];
        out[j] = t;
    }
}

vlm_status vlm_corpus_hold_out(vlm_corpus *c, double share) {
    for (int i = 0; i < c->sets; i++) {
        vlm_corpus_set *s = &c->set[i];
        int64_t n = (int64_t)floor(share * (double)s->count + 0.5), *order = malloc((size_t)s->count * sizeof *order);
        if (!order) return vlm_fail_memory("the data", (size_t)s->count * sizeof *order);
        if (n < 1) n = 1;
        int same = 0;                  /* data that is named twice: the same samples in both, or they would be trained on after all */
        while (same < i && !vlm_same_file(vlm_dataset_path(c->set[same].data), vlm_dataset_path(s->data))) same++;
        permute(c, STREAM_HELD_OUT, same, 0, order);
        for (int64_t k = s->count - n; k < s->count && n < s->count; k++) s->role[order[k]] = VLM_SPLIT_HELD_OUT;
        free(order);
        if (n >= s->count)
            return vlm_fail(VLM_EARG, "--val-fraction", "leaves no sample of the %lld in %s to train on; lower it or name other data with "
                            "--val",
                            (long long)s->count, vlm_dataset_path(s->data));
    }
    return VLM_OK;
}

static vlm_status push(vlm_picks *p, int64_t *room, int set, int64_t sample) {
    if (p->n == *room) {
        int64_t more = *room ? *room * 2 : 1024;
        vlm_pick *q = realloc(p->pick, (size_t)more * sizeof *q);
        if (!q) return vlm_fail_memory("the order of samples", (size_t)more * sizeof *q);
        p->pick = q;
        *room = more;
    }
    p->pick[p->n++] = (vlm_pick){ set, sample };
    return VLM_OK;
}
/* Samples of a set that the epochs before `epoch` take. A weight is a decimal, rounded to binary: what is a whole number up to that
   rounding is one (0.29 × 100). */
static int64_t taken_before(const vlm_corpus_set *s, int64_t epoch) {
    return (int64_t)floor(s->weight * (double)s->count * (double)epoch * (1 + 1e-15));
}
vlm_status vlm_corpus_order(const vlm_corpus *c, int64_t epoch, vlm_picks *out) {
    vlm_picks p = { 0 };
    int64_t room = 0, *order = NULL;
    vlm_status status = VLM_OK;
    for (int i = 0; i < c->sets; i++) {
        const vlm_corpus_set *s = &c->set[i];
        int64_t from = taken_before(s, epoch), to = taken_before(s, epoch + 1), have = -1;
        free(order);
        if (!(order = malloc((size_t)s->count * sizeof *order))) { status = vlm_fail_memory("the order of samples", 8); goto done; }
        for (int64_t k = from; k < to; k++) {
            if (have != k / s->count) permute(c, STREAM_SAMPLES, i, have = k / s->count, order);
            int64_t sample = order[k % s->count];
            if (s->role[sample] == VLM_SPLIT_TRAIN) TRY_DONE(push(&p, &room, i, sample));
        }
    }
    if (c->shuffle) {                  /* the sets among each other */
        vlm_rng r;
        seed_for(&r, c, STREAM_EPOCH, 0, epoch);
        for (int64_t i = p.n - 1; i > 0; i--) {
            int64_t j = (int64_t)below(&r, (uint64_t)i + 1);
            vlm_pick t = p.pick[i];
            p.pick[i] = p.pick[j];
            p.pick[j] = t;
        }
    }
    *out = p;
    p.pick = NULL;
done:
    free(order);
    free(p.pick);
    return status;
}
vlm_status vlm_corpus_all(const vlm_corpus *c, vlm_split role, vlm_picks *out) {
    vlm_picks p = { 0 };
    int64_t room = 0;
    for (int i = 0; i < c->sets; i++)
        for (int64_t k = 0; k < c->set[i].count; k++) {
            vlm_status status = c->set[i].role[k] == role ? push(&p, &room, i, k) : VLM_OK;
            if (status) { free(p.pick); return status; }
        }
    *out = p;
    return VLM_OK;
}

/* ---- Scan ---- */

static vlm_status see_shape(vlm_corpus_set *s, const vlm_image_plan *p, bool tiled) {
    int64_t h = tiled ? p->rows : p->tokens.h, w = tiled ? p->cols : p->tokens.w, lo = 0, hi = s->shapes;
    while (lo < hi) {
        int64_t mid = (lo + hi) / 2;
        const vlm_shape *a = &s->shape[mid];
        if (a->h < h || (a->h == h && a->w < w)) lo = mid + 1;
        else hi = mid;
    }
    if (lo < s->shapes && s->shape[lo].h == h && s->shape[lo].w == w) { s->shape[lo].n++; return VLM_OK; }
    vlm_shape *q = realloc(s->shape, (size_t)(s->shapes + 1) * sizeof *q);
    if (!q) return vlm_fail_memory("the images' grids", (size_t)s->shapes * sizeof *q);
    s->shape = q;
    memmove(q + lo + 1, q + lo, (size_t)(s->shapes++ - lo) * sizeof *q);
    q[lo] = (vlm_shape){ h, w, p->image_tokens, 1 };
    return VLM_OK;
}
static vlm_status see(vlm_corpus_set *s, const vlm_model *m, const vlm_loaded *l) {
    s->extent[l->pick.sample] = vlm_example_extent(m, &l->example);
    for (int64_t i = 0; i < l->example.images; i++)
        TRY(see_shape(s, &l->example.image[i].plan, m->rule.kind == VLM_RULE_TILES));
    return VLM_OK;
}

vlm_status vlm_corpus_scan(vlm_corpus *c, const vlm_example_rule *rule, int threads, bool decode, vlm_bad_fn *bad, void *user) {
    vlm_loader *l = NULL;
    vlm_picks all = { 0 };
    int64_t room = 0;
    vlm_status status = VLM_OK;
    for (int i = 0; i < c->sets; i++)
        for (int64_t k = 0; k < c->set[i].count; k++) TRY_DONE(push(&all, &room, i, k));
    TRY_DONE(vlm_loader_open(c, rule, threads, decode, &l));
    vlm_loader_start(l, all.pick, all.n, 0);
    for (int64_t i = 0; i < all.n; i++) {
        vlm_loaded got;
        vlm_corpus_set *s = &c->set[all.pick[i].set];
        TRY_DONE(vlm_loader_next(l, &got));
        if (got.status) {
            s->role[got.pick.sample] = VLM_SPLIT_BAD;
            if (bad) status = bad(user, c, got.pick, got.why, got.message);
        } else status = see(s, rule->m, &got);
        vlm_loaded_free(&got);
        if (!status) status = vlm_progress("samples", i + 1, all.n);
        if (status) goto done;
    }
done:
    vlm_loader_close(l);
    free(all.pick);
    return status;
}

#include "train/plan.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/loader.h"
#include "train/optimizer.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Options ---- */

vlm_train_options vlm_train_defaults(void) {           /* nanoVLM's, where it has one */
    return (vlm_train_options){ .dataset = VLM_DATASET_OPTIONS, .epochs = 1, .accumulate = 1, .lr = { 5e-5, 5.12e-3, 5e-5 }, .warmup = 0.03,
                                .weight_decay = 0.01, .max_grad_norm = 1, .eval_every = 500, .save_every = 500, .keep = 3 };
}
vlm_status vlm_train_check(vlm_train_options *o) {
    static const char *const rates[VLM_GROUPS] = { "--lr-vision", "--lr-projector", "--lr-language" };
    if (!o->model || o->datas < 1) return vlm_fail(VLM_EARG, "vlm_train", "needs a model and data; give both");
    if (o->accumulate < 1 || o->batch_tokens < 0 || o->batch_patches < 0 || o->batch_samples < 0 || o->steps < 0 || o->keep < 0)
        return vlm_fail(VLM_EARG, "vlm_train", "a number is negative; give 0 or more, and 1 or more for accumulate");
    if (!o->steps && !(o->epochs > 0 && o->epochs <= 1e6)) return vlm_fail(VLM_EARG, "--epochs", "is %g; give more than 0", o->epochs);
    for (int g = 0; g < VLM_GROUPS; g++)
        if (!(o->lr[g] >= 0 && o->lr[g] <= 1e6)) return vlm_fail(VLM_EARG, rates[g], "is %g; give 0 to 1000000", o->lr[g]);
    const struct { const char *flag; double x; } least[] = { { "--warmup", o->warmup }, { "--weight-decay", o->weight_decay },
                                                             { "--max-grad-norm", o->max_grad_norm }, { "--skip-above", o->skip_above } };
    for (size_t i = 0; i < sizeof least / sizeof *least; i++)
        if (!(least[i].x >= 0 && isfinite(least[i].x))) return vlm_fail(VLM_EARG, least[i].flag, "is %g; give 0 or more", least[i].x);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1))
        return vlm_fail(VLM_EARG, "--val-fraction", "is %g; give a share below 1", o->val_fraction);
    if (o->cache_features && vlm_train_groups(o) & 1u << VLM_VISION)
        return vlm_fail(VLM_EARG, "--cache-features", "keeps what a frozen encoder makes, and vision is trained; add --freeze vision, or "
                        "leave it out");
    if (!o->batch_tokens && !o->batch_patches && !o->batch_samples) o->batch_tokens = VLM_BATCH_TOKENS;
    return VLM_OK;
}
unsigned vlm_train_groups(const vlm_train_options *o) {
    unsigned groups = VLM_ALL_GROUPS & ~o->frozen;
    for (int g = 0; g < VLM_GROUPS; g++) if (o->lr[g] == 0) groups &= ~(1u << g);
    return groups;
}
vlm_status vlm_train_check_model(const vlm_train_options *o, const vlm_model *m) {
    if (!m->net->vision || !m->net->language)
        return vlm_fail(VLM_EARG, o->model, "is no whole VLM; make one of two backbones with vlm new");
    if (!m->tok) return vlm_fail(VLM_EARG, o->model, "has no tokenizer.json; training needs one");
    if (!vlm_train_groups(o) && !o->frozen) return vlm_fail(VLM_EARG, "--lr", "is 0 for every part, so nothing is trained; raise one");
    if (!vlm_train_groups(o)) return vlm_fail(VLM_EARG, "--freeze", "leaves nothing to train; free vision, language or projector");
    return VLM_OK;
}

/* ---- Data ---- */

vlm_status vlm_run_data_open(vlm_run_data *d, const vlm_train_options *o, const vlm_model *m) {
    vlm_dataset_options set = o->dataset;
    set.need_assistant = true;
    d->rule = (vlm_example_rule){ .m = m, .max_tokens = m->context, .max_patches = o->batch_patches, .shrink = o->shrink_images,
                                  .max_images = set.max_images };
    if (o->batch_tokens && o->batch_tokens < d->rule.max_tokens) {
        d->rule.max_tokens = o->batch_tokens;
        d->rule.tokens_flag = "--batch-tokens";
    }
    TRY(vlm_corpus_open(o->data, o->datas, &set, o->seed, !o->no_shuffle, &d->corpus));
    if (o->vals) {
        TRY(vlm_corpus_open(o->val, o->vals, &set, o->seed, false, &d->held_out));
        for (int i = 0; i < d->held_out.sets; i++) {
            const char *path = vlm_dataset_path(d->held_out.set[i].data);
            int k = 0;
            while (k < d->corpus.sets && !vlm_same_file(path, vlm_dataset_path(d->corpus.set[k].data))) k++;
            if (k < d->corpus.sets) vlm_warn(path, "is trained on, too: validation says nothing of data that the model has not seen");
        }
        return VLM_OK;
    }
    return o->val_fraction > 0 ? vlm_corpus_hold_out(&d->corpus, o->val_fraction) : VLM_OK;
}
vlm_status vlm_run_data_scan(vlm_run_data *d, const vlm_train_options *o, int threads, bool decode, vlm_bad_fn *bad, void *user) {
    TRY(vlm_corpus_scan(&d->corpus, &d->rule, threads, decode, bad, user));
    if (o->vals) TRY(vlm_corpus_scan(&d->held_out, &d->rule, threads, decode, bad, user));
    d->vals_of = o->vals ? &d->held_out : &d->corpus;
    TRY(vlm_corpus_all(d->vals_of, o->vals ? VLM_SPLIT_TRAIN : VLM_SPLIT_HELD_OUT, &d->val_picks));
    if (d->val_picks.n || !(o->vals || o->val_fraction > 0)) return VLM_OK;
    return vlm_fail(VLM_EFORMAT, o->vals ? o->val[0] : "--val-fraction", "leaves validation without a sample: all are quarantined; mend "
                    "them, or train without validation");
}
void vlm_run_data_close(vlm_run_data *d) {
    vlm_corpus_close(&d->corpus);
    vlm_corpus_close(&d->held_out);
    free(d->val_picks.pick);
    *d = (vlm_run_data){ 0 };
}

/* ---- Batches ---- */

bool vlm_batch_full(const vlm_train_options *o, vlm_load b, const vlm_extent *x) {
    if (!b.samples) return false;
    return (o->batch_samples && b.samples + 1 > o->batch_samples) || (o->batch_tokens && b.tokens + x->tokens > o->batch_tokens) ||
           (o->batch_patches && b.patches + x->patches > o->batch_patches);
}
static void raise(int64_t *most, int64_t v) { if (*most < v) *most = v; }
void vlm_caps_raise(vlm_caps *c, const vlm_extent *b, int64_t samples) {
    raise(&c->units, b->units), raise(&c->rows, b->rows), raise(&c->most, b->most), raise(&c->tokens, b->tokens);
    raise(&c->image_tokens, b->image_tokens), raise(&c->samples, samples), raise(&c->labels, b->labels);
}

/* What a loader holds: pixels of batches in use, of samples ahead, of the largest sample; the work of the largest. wide: bytes of a
   patch's features, where they come rounded from a cache and may stand in for pixels; 0: they do not, or are mapped. */
typedef struct held { int64_t wide, batch, ahead, most, work; } held;
typedef struct walk { const vlm_train_options *o; vlm_plan *plan; held *held; bool first; int64_t batches; } walk;

static void see_batch(walk *w, const vlm_extent *b, int64_t samples) {
    if (!samples) return;
    vlm_caps_raise(&w->plan->pass.caps, b, samples);
    raise(&w->held->batch, b->pixel_bytes);
    w->batches++;
    if (!w->first) return;
    vlm_extent_add(&w->plan->epoch, b);
    if (b->tokens > w->plan->largest.tokens) w->plan->largest = *b, w->plan->largest_samples = samples;
}
static vlm_extent extent(const walk *w, const vlm_corpus *c, vlm_pick p) {
    vlm_extent x = c->set[p.set].extent[p.sample];
    raise(&x.pixel_bytes, x.patches * w->held->wide);
    return x;
}
static void see(walk *w, const vlm_corpus *c, const vlm_picks *p) {
    vlm_extent b = { 0 };
    int64_t samples = 0, ahead = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const vlm_extent x = extent(w, c, p->pick[i]);
        if (vlm_batch_full(w->o, (vlm_load){ samples, b.tokens, b.patches }, &x)) {
            see_batch(w, &b, samples);
            b = (vlm_extent){ 0 }, samples = 0;
        }
        vlm_extent_add(&b, &x);
        samples++;
        ahead += x.pixel_bytes;
        if (i >= VLM_LOADER_SAMPLES) ahead -= extent(w, c, p->pick[i - VLM_LOADER_SAMPLES]).pixel_bytes;
        raise(&w->held->ahead, ahead);
        raise(&w->held->most, x.pixel_bytes);
        raise(&w->held->work, x.work_bytes);
    }
    see_batch(w, &b, samples);
}
/* Caps and updates, epoch by epoch: they differ by their order. */
static vlm_status look_ahead(const vlm_train_options *o, const vlm_run_data *d, held *h, vlm_plan *p) {
    double left = o->epochs;
    int64_t epochs = o->steps ? VLM_EPOCHS_LOOKED_AT : (int64_t)ceil(o->epochs), steps = 0;
    for (int64_t e = 0; e < epochs && !(o->steps && steps >= o->steps); e++, left -= 1) {
        vlm_picks picks = { 0 };
        walk w = { o, p, h, !e, 0 };
        TRY(vlm_corpus_order(&d->corpus, e, &picks));
        see(&w, &d->corpus, &picks);
        free(picks.pick);
        int64_t updates = (w.batches + o->accumulate - 1) / o->accumulate;
        if (!e) p->samples = picks.n, p->batches = w.batches, p->updates = updates;
        steps += left < 1 && !o->steps ? (int64_t)ceil(left * (double)updates) : updates;
        TRY(vlm_progress("epochs", e + 1, epochs));
    }
    p->steps = o->steps && steps ? o->steps : steps;
    return VLM_OK;
}

/* ---- Memory ---- */

static size_t machine_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    unsigned long long limit = 0;
    size_t all = pages > 0 && size > 0 ? (size_t)pages * (size_t)size : SIZE_MAX;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");         /* "max" where there is no limit */
    if (f && fscanf(f, "%llu", &limit) == 1 && limit < all) all = (size_t)limit;
    if (f) fclose(f);
    return all;
}
static size_t sum(const size_t *v, int n) {
    size_t all = 0;
    for (int i = 0; i < n; i++) if (__builtin_add_overflow(all, v[i], &all)) return SIZE_MAX;
    return all;
}
enum { HOLE_BYTES = 2 << 20 };         /* of a thread: pictures begin on huge pages, and what lies before them is not always used again */
/* A loader begins samples while fewer than VLM_LOADER_BYTES are ahead: each thread may finish one more. */
static size_t ahead_bytes(const held *h, int threads) {
    int64_t most = VLM_LOADER_BYTES + threads * h->most;
    return (size_t)(h->ahead < most ? h->ahead : most);
}
static size_t corpus_bytes(const vlm_corpus *c) {
    size_t n = 0;
    for (int i = 0; i < c->sets; i++) n += (size_t)c->set[i].count * (sizeof(vlm_extent) + 1);
    return n;
}

vlm_status vlm_plan_make(const vlm_train_options *o, const vlm_model *m, const vlm_run_data *d, int threads, vlm_plan *out) {
    vlm_plan p = { .pass = { .trained = vlm_train_groups(o), .recompute = o->recompute, .features = o->cache_features,
                             .bf16 = o->cache_bf16 },
                   .good = vlm_corpus_count(&d->corpus, VLM_SPLIT_TRAIN) };
    held train = { .wide = o->cache_bf16 ? m->net->vit.cfg.D * (int64_t)sizeof(float) : 0 }, val = train;
    walk vals = { o, &p, &val, false, 0 };
    TRY(look_ahead(o, d, &train, &p));
    see(&vals, d->vals_of, &d->val_picks);
    p.gflop = vlm_pass_flop(&p.epoch.flop, p.pass.trained, p.pass.recompute) / 1e9;
    for (int i = 0; i < m->net->params.n; i++) {
        const vlm_param *q = &m->net->params.p[i];
        if (!q->tied) p.parameters += vlm_param_len(q);
        if (!q->tied && p.pass.trained & 1u << q->group) p.trained += vlm_param_len(q);
    }
    size_t pass[] = { vlm_pass_bytes(m->net, &p.pass), (size_t)threads * VLM_SCRATCH_BYTES };
    int64_t batch = train.batch > val.batch ? train.batch : val.batch, work = train.work > val.work ? train.work : val.work;
    size_t loader[] = { ahead_bytes(&train, threads), ahead_bytes(&val, threads), (size_t)batch,
                        (size_t)threads * ((size_t)work + HOLE_BYTES), corpus_bytes(&d->corpus), corpus_bytes(&d->held_out),
                        (size_t)(p.samples + d->val_picks.n) * sizeof(vlm_pick) };
    p.weights_bytes = vlm_net_bytes(m->net);
    p.optimizer_bytes = vlm_optimizer_bytes(m->net, p.pass.trained);
    p.activation_bytes = sum(pass, 2);
    p.loader_bytes = sum(loader, sizeof loader / sizeof *loader);
    p.total_bytes = sum((const size_t[]){ p.weights_bytes, p.optimizer_bytes, p.activation_bytes, p.loader_bytes }, 4);
    p.available_bytes = o->memory_bytes ? o->memory_bytes : machine_bytes();
    *out = p;
    return VLM_OK;
}

/* "--batch-tokens 4096, --batch-samples 8": the caps that there are. */
static const char *caps_text(const vlm_train_options *o, char out[128]) {
    const struct { const char *flag; int64_t n; } caps[] = { { "--batch-tokens", o->batch_tokens }, { "--batch-patches", o->batch_patches },
                                                             { "--batch-samples", o->batch_samples } };
    *out = 0;
    for (int i = 0; i < 3; i++)
        if (caps[i].n) snprintf(out + strlen(out), 128 - strlen(out), "%s%s %" PRId64, *out ? ", " : "", caps[i].flag, caps[i].n);
    return out;
}
vlm_status vlm_plan_check(const vlm_plan *p, const vlm_train_options *o) {
    char need[32], have[32], still[32], caps[128];
    if (!p->good)
        return vlm_fail(VLM_EFORMAT, o->data[0], "holds no sample that can be trained on; mend what is quarantined, or name other data");
    if (!p->steps && o->steps)
        return vlm_fail(VLM_EARG, "--data", "takes no sample in the first %d epochs; raise the weight behind @", VLM_EPOCHS_LOOKED_AT);
    if (!p->steps) return vlm_fail(VLM_EARG, "--epochs", "%g has not one update; raise it or give --steps", o->epochs);
    if (p->total_bytes <= p->available_bytes) return VLM_OK;
    size_t fixed = sum((const size_t[]){ p->weights_bytes, p->optimizer_bytes }, 2);
    vlm_bytes_text((double)p->total_bytes, need), vlm_bytes_text((double)p->available_bytes, have), vlm_bytes_text((double)fixed, still);
    if (fixed > p->available_bytes)
        return vlm_fail(VLM_ELIMIT, "training", "takes %s, %s are there, and weights and optimiser alone take %s; --freeze parts, take a "
                        "smaller model or raise --memory", need, have, still);
    return vlm_fail(VLM_ELIMIT, "training", "takes %s, %s are there; lower %s, %s--freeze parts or raise --memory (weights and optimiser "
                    "alone take %s)", need, have, caps_text(o, caps), o->recompute ? "" : "give --recompute, ", still);
}

#include "train/trainer.h"
#include "base/file.h"
#include "base/log.h"
#include "train/settings.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_IN_A_ROW = 3, EPOCHS_LOOKED_AT = 32 };

vlm_train_options vlm_train_defaults(void) {           /* nanoVLM's, where it has one */
    return (vlm_train_options){ .dataset = VLM_DATASET_OPTIONS, .epochs = 1, .accumulate = 1, .lr = { 5e-5, 5.12e-3, 5e-5 }, .warmup = 0.03,
                                .weight_decay = 0.01, .max_grad_norm = 1, .eval_every = 500, .save_every = 500, .keep = 3 };
}
static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- Batches ---- */

/* Would a batch that holds b break a cap with x more? An empty one takes what the scan let through. */
typedef struct load { int64_t samples, tokens, patches; } load;
static bool full(const vlm_train_options *o, load b, const vlm_extent *x) {
    if (!b.samples) return false;
    return (o->batch_samples && b.samples + 1 > o->batch_samples) || (o->batch_tokens && b.tokens + x->tokens > o->batch_tokens) ||
           (o->batch_patches && b.patches + x->patches > o->batch_patches);
}

static vlm_status quarantine(vlm_trainer *t, const vlm_corpus *c, vlm_pick pick, vlm_bad why, const char *message, int64_t step) {
    char row[VLM_ROW_BYTES];
    const char *file;
    bool fresh;
    vlm_dataset_name(c->set[pick.set].data, pick.sample, &file, row);
    TRY(vlm_run_quarantine(&t->run, step, file, row, vlm_bad_name(why), message, &fresh));
    if (fresh && t->hooks.quarantine) t->hooks.quarantine(t->hooks.user, file, row, vlm_bad_name(why), message);
    if (!t->o->strict) return VLM_OK;
    char where[VLM_ROW_BYTES + 1024];
    snprintf(where, sizeof where, "%.1000s:%s", file, row);
    return vlm_fail(VLM_EFORMAT, where, "%s (%s); mend the sample, or leave out --strict to train without it", message, vlm_bad_name(why));
}

/* The next good sample of the epoch into t->pending; none: has_pending stays false. */
static vlm_status fetch(vlm_trainer *t) {
    while (!t->has_pending && t->at.index < t->order.n) {
        TRY(vlm_loader_next(t->loader, &t->pending));
        t->at.index++;
        if (!t->pending.status) { t->has_pending = true; break; }
        vlm_status status = quarantine(t, &t->corpus, t->pending.pick, t->pending.why, t->pending.message, t->at.step + 1);
        vlm_loaded_free(&t->pending);
        TRY(status);
    }
    return VLM_OK;
}
static vlm_status hold(vlm_trainer *t, vlm_loaded *l) {
    if (t->nheld == t->held_room) {
        int64_t room = t->held_room ? t->held_room * 2 : 64;
        vlm_loaded *p = realloc(t->held, (size_t)room * sizeof *p);
        if (!p) return vlm_fail_memory("the batch", (size_t)room * sizeof *p);
        t->held = p;
        t->held_room = room;
    }
    TRY(vlm_batch_add(&t->batch, t->m, &l->example));
    t->held[t->nheld++] = *l;
    *l = (vlm_loaded){ 0 };
    return VLM_OK;
}
static void let_go(vlm_trainer *t) {
    for (int64_t i = 0; i < t->nheld; i++) vlm_loaded_free(&t->held[i]);
    t->nheld = 0;
    vlm_batch_reset(&t->batch);
}
/* Whole samples until the next would break a cap; an empty batch: the epoch is over. */
static vlm_status next_batch(vlm_trainer *t) {
    let_go(t);
    for (;;) {
        TRY(fetch(t));
        if (!t->has_pending) return VLM_OK;
        vlm_extent x = vlm_example_extent(t->m, &t->pending.example);
        if (full(t->o, (load){ t->batch.samples, t->batch.T, t->batch.patches }, &x)) return VLM_OK;
        TRY(hold(t, &t->pending));
        t->has_pending = false;
    }
}

static vlm_status start_epoch(vlm_trainer *t, int64_t epoch, int64_t index) {
    vlm_loaded_free(&t->pending);
    t->has_pending = false;
    vlm_loader_start(t->loader, NULL, 0, 0);           /* lets go of the old order */
    free(t->order.pick);
    t->order = (vlm_picks){ 0 };
    t->at.epoch = epoch;
    t->at.index = index;
    TRY(vlm_corpus_order(&t->corpus, epoch, &t->order));
    vlm_loader_start(t->loader, t->order.pick, t->order.n, index < t->order.n ? index : t->order.n);
    return VLM_OK;
}

/* ---- Caps and the number of updates, by going through the extents as training will ---- */

static void raise(int64_t *most, int64_t v) { if (*most < v) *most = v; }
static void see_batch(vlm_caps *c, const vlm_extent *b, int64_t samples) {
    raise(&c->units, b->units), raise(&c->rows, b->rows), raise(&c->most, b->most), raise(&c->tokens, b->tokens);
    raise(&c->image_tokens, b->image_tokens), raise(&c->samples, samples), raise(&c->labels, b->labels);
}
static void add_extent(vlm_extent *b, const vlm_extent *x) {
    b->tokens += x->tokens, b->labels += x->labels, b->images += x->images, b->units += x->units, b->patches += x->patches;
    b->rows += x->rows, b->image_tokens += x->image_tokens;
    raise(&b->most, x->most);
}
static int64_t walk(const vlm_train_options *o, const vlm_corpus *c, const vlm_picks *p, vlm_caps *caps) {
    vlm_extent b = { 0 };
    int64_t batches = 0, samples = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const vlm_extent *x = &c->set[p->pick[i].set].extent[p->pick[i].sample];
        if (full(o, (load){ samples, b.tokens, b.patches }, x)) {
            see_batch(caps, &b, samples);
            batches++;
            b = (vlm_extent){ 0 }, samples = 0;
        }
        add_extent(&b, x);
        samples++;
    }
    if (samples) see_batch(caps, &b, samples);
    return batches + (samples > 0);
}
static vlm_status look_ahead(vlm_trainer *t, vlm_caps *caps) {
    const vlm_train_options *o = t->o;
    double left = o->epochs;
    int64_t steps = 0;
    for (int64_t e = 0;; e++) {
        vlm_picks p = { 0 };
        if (o->steps ? steps >= o->steps || e >= EPOCHS_LOOKED_AT : left <= 0) break;
        TRY(vlm_corpus_order(&t->corpus, e, &p));
        int64_t updates = (walk(o, &t->corpus, &p, caps) + o->accumulate - 1) / o->accumulate;
        free(p.pick);
        if (!updates && !e && !vlm_corpus_count(&t->corpus, VLM_SPLIT_TRAIN))
            return vlm_fail(VLM_EFORMAT, o->data[0], "holds no sample that can be trained on; RUN/quarantine.jsonl says why for each");
        steps += left < 1 && !o->steps ? (int64_t)ceil(left * (double)updates) : updates;
        left -= 1;
    }
    t->at.steps = o->steps ? o->steps : steps;
    if (!t->at.steps) return vlm_fail(VLM_EARG, "--epochs", "%g has not one update; raise it or give --steps", o->epochs);
    walk(o, t->vals_of, &t->val_picks, caps);
    return VLM_OK;
}

/* ---- Opening ---- */

static vlm_status check_options(const vlm_train_options *o) {
    static const char *const rates[VLM_GROUPS] = { "--lr-vision", "--lr-projector", "--lr-language" };
    if (!o->model || !o->run || o->datas < 1) return vlm_fail(VLM_EARG, "vlm_train", "needs a model, data and a run's folder; give all");
    if (o->accumulate < 1 || o->batch_tokens < 0 || o->batch_patches < 0 || o->batch_samples < 0 || o->steps < 0 || o->keep < 0)
        return vlm_fail(VLM_EARG, "vlm_train", "a number is negative; give 0 or more, and 1 or more for accumulate");
    if (!o->steps && !(o->epochs > 0 && o->epochs <= 1e6)) return vlm_fail(VLM_EARG, "--epochs", "is %g; give more than 0", o->epochs);
    for (int g = 0; g < VLM_GROUPS; g++)
        if (!(o->lr[g] >= 0 && o->lr[g] < 1e6)) return vlm_fail(VLM_EARG, rates[g], "is %g; give 0 or more", o->lr[g]);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1))
        return vlm_fail(VLM_EARG, "--val-fraction", "is %g; give a share below 1", o->val_fraction);
    return VLM_OK;
}

static vlm_status on_bad(void *user, const vlm_corpus *c, vlm_pick pick, vlm_bad why, const char *message) {
    return quarantine(user, c, pick, why, message, 0);
}
static vlm_status open_data(vlm_trainer *t) {
    const vlm_train_options *o = t->o;
    vlm_dataset_options d = o->dataset;
    d.need_assistant = true;
    t->rule = (vlm_example_rule){ .m = t->m, .max_tokens = t->m->context, .max_patches = o->batch_patches, .shrink = o->shrink_images,
                                  .max_images = d.max_images };
    if (o->batch_tokens && o->batch_tokens < t->rule.max_tokens) {
        t->rule.max_tokens = o->batch_tokens;
        t->rule.tokens_flag = "--batch-tokens";
    }
    TRY(vlm_corpus_open(o->data, o->datas, &d, o->seed, !o->no_shuffle, &t->corpus));
    if (o->vals) TRY(vlm_corpus_open(o->val, o->vals, &d, o->seed, false, &t->held_out));
    else if (o->val_fraction > 0) TRY(vlm_corpus_hold_out(&t->corpus, o->val_fraction));
    return vlm_settings_make(t);
}
static vlm_status scan(vlm_trainer *t) {
    TRY(vlm_corpus_scan(&t->corpus, &t->rule, t->ctx->threads, false, on_bad, t));
    if (t->o->vals) TRY(vlm_corpus_scan(&t->held_out, &t->rule, t->ctx->threads, false, on_bad, t));
    t->vals_of = t->o->vals ? &t->held_out : &t->corpus;
    return vlm_corpus_all(t->vals_of, t->o->vals ? VLM_SPLIT_TRAIN : VLM_SPLIT_HELD_OUT, &t->val_picks);
}

static vlm_status open_model(vlm_trainer *t, const char *dir) {
    vlm_model *m;
    TRY(vlm_model_open_as(dir, &t->o->open, VLM_OPEN_F32, &m));
    vlm_model_close(t->m);
    t->m = m;
    return VLM_OK;
}
/* The image rule and context that were asked for have to be what the checkpoint will say. */
static vlm_status check_model(const vlm_trainer *t) {
    const vlm_train_options *o = t->o;
    if (!t->m->net->vision || !t->m->net->language)
        return vlm_fail(VLM_EARG, o->model, "is no whole VLM; make one of two backbones with vlm new");
    if (!t->m->tok) return vlm_fail(VLM_EARG, o->model, "has no tokenizer.json; training needs one");
    if (t->trained == 0) return vlm_fail(VLM_EARG, "--freeze", "leaves nothing to train; free vision, language or projector");
    if (o->cache_features && t->trained & 1u << VLM_VISION)
        return vlm_fail(VLM_EARG, "--cache-features", "keeps what a frozen encoder makes, and vision is trained; add --freeze vision, or "
                        "leave it out");
    return VLM_OK;
}

static size_t machine_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    unsigned long long limit = 0;
    size_t all = pages > 0 && size > 0 ? (size_t)pages * (size_t)size : SIZE_MAX;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");         /* "max" where there is no limit */
    if (f && fscanf(f, "%llu", &limit) == 1 && limit < all) all = (size_t)limit;
    if (f) fclose(f);
    return all;
}
static vlm_status check_memory(vlm_trainer *t, vlm_train_start *s) {
    char need[32], have[32];
    s->weights_bytes = t->m->net->bytes;
    s->optimizer_bytes = vlm_optimizer_bytes(t->m->net, t->trained);
    s->activation_bytes = vlm_pass_bytes(t->m->net, &t->pass_options);
    s->loader_bytes = VLM_LOADER_BYTES;
    s->available_bytes = t->o->memory_bytes ? t->o->memory_bytes : machine_bytes();
    size_t parts[] = { s->weights_bytes, s->optimizer_bytes, s->activation_bytes, s->loader_bytes }, all = 0;
    for (int i = 0; i < 4; i++) if (__builtin_add_overflow(all, parts[i], &all)) all = SIZE_MAX;
    if (all <= s->available_bytes) return VLM_OK;
    snprintf(need, sizeof need, "%.2f GB", (double)all / 1e9);
    snprintf(have, sizeof have, "%.2f GB", (double)s->available_bytes / 1e9);
    return vlm_fail(VLM_ELIMIT, "training", "takes %s (%.2f GB of it weights and optimiser), %s are there; lower --batch-tokens, "
                    "--batch-patches or --batch-samples, give --recompute or --freeze, or raise --memory", need,
                    (double)(s->weights_bytes + s->optimizer_bytes) / 1e9, have);
}

static void measure_peak(void *arg, int64_t lo, int64_t hi, void *scratch) {
    *(float *)scratch = (*(float (*const *)(int64_t))arg)((hi - lo) * 1000);
}
/* What the FMA units do in a second: the best of some short runs. */
static double peak_of(vlm_ctx *ctx, const char *isa) {
    double best = 0;
#if defined(__x86_64__)
    unsigned cpu = 0;
    if (vlm_isa_flags(isa, &cpu) || !(cpu & VLM_CPU_AVX2)) return 0;
    float (*fn)(int64_t) = cpu & VLM_CPU_AVX512 ? vlm_peak_avx512 : vlm_peak_avx2;
    double flop = cpu & VLM_CPU_AVX512 ? VLM_PEAK_FLOP_AVX512 : VLM_PEAK_FLOP_AVX2;
    for (int i = 0; i < 5; i++) {
        double t = now_ms();
        vlm_parallel(ctx, 100LL * ctx->threads, 1, measure_peak, &fn);
        t = 1e5 * ctx->threads * flop / (now_ms() - t) * 1e3;
        if (best < t) best = t;
    }
#else
    (void)ctx, (void)isa;
#endif
    return best;
}

/* What the frozen encoder makes is kept; how much that will be at most, if no image comes twice. */
static vlm_status open_cache(vlm_trainer *t, vlm_train_start *s) {
    const vlm_corpus *all[] = { &t->corpus, &t->held_out };
    int64_t patches = 0;
    if (!t->o->cache_features) return VLM_OK;
    TRY(vlm_cache_open(t->o->cache_features, t->m, t->o->cache_bf16, &t->cache));
    t->rule.cache = t->cache;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < all[k]->sets; i++)
            for (int64_t j = 0; j < all[k]->set[i].count; j++) patches += all[k]->set[i].extent[j].patches;     /* bad ones have none */
    s->cache_bytes = vlm_cache_bytes(t->cache, patches);
    s->cache_room = vlm_cache_room(t->cache);
    return VLM_OK;
}

/* *from: the checkpoint to go on from, to be freed; NULL: none. */
static vlm_status find_checkpoint(vlm_trainer *t, char **from) {
    const vlm_train_options *o = t->o;
    *from = NULL;
    if (!o->resume) return VLM_OK;
    if (!strcmp(o->resume, "auto")) return vlm_checkpoint_newest(o->run, from);
    return (*from = strdup(o->resume)) ? VLM_OK : vlm_fail_memory(o->resume, 64);
}

static vlm_status open_pass(vlm_trainer *t) {
    vlm_pass_close(t->pass);
    t->pass = NULL;
    return vlm_pass_open(t->m->net, t->opt.grads, t->ctx, &t->pass_options, &t->pass);
}

static vlm_status open_all(vlm_trainer *t, vlm_train_start *s) {
    const vlm_train_options *o = t->o;
    char *from = NULL;
    json_t *before = NULL;
    vlm_status status = VLM_OK;
    TRY(check_options(o));
    t->trained = VLM_ALL_GROUPS & ~o->frozen;
    for (int g = 0; g < VLM_GROUPS; g++) if (o->lr[g] == 0) t->trained &= ~(1u << g);
    t->at.best = INFINITY;
    if (!(t->ctx = vlm_ctx_open(o->threads > 0 ? o->threads : vlm_cores(), VLM_SCRATCH_BYTES)))
        return vlm_fail_memory("the threads", VLM_SCRATCH_BYTES);
    TRY(vlm_run_open(o->run, o->resume != NULL, &t->run));
    TRY_DONE(find_checkpoint(t, &from));
    TRY_DONE(open_model(t, o->model));
    TRY_DONE(check_model(t));
    TRY_DONE(open_data(t));
    int64_t planned = 0;
    if (from) {
        TRY_DONE(vlm_checkpoint_read(from, &t->at, &before));
        if (!o->allow_change) TRY_DONE(vlm_settings_compare(before, t->settings, from));
        planned = t->at.steps;
        TRY_DONE(open_model(t, from));
        t->rule.m = t->m;
    }
    TRY_DONE(vlm_run_logs(&t->run, t->at.step));
    TRY_DONE(scan(t));
    t->pass_options = (vlm_pass_options){ .trained = t->trained, .recompute = o->recompute, .features = o->cache_features,
                                          .bf16 = o->cache_bf16 };
    TRY_DONE(look_ahead(t, &t->pass_options.caps));
    if (planned && !o->allow_change) t->at.steps = planned;
    TRY_DONE(check_memory(t, s));
    TRY_DONE(vlm_optimizer_open(t->m->net, t->trained, o->decay_all, &t->opt));
    if (from) TRY_DONE(vlm_checkpoint_moments(t, from));
    TRY_DONE(open_pass(t));
    TRY_DONE(open_cache(t, s));
    TRY_DONE(vlm_loader_open(&t->corpus, &t->rule, t->ctx->threads, true, &t->loader));
    TRY_DONE(vlm_manifest_write(t, from));
    t->peak = peak_of(t->ctx, o->open.isa);
    s->samples = vlm_corpus_count(&t->corpus, VLM_SPLIT_TRAIN);
    s->held_out = t->val_picks.n;
    s->quarantined = t->run.quarantined;
    s->steps = t->at.steps;
    s->from_step = t->at.step;
    for (int i = 0; i < t->m->net->params.n; i++) {
        const vlm_param *p = &t->m->net->params.p[i];
        if (!p->tied) s->parameters += vlm_param_len(p);
        if (!p->tied && t->trained & 1u << p->group) s->trained += vlm_param_len(p);
    }
    status = start_epoch(t, t->at.epoch, t->at.index);
done:
    free(from);
    json_decref(before);
    return status;
}
static void close_all(vlm_trainer *t) {
    let_go(t);
    vlm_loaded_free(&t->pending);
    vlm_loader_close(t->loader);
    vlm_loader_close(t->val_loader);
    vlm_cache_close(t->cache);
    vlm_pass_close(t->pass);
    vlm_optimizer_close(&t->opt);
    vlm_corpus_close(&t->corpus);
    vlm_corpus_close(&t->held_out);
    free(t->order.pick);
    free(t->val_picks.pick);
    free(t->held);
    vlm_batch_free(&t->batch);
    vlm_model_close(t->m);
    vlm_run_close(&t->run);
    json_decref(t->settings);
    vlm_ctx_close(t->ctx);
}

/* ---- One update ---- */

/* Losses and gradients of t->batch; more memory first if the data turned out larger than the look ahead. */
static vlm_status run_batch(vlm_trainer *t, const vlm_batch *b, bool train, float scale, const float **nll) {
    vlm_caps *c = &t->pass_options.caps, before = *c;
    see_batch(c, &(vlm_extent){ .tokens = b->T, .labels = b->labels, .units = b->units, .rows = b->rows, .most = b->most,
                                .image_tokens = b->image_tokens }, b->samples);
    if (memcmp(c, &before, sizeof before)) TRY(open_pass(t));
    TRY(vlm_pass_forward(t->pass, b, train, scale, nll));
    for (int64_t i = 0; t->cache && i < b->units; i++) {
        const vlm_origin *from = &b->origin[i];
        float *to = b->features[i] ? NULL : vlm_cache_want(t->cache, from->cached, &from->image->plan, from->tile);
        if (!to) continue;
        vlm_pass_features(t->pass, b, i, to);
        vlm_cache_put(t->cache);
    }
    if (train && b->labels) vlm_pass_backward(t->pass, b);
    return VLM_OK;
}
static void count(vlm_update *u, const vlm_net *net, const vlm_batch *b) {
    u->samples += b->samples, u->tokens += b->T, u->labels += b->labels, u->images += b->images, u->patches += b->patches;
    u->cached += b->cached;
    u->flop += 3 * vlm_batch_flop(net, b);
}
static void name_samples(vlm_trainer *t, const vlm_pick *p, int64_t n) {
    size_t at = strlen(t->why);
    for (int64_t i = 0; i < n && at < sizeof t->why; i++) {
        char row[VLM_ROW_BYTES];
        const char *file;
        vlm_dataset_name(t->corpus.set[p[i].set].data, p[i].sample, &file, row);
        at += (size_t)snprintf(t->why + at, sizeof t->why - at, "%s%.200s:%.200s", i ? ", " : "; samples ", file, row);
    }
    if (at >= sizeof t->why) memcpy(t->why + sizeof t->why - 5, " ...", 5);
}

/* The gradients and losses of one update's batches. *any: there was a batch. */
vlm_status vlm_trainer_gradients(vlm_trainer *t, vlm_update *u, vlm_picks *seen, bool *any) {
    double sum = 0, waited = 0;
    int64_t room = 0;
    *any = false;
    vlm_optimizer_zero(&t->opt, t->ctx);
    for (int64_t k = 0; k < t->o->accumulate; k++) {
        const float *nll;
        double t0 = now_ms();
        TRY(next_batch(t));
        waited += now_ms() - t0;
        const vlm_batch *b = &t->batch;
        if (!b->samples) break;
        *any = true;
        for (int64_t i = 0; i < t->nheld; i++) {
            if (seen->n == room) {
                room = room ? 2 * room : 64;
                vlm_pick *p = realloc(seen->pick, (size_t)room * sizeof *p);
                if (!p) return vlm_fail_memory("the batch", (size_t)room * sizeof *p);
                seen->pick = p;
            }
            seen->pick[seen->n++] = t->held[i].pick;
        }
        TRY(run_batch(t, b, true, t->o->mean_per_microbatch && b->labels ? 1 / (float)b->labels : 1, &nll));
        for (int64_t i = 0; i < b->labels; i++) sum += nll[i];
        count(u, t->m->net, b);
    }
    u->loss = u->labels ? sum / (double)u->labels : 0;
    u->wait_ms = waited;
    return VLM_OK;
}

static vlm_status update(vlm_trainer *t, vlm_update *u, bool *any) {
    const vlm_train_options *o = t->o;
    double t0 = now_ms(), share = vlm_schedule(t->at.step, t->at.steps, o->warmup, o->constant), lr[VLM_GROUPS];
    vlm_picks seen = { 0 };
    *u = (vlm_update){ .step = t->at.step + 1, .steps = t->at.steps, .epoch = t->at.epoch, .peak = t->peak };
    for (int g = 0; g < VLM_GROUPS; g++) lr[g] = o->lr[g] * share, u->lr[g] = t->trained & 1u << g ? lr[g] : -1;
    vlm_status status = vlm_trainer_gradients(t, u, &seen, any);
    if (status || !*any) { free(seen.pick); return status; }
    /* the gradients are sums; the update divides */
    double scale = o->mean_per_microbatch ? 1 / (double)o->accumulate : u->labels ? 1 / (double)u->labels : 0;
    u->grad_norm = vlm_optimizer_norm(&t->opt, t->ctx) * scale;
    *t->why = 0;
    if (!u->labels) snprintf(t->why, sizeof t->why, "no label");
    else if (!isfinite(u->loss)) snprintf(t->why, sizeof t->why, "the loss is %g", u->loss);
    else if (!isfinite(u->grad_norm)) snprintf(t->why, sizeof t->why, "the gradient's norm is %g", u->grad_norm);
    else if (o->skip_above > 0 && u->grad_norm > o->skip_above)
        snprintf(t->why, sizeof t->why, "the gradient's norm %g is above --skip-above", u->grad_norm);
    u->skipped = *t->why;
    t->at.in_a_row = u->labels && !(isfinite(u->loss) && isfinite(u->grad_norm)) ? t->at.in_a_row + 1 : 0;
    if (u->skipped) name_samples(t, seen.pick, seen.n);
    else {
        if (o->max_grad_norm > 0 && u->grad_norm > o->max_grad_norm) scale *= o->max_grad_norm / (u->grad_norm + 1e-6);
        /* without an image nothing came to vision and projector: as in PyTorch they rest, moments, decay and count of updates too */
        unsigned groups = t->trained & (u->images ? VLM_ALL_GROUPS : 1u << VLM_LANGUAGE);
        vlm_optimizer_step(&t->opt, t->ctx, groups, t->at.updates, (float)scale, lr, o->weight_decay);
        for (int g = 0; g < VLM_GROUPS; g++) t->at.updates[g] += groups >> g & 1;
    }
    u->why = u->skipped ? t->why : NULL;
    t->at.step++;
    u->ms = now_ms() - t0;
    u->quarantined = t->run.quarantined;
    free(seen.pick);
    return VLM_OK;
}

/* ---- Validation: Σ nll over labels / their number ---- */

static vlm_status validate(vlm_trainer *t, double *loss, int64_t *labels) {
    vlm_loaded next = { 0 };
    double sum = 0;
    vlm_status status = VLM_OK;
    bool have = false;
    *labels = 0;
    if (!t->val_loader) TRY(vlm_loader_open(t->vals_of, &t->rule, t->ctx->threads, true, &t->val_loader));
    vlm_loader_start(t->val_loader, t->val_picks.pick, t->val_picks.n, 0);
    let_go(t);
    for (int64_t i = 0; i < t->val_picks.n || have || t->batch.samples;) {
        if (!have && i < t->val_picks.n) {
            TRY_DONE(vlm_loader_next(t->val_loader, &next));
            i++;
            if (next.status) {
                status = quarantine(t, t->vals_of, next.pick, next.why, next.message, t->at.step);
                vlm_loaded_free(&next);
                if (status) goto done;
                continue;
            }
            have = true;
        }
        vlm_extent x = have ? vlm_example_extent(t->m, &next.example) : (vlm_extent){ 0 };
        if (have && !full(t->o, (load){ t->batch.samples, t->batch.T, t->batch.patches }, &x)) {
            TRY_DONE(hold(t, &next));
            have = false;
            if (i < t->val_picks.n) continue;
        }
        if (!t->batch.samples) continue;
        const float *nll;
        TRY_DONE(run_batch(t, &t->batch, false, 1, &nll));
        for (int64_t k = 0; k < t->batch.labels; k++) sum += nll[k];
        *labels += t->batch.labels;
        let_go(t);
        TRY_DONE(vlm_progress("validation", i, t->val_picks.n));
    }
    *loss = *labels ? sum / (double)*labels : NAN;
done:
    vlm_loaded_free(&next);
    let_go(t);
    return status;
}

static vlm_status validation(vlm_trainer *t) {
    double loss;
    int64_t labels;
    if (!t->val_picks.n) return VLM_OK;
    TRY(validate(t, &loss, &labels));
    bool best = isfinite(loss) && loss < t->at.best;
    if (best) t->at.best = loss, t->at.best_step = t->at.step;
    TRY(vlm_run_validation(&t->run, t->at.step, loss, labels));
    if (t->hooks.validation) t->hooks.validation(t->hooks.user, t->at.step, loss, labels, best);
    if (best) TRY(vlm_checkpoint_save(t));
    vlm_trainer_show(t);
    return VLM_OK;
}

/* ---- The run ---- */

static bool due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }
static vlm_status run(vlm_trainer *t) {
    int64_t saved = -1, empty = 0;
    bool stopped = false;
    while (t->at.step < t->at.steps && !stopped) {
        vlm_update u;
        bool any;
        TRY(update(t, &u, &any));
        if (!any) {                    /* the epoch is over */
            if (++empty > 1) return vlm_fail(VLM_EFORMAT, t->o->data[0], "has no sample left that can be trained on; see quarantine.jsonl");
            TRY(start_epoch(t, t->at.epoch + 1, 0));
            continue;
        }
        empty = 0;
        TRY(vlm_run_metrics(&t->run, &u));
        if (t->hooks.update) t->hooks.update(t->hooks.user, &u);
        if (u.skipped) vlm_warn(t->o->run, "update %" PRId64 " is skipped: %s", u.step, t->why);
        if (t->at.in_a_row >= MOST_IN_A_ROW)
            return vlm_fail(VLM_EFORMAT, t->o->run, "%d updates in a row were not finite, the last at step %" PRId64 "; lower the rates, "
                            "look at the samples named, and --resume auto from the last checkpoint", MOST_IN_A_ROW, u.step);
        if (due(t->o->eval_every, t->at.step) || t->at.step == t->at.steps) {
            int64_t best = t->at.best_step;
            TRY(validation(t));
            if (t->at.best_step != best) saved = t->at.step;
        }
        stopped = t->hooks.stop && t->hooks.stop(t->hooks.user);
        if (saved != t->at.step && (due(t->o->save_every, t->at.step) || t->at.step == t->at.steps || stopped)) {
            TRY(vlm_checkpoint_save(t));
            saved = t->at.step;
        }
    }
    return stopped && t->at.step < t->at.steps ? vlm_fail(VLM_ESTOPPED, t->o->run, "stopped; go on with --resume auto") : VLM_OK;
}

vlm_status vlm_train(const vlm_train_options *options, const vlm_train_hooks *hooks) {
    vlm_trainer t = { 0 };
    vlm_train_options o = *options;
    vlm_train_start s = { 0 };
    if (!o.batch_tokens && !o.batch_patches && !o.batch_samples) o.batch_tokens = VLM_BATCH_TOKENS;
    t.o = &o;
    if (hooks) t.hooks = *hooks;
    vlm_status status = open_all(&t, &s);
    if (!status && t.hooks.start) t.hooks.start(t.hooks.user, &s);
    if (!status) status = o.dump_grads ? vlm_dump_grads(&t) : run(&t);
    close_all(&t);
    return status;
}

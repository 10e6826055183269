#include "train/trainer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ops/limits.h"
#include "train/settings.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IN_A_ROW = 3 };

/* ---- Batches ---- */

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

/* Where batches come from: n samples, `index` of them fetched, the last one in `pending` if `has`. step: of whom a bad one is met. */
typedef struct feed { vlm_loader *loader; const vlm_corpus *of; int64_t n, *index, step; vlm_loaded *pending; bool *has; } feed;
/* The next good sample into pending; none: `has` stays false. */
static vlm_status fetch(vlm_trainer *t, const feed *f) {
    while (!*f->has && *f->index < f->n) {
        TRY(vlm_loader_next(f->loader, f->pending));
        ++*f->index;
        if (!f->pending->status) { *f->has = true; break; }
        vlm_status status = quarantine(t, f->of, f->pending->pick, f->pending->why, f->pending->message, f->step);
        vlm_loaded_free(f->pending);
        TRY(status);
    }
    return VLM_OK;
}
/* Room for n elements; it only grows, so that after the first updates nothing is allocated. */
static vlm_status room_for(void *array, size_t size, int64_t *room, int64_t n) {
    void **p = array, *q;
    if (n <= *room) return VLM_OK;
    if (n < 2 * *room) n = 2 * *room;
    if (!(q = realloc(*p, (size_t)n * size))) return vlm_fail_memory("the batch", (size_t)n * size);
    *p = q;
    *room = n;
    return VLM_OK;
}
static vlm_status hold(vlm_trainer *t, vlm_loaded *l) {
    TRY(room_for(&t->held, sizeof *t->held, &t->held_room, t->nheld + 1));
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
/* Whole samples until the next would break a cap; an empty batch: there are no more. */
static vlm_status next_batch(vlm_trainer *t, const feed *f) {
    let_go(t);
    for (;;) {
        TRY(fetch(t, f));
        if (!*f->has) return VLM_OK;
        vlm_extent x = vlm_example_extent(t->m, &f->pending->example);
        if (vlm_batch_full(t->o, (vlm_load){ t->batch.samples, t->batch.T, t->batch.patches }, &x)) return VLM_OK;
        TRY(hold(t, f->pending));
        *f->has = false;
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
    TRY(vlm_corpus_order(&t->data.corpus, epoch, &t->order));
    vlm_loader_start(t->loader, t->order.pick, t->order.n, index < t->order.n ? index : t->order.n);
    return VLM_OK;
}

/* ---- Opening ---- */

static vlm_status on_bad(void *user, const vlm_corpus *c, vlm_pick pick, vlm_bad why, const char *message) {
    return quarantine(user, c, pick, why, message, 0);
}
static vlm_status open_model(vlm_trainer *t, const char *dir) {
    vlm_model *m;
    vlm_model_close(t->m);             /* first: there is room for one */
    t->m = NULL;
    TRY(vlm_model_open_as(dir, &t->o->open, VLM_OPEN_F32, &m));
    t->m = m;
    t->data.rule.m = m;
    return VLM_OK;
}
/* What the FMA units do in a second; 0: unknown. */
static double peak_of(vlm_ctx *ctx, const char *isa) {
    unsigned cpu = 0;
    return vlm_isa_flags(isa, &cpu) ? 0 : vlm_limits_fma(ctx, cpu);
}

/* What the frozen encoder makes is kept; how much that will be at most, if no image comes twice. */
static vlm_status open_cache(vlm_trainer *t, size_t *bytes, size_t *room) {
    const vlm_corpus *all[] = { &t->data.corpus, &t->data.held_out };
    int64_t patches = 0;
    if (!t->o->cache_features) return VLM_OK;
    TRY(vlm_cache_open(t->o->cache_features, t->m, t->o->cache_bf16, &t->cache));
    t->data.rule.cache = t->cache;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < all[k]->sets; i++)
            for (int64_t j = 0; j < all[k]->set[i].count; j++) patches += all[k]->set[i].extent[j].patches;     /* bad ones have none */
    *bytes = vlm_cache_bytes(t->cache, patches);
    *room = vlm_cache_room(t->cache);
    return VLM_OK;
}

/* The pass, and room for batches of that size and their samples. */
static vlm_status open_pass(vlm_trainer *t) {
    const vlm_caps *c = &t->pass_options.caps;
    vlm_pass_close(t->pass);
    t->pass = NULL;
    TRY(vlm_batch_reserve(&t->batch, c));
    TRY(room_for(&t->held, sizeof *t->held, &t->held_room, c->samples));
    TRY(room_for(&t->seen.pick, sizeof *t->seen.pick, &t->seen_room, c->samples * (t->o->accumulate < 64 ? t->o->accumulate : 64)));
    return vlm_pass_open(t->m->net, t->opt.grads, t->ctx, &t->pass_options, &t->pass);
}

static vlm_status open_all(vlm_trainer *t, vlm_train_start *s) {
    const vlm_train_options *o = t->o;
    char *from = NULL;
    json_t *before = NULL;
    vlm_plan plan;
    size_t cache_bytes = 0, cache_room = 0;
    vlm_status status = VLM_OK;
    if (!o->run) return vlm_fail(VLM_EARG, "vlm_train", "needs a run's folder; name one");
    t->trained = vlm_train_groups(o);
    t->at.best = INFINITY;
    if (!(t->ctx = vlm_ctx_open(o->threads > 0 ? o->threads : vlm_cores(), VLM_SCRATCH_BYTES)))
        return vlm_fail_memory("the threads", VLM_SCRATCH_BYTES);
    TRY(vlm_run_open(o->run, o->resume != NULL, &t->run));
    TRY_DONE(vlm_checkpoint_find(o, &from));
    TRY_DONE(open_model(t, o->model));
    TRY_DONE(vlm_train_check_model(o, t->m));
    TRY_DONE(vlm_run_data_open(&t->data, o, t->m));
    TRY_DONE(vlm_settings_make(t));
    int64_t planned = 0;
    if (from) {
        TRY_DONE(vlm_checkpoint_read(from, &t->at, &before));
        if (!o->allow_change) TRY_DONE(vlm_settings_compare(before, t->settings, from));
        planned = t->at.steps;
        TRY_DONE(open_model(t, from));
    }
    TRY_DONE(vlm_run_logs(&t->run, from ? t->at.step : -1));
    TRY_DONE(vlm_run_data_scan(&t->data, o, t->ctx->threads, false, on_bad, t));
    TRY_DONE(vlm_plan_make(o, t->m, &t->data, t->ctx->threads, &plan));
    TRY_DONE(vlm_plan_check(&plan, o));
    t->pass_options = plan.pass;
    t->at.steps = planned && !o->allow_change ? planned : plan.steps;
    TRY_DONE(vlm_optimizer_open(t->m->net, t->trained, o->decay_all, &t->opt));
    if (from) TRY_DONE(vlm_checkpoint_moments(t, from));
    TRY_DONE(open_pass(t));
    TRY_DONE(open_cache(t, &cache_bytes, &cache_room));
    TRY_DONE(vlm_loader_open(&t->data.corpus, &t->data.rule, t->ctx->threads, true, &t->loader));
    if (from && !strcmp(o->resume, "auto")) TRY_DONE(vlm_checkpoint_settle(t, from));
    TRY_DONE(vlm_manifest_write(t, from));
    t->peak = peak_of(t->ctx, o->open.isa);
    *s = (vlm_train_start){ .samples = plan.good, .held_out = t->data.val_picks.n,
                            .quarantined = t->run.quarantined, .steps = t->at.steps, .from_step = t->at.step,
                            .parameters = plan.parameters, .trained = plan.trained, .weights_bytes = plan.weights_bytes,
                            .optimizer_bytes = plan.optimizer_bytes, .activation_bytes = plan.activation_bytes,
                            .loader_bytes = plan.loader_bytes, .available_bytes = plan.available_bytes,
                            .cache_bytes = cache_bytes, .cache_room = cache_room };
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
    vlm_run_data_close(&t->data);
    free(t->order.pick);
    free(t->held);
    free(t->seen.pick);
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
    vlm_caps_raise(c, &(vlm_extent){ .tokens = b->T, .labels = b->labels, .units = b->units, .rows = b->rows, .most = b->most,
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
static void count(vlm_update *u, unsigned trained, const vlm_batch *b) {
    u->samples += b->samples, u->tokens += b->T, u->labels += b->labels, u->images += b->images, u->patches += b->patches;
    u->cached += b->cached;
    u->flop += vlm_pass_flop(&b->flop, trained, false);
}
static void name_samples(vlm_trainer *t, const vlm_pick *p, int64_t n) {
    size_t at = strlen(t->why);
    for (int64_t i = 0; i < n && at < sizeof t->why; i++) {
        char row[VLM_ROW_BYTES];
        const char *file;
        vlm_dataset_name(t->data.corpus.set[p[i].set].data, p[i].sample, &file, row);
        at += (size_t)snprintf(t->why + at, sizeof t->why - at, "%s%.200s:%.200s", i ? ", " : "; samples ", file, row);
    }
    if (at >= sizeof t->why) memcpy(t->why + sizeof t->why - 5, " ...", 5);
}

/* The gradients and losses of one update's batches. *any: there was a batch. */
vlm_status vlm_trainer_gradients(vlm_trainer *t, vlm_update *u, bool *any) {
    const feed epoch = { t->loader, &t->data.corpus, t->order.n, &t->at.index, t->at.step + 1, &t->pending, &t->has_pending };
    double sum = 0, waited = 0;
    *any = false;
    t->seen.n = 0;
    vlm_optimizer_zero(&t->opt, t->ctx);
    for (int64_t k = 0; k < t->o->accumulate; k++) {
        const float *nll;
        double t0 = vlm_now_ms();
        TRY(next_batch(t, &epoch));
        waited += vlm_now_ms() - t0;
        const vlm_batch *b = &t->batch;
        if (!b->samples) break;
        *any = true;
        TRY(room_for(&t->seen.pick, sizeof *t->seen.pick, &t->seen_room, t->seen.n + t->nheld));
        for (int64_t i = 0; i < t->nheld; i++) t->seen.pick[t->seen.n++] = t->held[i].pick;
        TRY(run_batch(t, b, true, t->o->mean_per_microbatch && b->labels ? 1 / (float)b->labels : 1, &nll));
        for (int64_t i = 0; i < b->labels; i++) sum += nll[i];
        count(u, t->trained, b);
    }
    u->loss = u->labels ? sum / (double)u->labels : 0;
    u->wait_ms = waited;
    return VLM_OK;
}

static vlm_status update(vlm_trainer *t, vlm_update *u, bool *any) {
    const vlm_train_options *o = t->o;
    double t0 = vlm_now_ms(), share = vlm_schedule(t->at.step, t->at.steps, o->warmup, o->constant), lr[VLM_GROUPS];
    *u = (vlm_update){ .step = t->at.step + 1, .steps = t->at.steps, .epoch = t->at.epoch, .peak = t->peak };
    for (int g = 0; g < VLM_GROUPS; g++) lr[g] = o->lr[g] * share, u->lr[g] = t->trained & 1u << g ? lr[g] : -1;
    TRY(vlm_trainer_gradients(t, u, any));
    if (!*any) return VLM_OK;
    /* the gradients are sums; the update divides */
    double scale = o->mean_per_microbatch ? 1 / (double)o->accumulate : u->labels ? 1 / (double)u->labels : 0;
    u->grad_norm = vlm_optimizer_norm(&t->opt, t->ctx) * scale;
    *t->why = 0;
    if (!u->labels) snprintf(t->why, sizeof t->why, "no label");
    else if (!isfinite(u->loss)) snprintf(t->why, sizeof t->why, "the loss is %s", isnan(u->loss) ? "NaN" : "infinite");
    else if (!isfinite(u->grad_norm))
        snprintf(t->why, sizeof t->why, "the gradient's norm is %s", isnan(u->grad_norm) ? "NaN" : "infinite");
    else if (o->skip_above > 0 && u->grad_norm > o->skip_above)
        snprintf(t->why, sizeof t->why, "the gradient's norm %g is above --skip-above", u->grad_norm);
    u->skipped = *t->why;
    if (u->labels) t->at.in_a_row = isfinite(u->loss) && isfinite(u->grad_norm) ? 0 : t->at.in_a_row + 1;     /* without: nobody knows */
    if (u->skipped) name_samples(t, t->seen.pick, t->seen.n);
    else {
        if (o->max_grad_norm > 0 && u->grad_norm > o->max_grad_norm) scale *= o->max_grad_norm / (u->grad_norm + 1e-6);
        /* without an image nothing came to vision and projector: as in PyTorch they rest, moments, decay and count of updates too */
        unsigned groups = t->trained & (u->images ? VLM_ALL_GROUPS : 1u << VLM_LANGUAGE);
        vlm_optimizer_step(&t->opt, t->ctx, groups, t->at.updates, (float)scale, lr, o->weight_decay);
        for (int g = 0; g < VLM_GROUPS; g++) t->at.updates[g] += groups >> g & 1;
    }
    u->why = u->skipped ? t->why : NULL;
    t->at.step++;
    u->ms = vlm_now_ms() - t0;
    u->quarantined = t->run.quarantined;
    return VLM_OK;
}

/* ---- Validation: Σ nll over labels / their number ---- */

static vlm_status validate(vlm_trainer *t, double *loss, int64_t *labels) {
    vlm_loaded next = { 0 };
    int64_t i = 0;
    double sum = 0;
    vlm_status status = VLM_OK;
    bool have = false;
    *labels = 0;
    if (!t->val_loader) TRY(vlm_loader_open(t->data.vals_of, &t->data.rule, t->ctx->threads, true, &t->val_loader));
    vlm_loader_start(t->val_loader, t->data.val_picks.pick, t->data.val_picks.n, 0);
    const feed vals = { t->val_loader, t->data.vals_of, t->data.val_picks.n, &i, t->at.step, &next, &have };
    for (;;) {
        const float *nll;
        TRY_DONE(next_batch(t, &vals));
        if (!t->batch.samples) break;
        TRY_DONE(run_batch(t, &t->batch, false, 1, &nll));
        for (int64_t k = 0; k < t->batch.labels; k++) sum += nll[k];
        *labels += t->batch.labels;
        TRY_DONE(vlm_progress("validation", i, t->data.val_picks.n));
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
    if (!t->data.val_picks.n) return VLM_OK;
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
    int64_t saved = -1, pruned = -1, empty = 0;
    bool stopped = false, owed = false;        /* a checkpoint that waits for an update that is finite: the last good ones stay */
    while (t->at.step < t->at.steps && !stopped) {
        vlm_update u;
        bool any;
        TRY(update(t, &u, &any));
        if (!any) {                    /* the epoch is over */
            empty += t->order.n > 0;   /* a weight far below 1 takes nothing in most epochs */
            if (empty > 1) return vlm_fail(VLM_EFORMAT, t->o->data[0], "has no sample left that can be trained on; see quarantine.jsonl");
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
        if (saved > pruned && u.labels && !t->at.in_a_row) TRY(vlm_checkpoint_prune(t, pruned = saved));
        if (due(t->o->eval_every, t->at.step) || t->at.step == t->at.steps) {
            int64_t best = t->at.best_step;
            TRY(validation(t));
            if (t->at.best_step != best) saved = t->at.step;
        }
        stopped = t->hooks.stop && t->hooks.stop(t->hooks.user);
        owed = owed || due(t->o->save_every, t->at.step);
        if (saved != t->at.step && ((owed && !t->at.in_a_row) || t->at.step == t->at.steps || stopped)) {
            TRY(vlm_checkpoint_save(t));
            saved = t->at.step;
        }
        owed = owed && saved != t->at.step;
    }
    if (saved > pruned && !stopped) TRY(vlm_checkpoint_prune(t, saved));
    return stopped && t->at.step < t->at.steps ? vlm_fail(VLM_ESTOPPED, t->o->run, "stopped; go on with --resume auto") : VLM_OK;
}

vlm_status vlm_train(const vlm_train_options *options, const vlm_train_hooks *hooks) {
    vlm_trainer t = { 0 };
    vlm_train_options o = *options;
    vlm_train_start s = { 0 };
    t.o = &o;
    if (hooks) t.hooks = *hooks;
    TRY(vlm_train_check(&o));
    vlm_status status = open_all(&t, &s);
    if (!status && t.hooks.start) t.hooks.start(t.hooks.user, &s);
    if (!status) status = o.dump_grads ? vlm_dump_grads(&t) : run(&t);
    close_all(&t);
    return status;
}

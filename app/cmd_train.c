/* vlm train: options, and what people see of a run. */
#include "open.h"
#include "train/trainer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "vision,language": bits of vlm_group. */
static vlm_status parse_parts(const char *text, unsigned *mask) {
    *mask = 0;
    for (const char *p = text; p && *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, ",");
        int g = 0;
        while (g < VLM_GROUPS && (strlen(vlm_group_name(g)) != n || strncmp(vlm_group_name(g), p, n))) g++;
        if (g == VLM_GROUPS)
            return vlm_usage("--freeze", "\"%.*s\" is no part; give vision, language, projector, parted by commas", (int)n, p);
        *mask |= 1u << g;
        p += n + (p[n] == ',');
    }
    return VLM_OK;
}
vlm_status vlm_train_options_of(const vlm_args *a, vlm_train_options *out) {
    vlm_train_options o = vlm_train_defaults();
    if (!a->data.n) return vlm_usage("--data", "is missing; name a data set: JSON Lines, a .tar or a folder");
    if (a->from[O_steps] > a->from[O_epochs]) o.steps = a->steps;      /* whichever was said with more authority */
    else if (a->steps && a->from[O_epochs] > VLM_DEFAULT) return vlm_usage("--steps", "and --epochs are given; leave one out");
    if (a->val.n && a->from[O_val_fraction] > VLM_DEFAULT) return vlm_usage("--val-fraction", "and --val are given; leave one out");
    o.model = a->arg[0], o.run = a->output;
    o.data = a->data.v, o.datas = a->data.n, o.val = a->val.v, o.vals = a->val.n, o.val_fraction = a->val_fraction;
    o.dataset = (vlm_dataset_options){ .data_root = a->data_root, .max_images = a->max_images,
                                       .rating_min = { a->relevance_min, a->image_correspondence_min, a->visual_dependency_min,
                                                       a->formatting_min } };
    o.open = vlm_options_of(a);
    o.threads = (int)a->threads, o.seed = (uint64_t)a->seed, o.epochs = a->epochs;
    o.batch_tokens = a->batch_tokens, o.batch_patches = a->batch_patches, o.batch_samples = a->batch_samples;
    o.accumulate = a->accumulate, o.mean_per_microbatch = a->mean_per_microbatch;
    const double own[VLM_GROUPS] = { a->lr_vision, a->lr_projector, a->lr_language };
    const int from[VLM_GROUPS] = { a->from[O_lr_vision], a->from[O_lr_projector], a->from[O_lr_language] };
    for (int g = 0; g < VLM_GROUPS; g++) o.lr[g] = a->from[O_lr] > VLM_DEFAULT && from[g] == VLM_DEFAULT ? a->lr : own[g];
    TRY(parse_parts(a->freeze, &o.frozen));
    o.recompute = a->recompute, o.no_shuffle = a->no_shuffle, o.shrink_images = a->shrink_images;
    if (a->from[O_cache_dtype] > VLM_DEFAULT && !a->cache_features)
        return vlm_usage("--cache-dtype", "says how --cache-features keeps them; give that, too");
    o.cache_features = a->cache_features, o.cache_bf16 = a->cache_features && !strcmp(a->cache_dtype, "bf16");
    TRY(vlm_parse_bytes("--memory", a->memory, &o.memory_bytes));
    *out = o;
    return VLM_OK;
}

/* ---- What is shown ---- */

typedef struct view {
    const vlm_args *a;
    double begin, last;
    int64_t first, quarantined;
    double tokens, images, cached, ms, flop, wait;     /* since the last line */
} view;

static void on_start(void *user, const vlm_train_start *s) {
    view *v = user;
    char w[32], o[32], act[32], l[32];
    vlm_note("vlm: %lld samples, %lld held out, %lld quarantined; %lld updates%s", (long long)s->samples, (long long)s->held_out,
             (long long)s->quarantined, (long long)s->steps, s->from_step ? "" : " planned");
    vlm_note("vlm: %.4g M parameters, %.4g M trained; memory %s weights + %s gradients and moments + %s activations + %s data",
             (double)s->parameters / 1e6, (double)s->trained / 1e6, vlm_bytes_text((double)s->weights_bytes, w),
             vlm_bytes_text((double)s->optimizer_bytes, o), vlm_bytes_text((double)s->activation_bytes, act),
             vlm_bytes_text((double)s->loader_bytes, l));
    if (v->a->cache_features)
        vlm_note("vlm: features of all images take at most %s in %s, where %s are free", vlm_bytes_text((double)s->cache_bytes, w),
                 v->a->cache_features, s->cache_room == SIZE_MAX ? "an unknown number" : vlm_bytes_text((double)s->cache_room, o));
    if (s->from_step) vlm_note("vlm: goes on behind update %lld", (long long)s->from_step);
    v->first = s->from_step;
    v->begin = v->last = vlm_now_ms();
    vlm_term_training(true);
}
static void on_update(void *user, const vlm_update *u) {
    view *v = user;
    double now = vlm_now_ms(), gap = vlm_term_is_terminal() ? 100 : 10000;
    v->tokens += (double)u->tokens, v->images += (double)u->images, v->cached += (double)u->cached;
    v->ms += u->ms, v->flop += u->flop, v->wait += u->wait_ms;
    if (now - v->last < gap && u->step > v->first + 1 && u->step < u->steps && !v->a->verbose) return;
    if (u->ms <= 0) return;            /* --dump-grads: none was made */
    double left = (now - v->begin) / (double)(u->step - v->first) * (double)(u->steps - u->step) / 1e3, s = v->ms / 1e3;
    char mfu[24] = "", bad[40] = "", known[40] = "", rates[64] = "", waits[32] = "";
    if (u->peak > 0) snprintf(mfu, sizeof mfu, ", MFU %.0f %%", 100 * v->flop / s / u->peak);
    if (u->quarantined) snprintf(bad, sizeof bad, ", %lld quarantined", (long long)u->quarantined);
    if (v->a->cache_features && v->images > 0) snprintf(known, sizeof known, " (%.0f %% from the cache)", 100 * v->cached / v->images);
    if (v->wait > 0.05 * v->ms) snprintf(waits, sizeof waits, ", waits for data %.0f %%", 100 * v->wait / v->ms);
    for (int g = 0; g < VLM_GROUPS; g++)
        if (u->lr[g] >= 0) snprintf(rates + strlen(rates), sizeof rates - strlen(rates), "%s%.2g", *rates ? "/" : "", u->lr[g]);
    vlm_term_live("step %lld/%lld, loss %.4f, lr %s, grad %.3f, %.0f tokens/s, %.3g images/s%s%s%s%s, %d:%02d left", (long long)u->step,
                  (long long)u->steps, u->loss, rates, u->grad_norm, v->tokens / s, v->images / s, known, mfu, waits, bad, (int)(left / 60),
                  (int)fmod(left, 60));
    v->last = now;
    v->tokens = v->images = v->cached = v->ms = v->flop = v->wait = 0;
}
static void on_validation(void *user, int64_t step, double loss, int64_t labels, bool best) {
    (void)user;
    vlm_note("vlm: step %lld: validation loss %.4f over %lld labels%s", (long long)step, loss, (long long)labels,
             best ? ", the best so far" : "");
}
/* One line of the text, as far as it goes. */
static void on_line(const char *label, const char *text) {
    enum { MOST = 500 };
    char line[MOST + 16], c[8];
    size_t n = strlen(text), at = 0, i = 0;
    while (i < n && at < MOST) {
        i += vlm_safe_char(text + i, n - i, c);
        at += (size_t)snprintf(line + at, sizeof line - at, "%s", *c == '\n' ? "\\n" : *c == '\t' ? " " : c);
    }
    while (i < n && at && ((unsigned char)text[i] & 0xC0) == 0x80) i--, at--;     /* not half a character */
    line[at] = 0;
    vlm_note("     %s: %s%s", label, line, i < n ? " ..." : "");
}
static void on_show(void *user, const char *where, const char *question, const char *reference, const char *answer) {
    (void)user;
    on_line("sample", where);
    on_line("question", question);
    on_line("reference", reference);
    on_line("answer", answer);
}
static void on_quarantine(void *user, const char *file, const char *row, const char *code, const char *reason) {
    view *v = user;
    if (v->quarantined++ < 10) vlm_note("vlm: quarantined %s:%s (%s): %s", file, row, code, reason);
    if (v->quarantined == 10) vlm_note("vlm: further ones are only counted here; quarantine.jsonl has them all");
}
static void on_saved(void *user, const char *path) { (void)user; vlm_note("vlm: saved %s", path); }
static int on_stop(void *user) { (void)user; return vlm_stopped(); }

/* The command as it was typed, for run.json. */
static char *command_line(const vlm_args *a) {
    size_t n = 64;
    for (int i = 0; i < a->words; i++) n += strlen(a->word[i]) + 1;
    char *s = malloc(n);
    if (!s) return NULL;
    strcpy(s, "vlm");
    for (int i = 0; i < a->words; i++) { strcat(s, " "); strcat(s, a->word[i]); }
    return s;
}

vlm_status vlm_cmd_train(vlm_args *a) {
    vlm_train_options o;
    view v = { .a = a };
    TRY(vlm_train_options_of(a, &o));
    TRY(vlm_need_output(a));
    if (a->show && !a->val.n && a->val_fraction == 0) return vlm_usage("--show", "shows held-out samples; give --val or --val-fraction");
    o.constant = !strcmp(a->schedule, "constant"), o.warmup = a->warmup, o.weight_decay = a->weight_decay, o.decay_all = a->decay_all;
    o.max_grad_norm = a->max_grad_norm, o.skip_above = a->skip_above, o.strict = a->strict;
    o.eval_every = a->eval_every, o.show = a->show, o.save_every = a->save_every, o.keep = a->keep;
    o.resume = a->resume, o.allow_change = a->allow_change, o.dump_grads = a->dump_grads;
    char *command = command_line(a);
    o.command = command;
    vlm_train_hooks hooks = { .user = &v, .start = on_start, .update = on_update, .validation = on_validation, .show = on_show,
                              .quarantine = on_quarantine, .saved = on_saved, .stop = on_stop };
    vlm_hold();
    vlm_status status = vlm_train(&o, &hooks);
    vlm_term_training(false);
    vlm_status stopped = vlm_release();
    free(command);
    if (status == VLM_ESTOPPED) vlm_note("vlm: stopped; --resume auto goes on");
    if (v.quarantined)
        vlm_note("vlm: %lld samples were quarantined; %s/quarantine.jsonl says which and why", (long long)v.quarantined, a->output);
    if (!status) status = stopped;
    if (status) return status;
    if (a->json) return vlm_json_out(json_pack("{s:o}", "path", vlm_json_text(a->output)));
    printf("%s\n", a->output);
    return VLM_OK;
}

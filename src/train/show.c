/* What the model answers to some held-out samples by now, for people who watch. Reads the weights and changes nothing of the run. */
#include "base/log.h"
#include "train/evaluate.h"
#include "train/train_impl.h"

static int on_text(void *user, const char *text, size_t bytes) {       /* a run that is to stop does not finish its answers */
    const vlm_trainer *t = user;
    (void)text, (void)bytes;
    return t->hooks.stop && t->hooks.stop(t->hooks.user);
}
static vlm_status show(vlm_trainer *t, vlm_evaluator *e, vlm_pick pick) {
    struct vlm_sample s;
    vlm_evaluated r;
    vlm_bad why;
    TRY(vlm_dataset_read(t->data.vals_of->set[pick.set].data, pick.sample, &s, &why));
    vlm_status status = vlm_evaluate(e, &s, &r, &why);
    if (!status) {
        t->hooks.show(t->hooks.user, s.where, s.turn[s.turns - 1].user, r.reference[0], r.answer);
        vlm_evaluated_free(&r);
    }
    vlm_sample_free(&s);
    return status;
}
void vlm_trainer_show(vlm_trainer *t) {
    int64_t n = t->o->show < t->data.val_picks.n ? t->o->show : t->data.val_picks.n;
    vlm_evaluator *e = NULL;
    if (!t->hooks.show || !n) return;
    vlm_status status = vlm_evaluator_open(t->m, &(vlm_evaluate_options){ .measures = 1u << VLM_EXACT, .threads = t->ctx->threads,
                                                                          .on_text = on_text, .user = t }, &e);
    for (int64_t i = 0; i < n && e; i++) {
        status = show(t, e, t->data.val_picks.pick[i]);
        if (status == VLM_ESTOPPED) break;
        if (status) vlm_warn(vlm_error_where(), "the answer cannot be shown: %s", vlm_error_message());
    }
    if (!e) vlm_warn(vlm_error_where(), "answers cannot be shown: %s", vlm_error_message());
    vlm_evaluator_close(e);
}

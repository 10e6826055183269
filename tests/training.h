/* A golden model, a data set's samples as training sees them, and one batch of some of them with its losses and gradients: for tests that
   go through a batch by hand. Needs the folder tests/golden's parent as working folder, or whole paths. */
#ifndef TRAINING_H
#define TRAINING_H
#include "train/optimizer.h"
#include "train/pass.h"
#include <stdlib.h>
#include <string.h>

typedef struct rig {
    vlm_model *m;
    vlm_ctx *ctx;                      /* splits work however small it is */
    vlm_dataset *data;
    vlm_example *example;              /* (n) every sample of the data */
    int64_t n;
    vlm_batch batch;
    vlm_optimizer opt;                 /* opt.grads: sums over labels, not yet divided */
    vlm_pass *pass;
    const float *nll;                  /* of the batch's labels */
} rig;

static inline void rig_reset(rig *r) {         /* the batch, its pass and its gradients go */
    vlm_pass_close(r->pass);
    vlm_optimizer_close(&r->opt);
    vlm_ctx_close(r->ctx);
    vlm_batch_reset(&r->batch);
    r->pass = NULL, r->ctx = NULL, r->nll = NULL;
}
static inline void rig_close(rig *r) {
    rig_reset(r);
    vlm_batch_free(&r->batch);
    for (int64_t i = 0; r->example && i < r->n; i++) vlm_example_free(&r->example[i]);
    free(r->example);
    vlm_dataset_close(r->data);
    vlm_model_close(r->m);
    *r = (rig){ 0 };
}
/* Opens a model folder and makes every sample of `data` an example. rig_close afterwards, whatever happened. */
static inline vlm_status rig_open(rig *r, const char *model, const char *data, const vlm_model_options *options) {
    *r = (rig){ 0 };
    TRY(vlm_model_open_as(model, options, VLM_OPEN_F32, &r->m));
    TRY(vlm_dataset_open(data, &(vlm_dataset_options){ .max_images = 8, .need_assistant = true }, &r->data));
    vlm_example_rule rule = { .m = r->m, .max_tokens = r->m->context, .max_images = 8 };
    int64_t n = vlm_dataset_count(r->data);
    if (!(r->example = calloc((size_t)n, sizeof *r->example))) return vlm_fail_memory(data, (size_t)n);
    for (; r->n < n; r->n++) {
        struct vlm_sample s;
        vlm_bad why;
        TRY(vlm_dataset_read(r->data, r->n, &s, &why));
        vlm_status status = vlm_example_make(&rule, &s, true, &r->example[r->n], &why);
        vlm_sample_free(&s);
        TRY(status);
    }
    return VLM_OK;
}
/* Most that the batch holds. */
static inline vlm_caps rig_caps(const vlm_batch *b) {
    return (vlm_caps){ b->units, b->rows, b->most, b->T, b->image_tokens, b->samples, b->labels };
}
/* The batch as it stands through the model and, if groups are trained, back. caps 0: as much memory as the batch needs. */
static inline vlm_status rig_go(rig *r, int threads, vlm_pass_options o) {
    vlm_pass_close(r->pass);
    vlm_optimizer_close(&r->opt);
    vlm_ctx_close(r->ctx);
    r->pass = NULL;
    if (!(r->ctx = vlm_ctx_open(threads, VLM_SCRATCH_BYTES))) return vlm_fail_memory("the threads", VLM_SCRATCH_BYTES);
    r->ctx->eager = true;
    if (!o.caps.samples) o.caps = rig_caps(&r->batch);
    if (o.trained) TRY(vlm_optimizer_open(r->m->net, o.trained, false, &r->opt));
    TRY(vlm_pass_open(r->m->net, r->opt.grads, r->ctx, &o, &r->pass));
    TRY(vlm_pass_forward(r->pass, &r->batch, o.trained != 0, 1, &r->nll));
    if (o.trained) vlm_pass_backward(r->pass, &r->batch);
    return VLM_OK;
}
/* The same with a batch of these examples (order[0..n-1]; NULL: all). */
static inline vlm_status rig_run(rig *r, const int *order, int64_t n, int threads, vlm_pass_options o) {
    rig_reset(r);
    for (int64_t i = 0; i < (order ? n : r->n); i++) TRY(vlm_batch_add(&r->batch, r->m, &r->example[order ? order[i] : i]));
    return rig_go(r, threads, o);
}
/* Σ nll of sample i of the batch, in the labels' order. */
static inline double rig_nll(const rig *r, int64_t i) {
    double sum = 0;
    for (int64_t k = i ? r->batch.label_end[i - 1] : 0; k < r->batch.label_end[i]; k++) sum += r->nll[k];
    return sum;
}
#endif

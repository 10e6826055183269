#include "base/file.h"
#include "io/npy.h"
#include "model/save.h"
#include "train/train_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vlm_status dump(vlm_trainer *t, const vlm_param *p, const char *name, float scale) {
    char file[160];
    int64_t n = vlm_param_len(p);
    snprintf(file, sizeof file, "%s.npy", name);
    char *path = vlm_join(t->o->dump_grads, file);
    float *g = malloc((size_t)n * sizeof *g + 1);
    vlm_status status = !path || !g ? vlm_fail_memory(name, (size_t)n * sizeof *g) : VLM_OK;
    if (!status) status = vlm_params_values(p, t->ctx, &t->m->net->ops, 0, p->shape[0], g);
    for (int64_t i = 0; !status && i < n; i++) g[i] *= scale;
    if (!status) status = vlm_npy_write(path, VLM_T_F32, p->ndim, p->shape, g);
    free(path);
    free(g);
    return status;
}
vlm_status vlm_dump_grads(vlm_trainer *t) {
    vlm_update u = { .step = t->at.step + 1, .steps = t->at.steps };
    bool any;
    TRY(vlm_trainer_gradients(t, &u, &any));
    if (!any || !u.labels) return vlm_fail(VLM_EFORMAT, t->o->data[0], "has no label in its first update; there is no gradient to write");
    TRY(vlm_dir_make(t->o->dump_grads));
    float scale = t->o->mean_per_microbatch ? 1 / (float)t->o->accumulate : 1 / (float)u.labels;
    const vlm_params *ps = &t->opt.grads->params;
    for (int i = 0; i < ps->n; i++) {
        const vlm_param *p = &ps->p[i];
        if (!p->tied && t->trained & 1u << p->group) TRY(dump(t, p, vlm_stored_name(t->m->net, p), scale));
    }
    double share = vlm_schedule(t->at.step, t->at.steps, t->o->warmup, t->o->constant);
    for (int g = 0; g < VLM_GROUPS; g++) u.lr[g] = t->trained & 1u << g ? t->o->lr[g] * share : -1;
    u.grad_norm = vlm_optimizer_norm(&t->opt, t->ctx) * (double)scale;
    TRY(vlm_run_metrics(&t->run, &u));
    if (t->hooks.update) t->hooks.update(t->hooks.user, &u);
    return VLM_OK;
}

#include "train/optimizer.h"
#include <math.h>
#include <stdlib.h>

double vlm_schedule(int64_t it, int64_t steps, double warm, bool constant) {
    const double pi = 3.14159265358979323846, least = 0.1;
    double w = warm < 1 ? warm * (double)steps : warm, i = (double)it, n = (double)steps;
    if (i < w) return (i + 1) / w;
    if (constant) return 1;
    if (i > n) return least;
    return n > w ? least + 0.5 * (1 + cos(pi * (i - w) / (n - w))) * (1 - least) : 1;
}

static int64_t blocks_of(size_t bytes) { return (int64_t)((bytes / sizeof(real) + VLM_SUM_BLOCK - 1) / VLM_SUM_BLOCK); }
size_t vlm_optimizer_bytes(const vlm_net *net, unsigned trained) {     /* as vlm_net_zeros places them, padding of panels included */
    size_t bytes = 0;
    for (int i = 0; i < net->params.n; i++) {
        void *data;
        int64_t n;
        if (!(trained & 1u << net->params.p[i].group) || !vlm_params_operand(&net->params, i, &data, &n)) continue;
        bytes += ((size_t)n * sizeof(real) + 63) & ~(size_t)63;
    }
    return 3 * bytes;
}
vlm_status vlm_optimizer_open(const vlm_net *net, unsigned trained, bool decay_all, vlm_optimizer *out) {
    vlm_optimizer o = { .net = net, .trained = trained, .decay_all = decay_all };
    vlm_status status = VLM_OK;
    TRY_DONE(vlm_net_zeros(net, trained, &o.grads));
    TRY_DONE(vlm_net_zeros(net, trained, &o.m));
    TRY_DONE(vlm_net_zeros(net, trained, &o.v));
    o.blocks = blocks_of(o.grads->bytes);
    o.sums = net->ops.alloc((size_t)o.blocks * sizeof *o.sums + 1);
    o.host_sums = malloc((size_t)o.blocks * sizeof *o.host_sums + 1);
    if (!o.sums || !o.host_sums) { status = vlm_fail_memory("the optimiser", (size_t)o.blocks * 8); goto done; }
    *out = o;
    return VLM_OK;
done:
    vlm_optimizer_close(&o);
    return status;
}
void vlm_optimizer_close(vlm_optimizer *o) {
    if (o->sums) o->net->ops.free(o->sums, (size_t)o->blocks * sizeof *o->sums + 1);
    free(o->host_sums);
    vlm_net_close(o->grads);
    vlm_net_close(o->m);
    vlm_net_close(o->v);
    *o = (vlm_optimizer){ 0 };
}
void vlm_optimizer_zero(vlm_optimizer *o, vlm_ctx *ctx) { o->net->ops.zero(ctx, o->grads->memory, o->grads->bytes); }

double vlm_optimizer_norm(vlm_optimizer *o, vlm_ctx *ctx) {
    double sum = 0;
    o->net->ops.square_sums(ctx, o->sums, o->grads->memory, (int64_t)(o->grads->bytes / sizeof(real)));
    o->net->ops.download(ctx, o->host_sums, o->sums, (size_t)o->blocks * sizeof *o->sums);
    o->net->ops.sync(ctx);
    for (int64_t i = 0; i < o->blocks; i++) sum += o->host_sums[i];
    return sqrt(sum);
}

void vlm_optimizer_step(vlm_optimizer *o, vlm_ctx *ctx, unsigned groups, const int64_t t[VLM_GROUPS], float scale,
                        const double lr[VLM_GROUPS], double decay) {
    const float beta1 = 0.9f, beta2 = 0.999f;          /* floats: the op's 1 - beta and these powers are of the same numbers */
    const vlm_params *ps = &o->net->params;
    for (int i = 0; i < ps->n; i++) {
        void *p, *g, *m, *v;
        int64_t n;
        const vlm_param *row = &ps->p[i];
        if (!(groups & 1u << row->group) || !vlm_params_operand(ps, i, &p, &n)) continue;
        vlm_params_operand(&o->grads->params, i, &g, &n);
        vlm_params_operand(&o->m->params, i, &m, &n);
        vlm_params_operand(&o->v->params, i, &v, &n);
        bool decays = o->decay_all || (row->mat && row->mat != &o->net->lm.embed);
        double made = (double)(t[row->group] + 1), c1 = 1 - pow((double)beta1, made), c2 = 1 - pow((double)beta2, made);
        o->net->ops.adamw_update(ctx, p, m, v, g, n, scale, (float)lr[row->group], decays ? (float)decay : 0, beta1, beta2, 1e-8f,
                                 (float)c1, (float)c2);
    }
}

#include "train/forecast.h"

/* A batch, forward and back: as many products as vlm_pass_flop counts. */
static vlm_seconds pass_of(const vlm_plan *p, const vlm_model *model, const vlm_limits *m, const vlm_extent *x, double share) {
    const vlm_net *net = model->net;
    unsigned trained = p->pass.trained;
    bool vision = trained >> VLM_VISION & 1, projector = trained >> VLM_PROJECTOR & 1, language = trained >> VLM_LANGUAGE & 1;
    double rows = share * (double)x->rows, tokens = share * (double)x->tokens, labels = share * (double)x->labels;
    double seen = share * (x->flop.vision - vlm_vision_linear_flop(&net->vit.cfg, (double)x->rows, (double)x->patches));
    double read = share * (x->flop.blocks - vlm_blocks_linear_flop(&net->lm.cfg, (double)x->tokens));
    vlm_seconds sum = { 0 };
    if (rows > 0) {
        vlm_seconds f = vlm_cost_vision(net, m, rows, seen > 0 ? seen : 0), g = vlm_cost_projector(net, m, share * (double)x->image_tokens);
        vlm_seconds_add(&sum, f, 1);
        vlm_seconds_add(&sum, g, 1);
        if (vision) vlm_seconds_add(&sum, vlm_cost_backward(f, true), 1);
        if (vision && p->pass.recompute) vlm_seconds_add(&sum, (vlm_seconds){ f.linear, f.attention / 2, f.rest }, 1);   /* vit.c */
        if (vision) vlm_seconds_add(&sum, vlm_cost_backward(g, projector), 1);
        else if (projector) vlm_seconds_add(&sum, g, 1);
    }
    vlm_seconds f = vlm_cost_blocks(net, m, tokens, read), h = vlm_cost_head(net, m, labels);
    h.rest += 6 * 4 * labels * (double)net->lm.cfg.V / m->read;                            /* logits come and go */
    vlm_seconds_add(&sum, f, 1);
    vlm_seconds_add(&sum, h, 1);
    if (!trained) return sum;
    vlm_seconds_add(&sum, vlm_cost_backward(f, language), 1);
    vlm_seconds_add(&sum, vlm_cost_backward(h, language), 1);
    if (p->pass.recompute) vlm_seconds_add(&sum, (vlm_seconds){ f.linear * (net->lm.cfg.sandwich ? 1 : 0.75), f.attention, f.rest }, 1);
    return sum;
}
vlm_forecast vlm_forecast_make(const vlm_plan *p, const vlm_train_options *o, const vlm_model *model, const vlm_limits *m) {
    vlm_forecast f = { .optimizer = vlm_cost_optimizer(m, (double)p->trained) };
    if (p->batches < 1 || p->updates < 1) return f;
    f.batch = pass_of(p, model, m, &p->epoch, 1 / (double)p->batches);
    double all = vlm_seconds_sum(f.batch) * (double)p->batches;
    f.largest = vlm_seconds_sum(pass_of(p, model, m, &p->largest, 1)) * (double)o->accumulate + f.optimizer;
    f.epoch = all + f.optimizer * (double)p->updates;
    f.update = f.epoch / (double)p->updates;
    f.run = f.update * (double)p->steps;
    return f;
}

#include "infer/cost.h"
#include "infer/session.h"
#include <math.h>

/* Shares of the machine's limits that the ops reach: vlm bench growth and vlm bench train set them beside what is measured. The reason
   stands beside each; all tuning of predictions is here. */
static const struct { double rows, share; } linear_shares[] = {        /* of FMA, by rows: */
    { 256, 0.85 },                     /* tiles full, panels of weights used many times; packing of x and the ends of tiles take the rest */
    { 64, 0.72 },                      /* the last tile is part empty, panels are used a few times */
    { 12, 0.60 },
    { 0, 0.35 } };                     /* less than one tile: chains too few to fill the units; reading decides anyway */
static const double
    INT8 = 0.82, GROUPS = 0.54,        /* of dot, times the share above: what is beside the products costs more, where these are fast, and
                                          groups end in floats each 32 inputs (vlm bench gemm, i8 and g8, rows>=256: 70 and 46 % by work) */
    ATTENTION_INT8 = 0.39,             /* of dot: rounding, and the exponentials, which are as slow as ever */
    ATTENTION = 0.68,                  /* of FMA: two products of 64 wide heads, and the exponentials between them */
    CAUSAL = 0.62,                     /* the same where half of the blocks on the diagonal is thrown away */
    ATTENTION_READ = 0.80,             /* of reading: one row goes along a cache, in pieces of a head */
    WEIGHTS_READ = 0.95,               /* of reading: weights of one token, between small ops that do not read */
    BACK_LINEAR = 1.02,                /* of a forward: either gradient is the same product, with weights turned or rows gathered */
    BACK_ATTENTION = 2.5,              /* five products for two */
    BACK_REST = 2.5,                   /* what was not kept is made again, and each norm sums twice */
    OP_SECONDS = 2.5e-6,                /* a thread team's start and end, once an op */
    OPTIMIZER_BYTES = 40;              /* of a parameter: 4 zeroed, 4 squared, 16 read and 12 written, which reads some lines again */
enum { OPS_OF_BLOCK = 12 };

void vlm_seconds_add(vlm_seconds *sum, vlm_seconds s, double times) {
    sum->linear += times * s.linear, sum->attention += times * s.attention, sum->rest += times * s.rest;
}

/* Multiply-adds, or the weights on their way from memory: whichever takes longer hides the other. */
static double linear(const vlm_limits *m, const vlm_mat *w, double rows) {
    int i = 0;
    while (rows < linear_shares[i].rows) i++;
    double peak = m->fma;
    if (vlm_dtype_quantized(w->dtype) && m->dot > 0) peak = m->dot * (w->dtype == VLM_I8 ? INT8 : GROUPS);
    return fmax(2 * rows * (double)w->rows * (double)w->cols / (peak * linear_shares[i].share),
                (double)vlm_mat_bytes(w) / (m->read * WEIGHTS_READ));
}

double vlm_vision_linear_flop(const vlm_vit_config *c, double rows, double patches) {
    double D = (double)c->D, F = (double)c->F;
    return (double)c->L * 2 * rows * D * (4 * D + (c->gated ? 3 : 2) * F) + 2 * patches * D * 3 * (double)(c->P * c->P);
}
double vlm_blocks_linear_flop(const vlm_lm_config *c, double rows) {
    double D = (double)c->D, q = (double)(c->H * c->Dh), kv = (double)(2 * c->G * c->Dh);
    return (double)c->L * 2 * rows * D * (2 * q + kv + 3 * (double)c->F);
}

/* Values of a row that the ops between the products read and write: norms, rotation, residuals, the activation. */
static double rest(const vlm_limits *m, double layers, double rows, double D, double qkv, double F) {
    return layers * (rows * 4 * (10 * D + 2 * qkv + 4 * F) / m->read + OPS_OF_BLOCK * OP_SECONDS);
}
vlm_seconds vlm_cost_vision(const vlm_net *net, const vlm_limits *m, double rows, double attention_flop) {
    const vlm_vit_config *c = &net->vit.cfg;
    double rate = vlm_net_int8_attention(net) && m->dot > 0 ? m->dot * ATTENTION_INT8 : m->fma * ATTENTION;
    vlm_seconds s = { .linear = linear(m, &net->vit.patch, rows), .attention = attention_flop / rate };
    for (int64_t l = 0; l < c->L; l++) {
        const vlm_vit_block *b = &net->vit.block[l];
        s.linear += linear(m, &b->qkv, rows) + linear(m, &b->out, rows) + linear(m, &b->up, rows) + linear(m, &b->down, rows);
    }
    s.rest = rest(m, (double)c->L, rows, (double)c->D, 2.0 * (double)c->D, (double)c->F);
    return s;
}
vlm_seconds vlm_cost_projector(const vlm_net *net, const vlm_limits *m, double tokens) {
    if (!net->vision || !net->language) return (vlm_seconds){ 0 };
    return (vlm_seconds){ .linear = linear(m, &net->projector, tokens), .rest = 8 * tokens * (double)net->projector.cols / m->read };
}
vlm_seconds vlm_cost_blocks(const vlm_net *net, const vlm_limits *m, double rows, double attention_flop) {
    const vlm_lm_config *c = &net->lm.cfg;
    vlm_seconds s = { .attention = attention_flop / (m->fma * CAUSAL) };
    for (int64_t l = 0; l < c->L; l++) {
        const vlm_lm_block *b = &net->lm.block[l];
        s.linear += linear(m, &b->qkv, rows) + linear(m, &b->out, rows) + linear(m, &b->up, rows) + linear(m, &b->down, rows);
    }
    s.rest = rest(m, (double)c->L, rows, (double)c->D, (double)(c->Dh * (c->H + c->G)), (double)c->F);
    return s;
}
vlm_seconds vlm_cost_head(const vlm_net *net, const vlm_limits *m, double rows) {
    return (vlm_seconds){ .linear = linear(m, net->lm.cfg.tied ? &net->lm.embed : &net->lm.head, rows) };
}

vlm_seconds vlm_cost_encode(const vlm_net *net, const vlm_limits *m, const vlm_grid *grid, int64_t n) {
    const vlm_vit_config *c = &net->vit.cfg;
    double rows = 0, patches = 0, tokens = 0, flop = 0;
    if (!net->vision || !n) return (vlm_seconds){ 0 };
    for (int64_t i = 0; i < n; i++) {
        patches += (double)(grid[i].h * grid[i].w);
        rows += (double)(vlm_vit_prefix(c) + grid[i].h * grid[i].w);
        tokens += (double)vlm_tokens_of(grid[i], net->shuffle);
        flop += vlm_vit_flop(c, grid[i]);
    }
    vlm_seconds s = vlm_cost_vision(net, m, rows, flop - vlm_vision_linear_flop(c, rows, patches));
    vlm_seconds_add(&s, vlm_cost_projector(net, m, tokens), 1);
    return s;
}
static double attention_flop(const vlm_lm_config *c, int64_t tokens, int64_t past) {
    return vlm_lm_flop(c, tokens, past) - vlm_blocks_linear_flop(c, (double)tokens) - 2 * (double)c->D * (double)c->V;
}
vlm_seconds vlm_cost_prefill(const vlm_net *net, const vlm_limits *m, int64_t tokens, int64_t past) {
    vlm_seconds s = { 0 };
    if (!net->language || tokens < 1) return s;
    for (int64_t at = 0, n; at < tokens; at += n) {
        n = tokens - at < VLM_CHUNK ? tokens - at : VLM_CHUNK;
        vlm_seconds_add(&s, vlm_cost_blocks(net, m, (double)n, attention_flop(&net->lm.cfg, n, past + at)), 1);
    }
    vlm_seconds_add(&s, vlm_cost_head(net, m, 1), 1);
    return s;
}
vlm_seconds vlm_cost_token(const vlm_net *net, const vlm_limits *m, int64_t past, vlm_dtype kv_type) {
    const vlm_lm_config *c = &net->lm.cfg;
    if (!net->language) return (vlm_seconds){ 0 };
    vlm_seconds s = vlm_cost_blocks(net, m, 1, 0), head = vlm_cost_head(net, m, 1);
    double keys = attention_flop(c, 1, past) / (4 * (double)(c->H * c->Dh));           /* of all layers */
    s.attention = 2 * (double)vlm_kv_bytes(kv_type, (int64_t)keys, c->G, c->Dh) / (m->read * ATTENTION_READ);
    vlm_seconds_add(&s, head, 1);
    return s;
}

vlm_seconds vlm_cost_backward(vlm_seconds f, bool weights) {
    return (vlm_seconds){ f.linear * BACK_LINEAR * (1 + weights), f.attention * BACK_ATTENTION, f.rest * BACK_REST };
}
double vlm_cost_optimizer(const vlm_limits *m, double parameters) { return parameters * OPTIMIZER_BYTES / m->read; }

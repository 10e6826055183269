#include "train/pass.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LOGITS = 1 << 25, LOGIT_ROWS = 512 };   /* logits that exist at once, at most; rows of them */

struct vlm_pass {
    const vlm_net *net, *grads;
    vlm_ctx *ctx;
    vlm_pass_options o;
    vlm_vit_acts vit;
    vlm_lm_acts lm;
    act *shuffled, *tokens;            /* (image_tokens, vision D · s²), (image_tokens, D): projected rows, then gradients by them */
    act *patches;                      /* (rows, vision D), with features: patch rows of all units, from the cache or the encoder */
    float *rounded;                    /* (most, vision D), host: one unit on its way to bf16 */
    act *hidden;                       /* (labels, D): of labelled rows, then the gradient by them */
    act *logits;                       /* (chunk, V) */
    real *nll, *lse;                   /* (chunk) */
    int64_t *label;                    /* (chunk), where the ops run */
    int64_t chunk;
    float *host_nll;                   /* (labels) */
    int64_t *ids;                      /* (tokens): those of text, -1 for image rows */
    int64_t *at;                       /* (units): first patch row in vit.x, with features in patches */
    vlm_grid *grid;                    /* (units), of those that go through the encoder */
    const float **pixels;
    int64_t encoded;
    void *dev, *host;
    size_t dev_bytes;
};

/* ---- Memory: one walk, measured, then placed ---- */

static bool trains(const vlm_pass_options *o, vlm_group g) { return o->trained & 1u << g; }
static void take(vlm_arena *dev, vlm_arena *host, const vlm_net *net, const vlm_pass_options *o, vlm_pass *p) {
    const vlm_caps *c = &o->caps;
    const vlm_vit_config *v = &net->vit.cfg;
    const vlm_lm_config *l = &net->lm.cfg;
    vlm_save save = !o->trained ? VLM_SAVE_NOTHING : o->recompute ? VLM_SAVE_STREAM : VLM_SAVE_ALL;
    p->chunk = LOGITS / l->V < 16 ? 16 : LOGITS / l->V > LOGIT_ROWS ? LOGIT_ROWS : LOGITS / l->V;
    if (p->chunk > c->labels) p->chunk = c->labels;
    VLM_TAKE(dev, p->shuffled, c->image_tokens, v->D * net->shuffle * net->shuffle);
    VLM_TAKE(dev, p->tokens, c->image_tokens, l->D);
    if (o->features) VLM_TAKE(dev, p->patches, c->rows, v->D);
    if (o->features && o->bf16) VLM_TAKE(host, p->rounded, c->most, v->D);
    VLM_TAKE(dev, p->hidden, c->labels, l->D);
    VLM_TAKE(dev, p->nll, p->chunk);
    VLM_TAKE(dev, p->lse, p->chunk);
    VLM_TAKE(dev, p->label, p->chunk);
    VLM_TAKE(host, p->host_nll, c->labels);
    VLM_TAKE(host, p->ids, c->tokens);
    VLM_TAKE(host, p->at, c->units);
    VLM_TAKE(host, p->grid, c->units);
    VLM_TAKE(host, p->pixels, c->units);
    size_t mark = vlm_arena_mark(dev);
    bool vision = trains(o, VLM_VISION);
    if (c->units) vlm_vit_take_rows(dev, host, v, c->rows, c->units, c->most, vision ? save : VLM_SAVE_NOTHING, &p->vit);
    /* Encoder and decoder take turns: a frozen encoder is done when the decoder begins, and one that learns works again when the decoder is
       done. Logits are there while neither works. */
    vlm_arena_rewind(dev, vision && c->units ? p->vit.kept : mark);
    vlm_lm_take(dev, host, l, c->tokens, c->samples, save, &p->lm);
    vlm_arena_rewind(dev, p->lm.kept);
    VLM_TAKE(dev, p->logits, p->chunk, l->V);
}
size_t vlm_pass_bytes(const vlm_net *net, const vlm_pass_options *o) {
    vlm_arena dev = { 0 }, host = { 0 };
    vlm_pass p = { 0 };
    take(&dev, &host, net, o, &p);
    return dev.overflow || host.overflow || dev.peak > SIZE_MAX - host.peak ? SIZE_MAX : dev.peak + host.peak;
}
vlm_status vlm_pass_open(const vlm_net *net, const vlm_net *grads, vlm_ctx *ctx, const vlm_pass_options *o, vlm_pass **out) {
    vlm_arena dev = { 0 }, host = { 0 };
    if (o->features && trains(o, VLM_VISION))
        return vlm_fail(VLM_EARG, "vlm_pass_open", "features stand for an encoder that is frozen, and vision is trained; choose one");
    vlm_pass *p = calloc(1, sizeof *p);
    if (!p) return vlm_fail_memory("the pass", sizeof *p);
    *p = (vlm_pass){ .net = net, .grads = grads, .ctx = ctx, .o = *o };
    take(&dev, &host, net, o, p);
    p->dev_bytes = dev.peak;
    if (!dev.overflow && !host.overflow) {
        p->dev = net->ops.alloc(dev.peak + 1);
        p->host = aligned_alloc(64, host.peak + 64);
    }
    if (!p->dev || !p->host) { vlm_pass_close(p); return vlm_fail_memory("a batch's activations", dev.peak + host.peak); }
    dev = (vlm_arena){ .base = p->dev, .size = dev.peak };
    host = (vlm_arena){ .base = p->host, .size = host.peak };
    take(&dev, &host, net, o, p);
    *out = p;
    return VLM_OK;
}
void vlm_pass_close(vlm_pass *p) {
    if (!p) return;
    if (p->dev) p->net->ops.free(p->dev, p->dev_bytes);
    free(p->host);
    free(p);
}

/* The products of a part that learns cost a forward each for the gradients by inputs and by weights. */
double vlm_pass_flop(const vlm_flop *f, unsigned trained, bool recompute) {
    bool vision = trained >> VLM_VISION & 1, projector = trained >> VLM_PROJECTOR & 1, language = trained >> VLM_LANGUAGE & 1;
    if (!trained) return f->vision + f->projector + f->blocks + f->head;
    return f->vision * (vision ? 3 + recompute : 1) + f->projector * (1 + vision + projector) + f->blocks * (2 + language + recompute) +
           f->head * (2 + language);
}

/* ---- Forward ---- */

static vlm_status check_caps(const vlm_caps *c, const vlm_batch *b) {
    const struct { const char *what; int64_t have, most; } caps[] = {
        { "encoder images", b->units, c->units }, { "encoder rows", b->rows, c->rows }, { "patches in one image", b->most, c->most },
        { "tokens", b->T, c->tokens }, { "image tokens", b->image_tokens, c->image_tokens }, { "samples", b->samples, c->samples },
        { "labels", b->labels, c->labels } };
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++)
        if (caps[i].have > caps[i].most)
            return vlm_fail(VLM_ELIMIT, "a batch", "has %" PRId64 " %s, memory was taken for %" PRId64 "; the data has changed meanwhile",
                            caps[i].have, caps[i].what, caps[i].most);
    return VLM_OK;
}

/* Unit u's patch rows into `patches`: from the cache, or from the encoder, whose first one is at x. */
static void keep(vlm_pass *p, const vlm_batch *b, int64_t u, const act *x) {
    const vlm_ops *ops = &p->net->ops;
    int64_t D = p->net->vit.cfg.D, n = b->grid[u].h * b->grid[u].w;
    size_t bytes = (size_t)(n * D) * sizeof(float);
    act *to = act_at(p->patches, p->at[u] * D);
    if (b->features[u]) ops->upload(p->ctx, to, b->features[u], bytes);
    else if (!p->o.bf16) ops->copy_forward(p->ctx, to, D, x, D, n, D);
    else {
        ops->download(p->ctx, p->rounded, x, bytes);
        ops->sync(p->ctx);
        for (int64_t i = 0; i < n * D; i++) p->rounded[i] = vlm_bf16_float(vlm_float_bf16(p->rounded[i]));
        ops->upload(p->ctx, to, p->rounded, bytes);
        ops->sync(p->ctx);
    }
}
/* Patch rows of all images, at their places; then their tokens, all at once. */
static vlm_status see(vlm_pass *p, const vlm_batch *b) {
    const vlm_net *net = p->net;
    const vlm_ops *ops = &net->ops;
    const vlm_vit_config *c = &net->vit.cfg;
    int64_t s = net->shuffle, width = c->D * s * s, x = 0;
    p->encoded = 0;
    for (int64_t u = 0; u < b->units; u++) {
        if (b->features[u]) continue;
        p->grid[p->encoded] = b->grid[u];
        p->pixels[p->encoded++] = b->pixels[u];
    }
    if (p->encoded) TRY(vlm_vit_forward(p->ctx, ops, &net->vit, p->grid, p->encoded, p->pixels, &p->vit));
    for (int64_t u = 0, row = 0, t = 0; u < b->units; u++) {
        vlm_grid g = b->grid[u];
        if (!b->features[u]) x += vlm_vit_prefix(c);
        p->at[u] = p->o.features ? row : x;
        if (p->o.features) keep(p, b, u, act_at(p->vit.x, x * c->D));
        const act *rows = act_at(p->o.features ? p->patches : p->vit.x, p->at[u] * c->D);
        ops->shuffle_forward(p->ctx, act_at(p->shuffled, t * width), rows, g.h, g.w, s, c->D);
        row += g.h * g.w;
        if (!b->features[u]) x += g.h * g.w;
        t += vlm_tokens_of(g, s);
    }
    ops->linear_forward(p->ctx, p->tokens, p->shuffled, &net->projector, NULL, b->image_tokens);
    return VLM_OK;
}

/* Labelled rows between h (T, D) and the dense `hidden`: neighbours go together. */
static void gather(vlm_pass *p, const vlm_batch *b, bool back) {
    const vlm_ops *ops = &p->net->ops;
    int64_t D = p->net->lm.cfg.D;
    for (int64_t i = 0, n; i < b->labels; i += n) {
        n = 1;
        while (i + n < b->labels && b->label_row[i + n] == b->label_row[i] + n) n++;
        act *h = act_at(p->lm.h, b->label_row[i] * D), *dense = act_at(p->hidden, i * D);
        ops->copy_forward(p->ctx, back ? h : dense, D, back ? dense : h, D, n, D);
    }
}

/* Losses of labelled rows, some at a time; with train the gradient by hidden in its place, and the head's. */
static void losses(vlm_pass *p, const vlm_batch *b, bool train, float scale) {
    const vlm_lm *m = &p->net->lm;
    const vlm_ops *ops = &p->net->ops;
    const vlm_mat *head = m->cfg.tied ? &m->embed : &m->head, *dhead = NULL;
    if (train && trains(&p->o, VLM_LANGUAGE)) dhead = m->cfg.tied ? &p->grads->lm.embed : &p->grads->lm.head;
    for (int64_t i = 0, n; i < b->labels; i += n) {
        n = b->labels - i < p->chunk ? b->labels - i : p->chunk;
        act *h = act_at(p->hidden, i * m->cfg.D);
        ops->upload(p->ctx, p->label, b->label + i, (size_t)n * sizeof *p->label);
        vlm_lm_logits(p->ctx, ops, m, p->logits, h, n);
        ops->crossentropy_forward(p->ctx, p->nll, p->lse, p->logits, p->label, n, m->cfg.V);
        ops->download(p->ctx, p->host_nll + i, p->nll, (size_t)n * sizeof(float));
        if (!train) continue;
        ops->crossentropy_backward(p->ctx, p->logits, p->logits, p->lse, p->label, scale, n, m->cfg.V);
        if (dhead) ops->linear_backward_weight(p->ctx, dhead, NULL, p->logits, h, n);
        ops->linear_backward_input(p->ctx, h, p->logits, head, NULL, n);
    }
    ops->sync(p->ctx);
}

vlm_status vlm_pass_forward(vlm_pass *p, const vlm_batch *b, bool train, float scale, const float **nll) {
    const vlm_net *net = p->net;
    const vlm_ops *ops = &net->ops;
    int64_t D = net->lm.cfg.D;
    TRY(check_caps(&p->o.caps, b));
    if (b->units) TRY(see(p, b));
    vlm_lm_embed(p->ctx, ops, &net->lm, b->ids, b->T, &p->lm);
    for (int64_t i = 0; i < b->runs; i++)
        ops->copy_forward(p->ctx, act_at(p->lm.x, b->run[i].row * D), D, act_at(p->tokens, b->run[i].from * D), D, b->run[i].rows, D);
    vlm_lm_forward(p->ctx, ops, &net->lm, b->segment, b->samples, &p->lm);
    gather(p, b, false);
    losses(p, b, train, scale);
    *nll = p->host_nll;
    return VLM_OK;
}

/* ---- Backward ---- */

/* tokens = shuffled w', shuffled = shuffle(patches of x) */
static void see_backward(vlm_pass *p, const vlm_batch *b) {
    const vlm_net *net = p->net;
    const vlm_ops *ops = &net->ops;
    int64_t D = net->lm.cfg.D, V = net->vit.cfg.D, s = net->shuffle, width = V * s * s;
    for (int64_t i = 0; i < b->runs; i++)
        ops->copy_forward(p->ctx, act_at(p->tokens, b->run[i].from * D), D, act_at(p->lm.h, b->run[i].row * D), D, b->run[i].rows, D);
    if (trains(&p->o, VLM_PROJECTOR))
        ops->linear_backward_weight(p->ctx, &p->grads->projector, NULL, p->tokens, p->shuffled, b->image_tokens);
    if (!trains(&p->o, VLM_VISION)) return;
    ops->linear_backward_input(p->ctx, p->shuffled, p->tokens, &net->projector, NULL, b->image_tokens);
    ops->zero(p->ctx, p->vit.x, (size_t)(p->vit.rows * V) * sizeof(act));      /* prefix rows are not used */
    for (int64_t u = 0, t = 0; u < b->units; u++) {
        ops->shuffle_backward(p->ctx, act_at(p->vit.x, p->at[u] * V), act_at(p->shuffled, t * width), b->grid[u].h, b->grid[u].w, s, V);
        t += vlm_tokens_of(b->grid[u], s);
    }
    vlm_vit_backward(p->ctx, ops, &net->vit, &p->grads->vit, p->grid, p->encoded, p->pixels, &p->vit);
}

void vlm_pass_backward(vlm_pass *p, const vlm_batch *b) {
    const vlm_net *net = p->net;
    const vlm_ops *ops = &net->ops;
    bool language = trains(&p->o, VLM_LANGUAGE);
    ops->zero(p->ctx, p->lm.h, (size_t)(b->T * net->lm.cfg.D) * sizeof(act));
    gather(p, b, true);
    vlm_lm_backward(p->ctx, ops, &net->lm, language ? &p->grads->lm : NULL, b->segment, b->samples, &p->lm);
    if (language) {
        memcpy(p->ids, b->ids, (size_t)b->T * sizeof *p->ids);
        for (int64_t i = 0; i < b->runs; i++)
            for (int64_t r = 0; r < b->run[i].rows; r++) p->ids[b->run[i].row + r] = -1;       /* rows of features, not of the table */
        ops->upload(p->ctx, p->lm.ids, p->ids, (size_t)b->T * sizeof *p->ids);
        ops->embed_backward(p->ctx, &p->grads->lm.embed, p->lm.ids, p->lm.h, net->lm.cfg.embed_scale, b->T);
    }
    if (b->units && (trains(&p->o, VLM_PROJECTOR) || trains(&p->o, VLM_VISION))) see_backward(p, b);
}

const act *vlm_pass_embedding_gradient(const vlm_pass *p) { return p->lm.h; }
void vlm_pass_features(vlm_pass *p, const vlm_batch *b, int64_t unit, float *out) {
    int64_t D = p->net->vit.cfg.D;
    p->net->ops.download(p->ctx, out, act_at(p->patches, p->at[unit] * D), (size_t)(b->grid[unit].h * b->grid[unit].w * D) * sizeof(float));
    p->net->ops.sync(p->ctx);
}

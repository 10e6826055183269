#include "model/decoder.h"
#include <math.h>
#include <stdlib.h>

vlm_status vlm_lm_init(vlm_lm *m, const vlm_lm_config *cfg) {
    *m = (vlm_lm){ .cfg = *cfg, .block = calloc((size_t)cfg->L, sizeof *m->block) };
    return m->block ? VLM_OK : vlm_fail_memory("language model", (size_t)cfg->L * sizeof *m->block);
}
void vlm_lm_free(vlm_lm *m) {
    free(m->block);
    *m = (vlm_lm){ 0 };
}

void vlm_lm_params(vlm_lm *m, vlm_params *ps) {
    const vlm_lm_config *c = &m->cfg;
    const vlm_group g = VLM_LANGUAGE;
    int64_t q = c->H * c->Dh, k = c->G * c->Dh;
    vlm_params_mat(ps, g, &m->embed, 0, VLM_DIMS(c->V, c->D), "decoder.token_embedding.weight");
    for (int i = 0; i < c->L; i++) {
        vlm_lm_block *b = &m->block[i];
#define B "decoder.blocks.%d."
        vlm_params_vec(ps, g, &b->norm1, 0, VLM_DIMS(c->D), B "norm1.weight", i);
        vlm_params_mat(ps, g, &b->qkv, 0, VLM_DIMS(q, c->D), B "attn.q_proj.weight", i);
        vlm_params_mat(ps, g, &b->qkv, q, VLM_DIMS(k, c->D), B "attn.k_proj.weight", i);
        vlm_params_mat(ps, g, &b->qkv, q + k, VLM_DIMS(k, c->D), B "attn.v_proj.weight", i);
        if (c->qk_norm) vlm_params_vec(ps, g, &b->q_norm, 0, VLM_DIMS(c->Dh), B "attn.q_norm.weight", i);
        if (c->qk_norm) vlm_params_vec(ps, g, &b->k_norm, 0, VLM_DIMS(c->Dh), B "attn.k_norm.weight", i);
        vlm_params_mat(ps, g, &b->out, 0, VLM_DIMS(c->D, q), B "attn.out_proj.weight", i);
        if (c->sandwich) vlm_params_vec(ps, g, &b->post_attn, 0, VLM_DIMS(c->D), B "post_attn_norm.weight", i);
        vlm_params_vec(ps, g, &b->norm2, 0, VLM_DIMS(c->D), B "norm2.weight", i);
        vlm_params_mat(ps, g, &b->up, 0, VLM_DIMS(c->F, c->D), B "mlp.gate_proj.weight", i);
        vlm_params_mat(ps, g, &b->up, c->F, VLM_DIMS(c->F, c->D), B "mlp.up_proj.weight", i);
        vlm_params_mat(ps, g, &b->down, 0, VLM_DIMS(c->D, c->F), B "mlp.down_proj.weight", i);
        if (c->sandwich) vlm_params_vec(ps, g, &b->post_ffn, 0, VLM_DIMS(c->D), B "post_ffn_norm.weight", i);
#undef B
    }
    vlm_params_vec(ps, g, &m->norm, 0, VLM_DIMS(c->D), "decoder.norm.weight");
    vlm_params_mat(ps, g, c->tied ? &m->embed : &m->head, 0, VLM_DIMS(c->V, c->D), "decoder.head.weight");
    if (c->tied && ps->n) ps->p[ps->n - 1].tied = true;
}

/* One set of a block's buffers; without a backward, in what is free anyway. The MLP's hold all rows only where all is kept. */
static void take_layer(vlm_arena *dev, const vlm_lm_config *c, int64_t T, vlm_save save, vlm_lm_layer *s) {
    int64_t q = c->H * c->Dh, S = q + 2 * c->G * c->Dh, part = T > VLM_PART_ROWS ? VLM_PART_ROWS : T, all = save == VLM_SAVE_ALL ? T : part;
    if (c->sandwich) VLM_TAKE(dev, s->y1, save ? T : part, c->D);
    s->y2 = s->y1;
    size_t mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, s->raw, T, S);
    s->qkv = s->raw;
    VLM_TAKE(dev, s->att, T, q);
    if (!save) vlm_arena_rewind(dev, mark);
    VLM_TAKE(dev, s->up, all, 2 * c->F);
    if (!save) return;
    if (c->qk_norm) VLM_TAKE(dev, s->qkv, T, S);
    if (c->qk_norm) VLM_TAKE(dev, s->rstd_q, T, c->H);
    if (c->qk_norm) VLM_TAKE(dev, s->rstd_k, T, c->G);
    if (c->sandwich) VLM_TAKE(dev, s->y2, all, c->D);
    if (c->sandwich) VLM_TAKE(dev, s->rstd_y1, T);
    if (c->sandwich) VLM_TAKE(dev, s->rstd_y2, T);
    VLM_TAKE(dev, s->mid, T, c->D);
    VLM_TAKE(dev, s->rstd1, T);
    VLM_TAKE(dev, s->rstd2, T);
    VLM_TAKE(dev, s->lse, T, c->H);
}

void vlm_lm_take(vlm_arena *dev, vlm_arena *host, const vlm_lm_config *c, int64_t T, int64_t segments, vlm_save save, vlm_lm_acts *a) {
    int64_t q = c->H * c->Dh, S = q + 2 * c->G * c->Dh, part = T < VLM_PART_ROWS ? T : VLM_PART_ROWS, layers = save ? c->L : 1;
    vlm_lm_layer s = { 0 };
    *a = (vlm_lm_acts){ .T = T, .save = save };
    VLM_TAKE(dev, a->ids, T);
    for (int i = 0; i < 2; i++) {
        VLM_TAKE(dev, a->cos[i], T, c->Dh / 2);
        VLM_TAKE(dev, a->sin[i], T, c->Dh / 2);
    }
    VLM_TAKE(host, a->host_cos, T, c->Dh / 2);
    VLM_TAKE(host, a->host_sin, T, c->Dh / 2);
    VLM_TAKE(host, a->spans, segments);
    VLM_TAKE(host, a->layer, layers);
    if (!save) a->kept = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->x, T, c->D);
    if (!save) {
        VLM_TAKE(dev, a->h, T, c->D);
        a->t = a->h;
        a->last = s.in = s.mid = a->x;
        take_layer(dev, c, T, save, &s);
        a->norm = s.y1;
        VLM_TAKE(dev, a->f, part, c->F);
        if (host->base) a->layer[0] = s;
        return;
    }
    VLM_TAKE(dev, a->last, T, c->D);
    VLM_TAKE(dev, a->rstd, T);
    for (int64_t l = 0; l < layers; l++) {
        if (save == VLM_SAVE_ALL) take_layer(dev, c, T, save, &s);
        if (l) VLM_TAKE(dev, s.in, T, c->D);
        else s.in = a->x;
        if (host->base) a->layer[l] = s;
    }
    a->kept = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->h, T, c->D);
    if (save == VLM_SAVE_STREAM) take_layer(dev, c, T, save, &s);
    for (int64_t l = 0; save == VLM_SAVE_STREAM && host->base && l < layers; l++) {
        s.in = a->layer[l].in;
        a->layer[l] = s;
    }
    VLM_TAKE(dev, a->t, T, c->D);
    VLM_TAKE(dev, a->f, part, c->F);
    if (c->sandwich) VLM_TAKE(dev, a->norm, part, c->D);
    VLM_TAKE(dev, a->datt, T, q);
    size_t mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->dqkv, T, S);
    vlm_arena_rewind(dev, mark);
    if (c->sandwich) VLM_TAKE(dev, a->dy, part, c->D);
    VLM_TAKE(dev, a->df, part, c->F);
}

void vlm_kvcache_take(vlm_arena *dev, vlm_arena *host, const vlm_lm_config *c, vlm_dtype type, int64_t room, int64_t chunk,
                      vlm_kvcache *kv) {
    kv->type = type;
    kv->room = room;
    kv->chunk = chunk;
    if (!host->base) kv->layer = NULL;
    VLM_TAKE(host, kv->layer, c->L);
    for (int64_t l = 0; l < c->L; l++) {
        /* A chunk is stored before its first row looks back over the window: a ring holds both, in whole key blocks. */
        int64_t ring = (c->window + chunk + VLM_KEY_BLOCK - 1) / VLM_KEY_BLOCK * VLM_KEY_BLOCK;
        bool is_ring = c->sliding[l] && ring < room;
        vlm_kv layer = { .rows = is_ring ? ring : room, .ring = is_ring ? ring : 0 };
        VLM_TAKE(dev, layer.k, vlm_kv_bytes(type, layer.rows, c->G, c->Dh));
        VLM_TAKE(dev, layer.v, vlm_kv_bytes(type, layer.rows, c->G, c->Dh));
        if (kv->layer) kv->layer[l] = layer;
    }
}

/* cos and sin of rows with positions at, at + 1, ...: angle = position·theta^(-2i/Dh). */
static void rope_rows(const vlm_lm_config *c, double theta, int64_t at, int64_t rows, real *cs, real *sn) {
    int64_t half = c->Dh / 2;
    for (int64_t i = 0; i < half; i++) {
        double freq = pow(theta, -2.0 * (double)i / (double)c->Dh);
        for (int64_t r = 0; r < rows; r++) {
            cs[r * half + i] = (real)(cos((double)(at + r) * freq) * c->rope_mul);
            sn[r * half + i] = (real)(sin((double)(at + r) * freq) * c->rope_mul);
        }
    }
}
static void rope_tables(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, const vlm_segment *segs, int64_t n, int64_t at, int64_t T,
                        vlm_lm_acts *a) {
    int64_t half = c->Dh / 2;
    for (int i = 0; i < 2; i++) {
        if (i == 1 && !c->window) continue;
        for (int64_t j = 0; j < n; j++) {
            int64_t first = segs[j].row * half;
            rope_rows(c, i ? c->rope_local : c->rope_theta, at, segs[j].rows, a->host_cos + first, a->host_sin + first);
        }
        ops->upload(ctx, a->cos[i], a->host_cos, (size_t)(T * half) * sizeof(real));
        ops->upload(ctx, a->sin[i], a->host_sin, (size_t)(T * half) * sizeof(real));
        ops->sync(ctx);                /* the host tables are filled again */
    }
}

void vlm_lm_embed(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const int64_t *ids, int64_t T, vlm_lm_acts *a) {
    ops->upload(ctx, a->ids, ids, (size_t)T * sizeof *ids);
    ops->embed_forward(ctx, a->x, a->ids, &m->embed, m->cfg.embed_scale, T);
}

static void norm(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, act *out, real *rstd, const act *x, const real *w,
                 int64_t rows) {
    ops->rmsnorm_forward(ctx, out, rstd, x, w, c->norm_offset, rows, 1, c->D, c->D, c->eps);
}
/* Row r of what attention's sandwich norm reads, if there is one; without a backward only some rows of it are there at a time. */
static act *y1_of(const vlm_lm_acts *a, const vlm_lm_layer *s, int64_t r, int64_t D) {
    return a->save && s->y1 ? act_at(s->y1, r * D) : s->y1;
}
/* Row r of a buffer (T, C) of the MLP, of which only some rows are there at a time unless all is kept. */
static act *row_of(const vlm_lm_acts *a, act *x, int64_t r, int64_t C) { return a->save == VLM_SAVE_ALL && x ? act_at(x, r * C) : x; }

/* out = in + f w', or in + norm(f w') with sandwich norms; n rows from row r on; y: room for what the norm reads. */
static void add_branch(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, act *out, const act *in, int64_t r, int64_t n,
                       const act *f, const vlm_mat *w, const real *post, real *rstd, act *y, vlm_lm_acts *a) {
    const act *from = act_at(in, r * c->D);
    act *to = out ? act_at(out, r * c->D) : NULL;
    ops->linear_forward(ctx, post ? y : to, f, w, &(vlm_epilogue){ .res = post ? NULL : from }, n);
    if (!post) return;
    norm(ctx, ops, c, a->norm, rstd ? act_at(rstd, r) : NULL, y, post, n);
    if (out) ops->add_forward(ctx, to, from, a->norm, n * c->D);
}

/* A call's rows: segments of whole samples, or the rows at position `at` that continue kv. */
typedef struct call { const vlm_segment *segs; int64_t n, at, T; const vlm_kvcache *kv; } call;

/* mid = in + attention's branch, and what is kept of it. */
static void attend(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t l, const call *k, const vlm_lm_layer *s,
                   vlm_lm_acts *a) {
    const vlm_lm_config *c = &m->cfg;
    const vlm_lm_block *b = &m->block[l];
    int64_t T = k->T, Q = c->H * c->Dh, K = c->G * c->Dh, S = Q + 2 * K, D = c->D, window = c->sliding[l] ? c->window : 0;
    int local = c->sliding[l];
    norm(ctx, ops, c, a->t, s->rstd1, s->in, b->norm1, T);
    ops->linear_forward(ctx, s->raw, a->t, &b->qkv, NULL, T);
    if (c->qk_norm) {
        ops->rmsnorm_forward(ctx, s->qkv, s->rstd_q, s->raw, b->q_norm, c->norm_offset, T, c->H, c->Dh, S, c->eps);
        ops->rmsnorm_forward(ctx, act_at(s->qkv, Q), s->rstd_k, act_at(s->raw, Q), b->k_norm, c->norm_offset, T, c->G, c->Dh, S, c->eps);
    }
    ops->rope_forward(ctx, s->qkv, s->qkv, a->cos[local], a->sin[local], T, c->H + c->G, c->Dh, S);
    const act *keys = act_at(s->qkv, Q), *values = act_at(s->raw, Q + K);
    if (k->kv) {
        const vlm_kv *to = &k->kv->layer[l];
        ops->kv_store(ctx, to->k, k->kv->type, 0, keys, k->at, to->ring, T, c->G, c->Dh, S);
        ops->kv_store(ctx, to->v, k->kv->type, 1, values, k->at, to->ring, T, c->G, c->Dh, S);
        a->spans[0] = (vlm_span){ .rows = T, .pos = k->at, .keys = k->at + T, .k = to->k, .v = to->v, .ring = to->ring,
                                  .layout = VLM_PANELS, .dtype = k->kv->type };
    } else {
        for (int64_t j = 0; j < k->n; j++) {
            int64_t row = k->segs[j].row, rows = k->segs[j].rows;
            a->spans[j] = (vlm_span){ .row = row, .rows = rows, .keys = rows, .k = act_at(keys, row * S), .v = act_at(values, row * S) };
        }
    }
    ops->attention_forward(ctx, s->att, s->lse, s->qkv, a->spans, k->n, c->H, c->G, c->Dh, S, S, 1, window, c->attn_scale);
    for (int64_t r = 0, n, part = vlm_part_rows(T, VLM_PART_ROWS); r < T; r += n) {
        n = T - r < part ? T - r : part;
        add_branch(ctx, ops, c, s->mid, s->in, r, n, act_at(s->att, r * Q), &b->out, b->post_attn, s->rstd_y1,
                   y1_of(a, s, r, D), a);
    }
}
/* n rows of out = mid + the MLP's branch, from r on; t is there. Without out: all that the backward reads, and no more. */
static void feed(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, const vlm_lm_block *b, const vlm_lm_layer *s, act *out,
                 int64_t r, int64_t n, vlm_lm_acts *a) {
    int64_t D = c->D, F = c->F;
    act *up = row_of(a, s->up, r, 2 * F);
    ops->linear_forward(ctx, up, act_at(a->t, r * D), &b->up, NULL, n);
    if (!out && !b->post_ffn) return;
    ops->activation_forward(ctx, a->f, up, act_at(up, F), c->act, n, F, 2 * F);
    add_branch(ctx, ops, c, out, s->mid, r, n, a->f, &b->down, b->post_ffn, s->rstd_y2, row_of(a, s->y2, r, D), a);
}
/* From s->in to out. */
static void block(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t l, const call *k, const vlm_lm_layer *s, act *out,
                  vlm_lm_acts *a) {
    const vlm_lm_block *b = &m->block[l];
    attend(ctx, ops, m, l, k, s, a);
    norm(ctx, ops, &m->cfg, a->t, s->rstd2, s->mid, b->norm2, k->T);
    for (int64_t r = 0, n, part = vlm_part_rows(k->T, VLM_PART_ROWS); r < k->T; r += n) {
        n = k->T - r < part ? k->T - r : part;
        feed(ctx, ops, &m->cfg, b, s, out, r, n, a);
    }
}

static void forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const call *k, vlm_lm_acts *a) {
    const vlm_lm_config *c = &m->cfg;
    rope_tables(ctx, ops, c, k->segs, k->n, k->at, k->T, a);
    for (int64_t l = 0; l < c->L; l++)
        block(ctx, ops, m, l, k, &a->layer[a->save ? l : 0], a->save && l + 1 < c->L ? a->layer[l + 1].in : a->last, a);
    norm(ctx, ops, c, a->h, a->rstd, a->last, m->norm, k->T);
}
void vlm_lm_extend(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t T, vlm_kvcache *kv, vlm_lm_acts *a) {
    forward(ctx, ops, m, &(call){ &(vlm_segment){ 0, T }, 1, kv->len, T, kv }, a);
    kv->len += T;
}
static call whole(const vlm_segment *segs, int64_t n) {
    call k = { .segs = segs, .n = n };
    for (int64_t i = 0; i < n; i++) k.T += segs[i].rows;
    return k;
}
void vlm_lm_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const vlm_segment *segs, int64_t n, vlm_lm_acts *a) {
    call k = whole(segs, n);
    forward(ctx, ops, m, &k, a);
}

/* ---- Backward: each step quotes the line of the forward that it differentiates ---- */

/* out = in + f w', or in + norm(f w'): the gradient by f w', n rows from row r; without a norm that by out itself. y: row r's. */
static const act *branch_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, const act *dx, const act *y, const real *post,
                                  real *dpost, const real *rstd, int64_t r, int64_t n, vlm_lm_acts *a) {
    int64_t D = c->D;
    if (!post) return act_at(dx, r * D);
    ops->rmsnorm_backward(ctx, a->dy, dpost, act_at(dx, r * D), y, post, act_at(rstd, r), NULL, c->norm_offset, n, 1, D, D);
    return a->dy;
}
static void weight(vlm_ctx *ctx, const vlm_ops *ops, const vlm_mat *dw, const act *dout, const act *x, int64_t R) {
    if (dw) ops->linear_backward_weight(ctx, dw, NULL, dout, x, R);
}

/* dx: the gradient by out, becomes that by s->in. g: NULL if frozen. Attention's branch is there; of the MLP what was not kept is made
   again, some rows at a time. */
static void block_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t l, const vlm_lm_block *g, const call *k,
                           const vlm_lm_layer *s, act *dx, vlm_lm_acts *a) {
    static const vlm_lm_block frozen;
    const vlm_lm_config *c = &m->cfg;
    const vlm_lm_block *b = &m->block[l], *v = g ? g : &frozen;        /* v: the gradients of vectors */
    int64_t T = k->T, Q = c->H * c->Dh, K = c->G * c->Dh, S = Q + 2 * K, D = c->D, F = c->F, window = c->sliding[l] ? c->window : 0;
    int local = c->sliding[l];
    /* out = mid + [norm](f down'),  f = act(gate) up,  [gate, up] = norm2(mid) up' */
    norm(ctx, ops, c, a->t, s->rstd2, s->mid, b->norm2, T);
    for (int64_t r = 0, n, part = vlm_part_rows(T, VLM_PART_ROWS); r < T; r += n) {
        n = T - r < part ? T - r : part;
        act *up = row_of(a, s->up, r, 2 * F), *gate = act_at(up, F), *t = act_at(a->t, r * D);
        if (a->save == VLM_SAVE_STREAM) feed(ctx, ops, c, b, s, NULL, r, n, a);
        const act *dy = branch_backward(ctx, ops, c, dx, row_of(a, s->y2, r, D), b->post_ffn, v->post_ffn, s->rstd_y2, r, n, a);
        if (g && (a->save == VLM_SAVE_ALL || !b->post_ffn)) ops->activation_forward(ctx, a->f, up, gate, c->act, n, F, 2 * F);
        weight(ctx, ops, g ? &g->down : NULL, dy, a->f, n);
        ops->linear_backward_input(ctx, a->df, dy, &b->down, NULL, n);
        ops->activation_backward(ctx, up, gate, a->df, up, gate, c->act, n, F, 2 * F);         /* up is now its own gradient */
        weight(ctx, ops, g ? &g->up : NULL, up, t, n);
        ops->linear_backward_input(ctx, t, up, &b->up, NULL, n);                               /* and so is t */
    }
    ops->rmsnorm_backward(ctx, dx, v->norm2, a->t, s->mid, b->norm2, s->rstd2, dx, c->norm_offset, T, 1, D, D);
    /* mid = in + [norm](att out') */
    for (int64_t r = 0, n, part = vlm_part_rows(T, VLM_PART_ROWS); r < T; r += n) {
        n = T - r < part ? T - r : part;
        const act *dy = branch_backward(ctx, ops, c, dx, y1_of(a, s, r, D), b->post_attn, v->post_attn, s->rstd_y1, r, n, a);
        weight(ctx, ops, g ? &g->out : NULL, dy, act_at(s->att, r * Q), n);
        ops->linear_backward_input(ctx, act_at(a->datt, r * Q), dy, &b->out, NULL, n);
    }
    /* att = attention(rope(norm(q)), rope(norm(k)), v),  [q, k, v] = norm1(in) qkv' */
    ops->attention_backward(ctx, a->dqkv, act_at(a->dqkv, Q), act_at(a->dqkv, Q + K), a->datt, s->att, s->lse, s->qkv, act_at(s->qkv, Q),
                            act_at(s->raw, Q + K), a->spans, k->n, c->H, c->G, c->Dh, S, 1, window, c->attn_scale);
    ops->rope_backward(ctx, a->dqkv, a->dqkv, a->cos[local], a->sin[local], T, c->H + c->G, c->Dh, S);
    if (c->qk_norm) {
        act *dk = act_at(a->dqkv, Q);
        ops->rmsnorm_backward(ctx, a->dqkv, v->q_norm, a->dqkv, s->raw, b->q_norm, s->rstd_q, NULL, c->norm_offset, T, c->H, c->Dh, S);
        ops->rmsnorm_backward(ctx, dk, v->k_norm, dk, act_at(s->raw, Q), b->k_norm, s->rstd_k, NULL, c->norm_offset, T, c->G, c->Dh, S);
    }
    norm(ctx, ops, c, a->t, NULL, s->in, b->norm1, T);
    weight(ctx, ops, g ? &g->qkv : NULL, a->dqkv, a->t, T);
    ops->linear_backward_input(ctx, a->t, a->dqkv, &b->qkv, NULL, T);
    ops->rmsnorm_backward(ctx, dx, v->norm1, a->t, s->in, b->norm1, s->rstd1, dx, c->norm_offset, T, 1, D, D);
}

void vlm_lm_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const vlm_lm *g, const vlm_segment *segs, int64_t n,
                     vlm_lm_acts *a) {
    const vlm_lm_config *c = &m->cfg;
    call k = whole(segs, n);
    ops->rmsnorm_backward(ctx, a->h, g ? g->norm : NULL, a->h, a->last, m->norm, a->rstd, NULL, c->norm_offset, k.T, 1, c->D, c->D);
    for (int64_t l = c->L - 1; l >= 0; l--) {
        if (a->save == VLM_SAVE_STREAM) attend(ctx, ops, m, l, &k, &a->layer[l], a);
        block_backward(ctx, ops, m, l, g ? &g->block[l] : NULL, &k, &a->layer[l], a->h, a);
    }
}

void vlm_lm_logits(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, act *logits, const act *h, int64_t rows) {
    ops->linear_forward(ctx, logits, h, m->cfg.tied ? &m->embed : &m->head, NULL, rows);
}

/* Keys that `tokens` rows behind `past` others see, each at most `most`. */
static double keys_seen(int64_t tokens, int64_t past, int64_t most) {
    int64_t free = most > past ? most - past : 0;              /* rows that see all before them */
    if (free > tokens) free = tokens;
    return (double)free * ((double)past + ((double)free + 1) / 2) + (double)(tokens - free) * (double)most;
}
double vlm_lm_flop(const vlm_lm_config *c, int64_t tokens, int64_t past) {
    double T = (double)tokens, D = (double)c->D, q = (double)(c->H * c->Dh), kv = (double)(2 * c->G * c->Dh), keys = 0;
    double full = keys_seen(tokens, past, INT64_MAX), sliding = keys_seen(tokens, past, c->window);
    for (int64_t l = 0; l < c->L; l++) keys += c->sliding[l] ? sliding : full;
    return (double)c->L * 2 * T * D * (2 * q + kv + 3 * (double)c->F) + 4 * q * keys + 2 * D * (double)c->V;
}

#include "model/decoder.h"
#include <math.h>
#include <stdlib.h>

enum { PART_ROWS = 1024 };             /* as in vit.c */

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

void vlm_lm_take(vlm_arena *dev, vlm_arena *host, const vlm_lm_config *c, int64_t T, int64_t segments, vlm_lm_acts *a) {
    int64_t q = c->H * c->Dh, kv = 2 * c->G * c->Dh, part = T < PART_ROWS ? T : PART_ROWS;
    a->T = T;
    VLM_TAKE(dev, a->ids, T);
    VLM_TAKE(dev, a->x, T, c->D);
    VLM_TAKE(dev, a->h, T, c->D);
    for (int i = 0; i < 2; i++) {
        VLM_TAKE(dev, a->cos[i], T, c->Dh / 2);
        VLM_TAKE(dev, a->sin[i], T, c->Dh / 2);
    }
    VLM_TAKE(host, a->host_cos, T, c->Dh / 2);
    VLM_TAKE(host, a->host_sin, T, c->Dh / 2);
    VLM_TAKE(host, a->spans, segments);
    if (c->sandwich) VLM_TAKE(dev, a->y, part, c->D);
    size_t mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->qkv, T, q + kv);
    VLM_TAKE(dev, a->att, T, q);
    vlm_arena_rewind(dev, mark);
    VLM_TAKE(dev, a->up, part, 2 * c->F);
    VLM_TAKE(dev, a->gate, part, c->F);
}

void vlm_kvcache_take(vlm_arena *dev, vlm_arena *host, const vlm_lm_config *c, int64_t room, int64_t chunk, vlm_kvcache *kv) {
    kv->room = room;
    kv->chunk = chunk;
    if (!host->base) kv->layer = NULL;
    VLM_TAKE(host, kv->layer, c->L);
    for (int64_t l = 0; l < c->L; l++) {
        /* A chunk is stored before its first row looks back over the window: a ring holds both, in whole key blocks. */
        int64_t rows = room, ring = (c->window + chunk + VLM_KEY_BLOCK - 1) / VLM_KEY_BLOCK * VLM_KEY_BLOCK;
        bool is_ring = c->sliding[l] && ring < room;
        vlm_kv layer = { .ring = is_ring ? ring : 0 };
        if (is_ring) rows = ring;
        VLM_TAKE(dev, layer.k, rows, c->G * c->Dh);
        VLM_TAKE(dev, layer.v, rows, c->G * c->Dh);
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

static void norm(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, act *out, const act *x, const real *w, int64_t rows) {
    ops->rmsnorm_forward(ctx, out, NULL, x, w, c->norm_offset, rows, 1, c->D, c->D, c->eps);
}
/* x += f w', or x += norm(f w') with sandwich norms; n rows from row r of x. */
static void add_branch(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm_config *c, int64_t r, int64_t n, const act *f, const vlm_mat *w,
                       const real *post, vlm_lm_acts *a) {
    act *x = act_at(a->x, r * c->D);
    ops->linear_forward(ctx, post ? a->y : x, f, w, NULL, post ? NULL : x, n);
    if (!post) return;
    norm(ctx, ops, c, a->y, a->y, post, n);
    ops->add_forward(ctx, x, x, a->y, n * c->D);
}

/* Rows of k or v go where their positions say: one copy, or two where the ring closes. */
static void store(vlm_ctx *ctx, const vlm_ops *ops, act *cache, int64_t ring, const act *x, int64_t S, int64_t at, int64_t T, int64_t C) {
    for (int64_t r = 0, n; r < T; r += n) {
        int64_t row = ring ? (at + r) % ring : at + r;
        n = ring && ring - row < T - r ? ring - row : T - r;
        ops->copy_forward(ctx, act_at(cache, row * C), C, act_at(x, r * S), S, n, C);
    }
}

static void block(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t l, const vlm_segment *segs, int64_t n, int64_t at, int64_t T,
                  const vlm_kvcache *kv, vlm_lm_acts *a) {
    const vlm_lm_config *c = &m->cfg;
    const vlm_lm_block *b = &m->block[l];
    int64_t q = c->H * c->Dh, k = c->G * c->Dh, S = q + 2 * k, window = c->sliding[l] ? c->window : 0;
    int local = c->sliding[l];
    norm(ctx, ops, c, a->h, a->x, b->norm1, T);
    ops->linear_forward(ctx, a->qkv, a->h, &b->qkv, NULL, NULL, T);
    if (c->qk_norm) {
        ops->rmsnorm_forward(ctx, a->qkv, NULL, a->qkv, b->q_norm, c->norm_offset, T, c->H, c->Dh, S, c->eps);
        ops->rmsnorm_forward(ctx, act_at(a->qkv, q), NULL, act_at(a->qkv, q), b->k_norm, c->norm_offset, T, c->G, c->Dh, S, c->eps);
    }
    ops->rope_forward(ctx, a->qkv, a->qkv, a->cos[local], a->sin[local], T, c->H + c->G, c->Dh, S);
    if (kv) {
        const vlm_kv *s = &kv->layer[l];
        store(ctx, ops, s->k, s->ring, act_at(a->qkv, q), S, at, T, k);
        store(ctx, ops, s->v, s->ring, act_at(a->qkv, q + k), S, at, T, k);
        a->spans[0] = (vlm_span){ .rows = T, .pos = at, .keys = at + T, .k = s->k, .v = s->v, .ring = s->ring };
    } else {
        for (int64_t j = 0; j < n; j++)
            a->spans[j] = (vlm_span){ .row = segs[j].row, .rows = segs[j].rows, .keys = segs[j].rows,
                                      .k = act_at(a->qkv, segs[j].row * S + q), .v = act_at(a->qkv, segs[j].row * S + q + k) };
    }
    ops->attention_forward(ctx, a->att, NULL, a->qkv, a->spans, n, c->H, c->G, c->Dh, S, kv ? k : S, 1, window, c->attn_scale);
    for (int64_t r = 0, part; r < T; r += part) {
        part = T - r < PART_ROWS ? T - r : PART_ROWS;
        add_branch(ctx, ops, c, r, part, act_at(a->att, r * q), &b->out, b->post_attn, a);
    }
    norm(ctx, ops, c, a->h, a->x, b->norm2, T);
    for (int64_t r = 0, part; r < T; r += part) {
        part = T - r < PART_ROWS ? T - r : PART_ROWS;
        ops->linear_forward(ctx, a->up, act_at(a->h, r * c->D), &b->up, NULL, NULL, part);
        ops->activation_forward(ctx, a->gate, a->up, act_at(a->up, c->F), c->act, part, c->F, 2 * c->F);
        add_branch(ctx, ops, c, r, part, a->gate, &b->down, b->post_ffn, a);
    }
}

static void forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const vlm_segment *segs, int64_t n, int64_t at, int64_t T,
                    const vlm_kvcache *kv, vlm_lm_acts *a) {
    rope_tables(ctx, ops, &m->cfg, segs, n, at, T, a);
    for (int64_t l = 0; l < m->cfg.L; l++) block(ctx, ops, m, l, segs, n, at, T, kv, a);
    norm(ctx, ops, &m->cfg, a->h, a->x, m->norm, T);
}
void vlm_lm_extend(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, int64_t T, vlm_kvcache *kv, vlm_lm_acts *a) {
    forward(ctx, ops, m, &(vlm_segment){ 0, T }, 1, kv->len, T, kv, a);
    kv->len += T;
}
void vlm_lm_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, const vlm_segment *segs, int64_t n, vlm_lm_acts *a) {
    int64_t T = 0;
    for (int64_t i = 0; i < n; i++) T += segs[i].rows;
    forward(ctx, ops, m, segs, n, 0, T, NULL, a);
}
void vlm_lm_logits(vlm_ctx *ctx, const vlm_ops *ops, const vlm_lm *m, act *logits, const act *h, int64_t rows) {
    ops->linear_forward(ctx, logits, h, m->cfg.tied ? &m->embed : &m->head, NULL, NULL, rows);
}

double vlm_lm_flop(const vlm_lm_config *c, int64_t tokens, int64_t past) {
    double T = (double)tokens, D = (double)c->D, q = (double)(c->H * c->Dh), kv = (double)(2 * c->G * c->Dh), keys = 0;
    for (int64_t l = 0; l < c->L; l++)
        for (int64_t t = 0; t < tokens; t++) {
            int64_t seen = past + t + 1;
            keys += (double)(c->sliding[l] && seen > c->window ? c->window : seen);
        }
    return (double)c->L * 2 * T * D * (2 * q + kv + 3 * (double)c->F) + 4 * q * keys + 2 * D * (double)c->V;
}

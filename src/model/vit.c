#include "model/vit.h"
#include "base/log.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Without a backward so few that the hidden layer stays in the cores' own caches; a backward turns weights for each part: fewer parts. */
static int64_t most_rows(vlm_save save) { return save ? VLM_PART_ROWS : VLM_PART_ROWS / 4; }

vlm_status vlm_vit_init(vlm_vit *v, const vlm_vit_config *cfg) {
    *v = (vlm_vit){ .cfg = *cfg, .block = calloc((size_t)cfg->L, sizeof *v->block) };
    return v->block ? VLM_OK : vlm_fail_memory("vision encoder", (size_t)cfg->L * sizeof *v->block);
}
void vlm_vit_free(vlm_vit *v) {
    free(v->block);
    *v = (vlm_vit){ 0 };
}

void vlm_vit_params(vlm_vit *v, vlm_params *ps) {
    const vlm_vit_config *c = &v->cfg;
    const vlm_group g = VLM_VISION;
#define E "vision_encoder."
    if (c->cls) vlm_params_vec(ps, g, &v->cls, 0, VLM_DIMS(1, 1, c->D), E "patch_embedding.cls_token");
    if (c->R) vlm_params_vec(ps, g, &v->registers, 0, VLM_DIMS(1, c->R, c->D), E "patch_embedding.register_tokens");
    if (c->pos_h)
        vlm_params_vec(ps, g, &v->pos, 0, VLM_DIMS(1, c->pos_cls + c->pos_h * c->pos_w, c->D), E "patch_embedding.position_embedding");
    vlm_params_mat(ps, g, &v->patch, 0, VLM_DIMS(c->D, 3, c->P, c->P), E "patch_embedding.conv.weight");
    vlm_params_vec(ps, g, &v->patch_b, 0, VLM_DIMS(c->D), E "patch_embedding.conv.bias");
    for (int i = 0; i < c->L; i++) {
        vlm_vit_block *b = &v->block[i];
#define B E "blocks.%d."
        vlm_params_vec(ps, g, &b->ln1_w, 0, VLM_DIMS(c->D), B "ln1.weight", i);
        vlm_params_vec(ps, g, &b->ln1_b, 0, VLM_DIMS(c->D), B "ln1.bias", i);
        vlm_params_mat(ps, g, &b->qkv, 0, VLM_DIMS(3 * c->D, c->D), B "attn.qkv_proj.weight", i);
        vlm_params_vec(ps, g, &b->qkv_b, 0, VLM_DIMS(3 * c->D), B "attn.qkv_proj.bias", i);
        vlm_params_mat(ps, g, &b->out, 0, VLM_DIMS(c->D, c->D), B "attn.out_proj.weight", i);
        if (c->out_bias) vlm_params_vec(ps, g, &b->out_b, 0, VLM_DIMS(c->D), B "attn.out_proj.bias", i);
        if (c->layerscale) vlm_params_vec(ps, g, &b->ls1, 0, VLM_DIMS(c->D), B "layer_scale1.lambda_param", i);
        vlm_params_vec(ps, g, &b->ln2_w, 0, VLM_DIMS(c->D), B "ln2.weight", i);
        vlm_params_vec(ps, g, &b->ln2_b, 0, VLM_DIMS(c->D), B "ln2.bias", i);
        if (c->gated) {
            vlm_params_mat(ps, g, &b->up, 0, VLM_DIMS(c->F, c->D), B "mlp.gate_proj.weight", i);
            vlm_params_mat(ps, g, &b->up, c->F, VLM_DIMS(c->F, c->D), B "mlp.up_proj.weight", i);
            if (c->mlp_bias) vlm_params_vec(ps, g, &b->up_b, 0, VLM_DIMS(c->F), B "mlp.gate_proj.bias", i);
            if (c->mlp_bias) vlm_params_vec(ps, g, &b->up_b, c->F, VLM_DIMS(c->F), B "mlp.up_proj.bias", i);
            vlm_params_mat(ps, g, &b->down, 0, VLM_DIMS(c->D, c->F), B "mlp.down_proj.weight", i);
            if (c->mlp_bias) vlm_params_vec(ps, g, &b->down_b, 0, VLM_DIMS(c->D), B "mlp.down_proj.bias", i);
        } else {
            vlm_params_mat(ps, g, &b->up, 0, VLM_DIMS(c->F, c->D), B "mlp.fc1.weight", i);
            if (c->mlp_bias) vlm_params_vec(ps, g, &b->up_b, 0, VLM_DIMS(c->F), B "mlp.fc1.bias", i);
            vlm_params_mat(ps, g, &b->down, 0, VLM_DIMS(c->D, c->F), B "mlp.fc2.weight", i);
            if (c->mlp_bias) vlm_params_vec(ps, g, &b->down_b, 0, VLM_DIMS(c->D), B "mlp.fc2.bias", i);
        }
        if (c->layerscale) vlm_params_vec(ps, g, &b->ls2, 0, VLM_DIMS(c->D), B "layer_scale2.lambda_param", i);
#undef B
    }
    vlm_params_vec(ps, g, &v->norm_w, 0, VLM_DIMS(c->D), E "layer_norm.weight");
    vlm_params_vec(ps, g, &v->norm_b, 0, VLM_DIMS(c->D), E "layer_norm.bias");
#undef E
}

int64_t vlm_vit_row(const vlm_vit_config *c, const vlm_grid *grid, int64_t i) {
    int64_t row = 0;
    for (int64_t j = 0; j < i; j++) row += vlm_vit_prefix(c) + grid[j].h * grid[j].w;
    return row;
}

/* With recompute, attention's output and log-sum-exp are kept of every other block. They take what the stream takes, and save a quarter of
   the work at 1000 patches, half at 4000: of what could be kept the most for its bytes. */
static bool keeps_attention(int64_t l) { return l % 2 == 0; }

/* One set of a block's buffers; without a backward, in what is free anyway. The MLP's hold all rows only where all is kept. */
static void take_layer(vlm_arena *dev, const vlm_vit_config *c, int64_t rows, vlm_save save, vlm_vit_layer *s,
                       vlm_vit_acts *a) {
    int64_t D = c->D, part = rows < most_rows(save) ? rows : most_rows(save), all = save == VLM_SAVE_ALL ? rows : part;
    size_t mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, s->qkv, rows, 3 * D);                        /* attention; then, over it, the hidden layer */
    if (!save && c->int8) VLM_TAKE(dev, a->room, c->H, rows / VLM_INT8_KEYS + a->n, vlm_attention_int8_block(D / c->H));
    if (!save) vlm_arena_rewind(dev, mark);
    if (c->layerscale && save) VLM_TAKE(dev, s->y1, rows, D);
    if (c->layerscale && save) VLM_TAKE(dev, s->y2, all, D);
    VLM_TAKE(dev, s->up, all, c->gated ? 2 * c->F : c->F);
    if (!save) return;
    VLM_TAKE(dev, s->mid, rows, D);
    VLM_TAKE(dev, s->att, rows, D);
    VLM_TAKE(dev, s->mean1, rows);
    VLM_TAKE(dev, s->rstd1, rows);
    VLM_TAKE(dev, s->mean2, rows);
    VLM_TAKE(dev, s->rstd2, rows);
    VLM_TAKE(dev, s->lse, rows, c->H);
}

void vlm_vit_take_rows(vlm_arena *dev, vlm_arena *host, const vlm_vit_config *c, int64_t rows, int64_t n, int64_t most, vlm_save save,
                       vlm_vit_acts *a) {
    int64_t D = c->D, part = rows < most_rows(save) ? rows : most_rows(save), layers = save ? c->L : 1;
    vlm_vit_layer s = { 0 };
    *a = (vlm_vit_acts){ .n = n, .rows = rows, .save = save };
    if (c->rope_theta > 0) {
        VLM_TAKE(dev, a->cos, rows, D / c->H / 2);
        VLM_TAKE(dev, a->sin, rows, D / c->H / 2);
        VLM_TAKE(host, a->host_cos, rows, D / c->H / 2);
        VLM_TAKE(host, a->host_sin, rows, D / c->H / 2);
    }
    VLM_TAKE(host, a->spans, n);
    VLM_TAKE(host, a->layer, layers);
    if (save) {
        VLM_TAKE(dev, a->last, rows, D);
        VLM_TAKE(dev, a->mean, rows);
        VLM_TAKE(dev, a->rstd, rows);
    }
    for (int64_t l = 0; save && l < layers; l++) {
        if (save == VLM_SAVE_ALL) take_layer(dev, c, rows, save, &s, a);
        VLM_TAKE(dev, s.in, rows, D);
        if (save == VLM_SAVE_STREAM && keeps_attention(l)) {
            VLM_TAKE(dev, s.att, rows, D);
            VLM_TAKE(dev, s.lse, rows, c->H);
        }
        if (host->base) a->layer[l] = s;
    }
    a->kept = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->x, rows, D);
    if (save == VLM_SAVE_STREAM) take_layer(dev, c, rows, save, &s, a);
    for (int64_t l = 0; save == VLM_SAVE_STREAM && host->base && l < layers; l++) {
        vlm_vit_layer own = s;
        own.in = a->layer[l].in;
        if (keeps_attention(l)) own.att = a->layer[l].att, own.lse = a->layer[l].lse;
        a->layer[l] = own;
    }
    size_t mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->pixels, most, 3 * c->P * c->P);           /* embedding */
    VLM_TAKE(dev, a->patches, most, 3 * c->P * c->P);
    if (c->pos_h) VLM_TAKE(dev, a->pos, most, D);
    vlm_arena_rewind(dev, mark);
    VLM_TAKE(dev, a->h, rows, D);
    if (!save) {
        take_layer(dev, c, rows, save, &s, a);
        s.in = s.mid = a->last = a->x;
        s.att = a->h;
        a->f = s.up;
        if (host->base) a->layer[0] = s;
    }
    if (save || c->gated) VLM_TAKE(dev, a->f, part, c->F);
    if (!save) return;
    VLM_TAKE(dev, a->datt, rows, D);
    mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->dqkv, rows, 3 * D);
    vlm_arena_rewind(dev, mark);
    VLM_TAKE(dev, a->dy, part, D);
    VLM_TAKE(dev, a->df, part, c->F);
}
void vlm_vit_take(vlm_arena *dev, vlm_arena *host, const vlm_vit_config *c, const vlm_grid *grid, int64_t n, vlm_save save,
                  vlm_vit_acts *a) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) if (most < grid[i].h * grid[i].w) most = grid[i].h * grid[i].w;
    vlm_vit_take_rows(dev, host, c, vlm_vit_row(c, grid, n), n, most, save, a);
}

/* Angles of the patch at (y, x): 2π·centre·theta^(-4k/Dh), y's quarter then x's; prefix rows turn by nothing.
   (dinov3 rope_position_encoding) */
static void rope_tables(const vlm_vit_config *c, const vlm_grid *grid, int64_t n, vlm_vit_acts *a) {
    const double pi = 3.14159265358979323846;
    int64_t half = c->D / c->H / 2, quarter = half / 2;
    real *cs = a->host_cos, *sn = a->host_sin;
    double freq[VLM_MAX_HEAD / 4];
    for (int64_t k = 0; k < quarter; k++) freq[k] = pow(c->rope_theta, -4.0 * (double)k / (double)(2 * half));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < vlm_vit_prefix(c) * half; j++) *cs++ = 1, *sn++ = 0;
        for (int64_t y = 0; y < grid[i].h; y++)
            for (int64_t x = 0; x < grid[i].w; x++) {
                double at[2] = { 2 * ((double)y + 0.5) / (double)grid[i].h - 1, 2 * ((double)x + 0.5) / (double)grid[i].w - 1 };
                for (int64_t k = 0; k < half; k++) {
                    double angle = 2 * pi * at[k >= quarter] * freq[k % quarter];
                    *cs++ = (real)cos(angle), *sn++ = (real)sin(angle);
                }
            }
    }
}

/* x of one image: CLS, registers, patches (+ learned positions). */
static void embed(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, vlm_grid g, const float *pixels, act *x, vlm_vit_acts *a) {
    const vlm_vit_config *c = &v->cfg;
    int64_t D = c->D, N = g.h * g.w, prefix = vlm_vit_prefix(c);
    act *patches = act_at(x, prefix * D);
    ops->upload(ctx, a->pixels, pixels, (size_t)(N * 3 * c->P * c->P) * sizeof(float));
    ops->patches_forward(ctx, a->patches, a->pixels, g.h, g.w, c->P);
    if (c->pos_h) ops->posresize_forward(ctx, a->pos, act_at(v->pos, c->pos_cls * D), g.h, g.w, c->pos_h, c->pos_w, D, c->pos_antialias);
    ops->linear_forward(ctx, patches, a->patches, &v->patch, &(vlm_epilogue){ .b = v->patch_b, .res = c->pos_h ? a->pos : NULL }, N);
    if (c->cls && c->pos_cls) ops->add_forward(ctx, x, v->cls, v->pos, D);
    else if (c->cls) ops->copy_forward(ctx, x, D, v->cls, D, 1, D);
    if (c->R) ops->copy_forward(ctx, act_at(x, c->cls * D), D, v->registers, D, c->R, D);
}

static float vit_scale(const vlm_vit_config *c) { return (float)(1 / sqrt((double)(c->D / c->H))); }

/* Row r of a buffer (rows, C) of the MLP, of which only some rows are there at a time unless all is kept. */
static act *row_of(const vlm_vit_acts *a, act *x, int64_t r, int64_t C) { return a->save == VLM_SAVE_ALL && x ? act_at(x, r * C) : x; }

/* out = in + s * (b + f w'), n rows. Without LayerScale: out = in + b + f w'. y: if not NULL, what s multiplies is kept there. */
static void add_branch(vlm_ctx *ctx, const vlm_ops *ops, act *out, const act *in, const act *f, const vlm_mat *w, const real *b,
                       const real *s, act *y, int64_t n) {
    if (!s || !y) { ops->linear_forward(ctx, out, f, w, &(vlm_epilogue){ .b = b, .scale = s, .res = in }, n); return; }
    ops->linear_forward(ctx, y, f, w, &(vlm_epilogue){ .b = b }, n);
    if (out) ops->layerscale_forward(ctx, out, in, y, s, n, w->rows);
}

/* mid = in + attention's branch, and what is kept of it. known: s->att and s->lse are. */
static void attend(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit_config *c, const vlm_vit_block *b, const vlm_vit_layer *s, bool known,
                   vlm_vit_acts *a) {
    int64_t D = c->D, Dh = D / c->H, N = a->rows;
    ops->layernorm_forward(ctx, a->h, s->mean1, s->rstd1, s->in, b->ln1_w, b->ln1_b, N, D, c->eps);
    ops->linear_forward(ctx, s->qkv, a->h, &b->qkv, &(vlm_epilogue){ .b = b->qkv_b }, N);
    if (c->rope_theta > 0) ops->rope_forward(ctx, s->qkv, s->qkv, a->cos, a->sin, N, 2 * c->H, Dh, 3 * D);
    for (int64_t i = 0; i < a->n; i++) {
        const act *qkv = act_at(s->qkv, a->spans[i].row * 3 * D);
        a->spans[i].k = act_at(qkv, D), a->spans[i].v = act_at(qkv, 2 * D);
    }
    if (!known && a->room && ops->fast_bytes && b->qkv.dtype == VLM_I8)
        ops->attention_int8_forward(ctx, s->att, a->room, s->qkv, act_at(s->qkv, D), act_at(s->qkv, 2 * D), a->spans, a->n, c->H, Dh, 3 * D,
                                    vit_scale(c));
    else if (!known)
        ops->attention_forward(ctx, s->att, s->lse, s->qkv, a->spans, a->n, c->H, c->H, Dh, 3 * D, 3 * D, 0, 0, vit_scale(c));
    add_branch(ctx, ops, s->mid, s->in, s->att, &b->out, b->out_b, b->ls1, s->y1, N);
}
/* n rows of out = mid + the MLP's branch, from r on; h is there. Without out: all that the backward reads, and no more. */
static void feed(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit_config *c, const vlm_vit_block *b, const vlm_vit_layer *s, act *out,
                 int64_t r, int64_t n, vlm_vit_acts *a) {
    int64_t D = c->D, F = c->F, U = c->gated ? 2 * F : F;
    act *up = row_of(a, s->up, r, U);
    bool fused = !a->save && !c->gated;                        /* then f is up */
    ops->linear_forward(ctx, up, act_at(a->h, r * D), &b->up, &(vlm_epilogue){ .b = b->up_b, .f = fused ? c->act : VLM_IDENTITY }, n);
    if (!out && !b->ls2) return;
    if (!fused) ops->activation_forward(ctx, a->f, up, c->gated ? act_at(up, F) : NULL, c->act, n, F, U);
    add_branch(ctx, ops, out ? act_at(out, r * D) : NULL, act_at(s->mid, r * D), a->f, &b->down, b->down_b, b->ls2,
               row_of(a, s->y2, r, D), n);
}
/* From s->in to out. */
static void block(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit_config *c, const vlm_vit_block *b, const vlm_vit_layer *s, act *out,
                  vlm_vit_acts *a) {
    int64_t N = a->rows;
    attend(ctx, ops, c, b, s, false, a);
    ops->layernorm_forward(ctx, a->h, s->mean2, s->rstd2, s->mid, b->ln2_w, b->ln2_b, N, c->D, c->eps);
    for (int64_t r = 0, n, part = vlm_part_rows(N, most_rows(a->save)); r < N; r += n) {
        n = N - r < part ? N - r : part;
        feed(ctx, ops, c, b, s, out, r, n, a);
    }
}
/* The stream behind block l. */
static act *out_of(const vlm_vit_config *c, const vlm_vit_acts *a, int64_t l) {
    return a->save && l + 1 < c->L ? a->layer[l + 1].in : a->last;
}

vlm_status vlm_vit_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_grid *grid, int64_t n, const float *const *pixels,
                           vlm_vit_acts *a) {
    const vlm_vit_config *c = &v->cfg;
    int64_t D = c->D, row = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t N = vlm_vit_prefix(c) + grid[i].h * grid[i].w;
        embed(ctx, ops, v, grid[i], pixels[i], act_at(a->layer[0].in, row * D), a);
        a->spans[i] = (vlm_span){ .row = row, .rows = N, .keys = N };
        row += N;
    }
    a->n = n;
    a->rows = row;
    if (c->rope_theta > 0) {
        size_t bytes = (size_t)(a->rows * (D / c->H / 2)) * sizeof(real);
        rope_tables(c, grid, a->n, a);
        ops->upload(ctx, a->cos, a->host_cos, bytes);
        ops->upload(ctx, a->sin, a->host_sin, bytes);
    }
    for (int64_t l = 0; l < c->L; l++) {
        block(ctx, ops, c, &v->block[l], &a->layer[a->save ? l : 0], out_of(c, a, l), a);
        if (!a->save) TRY(vlm_progress("layers", l + 1, c->L));
    }
    ops->layernorm_forward(ctx, a->x, a->mean, a->rstd, a->last, v->norm_w, v->norm_b, a->rows, D, c->eps);
    return VLM_OK;
}

/* ---- Backward: each step quotes the line of the forward that it differentiates ---- */

/* dx: the gradient by out, becomes that by s->in. Attention's branch is there; of the MLP what was not kept is made again, some rows at a
   time. */
static void block_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit_config *c, const vlm_vit_block *b, const vlm_vit_block *g,
                           const vlm_vit_layer *s, act *dx, vlm_vit_acts *a) {
    int64_t D = c->D, Dh = D / c->H, F = c->F, U = c->gated ? 2 * F : F, N = a->rows;
    /* out = mid + ls2 * (b + f down'),  f = act(up) */
    ops->layernorm_forward(ctx, a->h, s->mean2, s->rstd2, s->mid, b->ln2_w, b->ln2_b, N, D, c->eps);
    for (int64_t r = 0, n, part = vlm_part_rows(N, most_rows(a->save)); r < N; r += n) {
        n = N - r < part ? N - r : part;
        act *up = row_of(a, s->up, r, U), *h = act_at(a->h, r * D), *dy = act_at(dx, r * D), *gate = c->gated ? act_at(up, F) : NULL;
        if (a->save == VLM_SAVE_STREAM) feed(ctx, ops, c, b, s, NULL, r, n, a);
        if (b->ls2) {
            ops->layerscale_backward(ctx, a->dy, g->ls2, dy, row_of(a, s->y2, r, D), b->ls2, n, D);
            dy = a->dy;
        }
        if (a->save == VLM_SAVE_ALL || !b->ls2) ops->activation_forward(ctx, a->f, up, gate, c->act, n, F, U);
        ops->linear_backward_weight(ctx, &g->down, g->down_b, dy, a->f, n);
        ops->linear_backward_input(ctx, a->df, dy, &b->down, NULL, n);
        ops->activation_backward(ctx, up, gate, a->df, up, gate, c->act, n, F, U);     /* up is now its own gradient */
        ops->linear_backward_weight(ctx, &g->up, g->up_b, up, h, n);
        ops->linear_backward_input(ctx, h, up, &b->up, NULL, n);                       /* and so is h */
    }
    ops->layernorm_backward(ctx, dx, g->ln2_w, g->ln2_b, a->h, s->mid, b->ln2_w, s->mean2, s->rstd2, dx, N, D);
    /* mid = in + ls1 * (b + att out') */
    for (int64_t r = 0, n, part = vlm_part_rows(N, most_rows(a->save)); r < N; r += n) {
        n = N - r < part ? N - r : part;
        act *dy = act_at(dx, r * D);
        if (b->ls1) {
            ops->layerscale_backward(ctx, a->dy, g->ls1, dy, act_at(s->y1, r * D), b->ls1, n, D);
            dy = a->dy;
        }
        ops->linear_backward_weight(ctx, &g->out, g->out_b, dy, act_at(s->att, r * D), n);
        ops->linear_backward_input(ctx, act_at(a->datt, r * D), dy, &b->out, NULL, n);
    }
    /* att = attention(rope(qkv)),  qkv = b + ln1(in) qkv' */
    ops->attention_backward(ctx, a->dqkv, act_at(a->dqkv, D), act_at(a->dqkv, 2 * D), a->datt, s->att, s->lse, s->qkv, act_at(s->qkv, D),
                            act_at(s->qkv, 2 * D), a->spans, a->n, c->H, c->H, Dh, 3 * D, 0, 0, vit_scale(c));
    if (c->rope_theta > 0) ops->rope_backward(ctx, a->dqkv, a->dqkv, a->cos, a->sin, N, 2 * c->H, Dh, 3 * D);
    ops->layernorm_forward(ctx, a->h, NULL, NULL, s->in, b->ln1_w, b->ln1_b, N, D, c->eps);
    ops->linear_backward_weight(ctx, &g->qkv, g->qkv_b, a->dqkv, a->h, N);
    const bool has[3] = { c->q_bias, c->k_bias, c->v_bias };
    for (int i = 0; i < 3; i++) if (!has[i]) ops->zero(ctx, act_at(g->qkv_b, i * D), (size_t)D * sizeof(real));       /* absent */
    ops->linear_backward_input(ctx, a->h, a->dqkv, &b->qkv, NULL, N);
    ops->layernorm_backward(ctx, dx, g->ln1_w, g->ln1_b, a->h, s->in, b->ln1_w, s->mean1, s->rstd1, dx, N, D);
}

/* The backward of embed: x = [CLS, registers, b + patches w' + positions]. */
static void embed_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_vit *g, vlm_grid grid, const float *pixels,
                           const act *dx, vlm_vit_acts *a) {
    const vlm_vit_config *c = &v->cfg;
    int64_t D = c->D, N = grid.h * grid.w;
    const act *dpatches = act_at(dx, vlm_vit_prefix(c) * D);
    if (c->cls) ops->add_forward(ctx, g->cls, g->cls, dx, D);
    if (c->cls && c->pos_cls) ops->add_forward(ctx, g->pos, g->pos, dx, D);
    if (c->R) ops->add_forward(ctx, g->registers, g->registers, act_at(dx, c->cls * D), c->R * D);
    if (c->pos_h)
        ops->posresize_backward(ctx, act_at(g->pos, c->pos_cls * D), dpatches, grid.h, grid.w, c->pos_h, c->pos_w, D, c->pos_antialias);
    ops->upload(ctx, a->pixels, pixels, (size_t)(N * 3 * c->P * c->P) * sizeof(float));
    ops->patches_forward(ctx, a->patches, a->pixels, grid.h, grid.w, c->P);
    ops->linear_backward_weight(ctx, &g->patch, g->patch_b, dpatches, a->patches, N);
}

void vlm_vit_backward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_vit *g, const vlm_grid *grid, int64_t n,
                      const float *const *pixels, vlm_vit_acts *a) {
    const vlm_vit_config *c = &v->cfg;
    int64_t D = c->D;
    if (!n) return;
    ops->layernorm_backward(ctx, a->x, g->norm_w, g->norm_b, a->x, a->last, v->norm_w, a->mean, a->rstd, NULL, a->rows, D);
    for (int64_t l = c->L - 1; l >= 0; l--) {
        if (a->save == VLM_SAVE_STREAM) attend(ctx, ops, c, &v->block[l], &a->layer[l], keeps_attention(l), a);
        block_backward(ctx, ops, c, &v->block[l], &g->block[l], &a->layer[l], a->x, a);
    }
    for (int64_t i = 0, row = 0; i < n; i++) {
        embed_backward(ctx, ops, v, g, grid[i], pixels[i], act_at(a->x, row * D), a);
        row += vlm_vit_prefix(c) + grid[i].h * grid[i].w;
    }
}

double vlm_vit_flop(const vlm_vit_config *c, vlm_grid g) {
    double N = (double)(vlm_vit_prefix(c) + g.h * g.w), D = (double)c->D, F = (double)c->F;
    double layer = 2 * N * D * (4 * D + (c->gated ? 3 : 2) * F) + 4 * N * N * D;
    return (double)c->L * layer + 2.0 * (double)(g.h * g.w) * D * 3 * (double)(c->P * c->P);
}

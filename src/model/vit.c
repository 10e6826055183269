#include "model/vit.h"
#include "base/log.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PART_ROWS = 1024 };             /* the MLP runs on so many rows at a time: its hidden layer stays near the cores */

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

void vlm_vit_take(vlm_arena *dev, vlm_arena *host, const vlm_vit_config *c, const vlm_grid *grid, int64_t n, vlm_vit_acts *a) {
    int64_t D = c->D, most = 0, rows = vlm_vit_row(c, grid, n), part = rows < PART_ROWS ? rows : PART_ROWS;
    for (int64_t i = 0; i < n; i++) if (most < grid[i].h * grid[i].w) most = grid[i].h * grid[i].w;
    a->n = n;
    a->rows = rows;
    VLM_TAKE(dev, a->x, rows, D);
    if (c->rope_theta > 0) {
        VLM_TAKE(dev, a->cos, rows, D / c->H / 2);
        VLM_TAKE(dev, a->sin, rows, D / c->H / 2);
        VLM_TAKE(host, a->host_cos, rows, D / c->H / 2);
        VLM_TAKE(host, a->host_sin, rows, D / c->H / 2);
    }
    VLM_TAKE(host, a->spans, n);
    size_t mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->pixels, most, 3 * c->P * c->P);           /* embedding */
    VLM_TAKE(dev, a->patches, most, 3 * c->P * c->P);
    if (c->pos_h) VLM_TAKE(dev, a->pos, most, D);
    vlm_arena_rewind(dev, mark);
    VLM_TAKE(dev, a->h, rows, D);
    mark = vlm_arena_mark(dev);
    VLM_TAKE(dev, a->qkv, rows, 3 * D);                        /* attention; then, over it, what the branches' ends need */
    vlm_arena_rewind(dev, mark);
    if (c->layerscale) VLM_TAKE(dev, a->y, part, D);
    VLM_TAKE(dev, a->up, part, c->gated ? 2 * c->F : c->F);
    if (c->gated) VLM_TAKE(dev, a->gate, part, c->F);
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
    ops->linear_forward(ctx, patches, a->patches, &v->patch, v->patch_b, c->pos_h ? a->pos : NULL, N);
    if (c->cls && c->pos_cls) ops->add_forward(ctx, x, v->cls, v->pos, D);
    else if (c->cls) ops->copy_forward(ctx, x, D, v->cls, D, 1, D);
    if (c->R) ops->copy_forward(ctx, act_at(x, c->cls * D), D, v->registers, D, c->R, D);
}

/* x += s * (b + f w'), n rows from row r of x; s only with LayerScale. */
static void add_branch(vlm_ctx *ctx, const vlm_ops *ops, int64_t r, int64_t n, const act *f, const vlm_mat *w, const real *b,
                       const real *s, vlm_vit_acts *a) {
    act *x = act_at(a->x, r * w->rows);
    ops->linear_forward(ctx, s ? a->y : x, f, w, b, s ? NULL : x, n);
    if (s) ops->layerscale_forward(ctx, x, x, a->y, s, n, w->rows);
}

static void block(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit_config *c, const vlm_vit_block *b, vlm_vit_acts *a) {
    int64_t D = c->D, Dh = D / c->H, F = c->F, N = a->rows;
    ops->layernorm_forward(ctx, a->h, NULL, NULL, a->x, b->ln1_w, b->ln1_b, N, D, c->eps);
    ops->linear_forward(ctx, a->qkv, a->h, &b->qkv, b->qkv_b, NULL, N);
    if (c->rope_theta > 0) ops->rope_forward(ctx, a->qkv, a->qkv, a->cos, a->sin, N, 2 * c->H, Dh, 3 * D);
    ops->attention_forward(ctx, a->h, NULL, a->qkv, a->spans, a->n, c->H, c->H, Dh, 3 * D, 3 * D, 0, 0, (float)(1 / sqrt((double)Dh)));
    for (int64_t r = 0, n; r < N; r += n) {
        n = N - r < PART_ROWS ? N - r : PART_ROWS;
        add_branch(ctx, ops, r, n, act_at(a->h, r * D), &b->out, b->out_b, b->ls1, a);
    }
    ops->layernorm_forward(ctx, a->h, NULL, NULL, a->x, b->ln2_w, b->ln2_b, N, D, c->eps);
    for (int64_t r = 0, n; r < N; r += n) {
        n = N - r < PART_ROWS ? N - r : PART_ROWS;
        act *f = c->gated ? a->gate : a->up;
        ops->linear_forward(ctx, a->up, act_at(a->h, r * D), &b->up, b->up_b, NULL, n);
        ops->activation_forward(ctx, f, a->up, c->gated ? act_at(a->up, F) : NULL, c->act, n, F, c->gated ? 2 * F : F);
        add_branch(ctx, ops, r, n, f, &b->down, b->down_b, b->ls2, a);
    }
}

vlm_status vlm_vit_forward(vlm_ctx *ctx, const vlm_ops *ops, const vlm_vit *v, const vlm_grid *grid, const float *const *pixels,
                           vlm_vit_acts *a) {
    const vlm_vit_config *c = &v->cfg;
    int64_t D = c->D;
    for (int64_t i = 0, row = 0; i < a->n; i++) {
        int64_t N = vlm_vit_prefix(c) + grid[i].h * grid[i].w;
        const act *qkv = act_at(a->qkv, row * 3 * D);
        embed(ctx, ops, v, grid[i], pixels[i], act_at(a->x, row * D), a);
        a->spans[i] = (vlm_span){ .row = row, .rows = N, .keys = N, .k = act_at(qkv, D), .v = act_at(qkv, 2 * D) };
        row += N;
    }
    if (c->rope_theta > 0) {
        size_t bytes = (size_t)(a->rows * (D / c->H / 2)) * sizeof(real);
        rope_tables(c, grid, a->n, a);
        ops->upload(ctx, a->cos, a->host_cos, bytes);
        ops->upload(ctx, a->sin, a->host_sin, bytes);
    }
    for (int64_t l = 0; l < c->L; l++) {
        block(ctx, ops, c, &v->block[l], a);
        TRY(vlm_progress("layers", l + 1, c->L));
    }
    ops->layernorm_forward(ctx, a->x, NULL, NULL, a->x, v->norm_w, v->norm_b, a->rows, D, c->eps);
    return VLM_OK;
}

double vlm_vit_flop(const vlm_vit_config *c, vlm_grid g) {
    double N = (double)(vlm_vit_prefix(c) + g.h * g.w), D = (double)c->D, F = (double)c->F;
    double layer = 2 * N * D * (4 * D + (c->gated ? 3 : 2) * F) + 4 * N * N * D;
    return (double)c->L * layer + 2.0 * (double)(g.h * g.w) * D * 3 * (double)(c->P * c->P);
}

/* Images to features. All images of a call go through the encoder in groups of about GROUP_ROWS rows: small ones together,
   large ones alone; what an image gets does not depend on that. */
#include "base/log.h"
#include "base/memory.h"
#include "infer/reuse.h"
#include <stdlib.h>
#include <string.h>

enum { GROUP_ROWS = 4096 };

/* ---- Images of programs ---- */

static vlm_status image_new(const char *name, vlm_image **out) {
    size_t n = strlen(name) + 1;
    vlm_image *image = calloc(1, sizeof *image + n);
    if (!image) return vlm_fail_memory(name, sizeof *image + n);
    memcpy(image->name, name, n);
    *out = image;
    return VLM_OK;
}
vlm_status vlm_image_wrap(vlm_bitmap b, const char *name, vlm_image **out) {
    vlm_image *image;
    vlm_status status = image_new(name, &image);
    if (status) { vlm_bitmap_close(&b); return status; }
    image->b = b;
    *out = image;
    return VLM_OK;
}
/* Of a picture whose features are kept nothing but the header is looked at now. */
static vlm_status take_bytes(const vlm_model *m, vlm_image *image, const void *data, size_t bytes) {
    const vlm_image_limits *limits = m ? &m->limits : NULL;
    if (!m || !m->reuse || !m->net->vision) return vlm_image_decode(data, bytes, image->name, limits, &image->b);
    vlm_image_info info;
    vlm_image_plan plan;
    TRY(vlm_image_probe(data, bytes, image->name, limits, &info));
    TRY(vlm_image_check(&info, image->name, limits));
    vlm_reuse_file(data, bytes, image->key);
    image->has_key = true;
    if (vlm_image_plan_make(&m->rule, info.w, info.h, image->name, &plan) || !vlm_reuse_has_image(m->reuse, image->key, &plan))
        return vlm_image_decode(data, bytes, image->name, limits, &image->b);
    if (!(image->bytes = malloc(bytes))) return vlm_fail_memory(image->name, bytes);
    memcpy(image->bytes, data, bytes);
    image->size = bytes;
    image->b = (vlm_bitmap){ .w = info.w, .h = info.h };
    return VLM_OK;
}
static vlm_status from_bytes(const vlm_model *m, const void *data, size_t bytes, const char *name, vlm_image **out) {
    vlm_image *image;
    TRY(image_new(name, &image));
    vlm_status status = take_bytes(m, image, data, bytes);
    if (status) vlm_image_free(image);
    else *out = image;
    return status;
}
vlm_status vlm_image_load(const vlm_model *m, const char *path, vlm_image **out) {
    unsigned char *data;
    size_t bytes;
    if (!path || !out) return vlm_fail(VLM_EARG, "vlm_image_load", "path or out is NULL; give both");
    TRY(vlm_image_read(path, m ? &m->limits : NULL, &data, &bytes));
    vlm_status status = from_bytes(m, data, bytes, strcmp(path, "-") ? path : "standard input", out);
    free(data);
    return status;
}
vlm_status vlm_image_load_bytes(const vlm_model *m, const void *data, size_t bytes, vlm_image **out) {
    if (!data || !out) return vlm_fail(VLM_EARG, "vlm_image_load_bytes", "data or out is NULL; give both");
    return from_bytes(m, data, bytes, "image", out);
}
vlm_status vlm_image_from_rgb(const vlm_model *m, const uint8_t *rgb, int64_t w, int64_t h, vlm_image **out) {
    vlm_image_info info = { .format = "RGB", .colour = "RGB", .stored_w = w, .stored_h = h, .w = w, .h = h, .orientation = 1 };
    if (!rgb || !out || w < 1 || h < 1)
        return vlm_fail(VLM_EARG, "vlm_image_from_rgb", "rgb or out is NULL, or a side is below 1; give a picture");
    TRY(vlm_image_check(&info, "image", m ? &m->limits : NULL));
    size_t bytes = (size_t)w * (size_t)h * 3;          /* the limits keep it small */
    vlm_bitmap b = { .w = w, .h = h, .rgb = malloc(bytes) };
    if (!b.rgb) return vlm_fail_memory("the image", bytes);
    memcpy(b.rgb, rgb, bytes);
    return vlm_image_wrap(b, "image", out);
}
void vlm_image_free(vlm_image *image) {
    if (!image) return;
    vlm_bitmap_close(&image->b);
    free(image->bytes);
    free(image);
}

/* ---- Features ---- */

void vlm_features_free(vlm_features *f) {
    for (int64_t i = 0; f && i < f->n; i++) {
        free(f->image[i].u8);
        free(f->image[i].pixels);
        free(f->image[i].prefix);
        free(f->image[i].patches);
        free(f->image[i].tokens);
    }
    if (f) free(f->image);
    free(f);
}
int64_t vlm_features_tiles(const vlm_features *f, int64_t image) { return f->image[image].plan.n; }
void vlm_features_grid(const vlm_features *f, int64_t image, int64_t tile, int64_t *h, int64_t *w) {
    (void)tile;                        /* tiles of an image are alike */
    *h = f->image[image].plan.patches.h;
    *w = f->image[image].plan.patches.w;
}
const float *vlm_features_patches(const vlm_features *f, int64_t image, int64_t tile) {
    const vlm_seen *s = &f->image[image];
    return s->patches ? s->patches + tile * s->patch_len : NULL;
}
const float *vlm_features_prefix(const vlm_features *f, int64_t image, int64_t tile) {
    const vlm_seen *s = &f->image[image];
    return s->prefix ? s->prefix + tile * s->prefix_len : NULL;
}
const float *vlm_features_tokens(const vlm_features *f, int64_t image, int64_t *tokens) {
    *tokens = f->image[image].tokens ? f->image[image].plan.image_tokens : 0;
    return f->image[image].tokens;
}

/* Floats of the parts of an image. */
static size_t pixel_len(const vlm_image_plan *p) { return (size_t)(p->n * 3 * p->tile_h * p->tile_w); }
static int64_t patch_len(const vlm_model *m, const vlm_image_plan *p) { return p->patches.h * p->patches.w * m->net->vit.cfg.D; }
static int64_t prefix_len(const vlm_model *m) { return vlm_vit_prefix(&m->net->vit.cfg) * m->net->vit.cfg.D; }
static int64_t rows_of(const vlm_model *m, const vlm_image_plan *p) {
    return p->n * (vlm_vit_prefix(&m->net->vit.cfg) + p->patches.h * p->patches.w);
}

/* The encoder's buffers and the projector's, for encoder images with these grids. */
typedef struct work { vlm_vit_acts acts; act *shuffled, *tokens; } work;
static void take(vlm_arena *dev, vlm_arena *host, const vlm_net *net, const vlm_grid *grid, int64_t n, work *w) {
    int64_t most = 0;
    vlm_vit_take(dev, host, &net->vit.cfg, grid, n, VLM_SAVE_NOTHING, &w->acts);
    for (int64_t i = 0; i < n; i++) if (most < vlm_tokens_of(grid[i], net->shuffle)) most = vlm_tokens_of(grid[i], net->shuffle);
    if (!net->language) return;
    VLM_TAKE(dev, w->shuffled, most, net->vit.cfg.D * net->shuffle * net->shuffle);
    VLM_TAKE(dev, w->tokens, most, net->lm.cfg.D);
}

/* How many images from the first on go together, and how many encoder images they are. */
static int64_t group_of(const vlm_model *m, const vlm_seen *seen, int64_t n, int64_t *units) {
    int64_t rows = 0, group = 0;
    for (*units = 0; group < n; group++) {
        const vlm_image_plan *p = &seen[group].plan;
        if (group && rows + rows_of(m, p) > GROUP_ROWS) break;
        rows += rows_of(m, p);
        *units += p->n;
    }
    return group;
}

/* Of one group, at the most: all its pixels, and the buffers of resizing one image or of encoding all. */
static vlm_status group_bytes(const vlm_model *m, const vlm_seen *seen, int64_t n, int64_t units, size_t *bytes) {
    vlm_arena dev = { 0 }, host = { 0 };
    work wk;
    size_t pixels = 0, most = 0;
    vlm_grid *grid = malloc((size_t)units * sizeof *grid);
    if (!grid) return vlm_fail_memory("the plan", (size_t)units * sizeof *grid);
    for (int64_t i = 0, u = 0; i < n; i++) {
        const vlm_image_plan *p = &seen[i].plan;
        size_t process = vlm_process_bytes(&m->rule, p);
        pixels += pixel_len(p) * sizeof(float);
        if (process > most) most = process;
        for (int64_t t = 0; t < p->n; t++) grid[u++] = p->patches;
    }
    take(&dev, &host, m->net, grid, units, &wk);
    free(grid);
    *bytes = pixels + (most > dev.peak + host.peak ? most : dev.peak + host.peak);
    return VLM_OK;
}
vlm_status vlm_encode_bytes(const vlm_model *m, const vlm_seen *seen, int64_t n, int keep, size_t *bytes) {
    size_t kept = 0, most = 0, one = 0;
    for (int64_t i = 0; i < n; i++) {
        const vlm_image_plan *p = &seen[i].plan;
        size_t len = (size_t)(p->n * prefix_len(m)) + (keep & VLM_KEEP_PATCHES ? (size_t)(p->n * patch_len(m, p)) : 0);
        if (m->net->language) len += (size_t)(p->image_tokens * m->net->lm.cfg.D);
        kept += (size_t)p->w * (size_t)p->h * 3 + len * sizeof(float);
    }
    for (int64_t i = 0, units, group; i < n; i += group) {
        group = group_of(m, seen + i, n - i, &units);
        TRY(group_bytes(m, seen + i, group, units, &one));
        if (one > most) most = one;
    }
    *bytes = kept + most;
    return VLM_OK;
}

/* Everything about image i but its features: plan, pixels. */
static vlm_status process(vlm_session *s, const vlm_image *image, int keep, vlm_seen *seen, float **pixels) {
    const vlm_model *m = s->m;
    const vlm_image_plan *p = &seen->plan;
    size_t work_bytes = vlm_process_bytes(&m->rule, p), u8_bytes = (size_t)(p->H * p->W * 3), px = pixel_len(p) * sizeof(float);
    void *work = vlm_alloc(work_bytes);
    vlm_bitmap late = { 0 };
    vlm_status status = image->b.rgb ? VLM_OK : vlm_image_decode(image->bytes, image->size, image->name, &m->limits, &late);
    *pixels = vlm_alloc(px);
    if (keep & VLM_KEEP_PIXELS) seen->u8 = malloc(u8_bytes);
    if (status) goto done;
    if (!work || !*pixels || ((keep & VLM_KEEP_PIXELS) && !seen->u8)) status = vlm_fail_memory("the image", work_bytes + px + u8_bytes);
    else vlm_process(s->ctx, &m->net->ops, &m->rule, p, image->b.rgb ? &image->b : &late, seen->u8, *pixels, work);
done:
    vlm_bitmap_close(&late);
    free(work);
    return status;
}
static vlm_status make_room(const vlm_model *m, int keep, vlm_seen *seen) {
    const vlm_image_plan *p = &seen->plan;
    seen->patch_len = patch_len(m, p);
    seen->prefix_len = prefix_len(m);
    size_t a = (size_t)(p->n * seen->prefix_len) * sizeof(float), b = (size_t)(p->n * seen->patch_len) * sizeof(float), c = 0;
    if (m->net->language) c = (size_t)(p->image_tokens * m->net->lm.cfg.D) * sizeof(float);
    seen->prefix = malloc(a + 1);
    if (keep & VLM_KEEP_PATCHES) seen->patches = malloc(b);
    if (c) seen->tokens = malloc(c);
    if (!seen->prefix || ((keep & VLM_KEEP_PATCHES) && !seen->patches) || (c && !seen->tokens))
        return vlm_fail_memory("features", a + b + c);
    return VLM_OK;
}

/* What overflowed must not go on as features. */
static vlm_status check_finite(const vlm_model *m, const char *name, const float *x, int64_t n) {
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) bad += !(x[i] - x[i] == 0);
    if (!bad) return VLM_OK;
    return vlm_fail(VLM_EFORMAT, name, "gives %lld NaN or infinite features; the weights of %s overflow, use sound ones or F32",
                    (long long)bad, m->net->dir);
}

/* One group: n images whose encoder images (units of them) run together. */
static vlm_status encode_group(vlm_session *s, const vlm_image *const *images, int64_t n, int64_t units, int keep, vlm_seen *seen) {
    const vlm_net *net = s->m->net;
    const vlm_ops *ops = &net->ops;
    vlm_arena dev = { 0 }, host = { 0 };
    work wk;
    void *dev_mem = NULL, *host_mem = NULL;
    size_t dev_bytes = 0;
    vlm_status status = VLM_OK;
    vlm_grid *grid = calloc((size_t)units, sizeof *grid);
    const float **px = calloc((size_t)units, sizeof *px);
    float **pixels = calloc((size_t)n, sizeof *pixels), **cropped = calloc((size_t)n, sizeof *cropped);
    if (!grid || !px || !pixels || !cropped) { status = vlm_fail_memory("the images", (size_t)units * sizeof *grid); goto done; }
    for (int64_t i = 0, u = 0; i < n; i++) {
        const vlm_image_plan *p = &seen[i].plan;
        TRY_DONE(process(s, images[i], keep, &seen[i], &pixels[i]));
        int64_t P = net->vit.cfg.P, h = p->patches.h * P, w = p->patches.w * P;
        if (h != p->tile_h || w != p->tile_w) {
            size_t bytes = (size_t)(p->n * 3 * h * w) * sizeof(float);
            if (!(cropped[i] = malloc(bytes))) { status = vlm_fail_memory("the image", bytes); goto done; }
            vlm_process_crop(p, P, pixels[i], cropped[i]);
        }
        for (int64_t t = 0; t < p->n; t++, u++) grid[u] = p->patches, px[u] = (cropped[i] ? cropped[i] : pixels[i]) + t * 3 * h * w;
    }
    take(&dev, &host, net, grid, units, &wk);
    dev_bytes = dev.peak;
    if (!dev.overflow) dev_mem = ops->alloc(dev.peak);
    if (!host.overflow) host_mem = aligned_alloc(64, host.peak + 64);
    if (!dev_mem || !host_mem) { status = vlm_fail_memory("the vision encoder", dev.peak + host.peak); goto done; }
    dev = (vlm_arena){ .base = dev_mem, .size = dev.peak };
    host = (vlm_arena){ .base = host_mem, .size = host.peak };
    take(&dev, &host, net, grid, units, &wk);
    TRY_DONE(vlm_vit_forward(s->ctx, ops, &net->vit, grid, units, px, &wk.acts));
    for (int64_t i = 0, u = 0; i < n; i++)
        for (int64_t t = 0; t < seen[i].plan.n; t++, u++) {
            vlm_seen *at = &seen[i];
            const act *x = act_at(wk.acts.x, vlm_vit_row(&net->vit.cfg, grid, u) * net->vit.cfg.D), *patches = act_at(x, at->prefix_len);
            int64_t len = vlm_tokens_of(grid[u], net->shuffle) * net->lm.cfg.D;
            ops->download(s->ctx, at->prefix + t * at->prefix_len, x, (size_t)at->prefix_len * sizeof(float));
            if (at->patches) ops->download(s->ctx, at->patches + t * at->patch_len, patches, (size_t)at->patch_len * sizeof(float));
            if (at->tokens) {
                vlm_project(s->ctx, net, wk.tokens, patches, wk.shuffled, grid[u]);
                ops->download(s->ctx, at->tokens + t * len, wk.tokens, (size_t)len * sizeof(float));
            }
            ops->sync(s->ctx);
            TRY_DONE(check_finite(s->m, images[i]->name, at->prefix + t * at->prefix_len, at->prefix_len));
            if (at->patches) TRY_DONE(check_finite(s->m, images[i]->name, at->patches + t * at->patch_len, at->patch_len));
            if (at->tokens) TRY_DONE(check_finite(s->m, images[i]->name, at->tokens + t * len, len));
        }
done:
    if (dev_mem) ops->free(dev_mem, dev_bytes);
    free(host_mem);
    for (int64_t i = 0; pixels && i < n; i++) {
        if (!status && keep & VLM_KEEP_PIXELS) seen[i].pixels = pixels[i];
        else free(pixels[i]);
    }
    for (int64_t i = 0; cropped && i < n; i++) free(cropped[i]);
    free(cropped);
    free(pixels);
    free(px);
    free(grid);
    return status;
}

static bool kept(const vlm_model *m, const vlm_image *image, int keep) { return m->reuse && image->has_key && !(keep & VLM_KEEP_PIXELS); }
static vlm_status encode_all(vlm_session *s, const vlm_image *const *images, int64_t n, int keep, vlm_seen *seen) {
    for (int64_t i = 0, units, group; i < n; i += group) {
        group = group_of(s->m, seen + i, n - i, &units);
        TRY(encode_group(s, images + i, group, units, keep, seen + i));
        for (int64_t k = i; k < i + group; k++)
            if (kept(s->m, images[k], keep)) vlm_reuse_put_image(s->m->reuse, images[k]->key, keep, &seen[k]);
        if (group < n) TRY(vlm_progress("images", i + group, n));
    }
    return VLM_OK;
}
static bool is_one_of(const vlm_image *image, const vlm_image *const *others, int64_t n) {
    for (int64_t i = 0; i < n; i++) if (others[i]->has_key && !memcmp(image->key, others[i]->key, sizeof image->key)) return true;
    return false;
}
/* Those that nothing is kept of, together; then those of the same files, of which there is something now. */
static vlm_status encode_others(vlm_session *s, const vlm_image *const *images, int64_t n, int keep, const vlm_seen *seen) {
    const vlm_image **other = malloc((size_t)n * sizeof *other + 1);
    vlm_seen *at = malloc((size_t)n * sizeof *at + 1);         /* the same memory for features */
    bool *done = calloc((size_t)n + 1, sizeof *done);
    vlm_status status = other && at && done ? VLM_OK : vlm_fail_memory("the images", (size_t)n * (sizeof *other + sizeof *at));
    for (int round = 0; !status && round < 2; round++) {
        int64_t others = 0;
        for (int64_t i = 0; i < n; i++) {
            if (done[i]) continue;
            at[others] = seen[i];
            done[i] = kept(s->m, images[i], keep) && vlm_reuse_get_image(s->m->reuse, images[i]->key, keep, &at[others]);
            if (done[i]) s->reused_images++;
            else if (round || !images[i]->has_key || !is_one_of(images[i], other, others)) other[others++] = images[i], done[i] = true;
        }
        status = encode_all(s, other, others, keep, at);
    }
    free(other);
    free(at);
    free(done);
    return status;
}

vlm_status vlm_encode_keeping(vlm_session *s, const vlm_image *const *images, int64_t n, int keep, vlm_features **out) {
    const vlm_model *m = s->m;
    vlm_status status = VLM_OK;
    if (!m->net->vision) return vlm_fail(VLM_EARG, m->net->dir, "is a language model and sees no images; make a VLM of it with vlm new");
    vlm_features *f = calloc(1, sizeof *f);
    if (f) f->image = calloc((size_t)n + 1, sizeof *f->image);
    if (!f || !f->image) { free(f); return vlm_fail_memory("features", (size_t)n * sizeof *f->image); }
    f->m = m;
    f->n = n;
    for (int64_t i = 0; i < n; i++) {
        TRY_DONE(vlm_image_plan_make(&m->rule, images[i]->b.w, images[i]->b.h, images[i]->name, &f->image[i].plan));
        TRY_DONE(make_room(m, keep, &f->image[i]));
    }
    TRY_DONE(m->reuse && !(keep & VLM_KEEP_PIXELS) ? encode_others(s, images, n, keep, f->image)
                                                  : encode_all(s, images, n, keep, f->image));
    *out = f;
    return VLM_OK;
done:
    vlm_features_free(f);
    return status;
}
vlm_status vlm_encode(vlm_session *s, const vlm_image *const *images, int64_t n, vlm_features **out) {
    if (!s || !out || n < 0 || (n && !images)) return vlm_fail(VLM_EARG, "vlm_encode", "session, images or out is NULL; give all");
    for (int64_t i = 0; i < n; i++)
        if (!images[i]) return vlm_fail(VLM_EARG, "vlm_encode", "images[%lld] is NULL; give a picture", (long long)i);
    return vlm_encode_keeping(s, images, n, VLM_KEEP_PATCHES, out);
}

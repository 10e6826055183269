#include "data/processor.h"
#include "base/arena.h"
#include <math.h>
#include <string.h>

/* of a picture; of what it is resized to. Products of three of them stay below 2^63 */
enum { MAX_SIDE = 1 << 24, MAX_BLOCK = 1 << 16 };

vlm_status vlm_image_normalise(const char *name, vlm_image_rule *rule) {
    static const struct { const char *name; float mean[3], std[3]; } known[] = {
        { "none",     { 0, 0, 0 },                { 1, 1, 1 } },
        { "imagenet", { 0.485f, 0.456f, 0.406f }, { 0.229f, 0.224f, 0.225f } },
        { "siglip",   { 0.5f, 0.5f, 0.5f },       { 0.5f, 0.5f, 0.5f } },
        { "sat",      { 0.430f, 0.411f, 0.296f }, { 0.213f, 0.156f, 0.143f } },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name)) {
            memcpy(rule->mean, known[i].mean, sizeof rule->mean);
            memcpy(rule->std, known[i].std, sizeof rule->std);
            return VLM_OK;
        }
    return vlm_fail(VLM_EARG, name, "is no known normalisation; it is one of none, imagenet, siglip, sat");
}

vlm_status vlm_image_rule_check(const vlm_image_rule *r, const char *where) {
    if (r->patch < 1 || r->shuffle < 1 || r->block < 1 || r->block > MAX_BLOCK || r->patch > r->block || r->shuffle > r->block)
        return vlm_fail(VLM_EFORMAT, where, "patch %lld, shuffle %lld and block %lld cannot go together; check the model's config.json",
                        (long long)r->patch, (long long)r->shuffle, (long long)r->block);
    if (r->kind == VLM_RULE_DYNAMIC && r->block % (r->patch * r->shuffle))
        return vlm_fail(VLM_EFORMAT, where, "block %lld is no multiple of patch %lld times shuffle %lld; check the model's config.json",
                        (long long)r->block, (long long)r->patch, (long long)r->shuffle);
    /* what is over of a block that is no multiple of the patch, the patch convolution leaves out */
    if (r->block / r->patch % r->shuffle)
        return vlm_fail(VLM_EFORMAT, where, "%lld patches a side cannot be shuffled by %lld; check the model's config.json",
                        (long long)(r->block / r->patch), (long long)r->shuffle);
    if (r->kind != VLM_RULE_FIXED && (r->max_size < 1 || r->max_size > MAX_BLOCK))
        return vlm_fail(VLM_EARG, "--max-size", "%lld is not between 1 and %d pixels; choose a multiple of %lld",
                        (long long)r->max_size, MAX_BLOCK, (long long)r->block);
    if (r->max_tokens < 0 || r->max_tokens > (int64_t)1 << 31)
        return vlm_fail(VLM_EARG, "--max-image-tokens", "%lld is not between 1 and 2^31; choose how many tokens an image may have",
                        (long long)r->max_tokens);
    for (int i = 0; i < 3; i++)
        if (!isfinite(r->mean[i]) || !isfinite(r->std[i]) || r->std[i] == 0)
            return vlm_fail(VLM_EFORMAT, where, "a mean of %g with a standard deviation of %g normalises nothing; check the model's config",
                            (double)r->mean[i], (double)r->std[i]);
    return VLM_OK;
}

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t isqrt(int64_t n) {              /* ⌊√n⌋; sqrt is right up to a rounding */
    int64_t r = (int64_t)sqrt((double)n);
    while (r * r > n) r--;
    while ((r + 1) * (r + 1) <= n) r++;
    return r;
}

/* Target sides in blocks. */
static void blocks_of(const vlm_image_rule *r, int64_t longer, int64_t shorter, int64_t *t, int64_t *s) {
    int64_t q = r->block, top = max(1, r->max_size / q);
    *t = r->fill_max ? top : min(top, r->no_upscale ? max(1, longer / q) : ceil_div(longer, q));
    *s = min(*t, max(1, r->no_upscale ? shorter * *t / longer : ceil_div(shorter * *t, longer)));
}
/* The Python: s = target/long as a double, ceil of the scaled side over q, no look at whether m is a multiple (docs/models.md). */
static void compat_size(const vlm_image_rule *r, int64_t longer, int64_t shorter, int64_t *t, int64_t *s) {
    double q = (double)r->block;
    int64_t target = r->fill_max ? r->max_size : min(r->max_size, (int64_t)ceil((double)longer / q) * r->block);
    if (r->no_upscale) target = min(target, longer);
    *s = max(r->block, (int64_t)ceil((double)shorter * ((double)target / (double)longer) / q) * r->block);
    *t = target;
}
/* At most n blocks in all, floor(√(n/(w·h))·side) each; then never more than the rule gave, nor n. */
static void fit(int64_t n, int64_t w, int64_t h, int64_t *rows, int64_t *cols) {
    int64_t y = min(*rows, max(1, isqrt(n * h / w))), x = min(*cols, max(1, isqrt(n * w / h)));
    if (y * x > n) *(y > x ? &y : &x) = n;     /* the other side is one block */
    *rows = y, *cols = x;
}

vlm_status vlm_image_plan_make(const vlm_image_rule *r, int64_t w, int64_t h, const char *where, vlm_image_plan *out) {
    vlm_image_plan p = { .w = w, .h = h, .rows = 1, .cols = 1, .n = 1 };
    bool tiles = r->kind == VLM_RULE_TILES, fixed = r->kind == VLM_RULE_FIXED;
    int64_t q = r->block, each = tiles || fixed ? (q / r->patch / r->shuffle) * (q / r->patch / r->shuffle)     /* tokens of a block */
                                                : (q / (r->patch * r->shuffle)) * (q / (r->patch * r->shuffle));
    TRY(vlm_image_rule_check(r, where));
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE)
        return vlm_fail(VLM_EARG, where, "%lld×%lld is no size of an image; its sides must be 1 to %d pixels",
                        (long long)w, (long long)h, MAX_SIDE);
    if (r->max_tokens && r->max_tokens < each)
        return vlm_fail(VLM_ELIMIT, where, "one block of the image is %lld tokens, over the limit of %lld; raise --max-image-tokens",
                        (long long)each, (long long)r->max_tokens);
    int64_t rows = 1, cols = 1;                /* in blocks */
    if (!fixed && !r->compat) {
        if (w >= h) blocks_of(r, w, h, &cols, &rows);
        else blocks_of(r, h, w, &rows, &cols);
    } else if (!fixed) {
        int64_t H, W;
        if (w >= h) compat_size(r, w, h, &W, &H);
        else compat_size(r, h, w, &H, &W);
        if (H % q || W % q)
            return vlm_fail(VLM_EUNSUPPORTED, where,
                            "the Python rule makes it %lld×%lld (height×width), no multiples of %lld; leave out --compat-resize",
                            (long long)H, (long long)W, (long long)q);
        rows = H / q, cols = W / q;
    }
    if (r->max_tokens && rows * cols > 1) {    /* a global tile is one block more */
        int64_t n = r->max_tokens / each, extra = tiles && r->global_tile;
        if (rows * cols + extra > n) fit(max(1, n - extra), w, h, &rows, &cols);
    }
    p.H = rows * q, p.W = cols * q;
    p.tile_h = p.H, p.tile_w = p.W;
    if (tiles) {
        p.rows = rows, p.cols = cols;
        p.n = rows * cols + (r->global_tile && rows * cols > 1);
        p.tile_h = p.tile_w = q;
    }
    p.patches = (vlm_grid){ p.tile_h / r->patch, p.tile_w / r->patch };
    p.tokens = (vlm_grid){ p.patches.h / r->shuffle, p.patches.w / r->shuffle };
    p.image_tokens = p.n * p.tokens.h * p.tokens.w;
    p.stretch = (double)p.W / (double)p.H * (double)h / (double)w;
    *out = p;
    return VLM_OK;
}

int64_t vlm_image_reduction(const vlm_image_rule *r, const vlm_image_info *info) {
    vlm_image_plan p;
    if (!r->fast_decode || strcmp(info->format, "JPEG") || vlm_image_plan_make(r, info->w, info->h, "", &p)) return 1;
    int64_t k = 8;
    while (k > 1 && (ceil_div(p.h, k) < p.H || ceil_div(p.w, k) < p.W)) k /= 2;
    return k;
}

/* The resized picture, then one resize at a time in the same bytes. */
typedef struct room { uint8_t *u8; void *resize; } room;
static room room_take(vlm_arena *a, const vlm_image_rule *r, const vlm_image_plan *p) {
    room m;
    VLM_TAKE(a, m.u8, p->H, p->W, 3);
    size_t bytes = vlm_resize_bytes(p->h, p->w, p->H, p->W, r->filter), whole = 0;
    if (p->n > p->rows * p->cols) whole = vlm_resize_float_bytes(p->H, p->W, p->tile_h, p->tile_w);
    if (bytes < whole) bytes = whole;
    if (bytes > INT64_MAX) a->overflow = true;
    m.resize = vlm_arena_take(a, 1, (const int64_t[]){ a->overflow ? 0 : (int64_t)bytes }, 1);
    return m;
}
size_t vlm_process_bytes(const vlm_image_rule *rule, const vlm_image_plan *plan) {
    vlm_arena a = { 0 };
    room_take(&a, rule, plan);
    return a.overflow ? SIZE_MAX : a.peak;
}

typedef struct cut { const vlm_image_plan *p; const uint8_t *u8; float *out; float value[3][256]; } cut;
/* Lines of tiles: line i is line i % tile_h of tile i / tile_h. */
static void cut_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const cut *k = arg;
    const vlm_image_plan *p = k->p;
    (void)scratch;
    for (int64_t i = lo; i < hi; i++) {
        int64_t t = i / p->tile_h, y = i % p->tile_h;
        const uint8_t *s = k->u8 + ((t / p->cols * p->tile_h + y) * p->W + t % p->cols * p->tile_w) * 3;
        float *out = k->out + (t * 3 * p->tile_h + y) * p->tile_w;
        for (int64_t x = 0; x < p->tile_w; x++)
            for (int c = 0; c < 3; c++) out[c * p->tile_h * p->tile_w + x] = k->value[c][s[3 * x + c]];
    }
}

void vlm_process(vlm_ctx *ctx, const vlm_ops *ops, const vlm_image_rule *r, const vlm_image_plan *p, const vlm_bitmap *picture,
                 uint8_t *u8, float *pixels, void *work) {
    vlm_arena a = { .base = work, .size = SIZE_MAX };
    room m = room_take(&a, r, p);
    uint8_t *to = u8 ? u8 : m.u8;
    int64_t less = picture->reduce ? picture->reduce : 1;      /* and a smaller workspace than was asked for */
    vlm_resize(ctx, ops, to, picture->rgb, ceil_div(p->h, less), ceil_div(p->w, less), p->H, p->W, r->filter, m.resize);
    if (!pixels) return;
    int64_t size = p->tile_h * p->tile_w, tiles = p->rows * p->cols;
    if (p->n > tiles) {
        vlm_resize_float(ctx, pixels, to, p->H, p->W, p->tile_h, p->tile_w, m.resize);
        for (int c = 0; c < 3; c++)
            for (int64_t i = 0; i < size; i++) pixels[c * size + i] = (pixels[c * size + i] - r->mean[c]) / r->std[c];
        pixels += 3 * size;
    }
    cut k = { .p = p, .u8 = to, .out = pixels };
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) k.value[c][v] = ((float)v / 255.0f - r->mean[c]) / r->std[c];    /* torch: ToTensor, then Normalize */
    vlm_parallel(ctx, tiles * p->tile_h, 16, cut_part, &k);
}

void vlm_process_crop(const vlm_image_plan *p, int64_t P, const float *from, float *to) {
    int64_t h = p->patches.h * P, w = p->patches.w * P;
    for (int64_t c = 0; c < p->n * 3; c++)
        for (int64_t y = 0; y < h; y++) memmove(to + (c * h + y) * w, from + (c * p->tile_h + y) * p->tile_w, (size_t)w * sizeof *to);
}

/* vlm bench image: from a JPEG's bytes to what the encoder sees. */
#include "bench.h"
#include "base/file.h"
#include "data/processor.h"
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>                   /* wants stdio.h before it */

typedef struct photo {
    vlm_bench *b;
    unsigned char *file;
    size_t bytes;
    vlm_bitmap picture;
    vlm_image_rule rule;
    vlm_image_plan plan;
    uint8_t *small;
    float *pixels;
    void *work;
} photo;

/* A photograph of 12 megapixels, as far as a decoder can tell: soft shapes, edges, and the noise of a sensor; quality 90, 4:2:0. */
static vlm_status take_photo(int w, int h, unsigned char **file, size_t *bytes) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    unsigned long size = 0;
    uint32_t x = 88172645u;
    uint8_t *row = malloc((size_t)w * 3);
    if (!row) return vlm_fail_memory("the photograph", (size_t)w * 3);
    *file = NULL;
    c.err = jpeg_std_error(&e);        /* it fails for want of memory only, with a word of its own */
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, file, &size);
    c.image_width = (JDIMENSION)w, c.image_height = (JDIMENSION)h, c.input_components = 3, c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < h; y++) {
        for (int i = 0; i < w; i++) {
            int soft = (y * 200 / h + i * 40 / w) & 255, edge = ((i / 97) ^ (y / 61)) % 5 * 24;
            x ^= x << 13, x ^= x >> 17, x ^= x << 5;
            for (int k = 0; k < 3; k++) row[3 * i + k] = (uint8_t)((soft + edge * (k + 1) / 2 + (int)(x >> (8 * k) & 15)) & 255);
        }
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
    *bytes = size;
    return VLM_OK;
}
static vlm_status decode(void *arg) {
    photo *p = arg;
    vlm_bitmap b;
    TRY(vlm_image_decode(p->file, p->bytes, "photograph", NULL, &b));
    vlm_bitmap_close(&b);
    return VLM_OK;
}
static vlm_status resize(void *arg) {
    photo *p = arg;
    vlm_resize(p->b->ctx, &p->b->ops, p->small, p->picture.rgb, p->picture.h, p->picture.w, p->plan.H, p->plan.W, p->rule.filter, p->work);
    return VLM_OK;
}
static vlm_status pixels(photo *p, bool fast) {
    vlm_bitmap b;
    vlm_image_limits limits = VLM_IMAGE_LIMITS;
    p->rule.fast_decode = fast, limits.fit = &p->rule;
    TRY(vlm_image_decode(p->file, p->bytes, "photograph", &limits, &b));
    vlm_process(p->b->ctx, &p->b->ops, &p->rule, &p->plan, &b, NULL, p->pixels, p->work);
    vlm_bitmap_close(&b);
    return VLM_OK;
}
static vlm_status pixels_all(void *arg) { return pixels(arg, false); }
static vlm_status pixels_fast(void *arg) { return pixels(arg, true); }
vlm_status vlm_bench_image(vlm_bench *b) {
    static const struct { const char *what; vlm_status (*once)(void *); bool sized; } work[] = {
        { "decode-jpeg", decode, false }, { "resize", resize, true }, { "jpeg-to-pixels", pixels_all, true },
        { "fast-decode jpeg-to-pixels", pixels_fast, true } };
    photo p = { .b = b, .rule = { .kind = VLM_RULE_DYNAMIC, .patch = 16, .shuffle = 2, .block = 32, .max_size = b->quick ? 64 : 1024,
                                  .filter = VLM_BICUBIC } };
    vlm_status status = VLM_OK;
    if (b->a->args > 1) TRY(vlm_read(b->a->arg[1], VLM_IMAGE_LIMITS.max_bytes, &p.file, &p.bytes));
    else TRY(take_photo(b->quick ? 400 : 4000, b->quick ? 300 : 3000, &p.file, &p.bytes));
    TRY_DONE(vlm_image_normalise("imagenet", &p.rule));
    TRY_DONE(vlm_image_decode(p.file, p.bytes, b->a->args > 1 ? b->a->arg[1] : "photograph", NULL, &p.picture));
    TRY_DONE(vlm_image_plan_make(&p.rule, p.picture.w, p.picture.h, "photograph", &p.plan));
    size_t room = (vlm_process_bytes(&p.rule, &p.plan) + 63) & ~(size_t)63, small = (size_t)(p.plan.H * p.plan.W * 3);
    p.work = aligned_alloc(64, room), p.small = malloc(small), p.pixels = malloc(small * sizeof(float));
    if (!p.work || !p.small || !p.pixels) { status = vlm_fail_memory("the photograph", room + 5 * small); goto done; }
    for (size_t i = 0; i < sizeof work / sizeof *work; i++) {
        vlm_row r = { .amount = (double)(p.picture.w * p.picture.h) / 1e6, .unit = "Mpixel" };
        snprintf(r.name, sizeof r.name, "image %s %lldx%lld", work[i].what, (long long)p.picture.h, (long long)p.picture.w);
        if (work[i].sized) snprintf(r.name + strlen(r.name), 32, " to %lldx%lld", (long long)p.plan.H, (long long)p.plan.W);
        if (!vlm_bench_wants(b, r.name)) continue;
        TRY_DONE(vlm_bench_time(b, &r, work[i].once, &p));
        TRY_DONE(vlm_bench_row(b, &r));
    }
done:
    vlm_bitmap_close(&p.picture);
    free(p.file);
    free(p.small);
    free(p.pixels);
    free(p.work);
    return status;
}

#include "data/image.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/codec.h"
#include "data/processor.h"
#include <stdlib.h>
#include <string.h>

typedef struct codec {
    vlm_status (*probe)(const uint8_t *, size_t, const char *, vlm_image_info *);
    vlm_status (*decode)(const uint8_t *, size_t, const char *, const vlm_image_info *, int64_t, uint8_t *);
} codec;
static const codec jpeg = { vlm_jpeg_probe, vlm_jpeg_decode }, png = { vlm_png_probe, vlm_png_decode },
                   webp = { vlm_webp_probe, vlm_webp_decode };

static bool has(const uint8_t *data, size_t n, size_t at, const char *magic, size_t len) {
    return n >= at + len && !memcmp(data + at, magic, len);
}
#define HAS(at, magic) has(data, n, at, magic, sizeof(magic) - 1)

static const char *foreign(const uint8_t *data, size_t n) {
    static const char *const brands[][2] = {
        { "avif", "AVIF" }, { "avis", "AVIF" }, { "heic", "HEIC" }, { "heix", "HEIC" }, { "heim", "HEIC" },
        { "heis", "HEIC" }, { "hevc", "HEIC" }, { "hevx", "HEIC" }, { "mif1", "HEIF" }, { "msf1", "HEIF" } };
    if (HAS(0, "GIF8")) return "GIF";
    if (HAS(0, "BM")) return "BMP";
    if (HAS(0, "II*\0") || HAS(0, "MM\0*") || HAS(0, "II+\0") || HAS(0, "MM\0+")) return "TIFF";
    if (HAS(0, "\xFF\x0A") || HAS(0, "\0\0\0\x0CJXL \r\n\x87\n")) return "JPEG XL";
    if (HAS(0, "\xFF\x4F\xFF\x51") || HAS(0, "\0\0\0\x0CjP  \r\n\x87\n")) return "JPEG 2000";
    if (HAS(0, "%PDF")) return "PDF";
    for (size_t i = 0; i < sizeof brands / sizeof *brands && HAS(4, "ftyp"); i++)
        if (has(data, n, 8, brands[i][0], 4)) return brands[i][1];
    size_t at = HAS(0, "\xEF\xBB\xBF") ? 3 : 0;
    while (at < n && (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n')) at++;
    if (HAS(at, "<svg") || HAS(at, "<?xml")) return "SVG or other XML";
    if (HAS(at, "<!DOCTYPE html") || HAS(at, "<!doctype html") || HAS(at, "<html")) return "HTML";
    return NULL;
}
static vlm_status find(const uint8_t *data, size_t n, const char *where, const vlm_image_limits *limits, const codec **out) {
    int64_t max = limits ? limits->max_bytes : VLM_IMAGE_LIMITS.max_bytes;
    if (max < 0 || n > (uint64_t)max)
        return vlm_fail(VLM_ELIMIT, where, "has %zu bytes, over the limit of %lld; raise it with --max-bytes", n, (long long)max);
    if (HAS(0, "\xFF\xD8\xFF")) *out = &jpeg;
    else if (HAS(0, "\x89PNG\r\n\x1A\n")) *out = &png;
    else if (HAS(0, "RIFF") && HAS(8, "WEBP")) *out = &webp;
    else {
        const char *name = foreign(data, n);
        if (name) return vlm_fail(VLM_EUNSUPPORTED, where, "is %s, which cannot be read; convert it to PNG or JPEG", name);
        if (!n) return vlm_fail(VLM_EFORMAT, where, "is empty; get the file again");
        return vlm_fail(VLM_EFORMAT, where, "is not an image that can be read (JPEG, PNG, WebP); check that it is the right file");
    }
    return VLM_OK;
}
static vlm_status probe(const codec *c, const uint8_t *data, size_t n, const char *where, vlm_image_info *out) {
    vlm_image_info info;
    TRY(c->probe(data, n, where, &info));
    bool turned = info.orientation >= 5;
    info.w = turned ? info.stored_h : info.stored_w;
    info.h = turned ? info.stored_w : info.stored_h;
    *out = info;
    return VLM_OK;
}

vlm_status vlm_image_probe(const void *data, size_t n, const char *where, const vlm_image_limits *limits, vlm_image_info *out) {
    const codec *c;
    TRY(find(data, n, where, limits, &c));
    return probe(c, data, n, where, out);
}

vlm_status vlm_image_check(const vlm_image_info *info, const char *where, const vlm_image_limits *limits) {
    vlm_image_limits l = limits ? *limits : VLM_IMAGE_LIMITS;
    int64_t w = info->stored_w, h = info->stored_h;    /* below 2^31 in all formats */
    if (w > l.max_side_px || h > l.max_side_px)
        return vlm_fail(VLM_ELIMIT, where, "is %lld×%lld pixels, over the limit of %lld a side; make it smaller or raise --max-side",
                        (long long)w, (long long)h, (long long)l.max_side_px);
    if (w * h > l.max_pixels || w * h > (int64_t)(SIZE_MAX / 8))
        return vlm_fail(VLM_ELIMIT, where, "is %lld×%lld pixels, over the limit of %lld in all; make it smaller or raise --max-pixels",
                        (long long)w, (long long)h, (long long)l.max_pixels);
    return VLM_OK;
}

/* Each orientation reads the stored picture from a corner, along two steps: one for x, one for y of the upright picture. In blocks,
   so that a quarter turn does not walk down whole columns. */
static void turn(uint8_t *dst, const uint8_t *src, const vlm_image_info *info) {
    enum { BLOCK = 64 };
    int64_t w = info->stored_w, h = info->stored_h, right = 3, down = 3 * w, corner = 0;
    int o = info->orientation;
    bool from_right = o == 2 || o == 3 || o == 7 || o == 8, from_below = o == 3 || o == 4 || o == 6 || o == 7;
    if (from_right) corner += (w - 1) * right, right = -right;
    if (from_below) corner += (h - 1) * down, down = -down;
    int64_t step_x = o >= 5 ? down : right, step_y = o >= 5 ? right : down;
    for (int64_t by = 0; by < info->h; by += BLOCK)
        for (int64_t bx = 0; bx < info->w; bx += BLOCK)
            for (int64_t y = by; y < by + BLOCK && y < info->h; y++)
                for (int64_t x = bx; x < bx + BLOCK && x < info->w; x++)
                    memcpy(dst + (y * info->w + x) * 3, src + corner + x * step_x + y * step_y, 3);
}

vlm_status vlm_image_decode(const void *data, size_t n, const char *where, const vlm_image_limits *limits, vlm_bitmap *out) {
    const codec *c;
    vlm_image_info info;
    TRY(find(data, n, where, limits, &c));
    TRY(probe(c, data, n, where, &info));
    TRY(vlm_image_check(&info, where, limits));
    int64_t reduce = limits && limits->fit ? vlm_image_reduction(limits->fit, &info) : 1;
    vlm_image_info whole = info;
    info.w = (info.w + reduce - 1) / reduce, info.h = (info.h + reduce - 1) / reduce;
    info.stored_w = (info.stored_w + reduce - 1) / reduce, info.stored_h = (info.stored_h + reduce - 1) / reduce;
    size_t bytes = (size_t)(info.w * info.h * 3);
    uint8_t *stored = vlm_alloc(bytes), *upright = info.orientation == 1 ? stored : vlm_alloc(bytes);
    vlm_status status = VLM_OK;
    if (!stored || !upright) status = vlm_fail_memory(where, bytes);
    else status = c->decode(data, n, where, &info, reduce, stored);
    if (!status && upright != stored) turn(upright, stored, &info);
    if (upright != stored) free(stored);
    if (status) { free(upright); return status; }
    *out = (vlm_bitmap){ whole.w, whole.h, upright, reduce };
    return VLM_OK;
}

static vlm_status name_flag(vlm_status s, const char *where) { /* base/file.c knows of no flag */
    return s == VLM_ELIMIT ? vlm_fail(s, where, "%s, or raise --max-bytes", vlm_error_message()) : s;
}
static size_t max_bytes(const vlm_image_limits *l) {
    int64_t n = l ? l->max_bytes : VLM_IMAGE_LIMITS.max_bytes;
    return n < 1 ? 1 : (size_t)n;
}
vlm_status vlm_image_probe_file(const char *path, const vlm_image_limits *limits, vlm_image_info *out) {
    vlm_map m;
    vlm_status status = name_flag(vlm_map_open(path, max_bytes(limits), &m), path);
    if (status) return status;
    status = vlm_image_probe(m.data, m.size, path, limits, out);
    vlm_map_close(&m);
    return status;
}
/* Read, not mapped: another program may be writing it, and a page that has gone would end this process. */
vlm_status vlm_image_read(const char *path, const vlm_image_limits *limits, unsigned char **out, size_t *bytes) {
    return name_flag(vlm_read(path, max_bytes(limits), out, bytes), strcmp(path, "-") ? path : "standard input");
}
vlm_status vlm_bitmap_open(const char *path, const vlm_image_limits *limits, vlm_bitmap *out) {
    unsigned char *data;
    size_t n;
    TRY(vlm_image_read(path, limits, &data, &n));
    vlm_status status = vlm_image_decode(data, n, strcmp(path, "-") ? path : "standard input", limits, out);
    free(data);
    return status;
}
void vlm_bitmap_close(vlm_bitmap *b) {
    free(b->rgb);
    *b = (vlm_bitmap){ 0 };
}

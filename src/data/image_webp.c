#include "data/codec.h"
#include <string.h>
#include <webp/decode.h>

static vlm_status fail(VP8StatusCode e, const char *where) {
    switch (e) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return vlm_fail(VLM_ENOMEM, where, "no memory to read it; close other programs or make it smaller");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return vlm_fail(VLM_EUNSUPPORTED, where, "is a WebP of a kind that cannot be read; convert it to PNG or JPEG");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:           return vlm_fail(VLM_EFORMAT, where, "is a WebP that is cut short; get the file again");
    default:                             return vlm_fail(VLM_EFORMAT, where, "is a damaged WebP; get the file again or save it anew");
    }
}
static uint32_t le32(const uint8_t *p) { return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0]; }

/* An extended file says in the flags of its first chunk whether it has the others. */
static int orientation_of(const uint8_t *data, size_t n) {
    enum { XMP = 4, EXIF = 8 };
    const uint8_t *exif = NULL, *xmp = NULL;
    size_t exif_n = 0, xmp_n = 0;
    if (n < 30 || memcmp(data + 12, "VP8X", 4)) return 1;
    for (size_t at = 12; n - at >= 8;) {
        uint32_t len = le32(data + at + 4);
        const uint8_t *body = data + at + 8;
        if (len > n - at - 8) break;
        if (!exif && data[20] & EXIF && !memcmp(data + at, "EXIF", 4)) exif = body, exif_n = len;
        if (!xmp && data[20] & XMP && !memcmp(data + at, "XMP ", 4)) xmp = body, xmp_n = len;
        if (len % 2 && len == n - at - 8) break;               /* the last one without its padding */
        at += 8 + (size_t)len + len % 2;
    }
    return vlm_exif_orientation(exif, exif_n, xmp, xmp_n);
}

vlm_status vlm_webp_probe(const uint8_t *data, size_t n, const char *where, vlm_image_info *out) {
    WebPBitstreamFeatures f;
    VP8StatusCode e = WebPGetFeatures(data, n, &f);
    if (e) return fail(e, where);
    if (f.has_animation) return vlm_fail(VLM_EUNSUPPORTED, where, "is an animated WebP; save one frame as PNG or JPEG");
    *out = (vlm_image_info){ .format = "WebP", .colour = f.has_alpha ? "RGBA" : f.format == 2 ? "RGB" : "YCbCr", .stored_w = f.width,
                             .stored_h = f.height, .orientation = orientation_of(data, n) };
    return VLM_OK;
}

vlm_status vlm_webp_decode(const uint8_t *data, size_t n, const char *where, const vlm_image_info *info, int64_t reduce, uint8_t *rgb) {
    (void)reduce;
    WebPDecoderConfig c;
    if (!WebPInitDecoderConfig(&c)) return fail(VP8_STATUS_UNSUPPORTED_FEATURE, where);
    c.output.colorspace = MODE_RGB;
    c.output.is_external_memory = 1;
    c.output.u.RGBA.rgba = rgb;
    c.output.u.RGBA.stride = (int)info->stored_w * 3;
    c.output.u.RGBA.size = (size_t)(info->stored_w * info->stored_h * 3);
    VP8StatusCode e = WebPDecode(data, n, &c);
    WebPFreeDecBuffer(&c.output);
    return e ? fail(e, where) : VLM_OK;
}

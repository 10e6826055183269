#include "data/codec.h"
#include <spng.h>
#include <string.h>

enum { ROOM = 64 << 20 };      /* bytes that texts and profiles may unpack to, beyond the file's size */

static vlm_status fail(int e, const char *where) {
    if (e == SPNG_EMEM) return vlm_fail(VLM_ENOMEM, where, "no memory to read it; close other programs or make it smaller");
    if (e == SPNG_IO_EOF || e == SPNG_EIDAT_TOO_SHORT)
        return vlm_fail(VLM_EFORMAT, where, "is a PNG that is cut short (%s); get the file again", spng_strerror(e));
    if (e == SPNG_EOVERFLOW) return vlm_fail(VLM_ELIMIT, where, "is a PNG of more pixels than can be read; make it smaller");
    if (e == SPNG_ECHUNK_LIMITS) return vlm_fail(VLM_ELIMIT, where, "is a PNG with more text or profiles than pixels; save it anew");
    return vlm_fail(VLM_EFORMAT, where, "is a damaged PNG: %s; get the file again or save it anew", spng_strerror(e));
}
static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* Chunks that say how to look at the pixels. They may stand behind them; spng has no way to ask for them without decoding. */
typedef struct extras { const uint8_t *exif, *xmp; size_t exif_n, xmp_n; uint32_t frames; bool ended; } extras;
static extras find_extras(const uint8_t *data, size_t n) {
    static const char key[] = "XML:com.adobe.xmp\0\0";         /* keyword, NUL, not compressed; then method, language NUL, keyword NUL */
    extras x = { 0 };
    for (size_t at = 8; n - at >= 12;) {
        uint32_t len = be32(data + at);
        const uint8_t *type = data + at + 4, *body = type + 4;
        if (len > n - at - 12) break;
        if (!memcmp(type, "eXIf", 4)) x.exif = body, x.exif_n = len;
        if (!memcmp(type, "acTL", 4) && len >= 4) x.frames = be32(body);
        if (!memcmp(type, "iTXt", 4) && len > sizeof key && !memcmp(body, key, sizeof key - 1))
            x.xmp = body + sizeof key, x.xmp_n = len - sizeof key;
        if (!memcmp(type, "IEND", 4)) { x.ended = true; break; }
        at += 12 + (size_t)len;
    }
    return x;
}

vlm_status vlm_png_probe(const uint8_t *data, size_t n, const char *where, vlm_image_info *out) {
    static const char *const colours[] = { "grey", NULL, "RGB", "palette", "grey and alpha", NULL, "RGBA" };
    struct spng_ihdr head;
    spng_ctx *c = spng_ctx_new(0);
    if (!c) return fail(SPNG_EMEM, where);
    int e = spng_set_png_buffer(c, data, n);
    if (!e) e = spng_get_ihdr(c, &head);
    spng_ctx_free(c);
    if (e) return fail(e, where);
    extras x = find_extras(data, n);
    if (x.frames > 1)
        return vlm_fail(VLM_EUNSUPPORTED, where, "is an animated PNG of %u frames; save one frame as PNG or JPEG", (unsigned)x.frames);
    *out = (vlm_image_info){ .format = "PNG", .colour = colours[head.color_type], .stored_w = head.width, .stored_h = head.height,
                             .orientation = vlm_exif_orientation(x.exif, x.exif_n, x.xmp, x.xmp_n) };
    return VLM_OK;
}

vlm_status vlm_png_decode(const uint8_t *data, size_t n, const char *where, const vlm_image_info *info, int64_t reduce, uint8_t *rgb) {
    (void)reduce;
    spng_ctx *c = spng_ctx_new(0);
    if (!c) return fail(SPNG_EMEM, where);
    size_t bytes = (size_t)(info->stored_w * info->stored_h * 3), room = n + ROOM;
    int e = spng_set_image_limits(c, (uint32_t)info->stored_w, (uint32_t)info->stored_h);
    if (!e) e = spng_set_chunk_limits(c, room, room);
    if (!e) e = spng_set_crc_action(c, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
    if (!e) e = spng_set_png_buffer(c, data, n);
    if (!e) e = spng_decode_image(c, rgb, bytes, SPNG_FMT_RGB8, 0);    /* the high byte of 16 bits; alpha left out; no gamma */
    if (!e) e = spng_decode_chunks(c);                                 /* what stands behind the pixels: its checksums too */
    if (!e && !find_extras(data, n).ended) e = SPNG_IO_EOF;
    spng_ctx_free(c);
    return e ? fail(e, where) : VLM_OK;
}

#include "data/picture.h"
#include "base/file.h"
#include "data/resize.h"
#include <errno.h>
#include <spng.h>
#include <stdlib.h>

enum { MAX_SIDE = 1 << 20, LEVEL = 1 };        /* smooth pictures: the row above says most, and zlib needs not look far */

static vlm_status write_png(const char *path, const uint8_t *rgb, int64_t h, int64_t w) {
    vlm_writer out = { 0 };
    struct spng_ihdr head = { .width = (uint32_t)w, .height = (uint32_t)h, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR };
    TRY(vlm_writer_open(path, &out));
    errno = 0;
    spng_ctx *c = spng_ctx_new(SPNG_CTX_ENCODER);
    int e = c ? spng_set_png_file(c, out.f) : SPNG_EMEM;
    if (!e) e = spng_set_ihdr(c, &head);
    if (!e) e = spng_set_option(c, SPNG_IMG_COMPRESSION_LEVEL, LEVEL);
    if (!e) e = spng_set_option(c, SPNG_FILTER_CHOICE, SPNG_FILTER_CHOICE_UP);
    if (!e) e = spng_encode_image(c, rgb, (size_t)(h * w * 3), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    int why = errno;                   /* of the write that failed: spng says "stream error" */
    spng_ctx_free(c);
    if (e) {
        vlm_writer_cancel(&out);
        if (e == SPNG_EMEM) return vlm_fail_memory(path, (size_t)(h * w * 3));
        errno = why ? why : EIO;
        return vlm_fail_errno(path, "write");
    }
    return vlm_writer_place(&out);         /* a picture can be drawn again */
}

vlm_status vlm_picture_write(const char *path, const uint8_t *rgb, int64_t h, int64_t w, int64_t H, int64_t W) {
    if (h < 1 || w < 1 || H < 1 || W < 1 || h > MAX_SIDE || w > MAX_SIDE || H > MAX_SIDE || W > MAX_SIDE)
        return vlm_fail(VLM_EARG, path, "%lld×%lld is no size of a picture; its sides must be 1 to %d pixels", (long long)W,
                        (long long)H, MAX_SIDE);
    if (h == H && w == W) return write_png(path, rgb, h, w);
    size_t work_bytes = vlm_resize_bytes(h, w, H, W, VLM_BILINEAR), bytes = (size_t)(H * W * 3);
    uint8_t *big = malloc(bytes);
    void *work = work_bytes == SIZE_MAX ? NULL : aligned_alloc(64, work_bytes);
    vlm_status status = VLM_OK;
    if (!big || !work) status = vlm_fail_memory(path, bytes);
    else {
        vlm_ops ops;
        vlm_ops_init(&ops, vlm_cpu_flags());           /* any would make the same bytes */
        vlm_resize(NULL, &ops, big, rgb, h, w, H, W, VLM_BILINEAR, work);
        status = write_png(path, big, H, W);
    }
    free(work);
    free(big);
    return status;
}

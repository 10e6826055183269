#include "base/log.h"
#include "data/codec.h"
#include <setjmp.h>
#include <stdio.h>             /* jpeglib.h needs it */
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

enum { MAX_SCANS = 500 };      /* a progressive file may ask for the whole picture's work any number of times */

/* All that lives across a longjmp is in here, none of it in registers. */
typedef struct reader {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    const char *where;
    bool warn;
    vlm_status status;
} reader;

static void on_error(j_common_ptr c) {
    reader *r = c->client_data;
    char text[JMSG_LENGTH_MAX];
    r->err.format_message(c, text);
    switch (r->err.msg_code) {
    case JERR_OUT_OF_MEMORY:
        r->status = vlm_fail_memory(r->where, (size_t)r->c.image_width * r->c.image_height * 3);
        break;
    case JERR_SOF_UNSUPPORTED: case JERR_BAD_PRECISION: case JERR_ARITH_NOTIMPL: case JERR_NOTIMPL: case JERR_CONVERSION_NOTIMPL:
        r->status = vlm_fail(VLM_EUNSUPPORTED, r->where,
                             "is a JPEG of a kind that cannot be read (%s); convert it to PNG or baseline JPEG", text);
        break;
    case JERR_IMAGE_TOO_BIG:
        r->status = vlm_fail(VLM_ELIMIT, r->where, "%s for JPEG; make it smaller", text);
        break;
    default:
        r->status = vlm_fail(VLM_EFORMAT, r->where, "is a damaged JPEG: %s; get the file again or save it anew", text);
    }
    longjmp(r->jump, 1);
}
/* libjpeg warns and invents pixels. Where bytes are only too many or a header is odd, every pixel is still the file's own: that we report.
   All else is an error. */
static void on_message(j_common_ptr c, int level) {
    reader *r = c->client_data;
    if (level >= 0) return;
    switch (r->err.msg_code) {
    case JWRN_EXTRANEOUS_DATA: case JWRN_ADOBE_XFORM: case JWRN_JFIF_MAJOR: case JWRN_BOGUS_PROGRESSION: case JWRN_NOT_SEQUENTIAL:
        if (r->warn) {         /* once a file: it may come at every restart */
            r->warn = false;
            char text[JMSG_LENGTH_MAX];
            r->err.format_message(c, text);
            vlm_warn(r->where, "%s; look at the picture, or save it anew", text);
        }
        return;
    }
    on_error(c);
}
static void on_progress(j_common_ptr c) {
    reader *r = c->client_data;
    if (r->c.input_scan_number <= MAX_SCANS) return;
    r->status = vlm_fail(VLM_ELIMIT, r->where, "has more than %d scans; save it anew", MAX_SCANS);
    longjmp(r->jump, 1);
}

/* After setjmp. The markers that carry EXIF and XMP are kept. */
static void start(reader *r, const uint8_t *data, size_t n) {
    jpeg_create_decompress(&r->c);
    jpeg_mem_src(&r->c, data, (unsigned long)n);
    jpeg_save_markers(&r->c, JPEG_APP0 + 1, 0xFFFF);
    r->c.progress = &r->progress;
    jpeg_read_header(&r->c, TRUE);
}
static void prepare(reader *r, const char *where, bool warn) {
    *r = (reader){ .where = where, .warn = warn };
    r->c.err = jpeg_std_error(&r->err);
    r->c.client_data = r;
    r->err.error_exit = on_error;
    r->err.emit_message = on_message;
    r->progress.progress_monitor = on_progress;
}

/* A long EXIF block comes in several segments, each with its own "Exif\0\0"; of XMP the last packet counts. */
static vlm_status orientation_of(const reader *r, int *out) {
    static const char xap[] = "http://ns.adobe.com/xap/1.0/";
    const uint8_t *xmp = NULL;
    size_t bytes = 0, xmp_bytes = 0;
    for (jpeg_saved_marker_ptr m = r->c.marker_list; m; m = m->next) {
        if (m->data_length >= 6 && !memcmp(m->data, "Exif\0", 6)) bytes += m->data_length;
        if (m->data_length >= sizeof xap && !memcmp(m->data, xap, sizeof xap))
            xmp = m->data + sizeof xap, xmp_bytes = m->data_length - sizeof xap;
    }
    uint8_t *exif = bytes ? malloc(bytes) : NULL, *to = exif;
    if (bytes && !exif) return vlm_fail_memory(r->where, bytes);
    for (jpeg_saved_marker_ptr m = r->c.marker_list; m && exif; m = m->next)
        if (m->data_length >= 6 && !memcmp(m->data, "Exif\0", 6)) {
            memcpy(to, m->data + 6, m->data_length - 6);
            to += m->data_length - 6;
        }
    *out = vlm_exif_orientation(exif, (size_t)(to - exif), xmp, xmp_bytes);
    free(exif);
    return VLM_OK;
}

vlm_status vlm_jpeg_probe(const uint8_t *data, size_t n, const char *where, vlm_image_info *out) {
    reader r;
    prepare(&r, where, false);
    if (!setjmp(r.jump)) {
        start(&r, data, n);
        J_COLOR_SPACE space = r.c.jpeg_color_space;
        int orientation;
        if (r.c.num_components == 2 || r.c.num_components > 4)
            r.status = vlm_fail(VLM_EUNSUPPORTED, where, "is a JPEG of %d colour components; convert it to RGB", r.c.num_components);
        else if (!(r.status = orientation_of(&r, &orientation)))
            *out = (vlm_image_info){
                .format = "JPEG", .stored_w = r.c.image_width, .stored_h = r.c.image_height, .orientation = orientation,
                .colour = space == JCS_GRAYSCALE ? "grey" : space == JCS_RGB ? "RGB" : space == JCS_YCbCr ? "YCbCr" :
                          space == JCS_CMYK ? "CMYK" : "YCCK" };
    }
    jpeg_destroy_decompress(&r.c);
    return r.status;
}

static uint8_t times(int a, int b) { a = a * b + 128; return (uint8_t)(((a >> 8) + a) >> 8); }         /* a·b / 255, rounded */

/* Four components are taken for inverted CMYK, as Adobe writes them (and Pillow reads them, marker or not). */
static void from_cmyk(uint8_t *rgb, const uint8_t *line, int64_t w) {
    for (int64_t x = 0; x < w; x++, line += 4)
        for (int c = 0; c < 3; c++) *rgb++ = (uint8_t)(line[3] - times(255 - line[c], line[3]));
}

vlm_status vlm_jpeg_decode(const uint8_t *data, size_t n, const char *where, const vlm_image_info *info, int64_t reduce, uint8_t *rgb) {
    reader r;
    prepare(&r, where, true);
    if (!setjmp(r.jump)) {
        start(&r, data, n);
        bool four = r.c.num_components == 4;
        r.c.out_color_space = four ? JCS_CMYK : JCS_RGB;
        r.c.scale_num = 1, r.c.scale_denom = (unsigned)reduce;
        jpeg_start_decompress(&r.c);
        JSAMPARRAY line = four ? r.c.mem->alloc_sarray((j_common_ptr)&r.c, JPOOL_IMAGE, r.c.output_width * 4, 1) : NULL;
        while (r.c.output_scanline < r.c.output_height) {
            uint8_t *row = rgb + (int64_t)r.c.output_scanline * info->stored_w * 3;
            jpeg_read_scanlines(&r.c, four ? line : &row, 1);
            if (four) from_cmyk(row, line[0], info->stored_w);
        }
        jpeg_finish_decompress(&r.c);
    }
    jpeg_destroy_decompress(&r.c);
    return r.status;
}

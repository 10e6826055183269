/* Decoding against Pillow (goldens), and what must be refused: damaged, cut short, too large, foreign. */
#include "temp.h"
#include "base/file.h"
#include "data/codec.h"
#include "io/npy.h"
#include <fcntl.h>

typedef struct bytes { unsigned char *p; size_t n; } bytes;
static bytes load(const char *path) {
    bytes b;
    assert_ok(vlm_read(path, 1 << 24, &b.p, &b.n));
    return b;
}
static bytes golden(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "tests/golden/images/%s", name);
    return load(path);
}

static void goldens(void **state) {
    (void)state;
    json_t *index;
    const json_t *e;
    size_t i, compared = 0;
    assert_ok(vlm_json_read("tests/golden/cases/decode/index.json", &index));
    json_array_foreach(index, i, e) {
        const char *image = json_string_value(json_object_get(e, "image"));
        const json_t *crop = json_object_get(e, "crop");       /* [y, x, h, w] of the picture, if not all of it */
        char path[160], npy[160];
        vlm_bitmap b;
        vlm_image_info info;
        vlm_npy want;
        snprintf(npy, sizeof npy, "tests/golden/cases/decode/%s", json_string_value(json_object_get(e, "rgb")));
        snprintf(path, sizeof path, "tests/golden/%s", image);
        assert_ok(vlm_npy_open(npy, &want));
        assert_ok(vlm_bitmap_open(path, NULL, &b));
        assert_ok(vlm_image_probe_file(path, NULL, &info));
        assert_true(info.w == b.w && info.h == b.h);
        int64_t y0 = crop ? json_integer_value(json_array_get(crop, 0)) : 0, x0 = crop ? json_integer_value(json_array_get(crop, 1)) : 0;
        int64_t h = want.t.shape[0], w = want.t.shape[1];
        if (crop ? y0 + h > b.h || x0 + w > b.w : h != b.h || w != b.w) fail_msg("%s: %lldx%lld", path, (long long)b.h, (long long)b.w);
        for (int64_t y = 0; y < h; y++)
            if (memcmp(b.rgb + ((y0 + y) * b.w + x0) * 3, want.t.data + y * w * 3, (size_t)w * 3))
                fail_msg("%s: row %lld", path, (long long)y);
        compared++;
        vlm_npy_close(&want);
        vlm_bitmap_close(&b);
    }
    assert_true(compared >= 40);
    json_decref(index);
}

static const char *const whole[] = {
    "j420.jpg", "j444.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "rgb_53x37.png", "rgb_i.png", "palette4.png", "grey16_i.png",
    "lossy.webp", "lossless.webp", "alpha.webp", "exif8.webp" };
enum { WHOLE = sizeof whole / sizeof *whole };

/* Every cut fails, down to the last byte; a copy of exactly that size shows a read beyond it. */
static void cut_short(void **state) {
    (void)state;
    for (int i = 0; i < WHOLE; i++) {
        bytes b = golden(whole[i]);
        for (size_t n = 0; n < b.n; n = n + (n < 64 || n + 16 > b.n ? 1 : 17)) {
            vlm_bitmap out;
            unsigned char *part = malloc(n + !n);
            assert_non_null(part);
            memcpy(part, b.p, n);
            vlm_status s = vlm_image_decode(part, n, "it", NULL, &out);
            if (s != VLM_EFORMAT) fail_msg("%s, %zu of %zu bytes: %s", whole[i], n, b.n, vlm_status_name(s));
            assert_string_equal(vlm_error_where(), "it");
            free(part);
        }
        free(b.p);
    }
}

/* One changed byte at a time: a picture or an error, never more. PNG has checksums everywhere: always an error. */
static void damaged(void **state) {
    (void)state;
    int failed = 0, all = 0;
    for (int i = 0; i < WHOLE; i++) {
        bytes b = golden(whole[i]);
        for (size_t at = 0; at < b.n; at += 1 + b.n / 400) {
            vlm_bitmap out;
            b.p[at] ^= (unsigned char)(1 << at % 8);
            vlm_status s = vlm_image_decode(b.p, b.n, "it", &(vlm_image_limits){ 1000000, 65500, 1 << 20, NULL }, &out);
            if (!s) vlm_bitmap_close(&out);
            else assert_true(s == VLM_EFORMAT || s == VLM_EUNSUPPORTED || s == VLM_ELIMIT);
            if (strstr(whole[i], "png")) all++, failed += s != VLM_OK;
            b.p[at] ^= (unsigned char)(1 << at % 8);
        }
        free(b.p);
    }
    assert_true(all > 1000 && failed == all);
}

/* Bytes too many: every pixel is the file's own, so it is read, but not in silence. */
static int warnings;
static void count(void *user, const char *where, const char *message) {
    (void)user, (void)where;
    warnings += !!strstr(message, "extraneous bytes");
}
static void too_many_bytes(void **state) {
    (void)state;
    bytes a = load("tests/fuzz/corpus/image/exif6.jpg"), b = load("tests/fuzz/corpus/image/extra.jpg");
    vlm_bitmap x, y;
    vlm_log_set(count, NULL, NULL);
    assert_ok(vlm_image_decode(a.p, a.n, "it", NULL, &x));
    assert_int_equal(warnings, 0);
    assert_ok(vlm_image_decode(b.p, b.n, "it", NULL, &y));
    assert_int_equal(warnings, 1);
    vlm_log_set(NULL, NULL, NULL);
    assert_true(x.w == y.w && x.h == y.h);
    assert_memory_equal(x.rgb, y.rgb, (size_t)(x.w * x.h * 3));
    vlm_bitmap_close(&x), vlm_bitmap_close(&y);
    free(a.p), free(b.p);
}

static void limits(void **state) {
    (void)state;
    vlm_bitmap out = { -1, -1, NULL, 0 };
    static const char path[] = "tests/golden/images/rgb_64x48.png";
    assert_failure(vlm_bitmap_open(path, &(vlm_image_limits){ 3071, 65500, 1 << 20, NULL }, &out), VLM_ELIMIT, "64x48", "--max-pixels");
    assert_failure(vlm_bitmap_open(path, &(vlm_image_limits){ 3072, 63, 1 << 20, NULL }, &out), VLM_ELIMIT, "64x48", "--max-side");
    assert_failure(vlm_bitmap_open(path, &(vlm_image_limits){ 3072, 64, 100, NULL }, &out), VLM_ELIMIT, "64x48", "--max-bytes");
    assert_int_equal(out.w, -1);
    assert_ok(vlm_bitmap_open("tests/golden/images/rgb_64x48.png", &(vlm_image_limits){ 3072, 64, 1 << 20, NULL }, &out));
    vlm_bitmap_close(&out);
    vlm_bitmap_close(&out);

    /* 100,000 × 90,000, nothing behind it; 2^31 - 1 a side */
    static const char huge[] =
        "\x89PNG\r\n\x1a\n\0\0\0\r\111\110\104\122\000\001\206\240\000\001\137\220\010\006\000\000\000\222\163\112\363";
    static const char absurd[] =
        "\x89PNG\r\n\x1a\n\0\0\0\r\111\110\104\122\177\377\377\377\177\377\377\377\010\006\000\000\000\024\311\013\146";
    vlm_image_info info;
    assert_ok(vlm_image_probe(huge, sizeof huge - 1, "it", NULL, &info));      /* what plan shows of it */
    assert_true(info.w == 100000 && info.h == 90000);
    assert_failure(vlm_image_decode(huge, sizeof huge - 1, "it", NULL, &out), VLM_ELIMIT, "it", "--max-side");
    vlm_image_limits wide = { 128000000, 100000, 9999, NULL }, none = { INT64_MAX, INT64_MAX, INT64_MAX, NULL };
    assert_failure(vlm_image_decode(huge, sizeof huge - 1, "it", &wide, &out), VLM_ELIMIT, "it", "--max-pixels");
    assert_failure(vlm_image_decode(absurd, sizeof absurd - 1, "it", &none, &out), VLM_ELIMIT, "it", "pixels");

    int fd = open("tests/golden/images/rgb_1x1.png", O_RDONLY), keep = dup(0);
    assert_true(fd > 0 && dup2(fd, 0) == 0);
    assert_ok(vlm_bitmap_open("-", NULL, &out));
    assert_true(out.w == 1 && out.h == 1);
    vlm_bitmap_close(&out);
    assert_failure(vlm_bitmap_open("-", NULL, &out), VLM_EFORMAT, "standard input", "empty");
    dup2(keep, 0);
    close(keep), close(fd);

    assert_failure(vlm_bitmap_open("tests/no", NULL, &out), VLM_EIO, "tests/no", "check the path");
    assert_failure(vlm_bitmap_open("tests", NULL, &out), VLM_EIO, "tests", "is not a regular file");
    assert_failure(vlm_image_probe_file("tests", NULL, &info), VLM_EIO, "tests", "");
}

static void foreign(void **state) {
    (void)state;
    static const struct { const char *name, *data; size_t n; } F[] = {
        { "GIF", "GIF89a\1\0\1\0", 10 }, { "BMP", "BM\0\0\0\0", 6 }, { "TIFF", "II*\0\10\0\0\0", 8 }, { "TIFF", "MM\0*\0\0\0\10", 8 },
        { "HEIC", "\0\0\0\x18" "ftypheic", 12 }, { "HEIF", "\0\0\0\x18" "ftypmif1", 12 }, { "AVIF", "\0\0\0\x20" "ftypavif", 12 },
        { "JPEG XL", "\xFF\x0A\0\0", 4 }, { "JPEG XL", "\0\0\0\x0CJXL \r\n\x87\n", 12 }, { "JPEG 2000", "\xFF\x4F\xFF\x51", 4 },
        { "PDF", "%PDF-1.7", 8 }, { "SVG", "\xEF\xBB\xBF\n <svg xmlns=", 16 }, { "HTML", "<!DOCTYPE html>", 15 },
    };
    vlm_bitmap out;
    for (size_t i = 0; i < sizeof F / sizeof *F; i++) {
        assert_failure(vlm_image_decode(F[i].data, F[i].n, "it", NULL, &out), VLM_EUNSUPPORTED, "it", F[i].name);
        assert_failure(vlm_image_decode(F[i].data, F[i].n, "it", NULL, &out), VLM_EUNSUPPORTED, "it", "convert it to PNG or JPEG");
        for (size_t n = 0; n < F[i].n; n++) assert_int_not_equal(vlm_image_decode(F[i].data, n, "it", NULL, &out), VLM_OK);
    }
    assert_failure(vlm_image_decode("", 0, "it", NULL, &out), VLM_EFORMAT, "it", "empty");
    assert_failure(vlm_image_decode("hello, world", 12, "it", NULL, &out), VLM_EFORMAT, "it", "not an image that can be read");

    static const char animated[] = "RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\0\0\0\0\0\0ANIM";
    assert_failure(vlm_image_decode(animated, sizeof animated - 1, "it", NULL, &out), VLM_EUNSUPPORTED, "it", "animated WebP");
    bytes png = golden("rgb_1x1.png");
    static const unsigned char actl[] = "\0\0\0\x08" "acTL\0\0\0\2\0\0\0\0\xf3\x8d\x93\x70";
    unsigned char moving[256];
    memcpy(moving, png.p, 33);
    memcpy(moving + 33, actl, 20);
    memcpy(moving + 53, png.p + 33, png.n - 33);
    assert_failure(vlm_image_decode(moving, png.n + 20, "it", NULL, &out), VLM_EUNSUPPORTED, "it", "animated PNG of 2 frames");
    free(png.p);
}

#define EXIF(s) vlm_exif_orientation((const uint8_t *)(s), sizeof(s) - 1, NULL, 0)
#define XMP(e, x) vlm_exif_orientation((const uint8_t *)(e), sizeof(e) - 1, (const uint8_t *)(x), sizeof(x) - 1)
static void orientation(void **state) {
    (void)state;
    static const struct { const char *name; const char *colour; int want; } G[] = { { "exif6.jpg", "YCbCr", 6 }, { "exif6.png", "RGB", 6 },
        { "exif8.webp", "RGB", 6 }, { "cmyk.jpg", "CMYK", 1 }, { "grey.jpg", "grey", 1 }, { "la_i.png", "grey and alpha", 1 } };
    for (size_t i = 0; i < sizeof G / sizeof *G; i++) {
        bytes b = golden(G[i].name);
        vlm_image_info info;
        assert_ok(vlm_image_probe(b.p, b.n, "it", NULL, &info));
        assert_int_equal(info.orientation, G[i].want);
        assert_string_equal(info.colour, G[i].colour);
        free(b.p);
    }
    assert_int_equal(vlm_exif_orientation(NULL, 0, NULL, 0), 1);
    assert_int_equal(EXIF("MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0"), 6);
    assert_int_equal(EXIF("Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0"), 6);
    assert_int_equal(EXIF("Exif\0\0Exif\0\0II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\5\0\0\0"), 5);
    assert_int_equal(EXIF("II*\0\10\0\0\0\1\0\22\1\4\0\1\0\0\0\3\0\0\0"), 3);                    /* a LONG */
    assert_int_equal(EXIF("II*\0\10\0\0\0\1\0\22\1\6\0\1\0\0\0\3\0\0\0"), 3);                    /* a signed byte */
    assert_int_equal(EXIF("II*\0\10\0\0\0\1\0\22\1\20\0\1\0\0\0\26\0\0\0\7\0\0\0\0\0\0\0"), 7);   /* eight bytes, elsewhere */
    assert_int_equal(EXIF("II*\0\10\0\0\0\1\0\22\1\1\0\1\0\0\0\3\0\0\0"), 1);                    /* text is no number */
    assert_int_equal(EXIF("II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\11\0\0\0"), 1);                   /* 9 */
    assert_int_equal(EXIF("II*\0\10\0\0\0\1\0\22\1\3\0\0\0\0\0\3\0\0\0"), 1);                    /* no value */
    /* an entry outside before it */
    assert_int_equal(EXIF("II*\0\10\0\0\0\2\0\17\1\2\0\11\0\0\0\377\377\0\0\22\1\3\0\1\0\0\0\6\0\0\0"), 1);
    assert_int_equal(EXIF("II*\0\377\377\377\377\1\0"), 1);
    assert_int_equal(EXIF("II*\0\10\0\0\0\377\377\22\1"), 1);
    assert_int_equal(EXIF("JJ*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\6\0\0\0"), 1);
    assert_int_equal(EXIF("II*\0"), 1);
    assert_int_equal(XMP("", "<a tiff:Orientation='3' tiff:Orientation=\"8\"/>"), 8);
    assert_int_equal(XMP("", "<tiff:Orientation>6</tiff:Orientation>"), 6);
    assert_int_equal(XMP("", "<tiff:Orientation>"), 1);
    assert_int_equal(XMP("", "tiff:Orientation=\""), 1);
    assert_int_equal(XMP("", "tiff:Orientation"), 1);
    assert_int_equal(XMP("II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\5\0\0\0", "<tiff:Orientation>6"), 5);
    assert_int_equal(XMP("II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\0\0\0\0", "<tiff:Orientation>6"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens), cmocka_unit_test(cut_short), cmocka_unit_test(damaged), cmocka_unit_test(too_many_bytes),
        cmocka_unit_test(limits), cmocka_unit_test(foreign), cmocka_unit_test(orientation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

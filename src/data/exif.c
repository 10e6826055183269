#include "data/codec.h"
#include <string.h>

typedef struct tiff { const uint8_t *p; size_t n; bool big; } tiff;

static uint32_t u16(const tiff *t, size_t at) {
    const uint8_t *p = t->p + at;
    return t->big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}
static uint32_t u32(const tiff *t, size_t at) {
    return t->big ? u16(t, at) << 16 | u16(t, at + 2) : u16(t, at + 2) << 16 | u16(t, at);
}

/* 0: no such tag. -1: there is one, but its value is no orientation. */
static int from_tiff(const tiff *t) {
    enum { TAG = 0x0112, ENTRY = 12 };
    static const uint8_t size_of[17] = { 0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8 };
    size_t at = u32(t, 4);
    if (at > t->n || t->n - at < 2) return 0;
    uint32_t entries = u16(t, at);
    at += 2;
    for (uint32_t i = 0; i < entries && t->n - at >= ENTRY; i++, at += ENTRY) {
        uint32_t type = u16(t, at + 2), count = u32(t, at + 4);
        uint64_t bytes = type < 17 ? (uint64_t)size_of[type] * count : 0;
        size_t value = at + 8;
        if (!bytes) continue;
        if (bytes > 4) {
            value = u32(t, value);
            if (value > t->n || t->n - value < bytes) return 0;
        }
        if (u16(t, at) != TAG) continue;
        uint32_t v = 0;
        switch (type) {
        case 3: case 8:          v = u16(t, value); break;
        case 4: case 9: case 13: v = u32(t, value); break;
        case 6:                  v = t->p[value]; break;
        case 16:                 v = u32(t, value + (t->big ? 4 : 0)) | (u32(t, value + (t->big ? 0 : 4)) ? 9 : 0); break;
        }
        return v >= 1 && v <= 8 ? (int)v : -1;
    }
    return 0;
}

/* tiff:Orientation="6" or <tiff:Orientation>6 */
static int from_xmp(const uint8_t *p, size_t n) {
    static const char name[] = "tiff:Orientation";
    enum { LEN = sizeof name - 1 };
    for (const uint8_t *end = p + n; (size_t)(end - p) > LEN + 1 && (p = memchr(p, 't', (size_t)(end - p) - LEN - 1)); p++) {
        if (memcmp(p, name, LEN)) continue;
        const uint8_t *v = p + LEN;
        if (v[0] == '>') v += 1;
        else if (v[0] == '=' && v[1] == '"') v += 2;
        else continue;
        if (v < end && *v >= '0' && *v <= '9') return *v >= '1' && *v <= '8' ? *v - '0' : -1;
    }
    return 0;
}

int vlm_exif_orientation(const uint8_t *exif, size_t n, const uint8_t *xmp, size_t xmp_n) {
    int o = 0;
    for (int i = 0; i < 2 && n >= 6 && !memcmp(exif, "Exif\0", 6); i++) exif += 6, n -= 6;
    if (exif && n) {
        if (n < 8) return 1;
        bool big = !memcmp(exif, "MM\0*", 4) || !memcmp(exif, "MM*\0", 4);
        if (!big && memcmp(exif, "II*\0", 4) && memcmp(exif, "II\0*", 4)) return 1;
        o = from_tiff(&(tiff){ exif, n, big });
    }
    if (!o && xmp) o = from_xmp(xmp, xmp_n);
    return o > 0 ? o : 1;
}

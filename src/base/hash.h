/* FNV-1a, 64 bits (Fowler, Noll, Vo): tells contents apart, for those who do not forge them. Begin with VLM_HASH; the same on every
   machine. */
#ifndef VLM_HASH_H
#define VLM_HASH_H
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VLM_HASH 0xCBF29CE484222325u
static inline uint64_t vlm_hash(uint64_t h, const void *data, size_t n) {
    for (const unsigned char *p = data; n; n--) h = (h ^ *p++) * 0x100000001B3u;
    return h;
}
/* A number, whatever the machine's byte order; before a text, so that where it ends counts. */
static inline uint64_t vlm_hash_int(uint64_t h, int64_t v) {
    for (int i = 0; i < 8; i++) h = (h ^ ((uint64_t)v >> 8 * i & 255)) * 0x100000001B3u;
    return h;
}
/* Eight bytes at a time, for many of them: gigabytes a second. Differs from vlm_hash, and on a big-endian machine. */
static inline uint64_t vlm_hash_step(uint64_t h, const void *p, int shift) {
    uint64_t v;
    memcpy(&v, p, 8);
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> shift;
}
static inline uint64_t vlm_hash_fast(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    for (; n >= 8; p += 8, n -= 8) h = vlm_hash_step(h, p, 32);
    return vlm_hash(h, p, n);
}
/* Another one, several times as fast where the bytes are near: four chains side by side, since a step waits for the multiplication before
   it. Each shifts differently, or compilers would make vectors of them, which have no such multiplication. */
static inline uint64_t vlm_hash_wide(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    if (n >= 32) {
        uint64_t a = h, b = ~h, c = h + 1, d = ~h - 1;
        for (; n >= 32; p += 32, n -= 32) {
            a = vlm_hash_step(a, p, 32), b = vlm_hash_step(b, p + 8, 31);
            c = vlm_hash_step(c, p + 16, 30), d = vlm_hash_step(d, p + 24, 29);
        }
        h = vlm_hash_step(vlm_hash_step(vlm_hash_step(a, &b, 32), &c, 32), &d, 32);
    }
    return vlm_hash_fast(h, p, n);
}
/* Size and bytes of a file, fast; its memory stays at a megabyte. As vlm_map_open fails; an empty file is an error. */
vlm_status vlm_hash_file(const char *path, uint64_t *h);
#endif

#include "base/digest.h"
#include <string.h>

enum { BLOCK = sizeof ((vlm_digest *)0)->block };
/* SHA-512's initial values: the fractions of the square roots of the first eight primes. */
static const uint64_t start[8] = { 0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
                                   0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u };
/* Which words of the block a round mixes in; rounds 10 and 11 are 0 and 1 again. */
static const unsigned char order[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 }, { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 }, { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 }, { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 }, { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 } };

static uint64_t rotate(uint64_t x, int n) { return x >> n | x << (64 - n); }
static uint64_t word(const unsigned char *p) {         /* little-endian */
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}
#define MIX(a, b, c, d, x, y) \
    a += b + (x), d = rotate(d ^ a, 32), c += d, b = rotate(b ^ c, 24), a += b + (y), d = rotate(d ^ a, 16), c += d, b = rotate(b ^ c, 63)
static void compress(vlm_digest *d, const unsigned char *block, size_t n, uint64_t last) {
    uint64_t v[16], m[16];
    d->bytes += n;
    for (int i = 0; i < 16; i++) m[i] = word(block + 8 * i), v[i] = i < 8 ? d->h[i] : start[i - 8];
    v[12] ^= d->bytes;                 /* a counter of 128 bits, whose upper half nobody reaches */
    v[14] ^= last;
#pragma GCC unroll 12                  /* a third faster */
    for (int r = 0; r < 12; r++) {
        const unsigned char *s = order[r % 10];
        MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
        MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
        MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
        MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
        MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
        MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
        MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
        MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++) d->h[i] ^= v[i] ^ v[i + 8];
}

void vlm_digest_begin(vlm_digest *d, size_t size) {
    *d = (vlm_digest){ .size = size };
    memcpy(d->h, start, sizeof start);
    d->h[0] ^= 0x01010000u ^ size;     /* no key, no tree */
}
void vlm_digest_add(vlm_digest *d, const void *data, size_t n) {
    for (const unsigned char *p = data; n;) {
        size_t take = BLOCK - d->used < n ? BLOCK - d->used : n;
        if (!d->used && n > BLOCK) {   /* whole blocks, but never the last one: that is marked */
            compress(d, p, BLOCK, 0);
            take = BLOCK;
        } else {
            if (d->used == BLOCK) { compress(d, d->block, BLOCK, 0); d->used = 0; continue; }
            memcpy(d->block + d->used, p, take);
            d->used += take;
        }
        p += take;
        n -= take;
    }
}
void vlm_digest_add_int(vlm_digest *d, int64_t v) {
    unsigned char b[8];
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)((uint64_t)v >> 8 * i);
    vlm_digest_add(d, b, sizeof b);
}
void vlm_digest_add_text(vlm_digest *d, const char *s) {
    vlm_digest_add_int(d, (int64_t)strlen(s));
    vlm_digest_add(d, s, strlen(s));
}
void vlm_digest_end(vlm_digest *d, unsigned char *out) {
    memset(d->block + d->used, 0, BLOCK - d->used);
    compress(d, d->block, d->used, UINT64_MAX);
    for (size_t i = 0; i < d->size; i++) out[i] = (unsigned char)(d->h[i / 8] >> i % 8 * 8);
}
void vlm_digest_hex(const unsigned char *digest, size_t size, char *out) {
    for (size_t i = 0; i < size; i++) out[2 * i] = "0123456789abcdef"[digest[i] >> 4], out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    out[2 * size] = 0;
}

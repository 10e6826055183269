/* BLAKE2b (RFC 7693), without a key: names contents for good. Nobody finds two with one digest, not even who tries. */
#ifndef VLM_DIGEST_H
#define VLM_DIGEST_H
#include <stddef.h>
#include <stdint.h>

typedef struct vlm_digest {
    uint64_t h[8], bytes;              /* state; bytes compressed so far */
    size_t used, size;                 /* of block; of the digest */
    unsigned char block[128];
} vlm_digest;
/* size: of the digest, 1 to 64 bytes. The same on every machine. */
void vlm_digest_begin(vlm_digest *d, size_t size);
void vlm_digest_add(vlm_digest *d, const void *data, size_t n);
void vlm_digest_add_int(vlm_digest *d, int64_t v);             /* 8 bytes, little-endian; before a text, so that where it ends counts */
void vlm_digest_add_text(vlm_digest *d, const char *s);         /* its length, then its bytes */
void vlm_digest_end(vlm_digest *d, unsigned char *out);        /* (size) */
void vlm_digest_hex(const unsigned char *digest, size_t size, char *out);      /* (2 size + 1) */
#endif

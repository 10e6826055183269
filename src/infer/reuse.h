/* What an earlier call, of this program or another, has computed already: the features of an image, the keys and values of a prompt's
   beginning (docs/formats.md). Found by all they depend on: the model's files, the maths, the picture's bytes and size, the ids and rows of
   features up to there. So they are right or not there, and an answer has the same bytes with and without. */
#ifndef VLM_REUSE_H
#define VLM_REUSE_H
#include "base/store.h"
#include "infer/session.h"

enum { VLM_REUSE_ROWS = 64 };          /* positions of an entry */

/* m: opened `how` (vlm_model_open_as), outlives the result. limit_bytes: of the folder. The first call for a model reads all its files, on
   so many threads; later ones only look whether they are the same (device, inode, size, times). VLM_EIO: dir cannot be made. A folder that
   cannot be written to is only read, with a warning. */
vlm_status vlm_reuse_open(const char *dir, size_t limit_bytes, const vlm_model *m, int how, int threads, vlm_reuse **out);
void       vlm_reuse_close(vlm_reuse *r);              /* NULL is fine */

/* Any thread. file: digest of a picture's bytes. keep, seen: as vlm_encode_keeping fills them, memory there. */
void       vlm_reuse_file(const void *data, size_t bytes, unsigned char *file);
bool       vlm_reuse_has_image(const vlm_reuse *r, const unsigned char *file, const vlm_image_plan *plan);
bool       vlm_reuse_get_image(vlm_reuse *r, const unsigned char *file, int keep, vlm_seen *seen);
void       vlm_reuse_put_image(vlm_reuse *r, const unsigned char *file, int keep, const vlm_seen *seen);

/* The context's first positions in blocks, each named by its ids and rows and by the block before. */
void       vlm_chain_begin(vlm_chain *c, const unsigned char *key);    /* key: of the block before; NULL: there is none */
/* One position more. row (D): what stands there instead of the id's embedding, NULL: nothing. True: a block is whole, c->key names it. */
bool       vlm_chain_add(const vlm_reuse *r, vlm_chain *c, int64_t id, const float *row, int64_t D);
bool       vlm_reuse_has_block(const vlm_reuse *r, const unsigned char *key);
/* The session's positions [first, first + 64·n), as far as all blocks before are sound; returns how many blocks. The session's length stays. */
int64_t    vlm_reuse_get_blocks(vlm_session *s, const unsigned char (*key)[VLM_STORE_KEY], int64_t n, int64_t first);
void       vlm_reuse_put_block(vlm_session *s, const unsigned char *key, int64_t first);
#endif

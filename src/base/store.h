/* A folder of entries, each named by a digest of all that its bytes depend on and ending with a digest of its own: what can be made again,
   kept. Whatever happens to the folder, an entry is there and right, or as if it were not there. Programs and threads share one at will. */
#ifndef VLM_STORE_H
#define VLM_STORE_H
#include "base/digest.h"
#include "base/file.h"

enum { VLM_STORE_KEY = 16, VLM_STORE_SUM = 16 };       /* bytes of a name, and of the digest at an entry's end */
typedef struct vlm_store vlm_store;

/* dir is made, its parent exists. limit_bytes: of all entries; the least recently used go first. 0: none. keeps_no_more: what a warning
   says when the folder cannot be written to, before the reason; then entries are only read, and the program goes on. VLM_ENOMEM. */
vlm_status  vlm_store_open(const char *dir, size_t limit_bytes, const char *keeps_no_more, vlm_store **out);
void        vlm_store_close(vlm_store *s);             /* NULL is fine */
const char *vlm_store_dir(const vlm_store *s);
/* A failure to keep something, which is recorded: warned of, the first time, and nothing more is kept. Any thread. */
void        vlm_store_give_up(vlm_store *s);

/* Any thread. */
bool        vlm_store_has(const vlm_store *s, const unsigned char *key);       /* or what was one */
/* *out: the entry, its digest left out and right; data NULL: there is none, or a damaged one, of which it warns, once. VLM_ENOMEM. */
vlm_status  vlm_store_get(vlm_store *s, const unsigned char *key, vlm_map *out, bool *damaged);
/* What get gave is not what the name promises: damaged. *map is closed. */
void        vlm_store_refuse(vlm_store *s, const unsigned char *key, vlm_map *map);

/* Keeping one: begin, add, end. Any thread, an entry in one. It appears whole at its end, without a sync (vlm_writer_place). begin:
   out->w.f is NULL where nobody wants it: there is one and `again` is false, it is over the limit, or the folder was given up. Failures
   are for vlm_store_give_up. One of end and cancel. */
typedef struct vlm_entry { vlm_writer w; vlm_digest sum; size_t bytes; } vlm_entry;
vlm_status  vlm_store_begin(vlm_store *s, const unsigned char *key, size_t bytes, bool again, vlm_entry *out);
vlm_status  vlm_entry_add(vlm_entry *e, const void *data, size_t n);
vlm_status  vlm_store_end(vlm_store *s, vlm_entry *e);
void        vlm_entry_cancel(vlm_entry *e);            /* zeroed is fine */
#endif

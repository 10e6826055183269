/* A file that grows line by line while it is read: a run's metrics. */
#ifndef VLM_LINES_H
#define VLM_LINES_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open for appending. Used by one thread at a time, and by one process: the owner of its folder's lock. */
typedef struct vlm_lines { int fd; char *path; int64_t size; } vlm_lines;      /* size: bytes, all of whole lines */

/* Made if it is not there. A last line without its end, which a killed writer leaves, is taken off, with a warning. */
vlm_status vlm_lines_open(const char *path, vlm_lines *out);
/* Appends the n bytes and a line end, in one write where the system takes it. The bytes hold none themselves (VLM_EARG). Readers see
   the line at once; it is on the disk after the next sync. After a failure the file ends with the last whole line. */
vlm_status vlm_lines_add(vlm_lines *l, const char *line, size_t n);
vlm_status vlm_lines_sync(vlm_lines *l);
void       vlm_lines_close(vlm_lines *l);              /* does not sync; zeroed is fine */

/* Is this line, the i-th from 0, to stay? Without its line end, n bytes. */
typedef bool vlm_lines_keep(void *user, int64_t i, const char *line, size_t n);
/* Cuts the file, which nobody has open for appending, behind the last of its first lines that are all to stay, and syncs it: what
   comes after a checkpoint is done again. A last line without its end goes, too. A file that is not there is an empty one. Not
   rewritten, but made shorter: it takes no space on a full disk, is done in one step, and does not lose who follows it.
   *kept, *cut (NULL is fine): how many lines stay and go. */
vlm_status vlm_lines_cut(const char *path, vlm_lines_keep *keep, void *user, int64_t *kept, int64_t *cut);
#endif

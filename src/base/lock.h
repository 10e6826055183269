/* One process at a time in a folder. */
#ifndef VLM_LOCK_H
#define VLM_LOCK_H
#include "base/status.h"

/* An advisory lock (flock) on the file `path`, which is made if it is not there, holds the owner's process id as a help to people, and
   stays when the lock goes: removing it would let two owners in. The system releases it with the process, however that ends. Another
   owner, in this process or another one, or on another machine where the file system says so, is VLM_EIO: "is in use ...". Not for
   fork: a child would hold it, too. */
typedef struct vlm_lock { int fd; char *path; } vlm_lock;
vlm_status vlm_lock_open(const char *path, vlm_lock *out);
void       vlm_lock_close(vlm_lock *l);                /* zeroed is fine */
#endif

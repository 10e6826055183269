/* One process at a time in a folder, or several that know of each other. */
#ifndef VLM_LOCK_H
#define VLM_LOCK_H
#include "base/status.h"
#include <stdbool.h>

/* An advisory lock (flock) on the file `path`, which is made if it is not there, holds the owner's process id as a help to people, and
   stays when the lock goes: removing it would let two owners in. The system releases it with the process, however that ends. Another
   owner, in this process or another one, or on another machine where the file system says so, is VLM_EIO: "is in use ...". Not for
   fork: a child would hold it, too. */
typedef struct vlm_lock { int fd; char *path; } vlm_lock;
vlm_status vlm_lock_open(const char *path, vlm_lock *out);
/* The same for any number of owners at once, none of whom keeps another out. *alone: nobody else has it, and who comes waits (2 s, then
   it is "in use") until vlm_lock_share or vlm_lock_close: the moment to sweep what killed owners left. */
vlm_status vlm_lock_join(const char *path, bool *alone, vlm_lock *out);
void       vlm_lock_share(vlm_lock *l);                /* where it is shared already: nothing */
void       vlm_lock_close(vlm_lock *l);                /* zeroed is fine */
#endif

/* What the library has to say besides errors: it prints nothing itself, it calls the program's function (vlm_log_set). */
#ifndef VLM_LOG_H
#define VLM_LOG_H
#include "base/status.h"

/* One line, as for an error: "what; what to do". Any thread. */
void vlm_warn(const char *where, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* done of total units ("layers", "tensors", ...): long work calls it at each step and ends where it fails
   (VLM_ESTOPPED: the program said so). */
vlm_status vlm_progress(const char *what, int64_t done, int64_t total);
#endif

/* How things fail. A function that can fail returns vlm_status (include/vlm.h) and records one message for its
   thread: where it happened, what is wrong, and, after a semicolon, what to do. */
#ifndef VLM_STATUS_H
#define VLM_STATUS_H
#include "vlm.h"
#include <stdarg.h>

/* Records the message of this thread and returns code. `where` is a file, option or tensor ("" if there is none);
   the format gives "what; what to do". Both are copied; arguments may point into the message recorded before. */
vlm_status vlm_fail(vlm_status code, const char *where, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
vlm_status vlm_failv(vlm_status code, const char *where, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));

/* from as one line, at most size - 1 bytes: names from files must not reach a terminal as control characters, break the line, or break the
   JSON that quotes it. What is not a printable UTF-8 character, half of one at the end included, becomes '?'. */
void vlm_copy_line(char *to, size_t size, const char *from);

/* vlm_fail for memory and for the errno of a system call on `where`. */
vlm_status vlm_fail_memory(const char *where, size_t bytes);
vlm_status vlm_fail_errno(const char *where, const char *doing);

#define TRY(call)      do { vlm_status try_ = (call); if (try_ != VLM_OK) return try_; } while (0)
#define TRY_DONE(call) do { if ((status = (call)) != VLM_OK) goto done; } while (0)   /* needs `vlm_status status` and `done:` */
#endif

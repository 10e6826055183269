/* vlm.h: the public interface of libvlm. */
#ifndef VLM_H
#define VLM_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)   /* what stands here is all that libvlm.so shows */

/* ---- Failures -------------------------------------------------------------------------------------------------
   Every function that can fail returns one of these and leaves its out-parameters untouched on failure. The message
   belongs to the calling thread and lives until that thread's next failure. */
typedef enum vlm_status {
    VLM_OK = 0,
    VLM_EARG,                  /* the caller is wrong: NULL, a bad value, a call in the wrong state */
    VLM_EIO,                   /* the system said no: open, read, write, disk full */
    VLM_EFORMAT,               /* a file is not what it claims to be */
    VLM_EUNSUPPORTED,          /* a file is fine, but of a kind that this version does not handle */
    VLM_ELIMIT,                /* over a stated limit (docs/errors.md) */
    VLM_ECONTEXT,              /* the model's context is full */
    VLM_ENOMEM,
    VLM_ESTOPPED               /* a callback asked to stop */
} vlm_status;
const char *vlm_status_name(vlm_status s);     /* "format", ... ; static */
const char *vlm_error_where(void);             /* file, option or tensor; "" if there is none */
const char *vlm_error_message(void);           /* "what; what to do" */

/* Warnings and progress of long work; the library itself prints nothing. Set before other threads use the library; NULL: silence. */
typedef void vlm_log_fn(void *user, const char *where, const char *message);
typedef void vlm_progress_fn(void *user, const char *what, int64_t done, int64_t total);
void vlm_log_set(vlm_log_fn *log, vlm_progress_fn *progress, void *user);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>

static vlm_log_fn *log_fn;             /* set before threads start: vlm.h says so */
static vlm_progress_fn *progress_fn;
static void *log_user;

void vlm_log_set(vlm_log_fn *log, vlm_progress_fn *progress, void *user) {
    log_fn = log;
    progress_fn = progress;
    log_user = user;
}
void vlm_warn(const char *where, const char *fmt, ...) {
    if (!log_fn) return;
    char text[1024], line[1024], place[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    vlm_copy_line(line, sizeof line, text);
    vlm_copy_line(place, sizeof place, where ? where : "");
    log_fn(log_user, place, line);
}
vlm_status vlm_progress(const char *what, int64_t done, int64_t total) {
    if (!progress_fn || !progress_fn(log_user, what, done, total)) return VLM_OK;
    return vlm_fail(VLM_ESTOPPED, what, "stopped after %lld of %lld; run it again", (long long)done, (long long)total);
}

#include "base/status.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WHERE = 1024, MESSAGE = 2048 };
static _Thread_local char error_where[WHERE], error_message[MESSAGE];

/* Control characters in names from files must not reach a terminal or break the one line. */
static void copy_line(char *to, size_t size, const char *from) {
    size_t i = 0;
    for (; from[i] && i + 1 < size; i++) to[i] = (unsigned char)from[i] < 32 || from[i] == 127 ? '?' : from[i];
    while (i && from[i] && ((unsigned char)from[i] & 0xC0) == 0x80) i--;      /* never half a UTF-8 character */
    to[i] = 0;
}

vlm_status vlm_failv(vlm_status code, const char *where, const char *fmt, va_list args) {
    char w[WHERE], text[MESSAGE];
    copy_line(w, sizeof w, where ? where : "");
    vsnprintf(text, sizeof text, fmt, args);
    memcpy(error_where, w, sizeof w);
    copy_line(error_message, sizeof error_message, text);
    return code;
}
vlm_status vlm_fail(vlm_status code, const char *where, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vlm_failv(code, where, fmt, args);
    va_end(args);
    return code;
}
vlm_status vlm_fail_memory(const char *where, size_t bytes) {
    return vlm_fail(VLM_ENOMEM, where, "no memory for %.1f MB; close other programs or use a smaller model, image or context", (double)bytes / 1e6);
}
vlm_status vlm_fail_errno(const char *where, const char *doing) {
    int e = errno;
    const char *todo = e == ENOENT ? "check the path" : e == EACCES || e == EPERM || e == EROFS ? "check the permissions"
                     : e == ENOSPC || e == EDQUOT ? "free some disk space" : "check the file and its disk";
    return vlm_fail(VLM_EIO, where, "cannot %s: %s; %s", doing, strerror(e), todo);
}

const char *vlm_error_where(void) { return error_where; }
const char *vlm_error_message(void) { return error_message; }
const char *vlm_status_name(vlm_status s) {
    switch (s) {
    case VLM_OK:           return "ok";
    case VLM_EARG:         return "argument";
    case VLM_EIO:          return "io";
    case VLM_EFORMAT:      return "format";
    case VLM_EUNSUPPORTED: return "unsupported";
    case VLM_ELIMIT:       return "limit";
    case VLM_ECONTEXT:     return "context";
    case VLM_ENOMEM:       return "memory";
    case VLM_ESTOPPED:     return "stopped";
    }
    return "unknown";
}

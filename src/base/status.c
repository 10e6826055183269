#include "base/status.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { WHERE = 1024, MESSAGE = 2048 };
static _Thread_local char error_where[WHERE], error_message[MESSAGE];

/* Bytes of the UTF-8 character at p; 0: none, or a control character. */
static size_t printable(const unsigned char *p) {
    if (*p < 0x80) return *p >= 32 && *p != 127;
    size_t n = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
    if (*p < 0xC2 || *p > 0xF4) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    bool low = (*p == 0xC2 && p[1] < 0xA0) || (*p == 0xE0 && p[1] < 0xA0) || (*p == 0xF0 && p[1] < 0x90);  /* C1 controls, overlong */
    return low || (*p == 0xED && p[1] > 0x9F) || (*p == 0xF4 && p[1] > 0x8F) ? 0 : n;
}
void vlm_copy_line(char *to, size_t size, const char *from) {
    size_t at = 0;
    while (*from) {
        size_t n = printable((const unsigned char *)from), step = n ? n : 1;
        if (at + step >= size) break;
        if (n) memcpy(to + at, from, n);
        else to[at] = '?';
        at += step;
        from += step;
    }
    to[at] = 0;
}

vlm_status vlm_failv(vlm_status code, const char *where, const char *fmt, va_list args) {
    char w[WHERE], text[MESSAGE];
    vlm_copy_line(w, sizeof w, where ? where : "");
    vsnprintf(text, sizeof text, fmt, args);
    memcpy(error_where, w, sizeof w);
    vlm_copy_line(error_message, sizeof error_message, text);
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
    return vlm_fail(VLM_ENOMEM, where, "no memory for %.1f MB; close other programs or use a smaller model, image or context",
                    (double)bytes / 1e6);
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

#include "base/memory.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_BYTES = 2 << 20 };
void *vlm_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - HUGE_BYTES) return NULL;
    if (bytes < HUGE_BYTES) return aligned_alloc(64, (bytes + 64) & ~(size_t)63);
    void *p = aligned_alloc(HUGE_BYTES, (bytes + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1));
#ifdef MADV_HUGEPAGE
    if (p) madvise(p, bytes & ~(size_t)(HUGE_BYTES - 1), MADV_HUGEPAGE);
#endif
    return p;
}
const char *vlm_bytes_text(double bytes, char buf[32]) {
    if (bytes >= 1e9) snprintf(buf, 32, "%.2f GB", bytes / 1e9);
    else if (bytes >= 1e6) snprintf(buf, 32, "%.1f MB", bytes / 1e6);
    else snprintf(buf, 32, "%.1f kB", bytes / 1e3);
    return buf;
}

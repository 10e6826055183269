#include "base/memory.h"
#include <stdint.h>
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

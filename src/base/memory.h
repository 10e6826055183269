/* Memory for what is large, and amounts of it in words. */
#ifndef VLM_MEMORY_H
#define VLM_MEMORY_H
#include <stddef.h>

/* 64-byte aligned, contents undefined; to be given to free(). From two megabytes on in huge pages, where the system has them: fewer faults
   when it is first written, fewer misses when it is streamed. NULL: no memory. Any thread. */
void *vlm_alloc(size_t bytes);
const char *vlm_bytes_text(double bytes, char buf[32]);        /* "1.50 GB", "12.0 MB", "0.5 kB" */
#endif

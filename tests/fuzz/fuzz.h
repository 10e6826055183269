/* What fuzz targets share. A target's first line names the files it is to cover: tools/coverage reads it.
   Targets that need files put them under $TMPDIR, which tests/fuzz/run makes and removes. */
#ifndef FUZZ_H
#define FUZZ_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vlm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that the code under test must keep. */
#define PROMISE(x) do { if (!(x)) { fprintf(stderr, "%s:%d: broken promise: %s (last error: %s: %s)\n", __FILE__, __LINE__, #x, \
                                            vlm_error_where(), vlm_error_message()); abort(); } } while (0)
/* A failure says where and what, in one line. */
static inline void fuzz_failed(vlm_status s) {
    PROMISE(s > VLM_OK && s <= VLM_ESTOPPED);
    PROMISE(*vlm_error_message() && !strpbrk(vlm_error_message(), "\n\r\x1b"));
}
/* $TMPDIR/name */
__attribute__((unused)) static const char *fuzz_path(char buf[512], const char *name) {
    const char *dir = getenv("TMPDIR");
    snprintf(buf, 512, "%s/%s", dir ? dir : "/tmp", name);
    return buf;
}
/* A whole file, without the fsync that vlm_write pays for. */
__attribute__((unused)) static void fuzz_file(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    PROMISE(f && fwrite(data, 1, size, f) == size);
    PROMISE(fclose(f) == 0);
}
#endif

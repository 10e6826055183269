/* Covers: src/io/npy.c. Any bytes: an error, or an array inside the bytes that comes back the same from a file of our own. */
#include "fuzz.h"
#include "io/npy.h"

static void try(const uint8_t *data, size_t size) {
    vlm_npy a, back;
    char buf[512];
    const char *path = fuzz_path(buf, "fuzz.npy");
    vlm_status s = vlm_npy_parse(data, size, "fuzz", &a);
    if (s) { fuzz_failed(s); return; }
    PROMISE(a.t.data >= data && a.t.data + a.t.bytes == data + size);
    PROMISE(!vlm_npy_write(path, a.t.dtype, a.t.ndim, a.t.shape, a.t.data));
    PROMISE(!vlm_npy_open(path, &back));
    PROMISE(a.t.dtype == back.t.dtype && a.t.ndim == back.t.ndim && !memcmp(a.t.shape, back.t.shape, sizeof a.t.shape));
    PROMISE(a.t.bytes == back.t.bytes && !memcmp(a.t.data, back.t.data, a.t.bytes));
    for (int64_t i = 0; i < vlm_tensor_len(&a.t); i++) {
        double x = vlm_npy_at(&a, i), y = vlm_npy_at(&back, i);
        PROMISE(!memcmp(&x, &y, sizeof x) && vlm_npy_int(&a, i) == vlm_npy_int(&back, i));
    }
    vlm_npy_close(&a);
    vlm_npy_close(&back);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t end = size;
    try(data, size);
    while (end > 12 && data[end - 1] != '}') end--;
    if (end <= 12 || end > 60000) return 0;
    uint8_t *copy = malloc(size);              /* once more with a true length: mutations of the dict get past the first look */
    PROMISE(copy);
    memcpy(copy, data, size);
    size_t n = end - (data[6] == 2 ? 12 : 10);
    copy[8] = (uint8_t)n;
    copy[9] = (uint8_t)(n >> 8);
    try(copy, size);
    free(copy);
    return 0;
}

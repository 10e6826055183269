/* Covers: src/io/safetensors.c. Any bytes: an error, or tensors inside the bytes that come back the same from a file of our own. */
#include "fuzz.h"
#include "io/safetensors.h"

static void write_again(const vlm_safetensors *st) {
    char buf[512];
    const char *path = fuzz_path(buf, "fuzz.safetensors"), *key;
    vlm_safetensors_writer *w;
    vlm_safetensors back;
    json_t *v;
    PROMISE(!vlm_safetensors_writer_open(path, &w));
    json_object_foreach((json_t *)(uintptr_t)st->metadata, key, v) PROMISE(!vlm_safetensors_writer_metadata(w, key, json_string_value(v)));
    for (int64_t i = 0; i < st->count; i++) {
        const vlm_tensor *t = &st->tensors[i];
        PROMISE(!vlm_safetensors_writer_declare(w, t->name, t->dtype, t->ndim, t->shape));
    }
    if (st->count) PROMISE(vlm_safetensors_writer_declare(w, st->tensors[0].name, VLM_T_U8, 0, NULL) == VLM_EARG);
    for (int64_t i = 0; i < st->count; i++) {
        const vlm_tensor *t = &st->tensors[i];
        PROMISE(!vlm_safetensors_writer_put(w, t->name, t->data, t->bytes / 3));
        PROMISE(!vlm_safetensors_writer_put(w, t->name, t->data + t->bytes / 3, t->bytes - t->bytes / 3));
    }
    PROMISE(!vlm_safetensors_writer_commit(w));
    PROMISE(!vlm_safetensors_open(path, &back) && back.count == st->count);
    for (int64_t i = 0; i < st->count; i++) {
        const vlm_tensor *a = &st->tensors[i], *b = vlm_safetensors_find(&back, a->name);
        PROMISE(b && a->dtype == b->dtype && a->ndim == b->ndim && a->bytes == b->bytes && !memcmp(a->shape, b->shape, sizeof a->shape));
        PROMISE(!memcmp(a->data, b->data, a->bytes));
    }
    vlm_safetensors_close(&back);
}
static void try(const uint8_t *data, size_t size) {
    vlm_safetensors st;
    vlm_status s = vlm_safetensors_parse(data, size, "fuzz", &st);
    if (s) { fuzz_failed(s); return; }
    for (int64_t i = 0; i < st.count; i++) {
        const vlm_tensor *t = &st.tensors[i];
        int64_t n = vlm_tensor_len(t), part = n < 100 ? n : 100;
        float out[100];
        char shape[VLM_SHAPE_CHARS];
        PROMISE(t->data >= data && t->data + t->bytes <= data + size);
        PROMISE(vlm_safetensors_find(&st, t->name) == t);
        vlm_shape_string(t->ndim, t->shape, shape);
        s = vlm_tensor_to_float(t, n - part, part, out);
        if (s) PROMISE(s == VLM_EUNSUPPORTED);
        PROMISE(vlm_tensor_to_float(t, n, 1, out) == VLM_EARG);
    }
    if (st.count < 20) write_again(&st);
    vlm_safetensors_close(&st);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t end = size;
    try(data, size);
    while (end > 8 && data[end - 1] != '}') end--;
    if (end <= 8) return 0;
    uint8_t *copy = malloc(size);              /* once more with a true length: mutations of the header get past the first look */
    PROMISE(copy);
    memcpy(copy, data, size);
    memcpy(copy, &(uint64_t){ end - 8 }, 8);
    try(copy, size);
    free(copy);
    return 0;
}

/* Covers: src/io/weights.c. Any text as the index beside two sound shards: an error, or every tensor found where the index says. */
#include "fuzz.h"
#include "io/weights.h"
#include <sys/stat.h>

static char dir[512];

static void shard(const char *path, const char *header, size_t bytes) {
    unsigned char buf[512] = { 0 };
    uint64_t n = strlen(header);
    memcpy(buf, &n, 8);
    memcpy(buf + 8, header, n);
    fuzz_file(path, buf, 8 + n + bytes);
}
/* Two shards for the index; and, once, what a folder without an index can be. */
static void set_up(void) {
    char path[1024];
    vlm_weights *w;
    fuzz_path(dir, "index");
    mkdir(dir, 0777);
    PROMISE(vlm_weights_open(dir, &w) == VLM_EIO);
    snprintf(path, sizeof path, "%s/x.gguf", dir);
    fuzz_file(path, "x", 1);
    PROMISE(vlm_weights_open(dir, &w) == VLM_EUNSUPPORTED);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    shard(path, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    PROMISE(!vlm_weights_open(dir, &w));
    vlm_weights_close(w);
    snprintf(path, sizeof path, "%s/1", dir);
    shard(path, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[2,6]}}", 6);
    snprintf(path, sizeof path, "%s/2", dir);
    shard(path, "{\"__metadata__\":{\"t\":\"a\"},\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0);
    snprintf(path, sizeof path, "%s/3", dir);
    shard(path, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}", 2);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[1024];
    vlm_weights *w;
    size_t sum = 0;
    if (!*dir) set_up();
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    fuzz_file(path, data, size);
    vlm_status s = vlm_weights_open(dir, &w);
    if (s) { fuzz_failed(s); return 0; }
    for (int64_t i = 0; i < vlm_weights_count(w); i++) {
        const vlm_tensor *t = vlm_weights_at(w, i);
        sum += t->bytes;
        PROMISE(vlm_weights_find(w, t->name) == t);
        PROMISE(!strncmp(vlm_weights_file(w, t), vlm_weights_dir(w), strlen(dir)));
        vlm_weights_forget(w, t);
    }
    PROMISE(sum == vlm_weights_bytes(w));
    PROMISE(vlm_weights_find(w, "t") ? vlm_weights_find(w, "a") != NULL : 1);
    vlm_weights_close(w);
    return 0;
}

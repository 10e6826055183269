/* Covers: src/io/tokenizer_tables.c.
   A tokenizer's tables with changes that the input lists, and hashes that are right again (or any bytes as the file): they are refused with
   a warning, and tokenizer.json is read; or they are taken, and whatever they say, texts go through and ids come back. */
#include "fuzz.h"
#include "base/hash.h"
#include "io/safetensors.h"
#include "io/tokenizer.h"
#include <inttypes.h>
#include <sys/stat.h>

enum { ARRAYS = 9, MOST = 1 << 13, ANY = 0xFF };
enum { BYTES, ROWS, GONE, TYPE, SHAPE, CHANGES };      /* of an array: n bytes from `at` on; rows more or fewer; see below */
static const char json[] =
    "{\"added_tokens\":[{\"id\":9,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
    "\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":null,\"model\":{\"type\":\"BPE\","
    "\"dropout\":null,\"unk_token\":\"<x>\",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
    "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<x>\":3,\"abb\":4,\" \":5,\"A\":6,\"c\":7,"
    "\"\xC3\xA9\":8},\"merges\":[[\"a\",\"b\"],[\"ab\",\"b\"]]}}";
static const char text[] = "abbab <s>\xC3\xA9 zabc A";
static const char *const names[ARRAYS] = { "pair.key", "id.key", "pair.value", "id.value", "slot", "token", "merged", "text", "rest" };

static char dir[512], path[600], of_json[64], version[16];
static vlm_tensor sound[ARRAYS];       /* shapes and types; the bytes: */
static unsigned char bytes_of[ARRAYS][MOST];
static vlm_ids want;
static int warnings;
static void on_warning(void *user, const char *where, const char *message) { (void)user, (void)where, (void)message, warnings++; }

static void set_up(void) {
    vlm_tokenizer *t;
    vlm_safetensors st;
    char file[600];
    vlm_log_set(on_warning, NULL, NULL);
    fuzz_path(dir, "tables");
    mkdir(dir, 0777);
    snprintf(file, sizeof file, "%s/tokenizer.json", dir);
    fuzz_file(file, json, sizeof json - 1);
    PROMISE(!vlm_tokenizer_open(dir, &t) && !vlm_tokenizer_encode(t, text, sizeof text - 1, 0, &want) && want.n > 5);
    vlm_tokenizer_close(t);
    PROMISE(!vlm_tokenizer_tables_write(dir));
    snprintf(path, sizeof path, "%s/tokenizer.safetensors", dir);
    PROMISE(!vlm_safetensors_open(path, &st));
    for (int i = 0; i < ARRAYS; i++) {
        const vlm_tensor *a = vlm_safetensors_find(&st, names[i]);
        PROMISE(a && a->bytes <= MOST / 2);
        memcpy(bytes_of[i], a->data, a->bytes);
        sound[i] = *a;
    }
    snprintf(of_json, sizeof of_json, "%s", json_string_value(json_object_get(st.metadata, "vlm.tokenizer")));
    PROMISE(sscanf(of_json, "%15s", version) == 1);
    vlm_safetensors_close(&st);
}
/* Changes as five bytes each, and n more: array, kind, at (two bytes), n. */
static void write_changed(const uint8_t *data, size_t size) {
    static unsigned char now[ARRAYS][MOST];
    vlm_tensor a[ARRAYS];
    bool gone[ARRAYS] = { false };
    vlm_safetensors_writer *w;
    uint64_t h = VLM_HASH;
    char sum[64];
    memcpy(now, bytes_of, sizeof now);
    memcpy(a, sound, sizeof a);
    while (size >= 5) {
        size_t i = data[0] % ARRAYS, at = (size_t)data[2] + 256u * data[3], n = data[4] < size - 5 ? data[4] : size - 5;
        int change = data[1] % CHANGES;
        const uint8_t *more = data + 5;
        if (change == BYTES && at + n <= MOST) memcpy(now[i] + at, more, n);
        if (change == ROWS && n) a[i].shape[0] += (int8_t)more[0];
        if (change == GONE) gone[i] = true;
        if (change == TYPE && n) a[i].dtype = more[0] & 1 ? VLM_T_I64 : VLM_T_F16;
        if (change == SHAPE) a[i].ndim = a[i].ndim % 2 + 1, a[i].shape[1] = (int64_t)at % 5;
        if (a[i].shape[0] < 0) a[i].shape[0] = 0;
        data = more + n, size -= 5 + n;
    }
    PROMISE(!vlm_safetensors_writer_open(path, &w));
    for (int i = 0; i < ARRAYS; i++) {
        if (gone[i]) continue;
        a[i].bytes = (size_t)a[i].shape[0] * (a[i].ndim > 1 ? (size_t)a[i].shape[1] : 1) * vlm_tensor_dtype_bytes(a[i].dtype);
        if (a[i].bytes > MOST) a[i].shape[0] = 0, a[i].bytes = 0;
        if (a[i].bytes) h = vlm_hash_wide(vlm_hash_int(h, (int64_t)a[i].bytes), now[i], a[i].bytes);
        PROMISE(!vlm_safetensors_writer_declare(w, names[i], a[i].dtype, a[i].ndim, a[i].shape));
    }
    snprintf(sum, sizeof sum, "%s %d %016" PRIx64, version, ARRAYS, h);
    PROMISE(!vlm_safetensors_writer_metadata(w, "vlm.tokenizer", of_json) && !vlm_safetensors_writer_metadata(w, "vlm.tables", sum));
    for (int i = 0; i < ARRAYS; i++)
        if (!gone[i] && a[i].bytes) PROMISE(!vlm_safetensors_writer_put(w, names[i], now[i], a[i].bytes));
    PROMISE(!vlm_safetensors_writer_commit(w));
}
static void use(const vlm_tokenizer *t) {
    for (int flags = 0; flags < 8; flags++) {
        vlm_ids ids = { 0 };
        char *back;
        size_t n;
        vlm_status status = vlm_tokenizer_encode(t, text, sizeof text - 1, flags, &ids);
        if (status) fuzz_failed(status);
        for (size_t i = 0; i < ids.n; i++) PROMISE(ids.id[i] >= 0);        /* a merge may give what no token is: who decodes that is told */
        if (!(status = vlm_tokenizer_decode(t, ids.id, ids.n, flags & 1, &back, &n))) free(back);
        else fuzz_failed(status);
        vlm_ids_free(&ids);
    }
    for (int64_t id = 0; id < vlm_tokenizer_size(t) && id < 300; id++) {
        size_t n;
        const char *s = vlm_token_text(t, id, &n);
        PROMISE(vlm_token_known(t, id) == (s != NULL));
        PROMISE(!s || s[n] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vlm_tokenizer *t;
    if (!*dir) set_up();
    if (size && data[0] == ANY) fuzz_file(path, data + 1, size - 1);
    else write_changed(data, size);
    warnings = 0;
    vlm_status status = vlm_tokenizer_open(dir, &t);
    if (status) { fuzz_failed(status); return 0; }
    PROMISE(size || !warnings);        /* unchanged tables are taken: or nothing behind the hashes would be tried */
    if (warnings) {
        vlm_ids ids = { 0 };
        PROMISE(!vlm_tokenizer_encode(t, text, sizeof text - 1, 0, &ids) && ids.n == want.n);
        PROMISE(!memcmp(ids.id, want.id, ids.n * sizeof *ids.id));
        vlm_ids_free(&ids);
    }
    use(t);
    vlm_tokenizer_close(t);
    return 0;
}

/* Covers: src/io/tokenizer.c src/io/tokenizer_json.c src/io/tokenizer_added.c src/io/tokenizer_bpe.c src/io/tokenizer_regex.c
   (and the steps: tokenizer_normalize.c, tokenizer_split.c, tokenizer_decode.c). A tokenizer.json of any bytes: an error, or a tokenizer
   that encodes the text behind the last NUL, never gives a special token literally, decodes what it gave, and streams the same. */
#include "fuzz.h"
#include "io/tokenizer.h"
#include <sys/stat.h>

static void decode(const vlm_tokenizer *t, const vlm_ids *ids, bool skip) {
    char *text;
    size_t n, all = 0, bytes;
    const char *part;
    vlm_token_stream *s;
    vlm_status status = vlm_tokenizer_decode(t, ids->id, ids->n, skip, &text, &n);
    if (status) { fuzz_failed(status); return; }
    PROMISE(!vlm_token_stream_open(t, skip, &s));
    for (size_t i = 0; i <= ids->n; i++) {
        PROMISE(!(i < ids->n ? vlm_token_stream_push(s, ids->id[i], &part, &bytes) : vlm_token_stream_flush(s, &part, &bytes)));
        PROMISE(all + bytes <= n && !memcmp(text + all, part, bytes));
        PROMISE(!bytes || ((unsigned char)part[0] & 0xC0) != 0x80);
        all += bytes;
    }
    PROMISE(all == n);
    vlm_token_stream_close(s);
    free(text);
}
static void encode(const vlm_tokenizer *t, const char *text, size_t n) {
    for (int flags = 0; flags < 8; flags++) {
        vlm_ids ids = {0};
        vlm_status status = vlm_tokenizer_encode(t, text, n, flags, &ids);
        if (status) { fuzz_failed(status); PROMISE(!ids.n); vlm_ids_free(&ids); continue; }
        bool known = true;
        for (size_t i = 0; i < ids.n; i++) {
            known = known && vlm_token_known(t, ids.id[i]);
            PROMISE(flags & VLM_ENCODE_ADD || known);      /* the post-processor may hold ids of its own */
            if (flags == VLM_ENCODE_LITERAL && vlm_token_special(t, ids.id[i])) {
                const char *s = vlm_token_text(t, ids.id[i], NULL);
                PROMISE(strstr(s, "unk") || strstr(s, "UNK"));
            }
        }
        if (known) decode(t, &ids, flags & 1);
        vlm_ids_free(&ids);
    }
}
/* The text read as tokenizer_config.json beside a good tokenizer.json. */
static void side_files(const uint8_t *json, size_t bytes, const uint8_t *config, size_t config_bytes) {
    char dir[512], path[600];
    vlm_tokenizer *t;
    fuzz_path(dir, "tokenizer");
    mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    fuzz_file(path, json, bytes);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    fuzz_file(path, config, config_bytes);
    vlm_status status = vlm_tokenizer_open(dir, &t);
    if (status) { fuzz_failed(status); return; }
    PROMISE(vlm_tokenizer_eos(t) == -1 || vlm_token_known(t, vlm_tokenizer_eos(t)));
    vlm_tokenizer_close(t);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char fixed[] = "The cat's 12 \xE7\x8C\xAB<x> caf\xC3\xA9 e\xCC\x81 \xF0\x9F\x98\x80\n\n  </s>AB";
    size_t json = size;
    while (json && data[json - 1]) json--;
    vlm_tokenizer *t;
    vlm_status status = vlm_tokenizer_parse(data, json ? json - 1 : size, "fuzz", &t);
    if (status) { fuzz_failed(status); return 0; }
    if (json) encode(t, (const char *)data + json, size - json);
    if (json && json < size && data[json] == '{') side_files(data, json - 1, data + json, size - json);
    encode(t, fixed, sizeof fixed - 1);
    encode(t, "", 0);
    for (int64_t id = 0; id < vlm_tokenizer_size(t) && id < 40; id++) {
        size_t n;
        const char *s = vlm_token_text(t, id, &n);
        PROMISE(vlm_token_known(t, id) == (s != NULL));
        if (!s) continue;
        PROMISE(s[n] == 0);
        if (strlen(s) == n) PROMISE(vlm_token_id(t, s) == id);
        vlm_ids one = { &id, 1, 1 };
        decode(t, &one, false);
    }
    vlm_tokenizer_close(t);
    return 0;
}

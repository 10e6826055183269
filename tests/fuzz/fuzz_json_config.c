/* Covers: src/io/json.c. Any text as a config: an error, or getters that give what they promise; what is written reads back the same. */
#include "fuzz.h"
#include "io/json.h"

static void look(const json_t *o) {
    static const char *const keys[] = { "a", "hidden_size", "model_type", "eps", "flag" };
    for (int i = 0; i < 5; i++) {
        int64_t n = -7;
        double x = -7;
        bool b = false;
        const char *text = NULL;
        vlm_status s = vlm_json_int(o, "fuzz", keys[i], 0, 1000, &n);
        PROMISE(s ? n == -7 : n == -7 || (n >= 0 && n <= 1000));
        if (s) fuzz_failed(s);
        s = vlm_json_real(o, "fuzz", keys[i], 0, 1e6, &x);
        PROMISE(s ? x == -7 : x == -7 || (x >= 0 && x <= 1e6));
        vlm_json_bool(o, "fuzz", keys[i], &b);
        vlm_json_string(o, "fuzz", keys[i], &text);
        PROMISE(!text || strlen(text) < SIZE_MAX);
        n = -7;
        text = NULL;
        PROMISE(!vlm_json_need_int(o, "fuzz", keys[i], 0, 1000, &n) == (n != -7));
        PROMISE(!vlm_json_need_string(o, "fuzz", keys[i], &text) == (text != NULL));
    }
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char buf[512];
    const char *path = fuzz_path(buf, "fuzz.json"), *key;
    json_t *v, *child, *back;
    vlm_status s = vlm_json_parse(data, size, "fuzz", &v);
    if (s) { fuzz_failed(s); return 0; }
    look(v);
    json_object_foreach(v, key, child) look(child);
    if (json_is_object(v)) {
        PROMISE(!vlm_json_write(path, v));
        PROMISE(!vlm_json_read(path, &back));
        PROMISE(json_equal(v, back));
        json_decref(back);
    }
    json_decref(v);
    return 0;
}

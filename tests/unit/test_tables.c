/* tokenizer.safetensors: each promise of it broken once, with hashes that are right; then tokenizer.json is read, with a warning, and every
   text has the ids that it had. */
#include "temp.h"
#include "base/hash.h"
#include "base/file.h"
#include "io/safetensors.h"
#include "io/tokenizer.h"
#include <inttypes.h>

static int warnings;
static void on_warning(void *user, const char *where, const char *message) {
    (void)user;
    assert_non_null(strstr(where, "tokenizer.safetensors"));
    assert_non_null(strstr(message, "which is read instead; convert or quantize the model again, or remove the file"));
    warnings++;
}
static const char text[] = "It's a long way: 3.14 times caf\xC3\xA9, \xE2\x82\xAC 5 <bos> and so on\n\n  again";
static vlm_ids want;
static void same(int warned) {
    vlm_tokenizer *t;
    vlm_ids v = { 0 };
    warnings = 0;
    assert_ok(vlm_tokenizer_open(temp_dir, &t));
    assert_ok(vlm_tokenizer_encode(t, text, sizeof text - 1, 0, &v));
    if (!want.n) want = v;
    else {
        assert_int_equal(v.n, want.n);
        assert_memory_equal(v.id, want.id, v.n * sizeof *v.id);
        vlm_ids_free(&v);
    }
    vlm_tokenizer_close(t);
    assert_int_equal(warnings, warned);
}
static int open_all(void **state) {
    char cmd[700];
    if (temp_open(state)) return -1;
    snprintf(cmd, sizeof cmd, "cp tests/golden/tokenizers/gemma/* '%s' && chmod u+w '%s'/*", temp_dir, temp_dir);
    if (system(cmd)) return -1;
    vlm_log_set(on_warning, NULL, NULL);
    same(0);
    return vlm_tokenizer_tables_write(temp_dir) ? -1 : 0;
}
static int close_all(void **state) { vlm_ids_free(&want); return temp_close(state); }

static const char *const names[] = { "pair.key", "id.key", "pair.value", "id.value", "slot", "token", "merged", "text", "rest" };
/* The file with bytes [at, at + n) of an array replaced, or, with n = 0, without it, or with `rows` rows of it; the hash is right. */
static void broken_two(const char *array, const char *other, int64_t at, const void *bytes, size_t n, int64_t rows) {
    vlm_safetensors st;
    vlm_safetensors_writer *w;
    uint64_t h = VLM_HASH;
    char sum[64];
    assert_ok(vlm_safetensors_open(temp("good"), &st));
    assert_ok(vlm_safetensors_writer_open(temp("tokenizer.safetensors"), &w));
    unsigned char *data[9];
    size_t size[9];
    for (int i = 0; i < 9; i++) {
        const vlm_tensor *t = vlm_safetensors_find(&st, names[i]);
        bool hit = !strcmp(names[i], array) || !strcmp(names[i], other);
        vlm_tensor c = *t;
        data[i] = malloc(t->bytes + 64);
        memcpy(data[i], t->data, t->bytes);
        if (hit && n) memcpy(data[i] + (at < 0 ? (int64_t)t->bytes + at : at), bytes, n);
        if (hit && rows) c.shape[0] += rows;
        size[i] = t->bytes / (size_t)t->shape[0] * (size_t)c.shape[0];
        if (hit && !n && !rows) continue;
        h = vlm_hash_wide(vlm_hash_int(h, (int64_t)size[i]), data[i], size[i]);
        assert_ok(vlm_safetensors_writer_declare(w, names[i], c.dtype, c.ndim, c.shape));
    }
    snprintf(sum, sizeof sum, "2 9 %016" PRIx64, h);
    assert_ok(vlm_safetensors_writer_metadata(w, "vlm.tokenizer", json_string_value(json_object_get(st.metadata, "vlm.tokenizer"))));
    assert_ok(vlm_safetensors_writer_metadata(w, "vlm.tables", sum));
    for (int i = 0; i < 9; i++) {
        if ((strcmp(names[i], array) && strcmp(names[i], other)) || n || rows)
            assert_ok(vlm_safetensors_writer_put(w, names[i], data[i], size[i]));
        free(data[i]);
    }
    assert_ok(vlm_safetensors_writer_commit(w));
    vlm_safetensors_close(&st);
}
static void broken(const char *array, int64_t at, const void *bytes, size_t n, int64_t rows) {
    broken_two(array, "", at, bytes, n, rows);
}
static void promises(void **state) {
    (void)state;
    static const unsigned char all[16] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
    static const unsigned char high[4] = { 0, 0, 0, 2 }, bad[3] = { 0xC3, 0x28, 'a' }, end[4] = { 'a', 'a', 'a', 'a' };
    const uint32_t far = 1 << 20;
    same(0);
    assert_int_equal(rename(temp("tokenizer.safetensors"), temp("good")), 0);
    broken("none", 0, NULL, 1, 0);
    same(0);                                   /* as written: this test makes good files */
    for (int i = 0; i < 8; i++) broken(names[i], 0, NULL, 0, 0), same(1);
    for (int i = 0; i < 5; i++) broken(names[i], 0, NULL, 0, -1), same(1);     /* no power of two; two that differ */
    broken("token", 0, &far, 4, 0), same(1);   /* a string that begins, */
    broken("token", 4, &far, 4, 0), same(1);   /* or ends behind the text; an id out of range */
    broken("token", 8, high, 4, 0), same(1);
    broken("text", 0, bad, 3, 0), same(1);     /* no UTF-8; no NUL at the end; strings run into each other */
    broken("text", -4, end, 4, 0), same(1);
    broken("merged", 0, all, 4, 0), same(1);
    broken("merged", 0, NULL, 0, -1), same(1); /* a pair of no merge */
    broken("slot", 0, all, 4, 0), same(1);
    vlm_safetensors st;
    assert_ok(vlm_safetensors_open(temp("good"), &st));
    for (int i = 0; i < 5; i++) {              /* no gaps: a search would not end */
        const vlm_tensor *t = vlm_safetensors_find(&st, names[i]);
        unsigned char *full = malloc(t->bytes);
        memset(full, i < 2 ? 1 : 0, t->bytes);
        for (size_t k = 0; i == 4 && k < t->bytes; k += 4) full[k] = 1;
        if (i < 2 || i == 4) broken(names[i], 0, full, t->bytes, 0), same(1);
        memset(full, 0, i < 2 ? 8 : 4);        /* one is left, which an added token would take */
        if (i < 2 || i == 4) broken(names[i], 0, full, t->bytes, 0), same(1);
        free(full);
    }
    const vlm_tensor *ids = vlm_safetensors_find(&st, "id.key");
    static const uint64_t empty = 0;
    broken_two("id.key", "id.value", 0, &empty, 4, 1 - ids->shape[0]), same(1);        /* a single one likewise */
    for (int64_t k = 0; k < ids->shape[0]; k++) {
        uint64_t key;
        memcpy(&key, ids->data + 8 * k, 8);
        if (!key) continue;
        broken("id.value", 4 * k, all, 4, 0), same(1);
        broken("id.key", 8 * k, &empty, 8, 0), same(1);       /* a token whose id is nobody's, or another's */
        broken("id.value", 4 * k, ids->data + 8 * k, 4, 0), same(1);
        break;
    }
    vlm_safetensors_close(&st);
}
/* Any byte, as a disk would change it; a file cut short; another tokenizer.json; none of these tables' business. */
static void damage(void **state) {
    (void)state;
    unsigned char *data, *json;
    size_t n, json_n;
    assert_ok(vlm_read(temp("good"), 1 << 30, &data, &n));
    assert_ok(vlm_read(temp("tokenizer.json"), 1 << 30, &json, &json_n));
    for (size_t i = 0; i < n; i += 1 + n / 97) {
        data[i] ^= 0x10;
        temp_write("tokenizer.safetensors", data, n);
        data[i] ^= 0x10;
        vlm_tokenizer *t;
        warnings = 0;
        assert_ok(vlm_tokenizer_open(temp_dir, &t));           /* a blank of the header's padding may be anything */
        vlm_tokenizer_close(t);
        assert_true(warnings <= 1);
    }
    for (size_t i = 0; i < n; i += 1 + n / 7) temp_write("tokenizer.safetensors", data, i), same(1);
    temp_write("tokenizer.safetensors", data, n);
    same(0);
    json[json_n - 1] = ' ';
    json[json_n - 2] = '}';
    temp_write("tokenizer.json", json, json_n);
    vlm_tokenizer *t;
    warnings = 0;
    if (!vlm_tokenizer_open(temp_dir, &t)) vlm_tokenizer_close(t);
    assert_int_equal(warnings, 1);
    free(data);
    free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(promises), cmocka_unit_test(damage) };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

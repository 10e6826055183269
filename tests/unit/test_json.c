/* JSON from outside: limits, duplicates, typed getters that name file and key, and what is written. */
#include "temp.h"
#include "base/file.h"
#include "io/json.h"
#include <math.h>

static json_t *parse(const char *text) {
    json_t *v = NULL;
    assert_ok(vlm_json_parse(text, strlen(text), "c.json", &v));
    return v;
}
static void refused(void **state) {
    (void)state;
    json_t *v = NULL;
    static const struct { const char *text, *words; } cases[] = {
        { "", "is not valid JSON" }, { "{", "is not valid JSON" }, { "{} x", "line 1 column 4" },
        { "\n\n nul", "line 3" }, { "[1,]", "is not valid JSON" },
        { "{\"a\":1,\"a\":2}", "duplicate object key" }, { "{\"a\":{\"b\":1,\"b\":1}}", "duplicate object key" },
        { "[01]", "is not valid JSON" },
        { "[9223372036854775808]", "too big integer" }, { "[1e999]", "real number overflow" }, { "\"\xff\"", "is not valid JSON" },
        { "\"\\ud800\"", "is not valid JSON" }, { "[NaN]", "is not valid JSON" }, { "\"a\\u0000b\"", "NUL" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_failure(vlm_json_parse(cases[i].text, strlen(cases[i].text), "c.json", &v), VLM_EFORMAT, "c.json", cases[i].words);
    assert_failure(vlm_json_parse("{\0}", 3, "c.json", &v), VLM_EFORMAT, "c.json", "is not valid JSON");
    enum { DEEP = 1 << 20 };                                   /* nesting must not eat the stack */
    char *deep = malloc(2 * (VLM_JSON_VALUES + 2));
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    assert_failure(vlm_json_parse(deep, DEEP, "c.json", &v), VLM_EFORMAT, "c.json", "depth");
    deep[0] = '[';
    for (size_t i = 0; i <= VLM_JSON_VALUES; i++) memcpy(deep + 1 + 2 * i, "1,", 2);
    assert_failure(vlm_json_parse(deep, 2 * VLM_JSON_VALUES + 1, "c.json", &v), VLM_ELIMIT, "c.json", "more than 2500000 values");
    deep[0] = '[';                     /* objects, which cost more, count double */
    for (size_t i = 0; i <= VLM_JSON_VALUES / 3; i++) memcpy(deep + 1 + 3 * i, "{},", 3);
    assert_failure(vlm_json_parse(deep, 3 * (VLM_JSON_VALUES / 3 + 1), "c.json", &v), VLM_ELIMIT, "c.json", "more than 2500000 values");
    free(deep);
    assert_null(v);
}
/* The largest honest file: a vocabulary of 262,144 entries and 514,906 merges, written as pairs. */
static void largest(void **state) {
    (void)state;
    json_t *v = NULL;
    char *text = malloc(32 << 20), *p = text;
    assert_non_null(text);
    p += sprintf(p, "{\"vocab\":{");
    for (int i = 0; i < 262144; i++) p += sprintf(p, "%s\"t%d\":%d", i ? "," : "", i, i);
    p += sprintf(p, "},\"merges\":[");
    for (int i = 0; i < 514906; i++) p += sprintf(p, "%s[\"t%d\",\"u\"]", i ? "," : "", i);
    p += sprintf(p, "]}");
    assert_ok(vlm_json_parse(text, (size_t)(p - text), "t.json", &v));
    assert_int_equal(json_array_size(json_object_get(v, "merges")), 514906);
    json_decref(v);
    free(text);
}
static void files(void **state) {
    (void)state;
    json_t *v = NULL;
    assert_failure(vlm_json_read(temp("none.json"), &v), VLM_EIO, "none.json", "cannot open");
    temp_write("bad.json", "{", 1);
    assert_failure(vlm_json_read(temp("bad.json"), &v), VLM_EFORMAT, "bad.json", "is not valid JSON");
    temp_write("huge.json", "{", 1);
    if (!truncate(temp("huge.json"), VLM_JSON_LIMIT + 1))
        assert_failure(vlm_json_read(temp("huge.json"), &v), VLM_ELIMIT, "huge.json", "more than 134217728 bytes");
    assert_null(v);
    assert_failure(vlm_json_write(temp("no/folder.json"), json_null()), VLM_EIO, "no/folder.json", "cannot write");

    json_t *o = parse("{\"z\":1,\"a\":[true,null,\"\xc3\xa4\"],\"m\":{}}");
    unsigned char *text;
    size_t n;
    assert_ok(vlm_json_write(temp("w.json"), o));
    assert_ok(vlm_read(temp("w.json"), 1000, &text, &n));
    assert_string_equal((char *)text, "{\n  \"z\": 1,\n  \"a\": [\n    true,\n    null,\n    \"\xc3\xa4\"\n  ],\n  \"m\": {}\n}\n");
    free(text);
    assert_ok(vlm_json_read(temp("w.json"), &v));
    assert_true(json_equal(v, o));
    json_decref(v);
    json_decref(o);
    unlink(temp("huge.json"));
    int before = temp_count();
    assert_failure(vlm_json_write(temp("w.json"), NULL), VLM_EIO, "w.json", "cannot write");   /* nothing to write: the old file stays */
    assert_int_equal(temp_count(), before);
}

static void ints(void **state) {
    (void)state;
    json_t *o = parse("{\"i\":5,\"r\":2.0,\"h\":2.5,\"s\":\"5\",\"t\":true,\"n\":null,"
                      "\"big\":9223372036854775807,\"e\":1e300,\"neg\":-3,\"o\":{},\"a\":[]}");
    int64_t v = 42;
    assert_ok(vlm_json_int(o, "c", "absent", 0, 10, &v));
    assert_ok(vlm_json_int(o, "c", "n", 0, 10, &v));
    assert_int_equal(v, 42);                                   /* the default stays */
    assert_ok(vlm_json_int(NULL, "c", "i", 0, 10, &v));
    assert_int_equal(v, 42);
    assert_ok(vlm_json_int(o, "c", "i", 0, 10, &v));
    assert_int_equal(v, 5);
    assert_ok(vlm_json_int(o, "c", "r", 0, 10, &v));
    assert_int_equal(v, 2);
    assert_ok(vlm_json_int(o, "c", "big", 0, INT64_MAX, &v));
    assert_true(v == INT64_MAX);
    assert_ok(vlm_json_int(o, "c", "neg", -3, -3, &v));
    static const struct { const char *key, *words; } cases[] = {
        { "h", "key h is a number, expected an integer" }, { "s", "key s is a string, expected an integer" }, { "t", "key t is true" },
        { "e", "key e is a number" },
        { "o", "key o is an object" }, { "a", "key a is an array" }, { "neg", "key neg is -3, expected 0 to 10" },
        { "big", "expected 0 to 10" },
    };
    v = 42;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_failure(vlm_json_int(o, "c", cases[i].key, 0, 10, &v), VLM_EFORMAT, "c", cases[i].words);
    assert_failure(vlm_json_int(json_object_get(o, "a"), "c", "k", 0, 10, &v), VLM_EFORMAT, "c",
                   "is an array where an object with the key k is expected");
    assert_failure(vlm_json_need_int(o, "c", "absent", 0, 10, &v), VLM_EFORMAT, "c", "has no key absent");
    assert_failure(vlm_json_need_int(o, "c", "n", 0, 10, &v), VLM_EFORMAT, "c", "has no key n");
    assert_failure(vlm_json_need_int(json_object_get(o, "s"), "c", "k", 0, 10, &v), VLM_EFORMAT, "c", "is a string where an object");
    assert_failure(vlm_json_need_int(o, "c", "s", 0, 10, &v), VLM_EFORMAT, "c", "expected an integer");
    assert_int_equal(v, 42);
    assert_ok(vlm_json_need_int(o, "c", "i", 5, 5, &v));
    assert_int_equal(v, 5);
    json_decref(o);
}
static void others(void **state) {
    (void)state;
    json_t *o = parse("{\"i\":5,\"r\":2.5,\"s\":\"text\",\"t\":true,\"f\":false,\"n\":null,\"e\":\"\"}");
    double d = 42;
    bool b = true;
    const char *s = "default";
    assert_ok(vlm_json_real(o, "c", "absent", 0, 10, &d));
    assert_true(d == 42);
    assert_ok(vlm_json_real(o, "c", "i", 0, 10, &d));
    assert_true(d == 5);
    assert_ok(vlm_json_real(o, "c", "r", 2.5, 2.5, &d));
    assert_true(d == 2.5);
    assert_failure(vlm_json_real(o, "c", "r", 3, INFINITY, &d), VLM_EFORMAT, "c", "key r is 2.5, expected 3 to inf");
    assert_failure(vlm_json_real(o, "c", "s", 0, 10, &d), VLM_EFORMAT, "c", "key s is a string, expected a number");
    assert_failure(vlm_json_real(json_object_get(o, "t"), "c", "s", 0, 10, &d), VLM_EFORMAT, "c", "is true where an object");
    assert_ok(vlm_json_bool(o, "c", "n", &b));
    assert_true(b);
    assert_ok(vlm_json_bool(o, "c", "f", &b));
    assert_false(b);
    assert_ok(vlm_json_bool(o, "c", "t", &b));
    assert_true(b);
    assert_failure(vlm_json_bool(o, "c", "i", &b), VLM_EFORMAT, "c", "key i is an integer, expected true or false");
    assert_failure(vlm_json_bool(json_object_get(o, "f"), "c", "i", &b), VLM_EFORMAT, "c", "is false where an object");
    assert_ok(vlm_json_string(o, "c", "n", &s));
    assert_string_equal(s, "default");
    assert_ok(vlm_json_string(o, "c", "e", &s));
    assert_string_equal(s, "");
    assert_ok(vlm_json_need_string(o, "c", "s", &s));
    assert_string_equal(s, "text");
    assert_failure(vlm_json_string(o, "c", "t", &s), VLM_EFORMAT, "c", "key t is true, expected a string");
    assert_ok(vlm_json_string(json_object_get(o, "n"), "c", "t", &s));
    assert_failure(vlm_json_need_string(json_object_get(o, "n"), "c", "t", &s), VLM_EFORMAT, "c", "has no key t");
    assert_failure(vlm_json_need_string(o, "c", "none", &s), VLM_EFORMAT, "c", "has no key none");
    assert_string_equal(s, "text");
    json_decref(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(largest), cmocka_unit_test(files), cmocka_unit_test(ints), cmocka_unit_test(others),
    };
    return cmocka_run_group_tests_name("json", tests, temp_open, temp_close);
}

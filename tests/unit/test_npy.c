/* .npy files: round trips, what NumPy writes byte for byte, and every promise broken once. */
#include "temp.h"
#include "io/npy.h"

/* A file of version `major` with this dict (no padding) and n bytes of data. */
static size_t build(unsigned char *buf, int major, const char *dict, size_t n) {
    size_t h = strlen(dict), start = major == 1 ? 10 : 12;
    memcpy(buf, "\x93NUMPY", 6);
    buf[6] = (unsigned char)major;
    buf[7] = 0;
    for (size_t i = 8; i < start; i++) buf[i] = (unsigned char)(h >> 8 * (i - 8));
    memcpy(buf + start, dict, h);
    for (size_t i = 0; i < n; i++) buf[start + h + i] = (unsigned char)i;
    return start + h + n;
}

static void reading(void **state) {
    (void)state;
#define DICT(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"
    static const struct { const char *dict; size_t data; vlm_status code; const char *words; } cases[] = {
        { DICT("'<f4'", "False", "(2, 3)") "   \n", 24, VLM_OK, "" },
        { DICT("'<f4'", "False", "()"), 4, VLM_OK, "" },
        { DICT("'<i8'", "False", "(0, 3)"), 0, VLM_OK, "" },
        { "{\"shape\":(3,),\"fortran_order\":False,\"descr\":\"<u1\"}", 3, VLM_OK, "" },
        { DICT("'<f4'", "True", "(2, 3)"), 24, VLM_EUNSUPPORTED, "Fortran order" },
        { DICT("'<f4'", "None", "(2, 3)"), 24, VLM_EFORMAT, "neither True nor False" },
        { DICT("'>f4'", "False", "(1,)"), 4, VLM_EUNSUPPORTED, "dtype >f4, big-endian" },
        { DICT("'<c8'", "False", "(1,)"), 8, VLM_EUNSUPPORTED, "dtype <c8" },
        { DICT("'|b1'", "False", "(1,)"), 1, VLM_EUNSUPPORTED, "dtype |b1" },
        { DICT("[('a', '<f4')]", "False", "(1,)"), 4, VLM_EUNSUPPORTED, "no plain type" },
        { DICT("'<f4", "False", "(1,)"), 4, VLM_EUNSUPPORTED, "dtype <f4, " },     /* the string ends at the next quote */
        { DICT("'<f\\x34'", "False", "(1,)"), 4, VLM_EUNSUPPORTED, "no plain type" },
        { DICT("'<f4'", "False", "(1)"), 4, VLM_EFORMAT, "no tuple" },
        { DICT("'<f4'", "False", "1"), 4, VLM_EFORMAT, "no tuple" },
        { DICT("'<f4'", "False", "(1 2)"), 8, VLM_EFORMAT, "no tuple of sizes" },
        { DICT("'<f4'", "False", "(-1,)"), 4, VLM_EFORMAT, "no tuple of sizes" },
        { DICT("'<f4'", "False", "(,)"), 4, VLM_EFORMAT, "no tuple of sizes" },
        { DICT("'<f4'", "False", "(1,"), 4, VLM_EFORMAT, "no tuple of sizes" },
        { DICT("'<f4'", "False", "(99999999999999999999,)"), 4, VLM_EFORMAT, "no tuple of sizes" },
        { DICT("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4, VLM_ELIMIT, "more than 8 dimensions" },
        { DICT("'<f4'", "False", "(2, 3)"), 23, VLM_EFORMAT, "of shape [2,3] and dtype F32 takes 24 bytes of data, it holds 23" },
        { DICT("'<f4'", "False", "(2, 3)"), 25, VLM_EFORMAT, "it holds 25" },
        { DICT("'<f8'", "False", "(4294967296, 4294967296)"), 0, VLM_EFORMAT, "takes over" },
        { "{'descr': '<f4', 'fortran_order': False}", 4, VLM_EFORMAT, "lacks one of" },
        { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, VLM_EFORMAT, "repeated key descr" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", 4, VLM_EFORMAT, "unknown key x" },
        { "{'descr': '<f4' 'fortran_order': False, 'shape': ()}", 4, VLM_EFORMAT, "no dict of" },
        { "{'descr' '<f4'}", 4, VLM_EFORMAT, "no dict of" },
        { "{descr: '<f4'}", 4, VLM_EFORMAT, "no dict of" },
        { "{", 4, VLM_EFORMAT, "no dict of" },
        { "", 4, VLM_EFORMAT, "no dict" },
        { DICT("'<f4'", "False", "()") "x", 4, VLM_EFORMAT, "goes on after the dict" },
        { DICT("'<f4'", "False", "()") "\n\n", 4, VLM_EFORMAT, "goes on after the dict" },
    };
    unsigned char buf[512];
    for (int major = 1; major <= 2; major++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            vlm_npy a = { .name = temp_dir };
            vlm_status s = vlm_npy_parse(buf, build(buf, major, cases[i].dict, cases[i].data), "a.npy", &a);
            if (cases[i].code) {
                assert_failure(s, cases[i].code, "a.npy", cases[i].words);
                assert_ptr_equal(a.name, temp_dir);
                assert_non_null(strchr(vlm_error_message(), ';'));
            } else {
                assert_ok(s);
                assert_int_equal(a.t.bytes, cases[i].data);
                assert_string_equal(a.t.name, "a.npy");
                vlm_npy_close(&a);
            }
        }
}
static void beginnings(void **state) {
    (void)state;
    unsigned char buf[256] = { 0 };
    vlm_npy a;
    assert_failure(vlm_npy_parse(buf, 10, "a", &a), VLM_EFORMAT, "a", "is not an .npy file");
    size_t n = build(buf, 2, DICT("'<f4'", "False", "(1,)"), 4);
    for (size_t k = 0; k < n; k++) assert_int_not_equal(vlm_npy_parse(buf, k, "a", &a), VLM_OK);    /* cut anywhere */
    assert_failure(vlm_npy_parse(buf, 11, "a", &a), VLM_EFORMAT, "a", "cut short");
    assert_failure(vlm_npy_parse(buf, 20, "a", &a), VLM_EFORMAT, "a", "cut short");
    buf[10] = 2;
    assert_failure(vlm_npy_parse(buf, n, "a", &a), VLM_ELIMIT, "a", "over the limit of 65536");
    buf[7] = 1;
    assert_failure(vlm_npy_parse(buf, n, "a", &a), VLM_EUNSUPPORTED, "a", "version 2.1");
    buf[6] = 3, buf[7] = 0;
    assert_failure(vlm_npy_parse(buf, n, "a", &a), VLM_EUNSUPPORTED, "a", "version 3.0");
    assert_failure(vlm_npy_open(temp("none.npy"), &a), VLM_EIO, "none.npy", "cannot open");
    temp_write("bad.npy", "PK\3\4xxxxxxxxxxxx", 16);
    assert_failure(vlm_npy_open(temp("bad.npy"), &a), VLM_EFORMAT, "bad.npy", "is not an .npy file");
}

/* The bytes are those of numpy.save, version 1.0. */
static void as_numpy(void **state) {
    (void)state;
    static const struct { vlm_tensor_dtype t; int ndim; int64_t shape[3]; const char *dict; } cases[] = {
        { VLM_T_F32, 2, { 2, 3 }, DICT("'<f4'", "False", "(2, 3)") },
        { VLM_T_I64, 1, { 3 }, DICT("'<i8'", "False", "(3,)") },
        { VLM_T_U8, 3, { 1, 2, 3 }, DICT("'|u1'", "False", "(1, 2, 3)") },
        { VLM_T_F64, 0, { 0 }, DICT("'<f8'", "False", "()") },
        { VLM_T_F16, 1, { 0 }, DICT("'<f2'", "False", "(0,)") },
        { VLM_T_I32, 2, { 0, 5 }, DICT("'<i4'", "False", "(0, 5)") },
    };
    unsigned char zeros[64] = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_map m;
        vlm_npy a;
        assert_ok(vlm_npy_write(temp("w.npy"), cases[i].t, cases[i].ndim, cases[i].shape, zeros));
        assert_ok(vlm_map_open(temp("w.npy"), 0, &m));
        assert_memory_equal(m.data, "\x93NUMPY\x01\x00\x76\x00", 10);              /* 128 - 10 = 0x76 */
        assert_memory_equal(m.data + 10, cases[i].dict, strlen(cases[i].dict));
        for (size_t k = 10 + strlen(cases[i].dict); k < 127; k++) assert_int_equal(m.data[k], ' ');
        assert_int_equal(m.data[127], '\n');
        vlm_map_close(&m);
        assert_ok(vlm_npy_open(temp("w.npy"), &a));
        assert_true(a.t.ndim == cases[i].ndim && a.t.dtype == cases[i].t);
        for (int k = 0; k < a.t.ndim; k++) assert_int_equal(a.t.shape[k], cases[i].shape[k]);
        vlm_npy_close(&a);
    }
}
static void values(void **state) {
    (void)state;
    vlm_npy a;
    int64_t four[] = { 4 };
    assert_ok(vlm_npy_write(temp("v.npy"), VLM_T_F32, 1, four, (float[]){ -1.5f, 0, 1e30f, 2 }));
    assert_ok(vlm_npy_open(temp("v.npy"), &a));
    assert_true(vlm_npy_at(&a, 0) == -1.5 && vlm_npy_at(&a, 2) == (double)1e30f && vlm_npy_int(&a, 3) == 0);
    float f[4];
    assert_ok(vlm_tensor_to_float(&a.t, 0, 4, f));
    assert_true(f[3] == 2);
    vlm_npy_close(&a);
    assert_ok(vlm_npy_write(temp("v.npy"), VLM_T_F64, 1, four, (double[]){ -1.5, 0, 1e300, 2 }));      /* replaces the old one */
    assert_ok(vlm_npy_open(temp("v.npy"), &a));
    assert_true(vlm_npy_at(&a, 2) == 1e300);
    vlm_npy_close(&a);
    assert_ok(vlm_npy_write(temp("v.npy"), VLM_T_F16, 1, four, (uint16_t[]){ 0xBE00, 0x7C00, 1, 0x3C00 }));
    assert_ok(vlm_npy_open(temp("v.npy"), &a));
    assert_true(vlm_npy_at(&a, 0) == -1.5 && vlm_npy_at(&a, 1) > 1e308 && vlm_npy_at(&a, 2) == 0x1p-24);
    vlm_npy_close(&a);
    assert_ok(vlm_npy_write(temp("v.npy"), VLM_T_I64, 1, four, (int64_t[]){ -1, INT64_MAX, INT64_MIN, 7 }));
    assert_ok(vlm_npy_open(temp("v.npy"), &a));
    assert_true(vlm_npy_int(&a, 0) == -1 && vlm_npy_int(&a, 1) == INT64_MAX && vlm_npy_at(&a, 3) == 7);
    vlm_npy_close(&a);
    assert_ok(vlm_npy_write(temp("v.npy"), VLM_T_I32, 1, four, (int32_t[]){ -1, INT32_MAX, INT32_MIN, 7 }));
    assert_ok(vlm_npy_open(temp("v.npy"), &a));
    assert_true(vlm_npy_int(&a, 0) == -1 && vlm_npy_at(&a, 2) == INT32_MIN);
    vlm_npy_close(&a);
    assert_ok(vlm_npy_write(temp("v.npy"), VLM_T_U8, 1, four, "\x00\xff\x80\x01"));
    assert_ok(vlm_npy_open(temp("v.npy"), &a));
    assert_true(vlm_npy_int(&a, 1) == 255 && vlm_npy_at(&a, 2) == 128);
    vlm_npy_close(&a);
    vlm_npy_close(&a);
}
/* Data behind a dict of any length: every element may be unaligned (the sanitizer watches). */
static void unaligned(void **state) {
    (void)state;
    unsigned char buf[256];
    vlm_npy a;
    static const char *const pads[] = { "", " ", "  ", "   ", "    ", "     ", "      ", "       " };
    for (int i = 0; i < 8; i++) {
        char dict[128];
        snprintf(dict, sizeof dict, DICT("'<f8'", "False", "(2,)") "%s", pads[i]);
        size_t n = build(buf, 1, dict, 16);
        memcpy(buf + n - 8, &(double){ 2.5 }, 8);
        assert_ok(vlm_npy_parse(buf, n, "a", &a));
        assert_true(vlm_npy_at(&a, 1) == 2.5);
        vlm_npy_close(&a);
    }
}
static void pieces(void **state) {
    (void)state;
    vlm_npy_writer w;
    vlm_npy a;
    int64_t shape[] = { 2, 2 };
    float x[4] = { 1, 2, 3, 4 };
    int before = temp_count();
    assert_failure(vlm_npy_write(temp("p.npy"), VLM_T_BF16, 1, shape, x), VLM_EARG, "p.npy", "no .npy of this dtype");
    assert_failure(vlm_npy_write(temp("p.npy"), VLM_T_F32, 9, shape, x), VLM_EARG, "p.npy", "number of dimensions");
    assert_failure(vlm_npy_write(temp("p.npy"), VLM_T_F32, 1, (int64_t[]){ -1 }, x), VLM_EARG, "p.npy", "negative");
    assert_failure(vlm_npy_write(temp("p.npy"), VLM_T_F32, 1, (int64_t[]){ INT64_MAX }, x), VLM_EARG, "p.npy", "too large");
    assert_failure(vlm_npy_write(temp("no/p.npy"), VLM_T_F32, 2, shape, x), VLM_EIO, "no/p.npy", "cannot write");
    assert_ok(vlm_npy_writer_open(temp("p.npy"), VLM_T_F32, 2, shape, &w));
    assert_ok(vlm_npy_writer_append(&w, x, 3));
    assert_failure(vlm_npy_writer_append(&w, x, 14), VLM_EARG, "p.npy", "1 bytes more than");
    assert_failure(vlm_npy_writer_commit(&w), VLM_EARG, "p.npy", "13 bytes fewer than");
    assert_ok(vlm_npy_writer_open(temp("p.npy"), VLM_T_F32, 2, shape, &w));
    vlm_npy_writer_cancel(&w);
    assert_int_equal(temp_count(), before);
    assert_ok(vlm_npy_writer_open(temp("p.npy"), VLM_T_F32, 2, shape, &w));
    assert_ok(vlm_npy_writer_append(&w, x, 3));
    assert_ok(vlm_npy_writer_append(&w, (char *)x + 3, 13));
    assert_ok(vlm_npy_writer_append(&w, NULL, 0));
    assert_ok(vlm_npy_writer_commit(&w));
    assert_ok(vlm_npy_open(temp("p.npy"), &a));
    assert_memory_equal(a.t.data, x, 16);
    assert_true((a.t.data - a.map.data) % 64 == 0);
    vlm_npy_close(&a);
    int64_t wide[VLM_TENSOR_DIMS] = { 0 };                     /* the longest header there is */
    for (int i = 1; i < VLM_TENSOR_DIMS; i++) wide[i] = INT64_MAX;
    assert_ok(vlm_npy_write(temp("p.npy"), VLM_T_U8, VLM_TENSOR_DIMS, wide, NULL));
    assert_ok(vlm_npy_open(temp("p.npy"), &a));
    vlm_npy_close(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading), cmocka_unit_test(beginnings), cmocka_unit_test(as_numpy), cmocka_unit_test(values),
        cmocka_unit_test(unaligned), cmocka_unit_test(pieces),
    };
    return cmocka_run_group_tests_name("npy", tests, temp_open, temp_close);
}

/* safetensors files and folders of them: round trips, and every promise of the format broken once. */
#include "temp.h"
#include "io/weights.h"
#include <fcntl.h>
#include <sys/stat.h>

/* length + header + n bytes of data 0, 1, 2, ... JSON in this file has ' for ". */
static size_t build(unsigned char *buf, size_t size, const char *header, size_t n) {
    uint64_t h = strlen(header);
    assert_true(8 + h + n <= size);
    memcpy(buf, &h, 8);
    for (size_t i = 0; i < h; i++) buf[8 + i] = header[i] == '\'' ? '"' : (unsigned char)header[i];
    for (size_t i = 0; i < n; i++) buf[8 + h + i] = (unsigned char)i;
    return 8 + h + n;
}
static void save(const char *name, const char *header, size_t n) {
    unsigned char buf[4096];
    temp_write(name, buf, build(buf, sizeof buf, header, n));
}

static void promises(void **state) {
    (void)state;
    static const struct { const char *header; size_t data; vlm_status code; const char *words; } cases[] = {
        { "{}", 0, VLM_OK, "" },
        { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}   ", 8, VLM_OK, "" },
        { "{'a':{'dtype':'F32','shape':[],'data_offsets':[0,4]},'b':{'dtype':'U8','shape':[0,3],'data_offsets':[4,4]}}", 4, VLM_OK, "" },
        { "", 0, VLM_EFORMAT, "does not begin with {" },
        { "[]", 0, VLM_EFORMAT, "does not begin with {" },
        { " {}", 0, VLM_EFORMAT, "does not begin with {" },
        { "{", 0, VLM_EFORMAT, "header is not valid JSON" },
        { "{}x", 0, VLM_EFORMAT, "header is not valid JSON" },
        { "{'a\\u0000':{}}", 0, VLM_EFORMAT, "header is not valid JSON" },
        { "{'\xff':{}}", 0, VLM_EFORMAT, "header is not valid JSON" },
        { "{'a':{'dtype':'U8','shape':[1],'data_offsets':[0,1]},'a':{'dtype':'U8','shape':[1],'data_offsets':[1,2]}}", 2,
          VLM_EFORMAT, "duplicate object key near '\"a\"'" },
        { "{'__metadata__':{'format':'pt'}}", 0, VLM_OK, "" },
        { "{'__metadata__':[]}", 0, VLM_EFORMAT, "__metadata__ is not an object" },
        { "{'__metadata__':{'k':1}}", 0, VLM_EFORMAT, "__metadata__ key k is not a string" },
        { "{'a':3}", 0, VLM_EFORMAT, "tensor a has no dtype" },
        { "{'a':{'dtype':'F32'}}", 0, VLM_EFORMAT, "tensor a has no shape" },
        { "{'a':{'dtype':'F32','shape':[]}}", 0, VLM_EFORMAT, "tensor a has no data_offsets" },
        { "{'a':{'dtype':'F32','shape':[],'data_offsets':[0,4,8]}}", 8, VLM_EFORMAT, "tensor a has no data_offsets" },
        { "{'a':{'dtype':'F32','shape':[],'data_offsets':[0,4],'x':1}}", 4, VLM_EFORMAT, "other keys" },
        { "{'a':{'dtype':'F4','shape':[2],'data_offsets':[0,1]}}", 1, VLM_EUNSUPPORTED, "tensor a has dtype F4" },
        { "{'a':{'dtype':'f32','shape':[],'data_offsets':[0,4]}}", 4, VLM_EUNSUPPORTED, "tensor a has dtype f32" },
        { "{'a':{'dtype':'U8','shape':[1,1,1,1,1,1,1,1,1],'data_offsets':[0,1]}}", 1, VLM_ELIMIT, "9 dimensions" },
        { "{'a':{'dtype':'U8','shape':[-1],'data_offsets':[0,1]}}", 1, VLM_EFORMAT, "not a whole number" },
        { "{'a':{'dtype':'U8','shape':[1.0],'data_offsets':[0,1]}}", 1, VLM_EFORMAT, "not a whole number" },
        { "{'a':{'dtype':'F32','shape':[4294967296,4294967296],'data_offsets':[0,0]}}", 0,
          VLM_EFORMAT, "[4294967296,4294967296], more than" },
        { "{'a':{'dtype':'F64','shape':[1152921504606846976],'data_offsets':[0,0]}}", 0, VLM_EFORMAT, "more than can be counted" },
        { "{'a':{'dtype':'U8','shape':[99999999999999999999],'data_offsets':[0,0]}}", 0, VLM_EFORMAT, "too big integer" },
        { "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,4]}}", 4, VLM_EFORMAT,
          "tensor a of shape [2] and dtype F32 takes 8 bytes, its data_offsets [0,4] give 4" },
        { "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,8]}}", 8, VLM_EFORMAT, "takes 4 bytes, its data_offsets [0,8] give 8" },
        { "{'a':{'dtype':'U8','shape':[2],'data_offsets':[2,0]}}", 2, VLM_EFORMAT, "data_offsets that are not" },
        { "{'a':{'dtype':'U8','shape':[2],'data_offsets':[-2,0]}}", 2, VLM_EFORMAT, "data_offsets that are not" },
        { "{'a':{'dtype':'U8','shape':[2],'data_offsets':[0,2.0]}}", 2, VLM_EFORMAT, "data_offsets that are not" },
        { "{'a':{'dtype':'U8','shape':[9],'data_offsets':[0,9]}}", 8,
          VLM_EFORMAT, "tensor a ends at byte 9 of the data, but the file holds 8" },
        { "{'a':{'dtype':'U8','shape':[2],'data_offsets':[1,3]}}", 3,
          VLM_EFORMAT, "tensor a begins at byte 1 of the data, expected 0: it leaves a hole" },
        { "{'a':{'dtype':'U8','shape':[2],'data_offsets':[0,2]},'b':{'dtype':'U8','shape':[2],'data_offsets':[1,3]}}", 3,
          VLM_EFORMAT, "tensor b begins at byte 1 of the data, expected 2: it overlaps a" },
        { "{'b':{'dtype':'U8','shape':[1],'data_offsets':[3,4]},'a':{'dtype':'U8','shape':[2],'data_offsets':[0,2]}}", 4,
          VLM_EFORMAT, "tensor b begins at byte 3 of the data, expected 2: it leaves a hole after a" },
        { "{'a':{'dtype':'U8','shape':[2],'data_offsets':[0,2]}}", 3,
          VLM_EFORMAT, "holds 3 bytes of data, its tensors (the last is a) end at 2" },
        { "{}", 1, VLM_EFORMAT, "holds 1 bytes of data" },
    };
    unsigned char buf[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_safetensors st = { .count = -7 };
        size_t n = build(buf, sizeof buf, cases[i].header, cases[i].data);
        vlm_status s = vlm_safetensors_parse(buf, n, "m.safetensors", &st);
        if (cases[i].code) {
            assert_failure(s, cases[i].code, "m.safetensors", cases[i].words);
            assert_int_equal(st.count, -7);
            assert_non_null(strchr(vlm_error_message(), ';'));         /* "what; what to do" */
        } else {
            assert_ok(s);
            vlm_safetensors_close(&st);
        }
    }
}
static void beginnings(void **state) {
    (void)state;
    vlm_safetensors st;
    unsigned char buf[64] = { 0 };
    uint64_t n = 100000001;
    assert_failure(vlm_safetensors_parse(buf, 7, "w", &st), VLM_EFORMAT, "w", "has 7 bytes");
    memcpy(buf, &n, 8);
    assert_failure(vlm_safetensors_parse(buf, 64, "w", &st), VLM_EFORMAT, "w", "header of 100000001 bytes, the format allows 100000000");
    n = 57;
    memcpy(buf, &n, 8);
    assert_failure(vlm_safetensors_parse(buf, 64, "w", &st), VLM_EFORMAT, "w", "header of 57 bytes, only 56 follow");
    const char *lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    assert_failure(vlm_safetensors_parse((const unsigned char *)lfs, strlen(lfs), "w", &st), VLM_EFORMAT, "w", "Git LFS pointer");
    assert_failure(vlm_safetensors_open(temp("none"), &st), VLM_EIO, "/none", "cannot open");
    temp_write("empty", "", 0);
    assert_failure(vlm_safetensors_open(temp("empty"), &st), VLM_EFORMAT, "/empty", "is empty");
    temp_write("short", "{}", 2);
    assert_failure(vlm_safetensors_open(temp("short"), &st), VLM_EFORMAT, "/short", "has 2 bytes");
}
/* Any prefix of a good file, and any bit of its header flipped: an error or a sound file, never more. */
static void damage(void **state) {
    (void)state;
    unsigned char buf[512], copy[512];
    vlm_safetensors st;
    const char *header = "{'a':{'dtype':'F16','shape':[2,3],'data_offsets':[0,12]},'__metadata__':{'b':'a'}}";
    size_t n = build(buf, sizeof buf, header, 12);
    for (size_t k = 0; k < n; k++) {
        memcpy(copy, buf, k);
        assert_int_not_equal(vlm_safetensors_parse(copy, k, "w", &st), VLM_OK);
    }
    for (size_t bit = 0; bit < (n - 12) * 8; bit++) {
        memcpy(copy, buf, n);
        copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (vlm_safetensors_parse(copy, n, "w", &st)) continue;
        for (int64_t i = 0; i < st.count; i++)
            assert_true(st.tensors[i].data >= copy && st.tensors[i].data + st.tensors[i].bytes <= copy + n);
        vlm_safetensors_close(&st);
    }
}

static void dtypes(void **state) {
    (void)state;
    static const char *const names[] = { "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64",
                                         "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ" };
    static const int bytes[] = { 8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1, 1, 8, 1, 1, 1, 1, 1 };
    assert_int_equal(sizeof names / sizeof *names, VLM_T_COUNT);
    for (int i = 0; i < VLM_T_COUNT; i++) {
        unsigned char buf[256];
        char header[128];
        vlm_safetensors st;
        snprintf(header, sizeof header, "{'t':{'dtype':'%s','shape':[3],'data_offsets':[0,%d]}}", names[i], 3 * bytes[i]);
        size_t n = build(buf, sizeof buf, header, (size_t)(3 * bytes[i]));
        assert_ok(vlm_safetensors_parse(buf, n, "w", &st));
        assert_string_equal(vlm_tensor_dtype_name(st.tensors[0].dtype), names[i]);
        assert_int_equal(vlm_tensor_dtype_bytes(st.tensors[0].dtype), bytes[i]);
        assert_int_equal(vlm_tensor_len(st.tensors), 3);
        vlm_safetensors_close(&st);
    }
}

/* Every dtype that becomes a float, from an odd address (the sanitizer watches). */
static void floats(void **state) {
    (void)state;
    unsigned char buf[64];
    const float want[] = { 0.f, -1.5f, 65504.f, 0x1p-24f };
    const uint16_t f16[] = { 0, 0xBE00, 0x7BFF, 1 }, bf16[] = { 0, 0xBFC0, 0x477F, 0x3380 };
    const double f64[] = { 0, -1.5, 65504, 0x1p-24 };
    float out[4];
    vlm_tensor t = { .name = "t", .ndim = 1, .shape = { 4 }, .data = buf + 1 };
    t.dtype = VLM_T_F32; t.bytes = 16; memcpy(buf + 1, want, 16);
    assert_ok(vlm_tensor_to_float(&t, 0, 4, out));
    assert_memory_equal(out, want, 16);
    t.dtype = VLM_T_F16; t.bytes = 8; memcpy(buf + 1, f16, 8);
    assert_ok(vlm_tensor_to_float(&t, 0, 4, out));
    assert_memory_equal(out, want, 16);
    t.dtype = VLM_T_F64; t.bytes = 32; memcpy(buf + 1, f64, 32);
    assert_ok(vlm_tensor_to_float(&t, 1, 3, out));
    assert_memory_equal(out, want + 1, 12);
    t.dtype = VLM_T_BF16; t.bytes = 8; memcpy(buf + 1, bf16, 8);
    assert_ok(vlm_tensor_to_float(&t, 0, 4, out));
    assert_true(out[1] == -1.5f && out[2] == 65280.f && out[3] == 0x1p-24f);
    assert_ok(vlm_tensor_to_float(&t, 4, 0, out));
    assert_failure(vlm_tensor_to_float(&t, 2, 3, out), VLM_EARG, "t", "the tensor has 4");
    assert_failure(vlm_tensor_to_float(&t, -1, 1, out), VLM_EARG, "t", "the tensor has 4");
    assert_failure(vlm_tensor_to_float(&t, INT64_MAX, 1, out), VLM_EARG, "t", "the tensor has 4");
    t.dtype = VLM_T_I32;
    assert_failure(vlm_tensor_to_float(&t, 0, 1, out), VLM_EUNSUPPORTED, "t", "has dtype I32");
}
static void shapes(void **state) {
    (void)state;
    char buf[VLM_SHAPE_CHARS];
    int64_t big[VLM_TENSOR_DIMS];
    for (int i = 0; i < VLM_TENSOR_DIMS; i++) big[i] = INT64_MIN;
    assert_string_equal(vlm_shape_string(0, NULL, buf), "[]");
    assert_string_equal(vlm_shape_string(2, (int64_t[]){ 2, 3 }, buf), "[2,3]");
    vlm_shape_string(VLM_TENSOR_DIMS, big, buf);
    assert_int_equal(strlen(buf), 8 * 20 + 7 + 2);             /* the longest there is fits */
}

static void round_trip(void **state) {
    (void)state;
    vlm_safetensors_writer *w;
    vlm_safetensors st;
    float a[6] = { 1, 2, 3, 4, 5, 6 };
    int64_t scalar = -5;
    assert_ok(vlm_safetensors_writer_open(temp("rt"), &w));
    assert_ok(vlm_safetensors_writer_metadata(w, "format", "pt"));
    assert_ok(vlm_safetensors_writer_declare(w, "z.weight", VLM_T_F32, 2, (int64_t[]){ 2, 3 }));
    assert_ok(vlm_safetensors_writer_declare(w, "none", VLM_T_F32, 2, (int64_t[]){ 0, 3 }));
    assert_ok(vlm_safetensors_writer_declare(w, "b \"\xc3\xa4", VLM_T_U8, 1, (int64_t[]){ 1 }));
    assert_ok(vlm_safetensors_writer_declare(w, "a", VLM_T_I64, 0, NULL));         /* behind one byte: unaligned */
    assert_ok(vlm_safetensors_writer_put(w, "z.weight", a, 5));
    assert_ok(vlm_safetensors_writer_put(w, "z.weight", (char *)a + 5, 19));
    assert_ok(vlm_safetensors_writer_put(w, "b \"\xc3\xa4", "x", 1));
    assert_ok(vlm_safetensors_writer_put(w, "a", &scalar, 8));
    assert_false(vlm_exists(temp("rt")));                      /* not before commit */
    assert_ok(vlm_safetensors_writer_commit(w));
    assert_ok(vlm_safetensors_open(temp("rt"), &st));
    assert_int_equal(st.count, 4);
    assert_string_equal(st.tensors[0].name, "z.weight");
    assert_string_equal(json_string_value(json_object_get(st.metadata, "format")), "pt");
    assert_true((st.tensors[0].data - st.map.data) % 8 == 0);
    assert_memory_equal(st.tensors[0].data, a, 24);
    const vlm_tensor *t = vlm_safetensors_find(&st, "a");
    assert_true(t && t->ndim == 0 && vlm_tensor_len(t) == 1 && !memcmp(t->data, &scalar, 8));
    t = vlm_safetensors_find(&st, "none");
    assert_true(t && t->bytes == 0 && t->data && t->shape[1] == 3);
    assert_non_null(vlm_safetensors_find(&st, "b \"\xc3\xa4"));
    assert_null(vlm_safetensors_find(&st, "c"));
    assert_null(vlm_safetensors_find(&st, "__metadata__"));
    vlm_safetensors_close(&st);
    assert_ok(vlm_safetensors_writer_open(temp("nothing"), &w));       /* no tensor at all */
    assert_ok(vlm_safetensors_writer_commit(w));
    assert_ok(vlm_safetensors_open(temp("nothing"), &st));
    assert_null(vlm_safetensors_find(&st, "a"));
    vlm_safetensors_close(&st);
}
static void writer_misuse(void **state) {
    (void)state;
    vlm_safetensors_writer *w;
    int64_t two[] = { 2 };
    int before = temp_count();
    assert_failure(vlm_safetensors_writer_open(temp("no/such/folder"), &w), VLM_EIO, "no/such/folder", "cannot write");
    assert_ok(vlm_safetensors_writer_open(temp("mis"), &w));
    assert_ok(vlm_safetensors_writer_declare(w, "a", VLM_T_U8, 1, two));
    assert_ok(vlm_safetensors_writer_declare(w, "b", VLM_T_U8, 1, two));
    assert_failure(vlm_safetensors_writer_declare(w, "a", VLM_T_U8, 1, two), VLM_EARG, "mis", "tensor a: name is declared already");
    assert_failure(vlm_safetensors_writer_declare(w, "__metadata__", VLM_T_U8, 1, two), VLM_EARG, "mis", "reserved");
    assert_failure(vlm_safetensors_writer_declare(w, "\xff", VLM_T_U8, 1, two), VLM_EARG, "mis", "not UTF-8");
    assert_failure(vlm_safetensors_writer_declare(w, "c", VLM_T_COUNT, 1, two), VLM_EARG, "mis", "dtype");
    assert_failure(vlm_safetensors_writer_declare(w, "c", VLM_T_U8, 9, two), VLM_EARG, "mis", "dimensions");
    assert_failure(vlm_safetensors_writer_declare(w, "c", VLM_T_U8, 1, (int64_t[]){ -1 }), VLM_EARG, "mis", "negative");
    assert_failure(vlm_safetensors_writer_declare(w, "c", VLM_T_F32, 1, (int64_t[]){ INT64_MAX }), VLM_EARG, "mis", "too large");
    assert_failure(vlm_safetensors_writer_metadata(w, "k", "\xff"), VLM_EARG, "mis", "not UTF-8");
    assert_failure(vlm_safetensors_writer_put(w, "b", "xy", 2), VLM_EARG, "mis", "data of tensor b, expected a");
    assert_failure(vlm_safetensors_writer_put(w, "a", "xyz", 3), VLM_EARG, "mis", "more data");
    assert_ok(vlm_safetensors_writer_put(w, "a", "xy", 2));
    assert_failure(vlm_safetensors_writer_put(w, "a", "z", 1), VLM_EARG, "mis", "expected b");
    assert_failure(vlm_safetensors_writer_declare(w, "c", VLM_T_U8, 1, two), VLM_EARG, "mis", "after the first data");
    assert_failure(vlm_safetensors_writer_metadata(w, "k", "v"), VLM_EARG, "mis", "after the first data");
    assert_ok(vlm_safetensors_writer_put(w, "b", "x", 1));
    assert_failure(vlm_safetensors_writer_commit(w), VLM_EARG, "mis", "tensor b has 1 of 2 bytes");
    assert_ok(vlm_safetensors_writer_open(temp("mis"), &w));
    assert_ok(vlm_safetensors_writer_declare(w, "a", VLM_T_U8, 1, two));
    assert_ok(vlm_safetensors_writer_put(w, "a", "xy", 2));
    assert_failure(vlm_safetensors_writer_put(w, "a", "z", 1), VLM_EARG, "mis", "expected no more");
    vlm_safetensors_writer_cancel(w);
    assert_int_equal(temp_count(), before);                    /* nothing was left behind */
}

/* 64 GB of holes: opening may look at the header alone. */
static void no_page_is_touched(void **state) {
    (void)state;
    unsigned char head[256];
    vlm_weights *w;
    char header[128];
    const long long n = 1LL << 36;
    snprintf(header, sizeof header, "{'a':{'dtype':'U8','shape':[%lld],'data_offsets':[0,%lld]}}", n, n);
    size_t h = build(head, sizeof head, header, 0);
    assert_int_equal(mkdir(temp("big"), 0777), 0);
    temp_write("big/model.safetensors", head, h);
    if (truncate(temp("big/model.safetensors"), (off_t)h + n)) skip();
    assert_ok(vlm_weights_open(temp("big"), &w));
    assert_true(vlm_weights_bytes(w) == (size_t)n);
    assert_int_equal(vlm_weights_at(w, 0)->data[n - 1], 0);
    vlm_weights_forget(w, vlm_weights_at(w, 0));
    vlm_weights_close(w);
}
static long resident_pages(void) {
    long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
        fclose(f);
    }
    return resident;
}
static void forgetting(void **state) {
    (void)state;
    enum { BYTES = 32 << 20 };
    vlm_safetensors_writer *sw;
    vlm_weights *w;
    unsigned char *data = malloc(BYTES);
    assert_non_null(data);
    memset(data, 7, BYTES);
    assert_int_equal(mkdir(temp("forget"), 0777), 0);
    assert_ok(vlm_safetensors_writer_open(temp("forget/model.safetensors"), &sw));
    assert_ok(vlm_safetensors_writer_declare(sw, "a", VLM_T_U8, 1, (int64_t[]){ BYTES }));
    assert_ok(vlm_safetensors_writer_put(sw, "a", data, BYTES));
    assert_ok(vlm_safetensors_writer_commit(sw));
    free(data);
    assert_ok(vlm_weights_open(temp("forget"), &w));
    const vlm_tensor *t = vlm_weights_find(w, "a");
    long before = resident_pages(), sum = 0;
    for (size_t i = 0; i < t->bytes; i += 1024) sum += t->data[i];
    long touched = resident_pages();
    vlm_weights_forget(w, t);
    long after = resident_pages(), page = sysconf(_SC_PAGESIZE);
    assert_int_equal(sum, 7 * (BYTES / 1024));
    if (before) {
        assert_true((touched - before) * page > BYTES / 2);
        assert_true((touched - after) * page > BYTES / 2);
    }
    assert_int_equal(t->data[BYTES / 2], 7);                   /* and back again */
    vlm_weights_close(w);
}

/* ---- Folders -------------------------------------------------------------------------------------------------- */
#define U8(name, begin, end) "'" name "':{'dtype':'U8','shape':[" #end "],'data_offsets':[" #begin "," #end "]}"
static void save_index(const char *text) {
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *p = copy; (p = strchr(p, '\'')); ) *p = '"';
    temp_write("sh/model.safetensors.index.json", copy, strlen(copy));
    free(copy);
}
static void folder_one(void **state) {
    (void)state;
    vlm_weights *w;
    assert_int_equal(mkdir(temp("one"), 0777), 0);
    save("one/model.safetensors", "{'__metadata__':{'format':'pt','tied':'head','wrong':'nowhere','head':'x'},"
         "'x':{'dtype':'U8','shape':[1],'data_offsets':[0,1]},'head':{'dtype':'U8','shape':[2],'data_offsets':[1,3]}}", 3);
    assert_ok(vlm_weights_open(temp("one/"), &w));
    assert_int_equal(vlm_weights_count(w), 2);
    assert_int_equal(vlm_weights_bytes(w), 3);
    assert_string_equal(vlm_weights_at(w, 0)->name, "x");
    const vlm_tensor *head = vlm_weights_find(w, "head");
    assert_true(head && head->data[0] == 1 && head == vlm_weights_at(w, 1));       /* what is stored comes before an alias */
    assert_ptr_equal(vlm_weights_find(w, "tied"), head);
    assert_null(vlm_weights_find(w, "wrong"));
    assert_null(vlm_weights_find(w, "format"));
    assert_null(vlm_weights_find(w, "none"));
    assert_string_equal(vlm_weights_file(w, head), temp("one/model.safetensors"));
    assert_string_equal(vlm_weights_dir(w), temp("one/"));
    vlm_weights_close(w);
    vlm_weights_close(NULL);
}
static void folder_sharded(void **state) {
    (void)state;
    vlm_weights *w;
    assert_int_equal(mkdir(temp("sh"), 0777), 0);
    save("sh/s1.safetensors", "{" U8("a", 0, 1) "}", 1);
    save("sh/s2.safetensors", "{'__metadata__':{'tied':'a'}," U8("c", 0, 2) "}", 2);
    save("sh/model.safetensors", "{broken", 0);                /* the index comes first */
    save_index("{'metadata':{'total_size':99},'weight_map':{'c':'s2.safetensors','a':'s1.safetensors'}}");
    assert_ok(vlm_weights_open(temp("sh"), &w));
    assert_int_equal(vlm_weights_count(w), 2);
    assert_int_equal(vlm_weights_bytes(w), 3);
    assert_string_equal(vlm_weights_file(w, vlm_weights_find(w, "c")), temp("sh/s2.safetensors"));
    assert_string_equal(vlm_weights_file(w, vlm_weights_find(w, "a")), temp("sh/s1.safetensors"));
    assert_ptr_equal(vlm_weights_find(w, "tied"), vlm_weights_find(w, "a"));       /* tied across shards */
    vlm_weights_close(w);

    static const struct { const char *index; vlm_status code; const char *where, *words; } cases[] = {
        { "[]", VLM_EFORMAT, "index.json", "no object weight_map" },
        { "{", VLM_EFORMAT, "index.json", "is not valid JSON" },
        { "{'weight_map':[]}", VLM_EFORMAT, "index.json", "no object weight_map" },
        { "{'weight_map':{}}", VLM_EFORMAT, "index.json", "empty weight_map" },
        { "{'weight_map':{'a':1}}", VLM_EFORMAT, "index.json", "tensor a has no shard's name" },
        { "{'weight_map':{'a':'s1.safetensors','a':'s2.safetensors'}}", VLM_EFORMAT, "index.json", "duplicate object key" },
        { "{'weight_map':{'a':'../one/model.safetensors'}}", VLM_EFORMAT, "index.json", "tensor a lies in '../one/model.safetensors'" },
        { "{'weight_map':{'a':'/etc/passwd'}}", VLM_EFORMAT, "index.json", "'/etc/passwd'" },
        { "{'weight_map':{'a':'..'}}", VLM_EFORMAT, "index.json", "'..'" },
        { "{'weight_map':{'a':''}}", VLM_EFORMAT, "index.json", "''" },
        { "{'weight_map':{'a':'s3.safetensors'}}", VLM_EIO, "s3.safetensors", "cannot open" },
        { "{'weight_map':{'a':'model.safetensors'}}", VLM_EFORMAT, "sh/model.safetensors", "not valid JSON" },
        { "{'weight_map':{'a':'s1.safetensors','x':'s1.safetensors'}}",
          VLM_EFORMAT, "index.json", "tensor x lies in s1.safetensors, which" },
        { "{'weight_map':{'a':'s1.safetensors','c':'s1.safetensors'}}",
          VLM_EFORMAT, "index.json", "tensor c lies in s1.safetensors, which" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        save_index(cases[i].index);
        w = NULL;
        assert_failure(vlm_weights_open(temp("sh"), &w), cases[i].code, cases[i].where, cases[i].words);
        assert_null(w);
    }
    save("sh/s2.safetensors", "{'a':{'dtype':'U8','shape':[1],'data_offsets':[2,3]}," U8("c", 0, 2) "}", 3);
    save_index("{'weight_map':{'c':'s2.safetensors','a':'s1.safetensors'}}");
    assert_failure(vlm_weights_open(temp("sh"), &w), VLM_EFORMAT, "s2.safetensors", "holds tensor a, which lies in s1.safetensors too");
    save_index("{'weight_map':{'c':'s2.safetensors'}}");
    assert_failure(vlm_weights_open(temp("sh"), &w),
        VLM_EFORMAT, "s2.safetensors", "holds tensor a, which model.safetensors.index.json does not list");

    char *many = malloc(64 * 1002), *p = many;
    p += sprintf(p, "{'weight_map':{");
    for (int i = 0; i <= 1000; i++) p += sprintf(p, "%s't%d':'s%d'", i ? "," : "", i, i);
    strcpy(p, "}}");
    save_index(many);
    free(many);
    assert_failure(vlm_weights_open(temp("sh"), &w), VLM_ELIMIT, "index.json", "more than 1000 shards");
}
static void folder_others(void **state) {
    (void)state;
    vlm_weights *w;
    assert_failure(vlm_weights_open(temp("nofolder"), &w), VLM_EIO, "nofolder", "cannot open the folder");
    temp_write("plainfile", "x", 1);
    assert_failure(vlm_weights_open(temp("plainfile"), &w), VLM_EIO, "plainfile", "Not a directory");
    assert_int_equal(mkdir(temp("old"), 0777), 0);
    temp_write("old/config.json", "{}", 2);
    assert_failure(vlm_weights_open(temp("old"), &w), VLM_EIO, "/old", "looked for model.safetensors and model.safetensors.index.json");
    temp_write("old/m.gguf", "x", 1);                          /* each is worth more than the one before */
    assert_failure(vlm_weights_open(temp("old"), &w), VLM_EUNSUPPORTED, "old/m.gguf", "GGUF");
    temp_write("old/m.pth", "x", 1);
    assert_failure(vlm_weights_open(temp("old"), &w), VLM_EUNSUPPORTED, "old/m.pth", "save the model with safetensors");
    temp_write("old/m.pt", "x", 1);
    assert_failure(vlm_weights_open(temp("old"), &w), VLM_EUNSUPPORTED, "old/m.pt", "pickle");
    temp_write("old/pytorch_model.bin", "x", 1);
    assert_failure(vlm_weights_open(temp("old"), &w), VLM_EUNSUPPORTED, "old/pytorch_model.bin", "pickle");
    temp_write("old/b.safetensors", "x", 1);
    temp_write("old/a.safetensors", "x", 1);
    assert_failure(vlm_weights_open(temp("old"), &w), VLM_EIO, "old/a.safetensors", "neither model.safetensors nor");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises), cmocka_unit_test(beginnings), cmocka_unit_test(damage),
        cmocka_unit_test(dtypes), cmocka_unit_test(floats),
        cmocka_unit_test(shapes), cmocka_unit_test(round_trip), cmocka_unit_test(writer_misuse), cmocka_unit_test(no_page_is_touched),
        cmocka_unit_test(forgetting), cmocka_unit_test(folder_one), cmocka_unit_test(folder_sharded), cmocka_unit_test(folder_others),
    };
    return cmocka_run_group_tests_name("safetensors", tests, temp_open, temp_close);
}

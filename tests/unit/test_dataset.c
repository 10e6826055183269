/* Data sets: each container, its order, names, hash; what is hostile, odd, empty; many threads. */
#include "temp.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/dataset.h"
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

static char warned[2048];              /* since the last look */
static void on_warning(void *user, const char *where, const char *message) {
    (void)user;
    (void)where;
    snprintf(warned, sizeof warned, "%s", message);
}
/* Runs a command in the temporary folder; $G is the golden images. */
static void sh(const char *command) {
    char cmd[2000], here[1000];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(cmd, sizeof cmd, "G=%s/tests/golden/images; cd %s && { %s; }", here, temp_dir, command);
    if (system(cmd)) fail_msg("%s", command);
}
static void put(const char *name, const char *text) { temp_write(name, text, strlen(text)); }
static vlm_dataset *open_with(const char *name, const vlm_dataset_options *o) {
    vlm_dataset *d = NULL;
    *warned = 0;
    assert_ok(vlm_dataset_open(temp(name), o, &d));
    assert_string_equal(vlm_dataset_path(d), temp(name));
    return d;
}
static vlm_dataset *opened(const char *name) { return open_with(name, NULL); }
static void refused(const char *name, vlm_status code, const char *words, int line) {
    vlm_dataset *d = NULL;
    check_failure(vlm_dataset_open(temp(name), NULL, &d), code, name, words, __FILE__, line);
    assert_null(d);
}
#define refused(name, code, words) refused(name, code, words, __LINE__)
static uint64_t hash(const vlm_dataset *d) {
    uint64_t h = 0;
    assert_ok(vlm_dataset_hash(d, &h));
    return h;
}
/* What sample i says: its row and "user|assistant|images", or its row, code and message. */
static const char *said(const vlm_dataset *d, int64_t i) {
    static char buf[4][9000];
    static int k;
    char row[VLM_ROW_BYTES], *out = buf[k = (k + 1) % 4];
    const char *file;
    struct vlm_sample s;
    vlm_bad why;
    vlm_dataset_name(d, i, &file, row);
    assert_string_equal(file, vlm_dataset_path(d));
    vlm_status status = vlm_dataset_read(d, i, &s, &why);
    if (status) {
        assert_non_null(strstr(vlm_error_where(), row));
        snprintf(out, sizeof *buf, "%s %s %s", row, vlm_bad_name(why), vlm_error_message());
        return out;
    }
    assert_string_equal(s.row, row);
    assert_string_equal(s.file, file);
    assert_non_null(strstr(s.where, row));
    int n = snprintf(out, sizeof *buf, "%s", row);
    for (int64_t t = 0; t < s.turns; t++)
        n += snprintf(out + n, sizeof *buf - (size_t)n, " %s|%s|%d", s.turn[t].user, s.turn[t].assistant ? s.turn[t].assistant : "-",
                      (int)s.turn[t].images);
    for (int64_t t = 0; t < s.images; t++) n += snprintf(out + n, sizeof *buf - (size_t)n, " %s", s.image[t].path);
    vlm_sample_free(&s);
    return out;
}
static void check_said(const vlm_dataset *d, int64_t i, const char *want, int line) {
    const char *got = said(d, i);
    if (!strncmp(got, want, strlen(want))) return;
    print_error("got '%s'\nexpected '%s'\n", got, want);
    _fail(__FILE__, line);
}
#define says(d, i, want) check_said(d, i, want, __LINE__)
/* The code that the image of sample i gives when it is loaded. */
static const char *image_code(const vlm_dataset *d, int64_t i) {
    struct vlm_sample s;
    vlm_bitmap b = { 0 };
    vlm_image_info info;
    vlm_bad why, probed;
    assert_ok(vlm_dataset_read(d, i, &s, &why));
    assert_true(s.images > 0);
    vlm_status p = vlm_sample_image_probe(&s, 0, NULL, &info, &probed), l = vlm_sample_image_load(&s, 0, NULL, &b, &why);
    if (!p && !l) assert_true(info.w == b.w && info.h == b.h);
    vlm_bitmap_close(&b);
    vlm_sample_free(&s);
    return vlm_bad_name(why);
}
#define SAMPLE(user) "{\"texts\":[{\"user\":\"" user "\",\"assistant\":\"b\"}]}"

/* ---- JSON Lines ------------------------------------------------------------------------------------------------------ */
static void lines(void **state) {
    (void)state;
    static const char text[] = "\xEF\xBB\xBF" SAMPLE("one") "\r\n\r\n \t \nno\n" SAMPLE("\xC3\xA4") "\n\0\n[1]\n\xEF\xBB\xBF\n"
                               "{\"images\":[\"a/x.png\"],\"texts\":[{\"user\":\"last\"}]}";          /* without an end */
    temp_write("d.jsonl", text, sizeof text - 1);
    vlm_dataset *d = opened("d.jsonl");
    assert_int_equal(vlm_dataset_count(d), 6);
    says(d, 0, "1 one|b|0");
    says(d, 1, "4 bad_json is not valid JSON: invalid token near 'no', column 2; mend the line");
    says(d, 2, "5 \xC3\xA4|b|0");
    says(d, 3, "6 bad_json is not valid JSON");
    says(d, 4, "7 bad_json is not a JSON object");
    says(d, 5, "9 last|-|1 a/x.png");
    says(d, 0, "1 one|b|0");           /* in any order */
    assert_string_equal(image_code(d, 5), "missing_image");
    uint64_t without = hash(d);
    assert_true(hash(d) == without);
    sh("mkdir a; cp $G/exif6.jpg a/x.png");
    assert_string_equal(image_code(d, 5), "none");     /* beside the file, whatever the working folder */
    assert_true(hash(d) != without);                   /* it has a size now */
    vlm_dataset_close(d);
    vlm_dataset_close(NULL);

    vlm_dataset_options o = VLM_DATASET_OPTIONS;
    o.need_assistant = true;
    d = open_with("d.jsonl", &o);
    says(d, 5, "9 no_assistant has no assistant turn");
    vlm_dataset_close(d);
    o.max_images = 0;
    d = open_with("d.jsonl", &o);
    says(d, 5, "9 too_large has more than 0 images");
    says(d, 0, "1 one|b|0");
    vlm_dataset_close(d);
    /* another root: the folder above, so that a sibling can be named */
    put("r.jsonl", "{\"images\":[\"a/x.png\"],\"texts\":[{\"user\":\"x\"}]}\n");
    sh("mkdir sub; mv r.jsonl sub");
    d = opened("sub/r.jsonl");
    assert_string_equal(image_code(d, 0), "missing_image");
    vlm_dataset_close(d);
    char root[300];
    snprintf(root, sizeof root, "%s/", temp_dir);
    o = VLM_DATASET_OPTIONS;
    o.data_root = root;
    d = open_with("sub/r.jsonl", &o);
    *root = 0;                         /* copied */
    assert_string_equal(image_code(d, 0), "none");
    vlm_dataset_close(d);
    put("f.jsonl", "{\"texts\":[{\"user\":\"a\",\"assistant\":\"b\"}],\"relevance_ratings\":[1]}\n");
    d = opened("f.jsonl");
    says(d, 0, "1 a|b|0");
    vlm_dataset_close(d);
    o = VLM_DATASET_OPTIONS;
    o.rating_min[0] = 2;
    d = open_with("f.jsonl", &o);
    says(d, 0, "1 no_assistant each of its 1 turns is rated below");
    vlm_dataset_close(d);
}
/* Two data sets of one content, whatever their place and time, have one hash; and any change another. */
static void hashes(void **state) {
    (void)state;
    assert_true(vlm_hash(VLM_HASH, "a", 1) == 0xAF63DC4C8601EC8Cu);     /* the published value of FNV-1a("a") */
    sh("mkdir p q; cp $G/exif6.jpg p/a.jpg; cp $G/exif6.jpg q/a.jpg; touch -d 2001-01-01 q/a.jpg");
    const char *line = "{\"images\":[\"a.jpg\"],\"texts\":[{\"user\":\"x\",\"assistant\":\"y\"}]}\n";
    put("p/d.jsonl", line);
    put("q/e.jsonl", line);
    vlm_dataset *p = opened("p/d.jsonl"), *q = opened("q/e.jsonl");
    uint64_t was = hash(p);
    assert_true(was == hash(q));
    assert_true(was == 0x0C35A73C2626AA56u);           /* on every machine; worked out by hand from the format */
    sh("cp $G/exif6.png q/a.jpg");
    assert_true(was != hash(q));
    vlm_dataset_close(q);
    put("q/e.jsonl", "{\"images\":[\"a.jpg\"],\"texts\":[{\"user\":\"x\",\"assistant\":\"z\"}]}\n");
    sh("cp p/a.jpg q/a.jpg");
    q = opened("q/e.jsonl");
    assert_true(was != hash(q));
    vlm_dataset_close(q);
    vlm_dataset_close(p);
    /* bad samples have their text, too */
    put("b1.jsonl", "no\nyes\n");
    put("b2.jsonl", "no\nyet\n");
    p = opened("b1.jsonl");
    q = opened("b2.jsonl");
    assert_true(hash(p) != hash(q));
    vlm_dataset_close(p);
    vlm_dataset_close(q);
    /* folders and archives: names, sizes, texts */
    sh("mkdir f g; cp $G/exif6.jpg f/a.jpg; echo cat > f/a.txt; cp f/* g; tar cf f.tar -C f a.jpg a.txt; tar cf g.tar -C g a.jpg a.txt;"
       " touch g/*; tar cf h.tar -C g a.jpg a.txt");
    static const char *const names[] = { "f", "g", "f.tar", "g.tar", "h.tar" };
    uint64_t h[5];
    for (int i = 0; i < 5; i++) {
        p = opened(names[i]);
        h[i] = hash(p);
        vlm_dataset_close(p);
    }
    assert_true(h[0] == h[1] && h[2] == h[3] && h[2] == h[4]);
    sh("echo car > g/a.txt");
    p = opened("g");
    assert_true(hash(p) != h[0]);
    vlm_dataset_close(p);
}
static void many(void **state) {
    (void)state;
    enum { N = 100000 };
    char *text = malloc(N * 80), *p = text;
    struct timespec t0, t1;
    assert_non_null(text);
    for (int i = 0; i < N; i++) p += sprintf(p, "{\"texts\":[{\"user\":\"question %d\",\"assistant\":\"a\"}]}\n", i);
    temp_write("many.jsonl", text, (size_t)(p - text));
    free(text);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    vlm_dataset *d = opened("many.jsonl");
    assert_int_equal(vlm_dataset_count(d), N);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    assert_true(t1.tv_sec - t0.tv_sec < 3);            /* 10 ms, but the machine may be busy */
    says(d, N - 1, "100000 question 99999|a|0");
    says(d, 54321, "54322 question 54321|a|0");
    clock_gettime(CLOCK_MONOTONIC, &t0);
    hash(d);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    assert_true(t1.tv_sec - t0.tv_sec < 20);
    vlm_dataset_close(d);
}
static void long_lines(void **state) {
    (void)state;
    size_t n = (size_t)VLM_LINE_LIMIT + 100;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, ' ', n);
    memcpy(text, "{\"texts\":[{\"user\":\"", 19);
    memcpy(text + VLM_LINE_LIMIT, "\"}]}", 4);         /* four bytes over it */
    text[VLM_LINE_LIMIT + 4] = '\n';
    memcpy(text + VLM_LINE_LIMIT + 5, SAMPLE("x") "\n", sizeof SAMPLE("x"));
    temp_write("l.jsonl", text, (size_t)VLM_LINE_LIMIT + 5 + sizeof SAMPLE("x"));
    vlm_dataset *d = opened("l.jsonl");
    assert_int_equal(vlm_dataset_count(d), 2);
    says(d, 0, "1 too_large has more than 67108864 bytes");
    says(d, 1, "2 x|b|0");
    vlm_dataset_close(d);
    memmove(text + VLM_LINE_LIMIT - 4, text + VLM_LINE_LIMIT, 5 + sizeof SAMPLE("x"));         /* just the limit */
    temp_write("m.jsonl", text, (size_t)VLM_LINE_LIMIT + 1 + sizeof SAMPLE("x"));
    free(text);
    d = opened("m.jsonl");
    struct vlm_sample s;
    assert_ok(vlm_dataset_read(d, 0, &s, NULL));
    assert_int_equal(strlen(s.turn[0].user), VLM_LINE_LIMIT - 23);
    vlm_sample_free(&s);
    says(d, 1, "2 x|b|0");
    vlm_dataset_close(d);
}
static void no_data_set(void **state) {
    (void)state;
    vlm_dataset *d = NULL;
    refused("none.jsonl", VLM_EIO, "cannot open: No such file");
    put("empty.jsonl", "");
    refused("empty.jsonl", VLM_EFORMAT, "holds no sample: JSON Lines, one sample a line, were looked for");
    put("blank.jsonl", "\n\xEF\xBB\xBF\r\n  ");
    refused("blank.jsonl", VLM_EFORMAT, "holds no sample");
    put("array.json", " [\n{}]");
    refused("array.json", VLM_EUNSUPPORTED, "is one JSON array; write its elements a line each: jq -c");
    static const struct { const char *bytes; size_t n; const char *words; } kinds[] = {
        { "\x1F\x8B\b", 3, "gunzip" }, { "BZh9", 4, "bunzip2" }, { "\xFD" "7zXZ", 5, "unxz" }, { "\x28\xB5\x2F\xFD", 4, "unzstd" },
        { "\x04\x22\x4D\x18", 4, "unlz4" }, { "PK\3\4", 4, "zip archive; unpack it" }, { "PAR1", 4, "Parquet" }, { "ARROW1", 6, "Arrow" },
        { "\xFF\xD8\xFF", 3, "a picture; name the folder" }, { "\x89PNG", 4, "a picture" }, { "GIF89a", 6, "a picture" } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        temp_write("x.tar", kinds[i].bytes, kinds[i].n);
        refused("x.tar", VLM_EUNSUPPORTED, kinds[i].words);
    }
    sh("mkfifo fifo; mkdir folder");
    refused("fifo", VLM_EIO, "is not a regular file");
    refused("folder", VLM_EFORMAT, "holds no sample: pictures");
    assert_failure(vlm_dataset_open("-", NULL, &d), VLM_EIO, "-", "standard input can be read once only");
    /* cut short while in use: the machine's fault, not a sample's */
    put("c.jsonl", SAMPLE("x") "\n" SAMPLE("y") "\n");
    d = opened("c.jsonl");
    put("c.jsonl", SAMPLE("x") "\n");
    says(d, 0, "1 x|b|0");
    says(d, 1, "2 none ends at byte");
    uint64_t h;
    assert_failure(vlm_dataset_hash(d, &h), VLM_EFORMAT, "c.jsonl:2", "ends at byte");
    vlm_dataset_close(d);
}

/* ---- folders ----------------------------------------------------------------------------------------------------------- */
static void folders(void **state) {
    (void)state;
    sh("mkdir f; cd f; cp $G/exif6.jpg b.jpg; cp $G/exif6.png a.png; cp $G/lossy.webp c.WebP; cp $G/exif6.jpg 'IMG.1.jpg';"
       "cp $G/exif6.jpg 'IMG.2.jpg'; printf 'GIF89a' > g.gif; cp $G/exif6.jpg twin.jpg; cp $G/exif6.png twin.png; echo x > twin.txt;"
       "cp $G/exif6.jpg 't w\xC3\xA4.jpg'; printf ' two words\\r\\n' > 't w\xC3\xA4.txt'; echo one > IMG.1.txt; echo two > IMG.2.TXT;"
       "echo cat > a.txt; echo lost > z.txt; ln -s ../away.txt away.txt; cp b.jpg away.jpg; ln -s nowhere dead.txt; cp b.jpg dead.jpg;"
       "echo hidden > .h.txt; echo x > notes.md; mkdir sub sub.jpg; mkfifo pipe.txt; cp b.jpg pipe.jpg; echo read > ../away.txt;"
       "ln -s b.jpg link.jpg; printf '\\377' > latin.txt; cp b.jpg latin.jpg");
    put("f/b.json", "{\"texts\":[{\"user\":\"What?\",\"assistant\":\"A dog.\"}]}\n");
    put("f/c.json", "{\n\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"},{\"type\":\"text\",\"text\":\"q\"}]}]}");
    put("f/both.json", "{\"images\":[\"a.png\",\"b.jpg\"],\"texts\":[{\"user\":\"Both?\"}]}");
    put("f/alone.json", "{\"texts\":[{\"user\":\"hi\",\"assistant\":\"ho\"}]}");
    put("f/bad.json", "{\"width\":3}");
    put("f/meta.json", "{\"width\":3}");
    put("f/meta.txt", "a caption");
    sh("cp $G/exif6.jpg f/meta.jpg");
    vlm_dataset *d = opened("f");
    assert_non_null(strstr(warned, "1 of its files belong to no sample, as notes.md"));
    int64_t i = 0;
    says(d, i++, "IMG.1.txt |one|1 IMG.1.jpg");
    says(d, i++, "IMG.2.TXT |two|1 IMG.2.jpg");
    says(d, i, "a.txt |cat|1 a.png");
    assert_string_equal(image_code(d, i++), "none");
    says(d, i++, "alone.json hi|ho|0");
    says(d, i++, "away.txt |read|1 away.jpg");
    says(d, i, "b.json What?|A dog.|1 b.jpg");
    assert_string_equal(image_code(d, i++), "none");
    says(d, i++, "bad.json bad_json has neither texts nor messages");
    says(d, i, "both.json Both?|-|2 a.png b.jpg");
    assert_string_equal(image_code(d, i++), "none");
    says(d, i++, "c.json q|-|1 c.WebP");
    says(d, i++, "dead.txt bad_json cannot open");
    says(d, i, "g.gif |-|1 g.gif");    /* a picture nobody can read is a bad sample, not an unseen one */
    assert_string_equal(image_code(d, i++), "corrupt_image");
    says(d, i++, "latin.txt bad_json is not UTF-8");
    says(d, i++, "link.jpg |-|1 link.jpg");
    says(d, i++, "meta.json |a caption|1 meta.jpg");
    says(d, i++, "pipe.txt bad_json is not a regular file");
    says(d, i++, "t w\xC3\xA4.txt |two words|1");
    says(d, i++, "twin.txt bad_path 2 pictures have this name");
    says(d, i++, "z.txt missing_image is a text without an image of the same name");
    assert_int_equal(i, vlm_dataset_count(d));
    hash(d);
    vlm_dataset_close(d);
    sh("mkdir l; cp $G/exif6.jpg l/a.jpg; echo '{}' > l/metadata.jsonl");      /* the texts are in the lines: name them */
    refused("l", VLM_EFORMAT, "JSON Lines; name the file");
    sh("mkdir -p o/deep; cp $G/exif6.jpg o/deep");
    refused("o", VLM_EFORMAT, "were looked for, but not in its folders, as deep");
    sh("cp $G/exif6.jpg o");
    d = opened("o/");
    assert_string_equal(warned, "its 1 folder, as deep, is not looked into; name each as a data set");
    vlm_dataset_close(d);
}

/* ---- tar --------------------------------------------------------------------------------------------------------------- */
/* Appends a member with a ustar header. size: what the header says; data (n): what follows. */
static void member(FILE *f, const char *name, char type, int64_t size, const void *data, size_t n, const char *link) {
    unsigned char h[512] = { 0 }, zero[512] = { 0 };
    unsigned sum = 0;
    snprintf((char *)h, 100, "%s", name);
    memcpy(h + 100, "0000644", 8);
    memcpy(h + 108, "0000000\0000000000", 16);
    if (size < 0) {                    /* base 256, of all bits */
        memset(h + 124, 0xFF, 12);
        h[124] = size == -1 ? 0x80 : 0xFF;
    } else for (int i = 10; i >= 0; i--, size /= 8) h[124 + i] = (unsigned char)('0' + size % 8);
    memcpy(h + 136, "00000000000", 12);
    memset(h + 148, ' ', 8);
    h[156] = (unsigned char)type;
    if (link) snprintf((char *)h + 157, 100, "%s", link);
    memcpy(h + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++) sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    assert_int_equal(fwrite(h, 1, 512, f), 512);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fwrite(zero, 1, (512 - n % 512) % 512, f), (512 - n % 512) % 512);
}
static void text_member(FILE *f, const char *name, const char *text) {
    member(f, name, '0', (int64_t)strlen(text), text, strlen(text), NULL);
}
static void close_tar(FILE *f) {
    char zero[1024] = { 0 };
    assert_int_equal(fwrite(zero, 1, 1024, f), 1024);
    assert_int_equal(fclose(f), 0);
}
static void archives(void **state) {
    (void)state;
    unsigned char *jpg;
    size_t n;
    assert_ok(vlm_read("tests/golden/images/exif6.jpg", 1 << 20, &jpg, &n));
    FILE *f = fopen(temp("w.tar"), "wb");
    assert_non_null(f);
    member(f, "./", '5', 0, "", 0, NULL);
    member(f, "s/0002.jpg", '0', (int64_t)n, jpg, n, NULL);
    text_member(f, "s/0002.txt", "a cat\n");
    text_member(f, "s/0001.json", SAMPLE("q"));        /* its picture comes later, and not next to it */
    member(f, "s/0003.1.jpg", '0', (int64_t)n, jpg, n, NULL);
    member(f, "s/0003.0.JPG", '0', (int64_t)n, jpg, n, NULL);
    member(f, "s/0001.jpg", '0', (int64_t)n, jpg, n, NULL);
    text_member(f, "s/0003.json", "{\"images\":[\"0003.0.JPG\",\"s/0003.1.jpg\"],\"texts\":[{\"user\":\"q\"}]}");
    text_member(f, "s/0003.meta.json", "{}");
    text_member(f, "s/._0003.jpg", "mac");
    text_member(f, "README", "x");
    member(f, "../../etc/x.jpg", '0', (int64_t)n, jpg, n, NULL);       /* a name, and nothing is ever unpacked */
    text_member(f, "/abs.jpg", "junk");
    text_member(f, "lost.txt", "no picture");
    text_member(f, "none.jpg", "");
    text_member(f, "both.json", "{\"url\":\"http\"}");
    member(f, "both.jpg", '0', (int64_t)n, jpg, n, NULL);
    text_member(f, "both.txt", "caption");
    member(f, "lnk.jpg", '2', 0, "", 0, "/etc/passwd");
    text_member(f, "lnk.txt", "x");
    member(f, "hard.jpg", '1', 0, "", 0, "s/0002.jpg");
    text_member(f, "twice.jpg", "1");
    text_member(f, "twice.txt", "x");
    text_member(f, "twice.jpg", "2");
    text_member(f, "alone.json", SAMPLE("no picture"));
    text_member(f, "name.json", "{\"images\":[\"s/0002.jpg\"],\"texts\":[{\"user\":\"q\"}]}");  /* another sample's */
    close_tar(f);
    vlm_dataset *d = opened("w.tar");
    assert_non_null(strstr(warned, "3 of its files belong to no sample, as s/0003.meta.json"));
    int64_t i = 0;
    says(d, i, "s/0002.txt |a cat|1 s/0002.jpg");
    assert_string_equal(image_code(d, i++), "none");
    says(d, i, "s/0001.json q|b|1 s/0001.jpg");
    assert_string_equal(image_code(d, i++), "none");
    says(d, i++, "s/0003.json q|-|2 s/0003.0.JPG s/0003.1.jpg");
    says(d, i, "../../etc/x.jpg |-|1 ../../etc/x.jpg");
    assert_string_equal(image_code(d, i++), "none");
    assert_string_equal(image_code(d, i++), "corrupt_image");          /* /abs.jpg */
    says(d, i++, "lost.txt missing_image");
    assert_string_equal(image_code(d, i++), "corrupt_image");          /* none.jpg */
    says(d, i++, "both.json |caption|1 both.jpg");
    says(d, i++, "lnk.txt bad_path member lnk.jpg is a link");
    says(d, i++, "hard.jpg bad_path member hard.jpg is a link");
    says(d, i++, "twice.txt bad_path the archive has two members twice.jpg");
    says(d, i++, "alone.json no picture|b|0");
    says(d, i++, "name.json missing_image image s/0002.jpg is no member of this sample");
    assert_int_equal(i, vlm_dataset_count(d));
    uint64_t h = hash(d);
    vlm_dataset_close(d);
    /* as WebDataset's: a picture's bytes are the member's */
    struct vlm_sample s;
    unsigned char *got;
    size_t bytes;
    vlm_bad why;
    sh("cat w.tar w.tar > ww.tar; mv w.tar v.data");
    d = opened("v.data");              /* by its bytes, whatever its name */
    assert_true(hash(d) == h);
    assert_ok(vlm_dataset_read(d, 0, &s, &why));
    assert_ok(vlm_sample_image_bytes(&s, 0, NULL, &got, &bytes, &why));
    assert_int_equal(bytes, n);
    assert_memory_equal(got, jpg, n);
    free(got);
    vlm_sample_free(&s);
    vlm_dataset_close(d);
    d = opened("ww.tar");              /* joined archives: the second is not lost */
    assert_int_equal(vlm_dataset_count(d), i);
    says(d, 0, "s/0002.txt bad_path the archive has two members");
    vlm_dataset_close(d);
    free(jpg);
}
static void tar_kinds(void **state) {
    (void)state;
    vlm_dataset *d;
    sh("mkdir t; cp $G/exif6.jpg t/a.jpg; echo one > t/a.txt; L=$(printf 'n%.0s' $(seq 200)); cp t/a.jpg t/$L.jpg; echo two > t/$L.txt;"
       "cp t/a.jpg 't/\xC3\xA4\xE2\x82\xAC.jpg'; echo three > 't/\xC3\xA4\xE2\x82\xAC.txt'; D=$(printf 'd/%.0s' $(seq 120)); mkdir -p t/$D;"
       "cp t/a.jpg t/${D}x.jpg; echo four > t/${D}x.txt; cd t; LC_ALL=C; for k in gnu pax posix ustar oldgnu; do"
       " if [ $k = ustar ]; then tar --format=$k -cf ../$k.tar --exclude='nnn*' .; else tar --format=$k -cf ../$k.tar .; fi; done");
    static const char *const kinds[] = { "gnu.tar", "pax.tar", "posix.tar", "oldgnu.tar", "ustar.tar" };
    for (int k = 0; k < 5; k++) {
        d = opened(kinds[k]);
        assert_string_equal(warned, "");
        int want = k == 4 ? 3 : 4, found = 0;
        assert_int_equal(vlm_dataset_count(d), want);
        for (int64_t i = 0; i < want; i++) {
            const char *text = said(d, i);
            found += strstr(text, " |one|1 ./a.jpg") || strstr(text, " |two|1 ./nnn") || strstr(text, "x.txt |four|1 ./d/d/")
                     || strstr(text, "./\xC3\xA4\xE2\x82\xAC.txt |three|1 ./\xC3\xA4\xE2\x82\xAC.jpg");
            assert_string_equal(image_code(d, i), "none");
        }
        assert_int_equal(found, want);
        vlm_dataset_close(d);
    }
    sh("mkdir h; cp $G/exif6.jpg h/a.jpg; ln h/a.jpg h/b.jpg; truncate -s 3M h/s.jpg; tar -S -cf h.tar -C h a.jpg b.jpg s.jpg; rm h/*");
    d = opened("h.tar");
    assert_string_equal(image_code(d, 0), "none");
    says(d, 1, "b.jpg bad_path member b.jpg is a link, sparse, or no file; pack it anew with --dereference --hard-dereference");
    says(d, 2, "s.jpg bad_path member s.jpg is a link, sparse");
    vlm_dataset_close(d);
    sh("tar czf z.tar -C t .");
    refused("z.tar", VLM_EUNSUPPORTED, "is compressed (gzip); unpack it with gunzip");
}
static void hostile(void **state) {
    (void)state;
    put("empty.tar", "");
    refused("empty.tar", VLM_EFORMAT, "is empty");
    put("text.tar", SAMPLE("x"));
    refused("text.tar", VLM_EFORMAT, "");
    close_tar(fopen(temp("zero.tar"), "wb"));
    refused("zero.tar", VLM_EFORMAT, "holds no sample: members KEY.jpg");
    sh("mkdir t; cp $G/exif6.jpg t/a.jpg; echo x > t/a.txt; tar cf ok.tar -C t a.txt a.jpg;"
       "for n in 700 1300 1800; do head -c $n ok.tar > cut$n.tar; done;"
       "{ head -c 1024 ok.tar; yes | head -c 512; tail -c +1537 ok.tar; } > bits.tar");
    refused("cut700.tar", VLM_EFORMAT, "is damaged or cut short, in or after its member 1");
    refused("cut1300.tar", VLM_EFORMAT, "is damaged or cut short");
    refused("cut1800.tar", VLM_EFORMAT, "is damaged or cut short");
    refused("bits.tar", VLM_EFORMAT, "is damaged or cut short, in or after its member 1");
    static const int64_t sizes[] = { 077777777777, 1 << 20, -1, -2 };
    for (int i = 0; i < 4; i++) {      /* sizes beyond the file, of all bits, negative */
        FILE *f = fopen(temp("size.tar"), "wb");
        text_member(f, "a.txt", "x");
        member(f, "a.jpg", '0', sizes[i], "xx", 2, NULL);
        close_tar(f);
        refused("size.tar", VLM_EFORMAT, "damaged");
    }
    FILE *f = fopen(temp("huge.tar"), "wb");           /* a text over its limit, in a file with a hole */
    member(f, "a.json", '0', (int64_t)VLM_LINE_LIMIT + 512, "", 0, NULL);
    assert_int_equal(fseek(f, (long)VLM_LINE_LIMIT + 512, SEEK_CUR), 0);
    text_member(f, "b.json", SAMPLE("x"));
    close_tar(f);
    vlm_dataset *d = opened("huge.tar");
    says(d, 0, "a.json too_large has more than 67108864 bytes");
    says(d, 1, "b.json x|b|0");
    vlm_dataset_close(d);
    f = fopen(temp("name.tar"), "wb");                 /* GNU's long name */
    char name[5001];
    memset(name, 'x', 5000);
    memcpy(name + 4996, ".jpg", 5);
    member(f, "././@LongLink", 'L', 5001, name, 5001, NULL);
    text_member(f, "x", "x");
    close_tar(f);
    refused("name.tar", VLM_ELIMIT, "holds a name of 5000 bytes, over the limit of 4095");
    f = fopen(temp("group.tar"), "wb");                /* more pictures than a sample may have */
    for (int i = 0; i < 9; i++) {
        char member_name[32];
        snprintf(member_name, sizeof member_name, "a.%d.jpg", i);
        text_member(f, member_name, "x");
    }
    text_member(f, "b.jpg", "x");
    close_tar(f);
    d = opened("group.tar");
    says(d, 0, "a.0.jpg too_large has more than 8 images; raise the limit with --max-images");
    says(d, 1, "b.jpg |-|1");
    vlm_dataset_close(d);
    sh("cp ok.tar now.tar");                           /* cut short while in use */
    d = opened("now.tar");
    sh("truncate -s 1024 now.tar");
    struct vlm_sample s;
    vlm_image_info info;
    unsigned char *data;
    size_t n;
    vlm_bad why;
    assert_ok(vlm_dataset_read(d, 0, &s, &why));
    assert_failure(vlm_sample_image_probe(&s, 0, NULL, &info, &why), VLM_EIO, "now.tar:a.txt", "cut short while it was in use");
    assert_int_equal(why, VLM_BAD_NONE);
    assert_failure(vlm_sample_image_bytes(&s, 0, NULL, &data, &n, &why), VLM_EIO, "now.tar:a.txt", "cut short while it was in use");
    vlm_sample_free(&s);
    vlm_dataset_close(d);
}
static void shards(void **state) {
    (void)state;
    sh("mkdir t s; cp $G/exif6.jpg t/a.jpg; echo x > t/a.txt; tar cf s/1.tar -C t a.txt a.jpg; echo y > t/a.txt;"
       "tar cf s/0.tar -C t a.jpg a.txt; echo n > s/notes");
    vlm_dataset *d = opened("s");
    assert_int_equal(vlm_dataset_count(d), 2);
    says(d, 0, "0.tar:a.txt |y|1 a.jpg");              /* one key in two shards: two samples */
    says(d, 1, "1.tar:a.txt |x|1 a.jpg");
    assert_string_equal(image_code(d, 1), "none");
    hash(d);
    vlm_dataset_close(d);
    sh("gzip -c s/0.tar > s/2.tar");
    refused("s/", VLM_EUNSUPPORTED, "gunzip");
    sh("head -c 700 s/0.tar > s/2.tar");
    refused("s/", VLM_EFORMAT, "cut short");
    assert_non_null(strstr(vlm_error_where(), "s/2.tar"));
}

/* ---- threads ----------------------------------------------------------------------------------------------------------- */
typedef struct job { const vlm_dataset *d; int seed, wrong; } job;
static void *reading(void *arg) {
    job *j = arg;
    unsigned r = (unsigned)j->seed;
    for (int k = 0; k < 3000; k++) {
        int64_t i = (r = r * 1664525u + 1013904223u) % (uint64_t)vlm_dataset_count(j->d);
        struct vlm_sample s;
        vlm_bad why;
        char want[32];
        vlm_status status = vlm_dataset_read(j->d, i, &s, &why);
        if (i % 10 == 9) { j->wrong += !status || why != VLM_BAD_JSON; continue; }
        snprintf(want, sizeof want, "q%lld", (long long)i);
        j->wrong += status || strcmp(s.turn[0].user, want);
        if (!status) vlm_sample_free(&s);
    }
    return NULL;
}
static void threads(void **state) {
    (void)state;
    FILE *f = fopen(temp("d.jsonl"), "wb"), *g = fopen(temp("d.tar"), "wb");
    for (int i = 0; i < 500; i++) {
        char text[100], name[20];
        snprintf(text, sizeof text, i % 10 == 9 ? "{%d" : "{\"texts\":[{\"user\":\"q%d\"}]}", i);
        snprintf(name, sizeof name, "%03d.json", i);
        fprintf(f, "%s\n", text);
        text_member(g, name, text);
    }
    fclose(f);
    close_tar(g);
    static const char *const names[] = { "d.jsonl", "d.tar" };
    for (int k = 0; k < 2; k++) {
        vlm_dataset *d = opened(names[k]);
        pthread_t t[4];
        job jobs[4];
        for (int i = 0; i < 4; i++) {
            jobs[i] = (job){ d, i, 0 };
            assert_int_equal(pthread_create(&t[i], NULL, reading, &jobs[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(t[i], NULL);
            assert_int_equal(jobs[i].wrong, 0);
        }
        vlm_dataset_close(d);
    }
}

#define IN_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_open, temp_close)
int main(void) {
    const struct CMUnitTest tests[] = { IN_TEMP(lines), IN_TEMP(hashes), IN_TEMP(many), IN_TEMP(long_lines), IN_TEMP(no_data_set),
                                        IN_TEMP(folders), IN_TEMP(archives), IN_TEMP(tar_kinds), IN_TEMP(hostile), IN_TEMP(shards),
                                        IN_TEMP(threads) };
    vlm_log_set(on_warning, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

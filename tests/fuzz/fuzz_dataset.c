/* Covers: src/data/sample.c src/data/sample_image.c src/data/dataset.c src/data/dataset_members.c src/data/dataset_tar.c
   src/data/dataset_folder.c. The first byte says what the rest is: 'D' NAME NUL TEXT NUL ... a folder's files, 'S' two shards, one half
   each, 'T' a tar, else JSON Lines; in small letters: for training. A data set opens or fails; each sample is read or refused with a
   code; what is read keeps sample.h's promises. */
#include "fuzz.h"
#include "data/dataset.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[512];
static const unsigned char png[] =             /* one black pixel */
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\2\0\0\0\x90wS\xde\0\0\0\fIDATx\x9c" "c```\0\0\0\4\0\1\xf6\x17" "8U"
    "\0\0\0\0IEND\xae" "B`\x82";

static void put(const char *name, const void *data, size_t n) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    fuzz_file(path, data, n);
}
static void empty(void) {
    DIR *d = opendir(dir);
    struct dirent *e;
    char path[1024];
    PROMISE(d);
    while ((e = readdir(d))) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (*e->d_name != '.') PROMISE(!remove(path));
    }
    closedir(d);
}
/* NAME NUL TEXT NUL ...: names of up to 31 letters that are safe to make. */
static void files(const char *p, const char *end) {
    for (int k = 0; k < 16 && p < end; k++) {
        char name[32];
        size_t n = 0;
        for (; p < end && *p && n < sizeof name - 1; p++, n++) name[n] = strchr("/\n", *p) || (!n && *p == '.') ? '_' : *p;
        name[n] = 0;
        const char *text = p < end ? ++p : p, *stop = memchr(text, 0, (size_t)(end - text));
        if (!stop) stop = end;
        if (n) put(name, text, (size_t)(stop - text));
        p = stop < end ? stop + 1 : end;
    }
}
static void check_images(const struct vlm_sample *s) {
    static const vlm_image_limits small = { 1 << 12, 1 << 8, 1 << 16, NULL };
    for (int64_t i = 0; i < s->images && i < 4; i++) {
        const vlm_sample_image *m = &s->image[i];
        vlm_bad why = VLM_BAD_JSON, probed = VLM_BAD_JSON;
        vlm_image_info info;
        vlm_bitmap b = { 0 };
        int64_t bytes;
        PROMISE(*m->path || m->file);
        if (m->file) PROMISE(!strncmp(m->file, dir, strlen(dir)) && m->file[strlen(dir)] == '/' && !strstr(m->file, "/../"));
        else PROMISE(m->fd >= 0 && m->at >= 0 && m->bytes >= 0);
        vlm_status p = vlm_sample_image_probe(s, i, &small, &info, &probed), l = vlm_sample_image_load(s, i, &small, &b, &why);
        if (p) fuzz_failed(p);
        if (l) PROMISE(*vlm_error_message());
        PROMISE(!p == !probed && !l == !why && (!p || l));     /* what cannot be probed cannot be loaded */
        if (!p && !l) PROMISE(info.w == b.w && info.h == b.h);
        if (!vlm_sample_image_size(s, i, &bytes, &why)) PROMISE(bytes >= 0 && !why);
        vlm_bitmap_close(&b);
    }
}
static void check_sample(const struct vlm_sample *s, const char *row, const vlm_dataset_options *o) {
    int64_t images = 0;
    PROMISE(s->turns > 0 && s->images <= o->max_images && !strcmp(s->row, row) && *s->where && *s->file);
    for (int64_t t = 0; t < s->turns; t++) {
        PROMISE(s->turn[t].user && s->turn[t].images >= 0 && (s->turn[t].assistant || t + 1 == s->turns));
        images += s->turn[t].images;
    }
    PROMISE(images == s->images && (!o->need_assistant || s->turn[0].assistant));
    for (int64_t i = 0; i < s->answers; i++) PROMISE(s->answer[i]);
    for (int64_t i = 0; i < s->choices; i++) PROMISE(s->choice[i]);
    check_images(s);
}
static void check(const char *path, bool need_assistant) {
    vlm_dataset_options o = VLM_DATASET_OPTIONS;
    vlm_dataset *d = NULL;
    uint64_t one = 1, two = 2;
    o.data_root = dir;
    o.need_assistant = need_assistant;
    vlm_status status = vlm_dataset_open(path, &o, &d);
    if (status) { fuzz_failed(status); PROMISE(!d); return; }
    int64_t n = vlm_dataset_count(d);
    PROMISE(n > 0 && !strcmp(vlm_dataset_path(d), path));
    for (int64_t i = 0; i < n && i < 32; i++) {
        char row[VLM_ROW_BYTES];
        const char *file;
        struct vlm_sample s;
        vlm_bad why = VLM_BAD_TOO_LONG;
        vlm_dataset_name(d, i, &file, row);
        PROMISE(*row && file == vlm_dataset_path(d));
        if ((status = vlm_dataset_read(d, i, &s, &why))) {
            fuzz_failed(status);
            PROMISE(why && why != VLM_BAD_TOO_LONG && why != VLM_BAD_CORRUPT_IMAGE);   /* nothing is wrong with this machine */
            continue;
        }
        PROMISE(!why);
        check_sample(&s, row, &o);
        vlm_sample_free(&s);
    }
    PROMISE(!vlm_dataset_hash(d, &one) && !vlm_dataset_hash(d, &two) && one == two);
    vlm_dataset_close(d);
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[1024];
    if (!*dir) mkdir(fuzz_path(dir, "set"), 0777);
    if (!size) return 0;
    const char *rest = (const char *)data + 1, *end = rest + size - 1;
    int kind = *data & ~32;
    snprintf(path, sizeof path, "%s/%s", dir, kind == 'T' ? "x.tar" : "x.jsonl");
    put("a.png", png, sizeof png - 1);
    if (kind == 'D') files(rest, end);
    else if (kind == 'S') {
        size_t half = (size_t)(end - rest) / 1024 * 512;
        unlink(strcat(strcpy(path, dir), "/a.png"));
        put("1.tar", rest, half);
        put("2.tar", rest + half, (size_t)(end - rest) - half);
    } else fuzz_file(path, rest, (size_t)(end - rest));
    check(kind == 'D' || kind == 'S' ? dir : path, *data & 32);
    empty();
    return 0;
}

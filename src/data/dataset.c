#include "data/dataset_impl.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ------------------------------------------------------------------------------------------------------- */
static vlm_status open_file(const char *path, int *fd) {
    struct stat st;
    do *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0) return vlm_fail_errno(path, "open");
    if (!fstat(*fd, &st) && S_ISREG(st.st_mode)) return VLM_OK;
    close(*fd);
    *fd = -1;
    return vlm_fail(VLM_EIO, path, "is not a regular file; name a file or a folder");
}
/* Other things that people keep data in. */
static const char *foreign(const char *head, size_t n) {
    static const struct { const char *magic; size_t bytes; const char *what; } kinds[] = {
        { "\x1F\x8B", 2, "compressed (gzip); unpack it with gunzip" }, { "BZh", 3, "compressed (bzip2); unpack it with bunzip2" },
        { "\xFD" "7zXZ", 5, "compressed (xz); unpack it with unxz" }, { "\x28\xB5\x2F\xFD", 4, "compressed (zstd); unpack it with unzstd" },
        { "\x04\x22\x4D\x18", 4, "compressed (lz4); unpack it with unlz4" },
        { "PK\3\4", 4, "a zip archive; unpack it and name the folder" },
        { "PAR1", 4, "Parquet; write its rows as JSON Lines or pack them into a tar" },
        { "ARROW1", 6, "Arrow; write its rows as JSON Lines or pack them into a tar" },
        { "\xFF\xD8\xFF", 3, "a picture; name the folder it lies in" }, { "\x89PNG", 4, "a picture; name the folder it lies in" },
        { "GIF8", 4, "a picture; name the folder it lies in" } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].bytes && !memcmp(head, kinds[i].magic, kinds[i].bytes)) return kinds[i].what;
    size_t at = n >= 3 && !memcmp(head, "\xEF\xBB\xBF", 3) ? 3 : 0;
    while (at < n && strchr(" \t\r\n", head[at]) && head[at]) at++;
    if (at < n && head[at] == '[') return "one JSON array; write its elements a line each: jq -c '.[]' FILE > FILE.jsonl";
    return NULL;
}
/* How a file begins; its kind, if it is one that is not read, is refused. */
static vlm_status check_head(int fd, const char *path, char head[512], size_t *n) {
    ssize_t got;
    do got = pread(fd, head, 512, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return vlm_fail_errno(path, "read");
    const char *what = foreign(head, (size_t)got);
    if (what) return vlm_fail(VLM_EUNSUPPORTED, path, "is %s", what);
    *n = (size_t)got;
    return VLM_OK;
}
static bool is_tar(const char *path, const char *head, size_t n) {
    size_t m = strlen(path);
    return (n >= 262 && !memcmp(head + 257, "ustar", 5) && *head != '{') || (m > 4 && !strcasecmp(path + m - 4, ".tar"));
}

/* ---- JSON Lines ----------------------------------------------------------------------------------------------------- */
static vlm_status add_line(vlm_dataset *d, vlm_line line) {
    if (d->lines >= VLM_DATASET_SAMPLES) return vlm_fail(VLM_ELIMIT, d->path, "has more than %d samples; split it", VLM_DATASET_SAMPLES);
    TRY(vlm_dataset_room(d->path, &d->line, &d->line_room, (size_t)d->lines + 1, sizeof *d->line));
    d->line[d->lines++] = line;
    return VLM_OK;
}
static vlm_status scan_lines(vlm_dataset *d, char *piece, size_t room) {
    int64_t at = 0, begin = 0, number = 1;             /* of the piece, of the line */
    bool blank = true;
    for (;;) {
        ssize_t got;
        do got = pread(d->fd, piece, room, at);
        while (got < 0 && errno == EINTR);
        if (got < 0) return vlm_fail_errno(d->path, "read");
        const char *p = piece, *end = piece + got, *stop;
        for (; p < end || !got; p = stop + 1) {
            stop = got ? memchr(p, '\n', (size_t)(end - p)) : p;
            blank = blank && vlm_line_blank(p, (size_t)((stop ? stop : end) - p));
            if (!stop) break;
            int64_t bytes = at + (stop - piece) - begin;
            if (!blank) TRY(add_line(d, (vlm_line){ begin, bytes > VLM_LINE_LIMIT ? UINT32_MAX : (uint32_t)bytes, (uint32_t)number }));
            if (!got) return VLM_OK;                   /* the last line, with or without an end */
            if (++number > UINT32_MAX) return vlm_fail(VLM_ELIMIT, d->path, "has more than 2^32 lines; split it");
            begin = at + (stop - piece) + 1;
            blank = true;
        }
        at += got;
    }
}
static vlm_status index_lines(vlm_dataset *d) {
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE);
    if (!piece) return vlm_fail_memory(d->path, PIECE);
    vlm_status status = scan_lines(d, piece, PIECE);
    free(piece);
    if (!status && !d->lines)
        status = vlm_fail(VLM_EFORMAT, d->path, "holds no sample: JSON Lines, one sample a line, were looked for; name another");
    return status;
}

/* ---- tar ------------------------------------------------------------------------------------------------------------ */
static vlm_status add_shard(vlm_dataset *d, int fd, const char *name) {
    vlm_shard *s = realloc(d->shard, (size_t)(d->shards + 1) * sizeof *s);
    char *copy = name ? strdup(name) : NULL;
    if (s) d->shard = s;
    if (!s || (name && !copy)) {
        free(copy);
        close(fd);
        return vlm_fail_memory(d->path, sizeof *s);
    }
    s[d->shards++] = (vlm_shard){ copy, fd };
    return VLM_OK;
}
vlm_status vlm_shard_open(vlm_dataset *d, const char *path, const char *name) {
    enum { SHARDS = 512 };                             /* each stays open; a process may have 1,024 as a rule */
    char head[512];
    size_t n = 0;
    int fd;
    if (d->shards >= SHARDS) return vlm_fail(VLM_ELIMIT, d->path, "holds more than %d shards; put them into several folders", SHARDS);
    TRY(open_file(path, &fd));
    TRY(add_shard(d, fd, name));
    TRY(check_head(fd, path, head, &n));
    return vlm_tar_index(d, path, d->shards - 1);
}
static vlm_status index_tar(vlm_dataset *d) {
    TRY(vlm_tar_index(d, d->path, 0));
    TRY(vlm_members_group(d));
    return d->groups ? VLM_OK : vlm_fail(VLM_EFORMAT, d->path, "holds no sample: members KEY.jpg, .png or .webp with KEY.json or KEY.txt "
                                         "were looked for; name another");
}

static vlm_status open_any(vlm_dataset *d) {
    char head[512];
    size_t n = 0;
    int fd;
    if (!strcmp(d->path, "-")) return vlm_fail(VLM_EIO, d->path, "standard input can be read once only; name a file");
    if ((d->folder = vlm_is_dir(d->path))) return vlm_folder_index(d);
    TRY(open_file(d->path, &fd));
    vlm_status status = check_head(fd, d->path, head, &n);
    if (status) { close(fd); return status; }
    if (is_tar(d->path, head, n)) {
        TRY(add_shard(d, fd, NULL));
        return index_tar(d);
    }
    d->fd = fd;
    return index_lines(d);
}
static vlm_status set_up(vlm_dataset *d, const char *path, const vlm_dataset_options *o) {
    const char *slash = strrchr(path, '/');
    d->o = o ? *o : VLM_DATASET_OPTIONS;
    d->fd = -1;
    if (!(d->path = strdup(path))) return vlm_fail_memory(path, strlen(path));
    d->root = d->o.data_root ? strdup(d->o.data_root) : vlm_is_dir(path) ? strdup(path)
            : slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
    if (!d->root) return vlm_fail_memory(path, strlen(path));
    if (d->o.data_root) d->o.data_root = d->root;
    if (d->o.data_root && !vlm_is_dir(d->root)) return vlm_fail(VLM_EIO, d->root, "is no folder; name the one that holds the images");
    TRY(open_any(d));
    if (d->others) vlm_warn(path, "%lld of its files belong to no sample, as %s; they are left out", (long long)d->others, d->other);
    return VLM_OK;
}
vlm_status vlm_dataset_open(const char *path, const vlm_dataset_options *o, vlm_dataset **out) {
    vlm_dataset *d = calloc(1, sizeof *d);
    if (!d) return vlm_fail_memory(path, sizeof *d);
    vlm_status status = set_up(d, path, o);
    if (status) vlm_dataset_close(d);
    else *out = d;
    return status;
}
void vlm_dataset_close(vlm_dataset *d) {
    if (!d) return;
    if (d->fd >= 0) close(d->fd);
    for (int64_t i = 0; i < d->shards; i++) {
        close(d->shard[i].fd);
        free(d->shard[i].name);
    }
    free(d->shard);
    free(d->line);
    free(d->member);
    free(d->names);
    free(d->group);
    free(d->root);
    free(d->path);
    free(d);
}
int64_t vlm_dataset_count(const vlm_dataset *d) { return d->lines ? d->lines : d->groups; }
const char *vlm_dataset_path(const vlm_dataset *d) { return d->path; }

/* ---- reading -------------------------------------------------------------------------------------------------------- */
/* A group's text and images: what stands for what. */
typedef struct parts { const vlm_member *json, *text, *first, *fault; int64_t images; } parts;
static parts parts_of(const vlm_dataset *d, int64_t i) {
    const vlm_group *g = &d->group[i];
    parts p = { .first = &d->member[g->first] };
    for (uint32_t k = 0; k < g->n; k++) {
        const vlm_member *m = &d->member[g->first + k];
        if (m->odd || m->twice) p.fault = p.fault ? p.fault : m;
        if (m->kind == VLM_MEMBER_JSON) p.json = m;
        else if (m->kind == VLM_MEMBER_TEXT) p.text = m;
        else p.images++;
    }
    return p;
}
void vlm_dataset_name(const vlm_dataset *d, int64_t i, const char **file, char *row) {
    *file = d->path;
    if (d->lines) { snprintf(row, VLM_ROW_BYTES, "%u", d->line[i].number); return; }
    parts p = parts_of(d, i);
    const vlm_member *m = p.json ? p.json : p.text ? p.text : p.first;
    const char *shard = d->shards ? d->shard[m->shard].name : NULL;
    snprintf(row, VLM_ROW_BYTES, "%s%s%s", shard ? shard : "", shard ? ":" : "", m->name.s);
}
static vlm_status done(vlm_bad *why, vlm_status status, vlm_bad bad) {
    if (why) *why = bad;
    return status;
}

/* The texts of a sample as they lie there: a line; or a .json, a .txt, both, none. */
typedef struct texts { char *json, *text; size_t json_bytes, text_bytes; } texts;
static vlm_status read_range(int fd, const char *where, int64_t at, int64_t bytes, char **out, vlm_bad *why) {
    char *p = malloc((size_t)bytes + 1);
    vlm_status status = p ? vlm_read_at(fd, where, p, (size_t)bytes, at) : vlm_fail_memory(where, (size_t)bytes);
    if (status) { free(p); return done(why, status, VLM_BAD_NONE); }   /* cut short while in use: no sample of it can be trusted */
    p[bytes] = 0;
    *out = p;
    return done(why, VLM_OK, VLM_BAD_NONE);
}
static vlm_status read_text(const vlm_dataset *d, const vlm_member *m, const char *where, char **out, size_t *n, vlm_bad *why) {
    if (d->shards) {
        if (m->bytes > VLM_LINE_LIMIT)
            return done(why, vlm_fail(VLM_ELIMIT, where, "has more than %d bytes; is it a sample's text?", VLM_LINE_LIMIT),
                        VLM_BAD_TOO_LARGE);
        TRY(read_range(d->shard[m->shard].fd, where, m->at, m->bytes, out, why));
        *n = (size_t)m->bytes;
        return VLM_OK;
    }
    struct stat st;
    unsigned char *data;
    char *path = vlm_join(d->path, m->name.s);
    vlm_status status;
    vlm_bad bad = VLM_BAD_NONE;
    if (!path) status = vlm_fail_memory(where, strlen(where));
    else if (access(path, R_OK) || stat(path, &st)) status = vlm_fail_errno(where, "open"), bad = VLM_BAD_JSON;
    else if (!S_ISREG(st.st_mode)) status = vlm_fail(VLM_EIO, where, "is not a regular file; name a text"), bad = VLM_BAD_JSON;
    else {
        status = vlm_read(path, VLM_LINE_LIMIT, &data, n);
        if (!status) *out = (char *)data;
        else if (status == VLM_ELIMIT) bad = VLM_BAD_TOO_LARGE;
    }
    free(path);
    return done(why, status, bad);
}
static vlm_status read_texts(const vlm_dataset *d, int64_t i, const char *where, texts *out, vlm_bad *why) {
    texts t = { 0 };
    vlm_status status = VLM_OK;
    if (d->lines) {
        const vlm_line *l = &d->line[i];
        if (l->bytes == UINT32_MAX)
            return done(why, vlm_fail(VLM_ELIMIT, where, "has more than %d bytes; is it JSON Lines?", VLM_LINE_LIMIT), VLM_BAD_TOO_LARGE);
        TRY(read_range(d->fd, where, l->at, l->bytes, &t.json, why));
        t.json_bytes = l->bytes;
    } else {
        parts p = parts_of(d, i);
        if (p.fault && p.fault->twice)
            return done(why, vlm_fail(VLM_EFORMAT, where, "the archive has two members %s; pack it anew", p.fault->name.s), VLM_BAD_PATH);
        if (p.fault)
            return done(why, vlm_fail(VLM_EFORMAT, where, "member %s is a link, sparse, or no file; pack it anew with --dereference "
                                      "--hard-dereference", p.fault->name.s), VLM_BAD_PATH);
        if (p.json) status = read_text(d, p.json, where, &t.json, &t.json_bytes, why);
        if (!status && p.text) status = read_text(d, p.text, where, &t.text, &t.text_bytes, why);
    }
    if (status) { free(t.json); free(t.text); return status; }
    *out = t;
    return VLM_OK;
}

/* The images of a group, as its reader wants them; their paths are to be freed if they are files. */
static vlm_status members_of(const vlm_dataset *d, int64_t i, int64_t n, vlm_sample_image **out) {
    const vlm_group *g = &d->group[i];
    vlm_sample_image *list = calloc((size_t)n + 1, sizeof *list);
    if (!list) return vlm_fail_memory(d->path, (size_t)n * sizeof *list);
    *out = list;
    for (uint32_t k = 0; k < g->n; k++) {
        const vlm_member *m = &d->member[g->first + k];
        if (m->kind != VLM_MEMBER_IMAGE) continue;
        *list = (vlm_sample_image){ .path = (char *)(uintptr_t)m->name.s, .fd = -1 };
        if (d->shards) list->fd = d->shard[m->shard].fd, list->at = m->at, list->bytes = m->bytes;
        else if (!(list->file = vlm_join(d->path, m->name.s))) return vlm_fail_memory(d->path, strlen(m->name.s));
        list++;
    }
    return VLM_OK;
}
static vlm_status make_sample(const vlm_dataset *d, int64_t i, const texts *t, vlm_sample_source *from, struct vlm_sample *out,
                              vlm_bad *why) {
    json_t *j = NULL;
    vlm_sample_image *images = NULL;
    vlm_status status = VLM_OK;
    parts p = d->lines ? (parts){ 0 } : parts_of(d, i);
    if (why) *why = VLM_BAD_NONE;
    if (t->json) TRY_DONE(vlm_sample_json(t->json, t->json_bytes, from->where, &j, why));
    /* a .json beside a .txt may be what somebody knows of the picture, and no conversation */
    bool caption = !j || (t->text && !json_object_get(j, "texts") && !json_object_get(j, "messages"));
    if (p.images > from->max_images && (caption || d->shards)) {
        status = done(why, vlm_fail(VLM_ELIMIT, from->where, "has more than %lld images; raise the limit with --max-images",
                                    (long long)from->max_images), VLM_BAD_TOO_LARGE);
        goto done;
    }
    if (p.images > 1 && caption && !d->shards) {
        status = done(why, vlm_fail(VLM_EFORMAT, from->where, "%lld pictures have this name; rename them, or name them in a .json",
                                    (long long)p.images), VLM_BAD_PATH);
        goto done;
    }
    if (p.images) TRY_DONE(members_of(d, i, p.images, &images));
    from->members = (vlm_sample_members){ images, p.images };
    status = caption ? vlm_sample_caption(t->text ? t->text : "", t->text_bytes, from, out, why) : vlm_sample_read(j, from, out, why);
done:
    for (int64_t k = 0; images && k < p.images; k++) free(images[k].file);
    free(images);
    json_decref(j);
    return status;
}
/* Where a sample stands, for messages, and who reads it. */
typedef struct place { char row[VLM_ROW_BYTES]; char *where; vlm_sample_source from; } place;
static vlm_status place_of(const vlm_dataset *d, int64_t i, place *p) {
    const char *file;
    vlm_dataset_name(d, i, &file, p->row);
    size_t n = strlen(file) + strlen(p->row) + 2;
    p->where = d->folder ? vlm_join(file, p->row) : malloc(n);
    if (!p->where) return vlm_fail_memory(file, n);
    if (!d->folder) snprintf(p->where, n, "%s:%s", file, p->row);
    p->from = (vlm_sample_source){ .file = file, .row = p->row, .where = p->where, .root = d->root, .root_named = d->o.data_root,
                                   .archive = d->shards > 0, .max_images = d->o.max_images, .rating_min = d->o.rating_min,
                                   .need_assistant = d->o.need_assistant };
    return VLM_OK;
}
vlm_status vlm_dataset_read(const vlm_dataset *d, int64_t i, struct vlm_sample *out, vlm_bad *why) {
    place p;
    texts t = { 0 };
    if (why) *why = VLM_BAD_NONE;
    TRY(place_of(d, i, &p));
    vlm_status status = read_texts(d, i, p.where, &t, why);
    if (!status) status = make_sample(d, i, &t, &p.from, out, why);
    free(t.json);
    free(t.text);
    free(p.where);
    return status;
}

/* ---- the hash ------------------------------------------------------------------------------------------------------- */
static uint64_t hash_text(uint64_t h, const char *text, size_t n) { return vlm_hash(vlm_hash_int(h, (int64_t)n), text, n); }
static vlm_status hash_images(const struct vlm_sample *s, uint64_t *h) {
    for (int64_t k = 0; k < s->images; k++) {
        int64_t bytes = -1;                    /* it is not there, and that is part of the content, too */
        vlm_bad why;
        vlm_status status = vlm_sample_image_size(s, k, &bytes, &why);
        if (status && !why) return status;
        *h = vlm_hash_int(hash_text(*h, s->image[k].path, strlen(s->image[k].path)), bytes);
    }
    return VLM_OK;
}
static vlm_status hash_sample(const vlm_dataset *d, int64_t i, uint64_t *h) {
    place p;
    texts t = { 0 };
    struct vlm_sample s = { 0 };
    vlm_bad why;
    TRY(place_of(d, i, &p));
    if (!d->lines) *h = hash_text(*h, p.row, strlen(p.row));
    vlm_status status = read_texts(d, i, p.where, &t, &why);
    if (!status) {
        *h = hash_text(hash_text(*h, t.json, t.json_bytes), t.text, t.text_bytes);
        status = make_sample(d, i, &t, &p.from, &s, &why);
        if (!status) { why = VLM_BAD_NONE; status = hash_images(&s, h); }
    }
    vlm_sample_free(&s);
    free(t.json);
    free(t.text);
    free(p.where);
    return status && !why ? status : VLM_OK;   /* a bad sample has its text */
}
vlm_status vlm_dataset_hash(const vlm_dataset *d, uint64_t *out) {
    int64_t n = vlm_dataset_count(d);
    uint64_t h = vlm_hash_int(VLM_HASH, n);
    for (int64_t i = 0; i < n; i++) {
        if (i && i % 4096 == 0) TRY(vlm_progress("samples", i, n));
        TRY(hash_sample(d, i, &h));
    }
    *out = h;
    return VLM_OK;
}

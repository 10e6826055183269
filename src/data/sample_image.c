/* The images of a sample: found, asked for their size, read. What goes wrong is told apart here: the sample's fault or the machine's. */
#include "base/file.h"
#include "data/sample.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct place { int fd; bool own; int64_t at, bytes; } place;

/* The failure that is recorded, told of image i of the sample. */
static vlm_status fail(const struct vlm_sample *s, int64_t i, vlm_status status, vlm_bad bad, vlm_bad *why) {
    if (why) *why = bad;
    return vlm_fail(status, s->where, "image %s: %s", s->image[i].path, vlm_error_message());
}
static vlm_status fail_errno(const struct vlm_sample *s, int64_t i, const char *doing, vlm_bad *why) {
    int e = errno;
    bool lost = e == ENOENT || e == ENOTDIR || e == EACCES || e == EPERM, path = e == ELOOP || e == ENAMETOOLONG, kind = e == ENXIO;
    vlm_bad bad = lost ? VLM_BAD_MISSING_IMAGE : path ? VLM_BAD_PATH : kind ? VLM_BAD_CORRUPT_IMAGE : VLM_BAD_NONE;
    return fail(s, i, vlm_fail_errno(s->where, doing), bad, why);
}
/* What a decoder says of the bytes. */
static vlm_status fail_bytes(const struct vlm_sample *s, int64_t i, vlm_status status, vlm_bad *why) {
    bool corrupt = status == VLM_EFORMAT || status == VLM_EUNSUPPORTED;
    return fail(s, i, status, corrupt ? VLM_BAD_CORRUPT_IMAGE : status == VLM_ELIMIT ? VLM_BAD_TOO_LARGE : VLM_BAD_NONE, why);
}
static vlm_status no_file(const struct vlm_sample *s, int64_t i, vlm_bad *why) {
    return fail(s, i, vlm_fail(VLM_EIO, s->where, "is not a regular file; name a picture"), VLM_BAD_CORRUPT_IMAGE, why);
}

static void image_close(place *p) { if (p->own) close(p->fd); }
static vlm_status image_open(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, place *out, vlm_bad *why) {
    const vlm_sample_image *m = &s->image[i];
    vlm_image_limits l = limits ? *limits : VLM_IMAGE_LIMITS;
    place p = { m->fd, false, m->at, m->bytes };
    vlm_status status = VLM_OK;
    struct stat st;
    if (!m->file && fstat(p.fd, &st)) return fail_errno(s, i, "read", why);
    if (!m->file && st.st_size < p.at + p.bytes)
        return fail(s, i, vlm_fail(VLM_EIO, s->where, "the archive was cut short while it was in use; leave it alone"), VLM_BAD_NONE, why);
    if (m->file) {
        do p.fd = open(m->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);     /* a FIFO must not hang us */
        while (p.fd < 0 && errno == EINTR);
        if (p.fd < 0) return fail_errno(s, i, "open", why);
        p = (place){ .fd = p.fd, .own = true };
        if (fstat(p.fd, &st)) status = fail_errno(s, i, "read", why);
        else if (!S_ISREG(st.st_mode)) status = no_file(s, i, why);
        else p.bytes = st.st_size;
    }
    if (!status && !p.bytes) status = fail_bytes(s, i, vlm_fail(VLM_EFORMAT, s->where, "is empty; get the file again"), why);
    if (!status && p.bytes > l.max_bytes)
        status = fail_bytes(s, i, vlm_fail(VLM_ELIMIT, s->where, "has %lld bytes, over the limit of %lld; raise it with --max-bytes",
                                           (long long)p.bytes, (long long)l.max_bytes), why);
    if (status) { image_close(&p); return status; }
    *out = p;
    return VLM_OK;
}

vlm_status vlm_sample_image_size(const struct vlm_sample *s, int64_t i, int64_t *bytes, vlm_bad *why) {
    const vlm_sample_image *m = &s->image[i];
    struct stat st = { .st_size = m->bytes };
    if (m->file && stat(m->file, &st)) return fail_errno(s, i, "find", why);
    if (m->file && !S_ISREG(st.st_mode)) return no_file(s, i, why);
    if (why) *why = VLM_BAD_NONE;
    *bytes = st.st_size;
    return VLM_OK;
}
vlm_status vlm_sample_image_bytes(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, unsigned char **out, size_t *n,
                                  vlm_bad *why) {
    place p;
    TRY(image_open(s, i, limits, &p, why));
    unsigned char *data = malloc((size_t)p.bytes);
    vlm_status status;
    if (!data) status = fail_bytes(s, i, vlm_fail_memory(s->where, (size_t)p.bytes), why);
    else if ((status = vlm_read_at(p.fd, s->where, data, (size_t)p.bytes, p.at))) status = fail_bytes(s, i, status, why);
    image_close(&p);
    if (status) { free(data); return status; }
    if (why) *why = VLM_BAD_NONE;
    *out = data;
    *n = (size_t)p.bytes;
    return VLM_OK;
}
/* Mapped: a header may stand behind a megabyte of profile, EXIF at the end, and what is not looked at is not read. */
vlm_status vlm_sample_image_probe(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, vlm_image_info *out,
                                  vlm_bad *why) {
    place p;
    TRY(image_open(s, i, limits, &p, why));
    int64_t page = sysconf(_SC_PAGESIZE), skip = p.at % page;
    size_t bytes = (size_t)(p.bytes + skip);
    void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, p.fd, p.at - skip);
    if (map == MAP_FAILED) {
        vlm_status status = fail_errno(s, i, "map", why);
        image_close(&p);
        return status;
    }
    image_close(&p);
    vlm_status status = vlm_sample_image_header(s, i, limits, (unsigned char *)map + skip, (size_t)p.bytes, out, why);
    munmap(map, bytes);
    return status;
}
vlm_status vlm_sample_image_header(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, const unsigned char *data,
                                   size_t n, vlm_image_info *out, vlm_bad *why) {
    vlm_image_info info;
    vlm_status status = vlm_image_probe(data, n, s->where, limits, &info);
    if (!status) status = vlm_image_check(&info, s->where, limits);
    if (status) return fail_bytes(s, i, status, why);
    if (why) *why = VLM_BAD_NONE;
    *out = info;
    return VLM_OK;
}
vlm_status vlm_sample_image_decode(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, const unsigned char *data,
                                   size_t n, vlm_bitmap *out, vlm_bad *why) {
    vlm_status status = vlm_image_decode(data, n, s->where, limits, out);
    if (status) return fail_bytes(s, i, status, why);
    if (why) *why = VLM_BAD_NONE;
    return VLM_OK;
}
vlm_status vlm_sample_image_load(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, vlm_bitmap *out, vlm_bad *why) {
    unsigned char *data;
    size_t n;
    TRY(vlm_sample_image_bytes(s, i, limits, &data, &n, why));
    vlm_status status = vlm_sample_image_decode(s, i, limits, data, n, out, why);
    free(data);
    return status;
}

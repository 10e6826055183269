#include "base/lines.h"
#include "base/file.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static vlm_status open_regular(const char *path, int flags, int *out, int64_t *size) {
    struct stat st;
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);      /* a FIFO must not hang us */
    if (fd < 0) return vlm_fail_errno(path, "open");
    vlm_status status = fstat(fd, &st) ? vlm_fail_errno(path, "read") : VLM_OK;
    if (!status && !S_ISREG(st.st_mode)) status = vlm_fail(VLM_EIO, path, "is not a regular file; move it away");
    if (status) { close(fd); return status; }
    *out = fd;
    *size = st.st_size;
    return VLM_OK;
}
/* Bytes up to the end of the last whole line, -1 and errno. */
static int64_t whole(int fd, int64_t size) {
    char buf[4096];
    while (size > 0) {
        int64_t lo = size > (int64_t)sizeof buf ? size - (int64_t)sizeof buf : 0;
        ssize_t n = pread(fd, buf, (size_t)(size - lo), lo);
        if (n < 0 && errno == EINTR) continue;
        if (n != size - lo) { if (n >= 0) errno = EIO; return -1; }
        while (n > 0 && buf[n - 1] != '\n') n--;
        if (n) return lo + n;
        size = lo;
    }
    return 0;
}
vlm_status vlm_lines_open(const char *path, vlm_lines *out) {
    vlm_lines l = { .fd = -1, .path = strdup(path) };
    vlm_status status;
    int64_t size;
    if (!l.path) return vlm_fail_memory(path, strlen(path));
    TRY_DONE(open_regular(path, O_RDWR | O_CREAT | O_APPEND, &l.fd, &size));
    if ((l.size = whole(l.fd, size)) < 0) status = vlm_fail_errno(path, "read");
    else if (l.size < size && ftruncate(l.fd, l.size)) status = vlm_fail_errno(path, "write");
    if (!status && l.size < size) vlm_warn(path, "its last line had no end, as a program that is killed leaves it; the line was removed");
done:
    if (!status) { *out = l; return VLM_OK; }
    if (l.fd >= 0) close(l.fd);
    free(l.path);
    return status;
}
vlm_status vlm_lines_add(vlm_lines *l, const char *line, size_t n) {
    char small[4096], *all = n < sizeof small ? small : malloc(n + 1);
    vlm_status status = VLM_OK;
    size_t done = 0;
    if (memchr(line, '\n', n)) status = vlm_fail(VLM_EARG, l->path, "a line to be appended holds a line end; leave it out");
    else if (!all) status = vlm_fail_memory(l->path, n + 1);
    else {
        memcpy(all, line, n);
        all[n] = '\n';
    }
    while (!status && done < n + 1) {
        ssize_t k = write(l->fd, all + done, n + 1 - done);
        if (k > 0) done += (size_t)k;
        else if (k == 0 || errno != EINTR) {
            if (k == 0) errno = EIO;
            status = vlm_fail_errno(l->path, "write");
            if (done && ftruncate(l->fd, l->size)) vlm_fail(VLM_EIO, l->path, "%s; its last line is not whole", vlm_error_message());
        }
    }
    if (!status) l->size += (int64_t)n + 1;
    if (all != small) free(all);
    return status;
}
vlm_status vlm_lines_sync(vlm_lines *l) {
    return fsync(l->fd) && errno != EINVAL ? vlm_fail_errno(l->path, "write") : VLM_OK;
}
void vlm_lines_close(vlm_lines *l) {
    if (l->path) close(l->fd);
    free(l->path);
    *l = (vlm_lines){ 0 };
}

vlm_status vlm_lines_cut(const char *path, vlm_lines_keep *keep, void *user, int64_t *kept, int64_t *cut) {
    vlm_map m = { 0 };
    vlm_status status = VLM_OK;
    int64_t n = 0, rest = 0, size = 0;
    size_t end = 0;
    int fd = -1;
    if (!vlm_exists(path)) goto done;
    TRY_DONE(open_regular(path, O_RDWR, &fd, &size));
    if (size > 0) TRY_DONE(vlm_map_open(path, 0, &m));
    for (const unsigned char *p; end < m.size && (p = memchr(m.data + end, '\n', m.size - end)); n++) {
        size_t length = (size_t)(p - (m.data + end));
        if (!keep(user, n, (const char *)m.data + end, length)) break;
        end += length + 1;
    }
    for (size_t i = end; i < m.size; i++) rest += m.data[i] == '\n' || i + 1 == m.size;
    vlm_map_close(&m);
    if (rest && (ftruncate(fd, (off_t)end) || (fsync(fd) && errno != EINVAL))) status = vlm_fail_errno(path, "cut");
done:
    vlm_map_close(&m);
    if (fd >= 0) close(fd);
    if (!status && kept) *kept = n;
    if (!status && cut) *cut = rest;
    return status;
}

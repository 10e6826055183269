#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

vlm_status vlm_map_open(const char *path, size_t limit, vlm_map *out) {
    struct stat st;
    vlm_status status = VLM_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);    /* a FIFO must not hang us */
    if (fd < 0) return vlm_fail_errno(path, "open");
    if (fstat(fd, &st)) status = vlm_fail_errno(path, "read");
    else if (!S_ISREG(st.st_mode)) status = vlm_fail(VLM_EIO, path, "is not a regular file; name a file");
    else if (st.st_size == 0) status = vlm_fail(VLM_EFORMAT, path, "is empty; get the file again");
    else if (limit && (uint64_t)st.st_size > limit)
        status = vlm_fail(VLM_ELIMIT, path, "has %lld bytes, over the limit of %zu; check that it is the right file",
                          (long long)st.st_size, limit);
    else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) status = vlm_fail_errno(path, "map");
        else *out = (vlm_map){ p, (size_t)st.st_size };
    }
    close(fd);
    return status;
}
void vlm_map_close(vlm_map *m) {
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (vlm_map){ 0 };
}
void vlm_map_forget(const void *p, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t lo = ((uintptr_t)p + page - 1) & ~(page - 1), hi = ((uintptr_t)p + bytes) & ~(page - 1);
    if (lo < hi) posix_madvise((void *)lo, hi - lo, POSIX_MADV_DONTNEED);
#ifdef MADV_DONTNEED
    if (lo < hi) madvise((void *)lo, hi - lo, MADV_DONTNEED);  /* glibc's posix_madvise does nothing for it */
#endif
}

vlm_status vlm_read(const char *path, size_t limit, unsigned char **out, size_t *size) {
    bool in = !strcmp(path, "-");
    const char *name = in ? "standard input" : path;
    int fd = in ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return vlm_fail_errno(path, "open");
    struct stat st;
    if (!in && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {     /* a FIFO that nobody writes to would hang us */
        close(fd);
        return vlm_fail(VLM_EIO, path, "is not a regular file; name a file, or - for standard input");
    }
    vlm_status status = VLM_OK;
    unsigned char *data = NULL;
    size_t n = 0, room = 0;
    for (;;) {
        if (n + 1 >= room) {
            size_t more = room ? room * 2 : 1 << 16;
            if (limit < SIZE_MAX - 2 && more > limit + 2) more = limit + 2;
            unsigned char *p = realloc(data, more);
            if (!p) { status = vlm_fail_memory(name, more); break; }
            data = p;
            room = more;
        }
        ssize_t got = read(fd, data + n, room - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) { status = vlm_fail_errno(name, "read"); break; }
        if (got == 0) break;
        n += (size_t)got;
        if (n > limit) { status = vlm_fail(VLM_ELIMIT, name, "has more than %zu bytes; check that it is the right file", limit); break; }
    }
    if (!in) close(fd);
    if (status) { free(data); return status; }
    data[n] = 0;
    *out = data;
    *size = n;
    return VLM_OK;
}

static vlm_status sync_parent(const char *path) {
    char *dir = strdup(path), *slash;
    if (!dir) return vlm_fail_memory(path, strlen(path));
    slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = 0;
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    vlm_status status = VLM_OK;
    if (fd < 0 || (fsync(fd) && errno != EINVAL)) status = vlm_fail_errno(path, "sync the folder of");
    if (fd >= 0) close(fd);
    free(dir);
    return status;
}
static char *beside(const char *path) {        /* trailing slashes would put it inside */
    size_t n = strlen(path);
    char *t = malloc(n + 32);
    while (n > 1 && path[n - 1] == '/') n--;
    if (t) snprintf(t, n + 32, "%.*s.tmp-XXXXXX", (int)n, path);
    return t;
}

vlm_status vlm_writer_open(const char *path, vlm_writer *out) {
    struct stat st;
    if (!lstat(path, &st) && !S_ISREG(st.st_mode))     /* the rename would take the place of a device or a link */
        return vlm_fail(VLM_EIO, path, "exists and is no regular file; name a file");
    vlm_writer w = { .path = strdup(path), .temp = beside(path) };
    vlm_status status = VLM_OK;
    if (!w.path || !w.temp) { free(w.path); free(w.temp); return vlm_fail_memory(path, strlen(path)); }
    int fd = mkstemp(w.temp);
    if (fd < 0) status = vlm_fail_errno(path, "write");
    else {
        mode_t mask = umask(0);                /* mkstemp gives 0600; a file of ours is an ordinary one */
        umask(mask);
        if (fchmod(fd, 0666 & ~mask) || !(w.f = fdopen(fd, "wb"))) {
            status = vlm_fail_errno(path, "write");
            close(fd);
            unlink(w.temp);
        }
    }
    if (status) { free(w.path); free(w.temp); return status; }
    *out = w;
    return VLM_OK;
}
vlm_status vlm_writer_commit(vlm_writer *w) {
    vlm_status status = VLM_OK;
    int e = 0;                                 /* the first thing that went wrong, not what closing says about it */
    if (fflush(w->f) || fsync(fileno(w->f))) e = errno;
    else if (ferror(w->f)) e = EIO;            /* a write before this call failed */
    if (fclose(w->f) && !e) e = errno;
    if (!e && rename(w->temp, w->path)) e = errno;
    if (e) {
        errno = e;
        status = vlm_fail_errno(w->path, "write");
        unlink(w->temp);
    } else status = sync_parent(w->path);
    free(w->path);
    free(w->temp);
    *w = (vlm_writer){ 0 };
    return status;
}
void vlm_writer_cancel(vlm_writer *w) {
    if (!w->f) return;
    fclose(w->f);
    unlink(w->temp);
    free(w->path);
    free(w->temp);
    *w = (vlm_writer){ 0 };
}
vlm_status vlm_write(const char *path, const void *data, size_t size) {
    vlm_writer w;
    TRY(vlm_writer_open(path, &w));
    if (size && fwrite(data, 1, size, w.f) != size) {
        vlm_status status = vlm_fail_errno(path, "write");
        vlm_writer_cancel(&w);
        return status;
    }
    return vlm_writer_commit(&w);
}

static void remove_dir(const char *path, int depth) {
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d) return;
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        char *p = vlm_join(path, e->d_name);
        struct stat st;
        if (p && !lstat(p, &st)) {
            if (!S_ISDIR(st.st_mode)) unlink(p);
            else if (depth > 0) remove_dir(p, depth - 1);
        }
        free(p);
    }
    closedir(d);
    rmdir(path);
}
/* What a --force may take away: see file.h. `top`: folders may be there, too. */
static vlm_status check_replaceable(const char *path, bool top) {
    static const char *const ours[] = { ".json", ".safetensors", ".npy", ".txt", ".jinja" };
    vlm_status status = VLM_OK;
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d) return vlm_fail_errno(path, "replace");
    while (!status && (e = readdir(d))) {
        const char *name = e->d_name, *dot = strrchr(name, '.');
        bool ok = false;
        struct stat st;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        char *p = vlm_join(path, name);
        if (!p || lstat(p, &st)) status = vlm_fail_errno(path, "replace");
        else if (S_ISREG(st.st_mode))
            for (size_t i = 0; dot && i < sizeof ours / sizeof *ours; i++) ok = ok || !strcmp(dot, ours[i]);
        else if ((ok = top && S_ISDIR(st.st_mode) && (!strcmp(name, "tokenizer") || !strcmp(name, "vision") || !strcmp(name, "language"))))
            status = check_replaceable(p, false);
        if (!status && !ok)
            status = vlm_fail(VLM_EIO, path, "holds %s, which this program does not write; --force spares such a folder: remove it",
                              name);
        free(p);
    }
    closedir(d);
    return status;
}
vlm_status vlm_dir_writer_open(const char *path, bool replace, vlm_dir_writer *out) {
    if (!replace && vlm_exists(path)) return vlm_fail(VLM_EIO, path, "exists already; name another folder or give --force to replace it");
    if (replace && vlm_exists(path)) TRY(check_replaceable(path, true));
    vlm_dir_writer w = { .path = strdup(path), .temp = beside(path), .replace = replace };
    if (!w.path || !w.temp) { free(w.path); free(w.temp); return vlm_fail_memory(path, strlen(path)); }
    for (size_t n = strlen(w.path); n > 1 && w.path[n - 1] == '/'; n--) w.path[n - 1] = 0;
    mode_t mask = umask(0);
    umask(mask);
    if (!mkdtemp(w.temp) || chmod(w.temp, 0777 & ~mask)) {
        vlm_status status = vlm_fail_errno(path, "make the folder");
        free(w.path);
        free(w.temp);
        return status;
    }
    *out = w;
    return VLM_OK;
}
vlm_status vlm_dir_writer_commit(vlm_dir_writer *w) {
    vlm_status status = VLM_OK;
    char *old = NULL;
    if (w->replace && vlm_exists(w->path)) {
        if (!(old = beside(w->path)) || !mkdtemp(old) || rename(w->path, old)) status = vlm_fail_errno(w->path, "replace the folder");
    }
    if (!status && rename(w->temp, w->path)) {
        status = vlm_fail_errno(w->path, errno == EEXIST || errno == ENOTEMPTY ? "make the folder (it exists now)" : "make the folder");
        if (old) rename(old, w->path);         /* the old one back */
    }
    if (status) remove_dir(w->temp, 1);
    else status = sync_parent(w->path);
    if (old && !status) remove_dir(old, 1);
    free(old);
    free(w->path);
    free(w->temp);
    *w = (vlm_dir_writer){ 0 };
    return status;
}
void vlm_dir_writer_cancel(vlm_dir_writer *w) {
    if (!w->temp) return;
    char where[1024];
    size_t n = strlen(w->temp);
    if (!strncmp(vlm_error_where(), w->temp, n)) {     /* nobody knows the folder by the name it had meanwhile */
        snprintf(where, sizeof where, "%s%s", w->path, vlm_error_where() + n);
        vlm_fail(VLM_EIO, where, "%s", vlm_error_message());
    }
    remove_dir(w->temp, 1);
    free(w->path);
    free(w->temp);
    *w = (vlm_dir_writer){ 0 };
}

bool vlm_exists(const char *path) { struct stat st; return !lstat(path, &st); }
bool vlm_is_dir(const char *path) { struct stat st; return !stat(path, &st) && S_ISDIR(st.st_mode); }
bool vlm_same_file(const char *a, const char *b) {
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
char *vlm_join(const char *dir, const char *name) {
    size_t n = strlen(dir), size = n + strlen(name) + 2;
    char *p = malloc(size);
    while (n > 1 && dir[n - 1] == '/') n--;
    if (p) snprintf(p, size, "%.*s/%s", (int)n, dir, name);
    return p;
}

#include "base/file.h"
#include "base/log.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
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

vlm_status vlm_read_at(int fd, const char *where, void *to, size_t n, int64_t at) {
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)to + done, n - done, at + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vlm_fail_errno(where, "read");
        if (!got) return vlm_fail(VLM_EFORMAT, where, "ends at byte %lld; it was longer before: leave it alone while it is read",
                                  (long long)(at + (int64_t)done));
        done += (size_t)got;
    }
    return VLM_OK;
}

/* The names in a folder reach the disk. `where` stands in the message. */
static vlm_status sync_dir(const char *dir, const char *where, const char *doing) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    vlm_status status = VLM_OK;
    if (fd < 0 || (fsync(fd) && errno != EINVAL)) status = vlm_fail_errno(where, doing);
    if (fd >= 0) close(fd);
    return status;
}
vlm_status vlm_sync_parent(const char *path) {
    char *dir = strdup(path), *slash;
    if (!dir) return vlm_fail_memory(path, strlen(path));
    for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--) dir[n - 1] = 0;
    slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = 0;
    vlm_status status = sync_dir(slash ? dir : ".", path, "sync the folder of");
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
static vlm_status writer_end(vlm_writer *w, bool sync) {
    vlm_status status = VLM_OK;
    int e = 0;                                 /* the first thing that went wrong, not what closing says about it */
    if (fflush(w->f) || (sync && fsync(fileno(w->f)))) e = errno;
    else if (ferror(w->f)) e = EIO;            /* a write before this call failed */
    if (fclose(w->f) && !e) e = errno;
    if (!e && rename(w->temp, w->path)) e = errno;
    if (e) {
        errno = e;
        status = vlm_fail_errno(w->path, "write");
        unlink(w->temp);
    } else if (sync) status = vlm_sync_parent(w->path);
    free(w->path);
    free(w->temp);
    *w = (vlm_writer){ 0 };
    return status;
}
vlm_status vlm_writer_commit(vlm_writer *w) { return writer_end(w, true); }
vlm_status vlm_writer_place(vlm_writer *w) { return writer_end(w, false); }
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

/* Everything in it, `depth` folders deep, and itself. Goes on after a failure; -1 and errno: the first one. */
static int remove_dir(const char *path, int depth) {
    DIR *d = opendir(path);
    struct dirent *e;
    int error = d ? 0 : errno;
    while (d && (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        char *p = vlm_join(path, e->d_name);
        struct stat st;
        int failed = !p || lstat(p, &st);
        if (!failed) failed = S_ISDIR(st.st_mode) && depth > 0 ? remove_dir(p, depth - 1) : unlink(p);
        if (failed && !error) error = errno;
        free(p);
    }
    if (d) closedir(d);
    if (rmdir(path) && !error) error = errno;
    errno = error;
    return error ? -1 : 0;
}
/* NAME.tmp-XXXXXX, as `beside` makes them. */
enum { TEMP = 11 };                    /* characters behind NAME */
static bool is_temp(const char *name) {
    size_t n = strlen(name);
    bool yes = n > TEMP && !strncmp(name + n - TEMP, ".tmp-", 5);
    for (size_t i = n - 6; yes && i < n; i++) yes = isalnum((unsigned char)name[i]);
    return yes;
}
/* What may lie in a folder of ours: see file.h. `in`: the folder's name in the one that is taken away, NULL for that one itself. */
static bool is_ours(const char *name, const char *in) {
    static const char *const ours[] = { ".json", ".jsonl", ".safetensors", ".npy", ".txt", ".jinja" };
    const char *dot = strrchr(name, '.');
    if (!in && !strcmp(name, "quantization.md")) return true;
    if (in && (!strcmp(in, "singles") || !strcmp(in, "train") || !strcmp(in, "heldout"))) return dot && !strcmp(dot, ".png");
    for (size_t i = 0; dot && i < sizeof ours / sizeof *ours; i++) if (!strcmp(dot, ours[i])) return true;
    return false;
}
/* May this folder be taken away? See file.h. `half`: with files that were being written as well. */
static vlm_status check_ours(const char *path, const char *in, bool half, const char *todo) {
    static const char *const folders[] = { "tokenizer", "vision", "language", "singles", "train", "heldout" };
    vlm_status status = VLM_OK;
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d) return vlm_fail_errno(path, "replace");
    while (!status && (e = readdir(d))) {
        const char *name = e->d_name;
        bool ok = false;
        struct stat st;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        char *p = vlm_join(path, name);
        if (!p) status = vlm_fail_memory(path, 64);
        else if (lstat(p, &st)) status = vlm_fail_errno(path, "replace");
        else if (S_ISREG(st.st_mode)) ok = is_ours(name, in) || (half && is_temp(name));
        else if (S_ISDIR(st.st_mode) && !in)
            for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) ok = ok || !strcmp(name, folders[i]);
        if (!status && ok && S_ISDIR(st.st_mode)) status = check_ours(p, name, half, todo);
        if (!status && !ok) status = vlm_fail(VLM_EIO, path, "holds %s, which this program does not write; %s", name, todo);
        free(p);
    }
    closedir(d);
    return status;
}
static bool is_empty(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e = NULL;
    errno = 0;
    while (d && (e = readdir(d)) && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))) {}
    bool whole = d && !errno;          /* read to its end */
    if (d) closedir(d);
    return whole && !e;
}
static vlm_status check_old(const char *path, vlm_dir_kind *kind) {
    struct stat st;
    if (lstat(path, &st)) return vlm_fail_errno(path, "replace");
    if (S_ISLNK(st.st_mode)) return vlm_fail(VLM_EIO, path, "is a symbolic link, which is not replaced; name the folder itself");
    if (!S_ISDIR(st.st_mode)) return vlm_fail(VLM_EIO, path, "is no folder, and one is to be written; name another");
    TRY(check_ours(path, NULL, false, "no folder with such a file is replaced: move it away"));
    return kind && !is_empty(path) ? kind(path) : VLM_OK;
}
vlm_status vlm_dir_holds(const char *path, const char *name) {
    char *file = vlm_join(path, name);
    if (!file) return vlm_fail_memory(path, strlen(path));
    bool there = vlm_exists(file);
    free(file);
    return there ? VLM_OK : vlm_fail(VLM_EIO, path, "holds no %s, and no other folder is replaced here: move it away", name);
}

vlm_status vlm_dir_writer_open(const char *path, bool replace, vlm_dir_kind *kind, vlm_dir_writer *out) {
    vlm_dir_writer w = { .path = strdup(path), .temp = beside(path), .replace = replace, .kind = kind };
    vlm_status status = w.path && w.temp ? VLM_OK : vlm_fail_memory(path, strlen(path));
    bool made = false;
    TRY_DONE(status);
    for (size_t n = strlen(w.path); n > 1 && w.path[n - 1] == '/'; n--) w.path[n - 1] = 0;     /* behind a slash a link is its target */
    const char *name = strrchr(w.path, '/') ? strrchr(w.path, '/') + 1 : w.path;
    if (!strcmp(name, ".") || !strcmp(name, "..")) TRY_DONE(vlm_fail(VLM_EIO, path, "is no folder's own name; give that"));
    if (vlm_exists(w.path) && !replace)
        TRY_DONE(vlm_fail(VLM_EIO, path, "exists already; name another folder or give --force to replace it"));
    if (vlm_exists(w.path)) TRY_DONE(check_old(w.path, kind));
    mode_t mask = umask(0);
    umask(mask);
    made = mkdtemp(w.temp);
    if (!made || chmod(w.temp, 0777 & ~mask)) TRY_DONE(vlm_fail_errno(path, "make the folder"));
    *out = w;
    return VLM_OK;
done:
    if (made) rmdir(w.temp);
    free(w.path);
    free(w.temp);
    return status;
}
/* Two folders of one folder get each other's name, in one step where the system can. 0, or -1 and errno: they have their own. */
static int exchange(const char *a, const char *b) {
#ifdef SYS_renameat2
    if (!syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2u)) return 0;       /* 2: RENAME_EXCHANGE */
    if (errno != ENOSYS && errno != EINVAL && errno != ENOTSUP) return -1;
#endif
    char *c = beside(b);
    int error = 0;
    if (!c) { errno = ENOMEM; return -1; }
    if (!mkdtemp(c)) error = errno;
    else if (rename(b, c)) { error = errno; rmdir(c); }
    else if (rename(a, b)) { error = errno; rename(c, b); }
    else if (rename(c, a)) { error = errno; rename(b, a); rename(c, b); }
    free(c);
    errno = error;
    return error ? -1 : 0;
}
vlm_status vlm_dir_writer_commit(vlm_dir_writer *w) {
    vlm_status status = sync_dir(w->temp, w->path, "sync");    /* its names before its own: a whole folder has all its files */
    bool old = w->replace && vlm_exists(w->path), moved = false;
    if (!status && old) status = check_old(w->path, w->kind);
    if (!status && (old ? exchange(w->temp, w->path) : rename(w->temp, w->path)))
        status = vlm_fail_errno(w->path, old ? "replace the folder"
                                       : errno == EEXIST || errno == ENOTEMPTY ? "make the folder (it exists now)" : "make the folder");
    else moved = !status;
    if (moved) status = vlm_sync_parent(w->path);
    if (moved && status) moved = old ? exchange(w->temp, w->path) : rename(w->path, w->temp);      /* what failed has changed nothing */
    if (!moved) remove_dir(w->temp, 1);
    else if (old && !status && remove_dir(w->temp, 1)) vlm_warn(w->temp, "is what was replaced, and cannot be removed; remove it by hand");
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

static bool ends_in(const char *s, const char *const *endings) {
    size_t n = strlen(s), e;
    for (; *endings; endings++) if (n > (e = strlen(*endings)) && !strcmp(s + n - e, *endings)) return true;
    return false;
}
static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
vlm_status vlm_dir_names(const char *dir, const char *const *endings, char ***names, size_t *n) {
    DIR *d = opendir(dir);
    struct dirent *e;
    char **name = NULL;
    size_t found = 0;
    vlm_status status = VLM_OK;
    if (!d) return vlm_fail_errno(dir, "open");
    while (errno = 0, (e = readdir(d))) {
        if (!ends_in(e->d_name, endings)) continue;
        char **more = realloc(name, (found + 1) * sizeof *name);
        if (more) name = more;
        if (!more || !(name[found] = strdup(e->d_name))) TRY_DONE(vlm_fail_memory(dir, 256));
        found++;
    }
    if (errno) TRY_DONE(vlm_fail_errno(dir, "read"));
    if (found) qsort(name, found, sizeof *name, by_text);
    *names = name;
    *n = found;
done:
    closedir(d);
    if (status) vlm_names_free(name, found);
    return status;
}
void vlm_names_free(char **names, size_t n) {
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
}

vlm_status vlm_dir_make(const char *path) {
    char *p = strdup(path);
    if (!p) return vlm_fail_memory(path, strlen(path));
    vlm_status status = VLM_OK;
    for (char *s = p + !!*p;; s++) {
        char c = *s;
        if (c && c != '/') continue;
        *s = 0;
        bool there = vlm_is_dir(p), made = !there && !mkdir(p, 0777);
        if (!there && !made && errno != EEXIST) status = vlm_fail_errno(p, "make the folder");
        else if (made) status = vlm_sync_parent(p);    /* or what will be on the disk in it has no way to it */
        if (status || !c) break;
        *s = c;
    }
    free(p);
    return status ? status : vlm_is_dir(path) ? VLM_OK : vlm_fail(VLM_EIO, path, "is no folder; name one");
}
vlm_status vlm_dir_remove(const char *path) {
    struct stat st;
    if (lstat(path, &st)) return vlm_fail_errno(path, "remove");
    if (!S_ISDIR(st.st_mode)) return vlm_fail(VLM_EIO, path, "is no folder; name one");
    TRY(check_ours(path, NULL, true, "such a folder stays: move that away"));
    char *old = beside(path);
    bool made = old && mkdtemp(old);
    vlm_status status = VLM_OK;
    if (!made || rename(path, old)) {
        status = vlm_fail_errno(path, "remove");
        if (made) rmdir(old);
    } else {
        status = vlm_sync_parent(path);            /* first the name is gone, then what it stood for */
        if (remove_dir(old, 1) && !status) status = vlm_fail_errno(old, "remove");
    }
    free(old);
    return status;
}
vlm_status vlm_sweep(const char *dir, bool (*takes)(const char *name, size_t n), int *removed) {
    DIR *d = opendir(dir);
    struct dirent *e;
    vlm_status status = VLM_OK;
    int n = 0;
    if (!d) return vlm_fail_errno(dir, "open");
    while (!status && (e = readdir(d))) {
        struct stat st;
        char *p;
        if (!is_temp(e->d_name) || (takes && !takes(e->d_name, strlen(e->d_name) - TEMP))) continue;
        if (!(p = vlm_join(dir, e->d_name))) { status = vlm_fail_memory(dir, 1024); break; }
        bool is_dir = !lstat(p, &st) && S_ISDIR(st.st_mode);
        if (is_dir && check_ours(p, NULL, true, "it is left where it is")) vlm_warn(vlm_error_where(), "%s", vlm_error_message());
        else if (is_dir ? remove_dir(p, 1) : unlink(p)) status = vlm_fail_errno(p, "remove");
        else n++;
        free(p);
    }
    closedir(d);
    if (!status && removed) *removed = n;
    return status;
}

vlm_status vlm_link_switch(const char *path, const char *target) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct stat st;
    struct timespec t = { 0 };
    if (!lstat(path, &st) && !S_ISLNK(st.st_mode))
        return vlm_fail(VLM_EIO, path, "exists and is no link; move it away, this program makes a link there");
    char *temp = beside(path);
    if (!temp) return vlm_fail_memory(path, strlen(path));
    vlm_status status = VLM_OK;
    int failed = -1;
    for (int tries = 0; failed && tries < 100; tries++) {      /* symlink never takes an existing name: mkstemp for links */
        clock_gettime(CLOCK_REALTIME, &t);
        uint64_t x = ((uint64_t)t.tv_nsec << 20 ^ (uint64_t)getpid()) + (uint64_t)tries * 7919;
        for (char *p = temp + strlen(temp) - 6; *p; p++, x /= 36) *p = letters[x % 36];
        if ((failed = symlink(target, temp)) && errno != EEXIST) break;
    }
    if (failed) status = vlm_fail_errno(path, "make the link");
    else if (rename(temp, path)) {
        status = vlm_fail_errno(path, "make the link");
        unlink(temp);
    } else status = vlm_sync_parent(path);
    free(temp);
    return status;
}

bool vlm_exists(const char *path) { struct stat st; return !lstat(path, &st); }
bool vlm_is_dir(const char *path) { struct stat st; return !stat(path, &st) && S_ISDIR(st.st_mode); }
bool vlm_same_file(const char *a, const char *b) {
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
bool vlm_is_inside(const char *path, const char *folder) {
    char *p = path ? realpath(path, NULL) : NULL, *f = folder ? realpath(folder, NULL) : NULL;
    size_t n = f ? strlen(f) : 0;
    bool inside = p && f && !strncmp(p, f, n) && (!p[n] || p[n] == '/' || (n && f[n - 1] == '/'));
    free(p);
    free(f);
    return inside;
}
char *vlm_join(const char *dir, const char *name) {
    size_t n = strlen(dir), size = n + strlen(name) + 2;
    char *p = malloc(size);
    while (n > 1 && dir[n - 1] == '/') n--;
    if (p) snprintf(p, size, "%.*s/%s", (int)n, dir, name);
    return p;
}

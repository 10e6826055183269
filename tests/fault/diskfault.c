/* A disk that fails on demand: a library for LD_PRELOAD that watches every call which writes to files under one folder or changes their
   names, and makes the N-th of them fail, or kills the process there, or slows them all. Set in the environment:

     FAULT_DIR       the folder; nothing outside it is touched or counted. Without it nothing happens
     FAULT_MATCH     only paths that contain this text (the rest of the folder works)
     FAULT_MODE      count   nothing fails (default)
                     once    call FAULT_AT fails, with FAULT_ERRNO
                     on      it and every later one
                     kill    SIGKILL in call FAULT_AT, with half of its bytes in the file if it writes some, else before it does anything
     FAULT_AT        N, the first call is 1
     FAULT_ERRNO     ENOSPC (default), EIO, EDQUOT, EROFS, EACCES, or a number
     FAULT_SLOW_US   every watched call first sleeps so many microseconds: a wide window for a kill from outside
     FAULT_LOG       a line "CALL BYTES PATH" is appended to this file for each watched call: their number is that of its lines
     FAULT_REMOVALS  set: unlink, rmdir, ftruncate and truncate are watched, too. A full disk does not refuse them, a dying one does
     FAULT_EXCHANGE  no: renameat2 is unknown here, as on old systems

   Watched: open and fopen for writing, mkstemp, mkdir, mkdtemp, fdopen, chmod, fchmod, write, pwrite, writev, fsync, fdatasync, rename,
   renameat2 (through syscall), link, symlink, and of stdio fwrite, fputs, fputc, putc, fprintf, vfprintf, fflush, fclose: what glibc's
   stdio writes does not pass through its public write(). A stdio call that fails sets the stream's error flag, as a real one does; fclose
   closes all the same. One line on standard error, and exit code 120, where the settings make no sense. Linux, glibc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The next function of that name: libc's, or a sanitizer's round it. */
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* ---- settings ---------------------------------------------------------------------------------------------------- */
enum { COUNT, ONCE, ON, KILL };
static char dir[PATH_MAX];             /* absolute, without links; "": nothing is watched */
static size_t dir_length;
static const char *match;
static int mode, error = ENOSPC, log_fd = -1;
static long at, slow_us;
static bool removals, no_exchange;
static atomic_long calls;

static void refuse(const char *what, const char *value) {
    dprintf(2, "diskfault: %s: \"%s\" makes no sense\n", what, value);
    _exit(120);
}
static long number(const char *name) {
    const char *s = getenv(name);
    char *end;
    if (!s) return 0;
    long n = strtol(s, &end, 10);
    if (end == s || *end || n < 0) refuse(name, s);
    return n;
}
static int choice(const char *name, const char *const *names, const int *values) {
    const char *s = getenv(name);
    for (int i = 0; s && names[i]; i++) if (!strcmp(s, names[i])) return values[i];
    return s ? -1 : values[0];
}
/* The absolute path of what may not exist yet: its folder does. */
static bool resolve(const char *path, char out[PATH_MAX]) {
    char folder[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int n = slash ? (int)(slash - path) + 1 : 1;
    if (snprintf(folder, sizeof folder, "%.*s", n, slash ? path : ".") >= (int)sizeof folder) return false;
    return realpath(folder, real) && snprintf(out, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "", name) < PATH_MAX;
}
__attribute__((constructor)) static void settings(void) {
    static const char *const modes[] = { "count", "once", "on", "kill", NULL };
    static const char *const errors[] = { "ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", NULL };
    static const int mode_values[] = { COUNT, ONCE, ON, KILL }, error_values[] = { ENOSPC, EIO, EDQUOT, EROFS, EACCES };
    const char *d = getenv("FAULT_DIR"), *log = getenv("FAULT_LOG"), *exchange = getenv("FAULT_EXCHANGE");
    if (!d || !*d) return;
    if ((mode = choice("FAULT_MODE", modes, mode_values)) < 0) refuse("FAULT_MODE", getenv("FAULT_MODE"));
    if ((error = choice("FAULT_ERRNO", errors, error_values)) < 0) error = (int)number("FAULT_ERRNO");
    at = number("FAULT_AT");
    slow_us = number("FAULT_SLOW_US");
    if (mode != COUNT && !at) refuse("FAULT_AT", "0");
    match = getenv("FAULT_MATCH");
    removals = getenv("FAULT_REMOVALS") != NULL;
    no_exchange = exchange && !strcmp(exchange, "no");
    if (log && (log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0)
        refuse("FAULT_LOG", log);
    if (!realpath(d, dir) && !resolve(d, dir)) refuse("FAULT_DIR", d);
    dir_length = strlen(dir);
}

/* ---- what a call is in for --------------------------------------------------------------------------------------- */
enum { PASS, FAIL, DIE };
static bool watched(const char *path) {
    return !strncmp(path, dir, dir_length) && (path[dir_length] == '/' || !path[dir_length]) && (!match || strstr(path, match));
}
static int verdict(const char *call, size_t bytes, const char *path) {
    if (!watched(path)) return PASS;
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int k = snprintf(line, sizeof line, "%s %zu %s\n", call, bytes, path);
        syscall(SYS_write, log_fd, line, (size_t)k);
    }
    if (slow_us) nanosleep(&(struct timespec){ slow_us / 1000000, slow_us % 1000000 * 1000 }, NULL);
    if (mode == KILL && n == at) return DIE;
    if ((mode == ONCE && n == at) || (mode == ON && n >= at)) { errno = error; return FAIL; }
    return PASS;
}
_Noreturn static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}
static int of_path(const char *call, const char *path) {
    char full[PATH_MAX];
    if (!*dir || !resolve(path, full)) return PASS;
    int v = verdict(call, 0, full);
    if (v == DIE) die();
    return v;
}
/* DIE is left to the caller, who first writes half. */
static int of_fd(const char *call, size_t bytes, int fd) {
    char link[64], full[PATH_MAX];
    int e = errno;
    if (!*dir || fd < 0 || fd == log_fd) return PASS;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, full, sizeof full - 1);
    errno = e;
    if (n < 0) return PASS;
    full[n] = 0;
    return verdict(call, bytes, full);
}
static int of_file(const char *call, size_t bytes, FILE *f) {
    int v = f ? of_fd(call, bytes, fileno(f)) : PASS;
    if (v == FAIL) f->_flags |= 0x20;          /* glibc's _IO_ERR_SEEN: ferror says so, as after a write that failed */
    return v;
}
#define PATH_CALL(path, name) do { if (of_path(name, path) == FAIL) return -1; } while (0)
#define FD_CALL(fd, name)     do { int v_ = of_fd(name, 0, fd); if (v_ == DIE) die(); if (v_ == FAIL) return -1; } while (0)

/* ---- names ------------------------------------------------------------------------------------------------------- */
static bool writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC); }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list args; \
        va_start(args, flags); \
        unsigned m = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, unsigned) : 0; \
        va_end(args); \
        if (writes(flags)) PATH_CALL(path, "open"); \
        return real(path, flags, m); \
    }
OPEN(open)
OPEN(open64)
#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        REAL(FILE *, name, const char *, const char *); \
        if ((*how != 'r' || strchr(how, '+')) && of_path("fopen", path) == FAIL) return NULL; \
        return real(path, how); \
    }
FOPEN(fopen)
FOPEN(fopen64)
#define MKSTEMP(name) int name(char *path) { REAL(int, name, char *); PATH_CALL(path, "mkstemp"); return real(path); }
MKSTEMP(mkstemp)
MKSTEMP(mkstemp64)
char *mkdtemp(char *path) {
    REAL(char *, mkdtemp, char *);
    return of_path("mkdtemp", path) == FAIL ? NULL : real(path);
}
FILE *fdopen(int fd, const char *how) {
    REAL(FILE *, fdopen, int, const char *);
    int v = *how == 'r' && !strchr(how, '+') ? PASS : of_fd("fdopen", 0, fd);
    if (v == DIE) die();
    return v == FAIL ? NULL : real(fd, how);
}
int mkdir(const char *path, mode_t m) { REAL(int, mkdir, const char *, mode_t); PATH_CALL(path, "mkdir"); return real(path, m); }
int chmod(const char *path, mode_t m) { REAL(int, chmod, const char *, mode_t); PATH_CALL(path, "chmod"); return real(path, m); }
int fchmod(int fd, mode_t m) { REAL(int, fchmod, int, mode_t); FD_CALL(fd, "fchmod"); return real(fd, m); }
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    PATH_CALL(to, "rename");
    return real(from, to);
}
int link(const char *from, const char *to) {
    REAL(int, link, const char *, const char *);
    PATH_CALL(to, "link");
    return real(from, to);
}
int symlink(const char *text, const char *path) {
    REAL(int, symlink, const char *, const char *);
    PATH_CALL(path, "symlink");
    return real(text, path);
}
int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (removals) PATH_CALL(path, "unlink");
    return real(path);
}
int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    if (removals) PATH_CALL(path, "rmdir");
    return real(path);
}
#define TRUNCATE(name, type) \
    int name(const char *path, type size) { \
        REAL(int, name, const char *, type); \
        if (removals) PATH_CALL(path, "truncate"); \
        return real(path, size); \
    }
TRUNCATE(truncate, off_t)
TRUNCATE(truncate64, off64_t)
#define FTRUNCATE(name, type) \
    int name(int fd, type size) { \
        REAL(int, name, int, type); \
        if (removals) FD_CALL(fd, "ftruncate"); \
        return real(fd, size); \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)
long syscall(long which, ...) {
    REAL(long, syscall, long, ...);
    long a[6];
    va_list args;
    va_start(args, which);
    for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
    va_end(args);
    if (which == SYS_renameat2 && *dir) {
        if (no_exchange) { errno = ENOSYS; return -1; }
        PATH_CALL((const char *)a[3], "renameat2");
    }
    return real(which, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */
ssize_t write(int fd, const void *data, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    int v = of_fd("write", n, fd);
    ssize_t done = v == FAIL ? -1 : real(fd, data, v == DIE ? n / 2 : n);
    if (v == DIE) die();
    return done;
}
#define PWRITE(name, type) \
    ssize_t name(int fd, const void *data, size_t n, type where) { \
        REAL(ssize_t, name, int, const void *, size_t, type); \
        int v = of_fd("pwrite", n, fd); \
        ssize_t done = v == FAIL ? -1 : real(fd, data, v == DIE ? n / 2 : n, where); \
        if (v == DIE) die(); \
        return done; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
ssize_t writev(int fd, const struct iovec *v, int n) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    FD_CALL(fd, "writev");
    return real(fd, v, n);
}
int fsync(int fd) { REAL(int, fsync, int); FD_CALL(fd, "fsync"); return real(fd); }
int fdatasync(int fd) { REAL(int, fdatasync, int); FD_CALL(fd, "fdatasync"); return real(fd); }

_Noreturn static void flush_and_die(FILE *f) {
    REAL(int, fflush, FILE *);
    real(f);
    die();
}
size_t fwrite(const void *data, size_t size, size_t n, FILE *f) {
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    int v = of_file("fwrite", size * n, f);
    size_t done = v == FAIL ? 0 : v == DIE ? real(data, 1, size * n / 2, f) : real(data, size, n, f);
    if (v == DIE) flush_and_die(f);
    return done;
}
int fputs(const char *s, FILE *f) {
    REAL(int, fputs, const char *, FILE *);
    int v = of_file("fputs", strlen(s), f);
    if (v == DIE) flush_and_die(f);
    return v == FAIL ? EOF : real(s, f);
}
#define FPUTC(name) \
    int name(int c, FILE *f) { \
        REAL(int, name, int, FILE *); \
        int v = of_file("fputc", 1, f); \
        if (v == DIE) flush_and_die(f); \
        return v == FAIL ? EOF : real(c, f); \
    }
#undef putc
FPUTC(fputc)
FPUTC(putc)
int vfprintf(FILE *f, const char *format, va_list args) {
    REAL(int, vfprintf, FILE *, const char *, va_list);
    int v = of_file("fprintf", strlen(format), f);
    if (v == DIE) flush_and_die(f);
    return v == FAIL ? -1 : real(f, format, args);
}
int fprintf(FILE *f, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vfprintf(f, format, args);
    va_end(args);
    return n;
}
int fflush(FILE *f) {
    REAL(int, fflush, FILE *);
    int v = of_file("fflush", 0, f);
    if (v == DIE) die();
    return v == FAIL ? EOF : real(f);
}
int fclose(FILE *f) {
    REAL(int, fclose, FILE *);
    int v = of_file("fclose", 0, f);
    if (v == DIE) die();
    int closed = real(f);
    if (v == FAIL) errno = error;
    return v == FAIL ? EOF : closed;
}

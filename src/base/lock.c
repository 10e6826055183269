#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static vlm_status in_use(int fd, const char *path) {
    char text[40] = "";
    ssize_t n = pread(fd, text, 20, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid <= 0) snprintf(text, sizeof text, "another process");
    else snprintf(text, sizeof text, "process %ld", pid);
    return vlm_fail(VLM_EIO, path, "is in use by %s; wait for that or stop it, or name another folder", text);
}
/* shared NULL: for one owner; else *shared: others have it, too. */
static vlm_status take(int fd, const char *path, bool *shared, bool *gone) {
    struct stat a, b;
    char text[24];
    int failed;
    if (fstat(fd, &a)) return vlm_fail_errno(path, "lock");
    if (!S_ISREG(a.st_mode)) return vlm_fail(VLM_EIO, path, "is no regular file, as a lock is; move it away");
    failed = flock(fd, LOCK_EX | LOCK_NB);
    if (shared && (*shared = failed && errno == EWOULDBLOCK))
        for (int tries = 0; (failed = flock(fd, LOCK_SH | LOCK_NB)) && errno == EWOULDBLOCK && tries < 100; tries++)
            nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    if (failed) return errno == EWOULDBLOCK ? in_use(fd, path) : vlm_fail_errno(path, "lock");
    *gone = stat(path, &b) || a.st_dev != b.st_dev || a.st_ino != b.st_ino;    /* someone removed or replaced it: we hold nothing */
    if (*gone || shared) return VLM_OK;
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) return VLM_OK;        /* a full disk: the lock holds without the number */
    return VLM_OK;
}
static vlm_status lock_open(const char *path, bool *shared, vlm_lock *out) {
    vlm_lock l = { .path = strdup(path) };
    vlm_status status = VLM_OK;
    bool gone = true;
    if (!l.path) return vlm_fail_memory(path, strlen(path));
    for (int tries = 0; !status && gone && tries < 100; tries++) {
        l.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);         /* a FIFO must not hang us */
        if (l.fd < 0) { status = vlm_fail_errno(path, "lock"); break; }
        status = take(l.fd, path, shared, &gone);
        if (status || gone) close(l.fd);
    }
    if (!status && gone) status = vlm_fail(VLM_EIO, path, "is removed again and again; stop what removes it");
    if (status) { free(l.path); return status; }
    *out = l;
    return VLM_OK;
}
vlm_status vlm_lock_open(const char *path, vlm_lock *out) { return lock_open(path, NULL, out); }
vlm_status vlm_lock_join(const char *path, bool *alone, vlm_lock *out) {
    bool shared = false;
    TRY(lock_open(path, &shared, out));
    *alone = !shared;
    return VLM_OK;
}
void vlm_lock_share(vlm_lock *l) { flock(l->fd, LOCK_SH | LOCK_NB); }
void vlm_lock_close(vlm_lock *l) {
    if (l->path) close(l->fd);
    free(l->path);
    *l = (vlm_lock){ 0 };
}

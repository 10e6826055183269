#define _GNU_SOURCE                    /* utimensat's friends */
#include "base/store.h"
#include "base/lock.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDERS = 256, NAME = 2 * VLM_STORE_KEY + 2 };  /* dir/ab/cdef...: so many folders that none gets too large */

struct vlm_store {
    char *dir;
    size_t limit;
    const char *keeps_no_more;
    vlm_lock lock;
    atomic_flag warned;                /* of a damaged entry */
    atomic_bool off;                   /* nothing more is kept */
    pthread_mutex_t mutex;
    bool counted;
    size_t total;                      /* of all entries, when they were counted, and what was added since */
};

static char *path_of(const vlm_store *s, const unsigned char *key, bool folder) {
    char hex[2 * VLM_STORE_KEY + 1], name[NAME + 1];
    vlm_digest_hex(key, VLM_STORE_KEY, hex);
    snprintf(name, sizeof name, folder ? "%.2s" : "%.2s/%s", hex, hex + 2);
    return vlm_join(s->dir, name);
}
static char *folder_path(const vlm_store *s, int i) {
    char name[4];
    snprintf(name, sizeof name, "%02x", (unsigned)i);
    return vlm_join(s->dir, name);
}
const char *vlm_store_dir(const vlm_store *s) { return s->dir; }
void vlm_store_give_up(vlm_store *s) {
    if (!atomic_exchange(&s->off, true)) vlm_warn(s->dir, "%s: %s", s->keeps_no_more, vlm_error_message());
}

static bool is_entry(const char *name, size_t n) {
    return n == 2 * VLM_STORE_KEY - 2 && strspn(name, "0123456789abcdef") >= n;
}
/* What its owner says of it, in a file of its own. */
static bool is_about(const char *name, size_t n) { return n == strlen("about.json") && !strncmp(name, "about.json", n); }
/* What a killed call left half of these; all else in the folder is somebody's. */
static vlm_status sweep(const vlm_store *s) {
    TRY(vlm_sweep(s->dir, is_about, NULL));
    for (int i = 0; i < FOLDERS; i++) {
        struct stat st;
        char *path = folder_path(s, i);
        bool there = path && !lstat(path, &st) && S_ISDIR(st.st_mode);
        vlm_status status = !path ? vlm_fail_memory(s->dir, NAME) : there ? vlm_sweep(path, is_entry, NULL) : VLM_OK;
        free(path);
        TRY(status);
    }
    return VLM_OK;
}
static vlm_status prepare(vlm_store *s) {
    char *lock = vlm_join(s->dir, "lock");
    bool alone = false;
    vlm_status status = VLM_OK;
    if (!lock) return vlm_fail_memory(s->dir, NAME);
    TRY_DONE(vlm_dir_make(s->dir));
    TRY_DONE(vlm_lock_join(lock, &alone, &s->lock));
    if (alone) status = sweep(s);
done:
    if (s->lock.path) vlm_lock_share(&s->lock);
    free(lock);
    return status;
}
vlm_status vlm_store_open(const char *dir, size_t limit_bytes, const char *keeps_no_more, vlm_store **out) {
    vlm_store *s = calloc(1, sizeof *s);
    if (!s || !(s->dir = strdup(dir))) { free(s); return vlm_fail_memory(dir, sizeof *s); }
    s->limit = limit_bytes;
    s->keeps_no_more = keeps_no_more;
    atomic_flag_clear(&s->warned);
    pthread_mutex_init(&s->mutex, NULL);
    if (prepare(s)) vlm_store_give_up(s);              /* a full or read-only disk may still have entries */
    *out = s;
    return VLM_OK;
}
static vlm_status trim(vlm_store *s);
void vlm_store_close(vlm_store *s) {
    if (!s) return;
    if (s->limit && !s->counted && !atomic_load(&s->off) && trim(s)) vlm_store_give_up(s);     /* the limit may be lower than last time */
    vlm_lock_close(&s->lock);
    pthread_mutex_destroy(&s->mutex);
    free(s->dir);
    free(s);
}

/* ---- Reading ---- */

bool vlm_store_has(const vlm_store *s, const unsigned char *key) {
    char *path = path_of(s, key, false);
    bool there = path && vlm_exists(path);
    free(path);
    return there;
}
static void warn_damaged(vlm_store *s, const char *path) {
    if (!atomic_flag_test_and_set(&s->warned))
        vlm_warn(path, "is damaged and made again, and further ones without a word");
}
static bool whole(const vlm_map *m) {
    unsigned char sum[VLM_STORE_SUM];
    vlm_digest d;
    if (m->size < VLM_STORE_SUM) return false;
    vlm_digest_begin(&d, VLM_STORE_SUM);
    vlm_digest_add(&d, m->data, m->size - VLM_STORE_SUM);
    vlm_digest_end(&d, sum);
    return !memcmp(m->data + m->size - VLM_STORE_SUM, sum, VLM_STORE_SUM);
}
vlm_status vlm_store_get(vlm_store *s, const unsigned char *key, vlm_map *out, bool *damaged) {
    vlm_map m = { 0 };
    char *path = path_of(s, key, false);
    *damaged = false;
    if (!path) return vlm_fail_memory(s->dir, NAME);
    if (vlm_exists(path)) {            /* asked first, and last: it may come and go at any moment */
        *damaged = vlm_map_open(path, 0, &m) ? vlm_exists(path) : !whole(&m);
        if (*damaged) {
            vlm_map_close(&m);
            warn_damaged(s, path);
        } else if (m.data && s->limit) utimensat(AT_FDCWD, path, NULL, 0);     /* used: the last to go */
    }
    free(path);
    *out = m;
    return VLM_OK;
}
void vlm_store_refuse(vlm_store *s, const unsigned char *key, vlm_map *map) {
    char *path = path_of(s, key, false);
    vlm_map_close(map);
    warn_damaged(s, path ? path : s->dir);
    free(path);
}

/* ---- The limit ---- */

typedef struct old { char *path; size_t bytes; struct timespec used; } old;
typedef struct olds { old *v; size_t n, room, total; } olds;
static int by_use(const void *a, const void *b) {
    const struct timespec *x = &((const old *)a)->used, *y = &((const old *)b)->used;
    return x->tv_sec != y->tv_sec ? (x->tv_sec < y->tv_sec ? -1 : 1) : x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}
static void olds_free(olds *o) {
    for (size_t i = 0; i < o->n; i++) free(o->v[i].path);
    free(o->v);
}
/* Entries in one folder. What else lies there counts, for it may be another's half entry, but is not ours to take. */
static bool list_folder(const char *folder, olds *o) {
    DIR *d = opendir(folder);
    struct dirent *e;
    bool ok = true;
    while (d && ok && (e = readdir(d))) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode)) continue;
        o->total += (size_t)st.st_size;
        if (!is_entry(e->d_name, strlen(e->d_name))) continue;
        if (o->n == o->room) {
            size_t room = o->room ? 2 * o->room : 256;
            old *v = realloc(o->v, room * sizeof *v);
            if (!v) { ok = false; break; }
            o->v = v;
            o->room = room;
        }
        char *path = vlm_join(folder, e->d_name);
        if (path) o->v[o->n++] = (old){ path, (size_t)st.st_size, st.st_mtim };
        else ok = false;
    }
    if (d) closedir(d);
    return ok;
}
/* Counts all entries and takes the oldest away until a tenth of the limit is free, so that not each new one counts them all. Two at it at
   once take more than they need, no harm else. */
static vlm_status trim(vlm_store *s) {
    olds o = { 0 };
    vlm_status status = VLM_OK;
    for (int i = 0; i < FOLDERS; i++) {
        char *path = folder_path(s, i);
        bool ok = path && list_folder(path, &o);
        free(path);
        if (!ok) { status = vlm_fail_memory(s->dir, o.room * sizeof *o.v); goto done; }
    }
    if (o.total > s->limit) {
        qsort(o.v, o.n, sizeof *o.v, by_use);
        for (size_t i = 0; i < o.n && o.total > s->limit - s->limit / 10; i++)
            if (!unlink(o.v[i].path) || errno == ENOENT) o.total -= o.v[i].bytes;
    }
    s->total = o.total;
    s->counted = true;
done:
    olds_free(&o);
    return status;
}

/* ---- Writing ---- */

vlm_status vlm_store_begin(vlm_store *s, const unsigned char *key, size_t bytes, bool again, vlm_entry *out) {
    vlm_entry e = { .bytes = bytes + VLM_STORE_SUM };
    vlm_status status = VLM_OK;
    if (atomic_load(&s->off) || (s->limit && e.bytes > s->limit)) { *out = e; return VLM_OK; }
    char *path = path_of(s, key, false), *folder = path_of(s, key, true);
    if (!path || !folder) { status = vlm_fail_memory(s->dir, NAME); goto done; }
    if (!again && vlm_exists(path)) goto done;
    if (!vlm_is_dir(folder) && mkdir(folder, 0777) && errno != EEXIST) { status = vlm_fail_errno(folder, "make the folder"); goto done; }
    TRY_DONE(vlm_writer_open(path, &e.w));
    vlm_digest_begin(&e.sum, VLM_STORE_SUM);
done:
    free(path);
    free(folder);
    if (!status) *out = e;
    return status;
}
vlm_status vlm_entry_add(vlm_entry *e, const void *data, size_t n) {
    vlm_digest_add(&e->sum, data, n);
    return fwrite(data, 1, n, e->w.f) == n ? VLM_OK : vlm_fail_errno(e->w.path, "write");
}
vlm_status vlm_store_end(vlm_store *s, vlm_entry *e) {
    unsigned char sum[VLM_STORE_SUM];
    vlm_status status = VLM_OK;
    vlm_digest_end(&e->sum, sum);
    if (fwrite(sum, 1, sizeof sum, e->w.f) != sizeof sum) {
        status = vlm_fail_errno(e->w.path, "write");
        vlm_writer_cancel(&e->w);
        return status;
    }
    TRY(vlm_writer_place(&e->w));
    if (!s->limit) return VLM_OK;
    pthread_mutex_lock(&s->mutex);
    s->total += e->bytes;
    if (!s->counted || s->total > s->limit) status = trim(s);
    pthread_mutex_unlock(&s->mutex);
    return status;
}
void vlm_entry_cancel(vlm_entry *e) { vlm_writer_cancel(&e->w); }

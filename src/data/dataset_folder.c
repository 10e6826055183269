/* A folder: pictures and texts of the same name, or tar shards. Its folders are not looked into. */
#include "base/file.h"
#include "base/log.h"
#include "data/dataset_impl.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef struct listing { char **tar; size_t tars, room; int64_t folders; char folder[256], lines[256]; } listing;

static bool ends(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n > m && !strcasecmp(s + n - m, tail);
}
static bool is_folder(const vlm_dataset *d, const struct dirent *e) {
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK) return e->d_type == DT_DIR;
    char *path = vlm_join(d->path, e->d_name);
    bool yes = path && vlm_is_dir(path);
    free(path);
    return yes;
}
static vlm_status add(vlm_dataset *d, listing *l, const struct dirent *e) {
    const char *name = e->d_name, *dot = strrchr(name, '.');
    if (*name == '.') return VLM_OK;           /* hidden */
    if (is_folder(d, e)) {
        if (!l->folders++) snprintf(l->folder, sizeof l->folder, "%s", name);
        return VLM_OK;
    }
    if (ends(name, ".tar")) {
        TRY(vlm_dataset_room(d->path, &l->tar, &l->room, l->tars + 1, sizeof *l->tar));
        if (!(l->tar[l->tars] = strdup(name))) return vlm_fail_memory(d->path, strlen(name));
        l->tars++;
    } else if (ends(name, ".jsonl")) {
        if (!*l->lines || strcmp(name, l->lines) < 0) snprintf(l->lines, sizeof l->lines, "%s", name);
    }
    return vlm_members_add(d, name, dot ? (size_t)(dot - name) : 0, (vlm_member){ .kind = (uint8_t)vlm_member_kind_of(name) });
}
static vlm_status list(vlm_dataset *d, listing *l) {
    DIR *dir = opendir(d->path);
    struct dirent *e;
    vlm_status status = VLM_OK;
    if (!dir) return vlm_fail_errno(d->path, "open");
    while (errno = 0, !status && (e = readdir(dir))) status = add(d, l, e);
    if (!status && errno) status = vlm_fail_errno(d->path, "read");
    closedir(dir);
    return status;
}
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static vlm_status open_shards(vlm_dataset *d, listing *l) {
    qsort(l->tar, l->tars, sizeof *l->tar, by_name);
    for (size_t i = 0; i < l->tars; i++) {
        char *path = vlm_join(d->path, l->tar[i]);
        vlm_status status = path ? vlm_shard_open(d, path, l->tar[i]) : vlm_fail_memory(d->path, strlen(l->tar[i]));
        free(path);
        TRY(status);
    }
    return VLM_OK;
}
static bool has_pair(const vlm_dataset *d) {
    for (int64_t i = 0; i < d->groups; i++) {
        int kinds = 0;
        for (uint32_t k = 0; k < d->group[i].n; k++) kinds |= d->member[d->group[i].first + k].kind == VLM_MEMBER_IMAGE ? 1 : 2;
        if (kinds == 3) return true;
    }
    return false;
}
static vlm_status finish(vlm_dataset *d, const listing *l) {
    char *first = NULL;
    vlm_status status = VLM_OK;
    if (l->tars && !d->members) {
        d->others = 0;                         /* the shards were among them */
        TRY(open_shards(d, (listing *)(uintptr_t)l));
    }
    TRY(vlm_members_group(d));
    if (*l->lines && !d->shards && !has_pair(d)) {
        if (!(first = vlm_join(d->path, l->lines))) return vlm_fail_memory(d->path, strlen(l->lines));
        status = vlm_fail(VLM_EFORMAT, d->path, "holds no picture with a text of the same name, but JSON Lines; name the file: %s",
                          first);
    } else if (!d->groups)
        status = vlm_fail(VLM_EFORMAT, d->path, "holds no sample: pictures (.jpg, .png, .webp) with .txt or .json of the same name, or "
                          ".tar shards were looked for%s%s; name another", l->folders ? ", but not in its folders, as " : "", l->folder);
    else if (l->folders)
        vlm_warn(d->path, "its %lld folder%s, as %s, %s not looked into; name each as a data set", (long long)l->folders,
                 l->folders == 1 ? "" : "s", l->folder, l->folders == 1 ? "is" : "are");
    free(first);
    return status;
}
vlm_status vlm_folder_index(vlm_dataset *d) {
    listing l = { 0 };
    vlm_status status = list(d, &l);
    if (!status) status = finish(d, &l);
    for (size_t i = 0; i < l.tars; i++) free(l.tar[i]);
    free(l.tar);
    return status;
}

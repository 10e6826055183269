#include "base/file.h"
#include "base/hash.h"
#include "train/train_impl.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "checksums.json"

static vlm_status hash_file(const char *path, char out[17]) {
    uint64_t h = VLM_HASH;
    TRY(vlm_hash_file(path, &h));
    snprintf(out, 17, "%016" PRIx64, h);
    return VLM_OK;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
/* Files of DIR/UNDER (UNDER "": of DIR itself, and those of its folders) to j, as "UNDER/NAME", in the order of their bytes. */
static vlm_status add_folder(const char *dir, const char *under, json_t *j) {
    char *folder = vlm_join(dir, under);
    struct dirent **e = NULL;
    vlm_status status = VLM_OK;
    int n = folder ? scandir(folder, &e, NULL, by_name) : -1;
    if (n < 0) status = folder ? vlm_fail_errno(folder, "read") : vlm_fail_memory(dir, 64);
    for (int i = 0; i < n; i++) {
        const char *entry = e[i]->d_name;
        if (!status && strcmp(entry, ".") && strcmp(entry, "..")) {
            char *name = *under ? vlm_join(under, entry) : strdup(entry), *path = name ? vlm_join(dir, name) : NULL, hash[17];
            if (!path) status = vlm_fail_memory(dir, 64);
            else if (vlm_is_dir(path)) status = *under ? VLM_OK : add_folder(dir, name, j);
            else if (!(status = hash_file(path, hash)) && json_object_set_new(j, name, json_string(hash)))
                status = vlm_fail_memory(path, 64);
            free(name);
            free(path);
        }
        free(e[i]);
    }
    free(e);
    free(folder);
    return status;
}
vlm_status vlm_checksums_write(const char *dir) {
    json_t *j = json_object();
    char *path = vlm_join(dir, FILE_NAME);
    vlm_status status = j && path ? add_folder(dir, "", j) : vlm_fail_memory(dir, 64);
    if (!status) status = vlm_json_write(path, j);
    json_decref(j);
    free(path);
    return status;
}

vlm_status vlm_checksums_check(const char *dir) {
    char *list = vlm_join(dir, FILE_NAME), hash[17];
    json_t *j = NULL, *v;
    const char *name;
    vlm_status status = list ? vlm_json_read(list, &j) : vlm_fail_memory(dir, 64);
    if (!status && (!json_object_get(j, "model.safetensors") || !json_object_get(j, VLM_STATE_FILE)))
        status = vlm_fail(VLM_EFORMAT, list, "does not name model.safetensors and " VLM_STATE_FILE "; take another checkpoint");
    json_object_foreach(j, name, v) {
        if (status) break;
        char *path = vlm_join(dir, name);
        if (!path) status = vlm_fail_memory(dir, 64);
        else if (!(status = hash_file(path, hash)) && (!json_is_string(v) || strcmp(json_string_value(v), hash)))
            status = vlm_fail(VLM_EFORMAT, path, "does not hold the bytes that were written; take another checkpoint, and check the disk "
                              "unless somebody changed it");
        free(path);
    }
    json_decref(j);
    free(list);
    return status;
}

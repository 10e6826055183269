#include "io/weights.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 1000 };                /* at most: the largest models have some 200 */
#define ONE "model.safetensors"
#define INDEX "model.safetensors.index.json"

typedef struct shard { char *path; vlm_safetensors st; } shard;
struct vlm_weights {
    char *dir;
    shard *shards;
    int nshards;
    int64_t count;
    size_t bytes;
    const vlm_tensor **all, **by_name;
};

static int by_name(const void *a, const void *b) {
    return strcmp((*(const vlm_tensor *const *)a)->name, (*(const vlm_tensor *const *)b)->name);
}

/* Opens dir/name as the next shard; there is room for it. */
static vlm_status open_shard(vlm_weights *w, const char *name) {
    shard *s = &w->shards[w->nshards];
    char *path = vlm_join(w->dir, name);
    if (!path) return vlm_fail_memory(w->dir, strlen(name));
    vlm_status status = vlm_safetensors_open(path, &s->st);
    if (status) { free(path); return status; }
    s->path = path;
    for (int64_t i = 0; i < s->st.count; i++) s->st.tensors[i].file = w->nshards;
    w->nshards++;
    return VLM_OK;
}

static vlm_status open_one(vlm_weights *w) {
    if (!(w->shards = calloc(1, sizeof *w->shards))) return vlm_fail_memory(w->dir, sizeof *w->shards);
    return open_shard(w, ONE);
}

/* The shards that the map names, each once: *shards maps a file name to its number. */
static vlm_status list_shards(const char *index, json_t *map, json_t *shards) {
    const char *name;
    json_t *v;
    json_object_foreach(map, name, v) {
        const char *file = json_string_value(v);
        if (!file) return vlm_fail(VLM_EFORMAT, index, "tensor %s has no shard's name in weight_map; get the file again", name);
        if (!*file || strchr(file, '/') || strstr(file, ".."))
            return vlm_fail(VLM_EFORMAT, index, "tensor %s lies in '%s'; a shard must be a file of the folder itself", name, file);
        if (json_object_get(shards, file)) continue;
        if (json_object_size(shards) == SHARDS) return vlm_fail(VLM_ELIMIT, index, "names more than %d shards; get the file again", SHARDS);
        if (json_object_set_new(shards, file, json_integer((json_int_t)json_object_size(shards)))) return vlm_fail_memory(index, 100);
    }
    if (!json_object_size(shards)) return vlm_fail(VLM_EFORMAT, index, "has an empty weight_map; get the file again");
    return VLM_OK;
}
/* Both ways: what the map says lies in its shard, and what lies in a shard is said by the map (so no name is there twice). */
static vlm_status check_map(const vlm_weights *w, const char *index, json_t *map, const json_t *shards) {
    const char *name, *file;
    json_t *v;
    json_object_foreach(map, name, v) {
        file = json_string_value(v);
        if (!vlm_safetensors_find(&w->shards[json_integer_value(json_object_get(shards, file))].st, name))
            return vlm_fail(VLM_EFORMAT, index, "says that tensor %s lies in %s, which has no such tensor; get both again", name, file);
    }
    for (int i = 0; i < w->nshards; i++)
        for (int64_t k = 0; k < w->shards[i].st.count; k++) {
            name = w->shards[i].st.tensors[k].name;
            file = json_string_value(json_object_get(map, name));
            if (!file)
                return vlm_fail(VLM_EFORMAT, w->shards[i].path, "holds tensor %s, which " INDEX " does not list; get both again", name);
            if (json_integer_value(json_object_get(shards, file)) != i)
                return vlm_fail(VLM_EFORMAT, w->shards[i].path, "holds tensor %s, which lies in %s too; get both again", name, file);
        }
    return VLM_OK;
}
static vlm_status open_index(vlm_weights *w, const char *index) {
    json_t *root = NULL, *map, *shards = json_object(), *v;
    const char *file;
    vlm_status status = VLM_OK;
    if (!shards) return vlm_fail_memory(index, 100);
    TRY_DONE(vlm_json_read(index, &root));
    if (!json_is_object(map = json_object_get(root, "weight_map"))) {
        status = vlm_fail(VLM_EFORMAT, index, "has no object weight_map; get the file again");
        goto done;
    }
    TRY_DONE(list_shards(index, map, shards));         /* "metadata" is not looked at: its total_size is often wrong for tied weights */
    if (!(w->shards = calloc(json_object_size(shards), sizeof *w->shards))) {
        status = vlm_fail_memory(index, json_object_size(shards) * sizeof *w->shards);
        goto done;
    }
    json_object_foreach(shards, file, v) TRY_DONE(open_shard(w, file));
    TRY_DONE(check_map(w, index, map, shards));
done:
    json_decref(root);
    json_decref(shards);
    return status;
}

/* What else people have, by the ends of names; in a folder the first kind that is there is reported. */
static const struct { const char *suffix, *what; } kinds[] = {
    { ".safetensors", "is there, but neither " ONE " nor " INDEX "; get the index, or name the one file " ONE },
    { ".bin", "is a pickle, which can run code when it is read; save the model with safetensors (save_pretrained does)" },
    { ".pt", "is a pickle, which can run code when it is read; save the model with safetensors" },
    { ".pth", "is a pickle, which can run code when it is read; save the model with safetensors" },
    { ".gguf", "is GGUF, which this version does not read; get the folder with safetensors that it was made from" },
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static bool ends_in(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && !strcmp(name + n - s, suffix);
}
static int kind_of(const char *name) {
    int k = 0;
    while (k < KINDS && !ends_in(name, kinds[k].suffix)) k++;
    return k;
}
/* The folder's file of the first kind, to be freed: the same one whatever the folder's order. NULL and KINDS: none. */
static vlm_status look(const char *dir, char **found, int *kind) {
    DIR *d = opendir(dir);
    struct dirent *e;
    if (!d) return vlm_fail_errno(dir, "open the folder");
    *found = NULL;
    *kind = KINDS;
    while ((e = readdir(d))) {
        int k = kind_of(e->d_name);
        if (k == KINDS || k > *kind || (k == *kind && strcmp(e->d_name, *found) > 0)) continue;
        free(*found);
        *kind = (*found = strdup(e->d_name)) ? k : KINDS;
    }
    closedir(d);
    return VLM_OK;
}
static vlm_status refuse_kind(const char *dir, const char *name, int kind) {
    char *path = vlm_join(dir, name);
    vlm_status status = vlm_fail(kind ? VLM_EUNSUPPORTED : VLM_EIO, path ? path : dir, "%s", kinds[kind].what);
    free(path);
    return status;
}
/* The folder has neither of our two files: says what it has instead. */
static vlm_status nothing_here(const char *dir) {
    char *found;
    int kind;
    TRY(look(dir, &found, &kind));
    if (!found) return vlm_fail(VLM_EIO, dir, "holds no weights; looked for " ONE " and " INDEX);
    vlm_status status = refuse_kind(dir, found, kind);
    free(found);
    return status;
}
vlm_status vlm_weights_refuse(const char *path) {
    static const char what[] = "name a MODEL folder that holds config.json and " ONE;
    char *found;
    int kind = kind_of(path);
    if (vlm_is_dir(path)) {
        TRY(look(path, &found, &kind));
        char *latest = vlm_join(path, "latest/config.json");
        vlm_status status = found && kind ? refuse_kind(path, found, kind)
                          : latest && vlm_exists(latest) ? vlm_fail(VLM_EIO, path, "is a run; name its newest checkpoint: %s/latest", path)
                          : vlm_fail(VLM_EIO, path, "holds no config.json; %s", what);
        free(latest);
        free(found);
        return status;
    }
    if (!vlm_exists(path)) return vlm_fail(VLM_EIO, path, "is not a folder; %s", what);
    if (kind && kind < KINDS) return vlm_fail(VLM_EUNSUPPORTED, path, "%s", kinds[kind].what);
    if (ends_in(path, "tokenizer.model"))
        return vlm_fail(VLM_EUNSUPPORTED, path, "is a SentencePiece model; save the tokenizer as tokenizer.json and name its folder");
    return vlm_fail(VLM_EIO, path, "is a file; %s", what);
}

vlm_status vlm_weights_open(const char *dir, vlm_weights **out) {
    vlm_weights *w = calloc(1, sizeof *w);
    char *index = vlm_join(dir, INDEX), *one = vlm_join(dir, ONE);
    vlm_status status = VLM_OK;
    if (!w || !index || !one || !(w->dir = strdup(dir))) { status = vlm_fail_memory(dir, sizeof *w); goto done; }
    if (vlm_exists(index)) TRY_DONE(open_index(w, index));
    else if (vlm_exists(one)) TRY_DONE(open_one(w));
    else TRY_DONE(nothing_here(dir));

    for (int i = 0; i < w->nshards; i++) w->count += w->shards[i].st.count;
    w->all = malloc(((size_t)w->count + 1) * sizeof *w->all);
    w->by_name = malloc(((size_t)w->count + 1) * sizeof *w->by_name);
    if (!w->all || !w->by_name) { status = vlm_fail_memory(dir, (size_t)w->count * sizeof *w->all); goto done; }
    int64_t n = 0;
    for (int i = 0; i < w->nshards; i++)
        for (int64_t k = 0; k < w->shards[i].st.count; k++, n++) {
            w->by_name[n] = w->all[n] = &w->shards[i].st.tensors[k];
            w->bytes += w->all[n]->bytes;
        }
    qsort(w->by_name, (size_t)n, sizeof *w->by_name, by_name);
    *out = w;
done:
    free(index);
    free(one);
    if (status) vlm_weights_close(w);
    return status;
}
void vlm_weights_close(vlm_weights *w) {
    if (!w) return;
    for (int i = 0; i < w->nshards; i++) {
        vlm_safetensors_close(&w->shards[i].st);
        free(w->shards[i].path);
    }
    free(w->shards);
    free(w->all);
    free(w->by_name);
    free(w->dir);
    free(w);
}

static const vlm_tensor *stored(const vlm_weights *w, const char *name) {
    vlm_tensor key = { .name = name }, *k = &key;
    const vlm_tensor **found = w->count ? bsearch(&k, w->by_name, (size_t)w->count, sizeof *w->by_name, by_name) : NULL;
    return found ? *found : NULL;
}
const vlm_tensor *vlm_weights_find(const vlm_weights *w, const char *name) {
    const vlm_tensor *t = stored(w, name);
    for (int i = 0; !t && i < w->nshards; i++) {
        const char *kept = json_string_value(json_object_get(w->shards[i].st.metadata, name));
        if (kept) t = stored(w, kept);
    }
    return t;
}
const char *vlm_weights_metadata(const vlm_weights *w, const char *key) {
    const char *v = NULL;
    for (int i = 0; !v && i < w->nshards; i++) v = json_string_value(json_object_get(w->shards[i].st.metadata, key));
    return v;
}
int64_t vlm_weights_count(const vlm_weights *w) { return w->count; }
const vlm_tensor *vlm_weights_at(const vlm_weights *w, int64_t i) { return w->all[i]; }
size_t vlm_weights_bytes(const vlm_weights *w) { return w->bytes; }
const char *vlm_weights_file(const vlm_weights *w, const vlm_tensor *t) { return w->shards[t->file].path; }
const char *vlm_weights_dir(const vlm_weights *w) { return w->dir; }
void vlm_weights_forget(const vlm_weights *w, const vlm_tensor *t) {
    (void)w;
    vlm_map_forget(t->data, t->bytes);
}

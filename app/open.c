#include "open.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

vlm_model_options vlm_options_of(const vlm_args *a) {
    return (vlm_model_options){ .threads = (int)a->threads,
                                .isa = a->isa,
                                .max_size_px = a->max_size,
                                .max_image_tokens = a->max_image_tokens,
                                .context = a->context,
                                .no_upscale = a->no_upscale,
                                .compat_resize = a->compat_resize,
                                .fast_decode = a->fast_decode,
                                .fork_maths = a->fork_maths,
                                .chat_template = a->template_,
                                .max_pixels = a->max_pixels,
                                .max_side_px = a->max_side,
                                .max_file_bytes = a->max_bytes,
                                .cache_dir = a->cache };
}
vlm_status vlm_open_model(const vlm_args *a, vlm_model **out) {
    vlm_model_options o = vlm_options_of(a);
    size_t bytes;
    if (a->from[O_cache_size] == VLM_LINE && !a->cache)
        return vlm_usage("--cache-size", "is the limit of --cache's folder, and there is none; give --cache DIR, or leave it out");
    TRY(vlm_parse_bytes("--cache-size", a->cache_size, &bytes));
    o.cache_bytes = (int64_t)bytes;
    return vlm_model_open(a->arg[0], &o, out);
}
vlm_status vlm_open_session(const vlm_args *a, const vlm_model *m, vlm_session **out) {
    vlm_session_options o = { .threads = (int)a->threads, .seed = (uint64_t)a->seed, .answer_tokens = a->max_tokens, .kv = a->kv };
    return vlm_session_open(m, &o, out);
}

vlm_status vlm_pictures_add(vlm_pictures *p, const vlm_model *m, const char *path, int64_t limit) {
    if (p->n >= limit)
        return vlm_fail(VLM_ELIMIT, path, "is image %lld of a limit of %lld; raise it with --max-images", (long long)p->n + 1,
                        (long long)limit);
    vlm_image **image = realloc(p->image, (size_t)(p->n + 1) * sizeof *image);
    if (image) p->image = image;
    char **paths = realloc(p->path, (size_t)(p->n + 1) * sizeof *paths), *copy = strdup(path);
    if (paths) p->path = paths;
    if (!image || !paths || !copy) { free(copy); return vlm_fail_memory(path, sizeof *image); }
    vlm_status status = vlm_image_load(m, path, &p->image[p->n]);
    if (status) { free(copy); return status; }
    p->path[p->n++] = copy;
    return VLM_OK;
}
void vlm_pictures_free(vlm_pictures *p) {
    for (int64_t i = 0; i < p->n; i++) { vlm_image_free(p->image[i]); free(p->path[i]); }
    free(p->image);
    free(p->path);
    *p = (vlm_pictures){ 0 };
}

json_t *vlm_plan_json(const vlm_model *m, const vlm_image_plan *p) {
    bool tiled = m->rule.kind == VLM_RULE_TILES;
    json_t *j = json_pack("{s:[I,I],s:[I,I],s:I}", "resized", (json_int_t)p->H, (json_int_t)p->W, "grid",
                          (json_int_t)(tiled ? p->rows : p->tokens.h), (json_int_t)(tiled ? p->cols : p->tokens.w), "tokens",
                          (json_int_t)p->image_tokens);
    if (j && tiled) json_object_set_new(j, "tiles", json_integer(p->n));
    return j;
}
json_t *vlm_pictures_json(const vlm_model *m, const vlm_pictures *p) {
    json_t *list = json_array();
    for (int64_t i = 0; i < p->n; i++) {
        vlm_image_plan plan = { 0 };
        const vlm_bitmap *b = &p->image[i]->b;
        if (vlm_image_plan_make(&m->rule, b->w, b->h, p->path[i], &plan)) continue;        /* encoding has said so already */
        json_t *j = json_pack("{s:o,s:I,s:I}", "path", vlm_json_text(p->path[i]), "width", (json_int_t)b->w, "height", (json_int_t)b->h),
               *rest = vlm_plan_json(m, &plan);
        json_object_update(j, rest);
        json_decref(rest);
        json_array_append_new(list, j);
    }
    return list;
}

vlm_status vlm_need_vision(const vlm_args *a, const vlm_model *m) {
    return m->net->vision ? VLM_OK : vlm_fail(VLM_EARG, a->arg[0], "has no vision encoder; name a folder that has one");
}
vlm_status vlm_need_language(const vlm_args *a, const vlm_model *m) {
    return m->net->language ? VLM_OK : vlm_fail(VLM_EARG, a->arg[0], "has no language model; name a folder that has one");
}
vlm_status vlm_check_stdin(const vlm_args *a) {
    int n = 0;
    for (int i = 1; i < a->args; i++) n += !strcmp(a->arg[i], "-");
    for (int i = 0; i < a->image.n; i++) n += !strcmp(a->image.v[i], "-");
    return n > 1 ? vlm_usage("-", "standard input can be read once; name a file for the others") : VLM_OK;
}
vlm_status vlm_need_output(const vlm_args *a) {
    if (!a->output) return vlm_usage("--output", "is missing; say with -o where the result goes");
    return VLM_OK;
}
vlm_status vlm_check_ending(const char *option, const char *path, const char *end) {
    size_t n = strlen(path), e = strlen(end);
    if (n > e && !strcasecmp(path + n - e, end)) return VLM_OK;
    return vlm_usage(option, "%s does not end in %s, which is what it would hold; name a %s file", path, end, end);
}
vlm_status vlm_check_output(const vlm_args *a, const char *path) {
    struct stat st;                    /* the file is written beside and renamed: a device or a pipe would be gone */
    if (!lstat(path, &st) && !S_ISREG(st.st_mode))
        return vlm_fail(VLM_EIO, path, "is %s; name a file", S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    if (!a->force && vlm_exists(path)) return vlm_fail(VLM_EIO, path, "exists already; name another file or give --force to replace it");
    return VLM_OK;
}

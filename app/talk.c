#include "talk.h"
#include "base/file.h"
#include "io/json.h"
#include <stdlib.h>
#include <string.h>

/* A key that nobody reads may be a misspelt one whose picture or text would be left out in silence. null says nothing. */
static vlm_status check_keys(const json_t *o, const char *where, const char *what, const char *const *known) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, key, v) {
        const char *const *k = known;
        while (*k && strcmp(*k, key)) k++;
        if (*k || json_is_null(v)) continue;
        const char *best = vlm_nearest(key, known);
        if (best) return vlm_fail(VLM_EFORMAT, where, "%s has the unknown key %s; did you mean %s?", what, key, best);
        char all[256] = "";
        for (k = known; *k; k++) snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", k == known ? "" : ", ", *k);
        return vlm_fail(VLM_EFORMAT, where, "%s has the unknown key %s; %s are known", what, key, all);
    }
    return VLM_OK;
}
static vlm_status need(const json_t *o, const char *where, const char *what, const char *key, const char **out) {
    if (!json_object_get(o, key)) return vlm_fail(VLM_EFORMAT, where, "%s has no key %s; give one", what, key);
    return vlm_json_need_string(o, where, key, out);
}
static vlm_status add_turn(vlm_talk *s, const char *where, vlm_turn **out) {
    vlm_turn *t = realloc(s->turn, (size_t)(s->turns + 1) * sizeof *t);
    if (!t) return vlm_fail_memory(where, sizeof *t);
    s->turn = t;
    t[s->turns] = (vlm_turn){ 0 };
    *out = &t[s->turns++];
    return VLM_OK;
}
static vlm_status add_path(vlm_turn *t, const char *where, const json_t *v) {
    const char *path = json_string_value(v), **p = realloc(t->path, (size_t)(t->paths + 1) * sizeof *p);
    if (!p) return vlm_fail_memory(where, sizeof *p);
    t->path = p;
    if (!path) return vlm_fail(VLM_EFORMAT, where, "has an image that is not a path; write a string");
    p[t->paths++] = path;
    return VLM_OK;
}
static vlm_status add_text(vlm_turn *t, const char *where, const char *text) {
    size_t n = t->user ? strlen(t->user) : 0, m = strlen(text);
    char *p = realloc(t->user, n + m + 1);
    if (!p) return vlm_fail_memory(where, n + m + 1);
    memcpy(p + n, text, m + 1);
    t->user = p;
    return VLM_OK;
}

static vlm_status read_texts(const json_t *j, const json_t *texts, const char *where, vlm_talk *s) {
    const json_t *images = json_object_get(j, "images"), *v;
    size_t i;
    if (!json_is_array(texts)) return vlm_fail(VLM_EFORMAT, where, "texts is not an array; write [{\"user\": ..., \"assistant\": ...}]");
    json_array_foreach(texts, i, v) {
        vlm_turn *t;
        const char *user = NULL;
        static const char *const known[] = { "user", "assistant", "source", NULL };
        TRY(add_turn(s, where, &t));
        TRY(check_keys(v, where, "a text", known));
        TRY(need(v, where, "a text", "user", &user));
        TRY(add_text(t, where, user));
        TRY(vlm_json_string(v, where, "assistant", &t->assistant));
    }
    if (images && !json_is_null(images) && !json_is_array(images))
        return vlm_fail(VLM_EFORMAT, where, "images is not an array; write [\"a.png\"]");
    if (s->turns) json_array_foreach(images, i, v) TRY(add_path(&s->turn[0], where, v));
    return VLM_OK;
}

static vlm_status read_parts(vlm_turn *t, const json_t *content, const char *where) {
    const json_t *v;
    size_t i;
    if (json_is_string(content)) return add_text(t, where, json_string_value(content));
    if (!json_is_array(content)) return vlm_fail(VLM_EFORMAT, where, "a message has no content; write a string or an array of parts");
    json_array_foreach(content, i, v) {
        const char *type = NULL, *text = NULL;
        TRY(need(v, where, "a part", "type", &type));
        if (strcmp(type, "image") && strcmp(type, "text"))
            return vlm_fail(VLM_EFORMAT, where, "a part has type \"%s\"; image and text are known", type);
        const char *const known[] = { "type", type, NULL };
        TRY(check_keys(v, where, "a part", known));
        if (!strcmp(type, "image")) TRY(add_path(t, where, json_object_get(v, "image")));
        else {
            TRY(need(v, where, "a part", "text", &text));
            TRY(add_text(t, where, text));
        }
    }
    return t->user ? VLM_OK : add_text(t, where, "");
}
static vlm_status read_messages(const json_t *messages, const char *where, vlm_talk *s) {
    const json_t *v;
    size_t i;
    if (!json_is_array(messages))
        return vlm_fail(VLM_EFORMAT, where, "messages is not an array; write [{\"role\": \"user\", \"content\": ...}]");
    json_array_foreach(messages, i, v) {
        const char *role = NULL;
        static const char *const known[] = { "role", "content", NULL }, *const part[] = { "type", "text", NULL };
        TRY(need(v, where, "a message", "role", &role));
        TRY(check_keys(v, where, "a message", known));
        const json_t *content = json_object_get(v, "content");
        vlm_turn *last = s->turns ? &s->turn[s->turns - 1] : NULL;
        if (!strcmp(role, "system") && !i && json_is_string(content)) s->system = json_string_value(content);
        else if (!strcmp(role, "user") && (!last || last->assistant)) {
            TRY(add_turn(s, where, &last));
            TRY(read_parts(last, content, where));
        } else if (!strcmp(role, "assistant") && last && !last->assistant) {
            if (json_is_string(content)) last->assistant = json_string_value(content);
            else if (json_array_size(content) == 1) {
                TRY(check_keys(json_array_get(content, 0), where, "an answer's part", part));
                TRY(need(json_array_get(content, 0), where, "an answer's part", "text", &last->assistant));
            } else return vlm_fail(VLM_EFORMAT, where, "an assistant's content is not one text; write a string");
        } else
            return vlm_fail(VLM_EFORMAT, where, "message %zu has role \"%s\"; user and assistant take turns, system comes first", i + 1,
                            role);
    }
    return VLM_OK;
}

vlm_status vlm_talk_read(const json_t *j, const char *where, vlm_talk *out) {
    vlm_talk s = { 0 };
    /* FineVision's ratings and where it came from say nothing to a question; answers and choices are for those who compare */
    static const char *const known[] = { "texts", "messages", "images", "id", "source", "answers", "choices", "relevance_ratings",
                                         "image_correspondence_ratings", "visual_dependency_ratings", "formatting_ratings", "relevance_min",
                                         "image_correspondence_min", "visual_dependency_min", "formatting_min", NULL };
    const json_t *texts = json_object_get(j, "texts"), *messages = json_object_get(j, "messages"), *images = json_object_get(j, "images");
    vlm_status status;
    if (!texts == !messages)
        return vlm_fail(VLM_EFORMAT, where, "has %s texts %s messages; give one of them", texts ? "both" : "neither",
                        texts ? "and" : "nor");
    TRY(check_keys(j, where, "the sample", known));
    if (messages && images && !json_is_null(images) && !(json_is_array(images) && !json_array_size(images)))
        return vlm_fail(VLM_EFORMAT, where, "has images beside messages; name each in a part {\"type\": \"image\", \"image\": ...}");
    TRY_DONE(texts ? read_texts(j, texts, where, &s) : read_messages(messages, where, &s));
    if (!s.turns) { status = vlm_fail(VLM_EFORMAT, where, "has no user turn; give one"); goto done; }
    for (int64_t i = 0; i + 1 < s.turns; i++)
        if (!s.turn[i].assistant) {
            status = vlm_fail(VLM_EFORMAT, where, "turn %lld has no answer, but is not the last; give one", (long long)i + 1);
            goto done;
        }
    *out = s;
    return VLM_OK;
done:
    vlm_talk_free(&s);
    return status;
}

/* The name alone decides: no .. and nothing absolute outside the root. Links inside it are their owner's choice. */
static vlm_status resolve(const vlm_args *a, const char *path, const char *where, char **out) {
    const char *slash = strrchr(a->batch, '/');
    char *root = a->data_root ? strdup(a->data_root)
                 : slash      ? strndup(a->batch, (size_t)(slash - a->batch) + (slash == a->batch))
                              : strdup(".");
    if (!root) return vlm_fail_memory(where, strlen(path));
    size_t n = strlen(root);
    bool up = false, leaves = path[0] == '/' && !(a->data_root && !strncmp(path, root, n) && (path[n] == '/' || (n && root[n - 1] == '/')));
    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/') up |= strcspn(p, "/") == 2 && !strncmp(p, "..", 2);
    char *full = leaves || up ? NULL : path[0] == '/' || !strcmp(root, ".") ? strdup(path) : vlm_join(root, path);
    free(root);
    if (up)
        return vlm_fail(VLM_EFORMAT, where, "image %s has .. in its path; write it relative to --data-root, a folder above it", path);
    if (leaves)
        return vlm_fail(VLM_EFORMAT, where, "image %s leaves the data's folder; name the folder that holds it with --data-root", path);
    if (!full) return vlm_fail_memory(where, strlen(path));
    *out = full;
    return VLM_OK;
}
vlm_status vlm_talk_load(vlm_talk *s, const vlm_args *a, const vlm_model *m, const char *where) {
    int64_t left = a->max_images;
    for (int64_t i = 0; i < s->turns; i++) {
        vlm_turn *t = &s->turn[i];
        for (int64_t k = 0; k < t->paths; k++) {
            char *path = NULL;
            TRY(resolve(a, t->path[k], where, &path));
            vlm_status status = left ? vlm_pictures_add(&t->pictures, m, path, a->max_images)
                                     : vlm_fail(VLM_ELIMIT, where, "has more than %lld images; raise the limit with --max-images",
                                                (long long)a->max_images);
            free(path);
            TRY(status);
            left--;
        }
    }
    return VLM_OK;
}
vlm_status vlm_talk_context(const vlm_talk *t, vlm_session *s, const char *system, double *encode_ms) {
    double all = 0;
    for (int64_t i = 0; i + 1 < t->turns; i++) {
        const vlm_turn *turn = &t->turn[i];
        vlm_features *f = NULL;
        double t0 = vlm_now_ms();
        if (turn->pictures.n) TRY(vlm_encode(s, (const vlm_image *const *)turn->pictures.image, turn->pictures.n, &f));
        all += vlm_now_ms() - t0;
        vlm_status status = vlm_session_told(s, i ? NULL : system, f, turn->user, turn->assistant);
        vlm_features_free(f);
        TRY(status);
    }
    *encode_ms = all;
    return VLM_OK;
}
void vlm_talk_free(vlm_talk *s) {
    for (int64_t i = 0; i < s->turns; i++) {
        vlm_pictures_free(&s->turn[i].pictures);
        free(s->turn[i].user);
        free(s->turn[i].path);
    }
    free(s->turn);
    *s = (vlm_talk){ 0 };
}

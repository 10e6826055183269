#include "data/sample.h"
#include "base/file.h"
#include "base/nearest.h"
#include "io/json.h"
#include <stdlib.h>
#include <string.h>

const char *vlm_bad_name(vlm_bad bad) {
    static const char *const names[] = { "none", "missing_image", "corrupt_image", "too_large", "too_long", "no_assistant", "bad_json",
                                         "bad_path" };
    return names[bad];
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */
static const char mark[] = "\xEF\xBB\xBF";     /* editors put it in front, and files that are joined keep it in their middle */
static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static void trim(const char **text, size_t *n) {
    if (*n >= 3 && !memcmp(*text, mark, 3)) *text += 3, *n -= 3;
    while (*n && blank(**text)) ++*text, --*n;
    while (*n && blank((*text)[*n - 1])) --*n;
}
bool vlm_line_blank(const char *line, size_t n) {
    trim(&line, &n);
    return !n;
}
static vlm_status done(vlm_bad *why, vlm_status status, vlm_bad bad) {
    if (why) *why = !status ? VLM_BAD_NONE : bad ? bad : status == VLM_EFORMAT ? VLM_BAD_JSON
                    : status == VLM_ELIMIT ? VLM_BAD_TOO_LARGE : VLM_BAD_NONE;
    return status;
}
vlm_status vlm_sample_json(const char *text, size_t n, const char *where, json_t **out, vlm_bad *why) {
    if (n >= 3 && !memcmp(text, mark, 3)) text += 3, n -= 3;
    vlm_status status = vlm_json_parse(text, n, where, out);
    /* where a line is meant, the parser's "line 1" would contradict the one in `where` */
    const char *message = vlm_error_message(), *at = status == VLM_EFORMAT && !memchr(text, '\n', n) ? strstr(message, ", line 1 column ")
                                                                                                     : NULL;
    if (at) {
        int m = (int)strcspn(at + 9, ";");
        vlm_fail(status, where, "%.*s, %.*s; mend the line", (int)(at - message), message, m, at + 9);
    }
    return done(why, status, VLM_BAD_NONE);
}

/* ---- one sample ----------------------------------------------------------------------------------------------------- */
typedef struct reader {
    const vlm_sample_source *from;
    const char *where;
    struct vlm_sample s;
    const json_t *images;              /* the sample's list; NULL: it has none, or an empty one */
    int64_t placed, named;             /* image parts without a path, which take the next of the list or of the members; with one */
    vlm_bad bad;                       /* what a failure means; NONE: by its status */
} reader;

static vlm_status refuse(reader *r, vlm_bad bad, vlm_status status) {
    r->bad = bad;
    return status;
}
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
        char all[512] = "";
        for (k = known; *k; k++) snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", k == known ? "" : ", ", *k);
        return vlm_fail(VLM_EFORMAT, where, "%s has the unknown key %.64s; %s are known", what, key, all);
    }
    return VLM_OK;
}
static vlm_status need(const json_t *o, const char *where, const char *what, const char *key, const char **out) {
    if (!json_object_get(o, key)) return vlm_fail(VLM_EFORMAT, where, "%s has no key %s; give one", what, key);
    return vlm_json_need_string(o, where, key, out);
}
static vlm_status copy(const char *text, const char *where, char **out) {
    return (*out = strdup(text)) ? VLM_OK : vlm_fail_memory(where, strlen(text));
}
static vlm_status read_strings(const json_t *j, const char *where, const char *key, char ***out, int64_t *n) {
    const json_t *list = json_object_get(j, key), *v;
    size_t i;
    if (!list || json_is_null(list)) return VLM_OK;
    if (!json_is_array(list)) return vlm_fail(VLM_EFORMAT, where, "%s is not an array; write [\"a\", \"b\"]", key);
    if (!json_array_size(list)) return VLM_OK;
    if (!(*out = calloc(json_array_size(list), sizeof **out))) return vlm_fail_memory(where, json_array_size(list) * sizeof **out);
    json_array_foreach(list, i, v) {
        if (!json_is_string(v)) return vlm_fail(VLM_EFORMAT, where, "%s holds something that is not a string; write it as one", key);
        TRY(copy(json_string_value(v), where, &(*out)[i]));
        *n = (int64_t)i + 1;
    }
    return VLM_OK;
}

/* ---- images --------------------------------------------------------------------------------------------------------- */
/* The name alone decides: no .. and nothing absolute outside the root. Links inside it are their owner's choice. */
static vlm_status resolve(reader *r, const char *path, char **out) {
    const char *root = *r->from->root ? r->from->root : ".";
    size_t n = strlen(root);
    bool up = false, inside = r->from->root_named && !strncmp(path, root, n) && (path[n] == '/' || root[n - 1] == '/');
    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/') up |= strcspn(p, "/") == 2 && !strncmp(p, "..", 2);
    if (up)
        return refuse(r, VLM_BAD_PATH, vlm_fail(VLM_EFORMAT, r->where, "image %s has .. in its path; write it relative to --data-root, "
                                                "a folder above it", path));
    if (path[0] == '/' && !inside)
        return refuse(r, VLM_BAD_PATH, vlm_fail(VLM_EFORMAT, r->where, "image %s leaves the data's folder; name the folder that holds it "
                                                "with --data-root", path));
    char *full = path[0] == '/' || !strcmp(root, ".") ? strdup(path) : vlm_join(root, path);
    if (!full) return vlm_fail_memory(r->where, strlen(path));
    *out = full;
    return VLM_OK;
}
static bool is_url(const char *path) {
    size_t n = strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-.");
    return (n > 1 && !strncmp(path + n, "://", 3)) || !strncmp(path, "data:", 5);
}
/* Members of one sample lie in one folder of the archive: the name in it says enough. */
static const vlm_sample_image *find_member(const vlm_sample_members *m, const char *path) {
    if (!strncmp(path, "./", 2)) path += 2;
    for (int64_t i = 0; i < m->n; i++) {
        const char *name = m->image[i].path, *slash = strrchr(name, '/');
        if (!strncmp(name, "./", 2)) name += 2;
        if (!strcmp(name, path) || (slash && !strcmp(slash + 1, path))) return &m->image[i];
    }
    return NULL;
}
static vlm_status room_for_image(reader *r, vlm_sample_image **out) {
    struct vlm_sample *s = &r->s;
    if (s->images >= r->from->max_images)
        return vlm_fail(VLM_ELIMIT, r->where, "has more than %lld images; raise the limit with --max-images",
                        (long long)r->from->max_images);
    if (!(s->images & (s->images - 1))) {      /* 0, 1, 2, 4, ...: twice the room */
        size_t bytes = (size_t)(s->images ? 2 * s->images : 1) * sizeof *s->image;
        vlm_sample_image *p = realloc(s->image, bytes);
        if (!p) return vlm_fail_memory(r->where, bytes);
        s->image = p;
    }
    *out = &s->image[s->images++];
    **out = (vlm_sample_image){ .fd = -1 };
    return VLM_OK;
}
static vlm_status add_member(reader *r, const vlm_sample_image *m) {
    vlm_sample_image *image;
    TRY(room_for_image(r, &image));
    image->fd = m->fd;
    image->at = m->at;
    image->bytes = m->bytes;
    TRY(copy(m->path, r->where, &image->path));
    return m->file ? copy(m->file, r->where, &image->file) : VLM_OK;
}
static vlm_status add_path(reader *r, const json_t *v) {
    const char *path = json_string_value(v);
    vlm_sample_image *image;
    if (!path) return vlm_fail(VLM_EFORMAT, r->where, "has an image that is not a path; write a string");
    if (!*path) return refuse(r, VLM_BAD_PATH, vlm_fail(VLM_EFORMAT, r->where, "has an image whose path is empty; name a file"));
    if (is_url(path))
        return refuse(r, VLM_BAD_PATH, vlm_fail(VLM_EUNSUPPORTED, r->where, "image %.60s%s is a URL; save the picture and give its path",
                                                path, strlen(path) > 60 ? "..." : ""));
    if (r->from->archive) {
        const vlm_sample_image *m = find_member(&r->from->members, path);
        if (m) return add_member(r, m);
        return refuse(r, VLM_BAD_MISSING_IMAGE, vlm_fail(VLM_EIO, r->where, "image %s is no member of this sample; pack it under the "
                                                         "sample's key", path));
    }
    TRY(room_for_image(r, &image));
    TRY(copy(path, r->where, &image->path));
    return resolve(r, path, &image->file);
}
static int64_t waiting(const reader *r) { return r->images ? (int64_t)json_array_size(r->images) : r->from->members.n; }
static vlm_status add_waiting(reader *r, int64_t i) {
    return r->images ? add_path(r, json_array_get(r->images, (size_t)i)) : add_member(r, &r->from->members.image[i]);
}

/* ---- texts ---------------------------------------------------------------------------------------------------------- */
static vlm_status make_turns(reader *r, size_t n) {
    if (n && !(r->s.turn = calloc(n, sizeof *r->s.turn))) return vlm_fail_memory(r->where, n * sizeof *r->s.turn);
    return VLM_OK;
}
static vlm_status read_texts(reader *r, const json_t *texts) {
    static const char *const known[] = { "user", "assistant", "source", NULL };
    const json_t *v;
    size_t i;
    if (!json_is_array(texts))
        return vlm_fail(VLM_EFORMAT, r->where, "texts is not an array; write [{\"user\": ..., \"assistant\": ...}]");
    TRY(make_turns(r, json_array_size(texts)));
    json_array_foreach(texts, i, v) {
        const char *user = NULL, *assistant = NULL;
        vlm_sample_turn *t = &r->s.turn[r->s.turns++];
        TRY(check_keys(v, r->where, "a text", known));
        TRY(need(v, r->where, "a text", "user", &user));
        TRY(vlm_json_string(v, r->where, "assistant", &assistant));
        TRY(copy(user, r->where, &t->user));
        if (assistant) TRY(copy(assistant, r->where, &t->assistant));
    }
    return VLM_OK;
}

/* ---- messages ------------------------------------------------------------------------------------------------------- */
/* {"type": "image"} with its path under image, path or url; without one it takes the next of the sample's images. */
static vlm_status read_image_part(reader *r, const json_t *part) {
    static const char *const known[] = { "type", "image", "path", "url", "index", NULL };
    const json_t *path = NULL;
    int64_t index = r->placed;
    TRY(check_keys(part, r->where, "an image part", known));
    for (int k = 1; k < 4; k++) {
        const json_t *v = json_object_get(part, known[k]);
        if (!v || json_is_null(v)) continue;
        if (path) return vlm_fail(VLM_EFORMAT, r->where, "an image part has two paths; give one");
        path = v;
    }
    if (path) { r->named++; return add_path(r, path); }
    if (r->placed >= waiting(r))
        return vlm_fail(VLM_EFORMAT, r->where, "an image part names no image; write {\"type\": \"image\", \"image\": \"a.png\"}");
    TRY(vlm_json_int(part, r->where, "index", 0, INT64_MAX, &index));
    if (index != r->placed)
        return vlm_fail(VLM_EFORMAT, r->where, "an image part has index %lld, expected %lld; parts take images in their order",
                        (long long)index, (long long)r->placed);
    return add_waiting(r, r->placed++);
}
/* OpenAI's {"type": "image_url", "image_url": {"url": path}}. `detail` asks a service for a resolution; nobody here does. */
static vlm_status read_url_part(reader *r, const json_t *part) {
    static const char *const known[] = { "type", "image_url", NULL }, *const inner[] = { "url", "detail", NULL };
    const json_t *url = json_object_get(part, "image_url");
    TRY(check_keys(part, r->where, "an image_url part", known));
    if (!json_is_object(url))
        return vlm_fail(VLM_EFORMAT, r->where, "an image_url part has no object image_url; write {\"url\": \"a.png\"}");
    TRY(check_keys(url, r->where, "an image_url", inner));
    r->named++;
    return add_path(r, json_object_get(url, "url"));
}
/* A message's texts, one after another, and (images NULL: not here) its images. */
static vlm_status read_content(reader *r, const json_t *content, const char *whose, int64_t *images, char **out) {
    const json_t *v;
    size_t i, bytes = 0, at = 0;
    int64_t before = r->s.images;
    if (json_is_string(content)) return copy(json_string_value(content), r->where, out);
    if (!json_is_array(content)) return vlm_fail(VLM_EFORMAT, r->where, "a message has no content; write a string or an array of parts");
    json_array_foreach(content, i, v) {
        static const char *const known[] = { "type", "text", NULL };
        const char *type = NULL, *text = NULL;
        TRY(need(v, r->where, "a part", "type", &type));
        if (!strcmp(type, "text")) {
            TRY(check_keys(v, r->where, "a part", known));
            TRY(need(v, r->where, "a part", "text", &text));
            bytes += strlen(text);
        } else if (strcmp(type, "image") && strcmp(type, "image_url"))
            return vlm_fail(VLM_EFORMAT, r->where, "a part has type \"%.64s\"; image, image_url and text are known", type);
        else if (!images)
            return vlm_fail(VLM_EFORMAT, r->where, "%s content has a part of type \"%s\"; write text alone", whose, type);
        else TRY(*(type + 5) ? read_url_part(r, v) : read_image_part(r, v));
    }
    if (!(*out = malloc(bytes + 1))) return vlm_fail_memory(r->where, bytes + 1);
    json_array_foreach(content, i, v) {
        const char *text = json_string_value(json_object_get(v, "text"));
        if (!text) continue;
        memcpy(*out + at, text, strlen(text));
        at += strlen(text);
    }
    (*out)[at] = 0;
    if (images) *images = r->s.images - before;
    return VLM_OK;
}
static vlm_status read_messages(reader *r, const json_t *messages) {
    static const char *const known[] = { "role", "content", NULL };
    const json_t *v;
    size_t i;
    if (!json_is_array(messages))
        return vlm_fail(VLM_EFORMAT, r->where, "messages is not an array; write [{\"role\": \"user\", \"content\": ...}]");
    TRY(make_turns(r, json_array_size(messages)));
    json_array_foreach(messages, i, v) {
        const char *role = NULL;
        TRY(need(v, r->where, "a message", "role", &role));
        TRY(check_keys(v, r->where, "a message", known));
        const json_t *content = json_object_get(v, "content");
        vlm_sample_turn *last = r->s.turns ? &r->s.turn[r->s.turns - 1] : NULL;
        if (!strcmp(role, "system") && !i) TRY(read_content(r, content, "the system's", NULL, &r->s.system));
        else if (!strcmp(role, "user") && (!last || last->assistant)) {
            last = &r->s.turn[r->s.turns++];
            TRY(read_content(r, content, "a user's", &last->images, &last->user));
        } else if (!strcmp(role, "assistant") && last && !last->assistant)
            TRY(read_content(r, content, "an assistant's", NULL, &last->assistant));
        else
            return vlm_fail(VLM_EFORMAT, r->where, "message %zu has role \"%.64s\"; user and assistant take turns, system comes first",
                            i + 1, role);
    }
    return VLM_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */
static void free_turn(vlm_sample_turn *t) {
    free(t->user);
    free(t->assistant);
}
static void free_image(vlm_sample_image *m) {
    free(m->path);
    free(m->file);
}
/* FineVision's ratings: a turn that has one below its minimum is left out. Its images, which others may speak of, go to the next that
   stays. */
static vlm_status drop_turns(reader *r, const json_t *j) {
    static const char *const keys[4] = { "relevance_ratings", "image_correspondence_ratings", "visual_dependency_ratings",
                                         "formatting_ratings" };
    struct vlm_sample *s = &r->s;
    int64_t kept = 0, before = s->turns, carried = 0;
    for (int k = 0; r->from->rating_min && k < 4; k++) {
        const json_t *list = json_object_get(j, keys[k]), *v;
        size_t i;
        if (!list || json_is_null(list)) continue;
        if (!json_is_array(list) || json_array_size(list) > (size_t)before)
            return vlm_fail(VLM_EFORMAT, r->where, "%s is not an array of one number or null for each turn; mend the line", keys[k]);
        json_array_foreach(list, i, v) {
            if (!json_is_number(v) && !json_is_null(v))
                return vlm_fail(VLM_EFORMAT, r->where, "%s holds something that is neither a number nor null; mend the line", keys[k]);
            if (json_is_number(v) && json_number_value(v) < (double)r->from->rating_min[k] && s->turn[i].user) {
                free_turn(&s->turn[i]);
                s->turn[i] = (vlm_sample_turn){ .images = s->turn[i].images };
                s->dropped++;
            }
        }
    }
    if (!s->dropped) return VLM_OK;
    for (int64_t i = 0; i < before; i++) {
        carried += s->turn[i].images;
        if (!s->turn[i].user) continue;
        s->turn[kept] = s->turn[i];
        s->turn[kept++].images = carried;
        carried = 0;
    }
    s->turns = kept;
    for (; carried; carried--) free_image(&s->image[--s->images]);
    if (kept) return VLM_OK;
    return refuse(r, VLM_BAD_NO_ASSISTANT, vlm_fail(VLM_EFORMAT, r->where, "each of its %lld turns is rated below the minimum; lower the "
                                                    "minimum or leave the sample out", (long long)before));
}
static vlm_status check_answers(reader *r) {
    const struct vlm_sample *s = &r->s;
    for (int64_t i = 0; i + 1 < s->turns; i++)
        if (!s->turn[i].assistant)
            return refuse(r, VLM_BAD_NO_ASSISTANT, vlm_fail(VLM_EFORMAT, r->where, "turn %lld has no answer, but is not the last; give one",
                                                            (long long)i + 1));
    if (r->from->need_assistant && s->turns == 1 && !s->turn[0].assistant)
        return refuse(r, VLM_BAD_NO_ASSISTANT, vlm_fail(VLM_EFORMAT, r->where, "has no assistant turn, so there is nothing to learn; give "
                                                        "the answer"));
    return VLM_OK;
}
static vlm_status read_whole(reader *r, const json_t *j) {
    static const char *const known[] = { "texts", "messages", "images", "id", "source", "answers", "choices", "relevance_ratings",
                                         "image_correspondence_ratings", "visual_dependency_ratings", "formatting_ratings", "relevance_min",
                                         "image_correspondence_min", "visual_dependency_min", "formatting_min", NULL };
    const json_t *texts = json_object_get(j, "texts"), *messages = json_object_get(j, "messages"), *images = json_object_get(j, "images");
    if (!json_is_object(j)) return vlm_fail(VLM_EFORMAT, r->where, "is not a JSON object; write {\"images\": [...], \"texts\": [...]}");
    if (json_is_null(texts)) texts = NULL;
    if (json_is_null(messages)) messages = NULL;
    if (!texts == !messages)
        return vlm_fail(VLM_EFORMAT, r->where, "has %s texts %s messages; give one of them", texts ? "both" : "neither",
                        texts ? "and" : "nor");
    TRY(check_keys(j, r->where, "the sample", known));
    if (json_is_array(images) ? json_array_size(images) > 0 : images && !json_is_null(images)) r->images = images;
    if (texts && r->images && !json_is_array(images))
        return vlm_fail(VLM_EFORMAT, r->where, "images is not an array; write [\"a.png\"]");
    TRY(texts ? read_texts(r, texts) : read_messages(r, messages));
    if (!r->s.turns)
        return refuse(r, VLM_BAD_NO_ASSISTANT, vlm_fail(VLM_EFORMAT, r->where, "has no user turn; give one"));
    if (messages && r->images && (!r->placed || r->placed < waiting(r)))
        return vlm_fail(VLM_EFORMAT, r->where, r->placed ? "has more images than image parts; give each its part"
                                               : "has images beside messages; name each in a part {\"type\": \"image\", \"image\": ...}");
    if (messages && !r->images && r->placed && r->placed < waiting(r))
        return vlm_fail(VLM_EFORMAT, r->where, "lies beside more images than it has image parts; give each its part");
    if (!r->placed && !r->named) {             /* nobody says where they go: in front of everything */
        for (int64_t i = 0; i < waiting(r); i++) TRY(add_waiting(r, i));
        r->s.turn[0].images = r->s.images;
    }
    TRY(drop_turns(r, j));
    TRY(check_answers(r));
    TRY(read_strings(j, r->where, "answers", &r->s.answer, &r->s.answers));
    TRY(read_strings(j, r->where, "choices", &r->s.choice, &r->s.choices));
    const json_t *id = json_object_get(j, "id");
    if (id && !json_is_null(id)) r->s.id = json_incref((json_t *)(uintptr_t)id);
    return VLM_OK;
}
static vlm_status read_caption(reader *r, const char *text, size_t n) {
    trim(&text, &n);
    if (!r->from->members.n)
        return refuse(r, VLM_BAD_MISSING_IMAGE, vlm_fail(VLM_EIO, r->where, "is a text without an image of the same name; add the image or "
                                                         "take the text away"));
    json_t *valid = json_stringn(text, n);
    if (!valid) return vlm_fail(VLM_EFORMAT, r->where, "is not UTF-8; convert the text");
    json_decref(valid);
    if (memchr(text, 0, n)) return vlm_fail(VLM_EFORMAT, r->where, "holds a NUL; give text");
    TRY(make_turns(r, 1));
    r->s.turns = 1;
    TRY(copy("", r->where, &r->s.turn[0].user));
    if (n && !(r->s.turn[0].assistant = strndup(text, n))) return vlm_fail_memory(r->where, n);
    for (int64_t i = 0; i < r->from->members.n; i++) TRY(add_waiting(r, i));
    r->s.turn[0].images = r->s.images;
    return check_answers(r);
}
static vlm_status finish(reader *r, vlm_status status, struct vlm_sample *out, vlm_bad *why) {
    if (!status) status = copy(r->from->file, r->where, &r->s.file);
    if (!status) status = copy(r->from->row, r->where, &r->s.row);
    if (!status) status = copy(r->from->where, r->where, &r->s.where);
    if (status) vlm_sample_free(&r->s);
    else *out = r->s;
    return done(why, status, r->bad);
}
vlm_status vlm_sample_read(const json_t *j, const vlm_sample_source *from, struct vlm_sample *out, vlm_bad *why) {
    reader r = { .from = from, .where = from->where };
    return finish(&r, read_whole(&r, j), out, why);
}
vlm_status vlm_sample_caption(const char *text, size_t n, const vlm_sample_source *from, struct vlm_sample *out, vlm_bad *why) {
    reader r = { .from = from, .where = from->where };
    return finish(&r, read_caption(&r, text, n), out, why);
}
void vlm_sample_free(struct vlm_sample *s) {
    for (int64_t i = 0; i < s->turns; i++) free_turn(&s->turn[i]);
    for (int64_t i = 0; i < s->images; i++) free_image(&s->image[i]);
    for (int64_t i = 0; i < s->answers; i++) free(s->answer[i]);
    for (int64_t i = 0; i < s->choices; i++) free(s->choice[i]);
    free(s->turn);
    free(s->image);
    free(s->answer);
    free(s->choice);
    free(s->file);
    free(s->row);
    free(s->where);
    free(s->system);
    json_decref(s->id);
    *s = (struct vlm_sample){ 0 };
}

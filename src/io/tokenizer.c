/* A tokenizer: opened from its folder, and the way of a text through its parts. */
#include "io/tokenizer.h"
#include "base/file.h"
#include "base/log.h"
#include "io/tokenizer_impl.h"
#include <stdlib.h>

/* ---- What stands around a text: [CLS] $A [SEP] ---- */
static vlm_status special_ids(const json_t *map, const char *where, const char *name, vlm_ids *out) {
    const json_t *ids = json_object_get(json_object_get(map, name), "ids");
    if (!json_is_array(ids))
        return vlm_fail(VLM_EFORMAT, where, "post_processor.special_tokens has no ids for %.80s; get the file again", name);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= VLM_TOKEN_LIMIT)
            return vlm_fail(VLM_EFORMAT, where, "post_processor has a broken id for %.80s; get the file again", name);
        TRY(vlm_ids_push(out, json_integer_value(id)));
    }
    return VLM_OK;
}
/* new = in front of what is there (the processors of a Sequence wrap one another) */
static vlm_status wrap(vlm_tokenizer *t, vlm_ids *before, const vlm_ids *behind) {
    for (size_t i = 0; i < t->before.n; i++) TRY(vlm_ids_push(before, t->before.id[i]));
    for (size_t i = 0; i < behind->n; i++) TRY(vlm_ids_push(&t->behind, behind->id[i]));
    vlm_ids swap = t->before;
    t->before = *before;
    *before = swap;
    return VLM_OK;
}
static vlm_status template(vlm_tokenizer *t, const json_t *o) {
    vlm_status status = VLM_OK;
    vlm_ids before = {0}, behind = {0};
    const json_t *single = json_object_get(o, "single");
    bool text = false;
    if (!json_is_array(single)) return vlm_fail(VLM_EFORMAT, t->where, "post_processor.single is not an array; get the file again");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *seq = json_object_get(piece, "Sequence"), *sp = json_object_get(piece, "SpecialToken");
        const char *id = NULL;
        TRY_DONE(vlm_json_string(seq ? seq : sp, t->where, "id", &id));
        if (!id || (seq && (strcmp(id, "A") || text)))
            TRY_DONE(vlm_fail(VLM_EFORMAT, t->where, "post_processor.single does not hold the text once; get the file again"));
        if (seq) text = true;
        else TRY_DONE(special_ids(json_object_get(o, "special_tokens"), t->where, id, text ? &behind : &before));
    }
    if (!text) TRY_DONE(vlm_fail(VLM_EFORMAT, t->where, "post_processor.single does not hold the text; get the file again"));
    status = wrap(t, &before, &behind);
done:
    vlm_ids_free(&before);
    vlm_ids_free(&behind);
    return status;
}
static vlm_status cls_sep(vlm_tokenizer *t, const json_t *o) {
    vlm_status status = VLM_OK;
    vlm_ids before = {0}, behind = {0};
    const json_t *cls = json_array_get(json_object_get(o, "cls"), 1), *sep = json_array_get(json_object_get(o, "sep"), 1);
    int64_t a = json_is_integer(cls) ? json_integer_value(cls) : -1, b = json_is_integer(sep) ? json_integer_value(sep) : -1;
    if (a < 0 || b < 0 || a >= VLM_TOKEN_LIMIT || b >= VLM_TOKEN_LIMIT)
        return vlm_fail(VLM_EFORMAT, t->where, "post_processor has no ids in cls and sep; get the file again");
    TRY_DONE(vlm_ids_push(&before, a));
    TRY_DONE(vlm_ids_push(&behind, b));
    status = wrap(t, &before, &behind);
done:
    vlm_ids_free(&before);
    vlm_ids_free(&behind);
    return status;
}
static vlm_status post_read(vlm_tokenizer *t, const json_t *o, int depth) {
    const char *type;
    if (!o || json_is_null(o)) return VLM_OK;
    TRY(vlm_json_need_string(o, t->where, "type", &type));
    if (!strcmp(type, "ByteLevel")) return VLM_OK;         /* concerns offsets only */
    if (!strcmp(type, "TemplateProcessing")) return template(t, o);
    if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing")) return cls_sep(t, o);
    if (strcmp(type, "Sequence"))
        return vlm_fail(VLM_EUNSUPPORTED, t->where,
                        "post_processor %.60s is not supported (known: TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, "
                        "Sequence); use another tokenizer", type);
    const json_t *list = json_object_get(o, "processors");
    if (depth > 8 || !json_is_array(list))
        return vlm_fail(VLM_EFORMAT, t->where, "a Sequence of post-processors is broken or too deep; get the file again");
    for (size_t i = 0; i < json_array_size(list); i++) TRY(post_read(t, json_array_get(list, i), depth + 1));
    return VLM_OK;
}

/* ---- Opening ---- */
/* tables: the file with its tables, if there is one. */
static vlm_status parse(vlm_tokenizer *t, const char *text, size_t n, const char *tables) {
    static const char *const turns[] = { "<|im_start|>", "<|im_end|>", "<bos>", "<start_of_turn>", "<end_of_turn>" };    /* io/chat.c's */
    vlm_status status = VLM_OK;
    vlm_buf rest = {0};
    json_t *root = NULL;
    const char *vocab = NULL, *merges = NULL;
    size_t vocab_n = 0, merges_n = 0;
    if (n > VLM_JSON_LIMIT)
        return vlm_fail(VLM_ELIMIT, t->where, "has %zu bytes, the limit is %d MB; get the file again", n, VLM_JSON_LIMIT >> 20);
    bool ready = false;
    if (tables) TRY_DONE(vlm_tables_read(t, tables, text, n, &rest, &ready));
    if (!ready) TRY_DONE(vlm_model_cut(text, n, &rest, &vocab, &vocab_n, &merges, &merges_n));
    TRY_DONE(vlm_json_parse(rest.s, rest.n, t->where, &root));
    if (!json_is_object(root)) TRY_DONE(vlm_fail(VLM_EFORMAT, t->where, "is not a JSON object; get the file again"));
    const json_t *cut = json_object_get(root, "truncation");
    if (cut && !json_is_null(cut))
        TRY_DONE(vlm_fail(VLM_EUNSUPPORTED, t->where, "truncation is set, which would cut texts in silence; set it to null in the file"));
    const json_t *pad = json_object_get(root, "padding");
    if (pad && !json_is_null(pad)) vlm_warn(t->where, "padding is set in the file; nothing is ever padded here: set it to null");
    TRY_DONE(vlm_model_read(t, json_object_get(root, "model"), vocab, vocab_n, merges, merges_n));
    TRY_DONE(vlm_normalizers_read(json_object_get(root, "normalizer"), t->where, &t->normalizers, 0));
    TRY_DONE(vlm_splitters_read(json_object_get(root, "pre_tokenizer"), t->where, &t->splitters, 0));
    TRY_DONE(vlm_decoders_read(json_object_get(root, "decoder"), t->where, &t->decoders, 0));
    TRY_DONE(post_read(t, json_object_get(root, "post_processor"), 0));
    TRY_DONE(vlm_added_read(t, json_object_get(root, "added_tokens")));
    if (!t->vocab.n) TRY_DONE(vlm_fail(VLM_EFORMAT, t->where, "has no tokens at all; get the file again"));
    size_t flags = (size_t)t->vocab.size / 8 + 1;
    if (!(t->special = calloc(flags, 1)) || !(t->control = calloc(flags, 1))) TRY_DONE(vlm_fail_memory(t->where, flags));
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].special) t->special[t->added[i].id / 8] |= (unsigned char)(1 << t->added[i].id % 8);
    for (size_t i = 0; i < t->before.n; i++) vlm_tokenizer_control(t, t->before.id[i]);
    for (size_t i = 0; i < t->behind.n; i++) vlm_tokenizer_control(t, t->behind.id[i]);
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) vlm_tokenizer_control(t, vlm_token_id(t, turns[i]));
done:
    free(rest.s);
    json_decref(root);
    return status;
}
static vlm_status parse_with(const void *json, size_t bytes, const char *where, const char *tables, vlm_tokenizer **out) {
    vlm_tokenizer *t = calloc(1, sizeof *t);
    if (!t || !(t->where = strdup(where))) {
        free(t);
        return vlm_fail_memory(where, sizeof *t);
    }
    t->bos = t->eos = t->pad = -1;
    vlm_status status = parse(t, json, bytes, tables);
    if (status) vlm_tokenizer_close(t);
    else *out = t;
    return status;
}
vlm_status vlm_tokenizer_parse(const void *json, size_t bytes, const char *where, vlm_tokenizer **out) {
    return parse_with(json, bytes, where, NULL, out);
}
void vlm_tokenizer_close(vlm_tokenizer *t) {
    if (!t) return;
    vlm_vocab_free(&t->vocab);
    if (!t->tables.map.data) {
        vlm_u64map_free(&t->bpe.pair);
        free(t->bpe.merged);
    }
    vlm_safetensors_close(&t->tables);
    vlm_steps_free(&t->normalizers);
    vlm_steps_free(&t->splitters);
    vlm_steps_free(&t->decoders);
    for (size_t i = 0; t->shown && i < t->n_added; i++) free(t->shown[i].s);
    free(t->shown);
    free(t->added);
    vlm_u64map_free(&t->added_of);
    vlm_trie_free(&t->raw);
    vlm_trie_free(&t->normal);
    vlm_ids_free(&t->before);
    vlm_ids_free(&t->behind);
    free(t->special);
    free(t->control);
    free(t->chat_template);
    free(t->where);
    free(t);
}

/* "eos_token": "</s>" or {"content": "</s>", ...} */
static vlm_status named(const vlm_tokenizer *t, const json_t *o, const char *where, const char *key, int64_t *id) {
    const json_t *v = json_object_get(o, key);
    const char *s = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    if (*id >= 0 || !v || json_is_null(v)) return VLM_OK;
    if (!s) return vlm_fail(VLM_EFORMAT, where, "key %s is neither a string nor an object with content; mend the file", key);
    *id = vlm_token_id(t, s);
    if (*id < 0) vlm_warn(where, "%s is %s, which the vocabulary does not have; it is ignored", key, s);
    return VLM_OK;
}
static vlm_status template_of(vlm_tokenizer *t, const json_t *o, const char *where) {
    const json_t *v = json_object_get(o, "chat_template"), *list = v;
    const char *s = json_string_value(v), *name;
    for (size_t i = 0; json_is_array(list) && i < json_array_size(list); i++) {        /* several: the one called default */
        name = json_string_value(json_object_get(json_array_get(list, i), "name"));
        if (name && !strcmp(name, "default")) s = json_string_value(json_object_get(json_array_get(list, i), "template"));
    }
    if (!s && v && !json_is_null(v))
        return vlm_fail(VLM_EFORMAT, where, "chat_template is neither a string nor a list with a default; mend the file");
    if (s && !(t->chat_template = strdup(s))) return vlm_fail_memory(where, strlen(s));
    return VLM_OK;
}
/* Calls with each side file that exists. */
static vlm_status side_file(vlm_tokenizer *t, const char *dir, const char *name, bool config) {
    vlm_status status = VLM_OK;
    json_t *o = NULL;
    char *path = vlm_join(dir, name);
    if (!path) return vlm_fail_memory(dir, 64);
    if (!vlm_exists(path)) goto done;
    TRY_DONE(vlm_json_read(path, &o));
    if (!json_is_object(o)) TRY_DONE(vlm_fail(VLM_EFORMAT, path, "is not a JSON object; get the file again"));
    TRY_DONE(named(t, o, path, "bos_token", &t->bos));
    TRY_DONE(named(t, o, path, "eos_token", &t->eos));
    TRY_DONE(named(t, o, path, "pad_token", &t->pad));
    if (config) status = template_of(t, o, path);
done:
    json_decref(o);
    free(path);
    return status;
}
static vlm_status open_at(const char *dir, const char *path, vlm_tokenizer **out) {
    vlm_status status = VLM_OK;
    vlm_tokenizer *t = NULL;
    vlm_map map = {0};
    unsigned char *jinja = NULL;
    size_t bytes;
    char *extra = vlm_join(dir, "chat_template.jinja"), *tables = vlm_join(dir, "tokenizer.safetensors");
    if (!extra || !tables) TRY_DONE(vlm_fail_memory(dir, 64));
    TRY_DONE(vlm_map_open(path, VLM_JSON_LIMIT, &map));
    TRY_DONE(parse_with(map.data ? (const char *)map.data : "", map.size, path, tables, &t));
    TRY_DONE(side_file(t, dir, "tokenizer_config.json", true));
    TRY_DONE(side_file(t, dir, "special_tokens_map.json", false));
    vlm_tokenizer_control(t, t->bos);
    vlm_tokenizer_control(t, t->eos);
    if (vlm_exists(extra)) {                               /* newer folders keep the template in a file of its own */
        TRY_DONE(vlm_read(extra, 1 << 20, &jinja, &bytes));
        free(t->chat_template);
        t->chat_template = (char *)jinja;
    }
    *out = t;
    t = NULL;
done:
    vlm_tokenizer_close(t);
    vlm_map_close(&map);
    free(extra);
    free(tables);
    return status;
}
vlm_status vlm_tokenizer_open(const char *dir, vlm_tokenizer **out) {
    vlm_status status = VLM_OK;
    char *path = vlm_join(dir, "tokenizer.json"), *sub = vlm_join(dir, "tokenizer"), *inner = sub ? vlm_join(sub, "tokenizer.json") : NULL;
    char *old = vlm_join(dir, "tokenizer.model");
    if (!path || !inner || !old) TRY_DONE(vlm_fail_memory(dir, 256));
    if (vlm_exists(path)) status = open_at(dir, path, out);
    else if (vlm_exists(inner)) status = open_at(sub, inner, out);
    else if (vlm_exists(old))
        status = vlm_fail(VLM_EUNSUPPORTED, old,
                          "a SentencePiece model alone is not supported; save the tokenizer as tokenizer.json "
                          "(AutoTokenizer(...).save_pretrained)");
    else status = vlm_fail(VLM_EIO, dir, "has no tokenizer.json, nor tokenizer/tokenizer.json; get the folder again");
done:
    free(path);
    free(sub);
    free(inner);
    free(old);
    return status;
}

/* ---- Asking ---- */
const char *vlm_tokenizer_where(const vlm_tokenizer *t) { return t->where; }
int64_t vlm_tokenizer_size(const vlm_tokenizer *t) { return t->vocab.size; }
int64_t vlm_tokenizer_bos(const vlm_tokenizer *t) { return t->bos; }
int64_t vlm_tokenizer_eos(const vlm_tokenizer *t) { return t->eos; }
int64_t vlm_tokenizer_pad(const vlm_tokenizer *t) { return t->pad; }
const char *vlm_tokenizer_chat_template(const vlm_tokenizer *t) { return t->chat_template; }
int64_t vlm_token_id(const vlm_tokenizer *t, const char *token) {
    int64_t at = vlm_vocab_find(&t->vocab, token, strlen(token));
    return at < 0 ? -1 : t->vocab.token[at].id;
}
static const vlm_token *token_of(const vlm_tokenizer *t, int64_t id) {
    uint32_t at;
    return id >= 0 && id < t->vocab.size && vlm_u64map_get(&t->vocab.id, (uint64_t)id, &at) ? &t->vocab.token[at] : NULL;
}
bool vlm_token_known(const vlm_tokenizer *t, int64_t id) { return token_of(t, id) != NULL; }
const char *vlm_token_text(const vlm_tokenizer *t, int64_t id, size_t *bytes) {
    const vlm_token *k = token_of(t, id);
    if (k && bytes) *bytes = k->n;
    return k ? t->vocab.text.s + k->at : NULL;
}
bool vlm_token_special(const vlm_tokenizer *t, int64_t id) {
    return id >= 0 && id < t->vocab.size && t->special[id / 8] >> id % 8 & 1;
}
static const vlm_added *added_of(const vlm_tokenizer *t, int64_t id, uint32_t *at) {
    return id >= 0 && vlm_u64map_get(&t->added_of, (uint64_t)id, at) ? &t->added[*at] : NULL;
}
void vlm_tokenizer_control(vlm_tokenizer *t, int64_t id) {
    size_t n;
    uint32_t at, c;
    const char *s = vlm_token_text(t, id, &n);
    if (!s || (!added_of(t, id, &at) && n && (size_t)vlm_utf8_get(s, &c) == n)) return;
    t->control[id / 8] |= (unsigned char)(1 << id % 8);
}
bool vlm_token_barred(const vlm_tokenizer *t, int64_t id) {
    return id >= 0 && id < t->vocab.size && (t->special[id / 8] | t->control[id / 8]) >> id % 8 & 1;
}
const char *vlm_token_shown(const vlm_tokenizer *t, int64_t id, size_t *n, bool *hidden) {
    uint32_t at;
    const vlm_added *a = added_of(t, id, &at);
    *hidden = a && a->hidden;
    if (!a || !t->shown[at].s) return vlm_token_text(t, id, n);
    *n = t->shown[at].n;
    return t->shown[at].s;
}
void vlm_token_strips(const vlm_tokenizer *t, int64_t id, bool *left, bool *right) {
    uint32_t at;
    const vlm_added *a = added_of(t, id, &at);
    *left = a && a->lstrip;
    *right = a && a->rstrip;
}

/* ---- Encoding ---- */
typedef struct work {
    vlm_stretches spans, inner, scratch;       /* of added tokens before and after normalization; of everything else */
    vlm_ids which, inner_which;
    vlm_run out, spare;
    vlm_stage a, b;
    vlm_word word;
} work;
static void work_free(work *w) {
    pcre2_match_data_free(w->scratch.match);
    free(w->spans.v), free(w->inner.v), free(w->scratch.v);
    vlm_ids_free(&w->which), vlm_ids_free(&w->inner_which);
    free(w->out.text.s), free(w->spare.text.s);
    free(w->a.text.s), free(w->a.piece), free(w->b.text.s), free(w->b.piece);
    free(w->word.symbol), free(w->word.heap);
}
static vlm_status encode(const vlm_tokenizer *t, const char *text, size_t n, int flags, work *w, vlm_ids *ids) {
    bool literal = flags & VLM_ENCODE_LITERAL;
    size_t room = vlm_normalize_room(n);
    uint32_t c;
    TRY(vlm_added_spans(t, &t->raw, text, n, literal, &w->spans, &w->which));
    for (size_t i = 0; i < w->spans.n; i++) {
        vlm_stretch p = w->spans.v[i];
        if (p.hit) {
            TRY(vlm_stage_add(&w->a, text + p.lo, p.hi - p.lo, 0, t->added[w->which.id[i]].id));
            continue;
        }
        size_t zero = p.lo || flags & VLM_ENCODE_INSIDE ? 0 : (size_t)vlm_utf8_get(text, &c);
        TRY(vlm_normalize(&t->normalizers, t->where, text + p.lo, p.hi - p.lo, zero, &room, &w->scratch, &w->out, &w->spare));
        const char *s = w->out.text.s;
        TRY(vlm_added_spans(t, &t->normal, s, w->out.text.n, literal, &w->inner, &w->inner_which));
        for (size_t k = 0; k < w->inner.n; k++) {
            vlm_stretch q = w->inner.v[k];
            size_t first = w->out.zero > q.lo ? w->out.zero - q.lo : 0;
            TRY(vlm_stage_add(&w->a, s + q.lo, q.hi - q.lo, first, q.hit ? t->added[w->inner_which.id[k]].id : -1));
        }
    }
    TRY(vlm_presplit(&t->splitters, t->where, &w->scratch, &w->a, &w->b));
    for (size_t i = 0; i < w->a.n; i++) {
        const vlm_piece *p = &w->a.piece[i];
        if (p->id >= 0) TRY(vlm_ids_push(ids, p->id));
        else if (p->n > INT32_MAX)
            return vlm_fail(VLM_ELIMIT, t->where, "a word of %zu bytes is over the limit of 2 GB; shorten the text", p->n);
        else TRY(vlm_bpe_encode(t, w->a.text.s + p->at, p->n, literal, &w->word, ids));
    }
    return VLM_OK;
}
vlm_status vlm_text_check(const char *text, size_t bytes) {
    size_t bad, ok = vlm_utf8_valid(text, bytes, &bad);
    return ok == bytes ? VLM_OK : vlm_fail(VLM_EFORMAT, "text", "byte %zu is not UTF-8; convert the text", ok);
}
vlm_status vlm_tokenizer_encode(const vlm_tokenizer *t, const char *text, size_t bytes, int flags, vlm_ids *ids) {
    vlm_status status = VLM_OK;
    work w = {0};
    size_t begin = ids->n;
    if (bytes > VLM_TEXT_LIMIT)
        return vlm_fail(VLM_ELIMIT, "text", "has %zu bytes, the limit is %d MB; cut it into parts", bytes, VLM_TEXT_LIMIT >> 20);
    TRY(vlm_text_check(text, bytes));
    for (size_t i = 0; flags & (VLM_ENCODE_ADD | VLM_ENCODE_FRONT) && i < t->before.n; i++) TRY_DONE(vlm_ids_push(ids, t->before.id[i]));
    size_t front = ids->n;
    if (bytes) TRY_DONE(encode(t, text, bytes, flags, &w, ids));
    if (w.word.dropped && ids->n == front)
        TRY_DONE(vlm_fail(VLM_EFORMAT, t->where, "no character of the text is in the vocabulary, which has no token for unknown ones; "
                          "it is another language's tokenizer, or a broken one: get the file again"));
    for (size_t i = 0; flags & VLM_ENCODE_ADD && i < t->behind.n; i++) TRY_DONE(vlm_ids_push(ids, t->behind.id[i]));
    if (w.word.dropped)
        vlm_warn(t->where, "%lld characters of the text are not in the vocabulary, which has no token for unknown ones; they are left out",
                 (long long)w.word.dropped);
done:
    if (status) ids->n = begin;
    work_free(&w);
    return status;
}

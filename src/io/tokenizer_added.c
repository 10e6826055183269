/* Added tokens: found in the text before the model sees it, leftmost first, of those that begin there the longest. Tokens that are not
   `normalized` are sought in the text as it came, the others in the normalized text between them, by their normalized spelling. */
#include "base/log.h"
#include "io/tokenizer_impl.h"
#include <stdlib.h>

enum { ADDED_LIMIT = 4096 };   /* bytes of one added token */

static vlm_status node_new(vlm_trie *t) {
    size_t cap = t->cap;
    TRY(vlm_grow(&t->any, &cap, t->n + 1, sizeof *t->any));
    TRY(vlm_grow(&t->plain, &t->cap, t->n + 1, sizeof *t->plain));
    t->any[t->n] = t->plain[t->n] = -1;
    t->n++;
    return VLM_OK;
}
static vlm_status trie_add(vlm_trie *t, const char *s, size_t n, int32_t value, bool special, const char *where) {
    uint32_t node = 0, next;
    if (!n) return VLM_OK;                                 /* nothing is left of it after normalization: it is never found */
    if (!t->n) TRY(node_new(t));
    t->first[(unsigned char)s[0]] = true;
    for (size_t i = 0; i < n; i++, node = next) {
        uint64_t key = (uint64_t)node << 8 | (unsigned char)s[i];
        if (vlm_u64map_get(&t->edge, key, &next)) continue;
        next = (uint32_t)t->n;
        TRY(node_new(t));
        TRY(vlm_u64map_set(&t->edge, key, next, where));
    }
    if (t->any[node] < 0) t->any[node] = value;
    if (!special && t->plain[node] < 0) t->plain[node] = value;
    return VLM_OK;
}
void vlm_trie_free(vlm_trie *t) {
    vlm_u64map_free(&t->edge);
    free(t->any);
    free(t->plain);
    *t = (vlm_trie){0};
}

/* One after another they get the id of the model's token of the same string, or the next free one; an "id" in the file that says otherwise
   is the file's mistake. */
static vlm_status added_one(vlm_tokenizer *t, const json_t *o, int64_t *next) {
    const char *s;
    vlm_added a = { .normalized = true };
    int64_t id;
    uint32_t other;
    TRY(vlm_json_need_string(o, t->where, "content", &s));
    TRY(vlm_json_need_int(o, t->where, "id", 0, VLM_TOKEN_LIMIT - 1, &id));
    TRY(vlm_json_bool(o, t->where, "single_word", &a.single_word));
    TRY(vlm_json_bool(o, t->where, "lstrip", &a.lstrip));
    TRY(vlm_json_bool(o, t->where, "rstrip", &a.rstrip));
    TRY(vlm_json_bool(o, t->where, "special", &a.special));
    a.normalized = !a.special;
    TRY(vlm_json_bool(o, t->where, "normalized", &a.normalized));
    size_t n = strlen(s);
    if (!n) {
        vlm_warn(t->where, "added token %lld is empty and can never be found; it is left out", (long long)id);
        return VLM_OK;
    }
    if (n > ADDED_LIMIT)
        return vlm_fail(VLM_ELIMIT, t->where, "added token %.60s... has %zu bytes, the limit is %d; get the file again", s, n, ADDED_LIMIT);
    int64_t at = vlm_vocab_find(&t->vocab, s, n);
    int64_t want = at >= 0 ? t->vocab.token[at].id : *next;
    if (id != want)
        return vlm_fail(VLM_EFORMAT, t->where,
                        "added token %.80s has id %lld, but by its place it is %lld; get the file again, or mend the id", s,
                        (long long)id, (long long)want);
    if (vlm_u64map_get(&t->added_of, (uint64_t)id, &other))
        return vlm_fail(VLM_EFORMAT, t->where, "added token %.80s stands twice; get the file again", s);
    if (at < 0) {
        TRY(vlm_vocab_add(&t->vocab, s, n, id, t->where));
        *next = id + 1;
    }
    a.id = (int32_t)id;
    TRY(vlm_grow(&t->added, &t->cap_added, t->n_added + 1, sizeof *t->added));
    TRY(vlm_u64map_set(&t->added_of, (uint64_t)id, (uint32_t)t->n_added, t->where));
    t->added[t->n_added++] = a;
    return VLM_OK;
}
vlm_status vlm_added_read(vlm_tokenizer *t, const json_t *list) {
    vlm_status status = VLM_OK;
    vlm_stretches spans = {0};
    vlm_run out = {{0}, 0}, spare = {{0}, 0};
    int64_t next = (int64_t)t->vocab.model;
    size_t all = t->vocab.text.n, room;
    if (!list || json_is_null(list)) return VLM_OK;
    if (!json_is_array(list)) return vlm_fail(VLM_EFORMAT, t->where, "added_tokens is not an array; get the file again");
    for (size_t i = 0; i < json_array_size(list); i++) TRY(added_one(t, json_array_get(list, i), &next));
    room = vlm_normalize_room(t->vocab.text.n - all);      /* of all of them together */
    if (!(t->shown = calloc(t->n_added + 1, sizeof *t->shown))) return vlm_fail_memory(t->where, t->n_added * sizeof *t->shown);
    for (size_t i = 0; i < t->n_added; i++) {
        vlm_added *a = &t->added[i];
        size_t n;
        const char *s = vlm_token_text(t, a->id, &n);
        a->hidden = a->special;
        if (a->normalized) {
            TRY_DONE(vlm_normalize(&t->normalizers, t->where, s, n, 0, &room, &spans, &out, &spare));
            if (out.text.n != n || memcmp(out.text.s, s, n)) {
                TRY_DONE(vlm_buf_add(&t->shown[i], out.text.n ? out.text.s : "", out.text.n));
                TRY_DONE(trie_add(&t->normal, t->shown[i].s, t->shown[i].n, (int32_t)i, a->special, t->where));
                int64_t same = vlm_vocab_find(&t->vocab, t->shown[i].s, t->shown[i].n);        /* what is hidden is found by its string */
                uint32_t k;
                a->hidden = same >= 0 && vlm_u64map_get(&t->added_of, (uint64_t)t->vocab.token[same].id, &k) && t->added[k].special;
                continue;
            }
        }
        TRY_DONE(trie_add(a->normalized ? &t->normal : &t->raw, s, n, (int32_t)i, a->special, t->where));
    }
done:
    pcre2_match_data_free(spans.match);
    free(spans.v);
    free(out.text.s);
    free(spare.text.s);
    return status;
}

static size_t step_back(const char *s, size_t i) {
    do i--; while (i && ((unsigned char)s[i] & 0xC0) == 0x80);
    return i;
}
static bool word_at(const char *s, size_t i) {
    uint32_t c;
    vlm_utf8_get(s + i, &c);
    return vlm_is_word(c);
}
vlm_status vlm_added_spans(const vlm_tokenizer *t, const vlm_trie *trie, const char *s, size_t n, bool literal, vlm_stretches *out,
                           vlm_ids *which) {
    size_t done = 0;
    out->n = which->n = 0;
    const int32_t *value = literal ? trie->plain : trie->any;
    for (size_t i = 0; trie->n && i < n;) {
        if (!trie->first[(unsigned char)s[i]]) { i++; continue; }
        int32_t found = -1;
        size_t end = i;
        uint32_t node = 0;
        for (size_t k = i; k < n && vlm_u64map_get(&trie->edge, (uint64_t)node << 8 | (unsigned char)s[k], &node); k++)
            if (value[node] >= 0 && !(literal && vlm_token_barred(t, t->added[value[node]].id))) { found = value[node]; end = k + 1; }
        if (found < 0) { i++; continue; }
        const vlm_added *a = &t->added[found];
        size_t lo = i, hi = end;
        uint32_t c;
        i = end;
        if (a->single_word && ((lo && word_at(s, step_back(s, lo))) || (hi < n && word_at(s, hi)))) continue;
        while (a->lstrip && lo) {
            size_t p = step_back(s, lo);
            vlm_utf8_get(s + p, &c);
            if (!vlm_is_space(c)) break;
            lo = p;
        }
        while (a->rstrip && hi < n) {
            int bytes = vlm_utf8_get(s + hi, &c);
            if (!vlm_is_space(c)) break;
            hi += (size_t)bytes;
        }
        if (a->lstrip && lo < done) lo = done < hi ? done : hi;        /* what the one before took stays its own */
        if (done < lo) {
            TRY(vlm_stretches_add(out, done, lo, false));
            TRY(vlm_ids_push(which, -1));
        }
        TRY(vlm_stretches_add(out, lo, hi, true));
        TRY(vlm_ids_push(which, found));
        done = hi;  /* blanks that rstrip took can still be tokens of their own: the library finds them too */
    }
    if (done < n) {
        TRY(vlm_stretches_add(out, done, n, false));
        TRY(vlm_ids_push(which, -1));
    }
    return VLM_OK;
}

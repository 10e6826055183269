/* The model: strings and their ids, and byte-pair encoding of one piece of text. */
#include "io/tokenizer_impl.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- Strings to ids ---- */
static size_t slot_of(const char *s, size_t n, size_t slots) {
    uint64_t h = n * 0x9E3779B97F4A7C15u;
    for (; n >= 8; n -= 8, s += 8) {
        uint64_t w;
        memcpy(&w, s, 8);
        h = (h ^ w) * 0xBF58476D1CE4E5B9u;
        h ^= h >> 29;
    }
    uint64_t w = 0;
    if (n) memcpy(&w, s, n);
    h = (h ^ w) * 0x94D049BB133111EBu;
    h ^= h >> 32;
    return (size_t)(h * 0x9E3779B97F4A7C15u >> 20) & (slots - 1);
}
int64_t vlm_vocab_find(const vlm_vocab *v, const char *s, size_t n) {
    if (!v->slots) return -1;
    for (size_t i = slot_of(s, n, v->slots); v->slot[i]; i = (i + 1) & (v->slots - 1)) {
        const vlm_token *t = &v->token[v->slot[i] - 1];
        if (t->n == n && !memcmp(v->text.s + t->at, s, n)) return v->slot[i] - 1;
    }
    return -1;
}
static bool place(vlm_vocab *v, size_t index) {
    const vlm_token *t = &v->token[index];
    size_t i = slot_of(v->text.s + t->at, t->n, v->slots);
    for (int probes = 0; v->slot[i]; i = (i + 1) & (v->slots - 1))
        if (++probes > 512) return false;
    v->slot[i] = (uint32_t)index + 1;
    return true;
}
vlm_status vlm_vocab_add(vlm_vocab *v, const char *s, size_t n, int64_t id, const char *where) {
    uint32_t other;
    if (id < 0 || id >= VLM_TOKEN_LIMIT)
        return vlm_fail(VLM_ELIMIT, where, "token %.*s has id %lld, allowed are 0 to %d; get the file again", n < 80 ? (int)n : 80, s,
                        (long long)id, VLM_TOKEN_LIMIT - 1);
    if (vlm_vocab_find(v, s, n) >= 0)
        return vlm_fail(VLM_EFORMAT, where, "token %.*s stands twice in the vocabulary; get the file again", n < 80 ? (int)n : 80, s);
    if (vlm_u64map_get(&v->id, (uint64_t)id, &other))
        return vlm_fail(VLM_EFORMAT, where, "id %lld belongs to two tokens, %.80s and %.*s; get the file again", (long long)id,
                        v->text.s + v->token[other].at, n < 80 ? (int)n : 80, s);
    if (v->text.n + n + 1 > UINT32_MAX)
        return vlm_fail(VLM_ELIMIT, where, "the vocabulary's strings have more than 4 GB; get the file again");
    TRY(vlm_grow(&v->token, &v->cap, v->n + 1, sizeof *v->token));
    if ((v->n + 1) * 2 > v->slots) {
        size_t slots = v->slots ? v->slots * 2 : 1024;
        uint32_t *slot = calloc(slots, sizeof *slot);
        if (!slot) return vlm_fail_memory(where, slots * sizeof *slot);
        free(v->slot);
        v->slot = slot;
        v->slots = slots;
        for (size_t i = 0; i < v->n; i++)
            if (!place(v, i)) goto collide;
    }
    v->token[v->n] = (vlm_token){ (uint32_t)v->text.n, (uint32_t)n, (int32_t)id };
    TRY(vlm_buf_add(&v->text, s, n));
    TRY(vlm_buf_add(&v->text, "", 1));
    TRY(vlm_u64map_set(&v->id, (uint64_t)id, (uint32_t)v->n, where));
    if (!place(v, v->n)) goto collide;
    v->n++;
    if (v->size <= id) v->size = id + 1;
    return VLM_OK;
collide:
    return vlm_fail(VLM_ELIMIT, where, "its tokens collide in the hash table; the file looks made to stall its reader: do not use it");
}
void vlm_vocab_free(vlm_vocab *v) {
    free(v->text.s);
    free(v->token);
    free(v->slot);
    vlm_u64map_free(&v->id);
    *v = (vlm_vocab){0};
}

/* ---- Reading model: all but vocab and merges, which stand in the file in hundreds of thousands of lines and are parsed in place ---- */
static vlm_status refuse_affix(const json_t *model, const char *where, const char *key) {
    const char *s = "";
    TRY(vlm_json_string(model, where, key, &s));
    if (*s)
        return vlm_fail(VLM_EUNSUPPORTED, where,
                        "model.%s is \"%.40s\", which is not supported; use a byte-level or SentencePiece-style BPE", key, s);
    return VLM_OK;
}
vlm_status vlm_model_read(vlm_tokenizer *t, const json_t *model, const char *vocab, size_t vocab_n, const char *merges, size_t merges_n) {
    vlm_bpe *b = &t->bpe;
    const char *type = NULL, *unk = NULL;
    double dropout = 0;
    bool ready = t->tables.map.data != NULL;
    if (!json_is_object(model)) return vlm_fail(VLM_EFORMAT, t->where, "has no model; get the file again");
    TRY(vlm_json_string(model, t->where, "type", &type));
    if (!type && (ready || (vocab && merges))) type = "BPE";            /* old files leave it out */
    if (!type || strcmp(type, "BPE"))
        return vlm_fail(VLM_EUNSUPPORTED, t->where,
                        "model.type is %.40s; only BPE is supported, not WordPiece, WordLevel or Unigram: use a model with a BPE tokenizer",
                        type ? type : "missing");
    if (!ready && (!vocab || !merges))
        return vlm_fail(VLM_EFORMAT, t->where, "model has no %s; get the file again", vocab ? "merges" : "vocab");
    TRY(vlm_json_real(model, t->where, "dropout", 0, 1, &dropout));
    if (dropout > 0) return vlm_fail(VLM_EUNSUPPORTED, t->where, "model.dropout is %g: ids would be random; set it to null", dropout);
    TRY(refuse_affix(model, t->where, "continuing_subword_prefix"));
    TRY(refuse_affix(model, t->where, "end_of_word_suffix"));
    TRY(vlm_json_bool(model, t->where, "fuse_unk", &b->fuse_unk));
    TRY(vlm_json_bool(model, t->where, "byte_fallback", &b->byte_fallback));
    TRY(vlm_json_bool(model, t->where, "ignore_merges", &b->ignore_merges));
    TRY(vlm_json_string(model, t->where, "unk_token", &unk));
    if (!ready) TRY(vlm_vocab_parse(&t->vocab, vocab, vocab_n, t->where));
    t->vocab.model = t->vocab.n;
    b->unk = -1;
    b->has_unk = unk != NULL;
    int64_t at = unk ? vlm_vocab_find(&t->vocab, unk, strlen(unk)) : -1;
    if (at >= 0) b->unk = t->vocab.token[at].id;
    for (int i = 0; i < 256; i++) {
        char code[8];
        int n = snprintf(code, sizeof code, "<0x%02X>", i);
        at = vlm_vocab_find(&t->vocab, code, (size_t)n);
        b->byte[i] = at < 0 ? -1 : t->vocab.token[at].id;
    }
    return ready ? VLM_OK : vlm_merges_parse(t, merges, merges_n);
}

/* ---- Encoding ----
   Of all pairs of neighbours that may merge, the one of the lowest rank merges first, of equals the leftmost; a heap holds the
   candidates, those that a merge has made stale are dropped when they come up. n log n for a word of any length. */
static bool before(vlm_merge a, vlm_merge b) { return a.rank != b.rank ? a.rank < b.rank : a.at < b.at; }
static void heap_push(vlm_word *w, vlm_merge m) {
    size_t i = w->heap_n++;
    for (; i && before(m, w->heap[(i - 1) / 2]); i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = m;
}
static vlm_merge heap_pop(vlm_word *w) {
    vlm_merge top = w->heap[0], m = w->heap[--w->heap_n];
    size_t i = 0, n = w->heap_n;
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && before(w->heap[k + 1], w->heap[k])) k++;
        if (!before(w->heap[k], m)) break;
        w->heap[i] = w->heap[k];
    }
    w->heap[i] = m;
    return top;
}
static bool rank_of(const vlm_tokenizer *t, int64_t a, int64_t b, bool literal, uint32_t *rank) {
    return vlm_u64map_get(&t->bpe.pair, (uint64_t)a << 24 | (uint64_t)b, rank) && !(literal && vlm_token_barred(t, t->bpe.merged[*rank]));
}
static void offer(const vlm_tokenizer *t, vlm_word *w, int32_t at, bool literal) {
    uint32_t rank;
    if (at >= 0 && w->symbol[at].next >= 0 && rank_of(t, w->symbol[at].id, w->symbol[w->symbol[at].next].id, literal, &rank))
        heap_push(w, (vlm_merge){ rank, at });
}
static vlm_status add(vlm_word *w, int64_t id) {
    TRY(vlm_grow(&w->symbol, &w->cap, w->n + 1, sizeof *w->symbol));
    int32_t at = (int32_t)w->n;
    if (at) w->symbol[at - 1].next = at;
    w->symbol[w->n++] = (vlm_symbol){ (int32_t)id, at - 1, -1 };
    return VLM_OK;
}
/* What the vocabulary lacks, for messages: the byte that the user wrote, where a byte-level step has spelled it as a character. */
static const char *lacking(const vlm_tokenizer *t, const char *s, int n, char buf[80]) {
    bool spelled = false;
    uint32_t c;
    for (size_t i = 0; i < t->normalizers.n; i++) spelled = spelled || t->normalizers.v[i].kind == VLM_BYTE_LEVEL;
    for (size_t i = 0; i < t->splitters.n; i++) spelled = spelled || t->splitters.v[i].kind == VLM_BYTE_LEVEL;
    vlm_utf8_get(s, &c);
    if (spelled && vlm_char_byte(c) >= 0) snprintf(buf, 80, "byte 0x%02X of the text", (unsigned)vlm_char_byte(c));
    else snprintf(buf, 80, "character %.*s (U+%04X)", n, s, (unsigned)c);
    return buf;
}
static vlm_status unknown(const vlm_tokenizer *t, const char *s, int n, bool literal, int64_t *id) {
    char what[80];
    *id = t->bpe.unk;
    if (*id < 0)
        return vlm_fail(VLM_EFORMAT, t->where, "%s is not in the vocabulary, nor is its unk_token; leave it out",
                        lacking(t, s, n, what));
    if (literal && vlm_token_barred(t, *id)) {
        const char *name = vlm_token_text(t, *id, NULL);
        bool told = t->control[*id / 8] >> *id % 8 & 1;
        if (told || (!strstr(name, "unk") && !strstr(name, "UNK")))
            return vlm_fail(VLM_EUNSUPPORTED, t->where,
                            "%s is not in the vocabulary and would become the special token %.60s; leave it out",
                            lacking(t, s, n, what), name);
    }
    return VLM_OK;
}
/* A character that nothing stands for is left out, as the library does it, and counted; of literal text nothing is. */
static vlm_status lost(const vlm_tokenizer *t, const char *s, int n, bool literal, vlm_word *w) {
    char what[80];
    w->dropped++;
    if (!literal) return VLM_OK;
    return vlm_fail(VLM_EFORMAT, t->where, "%s is not in the vocabulary, which has no token for unknown ones; leave it out",
                    lacking(t, s, n, what));
}
/* One symbol a character; what the vocabulary lacks becomes its bytes or the unknown token (once for a run of them with fuse_unk). The
   library holds an unknown token back until a known character comes: bytes of a character between them go in front of it. So here. */
static vlm_status symbols(const vlm_tokenizer *t, const char *s, size_t n, bool literal, vlm_word *w) {
    const vlm_bpe *b = &t->bpe;
    int64_t held = -1, id;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int bytes = vlm_utf8_get(s + i, &c);
        int64_t at = vlm_vocab_find(&t->vocab, s + i, (size_t)bytes);
        if (at >= (int64_t)t->vocab.model || (at >= 0 && literal && vlm_token_barred(t, t->vocab.token[at].id))) at = -1;
        if (at >= 0) {
            if (held >= 0) TRY(add(w, held));
            held = -1;
            TRY(add(w, t->vocab.token[at].id));
        } else {
            bool all = b->byte_fallback;
            for (int k = 0; k < bytes; k++) all = all && b->byte[(unsigned char)s[i + (size_t)k]] >= 0;
            for (int k = 0; all && k < bytes; k++) {
                id = b->byte[(unsigned char)s[i + (size_t)k]];
                if (literal && vlm_token_barred(t, id))
                    return vlm_fail(VLM_EUNSUPPORTED, t->where, "a byte of %.*s is a special token; leave it out", bytes, s + i);
                TRY(add(w, id));
            }
            if (!all && b->has_unk) {
                TRY(unknown(t, s + i, bytes, literal, &id));
                if (held >= 0 && !b->fuse_unk) TRY(add(w, held));
                held = id;
            } else if (!all) TRY(lost(t, s + i, bytes, literal, w));
        }
        i += (size_t)bytes;
    }
    return held >= 0 ? add(w, held) : VLM_OK;
}
static vlm_status encode(const vlm_tokenizer *t, const char *s, size_t n, bool literal, vlm_word *w, vlm_ids *ids) {
    if (t->bpe.ignore_merges) {
        int64_t at = vlm_vocab_find(&t->vocab, s, n);
        if (at >= 0 && at < (int64_t)t->vocab.model && !(literal && vlm_token_barred(t, t->vocab.token[at].id)))
            return vlm_ids_push(ids, t->vocab.token[at].id);
    }
    w->n = w->heap_n = 0;
    TRY(symbols(t, s, n, literal, w));
    TRY(vlm_grow(&w->heap, &w->heap_cap, 3 * w->n + 1, sizeof *w->heap));
    for (size_t i = 0; i < w->n; i++) offer(t, w, (int32_t)i, literal);
    while (w->heap_n) {
        vlm_merge m = heap_pop(w);
        vlm_symbol *left = &w->symbol[m.at];
        uint32_t rank;
        if (left->id < 0 || left->next < 0) continue;
        vlm_symbol *right = &w->symbol[left->next];
        if (!rank_of(t, left->id, right->id, literal, &rank) || t->bpe.merged[rank] != t->bpe.merged[m.rank]) continue;
        left->id = t->bpe.merged[m.rank];
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) w->symbol[left->next].prev = m.at;
        offer(t, w, left->prev, literal);
        offer(t, w, m.at, literal);
    }
    for (size_t i = 0; i < w->n; i++)
        if (w->symbol[i].id >= 0) TRY(vlm_ids_push(ids, w->symbol[i].id));
    return VLM_OK;
}
/* Specials that stand in the model's vocabulary can come out of merges too, in some odd file. Then the word is encoded again without. */
vlm_status vlm_bpe_encode(const vlm_tokenizer *t, const char *s, size_t n, bool literal, vlm_word *w, vlm_ids *ids) {
    size_t begin = ids->n;
    int64_t dropped = w->dropped;
    TRY(encode(t, s, n, false, w, ids));
    bool again = w->dropped > dropped;
    for (size_t i = begin; i < ids->n; i++) again = again || vlm_token_barred(t, ids->id[i]);
    if (!literal || !again) return VLM_OK;
    ids->n = begin;
    w->dropped = dropped;
    return encode(t, s, n, true, w, ids);
}

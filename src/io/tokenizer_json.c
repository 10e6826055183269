/* The two large values of tokenizer.json, model.vocab and model.merges, are read straight from its bytes into the tables; the rest of the
   file, a few kilobytes, goes through the JSON library. 33 MB with 262,144 tokens and 514,906 merges take a fraction of a second so. */
#include "io/tokenizer_impl.h"
#include <stdlib.h>

typedef struct scan { const char *p, *end, *begin, *where; vlm_buf text; } scan;

static vlm_status broken(const scan *s, const char *what) {
    size_t line = 1;
    for (const char *p = s->begin; p < s->p && p < s->end; p++) line += *p == '\n';
    return vlm_fail(VLM_EFORMAT, s->where, "%s (byte %zu of the value, its line %zu); get the file again", what, (size_t)(s->p - s->begin),
                    line);
}
static void blanks(scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r')) s->p++;
}
static bool next_is(scan *s, char c) {
    blanks(s);
    if (s->p >= s->end || *s->p != c) return false;
    s->p++;
    return true;
}
static vlm_status hex4(scan *s, uint32_t *out) {
    if (vlm_hex(s->p, (size_t)(s->end - s->p), 4, out) != 4) return broken(s, "has a broken \\u escape");
    s->p += 4;
    return VLM_OK;
}
/* Appends a string to s->text; *n: its bytes. */
static vlm_status string(scan *s, size_t *n) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t begin = s->text.n, bad;
    if (!next_is(s, '"')) return broken(s, "lacks a string");
    for (;;) {
        const char *p = s->p;
        while (p < s->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 32) p++;
        TRY(vlm_buf_add(&s->text, s->p, (size_t)(p - s->p)));
        s->p = p;
        if (p >= s->end || (unsigned char)*p < 32) return broken(s, "has a string without end");
        s->p++;
        if (*p == '"') break;
        if (s->p >= s->end) return broken(s, "has a string without end");
        char e = *s->p++;
        const char *known = e ? strchr(from, e) : NULL;
        if (known) TRY(vlm_buf_add(&s->text, to + (known - from), 1));
        else if (e == 'u') {
            uint32_t c, low;
            char utf8[4];
            TRY(hex4(s, &c));
            if (c >= 0xD800 && c < 0xDC00) {
                if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u') return broken(s, "has half a surrogate pair");
                s->p += 2;
                TRY(hex4(s, &low));
                if (low < 0xDC00 || low > 0xDFFF) return broken(s, "has half a surrogate pair");
                c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            } else if (c >= 0xDC00 && c < 0xE000) return broken(s, "has half a surrogate pair");
            TRY(vlm_buf_add(&s->text, utf8, (size_t)vlm_utf8_put(utf8, c)));
        } else return broken(s, "has an unknown escape");
    }
    *n = s->text.n - begin;
    if (*n && vlm_utf8_valid(s->text.s + begin, *n, &bad) != *n) return broken(s, "has a string that is not UTF-8");
    return VLM_OK;
}
static vlm_status number(scan *s, int64_t *out) {
    int64_t v = 0;
    int digits = 0;
    blanks(s);
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9' && digits < 10; s->p++, digits++) v = v * 10 + (*s->p - '0');
    if (!digits || (s->p < s->end && strchr("0123456789.eE", *s->p) && *s->p))
        return broken(s, "has an id that is not a whole number from 0 to 16777215");
    *out = v;
    return VLM_OK;
}

vlm_status vlm_vocab_parse(vlm_vocab *v, const char *text, size_t n, const char *where) {
    vlm_status status = VLM_OK;
    scan s = { text, text + n, text, where, {0} };
    size_t bytes;
    int64_t id = 0;
    if (!next_is(&s, '{')) return broken(&s, "model.vocab is not an object");
    if (next_is(&s, '}')) return VLM_OK;
    do {
        s.text.n = 0;
        TRY_DONE(string(&s, &bytes));
        if (!next_is(&s, ':')) TRY_DONE(broken(&s, "model.vocab lacks a colon"));
        TRY_DONE(number(&s, &id));
        TRY_DONE(vlm_vocab_add(v, s.text.s ? s.text.s : "", bytes, id, where));
    } while (next_is(&s, ','));
    if (!next_is(&s, '}')) status = broken(&s, "model.vocab lacks a comma or its end");
done:
    free(s.text.s);
    return status;
}

/* Both halves and what they make together have to be tokens. Of equal pairs the last one counts. */
static vlm_status merge(vlm_tokenizer *t, const char *s, size_t left, size_t right) {
    vlm_bpe *b = &t->bpe;
    int64_t l = vlm_vocab_find(&t->vocab, s, left), r = vlm_vocab_find(&t->vocab, s + left, right);
    int64_t both = vlm_vocab_find(&t->vocab, s, left + right);
    if (l < 0 || r < 0 || both < 0) {
        const char *p = l < 0 ? s : r < 0 ? s + left : s;
        size_t n = l < 0 ? left : r < 0 ? right : left + right;
        return vlm_fail(VLM_EFORMAT, t->where, "merge %zu needs the token %.*s, which is not in the vocabulary; get the file again", b->n,
                        n < 80 ? (int)n : 80, p);
    }
    TRY(vlm_grow(&b->merged, &b->cap, b->n + 1, sizeof *b->merged));
    b->merged[b->n] = t->vocab.token[both].id;
    return vlm_u64map_set(&b->pair, (uint64_t)t->vocab.token[l].id << 24 | (uint64_t)t->vocab.token[r].id, (uint32_t)b->n++, t->where);
}
vlm_status vlm_merges_parse(vlm_tokenizer *t, const char *text, size_t n) {
    vlm_status status = VLM_OK;
    scan s = { text, text + n, text, t->where, {0} };
    size_t left, right;
    if (!next_is(&s, '[')) return broken(&s, "model.merges is not an array");
    if (next_is(&s, ']')) return VLM_OK;
    do {
        s.text.n = 0;
        if (next_is(&s, '[')) {
            TRY_DONE(string(&s, &left));
            if (!next_is(&s, ',')) TRY_DONE(broken(&s, "a merge is not a pair"));
            TRY_DONE(string(&s, &right));
            if (!next_is(&s, ']')) TRY_DONE(broken(&s, "a merge is not a pair"));
        } else {
            TRY_DONE(string(&s, &left));
            if (left >= 8 && !memcmp(s.text.s, "#version", 8)) continue;
            const char *gap = left ? memchr(s.text.s, ' ', left) : NULL;
            right = gap ? left - (size_t)(gap - s.text.s) - 1 : 0;
            if (!gap || memchr(gap + 1, ' ', right)) TRY_DONE(broken(&s, "a merge is not two tokens with a blank between them"));
            left = (size_t)(gap - s.text.s);
            memmove(s.text.s + left, s.text.s + left + 1, right);
        }
        TRY_DONE(merge(t, s.text.s ? s.text.s : "", left, right));
    } while (next_is(&s, ','));
    if (!next_is(&s, ']')) status = broken(&s, "model.merges lacks a comma or its end");
done:
    free(s.text.s);
    return status;
}

/* Past one value, without looking at what it means. False: the text ends first. */
static bool skip_string(scan *s) {
    for (s->p++; s->p < s->end; s->p++) {
        if (*s->p == '\\') s->p++;
        else if (*s->p == '"') { s->p++; return true; }
    }
    return false;
}
static bool skip_value(scan *s) {
    size_t depth = 0;
    do {
        blanks(s);
        if (s->p >= s->end) return false;
        char c = *s->p;
        if (c == '"') {
            if (!skip_string(s)) return false;
            continue;
        }
        if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') { if (!depth--) return false; }
        s->p++;
        if (!depth && c != '}' && c != ']') while (s->p < s->end && !strchr(",]} \n\r\t", *s->p)) s->p++;
    } while (depth);
    return true;
}
typedef struct cut { const char *vocab, *merges, *copied; size_t vocab_n, merges_n; vlm_buf *rest; } cut;
/* An object at p; depth 0 is the file, 1 its model. False: this is not what a tokenizer.json looks like, the JSON library will say why. */
static bool cut_object(scan *s, cut *c, int depth, vlm_status *status) {
    if (!next_is(s, '{')) return false;
    do {
        blanks(s);
        const char *key = s->p;
        if (s->p >= s->end || *s->p != '"' || !skip_string(s)) return false;
        size_t n = (size_t)(s->p - key);
        if (!next_is(s, ':')) return false;
        blanks(s);
        const char *value = s->p;
        if (!depth && n == 7 && !memcmp(key, "\"model\"", 7)) {
            if (!cut_object(s, c, 1, status)) return false;
            continue;
        }
        if (!skip_value(s)) return false;
        bool vocab = depth && n == 7 && !memcmp(key, "\"vocab\"", 7), merges = depth && n == 8 && !memcmp(key, "\"merges\"", 8);
        if (!vocab && !merges) continue;
        if (vocab) c->vocab = value, c->vocab_n = (size_t)(s->p - value);
        else c->merges = value, c->merges_n = (size_t)(s->p - value);
        if ((*status = vlm_buf_add(c->rest, c->copied, (size_t)(value - c->copied))) || (*status = vlm_buf_add(c->rest, "null", 4)))
            return false;
        c->copied = s->p;
    } while (next_is(s, ','));
    return next_is(s, '}');
}
vlm_status vlm_model_cut(const char *text, size_t n, vlm_buf *rest, const char **vocab, size_t *vocab_n, const char **merges,
                         size_t *merges_n) {
    scan s = { text, text + n, text, "", {0} };
    cut c = { .copied = text, .rest = rest };
    vlm_status status = VLM_OK;
    cut_object(&s, &c, 0, &status);
    if (status) return status;
    *vocab = c.vocab, *vocab_n = c.vocab_n, *merges = c.merges, *merges_n = c.merges_n;
    return vlm_buf_add(rest, c.copied, (size_t)(text + n - c.copied));
}

/* Ids to text. The decoder is a chain of steps over tokens; a push sends one token through it and hands over what is certain. Until a Fuse
   or ByteLevel the steps see token after token; behind it, one long token in parts (`whole`). decode is a stream that is flushed. */
#include "io/tokenizer_impl.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- Reading ---- */
static bool metaspace_prefix(const json_t *o) {
    const char *scheme = json_string_value(json_object_get(o, "prepend_scheme"));
    return !json_is_false(json_object_get(o, "add_prefix_space")) && !(scheme && !strcmp(scheme, "never"));
}
vlm_status vlm_decoders_read(const json_t *o, const char *where, vlm_steps *out, int depth) {
    const char *type, *content = NULL;
    vlm_step step = {0};
    bool whole = out->n && (out->v[out->n - 1].whole || out->v[out->n - 1].kind == VLM_FUSE || out->v[out->n - 1].kind == VLM_BYTE_LEVEL);
    if (!o || json_is_null(o)) {
        step.kind = VLM_JOIN;                              /* no decoder: blanks between the tokens */
        return vlm_steps_push(out, step, where);
    }
    TRY(vlm_json_need_string(o, where, "type", &type));
    if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(o, "decoders");
        if (depth > 8 || !json_is_array(list))
            return vlm_fail(VLM_EFORMAT, where, "a Sequence of decoders is broken or too deep; get the file again");
        for (size_t i = 0; i < json_array_size(list); i++) {
            if (json_is_null(json_array_get(list, i)))
                return vlm_fail(VLM_EFORMAT, where, "a Sequence of decoders holds null; get the file again");
            TRY(vlm_decoders_read(json_array_get(list, i), where, out, depth + 1));
        }
        return VLM_OK;
    }
    step.whole = whole;
    if (!strcmp(type, "ByteLevel")) step.kind = VLM_BYTE_LEVEL;
    else if (!strcmp(type, "ByteFallback")) step.kind = VLM_BYTE_FALLBACK;
    else if (!strcmp(type, "Fuse")) step.kind = VLM_FUSE;
    else if (!strcmp(type, "Metaspace")) {
        step.kind = VLM_METASPACE;
        step.left = metaspace_prefix(o);
        content = "\xE2\x96\x81";
        TRY(vlm_json_string(o, where, "replacement", &content));
    } else if (!strcmp(type, "Strip")) {
        step.kind = VLM_STRIP;
        TRY(vlm_json_need_string(o, where, "content", &content));
        TRY(vlm_json_need_int(o, where, "start", 0, 1 << 20, &step.start));
        TRY(vlm_json_need_int(o, where, "stop", 0, 1 << 20, &step.stop));
    } else if (!strcmp(type, "Replace")) {
        step.kind = VLM_REPLACE;
        TRY(vlm_json_need_string(o, where, "content", &content));
        TRY(vlm_step_pattern(o, where, &step.regex));
        step.content_bytes = strlen(content);
        if (!(step.content = strdup(content))) {
            vlm_regex_close(step.regex);
            return vlm_fail_memory(where, step.content_bytes);
        }
        return vlm_steps_push(out, step, where);
    } else
        return vlm_fail(VLM_EUNSUPPORTED, where,
                        "decoder %.60s is not supported (known: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence); "
                        "use another tokenizer", type);
    if (content && (!*content || (size_t)vlm_utf8_get(content, &step.c) != strlen(content)))
        return vlm_fail(VLM_EFORMAT, where, "decoder %s wants one character; get the file again", type);
    return vlm_steps_push(out, step, where);
}

/* ---- Running ---- */
typedef struct state {
    vlm_buf held, out;         /* what cannot be said yet; what goes to the next step */
    int64_t seen;              /* tokens, or characters at the beginning */
    bool passed;               /* STRIP: the beginning is over */
} state;
struct vlm_token_stream {
    const vlm_tokenizer *t;
    bool skip_special;
    state *at;                 /* one a step */
    vlm_stretches spans;
    vlm_buf out;
};
static const char lost[] = "\xEF\xBF\xBD";

static vlm_status send(vlm_token_stream *s, size_t step, const char *text, size_t n, bool end);

/* Bytes that became text: broken ones are U+FFFD, a character that is not complete waits. */
static vlm_status send_utf8(vlm_token_stream *s, size_t step, bool end) {
    state *a = &s->at[step];
    size_t i = 0, bad, n = a->held.n;
    a->out.n = 0;
    while (i < n) {
        size_t ok = vlm_utf8_valid(a->held.s + i, n - i, &bad);
        TRY(vlm_buf_add(&a->out, a->held.s + i, ok));
        i += ok;
        if (i == n || (!bad && !end)) break;
        TRY(vlm_buf_add(&a->out, lost, 3));
        i = bad ? i + bad : n;
    }
    if (i) memmove(a->held.s, a->held.s + i, n - i);
    a->held.n = n - i;
    return send(s, step + 1, a->out.s, a->out.n, false);
}
static vlm_status byte_level(vlm_token_stream *s, size_t step, const char *text, size_t n) {
    state *a = &s->at[step];
    size_t begin = a->held.n;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += (size_t)vlm_utf8_get(text + i, &c);
        int b = vlm_char_byte(c);
        char byte = (char)b;
        if (b < 0) {                                       /* not spelled so: it stands for itself */
            a->held.n = begin;
            return vlm_buf_add(&a->held, text, n);
        }
        TRY(vlm_buf_add(&a->held, &byte, 1));
    }
    return VLM_OK;
}
/* Bytes in a row are a text, or, if they are not UTF-8, one U+FFFD each. */
static vlm_status say_bytes(vlm_token_stream *s, size_t step) {
    state *a = &s->at[step];
    size_t n = a->held.n, bad;
    a->held.n = 0;
    if (n && vlm_utf8_valid(a->held.s, n, &bad) == n) return send(s, step + 1, a->held.s, n, false);
    for (size_t i = 0; i < n; i++) TRY(send(s, step + 1, lost, 3, false));
    return VLM_OK;
}
static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }
static vlm_status byte_fallback(vlm_token_stream *s, size_t step, const char *text, size_t n) {
    state *a = &s->at[step];
    int high, low;
    if (n == 6 && !memcmp(text, "<0x", 3) && text[5] == '>' && (low = hex(text[4])) >= 0 &&
        ((high = hex(text[3])) >= 0 || text[3] == '+')) {
        char byte = (char)(high < 0 ? low : high * 16 + low);
        return vlm_buf_add(&a->held, &byte, 1);
    }
    TRY(say_bytes(s, step));
    return send(s, step + 1, text, n, false);
}
static vlm_status replace(vlm_token_stream *s, size_t step, const char *text, size_t n) {
    const vlm_step *p = &s->t->decoders.v[step];
    state *a = &s->at[step];
    a->out.n = 0;
    if (n) TRY(vlm_regex_stretches(p->regex, text, n, s->t->where, &s->spans));
    for (size_t i = 0; n && i < s->spans.n; i++) {
        vlm_stretch v = s->spans.v[i];
        if (v.hit) TRY(vlm_buf_add(&a->out, p->content, p->content_bytes));
        else TRY(vlm_buf_add(&a->out, text + v.lo, v.hi - v.lo));
    }
    return send(s, step + 1, a->out.s, a->out.n, false);
}
static vlm_status metaspace(vlm_token_stream *s, size_t step, const char *text, size_t n) {
    const vlm_step *p = &s->t->decoders.v[step];
    state *a = &s->at[step];
    a->out.n = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int bytes = vlm_utf8_get(text + i, &c);
        if (c != p->c) TRY(vlm_buf_add(&a->out, text + i, (size_t)bytes));
        else if (a->seen || !p->left) TRY(vlm_buf_add(&a->out, " ", 1));
        i += (size_t)bytes;
    }
    a->seen += !p->whole;
    return send(s, step + 1, a->out.s, a->out.n, false);
}
/* Up to `start` characters in front; with at_end up to `stop` behind. */
static vlm_status strip(vlm_token_stream *s, size_t step, const char *text, size_t n, bool at_end) {
    const vlm_step *p = &s->t->decoders.v[step];
    state *a = &s->at[step];
    uint32_t c;
    if (!p->whole) a->seen = 0, a->passed = false;
    while (n && !a->passed && a->seen < p->start) {
        int bytes = vlm_utf8_get(text, &c);
        if (c != p->c) { a->passed = true; break; }
        a->seen++;
        text += bytes;
        n -= (size_t)bytes;
    }
    for (int64_t k = 0; at_end && n && k < p->stop; k++) {
        size_t q = n - 1;
        while (((unsigned char)text[q] & 0xC0) == 0x80) q--;
        vlm_utf8_get(text + q, &c);
        if (c != p->c) break;
        n = q;
    }
    return send(s, step + 1, text, n, false);
}
/* One long token can be known only at its end: it is held until then. */
static bool waits(const vlm_step *p) {
    return p->whole && (p->kind == VLM_REPLACE || p->kind == VLM_BYTE_FALLBACK || p->kind == VLM_BYTE_LEVEL ||
                        (p->kind == VLM_STRIP && p->stop));
}
static vlm_status end_of(vlm_token_stream *s, size_t step) {
    const vlm_step *p = &s->t->decoders.v[step];
    state *a = &s->at[step];
    vlm_buf text = a->held;
    vlm_status status = VLM_OK;
    if (waits(p)) {
        a->held = (vlm_buf){0};
        const char *t = text.s ? text.s : "";
        if (p->kind == VLM_REPLACE) status = replace(s, step, t, text.n);
        else if (p->kind == VLM_STRIP) status = strip(s, step, t, text.n, true);
        else if (p->kind == VLM_BYTE_FALLBACK) status = byte_fallback(s, step, t, text.n);
        else status = byte_level(s, step, t, text.n);
        free(text.s);
        TRY(status);
    }
    if (p->kind == VLM_BYTE_LEVEL) return send_utf8(s, step, true);
    return p->kind == VLM_BYTE_FALLBACK ? say_bytes(s, step) : VLM_OK;
}
static vlm_status send(vlm_token_stream *s, size_t step, const char *text, size_t n, bool end) {
    if (step == s->t->decoders.n) return vlm_buf_add(&s->out, text, n);
    const vlm_step *p = &s->t->decoders.v[step];
    state *a = &s->at[step];
    if (end) {
        TRY(end_of(s, step));
        TRY(send(s, step + 1, "", 0, true));
        a->held.n = 0;
        a->seen = a->passed = 0;
        return VLM_OK;
    }
    if (!n && (p->whole || p->kind == VLM_FUSE)) return VLM_OK;
    if (waits(p)) return vlm_buf_add(&a->held, text, n);
    switch (p->kind) {
    case VLM_BYTE_LEVEL:
        TRY(byte_level(s, step, text, n));
        return send_utf8(s, step, false);
    case VLM_BYTE_FALLBACK: return byte_fallback(s, step, text, n);
    case VLM_REPLACE: return replace(s, step, text, n);
    case VLM_METASPACE: return metaspace(s, step, text, n);
    case VLM_STRIP: return strip(s, step, text, n, true);
    case VLM_JOIN:
        if (a->seen) TRY(vlm_buf_add(&s->out, " ", 1));
        a->seen = 1;
        /* fall through */
    default: return send(s, step + 1, text, n, false);
    }
}

vlm_status vlm_token_stream_open(const vlm_tokenizer *t, bool skip_special, vlm_token_stream **out) {
    vlm_token_stream *s = calloc(1, sizeof *s);
    if (!s || !(s->at = calloc(t->decoders.n + 1, sizeof *s->at))) {
        free(s);
        return vlm_fail_memory(t->where, sizeof *s);
    }
    s->t = t;
    s->skip_special = skip_special;
    *out = s;
    return VLM_OK;
}
void vlm_token_stream_close(vlm_token_stream *s) {
    if (!s) return;
    for (size_t i = 0; i < s->t->decoders.n; i++) {
        free(s->at[i].held.s);
        free(s->at[i].out.s);
    }
    free(s->at);
    pcre2_match_data_free(s->spans.match);
    free(s->spans.v);
    free(s->out.s);
    free(s);
}
static vlm_status push(vlm_token_stream *s, int64_t id) {
    size_t n;
    bool hidden;
    const char *text = vlm_token_shown(s->t, id, &n, &hidden);
    if (!text)
        return vlm_fail(VLM_EARG, s->t->where, "id %lld has no token (the largest is %lld); check the ids", (long long)id,
                        (long long)s->t->vocab.size - 1);
    return hidden && s->skip_special ? VLM_OK : send(s, 0, text, n, false);
}
vlm_status vlm_token_stream_push(vlm_token_stream *s, int64_t id, const char **text, size_t *bytes) {
    s->out.n = 0;
    TRY(vlm_buf_reserve(&s->out, 1));
    TRY(push(s, id));
    *text = s->out.s;
    *bytes = s->out.n;
    return VLM_OK;
}
vlm_status vlm_token_stream_flush(vlm_token_stream *s, const char **text, size_t *bytes) {
    s->out.n = 0;
    TRY(vlm_buf_reserve(&s->out, 1));
    TRY(send(s, 0, "", 0, true));
    *text = s->out.s;
    *bytes = s->out.n;
    return VLM_OK;
}
vlm_status vlm_tokenizer_decode(const vlm_tokenizer *t, const int64_t *ids, size_t n, bool skip_special, char **text, size_t *bytes) {
    vlm_token_stream *s;
    vlm_status status = VLM_OK;
    TRY(vlm_token_stream_open(t, skip_special, &s));
    for (size_t i = 0; i < n; i++) TRY_DONE(push(s, ids[i]));
    TRY_DONE(send(s, 0, "", 0, true));
    TRY_DONE(vlm_buf_reserve(&s->out, 1));
    s->out.s[s->out.n] = 0;
    *text = s->out.s;
    if (bytes) *bytes = s->out.n;
    s->out = (vlm_buf){0};
done:
    vlm_token_stream_close(s);
    return status;
}

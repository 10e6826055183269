/* Pre-tokenizers: how a text falls into pieces. Nothing merges across the edge of a piece. */
#include "io/tokenizer_impl.h"
#include <stdlib.h>
#include <utf8proc.h>

/* GPT-2's way of splitting, which ByteLevel has built in */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static vlm_status behaviour(const json_t *o, const char *where, vlm_behaviour *out) {
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *s = NULL;
    TRY(vlm_json_string(o, where, "behavior", &s));
    for (int i = 0; s && i < 5; i++)
        if (!strcmp(s, names[i])) { *out = (vlm_behaviour)i; return VLM_OK; }
    if (!s && *out == VLM_ISOLATED) return VLM_OK;         /* Punctuation may leave it out */
    return vlm_fail(VLM_EUNSUPPORTED, where,
                    "a pre-tokenizer's behavior is %.40s, known are Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous; "
                    "use another tokenizer", s ? s : "missing");
}
static vlm_status metaspace(const json_t *o, const char *where, vlm_step *step) {
    const char *s = "\xE2\x96\x81", *scheme = "always";
    bool prefix = true;
    TRY(vlm_json_string(o, where, "replacement", &s));
    TRY(vlm_json_string(o, where, "prepend_scheme", &scheme));
    TRY(vlm_json_bool(o, where, "add_prefix_space", &prefix));             /* older files say it so */
    step->right = true;
    TRY(vlm_json_bool(o, where, "split", &step->right));
    if (!*s || (size_t)vlm_utf8_get(s, &step->c) != strlen(s))
        return vlm_fail(VLM_EFORMAT, where, "Metaspace's replacement is not one character; get the file again");
    step->first = !strcmp(scheme, "first");
    step->left = step->first || !strcmp(scheme, "always");
    if ((!step->left && strcmp(scheme, "never")) || (!prefix && step->left && json_object_get(o, "prepend_scheme")))
        return vlm_fail(VLM_EFORMAT, where, "Metaspace's prepend_scheme is %.40s with add_prefix_space %s; get the file again", scheme,
                        prefix ? "true" : "false");
    if (!prefix) step->left = step->first = false;
    step->content_bytes = strlen(s);
    return (step->content = strdup(s)) ? VLM_OK : vlm_fail_memory(where, 8);
}
vlm_status vlm_splitters_read(const json_t *o, const char *where, vlm_steps *out, int depth) {
    const char *type;
    bool regex = true;
    vlm_step step = {0};
    vlm_status status = VLM_OK;
    if (!o || json_is_null(o)) return VLM_OK;
    TRY(vlm_json_need_string(o, where, "type", &type));
    if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(o, "pretokenizers");
        if (depth > 8 || !json_is_array(list))
            return vlm_fail(VLM_EFORMAT, where, "a Sequence of pre-tokenizers is broken or too deep; get the file again");
        for (size_t i = 0; i < json_array_size(list); i++) TRY(vlm_splitters_read(json_array_get(list, i), where, out, depth + 1));
        return VLM_OK;
    }
    if (!strcmp(type, "ByteLevel")) {
        step.kind = VLM_BYTE_LEVEL;
        step.left = true;
        TRY(vlm_json_bool(o, where, "add_prefix_space", &step.left));
        TRY(vlm_json_bool(o, where, "use_regex", &regex));
        if (regex) TRY(vlm_regex_open(GPT2, false, where, &step.regex));
    } else if (!strcmp(type, "Digits")) {
        step.kind = VLM_DIGITS;
        TRY(vlm_json_bool(o, where, "individual_digits", &step.left));
        step.behaviour = step.left ? VLM_ISOLATED : VLM_CONTIGUOUS;
    } else if (!strcmp(type, "Split")) {
        step.kind = VLM_SPLIT;
        TRY(behaviour(o, where, &step.behaviour));
        TRY(vlm_json_bool(o, where, "invert", &step.invert));
        TRY(vlm_step_pattern(o, where, &step.regex));
    } else if (!strcmp(type, "Metaspace")) {
        step.kind = VLM_METASPACE;
        TRY(metaspace(o, where, &step));
    } else if (!strcmp(type, "Whitespace")) {
        step.kind = VLM_SPLIT;
        step.invert = true;
        TRY(vlm_regex_open("[\\w\\x{200C}\\x{200D}]+|[^\\w\\s\\x{200C}\\x{200D}]+", false, where, &step.regex));
    } else if (!strcmp(type, "WhitespaceSplit")) {
        step.kind = VLM_WHITESPACE_SPLIT;
    } else if (!strcmp(type, "Punctuation")) {
        step.kind = VLM_PUNCTUATION;
        step.behaviour = VLM_ISOLATED;
        TRY(behaviour(o, where, &step.behaviour));
    } else {
        status = vlm_fail(VLM_EUNSUPPORTED, where,
                          "pre-tokenizer %.60s is not supported (known: ByteLevel, Digits, Split, Metaspace, Whitespace, WhitespaceSplit, "
                          "Punctuation, Sequence); use another tokenizer", type);
    }
    return status ? status : vlm_steps_push(out, step, where);
}

static bool is_punctuation(uint32_t c) {
    if (c < 0x80) return c > 32 && c < 127 && !((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9');
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return c == 0x166D || c == 0x111C9 || (k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO && !vlm_young_punctuation(c));
}
/* Every character of a kind is a match of its own. */
static vlm_status char_spans(const vlm_step *step, const char *s, size_t n, vlm_stretches *out) {
    size_t done = 0;
    out->n = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int bytes = vlm_utf8_get(s + i, &c);
        bool hit = step->kind == VLM_DIGITS ? vlm_is_numeric(c) : step->kind == VLM_METASPACE ? c == step->c
                 : step->kind == VLM_PUNCTUATION ? is_punctuation(c) : vlm_is_space(c);
        if (hit) {
            if (done < i) TRY(vlm_stretches_add(out, done, i, false));
            TRY(vlm_stretches_add(out, i, i + (size_t)bytes, true));
            done = i + (size_t)bytes;
        }
        i += (size_t)bytes;
    }
    return done < n ? vlm_stretches_add(out, done, n, false) : VLM_OK;
}
/* What becomes of the matches: spans are joined in place; afterwards hit means "drop it". Contiguous joins spans of a kind; the other two a
   match and the neighbour before or behind it, unless that is a match too. */
static void join(vlm_stretches *s, vlm_behaviour how, bool invert) {
    bool last = false;
    size_t n = 0, count = s->n;
    for (size_t i = 0; i < count; i++) s->v[i].hit ^= invert;
    if (how == VLM_REMOVED) return;
    for (size_t i = 0; i < count; i++) {
        vlm_stretch p = s->v[how == VLM_NEXT ? count - 1 - i : i];
        bool joins = n && (how == VLM_CONTIGUOUS ? p.hit == last : how == VLM_ISOLATED ? false : p.hit && !last);
        last = p.hit;
        p.hit = false;
        if (!joins) {
            if (how == VLM_NEXT) s->v[count - 1 - n++] = p;            /* filled from the end: what is there was read already */
            else s->v[n++] = p;
        } else if (how == VLM_NEXT) s->v[count - n].lo = p.lo;
        else s->v[n - 1].hi = p.hi;
    }
    if (how == VLM_NEXT) memmove(s->v, s->v + count - n, n * sizeof *s->v);
    s->n = n;
}

vlm_status vlm_stage_add(vlm_stage *st, const char *s, size_t n, size_t zero, int64_t id) {
    if (!n) return VLM_OK;
    TRY(vlm_grow(&st->piece, &st->cap, st->n + 1, sizeof *st->piece));
    st->piece[st->n++] = (vlm_piece){ st->text.n, n, zero < n ? zero : n, id };
    return vlm_buf_add(&st->text, s, n);
}
static vlm_status whole(vlm_stretches *spans, size_t n) {
    spans->n = 0;
    return vlm_stretches_add(spans, 0, n, false);
}
static vlm_status split(const vlm_step *step, const char *where, const char *s, size_t n, size_t zero, vlm_stretches *spans, vlm_buf *temp,
                        vlm_stage *out) {
    char utf8[4];
    temp->n = 0;
    if (step->kind == VLM_BYTE_LEVEL) {
        if (step->left && s[0] != ' ') {
            TRY(vlm_buf_add(temp, " ", 1));
            TRY(vlm_buf_add(temp, s, n));
            s = temp->s;
            n++;
            zero += zero > 0;
        }
        TRY(step->regex ? vlm_regex_stretches(step->regex, s, n, where, spans) : whole(spans, n));
        for (size_t i = 0; i < spans->n; i++) {
            vlm_stretch p = spans->v[i];
            if (p.lo == p.hi) continue;
            size_t at = out->text.n, nought = at;
            TRY(vlm_stage_add(out, s + p.lo, 1, 0, -1));
            out->text.n = at;
            for (size_t k = p.lo; k < p.hi; k++) {
                TRY(vlm_buf_add(&out->text, utf8, (size_t)vlm_utf8_put(utf8, vlm_byte_char((unsigned char)s[k]))));
                if (k < zero) nought = out->text.n;
            }
            out->piece[out->n - 1] = (vlm_piece){ at, out->text.n - at, nought - at, -1 };
        }
        return VLM_OK;
    }
    if (step->kind == VLM_METASPACE) {
        uint32_t c;
        size_t nought = 0;
        vlm_utf8_get(s, &c);
        if (step->left && c != ' ' && c != step->c && (!step->first || zero)) {
            TRY(vlm_buf_add(temp, step->content, step->content_bytes));
            if (zero) nought = temp->n;
        }
        for (size_t i = 0; i < n; i++) {
            if (s[i] == ' ') TRY(vlm_buf_add(temp, step->content, step->content_bytes));
            else TRY(vlm_buf_add(temp, s + i, 1));
            if (i < zero) nought = temp->n;
        }
        s = temp->s;
        n = temp->n;
        zero = nought;
        TRY(step->right ? char_spans(step, s, n, spans) : whole(spans, n));
        join(spans, VLM_NEXT, false);
    } else {
        TRY(step->regex ? vlm_regex_stretches(step->regex, s, n, where, spans) : char_spans(step, s, n, spans));
        join(spans, step->behaviour, step->invert);
    }
    for (size_t i = 0; i < spans->n; i++) {
        vlm_stretch p = spans->v[i];
        if (!p.hit) TRY(vlm_stage_add(out, s + p.lo, p.hi - p.lo, zero > p.lo ? zero - p.lo : 0, -1));
    }
    return VLM_OK;
}
vlm_status vlm_presplit(const vlm_steps *steps, const char *where, vlm_stretches *spans, vlm_stage *a, vlm_stage *spare) {
    vlm_status status = VLM_OK;
    vlm_buf temp = {0};
    for (size_t i = 0; i < steps->n; i++) {
        vlm_stage swap = *a;
        *a = *spare;
        *spare = swap;
        a->n = a->text.n = 0;
        for (size_t k = 0; k < spare->n; k++) {
            const vlm_piece *p = &spare->piece[k];
            const char *s = spare->text.s + p->at;
            if (p->id >= 0) TRY_DONE(vlm_stage_add(a, s, p->n, 0, p->id));
            else TRY_DONE(split(&steps->v[i], where, s, p->n, p->zero, spans, &temp, a));
        }
    }
done:
    free(temp.s);
    return status;
}

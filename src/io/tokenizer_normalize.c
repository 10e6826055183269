/* Normalizers: text to text, before anything is split. */
#include "io/tokenizer_impl.h"
#include <stdlib.h>
#include <utf8proc.h>

vlm_status vlm_steps_push(vlm_steps *s, vlm_step step, const char *where) {
    vlm_status status = s->n < VLM_STEPS_LIMIT ? vlm_grow(&s->v, &s->cap, s->n + 1, sizeof *s->v)
                                                : vlm_fail(VLM_ELIMIT, where, "has more than %d steps of one kind; get the file again",
                                                           VLM_STEPS_LIMIT);
    if (status) {
        vlm_regex_close(step.regex);
        free(step.content);
        return status;
    }
    s->v[s->n++] = step;
    return VLM_OK;
}
void vlm_steps_free(vlm_steps *s) {
    for (size_t i = 0; i < s->n; i++) {
        vlm_regex_close(s->v[i].regex);
        free(s->v[i].content);
    }
    free(s->v);
    *s = (vlm_steps){0};
}
vlm_status vlm_step_pattern(const json_t *o, const char *where, vlm_regex **out) {
    const json_t *p = json_object_get(o, "pattern");
    const char *s = NULL;
    bool literal = json_object_get(p, "String") != NULL;
    TRY(vlm_json_string(p, where, literal ? "String" : "Regex", &s));
    if (!s) return vlm_fail(VLM_EFORMAT, where, "a step has no pattern of String or Regex; get the file again");
    return vlm_regex_open(s, literal, where, out);
}

vlm_status vlm_normalizers_read(const json_t *o, const char *where, vlm_steps *out, int depth) {
    static const struct { const char *name; vlm_step_kind kind; } kinds[] = {
        {"NFC", VLM_NFC}, {"NFD", VLM_NFD}, {"NFKC", VLM_NFKC}, {"NFKD", VLM_NFKD}, {"Lowercase", VLM_LOWERCASE},
        {"StripAccents", VLM_STRIP_ACCENTS}, {"ByteLevel", VLM_BYTE_LEVEL}, {"Strip", VLM_STRIP}, {"Prepend", VLM_PREPEND},
        {"Replace", VLM_REPLACE} };
    const char *type, *content = NULL;
    vlm_step step = {0};
    if (!o || json_is_null(o)) return VLM_OK;
    TRY(vlm_json_need_string(o, where, "type", &type));
    if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(o, "normalizers");
        if (depth > 8 || !json_is_array(list))
            return vlm_fail(VLM_EFORMAT, where, "a Sequence of normalizers is broken or too deep; get the file again");
        for (size_t i = 0; i < json_array_size(list); i++) TRY(vlm_normalizers_read(json_array_get(list, i), where, out, depth + 1));
        return VLM_OK;
    }
    size_t k = 0, n = sizeof kinds / sizeof *kinds;
    while (k < n && strcmp(type, kinds[k].name)) k++;
    if (k == n)
        return vlm_fail(VLM_EUNSUPPORTED, where,
                        "normalizer %.60s is not supported (known: NFC, NFD, NFKC, NFKD, Replace, Prepend, Strip, Lowercase, "
                        "StripAccents, ByteLevel, Sequence); use another tokenizer", type);
    step.kind = kinds[k].kind;
    if (step.kind == VLM_STRIP) {
        TRY(vlm_json_bool(o, where, "strip_left", &step.left));
        TRY(vlm_json_bool(o, where, "strip_right", &step.right));
    }
    if (step.kind == VLM_PREPEND) TRY(vlm_json_need_string(o, where, "prepend", &content));
    if (step.kind == VLM_REPLACE) {
        TRY(vlm_json_need_string(o, where, "content", &content));
        TRY(vlm_step_pattern(o, where, &step.regex));
    }
    if (content) {
        step.content_bytes = strlen(content);
        if (!(step.content = strdup(content))) {
            vlm_regex_close(step.regex);
            return vlm_fail_memory(where, step.content_bytes);
        }
    }
    return vlm_steps_push(out, step, where);
}

/* ---- Normal forms, from utf8proc's tables; its own way through a text orders marks by a bubble sort, quadratic in a run of them ---- */
typedef struct codes { int32_t *v; size_t n, cap; } codes;

static size_t class_of(int32_t c) { return (unsigned char)utf8proc_get_property(c)->combining_class; }
/* Brings each run of marks into the order of their combining classes, equal ones as they stand: a counting sort, linear in the run. */
static vlm_status order_marks(codes *a, codes *spare) {
    for (size_t lo = 0, hi; lo < a->n; lo = hi + 1) {
        bool ordered = true;
        size_t class, last = 0;
        for (hi = lo; hi < a->n && (class = class_of(a->v[hi])); hi++, last = class) ordered = ordered && class >= last;
        if (ordered) continue;
        size_t count[257] = {0};                           /* by class: where the next one goes */
        TRY(vlm_grow(&spare->v, &spare->cap, hi - lo, sizeof *spare->v));
        memcpy(spare->v, a->v + lo, (hi - lo) * sizeof *spare->v);
        for (size_t i = lo; i < hi; i++) count[class_of(a->v[i]) + 1]++;
        for (int k = 1; k < 256; k++) count[k] += count[k - 1];
        for (size_t i = 0; i < hi - lo; i++) a->v[lo + count[class_of(spare->v[i])]++] = spare->v[i];
    }
    return VLM_OK;
}
static vlm_status stretch_form(const char *s, size_t n, int options, codes *a, codes *spare, vlm_buf *out) {
    enum { MOST = 32 };                                    /* characters that one becomes: 18 in Unicode */
    a->n = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int class = 0;
        i += (size_t)vlm_utf8_get(s + i, &c);
        TRY(vlm_grow(&a->v, &a->cap, a->n + MOST, sizeof *a->v));
        utf8proc_ssize_t k = utf8proc_decompose_char((utf8proc_int32_t)c, a->v + a->n, MOST, options, &class);
        if (k < 0 || k > MOST) return vlm_fail(VLM_EFORMAT, "text", "U+%04X cannot be normalized; leave it out", (unsigned)c);
        a->n += (size_t)k;
    }
    TRY(order_marks(a, spare));
    if (options & UTF8PROC_COMPOSE) a->n = (size_t)utf8proc_normalize_utf32(a->v, (utf8proc_ssize_t)a->n, options);
    for (size_t i = 0; i < a->n; i++) {
        char utf8[4];
        TRY(vlm_buf_add(out, utf8, (size_t)vlm_utf8_put(utf8, (uint32_t)a->v[i])));
    }
    return VLM_OK;
}
/* Characters too young for the library's tables stay as they are, and divide what is normalized on both sides. So does ASCII, which never
   joins what stands before it. */
static vlm_status unicode_form(const char *s, size_t n, int options, vlm_buf *out) {
    vlm_status status = VLM_OK;
    codes a = {0}, spare = {0};
    for (size_t i = 0, lo = 0; i <= n;) {
        uint32_t c = 0;
        int bytes = i < n ? vlm_utf8_get(s + i, &c) : 1;
        bool young = i < n && vlm_young_form(c);
        if (i == n || young || c < 0x80) {
            if (i - lo == 1) TRY_DONE(vlm_buf_add(out, s + lo, 1));    /* ASCII alone */
            else if (i > lo) TRY_DONE(stretch_form(s + lo, i - lo, options, &a, &spare, out));
            if (young) TRY_DONE(vlm_buf_add(out, s + i, (size_t)bytes));
            lo = young ? i + (size_t)bytes : i;
        }
        i += (size_t)bytes;
    }
done:
    free(a.v);
    free(spare.v);
    return status;
}
static vlm_status lower(const char *s, size_t n, size_t zero, vlm_run *out) {
    char utf8[4];
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int bytes = vlm_utf8_get(s + i, &c);
        if (c == 0x130) TRY(vlm_buf_add(&out->text, "i\xCC\x87", 3));          /* the only one that becomes two */
        else TRY(vlm_buf_add(&out->text, utf8, (size_t)vlm_utf8_put(utf8, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c))));
        i += (size_t)bytes;
        if (i <= zero) out->zero = out->text.n;
    }
    return VLM_OK;
}
static vlm_status without_marks(const char *s, size_t n, size_t zero, vlm_run *out) {
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int bytes = vlm_utf8_get(s + i, &c);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        bool mark = k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
        if (mark ? vlm_young_form(c) : c == 0x1CF2 || c == 0x1CF3) mark = !mark;       /* as the library's tables have it */
        if (!mark) TRY(vlm_buf_add(&out->text, s + i, (size_t)bytes));
        i += (size_t)bytes;
        if (i <= zero) out->zero = out->text.n;
    }
    return VLM_OK;
}
/* A few steps that put in more than they take out make terabytes of a word: together they may add so much to a text. */
size_t vlm_normalize_room(size_t bytes) {
    return bytes < (4u * VLM_TEXT_LIMIT - (1u << 20)) / 64 ? 64 * bytes + (1u << 20) : 4u * VLM_TEXT_LIMIT;
}
static vlm_status grown(const char *where) {
    return vlm_fail(VLM_ELIMIT, where, "its normalizer makes the text more than 64 times as long, or over 1 GB; "
                                       "use another tokenizer, or a shorter text");
}
static vlm_status replace(const vlm_step *step, const char *where, const char *s, size_t n, size_t zero, size_t room, vlm_stretches *spans,
                          vlm_run *out) {
    TRY(vlm_regex_stretches(step->regex, s, n, where, spans));
    for (size_t i = 0; i < spans->n; i++) {
        vlm_stretch p = spans->v[i];
        if (p.hit) TRY(vlm_buf_add(&out->text, step->content, step->content_bytes));
        else TRY(vlm_buf_add(&out->text, s + p.lo, p.hi - p.lo));
        if (p.hi <= zero) out->zero = out->text.n;         /* what is put in stems from where the last replaced character did */
        else if (!p.hit && p.lo < zero) out->zero = out->text.n - (p.hi - zero);
        if (out->text.n > p.hi && out->text.n - p.hi > room) return grown(where);
    }
    return VLM_OK;
}
static void strip(const vlm_step *step, const char *s, size_t n, size_t *lo, size_t *hi) {
    uint32_t c;
    *lo = 0;
    *hi = n;
    while (step->left && *lo < n) {
        int bytes = vlm_utf8_get(s + *lo, &c);
        if (!vlm_is_space(c)) break;
        *lo += (size_t)bytes;
    }
    while (step->right && *hi > *lo) {
        size_t p = *hi - 1;
        while (((unsigned char)s[p] & 0xC0) == 0x80) p--;
        vlm_utf8_get(s + p, &c);
        if (!vlm_is_space(c)) break;
        *hi = p;
    }
}
static vlm_status one(const vlm_step *step, const char *where, const char *s, size_t n, size_t zero, size_t room, vlm_stretches *spans,
                      vlm_run *out) {
    int form = UTF8PROC_STABLE;
    uint32_t c;
    size_t lo, hi;
    char utf8[4];
    out->text.n = out->zero = 0;
    switch (step->kind) {
    case VLM_NFKC: form |= UTF8PROC_COMPAT; /* fall through */
    case VLM_NFC: form |= UTF8PROC_COMPOSE; break;
    case VLM_NFKD: form |= UTF8PROC_COMPAT; /* fall through */
    case VLM_NFD: form |= UTF8PROC_DECOMPOSE; break;
    case VLM_LOWERCASE: return lower(s, n, zero, out);
    case VLM_STRIP_ACCENTS: return without_marks(s, n, zero, out);
    case VLM_REPLACE: return replace(step, where, s, n, zero, room, spans, out);
    case VLM_PREPEND:
        if (n) TRY(vlm_buf_add(&out->text, step->content, step->content_bytes));
        out->zero = zero ? out->text.n + zero : 0;
        return vlm_buf_add(&out->text, s, n);
    case VLM_STRIP:
        strip(step, s, n, &lo, &hi);
        out->zero = zero > lo ? zero - lo : 0;
        return vlm_buf_add(&out->text, s + lo, hi - lo);
    default:                                               /* ByteLevel */
        for (size_t i = 0; i < n; i++) {
            TRY(vlm_buf_add(&out->text, utf8, (size_t)vlm_utf8_put(utf8, vlm_byte_char((unsigned char)s[i]))));
            if (i < zero) out->zero = out->text.n;
        }
        return VLM_OK;
    }
    TRY(unicode_form(s, n, form, &out->text));
    if (!zero) return VLM_OK;
    vlm_buf head = {0};                                    /* what the first character became, and what was composed with that */
    vlm_status status = unicode_form(s, zero, form, &head);
    while (!status && out->zero < head.n && out->zero < out->text.n) out->zero += (size_t)vlm_utf8_get(out->text.s + out->zero, &c);
    free(head.s);
    return status;
}
vlm_status vlm_normalize(const vlm_steps *steps, const char *where, const char *s, size_t n, size_t zero, size_t *room,
                         vlm_stretches *spans, vlm_run *out, vlm_run *spare) {
    out->text.n = 0;
    out->zero = zero;
    TRY(vlm_buf_add(&out->text, s, n));
    for (size_t i = 0; i < steps->n && out->text.n; i++) {
        vlm_run swap = *out;
        *out = *spare;
        *spare = swap;
        TRY(one(&steps->v[i], where, spare->text.s, spare->text.n, spare->zero, *room, spans, out));
        size_t more = out->text.n > spare->text.n ? out->text.n - spare->text.n : 0;
        if (more > *room) return grown(where);
        *room -= more;
    }
    return VLM_OK;
}

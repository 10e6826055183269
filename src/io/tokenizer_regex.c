/* Regular expressions of tokenizer.json are Oniguruma's (Ruby syntax, Unicode). PCRE2 runs them after a translation of what the two read
   differently: classes of characters (\s \w \d \h, POSIX, scripts), ^ and $ (always by line), (?m) (dot takes newlines), \uHHHH,
   {,n}, and a + behind {n,m}, which repeats there and is possessive here. What cannot be carried over is refused by name. */
#include "io/tokenizer_impl.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct vlm_regex {
    pcre2_code *code;          /* NULL: a literal, or nothing */
    pcre2_match_context *limits;
    char *literal;
    size_t literal_bytes;
};
enum { PATTERN_LIMIT = 16384 };

#define SPACE  "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define NSPACE "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}" \
               "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{D7FF}\\x{E000}-\\x{10FFFF}"
#define ALPHA  "\\p{Alphabetic}"
#define WORD   "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
#define ESCAPED WORD "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"      /* outside of [...] Latin-1's small digits too */
#define HEX    "0-9A-Fa-f"

typedef struct translation {
    const char *s, *where;
    size_t i, n;
    vlm_buf out;
    size_t atom;               /* where the last atom begins in out */
    size_t group[64];          /* where the open groups begin */
    int depth;
} translation;

static vlm_status refuse(const translation *t, const char *what) {
    return vlm_fail(VLM_EUNSUPPORTED, t->where,
                    "the regular expression %.200s has %s, which is not supported; use another tokenizer or report the pattern",
                    t->s, what);
}
static vlm_status say(translation *t, const char *s) { return vlm_buf_add(&t->out, s, strlen(s)); }
static vlm_status wrap(translation *t, const char *open, const char *s, const char *close) {
    TRY(say(t, open));
    TRY(say(t, s));
    return say(t, close);
}
/* Does \p{name} compile? */
static bool property(const char *prefix, const char *name) {
    char text[96];
    int code;
    PCRE2_SIZE at;
    snprintf(text, sizeof text, "\\p{%s%s}", prefix, name);
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    pcre2_code_free(c);
    return c != NULL;
}
/* \p{...}, \P{...}, \p{^...}; i stands behind the p */
static vlm_status translate_property(translation *t, bool negative, bool in_class) {
    static const char *const names[][2] = {
        {"letter", "L"}, {"mark", "M"}, {"number", "N"}, {"punctuation", "P"}, {"symbol", "S"}, {"separator", "Z"}, {"other", "C"},
        {"uppercaseletter", "Lu"}, {"lowercaseletter", "Ll"}, {"titlecaseletter", "Lt"}, {"modifierletter", "Lm"}, {"otherletter", "Lo"},
        {"nonspacingmark", "Mn"}, {"spacingmark", "Mc"}, {"enclosingmark", "Me"}, {"decimalnumber", "Nd"}, {"letternumber", "Nl"},
        {"othernumber", "No"}, {"connectorpunctuation", "Pc"}, {"dashpunctuation", "Pd"}, {"openpunctuation", "Ps"},
        {"closepunctuation", "Pe"}, {"initialpunctuation", "Pi"}, {"finalpunctuation", "Pf"}, {"otherpunctuation", "Po"},
        {"mathsymbol", "Sm"}, {"currencysymbol", "Sc"}, {"modifiersymbol", "Sk"}, {"othersymbol", "So"}, {"spaceseparator", "Zs"},
        {"control", "Cc"}, {"format", "Cf"}, {"unassigned", "Cn"}, {"punct", "P"},
        {"digit", "Nd"}, {"cntrl", "Cc"} };
    static const char *const sets[][2] = { {"space", SPACE}, {"whitespace", SPACE}, {"alpha", ALPHA}, {"alphabetic", ALPHA}, {"word", WORD},
                                           {"alnum", ALPHA "\\p{Nd}"}, {"xdigit", HEX} };
    char name[64], plain[64];
    size_t n = 0, m = 0;
    if (t->i >= t->n || t->s[t->i] != '{') return refuse(t, "a \\p without braces");
    t->i++;
    if (t->i < t->n && t->s[t->i] == '^') { negative = !negative; t->i++; }
    while (t->i < t->n && t->s[t->i] != '}') {
        char c = t->s[t->i++];
        if (n + 1 == sizeof name || (!isalnum((unsigned char)c) && !strchr("_- &", c))) return refuse(t, "a \\p{...} with an odd name");
        name[n++] = c;
        if (isalnum((unsigned char)c)) plain[m++] = (char)tolower((unsigned char)c);
    }
    name[n] = plain[m] = 0;
    if (t->i++ >= t->n) return refuse(t, "a \\p{ without end");
    const char *use = name, *prefix = "";
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        if (strcmp(plain, sets[k][0])) continue;
        if (in_class && negative) return refuse(t, "a negated set inside [...]");
        if (in_class) return say(t, sets[k][1]);
        if (!strcmp(plain, "word")) return wrap(t, negative ? "[^" : "[", ESCAPED, "]");
        return wrap(t, negative ? "[^" : "[", sets[k][1], "]");
    }
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (!strcmp(plain, names[k][0])) use = names[k][1];
    if (strlen(use) > 2 && property("sc:", use)) prefix = "sc:";      /* PCRE2 would take the script's extensions too */
    else if (!property("", use)) return refuse(t, "a \\p{...} of an unknown name");
    TRY(say(t, negative ? "\\P{" : "\\p{"));
    return wrap(t, prefix, use, "}");
}
/* behind a backslash, inside or outside of [...] */
static vlm_status translate_escape(translation *t, bool in_class) {
    if (t->i >= t->n) return refuse(t, "a backslash at its end");
    char c = t->s[t->i++], text[16];
    switch (c) {
    case 's': return in_class ? say(t, SPACE) : wrap(t, "[", SPACE, "]");
    case 'S': return in_class ? say(t, NSPACE) : wrap(t, "[^", SPACE, "]");
    case 'w': return in_class ? say(t, WORD) : wrap(t, "[", ESCAPED, "]");
    case 'W': return in_class ? refuse(t, "\\W inside [...]") : wrap(t, "[^", ESCAPED, "]");
    case 'h': return in_class ? say(t, HEX) : wrap(t, "[", HEX, "]");
    case 'H': return in_class ? refuse(t, "\\H inside [...]") : wrap(t, "[^", HEX, "]");
    case 'd': return say(t, "\\p{Nd}");
    case 'D': return say(t, "\\P{Nd}");
    case 'p': case 'P': return translate_property(t, c == 'P', in_class);
    case 'b':
        if (in_class) return say(t, "\\x{8}");
        return say(t, "(?:(?<=[" ESCAPED "])(?![" ESCAPED "])|(?<![" ESCAPED "])(?=[" ESCAPED "]))");
    case 'B': return say(t, "(?:(?<=[" ESCAPED "])(?=[" ESCAPED "])|(?<![" ESCAPED "])(?![" ESCAPED "]))");
    case 'v': return say(t, "\\x{B}");
    case 'u': case 'x': {
        uint32_t v;
        if (c == 'x' && t->i < t->n && t->s[t->i] == '{') return say(t, "\\x");     /* the braces follow as they are */
        int used = vlm_hex(t->s + t->i, t->n - t->i, c == 'u' ? 4 : 2, &v);
        if (!used || (c == 'u' && used != 4) || (c == 'x' && v > 0x7F))
            return refuse(t, c == 'u' ? "a \\u without four digits" : "a \\x that is not a character");
        t->i += (size_t)used;
        snprintf(text, sizeof text, "\\x{%x}", (unsigned)v);
        return say(t, text);
    }
    case 'n': case 'r': case 't': case 'f': case 'a': case 'e': case '0':
        break;
    case 'A': case 'z': case 'Z': case 'K': case 'R': case 'G':
        if (in_class) return refuse(t, "an anchor inside [...]");
        break;
    default:
        if (isalnum((unsigned char)c)) return refuse(t, "a back reference, or an escape without a counterpart");
    }
    text[0] = '\\'; text[1] = c; text[2] = 0;
    if ((unsigned char)c >= 0x80) return say(t, text + 1);     /* the rest of the character follows */
    return say(t, text);
}
static vlm_status translate_class(translation *t) {
    static const char *const posix[][2] = { {"[:space:]", SPACE}, {"[:alpha:]", ALPHA}, {"[:digit:]", "\\p{Nd}"},
        {"[:punct:]", "\\p{P}\\p{S}"}, {"[:upper:]", "\\p{Uppercase}"}, {"[:lower:]", "\\p{Lowercase}"}, {"[:alnum:]", ALPHA "\\p{Nd}"},
        {"[:word:]", WORD}, {"[:xdigit:]", HEX}, {"[:cntrl:]", "\\p{Cc}"} };
    TRY(say(t, "["));
    if (t->i < t->n && t->s[t->i] == '^') { TRY(say(t, "^")); t->i++; }
    if (t->i < t->n && t->s[t->i] == ']') { TRY(say(t, "\\]")); t->i++; }
    while (t->i < t->n && t->s[t->i] != ']') {
        const char *s = t->s + t->i;
        if (*s == '\\') {
            t->i++;
            TRY(translate_escape(t, true));
            continue;
        }
        if (*s == '[') {
            size_t k = 0, count = sizeof posix / sizeof *posix;
            while (k < count && strncmp(s, posix[k][0], strlen(posix[k][0]))) k++;
            if (k == count) return refuse(t, "a [ inside [...]");
            TRY(say(t, posix[k][1]));
            t->i += strlen(posix[k][0]);
            continue;
        }
        if (!strncmp(s, "&&", 2)) return refuse(t, "&& inside [...]");
        TRY(vlm_buf_add(&t->out, s, 1));
        t->i++;
    }
    if (t->i++ >= t->n) return refuse(t, "a [ without end");
    return say(t, "]");
}
/* {n} {n,} {n,m} {,m}, then what stands behind it; anything else is a plain brace */
static vlm_status translate_braces(translation *t) {
    size_t k = t->i + 1;
    char text[32], low[12] = "", high[12] = "";
    size_t a = 0, b = 0;
    bool comma = false;
    for (; k < t->n && t->s[k] != '}'; k++) {
        if (t->s[k] == ',' && !comma) comma = true;
        else if (!isdigit((unsigned char)t->s[k]) || a > 5 || b > 5) break;
        else if (comma) high[b++] = t->s[k];
        else low[a++] = t->s[k];
    }
    if (k >= t->n || t->s[k] != '}' || (!a && !b)) {
        t->atom = t->out.n;
        t->i++;
        return say(t, "\\{");
    }
    t->i = k + 1;
    snprintf(text, sizeof text, "{%s%s%s}", a ? low : "0", comma ? "," : "", high);
    TRY(say(t, text));
    if (t->i < t->n && (t->s[t->i] == '+' || (t->s[t->i] == '?' && !comma))) {        /* in Ruby these repeat the repeated */
        TRY(vlm_buf_reserve(&t->out, 4));
        memmove(t->out.s + t->atom + 3, t->out.s + t->atom, t->out.n - t->atom);
        memcpy(t->out.s + t->atom, "(?:", 3);
        t->out.n += 3;
        TRY(say(t, ")"));
    }
    return VLM_OK;
}
static vlm_status translate_group(translation *t) {
    if (t->depth == 64) return refuse(t, "more than 64 groups inside each other");
    t->group[t->depth++] = t->out.n;
    TRY(say(t, "("));
    t->i++;
    if (t->i + 1 >= t->n || t->s[t->i] != '?') return VLM_OK;
    const char *s = t->s + t->i + 1;
    if (strchr(":=!>#", *s) || *s == '<') {
        TRY(say(t, "?"));
        t->i++;
        return VLM_OK;
    }
    TRY(say(t, "?"));          /* options: i, m, x, - up to : or ) */
    for (t->i++; t->i < t->n && t->s[t->i] != ':' && t->s[t->i] != ')'; t->i++) {
        char c = t->s[t->i];
        if (!strchr("imx-", c)) return refuse(t, "a group of an unknown kind");
        TRY(vlm_buf_add(&t->out, c == 'm' ? "s" : &c, 1));
    }
    /* Ruby lets it take in a later | */
    if (t->i < t->n && t->s[t->i] == ')' && t->group[t->depth - 1]) return refuse(t, "an option in its middle");
    return VLM_OK;
}
static vlm_status translate(translation *t) {
    while (t->i < t->n) {
        char c = t->s[t->i];
        if (c != '*' && c != '+' && c != '?' && c != '{' && c != ')' && ((unsigned char)c & 0xC0) != 0x80) t->atom = t->out.n;
        switch (c) {
        case '\\': t->i++; TRY(translate_escape(t, false)); break;
        case '[': t->i++; TRY(translate_class(t)); break;
        case '{': TRY(translate_braces(t)); break;
        case '(': TRY(translate_group(t)); break;
        case ')':
            if (!t->depth) return refuse(t, "a ) without (");
            t->atom = t->group[--t->depth];
            /* fall through */
        default: TRY(vlm_buf_add(&t->out, &c, 1)); t->i++;
        }
    }
    return VLM_OK;
}

vlm_status vlm_regex_open(const char *pattern, bool literal, const char *where, vlm_regex **out) {
    vlm_status status = VLM_OK;
    translation t = { .s = pattern, .n = strlen(pattern), .where = where };
    int code;
    PCRE2_SIZE at;
    vlm_regex *r = calloc(1, sizeof *r);
    if (!r) return vlm_fail_memory(where, sizeof *r);
    if (t.n > PATTERN_LIMIT)
        TRY_DONE(vlm_fail(VLM_ELIMIT, where, "a pattern of %zu bytes is over the limit of %d; use another tokenizer", t.n, PATTERN_LIMIT));
    if (literal && t.n) {
        r->literal_bytes = t.n;
        if (!(r->literal = strdup(pattern))) TRY_DONE(vlm_fail_memory(where, t.n));
    } else {
        pcre2_compile_context *c = pcre2_compile_context_create(NULL);
        if (c) {
            pcre2_set_newline(c, PCRE2_NEWLINE_LF);
            pcre2_set_parens_nest_limit(c, 100);
            pcre2_set_max_pattern_length(c, 1 << 20);
            if ((status = translate(&t)) == VLM_OK) {
                r->code = pcre2_compile((PCRE2_SPTR)(t.out.s ? t.out.s : ""), t.out.n,
                                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                        &code, &at, c);
                r->limits = pcre2_match_context_create(NULL);
                if (!r->code) {
                    char text[160] = "";
                    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
                    status = vlm_fail(VLM_EFORMAT, where, "the regular expression %.200s is broken: %s; get the file again", pattern, text);
                }
            }
            pcre2_compile_context_free(c);
        }
        if (status == VLM_OK && (!c || !r->limits)) status = vlm_fail_memory(where, sizeof *r);
        if (status) goto done;
        /* steps of one match; a run of 1 MB without a blank needs about as many as it is long */
        pcre2_set_match_limit(r->limits, 20000000);
        pcre2_set_depth_limit(r->limits, 10000000);
        pcre2_set_heap_limit(r->limits, 512 * 1024);       /* KiB */
    }
    *out = r;
    r = NULL;
done:
    free(t.out.s);
    vlm_regex_close(r);
    return status;
}
void vlm_regex_close(vlm_regex *r) {
    if (!r) return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    free(r->literal);
    free(r);
}

vlm_status vlm_stretches_add(vlm_stretches *out, size_t lo, size_t hi, bool hit) {
    TRY(vlm_grow(&out->v, &out->cap, out->n + 1, sizeof *out->v));
    out->v[out->n++] = (vlm_stretch){ lo, hi, hit };
    return VLM_OK;
}
static vlm_status hit(vlm_stretches *out, size_t *done, size_t lo, size_t hi) {
    if (*done != lo) TRY(vlm_stretches_add(out, *done, lo, false));
    *done = hi;
    return vlm_stretches_add(out, lo, hi, true);
}
static const char *find(const char *s, size_t n, const char *what, size_t bytes) {
    const char *end = s + n, *p = s;
    while ((size_t)(end - p) >= bytes && (p = memchr(p, what[0], (size_t)(end - p) - bytes + 1))) {
        if (!memcmp(p, what, bytes)) return p;
        p++;
    }
    return NULL;
}
vlm_status vlm_regex_stretches(const vlm_regex *r, const char *s, size_t n, const char *where, vlm_stretches *out) {
    size_t done = 0, from = 0, last = SIZE_MAX;
    out->n = 0;
    if (r->literal) {
        const char *p;
        while ((p = find(s + from, n - from, r->literal, r->literal_bytes))) {
            from = (size_t)(p - s) + r->literal_bytes;
            TRY(hit(out, &done, (size_t)(p - s), from));
        }
        return done < n ? vlm_stretches_add(out, done, n, false) : VLM_OK;
    }
    if (!out->match && !(out->match = pcre2_match_data_create(1, NULL))) return vlm_fail_memory(where, 256);
    while (from <= n) {
        int rc = pcre2_match(r->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, out->match, r->limits);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) {
            char text[160] = "";
            pcre2_get_error_message(rc, (PCRE2_UCHAR *)text, sizeof text);
            return vlm_fail(VLM_ELIMIT, where, "the tokenizer's regular expression gives up on this text: %s; shorten the text", text);
        }
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(out->match);
        size_t lo = v[0], hi = v[1];
        if (lo > hi || lo < from) {                        /* \K in a lookaround can do this */
            return vlm_fail(VLM_EUNSUPPORTED, where, "the tokenizer's regular expression matches backwards; use another tokenizer");
        }
        if (lo == hi && lo == last) {                      /* an empty match where the last one ended: go on behind the next character */
            from = hi + 1;
            while (from < n && ((unsigned char)s[from] & 0xC0) == 0x80) from++;
            continue;
        }
        TRY(hit(out, &done, lo, hi));
        from = last = hi;
    }
    return done < n ? vlm_stretches_add(out, done, n, false) : VLM_OK;
}

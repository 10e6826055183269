#include "io/chat.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMOLLM2 "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

struct vlm_chat {
    const vlm_tokenizer *t;
    vlm_chat_kind kind;
    int64_t bos, open, close;  /* ids; -1: none */
    char *text;                /* waits for the id that ends it */
    size_t n, cap;
    char *system;              /* GEMMA: goes in front of the first turn */
    char *standard;            /* CHATML_DEFAULT: the system text where nobody gives one */
    bool begun, in_turn, in_system;
    size_t content;
    vlm_ids out;
};

/* ---- Which template is it? ---- */

/* A Jinja template without what its spelling varies in: quotes, blanks, plus signs, braces of expressions, \n as two characters, .role */
static char *squeeze(const char *s) {
    char *out = malloc(strlen(s) + 1), *o = out;
    if (!out) return NULL;
    for (; *s; s++) {
        if (strchr("'\"+ \t\r[]", *s)) continue;
        if (!strncmp(s, "{{", 2) || !strncmp(s, "}}", 2)) { s += 1 + (s[0] == '{' && s[2] == '-'); continue; }
        if (!strncmp(s, "-}}", 3)) { s += 2; continue; }
        if (!strncmp(s, ".role", 5) || !strncmp(s, ".content", 8)) continue;
        if (!strncmp(s, "\\n", 2)) { *o++ = '\n'; s++; continue; }
        *o++ = *s;
    }
    *o = 0;
    return out;
}
/* <|im_start|>system\nTEXT<|im_end|> with plain text inside: the default. */
static bool default_text(const char *s, const char **text, size_t *n) {
    const char *p = strstr(s, "<|im_start|>system"), *end;
    if (!p) return false;
    p += strlen("<|im_start|>system");
    if (*p == '\n') p++;
    else if (!strncmp(p, "\\n", 2)) p += 2;
    else return false;
    if (!(end = strstr(p, "<|im_end|>"))) return false;
    *n = (size_t)(end - p);
    *text = p;
    return *n && !memchr(p, '\'', *n) && !memchr(p, '"', *n) && !memchr(p, '{', *n) && !memchr(p, '\\', *n);
}
static vlm_chat_kind recognise(const char *s, const char *plain) {
    static const char *const foreign[] = { "tool", "think", "namespace", "reasoning", "function", "macro" };
    const char *text;
    size_t n;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (strstr(plain, foreign[i])) return VLM_CHAT_UNKNOWN;
    if (strstr(plain, "<start_of_turn>") && strstr(plain, "<end_of_turn>\n") && strstr(plain, "model") && strstr(plain, "trim") &&
        strstr(plain, "bos_token"))
        return VLM_CHAT_GEMMA;
    if (!strstr(plain, "<|im_start|>messagerole\nmessagecontent<|im_end|>\n") || strstr(plain, "trim") || strstr(plain, "strip") ||
        strstr(plain, "bos_token"))
        return VLM_CHAT_UNKNOWN;
    if (!strstr(plain, "<|im_start|>system")) return VLM_CHAT_CHATML;
    return default_text(s, &text, &n) ? VLM_CHAT_CHATML_DEFAULT : VLM_CHAT_UNKNOWN;
}

static const char *const names[] = { "unknown", "none", "chatml", "smollm2", "gemma" };
const char *vlm_chat_kind_name(vlm_chat_kind kind) { return names[kind]; }
const char *vlm_chat_default(const char *language) { return !strncmp(language, "gemma", 5) ? "gemma" : "chatml"; }
vlm_status vlm_chat_kind_of(const vlm_tokenizer *t, const char *name, const char *fallback, vlm_chat_kind *out) {
    const char *use = name ? name : fallback, *s = vlm_tokenizer_chat_template(t);
    for (int k = VLM_CHAT_NONE; use && k <= VLM_CHAT_GEMMA; k++)
        if (!strcmp(use, names[k])) {
            *out = (vlm_chat_kind)k;
            return VLM_OK;
        }
    if (use) return vlm_fail(VLM_EARG, "--template", "%.40s is not known; choose chatml, smollm2, gemma or none", use);
    if (!s) {
        *out = VLM_CHAT_UNKNOWN;
        return VLM_OK;
    }
    char *plain = squeeze(s);
    if (!plain) return vlm_fail_memory("chat template", strlen(s));
    *out = recognise(s, plain);
    free(plain);
    return VLM_OK;
}

/* ---- Special tokens ---- */
static vlm_status need(const vlm_tokenizer *t, const char *token, vlm_chat_kind kind, int64_t *id) {
    *id = vlm_token_id(t, token);
    if (*id < 0)
        return vlm_fail(VLM_EFORMAT, vlm_tokenizer_where(t), "has no token %s, which the template %s needs; choose another with --template",
                        token, names[kind]);
    return VLM_OK;
}
static vlm_status turn_ids(const vlm_tokenizer *t, vlm_chat_kind kind, int64_t *open, int64_t *close) {
    *open = *close = -1;
    if (kind == VLM_CHAT_UNKNOWN || kind == VLM_CHAT_NONE) return VLM_OK;
    TRY(need(t, kind == VLM_CHAT_GEMMA ? "<start_of_turn>" : "<|im_start|>", kind, open));
    return need(t, kind == VLM_CHAT_GEMMA ? "<end_of_turn>" : "<|im_end|>", kind, close);
}
vlm_status vlm_chat_stop_ids(const vlm_tokenizer *t, vlm_chat_kind kind, vlm_ids *stop) {
    int64_t open, close;
    TRY(turn_ids(t, kind, &open, &close));
    TRY(vlm_ids_add(stop, vlm_tokenizer_eos(t)));
    return vlm_ids_add(stop, close);
}

/* ---- Building ---- */
static bool blank(const char *s, size_t *bytes, size_t n) {    /* what Python's strip() takes, at the beginning of s */
    static const char *const wide[] = {
        "\xC2\x85", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84",
        "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9",
        "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80" };
    unsigned char c = (unsigned char)s[0];
    *bytes = 1;
    if (c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31)) return true;
    for (size_t i = 0; c >= 0x80 && i < sizeof wide / sizeof *wide; i++)
        if ((*bytes = strlen(wide[i])) <= n && !memcmp(s, wide[i], *bytes)) return true;
    return false;
}
static void trim(const char **s, size_t *n, bool left, bool right) {
    size_t bytes;
    while (left && *n && blank(*s, &bytes, *n)) *s += bytes, *n -= bytes;
    while (right && *n) {
        size_t p = *n - 1;
        while (p && ((unsigned char)(*s)[p] & 0xC0) == 0x80) p--;
        if (!blank(*s + p, &bytes, *n - p) || p + bytes != *n) break;
        *n = p;
    }
}
/* Text up to an id (-1: the end of a rendering). Special tokens may swallow the blanks beside them. */
static vlm_status text_out(vlm_chat *c, int64_t next) {
    const char *s = c->text;
    size_t n = c->n;
    bool left, right = false, unused;
    if (!n) return VLM_OK;
    if (c->out.n) {
        vlm_token_strips(c->t, c->out.id[c->out.n - 1], &unused, &right);
        trim(&s, &n, right, false);
    }
    vlm_token_strips(c->t, next, &left, &unused);
    trim(&s, &n, false, left);
    c->n = 0;
    return vlm_tokenizer_encode(c->t, s, n, VLM_ENCODE_LITERAL | (c->out.n ? VLM_ENCODE_INSIDE : 0), &c->out);
}
static vlm_status id_out(vlm_chat *c, int64_t id) {
    TRY(text_out(c, id));
    return vlm_ids_push(&c->out, id);
}
static vlm_status say(vlm_chat *c, const char *s, size_t n) {
    if (n > VLM_TEXT_LIMIT || c->n > VLM_TEXT_LIMIT) return vlm_fail(VLM_ELIMIT, "text", "is over %d MB; shorten it", VLM_TEXT_LIMIT >> 20);
    if (c->n + n > c->cap) {
        size_t cap = 2 * (c->n + n) + 64;
        char *p = realloc(c->text, cap);
        if (!p) return vlm_fail_memory("text", cap);
        c->text = p;
        c->cap = cap;
    }
    if (n) memcpy(c->text + c->n, s, n);
    c->n += n;
    return VLM_OK;
}
static vlm_status says(vlm_chat *c, const char *s) { return say(c, s, strlen(s)); }

/* The template may lie beside tokenizer.json, in it or nowhere: the folder is named. */
static vlm_status no_template(const char *where, const char *template) {
    static const char file[] = "/tokenizer.json", sub[] = "/tokenizer";
    char dir[1024];
    size_t n = (size_t)snprintf(dir, sizeof dir, "%s", where), f = sizeof file - 1, s = sizeof sub - 1;
    if (n >= sizeof dir) n = sizeof dir - 1;
    if (n > f && !strcmp(dir + n - f, file)) dir[n -= f] = 0;
    if (n > s && !strcmp(dir + n - s, sub)) dir[n - s] = 0;
    return vlm_fail(VLM_EUNSUPPORTED, dir, "%s; choose one with --template chatml|smollm2|gemma|none",
                    template ? "its chat template is of a kind that is not known" : "has no chat template");
}
vlm_status vlm_chat_open(const vlm_tokenizer *t, vlm_chat_kind kind, vlm_chat **out) {
    vlm_status status = VLM_OK;
    const char *text, *s = vlm_tokenizer_chat_template(t);
    size_t n;
    if (kind == VLM_CHAT_UNKNOWN)
        return no_template(vlm_tokenizer_where(t), s);
    vlm_chat *c = calloc(1, sizeof *c);
    if (!c) return vlm_fail_memory("chat", sizeof *c);
    c->t = t;
    c->kind = kind;
    TRY_DONE(turn_ids(t, kind, &c->open, &c->close));
    c->bos = vlm_tokenizer_bos(t);
    if (kind == VLM_CHAT_GEMMA && c->bos < 0) TRY_DONE(need(t, "<bos>", kind, &c->bos));
    if (kind == VLM_CHAT_CHATML_DEFAULT) {
        if (!s || !default_text(s, &text, &n)) text = SMOLLM2, n = strlen(SMOLLM2);
        if (!(c->standard = strndup(text, n))) TRY_DONE(vlm_fail_memory("chat", n));
    }
    *out = c;
    c = NULL;
done:
    vlm_chat_close(c);
    return status;
}
vlm_status vlm_chat_copy(const vlm_chat *c, vlm_chat **out) {
    vlm_status status = VLM_OK;
    vlm_chat *d = malloc(sizeof *d);
    if (!d) return vlm_fail_memory("chat", sizeof *d);
    *d = *c;
    d->text = malloc(c->n + 1);
    d->cap = c->n;
    d->system = c->system ? strdup(c->system) : NULL;
    d->standard = c->standard ? strdup(c->standard) : NULL;
    d->out = (vlm_ids){ 0 };
    if (!d->text || (c->system && !d->system) || (c->standard && !d->standard)) status = vlm_fail_memory("chat", c->n);
    else if (c->n) memcpy(d->text, c->text, c->n);
    for (size_t i = 0; !status && i < c->out.n; i++) status = vlm_ids_push(&d->out, c->out.id[i]);
    if (status) vlm_chat_close(d);
    else *out = d;
    return status;
}
void vlm_chat_close(vlm_chat *c) {
    if (!c) return;
    free(c->text);
    free(c->system);
    free(c->standard);
    vlm_ids_free(&c->out);
    free(c);
}

static vlm_status header(vlm_chat *c, const char *role) {
    TRY(id_out(c, c->open));
    c->content = c->out.n;
    TRY(says(c, role));
    return says(c, "\n");
}
vlm_status vlm_chat_begin(vlm_chat *c, vlm_chat_role role) {
    static const char *const roles[] = { "system", "user", "assistant" };
    bool first = !c->begun;
    if (c->in_turn) return vlm_fail(VLM_EARG, "chat", "a turn begins inside a turn; end the one before");
    if (role == VLM_ROLE_SYSTEM && !first) return vlm_fail(VLM_EARG, "chat", "the system text comes after other turns; put it first");
    c->begun = c->in_turn = true;
    c->in_system = role == VLM_ROLE_SYSTEM;
    if (first && c->kind == VLM_CHAT_GEMMA) TRY(id_out(c, c->bos));
    if (first && c->kind == VLM_CHAT_NONE) TRY(vlm_tokenizer_encode(c->t, "", 0, VLM_ENCODE_FRONT, &c->out));
    if (c->kind == VLM_CHAT_NONE) {
        c->content = c->out.n;
        return VLM_OK;
    }
    if (c->kind == VLM_CHAT_GEMMA) {
        if (c->in_system) return VLM_OK;
        TRY(header(c, role == VLM_ROLE_USER ? "user" : "model"));
        if (c->system) {
            TRY(says(c, c->system));
            TRY(says(c, "\n\n"));
            free(c->system);
            c->system = NULL;
        }
        return VLM_OK;
    }
    if (first && c->standard && role != VLM_ROLE_SYSTEM) {
        TRY(header(c, "system"));
        TRY(says(c, c->standard));
        TRY(id_out(c, c->close));
        TRY(says(c, "\n"));
    }
    return header(c, roles[role]);
}
vlm_status vlm_chat_text(vlm_chat *c, const char *text, size_t bytes) {
    if (!c->in_turn) return vlm_fail(VLM_EARG, "chat", "text outside of a turn; begin one");
    TRY(vlm_text_check(text, bytes));                          /* here, where its bytes are counted as the user gave them */
    if (c->kind == VLM_CHAT_GEMMA && c->in_system) {
        size_t have = c->system ? strlen(c->system) : 0;
        if (bytes > VLM_TEXT_LIMIT || memchr(text, 0, bytes))
            return vlm_fail(VLM_EARG, "system text", "is too long or holds a NUL; mend it");
        char *p = realloc(c->system, have + bytes + 1);
        if (!p) return vlm_fail_memory("chat", bytes);
        memcpy(p + have, text, bytes);
        p[have + bytes] = 0;
        c->system = p;
        return VLM_OK;
    }
    if (c->kind == VLM_CHAT_GEMMA) trim(&text, &bytes, true, true);
    return say(c, text, bytes);
}
vlm_status vlm_chat_ids(vlm_chat *c, const int64_t *ids, size_t n) {
    if (!c->in_turn || (c->in_system && c->kind == VLM_CHAT_GEMMA)) return vlm_fail(VLM_EARG, "chat", "ids outside of a turn; begin one");
    for (size_t i = 0; i < n; i++) TRY(id_out(c, ids[i]));
    return VLM_OK;
}
vlm_status vlm_chat_end(vlm_chat *c) {
    if (!c->in_turn) return vlm_fail(VLM_EARG, "chat", "a turn ends that never began; begin it");
    c->in_turn = false;
    if (c->kind == VLM_CHAT_NONE) return c->in_system ? says(c, "\n\n") : VLM_OK;
    if (c->kind == VLM_CHAT_GEMMA && c->in_system) return VLM_OK;
    TRY(id_out(c, c->close));
    return says(c, "\n");
}
vlm_status vlm_chat_prompt(vlm_chat *c) {
    TRY(vlm_chat_begin(c, VLM_ROLE_ASSISTANT));
    return vlm_chat_flush(c);
}
vlm_status vlm_chat_flush(vlm_chat *c) { return text_out(c, -1); }
const vlm_ids *vlm_chat_out(const vlm_chat *c) { return &c->out; }
size_t vlm_chat_content(const vlm_chat *c) { return c->content; }

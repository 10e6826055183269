/* The inside of a tokenizer, shared by tokenizer*.c and nobody else. */
#ifndef VLM_TOKENIZER_IMPL_H
#define VLM_TOKENIZER_IMPL_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include "io/json.h"
#include "io/safetensors.h"
#include "io/tokenizer.h"
#include <pcre2.h>
#include <string.h>

/* ---- Bytes that grow ---- */
typedef struct vlm_buf { char *s; size_t n, cap; } vlm_buf;
vlm_status vlm_buf_add(vlm_buf *b, const void *s, size_t n);
vlm_status vlm_buf_reserve(vlm_buf *b, size_t more);
/* Makes room for n elements of `size` bytes in *array. */
vlm_status vlm_grow(void *array, size_t *cap, size_t n, size_t size);

/* ---- UTF-8 ---- */
/* Length of the longest valid beginning. Where it ends early: *bad = bytes of the broken sequence there (what Unicode calls a maximal
   subpart), 0 if the text only stops in the middle of a character. */
size_t vlm_utf8_valid(const char *s, size_t n, size_t *bad);
int    vlm_utf8_put(char *to, uint32_t c);                 /* up to 4 bytes; how many */
static inline int vlm_utf8_get(const char *text, uint32_t *c) {        /* of valid text */
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) { *c = s[0]; return 1; }
    if (s[0] < 0xE0) { *c = (s[0] & 31u) << 6 | (s[1] & 63u); return 2; }
    if (s[0] < 0xF0) { *c = (s[0] & 15u) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u); return 3; }
    *c = (s[0] & 7u) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u);
    return 4;
}
int    vlm_hex(const char *s, size_t n, int most, uint32_t *v);        /* hexadecimal digits that s begins with; *v: their value */
bool vlm_is_space(uint32_t c);                             /* Unicode White_Space */
bool vlm_is_numeric(uint32_t c);                           /* categories N* */
bool vlm_is_word(uint32_t c);                              /* \w: letters, marks, digits, connectors */
bool vlm_young_form(uint32_t c);                           /* has a form or is a mark, but was not yet in the library's tables */
bool vlm_young_punctuation(uint32_t c);
/* GPT-2's spelling of bytes as printable characters: code point of a byte, byte of a code point or -1. */
uint32_t vlm_byte_char(unsigned char b);
int      vlm_char_byte(uint32_t c);

/* ---- Hash tables: open addressing; a table that a file has made degenerate is an error, not a hang ---- */
typedef struct vlm_u64map { uint64_t *key; uint32_t *value; size_t cap, n; } vlm_u64map;       /* keys below 2^63 */
vlm_status vlm_u64map_set(vlm_u64map *m, uint64_t key, uint32_t value, const char *where);
bool       vlm_u64map_get(const vlm_u64map *m, uint64_t key, uint32_t *value);
void       vlm_u64map_free(vlm_u64map *m);

/* ---- Regular expressions: Oniguruma's Ruby syntax, as the library reads it, run by PCRE2 ---- */
typedef struct vlm_regex vlm_regex;
vlm_status vlm_regex_open(const char *pattern, bool literal, const char *where, vlm_regex **out);
void       vlm_regex_close(vlm_regex *r);                  /* NULL is fine */
typedef struct vlm_stretch { size_t lo, hi; bool hit; } vlm_stretch;
/* All of s as spans, matches (hit) and what lies between; an empty match is a span too. */
typedef struct vlm_stretches { vlm_stretch *v; size_t n, cap; pcre2_match_data *match; } vlm_stretches;
vlm_status vlm_stretches_add(vlm_stretches *out, size_t lo, size_t hi, bool hit);
vlm_status vlm_regex_stretches(const vlm_regex *r, const char *s, size_t n, const char *where, vlm_stretches *out);

/* ---- Steps read from the file ---- */
typedef enum vlm_behaviour { VLM_REMOVED, VLM_ISOLATED, VLM_PREVIOUS, VLM_NEXT, VLM_CONTIGUOUS } vlm_behaviour;
typedef enum vlm_step_kind {
    VLM_NFC, VLM_NFD, VLM_NFKC, VLM_NFKD, VLM_REPLACE, VLM_PREPEND, VLM_STRIP, VLM_LOWERCASE, VLM_STRIP_ACCENTS,       /* normalizers */
    VLM_BYTE_LEVEL, VLM_DIGITS, VLM_SPLIT, VLM_METASPACE, VLM_WHITESPACE_SPLIT, VLM_PUNCTUATION,       /* pre-tokenizers */
    VLM_BYTE_FALLBACK, VLM_FUSE, VLM_JOIN                                                                              /* decoders */
} vlm_step_kind;
typedef struct vlm_step {
    vlm_step_kind kind;
    vlm_regex *regex;          /* REPLACE, SPLIT, BYTE_LEVEL with its own splitting */
    char *content;             /* REPLACE, PREPEND: what goes in; METASPACE: the replacement */
    size_t content_bytes;
    vlm_behaviour behaviour;
    /* STRIP: sides; BYTE_LEVEL: left = space in front; DIGITS: left = one by one; METASPACE: left = in front, right = split */
    bool invert, left, right;
    bool first;                /* METASPACE: in front of the beginning only */
    uint32_t c;                /* STRIP as a decoder, METASPACE: the character */
    int64_t start, stop;       /* STRIP as a decoder: how many at most */
    bool whole;                /* decoders: what comes in is one long token, in parts */
} vlm_step;
typedef struct vlm_steps { vlm_step *v; size_t n, cap; } vlm_steps;
enum { VLM_STEPS_LIMIT = 64 };
void vlm_steps_free(vlm_steps *s);
vlm_status vlm_steps_push(vlm_steps *s, vlm_step step, const char *where);
/* {"String": s} or {"Regex": s} of a step's "pattern" */
vlm_status vlm_step_pattern(const json_t *o, const char *where, vlm_regex **out);
vlm_status vlm_normalizers_read(const json_t *o, const char *where, vlm_steps *out, int depth);
vlm_status vlm_splitters_read(const json_t *o, const char *where, vlm_steps *out, int depth);
vlm_status vlm_decoders_read(const json_t *o, const char *where, vlm_steps *out, int depth);

/* ---- Text on its way: bytes, and how many of the first ones stem from the first character of the input ---- */
typedef struct vlm_run { vlm_buf text; size_t zero; } vlm_run;
/* *room: what all steps together may still add, over all pieces of a text; to begin with, that of its bytes. VLM_ELIMIT: it is used up. */
size_t     vlm_normalize_room(size_t bytes);
vlm_status vlm_normalize(const vlm_steps *steps, const char *where, const char *s, size_t n, size_t zero, size_t *room,
                         vlm_stretches *spans, vlm_run *out, vlm_run *spare);

/* A piece of the stage's text; id >= 0: an added token, done. */
typedef struct vlm_piece { size_t at, n, zero; int64_t id; } vlm_piece;
typedef struct vlm_stage { vlm_buf text; vlm_piece *piece; size_t n, cap; } vlm_stage;
vlm_status vlm_stage_add(vlm_stage *st, const char *s, size_t n, size_t zero, int64_t id);
vlm_status vlm_presplit(const vlm_steps *steps, const char *where, vlm_stretches *spans, vlm_stage *a, vlm_stage *spare);

/* ---- The model ---- */
typedef struct vlm_token { uint32_t at, n; int32_t id; } vlm_token;        /* string in vlm_vocab.text, NUL behind it */
typedef struct vlm_vocab {
    vlm_buf text;
    vlm_token *token;          /* in the file's order; added tokens that the model lacks come last */
    size_t n, cap, model;      /* model: how many of them are the model's */
    uint32_t *slot;            /* hash of the strings: index + 1 */
    size_t slots;
    vlm_u64map id;             /* id -> index */
    int64_t size;              /* largest id + 1 */
} vlm_vocab;
vlm_status vlm_vocab_add(vlm_vocab *v, const char *s, size_t n, int64_t id, const char *where);
int64_t    vlm_vocab_find(const vlm_vocab *v, const char *s, size_t n);        /* index, -1 */
void       vlm_vocab_free(vlm_vocab *v);

typedef struct vlm_bpe {
    vlm_u64map pair;           /* left << 24 | right -> rank */
    int32_t *merged;           /* id by rank */
    size_t n, cap;
    int64_t byte[256];         /* ids of <0x00> ... with byte fallback, -1: none */
    int64_t unk;               /* id, -1: none */
    bool has_unk, fuse_unk, ignore_merges, byte_fallback;
} vlm_bpe;
typedef struct vlm_symbol { int32_t id; int32_t prev, next; } vlm_symbol;      /* id -1: merged away */
typedef struct vlm_merge { uint32_t rank; int32_t at; } vlm_merge;
typedef struct vlm_word { vlm_symbol *symbol; vlm_merge *heap; size_t n, cap, heap_n, heap_cap; int64_t dropped; } vlm_word;

/* hidden: skip_special drops it */
typedef struct vlm_added { int32_t id; bool single_word, lstrip, rstrip, normalized, special, hidden; } vlm_added;
/* node -> added token or -1 */
typedef struct vlm_trie { vlm_u64map edge; int32_t *any, *plain; size_t n, cap; bool first[256]; } vlm_trie;

struct vlm_tokenizer {
    char *where;
    vlm_vocab vocab;
    vlm_bpe bpe;
    vlm_steps normalizers, splitters, decoders;
    vlm_added *added;
    size_t n_added, cap_added;
    vlm_u64map added_of;       /* id -> index in added */
    vlm_buf *shown;            /* by added token: its normalized spelling, which decoding uses; empty: its own */
    vlm_trie raw, normal;      /* added tokens sought before and after normalization */
    unsigned char *special, *control;      /* one bit an id; control: what vlm_tokenizer_control was told */
    vlm_ids before, behind;    /* what the post-processor puts around a text */
    int64_t bos, eos, pad;
    char *chat_template;
    vlm_safetensors tables;    /* where bpe's arrays lie, if they were not parsed */
};
/* model.vocab and model.merges straight from the file's bytes: {"token": id, ...} and ["a b", ...] or [["a", "b"], ...] */
vlm_status vlm_vocab_parse(vlm_vocab *v, const char *s, size_t n, const char *where);
vlm_status vlm_merges_parse(vlm_tokenizer *t, const char *s, size_t n);
/* Cuts those two values out of the file, so that the rest is a small JSON document with null in their place. NULL, 0: not there. */
vlm_status vlm_model_cut(const char *s, size_t n, vlm_buf *rest, const char **vocab, size_t *vocab_n, const char **merges,
                         size_t *merges_n);
/* vocab and merges: what was cut out; not looked at where t->tables has them. */
vlm_status vlm_model_read(vlm_tokenizer *t, const json_t *model, const char *vocab, size_t vocab_n, const char *merges, size_t merges_n);
/* *ready: vocabulary and merges are there, from the tables in `path`, which are this file's (json, bytes); *rest: as vlm_model_cut leaves
   it. Where there is no such file, or with a warning where it is of no use, nothing has happened. */
vlm_status vlm_tables_read(vlm_tokenizer *t, const char *path, const void *json, size_t bytes, vlm_buf *rest, bool *ready);
vlm_status vlm_bpe_encode(const vlm_tokenizer *t, const char *s, size_t n, bool literal, vlm_word *w, vlm_ids *ids);

vlm_status vlm_added_read(vlm_tokenizer *t, const json_t *list);
/* s as spans; hits are added tokens, whose indices stand in `which`, one for each span (-1: text). */
vlm_status vlm_added_spans(const vlm_tokenizer *t, const vlm_trie *trie, const char *s, size_t n, bool literal, vlm_stretches *out,
                           vlm_ids *which);
void       vlm_trie_free(vlm_trie *trie);
bool vlm_token_barred(const vlm_tokenizer *t, int64_t id);     /* special or control: never from literal text */
const char *vlm_token_shown(const vlm_tokenizer *t, int64_t id, size_t *n, bool *hidden);      /* NULL: no such id */
#endif

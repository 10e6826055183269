/* What the parts of a tokenizer share: bytes that grow, UTF-8, classes of characters, a hash table. */
#include "io/tokenizer_impl.h"
#include <stdlib.h>
#include <utf8proc.h>

vlm_status vlm_grow(void *array, size_t *cap, size_t n, size_t size) {
    void **p = array;
    if (n <= *cap && *p) return VLM_OK;
    size_t want = *cap < 16 ? 16 : *cap + *cap / 2, bytes;
    if (want < n) want = n;
    if (__builtin_mul_overflow(want, size, &bytes)) return vlm_fail_memory("tokenizer", SIZE_MAX);
    void *q = realloc(*p, bytes);
    if (!q) return vlm_fail_memory("tokenizer", bytes);
    *p = q;
    *cap = want;
    return VLM_OK;
}
vlm_status vlm_buf_reserve(vlm_buf *b, size_t more) {
    if (more > SIZE_MAX / 4 - b->n) return vlm_fail_memory("tokenizer", SIZE_MAX);
    return vlm_grow(&b->s, &b->cap, b->n + more + 1, 1);
}
vlm_status vlm_buf_add(vlm_buf *b, const void *s, size_t n) {
    TRY(vlm_buf_reserve(b, n));
    if (n) memcpy(b->s + b->n, s, n);
    b->n += n;
    return VLM_OK;
}
vlm_status vlm_ids_push(vlm_ids *v, int64_t id) {
    TRY(vlm_grow(&v->id, &v->cap, v->n + 1, sizeof *v->id));
    v->id[v->n++] = id;
    return VLM_OK;
}
vlm_status vlm_ids_add(vlm_ids *v, int64_t id) {
    for (size_t i = 0; i < v->n; i++)
        if (v->id[i] == id) return VLM_OK;
    return id < 0 ? VLM_OK : vlm_ids_push(v, id);
}
void vlm_ids_free(vlm_ids *v) {
    free(v->id);
    *v = (vlm_ids){0};
}

size_t vlm_utf8_valid(const char *text, size_t n, size_t *bad) {
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    *bad = 0;
    while (i < n) {
        uint64_t w;
        while (n - i >= sizeof w && (memcpy(&w, s + i, sizeof w), !(w & 0x8080808080808080u))) i += sizeof w;          /* ASCII */
        if (i == n) break;
        unsigned c = s[i], lo = 0x80, hi = 0xBF;
        if (c < 0x80) { i++; continue; }
        if (c >= 0xC2 && c < 0xE0 && i + 1 < n && (s[i + 1] & 0xC0) == 0x80) { i += 2; continue; }
        int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : -1;
        if (more < 0) { *bad = 1; return i; }
        if (c == 0xE0) lo = 0xA0;
        if (c == 0xED) hi = 0x9F;
        if (c == 0xF0) lo = 0x90;
        if (c == 0xF4) hi = 0x8F;
        for (int k = 1; k <= more; k++, lo = 0x80, hi = 0xBF) {
            if (i + (size_t)k == n) return i;
            if (s[i + (size_t)k] < lo || s[i + (size_t)k] > hi) { *bad = (size_t)k; return i; }
        }
        i += (size_t)more + 1;
    }
    return n;
}
int vlm_utf8_put(char *to, uint32_t c) {
    if (c < 0x80) { to[0] = (char)c; return 1; }
    if (c < 0x800) { to[0] = (char)(0xC0 | c >> 6); to[1] = (char)(0x80 | (c & 63)); return 2; }
    if (c < 0x10000) { to[0] = (char)(0xE0 | c >> 12); to[1] = (char)(0x80 | (c >> 6 & 63)); to[2] = (char)(0x80 | (c & 63)); return 3; }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

int vlm_hex(const char *s, size_t n, int most, uint32_t *v) {
    int i = 0;
    for (*v = 0; i < most && (size_t)i < n; i++) {
        char c = s[i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) break;
        *v = *v << 4 | (uint32_t)d;
    }
    return i;
}

bool vlm_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool vlm_is_numeric(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
bool vlm_is_word(uint32_t c) {
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:   /* symbols that are alphabetic, and the two joiners */
        return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
               (c >= 0x1F170 && c <= 0x1F189) || c == 0x200C || c == 0x200D;
    }
}

/* Bytes that print in Latin-1 stand for themselves, the other 68 for U+0100 and on, in order. */
static bool prints(unsigned b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD); }
uint32_t vlm_byte_char(unsigned char b) {
    if (prints(b)) return b;
    return 0x100u + (b <= 0x20 ? b : b == 0xAD ? 67u : b - 0x7Fu + 33u);
}
int vlm_char_byte(uint32_t c) {
    if (c < 0x100) return prints(c) ? (int)c : -1;
    if (c < 0x121) return (int)c - 0x100;
    if (c < 0x143) return (int)c - 0x121 + 0x7F;
    return c == 0x143 ? 0xAD : -1;
}

enum { PROBES = 512 };
static size_t slot_of(uint64_t key, size_t cap) {
    key ^= key >> 31;
    key *= 0x9E3779B97F4A7C15u;
    key ^= key >> 29;
    key *= 0xBF58476D1CE4E5B9u;
    return (size_t)(key ^ key >> 32) & (cap - 1);
}
bool vlm_u64map_get(const vlm_u64map *m, uint64_t key, uint32_t *value) {
    if (!m->cap) return false;
    for (size_t i = slot_of(key, m->cap); m->key[i]; i = (i + 1) & (m->cap - 1))
        if (m->key[i] == key + 1) { *value = m->value[i]; return true; }
    return false;
}
static bool put(vlm_u64map *m, uint64_t key, uint32_t value) {
    size_t i = slot_of(key, m->cap);
    for (int probes = 0; m->key[i] && m->key[i] != key + 1; i = (i + 1) & (m->cap - 1))
        if (++probes > PROBES) return false;
    m->n += !m->key[i];
    m->key[i] = key + 1;
    m->value[i] = value;
    return true;
}
vlm_status vlm_u64map_set(vlm_u64map *m, uint64_t key, uint32_t value, const char *where) {
    bool fits = true;
    if (m->n * 2 >= m->cap) {
        vlm_u64map big = { .cap = m->cap ? m->cap * 2 : 64 };
        big.key = calloc(big.cap, sizeof *big.key);
        big.value = malloc(big.cap * sizeof *big.value);
        if (!big.key || !big.value) {
            vlm_u64map_free(&big);
            return vlm_fail_memory(where, m->cap * 24);
        }
        for (size_t i = 0; i < m->cap && fits; i++)
            if (m->key[i]) fits = put(&big, m->key[i] - 1, m->value[i]);
        vlm_u64map_free(m);
        *m = big;
    }
    if (!fits || !put(m, key, value))
        return vlm_fail(VLM_ELIMIT, where, "its keys collide in the hash table; the file looks made to stall its reader: do not use it");
    return VLM_OK;
}
void vlm_u64map_free(vlm_u64map *m) {
    free(m->key);
    free(m->value);
    *m = (vlm_u64map){0};
}

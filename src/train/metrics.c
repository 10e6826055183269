#include "train/metrics.h"
#include "base/rng.h"
#include "base/sort.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- Texts as characters ---- */

typedef struct text { int32_t *c; int64_t n; } text;

static bool is_space(int32_t c) {      /* Unicode's White_Space, and the four separators that Python splits at */
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
static bool is_digit(int32_t c) { return c >= '0' && c <= '9'; }
static vlm_status text_of(const char *s, size_t bytes, text *out) {
    int32_t *c = bytes < SIZE_MAX / sizeof *c ? malloc((bytes + 1) * sizeof *c) : NULL;
    int64_t n = 0;
    if (!c) return vlm_fail_memory("a score", bytes);
    for (size_t i = 0; i < bytes;) {
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(bytes - i), &c[n]);
        if (k < 1) c[n] = 0xFFFD, k = 1;
        i += (size_t)k;
        n++;
    }
    *out = (text){ c, n };
    return VLM_OK;
}
static void lower(text *t) { for (int64_t i = 0; i < t->n; i++) t->c[i] = utf8proc_tolower(t->c[i]); }
/* Outer white space goes, an inner run becomes one space. */
static void collapse(text *t) {
    int64_t n = 0;
    for (int64_t i = 0; i < t->n; i++) {
        if (!is_space(t->c[i])) t->c[n++] = t->c[i];
        else if (n && t->c[n - 1] != ' ') t->c[n++] = ' ';
    }
    t->n = n && t->c[n - 1] == ' ' ? n - 1 : n;
}
/* *given: characters as they were. */
static vlm_status plain_of(const char *s, size_t bytes, text *out, int64_t *given) {
    TRY(text_of(s, bytes, out));
    *given = out->n;
    lower(out);
    collapse(out);
    return VLM_OK;
}
static bool same(const text *a, const text *b) { return a->n == b->n && !memcmp(a->c, b->c, (size_t)a->n * sizeof *a->c); }

/* The best of a comparison with each reference, in plain form; given: characters before that. */
typedef struct match { double right, of; } match;
typedef vlm_status compare_fn(const text *answer, int64_t given, const text *reference, int64_t reference_given, match *out);
static vlm_status best_of(compare_fn *compare, const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score,
                          double *count) {
    text a = { 0 }, r = { 0 };
    match best = { 0, 1 };
    int64_t given, reference_given;
    vlm_status status = VLM_OK;
    if (n < 1) return vlm_fail(VLM_EARG, "a score", "has no reference to compare with; give one");
    TRY_DONE(plain_of(answer, bytes, &a, &given));
    for (int64_t i = 0; i < n; i++) {
        match m = { 0, 1 };
        TRY_DONE(plain_of(reference[i], strlen(reference[i]), &r, &reference_given));
        TRY_DONE(compare(&a, given, &r, reference_given, &m));
        if (!i || m.right * best.of > best.right * m.of) best = m;
        free(r.c);
        r = (text){ 0 };
    }
    *score = best.right;
    *count = best.of;
done:
    free(a.c);
    free(r.c);
    return status;
}

/* ---- exact, anls, digits ---- */

static vlm_status compare_exact(const text *a, int64_t given, const text *r, int64_t reference_given, match *out) {
    (void)given;
    (void)reference_given;
    out->right = same(a, r);
    return VLM_OK;
}
vlm_status vlm_metric_exact(const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score, double *count) {
    return best_of(compare_exact, answer, bytes, reference, n, score, count);
}

/* Insertions, deletions and substitutions from a to b (Levenshtein 1966), row by row of the table. */
static vlm_status distance(const text *a, const text *b, int64_t *out) {
    int64_t *row = malloc((size_t)(b->n + 1) * sizeof *row);
    if (!row) return vlm_fail_memory("a score", (size_t)(b->n + 1) * sizeof *row);
    for (int64_t j = 0; j <= b->n; j++) row[j] = j;
    for (int64_t i = 1; i <= a->n; i++) {
        int64_t diagonal = row[0];     /* of the row above */
        row[0] = i;
        for (int64_t j = 1; j <= b->n; j++) {
            int64_t least = diagonal + (a->c[i - 1] != b->c[j - 1]);
            diagonal = row[j];
            if (least > row[j] + 1) least = row[j] + 1;
            if (least > row[j - 1] + 1) least = row[j - 1] + 1;
            row[j] = least;
        }
    }
    *out = row[b->n];
    free(row);
    return VLM_OK;
}
static vlm_status compare_anls(const text *a, int64_t given, const text *r, int64_t reference_given, match *out) {
    int64_t longer = given > reference_given ? given : reference_given, d = a->n > r->n ? a->n - r->n : r->n - a->n;
    out->right = 0;
    if (2 * d > longer) return VLM_OK;         /* the lengths alone keep it below the threshold */
    if (a->n > VLM_ANLS_LIMIT || r->n > VLM_ANLS_LIMIT)
        return vlm_fail(VLM_ELIMIT, "anls", "compares texts of %d characters at most, not %lld with %lld; leave it out of --metrics",
                        VLM_ANLS_LIMIT, (long long)a->n, (long long)r->n);
    TRY(distance(a, r, &d));
    if (2 * d <= longer) out->right = longer ? 1 - (double)d / (double)longer : 1;
    return VLM_OK;
}
vlm_status vlm_metric_anls(const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score, double *count) {
    return best_of(compare_anls, answer, bytes, reference, n, score, count);
}

static vlm_status compare_digits(const text *a, int64_t given, const text *r, int64_t reference_given, match *out) {
    (void)given;
    (void)reference_given;
    int64_t right = !r->n && !a->n;
    for (int64_t i = 0; i < r->n && i < a->n; i++) right += a->c[i] == r->c[i];
    *out = (match){ (double)right, r->n ? (double)r->n : 1 };
    return VLM_OK;
}
vlm_status vlm_metric_digits(const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score, double *count) {
    return best_of(compare_digits, answer, bytes, reference, n, score, count);
}

/* ---- relaxed ---- */

/* By arithmetic, not strtod: that follows the host program's locale. Correctly rounded where digits and power of ten are exact as doubles,
   as numbers in charts are. */
static bool number_of(const text *t, double *out) {
    int64_t n = t->n, i = 0, digits = 0, shift = 0, e = 0;
    double m = 0;
    bool percent = n && t->c[n - 1] == '%', minus, down;
    while (percent && n && t->c[n - 1] == '%') n--;
    while (percent && n && t->c[n - 1] == ' ') n--;
    minus = i < n && t->c[i] == '-';
    if (i < n && (t->c[i] == '-' || t->c[i] == '+')) i++;
    for (bool point = false; i < n && (is_digit(t->c[i]) || (t->c[i] == '.' && !point)); i++) {
        if (t->c[i] == '.') { point = true; continue; }
        if (m < 0x1p53 / 10 - 1) m = m * 10 + (t->c[i] - '0'), shift -= point;
        else shift += !point;          /* digits beyond a double's change nothing that 5 % could see */
        digits++;
    }
    if (!digits) return false;
    if (i < n && t->c[i] == 'e') {
        down = ++i < n && t->c[i] == '-';
        if (i < n && (t->c[i] == '-' || t->c[i] == '+')) i++;
        if (i == n) return false;
        for (; i < n && is_digit(t->c[i]); i++) if (e < 100000) e = e * 10 + (t->c[i] - '0');
        shift += down ? -e : e;
    }
    if (i < n) return false;
    for (int64_t left = shift < 0 ? -shift : shift, k; left && m && m < INFINITY; left -= k) {
        k = left < 22 ? left : 22;     /* 10^22 is exact */
        m = shift < 0 ? m / pow(10, (double)k) : m * pow(10, (double)k);
    }
    *out = (minus ? -m : m) / (percent ? 100 : 1);
    return true;
}
static vlm_status compare_relaxed(const text *a, int64_t given, const text *r, int64_t reference_given, match *out) {
    double x, want;
    if (!number_of(a, &x) || !number_of(r, &want) || want == 0) return compare_exact(a, given, r, reference_given, out);
    out->right = fabs(x - want) / fabs(want) <= 0.05;
    return VLM_OK;
}
vlm_status vlm_metric_relaxed(const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score, double *count) {
    return best_of(compare_relaxed, answer, bytes, reference, n, score, count);
}

/* ---- vqa ---- */

static bool is_punctuation(int32_t c) { return c > 0 && c < 128 && strchr(";/[]\"{}()=+\\_-><@`,?!", c); }

/* The word with one apostrophe put back, if it is a contraction that lacks one. */
static const char *contraction(const char *word) {
    static const char forms[] =
        "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's "
        "how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock "
        "oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd "
        "someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd "
        "they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's "
        "where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've "
        "y'all'll you'd you'd've you'll you're you've ";
    static _Thread_local char found[24];
    size_t n = strlen(word);
    if (!strcmp(word, "somebody'd")) return "somebodyd";       /* the official table has it so */
    for (const char *p = forms, *end; *p; p = end + 1) {
        end = strchr(p, ' ');
        if ((size_t)(end - p) != n + 1) continue;
        for (const char *at = p; at < end; at++)
            if (*at == '\'' && !strncmp(word, p, (size_t)(at - p)) && !strncmp(word + (at - p), at + 1, (size_t)(end - at - 1))) {
                memcpy(found, p, n + 1);
                found[n + 1] = 0;
                return found;
            }
    }
    return NULL;
}
/* What stands for a word of lower case; "" where it goes, NULL: itself. */
static const char *word_for(const int32_t *c, int64_t n) {
    static const char *const numbers[] = { "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten" },
                             *const digits[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10" };
    char word[24];
    if (n >= (int64_t)sizeof word) return NULL;
    for (int64_t i = 0; i < n; i++) {
        if (c[i] <= 0 || c[i] > 126) return NULL;
        word[i] = (char)c[i];
    }
    word[n] = 0;
    if (!strcmp(word, "a") || !strcmp(word, "an") || !strcmp(word, "the")) return "";
    if (!strcmp(word, "none")) return "0";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) if (!strcmp(word, numbers[i])) return digits[i];
    return contraction(word);
}

/* As the official script, step by step; the text has lost its outer white space. */
static vlm_status normalise(text *t) {
    enum { PERIODS = 32 };             /* the script's own limit: a flag in the place of a count */
    bool comma = false, beside[128] = { false };
    int64_t n = 0, periods = 0;
    for (int64_t i = 0; i < t->n; i++) {
        int32_t c = t->c[i];
        if (c == ',' && i && i + 1 < t->n && is_digit(t->c[i - 1]) && is_digit(t->c[i + 1])) comma = true;
        if (is_punctuation(c) && ((i && t->c[i - 1] == ' ') || (i + 1 < t->n && t->c[i + 1] == ' '))) beside[c] = true;
    }
    for (int64_t i = 0; i < t->n; i++) {
        int32_t c = t->c[i];
        if (!is_punctuation(c)) t->c[n++] = c;
        else if (!comma && !beside[c]) t->c[n++] = ' ';
    }
    t->n = n;
    n = 0;
    for (int64_t i = 0; i < t->n; i++)         /* what was punctuation has become a space by now */
        if (t->c[i] != '.' || (i + 1 < t->n && is_digit(t->c[i + 1])) || periods++ >= PERIODS) t->c[n++] = t->c[i];
    t->n = n;
    lower(t);
    collapse(t);
    text out = { malloc(((size_t)t->n * 2 + 2) * sizeof *out.c), 0 };
    if (!out.c) return vlm_fail_memory("a score", (size_t)t->n);
    for (int64_t i = 0, end; i < t->n; i = end + 1) {
        for (end = i; end < t->n && t->c[end] != ' ';) end++;
        const char *other = word_for(t->c + i, end - i);
        if (other && !*other) continue;
        if (out.n) out.c[out.n++] = ' ';
        if (other) while (*other) out.c[out.n++] = *other++;
        else { memcpy(out.c + out.n, t->c + i, (size_t)(end - i) * sizeof *out.c); out.n += end - i; }
    }
    free(t->c);
    *t = out;
    return VLM_OK;
}
/* Tabs and line ends become spaces, outer white space goes: what the script does to every answer. */
static vlm_status stripped(const char *s, size_t bytes, text *out) {
    TRY(text_of(s, bytes, out));
    int64_t from = 0, n = out->n;
    for (int64_t i = 0; i < n; i++) if (out->c[i] == '\n' || out->c[i] == '\t') out->c[i] = ' ';
    while (from < n && is_space(out->c[from])) from++;
    while (n > from && is_space(out->c[n - 1])) n--;
    memmove(out->c, out->c + from, (size_t)(n - from) * sizeof *out->c);
    out->n = n - from;
    return VLM_OK;
}
vlm_status vlm_vqa_normalise(const char *s, size_t bytes, char **out) {
    text t = { 0 };
    char *made = NULL;
    size_t n = 0;
    vlm_status status;
    TRY_DONE(stripped(s, bytes, &t));
    TRY_DONE(normalise(&t));
    made = malloc((size_t)t.n * 4 + 1);
    if (!made) { status = vlm_fail_memory("a score", (size_t)t.n * 4 + 1); goto done; }
    for (int64_t i = 0; i < t.n; i++) n += (size_t)utf8proc_encode_char(t.c[i], (utf8proc_uint8_t *)made + n);
    made[n] = 0;
    *out = made;
done:
    free(t.c);
    return status;
}
vlm_status vlm_metric_vqa(const char *answer, size_t bytes, const char *const *reference, int64_t n, double *score, double *count) {
    text a = { 0 }, *r = NULL;
    vlm_status status = VLM_OK;
    bool alike = true;
    int64_t said = 0;
    if (n < 1) return vlm_fail(VLM_EARG, "a score", "has no reference to compare with; give one");
    if (!(r = calloc((size_t)n, sizeof *r))) return vlm_fail_memory("a score", (size_t)n * sizeof *r);
    TRY_DONE(stripped(answer, bytes, &a));
    for (int64_t i = 0; i < n; i++) {
        TRY_DONE(stripped(reference[i], strlen(reference[i]), &r[i]));
        alike = alike && same(&r[0], &r[i]);
    }
    if (!alike || n == 1) {
        TRY_DONE(normalise(&a));
        for (int64_t i = 0; i < n; i++) TRY_DONE(normalise(&r[i]));
    }
    for (int64_t i = 0; i < n; i++) said += same(&a, &r[i]);
    /* leaving out one of those who said it, and leaving out another */
    double without = said > 3 ? 1 : (double)(said - 1) / 3, with = said > 2 ? 1 : (double)said / 3;
    *score = n == 1 ? (double)said : !said ? 0 : ((double)said * without + (double)(n - said) * with) / (double)n;
    *count = 1;
done:
    free(a.c);
    for (int64_t i = 0; i < n; i++) free(r[i].c);
    free(r);
    return status;
}

/* ---- Multiple choice ---- */

static text part(const text *t, int64_t from, int64_t to) { return (text){ t->c + from, to - from }; }
static int64_t named(const text *t, const text *choice, int64_t n) {
    text bare = part(t, 0, t->n && t->c[t->n - 1] == '.' ? t->n - 1 : t->n);
    for (int64_t i = 0; i < n; i++) if (same(t, &choice[i]) || same(&bare, &choice[i])) return i;
    int64_t at = t->n && t->c[0] == '(', next = at + 1;
    int64_t letter = at < t->n ? t->c[at] - 'a' : -1;
    if (letter < 0 || letter >= n || letter >= 26) return -1;
    if (at) return next < t->n && t->c[next] == ')' ? letter : -1;
    if (next == t->n || t->c[next] == ')' || t->c[next] == '.' || t->c[next] == ':') return letter;
    if (t->c[next] != ' ') return -1;
    text rest = part(t, next + 1, t->n);
    bare = part(&rest, 0, rest.n && rest.c[rest.n - 1] == '.' ? rest.n - 1 : rest.n);
    return same(&rest, &choice[letter]) || same(&bare, &choice[letter]) ? letter : -1;
}
/* Behind the last of these words; -1: they are not there. */
static int64_t behind(const text *t, const char *words) {
    int64_t k = (int64_t)strlen(words), i, j;
    for (i = t->n - k; i >= 0; i--) {
        for (j = 0; j < k && t->c[i + j] == words[j];) j++;
        if (j == k) break;
    }
    return i < 0 ? -1 : i + k;
}
vlm_status vlm_choice_named(const char *s, size_t bytes, const char *const *choice, int64_t n, int64_t *index) {
    text t = { 0 }, *c = calloc((size_t)n + 1, sizeof *c);
    vlm_status status = VLM_OK;
    if (!c) return vlm_fail_memory("a score", (size_t)n * sizeof *c);
    int64_t given;
    TRY_DONE(plain_of(s, bytes, &t, &given));
    for (int64_t i = 0; i < n; i++) TRY_DONE(plain_of(choice[i], strlen(choice[i]), &c[i], &given));
    *index = named(&t, c, n);
    int64_t a = behind(&t, "answer is"), b = behind(&t, "answer:"), from = a > b ? a : b;
    if (*index < 0 && from >= 0) {
        if (from < t.n && t.c[from] == ':') from++;
        if (from < t.n && t.c[from] == ' ') from++;
        text rest = part(&t, from, t.n);
        *index = named(&rest, c, n);
    }
done:
    free(t.c);
    for (int64_t i = 0; i < n; i++) free(c[i].c);
    free(c);
    return status;
}
int64_t vlm_choice_likeliest(const double *nll, const int64_t *labels, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) if (nll[i] / (double)labels[i] < nll[best] / (double)labels[best]) best = i;
    return best;
}

/* ---- Bootstrap ---- */

vlm_status vlm_bootstrap(const double *sum, const double *count, int64_t n, uint64_t seed, vlm_interval *out) {
    vlm_rng rng;
    double all = 0, of = 0;
    bool negative = false;
    for (int64_t i = 0; i < n; i++) {
        all += sum[i];
        of += count ? count[i] : 1;
        negative = negative || (count && !(count[i] >= 0));
    }
    if (n < 1 || negative || !(of > 0))
        return vlm_fail(VLM_EARG, "a mean", "is of nothing, or counts are negative; give at least one item that counts");
    double *mean = malloc(VLM_RESAMPLES * sizeof *mean);
    if (!mean) return vlm_fail_memory("a mean", VLM_RESAMPLES * sizeof *mean);
    vlm_rng_seed(&rng, seed);
    for (int b = 0; b < VLM_RESAMPLES; b++) {
        double s = 0, c = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t k = (int64_t)(vlm_rng_uniform(&rng) * (double)n);
            s += sum[k];
            c += count ? count[k] : 1;
        }
        if (c > 0) mean[b] = s / c;
        else b--;
    }
    vlm_sort(mean, VLM_RESAMPLES);
    *out = (vlm_interval){ all / of, vlm_quantile(mean, VLM_RESAMPLES, 0.025), vlm_quantile(mean, VLM_RESAMPLES, 0.975) };
    free(mean);
    return VLM_OK;
}

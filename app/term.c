#include "term.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

static bool quiet, verbose, terminal, colour, bar, training;

static void clear_bar(void) {
    if (bar) fputs("\r\033[K", stderr);
    bar = false;
}
static void say(const char *mark, const char *where, const char *what) {
    clear_bar();
    fprintf(stderr, "%s%s%s%s%s%s\n", colour ? mark : "", "vlm: ", colour ? "\033[0m" : "", where, *where ? ": " : "", what);
}
static void on_warning(void *user, const char *where, const char *message) {
    (void)user;
    char text[1200];
    snprintf(text, sizeof text, "warning: %s", message);
    if (!quiet) say("\033[33m", where, text);
}

/* A bar on a terminal, ten times a second; otherwise a line, every ten seconds. Short work shows nothing. */
static void show_progress(const char *what, int64_t done, int64_t total) {
    static char current[64];
    static double begin, last;
    static int64_t first;
    double now = vlm_now_ms();
    if (strncmp(current, what, sizeof current - 1) || done < first) {
        snprintf(current, sizeof current, "%s", what);
        begin = last = now;
        first = done;
        return;
    }
    if (done >= total) { clear_bar(); current[0] = 0; return; }
    if (now - begin < 500 || now - last < (terminal ? 100 : 10000) || done <= first) return;
    last = now;
    double rate = (double)(done - first) / (now - begin) * 1e3;
    char speed[40];
    if (rate < 1) snprintf(speed, sizeof speed, "%.1f s each", 1 / rate);
    else snprintf(speed, sizeof speed, "%.4g/s", rate);
    long long left = (long long)((double)(total - done) / rate + 0.5);
    if (terminal) {
        char cells[21];
        for (int i = 0; i < 20; i++) cells[i] = (double)i * (double)total < (double)done * 20 ? '#' : '.';
        cells[20] = 0;
        fprintf(stderr, "\r\033[K%s [%s] %lld/%lld, %s, %lld:%02lld left", what, cells, (long long)done, (long long)total, speed,
                left / 60, left % 60);
        bar = true;
    } else
        fprintf(stderr, "vlm: %s: %lld of %lld, %s, %lld:%02lld left\n", what, (long long)done, (long long)total, speed, left / 60,
                left % 60);
    fflush(stderr);
}

static const char *only;
void vlm_term_only(const char *what) { only = what; }
static int on_progress(void *user, const char *what, int64_t done, int64_t total) {
    (void)user;
    if (!quiet && (!only || !strcmp(only, what))) show_progress(what, done, total);
    return !training && vlm_stopped();
}
void vlm_term_training(bool on) { training = on, only = on ? "validation" : NULL; }
bool vlm_term_is_terminal(void) { return terminal; }
void vlm_term_live(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    if (!quiet) {
        if (terminal) fputs("\r\033[K", stderr);
        vfprintf(stderr, fmt, args);
        if (!terminal) fputc('\n', stderr);
        bar = terminal;
        fflush(stderr);
    }
    va_end(args);
}

void vlm_term_open(const vlm_args *a) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    quiet = a->quiet;
    verbose = a->verbose;
    terminal = isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
    colour = terminal && !(no && *no);
    vlm_log_set(on_warning, on_progress, NULL);
}

const char *vlm_error_code(vlm_status status) { return vlm_is_usage() ? "usage" : vlm_status_name(status); }
json_t *vlm_error_json(vlm_status status) {
    return json_pack("{s:s,s:o,s:o}", "code", vlm_error_code(status), "where", vlm_json_text(vlm_error_where()),
                     "message", vlm_json_text(vlm_error_message()));
}
void vlm_term_error(vlm_status status, bool json) {
    fflush(stdout);                    /* results come before what ended them */
    say("\033[31m", vlm_error_where(), vlm_error_message());
    if (json) vlm_json_out(json_pack("{s:o}", "error", vlm_error_json(status)));
}
static void lines(const char *fmt, va_list args) {
    char c[8];
    va_list again;
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *text = bytes < 0 ? NULL : malloc((size_t)bytes + 1);
    clear_bar();
    if (!text) { fputs("vlm: no memory for a message\n", stderr); return; }
    vsnprintf(text, (size_t)bytes + 1, fmt, args);
    for (size_t i = 0, n = (size_t)bytes; i < n; fputs(c, stderr)) i += vlm_safe_char(text + i, n - i, c);      /* names hold anything */
    fputc('\n', stderr);
    free(text);
}
void vlm_tell(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    lines(fmt, args);
    va_end(args);
}
void vlm_note(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    if (!quiet) lines(fmt, args);
    va_end(args);
}
void vlm_detail(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    if (verbose) lines(fmt, args);
    va_end(args);
}
size_t vlm_safe_char(const char *text, size_t bytes, char out[8]) {
    unsigned char c = (unsigned char)text[0], next = bytes > 1 ? (unsigned char)text[1] : 0;
    bool c1 = c == 0xC2 && next >= 0x80 && next < 0xA0;        /* U+0080 to U+009F */
    if ((c < 32 && c != '\n' && c != '\t') || c == 127 || c1) snprintf(out, 8, "\\x%02x", c1 ? next : c);
    else snprintf(out, 8, "%c", c);
    return 1 + c1;
}
vlm_status vlm_flush(void) {
    if (!fflush(stdout) && !ferror(stdout)) return VLM_OK;
    return vlm_fail(VLM_EIO, "", "cannot write standard output: %s; check where it goes", strerror(errno ? errno : EIO));
}

/* ---- stopping ------------------------------------------------------------------------------------------------------ */
static volatile sig_atomic_t held, stops;
static void on_stop(int signal) {
    static const char text[] = "\r\033[Kvlm: stops behind this update and saves; once more ends at once\n";
    (void)signal;
    if (!held || stops) _exit(130);
    stops = 1;
    int before = errno, skip = terminal ? 0 : 4;
    ssize_t written = training && !quiet ? write(STDERR_FILENO, text + skip, sizeof text - 1 - (size_t)skip) : 0;
    (void)written;
    errno = before;
}
/* A page of a mapped file is gone, or its disk cannot give it: nothing can go on, but not without a word. */
static void on_lost_page(int signal) {
    static const char text[] = "vlm: a file was cut short while it was being read, or its disk failed; "
                               "leave files alone while they are in use\n";
    (void)signal;
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(1);
}
void vlm_signals_open(void) {
    struct sigaction sa = { .sa_handler = on_stop };
    for (int fd = 0; fd < 3; fd++)     /* a file of ours must not become standard output; what is closed stays unusable */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd) _exit(1);
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = on_lost_page;
    sigaction(SIGBUS, &sa, NULL);
    sa.sa_handler = SIG_IGN;           /* a file over `ulimit -f` is an error of its write */
    sigaction(SIGXFSZ, &sa, NULL);
    sa.sa_handler = SIG_DFL;           /* `vlm ... | head` ends without a word */
    sigaction(SIGPIPE, &sa, NULL);
}
void vlm_hold(void) { stops = 0; held = 1; }
bool vlm_stopped(void) { return stops; }
vlm_status vlm_release(void) {
    held = 0;
    return stops ? vlm_fail(VLM_ESTOPPED, "", "stopped") : VLM_OK;
}

/* ---- tables ---------------------------------------------------------------------------------------------------------- */
void vlm_table_row(vlm_table *t, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *line = malloc((size_t)n + 1), **row = realloc(t->row, (size_t)(t->n + 1) * sizeof *row);
    if (row) t->row = row;
    if (!row || !line || n < 0) { t->failed = true; free(line); return; }
    va_start(args, fmt);
    vsnprintf(line, (size_t)n + 1, fmt, args);
    va_end(args);
    for (char *p = line; *p; p++) if (((unsigned char)*p < 32 && *p != '\t') || *p == 127) *p = '?';       /* names hold anything */
    t->row[t->n++] = line;
}
static int width(const char *s, size_t n) {
    int w = 0;
    for (size_t i = 0; i < n; i++) w += ((unsigned char)s[i] & 0xC0) != 0x80;
    return w;
}
static void pad(FILE *f, int n) { while (n-- > 0) fputc(' ', f); }
void vlm_table_print(vlm_table *t, FILE *f) {
    enum { COLUMNS = 24 };
    int most[COLUMNS] = { 0 };
    bool right[COLUMNS] = { false };
    if (t->failed) fputs("(no memory for the whole table)\n", f);
    for (int i = 0; i < t->n; i++) {
        const char *p = t->row[i];
        for (int c = 0; c < COLUMNS; c++) {
            size_t n = strcspn(p, "\t");
            bool mark = i == 0 && *p == '>';
            if (mark) right[c] = true;
            int w = width(p, n) - mark;
            if (most[c] < w) most[c] = w;
            if (!p[n]) break;
            p += n + 1;
        }
    }
    for (int i = 0; i < t->n; i++) {
        const char *p = t->row[i];
        for (int c = 0; c < COLUMNS; c++) {
            size_t n = strcspn(p, "\t");
            bool mark = i == 0 && *p == '>', last = !p[n];
            int gap = most[c] - width(p, n) + mark;
            if (c) fputs("  ", f);
            if (right[c]) pad(f, gap);
            fwrite(p + mark, 1, n - mark, f);
            if (last) break;
            if (!right[c]) pad(f, gap);
            p += n + 1;
        }
        fputc('\n', f);
    }
    vlm_table_free(t);
}
void vlm_table_free(vlm_table *t) {
    for (int i = 0; i < t->n; i++) free(t->row[i]);
    free(t->row);
    *t = (vlm_table){ 0 };
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------- */
json_t *vlm_json_text(const char *s) { return vlm_json_bytes(s, strlen(s)); }
json_t *vlm_json_bytes(const char *s, size_t n) {
    json_t *v = json_stringn(s, n);
    if (v) return v;
    size_t to = 0;
    char *clean = malloc(3 * n + 1);
    for (size_t i = 0; clean && i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
        memcpy(clean + to, k > 0 ? s + i : "\xEF\xBF\xBD", k > 0 ? (size_t)k : 3);
        to += k > 0 ? (size_t)k : 3;
        i += k > 0 ? (size_t)k : 1;
    }
    if (clean) v = json_stringn(clean, to);
    free(clean);
    return v;
}
json_t *vlm_json_ints(const int64_t *v, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, json_integer(v[i]));
    return a;
}
vlm_status vlm_json_out(json_t *value) {
    if (!value) return vlm_fail_memory("JSON", 0);
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(value);
    return VLM_OK;
}

/* The terminal: errors, warnings, progress and timings on standard error; tables and JSON on standard output; stopping. */
#ifndef VLM_TERM_H
#define VLM_TERM_H
#include "cli.h"
#include "base/clock.h"
#include "base/memory.h"

/* Colours, the library's warnings and progress, --quiet and --verbose. */
void vlm_term_open(const vlm_args *a);
/* While the program trains: progress of single passes is nobody's business, and Ctrl-C waits for the update's end. */
void vlm_term_training(bool on);
bool vlm_term_is_terminal(void);
/* A line that the next one takes the place of; on no terminal: an ordinary one. */
void vlm_term_live(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The failure that this thread recorded: one line on standard error; with json an object on standard output. */
void vlm_term_error(vlm_status status, bool json);
void vlm_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));     /* a line on standard error, even with --quiet */
void vlm_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));     /* the same, unless --quiet */
void vlm_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* with --verbose */
/* The next character of a text that a terminal would obey: what is neither text nor a line's end or a tab becomes \x1b. The bytes taken,
   of `bytes`, which are at least 1. */
size_t vlm_safe_char(const char *text, size_t bytes, char out[8]);
/* Everything printed has reached its reader; else a failure. */
vlm_status vlm_flush(void);
/* From now on only progress of this name is shown; the string must last. */
void vlm_term_only(const char *what);

/* Ctrl-C ends the program at once with exit code 130, except between hold and release (while files are written, an answer streams): there
   it is remembered, and vlm_stopped says so; a second one ends the program even then. release: VLM_ESTOPPED if one came.
   A mapped file that is cut short (SIGBUS) ends it with a line and exit code 1. */
void vlm_signals_open(void);
void vlm_hold(void);
vlm_status vlm_release(void);
bool vlm_stopped(void);

/* A table: cells parted by tabs; the head's cells that begin with > are aligned right. Columns are as wide as their widest cell. */
typedef struct vlm_table { char **row; int n; bool failed; } vlm_table;
void vlm_table_row(vlm_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vlm_table_print(vlm_table *t, FILE *f);   /* frees it */
void vlm_table_free(vlm_table *t);

/* JSON text of bytes that may not be UTF-8 (paths, values from files): what is none becomes U+FFFD. */
json_t *vlm_json_text(const char *s);
json_t *vlm_json_bytes(const char *s, size_t n);               /* the same; it may hold NULs */
json_t *vlm_json_ints(const int64_t *v, size_t n);
/* One line on standard output; takes the value. VLM_ENOMEM if it is NULL. */
vlm_status vlm_json_out(json_t *value);
const char *vlm_error_code(vlm_status status); /* "usage", or the status's name */
json_t *vlm_error_json(vlm_status status);     /* {"code","where","message"} */
#endif

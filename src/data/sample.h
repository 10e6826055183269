/* A sample of the data format (docs/formats.md): a conversation and the images that its turns look at. One parser for ask --batch and
   for data sets. Nothing is decoded and nothing tokenised here. */
#ifndef VLM_SAMPLE_H
#define VLM_SAMPLE_H
#include "data/image.h"
#include <jansson.h>

/* What is wrong with a sample: quarantine.jsonl's codes. A failure with VLM_BAD_NONE is not the sample's fault (memory, a disk that fails):
   another try may go well, and to pass the sample over would be wrong. */
typedef enum vlm_bad {
    VLM_BAD_NONE,
    VLM_BAD_MISSING_IMAGE,     /* no such file or member, or it may not be opened */
    VLM_BAD_CORRUPT_IMAGE,     /* damaged, empty, of a kind that is not read, no regular file */
    VLM_BAD_TOO_LARGE,         /* over a limit: an image's pixels or bytes, images of a sample, bytes or values of a line */
    VLM_BAD_TOO_LONG,          /* over the context or a batch's caps: for those who tokenise; nothing here says it */
    VLM_BAD_NO_ASSISTANT,      /* nothing to learn: no turn, a turn in the middle without an answer, all rated below the minimum */
    VLM_BAD_JSON,              /* no JSON, not of the data format, no UTF-8 */
    VLM_BAD_PATH               /* leaves the folder; a URL; a link in a tar; two files of one name */
} vlm_bad;
const char *vlm_bad_name(vlm_bad bad);         /* "missing_image", ...; "none"; static */

enum {
    VLM_LINE_LIMIT = 64 << 20,         /* bytes of a sample's text: a line, a .json, a .txt */
    VLM_ROW_BYTES = 4352               /* room for a row's name: a member's is below 4,096 bytes, a shard's below 256 */
};

typedef struct vlm_sample_turn {
    char *user, *assistant;            /* UTF-8; assistant NULL: it is to be answered (only the last turn may lack it) */
    int64_t images;                    /* so many; they follow those of the turn before in `image` and stand before the text */
} vlm_sample_turn;
typedef struct vlm_sample_image {
    char *path;                        /* as written; a member's or file's name where none was */
    char *file;                        /* to be opened; NULL: bytes of the archive `fd` */
    int fd;                            /* the data set's: it has to stay open */
    int64_t at, bytes;                 /* in the archive */
} vlm_sample_image;
struct vlm_sample {                   /* no typedef: vlm_sample() of vlm.h draws a token */
    char *file, *row, *where;          /* the data set as given; "12" (a line, from 1) or a file's or member's name; both, for messages */
    json_t *id;                        /* the sample's own name, any JSON; NULL: none */
    char *system;                      /* NULL: none */
    vlm_sample_turn *turn;   int64_t turns;            /* at least one */
    vlm_sample_image *image; int64_t images;
    char **answer;           int64_t answers;          /* more references, for those who compare */
    char **choice;           int64_t choices;
    int64_t dropped;                   /* turns left out: rated below the minimum */
};
void vlm_sample_free(struct vlm_sample *s);           /* zeroed is fine */

/* Members that lie beside a sample's text: its images where it names none by itself, else what its names mean. */
typedef struct vlm_sample_members { const vlm_sample_image *image; int64_t n; } vlm_sample_members;
typedef struct vlm_sample_source {
    const char *file, *row, *where;    /* copied into the sample */
    const char *root;                  /* folder of the images; ""  or ".": the working one */
    bool root_named;                   /* by --data-root: absolute paths inside it are fine */
    bool archive;                      /* images are `members` and nothing else */
    vlm_sample_members members;        /* copied */
    int64_t max_images;                /* a sample's; more are VLM_BAD_TOO_LARGE */
    const int64_t *rating_min;         /* [4]: relevance, image correspondence, visual dependency, formatting; NULL: nothing is dropped */
    bool need_assistant;               /* a sample without any is VLM_BAD_NO_ASSISTANT; else it is a question */
} vlm_sample_source;

/* Nothing but blanks, tabs, CRs, a byte order mark: no sample. */
bool       vlm_line_blank(const char *line, size_t n);
/* One line, or a whole .json, as JSON; a byte order mark in front is skipped. *out is the caller's. Any thread, as all of these. */
vlm_status vlm_sample_json(const char *text, size_t n, const char *where, json_t **out, vlm_bad *why);
/* The sample that j says; j may go afterwards. */
vlm_status vlm_sample_read(const json_t *j, const vlm_sample_source *from, struct vlm_sample *out, vlm_bad *why);
/* A caption: no question, the members, and the text, trimmed, as their answer; n 0 or blank: no answer. */
vlm_status vlm_sample_caption(const char *text, size_t n, const vlm_sample_source *from, struct vlm_sample *out, vlm_bad *why);

/* Image i: bytes of its file, from its header, all of it. limits NULL: the defaults. Messages stand at the sample's `where` and name the
   image. *why may be NULL, here and above; it is VLM_BAD_NONE on success. probe checks all limits, as load does. */
vlm_status vlm_sample_image_size(const struct vlm_sample *s, int64_t i, int64_t *bytes, vlm_bad *why);
vlm_status vlm_sample_image_bytes(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, unsigned char **out, size_t *n,
                                  vlm_bad *why);               /* the caller frees */
vlm_status vlm_sample_image_probe(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, vlm_image_info *out, vlm_bad *why);
/* The same of image i's bytes, which the caller has. */
vlm_status vlm_sample_image_header(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, const unsigned char *data,
                                   size_t n, vlm_image_info *out, vlm_bad *why);
vlm_status vlm_sample_image_decode(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, const unsigned char *data,
                                   size_t n, vlm_bitmap *out, vlm_bad *why);
vlm_status vlm_sample_image_load(const struct vlm_sample *s, int64_t i, const vlm_image_limits *limits, vlm_bitmap *out, vlm_bad *why);
#endif

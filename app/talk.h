/* A sample of the data format, as ask --batch reads it: {"images": [..], "texts": [{"user","assistant"}, ..]} or {"messages": [..]}. */
#ifndef VLM_TALK_H
#define VLM_TALK_H
#include "open.h"

typedef struct vlm_turn {
    char *user;                        /* its text */
    const char *assistant;             /* the JSON's; NULL in the last turn, or where it is to be answered */
    const char **path;                 /* its images as written, the JSON's */
    int64_t paths;
    vlm_pictures pictures;             /* after vlm_talk_load */
} vlm_turn;
typedef struct vlm_talk { const char *system; vlm_turn *turn; int64_t turns; } vlm_talk;

/* Strings stay the JSON's, which must live as long. An answer to the last turn is left out: it is what is asked for. */
vlm_status vlm_talk_read(const json_t *j, const char *where, vlm_talk *out);
/* Images: relative to the folder of --batch's file, or of --data-root, and inside it. */
vlm_status vlm_talk_load(vlm_talk *t, const vlm_args *a, const vlm_model *m, const char *where);
/* The turns before the last go into the session. *encode_ms: the time that their images took of it. */
vlm_status vlm_talk_context(const vlm_talk *t, vlm_session *s, const char *system, double *encode_ms);
void       vlm_talk_free(vlm_talk *t);
#endif

/* A sample of the data format (data/sample.h) as ask --batch asks it: with its pictures, in a session. */
#ifndef VLM_TALK_H
#define VLM_TALK_H
#include "data/sample.h"
#include "open.h"

typedef struct vlm_talk {
    struct vlm_sample s;
    vlm_pictures *pictures;            /* of each turn; after vlm_talk_load */
} vlm_talk;

/* Images: relative to the folder of --batch's file, or to --data-root, and inside it. */
vlm_status vlm_talk_read(const json_t *j, const vlm_args *a, const char *where, vlm_talk *out);
vlm_status vlm_talk_load(vlm_talk *t, const vlm_args *a, const vlm_model *m);
/* The turns before the last go into the session. *encode_ms: the time that their images took of it. An answer to the last turn is left
   out: it is what is asked for. */
vlm_status vlm_talk_context(const vlm_talk *t, vlm_session *s, const char *system, double *encode_ms);
void       vlm_talk_free(vlm_talk *t);         /* zeroed is fine */
#endif

/* The only mutable state of inference: threads, random numbers, the cache of keys and values, buffers. */
#ifndef VLM_SESSION_H
#define VLM_SESSION_H
#include "base/digest.h"
#include "infer/model.h"
#include "infer/sampler.h"

enum { VLM_CHUNK = 512 };              /* rows of a prompt that go through the decoder at once */

typedef struct vlm_chain { vlm_digest open; int64_t rows; unsigned char key[16]; } vlm_chain;  /* infer/reuse.h; rows: of the open block */

struct vlm_session {
    const vlm_model *m;
    vlm_dtype kv_type;
    vlm_ctx *ctx;
    vlm_rng rng;
    vlm_sampler sampler;
    vlm_kvcache kv;
    vlm_lm_acts acts;
    act *logits_dev;
    float *logits;                     /* (V), host; valid if has_logits */
    int64_t *ids;                      /* of the positions taken */
    bool has_logits;
    void *dev, *host;                  /* memory of all of these */
    size_t dev_bytes, host_bytes;
    vlm_chat *chat;                    /* the conversation, from the first vlm_say on; NULL: none */
    int64_t answer_tokens;             /* room that a turn makes for its answer */
    size_t fed;                        /* of its ids: in the context */
    bool asked;                        /* a turn waits for its answer */
    bool lost;                         /* an answer failed half-way: only a reset helps */
    vlm_chain chain;                   /* of the positions taken, where there is a cache */
    int64_t reused_images, reused_positions;   /* since the last reset */
};
/* Room for `positions` in all; keeps what is there. VLM_ECONTEXT over the model's context. */
vlm_status vlm_session_reserve(vlm_session *s, int64_t positions);
/* Bytes that a session takes for so many positions in a cache of this type. */
size_t vlm_session_bytes(const vlm_model *m, int64_t positions, vlm_dtype kv_type);
/* The type of vlm_session_options.kv: NULL, "f32", "f16" or "int8". Otherwise VLM_EARG. */
vlm_status vlm_kv_type(const char *name, vlm_dtype *type);

/* vlm_prefill that shows its stages: rows [row, row + rows) of the call, host arrays that live during the call.
   NULL members are not computed. */
typedef struct vlm_observer {
    vlm_status (*embed)(void *user, int64_t row, int64_t rows, const float *x);        /* (rows, D) after splicing */
    vlm_status (*hidden)(void *user, int64_t row, int64_t rows, const float *h);       /* (rows, D) after the final norm */
    vlm_status (*logits)(void *user, int64_t row, int64_t rows, const float *l);       /* (rows, V), raw */
    void *user;
} vlm_observer;
vlm_status vlm_prefill_observed(vlm_session *s, const int64_t *ids, size_t n, const vlm_features *features, const vlm_observer *o);
/* logp[i] = ln p(ids[i]) if the n ids came next, one after another: log-softmax of raw logits, in double. No image tokens. Afterwards, a
   failure included, the context is as before; but it is empty where the model has sliding layers and over a chunk of ids was taken. */
vlm_status vlm_continuation(vlm_session *s, const int64_t *ids, size_t n, double *logp);

/* ---- Features (infer/encode.c) ---- */
typedef struct vlm_seen {              /* one image */
    vlm_image_plan plan;
    int64_t patch_len, prefix_len;     /* floats of a tile */
    uint8_t *u8;                       /* (resized_h, resized_w, 3); only if asked for */
    float *pixels;                     /* (tiles, 3, h, w); only if asked for */
    float *prefix, *patches;           /* (tiles, prefix, D), (tiles, Hp·Wp, D); patches only if asked for */
    float *tokens;                     /* (plan.tokens, language D) or NULL */
} vlm_seen;
struct vlm_features { const vlm_model *m; int64_t n; vlm_seen *image; };
enum { VLM_KEEP_PIXELS = 1, VLM_KEEP_PATCHES = 2 };
vlm_status vlm_encode_keeping(vlm_session *s, const vlm_image *const *images, int64_t n, int keep, vlm_features **out);
/* Most bytes that vlm_encode_keeping takes at once for images with these plans (the only member that is read), the images themselves
   and their features included. */
vlm_status vlm_encode_bytes(const vlm_model *m, const vlm_seen *images, int64_t n, int keep, size_t *bytes);

/* A turn whose answer is given, not drawn: the conversation goes on behind it, as after vlm_say and vlm_answer.
   A user's text that is refused is as if never said; an answer that is refused leaves the conversation lost (vlm_session_reset). */
vlm_status vlm_session_told(vlm_session *s, const char *system, const vlm_features *images, const char *user, const char *answer);
/* A model's conversation as ids, and a user's turn in it: system (NULL: none) only at the start; images with these plans (the only member
   that is read); text literal. What the answers of a training sample are put between. */
vlm_status vlm_turn_open(const vlm_model *m, vlm_chat **out);
vlm_status vlm_turn_add(vlm_chat *c, const vlm_model *m, const char *system, const vlm_seen *images, int64_t n, const char *text);
/* How likely an answer to the turn that was said (and waits for its answer) is: *nll = -Σ ln p over its labelled ids, *labels of them:
   those behind the opening of the turn, up to what closes it and the line's end that follows (what training learns). The conversation
   waits as before; but it is empty where vlm_continuation says so. */
vlm_status vlm_session_score(vlm_session *s, const char *answer, double *nll, int64_t *labels);
/* The ids of one user turn with these images and the generation prompt, in a conversation of its own:
   what `ask` and `trace --prompt` send. */
vlm_status vlm_turn_ids(const vlm_model *m, const char *system, const vlm_features *images, const char *text, vlm_ids *out);
#endif

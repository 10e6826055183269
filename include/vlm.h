/* vlm.h: the public interface of libvlm: open a model folder, look at images at their own rectangle, read features, answer in text.

       vlm_model_open ── vlm_session_open ┬─ vlm_encode ── vlm_features_patches, _tokens ...      features of images
                                          ├─ vlm_say ── vlm_answer                                 a conversation
                                          └─ vlm_prefill ── vlm_logits, vlm_sample ── vlm_prefill  token by token

   Threads: a model may be used by any number of sessions in any threads at once; a session, and the features and images given to it, by one
   thread at a time. Sizes are in elements unless a name says _bytes or _px; arrays are row-major; text is UTF-8. */
#ifndef VLM_H
#define VLM_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)   /* what stands here is all that libvlm.so shows */

/* ---- Failures -------------------------------------------------------------------------------------------------
   Every function that can fail returns one of these and leaves its out-parameters untouched on failure. The message
   belongs to the calling thread and lives until that thread's next failure. */
typedef enum vlm_status {
    VLM_OK = 0,
    VLM_EARG,                  /* the caller is wrong: NULL, a bad value, a call in the wrong state */
    VLM_EIO,                   /* the system said no: open, read, write, disk full */
    VLM_EFORMAT,               /* a file is not what it claims to be */
    VLM_EUNSUPPORTED,          /* a file is fine, but of a kind that this version does not handle */
    VLM_ELIMIT,                /* over a stated limit (docs/errors.md) */
    VLM_ECONTEXT,              /* the model's context is full */
    VLM_ENOMEM,
    VLM_ESTOPPED               /* a callback asked to stop */
} vlm_status;
const char *vlm_status_name(vlm_status s);     /* "format", ... ; static */
const char *vlm_error_where(void);             /* file, option or tensor; "" if there is none */
const char *vlm_error_message(void);           /* "what; what to do" */

/* Warnings and progress of long work; the library itself prints nothing. A progress function that returns non-zero stops the work, which
   then fails with VLM_ESTOPPED. Called from the working thread; set before other threads use the library; NULL: silence. */
typedef void vlm_log_fn(void *user, const char *where, const char *message);
typedef int vlm_progress_fn(void *user, const char *what, int64_t done, int64_t total);
void vlm_log_set(vlm_log_fn *log, vlm_progress_fn *progress, void *user);

/* ---- Models ---------------------------------------------------------------------------------------------------
   A folder with config.json and safetensors: a vision encoder (DINOv3, DINOv2, SigLIP), a language model (Llama, Gemma 3), or a whole
   VLM (nanoVLM's layout, with or without our vlm.json). Immutable once open. */
typedef struct vlm_model vlm_model;
typedef struct vlm_model_options {     /* zeroed: everything as the folder says */
    int threads;                       /* for loading; 0: the cores this process may use */
    const char *isa;                   /* "ref", "avx2" (without VNNI), "avx512" (with VNNI where it is there); NULL: the best there is */
    int64_t max_size_px;               /* long side of a resized image; 0: the model's rule */
    int64_t max_image_tokens;          /* 0: no limit besides */
    int64_t context;                   /* positions; 0: the model's; never more */
    int no_upscale;                    /* never enlarge an image, except to one block */
    int compat_resize;                 /* the Python float rule for sizes, with its rounding errors */
    int fast_decode;                   /* a JPEG that shrinks to half or less is decoded smaller: faster, other bits */
    int fork_maths;                    /* tanh-GELU and K bias, as the nanoVLM fork trained its plain DINOv3 */
    const char *chat_template;         /* "chatml", "smollm2", "gemma", "none"; NULL: the folder's */
    int64_t max_pixels, max_side_px, max_file_bytes;   /* limits on images; 0: 128 M, 65,500, 256 MB */
    const char *cache_dir;             /* keeps images' features and prompts' keys and values there, for later calls; NULL: keeps nothing */
    int64_t cache_bytes;               /* of that folder; 0: 2 GiB. Answers have the same bytes, whatever it holds */
} vlm_model_options;
/* options may be NULL. Fails with VLM_EIO, VLM_EFORMAT (a file, key or tensor is wrong: named), VLM_EUNSUPPORTED (named), VLM_ENOMEM. */
vlm_status vlm_model_open(const char *dir, const vlm_model_options *options, vlm_model **out);
void       vlm_model_close(vlm_model *m);              /* after its sessions; NULL is fine */

typedef struct vlm_model_info {
    const char *vision, *language;     /* "dinov3", "dinov2", "siglip"; "llama", "gemma3"; NULL where the folder has none */
    int64_t vision_width, vision_prefix, patch_px;     /* D; CLS and registers; P */
    int64_t language_width, vocabulary, context;       /* D; logits in a row; positions */
    int64_t shuffle;                   /* s: s x s patches make one token */
    int64_t image_token;               /* id of the placeholder, -1: none */
    int64_t weight_bytes;              /* memory that the weights take */
} vlm_model_info;
vlm_model_info vlm_model_describe(const vlm_model *m);         /* strings are static */

/* ---- Images --------------------------------------------------------------------------------------------------- */
typedef struct vlm_image vlm_image;
/* JPEG, PNG or WebP, EXIF orientation applied, alpha dropped. Refused from its header if it is over the model's limits. */
vlm_status vlm_image_load(const vlm_model *m, const char *path, vlm_image **out);
vlm_status vlm_image_load_bytes(const vlm_model *m, const void *data, size_t bytes, vlm_image **out);
/* A copy of rgb (h,w,3). */
vlm_status vlm_image_from_rgb(const vlm_model *m, const uint8_t *rgb, int64_t w_px, int64_t h_px, vlm_image **out);
void       vlm_image_free(vlm_image *image);                   /* NULL is fine */

/* ---- Sessions: the only mutable state --------------------------------------------------------------------------- */
typedef struct vlm_session vlm_session;
typedef struct vlm_session_options {   /* zeroed: defaults */
    int threads;                       /* 0: the cores this process may use */
    uint64_t seed;
    int64_t answer_tokens;             /* vlm_say makes room for so many besides, so that nothing is moved for vlm_answer; 0: 512 */
    const char *kv;                    /* type of the cache of keys and values: "f32" (the same bits as without a cache), "f16" or "int8"
                                          (a half, a little over a quarter of the memory, with errors); NULL: "f32" */
} vlm_session_options;
vlm_status vlm_session_open(const vlm_model *m, const vlm_session_options *options, vlm_session **out);
void       vlm_session_close(vlm_session *s);                  /* NULL is fine */
void       vlm_session_reset(vlm_session *s);                  /* an empty context */
int64_t    vlm_session_position(const vlm_session *s);         /* positions taken */

/* ---- Features of images ------------------------------------------------------------------------------------------
   All in one ragged call: the features of an image are the same bits alone and in any company. They belong to the caller; their arrays live
   as long as they do. An image that is seen in tiles has several grids, one a tile. */
typedef struct vlm_features vlm_features;
vlm_status   vlm_encode(vlm_session *s, const vlm_image *const *images, int64_t n, vlm_features **out);
void         vlm_features_free(vlm_features *f);               /* NULL is fine */
int64_t      vlm_features_tiles(const vlm_features *f, int64_t image);
void         vlm_features_grid(const vlm_features *f, int64_t image, int64_t tile, int64_t *rows, int64_t *cols);     /* patches: Hp, Wp */
const float *vlm_features_patches(const vlm_features *f, int64_t image, int64_t tile);        /* (Hp·Wp, D) after the final norm */
const float *vlm_features_prefix(const vlm_features *f, int64_t image, int64_t tile);         /* (vision_prefix, D): CLS, registers */
/* (tokens, language_width), all tiles; NULL: no VLM */
const float *vlm_features_tokens(const vlm_features *f, int64_t image, int64_t *tokens);

/* ---- Text ------------------------------------------------------------------------------------------------------- */
enum { VLM_TEXT_SPECIALS = 1,          /* strings like <|im_end|> become the special token; never set it for users' text */
       VLM_TEXT_BOS = 2 };             /* what the tokenizer adds around a text (BOS) */
/* *ids is the caller's: vlm_free. Fails with VLM_EARG on a model without tokenizer, VLM_EFORMAT on text that is not UTF-8. */
vlm_status vlm_tokenize(const vlm_model *m, const char *text, size_t bytes, int flags, int64_t **ids, size_t *n);
vlm_status vlm_detokenize(const vlm_model *m, const int64_t *ids, size_t n, int skip_special, char **text);
void       vlm_free(void *p);

/* ---- Token by token --------------------------------------------------------------------------------------------
   Appends ids to the context. Each image token takes the next row of `features` (NULL: none) in order; fails, context unchanged,
   unless ids hold exactly as many as there are rows (VLM_EARG), or when the context would overflow (VLM_ECONTEXT). A stop half-way
   (VLM_ESTOPPED) leaves the context unchanged too, or empty if the model has sliding layers. In any pieces: the same bits. */
vlm_status   vlm_prefill(vlm_session *s, const int64_t *ids, size_t n, const vlm_features *features);
const float *vlm_logits(const vlm_session *s);   /* (vocabulary) of the last position, raw; NULL before the first prefill; the session's */

typedef struct vlm_sampling {          /* zeroed: greedy, the lowest id among equals */
    double temperature;                /* 0: greedy */
    int64_t top_k;                     /* 0: off */
    double top_p, min_p;               /* 0: off; top_p as nanoVLM: before the temperature, the crossing token is dropped */
    double repetition_penalty;         /* 0 or 1: off; Keskar et al. 2019, over all tokens of the context */
} vlm_sampling;
/* An id the tokenizer knows, drawn from the session's seed. */
vlm_status vlm_sample(vlm_session *s, const vlm_sampling *sampling, int64_t *id);
int        vlm_is_stop(const vlm_model *m, int64_t id);        /* ends an answer: eos, end of turn */

/* ---- Conversation ------------------------------------------------------------------------------------------------
   vlm_say appends a user's turn (images first, in order; text is literal: no special token can come out of it) and the opening of the
   answer; system (NULL: none) only at the start. A turn that fails (VLM_ECONTEXT: too long) is as if never said, but
   for a stop that emptied the context (vlm_prefill). vlm_answer streams the answer; earlier turns stay in the cache. */
vlm_status vlm_say(vlm_session *s, const char *system, const vlm_features *images, const char *text);
typedef int vlm_text_fn(void *user, const char *text, size_t bytes);   /* whole UTF-8 characters; non-zero stops the answer */
typedef struct vlm_answer_options {
    int64_t max_tokens;                /* 0: 512 */
    vlm_sampling sampling;
    const char *const *stop;           /* strings that end the answer and are not part of it */
    int stops;
    vlm_text_fn *on_text;              /* NULL: no streaming */
    void *user;
} vlm_answer_options;
typedef struct vlm_answer_result {
    char *text;                        /* the caller's: vlm_free; a NUL follows, and a model may write NULs too */
    size_t text_bytes;
    int64_t *ids;                      /* the caller's; without the stop id */
    int64_t n, prompt_tokens;          /* completion tokens; positions before the answer, image rows included */
    const char *finish_reason;         /* "stop", "length", "stopped" (on_text said so) */
} vlm_answer_result;
/* result may be NULL. Wrong options (VLM_EARG) change nothing; after another failure in the middle of an answer the conversation needs
   vlm_session_reset. */
vlm_status vlm_answer(vlm_session *s, const vlm_answer_options *options, vlm_answer_result *result);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

/* What a whole model's folder says besides its weights: config.json, flat as nanoVLM's (upstream's keys, or the fork's), and our vlm.json.
   docs/formats.md has both. */
#ifndef VLM_FOLDER_H
#define VLM_FOLDER_H
#include "data/rule.h"

typedef struct vlm_folder {
    const vlm_net *net;                /* families, sizes, shuffle */
    const vlm_image_rule *rule;
    json_t *vision_config, *language_config;   /* the backbones' own, as Hugging Face's; for vlm.json only */
    const json_t *extra_tokens;        /* "vlm_extra_tokens" */
    int64_t base_vocab, extra;         /* rows of the table before those tokens came, and behind that */
    const char *chat;                  /* the template's name */
    int64_t context;                   /* positions; 0: as the language model's */
    bool fork_maths;
    const json_t *flat;                /* a flat config whose names and settings of training stay, or NULL */
    const json_t *own;                 /* a vlm.json whose other keys stay, or NULL */
} vlm_folder;
/* All three: the caller's, NULL: no memory. Upstream's keys and no others: its Python refuses a config with more. */
json_t *vlm_folder_flat(const vlm_folder *f);
/* The fork's keys. */
json_t *vlm_folder_fork(const vlm_folder *f);
json_t *vlm_folder_own(const vlm_folder *f);
/* Rows that the fork's Python computes of base_vocab and extra. */
int64_t vlm_fork_rows(int64_t base_vocab, int64_t extra);

/* "vlm_extra_tokens" of a new model: {"image_token": "<|image|>"}, and for tiles the global one and 8 x 8 places. */
json_t *vlm_extra_tokens(bool tiles);
/* Is it a model's folder, whatever else is damaged? VLM_EIO if no config.json in it, or in its vision/ or language/, can be read and is a
   model's. */
vlm_status vlm_folder_is_model(const char *dir);
/* dir/name = j, whose reference is taken; NULL is VLM_ENOMEM. */
vlm_status vlm_folder_write(const char *dir, const char *name, json_t *j);
#endif

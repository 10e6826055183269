/* Which image rule a MODEL folder follows: vlm.json's "image", else what nanoVLM's config implies, else the backbone's own habit. */
#ifndef VLM_RULE_H
#define VLM_RULE_H
#include "data/processor.h"
#include "model/models.h"

typedef struct vlm_rule_options {      /* zeroed: the folder's */
    int64_t max_size, max_tokens;
    bool no_upscale, compat, fast_decode;
} vlm_rule_options;
/* The rule, checked. VLM_EUNSUPPORTED, VLM_EFORMAT name file and key; VLM_EARG an option that the rule has no use for. */
vlm_status vlm_image_rule_of(const vlm_net *net, const vlm_rule_options *o, vlm_image_rule *out);

/* vlm.json's "image" object: {"rule": "dynamic"|"fixed"|"tiles", "block", "max_size", "max_tokens", "no_upscale", "fill_max",
   "global_tile", "filter": "bicubic"|"bilinear", "mean": [3], "std": [3]}. The caller's reference; NULL: no memory. */
json_t *vlm_image_rule_json(const vlm_image_rule *rule);
#endif

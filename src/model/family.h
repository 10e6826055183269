/* A family: how one kind of config.json and its tensor names map on an engine. Data, ~100 lines each; models.c lists them. */
#ifndef VLM_FAMILY_H
#define VLM_FAMILY_H
#include "io/json.h"
#include "model/decoder.h"
#include "model/vit.h"

/* One name of ours (without "vision_encoder." or "decoder."; # stands for the layer) and the tensors that hold it. Several parts are
   joined along the rows; "name[1/2]" is the second half of a tensor's rows. */
typedef struct vlm_rule { const char *ours, *theirs[3]; } vlm_rule;

typedef struct vlm_family {
    const char *name;                  /* "dinov3" */
    const char *const *model_types;    /* values of config.json's model_type; NULL ends each of these lists */
    vlm_status (*vit)(const json_t *config, const char *where, vlm_vit_config *out);   /* one of the two */
    vlm_status (*lm)(const json_t *config, const char *where, vlm_lm_config *out);
    json_t *(*vit_json)(const vlm_vit_config *c);      /* the way back: a config that should read as c, the caller's. NULL: no memory. */
    json_t *(*lm_json)(const vlm_lm_config *c);        /* DINOv2 has none: no flat config holds one */
    const vlm_rule *rules;
    const char *const *prefixes;       /* of their names, tried in this order */
    const char *const *spare;          /* behind a prefix, beginnings of names (with #: names) of tensors that are known and not needed */
} vlm_family;
extern const vlm_family vlm_dinov3, vlm_dinov2, vlm_siglip, vlm_llama, vlm_gemma3;
const vlm_family *vlm_family_by_type(const char *model_type);  /* NULL: none */
const vlm_family *vlm_family_by_name(const char *name);

/* Is `name` the rule, with a number for its #? Then `layer` holds the number's digits. */
bool vlm_rule_matches(const char *rule, const char *name, char layer[16]);
void vlm_rule_name(char out[256], const char *prefix, const char *rule, const char *layer);   /* prefix and rule, with layer for # */
/* Has the model the part-th third of p, if p is a fused bias of q, k and v? True for every other parameter. */
bool vlm_third_expected(const vlm_vit_config *c, const vlm_param *p, int part);

/* For the families. Keys of a config: one that is not listed is warned of, for it might change the maths; one that is known to
   change it is refused (VLM_EUNSUPPORTED). */
vlm_status vlm_config_known(const json_t *config, const char *where, const char *const *known);
/* A key that must be absent, null, false, 0 or equal to `only` (NULL: none such), because another value is maths that is not built. */
vlm_status vlm_config_neutral(const json_t *config, const char *where, const char *key, const char *only);
/* For lm_json: a language model's sizes under Hugging Face's keys, and the family's own (`more`, whose reference is taken). NULL: no
   memory. */
json_t *vlm_lm_config_json(const vlm_lm_config *c, const char *type, const char *architecture, json_t *more);
const char *vlm_config_activation_name(vlm_activation a);      /* "gelu", "gelu_pytorch_tanh", "silu" */
vlm_status vlm_config_activation(const json_t *config, const char *where, const char *key, vlm_activation *io);
/* A rope_parameters or rope_scaling object (NULL, null: none): its rope_theta; any kind but "default" is maths that is not built. */
vlm_status vlm_config_rope(const json_t *rope, const char *where, double *theta);
/* The keys that all encoders, all decoders share; io holds the defaults. A G or Dh of 0: as many key heads as heads, D/H. */
vlm_status vlm_vit_config_sizes(const json_t *config, const char *where, vlm_vit_config *io);
vlm_status vlm_lm_config_sizes(const json_t *config, const char *where, vlm_lm_config *io);
/* Sizes that do not fit each other. */
vlm_status vlm_vit_config_check(const vlm_vit_config *c, const char *where);
vlm_status vlm_lm_config_check(const vlm_lm_config *c, const char *where);
enum { VLM_MAX_WIDTH = 1 << 16, VLM_MAX_FFN = 1 << 20, VLM_MAX_VOCAB = 1 << 24, VLM_MAX_PATCH = 256, VLM_MAX_REGISTERS = 1024 };
#endif

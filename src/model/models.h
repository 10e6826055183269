/* A MODEL folder as engines: configs read, every expected tensor found and shaped, weights packed. What it is comes from config.json, never
   from the folder's name. Immutable once open; any number of threads. */
#ifndef VLM_MODELS_H
#define VLM_MODELS_H
#include "model/family.h"

typedef struct vlm_net_options {
    unsigned cpu;                      /* VLM_CPU_* that the ops may use */
    int threads;                       /* for loading */
    bool fork_maths;                   /* as nanoVLM's fork trained: tanh-GELU in plain DINOv3, K bias */
    bool f32;                          /* every matrix as F32, whatever is stored (for training); Gemma's embedding factor too */
    bool structure_only;               /* names, shapes and sources, but no memory and no values: for inspect and plan */
} vlm_net_options;

typedef struct vlm_net {
    char *dir;
    json_t *config, *ours;             /* config.json; vlm.json or NULL */
    bool nanovlm;                      /* config.json is a flat VLMConfig */
    bool packed;                       /* the weights are used where they are mapped (model/packed.h) */
    bool fork_maths;
    const vlm_family *vision, *language;       /* NULL: the folder has none */
    vlm_vit vit;
    vlm_lm lm;
    vlm_mat projector;                 /* (language D, vision D · shuffle²) */
    int64_t shuffle;                   /* 1 without projector */
    vlm_params params;
    vlm_weights *weights;              /* mapped; kept for structure_only and if packed, NULL otherwise */
    vlm_ops ops;
    void *memory;                      /* all parameters; packed: the vectors */
    size_t bytes;                      /* of it; structure_only: that it would have; SIZE_MAX: they overflow */
} vlm_net;
/* The encoder's attention is in whole numbers: of an int8 encoder, where the CPU has VNNI. Features have other bits then. */
static inline bool vlm_net_int8_attention(const vlm_net *net) { return net->vit.cfg.int8 && net->ops.fast_bytes; }

/* VLM_EIO, VLM_EFORMAT, VLM_EUNSUPPORTED name file and key or tensor. */
vlm_status vlm_net_open(const char *dir, const vlm_net_options *options, vlm_net **out);
void       vlm_net_close(vlm_net *net);                /* NULL is fine */
/* Bytes of its parameters in memory, mapped ones included; of one that is open as structure_only, those that it would take. SIZE_MAX if
   they overflow. Of a net that vlm_net_open gave. */
size_t     vlm_net_bytes(const vlm_net *net);

/* A net of the same engines whose parameters of these groups (bits 1 << vlm_group) are zeros in f32, and which has no others: gradients,
   moments. The list of params has the same rows. VLM_ENOMEM. vlm_net_close closes it. */
vlm_status vlm_net_zeros(const vlm_net *net, unsigned groups, vlm_net **out);

/* Fills params from the engines' configs; for programs that make a model rather than read one. */
vlm_status vlm_net_params(vlm_net *net);

/* nanoVLM's flat config.json (fork and upstream). Fails if a key that is needed is missing. */
vlm_status vlm_nanovlm_config(const json_t *j, const char *where, const vlm_weights *w, vlm_net *net);
/* Rows of the stored embedding or head, which a vocabulary that has grown is known by; 0: neither is there with a possible shape. */
int64_t vlm_nanovlm_vocabulary(const vlm_weights *w);

/* ---- Projector: pixel shuffle and one matrix ---- */
static inline int64_t vlm_tokens_of(vlm_grid g, int64_t shuffle) { return g.h / shuffle * (g.w / shuffle); }
/* out (tokens, language D) = shuffle(x) W';  x (h·w, vision D) patch rows; tmp (tokens, vision D · s²). h and w are multiples of s. */
void vlm_project(vlm_ctx *ctx, const vlm_net *net, act *out, const act *x, act *tmp, vlm_grid g);
#endif

/* What a MODEL folder is to inference: engines, tokenizer, image rule, chat template. The public vlm_model; immutable. */
#ifndef VLM_INFER_MODEL_H
#define VLM_INFER_MODEL_H
#include "data/image.h"
#include "data/processor.h"
#include "io/chat.h"
#include "io/tokenizer.h"
#include "model/models.h"

typedef struct vlm_reuse vlm_reuse;   /* infer/reuse.h */
struct vlm_model {
    vlm_net *net;
    vlm_reuse *reuse;                  /* NULL: no cache */
    vlm_tokenizer *tok;                /* NULL: none in the folder */
    vlm_image_rule rule;               /* with a vision encoder */
    vlm_image_limits limits;
    vlm_chat_kind chat;                /* VLM_CHAT_UNKNOWN: said when a turn is wanted */
    vlm_ids stop;                      /* ids that end an answer */
    unsigned char *known;              /* (V) flags: ids that may be sampled */
    int64_t context;
    int64_t image_token, global_token; /* -1: none */
    int64_t *tile_token;               /* (tile_rows, tile_cols) of <row_i_col_j>, 0: none */
    int64_t tile_rows, tile_cols;
};
/* As vlm_model_open; STRUCTURE: no weights in memory, for inspect, plan and convert; F32: every matrix in F32, for training. */
enum { VLM_OPEN_STRUCTURE = 1, VLM_OPEN_F32 = 2 };
vlm_status vlm_model_open_as(const char *dir, const vlm_model_options *options, int how, vlm_model **out);
/* "ref", "avx2", "avx512", NULL (the best) → flags; VLM_EARG if this machine lacks it. */
vlm_status vlm_isa_flags(const char *isa, unsigned *cpu);
const char *vlm_isa_name(unsigned cpu);

struct vlm_image {
    vlm_bitmap b;                      /* rgb NULL: its features are kept, most likely; else to be decoded of: */
    unsigned char *bytes;
    size_t size;
    bool has_key;
    unsigned char key[16];             /* digest of its file, where there is a cache */
    char name[];                       /* for messages */
};
/* A picture that has been decoded; b is taken over, also on failure. */
vlm_status vlm_image_wrap(vlm_bitmap b, const char *name, vlm_image **out);
#endif

/* Conversations as ids: a model's turns, with its special tokens by id and everything anybody wrote encoded literally, so that no text can
   become a special token. Between two ids all text is one string to the tokenizer ("user\n" and what the user wrote), as where a template
   is rendered to text first: the ids are those of transformers' apply_chat_template. */
#ifndef VLM_CHAT_H
#define VLM_CHAT_H
#include "io/tokenizer.h"

typedef enum vlm_chat_kind {
    VLM_CHAT_UNKNOWN,          /* the folder has no template, or one that is not known: vlm_chat_open fails and names --template */
    VLM_CHAT_NONE,             /* plain text after BOS, if the tokenizer adds one */
    VLM_CHAT_CHATML,           /* <|im_start|>role\n content <|im_end|>\n */
    VLM_CHAT_CHATML_DEFAULT,   /* the same; without a system turn the template's own text is one (SmolLM2-Instruct, Qwen2) */
    VLM_CHAT_GEMMA             /* <bos>, then <start_of_turn>role\n content <end_of_turn>\n; content trimmed; system text, a blank line
                                  behind it, begins the first turn */
} vlm_chat_kind;
typedef enum vlm_chat_role { VLM_ROLE_SYSTEM, VLM_ROLE_USER, VLM_ROLE_ASSISTANT } vlm_chat_role;

/* "chatml", "smollm2", "gemma", "none", or what is the folder's own. name first; if NULL, fallback; if NULL too, the folder's template is
   recognised by its structure. VLM_EARG: an unknown name. A template nobody knows is VLM_CHAT_UNKNOWN, not a failure. */
vlm_status  vlm_chat_kind_of(const vlm_tokenizer *t, const char *name, const char *fallback, vlm_chat_kind *out);
const char *vlm_chat_kind_name(vlm_chat_kind kind);            /* "chatml", ...; static */
const char *vlm_chat_default(const char *language);  /* what a VLM of this language family speaks: "gemma" for gemma3..., else "chatml" */
/* Appends eos and the token that ends a turn, each once. VLM_EFORMAT: the vocabulary lacks the latter. */
vlm_status  vlm_chat_stop_ids(const vlm_tokenizer *t, vlm_chat_kind kind, vlm_ids *stop);

/* A conversation that grows. One thread at a time. After a failure close it.
       begin(USER) ids(placeholders) text("What is this?") end  prompt  →  vlm_chat_out: feed what is new  →  ids(the answer) end
       → begin(USER) ...
   gives, apart from the answers, which stay the ids that were drawn, what one rendering of the whole gives. */
typedef struct vlm_chat vlm_chat;
vlm_status vlm_chat_open(const vlm_tokenizer *t, vlm_chat_kind kind, vlm_chat **out);   /* t must outlive it */
vlm_status vlm_chat_copy(const vlm_chat *c, vlm_chat **out);   /* to go back to if a turn fails */
void       vlm_chat_close(vlm_chat *c);                                                  /* NULL is fine */
vlm_status vlm_chat_begin(vlm_chat *c, vlm_chat_role role);    /* a turn; system only as the first (VLM_EARG) */
vlm_status vlm_chat_text(vlm_chat *c, const char *text, size_t bytes);     /* one part of its content, whole characters; literal */
vlm_status vlm_chat_ids(vlm_chat *c, const int64_t *ids, size_t n);        /* image placeholders, or an answer as it was drawn */
vlm_status vlm_chat_end(vlm_chat *c);
vlm_status vlm_chat_prompt(vlm_chat *c);                       /* begins the assistant's turn; now all ids are out */
vlm_status vlm_chat_flush(vlm_chat *c);                        /* text that waits for what follows becomes ids; the end of a rendering */
/* All ids so far. Those after the last prompt or flush may still lack the text behind the last id. */
const vlm_ids *vlm_chat_out(const vlm_chat *c);
/* Index of the first id of the last turn's content: behind its start token (whose role header follows) - for masks of training. */
size_t     vlm_chat_content(const vlm_chat *c);
#endif

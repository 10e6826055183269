/* Text to ids and back, from a folder's tokenizer.json alone; ids are those of the `tokenizers` library (Hugging Face).
   Handled: byte-level and SentencePiece-style BPE; what is not (WordPiece, Unigram, dropout, truncation, ...) is refused by name.
   Text is UTF-8. A tokenizer does not change once it is open (and vlm_tokenizer_control called): any number of
   threads may use one at once. */
#ifndef VLM_TOKENIZER_H
#define VLM_TOKENIZER_H
#include "base/status.h"
#include <stdbool.h>

enum { VLM_TOKEN_LIMIT = 1 << 24,          /* ids are below */
       VLM_TEXT_LIMIT = 256 << 20 };       /* bytes of one text */

/* A list of ids that grows; zeroed is empty. */
typedef struct vlm_ids { int64_t *id; size_t n, cap; } vlm_ids;
vlm_status vlm_ids_push(vlm_ids *v, int64_t id);
vlm_status vlm_ids_add(vlm_ids *v, int64_t id);    /* unless it is there already, or negative */
void       vlm_ids_free(vlm_ids *v);       /* leaves it empty */

typedef struct vlm_tokenizer vlm_tokenizer;

/* Reads dir/tokenizer.json or dir/tokenizer/tokenizer.json, and beside it, where they exist, tokenizer_config.json, special_tokens_map.json
   (which token is bos, eos, pad) and chat_template.jinja. The caller closes it. */
vlm_status vlm_tokenizer_open(const char *dir, vlm_tokenizer **out);
/* Beside dir's tokenizer.json, tokenizer.safetensors: its tables as they lie in memory, from which vlm_tokenizer_open is five times faster.
   A folder without one: nothing happens. */
vlm_status vlm_tokenizer_tables_write(const char *dir);
/* The same from a tokenizer.json in memory, which is not needed afterwards; `where` names it in messages. */
vlm_status vlm_tokenizer_parse(const void *json, size_t bytes, const char *where, vlm_tokenizer **out);
void       vlm_tokenizer_close(vlm_tokenizer *t);          /* NULL is fine */
const char *vlm_tokenizer_where(const vlm_tokenizer *t);   /* path of its tokenizer.json */

enum {
    VLM_ENCODE_ADD = 1,        /* what the post-processor puts around a text (BOS) */
    VLM_ENCODE_LITERAL = 2,    /* as if there were no special tokens: never gives the id of one, nor one of vlm_tokenizer_control. For
                                  users' text. (One exception: a character that the vocabulary lacks gives the unknown token if that is
                                  a special named so ("<unk>"); if it is another, like <|endoftext|>, that is an error.) */
    VLM_ENCODE_FRONT = 8,      /* of ADD, only what comes in front: a text that goes on */
    VLM_ENCODE_INSIDE = 4      /* not the beginning of the input: no space is put in front that only the beginning gets */
};
/* VLM_EFORMAT: not UTF-8, said with the first such byte, counted from 0. */
vlm_status vlm_text_check(const char *text, size_t bytes);
/* Tells of an id that steers the model (ends an answer, stands for an image), whatever the file calls it: literal text never gives it from
   now on. So are from the beginning: special tokens, bos, eos, what the post-processor adds, and the turn tokens of io/chat.h's templates.
   It changes the tokenizer: to be called by who opened it, before anyone else has it. Without effect: an id that has no token, and one
   character of the model's own vocabulary, which is no added token and which nothing else could write. */
void vlm_tokenizer_control(vlm_tokenizer *t, int64_t id);
/* Appends the ids of text (bytes long) to *ids; on failure *ids is as before. VLM_EFORMAT: not UTF-8; or a character that neither the
   vocabulary nor an unknown token stands for. The library leaves such a character out, and so does this, with a warning, where text is read
   as the library reads it and something is left of it; nothing is left out of literal text. */
vlm_status vlm_tokenizer_encode(const vlm_tokenizer *t, const char *text, size_t bytes, int flags, vlm_ids *ids);

/* *text is the caller's (free), with a NUL behind its *bytes (may be NULL). An id without a token: VLM_EARG. */
vlm_status vlm_tokenizer_decode(const vlm_tokenizer *t, const int64_t *ids, size_t n, bool skip_special, char **text, size_t *bytes);

/* The same id by id, for streaming. What push and flush hand over is whole UTF-8 characters, valid until the next call; all of it, one
   after another, is what decode would give. Some tokenizers can say a character only when the next id is known. One thread at a time. */
typedef struct vlm_token_stream vlm_token_stream;
vlm_status vlm_token_stream_open(const vlm_tokenizer *t, bool skip_special, vlm_token_stream **out);   /* t must outlive it */
vlm_status vlm_token_stream_push(vlm_token_stream *s, int64_t id, const char **text, size_t *bytes);
vlm_status vlm_token_stream_flush(vlm_token_stream *s, const char **text, size_t *bytes);              /* the end; then it starts anew */
void       vlm_token_stream_close(vlm_token_stream *s);    /* NULL is fine */

/* The id of the token spelled exactly so, -1: none. The vocabulary's own string of an id (NUL-terminated, the tokenizer's), NULL: none. */
int64_t     vlm_token_id(const vlm_tokenizer *t, const char *token);
const char *vlm_token_text(const vlm_tokenizer *t, int64_t id, size_t *bytes);     /* bytes may be NULL */
int64_t     vlm_tokenizer_size(const vlm_tokenizer *t);    /* the largest id + 1; there may be holes */
bool        vlm_token_known(const vlm_tokenizer *t, int64_t id);
bool        vlm_token_special(const vlm_tokenizer *t, int64_t id);
/* -1: the folder does not say */
int64_t     vlm_tokenizer_bos(const vlm_tokenizer *t);
int64_t     vlm_tokenizer_eos(const vlm_tokenizer *t);
int64_t     vlm_tokenizer_pad(const vlm_tokenizer *t);
const char *vlm_tokenizer_chat_template(const vlm_tokenizer *t);                   /* the Jinja text; NULL: none */
/* A special token takes the blanks around it with it (lstrip, rstrip); for those who place specials by id. */
void        vlm_token_strips(const vlm_tokenizer *t, int64_t id, bool *left, bool *right);

/* Writes the tokenizer of src_dir into the existing folder dst_dir (tokenizer.json, and tokenizer_config.json, special_tokens_map.json,
   chat_template.jinja where they exist) with `n` special tokens more. The first gets first_id, or with -1 the id after the largest;
   VLM_EARG if first_id is not that one: the library numbers them so. A token that is there already keeps its id and gets special. */
vlm_status vlm_tokenizer_extend(const char *src_dir, const char *dst_dir, const char *const *tokens, int n, int64_t first_id);
/* Writes a tokenizer of 259 tokens into the existing folder: <|endoftext|>, <|im_start|>, <|im_end|> (0-2), then the 256 bytes; ChatML. */
vlm_status vlm_tokenizer_bytes(const char *dst_dir);
#endif

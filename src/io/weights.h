/* A folder's weights as one set of tensors: model.safetensors, or model.safetensors.index.json and its shards. */
#ifndef VLM_WEIGHTS_H
#define VLM_WEIGHTS_H
#include "io/safetensors.h"

/* The index is read first if there is one. Its shards lie in the folder itself; every tensor that it names is in the shard that it
   names, and the shards hold no others. Opening maps files and reads headers; it touches no tensor's pages.
   VLM_EUNSUPPORTED names a pickle or GGUF that lies there instead, VLM_EIO says what was looked for. Immutable: any number of threads. */
typedef struct vlm_weights vlm_weights;
/* `path` is no MODEL folder, or one without config.json: says by the names that are there what it is (GGUF, a pickle, a SentencePiece
   model, one file of a folder) and what to do. Always fails: VLM_EUNSUPPORTED, VLM_EIO. */
vlm_status vlm_weights_refuse(const char *path);
vlm_status vlm_weights_open(const char *dir, vlm_weights **out);
void       vlm_weights_close(vlm_weights *w);                  /* NULL is fine */

/* NULL: not there. A name that only the metadata knows (the writer dropped one of two tied tensors and noted
   {"removed name": "kept name"}) gives the kept tensor. */
const vlm_tensor *vlm_weights_find(const vlm_weights *w, const char *name);
/* What the metadata of a file, the first that has the key, says; NULL: none does. Lives as long as w. */
const char       *vlm_weights_metadata(const vlm_weights *w, const char *key);
int64_t           vlm_weights_count(const vlm_weights *w);     /* stored tensors, aliases not counted */
const vlm_tensor *vlm_weights_at(const vlm_weights *w, int64_t i);     /* in the order of files and of data */
size_t            vlm_weights_bytes(const vlm_weights *w);     /* of all tensors */
const char       *vlm_weights_file(const vlm_weights *w, const vlm_tensor *t);  /* its file's path, for messages */
const char       *vlm_weights_dir(const vlm_weights *w);
/* This tensor's pages leave our memory (it has been packed elsewhere); they come back from the file if read again. */
void              vlm_weights_forget(const vlm_weights *w, const vlm_tensor *t);
#endif

/* JSON files from outside, over jansson: size limit, no duplicate keys, typed getters whose errors name file and key. */
#ifndef VLM_JSON_H
#define VLM_JSON_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>

enum {
    VLM_JSON_LIMIT = 128 << 20,        /* bytes of a JSON file; tokenizer.json of 262,144 entries has 33 MB */
    VLM_JSON_VALUES = 2500000          /* and values in it, objects counted double: at most 490 MB, measured. That file has 1.8 million */
};

/* *out is the caller's: json_decref. */
vlm_status vlm_json_read(const char *path, json_t **out);
vlm_status vlm_json_parse(const void *data, size_t size, const char *where, json_t **out);
/* Two-space indented, keys in insertion order, newline at the end; atomic (vlm_writer). */
vlm_status vlm_json_write(const char *path, const json_t *value);

/* A member of object `o` (NULL and null are empty objects; anything else that is not an object: VLM_EFORMAT). Absent or null leaves *io
   as it is (the default). Of another type, or outside [lo, hi]: VLM_EFORMAT. `where` is the file. A 2.0 is an integer too.
   Strings stay the object's. */
vlm_status vlm_json_int(const json_t *o, const char *where, const char *key, int64_t lo, int64_t hi, int64_t *io);
vlm_status vlm_json_real(const json_t *o, const char *where, const char *key, double lo, double hi, double *io);
vlm_status vlm_json_bool(const json_t *o, const char *where, const char *key, bool *io);
vlm_status vlm_json_string(const json_t *o, const char *where, const char *key, const char **io);
/* The same, and absent or null is an error that names the key. */
vlm_status vlm_json_need_int(const json_t *o, const char *where, const char *key, int64_t lo, int64_t hi, int64_t *out);
vlm_status vlm_json_need_string(const json_t *o, const char *where, const char *key, const char **out);
/* The shortest decimal that is this float: 1e-5 stays 1e-5, not 9.9999997e-6. For writing. */
double vlm_json_decimal(float f);
#endif

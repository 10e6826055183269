#include "io/json.h"
#include "base/file.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every value but the first stands behind one of , [ {: counting those, an object double for its table, bounds what jansson will allocate:
   measured, 110 to 177 bytes for each. */
static vlm_status check_count(const unsigned char *data, size_t size, const char *where) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += data[i] == '{' ? 2 : data[i] == ',' || data[i] == '[';
    return n <= VLM_JSON_VALUES ? VLM_OK
         : vlm_fail(VLM_ELIMIT, where, "holds more than %d values; check that it is the right file", VLM_JSON_VALUES);
}
vlm_status vlm_json_parse(const void *data, size_t size, const char *where, json_t **out) {
    json_error_t e;
    if (size >= 3 && !memcmp(data, "\xEF\xBB\xBF", 3))        /* else the message would show it, and nobody sees it */
        return vlm_fail(VLM_EFORMAT, where, "begins with a byte order mark; save it as UTF-8 without one");
    TRY(check_count(data, size, where));
    json_t *v = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!v)
        return vlm_fail(VLM_EFORMAT, where, "is not valid JSON: %s, line %d column %d; get the file again or mend it",
                        e.text, e.line, e.column);
    *out = v;
    return VLM_OK;
}
vlm_status vlm_json_read(const char *path, json_t **out) {
    unsigned char *data;
    size_t size;
    TRY(vlm_read(path, VLM_JSON_LIMIT, &data, &size));
    vlm_status status = vlm_json_parse(data, size, path, out);
    free(data);
    return status;
}
vlm_status vlm_json_write(const char *path, const json_t *value) {
    vlm_writer w;
    TRY(vlm_writer_open(path, &w));
    errno = 0;
    if (json_dumpf(value, w.f, JSON_INDENT(2)) || fputc('\n', w.f) == EOF) {
        if (!errno) errno = EIO;
        vlm_status status = vlm_fail_errno(path, "write");
        vlm_writer_cancel(&w);
        return status;
    }
    return vlm_writer_commit(&w);
}

static const char *type_name(const json_t *v) {
    static const char *const names[] = { "an object", "an array", "a string", "an integer", "a number", "true", "false", "null" };
    return names[json_typeof(v)];
}
static vlm_status wrong_type(const char *where, const char *key, const char *want, const json_t *v) {
    return vlm_fail(VLM_EFORMAT, where, "key %s is %s, expected %s; mend the file", key, type_name(v), want);
}
/* *out: the member, NULL if it is absent or null. */
static vlm_status member(const json_t *o, const char *where, const char *key, const json_t **out) {
    const json_t *v = json_object_get(o, key);
    if (o && !json_is_object(o) && !json_is_null(o))
        return vlm_fail(VLM_EFORMAT, where, "is %s where an object with the key %s is expected; mend the file", type_name(o), key);
    *out = v && !json_is_null(v) ? v : NULL;
    return VLM_OK;
}

vlm_status vlm_json_int(const json_t *o, const char *where, const char *key, int64_t lo, int64_t hi, int64_t *io) {
    const json_t *v;
    int64_t n;
    TRY(member(o, where, key, &v));
    if (!v) return VLM_OK;
    double d = json_number_value(v);
    if (json_is_integer(v)) n = json_integer_value(v);
    else if (json_is_real(v) && fabs(d) < 9e15 && d == floor(d)) n = (int64_t)d;
    else return wrong_type(where, key, "an integer", v);
    if (n < lo || n > hi)
        return vlm_fail(VLM_EFORMAT, where, "key %s is %lld, expected %lld to %lld; mend the file",
                        key, (long long)n, (long long)lo, (long long)hi);
    *io = n;
    return VLM_OK;
}
vlm_status vlm_json_real(const json_t *o, const char *where, const char *key, double lo, double hi, double *io) {
    const json_t *v;
    TRY(member(o, where, key, &v));
    if (!v) return VLM_OK;
    if (!json_is_number(v)) return wrong_type(where, key, "a number", v);
    double d = json_number_value(v);
    if (!(d >= lo && d <= hi)) return vlm_fail(VLM_EFORMAT, where, "key %s is %g, expected %g to %g; mend the file", key, d, lo, hi);
    *io = d;
    return VLM_OK;
}
vlm_status vlm_json_bool(const json_t *o, const char *where, const char *key, bool *io) {
    const json_t *v;
    TRY(member(o, where, key, &v));
    if (!v) return VLM_OK;
    if (!json_is_boolean(v)) return wrong_type(where, key, "true or false", v);
    *io = json_is_true(v);
    return VLM_OK;
}
vlm_status vlm_json_string(const json_t *o, const char *where, const char *key, const char **io) {
    const json_t *v;
    TRY(member(o, where, key, &v));
    if (!v) return VLM_OK;
    if (!json_is_string(v)) return wrong_type(where, key, "a string", v);
    *io = json_string_value(v);
    return VLM_OK;
}
static vlm_status need(const json_t *o, const char *where, const char *key) {
    const json_t *v;
    TRY(member(o, where, key, &v));
    if (!v) return vlm_fail(VLM_EFORMAT, where, "has no key %s; get the file again", key);
    return VLM_OK;
}
vlm_status vlm_json_need_int(const json_t *o, const char *where, const char *key, int64_t lo, int64_t hi, int64_t *out) {
    TRY(need(o, where, key));
    return vlm_json_int(o, where, key, lo, hi, out);
}
vlm_status vlm_json_need_string(const json_t *o, const char *where, const char *key, const char **out) {
    TRY(need(o, where, key));
    return vlm_json_string(o, where, key, out);
}

double vlm_json_decimal(float f) {
    char text[32];
    double d = f;
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        d = strtod(text, NULL);
        if ((float)d == f) break;
    }
    return d;
}

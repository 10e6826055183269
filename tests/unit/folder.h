/* A golden model copied into the temporary folder, to be spoiled there: keys of its JSON files, tensors of its model.safetensors. */
#ifndef FOLDER_H
#define FOLDER_H
#include "temp.h"
#include "infer/model.h"
#include <math.h>

/* temp_dir/model, afresh. */
__attribute__((unused)) static const char *folder(const char *golden) {
    static char dir[512];
    char cmd[1200];
    snprintf(cmd, sizeof cmd, "rm -rf '%s' && cp -r 'tests/golden/models/%s' '%s' && chmod -R u+w '%s'", temp("model"), golden,
        temp("model"), temp("model"));
    assert_int_equal(system(cmd), 0);
    snprintf(dir, sizeof dir, "%s", temp("model"));
    return dir;
}
/* model/FILE: key = value (JSON text); NULL removes it. A file that is not there begins empty. */
__attribute__((unused)) static void set_key(const char *file, const char *key, const char *value) {
    char path[600];
    json_t *j = NULL;
    snprintf(path, sizeof path, "%s/%s", temp("model"), file);
    if (access(path, F_OK)) j = json_object();
    else assert_ok(vlm_json_read(path, &j));
    if (value) {
        json_t *v = json_loads(value, JSON_DECODE_ANY, NULL);
        assert_non_null(v);
        json_object_set_new(j, key, v);
    } else json_object_del(j, key);
    assert_ok(vlm_json_write(path, j));
    json_decref(j);
}

typedef enum spoil { DROP, RENAME, DOUBLE, TURN, RETYPE, POISON, ADD } spoil;
/* model/model.safetensors without tensor `name`; or under the name `arg`; or under both; or with its first two sides exchanged;
   or called I32; or its element `at` made `value`; ADD: with one more, `arg`, of two elements.
   What the metadata said of aliases is gone. */
__attribute__((unused)) static void spoil_tensor(spoil how, const char *name, const char *arg, int64_t at, float value) {
    char path[600], to[600];
    vlm_safetensors st;
    vlm_safetensors_writer *w;
    int hits = how == ADD;
    snprintf(path, sizeof path, "%s/model.safetensors", temp("model"));
    snprintf(to, sizeof to, "%s/spoiled", temp("model"));
    assert_ok(vlm_safetensors_open(path, &st));
    assert_ok(vlm_safetensors_writer_open(to, &w));
    for (int put = 0; put < 2; put++) {
        for (int64_t i = 0; i < st.count; i++) {
            const vlm_tensor *t = &st.tensors[i];
            bool hit = how != ADD && !strcmp(t->name, name);
            vlm_tensor c = *t;
            if (hit && how == DROP) { hits++; continue; }
            if (hit && how == RENAME) c.name = arg;
            if (hit && how == TURN) c.shape[0] = t->shape[1], c.shape[1] = t->shape[0];
            if (hit && how == RETYPE) c.dtype = VLM_T_I32;
            hits += hit;
            for (int k = 0; k < (hit && how == DOUBLE ? 2 : 1); k++) {
                if (k) c.name = arg;
                if (!put) { assert_ok(vlm_safetensors_writer_declare(w, c.name, c.dtype, c.ndim, c.shape)); continue; }
                unsigned char *bytes = malloc(t->bytes + 1);
                assert_non_null(bytes);
                memcpy(bytes, t->data, t->bytes);
                if (hit && how == POISON && t->dtype == VLM_T_F32) memcpy(bytes + 4 * at, &value, 4);
                if (hit && how == DOUBLE && k && at >= 0) memcpy(bytes + 4 * at, &value, 4);
                assert_ok(vlm_safetensors_writer_put(w, c.name, bytes, t->bytes));
                free(bytes);
            }
        }
        if (how != ADD) continue;
        if (!put) assert_ok(vlm_safetensors_writer_declare(w, arg, VLM_T_F32, 1, (const int64_t[]){ 2 }));
        else assert_ok(vlm_safetensors_writer_put(w, arg, (const float[]){ 1, 2 }, 8));
    }
    assert_true(hits > 0);
    assert_ok(vlm_safetensors_writer_commit(w));
    vlm_safetensors_close(&st);
    assert_int_equal(rename(to, path), 0);
}

/* What the library warned of. */
static char warned[4096];
static int warnings;
__attribute__((unused)) static void on_warning(void *user, const char *where, const char *message) {
    (void)user;
    warnings++;
    snprintf(warned + strlen(warned), sizeof warned - strlen(warned), "%s: %s\n", where, message);
}
__attribute__((unused)) static void listen(void) {
    warnings = 0;
    *warned = 0;
    vlm_log_set(on_warning, NULL, NULL);
}

/* Opens and closes: the status. */
__attribute__((unused)) static vlm_status opens_as(const char *dir, const vlm_model_options *o) {
    vlm_model *m = NULL;
    vlm_status s = vlm_model_open(dir, o, &m);
    if (s) assert_null(m);
    vlm_model_close(m);
    return s;
}
__attribute__((unused)) static vlm_status opens(const char *dir) { return opens_as(dir, &(vlm_model_options){ .threads = 1 }); }
#endif

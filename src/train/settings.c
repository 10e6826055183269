#include "train/settings.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/rule.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t vlm_net_hash(const vlm_net *net) {
    uint64_t h = VLM_HASH;
    for (int i = 0; i < net->params.n; i++) {
        void *data;
        int64_t n;
        const vlm_param *p = &net->params.p[i];
        if (!vlm_params_operand(&net->params, i, &data, &n)) continue;
        h = vlm_hash_fast(h, p->name, strlen(p->name));
        h = vlm_hash_fast(h, data, (size_t)vlm_params_operand_bytes(&net->params, i));
    }
    return h;
}
static json_t *hex(uint64_t h) {
    char text[20];
    snprintf(text, sizeof text, "%016" PRIx64, h);
    return json_string(text);
}

static vlm_status data_json(const vlm_corpus *c, json_t *list) {
    for (int i = 0; i < c->sets; i++) {
        uint64_t h;
        TRY(vlm_dataset_hash(c->set[i].data, &h));
        json_array_append_new(list, json_pack("{s:f,s:I,s:o}", "weight", c->set[i].weight, "samples", (json_int_t)c->set[i].count, "hash",
                                              hex(h)));
    }
    return VLM_OK;
}
static json_t *group_list(unsigned mask) {
    json_t *list = json_array();
    for (int g = 0; g < VLM_GROUPS; g++) if (mask & 1u << g) json_array_append_new(list, json_string(vlm_group_name(g)));
    return list;
}

vlm_status vlm_settings_make(vlm_trainer *t) {
    const vlm_train_options *o = t->o;
    json_t *s = json_object(), *data = json_array(), *val = json_array(), *lr = json_object();
    vlm_status status = VLM_OK;
    t->settings = s;
    if (!s || !data || !val || !lr) { status = vlm_fail_memory("the settings", 4096); goto done; }
    TRY_DONE(data_json(&t->data.corpus, data));
    TRY_DONE(data_json(&t->data.held_out, val));
    for (int g = 0; g < VLM_GROUPS; g++) if (t->trained & 1u << g) json_object_set_new(lr, vlm_group_name(g), json_real(o->lr[g]));
    json_object_set_new(s, "model", hex(vlm_net_hash(t->m->net)));
    json_object_set(s, "data", data);
    json_object_set(s, "val", val);
    json_object_set_new(s, "val-fraction", json_real(o->vals ? 0 : o->val_fraction));
    json_object_set_new(s, "seed", json_integer((json_int_t)o->seed));
    json_object_set_new(s, "shuffle", json_boolean(!o->no_shuffle));
    json_object_set_new(s, "steps", json_integer(o->steps));
    json_object_set_new(s, "epochs", json_real(o->steps ? 0 : o->epochs));
    json_object_set_new(s, "batch-tokens", json_integer(o->batch_tokens));
    json_object_set_new(s, "batch-patches", json_integer(o->batch_patches));
    json_object_set_new(s, "batch-samples", json_integer(o->batch_samples));
    json_object_set_new(s, "accumulate", json_integer(o->accumulate));
    json_object_set_new(s, "mean-per-microbatch", json_boolean(o->mean_per_microbatch));
    json_object_set(s, "lr", lr);
    json_object_set_new(s, "schedule", json_string(o->constant ? "constant" : "cosine"));
    json_object_set_new(s, "warmup", json_real(o->warmup));
    json_object_set_new(s, "weight-decay", json_real(o->weight_decay));
    json_object_set_new(s, "decay-all", json_boolean(o->decay_all));
    json_object_set_new(s, "max-grad-norm", json_real(o->max_grad_norm));
    json_object_set_new(s, "skip-above", json_real(o->skip_above));
    json_object_set_new(s, "freeze", group_list(o->frozen));
    const vlm_image_limits *l = &t->m->limits;         /* what these refuse is not trained on */
    const int64_t *r = o->dataset.rating_min;
    json_object_set_new(s, "limits", json_pack("{s:I,s:I,s:I,s:I}", "max-images", (json_int_t)o->dataset.max_images, "max-pixels",
                                               (json_int_t)l->max_pixels, "max-side", (json_int_t)l->max_side_px, "max-bytes",
                                               (json_int_t)l->max_bytes));
    json_object_set_new(s, "ratings", json_pack("[I,I,I,I]", (json_int_t)r[0], (json_int_t)r[1], (json_int_t)r[2], (json_int_t)r[3]));
    json_object_set_new(s, "shrink-images", json_boolean(o->shrink_images));
    json_object_set_new(s, "image", vlm_image_rule_json(&t->m->rule));
    json_object_set_new(s, "compat-resize", json_boolean(t->m->rule.compat));
    json_object_set_new(s, "fast-decode", json_boolean(t->m->rule.fast_decode));
    json_object_set_new(s, "context", json_integer(t->m->context));
    json_object_set_new(s, "template", json_string(vlm_chat_kind_name(t->m->chat)));
    json_object_set_new(s, "fork-maths", json_boolean(t->m->net->fork_maths));
    json_object_set_new(s, "isa", json_string(vlm_ops_kind(&t->m->net->ops)));         /* avx2 and avx512 give the same bits */
    /* a cache of f32 changes no bit */
    json_object_set_new(s, "cache-dtype", json_string(o->cache_features && o->cache_bf16 ? "bf16" : "f32"));
done:
    json_decref(data);
    json_decref(val);
    json_decref(lr);
    return status;
}

/* Numbers that are equal although one is written 0 and the other 0.0. */
static bool same(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}
vlm_status vlm_settings_compare(const json_t *before, const json_t *now, const char *where) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)now, key, v) {
        const json_t *old = json_object_get(before, key);
        if (same(old, v)) continue;
        char *a = old ? json_dumps(old, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : strdup("nothing");
        char *b = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        vlm_status status = vlm_fail(VLM_EARG, where, "was made with %s %.200s, this command has %.200s; give what it had, or "
                                     "--allow-change to go on differently", key, a ? a : "?", b ? b : "?");
        free(a);
        free(b);
        return status;
    }
    return VLM_OK;
}

/* ---- run.json ---- */

static json_t *path_json(const char *path) {
    json_t *s = json_string(path);
    return s ? s : json_string("(not UTF-8)");
}
static json_t *paths(const vlm_corpus *c) {
    json_t *list = json_array();
    for (int i = 0; i < c->sets; i++) json_array_append_new(list, path_json(vlm_dataset_path(c->set[i].data)));
    return list;
}
static void cpu_name(char *out, size_t room) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    snprintf(out, room, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, room, "%s", colon + 2);
        break;
    }
    if (f) fclose(f);
}
/* Of the program that runs; 0 where the system does not show it. */
static uint64_t code_hash(void) {
    uint64_t h = VLM_HASH;
    return vlm_hash_file("/proc/self/exe", &h) ? 0 : h;
}
vlm_status vlm_manifest_write(const vlm_trainer *t, const char *resumed) {
    char *path = vlm_join(t->run.path, "run.json"), when[32] = "", cpu[200];
    json_t *j = NULL, *starts = NULL, *start;
    time_t now = time(NULL);
    struct tm utc;
    vlm_status status = VLM_OK;
    if (!path) return vlm_fail_memory(t->run.path, 64);
    if (vlm_exists(path)) {
        TRY_DONE(vlm_json_read(path, &j));
        starts = json_incref(json_object_get(j, "starts"));
        json_decref(j);
        j = NULL;
        if (!json_is_array(starts)) {
            status = vlm_fail(VLM_EFORMAT, path, "is no run's: it has no array starts; move the file away, and go on");
            goto done;
        }
    } else starts = json_array();
    if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    cpu_name(cpu, sizeof cpu);
    start = json_pack("{s:s,s:s,s:s,s:s,s:i}", "at", when, "version", VLM_VERSION, "cpu", cpu, "isa",
                      vlm_isa_name(t->o->open.isa && !strcmp(t->o->open.isa, "ref") ? 0 : vlm_cpu_flags()), "threads", t->ctx->threads);
    if (start && t->o->open.isa) json_object_set_new(start, "isa", json_string(t->o->open.isa));
    if (start) json_object_set_new(start, "code", hex(code_hash()));
    if (start && resumed) json_object_set_new(start, "resumed", path_json(resumed));
    if (start && t->o->command) json_object_set_new(start, "command", path_json(t->o->command));
    json_array_append_new(starts, start);
    j = json_pack("{s:o,s:o,s:o,s:I,s:b,s:O,s:o,s:O}", "model", path_json(t->o->model), "data", paths(&t->data.corpus), "val",
                  paths(&t->data.held_out), "total_steps", (json_int_t)t->at.steps, "recompute", t->o->recompute, "settings", t->settings,
                  "trained", group_list(t->trained), "starts", starts);
    status = j ? vlm_json_write(path, j) : vlm_fail_memory(path, 4096);
done:
    json_decref(starts);
    json_decref(j);
    free(path);
    return status;
}

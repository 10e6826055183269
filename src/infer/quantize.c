#include "infer/quantize.h"
#include "base/file.h"
#include "base/log.h"
#include "infer/compare.h"
#include "infer/convert.h"
#include "infer/folder.h"
#include "model/packed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    vlm_model *m;
    const vlm_quantize_options *o;
    vlm_ctx *ctx;
    const char *vision, *language;     /* as the report says them */
    vlm_dtype blocks, language_blocks, table;  /* of the encoder's blocks, the decoder's, its embedding and head; F32: as they are */
} job;

/* ---- Which matrix becomes what (docs/quantization.md has the figures behind it) ---- */

static vlm_dtype dtype_of(void *user, const vlm_param *p) {
    const job *k = user;
    vlm_dtype t = VLM_F32;
    bool block = strstr(p->name, ".blocks.") != NULL;
    if (p->group == VLM_VISION && block) t = k->blocks;        /* the convolution of the patches stays, and so does the projector */
    if (p->group == VLM_LANGUAGE) t = block ? k->language_blocks : k->table;
    return t == VLM_F32 ? p->mat->dtype : t;
}
static vlm_status choose(job *k) {
    const vlm_quantize_options *o = k->o;
    const vlm_net *net = k->m->net;
    if (o->vision && !net->vision) return vlm_fail(VLM_EARG, "--vision", "asks for an encoder, but %s has none; leave it out", net->dir);
    if (o->language && !net->language)
        return vlm_fail(VLM_EARG, "--language", "asks for a language model, but %s has none; leave it out", net->dir);
    k->vision = !net->vision ? "none" : o->vision ? o->vision : "int8";
    k->language = !net->language ? "none" : o->language ? o->language : "int8";
    if (!strcmp(k->vision, "int8")) k->blocks = VLM_I8;
    else if (strcmp(k->vision, "none")) return vlm_fail(VLM_EARG, "--vision", "\"%s\" is not known; int8 and none are", k->vision);
    if (!strcmp(k->language, "int8")) k->language_blocks = k->table = VLM_G8;
    else if (!strcmp(k->language, "int4")) k->language_blocks = VLM_G4, k->table = VLM_G8;
    else if (strcmp(k->language, "none"))
        return vlm_fail(VLM_EARG, "--language", "\"%s\" is not known; int4, int8 and none are", k->language);
    if (!k->blocks && !k->table)
        return vlm_fail(VLM_EARG, net->dir, "would stay as it is; say what to quantize with --vision or --language, or use "
                        "vlm convert --packed");
    return VLM_OK;
}

static vlm_status values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    const job *k = user;
    return vlm_params_values(p, k->ctx, &k->m->net->ops, row, rows, out);
}
static vlm_status write_folder(job *k, const char *dir) {
    const vlm_net *net = k->m->net;
    vlm_dtype t = net->language ? net->lm.embed.dtype : net->vit.patch.dtype;
    vlm_packing from = { values, dtype_of, net->language ? net->lm.embed.dtype : VLM_F32, k };
    char *path = vlm_join(dir, "model.safetensors");
    vlm_status status = path ? vlm_write_beside(k->m, t == VLM_BF16 ? VLM_T_BF16 : t == VLM_F16 ? VLM_T_F16 : VLM_T_F32, dir)
                             : vlm_fail_memory(dir, 64);
    if (!status) status = vlm_packed_store(path, net, k->ctx, &from, NULL);
    if (!status) status = vlm_tokenizer_tables_write(dir);
    free(path);
    return status;
}

/* ---- The report ---- */

static double number(const json_t *j, const char *part, const char *key, const char *of) {
    const json_t *v = json_object_get(json_object_get(j, part), key);
    return json_number_value(of ? json_object_get(v, of) : v);
}
static void write_scores(FILE *f, const json_t *score) {
    const json_t *before = json_object_get(score, "before"), *after = json_object_get(score, "after"), *v;
    const char *name;
    if (!before) return;
    fprintf(f, "\n## Score\n\nOf the same %lld samples before and after, with 95 %% intervals (docs/evaluation.md).\n\n"
               "| measure | before | after |\n|---|---|---|\n", (long long)json_integer_value(json_object_get(before, "samples")));
    json_object_foreach(json_object_get((json_t *)(uintptr_t)before, "metrics"), name, v) {
        const json_t *w = json_object_get(json_object_get(after, "metrics"), name), *both[] = { v, w };
        fprintf(f, "| %s", name);
        for (int i = 0; i < 2; i++)
            fprintf(f, " | %.4f [%.4f, %.4f]", json_number_value(json_object_get(both[i], "mean")),
                    json_number_value(json_object_get(both[i], "low")), json_number_value(json_object_get(both[i], "high")));
        fprintf(f, " |\n");
    }
}
static void write_layers(FILE *f, const json_t *layers) {
    size_t i;
    const json_t *j;
    fprintf(f, "\n## Matrices\n\nEach with the inputs that it gets in the model as it was; cosine of all products and of the worst row, "
               "the largest error, and what products are like (rms).\n\n"
               "| matrix | type | shape | cosine | worst row | max error | rms |\n|---|---|---|---|---|---|---|\n");
    json_array_foreach((json_t *)(uintptr_t)layers, i, j) {
        fprintf(f, "| %s | %s | %lld x %lld", json_string_value(json_object_get(j, "name")), json_string_value(json_object_get(j, "type")),
                (long long)json_integer_value(json_object_get(j, "rows")), (long long)json_integer_value(json_object_get(j, "cols")));
        if (!json_object_get(j, "cosine")) fprintf(f, " | not met | | | |\n");
        else
            fprintf(f, " | %.6f | %.6f | %.3g | %.3g |\n", json_number_value(json_object_get(j, "cosine")),
                    json_number_value(json_object_get(j, "worst_cosine")), json_number_value(json_object_get(j, "max_error")),
                    json_number_value(json_object_get(j, "rms")));
    }
}
static void write_text(FILE *f, const json_t *r) {
    const json_t *speed = json_object_get(r, "speed"), *px = json_object_get(speed, "encode_px");
    const json_t *features = json_object_get(r, "features");
    fprintf(f, "# Quantization\n\n`%s`, vision %s, language %s, by vlm %s. The same figures are in quantization.json.\n\n"
               "| | before | after |\n|---|---|---|\n", json_string_value(json_object_get(r, "model")),
            json_string_value(json_object_get(r, "vision")), json_string_value(json_object_get(r, "language")), VLM_VERSION);
    fprintf(f, "| weights | %.1f MB | %.1f MB |\n", number(r, "size", "before_bytes", NULL) / 1e6,
            number(r, "size", "after_bytes", NULL) / 1e6);
    if (px)
        fprintf(f, "| encoding %lld x %lld | %.1f ms | %.1f ms |\n", (long long)json_integer_value(json_array_get(px, 0)),
                (long long)json_integer_value(json_array_get(px, 1)), number(r, "speed", "encode_ms", "before"),
                number(r, "speed", "encode_ms", "after"));
    if (json_object_get(speed, "decode_tokens"))
        fprintf(f, "| decoding | %.1f tokens/s | %.1f tokens/s |\n", number(r, "speed", "decode_tok_per_s", "before"),
                number(r, "speed", "decode_tok_per_s", "after"));
    fprintf(f, "\nMeasured one after the other in turn, medians, %.0f threads.\n\n", number(r, "speed", "threads", NULL));
    if (features) {
        fprintf(f, "Features of %.0f %spictures, %.0f patches after the final norm: cosine %.6f, worst patch %.6f",
                number(r, "features", "images", NULL), json_is_true(json_object_get(r, "made_up")) ? "made-up " : "",
                number(r, "features", "patches", NULL), number(r, "features", "cosine", NULL), number(r, "features", "worst_cosine", NULL));
        if (json_object_get(features, "prefix_cosine"))
            fprintf(f, "; CLS and registers %.6f", number(r, "features", "prefix_cosine", NULL));
        fprintf(f, ".\n");
    }
    if (json_object_get(r, "logits"))
        fprintf(f, "\nNext tokens at %.0f positions, on the same features: divergence (KL) %.3g nats, at most %.3g; the likeliest is the "
                   "same at %.1f %%.\n", number(r, "logits", "positions", NULL), number(r, "logits", "kl", NULL),
                number(r, "logits", "worst_kl", NULL), 100 * number(r, "logits", "same_choice", NULL));
    write_scores(f, json_object_get(r, "score"));
    write_layers(f, json_object_get(r, "layers"));
}
static vlm_status write_report(const char *dir, const json_t *report) {
    char *text = NULL, *path = vlm_join(dir, "quantization.md");
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    vlm_status status = path && f ? VLM_OK : vlm_fail_memory("the report", 1 << 12);
    if (f) {
        if (!status) write_text(f, report);
        if (fclose(f) && !status) status = vlm_fail_memory("the report", n);
    }
    if (!status) status = vlm_write(path, text, n);
    if (!status) status = vlm_folder_write(dir, "quantization.json", json_incref((json_t *)(uintptr_t)report));
    free(text);
    free(path);
    return status;
}

/* ---- All of it ---- */

/* What the new folder is like, which is not yet where it will be. */
static vlm_status judge(job *k, const char *dir, const vlm_model_options *open, json_t **report) {
    const vlm_quantize_options *o = k->o;
    vlm_model *q = NULL;
    json_t *r = NULL, *score = NULL, *all = NULL;
    char name[1024];
    vlm_status status = VLM_OK;
    vlm_copy_line(name, sizeof name, k->m->net->dir);
    TRY_DONE(vlm_model_open(dir, open, &q));
    TRY_DONE(vlm_compare(k->m, q, &(vlm_compare_options){ .image = o->image, .images = o->images, .threads = o->threads }, &r));
    all = json_pack("{s:s,s:s,s:s,s:s}", "model", name, "vlm_version", VLM_VERSION, "vision", k->vision, "language",
                    k->language);
    if (!all || json_object_set_new(all, "made_up", json_boolean(!o->images)) || json_object_update(all, r)) {
        status = vlm_fail_memory("the report", 1 << 12);
        goto done;
    }
    for (int i = 0; o->score && i < 2; i++) {
        TRY_DONE(o->score(o->user, i ? q : k->m, &score));
        if (!i) json_object_set_new(all, "score", json_object());
        if (json_object_set_new(json_object_get(all, "score"), i ? "after" : "before", score)) {
            status = vlm_fail_memory("the report", 1 << 12);
            goto done;
        }
    }
    *report = all;
    all = NULL;
done:
    json_decref(all);
    json_decref(r);
    vlm_model_close(q);
    return status;
}
vlm_status vlm_quantize(vlm_model *m, const vlm_model_options *open, const vlm_quantize_options *o, json_t **report) {
    job k = { .m = m, .o = o };
    vlm_dir_writer out = { 0 };
    json_t *r = NULL;
    vlm_status status = VLM_OK;
    if (!o->out) return vlm_fail(VLM_EARG, "-o", "is missing; name the folder to write");
    TRY(vlm_packed_refuse(m->net, "quantizing"));
    TRY(choose(&k));
    if (vlm_is_inside(m->net->dir, o->out)) return vlm_fail(VLM_EARG, o->out, "holds what is to be quantized; name another folder");
    k.ctx = vlm_ctx_open(o->threads ? o->threads : vlm_cores(), VLM_SCRATCH_BYTES);
    if (!k.ctx) return vlm_fail_memory("the threads", VLM_SCRATCH_BYTES);
    TRY_DONE(vlm_dir_writer_open(o->out, o->force, vlm_folder_is_model, &out));
    TRY_DONE(write_folder(&k, out.temp));
    TRY_DONE(judge(&k, out.temp, open, &r));
    TRY_DONE(write_report(out.temp, r));
    status = vlm_dir_writer_commit(&out);
    if (!status && report) *report = json_incref(r);
done:
    vlm_dir_writer_cancel(&out);
    vlm_ctx_close(k.ctx);
    json_decref(r);
    return status;
}

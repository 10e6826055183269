/* vlm trace: every stage of one forward pass as an array. */
#include "open.h"
#include "base/file.h"
#include "stage.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct tracer {
    vlm_args *a;
    vlm_model *m;
    vlm_session *s;
    vlm_pictures p;
    vlm_features *f;
    vlm_ids ids;
    const char *dir;           /* where the arrays go */
    json_t *stages;
    vlm_stage embed, hidden, logits;
} tracer;

static vlm_status write_image(tracer *t, int64_t k) {
    const vlm_seen *s = &t->f->image[k];
    const vlm_image_plan *p = &s->plan;
    const vlm_vit_config *c = &t->m->net->vit.cfg;
    bool tiles = t->m->rule.kind == VLM_RULE_TILES;
    int64_t prefix = vlm_vit_prefix(c), patches = p->n * p->patches.h * p->patches.w;
    const struct { const char *part; vlm_tensor_dtype dtype; int ndim; int64_t shape[4]; const void *data;
    } part[] = {
        { "u8", VLM_T_U8, 3, { p->H, p->W, 3 }, s->u8 },
        { "pixels",
          VLM_T_F32,
          4 - !tiles,
          { tiles ? p->n : 3, tiles ? 3 : p->tile_h, tiles ? p->tile_h : p->tile_w, p->tile_w },
          s->pixels },
        { "prefix", VLM_T_F32, 2, { p->n * prefix, c->D }, prefix ? s->prefix : NULL },
        { "patches", VLM_T_F32, 2, { patches, c->D }, s->patches },
        { "tokens", VLM_T_F32, 2, { p->image_tokens, t->m->net->language ? t->m->net->lm.cfg.D : 0 }, s->tokens },
    };
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "image.%lld.%s", (long long)k, part[i].part);
        if (part[i].data) TRY(vlm_stage_write(t->dir, name, part[i].dtype, part[i].ndim, part[i].shape, part[i].data, t->stages));
    }
    return VLM_OK;
}

static vlm_status stopped(void) { return vlm_fail(VLM_ESTOPPED, "", "stopped"); }
static vlm_status on_embed(void *user, int64_t row, int64_t rows, const float *x) {
    tracer *t = user;
    (void)row;
    return vlm_stopped() ? stopped() : vlm_stage_append(&t->embed, x, rows * t->m->net->lm.cfg.D);
}
static vlm_status on_hidden(void *user, int64_t row, int64_t rows, const float *x) {
    tracer *t = user;
    (void)row;
    return vlm_stopped() ? stopped() : vlm_stage_append(&t->hidden, x, rows * t->m->net->lm.cfg.D);
}
static vlm_status on_logits(void *user, int64_t row, int64_t rows, const float *x) {
    tracer *t = user;
    (void)row;
    return vlm_stopped() ? stopped() : vlm_stage_append(&t->logits, x, rows * t->m->net->lm.cfg.V);
}
static vlm_status write_text(tracer *t) {
    int64_t T = (int64_t)t->ids.n, D = t->m->net->lm.cfg.D, V = t->m->net->lm.cfg.V;
    vlm_observer o = { on_embed, on_hidden, on_logits, t };
    TRY(vlm_stage_write(t->dir, "ids", VLM_T_I64, 1, &T, t->ids.id, t->stages));
    TRY(vlm_stage_open(t->dir, "embed", VLM_T_F32, 2, (const int64_t[]){ T, D }, &t->embed));
    TRY(vlm_stage_open(t->dir, "hidden", VLM_T_F32, 2, (const int64_t[]){ T, D }, &t->hidden));
    TRY(vlm_stage_open(t->dir, "logits", VLM_T_F32, 2, (const int64_t[]){ T, V }, &t->logits));
    TRY(vlm_prefill_observed(t->s, t->ids.id, t->ids.n, t->f, &o));
    TRY(vlm_stage_close(&t->embed, t->stages));
    TRY(vlm_stage_close(&t->hidden, t->stages));
    return vlm_stage_close(&t->logits, t->stages);
}

static vlm_status read_ids(const char *path, vlm_ids *out) {
    vlm_npy npy;
    vlm_status status = VLM_OK;
    TRY(vlm_npy_open(path, &npy));
    bool whole = npy.t.dtype == VLM_T_I64 || npy.t.dtype == VLM_T_I32;
    if (!whole || npy.t.ndim != 1 || !npy.t.shape[0])
        status = vlm_fail(VLM_EFORMAT, path, "is not a list of ids; give int64 or int32 of shape (T)");
    for (int64_t i = 0; !status && i < npy.t.shape[0]; i++) status = vlm_ids_push(out, vlm_npy_int(&npy, i));
    vlm_npy_close(&npy);
    return status;
}
static vlm_status make_ids(tracer *t) {
    const vlm_args *a = t->a;
    if (a->ids) return read_ids(a->ids, &t->ids);
    if (!a->prompt) return VLM_OK;
    if (t->m->net->vision) return vlm_turn_ids(t->m, NULL, t->f, a->prompt, &t->ids);
    size_t n;
    int64_t *ids;
    TRY(vlm_tokenize(t->m, a->prompt, strlen(a->prompt), VLM_TEXT_SPECIALS | VLM_TEXT_BOS, &ids, &n));
    vlm_status status = VLM_OK;
    for (size_t i = 0; !status && i < n; i++) status = vlm_ids_push(&t->ids, ids[i]);
    vlm_free(ids);
    return status;
}

/* Where in the ids image k's first row stands: each image token takes one row, image by image. */
static int64_t first_row(const tracer *t, int64_t k) {
    int64_t skip = 0;
    for (int64_t i = 0; i < k; i++) skip += t->f->image[i].plan.image_tokens;
    for (size_t i = 0; i < t->ids.n; i++)
        if (t->ids.id[i] == t->m->image_token && skip-- == 0) return (int64_t)i;
    return -1;
}
static vlm_status write_json(const tracer *t) {
    json_t *images = vlm_pictures_json(t->m, &t->p), *j;
    for (int64_t k = 0; t->f && k < t->f->n; k++) {
        json_t *image = json_array_get(images, (size_t)k);
        const vlm_image_plan *p = &t->f->image[k].plan;
        json_object_set_new(image, "patches", json_pack("[I,I]", (json_int_t)p->patches.h, (json_int_t)p->patches.w));
        if (t->ids.n) json_object_set_new(image, "row", json_integer(first_row(t, k)));
    }
    j = json_pack("{s:O,s:o}", "stages", t->stages, "images", images);
    char *path = vlm_join(t->dir, "trace.json");
    vlm_status status = path && j ? vlm_json_write(path, j) : vlm_fail_memory("trace.json", 0);
    free(path);
    json_decref(j);
    return status;
}

static vlm_status check(const vlm_args *a, const vlm_model *m) {
    const vlm_net *n = m->net;
    if (a->image.n) TRY(vlm_need_vision(a, m));
    if ((a->prompt || a->ids) && !n->language) return vlm_fail(VLM_EARG, a->arg[0], "has no language model; leave --prompt and --ids out");
    if (!n->language && !a->image.n) return vlm_usage("--image", "is missing; give images with -i");
    if (!n->vision && !a->prompt && !a->ids) return vlm_usage("--prompt", "is missing; give --prompt S or --ids F.npy");
    if (!a->image.n && !a->prompt && !a->ids) return vlm_usage("--prompt", "is missing; give --prompt S, --ids F.npy or images with -i");
    return VLM_OK;
}
static vlm_status run(tracer *t) {
    const vlm_args *a = t->a;
    TRY(vlm_open_model(a, &t->m));
    TRY(check(a, t->m));
    TRY(vlm_open_session(a, t->m, &t->s));
    for (int i = 0; i < a->image.n; i++) TRY(vlm_pictures_add(&t->p, t->m, a->image.v[i], a->max_images));
    if (t->p.n) TRY(vlm_encode_keeping(t->s, (const vlm_image *const *)t->p.image, t->p.n, VLM_KEEP_PIXELS | VLM_KEEP_PATCHES, &t->f));
    TRY(make_ids(t));
    for (int64_t k = 0; k < t->p.n; k++) TRY(write_image(t, k));
    if (t->ids.n) TRY(write_text(t));
    return write_json(t);
}
static void print_stages(const json_t *stages) {
    vlm_table table = { 0 };
    const json_t *v;
    size_t i;
    vlm_table_row(&table, "stage\t>shape\t>min\t>max\t>mean\t>rms");
    json_array_foreach(stages, i, v) {
        int64_t shape[VLM_TENSOR_DIMS];
        char text[VLM_SHAPE_CHARS];
        const json_t *s = json_object_get(v, "shape");
        for (size_t d = 0; d < json_array_size(s); d++) shape[d] = json_integer_value(json_array_get(s, d));
        vlm_table_row(&table, "%s\t%s\t%.4g\t%.4g\t%.4g\t%.4g", json_string_value(json_object_get(v, "name")),
                      vlm_shape_string((int)json_array_size(s), shape, text), json_number_value(json_object_get(v, "min")),
                      json_number_value(json_object_get(v, "max")), json_number_value(json_object_get(v, "mean")),
                      json_number_value(json_object_get(v, "rms")));
    }
    vlm_table_print(&table, stdout);
}

static vlm_status is_trace(const char *dir) { return vlm_dir_holds(dir, "trace.json"); }
vlm_status vlm_cmd_trace(vlm_args *a) {
    tracer t = { .a = a, .stages = json_array() };
    vlm_dir_writer d = { 0 };
    char scratch[1024];
    const char *tmp = getenv("TMPDIR");
    vlm_status status;
    TRY_DONE(vlm_check_stdin(a));
    if (a->prompt && a->ids) { status = vlm_usage("--ids", "and --prompt are two texts; give one"); goto done; }
    if (!a->output && !a->against) {
        status = vlm_usage("--output", "is missing; say with -o where the stages go, or --against what to compare with");
        goto done;
    }
    if (a->against && !vlm_is_dir(a->against)) {
        status = vlm_fail(VLM_EIO, a->against, "is not a folder; name one that vlm trace wrote");
        goto done;
    }
    snprintf(scratch, sizeof scratch, "%s/vlm-trace-%ld", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    vlm_hold();                        /* the folder that is being made must not stay behind */
    status = vlm_dir_writer_open(a->output ? a->output : scratch, a->force && a->output, is_trace, &d);
    t.dir = d.temp;
    if (!status) status = run(&t);
    if (!status && vlm_stopped()) status = stopped();
    if (!status && a->against) {
        status = vlm_stages_compare(d.temp, a->against, a->tolerance, a);
        if (a->output && status != VLM_ESTOPPED && vlm_is_dir(d.temp)) {        /* what differs can be looked at */
            char where[1024], message[2048];
            snprintf(where, sizeof where, "%s", vlm_error_where());
            snprintf(message, sizeof message, "%s", vlm_error_message());
            vlm_status kept = vlm_dir_writer_commit(&d);
            if (status) vlm_fail(status, where, "%s", message);
            else status = kept;
        }
    } else if (!status) status = vlm_dir_writer_commit(&d);
    vlm_stage_cancel(&t.embed);
    vlm_stage_cancel(&t.hidden);
    vlm_stage_cancel(&t.logits);
    vlm_dir_writer_cancel(&d);
    vlm_release();
    if (!status && !a->against) {
        if (a->json) status = vlm_json_out(json_pack("{s:o,s:O}", "path", vlm_json_text(a->output), "stages", t.stages));
        else print_stages(t.stages);
    }
done:
    vlm_ids_free(&t.ids);
    vlm_features_free(t.f);
    vlm_pictures_free(&t.p);
    vlm_session_close(t.s);
    vlm_model_close(t.m);
    json_decref(t.stages);
    return status;
}

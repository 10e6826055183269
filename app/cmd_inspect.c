/* vlm inspect: what a folder is; with --tensors what its numbers are. */
#include "open.h"
#include "base/log.h"
#include "data/rule.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>


/* ---- parameters by group ---------------------------------------------------------------------------------------- */
typedef struct count { int64_t n; size_t bytes; int dtypes; } count;       /* dtypes: a bit for each */
static void count_groups(const vlm_net *net, count c[VLM_GROUPS + 1]) {
    memset(c, 0, (VLM_GROUPS + 1) * sizeof *c);
    for (int i = 0; i < net->params.n; i++) {
        const vlm_param *p = &net->params.p[i];
        if (p->tied) continue;
        if (net->packed && p->mat)
            for (int g = 0; g < 2; g++) {
                count *to = &c[g ? VLM_GROUPS : p->group];
                to->n += vlm_param_len(p);
                if (p->panels) to->bytes += p->panels->bytes, to->dtypes |= 1 << (VLM_T_COUNT + p->mat->dtype);
            }
        for (int k = 0; k < p->parts; k++) {
            if (!p->part[k]) continue;         /* the K third of a bias that the model does not have */
            int64_t n = vlm_param_len(p) / p->parts;
            for (int g = 0; g < 2; g++) {
                count *to = &c[g ? VLM_GROUPS : p->group];
                to->n += n;
                to->bytes += (size_t)n * vlm_tensor_dtype_bytes(p->part[k]->dtype);
                to->dtypes |= 1 << p->part[k]->dtype;
            }
        }
    }
}
static const char *upper(vlm_dtype t, char buf[8]) {
    const char *name = vlm_dtype_name(t);
    size_t n = strlen(name);
    for (size_t i = 0; i <= n; i++) buf[i] = (char)toupper((unsigned char)name[i]);
    return buf;
}
static const char *dtypes_text(int dtypes, char buf[64]) {
    char one[8];
    buf[0] = 0;
    if (dtypes & 1 << (VLM_T_COUNT + VLM_F32)) dtypes &= ~(1 << VLM_T_F32);    /* vectors are too */
    for (int t = 0; t <= VLM_T_COUNT + VLM_G4; t++)
        if (dtypes & 1 << t)
            snprintf(buf + strlen(buf), 64 - strlen(buf), "%s%s", *buf ? "+" : "",
                     t < VLM_T_COUNT ? vlm_tensor_dtype_name((vlm_tensor_dtype)t) : upper((vlm_dtype)(t - VLM_T_COUNT), one));
    return buf;
}

/* ---- the image rule, tokens ------------------------------------------------------------------------------------- */
static const char *normalisation(const vlm_image_rule *r) {
    static const char *const names[] = { "none", "imagenet", "siglip", "sat" };
    for (int i = 0; i < 4; i++) {
        vlm_image_rule known = { 0 };
        if (!vlm_image_normalise(names[i], &known) && !memcmp(known.mean, r->mean, sizeof r->mean) &&
            !memcmp(known.std, r->std, sizeof r->std))
            return names[i];
    }
    return "own";
}
static json_t *rule_json(const vlm_image_rule *r) {
    json_t *j = vlm_image_rule_json(r), *more = json_pack("{s:I,s:I,s:s}", "patch", (json_int_t)r->patch, "shuffle", (json_int_t)r->shuffle,
                                                          "normalise", normalisation(r));
    json_object_update(j, more);
    json_decref(more);
    return j;
}
static void print_rule(const vlm_image_rule *r) {
    if (r->kind == VLM_RULE_FIXED) printf("images     %lld x %lld", (long long)r->block, (long long)r->block);
    else if (r->kind == VLM_RULE_TILES)
        printf("images     tiles of %lld x %lld%s, long side %s %lld", (long long)r->block, (long long)r->block,
               r->global_tile ? " and a global tile" : "", r->fill_max ? "always" : "at most", (long long)r->max_size);
    else
        printf("images     own rectangle, multiples of %lld, long side at most %lld%s", (long long)r->block, (long long)r->max_size,
               r->no_upscale ? ", never enlarged" : "");
    if (r->max_tokens) printf(", at most %lld tokens", (long long)r->max_tokens);
    printf("; %s; normalised: %s; a token is %lld x %lld pixels\n", r->filter == VLM_BICUBIC ? "bicubic" : "bilinear", normalisation(r),
           (long long)(r->patch * r->shuffle), (long long)(r->patch * r->shuffle));
}
static json_t *tokens_json(const vlm_model *m) {
    json_t *j = json_object(), *special = json_array();
    const struct { const char *name; int64_t id; } named[] = { { "bos", vlm_tokenizer_bos(m->tok) }, { "eos", vlm_tokenizer_eos(m->tok) },
        { "pad", vlm_tokenizer_pad(m->tok) }, { "image", m->image_token }, { "global_image", m->global_token } };
    for (int i = 0; i < 5; i++)
        if (named[i].id >= 0) json_object_set_new(j, named[i].name, json_integer(named[i].id));
    json_object_set_new(j, "stop", vlm_json_ints(m->stop.id, m->stop.n));
    json_object_set_new(j, "size", json_integer(vlm_tokenizer_size(m->tok)));
    for (int64_t id = 0; id < vlm_tokenizer_size(m->tok); id++)
        if (vlm_token_special(m->tok, id))
            json_array_append_new(special,
                                  json_pack("{s:I,s:o}", "id", (json_int_t)id, "text", vlm_json_text(vlm_token_text(m->tok, id, NULL))));
    json_object_set_new(j, "special", special);
    return j;
}
static void print_tokens(const vlm_model *m) {
    const struct { const char *name; int64_t id; } named[] = { { "bos", vlm_tokenizer_bos(m->tok) }, { "eos", vlm_tokenizer_eos(m->tok) },
        { "pad", vlm_tokenizer_pad(m->tok) }, { "image", m->image_token }, { "global", m->global_token } };
    int64_t specials = 0;
    for (int64_t id = 0; id < vlm_tokenizer_size(m->tok); id++) specials += vlm_token_special(m->tok, id);
    printf("tokens     %lld ids, %lld special", (long long)vlm_tokenizer_size(m->tok), (long long)specials);
    for (int i = 0; i < 5; i++)
        if (named[i].id >= 0)
            printf(", %s %lld %s", named[i].name, (long long)named[i].id,
                   vlm_token_text(m->tok, named[i].id, NULL) ? vlm_token_text(m->tok, named[i].id, NULL) : "");
    for (size_t i = 0; i < m->stop.n; i++) printf("%s%lld", i ? " " : ", an answer ends at ", (long long)m->stop.id[i]);
    putchar('\n');
}

/* ---- the engines -------------------------------------------------------------------------------------------------- */
static const char *activation(vlm_activation a) { return a == VLM_GELU_ERF ? "gelu" : a == VLM_GELU_TANH ? "gelu_tanh" : "silu"; }
static json_t *vision_json(const vlm_net *n) {
    const vlm_vit_config *c = &n->vit.cfg;
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:s,s:b}", "family", n->vision->name, "width", (json_int_t)c->D, "layers",
                     (json_int_t)c->L, "heads", (json_int_t)c->H, "ffn", (json_int_t)c->F, "patch", (json_int_t)c->P, "cls", c->cls,
                     "registers", (json_int_t)c->R, "activation", activation(c->act), "gated", c->gated);
}
static json_t *language_json(const vlm_net *n) {
    const vlm_lm_config *c = &n->lm.cfg;
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:b,s:I,s:I}", "family", n->language->name, "width", (json_int_t)c->D, "layers",
                     (json_int_t)c->L, "heads", (json_int_t)c->H, "kv_heads", (json_int_t)c->G, "head", (json_int_t)c->Dh, "ffn",
                     (json_int_t)c->F, "vocabulary", (json_int_t)c->V, "activation", activation(c->act), "tied", c->tied, "window",
                     (json_int_t)c->window, "positions", (json_int_t)c->context);
}
static void print_engines(const vlm_net *n) {
    if (n->vision) {
        const vlm_vit_config *c = &n->vit.cfg;
        printf("vision     %s: width %lld, %lld layers, %lld heads of %lld, ffn %lld (%s%s), patch %lld, %s%lld registers\n",
               n->vision->name, (long long)c->D, (long long)c->L, (long long)c->H, (long long)(c->D / c->H), (long long)c->F,
               activation(c->act), c->gated ? ", gated" : "", (long long)c->P, c->cls ? "CLS, " : "", (long long)c->R);
    }
    if (n->language && n->vision)
        printf("projector  %lld x %lld patches to a token, %lld to %lld\n", (long long)n->shuffle, (long long)n->shuffle,
               (long long)(n->vit.cfg.D * n->shuffle * n->shuffle), (long long)n->lm.cfg.D);
    if (n->language) {
        const vlm_lm_config *c = &n->lm.cfg;
        printf("language   %s: width %lld, %lld layers, %lld heads on %lld of %lld, ffn %lld (%s), vocabulary %lld%s", n->language->name,
               (long long)c->D, (long long)c->L, (long long)c->H, (long long)c->G, (long long)c->Dh, (long long)c->F, activation(c->act),
               (long long)c->V, c->tied ? " (tied)" : "");
        if (c->window) printf(", window %lld", (long long)c->window);
        putchar('\n');
    }
}
static const char *kind(const vlm_net *n) {
    if (n->ours) return "whole VLM (ours)";
    if (n->nanovlm) return "whole VLM (nanoVLM)";
    return n->vision ? "vision encoder (Hugging Face)" : "language model (Hugging Face)";
}

/* ---- tensors -------------------------------------------------------------------------------------------------------- */
typedef struct stats { double min, max, rms; int64_t nan, inf; bool numbers; } stats;
/* p: the first parameter of the operand that t packs, or NULL. */
static const vlm_param *packed_in(const vlm_net *net, const vlm_tensor *t) {
    for (int i = 0; i < net->params.n; i++) if (net->params.p[i].panels == t) return &net->params.p[i];
    return NULL;
}
static vlm_status values(const vlm_net *net, const vlm_param *p, const vlm_tensor *t, int64_t at, int64_t n, float *x) {
    if (!p) return vlm_tensor_to_float(t, at, n, x);
    vlm_mat m = *p->mat;
    vlm_param all = { .ndim = 2, .shape = { m.rows, m.cols }, .mat = &m };     /* what is fused included */
    m.data = (void *)(uintptr_t)t->data;
    return vlm_params_values(&all, NULL, &net->ops, at / m.cols, n / m.cols, x);
}
static vlm_status measure(const vlm_net *net, const vlm_tensor *t, stats *out) {
    const vlm_param *p = packed_in(net, t);
    stats s = { .min = INFINITY,
                .max = -INFINITY,
                .numbers = p || t->dtype == VLM_T_F64 || t->dtype == VLM_T_F32 || t->dtype == VLM_T_F16 || t->dtype == VLM_T_BF16 };
    int64_t len = p ? p->mat->rows * p->mat->cols : vlm_tensor_len(t), chunk = p ? VLM_PANEL * p->mat->cols : 1 << 16;
    double sum = 0;
    float *x = s.numbers ? malloc((size_t)chunk * sizeof *x) : NULL;
    if (s.numbers && !x) return vlm_fail_memory(t->name, (size_t)chunk * sizeof *x);
    for (int64_t i = 0; s.numbers && i < len; i += chunk) {
        int64_t n = len - i < chunk ? len - i : chunk;
        vlm_status status = values(net, p, t, i, n, x);
        if (status) { free(x); return status; }
        for (int64_t k = 0; k < n; k++) {
            double v = (double)x[k];
            if (isnan(v)) { s.nan++; continue; }
            if (isinf(v)) { s.inf++; continue; }
            if (v < s.min) s.min = v;
            if (v > s.max) s.max = v;
            sum += v * v;
        }
    }
    int64_t finite = len - s.nan - s.inf;
    s.rms = finite ? sqrt(sum / (double)finite) : 0;
    if (!finite) s.min = s.max = 0;
    free(x);
    vlm_weights_forget(net->weights, t);
    *out = s;
    return VLM_OK;
}
static const char *group_of(const vlm_net *net, const vlm_tensor *t) {
    for (int i = 0; i < net->params.n; i++) {
        if (net->params.p[i].panels == t) return vlm_group_name(net->params.p[i].group);
        for (int k = 0; k < net->params.p[i].parts; k++)
            if (net->params.p[i].part[k] == t) return vlm_group_name(net->params.p[i].group);
    }
    return "unused";
}
static vlm_status tensors(const vlm_args *a, const vlm_net *net, json_t *list) {
    vlm_table table = { 0 };
    int64_t n = vlm_weights_count(net->weights), bad = 0;
    vlm_status status = VLM_OK;
    vlm_table_row(&table, "tensor\tdtype\t>shape\tgroup\t>min\t>max\t>rms\t>NaN\t>inf");
    for (int64_t i = 0; i < n && !status; i++) {
        const vlm_tensor *t = vlm_weights_at(net->weights, i);
        const vlm_param *p = packed_in(net, t);
        const int64_t packed[2] = { p ? p->mat->rows : 0, p ? p->mat->cols : 0 }, *dims = p ? packed : t->shape;
        char packed_type[8];
        const char *dtype = p ? upper(p->mat->dtype, packed_type) : vlm_tensor_dtype_name(t->dtype);
        int ndim = p ? 2 : t->ndim;
        char shape[VLM_SHAPE_CHARS];
        stats s = { 0 };
        if ((status = measure(net, t, &s))) break;
        vlm_shape_string(ndim, dims, shape);
        bad += s.nan + s.inf;
        if (list) {
            json_t *j = json_pack("{s:o,s:s,s:o,s:s}", "name", vlm_json_text(t->name), "dtype", dtype, "shape",
                                  vlm_json_ints(dims, (size_t)ndim), "group", group_of(net, t));
            if (s.numbers) {
                json_t *m = json_pack("{s:f,s:f,s:f,s:I,s:I}", "min", s.min, "max", s.max, "rms", s.rms, "nan", (json_int_t)s.nan, "inf",
                                      (json_int_t)s.inf);
                json_object_update(j, m);
                json_decref(m);
            }
            json_array_append_new(list, j);
        } else if (s.numbers)
            vlm_table_row(&table, "%s\t%s\t%s\t%s\t%.4g\t%.4g\t%.4g\t%lld\t%lld", t->name, dtype, shape,
                          group_of(net, t), s.min, s.max, s.rms, (long long)s.nan, (long long)s.inf);
        else vlm_table_row(&table, "%s\t%s\t%s\t%s\t-\t-\t-\t-\t-", t->name, dtype, shape, group_of(net, t));
        status = vlm_progress("tensors", i + 1, n);
    }
    if (!status && !list) { putchar('\n'); vlm_table_print(&table, stdout); }
    if (!status && bad)
        vlm_note("vlm: warning: %s: %lld values are NaN or infinite; commands that compute with them refuse the folder", a->arg[0],
                 (long long)bad);
    vlm_table_free(&table);
    return status;
}

vlm_status vlm_cmd_inspect(vlm_args *a) {
    vlm_model_options o = vlm_options_of(a);
    vlm_model *m;
    count c[VLM_GROUPS + 1];
    char text[64], bytes[32];
    vlm_status status;
    TRY(vlm_model_open_as(a->arg[0], &o, VLM_OPEN_STRUCTURE, &m));
    const vlm_net *net = m->net;
    count_groups(net, c);
    if (a->json) {
        json_t *j = json_pack("{s:o,s:s,s:{}}", "path", vlm_json_text(a->arg[0]), "kind", kind(net), "parameters"),
               *groups = json_object_get(j, "parameters"), *list = NULL;
        for (int g = 0; g <= VLM_GROUPS; g++)
            if (c[g].n)
                json_object_set_new(groups, g < VLM_GROUPS ? vlm_group_name(g) : "all",
                                    json_pack("{s:I,s:I,s:s}", "count", (json_int_t)c[g].n, "bytes", (json_int_t)c[g].bytes, "dtype",
                                              dtypes_text(c[g].dtypes, text)));
        if (net->packed) json_object_set_new(j, "packed", json_true());
        if (net->vision) json_object_set_new(j, "vision", vision_json(net));
        if (net->language) json_object_set_new(j, "language", language_json(net));
        if (net->language && net->vision) json_object_set_new(j, "projector", json_pack("{s:I}", "shuffle", (json_int_t)net->shuffle));
        if (net->vision) json_object_set_new(j, "image_rule", rule_json(&m->rule));
        if (m->tok) json_object_set_new(j, "tokens", tokens_json(m));
        if (net->language) json_object_set_new(j, "context", json_integer(m->context));
        if (m->tok) json_object_set_new(j, "template", json_string(vlm_chat_kind_name(m->chat)));
        if (a->tensors) json_object_set_new(j, "tensors", list = json_array());
        status = a->tensors ? tensors(a, net, list) : VLM_OK;
        if (status) json_decref(j);
        else status = vlm_json_out(j);
    } else {
        printf("model      %s: %s%s\n", a->arg[0], kind(net), net->packed ? ", packed" : "");
        print_engines(net);
        for (int g = 0, n = 0; g <= VLM_GROUPS; g++)
            if (c[g].n)
                printf("%s%-9s  %lld parameters, %s, %s\n", n++ ? "           " : "weights    ", g < VLM_GROUPS ? vlm_group_name(g) : "all",
                       (long long)c[g].n, dtypes_text(c[g].dtypes, text), vlm_bytes_text((double)c[g].bytes, bytes));
        if (net->vision) print_rule(&m->rule);
        if (m->tok) print_tokens(m);
        if (net->language)
            printf("context    %lld positions, chat template: %s\n", (long long)m->context, m->tok ? vlm_chat_kind_name(m->chat) : "none");
        status = a->tensors ? tensors(a, net, NULL) : VLM_OK;
    }
    vlm_model_close(m);
    return status;
}

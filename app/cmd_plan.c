/* vlm plan: what images will cost, everything from headers; with --data what training on a data set will (plan_data.c). */
#include "plan_time.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

typedef struct row {
    vlm_image_info info;
    vlm_image_plan plan;
    double gflop, seconds;             /* seconds: with --time, to encode it */
    int64_t reduce;            /* of its decoding */
    size_t bytes;
} row;
typedef struct totals { int64_t images, bad, tokens, most; double gflop; vlm_seen *seen; vlm_seconds encode; } totals;
static vlm_status add(totals *sum, const row *r) {
    vlm_seen *seen = realloc(sum->seen, (size_t)(sum->images + 1) * sizeof *seen);
    if (!seen) return vlm_fail_memory("the plan", sizeof *seen);
    sum->seen = seen;
    seen[sum->images++] = (vlm_seen){ .plan = r->plan };
    sum->tokens += r->plan.image_tokens;
    if (sum->most < r->plan.image_tokens) sum->most = r->plan.image_tokens;
    sum->gflop += r->gflop;
    return VLM_OK;
}

static vlm_status probe_stdin(const vlm_image_limits *limits, vlm_image_info *out) {
    unsigned char *data;
    size_t n;
    vlm_status status = vlm_read("-", (size_t)limits->max_bytes, &data, &n);
    if (status == VLM_ELIMIT) return vlm_fail(status, "standard input", "%s, or raise --max-bytes", vlm_error_message());
    TRY(status);
    status = vlm_image_probe(data, n, "standard input", limits, out);
    free(data);
    return status;
}
static vlm_status plan_image(const vlm_model *m, const char *path, row *r) {
    bool in = !strcmp(path, "-");
    const char *where = in ? "standard input" : path;
    TRY(in ? probe_stdin(&m->limits, &r->info) : vlm_image_probe_file(path, &m->limits, &r->info));
    TRY(vlm_image_check(&r->info, where, &m->limits));
    TRY(vlm_image_plan_make(&m->rule, r->info.w, r->info.h, where, &r->plan));
    r->reduce = vlm_image_reduction(&m->rule, &r->info);
    r->gflop = vlm_vit_flop(&m->net->vit.cfg, r->plan.patches) * (double)r->plan.n / 1e9;
    if (m->net->language) r->gflop += vlm_lm_flop(&m->net->lm.cfg, r->plan.image_tokens, 0) / 1e9;
    return vlm_encode_bytes(m, &(vlm_seen){ .plan = r->plan }, 1, VLM_KEEP_PATCHES, &r->bytes);
}
static json_t *row_json(const vlm_model *m, const char *path, const row *r) {
    json_t *j = json_pack("{s:o,s:I,s:I,s:s,s:i}", "path", vlm_json_text(path), "width", (json_int_t)r->info.w, "height",
                          (json_int_t)r->info.h, "format", r->info.format, "exif", r->info.orientation),
           *rest = vlm_plan_json(m, &r->plan);
    json_object_update(j, rest);
    json_decref(rest);
    if (m->rule.fast_decode)
        json_object_set_new(j, "decoded", json_pack("[I,I]", (json_int_t)((r->info.h + r->reduce - 1) / r->reduce),
                                                    (json_int_t)((r->info.w + r->reduce - 1) / r->reduce)));
    json_object_set_new(j, "patches", json_pack("[I,I]", (json_int_t)r->plan.patches.h, (json_int_t)r->plan.patches.w));
    json_object_set_new(j, "stretch", json_real(r->plan.stretch));
    json_object_set_new(j, "gflop", json_real(r->gflop));
    json_object_set_new(j, "memory_bytes", json_integer((json_int_t)r->bytes));
    if (r->seconds > 0) json_object_set_new(j, "encode_ms", json_real(r->seconds * 1e3));
    return j;
}
static const char *gflop_text(double gflop, char out[32]) {
    snprintf(out, 32, gflop >= 1000 ? "%.0f" : "%.4g", gflop);
    return out;
}
static void print_row(vlm_table *t, const vlm_model *m, const char *path, const row *r) {
    char bytes[32], gflop[32], grid[64], decoded[64] = "";
    const vlm_image_plan *p = &r->plan;
    if (m->rule.kind == VLM_RULE_TILES)
        snprintf(grid, sizeof grid, "%lldx%lld tiles, %lld", (long long)p->rows, (long long)p->cols, (long long)p->n);
    else snprintf(grid, sizeof grid, "%lldx%lld", (long long)p->tokens.h, (long long)p->tokens.w);
    if (m->rule.fast_decode)
        snprintf(decoded, sizeof decoded, "\t%lldx%lld", (long long)((r->info.w + r->reduce - 1) / r->reduce),
                 (long long)((r->info.h + r->reduce - 1) / r->reduce));
    vlm_table_row(t, "%s\t%lldx%lld\t%d%s\t%lldx%lld\t%lldx%lld\t%s\t%lld\t%+.1f%%\t%s\t%s", path, (long long)r->info.w,
                  (long long)r->info.h, r->info.orientation, decoded, (long long)p->W, (long long)p->H, (long long)p->patches.h,
                  (long long)p->patches.w, grid, (long long)p->image_tokens, (p->stretch - 1) * 100, gflop_text(r->gflop, gflop),
                  vlm_bytes_text((double)r->bytes, bytes));
}

static vlm_status finish(vlm_args *a, const vlm_model *m, vlm_table *t, json_t *images, const totals *sum, const vlm_limits *limits) {
    char text[32];
    bool vlm = m->net->language && m->net->vision, many = vlm && sum->images > a->max_images;
    bool full = m->net->language && sum->tokens + a->text_tokens >= m->context;
    int64_t positions = (sum->tokens + a->text_tokens + a->max_tokens + 255) / 256 * 256;
    vlm_stage stages[VLM_STAGES] = { { 0 } };
    size_t weights = vlm_net_bytes(m->net), session = 0;
    vlm_dtype kv_type;
    TRY(vlm_kv_type(a->kv, &kv_type));
    if (a->time) vlm_stages(a, m, sum->images, sum->tokens, sum->encode, kv_type, limits, stages);
    if (m->net->language) session = vlm_session_bytes(m, positions < m->context ? positions : m->context, kv_type);
    size_t images_bytes = 0;
    if (sum->images) TRY(vlm_encode_bytes(m, sum->seen, sum->images, VLM_KEEP_PATCHES, &images_bytes));
    size_t all = weights + session + images_bytes;
    if (a->json) {
        json_t *broken = json_array();
        if (full) json_array_append_new(broken, json_string("context"));
        if (sum->bad) json_array_append_new(broken, json_string("images"));
        if (many) json_array_append_new(broken, json_string("max-images"));
        json_t *j = json_pack("{s:o,s:{s:I,s:I,s:f},s:{s:I,s:I,s:I,s:I},s:I,s:o}", "images", images, "totals", "images",
                              (json_int_t)sum->images, "tokens", (json_int_t)sum->tokens, "gflop", sum->gflop, "memory",
                              "weights_bytes", (json_int_t)weights, "images_bytes", (json_int_t)images_bytes, "session_bytes",
                              (json_int_t)session, "total_bytes", (json_int_t)all, "context", (json_int_t)m->context, "broken_limits",
                              broken);
        if (a->time) json_object_set_new(j, "time", vlm_stages_json(a, limits, stages));
        TRY(vlm_json_out(j));
    } else {
        json_decref(images);
        if (sum->images) {
            vlm_table_print(t, stdout);
            printf("\ntotal    %lld image%s, %lld tokens, %s GFLOP\n", (long long)sum->images, sum->images == 1 ? "" : "s",
                   (long long)sum->tokens, gflop_text(sum->gflop, text));
        }
        const struct { const char *name; size_t bytes; } part[] = { { "weights", weights }, { "images", images_bytes },
                                                                    { "session", session } };
        printf("memory   ");
        for (int i = 0; i < 3; i++)
            if (part[i].bytes) printf("%s%s %s", i ? " + " : "", vlm_bytes_text((double)part[i].bytes, text), part[i].name);
        if (all > weights) printf(" = %s", vlm_bytes_text((double)all, text));
        putchar('\n');
        if (vlm) printf("context  %lld of %lld positions in images\n", (long long)sum->tokens, (long long)m->context);
        if (a->time) vlm_stages_print(a, limits, stages);
    }
    /* One sample could not hold them all: said, but nothing has failed, for they may be planned for many samples. */
    if (many) vlm_note("vlm: %lld images are over the limit of %lld in a sample; use fewer or raise --max-images", (long long)sum->images,
                       (long long)a->max_images);
    char text_too[48] = "";
    if (a->text_tokens) snprintf(text_too, sizeof text_too, " and %lld of text", (long long)a->text_tokens);
    if (full && !sum->bad && sum->most + a->text_tokens >= m->context) {       /* nor could any of them in a sample of its own */
        a->reported = true;
        if (!sum->most)
            return vlm_fail(VLM_ECONTEXT, a->arg[0], "%lld tokens of text leave no room in a context of %lld; use a shorter text",
                            (long long)a->text_tokens, (long long)m->context);
        return vlm_fail(VLM_ECONTEXT, a->arg[0], "an image of %lld tokens%s leave%s no room in a context of %lld; use %s--max-size or "
                        "--max-image-tokens", (long long)sum->most, text_too, a->text_tokens ? "" : "s", (long long)m->context,
                        a->text_tokens ? "a shorter text, " : "");
    }
    if (full) vlm_note("vlm: %lld image tokens%s leave no room in a context of %lld; use fewer images, --max-size or --max-image-tokens",
                       (long long)sum->tokens, text_too, (long long)m->context);
    if (!sum->bad) return VLM_OK;
    a->reported = true;
    a->said = !a->json;                /* a line for each */
    return vlm_fail(VLM_ELIMIT, "plan", "%lld of %lld images cannot be taken; each has its reason", (long long)sum->bad,
                    (long long)(sum->images + sum->bad));
}

/* Options that say how images are planned, and those that say how data is: each on the command line only with its own. */
static vlm_status check_kind(const vlm_args *a) {
    if (a->data.n && a->args > 1) return vlm_usage("--data", "and IMAGE are given; plan one of them");
    for (int i = 0; i < VLM_OPTIONS; i++) {
        bool data = vlm_options[i].commands == C_DATA || i == O_data_root || i == O_decode_images;
        char name[80];
        snprintf(name, sizeof name, "--%s", vlm_options[i].name);
        if (a->from[i] < VLM_LINE) continue;
        if (data && !a->data.n) return vlm_usage(name, "is for data; give --data, or leave it out");
        if (a->data.n && (i == O_max_tokens || i == O_text_tokens)) return vlm_usage(name, "is for images; leave it out with --data");
    }
    return VLM_OK;
}

vlm_status vlm_cmd_plan(vlm_args *a) {
    TRY(check_kind(a));
    if (a->data.n) return vlm_plan_data(a);
    vlm_model_options o = vlm_options_of(a);
    vlm_model *m = NULL;
    vlm_table t = { 0 };
    totals sum = { 0 };
    vlm_limits limits = { 0 };
    json_t *images = json_array();
    vlm_status status;
    TRY_DONE(vlm_check_stdin(a));
    TRY_DONE(vlm_model_open_as(a->arg[0], &o, VLM_OPEN_STRUCTURE, &m));
    if (a->args > 1) TRY_DONE(vlm_need_vision(a, m));
    if (a->time) TRY_DONE(vlm_plan_limits(a, &limits));
    vlm_table_row(&t, "image\t>size WxH\t>EXIF%s\t>resized WxH\t>patches HxW\t>grid HxW\t>tokens\t>stretch\t>GFLOP\t>memory",
                  m->rule.fast_decode ? "\t>decoded WxH" : "");
    for (int i = 1; i < a->args; i++) {
        row r = { 0 };
        vlm_status bad = plan_image(m, a->arg[i], &r);
        if (bad) {
            sum.bad++;
            json_array_append_new(images, json_pack("{s:o,s:o}", "path", vlm_json_text(a->arg[i]), "error", vlm_error_json(bad)));
            if (!a->json) vlm_term_error(bad, false);
            continue;
        }
        if (a->time) {
            vlm_seconds one = vlm_cost_encode(m->net, &limits, &r.plan.patches, 1);
            r.seconds = vlm_seconds_sum(one) * (double)r.plan.n;
            vlm_seconds_add(&sum.encode, one, (double)r.plan.n);
        }
        TRY_DONE(add(&sum, &r));
        if (a->json) json_array_append_new(images, row_json(m, a->arg[i], &r));
        else print_row(&t, m, a->arg[i], &r);
    }
    status = finish(a, m, &t, images, &sum, &limits);
    images = NULL;
done:
    free(sum.seen);
    json_decref(images);
    vlm_table_free(&t);
    vlm_model_close(m);
    return status;
}

/* quantize: a model's matrices as whole numbers, and what that does to it. */
#include "open.h"
#include "base/log.h"
#include "infer/quantize.h"
#include "tally.h"

enum { ANSWER_TOKENS = 64 };

typedef struct run { const vlm_args *a; vlm_dataset *d; int64_t n; unsigned measures, named; } run;

static int on_text(void *user, const char *text, size_t bytes) {
    (void)user;
    (void)text;
    (void)bytes;
    return vlm_stopped();
}
static vlm_status one_sample(const run *r, vlm_evaluator *e, int64_t i, vlm_tally *t) {
    struct vlm_sample s = { 0 };
    vlm_evaluated v = { 0 };
    vlm_bad why = VLM_BAD_NONE;
    const char *file;
    char row[VLM_ROW_BYTES];
    vlm_status status = vlm_dataset_read(r->d, i, &s, &why);
    if (!status) status = vlm_evaluate(e, &s, &v, &why);
    if (!status) status = vlm_tally_add(t, i, v.sum, v.count, s.id);
    else if (why != VLM_BAD_NONE) {
        vlm_dataset_name(r->d, i, &file, row);
        json_array_append_new(t->bad, json_pack("{s:o,s:o,s:s,s:o}", "file", vlm_json_text(file), "row", vlm_json_text(row), "code",
                                                vlm_bad_name(why), "reason", vlm_json_text(vlm_error_message())));
        vlm_warn(vlm_error_where(), "%s: %s", vlm_bad_name(why), vlm_error_message());
        status = VLM_OK;
    }
    vlm_evaluated_free(&v);
    vlm_sample_free(&s);
    return status;
}
/* What `vlm eval` says of the same samples. */
static vlm_status score(void *user, const vlm_model *m, json_t **out) {
    const run *r = user;
    const vlm_args *a = r->a;
    vlm_evaluator *e = NULL;
    vlm_tally t = { 0 };
    vlm_status status = VLM_OK;
    TRY_DONE(vlm_tally_open(r->n, r->measures, r->named, (uint64_t)a->seed, &t));
    TRY_DONE(vlm_evaluator_open(m, &(vlm_evaluate_options){ .measures = r->measures, .threads = (int)a->threads,
                                .max_tokens = a->from[O_max_tokens] ? a->max_tokens : ANSWER_TOKENS, .on_text = on_text }, &e));
    vlm_term_only("samples");
    for (int64_t i = 0; i < r->n && !status; i++) {
        status = one_sample(r, e, i, &t);
        if (!status) status = vlm_progress("samples", i + 1, r->n);
    }
    vlm_term_only(NULL);
    if (!status && (int64_t)json_array_size(t.bad) == r->n)
        status = vlm_fail(VLM_EFORMAT, a->eval, "has no good sample among %lld; each is warned of with its reason", (long long)r->n);
    if (!status) status = vlm_tally_json(&t, out);
done:
    vlm_evaluator_close(e);
    vlm_tally_free(&t);
    return status;
}

static void print_report(const json_t *r, const char *path) {
    const json_t *size = json_object_get(r, "size"), *speed = json_object_get(r, "speed"), *f = json_object_get(r, "features"),
                 *l = json_object_get(r, "logits"), *v;
    const char *name;
    char before[32], after[32];
#define REAL(j, key) json_number_value(json_object_get(j, key))
#define PAIR(key) REAL(json_object_get(speed, key), "before"), REAL(json_object_get(speed, key), "after")
    printf("weights    %s to %s\n", vlm_bytes_text(REAL(size, "before_bytes"), before), vlm_bytes_text(REAL(size, "after_bytes"), after));
    if (f) printf("features   cosine %.6f, worst patch %.6f\n", REAL(f, "cosine"), REAL(f, "worst_cosine"));
    if (l) printf("tokens     divergence %.3g nats, the likeliest is the same at %.1f %%\n", REAL(l, "kl"), 100 * REAL(l, "same_choice"));
    if (json_object_get(speed, "encode_ms")) printf("encode     %.1f to %.1f ms\n", PAIR("encode_ms"));
    if (json_object_get(speed, "decode_tokens")) printf("decode     %.1f to %.1f tokens/s\n", PAIR("decode_tok_per_s"));
    json_object_foreach(json_object_get(json_object_get(json_object_get(r, "score"), "before"), "metrics"), name, v)
        printf("%-10s %.4f to %.4f\n", name, REAL(v, "mean"),
               REAL(json_object_get(json_object_get(json_object_get(json_object_get(r, "score"), "after"), "metrics"), name), "mean"));
    printf("%s\n", path);
}

vlm_status vlm_cmd_quantize(vlm_args *a) {
    static const int of_eval[] = { O_max_tokens, O_data_root, O_metrics, O_limit };
    run r = { .a = a, .measures = VLM_TALLY_MEASURES };
    vlm_model_options open = vlm_options_of(a);
    vlm_quantize_options o = { .out = a->output, .force = a->force, .vision = a->vision_type, .language = a->language_type,
                               .threads = (int)a->threads, .user = &r };
    vlm_pictures pictures = { 0 };
    vlm_model *m = NULL;
    json_t *report = NULL;
    vlm_status status = VLM_OK;
    if (a->metrics) { TRY(vlm_tally_measures(a->metrics, &r.measures)); r.named = r.measures; }
    if (!a->output) return vlm_usage("--output", "is missing; say with -o which folder to write");
    for (size_t i = 0; !a->eval && i < sizeof of_eval / sizeof *of_eval; i++)
        if (a->from[of_eval[i]] == VLM_LINE) {
            char name[80];
            snprintf(name, sizeof name, "--%s", vlm_options[of_eval[i]].name);
            return vlm_usage(name, "is for --eval's data; give --eval, or leave it out");
        }
    TRY_DONE(vlm_open_model(a, &m));
    if (a->calibrate.n) TRY_DONE(vlm_need_vision(a, m));
    if (a->eval) {
        vlm_dataset_options d = VLM_DATASET_OPTIONS;
        d.data_root = a->data_root;
        TRY_DONE(vlm_need_language(a, m));
        TRY_DONE(vlm_dataset_open(a->eval, &d, &r.d));
        r.n = vlm_dataset_count(r.d);
        if (a->limit && a->limit < r.n) r.n = a->limit;
        o.score = score;
    }
    for (int i = 0; i < a->calibrate.n; i++) TRY_DONE(vlm_pictures_add(&pictures, m, a->calibrate.v[i], a->calibrate.n));
    o.image = (const vlm_image *const *)pictures.image;
    o.images = pictures.n;
    vlm_hold();
    status = vlm_quantize(m, &open, &o, &report);
    vlm_status stopped = vlm_release();
    if (!status) status = stopped;
    if (status) goto done;
    if (a->json) {
        status = json_object_set_new(report, "path", vlm_json_text(a->output)) ? vlm_fail_memory("the report", 64)
                                                                               : vlm_json_out(json_incref(report));
        goto done;
    }
    print_report(report, a->output);
done:
    json_decref(report);
    vlm_pictures_free(&pictures);
    vlm_dataset_close(r.d);
    vlm_model_close(m);
    return status;
}

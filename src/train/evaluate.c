#include "train/evaluate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; vlm_metric_fn *metric; } measures[VLM_MEASURES] = {
    [VLM_EXACT] = { "exact", vlm_metric_exact },     [VLM_ANLS] = { "anls", vlm_metric_anls },
    [VLM_RELAXED] = { "relaxed", vlm_metric_relaxed }, [VLM_VQA] = { "vqa", vlm_metric_vqa },
    [VLM_DIGITS] = { "digits", vlm_metric_digits },  [VLM_CHOICE] = { "choice", NULL },
    [VLM_CHOICE_LIKELIHOOD] = { "choice_likelihood", NULL }, [VLM_LOSS] = { "loss", NULL } };
const char *vlm_measure_name(vlm_measure m) { return measures[m].name; }

/* A turn's images: their features, and what tells them from others. */
typedef struct seen { char *key; vlm_features *f; } seen;
struct vlm_evaluator {
    const vlm_model *m;
    vlm_evaluate_options o;
    vlm_session *s;
    seen *turn;                        /* the last sample's turns with images */
    int64_t turns;
};

void vlm_evaluated_free(vlm_evaluated *e) {
    vlm_free(e->answer);
    free(e->reference);
    free(e->plan);
    *e = (vlm_evaluated){ 0 };
}
vlm_status vlm_evaluator_open(const vlm_model *m, const vlm_evaluate_options *options, vlm_evaluator **out) {
    if (!m->net->language) return vlm_fail(VLM_EARG, m->net->dir, "has no language model; name a folder that has one");
    if (!m->tok) return vlm_fail(VLM_EARG, m->net->dir, "has no tokenizer.json; it takes no text");
    vlm_evaluator *e = calloc(1, sizeof *e);
    if (!e) return vlm_fail_memory("the evaluation", sizeof *e);
    e->m = m;
    e->o = *options;
    if (!e->o.max_tokens) e->o.max_tokens = 64;
    vlm_session_options so = { .threads = e->o.threads, .answer_tokens = e->o.max_tokens, .kv = e->o.kv };
    vlm_status status = vlm_session_open(m, &so, &e->s);
    if (status) free(e);
    else *out = e;
    return status;
}
static void forget(seen *turn, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        free(turn[i].key);
        vlm_features_free(turn[i].f);
    }
    free(turn);
}
void vlm_evaluator_close(vlm_evaluator *e) {
    if (!e) return;
    forget(e->turn, e->turns);
    vlm_session_close(e->s);
    free(e);
}

/* ---- Images ---- */

/* Files by name, members of an archive by their place in it; each ends with a byte that no path holds. */
static vlm_status key_of(const struct vlm_sample *s, int64_t first, int64_t n, char **out) {
    size_t size = 1, at = 0;
    for (int64_t i = first; i < first + n; i++) size += s->image[i].file ? strlen(s->image[i].file) + 2 : 64;
    char *key = malloc(size);
    if (!key) return vlm_fail_memory(s->where, size);
    for (int64_t i = first; i < first + n; i++) {
        const vlm_sample_image *m = &s->image[i];
        at += (size_t)(m->file ? snprintf(key + at, size - at, "f%s\n", m->file)
                               : snprintf(key + at, size - at, "%d %" PRId64 " %" PRId64 "\n", m->fd, m->at, m->bytes));
    }
    *out = key;
    return VLM_OK;
}
static vlm_status look(vlm_evaluator *e, const struct vlm_sample *s, int64_t first, int64_t n, vlm_features **out, vlm_bad *why) {
    vlm_image **image = calloc((size_t)n, sizeof *image);
    vlm_status status = VLM_OK;
    if (!image) return vlm_fail_memory(s->where, (size_t)n * sizeof *image);
    for (int64_t i = 0; i < n; i++) {
        vlm_bitmap b;
        TRY_DONE(vlm_sample_image_load(s, first + i, &e->m->limits, &b, why));
        TRY_DONE(vlm_image_wrap(b, s->image[first + i].path, &image[i]));
    }
    status = vlm_encode_keeping(e->s, (const vlm_image *const *)image, n, 0, out);
    if (status == VLM_ELIMIT || status == VLM_EUNSUPPORTED) {  /* the rule has no size for it; its name is where */
        *why = status == VLM_ELIMIT ? VLM_BAD_TOO_LARGE : VLM_BAD_CORRUPT_IMAGE;
        vlm_fail(status, s->where, "image %s: %s", vlm_error_where(), vlm_error_message());
    }
done:
    for (int64_t i = 0; i < n; i++) vlm_image_free(image[i]);
    free(image);
    return status;
}
/* The features of every turn of s, from the last sample's where they are the same images. They replace those of the last sample. */
static vlm_status look_all(vlm_evaluator *e, const struct vlm_sample *s, vlm_bad *why) {
    seen *turn = calloc((size_t)s->turns, sizeof *turn);
    vlm_status status = VLM_OK;
    if (!turn) return vlm_fail_memory(s->where, (size_t)s->turns * sizeof *turn);
    for (int64_t t = 0, first = 0; t < s->turns; first += s->turn[t++].images) {
        if (!s->turn[t].images) continue;
        TRY_DONE(key_of(s, first, s->turn[t].images, &turn[t].key));
        for (int64_t k = 0; k < e->turns && !turn[t].f; k++)
            if (e->turn[k].f && !strcmp(e->turn[k].key, turn[t].key)) turn[t].f = e->turn[k].f, e->turn[k].f = NULL;
        if (!turn[t].f) TRY_DONE(look(e, s, first, s->turn[t].images, &turn[t].f, why));
    }
    forget(e->turn, e->turns);
    e->turn = turn;
    e->turns = s->turns;
    return VLM_OK;
done:
    forget(turn, s->turns);
    return status;
}

/* ---- One sample ---- */

/* Says the turns up to the question. */
static vlm_status ask(vlm_evaluator *e, const struct vlm_sample *s) {
    const char *system = s->system ? s->system : e->o.system;
    int64_t last = s->turns - 1;
    vlm_session_reset(e->s);
    for (int64_t t = 0; t < last; t++)
        TRY(vlm_session_told(e->s, t ? NULL : system, e->turn[t].f, s->turn[t].user, s->turn[t].assistant));
    return vlm_say(e->s, last ? NULL : system, e->turn[last].f, s->turn[last].user);
}
static vlm_status score(vlm_evaluator *e, const struct vlm_sample *s, const char *answer, double *nll, int64_t *labels) {
    TRY(vlm_session_score(e->s, answer, nll, labels));
    return vlm_session_position(e->s) ? VLM_OK : ask(e, s);    /* a long answer empties a sliding cache */
}
static bool wants(const vlm_evaluator *e, vlm_measure m) { return e->o.measures >> m & 1; }

/* The choice that a reference names, -1: none; in its own words or by its letter? */
static vlm_status right_choice(const struct vlm_sample *s, const vlm_evaluated *out, int64_t *right, bool *words) {
    double same, one;
    *right = -1;
    for (int64_t i = 0; i < out->references && *right < 0; i++) {
        TRY(vlm_choice_named(out->reference[i], strlen(out->reference[i]), (const char *const *)s->choice, s->choices, right));
        if (*right < 0) continue;
        TRY(vlm_metric_exact(out->reference[i], strlen(out->reference[i]), (const char *const *)&s->choice[*right], 1, &same, &one));
        *words = same > 0;
    }
    return VLM_OK;
}
static vlm_status likeliest(vlm_evaluator *e, const struct vlm_sample *s, bool words, int64_t *index) {
    double *nll = calloc((size_t)s->choices, sizeof *nll);
    int64_t *labels = calloc((size_t)s->choices, sizeof *labels);
    vlm_status status = nll && labels ? VLM_OK : vlm_fail_memory(s->where, (size_t)s->choices * sizeof *nll);
    *index = -1;
    for (int64_t i = 0; !status && i < s->choices; i++) {
        char letter[2] = { (char)('A' + i % 26), 0 };
        status = score(e, s, words ? s->choice[i] : letter, &nll[i], &labels[i]);
        if (!status && !labels[i]) goto done;                  /* without a template an empty text is nothing at all */
    }
    if (!status) *index = vlm_choice_likeliest(nll, labels, s->choices);
done:
    free(nll);
    free(labels);
    return status;
}

static vlm_status measure(vlm_evaluator *e, const struct vlm_sample *s, vlm_evaluated *out) {
    const char *own = s->turn[s->turns - 1].assistant;
    int64_t right = -1, named, labels;
    bool words = true, choices = s->choices && (wants(e, VLM_CHOICE) || wants(e, VLM_CHOICE_LIKELIHOOD)), answers = wants(e, VLM_CHOICE);
    if (choices) TRY(right_choice(s, out, &right, &words));
    out->no_right_choice = choices && right < 0;
    if (wants(e, VLM_LOSS)) {
        TRY(score(e, s, out->reference[0], &out->sum[VLM_LOSS], &labels));
        out->count[VLM_LOSS] = (double)labels;
    }
    if (right >= 0 && wants(e, VLM_CHOICE_LIKELIHOOD)) {
        TRY(likeliest(e, s, words, &named));
        out->sum[VLM_CHOICE_LIKELIHOOD] = named == right;
        out->count[VLM_CHOICE_LIKELIHOOD] = named >= 0;
    }
    for (int m = 0; m < VLM_MEASURES; m++) answers = answers || (measures[m].metric && wants(e, (vlm_measure)m));
    out->prompt_tokens = vlm_session_position(e->s);
    if (!answers) return VLM_OK;
    vlm_answer_result r;
    TRY(vlm_answer(e->s, &(vlm_answer_options){ .max_tokens = e->o.max_tokens, .on_text = e->o.on_text, .user = e->o.user }, &r));
    vlm_free(r.ids);
    out->answer = r.text;
    out->answer_bytes = r.text_bytes;
    out->finish_reason = r.finish_reason;
    if (!strcmp(r.finish_reason, "stopped")) return vlm_fail(VLM_ESTOPPED, s->where, "stopped");
    for (int m = 0; m < VLM_MEASURES; m++) {
        /* the people who were asked; the sample's own answer is what most of them said */
        int64_t skip = m == VLM_VQA && own && s->answers;
        if (measures[m].metric && wants(e, (vlm_measure)m))
            TRY(measures[m].metric(r.text, r.text_bytes, out->reference + skip, out->references - skip, &out->sum[m], &out->count[m]));
    }
    if (right >= 0 && wants(e, VLM_CHOICE)) {
        TRY(vlm_choice_named(r.text, r.text_bytes, (const char *const *)s->choice, s->choices, &named));
        out->sum[VLM_CHOICE] = named == right;
        out->count[VLM_CHOICE] = 1;
    }
    return VLM_OK;
}

static vlm_status references(const struct vlm_sample *s, vlm_evaluated *out) {
    const char *own = s->turn[s->turns - 1].assistant;
    if (!(out->reference = calloc((size_t)s->answers + 1, sizeof *out->reference))) return vlm_fail_memory(s->where, (size_t)s->answers);
    if (own) out->reference[out->references++] = own;
    for (int64_t i = 0; i < s->answers; i++) out->reference[out->references++] = s->answer[i];
    return VLM_OK;
}
static vlm_status plans(const vlm_evaluator *e, const struct vlm_sample *s, vlm_evaluated *out) {
    int64_t n = 0;
    if (!(out->plan = calloc((size_t)s->images + 1, sizeof *out->plan)))
        return vlm_fail_memory(s->where, (size_t)s->images * sizeof *out->plan);
    for (int64_t t = 0; t < s->turns; t++)
        for (int64_t i = 0; e->turn[t].f && i < e->turn[t].f->n; i++) out->plan[n++] = e->turn[t].f->image[i].plan;
    return VLM_OK;
}
/* What a session says of a text or a prompt is said of the sample. */
static vlm_status blame(const struct vlm_sample *s, vlm_status status, vlm_bad *why) {
    vlm_bad bad = status == VLM_ECONTEXT ? VLM_BAD_TOO_LONG : status == VLM_ELIMIT ? VLM_BAD_TOO_LARGE : VLM_BAD_NONE;
    if (status == VLM_EFORMAT && !strcmp(vlm_error_where(), "text")) bad = VLM_BAD_JSON;       /* a character that the model cannot write */
    *why = bad;
    return bad ? vlm_fail(status, s->where, "%s", vlm_error_message()) : status;
}
vlm_status vlm_evaluate(vlm_evaluator *e, const struct vlm_sample *s, vlm_evaluated *out, vlm_bad *why) {
    vlm_evaluated result = { 0 };
    vlm_bad bad = VLM_BAD_NONE;
    vlm_status status = VLM_OK;
    TRY_DONE(references(s, &result));
    if (!result.references) {
        bad = VLM_BAD_NO_ASSISTANT;
        status = vlm_fail(VLM_EFORMAT, s->where, "has no answer to compare with; give the last turn its assistant, or answers");
        goto done;
    }
    TRY_DONE(look_all(e, s, &bad));
    TRY_DONE(plans(e, s, &result));
    status = ask(e, s);
    if (!status) status = measure(e, s, &result);
    if (status) { status = blame(s, status, &bad); goto done; }
    *out = result;
    result = (vlm_evaluated){ 0 };
done:
    if (why) *why = bad;
    vlm_evaluated_free(&result);
    return status;
}

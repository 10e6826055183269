/* Likelihoods against logits that are known, and left without a trace in the session; samples asked, measured and blamed. */
#include "tiny.h"
#include "io/json.h"
#include "train/evaluate.h"

static vlm_session *session_of(const vlm_model *m) {
    vlm_session *s = NULL;
    assert_ok(vlm_session_open(m, &(vlm_session_options){ .threads = 2 }, &s));
    return s;
}

/* ---- Likelihood ---- */

typedef struct logits { int64_t V; float *l; } logits;
static vlm_status keep(void *user, int64_t row, int64_t rows, const float *l) {
    logits *k = user;
    memcpy(k->l + row * k->V, l, (size_t)(rows * k->V) * sizeof(float));
    return VLM_OK;
}
/* All rows at once, then ln p of ids[i] from row i - 1, for i >= from. */
static double by_hand(const vlm_model *m, const int64_t *ids, int64_t n, int64_t from) {
    logits k = { m->net->lm.cfg.V, NULL };
    vlm_session *s = session_of(m);
    double sum = 0;
    k.l = malloc((size_t)(n * k.V) * sizeof(float));
    assert_non_null(k.l);
    assert_ok(vlm_prefill_observed(s, ids, (size_t)n, NULL, &(vlm_observer){ .logits = keep, .user = &k }));
    for (int64_t i = from; i < n; i++) {
        double all = 0;
        const float *l = k.l + (i - 1) * k.V;
        for (int64_t v = 0; v < k.V; v++) all += exp(l[v]);
        sum += l[ids[i]] - log(all);
    }
    free(k.l);
    vlm_session_close(s);
    return sum;
}
static void near(double got, double want, double error) {
    if (!(fabs(got - want) <= error)) fail_msg("got %.17g, expected %.17g", got, want);
}

/* Continuations of several lengths, over chunks and rings: the sum by hand, and what comes afterwards is as if nobody had asked. */
static void continuations(void **state) {
    (void)state;
    static const struct { const char *golden; bool sliding; } models[] = { { NULL, false }, { "llama", false }, { "gemma3", true } };
    static const int64_t lengths[][2] = { { 5, 1 }, { 5, 2 }, { 1, 40 }, { 30, 17 }, { 200, 33 }, { 700, 600 }, { 100, 1100 } };
    int losses = 0;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        vlm_model *m = tiny;
        if (models[k].golden) {
            const char *dir = folder(models[k].golden);
            set_key("config.json", "max_position_embeddings", "2000");
            assert_ok(vlm_model_open(dir, NULL, &m));
        }
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            int64_t p = lengths[i][0], n = lengths[i][1], ids[2000], V = m->net->lm.cfg.V < 250 ? m->net->lm.cfg.V : 250;
            if (p + n > m->context) continue;
            double logp[2000], sum = 0;
            for (int64_t t = 0; t < p + n; t++) do ids[t] = 3 + (t * 37 + t * t % 11) % (V - 3); while (ids[t] == m->image_token);
            vlm_session *s = session_of(m), *fresh = session_of(m);
            assert_failure(vlm_continuation(s, ids, 1, logp), VLM_EARG, "vlm_continuation", "no logits");
            assert_ok(vlm_prefill(s, ids, (size_t)p, NULL));
            assert_ok(vlm_prefill(fresh, ids, (size_t)p, NULL));
            assert_ok(vlm_continuation(s, ids + p, (size_t)n, logp));
            for (int64_t t = 0; t < n; t++) sum += logp[t];
            near(sum, by_hand(m, ids, p + n, p), 1e-9 * (double)n);
            bool lost = models[k].sliding && n - 1 > VLM_CHUNK;
            losses += lost;
            assert_int_equal(vlm_session_position(s), lost ? 0 : p);
            if (lost) assert_ok(vlm_prefill(s, ids, (size_t)p, NULL));
            assert_memory_equal(vlm_logits(s), vlm_logits(fresh), (size_t)m->net->lm.cfg.V * sizeof(float));
            for (int64_t t = 0; t < 30 && p + t < m->context; t++) {
                int64_t a, b;
                assert_ok(vlm_sample(s, NULL, &a));
                assert_ok(vlm_sample(fresh, NULL, &b));
                assert_int_equal(a, b);
                assert_ok(vlm_prefill(s, &a, 1, NULL));
                assert_ok(vlm_prefill(fresh, &b, 1, NULL));
                assert_memory_equal(vlm_logits(s), vlm_logits(fresh), (size_t)m->net->lm.cfg.V * sizeof(float));
            }
            vlm_session_close(s);
            vlm_session_close(fresh);
        }
        if (models[k].golden) vlm_model_close(m);
    }
    assert_int_equal(losses, 2);
}
static void continuation_refusals(void **state) {
    (void)state;
    vlm_session *s = session_of(tiny);
    double logp[8];
    int64_t ids[] = { 5, 6, 7 }, image = tiny->image_token, large = tiny->net->lm.cfg.V, labels;
    assert_ok(vlm_prefill(s, ids, 3, NULL));
    assert_failure(vlm_continuation(s, &image, 1, logp), VLM_EARG, "ids", "image tokens");
    assert_failure(vlm_continuation(s, &large, 1, logp), VLM_EARG, "ids", "knows");
    assert_ok(vlm_continuation(s, ids, 0, logp));
    assert_failure(vlm_session_score(s, "a", logp, &labels), VLM_EARG, "vlm_session_score", "no turn");
    vlm_session_close(s);
}

/* Labels are what training learns of a turn: its text, what closes it and the line's end (bytes here: 3 + 1 + 1). */
static void scores(void **state) {
    (void)state;
    vlm_session *s = session_of(tiny), *fresh = session_of(tiny);
    vlm_answer_result a, b;
    double nll, again, other;
    int64_t labels;
    vlm_ids ids = { 0 };
    assert_ok(vlm_turn_ids(tiny, NULL, NULL, "How many?", &ids));
    int64_t prompt = (int64_t)ids.n, end = vlm_token_id(tiny->tok, "<|im_end|>");
    assert_ok(vlm_say(s, NULL, NULL, "How many?"));
    assert_ok(vlm_say(fresh, NULL, NULL, "How many?"));
    assert_ok(vlm_session_score(s, "123", &nll, &labels));
    assert_int_equal(labels, 5);
    assert_ok(vlm_tokenizer_encode(tiny->tok, "123", 3, VLM_ENCODE_LITERAL, &ids));
    assert_ok(vlm_ids_push(&ids, end));
    assert_ok(vlm_tokenizer_encode(tiny->tok, "\n", 1, VLM_ENCODE_LITERAL, &ids));
    assert_int_equal(ids.n, prompt + 5);
    near(nll, -by_hand(tiny, ids.id, prompt + 5, prompt), 1e-9);
    assert_ok(vlm_session_score(s, "<|im_end|>", &other, &labels));    /* text, not the token */
    assert_int_equal(labels, 12);
    assert_ok(vlm_session_score(s, "123", &again, &labels));
    assert_true(again == nll);
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 20 }, &a));
    assert_ok(vlm_answer(fresh, &(vlm_answer_options){ .max_tokens = 20 }, &b));
    assert_string_equal(a.text, b.text);
    assert_failure(vlm_session_score(s, "123", &nll, &labels), VLM_EARG, "vlm_session_score", "no turn");
    vlm_free(a.text), vlm_free(a.ids), vlm_free(b.text), vlm_free(b.ids);
    vlm_ids_free(&ids);
    vlm_session_close(s);
    vlm_session_close(fresh);
}

/* ---- Samples ---- */

/* From JSON in which ' stands for ". */
static struct vlm_sample sample_of(const char *text) {
    char json[9200];
    json_t *j = NULL;
    struct vlm_sample s = { 0 };
    const vlm_sample_source from = { .file = "d.jsonl", .row = "7", .where = "d.jsonl:7", .root = "tests/golden/images", .max_images = 8 };
    assert_true((size_t)snprintf(json, sizeof json, "%s", text) < sizeof json);
    for (char *c = json; *c; c++) if (*c == '\'') *c = '"';
    assert_ok(vlm_json_parse(json, strlen(json), "sample", &j));
    assert_ok(vlm_sample_read(j, &from, &s, NULL));
    json_decref(j);
    return s;
}
enum { ALL = (1 << VLM_MEASURES) - 1 };
static vlm_evaluator *evaluator_of(const vlm_model *m, unsigned measures) {
    vlm_evaluator *e = NULL;
    assert_ok(vlm_evaluator_open(m, &(vlm_evaluate_options){ .measures = measures, .max_tokens = 8, .threads = 2 }, &e));
    return e;
}
static vlm_evaluated evaluated(vlm_evaluator *e, const char *json) {
    struct vlm_sample s = sample_of(json);
    vlm_evaluated out;
    vlm_bad why = VLM_BAD_JSON;
    assert_ok(vlm_evaluate(e, &s, &out, &why));
    assert_int_equal(why, VLM_BAD_NONE);
    free(out.reference);               /* strings of the sample */
    out.reference = NULL;
    vlm_sample_free(&s);
    return out;
}
static void same(const vlm_evaluated *a, const vlm_evaluated *b) {
    assert_memory_equal(a->sum, b->sum, sizeof a->sum);
    assert_memory_equal(a->count, b->count, sizeof a->count);
    assert_int_equal(a->answer_bytes, b->answer_bytes);
    assert_memory_equal(a->answer, b->answer, a->answer_bytes);
    assert_int_equal(a->prompt_tokens, b->prompt_tokens);
}

/* What was asked before, and whose images it looked at, changes nothing. */
static void alone_and_in_company(void **state) {
    (void)state;
    static const char *const rows[] = {
        "{'images': ['rgb_96x32.png'], 'texts': [{'user': 'Read.', 'assistant': '12'}]}",
        "{'images': ['rgb_96x32.png'], 'texts': [{'user': 'How many?', 'assistant': 'two'}], "
        "'choices': ['one', 'two']}",
        "{'images': ['rgb_96x32.png', 'rgb_1x1.png'], 'texts': [{'user': 'Read.', 'assistant': '12'}]}",
        "{'texts': [{'user': 'Hi', 'assistant': 'Hello'}]}",
        "{'messages': [{'role': 'system', 'content': 'Be short.'}, "
        "{'role': 'user', 'content': [{'type': 'image', 'image': 'rgb_1x1.png'}, {'type': 'text', 'text': 'What?'}]}, "
        "{'role': 'assistant', 'content': 'A dot.'}, "
        "{'role': 'user', 'content': [{'type': 'image', 'image': 'rgb_96x32.png'}, {'type': 'text', 'text': 'And now?'}]}, "
        "{'role': 'assistant', 'content': 'A strip.'}]}",
        "{'images': ['rgb_96x32.png'], 'texts': [{'user': 'Read.', 'assistant': '12'}]}" };
    enum { N = sizeof rows / sizeof *rows };
    vlm_evaluator *together = evaluator_of(tiny, ALL);
    for (int i = 0; i < N; i++) {
        vlm_evaluator *alone = evaluator_of(tiny, ALL);
        vlm_evaluated a = evaluated(alone, rows[i]), b = evaluated(together, rows[i]);
        same(&a, &b);
        assert_true(a.count[VLM_LOSS] > 0 && a.sum[VLM_LOSS] > 0 && a.count[VLM_EXACT] == 1);
        assert_true((a.count[VLM_CHOICE] == 1) == (i == 1) && (a.count[VLM_CHOICE_LIKELIHOOD] == 1) == (i == 1));
        if (i == 4) assert_true(a.plan[0].w == 1 && a.plan[1].w == 96);
        vlm_evaluated_free(&a);
        vlm_evaluated_free(&b);
        vlm_evaluator_close(alone);
    }
    vlm_evaluator_close(together);
}

/* What the model says is right where it is the reference, and wrong where it is not; the others of a sample's answers count, too. */
static void right_and_wrong(void **state) {
    (void)state;
    vlm_evaluator *e = evaluator_of(tiny, ALL);
    vlm_evaluated first = evaluated(e, "{'images': ['rgb_53x37.png'], 'texts': [{'user': 'Read.', 'assistant': 'zz'}]}");
    assert_true(first.answer_bytes > 0 && first.sum[VLM_EXACT] == 0);
    json_t *said = json_stringn(first.answer, first.answer_bytes), *j;
    assert_non_null(said);
    j = json_pack("{s:[s],s:[{s:s,s:s}],s:[s,O],s:[s,O]}", "images", "rgb_53x37.png", "texts", "user", "Read.", "assistant", "zz",
                  "answers", "yy", said, "choices", "zz", said);
    char *text = json_dumps(j, 0);
    vlm_evaluated second = evaluated(e, text);
    assert_true(second.sum[VLM_EXACT] == 1 && second.sum[VLM_ANLS] == 1 && second.sum[VLM_RELAXED] == 1);
    near(second.sum[VLM_VQA], 1 / 6., 1e-15);          /* one of two `answers`; the sample's own is not a third */
    assert_true(second.sum[VLM_CHOICE] == 0 && second.count[VLM_CHOICE] == 1);         /* right is the own answer, zz */
    assert_true(second.sum[VLM_LOSS] == first.sum[VLM_LOSS] && second.count[VLM_LOSS] == first.count[VLM_LOSS]);
    assert_false(second.no_right_choice);
    free(text);
    json_decref(j);
    json_decref(said);
    vlm_evaluated_free(&first);
    vlm_evaluated_free(&second);
    vlm_evaluator_close(e);
}

/* The likeliest choice is the one with the lowest loss as an answer; letters where the reference is a letter. */
static void choice_likelihood(void **state) {
    (void)state;
    static const char *const word[] = { "cat", "elephant", "ox", "a dog that sleeps" }, *const letter[] = { "A", "B", "C", "D" };
    vlm_evaluator *e = evaluator_of(tiny, 1 << VLM_LOSS), *c = evaluator_of(tiny, 1 << VLM_CHOICE_LIKELIHOOD);
    for (int letters = 0; letters < 2; letters++) {
        int best = 0;
        double loss[4];
        char row[512];
        for (int i = 0; i < 4; i++) {
            snprintf(row, sizeof row, "{'texts': [{'user': 'Which?', 'assistant': '%s'}]}", letters ? letter[i] : word[i]);
            vlm_evaluated a = evaluated(e, row);
            assert_null(a.answer);
            loss[i] = a.sum[VLM_LOSS] / a.count[VLM_LOSS];
            if (loss[i] < loss[best]) best = i;
            vlm_evaluated_free(&a);
        }
        for (int i = 0; i < 4; i++) {
            snprintf(row, sizeof row, "{'texts': [{'user': 'Which?', 'assistant': '%s'}], "
                     "'choices': ['cat', 'elephant', 'ox', 'a dog that sleeps']}", letters ? letter[i] : word[i]);
            vlm_evaluated a = evaluated(c, row);
            assert_true(a.count[VLM_CHOICE_LIKELIHOOD] == 1 && a.sum[VLM_CHOICE_LIKELIHOOD] == (i == best));
            vlm_evaluated_free(&a);
        }
    }
    vlm_evaluated a = evaluated(c, "{'texts': [{'user': 'Which?', 'assistant': 'cow'}], 'choices': ['cat', 'ox']}");
    assert_true(a.no_right_choice && a.count[VLM_CHOICE_LIKELIHOOD] == 0);
    vlm_evaluated_free(&a);
    vlm_evaluator_close(e);
    vlm_evaluator_close(c);
}

static int stop(void *user, const char *text, size_t bytes) { (void)user; (void)text; (void)bytes; return 1; }
static void blame(void **state) {
    (void)state;
    static char long_text[9000];
    memset(long_text, 'a', sizeof long_text - 1);
    char row[9200];
    snprintf(row, sizeof row, "{'texts': [{'user': '%s', 'assistant': 'x'}]}", long_text);
    char answer[9200];
    snprintf(answer, sizeof answer, "{'texts': [{'user': 'x', 'assistant': '%s'}]}", long_text);
    const struct { const char *row; vlm_status status; vlm_bad why; const char *words; } rows[] = {
        { "{'texts': [{'user': 'Read.'}]}", VLM_EFORMAT, VLM_BAD_NO_ASSISTANT, "no answer to compare with" },
        { "{'images': ['nowhere.png'], 'texts': [{'user': 'Read.', 'assistant': '1'}]}", VLM_EIO, VLM_BAD_MISSING_IMAGE,
          "nowhere.png" },
        { "{'images': ['README.md'], 'texts': [{'user': 'Read.', 'assistant': '1'}]}", VLM_EIO, VLM_BAD_MISSING_IMAGE, "README" },
        { row, VLM_ECONTEXT, VLM_BAD_TOO_LONG, "positions" },
        { answer, VLM_ECONTEXT, VLM_BAD_TOO_LONG, "positions" } };
    vlm_evaluator *e = evaluator_of(tiny, ALL);
    const char *good = "{'images': ['rgb_1x1.png'], 'texts': [{'user': 'Read.', 'assistant': '1'}]}";
    vlm_evaluated before = evaluated(e, good), out;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct vlm_sample s = sample_of(rows[i].row);
        vlm_bad why = VLM_BAD_NONE;
        vlm_status status = vlm_evaluate(e, &s, &out, &why);
        assert_int_equal(why, rows[i].why);
        assert_failure(status, rows[i].status, "d.jsonl:7", rows[i].words);
        vlm_sample_free(&s);
        vlm_evaluated after = evaluated(e, good);
        same(&before, &after);
        vlm_evaluated_free(&after);
    }
    vlm_evaluator_close(e);
    e = evaluator_of(tiny, 1 << VLM_EXACT);
    vlm_evaluated a = evaluated(e, "{'texts': [{'user': 'x'}], 'answers': ['b']}");
    assert_true(a.count[VLM_EXACT] == 1 && a.count[VLM_LOSS] == 0);
    vlm_evaluated_free(&a);
    vlm_evaluator_close(e);
    struct vlm_sample s = sample_of(good);
    vlm_bad why = VLM_BAD_JSON;
    assert_ok(vlm_evaluator_open(tiny, &(vlm_evaluate_options){ .measures = ALL, .on_text = stop }, &e));
    assert_true(vlm_evaluate(e, &s, &out, &why) == VLM_ESTOPPED && why == VLM_BAD_NONE);
    vlm_evaluator_close(e);
    vlm_sample_free(&s);
    vlm_evaluated_free(&before);
    vlm_model *m;
    assert_ok(vlm_model_open("tests/golden/models/dinov3_s", NULL, &m));
    assert_failure(vlm_evaluator_open(m, &(vlm_evaluate_options){ 0 }, &e), VLM_EARG, "dinov3_s", "no language model");
    vlm_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(continuations), cmocka_unit_test(continuation_refusals), cmocka_unit_test(scores),
        cmocka_unit_test(alone_and_in_company), cmocka_unit_test(right_and_wrong), cmocka_unit_test(choice_likelihood),
        cmocka_unit_test(blame) };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

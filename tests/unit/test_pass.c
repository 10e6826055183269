/* A batch is whole samples that do not see each other: whatever lies beside a sample, its losses and the gradients of its embeddings keep
   their bits. And what is frozen costs nothing and changes nothing. */
#include "temp.h"
#include "../training.h"

#define DATA "tests/golden/images/mixed.jsonl"
/* DINOv3 and Llama; SigLIP of tiles; DINOv2 and a Gemma whose window is shorter than every sample; SigLIP and Gemma. */
static const char *const models[] = { "vlm_dino", "vlm_siglip_up", "vlm_dinov2_reg", "vlm_gemma" };
enum { MODELS = sizeof models / sizeof *models };

static void open_rig(rig *r, const char *model) {
    char dir[256];
    snprintf(dir, sizeof dir, "tests/golden/models/%s", model);
    assert_ok(rig_open(r, dir, DATA, &(vlm_model_options){ .threads = 1 }));
    assert_true(r->n == 8);
}

/* ---- Packing ----------------------------------------------------------------------------------------------------- */

/* What the gradients by the embeddings can be seen under: the encoder frozen. */
#define SEEN ((vlm_pass_options){ .trained = 1u << VLM_PROJECTOR | 1u << VLM_LANGUAGE })
#define ALL ((vlm_pass_options){ .trained = VLM_ALL_GROUPS })
#define NONE ((vlm_pass_options){ .trained = 0 })

typedef struct result { float *nll, *grad; int64_t labels, rows, D; } result;        /* of one sample */
static result result_of(const rig *r, int64_t i) {
    const vlm_batch *b = &r->batch;
    int64_t from = i ? b->label_end[i - 1] : 0;
    result x = { .labels = b->label_end[i] - from, .rows = b->segment[i].rows, .D = r->m->net->lm.cfg.D };
    x.nll = malloc((size_t)x.labels * sizeof *x.nll), x.grad = malloc((size_t)(x.rows * x.D) * sizeof *x.grad);
    assert_true(x.nll && x.grad && x.labels > 0);
    memcpy(x.nll, r->nll + from, (size_t)x.labels * sizeof *x.nll);
    r->m->net->ops.download(r->ctx, x.grad, act_at(vlm_pass_embedding_gradient(r->pass), b->segment[i].row * x.D),
                            (size_t)(x.rows * x.D) * sizeof *x.grad);
    r->m->net->ops.sync(r->ctx);
    return x;
}
static void result_free(result *x) { free(x->nll); free(x->grad); }
static bool same(const result *a, const result *b) {
    return a->labels == b->labels && a->rows == b->rows && !memcmp(a->nll, b->nll, (size_t)a->labels * sizeof *a->nll) &&
           !memcmp(a->grad, b->grad, (size_t)(a->rows * a->D) * sizeof *a->grad);
}
/* Other pixels and other text of the same length; as many labels. */
static void spoil(const rig *r, vlm_example *e) {
    const vlm_model *m = r->m;
    for (int64_t i = 0; i < e->images; i++) {
        const vlm_image_plan *p = &e->image[i].plan;
        int64_t n = p->n * 3 * p->patches.h * p->patches.w * m->rule.patch * m->rule.patch;
        for (int64_t k = 0; k < n; k++) e->image[i].pixels[k] = 0.3f - e->image[i].pixels[k] * (k % 3 ? 0.7f : -1.1f);
    }
    for (size_t k = 0; k < e->ids.n; k++) if (e->ids.id[k] != m->image_token) e->ids.id[k] = (e->ids.id[k] * 7 + 11) % 300;
}
static bool finite_and_not_zero(const result *x) {
    double sum = 0;
    for (int64_t i = 0; i < x->rows * x->D; i++) sum += (double)x->grad[i] * x->grad[i];
    return sum > 0 && sum < 1e30;
}
static void packing(void **state) {
    (void)state;
    enum { N = 4 };
    static const int order[N] = { 3, 0, 1, 6 }, turned[N] = { 6, 1, 3, 0 };
    for (int k = 0; k < MODELS; k++) {
        rig r, other;
        open_rig(&r, models[k]);
        open_rig(&other, models[k]);
        for (int64_t i = 0; i < r.n; i++) spoil(&other, &other.example[i]);
        assert_ok(rig_run(&r, order, N, 1, SEEN));
        result want[N];
        for (int i = 0; i < N; i++) { want[i] = result_of(&r, i); assert_true(finite_and_not_zero(&want[i])); }
        for (int i = 0; i < N; i++) {          /* alone; in another order; with more threads; recomputed */
            result got;
            assert_ok(rig_run(&r, &order[i], 1, 1, SEEN));
            got = result_of(&r, 0);
            if (!same(&want[i], &got)) fail_msg("%s: sample %d alone has other bits", models[k], order[i]);
            result_free(&got);
        }
        for (int v = 0; v < 2; v++) {
            vlm_pass_options o = SEEN;
            o.recompute = v;
            assert_ok(rig_run(&r, turned, N, v ? 3 : 2, o));
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++) {
                    if (turned[j] != order[i]) continue;
                    result got = result_of(&r, j);
                    if (!same(&want[i], &got)) fail_msg("%s: sample %d in another order has other bits", models[k], order[i]);
                    result_free(&got);
                }
        }
        for (int i = 0; i < N; i++) {          /* the neighbours change: pixels and text, then for whole other samples */
            for (int v = 0; v < 2; v++) {
                static const int strangers[N] = { 7, 2, 5, 4 };
                rig_reset(&r);
                for (int j = 0; j < N; j++)
                    assert_ok(vlm_batch_add(&r.batch, r.m, j == i ? &r.example[order[j]] : v ? &r.example[strangers[j]] :
                                            &other.example[order[j]]));
                assert_ok(rig_go(&r, 1, SEEN));
                for (int j = 0; j < N; j++) {
                    result got = result_of(&r, j);
                    assert_true(v || got.labels == want[j].labels);
                    if (same(&want[j], &got) != (j == i))
                        fail_msg("%s: sample %d %s when its neighbours change%s", models[k], order[j],
                                 j == i ? "has other bits" : "was to be another one", v ? " for others" : "");
                    result_free(&got);
                }
            }
        }
        for (int i = 0; i < N; i++) result_free(&want[i]);
        rig_close(&r);
        rig_close(&other);
    }
}
/* Losses without a backward, alone and all together: the same bits a label, so validation may be packed. */
static void losses_only(void **state) {
    (void)state;
    for (int k = 0; k < MODELS; k++) {
        rig r;
        float all[256];
        open_rig(&r, models[k]);
        assert_ok(rig_run(&r, NULL, 0, 2, NONE));
        int64_t n = r.batch.labels, at = 0;
        assert_true(n > 100 && n <= 256);
        memcpy(all, r.nll, (size_t)n * sizeof *all);
        for (int i = 0; i < 8; i++) {
            assert_ok(rig_run(&r, &i, 1, 1, NONE));
            assert_memory_equal(all + at, r.nll, (size_t)r.batch.labels * sizeof *all);
            at += r.batch.labels;
        }
        assert_true(at == n);
        assert_ok(rig_run(&r, NULL, 0, 1, ALL));       /* and what training sees */
        assert_memory_equal(all, r.nll, (size_t)n * sizeof *all);
        rig_close(&r);
    }
}
/* Nothing to learn: no loss, no NaN, gradients stay zero. */
static void no_labels(void **state) {
    (void)state;
    static const int two[2] = { 0, 2 };
    for (int k = 0; k < MODELS; k++) {
        rig r;
        open_rig(&r, models[k]);
        for (int i = 0; i < 2; i++) {
            memset(r.example[two[i]].learnt, 0, r.example[two[i]].ids.n);
            r.example[two[i]].labels = 0;
        }
        assert_ok(rig_run(&r, two, 2, 2, (vlm_pass_options){ .trained = VLM_ALL_GROUPS, .recompute = k & 1 }));
        assert_true(r.batch.labels == 0 && r.batch.samples == 2);
        assert_true(vlm_optimizer_norm(&r.opt, r.ctx) == 0);
        rig_close(&r);
    }
}

/* ---- Freezing ---------------------------------------------------------------------------------------------------- */

/* Gradients under every combination are those of training all, bit for bit, of what is trained; the rest has none. */
static void freezing(void **state) {
    (void)state;
    for (int k = 0; k < MODELS; k++) {
        rig all, r;
        open_rig(&all, models[k]);
        open_rig(&r, models[k]);
        assert_ok(rig_run(&all, NULL, 0, 1, ALL));
        for (unsigned trained = 1; trained < VLM_ALL_GROUPS; trained++) {
            int64_t compared = 0;
            assert_ok(rig_run(&r, NULL, 0, 2, (vlm_pass_options){ .trained = trained, .recompute = trained & 1 }));
            assert_memory_equal(all.nll, r.nll, (size_t)r.batch.labels * sizeof *r.nll);
            for (int i = 0; i < r.opt.grads->params.n; i++) {
                void *a, *b;
                int64_t n, m;
                if (!vlm_params_operand(&all.opt.grads->params, i, &a, &n)) continue;
                bool mine = trained & 1u << r.opt.grads->params.p[i].group;
                bool there = vlm_params_operand(&r.opt.grads->params, i, &b, &m);
                if (!mine) { assert_true(!there || !b); continue; }
                assert_true(there && n == m);
                if (memcmp(a, b, (size_t)n * sizeof(real)))
                    fail_msg("%s, trained %u: %s has another gradient", models[k], trained, r.opt.grads->params.p[i].name);
                compared++;
            }
            assert_true(compared > 0);
        }
        rig_close(&all);
        rig_close(&r);
    }
}
static void memory(void **state) {
    (void)state;
    for (int k = 0; k < MODELS; k++) {
        rig r;
        open_rig(&r, models[k]);
        assert_ok(rig_run(&r, NULL, 0, 1, NONE));
        const vlm_net *net = r.m->net;
        vlm_pass_options o = { .caps = rig_caps(&r.batch), .trained = VLM_ALL_GROUPS };
        size_t all = vlm_pass_bytes(net, &o), moments = 0;
        o.recompute = true;
        assert_true(vlm_pass_bytes(net, &o) < all);
        for (unsigned frozen = 1; frozen <= VLM_ALL_GROUPS; frozen++) {
            o.trained = VLM_ALL_GROUPS & ~frozen;
            o.recompute = false;
            size_t bytes = vlm_pass_bytes(net, &o);
            if (frozen & 1u << VLM_VISION) assert_true(bytes < all);           /* the encoder keeps nothing */
            else assert_true(bytes <= all);
            if (!o.trained) {
                o.trained = 1u << VLM_LANGUAGE;
                assert_true(bytes < vlm_pass_bytes(net, &o));
            }
        }
        for (int g = 0; g < VLM_GROUPS; g++) {
            size_t bytes = vlm_optimizer_bytes(net, 1u << g);
            assert_true(bytes > 0);
            moments += bytes;
        }
        assert_true(moments == vlm_optimizer_bytes(net, VLM_ALL_GROUPS));
        /* what is said is what is taken: three nets of the trained groups */
        for (unsigned trained = 1; trained <= VLM_ALL_GROUPS; trained++) {
            vlm_optimizer opt;
            assert_ok(vlm_optimizer_open(net, trained, false, &opt));
            assert_true(vlm_optimizer_bytes(net, trained) >= opt.grads->bytes + opt.m->bytes + opt.v->bytes);
            assert_true(vlm_optimizer_bytes(net, trained) < opt.grads->bytes + opt.m->bytes + opt.v->bytes + 3 * 64);
            vlm_optimizer_close(&opt);
        }
        rig_close(&r);
    }
}
/* A frozen encoder's features, kept and given back, are as good as pixels, bit for bit; also where only some images have them. */
static void features(void **state) {
    (void)state;
    vlm_pass_options o = SEEN;
    o.features = true;
    for (int k = 0; k < MODELS; k++) {
        rig r;
        float *kept[64] = { 0 }, *want, nll[256];
        open_rig(&r, models[k]);
        assert_ok(rig_run(&r, NULL, 0, 1, o));
        const vlm_batch *b = &r.batch;
        int64_t D = r.m->net->vit.cfg.D, units = b->units;
        assert_true(units > 6 && units < 64);
        for (int64_t u = 0; u < units; u++) {
            assert_non_null(kept[u] = malloc((size_t)(b->grid[u].h * b->grid[u].w * D) * sizeof(float)));
            vlm_pass_features(r.pass, b, u, kept[u]);
        }
        size_t bytes = r.opt.grads->bytes;
        assert_non_null(want = malloc(bytes));
        memcpy(want, r.opt.grads->memory, bytes);
        memcpy(nll, r.nll, (size_t)b->labels * sizeof *nll);
        for (int v = 0; v < 2; v++) {
            for (int64_t u = 0; u < units; u++) r.batch.features[u] = v && u % 2 ? NULL : kept[u];
            assert_ok(rig_go(&r, 2, o));
            assert_memory_equal(nll, r.nll, (size_t)b->labels * sizeof *nll);
            assert_memory_equal(want, r.opt.grads->memory, bytes);
        }
        for (int64_t u = 0; u < units; u++) free(kept[u]);
        free(want);
        rig_close(&r);
    }
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

static void refusals(void **state) {
    (void)state;
    rig r;
    const float *nll = NULL;
    open_rig(&r, "vlm_dino");
    assert_ok(rig_run(&r, NULL, 0, 1, NONE));
    vlm_batch before = r.batch;
    r.example[0].ids.id[0] = r.m->image_token;                 /* one placeholder too many */
    assert_failure(vlm_batch_add(&r.batch, r.m, &r.example[0]), VLM_EARG, "a sample", "holds 13 image tokens for 12 rows of features");
    assert_true(r.batch.T == before.T && r.batch.samples == before.samples && r.batch.labels == before.labels &&
                r.batch.units == before.units && r.batch.runs == before.runs);
    vlm_caps fits = rig_caps(&r.batch), c;
    const struct { int64_t *cap; const char *words; } caps[] = {
        { &c.units, "encoder images" }, { &c.rows, "encoder rows" }, { &c.most, "patches in one image" }, { &c.tokens, " tokens" },
        { &c.image_tokens, "image tokens" }, { &c.samples, "samples" }, { &c.labels, "labels" } };
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        c = fits;
        --*caps[i].cap;
        vlm_pass *p = NULL;
        assert_ok(vlm_pass_open(r.m->net, NULL, r.ctx, &(vlm_pass_options){ .caps = c }, &p));
        assert_failure(vlm_pass_forward(p, &r.batch, false, 1, &nll), VLM_ELIMIT, "a batch", caps[i].words);
        assert_null(nll);
        vlm_pass_close(p);
    }
    vlm_pass_options both = { .caps = fits, .trained = VLM_ALL_GROUPS, .features = true };
    vlm_pass *none = NULL;
    assert_failure(vlm_pass_open(r.m->net, NULL, r.ctx, &both, &none), VLM_EARG, "vlm_pass_open", "vision is trained");
    assert_null(none);
    vlm_pass_options huge = { .caps = { .tokens = INT64_MAX / 8, .samples = 1, .labels = 1 }, .trained = 1u << VLM_LANGUAGE };
    vlm_pass *p = NULL;
    assert_true(vlm_pass_bytes(r.m->net, &huge) == SIZE_MAX);
    assert_failure(vlm_pass_open(r.m->net, NULL, r.ctx, &huge, &p), VLM_ENOMEM, "activations", "");
    assert_null(p);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing), cmocka_unit_test(losses_only), cmocka_unit_test(no_labels), cmocka_unit_test(freezing),
        cmocka_unit_test(memory), cmocka_unit_test(features), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}

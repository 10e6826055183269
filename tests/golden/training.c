/* Every case in tests/golden/training against PyTorch's float64, under every instruction set of this machine: what a sample's ids and
   labels are, its loss, every gradient of a packed batch; and the losses, norms, rates and weights of 20 updates of vlm_train. Besides, on
   the same models: the same bits with 1, 2, 3 and 4 threads, with and without recompute, under AVX2 and AVX-512, of losses, gradients, and
   of the checkpoint's files after 20 updates. Ends with "N passed, N failed, N skipped"; a case that compared nothing has failed. */
#include "../training.h"
#include "cases.h"
#include "base/file.h"
#include "base/hash.h"
#include "train/trainer.h"
#include <math.h>
#include <stdio.h>
#include <unistd.h>

static const char *root;
static char work[] = "/tmp/vlm-training-XXXXXX";
static int passed, failed, skipped;

/* vlm_train opens its threads itself: in this program they split work however small it is. */
vlm_ctx *__real_vlm_ctx_open(int threads, size_t scratch_bytes);
vlm_ctx *__wrap_vlm_ctx_open(int threads, size_t scratch_bytes);
vlm_ctx *__wrap_vlm_ctx_open(int threads, size_t scratch_bytes) {
    vlm_ctx *ctx = __real_vlm_ctx_open(threads, scratch_bytes);
    if (ctx) ctx->eager = true;
    return ctx;
}

/* ---- One case ---- */

enum { UPDATES = 20 };
typedef struct golden {
    const char *name, *isa;
    bool best;                         /* the last instruction set: threads and recompute are tried under this one */
    json_t *j;
    char model[1024], data[1024];
    double worst;                      /* largest error as a share of what is allowed */
    char worst_what[160];
    int compared, bad;
    uint64_t bits;                     /* of all that has to be the same whoever computes it; 0: not there yet */
    double loss[UPDATES], norm[UPDATES], lr[UPDATES][VLM_GROUPS];      /* curve */
    int64_t labels[UPDATES];
    int updates;
} golden;
static const char *const groups[VLM_GROUPS] = { "vision", "projector", "language" };

static void complain(golden *g, const char *what, const char *fmt, double a, double b) {
    if (g->bad++ < 5) { printf("    %s %s %s: ", g->isa, g->name, what); printf(fmt, a, b); printf("\n"); }
}
static bool ok(golden *g, const char *what, vlm_status s) {
    if (s) { printf("    %s %s %s: %s: %s\n", g->isa, g->name, what, vlm_error_where(), vlm_error_message()); g->bad++; }
    return !s;
}
static void within(golden *g, const char *what, double error, double allowed) {
    g->compared++;
    if (!(error <= allowed)) complain(g, what, "error %.3g, allowed %.3g", error, allowed);
    if (error / allowed > g->worst) g->worst = error / allowed, snprintf(g->worst_what, sizeof g->worst_what, "%s", what);
}
static void equal(golden *g, const char *what, double have, double want) {
    g->compared++;
    if (have != want) complain(g, what, "is %.17g, expected %.17g", have, want);
}
static void same_bits(golden *g, const char *what, uint64_t bits) {
    if (!g->bits) { g->bits = bits; return; }
    g->compared++;
    if (bits != g->bits) complain(g, what, "other bits", 0, 0);
}
static double num(const json_t *j, const char *key) { return json_number_value(json_object_get(j, key)); }
static double at(const json_t *j, const char *key, size_t i) { return json_number_value(json_array_get(json_object_get(j, key), i)); }
static double tolerance(const golden *g, const char *of) {
    const json_t *t = json_object_get(g->j, "tolerance");
    return json_is_object(t) ? num(t, of) : json_number_value(t);
}
/* The two names of a tied pair; NULL for every other tensor. */
static const char *alias(const char *name) {
    static const char *const pair[2] = { "decoder.head.weight", "decoder.token_embedding.weight" };
    return !strcmp(name, pair[0]) ? pair[1] : !strcmp(name, pair[1]) ? pair[0] : NULL;
}
static const vlm_tensor *stored(const vlm_safetensors *st, const char *name) {
    const vlm_tensor *t = vlm_safetensors_find(st, name);
    return t || !alias(name) ? t : vlm_safetensors_find(st, alias(name));
}

/* ---- Gradients: one batch ---- */

static void check_sample(golden *g, const vlm_example *e, int64_t i, const json_t *want) {
    char what[64];
    const json_t *ids = json_object_get(want, "ids"), *trained = json_object_get(want, "trained"), *grids = json_object_get(want, "grids");
    size_t n = json_array_size(ids);
    int64_t other = 0, wrong = 0;
    unsigned char *learnt = calloc(n + 1, 1);
    snprintf(what, sizeof what, "sample %d", (int)i);
    equal(g, what, (double)e->ids.n, (double)n);
    for (size_t k = 0; k < json_array_size(trained); k++)
        for (json_int_t t = json_integer_value(json_array_get(json_array_get(trained, k), 0));
             learnt && t < json_integer_value(json_array_get(json_array_get(trained, k), 1)); t++) learnt[t] = 1;
    for (size_t k = 0; learnt && k < n && k < e->ids.n; k++) {
        other += e->ids.id[k] != json_integer_value(json_array_get(ids, k));
        wrong += e->learnt[k] != learnt[k];
    }
    free(learnt);
    if (other) complain(g, what, "%g ids are others", (double)other, 0);
    if (wrong) complain(g, what, "%g ids are learnt and should not be, or the reverse", (double)wrong, 0);
    equal(g, what, (double)e->labels, num(want, "labels"));
    equal(g, what, (double)e->images, (double)json_array_size(grids));
    for (int64_t k = 0; k < e->images && (size_t)k < json_array_size(grids); k++) {
        const vlm_image_plan *p = &e->image[k].plan;
        const json_t *grid = json_array_get(grids, (size_t)k);
        bool tiles = p->rows * p->cols > 1 || p->n > 1 || strstr(g->name, "siglip");
        equal(g, what, (double)(tiles ? p->rows : p->tokens.h), json_number_value(json_array_get(grid, 0)));
        equal(g, what, (double)(tiles ? p->cols : p->tokens.w), json_number_value(json_array_get(grid, 1)));
    }
}
static void check_gradients(golden *g, const rig *r) {
    char path[1100];
    vlm_safetensors st = { 0 };
    const vlm_params *ps = &r->opt.grads->params;
    int64_t seen = 0;
    snprintf(path, sizeof path, "%s/training/%s/%s", root, g->name, json_string_value(json_object_get(g->j, "gradients")));
    if (!ok(g, path, vlm_safetensors_open(path, &st))) return;
    for (int i = 0; i < ps->n; i++) {
        const vlm_param *p = &ps->p[i];
        const vlm_tensor *t = stored(&st, p->name);
        int64_t n = vlm_param_len(p);
        if (p->tied) continue;
        if (!t || vlm_tensor_len(t) != n) { complain(g, p->name, t ? "has another size" : "has no golden gradient", 0, 0); continue; }
        float *want = malloc((size_t)n * sizeof *want), *have = malloc((size_t)n * sizeof *have);
        double error = 0, size = 0;
        seen++;
        if (want && have && ok(g, p->name, vlm_tensor_to_float(t, 0, n, want)) &&
            ok(g, p->name, vlm_params_values(p, r->ctx, &r->m->net->ops, 0, p->shape[0], have))) {
            for (int64_t k = 0; k < n; k++) {
                double d = have[k] / (double)r->batch.labels - want[k];
                error += d * d, size += (double)want[k] * want[k];
            }
            within(g, p->name, sqrt(error / size), tolerance(g, "gradients"));
        }
        free(want);
        free(have);
    }
    equal(g, "golden gradients that were compared", (double)seen, (double)st.count);
    vlm_safetensors_close(&st);
}
static uint64_t bits_of(const rig *r) {
    uint64_t h = vlm_hash(VLM_HASH, r->nll, (size_t)r->batch.labels * sizeof *r->nll);
    return vlm_hash(h, r->opt.grads->memory, r->opt.grads->bytes);
}
static void run_gradients(golden *g) {
    const json_t *samples = json_object_get(g->j, "samples");
    vlm_model_options o = { .isa = g->isa, .threads = 1 };
    vlm_pass_options all = { .trained = VLM_ALL_GROUPS };
    rig r;
    o.fork_maths = json_is_true(json_object_get(json_object_get(g->j, "options"), "fork-maths"));
    if (ok(g, "open", rig_open(&r, g->model, g->data, &o)) && ok(g, "batch", rig_run(&r, NULL, 0, 1, all))) {
        double sum = 0;
        equal(g, "samples", (double)r.n, (double)json_array_size(samples));
        for (int64_t i = 0; i < r.n && (size_t)i < json_array_size(samples); i++) {
            const json_t *want = json_array_get(samples, (size_t)i);
            check_sample(g, &r.example[i], i, want);
            within(g, "nll", fabs(rig_nll(&r, i) / num(want, "nll") - 1), tolerance(g, "nll") / 10);       /* losses are more exact */
        }
        for (int64_t k = 0; k < r.batch.labels; k++) sum += r.nll[k];
        equal(g, "labels", (double)r.batch.labels, num(g->j, "labels"));
        within(g, "loss", fabs(sum / (double)r.batch.labels / num(g->j, "loss") - 1), tolerance(g, "loss") / 10);
        within(g, "grad_norm", fabs(vlm_optimizer_norm(&r.opt, r.ctx) / (double)r.batch.labels / num(g->j, "grad_norm") - 1),
               tolerance(g, "grad_norm"));
        check_gradients(g, &r);
        same_bits(g, "one thread", bits_of(&r));
        vlm_caps room = rig_caps(&r.batch);
        room.units += 3, room.rows += 99, room.tokens += 77, room.image_tokens += 31, room.samples += 2, room.labels += 11;
        for (int threads = 1; g->best && threads <= 4; threads++)
            for (int recompute = 0; recompute < 2; recompute++) {
                char what[64];
                snprintf(what, sizeof what, "%d threads%s", threads, recompute ? ", recompute" : "");
                all.recompute = recompute;
                all.caps = threads == 3 ? room : (vlm_caps){ 0 };
                if (ok(g, what, rig_run(&r, NULL, 0, threads, all))) same_bits(g, what, bits_of(&r));
            }
    }
    rig_close(&r);
}

/* ---- Curve: 20 updates of vlm_train ---- */

static vlm_train_options options_of(const golden *g, const char *const *data, const char *run) {
    vlm_train_options o = vlm_train_defaults();
    const char *k;
    json_t *v;
    o.model = g->model, o.data = data, o.datas = 1, o.run = run;
    o.open.isa = g->isa;
    o.eval_every = o.save_every = 0;
    json_object_foreach(json_object_get(g->j, "options"), k, v) {
        double x = json_number_value(v);
        if (!strcmp(k, "no-shuffle")) o.no_shuffle = true;
        else if (!strcmp(k, "steps")) o.steps = (int64_t)x;
        else if (!strcmp(k, "batch-samples")) o.batch_samples = (int64_t)x;
        else if (!strcmp(k, "accumulate")) o.accumulate = (int64_t)x;
        else if (!strcmp(k, "mean-per-microbatch")) o.mean_per_microbatch = true;
        else if (!strcmp(k, "lr-vision")) o.lr[VLM_VISION] = x;
        else if (!strcmp(k, "lr-projector")) o.lr[VLM_PROJECTOR] = x;
        else if (!strcmp(k, "lr-language")) o.lr[VLM_LANGUAGE] = x;
        else if (!strcmp(k, "warmup")) o.warmup = x;
        else if (!strcmp(k, "weight-decay")) o.weight_decay = x;
        else if (!strcmp(k, "decay-all")) o.decay_all = true;
        else if (!strcmp(k, "max-grad-norm")) o.max_grad_norm = x;
        else if (!strcmp(k, "freeze"))
            for (int p = 0; p < VLM_GROUPS; p++) o.frozen |= strstr(json_string_value(v), groups[p]) ? 1u << p : 0;
        else { printf("training: unknown option %s\n", k); exit(2); }
    }
    return o;
}
static void on_update(void *user, const vlm_update *u) {
    golden *g = user;
    if (g->updates < UPDATES) {
        g->loss[g->updates] = u->loss, g->norm[g->updates] = u->grad_norm, g->labels[g->updates] = u->labels;
        memcpy(g->lr[g->updates], u->lr, sizeof u->lr);
    }
    g->updates++;
    if (u->skipped) complain(g, "update", "%g is skipped", (double)u->step, 0);
}
/* The weights of the last checkpoint against what each tensor became. */
static void check_weights(golden *g, const char *run) {
    char path[1200];
    vlm_safetensors before = { 0 }, after = { 0 };
    const json_t *tensors = json_object_get(g->j, "tensors"), *want;
    size_t i;
    snprintf(path, sizeof path, "%s/model.safetensors", g->model);
    if (!ok(g, path, vlm_safetensors_open(path, &before))) return;
    snprintf(path, sizeof path, "%s/step_%d/model.safetensors", run, UPDATES);
    if (!ok(g, path, vlm_safetensors_open(path, &after))) { vlm_safetensors_close(&before); return; }
    json_array_foreach(tensors, i, want) {
        const char *name = json_string_value(json_object_get(want, "tensor"));
        const vlm_tensor *a = stored(&before, name), *b = stored(&after, name);
        if (!a || !b || vlm_tensor_len(a) != vlm_tensor_len(b)) { complain(g, name, "is not in the checkpoint", 0, 0); continue; }
        int64_t n = vlm_tensor_len(a);
        float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
        if (x && y && ok(g, name, vlm_tensor_to_float(a, 0, n, x)) && ok(g, name, vlm_tensor_to_float(b, 0, n, y))) {
            double moved = num(want, "moved"), gone = 0, size = 0, sum = 0, rms = num(want, "rms"), share = tolerance(g, "moved");
            for (int64_t k = 0; k < n; k++) {
                double d = (double)y[k] - x[k];
                gone += d * d, size += (double)y[k] * y[k], sum += y[k];
            }
            gone = sqrt(gone / (double)n), size = sqrt(size / (double)n);
            /* where it went, too: root mean square and mean as far off as its change may be, and what float32 rounds */
            within(g, name, fabs(size - rms), share * (json_object_get(want, "moved") ? moved : rms) + 1e-7 * rms);
            if (!json_object_get(want, "moved")) {}
            else if (moved == 0) equal(g, name, gone, 0);
            else within(g, name, fabs(gone / moved - 1), share);
            if (json_object_get(want, "sum")) within(g, name, fabs(sum - num(want, "sum")) / (double)n, share * moved + 1e-7 * rms);
        }
        free(x);
        free(y);
    }
    equal(g, "tensors of the checkpoint", (double)(after.count - (vlm_safetensors_find(&after, "decoder.rotary_embd.inv_freq") != NULL)),
          (double)json_array_size(tensors));
    vlm_safetensors_close(&before);
    vlm_safetensors_close(&after);
}
static void check_curve(golden *g) {
    const json_t *lr = json_object_get(g->j, "lr");
    equal(g, "updates", g->updates, UPDATES);
    equal(g, "golden losses", (double)json_array_size(json_object_get(g->j, "loss")), UPDATES);
    for (int k = 0; k < UPDATES && k < g->updates; k++) {
        within(g, "loss", fabs(g->loss[k] / at(g->j, "loss", (size_t)k) - 1), tolerance(g, "loss"));
        within(g, "grad_norm", fabs(g->norm[k] / at(g->j, "grad_norm", (size_t)k) - 1), tolerance(g, "grad_norm"));
        equal(g, "labels", (double)g->labels[k], at(g->j, "labels", (size_t)k));
        for (int p = 0; p < VLM_GROUPS; p++) {
            if (json_object_get(lr, groups[p])) within(g, "lr", fabs(g->lr[k][p] / at(lr, groups[p], (size_t)k) - 1), 1e-12);
            else equal(g, "rate of a frozen part", g->lr[k][p], -1);
        }
    }
}
/* All bytes of the checkpoint's weights, moments and state. */
static bool checkpoint_bits(golden *g, const char *run, uint64_t *h) {
    static const char *const files[] = { "model.safetensors", "train_state.safetensors" };
    for (size_t i = 0; i < 2; i++) {
        char path[1200];
        vlm_map m;
        snprintf(path, sizeof path, "%s/step_%d/%s", run, UPDATES, files[i]);
        if (!ok(g, path, vlm_map_open(path, 0, &m))) return false;
        *h = vlm_hash(*h, m.data, m.size);
        vlm_map_close(&m);
    }
    return true;
}
static void run_curve(golden *g) {
    const char *data[1] = { g->data };
    for (int v = 1; v <= (g->best ? 5 : 1); v++) {
        char run[1024], what[64], cmd[1200];
        uint64_t h = VLM_HASH;
        vlm_train_options o = options_of(g, data, run);
        o.threads = v < 5 ? v : 2, o.recompute = v == 5;
        snprintf(run, sizeof run, "%s/run", work);
        snprintf(what, sizeof what, "%d threads%s", o.threads, o.recompute ? ", recompute" : "");
        g->updates = 0;
        if (ok(g, what, vlm_train(&o, &(vlm_train_hooks){ .user = g, .update = on_update }))) {
            if (v == 1) check_curve(g), check_weights(g, run);
            h = vlm_hash(VLM_HASH, g->loss, sizeof g->loss);
            h = vlm_hash(h, g->norm, sizeof g->norm);
            if (checkpoint_bits(g, run, &h)) same_bits(g, what, h);
        }
        snprintf(cmd, sizeof cmd, "rm -rf '%s'", run);
        if (system(cmd)) complain(g, what, "the run's folder stays", 0, 0);
    }
}

/* ---- All ---- */

/* *bits: of the fast instruction sets, from one to the next. */
static void run_case(const char *name, const char *isa, bool best, uint64_t *bits) {
    char path[1024];
    golden g = { .name = name, .isa = isa, .best = best, .bits = *bits };
    snprintf(path, sizeof path, "%s/training/%s/case.json", root, name);
    if (!ok(&g, path, vlm_json_read(path, &g.j))) { failed++; return; }
    snprintf(g.model, sizeof g.model, "%s/%s", root, json_string_value(json_object_get(g.j, "model")));
    snprintf(g.data, sizeof g.data, "%s/%s", root, json_string_value(json_object_get(g.j, "data")));
    if (!strcmp(json_string_value(json_object_get(g.j, "kind")), "curve")) run_curve(&g);
    else run_gradients(&g);
    json_decref(g.j);
    if (strcmp(isa, "ref")) *bits = g.bits;
    if (!g.compared && !g.bad) printf("    %s %s: compared nothing\n", isa, name), g.bad++;
    printf("%-7s %-24s %4d compared, worst %.3f of what is allowed (%s)%s\n",
           isa, name, g.compared, g.worst, g.worst_what, g.bad ? "  FAIL" : "");
    if (g.bad) failed++; else passed++;
}

int main(int argc, char **argv) {
    char *names[CASES];
    uint64_t bits[CASES] = { 0 };
    if (argc < 2) { fprintf(stderr, "usage: training FOLDER [CASE]\n"); return 2; }
    root = argv[1];
    if (!mkdtemp(work)) { perror(work); return 1; }
    int n = list_cases(root, "training", argc < 3 ? NULL : argv[2], names);
    unsigned cpu;
    int last = 2;
    while (last && vlm_isa_flags(isas[last], &cpu)) last--;
    for (int i = 0; i < 3; i++) {
        if (vlm_isa_flags(isas[i], &cpu)) { printf("%s NOT RUN: this CPU lacks it\n", isas[i]); skipped++; continue; }
        for (int k = 0; k < n; k++) run_case(names[k], isas[i], i == last, &bits[k]);
    }
    for (int k = 0; k < n; k++) free(names[k]);
    rmdir(work);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || !passed;
}

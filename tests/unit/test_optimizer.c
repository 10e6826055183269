/* The schedule, the norm, and updates by hand: rates and counts of updates by group, decay by kind, what rests. */
#include "temp.h"
#include "train/optimizer.h"
#include "train/settings.h"
#include <math.h>

static void close_to(double have, double want, double relative) {
    if (!(fabs(have - want) <= relative * fabs(want))) fail_msg("%.17g, expected %.17g", have, want);
}
static void schedule(void **state) {
    (void)state;
    const double rate = 5e-5;
    static const struct { int64_t it; double lr; } spec[] = {          /* 5000 steps, 150 of them warm-up */
        { 0, 5e-5 / 150 }, { 1, 1e-4 / 150 }, { 148, 5e-5 * 149 / 150 }, { 149, 5e-5 }, { 150, 5e-5 }, { 2575, 2.75e-5 }, { 5000, 5e-6 },
        { 5001, 5e-6 }, { 1 << 30, 5e-6 } };
    for (size_t i = 0; i < sizeof spec / sizeof *spec; i++) {
        close_to(rate * vlm_schedule(spec[i].it, 5000, 0.03, false), spec[i].lr, 1e-12);
        close_to(vlm_schedule(spec[i].it, 5000, 150, false), vlm_schedule(spec[i].it, 5000, 0.03, false), 1e-12);     /* steps as well */
    }
    assert_true(fabs(rate * vlm_schedule(0, 5000, 0.03, false) - 3.3333e-7) < 1e-11);
    for (int64_t i = 150; i < 5000; i++) assert_true(vlm_schedule(i + 1, 5000, 0.03, false) < vlm_schedule(i, 5000, 0.03, false));
    for (int64_t i = 0; i < 5000; i += 50) {
        close_to(vlm_schedule(i, 5000, 0.03, true), i < 150 ? (double)(i + 1) / 150 : 1, 1e-12);       /* constant: the same warm-up */
        close_to(vlm_schedule(i, 5000, 0, false), 0.1 + 0.45 * (1 + cos(3.14159265358979323846 * (double)i / 5000)), 1e-12);
        assert_true(vlm_schedule(i, 5000, 0, true) == 1);
    }
    close_to(vlm_schedule(0, 20, 0.03, false), 1 / 0.6, 1e-12);        /* the Python's: a warm-up of part of a step begins above the top */
    assert_true(vlm_schedule(3, 4, 10, false) == 0.4 && vlm_schedule(0, 1, 1, false) == 1);
    for (int64_t i = 0; i < 30; i++)           /* whatever the numbers, a rate is finite and not below zero */
        for (int k = 0; k < 40; k++) {
            double x = vlm_schedule(i, 1 + k % 7 * 4, k * 0.3, k & 1);
            assert_true(isfinite(x) && x >= 0);
        }
}

static vlm_net *net;
static vlm_ctx *ctx;
static int open_net(void **state) {
    (void)state;
    ctx = vlm_ctx_open(2, VLM_SCRATCH_BYTES);
    unsigned cpu = vlm_cpu_flags();
    return !ctx || vlm_net_open("tests/golden/models/vlm_dino", &(vlm_net_options){ .cpu = cpu, .threads = 1, .f32 = true }, &net) ? -1 : 0;
}
static int close_net(void **state) {
    (void)state;
    vlm_net_close(net);
    vlm_ctx_close(ctx);
    return 0;
}
static float *operand(const vlm_net *of, int i, int64_t *n) {
    void *p;
    return vlm_params_operand(&of->params, i, &p, n) ? p : NULL;
}
/* Some gradient for every parameter, padding left zero: element k of operand i. */
static float some(int i, int64_t k) { return (float)sin(i * 3.7 + (double)k * 0.61) * (i % 3 ? 0.01f : 2); }
static void fill(vlm_optimizer *o) {
    for (int i = 0; i < o->grads->params.n; i++) {
        int64_t n;
        float *g = operand(o->grads, i, &n);
        for (int64_t k = 0; g && k < n; k++) g[k] = some(i, k);
    }
}

static void norms(void **state) {
    (void)state;
    vlm_optimizer o;
    for (unsigned trained = 1; trained <= VLM_ALL_GROUPS; trained++) {
        double sum = 0;
        assert_ok(vlm_optimizer_open(net, trained, false, &o));
        assert_true(vlm_optimizer_norm(&o, ctx) == 0);
        fill(&o);
        for (int i = 0; i < o.grads->params.n; i++) {
            int64_t n;
            if (operand(o.grads, i, &n)) for (int64_t k = 0; k < n; k++) sum += (double)some(i, k) * some(i, k);
        }
        double norm = vlm_optimizer_norm(&o, ctx);
        close_to(norm, sqrt(sum), 1e-6);
        vlm_ctx *one = vlm_ctx_open(1, VLM_SCRATCH_BYTES), *five = vlm_ctx_open(5, VLM_SCRATCH_BYTES);
        assert_true(one && five);
        five->eager = true;
        assert_true(vlm_optimizer_norm(&o, one) == norm && vlm_optimizer_norm(&o, five) == norm);
        vlm_ctx_close(one);
        vlm_ctx_close(five);
        int64_t n;
        int last = o.grads->params.n - 1;
        while (!operand(o.grads, last, &n)) last--;
        operand(o.grads, last, &n)[n - 1] = NAN;
        assert_true(isnan(vlm_optimizer_norm(&o, ctx)));
        operand(o.grads, last, &n)[n - 1] = INFINITY;
        assert_true(isinf(vlm_optimizer_norm(&o, ctx)));
        vlm_optimizer_zero(&o, ctx);
        assert_true(vlm_optimizer_norm(&o, ctx) == 0);
        vlm_optimizer_close(&o);
    }
}

/* Three updates: all groups, then without vision and projector, then all again, against AdamW as PyTorch writes it, in double. */
static void updates(void **state) {
    (void)state;
    const double lr[VLM_GROUPS] = { 1e-3, 2e-2, 5e-3 }, decay = 0.5, scale = 0.25;
    const unsigned groups[3] = { VLM_ALL_GROUPS, 1u << VLM_LANGUAGE, VLM_ALL_GROUPS };
    for (int decay_all = 0; decay_all < 2; decay_all++) {
        vlm_optimizer o;
        int64_t t[VLM_GROUPS] = { 0 };
        int decayed = 0, kept = 0;
        assert_ok(vlm_optimizer_open(net, VLM_ALL_GROUPS, decay_all, &o));
        size_t room = net->bytes / sizeof(real), at = 0;
        double *want = calloc(room, 3 * sizeof *want), *m = want + room, *v = m + room;
        assert_non_null(want);
        uint64_t before = vlm_net_hash(net);
        for (int i = 0; i < net->params.n; i++) {
            int64_t n;
            const float *p = operand(net, i, &n);
            for (int64_t k = 0; p && k < n && k < 50; k++) want[at++] = p[k];
            if (!p) continue;
        }
        for (int s = 0; s < 3; s++) {
            fill(&o);
            vlm_optimizer_step(&o, ctx, groups[s], t, (float)scale, lr, decay);
            for (int g = 0; g < VLM_GROUPS; g++) t[g] += groups[s] >> g & 1;
            at = 0;
            for (int i = 0; i < net->params.n; i++) {
                const vlm_param *row = &net->params.p[i];
                int64_t n;
                float *p = operand(net, i, &n), *hm = operand(o.m, i, &n), *hv = operand(o.v, i, &n);
                bool matrix = row->ndim >= 2 && !strstr(row->name, "cls_token") && !strstr(row->name, "register_tokens") &&
                              !strstr(row->name, "token_embedding");
                if (!p) continue;
                if (!s) decayed += matrix, kept += !matrix;
                for (int64_t k = 0; k < n && k < 50; k++, at++) {
                    if (groups[s] & 1u << row->group) {
                        double g = some(i, k) * scale;
                        want[at] *= 1 - lr[row->group] * (matrix || decay_all ? decay : 0);
                        m[at] = 0.9 * m[at] + 0.1 * g, v[at] = 0.999 * v[at] + 0.001 * g * g;
                        want[at] -= lr[row->group] * (m[at] / (1 - pow(0.9, (double)t[row->group]))) /
                                    (sqrt(v[at] / (1 - pow(0.999, (double)t[row->group]))) + 1e-8);
                    }
                    /* beta2 is a float: 1 - beta2 is 0.001 to 1.3e-5, which v shows, and v / c2 does not */
                    if (!(fabs(p[k] - want[at]) <= 2e-6 * fabs(want[at]) + 2e-6 * lr[row->group]) ||
                        !(fabs(hm[k] - m[at]) <= 1e-6 * fabs(m[at]) + 1e-9) || !(fabs(hv[k] - v[at]) <= 3e-5 * fabs(v[at]) + 1e-12))
                        fail_msg("update %d, %s[%d]: %.9g, expected %.9g", s, row->name, (int)k, p[k], want[at]);
                }
            }
        }
        assert_true(decayed > 10 && kept > 20 && vlm_net_hash(net) != before);
        free(want);
        vlm_optimizer_close(&o);
    }
}
/* A group that rests keeps weights and moments to the bit. */
static void resting(void **state) {
    (void)state;
    const double lr[VLM_GROUPS] = { 1e-3, 1e-3, 1e-3 };
    const int64_t t[VLM_GROUPS] = { 3, 3, 3 };
    vlm_optimizer o;
    assert_ok(vlm_optimizer_open(net, VLM_ALL_GROUPS, true, &o));
    for (unsigned groups = 0; groups < VLM_ALL_GROUPS; groups++) {
        float *was = malloc(net->bytes), *was_m = malloc(o.m->bytes);
        int moved = 0;
        assert_true(was && was_m);
        memcpy(was, net->memory, net->bytes);
        memcpy(was_m, o.m->memory, o.m->bytes);
        fill(&o);
        vlm_optimizer_step(&o, ctx, groups, t, 1, lr, 0.1);
        for (int i = 0; i < net->params.n; i++) {
            int64_t n, k;
            float *p = operand(net, i, &k), *m = operand(o.m, i, &n);
            if (!p) continue;
            bool same = !memcmp(p, was + (p - (float *)net->memory), (size_t)k * 4) &&
                        !memcmp(m, was_m + (m - (float *)o.m->memory), (size_t)n * 4);
            if (same == (groups >> net->params.p[i].group & 1)) fail_msg("groups %u: %s", groups, net->params.p[i].name);
            moved += !same;
        }
        assert_true(moved > 0 || !groups);
        free(was);
        free(was_m);
    }
    vlm_optimizer_close(&o);
    vlm_optimizer_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule), cmocka_unit_test(norms), cmocka_unit_test(updates), cmocka_unit_test(resting),
    };
    return cmocka_run_group_tests_name("optimizer", tests, open_net, close_net);
}

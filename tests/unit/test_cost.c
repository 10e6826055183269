/* Predictions of time: what they grow with, and what they cannot be. How near they come is measured by vlm bench growth. */
#include "temp.h"
#include "infer/cost.h"
#include "infer/model.h"
#include <math.h>

static const vlm_limits machine = { .fma = 1e11, .read = 1e10 };
static vlm_model *open_structure(const char *dir) {
    vlm_model *m;
    assert_ok(vlm_model_open_as(dir, &(vlm_model_options){ .threads = 1 }, VLM_OPEN_STRUCTURE, &m));
    return m;
}
static double encode(const vlm_model *m, const vlm_limits *l, vlm_grid g, int64_t n) {
    vlm_grid grid[32];
    for (int64_t i = 0; i < n; i++) grid[i] = g;
    return vlm_seconds_sum(vlm_cost_encode(m->net, l, grid, n));
}

static void images(void **state) {
    (void)state;
    vlm_model *m = open_structure("tests/golden/models/vlm_dino"), *text = open_structure("tests/golden/models/llama");
    double one = encode(m, &machine, (vlm_grid){ 32, 32 }, 1), most = encode(m, &machine, (vlm_grid){ 32, 32 }, 32);
    assert_true(one > 0 && most > 20 * one && most < 33 * one);        /* what an op costs to start is shared */
    vlm_seconds s = vlm_cost_encode(m->net, &machine, &(vlm_grid){ 32, 32 }, 1);
    vlm_seconds t = vlm_cost_encode(m->net, &machine, &(vlm_grid){ 64, 64 }, 1);
    assert_true(t.attention > 15 * s.attention && t.attention < 17 * s.attention);             /* the square of the area */
    assert_true(t.linear > 3 * s.linear && t.linear < 5 * s.linear);
    vlm_limits fast = { .fma = 2 * machine.fma, .read = 2 * machine.read };
    vlm_seconds u = vlm_cost_encode(m->net, &fast, &(vlm_grid){ 64, 64 }, 1);
    assert_true(fabs(u.linear / t.linear - 0.5) < 1e-9 && fabs(u.attention / t.attention - 0.5) < 1e-9);
    assert_true(encode(text, &machine, (vlm_grid){ 32, 32 }, 1) == 0 && encode(m, &machine, (vlm_grid){ 32, 32 }, 0) == 0);
    vlm_model_close(m);
    vlm_model_close(text);
}
static void text(void **state) {
    (void)state;
    vlm_model *m = open_structure("tests/golden/models/llama"), *vision = open_structure("tests/golden/models/dinov3_s");
    double prompt[2], token[2];
    for (int i = 0; i < 2; i++) {
        prompt[i] = vlm_seconds_sum(vlm_cost_prefill(m->net, &machine, i ? 8192 : 1024, 0));
        token[i] = vlm_seconds_sum(vlm_cost_token(m->net, &machine, i ? 8192 : 1024, VLM_F32));
    }
    assert_true(prompt[1] > 8 * prompt[0] && token[1] > token[0] && token[0] > 0);
    double near = vlm_seconds_sum(vlm_cost_prefill(m->net, &machine, 512, 0));
    assert_true(vlm_seconds_sum(vlm_cost_prefill(m->net, &machine, 512, 7000)) > near);
    assert_true(vlm_seconds_sum(vlm_cost_token(m->net, &machine, 8192, VLM_I8)) < token[1]);
    assert_true(vlm_seconds_sum(vlm_cost_prefill(m->net, &machine, 0, 0)) == 0);
    assert_true(vlm_seconds_sum(vlm_cost_token(vision->net, &machine, 9, VLM_F32)) == 0);
    assert_true(vlm_seconds_sum(vlm_cost_prefill(vision->net, &machine, 9, 0)) == 0);
    vlm_model_close(m);
    vlm_model_close(vision);
}
/* Weights of whole numbers, and attention in them, at the speed of whole numbers, where the machine has one. */
static void whole_numbers(void **state) {
    (void)state;
    vlm_model *m = open_structure("tests/golden/models/vlm_dino");
    const vlm_limits both = { .fma = machine.fma, .read = machine.read, .dot = 4 * machine.fma };
    const vlm_grid g = { 64, 64 };
    vlm_seconds f = vlm_cost_encode(m->net, &both, &g, 1);
    for (int64_t l = 0; l < m->net->vit.cfg.L; l++) {
        vlm_vit_block *b = &m->net->vit.block[l];
        b->qkv.dtype = b->out.dtype = b->up.dtype = b->down.dtype = VLM_I8;
    }
    vlm_seconds i8 = vlm_cost_encode(m->net, &both, &g, 1);
    assert_true(i8.linear < 0.6 * f.linear && i8.attention == f.attention);
    m->net->vit.cfg.int8 = m->net->ops.fast_bytes = true;
    i8 = vlm_cost_encode(m->net, &both, &g, 1);
    assert_true(i8.attention < 0.6 * f.attention && i8.rest == f.rest);
    assert_true(vlm_cost_encode(m->net, &machine, &g, 1).attention == f.attention);
    vlm_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(images), cmocka_unit_test(text), cmocka_unit_test(whole_numbers) };
    return cmocka_run_group_tests_name("cost", tests, temp_open, temp_close);
}

/* Weights out of memory and back: the values that a net holds are those it was given, in any range of rows and any type of memory; a model
   that is saved and opened again is the same; rounding is to the nearest, ties to even; what a type cannot hold is refused by name. */
#include "folder.h"
#include "model/save.h"
#include "ops/ops.h"

static const char *const all[] = {
    "dinov2", "dinov2_giant", "dinov2_reg", "dinov3_7b", "dinov3_bf16", "dinov3_heads72_f16", "dinov3_lplus", "dinov3_sharded", "gemma3",
    "gemma3_bf16", "llama_f16", "llama_untied", "siglip", "siglip_nested", "vlm_dino", "vlm_dino_bf16", "vlm_dino_plain", "vlm_gemma",
    "vlm_siglip_fork", "vlm_siglip_up", "vlm_fork_maths" };
enum { MODELS = sizeof all / sizeof *all };
static const char *golden(const char *name) {
    static char buf[2][256];
    static int k;
    snprintf(buf[k = !k], sizeof *buf, "tests/golden/models/%s", name);
    return buf[k];
}
static vlm_net *opened(const char *dir, bool f32, bool structure, bool fork) {
    vlm_net *net = NULL;
    assert_ok(vlm_net_open(dir, &(vlm_net_options){ .cpu = vlm_cpu_flags(), .threads = 2, .f32 = f32, .structure_only = structure,
                                                    .fork_maths = fork }, &net));
    return net;
}

/* What is in memory is what is in the files: whole, and in ranges that begin and end anywhere. */
static void values(void **state) {
    (void)state;
    vlm_ctx *ctx = vlm_ctx_open(2, VLM_SCRATCH_BYTES);
    for (int m = 0; m < MODELS; m++)
        for (int f32 = 0; f32 < 2; f32++) {
            bool fork = !strcmp(all[m], "vlm_fork_maths");
            vlm_net *a = opened(golden(all[m]), f32, false, fork), *b = opened(golden(all[m]), false, true, fork);
            assert_true(a->params.n == b->params.n && a->params.n > 0);
            for (int i = 0; i < a->params.n; i++) {
                const vlm_param *p = &a->params.p[i], *q = &b->params.p[i];
                int64_t n = vlm_param_len(p), R = p->shape[0], C = n / R;
                float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
                assert_string_equal(p->name, q->name);
                if (f32 && p->mat) assert_int_equal(p->mat->dtype, VLM_F32);
                assert_ok(vlm_params_values(p, ctx, &a->ops, 0, R, x));
                assert_ok(vlm_params_source(q, b->weights, 0, R, y));
                assert_memory_equal(x, y, (size_t)n * sizeof *x);
                const int64_t from[] = { 0, 1, R / 3, R - 1, R / 2 }, to[] = { 1, R, R / 3 * 2 + 1, R, R / 2 + 1 };
                for (int k = 0; k < 5; k++) {
                    if (from[k] >= to[k]) continue;
                    size_t bytes = (size_t)((to[k] - from[k]) * C) * sizeof *x;
                    assert_ok(vlm_params_values(p, ctx, &a->ops, from[k], to[k] - from[k], y));
                    assert_memory_equal(x + from[k] * C, y, bytes);
                    assert_ok(vlm_params_source(q, b->weights, from[k], to[k] - from[k], y));
                    assert_memory_equal(x + from[k] * C, y, bytes);
                }
                free(x);
                free(y);
            }
            if (f32 && a->language == &vlm_gemma3) assert_true(a->lm.cfg.embed_scale == (float)sqrt((double)a->lm.cfg.D));
            vlm_net_close(a);
            vlm_net_close(b);
        }
    vlm_ctx_close(ctx);
}

/* A whole model out of memory into a folder of its other files: opens as the same model without a word, tensors equal. */
static void folders(void **state) {
    (void)state;
    static const char *const whole[] = { "vlm_dino", "vlm_dino_bf16", "vlm_gemma", "vlm_siglip_fork", "vlm_siglip_up" };
    vlm_ctx *ctx = vlm_ctx_open(2, VLM_SCRATCH_BYTES);
    for (size_t m = 0; m < sizeof whole / sizeof *whole; m++) {
        char cmd[1200], weights[600], out[512];
        vlm_net *a = opened(golden(whole[m]), true, false, false), *b, *c;
        snprintf(out, sizeof out, "%s", temp("saved"));
        snprintf(weights, sizeof weights, "%s/model.safetensors", out);
        snprintf(cmd, sizeof cmd, "rm -rf '%s' && cp -r '%s' '%s'", out, golden(whole[m]), out);
        assert_int_equal(system(cmd), 0);
        assert_ok(vlm_net_save(weights, a, ctx, VLM_T_F32));
        listen();
        b = opened(out, false, true, false);
        c = opened(golden(whole[m]), false, true, false);
        vlm_log_set(NULL, NULL, NULL);
        assert_int_equal(a->params.n, b->params.n);
        for (int i = 0; i < b->params.n; i++) {
            const vlm_param *p = &b->params.p[i], *q = &c->params.p[i];
            int64_t n = vlm_param_len(p);
            float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
            assert_int_equal(p->part[0]->dtype, VLM_T_F32);
            assert_ok(vlm_params_source(p, b->weights, 0, p->shape[0], x));
            assert_ok(vlm_params_source(q, c->weights, 0, q->shape[0], y));
            assert_memory_equal(x, y, (size_t)n * sizeof *x);
            free(x);
            free(y);
        }
        vlm_net_close(a);
        vlm_net_close(b);
        vlm_net_close(c);
    }
    vlm_ctx_close(ctx);
}

/* Every 16-bit value survives; between neighbours the nearest is taken, half-way the even one. */
static void rounding(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7C00; h++)
        for (int sign = 0; sign < 2; sign++) {
            uint16_t u = (uint16_t)(h | (sign ? 0x8000u : 0));
            float x = vlm_f16_float(u), y = h + 1 < 0x7C00 ? vlm_f16_float((uint16_t)(u + 1)) : sign ? -65536.0f : 65536.0f;
            assert_int_equal(vlm_float_f16(x), u);
            float half = (float)(((double)x + y) / 2);
            uint16_t even = h % 2 ? (uint16_t)(u + 1) : u;
            assert_int_equal(vlm_float_f16(half), even);
            assert_int_equal(vlm_float_f16(nextafterf(half, x)), u);
            assert_int_equal(vlm_float_f16(nextafterf(half, y)), (uint16_t)(u + 1));
        }
    for (uint32_t h = 0; h < 0x7F7F; h++) {
        float x = vlm_bf16_float((uint16_t)h), y = vlm_bf16_float((uint16_t)(h + 1)), half = (float)(((double)x + y) / 2);
        assert_int_equal(vlm_float_bf16(x), h);
        assert_int_equal(vlm_float_bf16(half), h % 2 ? h + 1 : h);
        assert_int_equal(vlm_float_bf16(nextafterf(half, x)), h);
        assert_int_equal(vlm_float_bf16(nextafterf(half, y)), h + 1);
    }
    assert_int_equal(vlm_float_bf16(-3.3961776e38f), 0xFF80);          /* rounds past the largest */
    assert_int_equal(vlm_float_bf16(NAN) & 0x7FFF, 0x7F80);
    assert_int_equal(vlm_float_f16(NAN) & 0x7FFF, 0x7C00);
    assert_int_equal(vlm_float_f16(INFINITY), 0x7C00);
}

static vlm_status write_one(vlm_tensor_dtype dtype, float value) {
    vlm_safetensors_writer *w;
    float x[5000] = { 0 };
    x[4500] = value;
    assert_ok(vlm_safetensors_writer_open(temp("one.safetensors"), &w));
    assert_ok(vlm_safetensors_writer_declare(w, "a.weight", dtype, 1, (const int64_t[]){ 5000 }));
    vlm_status s = vlm_safetensors_writer_put_float(w, "a.weight", x, 5000);
    if (s) vlm_safetensors_writer_cancel(w);
    else assert_ok(vlm_safetensors_writer_commit(w));
    return s;
}
static void refusals(void **state) {
    (void)state;
    static const vlm_tensor_dtype types[] = { VLM_T_F32, VLM_T_BF16, VLM_T_F16 };
    for (int i = 0; i < 3; i++) {
        assert_failure(write_one(types[i], NAN), VLM_EFORMAT, "one.safetensors", "a.weight has NaN");
        assert_failure(write_one(types[i], -INFINITY), VLM_EFORMAT, "one.safetensors", "a.weight has NaN or infinite");
    }
    assert_ok(write_one(VLM_T_F16, 65519));
    assert_failure(write_one(VLM_T_F16, -65520), VLM_EFORMAT, "one.safetensors", "a.weight has the value -65520, more than F16");
    assert_failure(write_one(VLM_T_BF16, 3.4e38f), VLM_EFORMAT, "one.safetensors", "more than BF16");
    assert_ok(write_one(VLM_T_F32, 3.4e38f));
    assert_failure(write_one(VLM_T_I32, 1), VLM_EARG, "one.safetensors", "a.weight");
    assert_int_equal(temp_count() > 0, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(folders), cmocka_unit_test(rounding),
                                        cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

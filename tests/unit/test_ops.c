#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "ops/ops.h"

/* What a device needs of the table; the maths is tested by checkops. */
static void memory_of_the_table(void **state) {
    (void)state;
    vlm_ops o;
    vlm_ctx *ctx = vlm_ctx_open(2, VLM_SCRATCH_BYTES);
    assert_non_null(ctx);
    vlm_ops_init(&o, vlm_cpu_flags());
    static const size_t BYTES[] = { 0, 1, 64, 100, (2u << 20) - 1, 2u << 20, (2u << 20) + 1, 5u << 20 };
    for (size_t i = 0; i < sizeof BYTES / sizeof *BYTES; i++) {
        size_t n = BYTES[i];
        unsigned char *p = o.alloc(n), in[5] = { 1, 2, 3, 4, 5 }, out[5] = { 0 };
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        o.zero(ctx, p, n);
        for (size_t j = 0; j < n; j++) assert_int_equal(p[j], 0);
        if (n >= 100) {
            o.upload(ctx, p + n - 5, in, 5);
            o.download(ctx, out, p + n - 5, 5);
            o.sync(ctx);
            assert_memory_equal(in, out, 5);
        }
        o.upload(ctx, p, NULL, 0);
        o.download(ctx, NULL, p, 0);
        o.free(p, n);
    }
    assert_null(o.alloc(SIZE_MAX));
    assert_null(o.alloc(SIZE_MAX - 4096));
    o.free(NULL, 0);
    vlm_ctx_close(ctx);
}

static void every_op_is_there(void **state) {
    (void)state;
    static const unsigned CPU[] = { 0, VLM_CPU_AVX2, VLM_CPU_AVX2 | VLM_CPU_AVXVNNI, VLM_CPU_AVX2 | VLM_CPU_AVX512,
                                    VLM_CPU_AVX2 | VLM_CPU_AVX512 | VLM_CPU_AVX512VNNI };
    for (int i = 0; i < 5; i++) {
        vlm_ops o;
        vlm_ops_init(&o, CPU[i]);                      /* filling a table runs none of it */
#define OP(name, ...) assert_true(o.name != NULL);
#include "ops/ops.def"
#undef OP
    }
    unsigned cpu = vlm_cpu_flags();
    assert_false((cpu & VLM_CPU_AVX512) && !(cpu & VLM_CPU_AVX2));
    assert_false((cpu & VLM_CPU_AVXVNNI) && !(cpu & VLM_CPU_AVX2));
    assert_false((cpu & VLM_CPU_AVX512VNNI) && !(cpu & VLM_CPU_AVX512));
}

static void where_an_element_lies(void **state) {
    (void)state;
    vlm_mat rows = { VLM_F32, VLM_ROWS, 33, 5, NULL }, panels = { VLM_BF16, VLM_PANELS, 33, 5, NULL };
    assert_int_equal(vlm_mat_len(&rows), 165);
    assert_int_equal(vlm_mat_len(&panels), 320);
    assert_int_equal(vlm_mat_at(&rows, 32, 4), 164);
    assert_int_equal(vlm_mat_at(&panels, 31, 4), 159);
    assert_int_equal(vlm_mat_at(&panels, 32, 4), 288);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(memory_of_the_table), cmocka_unit_test(every_op_is_there),
                                        cmocka_unit_test(where_an_element_lies) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

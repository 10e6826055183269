#include "open.h"
#include "io/npy.h"
#include <stdlib.h>

vlm_status vlm_cmd_preprocess(vlm_args *a) {
    vlm_model_options o = vlm_options_of(a);
    vlm_model *m = NULL;
    vlm_bitmap b = { 0 };
    vlm_image_plan p;
    vlm_ctx *ctx = NULL;
    void *work = NULL, *out = NULL;
    vlm_status status;
    TRY(vlm_need_output(a));
    TRY(vlm_check_ending("--output", a->output, ".npy"));
    TRY(vlm_check_output(a, a->output));
    TRY_DONE(vlm_model_open_as(a->arg[0], &o, VLM_OPEN_STRUCTURE, &m));
    TRY_DONE(vlm_need_vision(a, m));
    TRY_DONE(vlm_bitmap_open(a->arg[1], &m->limits, &b));
    TRY_DONE(vlm_image_plan_make(&m->rule, b.w, b.h, a->arg[1], &p));
    size_t room = vlm_process_bytes(&m->rule, &p),
           bytes = a->u8 ? (size_t)(p.H * p.W * 3) : (size_t)(p.n * 3 * p.tile_h * p.tile_w) * sizeof(float);
    if (room > SIZE_MAX - 64 || !(work = aligned_alloc(64, (room + 64) & ~(size_t)63)) || !(out = malloc(bytes))) {
        status = vlm_fail_memory(a->arg[1], room + bytes);
        goto done;
    }
    if (!(ctx = vlm_ctx_open(a->threads ? (int)a->threads : vlm_cores(), VLM_SCRATCH_BYTES))) {
        status = vlm_fail_memory("the threads", VLM_SCRATCH_BYTES);
        goto done;
    }
    vlm_process(ctx, &m->net->ops, &m->rule, &p, &b, a->u8 ? out : NULL, a->u8 ? NULL : out, work);
    bool tiles = m->rule.kind == VLM_RULE_TILES && !a->u8;
    const int64_t u8[] = { p.H, p.W, 3 }, f32[] = { p.n, 3, p.tile_h, p.tile_w }, *shape = a->u8 ? u8 : f32 + !tiles;
    vlm_hold();
    status = vlm_npy_write(a->output, a->u8 ? VLM_T_U8 : VLM_T_F32, tiles ? 4 : 3, shape, out);
    vlm_status stopped = vlm_release();
    if (!status) status = stopped;
    if (!status) {
        char text[VLM_SHAPE_CHARS];
        vlm_shape_string(tiles ? 4 : 3, shape, text);
        if (a->json)
            status = vlm_json_out(json_pack("{s:o,s:s,s:o}", "path", vlm_json_text(a->output), "dtype", a->u8 ? "uint8" : "float32",
                                            "shape", vlm_json_ints(shape, tiles ? 4 : 3)));
        else printf("%s: %s %s\n", a->output, a->u8 ? "uint8" : "float32", text);
    }
done:
    vlm_ctx_close(ctx);
    free(work);
    free(out);
    vlm_bitmap_close(&b);
    vlm_model_close(m);
    return status;
}

#include "open.h"
#include "infer/convert.h"

vlm_status vlm_cmd_convert(vlm_args *a) {
    vlm_model_options options = vlm_options_of(a);
    vlm_convert_options o = { .out = a->output, .force = a->force, .to = a->to, .dtype = a->dtype,
                              .packed = a->packed, .threads = (int)a->threads };
    vlm_model *m;
    if (!a->output) return vlm_usage("--output", "is missing; say with -o which folder to write");
    TRY(vlm_model_open_as(a->arg[0], &options, VLM_OPEN_STRUCTURE, &m));
    vlm_hold();
    vlm_status status = vlm_convert(m, &o), stopped = vlm_release();
    vlm_model_close(m);
    if (!status) status = stopped;
    if (status) return status;
    if (a->json) return vlm_json_out(json_pack("{s:o}", "path", vlm_json_text(a->output)));
    printf("%s\n", a->output);
    return VLM_OK;
}

#include "term.h"
#include "base/nearest.h"
#include "infer/new.h"
#include <string.h>

static vlm_status list_presets(const vlm_args *a) {
    int n;
    const vlm_preset *p = vlm_presets(&n);
    if (a->json) {
        json_t *list = json_array();
        for (int i = 0; i < n; i++) json_array_append_new(list, json_pack("{s:s,s:s}", "name", p[i].name, "about", p[i].about));
        return vlm_json_out(json_pack("{s:o}", "presets", list));
    }
    vlm_table t = { 0 };
    for (int i = 0; i < n; i++) vlm_table_row(&t, "%s\t%s", p[i].name, p[i].about);
    vlm_table_print(&t, stdout);
    return VLM_OK;
}
static vlm_status check_preset(const char *name) {
    int n;
    const vlm_preset *p = vlm_presets(&n);
    const char *names[16] = { 0 }, *best;
    for (int i = 0; i < n && i < 15; i++) if (!strcmp(names[i] = p[i].name, name)) return VLM_OK;
    if ((best = vlm_nearest(name, names))) return vlm_usage("--preset", "\"%s\" is not known; did you mean %s?", name, best);
    return vlm_usage("--preset", "\"%s\" is not known; `--preset help` lists them", name);
}
vlm_status vlm_cmd_new(vlm_args *a) {
    if (a->preset && !strcmp(a->preset, "help")) {
        if (a->output) return vlm_usage("--preset", "help lists the presets and makes nothing; leave -o out or name one");
        return list_presets(a);
    }
    if (a->preset && a->projector) return vlm_usage("--preset", "draws its own projector; leave --projector out");
    if (a->preset && (a->vision || a->language))
        return vlm_usage("--preset", "brings its own backbones; leave --vision and --language out");
    if (!a->preset && (!a->vision || !a->language))
        return vlm_usage(a->vision ? "--language" : "--vision",
                         "is missing; give --vision DIR and --language DIR, or --preset NAME (`--preset help` lists them)");
    if (a->preset) TRY(check_preset(a->preset));
    if (!a->output) return vlm_usage("--output", "is missing; say with -o which folder to make");
    vlm_new_options o = { .vision = a->vision,
                          .language = a->language,
                          .preset = a->preset,
                          .projector = a->projector,
                          .out = a->output,
                          .force = a->force,
                          .seed = (uint64_t)a->seed,
                          .shuffle = a->shuffle,
                          .max_size_px = a->max_size,
                          .max_image_tokens = a->max_image_tokens,
                          .context = a->context,
                          .no_upscale = a->no_upscale,
                          .dtype = a->dtype,
                          .chat_template = a->template_ };
    vlm_hold();
    vlm_status status = vlm_new(&o), stopped = vlm_release();
    if (!status) status = stopped;
    if (status) return status;
    if (!a->projector)
        vlm_note(a->preset ? "vlm: all weights are random: answers mean nothing before training"
                           : "vlm: the projector is random: answers about images mean nothing before training");
    if (a->json) return vlm_json_out(json_pack("{s:o}", "path", vlm_json_text(a->output)));
    printf("%s\n", a->output);
    return VLM_OK;
}

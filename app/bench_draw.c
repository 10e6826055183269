#include "bench_draw.h"
#include "base/file.h"
#include "infer/folder.h"
#include "infer/new.h"
#include "model/save.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct drawing { const vlm_net *net; vlm_tensor_dtype dtype; uint32_t state; } drawing;
/* Matrices uniform with deviation 1/sqrt(inputs), so that nothing over- or underflows; norms and scales neutral, the rest 0. */
static vlm_status values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    drawing *d = user;
    int64_t each = vlm_param_len(p) / p->shape[0];
    bool neutral = strstr(p->name, "norm") || strstr(p->name, ".ln") || strstr(p->name, "lambda_param");
    float one = p->group == VLM_LANGUAGE ? 1 - d->net->lm.cfg.norm_offset : 1, by = (float)(sqrt(3.0 / (double)each) / 2147483648.0);
    (void)row;
    for (int64_t i = 0; i < rows * each; i++) {
        d->state ^= d->state << 13, d->state ^= d->state >> 17, d->state ^= d->state << 5;
        out[i] = p->ndim > 1 ? (float)(int32_t)d->state * by : neutral ? one : 0;
    }
    return VLM_OK;
}
static vlm_tensor_dtype dtype(void *user, const vlm_param *p) { (void)p; return ((const drawing *)user)->dtype; }

vlm_status vlm_backbone_draw(const vlm_backbone *x, const char *type, const char *dir) {
    int n;
    const vlm_preset *p = vlm_presets(&n);
    drawing d = { .state = 88172645u };
    vlm_net *net = calloc(1, sizeof *net);
    json_t *config = NULL;
    char *weights = vlm_join(dir, "model.safetensors");
    vlm_status status = VLM_OK;
    if (vlm_is_dir(dir)) goto done;
    if (!net || !weights) { status = vlm_fail_memory(dir, sizeof *net); goto done; }
    for (int i = 0; i < n - 1 && strcmp(p->name, x->preset); i++) p++;
    const char *text = x->group == VLM_VISION ? p->vision : p->language;
    TRY_DONE(vlm_store_dtype(type, &d.dtype));
    TRY_DONE(vlm_json_parse(text, strlen(text), x->name, &config));
    const vlm_family *family = vlm_family_by_type(json_string_value(json_object_get(config, "model_type")));
    if (x->group == VLM_VISION) {
        vlm_vit_config c;
        net->vision = family;
        TRY_DONE(family->vit(config, x->name, &c));
        TRY_DONE(vlm_vit_init(&net->vit, &c));
    } else {
        vlm_lm_config c;
        net->language = family;
        TRY_DONE(family->lm(config, x->name, &c));
        TRY_DONE(vlm_lm_init(&net->lm, &c));
    }
    TRY_DONE(vlm_net_params(net));
    d.net = net;
    if (mkdir(dir, 0777)) { status = vlm_fail_errno(dir, "make"); goto done; }
    TRY_DONE(vlm_folder_write(dir, "config.json", json_incref(config)));
    status = vlm_family_store(weights, net, x->group, &(vlm_source){ values, dtype, &d });
done:
    json_decref(config);
    free(weights);
    vlm_net_close(net);
    return status;
}

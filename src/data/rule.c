#include "data/rule.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = { [VLM_RULE_DYNAMIC] = "dynamic", [VLM_RULE_FIXED] = "fixed", [VLM_RULE_TILES] = "tiles" };
static const char *const filters[] = { [VLM_BILINEAR] = "bilinear", [VLM_BICUBIC] = "bicubic" };

static vlm_status index_of(const char *where, const char *key, const char *name, const char *const *names, int n, int *out) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) { *out = i; return VLM_OK; }
    return vlm_fail(VLM_EUNSUPPORTED, where, "key %s is \"%s\", which this version does not know; use a newer version", key, name);
}
/* Three numbers, if the key is there. */
static vlm_status triple(const json_t *o, const char *where, const char *key, float v[3]) {
    const json_t *a = json_object_get(o, key);
    if (!a || json_is_null(a)) return VLM_OK;
    if (!json_is_array(a) || json_array_size(a) != 3)
        return vlm_fail(VLM_EFORMAT, where, "key %s is no list of three numbers; mend the file", key);
    for (size_t i = 0; i < 3; i++) {
        if (!json_is_number(json_array_get(a, i)))
            return vlm_fail(VLM_EFORMAT, where, "key %s is no list of three numbers; mend the file", key);
        v[i] = (float)json_number_value(json_array_get(a, i));
    }
    return VLM_OK;
}

static vlm_status from_ours(const json_t *o, const char *where, vlm_image_rule *r) {
    const char *kind, *filter;
    int k = 0, f = 0;
    if (!json_is_object(o)) return vlm_fail(VLM_EFORMAT, where, "has no object \"image\"; get the file again");
    TRY(vlm_json_need_string(o, where, "rule", &kind));
    TRY(vlm_json_need_string(o, where, "filter", &filter));
    TRY(index_of(where, "rule", kind, kinds, 3, &k));
    TRY(index_of(where, "filter", filter, filters, 2, &f));
    r->kind = (vlm_size_rule)k;
    r->filter = (vlm_filter)f;
    TRY(vlm_json_need_int(o, where, "block", 1, 1 << 16, &r->block));
    if (r->kind != VLM_RULE_FIXED) TRY(vlm_json_need_int(o, where, "max_size", 1, 1 << 24, &r->max_size));
    TRY(vlm_json_int(o, where, "max_tokens", 0, 1 << 30, &r->max_tokens));
    TRY(vlm_json_bool(o, where, "no_upscale", &r->no_upscale));
    TRY(vlm_json_bool(o, where, "fill_max", &r->fill_max));
    TRY(vlm_json_bool(o, where, "global_tile", &r->global_tile));
    for (int i = 0; i < 2; i++)        /* a mean of 0 is a rule, a mean that nobody gave is none */
        if (!json_is_array(json_object_get(o, i ? "std" : "mean")))
            return vlm_fail(VLM_EFORMAT, where, "image has no list %s; get the file again", i ? "std" : "mean");
    TRY(triple(o, where, "mean", r->mean));
    return triple(o, where, "std", r->std);
}

/* The flat config says neither normalisation nor rule: upstream fed raw [0,1], the fork ImageNet's, whatever the encoder. */
static vlm_status from_nanovlm(const vlm_net *net, const char *where, vlm_image_rule *r) {
    const json_t *c = net->config;
    int64_t size = 512;
    r->filter = VLM_BICUBIC;
    r->max_size = 1024;
    TRY(vlm_json_int(c, where, "max_img_size", 1, 1 << 24, &r->max_size));
    if (net->vision->vit == vlm_dinov3.vit) {
        r->kind = VLM_RULE_DYNAMIC;
        r->block = r->patch * r->shuffle;
    } else {
        r->kind = VLM_RULE_TILES;
        TRY(vlm_json_int(c, where, "vit_img_size", 1, 1 << 16, &size));
        r->block = size;
        r->global_tile = json_object_get(json_object_get(c, "vlm_extra_tokens"), "global_image_token") != NULL;
        r->fill_max = r->global_tile;          /* the key's default changed when the global tile came */
        TRY(vlm_json_bool(c, where, "resize_to_max_side_len", &r->fill_max));
    }
    bool upstream = r->fill_max || !json_object_get(c, "vit_architecture");
    return vlm_image_normalise(upstream ? "none" : "imagenet", r);
}

/* A bare encoder: its preprocessor_config.json has the statistics, and for SigLIP the filter. */
static vlm_status from_encoder(const vlm_net *net, vlm_image_rule *r) {
    bool siglip = net->vision == &vlm_siglip;
    char *path = vlm_join(net->dir, "preprocessor_config.json");
    json_t *j = NULL;
    int64_t resample = 2;
    vlm_status status = VLM_OK;
    if (!path) return vlm_fail_memory(net->dir, strlen(net->dir));
    r->kind = siglip ? VLM_RULE_FIXED : VLM_RULE_DYNAMIC;
    r->block = siglip ? net->vit.cfg.pos_h * r->patch : r->patch;
    r->max_size = siglip ? 0 : 1024;
    r->filter = siglip ? VLM_BILINEAR : VLM_BICUBIC;
    TRY_DONE(vlm_image_normalise(siglip ? "siglip" : "imagenet", r));
    if (siglip) {                              /* S itself: what is over of a size that is no multiple of P is dropped by the convolution */
        const json_t *v = json_object_get(net->config, "vision_config");
        int64_t S = 224;
        TRY_DONE(vlm_json_int(v ? v : net->config, net->dir, "image_size", 1, 1 << 16, &S));
        r->block = S;
    }
    if (vlm_exists(path)) {
        TRY_DONE(vlm_json_read(path, &j));
        TRY_DONE(triple(j, path, "image_mean", r->mean));
        TRY_DONE(triple(j, path, "image_std", r->std));
        TRY_DONE(vlm_json_int(j, path, "resample", 0, 5, &resample));
        if (siglip && resample != 2 && resample != 3)
            status = vlm_fail(VLM_EUNSUPPORTED, path, "key resample is %lld; 2 (bilinear) and 3 (bicubic) are supported",
                              (long long)resample);
        if (siglip && resample == 3) r->filter = VLM_BICUBIC;
    }
done:
    json_decref(j);
    free(path);
    return status;
}

vlm_status vlm_image_rule_of(const vlm_net *net, const vlm_rule_options *o, vlm_image_rule *out) {
    vlm_image_rule r = { .patch = net->vit.cfg.P, .shuffle = net->shuffle };
    char *where = vlm_join(net->dir, net->ours ? "vlm.json" : "config.json");
    if (!where) return vlm_fail_memory(net->dir, strlen(net->dir));
    vlm_status status = net->ours ? from_ours(json_object_get(net->ours, "image"), where, &r)
                      : net->nanovlm ? from_nanovlm(net, where, &r) : from_encoder(net, &r);
    free(where);
    if (status) return status;
    if (r.kind == VLM_RULE_FIXED && (o->max_size || o->no_upscale || o->max_tokens))
        return vlm_fail(VLM_EARG, o->max_size ? "--max-size" : o->no_upscale ? "--no-upscale" : "--max-image-tokens",
                        "has no meaning for an encoder that sees every image at %lld x %lld; leave it out",
                        (long long)r.block, (long long)r.block);
    if (o->max_size) r.max_size = o->max_size;
    if (o->max_tokens) r.max_tokens = o->max_tokens;
    r.no_upscale = r.no_upscale || o->no_upscale;
    r.compat = o->compat;
    r.fast_decode = o->fast_decode;
    TRY(vlm_image_rule_check(&r, net->dir));
    /* learned positions of one size: every encoder image has just that grid */
    if (!net->vit.cfg.pos_resize && net->vit.cfg.pos_h && (r.kind == VLM_RULE_DYNAMIC || r.block / r.patch != net->vit.cfg.pos_h))
        return vlm_fail(VLM_EFORMAT, net->dir, "the image rule gives other sizes than the encoder's %lld x %lld patches; "
                        "vlm.json or config.json is another model's", (long long)net->vit.cfg.pos_h, (long long)net->vit.cfg.pos_w);
    *out = r;
    return VLM_OK;
}

json_t *vlm_image_rule_json(const vlm_image_rule *r) {
    return json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:s, s:[f,f,f], s:[f,f,f]}", "rule", kinds[r->kind],
                     "block", (json_int_t)r->block, "max_size", (json_int_t)r->max_size, "max_tokens", (json_int_t)r->max_tokens,
                     "no_upscale", r->no_upscale, "fill_max", r->fill_max, "global_tile", r->global_tile, "filter", filters[r->filter],
                     "mean", (double)r->mean[0], (double)r->mean[1], (double)r->mean[2],
                     "std", (double)r->std[0], (double)r->std[1], (double)r->std[2]);
}

/* Covers: src/model/family.c src/model/dinov3.c src/model/dinov2.c src/model/siglip.c src/model/llama.c src/model/gemma3.c
   src/model/nanovlm.c src/data/rule.c.
   Any text as a config: an error in one line, or engines whose parameters and buffers can be counted without overflow. The first byte
   chooses what the JSON behind it is: a family's config, nanoVLM's flat one (with "image" and preprocessor keys for the rules),
   vlm.json. */
#include "fuzz.h"
#include "data/rule.h"

/* Limits of the families: 512 layers, widths of 65,536, hidden layers of 4 · 2^20, a vocabulary of 2^24. */
static void count(const vlm_params *ps, int64_t layers) {
    PROMISE(!ps->failed && ps->n > 0 && ps->n <= 20 * layers + 16);
    for (int i = 0; i < ps->n; i++) {
        PROMISE(ps->p[i].ndim > 0 && ps->p[i].name[0]);
        for (int k = 0; k < ps->p[i].ndim; k++) PROMISE(ps->p[i].shape[k] > 0);
        PROMISE(vlm_param_len(&ps->p[i]) > 0 && vlm_param_len(&ps->p[i]) < (int64_t)1 << 45);
    }
}
static void measure(const vlm_net *net) {
    vlm_params ps = { 0 };
    vlm_arena dev = { 0 }, host = { 0 };
    if (net->vision) {
        vlm_vit v;
        vlm_vit_acts a;
        const vlm_vit_config *c = &net->vit.cfg;
        PROMISE(c->D % c->H == 0 && c->D / c->H >= 2 && c->L <= VLM_MAX_LAYERS && c->P <= VLM_MAX_PATCH);
        PROMISE(!vlm_vit_init(&v, c));
        vlm_vit_params(&v, &ps);
        count(&ps, c->L);
        vlm_vit_take(&dev, &host, c, (const vlm_grid[]){ { 2, 2 }, { 1, 64 }, { 3, 1 } }, 3, VLM_SAVE_ALL, &a);
        PROMISE(!dev.overflow && !host.overflow && a.rows == 71 + 3 * vlm_vit_prefix(c) && vlm_vit_flop(c, (vlm_grid){ 4, 4 }) > 0);
        vlm_params_free(&ps);
        vlm_vit_free(&v);
    }
    if (net->language) {
        vlm_lm m;
        vlm_lm_acts a;
        vlm_kvcache kv;
        const vlm_lm_config *c = &net->lm.cfg;
        PROMISE(c->H % c->G == 0 && c->Dh >= 2 && c->Dh <= VLM_MAX_HEAD && c->L <= VLM_MAX_LAYERS && c->V > 0 && c->context > 0);
        PROMISE(c->attn_scale > 0 && c->attn_scale < 1e4f && c->embed_scale > 0);
        PROMISE(!vlm_lm_init(&m, c));
        vlm_lm_params(&m, &ps);
        count(&ps, c->L);
        vlm_lm_take(&dev, &host, c, 512, 1, VLM_SAVE_ALL, &a);
        vlm_kvcache_take(&dev, &host, c, VLM_F32, c->context, 512, &kv);
        PROMISE(!dev.overflow && !host.overflow && vlm_lm_flop(c, 2, 3) > 0);
        vlm_params_free(&ps);
        vlm_lm_free(&m);
    }
}
static void rule(vlm_net *net) {
    vlm_image_rule r;
    vlm_image_plan p;
    for (int i = 0; i < 3; i++) {
        vlm_rule_options o = { .max_size = i == 1 ? 64 : 0, .max_tokens = i == 2 ? 9 : 0, .no_upscale = i == 2 };
        vlm_status s = vlm_image_rule_of(net, &o, &r);
        if (s) { fuzz_failed(s); continue; }
        PROMISE(r.patch == net->vit.cfg.P && r.block >= r.patch && r.max_size >= 0);
        if (vlm_image_plan_make(&r, 640, 31, "fuzz", &p)) continue;
        PROMISE(p.H > 0 && p.W > 0 && p.n > 0 && p.image_tokens > 0 && (!r.max_tokens || p.image_tokens <= r.max_tokens));
        json_t *j = vlm_image_rule_json(&r);
        PROMISE(json_is_object(j));
        json_decref(j);
    }
}

static vlm_weights *weights(bool gemma) {      /* what nanoVLM's config looks at: the rows of the embedding, Gemma's norms */
    static vlm_weights *w[2];
    char dir[512], path[600];
    vlm_safetensors_writer *s;
    if (w[gemma]) return w[gemma];
    fuzz_path(dir, gemma ? "gemma" : "llama");
    snprintf(path, sizeof path, "mkdir -p '%s'", dir);
    PROMISE(!system(path));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    PROMISE(!vlm_safetensors_writer_open(path, &s));
    PROMISE(!vlm_safetensors_writer_declare(s, "decoder.head.weight", VLM_T_F32, 2, (const int64_t[]){ 4, 2 }));
    if (gemma) PROMISE(!vlm_safetensors_writer_declare(s, "decoder.blocks.0.attn.q_norm.weight", VLM_T_F32, 1, (const int64_t[]){ 1 }));
    PROMISE(!vlm_safetensors_writer_put(s, "decoder.head.weight", (const float[8]){ 0 }, 32));
    if (gemma) PROMISE(!vlm_safetensors_writer_put(s, "decoder.blocks.0.attn.q_norm.weight", (const float[1]){ 0 }, 4));
    PROMISE(!vlm_safetensors_writer_commit(s));
    PROMISE(!vlm_weights_open(dir, &w[gemma]));
    return w[gemma];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = { "dinov3", "dinov2", "siglip", "llama", "gemma3" };
    char dir[512];
    vlm_net net = { .shuffle = 1, .dir = dir };
    vlm_status s;
    fuzz_path(dir, "none");
    if (!size || vlm_json_parse(data + 1, size - 1, "fuzz", &net.config)) return 0;
    int kind = data[0] % 8;                    /* 0-4 families, 5 6 flat, 7 vlm.json beside a small DINOv3 */
    if (kind < 5) {
        const vlm_family *f = vlm_family_by_name(names[kind]);
        PROMISE(f);
        *(f->vit ? &net.vision : &net.language) = f;
        s = f->vit ? f->vit(net.config, "fuzz", &net.vit.cfg) : f->lm(net.config, "fuzz", &net.lm.cfg);
        if (!s && f->vit) {                    /* the same text as preprocessor_config.json */
            char path[600];
            fuzz_path(dir, "encoder");
            snprintf(path, sizeof path, "mkdir -p '%s'", dir);
            static bool made;
            if (!made) { PROMISE(!system(path)); made = true; }
            snprintf(path, sizeof path, "%s/preprocessor_config.json", dir);
            fuzz_file(path, data + 1, size - 1);
        }
    } else if (kind < 7) {
        net.nanovlm = true;
        net.fork_maths = data[0] & 8;
        s = vlm_nanovlm_config(net.config, "fuzz", weights(kind == 6), &net);
    } else {
        s = VLM_OK;
        net.ours = json_incref(net.config);
        net.vision = &vlm_dinov3;
        net.vit.cfg = (vlm_vit_config){ .D = 8, .L = 1, .H = 2, .F = 8, .P = 4, .rope_theta = 100 };
        net.shuffle = 2;
    }
    if (s) fuzz_failed(s);
    else {
        measure(&net);
        if (net.vision) rule(&net);
    }
    vlm_vit_free(&net.vit);
    vlm_lm_free(&net.lm);
    json_decref(net.config);
    json_decref(net.ours);
    return 0;
}

/* Covers: src/model/packed.c.
   Any text as the header of packed weights: an error in one line, or a net whose matrices lie in the file whole, each on a cache line. */
#include "fuzz.h"
#include "model/packed.h"
#include <math.h>
#include <sys/stat.h>

static char dir[512], path[600];
static const char config[] =
    "{\"model_type\":\"dinov3_vit\",\"patch_size\":2,\"hidden_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":1,"
    "\"intermediate_size\":8,\"num_register_tokens\":0,\"hidden_act\":\"gelu\",\"use_gated_mlp\":false}";

static vlm_status values(void *user, const vlm_param *p, int64_t row, int64_t rows, float *out) {
    for (int64_t i = 0; i < rows * vlm_param_len(p) / p->shape[0]; i++)
        out[i] = strstr(p->name, "qkv_proj.bias") ? 0 : *(float *)user + (float)row;
    return VLM_OK;
}
static vlm_dtype dtype(void *user, const vlm_param *p) {
    return *(float *)user > 1e5f ? VLM_F16 : strstr(p->name, "mlp") ? VLM_BF16 : strstr(p->name, "attn") ? VLM_F16 : VLM_F32;
}
static bool within(const vlm_net *net) {
    for (int i = 0; i < net->params.n; i++) {
        const vlm_param *p = &net->params.p[i];
        if (!p->mat || p->row) continue;
        if (!p->panels || p->panels->bytes != (size_t)vlm_mat_bytes(p->mat) || (uintptr_t)p->panels->data % 64) return false;
    }
    return true;
}
static vlm_status opens(bool structure) {
    vlm_net *net;
    TRY(vlm_net_open(dir, &(vlm_net_options){ .threads = 1, .structure_only = structure }, &net));
    if (net->packed) PROMISE(within(net) && vlm_net_bytes(net) > 1000);
    if (net->packed) PROMISE(vlm_packed_refuse(net, "fuzzing") == VLM_EUNSUPPORTED);
    vlm_net_close(net);
    return VLM_OK;
}
/* A sound file, written and read; and what is not written. */
static void set_up(void) {
    vlm_net net = { .vision = &vlm_dinov3, .shuffle = 1 };
    vlm_vit_config c;
    json_t *j;
    int64_t bytes = 0;
    vlm_ctx *ctx = vlm_ctx_open(1, VLM_SCRATCH_BYTES);
    fuzz_path(dir, "packed");
    mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/config.json", dir);
    fuzz_file(path, config, sizeof config - 1);
    PROMISE(ctx && !vlm_json_parse(config, sizeof config - 1, "config", &j) && !vlm_dinov3.vit(j, "config", &c));
    PROMISE(!vlm_vit_init(&net.vit, &c));
    json_decref(j);
    PROMISE(!vlm_net_params(&net));
    vlm_ops_init(&net.ops, 0);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    float x[] = { 0.5f, 1e6f, INFINITY };
    for (int i = 0; i < 3; i++) {
        vlm_packing from = { values, dtype, VLM_F32, &x[i] };
        PROMISE(vlm_packed_store(path, &net, ctx, &from, &bytes) == (i ? VLM_EFORMAT : VLM_OK));
    }
    PROMISE(bytes > 1000 && !opens(false) && !opens(true));
    vlm_params_free(&net.params);
    vlm_vit_free(&net.vit);
    vlm_ctx_close(ctx);
}
/* Bytes of data that the header asks for, as far as that is sensible. */
static size_t wanted(const uint8_t *header, size_t size) {
    json_t *j = NULL, *v;
    const char *name;
    json_int_t end = 0;
    if (vlm_json_parse(header, size, "header", &j)) return 0;
    json_object_foreach(j, name, v) {
        json_int_t e = json_integer_value(json_array_get(json_object_get(v, "data_offsets"), 1));
        if (e > end && e <= 1 << 16) end = e;
    }
    json_decref(j);
    return (size_t)end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char file[(1 << 20) + (1 << 16)];
    if (!*dir) set_up();
    uint64_t n = (8 + size + 63) / 64 * 64 - 8;
    if (n > 1 << 19) return 0;
    memcpy(file, &n, 8);
    memset(file + 8, ' ', n);
    if (size) memcpy(file + 8, data, size);
    size_t bytes = wanted(data, size);
    memset(file + 8 + n, 0, bytes);
    fuzz_file(path, file, 8 + n + bytes);
    vlm_status a = opens(true), b = opens(false);
    PROMISE(a == b);
    if (a) fuzz_failed(a);
    return 0;
}

/* Packed folders: the same bits as the folder they were made from, whatever the type; nothing copied but vectors; each promise of the
   format broken once; what cannot use them says so. */
#include "folder.h"
#include "infer/convert.h"
#include "infer/new.h"
#include "model/packed.h"

#define MODELS "tests/golden/models/"
#define CONV "conv.weight.panels.f32"
#define BIAS "conv.bias\":{\"dtype\":\"F32\""
static vlm_status pack(const char *dir, const char *out, const char *to, const char *dtype, bool fork) {
    vlm_model *m;
    assert_ok(vlm_model_open_as(dir, &(vlm_model_options){ .fork_maths = fork }, VLM_OPEN_STRUCTURE, &m));
    vlm_status s = vlm_convert(m, &(vlm_convert_options){ .out = out, .to = to, .dtype = dtype, .packed = true, .threads = 2 });
    vlm_model_close(m);
    return s;
}
static vlm_net *opened(const char *dir, bool structure, bool fork) {
    vlm_net *net = NULL;
    assert_ok(vlm_net_open(dir, &(vlm_net_options){ .cpu = vlm_cpu_flags(), .threads = 2, .structure_only = structure, .fork_maths = fork },
                           &net));
    return net;
}

/* Operand by operand the bytes that loading makes; vectors too. Returns how many operands. */
static int same_bytes(const vlm_net *a, const vlm_net *b) {
    int operands = 0;
    assert_int_equal(a->params.n, b->params.n);
    for (int i = 0; i < a->params.n; i++) {
        void *x, *y;
        int64_t n, m;
        if (!vlm_params_operand(&a->params, i, &x, &n)) continue;
        assert_true(vlm_params_operand(&b->params, i, &y, &m));
        if (a->params.p[i].mat) {
            assert_int_equal(a->params.p[i].mat->dtype, b->params.p[i].mat->dtype);
            assert_true((uintptr_t)y % 64 == 0 && b->params.p[i].panels && y == b->params.p[i].panels->data);
            operands++;
        }
        assert_int_equal(vlm_params_operand_bytes(&a->params, i), vlm_params_operand_bytes(&b->params, i));
        assert_memory_equal(x, y, (size_t)vlm_params_operand_bytes(&a->params, i));
    }
    return operands;
}
static void same_as_loaded(void **state) {
    (void)state;
    static const char *const models[] = { "vlm_dino", "vlm_dino_bf16", "vlm_dinov2_giant", "vlm_gemma", "vlm_siglip_up", "vlm_fork_maths",
                                          "dinov3_sharded", "dinov3_heads72_f16", "siglip_nested", "gemma3_bf16", "llama_f16",
                                          "llama_untied" };
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char dir[256];
        const char *out = temp_fresh("out");
        bool fork = !strcmp(models[m], "vlm_fork_maths");
        snprintf(dir, sizeof dir, MODELS "%s", models[m]);
        assert_ok(pack(dir, out, NULL, NULL, fork));
        vlm_net *a = opened(dir, false, fork), *b = opened(out, false, false), *s = opened(out, true, false);
        assert_true(b->packed && b->weights && !a->packed);
        assert_true(same_bytes(a, b) > 4);
        if (a->language) assert_true(a->lm.cfg.embed_scale == b->lm.cfg.embed_scale);
        size_t mapped = 0;
        for (int i = 0; i < b->params.n; i++) if (b->params.p[i].panels) mapped += b->params.p[i].panels->bytes;
        assert_int_equal(vlm_net_bytes(b), b->bytes + mapped);         /* what the loaded one takes: the walk is the same */
        assert_int_equal(vlm_net_bytes(a), vlm_net_bytes(b));
        const vlm_net *still = s;                      /* which asking does not change */
        assert_int_equal(vlm_net_bytes(still), vlm_net_bytes(b));
        vlm_net_close(a);
        vlm_net_close(b);
        vlm_net_close(s);
    }
}
/* A type of one's own: what convert --dtype stores, packed. */
static void types(void **state) {
    (void)state;
    static const char *const names[] = { "f32", "bf16", "f16" }, *const models[] = { MODELS "vlm_dino_bf16", MODELS "llama" };
    for (size_t m = 0; m < 2; m++)
        for (int d = 0; d < 3; d++) {
            const char *out = temp_fresh("out"), *plain = temp_fresh("plain");
            vlm_model *model;
            assert_ok(vlm_model_open_as(models[m], NULL, VLM_OPEN_STRUCTURE, &model));
            assert_ok(vlm_convert(model, &(vlm_convert_options){ .out = plain, .dtype = names[d] }));
            vlm_model_close(model);
            assert_ok(pack(models[m], out, NULL, names[d], false));
            vlm_net *a = opened(plain, false, false), *b = opened(out, false, false);
            for (int i = 0; i < a->params.n; i++) {
                const vlm_mat *m = b->params.p[i].mat;
                if (m) { assert_int_equal(m->dtype, d == 0 ? VLM_F32 : d == 1 ? VLM_BF16 : VLM_F16); continue; }
                int64_t n = vlm_param_len(&a->params.p[i]);            /* vectors are F32 here, whatever the matrices are */
                for (int64_t k = 0; k < n; k++) {
                    float x = (*a->params.p[i].vec)[a->params.p[i].row + k], y = (*b->params.p[i].vec)[b->params.p[i].row + k];
                    assert_true(x == (d == 0 ? y : d == 1 ? vlm_bf16_float(vlm_float_bf16(y)) : vlm_f16_float(vlm_float_f16(y))));
                }
            }
            vlm_net_close(a);
            vlm_net_close(b);
        }
}

/* ---- Broken files ---- */

/* out/model.safetensors: `from` in its header becomes `to` (all of them), and the data begins at a multiple of `align`. */
static void edit(const char *out, const char *from, const char *to, size_t align) {
    char path[600], *header, *at;
    unsigned char *data;
    size_t size;
    uint64_t n;
    snprintf(path, sizeof path, "%s/model.safetensors", out);
    assert_ok(vlm_read(path, SIZE_MAX, &data, &size));
    memcpy(&n, data, 8);
    header = calloc(1, n * 2 + 4096);
    assert_non_null(header);
    const char *text = (const char *)data + 8, *end = text + n;
    int hits = 0;
    for (at = header; text < end;) {
        if (*from && !strncmp(text, from, strlen(from))) { at = stpcpy(at, to); text += strlen(from); hits++; }
        else *at++ = *text++;
    }
    assert_true(hits || !*from);
    while (at > header && at[-1] == ' ') at--;
    while ((size_t)(at - header + 8) % align || (align < 64 && (size_t)(at - header + 8) % 64 == 0)) *at++ = ' ';
    uint64_t m = (uint64_t)(at - header);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fwrite(&m, 8, 1, f) == 1 && fwrite(header, m, 1, f) == 1 && fwrite(data + 8 + n, size - 8 - n, 1, f) == 1);
    assert_int_equal(fclose(f), 0);
    free(header);
    free(data);
}
static void broken(void **state) {
    (void)state;
    static const struct { const char *from, *to, *says; vlm_status status; } cases[] = {
        { "\"vlm_packed\":\"1\"", "\"vlm_packed\":\"2\"", "version 2, this program knows 1", VLM_EUNSUPPORTED },
        { "\"vlm_packed\":\"1\"", "\"vlm_packed\":\"one\"", "no number", VLM_EFORMAT },
        { "\"vlm_packed\":\"1\",", "", "is missing", VLM_EFORMAT },    /* then it is a folder of strange tensors */
        { "\"embedding\":\"f32\"", "\"embedding\":\"i8\"", "\"i8\" of the embedding's type", VLM_EFORMAT },
        { "\"embedding\":\"f32\",", "", "\"nothing\" of the embedding's type", VLM_EFORMAT },
        { CONV "\":\"[32,192]\"", CONV "\":\"[31,192]\"", "[31,192] matrix, expected [32,192]", VLM_EFORMAT },
        { CONV "\":\"[32,192]\",", "conv.weight\":\"[32,192]\",", "nameless matrix", VLM_EFORMAT },
        { CONV "\":{\"dtype\":\"U8\"", CONV "\":{\"dtype\":\"I8\"", "is I8, panels are U8", VLM_EFORMAT },
        { "\"shape\":[1,24576]", "\"shape\":[24576,1]", "has shape [24576,1], expected [1,24576]", VLM_EFORMAT },
        { CONV, "conv.weight.panels.bf16", "has shape [1,24576], expected [1,12288]", VLM_EFORMAT },
        { CONV, "conv.weight.panels.f64", "patch_embedding.conv.weight.panels is missing", VLM_EFORMAT },
        { BIAS, "conv.bias\":{\"dtype\":\"I32\"", "is I32, vectors are F32", VLM_EFORMAT },
        { BIAS ",\"shape\":[32]", BIAS ",\"shape\":[1,32]", "expected [32]", VLM_EFORMAT },
        { "conv.bias", "conv.base", "tensor vision_encoder.patch_embedding.conv.bias is missing", VLM_EFORMAT },
        { BIAS ",\"shape\":[32]", BIAS ",\"shape\":[33]", "takes 132 bytes", VLM_EFORMAT },
    };
    char dir[512];
    snprintf(dir, sizeof dir, "%s", temp("out"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(pack(MODELS "vlm_dino", temp_fresh("out"), NULL, NULL, false));
        assert_ok(opens(dir));
        edit(dir, cases[i].from, cases[i].to, 64);
        assert_failure(opens(dir), cases[i].status, "out", cases[i].says);
    }
    assert_ok(pack(MODELS "vlm_dino", temp_fresh("out"), NULL, NULL, false));
    edit(dir, "", "", 8);
    assert_failure(opens(dir), VLM_EFORMAT, "model.safetensors", "does not begin on a multiple of 64 bytes");
    /* one tensor too many: that of the deeper layer, where config.json knows one layer less */
    assert_ok(pack(MODELS "dinov3_s", temp_fresh("model"), NULL, NULL, false));
    set_key("config.json", "num_hidden_layers", "1");
    assert_failure(opens(temp("model")), VLM_EFORMAT, "model.safetensors", "is there, but config.json says that the model has none such");
    assert_ok(pack(MODELS "vlm_dino", temp_fresh("model"), NULL, NULL, false));
    set_key("config.json", "lm_vocab_size", "383");                    /* as many panels, but other rows */
    assert_failure(opens(temp("model")), VLM_EFORMAT, "model.safetensors", "[384,24] matrix, expected [383,24]");
    assert_int_equal(unlink(temp("model/vlm.json")), 0);
    assert_failure(opens(temp("model")), VLM_EFORMAT, "vlm.json", "is missing beside packed weights");
    /* cut short */
    char path[600];
    struct { const char *name; long at; } cuts[] = { { "header", 100 }, { "panels", 20000 }, { "vectors", -4 } };
    for (size_t i = 0; i < 3; i++) {
        assert_ok(pack(MODELS "vlm_dino", temp_fresh("out"), NULL, NULL, false));
        snprintf(path, sizeof path, "%s/model.safetensors", dir);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        fseek(f, 0, SEEK_END);
        long size = ftell(f);
        fclose(f);
        assert_int_equal(truncate(path, cuts[i].at < 0 ? size + cuts[i].at : cuts[i].at), 0);
        assert_failure(opens(dir), VLM_EFORMAT, "model.safetensors", "");
    }
}

/* What they do not serve for; what is not written. */
static void refusals(void **state) {
    (void)state;
    const char *v = temp_fresh("v"), *l = temp_fresh("l"), *w = temp_fresh("w");
    vlm_model *m = NULL;
    assert_ok(pack(MODELS "dinov3_s", v, "hf", NULL, false));
    assert_ok(pack(MODELS "llama", l, "hf", NULL, false));
    assert_ok(pack(MODELS "vlm_dino", w, "ours", NULL, false));
    char out[512];
    snprintf(out, sizeof out, "%s", temp("none"));
    assert_failure(vlm_new(&(vlm_new_options){ .vision = v, .language = MODELS "llama", .out = out }), VLM_EUNSUPPORTED, "/v",
                   "do not serve for making models; name the folder that it was made from");
    assert_failure(vlm_new(&(vlm_new_options){ .vision = MODELS "dinov3_s", .language = l, .out = out }), VLM_EUNSUPPORTED, "/l", "");
    assert_failure(vlm_model_open_as(w, NULL, VLM_OPEN_F32, &m), VLM_EUNSUPPORTED, "/w", "do not serve for training");
    assert_failure(vlm_model_open_as(w, NULL, VLM_OPEN_F32 | VLM_OPEN_STRUCTURE, &m), VLM_EUNSUPPORTED, "/w", "training");
    assert_failure(pack(w, out, NULL, NULL, false), VLM_EUNSUPPORTED, "/w", "do not serve for converting");
    assert_failure(pack(MODELS "vlm_dino", out, "nanovlm", NULL, false), VLM_EARG, "--packed", "--to nanovlm");
    assert_failure(pack(MODELS "vlm_dino", out, "hf", NULL, false), VLM_EARG, "--packed", "--to hf");
    const struct { const char *tensor; float value; const char *dtype, *says; } bad[] = {
        { "vision_encoder.blocks.0.mlp.up_proj.weight", NAN, NULL, "NaN" }, { "vision_encoder.blocks.1.ln1.weight", INFINITY, NULL, "NaN" },
        { "decoder.blocks.0.attn.k_proj.weight", 7e4f, "f16", "more than f16 can hold" } };
    for (size_t i = 0; i < 3; i++) {
        const char *dir = folder("vlm_dino");
        spoil_tensor(POISON, bad[i].tensor, NULL, 3, bad[i].value);
        assert_failure(pack(dir, out, NULL, bad[i].dtype, false), VLM_EFORMAT, "", bad[i].says);
        assert_true(access(out, F_OK) != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_loaded), cmocka_unit_test(types), cmocka_unit_test(broken),
                                        cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

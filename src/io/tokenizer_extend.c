/* Tokenizers are written in two cases: a folder's, with special tokens more, and the small one of bytes. */
#include "base/file.h"
#include "io/tokenizer_impl.h"
#include <stdio.h>
#include <stdlib.h>

static vlm_status memory(const char *where) { return vlm_fail_memory(where, 4096); }

static json_t *entry(const char *content, int64_t id) {
    json_t *o = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", content, "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0,
                          "special", 1);
    json_t *with = id < 0 ? json_object() : json_pack("{s:I}", "id", (json_int_t)id);
    if (!o || !with || json_object_update(with, o)) {
        json_decref(with);
        with = NULL;
    }
    json_decref(o);
    return with;
}
/* ids[k] of tokens[k] in the new file */
static vlm_status plan_ids(const vlm_tokenizer *t, const char *const *tokens, int n, int64_t first, int64_t *ids) {
    int64_t next = t->vocab.size;
    if (next != (int64_t)t->vocab.n)
        return vlm_fail(VLM_EUNSUPPORTED, t->where,
                        "its ids have holes (%zu tokens, the largest id is %lld), so nothing can be added; use another tokenizer",
                        t->vocab.n, (long long)next - 1);
    for (int i = 0; i < n; i++) {
        if (!*tokens[i]) return vlm_fail(VLM_EARG, t->where, "an empty token cannot be added; name it");
        for (int k = 0; k < i; k++)
            if (!strcmp(tokens[i], tokens[k]))
                return vlm_fail(VLM_EARG, t->where, "token %.80s is to be added twice; name it once", tokens[i]);
        ids[i] = vlm_token_id(t, tokens[i]);
        if (ids[i] < 0) ids[i] = next++;
    }
    if (first >= 0 && n && ids[0] != first)
        return vlm_fail(VLM_EARG, t->where, "token %.80s would get id %lld, not %lld; take the model's own tokenizer", tokens[0],
                        (long long)ids[0], (long long)first);
    return next > VLM_TOKEN_LIMIT ? vlm_fail(VLM_ELIMIT, t->where, "ids go up to %d; add fewer tokens", VLM_TOKEN_LIMIT - 1) : VLM_OK;
}
static vlm_status add_entries(json_t *root, const char *where, const char *const *tokens, int n, const int64_t *ids) {
    json_t *list = json_object_get(root, "added_tokens");
    if (!json_is_array(list)) {
        if (json_object_set_new(root, "added_tokens", json_array())) return memory(where);
        list = json_object_get(root, "added_tokens");
    }
    for (int i = 0; i < n; i++) {
        size_t at = 0;
        for (; at < json_array_size(list); at++)           /* in the order of the ids, as the library writes them */
            if (json_integer_value(json_object_get(json_array_get(list, at), "id")) >= ids[i]) break;
        json_t *there = json_array_get(list, at);
        if (there && json_integer_value(json_object_get(there, "id")) == ids[i]) {
            if (json_object_set_new(there, "special", json_true())) return memory(where);
        } else if (json_array_insert_new(list, at, entry(tokens[i], ids[i]))) return memory(where);
    }
    return VLM_OK;
}
/* The file again, vocab and merges byte for byte. */
static vlm_status write_tokenizer(const char *from, const char *to, const char *const *tokens, int n, const int64_t *ids) {
    vlm_status status = VLM_OK;
    vlm_map map = {0};
    vlm_writer w = {0};
    vlm_buf rest = {0}, again = {0};
    json_t *root = NULL;
    char *text = NULL;
    const char *big[2], *hole[2];
    size_t bytes[2], gap[2];
    TRY_DONE(vlm_map_open(from, VLM_JSON_LIMIT, &map));
    TRY_DONE(vlm_model_cut((const char *)map.data, map.size, &rest, &big[0], &bytes[0], &big[1], &bytes[1]));
    TRY_DONE(vlm_json_parse(rest.s, rest.n, from, &root));
    TRY_DONE(add_entries(root, from, tokens, n, ids));
    if (!(text = json_dumps(root, JSON_INDENT(2)))) TRY_DONE(memory(from));
    TRY_DONE(vlm_model_cut(text, strlen(text), &again, &hole[0], &gap[0], &hole[1], &gap[1]));
    int first = hole[0] > hole[1];
    TRY_DONE(vlm_writer_open(to, &w));
    fwrite(text, 1, (size_t)(hole[first] - text), w.f);
    fwrite(big[first], 1, bytes[first], w.f);
    fwrite(hole[first] + gap[first], 1, (size_t)(hole[!first] - hole[first]) - gap[first], w.f);
    fwrite(big[!first], 1, bytes[!first], w.f);
    fputs(hole[!first] + gap[!first], w.f);
    fputc('\n', w.f);
    status = vlm_writer_commit(&w);                        /* a failed write shows here */
done:
    vlm_map_close(&map);
    free(rest.s);
    free(again.s);
    free(text);
    json_decref(root);
    return status;
}
/* tokenizer_config.json and special_tokens_map.json list added tokens too. */
static vlm_status write_side(const char *from, const char *to, const char *const *tokens, int n, const int64_t *ids) {
    vlm_status status = VLM_OK;
    json_t *o = NULL;
    TRY(vlm_json_read(from, &o));
    json_t *decoder = json_object_get(o, "added_tokens_decoder"), *names = json_object_get(o, "additional_special_tokens");
    for (int i = 0; i < n; i++) {
        char key[24];
        bool listed = false;
        snprintf(key, sizeof key, "%lld", (long long)ids[i]);
        if (json_is_object(decoder) && json_object_set_new(decoder, key, entry(tokens[i], -1))) TRY_DONE(memory(from));
        for (size_t k = 0; k < json_array_size(names); k++) {
            const char *s = json_string_value(json_array_get(names, k));
            listed = listed || (s && !strcmp(s, tokens[i]));
        }
        if (json_is_array(names) && !listed && json_array_append_new(names, json_string(tokens[i]))) TRY_DONE(memory(from));
    }
    status = vlm_json_write(to, o);
done:
    json_decref(o);
    return status;
}
vlm_status vlm_tokenizer_extend(const char *src_dir, const char *dst_dir, const char *const *tokens, int n, int64_t first_id) {
    static const char *const files[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja" };
    vlm_status status = VLM_OK;
    vlm_tokenizer *t = NULL;
    unsigned char *data = NULL;
    size_t size;
    char *dir = NULL, *from = NULL, *to = NULL;
    int64_t *ids = malloc(((size_t)n + 1) * sizeof *ids);
    if (!ids) return memory(src_dir);
    TRY_DONE(vlm_tokenizer_open(src_dir, &t));
    TRY_DONE(plan_ids(t, tokens, n, first_id, ids));
    if (!(dir = strdup(t->where))) TRY_DONE(memory(src_dir));
    *strrchr(dir, '/') = 0;
    for (int i = 0; i < 4; i++) {
        free(from), free(to);
        from = vlm_join(dir, files[i]), to = vlm_join(dst_dir, files[i]);
        if (!from || !to) TRY_DONE(memory(src_dir));
        if (!vlm_exists(from)) continue;
        if (!i) TRY_DONE(write_tokenizer(from, to, tokens, n, ids));
        else if (i < 3) TRY_DONE(write_side(from, to, tokens, n, ids));
        else {
            TRY_DONE(vlm_read(from, 1 << 20, &data, &size));
            TRY_DONE(vlm_write(to, data, size));
        }
    }
done:
    free(data);
    free(dir), free(from), free(to);
    free(ids);
    vlm_tokenizer_close(t);
    return status;
}

vlm_status vlm_tokenizer_bytes(const char *dst_dir) {
    static const char *const specials[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
    static const char template[] =
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
    vlm_status status = VLM_OK;
    char *path = vlm_join(dst_dir, "tokenizer.json"), *config = vlm_join(dst_dir, "tokenizer_config.json");
    json_t *vocab = json_object(), *added = json_array();
    json_t *level = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1);
    json_t *root = json_pack("{s:s, s:n, s:n, s:O, s:n, s:O, s:n, s:O, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:[]}}", "version",
                             "1.0", "truncation", "padding", "added_tokens", added, "normalizer", "pre_tokenizer", level, "post_processor",
                             "decoder", level, "model", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix",
                             "end_of_word_suffix", "fuse_unk", 0,
                             "byte_fallback", 0, "ignore_merges", 0, "vocab", vocab, "merges");
    json_t *side = json_pack("{s:s, s:n, s:s, s:s, s:s}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token", "eos_token",
                             "<|im_end|>", "pad_token", "<|im_end|>", "chat_template", template);
    if (!path || !config || !root || !side) TRY_DONE(memory(dst_dir));
    for (int i = 0; i < 3; i++)
        if (json_object_set_new(vocab, specials[i], json_integer(i)) || json_array_append_new(added, entry(specials[i], i)))
            TRY_DONE(memory(dst_dir));
    for (int b = 0; b < 256; b++) {
        char s[8];
        s[vlm_utf8_put(s, vlm_byte_char((unsigned char)b))] = 0;
        if (json_object_set_new(vocab, s, json_integer(3 + b))) TRY_DONE(memory(dst_dir));
    }
    TRY_DONE(vlm_json_write(path, root));
    status = vlm_json_write(config, side);
done:
    free(path);
    free(config);
    json_decref(vocab);
    json_decref(added);
    json_decref(level);
    json_decref(root);
    json_decref(side);
    return status;
}

#include "open.h"
#include "base/file.h"
#include "io/tokenizer.h"
#include "io/weights.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static vlm_status parse_ids(const char *text, vlm_ids *out) {
    while (*text) {
        size_t skip = strspn(text, ", \t\r\n"), n;
        text += skip;
        if (!*text) break;
        int64_t id;
        n = strcspn(text, ", \t\r\n");
        char *word = strndup(text, n);
        if (!word) return vlm_fail_memory("--decode", n);
        vlm_status status = vlm_parse_int("--decode", word, 0, VLM_TOKEN_LIMIT, &id);
        free(word);
        TRY(status);
        TRY(vlm_ids_push(out, id));
        text += n;
    }
    return out->n ? VLM_OK : vlm_usage("--decode", "holds no ids; write them as 1,2,3");
}
static vlm_status decode(const vlm_args *a, const vlm_tokenizer *t) {
    vlm_ids ids = { 0 };
    char *text = NULL;
    size_t bytes = 0;
    vlm_status status;
    TRY_DONE(parse_ids(a->decode, &ids));
    TRY_DONE(vlm_tokenizer_decode(t, ids.id, ids.n, a->skip_special, &text, &bytes));
    if (a->json) status = vlm_json_out(json_pack("{s:o}", "text", json_stringn(text, bytes)));
    else {
        fwrite(text, 1, bytes, stdout);
        putchar('\n');
    }
done:
    free(text);
    vlm_ids_free(&ids);
    return status;
}

static vlm_status print_ids(const vlm_args *a, const vlm_tokenizer *t, const vlm_ids *ids) {
    if (!a->json) {
        for (size_t i = 0; i < ids->n; i++) printf("%s%lld", i ? " " : "", (long long)ids->id[i]);
        putchar('\n');
        return VLM_OK;
    }
    json_t *pieces = json_array();
    for (size_t i = 0; i < ids->n; i++) {
        size_t bytes = 0;
        const char *piece = vlm_token_text(t, ids->id[i], &bytes);
        json_array_append_new(pieces, vlm_json_bytes(piece ? piece : "", bytes));
    }
    return vlm_json_out(json_pack("{s:o,s:o}", "ids", vlm_json_ints(ids->id, ids->n), "pieces", pieces));
}
/* m: render one user turn with its template first. */
static vlm_status encode(const vlm_args *a, const vlm_tokenizer *t, const vlm_model *m) {
    vlm_ids ids = { 0 };
    unsigned char *data = NULL;
    const char *text = a->args > 1 ? a->arg[1] : NULL, *where = a->file && strcmp(a->file, "-") ? a->file : "standard input";
    size_t bytes = text ? strlen(text) : 0;
    vlm_status status = VLM_OK;
    if (a->file) {
        TRY(vlm_read(a->file, VLM_TEXT_LIMIT, &data, &bytes));
        text = (char *)data;
        size_t bad = vlm_utf8_length(text, bytes);
        if (bad < bytes) { free(data); return vlm_fail(VLM_EFORMAT, where, "byte %zu is not UTF-8; convert the text", bad); }
    }
    if (!m)
        status = vlm_tokenizer_encode(t, text, bytes, (a->no_special ? 0 : VLM_ENCODE_ADD) | (a->literal ? VLM_ENCODE_LITERAL : 0), &ids);
    else if (strlen(text) != bytes)
        status = vlm_fail(VLM_EFORMAT, where, "holds a NUL, which no turn can; leave --chat out or mend the text");
    else status = vlm_turn_ids(m, NULL, NULL, text, &ids);
    if (!status) status = print_ids(a, t, &ids);
    free(data);
    vlm_ids_free(&ids);
    return status;
}

vlm_status vlm_cmd_tokenize(vlm_args *a) {
    int sources = (a->args > 1) + (a->file != NULL) + (a->decode != NULL);
    if (sources != 1)
        return vlm_usage("tokenize", "%s; give one of TEXT, --file F and --decode IDS",
                         sources ? "is asked for two things" : "has no text");
    if (a->decode && (a->chat || a->literal || a->no_special))
        return vlm_usage("--decode", "does not go with --chat, --literal or --no-special; leave them out");
    if (a->skip_special && !a->decode) return vlm_usage("--skip-special", "is for --decode; --no-special leaves BOS out of ids");
    if (a->chat) {
        if (a->no_special) return vlm_usage("--no-special", "does not go with --chat, whose template has its own; leave it out");
        vlm_model_options o = vlm_options_of(a);
        vlm_model *m;
        TRY(vlm_model_open_as(a->arg[0], &o, VLM_OPEN_STRUCTURE, &m));
        vlm_status status = m->tok ? encode(a, m->tok, m) : vlm_fail(VLM_EARG, a->arg[0], "has no tokenizer.json; it takes no text");
        vlm_model_close(m);
        return status;
    }
    vlm_tokenizer *t;
    if (!vlm_is_dir(a->arg[0])) return vlm_weights_refuse(a->arg[0]);
    TRY(vlm_tokenizer_open(a->arg[0], &t));
    vlm_status status = a->decode ? decode(a, t) : encode(a, t, NULL);
    vlm_tokenizer_close(t);
    return status;
}

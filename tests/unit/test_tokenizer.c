/* Tokenizers: every golden case of the tokenizers library, literal text, streams, long words, extension, and what is refused. */
#include "temp.h"
#include "io/json.h"
#include "io/tokenizer.h"
#include <dirent.h>
#include <time.h>

#define BYTES "`pre_tokenizer`:{`type`:`ByteLevel`,`add_prefix_space`:false},`decoder`:{`type`:`ByteLevel`}"
#define MODEL "`model`:{`type`:`BPE`,`vocab`:{`a`:0,`b`:1,`ab`:2,`abb`:3,`<x>`:4},`merges`:[`a b`,[`ab`,`b`]]}"

/* JSON in these tests has ` for ". */
static const char *quoted(const char *json) {
    static char text[4096];
    size_t n = strlen(json);
    assert_true(n < sizeof text);
    for (size_t i = 0; i <= n; i++) text[i] = json[i] == '`' ? '"' : json[i];
    return text;
}
static vlm_status parse(const char *json, vlm_tokenizer **t) {
    const char *text = quoted(json);
    return vlm_tokenizer_parse(text, strlen(text), "t.json", t);
}
static void same_ids(const char *what, const vlm_ids *got, const json_t *want) {
    bool same = got->n == json_array_size(want);
    for (size_t i = 0; same && i < got->n; i++) same = got->id[i] == json_integer_value(json_array_get(want, i));
    if (!same) fail_msg("%s: other ids", what);
}
/* Decoded in one go, id by id, and as the library did. */
static void decodes(const vlm_tokenizer *t, const char *what, const vlm_ids *ids, bool skip, const json_t *want) {
    char *text, *joined = malloc(1);
    size_t n, all = 0, bytes;
    const char *part;
    vlm_token_stream *s;
    assert_ok(vlm_tokenizer_decode(t, ids->id, ids->n, skip, &text, &n));
    if (n != json_string_length(want) || memcmp(text, json_string_value(want), n)) fail_msg("%s: decodes to \"%s\"", what, text);
    assert_ok(vlm_token_stream_open(t, skip, &s));
    for (int round = 0; round < 2; round++) {              /* after a flush it starts anew */
        all = 0;
        for (size_t i = 0; i <= ids->n; i++) {
            assert_ok(i < ids->n ? vlm_token_stream_push(s, ids->id[i], &part, &bytes) : vlm_token_stream_flush(s, &part, &bytes));
            if (bytes) assert_true(((unsigned char)part[0] & 0xC0) != 0x80);           /* never half a character */
            joined = realloc(joined, all + bytes + 1);
            memcpy(joined + all, part, bytes);
            all += bytes;
        }
        if (all != n || memcmp(joined, text, n)) fail_msg("%s: streams something else", what);
    }
    vlm_token_stream_close(s);
    free(joined);
    free(text);
}
/* The folder's tokenizer against the golden cases of `name`. */
static int golden_one(const char *dir, const char *name) {
    char path[512], what[600];
    vlm_tokenizer *t;
    json_t *rows, *row;
    size_t i;
    assert_ok(vlm_tokenizer_open(dir, &t));
    snprintf(path, sizeof path, "tests/golden/cases/tokenizer/%s.json", name);
    assert_ok(vlm_json_read(path, &rows));
    json_array_foreach(rows, i, row) {
        const json_t *text = json_object_get(row, "text"), *pieces = json_object_get(row, "pieces");
        const char *s = json_string_value(text);
        size_t n = json_string_length(text);
        vlm_ids ids = {0}, bare = {0};
        snprintf(what, sizeof what, "%s row %zu \"%.200s\"", name, i, s);
        assert_ok(vlm_tokenizer_encode(t, s, n, VLM_ENCODE_ADD, &ids));
        same_ids(what, &ids, json_object_get(row, "ids"));
        for (size_t k = 0; k < ids.n; k++)
            assert_string_equal(vlm_token_text(t, ids.id[k], NULL), json_string_value(json_array_get(pieces, k)));
        assert_ok(vlm_tokenizer_encode(t, s, n, 0, &bare));
        same_ids(what, &bare, json_object_get(row, "ids_no_special"));
        if (!json_is_null(json_object_get(row, "decoded"))) decodes(t, what, &ids, false, json_object_get(row, "decoded"));
        if (!json_is_null(json_object_get(row, "decoded_skip_special")))
            decodes(t, what, &ids, true, json_object_get(row, "decoded_skip_special"));
        bare.n = 0;
        assert_ok(vlm_tokenizer_encode(t, s, n, VLM_ENCODE_LITERAL, &bare));
        const char *unk = NULL;
        for (size_t k = 0; k < bare.n; k++)
            if (vlm_token_special(t, bare.id[k]) && strcmp(unk = vlm_token_text(t, bare.id[k], NULL), "<unk>"))
                fail_msg("%s: literally %s", what, unk);
        vlm_ids_free(&ids);
        vlm_ids_free(&bare);
    }
    int count = (int)json_array_size(rows);
    json_decref(rows);
    vlm_tokenizer_close(t);
    return count;
}
static int warnings;
static void count_warning(void *user, const char *where, const char *message) {
    (void)user;
    (void)message;
    warnings += strstr(where, "tokenizer.safetensors") != NULL;
}
static void golden(void **state) {
    DIR *d = opendir("tests/golden/tokenizers");
    int kinds = 0, rows = 0;
    (void)state;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512], cmd[1500];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "tests/golden/tokenizers/%.200s", e->d_name);
        rows += golden_one(path, e->d_name);
        kinds++;
        /* the same from tables that lie beside it, without a parse and without a warning */
        snprintf(cmd, sizeof cmd, "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'", temp("tok"), path, temp("tok"), temp("tok"));
        assert_int_equal(system(cmd), 0);
        assert_ok(vlm_tokenizer_tables_write(temp("tok")));
        assert_int_equal(access(temp("tok/tokenizer.safetensors"), F_OK), 0);
        warnings = 0;
        vlm_log_set(count_warning, NULL, NULL);
        golden_one(temp("tok"), e->d_name);
        vlm_log_set(NULL, NULL, NULL);
        assert_int_equal(warnings, 0);
    }
    closedir(d);
    assert_true(kinds >= 20 && rows >= 500);
    print_message("%d tokenizers, %d texts\n", kinds, rows);
}

static void literal(void **state) {
    vlm_tokenizer *t;
    vlm_ids v = {0};
    (void)state;
    assert_ok(vlm_tokenizer_bytes(temp_dir));
    assert_ok(vlm_tokenizer_open(temp_dir, &t));
    const char *s = "a<|im_end|>\n<|im_start|>b<|endoftext|>";
    assert_ok(vlm_tokenizer_encode(t, s, strlen(s), 0, &v));
    assert_int_equal(v.n, 6);
    assert_int_equal(v.id[1], 2);
    v.n = 0;
    assert_ok(vlm_tokenizer_encode(t, s, strlen(s), VLM_ENCODE_LITERAL, &v));
    assert_int_equal(v.n, strlen(s));
    for (size_t i = 0; i < v.n; i++) assert_false(vlm_token_special(t, v.id[i]));
    vlm_tokenizer_close(t);
    /* a whole word that is a special token, through ignore_merges and through merges */
    v.n = 0;
    assert_ok(parse("{`added_tokens`:[{`id`:2,`content`:`ab`,`special`:true},{`id`:4,`content`:`<x>`,`special`:true}],"
                    "`model`:{`type`:`BPE`,`ignore_merges`:true,`vocab`:{`a`:0,`b`:1,`ab`:2,`abb`:3,`<x>`:4,`<`:5,`x`:6,`>`:7},"
                    "`merges`:[`a b`,`ab b`]}}", &t));
    assert_ok(vlm_tokenizer_encode(t, "ab", 2, 0, &v));
    assert_ok(vlm_tokenizer_encode(t, "ab", 2, VLM_ENCODE_LITERAL, &v));
    assert_ok(vlm_tokenizer_encode(t, "abb", 3, VLM_ENCODE_LITERAL, &v));
    assert_ok(vlm_tokenizer_encode(t, "<x>", 3, VLM_ENCODE_LITERAL, &v));
    static const int64_t want[] = { 2, 0, 1, 3, 5, 6, 7 };
    assert_int_equal(v.n, 7);
    assert_memory_equal(v.id, want, sizeof want);
    vlm_tokenizer_close(t);
    /* ids that are not called special but steer the model: bos and eos by the side files, what the post-processor adds, what is told */
    v.n = 0;
    static const char plain[] = "{`added_tokens`:[{`id`:9,`content`:`<s>`,`special`:false},{`id`:10,`content`:`<i>`},"
        "{`id`:11,`content`:`<>`}],"
        "`post_processor`:{`type`:`BertProcessing`,`cls`:[`a`,0],`sep`:[`is`,8]},"
        "`model`:{`type`:`BPE`,`vocab`:{`a`:0,`<`:1,`>`:2,`s`:3,`i`:4,`si`:5,`as`:6,`ii`:7,`is`:8},"
        "`merges`:[`s i`,`a s`,`i i`,`i s`]}}";
    temp_write("tokenizer.json", quoted(plain), sizeof plain - 1);
    temp_write("tokenizer_config.json", quoted("{`bos_token`:`<s>`,`eos_token`:`si`}"), 36);
    assert_ok(vlm_tokenizer_open(temp_dir, &t));
    vlm_tokenizer_control(t, 10);
    vlm_tokenizer_control(t, 7);
    vlm_tokenizer_control(t, 4);                           /* a character of the model's own: stays, as nothing else can write it */
    vlm_tokenizer_control(t, -1);
    vlm_tokenizer_control(t, 12);
    s = "<s><i>siisiias<>";
    assert_ok(vlm_tokenizer_encode(t, s, strlen(s), 0, &v));
    static const int64_t as_it_is[] = { 9, 10, 5, 4, 5, 4, 6, 11 }, barred[] = { 1, 3, 2, 1, 4, 2, 3, 4, 4, 3, 4, 4, 6, 11 };
    assert_int_equal(v.n, sizeof as_it_is / sizeof *as_it_is);
    assert_memory_equal(v.id, as_it_is, sizeof as_it_is);
    v.n = 0;
    assert_ok(vlm_tokenizer_encode(t, s, strlen(s), VLM_ENCODE_LITERAL, &v));
    assert_int_equal(v.n, sizeof barred / sizeof *barred);
    assert_memory_equal(v.id, barred, sizeof barred);
    v.n = 0;
    assert_ok(vlm_tokenizer_encode(t, "is", 2, VLM_ENCODE_LITERAL, &v));
    assert_int_equal(v.n, 2);
    vlm_tokenizer_close(t);
    assert_int_equal(unlink(temp("tokenizer_config.json")), 0);
    /* an unknown character must not become a stop token */
    v.n = 0;
    assert_ok(parse("{`added_tokens`:[{`id`:0,`content`:`<|end|>`,`special`:true}],"
                    "`model`:{`type`:`BPE`,`unk_token`:`<|end|>`,`vocab`:{`<|end|>`:0,`a`:1},`merges`:[]}}", &t));
    assert_ok(vlm_tokenizer_encode(t, "aé", 3, 0, &v));
    assert_failure(vlm_tokenizer_encode(t, "aé", 3, VLM_ENCODE_LITERAL, &v), VLM_EUNSUPPORTED, "t.json", "U+00E9");
    assert_int_equal(v.n, 2);
    assert_failure(vlm_tokenizer_encode(t, "a\xC3", 2, 0, &v), VLM_EFORMAT, "text", "byte 1 is not UTF-8");
    vlm_tokenizer_close(t);
    /* nothing of a user's text is left out, and no text becomes nothing */
    v.n = 0;
    static const struct { const char *json, *lost; } poor[] = {
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0},`merges`:[]}}", "character \xC3\xA9 (U+00E9)" },
        { "{" BYTES ",`model`:{`type`:`BPE`,`vocab`:{`a`:0},`merges`:[]}}", "byte 0xC3 of the text" },
        { "{`added_tokens`:[{`id`:0,`content`:`a`}],`model`:{`type`:`BPE`,`vocab`:{},`merges`:[]}}", "character \xC3\xA9 (U+00E9)" },
    };
    for (size_t i = 0; i < sizeof poor / sizeof *poor; i++) {
        assert_ok(parse(poor[i].json, &t));
        assert_ok(vlm_tokenizer_encode(t, "a\xC3\xA9", 3, 0, &v));                              /* as the library has it */
        assert_failure(vlm_tokenizer_encode(t, "a\xC3\xA9", 3, VLM_ENCODE_LITERAL, &v), VLM_EFORMAT, "t.json", poor[i].lost);
        assert_failure(vlm_tokenizer_encode(t, "\xC3\xA9", 2, 0, &v), VLM_EFORMAT, "t.json", "no character of the text");
        assert_ok(vlm_tokenizer_encode(t, "", 0, VLM_ENCODE_LITERAL, &v));
        assert_int_equal(v.n, i + 1);
        vlm_tokenizer_close(t);
    }
    int64_t bad = 7;
    char *text;
    assert_ok(parse("{" MODEL "}", &t));
    assert_failure(vlm_tokenizer_decode(t, &bad, 1, false, &text, NULL), VLM_EARG, "t.json", "id 7 has no token");
    vlm_tokenizer_close(t);
    vlm_ids_free(&v);
}

/* A word of 200,000 letters and one of blanks: n log n, not n squared. */
static void long_words(void **state) {
    static const char *const names[] = { "smollm2", "gemma", "llama3", "o200k" };
    enum { N = 200000 };
    char *s = malloc(N);
    (void)state;
    for (int k = 0; k < 4; k++) {
        char path[256];
        vlm_tokenizer *t;
        vlm_ids v = {0};
        snprintf(path, sizeof path, "tests/golden/tokenizers/%s", names[k]);
        assert_ok(vlm_tokenizer_open(path, &t));
        for (int blank = 0; blank < 2; blank++) {
            for (int i = 0; i < N; i++) s[i] = blank ? ' ' : "theandoflo"[(i * 7 + i / 13) % 10];
            clock_t begin = clock();
            v.n = 0;
            assert_ok(vlm_tokenizer_encode(t, s, N, 0, &v));
            assert_true(v.n > 10 && v.n <= N);
            assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
        }
        vlm_ids_free(&v);
        vlm_tokenizer_close(t);
    }
    free(s);
}

/* Marks of two classes by turns, which are to be ordered: a million pairs in each form, and what becomes of them. */
static void many_marks(void **state) {
    static const char *const forms[] = { "NFC", "NFD", "NFKC", "NFKD" };
    enum { PAIRS = 1000000 };
    size_t n = 1 + 4 * (size_t)PAIRS;
    char *s = malloc(n), json[512];
    (void)state;
    s[0] = 'a';
    for (size_t i = 0; i < PAIRS; i++) memcpy(s + 1 + 4 * i, "\xCC\x81\xCC\xA3", 4);
    for (int k = 0; k < 4; k++) {
        vlm_tokenizer *t;
        vlm_ids v = {0};
        bool composed = forms[k][strlen(forms[k]) - 1] == 'C';
        snprintf(json, sizeof json, "{`normalizer`:{`type`:`%s`},`model`:{`type`:`BPE`,`merges`:[],"
                                    "`vocab`:{`a`:0,`\xCC\x81`:1,`\xCC\xA3`:2,`\xE1\xBA\xA1`:3}}}", forms[k]);
        assert_ok(parse(json, &t));
        clock_t begin = clock();
        assert_ok(vlm_tokenizer_encode(t, s, n, 0, &v));
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (seconds > 5) fail_msg("%s takes %.1f s", forms[k], seconds);
        assert_int_equal(v.n, 2 * PAIRS + !composed);      /* a with the first dot below is one character */
        assert_int_equal(v.id[0], composed ? 3 : 0);
        for (size_t i = 1; i < v.n; i++) assert_true(v.id[i] == (i <= (size_t)PAIRS - composed ? 2 : 1));
        vlm_ids_free(&v);
        vlm_tokenizer_close(t);
    }
    free(s);
}

/* Steps that double a text forty times over, by all kinds of ways: an error, and soon. */
static void growth(void **state) {
    static const struct { const char *step, *text; bool fails; } cases[] = {
        { "{`type`:`Replace`,`pattern`:{`String`:`a`},`content`:`aa`}", "a", true },
        { "{`type`:`Replace`,`pattern`:{`String`:`a`},`content`:`aa`},{`type`:`Replace`,`pattern`:{`Regex`:`a+`},`content`:`a`}",
          "a", false },
        { "{`type`:`Replace`,`pattern`:{`Regex`:``},`content`:`a`}", "a", true },
        { "{`type`:`ByteLevel`}", "\xC3\xA9", true },
        { "{`type`:`Prepend`,`prepend`:`aaaaaaaaaaaaaaaa`}", "a", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[8192], *p = json;
        vlm_tokenizer *t;
        vlm_ids v = {0};
        clock_t begin = clock();
        p += sprintf(p, "{`normalizer`:{`type`:`Sequence`,`normalizers`:[");
        for (int k = 0; k < 30; k++) p += sprintf(p, "%s%s", k ? "," : "", cases[i].step);
        sprintf(p, "]}," MODEL "}");
        for (p = json; *p; p++) if (*p == '`') *p = '"';
        assert_ok(vlm_tokenizer_parse(json, strlen(json), "t.json", &t));
        if (cases[i].fails)
            assert_failure(vlm_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), 0, &v), VLM_ELIMIT, "t.json", "64 times as long");
        else assert_ok(vlm_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), 0, &v));
        vlm_ids_free(&v);
        vlm_tokenizer_close(t);
        assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
    }
    /* pieces of one text share what may be added: each of these adds half a megabyte, and two steps take it away again */
    char json[4096], text[400];
    vlm_tokenizer *t;
    vlm_ids v = {0};
    char *p = json + sprintf(json, "{`added_tokens`:[{`id`:5,`content`:`|`,`normalized`:false}],"
                                   "`normalizer`:{`type`:`Sequence`,`normalizers`:[");
    for (int k = 0; k < 19; k++) p += sprintf(p, "{`type`:`Replace`,`pattern`:{`String`:`a`},`content`:`aa`},");
    sprintf(p, "{`type`:`Replace`,`pattern`:{`Regex`:`a+`},`content`:`a`}]}," MODEL "}");
    assert_ok(parse(json, &t));
    memset(text, '|', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 2) text[i] = 'a';
    assert_ok(vlm_tokenizer_encode(t, text, 4, 0, &v));
    assert_failure(vlm_tokenizer_encode(t, text, sizeof text, 0, &v), VLM_ELIMIT, "t.json", "64 times as long");
    vlm_ids_free(&v);
    vlm_tokenizer_close(t);
}

static void extend(void **state) {
    static const char *const more[] = { "<|image|>", "<row_1_col_1>" };
    char dir[512], src[512];
    vlm_tokenizer *t, *old;
    vlm_ids a = {0}, b = {0};
    (void)state;
    static const char *const names[] = { "gemma", "smollm2", "llama3" };
    for (int k = 0; k < 3; k++) {
        snprintf(src, sizeof src, "tests/golden/tokenizers/%s", names[k]);
        snprintf(dir, sizeof dir, "%s", temp_dir);
        assert_ok(vlm_tokenizer_open(src, &old));
        int64_t first = vlm_tokenizer_size(old);
        assert_failure(vlm_tokenizer_extend(src, dir, more, 2, first + 1), VLM_EARG, src, "would get id");
        assert_ok(vlm_tokenizer_extend(src, dir, more, 2, first));
        assert_ok(vlm_tokenizer_open(dir, &t));
        assert_int_equal(vlm_token_id(t, "<|image|>"), first);
        assert_int_equal(vlm_token_id(t, "<row_1_col_1>"), first + 1);
        assert_int_equal(vlm_tokenizer_size(t), first + 2);
        assert_true(vlm_token_special(t, first) && vlm_token_known(t, first + 1) && !vlm_token_known(t, first + 2));
        const char *s = "The cat sat, 2024 times.\n Déjà vu";
        a.n = b.n = 0;
        assert_ok(vlm_tokenizer_encode(old, s, strlen(s), VLM_ENCODE_ADD, &a));
        assert_ok(vlm_tokenizer_encode(t, s, strlen(s), VLM_ENCODE_ADD, &b));
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.id, b.id, a.n * sizeof *a.id);
        vlm_tokenizer_close(t);
        vlm_tokenizer_close(old);
    }
    vlm_ids_free(&a);
    vlm_ids_free(&b);
    /* side files, and a token that is there already */
    assert_ok(vlm_tokenizer_bytes(dir));
    static const char config[] = "{`eos_token`:{`content`:`<|im_end|>`},`added_tokens_decoder`:{},"
                                 "`additional_special_tokens`:[`<|im_end|>`],"
                                 "`chat_template`:[{`name`:`tool`,`template`:`x`},{`name`:`default`,`template`:`y`}]}";
    temp_write("tokenizer_config.json", quoted(config), sizeof config - 1);
    temp_write("special_tokens_map.json", quoted("{`pad_token`:`<|endoftext|>`}"), 29);
    static const char *const again[] = { "<|im_end|>", "<|image|>" };
    assert_ok(vlm_tokenizer_extend(dir, dir, again, 2, 2));
    assert_ok(vlm_tokenizer_open(dir, &t));
    assert_int_equal(vlm_token_id(t, "<|image|>"), 259);
    assert_int_equal(vlm_tokenizer_eos(t), 2);
    assert_int_equal(vlm_tokenizer_pad(t), 0);
    assert_int_equal(vlm_tokenizer_bos(t), -1);
    assert_string_equal(vlm_tokenizer_chat_template(t), "y");
    vlm_tokenizer_close(t);
    temp_write("chat_template.jinja", "z", 1);
    assert_ok(vlm_tokenizer_open(dir, &t));
    assert_string_equal(vlm_tokenizer_chat_template(t), "z");
    vlm_tokenizer_close(t);
    static const char *const files[] = { "tokenizer_config.json", "special_tokens_map.json" }, *const odd[] = { "[]", "5", "null" };
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 3; i++) {
            temp_write(files[k], odd[i], strlen(odd[i]));
            assert_failure(vlm_tokenizer_open(dir, &t), VLM_EFORMAT, files[k], "is not a JSON object");
        }
        temp_write(files[k], "{}", 2);
    }
    assert_failure(vlm_tokenizer_open(temp("empty"), &t), VLM_EIO, "empty", "no tokenizer.json");
}

static void refused(void **state) {
#define MODEL_WITH(x) "{`model`:{`type`:`BPE`," x ",`vocab`:{`a`:0,`b`:1,`ab`:2},`merges`:[`a b`]}}"
    static const struct { const char *json; vlm_status code; const char *words; } cases[] = {
        { "{" MODEL "}", VLM_OK, "" },
        { "{" BYTES "," MODEL "}", VLM_OK, "" },
        { MODEL_WITH("`dropout`:0.0,`continuing_subword_prefix`:``"), VLM_OK, "" },
        { MODEL_WITH("`dropout`:0.1"), VLM_EUNSUPPORTED, "dropout is 0.1" },
        { MODEL_WITH("`continuing_subword_prefix`:`##`"), VLM_EUNSUPPORTED, "continuing_subword_prefix is \"##\"" },
        { MODEL_WITH("`end_of_word_suffix`:`</w>`"), VLM_EUNSUPPORTED, "end_of_word_suffix" },
        { MODEL_WITH("`fuse_unk`:3"), VLM_EFORMAT, "key fuse_unk is an integer" },
        { "{`model`:{`type`:`Unigram`,`vocab`:[]}}", VLM_EUNSUPPORTED, "model.type is Unigram; only BPE" },
        { "{`model`:{`type`:`WordPiece`,`vocab`:{}}}", VLM_EUNSUPPORTED, "WordPiece" },
        { "{`model`:{`type`:`BPE`,`vocab`:{}}}", VLM_EFORMAT, "model has no merges" },
        { "{`model`:{`type`:`BPE`,`vocab`:{},`merges`:[]}}", VLM_EFORMAT, "no tokens" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:16777216},`merges`:[]}}", VLM_ELIMIT, "id 16777216" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:-1},`merges`:[]}}", VLM_EFORMAT, "whole number" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:1.5},`merges`:[]}}", VLM_EFORMAT, "whole number" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0,`a`:1},`merges`:[]}}", VLM_EFORMAT, "a stands twice" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0,`b`:0},`merges`:[]}}", VLM_EFORMAT, "id 0 belongs to two tokens, a and b" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0},`merges`:[`a b`]}}", VLM_EFORMAT, "merge 0 needs the token b" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0},`merges`:[`a a`]}}", VLM_EFORMAT, "merge 0 needs the token aa" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0},`merges`:[`a a a`]}}", VLM_EFORMAT, "not two tokens" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0},`merges`:[[`a`]]}}", VLM_EFORMAT, "not a pair" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`\\ud800`:0},`merges`:[]}}", VLM_EFORMAT, "surrogate" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`\\u00zz`:0},`merges`:[]}}", VLM_EFORMAT, "escape" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`\xff`:0},`merges`:[]}}", VLM_EFORMAT, "not UTF-8" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`\\ud83d\\ude00\\n`:0},`merges`:[]}}", VLM_OK, "" },
        { "{`model`:{`type`:`BPE`,`vocab`:{`a`:0", VLM_EFORMAT, "not valid JSON" },
        { "[]", VLM_EFORMAT, "not a JSON object" },
        { "{}", VLM_EFORMAT, "has no model" },
        { "", VLM_EFORMAT, "not valid JSON" },
        { "\xEF\xBB\xBF{" MODEL "}", VLM_EFORMAT, "begins with a byte order mark; save it as UTF-8 without one" },
        { "{`truncation`:{`max_length`:5}," MODEL "}", VLM_EUNSUPPORTED, "truncation is set" },
        { "{`normalizer`:{`type`:`Precompiled`}," MODEL "}", VLM_EUNSUPPORTED, "normalizer Precompiled is not supported" },
        { "{`normalizer`:{`type`:`BertNormalizer`}," MODEL "}", VLM_EUNSUPPORTED, "BertNormalizer" },
        { "{`normalizer`:{`type`:`Replace`,`content`:``}," MODEL "}", VLM_EFORMAT, "no pattern" },
        { "{`pre_tokenizer`:{`type`:`UnicodeScripts`}," MODEL "}", VLM_EUNSUPPORTED, "pre-tokenizer UnicodeScripts" },
        { "{`pre_tokenizer`:{`type`:`Split`,`pattern`:{`Regex`:`(`},`behavior`:`Isolated`}," MODEL "}", VLM_EFORMAT,
          "regular expression ( is broken" },
        { "{`pre_tokenizer`:{`type`:`Split`,`pattern`:{`Regex`:`[a&&b]`},`behavior`:`Isolated`}," MODEL "}",
          VLM_EUNSUPPORTED, "&& inside" },
        { "{`pre_tokenizer`:{`type`:`Split`,`pattern`:{`Regex`:`(a)\\\\1`},`behavior`:`Isolated`}," MODEL "}",
          VLM_EUNSUPPORTED, "back reference" },
        { "{`pre_tokenizer`:{`type`:`Split`,`pattern`:{`String`:`x`},`behavior`:`Odd`}," MODEL "}", VLM_EUNSUPPORTED,
          "behavior is Odd" },
        { "{`pre_tokenizer`:{`type`:`Metaspace`,`replacement`:`xy`}," MODEL "}", VLM_EFORMAT, "not one character" },
        { "{`pre_tokenizer`:{`type`:`Sequence`}," MODEL "}", VLM_EFORMAT, "Sequence of pre-tokenizers" },
        { "{`decoder`:{`type`:`WordPiece`}," MODEL "}", VLM_EUNSUPPORTED, "decoder WordPiece" },
        { "{`decoder`:{`type`:`Strip`,`content`:``,`start`:1,`stop`:0}," MODEL "}", VLM_EFORMAT, "one character" },
        { "{`post_processor`:{`type`:`Odd`}," MODEL "}", VLM_EUNSUPPORTED, "post_processor Odd" },
        { "{`post_processor`:{`type`:`TemplateProcessing`,`single`:[]}," MODEL "}", VLM_EFORMAT, "does not hold the text" },
        { "{`post_processor`:{`type`:`TemplateProcessing`,`single`:[{`SpecialToken`:{`id`:`q`}}]}," MODEL "}", VLM_EFORMAT,
          "no ids for q" },
        { "{`added_tokens`:[{`id`:9,`content`:`<y>`}]," MODEL "}", VLM_EFORMAT, "<y> has id 9, but by its place it is 5" },
        { "{`added_tokens`:[{`id`:5,`content`:`<y>`},{`id`:5,`content`:`<y>`}]," MODEL "}", VLM_EFORMAT, "stands twice" },
        { "{`added_tokens`:{}," MODEL "}", VLM_EFORMAT, "added_tokens is not an array" },
        { "{`added_tokens`:[{`id`:5}]," MODEL "}", VLM_EFORMAT, "has no key content" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_tokenizer *t = NULL;
        vlm_status s = parse(cases[i].json, &t);
        if (cases[i].code == VLM_OK) {
            assert_ok(s);
            vlm_tokenizer_close(t);
        } else {
            assert_failure(s, cases[i].code, "t.json", cases[i].words);
            assert_null(t);
        }
    }
}

/* Oniguruma's readings, one line each: pattern, text, pieces with | between them (Split, Isolated). */
static void patterns(void **state) {
    static const char *const cases[][3] = {
        { "a{2}+", "aaaab", "aaaa|b" }, { "xa{,2}", "xaaa", "xaa|a" }, { "^.", "ab\\ncd", "a|b\\n|c|d" }, { ".$", "ab\\ncd", "a|b|\\nc|d" },
        { "(?m:b.c)", "ab\\ncd", "a|b\\nc|d" },
        { "\\\\h+", "xbeefx", "x|beef|x" }, { "\\\\d", "a\xD9\xA3" "b", "a|\xD9\xA3|b" }, { "\\\\s", "a\xC2\x85" "b", "a|\xC2\x85|b" },
        { "\\\\w+", "a\xC2\xBD-", "a\xC2\xBD|-" },
        { "[\\\\w]+", "a\xC2\xBD-", "a|\xC2\xBD-" }, { "\\\\u0062", "abc", "a|b|c" },
        { "\\\\x62", "abc", "a|b|c" }, { "\\\\p{^L}", "a1b", "a|1|b" },
        { "\\\\p{Letter}+", "ab1", "ab|1" }, { "[^\\\\s]+", "a b", "a| |b" },
        { "\\\\p{Han}", "a\xE7\x8C\xAB" "b", "a|\xE7\x8C\xAB|b" }, { "[[:punct:]]", "a$b", "a|$|b" }, { "x*", "axxb", "a|xx|b" },
        { "{a}", "{a}b", "{a}|b" }, { "(?i:'S)", "it's", "it|'s" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[4096], text[64] = "", want[128] = "", *o = text;
        vlm_tokenizer *t;
        vlm_ids v = {0};
        snprintf(json, sizeof json, "{`model`:{`type`:`BPE`,`ignore_merges`:true,`unk_token`:`?`,`vocab`:{`?`:0");
        snprintf(want, sizeof want, "%s", cases[i][2]);
        int n = 1;
        for (char *p = strtok(want, "|"); p; p = strtok(NULL, "|")) {
            char key[80];
            snprintf(key, sizeof key, ",`%s`:", p);
            if (!strstr(json, key)) snprintf(json + strlen(json), 100, ",`%s`:%d", p, n++);
        }
        snprintf(json + strlen(json), 400,
                 "},`merges`:[]},"
                 "`pre_tokenizer`:{`type`:`Split`,`behavior`:`Isolated`,`invert`:false,`pattern`:{`Regex`:`%s`}}}", cases[i][0]);
        for (const char *p = cases[i][1]; *p; p++) {
            if (p[0] == '\\' && p[1] == 'n') { *o++ = '\n'; p++; } else *o++ = *p;
        }
        *o = 0;
        assert_ok(parse(json, &t));
        assert_ok(vlm_tokenizer_encode(t, text, strlen(text), 0, &v));
        char got[256] = "";
        for (size_t k = 0; k < v.n; k++) {
            const char *s = vlm_token_text(t, v.id[k], NULL);
            for (; *s; s++) snprintf(got + strlen(got), 8, *s == '\n' ? "\\n" : "%c", *s);
            if (k + 1 < v.n) strcat(got, "|");
        }
        assert_string_equal(got, cases[i][2]);
        vlm_ids_free(&v);
        vlm_tokenizer_close(t);
    }
    static const char *const digits[] = { "u 12a", "u+12a", "u0x1a", "u12", "x 4", "x+4", "xg" };
    for (size_t i = 0; i < sizeof digits / sizeof *digits; i++) {
        char json[1024];
        snprintf(json, sizeof json, "{`pre_tokenizer`:{`type`:`Split`,`behavior`:`Isolated`,`pattern`:{`Regex`:`\\\\%s`}}," MODEL "}",
                 digits[i]);
        vlm_tokenizer *none = NULL;
        assert_failure(parse(json, &none), VLM_EUNSUPPORTED, "t.json",
                       digits[i][0] == 'u' ? "a \\u without four digits" : "a \\x that is not");
    }
    /* a pattern that would take for ever is an error */
    vlm_tokenizer *t;
    vlm_ids v = {0};
    char text[4000];
    memset(text, 'a', sizeof text);
    assert_ok(parse("{`pre_tokenizer`:{`type`:`Split`,`behavior`:`Isolated`,`pattern`:{`Regex`:`(a|aa|aaa)+[bc]`}}," MODEL "}", &t));
    assert_failure(vlm_tokenizer_encode(t, text, sizeof text, 0, &v), VLM_ELIMIT, "t.json", "gives up");
    vlm_ids_free(&v);
    vlm_tokenizer_close(t);
}

/* Steps of every kind that no golden file has. */
static void steps(void **state) {
    static const struct { const char *parts, *text, *pieces, *decoded; } cases[] = {
        { "`pre_tokenizer`:{`type`:`Whitespace`}", "ab ab,  b", "ab ab , b", NULL },
        { "`pre_tokenizer`:{`type`:`WhitespaceSplit`}", "ab ab,  b", "ab ab , b", NULL },
        { "`pre_tokenizer`:{`type`:`Punctuation`}", "ab,b", "ab , b", NULL },
        { "`pre_tokenizer`:{`type`:`Digits`}", "a12b", "a 1 2 b", NULL },
        { "`normalizer`:{`type`:`StripAccents`}", "a\xCC\x81" "b", "ab", NULL },
        { "`normalizer`:{`type`:`Sequence`,`normalizers`:[{`type`:`Lowercase`},{`type`:`Strip`,`strip_left`:true,`strip_right`:true}]}",
          " AB ", "ab", NULL },
        { "`normalizer`:{`type`:`Prepend`,`prepend`:`a`}", "b", "ab", NULL },
        { "`post_processor`:{`type`:`RobertaProcessing`,`cls`:[`a`,0],`sep`:[`b`,1]}", "ab", "a ab b", "a ab b" },
        { "`post_processor`:{`type`:`BertProcessing`,`cls`:[`a`,0],`sep`:[`b`,1]}", "ab", "a ab b", "a ab b" },
        { "`decoder`:{`type`:`Strip`,`content`:`a`,`start`:1,`stop`:1}", "aab", "a ab", "b" },
        { "`decoder`:{`type`:`Sequence`,`decoders`:[{`type`:`Fuse`},{`type`:`Strip`,`content`:`b`,`start`:0,`stop`:1}]}",
          "abab", "ab ab", "aba" },
        { "`decoder`:{`type`:`Sequence`,`decoders`:[{`type`:`Fuse`},{`type`:`Replace`,`pattern`:{`String`:`ba`},`content`:`-`}]}",
          "abab", "ab ab", "a-b" },
        { "`decoder`:{`type`:`Sequence`,`decoders`:[{`type`:`Fuse`},{`type`:`ByteFallback`}]}", "abab", "ab ab", "abab" },
        { "`decoder`:{`type`:`Sequence`,`decoders`:[{`type`:`Fuse`},{`type`:`ByteLevel`}]}", "abab", "ab ab", "abab" },
        { "`decoder`:{`type`:`Metaspace`,`replacement`:`a`,`prepend_scheme`:`never`}", "ab1", "ab 1", " b1" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[2048], got[128] = "";
        vlm_tokenizer *t;
        vlm_ids v = {0};
        snprintf(json, sizeof json,
                 "{%s,`model`:{`type`:`BPE`,`vocab`:{`a`:0,`b`:1,`ab`:2,`,`:3,`1`:4,`2`:5},`merges`:[`a b`]}}",
                     cases[i].parts);
        assert_ok(parse(json, &t));
        assert_ok(vlm_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), VLM_ENCODE_ADD, &v));
        for (size_t k = 0; k < v.n; k++) snprintf(got + strlen(got), 16, "%s%s", k ? " " : "", vlm_token_text(t, v.id[k], NULL));
        assert_string_equal(got, cases[i].pieces);
        if (cases[i].decoded) {
            json_t *want = json_string(cases[i].decoded);
            decodes(t, cases[i].parts, &v, false, want);
            json_decref(want);
        }
        vlm_ids_free(&v);
        vlm_tokenizer_close(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden), cmocka_unit_test(literal), cmocka_unit_test(long_words), cmocka_unit_test(many_marks),
        cmocka_unit_test(growth), cmocka_unit_test(extend),
        cmocka_unit_test(refused),
        cmocka_unit_test(patterns), cmocka_unit_test(steps),
    };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

/* Conversations: the golden renderings, turn by turn and at once, recognition of templates, literal users. */
#include "temp.h"
#include "infer/model.h"
#include "infer/session.h"
#include "io/chat.h"
#include "io/json.h"

static vlm_chat_role role_of(const char *s) {
    return !strcmp(s, "system") ? VLM_ROLE_SYSTEM : !strcmp(s, "user") ? VLM_ROLE_USER : VLM_ROLE_ASSISTANT;
}

static void golden(void **state) {
    json_t *rows, *row, *m;
    size_t i, k;
    (void)state;
    assert_ok(vlm_json_read("tests/golden/cases/tokenizer/chat.json", &rows));
    assert_true(json_array_size(rows) > 20);
    json_array_foreach(rows, i, row) {
        char path[256];
        vlm_tokenizer *t;
        vlm_chat_kind kind;
        vlm_chat *c;
        const json_t *want = json_object_get(row, "ids");
        snprintf(path, sizeof path, "tests/golden/tokenizers/%s", json_string_value(json_object_get(row, "tokenizer")));
        assert_ok(vlm_tokenizer_open(path, &t));
        assert_ok(vlm_chat_kind_of(t, json_string_value(json_object_get(row, "template")), NULL, &kind));
        assert_ok(vlm_chat_open(t, kind, &c));
        json_array_foreach(json_object_get(row, "messages"), k, m) {
            const json_t *text = json_object_get(m, "content");
            assert_ok(vlm_chat_begin(c, role_of(json_string_value(json_object_get(m, "role")))));
            assert_ok(vlm_chat_text(c, json_string_value(text), json_string_length(text)));
            assert_ok(vlm_chat_end(c));
        }
        if (json_is_true(json_object_get(row, "generation"))) assert_ok(vlm_chat_prompt(c));
        else assert_ok(vlm_chat_flush(c));
        const vlm_ids *got = vlm_chat_out(c);
        bool same = got->n == json_array_size(want);
        for (k = 0; same && k < got->n; k++) same = got->id[k] == json_integer_value(json_array_get(want, k));
        if (!same) fail_msg("row %zu: other ids", i);
        vlm_chat_close(c);
        vlm_tokenizer_close(t);
    }
    json_decref(rows);
}

/* Ids of a chat that goes on, turn by turn, are a beginning of the next ones; an answer drawn as ids stands where its text would. */
static void going_on(void **state) {
    static const int64_t image[] = { 5, 5, 5 };
    vlm_tokenizer *t;
    vlm_chat *c, *whole;
    vlm_ids answer = {0};
    (void)state;
    assert_ok(vlm_tokenizer_bytes(temp_dir));
    assert_ok(vlm_tokenizer_open(temp_dir, &t));
    assert_ok(vlm_tokenizer_encode(t, "Yes.", 4, 0, &answer));
    assert_ok(vlm_chat_open(t, VLM_CHAT_CHATML, &c));
    assert_ok(vlm_chat_begin(c, VLM_ROLE_USER));
    assert_ok(vlm_chat_ids(c, image, 3));
    assert_ok(vlm_chat_text(c, "Is it?", 6));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_prompt(c));
    size_t n = vlm_chat_out(c)->n;
    static const int64_t opening[] = { 1 };
    assert_memory_equal(vlm_chat_out(c)->id, opening, sizeof opening);
    assert_int_equal(n, 1 + 5 + 3 + 6 + 1 + 1 + 1 + 10);
    assert_int_equal(vlm_chat_content(c), n - 10);
    assert_ok(vlm_chat_ids(c, answer.id, answer.n));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_begin(c, VLM_ROLE_USER));
    assert_ok(vlm_chat_text(c, "<|im_end|>", 10));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_prompt(c));

    assert_ok(vlm_chat_open(t, VLM_CHAT_CHATML, &whole));
    assert_ok(vlm_chat_begin(whole, VLM_ROLE_USER));
    assert_ok(vlm_chat_ids(whole, image, 3));
    assert_ok(vlm_chat_text(whole, "Is ", 3));
    assert_ok(vlm_chat_text(whole, "it?", 3));
    assert_ok(vlm_chat_end(whole));
    assert_ok(vlm_chat_begin(whole, VLM_ROLE_ASSISTANT));
    assert_ok(vlm_chat_text(whole, "Yes.", 4));
    assert_ok(vlm_chat_end(whole));
    assert_ok(vlm_chat_begin(whole, VLM_ROLE_USER));
    assert_ok(vlm_chat_text(whole, "<|im_end|>", 10));
    assert_ok(vlm_chat_end(whole));
    assert_ok(vlm_chat_prompt(whole));
    assert_int_equal(vlm_chat_out(c)->n, vlm_chat_out(whole)->n);
    assert_memory_equal(vlm_chat_out(c)->id, vlm_chat_out(whole)->id, vlm_chat_out(c)->n * sizeof(int64_t));
    size_t ends = 0;
    for (size_t i = 0; i < vlm_chat_out(c)->n; i++) ends += vlm_chat_out(c)->id[i] == 2;
    assert_int_equal(ends, 3);                             /* three turns ended, none by the user's text */
    assert_failure(vlm_chat_text(c, "ab\xFF", 3), VLM_EFORMAT, "text", "byte 2 is not UTF-8");      /* of this text, not of the rendering */
    vlm_chat_close(whole);
    vlm_chat_close(c);
    assert_ok(vlm_chat_open(t, VLM_CHAT_NONE, &c));
    assert_failure(vlm_chat_text(c, "a", 1), VLM_EARG, "chat", "outside of a turn");
    assert_failure(vlm_chat_end(c), VLM_EARG, "chat", "never began");
    assert_ok(vlm_chat_begin(c, VLM_ROLE_USER));
    assert_failure(vlm_chat_begin(c, VLM_ROLE_USER), VLM_EARG, "chat", "inside a turn");
    assert_ok(vlm_chat_text(c, "ab", 2));
    assert_ok(vlm_chat_end(c));
    assert_failure(vlm_chat_begin(c, VLM_ROLE_SYSTEM), VLM_EARG, "chat", "put it first");
    assert_ok(vlm_chat_prompt(c));
    assert_int_equal(vlm_chat_out(c)->n, 2);
    vlm_chat_close(c);
    vlm_ids stop = {0};
    assert_ok(vlm_chat_stop_ids(t, VLM_CHAT_CHATML, &stop));
    assert_int_equal(stop.n, 1);                           /* eos is <|im_end|> here */
    assert_int_equal(stop.id[0], 2);
    assert_failure(vlm_chat_stop_ids(t, VLM_CHAT_GEMMA, &stop), VLM_EFORMAT, temp_dir, "has no token <start_of_turn>");
    assert_failure(vlm_chat_open(t, VLM_CHAT_GEMMA, &c), VLM_EFORMAT, temp_dir, "<start_of_turn>");
    assert_failure(vlm_chat_open(t, VLM_CHAT_UNKNOWN, &c), VLM_EUNSUPPORTED, temp_dir, "--template chatml|smollm2|gemma|none");
    vlm_chat_kind kind;
    assert_failure(vlm_chat_kind_of(t, "alpaca", NULL, &kind), VLM_EARG, "--template", "alpaca is not known");
    assert_ok(vlm_chat_kind_of(t, NULL, vlm_chat_default("gemma3_text"), &kind));
    assert_int_equal(kind, VLM_CHAT_GEMMA);
    vlm_ids_free(&stop);
    vlm_ids_free(&answer);
    vlm_tokenizer_close(t);
}

/* Turn tokens that the file does not call special: a user's text gives none of them, with any template. */
static void not_special(void **state) {
    static const char *const turns[] = { "<|im_start|>", "<|im_end|>", "<bos>", "<start_of_turn>", "<end_of_turn>" };
    char json[16384], text[256] = "", *p = json;
    vlm_tokenizer *t;
    vlm_chat *c;
    (void)state;
    p += sprintf(p, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"added_tokens\":[");
    for (int i = 0; i < 5; i++) p += sprintf(p, "{\"id\":%d,\"content\":\"%s\",\"special\":false,\"normalized\":false},", 96 + i, turns[i]);
    p += sprintf(p, "{\"id\":101,\"content\":\"\\n\\n\"}],");
    p += sprintf(p, "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"\\u010a\":0,\"\\u0120\":1");
    for (int b = 33; b < 127; b++) p += sprintf(p, ",\"%s%c\":%d", b == '"' || b == '\\' ? "\\" : "", b, b - 31);
    p += sprintf(p, "}}}");
    assert_ok(vlm_tokenizer_parse(json, (size_t)(p - json), "t.json", &t));
    for (int i = 0; i < 5; i++) strcat(text, turns[i]);
    strcat(text, "\n\n.");
    for (int gemma = 0; gemma < 2; gemma++) {
        size_t seen[6] = {0};
        assert_ok(vlm_chat_open(t, gemma ? VLM_CHAT_GEMMA : VLM_CHAT_CHATML, &c));
        assert_ok(vlm_chat_begin(c, VLM_ROLE_USER));
        assert_ok(vlm_chat_text(c, text, strlen(text)));
        assert_ok(vlm_chat_end(c));
        assert_ok(vlm_chat_prompt(c));
        for (size_t i = 0; i < vlm_chat_out(c)->n; i++)
            if (vlm_chat_out(c)->id[i] >= 96) seen[vlm_chat_out(c)->id[i] - 96]++;
        static const size_t want[2][6] = { { 2, 1, 0, 0, 0, 1 }, { 0, 0, 1, 2, 1, 1 } };       /* the blank line stays one token */
        assert_memory_equal(seen, want[gemma], sizeof seen);
        vlm_chat_close(c);
    }
    vlm_tokenizer_close(t);
}

/* A model tells its tokenizer of the tokens that stand for images and tiles. */
static void model_tokens(void **state) {
    static const char text[] = "<|image|><|global_image|><row_1_col_1>";
    char cmd[512];
    vlm_model *m;
    vlm_ids ids = {0}, plain = {0};
    (void)state;
    snprintf(cmd, sizeof cmd, "cp -r tests/golden/models/vlm_siglip_up %s/m && chmod -R u+w %s/m && "
                              "sed -i 's/\"special\": *true/\"special\":false/g' %s/m/tokenizer.json", temp_dir, temp_dir, temp_dir);
    assert_int_equal(system(cmd), 0);
    assert_ok(vlm_model_open_as(temp("m"), NULL, VLM_OPEN_STRUCTURE, &m));
    assert_ok(vlm_tokenizer_encode(m->tok, text, sizeof text - 1, 0, &plain));
    static const int64_t as_written[] = { 320, 321, 322 };
    assert_int_equal(plain.n, 3);
    assert_memory_equal(plain.id, as_written, sizeof as_written);
    assert_ok(vlm_turn_ids(m, NULL, NULL, text, &ids));
    assert_true(ids.n > 20);
    for (size_t i = 0; i < ids.n; i++) assert_true(ids.id[i] < 320);
    vlm_ids_free(&ids);
    vlm_ids_free(&plain);
    vlm_model_close(m);
}

static void templates(void **state) {
    static const struct { const char *text; vlm_chat_kind kind; } cases[] = {
        { "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}", VLM_CHAT_CHATML },
        { "{% for message in messages %}\n{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n{% endfor %}",
          VLM_CHAT_CHATML },
        { "{%- for message in messages -%}<|im_start|>{{ message[\"role\"] }}\n{{ message[\"content\"] }}<|im_end|>\n{% endfor -%}",
          VLM_CHAT_CHATML },
        { "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful "
          "AI assistant named SmolLM, "
          "trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
          "+ '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}", VLM_CHAT_CHATML_DEFAULT },
        { "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n    {%- set first_user_prefix = messages[0]['content'] + '\n\n' "
          "-%}\n{%- endif -%}\n"
          "{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else \"\") }}{{ message['content'] | trim }}{{ "
          "'<end_of_turn>\n' }}\n"
          "{%- if add_generation_prompt -%}\n    {{'<start_of_turn>model\n'}}\n{%- endif -%}", VLM_CHAT_GEMMA },
        { "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
          "'\n'}}{% endfor %}", VLM_CHAT_UNKNOWN },
        { "{% if tools %}x{% endif %}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
          "'<|im_end|>' + '\n'}}{% endfor %}", VLM_CHAT_UNKNOWN },
        { "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n'}}{% "
          "endfor %}", VLM_CHAT_UNKNOWN },
        { "{{ '[INST] ' + messages[0]['content'] + ' [/INST]' }}", VLM_CHAT_UNKNOWN },
        { "", VLM_CHAT_UNKNOWN },
    };
    (void)state;
    assert_ok(vlm_tokenizer_bytes(temp_dir));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_tokenizer *t;
        vlm_chat_kind kind;
        temp_write("chat_template.jinja", cases[i].text, strlen(cases[i].text));
        assert_ok(vlm_tokenizer_open(temp_dir, &t));
        assert_ok(vlm_chat_kind_of(t, NULL, NULL, &kind));
        if (kind != cases[i].kind) fail_msg("template %zu is %s", i, vlm_chat_kind_name(kind));
        vlm_tokenizer_close(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden), cmocka_unit_test(going_on), cmocka_unit_test(not_special),
                                        cmocka_unit_test(model_tokens), cmocka_unit_test(templates) };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

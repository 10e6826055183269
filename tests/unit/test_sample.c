/* The data format: each spelling, each refusal with its code, and images found, probed, loaded. */
#include "temp.h"
#include "base/nearest.h"
#include "data/sample.h"
#include <sys/resource.h>

static const int64_t minimum[4] = { 1, 1, 1, 1 };
static vlm_sample_source source(void) {
    return (vlm_sample_source){ .file = "d.jsonl", .row = "3", .where = "d.jsonl:3", .root = ".", .max_images = 8, .rating_min = minimum };
}
/* The texts of this file write ' for ". */
static vlm_status read_from(const char *text, const vlm_sample_source *from, struct vlm_sample *s, vlm_bad *why) {
    json_t *j;
    char *quoted = strdup(text);
    assert_non_null(quoted);
    for (char *p = quoted; *p; p++) if (*p == '\'') *p = '"';
    vlm_status status = vlm_sample_json(quoted, strlen(text), from->where, &j, why);
    free(quoted);
    if (status) return status;
    status = vlm_sample_read(j, from, s, why);
    json_decref(j);                    /* the sample owns all it has */
    return status;
}
static struct vlm_sample good(const char *text) {
    vlm_sample_source from = source();
    struct vlm_sample s;
    vlm_bad why = VLM_BAD_PATH;
    assert_ok(read_from(text, &from, &s, &why));
    assert_int_equal(why, VLM_BAD_NONE);
    return s;
}
static void bad_from(const char *text, const vlm_sample_source *from, vlm_bad want, const char *words, int line) {
    struct vlm_sample s;
    vlm_bad why = VLM_BAD_NONE;
    vlm_status status = read_from(text, from, &s, &why);
    if (!status || why != want || strcmp(vlm_error_where(), "d.jsonl:3") || !strstr(vlm_error_message(), words)) {
        print_error("%s: %s: '%s': '%s'\nexpected %s: '%s'\n", text, status ? vlm_bad_name(why) : "taken", vlm_error_where(),
                    vlm_error_message(), vlm_bad_name(want), words);
        _fail(__FILE__, line);
    }
}
#define bad(text, want, words) do { vlm_sample_source from_ = source(); bad_from(text, &from_, want, words, __LINE__); } while (0)

static void names(void **state) {
    (void)state;
    static const char *const want[] = { "none", "missing_image", "corrupt_image", "too_large", "too_long", "no_assistant", "bad_json",
                                        "bad_path" };
    for (int i = VLM_BAD_NONE; i <= VLM_BAD_PATH; i++) assert_string_equal(vlm_bad_name((vlm_bad)i), want[i]);
    /* the nearest of the known; a name of a page is near to none */
    static const char *const known[] = { "images", "texts", NULL };
    char page[5000];
    memset(page, 'x', sizeof page);
    page[sizeof page - 1] = 0;
    assert_string_equal(vlm_nearest("imagse", known), "images");
    assert_null(vlm_nearest("zzzz", known));
    assert_null(vlm_nearest(page, known));
    assert_int_equal(vlm_name_distance("ab", "ba"), 1);
}

static void texts(void **state) {
    (void)state;
    struct vlm_sample s = good("{'id':{'n':[1]},'images':['a.png','\xC3\xA4/b c.jpg'],'source':'x','texts':[{'user':'What?',"
                               "'assistant':'A cat.','source':'y'},{'user':'','assistant':null,'other':null}],"
                               "'answers':['cat','a cat'],'choices':[]}");
    assert_string_equal(s.file, "d.jsonl");
    assert_string_equal(s.row, "3");
    assert_string_equal(s.where, "d.jsonl:3");
    assert_int_equal(json_array_size(json_object_get(s.id, "n")), 1);
    assert_true(s.turns == 2 && s.images == 2 && s.answers == 2 && !s.choices && !s.system && !s.dropped);
    assert_string_equal(s.turn[0].user, "What?");
    assert_string_equal(s.turn[0].assistant, "A cat.");
    assert_true(s.turn[0].images == 2 && s.turn[1].images == 0 && !s.turn[1].assistant);
    assert_string_equal(s.image[1].path, "\xC3\xA4/b c.jpg");
    assert_string_equal(s.image[1].file, "\xC3\xA4/b c.jpg");
    assert_string_equal(s.answer[1], "a cat");
    vlm_sample_free(&s);
    assert_true(!s.turn && !s.id);
    vlm_sample_free(&s);
    s = good("\xEF\xBB\xBF {'texts':[{'user':'a'}],'images':null,'messages':null,'id':null}\r\n");  /* a mark, a CR */
    assert_true(s.turns == 1 && !s.images && !s.id);
    vlm_sample_free(&s);
}
static void messages(void **state) {
    (void)state;
    struct vlm_sample s = good(
        "{'messages':[{'role':'system','content':[{'type':'text','text':'Be '},{'type':'text','text':'brief.'}]},"
        "{'role':'user','content':[{'type':'text','text':'One '},{'type':'image','image':'a.png'},"
        "{'type':'image_url','image_url':{'url':'b.png','detail':'high'}},{'type':'text','text':'two','index':null}]},"
        "{'role':'assistant','content':[{'type':'text','text':'Yes'},{'type':'text','text':'.'}]},"
        "{'role':'user','content':[{'type':'image','path':'c.png'},{'type':'image','url':'d.png'}]},"
        "{'role':'assistant','content':'No.'},{'role':'user','content':'And?'}]}");
    assert_string_equal(s.system, "Be brief.");
    assert_true(s.turns == 3 && s.images == 4);
    assert_string_equal(s.turn[0].user, "One two");
    assert_string_equal(s.turn[0].assistant, "Yes.");
    assert_string_equal(s.turn[1].user, "");
    assert_true(s.turn[0].images == 2 && s.turn[1].images == 2 && !s.turn[2].images && !s.turn[2].assistant);
    static const char *const order[] = { "a.png", "b.png", "c.png", "d.png" };
    for (int i = 0; i < 4; i++) assert_string_equal(s.image[i].path, order[i]);
    vlm_sample_free(&s);
    /* parts without a path take the list's next: Hugging Face's columns `images` and `messages` */
    s = good("{'images':['a.png','b.png'],'messages':[{'role':'user','content':[{'type':'image','text':null,'index':0},"
             "{'type':'text','text':'x'}]},{'role':'assistant','content':'y'},"
             "{'role':'user','content':[{'type':'image'}]}]}");
    assert_true(s.images == 2 && s.turn[0].images == 1 && s.turn[1].images == 1);
    assert_string_equal(s.image[1].path, "b.png");
    vlm_sample_free(&s);
}
static void not_json(void **state) {
    (void)state;
    bad("", VLM_BAD_JSON, "is not valid JSON");
    bad("{'texts':[", VLM_BAD_JSON, "column 10; mend the line");
    bad("no", VLM_BAD_JSON, "is not valid JSON: invalid token near 'no', column 2; mend the line");
    bad("{\n\n'texts':x}", VLM_BAD_JSON, "line 3");          /* a whole .json keeps its lines */
    bad("{'texts':[{'user':'\xFF'}]}", VLM_BAD_JSON, "is not valid JSON");
    bad("{'texts':[{'user':'a\\u0000b'}]}", VLM_BAD_JSON, "NUL");
    bad("{'texts':[],'texts':[]}", VLM_BAD_JSON, "duplicate");
    bad("[]", VLM_BAD_JSON, "is not a JSON object");
    bad("7", VLM_BAD_JSON, "is not a JSON object");
    enum { DEEP = 1 << 16 };
    char *deep = malloc(DEEP + 1);
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    deep[DEEP] = 0;
    bad(deep, VLM_BAD_JSON, "depth");
    memset(deep, ',', DEEP);
    deep[0] = '[';
    bad(deep, VLM_BAD_JSON, "is not valid JSON");
    free(deep);
    json_t *j;
    vlm_bad why;
    assert_failure(vlm_sample_json("\0{}", 3, "d.jsonl:3", &j, &why), VLM_EFORMAT, "d.jsonl:3", "is not valid JSON");
    assert_int_equal(why, VLM_BAD_JSON);
    char *many = malloc(3 << 20);      /* values over the limit */
    assert_non_null(many);
    memset(many, ',', 3 << 20);
    many[0] = '[';
    assert_failure(vlm_sample_json(many, 3 << 20, "d.jsonl:3", &j, &why), VLM_ELIMIT, "d.jsonl:3", "values");
    assert_int_equal(why, VLM_BAD_TOO_LARGE);
    free(many);
    assert_true(vlm_line_blank("", 0) && vlm_line_blank("\xEF\xBB\xBF \t\r", 6) && !vlm_line_blank("\0", 1) && !vlm_line_blank(" {", 2));
}
static void not_the_format(void **state) {
    (void)state;
    bad("{}", VLM_BAD_JSON, "has neither texts nor messages");
    bad("{'texts':[{'user':'a'}],'messages':[]}", VLM_BAD_JSON, "has both texts and messages");
    bad("{'texts':{}}", VLM_BAD_JSON, "texts is not an array");
    bad("{'texts':[1]}", VLM_BAD_JSON, "has no key user");
    bad("{'texts':[{'assistant':'a'}]}", VLM_BAD_JSON, "has no key user");
    bad("{'texts':[{'user':1}]}", VLM_BAD_JSON, "key user is an integer, expected a string");
    bad("{'texts':[{'user':'a','assistant':['b']}]}", VLM_BAD_JSON, "key assistant is an array");
    bad("{'texts':[{'user':'a','asistant':'x'}]}", VLM_BAD_JSON, "did you mean assistant?");
    bad("{'image':['a.png'],'texts':[{'user':'a'}]}", VLM_BAD_JSON, "did you mean images?");
    bad("{'zzzzzzzz':1,'texts':[]}", VLM_BAD_JSON, "formatting_min are known");
    bad("{'texts':[{'user':'a'}],'images':'a.png'}", VLM_BAD_JSON, "images is not an array");
    bad("{'texts':[{'user':'a'}],'images':[1]}", VLM_BAD_JSON, "has an image that is not a path");
    bad("{'texts':[{'user':'a'}],'answers':'b'}", VLM_BAD_JSON, "answers is not an array");
    bad("{'texts':[{'user':'a'}],'choices':['b',3]}", VLM_BAD_JSON, "choices holds something that is not a string");
    bad("{'messages':'a'}", VLM_BAD_JSON, "messages is not an array");
    bad("{'messages':[{'content':'a'}]}", VLM_BAD_JSON, "a message has no key role");
    bad("{'messages':[{'role':'user'}]}", VLM_BAD_JSON, "a message has no content");
    bad("{'messages':[{'role':'user','content':'a','name':'b'}]}", VLM_BAD_JSON, "unknown key name; role, content are known");
    bad("{'messages':[{'role':'assistant','content':'a'}]}", VLM_BAD_JSON, "message 1 has role \"assistant\"");
    bad("{'messages':[{'role':'user','content':'a'},{'role':'user','content':'b'}]}", VLM_BAD_JSON, "message 2 has role");
    bad("{'messages':[{'role':'user','content':'a'},{'role':'system','content':'b'}]}", VLM_BAD_JSON, "system comes first");
    bad("{'messages':[{'role':'tool','content':'a'}]}", VLM_BAD_JSON, "has role \"tool\"");
#define PARTS(role, parts) "{'messages':[{'role':'" role "','content':[" parts "]}]}"
    bad(PARTS("user", "{'text':'a'}"), VLM_BAD_JSON, "a part has no key type");
    bad(PARTS("user", "{'type':'video','video':'a'}"), VLM_BAD_JSON, "image, image_url and text are known");
    bad(PARTS("user", "{'type':'text'}"), VLM_BAD_JSON, "a part has no key text");
    bad(PARTS("user", "{'type':'text','text':null}"), VLM_BAD_JSON, "has no key text");
    bad(PARTS("user", "{'type':'text','text':'a','image':'b'}"), VLM_BAD_JSON, "unknown key image; type, text are known");
    bad(PARTS("user", "{'type':'image'}"), VLM_BAD_JSON, "names no image");
    bad(PARTS("user", "{'type':'image','image':1}"), VLM_BAD_JSON, "not a path");
    bad(PARTS("user", "{'type':'image','image':'a','path':'b'}"), VLM_BAD_JSON, "two paths");
    bad(PARTS("user", "{'type':'image','imege':'a'}"), VLM_BAD_JSON, "did you mean image?");
    bad(PARTS("user", "{'type':'image_url','image_url':'a.png'}"), VLM_BAD_JSON, "has no object image_url");
    bad(PARTS("user", "{'type':'image_url','image_url':{}}"), VLM_BAD_JSON, "not a path");
    bad(PARTS("user", "{'type':'image_url','image_url':{'uri':'a'}}"), VLM_BAD_JSON, "did you mean url?");
    bad(PARTS("system", "{'type':'image','image':'a'}"), VLM_BAD_JSON, "the system's content has a part of type \"image\"");
    bad("{'images':['a'],'messages':[{'role':'user','content':'a'}]}", VLM_BAD_JSON, "has images beside messages");
    bad("{'images':'a','messages':[{'role':'user','content':'a'}]}", VLM_BAD_JSON, "has images beside messages");
    bad("{'images':['a','b'],'messages':[{'role':'user','content':[{'type':'image'}]}]}", VLM_BAD_JSON, "more images than");
    bad("{'images':['a'],'messages':[{'role':'user','content':[{'type':'image'},{'type':'image'}]}]}", VLM_BAD_JSON,
        "names no image");
    bad("{'images':['a'],'messages':[{'role':'user','content':[{'type':'image','index':1}]}]}", VLM_BAD_JSON,
        "index 1, expected 0");
}
static void no_assistant(void **state) {
    (void)state;
    bad("{'texts':[]}", VLM_BAD_NO_ASSISTANT, "has no user turn");
    bad("{'messages':[{'role':'system','content':'a'}]}", VLM_BAD_NO_ASSISTANT, "has no user turn");
    bad("{'texts':[{'user':'a'},{'user':'b','assistant':'c'}]}", VLM_BAD_NO_ASSISTANT, "turn 1 has no answer");
    vlm_sample_source from = source();
    from.need_assistant = true;
    bad_from("{'texts':[{'user':'a'}]}", &from, VLM_BAD_NO_ASSISTANT, "nothing to learn", __LINE__);
    struct vlm_sample s;
    vlm_bad why;
    assert_ok(read_from("{'texts':[{'user':'a','assistant':''},{'user':'b'}]}", &from, &s, &why));
    vlm_sample_free(&s);
}
static void too_large(void **state) {
    (void)state;
    vlm_sample_source from = source();
    from.max_images = 2;
    bad_from("{'images':['a','b','c'],'texts':[{'user':'a'}]}", &from, VLM_BAD_TOO_LARGE, "more than 2 images", __LINE__);
    enum { PARTS_ = 200000 };          /* many parts take no square of time */
    char *text = malloc(PARTS_ * 32 + 100), *p = text;
    assert_non_null(text);
    p += sprintf(p, "{'messages':[{'role':'user','content':[");
    for (int i = 0; i < PARTS_; i++) p += sprintf(p, "%s{'type':'text','text':'x'}", i ? "," : "");
    sprintf(p, "]}]}");
    struct vlm_sample s = good(text);
    assert_int_equal(strlen(s.turn[0].user), PARTS_);
    vlm_sample_free(&s);
    free(text);
}
static void ratings(void **state) {
    (void)state;
    struct vlm_sample s = good("{'images':['a','b'],'texts':[{'user':'0','assistant':'x'},{'user':'1','assistant':'x'},"
                               "{'user':'2','assistant':'x'},{'user':'3','assistant':'x'},{'user':'4','assistant':'x'}],"
                               "'relevance_ratings':[0,5,null,5,5],'image_correspondence_ratings':null,"
                               "'visual_dependency_ratings':[5,1,0,5],'formatting_ratings':[0,1,1,1.0],'formatting_min':0}");
    assert_true(s.turns == 3 && s.dropped == 2 && s.images == 2);
    assert_string_equal(s.turn[0].user, "1");
    assert_string_equal(s.turn[1].user, "3");
    assert_string_equal(s.turn[2].user, "4");
    assert_true(s.turn[0].images == 2 && !s.turn[1].images);   /* the dropped turn's pictures are still spoken of */
    vlm_sample_free(&s);
    /* behind the last that stays nobody speaks of them */
    s = good("{'messages':[{'role':'user','content':[{'type':'image','image':'a'}]},{'role':'assistant','content':'x'},"
             "{'role':'user','content':[{'type':'image','image':'b'}]},{'role':'assistant','content':'y'}],"
             "'relevance_ratings':[1,0]}");
    assert_true(s.turns == 1 && s.images == 1 && s.dropped == 1);
    vlm_sample_free(&s);
    bad("{'texts':[{'user':'a','assistant':'b'}],'formatting_ratings':[0]}", VLM_BAD_NO_ASSISTANT,
        "each of its 1 turns is rated below the minimum");
    bad("{'texts':[{'user':'a','assistant':'b'}],'formatting_ratings':[1,1]}", VLM_BAD_JSON, "formatting_ratings is not an array");
    bad("{'texts':[{'user':'a','assistant':'b'}],'formatting_ratings':3}", VLM_BAD_JSON, "formatting_ratings is not an array");
    bad("{'texts':[{'user':'a','assistant':'b'}],'formatting_ratings':['5']}", VLM_BAD_JSON, "neither a number nor null");
    vlm_sample_source from = source();
    vlm_bad why;
    from.rating_min = NULL;            /* who asks, asks all */
    assert_ok(read_from("{'texts':[{'user':'a'}],'formatting_ratings':[0,1]}", &from, &s, &why));
    assert_true(s.turns == 1 && !s.dropped);
    vlm_sample_free(&s);
}
#define IMAGE(path) "{'images':['" path "'],'texts':[{'user':'a'}]}"
static void paths(void **state) {
    (void)state;
    bad(IMAGE("../a.png"), VLM_BAD_PATH, "has .. in its path");
    bad(IMAGE("a/../b.png"), VLM_BAD_PATH, "has .. in its path");
    bad(IMAGE("a/.."), VLM_BAD_PATH, "has .. in its path");
    bad(IMAGE("/etc/a.png"), VLM_BAD_PATH, "leaves the data's folder");
    bad(IMAGE(""), VLM_BAD_PATH, "path is empty");
    bad(IMAGE("http://x/a.png"), VLM_BAD_PATH, "image http://x/a.png is a URL; save the picture");
    bad(IMAGE("file:///a.png"), VLM_BAD_PATH, "is a URL");
    bad(IMAGE("data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), VLM_BAD_PATH, "AAA... is a URL");
    struct vlm_sample s = good(IMAGE("..a/b...png"));
    assert_string_equal(s.image[0].file, "..a/b...png");
    vlm_sample_free(&s);
    static const struct { const char *root; bool named; const char *text, *file; } cases[] = {
        { "x", false, IMAGE("a.png"), "x/a.png" }, { "x/", false, IMAGE("a.png"), "x/a.png" }, { "", false, IMAGE("a.png"), "a.png" },
        { "/x", true, IMAGE("/x/a.png"), "/x/a.png" }, { "/x/", true, IMAGE("/x/a.png"), "/x/a.png" }, { "/", true, IMAGE("/a"), "/a" },
        { "/x", true, IMAGE("/xa.png"), NULL }, { "/x", false, IMAGE("/x/a.png"), NULL }, { "/x", true, IMAGE("/x/../a"), NULL } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_sample_source from = source();
        vlm_bad why;
        from.root = cases[i].root;
        from.root_named = cases[i].named;
        vlm_status status = read_from(cases[i].text, &from, &s, &why);
        if (!cases[i].file) { assert_true(status && why == VLM_BAD_PATH); continue; }
        assert_ok(status);
        assert_string_equal(s.image[0].file, cases[i].file);
        vlm_sample_free(&s);
    }
}
static void members(void **state) {
    (void)state;
    vlm_sample_image list[] = { { .path = "./d/k.0.png", .fd = 7, .at = 512, .bytes = 3 }, { .path = "./d/k.1.png", .fd = 7 } };
    vlm_sample_source from = source();
    struct vlm_sample s;
    vlm_bad why;
    from.archive = true;
    from.members = (vlm_sample_members){ list, 2 };
    assert_ok(read_from("{'texts':[{'user':'a'}]}", &from, &s, &why));
    assert_true(s.images == 2 && s.turn[0].images == 2 && s.image[0].at == 512 && s.image[0].bytes == 3 && !s.image[0].file);
    vlm_sample_free(&s);
    assert_ok(read_from("{'messages':[{'role':'user','content':'a'}]}", &from, &s, &why));   /* nobody says where they go */
    assert_int_equal(s.turn[0].images, 2);
    vlm_sample_free(&s);
    static const char *const ways[] = { "k.1.png", "./d/k.1.png", "d/k.1.png" };
    for (int i = 0; i < 3; i++) {
        char text[100];
        snprintf(text, sizeof text, IMAGE("%s"), ways[i]);
        assert_ok(read_from(text, &from, &s, &why));
        assert_true(s.images == 1);
        assert_string_equal(s.image[0].path, "./d/k.1.png");
        vlm_sample_free(&s);
    }
    bad_from(IMAGE("x.png"), &from, VLM_BAD_MISSING_IMAGE, "is no member of this sample", __LINE__);
    bad_from("{'messages':[{'role':'user','content':[{'type':'image'}]}]}", &from, VLM_BAD_JSON, "beside more images", __LINE__);
    assert_ok(read_from("{'messages':[{'role':'user','content':[{'type':'image'},{'type':'image'}]}]}", &from, &s, &why));
    vlm_sample_free(&s);
    from.max_images = 1;
    bad_from("{'texts':[{'user':'a'}]}", &from, VLM_BAD_TOO_LARGE, "more than 1 images", __LINE__);
}
static void captions(void **state) {
    (void)state;
    vlm_sample_image list[] = { { .path = "k.png", .file = "x/k.png", .fd = -1 } };
    vlm_sample_source from = source();
    struct vlm_sample s;
    vlm_bad why;
    from.members = (vlm_sample_members){ list, 1 };
    assert_ok(vlm_sample_caption("\xEF\xBB\xBF a cat\r\nasleep\n\n", 19, &from, &s, &why));
    assert_string_equal(s.turn[0].user, "");
    assert_string_equal(s.turn[0].assistant, "a cat\r\nasleep");
    assert_string_equal(s.image[0].file, "x/k.png");
    vlm_sample_free(&s);
    assert_ok(vlm_sample_caption(" \n", 2, &from, &s, &why));
    assert_null(s.turn[0].assistant);
    vlm_sample_free(&s);
    from.need_assistant = true;
    assert_failure(vlm_sample_caption("", 0, &from, &s, &why), VLM_EFORMAT, "d.jsonl:3", "no assistant turn");
    assert_int_equal(why, VLM_BAD_NO_ASSISTANT);
    assert_failure(vlm_sample_caption("\xC3", 1, &from, &s, &why), VLM_EFORMAT, "d.jsonl:3", "is not UTF-8");
    assert_int_equal(why, VLM_BAD_JSON);
    assert_failure(vlm_sample_caption("a\0b", 3, &from, &s, &why), VLM_EFORMAT, "d.jsonl:3", "holds a NUL");
    from.members.n = 0;
    assert_failure(vlm_sample_caption("a", 1, &from, &s, &why), VLM_EIO, "d.jsonl:3", "without an image of the same name");
    assert_int_equal(why, VLM_BAD_MISSING_IMAGE);
}

static void images(void **state) {
    (void)state;
    static const uint8_t gif[] = "GIF89a", junk[] = "junk";
    temp_write("g.png", gif, 6);
    temp_write("j.jpg", junk, 4);
    temp_write("e.jpg", junk, 0);
    char cmd[300], text[200];
    snprintf(cmd, sizeof cmd, "cp tests/golden/images/exif6.jpg %s/ok.jpg; head -c 800 %s/ok.jpg > %s/cut.jpg; mkfifo %s/fifo.jpg; "
             "mkdir %s/dir.jpg; ln -s loop.jpg %s/loop.jpg; ln -s ok.jpg %s/link.jpg", temp_dir, temp_dir, temp_dir, temp_dir, temp_dir,
             temp_dir, temp_dir);
    assert_int_equal(system(cmd), 0);
    static const struct { const char *name; vlm_bad probe, load; const char *words; } cases[] = {
        { "ok.jpg", VLM_BAD_NONE, VLM_BAD_NONE, "" }, { "link.jpg", VLM_BAD_NONE, VLM_BAD_NONE, "" },
        { "none.jpg", VLM_BAD_MISSING_IMAGE, VLM_BAD_MISSING_IMAGE, "image none.jpg: cannot open: No such file" },
        { "ok.jpg/x", VLM_BAD_MISSING_IMAGE, VLM_BAD_MISSING_IMAGE, "Not a directory" },
        { "g.png", VLM_BAD_CORRUPT_IMAGE, VLM_BAD_CORRUPT_IMAGE, "image g.png: is GIF, which cannot be read" },
        { "j.jpg", VLM_BAD_CORRUPT_IMAGE, VLM_BAD_CORRUPT_IMAGE, "is not an image that can be read" },
        { "e.jpg", VLM_BAD_CORRUPT_IMAGE, VLM_BAD_CORRUPT_IMAGE, "is empty" },
        { "cut.jpg", VLM_BAD_NONE, VLM_BAD_CORRUPT_IMAGE, "image cut.jpg: " },
        { "fifo.jpg", VLM_BAD_CORRUPT_IMAGE, VLM_BAD_CORRUPT_IMAGE, "is not a regular file" },
        { "dir.jpg", VLM_BAD_CORRUPT_IMAGE, VLM_BAD_CORRUPT_IMAGE, "is not a regular file" },
        { "loop.jpg", VLM_BAD_PATH, VLM_BAD_PATH, "image loop.jpg: cannot open" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vlm_sample_source from = source();
        struct vlm_sample s;
        vlm_image_info info = { 0 };
        vlm_bitmap b = { 0 };
        vlm_bad why;
        int64_t bytes;
        from.root = temp_dir;
        snprintf(text, sizeof text, IMAGE("%s"), cases[i].name);
        assert_ok(read_from(text, &from, &s, &why));
        vlm_status status = vlm_sample_image_probe(&s, 0, NULL, &info, &why);
        assert_int_equal(why, cases[i].probe);
        assert_int_equal(!status, !cases[i].probe);
        if (status) assert_failure(status, status, "d.jsonl:3", cases[i].words);
        else assert_true(info.w > 0 && info.stored_w == info.h);       /* EXIF 6: a quarter turn */
        status = vlm_sample_image_load(&s, 0, NULL, &b, &why);
        assert_int_equal(why, cases[i].load);
        if (status) assert_failure(status, status, "d.jsonl:3", cases[i].words);
        else assert_true(b.w == info.w && b.h == info.h);
        vlm_bitmap_close(&b);
        status = vlm_sample_image_size(&s, 0, &bytes, &why);
        assert_true(status ? why != VLM_BAD_NONE : bytes >= 0);
        if (!cases[i].load) {
            vlm_image_limits small[] = { { 10, 65500, 1 << 20, NULL }, { 1 << 20, 3, 1 << 20, NULL }, { 1 << 20, 65500, 100, NULL } };
            static const char *const flags[] = { "--max-pixels", "--max-side", "--max-bytes" };
            for (int k = 0; k < 3; k++) {
                assert_failure(vlm_sample_image_probe(&s, 0, &small[k], &info, &why), VLM_ELIMIT, "d.jsonl:3", flags[k]);
                assert_int_equal(why, VLM_BAD_TOO_LARGE);
                assert_failure(vlm_sample_image_load(&s, 0, &small[k], &b, &why), VLM_ELIMIT, "d.jsonl:3", flags[k]);
                assert_int_equal(why, VLM_BAD_TOO_LARGE);
            }
        }
        vlm_sample_free(&s);
    }
}
/* What is not the sample's fault is not laid on it. */
static void machine(void **state) {
    (void)state;
    vlm_sample_source from = source();
    struct vlm_sample s;
    struct rlimit few, many;
    vlm_bad why;
    unsigned char *data;
    size_t n;
    assert_ok(read_from(IMAGE("tests/golden/images/exif6.jpg"), &from, &s, &why));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &many), 0);
    few = (struct rlimit){ 3, many.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    vlm_status status = vlm_sample_image_bytes(&s, 0, NULL, &data, &n, &why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
    assert_failure(status, VLM_EIO, "d.jsonl:3", "Too many open files");
    assert_int_equal(why, VLM_BAD_NONE);
    assert_ok(vlm_sample_image_bytes(&s, 0, NULL, &data, &n, &why));
    assert_int_equal(n, 897);
    free(data);
    vlm_sample_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(names), cmocka_unit_test(texts), cmocka_unit_test(messages),
                                        cmocka_unit_test(not_json), cmocka_unit_test(not_the_format), cmocka_unit_test(no_assistant),
                                        cmocka_unit_test(too_large), cmocka_unit_test(ratings), cmocka_unit_test(paths),
                                        cmocka_unit_test(members), cmocka_unit_test(captions),
                                        cmocka_unit_test_setup_teardown(images, temp_open, temp_close), cmocka_unit_test(machine) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bad samples of every kind are told by name, once, and training goes on without them; --strict; images that are made to fit. */
#include "run.h"
#include "train/example.h"
#include <sys/stat.h>

/* ---- Every kind ------------------------------------------------------------------------------------------------------ */

/* Lines of bad.jsonl; ' stands for ". A turn for those that are bad in another way: */
#define T ", 'texts': [{'user': 'What?', 'assistant': 'This.'}]}"
#define I(names) "{'images': [" names "]" T
static const struct { const char *line, *code, *reason; } kinds[] = {
    { I("'good.png'"), NULL, NULL },
    { I("'nowhere.png'"), "missing_image", "image nowhere.png: cannot open: No such file or directory" },
    { I("'file/a.png'"), "missing_image", "image file/a.png: cannot open: Not a directory" },
    { I("'good.png', 'nowhere.png'"), "missing_image", "image nowhere.png: " },
    { I("'folder'"), "corrupt_image", "image folder: is not a regular file" },
    { I("'fifo'"), "corrupt_image", "image fifo: is not a regular file" },
    { I("'empty.png'"), "corrupt_image", "image empty.png: is empty" },
    { I("'cut.png'"), "corrupt_image", "image cut.png: is a PNG that is cut short" },
    { I("'cut.jpg'"), "corrupt_image", "image cut.jpg: is a damaged JPEG" },
    { I("'head.png'"), "corrupt_image", "image head.png: " },
    { I("'text.png'"), "corrupt_image", "image text.png: " },
    { I("'a.gif'"), "corrupt_image", "image a.gif: is GIF, which cannot be read" },
    { I("'good.png', 'wide.png'"), "too_large", "image wide.png: is 150×9 pixels, over the limit of 100 a side" },
    { I("'square.png'"), "too_large", "is 64×48 pixels, over the limit of 3000 in all" },
    { I("'heavy.png'"), "too_large", "over the limit of 40000; raise it with --max-bytes" },
    { I("'good.png', 'good.png', 'good.png', 'good.png'"), "too_large", "--max-images" },
    { "{'texts': [{'user': 'What?', 'assistant': '" "@LONG" "'}]}", "too_long", "over the 256 of the context; shorten its text" },
    { "{'texts': [{'user': 'What?'}]}", "no_assistant", "" },
    { "{'texts': []}", "no_assistant", "" },
    { "{'texts': [{'user': 'a'}, {'user': 'b', 'assistant': 'c'}]}", "no_assistant", "" },
    { "{'texts': [{'user': 'What?', 'assistant': 'This.'}], 'formatting_ratings': [0]}", "no_assistant", "" },
    { "not JSON", "bad_json", "" },
    { "[1, 2]", "bad_json", "" },
    { "{'images': ['good.png']", "bad_json", "" },
    { "{'images': [7]" T, "bad_json", "" },
    { "{'images': ['good.png'], 'textes': [{'user': 'a', 'assistant': 'b'}]}", "bad_json", "" },
    { "{'texts': [{'user': 'a\xFF', 'assistant': 'b'}]}", "bad_json", "" },
    { "{'texts': [{'user': 'a', 'user': 'c', 'assistant': 'b'}]}", "bad_json", "" },
    { I("'../good.png'"), "bad_path", "" },
    { I("'/etc/hostname'"), "bad_path", "" },
    { I("'https://example.org/a.png'"), "bad_path", "" },
    { I("'loop.png'"), "bad_path", "" },
    { I("'good.jpg'"), NULL, NULL },
    { "{'texts': [{'user': 'And?', 'assistant': 'So.'}]}", NULL, NULL },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void make_bad(void) {
    static bool done;
    char cmd[4096], lines[16384] = "", longer[2000];
    if (done) return;
    done = true;
    snprintf(cmd, sizeof cmd,
             "g=$PWD/tests/golden/images; cd %s && mkdir folder && mkfifo fifo && : > empty.png && cp $g/rgb_40x40.png good.png && "
             "cp $g/exif6.jpg good.jpg && cp $g/rgb_150x9.png wide.png && cp $g/rgb_64x48.png square.png && chmod u+w *.png *.jpg && "
             "head -c 900 good.png > cut.png && "
             "head -c 700 good.jpg > cut.jpg && head -c 20 good.png > head.png && echo '<html>' > text.png && : > file && "
             "printf 'GIF89a\\1\\0\\1\\0' > a.gif && ln -s loop.png loop.png && (cat good.png; head -c 50000 /dev/zero) > heavy.png",
             temp_dir);
    assert_int_equal(system(cmd), 0);
    memset(longer, 'z', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    for (int i = 0; i < KINDS; i++) {
        const char *at = strstr(kinds[i].line, "@LONG");
        if (!at) snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%s\n", kinds[i].line);
        else
            snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%.*s%s%s\n", (int)(at - kinds[i].line), kinds[i].line, longer,
                     at + 5);
    }
    write_data("bad.jsonl", lines);
}
static vlm_train_options bad_options(const char *run) {
    static const char *data[1];
    vlm_train_options o = options(run);
    make_bad();
    data[0] = keep("bad.jsonl");
    o.data = data;
    o.open.max_side_px = 100, o.open.max_pixels = 3000, o.open.max_file_bytes = 40000;
    o.dataset.max_images = 3;
    o.batch_samples = 2;
    return o;
}
static void check_rows(const vlm_train_options *o, int *scanned) {
    json_t *all = rows(o->run, "quarantine.jsonl"), *row;
    size_t i;
    int seen[KINDS] = { 0 }, bad = 0;
    *scanned = 0;
    json_array_foreach(all, i, row) {
        int k = atoi(json_string_value(json_object_get(row, "row"))) - 1;
        const char *code = json_string_value(json_object_get(row, "code")), *reason = json_string_value(json_object_get(row, "reason"));
        assert_true(k >= 0 && k < KINDS && json_object_size(row) == 5);
        assert_string_equal(json_string_value(json_object_get(row, "file")), o->data[0]);
        if (!kinds[k].code || strcmp(code, kinds[k].code) || !strstr(reason, kinds[k].reason) || !strchr(reason, ';'))
            fail_msg("line %d: %s: %s\nexpected %s: %s", k + 1, code, reason, kinds[k].code, kinds[k].reason);
        seen[k]++;
        *scanned += integer(row, "step") == 0;
    }
    for (int k = 0; k < KINDS; k++) {
        if (seen[k] != (kinds[k].code != NULL)) fail_msg("line %d is told of %d times", k + 1, seen[k]);
        bad += kinds[k].code != NULL;
    }
    assert_true(bad >= 20 && json_array_size(all) == (size_t)bad);
    json_decref(all);
}
static void every_kind(void **state) {
    (void)state;
    int bad = 0, scanned;
    for (int k = 0; k < KINDS; k++) bad += kinds[k].code != NULL;
    for (int threads = 1; threads <= 4; threads += 3) {
        vlm_train_options o = bad_options(threads == 1 ? "one" : "four");
        watch w = { 0 };
        o.threads = threads;
        o.steps = 8;                           /* four epochs: each is told once */
        assert_ok(train(&o, &w));
        assert_true(w.updates == 8 && !w.skipped && w.quarantined == bad && w.last.quarantined == bad && w.last.epoch == 3);
        check_rows(&o, &scanned);
        assert_true(scanned == bad - 2 && w.start.quarantined == scanned && w.start.samples == KINDS - scanned);   /* cut ones: decoded */
    }
    assert_same_runs(keep("one"), keep("four"), 8);
    vlm_train_options o;
    watch w = { 0 };
    for (int k = 1; k < 8; k++) {              /* and once over all starts of a run, wherever it was stopped */
        char name[16];
        snprintf(name, sizeof name, "resumed%d", k);
        o = bad_options(name);
        o.steps = 8, w.stop_at = k;
        assert_failure(train(&o, &w), VLM_ESTOPPED, "", "");
        o.resume = "auto", w.stop_at = 0;
        assert_ok(train(&o, &w));
        assert_true(w.last.quarantined == bad && w.quarantined <= 2);
        assert_same_runs(keep("one"), o.run, 8);
    }
    /* validation passes bad ones over too */
    o = bad_options("val");
    static const char *val[1];
    static const char *const mixed[] = { MIXED };
    val[0] = o.data[0];
    o.data = mixed, o.val = val, o.vals = 1, o.steps = 2, o.open.max_side_px = 0, o.eval_every = 1;
    assert_ok(train(&o, &w));
    assert_true(w.validations == 2 && isfinite(w.val_loss) && w.val_labels > 0 && w.quarantined >= bad - 1);
}
static void strict(void **state) {
    (void)state;
    vlm_train_options o = bad_options("strict");
    watch w = { 0 };
    o.strict = true;
    assert_failure(train(&o, &w), VLM_EFORMAT, "bad.jsonl:2", "(missing_image); mend the sample, or leave out --strict to train without");
    assert_true(!w.updates && w.quarantined == 1);
    const char *late[] = { write_data("late.jsonl", "{'texts': [{'user': 'a', 'assistant': 'b'}]}\n"
                                   "{'texts': [{'user': 'c', 'assistant': 'd'}]}\n" I("'cut.png'") "\n") };
    o = options("late"), o.strict = true, o.no_shuffle = true, o.batch_samples = 1, o.data = late, o.save_every = 1;
    assert_failure(train(&o, &w), VLM_EFORMAT, "late.jsonl:3", "(corrupt_image); mend the sample");    /* found by decoding it */
    assert_true(w.updates == 1 && exists(o.run, "step_1"));
}

/* ---- Caps and shrinking ---------------------------------------------------------------------------------------------- */

static void caps(void **state) {
    (void)state;
    vlm_train_options o = options("caps");
    watch w = { 0 };
    o.batch_samples = 0, o.batch_tokens = 60, o.steps = 4;
    assert_ok(train(&o, &w));
    json_t *all = rows(o.run, "quarantine.jsonl"), *row;
    size_t i;
    assert_true(json_array_size(all) > 2 && json_array_size(all) < 8);
    json_array_foreach(all, i, row) {
        assert_string_equal(json_string_value(json_object_get(row, "code")), "too_long");
        assert_non_null(strstr(json_string_value(json_object_get(row, "reason")), "over the 60 of a batch; raise --batch-tokens"));
    }
    json_decref(all);
    o = options("patches");
    o.batch_samples = 0, o.batch_patches = 40, o.steps = 4;
    assert_ok(train(&o, &w));
    all = rows(o.run, "quarantine.jsonl");
    assert_true(json_array_size(all) > 1 && json_array_size(all) < 8);
    json_array_foreach(all, i, row)
        assert_non_null(strstr(json_string_value(json_object_get(row, "reason")), "patches, over the 40 of a batch; raise --batch-patch"));
    json_decref(all);
    all = rows(o.run, "metrics.jsonl");
    json_array_foreach(all, i, row) assert_true(integer(row, "patches") <= 40);
    json_decref(all);
    o = options("shrunk");                     /* the same, but the images are made smaller: nobody is left out */
    o.batch_samples = 0, o.batch_patches = 40, o.steps = 4, o.shrink_images = true;
    assert_ok(train(&o, &w));
    assert_true(w.start.samples == 8 && !w.quarantined);
    all = rows(o.run, "metrics.jsonl");
    json_array_foreach(all, i, row) assert_true(integer(row, "patches") <= 40);
    json_decref(all);
}
/* The images get the most tokens under which the sample fits; where that is not enough, it is too long still. */
static void shrinking(void **state) {
    (void)state;
    static const char *const folders[] = { "vlm_dino", "vlm_siglip_up", "vlm_dinov2_reg" };
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++) {
        char dir[128];
        vlm_model *m;
        vlm_dataset *d;
        snprintf(dir, sizeof dir, "tests/golden/models/%s", folders[k]);
        assert_ok(vlm_model_open_as(dir, &(vlm_model_options){ .threads = 1 }, VLM_OPEN_STRUCTURE, &m));
        assert_ok(vlm_dataset_open(MIXED, NULL, &d));
        for (int64_t i = 0; i < vlm_dataset_count(d); i++) {
            struct vlm_sample s;
            vlm_example whole, e;
            vlm_bad why;
            vlm_example_rule r = { .m = m, .max_images = 8 };
            assert_ok(vlm_dataset_read(d, i, &s, &why));
            assert_ok(vlm_example_make(&r, &s, false, &whole, &why));
            int64_t n = (int64_t)whole.ids.n, image_tokens = vlm_example_extent(m, &whole).image_tokens, last = 0, fitted = 0;
            for (r.max_tokens = n + 1; r.max_tokens > 0; r.max_tokens--) {
                r.shrink = false;
                vlm_status plain = vlm_example_make(&r, &s, false, &e, &why);
                if (!plain) vlm_example_free(&e);
                else assert_true(why == VLM_BAD_TOO_LONG);
                assert_true((plain == VLM_OK) == (r.max_tokens >= n));
                r.shrink = true;
                vlm_status status = vlm_example_make(&r, &s, r.max_tokens % 16 == 0, &e, &why);
                if (status) { assert_true(status == VLM_ELIMIT && why == VLM_BAD_TOO_LONG); break; }
                int64_t tokens = vlm_example_extent(m, &e).image_tokens;
                assert_true((int64_t)e.ids.n <= r.max_tokens && e.labels == whole.labels && e.images == whole.images);
                assert_true(tokens <= image_tokens && (!fitted || tokens <= last));
                if (r.max_tokens >= n) assert_true(tokens == image_tokens && (int64_t)e.ids.n == n);
                last = tokens;
                fitted++;
                vlm_example_free(&e);
            }
            assert_true(fitted >= 2);
            if (image_tokens > s.images && k == 0) {           /* down to one token an image */
                assert_true(last == s.images);
                assert_true(r.max_tokens == n - image_tokens + s.images - 1);
            }
            vlm_example_free(&whole);
            vlm_sample_free(&s);
        }
        vlm_dataset_close(d);
        vlm_model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind), cmocka_unit_test(strict), cmocka_unit_test(caps), cmocka_unit_test(shrinking),
    };
    return cmocka_run_group_tests_name("quarantine", tests, temp_open, temp_close);
}

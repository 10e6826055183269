#include "digits.h"
#include "term.h"
#include "base/file.h"
#include "base/log.h"
#include "data/picture.h"
#include "io/json.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST = VLM_DIGITS_LAID };
static const char *const kinds[] = { "read", "count", "cell", "largest" };
enum { READ, COUNT, CELL, LARGEST, KINDS };

typedef struct number { int rows, cols, n, digit[MOST]; } number;
typedef enum lesson { SINGLES, NUMBERS, HELD_OUT, LESSONS } lesson;
typedef struct part {                  /* of the data: pictures and a list of questions about them */
    const char *name;                  /* of its folder and of its .jsonl */
    lesson lesson;
    const vlm_digits *digits;
    int64_t images, questions, laid;
    vlm_rng rng;
} part;

static int draw_int(vlm_rng *r, int n) { return (int)(vlm_rng_uniform(r) * n); }

/* n digits as a strip, a column, or, where n allows it, a table of at least 2 x 2. */
static void lay_out(vlm_rng *r, int n, number *m) {
    int choice[MOST], choices = 0;
    double u = vlm_rng_uniform(r);
    for (int rows = 2; 2 * rows <= n; rows++) if (n % rows == 0) choice[choices++] = rows;
    m->n = n;
    m->rows = u < 0.5 ? 1 : u < 0.7 ? n : choices ? choice[draw_int(r, choices)] : u < 0.9 ? 1 : n;
    m->cols = n / m->rows;
}

static json_t *turn(vlm_rng *r, const number *m, int kind) {
    char question[64] = "Read the number.", answer[MOST + 1] = "";
    int cell = draw_int(r, m->n), largest = 0;
    for (int i = 0; i < m->n; i++) if (largest < m->digit[i]) largest = m->digit[i];
    switch (kind) {
    case READ:
        for (int i = 0; i < m->n; i++) answer[i] = (char)('0' + m->digit[i]);
        answer[m->n] = 0;
        break;
    case COUNT:
        strcpy(question, "How many digits are there?");
        snprintf(answer, sizeof answer, "%d", m->n);
        break;
    case CELL:
        snprintf(question, sizeof question, "Which digit is in row %d, column %d?", cell / m->cols + 1, cell % m->cols + 1);
        snprintf(answer, sizeof answer, "%d", m->digit[cell]);
        break;
    default:
        strcpy(question, "Which digit is the largest?");
        snprintf(answer, sizeof answer, "%d", largest);
    }
    return json_pack("{s:s, s:s}", "user", question, "assistant", answer);
}

/* Sample i: how many digits, and what is asked first. Singles are what a model learns the ten digits from, before it meets them in company.
   Held-out samples go round twelve slots: reading 1 to 6 digits, three times 7 to 12, and each other question, so that any number of
   samples has the same shares. */
static int plan_numbers(vlm_rng *r, int *kind) {
    *kind = vlm_rng_uniform(r) < 0.7 ? READ : 1 + draw_int(r, KINDS - 1);
    return 1 + draw_int(r, vlm_rng_uniform(r) < 0.6 ? 6 : MOST);
}
static int plan_held_out(int64_t i, int *kind) {
    int slot = (int)(i % 12), round = (int)(i / 12 % 12);
    *kind = slot < 9 ? READ : slot - 8;
    return slot < 6 ? slot + 1 : slot < 9 ? 7 + (slot - 6 + round % 2 * 3) : round + 1;
}

static vlm_status write_sample(part *h, int64_t i, const char *dir, vlm_writer *lines) {
    char name[64], id[64], *path = NULL, *line = NULL;
    int kind = READ;
    number m;
    vlm_bitmap picture = { 0 };
    vlm_status status = VLM_OK;
    int n = h->lesson == SINGLES ? 1 : h->lesson == NUMBERS ? plan_numbers(&h->rng, &kind) : plan_held_out(i, &kind);
    lay_out(&h->rng, n, &m);
    TRY(vlm_digits_draw(h->digits, m.rows, m.cols, &h->rng, &picture, m.digit));
    snprintf(name, sizeof name, "%s/%06lld.png", h->name, (long long)i);
    snprintf(id, sizeof id, "%s/%d/%lld", kinds[kind], n, (long long)i);
    json_t *turns = json_array();
    json_array_append_new(turns, turn(&h->rng, &m, kind));
    if (h->lesson == NUMBERS && vlm_rng_uniform(&h->rng) < 0.5)    /* a second question costs no image */
        json_array_append_new(turns, turn(&h->rng, &m, kind == READ ? 1 + draw_int(&h->rng, KINDS - 1) : READ));
    h->questions += (int64_t)json_array_size(turns);
    json_t *sample = json_pack("{s:s, s:[s], s:o}", "id", id, "images", name, "texts", turns);
    line = sample ? json_dumps(sample, JSON_COMPACT) : NULL;
    path = vlm_join(dir, name);
    json_decref(sample);
    if (!line || !path) { status = vlm_fail_memory(name, 1 << 10); goto done; }
    TRY_DONE(vlm_picture_write(path, picture.rgb, picture.h, picture.w, picture.h, picture.w));
    if (fprintf(lines->f, "%s\n", line) < 0) status = vlm_fail_errno(lines->path, "write");
done:
    free(path);
    free(line);
    vlm_bitmap_close(&picture);
    return status;
}
static vlm_status write_part(part *h, const char *dir, int64_t before, int64_t total) {
    vlm_writer lines = { 0 };
    char file[32], *folder = vlm_join(dir, h->name), *path = NULL;
    vlm_status status = VLM_OK;
    snprintf(file, sizeof file, "%s.jsonl", h->name);
    path = vlm_join(dir, file);
    if (!folder || !path) { status = vlm_fail_memory(dir, 256); goto done; }
    if (mkdir(folder, 0777)) { status = vlm_fail_errno(folder, "make the folder"); goto done; }
    TRY_DONE(vlm_writer_open(path, &lines));
    for (int64_t i = 0; i < h->images; i++) {
        TRY_DONE(write_sample(h, i, dir, &lines));
        TRY_DONE(vlm_progress("images", before + i + 1, total));
    }
    status = vlm_writer_commit(&lines);
done:
    vlm_writer_cancel(&lines);
    free(folder);
    free(path);
    return status;
}

static vlm_status is_demo(const char *dir) { return vlm_dir_holds(dir, "singles.jsonl"); }
static vlm_status make(const vlm_args *a, part parts[LESSONS], vlm_digits *all) {
    vlm_dir_writer out = { 0 };
    vlm_status status = VLM_OK;
    int64_t before = 0, total = 0;
    TRY(vlm_digits_open(a->args ? a->arg[0] : "examples/digits/digits.png", all));
    vlm_digits_split(all, (uint64_t)a->seed, all + 1, all + 2);
    for (int i = 0; i < LESSONS; i++) {
        parts[i].lesson = (lesson)i;
        parts[i].digits = i == HELD_OUT ? all + 2 : all + 1;
        for (int k = 0; k < 10; k++) parts[i].laid += parts[i].digits->n[k];
        vlm_rng_seed(&parts[i].rng, (uint64_t)a->seed * LESSONS + (uint64_t)i + 1);
        total += parts[i].images;
    }
    TRY(vlm_dir_writer_open(a->output, a->force, is_demo, &out));
    for (int i = 0; i < LESSONS; i++) {
        TRY_DONE(write_part(&parts[i], out.temp, before, total));
        before += parts[i].images;
    }
    status = vlm_dir_writer_commit(&out);
done:
    vlm_dir_writer_cancel(&out);
    return status;
}

vlm_status vlm_cmd_demo_data(vlm_args *a) {
    part parts[LESSONS] = { { .name = "singles", .images = (a->train + 3) / 4 }, { .name = "train", .images = a->train },
                            { .name = "heldout", .images = a->held_out } };
    if (!a->output) return vlm_usage("--output", "is missing; say with -o which folder to make");
    vlm_digits *all = calloc(3, sizeof *all);          /* all, train, held-out */
    if (!all) return vlm_fail_memory("the digits", 3 * sizeof *all);
    vlm_hold();
    vlm_status status = make(a, parts, all), stopped = vlm_release();
    free(all);
    if (!status) status = stopped;
    if (status) return status;
    if (a->json) {
        json_t *o = json_pack("{s:o}", "path", vlm_json_text(a->output));
        for (int i = 0; i < LESSONS; i++)
            json_object_set_new(o, parts[i].name, json_pack("{s:I, s:I, s:I}", "images", (json_int_t)parts[i].images, "questions",
                                                            (json_int_t)parts[i].questions, "digits", (json_int_t)parts[i].laid));
        return vlm_json_out(o);
    }
    for (int i = 0; i < LESSONS; i++)
        printf("%s/%s.jsonl  %lld images, %lld questions, of %lld drawn digits\n", a->output, parts[i].name, (long long)parts[i].images,
               (long long)parts[i].questions, (long long)parts[i].laid);
    return VLM_OK;
}

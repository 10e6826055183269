/* vlm plot: the curves of one or several training runs as one picture. */
#include "chart.h"
#include "open.h"
#include "runlog.h"
#include "base/file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 60, WIDTH = 1000, LEFT = 64, RIGHT = 24, HALF = 420, ROW = 22 };    /* px; HALF: width of the small panels */

typedef struct run {
    const char *path;
    char *name;                        /* in the picture */
    vlm_runlog log;
    vlm_logged_validation *skipped;           /* their steps; loss is not used */
    double last_loss, best_loss, best_step;    /* NaN: none */
} run;

/* ---- reading ------------------------------------------------------------------------------------------------------- */
/* The folder's own name, to be freed; of . and .. the one behind it. */
static char *name_of(const char *path) {
    size_t n = strlen(path), base;
    while (n > 1 && path[n - 1] == '/') n--;
    for (base = n; base > 0 && path[base - 1] != '/'; base--) {}
    if (n - base > 2 || n == base || strncmp("..", path + base, n - base)) return strndup(path + base, n - base);
    char *real = realpath(path, NULL), *slash = real ? strrchr(real, '/') : NULL, *name = strdup(slash && slash[1] ? slash + 1 : path);
    free(real);
    return name;
}
static vlm_status read_run(run *r) {
    int64_t k = 0;
    r->last_loss = r->best_loss = r->best_step = NAN;
    TRY(vlm_runlog_read(r->path, &r->log));
    const vlm_runlog *l = &r->log;
    if (l->torn) vlm_note("vlm: %s: the last line is not whole, as in a run that is being written; it is left out", l->path);
    if (l->again) vlm_note("vlm: %s: %lld rows are of steps that were done again; the later ones count", l->path, (long long)l->again);
    if (!l->updates && !l->validations) vlm_note("vlm: %s: has no rows yet", l->path);
    r->name = name_of(r->path);
    r->skipped = malloc((size_t)(l->skipped + 1) * sizeof *r->skipped);
    if (!r->name || !r->skipped) return vlm_fail_memory(r->path, (size_t)(l->skipped + 1) * sizeof *r->skipped);
    for (int64_t i = 0; i < l->updates; i++) {
        if (isfinite(l->update[i].loss)) r->last_loss = l->update[i].loss;
        if (l->update[i].skipped > 0) r->skipped[k++] = (vlm_logged_validation){ l->update[i].step, 0 };
    }
    for (int64_t i = 0; i < l->validations; i++)
        if (isfinite(l->validation[i].loss) && !(l->validation[i].loss >= r->best_loss)) {
            r->best_loss = l->validation[i].loss;
            r->best_step = l->validation[i].step;
        }
    return VLM_OK;
}
static double last_step(const run *r) {
    const vlm_runlog *l = &r->log;
    double u = l->updates ? l->update[l->updates - 1].step : 0, v = l->validations ? l->validation[l->validations - 1].step : 0;
    return u > v ? u : v;
}
/* Names that two runs share become the paths they were given by. */
static vlm_status tell_apart(run *r, int n) {
    bool shared[MOST_RUNS] = { false };
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) if (!strcmp(r[i].name, r[j].name)) shared[i] = shared[j] = true;
    for (int i = 0; i < n; i++) {
        if (!shared[i]) continue;
        free(r[i].name);
        if (!(r[i].name = strdup(r[i].path))) return vlm_fail_memory(r[i].path, strlen(r[i].path));
    }
    return VLM_OK;
}

/* ---- drawing ------------------------------------------------------------------------------------------------------- */
static void text(FILE *f, const char *class, double x, double y, const char *s, int most) {
    fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
    vlm_svg_text(f, s, most);
    fputs("</text>\n", f);
}
static const char *with_commas(double v, char buf[40]) {
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", v), to = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) buf[to++] = ',';
        buf[to++] = digits[i];
    }
    buf[to] = 0;
    return buf;
}
static const char *loss_text(double v, char buf[40]) {
    if (v && (v < 1e-3 || v >= 1e5)) vlm_short_number(v, buf);
    else snprintf(buf, 40, "%.4f", v);
    return buf;
}
static void legend(FILE *f, const run *r, int n, int y) {
    static const char *const names[] = { "updates", "skipped", "last loss", "best validation", "at step" };
    static const int width[] = { 70, 70, 85, 110, 70 };        /* px; numbers end at the right */
    const char *none = "\xE2\x80\x93";
    char buf[40];
    int x[5], longest = 0;
    for (int i = 0; i < n; i++) if ((int)strlen(r[i].name) > longest) longest = (int)strlen(r[i].name);
    x[0] = LEFT + (longest > 56 ? 410 : longest < 14 ? 100 : longest * 73 / 10) + width[0];
    for (int c = 1; c < 5; c++) x[c] = x[c - 1] + width[c];
    for (int c = 0; c < 5; c++) text(f, "n muted e", x[c], y, names[c], 40);
    for (int i = 0; i < n; i++) {
        const vlm_runlog *l = &r[i].log;
        y += ROW;
        vlm_svg_swatch(f, i, LEFT - 40, y - 4, 30);
        text(f, "", LEFT, y, r[i].name, 56);
        text(f, "e", x[0], y, with_commas((double)l->updates, buf), 40);
        text(f, "e", x[1], y, with_commas((double)l->skipped, buf), 40);
        text(f, "e", x[2], y, isnan(r[i].last_loss) ? none : loss_text(r[i].last_loss, buf), 40);
        text(f, "e", x[3], y, isnan(r[i].best_loss) ? none : loss_text(r[i].best_loss, buf), 40);
        text(f, "e", x[4], y, isnan(r[i].best_step) ? none : with_commas(r[i].best_step, buf), 40);
    }
}

static vlm_series of_updates(const run *r, int i, const double *first) {
    const vlm_runlog *l = &r[i].log;
    return (vlm_series){ .x = l->updates ? &l->update[0].step : NULL, .y = first, .n = l->updates,
                         .stride = sizeof(vlm_logged_update) / sizeof(double), .colour = i, .dash = i / VLM_CHART_COLOURS };
}
static vlm_series of_steps(int i, const vlm_logged_validation *v, int64_t n) {
    return (vlm_series){ .x = n ? &v[0].step : NULL, .y = n ? &v[0].loss : NULL, .n = n,
                         .stride = sizeof(vlm_logged_validation) / sizeof(double), .colour = i, .dash = i / VLM_CHART_COLOURS };
}
/* Learning rates: a colour for each run, a dash for each part of the model; parts whose rates are always the same share a line. */
static void rates(FILE *f, const run *r, int n, vlm_panel *p, vlm_series *s) {
    bool there[VLM_LRS] = { false }, same[VLM_LRS][VLM_LRS];
    int as[VLM_LRS], lines = 0;
    double most = 0, least = INFINITY;
    for (int g = 0; g < VLM_LRS; g++) for (int h = 0; h < VLM_LRS; h++) same[g][h] = true;
    for (int i = 0; i < n; i++) {
        double peak[VLM_LRS] = { 0 };
        for (int64_t k = 0; k < r[i].log.updates; k++) {
            const double *lr = r[i].log.update[k].lr;
            for (int g = 0; g < VLM_LRS; g++) {
                if (!isnan(lr[g])) there[g] = true;
                if (lr[g] > peak[g]) peak[g] = lr[g];
                for (int h = 0; h < g; h++) if (lr[g] != lr[h] && !(isnan(lr[g]) && isnan(lr[h]))) same[g][h] = false;
            }
        }
        for (int g = 0; g < VLM_LRS; g++) {
            if (peak[g] > most) most = peak[g];
            if (peak[g] > 0 && peak[g] < least) least = peak[g];
        }
    }
    p->series = s;
    p->axis = most > 6 * least ? VLM_AXIS_LOG : VLM_AXIS_ZERO;
    p->least = least / 50;                     /* a warm-up from nothing would stretch a logarithmic axis without end */
    for (int g = 0; g < VLM_LRS; g++) {
        as[g] = g;
        for (int h = 0; h < g; h++) if (there[g] && same[g][h]) { as[g] = h; break; }
        for (int i = 0; i < n && there[g] && as[g] == g; i++) {
            s[p->n] = of_updates(r, i, r[i].log.updates ? &r[i].log.update[0].lr[g] : NULL);
            s[p->n++].dash = lines;
        }
        lines += there[g] && as[g] == g;
    }
    vlm_svg_panel(f, p);
    double x = p->x + p->w;
    for (int g = VLM_LRS - 1, dash = lines; g >= 0; g--) {      /* the key, from the right */
        static const int widths[VLM_LRS] = { 34, 55, 50 };     /* px, of a wide font */
        char names[80] = "";
        int width = 0;
        if (!there[g] || as[g] != g) continue;
        for (int h = g; h < VLM_LRS; h++) {
            if (!there[h] || as[h] != g) continue;
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? ", " : "", vlm_lr_names[h]);
            width += (width ? 7 : 0) + widths[h];
        }
        text(f, "n muted", x - width, p->y - 12, names, 80);
        x -= width + 7 + 21;
        vlm_svg_dash(f, --dash, x, p->y - 16, 21);
        x -= 12;
    }
}
static vlm_status draw(const run *r, int n, const char *path) {
    vlm_writer w = { 0 };
    vlm_series *s = malloc((size_t)n * 2 * VLM_LRS * sizeof *s), *marks = s + n * VLM_LRS;
    char title[300];
    double x_hi = 1;
    int64_t skipped = 0, updates = 0, validations = 0;
    int top = 58 + ROW * n + 60, y = top;
    vlm_status status;
    if (!s) return vlm_fail_memory(path, (size_t)n * 2 * VLM_LRS * sizeof *s);
    TRY_DONE(vlm_writer_open(path, &w));
    FILE *f = w.f;
    for (int i = 0; i < n; i++) {
        if (last_step(&r[i]) > x_hi) x_hi = last_step(&r[i]);
        skipped += r[i].log.skipped;
        validations += r[i].log.validations;
        if (r[i].log.updates > updates) updates = r[i].log.updates;
    }
    if (n == 1) snprintf(title, sizeof title, "%.250s", r[0].name);
    else snprintf(title, sizeof title, "%d runs", n);
    vlm_svg_open(f, WIDTH, top + 250 + 2 * 150 + 2 * 84 + 50, title);
    text(f, "h", LEFT - 40, 36, title, 80);
    legend(f, r, n, 58);

    vlm_panel p = { .series = s, .n = n, .x = LEFT, .y = y, .w = WIDTH - LEFT - RIGHT, .h = 250, .x_hi = x_hi, .x_unit = "step" };
    vlm_panel loss = p, grad = p, speed = p, validation = p, lr = p;
    loss.title = "Training loss";
    loss.unit = "nats per labelled token";
    loss.empty = "no values";
    loss.look = VLM_LOOK_NOISY;
    loss.marks = marks;
    loss.marked = n;
    loss.note = updates < VLM_CHART_SMOOTHED ? skipped ? "\xC3\x97 skipped update" : NULL
              : skipped ? "thin: each update, thick: smoothed, \xC3\x97 skipped" : "thin: each update, thick: smoothed";
    for (int i = 0; i < n; i++) {
        s[i] = of_updates(r, i, r[i].log.updates ? &r[i].log.update[0].loss : NULL);
        marks[i] = of_steps(i, r[i].skipped, r[i].log.skipped);
    }
    vlm_svg_panel(f, &loss);

    validation.y = grad.y = y += 250 + 84;
    validation.w = grad.w = lr.w = speed.w = HALF;
    validation.h = grad.h = lr.h = speed.h = 150;
    grad.x = speed.x = WIDTH - RIGHT - HALF;
    validation.title = "Validation loss";
    validation.unit = "nats per labelled token";
    validation.empty = "no validation";
    validation.note = validations ? "ring: best" : NULL;
    validation.look = VLM_LOOK_POINTS;
    for (int i = 0; i < n; i++) s[i] = of_steps(i, r[i].log.validation, r[i].log.validations);
    vlm_svg_panel(f, &validation);
    grad.title = "Gradient norm";
    grad.unit = "before clipping";
    grad.empty = "no values";
    grad.look = VLM_LOOK_NOISY;
    for (int i = 0; i < n; i++) s[i] = of_updates(r, i, r[i].log.updates ? &r[i].log.update[0].grad_norm : NULL);
    vlm_svg_panel(f, &grad);

    lr.y = speed.y = y += 150 + 84;
    speed.title = "Speed";
    speed.unit = "text and image tokens a second";
    speed.empty = "no values";
    speed.look = VLM_LOOK_NOISY;
    speed.axis = VLM_AXIS_ZERO;
    for (int i = 0; i < n; i++) s[i] = of_updates(r, i, r[i].log.updates ? &r[i].log.update[0].speed : NULL);
    vlm_svg_panel(f, &speed);
    lr.title = "Learning rate";
    lr.unit = "";
    lr.empty = "no values";
    lr.n = 0;
    rates(f, r, n, &lr, s);
    vlm_svg_close(f);
    status = vlm_writer_commit(&w);
done:
    vlm_writer_cancel(&w);
    free(s);
    return status;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */
static json_t *number_or_null(double v) { return isnan(v) ? json_null() : json_real(v); }
static vlm_status report(const vlm_args *a, const run *r, int n) {
    if (a->json) {
        json_t *list = json_array();
        for (int i = 0; i < n; i++) {
            json_t *step = isnan(r[i].best_step) ? json_null() : json_integer((json_int_t)r[i].best_step);
            json_array_append_new(list, json_pack("{s:o,s:I,s:I,s:I,s:o,s:o,s:o}", "path", vlm_json_text(r[i].path),
                                                  "updates", (json_int_t)r[i].log.updates, "steps", (json_int_t)last_step(&r[i]),
                                                  "skipped", (json_int_t)r[i].log.skipped, "last_loss", number_or_null(r[i].last_loss),
                                                  "best_val_loss", number_or_null(r[i].best_loss), "best_val_step", step));
        }
        return vlm_json_out(json_pack("{s:o,s:o}", "path", vlm_json_text(a->output), "runs", list));
    }
    vlm_table t = { 0 };
    vlm_table_row(&t, "run\t>updates\t>skipped\t>last loss\t>best validation\t>at step");
    for (int i = 0; i < n; i++) {
        char last[40] = "-", best[40] = "-", step[40] = "-";
        if (!isnan(r[i].last_loss)) loss_text(r[i].last_loss, last);
        if (!isnan(r[i].best_loss)) loss_text(r[i].best_loss, best);
        if (!isnan(r[i].best_step)) snprintf(step, sizeof step, "%.0f", r[i].best_step);
        vlm_table_row(&t, "%s\t%lld\t%lld\t%s\t%s\t%s", r[i].path, (long long)r[i].log.updates, (long long)r[i].log.skipped, last,
                      best, step);
    }
    vlm_table_print(&t, stdout);
    printf("%s\n", a->output);
    return VLM_OK;
}
vlm_status vlm_cmd_plot(vlm_args *a) {
    int n = a->args;
    run *r = NULL;
    vlm_status status;
    TRY(vlm_need_output(a));
    TRY(vlm_check_ending("--output", a->output, ".svg"));
    if (n > MOST_RUNS) return vlm_usage("plot", "is given %d runs, of which nobody would see one; name up to %d", n, MOST_RUNS);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (vlm_same_file(a->arg[i], a->arg[j])) return vlm_usage(a->arg[i], "is the same folder as %s; name it once", a->arg[j]);
    TRY(vlm_check_output(a, a->output));
    if (!(r = calloc((size_t)n, sizeof *r))) return vlm_fail_memory("runs", (size_t)n * sizeof *r);
    for (int i = 0; i < n; i++) {
        r[i].path = a->arg[i];
        TRY_DONE(read_run(&r[i]));
    }
    TRY_DONE(tell_apart(r, n));
    vlm_hold();
    status = draw(r, n, a->output);
    vlm_status stopped = vlm_release();
    if (!status) status = stopped;
    if (!status) status = report(a, r, n);
done:
    for (int i = 0; i < n; i++) {
        vlm_runlog_free(&r[i].log);
        free(r[i].name);
        free(r[i].skipped);
    }
    free(r);
    return status;
}

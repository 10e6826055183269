#include "chart.h"
#include <math.h>
#include <string.h>
#include <utf8proc.h>

enum { WIDEST = 2048, INSET = 9, LANE = 14 };  /* px: a panel; between its edge and the outermost points; the crosses' lane */

/* ---- the page ------------------------------------------------------------------------------------------------------ */
/* Chosen by search: the least distance of two in CIELAB is 19.7 (light) and 23 (dark) with normal vision and with each of three kinds of
   dichromacy (Machado, Oliveira and Fernandes 2009), each has 3:1 or more to the page. */
static const char *const light[VLM_CHART_COLOURS] = { "#1f5ad6", "#c98500", "#0aa886", "#c253b8", "#733c00", "#3f3f3f" };
static const char *const dark[VLM_CHART_COLOURS] = { "#6f9bff", "#f0c030", "#4fdc92", "#ef5aa8", "#c0703a", "#f2f2f2" };

static void palette(FILE *f, const char *const *colours, const char *page, const char *ink, const char *muted, const char *grid,
                    const char *axis) {
    fprintf(f, ".page{fill:%s}text{fill:%s}.muted{fill:%s}.grid{stroke:%s}.axis{stroke:%s}", page, ink, muted, grid, axis);
    for (int i = 0; i < VLM_CHART_COLOURS; i++) fprintf(f, ".s%d{stroke:%s}.f%d{fill:%s}", i, colours[i], i, colours[i]);
    fprintf(f, ".ring{stroke:%s}.key{stroke:%s}\n", ink, muted);
}
void vlm_svg_open(FILE *f, int w, int h, const char *title) {
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\"\n"
               " font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif\" font-size=\"12\">\n<title>",
            w, h, w, h);
    vlm_svg_text(f, title, 200);
    fputs("</title>\n<style>\n:root{color-scheme:light dark}text{font-variant-numeric:tabular-nums}\n"
          "path,line{fill:none;stroke-linejoin:round;stroke-linecap:round}\n.h{font-size:20px;font-weight:600}"
          ".t{font-size:13.5px;font-weight:600}.n{font-size:11px}.u{font-weight:400}.e{text-anchor:end}.c{text-anchor:middle}\n"
          ".grid,.axis{stroke-width:1;shape-rendering:crispEdges}.raw{stroke-width:1}.line,.key{stroke-width:2}"
          ".x{stroke-width:1.4}.ring{fill:none;stroke-width:1.3}\n", f);
    palette(f, light, "#ffffff", "#1b1f24", "#5f6973", "#e6e9ed", "#a9b1ba");
    fputs("@media (prefers-color-scheme:dark){\n", f);
    palette(f, dark, "#14181d", "#e8ebee", "#9aa5b1", "#2a313a", "#5b6672");
    fprintf(f, "}\n</style>\n<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n", w, h);
}
void vlm_svg_close(FILE *f) { fputs("</svg>\n", f); }

void vlm_svg_text(FILE *f, const char *text, int most) {
    size_t size = strlen(text);
    for (int pass = 0, total = 0; pass < 2; pass++) {
        int at = 0;
        for (size_t i = 0; i < size; at++) {
            utf8proc_int32_t c;
            utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(size - i), &c);
            bool bad = n < 1 || c < 32 || c == 127 || c == 0xFFFE || c == 0xFFFF;
            bool gone = total > most && at >= most / 2 && at < total - (most - most / 2 - 1);
            if (pass && gone && at == most / 2) fputs("\xE2\x80\xA6", f);
            else if (!pass || gone) {}
            else if (bad) fputs("\xEF\xBF\xBD", f);
            else if (c == '&') fputs("&amp;", f);
            else if (c == '<') fputs("&lt;", f);
            else if (c == '>') fputs("&gt;", f);
            else if (c == '"') fputs("&quot;", f);
            else fwrite(text + i, 1, (size_t)n, f);
            i += n < 1 ? 1 : (size_t)n;
        }
        total = at;
    }
}
const char *vlm_short_number(double v, char buf[40]) {
    double a = fabs(v), by = a >= 1e9 ? 1e9 : a >= 1e6 ? 1e6 : a >= 1e4 ? 1e3 : 1;
    if (a > 0 && (a < 0.99e-3 || a >= 1e12)) { /* not 5e-05 */
        int e = (int)floor(log10(a) + 1e-9);
        snprintf(buf, 40, "%.3ge%d", v / pow(10, e), e);
    } else snprintf(buf, 40, "%.4g%s", a ? v / by : 0, by == 1e9 ? "G" : by == 1e6 ? "M" : by == 1e3 ? "k" : "");
    return buf;
}

/* ---- axes ------------------------------------------------------------------------------------------------------------ */
typedef struct axis { bool log; double lo, hi, from, to; } axis;       /* lo, hi: of values (their log10); from, to: px */
static double place(const axis *a, double v) {
    if (!isfinite(v) || (a->log && v <= 0)) return NAN;
    double p = a->from + ((a->log ? log10(v) : v) - a->lo) / (a->hi - a->lo) * (a->to - a->from);
    return p < -1e4 ? -1e4 : p > 1e4 ? 1e4 : p;
}
static double nice_step(double span, int most) {
    double s = pow(10, floor(log10(span / most)));
    for (int i = 0; i < 4; i++) {
        static const double by[] = { 1, 2, 5, 10 };
        if (span / (s * by[i]) <= most) return s * by[i];
    }
    return s * 20;
}
static bool good(double y, bool log) { return isfinite(y) && (!log || y > 0); }
static axis y_axis(const vlm_panel *p, double top, bool *any) {
    double lo = INFINITY, hi = -INFINITY, least = INFINITY;
    for (int s = 0; s < p->n; s++) {
        const vlm_series *r = &p->series[s];
        for (int64_t i = 0; i < r->n; i++) {
            double y = r->y[i * r->stride];
            if (!good(y, p->axis == VLM_AXIS_LOG)) continue;
            if (y < lo) lo = y;
            if (y > hi) hi = y;
            if (y > 0 && y < least) least = y;
        }
    }
    *any = lo <= hi;
    axis a = { .log = p->axis == VLM_AXIS_LOG || (p->axis == VLM_AXIS_AUTO && lo > 0 && hi > 8 * lo), .to = top + INSET };
    if (!*any) { lo = 0; hi = 1; a.log = false; }
    if (p->axis == VLM_AXIS_ZERO && lo > 0) lo = 0;
    if (a.log) {
        if (p->least > 0 && lo < p->least) lo = p->least;
        lo = log10(lo);
        hi = log10(hi);
    }
    double pad = hi - lo > 1e-9 * fabs(hi) ? 0 : a.log ? 0.3 : hi ? fabs(hi) * 0.1 : 1;       /* for a single value */
    bool zero = p->axis == VLM_AXIS_ZERO && lo == 0;
    a.hi = hi + pad;
    a.lo = zero ? 0 : lo - pad;
    a.from = zero ? p->h : p->h - INSET;
    return a;
}
static void y_tick(FILE *f, const vlm_panel *p, double y, const char *label) {
    if (!(y >= 0 && y <= p->h)) return;
    fprintf(f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", p->x, p->x + p->w, p->y + y, p->y + y);
    if (label) fprintf(f, "<text class=\"n muted e\" x=\"%d\" y=\"%.1f\">%s</text>", p->x - 7, p->y + y + 4, label);
    fputc('\n', f);
}
/* Of a linear axis that reaches to `most`: all labels in one unit, with as many digits as the step needs. */
static void linear_label(double v, double step, double most, char buf[40]) {
    double by = most >= 1e9 ? 1e9 : most >= 1e6 ? 1e6 : most >= 1e4 ? 1e3 : 1;
    int digits = (int)ceil(-log10(step / by) - 1e-9);
    if (fabs(v) < step * 1e-6) snprintf(buf, 40, "0");
    else if (step < 1e-4 || most >= 1e12) vlm_short_number(v, buf);
    else {
        snprintf(buf, 30, "%.*f", digits > 0 ? digits : 0, v / by);
        if (by > 1) {                          /* 10k, not 10.0k beside 2.5k */
            size_t n = strlen(buf);
            while (digits > 0 && buf[n - 1] == '0') n--;
            if (buf[n - 1] == '.') n--;
            snprintf(buf + n, 10, "%s", by == 1e9 ? "G" : by == 1e6 ? "M" : "k");
        }
    }
}
static void y_ticks(FILE *f, const vlm_panel *p, const axis *a) {
    char label[40];
    int most = p->h / 27 < 3 ? 3 : p->h / 27;
    if (!a->log) {
        double step = nice_step(a->hi - a->lo, most);
        for (double k = floor(a->lo / step); k <= ceil(a->hi / step); k++) {
            linear_label(k * step, step, fmax(fabs(a->lo), fabs(a->hi)), label);
            y_tick(f, p, place(a, k * step), label);
        }
        return;
    }
    static const double all[] = { 1, 2, 5 }, most_of[] = { 1, 3 }, one[] = { 1 };
    double decades = a->hi - a->lo;
    int each = decades * 3 <= most + 1 ? 3 : decades * 2 <= most + 1 ? 2 : 1, skip = (int)ceil(decades / most);
    const double *by = each == 3 ? all : each == 2 ? most_of : one;
    for (int e = (int)floor(a->lo) - 1; e <= (int)ceil(a->hi); e++)
        for (int i = 0; i < each; i++) {
            double v = by[i] * pow(10, e);
            if (skip < 2 || e % skip == 0) y_tick(f, p, place(a, v), vlm_short_number(v, label));
        }
}
static void x_ticks(FILE *f, const vlm_panel *p, const axis *a) {
    double step = nice_step(a->hi - a->lo, p->w / 80 < 2 ? 2 : p->w / 80);
    char label[40];
    if (step < 1) step = 1;
    fprintf(f, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", p->x, p->x + p->w, p->y + p->h, p->y + p->h);
    for (double k = ceil(a->lo / step - 1e-9); k * step <= a->hi + step * 1e-9; k++) {
        double x = p->x + place(a, k * step);
        linear_label(k * step, step, a->hi, label);
        fprintf(f, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, p->y + p->h, p->y + p->h + 4);
        fprintf(f, "<text class=\"n muted c\" x=\"%.1f\" y=\"%d\">%s</text>\n", x, p->y + p->h + 17, label);
    }
    fprintf(f, "<text class=\"n muted c\" x=\"%.1f\" y=\"%d\">%s</text>\n", p->x + p->w / 2.0, p->y + p->h + 33, p->x_unit);
}

/* ---- lines ----------------------------------------------------------------------------------------------------------- */
static void coordinate(FILE *f, double v) {
    char buf[32];
    int n = snprintf(buf, sizeof buf, "%.1f", v);
    if (n > 2 && buf[n - 1] == '0') buf[n - 2] = 0;
    fputs(!strcmp(buf, "-0") ? "0" : buf, f);
}
/* The data of a path, point by point. lift: the next point begins a new piece; a piece of one point becomes a dot. */
typedef struct pen { FILE *f; int points; double x, y; } pen;
static void pen_to(pen *p, double x, double y) {
    if (p->points && x == p->x && y == p->y) return;
    fputc(p->points ? 'L' : 'M', p->f);
    coordinate(p->f, x);
    fputc(' ', p->f);
    coordinate(p->f, y);
    p->points++;
    p->x = x;
    p->y = y;
}
static void pen_lift(pen *p) {
    if (p->points == 1) fputs("h0", p->f);
    p->points = 0;
}
static void dash_of(FILE *f, int dash) {
    static const char *const dashes[] = { "8 5", "1.5 4.5", "10 4 2 4" };
    if (dash) fprintf(f, " stroke-dasharray=\"%s\"", dashes[(dash - 1) % 3]);
}
static void path_open(FILE *f, const vlm_series *s, const char *class) {
    fprintf(f, "<path class=\"%s s%d\"", class, s->colour % VLM_CHART_COLOURS);
    dash_of(f, s->dash);
    fputs(" d=\"", f);
}
/* All points; of those that share a column of pixels the first, the least, the largest and the last, in their order: it looks the same. */
static void all_line(FILE *f, const vlm_series *s, const axis *ax, const axis *ay, double opacity) {
    pen p = { .f = f };
    if (opacity < 1) fprintf(f, "<path class=\"raw s%d\" stroke-opacity=\"%.2f\" d=\"", s->colour % VLM_CHART_COLOURS, opacity);
    else path_open(f, s, "line");
    for (int64_t i = 0; i < s->n;) {
        double x0 = floor(place(ax, s->x[i * s->stride]));
        int64_t first = -1, last = -1, low = -1, high = -1;
        for (; i < s->n && floor(place(ax, s->x[i * s->stride])) == x0; i++) {
            double y = place(ay, s->y[i * s->stride]);
            if (isnan(y)) continue;
            if (first < 0) first = low = high = i;
            if (y < place(ay, s->y[low * s->stride])) low = i;
            if (y > place(ay, s->y[high * s->stride])) high = i;
            last = i;
        }
        if (first < 0) { pen_lift(&p); continue; }
        int64_t order[4] = { first, low < high ? low : high, low < high ? high : low, last };
        for (int k = 0; k < 4; k++)
            if (!k || order[k] != order[k - 1]) pen_to(&p, place(ax, s->x[order[k] * s->stride]), place(ay, s->y[order[k] * s->stride]));
    }
    pen_lift(&p);
    fputs("\"/>\n", f);
}
/* Local linear regression with a normal kernel, over means of columns of pixels, in the panel's own scale: on a logarithmic axis a
   geometric mean. It follows a slope to the very end, where an average would lag. */
static void smooth_line(FILE *f, const vlm_series *s, const axis *ax, const axis *ay, int w) {
    double sum[WIDEST] = { 0 }, count[WIDEST] = { 0 };
    int64_t n = 0;
    int first = w, last = -1;
    if (w > WIDEST) w = WIDEST;
    for (int64_t i = 0; i < s->n; i++) {
        double x = place(ax, s->x[i * s->stride]), y = place(ay, s->y[i * s->stride]);
        int c = isnan(x) ? -1 : (int)x;
        if (isnan(y) || c < 0 || c >= w) continue;
        sum[c] += y;
        count[c]++;
        n++;
        if (c < first) first = c;
        if (c > last) last = c;
    }
    if (n < VLM_CHART_SMOOTHED) return;
    double spacing = (double)(last - first + 1) / (double)n, inner = fmax(3.5 * spacing, 0.009 * w);      /* px */
    pen p = { .f = f };
    path_open(f, s, "line");
    for (int c = first; c <= last; c += c + 2 > last && c < last ? last - c : 2) {
        double s0 = 0, s1 = 0, s2 = 0, t0 = 0, t1 = 0, left = (last - c) / (1.5 * inner);
        double sigma = inner * (1 + 1.5 * exp(-left * left));  /* wider at the right end: it is read most, and has half the neighbours */
        int reach = (int)(3 * sigma) + 1;
        for (int k = c - reach < first ? first : c - reach; k <= c + reach && k <= last; k++) {
            double d = k - c, g = exp(-0.5 * d * d / (sigma * sigma)), m = g * count[k];
            s0 += m;
            s1 += m * d;
            s2 += m * d * d;
            t0 += g * sum[k];
            t1 += g * sum[k] * d;
        }
        double det = s0 * s2 - s1 * s1;
        if (s0 < 1e-3) pen_lift(&p);           /* a long gap */
        else pen_to(&p, c + 0.5, det > 1e-6 * s0 * s2 ? (t0 * s2 - t1 * s1) / det : t0 / s0);
    }
    pen_lift(&p);
    fputs("\"/>\n", f);
}

/* ---- marks ----------------------------------------------------------------------------------------------------------- */
static void mark(FILE *f, int colour, double x, double y) {    /* another shape for each colour */
    static const char *const shapes[VLM_CHART_COLOURS] = {
        "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z", "m-3.2-3.2h6.4v6.4h-6.4z", "m0-4.4l4.1 7.2h-8.2z",
        "m0-4.6l4.2 4.6l-4.2 4.6l-4.2-4.6z", "m0 4.4l-4.1-7.2h8.2z", "m-1.3-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    };
    fprintf(f, "<path class=\"f%d\" d=\"M%.1f %.1f%s\"/>\n", colour % VLM_CHART_COLOURS, x, y, shapes[colour % VLM_CHART_COLOURS]);
}
static void points(FILE *f, const vlm_series *s, const axis *ax, const axis *ay, bool all, bool ring) {
    int64_t best = -1;
    for (int64_t i = 0; i < s->n; i++) {
        double y = s->y[i * s->stride];
        if (isnan(place(ay, y))) continue;
        if (all) mark(f, s->colour, place(ax, s->x[i * s->stride]), place(ay, y));
        if (best < 0 || y < s->y[best * s->stride]) best = i;
    }
    if (ring && best >= 0)
        fprintf(f, "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/>\n", place(ax, s->x[best * s->stride]),
                place(ay, s->y[best * s->stride]));
}
static void crosses(FILE *f, const vlm_series *s, const axis *ax) {    /* no two nearer than they are wide */
    double last = -INFINITY;
    if (!s->n) return;
    path_open(f, &(vlm_series){ .colour = s->colour }, "x");
    for (int64_t i = 0; i < s->n; i++) {
        double x = place(ax, s->x[i * s->stride]);
        if (isnan(x) || x - last < 6) continue;
        last = x;
        fprintf(f, "M%.1f 3l6 6m0-6l-6 6", x - 3);
    }
    fputs("\"/>\n", f);
}
void vlm_svg_swatch(FILE *f, int colour, double x, double y, double w) {
    vlm_series s = { .colour = colour, .dash = colour / VLM_CHART_COLOURS };
    path_open(f, &s, "line");
    fprintf(f, "M%.1f %.1fh%.1f\"/>", x, y, w);
    mark(f, colour, x + w / 2, y);
}

void vlm_svg_dash(FILE *f, int dash, double x, double y, double w) {
    fputs("<path class=\"key\"", f);
    dash_of(f, dash);
    fprintf(f, " d=\"M%.1f %.1fh%.1f\"/>\n", x, y, w);
}

static int64_t values(const vlm_series *s, const axis *ay) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) n += !isnan(place(ay, s->y[i * s->stride]));
    return n;
}
void vlm_svg_panel(FILE *f, const vlm_panel *p) {
    bool any, lane = false;
    for (int i = 0; i < p->marked; i++) lane = lane || p->marks[i].n > 0;
    axis ay = y_axis(p, lane ? LANE : 0, &any);
    axis ax = { .lo = p->x_lo, .hi = p->x_hi > p->x_lo ? p->x_hi : p->x_lo + 1, .from = INSET, .to = p->w - INSET };
    fprintf(f, "<g>\n<text class=\"t\" x=\"%d\" y=\"%d\">%s<tspan class=\"n muted u\" dx=\"8\">%s%s%s</tspan></text>\n", p->x, p->y - 12,
            p->title, p->unit, ay.log && *p->unit ? ", " : "", ay.log ? "log scale" : "");
    if (p->note) fprintf(f, "<text class=\"n muted e\" x=\"%d\" y=\"%d\">%s</text>\n", p->x + p->w, p->y - 12, p->note);
    if (any) y_ticks(f, p, &ay);
    x_ticks(f, p, &ax);
    if (!any && p->empty)
        fprintf(f, "<text class=\"muted c\" x=\"%d\" y=\"%d\">%s</text>\n", p->x + p->w / 2, p->y + p->h / 2 + 4, p->empty);
    fprintf(f, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\">\n", p->x, p->y, p->w, p->h);       /* cuts off what leaves the panel */
    for (int i = 0; i < p->n; i++) {
        const vlm_series *s = &p->series[i];
        int64_t n = values(s, &ay);
        if (!n) continue;
        all_line(f, s, &ax, &ay, p->look != VLM_LOOK_NOISY || n < VLM_CHART_SMOOTHED ? 1 : p->n == 1 ? 0.38 : p->n < 4 ? 0.26 : 0.16);
        if (p->look == VLM_LOOK_POINTS || n == 1) points(f, s, &ax, &ay, n <= 40, p->look == VLM_LOOK_POINTS);
    }
    for (int i = 0; i < p->n && p->look == VLM_LOOK_NOISY; i++) smooth_line(f, &p->series[i], &ax, &ay, p->w);
    for (int i = 0; i < p->marked; i++) crosses(f, &p->marks[i], &ax);
    fputs("</svg>\n</g>\n", f);
}

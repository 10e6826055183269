/* The rows of vlm bench as points under the machine's roofs (Williams, Waterman and Patterson 2009): how many operations a byte that has to
   be moved is worth, and how many were done in a second. Both scales are logarithmic. */
#include "bench.h"
#include "base/file.h"
#include "chart.h"
#include <math.h>
#include <string.h>

enum { WIDTH = 1000, LEFT = 70, TOP = 84, W = 900, H = 520, LABELS = 200 };     /* px */

typedef struct scale { double lo, hi, from, to; } scale;       /* log10 of values, px */
static double place(const scale *s, double v) { return s->from + (log10(v) - s->lo) / (s->hi - s->lo) * (s->to - s->from); }

static const char *const kinds[] = { "gemm", "attention", "encode", "prefill", "decode", "train" };    /* a colour each */
enum { KINDS = sizeof kinds / sizeof *kinds };
static int kind_of(const vlm_row *r) {
    int k = 0;
    while (k < KINDS && (strncmp(r->name, kinds[k], strlen(kinds[k])) || r->name[strlen(kinds[k])] != ' ')) k++;
    return k;
}
static bool shown(const vlm_row *r) { return !*r->skipped && r->flop > 0 && r->bytes > 0 && r->seconds[2] > 0 && kind_of(r) < KINDS; }

static void text(FILE *f, const char *class, double x, double y, const char *s) {
    fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
    vlm_svg_text(f, s, 100);
    fputs("</text>\n", f);
}
static void axes(FILE *f, const scale *x, const scale *y) {
    char label[40];
    for (int e = (int)ceil(x->lo - 1e-9); e <= x->hi + 1e-9; e++) {
        double at = place(x, pow(10, e));
        fprintf(f, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, TOP, TOP + H);
        text(f, "n muted c", at, TOP + H + 17, vlm_short_number(pow(10, e), label));
    }
    for (int e = (int)floor(y->lo); e <= y->hi; e++)
        for (int i = 0; i < 3; i++) {
            static const double by[] = { 1, 2, 5 };
            double v = by[i] * pow(10, e), at = place(y, v);
            if (at < TOP - 0.5 || at > TOP + H + 0.5) continue;
            fprintf(f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, LEFT + W, at, at);
            text(f, "n muted e", LEFT - 7, at + 4, vlm_short_number(v, label));
        }
    fprintf(f, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT, LEFT + W, TOP + H, TOP + H);
    text(f, "n muted c", LEFT + W / 2.0, TOP + H + 36, "operations per byte that has to be moved: weights, inputs and outputs once each");
    text(f, "n muted", LEFT - 40, TOP - 10, "thousand million operations a second (log scale)");
}
/* The slope of reading up to the roof, then the roof. */
static void roof(FILE *f, const scale *x, const scale *y, double read, double top, const char *name, int dash) {
    char label[120];
    double ridge = top / read, left = pow(10, x->lo);
    fprintf(f, "<path class=\"key\"%s d=\"M%.1f %.1fL%.1f %.1fH%d\"/>\n", dash ? " stroke-dasharray=\"8 5\"" : "", place(x, left),
            place(y, left * read), place(x, ridge), place(y, top), LEFT + W);
    snprintf(label, sizeof label, "%s %.0f", name, top);
    text(f, "n e", LEFT + W - 6, place(y, top) - 6, label);
}
/* Labels that would lie on others are left out; the point's own text (<title>) stays. */
typedef struct labels { double x[LABELS], y[LABELS], w[LABELS]; int n; } labels;
static bool fits(labels *l, double x, double y, double w) {
    if (x < LEFT || x + w > LEFT + W || l->n == LABELS) return false;
    for (int i = 0; i < l->n; i++) if (fabs(y - l->y[i]) < 11 && x < l->x[i] + l->w[i] + 4 && l->x[i] < x + w + 4) return false;
    l->x[l->n] = x, l->y[l->n] = y, l->w[l->n++] = w;
    return true;
}
static void points(FILE *f, const vlm_bench *b, const scale *x, const scale *y) {
    static labels l;
    l.n = 0;
    for (int i = 0; i < b->rows; i++) if (shown(&b->row[i])) {         /* the points first: no label lies on one */
        const vlm_row *r = &b->row[i];
        double px = place(x, r->flop / r->bytes), py = place(y, r->flop / r->seconds[2] / 1e9);
        if (l.n < LABELS) l.x[l.n] = px - 3, l.y[l.n] = py + 3, l.w[l.n++] = 6;
        fprintf(f, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill-opacity=\"0.85\"><title>", kind_of(r), px, py,
                kind_of(r) < 2 ? 3.0 : 4.5);
        vlm_svg_text(f, r->name, 100);
        fprintf(f, ": %.1f, %.0f %%</title></circle>\n", r->flop / r->seconds[2] / 1e9, 100 * r->share);
    }
    for (int i = 0; i < b->rows; i++) if (shown(&b->row[i]) && kind_of(&b->row[i]) >= 2) {
        const vlm_row *r = &b->row[i];
        const char *name = r->name + strcspn(r->name, " ") + 1;
        double px = place(x, r->flop / r->bytes), py = place(y, r->flop / r->seconds[2] / 1e9), w = 6.1 * (double)strlen(name);
        static const double dy[] = { 4, -8, 16, -20, 28 };
        for (int k = 0; k < 10; k++) {
            double at = k % 2 ? px - 8 - w : px + 8;
            if (!fits(&l, at, py + dy[k / 2], w)) continue;
            text(f, "n", at, py + dy[k / 2], name);
            break;
        }
    }
}
vlm_status vlm_roofline_draw(const vlm_bench *b, const char *machine, const char *path) {
    vlm_writer out = { 0 };
    vlm_status status = VLM_OK;
    double x0 = 1, x1 = 100, y0 = INFINITY, read = b->limits.read / 1e9, top = fmax(b->limits.fma, b->limits.dot) / 1e9;
    char title[300];
    if (!(read > 0)) return vlm_fail(VLM_EARG, "--svg", "these instructions have no yardstick, so there are no roofs; leave --isa ref out");
    for (int i = 0; i < b->rows; i++) if (shown(&b->row[i])) {
        const vlm_row *r = &b->row[i];
        x0 = fmin(x0, r->flop / r->bytes), x1 = fmax(x1, r->flop / r->bytes);
        y0 = fmin(y0, r->flop / r->seconds[2] / 1e9), top = fmax(top, r->flop / r->seconds[2] / 1e9);
    }
    if (!isfinite(y0)) return vlm_fail(VLM_EARG, "--svg", "no row has operations and bytes to draw; measure gemm, attention, encode or others");
    scale x = { floor(log10(x0)), log10(x1 * 2), LEFT, LEFT + W }, y = { log10(fmin(y0, read * 0.5) * 0.8), log10(top * 1.5), TOP + H, TOP };
    TRY_DONE(vlm_writer_open(path, &out));
    snprintf(title, sizeof title, "Under the roofs of %.250s", machine);
    vlm_svg_open(out.f, WIDTH, TOP + H + 60, title);
    text(out.f, "h", LEFT - 40, 32, "Speed under the machine's roofs");
    text(out.f, "n muted", LEFT - 40, 52, machine);
    axes(out.f, &x, &y);
    fprintf(out.f, "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"><g transform=\"translate(0 -%d)\">\n", TOP, WIDTH, H, TOP);
    roof(out.f, &x, &y, read, b->limits.fma / 1e9, "FMA, GFLOP/s:", 0);
    if (b->limits.dot > 0) roof(out.f, &x, &y, read, b->limits.dot / 1e9, "int8, GOP/s:", 1);
    points(out.f, b, &x, &y);
    snprintf(title, sizeof title, "reading %.1f GB/s", read);
    double at = pow(10, x.lo + 0.35 * (log10(b->limits.fma / 1e9 / read) - x.lo));
    fprintf(out.f, "<text class=\"n\" transform=\"translate(%.1f %.1f) rotate(%.1f)\">%s</text>\n", place(&x, at) - 4, place(&y, at * read) - 8,
            -atan2((y.from - y.to) / (y.hi - y.lo), (x.to - x.from) / (x.hi - x.lo)) * 180 / 3.14159265, title);
    fputs("</g></svg>\n", out.f);
    double key = LEFT + W;
    for (int k = KINDS - 1; k >= 0; k--) {
        bool any = false;
        for (int i = 0; i < b->rows; i++) any = any || (shown(&b->row[i]) && kind_of(&b->row[i]) == k);
        if (!any) continue;
        key -= 7.0 * (double)strlen(kinds[k]) + 8;
        text(out.f, "n", key, 52, kinds[k]);
        fprintf(out.f, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"48\" r=\"4\"/>\n", k, key - 9);
        key -= 22;
    }
    vlm_svg_close(out.f);
    status = vlm_writer_commit(&out);
done:
    vlm_writer_cancel(&out);
    return status;
}

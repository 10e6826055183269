#include "digits.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The sheet: digits in a row, rows for each label, grey of 1/16 ink. */
enum { SIDE = VLM_DIGIT_SIDE, ACROSS = 50, ROWS = 4, LEVEL = 15 };

/* ---- The sheet --------------------------------------------------------------------------------------------------- */

static vlm_status bad_sheet(const char *path, const char *what) {
    return vlm_fail(VLM_EFORMAT, path, "%s; the sheet is examples/digits/digits.png of the source, tools/make_digits.py makes it", what);
}
vlm_status vlm_digits_open(const char *path, vlm_digits *out) {
    vlm_bitmap b = { 0 };
    vlm_status status = VLM_OK;
    TRY(vlm_bitmap_open(path, NULL, &b));
    vlm_digits *d = calloc(1, sizeof *d);
    if (!d) { status = vlm_fail_memory(path, sizeof *d); goto done; }
    if (b.w != ACROSS * SIDE || b.h != 10 * ROWS * SIDE) {
        status = bad_sheet(path, "is no sheet of digits, which has 400 x 320 pixels");
        goto done;
    }
    for (int at = 0; at < 10 * ROWS * ACROSS; at++) {
        int label = at / (ROWS * ACROSS), i = at % (ROWS * ACROSS), most = 0;
        uint8_t *ink = d->ink[label][d->n[label]];
        const uint8_t *corner = b.rgb + 3 * ((at / ACROSS) * SIDE * b.w + (at % ACROSS) * SIDE);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const uint8_t *p = corner + 3 * (y * b.w + x);
                if (p[0] % LEVEL || p[0] > 16 * LEVEL || p[1] != p[0] || p[2] != p[0]) {
                    status = bad_sheet(path, "has other greys than the 17 of a sheet of digits");
                    goto done;
                }
                ink[y * SIDE + x] = p[0] / LEVEL;
                if (most < p[0]) most = p[0];
            }
        if (!most) continue;           /* blank: the label has no more */
        if (d->n[label]++ != i) { status = bad_sheet(path, "has a gap between the digits of a label"); goto done; }
    }
    for (int k = 0; k < 10; k++)
        if (d->n[k] < 6) { status = bad_sheet(path, "has fewer than 6 images of a digit"); goto done; }
    *out = *d;
done:
    free(d);
    vlm_bitmap_close(&b);
    return status;
}

static int draw_int(vlm_rng *r, int n) { return (int)(vlm_rng_uniform(r) * n); }       /* 0 .. n-1 */

void vlm_digits_split(const vlm_digits *all, uint64_t seed, vlm_digits *train, vlm_digits *held_out) {
    vlm_rng r;
    vlm_rng_seed(&r, seed);
    for (int k = 0; k < 10; k++) {
        int order[VLM_DIGIT_ROOM], held = all->n[k] / 6;
        for (int i = 0; i < all->n[k]; i++) {          /* Fisher and Yates */
            int j = draw_int(&r, i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        train->n[k] = all->n[k] - held;
        held_out->n[k] = held;
        for (int i = 0; i < all->n[k]; i++)
            memcpy(i < held ? held_out->ink[k][i] : train->ink[k][i - held], all->ink[k][order[i]], sizeof all->ink[k][0]);
    }
}

enum { CELL = VLM_DIGIT_CELL_PX };

/* ---- A picture --------------------------------------------------------------------------------------------------- */

typedef struct canvas { int64_t w, h; float *ink; } canvas;            /* ink (h,w), 0 .. 1 */

static double between(vlm_rng *r, double lo, double hi) { return lo + (hi - lo) * vlm_rng_uniform(r); }
static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/* Ink at (x, y) in pixels of the 8 x 8 image, pixel centres at whole numbers: bilinear, nothing outside. */
static double ink_at(const uint8_t *ink, double x, double y) {
    if (x <= -1 || y <= -1 || x >= SIDE || y >= SIDE) return 0;
    int x0 = (int)(x + 1) - 1, y0 = (int)(y + 1) - 1;
    double fx = x - x0, fy = y - y0, sum = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            int u = x0 + i, v = y0 + j;
            if (u >= 0 && v >= 0 && u < SIDE && v < SIDE) sum += (i ? fx : 1 - fx) * (j ? fy : 1 - fy) * ink[v * SIDE + u];
        }
    return sum / 16;
}
/* One digit of about `size` pixels, centred near (cx, cy), turned by about `slant` radians. */
static void stamp(canvas *c, const uint8_t *ink, double cx, double cy, double size, double slant, vlm_rng *r) {
    double sx = size / SIDE * (1 + 0.04 * vlm_rng_normal(r)), sy = size / SIDE * (1 + 0.04 * vlm_rng_normal(r));
    double t = clamp((slant + 0.07 * vlm_rng_normal(r)) / 2, -0.3, 0.3);        /* tangent of half the angle: no sine is needed */
    double co = (1 - t * t) / (1 + t * t), si = 2 * t / (1 + t * t), shear = 0.06 * vlm_rng_normal(r);
    int64_t reach = (int64_t)(size * 0.8) + 1;
    cx += 0.04 * size * vlm_rng_normal(r);
    cy += 0.04 * size * vlm_rng_normal(r);
    sx = clamp(sx, 0.5, 16), sy = clamp(sy, 0.5, 16);
    for (int64_t y = (int64_t)cy - reach < 0 ? 0 : (int64_t)cy - reach; y < c->h && y <= (int64_t)cy + reach; y++)
        for (int64_t x = (int64_t)cx - reach < 0 ? 0 : (int64_t)cx - reach; x < c->w && x <= (int64_t)cx + reach; x++) {
            double dx = (double)x + 0.5 - cx, dy = (double)y + 0.5 - cy;
            double v = (co * dy - si * dx) / sy, u = (co * dx + si * dy) / sx + shear * v;
            float a = (float)ink_at(ink, u + 3.5, v + 3.5), *at = &c->ink[y * c->w + x];
            if (*at < a) *at = a;
        }
}
/* About normal, variance 1: of 32 coins the heads. */
static double grain(vlm_rng *r) {
    uint32_t u = (uint32_t)(vlm_rng_next(r) >> 32);
    int heads = 0;
    for (; u; u &= u - 1) heads++;
    return (heads - 16) / 2.8284271247461903;
}
static void paint(const canvas *c, vlm_rng *r, uint8_t *rgb) {
    double paper = between(r, 190, 255), ink = paper * between(r, 0, 0.35), gain = between(r, 1, 1.4), noise = between(r, 0, 6);
    double shade[2][3];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++) shade[i][k] = (i ? ink : paper) + between(r, -12, 12);
    for (int64_t i = 0; i < c->w * c->h; i++) {
        double a = clamp(c->ink[i] * gain, 0, 1), g = noise * grain(r);
        for (int k = 0; k < 3; k++) rgb[3 * i + k] = (uint8_t)clamp(shade[0][k] * (1 - a) + shade[1][k] * a + g + 0.5, 0, 255);
    }
}

static int64_t up(double x) { return (int64_t)x + (x > (double)(int64_t)x); }

vlm_status vlm_digits_draw(const vlm_digits *from, int rows, int cols, vlm_rng *r, vlm_bitmap *out, int *label) {
    double step_x = CELL - between(r, 0, 1), step_y = CELL - between(r, 0, 1);
    double size = between(r, 13.5, 16), slant = 0.05 * vlm_rng_normal(r);
    int64_t w = up(cols * step_x), h = up(rows * step_y);
    canvas c = { w, h, calloc((size_t)(w * h), sizeof *c.ink) };
    uint8_t *rgb = malloc((size_t)(w * h * 3));
    if (!c.ink || !rgb) {
        free(c.ink);
        free(rgb);
        return vlm_fail_memory("a picture", (size_t)(w * h) * 7);
    }
    for (int i = 0; i < rows * cols; i++) {
        int k = draw_int(r, 10), which = draw_int(r, from->n[k]);
        label[i] = k;
        stamp(&c, from->ink[k][which], (i % cols + 0.5) * step_x, (i / cols + 0.5) * step_y, size, slant, r);
    }
    paint(&c, r, rgb);
    free(c.ink);
    *out = (vlm_bitmap){ .w = w, .h = h, .rgb = rgb };
    return VLM_OK;
}

/* Charts as SVG: panels with axes and lines. The file needs nothing else to be shown, runs no script, and has the colours of a light or a
   dark page as its viewer asks. All functions print to `f` and cannot fail: who writes the file asks it in the end. */
#ifndef VLM_CHART_H
#define VLM_CHART_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { VLM_CHART_COLOURS = 6 };        /* told apart with every kind of colour vision; line k takes number k mod 6, dashed from 6 on */
enum { VLM_CHART_SMOOTHED = 40 };      /* values that VLM_LOOK_NOISY smooths; fewer are shown as they are */

/* n points, `stride` doubles apart. x never falls; y is NaN where there is no value: a gap. */
typedef struct vlm_series { const double *x, *y; int64_t n; int64_t stride; int colour, dash; } vlm_series;
typedef enum vlm_look {
    VLM_LOOK_LINE,                     /* as it is */
    VLM_LOOK_NOISY,                    /* thin as it is, and smoothed over it */
    VLM_LOOK_POINTS                    /* a line with a mark on each point, while they are few; a ring round the least */
} vlm_look;
typedef enum vlm_axis_kind {
    VLM_AXIS_AUTO,                     /* logarithmic where all is positive and the largest is above 8 times the least */
    VLM_AXIS_ZERO,                     /* linear from 0 */
    VLM_AXIS_LOG                       /* values that are not positive are gaps */
} vlm_axis_kind;
typedef struct vlm_panel {
    const char *title, *unit, *note;   /* note: at the right of the title, NULL for none */
    const char *empty;                 /* in the place of lines, where there is no value at all */
    const vlm_series *series, *marks;  /* marks: crosses at their x, above the lines; their y is not looked at */
    int n, marked;
    vlm_look look;
    vlm_axis_kind axis;
    double least;                      /* a logarithmic axis begins no lower; 0: anywhere */
    double x_lo, x_hi;                 /* of the axis, the same for panels that belong together */
    const char *x_unit;
    int x, y, w, h;                    /* px: where the lines are; title above, numbers left and below need room */
} vlm_panel;

void vlm_svg_open(FILE *f, int w, int h, const char *title);
void vlm_svg_close(FILE *f);
/* Text escaped, what XML or UTF-8 cannot hold as U+FFFD; more than `most` characters lose their middle. */
void vlm_svg_text(FILE *f, const char *text, int most);
/* A line as it looks in the panels, and its mark in the middle. */
void vlm_svg_swatch(FILE *f, int colour, double x, double y, double w);
void vlm_svg_dash(FILE *f, int dash, double x, double y, double w);    /* the same without a colour: a series' dash */
void vlm_svg_panel(FILE *f, const vlm_panel *p);
/* Short and whole: 12500 as "12.5k", 0.00005 as "5e-5". */
const char *vlm_short_number(double v, char buf[40]);
#endif

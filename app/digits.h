/* The UCI handwritten digits: the sheet that holds them, their two halves, and pictures of several in rows and columns. */
#ifndef VLM_DIGITS_H
#define VLM_DIGITS_H
#include "base/rng.h"
#include "data/image.h"

enum { VLM_DIGIT_SIDE = 8, VLM_DIGIT_ROOM = 200, VLM_DIGITS_LAID = 12, VLM_DIGIT_CELL_PX = 16 };

/* n[k] images of the digit k, each (8,8) values 0 (paper) to 16 (ink). 128 KB. */
typedef struct vlm_digits {
    int n[10];
    uint8_t ink[10][VLM_DIGIT_ROOM][VLM_DIGIT_SIDE * VLM_DIGIT_SIDE];
} vlm_digits;

/* A sheet as examples/digits/README.md describes it; anything else is VLM_EFORMAT. Any thread. */
vlm_status vlm_digits_open(const char *path, vlm_digits *out);

/* One in six images of every digit, drawn by the seed, goes to `held_out`, the others to `train`: no image is in both. */
void vlm_digits_split(const vlm_digits *all, uint64_t seed, vlm_digits *train, vlm_digits *held_out);

/* A picture of rows x cols (product 1 to VLM_DIGITS_LAID) drawn digits, each about the middle of a cell of a little less than
   VLM_DIGIT_CELL_PX pixels: so a picture, whose sides have any length, becomes as many such cells when it is resized to whole ones. The
   cells' sides, the digits' size, slant and places, the shades of ink and paper and the noise are r's, too. label (rows·cols), row by row.
   The caller closes *out. VLM_ENOMEM. Arithmetic alone, no libm: the same r gives the same bytes on every machine. */
vlm_status vlm_digits_draw(const vlm_digits *from, int rows, int cols, vlm_rng *r, vlm_bitmap *out, int *label);
#endif

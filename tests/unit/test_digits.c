/* The sheet of handwritten digits: read whole or refused, split without a digit in both halves, drawn the same from the same numbers. */
#include "../../app/digits.c"
#include "data/picture.h"
#include "temp.h"

static vlm_digits all, train, held_out;

static void sheet_is_read(void **state) {
    static const int n[10] = { 178, 182, 177, 183, 181, 182, 181, 179, 174, 180 };     /* of the source */
    (void)state;
    assert_ok(vlm_digits_open("examples/digits/digits.png", &all));
    assert_memory_equal(all.n, n, sizeof n);
    static const uint8_t first[8] = { 0, 0, 5, 13, 9, 1, 0, 0 };   /* the source's first row of its first zero */
    assert_memory_equal(all.ink[0][0], first, sizeof first);
    for (int k = 0; k < 10; k++)
        for (int i = 0; i < all.n[k]; i++)
            for (int p = 0; p < SIDE * SIDE; p++) assert_in_range(all.ink[k][i][p], 0, 16);
}

/* Every image is in one half, as often as in the whole. */
static int count(const vlm_digits *d, int k, const uint8_t *ink) {
    int n = 0;
    for (int i = 0; i < d->n[k]; i++) n += !memcmp(d->ink[k][i], ink, SIDE * SIDE);
    return n;
}
static void halves_share_nothing(void **state) {
    (void)state;
    assert_ok(vlm_digits_open("examples/digits/digits.png", &all));
    for (uint64_t seed = 0; seed < 3; seed++) {
        vlm_digits_split(&all, seed, &train, &held_out);
        for (int k = 0; k < 10; k++) {
            assert_int_equal(held_out.n[k], all.n[k] / 6);
            assert_int_equal(train.n[k] + held_out.n[k], all.n[k]);
            for (int i = 0; i < held_out.n[k]; i++) assert_int_equal(count(&train, k, held_out.ink[k][i]), 0);
            for (int i = 0; i < all.n[k]; i++)
                assert_int_equal(count(&train, k, all.ink[k][i]) + count(&held_out, k, all.ink[k][i]), count(&all, k, all.ink[k][i]));
        }
    }
    vlm_digits again, other;
    vlm_digits_split(&all, 2, &again, &other);
    for (int k = 0; k < 10; k++) assert_memory_equal(again.ink[k], train.ink[k], (size_t)train.n[k] * sizeof train.ink[k][0]);
    vlm_digits_split(&all, 3, &again, &other);
    assert_memory_not_equal(other.ink[0], held_out.ink[0], (size_t)other.n[0] * sizeof other.ink[0][0]);
}

/* In every cell there is ink, other than the paper in the corner of the picture; the same numbers draw the same bytes. */
static void pictures_hold_their_digits(void **state) {
    vlm_rng r, same;
    (void)state;
    assert_ok(vlm_digits_open("examples/digits/digits.png", &all));
    vlm_rng_seed(&r, 7);
    for (int turn = 0; turn < 200; turn++) {
        int rows = 1 + turn % 12, cols = 12 / rows, label[12], again[12];
        vlm_bitmap a = { 0 }, b = { 0 };
        same = r;
        assert_ok(vlm_digits_draw(&all, rows, cols, &r, &a, label));
        assert_ok(vlm_digits_draw(&all, rows, cols, &same, &b, again));
        assert_in_range(a.w, cols * (CELL - 1), cols * CELL);
        assert_in_range(a.h, rows * (CELL - 1), rows * CELL);
        assert_memory_equal(a.rgb, b.rgb, (size_t)(a.w * a.h * 3));
        assert_memory_equal(label, again, (size_t)(rows * cols) * sizeof *label);
        for (int i = 0; i < rows * cols; i++) {        /* the most that a pixel of the cell differs from the picture's corner */
            int most = 0;
            assert_in_range(label[i], 0, 9);
            int64_t top = i / cols * a.h / rows, left = i % cols * a.w / cols;
            for (int64_t y = top; y < top + a.h / rows; y++)
                for (int64_t x = left; x < left + a.w / cols; x++) {
                    int d = a.rgb[3 * (y * a.w + x)] - a.rgb[0];
                    if (abs(d) > most) most = abs(d);
                }
            assert_in_range(most, 40, 255);
        }
        vlm_bitmap_close(&a);
        vlm_bitmap_close(&b);
    }
}

static void broken_sheets_are_refused(void **state) {
    vlm_bitmap b = { 0 };
    vlm_digits d = { .n = { 77 } };
    (void)state;
    const char *path = temp("sheet.png");
    const size_t first_row = 3 * 400 * 8;
    assert_ok(vlm_bitmap_open("examples/digits/digits.png", NULL, &b));
    assert_failure(vlm_digits_open("examples/cat.jpg", &d), VLM_EFORMAT, "cat.jpg", "400 x 320 pixels");
    b.rgb[500] = 7;
    assert_ok(vlm_picture_write(path, b.rgb, b.h, b.w, b.h, b.w));
    assert_failure(vlm_digits_open(path, &d), VLM_EFORMAT, path, "other greys");
    b.rgb[500] = 15;                               /* one channel alone: a colour */
    assert_ok(vlm_picture_write(path, b.rgb, b.h, b.w, b.h, b.w));
    assert_failure(vlm_digits_open(path, &d), VLM_EFORMAT, path, "other greys");
    memset(b.rgb, 0, first_row);                   /* the first fifty zeros are gone, the others are not */
    assert_ok(vlm_picture_write(path, b.rgb, b.h, b.w, b.h, b.w));
    assert_failure(vlm_digits_open(path, &d), VLM_EFORMAT, path, "a gap");
    memset(b.rgb, 0, 4 * first_row);               /* no zeros */
    assert_ok(vlm_picture_write(path, b.rgb, b.h, b.w, b.h, b.w));
    assert_failure(vlm_digits_open(path, &d), VLM_EFORMAT, path, "fewer than 6");
    assert_int_equal(d.n[0], 77);                  /* untouched */
    vlm_bitmap_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sheet_is_read),
        cmocka_unit_test(halves_share_nothing),
        cmocka_unit_test(pictures_hold_their_digits),
        cmocka_unit_test(broken_sheets_are_refused),
    };
    return cmocka_run_group_tests(tests, temp_open, temp_close);
}

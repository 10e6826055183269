/* Covers: src/data/image.c src/data/image_jpeg.c src/data/image_png.c src/data/image_webp.c src/data/exif.c.
   Any bytes as an image file: probed, decoded, sized and turned into pixels. What comes out must fit together; nothing may be read or
   written beyond, leaked, or taken without limit. */
#include "data/processor.h"
#include "fuzz.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const vlm_image_limits limits = { 1 << 16, 4096, 1 << 20, NULL };
    vlm_image_rule rule = { .kind = VLM_RULE_DYNAMIC, .patch = 4, .shuffle = 2, .block = 8, .max_size = 32, .std = { 1, 1, 1 } };
    vlm_image_info info;
    vlm_bitmap b = { 0 };
    vlm_image_plan p;
    vlm_ops ops;
    vlm_ops_init(&ops, vlm_cpu_flags());
    vlm_status probed = vlm_image_probe(data, n, "fuzz", &limits, &info);
    char path[512];
    if (n && n <= 1 << 12) {           /* the same from a file */
        fuzz_file(fuzz_path(path, "image"), data, n);
        assert(vlm_image_probe_file(path, &limits, &info) == probed);
        if (!vlm_bitmap_open(path, &limits, &b)) vlm_bitmap_close(&b);
        b = (vlm_bitmap){ 0 };
    }
    if (vlm_image_decode(data, n, "fuzz", &limits, &b)) { assert(!b.rgb); return 0; }
    assert(!probed && b.w == info.w && b.h == info.h && b.w * b.h <= limits.max_pixels);
    assert(!vlm_image_plan_make(&rule, b.w, b.h, "fuzz", &p));
    void *work = aligned_alloc(64, vlm_process_bytes(&rule, &p));
    float *pixels = malloc((size_t)(p.H * p.W * 3) * sizeof *pixels);
    assert(work && pixels);
    vlm_process(NULL, &ops, &rule, &p, &b, NULL, pixels, work);
    for (int64_t i = 0; i < p.H * p.W * 3; i++) assert(pixels[i] >= 0 && pixels[i] <= 1);
    free(pixels);
    free(work);
    vlm_bitmap_close(&b);
    return 0;
}

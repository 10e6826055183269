/* Dense features of pictures of any shape, all in one call: prints each one's patch grid and the cosine between its middle patch and its corner.
       cc features.c $(pkg-config --cflags --libs vlm) -lm -o features && ./features MODEL a.jpg b.png */
#include <math.h>
#include <stdio.h>
#include <vlm.h>

static int failed(void) {
    fprintf(stderr, "%s: %s\n", vlm_error_where(), vlm_error_message());
    return 1;
}
static double cosine(const float *a, const float *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

int main(int argc, char **argv) {
    enum { MOST = 16 };
    vlm_model *model;
    vlm_session *session;
    vlm_image *images[MOST] = { 0 };
    vlm_features *features;
    int n = argc - 2 < MOST ? argc - 2 : MOST;
    if (n < 1) { fprintf(stderr, "usage: features MODEL IMAGE...\n"); return 2; }
    if (vlm_model_open(argv[1], NULL, &model) || vlm_session_open(model, NULL, &session)) return failed();
    for (int i = 0; i < n; i++)
        if (vlm_image_load(model, argv[i + 2], &images[i])) return failed();
    if (vlm_encode(session, (const vlm_image *const *)images, n, &features)) return failed();
    int64_t D = vlm_model_describe(model).vision_width;
    for (int i = 0; i < n; i++) {
        int64_t rows, cols;
        vlm_features_grid(features, i, 0, &rows, &cols);
        const float *x = vlm_features_patches(features, i, 0), *middle = x + (rows / 2 * cols + cols / 2) * D;
        printf("%s: %lld x %lld patches of %lld, middle to corner %.4f\n", argv[i + 2], (long long)rows, (long long)cols, (long long)D, cosine(x, middle, D));
        vlm_image_free(images[i]);
    }
    vlm_features_free(features);
    vlm_session_close(session);
    vlm_model_close(model);
    return 0;
}

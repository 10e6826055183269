/* A question about a picture, answered as it is written; then a second question about the same picture, which is not encoded again.
       cc ask.c $(pkg-config --cflags --libs vlm) -o ask && ./ask MODEL picture.jpg "What is this?" "Where is it?" */
#include <stdio.h>
#include <vlm.h>

static int print(void *user, const char *text, size_t bytes) {
    fwrite(text, 1, bytes, user);
    return fflush(user) != 0;          /* a closed pipe stops the answer */
}

int main(int argc, char **argv) {
    vlm_model *model = NULL;
    vlm_session *session = NULL;
    vlm_image *image = NULL;
    vlm_features *features = NULL;
    vlm_answer_options options = { .max_tokens = 64, .on_text = print, .user = stdout };
    if (argc < 4) { fprintf(stderr, "usage: ask MODEL IMAGE QUESTION...\n"); return 2; }
    vlm_status status = vlm_model_open(argv[1], NULL, &model);
    if (!status) status = vlm_session_open(model, NULL, &session);
    if (!status) status = vlm_image_load(model, argv[2], &image);
    if (!status) status = vlm_encode(session, (const vlm_image *const *)&image, 1, &features);
    for (int i = 3; !status && i < argc; i++) {
        printf("> %s\n", argv[i]);
        status = vlm_say(session, NULL, i == 3 ? features : NULL, argv[i]);
        if (!status) status = vlm_answer(session, &options, NULL);
        printf("\n");
    }
    if (status) fprintf(stderr, "%s: %s\n", vlm_error_where(), vlm_error_message());
    vlm_features_free(features);
    vlm_image_free(image);
    vlm_session_close(session);
    vlm_model_close(model);
    return status != VLM_OK;
}

#include "talk.h"
#include <stdlib.h>
#include <string.h>

vlm_status vlm_talk_read(const json_t *j, const vlm_args *a, const char *where, vlm_talk *out) {
    const char *slash = strrchr(a->batch, '/');
    char *folder = slash ? strndup(a->batch, (size_t)(slash - a->batch) + (slash == a->batch)) : strdup(".");
    if (!folder) return vlm_fail_memory(where, strlen(a->batch));
    const vlm_sample_source from = { .file = a->batch, .row = "", .where = where, .root = a->data_root ? a->data_root : folder,
                                     .root_named = a->data_root, .max_images = a->max_images };
    vlm_status status = vlm_sample_read(j, &from, &out->s, NULL);
    free(folder);
    return status;
}
vlm_status vlm_talk_load(vlm_talk *t, const vlm_args *a, const vlm_model *m) {
    const vlm_sample_image *image = t->s.image;
    if (!(t->pictures = calloc((size_t)t->s.turns, sizeof *t->pictures))) return vlm_fail_memory(t->s.where, sizeof *t->pictures);
    for (int64_t i = 0; i < t->s.turns; i++)
        for (int64_t k = 0; k < t->s.turn[i].images; k++)
            TRY(vlm_pictures_add(&t->pictures[i], m, (image++)->file, a->max_images));
    return VLM_OK;
}
vlm_status vlm_talk_context(const vlm_talk *t, vlm_session *s, const char *system, double *encode_ms) {
    double all = 0;
    for (int64_t i = 0; i + 1 < t->s.turns; i++) {
        const vlm_pictures *p = &t->pictures[i];
        vlm_features *f = NULL;
        double t0 = vlm_now_ms();
        if (p->n) TRY(vlm_encode_keeping(s, (const vlm_image *const *)p->image, p->n, 0, &f));
        all += vlm_now_ms() - t0;
        vlm_status status = vlm_session_told(s, i ? NULL : system, f, t->s.turn[i].user, t->s.turn[i].assistant);
        vlm_features_free(f);
        TRY(status);
    }
    *encode_ms = all;
    return VLM_OK;
}
void vlm_talk_free(vlm_talk *t) {
    for (int64_t i = 0; t->pictures && i < t->s.turns; i++) vlm_pictures_free(&t->pictures[i]);
    free(t->pictures);
    vlm_sample_free(&t->s);
    *t = (vlm_talk){ 0 };
}

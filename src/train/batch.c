#include "train/pass.h"
#include <stdlib.h>
#include <string.h>

/* Room for `more` elements behind the n that are there; all arrays of a kind grow together. */
static bool grow(void *array, size_t size, int64_t room) {
    void **p = array, *q = realloc(*p, (size_t)room * size);
    if (q) *p = q;
    return q != NULL;
}
enum { UNITS, SAMPLES, TOKENS, RUNS, LABELS };
static vlm_status make_room(vlm_batch *b, int kind, int64_t n) {
    int64_t room = b->room[kind] ? b->room[kind] : 64;
    while (room < n) room *= 2;
    if (room == b->room[kind]) return VLM_OK;
    bool ok = true;
    switch (kind) {
    case UNITS:
        ok = grow(&b->grid, sizeof *b->grid, room) && grow(&b->pixels, sizeof *b->pixels, room) &&
             grow(&b->features, sizeof *b->features, room) && grow(&b->origin, sizeof *b->origin, room);
        break;
    case SAMPLES: ok = grow(&b->segment, sizeof *b->segment, room) && grow(&b->label_end, sizeof *b->label_end, room); break;
    case TOKENS:  ok = grow(&b->ids, sizeof *b->ids, room); break;
    case RUNS:    ok = grow(&b->run, sizeof *b->run, room); break;
    case LABELS:  ok = grow(&b->label_row, sizeof *b->label_row, room) && grow(&b->label, sizeof *b->label, room); break;
    }
    if (!ok) return vlm_fail_memory("the batch", (size_t)room * 8);
    b->room[kind] = room;
    return VLM_OK;
}

vlm_status vlm_batch_reserve(vlm_batch *b, const vlm_caps *c) {
    TRY(make_room(b, UNITS, c->units));
    TRY(make_room(b, SAMPLES, c->samples));
    TRY(make_room(b, TOKENS, c->tokens));
    TRY(make_room(b, RUNS, c->units));         /* an image's tokens are one run, or a tile's */
    return make_room(b, LABELS, c->labels);
}
vlm_status vlm_batch_add(vlm_batch *b, const vlm_model *m, const vlm_example *e) {
    int64_t T = (int64_t)e->ids.n, places = 0, runs = 0;
    vlm_extent x = vlm_example_extent(m, e);
    for (int64_t t = 0; t < T; t++) {
        bool image = e->ids.id[t] == m->image_token;
        places += image;
        runs += image && (!t || e->ids.id[t - 1] != m->image_token);
    }
    if (places != x.image_tokens)
        return vlm_fail(VLM_EARG, "a sample", "holds %lld image tokens for %lld rows of features; each row takes one", (long long)places,
                        (long long)x.image_tokens);
    TRY(make_room(b, UNITS, b->units + x.units));
    TRY(make_room(b, SAMPLES, b->samples + 1));
    TRY(make_room(b, TOKENS, b->T + T));
    TRY(make_room(b, RUNS, b->runs + runs));
    TRY(make_room(b, LABELS, b->labels + e->labels));
    for (int64_t i = 0, u = b->units; i < e->images; i++) {
        const vlm_image_plan *p = &e->image[i].plan;
        const vlm_vit_config *c = &m->net->vit.cfg;
        int64_t N = p->patches.h * p->patches.w, len = 3 * N * c->P * c->P;
        const vlm_cached *known = e->cached ? &e->cached[i] : NULL;
        if (known && known->features) b->cached++, b->flop.vision -= (double)p->n * vlm_vit_flop(c, p->patches);
        for (int64_t t = 0; t < p->n; t++, u++) {
            b->grid[u] = p->patches;
            b->pixels[u] = e->image[i].pixels ? e->image[i].pixels + t * len : NULL;
            b->features[u] = known && known->features ? known->features + t * N * c->D : NULL;
            b->origin[u] = (vlm_origin){ &e->image[i], known, t };
        }
    }
    for (int64_t t = 0, row = b->image_tokens, n; t < T; t += n) {
        n = 1;
        if (e->ids.id[t] != m->image_token) continue;
        while (t + n < T && e->ids.id[t + n] == m->image_token) n++;
        b->run[b->runs++] = (vlm_run){ b->T + t, row, n };
        row += n;
    }
    for (int64_t t = 1; t < T; t++)
        if (e->learnt[t]) b->label_row[b->labels] = b->T + t - 1, b->label[b->labels++] = e->ids.id[t];
    memcpy(b->ids + b->T, e->ids.id, (size_t)T * sizeof *b->ids);
    b->segment[b->samples] = (vlm_segment){ b->T, T };
    b->label_end[b->samples++] = b->labels;
    b->T += T;
    b->units += x.units;
    b->images += e->images;
    b->patches += x.patches;
    b->rows += x.rows;
    b->image_tokens += x.image_tokens;
    if (b->most < x.most) b->most = x.most;
    b->flop.vision += x.flop.vision, b->flop.projector += x.flop.projector;
    b->flop.blocks += x.flop.blocks, b->flop.head += x.flop.head;
    return VLM_OK;
}
void vlm_batch_reset(vlm_batch *b) {
    b->units = b->samples = b->T = b->labels = b->images = b->patches = b->image_tokens = b->rows = b->most = b->runs = b->cached = 0;
    b->flop = (vlm_flop){ 0 };
}
void vlm_batch_free(vlm_batch *b) {
    free(b->grid);
    free(b->pixels);
    free(b->features);
    free(b->origin);
    free(b->segment);
    free(b->label_end);
    free(b->ids);
    free(b->run);
    free(b->label_row);
    free(b->label);
    *b = (vlm_batch){ 0 };
}

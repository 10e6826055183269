#include "train/example.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Images ---- */

static vlm_status pixels_of(const vlm_model *m, const vlm_bitmap *b, vlm_seen *seen, const char *where) {
    const vlm_image_plan *p = &seen->plan;
    size_t work_bytes = vlm_process_bytes(&m->rule, p), bytes = (size_t)(p->n * 3 * p->tile_h * p->tile_w) * sizeof(float);
    void *work = work_bytes < SIZE_MAX - 64 ? aligned_alloc(64, (work_bytes + 64) & ~(size_t)63) : NULL;
    seen->pixels = malloc(bytes);
    vlm_status status = VLM_OK;
    if (!work || !seen->pixels) status = vlm_fail_memory(where, work_bytes + bytes);
    else {
        vlm_process(NULL, &m->net->ops, &m->rule, p, b, NULL, seen->pixels, work);
        vlm_process_crop(p, m->net->vit.cfg.P, seen->pixels, seen->pixels);
    }
    free(work);
    return status;
}

/* Plans of all images under a budget of tokens for each (0: the rule's own). */
static vlm_status plan_images(const vlm_example_rule *r, const struct vlm_sample *s, const vlm_bitmap *size, int64_t budget,
                              vlm_example *e) {
    vlm_image_rule rule = r->m->rule;
    if (budget && (!rule.max_tokens || rule.max_tokens > budget)) rule.max_tokens = budget;
    e->units = e->patches = 0;
    for (int64_t i = 0; i < e->images; i++) {
        vlm_image_plan *p = &e->image[i].plan;
        TRY(vlm_image_plan_make(&rule, size[i].w, size[i].h, s->where, p));
        e->units += p->n;
        e->patches += p->n * p->patches.h * p->patches.w;
    }
    return VLM_OK;
}

/* ---- Ids ---- */

static vlm_status make_ids(const vlm_example_rule *r, const struct vlm_sample *s, vlm_example *e) {
    vlm_chat *c;
    vlm_status status = VLM_OK;
    size_t from = 0, *answer = calloc((size_t)s->turns * 2 + 1, sizeof *answer);
    if (!answer) return vlm_fail_memory(s->where, (size_t)s->turns * sizeof *answer);
    if ((status = vlm_turn_open(r->m, &c))) { free(answer); return status; }
    for (int64_t t = 0, i = 0; t < s->turns; t++) {
        const struct vlm_sample_turn *turn = &s->turn[t];
        TRY_DONE(vlm_turn_add(c, r->m, t ? NULL : s->system, e->image + i, turn->images, turn->user));
        TRY_DONE(vlm_chat_prompt(c));
        i += turn->images;
        answer[2 * t] = answer[2 * t + 1] = vlm_chat_out(c)->n;
        if (!turn->assistant) continue;        /* the last turn's question */
        TRY_DONE(vlm_chat_text(c, turn->assistant, strlen(turn->assistant)));
        TRY_DONE(vlm_chat_end(c));
        TRY_DONE(vlm_chat_flush(c));
        answer[2 * t + 1] = vlm_chat_out(c)->n;
    }
    e->ids.n = 0;
    for (size_t i = 0; i < vlm_chat_out(c)->n; i++) TRY_DONE(vlm_ids_push(&e->ids, vlm_chat_out(c)->id[i]));
    free(e->learnt);
    if (!(e->learnt = calloc(e->ids.n + 1, 1))) { status = vlm_fail_memory(s->where, e->ids.n); goto done; }
    e->labels = 0;
    for (int64_t t = 0; t < s->turns; t++)
        for (from = answer[2 * t]; from < answer[2 * t + 1]; from++)
            if (from) e->learnt[from] = 1, e->labels++;
done:
    vlm_chat_close(c);
    free(answer);
    return status;
}

/* ---- Fitting ---- */

static vlm_status too_long(const vlm_example_rule *r, const struct vlm_sample *s, const vlm_example *e, vlm_bad *why) {
    *why = VLM_BAD_TOO_LONG;
    if (r->max_patches && e->patches > r->max_patches)
        return vlm_fail(VLM_ELIMIT, s->where, "has %" PRId64 " patches, over the %" PRId64 " of a batch; raise --batch-patches, lower "
                        "--max-image-tokens or give --shrink-images", e->patches, r->max_patches);
    const char *flag = r->tokens_flag ? r->tokens_flag : r->m->context < r->m->net->lm.cfg.context ? "--context" : NULL;
    /* with --shrink-images they are as small as they get */
    const char *rest = e->images && !r->shrink ? ", lower --max-image-tokens or give --shrink-images" : " or shorten its text";
    return vlm_fail(VLM_ELIMIT, s->where, "has %zu tokens, over the %" PRId64 " of %s; %s%s%s", e->ids.n, r->max_tokens,
                    r->tokens_flag ? "a batch" : "the context", flag ? "raise " : "", flag ? flag : "",
                    flag ? rest : *rest == ',' ? rest + strlen(", ") : rest + strlen(" or "));
}
static bool fits(const vlm_example_rule *r, const vlm_example *e) {
    return !(r->max_tokens && (int64_t)e->ids.n > r->max_tokens) && !(r->max_patches && e->patches > r->max_patches);
}
/* Plans and ids; with shrink the largest budget of tokens an image, the same for all, under which the sample fits. */
static vlm_status fit(const vlm_example_rule *r, const struct vlm_sample *s, const vlm_bitmap *size, vlm_example *e, vlm_bad *why) {
    TRY(plan_images(r, s, size, 0, e));
    TRY(make_ids(r, s, e));
    if (fits(r, e)) return VLM_OK;
    int64_t most = 0, low = 1;
    for (int64_t i = 0; i < e->images; i++) if (most < e->image[i].plan.image_tokens) most = e->image[i].plan.image_tokens;
    if (!r->shrink || !e->images) return too_long(r, s, e, why);
    vlm_status status = VLM_OK;
    for (int64_t high = most; low < high;) {           /* the smallest budget that does not fit is high; ids only grow with it */
        int64_t mid = low + (high - low) / 2;
        status = plan_images(r, s, size, mid, e);
        if (!status) status = make_ids(r, s, e);
        if (status && status != VLM_ELIMIT) return status;     /* a budget below one block is a limit, and too small */
        if (status || fits(r, e)) low = mid + 1;
        else high = mid;
    }
    if (low > 1) status = plan_images(r, s, size, low - 1, e);
    if (low == 1 || status == VLM_ELIMIT) {
        TRY(plan_images(r, s, size, 0, e));
        TRY(make_ids(r, s, e));
        return too_long(r, s, e, why);
    }
    TRY(status);
    TRY(make_ids(r, s, e));
    return fits(r, e) ? VLM_OK : too_long(r, s, e, why);
}

typedef struct bytes { unsigned char *data; size_t n; } bytes;
/* Image i's features, where there are some, else its pixels. */
static vlm_status look(const vlm_example_rule *r, const struct vlm_sample *s, int64_t i, bytes *file, vlm_example *e, vlm_bad *why) {
    const vlm_image_plan *p = &e->image[i].plan;
    vlm_bitmap b;
    if (r->cache) {
        TRY(vlm_cache_get(r->cache, file->data, file->n, p, &e->cached[i]));
        if (e->cached[i].own) e->bytes += (size_t)(p->n * p->patches.h * p->patches.w * r->m->net->vit.cfg.D) * sizeof(float);
        if (e->cached[i].features) return VLM_OK;      /* the bytes have been decoded before, and were good */
    }
    TRY(vlm_sample_image_decode(s, i, &r->m->limits, file->data, file->n, &b, why));
    free(file->data);
    file->data = NULL;
    vlm_status status = pixels_of(r->m, &b, &e->image[i], s->where);
    e->bytes += (size_t)(p->n * 3 * p->tile_h * p->tile_w) * sizeof(float);
    vlm_bitmap_close(&b);
    return status;
}
vlm_status vlm_example_make(const vlm_example_rule *r, const struct vlm_sample *s, bool pixels, vlm_example *out, vlm_bad *why) {
    const vlm_model *m = r->m;
    vlm_example e = { .images = s->images };
    vlm_bitmap *size = calloc((size_t)s->images + 1, sizeof *size);
    bytes *file = calloc((size_t)s->images + 1, sizeof *file);
    vlm_status status = VLM_OK;
    *why = VLM_BAD_NONE;
    e.image = calloc((size_t)s->images + 1, sizeof *e.image);
    if (pixels && r->cache) e.cached = calloc((size_t)s->images + 1, sizeof *e.cached);
    if (!size || !file || !e.image || (pixels && r->cache && !e.cached)) {
        status = vlm_fail_memory(s->where, (size_t)s->images * sizeof *e.image);
        goto done;
    }
    for (int64_t i = 0; i < s->images; i++) {
        vlm_image_info info;
        if (pixels) {
            TRY_DONE(vlm_sample_image_bytes(s, i, &m->limits, &file[i].data, &file[i].n, why));
            TRY_DONE(vlm_sample_image_header(s, i, &m->limits, file[i].data, file[i].n, &info, why));
        } else TRY_DONE(vlm_sample_image_probe(s, i, &m->limits, &info, why));
        size[i].w = info.w, size[i].h = info.h;
    }
    *why = VLM_BAD_TOO_LARGE;          /* what the rule refuses: more tiles than names, one block over --max-image-tokens */
    status = fit(r, s, size, &e, why);
    if (status == VLM_EFORMAT) *why = VLM_BAD_JSON;            /* text that the tokenizer cannot take */
    else if (status && status != VLM_ELIMIT) *why = VLM_BAD_NONE;
    if (status) goto done;
    *why = VLM_BAD_NONE;
    if (!e.labels) {
        *why = VLM_BAD_NO_ASSISTANT;
        status = vlm_fail(VLM_EFORMAT, s->where, "has no assistant's text to learn; give it an answer");
        goto done;
    }
    for (int64_t i = 0; pixels && i < s->images; i++) {
        TRY_DONE(look(r, s, i, &file[i], &e, why));
        free(file[i].data);
        file[i].data = NULL;
    }
    *out = e;
    e = (vlm_example){ 0 };
done:
    for (int64_t i = 0; file && i < s->images; i++) free(file[i].data);
    free(file);
    free(size);
    vlm_example_free(&e);
    return status;
}
void vlm_example_free(vlm_example *e) {
    for (int64_t i = 0; i < e->images; i++) {
        if (e->image) free(e->image[i].pixels);
        if (e->cached) vlm_cached_free(&e->cached[i]);
    }
    free(e->image);
    free(e->cached);
    free(e->learnt);
    vlm_ids_free(&e->ids);
    *e = (vlm_example){ 0 };
}
vlm_extent vlm_example_extent(const vlm_model *m, const vlm_example *e) {
    const vlm_net *net = m->net;
    vlm_extent x = { .tokens = (int64_t)e->ids.n, .labels = e->labels, .images = e->images, .units = e->units, .patches = e->patches };
    double head = 2 * (double)net->lm.cfg.D * (double)net->lm.cfg.V;
    size_t work = 0;
    x.rows = x.patches + x.units * vlm_vit_prefix(&net->vit.cfg);
    for (int64_t i = 0; i < e->images; i++) {
        const vlm_image_plan *p = &e->image[i].plan;
        size_t bytes = vlm_process_bytes(&m->rule, p);
        if (x.most < p->patches.h * p->patches.w) x.most = p->patches.h * p->patches.w;
        x.image_tokens += p->image_tokens;
        x.pixel_bytes += p->n * 3 * p->tile_h * p->tile_w * (int64_t)sizeof(float);
        x.work_bytes += 3 * p->w * p->h;
        if (work < bytes) work = bytes;
        x.flop.vision += (double)p->n * vlm_vit_flop(&net->vit.cfg, p->patches);
    }
    x.work_bytes += (int64_t)work;
    x.flop.projector = 2 * (double)x.image_tokens * (double)(net->vit.cfg.D * net->shuffle * net->shuffle) * (double)net->lm.cfg.D;
    x.flop.blocks = vlm_lm_flop(&net->lm.cfg, x.tokens, 0) - head;     /* which counts one row's */
    x.flop.head = head * (double)x.labels;
    return x;
}
void vlm_extent_add(vlm_extent *sum, const vlm_extent *x) {
    sum->tokens += x->tokens, sum->labels += x->labels, sum->images += x->images, sum->units += x->units, sum->patches += x->patches;
    sum->rows += x->rows, sum->image_tokens += x->image_tokens, sum->pixel_bytes += x->pixel_bytes;
    if (sum->most < x->most) sum->most = x->most;
    if (sum->work_bytes < x->work_bytes) sum->work_bytes = x->work_bytes;
    sum->flop.vision += x->flop.vision, sum->flop.projector += x->flop.projector;
    sum->flop.blocks += x->flop.blocks, sum->flop.head += x->flop.head;
}

/* vlm features: dense features of images as arrays and as pictures. */
#include "open.h"
#include "base/file.h"
#include "base/log.h"
#include "data/picture.h"
#include "io/npy.h"
#include "pca.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What is asked for, and where it goes: a file, or with several images a folder. */
enum { ARRAY, PREFIX, PCA, SIMILAR, KINDS };
typedef struct wish { const char *path[KINDS]; bool folder; int64_t x, y; } wish;
static const char *const ends[KINDS] = { ".npy", ".npy", ".png", ".png" };

static const char *base_name(const char *path) { const char *slash = strrchr(path, '/'); return slash ? slash + 1 : path; }
static size_t stem(const char *base) {
    const char *dot = strrchr(base, '.');
    return dot && dot != base ? (size_t)(dot - base) : strlen(base);
}
/* The file for one image, to be freed. */
static char *target(const wish *w, int k, const char *image) {
    const char *base = base_name(image);
    size_t n = stem(base);
    char *name = malloc(n + 8), *path;
    if (!w->folder) { free(name); return strdup(w->path[k]); }
    if (!name) return NULL;
    snprintf(name, n + 8, "%.*s%s", (int)n, base, ends[k]);
    path = vlm_join(w->path[k], name);
    free(name);
    return path;
}
/* Of several images: what a header says is wrong with one is said before the first is encoded. */
static vlm_status probe(const vlm_model *m, const char *path) {
    vlm_image_info info;
    vlm_image_plan plan;
    if (!strcmp(path, "-")) return VLM_OK;
    TRY(vlm_image_probe_file(path, &m->limits, &info));
    TRY(vlm_image_check(&info, path, &m->limits));
    return vlm_image_plan_make(&m->rule, info.w, info.h, path, &plan);
}
/* Before any work: images can be taken, names differ, folders are there, files may be written. */
static vlm_status check(const vlm_args *a, const vlm_model *m, const wish *w) {
    for (int i = 1; i < a->args; i++)
        for (int j = 1; j < i && w->folder; j++) {
            const char *p = base_name(a->arg[i]), *q = base_name(a->arg[j]);
            if (stem(p) == stem(q) && !strncmp(p, q, stem(p)))
                return vlm_usage(a->arg[i], "has the same name as %s, their files would be one; give them to two calls", a->arg[j]);
        }
    for (int k = 0; k < KINDS; k++)
        for (int j = 0; j < k; j++)
            if (w->path[j] && w->path[k] && !strcmp(w->path[j], w->path[k]) && (!w->folder || !strcmp(ends[j], ends[k])))
                return vlm_usage(w->path[k], "is named for two outputs; name two files or folders");
    for (int i = 1; i < a->args && w->folder; i++) TRY(probe(m, a->arg[i]));
    for (int k = 0; k < KINDS; k++) {
        if (!w->path[k]) continue;
        if (w->folder && mkdir(w->path[k], 0777) && (errno != EEXIST || !vlm_is_dir(w->path[k])))
            return vlm_fail_errno(w->path[k], "make the folder");
        for (int i = 1; i < a->args; i++) {
            char *path = target(w, k, a->arg[i]);
            if (!path) return vlm_fail_memory(a->arg[i], strlen(a->arg[i]));
            vlm_status status = vlm_check_output(a, path);
            free(path);
            TRY(status);
        }
    }
    return VLM_OK;
}

/* The image's patches as one raster (*h,*w,D): as they are, or put together of tiles, without the global one. */
static vlm_status raster(const vlm_model *m, const vlm_seen *s, float **own, const float **x, int64_t *h, int64_t *w) {
    const vlm_image_plan *p = &s->plan;
    int64_t D = m->net->vit.cfg.D, th = p->patches.h, tw = p->patches.w, first = p->n - p->rows * p->cols;
    *h = p->rows * th;
    *w = p->cols * tw;
    *x = s->patches + first * th * tw * D;
    if (p->rows * p->cols == 1) return VLM_OK;
    size_t bytes = (size_t)(*h * *w * D) * sizeof(float);
    if (!(*own = malloc(bytes))) return vlm_fail_memory("features", bytes);
    for (int64_t r = 0; r < *h; r++)
        for (int64_t c = 0; c < p->cols; c++)
            memcpy(*own + (r * *w + c * tw) * D, *x + ((r / th * p->cols + c) * th * tw + r % th * tw) * D,
                   (size_t)(tw * D) * sizeof(float));
    *x = *own;
    return VLM_OK;
}

/* A frame round the patch in a picture of the image's size: dark outside, light inside; as wide as is seen when the picture is. */
static void mark(uint8_t *rgb, int64_t H, int64_t W, int64_t h, int64_t w, int64_t at) {
    int64_t y0 = at / w * H / h, y1 = (at / w + 1) * H / h - 1, x0 = at % w * W / w, x1 = (at % w + 1) * W / w - 1;
    int64_t dark = (H > W ? H : W) / 600;
    if (dark < 1) dark = 1;
    for (int64_t y = y0; y <= y1; y++)
        for (int64_t x = x0; x <= x1; x++) {
            int64_t edge = y - y0;
            if (edge > y1 - y) edge = y1 - y;
            if (edge > x - x0) edge = x - x0;
            if (edge > x1 - x) edge = x1 - x;
            if (edge < 3 * dark) memset(rgb + (y * W + x) * 3, edge < dark ? 0 : 255, 3);
        }
}
static vlm_status draw_similar(vlm_session *s, const wish *w, const vlm_seen *seen, const float *x, int64_t gh, int64_t gw,
                               const char *path, double *draw_ms) {
    const vlm_image_plan *p = &seen->plan;
    double t0 = vlm_now_ms();
    int64_t D = s->m->net->vit.cfg.D, P = s->m->net->vit.cfg.P, py = (2 * w->y + 1) * p->H / (2 * p->h) / P,
            px = (2 * w->x + 1) * p->W / (2 * p->w) / P;
    if (py >= gh) py = gh - 1;                 /* a tile that is no multiple of P leaves a few pixels out */
    if (px >= gw) px = gw - 1;
    size_t room = vlm_resize_bytes(gh, gw, p->h, p->w, VLM_BILINEAR), small = (size_t)(gh * gw * 3), big = (size_t)(p->h * p->w * 3);
    void *work = room < SIZE_MAX - 64 ? aligned_alloc(64, (room + 64) & ~(size_t)63) : NULL;
    uint8_t *rgb = malloc(small), *full = malloc(big);
    double lo;
    vlm_status status = VLM_OK;
    if (!work || !rgb || !full) { status = vlm_fail_memory(path, room + small + big); goto done; }
    vlm_similar_rgb(x, gh * gw, D, py * gw + px, rgb, &lo);
    vlm_resize(s->ctx, &s->m->net->ops, full, rgb, gh, gw, p->h, p->w, VLM_BILINEAR, work);
    mark(full, p->h, p->w, gh, gw, py * gw + px);
    *draw_ms += vlm_now_ms() - t0;
    status = vlm_picture_write(path, full, p->h, p->w, p->h, p->w);
    if (!status)
        vlm_note("vlm: %s: patch %lld,%lld (column, row); colours from cosine %.3f to 1.000", path, (long long)px, (long long)py, lo);
done:
    free(work);
    free(rgb);
    free(full);
    return status;
}
static vlm_status draw_pca(vlm_session *s, const vlm_seen *seen, const float *x, int64_t gh, int64_t gw, const char *path,
                           double *draw_ms) {
    double t0 = vlm_now_ms();
    uint8_t *rgb = malloc((size_t)(gh * gw * 3));
    if (!rgb) return vlm_fail_memory(path, (size_t)(gh * gw * 3));
    vlm_status status = vlm_pca_rgb(s->ctx, x, gh * gw, s->m->net->vit.cfg.D, rgb);
    *draw_ms += vlm_now_ms() - t0;
    if (!status) status = vlm_picture_write(path, rgb, gh, gw, seen->plan.h, seen->plan.w);
    free(rgb);
    return status;
}

static vlm_status one(vlm_args *a, vlm_session *s, const wish *w, const char *image) {
    const vlm_model *m = s->m;
    vlm_pictures p = { 0 };
    vlm_features *f = NULL;
    char *path[KINDS] = { 0 };
    float *own = NULL;
    const float *x;
    int64_t h, wd, D = m->net->vit.cfg.D, prefix = vlm_vit_prefix(&m->net->vit.cfg);
    vlm_status status = VLM_OK;
    double t0 = vlm_now_ms(), draw_ms = 0;
    for (int k = 0; k < KINDS; k++)
        if (w->path[k] && !(path[k] = target(w, k, image))) { status = vlm_fail_memory(image, strlen(image)); goto done; }
    TRY_DONE(vlm_pictures_add(&p, m, image, 1));
    int64_t iw = p.image[0]->b.w, ih = p.image[0]->b.h;
    if (w->path[SIMILAR] && (w->x >= iw || w->y >= ih)) {
        status =
            vlm_fail(VLM_EARG, "--at", "%lld,%lld lies outside %s, which has %lldx%lld pixels; X is below the first, Y below the second",
                     (long long)w->x, (long long)w->y, image, (long long)iw, (long long)ih);
        goto done;
    }
    double t1 = vlm_now_ms();
    TRY_DONE(vlm_encode_keeping(s, (const vlm_image *const *)p.image, 1, VLM_KEEP_PATCHES, &f));
    const vlm_seen *seen = &f->image[0];
    const vlm_image_plan *plan = &seen->plan;
    double t2 = vlm_now_ms();
    TRY_DONE(raster(m, seen, &own, &x, &h, &wd));
    bool tiles = m->rule.kind == VLM_RULE_TILES;
    const int64_t array[] = { plan->n, plan->patches.h, plan->patches.w, D }, pre[] = { plan->n, prefix, D };
    vlm_hold();
    if (!status && path[ARRAY]) status = vlm_npy_write(path[ARRAY], VLM_T_F32, tiles ? 4 : 3, array + !tiles, seen->patches);
    if (!status && path[PREFIX]) status = vlm_npy_write(path[PREFIX], VLM_T_F32, tiles ? 3 : 2, pre + !tiles, seen->prefix);
    if (!status && path[PCA]) status = draw_pca(s, seen, x, h, wd, path[PCA], &draw_ms);
    if (!status && path[SIMILAR]) status = draw_similar(s, w, seen, x, h, wd, path[SIMILAR], &draw_ms);
    vlm_status stopped = vlm_release();
    if (!status) status = stopped;
    if (status) goto done;
    if (a->json) {
        json_t *j = vlm_pictures_json(m, &p), *o = json_incref(json_array_get(j, 0));
        static const char *const keys[KINDS] = { "features", "prefix", "pca", "similar" };
        for (int k = 0; k < KINDS; k++) if (path[k]) json_object_set_new(o, keys[k], vlm_json_text(path[k]));
        json_object_set_new(o, "shape", vlm_json_ints(array + !tiles, tiles ? 4 : 3));
        json_decref(j);
        status = vlm_json_out(o);
    } else {
        char shape[VLM_SHAPE_CHARS];
        for (int k = 0; k < KINDS; k++) {
            if (!path[k]) continue;
            if (k == ARRAY) printf("%s: float32 %s\n", path[k], vlm_shape_string(tiles ? 4 : 3, array + !tiles, shape));
            else if (k == PREFIX) printf("%s: float32 %s\n", path[k], vlm_shape_string(tiles ? 3 : 2, pre + !tiles, shape));
            else printf("%s: %lldx%lld\n", path[k], (long long)plan->w, (long long)plan->h);
        }
        vlm_note("vlm: %s: %lldx%lld patches; load %.0f ms, encode %.0f ms, draw %.0f ms, write %.0f ms", image, (long long)h,
                 (long long)wd, t1 - t0, t2 - t1, draw_ms, vlm_now_ms() - t2 - draw_ms);
    }
done:
    for (int k = 0; k < KINDS; k++) free(path[k]);
    free(own);
    vlm_features_free(f);
    vlm_pictures_free(&p);
    return status;
}

vlm_status vlm_cmd_features(vlm_args *a) {
    wish w = { .path = { a->output, a->prefix, a->pca, a->similar }, .folder = a->args > 2 };
    vlm_model *m = NULL;
    vlm_session *s = NULL;
    vlm_status status;
    if (!a->output && !a->prefix && !a->pca && !a->similar)
        return vlm_usage("--output", "is missing; say with -o, --prefix, --pca or --similar what to write");
    if (!a->similar != !a->at) return vlm_usage(a->at ? "--similar" : "--at", "is missing; --similar F.png and --at X,Y go together");
    if (a->at) {
        const char *comma = strchr(a->at, ',');
        char x[32];
        if (!comma || comma - a->at > 30) return vlm_usage("--at", "\"%s\" is not X,Y; give two whole numbers", a->at);
        snprintf(x, sizeof x, "%.*s", (int)(comma - a->at), a->at);
        TRY(vlm_parse_int("--at", x, 0, 1 << 30, &w.x));
        TRY(vlm_parse_int("--at", comma + 1, 0, 1 << 30, &w.y));
    }
    static const char *const options[KINDS] = { "--output", "--prefix", "--pca", "--similar" };
    for (int k = 0; k < KINDS && !w.folder; k++) if (w.path[k]) TRY(vlm_check_ending(options[k], w.path[k], ends[k]));
    TRY(vlm_check_stdin(a));
    TRY_DONE(vlm_open_model(a, &m));
    TRY_DONE(vlm_need_vision(a, m));
    TRY_DONE(check(a, m, &w));
    TRY_DONE(vlm_open_session(a, m, &s));
    for (int i = 1; i < a->args; i++) {
        TRY_DONE(one(a, s, &w, a->arg[i]));
        if (a->args > 2) TRY_DONE(vlm_progress("images", i, a->args - 1));
    }
done:
    vlm_session_close(s);
    vlm_model_close(m);
    return status;
}

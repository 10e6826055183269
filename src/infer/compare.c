#include "infer/compare.h"
#include "base/clock.h"
#include "base/log.h"
#include "infer/session.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 16, MOST_ROWS = 256,        /* of a product that are looked at, of one call and of all */
    PICTURES = 4,                      /* made up where none are given */
    ANSWER = 32,                       /* tokens decoded */
    LOGITS = 1 << 26,                  /* kept at most */
    TURNS = 5                          /* measurements of speed, at most */
};
static const double TURN_MS = 4000;    /* after so long three of them suffice */
static const char question[] = "Describe this picture in detail: what is in it, where, and which words or numbers can be read?";
static const char text[] =
    "The harbour lay quiet in the early morning. Two fishing boats came in past the lighthouse, and the gulls followed them as far as the "
    "market, where Anna was already putting out boxes of ice. \"Eleven kilos of cod,\" she said, \"and not a single mackerel.\" By 9:30 "
    "everything was sold. In physics, the energy of a photon is its frequency times Planck's constant; that is why ultraviolet light burns "
    "the skin while red light of the same power does not. To sort a list, a program may split it into halves, sort each of them, and merge "
    "the two: for n items this takes about n log n steps. The train from Vienna to Trieste needs nine hours, and it is worth every one.";

/* ---- Matrix by matrix ---- */

typedef struct seen { int64_t rows; double xx, yy, xy, worst, error; } seen;   /* x: a's products, y: b's */
typedef struct watch {
    const vlm_net *a, *b;
    vlm_ops ops;                       /* a's own */
    seen *seen;                        /* by a's params */
    vlm_status status;
} watch;
static _Thread_local watch *watching;  /* an op knows its ctx only */

static void add_row(seen *s, const float *x, const float *y, int64_t n) {
    double xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        xx += (double)x[i] * (double)x[i], yy += (double)y[i] * (double)y[i], xy += (double)x[i] * (double)y[i];
        if (!(d <= s->error)) s->error = d;
    }
    double cosine = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : xx == yy ? 1 : 0;
    if (!s->rows++ || !(cosine >= s->worst)) s->worst = cosine;
    s->xx += xx, s->yy += yy, s->xy += xy;
}
static bool changed(const vlm_net *a, const vlm_net *b, int i) {
    const vlm_param *p = &a->params.p[i];
    return p->mat && !p->row && !p->tied && p->mat->dtype != b->params.p[i].mat->dtype;
}
/* Some rows of x through both, without what the layer does besides. */
static vlm_status look(watch *k, vlm_ctx *ctx, int i, const act *x, int64_t R) {
    const vlm_mat *w = k->a->params.p[i].mat;
    int64_t n = R < ROWS ? R : ROWS, K = w->cols, C = w->rows;
    size_t in = (size_t)(n * K) * sizeof(act), out = (size_t)(n * C) * sizeof(act);
    vlm_status status = VLM_OK;
    act *some = k->ops.alloc(in), *p = k->ops.alloc(out);
    float *y[2] = { malloc(out), malloc(out) };
    if (!some || !p || !y[0] || !y[1]) { status = vlm_fail_memory(k->a->params.p[i].name, in + 3 * out); goto done; }
    for (int64_t r = 0; r < n; r++) k->ops.copy_forward(ctx, act_at(some, r * K), K, act_at(x, R * r / n * K), K, 1, K);
    for (int j = 0; j < 2; j++) {
        if (j) k->b->ops.linear_forward(ctx, p, some, k->b->params.p[i].mat, NULL, n);
        else k->ops.linear_forward(ctx, p, some, w, NULL, n);
        k->ops.download(ctx, y[j], p, out);
        k->ops.sync(ctx);
    }
    for (int64_t r = 0; r < n; r++) add_row(&k->seen[i], y[0] + r * C, y[1] + r * C, C);
done:
    if (some) k->ops.free(some, in);
    if (p) k->ops.free(p, out);
    free(y[0]);
    free(y[1]);
    return status;
}
static void watched_linear(vlm_ctx *ctx, act *out, const act *x, const vlm_mat *w, const vlm_epilogue *e, int64_t R) {
    watch *k = watching;
    int i = 0;
    while (i < k->a->params.n && k->a->params.p[i].mat != w) i++;
    if (i < k->a->params.n && changed(k->a, k->b, i) && k->seen[i].rows < MOST_ROWS && R > 0 && !k->status)
        k->status = look(k, ctx, i, x, R);
    k->ops.linear_forward(ctx, out, x, w, e, R);
}
/* A table of its own is no factor of a product: its rows as they are read. */
static void watched_embed(vlm_ctx *ctx, act *out, const int64_t *ids, const vlm_mat *table, float scale, int64_t R) {
    watch *k = watching;
    int i = 0;
    int64_t n = R < ROWS ? R : ROWS, C = table->cols;
    while (i < k->a->params.n && k->a->params.p[i].mat != table) i++;
    k->ops.embed_forward(ctx, out, ids, table, scale, R);
    if (i == k->a->params.n || k->a->lm.cfg.tied || !changed(k->a, k->b, i) || k->seen[i].rows >= MOST_ROWS || k->status) return;
    size_t bytes = (size_t)(n * C) * sizeof(act);
    act *p = k->ops.alloc(bytes);
    float *x = malloc(bytes), *y = malloc(bytes);
    if (!p || !x || !y) k->status = vlm_fail_memory(k->a->params.p[i].name, 3 * bytes);
    else {
        k->b->ops.embed_forward(ctx, p, ids, k->b->params.p[i].mat, scale, n);
        k->ops.download(ctx, x, out, bytes);
        k->ops.download(ctx, y, p, bytes);
        k->ops.sync(ctx);
        for (int64_t r = 0; r < n; r++) add_row(&k->seen[i], x + r * C, y + r * C, C);
    }
    if (p) k->ops.free(p, bytes);
    free(x);
    free(y);
}
static vlm_status layers_json(const watch *k, json_t *out) {
    json_t *list = json_array();
    if (json_object_set_new(out, "layers", list)) return vlm_fail_memory("the report", 1000);
    for (int i = 0; i < k->a->params.n; i++) {
        const seen *s = &k->seen[i];
        if (!changed(k->a, k->b, i)) continue;
        const vlm_mat *m = k->b->params.p[i].mat;
        json_t *j = json_pack("{s:s,s:s,s:I,s:I}", "name", k->a->params.p[i].name, "type", vlm_dtype_name(m->dtype), "rows",
                              (json_int_t)m->rows, "cols", (json_int_t)m->cols);
        if (s->rows) {
            if (!(s->xy - s->xy == 0) || !(s->error - s->error == 0)) {
                json_decref(j);
                return vlm_fail(VLM_EFORMAT, k->a->params.p[i].name, "gives NaN or infinite products; its weights or what comes before "
                                "overflow, use sound ones");
            }
            double both = sqrt(s->xx * s->yy), cosine = both > 0 ? s->xy / both : s->xx == s->yy ? 1 : 0;
            json_t *more = json_pack("{s:f,s:f,s:f,s:f}", "cosine", cosine, "worst_cosine", s->worst, "max_error", s->error, "rms",
                                     sqrt(s->xx / (double)(s->rows * m->rows)));
            if (j && more) json_object_update(j, more);
            json_decref(more);
        }
        if (json_array_append_new(list, j)) return vlm_fail_memory("the report", 1000);
    }
    return VLM_OK;
}

/* ---- What is looked at ---- */

/* Shapes on a shaded ground, with some noise: something at every scale, nothing that repeats. */
static vlm_status make_picture(const vlm_model *m, int which, vlm_image **out) {
    static const int sides[PICTURES][2] = { { 448, 320 }, { 256, 256 }, { 320, 480 }, { 640, 400 } };
    int w = sides[which][0], h = sides[which][1];
    unsigned char *rgb = malloc((size_t)(w * h * 3)), *p = rgb;
    vlm_rng r;
    double ground[9], at[24][7];
    if (!rgb) return vlm_fail_memory("a picture", (size_t)(w * h * 3));
    vlm_rng_seed(&r, (uint64_t)which + 1);
    for (int i = 0; i < 9; i++) ground[i] = vlm_rng_uniform(&r);
    for (int i = 0; i < 24; i++)
        for (int k = 0; k < 7; k++) at[i][k] = vlm_rng_uniform(&r);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) {
                double u = (double)x / w, v = (double)y / h, value = ground[c] * u + ground[3 + c] * v + ground[6 + c] * (1 - u);
                for (int i = 0; i < 24; i++) {         /* boxes and discs, some tiny */
                    double size = 0.3 * at[i][2] * at[i][2] + 0.01, du = fabs(u - at[i][0]), dv = fabs(v - at[i][1]) * h / w;
                    if (i % 2 ? du * du + dv * dv < size * size : du < size && dv < size / 2) value = at[i][4 + c];
                }
                value = value * 200 + 20 + 12 * vlm_rng_normal(&r);
                *p++ = (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
    vlm_status status = vlm_image_from_rgb(m, rgb, w, h, out);
    free(rgb);
    return status;
}

/* ---- Features ---- */

typedef struct cosines { double sum, worst; int64_t n; } cosines;
static void add_cosines(cosines *c, const float *x, const float *y, int64_t rows, int64_t D) {
    for (int64_t r = 0; r < rows; r++, x += D, y += D) {
        seen s = { 0 };
        add_row(&s, x, y, D);
        if (!c->n++ || !(s.worst >= c->worst)) c->worst = s.worst;
        c->sum += s.worst;
    }
}
static vlm_status features_json(const vlm_features *a, const vlm_features *b, json_t *out) {
    int64_t D = a->m->net->vit.cfg.D;
    cosines patches = { 0 }, prefix = { 0 };
    for (int64_t i = 0; i < a->n; i++) {
        const vlm_seen *x = &a->image[i], *y = &b->image[i];
        add_cosines(&patches, x->patches, y->patches, x->plan.n * x->patch_len / D, D);
        add_cosines(&prefix, x->prefix, y->prefix, x->plan.n * x->prefix_len / D, D);
    }
    json_t *j = json_pack("{s:I,s:I,s:f,s:f}", "images", (json_int_t)a->n, "patches", (json_int_t)patches.n, "cosine",
                          patches.sum / (double)patches.n, "worst_cosine", patches.worst);
    if (j && prefix.n) json_object_set_new(j, "prefix_cosine", json_real(prefix.sum / (double)prefix.n));
    return json_object_set_new(out, "features", j) ? vlm_fail_memory("the report", 1000) : VLM_OK;
}

/* ---- Logits ---- */

typedef struct logits { int64_t V, from, n, same; float *l; double kl, worst; const char *dir; } logits;       /* l: of rows from .. on */
static vlm_status keep(void *user, int64_t row, int64_t rows, const float *l) {
    logits *k = user;
    for (int64_t r = row > k->from ? row : k->from; r < row + rows; r++)
        memcpy(k->l + (r - k->from) * k->V, l + (r - row) * k->V, (size_t)k->V * sizeof *l);
    return VLM_OK;
}
static double log_sum(const float *l, int64_t V, int64_t *best) {
    double sum = 0;
    *best = 0;
    for (int64_t v = 1; v < V; v++) if (l[v] > l[*best]) *best = v;
    for (int64_t v = 0; v < V; v++) sum += exp((double)l[v] - (double)l[*best]);
    return (double)l[*best] + log(sum);
}
static vlm_status against(void *user, int64_t row, int64_t rows, const float *q) {
    logits *k = user;
    for (int64_t r = 0; r < rows; r++, q += k->V) {
        if (row + r < k->from) continue;
        const float *p = k->l + (row + r - k->from) * k->V;
        int64_t a, b;
        double zp = log_sum(p, k->V, &a), zq = log_sum(q, k->V, &b), kl = 0;
        for (int64_t v = 0; v < k->V; v++) {
            double lp = (double)p[v] - zp;
            kl += exp(lp) * (lp - ((double)q[v] - zq));
        }
        if (!(kl - kl == 0))
            return vlm_fail(VLM_EFORMAT, k->dir, "gives NaN or infinite logits; its weights overflow, use sound ones or F32");
        if (kl < 0) kl = 0;            /* rounding */
        k->n++;
        k->kl += kl;
        k->same += a == b;
        if (kl > k->worst) k->worst = kl;
    }
    return VLM_OK;
}

typedef struct side {                  /* one of the two */
    const vlm_model *m;
    vlm_session *s;
    vlm_features *f;
    double encode[TURNS], decode[TURNS];       /* ms; tokens a second */
} side;
typedef struct job {
    side side[2];
    vlm_ids ids;                       /* what the language model reads, and its answer */
    size_t prompt;                     /* of them: before the answer */
    const vlm_image **image;
    int64_t images;
    vlm_image *made[PICTURES];
    int64_t shown;                     /* the picture that the language model sees, or -1 */
    int threads;
} job;

/* a's features as s's own model would have them. */
static vlm_status prefill(const job *k, const side *s, size_t n, const vlm_observer *o) {
    vlm_features view = { .m = s->m, .n = 1 };
    if (k->shown >= 0) view.image = k->side[0].f->image + k->shown;
    vlm_session_reset(s->s);
    return vlm_prefill_observed(s->s, k->ids.id, n, view.image ? &view : NULL, o);
}
/* Something to read: a turn about the first picture that the context has room for, or a text; then what a says to it. */
static vlm_status read_ids(job *k) {
    side *a = &k->side[0];
    int64_t V = a->m->net->lm.cfg.V, most = a->m->context, id;
    k->shown = -1;
    for (int64_t i = 0; a->f && i < a->f->n && k->shown < 0; i++) {
        vlm_features one = { .m = a->m, .n = 1, .image = a->f->image + i };
        k->ids.n = 0;
        TRY(vlm_turn_ids(a->m, NULL, &one, question, &k->ids));
        if ((int64_t)k->ids.n < most) k->shown = i;
    }
    if (k->shown < 0) {
        k->ids.n = 0;
        if (a->m->tok) TRY(vlm_tokenizer_encode(a->m->tok, text, strlen(text), VLM_ENCODE_LITERAL | VLM_ENCODE_ADD, &k->ids));
        else for (int64_t i = 0; i < 128; i++) TRY(vlm_ids_push(&k->ids, i * 7919 % V));       /* nothing says what text is */
        if ((int64_t)k->ids.n > most - ANSWER) k->ids.n = (size_t)(most > 2 * ANSWER ? most - ANSWER : most / 2);
    }
    k->prompt = k->ids.n;
    TRY(prefill(k, a, k->prompt, NULL));
    for (int64_t i = 0; i < ANSWER && (int64_t)k->ids.n < a->m->context; i++) {
        TRY(vlm_sample(a->s, NULL, &id));
        TRY(vlm_ids_push(&k->ids, id));
        TRY(vlm_prefill(a->s, &id, 1, NULL));
    }
    return VLM_OK;
}
static vlm_status compare_logits(job *k, json_t *out) {
    int64_t V = k->side[0].m->net->lm.cfg.V, n = (int64_t)k->ids.n;
    logits l = { .V = V, .dir = k->side[1].m->net->dir };
    if (n > LOGITS / V) l.from = n - LOGITS / V;       /* the end, where the answer is */
    size_t bytes = (size_t)((n - l.from) * V) * sizeof *l.l;
    if (!(l.l = malloc(bytes))) return vlm_fail_memory("logits", bytes);
    vlm_status status = prefill(k, &k->side[0], k->ids.n, &(vlm_observer){ .logits = keep, .user = &l });
    if (!status) status = prefill(k, &k->side[1], k->ids.n, &(vlm_observer){ .logits = against, .user = &l });
    free(l.l);
    if (status) return status;
    json_t *j = json_pack("{s:I,s:f,s:f,s:f}", "positions", (json_int_t)l.n, "kl", l.kl / (double)l.n, "worst_kl", l.worst, "same_choice",
                          (double)l.same / (double)l.n);
    return json_object_set_new(out, "logits", j) ? vlm_fail_memory("the report", 1000) : VLM_OK;
}

/* ---- Speed ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
static vlm_status time_encode(job *k, side *s, double *ms) {
    vlm_features *f;
    double start = vlm_now_ms();
    TRY(vlm_encode(s->s, k->image, 1, &f));
    *ms = vlm_now_ms() - start;
    vlm_features_free(f);
    return VLM_OK;
}
static vlm_status time_decode(job *k, side *s, double *rate) {
    TRY(prefill(k, s, k->prompt, NULL));
    double start = vlm_now_ms();
    for (size_t i = k->prompt; i < k->ids.n; i++) TRY(vlm_prefill(s->s, &k->ids.id[i], 1, NULL));
    double ms = vlm_now_ms() - start;
    *rate = (double)(k->ids.n - k->prompt) * 1000 / (ms > 0 ? ms : 1e-6);
    return VLM_OK;
}
static vlm_status compare_speed(job *k, json_t *out) {
    const vlm_net *net = k->side[0].m->net;
    bool encodes = net->vision, decodes = net->language && k->ids.n > k->prompt;
    double start = vlm_now_ms();
    int n = 0;
    while (n < TURNS && (n < 3 || vlm_now_ms() - start < TURN_MS)) {
        for (int i = 0; i < 2; i++) {
            if (encodes) TRY(time_encode(k, &k->side[i], &k->side[i].encode[n]));
            if (decodes) TRY(time_decode(k, &k->side[i], &k->side[i].decode[n]));
        }
        TRY(vlm_progress("measurements", ++n, TURNS));
    }
    side *a = &k->side[0], *b = &k->side[1];
    json_t *j = json_pack("{s:i}", "threads", k->threads), *more = NULL;
    if (j && encodes) {
        const vlm_bitmap *p = &k->image[0]->b;
        more = json_pack("{s:[I,I],s:{s:f,s:f}}", "encode_px", (json_int_t)p->w, (json_int_t)p->h, "encode_ms", "before",
                         median(a->encode, n), "after", median(b->encode, n));
        json_object_update(j, more);
        json_decref(more);
    }
    if (j && decodes) {
        more = json_pack("{s:I,s:{s:f,s:f}}", "decode_tokens", (json_int_t)(k->ids.n - k->prompt), "decode_tok_per_s", "before",
                         median(a->decode, n), "after", median(b->decode, n));
        json_object_update(j, more);
        json_decref(more);
    }
    return json_object_set_new(out, "speed", j) ? vlm_fail_memory("the report", 1000) : VLM_OK;
}

/* ---- All of it ---- */

static vlm_status open_job(job *k, const vlm_compare_options *o) {
    const vlm_net *net = k->side[0].m->net;
    k->threads = o->threads ? o->threads : vlm_cores();
    for (int i = 0; i < 2; i++)
        TRY(vlm_session_open(k->side[i].m, &(vlm_session_options){ .threads = k->threads, .answer_tokens = ANSWER }, &k->side[i].s));
    if (!net->vision) return VLM_OK;
    k->images = o->images ? o->images : PICTURES;
    k->image = calloc((size_t)k->images, sizeof *k->image);
    if (!k->image) return vlm_fail_memory("the pictures", (size_t)k->images * sizeof *k->image);
    for (int64_t i = 0; i < k->images; i++) {
        if (!o->images) TRY(make_picture(k->side[0].m, (int)i, &k->made[i]));
        k->image[i] = o->images ? o->image[i] : k->made[i];
    }
    return VLM_OK;
}
static vlm_status run(job *k, watch *w, json_t *out) {
    side *a = &k->side[0], *b = &k->side[1];
    const vlm_net *net = a->m->net;
    if (net->vision) {
        for (int i = 0; i < 2; i++) TRY(vlm_encode_keeping(k->side[i].s, k->image, k->images, VLM_KEEP_PATCHES, &k->side[i].f));
        TRY(features_json(a->f, b->f, out));
    }
    if (net->language) {
        TRY(read_ids(k));
        TRY(compare_logits(k, out));
    }
    return w->status;
}
vlm_status vlm_compare(vlm_model *a, const vlm_model *b, const vlm_compare_options *o, json_t **out) {
    job k = { .side = { { .m = a }, { .m = b } } };
    watch w = { .a = a->net, .b = b->net, .ops = a->net->ops };
    json_t *j = json_object();
    vlm_status status = VLM_OK;
    w.seen = calloc((size_t)a->net->params.n + 1, sizeof *w.seen);
    if (!j || !w.seen) { status = vlm_fail_memory("the report", (size_t)a->net->params.n * sizeof *w.seen); goto done; }
    TRY_DONE(open_job(&k, o));
    watching = &w;
    a->net->ops.linear_forward = watched_linear;
    a->net->ops.embed_forward = watched_embed;
    status = run(&k, &w, j);
    a->net->ops = w.ops;
    watching = NULL;
    if (status) goto done;
    TRY_DONE(layers_json(&w, j));
    TRY_DONE(compare_speed(&k, j));
    json_t *size = json_pack("{s:I,s:I}", "before_bytes", (json_int_t)vlm_net_bytes(a->net), "after_bytes",
                             (json_int_t)vlm_net_bytes(b->net));
    if (json_object_set_new(j, "size", size)) { status = vlm_fail_memory("the report", 1000); goto done; }
    *out = j;
    j = NULL;
done:
    for (int i = 0; i < 2; i++) {
        vlm_features_free(k.side[i].f);
        vlm_session_close(k.side[i].s);
    }
    for (int i = 0; i < PICTURES; i++) vlm_image_free(k.made[i]);
    free(k.image);
    vlm_ids_free(&k.ids);
    free(w.seen);
    json_decref(j);
    return status;
}

#include "infer/reuse.h"
#include "base/log.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOGIT_ROWS = 16 };              /* rows of logits at once, for those who want more than the last */

/* ---- Memory: one walk, measured, then placed ---- */

static void take(vlm_arena *dev, vlm_arena *host, const vlm_model *m, int64_t positions, vlm_session *s) {
    const vlm_lm_config *c = &m->net->lm.cfg;
    int64_t chunk = positions < VLM_CHUNK ? positions : VLM_CHUNK;
    vlm_kvcache_take(dev, host, c, s->kv_type, positions, chunk, &s->kv);
    vlm_lm_take(dev, host, c, chunk, 1, VLM_SAVE_NOTHING, &s->acts);
    VLM_TAKE(dev, s->logits_dev, c->V);
    VLM_TAKE(host, s->logits, c->V);
    VLM_TAKE(host, s->ids, positions);
}
size_t vlm_session_bytes(const vlm_model *m, int64_t positions, vlm_dtype kv_type) {
    vlm_arena dev = { 0 }, host = { 0 };
    vlm_session s = { .kv_type = kv_type };
    if (!m->net->language) return 0;
    take(&dev, &host, m, positions, &s);
    return dev.peak + host.peak + (size_t)m->net->lm.cfg.V * (sizeof(vlm_candidate) + 2);
}

/* The old cache's blocks into the new one: positions lie where they say, in both. */
static void move_cache(vlm_session *to, const vlm_session *from) {
    const vlm_ops *ops = &to->m->net->ops;
    const vlm_lm_config *c = &to->m->net->lm.cfg;
    int64_t floats = vlm_kv_bytes(to->kv.type, VLM_KEY_BLOCK, c->G, c->Dh) / (int64_t)sizeof(float);
    for (int64_t l = 0; l < c->L; l++) {
        const vlm_kv *a = &from->kv.layer[l], *b = &to->kv.layer[l];
        int64_t rows = a->rows < from->kv.len ? a->rows : from->kv.len, blocks = (rows + VLM_KEY_BLOCK - 1) / VLM_KEY_BLOCK;
        ops->copy_forward(to->ctx, (act *)(void *)b->k, floats, (const act *)(const void *)a->k, floats, blocks, floats);
        ops->copy_forward(to->ctx, (act *)(void *)b->v, floats, (const act *)(const void *)a->v, floats, blocks, floats);
    }
    memcpy(to->ids, from->ids, (size_t)from->kv.len * sizeof *to->ids);
    memcpy(to->logits, from->logits, (size_t)c->V * sizeof(float));
    to->kv.len = from->kv.len;
}

vlm_status vlm_session_reserve(vlm_session *s, int64_t positions) {
    const vlm_model *m = s->m;
    if (!m->net->language) return vlm_fail(VLM_EARG, m->net->dir, "is a vision encoder and has no context; make a VLM of it with vlm new");
    if (positions > m->context)
        return vlm_fail(VLM_ECONTEXT, m->net->dir, "needs %" PRId64 " positions, but the context has %" PRId64 "; "
                        "use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context",
                        positions, m->context);
    if (positions <= s->kv.room) return VLM_OK;
    if (positions < s->kv.room + s->kv.room / 2) positions = s->kv.room + s->kv.room / 2;      /* token by token: few moves */
    int64_t room = (positions + 255) / 256 * 256;
    if (room > m->context) room = m->context;
    vlm_session n = *s;
    vlm_arena dev = { 0 }, host = { 0 };
    n.kv = (vlm_kvcache){ 0 };
    take(&dev, &host, m, room, &n);
    n.dev_bytes = dev.peak;
    n.host_bytes = host.peak;
    n.dev = dev.overflow ? NULL : m->net->ops.alloc(n.dev_bytes);
    n.host = host.overflow ? NULL : malloc(n.host_bytes + 64);
    if (!n.dev || !n.host) {
        if (n.dev) m->net->ops.free(n.dev, n.dev_bytes);
        free(n.host);
        return vlm_fail_memory("the context", dev.peak + host.peak);
    }
    dev = (vlm_arena){ .base = n.dev, .size = n.dev_bytes };
    host = (vlm_arena){ .base = n.host, .size = n.host_bytes };
    take(&dev, &host, m, room, &n);
    n.kv.len = 0;
    if (s->dev) {
        move_cache(&n, s);
        m->net->ops.sync(s->ctx);
        m->net->ops.free(s->dev, s->dev_bytes);
        free(s->host);
    }
    *s = n;
    return VLM_OK;
}

vlm_status vlm_kv_type(const char *name, vlm_dtype *type) {
    if (!name || !strcmp(name, "f32")) *type = VLM_F32;
    else if (!strcmp(name, "f16"))     *type = VLM_F16;
    else if (!strcmp(name, "int8"))    *type = VLM_I8;
    else return vlm_fail(VLM_EARG, "kv", "is no type of a cache: %s; use f32, f16 or int8", name);
    return VLM_OK;
}

vlm_status vlm_session_open(const vlm_model *m, const vlm_session_options *options, vlm_session **out) {
    if (!m || !out) return vlm_fail(VLM_EARG, "vlm_session_open", "model or out is NULL; give both");
    if (options && (options->threads < 0 || options->threads > VLM_MAX_THREADS || options->answer_tokens < 0))
        return vlm_fail(VLM_EARG, "vlm_session_open", "threads or answer_tokens is negative, or threads over %d; 0 means the default",
                        VLM_MAX_THREADS);
    vlm_dtype kv_type;
    TRY(vlm_kv_type(options ? options->kv : NULL, &kv_type));
    int threads = options && options->threads > 0 ? options->threads : vlm_cores();
    vlm_session *s = calloc(1, sizeof *s);
    if (!s) return vlm_fail_memory("the session", sizeof *s);
    s->m = m;
    s->kv_type = kv_type;
    s->answer_tokens = options && options->answer_tokens > 0 ? options->answer_tokens : 512;
    vlm_rng_seed(&s->rng, options ? options->seed : 0);
    vlm_status status = VLM_OK;
    if (!(s->ctx = vlm_ctx_open(threads, VLM_SCRATCH_BYTES))) status = vlm_fail_memory("the threads", (size_t)threads * VLM_SCRATCH_BYTES);
    else if (m->net->language) status = vlm_sampler_init(&s->sampler, m->net->lm.cfg.V, m->known);
    if (status) { vlm_session_close(s); return status; }
    *out = s;
    return VLM_OK;
}
void vlm_session_close(vlm_session *s) {
    if (!s) return;
    if (s->dev) s->m->net->ops.free(s->dev, s->dev_bytes);
    free(s->host);
    vlm_chat_close(s->chat);
    vlm_sampler_free(&s->sampler);
    vlm_ctx_close(s->ctx);
    free(s);
}
void vlm_session_reset(vlm_session *s) {
    s->kv.len = 0;
    s->has_logits = false;
    s->reused_images = s->reused_positions = 0;
    vlm_chain_begin(&s->chain, NULL);
    vlm_chat_close(s->chat);
    s->chat = NULL;
    s->fed = 0;
    s->asked = s->lost = false;
}
int64_t vlm_session_position(const vlm_session *s) { return s->kv.len; }
const float *vlm_logits(const vlm_session *s) { return s->has_logits ? s->logits : NULL; }

/* ---- Prefill ---- */

/* Projected rows of all images, in order: a cursor over them. */
typedef struct rows { const vlm_features *f; int64_t image, row; } rows;
static int64_t rows_total(const vlm_features *f) {
    int64_t n = 0;
    for (int64_t i = 0; f && i < f->n; i++) n += f->image[i].plan.image_tokens;
    return n;
}
/* Image tokens among ids[0..T) take the next rows. A run may go on in the next chunk. */
static void splice(vlm_session *s, const int64_t *ids, int64_t T, rows *at) {
    int64_t D = s->m->net->lm.cfg.D, token = s->m->image_token;
    for (int64_t t = 0, n; t < T; t += n) {
        n = 1;
        if (ids[t] != token || !at->f) continue;
        while (at->row == at->f->image[at->image].plan.image_tokens) at->image++, at->row = 0;
        int64_t left = at->f->image[at->image].plan.image_tokens - at->row;
        while (n < left && t + n < T && ids[t + n] == token) n++;
        const float *from = at->f->image[at->image].tokens + at->row * D;
        s->m->net->ops.upload(s->ctx, act_at(s->acts.x, t * D), from, (size_t)(n * D) * sizeof(float));
        at->row += n;
    }
}

static vlm_status check_ids(const vlm_session *s, const int64_t *ids, size_t n, const vlm_features *f) {
    int64_t places = 0, want = rows_total(f), V = s->m->net->lm.cfg.V;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= V)
            return vlm_fail(VLM_EARG, "ids", "hold %" PRId64 ", but the model knows 0 to %" PRId64 "; use its own tokenizer",
                            ids[i], V - 1);
        places += ids[i] == s->m->image_token;
    }
    if (f && f->m != s->m) return vlm_fail(VLM_EARG, "features", "are another model's; encode with a session of this one");
    if (f && f->n && !s->m->net->vision) return vlm_fail(VLM_EARG, "features", "are none of this model's; it sees no images");
    if (places != want)
        return vlm_fail(VLM_EARG, "ids", "hold %" PRId64 " image tokens for %" PRId64 " rows of features; each row takes one",
                        places, want);
    return VLM_OK;
}

/* A row of h as logits, through the one buffer. */
static void row_logits(vlm_session *s, int64_t row) {
    const vlm_net *net = s->m->net;
    vlm_lm_logits(s->ctx, &net->ops, &net->lm, s->logits_dev, act_at(s->acts.h, row * net->lm.cfg.D), 1);
    net->ops.download(s->ctx, s->logits, s->logits_dev, (size_t)net->lm.cfg.V * sizeof(float));
    net->ops.sync(s->ctx);
}
/* Logits of T rows, some at a time: the head is read once for all of them. */
static vlm_status show_logits(vlm_session *s, int64_t row, int64_t T, const vlm_observer *o) {
    const vlm_net *net = s->m->net;
    int64_t V = net->lm.cfg.V, most = T < LOGIT_ROWS ? T : LOGIT_ROWS;
    size_t bytes = (size_t)(most * V) * sizeof(float);
    act *dev = net->ops.alloc(bytes);
    float *host = malloc(bytes);
    vlm_status status = dev && host ? VLM_OK : vlm_fail_memory("logits", 2 * bytes);
    for (int64_t t = 0, n; !status && t < T; t += n) {
        n = T - t < most ? T - t : most;
        vlm_lm_logits(s->ctx, &net->ops, &net->lm, dev, act_at(s->acts.h, t * net->lm.cfg.D), n);
        net->ops.download(s->ctx, host, dev, (size_t)(n * V) * sizeof(float));
        net->ops.sync(s->ctx);
        status = o->logits(o->user, row + t, n, host);
    }
    if (dev) net->ops.free(dev, bytes);
    free(host);
    return status;
}
static vlm_status show(vlm_session *s, vlm_status (*fn)(void *, int64_t, int64_t, const float *), void *user, const act *x,
                       int64_t row, int64_t T) {
    size_t bytes = (size_t)(T * s->m->net->lm.cfg.D) * sizeof(float);
    float *f = malloc(bytes + 1);
    if (!f) return vlm_fail_memory("a stage", bytes);
    s->m->net->ops.download(s->ctx, f, x, bytes);
    s->m->net->ops.sync(s->ctx);
    vlm_status status = fn(user, row, T, f);
    free(f);
    return status;
}

/* ---- What is kept of prompts ---- */

/* What stands at the cursor, which moves on, if the id is an image's; else NULL. */
static const float *next_row(const vlm_session *s, int64_t id, rows *at) {
    if (id != s->m->image_token || !at->f) return NULL;
    while (at->row == at->f->image[at->image].plan.image_tokens) at->image++, at->row = 0;
    return at->f->image[at->image].tokens + at->row++ * s->m->net->lm.cfg.D;
}
/* The first of the n rows to come, as far as they are kept in whole blocks; not the last one, whose logits are wanted. Returns how many. */
static int64_t recall(vlm_session *s, const int64_t *ids, int64_t n, rows *at) {
    const vlm_reuse *r = s->m->reuse;
    int64_t blocks = 0, inside = s->kv.len % VLM_REUSE_ROWS, D = s->m->net->lm.cfg.D;
    vlm_chain c = s->chain;
    rows look = *at;
    unsigned char (*key)[VLM_STORE_KEY] = malloc((size_t)(n / VLM_REUSE_ROWS + 1) * sizeof *key);
    for (int64_t t = 0; key && t < n - 1; t++) {
        const float *row = next_row(s, ids[t], &look);
        if (!vlm_chain_add(r, &c, ids[t], row, D)) continue;
        if (!vlm_reuse_has_block(r, c.key)) break;
        memcpy(key[blocks++], c.key, sizeof *key);
    }
    if (blocks) blocks = vlm_reuse_get_blocks(s, (const unsigned char (*)[VLM_STORE_KEY])key, blocks, s->kv.len - inside);
    int64_t done = blocks ? blocks * VLM_REUSE_ROWS - inside : 0;
    for (int64_t t = 0; t < done; t++) next_row(s, ids[t], at);
    if (blocks) vlm_chain_begin(&s->chain, key[blocks - 1]);
    memcpy(s->ids + s->kv.len, ids, (size_t)done * sizeof *ids);
    s->kv.len += done;
    free(key);
    return done;
}
/* T rows that have gone through; their blocks are kept, if `keep`. */
static void remember(vlm_session *s, const int64_t *ids, int64_t T, rows *at, bool keep) {
    for (int64_t t = 0; t < T; t++) {
        const float *row = next_row(s, ids[t], at);
        if (vlm_chain_add(s->m->reuse, &s->chain, ids[t], row, s->m->net->lm.cfg.D) && keep)
            vlm_reuse_put_block(s, s->chain.key, s->kv.len - T + t + 1 - VLM_REUSE_ROWS);
    }
}

vlm_status vlm_prefill_observed(vlm_session *s, const int64_t *ids, size_t count, const vlm_features *features, const vlm_observer *o) {
    const vlm_net *net = s->m->net;
    int64_t n = (int64_t)count, before = s->kv.len;
    vlm_status status = VLM_OK;
    rows at = { .f = features };
    if (!n) return rows_total(features) ? vlm_fail(VLM_EARG, "ids", "are none; features need image tokens to go to") : VLM_OK;
    if (!net->language) return vlm_fail(VLM_EARG, net->dir, "is a vision encoder and takes no text; make a VLM of it with vlm new");
    TRY(check_ids(s, ids, count, features));
    TRY(vlm_session_reserve(s, before + n));
    vlm_chain chain = s->chain;
    int64_t kept = s->m->reuse && !o && n > 1 ? recall(s, ids, n, &at) : 0;
    rows chained = at;
    s->reused_positions += kept;
    for (int64_t t = kept, T; t < n; t += T) {
        T = n - t < s->kv.chunk ? n - t : s->kv.chunk;
        vlm_lm_embed(s->ctx, &net->ops, &net->lm, ids + t, T, &s->acts);
        splice(s, ids + t, T, &at);
        if (o && o->embed) TRY_DONE(show(s, o->embed, o->user, s->acts.x, t, T));
        vlm_lm_extend(s->ctx, &net->ops, &net->lm, T, &s->kv, &s->acts);
        if (o && o->hidden) TRY_DONE(show(s, o->hidden, o->user, s->acts.h, t, T));
        if (o && o->logits) TRY_DONE(show_logits(s, t, T, o));
        memcpy(s->ids + before + t, ids + t, (size_t)T * sizeof *ids);
        if (s->m->reuse) remember(s, ids + t, T, &chained, !o && n > 1);
        if (n > s->kv.chunk) TRY_DONE(vlm_progress("tokens", t + T, n));
        if (t + T == n) row_logits(s, T - 1);
    }
    s->has_logits = true;
done:
    /* Only a stop comes here half-way. The rows are given back; but where rings were written over beyond one chunk, all is gone. */
    if (status && s->kv.len - before > s->kv.chunk && net->lm.cfg.window) vlm_session_reset(s);
    else if (status) s->kv.len = before, s->chain = chain;
    return status;
}
vlm_status vlm_prefill(vlm_session *s, const int64_t *ids, size_t n, const vlm_features *features) {
    if (!s || (!ids && n)) return vlm_fail(VLM_EARG, "vlm_prefill", "session or ids are NULL; give both");
    return vlm_prefill_observed(s, ids, n, features, NULL);
}

/* ---- Likelihood ---- */

typedef struct likelihood { const vlm_model *m; const int64_t *ids; double *logp; } likelihood;
/* Row r of the call sees ids up to r and says how likely the next one is. */
static vlm_status on_logits(void *user, int64_t row, int64_t rows, const float *l) {
    likelihood *k = user;
    int64_t V = k->m->net->lm.cfg.V;
    for (int64_t r = 0; r < rows; r++, l += V) {
        double most = l[0], sum = 0;
        for (int64_t v = 1; v < V; v++) if (l[v] > most) most = l[v];
        for (int64_t v = 0; v < V; v++) sum += exp(l[v] - most);
        double p = l[k->ids[row + r + 1]] - most - log(sum);
        if (!(p - p == 0))
            return vlm_fail(VLM_EFORMAT, k->m->net->dir, "gives NaN or infinite logits; its weights overflow, use sound ones or F32");
        k->logp[row + r + 1] = p;
    }
    return VLM_OK;
}
vlm_status vlm_continuation(vlm_session *s, const int64_t *ids, size_t n, double *logp) {
    likelihood k = { s->m, ids, logp };
    vlm_observer o = { .logits = on_logits, .user = &k };
    int64_t V = s->m->net->lm.cfg.V, before = s->kv.len;
    if (!s->has_logits) return vlm_fail(VLM_EARG, "vlm_continuation", "there are no logits yet; call vlm_prefill first");
    TRY(check_ids(s, ids, n, NULL));
    if (!n) return VLM_OK;
    TRY(on_logits(&k, -1, 1, s->logits));
    if (n == 1) return VLM_OK;
    float *kept = malloc((size_t)V * sizeof *kept);
    if (!kept) return vlm_fail_memory("logits", (size_t)V * sizeof *kept);
    memcpy(kept, s->logits, (size_t)V * sizeof *kept);
    vlm_chain chain = s->chain;
    vlm_status status = vlm_prefill_observed(s, ids, n - 1, NULL, &o);
    if (!status && s->kv.len - before > s->kv.chunk && s->m->net->lm.cfg.window) vlm_session_reset(s);     /* as in a stop */
    else if (!status) s->kv.len = before, s->chain = chain;
    if (s->has_logits) memcpy(s->logits, kept, (size_t)V * sizeof *kept);
    free(kept);
    return status;
}

vlm_status vlm_sample(vlm_session *s, const vlm_sampling *sampling, int64_t *id) {
    static const vlm_sampling greedy;
    if (!s || !id) return vlm_fail(VLM_EARG, "vlm_sample", "session or id is NULL; give both");
    if (!s->has_logits) return vlm_fail(VLM_EARG, "vlm_sample", "there are no logits yet; call vlm_prefill first");
    TRY(vlm_sampling_check(sampling ? sampling : &greedy));
    return vlm_sampler_draw(&s->sampler, sampling ? sampling : &greedy, s->logits, s->ids, s->kv.len, &s->rng, id);
}

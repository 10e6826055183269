/* Sessions: the same bits however the work is cut (pictures in batches, prompts in pieces, threads, sessions side by side, a cache that
   grows and closes its rings), conversations, stops, streaming, and what a wrong call leaves behind: nothing. */
#include "tiny.h"
#include "infer/session.h"
#include <math.h>
#include <pthread.h>

static vlm_session *session_with(const vlm_model *m, int threads, uint64_t seed, const char *kv) {
    vlm_session *s = NULL;
    assert_ok(vlm_session_open(m, &(vlm_session_options){ .threads = threads, .seed = seed, .kv = kv }, &s));
    s->ctx->eager = true;
    return s;
}
static vlm_session *session_of(const vlm_model *m, int threads, uint64_t seed) { return session_with(m, threads, seed, NULL); }
static uint32_t lcg = 1;
static int64_t random_below(int64_t n) { lcg = lcg * 1664525u + 1013904223u; return (int64_t)(lcg >> 8) % n; }
static vlm_image *picture(const vlm_model *m, int64_t h, int64_t w) {
    uint8_t *rgb = malloc((size_t)(h * w * 3));
    vlm_image *image = NULL;
    assert_non_null(rgb);
    for (int64_t i = 0; i < h * w * 3; i++) rgb[i] = (uint8_t)random_below(256);
    assert_ok(vlm_image_from_rgb(m, rgb, w, h, &image));
    free(rgb);
    return image;
}
static void same_features(const vlm_model *m, const vlm_seen *a, const vlm_seen *b) {
    assert_int_equal(a->plan.image_tokens, b->plan.image_tokens);
    assert_memory_equal(a->patches, b->patches, (size_t)(a->plan.n * a->patch_len) * sizeof(float));
    assert_memory_equal(a->prefix, b->prefix, (size_t)(a->plan.n * a->prefix_len) * sizeof(float));
    if (a->tokens) assert_memory_equal(a->tokens, b->tokens, (size_t)(a->plan.image_tokens * m->net->lm.cfg.D) * sizeof(float));
}

/* ---- Pictures ---- */

static void features_alone_and_in_company(void **state) {
    (void)state;
    static const int64_t size[][2] = { { 32, 32 }, { 32, 64 }, { 32, 256 }, { 32, 1024 }, { 1024, 32 }, { 1, 1 }, { 33, 31 }, { 250, 97 },
        { 7, 900 }, { 64, 32 }, { 160, 192 }, { 32, 96 } };
    enum { N = sizeof size / sizeof *size };
    vlm_image *image[N];
    const vlm_image *mixed[N];
    vlm_features *alone[N], *all = NULL;
    vlm_session *one = session_of(tiny, 1, 0);
    for (int i = 0; i < N; i++) {
        image[i] = picture(tiny, size[i][0], size[i][1]);
        assert_ok(vlm_encode(one, (const vlm_image *const *)&image[i], 1, &alone[i]));
    }
    for (int round = 0; round < 4; round++) {
        int order[N];
        vlm_session *s = session_of(tiny, round + 1, 9);
        for (int i = 0; i < N; i++) order[i] = i;
        for (int i = N - 1; round && i > 0; i--) { int k = (int)random_below(i + 1), t = order[i]; order[i] = order[k], order[k] = t; }
        for (int i = 0; i < N; i++) mixed[i] = image[order[i]];
        assert_ok(vlm_encode(s, mixed, N, &all));
        for (int i = 0; i < N; i++) same_features(tiny, &alone[order[i]]->image[0], &all->image[i]);
        vlm_features_free(all);
        vlm_session_close(s);
    }
    int64_t h, w, tokens;
    vlm_features_grid(alone[3], 0, 0, &h, &w);
    assert_true(h == 2 && w == 64 && vlm_features_tiles(alone[3], 0) == 1);
    assert_non_null(vlm_features_tokens(alone[3], 0, &tokens));
    assert_int_equal(tokens, 32);
    for (int i = 0; i < N; i++) vlm_features_free(alone[i]), vlm_image_free(image[i]);
    vlm_session_close(one);
}
static void tiles_alone_and_in_company(void **state) {
    (void)state;
    static const char *const names[] = { "vlm_siglip_up", "vlm_siglip_fork", "siglip", "dinov2", "dinov2_reg", "dinov3_7b" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char dir[256];
        vlm_model *m;
        vlm_image *image[4];
        vlm_features *all, *one;
        snprintf(dir, sizeof dir, "tests/golden/models/%s", names[k]);
        assert_ok(vlm_model_open(dir, NULL, &m));
        vlm_session *a = session_of(m, 1, 0), *b = session_of(m, 3, 0);
        for (int i = 0; i < 4; i++) image[i] = picture(m, 1 + random_below(60), 1 + random_below(60));
        assert_ok(vlm_encode(b, (const vlm_image *const *)image, 4, &all));
        for (int i = 0; i < 4; i++) {
            assert_ok(vlm_encode(a, (const vlm_image *const *)&image[i], 1, &one));
            same_features(m, &one->image[0], &all->image[i]);
            vlm_features_free(one);
            vlm_image_free(image[i]);
        }
        vlm_features_free(all);
        vlm_session_close(a);
        vlm_session_close(b);
        vlm_model_close(m);
    }
}

/* ---- Prompts in pieces ---- */

enum { LONG = 1500 };
static int64_t ids[LONG];
static void some_ids(const vlm_model *m) {
    int64_t V = m->net->lm.cfg.V;
    for (int i = 0; i < LONG; i++) do ids[i] = random_below(V < 250 ? V : 250); while (ids[i] == m->image_token);
}
static void same_in_pieces(const vlm_model *m, int64_t n, int rounds, const char *kv) {
    size_t bytes = (size_t)m->net->lm.cfg.V * sizeof(float);
    vlm_session *whole = session_with(m, 2, 0, kv);
    some_ids(m);
    assert_ok(vlm_session_reserve(whole, n));
    assert_ok(vlm_prefill(whole, ids, (size_t)n, NULL));
    for (int round = 0; round < rounds; round++) {
        static const int64_t most[] = { 700, 40, 3, 130 };
        vlm_session *s = session_with(m, 1 + round % 3, 0, kv);
        for (int64_t at = 0, k; at < n; at += k) {
            k = 1 + random_below(most[round % 4]);
            if (k > n - at) k = n - at;
            assert_ok(vlm_prefill(s, ids + at, (size_t)k, NULL));
            assert_int_equal(vlm_session_position(s), at + k);
        }
        assert_memory_equal(vlm_logits(s), vlm_logits(whole), bytes);
        vlm_session_close(s);
    }
    /* a reset session begins like a new one */
    vlm_session *s = session_with(m, 1, 0, kv);
    vlm_session_reset(whole);
    assert_null(vlm_logits(whole));
    assert_ok(vlm_prefill(whole, ids + 5, 40, NULL));
    assert_ok(vlm_prefill(s, ids + 5, 40, NULL));
    assert_memory_equal(vlm_logits(s), vlm_logits(whole), bytes);
    vlm_session_close(s);
    vlm_session_close(whole);
}
static void prefill_in_pieces(void **state) {
    (void)state;
    vlm_model *m;
    same_in_pieces(tiny, 1100, 2, NULL);
    const char *d = folder("gemma3");          /* window 12: with this context the sliding layers are rings of 768 rows */
    set_key("config.json", "max_position_embeddings", "4096");
    assert_ok(vlm_model_open(d, NULL, &m));
    same_in_pieces(m, LONG, 4, NULL);
    same_in_pieces(m, 513, 4, NULL);
    same_in_pieces(m, 600, 4, NULL);
    vlm_session *s = session_of(m, 1, 0);
    assert_ok(vlm_session_reserve(s, LONG));
    assert_true(s->kv.layer[0].ring > 0 && s->kv.layer[0].ring < LONG && s->kv.layer[5].ring == 0);
    vlm_session_close(s);
    vlm_model_close(m);
}

/* The context in 2 bytes and in one: the same bits however the prompt is cut, in rings too; so far from the logits of F32; so much
   smaller. */
static void kv_types(void **state) {
    (void)state;
    vlm_model *m;
    const char *d = folder("gemma3");
    set_key("config.json", "max_position_embeddings", "4096");
    assert_ok(vlm_model_open(d, NULL, &m));
    const struct { const vlm_model *m; const char *name, *kv; double kl, off; } each[] = {
        { tiny, "llama", "f32", 0, 0 }, { tiny, "llama", "f16", 1e-8, 5e-4 }, { tiny, "llama", "int8", 3e-6, 1e-2 },
        { m, "gemma", "f32", 0, 0 }, { m, "gemma", "f16", 1e-7, 2e-3 }, { m, "gemma", "int8", 3e-4, 1e-1 } };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        const vlm_model *n = each[i].m;
        int64_t V = n->net->lm.cfg.V;
        vlm_dtype type;
        vlm_session *s = session_with(n, 2, 0, each[i].kv), *exact = session_of(n, 2, 0);
        if (i % 3) same_in_pieces(n, 1100, 3, each[i].kv);
        some_ids(n);
        assert_ok(vlm_prefill(s, ids, LONG, NULL));
        assert_ok(vlm_prefill(exact, ids, LONG, NULL));
        const float *a = vlm_logits(s), *b = vlm_logits(exact);
        double p = 0, q = 0, kl = 0, off = 0, rms = 0;
        for (int64_t v = 0; v < V; v++) {
            p += exp(a[v]), q += exp(b[v]), rms += (double)b[v] * b[v] / (double)V;
            off = fmax(off, fabs(a[v] - b[v]));
        }
        for (int64_t v = 0; v < V; v++) kl += exp(b[v]) / q * (b[v] - log(q) - a[v] + log(p));
        print_message("%s, a cache of %s, %d positions: KL to f32 %.1e, largest error of a logit %.1e (rms of logits %.2f)\n", each[i].name,
                      each[i].kv, LONG, kl, off, sqrt(rms));
        assert_true(kl <= each[i].kl + 1e-12 && off <= each[i].off);
        assert_true((off > 0) == (i % 3 > 0));
        assert_ok(vlm_kv_type(each[i].kv, &type));
        size_t bytes = vlm_session_bytes(n, 4096, type), full = vlm_session_bytes(n, 4096, VLM_F32), cache = 0;
        for (int64_t l = 0; l < n->net->lm.cfg.L; l++)
            cache += 2 * (size_t)vlm_kv_bytes(VLM_F32, exact->kv.layer[l].ring ? exact->kv.layer[l].ring : 4096, n->net->lm.cfg.G,
                                              n->net->lm.cfg.Dh);
        assert_true(full - bytes == (type == VLM_F32 ? 0 : type == VLM_F16 ? cache / 2 : cache - cache / 4 - cache /
                                     (size_t)((n->net->lm.cfg.Dh + 31) / 32 * 32)));
        vlm_session_close(s);
        vlm_session_close(exact);
    }
    vlm_session *none = NULL;
    assert_failure(vlm_session_open(tiny, &(vlm_session_options){ .kv = "int4" }, &none), VLM_EARG, "kv", "int4; use f32, f16 or int8");
    vlm_model_close(m);
}

/* Whole samples side by side without a cache (as training runs them): the bits of a cache. */
static void segments(void **state) {
    (void)state;
    static const char *const names[] = { "llama", "gemma3", "llama_bf16" };
    for (int k = 0; k < 3; k++) {
        char dir[256];
        vlm_model *m;
        snprintf(dir, sizeof dir, "tests/golden/models/%s", names[k]);
        assert_ok(vlm_model_open(dir, NULL, &m));
        const vlm_net *net = m->net;
        const vlm_segment segs[] = { { 0, 17 }, { 17, 1 }, { 18, 90 } };
        vlm_arena dev = { 0 }, host = { 0 };
        vlm_lm_acts a;
        int64_t D = net->lm.cfg.D;
        some_ids(m);
        vlm_lm_take(&dev, &host, &net->lm.cfg, 108, 3, VLM_SAVE_NOTHING, &a);
        dev = (vlm_arena){ .base = net->ops.alloc(dev.peak), .size = dev.peak };
        host = (vlm_arena){ .base = aligned_alloc(64, host.peak), .size = host.peak };
        vlm_lm_take(&dev, &host, &net->lm.cfg, 108, 3, VLM_SAVE_NOTHING, &a);
        assert_false(dev.overflow || host.overflow);
        vlm_session *s = session_of(m, 2, 0);
        vlm_lm_embed(s->ctx, &net->ops, &net->lm, ids, 108, &a);
        vlm_lm_forward(s->ctx, &net->ops, &net->lm, segs, 3, &a);
        for (int i = 0; i < 3; i++) {
            vlm_session_reset(s);
            assert_ok(vlm_prefill(s, ids + segs[i].row, (size_t)segs[i].rows, NULL));
            assert_memory_equal(act_at(s->acts.h, (segs[i].rows - 1) * D), act_at(a.h, (segs[i].row + segs[i].rows - 1) * D),
                (size_t)D * sizeof(float));
        }
        net->ops.free(dev.base, dev.size);
        free(host.base);
        vlm_session_close(s);
        vlm_model_close(m);
    }
}

static float *side_logits[2];
static void *side(void *arg) {
    int k = (int)(intptr_t)arg;
    vlm_session *s = NULL;
    int64_t id;
    if (vlm_session_open(tiny, &(vlm_session_options){ .threads = 2, .seed = 3 }, &s)) return NULL;
    if (!vlm_prefill(s, ids + 100 * k, 300, NULL)) {
        for (int i = 0; i < 30; i++) if (vlm_sample(s, &(vlm_sampling){ .temperature = 1 }, &id) || vlm_prefill(s, &id, 1, NULL)) break;
        memcpy(side_logits[k], vlm_logits(s), (size_t)tiny->net->lm.cfg.V * sizeof(float));
    }
    vlm_session_close(s);
    return NULL;
}
static void two_sessions_at_once(void **state) {
    (void)state;
    size_t bytes = (size_t)tiny->net->lm.cfg.V * sizeof(float);
    float *alone[2];
    pthread_t t[2];
    some_ids(tiny);
    for (int k = 0; k < 2; k++) side_logits[k] = calloc(1, bytes), alone[k] = malloc(bytes);
    for (int k = 0; k < 2; k++) side((void *)(intptr_t)k), memcpy(alone[k], side_logits[k], bytes), memset(side_logits[k], 0, bytes);
    for (int k = 0; k < 2; k++) assert_int_equal(pthread_create(&t[k], NULL, side, (void *)(intptr_t)k), 0);
    for (int k = 0; k < 2; k++) assert_int_equal(pthread_join(t[k], NULL), 0);
    for (int k = 0; k < 2; k++) assert_memory_equal(alone[k], side_logits[k], bytes);
    assert_memory_not_equal(alone[0], alone[1], bytes);
    for (int k = 0; k < 2; k++) free(side_logits[k]), free(alone[k]);
}

/* ---- Conversations ---- */

static void free_result(vlm_answer_result *r) { vlm_free(r->text); vlm_free(r->ids); *r = (vlm_answer_result){ 0 }; }

/* Two turns with answers between them are one text, read at once; pictures are encoded once. */
static void turns(void **state) {
    (void)state;
    vlm_session *s = session_of(tiny, 2, 1), *once = session_of(tiny, 1, 1);
    vlm_image *image = picture(tiny, 40, 100);
    vlm_features *f;
    vlm_answer_result r[2] = { { 0 } };
    vlm_chat *c;
    vlm_answer_options o = { .max_tokens = 12, .sampling = { .temperature = 1 } };
    assert_ok(vlm_encode(s, (const vlm_image *const *)&image, 1, &f));
    assert_ok(vlm_say(s, "Be brief.", f, "What is <|im_end|> this?"));
    assert_ok(vlm_answer(s, &o, &r[0]));
    assert_int_equal(r[0].prompt_tokens + r[0].n - (r[0].finish_reason[0] == 'l'), vlm_session_position(s));
    assert_failure(vlm_answer(s, &o, &r[1]), VLM_EARG, "vlm_answer", "has its answer");
    assert_ok(vlm_say(s, NULL, NULL, "And now? \xC3\xA9"));
    assert_ok(vlm_chat_open(tiny->tok, tiny->chat, &c));
    assert_ok(vlm_chat_begin(c, VLM_ROLE_SYSTEM));
    assert_ok(vlm_chat_text(c, "Be brief.", 9));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_begin(c, VLM_ROLE_USER));
    for (int64_t i = 0; i < f->image[0].plan.image_tokens; i++) assert_ok(vlm_chat_ids(c, &tiny->image_token, 1));
    assert_ok(vlm_chat_text(c, "What is <|im_end|> this?", 24));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_prompt(c));
    assert_int_equal(vlm_chat_out(c)->n, r[0].prompt_tokens);
    assert_ok(vlm_chat_ids(c, r[0].ids, (size_t)r[0].n));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_begin(c, VLM_ROLE_USER));
    assert_ok(vlm_chat_text(c, "And now? \xC3\xA9", 11));
    assert_ok(vlm_chat_end(c));
    assert_ok(vlm_chat_prompt(c));
    const vlm_ids *all = vlm_chat_out(c);
    assert_int_equal(all->n, vlm_session_position(s));
    assert_memory_equal(all->id, s->ids, all->n * sizeof *all->id);
    assert_ok(vlm_prefill(once, all->id, all->n, f));
    assert_memory_equal(vlm_logits(once), vlm_logits(s), (size_t)tiny->net->lm.cfg.V * sizeof(float));
    assert_ok(vlm_answer(s, &o, &r[1]));
    for (int64_t i = 0; i < r[1].n; i++) assert_int_not_equal(r[1].ids[i], tiny->image_token);
    assert_failure(vlm_say(s, "late", NULL, "x"), VLM_EARG, "chat", "system");
    assert_failure(vlm_say(s, NULL, NULL, "not \xFF UTF-8"), VLM_EFORMAT, "", "");
    assert_failure(vlm_answer(s, NULL, NULL), VLM_EARG, "vlm_answer", "has its answer");
    int64_t at = vlm_session_position(s);
    assert_ok(vlm_say(s, NULL, NULL, "x"));                                /* what failed was never said */
    assert_true(vlm_session_position(s) > at);
    assert_failure(vlm_say(s, NULL, NULL, "y"), VLM_EARG, "", "");         /* and x waits for its answer */
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 1 }, NULL));
    vlm_session_reset(s);
    assert_ok(vlm_say(s, NULL, NULL, "Text only."));
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 2 }, NULL));
    vlm_session_reset(s);
    assert_failure(vlm_say(s, NULL, NULL, "not \xFF UTF-8"), VLM_EFORMAT, "", "");
    vlm_session_reset(s);
    assert_ok(vlm_prefill(s, ids, 3, NULL));
    assert_failure(vlm_say(s, NULL, NULL, "x"), VLM_EARG, "vlm_say", "other tokens");
    for (int i = 0; i < 2; i++) free_result(&r[i]);
    vlm_chat_close(c);
    vlm_features_free(f);
    vlm_image_free(image);
    vlm_session_close(s);
    vlm_session_close(once);
}

/* A turn whose answer is given is one that has been answered. */
static void told_turns(void **state) {
    (void)state;
    static const char want[] = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
                               "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n";
    vlm_session *s = session_of(tiny, 1, 1);
    char *text;
    size_t bytes;
    assert_ok(vlm_session_told(s, NULL, NULL, "a", "b"));
    assert_failure(vlm_answer(s, NULL, NULL), VLM_EARG, "vlm_answer", "has its answer");
    assert_ok(vlm_say(s, NULL, NULL, "c"));
    assert_ok(vlm_tokenizer_decode(tiny->tok, s->ids, (size_t)vlm_session_position(s), false, &text, &bytes));
    assert_int_equal(bytes, sizeof want - 1);
    assert_memory_equal(text, want, bytes);
    free(text);
    assert_failure(vlm_session_told(s, NULL, NULL, "d", NULL), VLM_EARG, "vlm_session_told", "NULL");
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 1 }, NULL));  /* what failed was never said */
    vlm_session_close(s);
}

typedef struct stream { char text[4096]; size_t n; int calls, stop_after; } stream;
static int on_text(void *user, const char *text, size_t bytes) {
    stream *s = user;
    assert_true(bytes > 0 && s->n + bytes < sizeof s->text);
    assert_true(((unsigned char)text[0] & 0xC0) != 0x80);                  /* whole characters */
    memcpy(s->text + s->n, text, bytes);
    s->n += bytes;
    return ++s->calls == s->stop_after;
}
static vlm_answer_result answer(const vlm_answer_options *how, stream *out) {
    vlm_session *s = session_of(tiny, 1, 11);
    vlm_answer_options o = *how;
    vlm_answer_result r = { 0 };
    *out = (stream){ .stop_after = out->stop_after };
    o.on_text = on_text;
    o.user = out;
    assert_ok(vlm_prefill(s, ids, 20, NULL));
    assert_ok(vlm_answer(s, &o, &r));
    assert_int_equal(r.text[r.text_bytes], 0);
    assert_int_equal(r.prompt_tokens, 20);
    vlm_session_close(s);
    return r;
}
/* Every piece of what the model writes as a stop string: it and all behind it is never seen, not even in part. */
static void stop_strings(void **state) {
    (void)state;
    vlm_answer_options o = { .max_tokens = 30, .sampling = { .temperature = 1 } };
    stream st = { .stop_after = 0 };
    char stop[16];
    const char *list[] = { "never there, so long that it holds everything back", stop, "" };
    some_ids(tiny);
    vlm_answer_result whole = answer(&o, &st), r;
    assert_string_equal(whole.finish_reason, "length");
    assert_int_equal(whole.n, 30);
    assert_true(whole.text_bytes > 10 && st.n == whole.text_bytes && !memcmp(st.text, whole.text, st.n));
    o.stop = list;
    for (int stops = 0; stops < 4; stops++)
        for (size_t at = 0; at < whole.text_bytes; at += 2) {
            size_t len = 1 + (size_t)random_below(9), first = 0;
            if (at + len > whole.text_bytes) break;
            memcpy(stop, whole.text + at, len);
            stop[len] = 0;
            len = strlen(stop);
            if (!len || ((unsigned char)stop[0] & 0xC0) == 0x80) continue;             /* a NUL; half a character */
            while (memcmp(whole.text + first, stop, len)) first++;
            o.stop = stops % 2 ? list : list + 1;
            o.stops = stops % 2 ? 3 : 1;
            r = answer(&o, &st);
            assert_string_equal(r.finish_reason, "stop");
            assert_int_equal(r.text_bytes, first);
            assert_memory_equal(r.text, whole.text, first);
            assert_true(st.n == first && !memcmp(st.text, whole.text, first));
            free_result(&r);
        }
    o = (vlm_answer_options){ .max_tokens = 30, .sampling = { .temperature = 1 } };
    st.stop_after = 3;
    r = answer(&o, &st);
    assert_string_equal(r.finish_reason, "stopped");
    assert_true(st.calls == 3 && st.n == r.text_bytes && !memcmp(st.text, whole.text, st.n));
    free_result(&r);
    free_result(&whole);
}

static void why_it_ended(void **state) {
    (void)state;
    vlm_model *m;
    vlm_answer_result r = { 0 };
    const char *d = folder("llama");
    char *all = malloc(20000);
    size_t n = 0;
    assert_ok(vlm_model_open(d, &(vlm_model_options){ .context = 64 }, &m));
    some_ids(m);
    /* greedy answers of this model do not stop by themselves; the context does */
    vlm_session *s = session_of(m, 1, 0);
    assert_ok(vlm_prefill(s, ids, 50, NULL));
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = INT64_MAX }, &r));
    if (!strcmp(r.finish_reason, "length")) assert_int_equal(r.n, 15);     /* 14 fit, and the last one need not */
    else assert_true(r.n < 15);
    assert_true(vlm_session_position(s) <= 64);
    free_result(&r);
    vlm_session_close(s);
    vlm_model_close(m);
    n = (size_t)sprintf(all, "[0");
    for (int i = 1; i < 320; i++) n += (size_t)sprintf(all + n, ",%d", i);
    sprintf(all + n, "]");
    set_key("generation_config.json", "eos_token_id", all);                /* any id ends it */
    assert_ok(vlm_model_open(d, NULL, &m));
    s = session_of(m, 1, 0);
    assert_ok(vlm_prefill(s, ids, 5, NULL));
    assert_ok(vlm_answer(s, NULL, &r));
    assert_string_equal(r.finish_reason, "stop");
    assert_true(r.n == 0 && r.text_bytes == 0 && r.ids && vlm_session_position(s) == 5);
    free_result(&r);
    vlm_session_close(s);
    vlm_model_close(m);
    /* without a tokenizer there are ids, and no text */
    char cmd[700];
    snprintf(cmd, sizeof cmd, "rm '%s'/tokenizer*.json", d);
    assert_int_equal(system(cmd), 0);
    set_key("generation_config.json", "eos_token_id", "null");
    assert_ok(vlm_model_open(d, NULL, &m));
    s = session_of(m, 1, 0);
    assert_failure(vlm_say(s, NULL, NULL, "x"), VLM_EARG, "model", "tokenizer.json");
    assert_ok(vlm_prefill(s, ids, 5, NULL));
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 4 }, &r));
    assert_true(r.n == 4 && r.text_bytes == 0 && !strcmp(r.finish_reason, "length"));
    free_result(&r);
    vlm_session_close(s);
    vlm_model_close(m);
    free(all);
}

/* ---- Wrong calls ---- */

static void full_context(void **state) {
    (void)state;
    vlm_model *m;
    char text[200];
    float *before;
    assert_ok(vlm_model_open("tests/golden/models/vlm_dino", &(vlm_model_options){ .context = 100 }, &m));
    size_t bytes = (size_t)m->net->lm.cfg.V * sizeof(float);
    assert_failure(opens_as("tests/golden/models/vlm_dino", &(vlm_model_options){ .context = 257 }), VLM_EARG, "--context", "256");
    vlm_session *s = session_of(m, 1, 0);
    some_ids(m);
    assert_ok(vlm_prefill(s, ids, 90, NULL));
    before = malloc(bytes);
    memcpy(before, vlm_logits(s), bytes);
    assert_failure(vlm_prefill(s, ids, 11, NULL), VLM_ECONTEXT, "vlm_dino", "101 positions");
    assert_int_equal(vlm_session_position(s), 90);
    assert_memory_equal(before, vlm_logits(s), bytes);
    assert_ok(vlm_prefill(s, ids, 10, NULL));
    assert_failure(vlm_prefill(s, ids, 1, NULL), VLM_ECONTEXT, "", "context");
    vlm_session_reset(s);
    memset(text, 'a', sizeof text);
    text[199] = 0;
    assert_failure(vlm_say(s, NULL, NULL, text), VLM_ECONTEXT, "", "context");
    assert_int_equal(vlm_session_position(s), 0);
    vlm_session_reset(s);
    assert_ok(vlm_say(s, NULL, NULL, "Hi"));
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 3 }, NULL));
    free(before);
    vlm_session_close(s);
    vlm_model_close(m);
}

static void wrong_calls(void **state) {
    (void)state;
    vlm_session *s = session_of(tiny, 1, 0), *none = NULL;
    vlm_image *image = picture(tiny, 32, 64);
    vlm_features *f = NULL, *no = NULL;
    vlm_model *encoder, *llama;
    int64_t run[8], id = -7, T = tiny->image_token;
    assert_ok(vlm_encode(s, (const vlm_image *const *)&image, 1, &f));    /* two tokens */
    for (int i = 0; i < 8; i++) run[i] = T;
    some_ids(tiny);
    assert_failure(vlm_prefill(s, run, 1, f), VLM_EARG, "ids", "1 image tokens for 2 rows");
    assert_failure(vlm_prefill(s, run, 3, f), VLM_EARG, "ids", "3 image tokens for 2 rows");
    assert_failure(vlm_prefill(s, ids, 3, f), VLM_EARG, "ids", "0 image tokens for 2 rows");
    assert_failure(vlm_prefill(s, NULL, 0, f), VLM_EARG, "ids", "");
    assert_failure(vlm_prefill(s, run, 1, NULL), VLM_EARG, "ids", "1 image tokens for 0 rows");
    assert_failure(vlm_prefill(s, &(int64_t){ -1 }, 1, NULL), VLM_EARG, "ids", "-1");
    assert_failure(vlm_prefill(s, &(int64_t){ tiny->net->lm.cfg.V }, 1, NULL), VLM_EARG, "ids", "");
    assert_failure(vlm_prefill(s, &(int64_t){ INT64_MIN }, 1, NULL), VLM_EARG, "ids", "");
    assert_failure(vlm_prefill(NULL, ids, 1, NULL), VLM_EARG, "vlm_prefill", "NULL");
    assert_failure(vlm_prefill(s, NULL, 1, NULL), VLM_EARG, "vlm_prefill", "NULL");
    assert_failure(vlm_sample(s, NULL, &id), VLM_EARG, "vlm_sample", "no logits");
    assert_failure(vlm_answer(s, NULL, NULL), VLM_EARG, "vlm_answer", "nothing to answer");
    assert_failure(vlm_answer(NULL, NULL, NULL), VLM_EARG, "vlm_answer", "NULL");
    assert_failure(vlm_say(NULL, NULL, NULL, "x"), VLM_EARG, "vlm_say", "NULL");
    assert_failure(vlm_say(s, NULL, NULL, NULL), VLM_EARG, "vlm_say", "NULL");
    assert_failure(vlm_session_open(NULL, NULL, &none), VLM_EARG, "vlm_session_open", "NULL");
    assert_failure(vlm_encode(NULL, NULL, 0, &no), VLM_EARG, "vlm_encode", "NULL");
    assert_failure(vlm_encode(s, NULL, 1, &no), VLM_EARG, "vlm_encode", "NULL");
    assert_failure(vlm_encode(s, (const vlm_image *const[]){ image, NULL }, 2, &no), VLM_EARG, "vlm_encode", "images[1] is NULL");
    assert_failure(vlm_image_from_rgb(tiny, (const uint8_t *)"", 0, 1, &image), VLM_EARG, "vlm_image_from_rgb", "");
    assert_true(vlm_session_position(s) == 0 && !vlm_logits(s) && !no && !none && id == -7);
    assert_ok(vlm_prefill(s, NULL, 0, NULL));
    assert_ok(vlm_encode(s, NULL, 0, &no));
    vlm_features_free(no);
    no = NULL;
    assert_ok(vlm_prefill(s, run, 2, f));
    assert_failure(vlm_sample(s, &(vlm_sampling){ .temperature = -1 }, &id), VLM_EARG, "--temperature", "");
    assert_failure(vlm_answer(s, &(vlm_answer_options){ .sampling = { .top_p = 7 } }, NULL), VLM_EARG, "--top-p", "");
    assert_failure(vlm_answer(s, &(vlm_answer_options){ .max_tokens = -1 }, NULL), VLM_EARG, "--max-tokens", "");
    /* refused options cost a conversation nothing */
    vlm_session_reset(s);
    assert_ok(vlm_say(s, NULL, f, "x"));
    assert_failure(vlm_say(s, NULL, f, "y"), VLM_EARG, "vlm_say", "no answer yet");
    assert_failure(vlm_answer(s, &(vlm_answer_options){ .sampling = { .temperature = -1 } }, NULL), VLM_EARG, "--temperature", "");
    assert_ok(vlm_answer(s, &(vlm_answer_options){ .max_tokens = 2 }, NULL));
    assert_ok(vlm_say(s, NULL, NULL, "z"));
    assert_failure(vlm_session_open(tiny, &(vlm_session_options){ .threads = -1 }, &none), VLM_EARG, "vlm_session_open", "negative");
    vlm_session_reset(s);
    assert_ok(vlm_prefill(s, run, 2, f));
    assert_failure(vlm_answer(s, &(vlm_answer_options){ .stops = 1 }, NULL), VLM_EARG, "vlm_answer", "stop");
    assert_ok(vlm_sample(s, NULL, &id));
    vlm_session_close(s);
    /* another model's features: their rows have another width */
    vlm_model *other;
    assert_ok(vlm_model_open("tests/golden/models/vlm_dino", NULL, &other));
    s = session_of(other, 1, 0);
    assert_failure(vlm_say(s, NULL, f, "x"), VLM_EARG, "features", "another model's");
    assert_int_equal(vlm_session_position(s), 0);
    vlm_session_close(s);
    vlm_model_close(other);
    assert_failure(vlm_model_open("tests/golden/models/llama", &(vlm_model_options){ .context = -5 }, &other), VLM_EARG,
                   "vlm_model_open", "negative");
    /* half models */
    assert_ok(vlm_model_open("tests/golden/models/dinov3_s", NULL, &encoder));
    s = session_of(encoder, 1, 0);
    assert_failure(vlm_prefill(s, ids, 1, NULL), VLM_EARG, "dinov3_s", "takes no text");
    assert_failure(vlm_say(s, NULL, NULL, "x"), VLM_EARG, "dinov3_s", "");
    assert_ok(vlm_encode(s, (const vlm_image *const *)&image, 1, &no));
    int64_t tokens = -1;
    assert_null(vlm_features_tokens(no, 0, &tokens));
    assert_int_equal(tokens, 0);
    vlm_session_close(s);
    s = session_of(tiny, 1, 0);
    assert_true(vlm_prefill(s, run, 8, no) == VLM_EARG && vlm_session_position(s) == 0);       /* features of a bare encoder */
    vlm_session_close(s);
    vlm_features_free(no);
    assert_ok(vlm_model_open("tests/golden/models/llama", NULL, &llama));
    s = session_of(llama, 1, 0);
    no = NULL;
    assert_failure(vlm_encode(s, (const vlm_image *const *)&image, 1, &no), VLM_EARG, "llama", "sees no images");
    assert_null(no);
    vlm_session_close(s);
    vlm_model_close(encoder);
    vlm_model_close(llama);
    vlm_features_free(f);
    vlm_image_free(image);
    vlm_model_close(NULL);
    vlm_session_close(NULL);
    vlm_features_free(NULL);
    vlm_image_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_alone_and_in_company), cmocka_unit_test(tiles_alone_and_in_company), cmocka_unit_test(prefill_in_pieces),
            cmocka_unit_test(kv_types), cmocka_unit_test(segments),
        cmocka_unit_test(two_sessions_at_once), cmocka_unit_test(turns), cmocka_unit_test(told_turns),
            cmocka_unit_test(stop_strings), cmocka_unit_test(why_it_ended),
            cmocka_unit_test(full_context),
        cmocka_unit_test(wrong_calls),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

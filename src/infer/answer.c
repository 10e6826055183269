/* Conversations: turns become ids (io/chat), ids go into the cache, answers come out as text while they are drawn. */
#include "infer/session.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A user's turn ---- */

static vlm_status add_run(vlm_chat *c, int64_t id, int64_t n) {
    for (int64_t i = 0; i < n; i++) TRY(vlm_chat_ids(c, &id, 1));
    return VLM_OK;
}
/* The ids that stand for one image (docs/models.md): its tokens; or for each tile its name, then the tile's tokens. */
static vlm_status add_image(vlm_chat *c, const vlm_model *m, const vlm_image_plan *p) {
    int64_t tokens = p->tokens.h * p->tokens.w;
    if (m->rule.kind != VLM_RULE_TILES) return add_run(c, m->image_token, tokens);
    if (m->rule.global_tile) {         /* an image of one tile is all global */
        TRY(add_run(c, m->global_token, 1));
        TRY(add_run(c, m->image_token, tokens));
        if (p->n == 1) return VLM_OK;
    }
    if (p->rows > m->tile_rows || p->cols > m->tile_cols)
        return vlm_fail(VLM_ELIMIT, m->net->dir,
                        "the image has %" PRId64 " x %" PRId64 " tiles, but the tokenizer names %" PRId64 " x %" PRId64 "; "
                        "lower --max-size",
                        p->rows, p->cols, m->tile_rows, m->tile_cols);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t k = 0; k < p->cols; k++) {
            TRY(add_run(c, m->tile_token[r * m->tile_cols + k], 1));
            TRY(add_run(c, m->image_token, tokens));
        }
    return VLM_OK;
}
vlm_status vlm_turn_add(vlm_chat *c, const vlm_model *m, const char *system, const vlm_seen *images, int64_t n, const char *text) {
    char name[32];
    if (system) {
        TRY(vlm_chat_begin(c, VLM_ROLE_SYSTEM));
        TRY(vlm_chat_text(c, system, strlen(system)));
        TRY(vlm_chat_end(c));
    }
    TRY(vlm_chat_begin(c, VLM_ROLE_USER));
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "<image: %" PRId64 ">", i);
        if (n > 1) TRY(vlm_chat_text(c, name, strlen(name)));
        TRY(add_image(c, m, &images[i].plan));
    }
    TRY(vlm_chat_text(c, text, strlen(text)));
    return vlm_chat_end(c);
}
static vlm_status add_question(vlm_chat *c, const vlm_model *m, const char *system, const vlm_features *images, const char *text) {
    TRY(vlm_turn_add(c, m, system, images ? images->image : NULL, images ? images->n : 0, text));
    return vlm_chat_prompt(c);
}
vlm_status vlm_turn_open(const vlm_model *m, vlm_chat **out) {
    if (!m->tok) return vlm_fail(VLM_EARG, m->net->dir, "has no tokenizer.json; it takes no text");
    return vlm_chat_open(m->tok, m->chat, out);
}

vlm_status vlm_turn_ids(const vlm_model *m, const char *system, const vlm_features *images, const char *text, vlm_ids *out) {
    vlm_chat *c;
    TRY(vlm_turn_open(m, &c));
    vlm_status status = add_question(c, m, system, images, text);
    for (size_t i = 0; !status && i < vlm_chat_out(c)->n; i++) status = vlm_ids_push(out, vlm_chat_out(c)->id[i]);
    vlm_chat_close(c);
    return status;
}

/* For so many ids and an answer: one move at most in a turn. */
static vlm_status make_room(vlm_session *s, int64_t n) {
    int64_t most = s->m->context, want = s->kv.len + n;
    if (want <= most) want = most - want < s->answer_tokens ? most : want + s->answer_tokens;
    return vlm_session_reserve(s, want);
}

vlm_status vlm_say(vlm_session *s, const char *system, const vlm_features *images, const char *text) {
    if (!s || !text) return vlm_fail(VLM_EARG, "vlm_say", "session or text is NULL; give both");
    if (s->lost) return vlm_fail(VLM_EARG, "vlm_say", "the last answer failed half-way; call vlm_session_reset first");
    if (s->chat && s->asked) return vlm_fail(VLM_EARG, "vlm_say", "the last turn has no answer yet; call vlm_answer first");
    if (!s->chat && s->kv.len) return vlm_fail(VLM_EARG, "vlm_say", "the context holds other tokens; call vlm_session_reset first");
    vlm_chat *before = NULL;
    vlm_status status = VLM_OK;
    if (s->chat) TRY(vlm_chat_copy(s->chat, &before));
    else TRY(vlm_turn_open(s->m, &s->chat));
    status = add_question(s->chat, s->m, system, images, text);
    if (!status) status = make_room(s, (int64_t)(vlm_chat_out(s->chat)->n - s->fed));
    if (!status) status = vlm_prefill(s, vlm_chat_out(s->chat)->id + s->fed, vlm_chat_out(s->chat)->n - s->fed, images);
    if (!status) s->fed = vlm_chat_out(s->chat)->n, s->asked = true;
    else if (s->chat) {                /* as if nothing had been said; a stop may have emptied the context, the conversation with it */
        vlm_chat *failed = s->chat;
        s->chat = before;
        before = failed;
    }
    vlm_chat_close(before);
    return status;
}

vlm_status vlm_session_told(vlm_session *s, const char *system, const vlm_features *images, const char *user, const char *answer) {
    if (!answer) return vlm_fail(VLM_EARG, "vlm_session_told", "answer is NULL; give one");
    TRY(vlm_say(s, system, images, user));
    vlm_status status = vlm_chat_text(s->chat, answer, strlen(answer));
    if (!status) status = vlm_chat_end(s->chat);       /* what closes the turn goes in with the next one */
    if (status) s->lost = true;
    else s->asked = false;
    return status;
}

vlm_status vlm_session_score(vlm_session *s, const char *answer, double *nll, int64_t *labels) {
    vlm_chat *c = NULL;
    double *logp = NULL, sum = 0;
    vlm_status status;
    if (s->lost || !s->chat || !s->asked) return vlm_fail(VLM_EARG, "vlm_session_score", "no turn waits for an answer; call vlm_say first");
    TRY(vlm_chat_copy(s->chat, &c));
    TRY_DONE(vlm_chat_text(c, answer, strlen(answer)));
    TRY_DONE(vlm_chat_end(c));
    TRY_DONE(vlm_chat_flush(c));
    const vlm_ids *all = vlm_chat_out(c);
    size_t n = all->n - s->fed;
    logp = malloc((n + 1) * sizeof *logp);
    if (!logp) { status = vlm_fail_memory("the answer", (n + 1) * sizeof *logp); goto done; }
    TRY_DONE(vlm_continuation(s, all->id + s->fed, n, logp));
    for (size_t i = 0; i < n; i++) sum -= logp[i];
    *nll = sum;
    *labels = (int64_t)n;
done:
    vlm_chat_close(c);
    free(logp);
    return status;
}

/* ---- The answer ---- */

/* Text on its way out. What might be the beginning of a stop string waits. */
typedef struct writer {
    const vlm_answer_options *o;
    char *text;
    size_t n, room, out;               /* bytes; of them handed out */
    size_t longest;                    /* stop string */
    bool stop_found, stopped;
} writer;

static void hand_out(writer *w, size_t end) {
    while (end > w->out && end < w->n && ((unsigned char)w->text[end] & 0xC0) == 0x80) end--;  /* whole characters */
    if (end <= w->out) return;
    if (w->o->on_text && w->o->on_text(w->o->user, w->text + w->out, end - w->out)) w->stopped = true;
    w->out = end;
}
static const char *find(const char *text, size_t n, const char *stop) {        /* the text may hold a NUL */
    size_t k = strlen(stop);
    for (size_t i = 0; k && i + k <= n; i++)
        if (!memcmp(text + i, stop, k)) return text + i;
    return NULL;
}
static vlm_status write_text(writer *w, const char *text, size_t bytes) {
    if (w->n + bytes + 1 > w->room) {
        size_t room = (w->n + bytes + 1) * 2;
        char *p = realloc(w->text, room);
        if (!p) return vlm_fail_memory("the answer", room);
        w->text = p;
        w->room = room;
    }
    memcpy(w->text + w->n, text, bytes);
    w->n += bytes;
    w->text[w->n] = 0;
    const char *first = NULL;
    for (int i = 0; i < w->o->stops; i++) {
        const char *at = find(w->text + w->out, w->n - w->out, w->o->stop[i]);
        if (at && (!first || at < first)) first = at;
    }
    if (first) {
        w->n = (size_t)(first - w->text);
        w->text[w->n] = 0;
        w->stop_found = true;
    }
    size_t hold = w->longest && !first ? w->longest - 1 : 0;
    hand_out(w, w->n > hold ? w->n - hold : 0);
    return VLM_OK;
}

static vlm_status draw_answer(vlm_session *s, const vlm_answer_options *o, int64_t max, writer *w, vlm_token_stream *stream,
                              vlm_ids *ids, const char **why) {
    const char *text;
    size_t bytes;
    int64_t id = 0;
    *why = "length";
    while ((int64_t)ids->n < max) {
        if (ids->n) {                  /* the last id goes in only when another is wanted */
            if (s->kv.len >= s->m->context) break;
            TRY(vlm_prefill(s, &id, 1, NULL));
        }
        TRY(vlm_sample(s, &o->sampling, &id));
        if (vlm_is_stop(s->m, id)) { *why = "stop"; break; }
        TRY(vlm_ids_push(ids, id));
        if (!stream) continue;
        TRY(vlm_token_stream_push(stream, id, &text, &bytes));
        TRY(write_text(w, text, bytes));
        if (w->stop_found) { *why = "stop"; return VLM_OK; }
        if (w->stopped) { *why = "stopped"; return VLM_OK; }
    }
    if (!stream) return VLM_OK;
    TRY(vlm_token_stream_flush(stream, &text, &bytes));
    TRY(write_text(w, text, bytes));
    if (w->stop_found) *why = "stop";
    else hand_out(w, w->n);
    return VLM_OK;
}

vlm_status vlm_answer(vlm_session *s, const vlm_answer_options *options, vlm_answer_result *result) {
    static const vlm_answer_options none;
    const vlm_answer_options *o = options ? options : &none;
    if (!s) return vlm_fail(VLM_EARG, "vlm_answer", "session is NULL; give one");
    if (s->lost) return vlm_fail(VLM_EARG, "vlm_answer", "the last answer failed half-way; call vlm_session_reset first");
    if (!s->has_logits) return vlm_fail(VLM_EARG, "vlm_answer", "there is nothing to answer yet; call vlm_say or vlm_prefill first");
    if (s->chat && !s->asked) return vlm_fail(VLM_EARG, "vlm_answer", "the last turn has its answer; call vlm_say first");
    if (o->stops < 0 || (o->stops && !o->stop)) return vlm_fail(VLM_EARG, "vlm_answer", "stop is NULL; give as many strings as stops says");
    for (int i = 0; i < o->stops; i++) if (!o->stop[i]) return vlm_fail(VLM_EARG, "vlm_answer", "stop[%d] is NULL; give a string", i);
    if (o->max_tokens < 0) return vlm_fail(VLM_EARG, "--max-tokens", "is %" PRId64 "; give 1 or more", o->max_tokens);
    TRY(vlm_sampling_check(&o->sampling));             /* what is refused here costs nothing */
    int64_t max = o->max_tokens > 0 ? o->max_tokens : 512, before = s->kv.len, left = s->m->context - before;
    writer w = { .o = o };
    vlm_token_stream *stream = NULL;
    vlm_ids ids = { 0 };
    const char *why = "length";
    vlm_status status = VLM_OK;
    for (int i = 0; i < o->stops; i++) if (strlen(o->stop[i]) > w.longest) w.longest = strlen(o->stop[i]);
    TRY_DONE(vlm_session_reserve(s, before + (max < left ? max : left)));     /* nothing is allocated for a token */
    if (s->m->tok) TRY_DONE(vlm_token_stream_open(s->m->tok, true, &stream));
    TRY_DONE(write_text(&w, "", 0));
    TRY_DONE(draw_answer(s, o, max, &w, stream, &ids, &why));
    if (s->chat) {                     /* the answer as it was drawn; what closes the turn goes in with the next one */
        s->fed += (size_t)(s->kv.len - before);
        if (ids.n) TRY_DONE(vlm_chat_ids(s->chat, ids.id, ids.n));
        TRY_DONE(vlm_chat_end(s->chat));
        s->asked = false;
    }
    if (result) {
        if (!ids.id && !(ids.id = malloc(sizeof *ids.id))) { status = vlm_fail_memory("the answer", sizeof *ids.id); goto done; }
        *result = (vlm_answer_result){ .text = w.text, .text_bytes = w.n, .ids = ids.id, .n = (int64_t)ids.n,
                                       .prompt_tokens = before, .finish_reason = why };
        w.text = NULL;
        ids = (vlm_ids){ 0 };
    }
done:
    if (status && s->chat) s->lost = true;
    vlm_token_stream_close(stream);
    free(w.text);
    vlm_ids_free(&ids);
    return status;
}

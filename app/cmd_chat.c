/* vlm chat: lines are turns, the cache stays. */
#include "answer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct talk {
    const vlm_args *a;
    vlm_model *m;
    vlm_session *s;
    vlm_pictures pending;      /* for the next turn */
    bool begun;
} talk;

static const char known[] = "/image F adds an image, /plan says what is used, /reset starts again, /quit ends, /help says this";

static void complain(const char *what) {
    vlm_tell("vlm: %s%s%s%s", what, *vlm_error_where() ? vlm_error_where() : "", *vlm_error_where() ? ": " : "", vlm_error_message());
}

static vlm_status turn(talk *t, const char *text) {
    vlm_question q = { .system = t->begun ? NULL : t->a->system, .text = text, .pictures = &t->pending };
    bool stopped = false;
    vlm_status status = vlm_answer_question(t->a, t->s, &q, true, &stopped);
    if (status && t->s->lost) vlm_session_reset(t->s);         /* half an answer cannot be gone on from */
    bool emptied = status && t->begun && !vlm_session_position(t->s);
    if (status == VLM_ESTOPPED || (status && stopped)) {
        vlm_note("vlm: stopped; the turn was not said");
        status = VLM_OK;
    } else if (status == VLM_ECONTEXT) {
        complain("");
        vlm_tell("vlm: %lld of %lld positions are used; say less, or /reset starts again (without the images that wait)",
                 (long long)vlm_session_position(t->s), (long long)vlm_model_describe(t->m).context);
        status = VLM_OK;
    } else if (status == VLM_EFORMAT || status == VLM_ELIMIT) {        /* of this line or its images; the conversation goes on */
        complain("");
        status = VLM_OK;
    } else if (!status) {
        t->begun = true;
        vlm_pictures_free(&t->pending);
        if (stopped) vlm_note("vlm: stopped");
        else if (!strcmp(q.answer.finish_reason, "length"))
            vlm_tell(vlm_session_position(t->s) >= vlm_model_describe(t->m).context
                         ? "vlm: the context is full, the answer was cut; /reset starts again"
                         : "vlm: the answer was cut at --max-tokens");
        vlm_detail("vlm: %lld positions, %.1f tokens/s", (long long)vlm_session_position(t->s),
                   q.decode_ms > 0 ? (double)q.answer.n / q.decode_ms * 1e3 : 0);
    }
    if (emptied) {                     /* a stopped prompt may have written over the rings of sliding layers: vlm_prefill */
        t->begun = false;
        vlm_tell("vlm: what was said so far is lost; the conversation starts again");
    }
    vlm_question_free(&q);
    return status;
}
static vlm_status plan(const talk *t) {
    json_t *list = vlm_pictures_json(t->m, &t->pending), *v;
    size_t i;
    int64_t context = vlm_model_describe(t->m).context, used = vlm_session_position(t->s), wait = 0;
    json_array_foreach(list, i, v) {
        int64_t n = json_integer_value(json_object_get(v, "tokens"));
        printf("next turn: %s, %lld tokens\n", json_string_value(json_object_get(v, "path")), (long long)n);
        wait += n;
    }
    printf("context: %lld of %lld positions used, %lld wait in images, %lld free\n", (long long)used, (long long)context, (long long)wait,
           (long long)(context - used - wait > 0 ? context - used - wait : 0));
    json_decref(list);
    return vlm_flush();
}
/* *quit: the conversation is over. What goes wrong with an image is said; the conversation goes on. */
static vlm_status command(talk *t, char *line, bool *quit) {
    char *arg = line + strcspn(line, " \t");
    if (*arg) *arg++ = 0;
    arg += strspn(arg, " \t");
    if (!strcmp(line, "/quit") || !strcmp(line, "/exit")) *quit = true;
    else if (!strcmp(line, "/reset")) {
        vlm_session_reset(t->s);
        vlm_pictures_free(&t->pending);
        t->begun = false;
        vlm_note("vlm: the context is empty");
    } else if (!strcmp(line, "/plan")) return plan(t);
    else if (!strcmp(line, "/image")) {
        if (!*arg) vlm_tell("vlm: /image: needs a file; write /image F");
        else if (!strcmp(arg, "-")) vlm_tell("vlm: -: standard input holds the conversation; name a file");
        else if (vlm_pictures_add(&t->pending, t->m, arg, t->a->max_images)) complain("");
        else vlm_note("vlm: %s: goes with the next turn", arg);
    } else if (!strcmp(line, "/help")) vlm_tell("%s", known);
    else vlm_tell("vlm: %s: unknown; /image F, /plan, /reset, /quit and /help are known, a blank in front makes it text", line);
    return VLM_OK;
}

vlm_status vlm_cmd_chat(vlm_args *a) {
    talk t = { .a = a };
    bool ask = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), quit = false;
    char *line = NULL;
    size_t room = 0;
    vlm_status status;
    for (int i = 0; i < a->image.n; i++)
        if (!strcmp(a->image.v[i], "-")) return vlm_usage("-", "standard input holds the conversation; name a file");
    if (a->json) return vlm_usage("--json", "is not for chat; use vlm ask --json");
    TRY_DONE(vlm_open_model(a, &t.m));
    TRY_DONE(vlm_need_language(a, t.m));
    TRY_DONE(vlm_open_session(a, t.m, &t.s));
    for (int i = 0; i < a->image.n; i++) TRY_DONE(vlm_pictures_add(&t.pending, t.m, a->image.v[i], a->max_images));
    if (ask) vlm_note("%s", known);
    while (!quit) {
        if (ask) { fputs("> ", stdout); fflush(stdout); }
        errno = 0;
        ssize_t n = getline(&line, &room, stdin);
        if (n < 0) {
            if (ferror(stdin)) status = vlm_fail_errno("standard input", "read");
            break;
        }
        if (memchr(line, 0, (size_t)n)) { vlm_tell("vlm: standard input: the line holds a NUL; leave it out"); continue; }
        while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
        if (!line[strspn(line, " \t")]) continue;
        if (line[0] == '/') TRY_DONE(command(&t, line, &quit));
        else TRY_DONE(turn(&t, line));
    }
    if (ask && !quit) putchar('\n');
done:
    free(line);
    vlm_pictures_free(&t.pending);
    vlm_session_close(t.s);
    vlm_model_close(t.m);
    return status;
}

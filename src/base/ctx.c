#define _GNU_SOURCE                    /* sched_getaffinity */
#include "base/ctx.h"
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Looks before going to sleep: some 20-50 us, then some 100-300 us of letting others run. To be woken takes as long as a small layer, and
   between two of those that one thread does alone (sampling, say) must not be enough to fall asleep. */
enum { SPIN = 1000, YIELD = 400 };

struct vlm_member {
    _Alignas(64) pthread_t thread;
    struct vlm_team *team;
    int id;
    void *scratch;
    _Alignas(64) _Atomic uint64_t units;       /* of vlm_parallel_units, that nobody has taken yet: the first one << 32 | where they end */
};
struct vlm_team {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    int started;               /* threads to join, members 1..started */
    _Alignas(64) atomic_uint turn;     /* goes up by one for each job; members wait for that */
    atomic_int asleep;         /* members that wait for wake, or are about to */
    bool stop;
    int64_t n, parts;          /* the job, written before turn, on one cache line with it */
    vlm_part *fn;
    void *arg;
    int64_t sharers;           /* members that have units */
    _Alignas(64) atomic_int busy;      /* members that still work on this job */
    atomic_bool waiting;       /* the caller waits for done, or is about to */
    vlm_member m[];            /* 0 is the caller */
};

static void relax(int looks) {
    if (looks >= SPIN) { sched_yield(); return; }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Where part i of n begins: the first n % parts get one more. */
static int64_t part_at(int64_t n, int64_t parts, int64_t i) { return n / parts * i + (i < n % parts ? i : n % parts); }
static void run_part(struct vlm_team *t, int64_t i) {
    if (i < t->parts) t->fn(t->arg, part_at(t->n, t->parts, i), part_at(t->n, t->parts, i + 1), t->m[i].scratch);
}

static void *member_main(void *p) {
    vlm_member *m = p;
    struct vlm_team *t = m->team;
    for (unsigned seen = 0;; seen++) {
        for (int i = 0; i < SPIN + YIELD && atomic_load(&t->turn) == seen; i++) relax(i);
        if (atomic_load(&t->turn) == seen) {
            pthread_mutex_lock(&t->lock);
            atomic_fetch_add(&t->asleep, 1);                   /* first this, then a look at turn: next_turn does it the other way round */
            while (atomic_load(&t->turn) == seen) pthread_cond_wait(&t->wake, &t->lock);
            atomic_fetch_sub(&t->asleep, 1);
            pthread_mutex_unlock(&t->lock);
        }
        if (t->stop) return NULL;
        run_part(t, m->id);
        if (atomic_fetch_sub(&t->busy, 1) == 1 && atomic_load(&t->waiting)) {  /* the last one out */
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->done);
            pthread_mutex_unlock(&t->lock);
        }
    }
}

static void next_turn(struct vlm_team *t) {
    atomic_fetch_add(&t->turn, 1);
    if (!atomic_load(&t->asleep)) return;
    pthread_mutex_lock(&t->lock);      /* a member is before its look at turn, or already waits: none sleeps through */
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

static int64_t parts_of(const vlm_ctx *ctx, int64_t n, int64_t grain) {
    int64_t parts = ctx->eager || grain < 1 ? n : n / grain;
    return parts > ctx->threads ? ctx->threads : parts < 1 ? 1 : parts;
}
void vlm_parallel(vlm_ctx *ctx, int64_t n, int64_t grain, vlm_part *fn, void *arg) {
    if (!ctx) {
        if (n > 0) fn(arg, 0, n, NULL);
        return;
    }
    struct vlm_team *t = ctx->team;
    int64_t parts = parts_of(ctx, n, grain);
    if (n <= 0) return;
    assert(atomic_load(&t->busy) == 0);                        /* not from inside fn */
    if (parts <= 1) { fn(arg, 0, n, t->m[0].scratch); return; }
    t->n = n, t->parts = parts, t->fn = fn, t->arg = arg;
    atomic_store(&t->busy, ctx->threads - 1);
    next_turn(t);
    run_part(t, 0);
    for (int i = 0; i < SPIN + YIELD && atomic_load(&t->busy); i++) relax(i);
    if (atomic_load(&t->busy)) {
        pthread_mutex_lock(&t->lock);
        atomic_store(&t->waiting, true);
        while (atomic_load(&t->busy)) pthread_cond_wait(&t->done, &t->lock);
        atomic_store(&t->waiting, false);
        pthread_mutex_unlock(&t->lock);
    }
}

typedef struct sharing { struct vlm_team *team; vlm_share *fn; void *arg; } sharing;
static void share_part(void *arg, int64_t lo, int64_t hi, void *scratch) {
    const sharing *s = arg;
    (void)hi;
    s->fn(s->arg, &s->team->m[lo], scratch);
}
void vlm_parallel_units(vlm_ctx *ctx, int64_t n, int64_t grain, vlm_share *fn, void *arg) {
    struct vlm_team *t = ctx->team;
    if (n <= 0) return;
    int64_t parts = t->sharers = parts_of(ctx, n, grain);
    assert(n <= UINT32_MAX);
    for (int64_t i = 0; i < parts; i++) {
        uint64_t first = (uint64_t)part_at(n, parts, i), end = (uint64_t)part_at(n, parts, i + 1);
        atomic_store_explicit(&t->m[i].units, first << 32 | end, memory_order_relaxed);
    }
    vlm_parallel(ctx, parts, 1, share_part, &(sharing){ t, fn, arg });
}
/* Half of what is left: an atomic operation waits for all reads before it, so there are to be few, and the last ones are single units. */
bool vlm_next(vlm_member *me, int64_t *lo, int64_t *hi) {
    struct vlm_team *t = me->team;
    for (int64_t i = 0; i < t->sharers; i++) {
        vlm_member *of = &t->m[(me->id + i) % t->sharers];
        uint64_t left = atomic_load(&of->units), first, end, n;
        while ((first = left >> 32) < (end = left & UINT32_MAX)) {
            n = (end - first + 1) / 2;
            if (!atomic_compare_exchange_weak(&of->units, &left, of == me ? left + (n << 32) : left - n)) continue;
            *lo = (int64_t)(of == me ? first : end - n), *hi = *lo + (int64_t)n;
            return true;
        }
    }
    return false;
}

vlm_ctx *vlm_ctx_open(int threads, size_t scratch_bytes) {
    if (threads < 1) threads = 1;
    vlm_ctx *ctx = calloc(1, sizeof *ctx);
    size_t bytes = (sizeof(struct vlm_team) + (size_t)threads * sizeof(vlm_member) + 63) & ~(size_t)63;
    struct vlm_team *t = aligned_alloc(64, bytes);
    if (!ctx || !t) { free(ctx); free(t); return NULL; }
    memset(t, 0, bytes);
    *ctx = (vlm_ctx){ .threads = threads, .scratch_bytes = (scratch_bytes + 63) & ~(size_t)63, .team = t };
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    pthread_cond_init(&t->done, NULL);
    for (int i = 0; i < threads; i++) {
        t->m[i] = (vlm_member){ .team = t, .id = i, .scratch = aligned_alloc(64, ctx->scratch_bytes + 64) };
        if (!t->m[i].scratch) goto fail;
        if (i && pthread_create(&t->m[i].thread, NULL, member_main, &t->m[i])) goto fail;
        t->started = i;
    }
    return ctx;
fail:
    vlm_ctx_close(ctx);
    return NULL;
}

void vlm_ctx_close(vlm_ctx *ctx) {
    if (!ctx) return;
    struct vlm_team *t = ctx->team;
    t->stop = true;
    next_turn(t);
    for (int i = 1; i <= t->started; i++) pthread_join(t->m[i].thread, NULL);
    for (int i = 0; i < ctx->threads; i++) free(t->m[i].scratch);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->done);
    free(t);
    free(ctx);
}

int vlm_cores(void) {
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

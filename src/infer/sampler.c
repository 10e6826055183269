#include "infer/sampler.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

vlm_status vlm_sampler_init(vlm_sampler *s, int64_t V, const unsigned char *known) {
    vlm_sampler n = { .V = V, .c = malloc((size_t)V * sizeof *n.c), .known = malloc((size_t)V), .seen = calloc((size_t)V, 1) };
    if (!n.c || !n.known || !n.seen) { vlm_sampler_free(&n); return vlm_fail_memory("the sampler", (size_t)V * sizeof *n.c); }
    memcpy(n.known, known, (size_t)V);
    *s = n;
    return VLM_OK;
}
void vlm_sampler_free(vlm_sampler *s) {
    free(s->c);
    free(s->known);
    free(s->seen);
    *s = (vlm_sampler){ 0 };
}

vlm_status vlm_sampling_check(const vlm_sampling *o) {
    if (!(o->temperature >= 0 && o->temperature <= 1e6))
        return vlm_fail(VLM_EARG, "--temperature", "is %g; give 0 (greedy) or more", o->temperature);
    if (o->top_k < 0) return vlm_fail(VLM_EARG, "--top-k", "is %lld; give 0 (off) or more", (long long)o->top_k);
    if (!(o->top_p >= 0 && o->top_p <= 1)) return vlm_fail(VLM_EARG, "--top-p", "is %g; give 0 (off) to 1", o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1)) return vlm_fail(VLM_EARG, "--min-p", "is %g; give 0 (off) to 1", o->min_p);
    if (!(o->repetition_penalty >= 0 && o->repetition_penalty <= 1e6))
        return vlm_fail(VLM_EARG, "--repetition-penalty", "is %g; give 1 (off) or more", o->repetition_penalty);
    return VLM_OK;
}

/* Larger logit first, then lower id: one order, so that equal logits never depend on the machine. */
static int before(const vlm_candidate *a, const vlm_candidate *b) { return a->logit > b->logit || (a->logit == b->logit && a->id < b->id); }
static void sift(vlm_candidate *c, int64_t n, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&c[child + 1], &c[child])) child++;
        if (!before(&c[child], &c[i])) return;
        vlm_candidate t = c[i];
        c[i] = c[child];
        c[child] = t;
    }
}
/* The best of the heap c[0..n) goes to c[n-1]: popped candidates lie at the end, best last. */
static void pop(vlm_candidate *c, int64_t n) {
    vlm_candidate t = c[0];
    c[0] = c[n - 1];
    c[n - 1] = t;
    sift(c, n - 1, 0);
}

static vlm_status nan_logits(void) {
    return vlm_fail(VLM_EFORMAT, "logits", "are NaN; the weights or the picture's features overflow, try the f32 weights");
}
static vlm_status no_known_id(void) {
    return vlm_fail(VLM_EFORMAT, "tokenizer", "knows no id of the model's vocabulary; tokenizer.json is another model's");
}
/* Most logits are no larger than the best so far: blocks of such are passed over by vectors. */
static vlm_status greedy(const vlm_sampler *s, const float *logits, int64_t *id) {
    enum { BLOCK = 64 };
    int64_t best = 0;
    while (best < s->V && !s->known[best]) best++;
    float top = best < s->V ? logits[best] : -INFINITY;
    for (int64_t i = 0, n; i < s->V; i += n) {
        int larger = 0;                /* or NaN */
        n = s->V - i < BLOCK ? s->V - i : BLOCK;
        if (n == BLOCK) for (int j = 0; j < BLOCK; j++) larger |= !(logits[i + j] <= top);
        for (int64_t j = i; j < i + n && (larger || n < BLOCK); j++) {
            if (logits[j] != logits[j]) return nan_logits();
            if (logits[j] > top && s->known[j]) top = logits[best = j];
        }
    }
    if (best == s->V) return no_known_id();
    *id = best;
    return VLM_OK;
}

vlm_status vlm_sampler_draw(vlm_sampler *s, const vlm_sampling *o, const float *logits, const int64_t *history, int64_t n,
                            vlm_rng *rng, int64_t *id) {
    bool penalty = o->repetition_penalty > 0 && o->repetition_penalty != 1;
    vlm_candidate *c = s->c, best = { .id = -1 };
    int64_t count = 0;
    if (o->temperature == 0 && !penalty) return greedy(s, logits, id);
    for (int64_t i = 0; i < s->V; i++) if (logits[i] != logits[i]) return nan_logits();
    for (int64_t i = 0; penalty && i < n; i++) s->seen[history[i]] = 1;
    for (int64_t i = 0; i < s->V; i++) {
        float l = logits[i];
        if (!s->known[i]) continue;
        if (penalty && s->seen[i]) l = (float)(l > 0 ? l / o->repetition_penalty : l * o->repetition_penalty);
        c[count] = (vlm_candidate){ .logit = l, .id = (int32_t)i };
        if (best.id < 0 || before(&c[count], &best)) best = c[count];
        count++;
    }
    for (int64_t i = 0; penalty && i < n; i++) s->seen[history[i]] = 0;
    if (best.id < 0) return no_known_id();
    if (o->temperature == 0) { *id = best.id; return VLM_OK; }

    double total = 0, cum = 0, sum = 0;
    int64_t kept = 0, limit = o->top_k > 0 && o->top_k < count ? o->top_k : count;
    for (int64_t i = count / 2; i-- > 0;) sift(c, count, i);
    /* top-k; then those that equal the last of them */
    while (kept < count && (kept < limit || c[0].logit == c[count - kept].logit)) pop(c, count - kept), kept++;
    vlm_candidate *end = c + count;
    for (int64_t i = 1; i <= kept; i++) total += end[-i].p = exp((double)end[-i].logit - best.logit);
    int64_t keep = 0;
    for (int64_t i = 1; i <= kept; i++, keep++) {
        double p = end[-i].p / total;
        cum += p;
        /* the best has p·total = 1 */
        if (i > 1 && ((o->top_p > 0 && o->top_p < 1 && cum > o->top_p) || p * total < o->min_p)) break;
    }
    for (int64_t i = 1; i <= keep; i++) sum += end[-i].p = exp(((double)end[-i].logit - best.logit) / o->temperature);
    double at = vlm_rng_uniform(rng) * sum;
    int64_t i = 1;
    while (i < keep && (at -= end[-i].p) >= 0) i++;
    *id = end[-i].id;
    return VLM_OK;
}

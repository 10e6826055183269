#include "train/loader.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct vlm_loader {
    const vlm_corpus *corpus;
    const vlm_example_rule *rule;
    bool pixels;
    pthread_mutex_t lock;
    pthread_cond_t work, done;         /* there may be something to make; something has been made */
    pthread_t *thread;
    int threads;
    bool stop;
    const vlm_pick *pick;
    int64_t n, made, taken;            /* picks; of them begun, handed out */
    int busy;                          /* threads that are making one */
    size_t bytes;                      /* of pixels, ahead */
    struct { bool ready; vlm_loaded l; } slot[VLM_LOADER_SAMPLES];
};

void vlm_loaded_free(vlm_loaded *l) {
    vlm_example_free(&l->example);
    free(l->where);
    free(l->message);
    *l = (vlm_loaded){ 0 };
}

static vlm_loaded make(const vlm_loader *l, vlm_pick pick) {
    vlm_loaded out = { .pick = pick };
    struct vlm_sample s = { 0 };
    out.status = vlm_dataset_read(l->corpus->set[pick.set].data, pick.sample, &s, &out.why);
    if (!out.status) {
        out.status = vlm_example_make(l->rule, &s, l->pixels, &out.example, &out.why);
        vlm_sample_free(&s);
    }
    if (!out.status) return out;
    out.where = strdup(vlm_error_where()), out.message = strdup(vlm_error_message());  /* they are this thread's */
    if (!out.where || !out.message) out.status = VLM_ENOMEM, out.why = VLM_BAD_NONE;
    return out;
}

static bool may_begin(const vlm_loader *l) {
    int64_t ahead = l->made - l->taken;
    return l->made < l->n && ahead < VLM_LOADER_SAMPLES && (!ahead || l->bytes < VLM_LOADER_BYTES);
}
static void *work(void *p) {
    vlm_loader *l = p;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!may_begin(l)) { pthread_cond_wait(&l->work, &l->lock); continue; }
        int64_t i = l->made++;
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        vlm_loaded made = make(l, l->pick[i]);
        pthread_mutex_lock(&l->lock);
        l->busy--;
        l->slot[i % VLM_LOADER_SAMPLES].l = made;
        l->slot[i % VLM_LOADER_SAMPLES].ready = true;
        l->bytes += made.example.bytes;
        pthread_cond_broadcast(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

vlm_status vlm_loader_open(const vlm_corpus *corpus, const vlm_example_rule *rule, int threads, bool pixels, vlm_loader **out) {
    vlm_loader *l = calloc(1, sizeof *l);
    if (threads < 1) threads = 1;
    if (!l || !(l->thread = calloc((size_t)threads, sizeof *l->thread))) { free(l); return vlm_fail_memory("the loader", sizeof *l); }
    l->corpus = corpus, l->rule = rule, l->pixels = pixels;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    while (l->threads < threads && !pthread_create(&l->thread[l->threads], NULL, work, l)) l->threads++;
    if (!l->threads) { vlm_loader_close(l); return vlm_fail(VLM_ENOMEM, "the loader", "gets no thread; end other programs"); }
    *out = l;
    return VLM_OK;
}

/* What is ahead goes; the lock is held, and released while threads finish. */
static void drop(vlm_loader *l) {
    l->n = 0;                          /* nobody begins anything */
    while (l->busy) pthread_cond_wait(&l->done, &l->lock);
    for (int i = 0; i < VLM_LOADER_SAMPLES; i++) {
        if (l->slot[i].ready) vlm_loaded_free(&l->slot[i].l);
        l->slot[i].ready = false;
    }
    l->made = l->taken = 0;
    l->bytes = 0;
}
void vlm_loader_start(vlm_loader *l, const vlm_pick *picks, int64_t n, int64_t from) {
    pthread_mutex_lock(&l->lock);
    drop(l);
    l->pick = picks;
    l->made = l->taken = from;
    l->n = n;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}
vlm_status vlm_loader_next(vlm_loader *l, vlm_loaded *out) {
    pthread_mutex_lock(&l->lock);
    if (l->taken >= l->n) {
        pthread_mutex_unlock(&l->lock);
        return vlm_fail(VLM_EARG, "the loader", "has no sample left; start it again");
    }
    int64_t i = l->taken % VLM_LOADER_SAMPLES;
    while (!l->slot[i].ready) pthread_cond_wait(&l->done, &l->lock);
    *out = l->slot[i].l;
    l->slot[i].ready = false;
    l->taken++;
    l->bytes -= out->example.bytes;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    if (!out->status || out->why != VLM_BAD_NONE) return VLM_OK;
    vlm_status status = vlm_fail(out->status, out->where ? out->where : "the data", "%s", out->message ? out->message : "no memory");
    vlm_loaded_free(out);
    return status;
}
void vlm_loader_close(vlm_loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->threads; i++) pthread_join(l->thread[i], NULL);
    pthread_mutex_lock(&l->lock);
    drop(l);
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    free(l->thread);
    free(l);
}

#include "plan_time.h"
#include "base/ctx.h"

vlm_status vlm_plan_limits(const vlm_args *a, vlm_limits *m) {
    enum { READ_BYTES = 256 << 20 };   /* several times the last cache of most machines; two tenths of a second */
    unsigned cpu;
    int threads = a->threads > 0 ? (int)a->threads : vlm_cores();
    TRY(vlm_isa_flags(a->isa, &cpu));
    vlm_ctx *ctx = vlm_ctx_open(threads, VLM_SCRATCH_BYTES);
    if (!ctx) return vlm_fail_memory("the threads", (size_t)threads * VLM_SCRATCH_BYTES);
    vlm_status status = vlm_limits_measure(ctx, cpu, READ_BYTES, m);
    vlm_ctx_close(ctx);
    if (status) return status;
    return m->fma > 0 && m->read > 0 ? VLM_OK : vlm_fail(VLM_EUNSUPPORTED, "--time", "has no yardstick for %s; leave out --time or --isa",
                                                         vlm_isa_name(cpu));
}
json_t *vlm_limits_json(const vlm_limits *m, const vlm_args *a) {
    unsigned cpu = 0;
    return vlm_isa_flags(a->isa, &cpu) ? NULL : json_pack("{s:i,s:s,s:f,s:f}", "threads", a->threads > 0 ? (int)a->threads : vlm_cores(), "isa",
                                                          vlm_isa_name(cpu), "fma_gflops", m->fma / 1e9, "read_gbps", m->read / 1e9);
}
void vlm_limits_print(const vlm_limits *m, const vlm_args *a) {
    unsigned cpu = 0;
    int threads = a->threads > 0 ? (int)a->threads : vlm_cores();
    if (vlm_isa_flags(a->isa, &cpu)) return;
    printf("machine  %s, %d thread%s, just measured: %.0f GFLOP/s, reading %.1f GB/s\n", vlm_isa_name(cpu), threads, threads == 1 ? "" : "s",
           m->fma / 1e9, m->read / 1e9);
}
const char *vlm_duration(double seconds, char out[32]) {
    if (seconds < 1) snprintf(out, 32, "%.3g ms", seconds * 1e3);
    else if (seconds < 120) snprintf(out, 32, "%.3g s", seconds);
    else if (seconds < 7200) snprintf(out, 32, "%.3g min", seconds / 60);
    else snprintf(out, 32, "%.4g h", seconds / 3600);
    return out;
}

/* ---- Images and a prompt ---- */

void vlm_stages(const vlm_args *a, const vlm_model *m, int64_t images, int64_t tokens, vlm_seconds encode, vlm_dtype kv_type, const vlm_limits *limits,
                vlm_stage out[VLM_STAGES]) {
    int64_t prompt = (m->net->language ? tokens : 0) + a->text_tokens;
    out[0] = (vlm_stage){ "encoding", "encode", "grows with the square of an image's area", (double)images, encode };
    out[1] = (vlm_stage){ "prompt", "prefill", "grows with the square of the prompt", (double)prompt,
                      vlm_cost_prefill(m->net, limits, prompt, 0) };
    out[2] = (vlm_stage){ "answer", "token", "grows with the context", 1, vlm_cost_token(m->net, limits, prompt, kv_type) };
}
json_t *vlm_stages_json(const vlm_args *a, const vlm_limits *limits, const vlm_stage *s) {
    json_t *j = vlm_limits_json(limits, a);
    json_object_set_new(j, "text_tokens", json_integer((json_int_t)a->text_tokens));
    for (int i = 0; i < VLM_STAGES; i++) {
        double all = vlm_seconds_sum(s[i].s);
        json_t *part = all > 0 ? json_pack("{s:f,s:f,s:f,s:f}", "ms", all * 1e3, "linear_ms", s[i].s.linear * 1e3, "attention_ms",
                                           s[i].s.attention * 1e3, "rest_ms", s[i].s.rest * 1e3) : json_null();
        json_object_set_new(j, s[i].key, part);
    }
    return j;
}
void vlm_stages_print(const vlm_args *a, const vlm_limits *limits, const vlm_stage *s) {
    enum { WORTH = 15 };               /* percent from which a part that is not linear is spoken of */
    vlm_limits_print(limits, a);
    for (int i = 0; i < VLM_STAGES; i++) {
        double all = vlm_seconds_sum(s[i].s), share = all > 0 ? 100 * s[i].s.attention / all : 0;
        char t[32], rate[48] = "";
        if (!(all > 0)) continue;
        if (i) snprintf(rate, sizeof rate, i == 1 ? ", %.0f tokens/s" : " a token, %.1f tokens/s", s[i].amount / all);
        printf("%s%-9s%s%s", i ? "         " : "time     ", s[i].name, vlm_duration(all, t), rate);
        if (share >= WORTH) printf("; attention is %.0f %% of it and %s", share, s[i].why);
        putchar('\n');
    }
}

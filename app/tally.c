#include "tally.h"
#include "base/nearest.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

vlm_status vlm_tally_measures(const char *text, unsigned *out) {
    const char *names[VLM_MEASURES + 1] = { NULL };
    unsigned all = 0;
    char list[200] = "", word[40];
    for (int m = 0; m < VLM_MEASURES; m++) {
        names[m] = vlm_measure_name((vlm_measure)m);
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", m ? ", " : "", names[m]);
    }
    for (const char *p = text; *p; p += strcspn(p, ","), p += *p == ',') {
        int m = 0, n = (int)strcspn(p, ",");
        snprintf(word, sizeof word, "%.*s", n > 39 ? 39 : n, p);
        while (m < VLM_MEASURES && strcmp(names[m], word)) m++;
        const char *best = m < VLM_MEASURES ? NULL : vlm_nearest(word, names);
        if (best) return vlm_usage("--metrics", "\"%s\" is not known; did you mean %s?", word, best);
        if (m == VLM_MEASURES) return vlm_usage("--metrics", "\"%s\" is not known; give some of %s, with commas between", word, list);
        all |= 1u << m;
        if (m == VLM_CHOICE) all |= 1u << VLM_CHOICE_LIKELIHOOD;
    }
    if (!all) return vlm_usage("--metrics", "names none; give some of %s, with commas between", list);
    *out = all;
    return VLM_OK;
}

vlm_status vlm_tally_open(int64_t n, unsigned measures, unsigned named, uint64_t seed, vlm_tally *out) {
    vlm_tally t = { measures, named, seed, calloc((size_t)n, sizeof *t.row), n, json_array() };
    if (!t.row || !t.bad) { vlm_tally_free(&t); return vlm_fail_memory("the results", (size_t)n * sizeof *t.row); }
    *out = t;
    return VLM_OK;
}
void vlm_tally_free(vlm_tally *t) {
    for (int64_t i = 0; t->row && i < t->n; i++) free(t->row[i].group);
    free(t->row);
    json_decref(t->bad);
    *t = (vlm_tally){ 0 };
}
vlm_status vlm_tally_add(vlm_tally *t, int64_t i, const double *sum, const double *count, const json_t *id) {
    vlm_tally_row *r = &t->row[i];
    const char *name = json_string_value(id), *slash = name ? strrchr(name, '/') : NULL;
    if (slash && slash > name && !(r->group = strndup(name, (size_t)(slash - name)))) return vlm_fail_memory("the results", strlen(name));
    memcpy(r->sum, sum, sizeof r->sum);
    memcpy(r->count, count, sizeof r->count);
    r->there = true;
    return VLM_OK;
}

/* ---- Groups ---- */

/* By letters, but runs of digits by their value: read/2 before read/10, read before read/2. */
static int by_name(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    for (;; x++, y++) {
        size_t n = strspn(x, "0123456789"), m = strspn(y, "0123456789");
        if (n && m && n != m && *x != '0' && *y != '0') return n < m ? -1 : 1;
        if (*x != *y) return !*x ? -1 : !*y ? 1 : *x == '/' ? -1 : *y == '/' ? 1 : (unsigned char)*x - (unsigned char)*y;
        if (!*x) return 0;
    }
}
static bool belongs(const char *group, const char *name) {
    size_t n = strlen(name);
    return group && !strncmp(group, name, n) && (!group[n] || group[n] == '/');
}
typedef struct names { char **v; int n; bool many; } names;
static vlm_status add_name(names *all, const char *s, size_t n) {
    for (int i = 0; i < all->n; i++) if (!strncmp(all->v[i], s, n) && !all->v[i][n]) return VLM_OK;
    if (all->n == VLM_TALLY_GROUPS) { all->many = true; return VLM_OK; }
    if (!(all->v[all->n] = strndup(s, n))) return vlm_fail_memory("the results", n);
    all->n++;
    return VLM_OK;
}
static vlm_status groups_of(const vlm_tally *t, names *out) {
    names all = { calloc(VLM_TALLY_GROUPS, sizeof *all.v), 0, false };
    if (!all.v) return vlm_fail_memory("the results", VLM_TALLY_GROUPS * sizeof *all.v);
    const char *last = NULL;           /* neighbours are often of one group */
    vlm_status status = VLM_OK;
    for (int64_t i = 0; !status && i < t->n && !all.many; i++) {
        const char *g = t->row[i].group;
        if (!g || (last && !strcmp(last, g))) continue;
        for (size_t n = 0; !status && n <= strlen(g); n++) if (n && (!g[n] || g[n] == '/')) status = add_name(&all, g, n);
        last = g;
    }
    if (!status && all.n) qsort(all.v, (size_t)all.n, sizeof *all.v, by_name);
    *out = all;
    return status;
}

/* ---- Means ---- */

static json_t *number(double v) { return isfinite(v) ? json_real(v) : json_null(); }
/* The rows of a group (NULL: all), as one object; *samples of them. */
static vlm_status part_json(const vlm_tally *t, const char *group, json_t **out) {
    double *sum = malloc((size_t)t->n * sizeof *sum), *count = malloc((size_t)t->n * sizeof *count);
    json_t *metrics = json_object(), *j = NULL;
    vlm_status status = VLM_OK;
    double loss = NAN;
    int64_t samples = 0;
    if (!sum || !count || !metrics) { status = vlm_fail_memory("the results", (size_t)t->n * 2 * sizeof *sum); goto done; }
    for (int64_t i = 0; i < t->n; i++) samples += t->row[i].there && (!group || belongs(t->row[i].group, group));
    for (int m = 0; m < VLM_MEASURES; m++) {
        int64_t n = 0;
        vlm_interval v = { NAN, NAN, NAN };
        if (!(t->measures >> m & 1)) continue;
        for (int64_t i = 0; i < t->n; i++) {
            const vlm_tally_row *r = &t->row[i];
            if (!r->there || !(r->count[m] > 0) || (group && !belongs(r->group, group))) continue;
            sum[n] = r->sum[m];
            count[n++] = r->count[m];
        }
        if (!n && (group || !(t->named >> m & 1))) continue;
        if (n) TRY_DONE(vlm_bootstrap(sum, count, n, t->seed, &v));
        if (m == VLM_LOSS) loss = v.mean;
        json_object_set_new(metrics, vlm_measure_name((vlm_measure)m), json_pack("{s:o,s:o,s:o,s:I}", "mean", number(v.mean), "low",
                            number(v.low), "high", number(v.high), "samples", (json_int_t)n));
    }
    j = json_pack("{s:I,s:o,s:o,s:O}", "samples", (json_int_t)samples, "loss", number(loss), "perplexity", number(exp(loss)), "metrics",
                  metrics);
    if (j) *out = j;
    else status = vlm_fail_memory("the results", 0);
done:
    free(sum);
    free(count);
    json_decref(metrics);
    return status;
}
vlm_status vlm_tally_json(const vlm_tally *t, json_t **out) {
    names all = { 0 };
    json_t *j = NULL, *groups = json_object(), *one;
    vlm_status status = groups ? VLM_OK : vlm_fail_memory("the results", 0);
    if (!status) status = groups_of(t, &all);
    if (!status && all.many) vlm_note("vlm: the samples' ids name more than %d groups; results are not split", VLM_TALLY_GROUPS);
    for (int i = 0; !status && !all.many && i < all.n; i++)
        if (!(status = part_json(t, all.v[i], &one))) json_object_set_new(groups, all.v[i], one);
    if (!status) status = part_json(t, NULL, &j);
    if (!status && json_object_size(groups)) json_object_set(j, "groups", groups);
    if (!status) json_object_set(j, "bad", t->bad);
    for (int i = 0; i < all.n; i++) free(all.v[i]);
    free(all.v);
    json_decref(groups);
    if (status) json_decref(j);
    else *out = j;
    return status;
}

/* ---- Tables ---- */

/* Shares in per cent; a loss as it is. */
static void value(const char *name, const json_t *v, char out[32]) {
    if (!json_is_number(v)) snprintf(out, 32, "-");
    else if (!strcmp(name, "loss")) snprintf(out, 32, "%.4f", json_number_value(v));
    else snprintf(out, 32, "%.2f %%", 100 * json_number_value(v));
}
static long long integer(const json_t *j, const char *key) { return (long long)json_integer_value(json_object_get(j, key)); }
static void print_bad(const json_t *bad, FILE *f) {
    json_t *codes = json_object(), *v;
    const char *code;
    size_t i;
    json_array_foreach(bad, i, v) {
        code = json_string_value(json_object_get(v, "code"));
        json_object_set_new(codes, code, json_integer(integer(codes, code) + 1));
    }
    fprintf(f, "bad         %zu left out:", json_array_size(bad));
    json_object_foreach(codes, code, v) fprintf(f, " %lld %s", (long long)json_integer_value(v), code);
    fputc('\n', f);
    json_decref(codes);
}
void vlm_tally_print(const json_t *result, const char *data, FILE *f) {
    const json_t *metrics = json_object_get(result, "metrics"), *groups = json_object_get(result, "groups"),
                 *bad = json_object_get(result, "bad");
    const char *name, *group;
    json_t *m, *g;
    char mean[32], low[32], high[32], line[400];
    fprintf(f, "samples     %lld of %s\n", integer(result, "samples"), data);
    if (json_array_size(bad)) print_bad(bad, f);
    if (json_is_number(json_object_get(result, "perplexity")))
        fprintf(f, "perplexity  %.6g\n", json_number_value(json_object_get(result, "perplexity")));
    vlm_table t = { 0 };
    vlm_table_row(&t, "metric\t>mean\t>95 %% from\t>to\t>samples");
    json_object_foreach((json_t *)(uintptr_t)metrics, name, m) {
        value(name, json_object_get(m, "mean"), mean);
        value(name, json_object_get(m, "low"), low);
        value(name, json_object_get(m, "high"), high);
        vlm_table_row(&t, "%s\t%s\t%s\t%s\t%lld", name, mean, low, high, integer(m, "samples"));
    }
    fputc('\n', f);
    vlm_table_print(&t, f);
    if (!json_object_size(groups)) return;
    snprintf(line, sizeof line, "group\t>samples");
    json_object_foreach((json_t *)(uintptr_t)metrics, name, m)
        snprintf(line + strlen(line), sizeof line - strlen(line), "\t>%s", name);
    vlm_table_row(&t, "%s", line);
    json_object_foreach((json_t *)(uintptr_t)groups, group, g) {
        const json_t *its = json_object_get(g, "metrics");
        *line = 0;
        json_object_foreach((json_t *)(uintptr_t)metrics, name, m) {
            value(name, json_object_get(json_object_get(its, name), "mean"), mean);
            snprintf(line + strlen(line), sizeof line - strlen(line), "\t%s", mean);
        }
        vlm_table_row(&t, "%s\t%lld%s", group, integer(g, "samples"), line);
    }
    fputc('\n', f);
    vlm_table_print(&t, f);
}

#include "cli.h"
#include "base/log.h"
#include "base/nearest.h"
#include "io/json.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

extern char **environ;

const vlm_command vlm_commands[VLM_COMMANDS] = {
#define COMMAND(name, text, args, min, max, line, page) { text, args, min, max, line, page, vlm_cmd_##name },
#include "commands.def"
#undef COMMAND
};
const vlm_option vlm_options[VLM_OPTIONS] = {
#define OPT(field, name, letter, type, metavar, def, lo, hi, commands, help) \
    { name, letter, VLM_KIND_##type, metavar, def, lo, hi, commands, help, offsetof(vlm_args, field) },
#include "options.def"
#undef OPT
};

/* ---- usage errors and numbers ------------------------------------------------------------------------------------ */
static bool usage;
bool vlm_is_usage(void) { return usage; }
vlm_status vlm_usage(const char *where, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    usage = true;
    vlm_status status = vlm_failv(VLM_EARG, where, fmt, args);
    va_end(args);
    return status;
}

vlm_status vlm_parse_int(const char *where, const char *text, int64_t lo, int64_t hi, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || !(isdigit((unsigned char)*text) || *text == '-'))
        return vlm_usage(where, "\"%s\" is not a whole number; give %lld to %lld", text, (long long)lo, (long long)hi);
    if (errno == ERANGE || v < lo || v > hi)
        return vlm_usage(where, "%s is out of range; give %lld to %lld", text, (long long)lo, (long long)hi);
    *out = v;
    return VLM_OK;
}
vlm_status vlm_parse_bytes(const char *where, const char *text, size_t *bytes) {
    static const struct { const char *unit; double factor; } units[] = {
        { "", 1 }, { "B", 1 }, { "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "TB", 1e12 }, { "k", 1e3 }, { "M", 1e6 }, { "G", 1e9 },
        { "T", 1e12 }, { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 }, { "TiB", 1099511627776 } };
    char *end;
    *bytes = 0;
    if (!text) return VLM_OK;
    double v = strtod(text, &end);
    bool decimal = end != text && (isdigit((unsigned char)*text) || *text == '.') && !strpbrk(text, "xX");
    end += strspn(end, " ");
    for (size_t i = 0; decimal && i < sizeof units / sizeof *units; i++)
        if (!strcasecmp(end, units[i].unit) && v * units[i].factor >= 1 && v * units[i].factor < 1e18) {
            *bytes = (size_t)(v * units[i].factor);
            return VLM_OK;
        }
    return vlm_usage(where, "\"%s\" is no amount of bytes; write 8GB, 500MB or bytes", text);
}
vlm_status vlm_parse_real(const char *where, const char *text, double lo, double hi, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(isdigit((unsigned char)*text) || *text == '-' || *text == '.') || strpbrk(text, "xX"))
        return vlm_usage(where, "\"%s\" is not a number; give %.15g to %.15g", text, lo, hi);
    if (!(v >= lo && v <= hi)) return vlm_usage(where, "%s is out of range; give %.15g to %.15g", text, lo, hi);
    *out = v;
    return VLM_OK;
}

size_t vlm_utf8_length(const char *text, size_t n) {
    size_t i = 0;
    for (utf8proc_int32_t c; i < n;) {
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        if (k < 1) break;
        i += (size_t)k;
    }
    return i;
}

/* ---- the nearest known name --------------------------------------------------------------------------------------- */
static const char *nearest_option(const char *name, int command) {
    const char *best = NULL;
    int least = (int)strlen(name) / 2 + 1;
    for (int i = 0; i < VLM_OPTIONS; i++) {
        int d = vlm_name_distance(name, vlm_options[i].name);
        if (vlm_options[i].commands & command && d < least) { least = d; best = vlm_options[i].name; }
    }
    return best;
}
/* The command's own (N_name; -1: any) before another's of the same name: --resume means one thing to train, another to eval. */
static int find_option(const char *name, size_t n, int command) {
    int found = -1;
    for (int i = 0; i < VLM_OPTIONS; i++) {
        if (strncmp(vlm_options[i].name, name, n) || vlm_options[i].name[n]) continue;
        if (command >= 0 && vlm_options[i].commands >> command & 1) return i;
        if (found < 0) found = i;
    }
    return found;
}
vlm_status vlm_command_find(const char *name, int *out) {
    char all[256] = "";
    int best = -1, least = (int)strlen(name) / 2 + 1;
    for (int i = 0; i < VLM_COMMANDS; i++) {
        int d = vlm_name_distance(name, vlm_commands[i].name);
        if (!d) { *out = i; return VLM_OK; }
        if (d < least) { least = d; best = i; }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", vlm_commands[i].name);
    }
    if (!*name) name = "COMMAND";
    if (!strcmp(name, "version")) return vlm_usage(name, "unknown command; did you mean --version? (this version has: %s)", all);
    if (best >= 0) return vlm_usage(name, "unknown command; did you mean %s? (this version has: %s)", vlm_commands[best].name, all);
    return vlm_usage(name, "unknown command; this version has: %s", all);
}

/* ---- one value -------------------------------------------------------------------------------------------------------- */
static vlm_status add_string(vlm_strings *l, const char *s) {
    const char **v = realloc(l->v, (size_t)(l->n + 1) * sizeof *v);
    if (!v) return vlm_fail_memory("options", (size_t)(l->n + 1) * sizeof *v);
    v[l->n] = s;
    *l = (vlm_strings){ v, l->n + 1 };
    return VLM_OK;
}
static bool is_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (const char *p = choices; p && *text; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (!strncmp(p, text, n) && (!p[n] || p[n] == '|')) return true;
    return false;
}
static vlm_status check_text(const char *where, const char *text) {
    size_t bad = vlm_utf8_length(text, strlen(text));
    return text[bad] ? vlm_usage(where, "byte %zu is not UTF-8; convert the text", bad) : VLM_OK;
}
/* text NULL: a flag without a value. `where` is what the user wrote: --max-size, VLM_MAX_SIZE, run.json: max-size. What a stronger source
   has set stays, but a bad value is an error all the same. */
static vlm_status set(vlm_args *a, int i, const char *where, const char *text, vlm_source from) {
    const vlm_option *o = &vlm_options[i];
    bool keep = from < a->from[i], free_text = o->metavar && !strcmp(o->metavar, "S");
    union { bool flag; int64_t n; double x; vlm_strings list; const char *text; } unused;
    void *to = keep ? (void *)&unused : (char *)a + o->at;
    if ((i == O_output || i == O_prefix || i == O_pca || i == O_similar) && text && !strcmp(text, "-"))
        return vlm_usage(where, "is -, but nothing is written to standard output here; name a file or folder");
    if (text && free_text) TRY(check_text(where, text));
    switch (o->kind) {
    case VLM_KIND_FLAG: {
        static const char *const words[] = { "false", "true", "0", "1", "no", "yes", "off", "on" };
        int w = 0;
        while (text && w < 8 && strcmp(text, words[w])) w++;
        if (w == 8) return vlm_usage(where, "\"%s\" is neither true nor false; give one of them", text);
        *(bool *)to = !text || w % 2;
        break;
    }
    case VLM_KIND_INT:  TRY(vlm_parse_int(where, text, (int64_t)o->lo, o->hi >= 0x1p63 ? INT64_MAX : (int64_t)o->hi, to)); break;
    case VLM_KIND_REAL: TRY(vlm_parse_real(where, text, o->lo, o->hi, to)); break;
    case VLM_KIND_TEXT:
        if (strchr(o->metavar, '|') && !is_choice(o->metavar, text))
            return vlm_usage(where, "\"%s\" is not known; give %s", text, o->metavar);
        if (!*text && !free_text) return vlm_usage(where, "is empty; give %s or leave it out", o->metavar);
        *(const char **)to = text;
        break;
    case VLM_KIND_LIST:
        if (!*text) return vlm_usage(where, "is empty; give %s or leave it out", o->metavar);
        if (keep) break;
        if (a->from[i] != from) ((vlm_strings *)to)->n = 0;    /* a stronger source replaces the whole list */
        TRY(add_string(to, text));
        break;
    }
    if (!keep) a->from[i] = from;
    return VLM_OK;
}

/* ---- the three sources ------------------------------------------------------------------------------------------------- */
static vlm_status unknown_option(const char *word, int n, int command) {
    char where[80], name[64];
    snprintf(where, sizeof where, "%.*s", n > 70 ? 70 : n, word);
    snprintf(name, sizeof name, "%s", where + strspn(where, "-"));
    int other = find_option(name, strlen(name), command);
    const char *best = nearest_option(name, 1 << command);
    if (other >= 0)
        return vlm_usage(where, "is not an option of %s; `vlm help %s` lists them", vlm_commands[command].name, vlm_commands[command].name);
    if (best) return vlm_usage(where, "unknown option; did you mean --%s?", best);
    return vlm_usage(where, "unknown option; `vlm help %s` lists them, and -- ends the options", vlm_commands[command].name);
}
static vlm_status from_line(int argc, char **argv, vlm_args *a) {
    bool options = true;
    for (int k = 1; k < argc; k++) {
        const char *w = argv[k], *value = NULL;
        if (!options || w[0] != '-' || !w[1]) { a->arg[a->args++] = w; continue; }
        if (!strcmp(w, "--")) { options = false; continue; }
        int i = -1, n = (int)strlen(w);
        if (w[1] == '-') {
            n = (int)strcspn(w, "=");
            i = find_option(w + 2, (size_t)n - 2, a->command);
            value = w[n] ? w + n + 1 : NULL;
        } else {
            for (int j = 0; j < VLM_OPTIONS; j++) if (vlm_options[j].letter == w[1]) i = j;
            value = w[2] ? w + 2 : NULL;
            if (i >= 0 && vlm_options[i].kind == VLM_KIND_FLAG && value) i = -1;
        }
        if (i < 0 || !(vlm_options[i].commands & 1 << a->command)) return unknown_option(w, n, a->command);
        char where[80];
        snprintf(where, sizeof where, "--%s", vlm_options[i].name);
        if (vlm_options[i].kind != VLM_KIND_FLAG && !value) {
            if (k + 1 == argc) return vlm_usage(where, "needs a value; write %s %s", where, vlm_options[i].metavar);
            value = argv[++k];
            if (value[0] == '-' && value[1] == '-' && value[2])
                return vlm_usage(where, "needs a value and is followed by %s; write %s=%s if that is the value", value, where, value);
        }
        TRY(set(a, i, where, value, VLM_LINE));
        if (i == O_help) return VLM_OK;
    }
    const vlm_command *c = &vlm_commands[a->command];
    if (a->args < c->min)
        return vlm_usage(c->name, "%.*s is missing; usage: vlm %s %s", a->args ? 11 : (int)strcspn(c->args, " ."),
                         a->args ? "an argument" : c->args, c->name, c->args);
    if (c->max >= 0 && a->args > c->max) {
        const char *image = a->image.n ? "; repeat -i for each image" : "";
        const char *text = strstr(c->args, "PROMPT") || strstr(c->args, "TEXT") ? "; a text with blanks needs quotes" : "";
        const char *data = a->command == N_train ? " --data D -o RUN" : "";
        return vlm_usage(c->name, "\"%s\" is one argument too many; usage: vlm %s%s%s%s%s%s", a->arg[c->max], c->name,
                         *c->args ? " " : "", c->args, data, image, text);
    }
    for (int k = 0; k < a->args; k++) {        /* MODEL, IMAGE, DATA and RUN are paths, the others may be empty */
        static const char *const paths[] = { "IMAGE", "DATA", "RUN" };
        const char *path = !k && !strncmp(c->args, "MODEL", 5) ? "MODEL" : NULL;
        for (int i = 0; !path && i < 3; i++) if (strstr(c->args, paths[i])) path = paths[i];
        if (!*a->arg[k] && path) return vlm_usage(c->name, "%s is empty; usage: vlm %s %s", path, c->name, c->args);
        if (k && strstr(c->args, "PROMPT")) TRY(check_text("PROMPT", a->arg[k]));
        if (k && strstr(c->args, "TEXT")) TRY(check_text("TEXT", a->arg[k]));
    }
    return VLM_OK;
}

static void env_name(const char *option, char out[64]) {
    size_t n = (size_t)snprintf(out, 64, "VLM_%s", option);
    for (size_t i = 0; i < n; i++) out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}
static vlm_status from_environment(vlm_args *a) {
    for (int i = 0; i < VLM_OPTIONS; i++) {
        char name[64];
        env_name(vlm_options[i].name, name);
        const char *value = getenv(name);
        if (!value || !*value || i == O_help || !(vlm_options[i].commands & 1 << a->command)) continue;
        TRY(set(a, i, name, value, VLM_ENVIRONMENT));
    }
    return VLM_OK;
}

void vlm_args_check_environment(void) {
    for (char **e = environ; *e; e++) {
        char option[64], name[64];
        size_t n = strcspn(*e, "=");
        if (strncmp(*e, "VLM_", 4) || n > 60) continue;
        for (size_t i = 4; i <= n; i++) option[i - 4] = i == n ? 0 : (*e)[i] == '_' ? '-' : (char)tolower((unsigned char)(*e)[i]);
        const char *best = find_option(option, n - 4, -1) < 0 ? nearest_option(option, C_ALL) : NULL;
        if (!best || vlm_name_distance(option, best) > 2) continue;     /* another program's */
        env_name(best, name);
        vlm_warn(name, "is an option, but the environment has %.*s; is that meant?", (int)n, *e);
    }
}

static vlm_status from_json(vlm_args *a, int i, const char *where, const json_t *v) {
    static const char *const wants[] = { "true or false", "a whole number", "a number", "a string", "a string or an array of strings" };
    char number[40];
    bool yes = json_is_true(v);
    const char *text = NULL;
    switch (vlm_options[i].kind) {
    case VLM_KIND_FLAG: if (json_is_boolean(v)) text = yes ? "true" : "false"; break;
    case VLM_KIND_INT:
        if (json_is_integer(v)) snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v)), text = number;
        break;
    case VLM_KIND_REAL: if (json_is_number(v)) snprintf(number, sizeof number, "%.17g", json_number_value(v)), text = number; break;
    case VLM_KIND_TEXT: case VLM_KIND_LIST: text = json_string_value(v); break;
    }
    if (!text) return vlm_usage(where, "has the wrong type; give %s", wants[vlm_options[i].kind]);
    return set(a, i, where, text, VLM_CONFIG_FILE);
}
static vlm_status from_config(vlm_args *a) {
    const char *key, *path = a->config;
    json_t *v, *item;
    size_t k;
    if (vlm_json_read(path, &a->settings)) return vlm_usage(vlm_error_where(), "%s", vlm_error_message());
    if (!json_is_object(a->settings)) return vlm_usage(path, "is not a JSON object; write {\"option\": value}");
    json_object_foreach(a->settings, key, v) {
        char where[1200];
        snprintf(where, sizeof where, "%s: %s", path, key);
        int i = find_option(key, strlen(key), a->command);
        if (i == O_config || i == O_help) return vlm_usage(where, "is not for a file; give it on the command line");
        if (i < 0) {
            const char *best = nearest_option(key, C_ALL);
            if (best) return vlm_usage(where, "unknown key; did you mean %s?", best);
            return vlm_usage(where, "unknown key; the keys are the options without dashes (`vlm help COMMAND`)");
        }
        if (!(vlm_options[i].commands & 1 << a->command)) continue;    /* one file may serve several commands */
        if (vlm_options[i].kind == VLM_KIND_LIST && json_is_array(v)) {
            json_array_foreach(v, k, item) TRY(from_json(a, i, where, item));
        } else TRY(from_json(a, i, where, v));
    }
    return VLM_OK;
}

vlm_status vlm_args_parse(int argc, char **argv, vlm_args *out) {
    vlm_args a = { 0 };
    vlm_status status = VLM_OK;
    a.word = argv, a.words = argc;
    TRY(vlm_command_find(argv[0], &a.command));
    if (!(a.arg = malloc((size_t)argc * sizeof *a.arg))) return vlm_fail_memory("arguments", (size_t)argc * sizeof *a.arg);
    for (int i = 0; i < VLM_OPTIONS; i++)
        if (vlm_options[i].def) TRY_DONE(set(&a, i, vlm_options[i].name, vlm_options[i].def, VLM_DEFAULT));
    TRY_DONE(from_line(argc, argv, &a));
    if (!a.help) {
        TRY_DONE(from_environment(&a));
        if (a.config) TRY_DONE(from_config(&a));
    }
    *out = a;
done:
    if (status) vlm_args_free(&a);
    return status;
}
void vlm_args_free(vlm_args *a) {
    for (int i = 0; i < VLM_OPTIONS; i++)
        if (vlm_options[i].kind == VLM_KIND_LIST) free(((vlm_strings *)(void *)((char *)a + vlm_options[i].at))->v);
    free(a->arg);
    json_decref(a->settings);
    *a = (vlm_args){ 0 };
}

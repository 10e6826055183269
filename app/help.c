#include "cli.h"
#include "infer/new.h"
#include <ctype.h>
#include <string.h>

static void wrap(FILE *f, const char *text, int indent, int at, int width) {
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (at > indent && at + 1 + n > width) { fprintf(f, "\n%*s", indent, ""); at = indent; }
        else if (at > indent) { fputc(' ', f); at++; }
        fwrite(text, 1, (size_t)n, f);
        at += n;
        text += n + (text[n] == ' ');
    }
    fputc('\n', f);
}
static void range(const vlm_option *o, char out[120]) {
    char bounds[80] = "";
    if (o->kind == VLM_KIND_INT || o->kind == VLM_KIND_REAL) {
        if (o->hi >= 1 << 30) snprintf(bounds, sizeof bounds, "%.15g or more", o->lo);
        else snprintf(bounds, sizeof bounds, "%.15g to %.15g", o->lo, o->hi);
    }
    snprintf(out, 120, "%s%s%s%s%s%s", *bounds || o->def ? " (" : "", bounds, *bounds && o->def ? ", " : "", o->def ? "default " : "",
             o->def ? o->def : "", *bounds || o->def ? ")" : "");
}
static void print_option(FILE *f, const vlm_option *o) {
    char left[80], r[120], text[512];
    range(o, r);
    if (o->letter) snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name);
    else snprintf(left, sizeof left, "  --%s", o->name);
    if (o->metavar) snprintf(left + strlen(left), sizeof left - strlen(left), " %s", o->metavar);
    snprintf(text, sizeof text, "%s%s", o->help, r);
    int n = fprintf(f, "%s", left);
    if (n > 26) { fputc('\n', f); n = 0; }
    fprintf(f, "%*s", 28 - n, "");
    wrap(f, text, 28, 28, 100);
}
void vlm_print_help(FILE *f, int command) {
    if (command < 0) {
        fputs("vlm " VLM_VERSION ": vision-language models whose images keep their own shape\n\n"
              "usage: vlm COMMAND MODEL [options] [arguments]\n\n", f);
        for (int i = 0; i < VLM_COMMANDS; i++) fprintf(f, "  %-11s %s\n", vlm_commands[i].name, vlm_commands[i].line);
        fputs("\n`vlm help COMMAND` says more, `vlm --version` what this program is made of. MODEL is a folder with config.json and\n"
              "model.safetensors. Exit codes: 0 ok, 1 failed, 2 wrong usage, 130 stopped.\n", f);
        return;
    }
    const vlm_command *c = &vlm_commands[command];
    fprintf(f, "usage: vlm %s%s%s [options]\n\n", c->name, *c->args ? " " : "", c->args);
    wrap(f, c->page, 0, 0, 100);
    for (int everywhere = 0; everywhere < 2; everywhere++) {
        bool head = false;
        for (int i = 0; i < VLM_OPTIONS; i++) {
            const vlm_option *o = &vlm_options[i];
            if (!(o->commands & 1 << command) || (o->commands == C_ALL) != everywhere) continue;
            if (!head) fputs(everywhere ? "\neverywhere:\n" : "\noptions:\n", f);
            head = true;
            print_option(f, o);
        }
    }
    fputs("\n--max-size 512 can also be given as VLM_MAX_SIZE=512 in the environment, or as {\"max-size\": 512} in a --config file.\n", f);
}

/* ---- manual page --------------------------------------------------------------------------------------------------- */
static void roff(FILE *f, const char *s) {
    if (*s == '.' || *s == '\'') fputs("\\&", f);
    for (; *s; s++) {
        if (*s == '-') fputs("\\-", f);
        else if (*s == '\\') fputs("\\e", f);
        else fputc(*s, f);
    }
}
static void roff_option(FILE *f, const vlm_option *o) {
    char r[120];
    range(o, r);
    fputs(".TP\n.B ", f);
    if (o->letter) fprintf(f, "\\-%c, ", o->letter);
    fputs("\\-\\-", f);
    roff(f, o->name);
    if (o->metavar) { fputc(' ', f); roff(f, o->metavar); }
    fputc('\n', f);
    roff(f, o->help);
    roff(f, r);
    fputc('\n', f);
}
/* Printed once for all, not with each command. */
static bool is_shared(const vlm_option *o) {
    int n = 0;
    for (int c = 0; c < VLM_COMMANDS; c++) n += o->commands >> c & 1;
    return n > 1;
}
void vlm_print_man(FILE *f) {
    fputs(".TH VLM 1 \"\" \"vlm " VLM_VERSION
          "\" \"User Commands\"\n.SH NAME\nvlm \\- vision\\-language models whose images keep their own shape\n"
          ".SH SYNOPSIS\n.B vlm\n.I COMMAND MODEL\n[options] [arguments]\n.SH COMMANDS\n",
          f);
    for (int c = 0; c < VLM_COMMANDS; c++) {
        fputs(".SS ", f);
        fprintf(f, "vlm %s%s", vlm_commands[c].name, *vlm_commands[c].args ? " " : "");
        roff(f, vlm_commands[c].args);
        fputc('\n', f);
        roff(f, vlm_commands[c].page);
        fputc('\n', f);
        bool shared = false;
        for (int i = 0; i < VLM_OPTIONS; i++)
            if (vlm_options[i].commands & 1 << c && !is_shared(&vlm_options[i])) roff_option(f, &vlm_options[i]);
        for (int i = 0; i < VLM_OPTIONS; i++) {
            if (!(vlm_options[i].commands & 1 << c) || !is_shared(&vlm_options[i]) || vlm_options[i].commands == C_ALL) continue;
            fprintf(f, "%s\\-\\-", shared ? ", " : ".PP\nBelow: ");
            roff(f, vlm_options[i].name);
            shared = true;
        }
        if (shared) fputs(".\n", f);
    }
    fputs(".SH OPTIONS OF SEVERAL COMMANDS\n", f);
    for (int i = 0; i < VLM_OPTIONS; i++)
        if (vlm_options[i].commands != C_ALL && is_shared(&vlm_options[i])) roff_option(f, &vlm_options[i]);
    fputs(".SH OPTIONS OF EVERY COMMAND\n", f);
    for (int i = 0; i < VLM_OPTIONS; i++)
        if (vlm_options[i].commands == C_ALL) roff_option(f, &vlm_options[i]);
    fputs(
        ".SH ENVIRONMENT\nEvery option \\-\\-max\\-size can be set as VLM_MAX_SIZE; the command line wins over that, and that over a\n"
        "\\-\\-config file. NO_COLOR is honoured.\n.SH EXIT STATUS\n0 ok, 1 failed, 2 wrong usage, 130 stopped by a signal.\n",
        f);
}

/* ---- completion ------------------------------------------------------------------------------------------------------ */
/* The words that an option's value may be, parted by blanks; NULL: a file. */
static const char *words_of(int option, char out[512]) {
    int n;
    const vlm_preset *p = vlm_presets(&n);
    const char *m = vlm_options[option].metavar;
    if (option == O_preset) {
        snprintf(out, 512, "help");
        for (int i = 0; i < n; i++) snprintf(out + strlen(out), 512 - strlen(out), " %s", p[i].name);
        return out;
    }
    if (!m || !strchr(m, '|')) return NULL;
    snprintf(out, 512, "%s", m);
    for (char *c = out; *c; c++) if (*c == '|') *c = ' ';
    return out;
}
static void bash(FILE *f) {
    char words[512];
    fputs("_vlm() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words\n  COMPREPLY=()\n"
          "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"", f);
    for (int c = 0; c < VLM_COMMANDS; c++) fprintf(f, "%s ", vlm_commands[c].name);
    fputs("--version --help\" -- \"$cur\")); return; fi\n  case $prev in\n", f);
    for (int i = 0; i < VLM_OPTIONS; i++) {
        if (words_of(i, words))
            fprintf(f, "    --%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return;;\n", vlm_options[i].name, words);
    }
    fputs("  esac\n  case ${COMP_WORDS[1]} in\n", f);
    for (int c = 0; c < VLM_COMMANDS; c++) {
        fprintf(f, "    %s) words=\"", vlm_commands[c].name);
        for (int i = 0; i < VLM_OPTIONS; i++) if (vlm_options[i].commands & 1 << c) fprintf(f, "--%s ", vlm_options[i].name);
        if (c == N_help) for (int k = 0; k < VLM_COMMANDS; k++) fprintf(f, "%s ", vlm_commands[k].name);
        fputs("\";;\n", f);
    }
    fputs("  esac\n  if [[ $cur == -* || ${COMP_WORDS[1]} == help ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "  else mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null; fi\n}\n"
          "complete -F _vlm vlm\n", f);
}
static void zsh_text(FILE *f, const char *s) {         /* inside '...[...]' */
    for (; *s; s++) {
        if (*s == '\'') fputs("'\\''", f);
        else {
            if (strchr("[]:\\", *s)) fputc('\\', f);
            fputc(*s, f);
        }
    }
}
static void zsh(FILE *f) {
    char words[512];
    fputs("#compdef vlm\n_vlm() {\n  local -a commands\n  commands=(\n", f);
    for (int c = 0; c < VLM_COMMANDS; c++) {
        fprintf(f, "    '%s:", vlm_commands[c].name);
        zsh_text(f, vlm_commands[c].line);
        fputs("'\n", f);
    }
    fputs("  )\n  if (( CURRENT == 2 )); then _describe command commands; return; fi\n  case $words[2] in\n", f);
    for (int c = 0; c < VLM_COMMANDS; c++) {
        fprintf(f, "    %s) _arguments", vlm_commands[c].name);
        for (int i = 0; i < VLM_OPTIONS; i++) {
            const vlm_option *o = &vlm_options[i];
            if (!(o->commands & 1 << c)) continue;
            fprintf(f, " \\\n      '%s--%s[", o->kind == VLM_KIND_LIST ? "*" : "", o->name);
            zsh_text(f, o->help);
            fputc(']', f);
            if (o->metavar) {
                fputc(':', f);
                zsh_text(f, o->metavar);
                if (words_of(i, words)) fprintf(f, ":(%s)", words);
                else fputs(":_files", f);
            }
            fputc('\'', f);
        }
        fputs(c == N_help ? " \\\n      '2:command:->commands'; _describe command commands;;\n" : " \\\n      '*:file:_files';;\n", f);
    }
    fputs("  esac\n}\n_vlm \"$@\"\n", f);
}
void vlm_print_completion(FILE *f, const char *shell) { if (!strcmp(shell, "zsh")) zsh(f); else bash(f); }

vlm_status vlm_cmd_help(vlm_args *a) {
    int command = -1;
    if (a->args && (a->man || a->completion))
        return vlm_usage("help", "--man and --completion are for all commands; leave %s out", a->arg[0]);
    if (a->args) TRY(vlm_command_find(a->arg[0], &command));
    if (a->man) vlm_print_man(stdout);
    else if (a->completion) vlm_print_completion(stdout, a->completion);
    else vlm_print_help(stdout, command);
    return VLM_OK;
}

/* vlm: the command line. Parse, run the command, say how it ended. */
#include "term.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Before the options are parsed: shall an error about them be JSON too? */
static bool wants_json(int argc, char **argv) {
    bool yes = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strncmp(argv[i], "--json", 6) && (!argv[i][6] || argv[i][6] == '=')) yes = strcmp(argv[i], "--json=false") != 0;
    return yes;
}
static vlm_status run(int argc, char **argv, vlm_args *a) {
    if (argc < 2) return vlm_usage("", "no command; `vlm help` lists them");
    if (!strcmp(argv[1], "--version")) { vlm_print_version(stdout, wants_json(argc, argv)); return VLM_OK; }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) { vlm_print_help(stdout, -1); return VLM_OK; }
    if (!strcasecmp(argv[1], "-v")) return vlm_usage(argv[1], "is not a command; did you mean --version?");
    if (argv[1][0] == '-') return vlm_usage(argv[1], "is not a command; options come behind it: vlm COMMAND [options]");
    TRY(vlm_args_parse(argc - 1, argv + 1, a));
    vlm_term_open(a);
    vlm_args_check_environment();
    if (a->help) { vlm_print_help(stdout, a->command); return VLM_OK; }
    return vlm_commands[a->command].run(a);
}
int main(int argc, char **argv) {
    vlm_args a = { 0 };
    vlm_signals_open();
    vlm_status status = run(argc, argv, &a);
    if (status == VLM_ESTOPPED) { fflush(stdout); vlm_args_free(&a); return 130; }
    if (status && !a.said) vlm_term_error(status, !a.reported && (a.json || (!a.arg && wants_json(argc, argv))));
    int code = status ? vlm_is_usage() ? 2 : 1 : 0;
    vlm_status flushed = vlm_flush();
    if (flushed && !code) { vlm_term_error(flushed, false); code = 1; }
    vlm_args_free(&a);
    return code;
}

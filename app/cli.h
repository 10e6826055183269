/* The command line: one table of commands and options (commands.def, options.def), and what is made of it: parsing, environment, --config
   file, help, manual page, completion. Errors are vlm_status like everywhere; usage errors are marked: they end with exit code 2. */
#ifndef VLM_CLI_H
#define VLM_CLI_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum {
#define COMMAND(name, ...) N_##name,
#include "commands.def"
#undef COMMAND
    VLM_COMMANDS
};
enum {
#define COMMAND(name, ...) C_##name = 1 << N_##name,
#include "commands.def"
#undef COMMAND
    C_ALL = (1 << VLM_COMMANDS) - 1,
    C_IMAGES = C_inspect | C_plan | C_preprocess | C_features | C_trace | C_ask | C_chat | C_train | C_eval | C_bench,
                                                                                               /* what shapes images */
    C_CACHE = C_ask | C_chat | C_features,                                                     /* they may keep what they compute */
    C_DATA = C_train | C_plan,                                                                 /* they read data sets */
    C_MODELS = C_IMAGES | C_tokenize                                                           /* they open a model */
};
enum {
#define OPT(field, ...) O_##field,
#include "options.def"
#undef OPT
    VLM_OPTIONS
};

typedef struct vlm_strings { const char **v; int n; } vlm_strings;
typedef bool vlm_FLAG;
typedef int64_t vlm_INT;
typedef double vlm_REAL;
typedef const char *vlm_TEXT;
typedef vlm_strings vlm_LIST;

/* What the user asked for. Options that were not given hold their default, or 0, or NULL; from[O_name] says who set one. */
typedef enum vlm_source { VLM_DEFAULT, VLM_CONFIG_FILE, VLM_ENVIRONMENT, VLM_LINE } vlm_source;
typedef struct vlm_args {
#define OPT(field, name, letter, type, ...) vlm_##type field;
#include "options.def"
#undef OPT
    vlm_source from[VLM_OPTIONS];
    int command;               /* N_name */
    const char **arg;          /* without options; MODEL first */
    int args;
    char **word;               /* the command line as it was typed, the command first */
    int words;
    json_t *settings;          /* the --config file: strings live there */
    bool reported, said;       /* stdout has the JSON of a failure already; stderr has its lines */
} vlm_args;

typedef struct vlm_command {
    const char *name, *args;
    int min, max;
    const char *line, *page;
    vlm_status (*run)(vlm_args *a);
} vlm_command;
extern const vlm_command vlm_commands[VLM_COMMANDS];
#define COMMAND(name, ...) vlm_status vlm_cmd_##name(vlm_args *a);
#include "commands.def"
#undef COMMAND

typedef enum vlm_kind { VLM_KIND_FLAG, VLM_KIND_INT, VLM_KIND_REAL, VLM_KIND_TEXT, VLM_KIND_LIST } vlm_kind;
typedef struct vlm_option {
    const char *name;
    char letter;
    vlm_kind kind;
    const char *metavar, *def;
    double lo, hi;
    int commands;
    const char *help;
    size_t at;                 /* of the field in vlm_args */
} vlm_option;
extern const vlm_option vlm_options[VLM_OPTIONS];

/* argv[0] is the command's name. Command line, then environment, then --config file. With --help the rest is not looked at. */
vlm_status vlm_args_parse(int argc, char **argv, vlm_args *out);
/* Warns of variables that look like a misspelt VLM_OPTION. */
void       vlm_args_check_environment(void);
void       vlm_args_free(vlm_args *a);
/* N_name, or a usage error that lists the commands and names the nearest. */
vlm_status vlm_command_find(const char *name, int *out);

/* A failure that is the command line's: exit code 2. */
vlm_status vlm_usage(const char *where, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool       vlm_is_usage(void);                 /* was the last failure one? */
/* Strict: nothing but the number, no overflow, within [lo, hi]. */
vlm_status vlm_parse_int(const char *where, const char *text, int64_t lo, int64_t hi, int64_t *out);
vlm_status vlm_parse_real(const char *where, const char *text, double lo, double hi, double *out);
/* "8GB", "500mb", "123456", "1.50 GB" as vlm_bytes_text says it; 1 and more. NULL: 0. */
vlm_status vlm_parse_bytes(const char *where, const char *text, size_t *bytes);
/* Bytes up to the first that is not UTF-8; n if all is. */
size_t     vlm_utf8_length(const char *text, size_t n);

/* help.c: all from the tables. */
void vlm_print_help(FILE *f, int command);     /* -1: the overview */
void vlm_print_man(FILE *f);
void vlm_print_completion(FILE *f, const char *shell);
void vlm_print_version(FILE *f, bool json);    /* version.c */
#endif

/* What the commands have in common that are not `run`: options, help, and how they fail and print.
 */
#ifndef STEPCELL_SHIM_COMMAND_H
#define STEPCELL_SHIM_COMMAND_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/json.h"

/* What stepcell exits with when it or an engine failed, or nothing was started. */
#define STATUS_FAILED 125

/* One option of a command, as the parser, the help text, the manual pages and the completion of
 * shells know it. Its value goes to *value, or is added to *list; a flag has none, and sets *flag.
 */
struct option_spec {
    const char *name;      /* "--platform" */
    const char *shorthand; /* "-q", or NULL */
    const char *argument;  /* the name of its value, "FILE", or its words, "auto|none" */
    const char **value;
    struct strv *list;
    bool *flag;
    const char *help; /* one line */
};

#define OPTION(name_, argument_, value_, help_)                                                    \
    {                                                                                              \
        .name = (name_), .argument = (argument_), .value = (value_), .help = (help_)               \
    }
#define OPTION_LIST(name_, argument_, list_, help_)                                                \
    {                                                                                              \
        .name = (name_), .argument = (argument_), .list = (list_), .help = (help_)                 \
    }
#define FLAG(name_, flag_, help_)                                                                  \
    {                                                                                              \
        .name = (name_), .flag = (flag_), .help = (help_)                                          \
    }
#define OPTION_QUIET(flag_)                                                                        \
    {                                                                                              \
        .name = "--quiet", .shorthand = "-q", .flag = (flag_), .help = "no messages but errors"    \
    }
#define OPTIONS_END                                                                                \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* A command that is not `run`. */
struct command {
    const char *usage;   /* "stepcell image pull [OPTIONS] REFERENCE"; a line for each form */
    const char *about;   /* whole sentences; lines of 80 characters at the most */
    const char *missing; /* what is said unless the words that are no options are as many as: */
    size_t words_min, words_max;
    bool options_first;                /* all that follows the first word is words */
    const struct option_spec *options; /* end with OPTIONS_END */
};

/*
 * Reads options until "--" or the end; what is left over, *words, stands at the beginning of argv.
 * False when that was all, with the exit status: --help was printed, or an error.
 */
bool command_begin(int argc, char **argv, const struct command *command, size_t *words,
                   int *status);

/* Adds the line of an option to a help text. */
bool command_add_option_help(struct buf *text, const char *shorthand, const char *name,
                             const char *argument, const char *help);

/* A command of a program that has several; a table of them ends with a nameless one. */
struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv); /* takes the words behind the name; the exit status */
    bool supervised;                   /* it leaves things behind when it is killed */
    const char *help;                  /* NULL: not for users */
};

/* Commands behind a common word, as `stepcell image pull`. */
struct command_group {
    const char *name;                  /* "image" */
    const char *about;                 /* whole sentences */
    const struct subcommand *commands; /* end with a nameless one */
};

/*
 * The command that the first word names. NULL when that was all, with the exit status: the help of
 * the group was asked for and printed, or there is no such command.
 */
const struct subcommand *command_group_choose(const struct command_group *group, const char *word,
                                              int *status);

/* What programs of libexec begin with: who calls, and what a caller may have left to them. */
bool subcommand_begin(struct err *err);

/* All of a program of libexec that stepcell alone starts: the first word is its command. */
int subcommand_main(const char *program, const struct subcommand *commands, int argc, char **argv);

/* Prints the error; the exit status. */
int command_failed(const struct err *err);

/* The exit status of a command that ended with `status`: failed when what it printed is lost. */
int command_end(int status);

/* Prints JSON on stdout and releases it; the exit status. */
int command_print_json(json_t *json);

#endif

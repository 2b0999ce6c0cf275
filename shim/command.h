/* What the commands have in common that are not `run`: options without a table of their own, and
 * how they fail and print. */
#ifndef STEPCELL_SHIM_COMMAND_H
#define STEPCELL_SHIM_COMMAND_H

#include <stdbool.h>

#include "base/json.h"

/* What stepcell exits with when it or an engine failed, or nothing was started. */
#define STATUS_FAILED 125

/* One option of a command: where its value goes, or where `true` goes when it takes none. */
struct option_spec {
    const char *name;      /* "--platform" */
    const char *shorthand; /* "-q", or NULL */
    const char **value;
    bool *flag;
};

/*
 * Reads options until "--" or the end; *words are what is left over, in order, inside argv.
 * `options` ends with a nameless one. `--help` sets *help.
 */
bool options_read(int argc, char **argv, const struct option_spec *options, bool *help,
                  size_t *word_count, struct err *err);

/* Prints the error; the exit status. */
int command_failed(const struct err *err);

/* The exit status of a command that ended with `status`: failed when what it printed is lost. */
int command_end(int status);

/* Prints JSON on stdout and releases it; the exit status. */
int command_print_json(json_t *json);

#endif

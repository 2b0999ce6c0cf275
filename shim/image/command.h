/*
 * stepcell-image: the commands of `stepcell image`, and `ensure` for `stepcell run`. Each takes the
 * words behind its name and gives the exit status.
 */
#ifndef STEPCELL_SHIM_IMAGE_COMMAND_H
#define STEPCELL_SHIM_IMAGE_COMMAND_H

#include "base/json.h"
#include "runtime/image/platform.h"
#include "runtime/image/store.h"

#define STATUS_FAILED 125

int command_pull(int argc, char **argv);
int command_list(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_remove(int argc, char **argv);
int command_export(int argc, char **argv);
int command_import(int argc, char **argv);
int command_gc(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_ensure(int argc, char **argv);

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

/* A text from outside for stdout (owned by the caller): control characters and what is not ASCII as
 * \uNNNN. */
char *command_escape(const char *text);

/* What most commands begin with. `path`, `platform` and `text` may be NULL for their defaults. */
bool command_open_store(const char *path, struct store *store, struct err *err);
bool command_parse_platform(const char *text, struct platform *platform, struct err *err);
bool command_parse_reference(const char *text, struct reference *reference, struct err *err);

#endif

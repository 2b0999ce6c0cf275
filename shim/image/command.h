/*
 * stepcell-image: the commands of `stepcell image`, those of `stepcell lock` and `stepcell
 * manifest`, `ensure` for `stepcell run` and `reach` for `stepcell doctor`. Each takes the words
 * behind its name and gives the exit status.
 */
#ifndef STEPCELL_SHIM_IMAGE_COMMAND_H
#define STEPCELL_SHIM_IMAGE_COMMAND_H

#include "runtime/image/platform.h"
#include "runtime/image/store.h"
#include "shim/command.h"

int command_base(int argc, char **argv);
int command_build(int argc, char **argv);
int command_check(int argc, char **argv);
int command_pull(int argc, char **argv);
int command_list(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_remove(int argc, char **argv);
int command_export(int argc, char **argv);
int command_import(int argc, char **argv);
int command_push(int argc, char **argv);
int command_init(int argc, char **argv);
int command_ship(int argc, char **argv);
int command_unship(int argc, char **argv);
int command_return(int argc, char **argv);
int command_gc(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_reach(int argc, char **argv);
int command_ensure(int argc, char **argv);
int command_lock(int argc, char **argv);
int command_manifest(int argc, char **argv);
int command_attest(int argc, char **argv);
int command_upstream(int argc, char **argv);

/* A text from outside for stdout (owned by the caller): control characters and what is not ASCII as
 * \uNNNN. */
char *command_escape(const char *text);

/* What most commands begin with. `path`, `platform` and `text` may be NULL for their defaults. */
bool command_open_store(const char *path, struct store *store, struct err *err);
bool command_parse_platform(const char *text, struct platform *platform, struct err *err);
bool command_parse_reference(const char *text, struct reference *reference, struct err *err);

#endif

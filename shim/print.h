/*
 * The only printer: stepcell's own messages, on stderr, each line with the prefix "stepcell: ".
 *
 * Texts may hold what came from an image, a registry or a step file: control characters, escape
 * sequences and bytes that are no UTF-8 are printed as \xNN, so that they cannot drive a terminal
 * or pass for output of the step.
 */
#ifndef STEPCELL_SHIM_PRINT_H
#define STEPCELL_SHIM_PRINT_H

#include "base/buf.h"
#include "base/err.h"

enum verbosity { PRINT_QUIET, PRINT_NORMAL, PRINT_VERBOSE };

/*
 * Prints the message and, on a line of its own, the fix. Always, also when quiet. False when nobody
 * takes it: whoever has more to say would only wait again.
 */
bool print_err(const struct err *err);

/* Prints what another program said of it, only when verbose. */
bool print_err_detail(enum verbosity verbosity, const struct err *err);

/* Prints a note unless quiet, a detail only when verbose. False when nobody takes it: who has many
 * notes then keeps them to himself, since each would wait for the reader. */
bool print_note(enum verbosity verbosity, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void print_detail(enum verbosity verbosity, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends a text as messages show it; false when it does not fit. */
bool print_escape(struct buf *buf, const char *text);

/* A line of facts for stdout, of which words came from elsewhere: shown as in messages. */
void print_fact(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The same JSON, in which what messages do not show as it is has the form \uXXXX. Owned by the
 * caller; NULL without memory.
 */
char *print_json_text(const char *json);

/* Facts for stdout, as they are. */
void print_out(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

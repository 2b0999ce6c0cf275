/*
 * The output file: what a step writes to the file that $STEPCELL_OUTPUT names, as GitHub's runner
 * reads its $GITHUB_OUTPUT (pure).
 *
 *     NAME=value
 *     NAME<<DELIMITER
 *     lines …
 *     DELIMITER
 *
 * Whichever of "=" and "<<" comes first decides. Names, values and delimiters are taken as they
 * stand, with their blanks. The value of the second form is what is between the two lines, without
 * the last line end; the other line ends stay as they are. Empty lines and a byte order mark are
 * skipped.
 *
 * Other than with GitHub's, a line may end with CRLF on every system, a malformed line does not
 * spoil the others, bytes that are no UTF-8 are refused and not replaced, and no name is empty.
 */
#ifndef STEPCELL_SHIM_RELAY_OUTPUT_FILE_H
#define STEPCELL_SHIM_RELAY_OUTPUT_FILE_H

#include "base/err.h"

#define OUTPUT_FILE_MAX           ((size_t)16 << 20) /* bytes that its reader reads */
#define OUTPUT_FILE_NAME_MAX      1024               /* bytes */
#define OUTPUT_FILE_VALUE_MAX     ((size_t)1 << 20)  /* bytes */
#define OUTPUT_FILE_VARIABLES_MAX 1000
#define OUTPUT_FILE_MALFORMED_MAX 100

/*
 * Calls `variable` for each variable in the order of the file, also when a name comes again (the
 * last one counts), and `malformed` for each line, counted from 1, that gives none, with a phrase
 * that says why. `name` is valid during the call; `value` lies in `text`: UTF-8 without a NUL, also
 * behind it.
 *
 * The rest of the file is not looked at behind a delimiter that is missing or empty, since nobody
 * knows where its value ends, behind OUTPUT_FILE_VARIABLES_MAX variables, and behind
 * OUTPUT_FILE_MALFORMED_MAX malformed lines; the last call of `malformed` says so.
 *
 * False when a callback was false, and has set `err`, or without memory.
 */
bool output_file_parse(const char *text, size_t len,
                       bool (*variable)(void *data, const char *name, const char *value, size_t len,
                                        struct err *err),
                       bool (*malformed)(void *data, size_t line, const char *why, struct err *err),
                       void *data, struct err *err);

#endif

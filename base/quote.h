/*
 * Quoting of words for others who take them apart again (pure).
 */
#ifndef STEPCELL_BASE_QUOTE_H
#define STEPCELL_BASE_QUOTE_H

#include "base/buf.h"

/*
 * A word for a shell that reads it from a file, an argument or the keyboard: whatever the word
 * holds, it is one word with these bytes, and nothing in it is expanded. What is printed is free of
 * control characters, which a terminal or the editor of a command line would act on: a word with
 * such, or with bytes that are no UTF-8, is written as $'…' (bash, ksh, zsh, POSIX of 2024), any
 * other as every shell of POSIX has it. False when the buffer is full.
 */
bool quote_shell(struct buf *out, const char *word);

/* A field KEY=VALUE of a record of CSV (RFC 4180), as the --mount of docker and stepcell has it. */
bool quote_csv(struct buf *out, const char *key, const char *value);

#endif

/* Base64 of RFC 4648, section 4, with padding (pure). */
#ifndef STEPCELL_BASE_BASE64_H
#define STEPCELL_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Owned by the caller; NULL without memory. */
char *base64_encode(const void *bytes, size_t len);

/*
 * Decodes a whole text; padding may be left away, nothing else is allowed. NULL when it is none, or
 * without memory; owned by the caller, with a NUL behind it.
 */
char *base64_decode(const char *text, size_t *len);

/* As base64_decode, but the bytes take the place of the text. A text that is none stays. */
bool base64_decode_in_place(char *text, size_t *len);

#endif

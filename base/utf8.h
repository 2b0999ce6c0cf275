/* UTF-8 of RFC 3629: no overlong forms, no surrogates, nothing behind U+10FFFF (pure). */
#ifndef STEPCELL_BASE_UTF8_H
#define STEPCELL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence at the first of `len` bytes, which are not none; 0 when it is none. */
size_t utf8_length(const char *bytes, size_t len);

/* The number of bytes at the beginning that are whole sequences. A NUL is one. */
size_t utf8_whole(const char *bytes, size_t len);

/* Whether all bytes are sequences. */
bool utf8_valid(const char *bytes, size_t len);

/* Whether all `len` bytes are the beginning of one sequence that goes on. */
bool utf8_is_cut(const char *bytes, size_t len);

/*
 * The length of the sequence at the beginning of a text that a terminal shows and does nothing
 * else with; 0 for control characters, overrides of the direction, and what is none.
 */
size_t utf8_harmless(const unsigned char *text);

#endif

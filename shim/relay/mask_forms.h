/*
 * The forms in which a secret value may show up in output. Pure.
 *
 * Of a value (without line ends at its end; a line end is \n, \r\n or \r):
 *   - itself, and when it has several lines: with \n, with \r\n and without line ends, and each
 *     line of more than three characters without blanks around it;
 *   - standard and URL-safe base64: the characters that depend on the value alone, wherever it lies
 *     in a longer text (three alignments), and the whole encoding of the value, of the value with
 *     \n and of the value as it was given; with and without padding, in one line or wrapped at 64
 *     or 76 columns with \n or \r\n;
 *   - percent-encoding with upper- and lower-case digits; unreserved characters as they are, and
 *     also as encodeURIComponent has it; / and space in both ways (%20 and +);
 *   - as a JSON string: the shortest escapes, also with \/, with HTML's characters as \u003c, and
 *     in pure ASCII;
 *   - as CSV has it in quotes: each " twice;
 *   - as shells have it in quotes: '\'' for each ', or '"'"' for one and '"''"' for two; each line,
 *     too.
 * Encodings are also made of the value with \n as line end, when it has others. Of a value of more
 * than MASK_FORMS_ALL_MAX bytes, which is a file and no word of a command or URL, there is none of
 * percent-encoding, JSON, CSV and shells: they would take most of the memory.
 */
#ifndef STEPCELL_SHIM_RELAY_MASK_FORMS_H
#define STEPCELL_SHIM_RELAY_MASK_FORMS_H

#include <stdbool.h>
#include <stddef.h>

#define MASK_FORM_MIN      4    /* bytes: shorter forms are left out */
#define MASK_FORMS_ALL_MAX 8192 /* bytes of a value that has all forms */
#define MASK_CHARACTERS_MIN                                                                        \
    4 /* characters: shorter values, and lines of values, are never masked */

/* `value` without the line ends at its end. */
size_t mask_forms_trim(const char *value, size_t len);

/* Characters of UTF-8; a byte that belongs to none is one. */
size_t mask_forms_characters(const char *bytes, size_t len);

/*
 * Calls `form` for each form of at least MASK_FORM_MIN bytes, some of them several times. The bytes
 * are valid during the call. False without memory or when `form` has returned false.
 */
bool mask_forms(const char *value, size_t len,
                bool (*form)(void *data, const char *bytes, size_t len), void *data);

#endif

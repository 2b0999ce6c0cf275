/*
 * Regular expressions that others have written. The C library takes memory and time without bounds
 * for some of them, to compile them already, and they are not given to it.
 *
 * POSIX's extended ones are meant. Without counts and back references, where nothing is repeated
 * that can be empty and no group has an anchor, what is left grows with each '+', which is kept
 * twice.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_EXPRESSION_H
#define STEPCELL_RUNTIME_IMAGE_EXPRESSION_H

#define EXPRESSION_PARTS_MAX 512 /* characters, sets, groups, with those that '+' adds */
#define EXPRESSION_DEPTH_MAX 32  /* groups in groups */

/* Why an expression is not compiled, or NULL. Not everything that is none is found. */
const char *expression_refusal(const char *text);

/* Behind the "[…]" that `text` begins with, or NULL when it has no end. */
const char *expression_bracket_end(const char *text);

#endif

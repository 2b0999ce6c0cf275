/* What a registry answers to whoever pushes (pure): OCI distribution-spec, untrusted. */
#ifndef STEPCELL_RUNTIME_IMAGE_PUSH_ANSWERS_H
#define STEPCELL_RUNTIME_IMAGE_PUSH_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUSH_CODE_MAX 64 /* bytes of a registry's error code, with the final NUL */

/*
 * Where an upload goes on: the path and query of a Location on the origin of `base`, whatever
 * scheme and port it names (a proxy in front of the registry has others). NULL when it names
 * another host or none at all, or without memory; owned by the caller.
 */
char *push_location(const char *base, const char *location);

/*
 * How many bytes of a blob of `size` bytes are there, by the Range of an upload: "0-99" says 100.
 * "0-0" is none to most registries.
 */
bool push_range(const char *value, uint64_t size, uint64_t *have);

/* The first code of an error, such as DENIED; "" when there is none that can be printed. */
void push_error_code(const char *body, size_t len, char code[PUSH_CODE_MAX]);

#endif

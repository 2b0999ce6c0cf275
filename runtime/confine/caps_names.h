/* Capabilities by name, as --cap-add and --cap-drop have them. */
#ifndef STEPCELL_RUNTIME_CONFINE_CAPS_NAMES_H
#define STEPCELL_RUNTIME_CONFINE_CAPS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* "CHOWN", "cap_chown", or "ALL": its bit, or all bits. False for a name that is none. */
bool caps_parse(const char *name, uint64_t *caps);

#define CAPS_NAME_MAX 64

/* The other way: "CHOWN" for its number. False for one that has no name. */
bool caps_name(unsigned int cap, char name[CAPS_NAME_MAX]);

#endif

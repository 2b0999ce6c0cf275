/*
 * The record of a network of root's, "NUMBER TOKEN BOOT_ID" (docs/design/network.md): which bridge
 * is meant, that it is this cell's and not one of another store with the same number, and that it
 * can still be there. The token is the bridge's alias, too.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_NETWORK_RECORD_H
#define STEPCELL_RUNTIME_NATIVE_NETWORK_RECORD_H

#include <stdint.h>

#include "base/err.h"

#define NETWORK_TOKEN_SIZE  17 /* 16 hexadecimal digits and the NUL */
#define NETWORK_BOOT_SIZE   37
#define NETWORK_RECORD_SIZE (6 + NETWORK_TOKEN_SIZE + NETWORK_BOOT_SIZE)

struct network_record {
    uint32_t number;
    char token[NETWORK_TOKEN_SIZE];
    char boot[NETWORK_BOOT_SIZE];
};

/* A record of this boot with a token that nobody has. */
bool network_record_make(uint32_t number, struct network_record *record, struct err *err);

void network_record_text(const struct network_record *record, char text[NETWORK_RECORD_SIZE]);

/* Nothing but what network_record_text gives. */
bool network_record_parse(const char *text, struct network_record *record);

/* The kernel's name of the time since it was started. */
bool network_boot(char boot[NETWORK_BOOT_SIZE], struct err *err);

#endif

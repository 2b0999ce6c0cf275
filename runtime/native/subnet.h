/*
 * The addresses of cells whose network root makes: each has a /30 of its own, with the host's end
 * of it, named by one number. The ranges are such as networks rarely use, since a cell must not
 * take the place of something that the host reaches.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_SUBNET_H
#define STEPCELL_RUNTIME_NATIVE_SUBNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUBNET_COUNT   49152 /* 198.18.0.0/16, 100.127.0.0/16, 10.213.0.0/16 */
#define SUBNET_TEXT    16
#define SUBNET_MAX_USE 65536 /* routes and addresses of the host */

/* In host byte order: the network; the host's end is 1 above it, the cell's 2 above it. */
uint32_t subnet_network(uint32_t number);
void subnet_text(uint32_t address, char text[SUBNET_TEXT]);

/* What the host uses: a route or an address, in host byte order. */
struct subnet_use {
    uint32_t address;
    uint32_t mask;
};

/* Whether the subnet overlaps one of them. A default route (mask 0) overlaps nothing. */
bool subnet_is_used(uint32_t number, const struct subnet_use *uses, size_t count);

/* One line of /proc/net/route; false for the heading and for what is no such line. */
bool subnet_parse_route(const char *line, struct subnet_use *use);

#endif

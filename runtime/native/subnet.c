#include "runtime/native/subnet.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PER_RANGE   16384 /* subnets of a /16 */
#define SUBNET_MASK 0xfffffffcu

uint32_t subnet_network(uint32_t number)
{
    static const uint32_t ranges[] = {
        0xc6120000u, /* 198.18.0.0: for tests of devices, on no network that carries traffic */
        0x647f0000u, /* 100.127.0.0: the end of what providers use for shared addresses */
        0x0ad50000u, /* 10.213.0.0 */
    };

    return ranges[number / PER_RANGE] + number % PER_RANGE * 4;
}

void subnet_text(uint32_t address, char text[SUBNET_TEXT])
{
    struct in_addr in = {htonl(address)};

    inet_ntop(AF_INET, &in, text, SUBNET_TEXT);
}

bool subnet_is_used(uint32_t number, const struct subnet_use *uses, size_t count)
{
    uint32_t network = subnet_network(number);

    for (size_t i = 0; i < count; i++) {
        uint32_t mask = uses[i].mask & SUBNET_MASK;

        if (uses[i].mask && (network & mask) == (uses[i].address & mask))
            return true;
    }
    return false;
}

bool subnet_parse_route(const char *line, struct subnet_use *use)
{
    uint32_t destination, mask;

    /* Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses as they lie in memory. */
    if (sscanf(line, "%*15s %8x %*8x %*x %*u %*u %*u %8x", &destination, &mask) != 2)
        return false;
    use->address = ntohl(destination);
    use->mask = ntohl(mask);
    return true;
}

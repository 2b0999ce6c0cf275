/*
 * Says on eth0 that it is a router to everywhere and gives out addresses of fd00:bad::/64. Ends with 0
 * when that was sent. Static, so that it runs in any cell.
 */
#define _GNU_SOURCE
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

struct advertisement {
    struct nd_router_advert router;
    struct nd_opt_prefix_info prefix;
};

int main(void)
{
    struct advertisement packet = {
        .router = {.nd_ra_hdr = {.icmp6_type = ND_ROUTER_ADVERT,
                                 .icmp6_dataun.icmp6_un_data8 = {64}}},
        .prefix = {.nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION,
                   .nd_opt_pi_len = 4,
                   .nd_opt_pi_prefix_len = 64,
                   .nd_opt_pi_flags_reserved = ND_OPT_PI_FLAG_ONLINK | ND_OPT_PI_FLAG_AUTO,
                   .nd_opt_pi_valid_time = htonl(3600),
                   .nd_opt_pi_preferred_time = htonl(3600),
                   .nd_opt_pi_prefix = {{{0xfd, 0x00, 0x0b, 0xad}}}},
    };
    struct sockaddr_in6 all = {.sin6_family = AF_INET6, .sin6_addr = {{{0xff, 0x02, [15] = 1}}}};
    int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), hops = 255, sent = 0;

    packet.router.nd_ra_router_lifetime = htons(1800);
    all.sin6_scope_id = if_nametoindex("eth0");
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0) {
        perror("advertise");
        return 1;
    }
    /* The interface's own address takes its time. */
    for (int i = 0; i < 60 && sent < 3; i++) {
        if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&all, sizeof(all)) > 0)
            sent++;
        else
            perror("advertise");
        usleep(100000);
    }
    return sent == 3 ? 0 : 1;
}

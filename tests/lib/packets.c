/*
 * Sends four packets by hand through eth0, without a question to any route: one to port 8090 of
 * 127.0.0.1, one that asks the other end of eth0 to pass it on there (source routing), one to
 * 203.0.113.9, and one as 203.0.113.1. Static, so that it runs in any cell.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct packet {
    struct iphdr ip;
    uint8_t options[8];
    struct udphdr udp;
    char data[4];
};

static uint16_t checksum(const struct packet *packet)
{
    uint16_t words[offsetof(struct packet, udp) / 2];
    uint32_t sum = 0;

    memcpy(words, packet, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / 2; i++)
        sum += words[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* To `last` by way of `to`, unless that is 0. */
static int send_packet(int fd, in_addr_t from, in_addr_t to, in_addr_t last)
{
    /* To everybody on the wire: the host has to decide. */
    const struct sockaddr_ll wire = {.sll_family = AF_PACKET,
                                     .sll_protocol = htons(ETH_P_IP),
                                     .sll_ifindex = (int)if_nametoindex("eth0"),
                                     .sll_halen = 6,
                                     .sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct packet packet = {
        .ip = {.version = 4,
               .ihl = offsetof(struct packet, udp) / 4,
               .tot_len = htons(sizeof(packet)),
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .saddr = from,
               .daddr = to},
        .options = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP},
        .udp = {.uh_sport = htons(8090),
                .uh_dport = htons(8090),
                .uh_ulen = htons(sizeof(packet) - offsetof(struct packet, udp))},
    };

    if (last) {
        memcpy(packet.options, (uint8_t[]){IPOPT_LSRR, 3 + sizeof(last), IPOPT_MINOFF}, 3);
        memcpy(packet.options + 3, &last, sizeof(last));
    }
    packet.ip.check = checksum(&packet);
    return sendto(fd, &packet, sizeof(packet), 0, (const struct sockaddr *)&wire, sizeof(wire)) > 0;
}

int main(void)
{
    int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    struct ifreq own = {.ifr_name = "eth0"};
    struct sockaddr_in address;
    in_addr_t loopback, host;

    if (fd < 0 || ioctl(fd, SIOCGIFADDR, &own) < 0) {
        perror("packets");
        return 1;
    }
    memcpy(&address, &own.ifr_addr, sizeof(address));
    loopback = inet_addr("127.0.0.1");
    host = htonl(ntohl(address.sin_addr.s_addr) - 1);
    if (!send_packet(fd, address.sin_addr.s_addr, loopback, 0) ||
        !send_packet(fd, address.sin_addr.s_addr, host, loopback) ||
        !send_packet(fd, address.sin_addr.s_addr, inet_addr("203.0.113.9"), 0) ||
        !send_packet(fd, inet_addr("203.0.113.1"), inet_addr("203.0.113.2"), 0)) {
        perror("packets");
        return 1;
    }
    return 0;
}

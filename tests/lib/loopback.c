/*
 * loopback INTERFACE: sends to PORT of 127.0.0.1 and ::1 by sockets that are bound to the interface,
 * and says whether it could send what no route is asked for.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PORT 8090

static void send_to(const struct sockaddr *address, socklen_t len, int type, const char *interface)
{
    int fd = socket(address->sa_family, type | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 1};

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
        perror("SO_BINDTODEVICE");
    /* The answers of another loopback than one's own are dropped: the listener tells. */
    if (connect(fd, address, len) == 0)
        (void)!send(fd, "hello", 5, MSG_NOSIGNAL);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const int types[] = {SOCK_DGRAM, SOCK_STREAM};

    if (argc != 2)
        return 2;
    for (int i = 0; i < 2; i++) {
        send_to((const struct sockaddr *)&v4, sizeof(v4), types[i], argv[1]);
        send_to((const struct sockaddr *)&v6, sizeof(v6), types[i], argv[1]);
    }
    if (socket(AF_PACKET, SOCK_RAW, 0) >= 0 || socket(AF_INET, SOCK_RAW, IPPROTO_RAW) >= 0)
        puts("may make packets");
    puts("sent");
    return 0;
}

/*
 * dns_flood ADDRESS: packets of any size to its port 53, more at once than anybody waits for, and connections
 * that say nothing, or half of a question. Then one question by each way, whose answer is waited for.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PACKETS     3000
#define CONNECTIONS 100

static const char question[] = "\0\036\022\064\001\0\0\1\0\0\0\0\0\0\4loop\7example\0\0\1\0\1";
#define LENGTH 2

static struct sockaddr_in address = {.sin_family = AF_INET};

static int ask(int type)
{
    const struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, type, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static void say(const char *way, int fd, size_t skip)
{
    static char reply[4096];
    ssize_t n = -1;

    if (send(fd, question + skip, sizeof(question) - 1 - skip, 0) > 0)
        n = recv(fd, reply, sizeof(reply), 0);
    printf("%s: %s\n", way,
           n > 4 && memcmp(reply + n - 4, "\313\0\161\011", 4) == 0 ? "answered" : "not answered");
}

int main(int argc, char **argv)
{
    static char bytes[65507];
    int fd;

    if (argc != 2 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        return 2;
    address.sin_port = htons(53);
    fd = ask(SOCK_DGRAM);
    for (int i = 0; i < PACKETS; i++) {
        memset(bytes, i, sizeof(bytes));
        send(fd, bytes, (size_t)i * 7919 % sizeof(bytes), MSG_DONTWAIT);
        if (i % 100 == 0)
            usleep(1000);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        int hanging = ask(SOCK_STREAM);

        if (i % 2)
            send(hanging, question, sizeof(question) / 2, 0);
    }
    usleep(200000);
    say("packets", ask(SOCK_DGRAM), LENGTH);
    say("connections", ask(SOCK_STREAM), 0);
    return 0;
}

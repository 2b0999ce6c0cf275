/* Says which families of sockets may be opened. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    static const struct {
        const char *name;
        int family;
        int type;
    } families[] = {
        {"unix", AF_UNIX, SOCK_STREAM},    {"inet", AF_INET, SOCK_STREAM},
        {"netlink", AF_NETLINK, SOCK_RAW}, {"alg", AF_ALG, SOCK_SEQPACKET},
        {"vsock", AF_VSOCK, SOCK_STREAM},
    };

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        int fd = socket(families[i].family, families[i].type, 0);

        printf("%s %s\n", families[i].name, fd < 0 ? "no" : "yes");
        if (fd >= 0)
            close(fd);
    }
    return 0;
}

#include "base/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define TERMINAL_TAKES 256 /* bytes: WAKEUP_CHARS of the kernel's n_tty.c */

int stream_open(int fd, struct stream_way *way)
{
    char path[32];
    struct stat st;
    int own;

    *way = (struct stream_way){0};
    if (fstat(fd, &st) < 0)
        return -1;
    way->is_socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        way->most = S_ISFIFO(st.st_mode) ? PIPE_BUF : TERMINAL_TAKES;
    return own;
}

ssize_t stream_write_some(int fd, const struct stream_way *way, const void *bytes, size_t len)
{
    struct pollfd writable = {.fd = fd, .events = POLLOUT};

    if (way->is_socket)
        return send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (way->most && poll(&writable, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, bytes, way->most && len > way->most ? way->most : len);
}

bool stream_write(int fd, const void *bytes, size_t len, int ms)
{
    struct stream_way way;
    autofd own = stream_open(fd, &way);
    struct pollfd writable = {.fd = own >= 0 ? own : fd, .events = POLLOUT};
    const char *rest = bytes;

    while (len > 0) {
        ssize_t n = stream_write_some(writable.fd, &way, rest, len);

        if (n >= 0) {
            rest += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN && poll(&writable, 1, ms) == 0) {
            errno = ETIMEDOUT;
            return false;
        } else if (errno != EAGAIN && errno != EINTR) {
            return false;
        }
    }
    return true;
}

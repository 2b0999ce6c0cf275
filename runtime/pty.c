#include "runtime/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Since Linux 4.13; asm/ioctls.h collides with the library's own. */
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static bool open_other(int master, const struct winsize *size, int *other)
{
    int no = 0, number;

    *other = ioctl(master, TIOCSPTLCK, &no) < 0
                 ? -1
                 : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*other < 0 || ioctl(*other, TIOCSWINSZ, size) == 0)
        return *other >= 0;
    number = errno;
    close(*other);
    errno = number;
    return false;
}

bool pty_open(const struct winsize *size, int *master, int *other)
{
    int number;

    *master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (*master < 0 || open_other(*master, size, other))
        return *master >= 0;
    number = errno;
    close(*master);
    *master = -1;
    errno = number;
    return false;
}

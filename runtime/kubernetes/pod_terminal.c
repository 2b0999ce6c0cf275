#include "runtime/kubernetes/pod_terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/cleanup.h"

#define NAME_SIZE 64 /* bytes of the path of a terminal */

static bool make_raw(int terminal, const struct terminal_size *size)
{
    const struct winsize value = {.ws_row = size->rows, .ws_col = size->columns};
    struct termios settings;

    if (tcgetattr(terminal, &settings) < 0)
        return false;
    cfmakeraw(&settings);
    return tcsetattr(terminal, TCSANOW, &settings) == 0 && ioctl(terminal, TIOCSWINSZ, &value) == 0;
}

bool pod_terminal_make(const struct terminal_size *size, int *master, int *other)
{
    autofd first = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), second = -1;
    char name[NAME_SIZE];

    if (first < 0 || grantpt(first) < 0 || unlockpt(first) < 0 ||
        ptsname_r(first, name, sizeof(name)) != 0 ||
        (second = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 || !make_raw(second, size) ||
        fcntl(first, F_SETFL, O_NONBLOCK) < 0)
        return false;
    *master = TAKE_FD(first);
    *other = TAKE_FD(second);
    return true;
}

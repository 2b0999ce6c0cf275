#include "shim/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

void terminal_make_raw(struct terminal *terminal, int fd)
{
    struct termios raw;

    if (!terminal->raw && tcgetattr(fd, &terminal->before) < 0)
        return;
    raw = terminal->before;
    cfmakeraw(&raw);
    terminal->fd = fd;
    terminal->raw = true;
    tcsetattr(fd, TCSADRAIN, &raw);
}

void terminal_restore(struct terminal *terminal)
{
    if (terminal->raw)
        tcsetattr(terminal->fd, TCSADRAIN, &terminal->before);
    terminal->raw = false;
}

void terminal_look(unsigned short *rows, unsigned short *columns)
{
    struct winsize size;

    *rows = *columns = 0;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (ioctl(fd, TIOCGWINSZ, &size) < 0)
            continue;
        *rows = size.ws_row;
        *columns = size.ws_col;
        return;
    }
}

void terminal_pass_size(int master)
{
    struct winsize size = {.ws_row = 0};

    terminal_look(&size.ws_row, &size.ws_col);
    if (size.ws_row > 0 || size.ws_col > 0)
        ioctl(master, TIOCSWINSZ, &size);
}

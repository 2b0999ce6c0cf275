/*
 * The caller's terminal while a command of a cell has one of its own: raw, so that every key goes
 * there, and afterwards as it was.
 */
#ifndef STEPCELL_SHIM_TERMINAL_H
#define STEPCELL_SHIM_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#define TERMINAL_TYPE "xterm" /* TERM, when the caller has none */

/* Zeroed: it is as it was. */
struct terminal {
    bool raw;
    int fd;
    struct termios before;
};

/* Makes the terminal `fd` raw, again if need be. What is no terminal is left alone. */
void terminal_make_raw(struct terminal *terminal, int fd);
void terminal_restore(struct terminal *terminal);

/* The size of the first of stdin, stdout and stderr that is a terminal; 0 and 0 without one. */
void terminal_look(unsigned short *rows, unsigned short *columns);

/* Gives that size to the terminal of which `master` is the other end. */
void terminal_pass_size(int master);

#endif

/*
 * The terminal of a command, made by whoever starts it: the first process of a cell or a container,
 * or stepcell-init for a visitor.
 */
#ifndef STEPCELL_RUNTIME_PTY_H
#define STEPCELL_RUNTIME_PTY_H

#include <stdbool.h>
#include <sys/ioctl.h>

/*
 * In the cell's own devpts, where no step can put anything else; the command's end, *other, is
 * found without a path (CVE-2025-52565). Both are the caller's, and close upon execution; the
 * master does not block. False with errno set, and nothing open.
 */
bool pty_open(const struct winsize *size, int *master, int *other);

#endif

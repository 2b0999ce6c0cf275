/* What the history of an image says (pure): a line for each step of its build. */
#ifndef STEPCELL_BASE_HISTORY_H
#define STEPCELL_BASE_HISTORY_H

#include <stdbool.h>

/*
 * Whether the line is an ENTRYPOINT, as BuildKit ("ENTRYPOINT ...") or Docker's older builder and
 * buildah ("/bin/sh -c #(nop) ENTRYPOINT ...") write it. A RUN is none whatever its command says:
 * such a line ("|1 NAME=VALUE /bin/sh -c ...") may hold build arguments, which are not to be shown.
 */
bool history_sets_entrypoint(const char *line);

#endif

/*
 * `acked` in a step's directory: how much of its event log the receiver has confirmed. Written by
 * `stepcell-events` alone; the bytes in front of `offset` are whole lines.
 */
#ifndef STEPCELL_SHIM_ACKED_H
#define STEPCELL_SHIM_ACKED_H

#include <stdint.h>

#include "base/err.h"
#include "shim/state/step_files.h"

struct acked {
    uint64_t offset; /* bytes of the log */
    int64_t seq;     /* of the last confirmed event; -1 for none */
};

#define ACKED_NONE ((struct acked){.seq = -1})

/* A missing file is ACKED_NONE; one that cannot be read or understood is an error. */
bool acked_read(int dirfd, struct acked *acked, struct err *err);

/* Replaces the file; it is on the disk when this returns. */
bool acked_write(int dirfd, const struct acked *acked, struct err *err);

#endif

/*
 * The scratch directory of a cell: STORE/cells/ID, 0700, locked (flock) as long as its owner lives.
 * What a crash leaves is found by the missing lock and removed by whoever makes the next scratch.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_SCRATCH_H
#define STEPCELL_RUNTIME_NATIVE_SCRATCH_H

#include "base/err.h"

struct scratch {
    char *path; /* absolute */
    int cells;  /* STORE/cells */
    int lock;   /* the directory itself */
    const char *name;
};

#define SCRATCH_INIT ((struct scratch){.cells = -1, .lock = -1})

/* Makes STORE/cells/ID and removes what cells that are gone have left. */
bool scratch_make(const char *store, const char *id, struct scratch *scratch, struct err *err);

/* Removes the directory with everything in it that the caller may remove; true when it is gone. */
bool scratch_remove(struct scratch *scratch);

#endif

/*
 * The scratch directory of a cell: STORE/cells/N, 0700, locked (flock) as long as its owner lives.
 *
 * A cell takes the lowest place that is free. A few places stay when their cell has ended, with
 * nothing in them but an empty record (ownership_record.h):
 * making and removing directories is the slowest part of a warm start on some disks
 * (docs/performance.md).
 * What a crash leaves is found by the missing lock and removed by whoever takes a place next.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_SCRATCH_H
#define STEPCELL_RUNTIME_NATIVE_SCRATCH_H

#include "base/err.h"

/* What an overlay needs; made and removed by the engine for each cell. */
#define SCRATCH_UPPER  "upper"
#define SCRATCH_WORK   "work"
#define SCRATCH_MARKER SCRATCH_WORK "/work/incompat" /* overlayfs makes it: see remove_marker */

struct scratch {
    char *path; /* absolute */
    int cells;  /* STORE/cells */
    int lock;   /* the directory itself */
    unsigned int place;
};

#define SCRATCH_INIT ((struct scratch){.cells = -1, .lock = -1})

/*
 * Takes a place in the store, which is open as `storefd`, and removes what cells that are gone have
 * left in others.
 */
bool scratch_take(int storefd, const char *store, struct scratch *scratch, struct err *err);

/* Gives the place up; true when nothing that the cell wrote is left. */
bool scratch_release(struct scratch *scratch);

/* Whether nothing is in a place: false with errno, which is ENOTEMPTY unless it cannot be told. */
bool scratch_is_empty(int place);

/*
 * Whether nothing is left of a step whose cell had the place `path` and is gone: it is gone, empty,
 * or another cell's by now. Waits for another call that takes it down, but not for ever.
 */
bool scratch_is_clear(const char *path, const char *step);

/* Gives it up as it is: a next call removes what is in it. */
void scratch_leave(struct scratch *scratch);

#endif

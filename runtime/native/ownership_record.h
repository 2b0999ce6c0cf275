/*
 * What a cell whose step has other ids notes in its scratch before the step starts, so that files
 * of such ids in its sources are given back when stepcell does not live to do it (ownership.h).
 *
 * "UID GID SECONDS NANOSECONDS STEP", the step's user, the start of the cell and the id of the
 * step, and for each source that the step may write to "DEV INO SECONDS NANOSECONDS UID GID PATH",
 * with its birth, each with a NUL at its end.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_OWNERSHIP_RECORD_H
#define STEPCELL_RUNTIME_NATIVE_OWNERSHIP_RECORD_H

#include <time.h>

#include "mounts/idmap.h"
#include "runtime/run_spec.h"

#define OWNERSHIP_RECORD     "owners"                                 /* in the scratch of a cell */
#define OWNERSHIP_RECORD_MAX (MOUNT_PLAN_MAX * (MOUNT_PATH_MAX + 64)) /* bytes */

struct ownership_record {
    uid_t uid;
    gid_t gid;
    struct timespec start;
    char *step;
    struct mount_plan plan; /* of these sources alone */
};

/* Writes it for a step that has other ids. */
bool ownership_record_write(int place, const struct run_spec *spec, const struct idmap *map,
                            const struct timespec *start, struct err *err);

/* Empties it, if there is one: it stays for the next cell, since making a file is dear. */
bool ownership_forget(int place);

/* Whether this entry of a place is one that is empty. */
bool ownership_is_forgotten(int place, const char *name);

/*
 * Gives back what the record in a place of a cell that is gone names; true when nothing is left of
 * it, nor the record. What takes longer than until the deadline (base/clock.h) is tried again by
 * later calls, which do not wait for who does nothing then. The place stays locked as long as a
 * process is at it.
 */
bool ownership_undo(int place, int64_t deadline);

/* Whether there is one of this step. */
bool ownership_is_noted(int place, const char *step);

bool ownership_record_text(const struct ownership_record *record, struct buf *text);

/* Nothing but what ownership_record_text gives; the record is released in any case. Pure. */
bool ownership_record_parse(const struct buf *text, struct ownership_record *record);
void ownership_record_release(struct ownership_record *record);

#endif

/*
 * /proc/PID/mountinfo (proc(5)): what is mounted where, and whether something is left (pure). The
 * kernel writes blanks, tabs, newlines and backslashes of a path as \OOO.
 */
#ifndef STEPCELL_MOUNTS_MOUNTINFO_H
#define STEPCELL_MOUNTS_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

#include "mounts/mount_spec.h"

#define MOUNTINFO_TYPE_MAX    32   /* bytes of the type of a file system */
#define MOUNTINFO_OPTIONS_MAX 1024 /* bytes of the options of a superblock; longer ones are cut */

struct mountinfo_entry {
    dev_t dev;
    char root[MOUNT_PATH_MAX];  /* the part of the file system that is mounted */
    char point[MOUNT_PATH_MAX]; /* where */
    char type[MOUNTINFO_TYPE_MAX];
    char options[MOUNTINFO_OPTIONS_MAX]; /* of the superblock */
};

/* Reads the line at *text; false when it cannot be read. Moves *text behind it in any case. */
bool mountinfo_read(const char **text, struct mountinfo_entry *entry);

/*
 * Whether a mount point in the text of a mountinfo file is the clean path or below it. A line that
 * cannot be read counts as one below: what is not understood is not verified.
 */
bool mountinfo_has_below(const char *text, const char *path);

#endif

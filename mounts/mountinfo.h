/*
 * /proc/PID/mountinfo (proc(5)): what is mounted where, and whether something is left (pure). The
 * kernel writes blanks, tabs, newlines and backslashes of a path as \OOO.
 */
#ifndef STEPCELL_MOUNTS_MOUNTINFO_H
#define STEPCELL_MOUNTS_MOUNTINFO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "mounts/mount_spec.h"

#define MOUNTINFO_MAX         (64 << 20) /* bytes of the file */
#define MOUNTINFO_TYPE_MAX    64   /* bytes of the type of a file system; a longer one is cut */
#define MOUNTINFO_OPTIONS_MAX 1024 /* bytes of the options of a superblock; longer ones are cut */

struct mountinfo_entry {
    uint64_t id;     /* statx(2): stx_mnt_id */
    uint64_t parent; /* the id of what it is mounted on */
    dev_t dev;
    char root[MOUNT_PATH_MAX];           /* the part of the file system that is mounted */
    char point[MOUNT_PATH_MAX];          /* where */
    char type[MOUNTINFO_TYPE_MAX];       /* ext4, fuse.sshfs */
    char options[MOUNTINFO_OPTIONS_MAX]; /* of the superblock */
};

/*
 * Reads the line at *text; false when it cannot be read, then id and parent are 0 or what it says:
 * any user may mount what has a path of any length. Moves *text behind it in any case.
 */
bool mountinfo_read(const char **text, struct mountinfo_entry *entry);

/*
 * Adds to `names` by what other paths the mounts of the text show a file of the mount `id`, whose
 * path is `path`; something else may be mounted over one. False without memory.
 */
bool mountinfo_names(const char *text, uint64_t id, const char *path, struct strv *names);

/*
 * Whether a server answers for its files, which may hang: FUSE, and the file systems of networks.
 */
bool mountinfo_is_served(const struct mountinfo_entry *entry);

/*
 * Whether there is such a mount in the text of a mountinfo file, or what cannot be read. systemd's
 * automount of /proc/sys/fs/binfmt_misc is none that anybody would have in a cell.
 */
bool mountinfo_has_served(const char *text);

/* FUSE without allow_other: the kernel lets only who mounted it use it. */
bool mountinfo_is_private(const struct mountinfo_entry *entry);

/*
 * Whether a mount point in the text of a mountinfo file is the clean path or below it. A line that
 * cannot be read counts as one below: what is not understood is not verified.
 */
bool mountinfo_has_below(const char *text, const char *path);

/* The same, but for a mount point that is the path itself. */
bool mountinfo_has_inside(const char *text, const char *path);

#endif

/*
 * What a caller asks to have mounted: the grammars of --package, --volume and --mount (pure).
 *
 *   --package [NAME=]DIR       NAME is what stands before the first '=' unless it holds a '/'
 *   --volume SRC:DST[:ro|rw]   docker's grammar, without named volumes
 *   --tmpfs PATH[:OPTION,…]    docker's grammar: size=, mode=, ro, rw, exec, noexec, nosuid, nodev
 *   --device SRC[:DST[:rwm]]   docker's grammar; less than rwm could not be enforced
 *   --mount KEY=VALUE,…        docker's grammar: CSV fields (RFC 4180 quoting), so any path can be
 * given
 */
#ifndef STEPCELL_MOUNTS_MOUNT_SPEC_H
#define STEPCELL_MOUNTS_MOUNT_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

enum mount_kind {
    MOUNT_BIND,
    MOUNT_COW, /* writable in the cell, changes are thrown away */
    MOUNT_TMPFS,
    MOUNT_PIN, /* a directory of the bind mount around it, on itself: it cannot be renamed */
    MOUNT_OWN, /* made by the engine for this cell: its role says what */
};

enum mount_role {
    MOUNT_WORKDIR,
    MOUNT_PACKAGE,
    MOUNT_VOLUME,
    MOUNT_SCRIPT,
    MOUNT_DEVICE,  /* a device node, below /dev */
    MOUNT_SECRETS, /* MOUNT_OWN: a directory */
    MOUNT_OUTPUT,  /* MOUNT_OWN: a file */
    MOUNT_COVER,   /* MOUNT_TMPFS: empty, over what a mount would show and no step is to have;
                      MOUNT_PIN: above it */
};

#define MOUNT_PATH_MAX 4096 /* bytes of a source or target */

struct mount_spec {
    enum mount_kind kind;
    enum mount_role role;
    char *source; /* as given; NULL for tmpfs and what the engine makes */
    char *target; /* absolute; NULL stands for the same path as the source */
    char *name;   /* of a package: "STEPCELL_PACKAGE_NAME" without its prefix, or NULL */
    bool readonly;
    uint64_t tmpfs_size; /* bytes, 0 for no limit of its own */
    mode_t tmpfs_mode;
    bool tmpfs_noexec;
};

bool mount_spec_package(const char *text, enum mount_kind kind, bool readonly,
                        struct mount_spec *spec, struct err *err);
bool mount_spec_volume(const char *text, struct mount_spec *spec, struct err *err);
bool mount_spec_mount(const char *text, struct mount_spec *spec, struct err *err);
bool mount_spec_tmpfs(const char *text, struct mount_spec *spec, struct err *err);
bool mount_spec_device(const char *text, struct mount_spec *spec, struct err *err);
void mount_spec_release(struct mount_spec *spec);

#endif

/*
 * The root of a cell: what every cell has besides the image and the plan (/proc, /dev, /sys, the
 * name service files), and the switch into it.
 *
 * Sequence, in the cell's first process: root_open_host while it still has the caller's ids, then,
 * as root of the cell's user namespace, root_enter, root_populate, what is to be set in /proc,
 * root_mask, the mount plan, root_switch.
 */
#ifndef STEPCELL_MOUNTS_ROOT_H
#define STEPCELL_MOUNTS_ROOT_H

#include "base/err.h"

enum { ROOT_DEVICE_NULL, ROOT_DEVICES = 6 };
#define ROOT_CGROUPS_MAX 4

/* Detached pieces of the host that a cell gets; -1 where there is none. */
struct root_host {
    int devices[ROOT_DEVICES];
    int sys;
    int resolv_conf;
    int hosts;
    int cgroups[ROOT_CGROUPS_MAX];
};

/* A cgroup of the cell: `name` below /sys/fs/cgroup, or NULL for that place itself, if it is the
 * only one. */
struct root_cgroup {
    const char *name;
    const char *path; /* on the host */
};

struct root_options {
    bool own_network;                             /* a network namespace of its own: a fresh /sys */
    bool single_id;                               /* no group 5 to give terminals to */
    const char *hosts;                            /* the file that becomes /etc/hosts */
    const char *resolv_conf;                      /* the file that becomes /etc/resolv.conf */
    struct root_cgroup cgroups[ROOT_CGROUPS_MAX]; /* shown read-only; without any, none is */
    size_t cgroup_count;
};

bool root_open_host(const struct root_options *options, struct root_host *host, struct err *err);

/* Attaches a detached root on top of the calling process's root and works in it from then on. */
bool root_enter(int root, struct err *err);

bool root_populate(int root, const struct root_options *options, const struct root_host *host,
                   struct err *err);

/*
 * Hides what a cell must not read, protects what it must not write (mask.h), shows its own cgroups.
 */
bool root_mask(int root, const struct root_options *options, const struct root_host *host,
               struct err *err);

/* Makes `root` the root of the mount namespace (pivot_root) and lets go of everything else. */
bool root_switch(int root, struct err *err);

#endif

/*
 * Id maps: which host ids the ids inside a cell are, and the user namespaces made of them.
 *
 * Three kinds, by who calls (docs/design/ownership.md):
 *   root                        0…1048575 inside are a dedicated host range that nobody else uses;
 *                               of the ids above that, those of the step have one in another
 *   a user with subordinate ids the step's own user inside is the caller; the other ids come from
 *                               the caller's ranges in /etc/subuid and /etc/subgid, in order
 *   any other user              the step's own user inside is the caller, and there are no other
 *                               ids
 */
#ifndef STEPCELL_MOUNTS_IDMAP_H
#define STEPCELL_MOUNTS_IDMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define IDMAP_IDS        1048576u    /* ids 0…1048575 exist inside root's cells */
#define IDMAP_ROOT_START 2013265920u /* 0x78000000: above systemd's ranges, below 2^31 */
/* For each of root's ids one for the disk: see runtime/native/ownership.h. */
#define IDMAP_LEFT_DISTANCE IDMAP_IDS
#define IDMAP_LEFT_START    (IDMAP_ROOT_START + IDMAP_LEFT_DISTANCE)
/* The same two ranges once more, for the ids of a step above those. */
#define IDMAP_HIGH_START (IDMAP_ROOT_START + 2 * IDMAP_IDS)
/* That of a process which has no rights and no files (runtime/native/dns.h). */
#define IDMAP_NOBODY     (IDMAP_ROOT_START + 4 * IDMAP_IDS)
#define IDMAP_ROOT_TOTAL (4 * IDMAP_IDS + 1)

#define IDMAP_GROUPS_MAX  64 /* supplementary groups */
#define IDMAP_EXTENTS_MAX (4 + IDMAP_GROUPS_MAX)
#define IDMAP_KEY_MAX     64
#define IDMAP_OWNER_MAX   64        /* of a name in /etc/subuid */
#define IDMAP_SUBID_MAX   (1 << 20) /* bytes of that file */

struct idmap_extent {
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};

struct idmap_side {
    struct idmap_extent extents[IDMAP_EXTENTS_MAX];
    size_t count;
};

enum idmap_kind { IDMAP_ROOT, IDMAP_RANGES, IDMAP_SINGLE };

struct idmap {
    enum idmap_kind kind;
    struct idmap_side uids;
    struct idmap_side gids;
};

/* A range of subordinate ids; count 0 when there is none. */
struct idmap_range {
    uint32_t start;
    uint32_t count;
};

/*
 * The map for a step that runs as uid:gid inside the cell, called by caller_uid:caller_gid. `uids`
 * and `gids` are the caller's subordinate ranges (ignored for root, whose map is the same for all
 * steps). Pure. Fails with user.unknown when an id is out of range.
 */
bool idmap_make(uid_t caller_uid, gid_t caller_gid, uid_t uid, gid_t gid,
                const struct idmap_range *uids, const struct idmap_range *gids, struct idmap *map,
                struct err *err);

/* The map that is in force for the calling process: reads /etc/subuid, /etc/subgid, finds
 * newuidmap. */
bool idmap_for_step(uid_t uid, gid_t gid, struct idmap *map, struct err *err);

/*
 * The first usable range of a user in the text of /etc/subuid or /etc/subgid (subuid(5)), by name
 * or number. Pure; count 0 when there is none.
 */
struct idmap_range idmap_find_range(const char *text, const char *name, uid_t uid);

/* The first whom such a text grants ids that root's cells have. Pure. */
bool idmap_find_intruder(const char *text, char owner[IDMAP_OWNER_MAX]);

/*
 * Gives the ids of a step above 1048575 a place in root's map. With other maps the user and its
 * group have one, and no group besides gets one. For cells, not for trees that are stored. Pure.
 */
void idmap_admit(struct idmap *map, uid_t uid, gid_t gid, const gid_t *groups, size_t count);

/* A file name for trees that are stored under this map. */
void idmap_key(const struct idmap *map, char key[IDMAP_KEY_MAX]);

/* The host id of an id inside, or false when it has none. */
bool idmap_outside(const struct idmap_side *side, uint32_t inside, uint32_t *outside);

/*
 * Gives the user namespace of child process `pid`, made with CLONE_NEWUSER, this map. newuidmap(1)
 * and newgidmap(1) write it for IDMAP_RANGES.
 */
bool idmap_write(const struct idmap *map, pid_t pid, struct err *err);

/* fork(2) into new namespaces (CLONE_NEW…), by the call that makes cells: -1 with errno. */
pid_t idmap_clone(uint64_t namespaces);

/*
 * Runs `function` in a child process inside a new user namespace with this map (and new mount and
 * network namespaces), as uid 0 and gid 0 there (the only ids there are, for IDMAP_SINGLE), with
 * all capabilities in it. Returns its exit status, or -1 with err. Only for children that are short
 * and do not care for signals: unpacking and removing.
 */
int idmap_run(const struct idmap *map, int (*function)(void *data), void *data, struct err *err);

/*
 * A descriptor of a user namespace with this map, -1 with err. For an idmapped mount
 * (mount_setattr(2), MOUNT_ATTR_IDMAP) `inside` are ids on disk and `outside` are ids as seen
 * through the mount.
 */
int idmap_open_userns(const struct idmap *map, struct err *err);

#endif

#include "runtime/native/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "mounts/idmap.h"
#include "runtime/native/cgroup.h"
#include "runtime/native/network.h"
#include "runtime/native/ownership_record.h"

#define PLACES_MAX    100000 /* cells at once in one store */
#define PLACES_KEPT   4      /* places that stay; the others are removed with their cell */
#define NAME_SIZE     16
#define SWEEP_ENTRIES 5000 /* of a dead cell, that a call removes at the most */
#define LOOK_MS       20   /* between looks at what another call takes down */
#define SWEEP_MS      3000 /* after which a call starts to take down no more of dead cells */

static bool is_nothing(void *data, int dirfd, const char *name)
{
    (void)data;
    if (ownership_is_forgotten(dirfd, name))
        return true;
    errno = ENOTEMPTY;
    return false;
}

bool scratch_is_empty(int place)
{
    return file_each_entry(place, ".", is_nothing, NULL);
}

/* A place that is locked by this process, or -1. A place that was removed meanwhile is none. */
static int lock_place(int cells, const char *name)
{
    autofd lock = openat(cells, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 || fstat(lock, &st) < 0 || st.st_nlink == 0)
        return -1;
    return TAKE_FD(lock);
}

struct dead {
    int cells;
    const char *name;
};

/* As much as a start can wait for; later calls go on. */
static bool remove_some(int cells, const char *name)
{
    struct file_budget budget = {.max = SWEEP_ENTRIES};

    return file_remove_within(cells, name, &budget);
}

static int remove_dead(void *data)
{
    const struct dead *dead = data;

    return remove_some(dead->cells, dead->name) ? 0 : 1;
}

static bool has(int place, const char *record)
{
    return faccessat(place, record, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A cgroup or the network of the cell is left: the next call tries again, by the record. */
static bool has_record(int place)
{
    return has(place, CGROUP_RECORD) || has(place, NETWORK_RECORD);
}

/* Files of a cell may belong to ids that only a user namespace with these ids can remove. */
static bool remove_place(int cells, const char *name, int place, int64_t deadline)
{
    struct dead dead = {cells, name};
    struct idmap map;
    struct err ignored;

    /* What could not be undone keeps its record, and so its place. */
    if (clock_now() >= deadline && (has_record(place) || has(place, OWNERSHIP_RECORD)))
        return false;
    return cgroup_sweep(place) && network_undo(place) && ownership_undo(place, deadline) &&
           (remove_some(cells, name) || (idmap_for_step(0, 0, &map, &ignored) &&
                                         idmap_run(&map, remove_dead, &dead, &ignored) == 0));
}

struct sweep {
    const struct scratch *scratch;
    int64_t deadline;
};

/* Looks at a place that this process does not use, and has not tried to take. */
static bool sweep_place(void *data, int cells, const char *name)
{
    const struct sweep *sweep = data;
    uint64_t place;
    bool numbered = num_parse(name, PLACES_MAX, &place);
    autofd lock = -1;

    /* What has no number was made by nobody who takes places. */
    if (!numbered || place <= sweep->scratch->place)
        return true;
    lock = lock_place(cells, name);
    if (lock >= 0 && (place >= PLACES_KEPT || !scratch_is_empty(lock)))
        remove_place(cells, name, lock, sweep->deadline); /* what stays is tried again */
    return true;
}

bool scratch_is_clear(const char *path, const char *step)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * NS_PER_MS};
    int64_t deadline = clock_now() + SWEEP_MS * NS_PER_MS;

    do {
        autofd place = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (place < 0)
            return errno == ENOENT;
        if (scratch_is_empty(place))
            return true;
        if (flock(place, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            return false;
        if (!ownership_is_noted(place, step))
            return true;
        nanosleep(&look, NULL);
    } while (clock_now() < deadline);
    return false;
}

static bool failed(const char *path, struct err *err)
{
    err_errno(err, ERR_ENGINE_FAILED, "cannot make a scratch directory in '%s'", path);
    return err_hint(err, "the store must be writable; choose another one with --store");
}

/* The lowest place that nobody has; what a crash left in it is removed. */
static bool take_place(int cells, struct scratch *scratch, int64_t deadline)
{
    char name[NAME_SIZE];

    for (unsigned int place = 0; place < PLACES_MAX; place++) {
        autofd lock = -1;

        snprintf(name, sizeof(name), "%u", place);
        lock = lock_place(cells, name);
        if (lock < 0 && mkdirat(cells, name, 0700) == 0)
            lock = lock_place(cells, name);
        else if (lock < 0 && errno != EEXIST)
            return false;
        if (lock < 0)
            continue;
        if (!scratch_is_empty(lock)) {
            if (errno != ENOTEMPTY)
                return false;
            /* Made anew; a place that cannot be cleared is nobody's. */
            if (remove_place(cells, name, lock, deadline))
                place--;
            continue;
        }
        scratch->lock = TAKE_FD(lock);
        scratch->place = place;
        return true;
    }
    errno = EMFILE;
    return false;
}

bool scratch_take(int storefd, const char *store, struct scratch *scratch, struct err *err)
{
    autofree char *path = text_printf("%s/cells", store);
    struct sweep sweep = {scratch, clock_now() + SWEEP_MS * NS_PER_MS};
    /* No link: what lies in it is removed. */
    autofd cells = file_open_own_dir(storefd, "cells");

    if (!path || cells < 0 || !take_place(cells, scratch, sweep.deadline))
        return failed(store, err);
    scratch->path = text_printf("%s/%u", path, scratch->place);
    scratch->cells = TAKE_FD(cells);
    file_each_entry(scratch->cells, ".", sweep_place, &sweep);
    return scratch->path || failed(path, err);
}

static bool remove_entry(void *data, int dirfd, const char *name)
{
    (void)data;
    return ownership_is_forgotten(dirfd, name) || file_remove_tree(dirfd, name);
}

static bool remove_written(const struct scratch *scratch, const char *name)
{
    bool clean =
        ownership_forget(scratch->lock) && file_each_entry(scratch->lock, ".", remove_entry, NULL);

    return clean && scratch->place < PLACES_KEPT ? true : file_remove_tree(scratch->cells, name);
}

bool scratch_release(struct scratch *scratch)
{
    char name[NAME_SIZE];
    bool clean;

    snprintf(name, sizeof(name), "%u", scratch->place);
    clean = !has_record(scratch->lock) && remove_written(scratch, name);
    scratch_leave(scratch);
    return clean;
}

void scratch_leave(struct scratch *scratch)
{
    close_fd(scratch->cells);
    close_fd(scratch->lock);
    free(scratch->path);
    *scratch = SCRATCH_INIT;
}

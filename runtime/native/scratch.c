#include "runtime/native/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/idmap.h"

#define STALE_AT_ONCE 64

struct stale {
    int cells;
    const char *name;
};

static int remove_stale(void *data)
{
    const struct stale *stale = data;

    return file_remove_tree(stale->cells, stale->name) ? 0 : 1;
}

/* Files of a cell may belong to subordinate ids, which only a namespace with these ids can remove.
 */
static void remove_dead(int cells, const char *name)
{
    struct stale stale = {cells, name};
    struct idmap map;
    struct err ignored; /* what stays is tried again by the next call */

    if (!file_remove_tree(cells, name) && idmap_for_step(0, 0, &map, &ignored))
        idmap_run(&map, remove_stale, &stale, &ignored);
}

/*
 * Collects the directories whose owner is gone, locked by this process from then on. The exclusive
 * lock on the parent keeps out those who have made theirs and not locked it yet.
 */
static void collect_dead(int cells, int locks[STALE_AT_ONCE], struct strv *names)
{
    autofd parent = openat(cells, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir *dir = NULL;
    struct dirent *entry;

    if (parent < 0 || flock(parent, LOCK_EX | LOCK_NB) < 0)
        return;
    dir = fdopendir(dup(parent));
    while (dir && names->count < STALE_AT_ONCE && (entry = readdir(dir))) {
        autofd lock = -1;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        lock = openat(cells, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 || !strv_add(names, entry->d_name))
            continue;
        locks[names->count - 1] = TAKE_FD(lock);
    }
}

static void sweep(int cells)
{
    autostrv names = {.max = STALE_AT_ONCE};
    int locks[STALE_AT_ONCE];

    collect_dead(cells, locks, &names);
    for (size_t i = 0; i < names.count; i++) {
        remove_dead(cells, names.items[i]);
        close_fd(locks[i]);
    }
}

static bool failed(const char *path, struct err *err)
{
    err_errno(err, ERR_ENGINE_FAILED, "cannot make the scratch directory '%s'", path);
    return err_hint(err, "the store must be writable; choose another one with --store");
}

bool scratch_make(const char *store, const char *id, struct scratch *scratch, struct err *err)
{
    autofree char *cells_path = text_printf("%s/cells", store);
    autofree char *path = text_printf("%s/cells/%s", store, id);
    autofd cells = -1, lock = -1;

    if (!cells_path || !path || !file_make_dirs(cells_path, 0700, ERR_ENGINE_FAILED, err))
        return false;
    cells = open(cells_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cells < 0)
        return failed(cells_path, err);
    sweep(cells);
    /* A file system without locks (ENOLCK) has no sweeping either. */
    flock(cells, LOCK_SH);
    if (mkdirat(cells, id, 0700) < 0)
        return failed(path, err);
    lock = openat(cells, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        return failed(path, err);
    flock(lock, LOCK_EX);
    flock(cells, LOCK_UN);
    scratch->path = TAKE_PTR(path);
    scratch->name = path_name(scratch->path);
    scratch->cells = TAKE_FD(cells);
    scratch->lock = TAKE_FD(lock);
    return true;
}

bool scratch_remove(struct scratch *scratch)
{
    bool gone = !scratch->path || file_remove_tree(scratch->cells, scratch->name);

    close_fd(scratch->cells);
    close_fd(scratch->lock);
    free(scratch->path);
    *scratch = SCRATCH_INIT;
    return gone;
}

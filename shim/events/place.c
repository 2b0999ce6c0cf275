#include "shim/events/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "shim/acked.h"

/*
 * All files of a step that is not durable, in the order in which they go: the log first, which is
 * confirmed, and `acked` behind it to say so; the lock of the deliverer last.
 */
static const char *const known[] = {STEP_EVENTS, STEP_RESULT, STEP_LOCK, STEP_TARGET,
                                    STEP_ACKED,  STEP_SENDER, NULL};
static const char *const own[] = {STEP_ACKED, NULL};

enum place_lock place_lock(int dir, int *lock, struct err *err)
{
    autofd fd =
        openat(dir, STEP_SENDER, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;

    /* The one before has removed the directory since it was opened, or just the lock. */
    if (fd < 0 && errno == ENOENT)
        return PLACE_BUSY;
    if (fd < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot lock '%s'", STEP_SENDER);
        return PLACE_FAILED;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return PLACE_BUSY;
        err_errno(err, ERR_ENGINE_FAILED, "cannot lock '%s'", STEP_SENDER);
        return PLACE_FAILED;
    }
    if (fstat(fd, &st) == 0 && st.st_nlink == 0)
        return PLACE_BUSY;
    *lock = TAKE_FD(fd);
    return PLACE_LOCKED;
}

/* "NAME.tmp01234567": what file_replace writes before it renames. */
static bool is_temporary(const char *name, const char *of)
{
    size_t len = strlen(of);

    return strncmp(name, of, len) == 0 && strncmp(name + len, ".tmp", 4) == 0 &&
           strspn(name + len + 4, "0123456789abcdef") == strlen(name + len + 4);
}

static bool is_temporary_of_any(const char *name, const char *const *files)
{
    for (; *files; files++) {
        if (is_temporary(name, *files))
            return true;
    }
    return false;
}

static bool remove_temporary(void *data, int dirfd, const char *name)
{
    if (is_temporary_of_any(name, data))
        unlinkat(dirfd, name, 0);
    return true;
}

void place_tidy(int dir)
{
    file_each_entry(dir, ".", remove_temporary, (void *)own);
}

static bool is_missing(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

bool place_is_kept(int dir)
{
    return !is_missing(dir, STEP_LEDGER);
}

static bool is_known(void *data, int dirfd, const char *name)
{
    struct err *err = data;

    (void)dirfd;
    if (is_temporary_of_any(name, known))
        return true;
    for (const char *const *file = known; *file; file++) {
        if (strcmp(*file, name) == 0)
            return true;
    }
    return err_set(err, ERR_ENGINE_FAILED, "'%s' is no file of a step's directory, which stays",
                   name);
}

bool place_remove(int dir, const char *path, struct err *err)
{
    struct err found = ERR_INIT;

    if (!file_each_entry(dir, ".", is_known, &found)) {
        if (found.code == ERR_NONE)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", path);
        *err = found;
        return false;
    }
    file_each_entry(dir, ".", remove_temporary, (void *)known);
    for (const char *const *file = known; *file; file++) {
        if (unlinkat(dir, *file, 0) < 0 && errno != ENOENT)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot remove '%s'", *file);
    }
    /* Another deliverer may have come behind the removed lock, and does the rest. */
    if (rmdir(path) < 0 && errno != ENOENT && errno != ENOTEMPTY)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot remove '%s'", path);
    return true;
}

bool place_is_half_removed(int dir)
{
    struct acked acked;
    struct err err;

    if (!is_missing(dir, STEP_EVENTS))
        return false;
    return is_missing(dir, STEP_TARGET) || (acked_read(dir, &acked, &err) && acked.offset > 0);
}

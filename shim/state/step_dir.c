#include "shim/state/step_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "shim/state/ledger.h"

#define STEPS      "steps"
#define ID_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define ID_DIGITS  "0123456789"

bool step_id_is_good(const char *id)
{
    size_t len = strlen(id);

    return len > 0 && len <= STEP_ID_MAX && strchr(ID_LETTERS ID_DIGITS, id[0]) &&
           strspn(id, ID_LETTERS ID_DIGITS "._-:@+=") == len;
}

static bool failed(const char *id, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot keep a record of step '%s'", id);
}

int steps_open(const char *store)
{
    autofd dir = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return dir >= 0 && file_is_own_dir(dir, "") ? file_open_own_dir(dir, STEPS) : -1;
}

/* Opens the directory of the steps, which need not be there yet. */
static int make_steps(const char *store, const char *id, struct err *err)
{
    autofree char *path = text_printf("%s/" STEPS, store);
    int steps = -1;

    if (path && file_make_dirs(path, 0700, ERR_ENGINE_FAILED, err)) {
        steps = steps_open(store);
        if (steps < 0)
            failed(id, err);
    }
    return steps;
}

bool step_key_make(struct step_key *key, struct err *err)
{
    return getrandom(key->bytes, sizeof(key->bytes), 0) == (ssize_t)sizeof(key->bytes) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot make a key for the step");
}

bool step_key_read(const struct step_dir *step, struct step_key *key)
{
    autofd fd = openat(step->fd, STEP_KEY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && read(fd, key->bytes, sizeof(key->bytes)) == (ssize_t)sizeof(key->bytes);
}

static bool make_file(int dirfd, const char *name, const void *bytes, size_t len)
{
    autofd fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd >= 0 && file_write_all(fd, bytes, len) && fsync(fd) == 0;
}

/* All that a step has from its beginning, in a directory that nobody knows yet. */
static bool fill(int dirfd, const char *id, const json_t *accepted, const struct step_key *key,
                 struct err *err)
{
    if (!make_file(dirfd, STEP_LOCK, "", 0) || !make_file(dirfd, STEP_EVENTS, "", 0) ||
        (key && !make_file(dirfd, STEP_KEY, key->bytes, sizeof(key->bytes))))
        return failed(id, err);
    return !accepted || ledger_append(dirfd, LEDGER_ACCEPTED, json_copy((json_t *)accepted), err);
}

/* The name appears with everything behind it, and only if nobody has it. */
static bool publish(int steps, const char *temporary, const char *id, bool *exists, struct err *err)
{
    *exists = false;
    if (renameat2(steps, temporary, steps, id, RENAME_NOREPLACE) == 0)
        return fsync(steps) == 0 || failed(id, err);
    if (errno != EEXIST)
        return failed(id, err);
    *exists = true;
    file_remove_tree(steps, temporary);
    return true;
}

bool step_dir_make(const char *store, const char *id, const json_t *accepted,
                   const struct step_key *key, struct step_dir *step, bool *exists, struct err *err)
{
    autofd steps = make_steps(store, id, err), dir = -1;
    autofree char *temporary = NULL;
    unsigned int random;
    bool found;

    if (steps < 0)
        return false;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return failed(id, err);
    /* Not by a number of the process: who shares the store may be in another pid namespace. */
    temporary = text_printf(".new-%08x-%s", random, id);
    if (!temporary || mkdirat(steps, temporary, 0700) < 0)
        return failed(id, err);
    dir = openat(steps, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return failed(id, err);
    if (!fill(dir, id, accepted, key, err) || (fsync(dir) < 0 && !failed(id, err)) ||
        !publish(steps, temporary, id, exists, err)) {
        file_remove_tree(steps, temporary);
        return false;
    }
    return step_dir_open(store, id, step, &found, err) && (found || failed(id, err));
}

bool step_dir_open(const char *store, const char *id, struct step_dir *step, bool *found,
                   struct err *err)
{
    struct step_dir made = STEP_DIR_INIT;
    autofd steps = steps_open(store);

    *found = false;
    made.path = text_printf("%s/" STEPS "/%s", store, id);
    if (!made.path)
        return failed(id, err);
    made.fd = steps < 0 ? -1 : file_open_own_dir(steps, id);
    if (made.fd < 0) {
        free(made.path);
        if (errno == ENOENT)
            return true;
        err_errno(err, ERR_ENGINE_FAILED, "cannot read step '%s' in the store '%s'", id, store);
        return err_hint(err, "name the store of the steps with --store, and call as whose it is");
    }
    *found = true;
    *step = made;
    return true;
}

void step_dir_close(struct step_dir *step)
{
    close_fd(step->fd);
    close_fd(step->lock);
    free(step->path);
    *step = STEP_DIR_INIT;
}

/* The lock of fcntl(2) belongs to a process: a child has no part in it, and it ends with its
 * holder, however that ends. */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

bool step_dir_lock(struct step_dir *step)
{
    struct flock lock = whole_file();
    autofd fd = openat(step->fd, STEP_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
        return false;
    step->lock = TAKE_FD(fd);
    return true;
}

pid_t step_dir_holder(const struct step_dir *step)
{
    struct flock lock = whole_file();
    /* Closing any descriptor of the file gives a lock up that this process has on it. */
    autofd fd =
        step->lock >= 0 ? -1 : openat(step->fd, STEP_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (step->lock >= 0)
        return getpid();
    if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        return 0;
    return lock.l_pid > 0 ? lock.l_pid : -1;
}

void step_dir_unlock(struct step_dir *step)
{
    step->lock = close_fd(step->lock);
}

int step_dir_open_log(const struct step_dir *step, struct err *err)
{
    autofd fd = openat(step->fd, STEP_EVENTS, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || !file_cut_line(fd)) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot open the event log of the step");
        return -1;
    }
    return TAKE_FD(fd);
}

bool step_dir_remove(const char *store, const char *id, const struct step_dir *step,
                     struct err *err)
{
    autofree char *away = text_printf(".old-%s", id);
    autofd steps = steps_open(store);
    struct stat ours, named;

    if (!away || steps < 0 || fstat(step->fd, &ours) < 0)
        return failed(id, err);
    /* The id may be another step's by now. */
    if (fstatat(steps, id, &named, AT_SYMLINK_NOFOLLOW) < 0 || named.st_ino != ours.st_ino)
        return true;
    /* Under its name it is whole or gone. */
    file_remove_tree(steps, away);
    if (renameat(steps, id, steps, away) < 0)
        return failed(id, err);
    return file_remove_tree(steps, away) || failed(id, err);
}

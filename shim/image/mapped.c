#include "shim/image/mapped.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/num.h"
#include "shim/image/walls.h"

#define ID_MAX INT32_MAX

bool mapped_for(uid_t uid, gid_t gid, struct mapped *mapped, struct err *err)
{
    if (!idmap_for_step(uid, gid, &mapped->map, err))
        return false;
    idmap_key(&mapped->map, mapped->key);
    return true;
}

/* The ids of the step are the last two numbers of a key. */
static bool ids_of_key(const char *key, uid_t *uid, gid_t *gid)
{
    autofree char *copy = strdup(key);
    char *second = copy ? strrchr(copy, '-') : NULL, *first;
    uint64_t numbers[2];

    if (!second)
        return false;
    *second++ = '\0';
    first = strrchr(copy, '-');
    if (!first || !num_parse(first + 1, ID_MAX, &numbers[0]) ||
        !num_parse(second, ID_MAX, &numbers[1]))
        return false;
    *uid = (uid_t)numbers[0];
    *gid = (gid_t)numbers[1];
    return true;
}

bool mapped_for_key(const char *key, struct mapped *mapped)
{
    uid_t uid = 0;
    gid_t gid = 0;
    struct err ignored;

    return mapped_for(0, 0, mapped, &ignored) &&
           (strcmp(mapped->key, key) == 0 ||
            (ids_of_key(key, &uid, &gid) && mapped_for(uid, gid, mapped, &ignored) &&
             strcmp(mapped->key, key) == 0));
}

/* Of whoever has got subordinate ids. Layers of ids that were taken away only root can remove. */
bool mapped_is_orphan(const char *key)
{
    const struct idmap single = {.kind = IDMAP_SINGLE};
    char single_key[IDMAP_KEY_MAX];
    struct mapped mapped;
    struct err ignored;

    idmap_key(&single, single_key);
    return strcmp(key, single_key) == 0 && mapped_for(0, 0, &mapped, &ignored) &&
           mapped.map.kind != IDMAP_SINGLE;
}

#define CALL_FAILED 3 /* with an error: sanitizers and the child of idmap_run end with others */

/* What parent and child of idmap_run share. */
struct call {
    const struct reach *reach;
    bool (*function)(void *argument, struct err *err);
    void *argument;
    struct err err;
};

static int run_call(void *data)
{
    struct call *call = data;

    return walls_put_up(call->reach, &call->err) && call->function(call->argument, &call->err)
               ? 0
               : CALL_FAILED;
}

/* What a child says may be anything: a layer can have taken it over. */
static void take_error(const struct err *said, struct err *err)
{
    *err = *said;
    err->message[sizeof(err->message) - 1] = '\0';
    err->hint[sizeof(err->hint) - 1] = '\0';
    if (err->code <= ERR_NONE || err->code >= ERR_COUNT)
        err->code = ERR_ENGINE_FAILED;
}

/* The child is a copy of this process, so its error has to come back in memory that they share. */
static bool run_mapped(const struct idmap *map, const struct reach *reach,
                       bool (*function)(void *argument, struct err *err), void *argument,
                       struct err *err)
{
    struct call *call =
        mmap(NULL, sizeof(*call), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    if (call == MAP_FAILED)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start a child");
    call->reach = reach;
    call->function = function;
    call->argument = argument;
    status = idmap_run(map, run_call, call, err);
    if (status == CALL_FAILED)
        take_error(&call->err, err);
    else if (status > 0)
        err_set(err, ERR_ENGINE_FAILED, "a child that works on layers ended with status %d",
                status);
    munmap(call, sizeof(*call));
    return status == 0;
}

static bool run_for_layers(void *data, const struct reach *reach,
                           bool (*function)(void *argument, struct err *err), void *argument,
                           struct err *err)
{
    const struct mapped *mapped = data;

    return run_mapped(&mapped->map, reach, function, argument, err);
}

/* Root's own ids are not in root's map: the child could not take the directory over itself. */
static bool prepare(void *data, int directory, struct err *err)
{
    const struct mapped *mapped = data;
    uint32_t uid, gid;

    if (mapped->map.kind != IDMAP_ROOT)
        return true;
    if (!idmap_outside(&mapped->map.uids, 0, &uid) || !idmap_outside(&mapped->map.gids, 0, &gid))
        return err_set(err, ERR_ENGINE_FAILED, "the id map has no root");
    return fchown(directory, uid, gid) == 0 ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot hand over the directory of a layer");
}

struct layer_map mapped_layers(struct mapped *mapped)
{
    return (struct layer_map){
        .key = mapped->key,
        .may_chown = mapped->map.kind != IDMAP_SINGLE,
        .prepare = prepare,
        .run = run_for_layers,
        .data = mapped,
    };
}

struct removal {
    int dirfd;
    const char *name;
};

static bool remove_here(void *argument, struct err *err)
{
    const struct removal *removal = argument;

    return file_remove_tree(removal->dirfd, removal->name) ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot remove '%s'", removal->name);
}

/* Any map of the caller's will do: all of them stand for the same ids outside. */
static bool remove_tree(void *data, int dirfd, const char *name, struct err *err)
{
    struct removal removal = {dirfd, name};
    const struct reach reach = {.root = dirfd};
    struct mapped mapped;

    (void)data;
    if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return true;
    if (geteuid() == 0 || !mapped_for(0, 0, &mapped, err) || mapped.map.kind != IDMAP_RANGES)
        return remove_here(&removal, err);
    return run_mapped(&mapped.map, &reach, remove_here, &removal, err);
}

/* Its result has to come back in memory that parent and child share. */
struct measurement {
    int dirfd;
    const char *name;
    uint64_t *bytes;
};

static bool add_entry(void *data, int dirfd, const char *name)
{
    struct measurement *measurement = data;
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    /* A file of several names counts once. */
    *measurement->bytes +=
        (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) ? 1 : (uint64_t)st.st_nlink);
    return !S_ISDIR(st.st_mode) || file_each_entry(dirfd, name, add_entry, data);
}

static bool measure_here(void *argument, struct err *err)
{
    const struct measurement *measurement = argument;

    return file_each_entry(measurement->dirfd, measurement->name, add_entry, argument) ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot measure '%s'", measurement->name);
}

static bool measure_tree(void *data, int dirfd, const char *name, uint64_t *bytes, struct err *err)
{
    uint64_t *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct measurement measurement = {dirfd, name, shared};
    const struct reach reach = {.root = dirfd};
    struct mapped mapped;
    bool ok;

    (void)data;
    if (shared == MAP_FAILED)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot measure '%s'", name);
    if (geteuid() == 0 || !mapped_for(0, 0, &mapped, err))
        ok = measure_here(&measurement, err);
    else
        ok = run_mapped(&mapped.map, &reach, measure_here, &measurement, err);
    *bytes = *shared;
    munmap(shared, sizeof(*shared));
    return ok;
}

const struct tree_remover mapped_remover = {.remove = remove_tree, .measure = measure_tree};

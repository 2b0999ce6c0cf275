#include "runtime/image/store_place.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"

#define BLOB_PREFIX "blob-" /* store_write.c's: its lock is the blob's, and stays */

static bool failed(struct err *err)
{
    return err_errno(err, ERR_CONFIG_INVALID, "cannot make a directory in the image store");
}

bool place_make(const struct store *store, const struct tree_remover *remover, const char *kind,
                struct place *place, struct err *err)
{
    char root[PATH_MAX], below[PATH_MAX];
    uint64_t random;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random) || !path_of_open(store->fd, root))
        return failed(err);
    snprintf(place->name, sizeof(place->name), "%s-%016" PRIx64, kind, random);
    snprintf(below, sizeof(below), "tmp/%s", place->name);
    place->lock = store_lock(store, place->name, LOCK_EX, err);
    if (place->lock < 0)
        return false;
    place->store = store;
    place->remover = remover;
    place->path = text_printf("%s/%s", root, below);
    return (place->path && mkdirat(store->fd, below, 0700) == 0) || failed(err);
}

void place_remove(struct place *place)
{
    struct err ignored;

    if (place->lock >= 0)
        (void)!place_clear(place->store, place->remover, place->name, &ignored);
    place->lock = close_fd(place->lock);
    free(place->path);
    place->path = NULL;
}

bool place_clear(const struct store *store, const struct tree_remover *remover, const char *name,
                 struct err *err)
{
    autofree char *path = text_printf("tmp/%s", name), *lock = text_printf("locks/%s", name);
    autofd tmp = -1;

    if (!path || !lock)
        return failed(err);
    if (!file_remove_tree(store->fd, path)) {
        tmp = openat(store->fd, "tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (tmp < 0 || !remover->remove(remover->data, tmp, name, err))
            return tmp < 0 ? failed(err) : false;
    }
    if (strncmp(name, BLOB_PREFIX, strlen(BLOB_PREFIX)) != 0)
        (void)unlinkat(store->fd, lock, 0);
    return true;
}

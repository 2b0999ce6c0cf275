#include "runtime/image/layer_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/image/unpack.h"

static bool unpack_here(void *argument, struct err *err)
{
    const struct layer_unpack *unpacking = argument;
    bool may_chown = unpacking->map->may_chown;

    if (unpacking->only_check)
        return check_layer(unpacking->input, unpacking->compression, unpacking->diff_id,
                           &UNPACK_LIMITS, err);
    /* A caller without privilege could not give the directory to ids that are not its own. */
    if (may_chown && fchown(unpacking->target, 0, 0) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot own the directory of a layer");
    return unpack_layer(unpacking->input, unpacking->compression, unpacking->diff_id,
                        unpacking->target, &UNPACK_LIMITS, may_chown, err);
}

bool layer_unpack_run(const struct layer_unpack *unpacking, struct err *err)
{
    const struct layer_map *map = unpacking->map;
    const struct reach reach = {unpacking->target, &unpacking->input, 1};

    return map->run(map->data, &reach, unpack_here, (void *)unpacking, err);
}

bool layer_part_remove(const struct store *store, const struct tree_remover *remover, int map_fd,
                       const char *map, const char *name, struct err *err)
{
    if (remover->remove(remover->data, map_fd, name, err))
        return true;
    return err_hint(
        err,
        "if its ids are not the caller's any more, as root: rm -r '%s/layers/%s'/*" PART_SUFFIX,
        store->path, map);
}

bool layer_part_begin(struct layer_part *part, const struct store *store,
                      const struct tree_remover *remover, const struct layer_map *map, int map_fd,
                      const char *hex, struct err *err)
{
    part->remover = remover;
    part->map_fd = map_fd;
    part->hex = hex;
    snprintf(part->name, sizeof(part->name), "%s" PART_SUFFIX, hex);
    if (!layer_part_remove(store, remover, map_fd, map->key, part->name, err))
        return false;
    if (mkdirat(map_fd, part->name, 0755) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot create the layer '%s'", hex);
    part->fd = openat(map_fd, part->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (part->fd < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot open the layer '%s'", hex);
    return map->prepare(map->data, part->fd, err);
}

/*
 * Once for the whole file system: flushing file by file takes many times as long, and a layer that
 * a loss of power has torn would be trusted.
 */
static bool flush(const struct layer_part *part, struct err *err)
{
    return syncfs(part->fd) == 0 ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot keep the layer '%s'", part->hex);
}

static bool take_place(const struct layer_part *part, unsigned int flags, struct err *err)
{
    return renameat2(part->map_fd, part->name, part->map_fd, part->hex, flags) == 0 ||
           err_errno(err, ERR_CONFIG_INVALID, "cannot keep the layer '%s'", part->hex);
}

bool layer_part_keep(struct layer_part *part, struct blob_writer *writer, struct err *err)
{
    if (!flush(part, err) || (writer && !blob_publish(writer, err)) || !take_place(part, 0, err))
        return false;
    part->fd = close_fd(part->fd);
    return true;
}

bool layer_part_replace(struct layer_part *part, struct err *err)
{
    /* What was there has the other name now, and goes with it. */
    return flush(part, err) && take_place(part, RENAME_EXCHANGE, err);
}

void layer_part_release(struct layer_part *part)
{
    struct err ignored;

    if (part->fd < 0)
        return;
    part->fd = close_fd(part->fd);
    part->remover->remove(part->remover->data, part->map_fd, part->name, &ignored);
}

#include "runtime/mount_points.h"

#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/path.h"

bool mount_is_deeper(const struct mount *than, const struct mount *mount)
{
    return !than || strlen(mount->target) > strlen(than->target);
}

/* The mount of the plan in which a path of the cell lies. */
static const struct mount *find_around(const struct mount_plan *plan, const struct mount *inner)
{
    const struct mount *found = NULL;

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *one = &plan->mounts[i];

        if (one != inner && !one->alias_of && one->kind == MOUNT_BIND &&
            path_is_below(inner->target, one->target) && mount_is_deeper(found, one))
            found = one;
    }
    return found;
}

bool mount_points_check(const struct mount_plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i], *around = find_around(plan, mount);
        autofree char *path = NULL;
        struct stat st;

        if (!around || !mount->in_bind)
            continue;
        path = text_printf("%s%s", around->source.resolved, mount->target + strlen(around->target));
        if (!path)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare the mounts");
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) == mount_is_dir(mount))
            continue;
        err_set(err, ERR_MOUNT_CONFLICT,
                "the mount target '%s' lies in a mounted directory of the host, which has nothing "
                "there",
                mount->target);
        return err_hint(err, "create it on the host first, or choose a target outside");
    }
    return true;
}

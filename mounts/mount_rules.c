#include "mounts/mount_rules.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"

static bool check_device(const char *target, struct err *err)
{
    static const char *const taken[] = {
        "/dev/null", "/dev/zero", "/dev/full",  "/dev/random", "/dev/urandom",
        "/dev/tty",  "/dev/fd",   "/dev/stdin", "/dev/stdout", "/dev/stderr",
        "/dev/ptmx", "/dev/pts",  "/dev/shm",   "/dev/mqueue", "/dev/console",
    };

    if (!path_is_below(target, "/dev") || strcmp(target, "/dev") == 0) {
        err_set(err, ERR_MOUNT_DENIED, "the device '%s' does not lie in /dev", target);
        return err_hint(err, "give a target below /dev: --device SOURCE:/dev/NAME");
    }
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        if (!path_is_below(target, taken[i]))
            continue;
        err_set(err, ERR_MOUNT_DENIED, "the cell has a '%s' of its own", taken[i]);
        return err_hint(err, "leave the device out, or give it another name below /dev");
    }
    return true;
}

bool mount_rules_check_target(const char *target, enum mount_role role, struct err *err)
{
    static const char *const reserved[] = {"/proc", "/sys", "/dev"};

    if (role == MOUNT_DEVICE)
        return check_device(target, err);
    if (strcmp(target, "/") == 0) {
        err_set(err, ERR_MOUNT_DENIED, "'/' cannot be mounted into a cell");
        return err_hint(err, "give a directory below '/': the root belongs to the image");
    }
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        if (!path_is_below(target, reserved[i]))
            continue;
        err_set(err, ERR_MOUNT_DENIED, "'%s' cannot be a mount target in a cell", target);
        return err_hint(err, "'%s' belongs to the cell itself; choose another target", reserved[i]);
    }
    return true;
}

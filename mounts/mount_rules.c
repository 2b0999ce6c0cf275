#include "mounts/mount_rules.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"

bool mount_rules_check_target(const char *target, struct err *err)
{
    static const char *const reserved[] = {"/proc", "/sys", "/dev"};

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

/*
 * Mount rules (pure): which targets a cell can have something mounted on.
 *
 * "/", /proc, /sys and /dev and what is below them belong to the engine; a mount there would break
 * the cell or open it (CVE-2019-16884, CVE-2023-27561).
 */
#ifndef STEPCELL_MOUNTS_MOUNT_RULES_H
#define STEPCELL_MOUNTS_MOUNT_RULES_H

#include "base/err.h"

/* `target` is clean (base/path.h). False with mount.denied. */
bool mount_rules_check_target(const char *target, struct err *err);

#endif

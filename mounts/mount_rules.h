/*
 * Mount rules (pure): which targets a cell can have something mounted on.
 *
 * "/", /proc, /sys and /dev and what is below them belong to the engine; a mount there would break
 * the cell or open it (CVE-2019-16884, CVE-2023-27561). A device appears below /dev alone, and
 * takes no name that the cell has there itself.
 */
#ifndef STEPCELL_MOUNTS_MOUNT_RULES_H
#define STEPCELL_MOUNTS_MOUNT_RULES_H

#include "mounts/mount_spec.h"

/* `target` is clean (base/path.h). False with mount.denied. */
bool mount_rules_check_target(const char *target, enum mount_role role, struct err *err);

#endif

/*
 * Paths of /proc and /sys that a cell must not read or not write: Docker's lists (moby
 * daemon/pkg/oci/defaults.go), found below the file systems themselves and never by a path of the
 * image (CVE-2025-31133, CVE-2025-52881).
 */
#ifndef STEPCELL_MOUNTS_MASK_H
#define STEPCELL_MOUNTS_MASK_H

#include "base/err.h"

/*
 * Below `proc` and `sys`, the roots of these mounts, attached: directories become empty and
 * read-only, files become `null`, an attached clone of the host's /dev/null; and what may be read
 * but not written is mounted read-only. Paths that this kernel lacks are passed over. Where `sys`
 * is that of the host, what is mounted on directories in it is hidden as well.
 */
bool mask_paths(int proc, int sys, bool sys_is_host, int null, struct err *err);

#endif

/*
 * The skeleton: a small tmpfs layer on top of the image's, with the directories and files that
 * something will be mounted on and that the image lacks.
 *
 * Made without the image being mounted, it cannot be led astray by it; and the upper directory,
 * which lies on a disk, stays empty until the step itself writes. Directories above what is missing
 * are there again with the mode and owner that they have in the image, since the topmost layer's
 * count.
 */
#ifndef STEPCELL_MOUNTS_SKELETON_H
#define STEPCELL_MOUNTS_SKELETON_H

#include "base/err.h"
#include "mounts/mount_plan.h"

/*
 * `view` is the root of the image's files, O_PATH: the only layer, or overlay_view of several. The
 * calling process is root of the cell's user namespace, and /proc is the host's. Returns the root
 * of the detached tmpfs, or -1 when the image lacks nothing or the layer could not be made: what is
 * missing is then created in the upper directory.
 */
int skeleton_make(int view, const struct mount_plan *plan);

#endif

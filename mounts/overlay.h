/*
 * Overlay assembly: one detached overlay mount out of unpacked layers and a throw-away upper
 * directory.
 *
 * Mounted by the root of the cell's user namespace with `userxattr` (opaque directories are marked
 * user.overlay.opaque), without redirects or metacopy, since layers are untrusted (kernel
 * Documentation/filesystems/overlayfs.rst), and `volatile`: the upper directory is thrown away, so
 * unmounting need not wait until the whole disk is flushed.
 */
#ifndef STEPCELL_MOUNTS_OVERLAY_H
#define STEPCELL_MOUNTS_OVERLAY_H

#include <stddef.h>

#include "base/err.h"

/*
 * `layers` are O_PATH descriptors of directories, lowest first; `top` is a detached layer above
 * them or -1, which is left out where the kernel takes no detached layers (before 6.15); `upper`
 * and `work` are two empty directories of one file system. `mountpoint` is a directory to make in
 * the calling mount namespace where the kernel cannot take layers by descriptor (before 6.13).
 * Returns an O_PATH descriptor of the root of the overlay, which *attached tells to be attached at
 * `mountpoint` or not attached anywhere. -1 with err.
 */
int overlay_mount(const int *layers, size_t count, int top, int upper, int work,
                  const char *mountpoint, bool *attached, struct err *err);

/*
 * The layers as one read-only tree, to look things up in: a descriptor of its root, detached. -1
 * where the kernel cannot.
 */
int overlay_view(const int *layers, size_t count);

#endif

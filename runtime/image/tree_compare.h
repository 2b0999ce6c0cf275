/* Whether two trees are the same, in everything that whoever looks at them can see. */
#ifndef STEPCELL_RUNTIME_IMAGE_TREE_COMPARE_H
#define STEPCELL_RUNTIME_IMAGE_TREE_COMPARE_H

#include <time.h>

#include "base/buf.h"
#include "base/err.h"

#define TREE_DEPTH_MAX 300 /* directories; two descriptors each */

/*
 * Compares names, types, modes, owners, sizes, modification times, contents, link targets, link
 * counts, device numbers and extended attributes below the directories `a` and `b`, and of
 * themselves. A directory of `a` that has been changed since `since` was given no time, and neither
 * was `b`'s. True with `difference` empty, or holding the path of the first one. False when
 * something cannot be read of `a`; what cannot be read of `b` is a difference.
 */
bool tree_compare(int a, int b, const struct timespec *since, struct buf *difference,
                  struct err *err);

#endif

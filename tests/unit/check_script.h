/*
 * Trees for tests of image checks, out of a few lines, the top layer first:
 *
 *   d PATH   f PATH [TEXT]   x PATH   l PATH TARGET   h PATH TARGET   w PATH   o PATH
 *
 * a directory, file, program of the GNU C library for amd64, symbolic link, hard link, whiteout,
 * opaque directory; "--" goes to the layer below, "==" says that there is none.
 */
#ifndef STEPCELL_TESTS_UNIT_CHECK_SCRIPT_H
#define STEPCELL_TESTS_UNIT_CHECK_SCRIPT_H

#include "runtime/image/check_tree.h"

/* NULL when a line cannot be added. The caller frees the tree. */
struct check_tree *check_script(const char *lines, struct err *err);

#endif

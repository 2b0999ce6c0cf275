/*
 * Paths: comparison by component, and the one function that opens a path inside a root file system.
 *
 * A path here is a byte string; nothing but NUL and '/' has a meaning, so blanks, quotes, newlines,
 * colons, a leading dash and bytes that are no UTF-8 are ordinary.
 */
#ifndef STEPCELL_BASE_PATH_H
#define STEPCELL_BASE_PATH_H

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * The absolute form of `path` (owned by the caller) without "//", "/./" and a final "/". A relative
 * path starts at `base`, which is absolute. ".." stays an error of the caller's to make: such a
 * path is returned as NULL, since it means another place as soon as a component is a symbolic link.
 */
char *path_clean(const char *base, const char *path);

/* The same for who only wants it absolute: one with ".." means what the disk says it means. */
char *path_absolute(const char *base, const char *path);

/* Whether `path` is `prefix` or below it. Both clean: "/work" is no prefix of "/workspace". */
bool path_is_below(const char *path, const char *prefix);

/* Order of clean paths by component: a parent comes before whatever is below it. */
int path_compare(const char *a, const char *b);

/* The part behind the last '/'. Not owned. */
const char *path_name(const char *path);

/*
 * Opens `path` below `rootfd` as if rootfd were "/": symbolic links, absolute ones and ".." resolve
 * inside it and magic links are refused (openat2 with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS).
 * -1 with errno set. This is the only way in which a path inside an image or a cell is opened.
 */
int path_open_in(int rootfd, const char *path, int flags, mode_t mode);

/* As path_open_in, but no component may be a symbolic link. */
int path_open_in_nofollow(int rootfd, const char *path, int flags, mode_t mode);

struct strv;

/*
 * Opens the directory of a file of the caller's, O_PATH; *name (owned by the caller) is the file in
 * it. Symbolic links are followed as ever, but none that lies in one of `shared` or below: others
 * write there, and may have made it. -1 with errno set.
 */
int path_open_parent(const char *path, const struct strv *shared, char **name);

/* Whether at most `steps` steps up lead from the directory `dir` to `ancestor`, itself included. */
bool path_is_within(int dir, int ancestor, uint64_t steps);

/*
 * Where an absolute path leads, as far as it is there: the rest, also of a link that leads nowhere,
 * stays as it is written. Each link on the way joins `links`, by its real path, unless that is
 * NULL. Owned by the caller; NULL without memory.
 */
char *path_resolve(const char *path, struct strv *links);

/*
 * What the kernel calls the open file `fd`: absolute, symbolic links resolved. False without /proc.
 */
bool path_of_open(int fd, char path[PATH_MAX]);

/*
 * What the kernel calls the open file `fd`, below `rootfd`: symbolic links resolved, "/" for rootfd
 * itself. False when it is not below it, or without /proc.
 */
bool path_of_fd(int rootfd, int fd, char path[PATH_MAX]);

/*
 * Opens the entry `name` of a directory of the host, O_PATH and without following it, unless
 * something is mounted on it: then -1 with EXDEV, without a question to what is mounted.
 */
int path_open_unmounted(int dirfd, const char *name);

/*
 * The directory `path` below `rootfd`, opened O_PATH, with every missing component created with
 * `mode`. Components are created one by one through descriptors, and only on the file system of
 * `rootfd` itself (else EXDEV), so that nothing appears outside or in what is mounted below
 * (CVE-2024-45310). -1 with errno set.
 */
int path_make_dirs_in(int rootfd, const char *path, mode_t mode);

#endif

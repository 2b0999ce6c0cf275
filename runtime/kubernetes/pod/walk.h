/* A walk through a directory of the step's, in the order of its names, a directory before what is
 * in it. Links are not followed; what is no file, link or directory is passed over. */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_WALK_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_WALK_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

/* Where another mount may lie is not looked into. */
struct walk {
    char **hidden; /* names below the directory, ended by NULL */
    bool (*each)(void *data, const struct walk *walk, int dir, const char *name,
                 const struct stat *st);
    void *data;
    char path[PATH_MAX]; /* of what `each` is called for, below the directory */
};

/* False with errno, and with the path at which it ended, or as soon as `each` gives false. */
bool walk_directory(struct walk *walk, const char *directory);

bool walk_is_hidden(const struct walk *walk);

/*
 * openat of what the step may have closed to itself: its owner can open it all the same. The mode
 * stays.
 */
int walk_open(int dir, const char *name, const struct stat *st, int flags);

#endif

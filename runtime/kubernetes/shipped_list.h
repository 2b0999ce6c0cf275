/*
 * What of a working directory was shipped, in the order of path_compare: a file of stepcell's own,
 * by which is told what may be deleted, and what others have changed since.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_SHIPPED_LIST_H
#define STEPCELL_RUNTIME_KUBERNETES_SHIPPED_LIST_H

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"

struct shipped_state {
    uint64_t inode;
    int64_t seconds; /* of the last change of the inode */
    uint32_t nanoseconds;
    uint32_t mode; /* with the type */
    uint32_t name_size;
    uint32_t zero;
};

struct shipped_entry {
    struct shipped_state state;
    char name[PATH_MAX];
};

/* False with errno. */
bool shipped_list_add(FILE *list, const char *name, const struct stat *st);

/* The next one; at the end its name is "". */
bool shipped_list_next(FILE *list, struct shipped_entry *entry, struct err *err);

/* Whether what is there now is what was shipped. */
bool shipped_is_same(const struct shipped_entry *entry, const struct stat *st);

#endif

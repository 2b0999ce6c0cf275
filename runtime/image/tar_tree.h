/*
 * A directory of the host as entries of a tar archive, in an order that is always the same. Links
 * are not followed; what is no file, directory or link is left out.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_TAR_TREE_H
#define STEPCELL_RUNTIME_IMAGE_TAR_TREE_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"

#define TAR_TREE_ENTRIES_MAX 1000000
#define TAR_TREE_DEPTH_MAX   128

enum tree_choice {
    TREE_TAKE,
    TREE_ENTER, /* not the directory itself, but what is in it */
    TREE_EMPTY, /* the directory without what is in it */
    TREE_LEAVE,
};

struct tar_tree {
    const char *directory;
    bool (*is_it)(void *data, const struct stat *st); /* the one that is meant; or NULL */
    const char *top; /* the directory's own name in the archive; NULL: it has no entry */
    uint64_t uid, gid;
    mode_t file_mode, dir_mode; /* are added to the modes */
    uint64_t bytes_max;         /* of all files together; 0 for no limit */
    /* What becomes of `path`, below the directory; false with err. */
    bool (*choose)(void *data, const char *path, bool is_dir, enum tree_choice *choice,
                   struct err *err);
    /* Is told of each that is taken, before it is read; or NULL. */
    bool (*taken)(void *data, const char *path, const struct stat *st, struct err *err);
    void *data;
};

/* Writes no end: more may come behind. option.invalid names what cannot be read. */
bool tar_tree_write(const struct tar_tree *tree, int archive, struct err *err);

#endif

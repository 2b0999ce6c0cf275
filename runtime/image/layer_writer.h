/*
 * Writes the entries of a layer below a directory: names are untrusted, and whatever they are,
 * nothing outside the directory is read, written or removed.
 *
 * Every name is made absolute lexically (".." stops at the root) and opened relative to the
 * directory as if that were "/", so that symbolic links on the way resolve inside; a last component
 * is never followed but replaced. Whiteouts become overlayfs whiteouts and opaque marks once all
 * entries are there, since neither may touch what the layer itself adds, in whatever order
 * (image-spec layer.md). Device nodes and sockets are left out, and so are extended attributes
 * other than "user.*" and security.capability.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_LAYER_WRITER_H
#define STEPCELL_RUNTIME_IMAGE_LAYER_WRITER_H

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define LAYER_NAMES_MAX (12 << 20) /* bytes of the three lists below together */

struct layer_writer {
    int root;       /* not owned */
    bool may_chown; /* false: everything belongs to the caller */
    uint64_t path_max, depth_max, file_max;
    uint64_t implied, implied_max; /* directories that have no entry before what is in them */
    char *parent_path;             /* the directory that was opened last */
    int parent;
    struct buf directories; /* a struct timespec and a name each */
    struct buf opaque;      /* names, each with its NUL */
    struct buf whiteouts;   /* names, each with its NUL */
};

#define LAYER_WRITER_INIT                                                                          \
    ((struct layer_writer){.root = -1,                                                             \
                           .parent = -1,                                                           \
                           .directories = BUF_INIT(LAYER_NAMES_MAX),                               \
                           .opaque = BUF_INIT(LAYER_NAMES_MAX),                                    \
                           .whiteouts = BUF_INIT(LAYER_NAMES_MAX)})

/* Writes the entry that `archive` has just read. */
bool layer_writer_add(struct layer_writer *writer, struct archive *archive,
                      struct archive_entry *entry, struct err *err);

/* After the last entry: whiteouts, opaque marks and the times of directories. */
bool layer_writer_finish(struct layer_writer *writer, struct err *err);
void layer_writer_release(struct layer_writer *writer);

#define autolayerwriter CLEANUP(layer_writer_release) struct layer_writer

#endif

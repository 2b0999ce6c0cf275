/*
 * A set of named files, in a directory or in a tar archive: what local images come as. Archives are
 * read by libarchive, tar only; a file in one is found by reading headers from its start.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_BUNDLE_H
#define STEPCELL_RUNTIME_IMAGE_BUNDLE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct archive;

struct bundle {
    const char *path; /* borrowed */
    bool is_directory;
    int fd;
};

struct bundle_file {
    int fd;                  /* in a directory, or -1 */
    struct archive *archive; /* in an archive, or NULL */
    uint64_t size;
};

#define BUNDLE_INIT      ((struct bundle){.fd = -1})
#define BUNDLE_FILE_INIT ((struct bundle_file){.fd = -1})
#define BUNDLE_LINKS_MAX 4       /* links inside an archive that are followed */
#define BUNDLE_ENTRIES   1000000 /* entries of an archive */

bool bundle_open(const char *path, bool is_directory, struct bundle *bundle, struct err *err);
void bundle_close(struct bundle *bundle);

/* Opens the regular file `name`; image.corrupt when there is none. One file at a time. */
bool bundle_find(const struct bundle *bundle, const char *name, struct bundle_file *file,
                 struct err *err);
/* As read(2), with err set on -1. */
ssize_t bundle_read(struct bundle_file *file, void *bytes, size_t len, struct err *err);
/* The whole file, at most text->max bytes. */
bool bundle_read_all(const struct bundle *bundle, const char *name, struct buf *text,
                     struct err *err);
void bundle_file_close(struct bundle_file *file);

#define autobundle     CLEANUP(bundle_close) struct bundle
#define autobundlefile CLEANUP(bundle_file_close) struct bundle_file

#endif

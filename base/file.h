/*
 * Whole files: read with a limit, written so that they appear complete or not at all, and trees
 * removed without following anything out of them.
 */
#ifndef STEPCELL_BASE_FILE_H
#define STEPCELL_BASE_FILE_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"

/* Opens a regular file for reading; -1 with an error. A FIFO or device is refused unasked. */
int file_open(int dirfd, const char *path, enum err_code code, struct err *err);

/* The same for an absolute path that leads through no link; one that does by now is an error. */
int file_open_real(const char *path, enum err_code code, struct err *err);

/*
 * Opens a regular file of the calling user's own (O_RDONLY or O_WRONLY), through no link: in a
 * directory that others may write to, theirs is none. -1 with errno, which is ENOENT when there is
 * no such file.
 */
int file_open_own(int dirfd, const char *name, int mode);

/*
 * Whether `name` ("" for `dirfd` itself) is a directory of the calling user's own, and no link,
 * that nobody else may write to; false with errno: ENOTDIR, or EPERM for one of others.
 */
bool file_is_own_dir(int dirfd, const char *name);

/* Opens such a directory for reading; -1 with errno. */
int file_open_own_dir(int dirfd, const char *name);

/* Reads a regular file of at most buf->max bytes. A FIFO or device is refused without blocking. */
bool file_read(int dirfd, const char *path, struct buf *buf, enum err_code code, struct err *err);

/* Reads `fd` to its end, at most buf->max bytes; `what` names it in messages. */
bool file_read_fd(int fd, const char *what, struct buf *buf, enum err_code code, struct err *err);

/* Writes all bytes, or as many as can be: then errno is set. How many that were. */
size_t file_write(int fd, const void *bytes, size_t len);

/* The same for whom a part is nothing; false with errno set. */
bool file_write_all(int fd, const void *bytes, size_t len);

/*
 * Creates a file of a new name beside `path`, for what gets that name once it is complete. A
 * descriptor and *temporary (owned by the caller), or -1 with errno set.
 */
int file_create_beside(int dirfd, const char *path, mode_t mode, char **temporary);

/* Whether a name is one that file_create_beside makes. */
bool file_is_temporary(const char *name);

/*
 * Cuts off the last line of a file when it has no end: whoever was writing it was killed, or had no
 * room. `fd` is open for reading and appending; false with errno set.
 */
bool file_cut_line(int fd);

/*
 * Replaces `path` by `len` bytes: a temporary file beside it is written, flushed to the disk and
 * renamed over it.
 */
bool file_replace(int dirfd, const char *path, const void *bytes, size_t len, mode_t mode,
                  enum err_code code, struct err *err);

/*
 * When an open file was made, as far as its file system knows (else 0): once it is gone another may
 * have its inode number.
 */
struct timespec file_birth(int fd);

/* Creates `path` and its missing parents; existing directories are kept as they are. */
bool file_make_dirs(const char *path, mode_t mode, enum err_code code, struct err *err);

/*
 * Calls `each` for every entry of the directory `name` below `dirfd`, which is not followed if it
 * is a link, with a descriptor of that directory, until one call gives false. False also when the
 * directory cannot be opened, with errno set.
 */
bool file_each_entry(int dirfd, const char *name,
                     bool (*each)(void *data, int dirfd, const char *name), void *data);

/*
 * Removes `name` and everything below it, without following symbolic links; directories that the
 * caller owns but may not read are made readable first. Depth costs neither memory nor descriptors.
 * What is missing already is no error. False with errno set when something is left.
 */
bool file_remove_tree(int dirfd, const char *name);

/* How much a walk through directories may do; another process may look on (shared memory). */
struct file_budget {
    uint64_t used; /* entries */
    uint64_t max;
};

/* Takes an entry from the budget; false when there is none left, with errno EDQUOT. */
bool file_budget_take(struct file_budget *budget);

bool file_budget_is_spent(const struct file_budget *budget);

/* Leaves nothing of a budget, unless it has no end (UINT64_MAX). */
void file_budget_drop(struct file_budget *budget);

/* file_remove_tree, which stops with what is left when the budget is used up. */
bool file_remove_within(int dirfd, const char *name, struct file_budget *budget);

#endif

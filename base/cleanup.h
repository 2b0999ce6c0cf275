/*
 * Scoped cleanup: a variable declared with one of these attributes releases what it holds when it
 * leaves its scope. Ownership is handed on with TAKE_FD or TAKE_PTR.
 */
#ifndef STEPCELL_BASE_CLEANUP_H
#define STEPCELL_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Closes `fd` if it is one, keeps errno, and returns -1 for the variable that held it. */
static inline int close_fd(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return -1;
}

static inline void cleanup_fd(int *fd)
{
    *fd = close_fd(*fd);
}

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

static inline void cleanup_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

#define autofd   CLEANUP(cleanup_fd) int
#define autofree CLEANUP(cleanup_free)
#define autofile CLEANUP(cleanup_file) FILE
#define autodir  CLEANUP(cleanup_dir) DIR

/* The value of a scoped variable, which no longer owns it. */
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })
#define TAKE_PTR(pointer)                                                                          \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif

/*
 * Writing to a stream of the caller's without waiting for whoever reads it: a pipe, terminal or
 * socket whose description other processes share, so that it cannot be made non-blocking.
 */
#ifndef STEPCELL_BASE_STREAM_H
#define STEPCELL_BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* How a descriptor is written to; {0}: as a file, or as what is non-blocking already. */
struct stream_way {
    bool is_socket; /* has a flag for each send */
    size_t most;    /* bytes of what blocks: so much it takes when it polls as writable; or 0 */
};

/*
 * A non-blocking description of our own of a pipe or terminal; *way is how it is written to. -1
 * where there is none to be had, and then *way is that of `fd` itself: of a file, which does not
 * block, of a socket, and of what was opened by another user (su, sudo).
 */
int stream_open(int fd, struct stream_way *way);

/* write(2), which fails with EAGAIN where it would wait for a reader. */
ssize_t stream_write_some(int fd, const struct stream_way *way, const void *bytes, size_t len);

/*
 * Writes all bytes to a reader that may be slow; one that takes nothing for `ms` gets no more
 * (ETIMEDOUT). False with errno set.
 */
bool stream_write(int fd, const void *bytes, size_t len, int ms);

#endif

#include "shim/events/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "shim/acked.h"

#define READ_CHUNK    65536
#define LOOK_AGAIN_MS 200 /* without inotify, of which a user may have only so many */

static void watch(struct log *log)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", log->fd);
    log->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (log->inotify >= 0 && inotify_add_watch(log->inotify, path, IN_MODIFY) < 0)
        log->inotify = close_fd(log->inotify);
}

bool log_open(struct log *log, int dir, struct err *err)
{
    struct stat st;

    *log = LOG_INIT;
    log->pending.max = EVENT_MAX;
    log->dir = dir;
    log->fd = openat(dir, STEP_EVENTS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (log->fd < 0 || fstat(log->fd, &st) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", STEP_EVENTS);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_ENGINE_FAILED, "'%s' is not a regular file", STEP_EVENTS);
    watch(log);
    return true;
}

void log_close(struct log *log)
{
    log->fd = close_fd(log->fd);
    log->inotify = close_fd(log->inotify);
    buf_release(&log->pending);
}

/* Puts the `len` bytes in front of `end` into the buffer. */
static bool read_before(struct log *log, uint64_t end, size_t len)
{
    char chunk[READ_CHUNK];

    log->pending.len = 0;
    while (log->pending.len < len) {
        size_t rest = len - log->pending.len;
        ssize_t n =
            pread(log->fd, chunk, rest < sizeof(chunk) ? rest : sizeof(chunk), (off_t)(end - rest));

        if (n <= 0 || !buf_append(&log->pending, chunk, (size_t)n))
            return false;
    }
    return true;
}

bool log_seek(struct log *log, uint64_t offset, struct event *before)
{
    bool found = true;

    for (size_t len = READ_CHUNK, line_len; offset; len *= 2) {
        const char *line;

        if (len > offset)
            len = (size_t)offset;
        found = read_before(log, offset, len) && log->pending.data[len - 1] == '\n';
        if (!found)
            break;
        line_len = len;
        line = batch_last_line(log->pending.data, &line_len);
        if (line_len == len && len < offset)
            continue;
        event_read(line, line_len, before);
        break;
    }
    log->pending.len = 0;
    log->offset = found ? offset : 0;
    return found;
}

bool log_fill(struct log *log, struct err *err)
{
    struct buf *pending = &log->pending;
    char chunk[READ_CHUNK];
    struct stat st;
    bool has_line;

    pending->len = batch_whole(pending->data, pending->len);
    has_line = pending->len > 0;
    while (!has_line || pending->len < BATCH_MAX) {
        ssize_t n = pread(log->fd, chunk, sizeof(chunk), (off_t)(log->offset + pending->len));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", STEP_EVENTS);
        if (n == 0)
            break;
        if (!buf_append(pending, chunk, (size_t)n))
            return err_set(err, ERR_ENGINE_FAILED, "'%s' has an event of more than %d bytes",
                           STEP_EVENTS, EVENT_MAX);
        has_line = has_line || memchr(chunk, '\n', (size_t)n);
    }
    if (fstat(log->fd, &st) == 0 && (uint64_t)st.st_size < log->offset)
        return err_set(err, ERR_ENGINE_FAILED, "'%s' is shorter than what was confirmed",
                       STEP_EVENTS);
    log->seen = log->offset + pending->len;
    return true;
}

void log_drop(struct log *log, size_t len)
{
    struct buf *pending = &log->pending;

    memmove(pending->data, pending->data + len, pending->len - len);
    pending->len -= len;
    log->offset += len;
}

static bool has_changed(const struct log *log)
{
    struct stat st;

    return fstat(log->fd, &st) == 0 && (uint64_t)st.st_size != log->seen;
}

bool log_wait(struct log *log, uint64_t ms)
{
    int64_t deadline = clock_now() + (int64_t)ms * NS_PER_MS, rest;
    struct pollfd pollfd = {.fd = log->inotify, .events = POLLIN};
    char events[4096];

    while (!has_changed(log)) {
        rest = (deadline - clock_now() + NS_PER_MS - 1) / NS_PER_MS;
        if (rest <= 0)
            return false;
        if (log->inotify < 0 && rest > LOOK_AGAIN_MS)
            rest = LOOK_AGAIN_MS;
        poll(&pollfd, 1, (int)rest);
        if (log->inotify >= 0)
            (void)!read(log->inotify, events, sizeof(events));
    }
    return true;
}

bool log_is_removed(const struct log *log)
{
    struct stat st;

    return fstat(log->fd, &st) == 0 && st.st_nlink == 0;
}

bool log_is_written(const struct log *log)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    autofd fd = openat(log->dir, STEP_LOCK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

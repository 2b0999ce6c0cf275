#include "shim/relay/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/path.h"

#define CANNOT_USE "cannot send events to"

static bool cannot_use(const char *text, struct err *err)
{
    return err_errno(err, ERR_OPTION_INVALID, CANNOT_USE " '%s'", text);
}

bool sink_open_fd(int fd, struct sink *sink, struct err *err)
{
    struct sink made = SINK_INIT;

    made.queue.max = SINK_QUEUE_MAX;
    made.fd = stream_open(fd, &made.way);
    if (made.fd < 0)
        made.fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    *sink = made;
    return sink->fd >= 0 || err_errno(err, ERR_ENGINE_FAILED, "cannot write to descriptor %d", fd);
}

static bool open_descriptor(const char *text, const char *number, const struct outlets *outlets,
                            struct sink *sink, struct err *err)
{
    uint64_t fd;
    int flags;

    (void)outlets;
    if (!num_parse(number, INT32_MAX, &fd))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no descriptor for events", text);
    flags = fcntl((int)fd, F_GETFL);
    /* What closes on exec was not handed to this process: it is one of its own. */
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fcntl((int)fd, F_GETFD) & FD_CLOEXEC) {
        errno = EBADF;
        return cannot_use(text, err);
    }
    return sink_open_fd((int)fd, sink, err);
}

static bool cannot_use_file(const struct outlets *outlets, const char *text, struct err *err)
{
    outlet_failed(outlets, CANNOT_USE, text, err);
    return errno == ELOOP
               ? err_hint(err, "no link is followed, since a step may have made it: name "
                               "the file itself, or a descriptor (fd:N)")
               : err_hint(err, "give a file in a directory that exists and is writable; "
                               "no link is followed where steps write, and no file "
                               "written that a policy guards");
}

static bool open_file(const char *text, const char *path, const struct outlets *outlets,
                      struct sink *sink, struct err *err)
{
    /* A FIFO without a reader is refused (ENXIO), not waited for. */
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    autofree char *name = NULL;
    autofd dir = outlet_open_parent(outlets, path, &name);
    struct stat st;

    sink->fd = dir < 0 ? -1 : openat(dir, name, flags, 0644);
    if (sink->fd < 0 || fstat(sink->fd, &st) < 0)
        return cannot_use_file(outlets, text, err);
    errno = ENOTSUP;
    return !S_ISBLK(st.st_mode) || cannot_use_file(outlets, text, err);
}

static bool try_file(const char *text, const char *path, const struct outlets *outlets,
                     struct sink *sink, struct err *err)
{
    autofree char *name = NULL;
    autofd dir = outlet_open_parent(outlets, path, &name);
    struct stat st;
    bool ok = false;

    (void)sink;
    if (dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = S_ISLNK(st.st_mode) ? ELOOP : S_ISBLK(st.st_mode) ? ENOTSUP : EISDIR;
        ok = !S_ISLNK(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISDIR(st.st_mode) &&
             faccessat(dir, name, W_OK, AT_EACCESS) == 0;
    } else if (dir >= 0 && errno == ENOENT) {
        ok = faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0;
    }
    return ok || cannot_use_file(outlets, text, err);
}

/* The socket's file, O_PATH; -1 with errno set. */
static int find_socket(const char *path, const struct outlets *outlets)
{
    autofree char *name = NULL;
    autofd dir = outlet_open_parent(outlets, path, &name), fd = -1;
    struct stat st;

    fd = dir < 0 ? -1 : openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTSOCK;
    return S_ISSOCK(st.st_mode) ? TAKE_FD(fd) : -1;
}

static bool open_socket(const char *text, const char *path, const struct outlets *outlets,
                        struct sink *sink, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    autofd found = find_socket(path, outlets);

    if (found < 0)
        return cannot_use_file(outlets, text, err);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", found);
    sink->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sink->way.is_socket = true;
    if (sink->fd < 0 || connect(sink->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return cannot_use(text, err);
    return true;
}

static bool try_socket(const char *text, const char *path, const struct outlets *outlets,
                       struct sink *sink, struct err *err)
{
    autofd found = find_socket(path, outlets);

    (void)sink;
    return (found >= 0 && faccessat(found, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0) ||
           cannot_use_file(outlets, text, err);
}

bool sink_is_http(const char *target)
{
    return strncmp(target, "http://", 7) == 0 || strncmp(target, "https://", 8) == 0;
}

typedef bool open_fn(const char *text, const char *rest, const struct outlets *outlets,
                     struct sink *sink, struct err *err);

static bool open_or_try(const char *target, bool tries, const struct outlets *outlets,
                        struct sink *sink, struct err *err)
{
    static const struct {
        const char *scheme;
        open_fn *open, *try;
    } kinds[] = {{"fd:", open_descriptor, open_descriptor},
                 {"file:", open_file, try_file},
                 {"unix:", open_socket, try_socket}};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct sink made = SINK_INIT;
        size_t len = strlen(kinds[i].scheme);
        bool ok;

        if (strncmp(target, kinds[i].scheme, len) != 0 || !target[len])
            continue;
        made.queue.max = SINK_QUEUE_MAX;
        ok = (tries ? kinds[i].try : kinds[i].open)(target, target + len, outlets, &made, err);
        if (ok && !tries)
            *sink = made;
        else
            close_fd(made.fd);
        return ok;
    }
    err_set(err, ERR_OPTION_INVALID, "'%s' is no target for events", target);
    return err_hint(err, "give fd:N, file:PATH, unix:PATH, http://… or https://…");
}

bool sink_open(const char *target, const struct outlets *outlets, struct sink *sink,
               struct err *err)
{
    return open_or_try(target, false, outlets, sink, err);
}

bool sink_try(const char *target, const struct outlets *outlets, struct err *err)
{
    return open_or_try(target, true, outlets, NULL, err);
}

static void stop_watching(struct sink *sink)
{
    if (sink->watched)
        loop_remove(sink->loop, &sink->io);
    sink->watched = false;
}

void sink_close(struct sink *sink)
{
    stop_watching(sink);
    close_fd(sink->fd);
    buf_release(&sink->queue);
    *sink = SINK_INIT;
}

static bool is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void sink_abandon(struct sink *sink)
{
    if (!sink->gone && is_file(sink->fd))
        return;
    stop_watching(sink);
    sink->gone = true;
    sink->lost += sink->queue.len - sink->sent;
    buf_release(&sink->queue);
    sink->sent = 0;
}

/* Writes what the receiver takes now; returns how much that is. */
static size_t write_now(struct sink *sink, const char *bytes, size_t len)
{
    size_t done = 0;

    while (!sink->gone && done < len) {
        ssize_t n = stream_write_some(sink->fd, &sink->way, bytes + done, len - done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR) {
            sink->gone = true;
            sink->error = errno;
        }
    }
    return done;
}

static void write_queue(struct sink *sink)
{
    sink->sent += write_now(sink, sink->queue.data + sink->sent, sink->queue.len - sink->sent);
    if (sink->gone)
        sink_abandon(sink);
    else if (sink->sent == sink->queue.len)
        sink->queue.len = sink->sent = 0;
}

static bool watch(struct sink *sink, struct err *err)
{
    bool want = sink->loop && sink->queue.len > 0;

    if (want == sink->watched)
        return true;
    if (!want) {
        stop_watching(sink);
        return true;
    }
    sink->watched = true;
    return loop_add(sink->loop, &sink->io, EPOLLOUT, err);
}

static bool ready(void *data, uint32_t events, struct err *err)
{
    struct sink *sink = data;
    bool was_full = sink_is_full(sink);

    (void)events;
    write_queue(sink);
    if (!watch(sink, err))
        return false;
    return (was_full && !sink_is_full(sink)) || sink_is_empty(sink) ? sink->drained(sink->data, err)
                                                                    : true;
}

bool sink_attach(struct sink *sink, struct loop *loop, bool (*drained)(void *data, struct err *err),
                 void *data, struct err *err)
{
    sink->loop = loop;
    sink->drained = drained;
    sink->data = data;
    sink->io = (struct loop_io){sink->fd, ready, sink};
    return watch(sink, err);
}

/* What is written moves out of the way once it is more than what is not. */
static void make_room(struct sink *sink)
{
    if (sink->sent < sink->queue.len / 2)
        return;
    memmove(sink->queue.data, sink->queue.data + sink->sent, sink->queue.len - sink->sent);
    sink->queue.len -= sink->sent;
    sink->sent = 0;
}

bool sink_write(struct sink *sink, const char *bytes, size_t len, struct err *err)
{
    size_t done = 0;

    if (sink->fd < 0)
        return true;
    if (sink->queue.len == 0)
        done = write_now(sink, bytes, len);
    if (sink->gone) {
        sink->lost += len - done;
        return true;
    }
    if (done == len)
        return true;
    if (sink->sent > 0)
        make_room(sink);
    if (!buf_append(&sink->queue, bytes + done, len - done))
        return err_set(err, ERR_ENGINE_FAILED, "what is to be written does not fit into the queue");
    return watch(sink, err);
}

bool sink_is_empty(const struct sink *sink)
{
    return sink->queue.len == 0;
}

bool sink_is_full(const struct sink *sink)
{
    return sink->queue.len - sink->sent >= SINK_QUEUE_FULL;
}

void sink_flush(struct sink *sink, int ms)
{
    struct pollfd poll_fd = {.fd = sink->fd, .events = POLLOUT};

    while (!sink->gone && sink->queue.len > 0) {
        if (poll(&poll_fd, 1, ms) <= 0)
            sink_abandon(sink);
        else
            write_queue(sink);
    }
    stop_watching(sink);
}

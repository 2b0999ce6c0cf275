#include "shim/relay/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SPLICE_MAX     (1 << 20)
#define DROP_CHUNK     65536
#define TURNS          8      /* moves before the other descriptors get their turn */
#define TERMINAL_HOLDS 131072 /* bytes, at the most: twice what the kernel's tty_buffer.c has */

enum move {
    MOVED,
    SOURCE_EMPTY,
    SOURCE_ENDED,
    SINK_FULL,
    SINK_GONE,
    NOT_SPLICEABLE,
    FILTER_FULL,
    FAILED,
};

static bool is_source_empty(const struct pump *pump)
{
    int waiting = 0;

    return ioctl(pump->ends.from, FIONREAD, &waiting) < 0 || waiting == 0;
}

/* How much of `max` bytes may be taken from the source. */
static size_t allowed(const struct pump *pump, size_t max)
{
    return pump->finishing && pump->left < max ? pump->left : max;
}

static void took(struct pump *pump, ssize_t n)
{
    if (pump->finishing)
        pump->left -= (size_t)n;
}

static enum move sink_error(struct pump *pump)
{
    if (errno == EAGAIN)
        return SINK_FULL;
    if (errno == EINTR)
        return MOVED;
    pump->sink_errno = errno;
    return SINK_GONE;
}

static void become_busy(struct pump *pump);

static enum move splice_some(struct pump *pump)
{
    size_t max = allowed(pump, SPLICE_MAX);
    ssize_t n;

    if (max == 0)
        return SOURCE_EMPTY;
    if (!pump->busy && pump->bytes > PUMP_BUSY)
        become_busy(pump);
    n = splice(pump->ends.from, NULL, pump->own_sink, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
        took(pump, n);
        pump->bytes += (uint64_t)n;
        return MOVED;
    }
    if (n == 0)
        return SOURCE_ENDED;
    if (errno == EINVAL)
        return NOT_SPLICEABLE;
    if (errno != EAGAIN)
        return sink_error(pump);
    /* Which side would block? A file never does, not even at its end. */
    if (pump->source_unpollable)
        return SINK_FULL;
    /* What has been written since is no sign of a full sink, and nobody could wait for a file. */
    if (pump->sink_unpollable)
        return SOURCE_EMPTY;
    return is_source_empty(pump) ? SOURCE_EMPTY : SINK_FULL;
}

static enum move write_held(struct pump *pump)
{
    ssize_t n = stream_write_some(pump->own_sink, &pump->sink_way, pump->out + pump->sent,
                                  pump->held - pump->sent);

    if (n < 0)
        return sink_error(pump);
    pump->bytes += (uint64_t)n;
    pump->sent += (size_t)n;
    return MOVED;
}

/* What the filter saw and did not change; the copy of it where a step has taken it back. */
static enum move splice_held(struct pump *pump)
{
    ssize_t n = splice(pump->ends.from, NULL, pump->own_sink, NULL, pump->held - pump->sent,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n > 0) {
        took(pump, n);
        pump->bytes += (uint64_t)n;
        pump->sent += (size_t)n;
        return MOVED;
    }
    if (n < 0 && (errno != EAGAIN || !is_source_empty(pump)))
        return sink_error(pump);
    pump->in_source = false;
    return MOVED;
}

/* Whether the filter answers for the very bytes that it saw. */
static bool judges(const struct pump *pump)
{
    const struct pump_filter *filter = pump->ends.filter;

    return filter->judges(filter->data);
}

/*
 * What the filter saw is delivered as it lies in the buffer, and goes out of the source. A step can
 * have taken it out itself: then there is nothing to drop.
 */
static void leave_source(struct pump *pump, size_t len)
{
    char dropped[DROP_CHUNK];

    pump->in_source = false;
    while (len > 0) {
        ssize_t n = read(pump->ends.from, dropped, len < sizeof(dropped) ? len : sizeof(dropped));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        took(pump, n);
        len -= (size_t)n;
    }
}

/* What was read is written, or counted where there is no sink any more, or never was one. */
static enum move deliver(struct pump *pump)
{
    size_t len = pump->held - pump->sent;

    /* A secret may have been declared since on the other stream. */
    if (pump->in_source && (pump->sink_gone || judges(pump)))
        leave_source(pump, len);
    if (pump->in_source)
        return splice_held(pump);
    if (pump->ends.to >= 0 && !pump->sink_gone)
        return write_held(pump);
    if (pump->ends.to < 0)
        pump->bytes += len;
    else
        pump->lost += len;
    pump->sent = pump->held;
    return MOVED;
}

/* Nothing more comes from the source; the filter may still hold something. */
static enum move no_more(struct pump *pump, struct err *err)
{
    const struct pump_filter *filter = pump->ends.filter;

    if (!filter || pump->filter_ended)
        return SOURCE_ENDED;
    pump->filter_ended = true;
    return filter->end(filter->data, &pump->out, &pump->held, err) ? MOVED : FAILED;
}

/* Gives the filter what is in the buffer, and holds what that gives back. */
static bool filter_some(struct pump *pump, size_t len, struct err *err)
{
    const struct pump_filter *filter = pump->ends.filter;
    const char *seen = pump->buffer;

    pump->out = seen;
    pump->held = len;
    if (filter && !filter->pass(filter->data, seen, len, &pump->out, &pump->held, err)) {
        /* What did not pass is nothing that there was to deliver. */
        pump->held = 0;
        return false;
    }
    if (pump->in_source && (pump->out != seen || pump->held != len))
        leave_source(pump, len);
    return true;
}

/*
 * Reads; or copies, for a filter that does not judge, what then stays in the source until it is
 * delivered. The source is a step's as well, which can change until then what lies in it.
 */
static ssize_t read_some(struct pump *pump, size_t max)
{
    ssize_t n, got = 0;

    pump->in_source = pump->copies[0] >= 0 && !pump->sink_gone && !judges(pump);
    if (!pump->in_source)
        return read(pump->ends.from, pump->buffer, max);
    n = tee(pump->ends.from, pump->copies[1], max, SPLICE_F_NONBLOCK);
    while (got < n) {
        ssize_t more = read(pump->copies[0], pump->buffer + got, (size_t)(n - got));

        if (more > 0)
            got += more;
        else if (errno != EINTR)
            return -1;
    }
    return n;
}

static enum move take_some(struct pump *pump, struct err *err)
{
    size_t max = allowed(pump, PUMP_CHUNK);
    ssize_t n;

    pump->sent = pump->held = 0;
    pump->in_source = false;
    if (max == 0)
        return no_more(pump, err);
    n = read_some(pump, max);
    if (n <= 0)
        pump->in_source = false;
    if (n < 0 && errno == EINTR)
        return MOVED;
    if (n < 0 && errno == EAGAIN && !pump->finishing)
        return SOURCE_EMPTY;
    /* A terminal that hung up, a socket that was reset: there is no more. */
    if (n <= 0)
        return no_more(pump, err);
    if (!pump->in_source)
        took(pump, n);
    return filter_some(pump, (size_t)n, err) ? MOVED : FAILED;
}

static bool is_pipe(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/*
 * A stream of which much has come is worth larger pipes: both sides run longer in one go. Not from
 * the beginning, since pipes of an ordinary user have a limit in all (pipe(7)); where that is
 * reached, they stay as they are.
 */
static void become_busy(struct pump *pump)
{
    pump->busy = true;
    pump->copying = !pump->can_splice;
    if (!is_pipe(pump->ends.from) || !is_pipe(pump->own_sink))
        return;
    fcntl(pump->ends.from, F_SETPIPE_SZ, PUMP_BUSY_PIPE);
    fcntl(pump->own_sink, F_SETPIPE_SZ, PUMP_BUSY_PIPE);
    if (!pump->ends.filter || pipe2(pump->copies, O_CLOEXEC | O_NONBLOCK) < 0)
        return;
    /* As many pieces as the source can have must fit, or a copy would wait for room. */
    if (fcntl(pump->copies[0], F_SETPIPE_SZ, PUMP_BUSY_PIPE) < 0) {
        pump->copies[0] = close_fd(pump->copies[0]);
        pump->copies[1] = close_fd(pump->copies[1]);
    }
}

static enum move copy_some(struct pump *pump, struct err *err)
{
    const struct pump_filter *filter = pump->ends.filter;
    enum move move;

    if (pump->sent < pump->held)
        return deliver(pump);
    if (!pump->busy && pump->bytes > PUMP_BUSY) {
        become_busy(pump);
        if (!pump->copying)
            return splice_some(pump);
    }
    if (filter && filter->full(filter->data))
        return FILTER_FULL;
    move = take_some(pump, err);
    return move == MOVED && pump->held > 0 ? deliver(pump) : move;
}

static bool need_buffer(struct pump *pump, struct err *err)
{
    if (!pump->buffer)
        pump->buffer = malloc(PUMP_CHUNK);
    return pump->buffer || err_set(err, ERR_ENGINE_FAILED, "not enough memory for the relay");
}

static bool ready(void *data, uint32_t events, struct err *err);

/* Makes the loop watch `io` or leave it alone. */
static bool watch(struct pump *pump, struct loop_io *io, bool *watched, bool want, uint32_t events,
                  struct err *err)
{
    if (want == *watched)
        return true;
    *watched = want;
    if (want)
        return loop_add(pump->loop, io, events, err);
    loop_remove(pump->loop, io);
    return true;
}

static bool wait_for(struct pump *pump, bool source, bool sink, struct err *err)
{
    return watch(pump, &pump->source_io, &pump->source_watched, source && !pump->source_unpollable,
                 EPOLLIN, err) &&
           watch(pump, &pump->sink_io, &pump->sink_watched, sink && !pump->sink_unpollable,
                 EPOLLOUT, err);
}

static bool end(struct pump *pump, struct err *err)
{
    pump->ended = true;
    if (!wait_for(pump, false, false, err))
        return false;
    pump->ends.done(pump->ends.data);
    return true;
}

/* From now on bytes are read and written, not spliced. */
static bool copy_from_now(struct pump *pump, struct err *err)
{
    pump->copying = true;
    pump->can_splice = false;
    return need_buffer(pump, err);
}

static bool ready(void *data, uint32_t events, struct err *err)
{
    struct pump *pump = data;
    bool holds;

    (void)events;
    /* A sink that cannot be waited for takes what is held at once. */
    for (int i = 0; i < TURNS || (pump->sent < pump->held && pump->sink_unpollable); i++) {
        switch (pump->copying ? copy_some(pump, err) : splice_some(pump)) {
        case MOVED:
            /* A stdin that was not made for this process blocks in a read too many. */
            if (pump->copying && pump->ends.to_is_input && pump->sent == pump->held)
                return wait_for(pump, !pump->source_unpollable, pump->source_unpollable, err);
            break;
        case SOURCE_EMPTY:
            return pump->finishing ? end(pump, err) : wait_for(pump, true, false, err);
        case SINK_FULL:
            return wait_for(pump, false, true, err);
        case FILTER_FULL:
            return wait_for(pump, false, false, err);
        case SOURCE_ENDED:
            return end(pump, err);
        case SINK_GONE:
            if (pump->ends.to_is_input || pump->ends.ends_with_sink)
                return end(pump, err);
            pump->sink_gone = true;
            if (!copy_from_now(pump, err))
                return false;
            break;
        case NOT_SPLICEABLE:
            if (!copy_from_now(pump, err))
                return false;
            break;
        case FAILED:
            return false;
        }
    }
    /* More to do: come back by whichever side can be waited for. What is held is for the sink
     * alone: a step may have emptied the source, which then says nothing. */
    holds = pump->sent < pump->held && !pump->sink_unpollable;
    return wait_for(pump, !holds && !pump->source_unpollable, holds || pump->source_unpollable,
                    err);
}

/* A command's stdin is non-blocking already, or a socket. */
static void open_sink(struct pump *pump, const struct pump_ends *ends)
{
    struct stat st;

    pump->own_sink = -1;
    if (ends->to_is_input)
        pump->sink_way.is_socket = fstat(ends->to, &st) == 0 && S_ISSOCK(st.st_mode);
    else if (ends->to >= 0)
        pump->own_sink = stream_open(ends->to, &pump->sink_way);
    if (pump->own_sink < 0)
        pump->own_sink = ends->to;
}

/* splice(2) knows no way not to block on a terminal, and on a socket only its owner's. */
static bool must_copy(const struct pump *pump)
{
    struct stat from, to;

    return pump->ends.filter || fstat(pump->ends.to, &to) < 0 || S_ISSOCK(to.st_mode) ||
           S_ISCHR(to.st_mode) || fstat(pump->ends.from, &from) < 0 ||
           !(S_ISFIFO(from.st_mode) || S_ISREG(from.st_mode));
}

bool pump_start(struct pump *pump, struct loop *loop, const struct pump_ends *ends, struct err *err)
{
    *pump = (struct pump){.loop = loop, .ends = *ends, .copies = {-1, -1}};
    open_sink(pump, ends);
    pump->can_splice = !must_copy(pump);
    /* A reader that is woken by a write runs sooner than one that is woken by a splice. */
    pump->copying = !pump->can_splice || !ends->to_is_input;
    pump->source_io = (struct loop_io){ends->from, ready, pump};
    pump->sink_io = (struct loop_io){pump->own_sink, ready, pump};
    pump->source_unpollable = !loop_can_watch(loop, ends->from);
    pump->sink_unpollable = ends->to < 0 || !loop_can_watch(loop, pump->own_sink);
    if (pump->copying && !need_buffer(pump, err))
        return false;
    return wait_for(pump, !pump->source_unpollable, pump->source_unpollable, err);
}

bool pump_finish(struct pump *pump, struct err *err)
{
    int waiting = 0;

    /* A terminal's driver has more than it counts: there, what it does not give is its end. */
    if (!pump->finishing && isatty(pump->ends.from))
        pump->left = TERMINAL_HOLDS;
    else if (!pump->finishing && ioctl(pump->ends.from, FIONREAD, &waiting) == 0)
        pump->left = (size_t)waiting;
    pump->finishing = true;
    return !pump->loop || pump->ended || ready(pump, 0, err);
}

bool pump_abandon(struct pump *pump, struct err *err)
{
    if (!pump->loop || pump->ended)
        return true;
    pump->sink_gone = true;
    return copy_from_now(pump, err) && ready(pump, 0, err);
}

bool pump_was_cut(const struct pump *pump)
{
    return pump->sink_errno != 0 && pump->sink_errno != EPIPE && pump->sink_errno != ECONNRESET;
}

bool pump_resume(struct pump *pump, struct err *err)
{
    return !pump->loop || pump->ended || ready(pump, 0, err);
}

void pump_close(struct pump *pump)
{
    struct err ignored;

    if (!pump->loop)
        return;
    wait_for(pump, false, false, &ignored);
    pump->lost += pump->held - pump->sent;
    if (pump->own_sink != pump->ends.to)
        close_fd(pump->own_sink);
    close_fd(pump->copies[0]);
    close_fd(pump->copies[1]);
    free(pump->buffer);
    pump->buffer = NULL;
    pump->loop = NULL;
}

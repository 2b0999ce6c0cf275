#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

bool loop_open(struct loop *loop, struct err *err)
{
    *loop = LOOP_INIT;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make an event loop");
    return true;
}

void loop_close(struct loop *loop)
{
    loop->epoll = close_fd(loop->epoll);
    loop->signals = close_fd(loop->signals);
}

static bool read_signals(void *data, uint32_t events, struct err *err)
{
    struct loop *loop = data;
    struct signalfd_siginfo info;

    (void)events;
    while (read(loop->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (!loop->on_signal(loop->signal_data, (int)info.ssi_signo, err))
            return false;
    }
    return true;
}

bool loop_watch_signals(struct loop *loop, const sigset_t *set,
                        bool (*on_signal)(void *data, int signal, struct err *err), void *data,
                        struct err *err)
{
    loop->signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot watch signals");
    loop->on_signal = on_signal;
    loop->signal_data = data;
    loop->signal_io = (struct loop_io){loop->signals, read_signals, loop};
    return loop_add(loop, &loop->signal_io, EPOLLIN, err);
}

static bool control(struct loop *loop, int operation, struct loop_io *io, uint32_t events,
                    struct err *err)
{
    struct epoll_event event = {.events = events, .data.ptr = io};

    if (epoll_ctl(loop->epoll, operation, io->fd, &event) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot watch a descriptor");
    return true;
}

bool loop_can_watch(const struct loop *loop, int fd)
{
    struct epoll_event event = {.events = 0};

    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return errno != EPERM;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    return true;
}

bool loop_add(struct loop *loop, struct loop_io *io, uint32_t events, struct err *err)
{
    return control(loop, EPOLL_CTL_ADD, io, events, err);
}

bool loop_change(struct loop *loop, struct loop_io *io, uint32_t events, struct err *err)
{
    return control(loop, EPOLL_CTL_MOD, io, events, err);
}

void loop_remove(struct loop *loop, struct loop_io *io)
{
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, io->fd, NULL);
}

void loop_set_timer(struct loop *loop, struct loop_timer *timer, uint64_t ms)
{
    loop_clear_timer(loop, timer);
    timer->deadline = clock_now() + (int64_t)ms * NS_PER_MS;
    timer->next = loop->timers;
    loop->timers = timer;
}

void loop_clear_timer(struct loop *loop, struct loop_timer *timer)
{
    struct loop_timer **link = &loop->timers;

    while (*link && *link != timer)
        link = &(*link)->next;
    if (*link)
        *link = timer->next;
    timer->deadline = 0;
    timer->next = NULL;
}

static struct loop_timer *first_timer(const struct loop *loop)
{
    struct loop_timer *first = loop->timers;

    for (struct loop_timer *timer = first; timer; timer = timer->next) {
        if (timer->deadline < first->deadline)
            first = timer;
    }
    return first;
}

/* Milliseconds until the next timer, rounded up; -1 when there is none. */
static int next_timeout(const struct loop *loop)
{
    const struct loop_timer *first = first_timer(loop);
    int64_t left = first ? first->deadline - clock_now() : -1;

    if (!first)
        return -1;
    if (left <= 0)
        return 0;
    left = (left + NS_PER_MS - 1) / NS_PER_MS;
    return left > INT_MAX ? INT_MAX : (int)left;
}

/* Those whose time has come; one that is set meanwhile waits for its turn. */
static bool fire_timers(struct loop *loop, struct err *err)
{
    int64_t now = clock_now();
    struct loop_timer *timer;

    while ((timer = first_timer(loop)) && timer->deadline <= now) {
        loop_clear_timer(loop, timer);
        if (!timer->fire(timer->data, err))
            return false;
    }
    return true;
}

bool loop_run(struct loop *loop, struct err *err)
{
    loop->stopped = false;
    while (!loop->stopped) {
        /* One event at a time: a callback may remove the descriptor that the next event is about.
         */
        struct epoll_event event;
        int n = epoll_wait(loop->epoll, &event, 1, next_timeout(loop));

        if (n < 0 && errno != EINTR)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot wait for events");
        if (n == 1) {
            struct loop_io *io = event.data.ptr;
            if (!io->ready(io->data, event.events, err))
                return false;
        }
        if (!fire_timers(loop, err))
            return false;
    }
    return true;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

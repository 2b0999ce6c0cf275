/*
 * A small event loop on epoll: descriptors, one-shot timers and signals, one thread.
 *
 * The owner declares a `struct loop_io` for each descriptor and a `struct loop_timer` for each
 * timer; the loop borrows them until they are removed. Callbacks may add, change and remove any of
 * them. A callback that fails sets the error of loop_run and ends it.
 */
#ifndef STEPCELL_BASE_LOOP_H
#define STEPCELL_BASE_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"

struct loop_io {
    int fd; /* not owned */
    bool (*ready)(void *data, uint32_t events, struct err *err);
    void *data;
};

struct loop_timer {
    int64_t deadline; /* clock_now(); 0 when not set */
    bool (*fire)(void *data, struct err *err);
    void *data;
    struct loop_timer *next; /* of those that are set */
};

struct loop {
    int epoll;
    int signals; /* signalfd, or -1 */
    bool stopped;
    struct loop_timer *timers; /* that are set */
    struct loop_io signal_io;
    bool (*on_signal)(void *data, int signal, struct err *err);
    void *signal_data;
};

#define LOOP_INIT ((struct loop){.epoll = -1, .signals = -1})

bool loop_open(struct loop *loop, struct err *err);
void loop_close(struct loop *loop);
#define autoloop CLEANUP(loop_close) struct loop

/* Reads the blocked signals in `set` and hands them to `on_signal`, in order. The caller has
 * blocked them. */
bool loop_watch_signals(struct loop *loop, const sigset_t *set,
                        bool (*on_signal)(void *data, int signal, struct err *err), void *data,
                        struct err *err);

/* Whether loop_add takes it: a file is always ready, and so are some devices. */
bool loop_can_watch(const struct loop *loop, int fd);

/* Waits for `events` (EPOLLIN, EPOLLOUT, or 0 for none) of io->fd, level triggered. */
bool loop_add(struct loop *loop, struct loop_io *io, uint32_t events, struct err *err);
bool loop_change(struct loop *loop, struct loop_io *io, uint32_t events, struct err *err);
void loop_remove(struct loop *loop, struct loop_io *io);

/* Fires once, `ms` milliseconds from now. Setting a timer that runs moves its deadline. */
void loop_set_timer(struct loop *loop, struct loop_timer *timer, uint64_t ms);
void loop_clear_timer(struct loop *loop, struct loop_timer *timer);

/* Runs until a callback calls loop_stop (true) or fails (false). It can be run again. */
bool loop_run(struct loop *loop, struct err *err);
void loop_stop(struct loop *loop);

#endif

/* stepcell-events: delivers the event log of one step to an HTTP receiver (docs/events.md). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/clock.h"
#include "base/path.h"
#include "shim/acked.h"
#include "shim/events/backoff.h"
#include "shim/events/log.h"
#include "shim/events/place.h"
#include "shim/events/receiver.h"
#include "shim/print.h"

#define BATCH_EVERY_MS  200  /* while events come, so often is something sent */
#define NAP_MS          10   /* a writer in a hurry does not wake us for every event */
#define WRITER_AGAIN_MS 2000 /* whoever lets go of the lock may be handing it on */

/* How it ended; also the exit status. */
enum ending {
    ENDING_DONE = 0,       /* everything is confirmed, or another deliverer is at work */
    ENDING_UNFINISHED = 3, /* what is there is confirmed, and nobody writes the rest */
    ENDING_GIVEN_UP = 4,   /* the receiver has confirmed nothing for a day */
    ENDING_FAILED = 125,
};

struct delivery {
    int dir;
    struct log log;
    struct receiver receiver;
    struct acked acked;
    struct backoff backoff;
    size_t limit;                  /* bytes of a batch; less when the receiver wants less */
    int64_t sent;                  /* clock_now() when a batch was sent last */
    bool finished;                 /* step.finished is confirmed */
    char failure[ERR_MESSAGE_MAX]; /* said last */
};

static void nap(uint64_t ms)
{
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * NS_PER_MS};

    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

/* Says why something failed, once, and waits until it may be tried again; false to give up. */
static bool wait_after_failure(struct delivery *delivery, uint64_t asked_ms, const struct err *err)
{
    uint32_t random = 0;
    uint64_t ms;

    if (strcmp(delivery->failure, err->message) != 0) {
        strcpy(delivery->failure, err->message);
        print_note(PRINT_NORMAL, "%s; trying again", err->message);
    }
    (void)!getrandom(&random, sizeof(random), 0);
    if (log_is_removed(&delivery->log) ||
        !backoff_next(&delivery->backoff, clock_now(), asked_ms, random, &ms))
        return false;
    nap(ms);
    return true;
}

/* The receiver has the first `len` pending bytes; so the disk has to know. */
static bool confirm(struct delivery *delivery, size_t len)
{
    struct event event = {.seq = delivery->acked.seq};
    size_t line_len = len;
    const char *line = batch_last_line(delivery->log.pending.data, &line_len);
    struct err err;

    delivery->backoff = BACKOFF_NONE;
    event_read(line, line_len, &event);
    delivery->acked = (struct acked){delivery->log.offset + len, event.seq};
    while (!acked_write(delivery->dir, &delivery->acked, &err)) {
        if (!wait_after_failure(delivery, 0, &err))
            return false;
    }
    delivery->backoff = BACKOFF_NONE;
    delivery->failure[0] = '\0';
    delivery->finished = event.last;
    log_drop(&delivery->log, len);
    return true;
}

/* Sends the first `len` pending bytes until they are confirmed, or makes batches smaller. */
static bool send_batch(struct delivery *delivery, size_t len)
{
    const char *lines = delivery->log.pending.data;
    uint64_t asked_ms;
    struct err err;

    for (;;) {
        delivery->sent = clock_now();
        switch (receiver_post(&delivery->receiver, lines, len, &asked_ms, &err)) {
        case RECEIVER_CONFIRMED:
            return confirm(delivery, len);
        case RECEIVER_TOO_LARGE:
            if (!batch_is_single(lines, len)) {
                delivery->limit = len / 2;
                return true;
            }
            break;
        case RECEIVER_FAILED:
            break;
        }
        if (!wait_after_failure(delivery, asked_ms, &err))
            return false;
    }
}

/* Whether the batch could wait for more; then it has. */
static bool linger(struct delivery *delivery, size_t len)
{
    int64_t rest = delivery->sent + BATCH_EVERY_MS * NS_PER_MS - clock_now();
    struct event event = {0};
    size_t line_len = len;
    const char *line = batch_last_line(delivery->log.pending.data, &line_len);

    if (rest <= 0 || delivery->log.pending.len >= delivery->limit)
        return false;
    /* Looked for first, since reading an event costs more. */
    if (memmem(line, line_len, "step.finished", strlen("step.finished")) &&
        event_read(line, line_len, &event) && event.last)
        return false;
    nap(NAP_MS);
    log_wait(&delivery->log, (uint64_t)(rest / NS_PER_MS));
    return true;
}

/* Waits for more of the log; false when nobody is there to write it. */
static bool wait_for_more(struct delivery *delivery)
{
    if (log_is_written(&delivery->log)) {
        log_wait(&delivery->log, WRITER_AGAIN_MS);
        return true;
    }
    return log_wait(&delivery->log, WRITER_AGAIN_MS) || log_is_written(&delivery->log);
}

static enum ending deliver(struct delivery *delivery, struct err *err)
{
    const struct buf *pending = &delivery->log.pending;

    while (!delivery->finished) {
        size_t len;

        if (!log_fill(&delivery->log, err))
            return ENDING_FAILED;
        len = batch_cut(pending->data, pending->len, delivery->limit);
        if (len == 0) {
            if (!wait_for_more(delivery))
                return ENDING_UNFINISHED;
        } else if (!linger(delivery, len) && !send_batch(delivery, len)) {
            return ENDING_GIVEN_UP;
        }
    }
    return ENDING_DONE;
}

static void delivery_close(struct delivery *delivery)
{
    log_close(&delivery->log);
    receiver_close(&delivery->receiver);
}

/* Opens what is needed and goes to where the one before has come. */
static bool delivery_open(struct delivery *delivery, int dir, const char *path, struct err *err)
{
    struct event before = {.seq = -1};

    *delivery = (struct delivery){.dir = dir, .log = LOG_INIT, .limit = BATCH_MAX};
    if (!log_open(&delivery->log, dir, err) ||
        !receiver_open(&delivery->receiver, dir, path_name(path), err))
        return false;
    /* Twice is better than never: what does not say how far it came is as good as none. */
    if (!acked_read(dir, &delivery->acked, err) ||
        !log_seek(&delivery->log, delivery->acked.offset, &before))
        delivery->acked = ACKED_NONE;
    delivery->finished = before.last;
    return true;
}

/* Under the lock of the one deliverer. */
static enum ending work(int dir, const char *path, uint64_t *end, struct err *err)
{
    CLEANUP(delivery_close) struct delivery delivery = {.log = LOG_INIT};
    enum ending ending = ENDING_DONE;

    place_tidy(dir);
    if (delivery_open(&delivery, dir, path, err)) {
        ending = deliver(&delivery, err);
        *end = delivery.log.seen;
    } else if (!place_is_half_removed(dir)) {
        return ENDING_FAILED;
    }
    if (ending == ENDING_DONE && !place_is_kept(dir) && !place_remove(dir, path, err))
        return ENDING_FAILED;
    return ending;
}

static bool log_ends_at(int dir, uint64_t end)
{
    struct stat st;

    return fstatat(dir, STEP_EVENTS, &st, AT_SYMLINK_NOFOLLOW) < 0 || (uint64_t)st.st_size == end;
}

static enum ending run(const char *name, struct err *err)
{
    autofd dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[PATH_MAX];
    enum ending ending;
    uint64_t end = 0;

    if (dir < 0 || !path_of_open(dir, path)) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot open the directory '%s'", name);
        return ENDING_FAILED;
    }
    do {
        autofd lock = -1;

        switch (place_lock(dir, &lock, err)) {
        case PLACE_LOCKED:
            break;
        case PLACE_BUSY:
            return ENDING_DONE;
        case PLACE_FAILED:
            return ENDING_FAILED;
        }
        ending = work(dir, path, &end, err);
        lock = close_fd(lock);
        /* Whoever writes the end of an unfinished log starts another deliverer, which may have come
         * before the lock was free, and gone. */
    } while (ending == ENDING_UNFINISHED && !log_ends_at(dir, end));
    return ending;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    enum ending ending;

    signal(SIGPIPE, SIG_IGN);
    umask(077);
    if (argc != 2) {
        print_note(PRINT_NORMAL, "usage: stepcell-events DIR");
        return ENDING_FAILED;
    }
    ending = caller_check(&err) ? run(argv[1], &err) : ENDING_FAILED;
    if (ending == ENDING_FAILED)
        print_err(&err);
    return (int)ending;
}

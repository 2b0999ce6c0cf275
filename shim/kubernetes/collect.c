#include "shim/kubernetes/collect.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/kubernetes/pod_exec.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/kubernetes/return_stream.h"

#define TICK_MS  1000
#define PAUSE_MS 200
#define STALL_MS 60000   /* that a Pod may send nothing */
#define WHOLE_MS 3600000 /* that all attempts may take */
#define TAKEN_MS 2000    /* that it may take to hear that all has come */

/* ---- one attempt ---- */

struct attempt {
    const struct collect *collect;
    struct return_reader reader;
    int64_t heard; /* clock_now() when something came */
    int64_t until; /* it has to be done by then */
    bool unwritten, damaged;
};

static bool take(void *data, enum pod_stream stream, const void *bytes, size_t len, struct err *err)
{
    struct attempt *attempt = data;

    attempt->heard = clock_now();
    if (stream != POD_STDOUT)
        return true;
    attempt->damaged = !return_reader_feed(&attempt->reader, bytes, len, err);
    if (attempt->damaged)
        return false;
    attempt->unwritten = !file_write_all(attempt->collect->to, bytes, len);
    return !attempt->unwritten ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot keep what the Pod gives back");
}

static bool is_gone(struct sight *sight)
{
    bool gone;

    pthread_mutex_lock(&sight->lock);
    gone = sight->gone;
    pthread_mutex_unlock(&sight->lock);
    return gone;
}

static bool is_over(void *data)
{
    const struct attempt *attempt = data;

    return is_gone(attempt->collect->sight) ||
           clock_now() - attempt->heard > STALL_MS * NS_PER_MS || clock_now() > attempt->until;
}

static bool work(struct pod_exec *exec, struct attempt *attempt, struct err *err)
{
    struct pollfd polled = {pod_exec_fd(exec), pod_exec_events(exec), 0};

    (void)poll(&polled, 1, TICK_MS);
    return !is_over(attempt)
               ? pod_exec_work(exec, err)
               : err_set(err, ERR_ENGINE_FAILED, "the Pod gives nothing back any more");
}

/* Pid 1 waits for that, and ends then. A Pod that does not hear it is removed all the same. */
static void acknowledge(struct pod_exec *exec, struct attempt *attempt)
{
    static const char taken = RETURN_TAKEN;
    int64_t deadline = clock_now() + TAKEN_MS * NS_PER_MS;
    bool said = false;
    struct err ignored;
    int status;

    while (clock_now() < deadline && !pod_exec_has_ended(exec, &status)) {
        if (!said && pod_exec_may_write(exec))
            said = pod_exec_write(exec, &taken, sizeof(taken), &ignored);
        if (!work(exec, attempt, &ignored))
            return;
    }
}

static bool attempt_it(struct attempt *attempt, struct err *err)
{
    const struct collect *collect = attempt->collect;
    const char *const command[] = {collect->program, "collect", collect->all ? "all" : NULL, NULL};
    const struct pod_exec_call call = {
        .pod = collect->name,
        .container = POD_CONTAINER,
        .command = command,
        .has_stdin = true,
        .take = take,
        .data = attempt,
        .stop = {.stopped = is_over, .data = attempt},
    };
    autopodexec *exec = NULL;
    int status;

    attempt->heard = clock_now();
    if (ftruncate(collect->to, 0) < 0 || lseek(collect->to, 0, SEEK_SET) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot keep what the Pod gives back");
    if (!pod_exec_open(collect->config, &call, &exec, err))
        return false;
    while (!attempt->reader.ended) {
        if (pod_exec_has_ended(exec, &status))
            return err_set(err, ERR_ENGINE_FAILED, "what the Pod gives back has no end");
        if (!work(exec, attempt, err))
            return false;
    }
    acknowledge(exec, attempt);
    return true;
}

/* ---- until it is done ---- */

static bool has_ended(struct sight *sight)
{
    bool ended;

    pthread_mutex_lock(&sight->lock);
    ended = sight->state.ended || sight->gone;
    pthread_mutex_unlock(&sight->lock);
    return ended;
}

static bool collect(const struct collect *collect, struct err *err)
{
    autofree struct attempt *attempt = calloc(1, sizeof(*attempt));
    int64_t until = clock_now() + WHOLE_MS * NS_PER_MS;
    int64_t deadline = clock_now() + KUBE_PATIENCE_MS * NS_PER_MS;
    uint64_t furthest = 0;

    if (!attempt)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory to take back what has changed");
    for (;;) {
        bool ended = has_ended(collect->sight);

        *attempt = (struct attempt){.collect = collect, .until = until};
        if (attempt_it(attempt, err))
            return true;
        /* Whoever got further than before may be slow to come back. */
        if (attempt->reader.bytes > furthest) {
            furthest = attempt->reader.bytes;
            deadline = clock_now() + KUBE_PATIENCE_MS * NS_PER_MS;
        }
        if (ended || attempt->reader.failed || attempt->unwritten || attempt->damaged ||
            clock_now() > deadline || clock_now() > until)
            return false;
        clock_sleep(PAUSE_MS);
    }
}

void *collect_changes(void *data)
{
    struct collect *whole = data;
    struct sight *sight = whole->sight;
    struct err err = ERR_INIT, cause = ERR_INIT;

    if (!collect(whole, &cause)) {
        if (is_gone(sight))
            err_set(&cause, ERR_POD_DELETED, "the Pod was gone before all of it had come");
        err_set(&err, ERR_ENGINE_FAILED, "what the step has changed did not come back: %s",
                cause.message);
        err_hint(&err, "the command has ended, and its changes are lost with its Pod: look at what "
                       "else it has done before it is run again");
        err_detail(&err, "%s", cause.detail);
    }
    pthread_mutex_lock(&sight->lock);
    whole->err = err;
    whole->done = true;
    sight_changed(sight);
    pthread_mutex_unlock(&sight->lock);
    return NULL;
}

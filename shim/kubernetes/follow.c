/* The log of the Pod: read to its end, and again where something is missing. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/kubernetes/pod_channel.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/net/url.h"
#include "shim/kubernetes/watch.h"

#define PAUSE_MS     100
#define READS_MAX    4      /* of a log that gets no longer, before what it lacks is lost */
#define LOG_STALL_MS 300000 /* that a log may say nothing, before it is asked for again */
/*
 * The same of one that may have been rotated: it goes on in a file that its reader is not told of.
 * Nodes look every ten seconds, and a log must not be rotated once more meanwhile.
 */
#define SILENCE_MIN_MS 2000
#define SILENCE_MAX_MS 8000
#define ROTATES_MIN    (512 << 10) /* bytes; what is shorter, no node rotates */

struct follow {
    struct sight *sight;
    struct kube_client *client;
    struct frame_reader reader;
    enum frame_progress progress;
    struct frame end;
    bool asked; /* the command was told to end */
    int connections;
    uint64_t read;    /* bytes of the log */
    int64_t heard_at; /* clock_now() */
    int silence_ms;   /* that the log may keep */
    bool taken[3];    /* whoever reads a stream of the step's is still there */
};

static void tell(const struct pod_message *message)
{
    (void)!send(POD_CONTROL_FD, message, sizeof(*message), MSG_NOSIGNAL);
}

/* Who has gone away does not keep the step from going on. */
static void deliver(struct follow *follow, const struct frame *frame)
{
    static const int ends[] = {POD_OUT_FD, POD_ERR_FD, POD_VAR_FD};
    size_t index = frame->kind - FRAME_OUT;

    follow->taken[index] =
        follow->taken[index] && file_write_all(ends[index], frame->bytes, frame->len);
}

static void take_failure(struct follow *follow, const struct frame *frame)
{
    struct pod_message message = {.kind = POD_FAILED, .err = frame->error};

    if (frame->kind == FRAME_EXEC) {
        message.kind = POD_EXEC;
        message.value = frame->value;
    } else if (frame->kind != FRAME_FAIL) {
        errno = frame->value;
        err_errno(&message.err, ERR_ENGINE_FAILED,
                  frame->kind == FRAME_FILTER
                      ? "the kernel did not take the seccomp filter of the cell"
                      : "cannot give the command its user, groups and limits");
    }
    pthread_mutex_lock(&follow->sight->lock);
    follow->sight->failed = true;
    pthread_mutex_unlock(&follow->sight->lock);
    tell(&message);
}

static bool take_frame(void *data, const struct frame *frame, struct err *err)
{
    struct follow *follow = data;
    struct pod_message message = {0};

    (void)err;
    switch (frame->kind) {
    case FRAME_OUT:
    case FRAME_ERR:
    case FRAME_VAR:
        deliver(follow, frame);
        break;
    case FRAME_READY:
        message.kind = POD_READY;
        tell(&message);
        break;
    case FRAME_ASKED:
        follow->asked = true;
        break;
    case FRAME_LEFT:
        message.kind = POD_RUNNING;
        memcpy(message.name, frame->bytes,
               frame->len < sizeof(message.name) ? frame->len : sizeof(message.name) - 1);
        tell(&message);
        break;
    case FRAME_FAIL:
    case FRAME_EXEC:
    case FRAME_INIT:
    case FRAME_FILTER:
        take_failure(follow, frame);
        break;
    case FRAME_END:
        follow->end = *frame;
        break;
    case FRAME_KINDS:
        break;
    }
    return true;
}

/* A piece of the log. Ends the reading when there is no use in more of it. */
static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    struct follow *follow = data;

    follow->read += len;
    follow->progress = frame_reader_feed(&follow->reader, bytes, len, err);
    /* What its reader takes time for is no silence of the log. */
    follow->heard_at = clock_now();
    if (follow->progress == FRAMES_MORE || follow->progress == FRAMES_WRONG)
        return follow->progress == FRAMES_MORE;
    return err_set(err, ERR_ENGINE_FAILED, "enough of the log has been read");
}

static char *log_path(const struct follow *follow)
{
    const struct objects objects = {.config = follow->sight->config};
    const char *time = follow->reader.time;
    autofree char *since = time[0] ? url_escape(time) : NULL;
    autofree char *behind =
        text_printf("/%s/log?container=" POD_CONTAINER "&follow=true&timestamps=true%s%s",
                    follow->sight->name, since ? "&sinceTime=" : "", since ? since : "");

    return behind ? objects_path(&objects, "pods", behind) : NULL;
}

static bool is_silent(void *data)
{
    const struct follow *follow = data;

    return follow->read >= ROTATES_MIN &&
           clock_now() - follow->heard_at > follow->silence_ms * NS_PER_MS;
}

/* To its end, or as far as it goes. */
static void read_log(struct follow *follow, struct err *err)
{
    autofree char *path = log_path(follow);
    const struct kube_call one = {
        .path = path, .body = take_bytes, .data = follow, .stall_ms = LOG_STALL_MS, .once = true};
    uint64_t before = follow->reader.number;
    autokubeanswer answer = {0};

    follow->progress = FRAMES_MORE;
    follow->connections++;
    follow->heard_at = clock_now();
    if (path && kube_call(follow->client, &one, &answer, err) && answer.status != 200)
        kube_refused(follow->client, &answer, "read the log of its Pod", err);
    if (follow->progress == FRAMES_MORE)
        follow->progress = frame_reader_break(&follow->reader, err);
    follow->silence_ms = follow->reader.number != before       ? SILENCE_MIN_MS
                         : follow->silence_ms < SILENCE_MAX_MS ? 2 * follow->silence_ms
                                                               : SILENCE_MAX_MS;
}

/* Waits until there is a log, or will never be; whether it gets no longer. */
static bool await_log(struct sight *sight)
{
    bool ended;

    pthread_mutex_lock(&sight->lock);
    while (!sight->state.begun && !sight->state.finished && !sight->gone)
        pthread_cond_wait(&sight->changed, &sight->lock);
    ended = sight->state.ended || sight->state.finished || sight->gone;
    pthread_mutex_unlock(&sight->lock);
    return ended;
}

/* What the log lacks; *err is set when there was nothing to read at all. */
static void explain(const struct follow *follow, struct err *err)
{
    const struct frame_reader *reader = &follow->reader;

    /* A log that was never let read says why. */
    if (follow->progress == FRAMES_WRONG || (reader->number == 0 && err->code != ERR_NONE))
        return;
    if (reader->lost)
        err_set(err, ERR_ENGINE_FAILED, "the log of the Pod is cut: %llu of its frames are missing",
                (unsigned long long)reader->lost);
    else
        err_set(err, ERR_ENGINE_FAILED, "the log of the Pod has no end");
    err_hint(err, "look at what the step has done before it is run again; where a node has rotated "
                  "the log faster than it was read, raise containerLogMaxSize of its kubelet");
    if (reader->stray[0])
        err_detail(err, "%s", reader->stray);
}

static void finish(struct follow *follow, const struct err *err)
{
    struct sight *sight = follow->sight;

    pthread_mutex_lock(&sight->lock);
    sight->read = true;
    sight->has_end = follow->progress == FRAMES_ENDED && !follow->reader.lost;
    sight->end = follow->end;
    sight->asked = follow->asked;
    sight->reread = follow->connections > 1;
    sight->log_error = *err;
    sight_changed(sight);
    pthread_mutex_unlock(&sight->lock);
}

/* Until the end has come, or what has ended has been read often enough without one. */
static void read_whole(struct follow *follow, struct err *err)
{
    int reads = 0;

    while (follow->progress != FRAMES_ENDED && follow->progress != FRAMES_WRONG) {
        bool ended = await_log(follow->sight);
        uint64_t before = follow->reader.number;
        bool stuck;

        if (ended && reads >= READS_MAX) {
            explain(follow, err);
            return;
        }
        follow->reader.gives_up = reads >= READS_MAX / 2;
        read_log(follow, err);
        stuck = (ended || follow->progress == FRAMES_GAP) && follow->reader.number == before;
        reads = stuck ? reads + 1 : 0;
        if (follow->progress != FRAMES_ENDED && follow->progress != FRAMES_WRONG)
            clock_sleep(PAUSE_MS);
    }
    if (follow->reader.lost)
        explain(follow, err);
}

void *follow_log(void *data)
{
    struct follow follow = {
        .sight = data, .silence_ms = SILENCE_MIN_MS, .taken = {true, true, true}};
    const struct http_stop silence = {.stopped = is_silent, .data = &follow};
    struct err err = ERR_INIT;

    follow.reader.take = take_frame;
    follow.reader.data = &follow;
    if (kube_client_open(follow.sight->config, &silence, &follow.client, &err))
        read_whole(&follow, &err);
    finish(&follow, &err);
    kube_client_close(follow.client);
    return NULL;
}

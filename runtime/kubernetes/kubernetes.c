#include "runtime/kubernetes/kubernetes.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "runtime/exec_failure.h"
#include "runtime/kubernetes/kubernetes_parts.h"

/* A helper that is gone shows itself on its socket. */
static void ask(const struct cell *cell, enum pod_message_kind kind, int value)
{
    const struct pod_message message = {.kind = kind, .value = value};

    if (cell->daemon >= 0)
        (void)!send(cell->daemon, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take_end(struct cell *cell, enum cell_event *event)
{
    kubernetes_remove_probes(cell);
    cell_pipes_close_child(&cell->pipes);
    if (cell->ended)
        return;
    cell->ended = true;
    *event = CELL_ENDED;
}

/* Of one that has stayed. */
static void take_absence(struct cell *cell, enum cell_event *event)
{
    if (cell->record.stays)
        *event = CELL_ENDED;
}

static void take_loss(struct cell *cell, const struct pod_message *message, enum cell_event *event)
{
    if (!cell->ended && cell->record.kind != EXIT_FAILED) {
        cell->record.kind = EXIT_UNKNOWN;
        cell->record.oom_killed = message->oom_killed;
        /* Who kills it knows why. */
        if (!cell->killed)
            cell->record.error = message->err;
    }
    take_end(cell, event);
}

static void take_status(struct cell *cell, const struct pod_message *message,
                        enum cell_event *event)
{
    cell->record.oom_killed = message->oom_killed && cell->spec->limits.memory;
    cell->record.returned = message->returned;
    cell->record.of_another = message->of_another;
    cell->record.unreturned = message->err;
    /* The process that could not become the command has a status, too. */
    if (!cell->ended && cell->record.error.code == ERR_NONE) {
        cell->record.kind = message->is_signal ? EXIT_SIGNAL : EXIT_STATUS;
        cell->record.value = message->value;
    }
    /* A Pod that was asked to end does. */
    cell->record.stays = cell->spec->stays && !cell->asked_to_end;
    take_end(cell, event);
}

static void take_failure(struct cell *cell, const struct err *err, enum cell_event *event)
{
    if (!cell->ended) {
        cell->record.kind = EXIT_FAILED;
        cell->record.error = *err;
    }
    take_end(cell, event);
}

static void leave_pod(struct cell *cell)
{
    autofree char *text = text_printf("Pod '%s' of Kubernetes", cell->name);

    if (text && !strv_contains(&cell->left, text))
        strv_add(&cell->left, text);
}

static void take_removal(struct cell *cell, enum cell_event *event)
{
    cell->removed = true;
    cell->daemon = close_fd(cell->daemon);
    child_wait(cell->helper);
    cell->helper = 0;
    *event = CELL_CLEAN;
}

static void lose_helper(struct cell *cell, enum cell_event *event)
{
    struct pod_message lost = {0};

    err_set(&lost.err, ERR_ENGINE_FAILED, "stepcell-kubernetes ended before the cell did");
    take_loss(cell, &lost, event);
    cell->daemon = close_fd(cell->daemon);
    child_wait(cell->helper);
    cell->helper = 0;
    if (!cell->removed)
        leave_pod(cell);
    if (cell->cleaning)
        *event = CELL_CLEAN;
}

/* False when the helper is gone, or speaks nonsense. */
static bool from_helper(struct cell *cell, enum cell_event *event, struct err *err)
{
    struct pod_message message;
    ssize_t n = recv(cell->daemon, &message, sizeof(message), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n != (ssize_t)sizeof(message))
        return false;
    switch ((enum pod_message_kind)message.kind) {
    case POD_READY:
        kubernetes_remove_probes(cell);
        *event = cell->ready || cell->ended ? CELL_NOTHING : CELL_READY;
        cell->ready = true;
        return true;
    case POD_FAILED:
        take_failure(cell, &message.err, event);
        return true;
    case POD_EXEC:
        exec_failure_take(cell->spec->argv.items[0], message.value, cell->spec->seccomp != NULL,
                          &cell->record);
        return true;
    case POD_RUNNING:
        message.name[sizeof(message.name) - 1] = '\0';
        strv_add(&cell->record.left_running, message.name);
        return true;
    case POD_EXITED:
        *event = CELL_EXITED;
        return true;
    case POD_ENDED:
        take_status(cell, &message, event);
        return true;
    case POD_LOST_CONTACT:
        take_loss(cell, &message, event);
        return true;
    case POD_LEFT:
        leave_pod(cell);
        cell->failure = message.err;
        take_removal(cell, event);
        return true;
    case POD_REMOVED:
        take_removal(cell, event);
        return true;
    case POD_GONE:
        take_absence(cell, event);
        return true;
    case POD_NOTE:
        *event = CELL_NOTE;
        *err = message.err;
        return true;
    case POD_SIGNAL:
    case POD_REMOVE:
        break;
    }
    return false;
}

/* The removal has been waited for long enough. */
static void from_clock(struct cell *cell, enum cell_event *event)
{
    uint64_t times;

    if (read(cell->clock, &times, sizeof(times)) < 0 || !cell->cleaning)
        return;
    leave_pod(cell);
    *event = CELL_CLEAN;
}

static bool engine_handle(struct cell *cell, enum cell_event *event, struct err *err)
{
    struct epoll_event ready;

    *event = CELL_NOTHING;
    if (epoll_wait(cell->events, &ready, 1, 0) != 1)
        return true;
    if (ready.data.u32 == FROM_CLOCK)
        from_clock(cell, event);
    else if (!from_helper(cell, event, err))
        lose_helper(cell, event);
    return true;
}

static struct cell_ends engine_ends(struct cell *cell)
{
    bool has_streams = cell->ready || !cell->spec->terminal;

    return (struct cell_ends){
        .events = cell->events,
        .in = has_streams ? TAKE_FD(cell->pipes.in) : -1,
        .out = has_streams ? cell->pipes.out : -1,
        .err = cell->pipes.err,
        .entry = cell->ready ? cell->entry : -1,
    };
}

static const struct exit_record *engine_exit_record(const struct cell *cell)
{
    return &cell->record;
}

static bool engine_signal(struct cell *cell, int signal, struct err *err)
{
    (void)err;
    if (cell->ended)
        return true;
    cell->killed |= signal == SIGKILL;
    cell->asked_to_end |= signal == SIGKILL || signal == SIGTERM || signal == SIGINT;
    ask(cell, POD_SIGNAL, signal);
    return true;
}

static bool engine_clean(struct cell *cell, enum cell_event *event, struct err *err)
{
    const struct itimerspec patience = {.it_value.tv_sec = CELL_PATIENCE_MS / 1000};
    enum cell_event ended;

    (void)err;
    *event = CELL_NOTHING;
    take_end(cell, &ended);
    cell->cleaning = true;
    if (cell->daemon < 0) {
        *event = CELL_CLEAN;
        return true;
    }
    ask(cell, POD_REMOVE, 0);
    timerfd_settime(cell->clock, 0, &patience, NULL);
    return true;
}

static void cell_free(struct cell *cell)
{
    cell_pipes_close(&cell->pipes);
    close_fd(cell->daemon);
    close_fd(cell->events);
    close_fd(cell->clock);
    close_fd(cell->request);
    close_fd(cell->output);
    close_fd(cell->entry);
    close_fd(cell->helper_entry);
    close_fd(cell->changes);
    close_fd(cell->record.output);
    strv_release(&cell->record.left_running);
    strv_release(&cell->left);
    strv_release(&cell->hidden);
    for (size_t i = 0; i < cell->volume_count; i++)
        pod_volume_release(&cell->volumes[i]);
    free(cell->volumes);
    free(cell);
}

static bool engine_close(struct cell *cell, struct strv *left, struct err *err)
{
    enum cell_event ended;

    take_end(cell, &ended);
    /* Stepcell-kubernetes goes on alone, as long as it has to. */
    if (cell->helper > 0)
        leave_pod(cell);
    for (size_t i = 0; i < cell->left.count; i++)
        strv_add(left, cell->left.items[i]);
    *err = cell->failure;
    cell_free(cell);
    return err->code == ERR_NONE;
}

const struct engine kubernetes_engine = {
    .name = "kubernetes",
    .begins_unseen = true,
    .create = kubernetes_create,
    .start = kubernetes_start,
    .ends = engine_ends,
    .handle = engine_handle,
    .exit_record = engine_exit_record,
    .signal = engine_signal,
    .clean = engine_clean,
    .close = engine_close,
};

#include "runtime/docker/docker.h"

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "runtime/docker/docker_parts.h"
#include "runtime/exec_failure.h"
#include "runtime/native/handshake.h"

#define OTHER_FILES                                                                                \
    "the daemon may see other files than this host, or run on another one; use --engine native "   \
    "there"

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

bool docker_wait_for(const struct cell *cell, int fd, enum docker_source source, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    return epoll_ctl(cell->events, EPOLL_CTL_ADD, fd, &event) == 0 || failed(err, "watch the cell");
}

/* A helper that is gone shows itself on its socket. */
static void ask(const struct cell *cell, enum daemon_message_kind kind, int value)
{
    const struct daemon_message message = {.kind = kind, .value = value};

    if (cell->daemon >= 0)
        (void)!send(cell->daemon, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void give_time(struct cell *cell)
{
    if (!cell->deadline)
        cell->deadline = clock_now() + DAEMON_PATIENCE_MS * NS_PER_MS;
}

/* The cell's own processes end with it. */
static void end_control(struct cell *cell)
{
    cell->control = close_fd(cell->control);
    cell->listener = close_fd(cell->listener);
    unlinkat(cell->place, JOIN_SOCKET, 0);
}

static void take_end(struct cell *cell, enum cell_event *event)
{
    if (cell->ended)
        return;
    cell->ended = true;
    cell->deadline = 0;
    end_control(cell);
    for (size_t i = 0; i < JOIN_DESCRIPTORS; i++)
        cell->descriptors[i] = close_fd(cell->descriptors[i]);
    *event = CELL_ENDED;
}

/* Nobody can say how it ended. */
static void take_loss(struct cell *cell, const struct err *why, enum cell_event *event)
{
    if (cell->ended)
        return;
    /* Of a cell that stayed, the command's end is known. */
    if (!cell->record.stays) {
        cell->record.kind = EXIT_UNKNOWN;
        cell->record.value = 0;
        cell->record.error = *why;
    }
    take_end(cell, event);
}

/* The command's status as a shell has it, which is what the first process ends with. */
static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void take_status(struct cell *cell)
{
    /* The process that could not become the command has a status, too. */
    if (cell->record.error.code != ERR_NONE)
        return;
    cell->record.kind = WIFSIGNALED(cell->status) ? EXIT_SIGNAL : EXIT_STATUS;
    cell->record.value =
        WIFSIGNALED(cell->status) ? WTERMSIG(cell->status) : WEXITSTATUS(cell->status);
}

/* The daemon's word for the end: it and the cell's have to be the same. */
static void take_exit_code(struct cell *cell, int code, bool oom_killed, enum cell_event *event)
{
    struct err err = ERR_INIT;

    if (cell->record.stays) {
        take_end(cell, event);
        return;
    }
    cell->record.oom_killed = oom_killed;
    if (cell->has_status && code != status_of(cell->status)) {
        err_set(&err, ERR_ENGINE_FAILED, "%s says that the command ended with %d, the cell with %d",
                cell->engine, code, status_of(cell->status));
        take_loss(cell, &err, event);
        return;
    }
    if (cell->has_status) {
        take_status(cell);
    } else if (!cell->ready && cell->record.kind != EXIT_FAILED && !cell->killed) {
        cell->record.kind = EXIT_FAILED;
        err_set(&cell->record.error, ERR_MOUNT_DENIED,
                "the container of %s ended with %d before it showed what is mounted", cell->engine,
                code);
        err_hint(&cell->record.error, OTHER_FILES);
    }
    take_end(cell, event);
}

static void take_failure(struct cell *cell, const struct err *err, enum cell_event *event)
{
    if (cell->ended)
        return;
    /* A daemon may have started it all the same, and what runs then has been told to go on. */
    if (cell->ready && cell->start_asked) {
        take_loss(cell, err, event);
        return;
    }
    if (cell->record.kind != EXIT_FAILED) {
        cell->record.kind = EXIT_FAILED;
        cell->record.error = *err;
    }
    take_end(cell, event);
}

static void take_removal(struct cell *cell, enum cell_event *event)
{
    cell->removed = true;
    cell->deadline = 0;
    cell->daemon = close_fd(cell->daemon);
    child_wait(cell->helper);
    cell->helper = 0;
    *event = CELL_CLEAN;
}

static void leave_container(struct cell *cell)
{
    autofree char *text = text_printf("container '%s' of %s", cell->name, cell->engine);

    if (text && !strv_contains(&cell->left, text))
        strv_add(&cell->left, text);
}

static void lose_helper(struct cell *cell, enum cell_event *event)
{
    struct err err = ERR_INIT;

    err_set(&err, ERR_ENGINE_FAILED, "stepcell-docker ended before the cell did");
    take_loss(cell, &err, event);
    cell->daemon = close_fd(cell->daemon);
    child_wait(cell->helper);
    cell->helper = 0;
    if (!cell->removed)
        leave_container(cell);
    if (cell->cleaning)
        *event = CELL_CLEAN;
}

static bool from_daemon(struct cell *cell, enum cell_event *event)
{
    struct daemon_message message;
    ssize_t n = recv(cell->daemon, &message, sizeof(message), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n != (ssize_t)sizeof(message))
        return false;
    switch ((enum daemon_message_kind)message.kind) {
    case DAEMON_STARTED:
        return true;
    case DAEMON_FAILED:
        take_failure(cell, &message.err, event);
        return true;
    case DAEMON_ENDED:
        if (!cell->ended)
            take_exit_code(cell, message.value, message.oom_killed, event);
        return true;
    case DAEMON_STOPPED:
        if (!cell->joined && !cell->ended)
            take_exit_code(cell, message.value, message.oom_killed, event);
        return true;
    case DAEMON_LOST:
        cell->silent = message.value == 0;
        take_loss(cell, &message.err, event);
        return true;
    case DAEMON_LEFT:
        leave_container(cell);
        cell->failure = message.err;
        take_removal(cell, event);
        return true;
    case DAEMON_REMOVED:
        take_removal(cell, event);
        return true;
    case DAEMON_SIGNAL:
    case DAEMON_LOOK:
    case DAEMON_AWAIT:
    case DAEMON_REMOVE:
        break;
    }
    return false;
}

/* Hands everything over; a program that is gone shows itself on the socket. */
static void hand_over(struct cell *cell)
{
    for (int i = 0; i < JOIN_DESCRIPTORS; i++) {
        if (cell->descriptors[i] >= 0)
            (void)!handshake_send(cell->control, MESSAGE_TREE, i, cell->descriptors[i]);
        cell->descriptors[i] = close_fd(cell->descriptors[i]);
    }
    (void)!handshake_send(cell->control, MESSAGE_MAPPED, 0, -1);
}

/* What is refused is not going to run. */
static void refuse(struct cell *cell)
{
    cell->record.kind = EXIT_FAILED;
    end_control(cell);
    ask(cell, DAEMON_SIGNAL, SIGKILL);
    ask(cell, DAEMON_AWAIT, 0);
    give_time(cell);
}

/* Whatever daemons make of users: the kernel says who has connected. */
static bool check_user(struct cell *cell, int control)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (getsockopt(control, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
        peer.uid == cell->spec->owner)
        return true;
    err_set(&cell->record.error, ERR_OPTION_INVALID,
            "%s runs the step as user %u of this host, and what it writes has to belong to user %u",
            cell->engine, peer.uid, cell->spec->owner);
    return err_hint(&cell->record.error,
                    "this daemon maps users: use one that does not, or --engine native");
}

/* The first that connects is the container's first program; nobody else finds a socket. */
static bool from_listener(struct cell *cell, struct err *err)
{
    int control = accept4(cell->listener, NULL, NULL, SOCK_CLOEXEC);

    if (control < 0)
        return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ||
               failed(err, "accept the container's connection");
    end_control(cell);
    cell->control = control;
    cell->joined = true;
    if (!check_user(cell, control)) {
        refuse(cell);
        return true;
    }
    hand_over(cell);
    return docker_wait_for(cell, control, FROM_CONTROL, err);
}

static bool is_as_it_should(struct cell *cell, const struct shown *shown, int fd)
{
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return false;
    switch (shown->kind) {
    case SHOWN_ROOT:
        cell->root = st.st_dev;
        return true;
    case SHOWN_SAME:
        return st.st_dev == shown->dev && st.st_ino == shown->ino;
    case SHOWN_OVERLAY:
        return fs.f_type == OVERLAYFS_SUPER_MAGIC && st.st_dev != cell->root;
    }
    return false;
}

static void compare(struct cell *cell, const struct message *message, int fd)
{
    const struct shown *shown = &cell->shown[cell->shown_next];

    if (cell->shown_next < cell->shown_count && message->value == (int)cell->shown_next &&
        fd >= 0 && is_as_it_should(cell, shown, fd)) {
        cell->shown_next++;
        return;
    }
    if (cell->shown_next < cell->shown_count && fd < 0) {
        err_set(&cell->record.error, ERR_MOUNT_DENIED,
                "'%s' cannot be reached in the cell by the user of the step", shown->target);
        err_hint(&cell->record.error, "it or a directory above it lets only its owner in");
    } else {
        err_set(&cell->record.error, ERR_MOUNT_CONFLICT,
                "'%s' in the cell is not what it is on the host",
                cell->shown_next < cell->shown_count ? shown->target : JOIN_DIR);
        err_hint(&cell->record.error, "another mount or a symbolic link of the image covers it, or "
                                      "the daemon sees other files than this host");
    }
    refuse(cell);
}

static void take_ready(struct cell *cell, enum cell_event *event)
{
    if (cell->ready || cell->shown_next != cell->shown_count)
        return;
    cell->ready = true;
    if (cell->start_asked)
        (void)!handshake_send(cell->control, MESSAGE_START, 0, -1);
    *event = cell->spec->terminal ? CELL_NOTHING : CELL_READY;
}

/* Whatever else would keep its caller waiting, and be it a command's that cannot be killed. */
static void take_status_report(struct cell *cell, int status, enum cell_event *event)
{
    cell->status = status;
    cell->has_status = true;
    *event = CELL_EXITED;
    if (cell->spec->stays)
        give_time(cell);
}

/* The first process is alone in its cell, and has said how the command ended. */
static bool take_stay(struct cell *cell, enum cell_event *event)
{
    if (!cell->spec->stays || !cell->has_status)
        return false;
    cell->deadline = 0;
    cell->record.stays = true;
    take_status(cell);
    *event = CELL_ENDED;
    return true;
}

static void take_init_failure(struct cell *cell, const struct message *message)
{
    cell->record.kind = EXIT_FAILED;
    errno = message->value;
    err_errno(&cell->record.error, ERR_ENGINE_FAILED,
              message->kind == MESSAGE_FILTER_FAILED
                  ? "the kernel did not take the seccomp filter of the cell"
                  : "cannot give the command its user, groups and limits");
}

/* False when the other end is closed, or speaks nonsense. */
static bool from_control(struct cell *cell, enum cell_event *event)
{
    union message_packet packet;
    struct message *message = &packet.message;
    autofd fd = -1;
    ssize_t n = handshake_receive_packet(cell->control, &packet, &fd);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    message->name[sizeof(message->name) - 1] = '\0';
    switch ((enum message_kind)message->kind) {
    case MESSAGE_TREE:
        if (!cell->ready && cell->record.kind != EXIT_FAILED)
            compare(cell, message, fd);
        return true;
    case MESSAGE_READY:
        take_ready(cell, event);
        return cell->ready;
    case MESSAGE_FAILED:
        cell->record.kind = EXIT_FAILED;
        handshake_take_failure(&packet.failure, &cell->record.error);
        return true;
    case MESSAGE_EXEC_FAILED:
        exec_failure_take(cell->spec->argv.items[0], message->value, cell->spec->seccomp != NULL,
                          &cell->record);
        return true;
    case MESSAGE_INIT_FAILED:
    case MESSAGE_FILTER_FAILED:
        take_init_failure(cell, message);
        return true;
    case MESSAGE_LEFT_RUNNING:
        strv_add(&cell->record.left_running, message->name);
        return true;
    case MESSAGE_EXITED:
        take_status_report(cell, message->value, event);
        return true;
    case MESSAGE_STREAMS:
        if (!cell->spec->terminal || fd < 0)
            return false;
        cell_pipes_take_terminal(&cell->pipes, &fd, cell->spec->pass_stdin);
        *event = CELL_READY;
        return true;
    case MESSAGE_STAYS:
        return take_stay(cell, event);
    case MESSAGE_MAPPED:
    case MESSAGE_START:
    case MESSAGE_END:
    case MESSAGE_ENTER:
    case MESSAGE_SIGNAL:
    case MESSAGE_LOOK:
        break;
    }
    return false;
}

/* Its first process is gone: now the daemon has to say how. */
static void await_end(struct cell *cell)
{
    end_control(cell);
    ask(cell, DAEMON_AWAIT, 0);
    give_time(cell);
}

static void kill_cell(struct cell *cell)
{
    ask(cell, DAEMON_SIGNAL, SIGKILL);
    cell->killed = true;
    /* The first process ends with its socket: a daemon that does not answer keeps none alive. */
    if (cell->joined)
        await_end(cell);
    give_time(cell);
}

static void give_up(struct cell *cell, enum cell_event *event)
{
    struct err err = ERR_INIT;

    err_set(&err, ERR_ENGINE_UNAVAILABLE, "%s does not answer", cell->engine);
    cell->silent = true;
    take_loss(cell, &err, event);
    if (cell->cleaning) {
        leave_container(cell);
        *event = CELL_CLEAN;
    }
}

static void from_clock(struct cell *cell, enum cell_event *event)
{
    struct err err = ERR_INIT;
    uint64_t times;

    if (read(cell->clock, &times, sizeof(times)) < 0)
        return;
    if (cell->deadline && clock_now() > cell->deadline) {
        cell->deadline = 0;
        /* What was to stay, and in which something of the step does not end. */
        if (cell->spec->stays && cell->control >= 0)
            kill_cell(cell);
        else
            give_up(cell, event);
        return;
    }
    if (cell->joined || cell->ended)
        return;
    ask(cell, DAEMON_LOOK, 0);
    if (++cell->ticks < CELL_JOIN_TICKS)
        return;
    err_set(&err, ERR_ENGINE_UNAVAILABLE, "no container of %s has reported for %d seconds",
            cell->engine, CELL_JOIN_TICKS);
    err_hint(&err, OTHER_FILES);
    take_failure(cell, &err, event);
}

static bool engine_handle(struct cell *cell, enum cell_event *event, struct err *err)
{
    struct epoll_event ready;

    *event = CELL_NOTHING;
    if (epoll_wait(cell->events, &ready, 1, 0) != 1)
        return true;
    switch ((enum docker_source)ready.data.u32) {
    case FROM_DAEMON:
        if (!from_daemon(cell, event))
            lose_helper(cell, event);
        break;
    case FROM_LISTENER:
        return from_listener(cell, err);
    case FROM_CONTROL:
        if (!from_control(cell, event))
            await_end(cell);
        break;
    case FROM_CLOCK:
        from_clock(cell, event);
        break;
    }
    return true;
}

static bool engine_start(struct cell *cell, struct err *err)
{
    (void)err;
    cell->start_asked = true;
    if (cell->ready && cell->control >= 0)
        (void)!handshake_send(cell->control, MESSAGE_START, 0, -1);
    return true;
}

/* Who is at the other end of the socket; 0 for nobody that this host could number. */
static pid_t first_process(const struct cell *cell)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    return cell->joined && getsockopt(cell->control, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
               ? peer.pid
               : 0;
}

static struct cell_ends engine_ends(struct cell *cell)
{
    return (struct cell_ends){
        .events = cell->events,
        .in = TAKE_FD(cell->pipes.in),
        .out = cell->pipes.out,
        .err = cell->pipes.err,
        .entry = cell->control,
        .leader = first_process(cell),
    };
}

static const struct exit_record *engine_exit_record(const struct cell *cell)
{
    return &cell->record;
}

static bool engine_signal(struct cell *cell, int signal, struct err *err)
{
    bool ends_step = cell->spec->stays && cell->ready && cell->start_asked && !cell->killed;

    (void)err;
    if (cell->ended)
        return true;
    if (signal != SIGKILL) {
        ask(cell, DAEMON_SIGNAL, signal);
    } else if (ends_step && cell->control >= 0) {
        (void)!handshake_send(cell->control, MESSAGE_END, 0, -1);
        cell->killed = true;
        give_time(cell);
    } else {
        kill_cell(cell);
    }
    return true;
}

static bool engine_clean(struct cell *cell, enum cell_event *event, struct err *err)
{
    enum cell_event ended;

    (void)err;
    *event = CELL_NOTHING;
    take_end(cell, &ended);
    cell->cleaning = true;
    ask(cell, DAEMON_REMOVE, 0);
    if (cell->daemon < 0 || cell->silent) {
        *event = CELL_CLEAN;
        return true;
    }
    give_time(cell);
    return true;
}

static void cell_free(struct cell *cell)
{
    cell_pipes_close(&cell->pipes);
    close_fd(cell->daemon);
    close_fd(cell->scratch);
    close_fd(cell->place);
    close_fd(cell->events);
    close_fd(cell->clock);
    close_fd(cell->record.output);
    strv_release(&cell->record.left_running);
    strv_release(&cell->left);
    free(cell->directory);
    free(cell->shown);
    free(cell);
}

static bool engine_close(struct cell *cell, struct strv *left, struct err *err)
{
    enum cell_event ended;

    take_end(cell, &ended);
    /* Stepcell-docker goes on alone, as long as it has to. */
    if (cell->helper > 0)
        leave_container(cell);
    for (size_t i = 0; i < cell->left.count; i++)
        strv_add(left, cell->left.items[i]);
    *err = cell->failure;
    cell_free(cell);
    return err->code == ERR_NONE;
}

static bool create_docker(const struct run_spec *spec, const struct root_filesystem *root,
                          struct cell **cell, struct err *err)
{
    return docker_create("docker", spec, root, cell, err);
}

static bool create_podman(const struct run_spec *spec, const struct root_filesystem *root,
                          struct cell **cell, struct err *err)
{
    return docker_create("podman", spec, root, cell, err);
}

#define OPERATIONS                                                                                 \
    .start = engine_start, .ends = engine_ends, .handle = engine_handle,                           \
    .exit_record = engine_exit_record, .signal = engine_signal, .clean = engine_clean,             \
    .close = engine_close

const struct engine docker_engine = {.name = "docker", .create = create_docker, OPERATIONS};
const struct engine podman_engine = {.name = "podman", .create = create_podman, OPERATIONS};

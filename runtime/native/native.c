#include "runtime/native/native.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "mounts/mountinfo.h"
#include "runtime/exec_failure.h"
#include "runtime/native/handshake.h"
#include "runtime/native/native_parts.h"
#include "runtime/native/network.h"
#include "runtime/native/scratch.h"

/* listmount(2), since Linux 6.8; of other namespaces since 6.11 */
#ifndef SYS_listmount
#define SYS_listmount 458
#endif

#define STUCK_MAX 16 /* processes that are named */

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

bool native_wait_for(const struct cell *cell, int fd, enum native_source source, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    return epoll_ctl(cell->events, EPOLL_CTL_ADD, fd, &event) == 0 || failed(err, "watch the cell");
}

static void wait_no_more(const struct cell *cell, int fd)
{
    epoll_ctl(cell->events, EPOLL_CTL_DEL, fd, NULL);
}

/* From now on what is waited for may not come: see after_a_while. */
static bool set_clock(struct cell *cell, struct err *err)
{
    const struct itimerspec every = {.it_value.tv_sec = NATIVE_PATIENCE_MS / 1000,
                                     .it_interval.tv_sec = NATIVE_PATIENCE_MS / 1000};

    if (cell->clock < 0) {
        cell->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (cell->clock < 0 || !native_wait_for(cell, cell->clock, FROM_CLOCK, err))
            return failed(err, "set a clock");
    }
    return timerfd_settime(cell->clock, 0, &every, NULL) == 0 || failed(err, "set a clock");
}

static bool native_start(struct cell *cell, struct err *err)
{
    /* A child that is gone has said why: handle() reads it. */
    if (!handshake_send(cell->control, MESSAGE_START, 0, -1) && errno != EPIPE &&
        errno != ECONNRESET)
        return failed(err, "start the command");
    return true;
}

static void take_exit(struct cell *cell, int status)
{
    /* The process that could not become the command has a status, too. */
    if (cell->record.error.code != ERR_NONE)
        return;
    cell->record.kind = WIFSIGNALED(status) ? EXIT_SIGNAL : EXIT_STATUS;
    cell->record.value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* The first process is alone in its cell. */
static bool take_stay(struct cell *cell, enum cell_event *event)
{
    const struct itimerspec never = {.it_value.tv_sec = 0};

    if (!cell->spec->stays)
        return false;
    timerfd_settime(cell->clock, 0, &never, NULL);
    cell->record.stays = true;
    cell->record.oom_killed = cgroup_oom_killed(&cell->cgroup);
    *event = CELL_ENDED;
    return true;
}

/*
 * The marker of a volatile overlay, which goes with the rest in any case: removed while the command
 * starts, since that takes its time on some disks. Where the caller may not, it waits.
 */
static void remove_marker(const struct cell *cell)
{
    (void)!file_remove_tree(cell->scratch, SCRATCH_MARKER);
}

/* The first one is why. */
static void take_failure(struct cell *cell, struct message_failure *failure)
{
    bool first = cell->record.kind != EXIT_FAILED;
    struct err one;

    handshake_take_failure(failure, &one);
    cell->record.kind = EXIT_FAILED;
    if (first)
        cell->record.error = one;
    else
        errs_add(&cell->record.further, &one);
}

static bool take_message(struct cell *cell, enum cell_event *event)
{
    union message_packet packet;
    struct message message;
    struct err ignored;
    autofd fd = -1;
    ssize_t n = handshake_receive_packet(cell->control, &packet, &fd);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    message = packet.message;
    message.name[sizeof(message.name) - 1] = '\0';
    switch ((enum message_kind)message.kind) {
    case MESSAGE_READY:
        remove_marker(cell);
        cell->record.output = TAKE_FD(fd);
        cell->runs = true;
        *event = cell->spec->terminal ? CELL_NOTHING : CELL_READY;
        return true;
    case MESSAGE_STREAMS:
        cell_pipes_take_terminal(&cell->pipes, &fd, cell->spec->pass_stdin);
        *event = CELL_READY;
        return true;
    case MESSAGE_FAILED:
        take_failure(cell, &packet.failure);
        return true;
    case MESSAGE_EXEC_FAILED:
        exec_failure_take(cell->spec->argv.items[0], message.value, cell->spec->seccomp != NULL,
                          &cell->record);
        return true;
    case MESSAGE_INIT_FAILED:
        cell->record.kind = EXIT_FAILED;
        errno = message.value;
        err_errno(&cell->record.error, ERR_ENGINE_FAILED,
                  "cannot give the command its user, groups and limits");
        return true;
    case MESSAGE_FILTER_FAILED:
        cell->record.kind = EXIT_FAILED;
        errno = message.value;
        err_errno(&cell->record.error, ERR_ENGINE_UNAVAILABLE,
                  "the kernel did not take the seccomp filter of the cell");
        err_hint(&cell->record.error,
                 "the kernel must have CONFIG_SECCOMP_FILTER, and a filter around stepcell must "
                 "allow seccomp(2)");
        return true;
    case MESSAGE_LEFT_RUNNING:
        strv_add(&cell->record.left_running, message.name);
        return true;
    case MESSAGE_EXITED:
        take_exit(cell, message.value);
        *event = CELL_EXITED;
        /* In a cell that stays, what the command left may not let itself be killed. */
        return !cell->spec->stays || set_clock(cell, &ignored);
    case MESSAGE_STAYS:
        return take_stay(cell, event);
    case MESSAGE_TREE:
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

static struct cell_ends native_ends(struct cell *cell)
{
    return (struct cell_ends){
        .events = cell->events,
        .in = TAKE_FD(cell->pipes.in),
        .out = cell->pipes.out,
        .err = cell->pipes.err,
        .entry = cell->control,
        .leader = cell->pid,
    };
}

static const struct exit_record *native_exit_record(const struct cell *cell)
{
    return &cell->record;
}

static bool send_signal(struct cell *cell, int signal, struct err *err)
{
    if (syscall(SYS_pidfd_send_signal, cell->pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
        return failed(err, "signal the cell");
    if (signal != SIGKILL || cell->killed)
        return true;
    cell->killed = true;
    return set_clock(cell, err);
}

static bool native_signal(struct cell *cell, int signal, struct err *err)
{
    bool ends_step = signal == SIGKILL && cell->spec->stays && cell->runs && !cell->ending;

    if (!ends_step)
        return send_signal(cell, signal, err);
    /* A cell that is gone shows itself. */
    (void)!handshake_send(cell->control, MESSAGE_END, 0, -1);
    cell->ending = true;
    return set_clock(cell, err);
}

/* Nothing more is to be heard of the cell: only its end is waited for. */
static bool await_end(struct cell *cell, struct err *err)
{
    if (cell->awaited)
        return true;
    cell->awaited = true;
    wait_no_more(cell, cell->control);
    return send_signal(cell, SIGKILL, err) && native_wait_for(cell, cell->pidfd, FROM_PROCESS, err);
}

static bool begin_cleaning(struct cell *cell, enum cell_event *event, struct err *err);

/* The kernel lets the first process end only after all others of the cell, or it never does. */
static bool take_end(struct cell *cell, enum cell_event *event, struct err *err)
{
    cell->stuck = waitpid(cell->pid, NULL, WNOHANG) == 0;
    if (!cell->stuck)
        cell->pid = 0;
    wait_no_more(cell, cell->control);
    wait_no_more(cell, cell->pidfd);
    cell->ended = true;
    cell->record.oom_killed = cgroup_oom_killed(&cell->cgroup);
    if (cell->cleaning)
        return begin_cleaning(cell, event, err);
    *event = CELL_ENDED;
    return true;
}

static void name_process(struct cell *cell, int pid)
{
    autobuf name = BUF_INIT(64);
    autofree char *text = NULL;
    struct err ignored;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    if (file_read(AT_FDCWD, path, &name, ERR_ENGINE_FAILED, &ignored))
        text = text_printf("process %d (%.*s), which does not end when it is killed", pid,
                           (int)strcspn(name.data, "\n"), name.data);
    if (text)
        strv_add(&cell->left, text);
}

/* The first process has become the parent of all others. */
static void name_stuck(struct cell *cell)
{
    char path[64];
    autofile *children = NULL;
    int pid;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)cell->pid, (int)cell->pid);
    children = fopen(path, "re");
    for (int i = 0; i < STUCK_MAX && children && fscanf(children, "%d", &pid) == 1; i++)
        name_process(cell, pid);
    name_process(cell, cell->pid);
}

/* Whether another process has the mount namespace of the cell open, and so keeps its mounts. */
static bool namespace_is_kept(const struct cell *cell)
{
    const struct {
        uint32_t size, spare;
        uint64_t mount, last, mount_namespace;
    } request = {sizeof(request), 0, UINT64_MAX /* LSMT_ROOT */, 0, cell->mount_namespace};
    uint64_t first;

    return cell->mount_namespace != 0 && syscall(SYS_listmount, &request, &first, 1, 0) >= 0;
}

/* Says what is mounted below the scratch, and whether the host has served file systems. */
static void look_at_mounts(struct cell *cell)
{
    autobuf text = BUF_INIT(MOUNTINFO_MAX);
    struct err ignored;

    cell->tidy.served = true;
    /* What cannot be looked at is not clean. */
    if (!file_read(AT_FDCWD, "/proc/self/mountinfo", &text, ERR_ENGINE_FAILED, &ignored) ||
        mountinfo_has_below(text.data, cell->spec->scratch))
        strv_add(&cell->left, "a mount below the scratch of the cell");
    else
        cell->tidy.served = mountinfo_has_served(text.data);
    if (namespace_is_kept(cell))
        strv_add(&cell->left, "the mount namespace of the cell, which another process has open");
}

static void take_left(struct cell *cell, unsigned int left)
{
    if (left & TIDY_NOT_REMOVED)
        strv_add(&cell->left, cell->spec->scratch);
    if (!(left & TIDY_NOT_GIVEN_BACK))
        return;
    strv_add(&cell->left, "files of other owners below the working directory");
    err_set(&cell->failure, ERR_ENGINE_FAILED,
            "some files of the step could not be given back to the owner of the working directory");
    err_hint(&cell->failure, "look for files of other owners there");
}

static void take_event_if_clean(const struct cell *cell, enum cell_event *event)
{
    if (cell->tidy.child == 0 && cell->keeper == 0)
        *event = CELL_CLEAN;
}

/* A cell that does not end keeps its directories, which the next call removes. */
static void leave_stuck(struct cell *cell)
{
    name_stuck(cell);
    strv_add(&cell->left, cell->spec->scratch);
    err_set(&cell->failure, ERR_ENGINE_FAILED,
            "the kernel does not let processes of the step end, though they were killed");
    err_hint(&cell->failure, "they wait for the server of a file system; end that, or unmount it");
    if (cell->keeper > 0)
        strv_add(&cell->left, "the network of the cell");
    cell->keeper = 0;
}

/* Sees to what the cell has left on the disk, or starts the child that does. */
static bool begin_tidying(struct cell *cell, struct err *err)
{
    unsigned int left;

    cell->tidy.spec = cell->spec;
    cell->tidy.map = &cell->map;
    cell->tidy.start = cell->start;
    cell->tidy.scratch = cell->scratch;
    cell->tidy.userns = cell->userns;
    if (tidy_at_once(&cell->tidy, &left)) {
        take_left(cell, left);
        return true;
    }
    if (tidy_start(&cell->tidy, err) && set_clock(cell, err) &&
        native_wait_for(cell, cell->tidy.pidfd, FROM_TIDY, err))
        return true;
    take_left(cell, tidy_finish(&cell->tidy));
    return false;
}

static bool begin_cleaning(struct cell *cell, enum cell_event *event, struct err *err)
{
    cgroup_remove(&cell->cgroup, cell->scratch, &cell->left);
    if (cell->stuck) {
        leave_stuck(cell);
    } else {
        look_at_mounts(cell);
        if (!begin_tidying(cell, err))
            return false;
    }
    if (cell->keeper > 0) {
        cell->keeper_end = (int)syscall(SYS_pidfd_open, cell->keeper, 0);
        if (cell->keeper_end < 0 || !native_wait_for(cell, cell->keeper_end, FROM_KEEPER, err))
            return failed(err, "wait for the network of the cell");
    }
    take_event_if_clean(cell, event);
    return true;
}

static void take_keeper(struct cell *cell)
{
    bool left;

    wait_no_more(cell, cell->keeper_end);
    network_stop(cell->keeper, &left, &cell->failure);
    if (left)
        strv_add(&cell->left, "the network of the cell");
    cell->keeper = 0;
}

static void take_tidy(struct cell *cell)
{
    wait_no_more(cell, cell->tidy.pidfd);
    take_left(cell, tidy_finish(&cell->tidy));
}

/* What has been waited for has not come for NATIVE_PATIENCE_MS. */
static bool after_a_while(struct cell *cell, enum cell_event *event, struct err *err)
{
    uint64_t times;

    if (read(cell->clock, &times, sizeof(times)) < 0)
        return true;
    /* What was to stay, and in which something of the step does not end. */
    if (!cell->ended && !cell->awaited && cell->spec->stays)
        return await_end(cell, err);
    if (!cell->ended)
        return take_end(cell, event, err);
    if (cell->tidy.child > 0 && !tidy_goes_on(&cell->tidy))
        take_tidy(cell);
    return true;
}

static bool native_handle(struct cell *cell, enum cell_event *event, struct err *err)
{
    struct epoll_event ready;

    *event = CELL_NOTHING;
    if (epoll_wait(cell->events, &ready, 1, 0) != 1)
        return true;
    switch ((enum native_source)ready.data.u32) {
    case FROM_CONTROL:
        /* The other end is closed, or speaks nonsense. */
        return take_message(cell, event) || await_end(cell, err);
    case FROM_PROCESS:
        return take_end(cell, event, err);
    case FROM_KEEPER:
        take_keeper(cell);
        break;
    case FROM_TIDY:
        take_tidy(cell);
        break;
    case FROM_CLOCK:
        if (!after_a_while(cell, event, err))
            return false;
        break;
    }
    if (cell->cleaning && cell->ended)
        take_event_if_clean(cell, event);
    return true;
}

static bool native_clean(struct cell *cell, enum cell_event *event, struct err *err)
{
    *event = CELL_NOTHING;
    cell->cleaning = true;
    if (cell->pid <= 0)
        cell->ended = true;
    return cell->ended ? begin_cleaning(cell, event, err) : await_end(cell, err);
}

static void cell_free(struct cell *cell)
{
    cell_pipes_close(&cell->pipes);
    close_fd(cell->control);
    close_fd(cell->pidfd);
    close_fd(cell->userns);
    close_fd(cell->scratch);
    close_fd(cell->events);
    close_fd(cell->clock);
    close_fd(cell->keeper_end);
    close_fd(cell->record.output);
    strv_release(&cell->record.left_running);
    errs_release(&cell->record.further);
    strv_release(&cell->left);
    free(cell->trees);
    free(cell->hosts);
    free(cell->resolv_conf);
    free(cell->init);
    free(cell);
}

static bool native_close(struct cell *cell, struct strv *left, struct err *err)
{
    /* Who does not wait for the rest leaves it to the next call. */
    if (!cell->ended)
        leave_stuck(cell);
    if (cell->tidy.child > 0)
        take_tidy(cell);
    if (cell->keeper > 0)
        strv_add(&cell->left, "the network of the cell");
    for (size_t i = 0; i < cell->left.count; i++)
        strv_add(left, cell->left.items[i]);
    *err = cell->failure;
    cell_free(cell);
    return err->code == ERR_NONE;
}

const struct engine native_engine = {
    .name = "native",
    .create = native_create,
    .start = native_start,
    .ends = native_ends,
    .handle = native_handle,
    .exit_record = native_exit_record,
    .signal = native_signal,
    .clean = native_clean,
    .close = native_close,
};

#include "runtime/native/native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/libexec.h"
#include "base/path.h"
#include "mounts/tree.h"
#include "runtime/native/cell.h"
#include "runtime/native/cgroup.h"
#include "runtime/native/handshake.h"
#include "runtime/native/network.h"
#include "runtime/native/ownership.h"
#include "runtime/native/resolv.h"
#include "runtime/native/scratch.h"
#include "runtime/native/ulimit.h"

#define HOSTS    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"
#define NO_PIPES ((struct cell_pipes){-1, -1, -1, -1, -1, -1})

/* Both ends of the command's streams; the child's are closed once it runs. */
struct cell_pipes {
    int in, out, err;
    int child_in, child_out, child_err;
};

struct cell {
    const struct run_spec *spec;
    struct idmap map;
    struct cell_pipes pipes;
    int scratch; /* O_PATH of spec->scratch */
    char *hosts;
    char *resolv_conf;
    char *init;
    struct cgroup cgroup;
    int *trees;
    int control;
    int pidfd;
    int userns;
    pid_t pid;
    bool forward_dns; /* see resolv_for_cell */
    pid_t keeper;     /* of a private network; 0 without one */
    struct timespec start;
    struct exit_record record;
};

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

static bool make_pipe(int *reader, int *writer, struct err *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return failed(err, "make a pipe");
    *reader = ends[0];
    *writer = ends[1];
    return true;
}

static bool make_pipes(struct cell *cell, struct err *err)
{
    struct cell_pipes *pipes = &cell->pipes;
    uint32_t owner;

    if (!make_pipe(&pipes->out, &pipes->child_out, err) ||
        !make_pipe(&pipes->err, &pipes->child_err, err) ||
        (cell->spec->pass_stdin && !make_pipe(&pipes->child_in, &pipes->in, err)))
        return false;
    if (fcntl(pipes->out, F_SETFL, O_NONBLOCK) < 0 || fcntl(pipes->err, F_SETFL, O_NONBLOCK) < 0 ||
        (pipes->in >= 0 && fcntl(pipes->in, F_SETFL, O_NONBLOCK) < 0))
        return failed(err, "prepare the streams");
    /* /dev/stdout is opened anew by path: the pipe has to belong to who runs the command. */
    if (cell->map.kind == IDMAP_ROOT && idmap_outside(&cell->map.uids, cell->spec->uid, &owner) &&
        (fchown(pipes->child_out, owner, (gid_t)-1) < 0 ||
         fchown(pipes->child_err, owner, (gid_t)-1) < 0 ||
         (pipes->child_in >= 0 && fchown(pipes->child_in, owner, (gid_t)-1) < 0)))
        return failed(err, "prepare the streams");
    return true;
}

/* A file of the scratch, or without a text one of the host. */
static bool make_file(const struct cell *cell, const char *name, const char *text, char **path,
                      struct err *err)
{
    autofd file = -1;

    *path = text ? text_printf("%s/%s", cell->spec->scratch, name) : text_printf("/etc/%s", name);
    if (*path && !text)
        return true;
    file = openat(cell->scratch, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return (*path && file >= 0 && file_write_all(file, text, strlen(text)) &&
            fchmod(file, 0644) == 0) ||
           failed(err, "prepare the scratch directory of the cell");
}

static char *hosts_text(const struct run_spec *spec)
{
    char name[HOST_NAME_MAX + 1] = "";

    gethostname(name, sizeof(name));
    return text_printf(HOSTS "127.0.1.1\t%s\n", spec->hostname ? spec->hostname : name);
}

/* The name service files: the host's own, but for what a network of its own makes different. */
static bool make_network_files(struct cell *cell, struct err *err)
{
    enum network_mode network = cell->spec->network;
    autobuf resolv = BUF_INIT(RESOLV_MAX);
    autofree char *hosts = network == NETWORK_HOST ? NULL : hosts_text(cell->spec);

    if (!hosts && network != NETWORK_HOST)
        return failed(err, "prepare the scratch directory of the cell");
    if (network == NETWORK_PRIVATE && !resolv_for_cell(&resolv, &cell->forward_dns, err))
        return false;
    return make_file(cell, "hosts", hosts, &cell->hosts, err) &&
           make_file(cell, "resolv.conf", resolv.data, &cell->resolv_conf, err);
}

static bool make_scratch(struct cell *cell, struct err *err)
{
    uint32_t uid, gid;

    cell->scratch = open(cell->spec->scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cell->scratch < 0)
        return failed(err, "prepare the scratch directory of the cell");
    /* What root of the cell writes to has to be its own; the caller still passes through. */
    if (cell->map.kind == IDMAP_ROOT && idmap_outside(&cell->map.uids, 0, &uid) &&
        idmap_outside(&cell->map.gids, 0, &gid) &&
        (fchownat(cell->scratch, "", uid, gid, AT_EMPTY_PATH) < 0 ||
         chmod(cell->spec->scratch, 0711) < 0))
        return failed(err, "prepare the scratch directory of the cell");
    return make_network_files(cell, err);
}

static bool make_room(struct cell *cell, struct err *err)
{
    size_t count = cell->spec->plan->count;

    cell->trees = malloc((count + 1) * sizeof(*cell->trees));
    for (size_t i = 0; cell->trees && i < count; i++)
        cell->trees[i] = -1;
    return cell->trees || failed(err, "prepare the mounts");
}

static bool send_tree(void *data, size_t index, int tree, struct err *err)
{
    const struct cell *cell = data;
    struct message message = {.kind = MESSAGE_TREE, .value = (int32_t)index};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } ancillary = {.header = {.cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec part = {&message, sizeof(message)};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &ancillary,
                            .msg_controllen = sizeof(ancillary)};

    memcpy(CMSG_DATA(&ancillary.header), &tree, sizeof(tree));
    /* A child that is gone has said why: handle() reads it. */
    if (sendmsg(cell->control, &packet, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        return failed(err, "hand a mount to the cell");
    return true;
}

/* Starts what makes the cell's network; `ready` is where it says so. */
static bool start_network(struct cell *cell, int control, int ready, struct err *err)
{
    autofd netns = -1;
    struct network_cell network = {.pidfd = cell->pidfd,
                                   .userns = cell->userns,
                                   .scratch = cell->scratch,
                                   .control = control,
                                   .ready = ready,
                                   .forward_dns = cell->forward_dns};
    char path[64];
    pid_t keeper;

    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)cell->pid);
    network.netns = netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return failed(err, "open the network namespace of the cell");
    keeper = network_start(&network, err);
    if (keeper > 0)
        cell->keeper = keeper;
    return keeper > 0;
}

static pid_t clone_cell(const struct run_spec *spec, int cgroup, int *pidfd)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
            set_tid_size, cgroup;
    } args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                 CLONE_NEWCGROUP | CLONE_PIDFD |
                 (spec->network != NETWORK_HOST ? CLONE_NEWNET : 0) |
                 (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)(cgroup >= 0 ? cgroup : 0),
    };

    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

union packet {
    struct message message;
    struct message_failure failure; /* of kind MESSAGE_FAILED */
};

/*
 * A packet of the cell, without waiting: its size, 0 at the end and for nonsense, -1 with errno.
 * The end of a cell that has not read everything that was sent to it shows as an error once, before
 * the packets that it has sent.
 */
static ssize_t receive(const struct cell *cell, union packet *packet)
{
    ssize_t n = recv(cell->control, packet, sizeof(*packet), MSG_DONTWAIT);
    bool failed;

    if (n < 0 && errno == ECONNRESET)
        n = recv(cell->control, packet, sizeof(*packet), MSG_DONTWAIT);
    if (n < (ssize_t)sizeof(packet->message))
        return n < 0 ? n : 0;
    failed = packet->message.kind == MESSAGE_FAILED;
    return n == (ssize_t)(failed ? sizeof(packet->failure) : sizeof(packet->message)) ? n : 0;
}

static void take_failure(struct message_failure *failure, struct err *err)
{
    if (failure->code >= ERR_COUNT)
        failure->code = ERR_ENGINE_FAILED;
    failure->message[sizeof(failure->message) - 1] = '\0';
    failure->hint[sizeof(failure->hint) - 1] = '\0';
    err->code = (enum err_code)failure->code;
    memcpy(err->message, failure->message, sizeof(err->message));
    memcpy(err->hint, failure->hint, sizeof(err->hint));
}

/*
 * After a failure outside: where the child has ended, that is why, and it knows the cause. Its ids
 * cannot be set then, for one. Killed, it can say nothing more.
 */
static bool prefer_cause(const struct cell *cell, struct err *err)
{
    union packet packet;

    syscall(SYS_pidfd_send_signal, cell->pidfd, SIGKILL, NULL, 0);
    if (receive(cell, &packet) > 0 && packet.message.kind == MESSAGE_FAILED)
        take_failure(&packet.failure, err);
    return false;
}

static bool no_clone(const struct cell *cell, struct err *err)
{
    /* How the kernel refuses a cgroup of version 2. */
    if (cgroup_birthplace(&cell->cgroup) >= 0 &&
        (errno == EACCES || errno == EBUSY || errno == EOPNOTSUPP)) {
        err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot start the cell in its cgroup '%s'",
                  cell->cgroup.dirs[0].path);
        return err_hint(err,
                        "call stepcell by 'systemd-run --user --scope stepcell …', or as root");
    }
    err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot make the namespaces of the cell");
    return err_hint(err, "run 'stepcell doctor': it names what this host forbids");
}

static bool spawn(struct cell *cell, const struct root_filesystem *root, struct err *err)
{
    const struct run_spec *spec = cell->spec;
    struct message mapped = {.kind = MESSAGE_MAPPED};
    char path[64];
    int ends[2];
    autofd child_control = -1, network = -1, network_ready = -1;

    if (spec->network == NETWORK_PRIVATE && !make_pipe(&network, &network_ready, err))
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return failed(err, "make a control socket");
    cell->control = ends[0];
    child_control = ends[1];
    cell->pid = clone_cell(spec, cgroup_birthplace(&cell->cgroup), &cell->pidfd);
    if (cell->pid == 0) {
        struct cell_setup setup = {
            .spec = spec,
            .root = root,
            .map = &cell->map,
            .cgroup = &cell->cgroup,
            .trees = cell->trees,
            .scratch = spec->scratch,
            .hosts = cell->hosts,
            .resolv_conf = cell->resolv_conf,
            .network = network,
            .init = cell->init,
            .control = child_control,
            .in = cell->pipes.child_in,
            .out = cell->pipes.child_out,
            .err = cell->pipes.child_err,
        };
        /* Held here, these would keep the cell from seeing that stepcell is gone. */
        close_fd(cell->control);
        close_fd(cell->pipes.out);
        close_fd(cell->pipes.err);
        close_fd(cell->pipes.in);
        close_fd(network_ready);
        cell_main(&setup);
    }
    if (cell->pid < 0)
        return no_clone(cell, err);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)cell->pid);
    cell->userns = open(path, O_RDONLY | O_CLOEXEC);
    if (cell->userns < 0)
        return failed(err, "open the user namespace of the cell");
    if (!idmap_write(&cell->map, cell->pid, err))
        return prefer_cause(cell, err);
    if (network_ready >= 0 && !start_network(cell, child_control, network_ready, err))
        return false;
    /* Now, while the cell opens what it opens itself. */
    if (cell->map.kind == IDMAP_ROOT &&
        !ownership_clone_trees(spec->plan, &cell->map, spec->uid, spec->gid, send_tree, cell, err))
        return false;
    /* While it still has the caller's ids. */
    if (!cgroup_enter(&cell->cgroup, cell->pid, err) ||
        !ulimit_raise(cell->pid, &spec->limits, err))
        return false;
    /* A child that is gone has said why: handle() reads it. */
    (void)!send(cell->control, &mapped, sizeof(mapped), MSG_NOSIGNAL);
    return true;
}

static void close_child_ends(struct cell *cell)
{
    cell->pipes.child_in = close_fd(cell->pipes.child_in);
    cell->pipes.child_out = close_fd(cell->pipes.child_out);
    cell->pipes.child_err = close_fd(cell->pipes.child_err);
}

static bool native_create(const struct run_spec *spec, const struct root_filesystem *root,
                          struct cell **out, struct err *err)
{
    struct cell *cell = calloc(1, sizeof(*cell));
    bool ok;

    if (!cell)
        return failed(err, "make a cell");
    cell->spec = spec;
    cell->pipes = NO_PIPES;
    cell->scratch = cell->control = cell->pidfd = cell->userns = -1;
    /* The clock that file systems stamp with: a precise one runs ahead of it. */
    clock_gettime(CLOCK_REALTIME_COARSE, &cell->start);
    *out = cell; /* also after a failure: remove cleans up */
    cell->init = libexec_path("stepcell-init", err);
    ok = (spec->network != NETWORK_PRIVATE || network_check(err)) && cell->init &&
         idmap_for_step(spec->uid, spec->gid, &cell->map, err) && make_pipes(cell, err) &&
         make_scratch(cell, err) && make_room(cell, err) &&
         cgroup_make(&spec->limits, cell->scratch, &cell->cgroup, err) && spawn(cell, root, err);
    close_child_ends(cell);
    return ok;
}

static bool native_start(struct cell *cell, struct err *err)
{
    struct message start = {.kind = MESSAGE_START};

    /* A child that is gone has said why: handle() reads it. */
    if (send(cell->control, &start, sizeof(start), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        return failed(err, "start the command");
    return true;
}

static int native_poll_fd(const struct cell *cell)
{
    return cell->control;
}

static void take_exec_failure(struct cell *cell, int number)
{
    struct err *err = &cell->record.error;
    const char *command = cell->spec->argv.items[0];
    bool missing = number == ENOENT || number == ENOTDIR;

    cell->record.kind = EXIT_STATUS;
    cell->record.value = missing ? 127 : 126;
    errno = number;
    if (missing) {
        err_set(err, ERR_COMMAND_NOT_FOUND, "command '%s' is not in the image", command);
        err_hint(err,
                 "it, or the interpreter that its first line names, was not found on the PATH of "
                 "the cell");
    } else {
        err_errno(err, ERR_COMMAND_NOT_EXECUTABLE, "command '%s' cannot be executed", command);
        err_hint(err,
                 cell->spec->seccomp
                     ? "check that the seccomp profile allows execve, its execute permission "
                       "for the user of the step, and its format"
                     : "check its execute permission for the user of the step, and its format");
    }
}

static void take_exit(struct cell *cell, int status)
{
    /* The process that could not become the command has a status, too. */
    if (cell->record.error.code != ERR_NONE)
        return;
    cell->record.kind = WIFSIGNALED(status) ? EXIT_SIGNAL : EXIT_STATUS;
    cell->record.value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/*
 * The marker of a volatile overlay, which goes with the rest in any case: removed while the command
 * starts, since that takes its time on some disks. Where the caller may not, it waits.
 */
static void remove_marker(const struct cell *cell)
{
    (void)!file_remove_tree(cell->scratch, SCRATCH_MARKER);
}

static bool take_message(struct cell *cell, enum cell_event *event)
{
    union packet packet;
    struct message message;
    ssize_t n = receive(cell, &packet);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    message = packet.message;
    message.name[sizeof(message.name) - 1] = '\0';
    switch ((enum message_kind)message.kind) {
    case MESSAGE_READY:
        remove_marker(cell);
        *event = CELL_READY;
        return true;
    case MESSAGE_FAILED:
        cell->record.kind = EXIT_FAILED;
        take_failure(&packet.failure, &cell->record.error);
        return true;
    case MESSAGE_EXEC_FAILED:
        take_exec_failure(cell, message.value);
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
        return true;
    case MESSAGE_TREE:
    case MESSAGE_MAPPED:
    case MESSAGE_START:
        break;
    }
    return false;
}

/* Waits for the first process, which the kernel lets end only after all others of the cell. */
static void reap(struct cell *cell)
{
    while (cell->pid > 0 && waitpid(cell->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    cell->pid = 0;
}

static bool native_handle(struct cell *cell, enum cell_event *event, struct err *err)
{
    (void)err;
    *event = CELL_NOTHING;
    if (take_message(cell, event))
        return true;
    /* The other end is closed, or speaks nonsense. */
    syscall(SYS_pidfd_send_signal, cell->pidfd, SIGKILL, NULL, 0);
    reap(cell);
    cell->record.oom_killed = cgroup_oom_killed(&cell->cgroup);
    *event = CELL_ENDED;
    return true;
}

static void native_streams(struct cell *cell, struct cell_streams *streams)
{
    *streams = (struct cell_streams){cell->pipes.in, cell->pipes.out, cell->pipes.err};
    cell->pipes.in = -1;
}

static const struct exit_record *native_exit_record(const struct cell *cell)
{
    return &cell->record;
}

static bool native_signal(struct cell *cell, int signal, struct err *err)
{
    if (syscall(SYS_pidfd_send_signal, cell->pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
        return failed(err, "signal the cell");
    return true;
}

/*
 * Everything that the cell wrote to its scratch: see cell.c and mounts/apply.c. No directory serves
 * two overlays: who has a descriptor of the first one's root, sent out of the cell over a socket,
 * would read and write the second one's files by it.
 */
static bool remove_written(const struct cell *cell)
{
    static const char *const made[] = {"root", SCRATCH_UPPER, SCRATCH_WORK};
    bool ok = true;

    for (size_t i = 0; i < ARRAY_SIZE(made); i++)
        ok = file_remove_tree(cell->scratch, made[i]) && ok;
    for (size_t i = 0; i < cell->spec->plan->count; i++) {
        autofree char *name = text_printf("cow%zu", i);

        if (cell->spec->plan->mounts[i].kind == MOUNT_COW)
            ok = name && file_remove_tree(cell->scratch, name) && ok;
    }
    return ok;
}

/* Files of subordinate ids can be removed only from inside the namespace that has these ids. */
static bool remove_scratch(const struct cell *cell)
{
    pid_t child;
    int status = 1;

    if (cell->scratch < 0)
        return true;
    if (cell->map.kind != IDMAP_RANGES || cell->userns < 0)
        return remove_written(cell);
    child = fork();
    if (child == 0)
        _exit(setns(cell->userns, CLONE_NEWUSER) == 0 && remove_written(cell) ? 0 : 1);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void cell_free(struct cell *cell)
{
    close_child_ends(cell);
    close_fd(cell->pipes.in);
    close_fd(cell->pipes.out);
    close_fd(cell->pipes.err);
    close_fd(cell->control);
    close_fd(cell->pidfd);
    close_fd(cell->userns);
    close_fd(cell->scratch);
    strv_release(&cell->record.left_running);
    free(cell->trees);
    free(cell->hosts);
    free(cell->resolv_conf);
    free(cell->init);
    free(cell);
}

static bool give_back(const struct cell *cell, struct err *err)
{
    /* The scratch is STORE/cells/N. */
    autofd store = openat(cell->scratch, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct ownership_cell ended = {
        .plan = cell->spec->plan,
        .map = &cell->map,
        .had_other_ids = cell->spec->uid == 0 || cell->spec->group_count > 0,
        .userns = cell->userns,
        .start = cell->start,
        .store = store,
    };

    return ownership_give_back(&ended, err);
}

static bool native_remove(struct cell *cell, struct cell_remains *remains, struct err *err)
{
    struct err second;
    bool ok = true;

    if (cell->pid > 0) {
        syscall(SYS_pidfd_send_signal, cell->pidfd, SIGKILL, NULL, 0);
        reap(cell);
    }
    cgroup_remove(&cell->cgroup, cell->scratch, &remains->left);
    if (cell->userns >= 0)
        ok = give_back(cell, err);
    if (cell->keeper > 0)
        ok = network_stop(cell->keeper, ok ? err : &second) && ok;
    if (!remove_scratch(cell))
        strv_add(&remains->left, cell->spec->scratch);
    cell_free(cell);
    return ok;
}

const struct engine native_engine = {
    .name = "native",
    .create = native_create,
    .start = native_start,
    .poll_fd = native_poll_fd,
    .handle = native_handle,
    .streams = native_streams,
    .exit_record = native_exit_record,
    .signal = native_signal,
    .remove = native_remove,
};

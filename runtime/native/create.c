#include "runtime/native/native_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/libexec.h"
#include "base/path.h"
#include "mounts/tree.h"
#include "runtime/native/cell.h"
#include "runtime/native/handshake.h"
#include "runtime/native/network.h"
#include "runtime/native/own_mounts.h"
#include "runtime/native/ownership.h"
#include "runtime/native/ownership_record.h"
#include "runtime/native/resolv.h"
#include "runtime/native/ulimit.h"

/* ioctl_nsfs(2), since Linux 6.11 */
#ifndef NS_GET_MNTNS_ID
#define NS_GET_MNTNS_ID _IOR(NSIO, 0x5, uint64_t)
#endif

#define HOSTS "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

static bool make_pipes(struct cell *cell, struct err *err)
{
    uint32_t owner;

    /* Its one stream comes from inside. */
    if (cell->spec->terminal)
        return true;
    return cell_pipes_make(cell->spec->pass_stdin, &cell->pipes, err) &&
           (cell->map.kind != IDMAP_ROOT ||
            !idmap_outside(&cell->map.uids, cell->spec->uid, &owner) ||
            cell_pipes_give(&cell->pipes, owner, err));
}

/* A file of the scratch, or without a text one of the host. */
static bool make_file(const struct cell *cell, const char *name, const char *text, char **path,
                      struct err *err)
{
    autofd file = -1;

    *path = text ? text_printf("%s/%s", cell->spec->scratch, name) : text_printf("/etc/%s", name);
    if (*path && !text)
        return true;
    /* A cell that was refused has left one. */
    unlinkat(cell->scratch, name, 0);
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
    if (network == NETWORK_PRIVATE &&
        !resolv_for_cell(&resolv, &cell->forward_dns, &cell->asked, err))
        return false;
    return make_file(cell, "hosts", hosts, &cell->hosts, err) &&
           make_file(cell, "resolv.conf", resolv.data, &cell->resolv_conf, err);
}

static bool make_scratch(struct cell *cell, struct err *err)
{
    uint32_t uid, gid;

    cell->scratch = open(cell->spec->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cell->scratch < 0)
        return failed(err, "prepare the scratch directory of the cell");
    /* What root of the cell writes to has to be its own; the caller still passes through. */
    if (cell->map.kind == IDMAP_ROOT && idmap_outside(&cell->map.uids, 0, &uid) &&
        idmap_outside(&cell->map.gids, 0, &gid) &&
        (fchown(cell->scratch, uid, gid) < 0 || fchmod(cell->scratch, 0711) < 0))
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

    /* A child that is gone has said why: handle() reads it. */
    if (!handshake_send(cell->control, MESSAGE_TREE, (int)index, tree) && errno != EPIPE &&
        errno != ECONNRESET)
        return failed(err, "hand a mount to the cell");
    return true;
}

/* Host root's secrets are made here: where the kernel lets it, they are never swapped out. */
static bool send_secrets(struct cell *cell, struct err *err)
{
    const struct run_spec *spec = cell->spec;
    int index = own_mounts_find(spec->plan, MOUNT_SECRETS);
    autofd tree = -1;
    uint32_t uid, gid;

    if (index < 0)
        return true;
    if (!idmap_outside(&cell->map.uids, spec->uid, &uid) ||
        !idmap_outside(&cell->map.gids, spec->gid, &gid))
        return err_set(err, ERR_USER_UNKNOWN, "user %u of the step has no id on the host",
                       spec->uid);
    tree = own_mounts_secrets(spec, uid, gid, err);
    return tree >= 0 && send_tree(cell, (size_t)index, tree, err);
}

/* Starts what makes the cell's network; `ready` is where it says so. */
static bool start_network(struct cell *cell, int control, int ready, struct err *err)
{
    autofd netns = -1;
    uint32_t root;
    struct network_cell network = {.pidfd = cell->pidfd,
                                   .userns = cell->userns,
                                   .scratch = cell->scratch,
                                   .control = control,
                                   .ready = ready,
                                   .has_root = idmap_outside(&cell->map.uids, 0, &root) &&
                                               idmap_outside(&cell->map.gids, 0, &root),
                                   .forward_dns = cell->forward_dns,
                                   .asked = &cell->asked};
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

static bool look_at_namespaces(struct cell *cell, struct err *err)
{
    char path[64];
    autofd mounts = -1;

    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)cell->pid);
    cell->userns = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)cell->pid);
    mounts = open(path, O_RDONLY | O_CLOEXEC);
    if (cell->userns < 0)
        return failed(err, "open the user namespace of the cell");
    /* A child that has ended has no other namespaces any more. */
    if (ioctl(mounts, NS_GET_MNTNS_ID, &cell->mount_namespace) < 0)
        cell->mount_namespace = 0;
    return true;
}

/*
 * After a failure outside: where the child has ended, that is why, and it knows the cause. Its ids
 * cannot be set then, for one. Killed, it can say nothing more.
 */
static bool prefer_cause(const struct cell *cell, struct err *err)
{
    union message_packet packet;
    int fd;

    syscall(SYS_pidfd_send_signal, cell->pidfd, SIGKILL, NULL, 0);
    if (handshake_receive_packet(cell->control, &packet, &fd) > 0 &&
        packet.message.kind == MESSAGE_FAILED)
        handshake_take_failure(&packet.failure, err);
    close_fd(fd);
    return false;
}

static bool spawn(struct cell *cell, const struct root_filesystem *root, struct err *err)
{
    const struct run_spec *spec = cell->spec;
    int ends[2];
    autofd child_control = -1, network = -1, network_ready = -1;

    if (spec->network == NETWORK_PRIVATE && !cell_pipe_make(&network, &network_ready, err))
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return failed(err, "make a control socket");
    cell->control = ends[0];
    child_control = ends[1];
    if (!native_wait_for(cell, cell->control, FROM_CONTROL, err))
        return false;
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
        cell_main(&setup);
    }
    if (cell->pid < 0)
        return no_clone(cell, err);
    if (!look_at_namespaces(cell, err))
        return false;
    if (!idmap_write(&cell->map, cell->pid, err))
        return prefer_cause(cell, err);
    if (network_ready >= 0 && !start_network(cell, child_control, network_ready, err))
        return false;
    /* Now, while the cell opens what it opens itself. */
    if (cell->map.kind == IDMAP_ROOT && (!ownership_clone_trees(spec->plan, &cell->map, spec->uid,
                                                                spec->gid, send_tree, cell, err) ||
                                         !send_secrets(cell, err)))
        return false;
    /* While it still has the caller's ids. */
    if (!cgroup_enter(&cell->cgroup, cell->pid, err) ||
        !ulimit_raise(cell->pid, &spec->limits, err))
        return false;
    /* A child that is gone has said why: handle() reads it. */
    (void)!handshake_send(cell->control, MESSAGE_MAPPED, 0, -1);
    /* While the cell makes its mounts; its step does not start before this is done. */
    return ownership_record_write(cell->scratch, spec, &cell->map, &cell->start, err);
}

static bool map_ids(const struct run_spec *spec, struct idmap *map, struct err *err)
{
    _Static_assert(RUN_GROUPS_MAX <= IDMAP_GROUPS_MAX, "each group has its place");
    if (!idmap_for_step(spec->uid, spec->gid, map, err))
        return false;
    idmap_admit(map, spec->uid, spec->gid, spec->groups, spec->group_count);
    return true;
}

bool native_create(const struct run_spec *spec, const struct root_filesystem *root,
                   struct cell **out, struct err *err)
{
    struct cell *cell = calloc(1, sizeof(*cell));
    bool ok;

    if (!cell)
        return failed(err, "make a cell");
    cell->spec = spec;
    cell->pipes = CELL_PIPES_NONE;
    cell->scratch = cell->control = cell->pidfd = cell->userns = -1;
    cell->events = cell->clock = cell->keeper_end = -1;
    cell->record.output = -1;
    cell->tidy = TIDY_INIT;
    /* The clock that file systems stamp with: a precise one runs ahead of it. */
    clock_gettime(CLOCK_REALTIME_COARSE, &cell->start);
    *out = cell; /* also after a failure: clean cleans up */
    cell->events = epoll_create1(EPOLL_CLOEXEC);
    if (cell->events < 0)
        return failed(err, "make a cell");
    cell->init = libexec_path("stepcell-init", err);
    ok = (spec->network != NETWORK_PRIVATE || network_check(err)) && cell->init &&
         map_ids(spec, &cell->map, err) && make_pipes(cell, err) && make_scratch(cell, err) &&
         make_room(cell, err) && cgroup_make(&spec->limits, cell->scratch, &cell->cgroup, err) &&
         spawn(cell, root, err);
    cell_pipes_close_child(&cell->pipes);
    return ok;
}

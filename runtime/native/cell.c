#include "runtime/native/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/apply.h"
#include "mounts/overlay.h"
#include "mounts/root.h"
#include "mounts/skeleton.h"
#include "mounts/tree.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_default.h"
#include "runtime/native/handshake.h"
#include "runtime/native/home.h"
#include "runtime/native/link.h"
#include "runtime/native/network.h"
#include "runtime/native/own_mounts.h"
#include "runtime/native/scratch.h"
#include "runtime/pty.h"

#define LAYERS_MAX 512

/* What the child opened while it still had the caller's ids. */
struct opened {
    int layers[LAYERS_MAX];
    int scratch;
    struct root_host host;
    int init;
};

/* Everything that was refused has been said already. */
_Noreturn static void fail(int control, const struct err *err)
{
    if (err->code != ERR_NONE)
        handshake_fail(control, err);
    _exit(1);
}

/* Says what is wrong, and lets the set-up look for more of it. */
static void refuse(struct cell_setup *setup, const struct err *err)
{
    setup->refused = true;
    handshake_fail(setup->control, err);
}

/* Takes the trees that come before it, and waits for one kind of message. */
static bool expect(const struct cell_setup *setup, enum message_kind kind, struct err *err)
{
    struct message message;
    int fd;

    while (handshake_receive(setup->control, &message, sizeof(message), 0, &fd) ==
           (ssize_t)sizeof(message)) {
        if (message.kind == kind)
            return true;
        if (message.kind != MESSAGE_TREE || fd < 0 || message.value < 0 ||
            (size_t)message.value >= setup->spec->plan->count)
            break;
        setup->trees[message.value] = fd;
    }
    return err_set(err, ERR_ENGINE_FAILED, "contact with stepcell was lost");
}

static bool open_dirs(const struct cell_setup *setup, struct opened *opened, struct err *err)
{
    if (setup->root->count > LAYERS_MAX)
        return err_set(err, ERR_ENGINE_FAILED, "more than %d layers", LAYERS_MAX);
    for (size_t i = 0; i < setup->root->count; i++) {
        opened->layers[i] = open(setup->root->layers[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (opened->layers[i] < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot open the layer '%s'",
                             setup->root->layers[i]);
    }
    opened->scratch = open(setup->scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (opened->scratch < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot open '%s'", setup->scratch);
    return true;
}

static bool clone_sources(const struct cell_setup *setup, struct err *err)
{
    const struct mount_plan *plan = setup->spec->plan;

    for (size_t i = 0; i < plan->count; i++) {
        if (!mount_is_cloned(&plan->mounts[i]))
            continue;
        setup->trees[i] = tree_clone_source(&plan->mounts[i], -1, err);
        if (setup->trees[i] < 0)
            return false;
    }
    return true;
}

/*
 * Everything of the host that the cell needs is opened with the caller's own ids, before they
 * change: the root of the cell may be nobody on the host.
 */
static bool open_host(const struct cell_setup *setup, const struct root_options *options,
                      struct opened *opened, struct err *err)
{
    /*
     * The caller's session keyring stays outside. A caller whose quota of keys is at its end keeps
     * it, since the kernel counts keyrings long after they are gone: the default filter allows no
     * call that could look at it. Another filter may.
     */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS &&
        setup->spec->seccomp) {
        err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot give the cell a keyring of its own");
        return err_hint(err, "wait a minute until the kernel has counted the keyrings of earlier "
                             "steps, or run without --seccomp");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot separate the mounts of the cell");
    if (!open_dirs(setup, opened, err) || !root_open_host(options, &opened->host, err))
        return false;
    /* Root's come from stepcell itself, which can idmap them. */
    if (setup->map->kind != IDMAP_ROOT && !clone_sources(setup, err))
        return false;
    /* Through a read-only mount of its own: nobody inside can write to it by /proc/1/exe, even
     * where the caller owns the file (CVE-2019-5736). */
    opened->init = tree_clone(setup->init, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, -1);
    if (opened->init < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot open '%s'", setup->init);
    return true;
}

static bool has_become_root(bool ok, struct err *err)
{
    /* A change of ids cleared it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return ok || err_errno(err, ERR_ENGINE_FAILED, "cannot become the root of the cell");
}

static bool become_root(const struct cell_setup *setup, struct err *err)
{
    if (setup->map->kind == IDMAP_SINGLE)
        return true; /* the only id is the caller's, which it has */
    return has_become_root(
        setgroups(0, NULL) == 0 && setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, err);
}

/*
 * With subordinate ids the caller is the step's user, and root of the cell is somebody else: one to
 * whom a FUSE file system of the caller's answers nothing, not even to stat(2). It asks for every
 * id but that for files, so only this one is root's.
 */
static bool become_files_root(struct err *err)
{
    setfsgid(0);
    setfsuid(0);
    return has_become_root(
        setgroups(0, NULL) == 0 && setfsgid((gid_t)-1) == 0 && setfsuid((uid_t)-1) == 0, err);
}

/*
 * All of root's cells have the same root. The kernel counts descriptors that are sent but not yet
 * received for each real id, so any step could use up what this one may send: until it has sent its
 * own, the real id is the caller's.
 */
static bool become_effective_root(struct err *err)
{
    return has_become_root(
        setgroups(0, NULL) == 0 && setresgid(0, 0, 0) == 0 && setresuid((uid_t)-1, 0, 0) == 0, err);
}

/* As far as it is needed until everything is mounted, proven and told. */
static bool become_root_for_now(const struct cell_setup *setup, struct err *err)
{
    switch (setup->map->kind) {
    case IDMAP_ROOT:
        return become_effective_root(err);
    case IDMAP_RANGES:
        return become_files_root(err);
    case IDMAP_SINGLE:
        break;
    }
    return become_root(setup, err);
}

static bool make_overlay(const struct cell_setup *setup, const struct opened *opened, int *root,
                         struct err *err)
{
    autofree char *mountpoint = text_printf("/proc/self/fd/%d/root", opened->scratch);
    autofd upper = -1, work = -1, view = -1, skeleton = -1;
    size_t count = setup->root->count;
    bool attached;

    if (!mountpoint || mkdirat(opened->scratch, SCRATCH_UPPER, 0755) < 0 ||
        mkdirat(opened->scratch, SCRATCH_WORK, 0700) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare '%s'", setup->scratch);
    upper = openat(opened->scratch, SCRATCH_UPPER, O_PATH | O_DIRECTORY | O_CLOEXEC);
    work = openat(opened->scratch, SCRATCH_WORK, O_PATH | O_DIRECTORY | O_CLOEXEC);
    view = count == 1 ? dup(opened->layers[0]) : overlay_view(opened->layers, count);
    skeleton = skeleton_make(view, setup->spec->plan);
    *root = overlay_mount(opened->layers, count, skeleton, upper, work, mountpoint, &attached, err);
    return *root >= 0 && (attached || root_enter(*root, err));
}

static bool loopback_up(struct err *err)
{
    autofd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot bring up the loopback of the cell");
    return true;
}

/*
 * All groups of the cell as a range, which the kernel compares by what they are on the host. Where
 * the order is another there, no range has them all: it has the step's own.
 */
static void group_range(const struct idmap_side *gids, gid_t own, uint32_t *first, uint32_t *last)
{
    const struct idmap_extent *low = gids->extents, *high = low;

    for (const struct idmap_extent *one = low; one < gids->extents + gids->count; one++) {
        low = one->outside < low->outside ? one : low;
        high = one->outside > high->outside ? one : high;
    }
    *first = low->inside;
    *last = high->inside + high->count - 1;
    if (*first > *last)
        *first = *last = own;
}

/*
 * As Docker has it: in a network of one's own every user may take the ports below 1024 and send
 * pings. A kernel without such a setting has no such rule, or none that can be changed.
 */
static void loosen(int root, const struct idmap_side *gids, gid_t own)
{
    autofd ports = path_open_in(root, "proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY, 0);
    autofd pings = path_open_in(root, "proc/sys/net/ipv4/ping_group_range", O_WRONLY, 0);
    uint32_t first, last;
    char range[32];

    group_range(gids, own, &first, &last);
    (void)!write(ports, "0", 1);
    (void)!write(pings, range, (size_t)snprintf(range, sizeof(range), "%u %u", first, last));
}

static bool cannot_forbid(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot keep the step from making user namespaces");
}

/* How many user namespaces the cell may make; opened while its /proc/sys can be written to. */
static bool open_namespace_limit(int root, int *limit, struct err *err)
{
    *limit = path_open_in(root, "proc/sys/user/max_user_namespaces", O_WRONLY, 0);
    return *limit >= 0 || cannot_forbid(err);
}

/*
 * In mounts of its own, which come with a user namespace, a step could take away what hides a
 * store. No capability that a cell may have raises the limit again. After the switch of roots,
 * which needs one itself.
 */
static bool forbid_user_namespaces(int limit, struct err *err)
{
    return write(limit, "0", 1) == 1 || cannot_forbid(err);
}

/* Whoever could not make it has told stepcell. */
static void wait_for_network(const struct cell_setup *setup)
{
    char byte;
    ssize_t n;

    do
        n = read(setup->network, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(1);
}

/* Whoever passes the packets on may have a loopback of its own: it gets none for there. */
static bool settle_network(const struct cell_setup *setup, struct err *err)
{
    if (setup->network < 0)
        return true;
    wait_for_network(setup);
    return link_keep_loopback(NETWORK_INTERFACE) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot keep the cell's loopback addresses in it");
}

/* "NAME" of the first environment entry of that name, without "NAME=". */
static const char *env_value(const struct strv *env, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
            return env->items[i] + len + 1;
    }
    return "";
}

static bool is_program(int root, const char *path)
{
    autofd fd = path_open_in(root, path, O_PATH, 0);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

static bool on_path(int root, const char *name, const char *folders)
{
    while (*folders) {
        size_t len = strcspn(folders, ":");
        autofree char *path = text_printf("%.*s/%s", (int)len, folders, name);

        if (path && is_program(root, path))
            return true;
        folders += len + (folders[len] == ':');
    }
    return false;
}

static void check_interpreters(struct cell_setup *setup, int root)
{
    const struct run_spec *spec = setup->spec;
    const char *folders = env_value(&spec->env, "PATH");
    struct err err;

    for (size_t i = 0; i < spec->interpreters.count; i++) {
        const char *name = spec->interpreters.items[i];

        if (strchr(name, '/') ? is_program(root, name) : on_path(root, name, folders))
            continue;
        err_set(&err, ERR_IMAGE_SHELL_MISSING, "the script needs '%s', which is not in the image",
                name);
        err_hint(&err, "use an image that has it, or another interpreter with --shell");
        refuse(setup, &err);
    }
}

static bool enter_workdir(const struct run_spec *spec, struct err *err)
{
    char where[MOUNT_PATH_MAX];
    long n;

    if (chdir(spec->workdir) < 0) {
        err_errno(err, ERR_WORKDIR_MISSING, "cannot enter the working directory '%s' in the cell",
                  spec->workdir);
        return err_hint(err, "let the caller enter it (its owner and mode), or give another one "
                             "with --workdir");
    }
    /* The system call tells what libc hides: a directory outside the root (CVE-2024-21626). */
    n = syscall(SYS_getcwd, where, sizeof(where));
    if (n < 0 || where[0] != '/')
        return err_set(err, ERR_ENGINE_FAILED, "the working directory is outside the cell");
    return true;
}

/* As the start would, but for the rights of the step's user. Everything is mounted. */
static bool prove_command(const struct run_spec *spec, int root, struct err *err)
{
    const char *name, *folders;
    autofree char *path = NULL;

    if (!spec->proves_command)
        return true;
    name = spec->argv.items[0];
    folders = env_value(&spec->env, "PATH");
    path = text_printf("%s/%s", *name == '/' ? "" : spec->workdir, name);
    if (strchr(name, '/') ? path && is_program(root, path) : on_path(root, name, folders))
        return true;
    return err_set(err, ERR_COMMAND_NOT_FOUND, "'%s' is no program in the cell", name);
}

static bool name_host(const struct run_spec *spec, struct err *err)
{
    if (!spec->hostname || sethostname(spec->hostname, strlen(spec->hostname)) == 0)
        return true;
    return err_errno(err, ERR_ENGINE_FAILED, "cannot give the cell the host name '%s'",
                     spec->hostname);
}

/* The root alone: what is mounted in it has its own mode. */
static bool protect_root(const struct run_spec *spec, int root, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    return !spec->read_only || mount_setattr(root, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot make the root of the cell read-only");
}

/* The secrets have come from stepcell already where that could do more for them. */
static bool make_own_mounts(struct cell_setup *setup, const struct opened *opened, struct err *err)
{
    const struct run_spec *spec = setup->spec;
    int secrets = own_mounts_find(spec->plan, MOUNT_SECRETS);
    int output = own_mounts_find(spec->plan, MOUNT_OUTPUT);

    if (secrets >= 0 && setup->trees[secrets] < 0)
        setup->trees[secrets] = own_mounts_secrets(spec, spec->uid, spec->gid, err);
    if (secrets >= 0 && setup->trees[secrets] < 0)
        return false;
    if (output >= 0)
        setup->trees[output] = own_mounts_output(spec, opened->scratch, &setup->output, err);
    return output < 0 || setup->trees[output] >= 0;
}

static bool build(struct cell_setup *setup, const struct root_options *options,
                  const struct opened *opened, const char **home, struct err *err)
{
    const struct run_spec *spec = setup->spec;
    char scratch_path[40];
    struct apply_scratch scratch = {opened->scratch, scratch_path};
    struct home found = {0};
    autofd root = -1, limit = -1;

    snprintf(scratch_path, sizeof(scratch_path), "/proc/self/fd/%d", opened->scratch);
    if (!become_root_for_now(setup, err) || !make_overlay(setup, opened, &root, err) ||
        !root_populate(root, options, &opened->host, err))
        return false;
    if (spec->network != NETWORK_HOST) {
        if (!loopback_up(err))
            return false;
        loosen(root, &setup->map->gids, spec->gid);
    }
    if ((spec->hides_store && !open_namespace_limit(root, &limit, err)) ||
        !root_mask(root, options, &opened->host, err))
        return false;
    /* Before the plan: what these write must never be something of the host's. */
    check_interpreters(setup, root);
    if (!home_prepare(spec, root, &found, err))
        refuse(setup, err);
    if (!make_own_mounts(setup, opened, err) ||
        !apply_plan(spec->plan, setup->trees, root, &scratch, err))
        refuse(setup, err);
    *err = ERR_INIT;
    if (setup->refused)
        return false;
    *home = home_choose(spec, root, &found);
    return name_host(spec, err) && root_switch(&root, err) &&
           (!spec->hides_store || forbid_user_namespaces(limit, err)) &&
           protect_root(spec, root, err) && apply_prove(spec->plan, setup->trees, root, err) &&
           enter_workdir(spec, err) && prove_command(spec, root, err);
}

/*
 * Who makes packets by hand asks no route: where an ordinary user's helper passes them on, it would
 * reach the host's loopback. Pings need no such right (loosen).
 */
static uint64_t capabilities(const struct cell_setup *setup)
{
    bool is_passed_on = setup->spec->network == NETWORK_PRIVATE && setup->map->kind != IDMAP_ROOT;

    return setup->spec->capabilities & ~(is_passed_on ? UINT64_C(1) << CAP_NET_RAW : 0);
}

static bool make_config(const struct cell_setup *setup, int *reader, struct err *err)
{
    const struct run_spec *spec = setup->spec;
    struct init_config config = {
        .uid = spec->uid,
        .gid = spec->gid,
        .umask = setup->umask,
        .group_count = 1,
        .groups = {spec->gid}, /* first, as initgroups(3) has it (CVE-2022-36109) */
        .can_set_groups = setup->map->kind != IDMAP_SINGLE,
        .scope_sockets = spec->network == NETWORK_HOST,
        .terminal = spec->terminal,
        .stays = spec->stays,
        .bounding = capabilities(setup),
        .caps = spec->uid == 0 ? capabilities(setup) : 0,
    };
    struct seccomp_filter filter = seccomp_choose(spec->seccomp, true, spec->with_32_bits);
    autofd file = -1;

    config.filter_count = (uint32_t)filter.count;
    _Static_assert(INIT_RLIMITS_MAX >= LIMITS_ULIMITS, "each limit has its place");
    for (size_t i = 0; i < spec->limits.ulimit_count; i++) {
        const struct ulimit *one = &spec->limits.ulimits[i];

        config.rlimits[config.rlimit_count++] =
            (struct init_rlimit){one->soft, one->hard, (uint32_t)one->resource, 0};
    }
    /* A group without an id in the cell can give nothing. */
    for (size_t i = 0; i < spec->group_count; i++) {
        uint32_t outside;

        if (idmap_outside(&setup->map->gids, spec->groups[i], &outside))
            config.groups[config.group_count++] = spec->groups[i];
    }
    /* No pipe: one of an ordinary user may take no more than a page. */
    file = memfd_create("init", MFD_CLOEXEC);
    if (file < 0 || !file_write_all(file, &config, sizeof(config)) ||
        !file_write_all(file, filter.code, filter.count * sizeof(*filter.code)) ||
        lseek(file, 0, SEEK_SET) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot hand the configuration to stepcell-init");
    *reader = TAKE_FD(file);
    return true;
}

/* Moves `from` to the number `to`, which stays open across execve. */
static bool place(int from, int to)
{
    if (from == to)
        return fcntl(to, F_SETFD, 0) == 0;
    return dup2(from, to) == to;
}

static bool place_streams(const struct cell_setup *setup, int config, struct err *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* All of them above the numbers that they are going to have. */
    int high[] = {fcntl(setup->in < 0 ? null : setup->in, F_DUPFD_CLOEXEC, 16),
                  fcntl(setup->out < 0 ? null : setup->out, F_DUPFD_CLOEXEC, 16),
                  fcntl(setup->err < 0 ? null : setup->err, F_DUPFD_CLOEXEC, 16),
                  fcntl(setup->control, F_DUPFD_CLOEXEC, 16), fcntl(config, F_DUPFD_CLOEXEC, 16)};

    for (int i = 0; i < (int)ARRAY_SIZE(high); i++) {
        if (high[i] < 0 || !place(high[i], i))
            return err_errno(err, ERR_ENGINE_FAILED, "cannot place the streams of the command");
    }
    /* Whatever the caller of stepcell left open stays out (CVE-2024-21626). */
    if (syscall(SYS_close_range, INIT_CONFIG_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot close inherited descriptors");
    return true;
}

static bool execute(const struct cell_setup *setup, const struct opened *opened, const char *home,
                    struct err *err)
{
    const struct run_spec *spec = setup->spec;
    autofree char **argv = calloc(spec->argv.count + 2, sizeof(*argv));
    autofree char **env = calloc(spec->env.count + 2, sizeof(*env));
    autofree char *home_entry = home ? text_printf("HOME=%s", home) : NULL;
    autofd init = fcntl(opened->init, F_DUPFD_CLOEXEC, 32);
    autofd config = -1;

    if (!argv || !env || (home && !home_entry) || init < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start the command");
    argv[0] = "stepcell-init";
    memcpy(argv + 1, spec->argv.items, spec->argv.count * sizeof(*argv));
    if (spec->env.count)
        memcpy(env, spec->env.items, spec->env.count * sizeof(*env));
    if (home)
        env[spec->env.count] = home_entry;
    if (!make_config(setup, &config, err))
        return false;
    /*
     * The bounding set last: what was mounted needed more, and stepcell-init still has to become
     * the step's user, unless there is no other.
     */
    if (!caps_bound(setup->map->kind == IDMAP_SINGLE ? capabilities(setup) : CAPS_DEFAULT) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot limit the capabilities of the cell");
    if (!place_streams(setup, config, err))
        return false;
    syscall(SYS_execveat, init, "", argv, env, AT_EMPTY_PATH);
    err_errno(err, ERR_ENGINE_FAILED, "cannot execute '%s'", setup->init);
    fail(INIT_CONTROL_FD, err); /* the numbers have changed */
}

/* What the cell sees of its cgroups: a single one of version 2 is the whole tree. */
static void choose_cgroups(const struct cgroup *cgroup, struct root_options *options)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        const struct cgroup_dir *dir = &cgroup->dirs[i];

        if (dir->unified) {
            options->cgroups[options->cgroup_count++] =
                (struct root_cgroup){cgroup->count > 1 ? "unified" : NULL, dir->path};
            continue;
        }
        for (unsigned int j = 0; j < CGROUP_FREEZER; j++) {
            if (dir->controllers & 1U << j)
                options->cgroups[options->cgroup_count++] = (struct root_cgroup){
                    cgroup_controller_name((enum cgroup_controller)j), dir->path};
        }
    }
}

/* The cgroup namespace of the clone begins where stepcell is, not where the cell came to be. */
static bool enter_cgroup(const struct cell_setup *setup, struct err *err)
{
    return setup->cgroup->count == 0 || unshare(CLONE_NEWCGROUP) == 0 ||
           err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot make the cgroup namespace of the cell");
}

/* Whatever the user, it is made here: see become_effective_root. */
static bool make_terminal(struct cell_setup *setup, int *master, struct err *err)
{
    const struct winsize size = {.ws_row = setup->spec->rows, .ws_col = setup->spec->columns};
    int other;

    if (!pty_open(&size, master, &other) || fchown(other, setup->spec->uid, (gid_t)-1) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make the terminal of the command");
    setup->in = setup->out = setup->err = other;
    return true;
}

/* Everything that the cell sends with a descriptor. */
static bool hand_over(struct cell_setup *setup, struct err *err)
{
    autofd master = -1;
    bool exhausted;

    if (setup->spec->terminal && !make_terminal(setup, &master, err))
        return false;
    if (handshake_send(setup->control, MESSAGE_READY, 0, setup->output) &&
        (master < 0 || handshake_send(setup->control, MESSAGE_STREAMS, 0, master)))
        return true;
    exhausted = errno == ETOOMANYREFS;
    err_errno(err, ERR_ENGINE_FAILED, "cannot hand the output of the command to stepcell");
    return exhausted ? err_hint(err, "end the caller's processes that send descriptors over "
                                     "sockets which nobody receives, or raise the limit of open "
                                     "files")
                     : false;
}

_Noreturn void cell_main(struct cell_setup *setup)
{
    struct root_options options = {
        .own_network = setup->spec->network != NETWORK_HOST,
        .single_id = setup->map->kind == IDMAP_SINGLE,
        .hosts = setup->hosts,
        .resolv_conf = setup->resolv_conf,
    };
    struct opened opened;
    struct err err = ERR_INIT;
    const char *home = NULL;

    const int keep[] = {setup->control, setup->network, setup->in, setup->out, setup->err};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* What the caller of stepcell left open stays out (CVE-2024-21626), also of one that hangs. */
    if (!child_keep_only(keep, ARRAY_SIZE(keep)))
        _exit(1);
    choose_cgroups(setup->cgroup, &options);
    /* Whatever the caller's: modes here are given in full, and stepcell-init sets the command's. */
    setup->umask = umask(0);
    setup->output = -1;
    if (!open_host(setup, &options, &opened, &err) || !expect(setup, MESSAGE_MAPPED, &err) ||
        !enter_cgroup(setup, &err) || !build(setup, &options, &opened, &home, &err))
        fail(setup->control, &err);
    if (!settle_network(setup, &err) || !hand_over(setup, &err) || !become_root(setup, &err) ||
        !expect(setup, MESSAGE_START, &err) || !execute(setup, &opened, home, &err))
        fail(setup->control, &err);
    _exit(1);
}

#include "runtime/native/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "base/path.h"

#define NAME_PREFIX   "stepcell-"
#define TRIED         "cgroup-tried" /* in a place whose cgroups were waited for in vain */
#define ID_DIGITS     16
#define PROC_MAX      (64 << 20) /* bytes of a file of /proc or of a list of processes */
#define RECORD_MAX    (CGROUP_CONTROLLERS * MOUNT_PATH_MAX)
#define VALUE_MAX     64 /* bytes of a setting */
#define REMOVE_MAX_NS 5000000000
#define PAUSE_NS      100000 /* the first one; each is twice as long as the one before */
#define PAUSE_MAX_NS  20000000

/* The option that needs it. */
static const char *const options[CGROUP_CONTROLLERS] = {
    [CGROUP_MEMORY] = "--memory",
    [CGROUP_CPU] = "--cpus",
    [CGROUP_PIDS] = "--pids-limit",
    [CGROUP_FREEZER] = "a limit",
};

/* Names the first limit of the set. */
static bool cannot_enforce(unsigned int controllers, struct err *err)
{
    return err_context(err, "%s cannot be enforced", options[__builtin_ctz(controllers)]);
}

/* By the directory that it is in: its own name is another one each time. */
static bool refused(const struct cgroup_dir *dir, const char *what, struct err *err)
{
    err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot %s '%.*s'", what,
              (int)(strrchr(dir->path, '/') - dir->path), dir->path);
    cannot_enforce(dir->controllers, err);
    if (geteuid() == 0)
        return err_hint(err, "the cgroups of the caller must be writable");
    return err_hint(
        err, dir->unified ? "call stepcell by 'systemd-run --user --scope stepcell …', or as root"
                          : "on cgroup version 1 an ordinary user needs a directory of their own "
                            "in each hierarchy, given by root; or call stepcell as root");
}

static bool write_file(int dir, const char *file, const char *text)
{
    autofd fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && file_write_all(fd, text, strlen(text));
}

/* Reads one short line. */
static bool read_line(int dir, const char *file, char *text, size_t size)
{
    autofd fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (n < 0)
        return false;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}

/* Writes a setting and looks whether the kernel took it as it is. */
static bool set(const struct cgroup_dir *dir, const char *file, const char *text, struct err *err)
{
    char is[VALUE_MAX];

    if (!write_file(dir->fd, file, text) || !read_line(dir->fd, file, is, sizeof(is)))
        return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot set '%s/%s' to '%s'", dir->path, file,
                         text);
    if (strcmp(is, text) != 0)
        return err_set(err, ERR_ENGINE_UNAVAILABLE, "the kernel made '%s' of '%s' in '%s/%s'", is,
                       text, dir->path, file);
    return true;
}

static bool set_number(const struct cgroup_dir *dir, const char *file, uint64_t value,
                       struct err *err)
{
    char text[VALUE_MAX];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return set(dir, file, text, err);
}

static bool exists(const struct cgroup_dir *dir, const char *file)
{
    return faccessat(dir->fd, file, F_OK, 0) == 0;
}

/* A kernel that does not count swap lacks the second file. */
static bool limit_memory(const struct cgroup_dir *dir, const struct limits *limits, struct err *err)
{
    static const char swap[] = "memory.swap.max", both[] = "memory.memsw.limit_in_bytes";
    /* The kernel counts pages. */
    uint64_t bytes = limits->memory & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);

    if (dir->unified)
        return set_number(dir, "memory.max", bytes, err) &&
               (!exists(dir, swap) || set_number(dir, swap, 0, err));
    return set_number(dir, "memory.limit_in_bytes", bytes, err) &&
           (!exists(dir, both) || set_number(dir, both, bytes, err));
}

/* Whether a cgroup above has as low a quota, which then holds for the cell, too. */
static bool is_held_above(const struct cgroup_dir *dir, uint64_t cpu)
{
    autofd above = openat(dir->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char quota[VALUE_MAX], period[VALUE_MAX];
    uint64_t q, p;

    /* What has no such file is above the root of the hierarchy. */
    while (above >= 0 && read_line(above, "cpu.cfs_quota_us", quota, sizeof(quota)) &&
           read_line(above, "cpu.cfs_period_us", period, sizeof(period))) {
        int next;

        if (num_parse(quota, UINT32_MAX, &q) && num_parse(period, UINT32_MAX, &p) &&
            q * LIMITS_CPU_PERIOD <= cpu * p)
            return true;
        next = openat(above, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close_fd(above);
        above = next;
    }
    return false;
}

static bool limit_cpu(const struct cgroup_dir *dir, const struct limits *limits, struct err *err)
{
    char text[VALUE_MAX];

    if (dir->unified) {
        snprintf(text, sizeof(text), "%llu %d", (unsigned long long)limits->cpu, LIMITS_CPU_PERIOD);
        return set(dir, "cpu.max", text, err);
    }
    return set_number(dir, "cpu.cfs_period_us", LIMITS_CPU_PERIOD, err) &&
           (set_number(dir, "cpu.cfs_quota_us", limits->cpu, err) ||
            is_held_above(dir, limits->cpu));
}

static bool limit_pids(const struct cgroup_dir *dir, const struct limits *limits, struct err *err)
{
    return set_number(dir, "pids.max", limits->pids, err);
}

static bool limit_nothing(const struct cgroup_dir *dir, const struct limits *limits,
                          struct err *err)
{
    (void)dir, (void)limits, (void)err;
    return true;
}

bool cgroup_limit(const struct cgroup_dir *dir, const struct limits *limits, struct err *err)
{
    static bool (*const limit[CGROUP_CONTROLLERS])(const struct cgroup_dir *dir,
                                                   const struct limits *limits, struct err *err) = {
        [CGROUP_MEMORY] = limit_memory,
        [CGROUP_CPU] = limit_cpu,
        [CGROUP_PIDS] = limit_pids,
        [CGROUP_FREEZER] = limit_nothing,
    };

    for (unsigned int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if ((dir->controllers & 1U << i) && !limit[i](dir, limits, err))
            return cannot_enforce(1U << i, err);
    }
    return true;
}

static unsigned int needed(const struct limits *limits)
{
    return (limits->memory ? 1U << CGROUP_MEMORY : 0) | (limits->cpu ? 1U << CGROUP_CPU : 0) |
           (limits->pids ? 1U << CGROUP_PIDS : 0);
}

static bool is_on(const char *path, dev_t dev)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_dev == dev;
}

/* Adds a controller to the directory that is its own; `name` is the last part of its path. */
static bool add(struct cgroup *cgroup, const struct cgroup_own *own, const char *name,
                unsigned int controllers, struct err *err)
{
    autofree char *path = text_printf("%s/%s", own->parent, name);

    if (!path)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the cgroups of the cell");
    /* Several controllers may share a hierarchy of version 1. */
    for (size_t i = 0; i < cgroup->count; i++) {
        if (strcmp(cgroup->dirs[i].path, path) == 0) {
            cgroup->dirs[i].controllers |= controllers;
            return true;
        }
    }
    cgroup->dirs[cgroup->count++] =
        (struct cgroup_dir){TAKE_PTR(path), -1, own->unified, controllers};
    return true;
}

static bool find_one(const char *cgroups, const char *mountinfo, enum cgroup_controller controller,
                     struct cgroup_own *own, struct err *err)
{
    if (!cgroup_find(cgroups, mountinfo, controller, own, err))
        return false;
    if (is_on(own->parent, own->dev))
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE, "the cgroup '%s' of the caller cannot be reached",
            own->parent);
    return err_hint(err, "something else is mounted there, or the cgroup was removed");
}

static bool find_all(unsigned int controllers, const char *name, struct cgroup *cgroup,
                     struct err *err)
{
    autobuf cgroups = BUF_INIT(PROC_MAX), mountinfo = BUF_INIT(PROC_MAX);
    unsigned int unified = 0;
    struct cgroup_own own, shared;
    struct err ignored;

    if (!file_read(AT_FDCWD, "/proc/self/cgroup", &cgroups, ERR_ENGINE_UNAVAILABLE, err) ||
        !file_read(AT_FDCWD, "/proc/self/mountinfo", &mountinfo, ERR_ENGINE_UNAVAILABLE, err))
        return false;
    for (unsigned int i = 0; i < CGROUP_FREEZER; i++) {
        if (!(controllers & 1U << i))
            continue;
        if (!find_one(cgroups.data, mountinfo.data, (enum cgroup_controller)i, &own, err))
            return cannot_enforce(1U << i, err);
        if (own.unified) {
            unified |= 1U << i;
            shared = own;
        } else if (!add(cgroup, &own, name, 1U << i, err)) {
            return false;
        }
    }
    /* To kill without a race; a limit holds without it. Last, so that it can be left out. */
    if (cgroup->count && find_one(cgroups.data, mountinfo.data, CGROUP_FREEZER, &own, &ignored) &&
        !own.unified && access(own.parent, W_OK) == 0 &&
        !add(cgroup, &own, name, 1U << CGROUP_FREEZER, err))
        return false;
    if (!unified)
        return true;
    return cgroup_find_parent(&shared, unified, err) ? add(cgroup, &shared, name, unified, err)
                                                     : cannot_enforce(unified, err);
}

static bool record(const struct cgroup *cgroup, int scratch, struct err *err)
{
    autofd file = openat(scratch, CGROUP_RECORD, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = file >= 0;

    for (size_t i = 0; ok && i < cgroup->count; i++)
        ok = file_write_all(file, cgroup->dirs[i].path, strlen(cgroup->dirs[i].path) + 1);
    return ok || err_errno(err, ERR_ENGINE_FAILED, "cannot record the cgroups of the cell");
}

static bool make_dir(struct cgroup_dir *dir, const struct limits *limits, struct err *err)
{
    if (mkdir(dir->path, 0755) < 0)
        return refused(dir, "make a cgroup in", err);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir->fd >= 0 ? cgroup_limit(dir, limits, err)
                        : refused(dir, "open the cgroup made in", err);
}

bool cgroup_make(const struct limits *limits, int scratch, struct cgroup *cgroup, struct err *err)
{
    char name[sizeof(NAME_PREFIX) + ID_DIGITS];
    uint64_t id;

    if (!needed(limits))
        return true;
    if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot name the cgroups of the cell");
    snprintf(name, sizeof(name), NAME_PREFIX "%016llx", (unsigned long long)id);
    if (!find_all(needed(limits), name, cgroup, err) || !record(cgroup, scratch, err))
        return false;
    for (size_t i = 0; i < cgroup->count; i++) {
        if (!make_dir(&cgroup->dirs[i], limits, err))
            return false;
    }
    return true;
}

int cgroup_birthplace(const struct cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        if (cgroup->dirs[i].unified)
            return cgroup->dirs[i].fd;
    }
    return -1;
}

bool cgroup_enter(const struct cgroup *cgroup, pid_t pid, struct err *err)
{
    char text[VALUE_MAX];

    snprintf(text, sizeof(text), "%d", (int)pid);
    for (size_t i = 0; i < cgroup->count; i++) {
        const struct cgroup_dir *dir = &cgroup->dirs[i];

        /* A process that is gone has said why on the control socket. */
        if (!dir->unified && !write_file(dir->fd, "cgroup.procs", text) && errno != ESRCH)
            return refused(dir, "move the cell to its cgroup in", err);
    }
    return true;
}

/* The number behind "oom_kill " on a line of its own; 0 when there is none. */
static uint64_t oom_kills(const char *text)
{
    static const char key[] = "oom_kill ";

    for (; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
        if (strncmp(text, key, strlen(key)) == 0)
            return strtoull(text + strlen(key), NULL, 10);
    }
    return 0;
}

bool cgroup_oom_killed(const struct cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        const struct cgroup_dir *dir = &cgroup->dirs[i];
        autobuf text = BUF_INIT(PROC_MAX);
        struct err ignored;

        if ((dir->controllers & 1U << CGROUP_MEMORY) && dir->fd >= 0 &&
            file_read(dir->fd, dir->unified ? "memory.events" : "memory.oom_control", &text,
                      ERR_ENGINE_FAILED, &ignored))
            return oom_kills(text.data) > 0;
    }
    return false;
}

/* Kills by number: only where cgroup.kill is missing, and after freezing where that is possible. */
static void kill_listed(int dir)
{
    autobuf text = BUF_INIT(PROC_MAX);
    struct err ignored;

    if (!file_read(dir, "cgroup.procs", &text, ERR_ENGINE_FAILED, &ignored))
        return;
    for (const char *p = text.data; *p;) {
        long pid = strtol(p, NULL, 10);

        /* 0 is a process that this pid namespace does not see, and would mean our own group. */
        if (pid > 1 && pid != getpid())
            kill((pid_t)pid, SIGKILL);
        p += strcspn(p, "\n");
        p += *p == '\n';
    }
}

static void pause_ns(int64_t ns)
{
    const struct timespec time = {.tv_nsec = (long)ns};

    nanosleep(&time, NULL);
}

/* A cgroup that is as good as empty freezes at once. */
static void freeze(int dir)
{
    char state[VALUE_MAX];

    if (!write_file(dir, "freezer.state", "FROZEN"))
        return;
    for (int64_t pause = PAUSE_NS; pause < PAUSE_MAX_NS; pause *= 2) {
        if (!read_line(dir, "freezer.state", state, sizeof(state)) || strcmp(state, "FROZEN") == 0)
            return;
        pause_ns(pause);
    }
}

static void kill_all(const struct cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->count; i++)
        freeze(cgroup->dirs[i].fd);
    for (size_t i = 0; i < cgroup->count; i++) {
        if (!write_file(cgroup->dirs[i].fd, "cgroup.kill", "1"))
            kill_listed(cgroup->dirs[i].fd);
    }
    for (size_t i = 0; i < cgroup->count; i++)
        (void)write_file(cgroup->dirs[i].fd, "freezer.state", "THAWED");
}

static bool is_gone(const struct cgroup_dir *dir)
{
    return faccessat(AT_FDCWD, dir->path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static bool remove_dirs(const struct cgroup *cgroup)
{
    bool gone = true;

    for (size_t i = 0; i < cgroup->count; i++)
        gone = (rmdir(cgroup->dirs[i].path) == 0 || is_gone(&cgroup->dirs[i])) && gone;
    return gone;
}

/* Nearly always the first look finds them empty: the end of pid 1 has ended all others. */
static void kill_and_remove(const struct cgroup *cgroup, int64_t patience)
{
    int64_t end = clock_now() + patience, pause = PAUSE_NS;

    while (!remove_dirs(cgroup) && clock_now() < end) {
        kill_all(cgroup);
        pause_ns(pause);
        pause = pause * 2 < PAUSE_MAX_NS ? pause * 2 : PAUSE_MAX_NS;
    }
}

/* Later calls try again, and do not wait for what the kernel may never let end. */
static void note_tried(int place)
{
    close_fd(openat(place, TRIED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
}

static bool was_tried(int place)
{
    return faccessat(place, TRIED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void release(struct cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->count; i++) {
        close_fd(cgroup->dirs[i].fd);
        free(cgroup->dirs[i].path);
    }
    *cgroup = CGROUP_INIT;
}

void cgroup_remove(struct cgroup *cgroup, int scratch, struct strv *left)
{
    bool gone = true;

    if (!cgroup->count)
        return;
    kill_and_remove(cgroup, REMOVE_MAX_NS);
    for (size_t i = 0; i < cgroup->count; i++) {
        if (is_gone(&cgroup->dirs[i]))
            continue;
        gone = false;
        strv_add(left, cgroup->dirs[i].path);
    }
    /* With it, the next call tries again. */
    if (gone)
        unlinkat(scratch, CGROUP_RECORD, 0);
    else
        note_tried(scratch);
    release(cgroup);
}

/* Whether a recorded path can only be a cgroup that stepcell has made. */
static bool is_own_path(const char *path)
{
    const char *name = path_name(path);

    return path[0] == '/' && strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) == 0 &&
           strspn(name + strlen(NAME_PREFIX), "0123456789abcdef") == ID_DIGITS &&
           strlen(name) == strlen(NAME_PREFIX) + ID_DIGITS;
}

static bool is_cgroup(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 &&
           (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

/* Takes up a recorded path; true also when there is nothing. */
static bool take_up(struct cgroup *cgroup, const char *path)
{
    autofd fd = -1;
    char *copy;

    if (!is_own_path(path) || cgroup->count == CGROUP_CONTROLLERS)
        return true;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    copy = strdup(path);
    if (!copy || !is_cgroup(fd)) {
        free(copy);
        return copy;
    }
    cgroup->dirs[cgroup->count++] = (struct cgroup_dir){.path = copy, .fd = TAKE_FD(fd)};
    return true;
}

bool cgroup_sweep(int place)
{
    autobuf paths = BUF_INIT(RECORD_MAX);
    struct cgroup cgroup = CGROUP_INIT;
    bool gone = true;
    autofd file = file_open_own(place, CGROUP_RECORD, O_RDONLY);
    struct err ignored;

    if (file < 0)
        return errno == ENOENT;
    if (!file_read_fd(file, CGROUP_RECORD, &paths, ERR_ENGINE_FAILED, &ignored))
        return false;
    for (size_t at = 0; at < paths.len; at += strlen(paths.data + at) + 1)
        gone = take_up(&cgroup, paths.data + at) && gone;
    kill_and_remove(&cgroup, was_tried(place) ? PAUSE_MAX_NS : REMOVE_MAX_NS);
    for (size_t i = 0; i < cgroup.count; i++)
        gone = is_gone(&cgroup.dirs[i]) && gone;
    if (!gone)
        note_tried(place);
    release(&cgroup);
    return gone;
}

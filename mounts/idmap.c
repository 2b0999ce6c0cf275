#include "mounts/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "base/program.h"

#define PASSWD_FILE_MAX (16 << 20)
#define NAME_SIZE       64
#define MAP_TEXT_MAX    (IDMAP_EXTENTS_MAX * 36)
#define HOLDER_STACK    16384
#define INITIAL_USERNS  0xeffffffdU /* its inode, always: PROC_USER_INIT_INO of the kernel */

static void add_extent(struct idmap_side *side, uint32_t inside, uint32_t outside, uint32_t count)
{
    if (count)
        side->extents[side->count++] = (struct idmap_extent){inside, outside, count};
}

/* `inside` is the caller's own id; the ids below and above it come from the range, in order. */
static void around(struct idmap_side *side, uint32_t inside, uint32_t own,
                   const struct idmap_range *range)
{
    uint32_t below = inside < range->count ? inside : range->count;

    add_extent(side, 0, range->start, below);
    add_extent(side, inside, own, 1);
    add_extent(side, inside + 1, range->start + below, range->count - below);
}

bool idmap_make(uid_t caller_uid, gid_t caller_gid, uid_t uid, gid_t gid,
                const struct idmap_range *uids, const struct idmap_range *gids, struct idmap *map,
                struct err *err)
{
    struct idmap made = {.kind = IDMAP_SINGLE};

    if (uid > INT32_MAX || gid > INT32_MAX)
        return err_set(err, ERR_USER_UNKNOWN, "user %u:%u is out of range", uid, gid);
    if (caller_uid == 0) {
        made.kind = IDMAP_ROOT;
        add_extent(&made.uids, 0, IDMAP_ROOT_START, IDMAP_IDS);
        add_extent(&made.gids, 0, IDMAP_ROOT_START, IDMAP_IDS);
    } else if (uids->count && gids->count) {
        made.kind = IDMAP_RANGES;
        around(&made.uids, uid, caller_uid, uids);
        around(&made.gids, gid, caller_gid, gids);
    } else {
        add_extent(&made.uids, uid, caller_uid, 1);
        add_extent(&made.gids, gid, caller_gid, 1);
    }
    *map = made;
    return true;
}

/* The next id that no other of the step's has. */
static void admit_one(struct idmap_side *side, uint32_t id)
{
    uint32_t outside;

    if (side->count < 2 + IDMAP_GROUPS_MAX && !idmap_outside(side, id, &outside))
        add_extent(side, id, IDMAP_HIGH_START + (uint32_t)side->count - 1, 1);
}

void idmap_admit(struct idmap *map, uid_t uid, gid_t gid, const gid_t *groups, size_t count)
{
    if (map->kind != IDMAP_ROOT)
        return;
    admit_one(&map->uids, uid);
    admit_one(&map->gids, gid);
    for (size_t i = 0; i < count; i++)
        admit_one(&map->gids, groups[i]);
}

/* One line of subuid(5); false for one that grants nothing. */
static bool parse_grant(const char *line, char owner[IDMAP_OWNER_MAX], struct idmap_range *range)
{
    char start[16], count[16];
    uint64_t first, length;

    if (sscanf(line, "%63[^:\n]:%15[^:\n]:%15[^:\n]", owner, start, count) != 3)
        return false;
    count[strcspn(count, " \t\r")] = '\0';
    if (!num_parse(start, UINT32_MAX - 1, &first) || !num_parse(count, UINT32_MAX, &length) ||
        !length || !first || first + length >= UINT32_MAX)
        return false;
    *range = (struct idmap_range){(uint32_t)first, (uint32_t)length};
    return true;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

struct idmap_range idmap_find_range(const char *text, const char *name, uid_t uid)
{
    char number[16], owner[IDMAP_OWNER_MAX];
    struct idmap_range range;

    snprintf(number, sizeof(number), "%u", uid);
    for (const char *line = text; *line; line = next_line(line)) {
        if (parse_grant(line, owner, &range) &&
            (strcmp(owner, name) == 0 || strcmp(owner, number) == 0))
            return range;
    }
    return (struct idmap_range){0, 0};
}

bool idmap_find_intruder(const char *text, char owner[IDMAP_OWNER_MAX])
{
    struct idmap_range range;

    for (const char *line = text; *line; line = next_line(line)) {
        if (parse_grant(line, owner, &range) && range.start < IDMAP_ROOT_START + IDMAP_ROOT_TOTAL &&
            range.start + range.count > IDMAP_ROOT_START)
            return true;
    }
    return false;
}

static struct idmap_range read_range(const char *path, const char *name, uid_t uid)
{
    autobuf text = BUF_INIT(IDMAP_SUBID_MAX);
    struct err ignored; /* no file is no range */

    if (!file_read(AT_FDCWD, path, &text, ERR_CONFIG_INVALID, &ignored))
        return (struct idmap_range){0, 0};
    return idmap_find_range(text.data, name, uid);
}

/*
 * The caller's name in /etc/passwd, else what the environment says: it only chooses among the lines
 * of /etc/subuid, and newuidmap(1) refuses what is not the caller's. Not getpwuid(3): its modules
 * would have to be loaded, and this program is static.
 */
static void caller_name(uid_t uid, char name[NAME_SIZE])
{
    autobuf text = BUF_INIT(PASSWD_FILE_MAX);
    const char *user = getenv("USER");
    struct err ignored;

    snprintf(name, NAME_SIZE, "%s", user ? user : "");
    if (!file_read(AT_FDCWD, "/etc/passwd", &text, ERR_CONFIG_INVALID, &ignored))
        return;
    for (const char *line = text.data; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char owner[NAME_SIZE];
        unsigned int id;

        if (sscanf(line, "%63[^:\n]:%*[^:\n]:%u:", owner, &id) == 2 && id == uid) {
            snprintf(name, NAME_SIZE, "%s", owner);
            return;
        }
    }
}

/* Whether these ids are in the map of the caller's own user namespace (user_namespaces(7)). */
static bool is_mapped(const char *file, uint32_t first, uint32_t count)
{
    autobuf text = BUF_INIT(IDMAP_SUBID_MAX);
    struct err ignored;

    if (!file_read(AT_FDCWD, file, &text, ERR_ENGINE_UNAVAILABLE, &ignored))
        return true; /* then the kernel says so */
    for (const char *line = text.data; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        unsigned int inside, outside, length;

        if (sscanf(line, "%u %u %u", &inside, &outside, &length) == 3 && first >= inside &&
            first - inside < length && length - (first - inside) >= count)
            return true;
    }
    return false;
}

/* Root of a container has not all ids of the host. */
static bool has_root_ids(struct err *err)
{
    struct stat st;

    if (stat("/proc/self/ns/user", &st) == 0 && st.st_ino == INITIAL_USERNS)
        return true;
    if (is_mapped("/proc/self/uid_map", IDMAP_ROOT_START, IDMAP_ROOT_TOTAL) &&
        is_mapped("/proc/self/gid_map", IDMAP_ROOT_START, IDMAP_ROOT_TOTAL))
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE,
            "the ids %u to %u, which root's cells have, do not exist in this user namespace",
            IDMAP_ROOT_START, IDMAP_ROOT_START + IDMAP_ROOT_TOTAL - 1);
    return err_hint(err, "call stepcell as an ordinary user there, or outside of the container");
}

bool idmap_for_step(uid_t uid, gid_t gid, struct idmap *map, struct err *err)
{
    struct idmap_range uids = {0, 0}, gids = {0, 0};
    uid_t caller = geteuid();
    char path[PROGRAM_PATH_MAX];

    if (caller != 0 && program_find("newuidmap", path) && program_find("newgidmap", path)) {
        char name[NAME_SIZE];

        caller_name(caller, name);
        uids = read_range("/etc/subuid", name, caller);
        gids = read_range("/etc/subgid", name, caller);
    }
    if (caller == 0 && !has_root_ids(err))
        return false;
    return idmap_make(caller, getegid(), uid, gid, &uids, &gids, map, err);
}

void idmap_key(const struct idmap *map, char key[IDMAP_KEY_MAX])
{
    const struct idmap_extent *own = map->uids.extents;

    switch (map->kind) {
    case IDMAP_ROOT:
        snprintf(key, IDMAP_KEY_MAX, "root-%u", own->outside);
        break;
    case IDMAP_RANGES: {
        uint32_t uid = 0, gid = 0, start = 0;

        /* The caller is the extent of one id that is not in the range. */
        for (size_t i = 0; i < map->uids.count; i++) {
            if (map->uids.extents[i].outside == geteuid())
                uid = map->uids.extents[i].inside;
            else if (!start)
                start = map->uids.extents[i].outside;
        }
        for (size_t i = 0; i < map->gids.count; i++) {
            if (map->gids.extents[i].outside == getegid())
                gid = map->gids.extents[i].inside;
        }
        snprintf(key, IDMAP_KEY_MAX, "ranges-%u-%u-%u", start, uid, gid);
        break;
    }
    case IDMAP_SINGLE:
        snprintf(key, IDMAP_KEY_MAX, "single");
        break;
    }
}

bool idmap_outside(const struct idmap_side *side, uint32_t inside, uint32_t *outside)
{
    for (size_t i = 0; i < side->count; i++) {
        const struct idmap_extent *extent = &side->extents[i];

        if (inside >= extent->inside && inside - extent->inside < extent->count) {
            *outside = extent->outside + (inside - extent->inside);
            return true;
        }
    }
    return false;
}

static void map_text(const struct idmap_side *side, char text[MAP_TEXT_MAX])
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < side->count; i++)
        used += (size_t)snprintf(text + used, MAP_TEXT_MAX - used, "%u %u %u\n",
                                 side->extents[i].inside, side->extents[i].outside,
                                 side->extents[i].count);
}

static bool write_proc(pid_t pid, const char *name, const char *text, struct err *err)
{
    char path[64];
    autofd fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    /* The kernel takes a map in a single write. */
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot write '%s'", path);
    return true;
}

/* Starts newuidmap or newgidmap; its process id, or -1. */
static pid_t start_tool(const char *name, pid_t pid, const struct idmap_side *side)
{
    char path[PROGRAM_PATH_MAX], numbers[IDMAP_EXTENTS_MAX * 3][12], target[12];
    char *argv[3 + IDMAP_EXTENTS_MAX * 3] = {(char *)name, target};
    size_t n = 2;
    pid_t child;

    if (!program_find(name, path))
        return -1;
    snprintf(target, sizeof(target), "%d", (int)pid);
    for (size_t i = 0; i < side->count; i++) {
        const uint32_t values[] = {side->extents[i].inside, side->extents[i].outside,
                                   side->extents[i].count};
        for (size_t j = 0; j < 3; j++) {
            snprintf(numbers[i * 3 + j], sizeof(numbers[0]), "%u", values[j]);
            argv[n++] = numbers[i * 3 + j];
        }
    }
    argv[n] = NULL;
    child = vfork();
    if (child == 0) {
        execv(path, argv);
        _exit(127);
    }
    return child;
}

static bool finish_tool(const char *name, pid_t child, struct err *err)
{
    if (child_wait(child) == 0)
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE, "'%s' failed to set the ids of the cell", name);
    return err_hint(err,
                    "check the caller's lines in /etc/subuid and /etc/subgid, and that %s is "
                    "set-user-ID root or has its capability",
                    name);
}

bool idmap_write(const struct idmap *map, pid_t pid, struct err *err)
{
    char text[MAP_TEXT_MAX];

    if (map->kind == IDMAP_RANGES) {
        /* Both at once: each costs a whole program. */
        pid_t uids = start_tool("newuidmap", pid, &map->uids);
        pid_t gids = start_tool("newgidmap", pid, &map->gids);
        bool ok = finish_tool("newuidmap", uids, err);

        return finish_tool("newgidmap", gids, err) && ok;
    }
    /* user_namespaces(7): a process without privilege gives up setgroups(2) before its gid map. */
    if (map->kind == IDMAP_SINGLE && !write_proc(pid, "setgroups", "deny", err))
        return false;
    map_text(&map->uids, text);
    if (!write_proc(pid, "uid_map", text, err))
        return false;
    map_text(&map->gids, text);
    return write_proc(pid, "gid_map", text, err);
}

pid_t idmap_clone(uint64_t namespaces)
{
    /* glibc's fork() cannot make namespaces, and its clone() wants a stack. */
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } args = {.flags = namespaces, .exit_signal = SIGCHLD};

    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static bool userns_error(struct err *err)
{
    err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot make a user namespace");
    return err_hint(err,
                    "run 'stepcell doctor': it names the setting that forbids user namespaces");
}

/* The child of idmap_run: waits for its map, takes the ids that the map offers, runs the function.
 */
static int run_mapped(const struct idmap *map, int ready, int (*function)(void *), void *data)
{
    uid_t uid = map->kind == IDMAP_SINGLE ? map->uids.extents[0].inside : 0;
    gid_t gid = map->kind == IDMAP_SINGLE ? map->gids.extents[0].inside : 0;
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(ready, &byte, 1) != 1)
        return 126;
    if (map->kind != IDMAP_SINGLE && setgroups(0, NULL) < 0)
        return 126;
    if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return 126;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of ids cleared it */
    return function(data);
}

int idmap_run(const struct idmap *map, int (*function)(void *data), void *data, struct err *err)
{
    int pipes[2];
    autofd reader = -1, writer = -1;
    pid_t child;
    bool mapped;
    int status;

    if (pipe2(pipes, O_CLOEXEC) < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
        return -1;
    }
    reader = pipes[0];
    writer = pipes[1];
    child = idmap_clone(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET);
    if (child == 0) {
        close_fd(writer);
        _exit(run_mapped(map, reader, function, data));
    }
    if (child < 0) {
        userns_error(err);
        return -1;
    }
    mapped = idmap_write(map, child, err);
    if (mapped && write(writer, "", 1) != 1)
        mapped = err_errno(err, ERR_ENGINE_FAILED, "cannot start a helper process");
    writer = close_fd(writer); /* without its byte the child ends */
    status = child_wait(child);
    return mapped ? status : -1;
}

/* Holds a namespace until a descriptor does. */
static int hold(void *data)
{
    (void)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (pause() < 0)
        ;
    return 0;
}

int idmap_open_userns(const struct idmap *map, struct err *err)
{
    char stack[HOLDER_STACK] __attribute__((aligned(16)));
    char path[64];
    /* It shares the memory, which is never copied for it, and touches nothing but its stack. */
    pid_t child = clone(hold, stack + sizeof(stack), CLONE_VM | CLONE_NEWUSER | SIGCHLD, NULL);
    int fd = -1;

    if (child < 0) {
        userns_error(err);
        return -1;
    }
    if (idmap_write(map, child, err)) {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)child);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            err_errno(err, ERR_ENGINE_UNAVAILABLE, "cannot open '%s'", path);
    }
    kill(child, SIGKILL);
    child_wait(child);
    return fd;
}

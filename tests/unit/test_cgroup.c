/*
 * Finding and limiting cgroups: the texts of /proc as hosts of all kinds have them, and plain
 * directories in the place of the cgroups of version 2. The real ones are tests/bats/limits*.bats.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "runtime/native/cgroup.h"
#include "tests/unit/scratch.h"

#define V1(point, root, list)                                                                      \
    "33 30 0:30 " root " " point " rw,nosuid shared:7 - cgroup cgroup rw," list "\n"
#define V2(point, root) "34 30 0:31 " root " " point " rw - cgroup2 cgroup2 rw,nsdelegate\n"
#define OTHER           "30 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"

static void own_cgroups_are_found(void **state)
{
    static const struct {
        const char *cgroups;
        const char *mountinfo;
        enum cgroup_controller controller;
        bool unified;
        const char *mount;
        const char *parent;
    } table[] = {
        {"0::/user.slice/a.scope\n", V2("/sys/fs/cgroup", "/"), CGROUP_MEMORY, true,
         "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a.scope"},
        {"0::/\n", V2("/sys/fs/cgroup", "/"), CGROUP_CPU, true, "/sys/fs/cgroup", "/sys/fs/cgroup"},
        {"0::/", V2("/sys/fs/cgroup", "/"), CGROUP_CPU, true, "/sys/fs/cgroup", "/sys/fs/cgroup"},
        /* version 1, controllers together */
        {"4:memory:/a\n3:cpu,cpuacct:/b\n1:name=systemd:/c\n",
         OTHER V1("/sys/fs/cgroup/memory", "/", "memory")
             V1("/sys/fs/cgroup/cpu", "/", "cpu,cpuacct"),
         CGROUP_CPU, false, "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu/b"},
        {"2:cpuacct:/x\n3:cpu:/b\n", V1("/cg/acct", "/", "cpuacct") V1("/cg/cpu", "/", "cpu"),
         CGROUP_CPU, false, "/cg/cpu", "/cg/cpu/b"},
        /* hybrid: version 1 where it has the controller */
        {"8:pids:/p\n0::/u\n",
         V2("/sys/fs/cgroup/unified", "/") V1("/sys/fs/cgroup/pids", "/", "pids"), CGROUP_PIDS,
         false, "/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids/p"},
        {"0::/u\n8:pids:/p\n",
         V2("/sys/fs/cgroup/unified", "/") V1("/sys/fs/cgroup/pids", "/", "pids"), CGROUP_MEMORY,
         true, "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/u"},
        /* in a container without a cgroup namespace, which sees its part only */
        {"4:memory:/docker/1\n", V1("/sys/fs/cgroup/memory", "/docker/1", "memory"), CGROUP_MEMORY,
         false, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory"},
        {"4:memory:/docker/1/x\n", V1("/sys/fs/cgroup/memory", "/docker/1", "memory"),
         CGROUP_MEMORY, false, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/x"},
        /* in a cgroup namespace: its own mount, not that of the host */
        {"0::/\n", V2("/sys/fs/cgroup", "/../..") V2("/mnt", "/"), CGROUP_MEMORY, true, "/mnt",
         "/mnt"},
        {"0::/x\n", V2("/mnt", "/") V2("/sys/fs/cgroup", "/.."), CGROUP_MEMORY, true, "/mnt",
         "/mnt/x"},
        /* the last mount is on top */
        {"0::/x\n", V2("/a", "/") V2("/b", "/"), CGROUP_MEMORY, true, "/b", "/b/x"},
        /* strange names */
        {"0::/a b:c\n", V2("/m\\040t", "/"), CGROUP_MEMORY, true, "/m t", "/m t/a b:c"},
        {"0::/..x\n", V2("/m", "/"), CGROUP_MEMORY, true, "/m", "/m/..x"},
        {"4:memory:/a\\b/c\n", V1("/m", "/a\\134b", "memory"), CGROUP_MEMORY, false, "/m", "/m/c"},
        /* a line that is none does not hide the others */
        {"0::/x\n", "garbage\n" V2("/m", "/"), CGROUP_MEMORY, true, "/m", "/m/x"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct cgroup_own own;

        assert_ok(
            cgroup_find(table[i].cgroups, table[i].mountinfo, table[i].controller, &own, &err));
        assert_int_equal(own.unified, table[i].unified);
        assert_string_equal(own.mount, table[i].mount);
        assert_string_equal(own.parent, table[i].parent);
        assert_int_equal(own.dev, own.unified ? makedev(0, 31) : makedev(0, 30));
    }
}

static void cgroups_that_cannot_be_found_are_refused(void **state)
{
    static const struct {
        const char *cgroups;
        const char *mountinfo;
    } table[] = {
        {"", V2("/sys/fs/cgroup", "/")},
        {"8:pids:/p\n", V1("/p", "/", "pids")},
        {"garbage\n0::/\n", V2("/sys/fs/cgroup", "/")},
        {"0:/\n", V2("/sys/fs/cgroup", "/")},
        {"0::relative\n", V2("/sys/fs/cgroup", "/")},
        {":memory:/\n", V1("/m", "/", "memory")},
        {"x:memory:/\n", V1("/m", "/", "memory")},
        /* 'memory' is not 'memory2', nor the name of a hierarchy */
        {"4:memory2:/a\n", V1("/m", "/", "memory2")},
        {"4:name=memory:/a\n", V1("/m", "/", "name=memory")},
        /* on version 1, of which only version 2 is mounted */
        {"4:memory:/a\n0::/\n", V2("/sys/fs/cgroup", "/")},
        {"4:memory:/a\n", V1("/m", "/", "xmemory")},
        {"0::/\n", ""},
        {"0::/\n", OTHER},
        /* outside of the cgroup namespace, or of what is mounted */
        {"0::/..\n", V2("/sys/fs/cgroup", "/")},
        {"0::/../x\n", V2("/sys/fs/cgroup", "/")},
        {"0::/\n", V2("/sys/fs/cgroup", "/..")},
        {"0::/ab\n", V2("/sys/fs/cgroup", "/a")},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct cgroup_own own;

        assert_refused(cgroup_find(table[i].cgroups, table[i].mountinfo, CGROUP_MEMORY, &own, &err),
                       ERR_ENGINE_UNAVAILABLE);
        assert_true(err.hint[0] != '\0');
    }
}

static void write_text(const struct scratch *scratch, const char *name, const char *text)
{
    int fd = openat(scratch->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_text(const struct scratch *scratch, const char *name, const char *expected)
{
    autobuf text = BUF_INIT(4096);
    struct err err;

    assert_ok(file_read(scratch->fd, name, &text, ERR_ENGINE_FAILED, &err));
    assert_string_equal(text.data, expected);
}

#define NEEDED (1U << CGROUP_MEMORY | 1U << CGROUP_PIDS)

static void choose(const struct scratch *scratch, const char *parent, struct cgroup_own *own)
{
    own->unified = true;
    assert_true(snprintf(own->mount, sizeof(own->mount), "%s", scratch->path) > 0);
    assert_true(snprintf(own->parent, sizeof(own->parent), "%s%s", scratch->path, parent) > 0);
}

static void the_root_enables_what_is_missing(void **state)
{
    struct scratch scratch;
    struct cgroup_own own;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    choose(&scratch, "", &own);
    write_text(&scratch, "cgroup.controllers", "cpu memory pids\n");
    write_text(&scratch, "cgroup.subtree_control", "pids\n");
    assert_ok(cgroup_find_parent(&own, NEEDED, &err));
    assert_string_equal(own.parent, scratch.path);
    assert_text(&scratch, "cgroup.subtree_control", "+memory ");

    /* Not what it does not have. */
    write_text(&scratch, "cgroup.controllers", "cpu pids\n");
    write_text(&scratch, "cgroup.subtree_control", "pids\n");
    assert_refused(cgroup_find_parent(&own, NEEDED, &err), ERR_ENGINE_UNAVAILABLE);
    assert_non_null(strstr(err.message, "'memory'"));
    assert_text(&scratch, "cgroup.subtree_control", "pids\n");
    scratch_remove(&scratch);
}

static void a_cgroup_with_processes_gets_a_sibling(void **state)
{
    struct scratch scratch;
    struct cgroup_own own;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    choose(&scratch, "/own", &own);
    mkdirat(scratch.fd, "own", 0755);
    write_text(&scratch, "own/cgroup.type", "domain\n");
    write_text(&scratch, "own/cgroup.controllers", "memory pids\n");
    write_text(&scratch, "own/cgroup.subtree_control", "\n");
    write_text(&scratch, "cgroup.subtree_control", "cpu memory pids\n");
    assert_ok(cgroup_find_parent(&own, NEEDED, &err));
    assert_string_equal(own.parent, scratch.path);
    assert_text(&scratch, "own/cgroup.subtree_control", "\n");

    /* Neither here nor there. */
    choose(&scratch, "/own", &own);
    write_text(&scratch, "cgroup.subtree_control", "cpu\n");
    assert_refused(cgroup_find_parent(&own, NEEDED, &err), ERR_ENGINE_UNAVAILABLE);
    assert_non_null(strstr(err.message, "'memory' and 'pids'"));
    assert_non_null(strstr(err.hint, "systemd-run"));
    assert_non_null(strstr(err.hint, "MemoryAccounting=yes"));

    /* In its own cgroup where that has them for its children. */
    write_text(&scratch, "own/cgroup.subtree_control", "memory pids\n");
    assert_ok(cgroup_find_parent(&own, NEEDED, &err));
    assert_non_null(strstr(own.parent, "/own"));

    /* Nothing above what is mounted is looked at. */
    choose(&scratch, "/own", &own);
    write_text(&scratch, "own/cgroup.subtree_control", "\n");
    write_text(&scratch, "cgroup.subtree_control", "memory pids\n");
    strcpy(own.mount, own.parent);
    assert_refused(cgroup_find_parent(&own, NEEDED, &err), ERR_ENGINE_UNAVAILABLE);
    scratch_remove(&scratch);
}

static struct cgroup_dir directory(const struct scratch *scratch, bool unified,
                                   unsigned int controllers)
{
    return (struct cgroup_dir){(char *)scratch->path, scratch->fd, unified, controllers};
}

static void limits_are_written_and_read_back(void **state)
{
    const struct limits limits = {.memory = (64 << 20) + 1, .cpu = 50000, .pids = 7};
    const unsigned int all = 1U << CGROUP_MEMORY | 1U << CGROUP_CPU | 1U << CGROUP_PIDS;
    struct scratch scratch;
    struct cgroup_dir dir;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    dir = directory(&scratch, true, all);
    write_text(&scratch, "memory.max", "");
    write_text(&scratch, "cpu.max", "");
    write_text(&scratch, "pids.max", "");
    /* A kernel that does not count swap has no file for it, and gets none. */
    assert_ok(cgroup_limit(&dir, &limits, &err));
    assert_text(&scratch, "memory.max", "67108864");
    assert_text(&scratch, "cpu.max", "50000 100000");
    assert_text(&scratch, "pids.max", "7");
    assert_int_equal(faccessat(scratch.fd, "memory.swap.max", F_OK, 0), -1);
    write_text(&scratch, "memory.swap.max", "");
    assert_ok(cgroup_limit(&dir, &limits, &err));
    assert_text(&scratch, "memory.swap.max", "0");

    dir = directory(&scratch, false, 1U << CGROUP_MEMORY | 1U << CGROUP_CPU | 1U << CGROUP_FREEZER);
    write_text(&scratch, "memory.limit_in_bytes", "");
    write_text(&scratch, "memory.memsw.limit_in_bytes", "");
    write_text(&scratch, "cpu.cfs_period_us", "");
    write_text(&scratch, "cpu.cfs_quota_us", "");
    assert_ok(cgroup_limit(&dir, &limits, &err));
    assert_text(&scratch, "memory.limit_in_bytes", "67108864");
    assert_text(&scratch, "memory.memsw.limit_in_bytes", "67108864");
    assert_text(&scratch, "cpu.cfs_period_us", "100000");
    assert_text(&scratch, "cpu.cfs_quota_us", "50000");
    scratch_remove(&scratch);
}

static void a_limit_that_was_not_taken_is_an_error(void **state)
{
    const struct limits limits = {.memory = 64 << 20, .cpu = 50000, .pids = 7};
    static const struct {
        bool unified;
        enum cgroup_controller controller;
        const char *option;
    } table[] = {
        {true, CGROUP_MEMORY, "--memory"},   {true, CGROUP_CPU, "--cpus"},
        {true, CGROUP_PIDS, "--pids-limit"}, {false, CGROUP_MEMORY, "--memory"},
        {false, CGROUP_CPU, "--cpus"},       {false, CGROUP_PIDS, "--pids-limit"},
    };
    struct scratch scratch;
    struct cgroup_dir dir;
    struct err err;

    (void)state;
    scratch_make(&scratch);
    /* The files are missing. */
    for (size_t i = 0; i < COUNT(table); i++) {
        dir = directory(&scratch, table[i].unified, 1U << table[i].controller);
        assert_refused(cgroup_limit(&dir, &limits, &err), ERR_ENGINE_UNAVAILABLE);
        assert_non_null(strstr(err.message, table[i].option));
    }
    /* What is read is something else than what was written. */
    assert_int_equal(symlinkat("/dev/null", scratch.fd, "pids.max"), 0);
    dir = directory(&scratch, true, 1U << CGROUP_PIDS);
    assert_refused(cgroup_limit(&dir, &limits, &err), ERR_ENGINE_UNAVAILABLE);
    scratch_remove(&scratch);
}

static void kills_are_counted(void **state)
{
    static const struct {
        bool unified;
        const char *text;
        bool killed;
    } table[] = {
        {true, "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n", true},
        {true, "low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\noom_group_kill 4\n", false},
        {true, "oom 1\n", false},
        {true, "", false},
        {false, "oom_kill_disable 1\nunder_oom 1\noom_kill 0\n", false},
        {false, "oom_kill_disable 0\nunder_oom 0\noom_kill 12\n", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct cgroup cgroup = {.count = 1};
        struct scratch scratch;

        scratch_make(&scratch);
        write_text(&scratch, table[i].unified ? "memory.events" : "memory.oom_control",
                   table[i].text);
        cgroup.dirs[0] = directory(&scratch, table[i].unified, 1U << CGROUP_MEMORY);
        assert_int_equal(cgroup_oom_killed(&cgroup), table[i].killed);
        /* Only where there is a memory limit. */
        cgroup.dirs[0].controllers = 1U << CGROUP_PIDS;
        assert_false(cgroup_oom_killed(&cgroup));
        scratch_remove(&scratch);
    }
}

/* Whatever a record says: what is not a cgroup of stepcell's making stays. */
static void a_record_removes_nothing_else(void **state)
{
    static const char *const names[] = {"stepcell-0123456789abcdef", "other", "stepcell-",
                                        "stepcell-0123456789abcdefg", "stepcell-0123456789ABCDEF"};
    struct scratch scratch;
    int fd;

    (void)state;
    scratch_make(&scratch);
    fd = openat(scratch.fd, CGROUP_RECORD, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(mkdirat(scratch.fd, names[i], 0755), 0);
        assert_true(dprintf(fd, "%s/%s", scratch.path, names[i]) > 0);
        assert_int_equal(write(fd, "", 1), 1);
    }
    assert_int_equal(write(fd, "relative/stepcell-0123456789abcdef", 35), 35);
    close(fd);
    assert_true(cgroup_sweep(scratch.fd));
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(faccessat(scratch.fd, names[i], F_OK, 0), 0);
    scratch_remove(&scratch);
}

static void a_place_without_a_record_is_swept(void **state)
{
    struct scratch scratch;

    (void)state;
    scratch_make(&scratch);
    assert_true(cgroup_sweep(scratch.fd));
    write_text(&scratch, CGROUP_RECORD, "");
    assert_true(cgroup_sweep(scratch.fd));
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_cgroups_are_found),
        cmocka_unit_test(cgroups_that_cannot_be_found_are_refused),
        cmocka_unit_test(the_root_enables_what_is_missing),
        cmocka_unit_test(a_cgroup_with_processes_gets_a_sibling),
        cmocka_unit_test(limits_are_written_and_read_back),
        cmocka_unit_test(a_limit_that_was_not_taken_is_an_error),
        cmocka_unit_test(kills_are_counted),
        cmocka_unit_test(a_record_removes_nothing_else),
        cmocka_unit_test(a_place_without_a_record_is_swept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

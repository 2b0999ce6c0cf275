/*
 * What a child that unpacks could do if a layer had taken it over: everything is tried from inside, behind
 * the walls of shim/image/walls.h, with the caller's own id map. tests/bats/unpack.bats runs this program as
 * ordinary users, too.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/image/unpack.h"
#include "shim/image/mapped.h"
#include "shim/image/walls.h"
#include "tests/unit/scratch.h"

#define KEPT           "000000008000001b" /* chown, dac_override, fowner, fsetid, setfcap */
#define NOBODY         65534              /* what an id without a mapping looks like */
#define DESCRIPTOR_TOP 4096
#define MANY           ((size_t)1 << 30)

/* What a child is given; `file` is one of the layer's own, `proc` is for looking at itself. */
struct inside {
    int root, file, proc;
    pid_t parent;
    bool may_chown;
};

/* ---- what must fail: each gives a value below 0, with any errno ---- */

static long failing(bool ok)
{
    return ok ? 0 : -1;
}

static long open_above(const struct inside *inside)
{
    return openat(inside->root, "../canary", O_RDONLY);
}

static long open_above_far(const struct inside *inside)
{
    return openat(inside->root, "../../../../../../../../etc/shadow", O_RDONLY);
}

static long open_host(const struct inside *inside)
{
    (void)inside;
    return open("/etc/shadow", O_RDONLY);
}

static long open_host_by_root(const struct inside *inside)
{
    return openat(inside->root, "/etc/shadow", O_RDONLY);
}

static long open_host_by_openat2(const struct inside *inside)
{
    struct open_how how = {.flags = O_RDONLY};

    return syscall(SYS_openat2, inside->root, "/etc/passwd", &how, sizeof(how));
}

/* libraries look for their modules and their configuration so. */
static long open_own_by_name(const struct inside *inside)
{
    (void)inside;
    return open("/inner", O_RDONLY);
}

static long open_own_relative(const struct inside *inside)
{
    (void)inside;
    return syscall(SYS_openat, 0xffffff9cUL, "inner", O_RDONLY);
}

static long link_to_host(const struct inside *inside)
{
    (void)!symlinkat("/etc/passwd", inside->root, "link");
    return openat(inside->root, "link", O_RDONLY);
}

static long another_root(const struct inside *inside)
{
    (void)inside;
    return chroot(".");
}

static long another_directory(const struct inside *inside)
{
    return fchdir(inside->root);
}

static long device_node(const struct inside *inside)
{
    return mknodat(inside->root, "null", S_IFCHR | 0666, makedev(1, 3));
}

static long block_node(const struct inside *inside)
{
    return mknodat(inside->root, "block", S_IFBLK | 0666, makedev(0, 0));
}

static long socket_inet(const struct inside *inside)
{
    (void)inside;
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long socket_unix(const struct inside *inside)
{
    (void)inside;
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long socket_netlink(const struct inside *inside)
{
    (void)inside;
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long pair(const struct inside *inside)
{
    int fds[2];

    (void)inside;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static long run_by_name(const struct inside *inside)
{
    char *argv[] = {(char *)"inner", NULL};

    (void)inside;
    return execv("/inner", argv);
}

static long run_by_descriptor(const struct inside *inside)
{
    char *argv[] = {(char *)"inner", NULL};

    return syscall(SYS_execveat, inside->file, "", argv, argv + 1, AT_EMPTY_PATH);
}

static long new_process(const struct inside *inside)
{
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    (void)inside;
    if (child == 0)
        _exit(0);
    return child;
}

/* Its flags are no thread's, though it shares what threads do. */
static long new_process_like_a_thread(const struct inside *inside)
{
    long child = syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0);

    (void)inside;
    if (child == 0)
        _exit(0);
    return child;
}

/* A filter cannot see these flags. */
static long new_process_by_clone3(const struct inside *inside)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long child = syscall(SYS_clone3, &arguments, sizeof(arguments));

    (void)inside;
    if (child == 0)
        _exit(0);
    return child;
}

static void *wait_for(void *semaphore)
{
    while (sem_wait(semaphore) < 0 && errno == EINTR)
        ;
    return NULL;
}

/* One beside the first is what unpacking takes. */
static long third_thread(const struct inside *inside)
{
    sem_t semaphore;
    pthread_t threads[2];
    size_t started = 0;

    (void)inside;
    sem_init(&semaphore, 0, 0);
    while (started < COUNT(threads) &&
           pthread_create(&threads[started], NULL, wait_for, &semaphore) == 0)
        started++;
    for (size_t i = 0; i < started; i++)
        sem_post(&semaphore);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return failing(started == COUNT(threads));
}

static long signal_thread_of_parent(const struct inside *inside)
{
    return syscall(SYS_tgkill, inside->parent, inside->parent, 0);
}

static long new_namespace(const struct inside *inside)
{
    (void)inside;
    return unshare(CLONE_NEWUSER);
}

static long mount_something(const struct inside *inside)
{
    (void)inside;
    return mount("none", "/inner", "tmpfs", 0, NULL);
}

static long clone_mount(const struct inside *inside)
{
    return syscall(SYS_open_tree, inside->root, "", AT_EMPTY_PATH | 1);
}

static long trace_parent(const struct inside *inside)
{
    return ptrace(PTRACE_SEIZE, inside->parent, 0, 0);
}

static long be_traced(const struct inside *inside)
{
    (void)inside;
    return ptrace(PTRACE_TRACEME, 0, 0, 0);
}

static long read_parent(const struct inside *inside)
{
    char bytes[8];
    struct iovec here = {bytes, sizeof(bytes)}, there = {(void *)inside, sizeof(bytes)};

    return process_vm_readv(inside->parent, &here, 1, &there, 1, 0);
}

static long signal_parent(const struct inside *inside)
{
    return kill(inside->parent, 0);
}

static long signal_all(const struct inside *inside)
{
    (void)inside;
    return kill(-1, 0);
}

static long handle_of_parent(const struct inside *inside)
{
    return syscall(SYS_pidfd_open, inside->parent, 0);
}

static long other_user(const struct inside *inside)
{
    (void)inside;
    return setresuid(1, 1, 1);
}

static long more_capabilities(const struct inside *inside)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{~0U, ~0U, 0}, {~0U, ~0U, 0}};

    (void)inside;
    return syscall(SYS_capset, &header, data);
}

static long be_dumpable(const struct inside *inside)
{
    (void)inside;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long code_in_memory(const struct inside *inside)
{
    (void)inside;
    return failing(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0) != MAP_FAILED);
}

static long memory_as_code(const struct inside *inside)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)inside;
    return mprotect(memory, 4096, PROT_READ | PROT_EXEC);
}

static long code_of_the_layer(const struct inside *inside)
{
    return failing(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, inside->file, 0) !=
                   MAP_FAILED);
}

static long much_memory(const struct inside *inside)
{
    (void)inside;
    return failing(mmap(NULL, MANY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                   MAP_FAILED);
}

static long many_descriptors(const struct inside *inside)
{
    return fcntl(inside->file, F_DUPFD, DESCRIPTOR_TOP);
}

static long more_resources(const struct inside *inside)
{
    const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    (void)inside;
    return setrlimit(RLIMIT_AS, &limit);
}

static long huge_file(const struct inside *inside)
{
    return ftruncate(inside->file, (off_t)UNPACK_LIMITS.file + 1);
}

static long anonymous_file(const struct inside *inside)
{
    (void)inside;
    return memfd_create("code", 0);
}

static long type_into_terminal(const struct inside *inside)
{
    (void)inside;
    return ioctl(0, TIOCSTI, "x");
}

static long keys(const struct inside *inside)
{
    (void)inside;
    return syscall(SYS_keyctl, 0, -3, 0);
}

static long programs_of_the_kernel(const struct inside *inside)
{
    (void)inside;
    return syscall(SYS_bpf, 0, 0, 0);
}

static long rings(const struct inside *inside)
{
    char parameters[256] = {0};

    (void)inside;
    return syscall(SYS_io_uring_setup, 1, parameters);
}

static long other_descriptors(const struct inside *inside)
{
    for (int fd = 3; fd < DESCRIPTOR_TOP; fd++) {
        if (fd != inside->root && fd != inside->file && fd != inside->proc &&
            fcntl(fd, F_GETFD) >= 0)
            return fd;
    }
    return -1;
}

#define ATTEMPT(function)                                                                          \
    {                                                                                              \
#function, function                                                                        \
    }

static const struct {
    const char *name;
    long (*try)(const struct inside *inside);
} attempts[] = {
    ATTEMPT(other_descriptors), /* before the others leave some */
    ATTEMPT(open_above),
    ATTEMPT(open_above_far),
    ATTEMPT(open_host),
    ATTEMPT(open_host_by_root),
    ATTEMPT(open_host_by_openat2),
    ATTEMPT(open_own_by_name),
    ATTEMPT(open_own_relative),
    ATTEMPT(link_to_host),
    ATTEMPT(another_root),
    ATTEMPT(another_directory),
    ATTEMPT(device_node),
    ATTEMPT(block_node),
    ATTEMPT(socket_inet),
    ATTEMPT(socket_unix),
    ATTEMPT(socket_netlink),
    ATTEMPT(pair),
    ATTEMPT(run_by_name),
    ATTEMPT(run_by_descriptor),
    ATTEMPT(new_process),
    ATTEMPT(new_process_like_a_thread),
    ATTEMPT(new_process_by_clone3),
    ATTEMPT(third_thread),
    ATTEMPT(new_namespace),
    ATTEMPT(mount_something),
    ATTEMPT(clone_mount),
    ATTEMPT(trace_parent),
    ATTEMPT(be_traced),
    ATTEMPT(read_parent),
    ATTEMPT(signal_parent),
    ATTEMPT(signal_all),
    ATTEMPT(signal_thread_of_parent),
    ATTEMPT(handle_of_parent),
    ATTEMPT(other_user),
    ATTEMPT(more_capabilities),
    ATTEMPT(be_dumpable),
    ATTEMPT(code_in_memory),
    ATTEMPT(memory_as_code),
    ATTEMPT(code_of_the_layer),
    ATTEMPT(much_memory),
    ATTEMPT(many_descriptors),
    ATTEMPT(more_resources),
    ATTEMPT(huge_file),
    ATTEMPT(anonymous_file),
    ATTEMPT(type_into_terminal),
    ATTEMPT(keys),
    ATTEMPT(programs_of_the_kernel),
    ATTEMPT(rings),
};

static bool try_everything(void *argument, struct err *err)
{
    const struct inside *inside = argument;

    for (size_t i = 0; i < COUNT(attempts); i++) {
        if (attempts[i].try(inside) >= 0)
            return err_set(err, ERR_ENGINE_FAILED, "'%s' worked", attempts[i].name);
    }
    /* Names above the root are names in it. */
    if (openat(inside->root, "../escaped", O_WRONLY | O_CREAT, 0600) < 0 ||
        faccessat(inside->root, "escaped", F_OK, 0) < 0 ||
        renameat2(inside->root, "inner", inside->root, "../../moved", RENAME_NOREPLACE) < 0 ||
        faccessat(inside->root, "moved", F_OK, 0) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "a name above the root is not in it");
    return true;
}

/* ---- what has to work ---- */

static void *say_so(void *data)
{
    *(bool *)data = true;
    return NULL;
}

static bool run_a_thread(void)
{
    pthread_t thread;
    bool was_there = false;

    return pthread_create(&thread, NULL, say_so, &was_there) == 0 &&
           pthread_join(thread, NULL) == 0 && was_there;
}

static bool write_a_layer(void *argument, struct err *err)
{
    const struct inside *inside = argument;
    const struct timespec times[2] = {{0, UTIME_NOW}, {1, 0}};
    int fd = openat(inside->root, "file", O_WRONLY | O_CREAT | O_EXCL, 0600);
    char *memory = malloc(64 << 20);
    bool ok = fd >= 0 && memory && run_a_thread() && file_write_all(fd, "text", 4) &&
              (!inside->may_chown || fchown(fd, 1, 2) == 0) &&
              fsetxattr(fd, "user.stepcell", "y", 1, 0) == 0 && fchmod(fd, 06755) == 0 &&
              futimens(fd, times) == 0 && mkdirat(inside->root, "closed", 0) == 0 &&
              mkdirat(inside->root, "closed/inner", 0700) == 0 &&
              mkfifoat(inside->root, "fifo", 0600) == 0 &&
              mknodat(inside->root, "gone", S_IFCHR, makedev(0, 0)) == 0 &&
              linkat(inside->root, "file", inside->root, "other", 0) == 0;

    free(memory);
    return ok || err_errno(err, ERR_ENGINE_FAILED, "a layer cannot be written");
}

static bool says(const char *status, const char *line, struct err *err)
{
    return strstr(status, line) || err_set(err, ERR_ENGINE_FAILED, "no '%s' in:\n%s", line, status);
}

static bool look_at_oneself(void *argument, struct err *err)
{
    const struct inside *inside = argument;
    autobuf status = BUF_INIT(8192);
    autofd file = openat(inside->proc, "self/status", O_RDONLY);
    struct stat st;

    if (file < 0 || !file_read_fd(file, "status", &status, ERR_ENGINE_FAILED, err))
        return err_errno(err, ERR_ENGINE_FAILED, "no status");
    if (fstatat(inside->proc, "self/environ", &st, 0) < 0 || st.st_uid != NOBODY)
        return err_set(err, ERR_ENGINE_FAILED, "it is dumpable");
    return says(status.data, "\nNoNewPrivs:\t1\n", err) &&
           says(status.data, "\nSeccomp:\t2\n", err) &&
           says(status.data, "\nCapEff:\t" KEPT "\n", err) &&
           says(status.data, "\nCapPrm:\t" KEPT "\n", err) &&
           says(status.data, "\nCapBnd:\t" KEPT "\n", err) &&
           says(status.data, "\nCapInh:\t0000000000000000\n", err) &&
           says(status.data, "\nCapAmb:\t0000000000000000\n", err);
}

static bool fail_with_a_word(void *argument, struct err *err)
{
    (void)argument;
    return err_set(err, ERR_IMAGE_CORRUPT, "a word from behind the walls");
}

static bool fail_with_noise(void *argument, struct err *err)
{
    (void)argument;
    memset(err, 'A', sizeof(*err));
    return false;
}

static bool end_without_a_word(void *argument, struct err *err)
{
    (void)argument, (void)err;
    _exit(1);
}

/* ---- outside ---- */

struct stage {
    struct scratch scratch;
    struct inside inside;
    struct mapped mapped;
};

static void set_stage(struct stage *stage)
{
    struct layer_map map;
    struct err err;

    scratch_make(&stage->scratch);
    assert_ok(file_replace(stage->scratch.fd, "canary", "alive", 5, 0644, ERR_ENGINE_FAILED, &err));
    assert_int_equal(mkdirat(stage->scratch.fd, "layer", 0755), 0);
    stage->inside.root = openat(stage->scratch.fd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    stage->inside.file = openat(stage->inside.root, "inner", O_RDWR | O_CREAT | O_CLOEXEC, 0755);
    stage->inside.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(stage->inside.root >= 0 && stage->inside.file >= 0 && stage->inside.proc >= 0);
    assert_int_equal(write(stage->inside.file, "#!/bin/sh\n", 10), 10);
    stage->inside.parent = getpid();
    assert_ok(mapped_for(0, 0, &stage->mapped, &err));
    map = mapped_layers(&stage->mapped);
    stage->inside.may_chown = map.may_chown;
    assert_ok(map.prepare(map.data, stage->inside.root, &err));
    assert_ok(map.prepare(map.data, stage->inside.file, &err));
}

static bool run_inside(struct stage *stage, bool (*function)(void *argument, struct err *err),
                       struct err *err)
{
    const int descriptors[] = {stage->inside.proc, stage->inside.file};
    const struct reach reach = {stage->inside.root, descriptors, COUNT(descriptors)};
    const struct layer_map map = mapped_layers(&stage->mapped);

    return map.run(map.data, &reach, function, &stage->inside, err);
}

static void leave_stage(struct stage *stage)
{
    struct err err;

    assert_int_not_equal(faccessat(stage->scratch.fd, "escaped", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_not_equal(faccessat(stage->scratch.fd, "moved", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    close(stage->inside.root);
    close(stage->inside.file);
    close(stage->inside.proc);
    assert_ok(mapped_remover.remove(NULL, stage->scratch.fd, "layer", &err));
    assert_int_not_equal(faccessat(stage->scratch.fd, "layer", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    scratch_remove(&stage->scratch);
}

static void every_wall_holds(void **state)
{
    struct stage stage;
    struct err err;

    (void)state;
    set_stage(&stage);
    assert_ok(run_inside(&stage, try_everything, &err));
    leave_stage(&stage);
}

static void a_layer_can_be_written(void **state)
{
    struct stage stage;
    struct err err;
    struct stat st;

    (void)state;
    set_stage(&stage);
    assert_ok(run_inside(&stage, write_a_layer, &err));
    assert_int_equal(fstatat(stage.inside.root, "file", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 06755);
    assert_int_equal(st.st_nlink, 2);
    leave_stage(&stage);
}

static void privileges_are_those_of_unpacking(void **state)
{
    struct stage stage;
    struct err err;

    (void)state;
    set_stage(&stage);
    assert_ok(run_inside(&stage, look_at_oneself, &err));
    leave_stage(&stage);
}

static void errors_come_through_the_walls(void **state)
{
    struct stage stage;
    struct err err;

    (void)state;
    set_stage(&stage);
    assert_refused(run_inside(&stage, fail_with_a_word, &err), ERR_IMAGE_CORRUPT);
    assert_string_equal(err.message, "a word from behind the walls");
    assert_refused(run_inside(&stage, fail_with_noise, &err), ERR_ENGINE_FAILED);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
    assert_int_equal(strlen(err.hint), ERR_HINT_MAX - 1);
    assert_refused(run_inside(&stage, end_without_a_word, &err), ERR_ENGINE_FAILED);
    leave_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wall_holds),
        cmocka_unit_test(a_layer_can_be_written),
        cmocka_unit_test(privileges_are_those_of_unpacking),
        cmocka_unit_test(errors_come_through_the_walls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

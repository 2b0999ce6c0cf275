/*
 * Tries what a step must not do, by system calls alone, and prints one line for each word: the word
 * and "ok" or the name of the error. Static, so that it runs in any cell.
 *
 *   attempt WORD...
 *   attempt with-key COMMAND [ARG...]     executes it with a key in its session keyring
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Binds to the abstract name or connects to it. */
static int abstract_socket(const char *name, int (*use)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(address.sun_path + 1, name);
    if (use(fd, (struct sockaddr *)&address,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) < 0)
        return -1;
    return listen(fd, 64) == 0 || errno == EINVAL ? fd : -1;
}

/* A server of one's own, kept until the program ends, and a client of it. */
static long own_abstract(void)
{
    return abstract_socket("stepcell-test-own", bind) < 0
               ? -1
               : abstract_socket("stepcell-test-own", connect);
}

static long connect_abstract(void)
{
    return abstract_socket("stepcell-test-host", connect);
}

static long serve_abstract(void)
{
    if (abstract_socket("stepcell-test-host", bind) < 0)
        return -1;
    puts("serving");
    fflush(stdout);
    return sleep(60);
}

static int with_key(char **command)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
        syscall(SYS_add_key, "user", "stepcell-test", "secret", 6, KEY_SPEC_SESSION_KEYRING) < 0 ||
        execvp(command[0], command) < 0)
        perror("with-key");
    return 1;
}

static long find_key(void)
{
    return syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "stepcell-test", 0);
}

/*
 * As the kernel's entry for 32-bit programs takes it: the number in eax, the arguments in ebx and
 * ecx.
 */
static long call_32(long number, long first, long second)
{
#ifdef __x86_64__
    long result;

    __asm__ volatile("push %%rbx\n\tmov %2, %%rbx\n\tint $0x80\n\tpop %%rbx"
                     : "=a"(result)
                     : "a"(number), "r"(first), "c"(second)
                     : "memory", "r8", "r9", "r10", "r11");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
#else
    (void)number, (void)first, (void)second;
    errno = ENOSYS;
    return -1;
#endif
}

/* socketcall(SYS_SOCKET, {AF_ALG, SOCK_SEQPACKET, 0}): where no filter sees the family. */
static long socketcall_alg(void)
{
    uint32_t *arguments =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    memcpy(arguments, (uint32_t[]){38, SOCK_SEQPACKET, 0}, 12);
    return call_32(102, 1, (long)(uintptr_t)arguments);
}

static long landlock_scopes(void)
{
    errno = ENOSYS;
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6 ? 0 : -1;
}

static long attempt(const char *word)
{
    static const struct {
        const char *word;
        long number;
        unsigned long arguments[4];
    } calls[] = {
        {"unshare-user", SYS_unshare, {CLONE_NEWUSER}},
        {"unshare-mount", SYS_unshare, {CLONE_NEWNS}},
        {"clone3", SYS_clone3, {0, 0}},
        {"clone-user", SYS_clone, {CLONE_NEWUSER, 0}},
        {"setns", SYS_setns, {0, 0}},
        {"mount", SYS_mount, {0, 0, 0, MS_REMOUNT}},
        {"open-tree", SYS_open_tree, {(unsigned long)AT_FDCWD, 0, 0}},
        {"keyctl", SYS_keyctl, {0, 0}},
        {"add-key", SYS_add_key, {0, 0, 0, 0}},
        {"bpf", SYS_bpf, {0, 0, 0}},
        {"perf", SYS_perf_event_open, {0, 0, 0, 0}},
        {"io-uring", SYS_io_uring_setup, {1, 0}},
        {"userfaultfd", SYS_userfaultfd, {0}},
        {"open-by-handle", SYS_open_by_handle_at, {0, 0, 0}},
        {"kexec", SYS_kexec_load, {0, 0, 0, 0}},
        {"module", SYS_init_module, {0, 0, 0}},
        {"reboot", SYS_reboot, {0, 0, 0, 0}},
        {"swap", SYS_swapon, {0, 0}},
        {"settime", SYS_clock_settime, {0, 0}},
        {"pivot-root", SYS_pivot_root, {0, 0}},
        {"from-the-future", 1000, {0}},
        {"personality-linux", SYS_personality, {0xffffffff}},
        {"personality-no-random", SYS_personality, {ADDR_NO_RANDOMIZE}},
        {"socket-inet", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
        {"socket-unix", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
        {"socket-netlink", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
        {"socket-alg", SYS_socket, {38, SOCK_SEQPACKET, 0}},
        {"socket-vsock", SYS_socket, {40, SOCK_STREAM, 0}},
        /* The kernel takes the lower 32 bits of the family. */
        {"socket-alg-64-bits", SYS_socket, {0x100000026UL, SOCK_SEQPACKET, 0}},
        {"socket-unix-64-bits", SYS_socket, {0x100000001UL, SOCK_STREAM, 0}},
    };
    static const struct {
        const char *word;
        long (*function)(void);
    } functions[] = {
        {"own-abstract", own_abstract},
        {"connect-abstract", connect_abstract},
        {"serve-abstract", serve_abstract},
        {"landlock-scopes", landlock_scopes},
        {"find-key", find_key},
        {"socketcall-alg", socketcall_alg},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        const unsigned long *a = calls[i].arguments;

        if (strcmp(calls[i].word, word) == 0)
            return syscall(calls[i].number, a[0], a[1], a[2], a[3]);
    }
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
        if (strcmp(functions[i].word, word) == 0)
            return functions[i].function();
    }
    if (strcmp(word, "getpid-32") == 0)
        return call_32(20, 0, 0);
    if (strcmp(word, "getpid-x32") == 0)
        return syscall(0x40000000 + SYS_getpid);
    errno = ENOTSUP;
    return -1;
}

int main(int argc, char **argv)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {EPERM, "EPERM"},
        {ENOSYS, "ENOSYS"},
        {EACCES, "EACCES"},
        {ENOKEY, "ENOKEY"},
        {EINVAL, "EINVAL"},
        {EFAULT, "EFAULT"},
        {ENOENT, "ENOENT"},
        {EAFNOSUPPORT, "EAFNOSUPPORT"},
        {EBADF, "EBADF"},
        {ENOTSUP, "unknown word"},
        {ECONNREFUSED, "ECONNREFUSED"},
    };

    if (argc > 2 && strcmp(argv[1], "with-key") == 0)
        return with_key(argv + 2);
    for (int i = 1; i < argc; i++) {
        const char *said = "another error";
        pid_t self = getpid();
        long result = attempt(argv[i]);
        int number = errno;

        /* The child of a call that was to be refused. */
        if (getpid() != self)
            _exit(0);

        for (size_t j = 0; j < sizeof(names) / sizeof(*names); j++)
            said = names[j].number == number ? names[j].name : said;
        printf("%s %s\n", argv[i], result >= 0 ? "ok" : said);
        fflush(stdout);
    }
    return 0;
}

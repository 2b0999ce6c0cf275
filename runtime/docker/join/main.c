/*
 * stepcell-join: see join_setup.h. A static program, run as the step's user, that shows stepcell
 * what is mounted, prepares what only the inside can prepare, and becomes stepcell-init.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/confine/caps.h"
#include "runtime/docker/join_setup.h"
#include "runtime/inside.h"
#include "runtime/native/handshake.h"
#include "runtime/pty.h"

#define SECRETS_DIR  "/run/secrets"
#define INIT_FAILURE 125
#define HIGH_FD      32 /* above every number that has a meaning */

struct join {
    int control;
    int descriptors[JOIN_DESCRIPTORS];
    const struct join_setup *setup;
    const char *at, *end; /* the texts that have not been read */
    const char *workdir, *home, *spare_home;
    char **arguments, **environment;
};

_Noreturn static void refuse(const struct join *join, const struct err *err)
{
    handshake_fail(join->control, err);
    _exit(INIT_FAILURE);
}

_Noreturn static void broken(const struct join *join, const char *what)
{
    struct err err;

    err_errno(&err, ERR_ENGINE_FAILED, "cannot %s", what);
    refuse(join, &err);
}

static bool open_control(struct join *join)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOIN_DIR "/" JOIN_SOCKET};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    join->control = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    close(fd);
    return connect(join->control, (struct sockaddr *)&address, sizeof(address)) == 0;
}

/* One message, with its descriptor out of the way; stepcell is gone when there is none. */
static struct message receive(const struct join *join, int *fd)
{
    struct message message;
    int received;

    if (handshake_receive(join->control, &message, sizeof(message), 0, &received) !=
        (ssize_t)sizeof(message))
        _exit(INIT_FAILURE);
    *fd = received < 0 ? -1 : fcntl(received, F_DUPFD_CLOEXEC, HIGH_FD);
    if (received >= 0)
        close(received);
    return message;
}

static void take_descriptors(struct join *join)
{
    struct message message;
    int fd;

    for (size_t i = 0; i < JOIN_DESCRIPTORS; i++)
        join->descriptors[i] = -1;
    while ((message = receive(join, &fd)).kind == MESSAGE_TREE) {
        if (message.value < 0 || message.value >= JOIN_DESCRIPTORS || fd < 0)
            _exit(INIT_FAILURE);
        join->descriptors[message.value] = fd;
    }
    if (message.kind != MESSAGE_MAPPED || join->descriptors[JOIN_SETUP] < 0)
        _exit(INIT_FAILURE);
}

static const char *next_text(struct join *join)
{
    const char *text = join->at;
    const char *end = memchr(text, '\0', (size_t)(join->end - text));

    if (!end)
        _exit(INIT_FAILURE);
    join->at = end + 1;
    return text;
}

/* A NULL-ended list, with room for one more. */
static char **next_list(struct join *join, uint32_t count)
{
    char **list = calloc((size_t)count + 2, sizeof(*list));

    for (uint32_t i = 0; list && i < count; i++)
        list[i] = (char *)next_text(join);
    if (!list)
        broken(join, "read what is to be run");
    return list;
}

static void take_setup(struct join *join)
{
    int fd = join->descriptors[JOIN_SETUP];
    struct stat st;
    size_t head;

    if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(*join->setup))
        _exit(INIT_FAILURE);
    join->setup = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (join->setup == MAP_FAILED)
        broken(join, "read what is to be run");
    head = sizeof(*join->setup) + join->setup->secret_count * sizeof(*join->setup->secret_sizes);
    join->at = (const char *)join->setup + head;
    join->end = (const char *)join->setup + st.st_size;
    join->workdir = next_text(join);
    join->home = next_text(join);
    join->spare_home = next_text(join);
    join->arguments = next_list(join, join->setup->argument_count);
    join->environment = next_list(join, join->setup->environment_count);
}

/* Stepcell compares; what is not there at all shows itself by a message without descriptor. */
static void show_targets(struct join *join)
{
    for (uint32_t i = 0; i < join->setup->target_count; i++) {
        const char *target = next_text(join);
        int fd = open(target, O_PATH | O_CLOEXEC);

        if (!handshake_send(join->control, MESSAGE_TREE, (int)i, fd))
            _exit(INIT_FAILURE);
        if (fd >= 0)
            close(fd);
    }
}

static void check_interpreters(struct join *join)
{
    struct err err;

    for (uint32_t i = 0; i < join->setup->interpreter_count; i++) {
        if (!inside_check_interpreter(join->environment, next_text(join), &err))
            refuse(join, &err);
    }
}

static void make_secrets(struct join *join)
{
    const struct join_setup *setup = join->setup;
    char **names = next_list(join, setup->secret_count);
    int dir = setup->secret_count ? open(SECRETS_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    struct err err;

    for (uint32_t i = 0; i < setup->secret_count; i++) {
        uint32_t size = setup->secret_sizes[i];

        if ((size_t)(join->end - join->at) < size)
            _exit(INIT_FAILURE);
        if (!inside_make_secret(dir, names[i], join->at, size, &err))
            refuse(join, &err);
        join->at += size;
    }
    if (dir >= 0)
        close(dir);
}

static void choose_home(const struct join *join)
{
    const char *home = join->home;
    char *entry;

    if (!*home)
        return;
    home = inside_choose_home(home, join->spare_home);
    entry = malloc(sizeof("HOME=") + strlen(home));
    if (!entry)
        broken(join, "name the home of the user");
    stpcpy(stpcpy(entry, "HOME="), home);
    join->environment[join->setup->environment_count] = entry;
}

static void enter_workdir(const struct join *join)
{
    struct err err;

    if (!inside_enter(join->workdir, &err))
        refuse(join, &err);
}

static void make_terminal(struct join *join)
{
    const struct terminal_size *asked = &join->setup->size;
    const struct winsize size = {.ws_row = asked->rows, .ws_col = asked->columns};
    int master, other;

    if (!pty_open(&size, &master, &other) ||
        !handshake_send(join->control, MESSAGE_STREAMS, 0, master))
        broken(join, "make the terminal of the command");
    close(master);
    for (int i = JOIN_IN; i <= JOIN_ERR; i++)
        join->descriptors[i] = fcntl(other, F_DUPFD_CLOEXEC, HIGH_FD);
    close(other);
}

/* Moves everything to the numbers that stepcell-init knows. */
static void place(const struct join *join)
{
    const int *have = join->descriptors;
    const int order[] = {have[JOIN_IN], have[JOIN_OUT], have[JOIN_ERR], join->control,
                         have[JOIN_CONFIG]};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int nothing = fcntl(null, F_DUPFD_CLOEXEC, HIGH_FD);

    for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++) {
        int from = order[i] >= 0 || i > STDERR_FILENO ? order[i] : nothing;

        if (from < 0 || dup2(from, i) != i)
            broken(join, "place the streams of the command");
    }
    syscall(SYS_close_range, INIT_CONFIG_FD + 1, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */);
}

/*
 * Podman gives whoever is first in a container the capabilities of its root. What is shown and
 * checked here has to be what the step's user can reach; the step itself gets none either.
 */
static void drop_privileges(const struct join *join)
{
    if (geteuid() != 0 && !caps_set(0))
        broken(join, "give up the privileges of root");
}

int main(void)
{
    struct join join = {.control = -1};
    struct message message;
    struct err err;
    int fd;

    prctl(PR_SET_DUMPABLE, 0);
    if (!open_control(&join))
        return INIT_FAILURE;
    drop_privileges(&join);
    /* What the step leaves running is known by its namespace, and must not be the host's. */
    if (getpid() != 1) {
        err_set(&err, ERR_ENGINE_UNAVAILABLE,
                "the engine gives its containers no process namespace of their own");
        err_hint(&err, "its configuration must not share the host's");
        refuse(&join, &err);
    }
    take_descriptors(&join);
    take_setup(&join);
    show_targets(&join);
    check_interpreters(&join);
    make_secrets(&join);
    choose_home(&join);
    enter_workdir(&join);
    if (!handshake_send(join.control, MESSAGE_READY, 0, -1))
        return INIT_FAILURE;
    if (join.setup->terminal)
        make_terminal(&join);
    message = receive(&join, &fd);
    if (message.kind != MESSAGE_START)
        return INIT_FAILURE;
    place(&join);
    join.control = INIT_CONTROL_FD;
    execve(JOIN_DIR "/" JOIN_INIT, join.arguments, join.environment);
    broken(&join, "execute stepcell-init");
}

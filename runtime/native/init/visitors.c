#include "runtime/native/init/visitors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HIGH_FD 16 /* pid 1 has no streams: what comes must not take their numbers */

/* The texts of a request that have not been read. */
struct texts {
    char *at, *end;
};

static char *next_text(struct texts *texts)
{
    char *text = texts->at;
    char *end = memchr(text, '\0', (size_t)(texts->end - text));

    if (!end)
        return NULL;
    texts->at = end + 1;
    return text;
}

static char **read_arguments(struct texts *texts, uint32_t count)
{
    char **argv = count > 0 && count < ENTER_SIZE_MAX ? calloc(count + 1, sizeof(*argv)) : NULL;

    for (uint32_t i = 0; argv && i < count; i++) {
        if (!(argv[i] = next_text(texts)))
            return NULL;
    }
    return argv;
}

static bool read_environment(struct texts *texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char *entry = next_text(texts);

        if (!entry || !strchr(entry, '=') || putenv(entry) != 0)
            return false;
    }
    return true;
}

/* Reads what is asked for into `command`, and into this process's environment. */
static bool read_request(int fd, struct command *command)
{
    struct enter_request *request;
    struct texts texts;
    struct stat st;

    errno = EPROTO;
    if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(*request) || st.st_size > ENTER_SIZE_MAX)
        return false;
    request = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (request == MAP_FAILED)
        return false;
    texts = (struct texts){(char *)(request + 1), (char *)request + st.st_size};
    command->argv = read_arguments(&texts, request->argument_count);
    command->streams = request->terminal     ? STREAMS_TERMINAL
                       : request->pass_stdin ? STREAMS_PIPES
                                             : STREAMS_OUTPUT;
    command->size = request->size;
    return command->argv && read_environment(&texts, request->variable_count);
}

/*
 * The child. What else pid 1 has open closes upon execution, and nobody can look at it before.
 */
_Noreturn static void become_visitor(struct command *command, int request)
{
    close(INIT_CONTROL_FD);
    for (int i = 0; i <= STDERR_FILENO; i++)
        dup2(command->socket, i);
    if (!read_request(request, command)) {
        command->failure->number = errno;
        command->failure->kind = MESSAGE_INIT_FAILED;
        _exit(INIT_FAILURE);
    }
    close(request);
    command_run(command);
}

static int raise_fd(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

    close(fd);
    return high;
}

static struct visitor *free_place(struct visitors *visitors)
{
    for (size_t i = 0; i < VISITORS_MAX; i++) {
        if (visitors->items[i].pid == 0)
            return &visitors->items[i];
    }
    return NULL;
}

static void tell(int socket, enum message_kind kind, int value)
{
    if (socket >= 0)
        (void)!handshake_send(socket, kind, value, -1);
}

void visitors_admit(struct visitors *visitors, const struct init_config *config,
                    const struct sock_filter *filter, int request, int socket)
{
    struct visitor *visitor = free_place(visitors);
    struct command command = {.config = config, .filter = filter};

    request = raise_fd(request);
    socket = raise_fd(socket);
    errno = EUSERS;
    if (visitor) {
        command.socket = socket;
        command.failure = &visitors->failures[visitor - visitors->items];
        command.failure->kind = 0;
        visitor->socket = socket;
        visitor->pid = fork();
        if (visitor->pid == 0)
            become_visitor(&command, request);
    }
    if (!visitor || visitor->pid < 0) {
        tell(socket, MESSAGE_INIT_FAILED, errno);
        close(socket);
        if (visitor)
            visitor->pid = 0;
    }
    close(request);
}

nfds_t visitors_watch(const struct visitors *visitors, struct pollfd polled[VISITORS_MAX])
{
    nfds_t count = 0;

    for (size_t i = 0; i < VISITORS_MAX; i++) {
        const struct visitor *visitor = &visitors->items[i];

        /* Negative ones are passed over by poll(2), which takes no more than may be open. */
        polled[i] = (struct pollfd){visitor->pid ? visitor->socket : -1, POLLIN, 0};
        if (visitor->pid)
            count = i + 1;
    }
    return count;
}

/* The group is not there before the visitor's setsid(). */
static void send_signal(const struct visitor *visitor, int number)
{
    if (kill(-visitor->pid, number) < 0)
        kill(visitor->pid, number);
}

static void hear(struct visitor *visitor)
{
    struct message message;
    ssize_t n = recv(visitor->socket, &message, sizeof(message), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == (ssize_t)sizeof(message) && message.kind == MESSAGE_SIGNAL) {
        send_signal(visitor, message.value);
        return;
    }
    /* Who asked has gone: as when a connection breaks. */
    close(visitor->socket);
    visitor->socket = -1;
    send_signal(visitor, SIGHUP);
    send_signal(visitor, SIGCONT);
}

void visitors_hear(struct visitors *visitors, const struct pollfd polled[VISITORS_MAX])
{
    for (size_t i = 0; i < VISITORS_MAX; i++) {
        struct visitor *visitor = &visitors->items[i];

        /* It may have ended meanwhile, and its place may be another's. */
        if (polled[i].revents && visitor->pid && visitor->socket == polled[i].fd)
            hear(visitor);
    }
}

void visitors_end(struct visitors *visitors, pid_t pid, int status)
{
    for (size_t i = 0; i < VISITORS_MAX; i++) {
        struct visitor *visitor = &visitors->items[i];
        const volatile struct failure *failure = &visitors->failures[i];

        if (visitor->pid != pid)
            continue;
        tell(visitor->socket, failure->kind ? failure->kind : MESSAGE_EXITED,
             failure->kind ? failure->number : status);
        if (visitor->socket >= 0)
            close(visitor->socket);
        *visitor = (struct visitor){0, -1};
    }
}

bool visitors_have(const struct visitors *visitors, pid_t pid)
{
    for (size_t i = 0; i < VISITORS_MAX; i++) {
        if (visitors->items[i].pid == pid)
            return true;
    }
    return false;
}

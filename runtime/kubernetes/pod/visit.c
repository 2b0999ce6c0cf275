/*
 * `stepcell-pod visit`: the other end of the API's exec (visit_frames.h). It carries bytes between
 * its own stdin and stdout, and the streams of a command that pid 1 runs (door.h). What comes may
 * be of anybody who may exec into the Pod; it gets no more than the step's own user has.
 */
#include "runtime/kubernetes/pod/pod.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/kubernetes/pod/door.h"
#include "runtime/kubernetes/visit_frames.h"
#include "runtime/native/init/command.h"

#define HANG_UP_MS 2000       /* that a command has after a HUP */
#define UNSENT_MAX (64 << 10) /* bytes that wait, before no more are read */

struct visit {
    struct visit_reader reader;
    int request;     /* what is asked for, in memory */
    size_t asked;    /* bytes of it */
    int socket;      /* to pid 1, or -1 before it is asked */
    bool attached;   /* to the step's own command */
    int in, outs[2]; /* of the command; -1 where there is none, or no more */
    bool begun;      /* they have come */
    bool in_ends;    /* behind what waits */
    char waiting[VISIT_WINDOW];
    size_t waiting_len;
    /* What stepcell has not taken yet. Each turn adds few frames, of which two are long. */
    uint8_t unsent[UNSENT_MAX + 3 * VISIT_FRAME_MAX];
    size_t unsent_len;
};

/* ---- to stepcell ---- */

_Noreturn static void lose(struct visit *visit);

/* As far as it is taken: who takes nothing for a while may have something to say. */
static void flush(struct visit *visit)
{
    size_t sent = 0;

    while (sent < visit->unsent_len) {
        ssize_t n = write(STDOUT_FILENO, visit->unsent + sent, visit->unsent_len - sent);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            lose(visit);
        sent += (size_t)n;
    }
    visit->unsent_len -= sent;
    memmove(visit->unsent, visit->unsent + sent, visit->unsent_len);
}

static void put(struct visit *visit, const uint8_t *frame, size_t len)
{
    if (len > sizeof(visit->unsent) - visit->unsent_len)
        lose(visit);
    memcpy(visit->unsent + visit->unsent_len, frame, len);
    visit->unsent_len += len;
    flush(visit);
}

static void put_number(struct visit *visit, enum visit_kind kind, uint32_t number)
{
    uint8_t frame[VISIT_FRAME_MAX];

    put(visit, frame, visit_write_number(kind, number, frame));
}

/* False when there is no more for now. */
static bool carry(struct visit *visit, size_t index)
{
    char bytes[VISIT_BYTES_MAX];
    uint8_t frame[VISIT_FRAME_MAX];
    ssize_t n = read(visit->outs[index], bytes, sizeof(bytes));

    if (n > 0)
        put(visit, frame, visit_write(index == 0 ? VISIT_OUT : VISIT_ERR, bytes, (size_t)n, frame));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        visit->outs[index] = close_fd(visit->outs[index]);
    return n > 0;
}

_Noreturn static void finish(struct visit *visit, const struct message *end)
{
    uint8_t frame[VISIT_FRAME_MAX];

    /* Nothing that stepcell may say counts any more. */
    fcntl(STDOUT_FILENO, F_SETFL, 0);
    flush(visit);
    for (size_t i = 0; i < ARRAY_SIZE(visit->outs); i++) {
        while (visit->outs[i] >= 0 && carry(visit, i)) {
        }
    }
    put(visit, frame, visit_write_end(end->kind, (uint32_t)end->value, frame));
    _exit(0);
}

/*
 * Nobody is there any more. A command whose input is cut must not take that for its end: while its
 * stdin is open it is told, and killed when it does not listen. Of the step's own pid 1 takes care.
 */
_Noreturn static void lose(struct visit *visit)
{
    struct pollfd polled = {visit->socket, POLLIN, 0};
    struct message message;

    if (visit->attached || visit->socket < 0)
        _exit(INIT_FAILURE);
    (void)!handshake_send(visit->socket, MESSAGE_SIGNAL, SIGHUP, -1);
    (void)!handshake_send(visit->socket, MESSAGE_SIGNAL, SIGCONT, -1);
    for (size_t i = 0; i < ARRAY_SIZE(visit->outs); i++)
        close_fd(visit->outs[i]);
    while (poll(&polled, 1, HANG_UP_MS) > 0 &&
           recv(visit->socket, &message, sizeof(message), 0) > 0) {
        if (message.kind != MESSAGE_STREAMS)
            _exit(INIT_FAILURE);
    }
    (void)!handshake_send(visit->socket, MESSAGE_SIGNAL, SIGKILL, -1);
    _exit(INIT_FAILURE);
}

/* ---- to the command ---- */

static void end_input(struct visit *visit)
{
    visit->in = close_fd(visit->in);
    if (visit->attached)
        (void)!handshake_send(visit->socket, MESSAGE_END, 0, -1);
}

/* Of who does not read any more nothing is said to be taken: so that no more comes. */
static void feed(struct visit *visit)
{
    ssize_t n = visit->in < 0 ? -1 : write(visit->in, visit->waiting, visit->waiting_len);

    if (visit->in >= 0 && n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        visit->in = close_fd(visit->in);
        visit->waiting_len = 0;
        return;
    }
    visit->waiting_len -= (size_t)n;
    memmove(visit->waiting, visit->waiting + n, visit->waiting_len);
    put_number(visit, VISIT_TAKEN, (uint32_t)n);
}

static bool keep(struct visit *visit, const struct visit_frame *frame)
{
    if (frame->len > sizeof(visit->waiting) - visit->waiting_len || visit->in_ends)
        return false;
    memcpy(visit->waiting + visit->waiting_len, frame->bytes, frame->len);
    visit->waiting_len += frame->len;
    return true;
}

static void resize(const struct visit *visit, uint32_t size)
{
    const struct winsize value = {.ws_row = (unsigned short)(size >> 16),
                                  .ws_col = (unsigned short)size};
    int terminal = visit->attached ? visit->in : visit->outs[0];

    if (terminal >= 0)
        (void)ioctl(terminal, TIOCSWINSZ, &value);
}

/* ---- what is asked for ---- */

static bool add_request(struct visit *visit, const struct visit_frame *frame)
{
    visit->asked += frame->len;
    return visit->socket < 0 && visit->asked <= ENTER_SIZE_MAX &&
           write(visit->request, frame->bytes, frame->len) == (ssize_t)frame->len;
}

static bool enter(struct visit *visit)
{
    autofd door = visit->socket < 0 ? door_knock() : -1;
    autofd other = -1;
    int ends[2], fds[2];

    if (door < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    visit->socket = ends[0];
    fds[0] = visit->request;
    fds[1] = other = ends[1];
    return handshake_send_several(door, MESSAGE_ENTER, 0, fds, 2);
}

static bool attach(struct visit *visit)
{
    if (visit->socket >= 0)
        return false;
    visit->attached = true;
    visit->socket = door_knock();
    return visit->socket >= 0 && handshake_send(visit->socket, MESSAGE_START, 0, -1);
}

static bool take_frame(void *data, const struct visit_frame *frame)
{
    struct visit *visit = data;

    switch (frame->kind) {
    case VISIT_REQUEST:
        return add_request(visit, frame);
    case VISIT_ENTER:
        return enter(visit);
    case VISIT_ATTACH:
        return attach(visit);
    case VISIT_IN:
        return keep(visit, frame);
    case VISIT_IN_END:
        visit->in_ends = true;
        return true;
    case VISIT_CLOSE:
        if (frame->number == 1 || frame->number == 2)
            visit->outs[frame->number - 1] = close_fd(visit->outs[frame->number - 1]);
        return true;
    case VISIT_SIGNAL:
        /* One that comes too late is none to end for: what pid 1 has said of the end is there. */
        if (visit->socket >= 0 && !visit->attached)
            (void)!handshake_send(visit->socket, MESSAGE_SIGNAL, (int)frame->number, -1);
        return true;
    case VISIT_SIZE:
        resize(visit, frame->number);
        return true;
    case VISIT_STILL:
        return true;
    case VISIT_BEGUN:
    case VISIT_OUT:
    case VISIT_ERR:
    case VISIT_TAKEN:
    case VISIT_ENDED:
    case VISIT_KINDS:
        break;
    }
    return false;
}

/* ---- from pid 1 ---- */

/* Of a terminal there is one, which is read and written; of the step's own there is its input. */
static void take_streams(struct visit *visit, const int fds[HANDSHAKE_FDS_MAX])
{
    uint8_t frame[VISIT_FRAME_MAX];

    visit->begun = true;
    if (visit->attached) {
        visit->in = fds[0];
    } else {
        visit->outs[0] = fds[0];
        visit->outs[1] = fds[1];
        visit->in = fds[1] < 0 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 3) : fds[2];
    }
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++) {
        if (fds[i] >= 0)
            fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    put(visit, frame, visit_write(VISIT_BEGUN, NULL, 0, frame));
}

static void hear(struct visit *visit)
{
    int fds[HANDSHAKE_FDS_MAX];
    struct message message;
    ssize_t n =
        handshake_receive_several(visit->socket, &message, sizeof(message), MSG_DONTWAIT, fds);

    if (n < 0 && errno == EAGAIN)
        return;
    /* The step is over. */
    if (n != (ssize_t)sizeof(message))
        _exit(INIT_FAILURE);
    if (message.kind == MESSAGE_STREAMS)
        take_streams(visit, fds);
    else
        finish(visit, &message);
}

static void listen_to_stepcell(struct visit *visit)
{
    static char bytes[VISIT_FRAME_MAX];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0 || !visit_reader_feed(&visit->reader, bytes, (size_t)n))
        lose(visit);
}

static void turn(struct visit *visit)
{
    bool has_room = visit->unsent_len < UNSENT_MAX;
    bool waits = visit->begun && visit->waiting_len > 0 && has_room;
    struct pollfd polled[] = {
        {STDIN_FILENO, POLLIN, 0},
        {visit->socket, POLLIN, 0},
        {has_room ? visit->outs[0] : -1, POLLIN, 0},
        {has_room ? visit->outs[1] : -1, POLLIN, 0},
        {waits ? visit->in : -1, POLLOUT, 0},
        {visit->unsent_len > 0 ? STDOUT_FILENO : -1, POLLOUT, 0},
    };

    /* What nobody reads is not waited for. */
    if (poll(polled, ARRAY_SIZE(polled), waits && visit->in < 0 ? 0 : -1) < 0)
        return;
    if (polled[5].revents)
        flush(visit);
    if (polled[2].revents)
        carry(visit, 0);
    if (polled[3].revents && visit->outs[1] >= 0)
        carry(visit, 1);
    if (polled[4].revents || (waits && visit->in < 0))
        feed(visit);
    if (polled[1].revents)
        hear(visit);
    if (polled[0].revents)
        listen_to_stepcell(visit);
    if (visit->begun && visit->in_ends && visit->waiting_len == 0 && visit->in >= 0)
        end_input(visit);
}

int pod_visit(void)
{
    static struct visit visit;

    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    /* No initializer: its zeros would be in the program, which goes to every Pod. */
    visit.socket = visit.in = visit.outs[0] = visit.outs[1] = -1;
    visit.reader = (struct visit_reader){.take = take_frame, .data = &visit};
    visit.request = memfd_create("request", MFD_CLOEXEC);
    if (visit.request < 0 || fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) < 0)
        return INIT_FAILURE;
    for (;;)
        turn(&visit);
}

/*
 * `visit`: carries bytes and what else there is between who has entered a cell, or the caller of a
 * step, and `stepcell-pod visit` in its Pod (visit_frames.h).
 */
#include "shim/kubernetes/visit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/libexec.h"
#include "runtime/cell_pipes.h"
#include "runtime/kubernetes/pod_exec.h"
#include "runtime/kubernetes/pod_setup.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/kubernetes/pod_terminal.h"
#include "runtime/kubernetes/visit_frames.h"
#include "shim/command.h"
#include "shim/kubernetes/command.h"

#define TICK_MS    1000
#define STILL_MS   20000     /* without a byte, before a word is sent */
#define UNREAD_MAX (4 << 20) /* bytes of a stream: more than comes at once */

/* What a stream's reader has not taken yet. Nothing more is asked for before it has. */
struct unread {
    struct buf bytes;
    size_t from;
};

struct visit {
    struct kube_config config;
    json_t *spec;
    bool attach;
    struct pod_exec *exec;
    struct visit_reader reader;
    struct buf out; /* frames that are to be sent */
    struct enter_request head;
    struct cell_pipes pipes; /* stepcell's ends are the visitor's */
    struct unread unread[2]; /* stdout, stderr */
    int terminal;            /* whose size counts, or -1 */
    int in;                  /* what is passed on, or -1 when it has ended */
    size_t window;           /* bytes of it that may be under way */
    int signals;             /* signalfd: SIGWINCH */
    int64_t spoken;          /* when something was sent last */
    bool begun, ended;
    struct visit_frame end;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for a way into the Pod");
}

/* ---- to the Pod ---- */

static bool put(struct visit *visit, enum visit_kind kind, const void *bytes, size_t len,
                struct err *err)
{
    uint8_t frame[VISIT_FRAME_MAX];

    return buf_append(&visit->out, frame, visit_write(kind, bytes, len, frame)) || no_memory(err);
}

static bool put_number(struct visit *visit, enum visit_kind kind, uint32_t number, struct err *err)
{
    uint8_t frame[VISIT_FRAME_MAX];

    return buf_append(&visit->out, frame, visit_write_number(kind, number, frame)) ||
           no_memory(err);
}

static bool flush(struct visit *visit, struct err *err)
{
    struct buf *out = &visit->out;

    while (out->len > 0 && pod_exec_may_write(visit->exec)) {
        size_t piece = out->len < POD_EXEC_WRITE_MAX ? out->len : POD_EXEC_WRITE_MAX;

        if (!pod_exec_write(visit->exec, out->data, piece, err))
            return false;
        out->len -= piece;
        memmove(out->data, out->data + piece, out->len);
        visit->spoken = clock_now();
    }
    return true;
}

static bool put_size(struct visit *visit, struct err *err)
{
    struct winsize size;

    if (visit->terminal < 0 || ioctl(visit->terminal, TIOCGWINSZ, &size) < 0)
        return true;
    return put_number(visit, VISIT_SIZE, (uint32_t)size.ws_row << 16 | size.ws_col, err);
}

/* What is asked for, or that the step's own input comes this way. */
static bool put_request(struct visit *visit, struct err *err)
{
    autobuf request = BUF_INIT(ENTER_SIZE_MAX);
    bool ok = true;

    if (visit->attach)
        return put(visit, VISIT_ATTACH, NULL, 0, err);
    if (lseek(VISIT_REQUEST_FD, 0, SEEK_SET) < 0 ||
        !file_read_fd(VISIT_REQUEST_FD, "the request", &request, ERR_ENGINE_FAILED, err) ||
        request.len < sizeof(visit->head))
        return err_set(err, ERR_ENGINE_FAILED, "the request for the cell is none");
    memcpy(&visit->head, request.data, sizeof(visit->head));
    for (size_t at = 0; ok && at < request.len; at += VISIT_BYTES_MAX)
        ok = put(visit, VISIT_REQUEST, request.data + at,
                 request.len - at < VISIT_BYTES_MAX ? request.len - at : VISIT_BYTES_MAX, err);
    return ok && put(visit, VISIT_ENTER, NULL, 0, err);
}

static bool take_input(struct visit *visit, struct err *err)
{
    char bytes[VISIT_BYTES_MAX];
    size_t room = visit->window < sizeof(bytes) ? visit->window : sizeof(bytes);
    ssize_t n = read(visit->in, bytes, room);

    if (n > 0) {
        visit->window -= (size_t)n;
        return put(visit, VISIT_IN, bytes, (size_t)n, err);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    /* A terminal has none. */
    visit->in = visit->in == VISIT_PEER_FD ? -1 : close_fd(visit->in);
    return visit->terminal >= 0 || put(visit, VISIT_IN_END, NULL, 0, err);
}

/* ---- from the Pod ---- */

/* Whose controlling terminal this end is: of a new size it is told. */
static bool watch_size(struct visit *visit, int terminal, struct err *err)
{
    visit->terminal = terminal;
    return ioctl(terminal, TIOCSCTTY, 0) == 0 || errno == EPERM ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot watch the size of the terminal");
}

static bool make_streams(struct visit *visit, struct err *err)
{
    struct cell_pipes *pipes = &visit->pipes;

    if (!visit->head.terminal)
        return cell_pipes_make(visit->head.pass_stdin, pipes, err);
    return (pod_terminal_make(&visit->head.size, &pipes->out, &pipes->child_out) ||
            err_errno(err, ERR_ENGINE_FAILED, "cannot make a terminal")) &&
           watch_size(visit, pipes->child_out, err);
}

/* The visitor gets the other ends, and what it has of them is its own. */
static bool give_streams(struct visit *visit, struct err *err)
{
    struct cell_pipes *pipes = &visit->pipes;
    const int fds[] = {pipes->out, pipes->err, pipes->in};
    size_t count = visit->head.terminal ? 1 : pipes->in < 0 ? 2 : 3;

    if (!handshake_send_several(VISIT_PEER_FD, MESSAGE_STREAMS, 0, fds, count))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot hand the streams over");
    pipes->out = close_fd(pipes->out);
    pipes->err = close_fd(pipes->err);
    pipes->in = close_fd(pipes->in);
    visit->in = visit->head.terminal ? fcntl(pipes->child_out, F_DUPFD_CLOEXEC, 3)
                                     : TAKE_FD(pipes->child_in);
    return fcntl(pipes->child_out, F_SETFL, O_NONBLOCK) == 0 &&
           (pipes->child_err < 0 || fcntl(pipes->child_err, F_SETFL, O_NONBLOCK) == 0);
}

static bool begin(struct visit *visit, struct err *err)
{
    visit->begun = true;
    if (!visit->attach)
        return make_streams(visit, err) && give_streams(visit, err);
    visit->in = VISIT_PEER_FD;
    if (isatty(VISIT_PEER_FD))
        (void)!watch_size(visit, VISIT_PEER_FD, err);
    return put_size(visit, err);
}

static int *reader_of(struct visit *visit, size_t index)
{
    return index == 0 ? &visit->pipes.child_out : &visit->pipes.child_err;
}

static bool is_unread(const struct unread *unread)
{
    return unread->from < unread->bytes.len;
}

static bool has_unread(const struct visit *visit)
{
    return is_unread(&visit->unread[0]) || is_unread(&visit->unread[1]);
}

/* Who does not read any more is no reason to end; the command learns of it. */
static bool pass_on(struct visit *visit, size_t index, struct err *err)
{
    struct unread *unread = &visit->unread[index];
    int *to = reader_of(visit, index);

    while (*to >= 0 && is_unread(unread)) {
        ssize_t n = write(*to, unread->bytes.data + unread->from, unread->bytes.len - unread->from);

        if (n < 0 && errno == EAGAIN)
            return true;
        if (n > 0) {
            unread->from += (size_t)n;
        } else if (errno != EINTR) {
            *to = close_fd(*to);
            if (!put_number(visit, VISIT_CLOSE, (uint32_t)index + 1, err))
                return false;
        }
    }
    unread->from = unread->bytes.len = 0;
    return true;
}

static bool deliver(struct visit *visit, const struct visit_frame *frame)
{
    size_t index = frame->kind == VISIT_OUT ? 0 : 1;
    struct err ignored;

    return *reader_of(visit, index) < 0 ||
           (buf_append(&visit->unread[index].bytes, frame->bytes, frame->len) &&
            pass_on(visit, index, &ignored));
}

static bool is_end(uint32_t how)
{
    return how == MESSAGE_EXITED || how == MESSAGE_EXEC_FAILED || how == MESSAGE_INIT_FAILED ||
           how == MESSAGE_FILTER_FAILED;
}

static bool take_frame(void *data, const struct visit_frame *frame)
{
    struct visit *visit = data;
    struct err ignored;

    switch (frame->kind) {
    case VISIT_BEGUN:
        return !visit->begun && begin(visit, &ignored);
    case VISIT_OUT:
    case VISIT_ERR:
        return visit->begun && !visit->attach && deliver(visit, frame);
    case VISIT_TAKEN:
        visit->window += frame->number;
        return visit->window <= VISIT_WINDOW;
    case VISIT_ENDED:
        visit->ended = true;
        visit->end = *frame;
        return !visit->attach && is_end(frame->number);
    case VISIT_REQUEST:
    case VISIT_ENTER:
    case VISIT_ATTACH:
    case VISIT_IN:
    case VISIT_IN_END:
    case VISIT_CLOSE:
    case VISIT_SIGNAL:
    case VISIT_SIZE:
    case VISIT_STILL:
    case VISIT_KINDS:
        break;
    }
    return false;
}

static bool take_bytes(void *data, enum pod_stream stream, const void *bytes, size_t len,
                       struct err *err)
{
    struct visit *visit = data;

    if (stream == POD_STDERR || visit->ended)
        return true;
    return visit_reader_feed(&visit->reader, bytes, len) ||
           err_set(err, ERR_ENGINE_FAILED,
                   "stepcell-pod in the Pod says what cannot be understood");
}

/* ---- the visit ---- */

/* False when the visitor is gone. */
static bool hear_visitor(struct visit *visit, struct err *err)
{
    struct message message;
    ssize_t n = recv(VISIT_PEER_FD, &message, sizeof(message), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n != (ssize_t)sizeof(message))
        return err_set(err, ERR_ENGINE_FAILED, "the visitor is gone");
    return message.kind != MESSAGE_SIGNAL ||
           put_number(visit, VISIT_SIGNAL, (uint32_t)message.value, err);
}

static bool hear_signal(struct visit *visit, struct err *err)
{
    struct signalfd_siginfo info;

    while (read(visit->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (!put_size(visit, err))
            return false;
    }
    return true;
}

static bool send_what_waits(struct visit *visit, struct err *err)
{
    bool is_idle = visit->out.len == 0 && clock_now() - visit->spoken > STILL_MS * NS_PER_MS;

    return (!is_idle || put(visit, VISIT_STILL, NULL, 0, err)) && flush(visit, err);
}

static bool turn(struct visit *visit, struct err *err)
{
    bool full = has_unread(visit);
    bool reads = visit->begun && visit->window > 0 && visit->out.len == 0;
    short events = pod_exec_events(visit->exec) & (full ? POLLOUT : POLLIN | POLLOUT);
    struct pollfd polled[] = {
        {events ? pod_exec_fd(visit->exec) : -1, events, 0},
        {visit->signals, POLLIN, 0},
        {visit->attach ? -1 : VISIT_PEER_FD, POLLIN, 0},
        {reads ? visit->in : -1, POLLIN, 0},
        {is_unread(&visit->unread[0]) ? visit->pipes.child_out : -1, POLLOUT, 0},
        {is_unread(&visit->unread[1]) ? visit->pipes.child_err : -1, POLLOUT, 0},
    };

    if (poll(polled, ARRAY_SIZE(polled), TICK_MS) < 0)
        return errno == EINTR || err_errno(err, ERR_ENGINE_FAILED, "cannot wait for the Pod");
    return (!polled[1].revents || hear_signal(visit, err)) &&
           (!polled[2].revents || hear_visitor(visit, err)) &&
           (!polled[3].revents || take_input(visit, err)) &&
           (!polled[4].revents || pass_on(visit, 0, err)) &&
           (!polled[5].revents || pass_on(visit, 1, err)) &&
           (full ? pod_exec_push(visit->exec, err) : pod_exec_work(visit->exec, err));
}

/*
 * Until the command has ended, and all of it is read. A Pod that is gone before ends the exec as
 * well.
 */
static bool carry(struct visit *visit, struct err *err)
{
    int status;

    while (!visit->ended || has_unread(visit)) {
        if (!visit->ended && pod_exec_has_ended(visit->exec, &status)) {
            err_set(err, ERR_ENGINE_FAILED, "the cell ended before the command did");
            return err_hint(err, "with its step, by 'stepcell cancel', or after --keep-for: enter "
                                 "one that 'stepcell ps' lists");
        }
        if (!send_what_waits(visit, err) || !turn(visit, err))
            return false;
    }
    return true;
}

static bool read_spec(struct visit *visit, struct err *err)
{
    autobuf text = BUF_INIT(VISIT_SPEC_MAX);
    struct kube_caller caller;

    if (!file_read_fd(VISIT_SPEC_FD, "the visit", &text, ERR_ENGINE_FAILED, err))
        return false;
    visit->spec = json_parse(text.data, text.len, "the visit", ERR_ENGINE_FAILED, err);
    if (!visit->spec)
        return false;
    visit->attach = json_is_true(json_object_get(visit->spec, "attach"));
    caller = kube_caller_now(json_text(visit->spec, "kubeconfig"));
    return kube_config_find(&caller, json_text(visit->spec, "context"),
                            json_text(visit->spec, "namespace"), &visit->config, err);
}

static bool open_exec(struct visit *visit, struct err *err)
{
    const char *program = json_text(visit->spec, "program");
    const char *const command[] = {program ? program : "", "visit", NULL};
    const struct pod_exec_call call = {
        .pod = json_text(visit->spec, "name"),
        .container = POD_CONTAINER,
        .command = command,
        .has_stdin = true,
        .take = take_bytes,
        .data = visit,
    };

    return pod_exec_open(&visit->config, &call, &visit->exec, err);
}

static bool watch_signals(struct visit *visit, struct err *err)
{
    sigset_t watched;

    signal(SIGPIPE, SIG_IGN);
    /* A terminal whose other end is closed: what there is to tell comes after that. */
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&watched);
    sigaddset(&watched, SIGWINCH);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    visit->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    return visit->signals >= 0 || err_errno(err, ERR_ENGINE_FAILED, "cannot watch signals");
}

/* The streams end before anybody is told of it. */
static void tell(struct visit *visit, bool ok, const struct err *err)
{
    cell_pipes_close(&visit->pipes);
    close_fd(visit->in);
    if (visit->attach) {
        if (!ok && !visit->begun)
            (void)!send(LIBEXEC_CONTROL_FD, err, sizeof(*err), MSG_NOSIGNAL);
    } else if (!ok) {
        handshake_fail(VISIT_PEER_FD, err);
    } else {
        (void)!handshake_send(VISIT_PEER_FD, (enum message_kind)visit->end.number,
                              (int)visit->end.value, -1);
    }
}

int command_visit(int argc, char **argv)
{
    static struct visit visit = {
        .config = KUBE_CONFIG_INIT,
        .pipes = CELL_PIPES_NONE,
        .terminal = -1,
        .in = -1,
        .window = VISIT_WINDOW,
        .unread = {{.bytes = {.max = UNREAD_MAX}}, {.bytes = {.max = UNREAD_MAX}}},
        .out = {.max = ENTER_SIZE_MAX * 2}};
    struct err err = ERR_INIT;
    bool ok;

    (void)argc, (void)argv;
    visit.reader = (struct visit_reader){.take = take_frame, .data = &visit};
    ok = watch_signals(&visit, &err) && read_spec(&visit, &err) && put_request(&visit, &err) &&
         open_exec(&visit, &err) && carry(&visit, &err);
    tell(&visit, ok, &err);
    pod_exec_close(visit.exec);
    kube_config_release(&visit.config);
    json_decref(visit.spec);
    buf_release(&visit.out);
    for (size_t i = 0; i < ARRAY_SIZE(visit.unread); i++)
        buf_release(&visit.unread[i].bytes);
    return ok ? 0 : STATUS_FAILED;
}

/* `stepcell exec`: a command in a cell that runs or is kept (docs/design/keep-and-exec.md). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/signals.h"
#include "runtime/exec_failure.h"
#include "runtime/native/handshake.h"
#include "shim/audit.h"
#include "shim/cells.h"
#include "shim/commands.h"
#include "shim/policy.h"
#include "shim/print.h"
#include "shim/relay/pump.h"
#include "shim/session.h"
#include "shim/state/step_dir.h"
#include "shim/terminal.h"

struct visit {
    const char *store, *id;
    bool interactive, terminal;
    char **words; /* the command */
    size_t word_count;

    struct loop loop;
    struct loop_io io;
    int socket; /* to pid 1 of the cell */
    int streams[HANDSHAKE_FDS_MAX];
    struct pump out, err, in;
    struct terminal own;
    struct exit_record record;
    bool ended;
};

static bool check_terminal(const struct visit *visit, struct err *err)
{
    if (!visit->interactive || !visit->terminal || isatty(STDIN_FILENO))
        return true;
    err_set(err, ERR_OPTION_INVALID, "stdin is no terminal");
    return err_hint(err, "leave -t out, or -i");
}

/* False with the exit status when there is nothing more to do. */
static bool begin(int argc, char **argv, struct visit *visit, int *status)
{
    bool both = false;
    const struct option_spec options[] = {
        {.name = "--interactive",
         .shorthand = "-i",
         .flag = &visit->interactive,
         .help = "pass stdin to the command"},
        {.name = "--tty",
         .shorthand = "-t",
         .flag = &visit->terminal,
         .help = "the command's streams are a terminal"},
        {.name = "-it", .shorthand = "-ti", .flag = &both, .help = "both of them"},
        OPTION("--store", "DIR", &visit->store, "the store that the step was started with"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell exec [OPTIONS] ID [--] COMMAND [ARG...]",
        .about = "Runs a command in a cell that runs or is kept, with the confinement, user,\n"
                 "environment and directory of its step, and ends with the command's exit status.\n"
                 "ID is that of --id, or the one that the result and 'stepcell ps' tell.",
        .missing = "a cell and a command are needed",
        .words_min = 2,
        .words_max = SIZE_MAX,
        .options_first = true,
        .options = options,
    };
    size_t words, first;
    struct err err;

    if (!command_begin(argc, argv, &command, &words, status))
        return false;
    first = strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (words == first) {
        err_set(&err, ERR_OPTION_INVALID, "%s", command.missing);
        err_hint(&err, "name the command behind '--'");
        *status = command_failed(&err);
        return false;
    }
    visit->interactive = visit->interactive || both;
    visit->terminal = visit->terminal || both;
    visit->id = argv[0];
    visit->words = argv + first;
    visit->word_count = words - first;
    return true;
}

static bool find(const struct visit *visit, struct found_cell *cell, struct err *err)
{
    autofree char *store = session_believed_store(visit->store, err);

    if (!store)
        return false;
    if (step_id_is_good(visit->id) && !cells_find(store, visit->id, cell, err))
        return false;
    if (cell->door >= 0)
        return true;
    err_set(err, ERR_OPTION_INVALID, "no cell has the id '%s'", visit->id);
    return err_hint(err, "'stepcell ps' lists those that run or are kept; --keep on-failure "
                         "keeps the cell of a step that fails");
}

/* The policy has judged the cell, and a command gets nothing more; but it is told of. */
static bool is_audited(const struct visit *visit, struct err *err)
{
    autopolicy policy = {0};
    autojson *entry = NULL;
    size_t len = strlen(visit->words[0]);

    if (!policy_load(&policy, err))
        return false;
    if (!policy.audit)
        return true;
    entry = audit_entry(
        visit->id, "allowed",
        json_pack("{s:b, s:o}", "exec", true, "command",
                  json_bytes(visit->words[0], len < AUDIT_TEXT_MAX ? len : AUDIT_TEXT_MAX)));
    return audit_append(policy.audit, entry, err);
}

static bool add_text(struct buf *request, const char *text)
{
    return buf_append(request, text, strlen(text) + 1);
}

/* In memory that pid 1 of the cell reads. */
static int write_request(const struct visit *visit, struct err *err)
{
    const char *type = getenv("TERM");
    struct enter_request head = {.argument_count = (uint32_t)visit->word_count,
                                 .variable_count = visit->terminal,
                                 .terminal = visit->terminal,
                                 .pass_stdin = visit->interactive};
    autofree char *term = text_printf("TERM=%s", type ? type : TERMINAL_TYPE);
    autobuf request = BUF_INIT(ENTER_SIZE_MAX);
    autofd fd = memfd_create("enter", MFD_CLOEXEC);
    bool ok;

    terminal_look(&head.size.rows, &head.size.columns);
    ok = buf_append(&request, &head, sizeof(head));
    for (size_t i = 0; i < visit->word_count; i++)
        ok = ok && add_text(&request, visit->words[i]);
    ok = ok && (!visit->terminal || (term && add_text(&request, term)));
    if (!ok)
        err_set(err, ERR_OPTION_INVALID, "the command is too long");
    else if (fd < 0 || !file_write_all(fd, request.data, request.len))
        err_errno(err, ERR_ENGINE_FAILED, "cannot hand the command to the cell");
    else
        return TAKE_FD(fd);
    return -1;
}

static bool knock(struct visit *visit, const struct found_cell *cell, struct err *err)
{
    autofd request = write_request(visit, err), other = -1;
    int ends[2], fds[2];

    if (request < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a socket");
    visit->socket = ends[0];
    other = ends[1];
    fds[0] = request;
    fds[1] = other;
    return handshake_send_several(cell->door, MESSAGE_ENTER, 0, fds, 2) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot reach the cell");
}

static void check_done(struct visit *visit)
{
    if (visit->ended && visit->out.ended && visit->err.ended)
        loop_stop(&visit->loop);
}

static void input_done(void *data)
{
    struct visit *visit = data;

    visit->streams[2] = close_fd(visit->streams[2]);
}

/* A command whose output nobody takes learns of it as in any pipe. */
static void output_done(void *data)
{
    struct visit *visit = data;
    const struct pump *pumps[] = {&visit->out, &visit->err};

    for (size_t i = 0; i < ARRAY_SIZE(pumps); i++) {
        if (pumps[i]->ended)
            visit->streams[i] = close_fd(visit->streams[i]);
    }
    /* The other name of its terminal. */
    if (visit->terminal) {
        pump_close(&visit->in);
        input_done(visit);
    }
    check_done(visit);
}

static bool start_pumps(struct visit *visit, struct err *err)
{
    int *streams = visit->streams;
    const struct pump_ends out = {.from = streams[0],
                                  .to = STDOUT_FILENO,
                                  .ends_with_sink = true,
                                  .done = output_done,
                                  .data = visit};
    const struct pump_ends errors = {.from = streams[1],
                                     .to = STDERR_FILENO,
                                     .ends_with_sink = true,
                                     .done = output_done,
                                     .data = visit};
    struct pump_ends in = {
        .from = STDIN_FILENO, .to_is_input = true, .done = input_done, .data = visit};

    if (visit->terminal && visit->interactive) {
        streams[2] = fcntl(streams[0], F_DUPFD_CLOEXEC, 3);
        terminal_make_raw(&visit->own, STDIN_FILENO);
    }
    in.to = streams[2];
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++) {
        if (streams[i] >= 0 && fcntl(streams[i], F_SETFL, O_NONBLOCK) < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare the streams");
    }
    visit->out.ended = false;
    visit->err.ended = streams[1] < 0;
    return pump_start(&visit->out, &visit->loop, &out, err) &&
           (streams[1] < 0 || pump_start(&visit->err, &visit->loop, &errors, err)) &&
           (streams[2] < 0 || pump_start(&visit->in, &visit->loop, &in, err));
}

static bool end_visit(struct visit *visit, struct err *err)
{
    visit->ended = true;
    loop_remove(&visit->loop, &visit->io);
    terminal_restore(&visit->own);
    if (!pump_finish(&visit->out, err) || !pump_finish(&visit->err, err))
        return false;
    check_done(visit);
    return true;
}

static bool take_status(struct visit *visit, int status)
{
    visit->record.kind = WIFSIGNALED(status) ? EXIT_SIGNAL : EXIT_STATUS;
    visit->record.value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

static void cannot_start(int number, struct err *err)
{
    if (number == EUSERS) {
        err_set(err, ERR_ENGINE_FAILED, "%d commands run in the cell already", VISITORS_MAX);
        err_hint(err, "wait until one of them ends, or end one");
        return;
    }
    errno = number;
    err_errno(err, ERR_ENGINE_FAILED, "the cell cannot start the command");
}

static bool hear(void *data, uint32_t events, struct err *err)
{
    struct visit *visit = data;
    int fds[HANDSHAKE_FDS_MAX];
    union message_packet packet;
    const struct message *message = &packet.message;
    ssize_t n =
        handshake_receive_several(visit->socket, &packet, sizeof(packet), MSG_DONTWAIT, fds);

    (void)events;
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n < (ssize_t)sizeof(*message) ||
        (size_t)n != (message->kind == MESSAGE_FAILED ? sizeof(packet) : sizeof(*message))) {
        visit->record.kind = EXIT_UNKNOWN;
        err_set(&visit->record.error, ERR_ENGINE_FAILED, "the cell ended before the command did");
        err_hint(&visit->record.error, "with its step, by 'stepcell cancel', or after --keep-for: "
                                       "enter one that 'stepcell ps' lists");
        return end_visit(visit, err);
    }
    switch ((enum message_kind)message->kind) {
    case MESSAGE_STREAMS:
        memcpy(visit->streams, fds, sizeof(fds));
        return start_pumps(visit, err);
    case MESSAGE_EXITED:
        take_status(visit, message->value);
        break;
    case MESSAGE_EXEC_FAILED:
        exec_failure_take(visit->words[0], message->value, false, &visit->record);
        break;
    case MESSAGE_FAILED:
        visit->record.kind = EXIT_FAILED;
        handshake_take_failure(&packet.failure, &visit->record.error);
        break;
    default:
        visit->record.kind = EXIT_FAILED;
        cannot_start(message->value, &visit->record.error);
    }
    return end_visit(visit, err);
}

static bool on_signal(void *data, int signal, struct err *err)
{
    struct visit *visit = data;

    (void)err;
    if (visit->terminal && (signal == SIGWINCH || signal == SIGCONT)) {
        if (visit->own.raw)
            terminal_make_raw(&visit->own, STDIN_FILENO);
        terminal_pass_size(visit->streams[0]);
    } else {
        (void)!handshake_send(visit->socket, MESSAGE_SIGNAL, signal, -1);
    }
    return true;
}

static bool follow_visit(struct visit *visit, struct err *err)
{
    bool ok;

    visit->io = (struct loop_io){visit->socket, hear, visit};
    visit->out.ended = visit->err.ended = true;
    ok = loop_open(&visit->loop, err) && signals_watch(&visit->loop, on_signal, visit, err) &&
         loop_add(&visit->loop, &visit->io, EPOLLIN, err) && loop_run(&visit->loop, err);
    terminal_restore(&visit->own);
    pump_close(&visit->out);
    pump_close(&visit->err);
    pump_close(&visit->in);
    return ok;
}

static int status_of(const struct exit_record *record)
{
    if (record->error.code != ERR_NONE)
        print_err(&record->error);
    return record->kind == EXIT_STATUS   ? record->value
           : record->kind == EXIT_SIGNAL ? 128 + record->value
                                         : STATUS_FAILED;
}

/* A reader that has gone wanted no more: of that the command learns. */
static bool is_delivered(const struct pump *pump)
{
    struct err err;

    if (!pump_was_cut(pump))
        return true;
    errno = pump->sink_errno;
    err_errno(&err, ERR_ENGINE_FAILED, "cannot write the output");
    err_hint(&err, "it is not whole: make room where it goes, or lead it elsewhere");
    print_err(&err);
    return false;
}

int cmd_exec(int argc, char **argv)
{
    struct visit visit = {.loop = LOOP_INIT, .socket = -1, .streams = {-1, -1, -1}};
    autocell cell = FOUND_CELL_INIT;
    struct err err = ERR_INIT;
    bool out, error;
    int status;

    if (!begin(argc, argv, &visit, &status))
        return status;
    /* What is open until the end is the process's. */
    if (!check_terminal(&visit, &err) || !find(&visit, &cell, &err) || !is_audited(&visit, &err) ||
        !knock(&visit, &cell, &err) || !follow_visit(&visit, &err))
        return command_failed(&err);
    status = status_of(&visit.record);
    out = is_delivered(&visit.out);
    error = is_delivered(&visit.err);
    return status == 0 && !(out && error) ? STATUS_FAILED : status;
}

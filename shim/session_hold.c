/* Who comes to a cell while it runs, and the cell that is kept when its step has ended. */
#include "shim/session.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/quote.h"
#include "runtime/native/handshake.h"

#define STORE_WORDS_MAX (8 * PATH_MAX)
#define DOOR_MS         50 /* after the command runs: so long nobody comes, and nothing is paid */

static json_t *masked_text(const struct session *session, const char *text)
{
    autofree char *masked = session_masked(session, text);

    return masked ? json_bytes(masked, strlen(masked)) : json_null();
}

static json_t *command_json(const struct session *session)
{
    json_t *command = json_array();

    for (size_t i = 0; i < session->spec.argv.count; i++)
        json_array_append_new(command, masked_text(session, session->spec.argv.items[i]));
    return command;
}

static json_t *facts(void *data)
{
    const struct session *session = data;
    const struct result *result = &session->result;
    bool kept = result->kept_until[0];
    char started[CLOCK_TEXT_MAX];
    json_t *json;

    clock_text(&session->started, started);
    json = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:i}", "id", session->id, "state",
        kept ? "kept" : "running", "engine", session->engine->name, "image",
        masked_text(session, session->reference.name), "command", command_json(session), "started",
        started, "until", kept ? json_string(result->kept_until) : json_null(), "outcome",
        kept ? json_string(result_outcome_text(result->outcome)) : json_null(), "exit_code",
        kept ? json_integer(result->exit_code) : json_null(), "supervisor", (int)getpid());
    /* A command without an end is not told. */
    if (json && json_dumpb(json, NULL, 0, 0) > DOOR_FACTS_MAX / 2)
        json_object_set_new(json, "command", json_array());
    return json;
}

static void enter(void *data, const int *fds, size_t count)
{
    const struct session *session = data;
    int entry = session->cell ? session->engine->ends(session->cell).entry : -1;

    if (entry >= 0)
        (void)!handshake_send_several(entry, MESSAGE_ENTER, 0, fds, count);
}

static void end(void *data)
{
    (void)data;
    /* Heard by the loop, as from anybody. */
    kill(getpid(), SIGTERM);
}

static void open_door(struct session *session)
{
    const struct door_keeper keeper = {facts, enter, end, session};
    struct err err;

    if (session->door.loop)
        return;
    if (!door_open(&session->door, session->scratch.lock, &session->loop, &keeper, &err))
        session_note(session, "nobody can enter the cell: %s", err.message);
}

static bool open_now(void *data, struct err *err)
{
    (void)err;
    open_door(data);
    return true;
}

void session_open_door(struct session *session)
{
    clock_gettime(CLOCK_REALTIME, &session->started);
    session->door_time = (struct loop_timer){.fire = open_now, .data = session};
    loop_set_timer(&session->loop, &session->door_time, DOOR_MS);
}

bool session_keeps(const struct session *session)
{
    const struct result *result = &session->result;
    bool failed = session->timed_out || result->outcome != OUTCOME_EXITED || result->exit_code != 0;

    return session->engine->exit_record(session->cell)->stays && !session->canceled &&
           (session->options.keep == KEEP_ALWAYS || failed);
}

/* " --store DIR" where the step was told it, else "". Owned; NULL without memory. */
static char *store_words(const struct session *session)
{
    autobuf text = BUF_INIT(STORE_WORDS_MAX);

    if (!session->options.store)
        return strdup("");
    return buf_append_text(&text, " --store ") && quote_shell(&text, session->store.path)
               ? buf_take(&text)
               : NULL;
}

void session_keep(struct session *session)
{
    struct result *result = &session->result;
    uint64_t ms = session->options.keep_for_ms;
    struct timespec until;
    autofree char *text = NULL, *store = store_words(session);
    const char *with = store ? store : "";

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ms / 1000);
    clock_text(&until, result->kept_until);
    text = text_printf("the cell, which is kept until %s", result->kept_until);
    if (text)
        strv_add(&result->left, text);
    result->cleanup_verified = false;
    session->deadline = clock_now() + (int64_t)ms * NS_PER_MS;
    open_door(session);
    session_note(session,
                 "the cell is kept until %s: 'stepcell exec%s -it %s -- sh' enters it, 'stepcell "
                 "cancel%s %s' ends it",
                 result->kept_until, with, session->id, with, session->id);
}

static bool kept_cell_moves(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    enum cell_event event;

    (void)events;
    if (!session->engine->handle(session->cell, &event, err))
        return false;
    if (event == CELL_ENDED)
        loop_stop(&session->loop);
    return true;
}

static bool deadline_is_over(void *data, struct err *err)
{
    struct session *session = data;

    (void)err;
    loop_stop(&session->loop);
    return true;
}

/* Nothing of the caller's is held for the sake of a cell, and nobody waits for its end. */
static void detach(struct session *session)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    close_fd(null);
    (void)!chdir("/");
    result_close(&session->result_place);
    session->events.target = NULL;
    session->events.log = close_fd(session->events.log);
    sink_close(&session->target);
    /* Whoever wants to forget the step does not wait for the cell. */
    step_dir_close(&session->dir);
}

void session_hold(struct session *session)
{
    struct loop_timer deadline = {.fire = deadline_is_over, .data = session};
    int64_t left = session->deadline - clock_now();
    struct err ignored;

    detach(session);
    session->holding = true;
    session->cell_io = (struct loop_io){session->ends.events, kept_cell_moves, session};
    loop_set_timer(&session->loop, &deadline, left > 0 ? (uint64_t)(left / NS_PER_MS) : 0);
    if (loop_add(&session->loop, &session->cell_io, EPOLLIN, &ignored))
        (void)!loop_run(&session->loop, &ignored);
    session->holding = false;
    loop_clear_timer(&session->loop, &deadline);
    /* Which the cell was. */
    strv_release(&session->result.left);
    session_clean_up(session);
}

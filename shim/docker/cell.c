/* `cell`: one container, as stepcell asks for it over a socket. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/docker/container.h"
#include "runtime/docker/daemon_channel.h"
#include "runtime/docker/join_setup.h"
#include "shim/command.h"
#include "shim/docker/command.h"

#define TRIES_PAUSE_MS 100
#define REMOVE_MS      60000 /* that a container takes to go, at the most */

struct container {
    const char *engine, *name;
    char *id; /* NULL while the daemon has told none */
    struct endpoint endpoint;
    struct client *client; /* NULL while the daemon cannot be reached */
    bool created;
};

static void tell(enum daemon_message_kind kind, int value, bool oom_killed, const struct err *err)
{
    struct daemon_message message = {.kind = kind, .value = value, .oom_killed = oom_killed};

    if (err)
        message.err = *err;
    (void)!send(DAEMON_CONTROL_FD, &message, sizeof(message), MSG_NOSIGNAL);
}

static bool reach(struct container *container, struct err *err)
{
    return container->client || client_open(container->engine, &container->endpoint,
                                            CLIENT_STALL_MS, &container->client, err);
}

/*
 * One call about the container, by its id where that is known: the name is anybody's to change.
 * After a failure the next one connects anew.
 */
static bool call(struct container *container, const char *method, const char *what,
                 struct client_answer *answer, struct err *err)
{
    autofree char *path =
        text_printf("/containers/%s%s", container->id ? container->id : container->name, what);
    const struct client_call one = {.method = method, .path = path};

    if (!path)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    if (!reach(container, err))
        return false;
    if (client_call(container->client, &one, answer, err))
        return true;
    client_close(container->client);
    container->client = NULL;
    return false;
}

/* What the daemon says against a container of ours, and what that means. */
static bool refused(const struct container *container, const struct client_answer *answer,
                    const char *what, struct err *err)
{
    static const struct {
        const char *text;
        enum err_code code;
        const char *hint;
    } causes[] = {
        {"bind source path does not exist", ERR_MOUNT_DENIED,
         "the daemon sees other files than this host, or runs on another one"},
        {JOIN_DIR "/" JOIN_PROGRAM, ERR_MOUNT_DENIED,
         "the daemon sees other files than this host, or the scratch directory may hold no "
         "programs"},
        {"no space left on device", ERR_STORE_FULL, "make room where the daemon keeps its data"},
        {"o such image", ERR_IMAGE_NOT_FOUND, "somebody removed it meanwhile; call again"},
    };
    char message[ANSWER_MESSAGE_MAX];

    answer_message(answer->json, message);
    client_refused(container->client, answer, ERR_ENGINE_FAILED, what, err);
    for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
        if (strstr(message, causes[i].text)) {
            err->code = causes[i].code;
            return err_hint(err, "%s", causes[i].hint);
        }
    }
    return false;
}

static bool create(struct container *container, const json_t *body, struct err *err)
{
    autofree char *path = text_printf("/containers/create?name=%s", container->name);
    const struct client_call one = {.method = "POST", .path = path, .content = body};
    autoanswer answer = {0};
    const char *id;

    if (!path)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    if (!reach(container, err))
        return false;
    /* Whatever it answers, and be it nothing: from here on there may be one. */
    container->created = true;
    if (!client_call(container->client, &one, &answer, err))
        return false;
    if (answer.status != 201)
        return refused(container, &answer, "create a container", err);
    id = answer_container_id(answer.json, err);
    container->id = id ? strdup(id) : NULL;
    return id && (container->id || err_set(err, ERR_ENGINE_FAILED, "not enough memory"));
}

/* A limit that is not enforced is an error, and not a daemon's to leave out. */
static bool check_limits(struct container *container, const json_t *body, struct err *err)
{
    autoanswer answer = {0};
    const char *option;

    if (!call(container, "GET", "/json", &answer, err))
        return false;
    if (answer.status != 200)
        return refused(container, &answer, "tell how the container is", err);
    option = answer_limit_missing(answer.json, json_object_get(body, "HostConfig"));
    if (!option)
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE, "%s cannot be enforced by %s as it runs here", option,
            container->engine);
    return err_hint(err, "an ordinary user's daemon needs cgroups of version 2 with the controller "
                         "delegated; or use --engine native");
}

static bool start(struct container *container, struct err *err)
{
    autoanswer answer = {0};

    return call(container, "POST", "/start", &answer, err) &&
           (answer.status == 204 || refused(container, &answer, "start a container", err));
}

static bool inspect(struct container *container, struct daemon_state *state, struct err *err)
{
    autoanswer answer = {0};

    if (!call(container, "GET", "/json", &answer, err))
        return false;
    if (answer.status == 404)
        return err_set(err, ERR_ENGINE_FAILED, "somebody has removed the container of the step");
    if (answer.status != 200)
        return client_refused(container->client, &answer, ERR_ENGINE_FAILED,
                              "tell how the container is", err);
    return answer_state(answer.json, state, err);
}

/* Whether it does not run, which is said then. */
static void look(struct container *container)
{
    struct daemon_state state;
    struct err ignored;

    if (inspect(container, &state, &ignored) && !state.running)
        tell(DAEMON_STOPPED, state.exit_code, state.oom_killed, NULL);
}

/* Its exit code counts when it has been said twice. */
static bool wait_for_end(struct container *container, struct daemon_state *state, struct err *err)
{
    autoanswer answer = {0};
    int code;

    if (!call(container, "POST", "/wait?condition=not-running", &answer, err))
        return false;
    if (answer.status != 200)
        return client_refused(container->client, &answer, ERR_ENGINE_FAILED,
                              "tell how the container ended", err);
    if (!answer_wait(answer.json, &code, err) || !inspect(container, state, err))
        return false;
    return (!state->running && state->exit_code == code) ||
           err_set(err, ERR_ENGINE_FAILED, "%s does not agree with itself on how the step ended",
                   container->engine);
}

/* A daemon that is being started again comes back in a moment. */
static void await_end(struct container *container)
{
    int64_t deadline = clock_now() + DAEMON_PATIENCE_MS / 2 * NS_PER_MS;
    struct daemon_state state;
    struct err err, ignored;

    while (!wait_for_end(container, &state, &err)) {
        if (container->client || clock_now() > deadline) {
            tell(DAEMON_LOST, reach(container, &ignored), false, &err);
            return;
        }
        clock_sleep(TRIES_PAUSE_MS);
    }
    tell(DAEMON_ENDED, state.exit_code, state.oom_killed, NULL);
}

static void send_signal(struct container *container, int number)
{
    autofree char *what = text_printf("/kill?signal=%d", number);
    autoanswer answer = {0};
    struct err ignored;

    /* One that does not run any more, or not yet, has no use for it. */
    if (what)
        (void)!call(container, "POST", what, &answer, &ignored);
}

static bool is_gone(struct container *container, struct err *err)
{
    autoanswer answer = {0};

    if (!call(container, "GET", "/json", &answer, err))
        return false;
    return answer.status == 404 ||
           err_set(err, ERR_ENGINE_FAILED, "%s has not removed the container '%s'",
                   container->engine, container->name);
}

static bool ask_to_remove(struct container *container, struct err *err)
{
    autoanswer answer = {0};

    return call(container, "DELETE", "?v=1&force=1", &answer, err) &&
           (answer.status == 204 || answer.status == 404 ||
            client_refused(container->client, &answer, ERR_ENGINE_FAILED, "remove a container",
                           err));
}

/* With its anonymous volumes. */
static bool remove_container(struct container *container, struct err *err)
{
    int64_t deadline = clock_now() + REMOVE_MS * NS_PER_MS;

    if (!container->created)
        return true;
    while (!ask_to_remove(container, err) || !is_gone(container, err)) {
        if (clock_now() > deadline)
            return false;
        clock_sleep(TRIES_PAUSE_MS);
    }
    return true;
}

/* False when stepcell is gone. */
static bool next_wish(struct daemon_message *message)
{
    ssize_t n;

    do
        n = recv(DAEMON_CONTROL_FD, message, sizeof(*message), 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(*message);
}

static int finish(struct container *container)
{
    struct err err;

    if (remove_container(container, &err))
        tell(DAEMON_REMOVED, 0, false, NULL);
    else
        tell(DAEMON_LEFT, 0, false, &err);
    return 0;
}

static int serve(struct container *container)
{
    struct daemon_message wish;

    while (next_wish(&wish)) {
        switch ((enum daemon_message_kind)wish.kind) {
        case DAEMON_SIGNAL:
            send_signal(container, wish.value);
            break;
        case DAEMON_LOOK:
            look(container);
            break;
        case DAEMON_AWAIT:
            await_end(container);
            break;
        default:
            return finish(container);
        }
    }
    return finish(container);
}

static bool has_limits(const json_t *body)
{
    return answer_limit_missing(NULL, json_object_get(body, "HostConfig")) != NULL;
}

static bool run(struct container *container, const json_t *request, struct err *err)
{
    const struct endpoint_caller caller = endpoint_caller_now();
    const json_t *body = json_object_get(request, "body");

    container->engine = json_text(request, "engine");
    container->name = json_text(request, "name");
    if (!container->engine || !container->name || !body)
        return err_set(err, ERR_ENGINE_FAILED, "the request of stepcell is not complete");
    return endpoint_find(container->engine, json_text(request, "host"), &caller,
                         &container->endpoint, err) &&
           create(container, body, err) &&
           (!has_limits(body) || check_limits(container, body, err)) && start(container, err);
}

int command_cell(int argc, char **argv)
{
    struct container container = {0};
    autobuf text = BUF_INIT(DAEMON_REQUEST_MAX);
    autojson *request = NULL;
    struct err err;
    int status;

    (void)argc, (void)argv;
    if (file_read_fd(DAEMON_REQUEST_FD, "the request", &text, ERR_ENGINE_FAILED, &err))
        request = json_parse(text.data, text.len, "the request", ERR_ENGINE_FAILED, &err);
    if (request && run(&container, request, &err)) {
        tell(DAEMON_STARTED, 0, false, NULL);
        /* While there is nothing else to do. */
        sweep_containers(container.client, NULL);
    } else {
        tell(DAEMON_FAILED, 0, false, &err);
    }
    status = serve(&container);
    client_close(container.client);
    endpoint_release(&container.endpoint);
    free(container.id);
    return status;
}

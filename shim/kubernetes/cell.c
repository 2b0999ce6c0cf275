/* `cell`: one Pod, as stepcell asks for it over a socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "runtime/kubernetes/pod_channel.h"
#include "runtime/kubernetes/pod_exec.h"
#include "runtime/kubernetes/pod_spec.h"
#include "shim/command.h"
#include "shim/kubernetes/collect.h"
#include "shim/kubernetes/command.h"
#include "shim/kubernetes/pull.h"
#include "shim/kubernetes/signals.h"
#include "shim/kubernetes/visit.h"
#include "shim/kubernetes/watch.h"

#define TICK_MS       1000
#define BEGIN_MS      60000 /* that no node may take a step, or mount its volumes */
#define RETRY_MS      30000 /* that a kubelet may try to make a container */
#define STUCK_LOOK_MS 5000  /* between two looks at what keeps it from that */
#define KILL_MS       5000  /* that a kubelet may take to kill what it has been told to end */
#define LOST_MS       30000 /* that one may take beside the grace of a Pod that was deleted */
#define SETTLE_MS     30000 /* that one may take to see that a command has ended */
#define INPUT_MS      2000  /* that the log may take to tell why nobody comes in */
#define BEGINNING_MS  3000  /* that one may take to see that it has begun */
#define NOTE_MS       5000  /* without an answer, before that is told */

struct cell {
    json_t *request;
    struct kube_config config;
    struct objects objects;
    struct sight sight;
    struct collect collect; /* of what comes back, where something does */
    bool returns;
    bool collects; /* it has begun to */
    struct visits visits;
    int nowhere;            /* what takes the places of the streams when they end */
    bool stays;             /* when its command has ended */
    bool brings_input;      /* which is not attached yet */
    bool absence_told;      /* of one that stays */
    struct err input_error; /* why it does not come, */
    int64_t input_by;       /* which is told then; or 0 */
    bool identified;        /* the Pod whose log was read again, or it is */
    bool is_another;        /* than the step's */
    bool told;              /* how it ended, or that it does not run */
    int64_t wants_end;      /* clock_now() when TERM was wanted; or 0 */
    bool asked_end;         /* and was asked for */
    bool asked_kill;        /* the Pod's deletion was */
    int64_t kill_at;        /* it will be, then; or 0 */
    int64_t made_at;        /* clock_now() */
    int64_t retried_since;  /* when a container could not be made first; or 0 */
    int64_t looked_at;      /* when the events were */
    int64_t asked_at;       /* clock_now() */
    bool silence_noted;
    struct signals signals;
    int64_t gone_by; /* a Pod that others have deleted should be gone then; or 0 */
};

static void tell(const struct pod_message *message)
{
    (void)!send(POD_CONTROL_FD, message, sizeof(*message), MSG_NOSIGNAL);
}

static void tell_err(enum pod_message_kind kind, const struct err *err)
{
    struct pod_message message = {.kind = kind, .err = *err};

    tell(&message);
}

/*
 * The readers of the streams see their ends before they are told of the step's. The log may still
 * be read: what comes of it then goes nowhere, and never into what would be opened in these places.
 */
static void close_streams(const struct cell *cell)
{
    static const int ends[] = {POD_OUT_FD, POD_ERR_FD, POD_VAR_FD};

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        (void)!dup3(cell->nowhere, ends[i], O_CLOEXEC);
}

static void tell_trouble(struct cell *cell, enum pod_message_kind kind, struct err *err)
{
    objects_add_events(&cell->objects, err);
    close_streams(cell);
    tell_err(kind, err);
    cell->told = true;
}

static bool deleted_by_others(const struct cell *cell, const struct pod_state *state)
{
    return state->deleted && !cell->asked_kill;
}

static void explain_deletion(struct err *err)
{
    err_set(err, ERR_POD_DELETED, "somebody has deleted the Pod of the step");
}

static bool start_thread(void *(*function)(void *), void *data, struct err *err)
{
    pthread_t thread;

    errno = pthread_create(&thread, NULL, function, data);
    if (errno)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot watch the Pod of the step");
    pthread_detach(thread);
    return true;
}

/*
 * The command has ended by itself: what it has changed is fetched before anybody hears of its
 * success. True when that is done, however.
 */
static bool has_collected(struct cell *cell)
{
    const struct pod_message exited = {.kind = POD_EXITED};
    struct collect *collect = &cell->collect;
    struct sight *sight = &cell->sight;
    bool done;

    pthread_mutex_lock(&sight->lock);
    done = !cell->returns || sight->failed;
    pthread_mutex_unlock(&sight->lock);
    if (done)
        return true;
    if (!cell->collects) {
        cell->collects = true;
        collect->all = cell->objects.attached;
        collect->program = json_text(cell->request, "program");
        tell(&exited);
        if (!start_thread(collect_changes, collect, &collect->err))
            collect->done = true;
    }
    pthread_mutex_lock(&sight->lock);
    done = collect->done;
    pthread_mutex_unlock(&sight->lock);
    return done;
}

static void tell_end(struct cell *cell, struct pod_message *message)
{
    if (cell->collects) {
        message->returned = cell->collect.err.code == ERR_NONE;
        message->of_another = cell->collect.all;
        message->err = cell->collect.err;
    }
    close_streams(cell);
    tell(message);
    cell->told = true;
}

static void explain(const struct cell *cell, const struct pod_state *state, struct err *err)
{
    pod_state_explain(state, err);
    if ((state->trouble == POD_NO_CONTAINER || state->trouble == POD_RETRIED) &&
        cell->objects.modern)
        err_hint(err, "where the nodes have no image volumes, say \"image_volumes\": false of "
                      "'kubernetes' in config.json; --verbose shows what the node says");
}

/* Its log has been read to the end: what of it is to be believed. */
static void take_log(struct cell *cell, const struct pod_state *state)
{
    const struct sight *sight = &cell->sight;
    const struct frame *end = &sight->end;
    struct pod_message message = {.kind = POD_ENDED,
                                  .value = end->value,
                                  .is_signal = end->is_signal,
                                  .oom_killed = end->oom_killed || state->oom_killed};
    struct err err = sight->log_error;

    /* A command that was told to end, or killed, by what befell its Pod has not ended by itself. */
    if (sight->has_end && !cell->is_another &&
        !((sight->asked || end->is_signal) &&
          (state->trouble == POD_EVICTED || deleted_by_others(cell, state)))) {
        if (has_collected(cell))
            tell_end(cell, &message);
        return;
    }
    if (state->trouble != POD_FINE)
        explain(cell, state, &err);
    else if (deleted_by_others(cell, state))
        explain_deletion(&err);
    /* Nobody knows how far one came that was evicted before it was looked at. */
    if (state->begun || state->trouble == POD_EVICTED) {
        objects_add_events(&cell->objects, &err);
        close_streams(cell);
        message = (struct pod_message){
            .kind = POD_LOST_CONTACT, .oom_killed = state->oom_killed, .err = err};
        tell(&message);
        cell->told = true;
    } else {
        tell_trouble(cell, POD_FAILED, &err);
    }
}

/* Whether what keeps a step from beginning may pass. */
static bool may_pass(struct cell *cell, enum pod_trouble trouble)
{
    int64_t now = clock_now();

    switch (trouble) {
    case POD_FINE:
    case POD_UNSCHEDULABLE:
        return now - cell->made_at < BEGIN_MS * NS_PER_MS;
    case POD_RETRIED:
        if (!cell->retried_since)
            cell->retried_since = now;
        return now - cell->retried_since < RETRY_MS * NS_PER_MS;
    case POD_NO_IMAGE:
    case POD_NO_CONTAINER:
    case POD_INIT_FAILED:
    case POD_EVICTED:
    case POD_LOST:
    case POD_NO_MEMORY:
        break;
    }
    return false;
}

/* By the events of this very Pod: one of the same name may have been there before. */
static bool lacks_path(const struct cell *cell, const struct pod_state *state)
{
    autofree char *behind =
        text_printf("?fieldSelector=involvedObject.uid%%3D%s&limit=50", state->uid);
    autofree char *path = behind ? objects_path(&cell->objects, "events", behind) : NULL;
    const struct kube_call one = {.path = path, .once = true};
    autokubeanswer answer = {0};
    struct err ignored;

    return path && kube_call(cell->objects.client, &one, &answer, &ignored) &&
           pod_events_lack_path(answer.json);
}

/* What a kubelet tries again and again is no state of a Pod: its events alone tell. */
static bool is_stuck(struct cell *cell, const struct pod_state *state, struct err *err)
{
    struct pod_state told = *state;

    if (clock_now() - cell->looked_at < STUCK_LOOK_MS * NS_PER_MS)
        return false;
    cell->looked_at = clock_now();
    if (lacks_path(cell, state)) {
        err_set(err, ERR_MOUNT_CONFLICT,
                "a path that the step mounts is not on its node, or is "
                "something else there");
        err_hint(err, "each node that may take the step has to have the same there; --verbose "
                      "names the path");
        return true;
    }
    if (may_pass(cell, POD_FINE) || !objects_are_stuck(&cell->objects))
        return false;
    told.trouble = POD_NO_CONTAINER;
    explain(cell, &told, err);
    return true;
}

/* What keeps a step from beginning. */
static void take_trouble(struct cell *cell, const struct pod_state *state)
{
    struct err err;

    /* One that is about to be evicted may have begun without its kubelet having said so. */
    if (state->begun || (state->trouble == POD_EVICTED && !state->finished))
        return;
    if (state->trouble == POD_FINE) {
        if (!is_stuck(cell, state, &err))
            return;
    } else {
        if (may_pass(cell, state->trouble))
            return;
        explain(cell, state, &err);
    }
    cell->objects.never_begun = true;
    tell_trouble(cell, POD_FAILED, &err);
}

/* Once, and again when it has answered meanwhile. */
static void note_silence(struct cell *cell, const struct err *why)
{
    struct err note;

    if (cell->silence_noted)
        return;
    cell->silence_noted = true;
    err_set(&note, why->code, "%s; it is asked again for two minutes", why->message);
    tell_err(POD_NOTE, &note);
}

/* Before the Pod is made, and while it is removed. */
static void hear_retry(void *data, const struct err *why)
{
    struct cell *cell = data;

    if (clock_now() - cell->asked_at > NOTE_MS * NS_PER_MS)
        note_silence(cell, why);
}

/* Who gives no word any more. */
static void take_silence(struct cell *cell, const struct pod_state *state, int64_t silent_since)
{
    struct err err;

    pthread_mutex_lock(&cell->sight.lock);
    err = cell->sight.no_contact;
    pthread_mutex_unlock(&cell->sight.lock);
    if (!silent_since)
        cell->silence_noted = false;
    else if (clock_now() - silent_since > NOTE_MS * NS_PER_MS)
        note_silence(cell, &err);
    if (silent_since && clock_now() - silent_since > KUBE_PATIENCE_MS * NS_PER_MS) {
        close_streams(cell);
        tell_err(POD_LOST_CONTACT, &err);
        cell->told = true;
        return;
    }
    if (!state->deleted || cell->asked_kill)
        return;
    if (!cell->gone_by)
        cell->gone_by = clock_now() + (cell->objects.grace_s * 1000 + LOST_MS) * NS_PER_MS;
    if (clock_now() < cell->gone_by)
        return;
    err_set(&err, ERR_POD_NODE_LOST,
            "the node of the step is lost: its Pod was deleted, and the node does not say that it "
            "has ended");
    cell->objects.node_lost = true;
    tell_trouble(cell, POD_LOST_CONTACT, &err);
}

/* A Pod that stays may go by itself, or by others. */
static void take_absence(struct cell *cell, const struct pod_state *state)
{
    const struct pod_message message = {.kind = POD_GONE};

    if (cell->absence_told || (!state->ended && !state->finished && !state->deleted))
        return;
    cell->absence_told = true;
    tell(&message);
}

static void bring_input(struct cell *cell)
{
    struct err err;

    cell->brings_input = false;
    if (!visits_attach(&cell->visits, cell->request, POD_IN_FD, &err))
        tell_trouble(cell, POD_FAILED, &err);
    close(POD_IN_FD);
}

/* Whoever brings the input could not; of what has begun pid 1 says it. */
static void hear_input(struct cell *cell)
{
    ssize_t n = recv(cell->visits.control, &cell->input_error, sizeof(struct err), MSG_DONTWAIT);

    if (n < 0)
        return;
    if (n == (ssize_t)sizeof(struct err))
        cell->input_by = clock_now() + INPUT_MS * NS_PER_MS;
    close(cell->visits.control);
    cell->visits.input = 0;
}

/* One that pid 1 has refused has no way in, either: its own word comes first. */
static void take_input_error(struct cell *cell)
{
    if (cell->input_by && clock_now() > cell->input_by)
        tell_trouble(cell, POD_FAILED, &cell->input_error);
}

static void admit(struct cell *cell)
{
    int fds[HANDSHAKE_FDS_MAX];
    struct message message;
    ssize_t n =
        handshake_receive_several(POD_ENTRY_FD, &message, sizeof(message), MSG_DONTWAIT, fds);

    if (n == (ssize_t)sizeof(message) && message.kind == MESSAGE_ENTER && fds[0] >= 0 &&
        fds[1] >= 0)
        visits_admit(&cell->visits, cell->request, TAKE_FD(fds[0]), TAKE_FD(fds[1]));
    for (size_t i = 0; i < HANDSHAKE_FDS_MAX; i++)
        close_fd(fds[i]);
}

/* Whose log it was that has been read by several connections. */
static void identify(struct cell *cell, const char *uid)
{
    if (cell->identified)
        return;
    cell->identified = true;
    cell->is_another = objects_is_another(&cell->objects, uid);
}

static void look(struct cell *cell)
{
    struct sight *sight = &cell->sight;
    struct pod_state state;
    int64_t silent_since;
    bool read, reread;

    pthread_mutex_lock(&sight->lock);
    state = sight->state;
    state.deleted |= sight->gone;
    read = sight->read;
    reread = sight->reread;
    silent_since = sight->silent_since;
    pthread_mutex_unlock(&sight->lock);
    if (read && reread)
        identify(cell, state.uid);
    state.deleted |= cell->is_another;
    if (!cell->told && read)
        take_log(cell, &state);
    if (!cell->told && !cell->collects)
        take_trouble(cell, &state);
    if (!cell->told && !cell->collects)
        take_silence(cell, &state, silent_since);
    if (cell->told && cell->stays)
        take_absence(cell, &state);
    if (!cell->told && state.begun && cell->brings_input)
        bring_input(cell);
    if (!cell->told && state.begun)
        signals_pass(&cell->signals);
    if (!cell->told)
        take_input_error(cell);
}

static void kill_pod(struct cell *cell)
{
    struct err ignored;

    cell->kill_at = 0;
    cell->asked_kill = true;
    cell->asked_at = clock_now();
    (void)objects_delete_pod(&cell->objects, false, &ignored);
}

static bool asks_to_end(int number)
{
    return number == SIGTERM || number == SIGINT;
}

static void take_signal(struct cell *cell, int number)
{
    if (!cell->objects.has_pod)
        return;
    if (number == SIGKILL && cell->wants_end)
        /* The kubelet does the same in this very moment, and says so. */
        cell->kill_at = clock_now() + KILL_MS * NS_PER_MS;
    else if (number == SIGKILL)
        kill_pod(cell);
    else if (asks_to_end(number) && !cell->wants_end)
        cell->wants_end = clock_now();
    else if (!asks_to_end(number))
        signals_add(&cell->signals, number);
}

/* Whether a command may run of which its kubelet does not know. */
static bool is_beginning(const struct sight *sight)
{
    return !sight->has_end && !sight->state.begun && !sight->state.finished &&
           !sight->state.deleted && !sight->gone && !sight->silent_since &&
           sight->state.trouble == POD_FINE;
}

/*
 * A kubelet that has not seen yet that the container runs takes its Pod for ended and lets the
 * container go on: so TERM waits until it says so. Of a Pod that does not begin meanwhile nobody
 * knows whether it is about to.
 */
static void end_command(struct cell *cell)
{
    bool waits = clock_now() - cell->wants_end < BEGINNING_MS * NS_PER_MS;
    struct sight *sight = &cell->sight;
    struct err ignored;
    bool begun;

    cell->asked_at = clock_now();
    pthread_mutex_lock(&sight->lock);
    begun = sight->state.begun;
    waits = sight->silent_since || (waits && is_beginning(sight));
    pthread_mutex_unlock(&sight->lock);
    if (begun)
        cell->asked_end = objects_end_command(&cell->objects, &ignored);
    else if (!waits)
        cell->asked_end = cell->asked_kill = objects_delete_pod(&cell->objects, true, &ignored);
}

/* Whether a command is known to have ended that the API still shows as running. */
static bool is_settling(const struct sight *sight)
{
    return sight->has_end && !sight->state.finished && !sight->state.deleted && !sight->gone;
}

/* Waits as long as it is so, for `limit_ms` at the most. */
static void outwait(struct sight *sight, bool (*is_so)(const struct sight *sight), int limit_ms)
{
    struct pollfd polled = {sight->wake, POLLIN, 0};
    int64_t deadline = clock_now() + limit_ms * NS_PER_MS;
    eventfd_t count;
    bool goes_on = true;

    while (goes_on && clock_now() < deadline) {
        pthread_mutex_lock(&sight->lock);
        goes_on = is_so(sight);
        pthread_mutex_unlock(&sight->lock);
        if (goes_on && poll(&polled, 1, TICK_MS) > 0)
            (void)!eventfd_read(sight->wake, &count);
    }
}

/* Pid 1 does not end as long as it has something to give back. */
static bool holds_changes(struct cell *cell)
{
    struct sight *sight = &cell->sight;
    bool holds;

    pthread_mutex_lock(&sight->lock);
    holds = cell->collects && (!cell->collect.done || cell->collect.err.code != ERR_NONE);
    pthread_mutex_unlock(&sight->lock);
    return holds;
}

/*
 * A kubelet looks once a second. A Pod that is deleted once it has seen the end is gone in the same
 * moment; one that is deleted before may stay for many seconds. And of one that is deleted before
 * it has seen the beginning the command is killed without a word.
 */
static int finish(struct cell *cell)
{
    struct pod_message message = {.kind = POD_REMOVED};
    struct err err;
    bool gently;

    /* Its first process goes on until it is asked to end. */
    if (cell->stays && is_settling(&cell->sight))
        (void)objects_end_command(&cell->objects, &err);
    if (!holds_changes(cell))
        outwait(&cell->sight, is_settling, SETTLE_MS);
    if (cell->objects.has_pod && !cell->told && !cell->asked_kill)
        outwait(&cell->sight, is_beginning, BEGINNING_MS);
    /* A command that is not known to have ended may have begun, and gets the time that it has. */
    pthread_mutex_lock(&cell->sight.lock);
    gently = !cell->sight.has_end && !cell->asked_kill;
    pthread_mutex_unlock(&cell->sight.lock);
    cell->asked_kill = true;
    cell->asked_at = clock_now();
    if (objects_remove(&cell->objects, gently, &err))
        tell(&message);
    else
        tell_err(POD_LEFT, &err);
    return 0;
}

/* False when the cell is to be removed. */
static bool take_wish(struct cell *cell)
{
    struct pod_message wish;
    ssize_t n = recv(POD_CONTROL_FD, &wish, sizeof(wish), 0);

    if (n < 0 && errno == EINTR)
        return true;
    if (n != (ssize_t)sizeof(wish) || wish.kind != POD_SIGNAL)
        return false;
    take_signal(cell, wish.value);
    return true;
}

static int serve(struct cell *cell)
{
    eventfd_t count;

    for (;;) {
        struct pollfd polled[] = {{POD_CONTROL_FD, POLLIN, 0},
                                  {cell->sight.wake, POLLIN, 0},
                                  {POD_ENTRY_FD, POLLIN, 0},
                                  {cell->visits.input ? cell->visits.control : -1, POLLIN, 0}};

        if (poll(polled, ARRAY_SIZE(polled), TICK_MS) < 0 && errno != EINTR)
            return finish(cell);
        if (polled[0].revents && !take_wish(cell))
            return finish(cell);
        if (polled[1].revents)
            (void)!eventfd_read(cell->sight.wake, &count);
        if (polled[2].revents & POLLIN)
            admit(cell);
        if (polled[3].revents)
            hear_input(cell);
        visits_reap(&cell->visits);
        if (cell->made_at)
            look(cell);
        if (cell->wants_end && !cell->asked_end)
            end_command(cell);
        if (cell->kill_at && clock_now() > cell->kill_at)
            kill_pod(cell);
    }
}

static bool start_threads(struct cell *cell, struct err *err)
{
    void *(*const functions[])(void *) = {watch_pod, follow_log};

    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        if (!start_thread(functions[i], &cell->sight, err))
            return false;
    }
    return start_thread(sweep_abandoned, &cell->config, err);
}

/* A signal that ends nothing waits for the command. */
static bool is_for_command(const struct pod_message *wish)
{
    return wish->kind == POD_SIGNAL && wish->value != SIGKILL && !asks_to_end(wish->value);
}

/* Who waits for a server that does not answer can still be told to end. */
static bool is_spoken_to(void *data)
{
    struct cell *cell = data;
    struct pod_message wish;
    ssize_t n;

    if (cell->made_at || cell->told)
        return false;
    while ((n = recv(POD_CONTROL_FD, &wish, sizeof(wish), MSG_PEEK | MSG_DONTWAIT)) ==
               (ssize_t)sizeof(wish) &&
           is_for_command(&wish)) {
        (void)!recv(POD_CONTROL_FD, &wish, sizeof(wish), MSG_DONTWAIT);
        signals_add(&cell->signals, wish.value);
    }
    return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* For who goes in by the API's exec. Another worker may have made the Pod in another way. */
static bool name_program(struct cell *cell, struct err *err)
{
    const char *program = cell->sight.state.program;

    return (program && json_object_set_new(cell->request, "program", json_string(program)) == 0) ||
           err_set(err, ERR_ENGINE_FAILED,
                   "the Pod of the step does not begin with stepcell's own "
                   "program");
}

/* A step that is not durable is nobody's once this process is gone: see sweep_abandoned. */
static bool name_process(const struct cell *cell, json_t *secret, struct err *err)
{
    json_t *meta = json_object_get(secret, "metadata");
    char text[PROCESS_TEXT_MAX];

    if (cell->objects.durable)
        return true;
    return process_text(text, err) &&
           (json_object_set_new(meta, "annotations",
                                json_pack("{s:s}", ANNOTATION_POD_PROCESS, text)) == 0 ||
            err_set(err, ERR_ENGINE_FAILED, "the request of stepcell is not complete"));
}

/* The nodes may need the caller's credentials for the images. */
static bool make_objects(struct cell *cell, json_t *secret, json_t *pod, struct err *err)
{
    json_t *modern = json_object_get(cell->request, "modern");
    autojson *pull = NULL;

    return name_process(cell, secret, err) &&
           pull_secret_make(json_object_get(cell->request, "registries"), secret, &pull, err) &&
           (!pull || pull_secret_use(pull, pod, err)) &&
           (!pull || !modern || pull_secret_use(pull, modern, err)) &&
           objects_make(&cell->objects, secret, pull, pod, modern, &cell->sight.state, err) &&
           name_program(cell, err);
}

/* Before a Pod is made that would be of no use. */
static bool may_go_in(const struct cell *cell, struct err *err)
{
    const char *what = cell->returns        ? "bring back what the step changes"
                       : cell->brings_input ? "bring the step its input"
                                            : NULL;

    return !what || pod_exec_is_allowed(cell->objects.client, &cell->config, what, err);
}

static bool make(struct cell *cell, struct err *err)
{
    const struct http_stop stop = {.stopped = is_spoken_to, .data = cell};
    const struct kube_caller caller = kube_caller_now(json_text(cell->request, "kubeconfig"));
    const json_t *request = cell->request;
    json_t *secret = json_object_get(request, "secret"), *pod = json_object_get(request, "pod");

    cell->objects.name = cell->sight.name = json_text(request, "name");
    cell->objects.grace_s = (unsigned int)json_integer_value(json_object_get(request, "grace"));
    cell->objects.config = cell->sight.config = &cell->config;
    cell->objects.durable = json_is_true(json_object_get(request, "durable"));
    cell->stays = json_is_true(json_object_get(request, "stays"));
    cell->brings_input = json_is_true(json_object_get(request, "input"));
    cell->returns = json_is_true(json_object_get(request, "returns"));
    cell->collect = (struct collect){.config = &cell->config,
                                     .name = cell->objects.name,
                                     .sight = &cell->sight,
                                     .to = POD_RETURN_FD};
    cell->signals.config = &cell->config;
    cell->signals.name = cell->objects.name;
    cell->sight.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!cell->objects.name || !pod || !secret || cell->sight.wake < 0)
        return err_set(err, ERR_ENGINE_FAILED, "the request of stepcell is not complete");
    if (!kube_config_find(&caller, json_text(request, "context"), json_text(request, "namespace"),
                          &cell->config, err) ||
        !kube_client_open(&cell->config, &stop, &cell->objects.client, err))
        return false;
    cell->asked_at = clock_now();
    kube_client_on_retry(cell->objects.client, hear_retry, cell);
    if (!may_go_in(cell, err) || !make_objects(cell, secret, pod, err))
        return false;
    cell->signals.program = json_text(request, "program");
    cell->made_at = cell->looked_at = clock_now();
    return start_threads(cell, err);
}

int command_cell(int argc, char **argv)
{
    static struct cell cell = {
        .config = KUBE_CONFIG_INIT,
        .sight = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER},
        .signals = {.lock = PTHREAD_MUTEX_INITIALIZER},
    };
    autobuf text = BUF_INIT(POD_REQUEST_MAX);
    struct err err;

    (void)argc, (void)argv;
    signal(SIGPIPE, SIG_IGN);
    cell.nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (cell.nowhere < 0)
        return STATUS_FAILED;
    if (file_read_fd(POD_REQUEST_FD, "the request", &text, ERR_ENGINE_FAILED, &err))
        cell.request = json_parse(text.data, text.len, "the request", ERR_ENGINE_FAILED, &err);
    if (!cell.request || !make(&cell, &err)) {
        close_streams(&cell);
        tell_err(cell.objects.attached ? POD_LOST_CONTACT : POD_FAILED, &err);
        cell.told = true;
    }
    /* The threads end with the process, wherever they are. */
    _exit(serve(&cell));
}

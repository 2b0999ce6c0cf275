#include "runtime/kubernetes/pod_state.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "runtime/kubernetes/pod_spec.h"

#define NO_CONTAINER      "the node cannot make the container of the step"
#define NO_CONTAINER_HINT "--verbose shows what the node says of it"

#define SENTENCE_MAX 300 /* bytes of the scheduler's words that join a message */

#define STUCK_COUNT                                                                                \
    5 /* times that a kubelet has to fail: a busy one does some times, and goes on */

/* One of the API's own words, which goes into messages and URLs; "" for whatever else. */
static void take_word(const json_t *object, const char *key, char word[POD_REASON_MAX])
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *value = json_text(object, key);
    size_t len = value ? strspn(value, bytes) : 0;

    word[0] = '\0';
    if (value && value[len] == '\0' && len < POD_REASON_MAX)
        memcpy(word, value, len + 1);
}

/* The first trouble that is seen is told. */
static void note(struct pod_state *state, enum pod_trouble trouble, const json_t *object)
{
    if (state->trouble != POD_FINE)
        return;
    state->trouble = trouble;
    take_word(object, "reason", state->reason);
    kube_status_message(object, state->message);
}

/* Why a container waits: some of it passes, and some does not. */
static void take_waiting(struct pod_state *state, const json_t *waiting)
{
    static const struct {
        const char *reason;
        enum pod_trouble trouble;
    } troubles[] = {
        {"ImagePullBackOff", POD_NO_IMAGE},
        {"ErrImageNeverPull", POD_NO_IMAGE},
        {"InvalidImageName", POD_NO_IMAGE},
        {"ImageInspectError", POD_NO_IMAGE},
        {"ErrImagePull", POD_NO_IMAGE},
        {"RegistryUnavailable", POD_NO_IMAGE},
        {"CreateContainerConfigError", POD_RETRIED},
        {"CreateContainerError", POD_RETRIED},
        {"RunContainerError", POD_RETRIED},
        {"PostStartHookError", POD_INIT_FAILED},
    };
    const char *reason = json_text(waiting, "reason");

    for (size_t i = 0; reason && i < ARRAY_SIZE(troubles); i++) {
        if (strcmp(reason, troubles[i].reason) == 0)
            note(state, troubles[i].trouble, waiting);
    }
}

static bool has_reason(const json_t *object, const char *reason)
{
    const char *text = json_text(object, "reason");

    return text && strcmp(text, reason) == 0;
}

/* To a kubelet what is made and not started yet has ended. What was never started has no time. */
static bool has_run(const json_t *ended)
{
    const char *started = json_text(ended, "startedAt");

    return started ? strcmp(started, "1970-01-01T00:00:00Z") != 0
                   : json_text(ended, "reason") || json_text(ended, "finishedAt");
}

static void take_container(struct pod_state *state, const json_t *container)
{
    const json_t *now = json_object_get(container, "state");
    const json_t *ended = json_object_get(now, "terminated");
    /* The runtime could not start what it had made. */
    bool unstarted = has_reason(ended, "StartError") || has_reason(ended, "ContainerCannotRun");

    take_waiting(state, json_object_get(now, "waiting"));
    state->begun |=
        (has_run(ended) && !unstarted) || json_is_object(json_object_get(now, "running"));
    state->ended |= json_is_object(ended);
    if (has_reason(ended, "OOMKilled")) {
        state->oom_killed = true;
        note(state, POD_NO_MEMORY, ended);
    }
    if (unstarted)
        note(state, POD_NO_CONTAINER, ended);
}

static void take_init(struct pod_state *state, const json_t *container)
{
    const json_t *now = json_object_get(container, "state");
    const json_t *ended = json_object_get(now, "terminated");
    const json_t *code = json_object_get(ended, "exitCode");

    take_waiting(state, json_object_get(now, "waiting"));
    if (json_is_object(ended) && json_integer_value(code) != 0)
        note(state, POD_INIT_FAILED, ended);
}

static bool is_true(const json_t *condition)
{
    const char *status = json_text(condition, "status");

    return status && strcmp(status, "True") == 0;
}

static void take_conditions(struct pod_state *state, const json_t *status)
{
    const json_t *condition;
    size_t i;

    json_array_foreach (json_object_get(status, "conditions"), i, condition) {
        const char *type = json_text(condition, "type");

        if (type && strcmp(type, "PodScheduled") == 0 && has_reason(condition, "Unschedulable"))
            note(state, POD_UNSCHEDULABLE, condition);
        if (type && strcmp(type, "DisruptionTarget") == 0 && is_true(condition))
            note(state, POD_EVICTED, condition);
    }
}

bool pod_state_take(const json_t *pod, struct pod_state *out, struct err *err)
{
    const json_t *meta = json_object_get(pod, "metadata"), *status = json_object_get(pod, "status");
    const char *phase = json_text(status, "phase"), *name;
    struct pod_state state = {0};
    const json_t *one;
    size_t i;

    if (!json_is_object(status) || !json_text(meta, "uid"))
        return err_set(err, ERR_ENGINE_FAILED, "the cluster answers with something that is no Pod");
    take_word(meta, "uid", state.uid);
    take_word(meta, "resourceVersion", state.version);
    state.program = pod_program_of(pod);
    state.deleted = json_text(meta, "deletionTimestamp");
    state.finished = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
    if (has_reason(status, "Evicted") || has_reason(status, "Preempting") ||
        has_reason(status, "Shutdown") || has_reason(status, "Terminated"))
        note(&state, POD_EVICTED, status);
    if (has_reason(status, "NodeLost"))
        note(&state, POD_LOST, status);
    take_conditions(&state, status);
    json_array_foreach (json_object_get(status, "initContainerStatuses"), i, one)
        take_init(&state, one);
    json_array_foreach (json_object_get(status, "containerStatuses"), i, one) {
        name = json_text(one, "name");
        if (name && strcmp(name, POD_INIT) == 0)
            take_init(&state, one);
    }
    json_array_foreach (json_object_get(status, "containerStatuses"), i, one) {
        name = json_text(one, "name");
        if (name && strcmp(name, POD_CONTAINER) == 0)
            take_container(&state, one);
    }
    if (state.trouble == POD_FINE) {
        take_word(status, "reason", state.reason);
        kube_status_message(status, state.message);
    }
    *out = state;
    return true;
}

void pod_state_explain(const struct pod_state *state, struct err *err)
{
    static const struct {
        enum err_code code;
        const char *message;
        const char *hint; /* NULL: the code's own */
    } troubles[] = {
        [POD_FINE] = {ERR_ENGINE_FAILED, "the Pod of the step ended without its log's end",
                      "look at what the step has done before it is run again"},
        [POD_UNSCHEDULABLE] = {ERR_POD_UNSCHEDULED, "no node of the cluster takes the step", NULL},
        [POD_NO_IMAGE] = {ERR_POD_IMAGE, "the node cannot get an image of the step", NULL},
        [POD_NO_CONTAINER] = {ERR_ENGINE_FAILED, NO_CONTAINER, NO_CONTAINER_HINT},
        [POD_RETRIED] = {ERR_ENGINE_FAILED, NO_CONTAINER, NO_CONTAINER_HINT},
        [POD_INIT_FAILED] =
            {ERR_ENGINE_FAILED, "what the step needs in its Pod could not be placed there",
             "its image has to be of this version (stepcell image init TARGET), and the node "
             "has to have room; --verbose shows what it says"},
        [POD_EVICTED] = {ERR_POD_EVICTED, "the step's Pod was evicted from its node", NULL},
        [POD_LOST] = {ERR_POD_NODE_LOST, "the node of the step is lost", NULL},
        [POD_NO_MEMORY] = {ERR_POD_OUT_OF_MEMORY, "the container of the step ran out of memory",
                           NULL},
    };

    /* Of a scheduler the reason is always the same word, and its sentence the cause. */
    if (state->trouble == POD_UNSCHEDULABLE && state->message[0])
        err_set(err, troubles[state->trouble].code, "%s: %.*s", troubles[state->trouble].message,
                (int)utf8_whole(state->message, strnlen(state->message, SENTENCE_MAX)),
                state->message);
    else
        err_set(err, troubles[state->trouble].code, "%s%s%s%s", troubles[state->trouble].message,
                state->reason[0] ? " (" : "", state->reason, state->reason[0] ? ")" : "");
    if (troubles[state->trouble].hint)
        err_hint(err, "%s", troubles[state->trouble].hint);
    err_detail(err, "%s", state->message);
}

void pod_events_text(const json_t *list, char *text, size_t size)
{
    const json_t *event;
    size_t i, used = 0;

    text[0] = '\0';
    json_array_foreach (json_object_get(list, "items"), i, event) {
        char message[KUBE_MESSAGE_MAX], reason[POD_REASON_MAX];
        const char *type = json_text(event, "type");
        int n;

        if (!type || strcmp(type, "Warning") != 0)
            continue;
        take_word(event, "reason", reason);
        kube_status_message(event, message);
        n = snprintf(text + used, size - used, "%s%s: %s", used ? "; " : "", reason, message);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}

bool pod_events_lack_path(const json_t *list)
{
    const json_t *event;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, event) {
        const char *message = json_text(event, "message");

        if (message && has_reason(event, "FailedMount") &&
            strstr(message, "hostPath type check failed"))
            return true;
    }
    return false;
}

bool pod_events_are_stuck(const json_t *list)
{
    static const char *const reasons[] = {"FailedMount", "FailedAttachVolume",
                                          "FailedCreatePodSandBox"};
    const json_t *event;
    size_t i;

    json_array_foreach (json_object_get(list, "items"), i, event) {
        bool again = json_integer_value(json_object_get(event, "count")) >= STUCK_COUNT;

        for (size_t k = 0; again && k < ARRAY_SIZE(reasons); k++) {
            if (has_reason(event, reasons[k]))
                return true;
        }
    }
    return false;
}

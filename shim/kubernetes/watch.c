#include "shim/kubernetes/watch.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define WATCH_S        240 /* that a watch lasts, before the next one */
#define WATCH_STALL_MS 300000
#define PAUSE_MS       200

struct watch {
    struct sight *sight;
    struct kube_client *client;
    struct buf line;
    bool heard; /* an event, by this watch */
};

void sight_changed(struct sight *sight)
{
    pthread_cond_broadcast(&sight->changed);
    (void)!eventfd_write(sight->wake, 1);
}

static void take_state(struct sight *sight, const struct pod_state *state)
{
    bool begun;

    pthread_mutex_lock(&sight->lock);
    if (strcmp(state->uid, sight->state.uid) != 0) {
        /* The step's own is gone, and another one has its name. */
        sight->gone = true;
        sight->silent_since = 0;
        sight_changed(sight);
        pthread_mutex_unlock(&sight->lock);
        return;
    }
    /* Of a Pod that is evicted nothing is said of its containers any more. */
    begun = sight->state.begun || state->begun;
    sight->state = *state;
    sight->state.begun = begun;
    sight->silent_since = 0;
    sight_changed(sight);
    pthread_mutex_unlock(&sight->lock);
}

static void take_absence(struct sight *sight)
{
    pthread_mutex_lock(&sight->lock);
    sight->gone = true;
    sight->silent_since = 0;
    sight_changed(sight);
    pthread_mutex_unlock(&sight->lock);
}

/* One event: {"type", "object"}. A watch that is too old ends with one of the type ERROR. */
static bool take_event(struct watch *watch, const char *text, size_t len, struct err *err)
{
    autojson *event = json_parse(text, len, "an event of the cluster", ERR_ENGINE_FAILED, err);
    const char *type = event ? json_text(event, "type") : NULL;
    struct pod_state state;

    if (!type)
        return err_set(err, ERR_ENGINE_FAILED, "the cluster sends an event that is none");
    if (strcmp(type, "ERROR") == 0)
        return err_set(err, ERR_ENGINE_FAILED, "the watch is over");
    if (strcmp(type, "BOOKMARK") == 0)
        return true;
    if (!pod_state_take(json_object_get(event, "object"), &state, err))
        return false;
    watch->heard = true;
    take_state(watch->sight, &state);
    if (strcmp(type, "DELETED") == 0)
        take_absence(watch->sight);
    return true;
}

static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    struct watch *watch = data;
    struct buf *line = &watch->line;
    const char *end;

    if (!buf_append(line, bytes, len))
        return err_set(err, ERR_ENGINE_FAILED, "the cluster sends an event that is too long");
    while (line->len > 0 && (end = memchr(line->data, '\n', line->len))) {
        size_t size = (size_t)(end - line->data);

        if (size > 0 && !take_event(watch, line->data, size, err))
            return false;
        line->len -= size + 1;
        memmove(line->data, end + 1, line->len);
    }
    return true;
}

static bool call(struct watch *watch, const char *behind, bool streams, struct kube_answer *answer,
                 struct err *err)
{
    const struct objects objects = {.config = watch->sight->config};
    autofree char *path = objects_path(&objects, "pods", behind);
    const struct kube_call one = {.path = path,
                                  .body = streams ? take_bytes : NULL,
                                  .data = watch,
                                  .stall_ms = streams ? WATCH_STALL_MS : 0,
                                  .once = true};

    return path ? kube_call(watch->client, &one, answer, err)
                : err_set(err, ERR_ENGINE_FAILED, "not enough memory to watch the Pod");
}

/* How it is now. False when the API does not say. */
static bool look(struct watch *watch, struct err *err)
{
    autofree char *behind = text_printf("/%s", watch->sight->name);
    autokubeanswer answer = {0};
    struct pod_state state;

    if (!behind || !call(watch, behind, false, &answer, err))
        return false;
    if (answer.status == 404) {
        take_absence(watch->sight);
        return true;
    }
    if (answer.status != 200)
        return kube_refused(watch->client, &answer, "look at its Pod", err);
    if (!pod_state_take(answer.json, &state, err))
        return false;
    take_state(watch->sight, &state);
    return true;
}

/* From how it was last seen on. */
static void watch_on(struct watch *watch)
{
    autofree char *behind = NULL;
    autokubeanswer answer = {0};
    struct err ignored;

    pthread_mutex_lock(&watch->sight->lock);
    behind = text_printf("?watch=1&timeoutSeconds=%d&fieldSelector=metadata.name%%3D%s"
                         "&resourceVersion=%s",
                         WATCH_S, watch->sight->name, watch->sight->state.version);
    pthread_mutex_unlock(&watch->sight->lock);
    buf_release(&watch->line);
    watch->line = BUF_INIT(WATCH_LINE_MAX);
    watch->heard = false;
    if (behind)
        (void)!call(watch, behind, true, &answer, &ignored);
}

void *watch_pod(void *data)
{
    struct watch watch = {.sight = data};
    struct sight *sight = data;
    struct err err = ERR_INIT;
    bool gone = false;

    if (!kube_client_open(sight->config, NULL, &watch.client, &err))
        return NULL;
    /* What was seen at the creation is where the first watch begins. */
    while (!gone) {
        watch_on(&watch);
        if (!look(&watch, &err)) {
            pthread_mutex_lock(&sight->lock);
            sight->no_contact = err;
            if (!sight->silent_since)
                sight->silent_since = clock_now();
            sight_changed(sight);
            pthread_mutex_unlock(&sight->lock);
        }
        /* One that is refused, or ends at once, is not to be asked for without end. */
        if (!watch.heard)
            clock_sleep(PAUSE_MS);
        pthread_mutex_lock(&sight->lock);
        gone = sight->gone;
        pthread_mutex_unlock(&sight->lock);
    }
    buf_release(&watch.line);
    kube_client_close(watch.client);
    return NULL;
}

#include "shim/kubernetes/objects.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "runtime/kubernetes/pod_setup.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/net/url.h"

#define LOOK_PAUSE_MS 50
#define ATTACH_MS     30000 /* that another worker may take from its Secret to its Pod */
#define MERGE_PATCH   "application/merge-patch+json"

/* One of the objects, and how errors call it. */
struct object {
    const char *kind, *suffix, *what;
};
static const struct object pod_object = {"pods", "", "a Pod"},
                           secret_object = {"secrets", "", "a Secret"},
                           pull_object = {"secrets", PULL_SUFFIX, "a Secret for pulls"};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to speak to the cluster");
}

char *objects_path(const struct objects *objects, const char *kind, const char *behind)
{
    return text_printf("/api/v1/namespaces/%s/%s%s", objects->config->space, kind, behind);
}

/* One call about one of them. */
static bool call(struct objects *objects, const char *method, const struct object *object,
                 const json_t *content, struct kube_answer *answer, struct err *err)
{
    autofree char *behind = text_printf("/%s%s", objects->name, object->suffix);
    autofree char *path = behind ? objects_path(objects, object->kind, behind) : NULL;
    const struct kube_call one = {
        .method = method,
        .path = path,
        .content = content,
        .content_type = strcmp(method, "PATCH") == 0 ? MERGE_PATCH : NULL,
    };

    return path ? kube_call(objects->client, &one, answer, err) : no_memory(err);
}

static const char *label_of(const json_t *object, const char *key)
{
    const char *text =
        json_text(json_object_get(json_object_get(object, "metadata"), "labels"), key);

    return text ? text : "";
}

/* Whether the Secret that is there is of this very step. */
static bool check_same(const struct objects *objects, const json_t *theirs, const json_t *ours,
                       struct err *err)
{
    if (json_equal(json_object_get(json_object_get(theirs, "data"), POD_DIGEST),
                   json_object_get(json_object_get(ours, "data"), POD_DIGEST)))
        return true;
    err_set(err, ERR_STEP_CONFLICT,
            "another step has this id in the cluster, and is not the same: Secret '%s'",
            objects->name);
    return err_hint(err, "give this step an id of its own");
}

/*
 * One of that name which has the labels of `body` is what a call made whose answer was lost. Where
 * only the owner is another one, another worker has begun the step.
 */
static bool is_ours(struct objects *objects, const struct object *object, const json_t *body,
                    struct kube_answer *answer, struct err *err)
{
    bool same_step, same_owner;

    kube_answer_release(answer);
    *answer = (struct kube_answer){0};
    if (!call(objects, "GET", object, NULL, answer, err))
        return false;
    same_step = answer->status == 200 &&
                strcmp(label_of(answer->json, LABEL_POD_STEP), label_of(body, LABEL_POD_STEP)) == 0;
    same_owner =
        strcmp(label_of(answer->json, LABEL_POD_OWNER), label_of(body, LABEL_POD_OWNER)) == 0;
    if (same_step && object == &secret_object) {
        if (!check_same(objects, answer->json, body, err))
            return false;
        objects->attached = !same_owner;
        return true;
    }
    if (same_step && same_owner)
        return true;
    return err_set(err, ERR_ENGINE_FAILED, "somebody else has made '%s' in the cluster",
                   objects->name);
}

static bool create(struct objects *objects, const struct object *object, const json_t *body,
                   bool *made, struct kube_answer *answer, struct err *err)
{
    autofree char *path = objects_path(objects, object->kind, ""),
                  *what = text_printf("create %s", object->what);
    const struct kube_call one = {.method = "POST", .path = path, .content = body};

    if (!path || !what)
        return no_memory(err);
    /* Whatever it answers, and be it nothing: from here on there may be one. */
    *made = true;
    if (!kube_call(objects->client, &one, answer, err))
        return false;
    if (answer->status == 409)
        *made = is_ours(objects, object, body, answer, err);
    else
        *made = answer->status == 201 || answer->status == 200 ||
                kube_refused(objects->client, answer, what, err);
    return *made;
}

/* Gone with the Pod, whoever removes it. */
static bool own(struct objects *objects, const struct object *object, const char *uid,
                struct err *err)
{
    autojson *patch =
        json_pack("{s:{s:[{s:s, s:s, s:s, s:s}]}}", "metadata", "ownerReferences", "apiVersion",
                  "v1", "kind", "Pod", "name", objects->name, "uid", uid);
    autokubeanswer answer = {0};

    return patch && call(objects, "PATCH", object, patch, &answer, err) &&
           (answer.status == 200 ||
            kube_refused(objects->client, &answer, "give a Secret its owner", err));
}

/* Whatever it says: what cannot be reached has made nothing, and nobody looks for it afterwards. */
static bool reach(struct objects *objects, bool *may_be_modern, struct err *err)
{
    const struct kube_call one = {.path = "/version"};
    autokubeanswer answer = {0};

    if (!kube_call(objects->client, &one, &answer, err))
        return false;
    *may_be_modern = pod_server_may_have_image_volumes(answer.json);
    return true;
}

/* Nothing is made by that. A server that is asked and does not say yes gets the other Pod. */
static bool is_modern(struct objects *objects, const json_t *modern)
{
    autofree char *path = objects_path(objects, pod_object.kind, "?dryRun=All");
    const struct kube_call one = {.method = "POST", .path = path, .content = modern};
    autokubeanswer answer = {0};
    struct err ignored;

    return path && kube_call(objects->client, &one, &answer, &ignored) && answer.status == 201 &&
           pod_keeps_image_volume(answer.json);
}

static bool make_secret(struct objects *objects, const struct object *object, const json_t *body,
                        bool *made, struct err *err)
{
    autokubeanswer answer = {0};

    return create(objects, object, body, made, &answer, err);
}

static void pause_a_little(void)
{
    const struct timespec time = {.tv_nsec = LOOK_PAUSE_MS * NS_PER_MS};

    nanosleep(&time, NULL);
}

/* From here on it is this worker's to remove, and no other's sweep finds it. */
static bool adopt(struct objects *objects, const struct object *object, const char *owner,
                  struct err *err)
{
    autojson *patch = json_pack("{s:{s:{s:s}}}", "metadata", "labels", LABEL_POD_OWNER, owner);
    autokubeanswer answer = {0};

    return patch && call(objects, "PATCH", object, patch, &answer, err) &&
           (answer.status == 200 || answer.status == 404 ||
            kube_refused(objects->client, &answer, "take a step over", err));
}

/* The Pod that another worker has made, or is about to. */
static bool attach(struct objects *objects, const char *owner, struct pod_state *state,
                   struct err *err)
{
    int64_t deadline = clock_now() + ATTACH_MS * NS_PER_MS;

    for (;;) {
        autokubeanswer answer = {0};

        if (!call(objects, "GET", &pod_object, NULL, &answer, err))
            return false;
        if (answer.status == 200) {
            objects->has_pod = objects->has_pull = true;
            objects->modern = pod_keeps_image_volume(answer.json);
            return pod_state_take(answer.json, state, err) &&
                   adopt(objects, &pod_object, owner, err) &&
                   adopt(objects, &secret_object, owner, err) &&
                   adopt(objects, &pull_object, owner, err);
        }
        if (answer.status != 404)
            return kube_refused(objects->client, &answer, "look at a Pod", err);
        if (clock_now() > deadline)
            return err_set(err, ERR_POD_DELETED,
                           "another worker has begun the step, and its Pod is not there");
        pause_a_little();
    }
}

bool objects_make(struct objects *objects, const json_t *secret, const json_t *pull,
                  const json_t *pod, const json_t *modern, struct pod_state *state, struct err *err)
{
    autokubeanswer answer = {0};
    bool may_be_modern;

    if (!reach(objects, &may_be_modern, err) ||
        !make_secret(objects, &secret_object, secret, &objects->has_secret, err))
        return false;
    if (objects->attached)
        return attach(objects, label_of(secret, LABEL_POD_OWNER), state, err);
    objects->modern = modern && may_be_modern && is_modern(objects, modern);
    return (!pull || make_secret(objects, &pull_object, pull, &objects->has_pull, err)) &&
           create(objects, &pod_object, objects->modern ? modern : pod, &objects->has_pod, &answer,
                  err) &&
           pod_state_take(answer.json, state, err) &&
           own(objects, &secret_object, state->uid, err) &&
           (!pull || own(objects, &pull_object, state->uid, err));
}

bool objects_end_command(struct objects *objects, struct err *err)
{
    autojson *patch = json_pack("{s:{s:i}}", "spec", "activeDeadlineSeconds", 1);
    autokubeanswer answer = {0};

    return patch && call(objects, "PATCH", &pod_object, patch, &answer, err) &&
           (answer.status == 200 || answer.status == 404 ||
            kube_refused(objects->client, &answer, "end a Pod", err));
}

static bool ask_to_delete(struct objects *objects, const struct object *object,
                          const json_t *options, struct err *err)
{
    autofree char *what = text_printf("delete %s", object->what);
    autokubeanswer answer = {0};

    if (!what)
        return no_memory(err);
    return call(objects, "DELETE", object, options, &answer, err) &&
           (answer.status == 200 || answer.status == 202 || answer.status == 404 ||
            kube_refused(objects->client, &answer, what, err));
}

/* Not 0, upon which the API would forget a Pod that still runs. */
static unsigned int grace_of_deletion(const struct objects *objects, bool gently)
{
    if (objects->never_begun)
        return 0;
    return gently && objects->grace_s > 1 ? objects->grace_s : 1;
}

bool objects_delete_pod(struct objects *objects, bool gently, struct err *err)
{
    autojson *options =
        json_pack("{s:i, s:s}", "gracePeriodSeconds", (int)grace_of_deletion(objects, gently),
                  "propagationPolicy", "Background");

    return options && ask_to_delete(objects, &pod_object, options, err);
}

static bool await_absence(struct objects *objects, const struct object *object, int64_t deadline,
                          struct err *err)
{
    for (;;) {
        autokubeanswer answer = {0};

        if (!call(objects, "GET", object, NULL, &answer, err))
            return false;
        if (answer.status == 404)
            return true;
        if (answer.status != 200)
            return kube_refused(objects->client, &answer, "see whether it is gone", err);
        if (clock_now() > deadline)
            return err_set(err, ERR_ENGINE_FAILED, "the cluster has not removed '%s%s' (%s)",
                           objects->name, object->suffix, object->kind);
        pause_a_little();
    }
}

static bool remove_secret(struct objects *objects, const struct object *object, bool made,
                          int64_t deadline, struct err *err)
{
    return !made || (ask_to_delete(objects, object, NULL, err) &&
                     await_absence(objects, object, deadline, err));
}

bool objects_remove(struct objects *objects, bool gently, struct err *err)
{
    int64_t time_ms = OBJECTS_GONE_MS + grace_of_deletion(objects, gently) * INT64_C(1000);
    int64_t deadline = clock_now() + (objects->node_lost ? 0 : time_ms * NS_PER_MS);

    if (objects->has_pod && (!objects_delete_pod(objects, gently, err) ||
                             !await_absence(objects, &pod_object, deadline, err)))
        return false;
    return remove_secret(objects, &secret_object, objects->has_secret, deadline, err) &&
           remove_secret(objects, &pull_object, objects->has_pull, deadline, err);
}

/* Who may not read them has none. */
static void read_events(struct objects *objects, struct kube_answer *answer)
{
    autofree char *behind =
        text_printf("?fieldSelector=involvedObject.name%%3D%s&limit=50", objects->name);
    autofree char *path = behind ? objects_path(objects, "events", behind) : NULL;
    const struct kube_call one = {.path = path, .once = true};
    struct err ignored;

    if (path)
        (void)kube_call(objects->client, &one, answer, &ignored);
}

bool objects_are_stuck(struct objects *objects)
{
    autokubeanswer answer = {0};

    read_events(objects, &answer);
    return pod_events_are_stuck(answer.json);
}

void objects_add_events(struct objects *objects, struct err *err)
{
    char text[ERR_DETAIL_MAX], said[ERR_DETAIL_MAX];
    autokubeanswer answer = {0};

    read_events(objects, &answer);
    pod_events_text(answer.json, text, sizeof(text));
    memcpy(said, err->detail, sizeof(said));
    if (text[0])
        err_detail(err, "%s%s%s", said, said[0] ? "; " : "", text);
}

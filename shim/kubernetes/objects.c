#include "shim/kubernetes/objects.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/kubernetes/pod_name.h"
#include "runtime/kubernetes/pod_setup.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/net/url.h"

#define LOOK_PAUSE_MS 50
#define DELETE_TRIES  20    /* of what changes between a look and its deletion */
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

static const char *call_of(const json_t *object)
{
    const char *text = json_text(
        json_object_get(json_object_get(object, "metadata"), "annotations"), ANNOTATION_POD_CALL);

    return text ? text : "";
}

/* Only who may read the Secret knows it. */
static bool is_of_secret(const struct objects *objects, const json_t *pod)
{
    return strcmp(call_of(pod), objects->call) == 0;
}

static void take_call(struct objects *objects, const json_t *secret)
{
    snprintf(objects->call, sizeof(objects->call), "%s", call_of(secret));
}

static bool set_call(json_t *object, const char *call, struct err *err)
{
    json_t *meta = json_object_get(object, "metadata");
    json_t *annotations = json_object_get(meta, "annotations");

    if (!annotations) {
        annotations = json_object();
        if (json_object_set_new(meta, "annotations", annotations) < 0)
            return no_memory(err);
    }
    return json_object_set_new(annotations, ANNOTATION_POD_CALL, json_string(call)) == 0 ||
           no_memory(err);
}

static bool is_others(const struct objects *objects, const struct object *object, struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "somebody else has made '%s%s' in the cluster",
                   objects->name, object->suffix);
}

static bool has_owner(const struct objects *objects, const json_t *theirs)
{
    return strcmp(label_of(theirs, LABEL_POD_OWNER), objects->owner) == 0;
}

static bool has_step(const struct objects *objects, const json_t *theirs)
{
    return strcmp(label_of(theirs, LABEL_POD_STEP), objects->step) == 0;
}

static bool is_own(const struct objects *objects, const json_t *theirs)
{
    return has_step(objects, theirs) && has_owner(objects, theirs);
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
    return err_hint(err,
                    "give this step an id of its own; 'stepcell forget' lets this worker carry on "
                    "with the other one");
}

/*
 * One of that name which has the labels of this call is what a call made whose answer was lost.
 * Where only the owner is another one, another worker has begun the step.
 */
static bool take_over(struct objects *objects, const struct object *object, const json_t *body,
                      enum presence *presence, struct kube_answer *answer, struct err *err)
{
    bool same_step, same_owner;

    kube_answer_release(answer);
    *answer = (struct kube_answer){0};
    if (!call(objects, "GET", object, NULL, answer, err))
        return false;
    *presence = OBJECT_ABSENT;
    same_step = answer->status == 200 && has_step(objects, answer->json);
    same_owner = has_owner(objects, answer->json);
    if (!same_step || (!same_owner && object != &secret_object) ||
        (object == &pod_object && !is_of_secret(objects, answer->json)))
        return is_others(objects, object, err);
    if (object == &secret_object) {
        if (!check_same(objects, answer->json, body, err))
            return false;
        take_call(objects, answer->json);
        objects->attached = !same_owner;
    }
    *presence = same_owner ? OBJECT_PRESENT : OBJECT_UNSURE;
    return true;
}

static bool create(struct objects *objects, const struct object *object, const json_t *body,
                   enum presence *presence, struct kube_answer *answer, struct err *err)
{
    autofree char *path = objects_path(objects, object->kind, ""),
                  *what = text_printf("create %s", object->what);
    const struct kube_call one = {.method = "POST", .path = path, .content = body};

    if (!path || !what)
        return no_memory(err);
    /* Whatever it answers, and be it nothing: from here on there may be one, of whomever. */
    *presence = OBJECT_UNSURE;
    if (!kube_call(objects->client, &one, answer, err))
        return false;
    if (answer->status == 409)
        return take_over(objects, object, body, presence, answer, err);
    if (answer->status == 201 || answer->status == 200)
        *presence = OBJECT_PRESENT;
    else if (!kube_may_retry(answer->status))
        *presence = OBJECT_ABSENT;
    return *presence == OBJECT_PRESENT || kube_refused(objects->client, answer, what, err);
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
                        enum presence *presence, struct err *err)
{
    autokubeanswer answer = {0};

    return create(objects, object, body, presence, &answer, err);
}

/* From here on it is this worker's to remove, and no other's sweep finds it. */
static bool adopt(struct objects *objects, const struct object *object, struct err *err)
{
    autojson *patch =
        json_pack("{s:{s:{s:s}}}", "metadata", "labels", LABEL_POD_OWNER, objects->owner);
    autokubeanswer answer = {0};

    return patch && call(objects, "PATCH", object, patch, &answer, err) &&
           (answer.status == 200 || answer.status == 404 ||
            kube_refused(objects->client, &answer, "take a step over", err));
}

/* The Pod first: a sweep that finds the Pod adopted leaves the Secrets alone as well. */
static bool adopt_all(struct objects *objects, struct err *err)
{
    objects->has_pod = objects->has_pull = OBJECT_UNSURE;
    if (!adopt(objects, &pod_object, err) || !adopt(objects, &secret_object, err) ||
        !adopt(objects, &pull_object, err))
        return false;
    objects->has_pod = objects->has_secret = objects->has_pull = OBJECT_PRESENT;
    return true;
}

/* The Pod that another worker has made, or is about to. */
static bool attach(struct objects *objects, struct pod_state *state, struct err *err)
{
    int64_t deadline = clock_now() + ATTACH_MS * NS_PER_MS;

    for (;;) {
        autokubeanswer answer = {0};

        if (!call(objects, "GET", &pod_object, NULL, &answer, err))
            return false;
        if (answer.status == 200 && !is_of_secret(objects, answer.json))
            return is_others(objects, &pod_object, err);
        if (answer.status == 200) {
            objects->modern = pod_keeps_image_volume(answer.json);
            return pod_state_take(answer.json, state, err) && adopt_all(objects, err);
        }
        if (answer.status != 404)
            return kube_refused(objects->client, &answer, "look at a Pod", err);
        if (clock_now() > deadline) {
            /* Nobody's any more: they must not keep the next call from beginning the step. */
            if (adopt(objects, &secret_object, err) && adopt(objects, &pull_object, err))
                objects->has_secret = objects->has_pull = OBJECT_PRESENT;
            return err_set(err, ERR_POD_DELETED,
                           "another worker has begun the step, and its Pod is not there");
        }
        clock_sleep(LOOK_PAUSE_MS);
    }
}

/* What makes the Pod known as that of the Secret. */
static bool name_call(struct objects *objects, json_t *secret, struct err *err)
{
    char text[POD_NAME_MAX];

    if (!pod_name_make(text, err) || !set_call(secret, text, err))
        return false;
    take_call(objects, secret);
    return true;
}

bool objects_is_another(struct objects *objects, const char *uid)
{
    autokubeanswer answer = {0};
    struct err ignored;
    const char *theirs;

    if (!call(objects, "GET", &pod_object, NULL, &answer, &ignored) || answer.status != 200)
        return false;
    theirs = json_text(json_object_get(answer.json, "metadata"), "uid");
    return theirs && strcmp(theirs, uid) != 0;
}

bool objects_make(struct objects *objects, json_t *secret, const json_t *pull, json_t *pod,
                  json_t *modern, struct pod_state *state, struct err *err)
{
    autokubeanswer answer = {0};
    bool may_be_modern;

    objects->step = label_of(secret, LABEL_POD_STEP);
    objects->owner = label_of(secret, LABEL_POD_OWNER);
    if (!name_call(objects, secret, err) || !reach(objects, &may_be_modern, err) ||
        !make_secret(objects, &secret_object, secret, &objects->has_secret, err))
        return false;
    if (objects->attached)
        return attach(objects, state, err);
    if (!set_call(pod, objects->call, err) || (modern && !set_call(modern, objects->call, err)))
        return false;
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

/*
 * One of which nobody knows whose it is. Where it is this call's, `options` get what keeps the API
 * from deleting one that another worker adopts or makes meanwhile.
 */
static bool look_whose(struct objects *objects, const struct object *object,
                       enum presence *presence, json_t *options, struct err *err)
{
    autokubeanswer answer = {0};
    const json_t *meta;

    if (!call(objects, "GET", object, NULL, &answer, err))
        return false;
    if (answer.status != 200 && answer.status != 404)
        return kube_refused(objects->client, &answer, "see whose it is", err);
    if (answer.status == 404 || !is_own(objects, answer.json)) {
        *presence = answer.status == 404 ? OBJECT_ABSENT : OBJECT_OTHERS;
        return true;
    }
    meta = json_object_get(answer.json, "metadata");
    return json_object_set_new(options, "preconditions",
                               json_pack("{s:s, s:s}", "uid", json_text(meta, "uid"),
                                         "resourceVersion", json_text(meta, "resourceVersion"))) ==
               0 ||
           err_set(err, ERR_ENGINE_FAILED, "the answer of the cluster has no version of '%s'",
                   objects->name);
}

static bool ask_to_delete(struct objects *objects, const struct object *object,
                          enum presence *presence, json_t *options, struct err *err)
{
    autofree char *what = text_printf("delete %s", object->what);

    if (!what)
        return no_memory(err);
    /* One that another worker has taken over meanwhile is that one's. */
    if (objects->durable && *presence == OBJECT_PRESENT)
        *presence = OBJECT_UNSURE;
    for (int tries = 1;; tries++) {
        autokubeanswer answer = {0};

        if (*presence == OBJECT_UNSURE && !look_whose(objects, object, presence, options, err))
            return false;
        if (*presence == OBJECT_ABSENT || *presence == OBJECT_OTHERS)
            return true;
        if (!call(objects, "DELETE", object, options, &answer, err))
            return false;
        if (answer.status == 409 && *presence == OBJECT_UNSURE && tries < DELETE_TRIES)
            continue;
        return answer.status == 200 || answer.status == 202 || answer.status == 404 ||
               kube_refused(objects->client, &answer, what, err);
    }
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

    return options && ask_to_delete(objects, &pod_object, &objects->has_pod, options, err);
}

static bool await_absence(struct objects *objects, const struct object *object,
                          enum presence presence, int64_t deadline, struct err *err)
{
    while (presence >= OBJECT_UNSURE) {
        autokubeanswer answer = {0};

        if (!call(objects, "GET", object, NULL, &answer, err))
            return false;
        if (answer.status == 404)
            return true;
        if (answer.status != 200)
            return kube_refused(objects->client, &answer, "see whether it is gone", err);
        if (presence == OBJECT_UNSURE && !is_own(objects, answer.json))
            return true;
        if (clock_now() > deadline)
            return err_set(err, ERR_ENGINE_FAILED, "the cluster has not removed '%s%s' (%s)",
                           objects->name, object->suffix, object->kind);
        clock_sleep(LOOK_PAUSE_MS);
    }
    return true;
}

static bool remove_secret(struct objects *objects, const struct object *object,
                          enum presence *presence, int64_t deadline, struct err *err)
{
    autojson *options = json_object();

    return options && ask_to_delete(objects, object, presence, options, err) &&
           await_absence(objects, object, *presence, deadline, err);
}

bool objects_remove(struct objects *objects, bool gently, struct err *err)
{
    int64_t time_ms = OBJECTS_GONE_MS + grace_of_deletion(objects, gently) * INT64_C(1000);
    int64_t deadline = clock_now() + (objects->node_lost ? 0 : time_ms * NS_PER_MS);

    if (!objects_delete_pod(objects, gently, err) ||
        !await_absence(objects, &pod_object, objects->has_pod, deadline, err))
        return false;
    return objects->has_pod == OBJECT_OTHERS ||
           (remove_secret(objects, &secret_object, &objects->has_secret, deadline, err) &&
            remove_secret(objects, &pull_object, &objects->has_pull, deadline, err));
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

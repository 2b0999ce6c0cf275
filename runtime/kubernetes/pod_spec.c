#include "runtime/kubernetes/pod_spec.h"

#include <inttypes.h>
#include <string.h>

#include "base/digest.h"
#include "base/path.h"
#include "runtime/confine/caps_names.h"
#include "runtime/kubernetes/pod_name.h"
#include "runtime/kubernetes/pod_setup.h"

#define CELL_VOLUME    "cell"
#define RUN_VOLUME     "run"
#define SETUP_VOLUME   "setup"
#define SHIPPED_VOLUME "shipped"
#define IMAGE_VOLUME   "image"
#define CLAIM          "pvc:"
#define HOST_PATH      "hostPath"
#define CAPABILITIES   64
#define NAME_SIZE      32

/* The first 1.x that knows volumes[].image. */
#define IMAGE_VOLUME_MINOR 31

/* What is being built, and the lists that grow. */
struct body {
    const struct run_spec *spec;
    const struct pod_request *request;
    enum {
        BY_SECRET,       /* the first program comes with the setup, */
        BY_IMAGE_VOLUME, /* or lies in an image, */
        BY_PLACE,        /* or is copied out of one by a container that lays everything out */
    } way;
    json_t *mounts, *volumes;
    struct errs *refused; /* what a cluster cannot do */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the Pod");
}

static bool cannot(struct err *err, const char *what, const char *subject)
{
    err_set(err, ERR_OPTION_INVALID, "the engine 'kubernetes' cannot %s%s%s%s", what,
            subject ? ": '" : "", subject ? subject : "", subject ? "'" : "");
    return err_hint(err, "leave it away, or use --engine native");
}

/* ---- volumes ---- */

bool pod_volume_parse(const char *text, struct pod_volume *volume, struct err *err)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    const char *end = strrchr(text, '='), *kind = end ? end + 1 : "";
    const char *claim = strncmp(kind, CLAIM, strlen(CLAIM)) == 0 ? kind + strlen(CLAIM) : NULL;
    autofree char *path = end ? strndup(text, (size_t)(end - text)) : NULL;

    *volume = (struct pod_volume){0};
    if (path && path[0] == '/' && path[1])
        volume->path = path_clean("/", path);
    if (claim)
        volume->claim = strdup(claim);
    if (volume->path && volume->path[1] &&
        (claim ? *claim && strlen(claim) <= POD_OBJECT_MAX && strspn(claim, bytes) == strlen(claim)
               : strcmp(kind, HOST_PATH) == 0))
        return true;
    pod_volume_release(volume);
    err_set(err, ERR_OPTION_INVALID, "'%s' is no value for --kubernetes-volume", text);
    return err_hint(err, "PATH=pvc:NAME for a claim, or PATH=hostPath for the same path of each "
                         "node; PATH is absolute");
}

void pod_volume_release(struct pod_volume *volume)
{
    free(volume->path);
    free(volume->claim);
    *volume = (struct pod_volume){0};
}

static bool holds(const struct pod_volume *volume, const struct mount *mount)
{
    return mount->kind == MOUNT_BIND && mount->role != MOUNT_DEVICE && !mount->alias_of &&
           path_is_below(mount->source.resolved, volume->path);
}

const struct pod_volume *pod_volume_find(const struct pod_volume *volumes, size_t count,
                                         const struct mount *mount)
{
    const struct pod_volume *found = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct pod_volume *one = &volumes[i];

        if (holds(one, mount) && (!found || strlen(one->path) > strlen(found->path)))
            found = one;
    }
    return found;
}

static const struct pod_volume *find_volume(const struct pod_request *request,
                                            const struct mount *mount)
{
    return pod_volume_find(request->volumes, request->volume_count, mount);
}

bool pod_is_shipped(const struct pod_volume *volumes, size_t count, const struct mount *mount)
{
    if (mount->alias_of || !mount->source.resolved)
        return false;
    return mount->kind == MOUNT_COW ||
           (mount->kind == MOUNT_BIND && !pod_volume_find(volumes, count, mount) &&
            (mount->role == MOUNT_WORKDIR || (mount->role == MOUNT_PACKAGE && mount->readonly)));
}

bool pod_hidden(const struct mount_plan *plan, const struct mount *mount, struct strv *names)
{
    size_t len = strlen(mount->target);

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *other = &plan->mounts[i];

        if (other != mount && other->kind != MOUNT_PIN &&
            path_is_below(other->target, mount->target) && other->target[len] == '/' &&
            !strv_add(names, other->target + len + 1))
            return false;
    }
    return true;
}

const struct mount *pod_shipped_workdir(const struct pod_volume *volumes, size_t count,
                                        const struct mount_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];

        if (mount->role == MOUNT_WORKDIR && pod_is_shipped(volumes, count, mount))
            return mount;
    }
    return NULL;
}

void pod_shipped_name(const struct mount *mount, char name[POD_SHIPPED_NAME_MAX])
{
    char digest[DIGEST_TEXT_MAX];

    digest_of(mount->target, strlen(mount->target), digest);
    memcpy(name, digest + strlen("sha256:"), POD_SHIPPED_NAME_MAX - 1);
    name[POD_SHIPPED_NAME_MAX - 1] = '\0';
}

const struct mount *pod_script(const struct pod_request *request, const struct mount_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];

        if (mount->role == MOUNT_SCRIPT && !mount->alias_of && !find_volume(request, mount))
            return mount;
    }
    return NULL;
}

/* ---- the first program ---- */

static const char *init_image(const struct run_spec *spec)
{
    return spec->cluster->shipped ? spec->cluster->shipped : spec->cluster->init_image;
}

bool pod_program_is_sent(const struct run_spec *spec)
{
    return !init_image(spec);
}

/* Where it lies in the step's container, as nothing of the step's. */
static const char *const programs[] = {
    [BY_SECRET] = POD_SENT "/" POD_PROGRAM,
    [BY_IMAGE_VOLUME] = POD_IMAGE "/" POD_PROGRAM,
    [BY_PLACE] = POD_DIR "/" POD_PROGRAM,
};

const char *pod_program_of(const json_t *pod)
{
    const json_t *containers = json_object_get(json_object_get(pod, "spec"), "containers"), *one;
    size_t i;

    json_array_foreach (containers, i, one) {
        const char *name = json_text(one, "name");
        const char *word = json_string_value(json_array_get(json_object_get(one, "command"), 0));

        for (size_t k = 0; name && word && k < ARRAY_SIZE(programs); k++) {
            if (strcmp(name, POD_CONTAINER) == 0 && strcmp(word, programs[k]) == 0)
                return programs[k];
        }
    }
    return NULL;
}

/*
 * What is shipped would need sub paths of the volume, which containerd before 2.2 does not look at:
 * it mounts the whole image in the place of each.
 */
bool pod_fits_image_volume(const struct run_spec *spec)
{
    return !spec->cluster->shipped && spec->cluster->init_image && !spec->cluster->no_image_volumes;
}

/* ---- mounts ---- */

static bool append(json_t *list, json_t *value, struct err *err)
{
    return json_array_append_new(list, value) == 0 || no_memory(err);
}

static bool add_mount(const struct body *body, const char *volume, const char *target,
                      const char *sub_path, bool readonly, struct err *err)
{
    json_t *mount;

    if (strchr(target, ':'))
        return cannot(err, "mount at a path with a colon", target);
    mount = json_pack("{s:s, s:s, s:s*, s:b}", "name", volume, "mountPath", target, "subPath",
                      sub_path && *sub_path ? sub_path : NULL, "readOnly", readonly);
    if (!mount)
        return cannot(err, "mount paths that are no UTF-8", target);
    return append(body->mounts, mount, err);
}

static bool has_volume(const struct body *body, const char *name)
{
    const json_t *one;
    size_t i;

    json_array_foreach (body->volumes, i, one) {
        if (strcmp(json_text(one, "name"), name) == 0)
            return true;
    }
    return false;
}

static bool add_claim(const struct body *body, const struct pod_volume *volume, const char *name,
                      struct err *err)
{
    return has_volume(body, name) ||
           append(body->volumes,
                  json_pack("{s:s, s:{s:s}}", "name", name, "persistentVolumeClaim", "claimName",
                            volume->claim),
                  err);
}

/* Each its own, of a path that has to exist: nothing is made on a node. */
static bool add_host_path(const struct body *body, const struct mount *mount, const char *name,
                          struct err *err)
{
    json_t *volume =
        json_pack("{s:s, s:{s:s, s:s}}", "name", name, "hostPath", "path", mount->source.resolved,
                  "type", mount_is_dir(mount) ? "Directory" : "File");

    if (!volume)
        return cannot(err, "mount paths that are no UTF-8", mount->source.resolved);
    return has_volume(body, name) ? (json_decref(volume), true)
                                  : append(body->volumes, volume, err);
}

static bool not_shared(const struct mount *mount, struct err *err)
{
    err_set(err, ERR_MOUNT_DENIED, "'%s' is in no volume that the nodes of the cluster share",
            mount->source.resolved);
    if (mount->role == MOUNT_WORKDIR || (mount->role == MOUNT_PACKAGE && mount->readonly))
        return err_hint(err, "name the volume that holds it with --kubernetes-volume, or a "
                             "repository to ship it by with --kubernetes-ship");
    return err_hint(err, "name the volume that holds it: --kubernetes-volume PATH=pvc:NAME, or "
                         "PATH=hostPath where each node has it");
}

/* Whether `mount` comes by the image of the container `place`. */
static bool is_shipped(const struct body *body, const struct mount *mount)
{
    return body->spec->cluster->shipped &&
           pod_is_shipped(body->request->volumes, body->request->volume_count, mount);
}

/* A copy of the step's own needs nothing that keeps its directories where they are. */
static bool is_inside_shipped(const struct body *body, const struct mount *pin)
{
    const struct mount_plan *plan = body->spec->plan;

    for (size_t i = 0; i < plan->count; i++) {
        if (is_shipped(body, &plan->mounts[i]) &&
            path_is_below(pin->target, plan->mounts[i].target))
            return true;
    }
    return false;
}

static bool add_shipped(const struct body *body, const struct mount *mount, const char *target,
                        struct err *err)
{
    char name[POD_SHIPPED_NAME_MAX];

    pod_shipped_name(mount, name);
    return (has_volume(body, SHIPPED_VOLUME) ||
            append(body->volumes, json_pack("{s:s, s:{}}", "name", SHIPPED_VOLUME, "emptyDir"),
                   err)) &&
           add_mount(body, SHIPPED_VOLUME, target, name, mount->readonly, err);
}

/* Whether something else of the plan hides what `mount` has at `target`. */
static bool is_hidden(const struct mount_plan *plan, const struct mount *mount, const char *target)
{
    for (size_t i = 0; i < plan->count; i++) {
        const char *other = plan->mounts[i].target;

        if (strlen(other) > strlen(mount->target) && path_is_below(target, other))
            return true;
    }
    return false;
}

/* What this host has of another volume there, a claim has not: its directory may be empty. */
static bool check_nested(const struct body *body, const struct pod_volume *volume,
                         const struct mount *mount, struct err *err)
{
    const struct pod_request *request = body->request;
    size_t len = strlen(mount->source.resolved);

    for (size_t i = 0; volume->claim && i < request->volume_count; i++) {
        const char *path = request->volumes[i].path;
        autofree char *target = NULL;

        if (!path_is_below(path, mount->source.resolved) || strcmp(path, volume->path) == 0)
            continue;
        target = text_printf("%s%s", mount->target, path + len);
        if (!target)
            return no_memory(err);
        if (is_hidden(body->spec->plan, mount, target))
            continue;
        err_set(err, ERR_MOUNT_CONFLICT, "'%s' is mounted, and '%s' in it is another volume",
                mount->source.resolved, path);
        return err_hint(err, "mount that, too: --volume %s:%s", path, target);
    }
    return true;
}

/* At `target`, which is the mount's own or another name of it. */
static bool add_bind(const struct body *body, const struct mount *mount, const char *target,
                     struct err *err)
{
    const struct pod_volume *volume = find_volume(body->request, mount);
    char name[NAME_SIZE];
    const char *below;

    if (is_shipped(body, mount))
        return add_shipped(body, mount, target, err);
    if (!volume && mount->role == MOUNT_SCRIPT)
        return add_mount(body, SETUP_VOLUME, target, POD_SCRIPT, true, err);
    if (!volume)
        return not_shared(mount, err);
    if (!volume->claim) {
        snprintf(name, sizeof(name), "path-%zu", (size_t)(mount - body->spec->plan->mounts));
        return add_host_path(body, mount, name, err) &&
               add_mount(body, name, target, NULL, mount->readonly, err);
    }
    snprintf(name, sizeof(name), "claim-%zu", (size_t)(volume - body->request->volumes));
    below = mount->source.resolved + strlen(volume->path);
    return check_nested(body, volume, mount, err) && add_claim(body, volume, name, err) &&
           add_mount(body, name, target, below + (*below == '/'), mount->readonly, err);
}

static json_t *memory_volume(const char *name)
{
    return json_pack("{s:s, s:{s:s}}", "name", name, "emptyDir", "medium", "Memory");
}

static bool add_memory(const struct body *body, size_t index, const struct mount *mount,
                       struct err *err)
{
    char name[NAME_SIZE];
    json_t *volume;

    snprintf(name, sizeof(name), "memory-%zu", index);
    volume = memory_volume(name);
    if (volume && mount->tmpfs_size)
        json_object_set_new(json_object_get(volume, "emptyDir"), "sizeLimit",
                            json_sprintf("%" PRIu64, mount->tmpfs_size));
    return append(body->volumes, volume, err) &&
           add_mount(body, name, mount->target, NULL, mount->readonly, err);
}

/*
 * A kubelet makes directories where there is nothing yet to be mounted, and never files. A volume
 * of its own is mounted while others are waited for; a sub path, when its container is made.
 */
static bool add_own(const struct body *body, const struct mount *mount, struct err *err)
{
    if (mount->role == MOUNT_SECRETS)
        return add_mount(body, CELL_VOLUME, mount->target, POD_SECRETS, true, err);
    if (body->way == BY_PLACE)
        return add_mount(body, CELL_VOLUME, mount->target, POD_RUN "/" POD_OUTPUT, false, err);
    return append(body->volumes, memory_volume(RUN_VOLUME), err) &&
           add_mount(body, RUN_VOLUME, POD_DIR "/" POD_RUN, NULL, false, err) &&
           add_mount(body, RUN_VOLUME, STEP_PATH, NULL, false, err);
}

static bool no_copy(const struct mount *mount, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID,
            "the engine 'kubernetes' cannot mount a package copy-on-write where it is: '%s'",
            mount->target);
    return err_hint(err, "name a repository to ship a copy by, with --kubernetes-ship");
}

/* The same once more at another name, with whatever is mounted below. */
static bool add_alias(const struct body *body, const struct mount *alias, struct err *err)
{
    const struct mount_plan *plan = body->spec->plan;
    size_t len = strlen(alias->alias_of);

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *below = &plan->mounts[i];
        autofree char *target = NULL;

        if (below->alias_of || !path_is_below(below->target, alias->alias_of))
            continue;
        if (below->kind != MOUNT_BIND && below->kind != MOUNT_COW)
            return cannot(err, "give such a mount a second name", below->target);
        target = text_printf("%s%s", alias->target, below->target + len);
        if (!target)
            return no_memory(err);
        if (!add_bind(body, below, target, err))
            return false;
    }
    return true;
}

/* What the caller mounts where the volume of the output file is. That one is in memory, too. */
static bool take_place(const struct mount *mount, struct err *err)
{
    if (mount->kind == MOUNT_TMPFS)
        return true;
    err_set(err, ERR_MOUNT_CONFLICT,
            "'" STEP_PATH "' is the directory of the output file, and cannot be another one with "
            "the engine 'kubernetes'");
    return err_hint(err, "choose another target");
}

static bool add_one(const struct body *body, size_t index, struct err *err)
{
    const struct mount *mount = &body->spec->plan->mounts[index];

    if (mount->role == MOUNT_DEVICE)
        return cannot(err, "give a device of the host", mount->target);
    if (body->way != BY_PLACE && strcmp(mount->target, STEP_PATH) == 0)
        return take_place(mount, err);
    if (mount->alias_of)
        return add_alias(body, mount, err);
    switch (mount->kind) {
    case MOUNT_PIN:
        return is_inside_shipped(body, mount) || add_bind(body, mount, mount->target, err);
    case MOUNT_BIND:
        return add_bind(body, mount, mount->target, err);
    case MOUNT_TMPFS:
        return add_memory(body, index, mount, err);
    case MOUNT_OWN:
        return add_own(body, mount, err);
    case MOUNT_COW:
        break;
    }
    return is_shipped(body, mount) ? add_shipped(body, mount, mount->target, err)
                                   : no_copy(mount, err);
}

static bool is_target(const struct mount_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->mounts[i].target, path) == 0)
            return true;
    }
    return false;
}

static json_t *entry(const char *name, int mode)
{
    return json_pack("{s:s, s:s, s:i}", "key", name, "path", name, "mode", mode);
}

/*
 * Its files are root's. Where the step's user is another one, all processes of the container are
 * that user's.
 */
static json_t *setup_volume(const struct body *body)
{
    const struct run_spec *spec = body->spec;
    json_t *entries = json_array();

    json_array_append_new(entries, entry(POD_SETUP, spec->uid == 0 ? 0400 : 0444));
    if (pod_program_is_sent(spec))
        json_array_append_new(entries, entry(POD_PROGRAM, 0555));
    if (pod_script(body->request, spec->plan))
        json_array_append_new(entries, entry(POD_SCRIPT, 0555));
    return json_pack("{s:s, s:{s:s, s:o}}", "name", SETUP_VOLUME, "secret", "secretName",
                     body->request->name, "items", entries);
}

static bool add_image(const struct body *body, struct err *err)
{
    return append(body->volumes,
                  json_pack("{s:s, s:{s:s, s:s}}", "name", IMAGE_VOLUME, "image", "reference",
                            init_image(body->spec), "pullPolicy", "IfNotPresent"),
                  err) &&
           add_mount(body, IMAGE_VOLUME, POD_IMAGE, NULL, true, err);
}

static bool add_mounts(const struct body *body, struct err *err)
{
    const struct run_spec *spec = body->spec;

    if (!append(body->volumes, memory_volume(CELL_VOLUME), err) ||
        !append(body->volumes, setup_volume(body), err) ||
        !add_mount(body, CELL_VOLUME, POD_DIR, NULL, false, err) ||
        /* It is started again for who comes in, and must be no program of the step's then. */
        (body->way == BY_PLACE &&
         !add_mount(body, CELL_VOLUME, POD_DIR "/" POD_PROGRAM, POD_PROGRAM, true, err)) ||
        (body->way != BY_PLACE && !add_mount(body, SETUP_VOLUME, POD_SENT, NULL, true, err)) ||
        (body->way == BY_IMAGE_VOLUME && !add_image(body, err)))
        return false;
    for (size_t i = 0; i < spec->plan->count; i++) {
        if (!errs_pass(body->refused, add_one(body, i, err), err))
            return false;
    }
    /* A home that it can write to is what an image hardly ever has for an ordinary user. */
    return (spec->uid == 0 && !spec->read_only) || !spec->home ||
           is_target(spec->plan, HOME_FALLBACK) ||
           add_mount(body, CELL_VOLUME, HOME_FALLBACK, POD_HOME, false, err);
}

/* ---- what may be done ---- */

static json_t *capability_list(const struct run_spec *spec)
{
    json_t *list = json_array();
    char name[CAPS_NAME_MAX];

    for (unsigned int i = 0; i < CAPABILITIES; i++) {
        if (spec->capabilities >> i & 1 && caps_name(i, name))
            json_array_append_new(list, json_string(name));
    }
    return list;
}

/* A filter that was asked for is installed by the first process, in the place of the default. */
static json_t *security_of_step(const struct run_spec *spec)
{
    return json_pack("{s:b, s:b, s:{s:[s], s:o}, s:{s:s}}", "allowPrivilegeEscalation", false,
                     "readOnlyRootFilesystem", spec->read_only, "capabilities", "drop", "ALL",
                     "add", capability_list(spec), "seccompProfile", "type",
                     spec->seccomp ? "Unconfined" : "RuntimeDefault");
}

/*
 * Where no policy judges groups, the node is not asked to keep to those of the Pod: one that
 * cannot, refuses the Pod.
 */
static json_t *security_of_pod(const struct run_spec *spec)
{
    json_t *groups = json_array();

    for (size_t i = 0; i < spec->group_count; i++)
        json_array_append_new(groups, json_integer(spec->groups[i]));
    return json_pack("{s:I, s:I, s:o, s:s*}", "runAsUser", (json_int_t)spec->uid, "runAsGroup",
                     (json_int_t)spec->gid, "supplementalGroups", groups,
                     "supplementalGroupsPolicy", spec->cluster->groups_judged ? "Strict" : NULL);
}

/* Requests that are left out are the limits. */
static json_t *resources(const struct limits *limits)
{
    json_t *values = json_object();

    if (limits->memory)
        json_object_set_new(values, "memory", json_sprintf("%" PRIu64, limits->memory));
    if (limits->cpu)
        json_object_set_new(values, "cpu",
                            json_sprintf("%" PRIu64 "m", limits->cpu * 1000 / LIMITS_CPU_PERIOD));
    return json_pack("{s:o}", "limits", values);
}

static bool check(const struct run_spec *spec, struct errs *refused, struct err *err)
{
    const struct {
        bool asked;
        const char *what;
    } unable[] = {
        {spec->limits.pids, "limit the processes of a step (--pids-limit): the kubelet does"},
        {spec->network == NETWORK_NONE, "take the network from a step (--network none)"},
    };
    const json_t *label;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(unable); i++) {
        if (unable[i].asked && !errs_pass(refused, cannot(err, unable[i].what, NULL), err))
            return false;
    }
    json_array_foreach (spec->labels, i, label) {
        const char *text = json_string_value(label);

        if (strncmp(text, LABEL_POD_MANAGER, strcspn(text, "=")) == 0 &&
            strcspn(text, "=") == strlen(LABEL_POD_MANAGER) &&
            !errs_pass(refused, cannot(err, "take a label that is its own", LABEL_POD_MANAGER),
                       err))
            return false;
    }
    return true;
}

/*
 * A kubelet starts the containers in their order, each when the hook of the one before is done.
 * That an init container has ended it would see only when it looks again, which is once a second.
 */
static json_t *place_container(const struct body *body)
{
    json_t *landing =
        has_volume(body, SHIPPED_VOLUME)
            ? json_pack("{s:s, s:s}", "name", SHIPPED_VOLUME, "mountPath", POD_LANDING)
            : NULL;

    return json_pack("{s:s, s:s, s:s, s:[s, s], s:{s:{s:{s:[s, s]}}}, "
                     "s:[{s:s, s:s}, {s:s, s:s, s:b}, o*], s:{s:b, s:b, s:{s:[s]}, s:{s:s}}}",
                     "name", POD_INIT, "image", init_image(body->spec), "imagePullPolicy",
                     "IfNotPresent", "command", "/" POD_PROGRAM, "hold", "lifecycle", "postStart",
                     "exec", "command", "/" POD_PROGRAM, "place", "volumeMounts", "name",
                     CELL_VOLUME, "mountPath", POD_DIR, "name", SETUP_VOLUME, "mountPath", POD_SENT,
                     "readOnly", true, landing, "securityContext", "allowPrivilegeEscalation",
                     false, "readOnlyRootFilesystem", true, "capabilities", "drop", "ALL",
                     "seccompProfile", "type", "RuntimeDefault");
}

static json_t *step_container(const struct body *body)
{
    const struct run_spec *spec = body->spec;

    return json_pack("{s:s, s:s, s:s, s:[s, s], s:s, s:O, s:o, s:o, s:s}", "name", POD_CONTAINER,
                     "image", body->request->image, "imagePullPolicy", "IfNotPresent", "command",
                     programs[body->way], "run", "workingDir", "/", "volumeMounts", body->mounts,
                     "resources", resources(&spec->limits), "securityContext",
                     security_of_step(spec), "terminationMessagePath", "/dev/termination-log");
}

static json_t *metadata(const struct pod_request *request)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s}}", "name", request->name, "labels", LABEL_POD_MANAGER,
                     "stepcell", LABEL_POD_STEP, request->step, LABEL_POD_OWNER, request->owner);
}

/*
 * The labels of the configuration, and those of the caller that are such as the API takes; the
 * caller's are an annotation in any case. Nothing takes the place of stepcell's own.
 */
static void add_labels(json_t *meta, const struct run_spec *spec)
{
    autojson *pairs = spec->labels ? json_pairs(spec->labels) : NULL;
    autofree char *text = pairs ? json_dump_line(pairs) : NULL;
    autojson *labels = json_object();
    const char *key;
    json_t *value;

    if (spec->cluster->labels)
        json_object_update(labels, (json_t *)spec->cluster->labels);
    json_object_foreach (pairs, key, value) {
        if (pod_is_label(key, json_string_value(value)))
            json_object_set(labels, key, value);
    }
    json_object_update_missing(json_object_get(meta, "labels"), labels);
    if (text)
        json_object_set_new(meta, "annotations", json_pack("{s:s}", "stepcell.labels", text));
}

/* Where it may run: what the image needs, and what the configuration says. */
static json_t *node_selector(const struct cluster_spec *cluster)
{
    json_t *selector = json_pack("{s:s, s:s*}", SELECTOR_OS, "linux", SELECTOR_ARCH, cluster->arch);

    if (cluster->node_selector)
        json_object_update_missing(selector, (json_t *)cluster->node_selector);
    return selector;
}

static json_t *pod_of(const struct body *body)
{
    const struct run_spec *spec = body->spec;
    const struct cluster_spec *cluster = spec->cluster;
    json_t *meta = metadata(body->request);

    add_labels(meta, spec);
    return json_pack(
        "{s:s, s:s, s:o, s:{s:s, s:b, s:s*, s:b, s:b, s:I, s:o, s:s*, s:o, s:[o*, o], s:O}}",
        "apiVersion", "v1", "kind", "Pod", "metadata", meta, "spec", "restartPolicy", "Never",
        "automountServiceAccountToken", cluster->service_account != NULL, "serviceAccountName",
        cluster->service_account, "enableServiceLinks", false, "hostNetwork", cluster->host_network,
        "terminationGracePeriodSeconds", (json_int_t)(cluster->grace_ms + 999) / 1000,
        "nodeSelector", node_selector(cluster), "hostname", spec->hostname, "securityContext",
        security_of_pod(spec), "containers", body->way == BY_PLACE ? place_container(body) : NULL,
        step_container(body), "volumes", body->volumes);
}

/* Without `out` it is only looked at. */
static bool build(const struct run_spec *spec, const struct pod_request *request,
                  struct errs *refused, json_t **out, struct err *err)
{
    autojson *mounts = json_array(), *volumes = json_array();
    const struct body body = {
        .spec = spec,
        .request = request,
        .way = pod_program_is_sent(spec) ? BY_SECRET
               : request->image_volume   ? BY_IMAGE_VOLUME
                                         : BY_PLACE,
        .mounts = mounts,
        .volumes = volumes,
        .refused = refused,
    };

    if (!mounts || !volumes)
        return no_memory(err);
    if (!check(spec, refused, err) || !errs_pass(refused, add_mounts(&body, err), err))
        return false;
    if (!out || refused->count)
        return true;
    *out = pod_of(&body);
    return *out || no_memory(err);
}

bool pod_check(const struct run_spec *spec, const struct pod_request *request, struct errs *refused,
               struct err *err)
{
    return build(spec, request, refused, NULL, err);
}

bool pod_body(const struct run_spec *spec, const struct pod_request *request, json_t **out,
              struct err *err)
{
    autoerrs refused = {0};

    if (!build(spec, request, &refused, out, err))
        return false;
    if (refused.count)
        *err = refused.items[0];
    return !refused.count;
}

json_t *pod_secret(const struct pod_request *request, json_t *entries)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:O}", "apiVersion", "v1", "kind", "Secret", "metadata",
                     metadata(request), "type", "stepcell/setup", "data", entries);
}

/* ---- what the cluster offers ---- */

/* "1", "33+" */
bool pod_server_may_have_image_volumes(const json_t *version)
{
    const char *major = json_text(version, "major"), *minor = json_text(version, "minor");

    return major && minor && strcmp(major, "1") == 0 &&
           strtoul(minor, NULL, 10) >= IMAGE_VOLUME_MINOR;
}

bool pod_keeps_image_volume(const json_t *pod)
{
    const json_t *volume;
    size_t i;

    json_array_foreach (json_object_get(json_object_get(pod, "spec"), "volumes"), i, volume) {
        const char *name = json_text(volume, "name");

        if (name && strcmp(name, IMAGE_VOLUME) == 0)
            return json_text(json_object_get(volume, "image"), "reference");
    }
    return false;
}

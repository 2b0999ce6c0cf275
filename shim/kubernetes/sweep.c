/* `sweep`: what calls that were killed have left in a cluster, and only that. */
#include "base/process.h"
#include "runtime/kubernetes/pod_name.h"
#include "shim/command.h"
#include "shim/kubernetes/command.h"
#include "shim/kubernetes/objects.h"

/* Of Secrets, whose data are large, and nobody's business here. */
#define AS_METADATA   "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
#define ABANDONED_MAX 500 /* Secrets that are looked at */

struct sweep {
    const char *file, *context, *space, *step; /* as given, or NULL */
    struct kube_config config;
    struct kube_client *client;
};

/* Another worker may adopt them at any time: each is looked at again as it is deleted. */
static bool remove_named(struct sweep *sweep, const char *name, const char *step, const char *owner,
                         struct err *err)
{
    struct objects objects = {.config = &sweep->config,
                              .name = name,
                              .step = step,
                              .owner = owner,
                              .client = sweep->client,
                              .has_secret = OBJECT_UNSURE,
                              .has_pull = OBJECT_UNSURE,
                              .has_pod = OBJECT_UNSURE};

    return objects_remove(&objects, false, err);
}

/* By both labels; the two kinds have the same names. */
static bool sweep_kind(struct sweep *sweep, const char *kind, struct err *err)
{
    const struct objects all = {.config = &sweep->config};
    char step[POD_LABEL_MAX], owner[POD_LABEL_MAX];
    autofree char *behind = NULL, *path = NULL;
    struct kube_call call = {0};
    autokubeanswer answer = {0};
    const json_t *item;
    size_t i;

    if (!pod_label_owner(owner, err))
        return false;
    pod_label_step(sweep->step, step);
    behind = text_printf("?labelSelector=" LABEL_POD_STEP "%%3D%s%%2C" LABEL_POD_OWNER "%%3D%s",
                         step, owner);
    call.path = path = behind ? objects_path(&all, kind, behind) : NULL;
    if (!path)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory to look for Pods");
    if (!kube_call(sweep->client, &call, &answer, err))
        return false;
    if (answer.status != 200)
        return kube_refused(sweep->client, &answer, "look for what a step has left", err);
    json_array_foreach (json_object_get(answer.json, "items"), i, item) {
        const char *name = json_text(json_object_get(item, "metadata"), "name");

        if (name && !remove_named(sweep, name, step, owner, err))
            return false;
    }
    return true;
}

static bool is_gone(const char *process)
{
    enum process_fate fate = process_fate(process);

    /* A container may have the name of one on another machine: there a boot says nothing. */
    return fate == PROCESS_GONE || (fate == PROCESS_OTHER_BOOT && process_sees_machine());
}

/* What stays is the next step's to remove. */
static void remove_abandoned(struct sweep *sweep, const json_t *item, const char *owner)
{
    const json_t *meta = json_object_get(item, "metadata");
    const char *name = json_text(meta, "name");
    const char *step = json_text(json_object_get(meta, "labels"), LABEL_POD_STEP);
    const char *process = json_text(json_object_get(meta, "annotations"), ANNOTATION_POD_PROCESS);
    struct err ignored;

    if (name && step && process && is_gone(process))
        (void)remove_named(sweep, name, step, owner, &ignored);
}

static void sweep_space(struct sweep *sweep, const char *owner)
{
    const struct objects all = {.config = &sweep->config};
    autofree char *behind =
        text_printf("?limit=%d&labelSelector=" LABEL_POD_OWNER "%%3D%s", ABANDONED_MAX, owner);
    autofree char *path = behind ? objects_path(&all, "secrets", behind) : NULL;
    const struct kube_call call = {.path = path, .accept = AS_METADATA, .once = true};
    autokubeanswer answer = {0};
    struct err ignored;
    const json_t *item;
    size_t i;

    if (!path || !kube_call(sweep->client, &call, &answer, &ignored) || answer.status != 200)
        return;
    json_array_foreach (json_object_get(answer.json, "items"), i, item)
        remove_abandoned(sweep, item, owner);
}

void *sweep_abandoned(void *data)
{
    const struct kube_config *config = data;
    struct sweep sweep = {.config = *config};
    char owner[POD_LABEL_MAX];
    struct err ignored;

    if (pod_label_owner(owner, &ignored) && kube_client_open(config, NULL, &sweep.client, &ignored))
        sweep_space(&sweep, owner);
    kube_client_close(sweep.client);
    return NULL;
}

static bool sweep_all(struct sweep *sweep, struct err *err)
{
    const struct kube_caller caller = kube_caller_now(sweep->file);

    return kube_config_find(&caller, sweep->context, sweep->space, &sweep->config, err) &&
           kube_client_open(&sweep->config, NULL, &sweep->client, err) &&
           sweep_kind(sweep, "pods", err) && sweep_kind(sweep, "secrets", err);
}

int command_sweep(int argc, char **argv)
{
    struct sweep sweep = {.config = KUBE_CONFIG_INIT};
    const struct option_spec options[] = {
        OPTION("--kubeconfig", "FILE", &sweep.file, "instead of the caller's"),
        OPTION("--context", "NAME", &sweep.context, "of the kubeconfig"),
        OPTION("--namespace", "NAME", &sweep.space, "where to look"),
        OPTION("--step", "ID", &sweep.step, "the step whose Pods are removed"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-kubernetes sweep [OPTIONS]",
        .about = "Removes the Pods and Secrets that a step of this machine and user has left.",
        .options = options,
    };
    struct err err;
    size_t words;
    int status;
    bool ok;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    ok = sweep.step ? sweep_all(&sweep, &err)
                    : err_set(&err, ERR_OPTION_INVALID, "a step is needed");
    kube_client_close(sweep.client);
    kube_config_release(&sweep.config);
    return ok ? 0 : command_failed(&err);
}

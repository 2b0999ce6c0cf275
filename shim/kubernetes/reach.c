/* `reach`: whether a cluster answers, and what it lets the caller do, for `stepcell doctor`. */
#include <string.h>

#include "base/clock.h"
#include "runtime/image/registry_config.h"
#include "runtime/kubernetes/cluster_config.h"
#include "runtime/kubernetes/rights.h"
#include "shim/helper.h"
#include "shim/helper_report.h"
#include "shim/kubernetes/command.h"

#define REACH_MS 15000

/* The role of docs/kubernetes.md. */
static const struct kube_right needed[] = {
    {"create", "pods", NULL},  {"get", "pods", NULL},       {"list", "pods", NULL},
    {"watch", "pods", NULL},   {"patch", "pods", NULL},     {"delete", "pods", NULL},
    {"get", "pods", "log"},    {"create", "secrets", NULL}, {"get", "secrets", NULL},
    {"list", "secrets", NULL}, {"patch", "secrets", NULL},  {"delete", "secrets", NULL},
};
/* Not every step does. */
static const struct kube_right useful[] = {
    {"list", "events", NULL}, {"create", "pods", "exec"}, {"get", "pods", "exec"}};

/* As texts, those that the caller does not have. */
static bool find_lacking(struct kube_client *client, const char *space,
                         const struct kube_right *rights, size_t count, json_t *lacking,
                         struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct kube_right *right = &rights[i];
        const char *sub = right->subresource;
        bool allowed;

        if (!kube_is_allowed(client, space, right, &allowed, err))
            return false;
        if (!allowed)
            json_array_append_new(lacking, json_sprintf("%s %s%s%s", right->verb, right->resource,
                                                        sub ? "/" : "", sub ? sub : ""));
    }
    return true;
}

static bool ask(const struct kube_config *config, json_t **report, struct err *err)
{
    int64_t deadline = clock_now() + REACH_MS * NS_PER_MS;
    const struct http_stop stop = {.stopped = http_is_late, .data = &deadline};
    const struct kube_call version_call = {.path = "/version", .once = true};
    autojson *lacking = json_array(), *lacking_useful = json_array();
    autokubeclient *client = NULL;
    autokubeanswer version = {0};

    if (!kube_client_open(config, &stop, &client, err) ||
        !kube_call(client, &version_call, &version, err))
        return false;
    if (version.status != 200)
        return kube_refused(client, &version, "ask for its version", err);
    if (!find_lacking(client, config->space, needed, ARRAY_SIZE(needed), lacking, err) ||
        !find_lacking(client, config->space, useful, ARRAY_SIZE(useful), lacking_useful, err))
        return false;
    *report = json_pack("{s:s, s:s, s:s?, s:O, s:O}", "server", config->server, "namespace",
                        config->space, "version", json_text(version.json, "gitVersion"), "lacking",
                        lacking, "lacking_useful", lacking_useful);
    return *report ||
           err_set(err, ERR_ENGINE_FAILED, "the cluster's version is none that can be told");
}

/* That of a step without options. */
static bool reach(json_t **report, struct err *err)
{
    const struct kube_caller caller = kube_caller_now(NULL);
    autoregistryconfig registries = {0};
    autoclusterconfig settings = {0};
    autokubeconfig config = KUBE_CONFIG_INIT;
    autojson *files = NULL;

    if (!kube_caller_has_cluster(&caller)) {
        *report = json_object();
        return true;
    }
    if (!registry_config_load(&registries, err))
        return false;
    files = registry_config_clusters(&registries);
    return cluster_config_take(files, &settings, err) &&
           kube_config_find(&caller, settings.context, settings.space, &config, err) &&
           ask(&config, report, err);
}

int command_reach(int argc, char **argv)
{
    autojson *report = NULL;
    struct err err = ERR_INIT;

    (void)argc, (void)argv;
    return helper_report_end(HELPER_REPORT_FD, reach(&report, &err) ? TAKE_PTR(report) : NULL,
                             &err);
}

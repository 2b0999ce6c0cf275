/* What is different for an engine that is a cluster: its nodes get the image themselves. */
#include "shim/session.h"

#include <string.h>

/* The reference has to be one that nodes can pull. */
static bool check_reference(const struct session *session, struct err *err)
{
    if (session->reference.transport == TRANSPORT_REGISTRY)
        return true;
    err_set(err, ERR_OPTION_INVALID, "the nodes of a cluster cannot get '%s'",
            session->reference.given);
    return err_hint(err, "push it to a registry first: stepcell image push");
}

bool session_describe_image(struct session *session, struct err *err)
{
    const struct reference *reference = &session->reference;
    char *words[] = {
        "stepcell-image",
        "ensure",
        "--describe",
        "--manifest",
        session->locked_manifest ? session->locked_manifest : "",
        "--store",
        session->store.path,
        "--platform",
        session->platform_text,
        "--pull",
        (char *)session_pull_word(session->options.pull),
        "--user",
        session->options.user ? session->options.user : "",
        "--progress",
        (char *)session_progress_word(session),
        "--report",
        "3",
        (char *)reference->given,
        NULL,
    };
    const char *digest, *manifest;

    if (!check_reference(session, err))
        return false;
    if (session_saves_pull(session))
        return true;
    if (!session_run_helper(session, "stepcell-image", words, -1, err))
        return false;
    digest = json_text(session->helper_report, "digest");
    manifest = json_text(session->helper_report, "manifest_digest");
    session->name.digest = digest ? strdup(digest) : NULL;
    session->name.manifest_digest = manifest ? strdup(manifest) : NULL;
    session->bound = text_printf("%s/%s@%s", reference->host, reference->path, manifest);
    if (!session->name.digest || !session->name.manifest_digest || !session->bound)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory to prepare the step");
    if (!cluster_config_take(json_object_get(session->helper_report, "clusters"),
                             &session->cluster_config, err) ||
        !session_take_verified(session, err) || !session_take_image(session, err))
        return false;
    free(session->image_id);
    session->image_id = strdup(session->bound);
    session->has_image = session->image_id;
    return session->has_image ||
           err_set(err, ERR_ENGINE_FAILED, "not enough memory to prepare the step");
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to prepare the step");
}

bool session_lend_credentials(struct session *session, const char *image, struct err *err)
{
    autoreference reference = {0};

    if (!image || session->cluster_config.no_pull_secret)
        return true;
    return reference_parse(image, session->cwd, &reference, err) &&
           (reference.transport == TRANSPORT_REGISTRY ||
            err_set(err, ERR_OPTION_INVALID, "the nodes of a cluster cannot get '%s'", image)) &&
           (strv_take(&session->cluster_registries,
                      text_printf("%s/%s", reference.host, reference.path)) ||
            no_memory(err));
}

/* An option wins over the same of the configuration. */
static const char *choose(const char *option, const char *configured)
{
    return option ? option : configured;
}

const char *session_repository(const struct session *session)
{
    return choose(session->options.kubernetes_ship, session->cluster_config.ship);
}

bool session_choose_cluster(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    const struct cluster_config *config = &session->cluster_config;
    const struct strv *volumes[] = {&options->kubernetes_volumes, &config->volumes};
    const char *network = json_text(options->asked, "network");

    if (options->engine != ENGINE_KUBERNETES)
        return true;
    strv_release(&session->cluster_volumes);
    strv_release(&session->cluster_registries);
    for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
        for (size_t j = 0; j < volumes[i]->count; j++) {
            if (!strv_add(&session->cluster_volumes, volumes[i]->items[j]))
                return no_memory(err);
        }
    }
    session->cluster = (struct cluster_spec){
        .durable = session->durable,
        .kubeconfig = session->cluster_file,
        .context = choose(options->kubernetes_context, config->context),
        .space = choose(options->kubernetes_namespace, config->space),
        .init_image = choose(options->kubernetes_init, config->init_image),
        .arch = session->image.platform.arch,
        .volumes = &session->cluster_volumes,
        .host_network = network && strcmp(network, "host") == 0,
        .no_image_volumes = config->no_image_volumes,
        .groups_judged = session->policy.parts & PART_GROUPS,
        .service_account = config->service_account,
        .node_selector = config->node_selector,
        .labels = config->labels,
        .registries = &session->cluster_registries,
        .grace_ms = options->grace_ms,
    };
    session->spec.cluster = &session->cluster;
    return session_lend_credentials(session, session->reference.name, err);
}

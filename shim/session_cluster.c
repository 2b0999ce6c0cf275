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
    if (!session_take_verified(session, err) || !session_take_image(session, err))
        return false;
    free(session->image_id);
    session->image_id = strdup(session->bound);
    session->has_image = session->image_id;
    return session->has_image ||
           err_set(err, ERR_ENGINE_FAILED, "not enough memory to prepare the step");
}

void session_choose_cluster(struct session *session)
{
    const struct run_options *options = &session->options;
    const char *network = json_text(options->asked, "network");

    session->cluster = (struct cluster_spec){
        .context = options->kubernetes_context,
        .space = options->kubernetes_namespace,
        .init_image = options->kubernetes_init,
        .arch = session->image.platform.arch,
        .volumes = &options->kubernetes_volumes,
        .host_network = network && strcmp(network, "host") == 0,
        .grace_ms = options->grace_ms,
    };
    session->spec.cluster = &session->cluster;
}

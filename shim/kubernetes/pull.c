#include "shim/kubernetes/pull.h"

#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "runtime/image/credentials.h"
#include "shim/kubernetes/objects.h"

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the credentials of the nodes");
}

/* Under HOST/PATH: of a registry nodes get what this image needs. */
static bool add(json_t *auths, const char *name, struct err *err)
{
    const char *path = strchr(name, '/');
    autofree char *host = path ? strndup(name, (size_t)(path - name)) : NULL;
    autocredentials found = {0};

    if (!host)
        return err_set(err, ERR_ENGINE_FAILED, "the request of stepcell is not complete");
    if (!credentials_find(host, path + 1, &found, err))
        return false;
    return !found.basic ||
           json_object_set_new(auths, name, json_pack("{s:s}", "auth", found.basic)) == 0 ||
           no_memory(err);
}

static json_t *secret_of(const json_t *auths, const json_t *secret)
{
    const json_t *meta = json_object_get(secret, "metadata");
    autofree char *name = text_printf("%s" PULL_SUFFIX, json_text(meta, "name"));
    autojson *config = json_pack("{s:O}", "auths", auths);
    char *text = config ? json_dump_line(config) : NULL;
    char *encoded = text ? base64_encode(text, strlen(text)) : NULL;
    json_t *pull =
        name && encoded
            ? json_pack("{s:s, s:s, s:{s:s, s:O}, s:s, s:{s:s}}", "apiVersion", "v1", "kind",
                        "Secret", "metadata", "name", name, "labels",
                        json_object_get(meta, "labels"), "type", "kubernetes.io/dockerconfigjson",
                        "data", ".dockerconfigjson", encoded)
            : NULL;

    secret_free(text);
    secret_free(encoded);
    return pull;
}

bool pull_secret_make(const json_t *names, const json_t *secret, json_t **pull, struct err *err)
{
    autojson *auths = json_object();
    const json_t *name;
    size_t i;

    json_array_foreach (names, i, name) {
        if (!add(auths, json_string_value(name), err))
            return false;
    }
    *pull = json_object_size(auths) ? secret_of(auths, secret) : NULL;
    return *pull || !json_object_size(auths) || no_memory(err);
}

bool pull_secret_use(const json_t *pull, json_t *pod, struct err *err)
{
    const char *name = json_text(json_object_get(pull, "metadata"), "name");

    return json_object_set_new(json_object_get(pod, "spec"), "imagePullSecrets",
                               json_pack("[{s:s}]", "name", name)) == 0 ||
           no_memory(err);
}

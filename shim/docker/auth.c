#include "shim/docker/auth.h"

#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "runtime/image/credentials.h"

#define HUB     "docker.io"
#define HUB_KEY "https://index.docker.io/v1/" /* what a build calls it */

/* An object, or NULL where there are no credentials. */
static bool find(const struct reference *reference, json_t **json, struct err *err)
{
    autocredentials credentials = {0};
    char *text = NULL, *colon;
    size_t len;

    if (!credentials_find(reference->host, reference->path, &credentials, err))
        return false;
    if (credentials.identity) {
        *json = json_pack("{s:s, s:s}", "identitytoken", credentials.identity, "serveraddress",
                          reference->host);
    } else if (credentials.registry) {
        *json = json_pack("{s:s, s:s}", "registrytoken", credentials.registry, "serveraddress",
                          reference->host);
    } else if (credentials.basic && (text = base64_decode(credentials.basic, &len)) &&
               (colon = strchr(text, ':'))) {
        *colon = '\0';
        *json = json_pack("{s:s, s:s, s:s}", "username", text, "password", colon + 1,
                          "serveraddress", reference->host);
    }
    if (text)
        explicit_bzero(text, len);
    free(text);
    return true;
}

/* In base64 of RFC 4648, section 5. Takes the object. */
static bool encode(json_t *json, char **value, struct err *err)
{
    char *text = json ? json_dump_line(json) : NULL;

    *value = text ? base64_encode(text, strlen(text)) : NULL;
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    for (char *at = *value; at && *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    json_decref(json);
    return !json || *value || err_set(err, ERR_ENGINE_FAILED, "not enough memory");
}

static bool may_send(const struct reference *reference, const struct client *client,
                     const char *engine, struct err *err)
{
    if (client_is_private(client))
        return true;
    err_set(err, ERR_OPTION_INVALID,
            "the credentials for '%s' cannot be sent to a daemon of %s that speaks no TLS",
            reference->host, engine);
    return err_hint(err, "set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, use its socket, or let "
                         "the daemon have the image already");
}

static bool find_for(const struct reference *reference, const struct client *client,
                     const char *engine, json_t **json, struct err *err)
{
    *json = NULL;
    if (!find(reference, json, err))
        return false;
    if (!*json || may_send(reference, client, engine, err))
        return true;
    json_decref(*json);
    return false;
}

bool auth_find(const struct reference *reference, const struct client *client, const char *engine,
               char **auth, struct err *err)
{
    json_t *json;

    return find_for(reference, client, engine, &json, err) && encode(json, auth, err);
}

bool auth_find_config(const struct reference *reference, const struct client *client,
                      const char *engine, char **config, struct err *err)
{
    const char *key = strcmp(reference->host, HUB) == 0 ? HUB_KEY : reference->host;
    json_t *json;

    return find_for(reference, client, engine, &json, err) &&
           encode(json ? json_pack("{s:o}", key, json) : NULL, config, err);
}

#include "runtime/docker/endpoint.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"

#define UNIX "unix://"
#define TCP  "tcp://"

/* Of the host of tcp://, brackets of IPv6 included. */
#define HOST_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to find the engine");
}

static bool bad(const char *host, const char *engine, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "'%.200s' is no place of a daemon of %s", host, engine);
    return err_hint(err, "give unix:///PATH or tcp://HOST:PORT");
}

static const char *not_empty(const char *text)
{
    return text && *text ? text : NULL;
}

/* What is asked when nobody says anything; owned by the caller. */
static char *usual_host(bool podman, const struct endpoint_caller *caller)
{
    if (!podman)
        return strdup(UNIX "/var/run/docker.sock");
    if (caller->uid == 0 || !not_empty(caller->runtime_dir))
        return strdup(UNIX "/run/podman/podman.sock");
    return text_printf(UNIX "%s/podman/podman.sock", caller->runtime_dir);
}

/* HOST:PORT with a port that is a number; an address of IPv6 stands in brackets. */
static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
    uint64_t port;

    if (!colon || colon == text || text[strspn(text, HOST_BYTES)] != '\0' ||
        !num_parse(colon + 1, 65535, &port) || port == 0)
        return false;
    if (text[0] == '[')
        return bracket && bracket + 1 == colon && bracket > text + 1;
    return !bracket && !strchr(text, '[') && strchr(text, ':') == colon;
}

/* Where TLS is asked for, which the variables do for whatever host it is. */
static bool find_certificates(const struct endpoint_caller *caller, struct endpoint *endpoint,
                              struct err *err)
{
    if (!not_empty(caller->docker_tls_verify))
        return true;
    if (not_empty(caller->docker_cert_path))
        endpoint->certificates = strdup(caller->docker_cert_path);
    else if (not_empty(caller->home))
        endpoint->certificates = text_printf("%s/.docker", caller->home);
    else
        return err_set(err, ERR_OPTION_INVALID,
                       "DOCKER_TLS_VERIFY is set, and nothing says where the certificates are");
    return endpoint->certificates || no_memory(err);
}

static bool take(const char *engine, const struct endpoint_caller *caller,
                 struct endpoint *endpoint, struct err *err)
{
    const char *host = endpoint->host;

    if (strlen(host) > ENDPOINT_HOST_MAX)
        return bad(host, engine, err);
    if (strncmp(host, UNIX, strlen(UNIX)) == 0) {
        if (host[strlen(UNIX)] != '/')
            return bad(host, engine, err);
        endpoint->unix_socket = strdup(host + strlen(UNIX));
        endpoint->url = strdup("http://localhost");
        return (endpoint->unix_socket && endpoint->url) || no_memory(err);
    }
    if (strncmp(host, TCP, strlen(TCP)) != 0 || !is_address(host + strlen(TCP)))
        return bad(host, engine, err);
    if (!find_certificates(caller, endpoint, err))
        return false;
    endpoint->url =
        text_printf("http%s://%s", endpoint->certificates ? "s" : "", host + strlen(TCP));
    return endpoint->url || no_memory(err);
}

bool endpoint_find(const char *engine, const char *host, const struct endpoint_caller *caller,
                   struct endpoint *endpoint, struct err *err)
{
    bool podman = strcmp(engine, "podman") == 0;
    const char *variable = not_empty(podman ? caller->container_host : caller->docker_host);
    struct endpoint found = {0};

    host = host ? host : variable;
    found.host = host ? strdup(host) : usual_host(podman, caller);
    if (!found.host)
        return no_memory(err);
    if (!take(engine, caller, &found, err)) {
        endpoint_release(&found);
        return false;
    }
    *endpoint = found;
    return true;
}

void endpoint_release(struct endpoint *endpoint)
{
    free(endpoint->host);
    free(endpoint->unix_socket);
    free(endpoint->url);
    free(endpoint->certificates);
    *endpoint = (struct endpoint){0};
}

struct endpoint_caller endpoint_caller_now(void)
{
    return (struct endpoint_caller){
        .uid = geteuid(),
        .docker_host = getenv("DOCKER_HOST"),
        .docker_tls_verify = getenv("DOCKER_TLS_VERIFY"),
        .docker_cert_path = getenv("DOCKER_CERT_PATH"),
        .container_host = getenv("CONTAINER_HOST"),
        .home = getenv("HOME"),
        .runtime_dir = getenv("XDG_RUNTIME_DIR"),
    };
}

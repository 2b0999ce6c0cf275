#include "runtime/image/registry_config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/num.h"
#include "runtime/image/registry_users.h"
#include "runtime/net/url.h"

#define SYSTEM_FILE "/etc/stepcell/config.json"
#define PATH_CHARS  "abcdefghijklmnopqrstuvwxyz0123456789._-/"

/* ---- checking ---- */

static bool invalid(struct err *err, const char *path, const char *key, const char *why)
{
    err_set(err, ERR_CONFIG_INVALID, "'%s' in '%s' %s", key, path, why);
    return err_hint(err, "correct the file; docs/configuration.md describes it");
}

/* "HOST[:PORT]", with no more in it; an IPv6 address in brackets. */
static bool is_host(const char *text, size_t len)
{
    autofree char *url_text = text_printf("https://%.*s/", (int)len, text);
    autourl url = {0};

    if (len == 0 || len > 255 || memchr(text, '/', len) || memchr(text, '?', len) ||
        memchr(text, '#', len) || memchr(text, '\\', len) || memchr(text, '%', len) || *text == '.')
        return false;
    return url_text && url_parse(url_text, NULL, &url);
}

/* "HOST[:PORT][/PREFIX]" */
static bool is_location(const char *text)
{
    const char *prefix = strchr(text, '/');
    size_t len = prefix ? (size_t)(prefix - text) : strlen(text);

    if (!is_host(text, len))
        return false;
    if (!prefix)
        return true;
    /* Plain names between single slashes: nothing that a server could take for "..". */
    return prefix[1] && prefix[strlen(prefix) - 1] != '/' && !strstr(prefix, "//") &&
           !strstr(prefix, "/.") && !prefix[strspn(prefix, PATH_CHARS)];
}

static bool is_stall_timeout(const json_t *value)
{
    uint64_t ms;

    return json_is_string(value) && num_parse_duration(json_string_value(value), &ms) && ms > 0 &&
           ms <= REGISTRY_STALL_MAX_MS;
}

static bool check_mirror(json_t *mirror, const char *path, struct err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(mirror) || !json_object_get(mirror, "location"))
        return invalid(err, path, "mirrors", "needs objects with a 'location'");
    json_object_foreach (mirror, key, value) {
        if (strcmp(key, "location") == 0) {
            if (!json_is_string(value) || !is_location(json_string_value(value)))
                return invalid(err, path, key, "must be HOST[:PORT][/PREFIX]");
        } else if (strcmp(key, "resolve") == 0) {
            if (!json_is_boolean(value))
                return invalid(err, path, key, "must be true or false");
        } else {
            return invalid(err, path, key, "is not known in a mirror");
        }
    }
    return true;
}

static bool check_registry(const char *host, json_t *registry, const char *path, struct err *err)
{
    const char *key;
    json_t *value, *mirror;
    size_t i;

    if (!is_host(host, strlen(host)))
        return invalid(err, path, host, "must be HOST[:PORT]");
    if (!json_is_object(registry))
        return invalid(err, path, host, "must be an object");
    json_object_foreach (registry, key, value) {
        if (strcmp(key, "plain_http") == 0) {
            if (!json_is_boolean(value))
                return invalid(err, path, key, "must be true or false");
        } else if (strcmp(key, "mirrors") == 0) {
            if (!json_is_array(value) || json_array_size(value) > REGISTRY_MIRRORS_MAX)
                return invalid(err, path, key, "must be a list of at most 8 mirrors");
            json_array_foreach (value, i, mirror) {
                if (!check_mirror(mirror, path, err))
                    return false;
            }
        } else {
            return invalid(err, path, key, "is not known for a registry");
        }
    }
    return true;
}

static bool check_file(json_t *file, const char *path, struct err *err)
{
    const char *key, *host;
    json_t *value, *registry;

    if (!json_is_object(file))
        return err_set(err, ERR_CONFIG_INVALID, "'%s' is no JSON object", path);
    json_object_foreach (file, key, value) {
        if (strcmp(key, "stall_timeout") == 0) {
            if (!is_stall_timeout(value))
                return invalid(err, path, key, "must be a duration up to 1h, such as \"30s\"");
        } else if (strcmp(key, "registries") == 0) {
            if (!json_is_object(value))
                return invalid(err, path, key, "must be an object");
            json_object_foreach (value, host, registry) {
                if (!check_registry(host, registry, path, err))
                    return false;
            }
        } else if (strcmp(key, "kubernetes") == 0) {
            /* Its keys are looked at by who runs a step there. */
            if (!json_is_object(value))
                return invalid(err, path, key, "must be an object");
        } else {
            return invalid(err, path, key, "is not known");
        }
    }
    return true;
}

/* ---- loading ---- */

static bool take_file(json_t *file, const char *path, size_t index, struct registry_config *config,
                      struct err *err)
{
    if (!check_file(file, path, err))
        return false;
    config->paths[index] = strdup(path);
    if (!config->paths[index])
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for '%s'", path);
    config->files[index] = json_incref(file);
    return true;
}

bool registry_config_parse(const char *text, size_t len, const char *path,
                           struct registry_config *config, struct err *err)
{
    autojson *file = json_parse(text, len, path, ERR_CONFIG_INVALID, err);

    return file && take_file(file, path, 0, config, err);
}

static bool load_file(const char *path, size_t index, struct registry_config *config,
                      struct err *err)
{
    autojson *file = NULL;

    if (faccessat(AT_FDCWD, path, F_OK, 0) < 0)
        return true;
    file = json_read_file(AT_FDCWD, path, REGISTRY_CONFIG_MAX, ERR_CONFIG_INVALID, err);
    return file && take_file(file, path, index, config, err);
}

static char *user_file(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && *config == '/')
        return text_printf("%s/stepcell/config.json", config);
    return home && *home == '/' ? text_printf("%s/.config/stepcell/config.json", home) : NULL;
}

bool registry_config_load(struct registry_config *config, struct err *err)
{
    autofree char *own = registry_users_configure() ? user_file() : NULL;
    autoregistryconfig loaded = {0};

    if ((own && !load_file(own, 0, &loaded, err)) || !load_file(SYSTEM_FILE, 1, &loaded, err))
        return false;
    *config = loaded;
    loaded = (struct registry_config){0};
    return true;
}

void registry_config_release(struct registry_config *config)
{
    for (size_t i = 0; i < REGISTRY_CONFIG_FILES_MAX; i++) {
        json_decref(config->files[i]);
        free(config->paths[i]);
    }
    *config = (struct registry_config){0};
}

/* ---- asking ---- */

/* The entry of the first file that has one. */
static json_t *find_registry(const struct registry_config *config, const char *host)
{
    for (size_t i = 0; i < REGISTRY_CONFIG_FILES_MAX; i++) {
        json_t *registries = json_object_get(config->files[i], "registries"), *registry;
        const char *key;

        json_object_foreach (registries, key, registry) {
            if (strcasecmp(key, host) == 0)
                return registry;
        }
    }
    return NULL;
}

enum plain_http registry_config_plain_http(const struct registry_config *config, const char *host)
{
    const json_t *value = json_object_get(find_registry(config, host), "plain_http");

    if (!value)
        return PLAIN_HTTP_UNSET;
    return json_is_true(value) ? PLAIN_HTTP_YES : PLAIN_HTTP_NO;
}

void registry_mirror_release(struct registry_mirror *mirror)
{
    free(mirror->host);
    free(mirror->prefix);
    *mirror = (struct registry_mirror){0};
}

bool registry_config_mirrors(const struct registry_config *config, const char *host,
                             struct registry_mirror mirrors[REGISTRY_MIRRORS_MAX], size_t *count)
{
    json_t *list = json_object_get(find_registry(config, host), "mirrors"), *entry;
    size_t i;

    *count = 0;
    json_array_foreach (list, i, entry) {
        const char *location = json_text(entry, "location");
        size_t len = strcspn(location, "/");
        struct registry_mirror *mirror = &mirrors[(*count)++];

        *mirror = (struct registry_mirror){
            .host = strndup(location, len),
            .prefix = strdup(location + len + (location[len] == '/')),
            .resolve = json_is_true(json_object_get(entry, "resolve")),
        };
        if (!mirror->host || !mirror->prefix)
            return false;
    }
    return true;
}

unsigned int registry_config_stall_ms(const struct registry_config *config)
{
    uint64_t ms;

    for (size_t i = 0; i < REGISTRY_CONFIG_FILES_MAX; i++) {
        const char *text = json_text(config->files[i], "stall_timeout");

        if (text && num_parse_duration(text, &ms))
            return (unsigned int)ms;
    }
    return 0;
}

json_t *registry_config_clusters(const struct registry_config *config)
{
    autojson *list = json_array();

    for (size_t i = 0; list && i < REGISTRY_CONFIG_FILES_MAX; i++) {
        json_t *settings = json_object_get(config->files[i], "kubernetes");

        if (settings && json_array_append_new(
                            list, json_pack("{s:o, s:O}", "file",
                                            json_bytes(config->paths[i], strlen(config->paths[i])),
                                            "settings", settings)) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

#include "runtime/image/registry_certs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "runtime/image/registry_users.h"

static char *config_home(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && *config == '/')
        return strdup(config);
    return home && *home == '/' ? text_printf("%s/.config", home) : NULL;
}

/* Opens PARENT/NAME, for what may be called so; -1 when it is not there. */
static int open_named(const char *parent, const struct url *url, bool with_port, char **path)
{
    autofree char *name = with_port ? text_printf("%s/%s:%u", parent, url->host, url->port)
                                    : text_printf("%s/%s", parent, url->host);
    int fd = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0)
        *path = TAKE_PTR(name);
    return fd;
}

/* The directory for an origin, or -1. A name from a redirect must not climb. */
static int open_directory(const struct url *url, char **path)
{
    autofree char *home = registry_users_configure() ? config_home() : NULL;
    autofree char *containers = home ? text_printf("%s/containers/certs.d", home) : NULL;
    autofree char *docker = home ? text_printf("%s/docker/certs.d", home) : NULL;
    const char *const parents[] = {containers, docker, "/etc/containers/certs.d",
                                   "/etc/docker/certs.d"};
    int fd = -1;

    if (*url->host == '.' || strchr(url->host, '/'))
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(parents) && fd < 0; i++) {
        if (!parents[i])
            continue;
        fd = open_named(parents[i], url, true, path);
        if (fd < 0 && url->port == (url->https ? 443 : 80))
            fd = open_named(parents[i], url, false, path);
    }
    return fd;
}

bool registry_certs_exist(const struct url *url)
{
    autofree char *path = NULL;
    autofd directory = open_directory(url, &path);

    return directory >= 0;
}

/* What is collected from one directory. */
struct scan {
    const char *path;
    struct buf authorities;
    struct strv names; /* of client certificates, without ".cert" */
    struct strv keys;  /* of keys, without ".key" */
    size_t count;
    struct err *err;
    bool failed;
};

/* NAME without `suffix`, or NULL when it ends otherwise. */
static char *stem(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    if (len <= suffix_len || strcmp(name + len - suffix_len, suffix) != 0)
        return NULL;
    return strndup(name, len - suffix_len);
}

static bool scan_entry(void *data, int directory, const char *name)
{
    struct scan *scan = data;
    autofree char *authority = stem(name, ".crt");
    char *certificate = stem(name, ".cert"), *key = stem(name, ".key");
    bool ok = true;

    if (++scan->count > CERTS_FILES_MAX)
        ok = err_set(scan->err, ERR_CONFIG_INVALID, "'%s' holds more than %d files", scan->path,
                     CERTS_FILES_MAX);
    else if (authority)
        ok = file_read(directory, name, &scan->authorities, ERR_CONFIG_INVALID, scan->err) &&
             buf_append_text(&scan->authorities, "\n");
    if ((certificate && !strv_take(&scan->names, certificate)) ||
        (key && !strv_take(&scan->keys, key)))
        ok = err_errno(scan->err, ERR_ENGINE_FAILED, "cannot read '%s'", name);
    scan->failed = !ok;
    return ok;
}

static void scan_release(struct scan *scan)
{
    buf_release(&scan->authorities);
    strv_release(&scan->names);
    strv_release(&scan->keys);
}

static bool check_pairs(const struct scan *scan, struct err *err)
{
    for (size_t i = 0; i < scan->names.count; i++) {
        if (!strv_contains(&scan->keys, scan->names.items[i])) {
            err_set(err, ERR_CONFIG_INVALID, "'%s/%s.cert' has no key", scan->path,
                    scan->names.items[i]);
            return err_hint(err, "put its key beside it, as '%s.key'", scan->names.items[i]);
        }
    }
    for (size_t i = 0; i < scan->keys.count; i++) {
        if (!strv_contains(&scan->names, scan->keys.items[i])) {
            err_set(err, ERR_CONFIG_INVALID, "'%s/%s.key' has no certificate", scan->path,
                    scan->keys.items[i]);
            return err_hint(err, "put it beside it, as '%s.cert'; authorities end in '.crt'",
                            scan->keys.items[i]);
        }
    }
    return true;
}

static bool take_client(const struct scan *scan, struct http_tls *tls, struct err *err)
{
    const char *first = scan->names.count ? scan->names.items[0] : NULL;

    for (size_t i = 1; i < scan->names.count; i++) {
        if (strcmp(scan->names.items[i], first) < 0)
            first = scan->names.items[i];
    }
    if (!first)
        return true;
    tls->certificate = text_printf("%s/%s.cert", scan->path, first);
    tls->key = text_printf("%s/%s.key", scan->path, first);
    if (!tls->certificate || !tls->key)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", scan->path);
    if (faccessat(AT_FDCWD, tls->certificate, R_OK, 0) < 0 ||
        faccessat(AT_FDCWD, tls->key, R_OK, 0) < 0) {
        err_errno(err, ERR_CONFIG_INVALID, "cannot read the client's certificate '%s' or its key",
                  tls->certificate);
        return err_hint(err, "let this user read both, or give it its own below "
                             "~/.config/containers/certs.d");
    }
    return true;
}

bool registry_certs_find(const struct url *url, struct http_tls *tls, struct err *err)
{
    autofree char *path = NULL;
    autofd directory = open_directory(url, &path);
    CLEANUP(scan_release)
    struct scan scan = {.path = path, .authorities = BUF_INIT(CERTS_MAX), .err = err};
    autotls found = {0};

    if (directory < 0)
        return true;
    if (!file_each_entry(directory, ".", scan_entry, &scan))
        return scan.failed ? err_context(err, "'%s'", path)
                           : err_errno(err, ERR_CONFIG_INVALID, "cannot read '%s'", path);
    if (!check_pairs(&scan, err) || !take_client(&scan, &found, err))
        return false;
    if (scan.authorities.len) {
        found.authorities = buf_take(&scan.authorities);
        if (!found.authorities)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", path);
    }
    *tls = found;
    found = (struct http_tls){0};
    return true;
}

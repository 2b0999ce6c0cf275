#include "runtime/image/credentials.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

void credentials_release(struct credentials *credentials)
{
    if (credentials->basic)
        explicit_bzero(credentials->basic, strlen(credentials->basic));
    free(credentials->basic);
    free(credentials->helper);
    *credentials = (struct credentials){0};
}

/* $VARIABLE/FILE, or NULL. */
static char *in_directory(const char *variable, const char *file)
{
    const char *dir = getenv(variable);

    return dir && *dir == '/' ? text_printf("%s/%s", dir, file) : NULL;
}

static char *docker_file(void)
{
    char *path = in_directory("DOCKER_CONFIG", "config.json");

    return path ? path : in_directory("HOME", ".docker/config.json");
}

static char *containers_file(void)
{
    return in_directory("XDG_RUNTIME_DIR", "containers/auth.json");
}

/* "https://index.docker.io/v1/" and "HOST/" are older spellings of HOST. */
static char *plain_key(const char *key)
{
    static const char *const schemes[] = {"https://", "http://"};
    static const char *const suffixes[] = {"/", "/v1", "/v2"};
    autofree char *plain = NULL;
    size_t len;

    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (strncmp(key, schemes[i], strlen(schemes[i])) == 0)
            key += strlen(schemes[i]);
    }
    plain = strdup(key);
    len = plain ? strlen(plain) : 0;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        size_t suffix = strlen(suffixes[i]);

        if (len > suffix && strcmp(plain + len - suffix, suffixes[i]) == 0)
            plain[len -= suffix] = '\0';
    }
    if (plain && strcmp(plain, "index.docker.io") == 0)
        return strdup("docker.io");
    return TAKE_PTR(plain);
}

/* How many bytes of HOST/PATH a key covers, by whole components; 0 when it is another's. */
static size_t covers(const char *key, const char *name)
{
    autofree char *plain = plain_key(key);
    size_t len = plain ? strlen(plain) : 0;

    return len && strncmp(name, plain, len) == 0 && (name[len] == '/' || !name[len]) ? len : 0;
}

static bool take_auth(const json_t *auths, const char *name, const char *path,
                      struct credentials *credentials, struct err *err)
{
    json_t *entries = (json_t *)auths, *entry, *best = NULL;
    size_t best_len = 0;
    const char *key, *auth;

    json_object_foreach (entries, key, entry) {
        size_t len = covers(key, name);

        if (len > best_len && json_text(entry, "auth")) {
            best = entry;
            best_len = len;
        }
    }
    auth = json_text(best, "auth");
    if (!auth || !*auth)
        return true;
    if (auth[strspn(auth, BASE64)])
        return err_set(err, ERR_CONFIG_INVALID, "an entry of 'auths' in '%s' is not base64", path);
    credentials->basic = strdup(auth);
    return credentials->basic || err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", path);
}

static bool take_helper(const json_t *file, const char *host, struct credentials *credentials)
{
    const char *helper = json_text(json_object_get(file, "credHelpers"), host);

    if (!helper)
        helper = json_text(file, "credsStore");
    if (helper && *helper && !credentials->helper)
        credentials->helper = strdup(helper);
    return true;
}

static bool read_file(const char *path, const struct reference *reference,
                      struct credentials *credentials, struct err *err)
{
    autofree char *name = text_printf("%s/%s", reference->host, reference->path);
    autojson *file = NULL;

    if (!name)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", path);
    if (faccessat(AT_FDCWD, path, R_OK, 0) < 0)
        return true;
    file = json_read_file(AT_FDCWD, path, CREDENTIALS_FILE_MAX, ERR_CONFIG_INVALID, err);
    if (!file)
        return false;
    return take_auth(json_object_get(file, "auths"), name, path, credentials, err) &&
           take_helper(file, reference->host, credentials);
}

bool credentials_find(const struct reference *reference, struct credentials *credentials,
                      struct err *err)
{
    char *(*const files[])(void) = {docker_file, containers_file};
    autocredentials found = {0};

    for (size_t i = 0; i < ARRAY_SIZE(files) && !found.basic; i++) {
        autofree char *path = files[i]();

        if (path && !read_file(path, reference, &found, err))
            return false;
    }
    *credentials = found;
    found = (struct credentials){0};
    return true;
}

#include "runtime/image/credentials.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/caller.h"
#include "base/file.h"
#include "runtime/image/credential_helper.h"
#include "runtime/image/registry_users.h"

#define HUB_HOST   "docker.io"
#define HUB_SERVER "https://index.docker.io/v1/" /* what helpers know the Hub by */
#define TOKEN_USER "<token>"                     /* the user of an identity token, to helpers */

void secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void credentials_release(struct credentials *credentials)
{
    secret_free(credentials->basic);
    secret_free(credentials->identity);
    secret_free(credentials->registry);
    *credentials = (struct credentials){0};
}

static bool is_empty(const struct credentials *credentials)
{
    return !credentials->basic && !credentials->identity && !credentials->registry;
}

/* ---- where files are ---- */

static const char *find_variable(const char *name)
{
    return registry_users_configure() ? getenv(name) : NULL;
}

/* $VARIABLE/FILE, or NULL. */
static char *in_directory(const char *variable, const char *file)
{
    const char *dir = find_variable(variable);

    return dir && *dir == '/' ? text_printf("%s/%s", dir, file) : NULL;
}

static char *in_home(const char *file)
{
    autofree char *home = registry_users_configure() ? NULL : caller_home();

    return home ? text_printf("%s/%s", home, file) : in_directory("HOME", file);
}

static char *given_file(void)
{
    const char *path = find_variable("REGISTRY_AUTH_FILE");

    return path && *path ? strdup(path) : NULL;
}

static char *docker_file(void)
{
    char *path = in_directory("DOCKER_CONFIG", "config.json");

    return path ? path : in_home(".docker/config.json");
}

static char *runtime_file(void)
{
    return in_directory("XDG_RUNTIME_DIR", "containers/auth.json");
}

static char *containers_file(void)
{
    char *path = in_directory("XDG_CONFIG_HOME", "containers/auth.json");

    return path ? path : in_home(".config/containers/auth.json");
}

/* ---- entries ---- */

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

/* "USER:PASSWORD" in base64; a user alone, as beside an identity token, is none. */
static bool take_pair(const char *user, const char *password, struct credentials *credentials,
                      struct err *err)
{
    char *pair = text_printf("%s:%s", user, password);

    if (pair)
        credentials->basic = base64_encode(pair, strlen(pair));
    secret_free(pair);
    return credentials->basic || err_errno(err, ERR_ENGINE_FAILED, "cannot read credentials");
}

/* `auth`: base64 of USER:PASSWORD, which older tools end with NUL bytes. */
static bool take_auth(const char *auth, const char *file, struct credentials *credentials,
                      struct err *err)
{
    size_t len = 0;
    char *pair = base64_decode(auth, &len), *colon;
    bool ok = false;

    while (pair && len && pair[len - 1] == '\0')
        len--;
    colon = pair ? memchr(pair, ':', len) : NULL;
    if (!colon || colon == pair || memchr(pair, '\0', len)) {
        err_set(err, ERR_CONFIG_INVALID, "an 'auth' in '%s' is not base64 of USER:PASSWORD", file);
        err_hint(err, "log in again");
    } else {
        *colon = '\0';
        /* Beside an identity token the password is empty. */
        ok = !colon[1] || take_pair(pair, colon + 1, credentials, err);
    }
    if (pair)
        explicit_bzero(pair, len);
    free(pair);
    return ok;
}

static bool take_text(const json_t *entry, const char *key, char **place, struct err *err)
{
    const char *text = json_text(entry, key);

    if (!text || !*text)
        return true;
    *place = strdup(text);
    return *place || err_errno(err, ERR_ENGINE_FAILED, "cannot read credentials");
}

static bool take_entry(const json_t *entry, const char *file, struct credentials *credentials,
                       struct err *err)
{
    const char *auth = json_text(entry, "auth"), *user = json_text(entry, "username"),
               *password = json_text(entry, "password");

    if (!take_text(entry, "identitytoken", &credentials->identity, err) ||
        !take_text(entry, "registrytoken", &credentials->registry, err))
        return false;
    if (auth && *auth)
        return take_auth(auth, file, credentials, err);
    if (user && *user && password && *password)
        return take_pair(user, password, credentials, err);
    return true;
}

/* Logging in through a helper leaves an entry with nothing in it behind. */
static bool has_content(const json_t *entry)
{
    static const char *const keys[] = {"auth", "identitytoken", "registrytoken", "username"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *text = json_text(entry, keys[i]);

        if (text && *text)
            return true;
    }
    return false;
}

bool credentials_from_auths(const json_t *auths, const char *host, const char *path,
                            const char *file, struct credentials *credentials, struct err *err)
{
    autofree char *name = text_printf("%s/%s", host, path);
    json_t *entries = (json_t *)auths, *entry, *best = NULL;
    autocredentials found = {0};
    size_t best_len = 0;
    const char *key;

    if (!name)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", file);
    json_object_foreach (entries, key, entry) {
        size_t len = covers(key, name);

        if (len > best_len && has_content(entry)) {
            best = entry;
            best_len = len;
        }
    }
    if (!take_entry(best, file, &found, err))
        return false;
    *credentials = found;
    found = (struct credentials){0};
    return true;
}

/* ---- helpers ---- */

bool credentials_from_answer(const char *text, size_t len, const char *helper,
                             struct credentials *credentials, struct err *err)
{
    struct err ignored; /* what jansson says of the text could quote it */
    autojson *json = json_parse(text, len, helper, ERR_REGISTRY_AUTH, &ignored);
    const char *user = json_text(json, "Username"), *secret = json_text(json, "Secret");

    if (!user || !secret || strchr(user, ':')) {
        err_set(err, ERR_REGISTRY_AUTH,
                "the credential helper 'docker-credential-%s' answers without a user and a secret",
                helper);
        return err_hint(err, "try it by hand: echo HOST | docker-credential-%s get", helper);
    }
    if (!*secret)
        return true;
    if (strcmp(user, TOKEN_USER) == 0) {
        credentials->identity = strdup(secret);
        return credentials->identity ||
               err_errno(err, ERR_ENGINE_FAILED, "cannot read credentials");
    }
    return take_pair(user, secret, credentials, err);
}

/* The helper's name for a host, or NULL. */
static const char *find_helper(const json_t *file, const char *host)
{
    json_t *helpers = json_object_get(file, "credHelpers"), *value;
    const char *key;

    json_object_foreach (helpers, key, value) {
        autofree char *plain = plain_key(key);

        if (plain && strcmp(plain, host) == 0 && json_string_length(value) > 0)
            return json_string_value(value);
    }
    return json_text(file, "credsStore");
}

static bool ask_helper(const json_t *file, const char *host, const char *path,
                       struct credentials *credentials, struct err *err)
{
    autobuf answer = BUF_INIT(HELPER_ANSWER_MAX);
    const char *helper = find_helper(file, host);
    bool ok;

    if (!helper || !*helper)
        return true;
    if (!helper_name_is_valid(helper))
        return err_set(err, ERR_CONFIG_INVALID, "'%s' names the credential helper '%.200s'", path,
                       helper);
    ok = helper_get(helper, strcmp(host, HUB_HOST) == 0 ? HUB_SERVER : host, &answer, err);
    if (ok && answer.len)
        ok = credentials_from_answer(answer.data, answer.len, helper, credentials, err);
    if (answer.data)
        explicit_bzero(answer.data, answer.len);
    return ok;
}

/* ---- files ---- */

/* As json_read_file, with a message that quotes nothing of the text. */
static json_t *load_file(const char *path, struct err *err)
{
    autobuf text = BUF_INIT(CREDENTIALS_FILE_MAX);
    struct err quoting;
    json_t *file;

    if (!file_read(AT_FDCWD, path, &text, ERR_CONFIG_INVALID, err))
        return NULL;
    file = json_parse(text.data ? text.data : "", text.len, path, ERR_CONFIG_INVALID, &quoting);
    if (text.data)
        explicit_bzero(text.data, text.len);
    if (!file) {
        err_set(err, ERR_CONFIG_INVALID, "'%s' is not valid JSON", path);
        err_hint(err, "correct it, or log in again");
    }
    return file;
}

static bool read_file(const char *path, const char *host, const char *repository,
                      struct credentials *credentials, struct err *err)
{
    autojson *file = NULL;

    if (faccessat(AT_FDCWD, path, R_OK, 0) < 0)
        return true;
    file = load_file(path, err);
    if (!file || !ask_helper(file, host, path, credentials, err))
        return false;
    return !is_empty(credentials) || credentials_from_auths(json_object_get(file, "auths"), host,
                                                            repository, path, credentials, err);
}

bool credentials_find(const char *host, const char *path, struct credentials *credentials,
                      struct err *err)
{
    char *(*const files[])(void) = {given_file, docker_file, runtime_file, containers_file};
    autocredentials found = {0};

    for (size_t i = 0; i < ARRAY_SIZE(files) && is_empty(&found); i++) {
        autofree char *file = files[i]();

        if (file && !read_file(file, host, path, &found, err))
            return false;
    }
    *credentials = found;
    found = (struct credentials){0};
    return true;
}

#include "runtime/image/reference.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/num.h"
#include "base/path.h"

#define SHA256_PREFIX  "sha256:"
#define SHA256_HEX_LEN 64
#define DEFAULT_HOST   "docker.io"
#define HTTPS_PORT     ":443"

static const struct {
    const char *prefix;
    enum transport transport;
} local_transports[] = {
    {"oci:", TRANSPORT_OCI},
    {"docker-archive:", TRANSPORT_DOCKER_ARCHIVE},
    {"oci-archive:", TRANSPORT_OCI_ARCHIVE},
};

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") == len && text[len] == '\0';
}

bool digest_is_valid(const char *text)
{
    size_t prefix = strlen(SHA256_PREFIX);

    return text && strncmp(text, SHA256_PREFIX, prefix) == 0 &&
           is_hex(text + prefix, SHA256_HEX_LEN);
}

const char *digest_hex(const char *digest)
{
    return digest + strlen(SHA256_PREFIX);
}

void reference_release(struct reference *reference)
{
    free(reference->given);
    free(reference->name);
    free(reference->host);
    free(reference->path);
    free(reference->tag);
    free(reference->digest);
    *reference = (struct reference){0};
}

static bool invalid(const char *text, const char *why, struct err *err)
{
    return err_set(err, ERR_OPTION_INVALID, "'%s' is not an image reference: %s", text, why);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read an image reference");
}

static bool is_tag(const char *tag)
{
    size_t len = strlen(tag);

    if (len == 0 || len > REFERENCE_TAG_MAX || !(isalnum((unsigned char)*tag) || *tag == '_'))
        return false;
    for (; *tag; tag++) {
        if (!isalnum((unsigned char)*tag) && !strchr("_.-", *tag))
            return false;
    }
    return true;
}

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One component: runs of [a-z0-9] with '.', '_', "__" or any number of '-' between them. */
static bool is_component(const char *text, size_t len)
{
    size_t i = 0;

    for (;;) {
        size_t start = i;

        while (i < len && is_lower_alnum(text[i]))
            i++;
        if (i == start)
            return false;
        if (i == len)
            return true;
        if (text[i] == '-') {
            while (i < len && text[i] == '-')
                i++;
        } else if (text[i] == '_') {
            i += i + 1 < len && text[i + 1] == '_' ? 2 : 1;
        } else if (text[i] == '.') {
            i++;
        } else {
            return false;
        }
    }
}

static bool is_repository(const char *path)
{
    for (;;) {
        const char *end = strchrnul(path, '/');

        if (!is_component(path, (size_t)(end - path)))
            return false;
        if (!*end)
            return true;
        path = end + 1;
    }
}

/* Labels of letters, digits and inner '-', with '.' between; *end is what follows. */
static bool is_domain(const char *p, const char **end)
{
    for (;; p++) {
        const char *start = p;

        while (isalnum((unsigned char)*p) || *p == '-')
            p++;
        if (p == start || *start == '-' || p[-1] == '-')
            return false;
        if (*p != '.')
            break;
    }
    *end = p;
    return true;
}

/* An IPv6 address in brackets; what is in them is libcurl's to judge. */
static bool is_bracketed(const char *p, const char **end)
{
    size_t len = strspn(p + 1, "0123456789abcdefABCDEF:.");

    *end = p + len + 2;
    return *p == '[' && len > 0 && p[1 + len] == ']';
}

/* HOST[:PORT] */
static bool is_host(const char *host)
{
    const char *end;
    uint64_t port;

    if (!is_bracketed(host, &end) && !is_domain(host, &end))
        return false;
    return *end == '\0' || (*end == ':' && num_parse(end + 1, UINT16_MAX, &port));
}

/* distribution/reference, splitDockerDomain: what makes the first component a host. */
static bool names_host(const char *first)
{
    if (strcmp(first, "localhost") == 0 || strpbrk(first, ".:["))
        return true;
    for (; *first; first++) {
        if (isupper((unsigned char)*first))
            return true;
    }
    return false;
}

char *reference_host(const char *host)
{
    static const char *const hub[] = {"index.docker.io", "registry-1.docker.io"};
    autofree char *text = strdup(host);
    char *colon = text ? strrchr(text, ':') : NULL;

    for (char *p = text; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (colon && strcmp(colon, HTTPS_PORT) == 0)
        *colon = '\0';
    for (size_t i = 0; text && i < ARRAY_SIZE(hub); i++) {
        if (strcmp(text, hub[i]) == 0)
            return strdup(DEFAULT_HOST);
    }
    return TAKE_PTR(text);
}

/* Cuts "@DIGEST" and ":TAG" off `name`. */
static bool take_suffixes(const char *text, char *name, struct reference *reference,
                          struct err *err)
{
    char *at = strchr(name, '@'), *slash, *colon;

    if (at) {
        *at++ = '\0';
        if (!digest_is_valid(at))
            return invalid(text, "a digest is 'sha256:' and 64 lower-case hexadecimal digits", err);
        reference->digest = strdup(at);
        if (!reference->digest)
            return no_memory(err);
    }
    slash = strrchr(name, '/');
    colon = strrchr(slash ? slash : name, ':');
    if (colon) {
        *colon++ = '\0';
        if (!is_tag(colon))
            return invalid(text, "a tag has letters, digits, '_', '.' and '-', 128 at the most",
                           err);
        reference->tag = strdup(colon);
    } else if (!at) {
        reference->tag = strdup("latest");
    }
    return reference->tag || reference->digest || no_memory(err);
}

static bool take_name(const char *text, char *name, struct reference *reference, struct err *err)
{
    char *slash = strchr(name, '/');
    const char *host = DEFAULT_HOST, *library;
    autofree char *compared = NULL;

    if (slash) {
        *slash = '\0';
        if (names_host(name)) {
            compared = reference_host(name);
            if (!compared)
                return no_memory(err);
            /* Docker Hub has several names; API clients and credential files know it by one. */
            if (strcmp(compared, DEFAULT_HOST) != 0)
                host = name;
            name = slash + 1;
        } else {
            *slash = '/';
        }
    }
    if (!is_host(host))
        return invalid(text, "the registry is not HOST[:PORT]", err);
    if (is_hex(name, SHA256_HEX_LEN))
        return invalid(text, "64 hexadecimal digits are an image id, not a name", err);
    if (!is_repository(name))
        return invalid(text,
                       "a name has lower-case letters and digits, with '.', '_', '-' between and "
                       "'/' between components",
                       err);
    library = strcmp(host, DEFAULT_HOST) == 0 && !strchr(name, '/') ? "library/" : "";
    if (strlen(host) + 1 + strlen(library) + strlen(name) > REFERENCE_NAME_MAX)
        return invalid(text, "the name is longer than 255 bytes", err);
    reference->host = strdup(host);
    reference->path = text_printf("%s%s", library, name);
    return (reference->host && reference->path) || no_memory(err);
}

static bool parse_registry(const char *text, struct reference *reference, struct err *err)
{
    autofree char *name = strdup(text);

    if (!name)
        return no_memory(err);
    if (!take_suffixes(text, name, reference, err) || !take_name(text, name, reference, err))
        return false;
    reference->name =
        text_printf("%s/%s%s%s%s%s", reference->host, reference->path, reference->tag ? ":" : "",
                    reference->tag ? reference->tag : "", reference->digest ? "@" : "",
                    reference->digest ? reference->digest : "");
    return reference->name || no_memory(err);
}

/* The absolute form of a local path. One with ".." means what the disk says it means. */
static char *absolute_path(const char *cwd, const char *path)
{
    autofree char *joined = NULL;
    char *clean = path_clean(cwd, path);

    if (clean)
        return clean;
    joined = *path == '/' ? strdup(path) : text_printf("%s/%s", cwd, path);
    return joined ? realpath(joined, NULL) : NULL;
}

/* The ':' in front of the tag of a local reference, or NULL. */
static char *find_local_tag(enum transport transport, char *rest)
{
    char *colon;

    /* A docker reference holds '/' and ':' itself, so the file's name cannot. */
    if (transport == TRANSPORT_DOCKER_ARCHIVE)
        return strchr(rest, ':');
    colon = strrchr(rest, ':');
    return colon && !strchr(colon, '/') ? colon : NULL;
}

static bool take_local_tag(const char *text, const char *tag, struct reference *reference,
                           struct err *err)
{
    autoreference image = {0};

    if (*tag == '\0')
        return invalid(text, "there is nothing behind the last ':'", err);
    /* RepoTags are written with and without their defaults: the normal form compares. */
    if (reference->transport == TRANSPORT_DOCKER_ARCHIVE) {
        if (!parse_registry(tag, &image, err))
            return false;
        tag = image.name;
    }
    reference->tag = strdup(tag);
    return reference->tag || no_memory(err);
}

/* Records of the store and indexes of layouts are JSON, which holds nothing else. */
static bool is_utf8(const char *text)
{
    autojson *string = json_string(text);

    return string;
}

static bool parse_local(const char *text, const char *prefix, const char *cwd,
                        struct reference *reference, struct err *err)
{
    autofree char *rest = strdup(text + strlen(prefix));
    char *colon;

    if (!rest)
        return no_memory(err);
    colon = find_local_tag(reference->transport, rest);
    if (colon) {
        *colon++ = '\0';
        if (!take_local_tag(text, colon, reference, err))
            return false;
    }
    if (*rest == '\0')
        return invalid(text, "it names no file", err);
    reference->path = absolute_path(cwd, rest);
    if (!reference->path)
        return err_errno(err, ERR_IMAGE_NOT_FOUND, "cannot find '%s'", rest);
    reference->name = text_printf("%s%s%s%s", prefix, reference->path, reference->tag ? ":" : "",
                                  reference->tag ? reference->tag : "");
    if (!reference->name)
        return no_memory(err);
    return is_utf8(reference->name) || invalid(text, "its path or tag is not UTF-8", err);
}

static bool parse(const char *text, const char *cwd, struct reference *reference, struct err *err)
{
    reference->given = strdup(text);
    if (!reference->given)
        return no_memory(err);
    for (size_t i = 0; i < ARRAY_SIZE(local_transports); i++) {
        const char *prefix = local_transports[i].prefix;

        if (strncmp(text, prefix, strlen(prefix)) == 0) {
            reference->transport = local_transports[i].transport;
            return parse_local(text, prefix, cwd, reference, err);
        }
    }
    return parse_registry(text, reference, err);
}

bool reference_parse(const char *text, const char *cwd, struct reference *reference,
                     struct err *err)
{
    autoreference parsed = {.transport = TRANSPORT_REGISTRY};

    if (*text == '\0')
        return err_set(err, ERR_OPTION_INVALID, "an image reference is empty");
    if (strlen(text) > REFERENCE_MAX)
        return err_set(err, ERR_OPTION_INVALID, "an image reference is longer than %d bytes",
                       REFERENCE_MAX);
    if (!parse(text, cwd, &parsed, err))
        return false;
    *reference = parsed;
    parsed = (struct reference){0};
    return true;
}

bool reference_hint(const struct reference *reference, struct err *err)
{
    if (reference->transport == TRANSPORT_DOCKER_ARCHIVE && reference->tag)
        err_hint(err, "check the path: what is behind its first ':' names an image in the archive");
    return false;
}

bool reference_resolve(struct reference *reference, struct err *err)
{
    bool local = reference->transport != TRANSPORT_REGISTRY;
    autofree char *path = local ? realpath(reference->path, NULL) : NULL;
    autofree char *text = NULL;
    autoreference resolved = {0};

    if (!local || (path && strcmp(path, reference->path) == 0))
        return true;
    if (!path) {
        err_errno(err, ERR_IMAGE_NOT_FOUND, "cannot find '%s'", reference->path);
        return reference_hint(reference, err);
    }
    text = text_printf("%.*s:%s%s%s", (int)strcspn(reference->name, ":"), reference->name, path,
                       reference->tag ? ":" : "", reference->tag ? reference->tag : "");
    if (!text)
        return no_memory(err);
    if (!reference_parse(text, "/", &resolved, err))
        return false;
    /* A ':' in the real path is not to become that of a tag. */
    if (strcmp(resolved.path, path) != 0)
        return invalid(text, "its real path is taken for another one and a tag", err);
    reference_release(reference);
    *reference = resolved;
    resolved = (struct reference){0};
    return true;
}

/* With any tag behind it, it is an image with that tag. */
bool reference_is_repository(const char *text)
{
    autofree char *name = text_printf("%s:tag", text);
    autoreference reference = {0};
    struct err ignored;

    return name && reference_parse(name, "/", &reference, &ignored) &&
           reference.transport == TRANSPORT_REGISTRY && !reference.digest;
}

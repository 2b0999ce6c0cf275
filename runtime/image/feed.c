#include "runtime/image/feed.h"

#include <ctype.h>
#include <string.h>

#include "runtime/image/reference.h"
#include "runtime/net/url.h"

static const struct {
    const char *name;
    enum version_scheme scheme;
    feed_reader *read;
    feed_check *check; /* of what is behind '#'; NULL: there is nothing */
    const char *rule;  /* what that is */
} kinds[FEED_KINDS] = {
    [FEED_MAVEN] = {"maven", VERSION_MAVEN, feed_read_maven, NULL, NULL},
    [FEED_GITHUB] = {"github", VERSION_DOCKER, feed_read_github, NULL, NULL},
    [FEED_NPM] = {"npm", VERSION_SEMVER, feed_read_npm, NULL, NULL},
    [FEED_PYPI] = {"pypi", VERSION_PEP440, feed_read_pypi, NULL, NULL},
    [FEED_APT] = {"apt", VERSION_DEB, feed_read_apt, feed_check_package, "the name of a package"},
    [FEED_JSON] = {"json", VERSION_DOCKER, feed_read_json, feed_check_pointer, "a JSON pointer"},
    [FEED_TEXT] = {"text", VERSION_DOCKER, feed_read_text, feed_check_expression, "an expression"},
    [FEED_TAGS] = {"tags", VERSION_DOCKER, NULL, NULL, NULL},
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot keep what a feed says");
}

/* ---- names of feeds ---- */

static bool is_local(const char *url)
{
    return strncmp(url, "file:///", 8) == 0 && !strchr(url, '%') && !strchr(url, '?');
}

static bool check_url(const char *text, struct err *err)
{
    autourl url = {0};

    if (is_local(text) || url_parse(text, NULL, &url))
        return true;
    err_set(err, ERR_OPTION_INVALID, "'%s' is no URL of a feed", text);
    return err_hint(err, "a whole URL of https, http or file, without a user in it; credentials "
                         "belong into --token-file");
}

static bool check_repository(const char *text, struct err *err)
{
    if (reference_is_repository(text))
        return true;
    err_set(err, ERR_OPTION_INVALID, "'%s' is no repository of a registry", text);
    return err_hint(err, "give it without a tag: tags:HOST/PATH");
}

/* The part behind '#', which some kinds have and others have not. */
static bool take_rule(const char *given, struct feed *feed, struct err *err)
{
    char *hash = strchr(feed->url, '#');
    const char *wrong, *what = kinds[feed->kind].rule;

    if (!what)
        return !hash ||
               err_set(err, ERR_OPTION_INVALID, "a feed of the kind '%s' has nothing behind '#'",
                       kinds[feed->kind].name);
    if (!hash) {
        err_set(err, ERR_OPTION_INVALID, "the feed '%s' lacks %s", given, what);
        return err_hint(err, "it stands behind '#': %s:URL#…", kinds[feed->kind].name);
    }
    feed->rule = strdup(hash + 1);
    *hash = '\0';
    if (!feed->rule)
        return no_memory(err);
    wrong = strlen(feed->rule) > FEED_RULE_MAX ? "it is longer than 1024 bytes"
                                               : kinds[feed->kind].check(feed->rule);
    return !wrong ||
           err_set(err, ERR_OPTION_INVALID, "'%s' is not %s: %s", feed->rule, what, wrong);
}

bool feed_parse(const char *text, struct feed *feed, struct err *err)
{
    const char *colon = strchrnul(text, ':');
    size_t len = (size_t)(colon - text);
    autofeed found = {0};
    int kind = 0;

    while (kind < FEED_KINDS &&
           (strlen(kinds[kind].name) != len || memcmp(kinds[kind].name, text, len) != 0))
        kind++;
    if (kind == FEED_KINDS || !*colon) {
        err_set(err, ERR_OPTION_INVALID, "'%s' does not begin with the kind of a feed", text);
        return err_hint(err, "KIND:URL; kinds are maven, github, npm, pypi, apt, json, text, tags");
    }
    found.kind = (enum feed_kind)kind;
    found.url = strdup(colon + 1);
    if (!found.url)
        return no_memory(err);
    if (found.kind == FEED_TAGS ? !check_repository(found.url, err)
                                : !take_rule(text, &found, err) || !check_url(found.url, err))
        return false;
    *feed = found;
    found = (struct feed){0};
    return true;
}

void feed_release(struct feed *feed)
{
    free(feed->url);
    free(feed->rule);
    *feed = (struct feed){0};
}

enum version_scheme feed_scheme(enum feed_kind kind)
{
    return kinds[kind].scheme;
}

size_t feed_document_max(enum feed_kind kind)
{
    return kind == FEED_APT ? FEED_INDEX_MAX : FEED_DOCUMENT_MAX;
}

/* ---- versions ---- */

bool feed_version_is_valid(const char *text)
{
    size_t len = 0;

    while (isalnum((unsigned char)text[len]) || (text[len] && strchr("._+~:-", text[len])))
        len++;
    return len > 0 && len <= VERSION_MAX && !text[len];
}

bool feed_add(struct strv *versions, const char *text, size_t len, struct err *err)
{
    char copy[VERSION_MAX + 1];

    if (len > VERSION_MAX || memchr(text, '\0', len))
        return true;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (!feed_version_is_valid(copy))
        return true;
    if (versions->count == FEED_VERSIONS_MAX)
        return err_set(err, ERR_CONFIG_INVALID, "the feed has more than %d versions",
                       FEED_VERSIONS_MAX);
    versions->max = FEED_VERSIONS_MAX;
    return strv_add(versions, copy) || no_memory(err);
}

bool feed_read(const struct feed *feed, const char *text, size_t len, struct strv *versions,
               struct err *err)
{
    return kinds[feed->kind].read(feed, text, len, versions, err);
}

/* What feeds in JSON look like: GitHub's, npm's, PyPI's, and any with a pointer. */
#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "runtime/image/feed.h"

static bool unreadable(const struct feed *feed, const char *why, struct err *err)
{
    err_set(err, ERR_CONFIG_INVALID, "the feed '%s' cannot be read: %s", feed->url, why);
    return err_hint(err, "look at what the URL serves; it may be another document now");
}

/* Values take up to a hundred times the bytes of their text. */
static bool has_too_many(const char *text, size_t len)
{
    size_t values = 0;

    for (size_t i = 0; i < len; i++)
        values += text[i] == ',' || text[i] == '{' || text[i] == '[' ? 1 : 0;
    return values > FEED_VALUES_MAX;
}

static json_t *parse(const struct feed *feed, const char *text, size_t len, struct err *err)
{
    json_t *json;

    if (has_too_many(text, len)) {
        unreadable(feed, "it has too many values", err);
        return NULL;
    }
    json = json_parse(text, len, feed->url, ERR_CONFIG_INVALID, err);

    if (!json)
        err_hint(err, "look at what the URL serves; it may be another document now");
    return json;
}

static bool add_text(struct strv *versions, const json_t *text, struct err *err)
{
    return feed_add(versions, json_string_value(text), json_string_length(text), err);
}

/* ---- github: releases have `tag_name`, tags `name` ---- */

bool feed_read_github(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                      struct err *err)
{
    autojson *json = parse(feed, text, len, err);
    const json_t *entry;
    size_t i;

    if (!json)
        return false;
    /* The latest one alone is the last that was published, not the highest. */
    if (!json_is_array(json))
        return unreadable(feed, "it is no list of releases or tags", err);
    json_array_foreach (json, i, entry) {
        const json_t *name = json_object_get(entry, "tag_name");

        name = name ? name : json_object_get(entry, "name");
        if (!json_is_string(name))
            return unreadable(feed, "a release or tag of it has no name", err);
        if (json_is_true(json_object_get(entry, "draft")) ||
            (json_is_true(json_object_get(entry, "prerelease")) && !feed->prereleases))
            continue;
        if (!add_text(versions, name, err))
            return false;
    }
    return true;
}

/* ---- npm ---- */

/* A reason, or true; an empty one takes it back. */
static bool is_deprecated(const json_t *value)
{
    return json_is_true(value) || json_string_length(value) > 0;
}

bool feed_read_npm(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                   struct err *err)
{
    static const struct version_rules semver = {.scheme = VERSION_SEMVER};
    autojson *json = parse(feed, text, len, err);
    json_t *list = json_object_get(json, "versions"), *value;
    const char *latest = json_text(json_object_get(json, "dist-tags"), "latest"), *version;

    if (!json)
        return false;
    if (!json_is_object(list))
        return unreadable(feed, "it has no versions", err);
    if (latest && (!version_is_valid(&semver, latest) || !json_object_get(list, latest)))
        return unreadable(feed, "its latest version is none of its versions", err);
    json_object_foreach (list, version, value) {
        bool above = latest && !feed->prereleases && version_is_valid(&semver, version) &&
                     version_compare(&semver, version, latest) > 0;

        if (above || is_deprecated(json_object_get(value, "deprecated")))
            continue;
        if (!feed_add(versions, version, strlen(version), err))
            return false;
    }
    return true;
}

/* ---- pypi ---- */

static bool is_yanked(const json_t *file)
{
    const json_t *yanked = json_object_get(file, "yanked");

    /* In the simple form a reason stands for true. */
    return json_is_true(yanked) || json_is_string(yanked);
}

/* Legacy: an object of lists of files. */
static bool read_releases(const json_t *releases, struct strv *versions, struct err *err)
{
    const char *version;
    json_t *files;

    json_object_foreach ((json_t *)releases, version, files) {
        const json_t *file;
        bool any = false;
        size_t i;

        json_array_foreach (files, i, file)
            any = any || !is_yanked(file);
        if (any && !feed_add(versions, version, strlen(version), err))
            return false;
    }
    return true;
}

/* The version in the name of a file: NAME-VERSION-…whl, or NAME-VERSION.tar.gz and the like. */
static const char *version_in(const char *name, size_t *len)
{
    static const char *const endings[] = {".tar.gz", ".zip", ".tar.bz2", ".tgz"};
    size_t name_len = strlen(name);
    const char *dash = strchr(name, '-'), *last = strrchr(name, '-');

    if (!dash)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t ending = strlen(endings[i]);

        if (name_len >= ending && strcmp(name + name_len - ending, endings[i]) == 0 &&
            last + 1 < name + name_len - ending) {
            *len = (size_t)(name + name_len - ending - last - 1);
            return last + 1;
        }
    }
    *len = strcspn(dash + 1, "-");
    return dash + 1;
}

/* Simple (PEP 691 and 700): a list of versions, and one of all files, by whose names it is known
 * which versions have one that is not yanked. */
static bool read_simple(const json_t *json, struct strv *versions, struct err *err)
{
    autojson *live = json_object();
    const json_t *entry;
    size_t i, len;

    json_array_foreach (json_object_get(json, "files"), i, entry) {
        const char *name = json_text(entry, "filename");
        const char *version = name ? version_in(name, &len) : NULL;

        if (version && !is_yanked(entry) &&
            json_object_setn_new(live, version, len, json_true()) < 0)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot keep what a feed says");
    }
    json_array_foreach (json_object_get(json, "versions"), i, entry) {
        const char *version = json_string_value(entry);

        if (version && json_object_get(live, version) && !add_text(versions, entry, err))
            return false;
    }
    return true;
}

bool feed_read_pypi(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                    struct err *err)
{
    autojson *json = parse(feed, text, len, err);
    const json_t *releases = json_object_get(json, "releases");

    if (!json)
        return false;
    if (json_is_object(releases))
        return read_releases(releases, versions, err);
    if (!json_is_array(json_object_get(json, "versions")))
        return unreadable(feed, "it has neither 'releases' nor 'versions'", err);
    return read_simple(json, versions, err);
}

/* ---- json: RFC 6901, percent-encoded as in a fragment, with "*" for each item of a list ---- */

static int digit_of(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* The next token, decoded, with its '/' in front; false when it is malformed. */
static bool take_token(const char **pointer, char token[FEED_RULE_MAX + 1])
{
    const char *from = *pointer;
    size_t len = 0;

    if (*from++ != '/')
        return false;
    while (*from && *from != '/') {
        char c = *from++;

        if (c == '%') {
            int high = digit_of(from[0]), low = high < 0 ? -1 : digit_of(from[1]);

            c = low < 0 ? '\0' : (char)(high * 16 + low);
            if (c == '\0' || c == '/' || c == '~')
                return false;
            from += 2;
        } else if (c == '~') {
            if (*from != '0' && *from != '1')
                return false;
            c = *from++ == '0' ? '~' : '/';
        }
        token[len++] = c;
    }
    token[len] = '\0';
    *pointer = from;
    return true;
}

const char *feed_check_pointer(const char *rule)
{
    char token[FEED_RULE_MAX + 1];

    while (*rule) {
        if (!take_token(&rule, token))
            return "it is made of '/' and names, with '~0' for '~', '~1' for '/' and %NN";
    }
    return NULL;
}

struct pointing {
    const struct feed *feed;
    struct strv *versions;
    size_t found; /* values that it led to */
    struct err *err;
};

/* A number would have lost its form: 1.10 and 1.1 are the same one. */
static bool take_value(struct pointing *pointing, json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    pointing->found++;
    if (json_is_string(value))
        return add_text(pointing->versions, value, pointing->err);
    if (json_is_object(value)) {
        json_object_foreach (value, key, item) {
            if (!feed_add(pointing->versions, key, strlen(key), pointing->err))
                return false;
        }
        return true;
    }
    if (!json_is_array(value))
        return unreadable(pointing->feed, "the pointer leads to what is no text", pointing->err);
    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return unreadable(pointing->feed, "the list has what is no text", pointing->err);
        if (!add_text(pointing->versions, item, pointing->err))
            return false;
    }
    return true;
}

static bool is_index(const char *token)
{
    size_t digits = strspn(token, "0123456789");

    return digits > 0 && digits < 10 && !token[digits] && (digits == 1 || *token != '0');
}

/* Depth is that of the pointer, which is short. */
static bool follow(struct pointing *pointing, json_t *value, const char *pointer)
{
    char token[FEED_RULE_MAX + 1];
    json_t *item;
    size_t i;

    while (*pointer) {
        if (!take_token(&pointer, token))
            return unreadable(pointing->feed, "its pointer cannot be used", pointing->err);
        if (json_is_array(value) && strcmp(token, "*") == 0) {
            json_array_foreach (value, i, item) {
                if (!follow(pointing, item, pointer))
                    return false;
            }
            return true;
        }
        if (json_is_array(value))
            value = is_index(token) ? json_array_get(value, strtoul(token, NULL, 10)) : NULL;
        else
            value = json_object_get(value, token);
    }
    return !value || json_is_null(value) || take_value(pointing, value);
}

bool feed_read_json(const struct feed *feed, const char *text, size_t len, struct strv *versions,
                    struct err *err)
{
    autojson *json = parse(feed, text, len, err);
    struct pointing pointing = {.feed = feed, .versions = versions, .err = err};

    if (!json || !follow(&pointing, json, feed->rule))
        return false;
    return pointing.found > 0 || unreadable(feed, "the pointer leads to nothing", err);
}

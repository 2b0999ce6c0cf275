#include "runtime/image/lock.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"

/* ---- texts ---- */

bool lock_name_is_valid(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

    return len > 0 && len <= LOCK_NAME_MAX && !name[len] && isalnum((unsigned char)*name);
}

bool lock_note_is_valid(const char *text)
{
    autojson *utf8 = json_string(text);
    size_t len = strlen(text);

    for (const char *p = text; *p; p++) {
        if (iscntrl((unsigned char)*p))
            return false;
    }
    return utf8 && len > 0 && len <= LOCK_NOTE_MAX;
}

void lock_time_text(time_t time, char text[LOCK_TIME_MAX])
{
    struct tm tm;

    gmtime_r(&time, &tm);
    strftime(text, LOCK_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

bool lock_time_parse(const char *text, time_t *time)
{
    struct tm tm = {0};
    char again[LOCK_TIME_MAX];
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    time_t parsed;

    if (!end || *end || strlen(text) >= LOCK_TIME_MAX)
        return false;
    parsed = timegm(&tm);
    /* In one form only: no blanks, no 31st of February. */
    lock_time_text(parsed, again);
    if (strcmp(again, text) != 0)
        return false;
    *time = parsed;
    return true;
}

/* ---- the file ---- */

struct lock_file lock_new(void)
{
    return (struct lock_file){json_pack("{s:s, s:{}}", "schema", LOCK_SCHEMA, "images")};
}

void lock_release(struct lock_file *lock)
{
    json_decref(lock->json);
    *lock = (struct lock_file){0};
}

bool lock_parse(const char *text, size_t len, const char *path, struct lock_file *lock,
                struct err *err)
{
    autojson *json = json_parse(text, len, path, ERR_CONFIG_INVALID, err);

    if (!json || !lock_check(json, text, len, path, err))
        return false;
    lock->json = TAKE_PTR(json);
    return true;
}

bool lock_load(const char *path, struct lock_file *lock, struct err *err)
{
    autobuf text = BUF_INIT(LOCK_FILE_MAX);

    if (!file_read(AT_FDCWD, path, &text, ERR_CONFIG_INVALID, err))
        return err_hint(err, "'stepcell lock add' makes a lock file; --lock names another one");
    return lock_parse(text.data, text.len, path, lock, err);
}

char *lock_text(const struct lock_file *lock)
{
    return json_dump_sorted(lock->json);
}

json_t *lock_images(const struct lock_file *lock)
{
    return json_object_get(lock->json, "images");
}

json_t *lock_entry(const struct lock_file *lock, const char *name)
{
    return json_object_get(lock_images(lock), name);
}

/* ---- looking up ---- */

static bool is_wanted(const json_t *entry, const struct reference *reference)
{
    autoreference want = {0};
    struct err ignored;

    return reference_parse(json_text(entry, "want"), "/", &want, &ignored) &&
           strcmp(want.name, reference->name) == 0;
}

static bool has_digest(json_t *entry, const struct reference *reference)
{
    const char *image = json_text(entry, "image"), *key;
    size_t host = strlen(reference->host);
    json_t *platform;

    if (strncmp(image, reference->host, host) != 0 || image[host] != '/' ||
        strcmp(image + host + 1, reference->path) != 0)
        return false;
    if (strcmp(json_text(entry, "digest"), reference->digest) == 0)
        return true;
    json_object_foreach (json_object_get(entry, "platforms"), key, platform) {
        if (strcmp(json_text(platform, "digest"), reference->digest) == 0)
            return true;
    }
    return false;
}

const char *lock_find(const struct lock_file *lock, const struct reference *reference)
{
    const char *name;
    json_t *entry;

    if (reference->transport != TRANSPORT_REGISTRY)
        return NULL;
    json_object_foreach (lock_images(lock), name, entry) {
        if (reference->digest ? has_digest(entry, reference) : is_wanted(entry, reference))
            return name;
    }
    return NULL;
}

const char *lock_platform_digest(const json_t *entry, const struct platform *wanted)
{
    const char *best = NULL, *text;
    int best_rank = -1;
    json_t *value;

    json_object_foreach (json_object_get(entry, "platforms"), text, value) {
        struct platform offered;
        struct err ignored;
        int rank = platform_parse(text, &offered, &ignored) ? platform_rank(wanted, &offered) : -1;

        if (rank >= 0 && (best_rank < 0 || rank < best_rank)) {
            best = json_text(value, "digest");
            best_rank = rank;
        }
    }
    return best;
}

struct version_rules lock_rules(const json_t *entry)
{
    const json_t *follow = json_object_get(entry, "follow");
    const char *scheme = json_text(follow, "scheme");
    const char *prereleases = json_text(follow, "prereleases");
    struct version_rules rules = {
        .scheme = scheme ? version_scheme_parse(scheme) : VERSION_DOCKER,
        .any_precision = json_is_true(json_object_get(follow, "any_precision")),
        .revisions = json_is_true(json_object_get(follow, "revisions")),
        .constraint = json_text(follow, "constraint"),
        .include = json_text(follow, "include"),
        .exclude = json_text(follow, "exclude"),
        .expression = json_text(follow, "expression"),
    };

    if (prereleases)
        (void)!version_prereleases_parse(prereleases, &rules.prereleases);
    return rules;
}

uint64_t lock_min_age(const json_t *entry)
{
    const char *text = json_text(json_object_get(entry, "follow"), "min_age");
    uint64_t seconds = 0;

    return text && num_parse_age(text, &seconds) ? seconds : 0;
}

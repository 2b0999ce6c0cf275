/* What registries say of an entry. */
#include "shim/image/lock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "runtime/image/lock_resolve.h"
#include "runtime/image/tags.h"

static const struct {
    const char *word;
    int exit;
} statuses[] = {
    [LOCK_OK] = {"ok", LOCK_EXIT_SAME},
    [LOCK_NEWER] = {"newer", LOCK_EXIT_DIFFERS},
    [LOCK_MOVED] = {"moved", LOCK_EXIT_DIFFERS},
    [LOCK_ALIAS] = {"alias", LOCK_EXIT_SAME},
    [LOCK_HELD] = {"held", LOCK_EXIT_SAME},
    [LOCK_GONE] = {"gone", LOCK_EXIT_DIFFERS},
    [LOCK_PLATFORM_MISSING] = {"platform-missing", LOCK_EXIT_DIFFERS},
    [LOCK_UNKNOWN] = {"unknown", LOCK_EXIT_FAILED},
};

const char *lock_status_word(enum lock_status status)
{
    return statuses[status].word;
}

int lock_status_exit(enum lock_status status)
{
    return statuses[status].exit;
}

/* What could not be found out outweighs a difference, and that outweighs none. */
int lock_worse(int a, int b)
{
    if (a == LOCK_EXIT_FAILED || b == LOCK_EXIT_FAILED)
        return LOCK_EXIT_FAILED;
    return a > b ? a : b;
}

void assessment_release(struct assessment *assessment)
{
    free(assessment->newer);
    json_decref(assessment->pin);
    free(assessment->first_seen);
    free(assessment->moved_to);
    json_decref(assessment->seen);
    free(assessment->detail);
    *assessment = (struct assessment){0};
}

__attribute__((format(printf, 3, 4))) static void
conclude(struct assessment *assessment, enum lock_status status, const char *format, ...)
{
    va_list arguments;

    assessment->status = status;
    free(assessment->detail);
    assessment->detail = NULL;
    va_start(arguments, format);
    if (vasprintf(&assessment->detail, format, arguments) < 0)
        assessment->detail = NULL;
    va_end(arguments);
}

/* What is not there is gone; anything else that fails says nothing. */
static void conclude_failure(struct assessment *assessment, const struct err *err)
{
    conclude(assessment, err->code == ERR_IMAGE_NOT_FOUND ? LOCK_GONE : LOCK_UNKNOWN, "%s",
             err->message);
}

/* ---- platforms ---- */

/* Without the revision of a Windows build, which every version has its own of. */
static void platform_kind(const char *text, char kind[PLATFORM_TEXT_MAX])
{
    struct platform platform = {0};
    struct err ignored;
    size_t dots = 0;

    if (platform_parse(text, &platform, &ignored)) {
        for (char *p = platform.os_version; *p; p++) {
            dots += *p == '.' ? 1 : 0;
            if (dots == 3) {
                *p = '\0';
                break;
            }
        }
    }
    platform_text(&platform, kind);
}

/* The first platform of the old ones that none of the new ones is, or NULL. */
static const char *missing_platform(json_t *old, json_t *new)
{
    const char *text, *other;
    json_t *value, *ignored;

    json_object_foreach (old, text, value) {
        char wanted[PLATFORM_TEXT_MAX], offered[PLATFORM_TEXT_MAX];
        bool found = false;

        platform_kind(text, wanted);
        json_object_foreach (new, other, ignored) {
            platform_kind(other, offered);
            found = found || strcmp(wanted, offered) == 0;
        }
        if (!found)
            return text;
    }
    return NULL;
}

/* ---- the tag ---- */

/* True when it is there; what it stands for is compared. */
static bool look_at_tag(const json_t *entry, struct assessment *assessment)
{
    const char *tag = json_text(entry, "tag");
    autoreference reference = {0};
    autofree char *digest = NULL;
    struct err err;

    if (lock_reference(entry, tag, NULL, &reference, &err))
        digest = lock_resolve_digest(&reference, &err);
    if (!digest) {
        conclude_failure(assessment, &err);
        return false;
    }
    if (strcmp(digest, json_text(entry, "digest")) != 0) {
        conclude(assessment, LOCK_MOVED, "the tag '%s' stands for another image now", tag);
        assessment->moved_to = TAKE_PTR(digest);
    }
    return true;
}

/* ---- newer versions ---- */

/* The newest of those that follow, at most LOCK_SEEN_MAX, in falling order. */
struct candidates {
    const char *tags[LOCK_SEEN_MAX];
    size_t count;
};

/* Of two names of one version the first by bytes, so that the choice is always the same. */
static int compare_candidates(const struct version_rules *rules, const char *a, const char *b)
{
    int order = version_compare(rules, a, b);

    return order ? order : strcmp(b, a);
}

static void find_candidates(const json_t *entry, const struct strv *tags,
                            struct candidates *candidates)
{
    const struct version_rules rules = lock_rules(entry);
    const char *current = json_text(entry, "tag");

    for (size_t i = 0; i < tags->count; i++) {
        const char *tag = tags->items[i];
        size_t place = candidates->count;

        if (!version_follows(&rules, current, tag))
            continue;
        while (place > 0 && compare_candidates(&rules, tag, candidates->tags[place - 1]) > 0)
            place--;
        if (place == LOCK_SEEN_MAX)
            continue;
        if (candidates->count < LOCK_SEEN_MAX)
            candidates->count++;
        memmove(&candidates->tags[place + 1], &candidates->tags[place],
                (candidates->count - place - 1) * sizeof(*candidates->tags));
        candidates->tags[place] = tag;
    }
}

/* Notes when the tag was first seen with this digest; the time is owned by the caller. */
static char *note_sighting(const struct lock_call *call, const json_t *entry, const char *tag,
                           const char *digest, json_t *seen)
{
    json_t *before = json_object_get(json_object_get(entry, "seen"), tag);
    const char *known = json_text(before, "digest");
    char now[LOCK_TIME_MAX];

    lock_time_text(call->now, now);
    if (!known || strcmp(known, digest) != 0)
        json_object_set_new(seen, tag,
                            json_pack("{s:s, s:s}", "digest", digest, "first_seen", now));
    else
        json_object_set(seen, tag, before);
    return strdup(json_text(json_object_get(seen, tag), "first_seen"));
}

static bool is_young(const struct lock_call *call, const json_t *entry, const char *first_seen)
{
    uint64_t age = lock_min_age(entry);
    time_t seen;

    return age && lock_time_parse(first_seen, &seen) && call->now - seen < (int64_t)age;
}

static void take(struct assessment *assessment, const char *tag, json_t *pin, char *first_seen)
{
    free(assessment->newer);
    json_decref(assessment->pin);
    free(assessment->first_seen);
    assessment->newer = strdup(tag);
    assessment->pin = pin;
    assessment->first_seen = first_seen;
}

/* One candidate; true when the ones below it need not be looked at. */
static bool look_at_candidate(const struct lock_call *call, const json_t *entry, const char *tag,
                              struct assessment *assessment)
{
    autoreference reference = {0};
    autojson *pin = NULL;
    autofree char *first_seen = NULL;
    const char *missing;
    struct err err;

    if (lock_reference(entry, tag, NULL, &reference, &err))
        pin = lock_resolve(&reference, &err);
    if (!pin) {
        conclude(assessment, LOCK_UNKNOWN, "%s", err.message);
        return true;
    }
    if (strcmp(json_text(pin, "digest"), json_text(entry, "digest")) == 0) {
        if (assessment->status == LOCK_OK)
            conclude(assessment, LOCK_ALIAS, "'%s' is another name of it", tag);
        return true;
    }
    if (lock_min_age(entry))
        first_seen = note_sighting(call, entry, tag, json_text(pin, "digest"), assessment->seen);
    missing =
        missing_platform(json_object_get(entry, "platforms"), json_object_get(pin, "platforms"));
    if (missing) {
        if (assessment->status == LOCK_OK) {
            conclude(assessment, LOCK_PLATFORM_MISSING, "'%s' is newer, and has no image for %s",
                     tag, missing);
            take(assessment, tag, NULL, NULL);
        }
        return false;
    }
    if (first_seen && is_young(call, entry, first_seen)) {
        if (assessment->status == LOCK_OK || assessment->status == LOCK_PLATFORM_MISSING) {
            conclude(assessment, LOCK_HELD, "'%s' is newer, and was first seen at %s", tag,
                     first_seen);
            take(assessment, tag, NULL, NULL);
        }
        return false;
    }
    conclude(assessment, LOCK_NEWER, "'%s' is newer", tag);
    take(assessment, tag, TAKE_PTR(pin), TAKE_PTR(first_seen));
    return true;
}

static void look_for_newer(const struct lock_call *call, const json_t *entry,
                           struct assessment *assessment)
{
    const struct version_rules rules = lock_rules(entry);
    const char *tag = json_text(entry, "tag");
    struct candidates candidates = {.count = 0};
    autoreference reference = {0};
    autostrv tags = {0};
    struct err err;

    if (!version_is_valid(&rules, tag)) {
        conclude(assessment, LOCK_OK, "'%s' is no version, so nothing is newer", tag);
        return;
    }
    if (!lock_reference(entry, tag, NULL, &reference, &err) ||
        !tags_list(&reference, &tags, &err)) {
        conclude_failure(assessment, &err);
        return;
    }
    assessment->seen = lock_min_age(entry) ? json_object() : NULL;
    find_candidates(entry, &tags, &candidates);
    for (size_t i = 0; i < candidates.count; i++) {
        if (look_at_candidate(call, entry, candidates.tags[i], assessment))
            return;
    }
}

/* A tag that moved or is gone is said first: what is newer stands beside it. */
static void join(struct assessment *assessment, struct assessment *tag)
{
    if (assessment->status == LOCK_UNKNOWN || tag->status == LOCK_OK)
        return;
    assessment->status = tag->status;
    free(assessment->detail);
    assessment->detail = TAKE_PTR(tag->detail);
    assessment->moved_to = TAKE_PTR(tag->moved_to);
}

void lock_assess(const struct lock_call *call, const json_t *entry, struct assessment *assessment)
{
    autoassessment tag = {0};
    const json_t *hold = json_object_get(entry, "hold");
    const char *until = json_text(hold, "until");

    *assessment = (struct assessment){0};
    (void)!look_at_tag(entry, &tag);
    if (tag.status != LOCK_UNKNOWN)
        look_for_newer(call, entry, assessment);
    if (assessment->status == LOCK_NEWER && lock_is_held(call, entry))
        conclude(assessment, LOCK_HELD, "'%s' is newer, and %s holds this one%s%s: %s",
                 assessment->newer, json_text(hold, "by"), until ? " until " : "",
                 until ? until : "", json_text(hold, "why"));
    join(assessment, &tag);
}

/* ---- what is locked ---- */

/* What the digest stands for cannot have changed; what was written down of it can. */
static bool compare_platforms(const json_t *entry, json_t *pin, struct assessment *assessment)
{
    json_t *now = json_object_get(pin, "platforms"), *value;
    const char *text;

    json_object_foreach (json_object_get(entry, "platforms"), text, value) {
        json_t *other = json_object_get(now, text);

        if (!other)
            conclude(assessment, LOCK_PLATFORM_MISSING, "what is locked has no image for %s", text);
        else if (!json_equal(value, other))
            conclude(assessment, LOCK_UNKNOWN,
                     "the file has other digests for %s than what is locked", text);
        if (assessment->status != LOCK_OK)
            return false;
    }
    return true;
}

void lock_assess_pin(const struct lock_call *call, const json_t *entry,
                     struct assessment *assessment)
{
    autoreference reference = {0};
    autojson *pin = NULL;
    struct err err;

    *assessment = (struct assessment){0};
    if (call->options.online) {
        if (lock_reference(entry, NULL, json_text(entry, "digest"), &reference, &err))
            pin = lock_resolve(&reference, &err);
        if (!pin) {
            conclude_failure(assessment, &err);
            return;
        }
        if (!compare_platforms(entry, pin, assessment))
            return;
    }
    if (call->options.tags)
        (void)!look_at_tag(entry, assessment);
}

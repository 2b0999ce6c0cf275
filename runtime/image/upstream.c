#include "runtime/image/upstream.h"

#include <ctype.h>
#include <string.h>

#include "runtime/image/tags.h"

#define PLACE "{version}"

static const struct {
    const char *word;
    enum upstream_decision decision;
} reasons[UPSTREAM_REASONS] = {
    [UPSTREAM_FEED_FAILED] = {"feed-failed", UPSTREAM_UNKNOWN},
    [UPSTREAM_FEED_INVALID] = {"feed-invalid", UPSTREAM_UNKNOWN},
    [UPSTREAM_FEED_EMPTY] = {"feed-empty", UPSTREAM_UNKNOWN},
    [UPSTREAM_FEED_BEHIND] = {"feed-behind", UPSTREAM_UNKNOWN},
    [UPSTREAM_FEED_MIXED] = {"feed-mixed", UPSTREAM_UNKNOWN},
    [UPSTREAM_TAG_INVALID] = {"tag-invalid", UPSTREAM_UNKNOWN},
    [UPSTREAM_REGISTRY_FAILED] = {"registry-failed", UPSTREAM_UNKNOWN},
    [UPSTREAM_BASE_FAILED] = {"base-failed", UPSTREAM_UNKNOWN},
    [UPSTREAM_NEW_VERSION] = {"new-version", UPSTREAM_YES},
    [UPSTREAM_PLATFORM_MISSING] = {"platform-missing", UPSTREAM_YES},
    [UPSTREAM_WINDOWS_BEHIND] = {"windows-behind", UPSTREAM_YES},
    [UPSTREAM_BASE_CHANGED] = {"base-changed", UPSTREAM_YES},
    [UPSTREAM_FORCED] = {"forced", UPSTREAM_YES},
    [UPSTREAM_UP_TO_DATE] = {"up-to-date", UPSTREAM_NO},
};

const char *upstream_reason_word(enum upstream_reason reason)
{
    return reasons[reason].word;
}

enum upstream_decision upstream_decision(enum upstream_reason reason)
{
    return reasons[reason].decision;
}

/* ---- the feed's versions ---- */

/* Letters in front of a number are none of the version, where the scheme does not say so. */
static bool begins_well(const struct upstream *upstream, const char *text)
{
    enum version_scheme scheme = upstream->rules.scheme;

    return isdigit((unsigned char)*text) || scheme == VERSION_ALPHA || scheme == VERSION_REGEX;
}

/* What is between prefix and suffix; without a prefix a "v" in front of a number is one. */
static bool strip(const struct upstream *upstream, const char *text, char version[VERSION_MAX + 1])
{
    size_t suffix = upstream->suffix ? strlen(upstream->suffix) : 0, len;

    if (upstream->prefix) {
        if (strncmp(text, upstream->prefix, strlen(upstream->prefix)) != 0)
            return false;
        text += strlen(upstream->prefix);
    } else if ((*text == 'v' || *text == 'V') && isdigit((unsigned char)text[1])) {
        text++;
    }
    len = strlen(text);
    if (len <= suffix || len - suffix > VERSION_MAX ||
        (suffix && strcmp(text + len - suffix, upstream->suffix) != 0))
        return false;
    memcpy(version, text, len - suffix);
    version[len - suffix] = '\0';
    return true;
}

/* A feed may well go from 1.2 to 1.2.1; among tags 8 and 8.0.0 are names of one thing. */
static struct version_rules any_precision(const struct upstream *upstream)
{
    struct version_rules rules = upstream->rules;

    rules.any_precision = true;
    return rules;
}

static bool is_candidate(const struct upstream *upstream, const char *version)
{
    struct version_rules rules = any_precision(upstream);

    if (upstream->feed.kind == FEED_TAGS)
        rules.any_precision = false;
    return begins_well(upstream, version) && version_is_let_in(&upstream->rules, version) &&
           version_is_plain(&upstream->rules, version) &&
           (!upstream->at_least || version_same_flavour(&rules, upstream->at_least, version));
}

/* Of equal ones that which says more: 8.0.0 rather than 8. */
static bool is_better(const struct upstream *upstream, const char *version, const char *best)
{
    int order = *best ? version_compare(&upstream->rules, version, best) : 1;

    return order > 0 || (order == 0 && strlen(version) > strlen(best));
}

static bool give_up(struct upstream_answer *answer, enum upstream_reason reason)
{
    answer->reason = reason;
    return false;
}

static bool is_empty(const struct strv *versions, struct upstream_answer *answer)
{
    if (versions->count == 0) {
        err_set(&answer->err, ERR_CONFIG_INVALID, "the feed has no versions");
        err_hint(&answer->err, "look at what it serves: its form may be another one now");
    } else {
        err_set(&answer->err, ERR_CONFIG_INVALID,
                "the rules let in none of the %zu versions of the feed, '%s' and others",
                versions->count, versions->items[versions->count - 1]);
        err_hint(&answer->err, "try another --scheme, --prefix, --suffix or --include");
    }
    return give_up(answer, UPSTREAM_FEED_EMPTY);
}

static bool is_mixed(const struct upstream *upstream, const struct strv *versions, const char *best,
                     struct upstream_answer *answer)
{
    struct version_rules rules = any_precision(upstream);
    char version[VERSION_MAX + 1];

    for (size_t i = 0; i < versions->count; i++) {
        if (!strip(upstream, versions->items[i], version) || !is_candidate(upstream, version) ||
            version_same_flavour(&rules, best, version))
            continue;
        err_set(&answer->err, ERR_CONFIG_INVALID,
                "the feed has versions of several kinds, '%s' and '%s'", best, version);
        err_hint(&answer->err, "--at-least with one of the right kind leaves the others out");
        return true;
    }
    return false;
}

bool upstream_choose(const struct upstream *upstream, const struct strv *versions,
                     struct upstream_answer *answer)
{
    char best[VERSION_MAX + 1] = "", version[VERSION_MAX + 1];

    for (size_t i = 0; i < versions->count; i++) {
        if (strip(upstream, versions->items[i], version) && is_candidate(upstream, version) &&
            is_better(upstream, version, best))
            memcpy(best, version, sizeof(best));
    }
    if (!*best)
        return is_empty(versions, answer);
    if (is_mixed(upstream, versions, best, answer))
        return give_up(answer, UPSTREAM_FEED_MIXED);
    memcpy(answer->version, best, sizeof(best));
    if (!upstream->at_least || version_compare(&upstream->rules, best, upstream->at_least) >= 0)
        return true;
    err_set(&answer->err, ERR_CONFIG_INVALID,
            "the newest version of the feed is '%s', which is lower than '%s'", best,
            upstream->at_least);
    err_hint(&answer->err, "the feed is stale or was replaced; otherwise lower --at-least");
    return give_up(answer, UPSTREAM_FEED_BEHIND);
}

/* ---- tags ---- */

bool upstream_template_is_valid(const char *template)
{
    const char *place = strstr(template, PLACE);
    char tag[REFERENCE_TAG_MAX + 1];
    size_t len = strlen(template);

    if (!place || len - strlen(PLACE) + 1 > REFERENCE_TAG_MAX)
        return false;
    snprintf(tag, sizeof(tag), "%.*s1%s", (int)(place - template), template, place + strlen(PLACE));
    return tag_is_valid(tag);
}

static void map(const char *version, char mapped[VERSION_MAX + 1])
{
    size_t i;

    for (i = 0; version[i]; i++)
        mapped[i] = version[i] == '+' ? '_' : strchr("~:", version[i]) ? '-' : version[i];
    mapped[i] = '\0';
}

bool upstream_name(const struct upstream *upstream, struct upstream_answer *answer)
{
    const char *place = strstr(upstream->template, PLACE);
    char mapped[VERSION_MAX + 1];
    int len;

    map(answer->version, mapped);
    len = snprintf(answer->tag, sizeof(answer->tag), "%.*s%s%s", (int)(place - upstream->template),
                   upstream->template, mapped, place + strlen(PLACE));
    if (len <= REFERENCE_TAG_MAX && tag_is_valid(answer->tag))
        return true;
    answer->tag[0] = '\0';
    err_set(&answer->err, ERR_CONFIG_INVALID, "no tag can be made of the version '%s'",
            answer->version);
    return give_up(answer, UPSTREAM_TAG_INVALID);
}

/* The version in a tag that the template made, as it stands there. */
static bool unname(const struct upstream *upstream, const char *tag, char version[VERSION_MAX + 1])
{
    const char *place = strstr(upstream->template, PLACE), *behind = place + strlen(PLACE);
    size_t before = (size_t)(place - upstream->template), after = strlen(behind), len = strlen(tag);

    if (len <= before + after || len - before - after > VERSION_MAX ||
        strncmp(tag, upstream->template, before) != 0 || strcmp(tag + len - after, behind) != 0)
        return false;
    memcpy(version, tag + before, len - before - after);
    version[len - before - after] = '\0';
    for (char *c = version; *c && !version_is_valid(&upstream->rules, version); c++)
        *c = *c == '_' ? '+' : *c;
    return begins_well(upstream, version) && version_is_let_in(&upstream->rules, version);
}

/* Beside 7.7.2 there may be 7.7.2-ubuntu.2204, which some schemes take for a later version. */
static bool is_kin(const struct upstream *upstream, const char *own, const char *version)
{
    struct version_rules rules = any_precision(upstream);
    bool is_free = rules.scheme == VERSION_ALPHA || rules.scheme == VERSION_REGEX;

    return version_same_flavour(&rules, own, version) &&
           (is_free || version_same_variant(own, version));
}

bool upstream_compare(const struct upstream *upstream, const struct strv *tags,
                      struct upstream_answer *answer)
{
    char own[VERSION_MAX + 1], version[VERSION_MAX + 1];

    /* Against tags, by what it would be among them: a '-' there may have been a '~'. */
    map(answer->version, own);
    if (!version_is_valid(&upstream->rules, own))
        memcpy(own, answer->version, sizeof(own));
    for (size_t i = 0; i < tags->count; i++) {
        if (unname(upstream, tags->items[i], version) && is_kin(upstream, own, version) &&
            is_better(upstream, version, answer->previous))
            memcpy(answer->previous, version, sizeof(version));
    }
    if (!*answer->previous || version_compare(&upstream->rules, own, answer->previous) >= 0)
        return true;
    err_set(&answer->err, ERR_CONFIG_INVALID,
            "the newest version of the feed is '%s', but there is an image of '%s' already",
            answer->version, answer->previous);
    err_hint(&answer->err, "the feed is stale, or has withdrawn that version: then --exclude '%s'",
             answer->previous);
    return give_up(answer, UPSTREAM_FEED_BEHIND);
}

/* ---- all of it ---- */

static bool look_at_tags(const struct upstream *upstream, struct upstream_answer *answer)
{
    autofree char *name = text_printf("%s:%s", upstream->image, answer->tag);
    autoreference reference = {0};
    autostrv tags = {0};
    struct err *err = &answer->err;

    if (!name || !reference_parse(name, "/", &reference, err) ||
        (!tags_list(&reference, &tags, err) && err->code != ERR_IMAGE_NOT_FOUND))
        return give_up(answer, UPSTREAM_REGISTRY_FAILED);
    answer->is_listed = strv_contains(&tags, answer->tag);
    return upstream_compare(upstream, &tags, answer);
}

void upstream_answer_release(struct upstream_answer *answer)
{
    strv_release(&answer->baseless);
}

void upstream_check(const struct upstream *upstream, struct upstream_answer *answer)
{
    autostrv versions = {.max = FEED_VERSIONS_MAX};

    *answer = (struct upstream_answer){.reason = UPSTREAM_FEED_FAILED, .err = ERR_INIT};
    if (!feed_get(&upstream->feed, upstream->authorization, &versions, &answer->err)) {
        answer->reason =
            answer->err.code == ERR_CONFIG_INVALID ? UPSTREAM_FEED_INVALID : UPSTREAM_FEED_FAILED;
        return;
    }
    if (!upstream_choose(upstream, &versions, answer) || !upstream_name(upstream, answer) ||
        !look_at_tags(upstream, answer))
        return;
    upstream_look(upstream, answer);
    if (answer->reason == UPSTREAM_UP_TO_DATE && upstream->force) {
        answer->reason = UPSTREAM_FORCED;
        err_set(&answer->err, ERR_NONE, "'%s' is there, and is to be built all the same",
                answer->tag);
    }
}

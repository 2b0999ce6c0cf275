/*
 * Whether an image has to be built again: asks a feed for the newest version of the software that
 * the image is named after, and the registry for that very tag (docs/design/upstream.md).
 *
 * Nothing that could not be found out is ever a yes or a no.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_UPSTREAM_H
#define STEPCELL_RUNTIME_IMAGE_UPSTREAM_H

#include "runtime/image/feed.h"
#include "runtime/image/platform.h"
#include "runtime/image/reference.h"

#define UPSTREAM_PLATFORMS_MAX 32
#define UPSTREAM_BASES_MAX     8

enum upstream_decision { UPSTREAM_YES, UPSTREAM_NO, UPSTREAM_UNKNOWN };

/* Each stands for one decision; the words are stable. */
enum upstream_reason {
    UPSTREAM_FEED_FAILED,      /* unknown: it could not be got */
    UPSTREAM_FEED_INVALID,     /* unknown: it is not what its kind has to be */
    UPSTREAM_FEED_EMPTY,       /* unknown: it has no version that the rules let in */
    UPSTREAM_FEED_BEHIND,      /* unknown: its newest version is lower than a known one */
    UPSTREAM_FEED_MIXED,       /* unknown: it has versions that cannot be compared */
    UPSTREAM_TAG_INVALID,      /* unknown: no tag can be made of the version */
    UPSTREAM_REGISTRY_FAILED,  /* unknown: the image could not be asked for */
    UPSTREAM_BASE_FAILED,      /* unknown: nor could the base */
    UPSTREAM_NEW_VERSION,      /* yes: there is no such tag */
    UPSTREAM_PLATFORM_MISSING, /* yes: the tag lacks an image that it should have */
    UPSTREAM_WINDOWS_BEHIND,   /* yes: its Windows is older than the base's */
    UPSTREAM_BASE_CHANGED,     /* yes: it was built on other layers than the base's */
    UPSTREAM_FORCED,           /* yes: the caller says so */
    UPSTREAM_UP_TO_DATE,       /* no */
    UPSTREAM_REASONS
};

/* What is asked; texts are borrowed. */
struct upstream {
    struct feed feed;
    const char *authorization; /* for the feed, or NULL */
    struct version_rules rules;
    const char *prefix, *suffix;                       /* around versions in the feed; or NULL */
    const char *at_least;                              /* a version, or NULL */
    const char *image;                                 /* "HOST/PATH" */
    const char *template;                              /* of tags, with "{version}" in it */
    struct platform platforms[UPSTREAM_PLATFORMS_MAX]; /* that the image has to have */
    size_t platform_count;
    struct reference bases[UPSTREAM_BASES_MAX];
    size_t base_count;
    bool force; /* yes instead of no */
};

struct upstream_answer {
    enum upstream_reason reason;
    char version[VERSION_MAX + 1]; /* "" while that is unknown; so are the others */
    char tag[REFERENCE_TAG_MAX + 1];
    bool is_listed;                 /* the tag is one of those that the registry lists */
    char previous[VERSION_MAX + 1]; /* the newest version that has an image */
    struct strv baseless; /* platforms of an image that is up to date, which no base has */
    struct err err;       /* message and, where the fix is known, hint */
};

const char *upstream_reason_word(enum upstream_reason reason);
enum upstream_decision upstream_decision(enum upstream_reason reason);

/* Asks, and waits for answers. */
void upstream_check(const struct upstream *upstream, struct upstream_answer *answer);

void upstream_answer_release(struct upstream_answer *answer);

/* ---- the pure parts ---- */

/* The newest of the feed's versions. False with reason and error. */
bool upstream_choose(const struct upstream *upstream, const struct strv *versions,
                     struct upstream_answer *answer);

/* Whether the template has "{version}" once, and its tags can be tags. */
bool upstream_template_is_valid(const char *template);

/* The tag of answer->version: '+' as '_', '~' and ':' as '-'. False with reason and error. */
bool upstream_name(const struct upstream *upstream, struct upstream_answer *answer);

/* The newest version that has a tag. False, with reason and error, when it is newer than
 * answer->version. */
bool upstream_compare(const struct upstream *upstream, const struct strv *tags,
                      struct upstream_answer *answer);

/* ---- upstream_image.c ---- */

/* Looks at the image behind answer->tag, and sets reason and error in any case. */
void upstream_look(const struct upstream *upstream, struct upstream_answer *answer);

#endif

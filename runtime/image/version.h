/*
 * Versions as people write them, in tags and in upstream feeds (pure).
 *
 *   docker    tags: prefix, numbers, pre-release, variant: "v1.2.3", "6.5.3-ubuntu.24.04"
 *   semver    Semantic Versioning 2.0.0, strictly
 *   loose     runs of digits, compared as numbers, between whatever else there is
 *   numeric   one number of any length
 *   date      a day, with or without a time: "2024-05-01", "20240501", "RELEASE.2024-05-01T10-00Z"
 *   alpha     by bytes
 *   deb       Debian's policy, as dpkg compares
 *   maven     the version order of Maven's POM reference
 *   pep440    Python's
 *   regex     by the groups of an expression, see version_regex.c
 *
 * No number is ever read as an integer or a float: digits are compared as texts, of any length.
 *
 * A newer version is one of the same flavour: what is beside the numbers has to be the same.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_VERSION_H
#define STEPCELL_RUNTIME_IMAGE_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#define VERSION_MAX      128  /* bytes of a version; a tag has no more */
#define VERSION_RULE_MAX 1024 /* bytes of a constraint, a pattern or an expression */

enum version_scheme {
    VERSION_DOCKER,
    VERSION_SEMVER,
    VERSION_LOOSE,
    VERSION_NUMERIC,
    VERSION_DATE,
    VERSION_ALPHA,
    VERSION_DEB,
    VERSION_MAVEN,
    VERSION_PEP440,
    VERSION_REGEX,
    VERSION_SCHEMES
};

enum version_prereleases {
    PRERELEASES_SAME, /* from one pre-release to the next of the same version, and to versions */
    PRERELEASES_NO,   /* never to one */
    PRERELEASES_YES,  /* as to versions */
};

/* What may follow a version. A zeroed structure has the defaults; texts are borrowed. */
struct version_rules {
    enum version_scheme scheme;
    enum version_prereleases prereleases;
    bool any_precision;     /* docker: 12.15.0 may follow 12.14 */
    bool revisions;         /* docker: 7.7.2-4 may follow 7.7.2-3 and 7.7.2 */
    const char *constraint; /* see version_constraint_holds; or NULL */
    const char *include;    /* a glob for the whole text; or NULL */
    const char *exclude;    /* the same */
    const char *expression; /* of the scheme regex */
};

/* The name of a scheme, and the scheme of a name (VERSION_SCHEMES when it is none). */
const char *version_scheme_name(enum version_scheme scheme);
enum version_scheme version_scheme_parse(const char *name);

/* "same", "no", "yes"; false when it is neither. */
bool version_prereleases_parse(const char *name, enum version_prereleases *prereleases);

/* NULL, or what is wrong with the rules. */
const char *version_rules_check(const struct version_rules *rules);

/* Whether the text is a version of the scheme. Signatures, commits and channels are none. */
bool version_is_valid(const struct version_rules *rules, const char *text);

/* Order of two valid versions: less than, equal to or greater than 0. */
int version_compare(const struct version_rules *rules, const char *a, const char *b);

bool version_is_prerelease(const struct version_rules *rules, const char *text);

/*
 * Whether `candidate` is newer than `current`, of the same flavour and within the rules. Never when
 * one of them is no version.
 */
bool version_follows(const struct version_rules *rules, const char *current, const char *candidate);

/* Whether all but the version is the same in two valid ones. */
bool version_same_flavour(const struct version_rules *rules, const char *a, const char *b);

/* Whether it is a version that the rules let in whatever came before it: `same` is `no` here. */
bool version_is_let_in(const struct version_rules *rules, const char *text);

/* Whether nothing is around the version: docker knows prefixes and variants, maven variants. */
bool version_is_plain(const struct version_rules *rules, const char *text);

/*
 * Whether two texts have the same beside their numbers and pre-releases, as docker reads them and
 * whatever the scheme: "1.0-1-noble" and "1.1-2-noble" have, "1.0" and "1.0-ubuntu.2204" have not.
 */
bool version_same_variant(const char *a, const char *b);

/*
 * Comparisons with blanks between, all of which have to hold: ">=7.7 <8", "^1.2", "~1.2.3", "1.x",
 * "=1.2.3", "1.2 - 1.4". For "<=", ">", "!=" and the end of a range a short bound is all that
 * begins so: "<=1.4" takes 1.4.9. A bound that is no pre-release looks at the numbers alone, so
 * that 8.0-rc1 is not below 8. False also when the constraint cannot be read.
 */
bool version_constraint_holds(const struct version_rules *rules, const char *text);
bool version_constraint_is_valid(const struct version_rules *rules);

#endif

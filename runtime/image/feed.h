/*
 * Feeds: where software says which versions of it there are. Each is named by its kind and a whole
 * URL (https, http or file), nothing is built in:
 *
 *   maven:URL          maven-metadata.xml: all of its versions
 *   github:URL         a list of releases or tags of GitHub's API, page by page; no drafts
 *   npm:URL            a package's document: nothing deprecated, nothing above dist-tags.latest
 *   pypi:URL           a project's JSON, legacy (…/json) or simple; nothing yanked or without files
 *   apt:URL#PACKAGE    an index of packages, Packages or Packages.gz
 *   json:URL#POINTER   what a JSON pointer leads to: a text, a list of texts, or the keys of an
 *                      object; a '*' in it stands for each item of a list, and may have more behind
 *   text:URL#REGEX     the one group of a POSIX extended expression, of every match
 *   tags:REPOSITORY    the tags of an image
 *
 * What is read is untrusted: a text that is no version by feed_version_is_valid is passed over.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_FEED_H
#define STEPCELL_RUNTIME_IMAGE_FEED_H

#include "base/buf.h"
#include "base/err.h"
#include "runtime/image/version.h"

#define FEED_DOCUMENT_MAX (16 << 20)  /* bytes of a document, as it is sent and inflated */
#define FEED_INDEX_MAX    (128 << 20) /* the same of an index of packages */
#define FEED_PAGES_MAX    200
#define FEED_VERSIONS_MAX 100000
#define FEED_VALUES_MAX   1000000 /* of a JSON document, about */
#define FEED_MATCH_MS     10000   /* that an expression may take for a document */
#define FEED_RULE_MAX     1024    /* bytes of a pointer, an expression or a package's name */
#define FEED_WINDOW       8192 /* bytes that an expression sees at once; half of it for a match */
#define FEED_TRIES        3    /* of one request */

enum feed_kind {
    FEED_MAVEN,
    FEED_GITHUB,
    FEED_NPM,
    FEED_PYPI,
    FEED_APT,
    FEED_JSON,
    FEED_TEXT,
    FEED_TAGS,
    FEED_KINDS
};

struct feed {
    enum feed_kind kind;
    char *url;        /* without what is behind '#'; of tags the repository */
    char *rule;       /* the pointer, expression or package; NULL for the other kinds */
    bool prereleases; /* also those that the feed itself says to be so */
};

/* Errors are option.invalid. On success the caller releases `feed`. */
bool feed_parse(const char *text, struct feed *feed, struct err *err);
void feed_release(struct feed *feed);

/* How versions of such a feed are read unless the caller says otherwise. */
enum version_scheme feed_scheme(enum feed_kind kind);

/* FEED_DOCUMENT_MAX, or FEED_INDEX_MAX. */
size_t feed_document_max(enum feed_kind kind);

/* Letters, digits and ". _ + ~ : -", up to VERSION_MAX: in no output of any system does it need an
 * escape. */
bool feed_version_is_valid(const char *text);

/*
 * Adds the versions of one document, or page of it, in no order (pure; not for tags). Errors are
 * config.invalid: it is not what its kind has to be. None at all is no error.
 */
bool feed_read(const struct feed *feed, const char *text, size_t len, struct strv *versions,
               struct err *err);

/*
 * Gets all versions, of all pages. `authorization` is the value of a header for the feed's own
 * origin, or NULL. What cannot be got is registry.unreachable or registry.auth, what cannot be
 * read config.invalid.
 */
bool feed_get(const struct feed *feed, const char *authorization, struct strv *versions,
              struct err *err);

/* ---- the formats, for feed.c ---- */

typedef bool feed_reader(const struct feed *feed, const char *text, size_t len,
                         struct strv *versions, struct err *err);
feed_reader feed_read_maven, feed_read_github, feed_read_npm, feed_read_pypi, feed_read_apt,
    feed_read_json, feed_read_text;

/* NULL, or what is wrong with the rule of a feed. */
typedef const char *feed_check(const char *rule);
feed_check feed_check_package, feed_check_pointer, feed_check_expression;

/* Adds one, unless it is none; `len` bytes. False when there are too many. */
bool feed_add(struct strv *versions, const char *text, size_t len, struct err *err);

#define autofeed CLEANUP(feed_release) struct feed

#endif

/* The schemes of version.h, for version*.c alone. */
#ifndef STEPCELL_RUNTIME_IMAGE_VERSION_SCHEMES_H
#define STEPCELL_RUNTIME_IMAGE_VERSION_SCHEMES_H

#include "runtime/image/version.h"

struct version_ops {
    const char *name;
    bool (*is_valid)(const struct version_rules *rules, const char *text);
    int (*compare)(const struct version_rules *rules, const char *a, const char *b);
    /* NULL: there are none. */
    bool (*is_prerelease)(const struct version_rules *rules, const char *text);
    /* Whether nothing is around the version; NULL: nothing ever is. */
    bool (*is_plain)(const struct version_rules *rules, const char *text);
    /* Whether all but the version is the same; NULL: there is nothing else. */
    bool (*same_flavour)(const struct version_rules *rules, const char *a, const char *b);
    /* Whether a pre-release and another version lead to the same release; NULL: no such thing. */
    bool (*same_release)(const struct version_rules *rules, const char *a, const char *b);
};

extern const struct version_ops version_docker, version_semver, version_loose, version_numeric,
    version_date, version_alpha, version_deb, version_maven, version_pep440, version_regex;

const struct version_ops *version_ops_of(const struct version_rules *rules);

/* A part of a text. */
struct span {
    const char *at;
    size_t len;
};

/* Digits as numbers of any length; no digits are 0. */
int version_compare_digits(struct span a, struct span b);

/* By bytes; a beginning of the other one is less. */
int version_compare_bytes(struct span a, struct span b);

bool span_is(struct span span, const char *word); /* small and capital letters are the same */
bool span_equal(struct span a, struct span b);    /* byte by byte */
struct span span_digits(const char *text);        /* the digits at the beginning */
struct span span_letters(const char *text);       /* the letters at the beginning */

#define VERSION_NUMBERS_MAX 16

/* Why it cannot be used, as when it names no number, or NULL. */
const char *version_expression_refusal(const char *expression);

/* The numbers at the beginning of a version, for constraints: docker's and semver's. */
size_t version_docker_numbers(const char *text, struct span numbers[VERSION_NUMBERS_MAX]);

/* Words that every scheme knows; one letter alone needs a number behind it. */
bool version_begins_with_prerelease(const char *text);

/* Whether two first numbers are both years or days, or neither: 20240101 does not follow 2.1. */
bool version_same_calendar(struct span a, struct span b);

#endif

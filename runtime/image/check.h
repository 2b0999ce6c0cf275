/*
 * Is an image fit to be an execution container? Rules are a table of pure functions over facts
 * that were collected before; nothing here reads, fetches or prints (docs/design/image-check.md).
 *
 *   struct check_profile profile;  check_profile_builtin or check_profile_load
 *   struct check_facts facts;      check_subject.h collects them
 *   check_needs_files              after each layer: whether a rule still waits for lower ones
 *   check_evaluate                 all rules, at the end
 *   check_verdict
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_H

#include "runtime/image/check_config.h"
#include "runtime/image/check_tree.h"
#include "runtime/image/manifest.h"
#include "runtime/image/reference.h"

#define CHECK_RULES_MAX     48
#define CHECK_FINDINGS_MAX  4096
#define CHECK_PLATFORMS_MAX 16        /* that one check looks at */
#define CHECK_PROFILE_MAX   (1 << 20) /* bytes of a profile */
#define CHECK_LIST_MAX      256       /* items of a list of a profile */

enum check_level { CHECK_OFF, CHECK_INFO, CHECK_WARNING, CHECK_ERROR };

/* ---- rules ---- */

struct check_run; /* one rule at work: check_rules.h */

struct check_rule {
    const char *id;
    enum check_level octopus, plain; /* what its findings are at the most, by profile */
    bool of_reference;               /* asked once, not for each platform */
    const char *what;                /* it asks, for documents and reports */
    void (*ask)(struct check_run *run);
};

const struct check_rule *check_rules(size_t *count);

/* The index of the rule, or -1. */
int check_rule_find(const char *id);

/* "off", "info", "warning", "error"; and back, false when it is none. */
const char *check_level_text(enum check_level level);
bool check_level_parse(const char *text, enum check_level *level);

/* ---- profiles ---- */

struct check_profile {
    char *name;
    enum check_level levels[CHECK_RULES_MAX]; /* by rule */
    struct strv packages;      /* that have to be installed, or programs of the same name */
    struct strv tools;         /* programs on PATH */
    struct strv shells;        /* beside /bin/sh, on PATH */
    struct strv distributions; /* IDs of os-release that are fit ... */
    struct strv recommended;   /* ... and of them those without a warning; empty for all */
    uint64_t size_max;         /* bytes of all layers as they are stored */
    uint64_t layer_max;        /* and of one */
    uint64_t waste_max;        /* per cent of the bytes of all files */
    char *key_package;         /* whose version is the image's; NULL for none */
    char *key_env;             /* a variable of the image that says that version; NULL for none */
};

/* "octopus" or "plain"; false when it is neither. */
bool check_profile_builtin(const char *name, struct check_profile *profile, struct err *err);

/*
 * A profile of one's own, `text` of `what`: a JSON object whose members replace those of the
 * profile that it "extends". Strict: what is unknown is config.invalid.
 */
bool check_profile_parse(const char *text, size_t len, const char *what,
                         struct check_profile *profile, struct err *err);
void check_profile_release(struct check_profile *profile);

#define autocheckprofile CLEANUP(check_profile_release) struct check_profile

/* ---- facts ---- */

/* What serves one platform of a worker. */
struct check_image {
    struct platform wanted;
    char *missing; /* why there is none for it; NULL when there is one */
    char *missing_hint;
    bool is_promised; /* by an index, which says ... */
    struct platform promised;
    char *manifest_digest;
    struct check_config config;
    struct manifest manifest;
    struct check_tree *tree; /* NULL when files are not asked for */
    size_t layers_read;
    char *unreadable; /* why files cannot be told; NULL when they can */
};

struct check_facts {
    const struct reference *reference;
    char *digest;     /* of what the reference names */
    char *unreadable; /* why nothing can be told; NULL when something can */
    char *unreadable_hint;
    bool is_index;
    struct platform *offers; /* of the index, as it says */
    size_t offer_count;
    struct check_image *images;
    size_t image_count;
    enum check_level fail_on; /* findings of this level make the image unfit */
    bool all_layers;          /* no rule does with less */
};

void check_facts_release(struct check_facts *facts);

#define autocheckfacts CLEANUP(check_facts_release) struct check_facts

/* ---- results ---- */

enum check_reason {
    CHECK_NOT_SKIPPED,
    CHECK_NOT_APPLICABLE,
    CHECK_SWITCHED_OFF,
    CHECK_NOT_NEEDED, /* it lies in layers that were not read, and cannot change the verdict */
    CHECK_UNREADABLE, /* it could not be told */
};

struct check_finding {
    const struct check_rule *rule;
    const struct check_image *image; /* NULL for one of the reference */
    enum check_level level;          /* CHECK_OFF when it was skipped ... */
    enum check_reason reason;        /* ... for this */
    char *message;                   /* may hold anything that an image does */
    char *hint;                      /* or NULL */
};

struct check_results {
    struct check_finding *findings;
    size_t count;
    bool passed[CHECK_RULES_MAX]; /* for one platform at least, with nothing to say of any */
};

enum check_verdict { CHECK_FIT, CHECK_UNFIT, CHECK_UNKNOWN };

/*
 * Whether an answer that can change the verdict depends on layers of the image that were not read.
 */
bool check_needs_files(const struct check_facts *facts, const struct check_image *image,
                       const struct check_profile *profile);

/* Asks every rule. False only without memory. */
bool check_evaluate(const struct check_facts *facts, const struct check_profile *profile,
                    struct check_results *results, struct err *err);
void check_results_release(struct check_results *results);

enum check_verdict check_verdict(const struct check_facts *facts,
                                 const struct check_results *results);

#define autocheckresults CLEANUP(check_results_release) struct check_results

#endif

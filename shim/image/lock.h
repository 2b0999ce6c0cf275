/*
 * `stepcell lock`: the commands around a lock file. lock.c reads the words and calls one of them;
 * lock_edit.c changes entries and writes the file; lock_assess.c asks registries.
 *
 * A command reads the file, asks whom it has to, and hands its changes to lock_commit, which locks
 * the file's directory, reads the file again and applies them where nobody else has changed the
 * same entry meanwhile. So nobody waits for another one's registry, and no change is lost.
 */
#ifndef STEPCELL_SHIM_IMAGE_LOCK_H
#define STEPCELL_SHIM_IMAGE_LOCK_H

#include "runtime/image/lock.h"

/* Statuses of docs/lock.md; the exit status is that of all images together. */
#define LOCK_EXIT_SAME    0
#define LOCK_EXIT_FAILED  1 /* something could not be found out */
#define LOCK_EXIT_DIFFERS 2

struct lock_options {
    const char *file, *by, *why, *until, *name, *to;
    const char *scheme, *constraint, *include, *exclude, *expression, *prereleases, *min_age;
    bool any_precision, revisions;
    bool json, dry_run, moved, online, tags;
};

struct lock_call {
    struct lock_options options;
    char *path; /* of the file itself, if it is a link to it */
    struct lock_file lock;
    json_t *changes; /* names and what their entries become; null: removed */
    time_t now;
    char *by;
    char **words;
    size_t count;
};

/* Each command gives the exit status, or fails with err. */
typedef bool lock_command(struct lock_call *call, int *status, struct err *err);
lock_command lock_add, lock_update, lock_rollback, lock_hold, lock_end_hold, lock_remove;
lock_command lock_list, lock_outdated, lock_verify, lock_diff;

/* The worse of two exit statuses. */
int lock_worse(int a, int b);

/* The entry of a name that the caller gave; NULL with err when there is none. */
json_t *lock_named(const struct lock_call *call, const char *name, struct err *err);

/* Whether a command is about this entry: it was named, or none was. */
bool lock_is_meant(const struct lock_call *call, const char *name);

/* ---- entries ---- */

/* "image:tag", or "image@digest" when `digest` is given. */
bool lock_reference(const json_t *entry, const char *tag, const char *digest,
                    struct reference *reference, struct err *err);

/* A copy of the entry with this pin, the one before it kept. */
json_t *lock_with_pin(const struct lock_call *call, const json_t *entry, const char *tag,
                      const json_t *pin, const char *first_seen);

/* A copy of the entry with the pin before this one; NULL with err when there is none. */
json_t *lock_rolled_back(const struct lock_call *call, const char *name, const json_t *entry,
                         struct err *err);

/* A copy of the entry that is held. */
json_t *lock_held(const struct lock_call *call, const json_t *entry, const char *why,
                  struct err *err);

/* Whether it is held now. */
bool lock_is_held(const struct lock_call *call, const json_t *entry);

/* The rules that were given as options over those of the entry. */
bool lock_take_rules(const struct lock_options *options, json_t *entry, struct err *err);

/* ---- the file ---- */

/* Reads it; one that is not there is empty where `may_be_missing`. */
bool lock_open(struct lock_call *call, bool may_be_missing, struct err *err);

/* Notes a change; `entry` is taken, NULL removes it. */
bool lock_change(struct lock_call *call, const char *name, json_t *entry, struct err *err);

/* Writes all changes, or none of them. */
bool lock_commit(const struct lock_call *call, struct err *err);

/* ---- what registries say ---- */

enum lock_status {
    LOCK_OK,
    LOCK_NEWER,
    LOCK_MOVED,
    LOCK_ALIAS,
    LOCK_HELD,
    LOCK_GONE,
    LOCK_PLATFORM_MISSING,
    LOCK_UNKNOWN
};

struct assessment {
    enum lock_status status;
    char *newer; /* tag, or NULL; `pin` is what it stands for */
    json_t *pin;
    char *first_seen; /* of the newer one, when that is known */
    char *moved_to;   /* digest, or NULL */
    json_t *seen;     /* newer tags and when they were seen first; NULL: it does not matter */
    char *detail;     /* a sentence, or NULL */
};

void assessment_release(struct assessment *assessment);
#define autoassessment CLEANUP(assessment_release) struct assessment

const char *lock_status_word(enum lock_status status);
int lock_status_exit(enum lock_status status);

/* Whether there is something newer, and whether the tag is what it was. */
void lock_assess(const struct lock_call *call, const json_t *entry, struct assessment *assessment);

/* Whether what is locked can still be had, and whether its tag is what it was. */
void lock_assess_pin(const struct lock_call *call, const json_t *entry,
                     struct assessment *assessment);

#endif

/*
 * The lock file (docs/lock.md): which digest a tag stands for. Read strictly, and written so that
 * the same content always is the same text.
 *
 *   {"schema": "stepcell.lock/1", "images": {NAME: ENTRY, …}}
 *
 * An entry has `want` (what a step asks for), and a pin: `image`, `tag`, `digest`, `platforms` and
 * when, by whom and why it was locked; then what may follow it, what holds it, newer tags that were
 * seen, and pins before it.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_LOCK_H
#define STEPCELL_RUNTIME_IMAGE_LOCK_H

#include <stdint.h>
#include <time.h>

#include "base/json.h"
#include "runtime/image/platform.h"
#include "runtime/image/reference.h"
#include "runtime/image/version.h"

#define LOCK_SCHEMA   "stepcell.lock/1"
#define LOCK_FILENAME "stepcell.lock" /* in the current directory, unless another one is named */

#define LOCK_FILE_MAX      (8 << 20) /* bytes */
#define LOCK_IMAGES_MAX    1000
#define LOCK_PLATFORMS_MAX 64
#define LOCK_PREVIOUS_MAX  8 /* pins that are kept for a rollback */
#define LOCK_SEEN_MAX      16
#define LOCK_NAME_MAX      128  /* bytes of an entry's name */
#define LOCK_NOTE_MAX      1000 /* bytes of a reason, or a name of somebody */

struct lock_file {
    json_t *json;
};

/* An empty one; its json is NULL without memory. */
struct lock_file lock_new(void);
void lock_release(struct lock_file *lock);

/* Errors are config.invalid and name the line. `path` is for messages. */
bool lock_parse(const char *text, size_t len, const char *path, struct lock_file *lock,
                struct err *err);
bool lock_load(const char *path, struct lock_file *lock, struct err *err);

/* The text for the disk, owned by the caller; NULL without memory. */
char *lock_text(const struct lock_file *lock);

/* The object of names and entries, and one entry or NULL. Borrowed. */
json_t *lock_images(const struct lock_file *lock);
json_t *lock_entry(const struct lock_file *lock, const char *name);

/*
 * The name of the entry for a reference, or NULL: by `want` where there is a tag alone; by the
 * digest of the same image, of its index or of one of its platforms, where there is one.
 */
const char *lock_find(const struct lock_file *lock, const struct reference *reference);

/*
 * The digest that an entry has for a platform: that of the best one, by the rules by which an index
 * is read. NULL when it has none for it.
 */
const char *lock_platform_digest(const json_t *entry, const struct platform *wanted);

/* What may follow the pin of an entry. Borrowed from it. */
struct version_rules lock_rules(const json_t *entry);

/* The age in seconds that a newer tag has to have before it is taken. */
uint64_t lock_min_age(const json_t *entry);

/* A name of an entry: small letters, digits, and '.', '_', '-' behind the first of them. */
bool lock_name_is_valid(const char *name);

/* Something to be read in one line: UTF-8 without control characters, not empty. */
bool lock_note_is_valid(const char *text);

/* "2026-08-01T05:00:00Z" */
#define LOCK_TIME_MAX 24
void lock_time_text(time_t time, char text[LOCK_TIME_MAX]);
bool lock_time_parse(const char *text, time_t *time);

#define autolockfile CLEANUP(lock_release) struct lock_file

/* ---- between lock.c and lock_check.c ---- */

bool lock_check(const json_t *json, const char *text, size_t len, const char *path,
                struct err *err);

#endif

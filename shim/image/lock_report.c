/* The commands that say what a lock file holds, and what has become of it. */
#include "shim/image/lock.h"

#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "shim/image/command.h"
#include "shim/print.h"

static json_t *text_or_null(const char *text)
{
    return text ? json_bytes(text, strlen(text)) : json_null();
}

static bool names_are_known(const struct lock_call *call, struct err *err)
{
    for (size_t i = 0; i < call->count; i++) {
        if (!lock_named(call, call->words[i], err))
            return false;
    }
    return true;
}

/* `images` is taken. */
static bool print_images(const char *schema, json_t *images, int *status)
{
    json_t *page = json_pack("{s:s, s:o}", "schema", schema, "images", images);

    if (command_print_json(page) != 0)
        *status = LOCK_EXIT_FAILED;
    return true;
}

/* ---- list ---- */

static void print_note_of(const char *what, const json_t *object, const char *key)
{
    autofree char *text = json_text(object, key) ? command_escape(json_text(object, key)) : NULL;

    if (text)
        print_out("\t%s %s", what, text);
}

static void print_entry(const struct lock_call *call, const char *name, const json_t *entry)
{
    const json_t *hold = json_object_get(entry, "hold");

    print_out("%s\t%s:%s\t%s\tlocked %s", name, json_text(entry, "image"), json_text(entry, "tag"),
              json_text(entry, "digest"), json_text(entry, "locked_at"));
    print_note_of("by", entry, "locked_by");
    print_note_of("because", entry, "why");
    if (lock_is_held(call, entry)) {
        print_note_of("held by", hold, "by");
        print_note_of("until", hold, "until");
        print_note_of("because", hold, "why");
    }
    print_out("\n");
}

bool lock_list(struct lock_call *call, int *status, struct err *err)
{
    json_t *images = json_array(), *entry;
    const char *name;

    if (!lock_open(call, false, err) || !names_are_known(call, err)) {
        json_decref(images);
        return false;
    }
    json_object_foreach (lock_images(&call->lock), name, entry) {
        if (!lock_is_meant(call, name))
            continue;
        if (call->options.json) {
            json_t *named = json_deep_copy(entry);

            json_object_set_new(named, "name", json_string(name));
            json_array_append_new(images, named);
        } else {
            print_entry(call, name, entry);
        }
    }
    if (call->options.json)
        return print_images("stepcell.lock-list/1", images, status);
    json_decref(images);
    return true;
}

/* ---- outdated, verify ---- */

static json_t *assessment_json(const char *name, const json_t *entry,
                               const struct assessment *found)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "name", name, "image",
                     json_text(entry, "image"), "tag", json_text(entry, "tag"), "digest",
                     json_text(entry, "digest"), "status", lock_status_word(found->status), "newer",
                     text_or_null(found->newer), "newer_digest",
                     text_or_null(json_text(found->pin, "digest")), "moved_to",
                     text_or_null(found->moved_to), "detail", text_or_null(found->detail));
}

static void print_assessment(const char *name, const json_t *entry, const struct assessment *found)
{
    autofree char *detail = found->detail ? command_escape(found->detail) : NULL;

    print_out("%s\t%s\t%s\t%s\t%s\n", name, lock_status_word(found->status),
              json_text(entry, "tag"), found->newer ? found->newer : "-", detail ? detail : "");
}

/* When newer tags were first seen is remembered; a file that cannot be written says so. */
static void note_seen(struct lock_call *call, const char *name, const json_t *entry,
                      const struct assessment *found)
{
    json_t *changed;
    struct err ignored;

    if (!found->seen || found->status == LOCK_UNKNOWN ||
        json_equal(found->seen, json_object_get(entry, "seen")) ||
        (json_object_size(found->seen) == 0 && !json_object_get(entry, "seen")))
        return;
    changed = json_deep_copy(entry);
    json_object_set(changed, "seen", found->seen);
    (void)!lock_change(call, name, changed, &ignored);
}

static bool report(struct lock_call *call, const char *schema,
                   void (*assess)(const struct lock_call *call, const json_t *entry,
                                  struct assessment *assessment),
                   int *status, struct err *err)
{
    json_t *images = json_array(), *entry;
    const char *name;

    if (!lock_open(call, false, err) || !names_are_known(call, err)) {
        json_decref(images);
        return false;
    }
    json_object_foreach (lock_images(&call->lock), name, entry) {
        autoassessment found = {0};

        if (!lock_is_meant(call, name))
            continue;
        assess(call, entry, &found);
        *status = lock_worse(*status, lock_status_exit(found.status));
        note_seen(call, name, entry, &found);
        if (call->options.json)
            json_array_append_new(images, assessment_json(name, entry, &found));
        else
            print_assessment(name, entry, &found);
    }
    if (call->options.json)
        return print_images(schema, images, status);
    json_decref(images);
    return true;
}

bool lock_outdated(struct lock_call *call, int *status, struct err *err)
{
    struct err lost;

    if (!report(call, "stepcell.lock-outdated/1", lock_assess, status, err))
        return false;
    if (!call->options.dry_run && !lock_commit(call, &lost))
        print_note(PRINT_NORMAL, "when newer tags were first seen is not remembered: %s",
                   lost.message);
    return true;
}

bool lock_verify(struct lock_call *call, int *status, struct err *err)
{
    return report(call, "stepcell.lock-verify/1", lock_assess_pin, status, err);
}

/* ---- diff ---- */

static bool read_side(const char *path, struct lock_file *lock, struct err *err)
{
    autobuf text = BUF_INIT(LOCK_FILE_MAX);

    if (strcmp(path, "-") != 0)
        return lock_load(path, lock, err);
    return file_read_fd(STDIN_FILENO, "stdin", &text, ERR_CONFIG_INVALID, err) &&
           lock_parse(text.data, text.len, "stdin", lock, err);
}

static void note_difference(json_t *changes, const char *what, const char *old, const char *new)
{
    json_array_append_new(changes, json_pack("{s:s, s:o, s:o}", "what", what, "old",
                                             text_or_null(old), "new", text_or_null(new)));
}

static void compare_texts(json_t *changes, const char *key, const json_t *old, const json_t *new)
{
    const char *before = json_text(old, key), *after = json_text(new, key);

    if (before != after && (!before || !after || strcmp(before, after) != 0))
        note_difference(changes, key, before, after);
}

static void compare_platform(json_t *changes, const char *platform, const json_t *old,
                             const json_t *new)
{
    static const char *const keys[] = {"digest", "config"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        autofree char *what = text_printf("%s %s", platform, keys[i]);
        const char *before = json_text(old, keys[i]), *after = json_text(new, keys[i]);

        if (what && (!before || !after || strcmp(before, after) != 0))
            note_difference(changes, what, before, after);
    }
}

static void compare_platforms(json_t *changes, json_t *old, json_t *new)
{
    const char *platform;
    json_t *value;

    json_object_foreach (old, platform, value)
        compare_platform(changes, platform, value, json_object_get(new, platform));
    json_object_foreach (new, platform, value) {
        if (!json_object_get(old, platform))
            compare_platform(changes, platform, NULL, value);
    }
}

/* What somebody who reviews a change wants to see; times and people are in the file. */
static json_t *differences(json_t *old, json_t *new)
{
    static const char *const keys[] = {"want", "image", "tag", "digest"};
    json_t *changes = json_array();

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        compare_texts(changes, keys[i], old, new);
    compare_platforms(changes, json_object_get(old, "platforms"),
                      json_object_get(new, "platforms"));
    return changes;
}

static void print_differences(const char *name, const char *change, json_t *list)
{
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one) {
        const char *old = json_text(one, "old"), *new = json_text(one, "new");
        autofree char *before = command_escape(old ? old : "-");
        autofree char *after = command_escape(new ? new : "-");

        print_out("%s\t%s\t%s\t%s\t%s\n", name, change, json_text(one, "what"),
                  before ? before : "", after ? after : "");
    }
}

/* Adds what is different in one entry; either side may be NULL. */
static void compare_entry(const struct lock_call *call, const char *name, json_t *old, json_t *new,
                          json_t *images)
{
    const char *change = !old ? "added" : !new ? "removed" : "changed";
    json_t *list = differences(old, new);

    if (json_array_size(list) > 0) {
        if (!call->options.json)
            print_differences(name, change, list);
        json_array_append_new(images, json_pack("{s:s, s:s, s:O}", "name", name, "change", change,
                                                "differences", list));
    }
    json_decref(list);
}

bool lock_diff(struct lock_call *call, int *status, struct err *err)
{
    autolockfile old = {0}, new = {0};
    autojson *images = json_array();
    const char *name;
    json_t *entry;

    if (!read_side(call->words[0], &old, err) ||
        !read_side(call->count > 1 ? call->words[1] : call->path, &new, err))
        return false;
    json_object_foreach (lock_images(&old), name, entry)
        compare_entry(call, name, entry, lock_entry(&new, name), images);
    json_object_foreach (lock_images(&new), name, entry) {
        if (!lock_entry(&old, name))
            compare_entry(call, name, NULL, entry, images);
    }
    if (json_array_size(images) > 0)
        *status = LOCK_EXIT_DIFFERS;
    return !call->options.json || print_images("stepcell.lock-diff/1", json_incref(images), status);
}

/* The commands that change a lock file. */
#include "shim/image/lock.h"

#include <string.h>

#include "base/buf.h"
#include "runtime/image/lock_resolve.h"
#include "shim/image/command.h"
#include "shim/print.h"

static void print_change(const char *name, const char *what, const json_t *entry)
{
    print_out("%s\t%s\t%s:%s\t%s\n", name, what, json_text(entry, "image"), json_text(entry, "tag"),
              json_text(entry, "digest"));
}

static bool same_pin(const json_t *a, const json_t *b)
{
    return a && b && json_equal(json_object_get(a, "digest"), json_object_get(b, "digest")) &&
           json_equal(json_object_get(a, "tag"), json_object_get(b, "tag"));
}

/* All that changed, once it is on the disk. */
static void print_changes(const struct lock_call *call, const char *what)
{
    const char *name;
    json_t *entry;

    json_object_foreach (call->changes, name, entry)
        print_change(name, what, json_is_null(entry) ? lock_entry(&call->lock, name) : entry);
}

/* Those that have another pin; how many there are. */
static size_t print_pins(const struct lock_call *call, const char *what)
{
    const char *name;
    json_t *entry;
    size_t count = 0;

    json_object_foreach (call->changes, name, entry) {
        if (same_pin(entry, lock_entry(&call->lock, name)))
            continue;
        print_change(name, what, entry);
        count++;
    }
    return count;
}

/* ---- add ---- */

/* A name of the entry: the one that was given, or the last part of the image's. */
static bool choose_name(const struct lock_call *call, const struct reference *reference,
                        const char **name, struct err *err)
{
    const char *slash = strrchr(reference->path, '/');

    *name = call->options.name ? call->options.name : slash ? slash + 1 : reference->path;
    if (!lock_name_is_valid(*name)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is no name for an entry", *name);
        return err_hint(err, "--name takes small letters, digits, '.', '_' and '-'");
    }
    if (lock_entry(&call->lock, *name) || json_object_get(call->changes, *name)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' has an entry '%s' already, of another image or tag",
                call->path, *name);
        return err_hint(err, "give this one a name of its own with --name");
    }
    return true;
}

/* What steps are going to ask for. */
static bool parse_wanted(const char *text, struct reference *reference, struct err *err)
{
    if (!command_parse_reference(text, reference, err))
        return false;
    if (reference->transport == TRANSPORT_REGISTRY && !reference->digest)
        return true;
    err_set(err, ERR_OPTION_INVALID, "'%s' is no tag of a registry's image", text);
    return err_hint(err, "give [HOST/]PATH:TAG; a digest needs no lock");
}

static bool add_one(struct lock_call *call, const char *text, struct err *err)
{
    autojson *entry = json_object(), *pin = NULL;
    autoreference want = {0}, locked = {0};
    autofree char *image = NULL;
    const char *name, *tag;

    if (!parse_wanted(text, &want, err))
        return false;
    name = lock_find(&call->lock, &want);
    if (name) {
        print_change(name, "unchanged", lock_entry(&call->lock, name));
        return true;
    }
    image = text_printf("%s/%s", want.host, want.path);
    tag = call->options.to ? call->options.to : want.tag;
    if (!image || json_object_set_new(entry, "image", json_string(image)) < 0 ||
        json_object_set_new(entry, "want", json_string(text)) < 0)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for a lock file");
    if (!choose_name(call, &want, &name, err) || !lock_take_rules(&call->options, entry, err) ||
        !lock_reference(entry, tag, NULL, &locked, err))
        return false;
    pin = lock_resolve(&locked, err);
    return pin && lock_change(call, name, lock_with_pin(call, entry, locked.tag, pin, NULL), err);
}

bool lock_add(struct lock_call *call, int *status, struct err *err)
{
    (void)status;
    if (call->options.name && call->count > 1)
        return err_set(err, ERR_OPTION_INVALID, "--name is for one reference alone");
    if (!lock_open(call, true, err))
        return false;
    for (size_t i = 0; i < call->count; i++) {
        if (!add_one(call, call->words[i], err))
            return false;
    }
    if (!lock_commit(call, err))
        return false;
    print_changes(call, "locked");
    return true;
}

/* ---- update ---- */

static bool refuse_held(const char *name, const json_t *entry, struct err *err)
{
    const json_t *hold = json_object_get(entry, "hold");

    err_set(err, ERR_OPTION_INVALID, "'%s' is held by %s: %s", name, json_text(hold, "by"),
            json_text(hold, "why"));
    return err_hint(err, "'stepcell lock release %s' lets updates in again", name);
}

/* --to: that tag, whatever it is. */
static bool take_tag(struct lock_call *call, const char *name, const json_t *entry, struct err *err)
{
    const char *tag = call->options.to;
    autoreference reference = {0};
    autojson *pin = NULL;

    if (lock_reference(entry, tag, NULL, &reference, err))
        pin = lock_resolve(&reference, err);
    if (!pin)
        return false;
    if (strcmp(json_text(pin, "digest"), json_text(entry, "digest")) == 0 &&
        strcmp(tag, json_text(entry, "tag")) == 0) {
        print_change(name, "unchanged", entry);
        return true;
    }
    return lock_change(call, name, lock_with_pin(call, entry, tag, pin, NULL), err);
}

/* The image that the same tag stands for now. */
static bool take_moved(struct lock_call *call, const char *name, const json_t *entry,
                       struct err *err)
{
    const char *tag = json_text(entry, "tag");
    autoreference reference = {0};
    autojson *pin = NULL;

    if (lock_reference(entry, tag, NULL, &reference, err))
        pin = lock_resolve(&reference, err);
    return pin && lock_change(call, name, lock_with_pin(call, entry, tag, pin, NULL), err);
}

static void print_found(const char *name, const struct assessment *found)
{
    autofree char *detail = found->detail ? command_escape(found->detail) : NULL;

    print_out("%s\t%s\t%s\n", name, lock_status_word(found->status), detail ? detail : "");
}

/* What a registry says, as far as the rules and the options let it in. */
static bool take_newer(struct lock_call *call, const char *name, json_t *entry, int *status,
                       struct err *err)
{
    autoassessment found = {0};

    lock_assess(call, entry, &found);
    if (found.pin && found.status != LOCK_HELD && found.status != LOCK_UNKNOWN)
        return lock_change(
            call, name, lock_with_pin(call, entry, found.newer, found.pin, found.first_seen), err);
    if (found.moved_to && call->options.moved)
        return take_moved(call, name, entry, err);
    print_found(name, &found);
    if (found.status == LOCK_MOVED)
        print_note(PRINT_NORMAL, "--moved takes the new image of a tag that moved");
    *status = lock_worse(*status, lock_status_exit(found.status));
    if (found.seen && !json_equal(found.seen, json_object_get(entry, "seen"))) {
        json_object_set(entry, "seen", found.seen);
        return lock_change(call, name, json_incref(entry), err);
    }
    return true;
}

static bool update_one(struct lock_call *call, const char *name, int *status, struct err *err)
{
    autojson *entry = json_deep_copy(lock_entry(&call->lock, name));

    if (!lock_take_rules(&call->options, entry, err))
        return false;
    if (lock_is_held(call, entry)) {
        if (call->count > 0)
            return refuse_held(name, entry, err);
        print_change(name, "held", entry);
        return true;
    }
    if (!json_equal(entry, lock_entry(&call->lock, name)) &&
        !lock_change(call, name, json_deep_copy(entry), err))
        return false;
    return call->options.to ? take_tag(call, name, entry, err)
                            : take_newer(call, name, entry, status, err);
}

/* Names that are known, before any registry is asked. */
static bool open_for_names(struct lock_call *call, struct err *err)
{
    if (!lock_open(call, false, err))
        return false;
    for (size_t i = 0; i < call->count; i++) {
        if (!lock_named(call, call->words[i], err))
            return false;
    }
    return true;
}

bool lock_update(struct lock_call *call, int *status, struct err *err)
{
    const char *name;
    json_t *entry;

    if (call->options.to && call->count != 1)
        return err_set(err, ERR_OPTION_INVALID, "--to is for one name alone");
    if (!open_for_names(call, err))
        return false;
    json_object_foreach (lock_images(&call->lock), name, entry) {
        if (lock_is_meant(call, name) && !update_one(call, name, status, err))
            return false;
    }
    if (call->options.dry_run) {
        if (print_pins(call, "would be locked") > 0)
            *status = lock_worse(*status, LOCK_EXIT_DIFFERS);
        return true;
    }
    if (!lock_commit(call, err))
        return false;
    print_pins(call, "locked");
    return true;
}

/* ---- the others ---- */

bool lock_rollback(struct lock_call *call, int *status, struct err *err)
{
    const char *name = call->words[0];
    json_t *changed;

    (void)status;
    if (!open_for_names(call, err))
        return false;
    changed = lock_rolled_back(call, name, lock_entry(&call->lock, name), err);
    if (!changed || !lock_change(call, name, changed, err) || !lock_commit(call, err))
        return false;
    print_changes(call, "rolled back");
    return true;
}

bool lock_hold(struct lock_call *call, int *status, struct err *err)
{
    (void)status;
    if (!call->options.why) {
        err_set(err, ERR_OPTION_INVALID, "a hold without a reason");
        return err_hint(err, "give it with --why, and its end with --until");
    }
    if (!open_for_names(call, err))
        return false;
    for (size_t i = 0; i < call->count; i++) {
        const char *name = call->words[i];
        json_t *changed = lock_held(call, lock_entry(&call->lock, name), call->options.why, err);

        if (!changed || !lock_change(call, name, changed, err))
            return false;
    }
    if (!lock_commit(call, err))
        return false;
    print_changes(call, "held");
    return true;
}

bool lock_end_hold(struct lock_call *call, int *status, struct err *err)
{
    (void)status;
    if (!open_for_names(call, err))
        return false;
    for (size_t i = 0; i < call->count; i++) {
        json_t *changed = json_deep_copy(lock_entry(&call->lock, call->words[i]));

        json_object_del(changed, "hold");
        if (!lock_change(call, call->words[i], changed, err))
            return false;
    }
    if (!lock_commit(call, err))
        return false;
    print_changes(call, "released");
    return true;
}

bool lock_remove(struct lock_call *call, int *status, struct err *err)
{
    (void)status;
    if (!open_for_names(call, err))
        return false;
    for (size_t i = 0; i < call->count; i++) {
        if (!lock_change(call, call->words[i], NULL, err))
            return false;
    }
    if (!lock_commit(call, err))
        return false;
    print_changes(call, "removed");
    return true;
}

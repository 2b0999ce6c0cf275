/* What changes in a lock file, and how it gets onto the disk. */
#include "shim/image/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"
#include "base/path.h"

#define FILE_MODE 0644

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for a lock file");
}

/* ---- entries ---- */

/* The members of a pin; `platforms` is an object, and so shared by reference. */
static const char *const pin_members[] = {"digest",    "first_seen", "locked_at",
                                          "locked_by", "media_type", "platforms",
                                          "size",      "tag",        "why"};

json_t *lock_named(const struct lock_call *call, const char *name, struct err *err)
{
    json_t *entry = lock_entry(&call->lock, name);

    if (!entry) {
        err_set(err, ERR_OPTION_INVALID, "'%s' has no entry '%s'", call->path, name);
        err_hint(err, "'stepcell lock list' shows the names");
    }
    return entry;
}

bool lock_is_meant(const struct lock_call *call, const char *name)
{
    for (size_t i = 0; i < call->count; i++) {
        if (strcmp(call->words[i], name) == 0)
            return true;
    }
    return call->count == 0;
}

bool lock_reference(const json_t *entry, const char *tag, const char *digest,
                    struct reference *reference, struct err *err)
{
    autofree char *text =
        text_printf("%s%s%s", json_text(entry, "image"), digest ? "@" : ":", digest ? digest : tag);

    if (!text || !reference_parse(text, "/", reference, err))
        return text ? false : no_memory(err);
    if (digest || !reference->digest)
        return true;
    reference_release(reference);
    return err_set(err, ERR_OPTION_INVALID, "'%s' is not a tag", tag);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text)
        json_object_set_new(object, key, json_string(text));
    else
        json_object_del(object, key);
}

static void set_time(json_t *object, const char *key, time_t time)
{
    char text[LOCK_TIME_MAX];

    lock_time_text(time, text);
    set_text(object, key, text);
}

static void copy_pin(json_t *to, const json_t *from)
{
    for (size_t i = 0; i < ARRAY_SIZE(pin_members); i++) {
        json_t *value = json_object_get(from, pin_members[i]);

        if (value)
            json_object_set(to, pin_members[i], value);
        else
            json_object_del(to, pin_members[i]);
    }
}

/*
 * A step that asks for a version gets no other one: what it wants follows. One that asks for
 * another tag than the one that is locked, or for one that is no version, goes on asking for it.
 */
static void follow_want(json_t *entry, const char *tag)
{
    const struct version_rules rules = lock_rules(entry);
    const char *want = json_text(entry, "want"), *old = json_text(entry, "tag");
    autofree char *suffix = text_printf(":%s", old), *changed = NULL;
    size_t len = strlen(want), cut = suffix ? strlen(suffix) : 0;

    if (!suffix || len < cut || strcmp(want + len - cut, suffix) != 0 ||
        !version_is_valid(&rules, old))
        return;
    changed = text_printf("%.*s:%s", (int)(len - cut), want, tag);
    set_text(entry, "want", changed ? changed : want);
}

static void keep_previous(const struct lock_call *call, json_t *entry)
{
    json_t *previous = json_object_get(entry, "previous"), *pin = json_object();

    if (!previous) {
        previous = json_array();
        json_object_set_new(entry, "previous", previous);
    }
    copy_pin(pin, entry);
    set_time(pin, "until", call->now);
    json_array_insert_new(previous, 0, pin);
    while (json_array_size(previous) > LOCK_PREVIOUS_MAX)
        json_array_remove(previous, json_array_size(previous) - 1);
}

json_t *lock_with_pin(const struct lock_call *call, const json_t *entry, const char *tag,
                      const json_t *pin, const char *first_seen)
{
    json_t *changed = json_deep_copy(entry);

    if (json_object_get(changed, "digest")) {
        keep_previous(call, changed);
        follow_want(changed, tag);
    }
    json_object_update(changed, (json_t *)pin);
    set_text(changed, "tag", tag);
    set_text(changed, "locked_by", call->by);
    set_text(changed, "why", call->options.why);
    set_time(changed, "locked_at", call->now);
    if (first_seen)
        set_text(changed, "first_seen", first_seen);
    else
        set_time(changed, "first_seen", call->now);
    json_object_del(changed, "seen");
    return changed;
}

json_t *lock_rolled_back(const struct lock_call *call, const char *name, const json_t *entry,
                         struct err *err)
{
    autojson *changed = json_deep_copy(entry), *pin = NULL;
    json_t *previous = json_object_get(changed, "previous");
    autofree char *why = NULL;

    pin = json_incref(json_array_get(previous, 0));
    if (!pin) {
        err_set(err, ERR_OPTION_INVALID, "'%s' has no version before '%s'", name,
                json_text(entry, "tag"));
        err_hint(err, "'stepcell lock update --to TAG %s' takes any other one", name);
        return NULL;
    }
    why = call->options.why ? strdup(call->options.why)
                            : text_printf("rolled back from %s", json_text(entry, "tag"));
    json_array_remove(previous, 0);
    if (json_array_size(previous) == 0)
        json_object_del(changed, "previous");
    follow_want(changed, json_text(pin, "tag"));
    copy_pin(changed, pin);
    json_object_del(changed, "seen");
    return why ? lock_held(call, changed, why, err) : NULL;
}

/* A day, or a time. */
static bool parse_until(const char *text, time_t *time)
{
    autofree char *day = text_printf("%sT00:00:00Z", text);

    return lock_time_parse(text, time) || (day && lock_time_parse(day, time));
}

json_t *lock_held(const struct lock_call *call, const json_t *entry, const char *why,
                  struct err *err)
{
    const char *until = call->options.until;
    autojson *changed = json_deep_copy(entry);
    json_t *hold = json_object();
    time_t end;

    json_object_set_new(changed, "hold", hold);
    set_text(hold, "by", call->by);
    set_text(hold, "why", why);
    set_time(hold, "since", call->now);
    if (until && (!parse_until(until, &end) || end <= call->now)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not a time to come", until);
        err_hint(err, "write 2026-12-24 or 2026-12-24T05:00:00Z, in UTC");
        return NULL;
    }
    if (until)
        set_time(hold, "until", end);
    return TAKE_PTR(changed);
}

bool lock_is_held(const struct lock_call *call, const json_t *entry)
{
    const json_t *hold = json_object_get(entry, "hold");
    const char *until = json_text(hold, "until");
    time_t end;

    return hold && (!until || !lock_time_parse(until, &end) || end > call->now);
}

static bool bad_rule(const char *option, const char *value, const char *hint, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "'%s' is no value for %s", value, option);
    return err_hint(err, "%s", hint);
}

static bool check_rules(const struct lock_options *options, const json_t *entry, struct err *err)
{
    enum version_prereleases prereleases;
    struct version_rules rules;
    const char *wrong;
    uint64_t age;

    if (options->scheme && version_scheme_parse(options->scheme) == VERSION_SCHEMES)
        return bad_rule("--scheme", options->scheme, "'stepcell lock add --help' lists them", err);
    if (options->prereleases && !version_prereleases_parse(options->prereleases, &prereleases))
        return bad_rule("--prereleases", options->prereleases, "give same, no or yes", err);
    if (options->min_age && !num_parse_age(options->min_age, &age))
        return bad_rule("--min-age", options->min_age, "give an age such as 12h or 3d", err);
    rules = lock_rules(entry);
    wrong = version_rules_check(&rules);
    return !wrong || err_set(err, ERR_OPTION_INVALID, "the rules cannot be used: %s", wrong);
}

bool lock_take_rules(const struct lock_options *options, json_t *entry, struct err *err)
{
    const struct {
        const char *key, *value;
    } texts[] = {
        {"scheme", options->scheme},         {"constraint", options->constraint},
        {"include", options->include},       {"exclude", options->exclude},
        {"expression", options->expression}, {"prereleases", options->prereleases},
        {"min_age", options->min_age},
    };
    const struct {
        const char *key;
        bool value;
    } flags[] = {{"any_precision", options->any_precision}, {"revisions", options->revisions}};
    json_t *old = json_object_get(entry, "follow");
    autojson *follow = old ? json_deep_copy(old) : json_object();

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (texts[i].value)
            set_text(follow, texts[i].key, texts[i].value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (flags[i].value)
            json_object_set_new(follow, flags[i].key, json_true());
    }
    if (json_object_size(follow) > 0)
        json_object_set(entry, "follow", follow);
    return check_rules(options, entry, err);
}

/* ---- the file ---- */

bool lock_open(struct lock_call *call, bool may_be_missing, struct err *err)
{
    if (may_be_missing && faccessat(AT_FDCWD, call->path, F_OK, 0) < 0 && errno == ENOENT) {
        call->lock = lock_new();
        return call->lock.json || no_memory(err);
    }
    return lock_load(call->path, &call->lock, err);
}

bool lock_change(struct lock_call *call, const char *name, json_t *entry, struct err *err)
{
    return json_object_set_new(call->changes, name, entry ? entry : json_null()) == 0 ||
           no_memory(err);
}

/* The changes in what is there now; what somebody else has changed meanwhile stays theirs. */
static bool apply(const struct lock_call *call, struct lock_file *lock, struct err *err)
{
    const char *name;
    json_t *entry;

    json_object_foreach (call->changes, name, entry) {
        json_t *before = lock_entry(&call->lock, name), *now = lock_entry(lock, name);

        if (before ? !now || !json_equal(before, now) : now != NULL) {
            err_set(err, ERR_STORE_BUSY, "somebody else has just changed '%s' in '%s'", name,
                    call->path);
            return err_hint(err, "try again");
        }
        if (json_is_null(entry))
            json_object_del(lock_images(lock), name);
        else if (json_object_set(lock_images(lock), name, entry) < 0)
            return no_memory(err);
    }
    return true;
}

/* Nothing is written that could not be read again. */
static bool check_text(const struct lock_call *call, const char *text, struct err *err)
{
    autolockfile again = {0};

    if (lock_parse(text, strlen(text), call->path, &again, err))
        return true;
    err_context(err, "what would be written is not valid");
    return err_hint(err, "correct what was given; docs/lock.md describes the file");
}

static bool write_file(const struct lock_call *call, int dir, const char *text, struct err *err)
{
    const char *name = path_name(call->path);
    struct stat st;
    mode_t mode = fstatat(dir, name, &st, 0) == 0 ? st.st_mode & 0777 : FILE_MODE;

    return file_replace(dir, name, text, strlen(text), mode, ERR_CONFIG_INVALID, err);
}

/* The directory of the file, locked. */
static int lock_directory(const struct lock_call *call, struct err *err)
{
    const char *name = path_name(call->path);
    autofree char *path =
        name == call->path ? strdup(".") : strndup(call->path, (size_t)(name - call->path));
    autofd dir = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (dir < 0 || flock(dir, LOCK_EX) < 0) {
        err_errno(err, ERR_CONFIG_INVALID, "cannot lock the directory of '%s'", call->path);
        return -1;
    }
    return TAKE_FD(dir);
}

bool lock_commit(const struct lock_call *call, struct err *err)
{
    struct lock_call fresh = {.path = call->path};
    autofree char *before = NULL, *after = NULL;
    autofd dir = -1;
    bool ok;

    if (json_object_size(call->changes) == 0)
        return true;
    dir = lock_directory(call, err);
    if (dir < 0 || !lock_open(&fresh, true, err))
        return false;
    before = lock_text(&fresh.lock);
    ok = apply(call, &fresh.lock, err);
    after = ok ? lock_text(&fresh.lock) : NULL;
    lock_release(&fresh.lock);
    if (!ok)
        return false;
    if (!before || !after)
        return no_memory(err);
    return check_text(call, after, err) &&
           (strcmp(before, after) == 0 || write_file(call, dir, after, err));
}

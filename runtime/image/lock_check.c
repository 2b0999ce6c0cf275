/* What a lock file may hold: a table for each kind of object. Whatever is not in it is refused. */
#include "runtime/image/lock.h"

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "runtime/image/manifest.h"

#define DEPTH_MAX 8

struct check {
    const char *text, *path;
    size_t len;
    size_t place[DEPTH_MAX]; /* of the value that is looked at, for json_line */
    size_t depth;
    const char *key; /* of that value, or of the one around it */
    struct err *err;
};

struct member {
    const char *key;
    bool (*check)(struct check *check, json_t *value);
    bool required;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct check *check, const char *format,
                                                         ...)
{
    size_t line = check->depth ? json_line(check->text, check->len, check->place, check->depth) : 1;
    char why[ERR_HINT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    err_set(check->err, ERR_CONFIG_INVALID, "'%s', line %zu: '%s' %s", check->path, line,
            check->key, why);
    return err_hint(
        check->err,
        "take the file back from its history, or correct it; docs/lock.md describes it");
}

static void enter(struct check *check, const char *key, size_t index)
{
    check->place[check->depth++] = index;
    check->key = key;
}

static void leave(struct check *check, const char *key)
{
    check->depth--;
    check->key = key;
}

static const struct member *find_member(const struct member *members, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].key, key) == 0)
            return &members[i];
    }
    return NULL;
}

static bool check_object(struct check *check, json_t *object, const struct member *members,
                         size_t count)
{
    const char *around = check->key, *key;
    size_t index = 0;
    json_t *value;

    if (!json_is_object(object))
        return refuse(check, "is not an object");
    json_object_foreach (object, key, value) {
        const struct member *member = find_member(members, count, key);

        enter(check, key, index++);
        if (!member)
            return refuse(check, "is not known in '%s'", around);
        if (!member->check(check, value))
            return false;
        leave(check, around);
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].required && !json_object_get(object, members[i].key))
            return refuse(check, "lacks '%s'", members[i].key);
    }
    return true;
}
#define CHECK_OBJECT(check, object, members)                                                       \
    check_object(check, object, members, ARRAY_SIZE(members))

/* Every member of an object by one function; `name` says whether a key is one. */
static bool check_each(struct check *check, json_t *object, size_t max,
                       bool (*name)(const char *key),
                       bool (*each)(struct check *check, json_t *value))
{
    const char *around = check->key, *key;
    size_t index = 0;
    json_t *value;

    if (!json_is_object(object))
        return refuse(check, "is not an object");
    if (json_object_size(object) > max)
        return refuse(check, "has more than %zu members", max);
    json_object_foreach (object, key, value) {
        enter(check, key, index++);
        if (!name(key))
            return refuse(check, "is no name for a member of '%s'", around);
        if (!each(check, value))
            return false;
        leave(check, around);
    }
    return true;
}

/* ---- values ---- */

static bool check_note(struct check *check, json_t *value)
{
    return (json_is_string(value) && lock_note_is_valid(json_string_value(value))) ||
           refuse(check, "is not a text of one line, up to %d bytes", LOCK_NOTE_MAX);
}

static bool check_flag(struct check *check, json_t *value)
{
    return json_is_boolean(value) || refuse(check, "is neither true nor false");
}

static bool check_digest(struct check *check, json_t *value)
{
    return digest_is_valid(json_string_value(value)) ||
           refuse(check, "is not 'sha256:' and 64 lower-case hexadecimal digits");
}

static bool check_time(struct check *check, json_t *value)
{
    time_t ignored;

    return (json_is_string(value) && lock_time_parse(json_string_value(value), &ignored)) ||
           refuse(check, "is not a time such as 2026-08-01T05:00:00Z");
}

static bool check_size(struct check *check, json_t *value)
{
    return (json_is_integer(value) && json_integer_value(value) > 0 &&
            json_integer_value(value) <= MANIFEST_MAX) ||
           refuse(check, "is not the size of a manifest");
}

static bool is_index(const char *media_type)
{
    return strcmp(media_type, MEDIA_OCI_INDEX) == 0 || strcmp(media_type, MEDIA_DOCKER_LIST) == 0;
}

static bool check_media_type(struct check *check, json_t *value)
{
    const char *type = json_string_value(value);

    return (type && (is_index(type) || strcmp(type, MEDIA_OCI_MANIFEST) == 0 ||
                     strcmp(type, MEDIA_DOCKER_MANIFEST) == 0)) ||
           refuse(check, "is not the type of a manifest or an index");
}

/* A reference out of the parts of an entry; `suffix` is ":TAG" or "". */
static bool parse_image(const char *image, const char *suffix, struct reference *reference)
{
    autofree char *text = text_printf("%s%s", image, suffix);
    struct err ignored;

    return text && reference_parse(text, "/", reference, &ignored) &&
           reference->transport == TRANSPORT_REGISTRY && !reference->digest;
}

static bool check_image(struct check *check, json_t *value)
{
    const char *text = json_string_value(value);
    autoreference image = {0};
    autofree char *name = NULL;

    if (text && parse_image(text, "", &image))
        name = text_printf("%s/%s", image.host, image.path);
    return (name && strcmp(name, text) == 0) ||
           refuse(check, "is not a whole name such as docker.io/library/debian");
}

static bool check_want(struct check *check, json_t *value)
{
    const char *text = json_string_value(value);
    autoreference want = {0};

    return (text && parse_image(text, "", &want)) ||
           refuse(check, "is not a reference with a tag, of a registry's image");
}

static bool is_tag(const char *text)
{
    autofree char *suffix = text_printf(":%s", text);
    autoreference reference = {0};

    return suffix && !strpbrk(text, "/@:") && parse_image("localhost/x", suffix, &reference);
}

static bool check_tag(struct check *check, json_t *value)
{
    return (json_is_string(value) && is_tag(json_string_value(value))) ||
           refuse(check, "is not a tag");
}

/* ---- objects ---- */

static bool is_platform(const char *key)
{
    struct platform platform;
    char text[PLATFORM_TEXT_MAX];
    struct err ignored;

    if (strlen(key) >= PLATFORM_TEXT_MAX || !platform_parse(key, &platform, &ignored))
        return false;
    platform_text(&platform, text);
    return strcmp(text, key) == 0;
}

static bool check_platform(struct check *check, json_t *value)
{
    static const struct member members[] = {
        {"config", check_digest, true},
        {"digest", check_digest, true},
    };

    return CHECK_OBJECT(check, value, members);
}

static bool check_platforms(struct check *check, json_t *value)
{
    return check_each(check, value, LOCK_PLATFORMS_MAX, is_platform, check_platform) &&
           (json_object_size(value) > 0 || refuse(check, "names no platform"));
}

static bool check_scheme(struct check *check, json_t *value)
{
    const char *name = json_string_value(value);

    return (name && version_scheme_parse(name) < VERSION_SCHEMES) ||
           refuse(check, "is not a version scheme");
}

static bool check_prereleases(struct check *check, json_t *value)
{
    const char *name = json_string_value(value);
    enum version_prereleases ignored;

    return (name && version_prereleases_parse(name, &ignored)) ||
           refuse(check, "is not one of same, no, yes");
}

static bool check_age(struct check *check, json_t *value)
{
    uint64_t ignored;

    return (json_is_string(value) && num_parse_age(json_string_value(value), &ignored)) ||
           refuse(check, "is not an age such as 12h or 3d");
}

static bool check_follow(struct check *check, json_t *value)
{
    static const struct member members[] = {
        {"any_precision", check_flag, false},
        {"constraint", check_note, false},
        {"exclude", check_note, false},
        {"expression", check_note, false},
        {"include", check_note, false},
        {"min_age", check_age, false},
        {"prereleases", check_prereleases, false},
        {"revisions", check_flag, false},
        {"scheme", check_scheme, false},
    };
    autojson *entry = json_pack("{s:O}", "follow", value);
    struct version_rules rules;
    const char *wrong;

    if (!CHECK_OBJECT(check, value, members))
        return false;
    rules = lock_rules(entry);
    wrong = version_rules_check(&rules);
    return !wrong || refuse(check, "cannot be used: %s", wrong);
}

static bool check_hold(struct check *check, json_t *value)
{
    static const struct member members[] = {
        {"by", check_note, true},
        {"since", check_time, true},
        {"until", check_time, false},
        {"why", check_note, true},
    };

    return CHECK_OBJECT(check, value, members);
}

static bool check_sighting(struct check *check, json_t *value)
{
    static const struct member members[] = {
        {"digest", check_digest, true},
        {"first_seen", check_time, true},
    };

    return CHECK_OBJECT(check, value, members);
}

static bool check_seen(struct check *check, json_t *value)
{
    return check_each(check, value, LOCK_SEEN_MAX, is_tag, check_sighting);
}

/* What is not an index is one image, of one platform. */
static bool check_single(struct check *check, const json_t *pin)
{
    json_t *platforms = json_object_get(pin, "platforms");
    const json_t *only = json_object_iter_value(json_object_iter(platforms));

    if (is_index(json_text(pin, "media_type")))
        return true;
    return (json_object_size(platforms) == 1 &&
            strcmp(json_text(only, "digest"), json_text(pin, "digest")) == 0) ||
           refuse(check, "is no index, and so has one platform, with the same digest");
}

#define PIN_MEMBERS                                                                                \
    {"digest", check_digest, true}, {"first_seen", check_time, true},                              \
        {"locked_at", check_time, true}, {"locked_by", check_note, true},                          \
        {"media_type", check_media_type, true}, {"platforms", check_platforms, true},              \
        {"size", check_size, true}, {"tag", check_tag, true},                                      \
    {                                                                                              \
        "why", check_note, false                                                                   \
    }

static bool check_previous_pin(struct check *check, json_t *value)
{
    static const struct member members[] = {PIN_MEMBERS, {"until", check_time, true}};

    return CHECK_OBJECT(check, value, members) && check_single(check, value);
}

static bool check_previous(struct check *check, json_t *value)
{
    const char *key = check->key;
    json_t *pin;
    size_t i;

    if (!json_is_array(value) || json_array_size(value) > LOCK_PREVIOUS_MAX)
        return refuse(check, "is not a list of at most %d pins", LOCK_PREVIOUS_MAX);
    json_array_foreach (value, i, pin) {
        enter(check, key, i);
        if (!check_previous_pin(check, pin))
            return false;
        leave(check, key);
    }
    return true;
}

/* `want` and `image` are two names of one thing. */
static bool check_same_image(struct check *check, const json_t *entry)
{
    const char *image = json_text(entry, "image");
    autoreference want = {0};
    autofree char *name = NULL;

    if (parse_image(json_text(entry, "want"), "", &want))
        name = text_printf("%s/%s", want.host, want.path);
    return (name && strcmp(name, image) == 0) || refuse(check, "wants another image than it locks");
}

static bool check_entry(struct check *check, json_t *value)
{
    static const struct member members[] = {
        PIN_MEMBERS,
        {"follow", check_follow, false},
        {"hold", check_hold, false},
        {"image", check_image, true},
        {"previous", check_previous, false},
        {"seen", check_seen, false},
        {"want", check_want, true},
    };

    return CHECK_OBJECT(check, value, members) && check_single(check, value) &&
           check_same_image(check, value);
}

/* One step asks for one thing. */
static bool check_wants(struct check *check, json_t *images)
{
    autojson *wants = json_object();
    const char *name;
    size_t index = 0;
    json_t *entry;

    json_object_foreach (images, name, entry) {
        autoreference want = {0};
        const json_t *other;

        enter(check, name, index++);
        if (!wants || !parse_image(json_text(entry, "want"), "", &want))
            return refuse(check, "cannot be read");
        other = json_object_get(wants, want.name);
        if (other)
            return refuse(check, "wants the same as '%s'", json_string_value(other));
        json_object_set_new(wants, want.name, json_string(name));
        leave(check, "images");
    }
    return true;
}

static bool check_images(struct check *check, json_t *value)
{
    return check_each(check, value, LOCK_IMAGES_MAX, lock_name_is_valid, check_entry) &&
           check_wants(check, value);
}

static bool check_schema(struct check *check, json_t *value)
{
    const char *schema = json_string_value(value);

    return (schema && strcmp(schema, LOCK_SCHEMA) == 0) ||
           refuse(check, "is not '%s', which this version understands", LOCK_SCHEMA);
}

bool lock_check(const json_t *json, const char *text, size_t len, const char *path, struct err *err)
{
    static const struct member members[] = {
        {"images", check_images, true},
        {"schema", check_schema, true},
    };
    struct check check = {.text = text, .len = len, .path = path, .key = "the file", .err = err};

    return CHECK_OBJECT(&check, (json_t *)json, members);
}

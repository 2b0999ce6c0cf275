#include "mounts/mount_spec.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"

#define FIELDS_MAX 16

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the mounts");
}

static bool check_source(const char *option, const char *source, struct err *err)
{
    if (!*source)
        return err_set(err, ERR_OPTION_INVALID, "the source in '%s' is empty", option);
    if (strlen(source) >= MOUNT_PATH_MAX)
        return err_set(err, ERR_OPTION_INVALID, "the source in '%.64s…' is longer than %d bytes",
                       option, MOUNT_PATH_MAX - 1);
    return true;
}

static bool check_target(const char *option, const char *target, struct err *err)
{
    if (target[0] != '/') {
        err_set(err, ERR_OPTION_INVALID, "the target '%s' in '%s' is not an absolute path", target,
                option);
        return err_hint(err, "give the target as a path that starts with '/'");
    }
    if (strlen(target) >= MOUNT_PATH_MAX)
        return err_set(err, ERR_OPTION_INVALID, "the target in '%.64s…' is longer than %d bytes",
                       option, MOUNT_PATH_MAX - 1);
    return true;
}

bool mount_spec_package(const char *text, enum mount_kind kind, bool readonly,
                        struct mount_spec *spec, struct err *err)
{
    const char *equals = strchr(text, '=');
    const char *source = text;
    struct mount_spec made = {.kind = kind, .role = MOUNT_PACKAGE, .readonly = readonly};

    if (equals && !memchr(text, '/', (size_t)(equals - text))) {
        source = equals + 1;
        if (equals == text)
            return err_set(err, ERR_OPTION_INVALID, "the name of package '%s' is empty", text);
    }
    if (!check_source(text, source, err))
        return false;
    if (source != text) {
        made.name = strndup(text, (size_t)(equals - text));
        for (char *p = made.name; p && *p; p++)
            *p = (char)(isalnum((unsigned char)*p) ? toupper((unsigned char)*p) : '_');
    }
    made.source = strdup(source);
    if (!made.source || (source != text && !made.name)) {
        mount_spec_release(&made);
        return no_memory(err);
    }
    *spec = made;
    return true;
}

bool mount_spec_volume(const char *text, struct mount_spec *spec, struct err *err)
{
    autofree char *copy = strdup(text);
    char *rest = copy;
    const char *parts[3] = {NULL};
    size_t count = 0;
    struct mount_spec made = {.kind = MOUNT_BIND, .role = MOUNT_VOLUME};

    for (char *part; rest && (part = strsep(&rest, ":"));) {
        if (count < 3)
            parts[count] = part;
        count++;
    }
    if (count < 2 || count > 3) {
        err_set(err, ERR_OPTION_INVALID, "volume '%s' is not of the form SRC:DST[:ro]", text);
        return err_hint(err, "a path with a colon can be given with --mount type=bind,source=…,"
                             "target=…");
    }
    if (!strchr(parts[0], '/') && strcmp(parts[0], ".") != 0 && strcmp(parts[0], "..") != 0) {
        err_set(err, ERR_OPTION_INVALID, "'%s' in volume '%s' is not a path", parts[0], text);
        return err_hint(err, "named volumes do not exist here; give a directory, or --mount "
                             "type=tmpfs,target=…");
    }
    if (parts[2] && strcmp(parts[2], "ro") != 0 && strcmp(parts[2], "rw") != 0) {
        err_set(err, ERR_OPTION_INVALID, "unknown option '%s' in volume '%s'", parts[2], text);
        return err_hint(err, "the options are ro and rw");
    }
    if (!check_source(text, parts[0], err) || !check_target(text, parts[1], err))
        return false;
    made.readonly = parts[2] && strcmp(parts[2], "ro") == 0;
    made.source = strdup(parts[0]);
    made.target = strdup(parts[1]);
    if (!made.source || !made.target) {
        mount_spec_release(&made);
        return no_memory(err);
    }
    *spec = made;
    return true;
}

/* Takes one CSV field from *text into `field` and moves *text to the next, or to NULL at the end.
 */
static bool csv_field(const char **text, struct buf *field)
{
    const char *p = *text;

    if (*p != '"') {
        size_t len = strcspn(p, ",");

        *text = p[len] ? p + len + 1 : NULL;
        return !memchr(p, '"', len) && buf_append(field, p, len);
    }
    for (p++; *p; p++) {
        if (*p == '"' && *++p != '"')
            break;
        if (!buf_append(field, p, 1))
            return false;
    }
    if (p[-1] != '"' || (*p && *p != ','))
        return false;
    *text = *p ? p + 1 : NULL;
    return true;
}

static bool parse_bool(const char *value, bool *out)
{
    if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
        *out = true;
    else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
        *out = false;
    else
        return false;
    return true;
}

static bool parse_size(const char *value, uint64_t *out)
{
    static const struct {
        char unit;
        unsigned int shift;
    } units[] = {{'b', 0}, {'k', 10}, {'m', 20}, {'g', 30}};
    autofree char *digits = strdup(value);
    size_t len = digits ? strlen(digits) : 0;
    unsigned int shift = 0;

    for (size_t i = 0; len && i < ARRAY_SIZE(units); i++) {
        if (tolower((unsigned char)digits[len - 1]) == units[i].unit) {
            shift = units[i].shift;
            digits[len - 1] = '\0';
            break;
        }
    }
    if (!len || !num_parse(digits, UINT64_MAX >> 31, out))
        return false;
    *out <<= shift;
    return true;
}

static bool parse_mode(const char *value, mode_t *out)
{
    mode_t mode = 0;

    if (!*value || strlen(value) > 5)
        return false;
    for (; *value; value++) {
        if (*value < '0' || *value > '7')
            return false;
        mode = mode << 3 | (mode_t)(*value - '0');
    }
    *out = mode;
    return mode <= 07777;
}

static bool set_text(char **out, const char *value)
{
    if (!value || *out)
        return false;
    *out = strdup(value);
    return *out != NULL;
}

static bool set_type(struct mount_spec *spec, const char *value)
{
    if (value && strcmp(value, "bind") == 0)
        spec->kind = MOUNT_BIND;
    else if (value && strcmp(value, "tmpfs") == 0)
        spec->kind = MOUNT_TMPFS;
    else
        return false;
    return true;
}
static bool set_source(struct mount_spec *spec, const char *value)
{
    return set_text(&spec->source, value);
}
static bool set_target(struct mount_spec *spec, const char *value)
{
    return set_text(&spec->target, value);
}
static bool set_readonly(struct mount_spec *spec, const char *value)
{
    return parse_bool(value, &spec->readonly);
}
static bool set_size(struct mount_spec *spec, const char *value)
{
    return value && parse_size(value, &spec->tmpfs_size);
}
static bool set_mode(struct mount_spec *spec, const char *value)
{
    return value && parse_mode(value, &spec->tmpfs_mode);
}

static const struct {
    const char *key;
    bool (*set)(struct mount_spec *spec, const char *value);
} mount_keys[] = {
    {"type", set_type},         {"source", set_source},      {"src", set_source},
    {"target", set_target},     {"destination", set_target}, {"dst", set_target},
    {"readonly", set_readonly}, {"ro", set_readonly},        {"tmpfs-size", set_size},
    {"tmpfs-mode", set_mode},
};

static bool parse_field(const char *text, char *field, struct mount_spec *spec, struct err *err)
{
    char *value = strchr(field, '=');

    if (value)
        *value++ = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(mount_keys); i++) {
        if (strcmp(field, mount_keys[i].key) != 0)
            continue;
        if (mount_keys[i].set(spec, value))
            return true;
        err_set(err, ERR_OPTION_INVALID, "'%s=%s' in mount '%s' is not valid", field,
                value ? value : "", text);
        if (mount_keys[i].set == set_type)
            err_hint(err, "the types are bind and tmpfs");
        return false;
    }
    err_set(err, ERR_OPTION_INVALID, "unknown key '%s' in mount '%s'", field, text);
    return err_hint(err, "the keys are type, source, target, readonly, tmpfs-size and tmpfs-mode; "
                         "a value with a comma is quoted: \"source=/a,b\"");
}

static bool check_mount(const char *text, const struct mount_spec *spec, struct err *err)
{
    if (!spec->target)
        return err_set(err, ERR_OPTION_INVALID, "mount '%s' has no target", text);
    if (!check_target(text, spec->target, err))
        return false;
    if (spec->kind == MOUNT_TMPFS && spec->source)
        return err_set(err, ERR_OPTION_INVALID, "mount '%s' is a tmpfs and has a source", text);
    if (spec->kind == MOUNT_BIND && !spec->source)
        return err_set(err, ERR_OPTION_INVALID, "mount '%s' has no source", text);
    if (spec->kind == MOUNT_BIND && (spec->tmpfs_size || spec->tmpfs_mode != 01777))
        return err_set(err, ERR_OPTION_INVALID, "mount '%s' is no tmpfs and has a key of one",
                       text);
    return spec->kind == MOUNT_TMPFS || check_source(text, spec->source, err);
}

bool mount_spec_mount(const char *text, struct mount_spec *spec, struct err *err)
{
    struct mount_spec made = {.kind = MOUNT_BIND, .role = MOUNT_VOLUME, .tmpfs_mode = 01777};
    const char *rest = text;
    bool ok = true;

    while (ok && rest) {
        autobuf field = BUF_INIT(2 * MOUNT_PATH_MAX);

        if (buf_append(&field, "", 0) && csv_field(&rest, &field))
            ok = parse_field(text, field.data, &made, err);
        else
            ok =
                err_set(err, ERR_OPTION_INVALID, "the quotes in mount '%s' are not balanced", text);
    }
    if (!ok || !check_mount(text, &made, err)) {
        mount_spec_release(&made);
        return false;
    }
    *spec = made;
    return true;
}

static bool set_flag(bool *flag, bool value, const char *rest)
{
    *flag = value;
    return !rest;
}

static bool tmpfs_option(struct mount_spec *spec, char *option)
{
    char *value = strchr(option, '=');

    if (value)
        *value++ = '\0';
    if (strcmp(option, "size") == 0)
        return set_size(spec, value);
    if (strcmp(option, "mode") == 0)
        return set_mode(spec, value);
    if (strcmp(option, "ro") == 0 || strcmp(option, "rw") == 0)
        return set_flag(&spec->readonly, option[1] == 'o', value);
    if (strcmp(option, "exec") == 0 || strcmp(option, "noexec") == 0)
        return set_flag(&spec->tmpfs_noexec, *option == 'n', value);
    /* They are always there. */
    return (strcmp(option, "nosuid") == 0 || strcmp(option, "nodev") == 0) && !value;
}

bool mount_spec_tmpfs(const char *text, struct mount_spec *spec, struct err *err)
{
    struct mount_spec made = {
        .kind = MOUNT_TMPFS, .role = MOUNT_VOLUME, .tmpfs_mode = 01777, .tmpfs_noexec = true};
    const char *colon = strrchr(text, ':');
    autofree char *options = colon ? strdup(colon + 1) : NULL;
    char *rest = options;

    if (colon && !options)
        return no_memory(err);
    for (char *option; rest && (option = strsep(&rest, ","));) {
        if (tmpfs_option(&made, option))
            continue;
        err_set(err, ERR_OPTION_INVALID, "unknown option '%s' in tmpfs '%s'", option, text);
        return err_hint(err,
                        "the options are size=, mode=, ro, rw, exec, noexec, nosuid and nodev");
    }
    made.target = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
    if (!made.target)
        return no_memory(err);
    if (!check_target(text, made.target, err)) {
        mount_spec_release(&made);
        return false;
    }
    *spec = made;
    return true;
}

bool mount_spec_device(const char *text, struct mount_spec *spec, struct err *err)
{
    struct mount_spec made = {.kind = MOUNT_BIND, .role = MOUNT_DEVICE};
    autofree char *copy = strdup(text);
    char *rest = copy;
    const char *source = strsep(&rest, ":"), *target = strsep(&rest, ":");

    if (!copy)
        return no_memory(err);
    if (rest && strcmp(rest, "rwm") != 0 && strcmp(rest, "rw") != 0) {
        err_set(err, ERR_OPTION_INVALID, "the permissions '%s' of device '%s' cannot be enforced",
                rest, text);
        return err_hint(err, "leave them out: the device's own owner and mode decide who may read "
                             "and write");
    }
    if (!target)
        target = source;
    if (!check_source(text, source, err) || !check_target(text, target, err))
        return false;
    made.source = strdup(source);
    made.target = strdup(target);
    if (!made.source || !made.target) {
        mount_spec_release(&made);
        return no_memory(err);
    }
    *spec = made;
    return true;
}

void mount_spec_release(struct mount_spec *spec)
{
    free(spec->source);
    free(spec->target);
    free(spec->name);
    *spec = (struct mount_spec){0};
}

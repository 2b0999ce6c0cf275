/* Profiles of image checks: two that are built in, and those of users (docs/image-check.md). */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "runtime/image/check.h"

#define GIB (UINT64_C(1) << 30)

/* Distributions with the GNU C library. */
static const char *const glibc[] = {
    "ubuntu",     "debian",  "fedora", "rhel",          "centos", "rocky",
    "almalinux",  "ol",      "amzn",   "opensuse-leap", "sles",   "arch",
    "azurelinux", "mariner", "photon", "linuxmint",     NULL};

static const struct {
    const char *name;
    const char *const *packages;
    const char *const *distributions;
    const char *const *recommended;
} builtins[] = {
    {"octopus",
     (const char *const[]){"wget", "unzip", "apt-utils", "curl", "software-properties-common",
                           NULL},
     glibc, (const char *const[]){"ubuntu", NULL}},
    {"plain", NULL, glibc, NULL},
};

void check_profile_release(struct check_profile *profile)
{
    free(profile->name);
    strv_release(&profile->packages);
    strv_release(&profile->tools);
    strv_release(&profile->shells);
    strv_release(&profile->distributions);
    strv_release(&profile->recommended);
    free(profile->key_package);
    free(profile->key_env);
    *profile = (struct check_profile){0};
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read a profile");
}

static bool copy(const char *const *words, struct strv *out)
{
    for (; words && *words; words++) {
        if (!strv_add(out, *words))
            return false;
    }
    return true;
}

bool check_profile_builtin(const char *name, struct check_profile *profile, struct err *err)
{
    autocheckprofile made = {.size_max = 2 * GIB, .layer_max = GIB, .waste_max = 10};
    const struct check_rule *rules;
    size_t count;

    for (size_t i = 0; i < ARRAY_SIZE(builtins); i++) {
        if (strcmp(builtins[i].name, name) != 0)
            continue;
        rules = check_rules(&count);
        for (size_t k = 0; k < count; k++)
            made.levels[k] = i == 0 ? rules[k].octopus : rules[k].plain;
        made.name = strdup(name);
        if (!made.name || !copy(builtins[i].packages, &made.packages) ||
            !copy(builtins[i].distributions, &made.distributions) ||
            !copy(builtins[i].recommended, &made.recommended))
            return no_memory(err);
        *profile = made;
        made = (struct check_profile){0};
        return true;
    }
    err_set(err, ERR_OPTION_INVALID, "there is no profile '%s'", name);
    return err_hint(err, "give octopus, plain, or the path of a file, with a '/' in it");
}

/* ---- files ---- */

/* One member at work. */
struct member {
    const char *what, *key;
    const json_t *value;
};

static bool wrong(const struct member *member, const char *wanted, struct err *err)
{
    return err_set(err, ERR_CONFIG_INVALID, "the profile '%s' is not valid: '%s' is not %s",
                   member->what, member->key, wanted);
}

/* A list replaces what the profile below has; an empty one asks for nothing. */
static bool take_list(const struct member *member, struct strv *out, struct err *err)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(member->value) || json_array_size(member->value) > CHECK_LIST_MAX)
        return wrong(member, "a list of at most 256 strings", err);
    strv_release(out);
    *out = (struct strv){0};
    json_array_foreach (member->value, i, item) {
        const char *text = json_string_value(item);

        if (!text || !*text || strchr(text, '/'))
            return wrong(member, "a list of names", err);
        if (!strv_add(out, text))
            return no_memory(err);
    }
    return true;
}

static bool take_number(const struct member *member, json_int_t max, uint64_t *out, struct err *err)
{
    json_int_t value = json_integer_value(member->value);

    if (!json_is_integer(member->value) || value < 0 || value > max)
        return wrong(member, max == 100 ? "a number from 0 to 100" : "a number of bytes", err);
    *out = (uint64_t)value;
    return true;
}

static bool take_text(const struct member *member, char **out, struct err *err)
{
    const char *text = json_string_value(member->value);

    if (!text || !*text)
        return wrong(member, "a name", err);
    free(*out);
    *out = strdup(text);
    return *out || no_memory(err);
}

static bool set_levels(const struct member *member, struct check_profile *profile, struct err *err)
{
    const char *id;
    json_t *value;

    if (!json_is_object(member->value))
        return wrong(member, "an object of rules and levels", err);
    json_object_foreach ((json_t *)member->value, id, value) {
        const char *text = json_string_value(value);
        int rule = check_rule_find(id);

        if (rule < 0)
            return err_set(err, ERR_CONFIG_INVALID,
                           "the profile '%s' is not valid: there is no rule '%s'", member->what,
                           id);
        if (!text || !check_level_parse(text, &profile->levels[rule]))
            return err_set(err, ERR_CONFIG_INVALID,
                           "the profile '%s' is not valid: the level of '%s' is not off, info, "
                           "warning or error",
                           member->what, id);
    }
    return true;
}

#define LIST_MEMBER(what)                                                                          \
    static bool set_##what(const struct member *member, struct check_profile *profile,             \
                           struct err *err)                                                        \
    {                                                                                              \
        return take_list(member, &profile->what, err);                                             \
    }
LIST_MEMBER(packages)
LIST_MEMBER(tools)
LIST_MEMBER(shells)
LIST_MEMBER(distributions)
LIST_MEMBER(recommended)

#define NUMBER_MEMBER(what, max)                                                                   \
    static bool set_##what(const struct member *member, struct check_profile *profile,             \
                           struct err *err)                                                        \
    {                                                                                              \
        return take_number(member, max, &profile->what, err);                                      \
    }
NUMBER_MEMBER(size_max, INT64_MAX)
NUMBER_MEMBER(layer_max, INT64_MAX)
NUMBER_MEMBER(waste_max, 100)

#define TEXT_MEMBER(what)                                                                          \
    static bool set_##what(const struct member *member, struct check_profile *profile,             \
                           struct err *err)                                                        \
    {                                                                                              \
        return take_text(member, &profile->what, err);                                             \
    }
TEXT_MEMBER(name)
TEXT_MEMBER(key_package)
TEXT_MEMBER(key_env)

/* "extends" has been looked at before. */
static bool set_nothing(const struct member *member, struct check_profile *profile, struct err *err)
{
    (void)member, (void)profile, (void)err;
    return true;
}

static const struct {
    const char *key;
    bool (*set)(const struct member *member, struct check_profile *profile, struct err *err);
} members[] = {
    {"extends", set_nothing},
    {"name", set_name},
    {"levels", set_levels},
    {"packages", set_packages},
    {"tools", set_tools},
    {"shells", set_shells},
    {"distributions", set_distributions},
    {"recommended_distributions", set_recommended},
    {"size_max", set_size_max},
    {"layer_max", set_layer_max},
    {"waste_max", set_waste_max},
    {"key_package", set_key_package},
    {"key_env", set_key_env},
};

static bool set_member(const struct member *member, struct check_profile *profile, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (strcmp(members[i].key, member->key) == 0)
            return members[i].set(member, profile, err);
    }
    return err_set(err, ERR_CONFIG_INVALID, "the profile '%s' is not valid: '%s' is unknown",
                   member->what, member->key);
}

static bool begin(const json_t *json, const char *what, struct check_profile *profile,
                  struct err *err)
{
    const json_t *extends = json_object_get(json, "extends");
    const char *base = extends ? json_string_value(extends) : "octopus";
    const char *slash = strrchr(what, '/');

    if (!base || !check_profile_builtin(base, profile, err))
        return err_set(err, ERR_CONFIG_INVALID,
                       "the profile '%s' is not valid: it extends neither octopus nor plain", what);
    free(profile->name);
    profile->name = strdup(slash ? slash + 1 : what);
    return profile->name || no_memory(err);
}

bool check_profile_parse(const char *text, size_t len, const char *what,
                         struct check_profile *profile, struct err *err)
{
    autojson *json = json_parse(text, len, what, ERR_CONFIG_INVALID, err);
    autocheckprofile parsed = {0};
    struct member member = {.what = what};
    const char *key;
    json_t *value;

    if (!json)
        return false;
    if (!json_is_object(json))
        return err_set(err, ERR_CONFIG_INVALID, "the profile '%s' is not a JSON object", what);
    if (!begin(json, what, &parsed, err))
        return false;
    json_object_foreach (json, key, value) {
        member.key = key;
        member.value = value;
        if (!set_member(&member, &parsed, err))
            return false;
    }
    *profile = parsed;
    parsed = (struct check_profile){0};
    return true;
}

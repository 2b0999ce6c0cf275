#include "runtime/image/image_config.h"

#include <string.h>

#include "base/history.h"
#include "base/json.h"

/* Items of a list. An image has some dozens; each is compared with the others. */
#define LIST_MAX 4096

static bool corrupt(struct err *err, const char *what, const char *why)
{
    return err_set(err, ERR_IMAGE_CORRUPT, "the configuration of '%s' is not valid: %s", what, why);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the configuration of an image");
}

static bool is_null(const json_t *value)
{
    return !value || json_is_null(value);
}

/* A string member; absent and null are "". */
static bool take_text(const json_t *object, const char *key, const char *what, char **out,
                      struct err *err)
{
    const json_t *value = json_object_get(object, key);

    if (!is_null(value) && !json_is_string(value))
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the configuration of '%s' is not valid: '%s' is no string", what, key);
    *out = strdup(is_null(value) ? "" : json_string_value(value));
    return *out || no_memory(err);
}

static bool take_platform_part(const json_t *config, const char *key, bool needed, const char *what,
                               char part[PLATFORM_PART_MAX], struct err *err)
{
    autofree char *text = NULL;

    if (!take_text(config, key, what, &text, err))
        return false;
    if ((needed && !*text) || !platform_take_part(text, strlen(text), part))
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the configuration of '%s' is not valid: '%s' is missing or names no "
                       "platform",
                       what, key);
    return true;
}

static bool take_platform(const json_t *config, const char *what, struct platform *platform,
                          struct err *err)
{
    struct platform parsed = {0};

    if (!take_platform_part(config, "os", true, what, parsed.os, err) ||
        !take_platform_part(config, "architecture", true, what, parsed.arch, err) ||
        !take_platform_part(config, "variant", false, what, parsed.variant, err) ||
        !take_platform_part(config, "os.version", false, what, parsed.os_version, err))
        return false;
    platform_normalise(&parsed);
    *platform = parsed;
    return true;
}

/* A list of strings; absent and null are an empty one. */
static bool take_list(const json_t *object, const char *key, const char *what, struct strv *out,
                      struct err *err)
{
    const json_t *list = json_object_get(object, key), *item;
    size_t i;

    if (is_null(list))
        return true;
    if (!json_is_array(list))
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the configuration of '%s' is not valid: '%s' is no list", what, key);
    if (json_array_size(list) > LIST_MAX)
        return err_set(err, ERR_IMAGE_CORRUPT,
                       "the configuration of '%s' is not valid: '%s' has more than %d items", what,
                       key, LIST_MAX);
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return err_set(err, ERR_IMAGE_CORRUPT,
                           "the configuration of '%s' is not valid: '%s' has an item that is no "
                           "string",
                           what, key);
        if (!strv_add(out, json_string_value(item)))
            return no_memory(err);
    }
    return true;
}

/*
 * An entry without '=' means "take the caller's value" to some engines (CVE-2026-57231); an image
 * has no business with the caller's environment.
 */
static bool take_env(const json_t *config, const char *what, struct strv *env, struct err *err)
{
    autostrv all = {0};

    if (!take_list(config, "Env", what, &all, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const char *equals = strchr(all.items[i], '=');

        if (equals && equals != all.items[i] && !strv_add(env, all.items[i]))
            return no_memory(err);
    }
    return true;
}

static bool take_diff_ids(const json_t *json, const char *what, size_t layers,
                          struct strv *diff_ids, struct err *err)
{
    const json_t *rootfs = json_object_get(json, "rootfs");
    const char *type = json_text(rootfs, "type");

    if (!type || strcmp(type, "layers") != 0)
        return corrupt(err, what, "its root file system is not made of layers");
    if (!take_list(rootfs, "diff_ids", what, diff_ids, err))
        return false;
    for (size_t i = 0; i < diff_ids->count; i++) {
        if (!digest_is_valid(diff_ids->items[i]))
            return corrupt(err, what, "a diff id is no sha256 digest");
    }
    if (diff_ids->count != layers)
        return err_set(err, ERR_IMAGE_CORRUPT, "'%s' has %zu layers, but %zu diff ids", what,
                       layers, diff_ids->count);
    return true;
}

/* The last of several counts. */
static bool take_history(const json_t *json, struct image *image, struct err *err)
{
    const json_t *history = json_object_get(json, "history"), *item;
    const char *line = NULL;
    size_t i;

    if (image->entrypoint.count == 0)
        return true;
    json_array_foreach (history, i, item) {
        const char *created_by = json_text(item, "created_by");

        if (created_by && history_sets_entrypoint(created_by))
            line = created_by;
    }
    image->entrypoint_history = line ? strdup(line) : NULL;
    return !line || image->entrypoint_history || no_memory(err);
}

bool image_config_parse(const char *text, size_t len, const char *what, size_t layers,
                        struct image *image, struct err *err)
{
    autojson *json = NULL;
    const json_t *config;

    if (len > CONFIG_MAX)
        return corrupt(err, what, "it is larger than 4 MiB");
    json = json_parse(text, len, what, ERR_IMAGE_CORRUPT, err);
    if (!json)
        return false;
    config = json_object_get(json, "config");
    if (!is_null(config) && !json_is_object(config))
        return corrupt(err, what, "'config' is no object");
    return take_platform(json, what, &image->platform, err) &&
           take_list(config, "Entrypoint", what, &image->entrypoint, err) &&
           take_env(config, what, &image->env, err) &&
           take_text(config, "User", what, &image->user, err) &&
           take_text(config, "WorkingDir", what, &image->workdir, err) &&
           take_diff_ids(json, what, layers, &image->diff_ids, err) &&
           take_history(json, image, err);
}

#include "runtime/image/check_config.h"

#include <ctype.h>
#include <string.h>

#include "runtime/image/image_config.h"

#define ITEMS_MAX 4096 /* of a list */

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the configuration of an image");
}

void check_config_release(struct check_config *config)
{
    image_release(&config->image);
    strv_release(&config->cmd);
    strv_release(&config->volumes);
    strv_release(&config->onbuild);
    strv_release(&config->history);
    free(config->stop_signal);
    json_decref(config->labels);
    *config = CHECK_CONFIG_INIT;
}

/* What is no string in a list is none of ours: the rules are about what an engine would use. */
static bool take_strings(const json_t *list, struct strv *out, struct err *err)
{
    const json_t *item;
    size_t i;

    out->max = ITEMS_MAX;
    json_array_foreach (list, i, item) {
        if (json_is_string(item) && !strv_add(out, json_string_value(item)))
            return no_memory(err);
    }
    return true;
}

static bool take_volumes(json_t *volumes, struct strv *out, struct err *err)
{
    const char *path;
    json_t *unused;

    out->max = ITEMS_MAX;
    json_object_foreach (volumes, path, unused) {
        if (!strv_add(out, path))
            return no_memory(err);
    }
    return true;
}

static bool take_history(const json_t *history, struct strv *out, struct err *err)
{
    const json_t *item;
    size_t i;

    out->max = ITEMS_MAX;
    json_array_foreach (history, i, item) {
        const char *line = json_text(item, "created_by");

        if (line && !strv_add(out, line))
            return no_memory(err);
    }
    return true;
}

/* ["NONE"] takes away what a base image had. */
static bool has_healthcheck(const json_t *config)
{
    const json_t *test = json_object_get(json_object_get(config, "Healthcheck"), "Test");
    const char *first = json_string_value(json_array_get(test, 0));

    return json_array_size(test) > 0 && !(first && strcmp(first, "NONE") == 0);
}

bool check_config_parse(const char *text, size_t len, const char *what, size_t layers,
                        struct check_config *config, struct err *err)
{
    autojson *json = NULL;
    json_t *own, *labels;
    const char *signal;

    if (!image_config_parse(text, len, what, layers, &config->image, err))
        return false;
    json = json_parse(text, len, what, ERR_IMAGE_CORRUPT, err);
    if (!json)
        return false;
    own = json_object_get(json, "config");
    labels = json_object_get(own, "Labels");
    signal = json_text(own, "StopSignal");
    config->labels = json_is_object(labels) ? json_incref(labels) : NULL;
    config->healthcheck = has_healthcheck(own);
    config->stop_signal = strdup(signal ? signal : "");
    return (config->stop_signal || no_memory(err)) &&
           take_strings(json_object_get(own, "Cmd"), &config->cmd, err) &&
           take_strings(json_object_get(own, "OnBuild"), &config->onbuild, err) &&
           take_volumes(json_object_get(own, "Volumes"), &config->volumes, err) &&
           take_history(json_object_get(json, "history"), &config->history, err);
}

const char *check_config_env(const struct check_config *config, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = config->image.env.count; i-- > 0;) {
        const char *item = config->image.env.items[i];

        if (strncmp(item, name, len) == 0 && item[len] == '=')
            return item + len + 1;
    }
    return NULL;
}

const char *check_config_label(const struct check_config *config, const char *name)
{
    const char *label = json_text(config->labels, name);

    /* A builder cannot take a label of the base away: an empty one is none. */
    return label && *label ? label : NULL;
}

bool check_name_is_secret(const char *name, size_t len)
{
    static const char *const parts[] = {"PASSWORD",    "PASSWD",     "SECRET",
                                        "TOKEN",       "API_KEY",    "APIKEY",
                                        "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIAL"};
    static const char *const harmless[] = {"_FILE", "_PATH", "_DIR", "_URL"};
    char upper[128];

    if (len >= sizeof(upper))
        return false;
    for (size_t i = 0; i < len; i++)
        upper[i] = (char)toupper((unsigned char)name[i]);
    upper[len] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
        size_t end = strlen(harmless[i]);

        if (len >= end && strcmp(upper + len - end, harmless[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (strstr(upper, parts[i]))
            return true;
    }
    return false;
}

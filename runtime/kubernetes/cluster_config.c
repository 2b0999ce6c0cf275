#include "runtime/kubernetes/cluster_config.h"

#include <string.h>

#include "runtime/kubernetes/pod_name.h"

/* ---- values ---- */

static bool is_text(const json_t *value)
{
    const char *text = json_string_value(value);

    return text && *text;
}

static bool is_namespace(const json_t *value)
{
    return is_text(value) && pod_is_name(json_string_value(value)) &&
           !strchr(json_string_value(value), '.') && json_string_length(value) <= POD_WORD_MAX;
}

static bool is_name(const json_t *value)
{
    return is_text(value) && pod_is_name(json_string_value(value));
}

static bool is_volumes(const json_t *value)
{
    const json_t *item;
    struct err ignored;
    size_t i;

    json_array_foreach (value, i, item) {
        autopodvolume volume = {0};

        if (!is_text(item) || !pod_volume_parse(json_string_value(item), &volume, &ignored))
            return false;
    }
    return json_is_array(value) && json_array_size(value) <= CLUSTER_VOLUMES_MAX;
}

static bool is_pairs(const json_t *value, bool (*is_own)(const char *key))
{
    const char *key;
    json_t *item;

    json_object_foreach ((json_t *)value, key, item) {
        if (!json_is_string(item) || !pod_is_label(key, json_string_value(item)) || is_own(key))
            return false;
    }
    return json_is_object(value) && json_object_size(value) <= CLUSTER_PAIRS_MAX;
}

static bool is_labels(const json_t *value)
{
    return is_pairs(value, pod_label_is_own);
}

static bool is_node_selector(const json_t *value)
{
    return is_pairs(value, pod_selector_is_own);
}

static bool is_bool(const json_t *value)
{
    return json_is_boolean(value);
}

static const struct {
    const char *key, *must;
    bool (*is_good)(const json_t *value);
} keys[] = {
    {"context", "must be the name of a context", is_text},
    {"namespace", "must be the name of a namespace", is_namespace},
    {"init", "must be the name of an image", is_text},
    {"ship", "must be the name of a repository", is_text},
    {"volumes", "must be a list of at most 64 texts PATH=pvc:NAME or PATH=hostPath", is_volumes},
    {"service_account", "must be the name of a service account", is_name},
    {"node_selector",
     "must be an object of at most 64 labels of nodes, other than kubernetes.io/os and "
     "kubernetes.io/arch, which the image decides",
     is_node_selector},
    {"labels",
     "must be an object of at most 64 labels as Kubernetes takes them, other than stepcell's own",
     is_labels},
    {"pull_secret", "must be true or false", is_bool},
    {"image_volumes", "must be true or false", is_bool},
};

/* ---- files ---- */

static bool invalid(struct err *err, const char *file, const char *key, const char *why)
{
    err_set(err, ERR_CONFIG_INVALID, "'%s' of 'kubernetes' in '%s' %s", key, file, why);
    return err_hint(err, "correct the file; docs/configuration.md describes it");
}

static bool check(const json_t *entry, struct err *err)
{
    const char *file = json_text(entry, "file"), *key;
    json_t *value;

    json_object_foreach (json_object_get(entry, "settings"), key, value) {
        size_t i = 0;

        while (i < ARRAY_SIZE(keys) && strcmp(keys[i].key, key) != 0)
            i++;
        if (i == ARRAY_SIZE(keys))
            return invalid(err, file, key, "is not known");
        if (!keys[i].is_good(value))
            return invalid(err, file, key, keys[i].must);
    }
    return true;
}

static json_t *find(const json_t *files, const char *key)
{
    json_t *entry, *value;
    size_t i;

    json_array_foreach (files, i, entry) {
        value = json_object_get(json_object_get(entry, "settings"), key);
        if (value)
            return value;
    }
    return NULL;
}

static bool take_text(const json_t *files, const char *key, char **text)
{
    const json_t *value = find(files, key);

    *text = value ? strdup(json_string_value(value)) : NULL;
    return !value || *text;
}

bool cluster_config_take(const json_t *files, struct cluster_config *config, struct err *err)
{
    autoclusterconfig taken = {0};
    const json_t *item;
    size_t i;
    bool ok;

    json_array_foreach (files, i, item) {
        if (!check(item, err))
            return false;
    }
    ok = take_text(files, "context", &taken.context) &&
         take_text(files, "namespace", &taken.space) &&
         take_text(files, "init", &taken.init_image) && take_text(files, "ship", &taken.ship) &&
         take_text(files, "service_account", &taken.service_account);
    json_array_foreach (find(files, "volumes"), i, item)
        ok = ok && strv_add(&taken.volumes, json_string_value(item));
    if (!ok)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the cluster's settings");
    taken.node_selector = json_incref(find(files, "node_selector"));
    taken.labels = json_incref(find(files, "labels"));
    taken.no_pull_secret = json_is_false(find(files, "pull_secret"));
    taken.no_image_volumes = json_is_false(find(files, "image_volumes"));
    *config = taken;
    taken = (struct cluster_config){0};
    return true;
}

void cluster_config_release(struct cluster_config *config)
{
    free(config->context);
    free(config->space);
    free(config->init_image);
    free(config->ship);
    free(config->service_account);
    strv_release(&config->volumes);
    json_decref(config->node_selector);
    json_decref(config->labels);
    *config = (struct cluster_config){0};
}

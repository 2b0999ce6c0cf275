/* What no step may write to, whatever the rules for mounts say. */
#include <stdlib.h>
#include <string.h>

#include "base/libexec.h"
#include "base/path.h"
#include "shim/policy.h"

/* What the administrator says of images and registries; a file may be a link to elsewhere. */
static const char *const configured[] = {
    "/etc/stepcell", "/etc/containers",      "/etc/docker/certs.d",
    POLICY_FILE,     POLICY_CONTAINERS_FILE, "/etc/stepcell/config.json",
};

static bool add(struct strv *places, char *place, struct err *err)
{
    return (place && strv_take(places, place)) ||
           err_set(err, ERR_ENGINE_FAILED, "not enough memory to check the policy");
}

/* As it is written, where it leads, and each link on the way: that is as good as the file. */
static bool add_path(struct strv *places, const char *path, struct err *err)
{
    return add(places, strdup(path), err) && add(places, path_resolve(path, places), err);
}

static bool add_patterns(struct strv *places, const struct strv *patterns, const char *home,
                         struct err *err)
{
    for (size_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        bool in_home = strncmp(pattern, "~/", 2) == 0;

        if (in_home && !home)
            continue;
        if (!add(places, in_home ? text_printf("%s%s", home, pattern + 1) : strdup(pattern), err))
            return false;
    }
    return true;
}

static bool add_keys(struct strv *places, const struct policy *policy, struct err *err)
{
    for (size_t i = 0; i < policy->image_count; i++) {
        const struct signature_demand *demand = &policy->images[i].demand;

        for (size_t k = 0; k < demand->key_count; k++) {
            if (!add_path(places, demand->keys[k].file, err))
                return false;
        }
    }
    return true;
}

/* The other file's, wherever it names them. */
static bool add_key_paths(struct strv *places, const char *name, json_t *value, struct err *err)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_string(value) && strncmp(name, "keyPath", strlen("keyPath")) == 0)
        return add_path(places, json_string_value(value), err);
    json_array_foreach (value, i, item) {
        if (!add_key_paths(places, name, item, err))
            return false;
    }
    json_object_foreach (value, key, item) {
        if (!add_key_paths(places, key, item, err))
            return false;
    }
    return true;
}

static bool add_paths(struct strv *places, const struct strv *paths, struct err *err)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (!add_path(places, paths->items[i], err))
            return false;
    }
    return true;
}

static bool add_programs(struct strv *places, struct err *err)
{
    autofree char *self = path_resolve("/proc/self/exe", NULL), *libexec = libexec_path(".", err);

    return libexec && self && add(places, TAKE_PTR(self), err) &&
           add(places, path_resolve(libexec, NULL), err);
}

/* Those that are believed, whichever the step names. */
static bool add_stores(struct strv *places, const struct policy *policy, const char *home,
                       struct err *err)
{
    autofree char *of_home = home ? text_printf("%s%s", home, &POLICY_HOME_STORE[1]) : NULL;

    if (policy->parts & PART_STORES)
        return add_patterns(places, &policy->stores, home, err);
    return add_path(places, POLICY_SYSTEM_STORE, err) &&
           (!home || (of_home ? add_path(places, of_home, err) : add(places, NULL, err)));
}

bool policy_guarded_places(const struct policy *policy, const char *store, const char *home,
                           struct strv *places, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(configured); i++) {
        if (!add_path(places, configured[i], err))
            return false;
    }
    return add_programs(places, err) && add_path(places, store, err) &&
           (!policy->audit || add_path(places, policy->audit, err)) &&
           add_keys(places, policy, err) && add_key_paths(places, "", policy->containers, err) &&
           add_stores(places, policy, home, err) &&
           add_paths(places, &policy->hosts[POLICY_KUBERNETES], err) &&
           add_patterns(places, &policy->locks, home, err) &&
           add_patterns(places, &policy->seccomp, home, err);
}

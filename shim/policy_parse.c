/* The parser of /etc/stepcell/policy.json: tables of keys, and nothing else (pure). */
#include <limits.h>
#include <string.h>

#include "base/num.h"
#include "base/path.h"
#include "runtime/confine/caps_names.h"
#include "shim/limits.h"
#include "shim/policy.h"

#define PATTERN_MAX 1024 /* bytes */

struct parse {
    struct policy_place place;
    policy_read_key *read_key;
    struct policy *policy;
};

/* One key of an object; `into` is what the object fills. */
struct key {
    const char *name;
    bool (*take)(struct parse *parse, json_t *value, void *into, struct err *err);
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the policy");
}

static bool invalid(struct parse *parse, const char *why, struct err *err)
{
    return policy_invalid(&parse->place, why, err);
}

/* ---- the forms of values ---- */

static const struct key *find_key(const struct key *keys, const char *name)
{
    for (; keys->name; keys++) {
        if (strcmp(keys->name, name) == 0)
            return keys;
    }
    return NULL;
}

/* Every key of an object by the table, which ends with a key without a name. */
static bool take_object(struct parse *parse, json_t *object, const struct key *keys, void *into,
                        struct err *err)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return invalid(parse, "must be an object", err);
    json_object_foreach (object, name, value) {
        const struct key *key = find_key(keys, name);
        size_t mark = policy_enter(&parse->place, name);

        if (!key)
            return invalid(parse, "is not known", err);
        if (!key->take(parse, value, into, err))
            return false;
        policy_leave(&parse->place, mark);
    }
    return true;
}

/* Calls `take` for each item of a list. */
static bool take_items(struct parse *parse, json_t *list,
                       bool (*take)(struct parse *parse, json_t *item, void *into, struct err *err),
                       void *into, struct err *err)
{
    json_t *item;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > POLICY_RULES_MAX)
        return invalid(parse, "must be a list, and not too long", err);
    json_array_foreach (list, i, item) {
        size_t mark = policy_enter_item(&parse->place, i);

        if (!take(parse, item, into, err))
            return false;
        policy_leave(&parse->place, mark);
    }
    return true;
}

static bool take_flag(struct parse *parse, json_t *value, bool *flag, struct err *err)
{
    *flag = json_is_true(value);
    return json_is_boolean(value) || invalid(parse, "must be true or false", err);
}

/* One of the words of a list that ends with NULL. */
static bool take_word(struct parse *parse, json_t *value, const char *const *words, int *index,
                      const char *why, struct err *err)
{
    const char *text = json_string_value(value);

    for (*index = 0; words[*index]; (*index)++) {
        if (text && strcmp(text, words[*index]) == 0)
            return true;
    }
    return invalid(parse, why, err);
}

static bool is_clean_path(const char *path)
{
    autofree char *clean = path && *path == '/' ? path_clean("/", path) : NULL;

    return clean && strcmp(clean, path) == 0;
}

/* A pattern of absolute paths; "~/" is the caller's home. */
static bool take_path_pattern(struct parse *parse, json_t *item, void *into, struct err *err)
{
    const char *text = json_string_value(item);

    if (!text || strlen(text) > PATTERN_MAX ||
        !is_clean_path(strncmp(text, "~/", 2) == 0 ? text + 1 : text))
        return invalid(parse, "must be a pattern of absolute paths, without '..' and '//'", err);
    return strv_add(into, text) || no_memory(err);
}

static bool take_pattern(struct parse *parse, json_t *item, void *into, struct err *err)
{
    const char *text = json_string_value(item);

    if (!text || !*text || strlen(text) > PATTERN_MAX)
        return invalid(parse, "must be a pattern", err);
    return strv_add(into, text) || no_memory(err);
}

/* ---- images ---- */

static bool add_match(struct parse *parse, json_t *item, void *into, struct err *err)
{
    const char *text = json_string_value(item);
    char *pattern = text && strlen(text) <= PATTERN_MAX ? policy_image_pattern(text) : NULL;

    if (!pattern)
        return invalid(
            parse,
            "must be a pattern such as 'registry.example/team/**', 'docker.io/library/*' "
            "or '**', without tag and digest",
            err);
    return strv_take(into, pattern) || no_memory(err);
}

static bool take_match(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_image_rule *rule = into;

    return json_is_string(value) ? add_match(parse, value, &rule->match, err)
                                 : take_items(parse, value, add_match, &rule->match, err);
}

static bool take_tags(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_image_rule *rule = into;

    return take_items(parse, value, take_pattern, &rule->tags, err) &&
           (rule->tags.count || invalid(parse, "must name a tag", err));
}

static bool take_id(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_image_rule *rule = into;
    const char *text = json_string_value(value);

    if (!text || !*text || strlen(text) > 100)
        return invalid(parse, "must be a text of 100 bytes at the most", err);
    rule->id = strdup(text);
    return rule->id || no_memory(err);
}

static bool take_action(struct parse *parse, json_t *value, void *into, struct err *err)
{
    static const char *const words[] = {"deny", "allow", NULL};
    struct policy_image_rule *rule = into;
    int index;

    if (!take_word(parse, value, words, &index, "must be 'allow' or 'deny'", err))
        return false;
    rule->allow = index == 1;
    return true;
}

static bool take_pinned(struct parse *parse, json_t *value, void *into, struct err *err)
{
    static const char *const words[] = {"digest", "lock", NULL};
    struct policy_image_rule *rule = into;
    int index;

    if (!take_word(parse, value, words, &index, "must be 'digest' or 'lock'", err))
        return false;
    rule->pinned = index == 0 ? POLICY_DIGEST : POLICY_LOCK;
    return true;
}

static bool add_key(struct parse *parse, json_t *item, void *into, struct err *err)
{
    struct signature_demand *demand = into;
    const char *file = json_string_value(item);
    char *pem;

    if (!is_clean_path(file) || demand->key_count == SIGNATURE_KEYS_MAX)
        return invalid(parse, "must be the absolute path of a key, one of 16 at the most", err);
    if (!demand->keys)
        demand->keys = calloc(SIGNATURE_KEYS_MAX, sizeof(*demand->keys));
    if (!demand->keys)
        return no_memory(err);
    pem = parse->read_key(file, err);
    if (!pem || !policy_take_key(file, pem, &demand->keys[demand->key_count], err))
        return false;
    demand->key_count++;
    return true;
}

static bool take_signed_by(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_image_rule *rule = into;

    return take_items(parse, value, add_key, &rule->demand, err) &&
           (rule->demand.key_count || invalid(parse, "must name a key", err));
}

static bool take_clear_entrypoint(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_image_rule *rule = into;

    return take_flag(parse, value, &rule->clear_entrypoint, err);
}

static const struct key image_keys[] = {
    {"id", take_id},
    {"match", take_match},
    {"tags", take_tags},
    {"action", take_action},
    {"pinned", take_pinned},
    {"signed_by", take_signed_by},
    {"clear_entrypoint", take_clear_entrypoint},
    {NULL, NULL},
};

static bool add_image_rule(struct parse *parse, json_t *item, void *into, struct err *err)
{
    struct policy *policy = into;
    struct policy_image_rule *rule = &policy->images[policy->image_count++];

    rule->line = policy_line_of(&parse->place);
    if (!take_object(parse, item, image_keys, rule, err))
        return false;
    if (!rule->match.count || !json_object_get(item, "action"))
        return invalid(parse, "needs a 'match' and an 'action'", err);
    if (!rule->allow && (rule->pinned || rule->demand.key_count || rule->clear_entrypoint))
        return invalid(parse, "denies, and so has no conditions", err);
    return true;
}

static bool take_images(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->images = calloc(json_array_size(value) + 1, sizeof(*policy->images));
    policy->parts |= PART_IMAGES;
    return policy->images ? take_items(parse, value, add_image_rule, policy, err) : no_memory(err);
}

/* ---- mounts ---- */

static bool take_tree(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_mount_rule *rule = into;
    const char *text = json_string_value(value);

    if (!is_clean_path(text) || strlen(text) >= PATH_MAX)
        return invalid(parse, "must be an absolute path, without '..' and '/' at its end", err);
    rule->tree = strdup(text);
    return rule->tree || no_memory(err);
}

static bool take_access(struct parse *parse, json_t *value, void *into, struct err *err)
{
    static const char *const words[] = {"none", "read", "write", NULL};
    struct policy_mount_rule *rule = into;
    int index;

    if (!take_word(parse, value, words, &index, "must be 'none', 'read' or 'write'", err))
        return false;
    rule->access = (enum policy_access)index;
    return true;
}

static const struct key mount_keys[] = {{"tree", take_tree}, {"access", take_access}, {NULL, NULL}};

static bool add_mount_rule(struct parse *parse, json_t *item, void *into, struct err *err)
{
    struct policy *policy = into;
    struct policy_mount_rule *rule = &policy->mounts[policy->mount_count++];

    rule->line = policy_line_of(&parse->place);
    if (!take_object(parse, item, mount_keys, rule, err))
        return false;
    if (!rule->tree || !json_object_get(item, "access"))
        return invalid(parse, "needs a 'tree' and an 'access'", err);
    for (size_t i = 0; i + 1 < policy->mount_count; i++) {
        if (strcmp(policy->mounts[i].tree, rule->tree) == 0)
            return invalid(parse, "is about a tree that has a rule already", err);
    }
    return true;
}

static bool take_mounts(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->mounts = calloc(json_array_size(value) + 1, sizeof(*policy->mounts));
    policy->parts |= PART_MOUNTS;
    return policy->mounts ? take_items(parse, value, add_mount_rule, policy, err) : no_memory(err);
}

/* ---- engines, networks, capabilities ---- */

static bool take_native(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    return take_flag(parse, value, &policy->engines[POLICY_NATIVE], err);
}

/* What listens elsewhere is known by certificates, and those are the caller's to choose. */
static bool take_socket(struct parse *parse, json_t *item, void *into, struct err *err)
{
    const char *text = json_string_value(item);

    if (!text || strncmp(text, POLICY_UNIX, strlen(POLICY_UNIX)) != 0 ||
        !is_clean_path(text + strlen(POLICY_UNIX)))
        return invalid(parse, "must be a socket such as 'unix:///run/docker.sock'", err);
    return take_pattern(parse, item, into, err);
}

static bool take_daemon(struct parse *parse, json_t *value, enum policy_engine engine,
                        struct err *err)
{
    struct policy *policy = parse->policy;

    policy->engines[engine] = true;
    return take_items(parse, value, take_socket, &policy->hosts[engine], err) &&
           (policy->hosts[engine].count ||
            invalid(parse, "must name a host such as 'unix:///run/docker.sock'", err));
}

static bool take_docker(struct parse *parse, json_t *value, void *into, struct err *err)
{
    (void)into;
    return take_daemon(parse, value, POLICY_DOCKER, err);
}

static bool take_podman(struct parse *parse, json_t *value, void *into, struct err *err)
{
    (void)into;
    return take_daemon(parse, value, POLICY_PODMAN, err);
}

/* The file says which cluster it is and by whom it is known, so that no pattern can. */
static bool take_kubernetes(struct parse *parse, json_t *value, void *into, struct err *err)
{
    const char *text = json_string_value(value);

    (void)into;
    if (!text || !is_clean_path(text) || !text[1] || strpbrk(text, "*?:"))
        return invalid(parse, "must be the path of a kubeconfig", err);
    parse->policy->engines[POLICY_KUBERNETES] = true;
    return strv_add(&parse->policy->hosts[POLICY_KUBERNETES], text) || no_memory(err);
}

static const struct key engine_keys[] = {{"native", take_native},
                                         {"docker", take_docker},
                                         {"podman", take_podman},
                                         {"kubernetes", take_kubernetes},
                                         {NULL, NULL}};

static bool take_engines(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->parts |= PART_ENGINES;
    return take_object(parse, value, engine_keys, policy, err);
}

static bool add_network(struct parse *parse, json_t *item, void *into, struct err *err)
{
    static const char *const words[] = {"host", "none", "private", NULL};
    struct policy *policy = into;
    int index;

    if (!take_word(parse, item, words, &index, "must be 'host', 'none' or 'private'", err))
        return false;
    policy->networks[index] = true;
    return true;
}

static bool take_networks(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->parts |= PART_NETWORKS;
    return take_items(parse, value, add_network, policy, err);
}

static bool add_capability(struct parse *parse, json_t *item, void *into, struct err *err)
{
    struct policy *policy = into;
    uint64_t caps;

    if (!json_is_string(item) || !caps_parse(json_string_value(item), &caps) || caps == UINT64_MAX)
        return invalid(parse, "must be a capability such as 'CHOWN'", err);
    policy->capabilities |= caps;
    return true;
}

static bool take_capabilities(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->parts |= PART_CAPABILITIES;
    return take_items(parse, value, add_capability, policy, err);
}

/* ---- limits ---- */

static bool take_required(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_limit *limit = into;

    return take_flag(parse, value, &limit->required, err);
}

/* A text in the grammar of the option of the same name. */
static bool take_max(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy_limit *limit = into;
    enum policy_limit_of of = (enum policy_limit_of)(limit - parse->policy->limits);
    const char *text = json_string_value(value), *hint = "must be a text";
    struct limits limits = {0};

    if (text && of == POLICY_MEMORY)
        hint = limits_parse_memory(text, &limits);
    else if (text && of == POLICY_CPUS)
        hint = limits_parse_cpus(text, &limits);
    else if (text && of == POLICY_PIDS)
        hint = limits_parse_pids(text, &limits);
    else if (text)
        hint = num_parse_duration(text, &limit->max) ? NULL : "must be a duration such as '2h'";
    if (of != POLICY_TIMEOUT)
        limit->max = of == POLICY_MEMORY ? limits.memory
                     : of == POLICY_CPUS ? limits.cpu
                                         : limits.pids;
    if (hint || limit->max == 0)
        return invalid(parse, "must be a text as its option takes it, and not 0", err);
    return true;
}

static const struct key limit_keys[] = {
    {"required", take_required}, {"max", take_max}, {NULL, NULL}};

static bool take_limit(struct parse *parse, json_t *value, enum policy_limit_of of, struct err *err)
{
    struct policy_limit *limit = &parse->policy->limits[of];

    limit->line = policy_line_of(&parse->place);
    return take_object(parse, value, limit_keys, limit, err);
}

#define LIMIT_KEY(function, of)                                                                    \
    static bool function(struct parse *parse, json_t *value, void *into, struct err *err)          \
    {                                                                                              \
        (void)into;                                                                                \
        return take_limit(parse, value, of, err);                                                  \
    }
LIMIT_KEY(take_memory, POLICY_MEMORY)
LIMIT_KEY(take_cpus, POLICY_CPUS)
LIMIT_KEY(take_pids, POLICY_PIDS)
LIMIT_KEY(take_timeout, POLICY_TIMEOUT)

static const struct key limits_keys[] = {{"memory", take_memory},
                                         {"cpus", take_cpus},
                                         {"pids", take_pids},
                                         {"timeout", take_timeout},
                                         {NULL, NULL}};

static bool take_limits(struct parse *parse, json_t *value, void *into, struct err *err)
{
    return take_object(parse, value, limits_keys, into, err);
}

/* ---- users ---- */

/* "1000" or "1000-1999" */
static bool add_range(struct parse *parse, json_t *item, void *into, struct err *err)
{
    static const char why[] =
        "must be a text: a number such as '1000', or a range such as '1000-1999'";
    struct policy_ranges *ranges = into;
    autofree char *text = json_is_string(item) ? strdup(json_string_value(item)) : NULL;
    char *dash = text ? strchr(text, '-') : NULL;
    uint64_t first, last;

    if (dash)
        *dash++ = '\0';
    if (!text || !num_parse(text, INT32_MAX, &first) ||
        !num_parse(dash ? dash : text, INT32_MAX, &last) || last < first)
        return invalid(parse, why, err);
    ranges->items[ranges->count++] =
        (struct policy_range){.first = (uint32_t)first, .last = (uint32_t)last};
    return true;
}

static bool take_ranges(struct parse *parse, json_t *value, struct policy_ranges *ranges,
                        struct err *err)
{
    ranges->items = calloc(json_array_size(value) + 1, sizeof(*ranges->items));
    return ranges->items ? take_items(parse, value, add_range, ranges, err) : no_memory(err);
}

static bool take_users(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->parts |= PART_USERS;
    return take_ranges(parse, value, &policy->users, err);
}

static bool take_groups(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->parts |= PART_GROUPS;
    return take_ranges(parse, value, &policy->groups, err);
}

/* ---- the whole ---- */

static bool take_schema(struct parse *parse, json_t *value, void *into, struct err *err)
{
    (void)into;
    return (json_is_string(value) && strcmp(json_string_value(value), POLICY_SCHEMA) == 0) ||
           invalid(parse, "must be '" POLICY_SCHEMA "'", err);
}

static bool take_audit(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;
    const char *text = json_string_value(value);

    if (!is_clean_path(text))
        return invalid(parse, "must be the absolute path of a file", err);
    policy->audit = strdup(text);
    return policy->audit || no_memory(err);
}

static bool take_stores(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    policy->parts |= PART_STORES;
    return take_items(parse, value, take_path_pattern, &policy->stores, err);
}

static bool take_locks(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    return take_items(parse, value, take_path_pattern, &policy->locks, err);
}

static bool take_seccomp(struct parse *parse, json_t *value, void *into, struct err *err)
{
    struct policy *policy = into;

    return take_items(parse, value, take_path_pattern, &policy->seccomp, err);
}

static const struct key policy_keys[] = {
    {"schema", take_schema},     {"audit", take_audit},
    {"stores", take_stores},     {"locks", take_locks},
    {"engines", take_engines},   {"images", take_images},
    {"networks", take_networks}, {"capabilities", take_capabilities},
    {"seccomp", take_seccomp},   {"limits", take_limits},
    {"mounts", take_mounts},     {"users", take_users},
    {"groups", take_groups},     {NULL, NULL},
};

bool policy_parse(const char *text, size_t len, const char *file, policy_read_key *read_key,
                  struct policy *policy, struct err *err)
{
    autojson *json = json_parse(text, len, file, ERR_CONFIG_INVALID, err);
    autopolicy parsed = {.exists = true};
    struct parse parse = {
        .place = {.file = file, .text = text}, .read_key = read_key, .policy = &parsed};

    if (!json)
        return err_hint(err, "the administrator has to correct the file; until then nothing runs");
    if (!take_object(&parse, json, policy_keys, &parsed, err))
        return false;
    if (!json_object_get(json, "schema"))
        return invalid(&parse, "needs a 'schema'", err);
    *policy = parsed;
    parsed = (struct policy){0};
    return true;
}

void policy_release(struct policy *policy)
{
    free(policy->audit);
    strv_release(&policy->stores);
    strv_release(&policy->locks);
    strv_release(&policy->seccomp);
    for (size_t i = 0; i < POLICY_ENGINES; i++)
        strv_release(&policy->hosts[i]);
    for (size_t i = 0; i < policy->image_count; i++) {
        free(policy->images[i].id);
        strv_release(&policy->images[i].match);
        strv_release(&policy->images[i].tags);
        signature_demand_release(&policy->images[i].demand);
    }
    free(policy->images);
    for (size_t i = 0; i < policy->mount_count; i++) {
        free(policy->mounts[i].tree);
        free(policy->mounts[i].resolved);
    }
    free(policy->mounts);
    free(policy->users.items);
    free(policy->groups.items);
    json_decref(policy->containers);
    *policy = (struct policy){0};
}

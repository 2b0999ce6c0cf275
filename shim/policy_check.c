/* What a policy says of a step: one table of checks (pure). */
#include <inttypes.h>
#include <string.h>

#include "base/path.h"
#include "runtime/confine/caps_names.h"
#include "runtime/image/registry_users.h"
#include "shim/policy.h"

static const char *const engine_names[] = {[POLICY_NATIVE] = "native",
                                           [POLICY_DOCKER] = "docker",
                                           [POLICY_PODMAN] = "podman",
                                           [POLICY_KUBERNETES] = "kubernetes"};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to check the policy");
}

void policy_verdict_release(struct policy_verdict *verdict)
{
    for (size_t i = 0; i < verdict->own_count; i++)
        signature_demand_release(&verdict->own[i]);
    errs_release(&verdict->refusals);
    *verdict = (struct policy_verdict){0};
}

json_t *policy_verdict_json(const struct policy_verdict *verdict)
{
    if (!verdict->file)
        return json_null();
    return json_pack("{s:s, s:o}", "file", verdict->file, "rule",
                     json_bytes(verdict->rule, strlen(verdict->rule)));
}

static void decide(struct policy_verdict *verdict, const char *rule)
{
    verdict->file = POLICY_FILE;
    snprintf(verdict->rule, sizeof(verdict->rule), "%s", rule);
}

/* "mounts[3] (line 20)" decides. */
static void decide_line(struct policy_verdict *verdict, const char *list, size_t index,
                        unsigned int line)
{
    verdict->file = POLICY_FILE;
    snprintf(verdict->rule, sizeof(verdict->rule), "%s[%zu] (line %u)", list, index, line);
}

/* The refusal is complete but for the rule, which is named behind it. */
static bool refuse(const struct policy_verdict *verdict, struct err *err)
{
    size_t used = strlen(err->message);

    snprintf(err->message + used, sizeof(err->message) - used, ": %s of '%s'", verdict->rule,
             verdict->file);
    return false;
}

/* Takes what a check found, so that the next one can look; false where none can any more. */
static bool passes(struct policy_verdict *verdict, bool ok, const struct err *err)
{
    if (!ok && verdict->refusals.count == 0) {
        verdict->refusing_file = verdict->file;
        memcpy(verdict->refusing_rule, verdict->rule, sizeof(verdict->refusing_rule));
    }
    return errs_pass(&verdict->refusals, ok, err);
}

static bool ask_administrator(struct err *err)
{
    return err_hint(err, "the policy is the administrator's; 'stepcell policy test' with the same "
                         "words tries a change of it");
}

/* ---- where and by whom ---- */

/* A pattern of paths; "~/" is below the caller's home. */
static bool fits_path(const char *pattern, const char *path, const char *home)
{
    autofree char *full = NULL;

    if (strncmp(pattern, "~/", 2) != 0)
        return policy_glob(pattern, path);
    /* A home is a path and no pattern. */
    if (!home || !path_is_below(path, home))
        return false;
    full = text_printf("~%s", path + (strcmp(home, "/") == 0 ? 0 : strlen(home)));
    return full && policy_glob(pattern, full);
}

static bool fits_any_path(const struct strv *patterns, const char *path, const char *home)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (fits_path(patterns->items[i], path, home))
            return true;
    }
    return false;
}

bool policy_check_store(const struct policy *policy, const struct policy_facts *facts,
                        struct policy_verdict *verdict, struct err *err)
{
    const char *standard = facts->caller == 0 ? POLICY_SYSTEM_STORE : POLICY_HOME_STORE;
    bool listed = policy->parts & PART_STORES
                      ? fits_any_path(&policy->stores, facts->store, facts->home)
                      : fits_path(standard, facts->store, facts->home);

    if (listed)
        return true;
    decide(verdict, "stores");
    err_set(err, ERR_POLICY_DENIED, "the image store '%s' is none that the policy knows",
            facts->store);
    refuse(verdict, err);
    return err_hint(err, "use the standard one (without --store and STEPCELL_STORE), or let the "
                         "administrator list it");
}

/* A lock says which image a name is, and even which of an index: not for a step to say. */
static bool check_lock(const struct policy *policy, const struct policy_facts *facts,
                       struct policy_verdict *verdict, struct err *err)
{
    if (!facts->lock_file || fits_any_path(&policy->locks, facts->lock_file, facts->home))
        return true;
    decide(verdict, "locks");
    err_set(err, ERR_POLICY_DENIED, "the policy does not know the lock file '%s'",
            facts->lock_file);
    refuse(verdict, err);
    return err_hint(err, "leave --lock out, or let the administrator list the file");
}

/* What is not there yet can have a ".." that leads elsewhere, once it is. */
static bool fits_daemon(const struct strv *hosts, const char *host)
{
    const char *path = host ? host + strlen(POLICY_UNIX) : NULL;
    autofree char *clean = NULL;

    if (!host || strncmp(host, POLICY_UNIX "/", strlen(POLICY_UNIX "/")) != 0)
        return false;
    clean = path_clean("/", path);
    return clean && strcmp(clean, path) == 0 && policy_glob_any(hosts, host);
}

/*
 * A cluster enforces what its Pods say, and what they say is enforced by the first program, on the
 * volumes that are what they are said to be: nothing that a step may choose.
 */
static bool check_cluster(const struct policy_facts *facts, struct policy_verdict *verdict,
                          struct err *err)
{
    if (!facts->chooses_cluster)
        return true;
    decide(verdict, "engines");
    err_set(err, ERR_POLICY_DENIED,
            "the policy does not allow a step to choose context, namespace, images or volumes "
            "of a cluster");
    refuse(verdict, err);
    return err_hint(err, "leave the options --kubernetes-... out: the administrator says them in "
                         "'/etc/stepcell/config.json'");
}

static bool fits_host(const struct policy *policy, const struct policy_facts *facts)
{
    const struct strv *hosts = &policy->hosts[facts->engine];
    const char *host = facts->engine_host;

    switch (facts->engine) {
    case POLICY_NATIVE:
        return true;
    case POLICY_KUBERNETES:
        return host && strv_contains(hosts, host);
    default:
        return fits_daemon(hosts, host);
    }
}

bool policy_check_engine(const struct policy *policy, const struct policy_facts *facts,
                         struct policy_verdict *verdict, struct err *err)
{
    enum policy_engine engine = facts->engine;
    bool allowed = policy->parts & PART_ENGINES ? policy->engines[engine] : engine == POLICY_NATIVE;

    if (allowed && fits_host(policy, facts))
        return engine != POLICY_KUBERNETES || check_cluster(facts, verdict, err);
    decide(verdict, "engines");
    if (!allowed) {
        err_set(err, ERR_POLICY_DENIED, "the policy does not allow the engine '%s'",
                engine_names[engine]);
        refuse(verdict, err);
        return ask_administrator(err);
    }
    err_set(err, ERR_POLICY_DENIED, "the policy does not allow the daemon '%s'",
            facts->engine_host ? facts->engine_host : "");
    refuse(verdict, err);
    return err_hint(err, "name one that it allows, with --engine-host");
}

const char *policy_default_host(const struct policy *policy, enum policy_engine engine)
{
    const struct strv *hosts = &policy->hosts[engine];

    return hosts->count && !strpbrk(hosts->items[0], "*?") ? hosts->items[0] : NULL;
}

/* ---- images ---- */

char *policy_image_name(const struct reference *reference)
{
    static const char *const transports[] = {
        [TRANSPORT_OCI] = "oci",
        [TRANSPORT_OCI_ARCHIVE] = "oci-archive",
        [TRANSPORT_DOCKER_ARCHIVE] = "docker-archive",
    };
    autofree char *host = NULL;

    if (reference->transport == TRANSPORT_REGISTRY) {
        host = reference_host(reference->host);
        return host ? text_printf("%s/%s", host, reference->path) : NULL;
    }
    return text_printf("%s:%s", transports[reference->transport], reference->path);
}

static bool has_tag(const struct policy_image_rule *rule, const char *tag)
{
    return tag && policy_glob_any(&rule->tags, tag);
}

/*
 * With a digest a tag decides nothing, and may be any word; a lock knows what it locked. Which tag
 * it was locked for is a word as well, and allows nothing.
 */
static bool fits_tag(const struct policy_image_rule *rule, const struct policy_facts *facts)
{
    const char *asked = facts->reference->tag, *locked = facts->locked_tag;

    if (locked && !rule->allow)
        return has_tag(rule, locked) || has_tag(rule, asked);
    if (facts->reference->digest)
        return !facts->asks_digest && has_tag(rule, locked);
    return has_tag(rule, asked);
}

/* "**" stands for what registries have: a local file is meant only by who writes so. */
static bool fits_image(const struct policy_image_rule *rule, const struct policy_facts *facts)
{
    bool local = facts->reference->transport != TRANSPORT_REGISTRY, fits = false;

    for (size_t i = 0; i < rule->match.count && !fits; i++) {
        const char *pattern = rule->match.items[i];

        fits = local == (strstr(pattern, ":/") != NULL) && policy_glob(pattern, facts->image);
    }
    return fits && (!rule->tags.count || fits_tag(rule, facts));
}

static const struct policy_image_rule *find_image_rule(const struct policy *policy,
                                                       const struct policy_facts *facts)
{
    for (size_t i = 0; i < policy->image_count; i++) {
        if (fits_image(&policy->images[i], facts))
            return &policy->images[i];
    }
    return NULL;
}

static void decide_image(const struct policy *policy, const struct policy_image_rule *rule,
                         struct policy_verdict *verdict)
{
    size_t index = (size_t)(rule - policy->images);

    decide_line(verdict, "images", index, rule->line);
    if (rule->id)
        snprintf(verdict->rule, sizeof(verdict->rule), "images[%zu] '%s' (line %u)", index,
                 rule->id, rule->line);
}

static bool check_pinned(const struct policy_facts *facts, const struct policy_image_rule *rule,
                         const struct policy_verdict *verdict, struct err *err)
{
    if (rule->pinned == POLICY_ANY || facts->only_image || facts->lock_file ||
        (rule->pinned == POLICY_DIGEST && facts->reference->digest))
        return true;
    err_set(err, ERR_IMAGE_UNPINNED, "image '%s' is not pinned by %s", facts->reference->name,
            rule->pinned == POLICY_LOCK ? "a lock of the policy's" : "a digest");
    refuse(verdict, err);
    if (rule->pinned == POLICY_LOCK)
        return err_hint(err, "lock it with 'stepcell lock add', and name with --lock a file that "
                             "the policy lists under 'locks'");
    return err_hint(err, "name it as '%s@sha256:…', or lock it", facts->image);
}

static bool check_image(const struct policy *policy, const struct policy_facts *facts,
                        struct policy_verdict *verdict, struct err *err)
{
    const struct policy_image_rule *rule;

    if (!(policy->parts & PART_IMAGES)) {
        decide(verdict, "no 'images'");
        if (!facts->clears_entrypoint)
            return true;
        err_set(err, ERR_POLICY_DENIED, "the policy does not allow --entrypoint clear");
        refuse(verdict, err);
        return ask_administrator(err);
    }
    rule = find_image_rule(policy, facts);
    if (rule)
        decide_image(policy, rule, verdict);
    else
        decide(verdict, "none of the images");
    if (!rule || !rule->allow) {
        err_set(err, ERR_IMAGE_DENIED, "the policy does not allow the image '%s'", facts->image);
        refuse(verdict, err);
        return ask_administrator(err);
    }
    if (!check_pinned(facts, rule, verdict, err))
        return false;
    if (facts->clears_entrypoint && !rule->clear_entrypoint) {
        err_set(err, ERR_POLICY_DENIED, "the policy does not allow --entrypoint clear for '%s'",
                facts->image);
        refuse(verdict, err);
        return err_hint(err, "rebuild the image with 'ENTRYPOINT []'");
    }
    if (rule->demand.key_count)
        verdict->demands[verdict->demand_count++] = &rule->demand;
    return true;
}

/* ---- what the cell may do ---- */

static bool check_network(const struct policy *policy, const struct policy_facts *facts,
                          struct policy_verdict *verdict, struct err *err)
{
    static const char *const names[] = {
        [NETWORK_HOST] = "host", [NETWORK_NONE] = "none", [NETWORK_PRIVATE] = "private"};
    autobuf allowed = BUF_INIT(256);

    if (!(policy->parts & PART_NETWORKS) || policy->networks[facts->network])
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (policy->networks[i])
            buf_printf(&allowed, "%s--network %s", allowed.len ? " or " : "", names[i]);
    }
    decide(verdict, "networks");
    if (facts->engine == POLICY_KUBERNETES) {
        err_set(err, ERR_POLICY_DENIED,
                "the policy does not allow the network of a Pod, which is that of its cluster");
        refuse(verdict, err);
        return err_hint(err,
                        "it counts as 'host': nothing keeps a Pod from what others offer there");
    }
    err_set(err, ERR_POLICY_DENIED, "the policy does not allow the network '%s'",
            names[facts->network]);
    refuse(verdict, err);
    return allowed.len ? err_hint(err, "give %s", allowed.data) : ask_administrator(err);
}

static bool check_capabilities(const struct policy *policy, const struct policy_facts *facts,
                               struct policy_verdict *verdict, struct err *err)
{
    uint64_t more = facts->capabilities & ~policy->capabilities;
    autobuf drops = BUF_INIT(1024);

    if (!(policy->parts & PART_CAPABILITIES) || !more)
        return true;
    for (unsigned int cap = 0; cap < 64; cap++) {
        char name[CAPS_NAME_MAX];

        if (more >> cap & 1 && caps_name(cap, name))
            buf_printf(&drops, "%s--cap-drop %s", drops.len ? " " : "", name);
    }
    decide(verdict, "capabilities");
    err_set(err, ERR_POLICY_DENIED,
            "the cell would have capabilities that the policy does not "
            "allow");
    refuse(verdict, err);
    return err_hint(err, "give %s", drops.data ? drops.data : "--cap-drop ALL");
}

static bool check_seccomp(const struct policy *policy, const struct policy_facts *facts,
                          struct policy_verdict *verdict, struct err *err)
{
    if (!facts->seccomp || fits_any_path(&policy->seccomp, facts->seccomp, facts->home))
        return true;
    decide(verdict, "seccomp");
    err_set(err, ERR_POLICY_DENIED, "the policy does not know the seccomp profile '%s'",
            facts->seccomp);
    refuse(verdict, err);
    return err_hint(err, "leave --seccomp out, or let the administrator list the file");
}

static bool check_limits(const struct policy *policy, const struct policy_facts *facts,
                         struct policy_verdict *verdict, struct err *err)
{
    static const char *const names[] = {[POLICY_MEMORY] = "memory",
                                        [POLICY_CPUS] = "cpus",
                                        [POLICY_PIDS] = "pids",
                                        [POLICY_TIMEOUT] = "timeout"};
    const char *const options[] = {[POLICY_MEMORY] = "--memory",
                                   [POLICY_CPUS] = "--cpus",
                                   [POLICY_PIDS] = "--pids-limit",
                                   [POLICY_TIMEOUT] =
                                       facts->keep_ms ? "--timeout with --keep-for" : "--timeout"};
    const uint64_t given[] = {[POLICY_MEMORY] = facts->limits.memory,
                              [POLICY_CPUS] = facts->limits.cpu,
                              [POLICY_PIDS] = facts->limits.pids,
                              /* A kept cell still takes commands. */
                              [POLICY_TIMEOUT] =
                                  facts->timeout_ms ? facts->timeout_ms + facts->keep_ms : 0};
    bool ok = true;

    for (size_t i = 0; i < POLICY_LIMITS; i++) {
        const struct policy_limit *limit = &policy->limits[i];
        bool missing = (limit->required || limit->max) && !given[i];

        if (!missing && (!limit->max || given[i] <= limit->max))
            continue;
        verdict->file = POLICY_FILE;
        snprintf(verdict->rule, sizeof(verdict->rule), "limits.%s (line %u)", names[i],
                 limit->line);
        err_set(err, ERR_POLICY_DENIED,
                missing ? "the policy asks for %s" : "%s is more than the policy allows",
                options[i]);
        refuse(verdict, err);
        err_hint(err, missing ? "give the step a limit with %s" : "give less with %s", options[i]);
        ok = false;
        if (!passes(verdict, false, err))
            return false;
    }
    return ok;
}

/* ---- mounts ---- */

/* A step that writes to what decides about steps decides itself. */
static bool check_guarded(const struct policy *policy, const struct policy_facts *facts,
                          struct policy_verdict *verdict, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; i < facts->source_count; i++) {
        const struct policy_source *source = &facts->sources[i];
        const char *place =
            source->writable ? policy_find_guarded(facts->guarded, source->path) : NULL;

        if (!place)
            continue;
        decide(verdict, "guarded places");
        if (!policy->exists)
            verdict->file = POLICY_CONTAINERS_FILE;
        err_set(err, ERR_MOUNT_DENIED,
                "the policy does not allow a step to write to '%s', which holds or lies in '%s'",
                source->path, place);
        refuse(verdict, err);
        err_hint(err, "mount it read-only, or another directory: nothing that decides what may run "
                      "is written to by steps");
        ok = false;
        if (!passes(verdict, false, err))
            return false;
    }
    return ok;
}

/* The rule of the longest tree that holds the path, as the tree is written. */
static const struct policy_mount_rule *find_mount_rule(const struct policy *policy,
                                                       const char *path)
{
    const struct policy_mount_rule *found = NULL;

    for (size_t i = 0; i < policy->mount_count; i++) {
        const struct policy_mount_rule *rule = &policy->mounts[i];

        if (path_is_below(path, rule->tree) && (!found || strlen(rule->tree) > strlen(found->tree)))
            found = rule;
    }
    return found;
}

/* Whether the tree, or where a link on its way leads, holds the path or lies in it. */
static bool is_touched(const struct policy_mount_rule *rule, const char *path, bool *inside)
{
    *inside = !path_is_below(path, rule->tree) && path_is_below(rule->tree, path);
    if (*inside)
        return true;
    return rule->resolved &&
           (path_is_below(path, rule->resolved) || path_is_below(rule->resolved, path));
}

/*
 * The rule that forbids it: the one that decides on the path, or a stricter one for something that
 * lies in it and would come along.
 */
static const struct policy_mount_rule *find_denial(const struct policy *policy,
                                                   const struct policy_source *source, bool *inside)
{
    enum policy_access wanted = source->writable ? POLICY_WRITE : POLICY_READ;
    const struct policy_mount_rule *rule = find_mount_rule(policy, source->path);

    *inside = false;
    if (!rule || rule->access < wanted)
        return rule;
    for (size_t i = 0; i < policy->mount_count; i++) {
        if (policy->mounts[i].access < wanted &&
            is_touched(&policy->mounts[i], source->path, inside))
            return &policy->mounts[i];
    }
    return NULL;
}

static bool check_mount(const struct policy *policy, const struct policy_source *source,
                        struct policy_verdict *verdict, struct err *err)
{
    bool inside, known = find_mount_rule(policy, source->path);
    const struct policy_mount_rule *rule = find_denial(policy, source, &inside);

    if (known && !rule)
        return true;
    if (rule)
        decide_line(verdict, "mounts", (size_t)(rule - policy->mounts), rule->line);
    else
        decide(verdict, "none of the mounts");
    err_set(err, ERR_MOUNT_DENIED, "the policy does not allow a step to %s '%s'%s%s%s",
            source->writable ? "write to" : "read", source->path, inside ? ", which holds '" : "",
            inside ? rule->tree : "", inside ? "'" : "");
    refuse(verdict, err);
    if (inside)
        return err_hint(err, "mount less of '%s'", source->path);
    if (rule && rule->access == POLICY_READ)
        return err_hint(err, "it may be read: give it read-only");
    return ask_administrator(err);
}

bool policy_check_mounts(const struct policy *policy, const struct policy_facts *facts,
                         struct policy_verdict *verdict, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; policy->parts & PART_MOUNTS && i < facts->source_count; i++) {
        bool allowed = check_mount(policy, &facts->sources[i], verdict, err);

        ok = ok && allowed;
        if (!passes(verdict, allowed, err))
            return false;
    }
    return ok;
}

/* ---- users ---- */

static bool is_in(const struct policy_ranges *ranges, uint32_t id)
{
    for (size_t i = 0; i < ranges->count; i++) {
        if (id >= ranges->items[i].first && id <= ranges->items[i].last)
            return true;
    }
    return false;
}

static bool deny_id(const char *what, const char *part, uint32_t id, struct policy_verdict *verdict,
                    struct err *err)
{
    decide(verdict, part);
    err_set(err, ERR_POLICY_DENIED, "the policy does not allow a step to run as %s %" PRIu32, what,
            id);
    refuse(verdict, err);
    return err_hint(err, "name another with --user");
}

static bool check_user(const struct policy *policy, const struct policy_facts *facts,
                       struct policy_verdict *verdict, struct err *err)
{
    bool allowed, ok;

    if (!facts->knows_user)
        return true;
    allowed = !(policy->parts & PART_USERS) || is_in(&policy->users, facts->uid) ||
              deny_id("user", "users", facts->uid, verdict, err);
    ok = allowed;
    for (size_t i = 0; policy->parts & PART_GROUPS && i <= facts->group_count; i++) {
        gid_t group = i ? facts->groups[i - 1] : facts->gid;

        if (!passes(verdict, allowed, err))
            return false;
        allowed = is_in(&policy->groups, group) || deny_id("group", "groups", group, verdict, err);
        ok = ok && allowed;
    }
    return ok;
}

/* ---- the whole ---- */

/* What is denied keeps the image from being looked at, unless it is the cell alone. */
enum about { ABOUT_IMAGE, ABOUT_SOURCE, ABOUT_CELL };

/* The rule for the image is what a verdict names when no other refuses. */
static const struct {
    bool (*check)(const struct policy *policy, const struct policy_facts *facts,
                  struct policy_verdict *verdict, struct err *err);
    enum about about;
} checks[] = {
    {check_lock, ABOUT_SOURCE},         {check_image, ABOUT_IMAGE},
    {policy_check_store, ABOUT_SOURCE}, {policy_check_engine, ABOUT_SOURCE},
    {check_network, ABOUT_CELL},        {check_capabilities, ABOUT_CELL},
    {check_seccomp, ABOUT_CELL},        {check_limits, ABOUT_CELL},
    {check_guarded, ABOUT_CELL},        {policy_check_mounts, ABOUT_CELL},
    {check_user, ABOUT_CELL},
};

bool policy_decides(const struct policy *policy)
{
    return policy->exists ||
           (policy->containers && !registry_policy_accepts_all(policy->containers));
}

static bool take(struct policy_verdict *verdict, bool ok, enum about about, const struct err *err)
{
    verdict->denies_image = verdict->denies_image || (!ok && about != ABOUT_CELL);
    return passes(verdict, ok, err);
}

static bool check_all(const struct policy *policy, const struct policy_facts *facts,
                      policy_read_key *read_key, struct policy_verdict *verdict, struct err *err)
{
    for (size_t i = 0; policy->exists && i < ARRAY_SIZE(checks); i++) {
        if ((checks[i].about == ABOUT_IMAGE || !facts->only_image) &&
            !take(verdict, checks[i].check(policy, facts, verdict, err), checks[i].about, err))
            return false;
    }
    if (!take(verdict, policy_check_containers(policy, facts, read_key, verdict, err), ABOUT_IMAGE,
              err))
        return false;
    if (policy->exists || facts->only_image)
        return true;
    /*
     * The other file alone says nothing of stores and mounts. A signature is what the store is
     * asked for, so then it has to be one to believe.
     */
    return take(verdict, check_guarded(policy, facts, verdict, err), ABOUT_CELL, err) &&
           take(verdict,
                verdict->demand_count == 0 || policy_check_store(policy, facts, verdict, err),
                ABOUT_SOURCE, err);
}

bool policy_check(const struct policy *policy, const struct policy_facts *facts,
                  policy_read_key *read_key, struct policy_verdict *verdict, struct err *err)
{
    *verdict = (struct policy_verdict){0};
    if (!check_all(policy, facts, read_key, verdict, err)) {
        verdict->denies_image = true;
        return false;
    }
    if (verdict->refusals.count == 0)
        return true;
    verdict->file = verdict->refusing_file;
    memcpy(verdict->rule, verdict->refusing_rule, sizeof(verdict->rule));
    *err = verdict->refusals.items[0];
    return false;
}

bool policy_check_image(const struct policy *policy, const struct reference *reference,
                        struct policy_verdict *verdict, struct err *err)
{
    autofree char *name = policy_image_name(reference);
    const struct policy_facts facts = {.reference = reference, .image = name, .only_image = true};

    return name ? policy_check(policy, &facts, policy_read_key_file, verdict, err) : no_memory(err);
}

/*
 * /etc/containers/policy.json, as Podman, Buildah and Skopeo have it (containers-policy.json(5)):
 * what it says of images counts here, too. What stepcell cannot verify it does not accept.
 */
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "shim/policy.h"

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the policy");
}

/* ---- parsing ---- */

/* The keys of each kind of requirement, and of an identity. */
static const struct kind {
    const char *type;
    const char *const keys[12];
} kinds[] = {
    {"insecureAcceptAnything", {"type"}},
    {"reject", {"type"}},
    {"signedBy", {"type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"}},
    {"sigstoreSigned",
     {"type", "keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki", "rekorPublicKeyPath",
      "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas", "signedIdentity"}},
};

static const struct kind identities[] = {
    {"matchExact", {"type"}},
    {"matchRepoDigestOrExact", {"type"}},
    {"matchRepository", {"type"}},
    {"exactReference", {"type", "dockerReference"}},
    {"exactRepository", {"type", "dockerRepository"}},
    {"remapIdentity", {"type", "prefix", "signedPrefix"}},
};

static bool has_key(const struct kind *kind, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(kind->keys) && kind->keys[i]; i++) {
        if (strcmp(kind->keys[i], key) == 0)
            return true;
    }
    return false;
}

static bool is_text_list(const json_t *value)
{
    const json_t *item;
    size_t i;

    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return false;
    }
    return json_array_size(value) > 0;
}

/* What names keys, in one way at the most, as the file's other readers have it. */
static bool check_keys(struct policy_place *place, json_t *object, struct err *err)
{
    static const char *const names[] = {"keyPath", "keyData", "keyPaths", "keyDatas"};
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const json_t *value = json_object_get(object, names[i]);
        bool many = i >= 2;
        size_t mark;

        if (!value)
            continue;
        mark = policy_enter(place, names[i]);
        if (!(many ? is_text_list(value) : json_is_string(value)))
            return policy_invalid(
                place, many ? "must be a list of texts, and not empty" : "must be a text", err);
        if (++count > 1)
            return policy_invalid(place, "is a second way to name keys", err);
        policy_leave(place, mark);
    }
    return true;
}

/* An object of one of the kinds, by its "type", with no other keys. */
static bool check_kind(struct policy_place *place, json_t *object, const struct kind *list,
                       size_t count, struct err *err)
{
    const char *type = json_text(object, "type"), *key;
    const struct kind *kind = NULL;
    json_t *value;

    for (size_t i = 0; type && i < count && !kind; i++)
        kind = strcmp(list[i].type, type) == 0 ? &list[i] : NULL;
    if (!kind)
        return policy_invalid(place, "has no 'type' that is known", err);
    json_object_foreach (object, key, value) {
        size_t mark = policy_enter(place, key);

        if (!has_key(kind, key))
            return policy_invalid(place, "is not known", err);
        if (strcmp(key, "signedIdentity") == 0 &&
            !check_kind(place, value, identities, ARRAY_SIZE(identities), err))
            return false;
        policy_leave(place, mark);
    }
    return check_keys(place, object, err);
}

static bool check_requirements(struct policy_place *place, json_t *list, struct err *err)
{
    json_t *item;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) == 0)
        return policy_invalid(place, "must be a list of requirements, and not empty", err);
    json_array_foreach (list, i, item) {
        size_t mark = policy_enter_item(place, i);

        if (!check_kind(place, item, kinds, ARRAY_SIZE(kinds), err))
            return false;
        policy_leave(place, mark);
    }
    return true;
}

/* {"SCOPE": requirements} */
static bool check_scopes(struct policy_place *place, json_t *scopes, struct err *err)
{
    const char *scope;
    json_t *value;

    if (!json_is_object(scopes))
        return policy_invalid(place, "must be an object of scopes", err);
    json_object_foreach (scopes, scope, value) {
        size_t mark = policy_enter(place, scope);

        if (!check_requirements(place, value, err))
            return false;
        policy_leave(place, mark);
    }
    return true;
}

static bool check_transports(struct policy_place *place, json_t *transports, struct err *err)
{
    const char *name;
    json_t *value;

    if (!json_is_object(transports))
        return policy_invalid(place, "must be an object of transports", err);
    json_object_foreach (transports, name, value) {
        size_t mark = policy_enter(place, name);

        if (!check_scopes(place, value, err))
            return false;
        policy_leave(place, mark);
    }
    return true;
}

json_t *policy_parse_containers(const char *text, size_t len, const char *file, struct err *err)
{
    autojson *json = json_parse(text, len, file, ERR_CONFIG_INVALID, err);
    struct policy_place place = {.file = file, .text = text};
    const char *key;
    json_t *value;

    if (!json) {
        err_hint(err, "the administrator has to correct the file; until then nothing runs");
        return NULL;
    }
    json_object_foreach (json, key, value) {
        size_t mark = policy_enter(&place, key);
        bool ok = strcmp(key, "default") == 0      ? check_requirements(&place, value, err)
                  : strcmp(key, "transports") == 0 ? check_transports(&place, value, err)
                                                   : policy_invalid(&place, "is not known", err);

        if (!ok)
            return NULL;
        policy_leave(&place, mark);
    }
    if (!json_object_get(json, "default")) {
        policy_invalid(&place, "needs a 'default'", err);
        return NULL;
    }
    return TAKE_PTR(json);
}

/* ---- which scope decides ---- */

/*
 * A host in lower case and without ":443", and as it was written, which is what other tools go by:
 * no spelling is a way around the scope of another, so what both find has to hold.
 */
#define SPELLINGS 2

/* What is found in the end, and its name in messages. */
struct choice {
    json_t *requirements;
    char rule[POLICY_RULE_MAX];
};

static bool choose(json_t *scopes, const char *transport, const char *scope, struct choice *choice)
{
    choice->requirements = json_object_get(scopes, scope);
    if (choice->requirements)
        snprintf(choice->rule, sizeof(choice->rule), "transports.%s['%s']", transport, scope);
    return choice->requirements;
}

/* HOST/PATH:TAG or @DIGEST, HOST/PATH, each parent of it, HOST, *.DOMAIN of it without a port. */
static bool choose_name(json_t *scopes, const char *host, const struct reference *reference,
                        struct choice *choice)
{
    autofree char *name = text_printf("%s/%s", host, reference->path);
    autofree char *domains = strndup(host, strcspn(host, ":"));
    autofree char *full =
        text_printf("%s/%s%s%s", host, reference->path, reference->digest ? "@" : ":",
                    reference->digest ? reference->digest : reference->tag);
    char *slash;

    if (!name || !domains || !full)
        return false;
    if (choose(scopes, "docker", full, choice))
        return true;
    do {
        if (choose(scopes, "docker", name, choice))
            return true;
        slash = strrchr(name, '/');
        if (slash)
            *slash = '\0';
    } while (slash);
    for (const char *dot = strchr(domains, '.'); dot; dot = strchr(dot + 1, '.')) {
        autofree char *domain = text_printf("*%s", dot);

        if (!domain || choose(scopes, "docker", domain, choice))
            return domain;
    }
    return false;
}

/* The path of a layout or an archive, and each directory above. */
static bool choose_path(json_t *scopes, const char *transport, const char *path,
                        struct choice *choice)
{
    autofree char *scope = strdup(path);
    char *slash;

    while (scope && *scope) {
        if (choose(scopes, transport, scope, choice))
            return true;
        slash = strrchr(scope, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    return scope && choose(scopes, transport, "/", choice);
}

/* One for each spelling of a registry's host; returns how many. */
static size_t find_requirements(const struct policy *policy, const struct policy_facts *facts,
                                struct choice choices[SPELLINGS])
{
    static const char *const names[] = {
        [TRANSPORT_REGISTRY] = "docker",
        [TRANSPORT_OCI] = "oci",
        [TRANSPORT_OCI_ARCHIVE] = "oci-archive",
        [TRANSPORT_DOCKER_ARCHIVE] = "docker-archive",
    };
    enum transport transport = facts->reference->transport;
    json_t *scopes =
        json_object_get(json_object_get(policy->containers, "transports"), names[transport]);
    const char *path = strchr(facts->image, ':');
    autofree char *host = strndup(facts->image, strcspn(facts->image, "/"));
    const char *const spellings[SPELLINGS] = {host, facts->reference->host};
    size_t count = 0;

    for (size_t i = 0; transport == TRANSPORT_REGISTRY && i < SPELLINGS; i++)
        count +=
            spellings[i] && choose_name(scopes, spellings[i], facts->reference, &choices[count]);
    if (transport != TRANSPORT_REGISTRY)
        count = choose_path(scopes, names[transport], path ? path + 1 : "", &choices[0]);
    if (count == SPELLINGS && choices[0].requirements == choices[1].requirements)
        count = 1;
    if (count || choose(scopes, names[transport], "", &choices[0]))
        return count ? count : 1;
    choices[0].requirements = json_object_get(policy->containers, "default");
    snprintf(choices[0].rule, sizeof(choices[0].rule), "default");
    return 1;
}

/* ---- what it asks for ---- */

static bool not_supported(const struct choice *choice, const char *what, struct err *err)
{
    err_set(err, ERR_IMAGE_DENIED, "%s of '%s' asks for '%s', which stepcell does not verify",
            choice->rule, POLICY_CONTAINERS_FILE, what);
    return err_hint(err,
                    "let it ask for 'sigstoreSigned' with a key, or give this image a scope of "
                    "its own");
}

static bool add_key(struct signature_demand *demand, const char *file, char *pem, struct err *err)
{
    if (!pem)
        return false;
    if (!demand->keys)
        demand->keys = calloc(SIGNATURE_KEYS_MAX, sizeof(*demand->keys));
    if (!demand->keys || demand->key_count == SIGNATURE_KEYS_MAX) {
        free(pem);
        return no_memory(err);
    }
    return policy_take_key(file, pem, &demand->keys[demand->key_count], err) &&
           (demand->key_count++, true);
}

static bool add_key_data(struct signature_demand *demand, const char *base64, struct err *err)
{
    size_t len = 0;
    char *pem = base64 ? base64_decode(base64, &len) : NULL;

    if (!pem || strlen(pem) != len) {
        free(pem);
        return err_set(err, ERR_CONFIG_INVALID, "'keyData' in '%s' is not a key in base64",
                       POLICY_CONTAINERS_FILE);
    }
    return add_key(demand, POLICY_CONTAINERS_FILE, pem, err);
}

static bool add_keys(json_t *requirement, policy_read_key *read_key,
                     struct signature_demand *demand, struct err *err)
{
    static const struct {
        const char *one, *many;
        bool data;
    } forms[] = {{"keyPath", "keyPaths", false}, {"keyData", "keyDatas", true}};

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        const json_t *list = json_object_get(requirement, forms[i].many);
        const char *one = json_text(requirement, forms[i].one);

        for (size_t k = 0; k <= json_array_size(list); k++) {
            /* Behind the list the single one. */
            const char *text =
                k < json_array_size(list) ? json_string_value(json_array_get(list, k)) : one;

            if (text && !(forms[i].data ? add_key_data(demand, text, err)
                                        : add_key(demand, text, read_key(text, err), err)))
                return false;
        }
    }
    return true;
}

/* The name that a signature has to have inside, by the requirement's identity. */
static bool add_identity(json_t *requirement, const struct policy_facts *facts,
                         const struct choice *choice, struct signature_demand *demand,
                         struct err *err)
{
    json_t *identity = json_object_get(requirement, "signedIdentity");
    const char *type = identity ? json_text(identity, "type") : "matchRepoDigestOrExact";
    const struct reference *reference = facts->reference;
    bool by_digest = reference->digest != NULL;
    const char *given = json_text(identity, "dockerReference");

    demand->identity = IDENTITY_REPOSITORY;
    if (strcmp(type, "remapIdentity") == 0)
        return not_supported(choice, type, err);
    if (strcmp(type, "exactRepository") == 0) {
        given = json_text(identity, "dockerRepository");
    } else if (strcmp(type, "matchRepository") == 0 ||
               (strcmp(type, "matchRepoDigestOrExact") == 0 && by_digest)) {
        given = facts->image;
    } else {
        demand->identity = IDENTITY_EXACT;
        if (strcmp(type, "exactReference") != 0) {
            given = reference->name;
            /* A signature names tags, not digests. */
            if (by_digest)
                return not_supported(choice, type, err);
        }
    }
    if (!given)
        return err_set(err, ERR_CONFIG_INVALID, "an identity in '%s' has no name",
                       POLICY_CONTAINERS_FILE);
    demand->name = strdup(given);
    return demand->name || no_memory(err);
}

static bool add_demand(json_t *requirement, const struct policy_facts *facts,
                       policy_read_key *read_key, const struct choice *choice,
                       struct policy_verdict *verdict, struct err *err)
{
    static const char *const unsupported[] = {"fulcio",
                                              "pki",
                                              "rekorPublicKeyPath",
                                              "rekorPublicKeyPaths",
                                              "rekorPublicKeyData",
                                              "rekorPublicKeyDatas"};
    struct signature_demand *demand = &verdict->own[verdict->own_count];

    for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
        if (json_object_get(requirement, unsupported[i]))
            return not_supported(choice, unsupported[i], err);
    }
    if (verdict->demand_count == SIGNATURE_DEMANDS_MAX)
        return not_supported(choice, "more signatures than 8", err);
    verdict->own_count++;
    if (!add_keys(requirement, read_key, demand, err) ||
        !add_identity(requirement, facts, choice, demand, err))
        return false;
    if (demand->key_count == 0)
        return err_set(err, ERR_CONFIG_INVALID, "'sigstoreSigned' in '%s' has no key",
                       POLICY_CONTAINERS_FILE);
    verdict->demands[verdict->demand_count++] = demand;
    return true;
}

static bool check_requirement(json_t *requirement, const struct policy_facts *facts,
                              policy_read_key *read_key, const struct choice *choice,
                              struct policy_verdict *verdict, struct err *err)
{
    const char *type = json_text(requirement, "type");

    if (strcmp(type, "insecureAcceptAnything") == 0)
        return true;
    if (strcmp(type, "sigstoreSigned") == 0)
        return add_demand(requirement, facts, read_key, choice, verdict, err);
    if (strcmp(type, "reject") != 0)
        return not_supported(choice, type, err);
    err_set(err, ERR_IMAGE_DENIED,
            "the policy does not allow the image '%s': %s of '%s' rejects it", facts->image,
            choice->rule, POLICY_CONTAINERS_FILE);
    return err_hint(err, "that file is for all container tools of this machine; the administrator "
                         "may give the image a scope of its own in it");
}

static bool check_choice(const struct choice *choice, const struct policy_facts *facts,
                         policy_read_key *read_key, struct policy_verdict *verdict, struct err *err)
{
    json_t *requirement;
    size_t i;

    json_array_foreach (choice->requirements, i, requirement) {
        if (!check_requirement(requirement, facts, read_key, choice, verdict, err))
            return false;
    }
    return true;
}

bool policy_check_containers(const struct policy *policy, const struct policy_facts *facts,
                             policy_read_key *read_key, struct policy_verdict *verdict,
                             struct err *err)
{
    struct choice choices[SPELLINGS];
    size_t count = policy->containers ? find_requirements(policy, facts, choices) : 0;

    for (size_t i = 0; i < count; i++) {
        bool ok = check_choice(&choices[i], facts, read_key, verdict, err);

        if (!ok || !verdict->file) {
            verdict->file = POLICY_CONTAINERS_FILE;
            snprintf(verdict->rule, sizeof(verdict->rule), "%s", choices[i].rule);
        }
        if (!ok)
            return false;
    }
    return true;
}

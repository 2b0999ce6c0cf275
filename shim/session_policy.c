/* What a policy has to know of a step, and what follows from its word. */
#include <string.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/path.h"
#include "shim/audit.h"
#include "shim/session.h"

/* What the facts borrow. */
struct room {
    char *image, *store, *home, *seccomp;
    char store_path[PATH_MAX];
    struct policy_source *sources;
    size_t source_count;
    struct strv paths; /* of sources that nobody else has */
    struct strv guarded;
};

static void room_release(struct room *room)
{
    free(room->image);
    free(room->store);
    free(room->home);
    free(room->seccomp);
    free(room->sources);
    strv_release(&room->paths);
    strv_release(&room->guarded);
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to check the policy");
}

static bool has_policy(const struct session *session)
{
    return session->policy.exists || session->policy.containers;
}

/* ---- what is read from the host ---- */

static void add_source(struct room *room, const char *path, bool writable)
{
    room->sources[room->source_count++] =
        (struct policy_source){.path = path, .writable = writable};
}

/* A file whose content gets into the cell; one that is not there is somebody else's error. */
static bool add_file(struct room *room, const char *path, struct err *err)
{
    char *resolved = realpath(path, NULL);

    if (!resolved)
        return true;
    if (!strv_take(&room->paths, resolved))
        return no_memory(err);
    add_source(room, resolved, false);
    return true;
}

/* The sources as they will be mounted, or, before there is a plan, as they were found. */
static bool add_mounts(const struct session *session, struct room *room, struct err *err)
{
    const char *script = session->options.script;

    for (size_t i = 0; i < session->plan.count; i++) {
        const struct mount *mount = &session->plan.mounts[i];

        if (mount_is_cloned(mount) && !mount->alias_of &&
            !(mount->role == MOUNT_SCRIPT && script && strcmp(script, "-") == 0))
            add_source(room, mount->source.resolved, mount->kind == MOUNT_BIND && !mount->readonly);
    }
    if (session->plan.count)
        return true;
    for (size_t i = 0; i <= session->options.mount_count; i++) {
        const struct mount_spec *spec = &session->specs[i];

        if (session->sources[i].resolved)
            add_source(room, session->sources[i].resolved,
                       spec->kind == MOUNT_BIND && !spec->readonly);
    }
    return !script || strcmp(script, "-") == 0 || add_file(room, script, err);
}

static bool find_sources(const struct session *session, struct room *room, struct err *err)
{
    const struct run_options *options = &session->options;
    const struct strv *env_files = &session->env_places, *secret_files = &session->secrets.places;
    size_t max = session->plan.count + options->mount_count + options->secret_files.count +
                 options->env_files.count + secret_files->count + env_files->count + 3;

    room->sources = calloc(max, sizeof(*room->sources));
    if (!room->sources)
        return no_memory(err);
    if (!add_mounts(session, room, err))
        return false;
    /* Those that were read are what gets into the cell, wherever their names lead by now. */
    for (size_t i = 0; i < env_files->count; i++)
        add_source(room, env_files->items[i], false);
    for (size_t i = 0; i < secret_files->count; i++)
        add_source(room, secret_files->items[i], false);
    for (size_t i = 0; !env_files->count && i < options->env_files.count; i++) {
        if (!add_file(room, options->env_files.items[i], err))
            return false;
    }
    for (size_t i = 0; !secret_files->count && i < options->secret_files.count; i++) {
        const char *file = strchr(options->secret_files.items[i], '=');

        if (file && !add_file(room, file + 1, err))
            return false;
    }
    /* The receiver of what it holds may be a cell. */
    return !options->events_token_file || add_file(room, options->events_token_file, err);
}

/* Where the store is, or is going to be. */
static const char *find_store(const struct session *session, struct room *room, struct err *err)
{
    autofree char *path = NULL;

    if (session->store.fd >= 0 && path_of_open(session->store.fd, room->store_path))
        return room->store_path;
    path = store_path(session->options.store, err);
    room->store = path ? path_resolve(path, NULL) : NULL;
    return room->store || !path ? room->store : (no_memory(err), NULL);
}

static bool chooses_cluster(const struct run_options *options)
{
    return options->kubernetes_context || options->kubernetes_namespace ||
           options->kubernetes_init || options->kubernetes_ship ||
           options->kubernetes_volumes.count;
}

static bool find_facts(const struct session *session, struct room *room, struct policy_facts *facts,
                       struct err *err)
{
    const struct run_options *options = &session->options;
    bool guards = policy_decides(&session->policy);
    bool cluster = options->engine == ENGINE_KUBERNETES;

    room->image = policy_image_name(&session->reference);
    /* Where nothing is guarded, only a store has to be known, and root's is. */
    room->home = guards || geteuid() != 0 ? caller_home() : NULL;
    /* The one that was read is what confines the step, wherever its name leads by now. */
    if (!session->seccomp_place && options->seccomp)
        room->seccomp = realpath(options->seccomp, NULL);
    if (!room->image)
        return no_memory(err);
    *facts = (struct policy_facts){
        .reference = &session->reference,
        .image = room->image,
        .lock_file = session->lock_entry ? session->lock_file : NULL,
        .locked_tag = session->locked_tag,
        .asks_digest = session->asks_digest,
        .clears_entrypoint = options->entrypoint == ENTRYPOINT_CLEAR,
        .store = find_store(session, room, err),
        .home = room->home,
        .caller = geteuid(),
        .engine = (enum policy_engine)options->engine,
        .engine_host = cluster ? session->cluster_file : options->engine_host,
        .chooses_cluster = chooses_cluster(options),
        .network = cluster ? NETWORK_HOST : options->network,
        .capabilities = session_capabilities(options),
        .seccomp = session->seccomp_place ? session->seccomp_place
                   : room->seccomp        ? room->seccomp
                                          : options->seccomp,
        .limits = options->limits,
        .timeout_ms = options->timeout_ms,
        .keep_ms = options->keep == KEEP_NEVER ? 0 : options->keep_for_ms,
        .knows_user = session->knows_user,
        .uid = session->user.uid,
        .gid = session->user.gid,
        .groups = session->user.groups,
        .group_count = session->user.group_count,
    };
    if (!facts->store)
        return false;
    if (guards &&
        (!find_sources(session, room, err) ||
         !policy_guarded_places(&session->policy, facts->store, room->home, &room->guarded, err)))
        return false;
    facts->sources = room->sources;
    facts->source_count = room->source_count;
    facts->guarded = &room->guarded;
    return true;
}

static bool check(struct session *session, struct err *err)
{
    CLEANUP(room_release) struct room room = {0};
    const struct errs *refusals = &session->verdict.refusals;
    struct policy_facts facts;

    policy_verdict_release(&session->verdict);
    if (find_facts(session, &room, &facts, err) &&
        policy_check(&session->policy, &facts, policy_read_key_file, &session->verdict, err))
        return true;
    for (size_t i = 0; i < refusals->count; i++)
        session_passes(session, false, &refusals->items[i]);
    if (session->denial.code == ERR_NONE)
        session->denial = *err;
    return false;
}

/*
 * A daemon that the caller's environment names is none that the policy knows; what is judged is the
 * socket that is asked, wherever a link on the way leads later. So is a kubeconfig.
 */
static bool choose_host(struct session *session, struct err *err)
{
    struct run_options *options = &session->options;
    const char *host = policy_default_host(&session->policy, (enum policy_engine)options->engine);

    if (!session->policy.exists)
        return true;
    if (options->engine == ENGINE_KUBERNETES) {
        session->cluster_file = host;
        return !host || policy_check_file(host, err);
    }
    if (!options->engine_host && host)
        options->engine_host = strdup(host);
    if (!options->engine_host)
        return !host || no_memory(err);
    return policy_resolve_socket(&options->engine_host) || no_memory(err);
}

bool session_read_policy(struct session *session, struct err *err)
{
    if (session->knows_policy)
        return true;
    session->knows_policy = policy_load(&session->policy, err);
    /* One that is not understood is there, too. */
    session->policy.exists |= !session->knows_policy;
    return session->knows_policy;
}

bool session_resolve_image(struct session *session, struct err *err)
{
    bool ok = !has_policy(session) || reference_resolve(&session->reference, err);

    session->result.reference = session->reference.name;
    session->knows_reference = ok;
    return ok;
}

/* What is believed is what is used, wherever a link on the way leads later. */
static char *believed_store(const struct policy *policy, const char *option,
                            struct policy_verdict *verdict, struct err *err)
{
    autofree char *path = store_path(option, err), *resolved = NULL, *home = NULL;

    if (!path || !policy->exists)
        return TAKE_PTR(path);
    resolved = path_resolve(path, NULL);
    if (!resolved)
        return no_memory(err), NULL;
    home = caller_home();
    return policy_check_store(
               policy, &(struct policy_facts){.store = resolved, .home = home, .caller = geteuid()},
               verdict, err)
               ? TAKE_PTR(resolved)
               : NULL;
}

static bool settle_token(struct session *session, struct err *err)
{
    char **file = &session->options.events_token_file;
    char *resolved = *file ? path_resolve(*file, NULL) : NULL;
    const struct policy_source source = {.path = resolved};
    const struct policy_facts facts = {.sources = &source, .source_count = 1};

    if (!resolved)
        return !*file || no_memory(err);
    free(*file);
    *file = resolved;
    return policy_check_mounts(&session->policy, &facts, &session->verdict, err);
}

bool session_settle(struct session *session, struct err *err)
{
    char *store = NULL;

    if (!session->policy.exists)
        return true;
    store = believed_store(&session->policy, session->options.store, &session->verdict, err);
    if (!store)
        return false;
    free(session->options.store);
    session->options.store = store;
    return settle_token(session, err);
}

char *session_believed_store(const char *store_option, struct err *err)
{
    autopolicy policy = {0};
    autoverdict verdict = {0};

    return policy_load(&policy, err) ? believed_store(&policy, store_option, &verdict, err) : NULL;
}

bool session_find_outlets(const struct session *session, struct outlets *outlets, struct err *err)
{
    return (options_add_writable(&session->options, &outlets->shared) || no_memory(err)) &&
           session_guard_outlets(&session->policy, session->options.store, outlets, err);
}

bool session_open_result(struct session *session, struct err *err)
{
    const char *path = session->options.result;
    autooutlets outlets = {0};

    return !path || (session_find_outlets(session, &outlets, err) &&
                     result_open(path, &outlets, &session->result_place, err));
}

bool session_guard_outlets(const struct policy *policy, const char *store_option,
                           struct outlets *outlets, struct err *err)
{
    autofree char *store = NULL, *home = NULL;

    if (!policy_decides(policy))
        return true;
    outlets->policy = policy->exists ? POLICY_FILE : POLICY_CONTAINERS_FILE;
    store = store_path(store_option, err);
    home = caller_home();
    return store && policy_guarded_places(policy, store, home, &outlets->guarded, err);
}

bool session_allow(struct session *session, struct err *err)
{
    return !has_policy(session) || (choose_host(session, err) && check(session, err));
}

bool session_may_look(const struct session *session)
{
    return session->verdict.refusals.count && !session->verdict.denies_image;
}

/* ---- signatures ---- */

/* Those that meet the demands, out of a list; false when one is not met. */
static bool take_signatures(struct session *session, json_t *list)
{
    const struct policy_verdict *verdict = &session->verdict;
    json_t *taken = json_array();

    for (size_t i = 0; i < verdict->demand_count; i++) {
        json_t *found = signature_find(list, verdict->demands[i], session->name.digest,
                                       session->name.manifest_digest);

        if (!found || json_array_append_new(taken, json_pack("{s:s, s:s, s:s}", "digest",
                                                             json_text(found, "digest"), "key",
                                                             json_text(found, "key"), "format",
                                                             json_text(found, "format"))) < 0) {
            json_decref(taken);
            return false;
        }
    }
    json_decref(session->signatures);
    session->signatures = taken;
    return true;
}

bool session_is_signed(struct session *session)
{
    autojson *record = NULL;
    const char *digest;

    if (session->verdict.demand_count == 0)
        return true;
    /* Only root's store is believed: an ordinary user's is verified anew, by the helper. */
    if (geteuid() != 0)
        return false;
    record = signature_record_read(&session->store, session->name.manifest_digest);
    digest = json_text(record, "digest");
    /* What it says of an index counts for that index alone. */
    return digest && strcmp(digest, session->name.digest) == 0 &&
           take_signatures(session, json_object_get(record, "signatures"));
}

bool session_take_verified(struct session *session, struct err *err)
{
    const char *digest = json_text(session->helper_report, "digest");

    if (session->verdict.demand_count == 0)
        return true;
    /* Another image may have taken the name since the helper looked at it. */
    if (digest && session->name.digest && strcmp(digest, session->name.digest) == 0 &&
        take_signatures(session, json_object_get(session->helper_report, "signatures")))
        return true;
    return err_set(err, ERR_IMAGE_SIGNATURE,
                   "image '%s' is another one than that whose signatures were verified",
                   session->reference.name);
}

/* ---- the audit log ---- */

static json_t *short_text(const struct session *session, const char *text)
{
    autofree char *masked = session_masked(session, text);
    size_t len = masked ? strlen(masked) : 0;

    return masked ? json_bytes(masked, len < AUDIT_TEXT_MAX ? len : AUDIT_TEXT_MAX) : json_null();
}

static json_t *sources_json(const struct session *session, const struct room *room)
{
    json_t *list = json_array();

    for (size_t i = 0; i < room->source_count; i++)
        json_array_append_new(list, json_pack("{s:o, s:s}", "path",
                                              short_text(session, room->sources[i].path), "access",
                                              room->sources[i].writable ? "write" : "read"));
    return list;
}

static json_t *audit_json(const struct session *session, const struct err *refused)
{
    static const char *const networks[] = {
        [NETWORK_HOST] = "host", [NETWORK_NONE] = "none", [NETWORK_PRIVATE] = "private"};
    const struct run_options *options = &session->options;
    const char *what = options->opens_shell     ? "shell"
                       : options->script        ? options->script
                       : options->command.count ? options->command.items[0]
                                                : "";
    CLEANUP(room_release) struct room room = {0};
    struct err ignored;

    if (session->specs && !find_sources(session, &room, &ignored))
        return NULL;
    return audit_entry(
        session->id, refused ? "refused" : "allowed",
        json_pack(
            "{s:s, s:{s:o, s:s?, s:s?, s:s, s:o}, s:o, s:O, s:o, s:s, s:o, s:o, s:o, s:o}",
            "engine", session_engine(session)->name, "image", "reference",
            short_text(session, session->reference.name ? session->reference.name : options->image),
            "digest", session->name.digest, "manifest_digest", session->name.manifest_digest,
            "platform", session->platform_text, "lock", short_text(session, session->lock_entry),
            "policy", policy_verdict_json(&session->verdict), "signatures", session->signatures,
            "user",
            session->knows_user ? json_pack("{s:I, s:I}", "uid", (json_int_t)session->user.uid,
                                            "gid", (json_int_t)session->user.gid)
                                : json_null(),
            "network", networks[options->network], "workdir",
            short_text(session, session->workdir ? session->workdir : ""), "sources",
            sources_json(session, &room), "command", short_text(session, what), "error",
            refused ? json_pack("{s:s, s:o}", "code", err_code_text(refused->code), "message",
                                short_text(session, refused->message))
                    : json_null()));
}

bool session_audit(struct session *session, const struct err *refused, struct err *err)
{
    autojson *entry = NULL;

    if (!session->policy.audit || session->audited)
        return true;
    session->audited = true;
    if (!session->signatures)
        session->signatures = json_array();
    /* Whatever else is wrong with a step does not hide that it was forbidden. */
    if (refused && session->denial.code != ERR_NONE)
        refused = &session->denial;
    entry = audit_json(session, refused);
    return audit_append(session->policy.audit, entry, err);
}

bool session_judge(struct session *session, struct err *err)
{
    /* Without an image there is nothing to judge, and nothing to start. */
    return !has_policy(session) || !session->knows_reference || check(session, err);
}

bool session_admit(struct session *session, struct err *err)
{
    return !has_policy(session) || (check(session, err) && session_audit(session, NULL, err));
}

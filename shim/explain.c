#include "shim/explain_parts.h"

#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/quote.h"
#include "shim/docker_line.h"

#define LINE_MAX_BYTES (4 << 20)

static json_t *list_json(const struct strv *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, explain_string(list->items[i]));
    return array;
}

char *explain_pinned(const struct session *session)
{
    const struct reference *reference = &session->reference;

    if (reference->transport != TRANSPORT_REGISTRY || reference->digest || !session->name.digest)
        return NULL;
    return text_printf("%s@%s", reference->name, session->name.digest);
}

static json_t *image_json(const struct session *session)
{
    const struct image *image = &session->image;
    json_t *json =
        json_pack("{s:o, s:o, s:o, s:o, s:b}", "reference", explain_string(session->reference.name),
                  "digest", explain_string(session->name.digest), "manifest_digest",
                  explain_string(session->name.manifest_digest), "platform",
                  explain_string(session->has_image ? session->platform_text : NULL), "known",
                  session->has_image);

    if (session->image_id || image->config_digest)
        json_object_set_new(
            json, "id",
            explain_string(session->image_id ? session->image_id : image->config_digest));
    return json;
}

static json_t *entrypoint_json(const struct session *session)
{
    const struct image *image = &session->image;
    bool clear = session->options.entrypoint == ENTRYPOINT_CLEAR;
    const char *verdict = !session->has_image                ? "unknown"
                          : !session_has_entrypoint(session) ? "none"
                          : clear                            ? "cleared"
                                                             : "refused";

    return json_pack("{s:s, s:s, s:o, s:o}", "verdict", verdict, "policy",
                     clear ? "clear" : "refuse", "entrypoint", list_json(&image->entrypoint),
                     "set_by", explain_string(image->entrypoint_history));
}

/* A value, and where it comes from. */
static void note(json_t *list, const char *name, const char *value, const char *from)
{
    if (value)
        json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "name", name, "value",
                                              explain_string(value), "from", from));
}

static void note_user(const struct session *session, json_t *list)
{
    const char *from = options_origin(&session->options, "user");

    if (session->options.user)
        note(list, "user", session->options.user, from);
    else if (session->has_image && session->image.user[0])
        note(list, "user", session->image.user, "image config");
    else if (session->has_image)
        note(list, "user", "root", "default");
}

/* What the cell begins with: it may have to take another one (see home.h). */
static void note_home(const struct session *session, json_t *list)
{
    const char *home = session->spec.home;
    bool of_image = false;

    for (size_t i = 0; home && i < session->image.env.count; i++)
        of_image = of_image || session->image.env.items[i] + strlen("HOME=") == home;
    note(list, "home", home,
         of_image                             ? "image config"
         : home && home == session->user.home ? "passwd of the image"
                                              : "default");
}

static void note_interpreter(const struct session *session, json_t *list)
{
    const struct strv *argv = &session->interpreter.argv;
    autobuf text = BUF_INIT(LINE_MAX_BYTES);

    for (size_t i = 0; i < argv->count; i++)
        buf_printf(&text, "%s%s", i ? " " : "", argv->items[i]);
    note(list, "shell", text.data,
         session->options.shell ? options_origin(&session->options, "shell") : "script");
}

/* The words of the step file, with their values now. */
static json_t *configuration_json(const struct session *session)
{
    static const char *const networks[] = {
        [NETWORK_HOST] = "host", [NETWORK_NONE] = "none", [NETWORK_PRIVATE] = "private"};
    /* As they were given. */
    static const struct {
        const char *key, *option;
    } others[] = {{"hostname", "hostname"},     {"memory", "memory"},          {"cpus", "cpus"},
                  {"pids_limit", "pids-limit"}, {"timeout", "timeout"},        {"grace", "grace"},
                  {"seccomp", "seccomp"},       {"engine_host", "engine-host"}};
    const struct run_options *options = &session->options;
    const struct cluster_spec *cluster = session->spec.cluster;
    bool of_pod = options->network == NETWORK_HOST && cluster && !cluster->host_network;
    json_t *list = json_array();

    note(list, "image", session->reference.name, options_origin(options, "image"));
    if (session->has_image)
        note(list, "platform", session->platform_text,
             options->platform ? options_origin(options, "platform") : "image config");
    note_user(session, list);
    note(list, "workdir", session->workdir, options_origin(options, "workdir"));
    note_home(session, list);
    note_interpreter(session, list);
    note(list, "engine", session_engine(session)->name, options_origin(options, "engine"));
    note(list, "network", of_pod ? "pod" : networks[options->network],
         options_origin(options, "network"));
    note(list, "pull", session_pull_word(options->pull), options_origin(options, "pull"));
    note(list, "entrypoint", options->entrypoint == ENTRYPOINT_CLEAR ? "clear" : "refuse",
         options_origin(options, "entrypoint"));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        note(list, others[i].key, json_text(options->asked, others[i].key),
             options_origin(options, others[i].option));
    return list;
}

static const char *access_text(const struct mount *mount)
{
    return mount->kind == MOUNT_COW ? "copy-on-write"
           : mount->readonly        ? "read-only"
                                    : "read-write";
}

static json_t *ids_json(uid_t uid, gid_t gid)
{
    return json_pack("[I, I]", (json_int_t)uid, (json_int_t)gid);
}

/*
 * Whose the files are: on the host, and in the cell. What the step makes belongs to the same on the
 * host.
 */
static json_t *owner_json(const struct session *session, const struct mount *mount)
{
    const struct mount_source *source = &mount->source;
    bool root = geteuid() == 0;

    if (!mount_is_cloned(mount) || !session->knows_user)
        return NULL;
    if (session->options.engine != ENGINE_NATIVE)
        return json_pack("{s:o, s:o}", "host", ids_json(source->uid, source->gid), "cell",
                         ids_json(source->uid, source->gid));
    return json_pack("{s:o, s:o}", "host",
                     ids_json(root ? source->uid : geteuid(), root ? source->gid : getegid()),
                     "cell", ids_json(session->user.uid, session->user.gid));
}

/* In a root that is read-only the home is a mount of its own: see home.h. */
static bool mounts_home(const struct session *session)
{
    const char *home = session->spec.home;

    for (size_t i = 0; home && i < session->plan.count; i++) {
        if (path_is_below(home, session->plan.mounts[i].target))
            return false;
    }
    return home && session->spec.read_only && session->options.engine == ENGINE_NATIVE;
}

static json_t *mounts_json(const struct session *session)
{
    static const char *const kinds[] = {[MOUNT_BIND] = "bind",
                                        [MOUNT_COW] = "bind",
                                        [MOUNT_TMPFS] = "tmpfs",
                                        [MOUNT_PIN] = "bind",
                                        [MOUNT_OWN] = "own"};
    static const char *const roles[] = {
        [MOUNT_WORKDIR] = "workdir", [MOUNT_PACKAGE] = "package", [MOUNT_VOLUME] = "volume",
        [MOUNT_SCRIPT] = "script",   [MOUNT_DEVICE] = "device",   [MOUNT_SECRETS] = "secrets",
        [MOUNT_OUTPUT] = "output",   [MOUNT_COVER] = "cover"};
    json_t *list = json_array();

    if (mounts_home(session))
        json_array_append_new(list, json_pack("{s:o, s:s, s:s, s:s, s:n}", "target",
                                              explain_string(session->spec.home), "role", "home",
                                              "type", "own", "access", "read-write", "source"));
    for (size_t i = 0; i < session->plan.count; i++) {
        const struct mount *mount = &session->plan.mounts[i];

        json_array_append_new(
            list, json_pack("{s:o, s:s, s:s, s:s, s:o, s:o*, s:o*}", "target",
                            explain_string(mount->target), "role", roles[mount->role], "type",
                            mount->alias_of ? "alias" : kinds[mount->kind], "access",
                            access_text(mount), "source", explain_string(mount->source.resolved),
                            "alias_of", mount->alias_of ? explain_string(mount->alias_of) : NULL,
                            "owner", owner_json(session, mount)));
    }
    return list;
}

static json_t *user_json(const struct session *session)
{
    const struct cell_user *user = &session->user;
    json_t *groups = json_array();

    if (!session->knows_user) {
        json_decref(groups);
        return json_null();
    }
    for (size_t i = 0; i < user->group_count; i++)
        json_array_append_new(groups, json_integer(user->groups[i]));
    return json_pack("{s:I, s:I, s:o, s:o, s:b}", "uid", (json_int_t)user->uid, "gid",
                     (json_int_t)user->gid, "groups", groups, "name", explain_string(user->name),
                     "listed", user->listed);
}

static json_t *environment_json(const struct session *session, const char *origins)
{
    static const char *const names[] = {
        [ENV_DEFAULT] = "default",  [ENV_IMAGE] = "image config", [ENV_PROXY] = "caller",
        [ENV_PACKAGE] = "package",  [ENV_FILE] = "env-file",      [ENV_OPTION] = "env",
        [ENV_SECRET] = "secret-env"};
    const struct strv *env = &session->spec.env;
    json_t *list = json_array();

    for (size_t i = 0; i < env->count; i++) {
        const char *entry = env->items[i], *equals = strchr(entry, '=');
        bool hidden = origins[i] == ENV_SECRET;

        json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:b}", "name",
                                              json_bytes(entry, (size_t)(equals - entry)), "value",
                                              hidden ? json_null() : explain_string(equals + 1),
                                              "from", names[(size_t)session->env_origins.data[i]],
                                              "withheld", hidden));
    }
    if (session->spec.home)
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:b}", "name", "HOME", "value",
                                              explain_string(session->spec.home), "from", "user",
                                              "withheld", 0));
    return list;
}

static json_t *ulimits_json(const struct limits *limits)
{
    json_t *list = json_array();

    for (size_t i = 0; i < limits->ulimit_count; i++) {
        const struct ulimit *one = &limits->ulimits[i];

        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I}", "name", one->name, "soft",
                                        (json_int_t)one->soft, "hard", (json_int_t)one->hard));
    }
    return list;
}

static json_t *number_or_null(uint64_t value)
{
    return value ? json_integer((json_int_t)value) : json_null();
}

static json_t *limits_json(const struct session *session)
{
    const struct run_options *options = &session->options;
    const struct limits *limits = &options->limits;

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "memory", number_or_null(limits->memory), "cpus",
        limits->cpu ? json_real((double)limits->cpu / LIMITS_CPU_PERIOD) : json_null(), "pids",
        number_or_null(limits->pids), "ulimits", ulimits_json(limits), "timeout_ms",
        number_or_null(options->timeout_ms), "grace_ms", number_or_null(options->grace_ms));
}

/* Masked word by word, so that no quoting hides a secret from the mask. */
static char *line_text(const struct session *session, const struct strv *words, bool *masked)
{
    autobuf line = BUF_INIT(LINE_MAX_BYTES);

    for (size_t i = 0; i < words->count; i++) {
        autofree char *word = session_masked(session, words->items[i]);

        if (!word || (i && !buf_append_text(&line, " ")) || !quote_shell(&line, word))
            return NULL;
        *masked = *masked || strcmp(word, words->items[i]) != 0;
    }
    return buf_take(&line);
}

static json_t *docker_json(const struct session *session, const char *origins)
{
    bool local = session->reference.transport != TRANSPORT_REGISTRY;
    autofree char *pinned = explain_pinned(session);
    const struct docker_step step = {
        .program = session->options.engine == ENGINE_PODMAN ? "podman" : "docker",
        .image = local    ? session->image.config_digest
                 : pinned ? pinned
                          : session->reference.name,
        .options = &session->options,
        .spec = &session->spec,
        .env_origins = origins,
        .home = session->spec.home,
        .cwd = session_directory(session),
        .clears_entrypoint = session_has_entrypoint(session),
    };
    autostrv words = {0}, differs = {0};
    autofree char *line = NULL;
    bool masked = false;

    /* Without a plan there is nothing to say. */
    if (!step.image || !session->knows_user || !session->knows_environment || !session->plan.mounts)
        return json_null();
    if (!docker_line_words(&step, &words, &differs) ||
        (local && !strv_add(&differs, "the image has to be loaded first: 'stepcell image export "
                                      "IMAGE oci-archive:FILE', then 'docker load -i FILE'")))
        return NULL;
    line = line_text(session, &words, &masked);
    if (masked && !strv_add(&differs, "where there was a secret is " MASK_TEXT ": put it back"))
        return NULL;
    return line ? json_pack("{s:o, s:o}", "line", explain_string(line), "differs",
                            list_json(&differs))
                : NULL;
}

/* Which of the variables must not be shown: secrets, what holds one, and passwords of proxies; all
 * of them where not all secrets are known. */
static bool find_hidden(const struct session *session, struct buf *origins)
{
    const struct strv *env = &session->spec.env;
    const char secret = ENV_SECRET;

    for (size_t i = 0; i < env->count; i++) {
        const char *origin = &session->env_origins.data[i];
        autofree char *masked = session_masked(session, env->items[i]);
        bool hidden = session->secrets.incomplete || !masked ||
                      strcmp(masked, env->items[i]) != 0 ||
                      (*origin == ENV_PROXY && strchr(env->items[i], '@'));

        if (!buf_append(origins, hidden ? &secret : origin, 1))
            return false;
    }
    return buf_append(origins, "", 0);
}

/* Replaces every text in it by the same without secrets. */
static bool mask_json(const struct session *session, json_t *json)
{
    const char *key;
    size_t i;
    json_t *value;
    void *next;

    json_array_foreach (json, i, value) {
        if (json_is_string(value)) {
            autofree char *masked = session_masked(session, json_string_value(value));

            if (!masked || json_array_set_new(json, i, explain_string(masked)) < 0)
                return false;
        } else if (!mask_json(session, value)) {
            return false;
        }
    }
    json_object_foreach_safe(json, next, key, value)
    {
        if (json_is_string(value)) {
            autofree char *masked = session_masked(session, json_string_value(value));

            if (!masked || json_object_set_new(json, key, explain_string(masked)) < 0)
                return false;
        } else if (!mask_json(session, value)) {
            return false;
        }
    }
    return true;
}

/* Whether it held a secret in a place that it cannot be put back into by whoever runs it. */
static bool mask_step(const struct session *session, json_t *step, bool *masked)
{
    autojson *plain = json_deep_copy(step);

    if (!plain || !mask_json(session, step))
        return false;
    *masked = !json_equal(plain, step);
    return true;
}

static json_t *facts_json(struct session *session, const char *origins, bool looked, bool masked)
{
    json_t *docker = docker_json(session, origins);

    if (!docker)
        return NULL;
    return json_pack(
        "{s:s, s:b, s:b, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "schema", EXPLAIN_SCHEMA, "masked", masked, "can_start", session->violations.count == 0,
        "violations", result_violations_json(&session->violations), "looked_inside", looked,
        "image", image_json(session), "entrypoint", entrypoint_json(session), "policy",
        policy_verdict_json(&session->verdict), "configuration", configuration_json(session),
        "command", list_json(&session->spec.argv), "command_found",
        session->command == COMMAND_UNKNOWN ? json_null()
                                            : json_boolean(session->command == COMMAND_FOUND),
        "mounts", mounts_json(session), "user", user_json(session), "environment",
        environment_json(session, origins), "limits", limits_json(session), "docker", docker);
}

json_t *explain_json(struct session *session, bool looked)
{
    autobuf origins = BUF_INIT(STRV_MAX);
    autojson *step = NULL;
    json_t *facts;
    bool masked;

    if (!find_hidden(session, &origins))
        return NULL;
    step = explain_step(session, origins.data);
    if (!step || !mask_step(session, step, &masked))
        return NULL;
    facts = facts_json(session, origins.data, looked, masked);
    if (!facts || json_object_set_new(step, "explain", facts) < 0 || !mask_json(session, facts))
        return NULL;
    return TAKE_PTR(step);
}

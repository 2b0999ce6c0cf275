#include "shim/options_table.h"

#include "base/num.h"
#include "base/utf8.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/caps_names.h"
#include "runtime/kubernetes/pod_spec.h"
#include "shim/limits.h"
#include "shim/state/step_dir.h"

#define MOUNT_SPECS_MAX   256 /* mount options of one step */
#define LABELS_MAX        100
#define LABEL_MAX         4096 /* bytes of KEY=VALUE */
#define LABEL_KEY_MAX     255
#define LABEL_OWN         "stepcell."
#define HOSTNAME_MAX      64  /* the kernel's */
#define SECRET_NAME_MAX   255 /* the kernel's, of a file */
#define SECRET_NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define MASK_FILES_MAX    100
#define HOSTNAME_BYTES    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

bool options_no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the options");
}

static bool bad_value(const char *name, const char *value, const char *hint, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "'%s' is no value for --%s", value, name);
    return err_hint(err, "%s", hint);
}

bool options_set_text(char **out, const char *name, const char *value, struct err *err)
{
    char *copy;

    if (!*value)
        return bad_value(name, value, "the value must not be empty", err);
    copy = strdup(value);
    if (!copy)
        return options_no_memory(err);
    free(*out);
    *out = copy;
    return true;
}

#define TEXT_OPTION(field)                                                                         \
    static bool set_##field(struct run_options *options, const char *name, const char *value,      \
                            struct err *err)                                                       \
    {                                                                                              \
        return options_set_text(&options->field, name, value, err);                                \
    }
TEXT_OPTION(workdir)
TEXT_OPTION(script)
TEXT_OPTION(shell)
TEXT_OPTION(user)
TEXT_OPTION(platform)
TEXT_OPTION(result)
TEXT_OPTION(engine_host)
TEXT_OPTION(kubernetes_context)
TEXT_OPTION(kubernetes_namespace)
TEXT_OPTION(kubernetes_init)
TEXT_OPTION(kubernetes_ship)
TEXT_OPTION(events)
TEXT_OPTION(seccomp)
TEXT_OPTION(store)
TEXT_OPTION(step)
TEXT_OPTION(lock)

static bool add_mount(struct run_options *options, const struct mount_spec *spec, struct err *err)
{
    struct mount_spec *mounts;

    if (options->mount_count >= MOUNT_SPECS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d mounts", MOUNT_SPECS_MAX);
    mounts = realloc(options->mounts, (options->mount_count + 1) * sizeof(*mounts));
    if (!mounts)
        return options_no_memory(err);
    mounts[options->mount_count++] = *spec;
    options->mounts = mounts;
    return true;
}

static bool add_package(struct run_options *options, const char *value, enum mount_kind kind,
                        bool readonly, struct err *err)
{
    struct mount_spec spec;

    return mount_spec_package(value, kind, readonly, &spec, err) && add_mount(options, &spec, err);
}

static bool set_package(struct run_options *options, const char *name, const char *value,
                        struct err *err)
{
    (void)name;
    return add_package(options, value, MOUNT_BIND, true, err);
}

static bool set_package_cow(struct run_options *options, const char *name, const char *value,
                            struct err *err)
{
    (void)name;
    return add_package(options, value, MOUNT_COW, false, err);
}

static bool set_package_rw(struct run_options *options, const char *name, const char *value,
                           struct err *err)
{
    (void)name;
    return add_package(options, value, MOUNT_BIND, false, err);
}

static bool set_volume(struct run_options *options, const char *name, const char *value,
                       struct err *err)
{
    struct mount_spec spec;

    (void)name;
    return mount_spec_volume(value, &spec, err) && add_mount(options, &spec, err);
}

static bool set_mount(struct run_options *options, const char *name, const char *value,
                      struct err *err)
{
    struct mount_spec spec;

    (void)name;
    return mount_spec_mount(value, &spec, err) && add_mount(options, &spec, err);
}

static bool set_tmpfs(struct run_options *options, const char *name, const char *value,
                      struct err *err)
{
    struct mount_spec spec;

    (void)name;
    return mount_spec_tmpfs(value, &spec, err) && add_mount(options, &spec, err);
}

static bool set_device(struct run_options *options, const char *name, const char *value,
                       struct err *err)
{
    struct mount_spec spec;

    (void)name;
    return mount_spec_device(value, &spec, err) && add_mount(options, &spec, err);
}

/* It stays among what was asked for, where the result and the engine find it. As docker: KEY alone
 * has an empty value. */
static bool set_label(struct run_options *options, const char *name, const char *value,
                      struct err *err)
{
    size_t len = strcspn(value, "=");

    if (len == 0 || len > LABEL_KEY_MAX || strlen(value) > LABEL_MAX ||
        !utf8_valid(value, strlen(value)))
        return bad_value(name, value, "give KEY=VALUE, as UTF-8", err);
    if (strncmp(value, LABEL_OWN, strlen(LABEL_OWN)) == 0)
        return bad_value(name, value, "keys that begin with '" LABEL_OWN "' are stepcell's own",
                         err);
    if (json_array_size(json_object_get(options->asked, "label")) >= LABELS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d labels", LABELS_MAX);
    return true;
}

static bool set_hostname(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    size_t len = strlen(value);

    if (len > HOSTNAME_MAX || *value == '-' || value[strspn(value, HOSTNAME_BYTES)])
        return bad_value(name, value, "give letters, digits, '-' and '.', 64 at the most", err);
    return options_set_text(&options->hostname, name, value, err);
}

static bool set_cap_add(struct run_options *options, const char *name, const char *value,
                        struct err *err)
{
    uint64_t caps;

    if (!caps_parse(value, &caps) || (caps & ~CAPS_DEFAULT))
        return bad_value(name, value,
                         "a cell has docker's default capabilities at most: those that --cap-drop "
                         "takes away can be given back by name",
                         err);
    options->caps_added |= caps;
    return true;
}

static bool set_cap_drop(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    uint64_t caps;

    if (!caps_parse(value, &caps))
        return bad_value(name, value, "give ALL, or a capability such as CHOWN or CAP_CHOWN", err);
    options->caps_dropped |= caps;
    return true;
}

static bool set_env(struct run_options *options, const char *name, const char *value,
                    struct err *err)
{
    if (!*value || *value == '=')
        return bad_value(name, value, "give NAME=VALUE, or NAME for the caller's own value", err);
    return strv_add(&options->env, value) || options_no_memory(err);
}

static bool set_env_file(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    if (!*value)
        return bad_value(name, value, "give a file with a NAME=VALUE on each line", err);
    return strv_add(&options->env_files, value) || options_no_memory(err);
}

static bool is_other_volume(const struct pod_volume *one, const struct pod_volume *other)
{
    return strcmp(one->path, other->path) == 0 &&
           strcmp(one->claim ? one->claim : "", other->claim ? other->claim : "") != 0;
}

/* What the configuration says of a path yields to an option. Of two options none is right. */
static bool set_kubernetes_volume(struct run_options *options, const char *name, const char *value,
                                  struct err *err)
{
    const struct strv *given = &options->kubernetes_volumes;
    autopodvolume volume = {0};

    if (!pod_volume_parse(value, &volume, err))
        return false;
    for (size_t i = 0; i < given->count; i++) {
        autopodvolume other = {0};

        if (!pod_volume_parse(given->items[i], &other, err))
            return false;
        if (is_other_volume(&volume, &other)) {
            err_set(err, ERR_OPTION_INVALID, "'%s' cannot be two volumes, '%s' and '%s'",
                    volume.path, given->items[i], value);
            return err_hint(err, "give --%s once for each PATH", name);
        }
    }
    return strv_add(&options->kubernetes_volumes, value) || options_no_memory(err);
}

/* What may be a value is not repeated in any message. */
static bool set_secret_env(struct run_options *options, const char *name, const char *value,
                           struct err *err)
{
    size_t len = strcspn(value, "=");

    if (len == 0)
        return bad_value(name, "", "give the name of a variable of the caller's", err);
    if (value[len]) {
        err_set(err, ERR_OPTION_INVALID, "--secret-env takes the name '%.*s' without a value",
                (int)len, value);
        return err_hint(err,
                        "values do not belong on a command line, which others can read: export it "
                        "to stepcell");
    }
    return strv_add(&options->secret_env, value) || options_no_memory(err);
}

static bool set_secret_file(struct run_options *options, const char *name, const char *value,
                            struct err *err)
{
    size_t len = strcspn(value, "=");

    if (!value[len] || !value[len + 1])
        return bad_value(name, value, "give NAME=FILE", err);
    if (len == 0 || len > SECRET_NAME_MAX || value[0] == '.' ||
        strspn(value, SECRET_NAME_BYTES) != len) {
        err_set(err, ERR_OPTION_INVALID, "'%.*s' is no name for a secret file", (int)len, value);
        return err_hint(err, "give letters, digits, '.', '_' and '-', and no '.' at the beginning");
    }
    for (size_t i = 0; i < options->secret_files.count; i++) {
        if (strncmp(options->secret_files.items[i], value, len + 1) == 0)
            return err_set(err, ERR_OPTION_INVALID, "two secret files have the name '%.*s'",
                           (int)len, value);
    }
    if (options->secret_files.count >= SECRET_FILES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d secret files", SECRET_FILES_MAX);
    return strv_add(&options->secret_files, value) || options_no_memory(err);
}

static bool set_mask_file(struct run_options *options, const char *name, const char *value,
                          struct err *err)
{
    if (!*value)
        return bad_value(name, value, "give a file with a value on each line", err);
    if (options->mask_files.count >= MASK_FILES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d mask files", MASK_FILES_MAX);
    return strv_add(&options->mask_files, value) || options_no_memory(err);
}

/* The index of `value` in a NULL-ended list of words. */
static bool set_word(const char *const *words, const char *name, const char *value, int *out,
                     struct err *err)
{
    autobuf list = BUF_INIT(256);

    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            *out = i;
            return true;
        }
        buf_printf(&list, "%s%s", i ? ", " : "give one of ", words[i]);
    }
    return bad_value(name, value, list.data, err);
}

static bool set_pull(struct run_options *options, const char *name, const char *value,
                     struct err *err)
{
    static const char *const words[] = {"missing", "always", "never", NULL};
    int index;

    if (!set_word(words, name, value, &index, err))
        return false;
    options->pull = (enum pull_policy)index;
    return true;
}

static bool set_engine(struct run_options *options, const char *name, const char *value,
                       struct err *err)
{
    static const char *const words[] = {"native", "docker", "podman", "kubernetes", NULL};
    int index;

    if (!set_word(words, name, value, &index, err))
        return false;
    options->engine = (enum engine_name)index;
    return true;
}

static bool set_network(struct run_options *options, const char *name, const char *value,
                        struct err *err)
{
    static const char *const words[] = {"host", "none", "private", NULL};
    int index;

    if (!set_word(words, name, value, &index, err))
        return false;
    options->network = (enum network_mode)index;
    return true;
}

#define LIMIT_OPTION(what)                                                                         \
    static bool set_##what(struct run_options *options, const char *name, const char *value,       \
                           struct err *err)                                                        \
    {                                                                                              \
        const char *hint = limits_parse_##what(value, &options->limits);                           \
                                                                                                   \
        return !hint || bad_value(name, value, hint, err);                                         \
    }
LIMIT_OPTION(memory)
LIMIT_OPTION(cpus)
LIMIT_OPTION(pids)
LIMIT_OPTION(ulimit)

static bool set_entrypoint(struct run_options *options, const char *name, const char *value,
                           struct err *err)
{
    static const char *const words[] = {"refuse", "clear", NULL};
    int index;

    if (!set_word(words, name, value, &index, err))
        return false;
    options->entrypoint = (enum entrypoint_policy)index;
    return true;
}

static bool set_keep(struct run_options *options, const char *name, const char *value,
                     struct err *err)
{
    static const char *const words[] = {"never", "on-failure", "always", NULL};
    int index;

    if (!set_word(words, name, value, &index, err))
        return false;
    options->keep = (enum keep_policy)index;
    return true;
}

static bool set_progress(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    static const char *const words[] = {"auto", "plain", "none", NULL};
    int index;

    return set_word(words, name, value, &index, err) &&
           options_set_text(&options->progress, name, value, err);
}

static bool set_id(struct run_options *options, const char *name, const char *value,
                   struct err *err)
{
    if (!step_id_is_good(value))
        return bad_value(
            name, value,
            "give letters, digits and . _ - : @ + =, beginning with a letter or digit, "
            "128 at the most",
            err);
    return options_set_text(&options->id, name, value, err);
}

static bool set_since(struct run_options *options, const char *name, const char *value,
                      struct err *err)
{
    return num_parse(value, INT64_MAX, &options->since) ||
           bad_value(name, value, "give the number of an event", err);
}

static bool set_events_token_file(struct run_options *options, const char *name, const char *value,
                                  struct err *err)
{
    autofree char *path = *value ? realpath(value, NULL) : NULL;

    if (!path)
        return bad_value(name, value, "give a file that exists", err);
    return options_set_text(&options->events_token_file, name, path, err);
}

static bool set_duration(uint64_t *out, const char *name, const char *value, struct err *err)
{
    return num_parse_duration(value, out) ||
           bad_value(name, value, "give seconds, or a duration such as 90s, 5m or 1h30m", err);
}

static bool set_timeout(struct run_options *options, const char *name, const char *value,
                        struct err *err)
{
    return set_duration(&options->timeout_ms, name, value, err);
}

static bool set_grace(struct run_options *options, const char *name, const char *value,
                      struct err *err)
{
    return set_duration(&options->grace_ms, name, value, err);
}

static bool set_keep_for(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    return set_duration(&options->keep_for_ms, name, value, err);
}

#define FLAG_OPTION(function, assignment)                                                          \
    static bool function(struct run_options *options, const char *name, const char *value,         \
                         struct err *err)                                                          \
    {                                                                                              \
        (void)name, (void)value, (void)err;                                                        \
        options->assignment;                                                                       \
        return true;                                                                               \
    }
FLAG_OPTION(set_no_proxy_env, no_proxy_env = true)
FLAG_OPTION(set_locked, locked = true)
FLAG_OPTION(set_kubernetes_return, kubernetes_return = true)
FLAG_OPTION(set_interactive, interactive = true)
FLAG_OPTION(set_terminal, terminal = true)
FLAG_OPTION(set_read_only, read_only = true)
FLAG_OPTION(set_quiet, verbosity = PRINT_QUIET)
FLAG_OPTION(set_verbose, verbosity = PRINT_VERBOSE)
FLAG_OPTION(set_help, help = true)
FLAG_OPTION(set_json, json = true)

static const struct option table[] = {
    {"id", 0, "ID", false, set_id,
     "make the step durable: the same id never runs twice, and survives its caller"},
    {"since", 0, "SEQ", false, set_since,
     "with --id: replay from the event of this number, default the first byte"},
    {"workdir", 'w', "DIR", false, set_workdir,
     "host directory, default the current one: read-write at the same path"},
    {"package", 0, "[NAME=]DIR", true, set_package, "a referenced package: same path, read-only"},
    {"package-cow", 0, "[NAME=]DIR", true, set_package_cow,
     "the same, writable in the cell; the host's copy never changes"},
    {"package-rw", 0, "[NAME=]DIR", true, set_package_rw, "the same, writable"},
    {"volume", 'v', "SRC:DST[:ro]", true, set_volume, "a further mount"},
    {"mount", 0, "KEY=VALUE,...", true, set_mount,
     "a further mount: type=bind|tmpfs,source=,target=,readonly; CSV quoting"},
    {"tmpfs", 0, "PATH[:OPTION,...]", true, set_tmpfs,
     "memory at PATH; size=, mode=, ro, exec (noexec by default)"},
    {"read-only", 0, NULL, false, set_read_only,
     "the root of the cell cannot be written to, but for a home"},
    {"env", 'e', "NAME[=VALUE]", true, set_env,
     "an environment variable; NAME alone takes the caller's value"},
    {"env-file", 0, "FILE", true, set_env_file, "a file with a NAME[=VALUE] on each line"},
    {"secret-env", 0, "NAME", true, set_secret_env,
     "the caller's variable NAME, whose value is masked in all output"},
    {"secret-file", 0, "NAME=FILE", true, set_secret_file,
     "FILE as /run/secrets/NAME, which only the step's user can read; masked"},
    {"mask-file", 0, "FILE", true, set_mask_file, "a file with a value to be masked on each line"},
    {"no-proxy-env", 0, NULL, false, set_no_proxy_env, "do not pass the caller's proxy variables"},
    {"script", 0, "FILE|-", false, set_script,
     "run this script; the words behind IMAGE are its arguments"},
    {"shell", 0, "SH", false, set_shell,
     "its interpreter, default by its #! line, its ending, else sh"},
    {"user", 'u', "USER[:GROUP]", false, set_user, "the step's user, default the image's"},
    {"network", 0, "host|none|private", false, set_network,
     "host (default), none, or private: outgoing access alone"},
    {"device", 0, "SRC[:DST]", true, set_device,
     "a device of the host's below /dev; its own owner and mode decide who may use it"},
    {"label", 0, "KEY[=VALUE]", true, set_label,
     "kept in the result, and on the container of another engine"},
    {"hostname", 0, "NAME", false, set_hostname, "in the cell, default the host's"},
    {"cap-drop", 0, "CAPABILITY", true, set_cap_drop, "take one of docker's defaults away, or ALL"},
    {"cap-add", 0, "CAPABILITY", true, set_cap_add, "give one of docker's defaults back"},
    {"seccomp", 0, "FILE", false, set_seccomp,
     "a seccomp profile in Docker's and Podman's form instead of the default"},
    {"memory", 0, "BYTES", false, set_memory, "limit of memory and swap together, 512m say"},
    {"cpus", 0, "NUMBER", false, set_cpus, "limit of processor time, 1.5 say"},
    {"pids-limit", 0, "NUMBER", false, set_pids, "limit of processes and threads"},
    {"ulimit", 0, "NAME=SOFT[:HARD]", true, set_ulimit, "a resource limit, nofile=1024:4096 say"},
    {"timeout", 0, "DUR", false, set_timeout, "TERM after this time"},
    {"grace", 0, "DUR", false, set_grace, "KILL this long after TERM, default 10s"},
    {"pull", 0, "missing|always|never", false, set_pull, "missing (default), always or never"},
    {"platform", 0, "OS/ARCH[/VARIANT]", false, set_platform, "default this machine's"},
    {"lock", 0, "FILE", false, set_lock, "a lock file: tags become the digests that it has"},
    {"locked", 0, NULL, false, set_locked,
     "refuse what the lock file lacks; default file stepcell.lock"},
    {"entrypoint", 0, "refuse|clear", false, set_entrypoint, "refuse (default) or clear"},
    {"engine", 0, "native|docker|podman|kubernetes", false, set_engine,
     "native (default), docker, podman or kubernetes"},
    {"engine-host", 0, "URL", false, set_engine_host,
     "where the engine's daemon listens: unix:///PATH or tcp://HOST:PORT"},
    {"kubernetes-context", 0, "NAME", false, set_kubernetes_context,
     "of the kubeconfig, default its current one"},
    {"kubernetes-namespace", 0, "NAME", false, set_kubernetes_namespace,
     "where Pods are made, default the context's"},
    {"kubernetes-volume", 0, "PATH=pvc:NAME|hostPath", true, set_kubernetes_volume,
     "a directory that this host and the nodes share: a claim, or each node's own path"},
    {"kubernetes-init", 0, "IMAGE", false, set_kubernetes_init,
     "an image by 'stepcell image init' that brings the first program of the Pod"},
    {"kubernetes-ship", 0, "REPOSITORY", false, set_kubernetes_ship,
     "where packages and a working directory that the nodes do not have are pushed to"},
    {"kubernetes-return", 0, NULL, false, set_kubernetes_return,
     "what the step changes in a working directory that is pushed so comes back"},
    {"store", 0, "DIR", false, set_store, "where images are kept"},
    {"step", 0, "FILE|-", false, set_step, "a JSON step; flags given beside it win"},
    {"events", 0, "TARGET", false, set_events,
     "one JSON line for each event to fd:N, file:PATH, unix:PATH or http(s)://HOST/..."},
    {"events-token-file", 0, "FILE", false, set_events_token_file,
     "a bearer token for a receiver by HTTP"},
    {"result", 0, "FILE", false, set_result, "write the result, a JSON record, to FILE"},
    {"progress", 0, "auto|plain|none", false, set_progress, "auto (default), plain or none"},
    {"interactive", 'i', NULL, false, set_interactive, "pass stdin to the command"},
    {"tty", 't', NULL, false, set_terminal, "the command's streams are a terminal"},
    {"keep", 0, "never|on-failure|always", false, set_keep,
     "keep the cell of a step that has ended, default never"},
    {"keep-for", 0, "DUR", false, set_keep_for, "how long, default 1h"},
    {"quiet", 'q', NULL, false, set_quiet, "no messages but errors"},
    {"verbose", 0, NULL, false, set_verbose, "more messages"},
    {"json", 0, NULL, false, set_json, "print JSON, which --step takes"},
    {"help", 'h', NULL, false, set_help, "this text"},
};

const struct option *option_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    }
    return NULL;
}

const struct option *option_find_letter(char letter)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].letter == letter)
            return &table[i];
    }
    return NULL;
}

_Static_assert(ARRAY_SIZE(table) <= 62, "each has its bit, see options_origin");

size_t option_index(const struct option *option)
{
    return (size_t)(option - table);
}

bool option_is_callers(const struct option *option)
{
    static const char *const names[] = {
        "id",   "since",    "events", "events-token-file", "result", "step", "store", "progress",
        "keep", "keep-for", "quiet",  "verbose",           "json",   "help"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (option_is(option, names[i]))
            return true;
    }
    return false;
}

const struct option *options_table(size_t *count)
{
    *count = ARRAY_SIZE(table);
    return table;
}

#include "shim/options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/num.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/caps_names.h"
#include "shim/limits.h"
#include "shim/relay/sink.h"
#include "shim/state/step_dir.h"

#define MOUNT_SPECS_MAX   256 /* mount options of one step */
#define HOSTNAME_MAX      64  /* the kernel's */
#define SECRET_NAME_MAX   255 /* the kernel's, of a file */
#define SECRET_NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define MASK_FILES_MAX    100
#define HOSTNAME_BYTES    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

/* One option; `set` gets the value, or NULL for a flag, and the option's spelling for messages. */
struct option {
    const char *name;
    char letter;
    const char *value; /* its name in the help text; NULL for a flag */
    bool repeatable;
    bool (*set)(struct run_options *options, const char *name, const char *value, struct err *err);
    const char *help;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the options");
}

static bool bad_value(const char *name, const char *value, const char *hint, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "'%s' is no value for --%s", value, name);
    return err_hint(err, "%s", hint);
}

static bool set_text(char **out, const char *name, const char *value, struct err *err)
{
    char *copy;

    if (!*value)
        return bad_value(name, value, "the value must not be empty", err);
    copy = strdup(value);
    if (!copy)
        return no_memory(err);
    free(*out);
    *out = copy;
    return true;
}

#define TEXT_OPTION(field)                                                                         \
    static bool set_##field(struct run_options *options, const char *name, const char *value,      \
                            struct err *err)                                                       \
    {                                                                                              \
        return set_text(&options->field, name, value, err);                                        \
    }
TEXT_OPTION(workdir)
TEXT_OPTION(script)
TEXT_OPTION(shell)
TEXT_OPTION(user)
TEXT_OPTION(platform)
TEXT_OPTION(result)
TEXT_OPTION(events)
TEXT_OPTION(seccomp)
TEXT_OPTION(store)
TEXT_OPTION(step)

static bool add_mount(struct run_options *options, const struct mount_spec *spec, struct err *err)
{
    struct mount_spec *mounts;

    if (options->mount_count >= MOUNT_SPECS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d mounts", MOUNT_SPECS_MAX);
    mounts = realloc(options->mounts, (options->mount_count + 1) * sizeof(*mounts));
    if (!mounts)
        return no_memory(err);
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

static bool set_hostname(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    size_t len = strlen(value);

    if (len > HOSTNAME_MAX || *value == '-' || value[strspn(value, HOSTNAME_BYTES)])
        return bad_value(name, value, "give letters, digits, '-' and '.', 64 at the most", err);
    return set_text(&options->hostname, name, value, err);
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
    return strv_add(&options->env, value) || no_memory(err);
}

static bool set_env_file(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    if (!*value)
        return bad_value(name, value, "give a file with a NAME=VALUE on each line", err);
    return strv_add(&options->env_files, value) || no_memory(err);
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
    return strv_add(&options->secret_env, value) || no_memory(err);
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
    return strv_add(&options->secret_files, value) || no_memory(err);
}

static bool set_mask_file(struct run_options *options, const char *name, const char *value,
                          struct err *err)
{
    if (!*value)
        return bad_value(name, value, "give a file with a value on each line", err);
    if (options->mask_files.count >= MASK_FILES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d mask files", MASK_FILES_MAX);
    return strv_add(&options->mask_files, value) || no_memory(err);
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

static bool set_progress(struct run_options *options, const char *name, const char *value,
                         struct err *err)
{
    static const char *const words[] = {"auto", "plain", "none", NULL};
    int index;

    return set_word(words, name, value, &index, err) &&
           set_text(&options->progress, name, value, err);
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
    return set_text(&options->id, name, value, err);
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
    return set_text(&options->events_token_file, name, path, err);
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

#define FLAG_OPTION(function, assignment)                                                          \
    static bool function(struct run_options *options, const char *name, const char *value,         \
                         struct err *err)                                                          \
    {                                                                                              \
        (void)name, (void)value, (void)err;                                                        \
        options->assignment;                                                                       \
        return true;                                                                               \
    }
FLAG_OPTION(set_no_proxy_env, no_proxy_env = true)
FLAG_OPTION(set_interactive, interactive = true)
FLAG_OPTION(set_read_only, read_only = true)
FLAG_OPTION(set_quiet, verbosity = PRINT_QUIET)
FLAG_OPTION(set_verbose, verbosity = PRINT_VERBOSE)
FLAG_OPTION(set_help, help = true)

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
    {"read-only", 0, NULL, false, set_read_only, "the root of the cell cannot be written to"},
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
    {"network", 0, "MODE", false, set_network,
     "host (default), none, or private: outgoing access alone"},
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
    {"pull", 0, "POLICY", false, set_pull, "missing (default), always or never"},
    {"platform", 0, "OS/ARCH[/VARIANT]", false, set_platform, "default this machine's"},
    {"entrypoint", 0, "POLICY", false, set_entrypoint, "refuse (default) or clear"},
    {"store", 0, "DIR", false, set_store, "where images are kept"},
    {"step", 0, "FILE|-", false, set_step, "a JSON step; flags given beside it win"},
    {"events", 0, "TARGET", false, set_events,
     "one JSON line for each event to fd:N, file:PATH, unix:PATH or http(s)://…"},
    {"events-token-file", 0, "FILE", false, set_events_token_file,
     "a bearer token for a receiver by HTTP"},
    {"result", 0, "FILE", false, set_result, "write the result, a JSON record, to FILE"},
    {"progress", 0, "MODE", false, set_progress, "auto (default), plain or none"},
    {"interactive", 'i', NULL, false, set_interactive, "pass stdin to the command"},
    {"quiet", 'q', NULL, false, set_quiet, "no messages but errors"},
    {"verbose", 0, NULL, false, set_verbose, "more messages"},
    {"help", 'h', NULL, false, set_help, "this text"},
};

static const struct option *find_long(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    }
    return NULL;
}

static const struct option *find_letter(char letter)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].letter == letter)
            return &table[i];
    }
    return NULL;
}

/* An option as it was found on the command line. */
struct token {
    const struct option *option;
    const char *value;
};

struct tokens {
    struct token *items;
    size_t count;
    int rest; /* the first word that is no option */
};

static bool add_token(struct tokens *tokens, const struct option *option, const char *value,
                      struct err *err)
{
    struct token *items = realloc(tokens->items, (tokens->count + 1) * sizeof(*items));

    if (!items)
        return no_memory(err);
    items[tokens->count++] = (struct token){option, value};
    tokens->items = items;
    return true;
}

static bool unknown(const char *word, struct err *err)
{
    err_set(err, ERR_OPTION_INVALID, "unknown option '%s'", word);
    return err_hint(err,
                    "'stepcell run --help' lists the options; words behind IMAGE belong to the "
                    "command");
}

static bool missing_value(const char *word, struct err *err)
{
    return err_set(err, ERR_OPTION_INVALID, "option '%s' needs a value", word);
}

static bool take_long(int argc, char **argv, int *i, struct tokens *tokens, struct err *err)
{
    const char *word = argv[*i], *name = word + 2, *equals = strchr(name, '=');
    const struct option *option = find_long(name, equals ? (size_t)(equals - name) : strlen(name));
    const char *value = equals ? equals + 1 : NULL;

    if (!option)
        return unknown(word, err);
    if (!option->value && value)
        return err_set(err, ERR_OPTION_INVALID, "option '--%s' takes no value", option->name);
    if (option->value && !value) {
        if (*i + 1 >= argc)
            return missing_value(word, err);
        value = argv[++*i];
    }
    return add_token(tokens, option, value, err);
}

/* "-w DIR", "-wDIR", "-iq". */
static bool take_letters(int argc, char **argv, int *i, struct tokens *tokens, struct err *err)
{
    const char *word = argv[*i];

    for (const char *p = word + 1; *p; p++) {
        const struct option *option = find_letter(*p);
        const char *value = NULL;

        if (!option)
            return unknown(word, err);
        if (option->value) {
            value = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
            if (!value)
                return missing_value(word, err);
        }
        if (!add_token(tokens, option, value, err))
            return false;
        if (value)
            break;
    }
    return true;
}

/* Goes through all options even after a bad one, and gives the first error. */
static bool tokenise(int argc, char **argv, struct tokens *tokens, struct err *err)
{
    bool ok = true;
    int i;

    for (i = 0; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        struct err one;
        bool taken;

        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        taken = argv[i][1] == '-' ? take_long(argc, argv, &i, tokens, &one)
                                  : take_letters(argc, argv, &i, tokens, &one);
        if (!taken && ok) {
            *err = one;
            ok = false;
        }
    }
    tokens->rest = i;
    return ok;
}

/* What concerns the caller, and not what the step is. */
static bool is_callers(const struct option *option)
{
    static const char *const names[] = {"id",     "since",   "events", "events-token-file",
                                        "result", "step",    "store",  "progress",
                                        "quiet",  "verbose", "help"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], option->name) == 0)
            return true;
    }
    return false;
}

/* "NAME=VALUE" as "NAME=sha256:…". */
static json_t *hidden_value(const char *value)
{
    size_t len = strcspn(value, "=");
    char digest[DIGEST_TEXT_MAX];
    autofree char *text = NULL;

    if (!value[len])
        return json_bytes(value, len);
    digest_of(value + len + 1, strlen(value + len + 1), digest);
    text = text_printf("%.*s=%s", (int)len, value, digest);
    return text ? json_bytes(text, strlen(text)) : NULL;
}

/* Puts it into `asked`, as a JSON step would have it. */
static bool note_asked(struct run_options *options, const struct option *option, const char *value)
{
    autofree char *key = strdup(option->name);
    json_t *item, *list;

    if (!key || is_callers(option))
        return key != NULL;
    for (char *p = key; *p; p++)
        *p = *p == '-' ? '_' : *p;
    item = !value                   ? json_true()
           : option->set == set_env ? hidden_value(value)
                                    : json_bytes(value, strlen(value));
    if (!option->repeatable)
        return json_object_set_new(options->asked, key, item) == 0;
    list = json_object_get(options->asked, key);
    if (!list && json_object_set_new(options->asked, key, list = json_array()) < 0) {
        json_decref(item);
        return false;
    }
    return json_array_append_new(list, item) == 0;
}

/* The one way in which an option takes effect. */
static bool take(struct run_options *options, const struct option *option, const char *value,
                 struct err *err)
{
    return option->set(options, option->name, value, err) &&
           (note_asked(options, option, value) || no_memory(err));
}

static bool apply(struct run_options *options, const struct tokens *tokens, struct err *err)
{
    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *token = &tokens->items[i];

        if (!take(options, token->option, token->value, err))
            return false;
    }
    return true;
}

static bool apply_words(struct run_options *options, int argc, char **argv, struct err *err)
{
    int i = 0;

    if (i < argc && !set_text(&options->image, "image", argv[i++], err))
        return false;
    if (i < argc && strcmp(argv[i], "--") == 0)
        i++;
    if (i < argc)
        strv_release(&options->command);
    for (; i < argc; i++) {
        if (!strv_add(&options->command, argv[i]))
            return no_memory(err);
    }
    return true;
}

static bool step_type(const char *key, const char *type, struct err *err)
{
    return err_set(err, ERR_OPTION_INVALID, "'%s' in the step is not %s", key, type);
}

static bool step_words(struct run_options *options, const char *key, const json_t *value,
                       struct err *err)
{
    size_t i;
    json_t *item;

    if (!json_is_array(value))
        return step_type(key, "a list of strings", err);
    strv_release(&options->command);
    json_array_foreach (value, i, item) {
        if (!json_is_string(item))
            return step_type(key, "a list of strings", err);
        if (!strv_add(&options->command, json_string_value(item)))
            return no_memory(err);
    }
    return true;
}

static bool step_value(struct run_options *options, const struct option *option,
                       const json_t *value, struct err *err)
{
    char number[32];

    if (json_is_number(value)) {
        if (json_is_integer(value))
            snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        else
            snprintf(number, sizeof(number), "%.15g", json_real_value(value));
        return take(options, option, number, err);
    }
    if (!json_is_string(value))
        return step_type(option->name, option->repeatable ? "a list of strings" : "a string", err);
    return take(options, option, json_string_value(value), err);
}

/* {"NAME": "VALUE", "OTHER": null} is what NAME=VALUE and OTHER are. */
static bool step_object(struct run_options *options, const struct option *option, json_t *value,
                        struct err *err)
{
    const char *name;
    json_t *item;

    json_object_foreach (value, name, item) {
        autofree char *text =
            json_is_null(item)
                ? strdup(name)
                : text_printf("%s=%s", name,
                              json_string_value(item) ? json_string_value(item) : "");
        if (!json_is_null(item) && !json_is_string(item))
            return step_type(option->name, "a list or object of strings", err);
        if (!text || !take(options, option, text, err))
            return text ? false : no_memory(err);
    }
    return true;
}

static bool step_option(struct run_options *options, const char *key, json_t *value,
                        struct err *err)
{
    autofree char *name = strdup(key);
    const struct option *option;
    size_t i;
    json_t *item;

    for (char *p = name; p && *p; p++)
        *p = *p == '_' ? '-' : *p;
    option = name && !strchr(key, '-') ? find_long(name, strlen(name)) : NULL;
    if (!option || option->set == set_help || option->set == set_step) {
        err_set(err, ERR_OPTION_INVALID, "unknown key '%s' in the step", key);
        return err_hint(err,
                        "the keys are image, command, args and the options of 'stepcell run' with "
                        "'_' for '-'");
    }
    if (json_is_null(value))
        return true;
    if (!option->value) {
        if (!json_is_boolean(value))
            return step_type(key, "true or false", err);
        return json_is_false(value) || take(options, option, NULL, err);
    }
    if (json_is_object(value) && (option->set == set_env || option->set == set_secret_file))
        return step_object(options, option, value, err);
    if (!json_is_array(value) || !option->repeatable)
        return step_value(options, option, value, err);
    json_array_foreach (value, i, item) {
        if (!step_value(options, option, item, err))
            return false;
    }
    return true;
}

static bool apply_json(struct run_options *options, json_t *step, struct err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(step))
        return err_set(err, ERR_OPTION_INVALID, "the step is not a JSON object");
    json_object_foreach (step, key, value) {
        bool ok;

        if (strcmp(key, "schema") == 0)
            ok = json_is_string(value) && strcmp(json_string_value(value), "stepcell.step/1") == 0
                     ? true
                     : step_type(key, "'stepcell.step/1'", err);
        else if (strcmp(key, "image") == 0)
            ok = json_is_string(value)
                     ? set_text(&options->image, key, json_string_value(value), err)
                     : step_type(key, "a string", err);
        else if (strcmp(key, "command") == 0 || strcmp(key, "args") == 0)
            ok = step_words(options, key, value, err);
        else
            ok = step_option(options, key, value, err);
        if (!ok)
            return false;
    }
    return true;
}

static bool apply_step(struct run_options *options, const char *file, struct err *err)
{
    autobuf text = BUF_INIT(STEP_FILE_MAX);
    autojson *step = NULL;
    bool is_stdin = strcmp(file, "-") == 0;

    if (is_stdin ? !file_read_fd(STDIN_FILENO, "stdin", &text, ERR_OPTION_INVALID, err)
                 : !file_read(AT_FDCWD, file, &text, ERR_OPTION_INVALID, err))
        return false;
    step = json_parse(text.data, text.len, is_stdin ? "stdin" : file, ERR_OPTION_INVALID, err);
    return step && apply_json(options, step, err);
}

static bool check(const struct run_options *options, struct err *err)
{
    if (!options->image) {
        err_set(err, ERR_OPTION_INVALID, "no image was given");
        return err_hint(err, "stepcell run [OPTIONS] IMAGE [--] COMMAND [ARG...]");
    }
    if (!options->script && options->command.count == 0) {
        err_set(err, ERR_OPTION_INVALID, "no command was given");
        return err_hint(err, "name it behind the image, or give a script with --script");
    }
    if (options->shell && !options->script)
        return err_set(err, ERR_OPTION_INVALID, "--shell is given without --script");
    if (options->script && strcmp(options->script, "-") == 0 &&
        (options->interactive || (options->step && strcmp(options->step, "-") == 0)))
        return err_set(err, ERR_OPTION_INVALID, "stdin cannot be the script and something else");
    if (options->interactive && options->step && strcmp(options->step, "-") == 0)
        return err_set(err, ERR_OPTION_INVALID, "stdin cannot be the step and the command's input");
    if (options->id && options->interactive) {
        err_set(err, ERR_OPTION_INVALID, "-i cannot be given with --id");
        return err_hint(err, "a durable step outlives its caller, and so its caller's stdin");
    }
    if (options->events_token_file && !(options->events && sink_is_http(options->events)))
        return err_set(err, ERR_OPTION_INVALID,
                       "--events-token-file is given without a receiver by HTTP");
    return true;
}

/* What the step is besides its options. Where it starts counts only where it decides something. */
static bool note_words(struct run_options *options)
{
    json_t *command = json_array();
    autofree char *cwd = options->workdir && options->workdir[0] == '/' ? NULL : getcwd(NULL, 0);

    if (cwd && json_object_set_new(options->asked, "cwd", json_bytes(cwd, strlen(cwd))) < 0)
        return false;
    for (size_t i = 0; i < options->command.count; i++)
        json_array_append_new(
            command, json_bytes(options->command.items[i], strlen(options->command.items[i])));
    return json_object_set_new(options->asked, "image",
                               json_bytes(options->image, strlen(options->image))) == 0 &&
           json_object_set_new(options->asked, "command", command) == 0;
}

static bool parse(int argc, char **argv, struct run_options *options, struct tokens *tokens,
                  struct err *err)
{
    bool ok = tokenise(argc, argv, tokens, err);
    const char *step = NULL;
    struct err ignored;

    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *token = &tokens->items[i];

        if (token->option->set == set_result)
            set_result(options, "result", token->value, &ignored);
        if (token->option->set == set_help)
            options->help = true;
        if (token->option->set == set_step)
            step = token->value;
    }
    if (!ok)
        return false;
    if (options->help)
        return true;
    if (step && !apply_step(options, step, err))
        return false;
    return apply(options, tokens, err) &&
           apply_words(options, argc - tokens->rest, argv + tokens->rest, err) &&
           check(options, err) && (note_words(options) || no_memory(err));
}

bool options_parse(int argc, char **argv, struct run_options *options, struct err *err)
{
    struct tokens tokens = {.items = NULL};
    bool ok;

    options->asked = json_object();
    ok = options->asked ? parse(argc, argv, options, &tokens, err) : no_memory(err);
    free(tokens.items);
    return ok;
}

void options_release(struct run_options *options)
{
    for (size_t i = 0; i < options->mount_count; i++)
        mount_spec_release(&options->mounts[i]);
    free(options->mounts);
    json_decref(options->asked);
    free(options->id);
    free(options->events);
    free(options->events_token_file);
    free(options->image);
    strv_release(&options->command);
    strv_release(&options->env);
    strv_release(&options->env_files);
    strv_release(&options->secret_env);
    strv_release(&options->secret_files);
    strv_release(&options->mask_files);
    free(options->workdir);
    free(options->script);
    free(options->shell);
    free(options->user);
    free(options->platform);
    free(options->hostname);
    free(options->result);
    free(options->seccomp);
    free(options->progress);
    free(options->store);
    free(options->step);
    *options = RUN_OPTIONS_INIT;
}

char *options_help(const char *command)
{
    struct buf text = BUF_INIT(65536);

    buf_printf(
        &text,
        "Usage: stepcell %s [OPTIONS] IMAGE [--] COMMAND [ARG...]\n"
        "       stepcell %s [OPTIONS] --script FILE IMAGE [ARG...]\n"
        "       stepcell %s [OPTIONS] --step FILE|-\n\n%s\n\n",
        command, command, command,
        strcmp(command, "run") == 0
            ? "Runs one step in a cell made of IMAGE and ends with its exit status."
            : "Starts one step in a cell made of IMAGE, prints its id, and returns once it is\n"
              "recorded. 'stepcell wait', 'logs', 'status' and 'cancel' take the id.");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        autofree char *left = text_printf("--%s%s%s", table[i].name, table[i].value ? " " : "",
                                          table[i].value ? table[i].value : "");
        char letter[5] = "    ";

        if (table[i].letter)
            snprintf(letter, sizeof(letter), "-%c, ", table[i].letter);
        buf_printf(&text, "  %s%-30s %s\n", letter, left ? left : "", table[i].help);
    }
    return buf_take(&text);
}

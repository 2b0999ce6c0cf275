#include "shim/docker_line.h"

#include <inttypes.h>
#include <string.h>

#include "base/path.h"
#include "base/quote.h"
#include "shim/environment.h"

#define MOUNT_TEXT_MAX (8 * MOUNT_PATH_MAX)

struct line {
    const struct docker_step *step;
    struct strv *words, *differs;
};

/* "--option VALUE"; takes the value over. */
static bool add(const struct line *line, const char *option, char *value)
{
    if (value && strv_add(line->words, option))
        return strv_take(line->words, value);
    free(value);
    return false;
}

static bool add_text(const struct line *line, const char *option, const char *value)
{
    return !value || add(line, option, strdup(value));
}

static bool differs(const struct line *line, char *sentence)
{
    return sentence && strv_take(line->differs, sentence);
}

static bool differs_in_writing(const struct line *line, const char *path)
{
    return differs(line,
                   text_printf("'%s' can be written to in the cell, and is read-only here", path));
}

static bool add_bind(const struct line *line, const char *source, const char *target, bool readonly)
{
    autobuf text = BUF_INIT(MOUNT_TEXT_MAX);

    return buf_append_text(&text, "type=bind,") && quote_csv(&text, "source", source) &&
           buf_append_text(&text, ",") && quote_csv(&text, "target", target) &&
           (!readonly || buf_append_text(&text, ",readonly")) &&
           add(line, "--mount", buf_take(&text));
}

static bool add_tmpfs(const struct line *line, const struct mount *mount)
{
    /* Podman copies what lies there, unless it is told not to. */
    const char *empty = strcmp(line->step->program, "podman") == 0 ? ",notmpcopyup" : "";
    autobuf text = BUF_INIT(MOUNT_TEXT_MAX);
    bool ok;

    /* --tmpfs can say more, but no path with a colon. */
    if (strchr(mount->target, ':')) {
        ok = buf_append_text(&text, "type=tmpfs,") && quote_csv(&text, "target", mount->target) &&
             buf_printf(&text, ",tmpfs-mode=%o%s", mount->tmpfs_mode, empty);
        if (ok && mount->tmpfs_size)
            ok = buf_printf(&text, ",tmpfs-size=%" PRIu64, mount->tmpfs_size);
        return ok && (!mount->readonly || buf_append_text(&text, ",readonly")) &&
               add(line, "--mount", buf_take(&text));
    }
    ok = buf_printf(&text, "%s:%s,%s,mode=%o%s", mount->target, mount->readonly ? "ro" : "rw",
                    mount->tmpfs_noexec ? "noexec" : "exec", mount->tmpfs_mode, empty);
    if (ok && mount->tmpfs_size)
        ok = buf_printf(&text, ",size=%" PRIu64, mount->tmpfs_size);
    return ok && add(line, "--tmpfs", buf_take(&text));
}

/* The file as the caller named it, without a copy of its own. */
static bool add_secrets(const struct line *line)
{
    const struct strv *files = &line->step->options->secret_files;

    for (size_t i = 0; i < files->count; i++) {
        const char *path = strchr(files->items[i], '=') + 1;
        autofree char *source = path_absolute(line->step->cwd, path);
        autofree char *target = text_printf("%s/%.*s", SECRETS_PATH,
                                            (int)(path - 1 - files->items[i]), files->items[i]);

        if (!source || !target || !add_bind(line, source, target, true))
            return false;
    }
    return differs(line, strdup("files of secrets keep the owner and the mode that they have"));
}

/* A name leads to a mount, and to all that is mounted below it. */
static bool add_alias(const struct line *line, const struct mount *alias)
{
    const struct mount_plan *plan = line->step->spec->plan;
    size_t len = strlen(alias->alias_of);

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *one = &plan->mounts[i];
        autofree char *target = NULL;

        if (one->alias_of || !one->source.resolved || !path_is_below(one->target, alias->alias_of))
            continue;
        target = text_printf("%s%s", alias->target, one->target + len);
        if (!target ||
            !add_bind(line, one->source.resolved, target, one->readonly || one->kind == MOUNT_COW))
            return false;
    }
    return true;
}

static bool add_mount(const struct line *line, const struct mount *mount)
{
    bool copied = mount->kind == MOUNT_COW;

    if (mount->role == MOUNT_DEVICE)
        return add(line, "--device", text_printf("%s:%s", mount->source.resolved, mount->target));
    if (mount->alias_of)
        return add_alias(line, mount);
    if (mount->kind == MOUNT_TMPFS)
        return add_tmpfs(line, mount);
    if (mount->kind == MOUNT_OWN)
        return mount->role != MOUNT_SECRETS || add_secrets(line);
    if (copied && !differs_in_writing(line, mount->target))
        return false;
    return add_bind(line, mount->source.resolved, mount->target, mount->readonly || copied);
}

static bool add_mounts(const struct line *line)
{
    const struct mount_plan *plan = line->step->spec->plan;

    for (size_t i = 0; i < plan->count; i++) {
        if (!add_mount(line, &plan->mounts[i]))
            return false;
    }
    return true;
}

/* Whether the value is the caller's to give, or nobody else's to see. */
static bool by_name(const struct line *line, size_t i, const char *name)
{
    enum env_origin origin = (enum env_origin)line->step->env_origins[i];

    return origin == ENV_SECRET || origin == ENV_PROXY ||
           (origin == ENV_OPTION && strv_contains(&line->step->options->env, name));
}

static bool add_env(const struct line *line)
{
    const struct strv *env = &line->step->spec->env;

    for (size_t i = 0; i < env->count; i++) {
        const char *entry = env->items[i];
        autofree char *name = strndup(entry, strcspn(entry, "="));

        /* The image has its own, and docker the same default. */
        if (line->step->env_origins[i] == ENV_IMAGE ||
            (name && strcmp(name, "PATH") == 0 && line->step->env_origins[i] == ENV_DEFAULT))
            continue;
        if (!name)
            return false;
        if (strcmp(name, "STEPCELL_OUTPUT") == 0)
            entry = "STEPCELL_OUTPUT=/dev/null";
        if (!add_text(line, "--env", by_name(line, i, name) ? name : entry))
            return false;
    }
    return (!line->step->home || add(line, "--env", text_printf("HOME=%s", line->step->home))) &&
           differs(line, strdup("what the step writes to $STEPCELL_OUTPUT is lost"));
}

static bool add_user(const struct line *line)
{
    const struct run_spec *spec = line->step->spec;

    if (!add(line, "--user", text_printf("%u:%u", spec->uid, spec->gid)))
        return false;
    for (size_t i = 0; i < spec->group_count; i++) {
        if (!add(line, "--group-add", text_printf("%u", spec->groups[i])))
            return false;
    }
    return true;
}

static char *limit_text(uint64_t value)
{
    return value == LIMITS_UNLIMITED ? strdup("-1") : text_printf("%" PRIu64, value);
}

static bool add_ulimit(const struct line *line, const struct ulimit *one)
{
    autofree char *soft = limit_text(one->soft), *hard = limit_text(one->hard);

    return soft && hard && add(line, "--ulimit", text_printf("%s=%s:%s", one->name, soft, hard));
}

static bool add_limits(const struct line *line)
{
    const struct limits *limits = &line->step->spec->limits;

    if (limits->memory && (!add(line, "--memory", limit_text(limits->memory)) ||
                           !add(line, "--memory-swap", limit_text(limits->memory))))
        return false;
    if (limits->cpu && !add(line, "--cpus",
                            text_printf("%" PRIu64 ".%05" PRIu64, limits->cpu / LIMITS_CPU_PERIOD,
                                        limits->cpu % LIMITS_CPU_PERIOD)))
        return false;
    if (limits->pids && !add(line, "--pids-limit", limit_text(limits->pids)))
        return false;
    for (size_t i = 0; i < limits->ulimit_count; i++) {
        if (!add_ulimit(line, &limits->ulimits[i]))
            return false;
    }
    return true;
}

/* A repeatable option that docker spells and means alike. */
static bool add_asked(const struct line *line, const char *option, const char *key)
{
    const json_t *list = json_object_get(line->step->options->asked, key), *value;
    size_t i;

    json_array_foreach (list, i, value) {
        if (!add_text(line, option, json_string_value(value)))
            return false;
    }
    return true;
}

static bool add_confinement(const struct line *line)
{
    const char *seccomp = line->step->options->seccomp;
    autofree char *path = seccomp ? path_absolute(line->step->cwd, seccomp) : NULL;

    return add_asked(line, "--cap-drop", "cap_drop") && add_asked(line, "--cap-add", "cap_add") &&
           add_asked(line, "--label", "label") &&
           add_text(line, "--security-opt", "no-new-privileges") &&
           (!seccomp || (path && add(line, "--security-opt", text_printf("seccomp=%s", path))));
}

static bool add_rest(const struct line *line)
{
    static const char *const networks[] = {
        [NETWORK_HOST] = "host", [NETWORK_NONE] = "none", [NETWORK_PRIVATE] = "bridge"};
    static const char *const pulls[] = {
        [PULL_MISSING] = NULL, [PULL_ALWAYS] = "always", [PULL_NEVER] = "never"};
    const struct docker_step *step = line->step;
    const struct run_options *options = step->options;
    const struct cluster_spec *cluster = step->spec->cluster;
    bool of_pod = step->spec->network == NETWORK_HOST && cluster && !cluster->host_network;

    return add_text(line, "--network", of_pod ? NULL : networks[step->spec->network]) &&
           add_text(line, "--hostname", step->spec->hostname) &&
           add_text(line, "--platform", options->platform) &&
           add_text(line, "--pull", pulls[options->pull]) &&
           (!step->spec->read_only || strv_add(line->words, "--read-only")) &&
           (!step->clears_entrypoint || strv_add(line->words, "--entrypoint=")) &&
           (!step->spec->pass_stdin || strv_add(line->words, "--interactive")) &&
           (!options->terminal || strv_add(line->words, "--tty"));
}

static bool add_differences(const struct line *line)
{
    const struct run_options *options = line->step->options;

    if (line->step->spec->read_only && line->step->home &&
        !differs_in_writing(line, line->step->home))
        return false;
    if (line->step->spec->cluster &&
        !differs(line, strdup("it runs on this machine, with its network, and not in the cluster")))
        return false;
    if (options->timeout_ms && !differs(line, strdup("nothing ends it after the timeout")))
        return false;
    if (options->script && strcmp(options->script, "-") == 0 &&
        !differs(line, strdup("the script came from stdin: put it into a file, and name that as "
                              "the source of the mount")))
        return false;
    if ((options->secret_env.count || options->secret_files.count) &&
        !differs(line, strdup("secrets are not masked, and those in variables are taken from the "
                              "shell: export them")))
        return false;
    return differs(line,
                   strdup("ids are not mapped: files belong to whom the step's user is there"));
}

bool docker_line_words(const struct docker_step *step, struct strv *words, struct strv *differs_in)
{
    const struct line line = {step, words, differs_in};
    const struct strv *argv = &step->spec->argv;

    if (!strv_add(words, step->program) || !strv_add(words, "run") || !strv_add(words, "--rm") ||
        !strv_add(words, "--init") || !add_user(&line) ||
        !add_text(&line, "--workdir", step->spec->workdir) || !add_mounts(&line) ||
        !add_env(&line) || !add_limits(&line) || !add_confinement(&line) || !add_rest(&line) ||
        !strv_add(words, step->image))
        return false;
    for (size_t i = 0; i < argv->count; i++) {
        if (!strv_add(words, argv->items[i]))
            return false;
    }
    return add_differences(&line);
}

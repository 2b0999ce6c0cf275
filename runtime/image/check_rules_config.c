/* Rules about an image's configuration and manifest. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "runtime/image/check_rules.h"

#define MIB ((double)(1 << 20))

/* ---- what runs ---- */

/* "a b c", as in a message. */
static char *joined(const struct strv *words)
{
    autobuf text = BUF_INIT(ERR_MESSAGE_MAX);

    /* What does not fit is left out. */
    for (size_t i = 0; i < words->count; i++)
        buf_printf(&text, "%s%s", i ? " " : "", words->items[i]);
    buf_append(&text, "", 0);
    return buf_take(&text);
}

static bool is_none(const struct strv *words)
{
    return words->count == 0 || (words->count == 1 && !words->items[0][0]);
}

void check_ask_entrypoint(struct check_run *run)
{
    const struct image *image = &run->image->config.image;
    autofree char *entrypoint = NULL;

    if (is_none(&image->entrypoint))
        return;
    entrypoint = joined(&image->entrypoint);
    check_find(run, "rebuild the image with ENTRYPOINT []",
               "the image has the entrypoint '%s'%s%.500s%s", entrypoint ? entrypoint : "",
               image->entrypoint_history ? ", set by '" : "",
               image->entrypoint_history ? image->entrypoint_history : "",
               image->entrypoint_history ? "'" : "");
}

static bool is_shell(const char *program)
{
    static const char *const shells[] = {
        "sh",   "bash",       "dash",           "ash", "zsh",     "ksh",
        "pwsh", "powershell", "powershell.exe", "cmd", "cmd.exe", "pwsh.exe"};
    const char *slash = strrchr(program, '/'), *backslash = strrchr(program, '\\');
    const char *name = slash ? slash + 1 : program;

    if (backslash && backslash >= name)
        name = backslash + 1;
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (strcasecmp(shells[i], name) == 0)
            return true;
    }
    return false;
}

void check_ask_cmd(struct check_run *run)
{
    const struct strv *cmd = &run->image->config.cmd;
    autofree char *text = NULL;

    if (is_none(cmd) || (cmd->count == 1 && is_shell(cmd->items[0])))
        return;
    text = joined(cmd);
    check_find(run, "rebuild the image with CMD [], or leave CMD out",
               "the image has the command '%s', which a step never runs", text ? text : "");
}

void check_ask_workdir(struct check_run *run)
{
    const char *workdir = run->image->config.image.workdir;

    if (*workdir && strcmp(workdir, "/") != 0 && strcasecmp(workdir, "C:\\") != 0)
        check_find(run, "end the Dockerfile with WORKDIR /",
                   "the working directory is '%s'; a step begins in its own", workdir);
}

/* A name has to be in the image's passwd; numbers need not. */
static void look_for_user(struct check_run *run, const char *user)
{
    struct check_node node;
    enum check_found found;
    uint64_t id;

    if (num_parse(user, UINT32_MAX - 1, &id) || !check_has_files(run))
        return;
    found = check_look_text(run, "/etc/passwd", &node);
    if (found == CHECK_ABSENT ||
        (found == CHECK_FOUND && !check_has_account(node.text, node.text_len, user)))
        check_find(run, "create the user in the image, or give its number",
                   "the image's user '%s' is not in its /etc/passwd", user);
}

void check_ask_user(struct check_run *run)
{
    const char *set = run->image->config.image.user;
    autofree char *user = strndup(set, strcspn(set, ":"));

    if (!user) {
        run->no_memory = true;
        return;
    }
    if (!*user || strcmp(user, "root") == 0 || strcmp(user, "0") == 0) {
        check_find_at(run, CHECK_INFO, NULL,
                      "steps run as root, and what they write belongs to root with engines that "
                      "do not map users");
        return;
    }
    check_find_at(run, CHECK_WARNING, "leave USER out, or give the step's user with --user",
                  "steps run as '%s', who may not be allowed to write where a step writes", set);
    look_for_user(run, user);
}

void check_ask_volume(struct check_run *run)
{
    static const char *const worse[] = {"/dev", "/proc", "/sys"};
    const struct strv *volumes = &run->image->config.volumes;
    autochecklist list = CHECK_LIST_INIT;

    for (size_t i = 0; i < volumes->count; i++) {
        char clean[CHECK_PATH_MAX];
        bool bad = !check_path_clean(volumes->items[i], clean) || !*clean;

        for (size_t k = 0; k < ARRAY_SIZE(worse) && !bad; k++) {
            size_t len = strlen(worse[k]) - 1;

            bad = strncmp(clean, worse[k] + 1, len) == 0 && (!clean[len] || clean[len] == '/');
        }
        if (bad)
            check_find(run, "rebuild the image without this VOLUME",
                       "the volume '%.200s' covers what a container cannot do without",
                       volumes->items[i]);
        else
            check_list_add(&list, volumes->items[i]);
    }
    if (list.count)
        check_find_at(run, CHECK_WARNING, "rebuild the image without VOLUME",
                      "volumes are made for each step, and hide what the image has there: %s",
                      check_list_text(&list));
}

void check_ask_onbuild(struct check_run *run)
{
    const struct strv *onbuild = &run->image->config.onbuild;

    if (onbuild->count)
        check_find(run, NULL, "images that are built on it begin with '%.200s'", onbuild->items[0]);
}

void check_ask_healthcheck(struct check_run *run)
{
    if (run->image->config.healthcheck)
        check_find(run, "rebuild the image with HEALTHCHECK NONE",
                   "engines run the image's health check beside every step");
}

void check_ask_stopsignal(struct check_run *run)
{
    const char *signal = run->image->config.stop_signal;

    if (*signal && strcmp(signal, "SIGTERM") != 0 && strcmp(signal, "15") != 0)
        check_find(run, NULL, "engines stop a step with '%.60s' instead of SIGTERM", signal);
}

/* ---- secrets ---- */

static size_t name_length(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
}

/* What a builder writes of arguments: BuildKit, then buildah and Docker's older builder. */
static bool tells_arguments(const char *line)
{
    static const char *const beginnings[] = {"ARG ", "RUN |", "|", "/bin/sh -c #(nop) ARG ",
                                             "/bin/sh -c #(nop)  ARG "};

    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
        if (strncmp(line, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    }
    return false;
}

static bool begins_with_shell(const char *text)
{
    static const char *const shells[] = {"/", "cmd ", "powershell ", "pwsh "};

    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (strncasecmp(text, shells[i], strlen(shells[i])) == 0)
            return true;
    }
    return false;
}

/* Whether there is a value behind "NAME=". In "ARG NAME=$OTHER" it is another's; in "|2 NAME= B=c
 * /bin/sh" it is empty, when the next argument or the shell follows. */
static bool has_value(const char *value, bool given)
{
    const char *next = value + 1;

    if (!given)
        return *value && *value != ' ' && *value != '$';
    return *value &&
           (*value != ' ' || (!begins_with_shell(next) && next[name_length(next)] != '='));
}

/* "ARG NAME=value" and "|1 NAME=value ...": the value itself is never repeated. */
static void look_in_history(const char *line, struct check_list *list)
{
    bool given = *line == '|' || strncmp(line, "RUN |", 5) == 0;

    for (const char *at = line; *at; at++) {
        size_t len = at == line || strchr(" \t|", at[-1]) ? name_length(at) : 0;

        if (len && at[len] == '=' && has_value(at + len + 1, given) &&
            check_name_is_secret(at, len)) {
            autofree char *name = strndup(at, len);

            if (name)
                check_list_add(list, name);
        }
        at += len ? len - 1 : 0;
    }
}

void check_ask_env_secrets(struct check_run *run)
{
    const struct check_config *config = &run->image->config;
    autochecklist variables = CHECK_LIST_INIT, arguments = CHECK_LIST_INIT;

    for (size_t i = 0; i < config->image.env.count; i++) {
        const char *item = config->image.env.items[i];
        size_t len = strcspn(item, "=");

        if (item[len] && item[len + 1] && check_name_is_secret(item, len)) {
            autofree char *name = strndup(item, len);

            if (name)
                check_list_add(&variables, name);
        }
    }
    for (size_t i = 0; i < config->history.count; i++) {
        const char *line = config->history.items[i];

        if (tells_arguments(line))
            look_in_history(line, &arguments);
    }
    if (variables.count)
        check_find(run, "give secrets to the step with --secret-env or --secret-file",
                   "variables look like secrets, which everybody with the image can read: %s",
                   check_list_text(&variables));
    if (arguments.count)
        check_find(run, "use a secret mount of the build (RUN --mount=type=secret)",
                   "build arguments look like secrets, which stay in the history: %s",
                   check_list_text(&arguments));
}

/* ---- versions and labels ---- */

#define LABEL(name) "org.opencontainers.image." name

static bool has_digit(const char *text)
{
    return strpbrk(text, "0123456789") != NULL;
}

/* Compares what the tag says with another word for the version of the same thing. */
static void compare_with_tag(struct check_run *run, const char *what, const char *version)
{
    const char *tag = run->facts->reference->tag;

    if (!check_versions_agree(tag, version))
        check_find(run, "name the image after the version of its key software",
                   "the tag is '%s', and %s says '%.200s'", tag, what, version);
}

/* The version of the package that the image is named after. */
static void compare_package(struct check_run *run)
{
    const char *name = run->profile->key_package, *version;
    autopackages packages = CHECK_PACKAGES_INIT;
    autofree char *upstream = NULL;
    enum check_found found;

    if (!check_has_files(run))
        return;
    found = check_look_packages(run, &packages);
    if (found == CHECK_OPEN)
        return;
    version = found == CHECK_FOUND ? check_packages_find(&packages, name) : NULL;
    if (!version) {
        check_find(run, NULL, "the key software '%s' is not installed as a package", name);
        return;
    }
    upstream = check_upstream_version(version);
    if (upstream)
        compare_with_tag(run, "the package of the key software", upstream);
}

void check_ask_version(struct check_run *run)
{
    const struct reference *reference = run->facts->reference;
    const struct check_config *config = &run->image->config;
    const char *label = check_config_label(config, LABEL("version"));
    const char *variable = run->profile->key_env;
    const char *value = variable ? check_config_env(config, variable) : NULL;

    if (!reference->tag || !has_digit(reference->tag)) {
        check_skip(run, CHECK_NOT_APPLICABLE, "the reference has no tag with a version");
        return;
    }
    if (!label && !variable && !run->profile->key_package) {
        check_skip(run, CHECK_NOT_APPLICABLE,
                   "there is no label with a version, and the profile names no key software");
        return;
    }
    if (label)
        compare_with_tag(run, "the label " LABEL("version"), label);
    if (value)
        compare_with_tag(run, "the variable of the key software", value);
    else if (variable)
        check_find(run, NULL, "the variable '%s' of the key software is not set", variable);
    if (run->profile->key_package)
        compare_package(run);
}

void check_ask_labels(struct check_run *run)
{
    static const char *const wanted[] = {LABEL("version"),   LABEL("source"),
                                         LABEL("revision"),  LABEL("created"),
                                         LABEL("base.name"), LABEL("base.digest")};
    autochecklist list = CHECK_LIST_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        const char *value = check_config_label(&run->image->config, wanted[i]);

        if (!value || !*value)
            check_list_add(&list, wanted[i] + strlen(LABEL("")));
    }
    if (list.count)
        check_find(run, "set these labels when the image is built",
                   "labels " LABEL("*") " are missing: %s", check_list_text(&list));
}

/* ---- size ---- */

void check_ask_size(struct check_run *run)
{
    const struct manifest *manifest = &run->image->manifest;
    uint64_t total = 0;

    for (size_t i = 0; i < manifest->layer_count; i++) {
        uint64_t size = manifest->layers[i].blob.size;

        total += size;
        if (size > run->profile->layer_max)
            check_find(run, "divide the layer, or leave out what it does not need",
                       "layer %zu of %zu has %.0f MiB, more than %.0f MiB", i + 1,
                       manifest->layer_count, (double)size / MIB,
                       (double)run->profile->layer_max / MIB);
    }
    if (total > run->profile->size_max)
        check_find(run, "leave out what steps do not need",
                   "all layers have %.0f MiB, more than %.0f MiB", (double)total / MIB,
                   (double)run->profile->size_max / MIB);
}

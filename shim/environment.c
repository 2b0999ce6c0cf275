#include "shim/environment.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

#define DEFAULT_PATH    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define OUTPUT_VARIABLE "STEPCELL_OUTPUT=" STEP_OUTPUT_PATH
#define PACKAGE_PREFIX  "STEPCELL_PACKAGE_"

static const char *const proxy_names[] = {
    "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY",
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the environment");
}

static bool has_name(const char *entry, const char *name, size_t len)
{
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/* What is being made. */
struct making {
    struct strv *env;
    struct buf *origins;
    struct strv *places;
    enum env_origin origin; /* of what comes next */
    char **caller;
    bool *own_home;
};

/* Puts "NAME=VALUE" in, over an earlier value. */
static bool put(const struct making *making, const char *entry, struct err *err)
{
    size_t len = (size_t)(strchrnul(entry, '=') - entry);
    const char origin = (char)making->origin;
    struct strv *env = making->env;

    for (size_t i = 0; i < env->count; i++) {
        char *copy;

        if (!has_name(env->items[i], entry, len))
            continue;
        copy = strdup(entry);
        if (!copy)
            return no_memory(err);
        free(env->items[i]);
        env->items[i] = copy;
        making->origins->data[i] = origin;
        return true;
    }
    return (strv_add(env, entry) && buf_append(making->origins, &origin, 1)) || no_memory(err);
}

/* Puts NAME=VALUE in, or for NAME alone the caller's value, if it has one. */
static bool put_given(const struct making *making, const char *given, struct err *err)
{
    size_t len = strlen(given);

    if (strchr(given, '=')) {
        *making->own_home = *making->own_home || has_name(given, "HOME", 4);
        return put(making, given, err);
    }
    for (char **caller = making->caller; *caller; caller++) {
        if (has_name(*caller, given, len)) {
            *making->own_home = *making->own_home || strcmp(given, "HOME") == 0;
            return put(making, *caller, err);
        }
    }
    return true;
}

static bool put_list(struct making *making, enum env_origin origin, const struct strv *list,
                     struct err *err)
{
    making->origin = origin;
    for (size_t i = 0; i < list->count; i++) {
        if (!put_given(making, list->items[i], err))
            return false;
    }
    return true;
}

/* None of them can be HOME. */
static bool put_proxies(struct making *making, struct err *err)
{
    making->origin = ENV_PROXY;
    for (size_t i = 0; i < ARRAY_SIZE(proxy_names); i++) {
        if (!put_given(making, proxy_names[i], err))
            return false;
    }
    return true;
}

static bool put_image(struct making *making, const struct strv *image_env, const char **image_home,
                      struct err *err)
{
    making->origin = ENV_DEFAULT;
    if (!put(making, DEFAULT_PATH, err))
        return false;
    making->origin = ENV_IMAGE;
    for (size_t i = 0; i < image_env->count; i++) {
        const char *entry = image_env->items[i];

        /* A home that is no absolute path is none. */
        if (has_name(entry, "HOME", 4))
            *image_home = entry[5] == '/' ? entry + 5 : NULL;
        else if (!put(making, entry, err))
            return false;
    }
    return true;
}

static bool put_packages(struct making *making, const struct run_options *options,
                         const struct mount_source *sources, struct err *err)
{
    const struct strv *env = making->env;

    making->origin = ENV_PACKAGE;
    for (size_t i = 0; i < options->mount_count; i++) {
        const struct mount_spec *spec = &options->mounts[i];
        const char *path = sources[i].given ? sources[i].given : sources[i].resolved;
        autofree char *entry = NULL;

        /* What is missing was complained of. */
        if (!spec->name || !path)
            continue;
        entry = text_printf(PACKAGE_PREFIX "%s=%s", spec->name, path);
        for (size_t j = 0; entry && j < env->count; j++) {
            if (has_name(env->items[j], entry, (size_t)(strchr(entry, '=') - entry)) &&
                strcmp(env->items[j], entry) != 0)
                return err_set(err, ERR_OPTION_INVALID, "two packages have the name '%s'",
                               spec->name);
        }
        if (!entry || !put(making, entry, err))
            return entry ? false : no_memory(err);
    }
    return true;
}

/* docker's format: a NAME[=VALUE] on each line, '#' begins a comment line, nothing is quoted. */
static bool put_file(const struct making *making, const char *file, struct err *err)
{
    autobuf text = BUF_INIT(ENV_FILE_MAX);
    autofd fd = file_open(AT_FDCWD, file, ERR_OPTION_INVALID, err);
    char place[PATH_MAX], *rest, *line;
    int number = 0;

    if (fd < 0 || !file_read_fd(fd, file, &text, ERR_OPTION_INVALID, err))
        return err_hint(err, "check --env-file: a file that the caller can read");
    if (!path_of_open(fd, place))
        return err_set(err, ERR_OPTION_INVALID, "nobody can tell where '%s' lies", file);
    if (!strv_add(making->places, place))
        return no_memory(err);
    if (strlen(text.data) != text.len)
        return err_set(err, ERR_OPTION_INVALID, "'%s' holds a NUL byte", file) ||
               err_hint(err, "--env-file takes a text with a NAME=VALUE on each line");
    rest = text.data;
    while ((line = strsep(&rest, "\n"))) {
        size_t name_len;

        number++;
        line += strspn(line, " \t");
        if (!*line || *line == '#')
            continue;
        name_len = strcspn(line, "=");
        if (name_len == 0 || memchr(line, ' ', name_len) || memchr(line, '\t', name_len)) {
            err_set(err, ERR_OPTION_INVALID, "line %d of '%s' has no name before '='", number,
                    file);
            return err_hint(err, "each line is NAME=VALUE, or NAME for the caller's own value");
        }
        if (!put_given(making, line, err))
            return false;
    }
    return true;
}

static bool put_files(struct making *making, const struct run_options *options, struct err *err)
{
    making->origin = ENV_FILE;
    for (size_t i = 0; i < options->env_files.count; i++) {
        if (!put_file(making, options->env_files.items[i], err))
            return false;
    }
    return true;
}

static bool put_options(struct making *making, const struct run_options *options, struct err *err)
{
    return put_list(making, ENV_OPTION, &options->env, err);
}

/* For who wants the variables, and nothing else about them. */
static bool make_part(bool (*put_part)(struct making *making, const struct run_options *options,
                                       struct err *err),
                      const struct run_options *options, char **caller, struct strv *env,
                      struct err *err)
{
    autobuf origins = BUF_INIT(STRV_MAX);
    autostrv places = {0};
    bool own_home = false;
    struct making making = {.env = env,
                            .origins = &origins,
                            .places = &places,
                            .caller = caller,
                            .own_home = &own_home};

    return put_part(&making, options, err);
}

bool environment_of_options(const struct run_options *options, char **caller, struct strv *env,
                            struct err *err)
{
    return make_part(put_options, options, caller, env, err);
}

bool environment_of_files(const struct run_options *options, char **caller, struct strv *env,
                          struct err *err)
{
    return make_part(put_files, options, caller, env, err);
}

void environment_wipe(struct strv *env)
{
    for (size_t i = 0; i < env->count; i++)
        explicit_bzero(env->items[i], strlen(env->items[i]));
    strv_release(env);
}

bool environment_make(const struct run_options *options, const struct strv *image_env,
                      char **caller, const struct mount_source *sources, struct strv *env,
                      struct buf *origins, struct strv *places, bool *own_home,
                      const char **image_home, struct err *err)
{
    struct making making = {
        .env = env, .origins = origins, .places = places, .caller = caller, .own_home = own_home};

    *own_home = false;
    *image_home = NULL;
    if (!put_image(&making, image_env, image_home, err) ||
        (!options->no_proxy_env && !put_proxies(&making, err)) ||
        !put_packages(&making, options, sources, err))
        return false;
    if (!put_files(&making, options, err) || !put_options(&making, options, err) ||
        !put_list(&making, ENV_SECRET, &options->secret_env, err))
        return false;
    making.origin = ENV_DEFAULT;
    return put(&making, OUTPUT_VARIABLE, err);
}

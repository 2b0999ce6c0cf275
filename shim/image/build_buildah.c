/* buildah: a program, which gets a storage of this build's own. */
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "runtime/image/check_config.h"
#include "runtime/image/registry_users.h"
#include "shim/image/build.h"
#include "shim/image/mapped.h"
#include "shim/image/outside.h"

#define PROGRAM   "buildah"
#define ISOLATION "BUILDAH_ISOLATION"
#define STORAGE   "[storage]\ndriver = \"vfs\"\n"
#define ID_MAX    256 /* bytes of the file in which it writes the id of the image */

struct call {
    const struct build *build;
    char program[PATH_MAX];
    struct strv words, variables;
};

static void call_release(struct call *call)
{
    strv_release(&call->words);
    strv_release(&call->variables);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot start a builder");
}

static bool is_there(const struct build *build)
{
    char path[PATH_MAX];

    (void)build;
    return outside_find(PROGRAM, path);
}

static bool add(struct strv *words, const char *option, const char *value)
{
    return strv_add(words, option) && (!value || strv_add(words, value));
}

/* "OPTION=PLACE/NAME", or a variable */
static bool add_path(const struct build *build, struct strv *words, const char *option,
                     const char *name)
{
    return strv_take(words, text_printf("%s=%s/%s", option, build->place, name));
}

/* Its storage, and that whatever else it writes is written in the place of the build. */
static bool begin(struct call *call, struct err *err)
{
    const struct build *build = call->build;
    struct strv *words = &call->words, *variables = &call->variables;
    autofree char *conf = text_printf("%s/storage.conf", build->place);
    const char *isolation = registry_users_configure() ? getenv(ISOLATION) : NULL;

    strv_release(words);
    strv_release(variables);
    if (!outside_find(PROGRAM, call->program)) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "there is no '" PROGRAM "' on this machine");
        return err_hint(err, "install it, or build by a daemon: --builder docker");
    }
    if (!conf || !add(words, PROGRAM, NULL) || !add_path(build, words, "--root", "storage") ||
        !add_path(build, words, "--runroot", "run") || !add(words, "--storage-driver=vfs", NULL) ||
        !add_path(build, variables, "TMPDIR", "tmp") ||
        !add_path(build, variables, "XDG_DATA_HOME", "data") ||
        !add_path(build, variables, "CONTAINERS_STORAGE_CONF", "storage.conf") ||
        !strv_take(variables, text_printf(ISOLATION "=%s", isolation ? isolation : "chroot")))
        return no_memory(err);
    return file_replace(AT_FDCWD, conf, STORAGE, strlen(STORAGE), 0600, ERR_ENGINE_FAILED, err);
}

/* A secret is a variable of its own, not a word that everybody on the machine can read. */
static bool add_argument(struct call *call, const char *argument)
{
    size_t len = strcspn(argument, "=");
    autofree char *name = strndup(argument, len);

    if (!check_name_is_secret(argument, len))
        return add(&call->words, "--build-arg", argument);
    return name && add(&call->words, "--build-arg", name) && strv_add(&call->variables, argument);
}

static bool add_build(struct call *call)
{
    const struct build *build = call->build;
    struct strv *words = &call->words;

    if (!add(words, "build", "--pull-always") || !add(words, "--network=host", "--format=oci") ||
        !add(words, "--layers=false", NULL) || !add_path(build, words, "--iidfile", "id") ||
        !add(words, "--file", build->file) ||
        (build->platform && !add(words, "--platform", build->platform)) ||
        (build->epoch && !add(words, "--timestamp", build->epoch)))
        return false;
    for (size_t i = 0; i < build->arguments.count; i++) {
        if (!add_argument(call, build->arguments.items[i]))
            return false;
    }
    for (size_t i = 0; i < build->labels.count; i++) {
        if (!add(words, "--label", build->labels.items[i]))
            return false;
    }
    return add(words, "--", build->directory);
}

static void say(void *data, const char *line)
{
    build_say(data, line);
}

/* Whether all that an image holds would have to be the caller's own. */
static bool lacks_ids(void)
{
    struct mapped mapped;
    struct err ignored;

    return mapped_for(0, 0, &mapped, &ignored) && mapped.map.kind == IDMAP_SINGLE;
}

static bool run(struct call *call, const char *what, struct err *err)
{
    const struct outside outside = {.program = call->program,
                                    .words = &call->words,
                                    .more = &call->variables,
                                    .directory = call->build->place,
                                    .apart = true,
                                    .with_errors = true,
                                    .line = say,
                                    .data = (void *)call->build};
    int status;

    if (!outside_run(&outside, &status, err))
        return false;
    if (status == 0)
        return true;
    err_set(err, ERR_ENGINE_FAILED, PROGRAM " cannot %s '%s': it ends with status %d", what,
            call->build->directory, status);
    if (lacks_ids())
        return err_hint(err, "--verbose shows what it says; images with files of several owners "
                             "need ranges of ids in /etc/subuid and /etc/subgid");
    return err_hint(err, "--verbose shows what it says");
}

static bool read_id(const struct build *build, char id[DIGEST_TEXT_MAX], struct err *err)
{
    autofree char *path = text_printf("%s/id", build->place);
    autobuf text = BUF_INIT(ID_MAX);

    if (!path)
        return no_memory(err);
    if (!file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, err))
        return false;
    if (!text.data || !digest_is_valid(text.data))
        return err_set(err, ERR_ENGINE_FAILED, PROGRAM " does not say which image it has made");
    strcpy(id, text.data);
    return true;
}

static bool make_directories(const struct build *build, struct err *err)
{
    static const char *const names[] = {"tmp", "data"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        autofree char *path = text_printf("%s/%s", build->place, names[i]);

        if (!path || !file_make_dirs(path, 0700, ERR_ENGINE_FAILED, err))
            return path ? false : no_memory(err);
    }
    return true;
}

static bool build_image(const struct build *build, char **reference, struct err *err)
{
    CLEANUP(call_release) struct call call = {.build = build};
    autofree char *result = text_printf("oci:%s/result:image", build->place);
    char id[DIGEST_TEXT_MAX];

    if (!result || !make_directories(build, err) || !begin(&call, err))
        return result ? false : no_memory(err);
    if (!add_build(&call))
        return no_memory(err);
    if (!run(&call, "build", err) || !read_id(build, id, err) || !begin(&call, err))
        return false;
    if (!add(&call.words, "push", "--quiet") || !add(&call.words, id, "oci:result:image"))
        return no_memory(err);
    if (!run(&call, "write the image of", err))
        return false;
    *reference = TAKE_PTR(result);
    return true;
}

const struct builder buildah_builder = {.name = PROGRAM, .is_there = is_there, .run = build_image};

/* `stepcell image build`: an existing builder, and everything around it. */
#include "shim/image/build.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "base/path.h"
#include "runtime/image/check_config.h"
#include "runtime/image/store_place.h"
#include "runtime/image/tags.h"
#include "runtime/image/upstream.h"
#include "shim/image/check_report.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/image/obtain.h"
#include "shim/image/target.h"

#define SCHEMA "stepcell.build/1"

/* What the command line says, and what comes of it. */
struct call {
    const char *store, *file, *builder, *version_arg, *name, *push;
    struct strv arguments, tags;
    bool json, verbose, quiet;
    struct check_request check;
    struct build build;
    const char *version;   /* the value of version_arg */
    struct strv made_tags; /* of `tags` and the version */
    char *store_path;      /* absolute */
    char *image;           /* what the builder has made */
    json_t *checked, *pushed;
    char digest[DIGEST_TEXT_MAX];
};

static void call_release(struct call *call)
{
    struct build *build = &call->build;

    strv_release(&call->arguments);
    strv_release(&call->tags);
    strv_release(&call->made_tags);
    strv_release(&build->arguments);
    strv_release(&build->labels);
    mask_free(build->secrets);
    containerfile_release(&build->parsed);
    offer_release(&build->offer);
    reference_release(&build->base);
    free(build->directory);
    free(build->file);
    free(call->store_path);
    free(call->image);
    json_decref(call->checked);
    json_decref(call->pushed);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot build");
}

const struct builder *builder_choose(const char *name, const struct build *build, struct err *err)
{
    static const struct builder *const builders[] = {&buildah_builder, &docker_builder};

    for (size_t i = 0; i < ARRAY_SIZE(builders); i++) {
        if (name ? strcmp(name, builders[i]->name) == 0 : builders[i]->is_there(build))
            return builders[i];
    }
    if (name) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is no builder", name);
        err_hint(err, "give buildah or docker");
        return NULL;
    }
    err_set(err, ERR_ENGINE_UNAVAILABLE, "there is no builder on this machine");
    err_hint(err, "install buildah, or start Docker's daemon");
    return NULL;
}

/* ---- options ---- */

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return false;
    }
    return len > 0 && !isdigit((unsigned char)*text);
}

/* The last of a name counts, whatever way a builder takes them. It owns `argument`. */
static bool set_argument(struct strv *arguments, char *argument)
{
    size_t len = argument ? strcspn(argument, "=") + 1 : 0;

    for (size_t i = 0; argument && i < arguments->count; i++) {
        if (strncmp(arguments->items[i], argument, len) != 0)
            continue;
        free(arguments->items[i]);
        arguments->items[i] = argument;
        return true;
    }
    return strv_take(arguments, argument);
}

/* "NAME" alone takes the caller's value; docker's client leaves it out where there is none. */
static bool take_arguments(struct call *call, struct err *err)
{
    for (size_t i = 0; i < call->arguments.count; i++) {
        const char *given = call->arguments.items[i], *value = strchr(given, '=');
        size_t len = strcspn(given, "=");

        if (!is_name(given, len))
            return err_set(err, ERR_OPTION_INVALID, "'%.*s' is no name of a build argument",
                           (int)len, given);
        if (!value && !getenv(given))
            continue;
        if (!set_argument(&call->build.arguments,
                          value ? strdup(given) : text_printf("%s=%s", given, getenv(given))))
            return no_memory(err);
    }
    return true;
}

static bool check_labels(const struct strv *labels, struct err *err)
{
    for (size_t i = 0; i < labels->count; i++) {
        const char *equals = strchr(labels->items[i], '=');

        if (!equals || equals == labels->items[i])
            return err_set(err, ERR_OPTION_INVALID, "the label '%s' is not KEY=VALUE",
                           labels->items[i]);
    }
    return true;
}

/* Without a value, or an ARG that takes it, something else would be built than the tag says. */
static bool find_version(struct call *call, struct err *err)
{
    const struct build *build = &call->build;
    const char *name = call->version_arg;

    if (!name)
        return true;
    for (size_t i = 0; i < build->arguments.count; i++) {
        const char *argument = build->arguments.items[i];

        if (strncmp(argument, name, strlen(name)) == 0 && argument[strlen(name)] == '=')
            call->version = argument + strlen(name) + 1;
    }
    if (!call->version || !*call->version) {
        err_set(err, ERR_OPTION_INVALID, "the build argument '%s' has no value", name);
        return err_hint(err, "give it: --build-arg %s=VERSION", name);
    }
    if (strv_contains(&build->parsed.arguments, name))
        return true;
    err_set(err, ERR_OPTION_INVALID, "'%s' has no ARG %s", build->file, name);
    return err_hint(err, "write 'ARG %s' behind its last FROM", name);
}

static bool add_tag(struct call *call, const char *template, struct err *err)
{
    const struct upstream upstream = {.template = template};
    struct upstream_answer answer = {0};
    bool versioned = strchr(template, '{') != NULL;

    if (versioned && !call->version)
        return err_set(err, ERR_OPTION_INVALID, "the tag '%s' needs --version-arg", template);
    if (versioned ? !upstream_template_is_valid(template) : !tag_is_valid(template)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not a tag", template);
        return err_hint(err, "a tag is made of letters, digits, '_', '.' and '-', 128 at the most, "
                             "and '{version}' once");
    }
    if (versioned) {
        if (strlen(call->version) > VERSION_MAX)
            return err_set(err, ERR_OPTION_INVALID, "the version is longer than %d bytes",
                           VERSION_MAX);
        strcpy(answer.version, call->version);
        if (!upstream_name(&upstream, &answer)) {
            *err = answer.err;
            err->code = ERR_OPTION_INVALID;
            return false;
        }
        template = answer.tag;
    }
    return strv_contains(&call->made_tags, template) || strv_add(&call->made_tags, template) ||
           no_memory(err);
}

/* The first stands for all: it is pushed last. */
static bool make_tags(struct call *call, struct err *err)
{
    if (call->tags.count == 0)
        return add_tag(call, call->version ? "{version}" : "latest", err);
    for (size_t i = 0; i < call->tags.count; i++) {
        if (!add_tag(call, call->tags.items[i], err))
            return false;
    }
    return true;
}

static bool check_names(struct call *call, struct err *err)
{
    const char *const names[] = {call->push, call->name};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!names[i] || reference_is_repository(names[i]))
            continue;
        err_set(err, ERR_OPTION_INVALID, "'%s' is no repository of a registry", names[i]);
        return err_hint(err, "give it without a tag: HOST/PATH; --tag gives tags");
    }
    call->name = call->name ? call->name : call->push;
    if (call->name)
        return true;
    err_set(err, ERR_OPTION_INVALID, "the image has no name");
    return err_hint(err, "give one: --push HOST/PATH, or --name HOST/PATH for the store alone");
}

/* ---- the Containerfile ---- */

static bool find_file(struct call *call, struct err *err)
{
    static const char *const names[] = {"Containerfile", "Dockerfile"};
    struct build *build = &call->build;

    if (call->file) {
        /* It may itself be a link; where it lies is below the directory, or is not. */
        const char *slash = strrchr(call->file, '/');
        autofree char *above = strndup(call->file, slash ? (size_t)(slash + 1 - call->file) : 0),
                      *real = above ? realpath(*above ? above : ".", NULL) : NULL;

        build->file = real ? text_printf("%s/%s", real, path_name(call->file)) : NULL;
        return build->file || err_errno(err, ERR_OPTION_INVALID, "cannot read '%s'", call->file);
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        autofree char *path = text_printf("%s/%s", build->directory, names[i]);

        if (path && access(path, F_OK) == 0) {
            build->file = TAKE_PTR(path);
            return true;
        }
    }
    err_set(err, ERR_OPTION_INVALID, "'%s' holds no Containerfile and no Dockerfile",
            build->directory);
    return err_hint(err, "name it with --file");
}

static bool read_file(struct call *call, const char *directory, struct err *err)
{
    struct build *build = &call->build;
    autobuf text = BUF_INIT(CONTAINERFILE_MAX);

    build->directory = realpath(directory, NULL);
    if (!build->directory)
        return err_errno(err, ERR_OPTION_INVALID, "cannot build '%s'", directory);
    return find_file(call, err) &&
           file_read(AT_FDCWD, build->file, &text, ERR_OPTION_INVALID, err) &&
           containerfile_parse(text.data ? text.data : "", text.len, build->file, &build->arguments,
                               &build->parsed, err);
}

static bool take_epoch(struct call *call, struct err *err)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t ignored;

    if (!epoch || !*epoch)
        return true;
    call->build.epoch = epoch;
    return num_parse(epoch, INT64_MAX, &ignored) ||
           err_set(err, ERR_OPTION_INVALID, "SOURCE_DATE_EPOCH is no number of seconds: '%s'",
                   epoch);
}

static bool prepare(struct call *call, const char *directory, struct err *err)
{
    struct platform platform;

    call->build.verbosity = call->verbose ? PRINT_VERBOSE
                            : call->quiet ? PRINT_QUIET
                                          : PRINT_NORMAL;
    return take_arguments(call, err) && build_hide_secrets(&call->build, err) &&
           check_labels(&call->build.labels, err) && read_file(call, directory, err) &&
           find_version(call, err) && make_tags(call, err) && check_names(call, err) &&
           take_epoch(call, err) && command_parse_platform(call->build.platform, &platform, err) &&
           check_is_understood(&call->check, err);
}

/* ---- the result ---- */

/* False with an error, or with a verdict. */
static bool check(struct call *call, int *status, struct err *err)
{
    call->check.platforms = call->build.platform;
    call->check.only_faults = true;
    call->check.verbosity = call->build.verbosity;
    call->check.hidden = call->build.secrets;
    call->check.report = call->json ? &call->checked : NULL;
    *status = check_run(&call->check, call->image);
    if (*status == 0)
        return true;
    err_set(err, ERR_IMAGE_DENIED, "the image is not kept: the check says that it is %s",
            *status == STATUS_FAILED ? "not to be checked"
            : *status == 2           ? "unfit"
                                     : "not known to be fit");
    return err_hint(err, "mend the Containerfile; --profile, --fail-on and --ignore say what is "
                         "asked for");
}

static bool import_as(struct call *call, const char *tag, struct err *err)
{
    autofree char *name = text_printf("%s:%s", call->name, tag);
    autojson *report = NULL;
    struct obtain obtain = OBTAIN_INIT;

    if (!name)
        return no_memory(err);
    obtain.store = call->store_path;
    obtain.platform = call->build.platform;
    obtain.progress = "none";
    obtain.reference = call->image;
    obtain.name_as = name;
    obtain.policy = FETCH_ALWAYS;
    obtain.without_step = true;
    if (!obtain_image(&obtain, &report, err))
        return false;
    strcpy(call->digest, json_text(report, "manifest_digest"));
    return true;
}

static bool push(struct call *call, struct err *err)
{
    autofree char *name = text_printf("%s:%s", call->name, call->made_tags.items[0]);
    const struct push_request request = {.store = call->store_path,
                                         .platform = call->build.platform,
                                         .reference = name,
                                         .target = call->push,
                                         .tags = &call->made_tags};

    if (!call->push)
        return true;
    return name ? push_image(&request, &call->pushed, err) : no_memory(err);
}

static bool keep(struct call *call, struct err *err)
{
    for (size_t i = 0; i < call->made_tags.count; i++) {
        if (!import_as(call, call->made_tags.items[i], err))
            return false;
    }
    return push(call, err);
}

static bool make(struct call *call, int *status, const struct builder **builder, struct err *err)
{
    struct build *build = &call->build;
    autostore store = STORE_INIT;
    autoplace place = PLACE_INIT;

    *builder = builder_choose(call->builder, build, err);
    if (!*builder || !command_open_store(call->store, &store, err) ||
        !place_make(&store, &mapped_remover, "build", &place, err))
        return false;
    call->store_path = store_path(call->store, err);
    build->place = place.path;
    build_resolve_base(build);
    print_note(build->verbosity, "%s builds '%s'", (*builder)->name, build->directory);
    return call->store_path && build_add_labels(build, call->version, err) &&
           (*builder)->run(build, &call->image, err) && build_check_base(build, call->image, err) &&
           check(call, status, err) && keep(call, err);
}

static json_t *as_json(const struct call *call, const struct builder *builder)
{
    const struct build *build = &call->build;
    json_t *tags = json_array();
    json_t *base = build->base.name ? json_pack("{s:s, s:s}", "name", build->base.name, "digest",
                                                build->offer.top.digest)
                                    : json_null();

    for (size_t i = 0; i < call->made_tags.count; i++)
        json_array_append_new(tags, json_string(call->made_tags.items[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:o, s:O?, s:O?}", "schema", SCHEMA,
                     "builder", builder->name, "repository", call->name, "tags", tags, "digest",
                     *call->digest ? json_string(call->digest) : json_null(), "version",
                     call->version, "base", base, "check", call->checked, "push", call->pushed);
}

static int build(struct call *call, const char *directory)
{
    const struct builder *builder;
    struct err err;
    int status = 0;
    bool made;

    if (!prepare(call, directory, &err))
        return command_failed(&err);
    made = make(call, &status, &builder, &err);
    if (!made)
        print_err(&err);
    /* A verdict is an answer, too. */
    if (!made && status == 0)
        return STATUS_FAILED;
    if (call->json)
        return command_print_json(as_json(call, builder)) ? STATUS_FAILED : status;
    if (made && call->pushed)
        print_out("%s %s\n", call->digest, json_text(call->pushed, "status"));
    else if (made)
        print_out("%s\n", call->digest);
    return status;
}

int command_build(int argc, char **argv)
{
    CLEANUP(call_release) struct call call = {.check = CHECK_REQUEST_INIT};
    const struct option_spec options[] = {
        OPTION_LIST("--build-arg", "NAME[=VALUE]", &call.arguments,
                    "a build argument; NAME alone takes the caller's value; repeatable"),
        OPTION("--version-arg", "NAME", &call.version_arg,
               "the build argument whose value is the version of the image"),
        OPTION_LIST("--tag", "TEMPLATE", &call.tags,
                    "a tag, default {version}, or latest without one; repeatable"),
        OPTION("--name", "REPOSITORY", &call.name, "its name in the store; default that of --push"),
        OPTION("--push", "REPOSITORY", &call.push, "where it is pushed, under all tags"),
        OPTION_LIST("--label", "KEY=VALUE", &call.build.labels, "a label; repeatable"),
        OPTION("--file", "FILE", &call.file, "default Containerfile or Dockerfile in DIR"),
        OPTION("--platform", "OS/ARCH[/VARIANT]", &call.build.platform, "default this machine's"),
        OPTION("--builder", "buildah|docker", &call.builder, "default the first that is there"),
        OPTION("--engine-host", "URL", &call.build.host, "of Docker's daemon"),
        OPTION("--profile", "octopus|plain|FILE", &call.check.profile,
               "of the check, default octopus"),
        OPTION("--fail-on", "error|warning|info", &call.check.fail_on,
               "what makes the image unfit; error by default"),
        OPTION("--ignore", "ID[,ID...]", &call.check.ignore, "rules that are not asked"),
        OPTION("--store", "DIR", &call.store, "the image store"),
        {.name = "--verbose",
         .shorthand = "-v",
         .flag = &call.verbose,
         .help = "show what the builder says"},
        OPTION_QUIET(&call.quiet),
        FLAG("--json", &call.json, "as JSON"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image build [OPTIONS] DIR",
        .about =
            "Builds an image out of DIR and its Containerfile by buildah or a daemon of Docker,\n"
            "tags it after its key software, labels it, checks it as 'image check' does, gets it\n"
            "into the store and pushes it; prints the digest of its manifest. What is unfit is\n"
            "neither kept nor pushed. Exit status: 0 built, 2 unfit, 1 not known to be fit.",
        .missing = "one directory is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    return build(&call, argv[0]);
}

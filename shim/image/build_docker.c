/* A daemon of Docker: its API is given the context, and gives the image as docker save does. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/docker/client.h"
#include "runtime/image/check_config.h"
#include "runtime/image/context.h"
#include "runtime/image/manifest.h"
#include "shim/docker/auth.h"
#include "shim/image/build.h"
#include "shim/image/outside.h"

#define ENGINE         "docker"
#define STALL_MS       (3600 * 1000) /* that a step of a build may print nothing */
#define LINE_MAX_BYTES (256 << 10)   /* of what a daemon says at once: 32 KiB, all escaped */

struct daemon {
    const struct build *build;
    struct endpoint endpoint;
    struct client *client;
    int file; /* that is sent, or written */
    uint64_t size;
    struct buf line;
    struct outside_lines output; /* of the builder and the steps */
    char id[DAEMON_ID_MAX];
    bool failed;
};

static void daemon_release(struct daemon *daemon)
{
    client_close(daemon->client);
    endpoint_release(&daemon->endpoint);
    buf_release(&daemon->line);
    daemon->file = close_fd(daemon->file);
}

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot build by a daemon");
}

static bool open_daemon(const struct build *build, struct daemon *daemon, struct err *err)
{
    const struct endpoint_caller caller = endpoint_caller_now();

    return endpoint_find(ENGINE, build->host, &caller, &daemon->endpoint, err) &&
           client_open(ENGINE, &daemon->endpoint, STALL_MS, &daemon->client, err);
}

static bool is_there(const struct build *build)
{
    CLEANUP(daemon_release) struct daemon daemon = {.file = -1};
    struct err ignored;

    return open_daemon(build, &daemon, &ignored);
}

/* ---- what it is asked ---- */

/* As credentials: they are not for whoever is on the way. */
static bool may_send(const struct daemon *daemon, struct err *err)
{
    const struct strv *arguments = &daemon->build->arguments;

    for (size_t i = 0; i < arguments->count && !client_is_private(daemon->client); i++) {
        const char *argument = arguments->items[i];
        size_t len = strcspn(argument, "=");

        if (!check_name_is_secret(argument, len))
            continue;
        err_set(err, ERR_OPTION_INVALID,
                "the build argument '%.*s' cannot be sent to a daemon that speaks no TLS", (int)len,
                argument);
        return err_hint(err, "set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or use its socket");
    }
    return true;
}

/* {"NAME": "VALUE"} for a query, percent-encoded. */
static char *encode(const struct strv *pairs)
{
    autojson *json = json_object();
    autofree char *text = NULL;

    for (size_t i = 0; i < pairs->count; i++) {
        const char *pair = pairs->items[i], *value = strchr(pair, '=') + 1;
        autofree char *name = strndup(pair, (size_t)(value - 1 - pair));

        if (!name || json_object_set_new(json, name, json_bytes(value, strlen(value))) < 0)
            return NULL;
    }
    text = json ? json_dump_line(json) : NULL;
    return text ? client_escape(text) : NULL;
}

/* What docker calls the Containerfile: below the context. NULL with err. */
static const char *file_in_context(const struct build *build, struct err *err)
{
    size_t len = strlen(build->directory);

    if (path_is_below(build->file, build->directory))
        return build->file + len + (build->file[len] == '/');
    err_set(err, ERR_OPTION_INVALID, "'%s' is not in '%s', which is all that a daemon is sent",
            build->file, build->directory);
    err_hint(err, "copy it there, or build with --builder buildah");
    return NULL;
}

static char *build_path(const struct build *build, const char *file)
{
    autofree char *name = client_escape(file), *arguments = encode(&build->arguments),
                  *labels = encode(&build->labels),
                  *platform = client_escape(build->platform ? build->platform : "");

    if (!name || !arguments || !labels || !platform)
        return NULL;
    return text_printf("/build?dockerfile=%s&buildargs=%s&labels=%s&pull=1&rm=1&forcerm=1"
                       "&networkmode=host%s%s",
                       name, arguments, labels, *platform ? "&platform=" : "", platform);
}

static bool send_context(void *data, void *bytes, size_t size, size_t *len, struct err *err)
{
    const struct daemon *daemon = data;
    ssize_t n;

    do
        n = read(daemon->file, bytes, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read the context of a build");
    *len = (size_t)n;
    return true;
}

/* ---- what it says ---- */

static void say(void *data, const char *line)
{
    build_say(data, line);
}

/* Begins a line of its own; it is masked before anything of it is cut off. `text` may be NULL. */
static void take_error(struct daemon *daemon, const char *text)
{
    daemon->failed = true;
    outside_end(&daemon->output);
    if (text)
        outside_take(&daemon->output, text, strlen(text));
    outside_end(&daemon->output);
}

/* What a step prints at once may end anywhere. */
static void take_line(struct daemon *daemon)
{
    struct daemon_build said;

    if (daemon->line.len && answer_build(daemon->line.data, daemon->line.len, &said)) {
        if (said.id[0])
            strcpy(daemon->id, said.id);
        if (said.failed)
            take_error(daemon, said.text);
        else if (said.text)
            outside_take(&daemon->output, said.text, strlen(said.text));
        free(said.text);
    }
    daemon->line.len = 0;
}

static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    struct daemon *daemon = data;
    const char *at = bytes, *end = at + len;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t part = (size_t)((newline ? newline : end) - at);

        if (!buf_append(&daemon->line, at, part)) {
            err_set(err, ERR_ENGINE_FAILED, "the daemon says more than %d bytes at once",
                    LINE_MAX_BYTES);
            return err_hint(err, "let the steps of the build write less at once");
        }
        if (newline)
            take_line(daemon);
        at += part + (newline != NULL);
    }
    return true;
}

static bool failed(const struct build *build, struct err *err)
{
    err_set(err, ERR_ENGINE_FAILED, ENGINE " cannot build '%s'", build->directory);
    return err_hint(err, "--verbose shows what it says");
}

static bool ask_to_build(struct daemon *daemon, const char *path, const char *registries,
                         uint64_t size, struct err *err)
{
    const struct client_call call = {.method = "POST",
                                     .path = path,
                                     .registries = registries,
                                     .body = take_bytes,
                                     .upload = send_context,
                                     .upload_size = size,
                                     .data = daemon};
    autoanswer answer = {0};

    if (!client_call(daemon->client, &call, &answer, err))
        return false;
    take_line(daemon);
    outside_end(&daemon->output);
    if (answer.status != 200)
        take_error(daemon, json_text(answer.json, "message"));
    if (daemon->failed)
        return failed(daemon->build, err);
    return daemon->id[0] ||
           err_set(err, ERR_ENGINE_FAILED, ENGINE " does not say which image it has made");
}

/* ---- the image ---- */

static bool write_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    struct daemon *daemon = data;

    daemon->size += len;
    if (daemon->size > BLOB_MAX)
        return err_set(err, ERR_ENGINE_FAILED, "the image of a daemon has no end");
    return file_write_all(daemon->file, bytes, len) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot write the image of a daemon");
}

static bool fetch_image(struct daemon *daemon, const char *file, struct err *err)
{
    autofree char *path = text_printf("/images/%s/get", daemon->id);
    const struct client_call call = {
        .method = "GET", .path = path, .body = write_bytes, .data = daemon};
    autoanswer answer = {0};

    daemon->file = close_fd(daemon->file);
    daemon->file = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (daemon->file < 0 || !path)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write the image of a daemon");
    if (!client_call(daemon->client, &call, &answer, err))
        return false;
    return answer.status == 200 ||
           client_refused(daemon->client, &answer, ERR_ENGINE_FAILED, "give the image", err);
}

/* It is in stepcell's store now; the layers that were its base's stay. */
static void remove_image(struct daemon *daemon)
{
    autofree char *path = text_printf("/images/%s", daemon->id);
    const struct client_call call = {.method = "DELETE", .path = path};
    autoanswer answer = {0};
    struct err err;

    if (!path || !client_call(daemon->client, &call, &answer, &err) || answer.status >= 300)
        print_note(daemon->build->verbosity, ENGINE " keeps the image '%s'", daemon->id);
}

/* Written to a file first: the API wants no end that comes unannounced. */
static bool make_context(struct daemon *daemon, const char *file, uint64_t *size, struct err *err)
{
    autofree char *path = text_printf("%s/context.tar", daemon->build->place);
    struct stat st;

    daemon->file = path ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (daemon->file < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write the context of a build");
    if (!context_write(daemon->build->directory, file, daemon->file, err))
        return false;
    if (fstat(daemon->file, &st) < 0 || lseek(daemon->file, 0, SEEK_SET) < 0 || unlink(path) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write the context of a build");
    *size = (uint64_t)st.st_size;
    return true;
}

/* Behind the first ':' of an archive's path a reference names an image in it. */
static bool can_be_named(const struct build *build, struct err *err)
{
    if (!strchr(build->place, ':'))
        return true;
    err_set(err, ERR_OPTION_INVALID, "the archive of a daemon cannot lie in '%s', which has a ':'",
            build->place);
    return err_hint(err, "give a store without one: --store DIR");
}

static bool build_image(const struct build *build, char **reference, struct err *err)
{
    CLEANUP(daemon_release)
    struct daemon daemon = {.build = build,
                            .file = -1,
                            .line = BUF_INIT(LINE_MAX_BYTES),
                            .output = {.line = say, .data = (void *)build}};
    autofree char *archive = text_printf("%s/image.tar", build->place),
                  *result = text_printf("docker-archive:%s", archive ? archive : ""), *path = NULL;
    const char *file = file_in_context(build, err);
    CLEANUP(cleanup_free) char *registries = NULL;
    uint64_t size = 0;
    bool built;

    if (!file || !can_be_named(build, err) || !open_daemon(build, &daemon, err) ||
        !may_send(&daemon, err) || !make_context(&daemon, file, &size, err) ||
        (build->base.name &&
         !auth_find_config(&build->base, daemon.client, ENGINE, &registries, err)))
        return false;
    path = build_path(build, file);
    if (!archive || !result || !path)
        return no_memory(err);
    built = ask_to_build(&daemon, path, registries, size, err);
    if (registries)
        explicit_bzero(registries, strlen(registries));
    if (!built)
        return false;
    built = fetch_image(&daemon, archive, err);
    remove_image(&daemon);
    if (!built)
        return false;
    *reference = TAKE_PTR(result);
    return true;
}

const struct builder docker_builder = {.name = ENGINE, .is_there = is_there, .run = build_image};

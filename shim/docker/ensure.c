/* `ensure`: the image of a step in an engine's daemon, and what stepcell has to know of it. */
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "runtime/docker/container.h"
#include "runtime/image/platform.h"
#include "shim/command.h"
#include "shim/docker/command.h"
#include "shim/helper_report.h"

#define PASSWD "/etc/passwd"
#define GROUP  "/etc/group"

struct ensure {
    const char *engine, *host, *platform, *pull, *user, *progress, *id, *load, *given;
    int report; /* where the progress is told, or -1 */
    struct endpoint endpoint;
    struct reference reference; /* unless there is an id */
    struct client *client;
    struct daemon_image image;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
}

static void ensure_release(struct ensure *ensure)
{
    daemon_image_release(&ensure->image);
    client_close(ensure->client);
    reference_release(&ensure->reference);
    endpoint_release(&ensure->endpoint);
}

/* What the daemon calls it; owned by the caller. */
static char *image_name(const struct ensure *ensure)
{
    const struct reference *reference = &ensure->reference;

    if (ensure->id)
        return strdup(ensure->id);
    return text_printf("%s/%s%s%s", reference->host, reference->path, reference->digest ? "@" : ":",
                       reference->digest ? reference->digest : reference->tag);
}

static bool get(const struct ensure *ensure, const char *format, const char *name, const char *end,
                struct client_answer *answer, struct err *err)
{
    autofree char *escaped = client_escape(name);
    autofree char *path = escaped ? text_printf("%s%s%s", format, escaped, end) : NULL;
    const struct client_call call = {.method = "GET", .path = path};

    return path ? client_call(ensure->client, &call, answer, err) : no_memory(err);
}

/* Whether it is of the platform that was asked for: a daemon has one for each name. */
static bool fits(const struct ensure *ensure)
{
    struct platform wanted, is = {0};
    struct err ignored;
    autofree char *text = text_printf("%s/%s%s%s", ensure->image.os, ensure->image.arch,
                                      ensure->image.variant[0] ? "/" : "", ensure->image.variant);

    return !ensure->platform || !text || !platform_parse(ensure->platform, &wanted, &ignored) ||
           !platform_parse(text, &is, &ignored) || platform_rank(&wanted, &is) >= 0;
}

static bool inspect(struct ensure *ensure, bool *found, struct err *err)
{
    autofree char *name = image_name(ensure);
    autoanswer answer = {0};

    if (!name || !get(ensure, "/images/", name, "/json", &answer, err))
        return name ? false : no_memory(err);
    *found = answer.status == 200;
    if (answer.status == 404)
        return true;
    if (answer.status != 200)
        return client_refused(ensure->client, &answer, ERR_ENGINE_FAILED, "inspect an image", err);
    daemon_image_release(&ensure->image);
    if (!answer_image(answer.json, &ensure->image, err))
        return false;
    *found = fits(ensure);
    return true;
}

static bool not_there(const struct ensure *ensure, struct err *err)
{
    err_set(err, ERR_IMAGE_NOT_FOUND, "image '%s' is not in %s", ensure->given, ensure->engine);
    return err_hint(err, "--pull never forbids to get it; pull it first");
}

/* With an id there is nothing to pull: stepcell looks whether it has to load it. */
static bool obtain(struct ensure *ensure, bool *found, struct err *err)
{
    bool always = strcmp(ensure->pull, "always") == 0;

    *found = false;
    if (ensure->load && !load_image(ensure->client, ensure->engine, ensure->load, err))
        return false;
    if ((ensure->id || !always) && !inspect(ensure, found, err))
        return false;
    if (*found || ensure->id)
        return true;
    if (strcmp(ensure->pull, "never") == 0)
        return not_there(ensure, err);
    return pull_image(ensure->client, ensure->engine, &ensure->reference, ensure->platform,
                      ensure->progress, ensure->report, err) &&
           inspect(ensure, found, err) &&
           (*found || err_set(err, ERR_IMAGE_PLATFORM,
                              "image '%s' is not what %s has pulled: of another platform, or gone "
                              "again",
                              ensure->given, ensure->engine));
}

static json_t *text_list(const struct strv *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

/* Docker shortens the names of Docker Hub: "busybox" is "docker.io/library/busybox". */
static bool names_repository(const char *name, size_t len, const struct reference *reference)
{
    autofree char *full = text_printf("%s/%s", reference->host, reference->path);
    size_t more = full ? strlen(full) : 0;

    return more >= len && memcmp(full + more - len, name, len) == 0 &&
           (more == len || full[more - len - 1] == '/');
}

/* Of the repository that was asked for; "" when the daemon knows none. */
static const char *find_digest(const struct ensure *ensure)
{
    const struct strv *digests = &ensure->image.repo_digests;

    for (size_t i = 0; i < digests->count; i++) {
        const char *name = digests->items[i], *at = strchr(name, '@');

        if (at && digest_is_valid(at + 1) && ensure->reference.path &&
            (digests->count == 1 ||
             names_repository(name, (size_t)(at - name), &ensure->reference)))
            return at + 1;
    }
    return "";
}

static bool is_root(const char *user)
{
    static const char *const names[] = {"", "0", "0:0", "root", "root:root"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(user, names[i]) == 0)
            return true;
    }
    return false;
}

/* A container that is never started: the one way to read a file of an image. *id is owned. */
static bool make_reader(struct ensure *ensure, char **id, struct err *err)
{
    autojson *body = NULL;
    autofree char *path = NULL;
    struct client_call call = {.method = "POST"};
    autoanswer answer = {0};
    char owner[PROCESS_TEXT_MAX], name[CONTAINER_NAME_MAX];
    const char *given;

    if (!process_text(owner, err) || !container_name(name, err))
        return false;
    call.path = path = text_printf("/containers/create?name=%s", name);
    body = json_pack("{s:s, s:[s], s:{s:s, s:s}, s:{s:s}}", "Image", ensure->image.id, "Entrypoint",
                     "/", "Labels", LABEL_STEP, "", LABEL_OWNER, owner, "HostConfig", "NetworkMode",
                     "none");
    call.content = body;
    if (!body || !path)
        return no_memory(err);
    if (!client_call(ensure->client, &call, &answer, err))
        return false;
    if (answer.status != 201)
        return client_refused(ensure->client, &answer, ERR_ENGINE_FAILED, "look into an image",
                              err);
    given = answer_container_id(answer.json, err);
    *id = given ? strdup(given) : NULL;
    return *id || (given && no_memory(err));
}

static void remove_reader(struct ensure *ensure, const char *id)
{
    autofree char *path = text_printf("/containers/%s?v=1&force=1", id);
    const struct client_call call = {.method = "DELETE", .path = path};
    autoanswer answer = {0};
    struct err ignored;

    if (path)
        (void)!client_call(ensure->client, &call, &answer, &ignored);
}

/* "" for a file that the image does not have, or has as something else. */
static bool read_file(struct ensure *ensure, const char *id, const char *file, json_t **text,
                      struct err *err)
{
    autobuf content = BUF_INIT(ANSWER_FILE_MAX);
    autoanswer answer = {0};
    autofree char *end = text_printf("/archive?path=%s", file);

    if (!end || !get(ensure, "/containers/", id, end, &answer, err))
        return end ? false : no_memory(err);
    if (answer.status != 200 || !answer_file(answer.text.data, answer.text.len, &content))
        content.len = 0;
    *text = json_bytes(content.data ? content.data : "", content.len);
    return *text || no_memory(err);
}

/* The names of users: only who is not root has to be looked up. */
static bool add_users(struct ensure *ensure, json_t *report, struct err *err)
{
    const char *user = ensure->user && *ensure->user ? ensure->user : ensure->image.user;
    autofree char *id = NULL;
    json_t *passwd = NULL, *group = NULL;
    bool ok;

    if (ensure->id || is_root(user))
        return true;
    if (!make_reader(ensure, &id, err))
        return false;
    ok = read_file(ensure, id, PASSWD, &passwd, err) && read_file(ensure, id, GROUP, &group, err);
    remove_reader(ensure, id);
    json_object_set_new(report, "passwd", passwd);
    json_object_set_new(report, "group", group);
    return ok;
}

static bool add_history(struct ensure *ensure, json_t *report, struct err *err)
{
    const struct strv *entrypoint = &ensure->image.entrypoint;
    autoanswer answer = {0};
    const char *line;

    if (entrypoint->count == 0)
        return true;
    if (!get(ensure, "/images/", ensure->image.id, "/history", &answer, err))
        return false;
    line = answer_entrypoint_history(answer.json);
    if (line)
        json_object_set_new(report, "entrypoint_history", json_string(line));
    return true;
}

/* It matters to ordinary users alone: another user's daemon gives away nothing of root's. */
static bool add_rootless(struct ensure *ensure, json_t *report, struct err *err)
{
    const struct client_call call = {.method = "GET", .path = "/info"};
    autoanswer answer = {0};
    bool rootless;

    if (geteuid() == 0)
        return true;
    if (!client_call(ensure->client, &call, &answer, err))
        return false;
    if (answer.status != 200)
        return client_refused(ensure->client, &answer, ERR_ENGINE_FAILED, "describe itself", err);
    if (!answer_rootless(answer.json, &rootless, err))
        return false;
    json_object_set_new(report, "rootless", json_boolean(rootless));
    return true;
}

static bool make_report(struct ensure *ensure, json_t **report, struct err *err)
{
    const struct daemon_image *image = &ensure->image;

    *report = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "image_id", image->id,
                        "os", image->os, "arch", image->arch, "variant", image->variant, "user",
                        image->user, "workdir", image->workdir, "entrypoint",
                        text_list(&image->entrypoint), "env", text_list(&image->env), "volumes",
                        text_list(&image->volumes), "digest", find_digest(ensure));
    return *report ? add_history(ensure, *report, err) && add_users(ensure, *report, err) &&
                         add_rootless(ensure, *report, err)
                   : no_memory(err);
}

static bool ensure_image(struct ensure *ensure, json_t **report, struct err *err)
{
    const struct endpoint_caller caller = endpoint_caller_now();
    bool found;

    if (!ensure->id && !reference_parse(ensure->given, "/", &ensure->reference, err))
        return false;
    if (!endpoint_find(ensure->engine, ensure->host, &caller, &ensure->endpoint, err) ||
        !client_open(ensure->engine, &ensure->endpoint, CLIENT_STALL_MS, &ensure->client, err) ||
        !obtain(ensure, &found, err))
        return false;
    if (found)
        return make_report(ensure, report, err);
    if (ensure->load)
        return err_set(err, ERR_ENGINE_FAILED, "%s has not taken the image '%s' over as it is",
                       ensure->engine, ensure->given);
    *report = json_pack("{s:b}", "missing", true);
    return *report || no_memory(err);
}

int command_ensure(int argc, char **argv)
{
    CLEANUP(ensure_release) struct ensure ensure = {.engine = "docker", .pull = "missing"};
    const char *report_fd = "1";
    const struct option_spec options[] = {
        OPTION("--engine", "docker|podman", &ensure.engine, "whose daemon"),
        OPTION("--host", "URL", &ensure.host, "where it listens"),
        OPTION("--platform", "OS/ARCH[/VARIANT]", &ensure.platform, "of the image"),
        OPTION("--pull", "missing|always|never", &ensure.pull, "when to ask the registry"),
        OPTION("--user", "USER[:GROUP]", &ensure.user, "of the step, default the image's"),
        OPTION("--progress", "auto|plain|none", &ensure.progress, "of a pull, on stderr"),
        OPTION("--report", "FD", &report_fd, "the descriptor for the lines, default stdout"),
        OPTION("--id", "ID", &ensure.id, "the image's, known already"),
        OPTION("--load", "FILE", &ensure.load, "an archive that the daemon takes over first"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-docker ensure [OPTIONS] REFERENCE",
        .about = "Makes an image present in a daemon, and writes a line of JSON about it.",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    bool ok;
    int status, fd = -1;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    ensure.given = argv[0];
    ensure.report = fd > STDERR_FILENO ? fd : -1;
    ok = ensure_image(&ensure, &report, &err);
    return helper_report_end(fd, ok ? TAKE_PTR(report) : NULL, &err);
}

/* What is different for an engine that is a daemon: it has the image, and it knows less than the
 * native engine of who owns what. */
#include "shim/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "mounts/mountinfo.h"
#include "runtime/docker/docker.h"
#include "runtime/kubernetes/kubernetes.h"
#include "runtime/native/native.h"

#define ENSURE_WORDS 32

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to prepare the step");
}

const struct engine *session_engine(const struct session *session)
{
    static const struct engine *const engines[] = {
        [ENGINE_NATIVE] = &native_engine,
        [ENGINE_DOCKER] = &docker_engine,
        [ENGINE_PODMAN] = &podman_engine,
        [ENGINE_KUBERNETES] = &kubernetes_engine,
    };

    return engines[session->options.engine];
}

static bool take_list(const json_t *list, struct strv *out, struct err *err)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (!json_is_string(item) || !strv_add(out, json_string_value(item)))
            return no_memory(err);
    }
    return true;
}

/* Runs `stepcell-docker ensure` with further words, which end with NULL. */
static bool ensure(struct session *session, char *const *more, struct err *err)
{
    const struct run_options *options = &session->options;
    char *words[ENSURE_WORDS] = {"stepcell-docker", "ensure",
                                 "--engine",        (char *)session_engine(session)->name,
                                 "--report",        "3"};
    size_t count = 6;

    if (options->engine_host) {
        words[count++] = "--host";
        words[count++] = options->engine_host;
    }
    while (*more)
        words[count++] = *more++;
    words[count++] = session->bound ? session->bound : (char *)session->reference.given;
    return session_run_helper(session, "stepcell-docker", words, -1, err) &&
           take_list(json_object_get(session->helper_report, "volumes"), &session->volumes, err);
}

static char *copy_text(const json_t *report, const char *key)
{
    const char *text = json_text(report, key);

    return strdup(text ? text : "");
}

static bool take_platform(const json_t *report, struct platform *platform, struct err *err)
{
    static const char *const keys[] = {"os", "arch", "variant"};
    char *const parts[] = {platform->os, platform->arch, platform->variant};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *text = json_text(report, keys[i]);

        if (!text || !platform_take_part(text, strlen(text), parts[i]))
            return err_set(err, ERR_IMAGE_PLATFORM, "the image has a platform that is none");
    }
    platform_normalise(platform);
    return true;
}

/* The daemon's own word for what will run, or the registry's. */
bool session_take_image(struct session *session, struct err *err)
{
    const json_t *report = session->helper_report;
    struct image *image = &session->image;
    const char *digest = json_text(report, "digest");
    const char *history = json_text(report, "entrypoint_history");

    session->image_id = copy_text(report, "image_id");
    image->user = copy_text(report, "user");
    image->workdir = copy_text(report, "workdir");
    image->passwd = copy_text(report, "passwd");
    image->group = copy_text(report, "group");
    image->entrypoint_history = history ? strdup(history) : NULL;
    if (!session->bound)
        session->name.digest = digest && *digest ? strdup(digest) : NULL;
    if (!session->image_id || !image->user || !image->workdir || !image->passwd || !image->group ||
        (history && !image->entrypoint_history))
        return no_memory(err);
    return take_platform(report, &image->platform, err) &&
           take_list(json_object_get(report, "entrypoint"), &image->entrypoint, err) &&
           take_list(json_object_get(report, "env"), &image->env, err);
}

/* A daemon verifies nothing: it gets the image by the digest whose signatures were verified. */
static bool bind_to_signed(struct session *session, struct err *err)
{
    const struct reference *reference = &session->reference;
    char *words[] = {
        "stepcell-image", "attest", "--report", "3", (char *)reference->given, NULL,
    };
    const char *digest;

    if (session->verdict.demand_count == 0)
        return true;
    if (!session_run_helper(session, "stepcell-image", words, -1, err))
        return false;
    digest = json_text(session->helper_report, "digest");
    session->name.digest = digest ? strdup(digest) : NULL;
    if (!session_take_verified(session, err))
        return false;
    session->bound = text_printf("%s/%s@%s", reference->host, reference->path, digest);
    return session->bound || no_memory(err);
}

bool session_pull_by_daemon(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    enum pull_policy policy = session_saves_pull(session) ? PULL_NEVER : options->pull;
    char *words[] = {
        "--pull",
        (char *)session_pull_word(policy),
        "--user",
        options->user ? options->user : "",
        "--progress",
        (char *)session_progress_word(session),
        options->platform ? "--platform" : NULL,
        session->platform_text,
        NULL,
    };

    if (!bind_to_signed(session, err))
        return false;
    if (!ensure(session, words, err))
        return err->code == ERR_IMAGE_NOT_FOUND && policy != options->pull;
    session->has_image = session_take_image(session, err);
    return session->has_image;
}

static bool is_missing(const struct session *session)
{
    return json_is_true(json_object_get(session->helper_report, "missing"));
}

/* The store's image as an archive that any engine can load. */
static bool export_archive(struct session *session, const char *archive, struct err *err)
{
    autofree char *target = text_printf("oci-archive:%s", archive);
    char *words[] = {
        "stepcell-image",
        "export",
        "--store",
        session->store.path,
        "--platform",
        session->platform_text,
        "--report",
        "3",
        "--",
        (char *)session->reference.given,
        target,
        NULL,
    };

    return target ? session_run_helper(session, "stepcell-image", words, -1, err) : no_memory(err);
}

static bool load(struct session *session, char *archive, struct err *err)
{
    char *words[] = {"--id", session->image.config_digest, "--load", archive, NULL};

    return export_archive(session, archive, err) && ensure(session, words, err);
}

bool session_load_into_daemon(struct session *session, struct err *err)
{
    char *words[] = {"--id", session->image.config_digest, NULL};
    autofree char *archive = text_printf("%s/tmp/engine-%s.tar", session->store.path, session->id);
    bool ok;

    session->image_id = strdup(session->image.config_digest);
    if (!session->image_id || !archive)
        return no_memory(err);
    if (!ensure(session, words, err))
        return false;
    if (!is_missing(session))
        return true;
    ok = load(session, archive, err);
    unlink(archive);
    return ok;
}

/* A daemon makes a directory read-only, and not what is mounted below it. */
static bool check_readonly(const struct session *session, struct err *err)
{
    autobuf text = BUF_INIT(MOUNTINFO_MAX);

    if (!file_read(AT_FDCWD, "/proc/self/mountinfo", &text, ERR_ENGINE_FAILED, err))
        return false;
    for (size_t i = 0; i < session->options.mount_count; i++) {
        const struct mount_spec *spec = &session->specs[i];
        const char *source = session->sources[i].resolved;

        if (spec->kind != MOUNT_BIND || !spec->readonly || !source)
            continue;
        if (mountinfo_has_inside(text.data, source)) {
            err_set(
                err, ERR_OPTION_INVALID,
                "the engine '%s' cannot make '%s' read-only, in which something else is mounted",
                session_engine(session)->name, source);
            return err_hint(err, "use --engine native for it");
        }
    }
    return true;
}

/*
 * Whose the files of the step have to be. No daemon of these versions maps the ids of what it
 * mounts, but an ordinary user's own lives in a user namespace: root of the cell is the caller
 * there, and with Podman whoever runs the step.
 */
static bool check_owner(struct session *session, struct err *err)
{
    const struct mount_source *workdir = &session->sources[session->options.mount_count];
    bool root = geteuid() == 0, podman = session->options.engine == ENGINE_PODMAN;
    const json_t *rootless = json_object_get(session->helper_report, "rootless");
    uid_t uid = root ? workdir->uid : geteuid();
    gid_t gid = root ? workdir->gid : getegid();

    /* It was not asked whose it is: something else keeps the step from starting. */
    if (!root && !rootless && session->options.engine != ENGINE_KUBERNETES)
        return true;
    session->spec.owner = uid;
    session->spec.rootless = json_is_true(rootless);
    if (session->spec.rootless)
        uid = gid = 0;
    /* The group is the caller's business: --user names it. Nobody owns what is missing. */
    if (session->user.uid == uid || (session->spec.rootless && podman) || !workdir->resolved ||
        session_ships_workdir(session))
        return true;
    err_set(err, ERR_OPTION_INVALID,
            "the engine '%s' cannot give what user %u of the step writes to user %u, whom it has "
            "to belong to",
            session_engine(session)->name, session->user.uid, session->spec.owner);
    return err_hint(err, "run the step as that user, with --user %u:%u, or use --engine native",
                    uid, gid);
}

bool session_check_daemon(struct session *session, struct err *err)
{
    return session_passes(session, check_owner(session, err), err) &&
           (session->options.engine == ENGINE_KUBERNETES || check_readonly(session, err));
}

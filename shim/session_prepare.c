#include "shim/session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENSURE_TRIES 3

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to prepare the step");
}

const char *session_pull_word(enum pull_policy policy)
{
    static const char *const words[] = {"missing", "always", "never"};

    return words[policy];
}

const char *session_progress_word(const struct session *session)
{
    const struct run_options *options = &session->options;

    return options->verbosity == PRINT_QUIET ? "none"
           : options->progress               ? options->progress
                                             : "auto";
}

/* Runs `stepcell-image ensure` until it has reported; signals are handled meanwhile. */
static bool ensure(struct session *session, enum pull_policy policy, const char *user, int lock,
                   struct err *err)
{
    char *words[] = {
        "stepcell-image",
        "ensure",
        "--manifest",
        session->locked_manifest ? session->locked_manifest : "",
        "--store",
        session->store.path,
        "--platform",
        session->platform_text,
        "--pull",
        (char *)session_pull_word(policy),
        "--user",
        (char *)user,
        "--progress",
        (char *)session_progress_word(session),
        "--report",
        "3",
        "--lock",
        "4",
        (char *)session->reference.given,
        NULL,
    };

    return session_run_helper(session, "stepcell-image", words, lock, err);
}

static bool not_found(const struct session *session, struct err *err)
{
    err_set(err, ERR_IMAGE_NOT_FOUND, "image '%s' is not in the store", session->reference.name);
    return err_hint(err,
                    "--pull never forbids to get it; pull it first with 'stepcell image pull'");
}

static bool load(struct session *session, bool *found, struct err *err)
{
    image_name_release(&session->name);
    image_release(&session->image);
    session->image = IMAGE_INIT;
    return session_look_up(session, found, err) &&
           (!*found || store_load_image(&session->store, session->name.manifest_digest, found,
                                        &session->image, err));
}

/*
 * Gets what is missing. The helper locks the store for both: 'image gc' takes nothing before the
 * image has the lock of its own that load() gives it.
 */
static bool obtain(struct session *session, enum pull_policy policy, bool *found, struct err *err)
{
    autofd lock = store_open_lock(&session->store, "store", err);
    const char *user = session->options.user ? session->options.user : "";

    if (lock < 0)
        return false;
    /* A user whom the image does not know is looked for once more, when all of it is looked at. */
    if (!ensure(session, policy, user, lock, err) &&
        (err->code != ERR_USER_UNKNOWN || !ensure(session, policy, "0:0", lock, err)))
        return false;
    return load(session, found, err) && (!*found || session_take_verified(session, err));
}

static bool find_image(struct session *session, struct err *err)
{
    enum pull_policy policy = session->options.pull;
    bool found = false;

    if ((policy != PULL_ALWAYS || session_saves_pull(session)) && !load(session, &found, err))
        return false;
    session->has_image = found && session_is_signed(session);
    if (session->has_image)
        return true;
    if (!found && policy == PULL_NEVER && !session->name.reference)
        return not_found(session, err);
    if (session_saves_pull(session))
        return true;
    found = false;
    /* 'image verify' holds a record for a moment when it replaces a layer, and 'image gc' when it
     * looks whether a cell has it: who asks with the store's lock waits for them. */
    for (int try = 0; try < ENSURE_TRIES && !found; try++) {
        if (!obtain(session, policy, &found, err))
            return false;
    }
    session->has_image = found;
    return found || err_set(err, ERR_ENGINE_FAILED, "image '%s' vanished from the store",
                            session->reference.name);
}

/*
 * What --platform asked for may not be what this host runs. Another architecture works where the
 * kernel has an interpreter for it.
 */
static bool check_platform(const struct session *session, struct err *err)
{
    static const struct {
        const char *arch;
        const char *interpreter;
    } interpreters[] = {
        {"arm64", "/proc/sys/fs/binfmt_misc/qemu-aarch64"},
        {"arm", "/proc/sys/fs/binfmt_misc/qemu-arm"},
        {"amd64", "/proc/sys/fs/binfmt_misc/qemu-x86_64"},
        {"386", "/proc/sys/fs/binfmt_misc/qemu-i386"},
    };
    const struct platform *image = &session->image.platform;
    char text[PLATFORM_TEXT_MAX];
    struct platform host;

    platform_host(&host);
    /* The image must not open what only its own word asks for. */
    if (platform_has_32_bits(image) && !platform_has_32_bits(&session->platform) &&
        !session->options.seccomp) {
        err_set(err, ERR_IMAGE_PLATFORM, "image '%s' needs 32-bit system calls, which are closed",
                session->reference.name);
        platform_text(image, text);
        return err_hint(err,
                        "--platform %s opens them; by them a step reaches socket families that the "
                        "seccomp filter closes otherwise",
                        text);
    }
    if (platform_rank(&host, image) >= 0)
        return true;
    for (size_t i = 0; strcmp(image->os, host.os) == 0 && i < ARRAY_SIZE(interpreters); i++) {
        if (strcmp(image->arch, interpreters[i].arch) == 0 &&
            access(interpreters[i].interpreter, F_OK) == 0)
            return true;
    }
    platform_text(image, text);
    err_set(err, ERR_IMAGE_PLATFORM, "image '%s' is for %s, which this host cannot run",
            session->reference.name, text);
    platform_text(&host, text);
    return err_hint(err, "leave --platform out, or use an image that offers %s", text);
}

bool session_has_entrypoint(const struct session *session)
{
    const struct strv *entrypoint = &session->image.entrypoint;

    return entrypoint->count > 1 || (entrypoint->count == 1 && entrypoint->items[0][0]);
}

static bool check_entrypoint(const struct session *session, struct err *err)
{
    const struct strv *entrypoint = &session->image.entrypoint;
    autobuf text = BUF_INIT(1024);
    const char *history = session->image.entrypoint_history;

    if (session->options.entrypoint == ENTRYPOINT_CLEAR || !session_has_entrypoint(session))
        return true;
    for (size_t i = 0; i < entrypoint->count; i++)
        buf_printf(&text, "%s\"%s\"", i ? ", " : "", entrypoint->items[i]);
    err_set(err, ERR_IMAGE_ENTRYPOINT, "image '%s' has the entrypoint [%s]%s%s%s",
            session->reference.name, text.data ? text.data : "…", history ? ", set by '" : "",
            history ? history : "", history ? "'" : "");
    return err_hint(err,
                    "rebuild the image with 'ENTRYPOINT []', or run it with --entrypoint clear");
}

/* Empty layers are often the same one: the upper has all that the lower has, and overlayfs takes a
 * directory once. */
static bool comes_again(const struct strv *diff_ids, size_t i)
{
    for (size_t j = i + 1; j < diff_ids->count; j++) {
        if (strcmp(diff_ids->items[i], diff_ids->items[j]) == 0)
            return true;
    }
    return false;
}

static bool no_layers(const struct session *session, struct err *err)
{
    err_set(err, ERR_IMAGE_CORRUPT, "image '%s' has no layers, and so no command that could run",
            session->reference.name);
    return err_hint(err, "it may be meant to carry nothing but metadata; choose another one");
}

static bool find_layers(struct session *session, struct err *err)
{
    struct idmap map;
    char key[IDMAP_KEY_MAX];
    bool found;

    if (!idmap_for_step(session->user.uid, session->user.gid, &map, err))
        return false;
    idmap_key(&map, key);
    /* The image may be here for the ids of another user only. */
    if (!store_has_layers(&session->store, key, &session->image)) {
        enum pull_policy policy = session->options.pull == PULL_NEVER ? PULL_NEVER : PULL_MISSING;

        if (session_saves_pull(session))
            return true;
        if (!obtain(session, policy, &found, err))
            return false;
        if (!found || !store_has_layers(&session->store, key, &session->image))
            return err_set(err, ERR_ENGINE_FAILED,
                           "the layers of image '%s' vanished from the store",
                           session->reference.name);
    }
    for (size_t i = 0; i < session->image.diff_ids.count; i++) {
        autofree char *path = NULL;

        if (comes_again(&session->image.diff_ids, i))
            continue;
        path = store_layer_path(key, session->image.diff_ids.items[i]);
        if (!path || !strv_take(&session->layers, text_printf("%s/%s", session->store.path, path)))
            return no_memory(err);
    }
    return true;
}

/* Everything of the image out of the store. */
static bool prepare_in_store(struct session *session, struct err *err)
{
    if (!find_image(session, err))
        return false;
    if (session->has_image)
        store_note_use(&session->image);
    return true;
}

static bool prepare_image(struct session *session, struct err *err)
{
    bool daemon = session->options.engine != ENGINE_NATIVE;

    if (session->options.engine == ENGINE_KUBERNETES)
        return session_describe_image(session, err);
    if (daemon && session->reference.transport == TRANSPORT_REGISTRY)
        return session_pull_by_daemon(session, err);
    if (!prepare_in_store(session, err))
        return false;
    return !daemon || session_saves_pull(session) || session_load_into_daemon(session, err);
}

bool session_take_user(struct session *session, struct err *err)
{
    const char *user = session->options.user ? session->options.user : session->image.user;
    /* What a worker's store knows of the image must not make it another step. */
    bool unread = session->options.engine == ENGINE_KUBERNETES && !user_is_looked_up(user);

    session->knows_user = user_resolve(user, session->image.passwd,
                                       unread ? "" : session->image.group, &session->user, err);
    return session->knows_user;
}

/* Whether the image fits; each of these looks at something else of it. */
static bool check_image(struct session *session, struct err *err)
{
    /* What nodes run is theirs to say. */
    bool fits = session->options.engine == ENGINE_KUBERNETES || check_platform(session, err);

    if (!session_passes(session, fits, err) ||
        !session_passes(session, check_entrypoint(session, err), err) ||
        !session_passes(session, session_take_user(session, err), err))
        return false;
    if (session->options.engine != ENGINE_NATIVE)
        return !session->knows_user || session_check_daemon(session, err);
    /* As its root the rest of it is looked at also where it does not know the user. */
    return session->image.diff_ids.count ? find_layers(session, err) : no_layers(session, err);
}

bool session_name_image(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;

    if (!session_read_policy(session, err))
        return false;
    if (options->platform) {
        if (!platform_parse(options->platform, &session->platform, err))
            return false;
    } else {
        platform_host(&session->platform);
    }
    platform_text(&session->platform, session->platform_text);
    if (!reference_parse(options->image, session->cwd, &session->reference, err))
        return false;
    session->result.reference = session->reference.name;
    if (!session_apply_lock(session, err))
        return false;
    return session_resolve_image(session, err);
}

bool session_prepare(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    autofree char *path = NULL;

    if (!session_name_image(session, err))
        return false;
    path = store_path(options->store, err);
    if (!path || (!session_allow(session, err) && !session_may_look(session)) ||
        !store_open(path, &session->store, err) || !prepare_image(session, err))
        return false;
    if (!session->has_image)
        return true;
    platform_text(&session->image.platform, session->platform_text);
    session->result.platform = session->platform_text;
    return check_image(session, err);
}

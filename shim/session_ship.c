/* What a cluster's nodes do not have of a step goes there as an image, by stepcell-image. */
#include "shim/session.h"

#include <string.h>

#include "base/path.h"
#include "runtime/kubernetes/pod_spec.h"

#define WORDS_BEFORE 12

struct parcels {
    struct pod_volume *volumes;
    size_t volume_count;
    struct strv without;         /* directories that are shipped empty */
    struct strv words;           /* "NAME=DIR" */
    struct strv same;            /* "DEV:INO=DIR" of each: what was judged is what is shipped */
    const struct mount *workdir; /* where it is shipped */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to ship the packages");
}

static void parcels_release(struct parcels *parcels)
{
    for (size_t i = 0; i < parcels->volume_count; i++)
        pod_volume_release(&parcels->volumes[i]);
    free(parcels->volumes);
    strv_release(&parcels->without);
    strv_release(&parcels->words);
    strv_release(&parcels->same);
}

static bool read_volumes(const struct strv *given, struct parcels *parcels, struct err *err)
{
    parcels->volumes = calloc(given->count + 1, sizeof(*parcels->volumes));
    if (!parcels->volumes)
        return no_memory(err);
    for (size_t i = 0; i < given->count; i++) {
        if (!pod_volume_parse(given->items[i], &parcels->volumes[i], err))
            return false;
        parcels->volume_count++;
    }
    return true;
}

/* What other mounts hide need not go along. */
static bool add_hidden(const struct mount_plan *plan, const struct mount *mount,
                       struct parcels *parcels, struct err *err)
{
    autostrv names = {0};

    if (!pod_hidden(plan, mount, &names))
        return no_memory(err);
    for (size_t i = 0; i < names.count; i++) {
        if (!strv_take(&parcels->without,
                       text_printf("%s/%s", mount->source.resolved, names.items[i])))
            return no_memory(err);
    }
    return true;
}

bool session_ships_workdir(const struct session *session)
{
    const struct run_options *options = &session->options;
    const struct mount workdir = {
        .kind = MOUNT_BIND,
        .role = MOUNT_WORKDIR,
        .source.resolved = session->sources[options->mount_count].resolved,
    };
    const struct strv *volumes[] = {&options->kubernetes_volumes, &session->cluster_config.volumes};
    struct err ignored;

    for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
        CLEANUP(parcels_release) struct parcels parcels = {0};

        if (!read_volumes(volumes[i], &parcels, &ignored) ||
            !pod_is_shipped(parcels.volumes, parcels.volume_count, &workdir))
            return false;
    }
    return options->engine == ENGINE_KUBERNETES && session_repository(session);
}

static bool add_parcel(const struct mount_plan *plan, const struct mount *mount,
                       struct parcels *parcels, struct err *err)
{
    char name[POD_SHIPPED_NAME_MAX];

    if (mount->role == MOUNT_WORKDIR)
        parcels->workdir = mount;
    pod_shipped_name(mount, name);
    if (!strv_take(&parcels->words, text_printf("%s=%s", name, mount->source.resolved)) ||
        !strv_take(&parcels->same,
                   text_printf("%llu:%llu=%s", (unsigned long long)mount->source.dev,
                               (unsigned long long)mount->source.ino, mount->source.resolved)))
        return no_memory(err);
    return add_hidden(plan, mount, parcels, err);
}

/* The working directory last: it changes most, and what lies below a layer need not. */
static bool collect(const struct session *session, struct parcels *parcels, struct err *err)
{
    const struct mount_plan *plan = &session->plan;

    if (!read_volumes(&session->cluster_volumes, parcels, err))
        return false;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < plan->count; i++) {
            const struct mount *mount = &plan->mounts[i];

            if ((mount->role == MOUNT_WORKDIR) == (pass == 1) &&
                pod_is_shipped(parcels->volumes, parcels->volume_count, mount) &&
                !add_parcel(plan, mount, parcels, err))
                return false;
        }
    }
    return true;
}

/* Its program is this machine's. */
static bool check_platform(const struct session *session, struct err *err)
{
    struct platform host;

    platform_host(&host);
    if (strcmp(host.arch, session->image.platform.arch) == 0)
        return true;
    err_set(err, ERR_IMAGE_PLATFORM,
            "a step for %s can get neither its first program nor files from a machine of another "
            "kind",
            session->platform_text);
    return err_hint(err, "name an init image that a machine of that kind has pushed, with "
                         "--kubernetes-init, and put what the step needs on a volume");
}

/* What a cluster cannot do is said before anything is pushed for it. */
static bool check_pod(struct session *session, const struct parcels *parcels, struct err *err)
{
    const struct pod_request request = {
        .name = "",
        .image = session->image_id,
        .owner = "",
        .step = "",
        .volumes = parcels->volumes,
        .volume_count = parcels->volume_count,
    };
    autojson *body = NULL;

    session->cluster.shipped = session_repository(session);
    return pod_body(&session->spec, &request, &body, err);
}

static bool push(struct session *session, const struct parcels *parcels, struct err *err)
{
    autofree char *owner = text_printf("%u:%u", session->spec.uid, session->spec.gid);
    size_t count = 0, room = WORDS_BEFORE + 2 * parcels->without.count + 3 * parcels->words.count;
    autofree char **words = calloc(room + 1, sizeof(*words));
    const char *image;

    if (!words || !owner)
        return no_memory(err);
    words[count++] = "stepcell-image";
    words[count++] = "ship";
    words[count++] = "--report";
    words[count++] = "3";
    words[count++] = "--store";
    words[count++] = session->store.path;
    words[count++] = "--owner";
    words[count++] = owner;
    for (size_t i = 0; i < parcels->without.count; i++) {
        words[count++] = "--without";
        words[count++] = parcels->without.items[i];
    }
    for (size_t i = 0; i < parcels->same.count; i++) {
        words[count++] = "--same";
        words[count++] = parcels->same.items[i];
    }
    if (session->shipped_list) {
        words[count++] = "--list";
        words[count++] = session->shipped_list;
    }
    words[count++] = "--";
    words[count++] = (char *)session_repository(session);
    for (size_t i = 0; i < parcels->words.count; i++)
        words[count++] = parcels->words.items[i];
    if (!session_run_helper(session, "stepcell-image", words, -1, err))
        return false;
    image = json_text(session->helper_report, "image");
    session->shipped = image ? strdup(image) : NULL;
    session->cluster.shipped = session->shipped;
    return session->shipped || no_memory(err);
}

bool session_ship(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    CLEANUP(parcels_release) struct parcels parcels = {0};

    if (options->engine != ENGINE_KUBERNETES)
        return true;
    if (session_repository(session) && !collect(session, &parcels, err))
        return false;
    if (!parcels.words.count)
        return (session->cluster.init_image || check_platform(session, err)) &&
               session_lend_credentials(session, session->cluster.init_image, err);
    if (!check_platform(session, err) || !check_pod(session, &parcels, err) ||
        !session_lend_credentials(session, session_repository(session), err))
        return false;
    if (parcels.workdir && options->kubernetes_return &&
        !session_expect_return(session, parcels.workdir, err))
        return false;
    if (parcels.workdir && !options->kubernetes_return)
        session_note(session,
                     "what the step changes in '%s' stays in its Pod: --kubernetes-return would "
                     "bring it back",
                     session->workdir);
    return push(session, &parcels, err);
}

void session_unship(struct session *session)
{
    char *words[] = {"stepcell-image", "unship", "--report", "3", session->shipped, NULL};
    struct err ignored;

    if (!session->shipped)
        return;
    /* What a registry does not let anybody delete is its administrator's to clear away. */
    (void)session_run_helper(session, "stepcell-image", words, -1, &ignored);
    free(session->shipped);
    session->shipped = NULL;
}

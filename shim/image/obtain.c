#include "base/json.h"
#include "shim/image/obtain.h"

#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "runtime/image/registry_config.h"
#include "runtime/native/user.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/image/progress.h"
#include "shim/image/signed.h"

#define ID_MAX INT32_MAX

/* UID:GID in numbers. */
static bool parse_ids(const char *text, uid_t *uid, gid_t *gid, struct err *err)
{
    autofree char *copy = strdup(text);
    char *colon = copy ? strchr(copy, ':') : NULL;
    uint64_t first, second;

    if (colon)
        *colon++ = '\0';
    if (!colon || !num_parse(copy, ID_MAX, &first) || !num_parse(colon, ID_MAX, &second))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is not UID:GID", text);
    *uid = (uid_t)first;
    *gid = (gid_t)second;
    return true;
}

static bool is_from_image(const struct obtain *obtain)
{
    return !obtain->map_user || strcmp(obtain->map_user, "config") == 0;
}

/* As the step has it. */
static const char *user_of(const struct obtain *obtain, const struct image *image)
{
    return obtain->user && *obtain->user ? obtain->user : image->user;
}

/* The map of the step's user, who may be known by a name of the image only. */
static bool step_map(const struct obtain *obtain, const struct image *image, struct mapped *mapped,
                     struct err *err)
{
    autocelluser resolved = {0};
    uid_t uid = 0;
    gid_t gid = 0;

    if (!is_from_image(obtain))
        return parse_ids(obtain->map_user, &uid, &gid, err) && mapped_for(uid, gid, mapped, err);
    if (!user_resolve(user_of(obtain, image), image->passwd, image->group, &resolved, err) &&
        (!obtain->without_step || err->code != ERR_USER_UNKNOWN))
        return false;
    /* Of a user who is unknown, root's. */
    return mapped_for(resolved.uid, resolved.gid, mapped, err);
}

static bool layers_for(struct fetch *fetch, struct mapped *mapped, struct err *err)
{
    const struct layer_map map = mapped_layers(mapped);

    return fetch_layers(fetch, &map, err);
}

/*
 * Names are looked up in a passwd that lies in the layers: of an image that is new they are
 * unpacked for root first, whose map nearly always is the step's too.
 */
static bool unpack(const struct obtain *obtain, struct fetch *fetch, struct err *err)
{
    struct mapped root, step;

    if (is_from_image(obtain) && !fetch->image.passwd) {
        if (!mapped_for(0, 0, &root, err) || !layers_for(fetch, &root, err))
            return false;
    }
    /* Who runs it elsewhere has no use for the trees. */
    if (obtain->describes)
        return true;
    return step_map(obtain, &fetch->image, &step, err) && layers_for(fetch, &step, err);
}

static json_t *phases_json(const struct fetch *fetch, size_t count)
{
    static const char *const names[FETCH_PHASES] = {"resolve", "pull", "unpack"};
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        double ms = (double)fetch->phases[i].ns / (double)NS_PER_MS;
        char start[CLOCK_TEXT_MAX];

        clock_text(&fetch->phases[i].start, start);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:f}", "name", names[i], "start", start, "ms", ms));
    }
    return list;
}

/* A name in the store is one that a registry could have. */
static bool parse_name(const char *text, struct reference *name, struct err *err)
{
    if (!command_parse_reference(text, name, err))
        return false;
    return (name->transport == TRANSPORT_REGISTRY && !name->digest) ||
           err_set(err, ERR_OPTION_INVALID, "'%s' is not a name such as example.test/tools:1.0",
                   text);
}

static json_t *text_list(const struct strv *texts)
{
    json_t *list = json_array();

    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(list, json_string(texts->items[i]));
    return list;
}

static bool add_description(const struct image *image, json_t *report)
{
    const struct platform *platform = &image->platform;
    json_t *facts =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s*, s:o, s:s, s:s}", "os", platform->os, "arch",
                  platform->arch, "variant", platform->variant, "user", image->user, "workdir",
                  image->workdir, "entrypoint", text_list(&image->entrypoint), "entrypoint_history",
                  image->entrypoint_history, "env", text_list(&image->env), "passwd",
                  image->passwd ? image->passwd : "", "group", image->group ? image->group : "");

    return facts && json_object_update_new(report, facts) == 0;
}

/* For a step that is a Pod: its image, and where it runs. */
static bool describe(const struct image *image, json_t *report, struct err *err)
{
    autoregistryconfig config = {0};
    json_t *clusters;

    if (!registry_config_load(&config, err))
        return false;
    clusters = registry_config_clusters(&config);
    return (clusters && json_object_set_new(report, "clusters", clusters) == 0 &&
            add_description(image, report)) ||
           err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");
}

/* A description needs no layers, but for the files in which a user is looked up. */
static bool needs_layers(const struct obtain *obtain, const struct image *image)
{
    return !obtain->describes || (!image->passwd && user_is_looked_up(user_of(obtain, image)));
}

static bool get_layers(const struct obtain *obtain, struct fetch *fetch,
                       const struct signed_image *image, struct err *err)
{
    return unpack(obtain, fetch, err) && fetch_finish(fetch, err) &&
           signed_finish(image, fetch, err);
}

bool obtain_image(const struct obtain *obtain, json_t **report, struct err *err)
{
    autofetch fetch = FETCH_INIT;
    autostore store = STORE_INIT;
    autoreference reference = {0}, name_as = {0};
    CLEANUP(signed_release) struct signed_image image = {0};
    struct progress progress = PROGRESS_INIT;
    struct platform platform;
    bool ok, layers;

    if (!command_parse_reference(obtain->reference, &reference, err) ||
        !command_parse_platform(obtain->platform, &platform, err) ||
        !progress_init(obtain->progress, &progress, err) ||
        !command_open_store(obtain->store, &store, err))
        return false;
    if (obtain->name_as && !parse_name(obtain->name_as, &name_as, err))
        return false;
    fetch.name_as = obtain->name_as ? &name_as : NULL;
    if (!signed_begin(&reference, fetch.name_as, &image, err))
        return false;
    fetch.store = &store;
    fetch.reference = &reference;
    fetch.platform = &platform;
    fetch.policy = obtain->policy;
    fetch.known_manifest = obtain->manifest;
    fetch.lock = obtain->lock ? obtain->lock : -1;
    fetch.remover = &mapped_remover;
    progress.report = obtain->report;
    fetch.progress = progress_callbacks(&progress);
    ok = fetch_resolve(&fetch, err) && signed_verify(&image, &fetch, err);
    layers = ok && needs_layers(obtain, &fetch.image);
    if (!ok || (layers && !get_layers(obtain, &fetch, &image, err))) {
        progress_end(&progress);
        return false;
    }
    progress_complete(&progress);
    *report = json_pack("{s:s, s:s, s:O?, s:o}", "digest", fetch.name.digest, "manifest_digest",
                        fetch.name.manifest_digest, "signatures", image.signatures, "phases",
                        phases_json(&fetch, layers ? FETCH_PHASES : FETCH_PHASE_RESOLVE + 1));
    if (!*report)
        return err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");
    return !obtain->describes || describe(&fetch.image, *report, err);
}

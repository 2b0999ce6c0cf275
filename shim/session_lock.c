/* --lock and --locked: the tag that a step asks for becomes the digest that its lock file has. */
#include "shim/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/lock.h"

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the lock file");
}

static bool unpinned(const struct session *session, const char *file, struct err *err)
{
    err_set(err, ERR_IMAGE_UNPINNED, "'%s' is not in the lock file '%s'", session->reference.name,
            file);
    return err_hint(err, "whoever keeps the file adds it with: stepcell lock add --lock %s %s",
                    file, session->reference.given);
}

static bool no_platform(const struct session *session, const char *name, json_t *entry,
                        struct err *err)
{
    autobuf offers = BUF_INIT(ERR_HINT_MAX / 2);
    const char *platform;
    json_t *value;

    json_object_foreach (json_object_get(entry, "platforms"), platform, value)
        buf_printf(&offers, "%s%s", offers.len ? ", " : "", platform);
    err_set(err, ERR_IMAGE_PLATFORM, "the lock entry '%s' has no image for %s: it has %s", name,
            session->platform_text, offers.data ? offers.data : "more than can be told");
    return err_hint(err, "choose one of them with --platform, or lock an image that is built for "
                         "this one");
}

/* What asks for a digest has it; the entry knows the manifest, without a question to a registry. */
static bool take_digest(struct session *session, json_t *entry, const char *manifest,
                        struct err *err)
{
    const char *digest = session->reference.digest;
    bool is_index = strcmp(digest, json_text(entry, "digest")) == 0;

    if (!is_index || manifest)
        session->locked_manifest = strdup(is_index ? manifest : digest);
    return (is_index && !manifest) || session->locked_manifest || no_memory(err);
}

/* From here on the step asks for the digest. A daemon may run another platform than this host. */
static bool take_entry(struct session *session, const char *name, json_t *entry, struct err *err)
{
    const char *tag = session->reference.tag;
    autofree char *text = text_printf("%s%s%s@%s", json_text(entry, "image"), tag ? ":" : "",
                                      tag ? tag : "", json_text(entry, "digest"));
    const char *manifest = lock_platform_digest(entry, &session->platform);
    autoreference locked = {0};

    session->lock_entry = strdup(name);
    session->locked_tag = strdup(json_text(entry, "tag"));
    if (!text || !session->lock_entry || !session->locked_tag)
        return no_memory(err);
    session->result.lock = session->lock_entry;
    session->asks_digest = session->reference.digest;
    if (session->asks_digest)
        return take_digest(session, entry, manifest, err);
    if (!manifest && (session->options.engine == ENGINE_NATIVE || session->options.platform))
        return no_platform(session, name, entry, err);
    if (!reference_parse(text, "/", &locked, err))
        return false;
    if (manifest)
        session->locked_manifest = strdup(manifest);
    reference_release(&session->reference);
    session->reference = locked;
    locked = (struct reference){0};
    return !manifest || session->locked_manifest || no_memory(err);
}

bool session_apply_lock(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    const char *file = options->lock ? options->lock : LOCK_FILENAME, *name;
    autolockfile lock = {0};

    if (!options->lock && !options->locked)
        return true;
    /* What is read is the file that a policy is asked about, wherever a link leads meanwhile. */
    session->lock_file = realpath(file, NULL);
    if (!lock_load(session->lock_file ? session->lock_file : file, &lock, err))
        return false;
    name = lock_find(&lock, &session->reference);
    if (name)
        return take_entry(session, name, lock_entry(&lock, name), err);
    return !options->locked || unpinned(session, file, err);
}

bool session_look_up(struct session *session, bool *found, struct err *err)
{
    struct image_name *name = &session->name;

    if (!session->locked_manifest)
        return store_lookup(&session->store, &session->reference, &session->platform, found, name,
                            err);
    name->reference = strdup(session->reference.name);
    name->digest = strdup(session->reference.digest);
    name->manifest_digest = strdup(session->locked_manifest);
    *found = true;
    return (name->reference && name->digest && name->manifest_digest) || no_memory(err);
}

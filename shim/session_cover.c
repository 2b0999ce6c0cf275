/*
 * The records of durable steps lie in the store, and the keys of what they say: a step that could
 * write there would write its own end. Where a mount holds a store, the cell has an empty directory
 * in its place, and whatever lies between the two keeps its place: a mount point cannot be renamed,
 * but the directories above it can, and what the step then made there would be the caller's store.
 */
#include "shim/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "mounts/mountinfo.h"

/* A store that is open, and all names that the host has for it. */
struct covered {
    int fd;
    dev_t dev;
    ino_t ino;
    struct strv names;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to cover the store");
}

static bool is_written_to(const struct mount_spec *spec)
{
    return spec->kind == MOUNT_BIND && !spec->readonly;
}

static bool find_names(const struct session *session, struct covered *store, struct err *err)
{
    const char *mounts = session->mountinfo.data;
    struct statx mount;
    char path[PATH_MAX];
    struct stat st;

    if (fstat(store->fd, &st) < 0 || !path_of_open(store->fd, path) ||
        statx(store->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &mount) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot tell where the store is");
    store->dev = st.st_dev;
    store->ino = st.st_ino;
    return (strv_add(&store->names, path) &&
            (!mounts || mountinfo_names(mounts, mount.stx_mnt_id, path, &store->names))) ||
           no_memory(err);
}

static char *target_of(const struct session *session, size_t i)
{
    const char *target = session->specs[i].target, *source = session->sources[i].resolved;

    return target ? path_clean("/", target) : source ? strdup(source) : NULL;
}

/* Whether a mount inside of the one that is `around` shows something else at `place`. */
static bool is_covered(const struct session *session, size_t count, const char *around,
                       const char *place)
{
    for (size_t i = 0; i < count; i++) {
        autofree char *target = target_of(session, i);

        if (target && session->specs[i].kind != MOUNT_PIN && strlen(target) > strlen(around) &&
            path_is_below(place, target))
            return true;
    }
    return false;
}

/* Room for one more, and for those that come behind. */
static bool make_room(struct session *session, size_t count, struct err *err)
{
    size_t had = session->spec_room, room = 2 * (count + 1 + SESSION_SPECS_MADE);
    struct mount_source *sources;
    struct mount_spec *specs;

    if (count + 1 + SESSION_SPECS_MADE <= had)
        return true;
    specs = reallocarray(session->specs, room, sizeof(*specs));
    session->specs = specs ? specs : session->specs;
    sources = reallocarray(session->sources, room, sizeof(*sources));
    session->sources = sources ? sources : session->sources;
    if (!specs || !sources)
        return no_memory(err);
    memset(specs + had, 0, (room - had) * sizeof(*specs));
    memset(sources + had, 0, (room - had) * sizeof(*sources));
    session->spec_room = room;
    return true;
}

static bool add_cover(struct session *session, const struct covered *store, const char *place,
                      bool copied, size_t *count, struct err *err)
{
    struct mount_spec *spec = &session->specs[*count];
    struct mount_source *source = &session->sources[(*count)++];

    *spec = (struct mount_spec){.kind = MOUNT_TMPFS,
                                .role = MOUNT_COVER,
                                .target = strdup(place),
                                .readonly = true,
                                .tmpfs_mode = 0555,
                                .tmpfs_noexec = true};
    /* An overlay shows its directories as others; in one, nothing reaches the store. */
    *source = copied ? (struct mount_source){0}
                     : (struct mount_source){.dev = store->dev, .ino = store->ino};
    return spec->target || no_memory(err);
}

static bool add_pin(struct session *session, const char *source, const char *place, size_t *count,
                    struct err *err)
{
    struct mount_spec *spec = &session->specs[*count];
    struct mount_source *found = &session->sources[(*count)++];

    *spec = (struct mount_spec){
        .kind = MOUNT_PIN, .role = MOUNT_COVER, .source = strdup(source), .target = strdup(place)};
    return spec->source && spec->target ? mount_source_find(spec, "/", found, err) : no_memory(err);
}

/* Covers the store, which is called `name`, in a mount that holds it. */
static bool cover_in(struct session *session, size_t i, const struct covered *store,
                     const char *name, size_t *count, struct err *err)
{
    const char *source = session->sources[i].resolved;
    size_t len = source[1] ? strlen(source) : 0, end = len;
    bool pins = is_written_to(&session->specs[i]), copied = session->specs[i].kind == MOUNT_COW;
    autofree char *around = target_of(session, i);

    /* A target that is none is refused with the plan. */
    if (!around)
        return true;
    session->hides_store = true;
    do {
        autofree char *outside = NULL, *place = NULL;
        bool ok;

        end += 1 + strcspn(name + end + 1, "/");
        outside = strndup(name, end);
        place = text_printf("%s%.*s", around, (int)(end - len), name + len);
        if (!outside || !place || !make_room(session, *count, err))
            return outside && place ? false : no_memory(err);
        if (is_covered(session, *count, around, place))
            return true;
        ok = name[end] == '\0' ? add_cover(session, store, place, copied, count, err)
                               : !pins || add_pin(session, outside, place, count, err);
        if (!ok)
            return false;
    } while (name[end]);
    return true;
}

/* Something else may be mounted over a name that a mount gives it. */
static bool is_named(const struct covered *store, const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0 && st.st_dev == store->dev && st.st_ino == store->ino;
}

static bool cover_name(struct session *session, const struct covered *store, const char *name,
                       size_t *count, struct err *err)
{
    for (size_t i = 0; i <= session->options.mount_count; i++) {
        const char *source = session->sources[i].resolved;
        bool inside = source && path_is_below(source, name);

        if (!source || (!inside && !path_is_below(name, source)))
            continue;
        if (inside && is_written_to(&session->specs[i])) {
            err_set(err, ERR_MOUNT_DENIED, "'%s' lies in the store, which no step may write to",
                    source);
            return err_hint(err, "give the step a directory outside of '%s'", name);
        }
        if (!inside && !cover_in(session, i, store, name, count, err))
            return false;
    }
    return true;
}

static bool cover(struct session *session, int fd, size_t *count, struct err *err)
{
    struct covered store = {.fd = fd};
    bool ok = find_names(session, &store, err);

    for (size_t i = 0; ok && i < store.names.count; i++)
        ok = (i > 0 && !is_named(&store, store.names.items[i])) ||
             cover_name(session, &store, store.names.items[i], count, err);
    strv_release(&store.names);
    return ok;
}

/* A source that the step may write to and in which the place lies, or NULL. */
static const char *written_around(const struct session *session, const char *place)
{
    for (size_t i = 0; i <= session->options.mount_count; i++) {
        const char *source = session->sources[i].resolved;

        if (source && is_written_to(&session->specs[i]) && path_is_below(place, source))
            return source;
    }
    return NULL;
}

/* A link on the way to the store is no mount point: a step that may replace it is refused. */
static bool check_links(const struct session *session, int store, const char *given,
                        struct err *err)
{
    autofree char *resolved = NULL;
    autostrv links = {0};
    char path[PATH_MAX];

    if (path_of_open(store, path) && strcmp(path, given) == 0)
        return true;
    resolved = path_resolve(given, &links);
    if (!resolved)
        return no_memory(err);
    for (size_t i = 0; i < links.count; i++) {
        const char *source = written_around(session, links.items[i]);

        if (!source)
            continue;
        err_set(err, ERR_MOUNT_DENIED,
                "the link '%s', by which a store is named, lies in '%s', where the step could "
                "replace it",
                links.items[i], source);
        return err_hint(err, "give the step '%s' read-only, or a directory without that link",
                        source);
    }
    return true;
}

/* Opens what there is of a path, or at least "/". */
static int open_above(char *path)
{
    int fd;

    while ((fd = open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 && *path)
        *strrchr(path, '/') = '\0';
    return fd;
}

/* Whether the step could make what is missing of a store, or choose where that is. */
static bool could_be_made(const struct session *session, const char *path)
{
    struct covered above = {.fd = -1};
    autofree char *resolved = path_resolve(path, &above.names);
    autofd fd = resolved ? open_above(resolved) : -1;
    struct err ignored;
    bool could;

    above.fd = fd;
    could = fd < 0 || !find_names(session, &above, &ignored);
    for (size_t i = 0; i < above.names.count; i++)
        could |= written_around(session, above.names.items[i]) != NULL;
    strv_release(&above.names);
    return could;
}

/*
 * The store of calls that name none. One that is not there has no records, and is made where the
 * step could make it, with records of its own. *fd is -1 where there is nothing to cover.
 */
static bool open_default(const struct session *session, const char *path, int *fd, struct err *err)
{
    int why;

    *fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    why = errno;
    if (*fd >= 0 || !could_be_made(session, path))
        return true;
    errno = why;
    if (why == ENOENT && file_make_dirs(path, 0700, ERR_ENGINE_FAILED, err))
        *fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0 || (why == ENOENT && errno == EROFS))
        return true;
    /* What is in the way the step could move away. */
    err_errno(err, ERR_MOUNT_DENIED, "'%s', the store of calls that name none, cannot be made",
              path);
    return err_hint(err, "make that directory, or give the step one that does not hold its place");
}

bool session_cover_stores(struct session *session, size_t *count, struct err *err)
{
    autofree char *other = store_default_path();
    autofd fd = -1;

    if (!check_links(session, session->store.fd, session->store.path, err) ||
        !cover(session, session->store.fd, count, err))
        return false;
    if (!other || strcmp(other, session->store.path) == 0)
        return true;
    return open_default(session, other, &fd, err) &&
           (fd < 0 || (check_links(session, fd, other, err) && cover(session, fd, count, err)));
}

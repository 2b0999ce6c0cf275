#include "mounts/mount_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "mounts/mount_rules.h"

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the mount plan");
}

static bool source_missing(const struct mount_spec *spec, struct err *err)
{
    bool workdir = spec->role == MOUNT_WORKDIR, closed = errno == EACCES, file = errno == ENOTDIR;

    if (workdir)
        err_errno(err, ERR_WORKDIR_MISSING, "cannot use the working directory '%s'", spec->source);
    else
        err_errno(err, ERR_MOUNT_SOURCE_MISSING, "cannot mount '%s'", spec->source);
    if (closed)
        return err_hint(err,
                        "a directory above it keeps this user out; a FUSE file system lets in "
                        "only who mounted it, not even root, unless that was with allow_other");
    if (file)
        return err_hint(err, "give the directory; a single file can be mounted with --volume");
    if (workdir)
        return err_hint(err, "create it, or give another one with --workdir");
    return err_hint(err, "create it first: stepcell never creates anything on the host");
}

/*
 * The path without symbolic links and what is there: of one open file, so that they belong
 * together.
 */
static char *resolve(const char *path, struct stat *st, struct timespec *birth)
{
    autofd fd = open(path, O_PATH | O_CLOEXEC);
    char resolved[PATH_MAX];

    if (fd < 0 || fstat(fd, st) < 0 || !path_of_open(fd, resolved))
        return NULL;
    *birth = file_birth(fd);
    return strdup(resolved);
}

bool mount_source_find(const struct mount_spec *spec, const char *cwd, struct mount_source *source,
                       struct err *err)
{
    autofree char *joined =
        spec->source[0] == '/' ? strdup(spec->source) : text_printf("%s/%s", cwd, spec->source);
    struct mount_source found = {0};
    struct stat st;

    if (!joined)
        return no_memory(err);
    found.resolved = resolve(joined, &st, &found.birth);
    if (!found.resolved)
        return source_missing(spec, err);
    if (spec->role == MOUNT_DEVICE && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) {
        free(found.resolved);
        err_set(err, ERR_MOUNT_DENIED, "'%s' is no device", spec->source);
        return err_hint(err, "--device takes a device node; mount files with --volume");
    }
    if ((spec->role == MOUNT_WORKDIR || spec->role == MOUNT_PACKAGE) && !S_ISDIR(st.st_mode)) {
        free(found.resolved);
        errno = ENOTDIR;
        return source_missing(spec, err);
    }
    found.given = path_clean(cwd, spec->source);
    found.dev = st.st_dev;
    found.ino = st.st_ino;
    found.mode = st.st_mode;
    found.uid = st.st_uid;
    found.gid = st.st_gid;
    *source = found;
    return true;
}

void mount_source_look_again(struct mount_source *source)
{
    struct stat st;

    if (!source->resolved || lstat(source->resolved, &st) < 0 || st.st_dev != source->dev ||
        st.st_ino != source->ino)
        return;
    source->uid = st.st_uid;
    source->gid = st.st_gid;
}

void mount_source_release(struct mount_source *source)
{
    free(source->given);
    free(source->resolved);
    *source = (struct mount_source){0};
}

static void mount_release(struct mount *mount)
{
    free(mount->target);
    free(mount->alias_of);
    mount_source_release(&mount->source);
}

void mount_plan_release(struct mount_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        mount_release(&plan->mounts[i]);
    free(plan->mounts);
    *plan = (struct mount_plan){0};
}

static bool same_thing(const struct mount *a, const struct mount *b)
{
    return a->kind == b->kind && a->readonly == b->readonly && a->kind != MOUNT_TMPFS &&
           a->source.dev == b->source.dev && a->source.ino == b->source.ino;
}

static bool own_conflict(const char *target, const char *own, struct err *err)
{
    err_set(err, ERR_MOUNT_CONFLICT, "nothing can be mounted on '%s'", target);
    return err_hint(err, "'%s' belongs to the cell itself; choose another target", own);
}

/* Adds a mount, which the plan then owns; an identical one is already there when it is dropped. */
static bool add(struct mount_plan *plan, struct mount *mount, struct err *err)
{
    if (!mount->target) {
        mount_release(mount);
        return no_memory(err);
    }
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *other = &plan->mounts[i];

        if (strcmp(other->target, mount->target) != 0)
            continue;
        if (other->kind == MOUNT_OWN || mount->kind == MOUNT_OWN) {
            own_conflict(mount->target, mount->target, err);
            mount_release(mount);
            return false;
        }
        if (!same_thing(other, mount)) {
            err_set(err, ERR_MOUNT_CONFLICT, "two different mounts have the target '%s'",
                    mount->target);
            err_hint(err, "give each target once, or twice with the same source and access");
            mount_release(mount);
            return false;
        }
        mount_release(mount);
        return true;
    }
    if (!mount_rules_check_target(mount->target, mount->role, err)) {
        mount_release(mount);
        return false;
    }
    if (plan->count >= MOUNT_PLAN_MAX) {
        mount_release(mount);
        return err_set(err, ERR_MOUNT_CONFLICT, "more than %d mounts", MOUNT_PLAN_MAX);
    }
    plan->mounts[plan->count++] = *mount;
    return true;
}

static bool add_spec(struct mount_plan *plan, const struct mount_spec *spec,
                     struct mount_source *source, struct err *err)
{
    struct mount mount = {
        .kind = spec->kind,
        .role = spec->role,
        .readonly = spec->readonly,
        .source = *source,
        .tmpfs_size = spec->tmpfs_size,
        .tmpfs_mode = spec->tmpfs_mode,
        .tmpfs_noexec = spec->tmpfs_noexec,
    };

    *source = (struct mount_source){0};
    if (spec->kind == MOUNT_OWN)
        mount.source.mode = spec->role == MOUNT_OUTPUT ? S_IFREG : S_IFDIR;
    if (spec->target) {
        /* Only a source that is mounted at its own path has another name. */
        free(mount.source.given);
        mount.source.given = NULL;
        mount.target = path_clean("/", spec->target);
        if (!mount.target) {
            mount_release(&mount);
            err_set(err, ERR_MOUNT_DENIED, "the mount target '%s' holds '..'", spec->target);
            return err_hint(err, "give the target as a plain absolute path");
        }
    } else {
        mount.target = strdup(mount.source.resolved);
    }
    return add(plan, &mount, err);
}

/* Another name for plan->mounts[i], unless the plan has something at that name already. */
static bool add_alias(struct mount_plan *plan, size_t i, struct err *err)
{
    const struct mount *mount = &plan->mounts[i];
    struct mount alias = {.kind = mount->kind, .role = mount->role, .readonly = mount->readonly};

    alias.source.dev = mount->source.dev;
    alias.source.ino = mount->source.ino;
    alias.source.mode = mount->source.mode;
    alias.alias_of = strdup(mount->target);
    alias.target = strdup(mount->source.given);
    return add(plan, &alias, err);
}

static bool below_alias(const struct mount_plan *plan, const struct mount *mount)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *alias = &plan->mounts[i];

        if (alias->alias_of && alias != mount && path_is_below(mount->target, alias->target))
            return true;
    }
    return false;
}

/* Plain mounts, then aliases, then what is mounted below the name of an alias. */
static int rank(const struct mount_plan *plan, const struct mount *mount)
{
    if (mount->alias_of)
        return 1;
    return below_alias(plan, mount) ? 2 : 0;
}

/* Insertion sort: a plan has a handful of mounts, and nearly always fewer. */
static void sort(struct mount_plan *plan)
{
    int ranks[MOUNT_PLAN_MAX];

    for (size_t i = 0; i < plan->count; i++)
        ranks[i] = rank(plan, &plan->mounts[i]);
    for (size_t i = 1; i < plan->count; i++) {
        struct mount mount = plan->mounts[i];
        int own = ranks[i];
        size_t j = i;

        for (; j > 0; j--) {
            int order = ranks[j - 1] - own;

            if (order == 0)
                order = path_compare(plan->mounts[j - 1].target, mount.target);
            if (order <= 0)
                break;
            plan->mounts[j] = plan->mounts[j - 1];
            ranks[j] = ranks[j - 1];
        }
        plan->mounts[j] = mount;
        ranks[j] = own;
    }
}

/* Whether the nearest mount above the target is a directory of the host. */
static bool lies_in_bind(const struct mount_plan *plan, size_t i)
{
    const struct mount *nearest = NULL;

    for (size_t j = 0; j < i; j++) {
        const struct mount *above = &plan->mounts[j];

        if (path_is_below(plan->mounts[i].target, above->target) &&
            (!nearest || path_is_below(above->target, nearest->target)))
            nearest = above;
    }
    return nearest && (nearest->kind == MOUNT_BIND || nearest->kind == MOUNT_PIN);
}

/* What the engine makes holds nothing that could be mounted on. */
static bool check_own(const struct mount_plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *own = &plan->mounts[i];

        for (size_t j = 0; own->kind == MOUNT_OWN && j < plan->count; j++) {
            if (j != i && path_is_below(plan->mounts[j].target, own->target))
                return own_conflict(plan->mounts[j].target, own->target, err);
        }
    }
    return true;
}

static bool has_source(const struct mount_spec *spec, const struct mount_source *source)
{
    return spec->kind == MOUNT_TMPFS || spec->kind == MOUNT_OWN || source->resolved;
}

static bool fill(const struct mount_spec *specs, struct mount_source *sources, size_t count,
                 struct mount_plan *plan, struct errs *refused, struct err *err)
{
    struct err one;
    bool ok = true;
    size_t plain;

    for (size_t i = 0; i < count; i++) {
        if (!has_source(&specs[i], &sources[i]) || add_spec(plan, &specs[i], &sources[i], &one))
            continue;
        if (ok)
            *err = one;
        ok = false;
        if (!refused || !errs_add(refused, &one))
            break;
    }
    if (!ok)
        return false;
    plain = plan->count;
    for (size_t i = 0; i < plain; i++) {
        const struct mount *mount = &plan->mounts[i];

        if (mount->source.given && strcmp(mount->source.given, mount->source.resolved) != 0 &&
            !add_alias(plan, i, err))
            return false;
    }
    sort(plan);
    for (size_t i = 0; i < plan->count; i++)
        plan->mounts[i].in_bind = lies_in_bind(plan, i);
    return check_own(plan, err);
}

bool mount_plan_make(const struct mount_spec *specs, struct mount_source *sources, size_t count,
                     struct mount_plan *plan, struct errs *refused, struct err *err)
{
    /* Room for each spec and its other name. */
    struct mount_plan made = {.mounts = calloc(2 * count + 1, sizeof(*made.mounts))};
    bool ok = made.mounts ? fill(specs, sources, count, &made, refused, err) : no_memory(err);

    for (size_t i = 0; i < count; i++)
        mount_source_release(&sources[i]);
    if (!ok) {
        mount_plan_release(&made);
        return false;
    }
    *plan = made;
    return true;
}

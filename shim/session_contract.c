/*
 * The contract between a step and its cell, looked at before the start: everything that is wrong is
 * found at once, where one thing does not keep another from being seen.
 */
#include "shim/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "runtime/native/cgroup.h"
#include "runtime/native/network.h"
#include "runtime/native/ulimit.h"

#define STORE_FREE_MIN (1 << 20) /* bytes that a cell needs to begin with */

bool session_passes(struct session *session, bool ok, const struct err *err)
{
    /* The step can be as it should, and still not be carried out. */
    return errs_pass(&session->violations, ok, err);
}

bool session_saves_pull(const struct session *session)
{
    return session->violations.count > 0 && !session->options.explains;
}

void session_take_refusals(struct session *session, const struct exit_record *record)
{
    const struct errs *further = &record->further;

    session_passes(session, false, &record->error);
    for (size_t i = 0; i < further->count; i++)
        session_passes(session, false, &further->items[i]);
}

bool session_resolve(struct session *session, struct err *err)
{
    if (!session_find_sources(session, err) ||
        !session_passes(session, session_read_profile(session, err), err) ||
        !session_passes(session, session_prepare(session, err), err) ||
        (!session->violations.count && !session_emit_image(session, err)))
        return false;
    phases_enter(&session->result.phases, "plan");
    if (!session_passes(session, session_plan(session, err), err) ||
        !session_passes(session, session_judge(session, err), err) ||
        !session_passes(session, session_check_mounts(session, err), err) ||
        !session_passes(session, session_check_pod(session, err), err) ||
        !session_passes(session, session_check_disk(session, err), err))
        return false;
    if (session->violations.count) {
        *err = session->violations.items[0];
        return false;
    }
    return true;
}

/* Whether the kernel lets the step's user, who has these bits of the mode, do this. */
static bool has_bits(const struct mount_source *source, int wanted)
{
    return ((int)(source->mode >> 6) & wanted) == wanted;
}

/*
 * Whether the step's user may do with the source what `wanted` (R_OK, W_OK, X_OK) says. To a step
 * of root's it is the owner of the source; otherwise it is the caller, unless it is the root of a
 * cell to whom the owner is somebody with an id there.
 */
static bool user_may(const struct session *session, const struct mount_source *source, int wanted)
{
    struct idmap map;
    struct err ignored;

    if (geteuid() == 0)
        return session->user.uid == 0 || has_bits(source, wanted);
    if (faccessat(AT_FDCWD, source->resolved, wanted, AT_EACCESS) == 0)
        return true;
    if (errno != EACCES)
        return errno != EROFS;
    if (session->user.uid != 0 ||
        !idmap_for_step(session->user.uid, session->user.gid, &map, &ignored))
        return false;
    for (size_t i = 0; i < map.uids.count; i++) {
        if (source->uid - map.uids.extents[i].outside < map.uids.extents[i].count)
            return true;
    }
    return false;
}

/* Whom user_may asks about, for a message. Owned; NULL without memory. */
static char *user_words(const struct session *session)
{
    return geteuid() == 0 ? text_printf("user %u of the step", session->user.uid)
                          : text_printf("the caller, user %u,", geteuid());
}

static bool check_use(struct session *session, const struct mount *mount, struct err *err)
{
    const struct mount_source *source = &mount->source;
    bool dir = S_ISDIR(source->mode);
    bool writes = mount->kind == MOUNT_BIND && !mount->readonly && mount->role != MOUNT_VOLUME;
    autofree char *user = user_words(session);

    if (!user)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory to look at the mounts");
    if (user_may(session, source, dir ? X_OK : R_OK)) {
        /* A step that only reads may do without. */
        if (writes && !user_may(session, source, W_OK))
            session_note(session, "%s cannot write to '%s'", user, source->resolved);
        return true;
    }
    err_set(err, mount->role == MOUNT_WORKDIR ? ERR_WORKDIR_MISSING : ERR_MOUNT_DENIED,
            "%s cannot %s '%s' (mode %04o, of user %u)", user, dir ? "enter" : "read",
            source->resolved, source->mode & 07777, source->uid);
    return err_hint(err, geteuid() == 0
                             ? "give it an owner or a mode that lets the step in, or run the step "
                               "as another user with --user"
                             : "give it an owner or a mode that lets the caller in");
}

/* A daemon mounts with the ids that there are: its cell says it. */
bool session_check_mounts(struct session *session, struct err *err)
{
    if (!session->knows_user || session->options.engine != ENGINE_NATIVE)
        return true;
    for (size_t i = 0; i < session->plan.count; i++) {
        const struct mount *mount = &session->plan.mounts[i];

        /* A device is for whom its own mode lets in, and nobody knows of the others. */
        if (mount_is_cloned(mount) && mount->role != MOUNT_DEVICE &&
            !session_passes(session, check_use(session, mount, err), err))
            return false;
    }
    return true;
}

bool session_check_disk(struct session *session, struct err *err)
{
    struct statvfs fs;
    uint64_t free_bytes;

    /* Where the image is missing, the room for both was looked at. */
    if (!session->has_image || fstatvfs(session->store.fd, &fs) < 0)
        return true;
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= STORE_FREE_MIN && (fs.f_files == 0 || fs.f_favail > 0))
        return true;
    err_set(err, ERR_STORE_FULL, "the disk of the store '%s' is full", session->store.path);
    return err_hint(err, "'stepcell image gc' removes what is not needed; or choose another place "
                         "with --store");
}

/* One limit alone, so that all that cannot be enforced are named. */
static void try_limit(struct session *session, const struct limits *limits)
{
    struct cgroup cgroup = CGROUP_INIT;
    autostrv left = {0};
    struct err err;

    session_passes(session, cgroup_make(limits, session->scratch.lock, &cgroup, &err), &err);
    cgroup_remove(&cgroup, session->scratch.lock, &left);
}

/* What needs neither a user nor a plan, but for the record of a cgroup a scratch. */
static void try_surroundings(struct session *session)
{
    const struct limits *asked = &session->options.limits;
    struct err err;

    if (asked->memory && session->scratch.path)
        try_limit(session, &(struct limits){.memory = asked->memory});
    if (asked->cpu && session->scratch.path)
        try_limit(session, &(struct limits){.cpu = asked->cpu});
    if (asked->pids && session->scratch.path)
        try_limit(session, &(struct limits){.pids = asked->pids});
    for (size_t i = 0; i < asked->ulimit_count; i++) {
        const struct limits one = {.ulimits = {asked->ulimits[i]}, .ulimit_count = 1};

        session_passes(session, ulimit_raise(getpid(), &one, &err), &err);
    }
    if (session->options.network == NETWORK_PRIVATE)
        session_passes(session, network_check(&err), &err);
}

static bool cell_decided(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    enum cell_event event;

    (void)events;
    if (!session->engine->handle(session->cell, &event, err))
        return false;
    if (event == CELL_READY && session->spec.proves_command)
        session->command = COMMAND_FOUND;
    if (event == CELL_READY || event == CELL_ENDED)
        loop_stop(&session->loop);
    return true;
}

/* The cell of the step, until its command could start. */
static bool try_cell(struct session *session, struct err *err)
{
    const struct root_filesystem root = {.layers = (const char *const *)session->layers.items,
                                         .count = session->layers.count};
    const struct exit_record *record;
    bool ok;

    session->engine = session_engine(session);
    ok = session->engine->create(&session->spec, &root, &session->cell, err);
    if (!session->cell)
        return false;
    session->ends = session->engine->ends(session->cell);
    if (!ok)
        return false;
    session->cell_io = (struct loop_io){session->ends.events, cell_decided, session};
    if (!loop_add(&session->loop, &session->cell_io, EPOLLIN, err) ||
        !loop_run(&session->loop, err))
        return false;
    record = session->engine->exit_record(session->cell);
    /* That is a status of the step's, and no refusal. */
    if (record->error.code == ERR_COMMAND_NOT_FOUND)
        session->command = COMMAND_MISSING;
    else if (record->kind == EXIT_FAILED)
        session_take_refusals(session, record);
    return true;
}

bool session_look_inside(struct session *session)
{
    struct run_spec *spec = &session->spec;
    const struct run_spec asked = *spec;
    struct err err;

    /* What a policy forbids is not tried either. */
    if (session->denial.code != ERR_NONE || session->options.engine != ENGINE_NATIVE)
        return false;
    try_surroundings(session);
    if (!session->layers.count || !session->plan.mounts)
        return false;
    spec->limits = (struct limits){0};
    /* A cell with a terminal is ready when its command has taken it, and none comes here. */
    spec->terminal = false;
    if (spec->network == NETWORK_PRIVATE)
        spec->network = NETWORK_NONE;
    spec->proves_command = session->options.explains && spec->workdir && spec->argv.count;
    /* What is missing was said. */
    if (!spec->workdir)
        spec->workdir = "/";
    session_passes(session, try_cell(session, &err), &err);
    session_clean_up(session);
    *spec = asked;
    return true;
}

/*
 * The findings that decide: a cell without an image is set up, up to the point where a command
 * would start, and limits are set as a cell's would be.
 */
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/confine/caps.h"
#include "runtime/native/cgroup.h"
#include "runtime/native/native.h"
#include "runtime/native/scratch.h"
#include "shim/doctor/doctor.h"

/* Waits until the cell is ready or has failed. */
static bool wait_for_cell(struct cell *cell, struct err *err)
{
    for (;;) {
        struct pollfd fd = {.fd = native_engine.ends(cell).events, .events = POLLIN};
        enum cell_event event;

        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot wait for the cell");
        if (!native_engine.handle(cell, &event, err))
            return false;
        if (event == CELL_READY)
            return true;
        if (event == CELL_ENDED) {
            *err = native_engine.exit_record(cell)->error;
            if (err->code == ERR_NONE)
                err_set(err, ERR_ENGINE_FAILED, "the cell was killed while it was set up");
            return false;
        }
    }
}

static void remove_cell(struct cell *cell)
{
    struct pollfd fd = {.fd = native_engine.ends(cell).events, .events = POLLIN};
    struct strv left = {0};
    enum cell_event event;
    struct err ignored;
    bool ok = native_engine.clean(cell, &event, &ignored);

    while (ok && event != CELL_CLEAN && (poll(&fd, 1, -1) >= 0 || errno == EINTR))
        ok = native_engine.handle(cell, &event, &ignored);
    native_engine.close(cell, &left, &ignored);
    strv_release(&left);
}

static bool try_cell(const struct scratch *scratch, struct err *err)
{
    autofree char *layer = text_printf("%s/layer", scratch->path);
    struct mount_spec workdir = {.kind = MOUNT_BIND, .role = MOUNT_WORKDIR, .source = "."};
    struct mount_source source = {0};
    autoplan plan = {0};
    autofree char *cwd = getcwd(NULL, 0);
    struct run_spec spec = {.plan = &plan,
                            .workdir = cwd,
                            .user_listed = true,
                            .home = "/root",
                            .capabilities = CAPS_DEFAULT,
                            .scratch = scratch->path};
    struct root_filesystem root = {.layers = (const char *const *)&layer, .count = 1};
    struct cell *cell = NULL;
    bool ok;

    if (!layer || !cwd || mkdirat(scratch->lock, "layer", 0755) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot prepare a cell");
    if (!mount_source_find(&workdir, cwd, &source, err) ||
        !mount_plan_make(&workdir, &source, 1, &plan, NULL, err))
        return false;
    ok = native_engine.create(&spec, &root, &cell, err) && wait_for_cell(cell, err);
    if (cell)
        remove_cell(cell);
    return ok;
}

void doctor_cell(struct doctor *doctor)
{
    struct scratch scratch = SCRATCH_INIT;
    struct err err;
    bool ok = scratch_take(doctor->opened.fd, doctor->opened.path, &scratch, &err) &&
              try_cell(&scratch, &err);

    if (scratch.path)
        scratch_release(&scratch);
    if (ok)
        doctor_find(doctor, LEVEL_OK, NULL,
                    "a cell can be set up here, with the current directory as its working "
                    "directory");
    else
        doctor_find_err(doctor, LEVEL_ERROR, &err);
}

/* Whether one limit can be set, and whether cgroups version 2 does it. */
static bool try_limit(const struct scratch *scratch, const struct limits *limits, bool *unified,
                      struct err *err)
{
    struct cgroup cgroup = CGROUP_INIT;
    autostrv left = {0};
    bool ok = cgroup_make(limits, scratch->lock, &cgroup, err);

    *unified = cgroup.count && cgroup.dirs[0].unified;
    cgroup_remove(&cgroup, scratch->lock, &left);
    return ok;
}

void doctor_limits(struct doctor *doctor)
{
    static const struct {
        const char *option;
        struct limits limits;
    } limits[] = {
        {"--memory", {.memory = UINT64_C(1) << 30}},
        {"--cpus", {.cpu = LIMITS_CPU_PERIOD / 2}},
        {"--pids-limit", {.pids = 1000}},
    };
    struct scratch scratch = SCRATCH_INIT;
    autobuf message = BUF_INIT(ERR_MESSAGE_MAX);
    enum level level = LEVEL_OK;
    struct err err = ERR_INIT, one;
    bool taken = scratch_take(doctor->opened.fd, doctor->opened.path, &scratch, &err);

    for (size_t i = 0; taken && i < ARRAY_SIZE(limits); i++) {
        bool unified;

        if (try_limit(&scratch, &limits[i].limits, &unified, &one)) {
            buf_printf(&message, "%s%s is enforced by version %d", message.len ? "; " : "",
                       limits[i].option, unified ? 2 : 1);
            continue;
        }
        buf_printf(&message, "%s%s", message.len ? "; " : "", one.message);
        err = one;
        level = LEVEL_WARNING;
    }
    if (scratch.path)
        scratch_release(&scratch);
    if (taken)
        doctor_find(doctor, level, err_fix(&err), "%s", message.data);
    else
        doctor_find_err(doctor, LEVEL_ERROR, &err);
}

/*
 * `stepcell doctor`: what this host can do, one line a finding, with the fix. The finding that
 * decides is made by doing it: a cell without an image is set up, up to the point where a command
 * would start.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/libexec.h"
#include "base/num.h"
#include "mounts/idmap.h"
#include "runtime/confine/caps.h"
#include "runtime/confine/landlock.h"
#include "runtime/image/store.h"
#include "runtime/native/cgroup.h"
#include "runtime/native/native.h"
#include "runtime/native/network.h"
#include "runtime/native/scratch.h"
#include "shim/commands.h"
#include "shim/print.h"

#define FREE_SPACE_LOW  (UINT64_C(1) << 30) /* bytes */
#define SETTING_MAX     64
#define TEMPORARY_STORE "/tmp/stepcell-doctor.XXXXXX"

enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_ERROR };

static const char *const level_names[] = {"ok", "warning", "error"};

struct doctor {
    const char *store; /* as given by --store, or NULL */
    struct store opened;
    char temporary_path[sizeof(TEMPORARY_STORE)];
    bool temporary; /* that store is in use, and has to be removed */
    json_t *findings;
    bool ready;
};

static void find(struct doctor *doctor, const char *id, enum level level, const char *message,
                 const char *hint)
{
    if (level == LEVEL_ERROR)
        doctor->ready = false;
    json_array_append_new(doctor->findings,
                          json_pack("{s:s, s:s, s:o, s:o}", "id", id, "level", level_names[level],
                                    "message", json_bytes(message, strlen(message)), "hint",
                                    hint && *hint ? json_bytes(hint, strlen(hint)) : json_null()));
}

static void find_err(struct doctor *doctor, const char *id, const struct err *err)
{
    find(doctor, id, LEVEL_ERROR, err->message, err->hint);
}

static void check_kernel(struct doctor *doctor)
{
    struct utsname uts;
    char message[256];

    uname(&uts);
    snprintf(message, sizeof(message), "%s %s on %s", uts.sysname, uts.release, uts.machine);
    find(doctor, "kernel", LEVEL_OK, message, NULL);
}

/* A setting under /proc/sys that forbids user namespaces when it has this value. */
static const struct {
    const char *path;
    uint64_t bad;
    const char *hint;
} settings[] = {
    {"/proc/sys/user/max_user_namespaces", 0,
     "run 'sysctl -w user.max_user_namespaces=15000' as root"},
    {"/proc/sys/kernel/unprivileged_userns_clone", 0,
     "run 'sysctl -w kernel.unprivileged_userns_clone=1' as root"},
    {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1,
     "give stepcell an AppArmor profile with 'userns,', or set the setting to 0 as root"},
};

static void check_settings(struct doctor *doctor)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        autobuf text = BUF_INIT(SETTING_MAX);
        char message[256];
        struct err ignored; /* a kernel without the setting does not forbid */
        uint64_t value;

        if (!file_read(AT_FDCWD, settings[i].path, &text, ERR_ENGINE_FAILED, &ignored))
            continue;
        text.data[strcspn(text.data, "\n")] = '\0';
        if (!num_parse(text.data, UINT64_MAX, &value) || value != settings[i].bad)
            continue;
        /* Root may make namespaces even where others may not. */
        if (i > 0 && geteuid() == 0)
            continue;
        snprintf(message, sizeof(message), "'%s' is %s: user namespaces are forbidden",
                 settings[i].path, text.data);
        find(doctor, "user-namespaces", LEVEL_ERROR, message, settings[i].hint);
        return;
    }
    find(doctor, "user-namespaces", LEVEL_OK, "user namespaces are allowed", NULL);
}

static void check_scopes(struct doctor *doctor)
{
    if (landlock_has_scopes())
        find(doctor, "abstract-sockets", LEVEL_OK,
             "cells on the host's network cannot reach the host's abstract unix sockets", NULL);
    else
        find(doctor, "abstract-sockets", LEVEL_WARNING,
             "cells on the host's network can reach the host's abstract unix sockets",
             "use Linux 6.12 or newer with Landlock among the 'lsm=' of its command line, or run "
             "steps "
             "with --network none or private");
}

static void check_ids(struct doctor *doctor)
{
    char message[256];
    struct idmap map;
    struct err err;

    if (!idmap_for_step(0, 0, &map, &err)) {
        find_err(doctor, "id-ranges", &err);
        return;
    }
    switch (map.kind) {
    case IDMAP_ROOT:
        snprintf(message, sizeof(message),
                 "cells use the host ids %u to %u, which nobody else may have", IDMAP_ROOT_START,
                 IDMAP_ROOT_START + IDMAP_IDS - 1);
        find(doctor, "id-ranges", LEVEL_OK, message, NULL);
        break;
    case IDMAP_RANGES:
        find(doctor, "id-ranges", LEVEL_OK,
             "the caller has subordinate ids: every user of an image works", NULL);
        break;
    case IDMAP_SINGLE:
        find(doctor, "id-ranges", LEVEL_WARNING,
             "the caller has no subordinate ids: a cell has a single user and group",
             "install the package uidmap and give the caller a range of 65536 ids in /etc/subuid "
             "and "
             "/etc/subgid ('usermod --add-subuids' and '--add-subgids' as root)");
        break;
    }
}

static void check_programs(struct doctor *doctor)
{
    static const char *const names[] = {"stepcell-init", "stepcell-image", "stepcell-events"};
    char message[256];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct err err;
        autofree char *path = libexec_path(names[i], &err);

        if (path && access(path, X_OK) == 0)
            continue;
        snprintf(message, sizeof(message), "'%s' cannot be executed: %s", path ? path : names[i],
                 strerror(errno));
        find(doctor, "programs", LEVEL_ERROR, message, "install stepcell completely again");
        return;
    }
    find(doctor, "programs", LEVEL_OK, "the helper programs are there", NULL);
}

static void check_network(struct doctor *doctor)
{
    struct err err;

    /* Only steps that ask for it need it. */
    if (network_check(&err))
        find(doctor, "network-helpers", LEVEL_OK, "private networks can be made", NULL);
    else
        find(doctor, "network-helpers", LEVEL_WARNING, err.message, err.hint);
}

/* A diagnosis makes no store; the cell is tried in a place that goes again. */
static bool do_without_store(struct doctor *doctor, const char *path)
{
    autofree char *message = text_printf("the store '%s' does not exist yet", path);
    struct err err;

    find(doctor, "store", LEVEL_WARNING, message ? message : "the store does not exist yet",
         "the first image makes it; check the path if it should be there");
    doctor->temporary = mkdtemp(doctor->temporary_path) != NULL;
    if (!doctor->temporary)
        err_errno(&err, ERR_ENGINE_FAILED, "cannot make a directory in '/tmp'");
    else if (store_open(doctor->temporary_path, &doctor->opened, &err))
        return true;
    find_err(doctor, "cell", &err);
    return false;
}

static bool check_store(struct doctor *doctor)
{
    struct err err;
    autofree char *path = store_path(doctor->store, &err);
    autofree char *message = NULL;
    struct statvfs fs;
    uint64_t free_bytes;

    if (path && access(path, F_OK) < 0 && errno == ENOENT)
        return do_without_store(doctor, path);
    if (!path || !store_open(path, &doctor->opened, &err)) {
        find_err(doctor, "store", &err);
        return false;
    }
    if (statvfs(path, &fs) < 0) {
        err_errno(&err, ERR_ENGINE_FAILED, "cannot look at the store '%s'", path);
        find_err(doctor, "store", &err);
        return false;
    }
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    message = text_printf("the store '%s' has %.1f GB free", path, (double)free_bytes / 1e9);
    find(doctor, "store", free_bytes < FREE_SPACE_LOW ? LEVEL_WARNING : LEVEL_OK,
         message ? message : "the store",
         free_bytes < FREE_SPACE_LOW
             ? "remove images with 'stepcell image remove', or name another store with --store"
             : NULL);
    return true;
}

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
    struct root_filesystem root = {(const char *const *)&layer, 1, NULL};
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

static void check_cell(struct doctor *doctor)
{
    struct scratch scratch = SCRATCH_INIT;
    struct err err;
    bool ok = scratch_take(doctor->opened.path, &scratch, &err) && try_cell(&scratch, &err);

    if (scratch.path)
        scratch_release(&scratch);
    if (ok)
        find(doctor, "cell", LEVEL_OK,
             "a cell can be set up here, with the current directory as its working directory",
             NULL);
    else
        find_err(doctor, "cell", &err);
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

static void check_limits(struct doctor *doctor)
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
    bool taken = scratch_take(doctor->opened.path, &scratch, &err);

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
        find(doctor, "cgroups", level, message.data, err.hint);
    else
        find_err(doctor, "cgroups", &err);
}

static void print_findings(const struct doctor *doctor)
{
    size_t i;
    json_t *finding;

    json_array_foreach (doctor->findings, i, finding) {
        const char *hint = json_text(finding, "hint");

        print_out("%-8s %-16s %s\n", json_text(finding, "level"), json_text(finding, "id"),
                  json_text(finding, "message"));
        if (hint)
            print_out("%-25s fix: %s\n", "", hint);
    }
    print_out("%s\n", doctor->ready ? "Steps can run here." : "Steps cannot run here.");
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor doctor = {.opened = STORE_INIT, .temporary_path = TEMPORARY_STORE, .ready = true};
    autojson *findings = json_array();
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTION("--store", "DIR", &doctor.store, "the image store"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell doctor [OPTIONS]",
        .about = "Tells what this host can do, one line a finding, with the fix. Ends with 0 when\n"
                 "steps can run here, else with 1.",
        .options = options,
    };
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    doctor.findings = findings;
    check_kernel(&doctor);
    check_settings(&doctor);
    check_scopes(&doctor);
    check_ids(&doctor);
    check_programs(&doctor);
    check_network(&doctor);
    if (check_store(&doctor)) {
        check_cell(&doctor);
        check_limits(&doctor);
    }
    if (json) {
        autojson *report = json_pack("{s:s, s:b, s:O}", "schema", "stepcell.doctor/1", "ready",
                                     doctor.ready, "findings", findings);
        autofree char *text = report ? json_dump_page(report) : NULL;

        print_out("%s", text ? text : "");
    } else {
        print_findings(&doctor);
    }
    store_close(&doctor.opened);
    if (doctor.temporary)
        file_remove_tree(AT_FDCWD, doctor.temporary_path);
    return doctor.ready ? 0 : 1;
}

/* What else the host has to have: ids, programs, helpers of networks, a clock that is right, and
 * engines for those who want them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/libexec.h"
#include "base/program.h"
#include "runtime/docker/endpoint.h"
#include "runtime/native/network.h"
#include "runtime/native/scratch.h"
#include "runtime/native/tool.h"
#include "shim/doctor/doctor.h"
#include "shim/units.h"

#define VERSION_MAX  4096 /* bytes of what a program says of its version */
#define VERSION_WORD 32
#define CLOCK_FAR_S  120 /* seconds that two clocks may differ */
#define DAY_S        (24 * 3600)

/* What useradd(8) and administrators grant can overlap what root's cells have. */
static bool find_intruder(struct doctor *doctor, const char *path, const char *option)
{
    autobuf text = BUF_INIT(IDMAP_SUBID_MAX);
    char owner[IDMAP_OWNER_MAX], fix[256];
    struct err ignored;

    if (!file_read(AT_FDCWD, path, &text, ERR_CONFIG_INVALID, &ignored) ||
        !idmap_find_intruder(text.data, owner))
        return false;
    snprintf(fix, sizeof(fix), "give '%s' another range (usermod --del-%s, --add-%s)", owner,
             option, option);
    doctor_find(
        doctor, LEVEL_WARNING, fix,
        "'%s' has ids between %u and %u in %s, which root's cells have: that user can act on "
        "their processes and files",
        owner, IDMAP_ROOT_START, IDMAP_ROOT_START + IDMAP_ROOT_TOTAL - 1, path);
    return true;
}

void doctor_id_ranges(struct doctor *doctor)
{
    struct idmap map;
    struct err err;

    if (!idmap_for_step(0, 0, &map, &err)) {
        doctor_find_err(doctor, LEVEL_ERROR, &err);
        return;
    }
    switch (map.kind) {
    case IDMAP_ROOT:
        if (find_intruder(doctor, "/etc/subuid", "subuids") ||
            find_intruder(doctor, "/etc/subgid", "subgids"))
            break;
        doctor_find(doctor, LEVEL_OK, NULL,
                    "cells use the host ids %u to %u, which nobody else may have", IDMAP_ROOT_START,
                    IDMAP_ROOT_START + IDMAP_ROOT_TOTAL - 1);
        break;
    case IDMAP_RANGES:
        doctor_find(doctor, LEVEL_OK, NULL,
                    "the caller has subordinate ids: every user of an image works");
        break;
    case IDMAP_SINGLE:
        doctor_find(doctor, LEVEL_WARNING,
                    "install the package uidmap and give the caller a range of 65536 ids in "
                    "/etc/subuid and /etc/subgid ('usermod --add-subuids' and '--add-subgids' as "
                    "root)",
                    "the caller has no subordinate ids: a cell has a single user and group, and "
                    "what needs several (apt-get, chown, su) fails in it");
        break;
    }
}

void doctor_programs(struct doctor *doctor)
{
    static const struct {
        const char *name, *prevents;
        enum level level;
    } programs[] = {
        {"stepcell-init", "no cell can start", LEVEL_ERROR},
        {"stepcell-image", "no image can be fetched", LEVEL_ERROR},
        {"stepcell-events", "no events reach a receiver by HTTP", LEVEL_ERROR},
        {"stepcell-docker", "--engine docker and podman do not work", LEVEL_WARNING},
        {"stepcell-join", "--engine docker and podman do not work", LEVEL_WARNING},
    };
    bool all = true;

    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        struct err err;
        autofree char *path = libexec_path(programs[i].name, &err);

        if (path && access(path, X_OK) == 0)
            continue;
        all = false;
        doctor_find(doctor, programs[i].level, "install stepcell completely again",
                    "'%s' cannot be executed: %s: %s", path ? path : programs[i].name,
                    strerror(errno), programs[i].prevents);
    }
    if (all)
        doctor_find(doctor, LEVEL_OK, NULL, "the helper programs are there");
}

/* "name 1.2.3" for a helper that is installed; how much of a text was added. */
static void add_version(struct buf *text, const char *name)
{
    const char *const argv[] = {name, "--version", NULL};
    autobuf said = BUF_INIT(VERSION_MAX);
    char path[PROGRAM_PATH_MAX];
    struct err ignored;
    const char *number;

    if (!program_find(name, path))
        return;
    if (!tool_run(argv, NULL, &said, &ignored) || !said.data)
        said.len = 0;
    number = said.len ? strpbrk(said.data, "0123456789") : NULL;
    buf_printf(text, "%s%s %.*s", text->len ? ", " : "", name,
               number ? (int)strcspn(number, " \n") : VERSION_WORD,
               number ? number : "(no version)");
}

void doctor_network(struct doctor *doctor)
{
    static const char *const of_root[] = {"netavark", "iptables", NULL};
    static const char *const of_users[] = {"pasta", "slirp4netns", NULL};
    autobuf versions = BUF_INIT(VERSION_MAX);
    struct err err;

    /* Only steps that ask for it need it. */
    if (!network_check(&err)) {
        doctor_find_err(doctor, LEVEL_WARNING, &err);
        return;
    }
    for (const char *const *name = geteuid() == 0 ? of_root : of_users; *name; name++)
        add_version(&versions, *name);
    doctor_find(doctor, LEVEL_OK, NULL, "private networks can be made: %s",
                versions.data ? versions.data : "");
}

/* ---- time ---- */

static void say_when(time_t when, char text[VERSION_WORD])
{
    struct tm tm;

    gmtime_r(&when, &tm);
    strftime(text, VERSION_WORD, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

void doctor_compare_clock(struct doctor *doctor, const char *whose, time_t theirs)
{
    time_t now = time(NULL);
    int64_t apart = now > theirs ? now - theirs : theirs - now;
    char text[UNITS_MAX], when[VERSION_WORD];

    if (apart <= CLOCK_FAR_S)
        return;
    say_when(now, when);
    doctor_find(doctor, LEVEL_WARNING,
                "set the clock, with 'timedatectl set-ntp true' say; or that of the other side",
                "the clock of this host (%s) is %s %s that of %s: certificates and tokens seem to "
                "be out of date, and things expire at the wrong time",
                when, units_time(apart * 1000000000, text), now > theirs ? "ahead of" : "behind",
                whose);
}

/* What time the file system of the store thinks it is; -1 when it cannot be told. */
static time_t time_of_store(const struct doctor *doctor)
{
    struct scratch scratch = SCRATCH_INIT;
    struct err ignored;
    struct stat st;
    time_t when = -1;

    if (!scratch_take(doctor->opened.fd, doctor->opened.path, &scratch, &ignored))
        return -1;
    if (mkdirat(scratch.lock, "clock", 0700) == 0 &&
        fstatat(scratch.lock, "clock", &st, AT_SYMLINK_NOFOLLOW) == 0)
        when = st.st_mtim.tv_sec;
    unlinkat(scratch.lock, "clock", AT_REMOVEDIR);
    scratch_release(&scratch);
    return when;
}

void doctor_clock(struct doctor *doctor)
{
    size_t before = json_array_size(doctor->findings);
    time_t now = time(NULL), stored = time_of_store(doctor);
    char when[VERSION_WORD];
    struct stat self;

    say_when(now, when);
    if (stat("/proc/self/exe", &self) == 0 && self.st_mtim.tv_sec > now + DAY_S)
        doctor_find(doctor, LEVEL_WARNING, "set the clock, with 'timedatectl set-ntp true' say",
                    "the clock says %s, which is before stepcell was installed: certificates of "
                    "registries are not valid yet, and nothing that is pulled by https works",
                    when);
    if (stored != -1)
        doctor_compare_clock(doctor, "the store's file system", stored);
    if (json_array_size(doctor->findings) == before)
        doctor_find(doctor, LEVEL_OK, NULL, "the clock says %s, and so does the store", when);
}

/* ---- engines ---- */

/* Whether somebody takes connections at the socket; errno. */
static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    autofd socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(address.sun_path, path);
    return socket_fd >= 0 &&
           connect(socket_fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* Nobody needs one: steps run without. */
static void check_engine(struct doctor *doctor, const char *engine, const char *hint)
{
    const struct endpoint_caller caller = endpoint_caller_now();
    autoendpoint endpoint = {0};
    struct err err;

    if (!endpoint_find(engine, NULL, &caller, &endpoint, &err))
        doctor_find_err(doctor, LEVEL_WARNING, &err);
    else if (!endpoint.unix_socket)
        doctor_find(doctor, LEVEL_INFO, NULL, "--engine %s goes to '%s', which was not tried",
                    engine, endpoint.host);
    else if (answers(endpoint.unix_socket))
        doctor_find(doctor, LEVEL_OK, NULL, "--engine %s has somebody to talk to at '%s'", engine,
                    endpoint.host);
    else if (errno == ENOENT)
        doctor_find(doctor, LEVEL_INFO, NULL,
                    "--engine %s does not work: nobody listens at '%s'; no other step needs it",
                    engine, endpoint.host);
    else
        doctor_find(doctor, LEVEL_WARNING, hint, "--engine %s does not work: '%s': %s", engine,
                    endpoint.host, strerror(errno));
}

void doctor_docker(struct doctor *doctor)
{
    check_engine(doctor, "docker",
                 "start the daemon, and give the caller the right to write to its socket (the "
                 "group docker, which is as good as root)");
}

void doctor_podman(struct doctor *doctor)
{
    check_engine(doctor, "podman",
                 "run 'systemctl enable --now podman.socket', with --user for an ordinary user");
}

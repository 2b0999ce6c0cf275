/* The first half of a cell: everything up to the daemon's being asked for a container. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/libexec.h"
#include "base/path.h"
#include "base/process.h"
#include "runtime/confine/seccomp_default.h"
#include "runtime/docker/docker_parts.h"
#include "runtime/mount_points.h"
#include "runtime/native/handshake.h"

#define JOIN_BINARY   "stepcell-join"
#define INIT_BINARY   "stepcell-init"
#define DAEMON_BINARY "stepcell-docker"
#define HOSTNAME_SIZE 65

#define OVERLAY_NAME_SIZE 40
#define COPY_CHUNK        65536

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

static bool make_pipes(struct cell *cell, struct err *err)
{
    struct cell_pipes *pipes = &cell->pipes;

    /* Its one stream comes from inside. */
    if (cell->spec->terminal)
        return true;
    if (!cell_pipes_make(cell->spec->pass_stdin, pipes, err) ||
        (geteuid() == 0 && !cell_pipes_give(pipes, cell->spec->uid, err)))
        return false;
    cell->descriptors[JOIN_IN] = TAKE_FD(pipes->child_in);
    cell->descriptors[JOIN_OUT] = TAKE_FD(pipes->child_out);
    cell->descriptors[JOIN_ERR] = TAKE_FD(pipes->child_err);
    return true;
}

static int make_file(int dir, const char *name, int flags, mode_t mode)
{
    int fd = openat(dir, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    if (fd >= 0)
        (void)!fchmod(fd, mode);
    return fd;
}

/*
 * It has to lie in the directory itself: a link would lead out of the container, and who gets hold
 * of a program that runs there (CVE-2019-5736) has that copy, through a mount that is read-only.
 */
static bool copy_program(const struct cell *cell, const char *binary, const char *name,
                         struct err *err)
{
    autofree char *path = libexec_path(binary, err);
    autofd from = -1, to = -1;
    char chunk[COPY_CHUNK];
    ssize_t n;

    if (!path)
        return false;
    from = open(path, O_RDONLY | O_CLOEXEC);
    to = make_file(cell->place, name, O_WRONLY, 0555);
    if (from < 0 || to < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot use the program '%s'", path);
    /* The two may lie in file systems between which the kernel copies nothing. */
    while ((n = read(from, chunk, sizeof(chunk))) > 0) {
        if (!file_write_all(to, chunk, (size_t)n))
            break;
    }
    return n == 0 || failed(err, "prepare the scratch directory of the cell");
}

static bool listen_in_place(struct cell *cell, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    /* The directory's own path may be longer than an address. */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" JOIN_SOCKET,
             cell->place);
    cell->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (cell->listener < 0 ||
        bind(cell->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        fchmodat(cell->place, JOIN_SOCKET, 0666, 0) < 0 || listen(cell->listener, 1) < 0)
        return failed(err, "make the socket of the cell");
    return docker_wait_for(cell, cell->listener, FROM_LISTENER, err);
}

static bool make_overlay_dir(const struct cell *cell, const char *prefix, size_t index)
{
    const struct mount_source *source = &cell->spec->plan->mounts[index].source;
    char name[OVERLAY_NAME_SIZE];
    autofd dir = -1;

    snprintf(name, sizeof(name), "%s%zu", prefix, index);
    if (mkdirat(cell->scratch, name, 0700) < 0)
        return false;
    dir = openat(cell->scratch, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir >= 0 && fchown(dir, source->uid, source->gid) == 0 &&
           fchmod(dir, source->mode & 07777) == 0;
}

/* Docker's overlays leave things behind that only root can remove; Podman's are its own. */
static bool make_overlay_dirs(const struct cell *cell, struct err *err)
{
    const struct mount_plan *plan = cell->spec->plan;
    bool podman = strcmp(cell->engine, "podman") == 0;

    for (size_t i = 0; i < plan->count && !podman; i++) {
        if (plan->mounts[i].kind != MOUNT_COW)
            continue;
        if (geteuid() != 0) {
            err_set(err, ERR_OPTION_INVALID,
                    "the engine '%s' mounts packages copy-on-write for root alone: '%s'",
                    cell->engine, plan->mounts[i].target);
            return err_hint(err, "use --package or --package-rw, or --engine native");
        }
        if (!make_overlay_dir(cell, CONTAINER_UPPER, i) ||
            !make_overlay_dir(cell, CONTAINER_WORK, i))
            return failed(err, "prepare the scratch directory of the cell");
    }
    return true;
}

static int make_dir(const struct cell *cell, const char *name)
{
    int dir = mkdirat(cell->scratch, name, 0755) < 0
                  ? -1
                  : openat(cell->scratch, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir >= 0)
        (void)!fchmod(dir, 0755);
    return dir;
}

static bool make_output(struct cell *cell, struct err *err)
{
    autofd dir = make_dir(cell, CONTAINER_STEP);
    autofd output = dir < 0 ? -1 : make_file(dir, STEP_OUTPUT, O_WRONLY, 0600);

    if (output < 0 || (geteuid() == 0 && fchown(output, cell->spec->uid, cell->spec->gid) < 0))
        return failed(err, "prepare the scratch directory of the cell");
    cell->record.output = openat(dir, STEP_OUTPUT, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return cell->record.output >= 0 || failed(err, "open the output file of the cell");
}

static bool make_place(struct cell *cell, struct err *err)
{
    cell->directory = text_printf("%s/" CELL_DIRECTORY, cell->spec->scratch);
    cell->scratch = open(cell->spec->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!cell->directory || cell->scratch < 0 || (cell->place = make_dir(cell, CELL_DIRECTORY)) < 0)
        return failed(err, "prepare the scratch directory of the cell");
    return make_output(cell, err) && make_overlay_dirs(cell, err) &&
           copy_program(cell, JOIN_BINARY, JOIN_PROGRAM, err) &&
           copy_program(cell, INIT_BINARY, JOIN_INIT, err) && listen_in_place(cell, err);
}

/*
 * A daemon mounts a volume wherever an image says so: in a directory of the host it would make
 * another one there, and take away what the step writes to it.
 */
static bool check_volumes(const struct cell *cell, const struct strv *volumes, struct err *err)
{
    const struct mount_plan *plan = cell->spec->plan;

    for (size_t i = 0; volumes && i < volumes->count; i++) {
        autofree char *volume = path_clean("/", volumes->items[i]);
        const struct mount *around = NULL;

        for (size_t k = 0; volume && k < plan->count; k++) {
            const struct mount *one = &plan->mounts[k];

            if (one->kind != MOUNT_TMPFS && path_is_below(volume, one->target) &&
                mount_is_deeper(around, one))
                around = one;
        }
        if (volume && (!around || strcmp(around->target, volume) == 0))
            continue;
        err_set(err, ERR_MOUNT_CONFLICT,
                "the image declares a volume at '%s', which %s would mount over what is there",
                volumes->items[i], cell->engine);
        return err_hint(err, "mount something at that very path, or use --engine native, which "
                             "mounts no volumes of images");
    }
    return true;
}

/* What the container has to show: see join_setup.h. */
static bool list_shown(struct cell *cell, struct err *err)
{
    const struct mount_plan *plan = cell->spec->plan;
    struct stat output;

    cell->shown = calloc(plan->count + 1, sizeof(*cell->shown));
    if (!cell->shown || fstat(cell->record.output, &output) < 0)
        return failed(err, "prepare the mounts");
    cell->shown[cell->shown_count++] = (struct shown){SHOWN_ROOT, "/", 0, 0};
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];
        struct shown *one = &cell->shown[cell->shown_count];

        if (mount->role == MOUNT_DEVICE)
            continue; /* a node of the container's own */
        if (mount->kind == MOUNT_BIND || mount->kind == MOUNT_PIN)
            *one = (struct shown){SHOWN_SAME, mount->target, mount->source.dev, mount->source.ino};
        else if (mount->kind == MOUNT_OWN && mount->role == MOUNT_OUTPUT)
            *one = (struct shown){SHOWN_SAME, mount->target, output.st_dev, output.st_ino};
        else if (mount->kind == MOUNT_COW)
            *one = (struct shown){SHOWN_OVERLAY, mount->target, 0, 0};
        else
            continue;
        cell->shown_count++;
    }
    return true;
}

static bool write_text(int fd, const char *text)
{
    return file_write_all(fd, text, strlen(text) + 1);
}

static bool write_list(int fd, const struct strv *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!write_text(fd, list->items[i]))
            return false;
    }
    return true;
}

static bool write_setup(const struct cell *cell, int fd)
{
    const struct run_spec *spec = cell->spec;
    struct strv init = {.items = (char *[]){INIT_BINARY, NULL}, .count = 1};
    const struct join_setup head = {
        .argument_count = (uint32_t)spec->argv.count + 1,
        .environment_count = (uint32_t)spec->env.count,
        .target_count = (uint32_t)cell->shown_count,
        .interpreter_count = (uint32_t)spec->interpreters.count,
        .secret_count = (uint32_t)spec->secret_count,
        .terminal = spec->terminal,
        .size = {spec->rows, spec->columns},
    };
    bool ok = file_write_all(fd, &head, sizeof(head));

    for (size_t i = 0; ok && i < spec->secret_count; i++) {
        uint32_t size = (uint32_t)spec->secrets[i].len;

        ok = file_write_all(fd, &size, sizeof(size));
    }
    ok = ok && write_text(fd, spec->workdir) && write_text(fd, spec->home ? spec->home : "") &&
         write_text(fd, HOME_FALLBACK) && write_list(fd, &init) && write_list(fd, &spec->argv) &&
         write_list(fd, &spec->env);
    for (size_t i = 0; ok && i < cell->shown_count; i++)
        ok = write_text(fd, cell->shown[i].target);
    ok = ok && write_list(fd, &spec->interpreters);
    for (size_t i = 0; ok && i < spec->secret_count; i++)
        ok = write_text(fd, spec->secrets[i].name);
    for (size_t i = 0; ok && i < spec->secret_count; i++)
        ok = file_write_all(fd, spec->secrets[i].bytes, spec->secrets[i].len);
    return ok;
}

static int memory_file(const char *name)
{
    return memfd_create(name, MFD_CLOEXEC);
}

static bool rewind_file(int fd)
{
    return lseek(fd, 0, SEEK_SET) == 0;
}

static bool make_config(struct cell *cell)
{
    const struct run_spec *spec = cell->spec;
    /* Podman's own filter, beside which it stands, allows user namespaces. */
    struct seccomp_filter filter =
        seccomp_choose(spec->seccomp, spec->hides_store, spec->with_32_bits);
    mode_t mask = umask(0);
    struct init_config config = {
        .uid = spec->uid,
        .gid = spec->gid,
        .umask = mask,
        .scope_sockets = spec->network == NETWORK_HOST,
        .terminal = spec->terminal,
        .stays = spec->stays,
        .filter_count = (uint32_t)filter.count,
        .bounding = spec->capabilities,
        .caps = spec->uid == 0 ? spec->capabilities : 0,
    };
    int fd = cell->descriptors[JOIN_CONFIG] = memory_file("config");

    umask(mask);
    return fd >= 0 && file_write_all(fd, &config, sizeof(config)) &&
           file_write_all(fd, filter.code, filter.count * sizeof(*filter.code)) && rewind_file(fd);
}

/* Everything that is handed to the container's first program. */
static bool make_descriptors(struct cell *cell, struct err *err)
{
    cell->descriptors[JOIN_SETUP] = memory_file("setup");
    return (cell->descriptors[JOIN_SETUP] >= 0 &&
            write_setup(cell, cell->descriptors[JOIN_SETUP]) && make_config(cell)) ||
           failed(err, "hand the step to its container");
}

static bool make_request(const struct cell *cell, const struct root_filesystem *root, int *fd,
                         struct err *err)
{
    char host[HOSTNAME_SIZE] = "", owner[PROCESS_TEXT_MAX];
    const struct container_request request = {
        .engine = cell->engine,
        .image_id = root->image_id,
        .hostname = cell->spec->hostname ? cell->spec->hostname : host,
        .directory = cell->directory,
        .scratch = cell->spec->scratch,
        .owner = owner,
    };
    autojson *whole = NULL;
    autofree char *text = NULL;
    json_t *body;

    gethostname(host, sizeof(host) - 1);
    if (!process_text(owner, err) || !container_body(cell->spec, &request, &body, err))
        return false;
    whole = json_pack("{s:s, s:s?, s:s, s:o}", "engine", cell->engine, "host",
                      cell->spec->engine_host, "name", cell->name, "body", body);
    text = whole ? json_dump_line(whole) : NULL;
    *fd = memory_file("request");
    return (text && *fd >= 0 && file_write_all(*fd, text, strlen(text)) && rewind_file(*fd)) ||
           failed(err, "hand the step to the engine");
}

/* Not killed with stepcell: it removes the container then. */
static bool start_daemon_client(struct cell *cell, int request, struct err *err)
{
    char *const words[] = {DAEMON_BINARY, "cell", NULL};

    cell->helper = libexec_start_beside(words, &request, 1, &cell->daemon, err);
    return cell->helper && docker_wait_for(cell, cell->daemon, FROM_DAEMON, err);
}

static void set_nothing(struct cell *cell)
{
    cell->scratch = cell->place = cell->events = cell->clock = -1;
    cell->daemon = cell->listener = cell->control = -1;
    cell->record.output = -1;
    cell->pipes = CELL_PIPES_NONE;
    for (size_t i = 0; i < JOIN_DESCRIPTORS; i++)
        cell->descriptors[i] = -1;
}

static bool make_clock(struct cell *cell, struct err *err)
{
    const struct itimerspec every = {.it_value.tv_sec = CELL_TICK_S,
                                     .it_interval.tv_sec = CELL_TICK_S};

    cell->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return (cell->clock >= 0 && timerfd_settime(cell->clock, 0, &every, NULL) == 0 &&
            docker_wait_for(cell, cell->clock, FROM_CLOCK, err)) ||
           failed(err, "set a clock");
}

bool docker_create(const char *engine, const struct run_spec *spec,
                   const struct root_filesystem *root, struct cell **out, struct err *err)
{
    struct cell *cell = calloc(1, sizeof(*cell));
    autofd request = -1;

    if (!cell)
        return failed(err, "make a cell");
    set_nothing(cell);
    cell->spec = spec;
    cell->engine = engine;
    *out = cell; /* also after a failure: clean cleans up */
    cell->events = epoll_create1(EPOLL_CLOEXEC);
    if (cell->events < 0)
        return failed(err, "make a cell");
    return container_name(cell->name, err) && make_pipes(cell, err) && make_place(cell, err) &&
           mount_points_check(spec->plan, err) && check_volumes(cell, root->volumes, err) &&
           list_shown(cell, err) && make_descriptors(cell, err) && make_clock(cell, err) &&
           make_request(cell, root, &request, err) && start_daemon_client(cell, request, err);
}

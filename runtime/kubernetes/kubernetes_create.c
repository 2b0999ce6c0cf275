/* The first half of a cell: everything up to the program that speaks to the cluster. */
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/libexec.h"
#include "runtime/confine/seccomp_default.h"
#include "runtime/kubernetes/kubernetes_parts.h"
#include "runtime/kubernetes/pod_setup.h"
#include "runtime/kubernetes/pod_terminal.h"
#include "runtime/mount_points.h"

#define HELPER_BINARY "stepcell-kubernetes"
#define PROBE_NAME    ".stepcell-probe-"

_Static_assert(POD_OUTPUT_MAX == STEP_OUTPUT_MAX, "one output file, one limit");

static bool failed(struct err *err, const char *what)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s", what);
}

/* ---- the setup ---- */

static bool add_text(struct buf *texts, const char *text)
{
    return buf_append(texts, text, strlen(text) + 1);
}

static bool add_list(struct buf *texts, const struct strv *list)
{
    bool ok = true;

    for (size_t i = 0; ok && i < list->count; i++)
        ok = add_text(texts, list->items[i]);
    return ok;
}

static bool add_texts(const struct cell *cell, struct buf *texts)
{
    const struct run_spec *spec = cell->spec;
    /* What a worker's store knows of the image must not make it another step. */
    const char *home = !spec->home ? "" : spec->seeks_home ? POD_HOME_SOUGHT : spec->home;
    bool ok = add_text(texts, spec->workdir) && add_text(texts, home) &&
              add_text(texts, HOME_FALLBACK) &&
              add_text(texts, cell->returned ? cell->returned->target : "") &&
              add_list(texts, &spec->argv) && add_list(texts, &spec->env);

    for (size_t i = 0; ok && i < cell->probes.count; i += 3)
        ok = add_text(texts, cell->probes.items[i + 1]) &&
             add_text(texts, cell->probes.items[i + 2]);
    ok = ok && add_list(texts, &spec->interpreters);
    for (size_t i = 0; ok && i < spec->secret_count; i++)
        ok = add_text(texts, spec->secrets[i].name);
    return ok && add_list(texts, &cell->hidden);
}

/* As the native engine's, but that the container has its groups already. Into one that is zero. */
static void fill_config(const struct run_spec *spec, size_t filter_count,
                        struct init_config *config)
{
    mode_t mask = umask(0);

    umask(mask);
    config->uid = spec->uid;
    config->gid = spec->gid;
    config->umask = mask;
    config->groups[config->group_count++] = spec->gid;
    for (size_t i = 0; i < spec->group_count; i++)
        config->groups[config->group_count++] = spec->groups[i];
    config->filter_count = (uint32_t)filter_count;
    config->terminal = spec->terminal;
    config->stays = spec->stays;
    config->bounding = spec->capabilities;
    config->caps = spec->uid == 0 ? spec->capabilities : 0;
    config->rlimit_count = (uint32_t)spec->limits.ulimit_count;
    for (size_t i = 0; i < spec->limits.ulimit_count; i++) {
        const struct ulimit *one = &spec->limits.ulimits[i];

        config->rlimits[i].soft = one->soft;
        config->rlimits[i].hard = one->hard;
        config->rlimits[i].resource = (uint32_t)one->resource;
    }
}

/* Its bytes make the digest of the step: what lies between members is zero, and not by chance. */
static void fill_head(const struct cell *cell, size_t text_size, size_t filter_count,
                      struct pod_setup *head)
{
    const struct run_spec *spec = cell->spec;

    memset(head, 0, sizeof(*head));
    memcpy(head->version, POD_VERSION, sizeof(POD_VERSION));
    head->argument_count = (uint32_t)spec->argv.count;
    head->environment_count = (uint32_t)spec->env.count;
    head->probe_count = (uint32_t)cell->probes.count / 3;
    head->interpreter_count = (uint32_t)spec->interpreters.count;
    head->secret_count = (uint32_t)spec->secret_count;
    head->hidden_count = (uint32_t)cell->hidden.count;
    head->text_size = (uint32_t)text_size;
    head->takes_input = spec->pass_stdin || spec->terminal;
    head->groups_judged = spec->cluster->groups_judged;
    head->size.rows = spec->rows;
    head->size.columns = spec->columns;
    fill_config(spec, filter_count, &head->config);
}

/* See pod_setup.h. */
static bool write_setup(const struct cell *cell, const struct buf *texts, struct buf *setup)
{
    const struct run_spec *spec = cell->spec;
    /* The filter of a cluster, beside which it stands, may allow user namespaces. */
    struct seccomp_filter filter =
        seccomp_choose(spec->seccomp, spec->hides_store, spec->with_32_bits);
    struct pod_setup head;
    bool ok;

    fill_head(cell, texts->len, filter.count, &head);
    ok = buf_append(setup, &head, sizeof(head));

    for (size_t i = 0; ok && i < spec->secret_count; i++) {
        uint32_t size = (uint32_t)spec->secrets[i].len;

        ok = buf_append(setup, &size, sizeof(size));
    }
    ok = ok && buf_append(setup, filter.code, filter.count * sizeof(*filter.code)) &&
         buf_append(setup, texts->data, texts->len);
    for (size_t i = 0; ok && i < spec->secret_count; i++)
        ok = buf_append(setup, spec->secrets[i].bytes, spec->secrets[i].len);
    return ok;
}

static bool too_large(struct err *err)
{
    err_set(err, ERR_OPTION_INVALID,
            "arguments, environment, secrets and script of the step are larger than %d bytes, "
            "which is what a Secret of the cluster holds",
            POD_SETUP_MAX);
    return err_hint(err, "put what is large into a file of a volume, or use --engine native");
}

/* What of a step is in its Pod and not in its setup. Sources may have other names elsewhere. */
static bool add_demands(const struct run_spec *spec, struct buf *text)
{
    const struct mount_plan *plan = spec->plan;

    if (!buf_printf(text, "%ju %ju %d %d\n", (uintmax_t)spec->limits.memory,
                    (uintmax_t)spec->limits.cpu, spec->cluster->host_network, spec->read_only))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];

        if (mount->role <= MOUNT_VOLUME && !mount->alias_of &&
            !buf_printf(text, "%s %d %d %d\n", mount->target, mount->role, mount->kind,
                        mount->readonly))
            return false;
    }
    return true;
}

/* Of all that a step is on whichever worker; the probes of each are its own. */
static char *digest_setup(const struct cell *cell, const struct buf *script, const char *image)
{
    struct run_spec spec = *cell->spec;
    struct cell plain = {.spec = &spec, .returned = cell->returned, .hidden = cell->hidden};
    autobuf texts = BUF_INIT(POD_SETUP_MAX), setup = BUF_INIT(2 * POD_SETUP_MAX);
    char digest[DIGEST_TEXT_MAX], *text = NULL;

    /* The caller's business, each time. */
    spec.stays = false;
    spec.rows = spec.columns = 0;
    if (add_texts(&plain, &texts) && write_setup(&plain, &texts, &setup) &&
        add_demands(cell->spec, &setup) &&
        (!script->len || buf_append(&setup, script->data, script->len)) &&
        buf_append(&setup, image, strlen(image))) {
        digest_of(setup.data, setup.len, digest);
        text = base64_encode(digest, strlen(digest));
    }
    if (setup.data)
        explicit_bzero(setup.data, setup.len);
    if (texts.data)
        explicit_bzero(texts.data, texts.len);
    return text;
}

static bool add_entry(json_t *data, const char *name, const struct buf *bytes)
{
    autofree char *text = base64_encode(bytes->data ? bytes->data : "", bytes->len);

    return text && json_object_set_new(data, name, json_string(text)) == 0;
}

static bool add_program(json_t *data, struct buf *program, struct err *err)
{
    autofree char *path = libexec_path(POD_PROGRAM, err);

    return path && file_read(AT_FDCWD, path, program, ERR_ENGINE_FAILED, err) &&
           (add_entry(data, POD_PROGRAM, program) || failed(err, "hand the program to the Pod"));
}

/* The entries of the Secret: pod_setup.h. */
static json_t *make_entries(const struct cell *cell, const struct pod_request *request,
                            struct err *err)
{
    const struct mount *sent = pod_script(request, cell->spec->plan);
    autobuf texts = BUF_INIT(POD_SETUP_MAX), script = BUF_INIT(POD_SETUP_MAX);
    autobuf setup = BUF_INIT(POD_SETUP_MAX), program = BUF_INIT(POD_SETUP_MAX);
    autofree char *digest = NULL;
    autojson *data = json_object();
    bool ok = true;

    if ((sent && !file_read(AT_FDCWD, sent->source.resolved, &script, ERR_SCRIPT_MISSING, err)) ||
        (pod_program_is_sent(cell->spec) && !add_program(data, &program, err)))
        return NULL;
    if (!add_texts(cell, &texts) || !write_setup(cell, &texts, &setup) ||
        setup.len + script.len + program.len > POD_SETUP_MAX)
        ok = too_large(err);
    else if (!(digest = digest_setup(cell, &script, request->image)) ||
             !add_entry(data, POD_SETUP, &setup) ||
             (sent && !add_entry(data, POD_SCRIPT, &script)) ||
             json_object_set_new(data, POD_DIGEST, json_string(digest)) < 0)
        ok = failed(err, "hand the step to its Pod");
    if (setup.data)
        explicit_bzero(setup.data, setup.len);
    if (texts.data)
        explicit_bzero(texts.data, texts.len);
    return ok ? json_incref(data) : NULL;
}

/* ---- volumes and their probes ---- */

static bool read_volumes(struct cell *cell, struct err *err)
{
    const struct strv *given = cell->spec->cluster->volumes;

    cell->volumes = calloc(given->count + 1, sizeof(*cell->volumes));
    if (!cell->volumes)
        return failed(err, "prepare the volumes");
    for (size_t i = 0; i < given->count; i++) {
        if (!pod_volume_parse(given->items[i], &cell->volumes[i], err))
            return false;
        cell->volume_count++;
    }
    return true;
}

static bool name_probe(struct cell *cell, const struct mount *mount, struct err *err)
{
    struct strv *probes = &cell->probes;
    char name[POD_NAME_MAX];

    /* Which is what it holds as well. */
    return pod_name_make(name, err) &&
           ((strv_take(probes, text_printf("%s/" PROBE_NAME "%s", mount->source.resolved, name)) &&
             strv_take(probes, text_printf("%s/" PROBE_NAME "%s", mount->target, name)) &&
             strv_add(probes, name)) ||
            failed(err, "name a probe file"));
}

/* A directory of the volume in which this process can make a file, as the step mounts it. */
static bool find_probe(struct cell *cell, const struct pod_volume *volume, struct err *err)
{
    const struct mount_plan *plan = cell->spec->plan;
    const struct mount *seen = NULL;

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];

        if (pod_volume_find(cell->volumes, cell->volume_count, mount) != volume)
            continue;
        seen = mount;
        if (S_ISDIR(mount->source.mode) &&
            faccessat(AT_FDCWD, mount->source.resolved, W_OK | X_OK, AT_EACCESS) == 0)
            return name_probe(cell, mount, err);
    }
    if (!seen)
        return true;
    err_set(err, ERR_MOUNT_DENIED,
            "nobody can prove that the nodes have '%s': this process can make no file there",
            seen->source.resolved);
    return err_hint(err, "mount a directory of '%s' that the caller can write to", volume->path);
}

static bool find_probes(struct cell *cell, struct err *err)
{
    for (size_t i = 0; i < cell->volume_count; i++) {
        if (!find_probe(cell, &cell->volumes[i], err))
            return false;
    }
    return true;
}

static bool make_probe(const char *path, const char *contents, struct err *err)
{
    autofd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

    return (fd >= 0 && file_write_all(fd, contents, strlen(contents)) && fchmod(fd, 0644) == 0 &&
            fsync(fd) == 0) ||
           err_errno(err, ERR_MOUNT_DENIED, "cannot make the probe file '%s'", path);
}

static bool make_probes(const struct cell *cell, struct err *err)
{
    for (size_t i = 0; i < cell->probes.count; i += 3) {
        if (!make_probe(cell->probes.items[i], cell->probes.items[i + 2], err))
            return false;
    }
    return true;
}

void kubernetes_remove_probes(struct cell *cell)
{
    for (size_t i = 0; i < cell->probes.count; i += 3)
        unlink(cell->probes.items[i]);
    strv_release(&cell->probes);
}

/* ---- what comes back ---- */

static bool find_returned(struct cell *cell, struct err *err)
{
    const struct cluster_spec *cluster = cell->spec->cluster;
    const struct mount_plan *plan = cell->spec->plan;

    if (!cluster->changes || !cluster->shipped)
        return true;
    cell->returned = pod_shipped_workdir(cell->volumes, cell->volume_count, plan);
    if (!cell->returned)
        return true;
    cell->changes =
        open(cluster->changes, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return (cell->changes >= 0 && pod_hidden(plan, cell->returned, &cell->hidden)) ||
           failed(err, "make a file for what the step changes");
}

/* ---- the request ---- */

static int memory_file(const char *name)
{
    return memfd_create(name, MFD_CLOEXEC);
}

static bool write_request(struct cell *cell, const json_t *pod, const json_t *modern,
                          const json_t *secret, struct err *err)
{
    const struct cluster_spec *cluster = cell->spec->cluster;
    json_t *registries = json_array();
    autojson *whole = NULL;
    autofree char *text = NULL;

    for (size_t i = 0; i < cluster->registries->count; i++)
        json_array_append_new(registries, json_string(cluster->registries->items[i]));
    whole = json_pack("{s:s?, s:s?, s:s?, s:s, s:I, s:b, s:O, s:O*, s:O, s:o, s:b, s:b, s:b}",
                      "kubeconfig", cluster->kubeconfig, "context", cluster->context, "namespace",
                      cluster->space, "name", cell->name, "grace",
                      (json_int_t)(cluster->grace_ms / 1000), "returns", cell->returned != NULL,
                      "pod", pod, "modern", modern, "secret", secret, "registries", registries,
                      "input", cell->spec->pass_stdin || cell->spec->terminal, "stays",
                      cell->spec->stays, "durable", cluster->durable);
    text = whole ? json_dump_line(whole) : NULL;
    cell->request = memory_file("request");
    return (text && cell->request >= 0 && file_write_all(cell->request, text, strlen(text)) &&
            lseek(cell->request, 0, SEEK_SET) == 0) ||
           failed(err, "hand the step to the cluster");
}

static bool make_request(struct cell *cell, const struct root_filesystem *root, struct err *err)
{
    char step[POD_LABEL_MAX], owner[POD_LABEL_MAX];
    struct pod_request request = {
        .name = cell->name,
        .image = root->image_id,
        .owner = owner,
        .step = step,
        .volumes = cell->volumes,
        .volume_count = cell->volume_count,
    };
    autojson *pod = NULL, *modern = NULL, *secret = NULL, *entries = NULL;

    pod_label_step(cell->spec->step, step);
    if (!pod_label_owner(owner, err) || !pod_body(cell->spec, &request, &pod, err) ||
        !find_probes(cell, err) || !(entries = make_entries(cell, &request, err)))
        return false;
    request.image_volume = pod_fits_image_volume(cell->spec);
    if (request.image_volume && !pod_body(cell->spec, &request, &modern, err))
        return false;
    secret = pod_secret(&request, entries);
    return secret ? write_request(cell, pod, modern, secret, err)
                  : failed(err, "hand the step to the cluster");
}

/* A file in memory, which stepcell-kubernetes writes and the session reads. */
static bool make_output(struct cell *cell, struct err *err)
{
    char path[64];

    cell->output = memory_file("output");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", cell->output);
    cell->record.output = cell->output < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    return cell->record.output >= 0 || failed(err, "make the output file of the cell");
}

/* Of a terminal both ends are here: what comes and goes is carried to that of the Pod. */
static bool make_streams(struct cell *cell, struct err *err)
{
    const struct run_spec *spec = cell->spec;
    struct cell_pipes *pipes = &cell->pipes;
    const struct terminal_size size = {spec->rows, spec->columns};

    if (!spec->terminal) {
        if (!cell_pipes_make(spec->pass_stdin, pipes, err))
            return false;
    } else if (!pod_terminal_make(&size, &pipes->out, &pipes->child_out)) {
        return failed(err, "make a terminal");
    } else {
        pipes->in = spec->pass_stdin ? fcntl(pipes->out, F_DUPFD_CLOEXEC, 3) : -1;
        pipes->child_in = fcntl(pipes->child_out, F_DUPFD_CLOEXEC, 3);
    }
    if (pipes->child_in < 0)
        pipes->child_in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (pipes->child_err < 0)
        pipes->child_err = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return (pipes->child_in >= 0 && pipes->child_err >= 0) || failed(err, "prepare the streams");
}

static bool make_entry(struct cell *cell, struct err *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return failed(err, "make a socket");
    cell->entry = ends[0];
    cell->helper_entry = ends[1];
    return true;
}

bool kubernetes_create(const struct run_spec *spec, const struct root_filesystem *root,
                       struct cell **out, struct err *err)
{
    struct cell *cell = calloc(1, sizeof(*cell));

    if (!cell)
        return failed(err, "make a cell");
    cell->events = cell->clock = cell->daemon = cell->request = cell->output = cell->changes = -1;
    cell->entry = cell->helper_entry = -1;
    cell->record.output = -1;
    cell->pipes = CELL_PIPES_NONE;
    cell->spec = spec;
    *out = cell; /* also after a failure: clean cleans up */
    cell->events = epoll_create1(EPOLL_CLOEXEC);
    if (cell->events < 0)
        return failed(err, "make a cell");
    if (spec->cluster->durable)
        pod_name_of_step(spec->step, cell->name);
    else if (!pod_name_make(cell->name, err))
        return false;
    return mount_points_check(spec->plan, err) && read_volumes(cell, err) &&
           find_returned(cell, err) && make_request(cell, root, err) && make_output(cell, err) &&
           make_streams(cell, err) && make_entry(cell, err);
}

/* ---- the program ---- */

static bool watch(const struct cell *cell, int fd, enum kubernetes_source source, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    return epoll_ctl(cell->events, EPOLL_CTL_ADD, fd, &event) == 0 || failed(err, "watch the cell");
}

/* Not killed with stepcell: it removes the Pod then. */
static bool start_helper(struct cell *cell, struct err *err)
{
    const int fds[] = {cell->request, cell->pipes.child_out, cell->pipes.child_err,
                       cell->output,  cell->helper_entry,    cell->pipes.child_in,
                       cell->changes};
    size_t count = ARRAY_SIZE(fds) - (cell->changes < 0);
    char *const words[] = {HELPER_BINARY, "cell", NULL};

    cell->helper = libexec_start_beside(words, fds, count, &cell->daemon, err);
    if (!cell->helper)
        return false;
    cell_pipes_close_child(&cell->pipes);
    cell->request = close_fd(cell->request);
    cell->output = close_fd(cell->output);
    cell->helper_entry = close_fd(cell->helper_entry);
    cell->changes = close_fd(cell->changes);
    return watch(cell, cell->daemon, FROM_HELPER, err);
}

bool kubernetes_start(struct cell *cell, struct err *err)
{
    cell->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (cell->clock < 0)
        return failed(err, "set a clock");
    return watch(cell, cell->clock, FROM_CLOCK, err) && make_probes(cell, err) &&
           start_helper(cell, err);
}

#include "runtime/docker/container.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/process.h"
#include "runtime/docker/join_setup.h"

#define CSV_SIGNS           ",\"\r\n"
#define OVERLAY_SIGNS       ",:\\" /* what separates options and layers of overlayfs */
#define CAPABILITIES        64
#define NAME_PREFIX         "stepcell-"
#define NAME_DIGITS         24
#define OVERLAY_OPTIONS_MAX 4000 /* bytes: mount(2) takes a page */

/* By the number of capability.h: docker's default set, which is all that a step can have. */
static const char *const capabilities[CAPABILITIES] = {
    [0] = "CHOWN",        [1] = "DAC_OVERRIDE", [3] = "FOWNER",
    [4] = "FSETID",       [5] = "KILL",         [6] = "SETGID",
    [7] = "SETUID",       [8] = "SETPCAP",      [10] = "NET_BIND_SERVICE",
    [13] = "NET_RAW",     [18] = "SYS_CHROOT",  [27] = "MKNOD",
    [29] = "AUDIT_WRITE", [31] = "SETFCAP",
};

/* What is being built, and the lists that grow. */
struct body {
    const struct run_spec *spec;
    const struct container_request *request;
    json_t *mounts, *tmpfs, *binds, *devices;
    bool podman; /* what differs in its API */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the container");
}

static bool cannot(const struct body *body, struct err *err, const char *what, const char *subject)
{
    err_set(err, ERR_OPTION_INVALID, "the engine '%s' cannot %s: '%s'", body->request->engine, what,
            subject);
    return err_hint(err, "leave it away, or use --engine native");
}

/* A text of JSON: what is no UTF-8 has none. NULL with err. */
static json_t *text(const struct body *body, const char *value, struct err *err)
{
    json_t *json = json_string(value);

    if (!json)
        cannot(body, err, "mount paths that are no UTF-8", value);
    return json;
}

/*
 * Podman makes a line of CSV of each mount, and quotes nothing: what would not come out of it as it
 * went in is given in the older way, which cuts at colons.
 */
static bool add_podman_bind(const struct body *body, const char *source, const char *target,
                            bool readonly, struct err *err)
{
    autofree char *bind = text_printf("%s:%s:%s,rprivate", source, target, readonly ? "ro" : "rw");
    json_t *json = bind ? text(body, bind, err) : NULL;

    if (!bind)
        return no_memory(err);
    if (json && (strchr(source, ':') || strchr(target, ':'))) {
        json_decref(json);
        return cannot(body, err, "mount a path with both a colon and a quote, comma or newline",
                      target);
    }
    return json && (json_array_append_new(body->binds, json) == 0 || no_memory(err));
}

static bool add_bind(const struct body *body, const char *source, const char *target, bool readonly,
                     struct err *err)
{
    json_t *from, *to;

    if (body->podman && (strpbrk(source, CSV_SIGNS) || strpbrk(target, CSV_SIGNS)))
        return add_podman_bind(body, source, target, readonly, err);
    from = text(body, source, err);
    to = from ? text(body, target, err) : NULL;
    if (!to) {
        json_decref(from);
        return false;
    }
    return json_array_append_new(body->mounts,
                                 json_pack("{s:s, s:o, s:o, s:b, s:{s:s}}", "Type", "bind",
                                           "Source", from, "Target", to, "ReadOnly", readonly,
                                           "BindOptions", "Propagation", "rprivate")) == 0 ||
           no_memory(err);
}

static bool add_tmpfs(const struct body *body, const char *target, const char *options,
                      struct err *err)
{
    json_t *key = text(body, target, err);
    int set;

    if (!key)
        return false;
    json_decref(key);
    /* The engine cuts an entry of Tmpfs at no sign, being a map. */
    set = json_object_set_new(body->tmpfs, target, json_string(options));
    return set == 0 || no_memory(err);
}

static bool add_plain_tmpfs(const struct body *body, const char *target, const struct mount *mount,
                            struct err *err)
{
    char size[32] = "", options[128];

    if (mount->tmpfs_size)
        snprintf(size, sizeof(size), ",size=%" PRIu64, mount->tmpfs_size);
    /* Podman copies what lies there, unless it is told not to. */
    snprintf(options, sizeof(options), "%s,%s,nosuid,nodev,mode=%o%s%s",
             mount->readonly ? "ro" : "rw", mount->tmpfs_noexec ? "noexec" : "exec",
             mount->tmpfs_mode, size, body->podman ? ",notmpcopyup" : "");
    return add_tmpfs(body, target, options, err);
}

/*
 * Memory for the step's user. Podman knows no owner of one: there whoever is in the cell may write
 * to it, which is nobody else.
 */
static bool add_users_tmpfs(const struct body *body, const char *target, const char *flags,
                            unsigned int mode, struct err *err)
{
    const struct run_spec *spec = body->spec;
    char options[128];

    if (!body->podman)
        snprintf(options, sizeof(options), "rw,nosuid,nodev,%s,mode=%o,uid=%u,gid=%u", flags, mode,
                 spec->uid, spec->gid);
    else
        snprintf(options, sizeof(options), "rw,nosuid,nodev,%s,mode=%o", flags,
                 spec->uid == 0 ? mode : 01777);
    return add_tmpfs(body, target, options, err);
}

static const struct mount *find_target(const struct mount_plan *plan, const char *target)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (!plan->mounts[i].alias_of && strcmp(plan->mounts[i].target, target) == 0)
            return &plan->mounts[i];
    }
    return NULL;
}

/*
 * Root of a container could move the directory of the file away, if that were not mounted as well;
 * and a link of the image to it shows as what it is.
 */
static bool add_step_directory(const struct body *body, const char *path, struct err *err)
{
    return body->spec->uid != 0 || find_target(body->spec->plan, STEP_PATH) ||
           add_bind(body, path, STEP_PATH, false, err);
}

static bool add_own(const struct body *body, const struct mount *mount, struct err *err)
{
    autofree char *dir = NULL, *file = NULL;

    if (mount->role == MOUNT_SECRETS)
        return add_users_tmpfs(body, mount->target, "noexec", 0700, err);
    dir = text_printf("%s/" CONTAINER_STEP, body->request->scratch);
    file = dir ? text_printf("%s/" STEP_OUTPUT, dir) : NULL;
    return file ? add_step_directory(body, dir, err) &&
                      add_bind(body, file, mount->target, false, err)
                : no_memory(err);
}

/* As overlayfs wants it written. */
static bool add_escaped(struct buf *options, const char *path)
{
    bool ok = true;

    for (; ok && *path; path++)
        ok = buf_printf(options, "%s%c", strchr(OVERLAY_SIGNS, *path) ? "\\" : "", *path);
    return ok;
}

/*
 * An anonymous volume that is an overlay: the daemon mounts it for this container, and forgets it
 * with it. It cuts the options at every comma and takes out what is the name of a flag, which no
 * word that ends with "/." is.
 */
static bool add_overlay(const struct body *body, size_t index, struct err *err)
{
    const struct mount *mount = &body->spec->plan->mounts[index];
    autobuf options = BUF_INIT(OVERLAY_OPTIONS_MAX);
    json_t *target, *given;

    if (!buf_append_text(&options, "lowerdir=") || !add_escaped(&options, mount->source.resolved) ||
        !buf_append_text(&options, "/.,upperdir=") ||
        !add_escaped(&options, body->request->scratch) ||
        !buf_printf(&options, "/" CONTAINER_UPPER "%zu,workdir=", index) ||
        !add_escaped(&options, body->request->scratch) ||
        !buf_printf(&options, "/" CONTAINER_WORK "%zu", index))
        return cannot(body, err, "mount a package of so long a path copy-on-write", mount->target);
    given = text(body, options.data, err);
    target = given ? text(body, mount->target, err) : NULL;
    if (!target) {
        json_decref(given);
        return false;
    }
    return json_array_append_new(
               body->mounts, json_pack("{s:s, s:o, s:{s:b, s:{s:s, s:{s:s, s:s, s:o}}}}", "Type",
                                       "volume", "Target", target, "VolumeOptions", "NoCopy", true,
                                       "DriverConfig", "Name", "local", "Options", "type",
                                       "overlay", "device", "overlay", "o", given)) == 0 ||
           no_memory(err);
}

/*
 * Podman's own way: it ignores the options of such a volume without a word. It cuts this one at
 * colons, and hands the source to overlayfs as it is, where a comma ends it and a backslash goes:
 * what is left could be another directory.
 */
static bool add_podman_overlay(const struct body *body, const struct mount *mount, struct err *err)
{
    autofree char *bind = text_printf("%s:%s:O", mount->source.resolved, mount->target);
    json_t *json;

    if (!bind)
        return no_memory(err);
    if (strpbrk(mount->source.resolved, OVERLAY_SIGNS) || strchr(mount->target, ':'))
        return cannot(body, err, "mount a path with a colon, comma or backslash copy-on-write",
                      mount->target);
    json = text(body, bind, err);
    return json && (json_array_append_new(body->binds, json) == 0 || no_memory(err));
}

/* The same once more at another name, with whatever is mounted below. */
static bool add_alias(const struct body *body, const struct mount *alias, struct err *err)
{
    const struct mount_plan *plan = body->spec->plan;
    const struct mount *first = find_target(plan, alias->alias_of);
    size_t len = strlen(alias->alias_of);

    if (!first || first->kind != MOUNT_BIND)
        return cannot(body, err, "give such a mount a second name", alias->target);
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *below = &plan->mounts[i];
        autofree char *target = NULL;

        if (below->alias_of || !path_is_below(below->target, alias->alias_of))
            continue;
        if (below->kind != MOUNT_BIND && below->role != MOUNT_COVER)
            return cannot(body, err, "give such a mount a second name", below->target);
        target = text_printf("%s%s", alias->target, below->target + len);
        if (!target)
            return no_memory(err);
        if (below->source.resolved
                ? !add_bind(body, below->source.resolved, target, below->readonly, err)
                : !add_plain_tmpfs(body, target, below, err))
            return false;
    }
    return true;
}

/*
 * Root of a container is root of the host to a device, unless a user namespace is around it: it may
 * what the mode of the device lets everybody.
 */
static const char *device_permissions(const struct body *body, const struct mount *mount)
{
    static const char *const permissions[] = {"m", "wm", "rm", "rwm"};
    bool anybody = body->spec->uid != 0 || body->spec->rootless;
    mode_t mode = mount->source.mode;

    return permissions[(anybody || mode & S_IROTH ? 2 : 0) + (anybody || mode & S_IWOTH ? 1 : 0)];
}

static bool add_device(const struct body *body, const struct mount *mount, struct err *err)
{
    json_t *source = text(body, mount->source.resolved, err);
    json_t *target = source ? text(body, mount->target, err) : NULL;

    if (!target) {
        json_decref(source);
        return false;
    }
    return json_array_append_new(body->devices,
                                 json_pack("{s:o, s:o, s:s}", "PathOnHost", source,
                                           "PathInContainer", target, "CgroupPermissions",
                                           device_permissions(body, mount))) == 0 ||
           no_memory(err);
}

static bool add_mounts(const struct body *body, struct err *err)
{
    const struct mount_plan *plan = body->spec->plan;

    if (!add_bind(body, body->request->directory, JOIN_DIR, true, err))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];
        bool ok = false;

        if (mount->role == MOUNT_DEVICE)
            ok = add_device(body, mount, err);
        else if (mount->alias_of)
            ok = add_alias(body, mount, err);
        else if (mount->kind == MOUNT_BIND || mount->kind == MOUNT_PIN)
            ok = add_bind(body, mount->source.resolved, mount->target, mount->readonly, err);
        else if (mount->kind == MOUNT_TMPFS)
            ok = add_plain_tmpfs(body, mount->target, mount, err);
        else if (mount->kind == MOUNT_OWN)
            ok = add_own(body, mount, err);
        else
            ok = body->podman ? add_podman_overlay(body, mount, err) : add_overlay(body, i, err);
        if (!ok)
            return false;
    }
    /*
     * A home that it can write to is what an image hardly ever has for an ordinary user, and never
     * in a root that is read-only.
     */
    return (body->spec->uid == 0 && !body->spec->read_only) || !body->spec->home ||
           find_target(plan, HOME_FALLBACK) ||
           add_users_tmpfs(body, HOME_FALLBACK, "exec", 0755, err);
}

static bool capability_list(const struct body *body, json_t *list, struct err *err)
{
    for (unsigned int i = 0; i < CAPABILITIES; i++) {
        if (!(body->spec->capabilities >> i & 1))
            continue;
        if (!capabilities[i])
            return err_set(err, ERR_OPTION_INVALID, "the engine '%s' gives no capability %u",
                           body->request->engine, i);
        json_array_append_new(list, json_string(capabilities[i]));
    }
    return true;
}

static json_t *group_list(const struct run_spec *spec)
{
    json_t *list = json_array();

    for (size_t i = 0; i < spec->group_count; i++)
        json_array_append_new(list, json_sprintf("%u", spec->groups[i]));
    return list;
}

/* The engine's way to say that there is no limit is -1. */
static json_int_t limit_value(uint64_t value)
{
    return value > INT64_MAX ? -1 : (json_int_t)value;
}

static json_t *ulimit_list(const struct limits *limits)
{
    json_t *list = json_array();

    for (size_t i = 0; i < limits->ulimit_count; i++) {
        const struct ulimit *one = &limits->ulimits[i];

        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I}", "Name", one->name, "Soft",
                                        limit_value(one->soft), "Hard", limit_value(one->hard)));
    }
    return list;
}

static const char *network_name(enum network_mode mode)
{
    static const char *const names[] = {
        [NETWORK_HOST] = "host", [NETWORK_NONE] = "none", [NETWORK_PRIVATE] = "bridge"};

    return names[mode];
}

static json_t *security_list(const struct run_spec *spec)
{
    json_t *list = json_pack("[s]", "no-new-privileges");

    /* stepcell-init installs the filter that was asked for, in the place of the engine's. */
    if (spec->seccomp)
        json_array_append_new(list, json_string("seccomp=unconfined"));
    return list;
}

/*
 * An ordinary user's Podman maps the step's user to the caller: root as it is, anybody else when it
 * is told so, and the group, too, where neither is root's: it makes an empty range of a 0.
 */
static json_t *user_namespace(const struct body *body)
{
    const struct run_spec *spec = body->spec;

    if (!body->podman || !spec->rootless || spec->uid == 0)
        return NULL;
    return spec->gid == 0 ? json_sprintf("keep-id:uid=%u", spec->uid)
                          : json_sprintf("keep-id:uid=%u,gid=%u", spec->uid, spec->gid);
}

/* Whatever the configuration of Podman says; Docker has no other, and no word for it. */
static const char *pid_mode(const struct body *body)
{
    return body->podman ? "private" : NULL;
}

static json_t *host_config(const struct body *body, json_t *caps)
{
    const struct run_spec *spec = body->spec;
    const struct limits *limits = &spec->limits;
    json_t *host = json_pack(
        "{s:O, s:O, s:O, s:O, s:s, s:o, s:[s], s:O, s:o, s:b, s:{s:s}, s:{s:s}, s:o, s:o*, s:b, "
        "s:s*}",
        "Mounts", body->mounts, "Devices", body->devices, "Tmpfs", body->tmpfs, "Binds",
        body->binds, "NetworkMode", network_name(spec->network), "GroupAdd", group_list(spec),
        "CapDrop", "ALL", "CapAdd", caps, "SecurityOpt", security_list(spec), "ReadonlyRootfs",
        spec->read_only, "LogConfig", "Type", "none", "RestartPolicy", "Name", "no", "Ulimits",
        ulimit_list(limits), "UsernsMode", user_namespace(body), "Init", false, "PidMode",
        pid_mode(body));

    if (host && limits->memory) {
        json_object_set_new(host, "Memory", json_integer((json_int_t)limits->memory));
        json_object_set_new(host, "MemorySwap", json_integer((json_int_t)limits->memory));
    }
    if (host && limits->cpu) {
        json_object_set_new(host, "CpuPeriod", json_integer(LIMITS_CPU_PERIOD));
        json_object_set_new(host, "CpuQuota", json_integer((json_int_t)limits->cpu));
    }
    if (host && limits->pids)
        json_object_set_new(host, "PidsLimit", json_integer((json_int_t)limits->pids));
    return host;
}

/* Podman would make a timer of it that looks for nothing. */
static json_t *no_healthcheck(const struct body *body)
{
    return body->podman ? NULL : json_pack("{s:[s]}", "Test", "NONE");
}

/* Stepcell's own win. */
static json_t *label_object(const struct body *body)
{
    json_t *labels = json_pairs(body->spec->labels);

    json_object_set_new(labels, LABEL_STEP, json_string(body->spec->step));
    json_object_set_new(labels, LABEL_OWNER, json_string(body->request->owner));
    return labels;
}

static bool make_body(const struct body *body, json_t **out, struct err *err)
{
    const struct run_spec *spec = body->spec;
    const struct container_request *request = body->request;
    autojson *caps = json_array();
    json_t *host;

    if (!caps || !add_mounts(body, err) || !capability_list(body, caps, err))
        return body->mounts && body->tmpfs && body->binds && body->devices && caps ? false
                                                                                   : no_memory(err);
    host = host_config(body, caps);
    *out = host ? json_pack("{s:s, s:s, s:s, s:o, s:[s], s:[], s:o*, s:o, s:o}", "Image",
                            request->image_id, "Hostname", request->hostname, "WorkingDir", "/",
                            "User", json_sprintf("%u:%u", spec->uid, spec->gid), "Entrypoint",
                            JOIN_DIR "/" JOIN_PROGRAM, "Cmd", "Healthcheck", no_healthcheck(body),
                            "Labels", label_object(body), "HostConfig", host)
                : NULL;
    return *out || no_memory(err);
}

bool container_body(const struct run_spec *spec, const struct container_request *request,
                    json_t **body, struct err *err)
{
    autojson *mounts = json_array(), *tmpfs = json_object(), *binds = json_array(),
             *devices = json_array();
    const struct body making = {.spec = spec,
                                .request = request,
                                .mounts = mounts,
                                .tmpfs = tmpfs,
                                .binds = binds,
                                .devices = devices,
                                .podman = strcmp(request->engine, "podman") == 0};

    return make_body(&making, body, err);
}

bool container_name(char name[CONTAINER_NAME_MAX], struct err *err)
{
    unsigned char random[NAME_DIGITS / 2];
    char *at = stpcpy(name, NAME_PREFIX);

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a name for the container");
    for (size_t i = 0; i < sizeof(random); i++)
        at += sprintf(at, "%02x", random[i]);
    return true;
}

bool container_name_is_ours(const char *name)
{
    size_t prefix = strlen(NAME_PREFIX);

    return strncmp(name, NAME_PREFIX, prefix) == 0 && strlen(name) == prefix + NAME_DIGITS &&
           strspn(name + prefix, "0123456789abcdef") == NAME_DIGITS;
}

bool container_owner_lives(const char *owner, bool running)
{
    enum process_fate fate = process_fate(owner);

    /* After another boot nothing runs; what does is another machine's. */
    return fate == PROCESS_MAY_LIVE || (fate == PROCESS_OTHER_BOOT && running);
}

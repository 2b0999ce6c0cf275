#include "shim/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/confine/caps.h"
#include "shim/environment.h"

#define SCRIPT_NAME    "script"
#define SCRIPT_PATH    "/run/stepcell/script"
#define SHELL_TEXT_MAX 1024 /* bytes of a command that is told */

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to plan the step");
}

const char *session_directory(const struct session *session)
{
    const char *pwd = getenv("PWD");
    struct stat named, here;

    if (pwd && *pwd == '/' && stat(pwd, &named) == 0 && stat(".", &here) == 0 &&
        named.st_dev == here.st_dev && named.st_ino == here.st_ino)
        return pwd;
    return session->cwd;
}

/* Copies a piece of stdin into the scratch; *ended tells that there is no more. */
static bool save_piece(struct session *session, bool *ended, struct err *err)
{
    char chunk[16384];
    ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));

    *ended = n == 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n < 0)
        return err_errno(err, ERR_SCRIPT_MISSING, "cannot read the script from stdin");
    session->script_size += (size_t)n;
    if (session->script_size > SCRIPT_MAX)
        return err_set(err, ERR_SCRIPT_MISSING, "the script is larger than %d bytes", SCRIPT_MAX);
    return file_write_all(session->script_fd, chunk, (size_t)n) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot keep the script");
}

/* By the loop, so that a signal ends it. */
static bool save_some(void *data, uint32_t events, struct err *err)
{
    struct session *session = data;
    bool ended;

    (void)events;
    if (!save_piece(session, &ended, err))
        return false;
    if (ended)
        loop_stop(&session->loop);
    return true;
}

static bool save_script(struct session *session, struct err *err)
{
    struct loop_io io = {STDIN_FILENO, save_some, session};
    bool ok, ended;

    session->script_fd =
        openat(session->scratch.lock, SCRIPT_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (session->script_fd < 0 || fchmod(session->script_fd, 0644) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot keep the script");
    if (!loop_can_watch(&session->loop, STDIN_FILENO)) {
        do
            ok = save_piece(session, &ended, err);
        while (ok && !ended);
    } else {
        ok = loop_add(&session->loop, &io, EPOLLIN, err) && loop_run(&session->loop, err);
        loop_remove(&session->loop, &io);
    }
    session->script_fd = close_fd(session->script_fd);
    return ok && !session_is_canceled(session, err);
}

/* Where a script lies inside: a visible one at its own path, one from stdin at a fixed path. */
static bool find_script(struct session *session, struct mount_spec *spec,
                        char head[SCRIPT_HEAD_MAX], struct err *err)
{
    const char *given = session->options.script;

    *spec = (struct mount_spec){.kind = MOUNT_BIND, .role = MOUNT_SCRIPT, .readonly = true};
    if (strcmp(given, "-") != 0) {
        spec->source = strdup(given);
        return (spec->source || no_memory(err)) && script_read_head(given, head, err);
    }
    if (!save_script(session, err))
        return false;
    spec->source = text_printf("%s/%s", session->scratch.path, SCRIPT_NAME);
    spec->target = strdup(SCRIPT_PATH);
    return ((spec->source && spec->target) || no_memory(err)) &&
           script_read_head(spec->source, head, err);
}

/* Whether a mount of the plan shows the file at its own path, so that it needs none of its own. */
static bool is_visible(const struct mount_spec *specs, const struct mount_source *sources,
                       size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        if (specs[i].kind != MOUNT_TMPFS && !specs[i].target && sources[i].resolved &&
            path_is_below(path, sources[i].resolved))
            return true;
    }
    return false;
}

static const char *source_path(const struct mount_source *source)
{
    return source->given ? source->given : source->resolved;
}

/* Adds the script to the specs, unless it is visible already, and chooses its interpreter. */
static bool add_script(struct session *session, struct mount_spec *specs, size_t *count,
                       struct err *err)
{
    char head[SCRIPT_HEAD_MAX];
    struct mount_spec *spec = &specs[*count];
    struct mount_source *source = &session->sources[*count];

    if (!find_script(session, spec, head, err) ||
        !mount_source_find(spec, session->cwd, source, err))
        return false;
    session->script_path = strdup(spec->target ? spec->target : source_path(source));
    if (!session->script_path)
        return no_memory(err);
    if (!script_choose(session->script_path, head, session->options.shell, &session->interpreter,
                       err))
        return false;
    if (!spec->target && is_visible(specs, session->sources, *count, source->resolved)) {
        /* Its other name may lie outside of what is mounted. */
        if (!is_visible(specs, session->sources, *count, session->script_path)) {
            free(session->script_path);
            session->script_path = strdup(source->resolved);
        }
        mount_source_release(source);
        mount_spec_release(spec);
        return session->script_path || no_memory(err);
    }
    (*count)++;
    return true;
}

bool session_find_sources(struct session *session, struct err *err)
{
    size_t count = session->options.mount_count + 1;
    struct mount_spec *workdir;

    session->cwd = getcwd(NULL, 0);
    if (!session->cwd)
        return err_errno(err, ERR_WORKDIR_MISSING, "cannot tell the current directory");
    session->spec_room = count + SESSION_SPECS_MADE;
    session->specs = calloc(session->spec_room, sizeof(*session->specs));
    session->sources = calloc(session->spec_room, sizeof(*session->sources));
    if (!session->specs || !session->sources)
        return no_memory(err);
    for (size_t i = 0; i + 1 < count; i++)
        session->specs[i] = session->options.mounts[i];
    workdir = &session->specs[count - 1];
    *workdir = (struct mount_spec){.kind = MOUNT_BIND, .role = MOUNT_WORKDIR};
    workdir->source =
        (char *)(session->options.workdir ? session->options.workdir : session_directory(session));
    if (!session_ask_sources(session, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (session->specs[i].kind != MOUNT_TMPFS &&
            !session_passes(session,
                            mount_source_find(&session->specs[i], session_directory(session),
                                              &session->sources[i], err),
                            err))
            return false;
    }
    if (!session->sources[count - 1].resolved)
        return true;
    session->workdir = strdup(source_path(&session->sources[count - 1]));
    return session->workdir || no_memory(err);
}

/* As docker: what is added stays, whatever is dropped. */
uint64_t session_capabilities(const struct run_options *options)
{
    return (CAPS_DEFAULT & ~options->caps_dropped) | options->caps_added;
}

bool session_read_profile(struct session *session, struct err *err)
{
    const char *path = session->options.seccomp;
    autobuf text = BUF_INIT(SECCOMP_PROFILE_MAX);
    autojson *profile = NULL;
    autofd fd = path ? file_open(AT_FDCWD, path, ERR_CONFIG_INVALID, err) : -1;
    char place[PATH_MAX];

    if (!path)
        return true;
    if (fd >= 0 && file_read_fd(fd, path, &text, ERR_CONFIG_INVALID, err))
        profile = json_parse(text.data, text.len, path, ERR_CONFIG_INVALID, err);
    if (!profile)
        return err_hint(err,
                        "--seccomp takes a file in the form of Docker's and Podman's profiles");
    if (!path_of_open(fd, place))
        return err_set(err, ERR_CONFIG_INVALID, "nobody can tell where '%s' lies", path);
    session->seccomp_place = strdup(place);
    if (!session->seccomp_place)
        return no_memory(err);
    return seccomp_profile_compile(profile, path, session_capabilities(&session->options), true,
                                   &session->seccomp, err);
}

/* The caller's, unless somebody has said another one. */
static bool add_terminal_type(struct strv *env)
{
    const char *type = getenv("TERM");
    autofree char *entry = text_printf("TERM=%s", type ? type : TERMINAL_TYPE);

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], "TERM=", 5) == 0)
            return true;
    }
    return entry && strv_add(env, entry);
}

static bool make_environment(struct session *session, struct err *err)
{
    const char *image_home;
    bool own_home;
    const struct cell_user *user = &session->user;

    if (!environment_make(&session->options, &session->image.env, environ, session->sources,
                          &session->spec.env, &session->env_origins, &session->env_places,
                          &own_home, &image_home, err))
        return false;
    /* Of a user whom nobody knows only the image can tell one. */
    if (!own_home && (image_home || session->knows_user))
        session->spec.home = image_home       ? image_home
                             : user->home     ? user->home
                             : user->uid == 0 ? "/root"
                                              : HOME_FALLBACK;
    session->spec.seeks_home = !image_home;
    return !session->options.terminal || add_terminal_type(&session->spec.env) || no_memory(err);
}

/* Instead of the command, which is told. */
static bool choose_shell(struct session *session, struct err *err)
{
    static const char better[] = "if command -v bash >/dev/null; then exec bash; else exec sh; fi";
    struct strv *argv = &session->spec.argv;
    struct interpreter shell;
    autobuf text = BUF_INIT(SHELL_TEXT_MAX);

    for (size_t i = 0; i < argv->count; i++)
        buf_printf(&text, "%s\"%s\"", i ? ", " : "", argv->items[i]);
    session_note(session, "cell %s: a shell%s%s%s", session->id, argv->count ? " instead of [" : "",
                 argv->count && text.data ? text.data : "", argv->count ? "]" : "");
    if (!script_choose("sh", "", session->options.shell, &shell, err))
        return false;
    interpreter_release(&session->interpreter);
    session->interpreter = shell;
    session->spec.interpreters = shell.needs;
    strv_release(argv);
    for (size_t i = 0; i < shell.argv.count; i++) {
        if (!strv_add(argv, shell.argv.items[i]))
            return no_memory(err);
    }
    return session->options.shell || (strv_add(argv, "-c") && strv_add(argv, better)) ||
           no_memory(err);
}

static bool make_command(struct session *session, struct err *err)
{
    struct strv *argv = &session->spec.argv;
    const struct strv *parts[] = {&session->interpreter.argv, &session->options.command};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        for (size_t j = 0; j < parts[i]->count; j++) {
            if (!strv_add(argv, parts[i]->items[j]))
                return no_memory(err);
        }
        if (i == 0 && session->script_path && !strv_add(argv, session->script_path))
            return no_memory(err);
    }
    return true;
}

static bool make_spec(struct session *session, struct err *err)
{
    struct run_spec *spec = &session->spec;
    const struct cell_user *user = &session->user;

    spec->plan = &session->plan;
    spec->interpreters = session->interpreter.needs;
    spec->workdir = session->workdir;
    spec->uid = user->uid;
    spec->gid = user->gid;
    memcpy(spec->groups, user->groups, sizeof(spec->groups));
    spec->group_count = user->group_count;
    spec->user_listed = user->listed;
    spec->network = session->options.network;
    spec->hostname = session->options.hostname;
    spec->labels = json_object_get(session->options.asked, "label");
    spec->read_only = session->options.read_only;
    spec->capabilities = session_capabilities(&session->options);
    spec->with_32_bits = platform_has_32_bits(&session->image.platform);
    spec->seccomp = session->seccomp.count ? &session->seccomp : NULL;
    spec->hides_store = session->hides_store;
    spec->pass_stdin = session->options.interactive;
    spec->limits = session->options.limits;
    spec->secrets = session->secrets.files;
    spec->secret_count = session->secrets.file_count;
    spec->scratch = session->scratch.path;
    spec->step = session->id;
    spec->engine_host = session->options.engine_host;
    spec->terminal = session->options.terminal;
    spec->stays = session->options.keep != KEEP_NEVER;
    terminal_look(&spec->rows, &spec->columns);
    return session_choose_cluster(session, err) && make_command(session, err) &&
           (!session->options.opens_shell || choose_shell(session, err));
}

/* A place in the cell that the engine itself fills. */
static bool add_own(struct session *session, size_t *count, enum mount_role role,
                    const char *target, struct err *err)
{
    struct mount_spec *spec = &session->specs[(*count)++];

    *spec = (struct mount_spec){.kind = MOUNT_OWN, .role = role, .target = strdup(target)};
    return spec->target || no_memory(err);
}

static bool plan_mounts(struct session *session, struct err *err)
{
    size_t count = session->options.mount_count + 1;
    autoerrs refused = {0};
    /* Nobody is asked to type a script for a step that cannot start. */
    bool unread = session->violations.count && session->options.script &&
                  strcmp(session->options.script, "-") == 0;

    if (session->options.script && !unread &&
        !session_passes(session, add_script(session, session->specs, &count, err), err))
        return false;
    if (!session_passes(session, session_cover_stores(session, &count, err), err))
        return false;
    if (session->secrets.file_count && !add_own(session, &count, MOUNT_SECRETS, SECRETS_PATH, err))
        return false;
    if (!add_own(session, &count, MOUNT_OUTPUT, STEP_OUTPUT_PATH, err))
        return false;
    if (mount_plan_make(session->specs, session->sources, count, &session->plan, &refused, err))
        return true;
    for (size_t i = 0; i < refused.count; i++) {
        if (!session_passes(session, false, &refused.items[i]))
            return false;
    }
    return refused.count || session_passes(session, false, err);
}

/* Who takes a place gives back what cells that are gone have left to others, sources among it. */
static bool take_scratch(struct session *session, struct err *err)
{
    if (!scratch_take(session->store.fd, session->store.path, &session->scratch, err))
        return false;
    for (size_t i = 0; i <= session->options.mount_count; i++)
        mount_source_look_again(&session->sources[i]);
    return true;
}

bool session_plan(struct session *session, struct err *err)
{
    session->knows_environment = make_environment(session, err);
    /* Without a store, which was complained of, a script from stdin has no place. */
    return session_passes(session, session->knows_environment, err) &&
           (!session->store.path ||
            (take_scratch(session, err) && plan_mounts(session, err) && make_spec(session, err)));
}

/* The step of `stepcell explain --json`: what was asked for, with everything in it resolved. */
#include "shim/explain_parts.h"

#include <string.h>

#include "base/path.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "runtime/image/lock.h"

#define MOUNT_TEXT_MAX (8 * MOUNT_PATH_MAX)

json_t *explain_string(const char *text)
{
    return text ? json_bytes(text, strlen(text)) : json_null();
}

/* A path begins where the caller is. */
static char *absolute(const struct session *session, const char *path)
{
    return path_absolute(session_directory(session), path);
}

/* The value of an option, with `prefix` bytes before the path. */
static json_t *absolute_json(const struct session *session, const char *value, size_t prefix)
{
    autofree char *path = absolute(session, value + prefix);
    autofree char *text = path ? text_printf("%.*s%s", (int)prefix, value, path) : NULL;

    return explain_string(text);
}

/* Of an option with one path, or with a list of them, each behind the first `behind`, if any. */
static void make_absolute(const struct session *session, json_t *step, const char *key, char behind)
{
    json_t *given = json_object_get(step, key), *value;
    const char *text = json_string_value(given);
    size_t i;

    /* "-" is stdin. */
    if (text && strcmp(text, "-") != 0)
        json_object_set_new(step, key, absolute_json(session, text, 0));
    json_array_foreach (given, i, value) {
        const char *one = json_string_value(value);
        const char *sign = behind ? strchr(one, behind) : NULL;

        json_array_set_new(given, i,
                           absolute_json(session, one, sign ? (size_t)(sign + 1 - one) : 0));
    }
}

static void append(json_t *step, const char *key, const char *text)
{
    json_t *list = json_object_get(step, key);

    if (!list)
        json_object_set_new(step, key, list = json_array());
    json_array_append_new(list, explain_string(text));
}

static const char *package_key(const struct mount_spec *spec)
{
    return spec->kind == MOUNT_COW ? "package_cow" : spec->readonly ? "package" : "package_rw";
}

static bool add_package(json_t *step, const struct mount_spec *spec, const char *path)
{
    autofree char *text =
        text_printf("%s%s%s", spec->name ? spec->name : "", spec->name ? "=" : "", path);

    if (text)
        append(step, package_key(spec), text);
    return text;
}

static bool add_bind(json_t *step, const struct mount_spec *spec, const char *path)
{
    autobuf text = BUF_INIT(MOUNT_TEXT_MAX);
    bool ok = buf_append_text(&text, "type=bind,") && quote_csv(&text, "source", path) &&
              buf_append_text(&text, ",") && quote_csv(&text, "target", spec->target) &&
              (!spec->readonly || buf_append_text(&text, ",readonly"));

    if (ok)
        append(step, "mount", text.data);
    return ok;
}

/* tmpfs has no path of the host, and a device none that is relative: they stay as given. */
static void keep_tmpfs(json_t *mounts)
{
    for (size_t i = json_array_size(mounts); i-- > 0;) {
        struct mount_spec spec;
        struct err ignored;

        if (!mount_spec_mount(json_string_value(json_array_get(mounts, i)), &spec, &ignored))
            continue;
        if (spec.kind != MOUNT_TMPFS)
            json_array_remove(mounts, i);
        mount_spec_release(&spec);
    }
}

static bool set_mounts(const struct session *session, json_t *step)
{
    static const char *const keys[] = {"package", "package_cow", "package_rw", "volume"};
    const struct run_options *options = &session->options;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        json_object_del(step, keys[i]);
    keep_tmpfs(json_object_get(step, "mount"));
    for (size_t i = 0; i < options->mount_count; i++) {
        const struct mount_spec *spec = &options->mounts[i];
        autofree char *path = spec->source ? absolute(session, spec->source) : NULL;

        if (spec->kind != MOUNT_TMPFS && spec->role != MOUNT_DEVICE &&
            !(path && (spec->target ? add_bind(step, spec, path) : add_package(step, spec, path))))
            return false;
    }
    return true;
}

/* Whether a variable is the step's own. */
static bool is_asked(const struct session *session, size_t i)
{
    enum env_origin origin = (enum env_origin)session->env_origins.data[i];

    return origin == ENV_PROXY || origin == ENV_FILE || origin == ENV_OPTION;
}

/* As it was given: what cannot be known is left to whoever runs the step. Without all secrets
 * nobody can tell which value holds one. */
static bool keep_env(const struct session *session, json_t *step)
{
    const struct strv *env = &session->options.env;

    json_object_del(step, "env");
    make_absolute(session, step, "env_file", 0);
    for (size_t i = 0; i < env->count; i++) {
        autofree char *text = session_masked(session, env->items[i]);

        if (!text)
            return false;
        if (session->secrets.incomplete || strcmp(text, env->items[i]) != 0)
            text[strcspn(text, "=")] = '\0';
        append(step, "env", text);
    }
    return true;
}

/* What the caller's environment and files decided is decided now; secrets stay names. */
static bool set_env(const struct session *session, const char *origins, json_t *step)
{
    const struct strv *env = &session->spec.env;

    if (!session->knows_environment)
        return keep_env(session, step);
    json_object_del(step, "env");
    json_object_del(step, "env_file");
    if (!session->options.no_proxy_env)
        json_object_set_new(step, "no_proxy_env", json_true());
    for (size_t i = 0; i < env->count; i++) {
        bool hidden = origins[i] == ENV_SECRET;
        autofree char *text =
            hidden ? strndup(env->items[i], strcspn(env->items[i], "=")) : strdup(env->items[i]);

        if (!is_asked(session, i))
            continue;
        if (!text)
            return false;
        append(step, "env", text);
    }
    return true;
}

/* An assignment is named, and its value not repeated. */
static bool is_utf8(const char *what, const char *text, struct err *err)
{
    return utf8_valid(text, strlen(text)) ||
           err_set(err, ERR_OPTION_INVALID, "%s '%.*s' is no UTF-8, and cannot stand in JSON", what,
                   (int)strcspn(text, "="), text);
}

bool explain_fits_json(const struct session *session, int argc, char **argv, struct err *err)
{
    const struct strv *env = &session->spec.env;
    bool ok = is_utf8("the directory", session_directory(session), err);

    for (int i = 0; ok && i < argc; i++)
        ok = is_utf8("the word", argv[i], err);
    for (size_t i = 0; ok && i < env->count; i++)
        ok = !is_asked(session, i) || is_utf8("the variable", env->items[i], err);
    return ok || err_hint(err, "leave --json out, or give what is UTF-8");
}

json_t *explain_step(const struct session *session, const char *origins)
{
    const struct run_options *options = &session->options;
    autojson *step = json_pack(
        "{s:s, s:o}", "schema", STEP_SCHEMA, "image",
        explain_string(session->reference.name ? session->reference.name : options->image));
    autojson *asked = json_deep_copy(options->asked);
    autofree char *pinned = explain_pinned(session);
    const char *workdir = session->workdir ? session->workdir : options->workdir;

    if (!step || !asked || json_object_update_missing(step, asked) < 0)
        return NULL;
    json_object_del(step, "cwd");
    /* Under a name that the store does not know, only a registry can give it. */
    if (pinned && options->pull != PULL_NEVER)
        json_object_set_new(step, "image", explain_string(pinned));
    if (workdir)
        json_object_set_new(step, "workdir", absolute_json(session, workdir, 0));
    make_absolute(session, step, "script", 0);
    make_absolute(session, step, "seccomp", 0);
    if (options->locked && !options->lock)
        json_object_set_new(step, "lock", absolute_json(session, LOCK_FILENAME, 0));
    make_absolute(session, step, "lock", 0);
    make_absolute(session, step, "secret_file", '=');
    make_absolute(session, step, "mask_file", 0);
    if (!set_mounts(session, step) || !set_env(session, origins, step))
        return NULL;
    return options_in_order(step);
}

#include "runtime/docker/answers.h"

#include <stdio.h>
#include <string.h>

#include "base/history.h"
#include "base/num.h"

#define TAR_BLOCK     512
#define TAR_SIZE_AT   124
#define TAR_SIZE_LEN  12
#define TAR_TYPE_AT   156
#define DIGEST_PREFIX "sha256:"
#define HEX_DIGITS    "0123456789abcdef"
#define HEX_LEN       64
#define HISTORY_MAX   1024 /* lines that are looked at */
#define LAYER_MAX     sizeof(((struct daemon_progress *)0)->layer)

static bool nonsense(struct err *err, const char *what)
{
    return err_set(err, ERR_ENGINE_FAILED, "an answer of the engine is not valid: %s", what);
}

bool api_version_choose(const char *offered, struct api_version *version, struct err *err)
{
    autofree char *copy = strndup(offered, 16);
    char *dot = copy ? strchr(copy, '.') : NULL;
    uint64_t major, minor;

    if (dot)
        *dot++ = '\0';
    if (!dot || strlen(offered) > 15 || !num_parse(copy, 1000, &major) ||
        !num_parse(dot, 1000, &minor))
        return err_set(err, ERR_ENGINE_UNAVAILABLE, "'%.40s' is no version of the Engine API",
                       offered);
    if (major == 1 && minor < API_MINOR_OLDEST) {
        err_set(err, ERR_ENGINE_UNAVAILABLE, "it speaks version 1.%u of the Engine API at the most",
                (unsigned int)minor);
        return err_hint(err, "1.%d is needed: Docker 19.03 or later, Podman 3 or later",
                        API_MINOR_OLDEST);
    }
    if (major == 0)
        return err_set(err, ERR_ENGINE_UNAVAILABLE, "it speaks version 0 of the Engine API");
    if (major > 1 || minor > API_MINOR_NEWEST)
        minor = API_MINOR_NEWEST;
    *version = (struct api_version){1, (unsigned int)minor};
    return true;
}

/* What a terminal or a log could take for more than text becomes a blank. */
static void take_message(const char *text, char message[ANSWER_MESSAGE_MAX])
{
    snprintf(message, ANSWER_MESSAGE_MAX, "%s", text ? text : "");
    for (char *at = message; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    }
}

void answer_message(const json_t *answer, char message[ANSWER_MESSAGE_MAX])
{
    take_message(json_text(answer, "message"), message);
}

static bool is_hex(const char *text)
{
    return strspn(text, HEX_DIGITS) == HEX_LEN && text[HEX_LEN] == '\0';
}

static bool is_null(const json_t *value)
{
    return !value || json_is_null(value);
}

static bool take_text(const json_t *object, const char *key, char **out, struct err *err)
{
    const json_t *value = json_object_get(object, key);
    const char *text = is_null(value) ? "" : json_string_value(value);

    if (!text || strlen(text) > ANSWER_TEXT_MAX)
        return nonsense(err, key);
    *out = strdup(text);
    return *out || nonsense(err, "it does not fit into memory");
}

static bool take_list(const json_t *object, const char *key, struct strv *list, struct err *err)
{
    const json_t *value = json_object_get(object, key), *item;
    size_t i;

    if (is_null(value))
        return true;
    if (!json_is_array(value) || json_array_size(value) > ANSWER_LIST_MAX)
        return nonsense(err, key);
    json_array_foreach (value, i, item) {
        if (!json_is_string(item) || json_string_length(item) > ANSWER_ENTRY_MAX)
            return nonsense(err, key);
        if (!strv_add(list, json_string_value(item)))
            return nonsense(err, "it does not fit into memory");
    }
    return true;
}

/* The keys of an object, whose values mean nothing. */
static bool take_keys(const json_t *object, const char *key, struct strv *list, struct err *err)
{
    json_t *value = json_object_get(object, key), *ignored;
    const char *name;

    if (is_null(value))
        return true;
    if (!json_is_object(value) || json_object_size(value) > ANSWER_LIST_MAX)
        return nonsense(err, key);
    json_object_foreach (value, name, ignored) {
        if (strlen(name) > ANSWER_TEXT_MAX)
            return nonsense(err, key);
        if (!strv_add(list, name))
            return nonsense(err, "it does not fit into memory");
    }
    return true;
}

/* As image_config.c: an entry without a '=' would take the caller's value of that name. */
static void drop_names_alone(struct strv *env)
{
    size_t kept = 0;

    for (size_t i = 0; i < env->count; i++) {
        const char *equals = strchr(env->items[i], '=');

        if (equals && equals != env->items[i])
            env->items[kept++] = env->items[i];
        else
            free(env->items[i]);
    }
    env->count = kept;
    if (env->items)
        env->items[kept] = NULL;
}

static bool take_image(const json_t *answer, struct daemon_image *image, struct err *err)
{
    const json_t *config = json_object_get(answer, "Config");

    if (!is_null(config) && !json_is_object(config))
        return nonsense(err, "Config");
    if (!take_text(answer, "Id", &image->id, err) || !take_text(answer, "Os", &image->os, err) ||
        !take_text(answer, "Architecture", &image->arch, err) ||
        !take_text(answer, "Variant", &image->variant, err) ||
        !take_text(config, "User", &image->user, err) ||
        !take_text(config, "WorkingDir", &image->workdir, err) ||
        !take_list(answer, "RepoDigests", &image->repo_digests, err) ||
        !take_list(config, "Entrypoint", &image->entrypoint, err) ||
        !take_list(config, "Env", &image->env, err) ||
        !take_keys(config, "Volumes", &image->volumes, err))
        return false;
    drop_names_alone(&image->env);
    /* Podman gives the digits alone. */
    if (is_hex(image->id)) {
        char *full = malloc(sizeof(DIGEST_PREFIX) + HEX_LEN);

        if (!full)
            return nonsense(err, "it does not fit into memory");
        stpcpy(stpcpy(full, DIGEST_PREFIX), image->id);
        free(image->id);
        image->id = full;
    }
    return (strncmp(image->id, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0 &&
            is_hex(image->id + strlen(DIGEST_PREFIX)) && image->os[0] && image->arch[0]) ||
           nonsense(err, "an image without an id or a platform");
}

bool answer_image(const json_t *answer, struct daemon_image *image, struct err *err)
{
    struct daemon_image taken = {0};

    if (!json_is_object(answer))
        return nonsense(err, "an image that is no object");
    if (!take_image(answer, &taken, err)) {
        daemon_image_release(&taken);
        return false;
    }
    *image = taken;
    return true;
}

void daemon_image_release(struct daemon_image *image)
{
    free(image->id);
    free(image->os);
    free(image->arch);
    free(image->variant);
    free(image->user);
    free(image->workdir);
    strv_release(&image->repo_digests);
    strv_release(&image->entrypoint);
    strv_release(&image->env);
    strv_release(&image->volumes);
    *image = (struct daemon_image){0};
}

const char *answer_entrypoint_history(const json_t *answer)
{
    size_t count = json_is_array(answer) ? json_array_size(answer) : 0;

    for (size_t i = 0; i < count && i < HISTORY_MAX; i++) {
        const char *line = json_text(json_array_get(answer, i), "CreatedBy");

        if (line && strlen(line) <= ANSWER_TEXT_MAX && history_sets_entrypoint(line))
            return line;
    }
    return NULL;
}

const char *answer_container_id(const json_t *answer, struct err *err)
{
    const char *id = json_text(answer, "Id");

    if (id && is_hex(id))
        return id;
    nonsense(err, "a container without an id");
    return NULL;
}

bool answer_rootless(const json_t *answer, bool *rootless, struct err *err)
{
    static const char word[] = "name=rootless";
    const json_t *options = json_object_get(answer, "SecurityOptions"), *item;
    bool found = json_is_true(json_object_get(answer, "Rootless")); /* so Podman */
    size_t i;

    if (!is_null(options) && !json_is_array(options))
        return nonsense(err, "SecurityOptions");
    json_array_foreach (options, i, item) {
        const char *text = json_string_value(item);

        if (!text)
            return nonsense(err, "SecurityOptions");
        found =
            found || (strncmp(text, word, strlen(word)) == 0 && strchr(",", text[strlen(word)]));
    }
    *rootless = found;
    return true;
}

/* Podman names them as setrlimit(2) does. */
static bool has_ulimit(const json_t *list, const json_t *asked)
{
    static const char prefix[] = "RLIMIT_";
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        const char *name = json_text(item, "Name");

        if (name && strncmp(name, prefix, strlen(prefix)) == 0)
            name += strlen(prefix);
        if (name && strcasecmp(name, json_text(asked, "Name")) == 0)
            return json_equal(json_object_get(item, "Soft"), json_object_get(asked, "Soft")) &&
                   json_equal(json_object_get(item, "Hard"), json_object_get(asked, "Hard"));
    }
    return false;
}

const char *answer_limit_missing(const json_t *answer, const json_t *asked)
{
    static const struct {
        const char *key, *option;
    } limits[] = {{"Memory", "--memory"}, {"CpuQuota", "--cpus"}, {"PidsLimit", "--pids-limit"}};
    const json_t *has = json_object_get(answer, "HostConfig"), *item;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(limits); i++) {
        const json_t *value = json_object_get(asked, limits[i].key);

        if (value && !json_equal(json_object_get(has, limits[i].key), value))
            return limits[i].option;
    }
    json_array_foreach (json_object_get(asked, "Ulimits"), i, item) {
        if (!has_ulimit(json_object_get(has, "Ulimits"), item))
            return "--ulimit";
    }
    return NULL;
}

/* A status of a process; Docker's own failures are below zero. */
static bool take_code(const json_t *object, const char *key, int *code, struct err *err)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 255)
        return nonsense(err, key);
    *code = (int)json_integer_value(value);
    return true;
}

bool answer_state(const json_t *answer, struct daemon_state *state, struct err *err)
{
    static const char *const ended[] = {"exited", "stopped", "dead"};
    const json_t *given = json_object_get(answer, "State");
    const json_t *oom = json_object_get(given, "OOMKilled");
    const char *status = json_text(given, "Status");
    struct daemon_state taken = {.running = true};

    if (!status || !json_is_boolean(oom))
        return nonsense(err, "State");
    for (size_t i = 0; i < ARRAY_SIZE(ended); i++)
        taken.running = taken.running && strcmp(status, ended[i]) != 0;
    taken.oom_killed = json_is_true(oom);
    if (!taken.running && !take_code(given, "ExitCode", &taken.exit_code, err))
        return false;
    *state = taken;
    return true;
}

bool answer_wait(const json_t *answer, int *exit_code, struct err *err)
{
    const json_t *error = json_object_get(answer, "Error");

    if (!is_null(error) && json_text(error, "Message") && *json_text(error, "Message"))
        return nonsense(err, "a wait that failed");
    return take_code(answer, "StatusCode", exit_code, err);
}

static uint64_t take_bytes(const json_t *detail, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(detail, key));

    return value > 0 ? (uint64_t)value : 0;
}

bool answer_progress(const char *line, size_t len, struct daemon_progress *progress)
{
    struct err ignored;
    autojson *json = json_parse(line, len, "progress", ERR_ENGINE_FAILED, &ignored);
    const char *id = json_text(json, "id"), *status = json_text(json, "status");
    const char *error = json_text(json, "error");
    const json_t *detail = json_object_get(json, "progressDetail");

    if (!json_is_object(json))
        return false;
    *progress = (struct daemon_progress){0};
    if (id)
        snprintf(progress->layer, LAYER_MAX, "%s", id);
    take_message(error, progress->error);
    progress->current = take_bytes(detail, "current");
    progress->total = take_bytes(detail, "total");
    if (status && strcmp(status, "Downloading") == 0)
        progress->what = PROGRESS_DOWNLOADING;
    else if (status && strcmp(status, "Extracting") == 0 && progress->total) {
        /* All of it has come; of a small layer nothing else may have been said. */
        progress->what = PROGRESS_DOWNLOADING;
        progress->current = progress->total;
    } else if (status && strcmp(status, "Pull complete") == 0)
        progress->what = PROGRESS_COMPLETE;
    return true;
}

/* Octal digits, ended by a NUL or a blank or the field's end. */
static bool take_size(const char *field, size_t *size)
{
    size_t value = 0, i = 0;

    for (; i < TAR_SIZE_LEN && field[i] >= '0' && field[i] <= '7'; i++) {
        value = value * 8 + (size_t)(field[i] - '0');
        if (value > ANSWER_FILE_MAX)
            return false;
    }
    *size = value;
    return i > 0 && (i == TAR_SIZE_LEN || field[i] == '\0' || field[i] == ' ');
}

bool answer_file(const char *archive, size_t len, struct buf *file)
{
    size_t at = 0, size;

    /* A header of PAX (type x or g) may come first. */
    while (len - at >= TAR_BLOCK && archive[at]) {
        const char *header = archive + at;
        char type = header[TAR_TYPE_AT];

        if (!take_size(header + TAR_SIZE_AT, &size) || size > len - at - TAR_BLOCK)
            return false;
        if (type == '0' || type == '\0')
            return buf_append(file, header + TAR_BLOCK, size);
        if (type != 'x' && type != 'g')
            return false;
        size = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
        if (size > len - at - TAR_BLOCK)
            return false;
        at += TAR_BLOCK + size;
    }
    return false;
}

/* "sha256:" and 64 digits. */
static bool is_id(const char *text)
{
    static const char prefix[] = "sha256:";
    size_t len = strlen(prefix);

    return strncmp(text, prefix, len) == 0 && strlen(text) == DAEMON_ID_MAX - 1 &&
           strspn(text + len, "0123456789abcdef") == DAEMON_ID_MAX - 1 - len;
}

bool answer_build(const char *line, size_t len, struct daemon_build *build)
{
    struct err ignored;
    autojson *json = json_parse(line, len, "progress", ERR_ENGINE_FAILED, &ignored);
    const char *id = json_text(json_object_get(json, "aux"), "ID");
    const char *error = json_text(json, "error");
    bool failed = error && *error;
    const char *text = failed ? error : json_text(json, "stream");

    if (!json_is_object(json))
        return false;
    *build = (struct daemon_build){0};
    if (id && is_id(id))
        strcpy(build->id, id);
    build->failed = failed;
    build->text = text ? strdup(text) : NULL;
    return !text || build->text;
}

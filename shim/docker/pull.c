/* Images on their way into a daemon. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "shim/docker/auth.h"
#include "shim/docker/command.h"
#include "shim/image/progress.h"
#include "shim/print.h"

#define LINE_MAX_BYTES 65536 /* of what a daemon says at once */
#define LAYERS_MAX     128

struct layer_progress {
    char id[sizeof(((struct daemon_progress *)0)->layer)];
    uint64_t current, total;
    struct timespec start; /* CLOCK_REALTIME */
    int64_t began;         /* clock_now() */
    bool complete;
};

/* What a daemon says meanwhile, line by line. */
struct talk {
    struct buf line;
    struct progress progress;
    struct fetch_progress show;
    struct layer_progress layers[LAYERS_MAX];
    size_t layer_count;
    char error[ANSWER_MESSAGE_MAX];
    int archive; /* that is sent */
};

static void begin_layer(struct layer_progress *layer, const char *id)
{
    strcpy(layer->id, id);
    clock_gettime(CLOCK_REALTIME, &layer->start);
    layer->began = clock_now();
}

static void show(struct talk *talk, const struct daemon_progress *line)
{
    uint64_t current = 0, total = 0;
    struct layer_progress *layer;
    size_t i = 0, complete = 0;

    while (i < talk->layer_count && strcmp(talk->layers[i].id, line->layer) != 0)
        i++;
    if (i == LAYERS_MAX)
        return;
    if (i == talk->layer_count) {
        begin_layer(&talk->layers[i], line->layer);
        talk->layer_count++;
    }
    layer = &talk->layers[i];
    if (layer->complete)
        return;
    if (line->what == PROGRESS_COMPLETE) {
        layer->current = layer->total;
        layer->complete = true;
    } else {
        layer->current = line->current;
        layer->total = line->total;
    }
    for (size_t k = 0; k < talk->layer_count; k++) {
        current += talk->layers[k].current;
        total += talk->layers[k].total;
        complete += talk->layers[k].complete;
    }
    talk->progress.layers = talk->layer_count;
    talk->progress.total = total;
    talk->show.bytes(talk->show.data, current, total);
    if (layer->complete) {
        const struct fetch_layer what = {layer->id, layer->total, layer->start,
                                         clock_now() - layer->began};

        talk->show.layer(talk->show.data, &what, complete, talk->layer_count);
    }
}

static void take_line(struct talk *talk)
{
    struct daemon_progress line;

    if (talk->line.len && answer_progress(talk->line.data, talk->line.len, &line)) {
        if (line.error[0])
            strcpy(talk->error, line.error);
        else if (line.layer[0] && line.what != PROGRESS_OTHER)
            show(talk, &line);
    }
    talk->line.len = 0;
}

static bool take_bytes(void *data, const void *bytes, size_t len, struct err *err)
{
    struct talk *talk = data;
    const char *at = bytes, *end = at + len;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t part = (size_t)((newline ? newline : end) - at);

        if (!buf_append(&talk->line, at, part))
            return err_set(err, ERR_ENGINE_FAILED, "the engine says more than %d bytes at once",
                           LINE_MAX_BYTES);
        if (newline)
            take_line(talk);
        at += part + (newline != NULL);
    }
    return true;
}

/* Daemons hand on what a registry, the way to it, or a disk had to say. */
static enum err_code code_of(const char *message, const char **cause)
{
    static const struct {
        const char *text;
        enum err_code code;
        const char *cause;
    } causes[] = {
        {"toomanyrequests", ERR_REGISTRY_RATE_LIMITED, "the registry takes no more requests now"},
        {"unauthorized", ERR_REGISTRY_AUTH, "the registry does not accept the credentials"},
        {"no basic auth credentials", ERR_REGISTRY_AUTH, "the registry wants credentials"},
        {"denied", ERR_IMAGE_DENIED, "the registry does not give it to this user"},
        {"no matching manifest", ERR_IMAGE_PLATFORM, "it is not there for this platform"},
        {"not found", ERR_IMAGE_NOT_FOUND, "the registry does not have it"},
        {"manifest unknown", ERR_IMAGE_NOT_FOUND, "the registry does not have it"},
        {"name unknown", ERR_IMAGE_NOT_FOUND, "the registry does not have it"},
        {"does not exist", ERR_IMAGE_NOT_FOUND, "the registry does not have it"},
        {"no space left on device", ERR_STORE_FULL, "its disk is full"},
        {"dial tcp", ERR_REGISTRY_UNREACHABLE, "it cannot connect to the registry"},
        {"timeout", ERR_REGISTRY_UNREACHABLE, "the registry does not answer in time"},
        {"EOF", ERR_REGISTRY_UNREACHABLE, "the registry breaks the connection off"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
        if (!strstr(message, causes[i].text))
            continue;
        *cause = causes[i].cause;
        return causes[i].code;
    }
    *cause = NULL;
    return ERR_ENGINE_FAILED;
}

/* What a daemon does not do, with what it said. */
static bool refused_by(const char *engine, const char *task, const char *message, struct err *err)
{
    const char *cause;
    enum err_code code = code_of(message, &cause);

    err_set(err, code, "%s cannot %s%s%s", engine, task, cause ? ": " : "", cause ? cause : "");
    return err_detail(err, "%s", message);
}

static char *pull_path(const struct reference *reference, const char *platform)
{
    autofree char *name =
        reference->digest
            ? text_printf("%s/%s@%s", reference->host, reference->path, reference->digest)
            : text_printf("%s/%s", reference->host, reference->path);
    autofree char *image = name ? client_escape(name) : NULL;
    autofree char *tag = reference->digest ? NULL : client_escape(reference->tag);
    autofree char *wanted = platform ? client_escape(platform) : NULL;

    if (!image || (!tag && !reference->digest) || (platform && !wanted))
        return NULL;
    return text_printf("/images/create?fromImage=%s%s%s%s%s", image, tag ? "&tag=" : "",
                       tag ? tag : "", wanted ? "&platform=" : "", wanted ? wanted : "");
}

bool pull_image(struct client *client, const char *engine, const struct reference *reference,
                const char *platform, const char *progress, int report, struct err *err)
{
    struct talk talk = {.line = BUF_INIT(LINE_MAX_BYTES), .archive = -1};
    autofree char *path = pull_path(reference, platform);
    autofree char *task = text_printf("pull '%s'", reference->name);
    autofree char *auth = NULL;
    autoanswer answer = {0};
    struct client_call call = {.method = "POST", .path = path, .body = take_bytes, .data = &talk};
    bool answered;

    if (!path || !task)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory");
    talk.progress = PROGRESS_INIT;
    talk.progress.report = report;
    if (!progress_init(progress, &talk.progress, err) ||
        !auth_find(reference, client, engine, &auth, err))
        return false;
    call.auth = auth;
    talk.show = progress_callbacks(&talk.progress);
    if (talk.progress.mode != PROGRESS_NONE)
        print_note(PRINT_NORMAL, "%s pulls '%s'", engine, reference->name);
    answered = client_call(client, &call, &answer, err);
    take_line(&talk);
    progress_end(&talk.progress);
    buf_release(&talk.line);
    if (auth)
        explicit_bzero(auth, strlen(auth));
    if (!answered)
        return false;
    if (answer.status != 200)
        answer_message(answer.json, talk.error);
    if (answer.status != 200 && !talk.error[0])
        return client_refused(client, &answer, ERR_ENGINE_FAILED, "pull an image", err);
    if (talk.error[0])
        return refused_by(engine, task, talk.error, err);
    progress_complete(&talk.progress);
    return true;
}

static bool send_archive(void *data, void *bytes, size_t size, size_t *len, struct err *err)
{
    const struct talk *talk = data;
    ssize_t n;

    do
        n = read(talk->archive, bytes, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read the archive of the image");
    *len = (size_t)n;
    return true;
}

bool load_image(struct client *client, const char *engine, const char *archive, struct err *err)
{
    struct talk talk = {.line = BUF_INIT(LINE_MAX_BYTES), .archive = -1};
    struct client_call call = {.method = "POST",
                               .path = "/images/load?quiet=1",
                               .body = take_bytes,
                               .upload = send_archive,
                               .data = &talk};
    autofd file = open(archive, O_RDONLY | O_CLOEXEC);
    autoanswer answer = {0};
    struct stat st;
    bool answered;

    if (file < 0 || fstat(file, &st) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read the archive of the image");
    talk.archive = file;
    call.upload_size = (uint64_t)st.st_size;
    answered = client_call(client, &call, &answer, err);
    take_line(&talk);
    buf_release(&talk.line);
    if (!answered)
        return false;
    if (answer.status != 200)
        answer_message(answer.json, talk.error);
    if (answer.status != 200 && !talk.error[0])
        return client_refused(client, &answer, ERR_ENGINE_FAILED, "load an image", err);
    return !talk.error[0] || refused_by(engine, "load an image", talk.error, err);
}

#include "shim/result.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/stream.h"
#include "shim/command.h"
#include "shim/helper_report.h"

#define FIFO_TRIES    50 /* a second in all */
#define FIFO_PAUSE_NS 20000000L
#define READER_MS     5000 /* a reader that takes nothing for so long gets no more */

static const char *const outcomes[] = {
    [OUTCOME_EXITED] = "exited",       [OUTCOME_SIGNALED] = "signaled",
    [OUTCOME_TIMED_OUT] = "timed-out", [OUTCOME_CANCELED] = "canceled",
    [OUTCOME_REFUSED] = "refused",     [OUTCOME_FAILED] = "failed",
    [OUTCOME_UNKNOWN] = "unknown",
};

const char *result_outcome_text(enum outcome outcome)
{
    return outcomes[outcome];
}

enum outcome result_outcome_of(enum err_code code)
{
    switch (code) {
    case ERR_IMAGE_ENTRYPOINT:
    case ERR_IMAGE_PLATFORM:
    case ERR_IMAGE_SHELL_MISSING:
    case ERR_IMAGE_DENIED:
    case ERR_IMAGE_UNPINNED:
    case ERR_IMAGE_SIGNATURE:
    case ERR_POLICY_DENIED:
    case ERR_MOUNT_SOURCE_MISSING:
    case ERR_MOUNT_CONFLICT:
    case ERR_MOUNT_DENIED:
    case ERR_WORKDIR_MISSING:
    case ERR_SCRIPT_MISSING:
    case ERR_USER_UNKNOWN:
    case ERR_CONFIG_INVALID:
    case ERR_OPTION_INVALID:
    case ERR_STEP_CONFLICT:
        return OUTCOME_REFUSED;
    default:
        return OUTCOME_FAILED;
    }
}

static json_t *text_or_null(const char *text)
{
    return text ? json_bytes(text, strlen(text)) : json_null();
}

static json_t *stream_json(const struct stream_count *count)
{
    /* Lines and digest are counted only where something looks at the bytes anyway. */
    json_t *stream = json_pack(
        "{s:I, s:o, s:o}", "bytes", (json_int_t)count->bytes, "lines",
        count->counted ? json_integer((json_int_t)count->counts.lines) : json_null(), "sha256",
        count->counted ? json_string(count->counts.sha256 + strlen("sha256:")) : json_null());

    if (count->lost)
        json_object_set_new(stream, "lost_bytes", json_integer((json_int_t)count->lost));
    return stream;
}

static json_t *image_json(const struct result *result)
{
    if (!result->reference)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "reference", text_or_null(result->reference),
                     "digest", text_or_null(result->digest), "manifest_digest",
                     text_or_null(result->manifest_digest), "platform",
                     text_or_null(result->platform), "lock", text_or_null(result->lock),
                     "signatures",
                     result->signatures ? json_incref((json_t *)result->signatures) : json_array());
}

static json_t *error_json(const struct err *err)
{
    return err->code == ERR_NONE ? json_null() : helper_report_err(err);
}

json_t *result_violations_json(const struct errs *violations)
{
    json_t *list = json_array();

    for (size_t i = 0; i < violations->count; i++)
        json_array_append_new(list, helper_report_err(&violations->items[i]));
    return list;
}

static json_t *cleanup_json_of(const struct result *result)
{
    json_t *left = json_array();

    for (size_t i = 0; i < result->left.count; i++)
        json_array_append_new(left, text_or_null(result->left.items[i]));
    return json_pack("{s:b, s:o}", "verified", result->cleanup_verified, "left", left);
}

json_t *result_json(const struct result *result)
{
    return json_pack(
        "{s:s, s:o, s:s, s:i, s:o, s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:b, s:o, s:o, s:o, s:o, "
        "s:o}",
        "schema", "stepcell.result/1", "id", text_or_null(result->id), "outcome",
        outcomes[result->outcome], "exit_code", result->exit_code, "signal",
        result->signal ? json_integer(result->signal) : json_null(), "engine", result->engine,
        "labels", json_pairs(result->labels), "image", image_json(result), "policy",
        result->verdict ? policy_verdict_json(result->verdict) : json_null(), "output", "stdout",
        stream_json(&result->out), "stderr", stream_json(&result->err), "outputs",
        result->outputs ? json_incref((json_t *)result->outputs) : json_object(), "oom_killed",
        result->oom_killed, "phases", phases_json(&result->phases, result->helper_phases),
        "cleanup", cleanup_json_of(result), "kept_until",
        text_or_null(result->kept_until[0] ? result->kept_until : NULL), "error",
        error_json(&result->error), "violations", result_violations_json(&result->violations));
}

static bool cannot_open(const struct outlets *outlets, const char *path, struct err *err)
{
    outlet_failed(outlets, "cannot write", path, err);
    return err_hint(err, "name a file in a directory that exists and is writable; no link is "
                         "followed where steps write, and no file written that a policy guards");
}

/* Whether it is what our own stdout or stderr goes to, /dev/stdout say; the descriptor, or -1. */
static int same_as_stream(const struct stat *st)
{
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat stream;

        if (fstat(fd, &stream) == 0 && stream.st_dev == st->st_dev && stream.st_ino == st->st_ino)
            return fd;
    }
    return -1;
}

/* Where links are the kernel's own, to open files: /dev/fd/3 is one. */
static bool is_proc(int dir)
{
    struct statfs system;

    return fstatfs(dir, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

/*
 * Whether what is there is written to as it is: what is no regular file. Through a link, which a
 * step may have made, that is our own stdout or stderr alone: /dev/stdout is one.
 */
static bool is_stream(int dir, const char *name, struct stat *st)
{
    bool is_link;

    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    is_link = S_ISLNK(st->st_mode);
    if (is_link && fstatat(dir, name, st, 0) < 0)
        return false;
    return same_as_stream(st) >= 0 || (!S_ISREG(st->st_mode) && (!is_link || is_proc(dir)));
}

/* Of a FIFO only the place is taken, so that it keeps nobody waiting for its reader. */
static int open_stream(int dir, const char *name, const struct stat *seen)
{
    int stream = same_as_stream(seen);
    int flags = (S_ISFIFO(seen->st_mode) ? O_PATH : O_WRONLY) | (is_proc(dir) ? 0 : O_NOFOLLOW) |
                O_CLOEXEC | O_NOCTTY;
    autofd fd =
        stream >= 0 ? fcntl(stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : openat(dir, name, flags);
    struct stat opened;

    if (stream < 0 && flags & O_PATH && faccessat(dir, name, W_OK, AT_EACCESS) < 0)
        return -1;
    if (stream >= 0 || fd < 0 || fstat(fd, &opened) < 0)
        return TAKE_FD(fd);
    /* A file or link has come into its place; or it is a whole disk. */
    errno = S_ISBLK(opened.st_mode) ? ENOTSUP : ELOOP;
    return S_ISFIFO(opened.st_mode) || S_ISCHR(opened.st_mode) ? TAKE_FD(fd) : -1;
}

bool result_open(const char *path, const struct outlets *outlets, struct result_place *place,
                 struct err *err)
{
    struct result_place made = RESULT_PLACE_INIT;
    autofree char *name = NULL;
    autofd dir = outlet_open_parent(outlets, path, &name);
    struct stat st;

    if (dir < 0)
        return cannot_open(outlets, path, err);
    if (is_stream(dir, name, &st))
        made.fd = open_stream(dir, name, &st);
    else if (is_proc(dir))
        errno = ENOTSUP; /* a file that is open, or none: nothing can be put in its place there */
    else if (faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0)
        made.dir = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (made.fd < 0 && made.dir < 0)
        return cannot_open(outlets, path, err);
    made.path = strdup(path);
    made.name = TAKE_PTR(name);
    *place = made;
    return true;
}

void result_close(struct result_place *place)
{
    close_fd(place->dir);
    close_fd(place->fd);
    free(place->path);
    free(place->name);
    *place = RESULT_PLACE_INIT;
}

/*
 * By now it has to have a reader, or to get one that is on its way: without one what is written
 * would be lost.
 */
static int open_fifo(int found)
{
    const struct timespec pause = {.tv_nsec = FIFO_PAUSE_NS};
    char path[32];
    autofd fd = -1;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
    for (int i = 0; fd < 0 && i < FIFO_TRIES; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno != ENXIO)
            return -1;
    }
    if (fd < 0)
        errno = ENXIO;
    return TAKE_FD(fd);
}

static bool write_stream(int fd, const void *bytes, size_t len)
{
    bool is_found = fcntl(fd, F_GETFL) & O_PATH;
    autofd fifo = is_found ? open_fifo(fd) : -1;

    return is_found ? fifo >= 0 && stream_write(fifo, bytes, len, READER_MS)
                    : stream_write(fd, bytes, len, READER_MS);
}

static const char *why_not_written(void)
{
    return errno == ENXIO       ? "nobody reads from it"
           : errno == ETIMEDOUT ? "who reads from it takes nothing"
                                : strerror(errno);
}

/* The step may have renamed a directory above, and left what it likes by the path of its result. */
static bool is_in_place(const struct result_place *place)
{
    const struct strv nowhere = {0};
    autofree char *name = NULL;
    autofd dir = path_open_parent(place->path, &nowhere, &name);

    return dir >= 0 && path_is_within(dir, place->dir, 0);
}

static bool write_file(const void *bytes, size_t len, const struct result_place *place,
                       struct err *err)
{
    if (!file_replace(place->dir, place->name, bytes, len, 0644, ERR_ENGINE_FAILED, err))
        return false;
    if (is_in_place(place))
        return true;
    errno = ESTALE;
    return false;
}

bool result_write_bytes(const void *bytes, size_t len, const struct result_place *place,
                        struct err *err)
{
    if (place->fd >= 0 ? write_stream(place->fd, bytes, len) : write_file(bytes, len, place, err))
        return true;
    if (place->fd < 0 && errno == ESTALE) {
        err_set(err, ERR_ENGINE_FAILED,
                "what '%s' leads to is not what was written: a directory above it was moved away",
                place->path);
        return err_hint(err, "name a file in a directory that no step writes to");
    }
    err_set(err, ERR_ENGINE_FAILED, "cannot write '%s': %s", place->path, why_not_written());
    return err_hint(err, "make room there, or name another file; a FIFO needs a reader");
}

bool result_write_json(const json_t *json, const struct result_place *place, struct err *err)
{
    autofree char *text = json ? json_dump_page(json) : NULL;

    if (!text)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the result");
    return result_write_bytes(text, strlen(text), place, err);
}

bool result_write(const struct result *result, const struct result_place *place, struct err *err)
{
    autojson *json = result_json(result);

    return result_write_json(json, place, err);
}

int result_status(const json_t *result)
{
    const json_t *status = json_object_get(result, "exit_code");
    json_int_t value = json_integer_value(status);

    return json_is_integer(status) && value >= 0 && value <= UINT8_MAX ? (int)value : STATUS_FAILED;
}

#include "shim/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "base/path.h"

#define LOGIN_MAX 32 /* bytes of /proc/self/loginuid */

/* Who logged in, whatever became of that user since; null where the kernel does not know. */
static json_t *login_uid(void)
{
    autobuf text = BUF_INIT(LOGIN_MAX);
    struct err ignored;
    uint64_t uid;

    if (!file_read(AT_FDCWD, "/proc/self/loginuid", &text, ERR_ENGINE_FAILED, &ignored) ||
        !num_parse(text.data, UINT32_MAX - 1, &uid))
        return json_null();
    return json_integer((json_int_t)uid);
}

json_t *audit_entry(const char *step, const char *decision, json_t *members)
{
    autojson *rest = members;
    autojson *entry = NULL;
    char now[CLOCK_TEXT_MAX];
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    clock_text(&time, now);
    entry = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:i}", "schema", AUDIT_SCHEMA, "time",
                      now, "step", step, "decision", decision, "uid", (json_int_t)getuid(), "gid",
                      (json_int_t)getgid(), "login_uid", login_uid(), "pid", (int)getpid());
    return entry && rest && json_object_update(entry, rest) == 0 ? TAKE_PTR(entry) : NULL;
}

static bool cannot_write(const char *path, const char *why, struct err *err)
{
    err_set(err, ERR_POLICY_DENIED,
            "the audit log '%s' cannot be written to, and so nothing runs: "
            "%s",
            path, why);
    return err_hint(err,
                    "the administrator has to see that every user of stepcell can append to it");
}

/* The log, or -1. `create` is O_CREAT, or 0. */
static int open_log(const char *path, int create, struct err *err)
{
    autofd fd = open(
        path, O_WRONLY | O_APPEND | create | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        cannot_write(path, strerror(errno), err);
    else if (!S_ISREG(st.st_mode))
        cannot_write(path, "it is no file", err);
    else
        return TAKE_FD(fd);
    return -1;
}

bool audit_append(const char *path, const json_t *entry, struct err *err)
{
    autofree char *text = entry ? json_dump_line(entry) : NULL;
    autofree char *line = text ? text_printf("%s\n", text) : NULL;
    autofd fd = -1;
    size_t len;

    if (!line)
        return cannot_write(path, strerror(ENOMEM), err);
    len = strlen(line);
    fd = open_log(path, O_CREAT, err);
    if (fd < 0)
        return false;
    if (write(fd, line, len) == (ssize_t)len)
        return true;
    /* Whoever comes next begins a line. */
    (void)!write(fd, "\n", 1);
    return cannot_write(path, "the line is not complete", err);
}

bool audit_can_append(const char *path, struct err *err)
{
    autofree char *dir = strndup(path, (size_t)(path_name(path) - path));
    autofd fd = -1;

    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
        fd = open_log(path, 0, err);
        return fd >= 0;
    }
    return (dir && faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0) ||
           cannot_write(path, strerror(errno), err);
}

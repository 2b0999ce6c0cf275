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

bool audit_append(const char *path, const json_t *entry, struct err *err)
{
    autofree char *text = entry ? json_dump_line(entry) : NULL;
    autofree char *line = text ? text_printf("%s\n", text) : NULL;
    struct stat st;
    autofd fd = -1;
    size_t len;

    if (!line)
        return cannot_write(path, strerror(ENOMEM), err);
    len = strlen(line);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
              0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cannot_write(path, strerror(errno), err);
    if (!S_ISREG(st.st_mode))
        return cannot_write(path, "it is no file", err);
    if (write(fd, line, len) == (ssize_t)len)
        return true;
    /* Whoever comes next begins a line. */
    (void)!write(fd, "\n", 1);
    return cannot_write(path, "the line is not complete", err);
}

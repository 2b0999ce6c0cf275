#include "shim/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

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

#include "shim/helper_report.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"

#define FD_MAX 1023

bool helper_report_parse_fd(const char *text, int *fd, struct err *err)
{
    uint64_t number;

    if (!num_parse(text, FD_MAX, &number) || fcntl((int)number, F_GETFD) < 0)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is not an open descriptor", text);
    *fd = (int)number;
    /* Helpers of this one have no business with it. */
    fcntl(*fd, F_SETFD, FD_CLOEXEC);
    return true;
}

json_t *helper_report_error(const struct err *err)
{
    return json_pack("{s:{s:s, s:o, s:o}}", "error", "code", err_code_text(err->code), "message",
                     json_bytes(err->message, strlen(err->message)), "hint",
                     err->hint[0] ? json_bytes(err->hint, strlen(err->hint)) : json_null());
}

bool helper_report_write(int fd, const json_t *report)
{
    autofree char *line = report ? json_dump_line(report) : NULL;

    return line && file_write_all(fd, line, strlen(line)) && file_write_all(fd, "\n", 1);
}

#include "shim/helper_report.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "shim/command.h"

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

json_t *helper_report_err(const struct err *err)
{
    const char *fix = err_fix(err);

    return json_pack("{s:s, s:o, s:o, s:o*}", "code", err_code_text(err->code), "message",
                     json_bytes(err->message, strlen(err->message)), "hint",
                     *fix ? json_bytes(fix, strlen(fix)) : json_null(), "detail",
                     err->detail[0] ? json_bytes(err->detail, strlen(err->detail)) : NULL);
}

bool helper_report_take_err(const json_t *json, struct err *err)
{
    const char *code = json_text(json, "code"), *message = json_text(json, "message");
    const char *hint = json_text(json, "hint"), *detail = json_text(json, "detail");
    enum err_code known = code ? err_code_parse(code) : ERR_COUNT;

    if (known == ERR_COUNT || !message)
        return false;
    err_set(err, known, "%s", message);
    err_hint(err, "%s", hint ? hint : "");
    err_detail(err, "%s", detail ? detail : "");
    return true;
}

json_t *helper_report_error(const struct err *err)
{
    return json_pack("{s:o}", "error", helper_report_err(err));
}

bool helper_report_write(int fd, const json_t *report)
{
    autofree char *line = report ? json_dump_line(report) : NULL;

    return line && file_write_all(fd, line, strlen(line)) && file_write_all(fd, "\n", 1);
}

int helper_report_end(int fd, json_t *report, const struct err *err)
{
    autojson *line = report ? report : helper_report_error(err);

    return helper_report_write(fd, line) && report ? 0 : STATUS_FAILED;
}

/*
 * Errors as JSON; and what a program under libexec tells stepcell that started it: one line of JSON
 * on a descriptor, {"error": …} where it failed.
 */
#ifndef STEPCELL_SHIM_HELPER_REPORT_H
#define STEPCELL_SHIM_HELPER_REPORT_H

#include "base/json.h"

/* The number of an open descriptor, which becomes close-on-exec. */
bool helper_report_parse_fd(const char *text, int *fd, struct err *err);

/*
 * {"code", "message", "hint"}, and "detail" where there is one; owned by the caller. And an error
 * from such JSON: false where it is none.
 */
json_t *helper_report_err(const struct err *err);
bool helper_report_take_err(const json_t *json, struct err *err);

/* The report of a failure, owned by the caller. */
json_t *helper_report_error(const struct err *err);

bool helper_report_write(int fd, const json_t *report);

/*
 * The last line of a program: its report, or without one the error, which the caller prints. Takes
 * the report over. The exit status.
 */
int helper_report_end(int fd, json_t *report, const struct err *err);

#endif

/* The result of `stepcell image check`, for people and for machines, on stdout. */
#ifndef STEPCELL_SHIM_IMAGE_CHECK_REPORT_H
#define STEPCELL_SHIM_IMAGE_CHECK_REPORT_H

#include "base/json.h"
#include "runtime/image/check.h"
#include "shim/print.h"
#include "shim/relay/mask.h"

/* What the command line says of a check. */
struct check_request {
    const char *store, *platforms, *profile, *fail_on, *ignore, *format, *pull;
    bool json, all_layers, list_rules;
    /* For another command: its report goes here instead of being printed, or NULL; and of an image
     * that is fit nothing is printed but warnings, as notes. */
    json_t **report;
    bool only_faults;
    enum verbosity verbosity;  /* of the notes */
    const struct mask *hidden; /* what is shown of nothing that was found, or NULL */
};

#define CHECK_REQUEST_INIT                                                                         \
    ((struct check_request){                                                                       \
        .profile = "octopus", .fail_on = "error", .format = "text", .pull = "missing"})

/* Whether all that it says has a meaning. */
bool check_is_understood(const struct check_request *request, struct err *err);

/* Checks an image: the exit status, 0 fit, 2 unfit, 1 unknown, or failed after an error. */
int check_run(const struct check_request *request, const char *reference);

struct check_report {
    const struct check_facts *facts;
    const struct check_profile *profile;
    const struct check_results *results;
    enum check_verdict verdict;
};

/* "text", "json", "junit" or "sarif"; NULL when there is no such format. A writer is false without
 * memory, and has said so. */
typedef bool check_writer(const struct check_report *report);
check_writer *check_report_writer(const char *format);

/* The words for a finding: "error", "warning", "info" or "skipped"; why it was skipped, or NULL. */
const char *check_report_level(const struct check_finding *finding);
const char *check_report_reason(const struct check_finding *finding);
const char *check_report_verdict(enum check_verdict verdict);

/* Whether the finding makes the image unfit. */
bool check_report_counts(const struct check_report *report, const struct check_finding *finding);

/* "linux/amd64", or "" where the finding needs none beside the reference. */
void check_report_platform(const struct check_report *report, const struct check_finding *finding,
                           char text[PLATFORM_TEXT_MAX]);

/* Of check_formats.c. */
json_t *check_report_json(const struct check_report *report);
json_t *check_report_sarif(const struct check_report *report);
/* The page (owned), or NULL without memory. */
char *check_report_junit(const struct check_report *report);

#endif

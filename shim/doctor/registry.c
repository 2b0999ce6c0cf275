/* A registry, asked by the program that would pull from it. */
#include <string.h>
#include <time.h>

#include "base/child.h"
#include "base/file.h"
#include "shim/doctor/doctor.h"
#include "shim/helper.h"

#define REPORT_MAX 65536 /* bytes of what the helper reports */

/* Takes what the helper found out. */
static bool ask(const char *registry, json_t **report, struct err *err)
{
    char *words[] = {"stepcell-image", "reach", "--report", "3", "--", (char *)registry, NULL};
    autobuf text = BUF_INIT(REPORT_MAX);
    autofd reader = -1;
    pid_t helper;
    bool ok;

    if (!helper_start("stepcell-image", words, -1, &helper, &reader, err))
        return false;
    ok = file_read_fd(reader, "the report of a helper", &text, ERR_ENGINE_FAILED, err);
    child_wait(helper);
    if (ok && text.len == 0)
        return err_set(err, ERR_ENGINE_FAILED, "stepcell-image ended without a report");
    *report = ok ? json_parse(text.data, text.len, "the report of a helper", ERR_ENGINE_FAILED, err)
                 : NULL;
    return *report;
}

void doctor_registry(struct doctor *doctor)
{
    autojson *report = NULL;
    const json_t *error;
    const char *message, *hint;
    struct err err;

    if (!doctor->registry)
        return;
    if (!ask(doctor->registry, &report, &err)) {
        doctor_find_err(doctor, LEVEL_ERROR, &err);
        return;
    }
    error = json_object_get(report, "error");
    message = json_text(error, "message");
    hint = json_text(error, "hint");
    if (message) {
        doctor_find(doctor, LEVEL_ERROR, hint, "%s", message);
        return;
    }
    doctor_find(doctor, LEVEL_OK, NULL, "the registry '%s' answers at %s%s", doctor->registry,
                json_text(report, "url"),
                json_is_true(json_object_get(report, "logged_in"))
                    ? ", and takes the caller's credentials"
                    : "");
    if (json_is_integer(json_object_get(report, "date")))
        doctor_compare_clock(doctor, "the registry",
                             (time_t)json_integer_value(json_object_get(report, "date")));
}

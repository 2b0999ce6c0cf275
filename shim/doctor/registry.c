/* A registry, asked by the program that would pull from it. */
#include <string.h>
#include <time.h>

#include "shim/doctor/doctor.h"

void doctor_registry(struct doctor *doctor)
{
    char *words[] = {"stepcell-image",         "reach", "--report", "3", "--",
                     (char *)doctor->registry, NULL};
    autojson *report = NULL;
    const json_t *error;
    const char *message, *hint;
    struct err err;

    if (!doctor->registry)
        return;
    if (!doctor_ask(words, &report, &err)) {
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

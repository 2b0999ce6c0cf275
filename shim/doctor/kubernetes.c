/* The cluster of steps without options, asked by the program that would make Pods there. */
#include "shim/doctor/doctor.h"

#define RIGHTS_MAX 1024 /* bytes of those that are named */

/* "create pods, get pods/log"; NULL when nothing is lacking. */
static char *name_all(const json_t *lacking)
{
    autobuf text = BUF_INIT(RIGHTS_MAX);
    const json_t *right;
    size_t i;

    json_array_foreach (lacking, i, right) {
        if (!buf_printf(&text, "%s%s", i ? ", " : "", json_string_value(right)))
            break;
    }
    return text.len ? buf_take(&text) : NULL;
}

/* Nobody needs one: steps run without. */
void doctor_kubernetes(struct doctor *doctor)
{
    char *words[] = {"stepcell-kubernetes", "reach", NULL};
    autofree char *lacking = NULL, *lacking_useful = NULL;
    const char *server, *space, *version;
    autojson *report = NULL;
    const json_t *error;
    struct err err;

    if (!doctor_ask(words, &report, &err)) {
        doctor_find_err(doctor, LEVEL_WARNING, &err);
        return;
    }
    error = json_object_get(report, "error");
    server = json_text(report, "server");
    space = json_text(report, "namespace");
    version = json_text(report, "version");
    lacking = name_all(json_object_get(report, "lacking"));
    lacking_useful = name_all(json_object_get(report, "lacking_useful"));
    if (error)
        doctor_find(doctor, LEVEL_WARNING, json_text(error, "hint"),
                    "--engine kubernetes does not work: %s", json_text(error, "message"));
    else if (!server)
        doctor_find(doctor, LEVEL_INFO, NULL,
                    "--engine kubernetes does not work: there is no kubeconfig; no other step "
                    "needs it");
    else if (lacking)
        doctor_find(doctor, LEVEL_WARNING, "docs/kubernetes.md has the smallest role that suffices",
                    "--engine kubernetes does not work: in the namespace '%s' of '%s' the caller "
                    "may not: %s",
                    space, server, lacking);
    else if (lacking_useful)
        doctor_find(doctor, LEVEL_INFO, NULL,
                    "--engine kubernetes has a cluster at '%s' (%s), without what not every step "
                    "needs in the namespace '%s': %s",
                    server, version ? version : "", space, lacking_useful);
    else
        doctor_find(doctor, LEVEL_OK, NULL,
                    "--engine kubernetes has a cluster at '%s' (%s), and all rights in the "
                    "namespace '%s'",
                    server, version ? version : "", space);
}

/* `stepcell doctor`: what this host can do, one line a finding, with the fix. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/file.h"
#include "shim/commands.h"
#include "shim/doctor/doctor.h"
#include "shim/helper.h"
#include "shim/print.h"

#define TEXT_MAX   (1 << 20) /* bytes of all findings */
#define REPORT_MAX 65536     /* bytes of what a helper reports */

static const char *const level_names[] = {"ok", "info", "warning", "error"};

/* In this order: what comes later builds on what comes before. */
static const struct {
    const char *id;
    void (*check)(struct doctor *doctor);
    bool needs_store;
} checks[] = {
    {"kernel", doctor_kernel, false},
    {"user-namespaces", doctor_user_namespaces, false},
    {"kernel-features", doctor_kernel_features, false},
    {"abstract-sockets", doctor_abstract_sockets, false},
    {"id-ranges", doctor_id_ranges, false},
    {"programs", doctor_programs, false},
    {"network-helpers", doctor_network, false},
    {"store", doctor_store, false},
    {"overlay", doctor_overlay, true},
    {"idmapped-mounts", doctor_idmapped_mounts, true},
    {"cell", doctor_cell, true},
    {"cgroups", doctor_limits, true},
    {"clock", doctor_clock, true},
    {"policy", doctor_policy, false},
    {"docker", doctor_docker, false},
    {"podman", doctor_podman, false},
    {"kubernetes", doctor_kubernetes, false},
    {"registry", doctor_registry, false},
};

static void add(struct doctor *doctor, enum level level, const char *message, const char *hint)
{
    if (level == LEVEL_ERROR)
        doctor->ready = false;
    json_array_append_new(doctor->findings,
                          json_pack("{s:s, s:s, s:o, s:o}", "id", doctor->id, "level",
                                    level_names[level], "message",
                                    json_bytes(message, strlen(message)), "hint",
                                    hint && *hint ? json_bytes(hint, strlen(hint)) : json_null()));
}

void doctor_find(struct doctor *doctor, enum level level, const char *hint, const char *format, ...)
{
    autofree char *message = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    va_end(args);
    add(doctor, level, message ? message : "there is not enough memory", hint);
}

void doctor_find_err(struct doctor *doctor, enum level level, const struct err *err)
{
    add(doctor, level, err->message, err_fix(err));
}

bool doctor_ask(char *const *words, json_t **report, struct err *err)
{
    autobuf text = BUF_INIT(REPORT_MAX);
    autofd reader = -1;
    pid_t helper;
    bool ok;

    if (!helper_start(words[0], words, -1, &helper, &reader, err))
        return false;
    ok = file_read_fd(reader, "the report of a helper", &text, ERR_ENGINE_FAILED, err);
    child_wait(helper);
    if (ok && text.len == 0)
        return err_set(err, ERR_ENGINE_FAILED, "%s ended without a report", words[0]);
    *report = ok ? json_parse(text.data, text.len, "the report of a helper", ERR_ENGINE_FAILED, err)
                 : NULL;
    return *report;
}

static bool add_finding(struct buf *text, const json_t *finding)
{
    const char *hint = json_text(finding, "hint");

    return buf_printf(text, "%-8s %-16s ", json_text(finding, "level"), json_text(finding, "id")) &&
           print_escape(text, json_text(finding, "message")) && buf_append_text(text, "\n") &&
           (!hint || (buf_printf(text, "%-25s fix: ", "") && print_escape(text, hint) &&
                      buf_append_text(text, "\n")));
}

static int print_findings(const struct doctor *doctor)
{
    autobuf text = BUF_INIT(TEXT_MAX);
    const json_t *finding;
    bool ok = true;
    size_t i;

    json_array_foreach (doctor->findings, i, finding)
        ok = ok && add_finding(&text, finding);
    print_out("%s%s\n", ok ? text.data : "",
              doctor->ready ? "Steps can run here." : "Steps cannot run here.");
    return 0;
}

/* At once: what comes after those that need it may wait for a server, and be given up. */
static void leave_store(struct doctor *doctor)
{
    store_close(&doctor->opened);
    doctor->has_store = false;
    if (doctor->temporary)
        file_remove_tree(AT_FDCWD, doctor->temporary);
    free(doctor->temporary);
    doctor->temporary = NULL;
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor doctor = {.opened = STORE_INIT, .ready = true};
    autojson *findings = json_array();
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTION("--store", "DIR", &doctor.store, "the store that steps would use"),
        OPTION("--registry", "HOST", &doctor.registry,
               "ask this registry as well, as a pull would"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell doctor [OPTIONS]",
        .about =
            "Tells what this host can do, one line a finding: what works, or what does not, what\n"
            "that prevents, and the fix. Ends with 0 when steps can run here, else with 1.",
        .options = options,
    };
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    doctor.findings = findings;
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        doctor.id = checks[i].id;
        if (!checks[i].needs_store)
            leave_store(&doctor);
        if (!checks[i].needs_store || doctor.has_store)
            checks[i].check(&doctor);
    }
    status = json ? command_print_json(json_pack("{s:s, s:b, s:O}", "schema", "stepcell.doctor/1",
                                                 "ready", doctor.ready, "findings", findings))
                  : print_findings(&doctor);
    free(doctor.path);
    return status ? status : !doctor.ready;
}

/*
 * `stepcell doctor`: a list of checks, each of which finds out by doing it, and says what it found:
 * what works, or what does not, what that prevents, and how to mend it.
 *
 * The checks run in the order of the table in cmd_doctor.c. One that needs the store finds it open.
 */
#ifndef STEPCELL_SHIM_DOCTOR_DOCTOR_H
#define STEPCELL_SHIM_DOCTOR_DOCTOR_H

#include "base/json.h"
#include "mounts/idmap.h"
#include "runtime/image/store.h"

enum level {
    LEVEL_OK,
    LEVEL_INFO,    /* something that few steps need is not there */
    LEVEL_WARNING, /* some steps cannot run, or not as well as they could */
    LEVEL_ERROR,   /* no step can run, or what was asked for in particular does not work */
};

struct doctor {
    const char *store, *registry; /* as given, or NULL */
    char *path;                   /* of the store; NULL when it cannot be told */
    struct store opened;          /* that, or a temporary one */
    bool has_store;               /* `opened` is open */
    char *temporary;              /* where that is; NULL for none */
    const char *id;               /* of the check that runs */
    json_t *findings;
    bool ready;
};

/* Adds a finding of the check that runs; the hint may be NULL. */
void doctor_find(struct doctor *doctor, enum level level, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void doctor_find_err(struct doctor *doctor, enum level level, const struct err *err);

/* kernel.c */
void doctor_kernel(struct doctor *doctor);
void doctor_user_namespaces(struct doctor *doctor);
void doctor_kernel_features(struct doctor *doctor);
void doctor_abstract_sockets(struct doctor *doctor);

/* host.c */
void doctor_id_ranges(struct doctor *doctor);
void doctor_programs(struct doctor *doctor);
void doctor_network(struct doctor *doctor);
void doctor_clock(struct doctor *doctor);
void doctor_docker(struct doctor *doctor);
void doctor_podman(struct doctor *doctor);

/* Says how far a clock is from that of this host, if that is far. `whose` is a phrase. */
void doctor_compare_clock(struct doctor *doctor, const char *whose, time_t theirs);

/* store.c */
void doctor_store(struct doctor *doctor);
void doctor_overlay(struct doctor *doctor);
void doctor_idmapped_mounts(struct doctor *doctor);

/* policy.c */
void doctor_policy(struct doctor *doctor);

/* cell.c */
void doctor_cell(struct doctor *doctor);
void doctor_limits(struct doctor *doctor);

/* Takes what a program below libexec finds out. */
bool doctor_ask(char *const *words, json_t **report, struct err *err);

/* kubernetes.c */
void doctor_kubernetes(struct doctor *doctor);

/* registry.c */
void doctor_registry(struct doctor *doctor);

#endif

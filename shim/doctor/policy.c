/* What the administrator's policy says of every step on the built-in engine, whatever it is. */
#include "shim/audit.h"
#include "shim/doctor/doctor.h"
#include "shim/policy.h"
#include "shim/session.h"

/* The store that a step would use; that its path can be told is another check's. */
static void check_store(struct doctor *doctor)
{
    struct err err;
    autofree char *believed = doctor->path ? session_believed_store(doctor->path, &err) : NULL;

    if (doctor->path && !believed)
        doctor_find_err(doctor, LEVEL_ERROR, &err);
}

void doctor_policy(struct doctor *doctor)
{
    const struct policy_facts native = {.engine = POLICY_NATIVE};
    autopolicy policy = {0};
    autoverdict verdict = {0};
    struct err err;

    if (!policy_load(&policy, &err)) {
        doctor_find_err(doctor, LEVEL_ERROR, &err);
        return;
    }
    doctor_find(doctor, LEVEL_OK, NULL,
                policy.exists       ? "'" POLICY_FILE "' can be read, and is understood"
                : policy.containers ? "'" POLICY_CONTAINERS_FILE "' can be read, and is understood"
                                    : "there is none, so every step may run");
    check_store(doctor);
    if (!policy_check_engine(&policy, &native, &verdict, &err))
        doctor_find_err(doctor, LEVEL_ERROR, &err);
    if (policy.audit && !audit_can_append(policy.audit, &err))
        doctor_find_err(doctor, LEVEL_ERROR, &err);
}

/* /proc/self/cgroup and /proc/self/mountinfo, separated by NUL. */
#include "tests/fuzz/fuzz.h"

#include "runtime/native/cgroup_find.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *cgroups = fuzz_text(&data, &size), *mounts = fuzz_text(&data, &size);

    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        struct cgroup_own own;
        struct err err = ERR_INIT;

        if (!cgroup_find(cgroups, mounts, (enum cgroup_controller)i, &own, &err)) {
            FUZZ_SAID(err);
            continue;
        }
        FUZZ_CHECK(strlen(own.mount) < MOUNT_PATH_MAX && strlen(own.parent) < MOUNT_PATH_MAX);
        FUZZ_CHECK(strncmp(own.parent, own.mount, strlen(own.mount)) == 0);
    }
    return 0;
}

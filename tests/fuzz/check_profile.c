/* Profiles of image checks. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autocheckprofile profile = {0};
    struct err err = ERR_INIT;
    size_t count;

    if (!check_profile_parse((const char *)data, size, "a profile", &profile, &err)) {
        FUZZ_SAID(err);
        return 0;
    }
    check_rules(&count);
    FUZZ_CHECK(profile.name && *profile.name && profile.waste_max <= 100);
    FUZZ_CHECK(profile.packages.count <= CHECK_LIST_MAX);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(profile.levels[i] <= CHECK_ERROR);
    return 0;
}

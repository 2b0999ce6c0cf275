/* Seccomp profiles: what compiles is a filter that the kernel would take. */
#include "tests/fuzz/fuzz.h"

#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool with_32_bits = fuzz_choice(&data, &size) & 1;
    struct seccomp_filter filter;
    struct err err = ERR_INIT;
    autojson *profile = json_parse((const char *)data, size, "a profile", ERR_CONFIG_INVALID, &err);

    if (profile &&
        seccomp_profile_compile(profile, "a profile", CAPS_DEFAULT, with_32_bits, &filter, &err)) {
        FUZZ_CHECK(filter.count > 0 && filter.count <= BPF_MAXINSNS);
        FUZZ_CHECK(BPF_CLASS(filter.code[filter.count - 1].code) == BPF_RET);
        free((void *)filter.code);
    } else {
        FUZZ_SAID(err);
    }
    return 0;
}

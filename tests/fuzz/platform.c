/* Platforms: a normal form has only one, and serves itself best. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/platform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = fuzz_text(&data, &size), *other = fuzz_text(&data, &size);
    char written[PLATFORM_TEXT_MAX];
    struct platform platform, again, offered;
    struct err err = ERR_INIT;

    if (!platform_parse(text, &platform, &err)) {
        FUZZ_SAID(err);
        return 0;
    }
    platform_text(&platform, written);
    FUZZ_CHECK(platform_parse(written, &again, &err));
    FUZZ_CHECK(memcmp(platform.os, again.os, strlen(platform.os) + 1) == 0);
    FUZZ_CHECK(strcmp(platform.arch, again.arch) == 0);
    FUZZ_CHECK(platform_rank(&platform, &again) == 0);
    if (platform_parse(other, &offered, &err))
        platform_rank(&platform, &offered);
    return 0;
}

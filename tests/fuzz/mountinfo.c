/* /proc/PID/mountinfo, with a path to look for in front of it. */
#include "tests/fuzz/fuzz.h"

#include "mounts/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *path = fuzz_text(&data, &size), *text = fuzz_text(&data, &size);
    const char *at = text;

    while (*at) {
        struct mountinfo_entry entry;
        const char *before = at;

        if (mountinfo_read(&at, &entry)) {
            FUZZ_CHECK(strlen(entry.root) < MOUNT_PATH_MAX && strlen(entry.point) < MOUNT_PATH_MAX);
            mountinfo_is_private(&entry);
        }
        FUZZ_CHECK(at > before);
    }
    if (path[0] == '/') {
        autostrv names = {0};

        mountinfo_has_below(text, path);
        FUZZ_CHECK(mountinfo_names(text, 27, path, &names));
    }
    return 0;
}

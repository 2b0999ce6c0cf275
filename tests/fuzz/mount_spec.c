/* --package, --volume, --mount, --tmpfs and --device: the first byte chooses the grammar. */
#include "tests/fuzz/fuzz.h"

#include "mounts/mount_spec.h"

static bool package(const char *text, struct mount_spec *spec, struct err *err)
{
    return mount_spec_package(text, MOUNT_BIND, true, spec, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const grammars[])(const char *, struct mount_spec *, struct err *) = {
        package, mount_spec_volume, mount_spec_mount, mount_spec_tmpfs, mount_spec_device};
    uint8_t choice = fuzz_choice(&data, &size) % ARRAY_SIZE(grammars);
    autofree char *text = fuzz_text(&data, &size);
    struct mount_spec spec = {0};
    struct err err = ERR_INIT;

    if (grammars[choice](text, &spec, &err)) {
        FUZZ_CHECK((spec.kind == MOUNT_TMPFS) == (spec.source == NULL));
        FUZZ_CHECK(!spec.source || (*spec.source && strlen(spec.source) < MOUNT_PATH_MAX));
        FUZZ_CHECK(!spec.target || spec.target[0] == '/');
        mount_spec_release(&spec);
    } else {
        FUZZ_SAID(err);
    }
    return 0;
}

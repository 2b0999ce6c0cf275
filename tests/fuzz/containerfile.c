/* Containerfiles: whatever the bytes are, they are refused with a word, or a base is a name in them
 * or in the build arguments. The first text is a build argument. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/containerfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *argument = fuzz_text(&data, &size), *text = malloc(size ? size : 1);
    autostrv arguments = {0};
    autocontainerfile file = {0};
    struct err err = ERR_INIT;

    if (!text || (strchr(argument, '=') && !strv_add(&arguments, argument)))
        abort();
    memcpy(text, data, size);
    if (!containerfile_parse(text, size, "a file", &arguments, &file, &err)) {
        FUZZ_SAID(err);
        return 0;
    }
    FUZZ_CHECK(file.arguments.count <= CONTAINERFILE_ARGS_MAX);
    FUZZ_CHECK(!file.base || (*file.base && strcmp(file.base, "scratch") != 0));
    return 0;
}

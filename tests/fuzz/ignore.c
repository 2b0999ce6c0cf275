/* .dockerignore: any bytes, and any path, which is the first text. What is left out stays so below. */
#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "runtime/image/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *path = fuzz_text(&data, &size), *text = malloc(size ? size : 1);
    autofree char *below = text_printf("%s/x", path);
    autoignore ignore = {0};
    struct err err = ERR_INIT;

    if (!text || !below)
        abort();
    memcpy(text, data, size);
    if (!ignore_parse(text, size, "a file", &ignore, &err)) {
        FUZZ_SAID(err);
        return 0;
    }
    FUZZ_CHECK(ignore.count <= IGNORE_RULES_MAX);
    if (*path && ignore_leaves_out(&ignore, path) && !ignore.lets_in)
        FUZZ_CHECK(ignore_leaves_out(&ignore, below));
    return 0;
}

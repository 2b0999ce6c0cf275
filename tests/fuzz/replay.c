/*
 * Tries every file of the given directories once: for builds without libFuzzer.
 *
 * usage: fuzz_TARGET DIRECTORY...
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/file.h"

#define INPUT_MAX (1 << 20)

static bool replay(void *data, int dirfd, const char *name)
{
    autobuf text = BUF_INIT(INPUT_MAX);
    size_t *count = data;
    uint8_t *input;
    struct err err;

    if (!file_read(dirfd, name, &text, ERR_CONFIG_INVALID, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    /* Exactly as long as the input, so that a sanitizer sees its end. */
    input = malloc(text.len ? text.len : 1);
    if (!input)
        return false;
    memcpy(input, text.data, text.len);
    fprintf(stderr, "%s\n", name);
    LLVMFuzzerTestOneInput(input, text.len);
    free(input);
    (*count)++;
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t count = 0;

        if (!file_each_entry(AT_FDCWD, argv[i], replay, &count) || count == 0) {
            fprintf(stderr, "'%s' has no inputs, or one that cannot be read\n", argv[i]);
            return 1;
        }
    }
    return argc > 1 ? 0 : 2;
}

/* The beginning of a program. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/check_elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of its own, so that a sanitizer sees its end. */
    uint8_t *bytes = malloc(size + 1);
    enum check_program program;
    uint16_t machine = 1;

    FUZZ_CHECK(bytes);
    memcpy(bytes, data, size);
    bytes = realloc(bytes, size ? size : 1);
    FUZZ_CHECK(bytes);
    program = check_elf(bytes, size, &machine);
    FUZZ_CHECK(program < CHECK_PROGRAMS);
    FUZZ_CHECK(program != CHECK_NO_ELF || machine == 0);
    free(bytes);
    return 0;
}

/* What a registry answers to a push: the first byte chooses which part of it. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/push_answers.h"

#define BASE "https://registry.example:5000/v2/a"
#define SIZE 1000

static void try_location(const char *value)
{
    autofree char *url = push_location(BASE, value);

    FUZZ_CHECK(!url || strncmp(url, "https://registry.example:5000/", 30) == 0);
}

static void try_range(const char *value)
{
    uint64_t have = 0;

    if (push_range(value, SIZE, &have))
        FUZZ_CHECK(have <= SIZE);
}

static void try_code(const char *value)
{
    char code[PUSH_CODE_MAX];

    push_error_code(value, strlen(value), code);
    FUZZ_CHECK(code[strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ways[])(const char *value) = {try_location, try_range, try_code};
    uint8_t choice = fuzz_choice(&data, &size);
    autofree char *value = fuzz_text(&data, &size);

    ways[choice % ARRAY_SIZE(ways)](value);
    return 0;
}

/* The door for JSON: what is read can be written and read again, and is the same. */
#include "tests/fuzz/fuzz.h"

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autojson *json = json_parse((const char *)data, size, "a text", ERR_CONFIG_INVALID, &err);
    autojson *bytes = json_bytes((const char *)data, size), *again = NULL;
    autofree char *line = json ? json_dump_line(json) : NULL;

    FUZZ_CHECK(bytes);
    if (!json) {
        FUZZ_SAID(err);
        return 0;
    }
    FUZZ_CHECK(line && !strchr(line, '\n'));
    again = json_parse(line, strlen(line), "its own", ERR_CONFIG_INVALID, &err);
    FUZZ_CHECK(again);
    return 0;
}

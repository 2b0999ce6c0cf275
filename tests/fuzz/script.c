/* The head of a script and --shell, separated by NUL; and the small line formats of the host. */
#include "tests/fuzz/fuzz.h"

#include "mounts/idmap.h"
#include "runtime/native/subnet.h"
#include "shim/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *head = fuzz_text(&data, &size), *shell = fuzz_text(&data, &size);
    autointerpreter interpreter = {0};
    struct subnet_use use;
    struct idmap_range range;
    char owner[IDMAP_OWNER_MAX];
    struct err err = ERR_INIT;

    if (script_choose("/work/script", head, *shell ? shell : NULL, &interpreter, &err))
        FUZZ_CHECK(interpreter.argv.count > 0 && interpreter.argv.items[0][0]);
    else
        FUZZ_SAID(err);
    subnet_parse_route(head, &use);
    range = idmap_find_range(head, "user", 1000);
    idmap_find_intruder(head, owner);
    FUZZ_CHECK(!range.count || (range.start && range.start + range.count > range.start));
    return 0;
}

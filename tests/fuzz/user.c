/* A step's user, the image's passwd and its group, separated by NUL. */
#include "tests/fuzz/fuzz.h"

#include "runtime/native/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = fuzz_text(&data, &size), *passwd = fuzz_text(&data, &size),
                  *group = fuzz_text(&data, &size);
    autocelluser user = {0};
    struct err err = ERR_INIT;

    if (!user_resolve(text, passwd, group, &user, &err)) {
        FUZZ_SAID(err);
        return 0;
    }
    FUZZ_CHECK(user.uid <= INT32_MAX && user.gid <= INT32_MAX);
    FUZZ_CHECK(user.group_count <= CELL_GROUPS_MAX);
    for (size_t i = 0; i < user.group_count; i++)
        FUZZ_CHECK(user.groups[i] <= INT32_MAX && user.groups[i] != user.gid);
    return 0;
}

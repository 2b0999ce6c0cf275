#include "runtime/confine/caps_names.h"

#include <stdio.h>
#include <strings.h>
#include <sys/capability.h>

#define PREFIX   "cap_"
#define NAME_MAX 64

bool caps_parse(const char *name, uint64_t *caps)
{
    char full[NAME_MAX];
    cap_value_t cap;
    int len;

    if (strcasecmp(name, "ALL") == 0) {
        *caps = UINT64_MAX;
        return true;
    }
    len = snprintf(full, sizeof(full), "%s%s",
                   strncasecmp(name, PREFIX, sizeof(PREFIX) - 1) == 0 ? "" : PREFIX, name);
    /* libcap takes numbers, too. */
    if (len >= NAME_MAX || full[4] < 'A' || cap_from_name(full, &cap) < 0)
        return false;
    *caps = UINT64_C(1) << cap;
    return true;
}
